/* The node's log cache against a plain array of the entries it was given. */
#include "base/rng.h"
#include "node/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define MODEL_MAX 4096
#define PAYLOAD_MAX 300

struct model {
	uint64_t base;
	uint64_t count;
	uint64_t token[MODEL_MAX]; /* Stands in the entry's request number, and in its payload. */
	uint32_t length[MODEL_MAX];
};

static void add(struct cache *cache, struct model *model, struct rng *rng)
{
	uint8_t payload[PAYLOAD_MAX];
	uint32_t length = (uint32_t)rng_below(rng, rng_below(rng, 10) == 0 ? PAYLOAD_MAX : 20);
	uint64_t token = rng_next(rng);
	memset(payload, (int)(token & 0xff), sizeof payload);
	const struct entry entry = {
		.index = cache->last + 1,
		.term = 1 + cache->last / 7,
		.stamp = token / 3,
		.group = 4,
		.kind = ENTRY_COMMAND,
		.format = 5,
		.request_node = 6,
		.request_boot = 7,
		.request_number = token,
		.length = length,
		.payload = payload,
	};
	entry_encode(cache_add(cache, entry_bytes(length)), &entry);
	model->token[model->count] = token;
	model->length[model->count] = length;
	model->count++;
}

static void check_entry(const struct model *model, uint64_t index, const struct entry *entry)
{
	uint64_t i = index - model->base - 1;
	assert_int_equal(entry->index, index);
	assert_int_equal(entry->term, 1 + (index - 1) / 7);
	assert_int_equal(entry->stamp, model->token[i] / 3);
	assert_int_equal(entry->group, 4);
	assert_int_equal(entry->kind, ENTRY_COMMAND);
	assert_int_equal(entry->format, 5);
	assert_int_equal(entry->request_node, 6);
	assert_int_equal(entry->request_boot, 7);
	assert_int_equal(entry->request_number, model->token[i]);
	assert_int_equal(entry->length, model->length[i]);
	for (uint32_t j = 0; j < entry->length; j++)
		assert_int_equal(entry->payload[j], model->token[i] & 0xff);
}

static void check_all(const struct cache *cache, const struct model *model)
{
	assert_int_equal(cache->base, model->base);
	assert_int_equal(cache->last, model->base + model->count);
	size_t bytes = 0;
	for (uint64_t i = 0; i < model->count; i++)
		bytes += entry_bytes(model->length[i]);
	assert_int_equal(cache->bytes, bytes);
	for (uint64_t index = model->base + 1; index <= cache->last; index++) {
		struct entry entry;
		cache_get(cache, index, &entry);
		check_entry(model, index, &entry);
	}
}

static void drop(struct cache *cache, struct model *model, uint64_t count)
{
	cache_drop(cache, model->base + count);
	model->base += count;
	model->count -= count;
	memmove(model->token, model->token + count, model->count * sizeof *model->token);
	memmove(model->length, model->length + count, model->count * sizeof *model->length);
}

/* A piece is whole, valid entries; as long as it can be. */
static void check_piece(const struct cache *cache, const struct model *model, struct rng *rng)
{
	uint64_t first = model->base + 1 + rng_below(rng, model->count);
	uint64_t last = rng_between(rng, first, cache->last);
	size_t bytes_max = rng_below(rng, 2000);
	const uint8_t *bytes;
	size_t size;
	uint64_t end = cache_piece(cache, first, last, bytes_max, &bytes, &size);
	assert_in_range(end, first, last);
	size_t at = 0;
	for (uint64_t index = first; index <= end; index++) {
		struct entry entry;
		size_t used = entry_decode(bytes + at, size - at, &entry);
		assert_int_not_equal(used, 0);
		check_entry(model, index, &entry);
		at += used;
	}
	assert_int_equal(at, size);
	assert_true(size <= bytes_max || end == first);
	if (end == last)
		return;
	struct entry next;
	cache_get(cache, end + 1, &next);
	bool adjacent = next.payload - ENTRY_HEADER_BYTES == bytes + size;
	assert_true(!adjacent || size + entry_bytes(next.length) > bytes_max);
}

