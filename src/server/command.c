/* The table of commands, how they are found, and what is checked for all of them alike. */
#include "server/command.h"

#include "server/keyspace.h"
#include "server/resp.h"

static const struct command table[COMMAND_CODES] = {
	[COMMAND_GET] = {{"get", 2, 1, 1, 1, "1.0.0", "string", "The value of a key."}, 0, NULL, get_run},
	[COMMAND_SET] = {{"set", -3, 1, 1, 1, "1.0.0", "string", "Gives a key a value."},
			 COMMAND_WRITES | COMMAND_VALUE_IF_MORE,
			 set_check,
			 set_run},
	[COMMAND_DEL] = {{"del", -2, 1, -1, 1, "1.0.0", "generic", "Deletes keys."}, COMMAND_WRITES, NULL, del_run},
	[COMMAND_EXISTS] = {{"exists", -2, 1, -1, 1, "1.0.0", "generic", "How many of the keys there are."},
			    0,
			    NULL,
			    exists_run},
	[COMMAND_INCR] = {{"incr", 2, 1, 1, 1, "1.0.0", "string", "Adds one to a number."},
			  COMMAND_WRITES,
			  NULL,
			  incr_run},
	[COMMAND_INCRBY] = {{"incrby", 3, 1, 1, 1, "1.0.0", "string", "Adds to a number."},
			    COMMAND_WRITES,
			    increment_check,
			    incrby_run},
	[COMMAND_DECR] = {{"decr", 2, 1, 1, 1, "1.0.0", "string", "Takes one from a number."},
			  COMMAND_WRITES,
			  NULL,
			  decr_run},
	[COMMAND_DECRBY] = {{"decrby", 3, 1, 1, 1, "1.0.0", "string", "Takes from a number."},
			    COMMAND_WRITES,
			    decrement_check,
			    decrby_run},
	[COMMAND_APPEND] = {{"append", 3, 1, 1, 1, "2.0.0", "string", "Adds bytes to the end of a value."},
			    COMMAND_WRITES,
			    NULL,
			    append_run},
	[COMMAND_STRLEN] = {{"strlen", 2, 1, 1, 1, "2.2.0", "string", "The size of a value."}, 0, NULL, strlen_run},
	[COMMAND_DBSIZE] = {{"dbsize", 1, 0, 0, 0, "1.0.0", "server", "How many keys there are."}, 0, NULL, dbsize_run},
	[COMMAND_FLUSHALL] = {{"flushall", -1, 0, 0, 0, "1.0.0", "server", "Deletes all keys."},
			      COMMAND_WRITES,
			      flushall_check,
			      flushall_run},
	[COMMAND_MGET] = {{"mget", -2, 1, -1, 1, "1.0.0", "string", "The values of several keys."}, 0, NULL, mget_run},
	[COMMAND_MSET] = {{"mset", -3, 1, -1, 2, "1.0.1", "string", "Gives several keys values, all at once."},
			  COMMAND_WRITES,
			  mset_check,
			  mset_run},
	[COMMAND_UNLINK] = {{"unlink", -2, 1, -1, 1, "4.0.0", "generic", "Deletes keys."},
			    COMMAND_WRITES,
			    NULL,
			    del_run},
	[COMMAND_TOUCH] = {{"touch", -2, 1, -1, 1, "3.2.1", "generic", "How many of the keys there are."},
			   0,
			   NULL,
			   exists_run},
	[COMMAND_TYPE] = {{"type", 2, 1, 1, 1, "1.0.0", "generic", "Of which kind a value is."}, 0, NULL, type_run},
	[COMMAND_GETSET] = {{"getset", 3, 1, 1, 1, "1.0.0", "string", "Gives a key a value and tells the one before."},
			    COMMAND_WRITES | COMMAND_VALUE,
			    NULL,
			    getset_run},
	[COMMAND_GETDEL] = {{"getdel", 2, 1, 1, 1, "6.2.0", "string", "Deletes a key and tells its value."},
			    COMMAND_WRITES | COMMAND_VALUE,
			    NULL,
			    getdel_run},
	[COMMAND_SETNX] = {{"setnx", 3, 1, 1, 1, "1.0.0", "string", "Gives a key a value unless it has one."},
			   COMMAND_WRITES,
			   NULL,
			   setnx_run},
	[COMMAND_MSETNX] = {{"msetnx", -3, 1, -1, 2, "1.0.1", "string",
			     "Gives several keys values unless one of them has one."},
			    COMMAND_WRITES,
			    msetnx_check,
			    msetnx_run},
	[COMMAND_GETRANGE] = {{"getrange", 4, 1, 1, 1, "2.4.0", "string", "A part of a value."},
			      0,
			      getrange_check,
			      getrange_run},
	[COMMAND_SUBSTR] = {{"substr", 4, 1, 1, 1, "1.0.0", "string", "A part of a value."},
			    0,
			    getrange_check,
			    getrange_run},
	[COMMAND_SETRANGE] = {{"setrange", 4, 1, 1, 1, "2.2.0", "string", "Overwrites a part of a value."},
			      COMMAND_WRITES,
			      setrange_check,
			      setrange_run},
	[COMMAND_FLUSHDB] = {{"flushdb", -1, 0, 0, 0, "1.0.0", "server", "Deletes all keys."},
			     COMMAND_WRITES,
			     flushall_check,
			     flushall_run},
	[COMMAND_KEYS] = {{"keys", 2, 0, 0, 0, "1.0.0", "generic", "The keys that match a pattern."},
			  0,
			  NULL,
			  keys_run},
};

