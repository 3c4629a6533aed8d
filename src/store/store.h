/*
 * The key-value state: an in-memory B+tree of byte keys in memcmp order, copy-on-write, with held roots.
 *
 * A held root is a snapshot: taken in constant time, it stays as it was while the store goes on changing. Nodes carry
 * the version that made them; a change copies the nodes on its path that a held root may still need, and frees or
 * retires what is no longer reached. Freeing a large subtree is spread over calls of store_idle.
 * One thread. No I/O, no clock, no randomness.
 */
#ifndef IKADA_STORE_STORE_H
#define IKADA_STORE_STORE_H

#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct store_root; /* A held root. */

struct store_slice {
	const uint8_t *bytes;
	size_t size;
};

struct store *store_create(struct mem *mem);
void store_destroy(struct store *store); /* All held roots must have been released. */

uint64_t store_count(const struct store *store);
/*
 * Of all keys with their values, however they came to be: equal stores have equal digests, and others, but for a chance
 * that can be neglected, do not. All zeros when empty. Constant time.
 */
struct store_digest {
	uint64_t low, high;
};
struct store_digest store_digest(const struct store *store);
/* Live bytes of nodes, keys and values, including what only held roots need. */
size_t store_bytes(const struct store *store);

/* The value, valid until the next change of the store; false when the key is absent. */
bool store_get(struct store *store, const void *key, size_t key_size, struct store_slice *value);
/* Copies key and value, which must not lie in the store itself. Returns true when the key was new. */
bool store_put(struct store *store, const void *key, size_t key_size, const void *value, size_t value_size);
/* Returns true when the key was there. */
bool store_delete(struct store *store, const void *key, size_t key_size);
/* Empties the store in constant time; the memory follows in store_idle. */
void store_clear(struct store *store);
/* Judges up to `nodes` nodes or large values that were taken out, and frees what no root needs; true: more is left. */
bool store_idle(struct store *store, size_t nodes);

/*
 * Says which keys the next calls of store_get and store_put will ask for, best in this order: they are sought side by
 * side, so that their waits for memory overlap. Changes nothing but speed, whatever is called then.
 */
enum { STORE_AHEAD_MAX = 16 };
void store_expect(struct store *store, const struct store_slice keys[], size_t count);

/* Constant time. */
struct store_root *store_hold(struct store *store);
void store_release(struct store *store, struct store_root *root);
uint64_t store_root_count(const struct store_root *root);
struct store_digest store_root_digest(const struct store_root *root);
bool store_root_get(const struct store_root *root, const void *key, size_t key_size, struct store_slice *value);

/* A cursor over a held root, or over the store itself (root NULL; then invalid after the next change). */
struct store_cursor {
	const struct store *store;
	const struct store_root *root;
	/* The path; deeper trees than this do not fit in memory. */
	struct {
		const void *node;
		unsigned at;
	} path[16];
	unsigned depth;
};
/* Stands at the first key >= `key`; store_next yields it first. */
void store_seek(struct store_cursor *cursor, const struct store *store, const struct store_root *root, const void *key,
		size_t key_size);
bool store_next(struct store_cursor *cursor, struct store_slice *key, struct store_slice *value);

/* For tests: checks every invariant of the tree and of its version stamps; CHECKs. */
void store_verify(const struct store *store);

#endif