static void run(uint64_t seed, size_t chunk_bytes)
{
	static struct model model;
	struct mem mem;
	struct cache cache;
	struct rng rng = rng_seed(seed);
	memset(&model, 0, sizeof model);
	mem_init(&mem, true);
	cache_init(&cache, &mem, chunk_bytes);
	for (int i = 0; i < 3000; i++) {
		uint64_t what = rng_below(&rng, 100);
		if (what < 70 && model.count < MODEL_MAX) {
			add(&cache, &model, &rng);
		} else if (what < 75 && model.count > 0) {
			uint64_t keep = model.count - rng_below(&rng, model.count < 40 ? model.count + 1 : 40);
			cache_cut(&cache, model.base + keep + 1);
			model.count = keep;
		} else if (what < 76) {
			cache_cut(&cache, cache.last + 1 + rng_below(&rng, 3)); /* Nothing is there. */
		} else if (what < 78) {
			uint64_t most = rng_below(&rng, 4) == 0 ? model.count : model.count / 4;
			drop(&cache, &model, rng_below(&rng, most + 1));
		} else if (what < 98 && model.count > 0) {
			check_piece(&cache, &model, &rng);
		} else if (what == 99 && rng_below(&rng, 20) == 0) {
			model.base = rng_below(&rng, 1000);
			model.count = 0;
			cache_reset(&cache, model.base);
		}
		if (i % 100 == 0)
			check_all(&cache, &model);
	}
	check_all(&cache, &model);
	cache_free(&cache);
	assert_int_equal(mem.bytes, 0);
}

static void test_against_the_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++)
		run(seed, seed % 3 == 0 ? 64 : seed % 3 == 1 ? 1000 : 65536);
}

/* What was cut is forgotten, and its place holds what came instead. */
static void test_cut_to_nothing(void **state)
{
	static struct model model;
	struct mem mem;
	struct cache cache;
	struct rng rng = rng_seed(5);
	(void)state;
	mem_init(&mem, true);
	cache_init(&cache, &mem, 256);
	for (int round = 0; round < 3; round++) {
		model.count = 0;
		for (int i = 0; i < 20; i++)
			add(&cache, &model, &rng);
		check_all(&cache, &model);
		cache_cut(&cache, 1);
		assert_int_equal(cache.last, 0);
		assert_int_equal(cache.chunk_count, 0);
	}
	cache_free(&cache);
	assert_int_equal(mem.bytes, 0);
}

/* What is dropped gives its memory back, a chunk at a time; some are used again. */
static void test_drop_frees(void **state)
{
	static struct model model;
	struct mem mem;
	struct cache cache;
	struct rng rng = rng_seed(6);
	(void)state;
	memset(&model, 0, sizeof model);
	mem_init(&mem, true);
	cache_init(&cache, &mem, 4096);
	for (int i = 0; i < 2000; i++)
		add(&cache, &model, &rng);
	size_t chunks = cache.chunk_count;
	drop(&cache, &model, 1000);
	assert_in_range(cache.chunk_count, chunks / 2 - 1, chunks / 2 + 2);
	check_all(&cache, &model);
	drop(&cache, &model, 1000);
	assert_int_equal(cache.chunk_count, 0);
	check_all(&cache, &model);
	assert_in_range(cache.spare_count, 1, CACHE_SPARE_MAX);
	size_t bytes = mem.bytes;
	for (int i = 0; i < 100; i++)
		add(&cache, &model, &rng);
	assert_int_equal(mem.bytes, bytes);
	check_all(&cache, &model);
	cache_free(&cache);
	assert_int_equal(mem.bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_the_model),
		cmocka_unit_test(test_cut_to_nothing),
		cmocka_unit_test(test_drop_frees),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
