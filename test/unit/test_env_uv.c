/* The real env: bytes arrive whole and in order, callbacks come when env.h says and never after a close. */
#include "base/buf.h"
#include "env/env_uv.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define MS ((uint64_t)1000000)
#define BIG_BYTES ((size_t)24 * 1024 * 1024)
#define CHUNK_BYTES ((size_t)6 * 1024 * 1024) /* More than the system takes at once. */

/* What one test watches. Only the fields that its callbacks use mean anything. */
struct world {
	struct mem mem;
	struct env *env;
	const struct env_ops *ops;
	struct env_listener *listener;
	struct env_stream *client;
	struct env_stream *server;
	char address[32];
	uint64_t give_up_ns;
	int turns;
	int opened, closed, drained, accepted;
	int status;
	size_t sent, received;
	uint8_t next; /* The byte expected next. */
	bool paused;
	bool in_call; /* Inside a submit: no callback may come. */
	int completions;
	int write_turn; /* The turn in which the write was submitted. */
	uint64_t deadline_ns;
	uint64_t resume_ns;
	uint64_t raw_ns, awake_ns; /* Before a standstill. */
	struct env_io io;
	struct env_file *file;
	void (*each_turn)(struct world *w);
};

static int next_port = 23000;

static void turn(void *context)
{
	struct world *w = context;
	assert_false(w->in_call);
	w->turns++;
	if (w->ops->raw_ns(w->env) > w->give_up_ns)
		fail_msg("gave up waiting");
	w->ops->wake_at(w->env, w->give_up_ns + 1);
	if (w->each_turn != NULL)
		w->each_turn(w);
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
	w->give_up_ns = w->ops->raw_ns(w->env) + 100000 * MS;
	w->ops->wake_at(w->env, w->give_up_ns + 1);
	snprintf(w->address, sizeof w->address, "127.%d.%d.1:%d", (int)(getpid() >> 7 & 0x7f) + 1,
		 (int)(getpid() & 0x7f), next_port++);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	env_uv_destroy(w->env);
	assert_int_equal(w->mem.bytes, 0);
	free(w);
	return 0;
}

/* ---- Streams ---- */

static void pump(struct world *w)
{
	static uint8_t bytes[CHUNK_BYTES];
	if (w->sent == BIG_BYTES || w->ops->stream_pending(w->client) > 0)
		return;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)((w->sent + i) * 7);
	w->ops->stream_write(w->client, bytes, sizeof bytes);
	w->sent += sizeof bytes;
}

static void client_opened(void *context)
{
	struct world *w = context;
	assert_false(w->in_call);
	w->opened++;
}

static void client_received(void *context, const uint8_t *bytes, size_t size)
{
	struct world *w = context;
	assert_false(w->paused);
	for (size_t i = 0; i < size; i++) {
		assert_int_equal(bytes[i], w->next);
		w->next = (uint8_t)(w->next + 7);
	}
	w->received += size;
	if (w->received == BIG_BYTES)
		env_uv_stop(w->env);
}

static void client_drained(void *context)
{
	struct world *w = context;
	w->drained++;
}

static void stream_closed(void *context, int status)
{
	struct world *w = context;
	assert_false(w->in_call);
	w->closed++;
	w->status = status;
	env_uv_stop(w->env);
}

static const struct env_stream_events client_events = {client_opened, client_received, client_drained, stream_closed};

static void echo_received(void *context, const uint8_t *bytes, size_t size)
{
	struct world *w = context;
	w->ops->stream_write(w->server, bytes, size);
}

static const struct env_stream_events echo_events = {NULL, echo_received, NULL, stream_closed};

static void accept_echo(void *context, struct env_stream *stream)
{
	struct world *w = context;
	w->accepted++;
	w->server = stream;
	w->ops->stream_attach(stream, &echo_events, w);
}

static const struct env_accept_events echo_accept = {accept_echo};

