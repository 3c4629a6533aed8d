/*
 * The store against a plain sorted array, over millions of random operations while roots are held, cleared under and
 * released in any order; and what its header promises, one by one.
 *
 * The array has a place for each key of a universe made beforehand, in order; a place says whether the key is there and
 * from which seed and size its value follows. A held root is compared with its own copy of the array.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROOTS_MAX = 6, VALUE_BYTES_MAX = 16 * 1024 * 1024 };

struct key {
	uint8_t *bytes;
	size_t size;
};

struct place {
	uint32_t seed; /* 0: the key is absent. */
	uint32_t size;
};

/* Keys by style, so that each way a node can look is met. */
enum style { SHORT, DECIMAL, LONG_PREFIX, HUGE_KEYS, MIXED };

struct world {
	struct rng rng;
	struct key *keys; /* Sorted, without doubles. */
	size_t key_count;
	struct place *now;
	uint64_t now_count;
	struct {
		struct store_root *root;
		struct place *places;
		uint64_t count;
	} held[ROOTS_MAX];
	struct mem mem;
	struct store *store;
	uint8_t *value;
};

static int by_key(const void *a, const void *b)
{
	const struct key *left = a, *right = b;
	size_t size = left->size < right->size ? left->size : right->size;
	int order = memcmp(left->bytes, right->bytes, size);
	return order != 0 ? order : (left->size > right->size) - (left->size < right->size);
}

static struct key make_key(struct rng *rng, enum style style)
{
	static const uint8_t letters[] = {0, 1, 'a', 'b', 0xfe, 0xff};
	if (style == MIXED)
		style = (enum style)rng_below(rng, HUGE_KEYS + (rng_below(rng, 50) == 0));
	size_t prefix = 0, size = rng_below(rng, 9);
	if (style == DECIMAL)
		size = 16;
	if (style == LONG_PREFIX) /* On both sides of what fits into a node. */
		size += prefix = rng_between(rng, 200, 300);
	if (style == HUGE_KEYS)
		size += prefix = rng_between(rng, 65536 - 40, 65536 - 9);
	struct key key = {malloc(size + 20), size};
	assert_non_null(key.bytes);
	memset(key.bytes, 'p', prefix);
	for (size_t i = prefix; i < size; i++)
		key.bytes[i] = letters[rng_below(rng, sizeof letters)];
	if (style == DECIMAL)
		snprintf((char *)key.bytes, 17, "key:%012u", (unsigned)rng_below(rng, 100000));
	return key;
}

static void make_universe(struct world *w, enum style style, size_t count)
{
	w->keys = calloc(count + 1, sizeof *w->keys);
	assert_non_null(w->keys);
	for (size_t i = 0; i < count; i++)
		w->keys[i] = make_key(&w->rng, style);
	w->keys[count] = (struct key){calloc(1, 1), 0}; /* The empty key. */
	qsort(w->keys, count + 1, sizeof *w->keys, by_key);
	w->key_count = 1;
	for (size_t i = 1; i <= count; i++) {
		if (by_key(&w->keys[w->key_count - 1], &w->keys[i]) == 0)
			free(w->keys[i].bytes);
		else
			w->keys[w->key_count++] = w->keys[i];
	}
}

static void world_open(struct world *w, uint64_t seed, enum style style, size_t count)
{
	memset(w, 0, sizeof *w);
	w->rng = rng_seed(seed);
	make_universe(w, style, count);
	w->now = calloc(w->key_count, sizeof *w->now);
	w->value = malloc(VALUE_BYTES_MAX);
	assert_true(w->now != NULL && w->value != NULL);
	mem_init(&w->mem, true);
	w->store = store_create(&w->mem);
}

static void fill_value(uint8_t *value, struct place place)
{
	for (uint32_t i = 0; i < place.size; i++)
		value[i] = (uint8_t)(place.seed + i * (1 + place.seed % 5));
}

static void check_value(struct world *w, struct place place, struct store_slice value)
{
	assert_int_equal(value.size, place.size);
	fill_value(w->value, place);
	assert_true(place.size == 0 || memcmp(value.bytes, w->value, place.size) == 0);
}

