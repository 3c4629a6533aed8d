/* What a connection answers by itself: handshakes, CLIENT, COMMAND, INFO, CONFIG; mostly as Redis answers. */
#include "unit/server_world.h"

#define BULK(size, text) "$" #size "\r\n" text "\r\n"
#define OK "+OK\r\n"
#define NIL "$-1\r\n"
#define SYNTAX "-ERR syntax error\r\n"
#define ARITY(name) "-ERR wrong number of arguments for '" name "' command\r\n"
#define WRONGPASS "-WRONGPASS invalid username-password pair or user is disabled.\r\n"

#define HELLO_BODY(proto)                                                                                              \
	BULK(6, "server")                                                                                              \
	BULK(5, "redis")                                                                                               \
	BULK(7, "version")                                                                                             \
	BULK(6, "7.0.15")                                                                                              \
	BULK(5, "proto")                                                                                               \
	":" #proto "\r\n" BULK(2, "id") ":1\r\n" BULK(4, "mode") BULK(10, "standalone") BULK(4, "role")                \
		BULK(6, "master") BULK(7, "modules") "*0\r\n"
#define HELLO_2 "*14\r\n" HELLO_BODY(2)
#define HELLO_3 "%7\r\n" HELLO_BODY(3)

struct step {
	const char *line;
	const char *reply;
};

static void run_steps(const struct step *steps, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct buf *out = &world->client.out;
		send_text(steps[i].line);
		send_text("\r\n");
		finish_all();
		size_t size = strlen(steps[i].reply);
		if (buf_size(out) != size || (size > 0 && memcmp(buf_at(out), steps[i].reply, size) != 0))
			fail_msg("%s: expected %s, found %.*s", steps[i].line, steps[i].reply, (int)buf_size(out),
				 (const char *)buf_at(out));
		expect_size(size);
	}
}
#define RUN(steps) run_steps(steps, sizeof steps / sizeof *steps)

static void test_hello(void **state)
{
	static const struct step steps[] = {
		{"HELLO", HELLO_2},
		{"HELLO 2", HELLO_2},
		{"GET none", NIL},
		{"HELLO 3", HELLO_3},
		{"GET none", "_\r\n"},
		{"SET none 1 XX", "_\r\n"},
		{"HELLO", HELLO_3},
		{"HELLO 3 AUTH default anything SETNAME me", HELLO_3},
		{"CLIENT GETNAME", BULK(2, "me")},
		{"HELLO 2 setname \"\" auth default \"\"", HELLO_2},
		{"CLIENT GETNAME", NIL},
		{"GET none", NIL},
		/* What is refused changes nothing. */
		{"HELLO 4", "-NOPROTO unsupported protocol version\r\n"},
		{"HELLO 1 SETNAME x", "-NOPROTO unsupported protocol version\r\n"},
		{"HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"},
		{"HELLO 3 AUTH joe x SETNAME y", WRONGPASS},
		{"HELLO 3 AUTH Default x", WRONGPASS},
		{"HELLO 3 SETNAME y AUTH \"\" x", WRONGPASS},
		{"HELLO 3 SETNAME y FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n"},
		{"HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'\r\n"},
		{"HELLO 3 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'\r\n"},
		{"HELLO 3 SETNAME \"a b\"",
		 "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"},
		{"CLIENT GETNAME", NIL},
		{"GET none", NIL},
	};
	(void)state;
	RUN(steps);
}

static void test_auth(void **state)
{
	static const struct step steps[] = {
		{"AUTH x", "-ERR AUTH <password> called without any password configured for the default user. Are you "
			   "sure your configuration is correct?\r\n"},
		{"AUTH default x", OK},
		{"AUTH joe x", WRONGPASS},
		{"AUTH a b c", SYNTAX},
		{"AUTH", ARITY("auth")},
	};
	(void)state;
	RUN(steps);
}