static void connect_client(struct world *w, const struct env_stream_events *events)
{
	w->in_call = true;
	w->client = w->ops->connect(w->env, w->address, events, w);
	w->in_call = false;
}

static void open_pair(struct world *w, const struct env_accept_events *accept, const struct env_stream_events *events)
{
	assert_int_equal(w->ops->listen(w->env, w->address, accept, w, &w->listener), 0);
	connect_client(w, events);
}

static void pump_when_open(struct world *w)
{
	if (w->opened)
		pump(w);
}

static void test_echo(void **state)
{
	struct world *w = *state;
	open_pair(w, &echo_accept, &client_events);
	w->each_turn = pump_when_open;
	env_uv_run(w->env);
	assert_int_equal(w->received, BIG_BYTES);
	assert_int_equal(w->opened, 1);
	assert_int_equal(w->closed, 0);
	assert_true(w->drained > 0);
}

/* What is written before the connection is made is kept, and sent. */
static void test_write_while_dialing(void **state)
{
	struct world *w = *state;
	open_pair(w, &echo_accept, &client_events);
	w->received = BIG_BYTES - 2;
	w->ops->stream_write(w->client, "\0\7", 2);
	assert_int_equal(w->ops->stream_pending(w->client), 2);
	env_uv_run(w->env);
	assert_int_equal(w->received, BIG_BYTES);
	assert_int_equal(w->ops->stream_pending(w->client), 0);
}

static void pause_now_and_then(struct world *w)
{
	if (!w->opened)
		return;
	pump(w);
	uint64_t now = w->ops->raw_ns(w->env);
	if (!w->paused && w->received >= BIG_BYTES / 4 && w->resume_ns == 0) {
		w->paused = true;
		w->ops->stream_pause(w->client, true);
		w->resume_ns = now + 30 * MS;
	}
	if (w->paused && now >= w->resume_ns) {
		w->paused = false;
		w->ops->stream_pause(w->client, false);
	}
	if (w->paused)
		w->ops->wake_at(w->env, w->resume_ns);
}

static void test_pause(void **state)
{
	struct world *w = *state;
	open_pair(w, &echo_accept, &client_events);
	w->each_turn = pause_now_and_then;
	env_uv_run(w->env);
	assert_int_equal(w->received, BIG_BYTES);
	assert_true(w->resume_ns > 0);
}

static void close_other_received(void *context, const uint8_t *bytes, size_t size)
{
	struct world *w = context;
	assert_true(size > 0 && bytes != NULL);
	assert_int_equal(w->closed, 0);
	w->closed = 1; /* Nothing may follow. */
	w->ops->stream_close(w->client, false);
	w->ops->stream_close(w->server, false);
	w->deadline_ns = w->ops->raw_ns(w->env) + 20 * MS;
}

static void never_closed(void *context, int status)
{
	struct world *w = context;
	fail_msg("closed (%d) after a close, in turn %d", status, w->turns);
}

static const struct env_stream_events close_events = {client_opened, close_other_received, NULL, never_closed};
static const struct env_stream_events close_accepted = {NULL, close_other_received, NULL, never_closed};

static void accept_and_greet(void *context, struct env_stream *stream)
{
	struct world *w = context;
	w->server = stream;
	w->ops->stream_attach(stream, &close_accepted, w);
	w->ops->stream_write(stream, "hello", 5);
}

static void wait_for_deadline(struct world *w)
{
	if (w->deadline_ns == 0)
		return;
	if (w->ops->raw_ns(w->env) >= w->deadline_ns)
		env_uv_stop(w->env);
	else
		w->ops->wake_at(w->env, w->deadline_ns);
}

/* Both sides have bytes to receive; whichever comes first closes both. */
static void test_close_inside_callback(void **state)
{
	struct world *w = *state;
	static const struct env_accept_events accept = {accept_and_greet};
	open_pair(w, &accept, &close_events);
	w->ops->stream_write(w->client, "hello", 5);
	w->each_turn = wait_for_deadline;
	env_uv_run(w->env);
	assert_int_equal(w->closed, 1);
}

