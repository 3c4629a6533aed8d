/* COMMAND: what the tables of commands say, for clients and people. */
#include "server/local.h"

enum { NAMES_MAX = 1000 }; /* That may be asked about at once. */

/* A command of either table. */
struct described {
	const struct command_about *about;
	const char *flags[3]; /* As Redis calls them; NULL behind the last. */
	const struct local_command *subs;
};

static struct described machine_entry(const struct command *command)
{
	struct described entry = {&command->about, {NULL}, NULL};
	entry.flags[0] = command->flags & COMMAND_WRITES ? "write" : "readonly";
	return entry;
}

/* A local command is answered without a leader. */
static struct described local_entry(const struct local_command *command)
{
	struct described entry = {&command->about, {"loading", "stale", NULL}, command->subs};
	return entry;
}

static bool find(struct slice name, struct described *entry)
{
	const struct command *command = command_find(name);
	const struct local_command *local = command == NULL ? local_find(local_commands, name) : NULL;
	if (command != NULL)
		*entry = machine_entry(command);
	else if (local != NULL)
		*entry = local_entry(local);
	return command != NULL || local != NULL;
}

static size_t table_count(const struct local_command *table)
{
	size_t count = 0;
	while (table != NULL && table[count].about.name != NULL)
		count++;
	return count;
}

static size_t count_all(void)
{
	return command_count() + table_count(local_commands);
}

static bool too_many(const struct request *request, struct buf *reply)
{
	if (request->count - 2 <= NAMES_MAX)
		return false;
	resp_put_error(reply, "ERR more than %d commands are asked about", NAMES_MAX);
	return true;
}

typedef void put_entry(const struct described *entry, enum resp_protocol protocol, struct buf *reply);

static void put_table(const struct local_command *table, put_entry *put, enum resp_protocol protocol, struct buf *reply)
{
	for (size_t i = 0; i < table_count(table); i++) {
		const struct described entry = local_entry(&table[i]);
		put(&entry, protocol, reply);
	}
}

static void put_all(put_entry *put, enum resp_protocol protocol, struct buf *reply)
{
	for (uint64_t code = 0; code < COMMAND_CODES; code++) {
		if (command_of_code(code) == NULL)
			continue;
		const struct described entry = machine_entry(command_of_code(code));
		put(&entry, protocol, reply);
	}
	put_table(local_commands, put, protocol, reply);
}

/* ---- COMMAND, COMMAND INFO ---- */

/* Ten parts. There are no categories, hints and key specifications: the first, last and step say where keys are. */
static void put_info(const struct described *entry, enum resp_protocol protocol, struct buf *reply)
{
	const struct command_about *about = entry->about;
	size_t flags = 0;
	while (entry->flags[flags] != NULL)
		flags++;
	resp_put_array(reply, 10);
	resp_put_text(reply, about->name);
	resp_put_integer(reply, about->arity);
	resp_put_set(reply, protocol, flags);
	for (size_t i = 0; i < flags; i++)
		resp_put_status(reply, entry->flags[i]);
	resp_put_integer(reply, about->key_first);
	resp_put_integer(reply, about->key_last);
	resp_put_integer(reply, about->key_step);
	for (int i = 0; i < 3; i++)
		resp_put_set(reply, protocol, 0);
	resp_put_array(reply, table_count(entry->subs));
	put_table(entry->subs, put_info, protocol, reply);
}

void command_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	(void)request;
	resp_put_array(reply, count_all());
	put_all(put_info, conn->protocol, reply);
}

static void command_info_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	if (request->count == 2) {
		command_run(conn, request, reply);
		return;
	}
	if (too_many(request, reply))
		return;
	resp_put_array(reply, request->count - 2);
	for (uint32_t i = 2; i < request->count; i++) {
		struct described entry;
		if (find(request_arg(request, i), &entry))
			put_info(&entry, conn->protocol, reply);
		else
			resp_put_null(reply, conn->protocol);
	}
}

/* ---- COMMAND DOCS ---- */

static void put_docs(const struct described *entry, enum resp_protocol protocol, struct buf *reply)
{
	const struct command_about *about = entry->about;
	size_t subs = table_count(entry->subs);
	resp_put_text(reply, about->name);
	resp_put_map(reply, protocol, subs == 0 ? 3 : 4);
	resp_put_text(reply, "summary");
	resp_put_text(reply, about->summary);
	resp_put_text(reply, "since");
	resp_put_text(reply, about->since);
	resp_put_text(reply, "group");
	resp_put_text(reply, about->group);
	if (subs == 0)
		return;
	resp_put_text(reply, "subcommands");
	resp_put_map(reply, protocol, subs);
	put_table(entry->subs, put_docs, protocol, reply);
}

/* Of those that there are. */
static void docs_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	struct described entry;
	size_t count = 0;
	if (request->count == 2) {
		resp_put_map(reply, conn->protocol, count_all());
		put_all(put_docs, conn->protocol, reply);
		return;
	}
	if (too_many(request, reply))
		return;
	for (uint32_t i = 2; i < request->count; i++)
		count += find(request_arg(request, i), &entry);
	resp_put_map(reply, conn->protocol, count);
	for (uint32_t i = 2; i < request->count; i++)
		if (find(request_arg(request, i), &entry))
			put_docs(&entry, conn->protocol, reply);
}

/* ---- COMMAND COUNT, COMMAND GETKEYS ---- */

static void count_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	(void)conn;
	(void)request;
	resp_put_integer(reply, (int64_t)count_all());
}

static void getkeys_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	struct described entry;
	uint32_t at, end;
	(void)conn;
	if (!find(request_arg(request, 2), &entry)) {
		resp_put_error(reply, "ERR Invalid command specified");
		return;
	}
	if (entry.about->key_first == 0) {
		resp_put_error(reply, "ERR The command has no key arguments");
		return;
	}
	if (!command_arity_fits(entry.about->arity, request->count - 2)) {
		resp_put_error(reply, "ERR Invalid number of arguments specified for command");
		return;
	}
	uint32_t step = (uint32_t)entry.about->key_step;
	command_keys(entry.about, request->count - 2, &at, &end);
	resp_put_array(reply, (end - at + step - 1) / step);
	for (; at < end; at += step) {
		struct slice key = request_arg(request, 2 + at);
		resp_put_bulk(reply, key.bytes, key.size);
	}
}

const struct local_command command_commands[] = {
	{{"command|count", 2, 0, 0, 0, "2.8.13", "server", "How many commands there are."}, NULL, count_run},
	{{"command|docs", -2, 0, 0, 0, "7.0.0", "server", "What commands do."}, NULL, docs_run},
	{{"command|getkeys", -3, 0, 0, 0, "2.8.13", "server", "The keys of a request."}, NULL, getkeys_run},
	{{"command|info", -2, 0, 0, 0, "2.8.13", "server", "How commands are called."}, NULL, command_info_run},
	{{NULL, 0, 0, 0, 0, NULL, NULL, NULL}, NULL, NULL},
};