static void test_small(void **state)
{
	static const struct step steps[] = {
		{"PING", "+PONG\r\n"},
		{"PING \"a b\"", BULK(3, "a b")},
		{"PING a b", ARITY("ping")},
		{"ECHO hi", BULK(2, "hi")},
		{"ECHO", ARITY("echo")},
		{"SELECT 0", OK},
		{"SELECT 1", "-ERR DB index is out of range\r\n"},
		{"SELECT x", "-ERR value is not an integer or out of range\r\n"},
		{"TIME", "*2\r\n" BULK(10, "1700000000") BULK(6, "123456")},
		{"CLUSTER INFO", "-ERR This instance has cluster support disabled\r\n"},
		{"cluster slots", "-ERR This instance has cluster support disabled\r\n"},
		{"CLUSTER KEYSLOT", ARITY("cluster|keyslot")},
		{"CLUSTER KEYSLOT a", "-ERR This instance has cluster support disabled\r\n"},
		{"CLUSTER FOO", "-ERR unknown subcommand 'FOO'. Try CLUSTER HELP.\r\n"},
		{"CLUSTER", ARITY("cluster")},
		{"READONLY", "-ERR This instance has cluster support disabled\r\n"},
		{"READWRITE", "-ERR This instance has cluster support disabled\r\n"},
		{"ASKING", "-ERR This instance has cluster support disabled\r\n"},
		{"FOO a b", "-ERR unknown command 'FOO', with args beginning with: 'a' 'b' \r\n"},
	};
	(void)state;
	RUN(steps);
}

static void test_reset(void **state)
{
	static const struct step steps[] = {
		{"HELLO 3 SETNAME me", HELLO_3}, {"CLIENT REPLY OFF", ""}, {"PING", ""},	  {"RESET x", ""},
		{"RESET", "+RESET\r\n"},	 {"CLIENT GETNAME", NIL},  {"PING", "+PONG\r\n"},
	};
	(void)state;
	RUN(steps);
}

static void test_client(void **state)
{
	static const struct step steps[] = {
		{"CLIENT ID", ":1\r\n"},
		{"CLIENT ID x", ARITY("client|id")},
		{"CLIENT GETNAME", NIL},
		{"CLIENT SETNAME me", OK},
		{"CLIENT GETNAME", BULK(2, "me")},
		{"CLIENT SETNAME \"a\\nb\"",
		 "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"},
		{"CLIENT GETNAME", BULK(2, "me")},
		{"CLIENT SETNAME", ARITY("client|setname")},
		{"CLIENT SETINFO lib-name test", OK},
		{"CLIENT SETINFO LIB-VER 1.0", OK},
		{"CLIENT SETINFO lib-ver \"1 0\"",
		 "-ERR lib-ver cannot contain spaces, newlines or special characters.\r\n"},
		{"CLIENT SETINFO foo 1", "-ERR Unrecognized option 'foo'\r\n"},
		{"CLIENT NO-EVICT on", OK},
		{"CLIENT NO-TOUCH OFF", OK},
		{"CLIENT NO-EVICT foo", SYNTAX},
		{"CLIENT TRACKING on", "-ERR client side caching is not supported\r\n"},
		{"CLIENT TRACKING on BCAST", "-ERR client side caching is not supported\r\n"},
		{"CLIENT TRACKING off", OK},
		{"CLIENT TRACKING foo", SYNTAX},
		{"CLIENT MAINT_NOTIFICATIONS ON",
		 "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.\r\n"},
		{"CLIENT", ARITY("client")},
	};
	(void)state;
	RUN(steps);
}

/* Its memory is what its buffers have room for, which is none of this test's business. */
static void expect_lines(const char *line, const char *header, const char *const *lines)
{
	struct buf *out = &world->client.out;
	send_text(line);
	buf_add(out, "", 1);
	char *at = (char *)buf_at(out);
	if (header != NULL && strncmp(at, header, strlen(header)) != 0)
		fail_msg("%s: expected %s, found %s", line, header, at);
	long size = strtol(at + 1, NULL, 10);
	at = strchr(at, '\n') + 1;
	assert_int_equal(strlen(at), size + 2);
	at += header == NULL ? 0 : 4;
	for (; *lines != NULL; lines++) {
		const char *mark = strchr(*lines, '*');
		size_t before = (size_t)(mark - *lines);
		char *end = strchr(at, '\n');
		assert_non_null(end);
		size_t after = strlen(mark + 1);
		if (strncmp(at, *lines, before) != 0 || strncmp(end - after, mark + 1, after) != 0)
			fail_msg("%s: expected %s, found %s", line, *lines, at);
		at = end + 1;
	}
	assert_string_equal(at, "\r\n");
	expect_size(buf_size(out));
}

