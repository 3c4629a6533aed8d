/* CLIENT: what a connection says and asks about itself and the others. */
#include "server/local.h"

#include <inttypes.h>

enum {
	NAME_BYTES_MAX = 512,
	IDS_MAX = 100, /* That may be asked about at once. */
};
#define NS_PER_S ((uint64_t)1000000000)

void client_reset(struct conn *conn)
{
	mem_free(conn->server->mem, conn->name);
	conn->name = NULL;
	conn->protocol = RESP_2;
	conn->silent = false;
	conn->unwanted = 0;
}

/* ---- Names ---- */

/* As Redis has it: printable, no spaces. */
static bool is_plain(struct slice text)
{
	for (size_t i = 0; i < text.size; i++)
		if (text.bytes[i] < '!' || text.bytes[i] > '~')
			return false;
	return true;
}

bool client_name_fits(struct slice name, struct buf *reply)
{
	if (!is_plain(name)) {
		resp_put_error(reply, "ERR Client names cannot contain spaces, newlines or special characters.");
		return false;
	}
	if (name.size > NAME_BYTES_MAX) {
		resp_put_error(reply, "ERR Client names cannot be longer than %d bytes.", NAME_BYTES_MAX);
		return false;
	}
	return true;
}

void client_set_name(struct conn *conn, struct slice name)
{
	mem_free(conn->server->mem, conn->name);
	conn->name = NULL;
	if (name.size == 0)
		return;
	conn->name = mem_zero(conn->server->mem, name.size + 1);
	memcpy(conn->name, name.bytes, name.size);
}

static void setname_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	if (!client_name_fits(request_arg(request, 2), reply))
		return;
	client_set_name(conn, request_arg(request, 2));
	resp_put_status(reply, "OK");
}

static void getname_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	(void)request;
	if (conn->name == NULL)
		resp_put_null(reply, conn->protocol);
	else
		resp_put_text(reply, conn->name);
}

/* What a client library says about itself is checked, and not kept. */
static void setinfo_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	struct slice what = request_arg(request, 2);
	const char *name = slice_is(what, "lib-name") ? "lib-name" : slice_is(what, "lib-ver") ? "lib-ver" : NULL;
	(void)conn;
	if (name == NULL)
		resp_put_error(reply, "ERR Unrecognized option '%.*s'", local_shown_bytes(what, 128),
			       (const char *)what.bytes);
	else if (!is_plain(request_arg(request, 3)))
		resp_put_error(reply, "ERR %s cannot contain spaces, newlines or special characters.", name);
	else
		resp_put_status(reply, "OK");
}

/* ---- Who is there ---- */

static void id_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	(void)request;
	resp_put_integer(reply, (int64_t)conn->id);
}

/* One line in the manner of Redis, with the fields that mean something here or that clients insist on. */
static void put_line(const struct conn *conn, struct buf *out)
{
	const struct server *server = conn->server;
	const struct env_ops *ops = server->env->ops;
	uint64_t now_ns = ops->raw_ns(server->env);
	size_t output = ops->stream_pending(conn->stream);
	size_t used = buf_size(&conn->in);
	buf_printf(out, "id=%" PRIu64 " laddr=%s name=%s age=%" PRIu64 " idle=%" PRIu64, conn->id, server->listen,
		   conn->name == NULL ? "" : conn->name, (now_ns - conn->opened_ns) / NS_PER_S,
		   (now_ns - conn->heard_ns) / NS_PER_S);
	buf_printf(out,
		   " flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=%zu qbuf-free=%zu argv-mem=0 obl=0 oll=0 omem=%zu"
		   " tot-mem=%zu user=default resp=%d\n",
		   used, conn->in.room - used, output, conn->in.room + conn->reads.room + output, (int)conn->protocol);
}

static void put_lines(struct conn *conn, struct buf *lines, struct buf *reply)
{
	resp_put_verbatim(reply, conn->protocol, buf_at(lines), buf_size(lines));
	buf_free(lines);
}

static void client_info_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	struct buf lines;
	(void)request;
	buf_init(&lines, conn->server->mem);
	put_line(conn, &lines);
	put_lines(conn, &lines, reply);
}

static bool known_type(struct slice type, struct buf *reply)
{
	static const char *const types[] = {"normal", "master", "replica", "slave", "pubsub"};
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (slice_is(type, types[i]))
			return true;
	resp_put_error(reply, "ERR Unknown client type '%.*s'", local_shown_bytes(type, 128), (const char *)type.bytes);
	return false;
}

/* Whether the connection is one of the ids from the given argument on. */
static bool is_listed(const struct conn *conn, const struct request *request, uint32_t first)
{
	int64_t id;
	for (uint32_t i = first; i < request->count; i++)
		if (slice_integer(request_arg(request, i), &id) && (uint64_t)id == conn->id)
			return true;
	return false;
}

/* CLIENT LIST [TYPE type | ID id...]. All connections are of the type normal. */
static void list_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	bool by_id = request->count > 3 && slice_is(request_arg(request, 2), "id");
	bool by_type = request->count == 4 && slice_is(request_arg(request, 2), "type");
	if (request->count > 2 && !by_id && !by_type) {
		command_put_syntax_error(reply);
		return;
	}
	if (by_type && !known_type(request_arg(request, 3), reply))
		return;
	if (by_id && request->count - 3 > IDS_MAX) {
		resp_put_error(reply, "ERR more than %d client IDs are asked about", IDS_MAX);
		return;
	}
	for (uint32_t i = 3; by_id && i < request->count; i++) {
		int64_t id;
		if (!slice_integer(request_arg(request, i), &id)) {
			resp_put_error(reply, "ERR Invalid client ID");
			return;
		}
	}
	struct list *conns = &conn->server->conns;
	struct buf lines;
	buf_init(&lines, conn->server->mem);
	for (struct list *at = conns->next; at != conns; at = at->next) {
		struct conn *other = LIST_OF(at, struct conn, at);
		if (other->killed || (by_id && !is_listed(other, request, 3)) ||
		    (by_type && !slice_is(request_arg(request, 3), "normal")))
			continue;
		put_line(other, &lines);
	}
	put_lines(conn, &lines, reply);
}