/* A cursor from `from` yields what the array has from there on, at most `limit` keys. */
static void check_walk(struct world *w, const struct store_root *root, const struct place *places, size_t from,
		       size_t limit)
{
	struct store_cursor cursor;
	struct store_slice key, value;
	store_seek(&cursor, w->store, root, w->keys[from].bytes, w->keys[from].size);
	for (size_t i = from; i < w->key_count && limit > 0; i++) {
		if (places[i].seed == 0)
			continue;
		limit--;
		assert_true(store_next(&cursor, &key, &value));
		assert_int_equal(key.size, w->keys[i].size);
		assert_memory_equal(key.bytes, w->keys[i].bytes, key.size);
		check_value(w, places[i], value);
	}
	if (limit > 0) {
		assert_false(store_next(&cursor, &key, &value));
		assert_false(store_next(&cursor, &key, &value));
	}
}

static void check_get(struct world *w, const struct store_root *root, const struct place *places, size_t i)
{
	struct store_slice value;
	bool found = root != NULL ? store_root_get(root, w->keys[i].bytes, w->keys[i].size, &value)
				  : store_get(w->store, w->keys[i].bytes, w->keys[i].size, &value);
	assert_int_equal(found, places[i].seed != 0);
	if (found)
		check_value(w, places[i], value);
}

static void check_all(struct world *w)
{
	store_verify(w->store);
	assert_int_equal(store_bytes(w->store), w->mem.bytes);
	assert_int_equal(store_count(w->store), w->now_count);
	check_walk(w, NULL, w->now, 0, SIZE_MAX);
	for (int h = 0; h < ROOTS_MAX; h++) {
		if (w->held[h].root == NULL)
			continue;
		assert_int_equal(store_root_count(w->held[h].root), w->held[h].count);
		check_walk(w, w->held[h].root, w->held[h].places, 0, SIZE_MAX);
		for (size_t i = 0; i < w->key_count; i++)
			check_get(w, w->held[h].root, w->held[h].places, i);
	}
}

static uint32_t value_size(struct world *w, size_t i)
{
	uint64_t kind = rng_below(&w->rng, 1000);
	if (kind < 400 && w->now[i].seed != 0)
		return w->now[i].size;
	if (kind < 450)
		return 0;
	if (kind < 900)
		return (uint32_t)rng_below(&w->rng, 80);
	if (kind < 990)
		return (uint32_t)rng_below(&w->rng, 300);
	return (uint32_t)rng_below(&w->rng, kind < 999 ? 5000 : 100000);
}

static void world_put(struct world *w, size_t i)
{
	struct place place = {.size = value_size(w, i)};
	place.seed = (uint32_t)rng_next(&w->rng) | 1;
	fill_value(w->value, place);
	bool is_new = store_put(w->store, w->keys[i].bytes, w->keys[i].size, w->value, place.size);
	assert_int_equal(is_new, w->now[i].seed == 0);
	w->now_count += is_new;
	w->now[i] = place;
}

static void world_delete(struct world *w, size_t i)
{
	bool was = store_delete(w->store, w->keys[i].bytes, w->keys[i].size);
	assert_int_equal(was, w->now[i].seed != 0);
	w->now_count -= was;
	w->now[i].seed = 0;
}

static void world_clear(struct world *w)
{
	store_clear(w->store);
	memset(w->now, 0, w->key_count * sizeof *w->now);
	w->now_count = 0;
}

static void world_release(struct world *w, size_t h)
{
	store_release(w->store, w->held[h].root);
	free(w->held[h].places);
	w->held[h].root = NULL;
}

static void hold_or_release(struct world *w)
{
	size_t h = rng_below(&w->rng, ROOTS_MAX);
	if (w->held[h].root != NULL) {
		world_release(w, h);
		return;
	}
	w->held[h].root = store_hold(w->store);
	w->held[h].count = w->now_count;
	w->held[h].places = malloc(w->key_count * sizeof *w->now);
	assert_non_null(w->held[h].places);
	memcpy(w->held[h].places, w->now, w->key_count * sizeof *w->now);
}

static void world_close(struct world *w)
{
	for (size_t h = 0; h < ROOTS_MAX; h++) {
		if (w->held[h].root != NULL)
			world_release(w, h);
	}
	store_destroy(w->store);
	assert_int_equal(w->mem.bytes, 0);
	for (size_t i = 0; i < w->key_count; i++)
		free(w->keys[i].bytes);
	free(w->keys);
	free(w->now);
	free(w->value);
}

