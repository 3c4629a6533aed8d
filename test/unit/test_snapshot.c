/*
 * Snapshot files: what was written is read; every byte and every length matters; however the machine crashes while
 * one is written, what is there under its own name is whole; and a disk that fails or is full ends the draft, nothing
 * else.
 */
#include "base/bytes.h"
#include "sim/sim_env.h"
#include "wal/snapshot.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DIR "snapshot"

/* One host, whose process does one thing after the other. */
struct world {
	struct sim *sim;
	struct sim_host *host;
	uint64_t fatals;
	struct snapshot_draft *draft;
	int result;
};

static struct world the_world;

static void on_fatal(void *context, struct sim_host *host, const char *text)
{
	(void)context;
	fail_msg("%s ended: %s", sim_host_name(host), text);
}

static struct world *make_world(uint64_t seed)
{
	struct world *w = &the_world;
	memset(w, 0, sizeof *w);
	w->sim = sim_create(seed);
	const struct sim_hooks hooks = {.context = w, .on_fatal = on_fatal};
	sim_set_hooks(w->sim, &hooks);
	w->host = sim_host_create(w->sim, 1, "n1");
	sim_host_start(w->host);
	return w;
}

static struct env *env_of(struct world *w)
{
	return sim_host_env(w->host);
}

/* ---- Contents ---- */

enum { PIECES = 6 };
static const char *const PIECE[PIECES] = {"a", "one piece of the state", "x", "", "another, after nothing", "the last"};
static const uint8_t DIGEST[SNAPSHOT_DIGEST_BYTES] = "sixteen bytes is";
static const struct snapshot NAME = {.index = 0x1234, .term = 7};

static void put_all(struct snapshot_draft *draft)
{
	const struct snapshot_header header = {.cluster_id = 99,
					       .index = draft->name.index,
					       .term = draft->name.term,
					       .stamp = 1234567,
					       .members = (const uint8_t *)"members",
					       .members_size = 7};
	snapshot_put_header(draft, &header);
	for (int i = 0; i < PIECES; i++) {
		buf_add(snapshot_begin_block(draft), PIECE[i], strlen(PIECE[i]));
		snapshot_end_block(draft); /* An empty one is none. */
	}
	snapshot_put_footer(draft, DIGEST);
	snapshot_draft_settle(draft);
}

static void begin(void *context)
{
	struct world *w = context;
	assert_int_equal(snapshot_dir_make(env_of(w), DIR), 0);
	w->draft = snapshot_draft_open(env_of(w), DIR, NAME, DRAFT_TAKEN);
	if (w->draft->state == DRAFT_OPEN)
		put_all(w->draft);
}

/* One turn; the result is whether there is more to do at once. */
static void go_on(void *context)
{
	struct world *w = context;
	w->result = snapshot_draft_step(w->draft, 20);
	if (w->draft->state == DRAFT_VALID)
		w->result = snapshot_draft_publish(w->draft);
}

static void end(void *context)
{
	struct world *w = context;
	snapshot_draft_close(w->draft);
	w->draft = NULL;
}

static bool over(const struct world *w)
{
	return w->draft->state == DRAFT_PUBLISHED || w->draft->state == DRAFT_FAILED;
}

/* Takes one, up to its end. */
static enum snapshot_draft_state take(struct world *w)
{
	assert_true(sim_host_run(w->host, begin, w));
	for (int i = 0; i < 1000 && !over(w); i++) {
		assert_true(sim_host_run(w->host, go_on, w));
		sim_run_until(w->sim, sim_now(w->sim) + 1000000);
	}
	assert_true(over(w));
	enum snapshot_draft_state state = w->draft->state;
	assert_true(sim_host_run(w->host, end, w));
	return state;
}

