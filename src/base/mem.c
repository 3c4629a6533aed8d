#include "base/mem.h"

#include "base/check.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What stands before each tracked block. */
struct header {
	struct list link;
	size_t size;
	alignas(max_align_t) char after[];
};

static _Noreturn void out_of_memory(size_t size)
{
	fprintf(stderr, "ikada: out of memory: %zu bytes were asked for\n", size);
	abort();
}

void mem_init(struct mem *mem, bool tracked)
{
	list_init(&mem->blocks);
	mem->tracked = tracked;
	mem->bytes = 0;
}

void *mem_resize(struct mem *mem, void *block, size_t size)
{
	if (!mem->tracked) {
		void *moved = realloc(block, size == 0 ? 1 : size);
		if (moved == NULL)
			out_of_memory(size);
		return moved;
	}
	struct header *old = block == NULL ? NULL : LIST_OF(block, struct header, after);
	if (old != NULL) {
		list_remove(&old->link);
		mem->bytes -= old->size;
	}
	struct header *h = realloc(old, sizeof *h + size);
	if (h == NULL)
		out_of_memory(size);
	h->size = size;
	list_push(&mem->blocks, &h->link);
	mem->bytes += size;
	return h->after;
}

void *mem_alloc(struct mem *mem, size_t size)
{
	return mem_resize(mem, NULL, size);
}

void *mem_zero(struct mem *mem, size_t size)
{
	void *block = mem_alloc(mem, size);
	memset(block, 0, size);
	return block;
}

void mem_free(struct mem *mem, void *block)
{
	if (block == NULL)
		return;
	if (!mem->tracked) {
		free(block);
		return;
	}
	struct header *h = LIST_OF(block, struct header, after);
	list_remove(&h->link);
	mem->bytes -= h->size;
	free(h);
}

void mem_free_all(struct mem *mem)
{
	CHECK(mem->tracked);
	while (!list_empty(&mem->blocks))
		mem_free(mem, LIST_OF(mem->blocks.next, struct header, link)->after);
}
