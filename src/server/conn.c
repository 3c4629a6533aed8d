/*
 * A client's connection. Parses what comes in, starts what it asks for, and sends replies in the order of the requests.
 *
 * What runs at the same time on one connection:
 *	calls	 many, proposed in order; their replies go out in order, whatever ends first. Small writes that came
 *		 together are one, and one entry of the log; each other write is one.
 *	reads	 consecutive ones gather, and are asked for as one; those that come meanwhile gather for the next.
 * A read that finds calls under way becomes a call itself: it goes through the log behind them and is answered there,
 * so a pipeline of both kinds does not stop at each change. A call is proposed when all reads before it are answered.
 * So each request sees just what was before it. What is neither is answered at once, in its place.
 *
 * Bounds: requests under way and their bytes; the bytes of gathered reads, and of one answer (machine.h); replies that
 * the client does not take. When one is reached nothing more is parsed, and when that lasts the stream is paused. One
 * request in the making is bounded by the parser.
 */
#include "server/server_internal.h"

#include "base/bytes.h"
#include "server/local.h"

#include <string.h>

enum { CALLS_MAX = 1024, READS_MAX = 1024, FREE_CALLS_MAX = 4096 };
#define TOGETHER_BYTES_MAX ((size_t)4 * 1024) /* Of an entry with several commands. */
#define CALL_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define VALUE_REPLY_BYTES ((size_t)256 * 1024) /* What a reply that may hold a value counts for. */
#define READ_BYTES_MAX ((size_t)64 * 1024)
#define OUTPUT_BYTES_MAX ((size_t)1024 * 1024)
#define INPUT_BYTES_MAX ((size_t)64 * 1024) /* Of input that must wait, before the stream is paused. */

/* Requests that go through the log as one entry, or a reply that waits for its turn. */
struct call {
	struct list at; /* In conn->calls, or server->free_calls. */
	struct conn *conn;
	struct ikada_request request;
	uint32_t count; /* Of client's requests. */
	size_t bytes;
	bool ended;
	bool read;
	bool silent;	  /* The reply is not wanted. */
	struct buf reply; /* When it ended before its turn. */
};

static void proceed(struct conn *conn);
static void call_done(struct ikada_request *request, enum ikada_outcome outcome, const uint8_t *reply, size_t size);

static struct call *add_call(struct conn *conn, size_t bytes)
{
	struct server *server = conn->server;
	struct call *call;
	if (list_empty(&server->free_calls)) {
		call = mem_zero(server->mem, sizeof *call);
		call->request.done = call_done;
		list_init(&call->at);
		buf_init(&call->reply, server->mem);
	} else {
		call = LIST_OF(server->free_calls.next, struct call, at);
		list_remove(&call->at);
		server->free_call_count--;
	}
	call->conn = conn;
	call->count = 1;
	call->bytes = bytes;
	call->ended = false;
	call->read = false;
	call->silent = false;
	list_push(&conn->calls, &call->at);
	conn->call_count++;
	conn->call_bytes += bytes;
	return call;
}

static void drop_call(struct call *call)
{
	struct server *server = call->conn->server;
	call->conn->call_count -= call->count;
	call->conn->call_bytes -= call->bytes;
	list_remove(&call->at);
	buf_free(&call->reply);
	if (server->free_call_count == FREE_CALLS_MAX) {
		mem_free(server->mem, call);
		return;
	}
	list_push_first(&server->free_calls, &call->at); /* The next one has what is still in the caches. */
	server->free_call_count++;
}

/* ---- Replies ---- */

static void say(struct conn *conn, const uint8_t *bytes, size_t size)
{
	if (size == 0)
		return;
	conn->server->total_output_bytes += size;
	conn->server->env->ops->stream_write(conn->stream, bytes, size);
}

/* Whether the client has said that it does not want the reply to the request under way. */
static bool is_silent(const struct conn *conn)
{
	return conn->silent || conn->unwanted > 0;
}

static void propose_gathered(struct server *server)
{
	struct call *call = server->gathering;
	if (call == NULL)
		return;
	server->gathering = NULL;
	struct slice entry = machine_end(&server->encoded, call->count);
	ikada_node_propose(server->node, &call->request, entry.bytes, entry.size, call->conn->protocol);
	buf_consume(&server->encoded, buf_size(&server->encoded));
}

/* Sends what server->reply holds, in its turn. */
static void say_in_turn(struct conn *conn)
{
	struct buf *reply = &conn->server->reply;
	propose_gathered(conn->server);
	if (is_silent(conn)) {
		/* Not at all. */
	} else if (list_empty(&conn->calls)) {
		say(conn, buf_at(reply), buf_size(reply));
	} else {
		struct call *call = add_call(conn, buf_size(reply));
		call->ended = true;
		buf_add(&call->reply, buf_at(reply), buf_size(reply));
	}
	buf_consume(reply, buf_size(reply));
}

