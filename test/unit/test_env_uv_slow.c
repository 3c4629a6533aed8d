/* Writes and syncs on other threads: told before a turn, never inside the call, and never after a close. */
#include "env/env_uv.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { PIECE_BYTES = 64 * 1024, PIECES = 40 };

struct piece {
	struct env_io io;
	struct world *w;
};

struct world {
	struct mem mem;
	struct env *env;
	const struct env_ops *ops;
	struct env_file *file;
	uint8_t *bytes;
	bool in_call;
	bool syncing;
	int done, heard, turns, status;
	struct piece pieces[PIECES];
};

static char dir[64];

static const char *in_dir(const char *name)
{
	static char path[128];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

static void turn(void *context)
{
	struct world *w = context;
	assert_false(w->in_call);
	w->heard = w->done;
	w->turns++;
	w->ops->wake_at(w->env, w->ops->raw_ns(w->env) + 100000); /* The loop goes on meanwhile. */
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	mem_init(&w->mem, true);
	w->env = env_uv_create(&w->mem, ENV_ERROR);
	assert_non_null(w->env);
	w->ops = w->env->ops;
	w->env->turn = turn;
	w->env->turn_context = w;
	w->bytes = malloc(PIECE_BYTES);
	for (int i = 0; i < PIECES; i++)
		w->pieces[i].w = w;
	assert_int_equal(w->ops->open(w->env, in_dir("file"), ENV_OPEN_CREATE, &w->file), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	env_uv_destroy(w->env);
	assert_int_equal(w->mem.bytes, 0);
	free(w->bytes);
	free(w);
	unlink(in_dir("file"));
	return 0;
}

static void write_piece(struct world *w, int number)
{
	w->in_call = true;
	w->ops->write_async(w->file, w->bytes, PIECE_BYTES, (uint64_t)number * PIECE_BYTES, &w->pieces[number].io);
	w->in_call = false;
}

/* Each piece is written, then synced. */
static void piece_done(struct env_io *io, int status)
{
	struct piece *piece = (struct piece *)(void *)((char *)io - offsetof(struct piece, io));
	struct world *w = piece->w;
	int number = (int)(piece - w->pieces);
	assert_false(w->in_call);
	assert_int_equal(status, 0);
	assert_true(w->heard == w->done); /* The one before had its turn. */
	w->syncing = !w->syncing;
	if (w->syncing) {
		w->in_call = true;
		w->ops->sync_async(w->file, io);
		w->in_call = false;
		return;
	}
	w->done++;
	if (number + 1 == PIECES) {
		env_uv_stop(w->env);
		return;
	}
	memset(w->bytes, number + 2, PIECE_BYTES);
	write_piece(w, number + 1);
}

static void test_write_and_sync(void **state)
{
	struct world *w = *state;
	for (int i = 0; i < PIECES; i++)
		w->pieces[i].io.done = piece_done;
	memset(w->bytes, 1, PIECE_BYTES);
	write_piece(w, 0);
	w->ops->wake_at(w->env, 0);
	env_uv_run(w->env);
	assert_int_equal(w->done, PIECES);
	assert_true(w->turns >= PIECES);
	assert_int_equal(w->ops->size(w->file), PIECES * PIECE_BYTES);
	for (int i = 0; i < PIECES; i++) {
		assert_int_equal(w->ops->read_at(w->file, w->bytes, PIECE_BYTES, (uint64_t)i * PIECE_BYTES),
				 PIECE_BYTES);
		assert_int_equal(w->bytes[0], i + 1);
		assert_memory_equal(w->bytes, w->bytes + 1, PIECE_BYTES - 1);
	}
	w->ops->close(w->file);
}

static void keep_status(struct env_io *io, int status)
{
	struct world *w = ((struct piece *)(void *)((char *)io - offsetof(struct piece, io)))->w;
	w->status = status;
	env_uv_stop(w->env);
}

static void test_error(void **state)
{
	struct world *w = *state;
	w->ops->close(w->file);
	assert_int_equal(w->ops->open(w->env, in_dir("file"), ENV_OPEN_READ, &w->file), 0);
	w->pieces[0].io.done = keep_status;
	write_piece(w, 0);
	env_uv_run(w->env);
	assert_int_equal(w->status, -EBADF);
	w->ops->close(w->file);
}

static void never(struct env_io *io, int status)
{
	(void)io;
	fail_msg("told of what was closed, with %d", status);
}

static void stop_soon(struct env_io *io, int status)
{
	(void)status;
	struct world *w = ((struct piece *)(void *)((char *)io - offsetof(struct piece, io)))->w;
	w->done++;
	env_uv_stop(w->env);
}

/* More than there are threads: some had begun, some had not. Afterwards the bytes are the caller's. */
static void test_close_in_flight(void **state)
{
	struct world *w = *state;
	for (int round = 0; round < 20; round++) {
		memset(w->bytes, round, PIECE_BYTES);
		for (int i = 0; i < PIECES - 1; i++) {
			w->pieces[i].io.done = never;
			write_piece(w, i);
		}
		w->in_call = true;
		w->ops->close(w->file);
		w->in_call = false;
		free(w->bytes);
		w->bytes = malloc(PIECE_BYTES);
		assert_int_equal(w->ops->open(w->env, in_dir("file"), ENV_OPEN_CREATE, &w->file), 0);
		w->pieces[PIECES - 1].io.done = stop_soon;
		write_piece(w, PIECES - 1);
		if (round % 2 == 0)
			env_uv_run(w->env); /* Else it ends with the next round's. */
		else
			w->ops->close(w->file);
		if (round % 2 != 0)
			assert_int_equal(w->ops->open(w->env, in_dir("file"), ENV_OPEN_CREATE, &w->file), 0);
	}
	assert_int_equal(w->done, 10);
	w->pieces[0].io.done = never;
	w->ops->sync_async(w->file, &w->pieces[0].io);
	w->ops->close(w->file);
}

int main(void)
{
	snprintf(dir, sizeof dir, "/tmp/ikada-env-slow-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return 1;
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_write_and_sync),
		TEST(test_error),
		TEST(test_close_in_flight),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return failed == 0 ? 0 : 1;
}
