/*
 * A client's connection, over a node and streams that the test plays: what is asked of the node when, in which order
 * replies leave, what is bounded, and what is left when somebody goes.
 */
#include "base/bytes.h"
#include "server/server_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ASKED_MAX 4096
#define MIB ((size_t)1024 * 1024)

/* The client's end. */
struct env_stream {
	const struct env_stream_events *events;
	void *context;
	struct buf out; /* What the server has written ... */
	size_t taken;	/* ... of which the system has taken this much. */
	bool held;	/* The system takes nothing. */
	bool paused;
	bool closed; /* By the server. */
	bool flushed;
	bool gone; /* By the client. */
};

/* A request that the server made to the node, and that has not ended. */
struct asked {
	struct ikada_request *request;
	bool read;
	bool applied;
	struct buf bytes;
	struct buf reply;
};

struct world {
	struct env env; /* First: the server knows only this. */
	struct mem mem;
	struct server *server;
	struct ikada_machine machine;
	const struct env_accept_events *accept;
	void *accept_context;
	struct env_stream client;
	struct asked asked[ASKED_MAX];
	size_t asked_count;
	size_t asked_total;
	uint64_t index;
	bool node_open;
};

static struct world *world;

/* ---- The node ---- */

struct ikada_node *ikada_node_open(struct env *env, const struct ikada_node_settings *settings,
				   const struct ikada_machine *machine, char *error, size_t error_size)
{
	(void)settings;
	(void)error;
	(void)error_size;
	world->machine = *machine;
	world->node_open = true;
	return (struct ikada_node *)(void *)env;
}

void ikada_node_close(struct ikada_node *node)
{
	(void)node;
	assert_int_equal(world->asked_count, 0);
	world->node_open = false;
}

void ikada_node_status(const struct ikada_node *node, struct ikada_node_status *status)
{
	(void)node;
	memset(status, 0, sizeof *status);
}

static void ask(struct ikada_request *request, const uint8_t *bytes, size_t size, bool read)
{
	assert_true(world->asked_count < ASKED_MAX);
	struct asked *asked = &world->asked[world->asked_count++];
	memset(asked, 0, sizeof *asked);
	asked->request = request;
	asked->read = read;
	buf_init(&asked->bytes, &world->mem);
	buf_init(&asked->reply, &world->mem);
	buf_add(&asked->bytes, bytes, size);
	world->asked_total++;
}

void ikada_node_propose(struct ikada_node *node, struct ikada_request *request, const uint8_t *bytes, size_t size,
			uint32_t tag)
{
	(void)node;
	(void)tag;
	ask(request, bytes, size, false);
}

void ikada_node_read(struct ikada_node *node, struct ikada_request *request, const uint8_t *bytes, size_t size,
		     uint32_t tag)
{
	(void)node;
	(void)tag;
	ask(request, bytes, size, true);
}

static void remove_asked(size_t i, struct asked *asked)
{
	*asked = world->asked[i];
	world->asked_count--;
	memmove(&world->asked[i], &world->asked[i + 1], (world->asked_count - i) * sizeof *asked);
}

static void free_asked(struct asked *asked)
{
	buf_free(&asked->bytes);
	buf_free(&asked->reply);
}

void ikada_node_forget(struct ikada_node *node, struct ikada_request *request)
{
	(void)node;
	for (size_t i = 0; i < world->asked_count; i++) {
		struct asked asked;
		if (world->asked[i].request != request)
			continue;
		remove_asked(i, &asked);
		free_asked(&asked);
		return;
	}
	fail_msg("a request is forgotten that is not under way");
}

static void serve(struct asked *asked)
{
	const struct ikada_apply entry = {
		.index = ++world->index, .bytes = buf_at(&asked->bytes), .size = buf_size(&asked->bytes)};
	if (asked->applied)
		return;
	asked->applied = true;
	if (asked->read)
		world->machine.query(world->machine.context, entry.bytes, entry.size, 0, &asked->reply);
	else
		world->machine.apply(world->machine.context, &entry, &asked->reply);
}

/* A read sees what was applied before, and may overtake what is under way; a write comes after the writes before it. */
static void serve_up_to(size_t last)
{
	bool read = world->asked[last].read;
	for (size_t i = read ? last : 0; i <= last; i++)
		if (read || !world->asked[i].read)
			serve(&world->asked[i]);
}