static void closes_itself(void *context, int status)
{
	struct world *w = context;
	w->closed++;
	w->status = status;
	w->ops->stream_close(w->client, false);
	w->deadline_ns = w->ops->raw_ns(w->env) + 20 * MS;
}

static void test_refused_and_bad_address(void **state)
{
	struct world *w = *state;
	static const struct env_stream_events events = {client_opened, client_received, NULL, closes_itself};
	w->each_turn = wait_for_deadline;
	connect_client(w, &events);
	env_uv_run(w->env);
	assert_int_equal(w->closed, 1);
	assert_int_equal(w->status, -ECONNREFUSED);
	strcpy(w->address, "127.0.0.1:port");
	connect_client(w, &events);
	w->deadline_ns = 0;
	env_uv_run(w->env);
	assert_int_equal(w->closed, 2);
	assert_int_equal(w->status, -EINVAL);
	assert_int_equal(w->opened, 0);
}

/* A name is looked up off the loop; closing meanwhile is fine. */
static void test_names(void **state)
{
	struct world *w = *state;
	struct addrinfo *all;
	if (getaddrinfo("localhost", NULL, NULL, &all) != 0)
		skip(); /* A system without /etc/hosts. */
	freeaddrinfo(all);
	int status = -EADDRINUSE; /* Others may run this test at the same time. */
	for (int i = 0; i < 100 && status == -EADDRINUSE; i++) {
		snprintf(w->address, sizeof w->address, "localhost:%d", 24000 + (int)((getpid() + i * 61) % 8000));
		status = w->ops->listen(w->env, w->address, &echo_accept, w, &w->listener);
	}
	assert_int_equal(status, 0);
	connect_client(w, &client_events);
	struct env_stream *second = w->ops->connect(w->env, w->address, &close_events, w);
	w->ops->stream_close(second, false);
	w->received = BIG_BYTES - 1;
	w->ops->stream_write(w->client, "", 1);
	env_uv_run(w->env);
	assert_int_equal(w->received, BIG_BYTES);
	assert_int_equal(w->opened, 1);
}

static void server_floods_and_closes(void *context, struct env_stream *stream)
{
	struct world *w = context;
	static uint8_t zeros[4 * 1024 * 1024];
	w->ops->stream_attach(stream, &close_accepted, w);
	w->ops->stream_write(stream, zeros, sizeof zeros);
	w->ops->stream_close(stream, true);
}

static void count_received(void *context, const uint8_t *bytes, size_t size)
{
	struct world *w = context;
	(void)bytes;
	w->received += size;
}

/* The last reply arrives whole although the other side has sent bytes that nobody read. */
static void test_close_with_flush(void **state)
{
	struct world *w = *state;
	static const struct env_accept_events accept = {server_floods_and_closes};
	static const struct env_stream_events events = {client_opened, count_received, NULL, stream_closed};
	static uint8_t noise[1024 * 1024];
	open_pair(w, &accept, &events);
	w->ops->stream_write(w->client, noise, sizeof noise);
	env_uv_run(w->env);
	assert_int_equal(w->received, 4 * 1024 * 1024);
	assert_int_equal(w->closed, 1);
	assert_int_equal(w->status, 0);
}

static void test_taken_port(void **state)
{
	struct world *w = *state;
	struct env_listener *second;
	assert_int_equal(w->ops->listen(w->env, w->address, &echo_accept, w, &w->listener), 0);
	assert_int_equal(w->ops->listen(w->env, w->address, &echo_accept, w, &second), -EADDRINUSE);
	w->ops->listener_close(w->listener);
	assert_int_equal(w->ops->listen(w->env, w->address, &echo_accept, w, &second), 0);
	assert_int_equal(w->ops->listen(w->env, "127.0.0.1", &echo_accept, w, &w->listener), -EINVAL);
	assert_int_equal(w->ops->listen(w->env, "127.0.0.1:70000", &echo_accept, w, &w->listener), -EINVAL);
}

