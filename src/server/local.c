/* The table of local commands, how they are found, and the smallest of them. Texts of errors are those of Redis. */
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

static void reset_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	(void)request;
	client_reset(conn);
	resp_put_status(reply, "RESET");
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

/* The clock of this node, which may jump. */
static void time_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	struct env *env = conn->server->env;
	uint64_t now_us = env->ops->wall_ns(env) / 1000;
	char text[RESP_INTEGER_BYTES];
	(void)request;
	resp_put_array(reply, 2);
	resp_put_bulk(reply, text, resp_print_integer(text, (int64_t)(now_us / 1000000)));
	resp_put_bulk(reply, text, resp_print_integer(text, (int64_t)(now_us % 1000000)));
}

/* Every node takes every request, so there are no slots to tell of. */
static void cluster_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	(void)conn;
	(void)request;
	resp_put_error(reply, "ERR This instance has cluster support disabled");
}

const struct local_command cluster_commands[] = {
	{{"cluster|info", 2, 0, 0, 0, "3.0.0", "cluster", "Refused: clustering is off."}, NULL, cluster_run},
	{{"cluster|keyslot", 3, 0, 0, 0, "3.0.0", "cluster", "Refused: clustering is off."}, NULL, cluster_run},
	{{"cluster|myid", 2, 0, 0, 0, "3.0.0", "cluster", "Refused: clustering is off."}, NULL, cluster_run},
	{{"cluster|nodes", 2, 0, 0, 0, "3.0.0", "cluster", "Refused: clustering is off."}, NULL, cluster_run},
	{{"cluster|shards", 2, 0, 0, 0, "7.0.0", "cluster", "Refused: clustering is off."}, NULL, cluster_run},
	{{"cluster|slots", 2, 0, 0, 0, "3.0.0", "cluster", "Refused: clustering is off."}, NULL, cluster_run},
	{{NULL, 0, 0, 0, 0, NULL, NULL, NULL}, NULL, NULL},
};

const struct local_command local_commands[] = {
	{{"ping", -1, 0, 0, 0, "1.0.0", "connection", "Answers."}, NULL, ping_run},
	{{"echo", 2, 0, 0, 0, "1.0.0", "connection", "Answers with its argument."}, NULL, echo_run},
	{{"auth", -2, 0, 0, 0, "1.0.0", "connection", "There are no passwords."}, NULL, auth_run},
	{{"select", 2, 0, 0, 0, "1.0.0", "connection", "Changes the database: there is one, 0."}, NULL, select_run},
	{{"quit", -1, 0, 0, 0, "1.0.0", "connection", "Closes the connection."}, NULL, quit_run},
	{{"reset", 1, 0, 0, 0, "6.2.0", "connection", "Makes the connection as it was at first."}, NULL, reset_run},
	{{"hello", -1, 0, 0, 0, "6.0.0", "connection", "Chooses the protocol, tells of the server."}, NULL, hello_run},
	{{"client", -2, 0, 0, 0, "2.4.0", "connection", "About connections."}, client_commands, NULL},
	{{"command", -1, 0, 0, 0, "2.8.13", "server", "About commands."}, command_commands, command_run},
	{{"info", -1, 0, 0, 0, "1.0.0", "server", "What this node knows of itself and the others."}, NULL, info_run},
	{{"config", -2, 0, 0, 0, "2.0.0", "server", "About the configuration."}, config_commands, NULL},
	{{"time", 1, 0, 0, 0, "2.6.0", "server", "The clock of this node."}, NULL, time_run},
	{{"cluster", -2, 0, 0, 0, "3.0.0", "cluster", "Refused: clustering is off."}, cluster_commands, NULL},
	{{"readonly", 1, 0, 0, 0, "3.0.0", "cluster", "Refused: clustering is off."}, NULL, cluster_run},
	{{"readwrite", 1, 0, 0, 0, "3.0.0", "cluster", "Refused: clustering is off."}, NULL, cluster_run},
	{{"asking", 1, 0, 0, 0, "3.0.0", "cluster", "Refused: clustering is off."}, NULL, cluster_run},
	{{"raft.member", -2, 0, 0, 0, "7.0.15", "cluster", "The members of the cluster, and how they change."},
	 member_commands,
	 NULL},
	{{"raft.transfer", -1, 0, 0, 0, "7.0.15", "cluster", "Hands leadership to another node."}, NULL, transfer_run},
	{{NULL, 0, 0, 0, 0, NULL, NULL, NULL}, NULL, NULL},
};

const struct local_command *local_find(const struct local_command *table, struct slice name)
{
	for (; table->about.name != NULL; table++) {
		const char *bar = strchr(table->about.name, '|');
		if (slice_is(name, bar == NULL ? table->about.name : bar + 1))
			return table;
	}
	return NULL;
}

int local_shown_bytes(struct slice slice, size_t size_max)
{
	size_t size = slice.size < size_max ? slice.size : size_max;
	const uint8_t *zero = size == 0 ? NULL : memchr(slice.bytes, '\0', size);
	return zero == NULL ? (int)size : (int)(zero - slice.bytes);
}

bool local_on_or_off(const struct request *request, struct buf *reply)
{
	if (slice_is(request_arg(request, 2), "on") || slice_is(request_arg(request, 2), "off"))
		return true;
	command_put_syntax_error(reply);
	return false;
}

static void put_unknown_sub(const struct command_about *about, const struct request *request, struct buf *reply)
{
	char help[16];
	size_t size = strlen(about->name);
	struct slice name = request_arg(request, 1);
	CHECK_OP(size, <, sizeof help);
	for (size_t i = 0; i <= size; i++)
		help[i] = about->name[i] >= 'a' && about->name[i] <= 'z' ? (char)(about->name[i] - 'a' + 'A')
									 : about->name[i];
	resp_put_error(reply, "ERR unknown subcommand '%.*s'. Try %s HELP.", local_shown_bytes(name, 128),
		       (const char *)name.bytes, help);
}

static void put_unknown(const struct request *request, struct buf *reply)
{
	char args[160] = "";
	size_t used = 0;
	for (uint32_t i = 1; i < request->count && used < 128; i++) {
		struct slice arg = request_arg(request, i);
		used += (size_t)snprintf(args + used, sizeof args - used, "'%.*s' ", local_shown_bytes(arg, 128 - used),
					 (const char *)arg.bytes);
	}
	struct slice name = request_arg(request, 0);
	resp_put_error(reply, "ERR unknown command '%.*s', with args beginning with: %s", local_shown_bytes(name, 128),
		       (const char *)name.bytes, args);
}

void local_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	const struct local_command *command = local_find(local_commands, request_arg(request, 0));
	if (command == NULL) {
		put_unknown(request, reply);
		return;
	}
	if (command->subs != NULL && request->count > 1) {
		const struct local_command *sub = local_find(command->subs, request_arg(request, 1));
		if (sub == NULL) {
			put_unknown_sub(&command->about, request, reply);
			return;
		}
		command = sub;
	}
	if (command_arity_fits(command->about.arity, request->count))
		command->run(conn, request, reply);
	else
		command_put_wrong_arity(reply, command->about.name);
}
