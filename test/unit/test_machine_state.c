/* The machine's state as pieces, and its digest: what was saved is what is loaded, whatever happened meanwhile. */
#include "base/rng.h"
#include "server/machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { KEYS = 500, PIECES_MAX = 4000 };

struct pieces {
	struct buf bytes;
	size_t ends[PIECES_MAX];
	size_t count;
};

static struct mem mem;

static struct slice key_of(char *text, uint64_t n)
{
	return (struct slice){(const uint8_t *)text, (size_t)snprintf(text, 32, "key %u", (unsigned)n)};
}

static void change(struct machine *m, struct rng *rng)
{
	char text[32];
	static uint8_t value[3000];
	struct slice key = key_of(text, rng_below(rng, KEYS));
	if (rng_below(rng, 4) == 0) {
		keyspace_delete(&m->keyspace, key);
		return;
	}
	size_t size = rng_below(rng, rng_below(rng, 20) == 0 ? sizeof value : 40);
	memset(value, (int)rng_below(rng, 256), size);
	keyspace_put(&m->keyspace, key, (struct slice){value, size});
}

static bool same_digest(const struct machine *a, const struct machine *b)
{
	uint8_t left[MACHINE_DIGEST_BYTES], right[MACHINE_DIGEST_BYTES];
	machine_digest(a, left);
	machine_digest(b, right);
	return memcmp(left, right, sizeof left) == 0;
}

static void load_all(struct machine *m, const struct pieces *pieces)
{
	machine_load_begin(m);
	size_t start = 0;
	for (size_t i = 0; i < pieces->count; i++) {
		assert_true(machine_load(m, buf_at(&pieces->bytes) + start, pieces->ends[i] - start));
		start = pieces->ends[i];
	}
}

/* Held, then saved piece by piece while it is changed; the copy is the state as it was when it was held. */
static void test_saved_and_loaded(void **state)
{
	(void)state;
	static struct pieces pieces;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct rng rng = rng_seed(seed);
		mem_init(&mem, true);
		struct machine *m = machine_create(&mem), *twin = machine_create(&mem), *copy = machine_create(&mem);
		buf_init(&pieces.bytes, &mem);
		pieces.count = 0;
		uint64_t changes = seed == 1 ? 0 : rng_below(&rng, 3000);
		struct rng again = rng;
		for (uint64_t i = 0; i < changes; i++)
			change(m, &rng);
		for (uint64_t i = 0; i < changes; i++)
			change(twin, &again);
		struct machine_held *held = machine_hold(m);
		size_t bytes = 1 + rng_below(&rng, 2000);
		for (bool more = true; more;) {
			size_t before = buf_size(&pieces.bytes);
			more = machine_save(held, &pieces.bytes, bytes);
			if (buf_size(&pieces.bytes) > before)
				pieces.ends[pieces.count++] = buf_size(&pieces.bytes);
			for (int i = 0; i < 20; i++)
				change(m, &rng);
		}
		machine_release(m, held);
		/* What the copy held goes. */
		change(copy, &rng);
		load_all(copy, &pieces);
		assert_true(same_digest(copy, twin));
		assert_int_equal(keyspace_count(&copy->keyspace), keyspace_count(&twin->keyspace));
		store_verify(copy->keyspace.store);
		buf_free(&pieces.bytes);
		machine_destroy(m);
		machine_destroy(twin);
		machine_destroy(copy);
		assert_int_equal(mem.bytes, 0);
	}
}

/* The digest is that of the contents, whatever way led there; any difference shows. */
static void test_digest(void **state)
{
	(void)state;
	mem_init(&mem, true);
	struct machine *a = machine_create(&mem), *b = machine_create(&mem);
	char text[32];
	for (uint64_t i = 0; i < 200; i++)
		keyspace_put(&a->keyspace, key_of(text, i), (struct slice){(const uint8_t *)"value", 5});
	for (uint64_t i = 200; i-- > 0;) {
		keyspace_put(&b->keyspace, key_of(text, i), (struct slice){(const uint8_t *)"other, longer", 13});
		keyspace_put(&b->keyspace, key_of(text, i + 1000), (struct slice){(const uint8_t *)"", 0});
		keyspace_put(&b->keyspace, key_of(text, i), (struct slice){(const uint8_t *)"value", 5});
		keyspace_delete(&b->keyspace, key_of(text, i + 1000));
	}
	assert_true(same_digest(a, b));
	keyspace_put(&b->keyspace, key_of(text, 7), (struct slice){(const uint8_t *)"valuf", 5});
	assert_false(same_digest(a, b));
	keyspace_put(&b->keyspace, key_of(text, 7), (struct slice){(const uint8_t *)"value", 5});
	assert_true(same_digest(a, b));
	/* A byte that moves from the value to the key, a zero more, two values exchanged. */
	static const char *const lies[][2] = {{"key 7v", "alue"}, {"key 7", "value\0"}, {"key 8", "value"}};
	for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
		struct slice key = {(const uint8_t *)lies[i][0], strlen(lies[i][0])};
		keyspace_delete(&b->keyspace, key_of(text, 7));
		keyspace_put(&b->keyspace, key,
			     (struct slice){(const uint8_t *)lies[i][1], i == 1 ? 6 : strlen(lies[i][1])});
		assert_false(same_digest(a, b));
		if (i < 2)
			keyspace_delete(&b->keyspace, key);
		keyspace_put(&b->keyspace, key_of(text, 7), (struct slice){(const uint8_t *)"value", 5});
		assert_true(same_digest(a, b));
	}
	keyspace_clear(&a->keyspace);
	assert_false(same_digest(a, b));
	keyspace_clear(&b->keyspace);
	assert_true(same_digest(a, b));
	machine_destroy(a);
	machine_destroy(b);
	assert_int_equal(mem.bytes, 0);
}

/* Pieces that are cut short, of another format, or with keys that this program does not know are refused. */
static void test_bad_pieces(void **state)
{
	(void)state;
	mem_init(&mem, true);
	struct machine *m = machine_create(&mem), *copy = machine_create(&mem);
	char text[32];
	for (uint64_t i = 0; i < 3; i++)
		keyspace_put(&m->keyspace, key_of(text, i), (struct slice){(const uint8_t *)"value", 5});
	struct machine_held *held = machine_hold(m);
	struct buf piece;
	buf_init(&piece, &mem);
	assert_false(machine_save(held, &piece, 100000));
	assert_false(machine_save(held, &piece, 100000));
	machine_release(m, held);
	size_t whole = 0;
	for (size_t n = 0; n < buf_size(&piece); n++) {
		machine_load_begin(copy);
		whole += machine_load(copy, buf_at(&piece), n);
	}
	assert_int_equal(whole, 3); /* Ends of records: the checksum of the file says the rest. */
	machine_load_begin(copy);
	assert_true(machine_load(copy, buf_at(&piece), buf_size(&piece)));
	buf_at(&piece)[0] = 2;
	assert_false(machine_load(copy, buf_at(&piece), buf_size(&piece)));
	buf_at(&piece)[0] = 1;
	buf_at(&piece)[1] = 1;
	assert_false(machine_load(copy, buf_at(&piece), buf_size(&piece)));
	buf_at(&piece)[1] = 0;
	buf_at(&piece)[16] = 'z'; /* The kind of the first key. */
	assert_false(machine_load(copy, buf_at(&piece), buf_size(&piece)));
	buf_free(&piece);
	machine_destroy(m);
	machine_destroy(copy);
	assert_int_equal(mem.bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_saved_and_loaded),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_bad_pieces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