/* Reads have no effect, so one that may or may not have been served was, as far as anybody can tell, not. */
static void put_outcome(struct buf *reply, enum ikada_outcome outcome, bool read)
{
	if (outcome == IKADA_BUSY)
		resp_put_error(reply, "BUSY too many requests are under way, or the leader's disk is full; this one "
				      "was not executed");
	else if (outcome == IKADA_TOO_LARGE)
		resp_put_error(reply, "ERR the request is larger than %zu bytes", RESP_REQUEST_BYTES_MAX);
	else if (outcome == IKADA_NO_LEADER)
		resp_put_error(reply, "CLUSTERDOWN no leader took the request; it was not executed");
	else if (read)
		resp_put_error(reply, "CLUSTERDOWN the leader was lost before it answered this read");
	else
		resp_put_error(reply, "UNKNOWN the request may have been executed, or may yet be");
}

/* ---- Calls ---- */

static bool replies_with_value(const struct command *command, const struct request *request)
{
	int least = command->about.arity < 0 ? -command->about.arity : command->about.arity;
	bool more = request->count > (uint32_t)least;
	return !(command->flags & COMMAND_WRITES) || (command->flags & COMMAND_VALUE) ||
	       ((command->flags & COMMAND_VALUE_IF_MORE) && more);
}

/* Whether a write of `size` bytes may join those that gather. */
static bool joins(const struct conn *conn, size_t size)
{
	const struct call *call = conn->server->gathering;
	return call != NULL && call->count < MACHINE_TOGETHER_MAX && call->silent == is_silent(conn) &&
	       buf_size(&conn->server->encoded) + size <= TOGETHER_BYTES_MAX;
}

static void start_call(struct conn *conn, const struct command *command, const struct request *request)
{
	struct server *server = conn->server;
	size_t size = machine_bytes(request);
	bool alone = replies_with_value(command, request);
	if (!alone && joins(conn, size)) {
		server->gathering->count++;
		server->gathering->bytes += size;
		conn->call_count++;
		conn->call_bytes += size;
	} else {
		propose_gathered(server);
		server->gathering = add_call(conn, size + (alone ? VALUE_REPLY_BYTES : 0));
		server->gathering->read = !(command->flags & COMMAND_WRITES);
		server->gathering->silent = is_silent(conn);
		machine_begin(&server->encoded);
	}
	machine_encode(&server->encoded, command, request);
	if (alone)
		propose_gathered(server);
}

/* Whether what the connection waits for is there, now that a call has ended. */
static bool waited_enough(const struct conn *conn)
{
	if (conn->wait == WAIT_CALLS)
		return list_empty(&conn->calls);
	return conn->wait == WAIT_ROOM && conn->call_count <= CALLS_MAX / 2 && conn->call_bytes <= CALL_BYTES_MAX / 2;
}

/* Replies that waited for the one before them. */
static void say_ended(struct conn *conn)
{
	while (!list_empty(&conn->calls)) {
		struct call *call = LIST_OF(conn->calls.next, struct call, at);
		if (!call->ended)
			return;
		say(conn, buf_at(&call->reply), buf_size(&call->reply));
		drop_call(call);
	}
}

static void call_done(struct ikada_request *request, enum ikada_outcome outcome, const uint8_t *reply, size_t size)
{
	struct call *call = LIST_OF(request, struct call, request);
	struct conn *conn = call->conn;
	struct buf *error = &conn->server->reply;
	if (outcome != IKADA_DONE) {
		for (uint32_t i = 0; i < call->count; i++)
			put_outcome(error, outcome, call->read);
		reply = buf_at(error);
		size = buf_size(error);
	}
	if (call->silent)
		size = 0;
	call->ended = true;
	if (conn->calls.next == &call->at) {
		say(conn, reply, size);
		drop_call(call);
		say_ended(conn);
	} else {
		buf_add(&call->reply, reply, size);
	}
	buf_consume(error, buf_size(error));
	if (waited_enough(conn))
		proceed(conn);
}

/* ---- Reads ---- */