/* Ends the i-th request under way. */
static void finish_with(size_t i, enum ikada_outcome outcome, const void *reply, size_t size)
{
	struct asked asked;
	remove_asked(i, &asked);
	asked.request->done(asked.request, outcome, reply, size);
	free_asked(&asked);
}

static void finish(size_t i)
{
	struct asked asked;
	serve_up_to(i);
	remove_asked(i, &asked);
	asked.request->done(asked.request, IKADA_DONE, buf_at(&asked.reply), buf_size(&asked.reply));
	free_asked(&asked);
}

static void refuse(size_t i, enum ikada_outcome outcome)
{
	finish_with(i, outcome, NULL, 0);
}

static void finish_all(void)
{
	while (world->asked_count > 0)
		finish(0);
}

/* ---- The env ---- */

void env_fatal(struct env *env, const char *format, ...)
{
	(void)env;
	fail_msg("%s", format);
	abort();
}

static uint64_t raw_ns(struct env *env)
{
	(void)env;
	return 0;
}

static int listen_for(struct env *env, const char *address, const struct env_accept_events *events, void *context,
		      struct env_listener **listener)
{
	(void)address;
	world->accept = events;
	world->accept_context = context;
	*listener = (struct env_listener *)(void *)env;
	return 0;
}

static void listener_close(struct env_listener *listener)
{
	(void)listener;
}

static void stream_attach(struct env_stream *stream, const struct env_stream_events *events, void *context)
{
	stream->events = events;
	stream->context = context;
}

static void stream_write(struct env_stream *stream, const void *bytes, size_t size)
{
	assert_false(stream->closed || stream->gone);
	buf_add(&stream->out, bytes, size);
}

static size_t stream_pending(const struct env_stream *stream)
{
	return buf_size(&stream->out) - stream->taken;
}

static void stream_pause(struct env_stream *stream, bool paused)
{
	assert_int_not_equal(stream->paused, paused);
	stream->paused = paused;
}

static void stream_close(struct env_stream *stream, bool flush)
{
	assert_false(stream->closed || stream->gone);
	stream->closed = true;
	stream->flushed = flush;
}

static const struct env_ops ops = {
	.raw_ns = raw_ns,
	.listen = listen_for,
	.listener_close = listener_close,
	.stream_attach = stream_attach,
	.stream_write = stream_write,
	.stream_pending = stream_pending,
	.stream_pause = stream_pause,
	.stream_close = stream_close,
};

/* The end of a turn: the machine's idle work, then what was written is sent. */
static bool end_turn(void)
{
	bool more = world->machine.idle(world->machine.context);
	if (!world->client.held)
		world->client.taken = buf_size(&world->client.out);
	return more;
}

/* ---- The test's hands ---- */

static void connect_client(void)
{
	struct env_stream *client = &world->client;
	if (client->gone)
		buf_free(&client->out);
	memset(client, 0, sizeof *client);
	buf_init(&client->out, &world->mem);
	world->accept->accepted(world->accept_context, client);
}

static int setup(void **state)
{
	static const struct server_settings settings = {.listen = "here:7001"};
	char error[64];
	(void)state;
	world = calloc(1, sizeof *world);
	mem_init(&world->mem, true);
	world->env.ops = &ops;
	world->env.mem = &world->mem;
	world->server = server_open(&world->env, &settings, error, sizeof error);
	assert_non_null(world->server);
	connect_client();
	return 0;
}

/* Whatever is under way: everything is forgotten, all memory comes back. */
static int teardown(void **state)
{
	(void)state;
	server_close(world->server);
	assert_false(world->node_open);
	assert_true(world->client.closed || world->client.gone);
	buf_free(&world->client.out);
	assert_int_equal(world->mem.bytes, 0);
	free(world);
	return 0;
}

static void send_bytes(const void *bytes, size_t size)
{
	if (!world->client.closed && !world->client.gone)
		world->client.events->received(world->client.context, bytes, size);
}

static void send_text(const char *text)
{
	send_bytes(text, strlen(text));
}

static void expect_size(size_t size)
{
	assert_int_equal(buf_size(&world->client.out), size);
	buf_consume(&world->client.out, size);
	world->client.taken = 0;
}

static void expect(const char *text)
{
	struct buf *out = &world->client.out;
	if (buf_size(out) != strlen(text) || (*text != '\0' && memcmp(buf_at(out), text, buf_size(out)) != 0))
		fail_msg("expected %s, found %.*s", text, (int)buf_size(out), (const char *)buf_at(out));
	expect_size(strlen(text));
}

