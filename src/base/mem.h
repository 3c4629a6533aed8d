/*
 * Memory of one node. Everything that a simulated room allocates comes from its node's `struct mem`, so that a
 * simulated crash can take all of it back at once, and so that a leak shows as bytes left when a node is closed.
 *
 * Never returns NULL: when the machine has no memory left, one line says so and the process stops.
 */
#ifndef IKADA_BASE_MEM_H
#define IKADA_BASE_MEM_H

#include "base/list.h"

#include <stddef.h>

struct mem {
	struct list blocks; /* All live blocks, when tracked. */
	bool tracked;
	size_t bytes; /* Live bytes, when tracked; else 0. */
};

/* Untracked memory is malloc with a check. Tracked memory can be counted, and freed as a whole. */
void mem_init(struct mem *mem, bool tracked);
void *mem_alloc(struct mem *mem, size_t size); /* Not cleared. */
void *mem_zero(struct mem *mem, size_t size);  /* Cleared. */
void *mem_resize(struct mem *mem, void *block, size_t size);
void mem_free(struct mem *mem, void *block); /* NULL is fine. */
void mem_free_all(struct mem *mem);	     /* Tracked memory only. */

#endif
