#include "node/cache.h"

void cache_init(struct cache *cache, struct mem *mem, size_t chunk_bytes)
{
	memset(cache, 0, sizeof *cache);
	cache->mem = mem;
	cache->chunk_bytes = chunk_bytes;
}

static void let_go(struct cache *cache, struct cache_chunk *chunk)
{
	if (chunk->room == cache->chunk_bytes && cache->spare_count < CACHE_SPARE_MAX)
		cache->spare[cache->spare_count++] = chunk->bytes;
	else
		mem_free(cache->mem, chunk->bytes);
}

static void pop_chunk(struct cache *cache)
{
	struct cache_chunk *chunk = &cache->chunks[--cache->chunk_count];
	cache->bytes -= chunk->used;
	let_go(cache, chunk);
	if (cache->chunk_count > 0)
		return;
	cache->bytes += cache->head;
	cache->head = 0;
}

void cache_reset(struct cache *cache, uint64_t base)
{
	while (cache->chunk_count > 0)
		pop_chunk(cache);
	cache->base = base;
	cache->last = base;
}

void cache_free(struct cache *cache)
{
	cache_reset(cache, 0);
	while (cache->spare_count > 0)
		mem_free(cache->mem, cache->spare[--cache->spare_count]);
	mem_free(cache->mem, cache->at);
	mem_free(cache->mem, cache->chunks);
}

static struct cache_chunk *push_chunk(struct cache *cache, size_t size)
{
	if (cache->chunk_count == cache->chunk_room) {
		cache->chunk_room = cache->chunk_room == 0 ? 16 : 2 * cache->chunk_room;
		cache->chunks = mem_resize(cache->mem, cache->chunks, cache->chunk_room * sizeof *cache->chunks);
	}
	struct cache_chunk *chunk = &cache->chunks[cache->chunk_count++];
	chunk->first = cache->last + 1;
	chunk->used = 0;
	chunk->room = size > cache->chunk_bytes ? size : cache->chunk_bytes;
	if (chunk->room == cache->chunk_bytes && cache->spare_count > 0)
		chunk->bytes = cache->spare[--cache->spare_count];
	else
		chunk->bytes = mem_alloc(cache->mem, chunk->room);
	return chunk;
}

uint8_t *cache_add(struct cache *cache, size_t size)
{
	struct cache_chunk *chunk = cache->chunk_count == 0 ? NULL : &cache->chunks[cache->chunk_count - 1];
	if (chunk == NULL || chunk->room - chunk->used < size)
		chunk = push_chunk(cache, size);
	size_t i = (size_t)(cache->last - cache->base);
	if (i == cache->at_room) {
		cache->at_room = cache->at_room == 0 ? 1024 : 2 * cache->at_room;
		cache->at = mem_resize(cache->mem, cache->at, cache->at_room * sizeof *cache->at);
	}
	uint8_t *at = chunk->bytes + chunk->used;
	chunk->used += size;
	cache->at[i] = at;
	cache->bytes += size;
	cache->last++;
	return at;
}

void cache_cut(struct cache *cache, uint64_t index)
{
	if (index > cache->last)
		return;
	CHECK_OP(index, >, cache->base);
	while (cache->chunks[cache->chunk_count - 1].first > index)
		pop_chunk(cache);
	struct cache_chunk *chunk = &cache->chunks[cache->chunk_count - 1];
	size_t used = (size_t)(cache->at[index - cache->base - 1] - chunk->bytes);
	cache->bytes -= chunk->used - used;
	chunk->used = used;
	cache->last = index - 1;
	if (used == 0)
		pop_chunk(cache);
}

void cache_drop(struct cache *cache, uint64_t base)
{
	CHECK_OP(base, >=, cache->base);
	CHECK_OP(base, <=, cache->last);
	if (base == cache->last) {
		cache_reset(cache, base);
		return;
	}
	if (base == cache->base)
		return;
	size_t whole = 0; /* Chunks that go. */
	while (whole + 1 < cache->chunk_count && cache->chunks[whole + 1].first <= base + 1) {
		cache->bytes -= cache->chunks[whole].used - cache->head;
		cache->head = 0;
		let_go(cache, &cache->chunks[whole++]);
	}
	cache->chunk_count -= whole;
	memmove(cache->chunks, cache->chunks + whole, cache->chunk_count * sizeof *cache->chunks);
	size_t gone = (size_t)(base - cache->base);
	memmove(cache->at, cache->at + gone, (size_t)(cache->last - base) * sizeof *cache->at);
	cache->base = base;
	size_t head = (size_t)(cache->at[0] - cache->chunks[0].bytes);
	cache->bytes -= head - cache->head;
	cache->head = head;
}

static const uint8_t *at_index(const struct cache *cache, uint64_t index)
{
	CHECK_OP(index, >, cache->base);
	CHECK_OP(index, <=, cache->last);
	return cache->at[index - cache->base - 1];
}

void cache_get(const struct cache *cache, uint64_t index, struct entry *entry)
{
	const uint8_t *at = at_index(cache, index);
	entry->length = get_le32(at + 4);
	entry->index = get_le64(at + 8);
	entry->term = get_le64(at + 16);
	entry->stamp = get_le64(at + 24);
	entry->group = get_le32(at + 32);
	entry->kind = get_le16(at + 36);
	entry->format = get_le16(at + 38);
	entry->request_node = get_le64(at + 40);
	entry->request_boot = get_le64(at + 48);
	entry->request_number = get_le64(at + 56);
	entry->payload = at + ENTRY_HEADER_BYTES;
}

/* The chunk in which `index` stands: the last one that starts at or before it. */
static const struct cache_chunk *chunk_of(const struct cache *cache, uint64_t index)
{
	size_t low = 0, high = cache->chunk_count;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (cache->chunks[middle].first <= index)
			low = middle;
		else
			high = middle;
	}
	return &cache->chunks[low];
}

uint64_t cache_piece(const struct cache *cache, uint64_t first, uint64_t last, size_t bytes_max, const uint8_t **bytes,
		     size_t *size)
{
	CHECK_OP(first, <=, last);
	CHECK_OP(last, <=, cache->last);
	const struct cache_chunk *chunk = chunk_of(cache, first);
	const uint8_t *end = chunk->bytes + chunk->used;
	const uint8_t *at = at_index(cache, first);
	*bytes = at;
	uint64_t index = first;
	for (;; index++) {
		at += entry_bytes(get_le32(at + 4));
		if (index == last || at == end || (size_t)(at - *bytes) + entry_bytes(get_le32(at + 4)) > bytes_max)
			break;
	}
	*size = (size_t)(at - *bytes);
	return index;
}