static void client_goes(void)
{
	world->client.gone = true;
	world->client.events->closed(world->client.context, 0);
}

static void expect_asked(size_t reads, size_t writes)
{
	size_t found = 0;
	for (size_t i = 0; i < world->asked_count; i++)
		found += world->asked[i].read;
	assert_int_equal(found, reads);
	assert_int_equal(world->asked_count - found, writes);
}

/* ---- Order ---- */

static void test_writes_at_once(void **state)
{
	(void)state;
	send_text("SET a 1\r\nSET a 2\r\nINCR a\r\n");
	expect_asked(0, 3);
	expect("");
	finish(0);
	expect("+OK\r\n");
	finish(0);
	finish(0);
	expect("+OK\r\n:3\r\n");
}

static void test_replies_in_order(void **state)
{
	(void)state;
	send_text("INCR a\r\nPING\r\nINCR a\r\nFOO\r\nINCR a\r\nSET a\r\n");
	expect_asked(0, 3);
	finish(2);
	expect("");
	finish(0);
	expect(":1\r\n+PONG\r\n");
	finish(0);
	expect(":2\r\n-ERR unknown command 'FOO', with args beginning with: \r\n:3\r\n"
	       "-ERR wrong number of arguments for 'set' command\r\n");
}

static void test_read_after_write(void **state)
{
	(void)state;
	send_text("SET a 1\r\nSET b 2\r\nGET a\r\nGET b\r\n");
	expect_asked(0, 2);
	finish(0);
	expect_asked(0, 1);
	finish(0);
	expect_asked(1, 0); /* Both reads in one. */
	finish(0);
	expect("+OK\r\n+OK\r\n$1\r\n1\r\n$1\r\n2\r\n");
}

static void test_write_after_read(void **state)
{
	(void)state;
	send_text("SET a 1\r\n");
	finish_all();
	send_text("GET a\r\nGET a\r\nSET a 2\r\nGET a\r\n");
	expect_asked(1, 0);
	expect("+OK\r\n");
	finish(0);
	expect_asked(0, 1);
	expect("$1\r\n1\r\n$1\r\n1\r\n");
	finish(0);
	expect_asked(1, 0);
	finish(0);
	expect("+OK\r\n$1\r\n2\r\n");
}

/* What comes while reads are under way gathers, and goes out together. */
static void test_reads_gather(void **state)
{
	(void)state;
	send_text("GET a\r\n");
	send_text("GET b\r\n");
	send_text("GET c\r\nPING\r\n");
	expect_asked(1, 0);
	finish(0);
	expect("$-1\r\n");
	expect_asked(1, 0);
	finish(0);
	expect("$-1\r\n$-1\r\n+PONG\r\n");
	assert_int_equal(world->asked_total, 2);
}

static void test_local_after_read(void **state)
{
	(void)state;
	send_text("GET a\r\nCLIENT SETNAME me\r\nGET b\r\nCLIENT GETNAME\r\nGET\r\n");
	expect("");
	finish_all();
	expect("$-1\r\n+OK\r\n$-1\r\n$2\r\nme\r\n-ERR wrong number of arguments for 'get' command\r\n");
}

/* ---- Outcomes ---- */

static void test_outcomes(void **state)
{
	(void)state;
	send_text("INCR a\r\nINCR a\r\nINCR a\r\nINCR a\r\nINCR a\r\n");
	refuse(1, IKADA_BUSY);
	refuse(1, IKADA_UNKNOWN);
	refuse(2, IKADA_TOO_LARGE);
	refuse(0, IKADA_NO_LEADER);
	expect("-CLUSTERDOWN no leader took the request; it was not executed\r\n"
	       "-BUSY too many requests are under way; this one was not executed\r\n"
	       "-UNKNOWN the request may have been executed, or may yet be\r\n");
	finish(0);
	expect(":1\r\n-ERR the request is larger than 16777152 bytes\r\n");
}

#define READ_LOST "-CLUSTERDOWN the leader was lost before it answered this read\r\n"

