/*
 * The set of the states seen, by their hashes; and indices from hashes to numbers.
 *
 * The set begins as a table of whole hashes, which grows. When that has SLOTS_MAX it becomes, at once, one of buckets
 * that takes all the memory it may: a bucket is a line of the cache, and a hash has 40 bits there. A hash that finds
 * its bucket full goes on to the next, so two are taken for one if they agree in their 40 bits and their buckets are
 * neighbours: among a billion states, one search in a hundred would miss one.
 */
#include "sim/exhaust_internal.h"

#include "base/check.h"

#define SLOTS_MAX ((uint64_t)1 << 26)

/* ---- Small ---- */

static bool put(uint64_t *slots, uint64_t room, uint64_t hash)
{
	uint64_t at = hash & (room - 1);
	while (slots[at] != 0 && slots[at] != hash)
		at = (at + 1) & (room - 1);
	if (slots[at] == hash)
		return false;
	slots[at] = hash;
	return true;
}

static bool grow(struct xsearch *s)
{
	struct xset *set = &s->set;
	uint64_t room = set->room == 0 ? 1 << 16 : 2 * set->room;
	if (room * sizeof *set->slots > set->bytes_max)
		return false;
	uint64_t *slots = mem_zero(&s->mem, room * sizeof *slots);
	for (uint64_t i = 0; i < set->room; i++)
		if (set->slots[i] != 0)
			put(slots, room, set->slots[i]);
	mem_free(&s->mem, set->slots);
	set->slots = slots;
	set->room = room;
	return true;
}

/* ---- Large ---- */

static uint64_t bucket_of(const struct xset *set, uint64_t hash)
{
	return (uint64_t)((unsigned __int128)hash * set->bucket_count >> 64);
}

static bool put_in_bucket(const struct xset *set, uint64_t hash)
{
	uint32_t low = (uint32_t)hash;
	uint8_t high = (uint8_t)(hash >> 32);
	for (uint64_t at = bucket_of(set, hash);; at = at + 1 < set->bucket_count ? at + 1 : 0) {
		struct xbucket *bucket = &set->buckets[at];
		for (uint32_t i = 0; i < bucket->count; i++)
			if (bucket->low[i] == low && bucket->high[i] == high)
				return false;
		if (bucket->count < X_BUCKET) {
			bucket->low[bucket->count] = low;
			bucket->high[bucket->count++] = high;
			return true;
		}
	}
}

static bool become_large(struct xsearch *s)
{
	struct xset *set = &s->set;
	uint64_t bytes = set->room * sizeof *set->slots;
	if (set->bytes_max < 3 * bytes)
		return false;
	set->bucket_count = (set->bytes_max - bytes) / sizeof *set->buckets;
	/* One more, so that they can begin where a line of the cache does. */
	uintptr_t block = (uintptr_t)mem_zero(&s->mem, (set->bucket_count + 1) * sizeof *set->buckets);
	set->buckets = (struct xbucket *)(block + sizeof *set->buckets - block % sizeof *set->buckets);
	for (uint64_t i = 0; i < set->room; i++)
		if (set->slots[i] != 0)
			put_in_bucket(set, set->slots[i]);
	mem_free(&s->mem, set->slots);
	set->slots = NULL;
	set->room = 0;
	return true;
}

/* ---- Either ---- */

void x_set_expect(const struct xset *set, uint64_t hash)
{
	if (set->buckets != NULL)
		__builtin_prefetch(&set->buckets[bucket_of(set, hash)]);
	else if (set->room > 0)
		__builtin_prefetch(&set->slots[hash & (set->room - 1)]);
}

bool x_set_add(struct xsearch *s, uint64_t hash, bool *full)
{
	struct xset *set = &s->set;
	if (set->buckets == NULL && set->used * 10 >= set->room * 7 &&
	    !(set->room < SLOTS_MAX ? grow(s) : become_large(s)) && set->used * 10 >= set->room * 9)
		*full = true;
	if (set->buckets != NULL && set->used >= set->bucket_count * X_BUCKET / 100 * 97)
		*full = true;
	if (*full || (set->buckets != NULL ? !put_in_bucket(set, hash) : !put(set->slots, set->room, hash)))
		return false;
	set->used++;
	return true;
}

/* ---- Indices ---- */

static struct xindex_slot *find(struct xindex_slot *slots, uint64_t room, uint64_t key)
{
	uint64_t at = (key ^ key >> 24) * 0x9e3779b97f4a7c15u >> 20 & (room - 1);
	while (slots[at].key != 0 && slots[at].key != key)
		at = (at + 1) & (room - 1);
	return &slots[at];
}

struct xindex_slot *x_index(struct xsearch *s, struct xindex *index, uint64_t key)
{
	CHECK(key != 0);
	if (2 * index->used >= index->room) {
		uint64_t room = index->room == 0 ? 1024 : 2 * index->room;
		struct xindex_slot *slots = mem_zero(&s->mem, room * sizeof *slots);
		for (uint64_t i = 0; i < index->room; i++)
			if (index->slots[i].key != 0)
				*find(slots, room, index->slots[i].key) = index->slots[i];
		mem_free(&s->mem, index->slots);
		index->slots = slots;
		index->room = room;
	}
	struct xindex_slot *slot = find(index->slots, index->room, key);
	if (slot->key == 0) {
		slot->key = key;
		index->used++;
	}
	return slot;
}