/* ---- KILL ---- */

struct kill {
	uint64_t id; /* 0: any. */
	bool none;   /* A condition that no connection fulfils. */
	bool me;     /* This one too. */
};

static bool kill_take(struct slice option, struct slice value, struct kill *kill, struct buf *reply)
{
	int64_t id;
	bool yes = slice_is(value, "yes");
	if (slice_is(option, "id")) {
		if (slice_integer(value, &id) && id > 0) {
			kill->none |= kill->id != 0 && kill->id != (uint64_t)id;
			kill->id = (uint64_t)id;
			return true;
		}
		resp_put_error(reply, "ERR client-id should be greater than 0");
	} else if (slice_is(option, "type")) {
		kill->none |= !slice_is(value, "normal");
		return known_type(value, reply);
	} else if (slice_is(option, "user")) {
		if (slice_is(value, "default"))
			return true;
		resp_put_error(reply, "ERR No such user '%.*s'", local_shown_bytes(value, 128),
			       (const char *)value.bytes);
	} else if (slice_is(option, "addr")) {
		kill->none = true; /* Addresses of clients are not known here. */
		return true;
	} else if (slice_is(option, "skipme") && (yes || slice_is(value, "no"))) {
		kill->me = !yes;
		return true;
	} else {
		command_put_syntax_error(reply);
	}
	return false;
}

static int64_t kill_all(struct conn *conn, const struct kill *kill)
{
	struct list *conns = &conn->server->conns;
	int64_t count = 0;
	for (struct list *at = conns->next; at != conns; at = at->next) {
		struct conn *other = LIST_OF(at, struct conn, at);
		if (other->killed || (kill->id != 0 && kill->id != other->id) || (other == conn && !kill->me))
			continue;
		if (other == conn)
			conn->ending = true; /* Behind this reply. */
		else
			conn_kill(other);
		count++;
	}
	return count;
}

static void kill_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	struct kill kill = {.me = false};
	if (request->count == 3) {
		resp_put_error(reply, "ERR No such client"); /* By its address. */
		return;
	}
	if (request->count % 2 == 1) {
		command_put_syntax_error(reply);
		return;
	}
	for (uint32_t i = 2; i < request->count; i += 2)
		if (!kill_take(request_arg(request, i), request_arg(request, i + 1), &kill, reply))
			return;
	resp_put_integer(reply, kill.none ? 0 : kill_all(conn, &kill));
}

/* ---- Modes ---- */

static void reply_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	struct slice how = request_arg(request, 2);
	if (slice_is(how, "on")) {
		conn->silent = false;
		conn->unwanted = 0;
		resp_put_status(reply, "OK");
	} else if (slice_is(how, "off")) {
		conn->silent = true;
	} else if (slice_is(how, "skip")) {
		conn->unwanted = 2; /* This reply and the next. */
	} else {
		command_put_syntax_error(reply);
	}
}

/* No connection is evicted, and no key is touched by being read. */
static void no_effect_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	(void)conn;
	if (local_on_or_off(request, reply))
		resp_put_status(reply, "OK");
}

static void tracking_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	(void)conn;
	if (!local_on_or_off(request, reply))
		return;
	if (slice_is(request_arg(request, 2), "off"))
		resp_put_status(reply, "OK");
	else
		resp_put_error(reply, "ERR client side caching is not supported");
}

const struct local_command client_commands[] = {
	{{"client|id", 2, 0, 0, 0, "5.0.0", "connection", "The number of this connection."}, NULL, id_run},
	{{"client|info", 2, 0, 0, 0, "6.2.0", "connection", "About this connection."}, NULL, client_info_run},
	{{"client|list", -2, 0, 0, 0, "2.4.0", "connection", "About all connections."}, NULL, list_run},
	{{"client|kill", -3, 0, 0, 0, "2.4.0", "connection", "Closes connections."}, NULL, kill_run},
	{{"client|getname", 2, 0, 0, 0, "2.6.9", "connection", "The connection's name."}, NULL, getname_run},
	{{"client|setname", 3, 0, 0, 0, "2.6.9", "connection", "Names the connection."}, NULL, setname_run},
	{{"client|setinfo", 4, 0, 0, 0, "7.2.0", "connection", "Names the library."}, NULL, setinfo_run},
	{{"client|reply", 3, 0, 0, 0, "3.2.0", "connection", "Which replies are wanted."}, NULL, reply_run},
	{{"client|no-evict", 3, 0, 0, 0, "7.0.0", "connection", "Changes nothing."}, NULL, no_effect_run},
	{{"client|no-touch", 3, 0, 0, 0, "7.2.0", "connection", "Changes nothing."}, NULL, no_effect_run},
	{{"client|tracking", -3, 0, 0, 0, "6.0.0", "connection", "Not supported."}, NULL, tracking_run},
	{{NULL, 0, 0, 0, 0, NULL, NULL, NULL}, NULL, NULL},
};