static void test_client_list(void **state)
{
	static const char *const both[] = {
		"id=1 laddr=here:7001 name=me age=5 idle=0 flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=13 "
		"qbuf-free=* user=default resp=2",
		"id=2 laddr=here:7001 name= age=3 idle=3 flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=0 "
		"qbuf-free=0 argv-mem=0 obl=0 oll=0 omem=0 tot-mem=0* user=default resp=2",
		NULL};
	static const char *const me_3[] = {"id=1 laddr=here:7001 name=me age=5 idle=0 * user=default resp=3", NULL};
	static const struct step steps[] = {
		{"CLIENT LIST TYPE pubsub", BULK(0, "")},
		{"CLIENT LIST TYPE foo", "-ERR Unknown client type 'foo'\r\n"},
		{"CLIENT LIST ID 1 x", "-ERR Invalid client ID\r\n"},
		{"CLIENT LIST ID", SYNTAX},
		{"CLIENT LIST foo", SYNTAX},
		{"CLIENT LIST TYPE normal x", SYNTAX},
		{"HELLO 3", HELLO_3},
		{"CLIENT LIST TYPE pubsub", "=4\r\ntxt:\r\n"},
	};
	(void)state;
	send_text("CLIENT SETNAME me\r\n");
	expect(OK);
	world->client.taken = 0;
	world->raw_ns = 2000000000;
	connect_stream(&world->other);
	world->raw_ns = 5100000000;
	expect_lines("CLIENT LIST\r\n", NULL, both);
	expect_lines("CLIENT LIST ID 7 2\r\n", NULL, both + 1);
	RUN(steps);
	expect_lines("CLIENT INFO\r\n", "=", me_3);
}

static void test_reply_modes(void **state)
{
	static const struct step steps[] = {
		{"CLIENT REPLY foo", SYNTAX},
		{"CLIENT REPLY", ARITY("client|reply")},
		{"CLIENT REPLY OFF", ""},
		{"PING", ""},
		{"SET a 1", ""},
		{"GET a", ""},
		{"GET", ""},
		{"FOO", ""},
		{"CLIENT REPLY SKIP", ""},
		{"INCR a", ""},
		{"CLIENT REPLY ON", OK},
		{"GET a", BULK(1, "2")},
		{"CLIENT REPLY SKIP", ""},
		{"INCR a", ""},
		{"GET a", BULK(1, "3")},
		{"CLIENT REPLY SKIP", ""},
		{"GET a", ""},
		{"PING", "+PONG\r\n"},
		{"CLIENT REPLY SKIP", ""},
		{"CLIENT REPLY SKIP", ""},
		{"PING", ""},
		{"PING", "+PONG\r\n"},
		{"CLIENT REPLY SKIP", ""},
		{"CLIENT REPLY ON", OK},
		{"PING", "+PONG\r\n"},
	};
	(void)state;
	RUN(steps);
}

/* What is not wanted is left out wherever it stands among the others; a read that nobody hears of is not asked. */
static void test_reply_pipelined(void **state)
{
	(void)state;
	send_text("INCR a\r\nCLIENT REPLY SKIP\r\nINCR a\r\nINCR a\r\nCLIENT REPLY OFF\r\nGET a\r\nINCR a\r\nPING\r\n"
		  "CLIENT REPLY ON\r\nINCR a\r\n");
	expect_asked(0, 5);
	finish(1);
	finish(2);
	expect("");
	finish(0);
	expect(":1\r\n");
	finish_all();
	expect(":3\r\n" OK ":5\r\n");
	send_text("CLIENT REPLY OFF\r\n*x\r\n");
	expect("");
	assert_true(world->client.closed);
}

/* ---- CLIENT KILL ---- */

static void test_kill_wrong(void **state)
{
	static const struct step steps[] = {
		{"CLIENT KILL", ARITY("client|kill")},
		{"CLIENT KILL 127.0.0.1:5", "-ERR No such client\r\n"},
		{"CLIENT KILL ID 9", ":0\r\n"},
		{"CLIENT KILL ID 0", "-ERR client-id should be greater than 0\r\n"},
		{"CLIENT KILL ID x", "-ERR client-id should be greater than 0\r\n"},
		{"CLIENT KILL ID 2 FOO", SYNTAX},
		{"CLIENT KILL FOO 2", SYNTAX},
		{"CLIENT KILL SKIPME maybe ID 2", SYNTAX},
		{"CLIENT KILL TYPE foo ID 2", "-ERR Unknown client type 'foo'\r\n"},
		{"CLIENT KILL USER joe ID 2", "-ERR No such user 'joe'\r\n"},
		{"CLIENT KILL TYPE pubsub", ":0\r\n"},
		{"CLIENT KILL ADDR 127.0.0.1:5 ID 2", ":0\r\n"},
		{"CLIENT KILL ID 2 ID 3", ":0\r\n"},
		{"CLIENT KILL ID 1", ":0\r\n"},
	};
	(void)state;
	connect_stream(&world->other);
	RUN(steps);
	assert_false(end_turn());
	assert_false(world->client.closed || world->other.closed);
}