/* Some of these keys are asked for later, some never; some are not there. */
static void world_expect(struct world *w)
{
	struct store_slice keys[STORE_AHEAD_MAX + 1];
	size_t count = rng_below(&w->rng, STORE_AHEAD_MAX + 2);
	size_t indexes[STORE_AHEAD_MAX + 1];
	for (size_t i = 0; i < count; i++) {
		indexes[i] = rng_below(&w->rng, w->key_count);
		keys[i] = (struct store_slice){w->keys[indexes[i]].bytes, w->keys[indexes[i]].size};
	}
	store_expect(w->store, keys, count);
	for (size_t i = 0; i < count; i++) {
		uint64_t kind = rng_below(&w->rng, 100);
		if (kind < 45)
			check_get(w, NULL, w->now, indexes[i]);
		else if (kind < 90)
			world_put(w, indexes[i]);
		else if (kind < 92)
			world_delete(w, indexes[i]);
	}
}

/* `put_percent` of the changes are puts; the rest are deletes. */
static void random_step(struct world *w, uint64_t put_percent)
{
	size_t i = rng_below(&w->rng, w->key_count);
	uint64_t kind = rng_below(&w->rng, 1000);
	if (kind < 700) {
		if (rng_below(&w->rng, 100) < put_percent)
			world_put(w, i);
		else
			world_delete(w, i);
	} else if (kind < 900) {
		check_get(w, NULL, w->now, i);
	} else if (kind < 920) {
		world_expect(w);
	} else if (kind < 995) {
		size_t h = rng_below(&w->rng, ROOTS_MAX);
		bool held = w->held[h].root != NULL;
		check_walk(w, held ? w->held[h].root : NULL, held ? w->held[h].places : w->now, i, 5);
		if (held)
			check_get(w, w->held[h].root, w->held[h].places, rng_below(&w->rng, w->key_count));
	} else {
		store_idle(w->store, rng_below(&w->rng, 30));
	}
}

static void random_run(uint64_t seed, enum style style, size_t key_count, uint64_t steps, uint64_t check_every)
{
	struct world w;
	world_open(&w, seed, style, key_count);
	for (uint64_t step = 1; step <= steps; step++) {
		uint64_t season =
			step * 8 / steps; /* The tree grows, then shrinks to almost nothing, again and again. */
		random_step(&w, season % 2 == 0 ? 70 : 20);
		if (rng_below(&w.rng, check_every / 8 + 1) == 0)
			hold_or_release(&w);
		if (rng_below(&w.rng, steps / 6 + 1) == 0)
			world_clear(&w);
		if (step % check_every == 0)
			check_all(&w);
	}
	check_all(&w);
	for (size_t i = 0; i < w.key_count; i++)
		world_delete(&w, i);
	check_all(&w);
	world_close(&w);
}

static void test_random_short(void **state)
{
	random_run(1, SHORT, 3000, 800000, 20000);
	for (uint64_t seed = 100; seed < 140; seed++)
		random_run(seed, SHORT, 5 + seed % 100, 4000, 100);
}

static void test_random_decimal(void **state)
{
	random_run(2, DECIMAL, 20000, 1200000, 100000);
}

static void test_random_long(void **state)
{
	random_run(3, LONG_PREFIX, 3000, 300000, 20000);
	random_run(4, HUGE_KEYS, 150, 5000, 500);
}

static void test_random_mixed(void **state)
{
	random_run(5, MIXED, 4000, 500000, 25000);
}

static void test_empty(void **state)
{
	struct mem mem;
	mem_init(&mem, true);
	struct store *store = store_create(&mem);
	struct store_slice key, value;
	struct store_cursor cursor;
	assert_false(store_get(store, "", 0, &value));
	assert_false(store_delete(store, "a", 1));
	store_seek(&cursor, store, NULL, "", 0);
	assert_false(store_next(&cursor, &key, &value));
	struct store_root *root = store_hold(store);
	store_clear(store);
	assert_true(store_put(store, NULL, 0, "large", 0));
	static const char large[1000];
	assert_false(store_put(store, NULL, 0, large, sizeof large));
	assert_false(store_put(store, "", 0, NULL, 0));
	assert_true(store_get(store, "", 0, &value));
	assert_int_equal(value.size, 0);
	assert_false(store_root_get(root, "", 0, &value));
	assert_int_equal(store_root_count(root), 0);
	assert_int_equal(store_count(store), 1);
	store_verify(store);
	store_release(store, root);
	assert_false(store_idle(store, 1));
	store_destroy(store);
	assert_int_equal(mem.bytes, 0);
}

