/* The command layer over a store, without node or client: replies, texts of errors, and hostile bytes. */
#include "base/bytes.h"
#include "base/entry.h"
#include "server/glob.h"
#include "server/machine.h"
#include "server/resp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct world {
	struct mem mem;
	struct machine *machine;
	struct machine *silent; /* Applies the same, and nobody waits for its replies. */
	struct buf reply;
	struct buf encoded;
	enum resp_protocol protocol;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	mem_init(&w->mem, true);
	w->protocol = RESP_2;
	w->machine = machine_create(&w->mem);
	w->silent = machine_create(&w->mem);
	buf_init(&w->reply, &w->mem);
	buf_init(&w->encoded, &w->mem);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	while (machine_idle(w->machine) || machine_idle(w->silent))
		;
	machine_destroy(w->machine);
	machine_destroy(w->silent);
	buf_free(&w->reply);
	buf_free(&w->encoded);
	assert_int_equal(w->mem.bytes, 0);
	free(w);
	return 0;
}

static void clear(struct buf *buf)
{
	buf_consume(buf, buf_size(buf));
}

/* As a connection does it: checked, then by the log or by a read. The reply is in w->reply. */
static void run_request(struct world *w, const struct request *request)
{
	const struct command *command = command_find(request_arg(request, 0));
	assert_non_null(command);
	clear(&w->reply);
	clear(&w->encoded);
	if (!command_check(command, request, &w->reply))
		return;
	machine_encode(&w->encoded, command, request);
	const uint8_t *bytes = buf_at(&w->encoded);
	size_t size = buf_size(&w->encoded);
	assert_int_equal(machine_encoded_bytes(bytes, size), size);
	if (command->flags & COMMAND_WRITES) {
		assert_int_equal(machine_apply(w->machine, bytes, size, w->protocol, &w->reply), MACHINE_DONE);
		assert_int_equal(machine_apply(w->silent, bytes, size, RESP_2, NULL), MACHINE_DONE);
		return;
	}
	machine_query(w->machine, bytes, size, w->protocol, &w->reply);
	assert_int_equal(get_le32(buf_at(&w->reply)), 1);
	buf_consume(&w->reply, 4);
}

static void run_line(struct world *w, const char *line)
{
	struct buf in;
	struct resp_parser parser;
	buf_init(&in, &w->mem);
	resp_init(&parser, &w->mem);
	buf_printf(&in, "%s\n", line);
	assert_int_equal(resp_parse(&parser, &in), RESP_REQUEST);
	struct request request = resp_request(&parser, &in);
	run_request(w, &request);
	resp_free(&parser);
	buf_free(&in);
}

static void check_reply(const struct world *w, const char *line, const char *reply)
{
	size_t size = buf_size(&w->reply);
	if (size == strlen(reply) && memcmp(buf_at(&w->reply), reply, size) == 0)
		return;
	fail_msg("%s: expected %s, found %.*s", line, reply, (int)size, (const char *)buf_at(&w->reply));
}

struct step {
	const char *line;
	const char *reply;
};

static void run_steps(struct world *w, const struct step *steps, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		run_line(w, steps[i].line);
		check_reply(w, steps[i].line, steps[i].reply);
	}
}
#define RUN(w, steps) run_steps(w, steps, sizeof steps / sizeof *steps)

#define OK "+OK\r\n"
#define NIL "$-1\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define NO_INTEGER "-ERR value is not an integer or out of range\r\n"
#define ARITY(name) "-ERR wrong number of arguments for '" name "' command\r\n"

static void test_strings(void **state)
{
	static const struct step steps[] = {
		{"GET a", NIL},
		{"SET a 1", OK},
		{"GET a", "$1\r\n1\r\n"},
		{"set a \"\"", OK},
		{"gEt a", "$0\r\n\r\n"},
		{"SET \"\" empty", OK},
		{"GET \"\"", "$5\r\nempty\r\n"},
		{"SET a \"x\\x00\\r\\n\"", OK},
		{"STRLEN a", ":4\r\n"},
		{"STRLEN none", ":0\r\n"},
		{"APPEND b ab", ":2\r\n"},
		{"APPEND b cd", ":4\r\n"},
		{"APPEND b \"\"", ":4\r\n"},
		{"GET b", "$4\r\nabcd\r\n"},
		{"APPEND c \"\"", ":0\r\n"},
		{"EXISTS c", ":1\r\n"},
		{"MSET d 1 e 2 d 3", OK},
		{"MGET d none e d", "*4\r\n$1\r\n3\r\n$-1\r\n$1\r\n2\r\n$1\r\n3\r\n"},
	};
	RUN(*state, steps);
}