static void lift_limit(struct world *w)
{
	if (w->accepted == 0 && w->ops->raw_ns(w->env) >= w->deadline_ns) {
		struct rlimit limit;
		getrlimit(RLIMIT_NOFILE, &limit);
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	} else if (w->accepted == 0) {
		w->ops->wake_at(w->env, w->deadline_ns);
	} else {
		env_uv_stop(w->env);
	}
}

/* Without descriptors the connection waits, and is accepted when there are some again. */
static void test_out_of_descriptors(void **state)
{
	struct world *w = *state;
	struct rlimit limit, low;
	open_pair(w, &echo_accept, &client_events);
	const char *preload = getenv("LD_PRELOAD");
	if (preload != NULL && strstr(preload, "vgpreload") != NULL)
		skip(); /* Valgrind accepts the connection, and only then says that there was no descriptor for it. */
	getrlimit(RLIMIT_NOFILE, &limit);
	low = limit;
	int lowest = open("/dev/null", O_RDONLY);
	close(lowest);
	low.rlim_cur = (rlim_t)lowest;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	w->deadline_ns = w->ops->raw_ns(w->env) + 50 * MS;
	w->ops->wake_at(w->env, w->deadline_ns);
	w->each_turn = lift_limit;
	env_uv_run(w->env);
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_int_equal(w->accepted, 1);
}

/* ---- Time ---- */

static void check_deadline(struct world *w)
{
	uint64_t now = w->ops->raw_ns(w->env);
	assert_int_equal(now, w->ops->raw_ns(w->env));
	if (now < w->deadline_ns) {
		w->ops->wake_at(w->env, w->deadline_ns);
		return;
	}
	w->completions++;
	env_uv_stop(w->env);
}

static void test_deadlines(void **state)
{
	struct world *w = *state;
	w->each_turn = check_deadline;
	static const uint64_t waits_ns[] = {0, 1, 300000, 1000000, 1500000, 20 * MS};
	for (size_t i = 0; i < sizeof waits_ns / sizeof *waits_ns; i++) {
		int turns = w->turns;
		w->deadline_ns = w->ops->raw_ns(w->env) + waits_ns[i];
		w->ops->wake_at(w->env, w->deadline_ns);
		env_uv_run(w->env);
		assert_true(w->ops->raw_ns(w->env) >= w->deadline_ns);
		assert_int_equal(w->turns, turns + 1); /* Never too early. */
	}
	w->deadline_ns = 1; /* Long ago. */
	w->ops->wake_at(w->env, w->deadline_ns);
	env_uv_run(w->env);
	assert_int_equal(w->completions, 7);
}

/* A deadline moved away wakes nobody; one moved nearer wakes in time. */
static void test_deadline_replaced(void **state)
{
	struct world *w = *state;
	w->each_turn = check_deadline;
	uint64_t now = w->ops->raw_ns(w->env);
	w->ops->wake_at(w->env, now + 5 * MS);
	w->deadline_ns = now + 40 * MS;
	w->ops->wake_at(w->env, w->deadline_ns);
	env_uv_run(w->env);
	assert_int_equal(w->turns, 1);
	w->ops->wake_at(w->env, w->ops->raw_ns(w->env) + 1000000 * MS);
	w->deadline_ns = w->ops->raw_ns(w->env) + 2 * MS;
	w->ops->wake_at(w->env, w->deadline_ns);
	env_uv_run(w->env);
	assert_int_equal(w->turns, 2);
}

static void turn_in_the_past(struct world *w)
{
	w->ops->wake_at(w->env, w->ops->raw_ns(w->env) - MS);
	pump_when_open(w);
}