/* Reads the file through; true: it is valid, and says what was put. */
static bool reads_well(struct env *env, struct env_file *file)
{
	struct snapshot_reader reader;
	bool good = snapshot_reader_open(&reader, env, file);
	if (good) {
		assert_int_equal(reader.header.cluster_id, 99);
		assert_int_equal(reader.header.index, NAME.index);
		assert_int_equal(reader.header.term, NAME.term);
		assert_int_equal(reader.header.stamp, 1234567);
		assert_int_equal(reader.header.members_size, 7);
		assert_memory_equal(reader.header.members, "members", 7);
	}
	for (int i = 0; good && i < PIECES; i++) {
		const uint8_t *piece;
		size_t size;
		if (PIECE[i][0] == '\0')
			continue;
		good = snapshot_reader_next(&reader, &piece, &size) == SNAPSHOT_PIECE;
		if (good) {
			assert_int_equal(size, strlen(PIECE[i]));
			assert_memory_equal(piece, PIECE[i], size);
		}
	}
	const uint8_t *piece;
	size_t size;
	if (good && snapshot_reader_next(&reader, &piece, &size) != SNAPSHOT_END)
		good = false;
	if (good)
		assert_memory_equal(reader.digest, DIGEST, sizeof DIGEST);
	else
		assert_true(reader.error[0] != '\0');
	snapshot_reader_close(&reader);
	return good;
}

/* ---- A file of bytes that are given ---- */

struct env_file {
	const uint8_t *bytes;
	size_t size;
};

static int64_t given_size(struct env_file *file)
{
	return (int64_t)file->size;
}

static int64_t given_read_at(struct env_file *file, void *bytes, size_t size, uint64_t offset)
{
	if (offset >= file->size)
		return 0;
	if (size > file->size - offset)
		size = (size_t)(file->size - offset);
	memcpy(bytes, file->bytes + offset, size);
	return (int64_t)size;
}

static bool bytes_read_well(const uint8_t *bytes, size_t size)
{
	static const struct env_ops ops = {.size = given_size, .read_at = given_read_at};
	struct mem mem;
	mem_init(&mem, true);
	struct env env = {.ops = &ops, .mem = &mem};
	struct env_file file = {bytes, size};
	bool good = reads_well(&env, &file);
	assert_int_equal(mem.bytes, 0);
	return good;
}

/* The bytes of a snapshot; the caller frees them. */
static uint8_t *make_file(size_t *size)
{
	struct world *w = make_world(1);
	assert_int_equal(take(w), DRAFT_PUBLISHED);
	uint64_t bytes;
	const uint8_t *at = sim_disk_peek(w->host, DIR "/0000000000001234-0000000000000007", &bytes);
	assert_non_null(at);
	uint8_t *copy = malloc(bytes);
	assert_non_null(copy);
	memcpy(copy, at, bytes);
	*size = (size_t)bytes;
	assert_int_equal(sim_host_stop(w->host), 0);
	sim_destroy(w->sim);
	return copy;
}

static void test_written_and_read(void **state)
{
	(void)state;
	size_t size;
	uint8_t *file = make_file(&size);
	assert_true(bytes_read_well(file, size));
	free(file);
}

static void test_each_length(void **state)
{
	(void)state;
	size_t size;
	uint8_t *file = make_file(&size);
	for (size_t n = 0; n < size; n++) {
		uint8_t *part = malloc(n == 0 ? 1 : n);
		memcpy(part, file, n);
		assert_false(bytes_read_well(part, n));
		free(part);
	}
	uint8_t *more = calloc(1, size + 1);
	memcpy(more, file, size);
	assert_false(bytes_read_well(more, size + 1));
	free(more);
	free(file);
}

static void test_each_flipped_bit(void **state)
{
	(void)state;
	size_t size;
	uint8_t *file = make_file(&size);
	for (size_t at = 0; at < size; at++)
		for (int bit = 0; bit < 8; bit++) {
			file[at] ^= (uint8_t)(1 << bit);
			assert_false(bytes_read_well(file, size));
			file[at] ^= (uint8_t)(1 << bit);
		}
	assert_true(bytes_read_well(file, size));
	free(file);
}