static void read_done(struct ikada_request *request, enum ikada_outcome outcome, const uint8_t *reply, size_t size)
{
	struct conn *conn = LIST_OF(request, struct conn, read);
	struct buf *error = &conn->server->reply;
	uint32_t answered = size < 4 ? 0 : get_le32(reply);
	conn->reading = false;
	if (outcome == IKADA_DONE && answered > 0 && answered <= conn->read_count) {
		say(conn, reply + 4, size - 4);
	} else {
		put_outcome(error, outcome == IKADA_DONE ? IKADA_UNKNOWN : outcome, true);
		for (answered = 0; answered < conn->read_count; answered++)
			say(conn, buf_at(error), buf_size(error));
		buf_consume(error, buf_size(error));
	}
	for (conn->read_count -= answered; answered > 0; answered--)
		buf_consume(&conn->reads, machine_encoded_bytes(buf_at(&conn->reads), buf_size(&conn->reads)));
	proceed(conn);
}

static void start_reads(struct conn *conn)
{
	conn->reading = true;
	conn->wait = WAIT_READS;
	conn->read.done = read_done;
	ikada_node_read(conn->server->node, &conn->read, buf_at(&conn->reads), buf_size(&conn->reads), conn->protocol);
}

/* ---- Requests ---- */

/* A web page can make a browser send lines to us; none of them may do anything. */
static bool is_http(struct slice name)
{
	return slice_is(name, "post") || slice_is(name, "host:");
}

/* Takes a command of the state machine, or says what it has to wait for. */
static enum conn_wait take_command(struct conn *conn, const struct command *command, const struct request *request)
{
	bool writes = command->flags & COMMAND_WRITES;
	if (!writes && is_silent(conn))
		return WAIT_NOTHING; /* It would change nothing, and nobody would hear of it. */
	if (writes || !list_empty(&conn->calls)) {
		if (conn->read_count > 0)
			return WAIT_READS;
		start_call(conn, command, request);
		return WAIT_NOTHING;
	}
	if (conn->read_count == READS_MAX || buf_size(&conn->reads) >= READ_BYTES_MAX)
		return WAIT_READS;
	machine_encode(&conn->reads, command, request);
	conn->read_count++;
	return WAIT_NOTHING;
}

static enum conn_wait take_request(struct conn *conn)
{
	struct buf *reply = &conn->server->reply;
	const struct request request = resp_request(&conn->parser, &conn->in);
	struct slice name = request_arg(&request, 0);
	const struct command *command = command_find(name);
	if (command != NULL && command_check(command, &request, reply))
		return take_command(conn, command, &request);
	if (conn->read_count > 0) {
		buf_consume(reply, buf_size(reply));
		return WAIT_READS;
	}
	propose_gathered(conn->server);
	if (command == NULL && is_http(name))
		conn->ending = true;
	else if (command == NULL)
		local_run(conn, &request, reply);
	say_in_turn(conn);
	return WAIT_NOTHING;
}

/* Takes the next request; false when there is none, or it has to wait. */
static bool take_next(struct conn *conn)
{
	struct buf *reply = &conn->server->reply;
	enum resp_next next = resp_parse(&conn->parser, &conn->in);
	if (next == RESP_MORE)
		return false;
	if (next == RESP_REQUEST)
		conn->wait = take_request(conn);
	else if (conn->read_count > 0)
		conn->wait = WAIT_READS;
	if (conn->wait != WAIT_NOTHING)
		return false;
	if (next == RESP_BROKEN) {
		resp_put_error(reply, "ERR %s", conn->parser.error);
		say_in_turn(conn);
		conn->ending = true;
		return true;
	}
	if (next == RESP_TOO_LARGE) {
		put_outcome(reply, IKADA_TOO_LARGE, false);
		say_in_turn(conn);
	}
	resp_consume(&conn->parser, &conn->in);
	conn->server->total_requests++;
	if (conn->unwanted > 0)
		conn->unwanted--;
	return true;
}

/* What to wait for before the next request is looked at. */
static enum conn_wait busy_with(struct conn *conn)
{
	if (conn->ending)
		return WAIT_CALLS;
	if (conn->reading)
		return WAIT_READS;
	if (conn->call_count >= CALLS_MAX || conn->call_bytes >= CALL_BYTES_MAX)
		return WAIT_ROOM;
	if (conn->server->env->ops->stream_pending(conn->stream) > OUTPUT_BYTES_MAX)
		return WAIT_OUTPUT;
	return WAIT_NOTHING;
}

/*
 * Takes as many requests as it may. Whoever calls this is done with the connection: it may be closed afterwards.
 *
 * The env does not tell when output left that it never had to hold back. So a connection that waits for output is also
 * looked at after the next send.
 */