/* A turn that always wants the next one at once does not keep the sockets waiting. */
static void test_busy_turns_do_not_starve_streams(void **state)
{
	struct world *w = *state;
	open_pair(w, &echo_accept, &client_events);
	w->each_turn = turn_in_the_past;
	env_uv_run(w->env);
	assert_int_equal(w->received, BIG_BYTES);
}

static void sleep_past_deadline(struct world *w)
{
	if (w->completions++ == 0) {
		w->raw_ns = w->ops->raw_ns(w->env);
		w->awake_ns = w->ops->awake_ns(w->env);
		w->deadline_ns = w->raw_ns + 10 * MS;
		w->ops->wake_at(w->env, w->deadline_ns);
		usleep(200000);
		return;
	}
	env_uv_stop(w->env);
}

/* 200 ms of standstill against a deadline in 10 ms: about 190 of them are lateness, and counted once. */
static void test_lateness(void **state)
{
	struct world *w = *state;
	w->each_turn = sleep_past_deadline;
	w->ops->wake_at(w->env, w->ops->raw_ns(w->env));
	env_uv_run(w->env);
	assert_true(w->ops->raw_ns(w->env) >= w->raw_ns + 200 * MS);
	assert_int_equal(w->ops->awake_ns(w->env), w->awake_ns + 10 * MS);
}

static void test_nothing_forgiven(void **state)
{
	struct world *w = *state;
	env_uv_forgive_nothing(w->env);
	w->each_turn = sleep_past_deadline;
	w->ops->wake_at(w->env, w->ops->raw_ns(w->env));
	env_uv_run(w->env);
	assert_true(w->ops->raw_ns(w->env) >= w->raw_ns + 200 * MS);
	assert_int_equal(w->ops->awake_ns(w->env) - w->awake_ns, w->ops->raw_ns(w->env) - w->raw_ns);
}

/* ---- Files ---- */

static void write_done(struct env_io *io, int status)
{
	struct world *w = (struct world *)(void *)((char *)io - offsetof(struct world, io));
	assert_false(w->in_call);
	assert_int_equal(status, 0);
	assert_int_equal(w->turns, w->write_turn); /* After the turn that submitted it, before the next. */
	w->completions++;
}

static const char hundred[100] = "a hundred bytes";

static void submit_write(struct world *w)
{
	if (w->completions == 50) {
		env_uv_stop(w->env);
		return;
	}
	w->write_turn = w->turns;
	w->io.done = write_done;
	w->in_call = true;
	w->ops->write_sync(w->file, hundred, sizeof hundred, (uint64_t)w->completions * sizeof hundred, &w->io);
	w->in_call = false;
}

static char dir[64];

