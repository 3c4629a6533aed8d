/*
 * What the store costs: nanoseconds a call and bytes a key, for keys of 16 bytes and values of 64.
 *
 *	gcc -O2 -g -std=gnu11 -Iinclude -Isrc -o build/bench-store bench/store.c src/store/[a-z]*.c src/base/[a-z]*.c
 *	build/bench-store [keys]
 *
 * Each line is the median of three rounds of processor time. "held" means that a root was held just before, so that
 * each first change of a node copies it.
 */
#include "store/store.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 3, KEY_BYTES = 16, VALUE_BYTES = 64 };
#ifndef GROUP
#define GROUP 16
#endif

struct bench {
	uint64_t keys;
	char (*sorted)[KEY_BYTES];
	char (*shuffled)[KEY_BYTES];
	struct mem mem;
	struct store *store;
	uint64_t sum; /* So that no read is left out by the compiler. */
};

enum phase {
	PUT_RANDOM,
	GET,
	GET_EXPECTED,
	GET_ABSENT,
	OVERWRITE,
	OVERWRITE_EXPECTED,
	OVERWRITE_HELD,
	SCAN,
	DELETE_HALF,
	PUT_EXPECTED,
	PUT_ASCENDING,
	PHASES
};
static const char *const names[PHASES] = {
	[PUT_RANDOM] = "put, random order",
	[GET] = "get",
	[GET_EXPECTED] = "get, expected",
	[GET_ABSENT] = "get, absent",
	[OVERWRITE] = "overwrite",
	[OVERWRITE_EXPECTED] = "overwrite, expected",
	[OVERWRITE_HELD] = "overwrite, held",
	[SCAN] = "scan",
	[DELETE_HALF] = "delete half",
	[PUT_EXPECTED] = "put, expected",
	[PUT_ASCENDING] = "put, ascending",
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void make_keys(struct bench *b)
{
	b->sorted = mem_alloc(&b->mem, b->keys * KEY_BYTES);
	b->shuffled = mem_alloc(&b->mem, b->keys * KEY_BYTES);
	struct rng rng = rng_seed(1);
	for (uint64_t i = 0; i < b->keys; i++) {
		char key[KEY_BYTES + 1];
		snprintf(key, sizeof key, "key:%0*" PRIu64, KEY_BYTES - 4, i % 1000000000000);
		memcpy(b->sorted[i], key, KEY_BYTES);
		uint64_t j = rng_below(&rng, i + 1);
		memmove(b->shuffled[i], b->shuffled[j], KEY_BYTES);
		memcpy(b->shuffled[j], key, KEY_BYTES);
	}
}

static size_t resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long total = 0, resident = 0;
	if (f == NULL || fscanf(f, "%lu %lu", &total, &resident) != 2)
		resident = 0;
	if (f != NULL)
		fclose(f);
	return (size_t)resident * 4096;
}

static void start_empty(struct bench *b)
{
	if (b->store != NULL)
		store_destroy(b->store);
	b->store = store_create(&b->mem);
}

static void expect(struct bench *b, uint64_t first)
{
	struct store_slice keys[STORE_AHEAD_MAX];
	size_t count = 0;
	for (; count < GROUP && first + count < b->keys; count++)
		keys[count] = (struct store_slice){(const uint8_t *)b->shuffled[first + count], KEY_BYTES};
	store_expect(b->store, keys, count);
}

static double run(struct bench *b, enum phase phase)
{
	if (phase == PUT_RANDOM || phase == PUT_EXPECTED || phase == PUT_ASCENDING)
		start_empty(b);
	struct store_root *root = phase == OVERWRITE_HELD ? store_hold(b->store) : NULL;
	struct store_slice slice = {NULL, 0}, found = {NULL, 0};
	struct store_cursor cursor;
	bool expected = phase == GET_EXPECTED || phase == OVERWRITE_EXPECTED || phase == PUT_EXPECTED;
	char key[KEY_BYTES], value[VALUE_BYTES] = "value";
	uint64_t calls = phase == DELETE_HALF ? b->keys / 2 : b->keys, start = now_ns();
	if (phase == SCAN)
		store_seek(&cursor, b->store, NULL, "", 0);
	for (uint64_t i = 0; i < calls; i++) {
		memcpy(key, phase == PUT_ASCENDING ? b->sorted[i] : b->shuffled[i], sizeof key);
		if (phase == GET_ABSENT)
			key[KEY_BYTES - 1] = 'x';
		value[0] = (char)i;
		if (expected && i % GROUP == 0)
			expect(b, i);
		if (phase == SCAN)
			b->sum += store_next(&cursor, &slice, &found) ? found.bytes[0] : 0u;
		else if (phase == GET || phase == GET_ABSENT || phase == GET_EXPECTED)
			b->sum += store_get(b->store, key, sizeof key, &found) ? found.bytes[0] : 0u;
		else if (phase == DELETE_HALF)
			store_delete(b->store, key, sizeof key);
		else
			store_put(b->store, key, sizeof key, value, sizeof value);
	}
	double ns = (double)(now_ns() - start) / (double)calls;
	if (root != NULL)
		store_release(b->store, root);
	while (store_idle(b->store, 1000))
		;
	return ns;
}

static int by_value(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return (left > right) - (left < right);
}

int main(int argc, char **argv)
{
	struct bench b = {.keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000};
	mem_init(&b.mem, false);
	make_keys(&b);
	size_t before = resident_bytes(), bytes[PHASES] = {0}, resident = 0;
	double ns[PHASES][ROUNDS];
	for (int round = 0; round < ROUNDS; round++) {
		for (enum phase phase = 0; phase < PHASES; phase++) {
			ns[phase][round] = run(&b, phase);
			bytes[phase] = store_bytes(b.store) / store_count(b.store);
			if (round == 0 && phase == PUT_RANDOM)
				resident = resident_bytes() - before;
		}
	}
	printf("%" PRIu64 " keys of %d bytes, values of %d\n", b.keys, KEY_BYTES, VALUE_BYTES);
	for (enum phase phase = 0; phase < PHASES; phase++) {
		qsort(ns[phase], ROUNDS, sizeof ns[phase][0], by_value);
		printf("%-22s %6.0f ns  %4zu bytes a key\n", names[phase], ns[phase][ROUNDS / 2], bytes[phase]);
	}
	printf("resident after the first puts: %zu bytes a key\n", resident / b.keys);
	store_destroy(b.store);
	mem_free(&b.mem, b.sorted);
	mem_free(&b.mem, b.shuffled);
	return b.sum == 0;
}