/* The largest key with the largest value, overwritten in place, and while it is held. */
static void test_giants(void **state)
{
	struct mem mem;
	mem_init(&mem, true);
	struct store *store = store_create(&mem);
	uint8_t *value = calloc(1, VALUE_BYTES_MAX), *key = calloc(1, 65536);
	assert_true(value != NULL && key != NULL);
	struct store_slice found, old;
	assert_true(store_put(store, key, 65536, value, VALUE_BYTES_MAX));
	assert_true(store_put(store, key, 65535, value, 1));
	size_t bytes = store_bytes(store);
	value[VALUE_BYTES_MAX - 1] = 7;
	assert_false(store_put(store, key, 65536, value, VALUE_BYTES_MAX));
	assert_int_equal(store_bytes(store), bytes);
	struct store_root *root = store_hold(store);
	value[VALUE_BYTES_MAX - 1] = 8;
	assert_false(store_put(store, key, 65536, value, VALUE_BYTES_MAX));
	assert_true(store_bytes(store) > bytes + VALUE_BYTES_MAX);
	assert_true(store_get(store, key, 65536, &found));
	assert_true(store_root_get(root, key, 65536, &old));
	assert_int_equal(found.size, VALUE_BYTES_MAX);
	assert_int_equal(found.bytes[VALUE_BYTES_MAX - 1], 8);
	assert_int_equal(old.bytes[VALUE_BYTES_MAX - 1], 7);
	store_verify(store);
	store_release(store, root);
	assert_false(store_idle(store, SIZE_MAX));
	assert_int_equal(store_bytes(store), bytes);
	assert_true(store_delete(store, key, 65536));
	assert_false(store_put(store, key, 65535, NULL, 0));
	store_verify(store);
	store_destroy(store);
	assert_int_equal(mem.bytes, 0);
	free(key);
	free(value);
}

static size_t decimal_key(char *key, unsigned n)
{
	return (size_t)snprintf(key, 20, "key:%08u", n);
}

static void load(struct store *store, unsigned count, bool ascending)
{
	char key[20], value[64] = "v";
	for (unsigned i = 0; i < count; i++) {
		size_t size = decimal_key(key, ascending ? i : count - 1 - i);
		assert_true(store_put(store, key, size, value, sizeof value));
	}
}

static void test_sorted_loads(void **state)
{
	enum { COUNT = 50000 };
	for (int way = 0; way < 4; way++) {
		struct mem mem;
		mem_init(&mem, true);
		struct store *store = store_create(&mem);
		load(store, COUNT, way % 2 == 0);
		store_verify(store);
		assert_true(store_bytes(store) / COUNT < (way % 2 == 0 ? 105 : 130)); /* 76 of them are the user's. */
		for (unsigned i = 0; i < COUNT; i++) {
			char key[20];
			size_t size = decimal_key(key, way / 2 == 0 ? i : COUNT - 1 - i);
			assert_true(store_delete(store, key, size));
			if (i % 10000 == 0)
				store_verify(store);
		}
		assert_int_equal(store_count(store), 0);
		store_destroy(store);
		assert_int_equal(mem.bytes, 0);
	}
}

/* Deleting most keys of each neighbourhood gives their memory back: small neighbours join. */
static void test_thinning_joins(void **state)
{
	enum { COUNT = 50000 };
	struct mem mem;
	mem_init(&mem, true);
	struct store *store = store_create(&mem);
	load(store, COUNT, true);
	for (unsigned i = 0; i < COUNT; i++) {
		char key[20];
		size_t size = decimal_key(key, i);
		if (i % 50 != 0)
			assert_true(store_delete(store, key, size));
	}
	store_verify(store);
	assert_true(store_bytes(store) / store_count(store) < 160);
	store_destroy(store);
}