/* Blocks of the same file in another order, or left out. */
static void test_moved_blocks(void **state)
{
	(void)state;
	size_t size;
	uint8_t *file = make_file(&size);
	size_t at[PIECES + 1], count = 0;
	at[0] = SNAPSHOT_HEADER_BYTES + 7;
	while (get_le32(file + at[count] + 4) != 0) {
		at[count + 1] = at[count] + SNAPSHOT_BLOCK_BYTES + get_le32(file + at[count] + 4);
		count++;
	}
	assert_int_equal(count, PIECES - 1);
	assert_int_equal(at[count] + SNAPSHOT_FOOTER_BYTES, size);
	/* The first and the third are of one size. */
	assert_int_equal(at[1] - at[0], at[3] - at[2]);
	uint8_t *changed = malloc(size);
	memcpy(changed, file, size);
	memcpy(changed + at[0], file + at[2], at[1] - at[0]);
	memcpy(changed + at[2], file + at[0], at[1] - at[0]);
	assert_false(bytes_read_well(changed, size));
	memcpy(changed, file, size);
	memmove(changed + at[1], changed + at[2], size - at[2]);
	assert_false(bytes_read_well(changed, size - (at[2] - at[1])));
	free(changed);
	free(file);
}

/* ---- The directory ---- */

static void list(void *context)
{
	struct world *w = context;
	struct snapshot *found;
	assert_int_equal(snapshot_list(env_of(w), DIR, &found), 3);
	assert_true(found[0].index == 3 && found[0].term == 2);
	assert_true(found[1].index == 0x10 && found[1].term == 1);
	assert_true(found[2].index == UINT64_MAX && found[2].term == UINT64_MAX);
	mem_free(env_of(w)->mem, found);
	assert_int_equal(snapshot_remove(env_of(w), DIR, (struct snapshot){3, 2}), 0);
	assert_int_equal(snapshot_remove(env_of(w), DIR, (struct snapshot){3, 2}), -ENOENT);
	struct env_file *file;
	assert_int_equal(snapshot_open(env_of(w), DIR, (struct snapshot){0x10, 1}, &file), 0);
	/* It outlives its name. */
	assert_int_equal(snapshot_remove(env_of(w), DIR, (struct snapshot){0x10, 1}), 0);
	char byte;
	assert_int_equal(env_of(w)->ops->read_at(file, &byte, 1, 0), 1);
	env_of(w)->ops->close(file);
	assert_int_equal(snapshot_open(env_of(w), DIR, (struct snapshot){0x10, 1}, &file), -ENOENT);
}

static void make_files(void *context)
{
	static const char *const names[] = {
		DIR "/0000000000000010-0000000000000001",
		DIR "/0000000000000003-0000000000000002",
		DIR "/ffffffffffffffff-ffffffffffffffff",
		DIR "/0000000000000004-0000000000000002.taken",
		DIR "/0000000000000005-0000000000000002.part",
		DIR "/0000000000000003-0000000000000002.other",
		DIR "/000000000000003-00000000000000002",
		DIR "/0000000000000003_0000000000000002",
		DIR "/0000000000000003-000000000000000G",
		DIR "/0000000000000003-000000000000000A",
		DIR "/readme",
	};
	struct world *w = context;
	assert_int_equal(snapshot_dir_make(env_of(w), DIR), 0);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct env_file *file;
		assert_int_equal(env_of(w)->ops->open(env_of(w), names[i], ENV_OPEN_CREATE, &file), 0);
		assert_int_equal(env_of(w)->ops->write_at(file, "x", 1, 0), 0);
		env_of(w)->ops->close(file);
	}
}

static void test_list(void **state)
{
	(void)state;
	struct world *w = make_world(2);
	assert_true(sim_host_run(w->host, make_files, w));
	assert_true(sim_host_run(w->host, list, w));
	uint64_t size;
	assert_null(sim_disk_peek(w->host, DIR "/0000000000000004-0000000000000002.taken", &size));
	assert_null(sim_disk_peek(w->host, DIR "/0000000000000005-0000000000000002.part", &size));
	assert_non_null(sim_disk_peek(w->host, DIR "/readme", &size));
	assert_int_equal(sim_host_stop(w->host), 0);
	sim_destroy(w->sim);
}

/* ---- Crashes and faults ---- */

static void check_what_is_there(void *context)
{
	struct world *w = context;
	struct snapshot *found;
	w->result = (int)snapshot_list(env_of(w), DIR, &found);
	mem_free(env_of(w)->mem, found);
	if (w->result <= 0)
		return; /* There may be no directory yet. */
	assert_int_equal(w->result, 1);
	struct env_file *file;
	assert_int_equal(snapshot_open(env_of(w), DIR, NAME, &file), 0);
	assert_true(reads_well(env_of(w), file));
	env_of(w)->ops->close(file);
}