static void test_set_options(void **state)
{
	static const struct step steps[] = {
		{"SET a 1 XX", NIL},
		{"EXISTS a", ":0\r\n"},
		{"SET a 1 XX GET", NIL},
		{"EXISTS a", ":0\r\n"},
		{"SET a 1 NX", OK},
		{"SET a 2 NX", NIL},
		{"GET a", "$1\r\n1\r\n"},
		{"SET a 2 nx get", "$1\r\n1\r\n"},
		{"GET a", "$1\r\n1\r\n"},
		{"SET a 2 XX", OK},
		{"SET a 3 GET xx", "$1\r\n2\r\n"},
		{"SET a 4 GET", "$1\r\n3\r\n"},
		{"GET a", "$1\r\n4\r\n"},
		{"SET b 1 GET", NIL},
		{"GET b", "$1\r\n1\r\n"},
		{"SET c 1 NX GET", NIL},
		{"GET c", "$1\r\n1\r\n"},
		{"SET a 5 GET GET", "$1\r\n4\r\n"},
		{"SET a 6 NX XX", SYNTAX},
		{"SET a 6 XX GET NX", SYNTAX},
		{"SET a 6 EX", SYNTAX},
		{"SET a 6 EX 10", SYNTAX},
		{"SET a 6 KEEPTTL", SYNTAX},
		{"SET a 6 \"\"", SYNTAX},
		{"SET a 6 nxx", SYNTAX},
		{"GET a", "$1\r\n5\r\n"},
	};
	RUN(*state, steps);
}

static void test_numbers(void **state)
{
	static const struct step steps[] = {
		{"INCR n", ":1\r\n"},
		{"INCR n", ":2\r\n"},
		{"DECR n", ":1\r\n"},
		{"INCRBY n 41", ":42\r\n"},
		{"INCRBY n -43", ":-1\r\n"},
		{"DECRBY n 9", ":-10\r\n"},
		{"DECRBY n -110", ":100\r\n"},
		{"GET n", "$3\r\n100\r\n"},
		{"DECR m", ":-1\r\n"},
		{"INCRBY n 1.5", NO_INTEGER},
		{"INCRBY n \"\"", NO_INTEGER},
		{"INCRBY n \" 1\"", NO_INTEGER},
		{"INCRBY n 9223372036854775808", NO_INTEGER},
		{"DECRBY n x", NO_INTEGER},
		{"DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n"},
		{"SET n 9223372036854775806", OK},
		{"INCR n", ":9223372036854775807\r\n"},
		{"INCR n", "-ERR increment or decrement would overflow\r\n"},
		{"INCRBY n 1", "-ERR increment or decrement would overflow\r\n"},
		{"DECRBY n -1", "-ERR increment or decrement would overflow\r\n"},
		{"INCRBY n -9223372036854775808", ":-1\r\n"},
		{"INCRBY n -9223372036854775808", "-ERR increment or decrement would overflow\r\n"},
		{"DECRBY n 9223372036854775807", ":-9223372036854775808\r\n"},
		{"DECR n", "-ERR increment or decrement would overflow\r\n"},
		{"INCRBY n 9223372036854775807", ":-1\r\n"},
		{"SET t \"1 \"", OK},
		{"INCR t", NO_INTEGER},
		{"SET t 01", OK},
		{"INCR t", NO_INTEGER},
		{"SET t 9223372036854775808", OK},
		{"DECR t", NO_INTEGER},
		{"SET t \"\"", OK},
		{"INCR t", NO_INTEGER},
		{"GET t", "$0\r\n\r\n"},
	};
	RUN(*state, steps);
}

static void test_keys(void **state)
{
	static const struct step steps[] = {
		{"DBSIZE", ":0\r\n"},
		{"DEL a", ":0\r\n"},
		{"MSET a 1 b 2 c 3", OK},
		{"DBSIZE", ":3\r\n"},
		{"EXISTS a b none a", ":3\r\n"},
		{"DEL a none b a", ":2\r\n"},
		{"DBSIZE", ":1\r\n"},
		{"FLUSHALL", OK},
		{"DBSIZE", ":0\r\n"},
		{"GET c", NIL},
		{"SET c 4", OK},
		{"FLUSHALL async", OK},
		{"FLUSHALL SYNC", OK},
		{"FLUSHALL now", SYNTAX},
		{"FLUSHALL sync sync", SYNTAX},
		{"EXISTS c", ":0\r\n"},
	};
	RUN(*state, steps);
}

