/* CONFIG GET: the few parameters of Redis that clients and tools ask for. Nothing can be set here. */
#include "server/glob.h"
#include "server/local.h"

#include <stdio.h>

struct parameter {
	const char *name;
	const char *value; /* NULL: `number`. */
	size_t number;
};

static const struct parameter table[] = {
	{"appendonly", "no", 0},
	{"cluster-enabled", "no", 0},
	{"databases", NULL, 1},
	{"maxclients", NULL, SERVER_CLIENTS_MAX},
	{"maxmemory", NULL, 0},
	{"maxmemory-policy", "noeviction", 0},
	{"notify-keyspace-events", "", 0},
	{"proto-max-bulk-len", NULL, RESP_BULK_BYTES_MAX},
	{"replica-read-only", "no", 0},
	{"requirepass", "", 0},
	{"save", "", 0},
	{"slave-read-only", "no", 0},
	{"timeout", NULL, 0},
};
enum { COUNT = sizeof table / sizeof *table };

static bool asked_for(const struct parameter *parameter, const struct request *request)
{
	struct slice name = {(const uint8_t *)parameter->name, strlen(parameter->name)};
	for (uint32_t i = 2; i < request->count; i++)
		if (glob_matches(request_arg(request, i), name, true))
			return true;
	return false;
}

static void config_get_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	bool asked[COUNT];
	size_t count = 0;
	for (size_t i = 0; i < COUNT; i++) {
		asked[i] = asked_for(&table[i], request);
		count += asked[i];
	}
	resp_put_map(reply, conn->protocol, count);
	for (size_t i = 0; i < COUNT; i++) {
		char number[24];
		if (!asked[i])
			continue;
		snprintf(number, sizeof number, "%zu", table[i].number);
		resp_put_text(reply, table[i].name);
		resp_put_text(reply, table[i].value == NULL ? number : table[i].value);
	}
}

static void config_set_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	struct slice name = request_arg(request, 2);
	(void)conn;
	resp_put_error(reply, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
		       local_shown_bytes(name, 128), (const char *)name.bytes);
}

const struct local_command config_commands[] = {
	{{"config|get", -3, 0, 0, 0, "2.0.0", "server", "Parameters that tools ask for."}, NULL, config_get_run},
	{{"config|set", -4, 0, 0, 0, "2.0.0", "server", "Refused: nothing can be set."}, NULL, config_set_run},
	{{NULL, 0, 0, 0, 0, NULL, NULL, NULL}, NULL, NULL},
};
