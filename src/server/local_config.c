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
	{"databases", NULL, 1},
	{"maxclients", NULL, SERVER_CLIENTS_MAX},
	{"proto-max-bulk-len", NULL, RESP_BULK_BYTES_MAX},
	{"save", "", 0},
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

static void config_get(const struct request *request, struct buf *reply)
{
	bool asked[COUNT];
	size_t count = 0;
	for (size_t i = 0; i < COUNT; i++) {
		asked[i] = asked_for(&table[i], request);
		count += asked[i];
	}
	resp_put_array(reply, count * 2);
	for (size_t i = 0; i < COUNT; i++) {
		char number[24];
		if (!asked[i])
			continue;
		snprintf(number, sizeof number, "%zu", table[i].number);
		resp_put_text(reply, table[i].name);
		resp_put_text(reply, table[i].value == NULL ? number : table[i].value);
	}
}

void config_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	(void)conn;
	if (!slice_is(request_arg(request, 1), "get"))
		local_put_unknown_subcommand(request, "CONFIG", reply);
	else if (local_arity(-3, request, "config|get", reply))
		config_get(request, reply);
}