static void test_reads_fail_together(void **state)
{
	(void)state;
	static const uint8_t none[] = {0, 0, 0, 0}, many[] = {4, 0, 0, 0};
	static const char three[] = "GET a\r\nGET b\r\nGET c\r\n";
	send_text(three);
	refuse(0, IKADA_UNKNOWN);
	expect(READ_LOST READ_LOST READ_LOST);
	send_text(three);
	refuse(0, IKADA_BUSY);
	expect_size(3 * strlen("-BUSY too many requests are under way; this one was not executed\r\n"));
	/* Answers that make no sense. */
	send_text(three);
	finish_with(0, IKADA_DONE, none, 4);
	send_text(three);
	finish_with(0, IKADA_DONE, many, 3);
	send_text(three);
	finish_with(0, IKADA_DONE, many, 4);
	expect(READ_LOST READ_LOST READ_LOST READ_LOST READ_LOST READ_LOST READ_LOST READ_LOST READ_LOST);
	send_text("PING\r\n");
	expect("+PONG\r\n");
}

/* ---- Ends ---- */

static void test_quit(void **state)
{
	(void)state;
	send_text("INCR a\r\nQUIT\r\nINCR a\r\n");
	expect_asked(0, 1);
	assert_false(world->client.closed);
	finish(0);
	expect(":1\r\n+OK\r\n");
	assert_true(world->client.closed && world->client.flushed);
	assert_int_equal(world->server->conn_count, 0);
}

static void test_broken(void **state)
{
	(void)state;
	send_text("GET a\r\nINCR a\r\n*1\r\n$104857600\r\nINCR a\r\n");
	finish(0);
	assert_false(world->client.closed);
	finish(0);
	expect("$-1\r\n:1\r\n-ERR Protocol error: invalid bulk length\r\n");
	assert_true(world->client.closed && world->client.flushed);
	expect_asked(0, 0);
}

/* An error stands behind the reads before it. */
static void test_broken_after_read(void **state)
{
	(void)state;
	send_text("GET a\r\n*x\r\n");
	expect("");
	finish(0);
	expect("$-1\r\n-ERR Protocol error: invalid multibulk length\r\n");
	assert_true(world->client.closed);
}

static void test_http(void **state)
{
	(void)state;
	send_text("POST / HTTP/1.1\r\nHost: here\r\n\r\nSET a 1\r\n");
	expect("");
	assert_true(world->client.closed);
	expect_asked(0, 0);
}

static void test_client_goes(void **state)
{
	(void)state;
	send_text("INCR a\r\nINCR a\r\nPING\r\nGET a\r\n");
	expect_asked(0, 2);
	finish(1);
	client_goes();
	expect_asked(0, 0);
	connect_client();
	send_text("GET a\r\nGET b\r\n*3\r\n$3\r\nSET\r\n");
	expect_asked(1, 0);
	client_goes();
	expect_asked(0, 0);
	assert_int_equal(world->server->conn_count, 0);
}

static void test_close_under_way(void **state)
{
	(void)state;
	send_text("INCR a\r\nPING\r\nINCR a\r\nGET a\r\n");
	/* The rest is teardown's. */
}

static void test_clients_max(void **state)
{
	(void)state;
	world->server->conn_count += SERVER_CLIENTS_MAX - 1;
	struct env_stream first = world->client;
	connect_client();
	expect("-ERR max number of clients reached\r\n");
	assert_true(world->client.closed && world->client.flushed);
	world->server->conn_count -= SERVER_CLIENTS_MAX - 1;
	assert_int_equal(world->server->rejected_conns, 1);
	buf_free(&world->client.out);
	world->client = first;
}

/* ---- Bounds ---- */

static void test_many_writes(void **state)
{
	(void)state;
	static const char line[] = "*2\r\n$4\r\nINCR\r\n$1\r\na\r\n";
	const size_t total = 10000;
	size_t sent = 0, done = 0;
	struct buf expected;
	buf_init(&expected, &world->mem);
	for (size_t i = 1; i <= total; i++)
		buf_printf(&expected, ":%zu\r\n", i);
	while (sent < total && !world->client.paused) {
		send_bytes(line, sizeof line - 1);
		sent++;
	}
	assert_int_equal(world->asked_count, 1024);
	assert_true(world->client.paused);
	assert_true(sent < 1024 + 2 * 64 * 1024 / sizeof line);
	while (done < total) {
		for (; sent < total && !world->client.paused; sent++)
			send_bytes(line, sizeof line - 1);
		finish(0);
		done++;
		assert_true(world->asked_count <= 1024);
		assert_int_equal(world->asked_count > 0, done < total);
	}
	assert_int_equal(buf_size(&world->client.out), buf_size(&expected));
	assert_memory_equal(buf_at(&world->client.out), buf_at(&expected), buf_size(&expected));
	buf_free(&expected);
}

