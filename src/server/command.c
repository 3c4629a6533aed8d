/* The table of commands, how they are found, and what is checked for all of them alike. */
#include "server/command.h"

#include "server/keyspace.h"
#include "server/resp.h"

static const struct command table[COMMAND_CODES] = {
	[COMMAND_GET] = {"get", 2, 0, 1, 1, 1, NULL, get_run},
	[COMMAND_SET] = {"set", -3, COMMAND_WRITES | COMMAND_VALUES, 1, 1, 1, set_check, set_run},
	[COMMAND_DEL] = {"del", -2, COMMAND_WRITES, 1, -1, 1, NULL, del_run},
	[COMMAND_EXISTS] = {"exists", -2, 0, 1, -1, 1, NULL, exists_run},
	[COMMAND_INCR] = {"incr", 2, COMMAND_WRITES, 1, 1, 1, NULL, incr_run},
	[COMMAND_INCRBY] = {"incrby", 3, COMMAND_WRITES, 1, 1, 1, increment_check, incrby_run},
	[COMMAND_DECR] = {"decr", 2, COMMAND_WRITES, 1, 1, 1, NULL, decr_run},
	[COMMAND_DECRBY] = {"decrby", 3, COMMAND_WRITES, 1, 1, 1, decrement_check, decrby_run},
	[COMMAND_APPEND] = {"append", 3, COMMAND_WRITES, 1, 1, 1, NULL, append_run},
	[COMMAND_STRLEN] = {"strlen", 2, 0, 1, 1, 1, NULL, strlen_run},
	[COMMAND_DBSIZE] = {"dbsize", 1, 0, 0, 0, 0, NULL, dbsize_run},
	[COMMAND_FLUSHALL] = {"flushall", -1, COMMAND_WRITES, 0, 0, 0, flushall_check, flushall_run},
	[COMMAND_MGET] = {"mget", -2, 0, 1, -1, 1, NULL, mget_run},
	[COMMAND_MSET] = {"mset", -3, COMMAND_WRITES, 1, -1, 2, mset_check, mset_run},
};

/* The codes by first letter and then as often as they are asked for; each first letter's end with 0. */
static const uint8_t by_letter[26][6] = {
	['a' - 'a'] = {COMMAND_APPEND},
	['d' - 'a'] = {COMMAND_DEL, COMMAND_DECR, COMMAND_DECRBY, COMMAND_DBSIZE},
	['e' - 'a'] = {COMMAND_EXISTS},
	['f' - 'a'] = {COMMAND_FLUSHALL},
	['g' - 'a'] = {COMMAND_GET},
	['i' - 'a'] = {COMMAND_INCR, COMMAND_INCRBY},
	['m' - 'a'] = {COMMAND_MGET, COMMAND_MSET},
	['s' - 'a'] = {COMMAND_SET, COMMAND_STRLEN},
};

const struct command *command_find(struct slice name)
{
	if (name.size == 0)
		return NULL;
	unsigned letter = (name.bytes[0] | 0x20u) - 'a';
	if (letter >= 26)
		return NULL;
	for (const uint8_t *code = by_letter[letter]; *code != 0; code++)
		if (slice_is(name, table[*code].name))
			return &table[*code];
	return NULL;
}

const struct command *command_of_code(uint64_t code)
{
	return code < COMMAND_CODES && table[code].name != NULL ? &table[code] : NULL;
}

enum command_code command_code(const struct command *command)
{
	return (enum command_code)(command - table);
}

uint32_t command_count(void)
{
	uint32_t count = 0;
	for (uint64_t code = 0; code < COMMAND_CODES; code++)
		count += command_of_code(code) != NULL;
	return count;
}

bool command_arity_fits(int arity, uint32_t count)
{
	return arity >= 0 ? count == (uint32_t)arity : count >= (uint32_t)-arity;
}

void command_put_wrong_arity(struct buf *reply, const char *name)
{
	resp_put_error(reply, "ERR wrong number of arguments for '%s' command", name);
}

void command_put_no_integer(struct buf *reply)
{
	resp_put_error(reply, "ERR value is not an integer or out of range");
}

void command_put_syntax_error(struct buf *reply)
{
	resp_put_error(reply, "ERR syntax error");
}

bool command_integer(const struct request *request, uint32_t i, int64_t *value, struct buf *reply)
{
	if (slice_integer(request_arg(request, i), value))
		return true;
	command_put_no_integer(reply);
	return false;
}

static bool check_keys(const struct command *command, const struct request *request, struct buf *reply)
{
	if (command->key_first == 0)
		return true;
	uint32_t last = command->key_last < 0 ? request->count - 1 : (uint32_t)command->key_last;
	for (uint32_t i = (uint32_t)command->key_first; i <= last; i += (uint32_t)command->key_step) {
		if (request_arg(request, i).size > KEY_BYTES_MAX) {
			resp_put_error(reply, "ERR a key is longer than %d bytes", KEY_BYTES_MAX);
			return false;
		}
	}
	return true;
}

bool command_check(const struct command *command, const struct request *request, struct buf *reply)
{
	if (!command_arity_fits(command->arity, request->count)) {
		command_put_wrong_arity(reply, command->name);
		return false;
	}
	return check_keys(command, request, reply) && (command->check == NULL || command->check(request, reply));
}