/* With no root held, values of unchanged size are written where the old ones were. */
static void test_overwrite_in_place(void **state)
{
	enum { COUNT = 5000 };
	struct mem mem;
	mem_init(&mem, true);
	struct store *store = store_create(&mem);
	load(store, COUNT, true);
	store_release(store, store_hold(store)); /* A root that came and went changes nothing. */
	size_t bytes = mem.bytes;
	const struct list *last = mem.blocks.prev;
	for (unsigned i = 0; i < COUNT; i++) {
		char key[20], value[64] = "w";
		size_t size = decimal_key(key, i);
		struct store_slice before, after;
		assert_true(store_get(store, key, size, &before));
		assert_false(store_put(store, key, size, value, sizeof value));
		assert_true(store_get(store, key, size, &after));
		assert_ptr_equal(before.bytes, after.bytes);
		assert_memory_equal(after.bytes, value, sizeof value);
	}
	assert_int_equal(mem.bytes, bytes);
	assert_ptr_equal(mem.blocks.prev, last);
	store_verify(store);
	store_destroy(store);
}

/* Expected keys are found and overwritten in place, in any order, without memory; what moves them is noticed. */
static void test_expect(void **state)
{
	enum { COUNT = 5000 };
	struct mem mem;
	mem_init(&mem, true);
	struct store *store = store_create(&mem);
	char key[STORE_AHEAD_MAX][20], value[64] = "w";
	struct store_slice keys[STORE_AHEAD_MAX], found, old;
	store_expect(store, keys, 0);
	for (size_t i = 0; i < STORE_AHEAD_MAX; i++)
		keys[i] = (struct store_slice){(const uint8_t *)key[i], decimal_key(key[i], (unsigned)i * 311)};
	store_expect(store, keys, STORE_AHEAD_MAX);
	assert_false(store_get(store, key[0], keys[0].size, &found));
	load(store, COUNT, true);
	size_t bytes = mem.bytes;
	for (unsigned round = 0; round < 3; round++) {
		store_expect(store, keys, STORE_AHEAD_MAX);
		store_verify(store);
		for (size_t i = 0; i < STORE_AHEAD_MAX; i++) {
			size_t at = round == 0 ? i : round == 1 ? STORE_AHEAD_MAX - 1 - i : i / 2 * 2;
			value[1] = (char)(round * 16 + i);
			assert_false(store_put(store, key[at], keys[at].size, value, sizeof value));
			assert_true(store_get(store, key[at], keys[at].size, &found));
			assert_memory_equal(found.bytes, value, sizeof value);
		}
		store_verify(store);
	}
	assert_int_equal(mem.bytes, bytes);

	/* A root that is held in between keeps what it had. */
	store_expect(store, keys, STORE_AHEAD_MAX);
	struct store_root *root = store_hold(store);
	value[1] = 'h';
	for (size_t i = 0; i < STORE_AHEAD_MAX; i++) {
		assert_false(store_put(store, key[i], keys[i].size, value, sizeof value));
		assert_true(store_root_get(root, key[i], keys[i].size, &old));
		assert_true(old.bytes[1] != 'h');
		assert_true(store_get(store, key[i], keys[i].size, &found));
		assert_int_equal(found.bytes[1], 'h');
	}
	store_verify(store);
	store_release(store, root);

	/* Neighbours that go and come move what was expected. */
	static const char large[300];
	store_expect(store, keys, STORE_AHEAD_MAX);
	for (unsigned i = 0; i < 10; i++) {
		char other[20];
		assert_true(store_delete(store, other, decimal_key(other, i * 311 + 1)));
		assert_true(store_put(store, other, decimal_key(other, COUNT + i), large, sizeof large));
		assert_true(store_get(store, key[i], keys[i].size, &found));
		assert_int_equal(found.bytes[1], 'h');
	}
	store_expect(store, keys, STORE_AHEAD_MAX);
	store_clear(store);
	assert_false(store_get(store, key[0], keys[0].size, &found));
	assert_true(store_put(store, key[0], keys[0].size, value, sizeof value));
	store_verify(store);
	store_destroy(store);
	assert_int_equal(mem.bytes, 0);
}

/* A hold costs no copy; a change under it costs one path; its release gives all back. */
static void test_hold_costs_paths(void **state)
{
	struct mem mem;
	mem_init(&mem, true);
	struct store *store = store_create(&mem);
	load(store, 50000, true);
	size_t bytes = store_bytes(store);
	struct store_root *root = store_hold(store);
	assert_true(store_bytes(store) - bytes < 100);
	char key[20], value[64] = "w";
	size_t size = decimal_key(key, 25000);
	store_put(store, key, size, value, sizeof value);
	size_t path_bytes = store_bytes(store) - bytes;
	assert_true(path_bytes > 500 && path_bytes < 5 * 4096);
	store_put(store, key, size, value, sizeof value);
	assert_int_equal(store_bytes(store) - bytes, path_bytes);
	store_release(store, root);
	assert_int_equal(store_bytes(store) - bytes, path_bytes);
	assert_true(store_idle(store, 1));
	assert_true(store_bytes(store) - bytes < path_bytes);
	assert_false(store_idle(store, 100));
	assert_int_equal(store_bytes(store), bytes);
	store_destroy(store);
}