static void send_set(const char *options, size_t value_size)
{
	char header[64];
	char *value = calloc(1, value_size);
	int parts = options == NULL ? 3 : 4;
	send_bytes(header, (size_t)snprintf(header, sizeof header, "*%d\r\n$3\r\nSET\r\n$1\r\na\r\n$%zu\r\n", parts,
					    value_size));
	send_bytes(value, value_size);
	send_text("\r\n");
	if (options != NULL)
		send_bytes(header, (size_t)snprintf(header, sizeof header, "$%zu\r\n%s\r\n", strlen(options), options));
	free(value);
}

static void test_large_writes(void **state)
{
	(void)state;
	for (int i = 0; i < 12; i++)
		send_set(NULL, MIB);
	expect_asked(0, 4);
	finish(0);
	expect_asked(0, 3);
	finish(0);
	expect_asked(0, 2);
	finish(0);
	expect_asked(0, 4);
	finish_all();
	expect_size(12 * 5);
	/* One larger than the bound goes alone. */
	send_set(NULL, 5 * MIB);
	send_set(NULL, 1);
	expect_asked(0, 1);
	finish_all();
	/* Replies that may hold values count. */
	for (int i = 0; i < 30; i++)
		send_set("GET", 1);
	expect_asked(0, 16);
	finish_all();
}

static void test_many_reads(void **state)
{
	(void)state;
	const size_t total = 3000;
	struct buf all;
	buf_init(&all, &world->mem);
	for (size_t i = 0; i < total; i++)
		buf_printf(&all, "GET a\r\n");
	send_bytes(buf_at(&all), buf_size(&all));
	buf_free(&all);
	for (int i = 0; i < 3; i++) {
		expect_asked(1, 0);
		finish(0);
	}
	expect_asked(0, 0);
	expect_size(total * 5);
}

/* Much comes while a read is under way: it waits, and what becomes of that read is not its business. */
static void test_much_behind_a_read(void **state)
{
	(void)state;
	size_t sent = 0;
	send_text("GET a\r\n");
	for (; !world->client.paused; sent++)
		send_text("GET b\r\n");
	assert_int_equal(sent, (64 * 1024 + 6) / 7);
	expect_asked(1, 0);
	refuse(0, IKADA_UNKNOWN);
	expect(READ_LOST);
	finish_all();
	expect_size(sent * 5);
	assert_false(world->client.paused);
}

/* An answer that ended early: the rest is asked for again, in order. */
static void test_long_answers(void **state)
{
	(void)state;
	send_set(NULL, MIB);
	finish(0);
	expect("+OK\r\n");
	send_text("SET b 1\r\n");
	finish(0);
	expect("+OK\r\n");
	send_text("GET a\r\nGET b\r\nGET a\r\nSET b 2\r\nGET b\r\n");
	expect_asked(1, 0);
	finish(0);
	end_turn();
	end_turn();
	expect_size(MIB + 12); /* "$1048576", the value, line ends. */
	expect_asked(1, 0);
	finish(0);
	end_turn();
	end_turn();
	expect_size(7 + MIB + 12);
	expect_asked(0, 1);
	finish_all();
	expect("+OK\r\n$1\r\n2\r\n");
}

/* A client that asks and does not listen. */
static void test_slow_client(void **state)
{
	(void)state;
	send_set(NULL, MIB);
	finish(0);
	expect("+OK\r\n");
	end_turn();
	world->client.held = true;
	struct buf all;
	buf_init(&all, &world->mem);
	for (int i = 0; i < 10; i++)
		buf_printf(&all, "GET a\r\n");
	send_bytes(buf_at(&all), buf_size(&all));
	buf_free(&all);
	finish(0);
	expect_asked(0, 0); /* More than 1 MiB is pending. */
	assert_true(end_turn());
	assert_false(end_turn()); /* The system did not take it: it will tell. */
	for (int i = 0; i < 100; i++)
		send_text("PING\r\n");
	expect_asked(0, 0);
	for (int i = 1; i < 10; i++) {
		world->client.taken = buf_size(&world->client.out);
		world->client.events->drained(world->client.context);
		expect_asked(1, 0);
		finish(0);
		end_turn();
		end_turn();
	}
	world->client.taken = buf_size(&world->client.out);
	world->client.events->drained(world->client.context);
	expect_size(10 * (MIB + 12) + 100 * 7);
}

