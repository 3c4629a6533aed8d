/*
 * The log cache: the encoded entries of the log, in memory, by index. Bytes of an entry are copied here once; wire,
 * disk and apply read them in place.
 *
 * Entries stand one behind the other in chunks, so that a run of them is one piece. Cut at the tail, dropped at the
 * front, where a chunk goes when all that is in it went; some of these wait to be used again.
 */
#ifndef IKADA_NODE_CACHE_H
#define IKADA_NODE_CACHE_H

#include "base/entry.h"
#include "base/mem.h"

enum { CACHE_SPARE_MAX = 64 }; /* Chunks. */

struct cache_chunk {
	uint64_t first; /* Index of the first entry that stands here. */
	uint8_t *bytes;
	size_t used;
	size_t room;
};

struct cache {
	struct mem *mem;
	size_t chunk_bytes;
	uint64_t base; /* The cache holds base + 1 .. last. */
	uint64_t last;
	size_t bytes;	    /* Of the entries that it holds. */
	size_t head;	    /* In the first chunk: bytes of entries that were dropped. */
	const uint8_t **at; /* Where entry base + 1 + i stands. */
	size_t at_room;
	struct cache_chunk *chunks;
	size_t chunk_count;
	size_t chunk_room;
	uint8_t *spare[CACHE_SPARE_MAX];
	size_t spare_count;
};

void cache_init(struct cache *cache, struct mem *mem, size_t chunk_bytes);
void cache_free(struct cache *cache);

/* Forgets everything; the next entry is base + 1. */
void cache_reset(struct cache *cache, uint64_t base);
/* Room for the encoded entry last + 1, which the caller fills before the next call. */
uint8_t *cache_add(struct cache *cache, size_t size);
/* Forgets the entries from `index` on, if there are any. */
void cache_cut(struct cache *cache, uint64_t index);
/* Forgets the entries up to `base`, which is not beyond the last. */
void cache_drop(struct cache *cache, uint64_t base);

/* The entry at `index`, which must be held. Not checked again: what is in here was checked on its way in. */
void cache_get(const struct cache *cache, uint64_t index, struct entry *entry);
/*
 * The longest piece of encoded entries that starts at `first`, ends at `last` at most, has one chunk and at most
 * `bytes_max` bytes (but at least one entry). Returns its last index.
 */
uint64_t cache_piece(const struct cache *cache, uint64_t first, uint64_t last, size_t bytes_max, const uint8_t **bytes,
		     size_t *size);

#endif