/* The other one, with requests under way: it hears no more, and closes when the turn ends. */
static void test_kill_other(void **state)
{
	static const char requests[] = "INCR a\r\nINCR a\r\nGET a\r\n";
	(void)state;
	connect_stream(&world->other);
	world->other.events->received(world->other.context, (const uint8_t *)requests, sizeof requests - 1);
	expect_asked(0, 2);
	send_text("CLIENT KILL ID 2\r\nCLIENT KILL ID 2\r\n");
	expect(":1\r\n:0\r\n");
	assert_false(world->other.closed);
	world->other.events->received(world->other.context, (const uint8_t *)requests, sizeof requests - 1);
	finish(0);
	expect_asked(0, 1);
	end_turn();
	assert_true(world->other.closed && !world->other.flushed);
	expect_asked(0, 0);
	assert_int_equal(world->server->conn_count, 1);
	assert_false(end_turn());
}

/* Killed, and gone by itself before the turn ended. */
static void test_kill_gone(void **state)
{
	(void)state;
	connect_stream(&world->other);
	send_text("CLIENT KILL TYPE normal\r\n");
	expect(":1\r\n");
	world->other.gone = true;
	world->other.events->closed(world->other.context, 0);
	assert_false(end_turn());
	assert_int_equal(world->server->conn_count, 1);
}

static void test_kill_me(void **state)
{
	(void)state;
	connect_stream(&world->other);
	send_text("INCR a\r\nCLIENT KILL USER default SKIPME no\r\nINCR a\r\n");
	expect_asked(0, 1);
	end_turn();
	assert_true(world->other.closed);
	assert_false(world->client.closed);
	finish_all();
	expect(":1\r\n:2\r\n");
	assert_true(world->client.closed && world->client.flushed);
}

/* ---- COMMAND, CONFIG, INFO ---- */

#define GET_INFO(set)                                                                                                  \
	"*10\r\n" BULK(3, "get") ":2\r\n" set "1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n" set "0\r\n" set "0\r\n" set       \
				 "0\r\n*0\r\n"
#define TIME_DOCS(map)                                                                                                 \
	BULK(4, "time")                                                                                                \
	map BULK(7, "summary") BULK(23, "The clock of this node.") BULK(5, "since") BULK(5, "2.6.0") BULK(5, "group")  \
		BULK(6, "server")

static void test_command(void **state)
{
	static const struct step steps[] = {
		{"COMMAND INFO get none", "*2\r\n" GET_INFO("*") NIL},
		{"COMMAND DOCS none time", "*2\r\n" TIME_DOCS("*6\r\n")},
		{"COMMAND DOCS none", "*0\r\n"},
		{"COMMAND COUNT x", ARITY("command|count")},
		{"COMMAND FOO", "-ERR unknown subcommand 'FOO'. Try COMMAND HELP.\r\n"},
		{"COMMAND GETKEYS", ARITY("command|getkeys")},
		{"COMMAND GETKEYS get", "-ERR Invalid number of arguments specified for command\r\n"},
		{"COMMAND GETKEYS get a", "*1\r\n" BULK(1, "a")},
		{"COMMAND GETKEYS mset a 1 b 2", "*2\r\n" BULK(1, "a") BULK(1, "b")},
		{"COMMAND GETKEYS del a b c", "*3\r\n" BULK(1, "a") BULK(1, "b") BULK(1, "c")},
		/* A request that would be refused when it is run still has keys. */
		{"COMMAND GETKEYS mset a 1 b", "*2\r\n" BULK(1, "a") BULK(1, "b")},
		{"COMMAND GETKEYS get a b", "-ERR Invalid number of arguments specified for command\r\n"},
		{"COMMAND GETKEYS ping a", "-ERR The command has no key arguments\r\n"},
		{"COMMAND GETKEYS none a", "-ERR Invalid command specified\r\n"},
		{"HELLO 3", HELLO_3},
		{"COMMAND INFO get none", "*2\r\n" GET_INFO("~") "_\r\n"},
		{"COMMAND DOCS none time", "%1\r\n" TIME_DOCS("%3\r\n")},
		{"COMMAND DOCS none", "%0\r\n"},
	};
	(void)state;
	RUN(steps);
}

