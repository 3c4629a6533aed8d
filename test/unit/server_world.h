/*
 * A server over a node and streams that the test plays. One file: it defines what the server's room calls of the node
 * and of the env.
 */
#ifndef IKADA_TEST_UNIT_SERVER_WORLD_H
#define IKADA_TEST_UNIT_SERVER_WORLD_H

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
	uint32_t tag;
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
	struct env_stream other; /* A second client's, when a test wants one. */
	struct asked asked[ASKED_MAX];
	size_t asked_count;
	size_t asked_total;
	uint64_t index;
	uint64_t raw_ns;
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

static void ask(struct ikada_request *request, const uint8_t *bytes, size_t size, bool read, uint32_t tag)
{
	assert_true(world->asked_count < ASKED_MAX);
	struct asked *asked = &world->asked[world->asked_count++];
	memset(asked, 0, sizeof *asked);
	asked->request = request;
	asked->read = read;
	asked->tag = tag;
	buf_init(&asked->bytes, &world->mem);
	buf_init(&asked->reply, &world->mem);
	buf_add(&asked->bytes, bytes, size);
	world->asked_total++;
}

bool ikada_node_change(struct ikada_node *node, enum ikada_member_action action, uint64_t id, const char *address,
		       char *error, size_t error_size)
{
	(void)node;
	snprintf(error, error_size, "action %d, node %ju, address %s", (int)action, (uintmax_t)id,
		 address == NULL ? "none" : address);
	return id < 100;
}

bool ikada_node_transfer(struct ikada_node *node, uint64_t to, uint64_t deadline_ns, char *error, size_t error_size)
{
	(void)node;
	snprintf(error, error_size, "to node %ju within %ju", (uintmax_t)to, (uintmax_t)deadline_ns);
	return to < 100;
}

void ikada_node_propose(struct ikada_node *node, struct ikada_request *request, const uint8_t *bytes, size_t size,
			uint32_t tag)
{
	(void)node;
	ask(request, bytes, size, false, tag);
}

void ikada_node_read(struct ikada_node *node, struct ikada_request *request, const uint8_t *bytes, size_t size,
		     uint32_t tag)
{
	(void)node;
	ask(request, bytes, size, true, tag);
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
	const struct ikada_apply entry = {.index = ++world->index,
					  .bytes = buf_at(&asked->bytes),
					  .size = buf_size(&asked->bytes),
					  .tag = asked->tag};
	if (asked->applied)
		return;
	asked->applied = true;
	if (asked->read)
		world->machine.query(world->machine.context, entry.bytes, entry.size, asked->tag, &asked->reply);
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
static inline void finish_with(size_t i, enum ikada_outcome outcome, const void *reply, size_t size)
{
	struct asked asked;
	remove_asked(i, &asked);
	asked.request->done(asked.request, outcome, reply, size);
	free_asked(&asked);
}

static inline void finish(size_t i)
{
	struct asked asked;
	serve_up_to(i);
	remove_asked(i, &asked);
	asked.request->done(asked.request, IKADA_DONE, buf_at(&asked.reply), buf_size(&asked.reply));
	free_asked(&asked);
}

static inline void refuse(size_t i, enum ikada_outcome outcome)
{
	finish_with(i, outcome, NULL, 0);
}

static inline void finish_all(void)
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
	return world->raw_ns;
}

static uint64_t wall_ns(struct env *env)
{
	(void)env;
	return 1700000000123456789;
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
	.wall_ns = wall_ns,
	.listen = listen_for,
	.listener_close = listener_close,
	.stream_attach = stream_attach,
	.stream_write = stream_write,
	.stream_pending = stream_pending,
	.stream_pause = stream_pause,
	.stream_close = stream_close,
};

/* The end of a turn: the machine's idle work, then what was written is sent. */
static inline bool end_turn(void)
{
	bool more = world->machine.idle(world->machine.context);
	if (!world->client.held)
		world->client.taken = buf_size(&world->client.out);
	return more;
}

/* ---- The test's hands ---- */

static void connect_stream(struct env_stream *client)
{
	if (client->gone)
		buf_free(&client->out);
	memset(client, 0, sizeof *client);
	buf_init(&client->out, &world->mem);
	world->accept->accepted(world->accept_context, client);
}

static inline void connect_client(void)
{
	connect_stream(&world->client);
}

static void usage(struct server_usage *used)
{
	*used = (struct server_usage){.cpu_user_us = 1500000, .cpu_system_us = 7, .resident_bytes = 4096};
}

static int setup(void **state)
{
	static const struct server_settings settings = {
		.listen = "here:7001", .process_id = 42, .os = "Test", .usage = usage};
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
	if (world->other.events != NULL)
		buf_free(&world->other.out);
	assert_int_equal(world->mem.bytes, 0);
	free(world);
	return 0;
}

static inline void send_bytes(const void *bytes, size_t size)
{
	if (!world->client.closed && !world->client.gone)
		world->client.events->received(world->client.context, bytes, size);
}

static inline void send_text(const char *text)
{
	send_bytes(text, strlen(text));
}

static inline void expect_size(size_t size)
{
	assert_int_equal(buf_size(&world->client.out), size);
	buf_consume(&world->client.out, size);
	world->client.taken = 0;
}

static inline void expect(const char *text)
{
	struct buf *out = &world->client.out;
	if (buf_size(out) != strlen(text) || (*text != '\0' && memcmp(buf_at(out), text, buf_size(out)) != 0))
		fail_msg("expected %s, found %.*s", text, (int)buf_size(out), (const char *)buf_at(out));
	expect_size(strlen(text));
}

static inline void client_goes(void)
{
	world->client.gone = true;
	world->client.events->closed(world->client.context, 0);
}

static inline void expect_asked(size_t reads, size_t writes)
{
	size_t found = 0;
	for (size_t i = 0; i < world->asked_count; i++)
		found += world->asked[i].read;
	assert_int_equal(found, reads);
	assert_int_equal(world->asked_count - found, writes);
}

#endif