/* A clear leaves held roots whole, and the rest goes in small steps, while writes go on. */
static void test_clear_under_held_roots(void **state)
{
	enum { COUNT = 20000 };
	struct mem mem;
	mem_init(&mem, true);
	struct store *store = store_create(&mem);
	load(store, COUNT, true);
	struct store_root *old = store_hold(store);
	char key[20];
	for (unsigned i = 0; i < COUNT; i += 100)
		store_put(store, key, decimal_key(key, i), "x", 1);
	struct store_root *young = store_hold(store);
	store_clear(store);
	assert_int_equal(store_count(store), 0);
	load(store, COUNT / 2, false);
	store_clear(store);
	load(store, 10, true);
	store_verify(store);
	while (store_idle(store, 7))
		;
	store_verify(store);
	struct store_slice value;
	for (unsigned i = 0; i < COUNT; i++) {
		size_t size = decimal_key(key, i);
		assert_int_equal(store_get(store, key, size, &value), i < 10);
		assert_true(store_root_get(old, key, size, &value));
		assert_int_equal(value.size, 64);
		assert_true(store_root_get(young, key, size, &value));
		assert_int_equal(value.size, i % 100 == 0 ? 1 : 64);
	}
	store_release(store, old);
	while (store_idle(store, 1))
		;
	store_verify(store);
	assert_int_equal(store_root_count(young), COUNT);
	size_t bytes = store_bytes(store);
	store_release(store, young);
	unsigned turns = 0;
	for (; store_idle(store, 10); turns++) {
		assert_true(bytes - store_bytes(store) <= 10 * 4096);
		bytes = store_bytes(store);
		if (turns % 50 == 0)
			store_verify(store);
	}
	assert_true(turns > 100);
	assert_true(store_bytes(store) < 4096);
	store_destroy(store);
	assert_int_equal(mem.bytes, 0);
}

/* Where blocks lie in memory decides nothing: two stores given the same changes have the same shape at each step. */
static void test_same_shape(void **state)
{
	struct mem mem[2];
	struct store *store[2];
	struct store_root *root[2] = {NULL, NULL};
	for (int s = 0; s < 2; s++) {
		mem_init(&mem[s], s == 0);
		store[s] = store_create(&mem[s]);
	}
	struct rng rng = rng_seed(9);
	static const char value[400];
	for (unsigned step = 0; step < 100000; step++) {
		char key[20];
		size_t size = decimal_key(key, (unsigned)rng_below(&rng, 5000));
		uint64_t kind = rng_below(&rng, 1000), value_bytes = rng_below(&rng, sizeof value);
		for (int s = 0; s < 2; s++) {
			if (kind < 500)
				store_put(store[s], key, size, value, value_bytes);
			else if (kind < 980)
				store_delete(store[s], key, size);
			else if (kind < 990)
				store_idle(store[s], value_bytes);
			else if (root[s] == NULL)
				root[s] = store_hold(store[s]);
			else {
				store_release(store[s], root[s]);
				root[s] = NULL;
			}
		}
		assert_int_equal(store_bytes(store[0]), store_bytes(store[1]));
	}
	for (int s = 0; s < 2; s++) {
		if (root[s] != NULL)
			store_release(store[s], root[s]);
		store_destroy(store[s]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_giants),
		cmocka_unit_test(test_sorted_loads),
		cmocka_unit_test(test_thinning_joins),
		cmocka_unit_test(test_overwrite_in_place),
		cmocka_unit_test(test_expect),
		cmocka_unit_test(test_hold_costs_paths),
		cmocka_unit_test(test_clear_under_held_roots),
		cmocka_unit_test(test_same_shape),
		cmocka_unit_test(test_random_short),
		cmocka_unit_test(test_random_decimal),
		cmocka_unit_test(test_random_long),
		cmocka_unit_test(test_random_mixed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