/* ---- A machine that dies at its nth operation ---- */

static struct env_ops real, deadly;
static uint64_t operations_left;
static enum sim_crash death;

/* Before an operation begins: so the one before it has happened, in whole or in part. */
static void operation(void)
{
	if (operations_left > 0 && --operations_left == 0)
		sim_host_crash(the_world.host, death); /* Does not return. */
}

static int deadly_open(struct env *env, const char *path, enum env_open how, struct env_file **file)
{
	operation();
	return real.open(env, path, how, file);
}

static void deadly_close(struct env_file *file)
{
	operation();
	real.close(file);
}

static int64_t deadly_read_at(struct env_file *file, void *bytes, size_t size, uint64_t offset)
{
	operation();
	return real.read_at(file, bytes, size, offset);
}

static void deadly_write_async(struct env_file *file, const void *bytes, size_t size, uint64_t offset,
			       struct env_io *io)
{
	operation();
	real.write_async(file, bytes, size, offset, io);
	operation();
}

static void deadly_sync_async(struct env_file *file, struct env_io *io)
{
	operation();
	real.sync_async(file, io);
	operation();
}

static int deadly_rename(struct env *env, const char *from, const char *to)
{
	operation();
	return real.rename(env, from, to);
}

static int deadly_unlink(struct env *env, const char *path)
{
	operation();
	return real.unlink(env, path);
}

static int deadly_sync_dir(struct env *env, const char *path)
{
	operation();
	return real.sync_dir(env, path);
}

static void arm(struct world *w, uint64_t operations, enum sim_crash how)
{
	struct env *env = env_of(w);
	real = *env->ops;
	deadly = real;
	deadly.open = deadly_open;
	deadly.close = deadly_close;
	deadly.read_at = deadly_read_at;
	deadly.write_async = deadly_write_async;
	deadly.sync_async = deadly_sync_async;
	deadly.rename = deadly_rename;
	deadly.unlink = deadly_unlink;
	deadly.sync_dir = deadly_sync_dir;
	env->ops = &deadly;
	operations_left = operations;
	death = how;
}

/* At each operation of taking one: what has the name is whole, and has it for ever if the node was told so. */
static void test_crash_at_each_operation(void **state)
{
	(void)state;
	uint32_t with = 0, without = 0, told = 0;
	for (uint64_t at = 1;; at++) {
		uint32_t died = 0;
		for (uint64_t seed = 1; seed <= 60; seed++) {
			struct world *w = make_world(seed);
			arm(w, at, seed % 4 == 0 ? SIM_KILL : SIM_POWER);
			bool lives = sim_host_run(w->host, begin, w), published = false;
			for (int i = 0; lives && !over(w); i++) {
				lives = sim_host_run(w->host, go_on, w);
				sim_run_until(w->sim, sim_now(w->sim) + 100000 * (1 + seed % 5));
			}
			if (lives) {
				published = w->draft->state == DRAFT_PUBLISHED;
				lives = sim_host_run(w->host, end, w);
			}
			died += !lives;
			if (lives)
				sim_host_crash(w->host, SIM_POWER);
			operations_left = 0;
			sim_host_start(w->host);
			assert_true(sim_host_run(w->host, check_what_is_there, w));
			with += w->result > 0;
			without += w->result <= 0;
			told += published;
			assert_true(!published || w->result == 1);
			sim_destroy(w->sim);
		}
		if (died == 0)
			break;
	}
	assert_true(with > told); /* Renamed, and nobody knew. */
	assert_true(told > 50 && without > 500);
}

