/* The table of local commands, and the smallest of them. Texts of errors are those of Redis. */
#include "server/local.h"

#include <stdio.h>

static void ping_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	(void)conn;
	if (request->count > 2) {
		command_put_wrong_arity(reply, "ping");
	} else if (request->count == 2) {
		struct slice text = request_arg(request, 1);
		resp_put_bulk(reply, text.bytes, text.size);
	} else {
		resp_put_status(reply, "PONG");
	}
}

static void echo_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	(void)conn;
	struct slice text = request_arg(request, 1);
	resp_put_bulk(reply, text.bytes, text.size);
}

static void quit_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	(void)request;
	resp_put_status(reply, "OK");
	conn->ending = true;
}

/* There is one database. */
static void select_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	int64_t number;
	(void)conn;
	if (!command_integer(request, 1, &number, reply))
		return;
	if (number == 0)
		resp_put_status(reply, "OK");
	else
		resp_put_error(reply, "ERR DB index is out of range");
}

static void command_run(struct conn *conn, const struct request *request, struct buf *reply);

struct local_command {
	const char *name;
	int arity;
	void (*run)(struct conn *conn, const struct request *request, struct buf *reply);
};

static const struct local_command table[] = {
	{"ping", -1, ping_run},
	{"echo", 2, echo_run},
	{"select", 2, select_run},
	{"quit", -1, quit_run},
	{"hello", -1, hello_run},
	{"client", -2, client_run},
	{"command", -1, command_run},
	{"info", -1, info_run},
	{"config", -2, config_run},
};
enum { COUNT = sizeof table / sizeof *table };

/* What a client asks when it starts. It may do without; so nothing is described yet. */
static void command_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	(void)conn;
	if (request->count == 1) {
		resp_put_array(reply, 0);
		return;
	}
	struct slice what = request_arg(request, 1);
	if (slice_is(what, "count")) {
		if (local_arity(2, request, "command|count", reply))
			resp_put_integer(reply, (int64_t)command_count() + COUNT);
	} else if (slice_is(what, "docs")) {
		resp_put_array(reply, 0);
	} else {
		local_put_unknown_subcommand(request, "COMMAND", reply);
	}
}

bool local_arity(int arity, const struct request *request, const char *name, struct buf *reply)
{
	if (command_arity_fits(arity, request->count))
		return true;
	command_put_wrong_arity(reply, name);
	return false;
}

/* What of an argument may stand in an error: Redis takes it up to its first zero byte. */
static int shown_bytes(struct slice slice, size_t size_max)
{
	size_t size = slice.size < size_max ? slice.size : size_max;
	const uint8_t *zero = size == 0 ? NULL : memchr(slice.bytes, '\0', size);
	return zero == NULL ? (int)size : (int)(zero - slice.bytes);
}

void local_put_unknown_subcommand(const struct request *request, const char *help, struct buf *reply)
{
	struct slice name = request_arg(request, 1);
	resp_put_error(reply, "ERR unknown subcommand '%.*s'. Try %s HELP.", shown_bytes(name, 128),
		       (const char *)name.bytes, help);
}

static void put_unknown(const struct request *request, struct buf *reply)
{
	char args[160] = "";
	size_t used = 0;
	for (uint32_t i = 1; i < request->count && used < 128; i++) {
		struct slice arg = request_arg(request, i);
		used += (size_t)snprintf(args + used, sizeof args - used, "'%.*s' ", shown_bytes(arg, 128 - used),
					 (const char *)arg.bytes);
	}
	struct slice name = request_arg(request, 0);
	resp_put_error(reply, "ERR unknown command '%.*s', with args beginning with: %s", shown_bytes(name, 128),
		       (const char *)name.bytes, args);
}

void local_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	for (size_t i = 0; i < COUNT; i++) {
		const struct local_command *command = &table[i];
		if (!slice_is(request_arg(request, 0), command->name))
			continue;
		if (local_arity(command->arity, request, command->name, reply))
			command->run(conn, request, reply);
		return;
	}
	put_unknown(request, reply);
}