static void test_more_strings(void **state)
{
	static const struct step steps[] = {
		{"SETNX n 1", ":1\r\n"},	{"SETNX n 2", ":0\r\n"},
		{"GETSET n 3", "$1\r\n1\r\n"},	{"GETSET none 3", NIL},
		{"GETDEL none", "$1\r\n3\r\n"}, {"GETDEL none", NIL},
		{"EXISTS none n", ":1\r\n"},	{"MSETNX a 1 b 2", ":1\r\n"},
		{"MSETNX c 3 a 4", ":0\r\n"},	{"MGET a b c", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n"},
		{"MSETNX d 3 d 4", ":1\r\n"},	{"GET d", "$1\r\n4\r\n"},
	};
	RUN(*state, steps);
}

static void test_parts(void **state)
{
	static const struct step steps[] = {
		{"SET s hello", OK},
		{"GETRANGE s 0 -1", "$5\r\nhello\r\n"},
		{"GETRANGE s 1 2", "$2\r\nel\r\n"},
		{"GETRANGE s -3 -2", "$2\r\nll\r\n"},
		{"GETRANGE s -100 1", "$2\r\nhe\r\n"},
		{"GETRANGE s 3 100", "$2\r\nlo\r\n"},
		{"GETRANGE s 3 1", "$0\r\n\r\n"},
		{"GETRANGE s 5 20", "$0\r\n\r\n"},
		{"GETRANGE s -1 -3", "$0\r\n\r\n"},
		{"GETRANGE s -10 -9", "$1\r\nh\r\n"},
		{"GETRANGE s -9223372036854775808 9223372036854775807", "$5\r\nhello\r\n"},
		{"GETRANGE s 9223372036854775807 -9223372036854775808", "$0\r\n\r\n"},
		{"GETRANGE none 0 1", "$0\r\n\r\n"},
		{"GETRANGE none -1 -1", "$0\r\n\r\n"},
		{"GETRANGE s x 1", NO_INTEGER},
		{"GETRANGE s 1 x", NO_INTEGER},
		{"SUBSTR s 1 1", "$1\r\ne\r\n"},
		{"SETRANGE s 2 XX", ":5\r\n"},
		{"GET s", "$5\r\nheXXo\r\n"},
		{"SETRANGE s 4 YZ", ":6\r\n"},
		{"GET s", "$6\r\nheXXYZ\r\n"},
		{"SETRANGE none 0 \"\"", ":0\r\n"},
		{"EXISTS none", ":0\r\n"},
		{"SETRANGE s -1 a", "-ERR offset is out of range\r\n"},
		{"SETRANGE s x a", NO_INTEGER},
		{"SETRANGE s 9223372036854775807 a",
		 "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"},
		{"SETRANGE s 16646144 a", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"},
		{"SETRANGE s 9223372036854775807 \"\"", ":6\r\n"},
		{"SETRANGE big 16646143 a", ":16646144\r\n"},
		{"GETRANGE big 16646142 -1", ""},
	};
	const size_t count = sizeof steps / sizeof *steps - 1;
	struct world *w = *state;
	run_steps(w, steps, count);
	run_line(w, steps[count].line);
	assert_int_equal(buf_size(&w->reply), 8);
	assert_memory_equal(buf_at(&w->reply), "$2\r\n\0a\r\n", 8);
	run_line(w, "SETRANGE new 2 a");
	run_line(w, "GET new");
	assert_int_equal(buf_size(&w->reply), 9);
	assert_memory_equal(buf_at(&w->reply), "$3\r\n\0\0a\r\n", 9);
}

static void test_more_keys(void **state)
{
	static const struct step steps[] = {
		{"KEYS *", "*0\r\n"},
		{"MSET ab 1 b 2 aa 3 \"\" 4", OK},
		{"KEYS *", "*4\r\n$0\r\n\r\n$2\r\naa\r\n$2\r\nab\r\n$1\r\nb\r\n"},
		{"KEYS a*", "*2\r\n$2\r\naa\r\n$2\r\nab\r\n"},
		{"KEYS A*", "*0\r\n"},
		{"TYPE ab", "+string\r\n"},
		{"TYPE none", "+none\r\n"},
		{"TOUCH ab ab none b", ":3\r\n"},
		{"UNLINK ab none", ":1\r\n"},
		{"EXISTS ab", ":0\r\n"},
		{"FLUSHDB now", SYNTAX},
		{"DBSIZE", ":3\r\n"},
		{"FLUSHDB ASYNC", OK},
		{"DBSIZE", ":0\r\n"},
	};
	RUN(*state, steps);
}

/* Version 3 has a null of its own; everything else is the same, and so is the state. */
static void test_protocol(void **state)
{
	static const struct step steps[] = {
		{"GET a", "_\r\n"},	   {"SET a 1 XX", "_\r\n"},
		{"SET a 1 GET", "_\r\n"},  {"MGET a none", "*2\r\n$1\r\n1\r\n_\r\n"},
		{"GETSET b 1", "_\r\n"},   {"GETDEL none", "_\r\n"},
		{"SET a 2", OK},	   {"INCR a", ":3\r\n"},
		{"TYPE a", "+string\r\n"}, {"KEYS *", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"},
		{"INCR", ARITY("incr")},
	};
	static const struct step before[] = {{"GET none", NIL}};
	struct world *w = *state;
	w->protocol = RESP_3;
	RUN(w, steps);
	w->protocol = RESP_2;
	RUN(w, before);
}

/* As many keys as may be looked at, and one more. */
static void test_keys_limit(void **state)
{
	struct world *w = *state;
	struct keyspace *keyspace = &w->machine->keyspace;
	const struct slice value = {(const uint8_t *)"", 0};
	char name[16];
	for (uint32_t i = 0; i <= 1000000; i++) {
		size_t size = (size_t)snprintf(name, sizeof name, "%07u", (unsigned)i);
		if (i == 1000000) {
			run_line(w, "KEYS 099999?");
			assert_int_equal(buf_size(&w->reply), 5 + 10 * 13);
			run_line(w, "KEYS *");
			assert_int_equal(buf_size(&w->reply), 10 + 1000000 * 13);
		}
		keyspace_put(keyspace, (struct slice){(const uint8_t *)name, size}, value);
	}
	run_line(w, "KEYS 099999?");
	check_reply(w, "KEYS", "-ERR KEYS would hold up the cluster: there are more than 1000000 keys\r\n");
}

/* Long keys: the reply would be too large, and the memory that it took comes back. */
static void test_keys_too_large(void **state)
{
	struct world *w = *state;
	static uint8_t key[KEY_BYTES_MAX];
	for (int i = 0; i < 513; i++) {
		memcpy(key, &i, sizeof i);
		keyspace_put(&w->machine->keyspace, (struct slice){key, sizeof key}, (struct slice){key, 0});
	}
	size_t before = w->mem.bytes;
	run_line(w, "KEYS *");
	check_reply(w, "KEYS", "-ERR the reply would be larger than 33554432 bytes\r\n");
	assert_true(w->mem.bytes < before + 65536);
}

static void test_arity(void **state)
{
	static const struct step steps[] = {
		{"GET", ARITY("get")},		 {"GET a b", ARITY("get")},
		{"SET a", ARITY("set")},	 {"DEL", ARITY("del")},
		{"EXISTS", ARITY("exists")},	 {"INCR", ARITY("incr")},
		{"INCR a 1", ARITY("incr")},	 {"INCRBY a", ARITY("incrby")},
		{"DECR a 1", ARITY("decr")},	 {"DECRBY a", ARITY("decrby")},
		{"APPEND a", ARITY("append")},	 {"APPEND a b c", ARITY("append")},
		{"STRLEN", ARITY("strlen")},	 {"DBSIZE x", ARITY("dbsize")},
		{"MGET", ARITY("mget")},	 {"MSET", ARITY("mset")},
		{"MSET a", ARITY("mset")},	 {"MSET a 1 b", ARITY("mset")},
		{"MSETNX", ARITY("msetnx")},	 {"MSETNX a 1 b", ARITY("msetnx")},
		{"GETSET a", ARITY("getset")},	 {"GETDEL", ARITY("getdel")},
		{"SETNX a", ARITY("setnx")},	 {"GETRANGE a 1", ARITY("getrange")},
		{"SUBSTR a 1", ARITY("substr")}, {"SETRANGE a 1", ARITY("setrange")},
		{"TYPE a b", ARITY("type")},	 {"UNLINK", ARITY("unlink")},
		{"TOUCH", ARITY("touch")},	 {"KEYS", ARITY("keys")},
	};
	RUN(*state, steps);
}

/* Each command is found by its name and by its code, and only so. */
static void test_table(void **state)
{
	(void)state;
	uint32_t count = 0;
	for (uint64_t code = 0; code < 1000; code++) {
		const struct command *command = command_of_code(code);
		if (command == NULL)
			continue;
		struct slice name = {(const uint8_t *)command->about.name, strlen(command->about.name)};
		assert_ptr_equal(command_find(name), command);
		assert_int_equal(command_code(command), code);
		name.size--;
		assert_ptr_not_equal(command_find(name), command);
		count++;
	}
	assert_int_equal(count, command_count());
	static const char *const none[] = {"", "x", "gett", "ge", "@et", "{et", "\347et", "dbsize2", "ping"};
	for (size_t i = 0; i < sizeof none / sizeof *none; i++)
		assert_null(command_find((struct slice){(const uint8_t *)none[i], strlen(none[i])}));
}

static void run_large(struct world *w, const char *name, size_t key_size, size_t value_size)
{
	uint8_t *bytes = calloc(1, 16 + key_size + value_size);
	memcpy(bytes, name, strlen(name));
	const struct span spans[] = {{0, (uint32_t)strlen(name)},
				     {16, (uint32_t)key_size},
				     {(uint32_t)(16 + key_size), (uint32_t)value_size}};
	const struct request request = {bytes, spans, value_size == 0 ? 2 : 3};
	run_request(w, &request);
	free(bytes);
}

static void test_limits(void **state)
{
	struct world *w = *state;
	run_large(w, "set", KEY_BYTES_MAX, 1);
	check_reply(w, "the longest key", OK);
	run_large(w, "get", KEY_BYTES_MAX, 0);
	assert_int_equal(buf_size(&w->reply), 7);
	run_large(w, "set", KEY_BYTES_MAX + 1, 1);
	check_reply(w, "a longer key", "-ERR a key is longer than 65536 bytes\r\n");
	run_large(w, "get", KEY_BYTES_MAX + 1, 0);
	check_reply(w, "a longer key", "-ERR a key is longer than 65536 bytes\r\n");
	run_large(w, "set", 1, RESP_BULK_BYTES_MAX);
	check_reply(w, "the largest value", OK);
	assert_true(buf_size(&w->encoded) <= ENTRY_PAYLOAD_BYTES_MAX);
	run_large(w, "append", 1, 1);
	check_reply(w, "append to it", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
	run_line(w, "STRLEN \"\\x00\"");
	assert_int_equal(strtoull((char *)buf_at(&w->reply) + 1, NULL, 10), RESP_BULK_BYTES_MAX);
	run_line(w, "MGET \"\\x00\" \"\\x00\"");
	assert_true(buf_size(&w->reply) > 2 * RESP_BULK_BYTES_MAX);
	run_line(w, "MGET none \"\\x00\" \"\\x00\" \"\\x00\"");
	check_reply(w, "a reply that is too large", "-ERR the reply would be larger than 33554432 bytes\r\n");
}

/* Adds GET requests to w->encoded, which the caller has emptied. */
static void encode_get(struct world *w, const char *key)
{
	uint8_t bytes[64] = "get";
	size_t size = strlen(key);
	memcpy(bytes + 3, key, size);
	const struct span spans[] = {{0, 3}, {3, (uint32_t)size}};
	const struct request request = {bytes, spans, 2};
	machine_encode(&w->encoded, command_find(request_arg(&request, 0)), &request);
}

static void test_reads_together(void **state)
{
	struct world *w = *state;
	run_line(w, "MSET a 1 b 22");
	clear(&w->encoded);
	clear(&w->reply);
	encode_get(w, "a");
	encode_get(w, "none");
	encode_get(w, "b");
	machine_query(w->machine, buf_at(&w->encoded), buf_size(&w->encoded), RESP_2, &w->reply);
	assert_int_equal(get_le32(buf_at(&w->reply)), 3);
	buf_consume(&w->reply, 4);
	check_reply(w, "three", "$1\r\n1\r\n$-1\r\n$2\r\n22\r\n");
}

/* A long answer ends early, with whole replies; asking for the rest gets the rest. */
static void test_long_answer(void **state)
{
	struct world *w = *state;
	run_large(w, "set", 1, MACHINE_ANSWER_BYTES / 2);
	clear(&w->encoded);
	for (int i = 0; i < 5; i++) {
		const uint8_t bytes[] = "get\0";
		const struct span spans[] = {{0, 3}, {3, 1}};
		const struct request request = {bytes, spans, 2};
		machine_encode(&w->encoded, command_find(request_arg(&request, 0)), &request);
	}
	static const uint32_t counts[] = {2, 2, 1};
	for (size_t i = 0; i < 3; i++) {
		clear(&w->reply);
		machine_query(w->machine, buf_at(&w->encoded), buf_size(&w->encoded), RESP_2, &w->reply);
		uint32_t count = get_le32(buf_at(&w->reply));
		assert_int_equal(count, counts[i]);
		assert_int_equal(buf_size(&w->reply), 4 + count * (9 + MACHINE_ANSWER_BYTES / 2 + 2));
		for (; count > 0; count--)
			buf_consume(&w->encoded, machine_encoded_bytes(buf_at(&w->encoded), buf_size(&w->encoded)));
	}
	assert_int_equal(buf_size(&w->encoded), 0);
}

/* ---- Hostile bytes ---- */

static const char malformed[] = "-ERR the entry is no command\r\n";

static void check_malformed(struct world *w, const uint8_t *bytes, size_t size)
{
	/* Copied, so that a look behind its end is noticed. */
	uint8_t *copy = malloc(size);
	if (size > 0)
		memcpy(copy, bytes, size);
	clear(&w->reply);
	assert_int_equal(machine_apply(w->machine, copy, size, RESP_2, &w->reply), MACHINE_MALFORMED);
	check_reply(w, "malformed", malformed);
	assert_int_equal(machine_apply(w->machine, copy, size, RESP_2, NULL), MACHINE_MALFORMED);
	assert_int_equal(keyspace_count(&w->machine->keyspace), 1);
	free(copy);
}

/* A read in the log is answered in its place, and costs nothing where nobody waits for it. */
static void test_read_in_log(void **state)
{
	struct world *w = *state;
	static const uint8_t dbsize[] = {1, 0, COMMAND_DBSIZE, 0, 0, 0, 0, 0};
	run_line(w, "SET key value");
	clear(&w->reply);
	assert_int_equal(machine_apply(w->machine, dbsize, sizeof dbsize, RESP_2, NULL), MACHINE_DONE);
	assert_int_equal(machine_apply(w->machine, dbsize, sizeof dbsize, RESP_2, &w->reply), MACHINE_DONE);
	check_reply(w, "dbsize", ":1\r\n");
}

static void test_malformed_entries(void **state)
{
	struct world *w = *state;
	run_line(w, "SET key value");
	uint8_t bytes[64];
	size_t size = buf_size(&w->encoded);
	memcpy(bytes, buf_at(&w->encoded), size);
	for (size_t cut = 0; cut < size; cut++) {
		check_malformed(w, bytes, cut);
		assert_int_equal(machine_encoded_bytes(bytes, cut), 0);
	}
	bytes[size] = 0;
	check_malformed(w, bytes, size + 1);
	static const uint8_t no_format[] = {0, 0, 2, 0, 0, 0, 0, 0};
	static const uint8_t no_code[] = {1, 0, 0, 0, 0, 0, 0, 0};
	static const uint8_t second_byte[] = {1, 1, COMMAND_FLUSHALL, 0, 0, 0, 0, 0};
	static const uint8_t count_max[] = {1, 0, COMMAND_DEL, 0, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t size_max[] = {1, 0, COMMAND_DEL, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t unknown_and_more[] = {1, 0, 0xff, 0xff, 0, 0, 0, 0, 0};
	check_malformed(w, no_format, sizeof no_format);
	check_malformed(w, no_code, sizeof no_code);
	check_malformed(w, second_byte, sizeof second_byte);
	check_malformed(w, count_max, sizeof count_max);
	check_malformed(w, size_max, sizeof size_max);
	check_malformed(w, unknown_and_more, sizeof unknown_and_more);
	run_line(w, "GET key");
	check_reply(w, "unchanged", "$5\r\nvalue\r\n");
}

/* ---- Several in one entry ---- */

static struct slice encode_several(struct world *w, const char *const keys[], uint32_t count)
{
	clear(&w->encoded);
	machine_begin(&w->encoded);
	for (uint32_t i = 0; i < count; i++) {
		uint8_t bytes[64] = "incr";
		const struct span spans[] = {{0, 4}, {4, (uint32_t)strlen(keys[i])}};
		memcpy(bytes + 4, keys[i], strlen(keys[i]));
		const struct request request = {bytes, spans, 2};
		size_t before = buf_size(&w->encoded);
		machine_encode(&w->encoded, command_find(request_arg(&request, 0)), &request);
		assert_int_equal(buf_size(&w->encoded) - before, machine_bytes(&request));
	}
	return machine_end(&w->encoded, count);
}

static void test_several(void **state)
{
	struct world *w = *state;
	static const char *const keys[] = {"a", "b", "a", "a"};
	struct slice entry = encode_several(w, keys, 4);
	clear(&w->reply);
	assert_int_equal(machine_apply(w->machine, entry.bytes, entry.size, RESP_2, &w->reply), MACHINE_DONE);
	check_reply(w, "several", ":1\r\n:1\r\n:2\r\n:3\r\n");
	assert_int_equal(machine_apply(w->machine, entry.bytes, entry.size, RESP_2, NULL), MACHINE_DONE);
	entry = encode_several(w, keys, 1);
	assert_int_equal(entry.bytes[0], MACHINE_FORMAT);
	assert_int_equal(machine_encoded_bytes(entry.bytes, entry.size), entry.size);
	clear(&w->reply);
	assert_int_equal(machine_apply(w->machine, entry.bytes, entry.size, RESP_2, &w->reply), MACHINE_DONE);
	check_reply(w, "one", ":7\r\n");
}

/* As many as there may be: more than are sought ahead at a time. */
static void test_several_max(void **state)
{
	struct world *w = *state;
	static char names[MACHINE_TOGETHER_MAX + 1][8];
	const char *keys[MACHINE_TOGETHER_MAX + 1];
	for (uint32_t i = 0; i <= MACHINE_TOGETHER_MAX; i++) {
		snprintf(names[i], sizeof names[i], "k%u", (unsigned)i);
		keys[i] = names[i];
	}
	struct slice entry = encode_several(w, keys, MACHINE_TOGETHER_MAX);
	for (int round = 0; round < 2; round++)
		assert_int_equal(machine_apply(w->machine, entry.bytes, entry.size, RESP_2, NULL), MACHINE_DONE);
	run_line(w, "GET k63");
	check_reply(w, "the last", "$1\r\n2\r\n");
	entry = encode_several(w, keys, MACHINE_TOGETHER_MAX + 1);
	clear(&w->reply);
	assert_int_equal(machine_apply(w->machine, entry.bytes, entry.size, RESP_2, &w->reply), MACHINE_MALFORMED);
	check_reply(w, "too many", malformed);
}

/* The whole entry is malformed, and nothing of it is done; what fits and is wrong is answered in its place. */
static void test_several_malformed(void **state)
{
	struct world *w = *state;
	static const char *const keys[] = {"key", "other", "third"};
	run_line(w, "SET key 1");
	struct slice entry = encode_several(w, keys, 3);
	uint8_t bytes[128];
	size_t size = entry.size;
	memcpy(bytes, entry.bytes, size);
	for (size_t cut = 0; cut < size; cut++)
		check_malformed(w, bytes, cut);
	bytes[size] = 0;
	check_malformed(w, bytes, size + 1);
	static const struct {
		size_t at;
		uint8_t value;
	} changes[] = {{1, 1}, {2, 1}, {3, 1}, {4, 0}, {4, 2}, {4, 4}, {5, 1}, {7, 0xff}, {12, 2}, {16, 0xff}, {19, 1}};
	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
		uint8_t kept = bytes[changes[i].at];
		bytes[changes[i].at] = changes[i].value;
		check_malformed(w, bytes, size);
		bytes[changes[i].at] = kept;
	}
	bytes[10] = 0; /* No code. */
	clear(&w->reply);
	assert_int_equal(machine_apply(w->machine, bytes, size, RESP_2, &w->reply), MACHINE_DONE);
	check_reply(w, "no code", "-ERR the entry is no command\r\n:1\r\n:1\r\n");
	bytes[10] = COMMAND_INCR;
	bytes[8] = MACHINE_SEVERAL; /* Not in each other. */
	assert_int_equal(machine_apply(w->machine, bytes, size, RESP_2, &w->reply), MACHINE_NEWER);
	bytes[8] = MACHINE_FORMAT;
	bytes[10] = COMMAND_CODES;
	assert_int_equal(machine_apply(w->machine, bytes, size, RESP_2, &w->reply), MACHINE_NEWER);
}

/* What a newer program wrote is never taken for nothing. */
static void test_newer_entries(void **state)
{
	struct world *w = *state;
	static const uint8_t format[] = {3, 7, 2, 0, 9, 9, 9, 9};
	static const uint8_t code[] = {1, 0, COMMAND_CODES, 0, 1, 0, 0, 0, 2, 0, 0, 0, 'a', 'b'};
	assert_int_equal(machine_apply(w->machine, format, sizeof format, RESP_2, &w->reply), MACHINE_NEWER);
	assert_int_equal(machine_apply(w->machine, code, sizeof code, RESP_2, NULL), MACHINE_NEWER);
	assert_int_equal(buf_size(&w->reply), 0);
}

/* What a client's node should have refused is refused again, alike everywhere. */
static void test_wrong_entries(void **state)
{
	struct world *w = *state;
	static const struct {
		uint8_t bytes[32];
		size_t size;
		const char *reply;
	} cases[] = {
		{{1, 0, COMMAND_SET, 0, 0, 0, 0, 0}, 8, ARITY("set")},
		{{1, 0, COMMAND_SET, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 'x'}, 21, SYNTAX},
		{{1, 0, COMMAND_INCRBY, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 'x'}, 17, NO_INTEGER},
		{{1, 0, COMMAND_MSET, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 20, ARITY("mset")},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		clear(&w->reply);
		assert_int_equal(machine_apply(w->machine, cases[i].bytes, cases[i].size, RESP_2, &w->reply),
				 MACHINE_DONE);
		check_reply(w, "wrong", cases[i].reply);
	}
	assert_int_equal(keyspace_count(&w->machine->keyspace), 0);
}

static void check_query(struct world *w, const uint8_t *bytes, size_t size, uint32_t count, const char *reply)
{
	uint8_t *copy = malloc(size);
	if (size > 0)
		memcpy(copy, bytes, size);
	clear(&w->reply);
	machine_query(w->machine, copy, size, RESP_2, &w->reply);
	free(copy);
	assert_int_equal(get_le32(buf_at(&w->reply)), count);
	buf_consume(&w->reply, 4);
	check_reply(w, "query", reply);
}

static void test_hostile_reads(void **state)
{
	struct world *w = *state;
	static const char wrong[] = "-ERR the request is no command\r\n";
	static const uint8_t write_then_read[] = {1, 0, COMMAND_FLUSHALL, 0, 0, 0, 0, 0,
						  1, 0, COMMAND_DBSIZE,	  0, 0, 0, 0, 0};
	static const uint8_t unknown[] = {1, 0, COMMAND_CODES, 0, 0, 0, 0, 0, 1, 0, COMMAND_DBSIZE, 0, 0, 0, 0, 0};
	run_line(w, "SET a 1");
	check_query(w, NULL, 0, 1, wrong);
	check_query(w, write_then_read, sizeof write_then_read, 2, "-ERR the request is no read\r\n:1\r\n");
	check_query(w, write_then_read, 11, 2, "-ERR the request is no read\r\n-ERR the request is no command\r\n");
	check_query(w, unknown, sizeof unknown, 1,
		    "-ERR the leader does not know this command: it is an older program\r\n");
	clear(&w->encoded);
	encode_get(w, "a");
	for (size_t cut = 0; cut < buf_size(&w->encoded); cut++)
		check_query(w, buf_at(&w->encoded), cut, 1, wrong);
}

/* Random bytes, some of them nearly right: no look outside, and both machines stay the same. */
static void test_random_bytes(void **state)
{
	struct world *w = *state;
	uint64_t x = 1;
	for (int round = 0; round < 200000; round++) {
		uint8_t *several = malloc(48), *bytes = several + 8;
		for (int i = 0; i < 40; i++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			bytes[i] = (uint8_t)(x >> 60);
		}
		bytes[0] = 1;
		bytes[1] = bytes[3] = bytes[5] = bytes[6] = bytes[7] = 0;
		bytes[4] &= 3;
		for (int i = 9; i < 8 + bytes[4] * 4; i++)
			if (i % 4 != 0)
				bytes[i] = 0;
		size_t size = machine_encoded_bytes(bytes, 40);
		if (size == 0 || x >> 63)
			size = 40;
		clear(&w->reply);
		const struct slice commands[] = {{bytes, size}, {bytes, 40}};
		machine_expect(w->machine, commands, 2);
		enum machine_result result = machine_apply(w->machine, bytes, size, w->protocol, &w->reply);
		assert_int_equal(machine_apply(w->silent, bytes, size, RESP_2, NULL), result);
		assert_int_equal(buf_size(&w->reply) == 0, result == MACHINE_NEWER);
		clear(&w->reply);
		machine_query(w->machine, bytes, 40, RESP_2, &w->reply);
		const uint8_t header[8] = {MACHINE_SEVERAL, 0, 0, 0, (uint8_t)(1 + (x >> 62))};
		memcpy(several, header, sizeof header);
		machine_expect(w->machine, &(struct slice){several, 48}, 1);
		clear(&w->reply);
		result = machine_apply(w->machine, several, 8 + size, w->protocol, &w->reply);
		assert_int_equal(machine_apply(w->silent, several, 8 + size, RESP_2, NULL), result);
		free(several);
	}
	struct store_cursor a, b;
	struct store_slice key_a, value_a, key_b, value_b;
	assert_true(keyspace_count(&w->machine->keyspace) > 0);
	assert_int_equal(keyspace_count(&w->machine->keyspace), keyspace_count(&w->silent->keyspace));
	store_seek(&a, w->machine->keyspace.store, NULL, "", 0);
	store_seek(&b, w->silent->keyspace.store, NULL, "", 0);
	while (store_next(&a, &key_a, &value_a)) {
		assert_true(store_next(&b, &key_b, &value_b));
		assert_int_equal(key_a.size, key_b.size);
		assert_memory_equal(key_a.bytes, key_b.bytes, key_a.size);
		assert_int_equal(value_a.size, value_b.size);
		if (value_a.size > 0)
			assert_memory_equal(value_a.bytes, value_b.bytes, value_a.size);
	}
}

/* ---- Patterns ---- */

static void test_glob(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *text;
		bool matches;
	} cases[] = {
		{"", "", true},
		{"", "a", false},
		{"a", "", false},
		{"a", "a", true},
		{"a", "A", true},
		{"a", "ab", false},
		{"*", "", true},
		{"*", "abc", true},
		{"**", "abc", true},
		{"a*", "a", true},
		{"a*c", "abbc", true},
		{"a*c", "abcb", false},
		{"*b*", "abc", true},
		{"*bc", "abcbc", true},
		{"?", "", false},
		{"?", "a", true},
		{"??", "a", false},
		{"a?c", "abc", true},
		{"[abc]", "b", true},
		{"[abc]", "d", false},
		{"[^abc]", "d", true},
		{"[^abc]", "a", false},
		{"[a-c]x", "bx", true},
		{"[c-a]x", "bx", true},
		{"[a-c]", "d", false},
		{"[a", "a", true},
		{"[a", "b", false},
		{"[", "[", false},
		{"[\\]]", "]", true},
		{"\\*", "*", true},
		{"\\*", "a", false},
		{"\\", "\\", true},
		{"a*b*c*d", "axxbxxcxxd", true},
		{"a*b*c*d", "axxbxxcxx", false},
		{"*[0-9]", "save1", true},
		{"s*e", "save", true},
		{"max*", "maxclients", true},
		{"[]", "a", false},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct slice pattern = {(const uint8_t *)cases[i].pattern, strlen(cases[i].pattern)};
		struct slice text = {(const uint8_t *)cases[i].text, strlen(cases[i].text)};
		if (glob_matches(pattern, text, true) != cases[i].matches)
			fail_msg("'%s' and '%s'", cases[i].pattern, cases[i].text);
	}
	/* The classic that takes for ever when every '*' is tried anew. */
	static const char stars[] = "a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b";
	static uint8_t many[4096];
	memset(many, 'a', sizeof many);
	assert_false(glob_matches((struct slice){(const uint8_t *)stars, sizeof stars - 1},
				  (struct slice){many, sizeof many}, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_strings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set_options, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_strings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_protocol, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_too_large, setup, teardown),
		cmocka_unit_test_setup_teardown(test_arity, setup, teardown),
		cmocka_unit_test(test_table),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reads_together, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_in_log, setup, teardown),
		cmocka_unit_test_setup_teardown(test_malformed_entries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_several, setup, teardown),
		cmocka_unit_test_setup_teardown(test_several_max, setup, teardown),
		cmocka_unit_test_setup_teardown(test_several_malformed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_newer_entries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_entries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random_bytes, setup, teardown),
		cmocka_unit_test(test_glob),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