/* Each operation fails in turn: the draft says so, leaves nothing behind, and the next one is whole. */
static void test_each_failure(void **state)
{
	(void)state;
	uint32_t failed = 0;
	for (uint64_t after = 0; after < 12; after++) {
		struct world *w = make_world(50 + after);
		assert_true(sim_host_run(w->host, begin, w));
		for (uint64_t i = 0; i < after && !over(w); i++) {
			assert_true(sim_host_run(w->host, go_on, w));
			sim_run_until(w->sim, sim_now(w->sim) + 2000000);
		}
		if (!over(w))
			sim_disk_fail_next(w->host);
		for (int i = 0; i < 1000 && !over(w); i++) {
			assert_true(sim_host_run(w->host, go_on, w));
			sim_run_until(w->sim, sim_now(w->sim) + 2000000);
		}
		bool published = w->draft->state == DRAFT_PUBLISHED;
		failed += !published;
		assert_true(published || w->draft->error[0] != '\0');
		assert_true(sim_host_run(w->host, end, w));
		assert_true(sim_host_run(w->host, check_what_is_there, w));
		assert_int_equal(w->result, published ? 1 : 0);
		assert_int_equal(take(w), DRAFT_PUBLISHED);
		assert_int_equal(sim_host_stop(w->host), 0);
		sim_destroy(w->sim);
	}
	assert_in_range(failed, 2, 11);
}

static void test_full_disk(void **state)
{
	(void)state;
	for (uint64_t room = 0; room < 400; room += 9) {
		struct world *w = make_world(70);
		sim_disk_set_limit(w->host, room);
		enum snapshot_draft_state state_then = take(w);
		assert_true(state_then == DRAFT_PUBLISHED || state_then == DRAFT_FAILED);
		assert_true(room > 100 || state_then == DRAFT_FAILED);
		assert_true(room < 390 || state_then == DRAFT_PUBLISHED);
		if (state_then == DRAFT_FAILED)
			assert_int_equal(sim_disk_used(w->host), 0);
		sim_disk_set_limit(w->host, UINT64_MAX);
		assert_int_equal(take(w), DRAFT_PUBLISHED);
		sim_destroy(w->sim);
	}
}

/* Closed at any moment, with or without something in flight: no memory, no file. */
static void test_abandoned(void **state)
{
	(void)state;
	for (uint64_t after = 0; after < 12; after++) {
		struct world *w = make_world(80 + after);
		assert_true(sim_host_run(w->host, begin, w));
		for (uint64_t i = 0; i < after && !over(w); i++) {
			assert_true(sim_host_run(w->host, go_on, w));
			sim_run_until(w->sim, sim_now(w->sim) + (i % 2 == 0 ? 2000000 : 1000));
		}
		bool published = w->draft->state == DRAFT_PUBLISHED;
		assert_true(sim_host_run(w->host, end, w));
		assert_true(sim_host_run(w->host, check_what_is_there, w));
		assert_int_equal(w->result, published ? 1 : 0);
		assert_int_equal(sim_host_stop(w->host), 0);
		sim_destroy(w->sim);
	}
}

/* Received bytes that are no snapshot, or another one than was announced, are not published. */
static const uint8_t *received;
static size_t received_size;

static void begin_receiving(void *context)
{
	struct world *w = context;
	assert_int_equal(snapshot_dir_make(env_of(w), DIR), 0);
	w->draft = snapshot_draft_open(env_of(w), DIR, (struct snapshot){0x1235, 7}, DRAFT_RECEIVED);
	buf_add(&w->draft->filling, received, received_size);
	snapshot_draft_settle(w->draft);
}

static void test_received_something_else(void **state)
{
	(void)state;
	uint8_t *file = make_file(&received_size);
	received = file;
	for (int i = 0; i < 2; i++) {
		struct world *w = make_world(90);
		if (i == 1)
			memset(file, 'x', 50);
		assert_true(sim_host_run(w->host, begin_receiving, w));
		for (int j = 0; j < 100 && !over(w); j++) {
			assert_true(sim_host_run(w->host, go_on, w));
			sim_run_until(w->sim, sim_now(w->sim) + 1000000);
		}
		assert_int_equal(w->draft->state, DRAFT_FAILED);
		assert_non_null(
			strstr(w->draft->error, i == 0 ? "it holds index 4660 of term 7" : "it is not a snapshot"));
		assert_true(sim_host_run(w->host, end, w));
		assert_int_equal(sim_disk_used(w->host), 0);
		sim_destroy(w->sim);
	}
	free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written_and_read),
		cmocka_unit_test(test_each_length),
		cmocka_unit_test(test_each_flipped_bit),
		cmocka_unit_test(test_moved_blocks),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_crash_at_each_operation),
		cmocka_unit_test(test_each_failure),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_abandoned),
		cmocka_unit_test(test_received_something_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