static const char *in_dir(const char *name)
{
	static char path[128];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

static void test_write_sync(void **state)
{
	struct world *w = *state;
	char bytes[sizeof hundred];
	assert_int_equal(w->ops->open(w->env, in_dir("log"), ENV_OPEN_CREATE, &w->file), 0);
	w->each_turn = submit_write;
	w->ops->wake_at(w->env, w->ops->raw_ns(w->env));
	env_uv_run(w->env);
	assert_int_equal(w->turns, 51); /* Each completion leads to a turn at once. */
	assert_int_equal(w->ops->size(w->file), 5000);
	assert_int_equal(w->ops->read_at(w->file, bytes, sizeof bytes, 4900), sizeof bytes);
	assert_memory_equal(bytes, hundred, sizeof bytes);
	assert_int_equal(w->ops->read_at(w->file, bytes, sizeof bytes, 4950), 50);
	w->ops->close(w->file);
}

enum { MIXED = 48, MIXED_BYTES_MAX = 128 * 1024 };
static uint8_t *mixed; /* On a block. */

/* Some are large and go to another thread, some are on whole blocks, some are neither. */
static size_t mixed_size(int n)
{
	static const size_t sizes[] = {4096, MIXED_BYTES_MAX, 100, 65 * 1000, 8192, 40 * 1024};
	return sizes[n % 6];
}

static void mixed_done(struct env_io *io, int status)
{
	struct world *w = (struct world *)(void *)((char *)io - offsetof(struct world, io));
	assert_false(w->in_call);
	assert_int_equal(status, 0);
	w->completions++;
	w->write_turn = 0;
}

/* One at a time, each with bytes of its own, each on the blocks of the one before: the last one stands. */
static void submit_mixed(struct world *w)
{
	if (w->write_turn != 0)
		return; /* One is on its way, and turns go on. */
	if (w->completions == MIXED) {
		env_uv_stop(w->env);
		return;
	}
	memset(mixed, w->completions + 1, MIXED_BYTES_MAX);
	w->write_turn = w->turns;
	w->io.done = mixed_done;
	w->in_call = true;
	w->ops->write_sync(w->file, mixed, mixed_size(w->completions), 0, &w->io);
	if (w->completions % 2 == 0)
		w->ops->push(w->env);
	w->in_call = false;
}

static void test_write_sync_of_all_sizes(void **state)
{
	struct world *w = *state;
	mixed = aligned_alloc(4096, MIXED_BYTES_MAX);
	uint8_t *bytes = malloc(MIXED_BYTES_MAX);
	assert_int_equal(w->ops->open(w->env, in_dir("mixed"), ENV_OPEN_CREATE, &w->file), 0);
	w->each_turn = submit_mixed;
	w->ops->wake_at(w->env, w->ops->raw_ns(w->env));
	env_uv_run(w->env);
	assert_int_equal(w->completions, MIXED);
	assert_int_equal(w->ops->read_at(w->file, bytes, MIXED_BYTES_MAX, 0), MIXED_BYTES_MAX);
	for (size_t at = 0; at < MIXED_BYTES_MAX; at++) {
		int last = 0;
		for (int n = MIXED - 6; n < MIXED; n++)
			last = at < mixed_size(n) ? n + 1 : last;
		assert_int_equal(bytes[at], last);
	}
	w->ops->close(w->file);
	free(bytes);
	free(mixed);
}

static void submit_large_and_stop(struct world *w)
{
	w->io.done = mixed_done;
	w->ops->write_sync(w->file, mixed, MIXED_BYTES_MAX, 0, &w->io);
	w->ops->push(w->env);
	env_uv_stop(w->env);
}

/* Nobody uses the bytes any more when the file is closed, and nobody is told. */
static void test_close_in_large_write(void **state)
{
	struct world *w = *state;
	mixed = aligned_alloc(4096, MIXED_BYTES_MAX);
	memset(mixed, 7, MIXED_BYTES_MAX);
	assert_int_equal(w->ops->open(w->env, in_dir("large"), ENV_OPEN_CREATE, &w->file), 0);
	w->each_turn = submit_large_and_stop;
	w->ops->wake_at(w->env, w->ops->raw_ns(w->env));
	env_uv_run(w->env);
	w->ops->close(w->file);
	free(mixed);
	w->each_turn = check_deadline;
	w->deadline_ns = w->ops->raw_ns(w->env) + 30 * MS;
	w->ops->wake_at(w->env, w->deadline_ns);
	env_uv_run(w->env);
	assert_int_equal(w->completions, 1); /* That of check_deadline. */
}

static void stop_after_submit(struct world *w)
{
	w->io.done = write_done;
	w->ops->write_sync(w->file, hundred, sizeof hundred, 0, &w->io);
	env_uv_stop(w->env);
}

/* A node that closes with a write on its way hears nothing of it. */
static void test_close_forgets_writes(void **state)
{
	struct world *w = *state;
	assert_int_equal(w->ops->open(w->env, in_dir("forgotten"), ENV_OPEN_CREATE, &w->file), 0);
	w->each_turn = stop_after_submit;
	w->ops->wake_at(w->env, w->ops->raw_ns(w->env));
	env_uv_run(w->env);
	w->ops->close(w->file);
	w->each_turn = check_deadline;
	w->deadline_ns = w->ops->raw_ns(w->env) + 5 * MS;
	w->ops->wake_at(w->env, w->deadline_ns);
	w->completions = 0;
	env_uv_run(w->env);
	assert_int_equal(w->completions, 1); /* That of check_deadline. */
}

static void count_names(void *context, const char *name)
{
	assert_true(strcmp(name, "one") == 0 || strcmp(name, "two") == 0);
	(*(int *)context)++;
}

static void test_files(void **state)
{
	struct world *w = *state;
	struct env_file *a, *b;
	char sub[128], one[160], two[160], bytes[8];
	int names = 0;
	snprintf(sub, sizeof sub, "%s/sub", dir);
	snprintf(one, sizeof one, "%s/one", sub);
	snprintf(two, sizeof two, "%s/two", sub);
	assert_int_equal(w->ops->make_dir(w->env, sub), 0);
	assert_int_equal(w->ops->make_dir(w->env, sub), 0);
	assert_int_equal(w->ops->open(w->env, one, ENV_OPEN_READ, &a), -ENOENT);
	assert_int_equal(w->ops->open(w->env, one, ENV_OPEN_CREATE, &a), 0);
	assert_int_equal(w->ops->make_dir(w->env, one), -ENOTDIR);
	assert_int_equal(w->ops->write_at(a, "abcd", 4, 4), 0);
	assert_int_equal(w->ops->allocate(a, 100000), 0);
	assert_int_equal(w->ops->size(a), 100000);
	assert_int_equal(w->ops->allocate(a, 10), 0);
	assert_int_equal(w->ops->size(a), 100000);
	assert_int_equal(w->ops->sync(a), 0);
	assert_int_equal(w->ops->read_at(a, bytes, 8, 0), 8);
	assert_memory_equal(bytes, "\0\0\0\0abcd", 8);
	assert_int_equal(w->ops->lock(a), 0);
	assert_int_equal(w->ops->open(w->env, one, ENV_OPEN_WRITE, &b), 0);
	assert_int_equal(w->ops->lock(b), -EWOULDBLOCK);
	w->ops->close(a);
	assert_int_equal(w->ops->lock(b), 0);
	w->ops->close(b);
	assert_int_equal(w->ops->open(w->env, two, ENV_OPEN_CREATE, &a), 0);
	w->ops->close(a);
	assert_int_equal(w->ops->list_dir(w->env, sub, count_names, &names), 0);
	assert_int_equal(names, 2);
	assert_int_equal(w->ops->rename(w->env, two, one), 0);
	assert_int_equal(w->ops->sync_dir(w->env, sub), 0);
	assert_int_equal(w->ops->unlink(w->env, one), 0);
	assert_int_equal(w->ops->unlink(w->env, two), -ENOENT);
	assert_int_equal(w->ops->sync_dir(w->env, two), -ENOENT);
	assert_int_equal(w->ops->list_dir(w->env, two, count_names, &names), -ENOENT);
	assert_int_equal(rmdir(sub), 0);
}

int main(void)
{
	snprintf(dir, sizeof dir, "/tmp/ikada-env-uv-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return 1;
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_echo),
		TEST(test_write_while_dialing),
		TEST(test_pause),
		TEST(test_close_inside_callback),
		TEST(test_refused_and_bad_address),
		TEST(test_names),
		TEST(test_close_with_flush),
		TEST(test_taken_port),
		TEST(test_out_of_descriptors),
		TEST(test_deadlines),
		TEST(test_deadline_replaced),
		TEST(test_busy_turns_do_not_starve_streams),
		TEST(test_lateness),
		TEST(test_nothing_forgiven),
		TEST(test_write_sync),
		TEST(test_write_sync_of_all_sizes),
		TEST(test_close_in_large_write),
		TEST(test_close_forgets_writes),
		TEST(test_files),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(in_dir("log"));
	unlink(in_dir("forgotten"));
	rmdir(dir);
	return failed == 0 ? 0 : 1;
}