static void proceed(struct conn *conn)
{
	if (conn->killed)
		return;
	do
		conn->wait = busy_with(conn);
	while (conn->wait == WAIT_NOTHING && take_next(conn));
	propose_gathered(conn->server);
	if (conn->read_count > 0 && !conn->reading && conn->wait != WAIT_OUTPUT)
		start_reads(conn);
	if (conn->ending && list_empty(&conn->calls) && !conn->reading) {
		conn_close(conn, true);
		return;
	}
	if (conn->wait == WAIT_OUTPUT && list_empty(&conn->stalled)) {
		conn->stall_seen = false;
		list_push(&conn->server->stalled, &conn->stalled);
	}
	bool pause = conn->ending || (conn->wait != WAIT_NOTHING && buf_size(&conn->in) >= INPUT_BYTES_MAX);
	if (pause != conn->paused)
		conn->server->env->ops->stream_pause(conn->stream, pause);
	conn->paused = pause;
}

bool conns_unstall(struct server *server)
{
	struct list all;
	list_init(&all);
	while (!list_empty(&server->stalled)) {
		struct list *link = server->stalled.next;
		list_remove(link);
		list_push(&all, link);
	}
	while (!list_empty(&all)) {
		struct conn *conn = LIST_OF(all.next, struct conn, stalled);
		list_remove(&conn->stalled);
		if (conn->killed) {
			conn_close(conn, false);
		} else if (!conn->stall_seen) {
			conn->stall_seen = true;
			list_push(&server->stalled, &conn->stalled);
		} else if (conn->wait == WAIT_OUTPUT &&
			   server->env->ops->stream_pending(conn->stream) <= OUTPUT_BYTES_MAX) {
			proceed(conn);
		}
	}
	return !list_empty(&server->stalled);
}

/* ---- The stream ---- */

static void received(void *context, const uint8_t *bytes, size_t size)
{
	struct conn *conn = context;
	if (conn->killed)
		return;
	conn->heard_ns = conn->server->env->ops->raw_ns(conn->server->env);
	conn->server->total_input_bytes += size;
	buf_add(&conn->in, bytes, size);
	if (conn->wait == WAIT_NOTHING || buf_size(&conn->in) >= INPUT_BYTES_MAX)
		proceed(conn);
}

static void drained(void *context)
{
	struct conn *conn = context;
	if (conn->wait == WAIT_OUTPUT)
		proceed(conn);
}

static void release(struct conn *conn)
{
	struct server *server = conn->server;
	if (conn->reading)
		ikada_node_forget(server->node, &conn->read);
	while (!list_empty(&conn->calls)) {
		struct call *call = LIST_OF(conn->calls.next, struct call, at);
		if (!call->ended)
			ikada_node_forget(server->node, &call->request);
		drop_call(call);
	}
	list_remove(&conn->at);
	list_remove(&conn->stalled);
	server->conn_count--;
	buf_free(&conn->in);
	buf_free(&conn->reads);
	resp_free(&conn->parser);
	mem_free(server->mem, conn->name);
	mem_free(server->mem, conn);
}

static void closed(void *context, int status)
{
	(void)status;
	release(context);
}

void conn_close(struct conn *conn, bool flush)
{
	conn->server->env->ops->stream_close(conn->stream, flush);
	release(conn);
}

void conn_kill(struct conn *conn)
{
	conn->killed = true;
	list_remove(&conn->stalled);
	list_push(&conn->server->stalled, &conn->stalled);
}

void conn_accept(struct server *server, struct env_stream *stream)
{
	static const struct env_stream_events events = {NULL, received, drained, closed};
	static const char full[] = "-ERR max number of clients reached\r\n";
	const struct env_ops *ops = server->env->ops;
	if (server->conn_count == SERVER_CLIENTS_MAX) {
		server->rejected_conns++;
		ops->stream_write(stream, full, sizeof full - 1);
		ops->stream_close(stream, true);
		return;
	}
	struct conn *conn = mem_zero(server->mem, sizeof *conn);
	conn->server = server;
	conn->stream = stream;
	conn->id = ++server->next_conn_id;
	conn->protocol = RESP_2;
	conn->opened_ns = conn->heard_ns = ops->raw_ns(server->env);
	list_init(&conn->at);
	list_init(&conn->calls);
	list_init(&conn->stalled);
	buf_init(&conn->in, server->mem);
	buf_init(&conn->reads, server->mem);
	resp_init(&conn->parser, server->mem);
	list_push(&server->conns, &conn->at);
	server->conn_count++;
	server->total_conns++;
	ops->stream_attach(stream, &events, conn);
}

void conns_close(struct server *server)
{
	while (!list_empty(&server->conns))
		conn_close(LIST_OF(server->conns.next, struct conn, at), true);
	while (!list_empty(&server->free_calls)) {
		struct call *call = LIST_OF(server->free_calls.next, struct call, at);
		list_remove(&call->at);
		mem_free(server->mem, call);
	}
	server->free_call_count = 0;
}