/* Takes a whole reply apart, and counts the bulk strings in it; what stands there is of version 3. */
static size_t skip_reply(const char *bytes, size_t size, size_t *strings)
{
	const char *end = memchr(bytes, '\n', size);
	assert_non_null(end);
	size_t at = (size_t)(end - bytes) + 1;
	long long count = strtoll(bytes + 1, NULL, 10);
	switch (bytes[0]) {
	case '$':
		++*strings;
		return at + (size_t)count + 2;
	case '%':
		count *= 2;
		break;
	case '*':
	case '~':
		break;
	case ':':
	case '+':
		return at;
	default:
		fail_msg("a reply begins with '%c'", bytes[0]);
	}
	for (long long i = 0; i < count; i++)
		at += skip_reply(bytes + at, size - at, strings);
	return at;
}

/* The whole tables: well formed, as many as COMMAND COUNT says, each found again by its name. */
static void test_command_all(void **state)
{
	(void)state;
	struct buf *out = &world->client.out;
	size_t strings = 0;
	char first[16];
	send_text("HELLO 3\r\n");
	expect(HELLO_3);
	send_text("COMMAND COUNT\r\n");
	unsigned count = (unsigned)strtoul((const char *)buf_at(out) + 1, NULL, 10);
	assert_in_range(count, 40, 60);
	expect_size(5);
	snprintf(first, sizeof first, "*%u\r\n", count);
	send_text("COMMAND\r\n");
	assert_memory_equal(buf_at(out), first, 5);
	assert_int_equal(skip_reply((const char *)buf_at(out), buf_size(out), &strings), buf_size(out));
	assert_in_range(strings, count + 20, count + 40); /* A name each, and the subcommands. */
	size_t all = buf_size(out);
	expect_size(all);
	send_text("COMMAND INFO\r\n");
	expect_size(all);
	first[0] = '%';
	strings = 0;
	send_text("COMMAND DOCS\r\n");
	assert_memory_equal(buf_at(out), first, 5);
	assert_int_equal(skip_reply((const char *)buf_at(out), buf_size(out), &strings), buf_size(out));
	assert_in_range(strings, 7 * (count + 20), 8 * (count + 40));
	expect_size(buf_size(out));
}

/* Asking for much gets no more. */
static void test_command_limit(void **state)
{
	(void)state;
	struct buf line;
	buf_init(&line, &world->mem);
	buf_printf(&line, "COMMAND INFO");
	for (int i = 0; i < 1001; i++)
		buf_printf(&line, " client");
	buf_printf(&line, "\r\n");
	send_bytes(buf_at(&line), buf_size(&line));
	expect("-ERR more than 1000 commands are asked about\r\n");
	memcpy(buf_at(&line) + 8, "DOCS", 4);
	send_bytes(buf_at(&line), buf_size(&line));
	expect("-ERR more than 1000 commands are asked about\r\n");
	buf_free(&line);
}

static void test_config(void **state)
{
	static const struct step steps[] = {
		{"CONFIG GET save", "*2\r\n" BULK(4, "save") BULK(0, "")},
		{"CONFIG GET none", "*0\r\n"},
		{"CONFIG GET APPEND* databases",
		 "*4\r\n" BULK(10, "appendonly") BULK(2, "no") BULK(9, "databases") BULK(1, "1")},
		{"CONFIG GET", ARITY("config|get")},
		{"CONFIG SET save x", "-ERR Unknown option or number of arguments for CONFIG SET - 'save'\r\n"},
		{"CONFIG FOO", "-ERR unknown subcommand 'FOO'. Try CONFIG HELP.\r\n"},
		{"CONFIG", ARITY("config")},
		{"HELLO 3", HELLO_3},
		{"CONFIG GET maxmemory timeout",
		 "%2\r\n" BULK(9, "maxmemory") BULK(1, "0") BULK(7, "timeout") BULK(1, "0")},
		{"CONFIG GET none", "%0\r\n"},
	};
	(void)state;
	RUN(steps);
}

static void expect_info(const char *line, const char *const *parts, const char *const *absent)
{
	struct buf *out = &world->client.out;
	send_text(line);
	buf_add(out, "", 1);
	const char *text = (const char *)buf_at(out);
	for (; *parts != NULL; parts++)
		if (strstr(text, *parts) == NULL)
			fail_msg("%s: there is no %s in %s", line, *parts, text);
	for (; *absent != NULL; absent++)
		if (strstr(text, *absent) != NULL)
			fail_msg("%s: there is %s in %s", line, *absent, text);
	expect_size(buf_size(out));
}