/* The system takes all at the end of the turn, and says nothing. */
static void test_fast_client(void **state)
{
	(void)state;
	send_set(NULL, MIB);
	finish(0);
	expect("+OK\r\n");
	send_text("GET a\r\nGET a\r\n");
	finish(0);
	expect_asked(0, 0);
	assert_true(end_turn());
	expect_asked(0, 0);
	assert_false(end_turn());
	expect_asked(1, 0);
	finish(0);
	expect_size(2 * (MIB + 12));
}

/* Stalled, and then gone. */
static void test_slow_client_goes(void **state)
{
	(void)state;
	send_set(NULL, MIB);
	finish(0);
	world->client.held = true;
	send_text("GET a\r\nGET a\r\n");
	finish(0);
	client_goes();
	assert_false(end_turn());
}

static void test_too_large(void **state)
{
	(void)state;
	static char value[10 * 1024 * 1024];
	send_text("INCR n\r\n*5\r\n$4\r\nMSET\r\n$1\r\na\r\n$10485760\r\n");
	send_bytes(value, sizeof value);
	send_text("\r\n$1\r\nb\r\n$10485760\r\n");
	send_bytes(value, sizeof value);
	send_text("\r\nDBSIZE\r\n*3\r\n$4\r\nECHO\r\n$10485760\r\n");
	send_bytes(value, sizeof value);
	send_text("\r\n$10485760\r\n");
	send_bytes(value, sizeof value);
	send_text("\r\n");
	finish_all();
	expect(":1\r\n-ERR the request is larger than 16777152 bytes\r\n:1\r\n"
	       "-ERR the request is larger than 16777152 bytes\r\n");
}

/* ---- All together ---- */

static uint64_t next_random(uint64_t *x)
{
	*x = *x * 6364136223846793005u + 1442695040888963407u;
	return *x >> 33;
}

static void put_random_request(struct buf *out, uint64_t *x)
{
	static const char *const requests[] = {
		"INCR a", "INCR b", "GET a", "GET b", "GET a", "SET a 5", "SET a x", "APPEND b 1", "DEL a", "PING",
		"MGET a b", "SET b 1 GET", "FOO", "GET", "DBSIZE", "FLUSHALL", "ECHO hi", "CLIENT SETNAME me",
		"CLIENT GETNAME", "SET c 1 NX", "EXISTS a b c", "*0", "", "SET a b c",
	};
	buf_printf(out, "%s\r\n", requests[next_random(x) % (sizeof requests / sizeof *requests)]);
}

/* Requests one by one, each ended before the next, are what the client must see however they are piped and end. */
static void test_any_interleaving(void **state)
{
	struct mem mem;
	struct buf requests, expected;
	mem_init(&mem, false);
	buf_init(&requests, &mem);
	buf_init(&expected, &mem);
	for (uint64_t x = 1, round = 0; round < 500; round++) {
		setup(state);
		for (int i = 0; i < 64; i++) {
			size_t from = buf_size(&requests);
			put_random_request(&requests, &x);
			send_bytes(buf_at(&requests) + from, buf_size(&requests) - from);
			finish_all();
		}
		buf_add(&expected, buf_at(&world->client.out), buf_size(&world->client.out));
		teardown(state);
		setup(state);
		while (buf_size(&requests) > 0 || world->asked_count > 0) {
			if (buf_size(&requests) > 0 && next_random(&x) % 4 == 0) {
				size_t n = 1 + next_random(&x) % 80;
				n = n < buf_size(&requests) ? n : buf_size(&requests);
				send_bytes(buf_at(&requests), n);
				buf_consume(&requests, n);
			} else if (world->asked_count > 0) {
				finish(next_random(&x) % world->asked_count);
			}
		}
		assert_int_equal(buf_size(&world->client.out), buf_size(&expected));
		assert_memory_equal(buf_at(&world->client.out), buf_at(&expected), buf_size(&expected));
		buf_consume(&expected, buf_size(&expected));
		teardown(state);
	}
	buf_free(&requests);
	buf_free(&expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_writes_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replies_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_after_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_after_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reads_gather, setup, teardown),
		cmocka_unit_test_setup_teardown(test_local_after_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outcomes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reads_fail_together, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_after_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_http, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_under_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clients_max, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_much_behind_a_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fast_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_client_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
		cmocka_unit_test(test_any_interleaving),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