/* The codes by first letter and then as often as they are asked for; each first letter's end with 0. */
static const uint8_t by_letter[26][8] = {
	['a' - 'a'] = {COMMAND_APPEND},
	['d' - 'a'] = {COMMAND_DEL, COMMAND_DECR, COMMAND_DECRBY, COMMAND_DBSIZE},
	['e' - 'a'] = {COMMAND_EXISTS},
	['f' - 'a'] = {COMMAND_FLUSHALL, COMMAND_FLUSHDB},
	['g' - 'a'] = {COMMAND_GET, COMMAND_GETSET, COMMAND_GETDEL, COMMAND_GETRANGE},
	['i' - 'a'] = {COMMAND_INCR, COMMAND_INCRBY},
	['k' - 'a'] = {COMMAND_KEYS},
	['m' - 'a'] = {COMMAND_MGET, COMMAND_MSET, COMMAND_MSETNX},
	['s' - 'a'] = {COMMAND_SET, COMMAND_STRLEN, COMMAND_SETNX, COMMAND_SUBSTR, COMMAND_SETRANGE},
	['t' - 'a'] = {COMMAND_TOUCH, COMMAND_TYPE},
	['u' - 'a'] = {COMMAND_UNLINK},
};

const struct command *command_find(struct slice name)
{
	if (name.size == 0)
		return NULL;
	unsigned letter = (name.bytes[0] | 0x20u) - 'a';
	if (letter >= 26)
		return NULL;
	for (const uint8_t *code = by_letter[letter]; *code != 0; code++)
		if (slice_is(name, table[*code].about.name))
			return &table[*code];
	return NULL;
}

const struct command *command_of_code(uint64_t code)
{
	return code < COMMAND_CODES && table[code].about.name != NULL ? &table[code] : NULL;
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

void command_put_reply_too_large(struct buf *reply)
{
	resp_put_error(reply, "ERR the reply would be larger than %zu bytes", COMMAND_REPLY_BYTES_MAX);
}

bool command_integer(const struct request *request, uint32_t i, int64_t *value, struct buf *reply)
{
	if (slice_integer(request_arg(request, i), value))
		return true;
	command_put_no_integer(reply);
	return false;
}

void command_keys(const struct command_about *about, uint32_t count, uint32_t *first, uint32_t *end)
{
	*first = (uint32_t)about->key_first;
	*end = about->key_first == 0 ? 0 : about->key_last < 0 ? count : (uint32_t)about->key_last + 1;
}

static bool check_keys(const struct command_about *about, const struct request *request, struct buf *reply)
{
	uint32_t i, end;
	for (command_keys(about, request->count, &i, &end); i < end; i += (uint32_t)about->key_step) {
		if (request_arg(request, i).size > KEY_BYTES_MAX) {
			resp_put_error(reply, "ERR a key is longer than %d bytes", KEY_BYTES_MAX);
			return false;
		}
	}
	return true;
}

bool command_check(const struct command *command, const struct request *request, struct buf *reply)
{
	if (!command_arity_fits(command->about.arity, request->count)) {
		command_put_wrong_arity(reply, command->about.name);
		return false;
	}
	return check_keys(&command->about, request, reply) &&
	       (command->check == NULL || command->check(request, reply));
}