/* The node of this world takes what is asked of ids below 100, and else says what it heard. */
static void test_raft(void **state)
{
	static const struct step steps[] = {
		{"RAFT.MEMBER ADD 4 h:1", "+OK\r\n"},
		{"raft.member add 104 h:1", "-ERR action 0, node 104, address h:1\r\n"},
		{"RAFT.MEMBER ADD 104 h:1 LEARNER", "-ERR action 1, node 104, address h:1\r\n"},
		{"RAFT.MEMBER REMOVE 104", "-ERR action 2, node 104, address none\r\n"},
		{"RAFT.MEMBER REPLACE 104", "-ERR action 3, node 104, address none\r\n"},
		{"RAFT.MEMBER REPLACE 104 h:2", "-ERR action 3, node 104, address h:2\r\n"},
		{"RAFT.MEMBER PROMOTE 104", "-ERR action 4, node 104, address none\r\n"},
		{"RAFT.MEMBER DEMOTE 104", "-ERR action 5, node 104, address none\r\n"},
		{"RAFT.TRANSFER", "+OK\r\n"},
		{"RAFT.TRANSFER 104", "-ERR to node 104 within 2000000000\r\n"},
		{"RAFT.MEMBER ADD 0 h:1", "-ERR the id of a node is at least 1\r\n"},
		{"RAFT.MEMBER ADD x h:1", "-ERR value is not an integer or out of range\r\n"},
		{"RAFT.MEMBER ADD 4 h:1 VOTER", "-ERR syntax error\r\n"},
		{"RAFT.MEMBER REPLACE 4 h:1 x", "-ERR syntax error\r\n"},
		{"RAFT.TRANSFER 4 5", "-ERR syntax error\r\n"},
		{"RAFT.MEMBER ADD 4", ARITY("raft.member|add")},
		{"RAFT.MEMBER", ARITY("raft.member")},
	};
	(void)state;
	RUN(steps);
}

static void test_info(void **state)
{
	static const char *const all[] = {"# Server\r\nredis_version:7.0.15\r\nikada_version:",
					  "redis_mode:standalone\r\n",
					  "os:Test\r\n",
					  "process_id:42\r\n",
					  "tcp_port:7001\r\n",
					  "uptime_in_seconds:90001\r\n",
					  "uptime_in_days:1\r\n",
					  "\r\n\r\n# Clients\r\nconnected_clients:1\r\n",
					  "# Memory\r\nused_memory:",
					  "used_memory_rss:4096\r\n",
					  "# Persistence\r\nloading:0\r\n",
					  "# Stats\r\n",
					  "total_net_input_bytes:",
					  "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n",
					  "master_replid:0000000000000000000000000000000000000000\r\n",
					  "# CPU\r\nused_cpu_sys:0.000007\r\nused_cpu_user:1.500000\r\n",
					  "# Cluster\r\ncluster_enabled:0\r\n",
					  "# Raft\r\n",
					  "raft_role:",
					  "# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n",
					  NULL};
	static const char *const some[] = {"# Server\r\n", "# Keyspace\r\n", NULL};
	static const char *const others[] = {"# Clients\r\n", "# Raft\r\n", NULL};
	static const char *const none[] = {NULL};
	(void)state;
	send_text("SET a 1\r\n");
	finish_all();
	expect(OK);
	world->raw_ns = 90001500000000;
	expect_info("INFO\r\n", all, none);
	expect_info("INFO all\r\n", all, none);
	expect_info("INFO Default\r\n", all, none);
	expect_info("INFO nothing everything\r\n", all, none);
	expect_info("INFO keyspace nothing SERVER\r\n", some, others);
	send_text("INFO nothing\r\n");
	expect(BULK(0, ""));
	send_text("HELLO 3\r\n");
	expect(HELLO_3);
	send_text("INFO cluster\r\n");
	expect("=34\r\ntxt:# Cluster\r\ncluster_enabled:0\r\n\r\n");
	send_text("INFO nothing\r\n");
	expect("=4\r\ntxt:\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hello, setup, teardown),
		cmocka_unit_test_setup_teardown(test_auth, setup, teardown),
		cmocka_unit_test_setup_teardown(test_small, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reply_modes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reply_pipelined, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kill_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kill_other, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kill_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kill_me, setup, teardown),
		cmocka_unit_test_setup_teardown(test_command, setup, teardown),
		cmocka_unit_test_setup_teardown(test_command_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_command_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_config, setup, teardown),
		cmocka_unit_test_setup_teardown(test_raft, setup, teardown),
		cmocka_unit_test_setup_teardown(test_info, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
