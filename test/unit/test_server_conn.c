/*
 * A client's connection: what is asked of the node when, in which order replies leave, what is bounded, and what is
 * left when somebody goes.
 */
#include "unit/server_world.h"

/* ---- Order ---- */

static void test_writes_at_once(void **state)
{
	(void)state;
	send_text("SET a 1\r\n");
	send_text("SET a 2\r\n");
	send_text("INCR a\r\n");
	expect_asked(0, 3);
	expect("");
	finish(0);
	expect("+OK\r\n");
	finish(0);
	finish(0);
	expect("+OK\r\n:3\r\n");
}

/* Small writes that come together are one entry; what lies between them parts them. */
static void test_writes_together(void **state)
{
	(void)state;
	send_text("SET a 1\r\nINCR a\r\nINCR a\r\n");
	expect_asked(0, 1);
	finish(0);
	expect("+OK\r\n:2\r\n:3\r\n");
	send_text("INCR a\r\nINCR a\r\nPING\r\nINCR a\r\nSET a\r\nINCR a\r\nGETSET a 1\r\nINCR a\r\nGET a\r\n");
	expect_asked(0, 6);
	finish(5);
	finish(1);
	expect("");
	finish(0);
	expect(":4\r\n:5\r\n+PONG\r\n:6\r\n-ERR wrong number of arguments for 'set' command\r\n");
	finish_all();
	expect(":7\r\n$1\r\n7\r\n:2\r\n$1\r\n2\r\n");
}

/* They end together, and each is told so. */
static void test_writes_end_together(void **state)
{
	(void)state;
	send_text("INCR a\r\nINCR a\r\nPING\r\n");
	refuse(0, IKADA_NO_LEADER);
	expect("-CLUSTERDOWN no leader took the request; it was not executed\r\n"
	       "-CLUSTERDOWN no leader took the request; it was not executed\r\n+PONG\r\n");
	send_text("CLIENT REPLY SKIP\r\nINCR a\r\nINCR a\r\nINCR a\r\nCLIENT REPLY OFF\r\nINCR a\r\nINCR a\r\n");
	expect_asked(0, 3);
	finish(0);
	expect("");
	refuse(0, IKADA_UNKNOWN);
	expect("-UNKNOWN the request may have been executed, or may yet be\r\n"
	       "-UNKNOWN the request may have been executed, or may yet be\r\n");
	refuse(0, IKADA_UNKNOWN);
	send_text("CLIENT REPLY ON\r\nINCR a\r\n");
	finish(0);
	expect("+OK\r\n:2\r\n");
}

static void test_replies_in_order(void **state)
{
	(void)state;
	send_text("INCR a\r\nPING\r\nINCR a\r\nFOO\r\nINCR a\r\nSET a\r\n");
	expect_asked(0, 3);
	finish(2);
	expect("");
	finish(0);
	expect(":1\r\n+PONG\r\n");
	finish(0);
	expect(":2\r\n-ERR unknown command 'FOO', with args beginning with: \r\n:3\r\n"
	       "-ERR wrong number of arguments for 'set' command\r\n");
}

static void test_read_after_write(void **state)
{
	(void)state;
	send_text("SET a 1\r\nSET b 2\r\nGET a\r\nGET b\r\n");
	expect_asked(0, 3); /* The reads find writes under way: they follow them through the log. */
	finish_all();
	expect("+OK\r\n+OK\r\n$1\r\n1\r\n$1\r\n2\r\n");
	send_text("GET a\r\nGET b\r\n");
	expect_asked(1, 0); /* Both in one. */
	finish(0);
	expect("$1\r\n1\r\n$1\r\n2\r\n");
}

/* A read behind a lost write: it may be lost too, and that is told as a read that was not answered. */
static void test_read_after_lost_write(void **state)
{
	(void)state;
	send_text("SET a 1\r\nGET a\r\nSET a 2\r\n");
	expect_asked(0, 3);
	refuse(1, IKADA_UNKNOWN);
	finish(1);
	refuse(0, IKADA_UNKNOWN);
	expect("-UNKNOWN the request may have been executed, or may yet be\r\n"
	       "-CLUSTERDOWN the leader was lost before it answered this read\r\n+OK\r\n");
}

static void test_write_after_read(void **state)
{
	(void)state;
	send_text("SET a 1\r\n");
	finish_all();
	send_text("GET a\r\nGET a\r\nSET a 2\r\nGET a\r\n");
	expect_asked(1, 0);
	expect("+OK\r\n");
	finish(0);
	expect_asked(0, 2);
	expect("$1\r\n1\r\n$1\r\n1\r\n");
	finish_all();
	expect("+OK\r\n$1\r\n2\r\n");
}

/* What comes while reads are under way gathers, and goes out together. */
static void test_reads_gather(void **state)
{
	(void)state;
	send_text("GET a\r\n");
	send_text("GET b\r\n");
	send_text("GET c\r\nPING\r\n");
	expect_asked(1, 0);
	finish(0);
	expect("$-1\r\n");
	expect_asked(1, 0);
	finish(0);
	expect("$-1\r\n$-1\r\n+PONG\r\n");
	assert_int_equal(world->asked_total, 2);
}

static void test_local_after_read(void **state)
{
	(void)state;
	send_text("GET a\r\nCLIENT SETNAME me\r\nGET b\r\nCLIENT GETNAME\r\nGET\r\n");
	expect("");
	finish_all();
	expect("$-1\r\n+OK\r\n$-1\r\n$2\r\nme\r\n-ERR wrong number of arguments for 'get' command\r\n");
}

/* ---- Outcomes ---- */

static void test_outcomes(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++)
		send_text("INCR a\r\n");
	refuse(1, IKADA_BUSY);
	refuse(1, IKADA_UNKNOWN);
	refuse(2, IKADA_TOO_LARGE);
	refuse(0, IKADA_NO_LEADER);
	expect("-CLUSTERDOWN no leader took the request; it was not executed\r\n"
	       "-BUSY too many requests are under way, or the leader's disk is full; this one was not executed\r\n"
	       "-UNKNOWN the request may have been executed, or may yet be\r\n");
	finish(0);
	expect(":1\r\n-ERR the request is larger than 16777152 bytes\r\n");
}

#define READ_LOST "-CLUSTERDOWN the leader was lost before it answered this read\r\n"

static void test_reads_fail_together(void **state)
{
	(void)state;
	static const uint8_t none[] = {0, 0, 0, 0}, many[] = {4, 0, 0, 0};
	static const char three[] = "GET a\r\nGET b\r\nGET c\r\n";
	send_text(three);
	refuse(0, IKADA_UNKNOWN);
	expect(READ_LOST READ_LOST READ_LOST);
	send_text(three);
	refuse(0, IKADA_BUSY);
	expect_size(3 * strlen("-BUSY too many requests are under way, or the leader's disk is full; this one was not "
			       "executed\r\n"));
	/* Answers that make no sense. */
	send_text(three);
	finish_with(0, IKADA_DONE, none, 4);
	send_text(three);
	finish_with(0, IKADA_DONE, many, 3);
	send_text(three);
	finish_with(0, IKADA_DONE, many, 4);
	expect(READ_LOST READ_LOST READ_LOST READ_LOST READ_LOST READ_LOST READ_LOST READ_LOST READ_LOST);
	send_text("PING\r\n");
	expect("+PONG\r\n");
}

/* ---- Ends ---- */

static void test_quit(void **state)
{
	(void)state;
	send_text("INCR a\r\nQUIT\r\nINCR a\r\n");
	expect_asked(0, 1);
	assert_false(world->client.closed);
	finish(0);
	expect(":1\r\n+OK\r\n");
	assert_true(world->client.closed && world->client.flushed);
	assert_int_equal(world->server->conn_count, 0);
}

static void test_broken(void **state)
{
	(void)state;
	send_text("GET a\r\nINCR a\r\n*1\r\n$104857600\r\nINCR a\r\n");
	finish(0);
	assert_false(world->client.closed);
	finish(0);
	expect("$-1\r\n:1\r\n-ERR Protocol error: invalid bulk length\r\n");
	assert_true(world->client.closed && world->client.flushed);
	expect_asked(0, 0);
}

/* An error stands behind the reads before it. */
static void test_broken_after_read(void **state)
{
	(void)state;
	send_text("GET a\r\n*x\r\n");
	expect("");
	finish(0);
	expect("$-1\r\n-ERR Protocol error: invalid multibulk length\r\n");
	assert_true(world->client.closed);
}

static void test_http(void **state)
{
	(void)state;
	send_text("POST / HTTP/1.1\r\nHost: here\r\n\r\nSET a 1\r\n");
	expect("");
	assert_true(world->client.closed);
	expect_asked(0, 0);
}

static void test_client_goes(void **state)
{
	(void)state;
	send_text("INCR a\r\n");
	send_text("INCR a\r\nPING\r\nGET a\r\n");
	expect_asked(0, 3);
	finish(1);
	client_goes();
	expect_asked(0, 0);
	connect_client();
	send_text("GET a\r\nGET b\r\n*3\r\n$3\r\nSET\r\n");
	expect_asked(1, 0);
	client_goes();
	expect_asked(0, 0);
	assert_int_equal(world->server->conn_count, 0);
}

static void test_close_under_way(void **state)
{
	(void)state;
	send_text("INCR a\r\nPING\r\nINCR a\r\nGET a\r\n");
	/* The rest is teardown's. */
}

static void test_clients_max(void **state)
{
	(void)state;
	world->server->conn_count += SERVER_CLIENTS_MAX - 1;
	struct env_stream first = world->client;
	connect_client();
	expect("-ERR max number of clients reached\r\n");
	assert_true(world->client.closed && world->client.flushed);
	world->server->conn_count -= SERVER_CLIENTS_MAX - 1;
	assert_int_equal(world->server->rejected_conns, 1);
	buf_free(&world->client.out);
	world->client = first;
}

/* ---- Bounds ---- */

static void test_many_writes(void **state)
{
	(void)state;
	static const char line[] = "*2\r\n$4\r\nINCR\r\n$1\r\na\r\n";
	const size_t total = 10000;
	size_t sent = 0;
	struct buf expected;
	buf_init(&expected, &world->mem);
	for (size_t i = 1; i <= total; i++)
		buf_printf(&expected, ":%zu\r\n", i);
	while (sent < total && !world->client.paused) {
		send_bytes(line, sizeof line - 1);
		sent++;
	}
	assert_int_equal(world->asked_count, 1024);
	assert_true(world->client.paused);
	assert_true(sent < 1024 + 2 * 64 * 1024 / sizeof line);
	while (buf_size(&world->client.out) < buf_size(&expected)) {
		for (; sent < total && !world->client.paused; sent++)
			send_bytes(line, sizeof line - 1);
		finish(0);
		assert_true(LIST_OF(world->server->conns.next, struct conn, at)->call_count <= 1024);
		assert_int_equal(world->asked_count > 0, buf_size(&world->client.out) < buf_size(&expected));
	}
	assert_int_equal(buf_size(&world->client.out), buf_size(&expected));
	assert_memory_equal(buf_at(&world->client.out), buf_at(&expected), buf_size(&expected));
	buf_free(&expected);
}

static void send_set(const char *options, size_t value_size)
{
	char header[64];
	char *value = calloc(1, value_size);
	int parts = options == NULL ? 3 : 4;
	send_bytes(header, (size_t)snprintf(header, sizeof header, "*%d\r\n$3\r\nSET\r\n$1\r\na\r\n$%zu\r\n", parts,
					    value_size));
	send_bytes(value, value_size);
	send_text("\r\n");
	if (options != NULL)
		send_bytes(header, (size_t)snprintf(header, sizeof header, "$%zu\r\n%s\r\n", strlen(options), options));
	free(value);
}

static void test_large_writes(void **state)
{
	(void)state;
	for (int i = 0; i < 12; i++)
		send_set(NULL, MIB);
	expect_asked(0, 4);
	finish(0);
	expect_asked(0, 3);
	finish(0);
	expect_asked(0, 2);
	finish(0);
	expect_asked(0, 4);
	finish_all();
	expect_size(12 * 5);
	/* One larger than the bound goes alone. */
	send_set(NULL, 5 * MIB);
	send_set(NULL, 1);
	expect_asked(0, 1);
	finish_all();
	/* Replies that may hold values count. */
	for (int i = 0; i < 30; i++)
		send_set("GET", 1);
	expect_asked(0, 16);
	finish_all();
}

static void test_many_reads(void **state)
{
	(void)state;
	const size_t total = 3000;
	struct buf all;
	buf_init(&all, &world->mem);
	for (size_t i = 0; i < total; i++)
		buf_printf(&all, "GET a\r\n");
	send_bytes(buf_at(&all), buf_size(&all));
	buf_free(&all);
	for (int i = 0; i < 3; i++) {
		expect_asked(1, 0);
		finish(0);
	}
	expect_asked(0, 0);
	expect_size(total * 5);
}

/* Much comes while a read is under way: it waits, and what becomes of that read is not its business. */
static void test_much_behind_a_read(void **state)
{
	(void)state;
	size_t sent = 0;
	send_text("GET a\r\n");
	for (; !world->client.paused; sent++)
		send_text("GET b\r\n");
	assert_int_equal(sent, (64 * 1024 + 6) / 7);
	expect_asked(1, 0);
	refuse(0, IKADA_UNKNOWN);
	expect(READ_LOST);
	finish_all();
	expect_size(sent * 5);
	assert_false(world->client.paused);
}

/* An answer that ended early: the rest is asked for again, in order. */
static void test_long_answers(void **state)
{
	(void)state;
	send_set(NULL, MIB);
	finish(0);
	expect("+OK\r\n");
	send_text("SET b 1\r\n");
	finish(0);
	expect("+OK\r\n");
	send_text("GET a\r\nGET b\r\nGET a\r\nSET b 2\r\nGET b\r\n");
	expect_asked(1, 0);
	finish(0);
	end_turn();
	end_turn();
	expect_size(MIB + 12); /* "$1048576", the value, line ends. */
	expect_asked(1, 0);
	finish(0);
	end_turn();
	end_turn();
	expect_size(7 + MIB + 12);
	expect_asked(0, 2);
	finish_all();
	expect("+OK\r\n$1\r\n2\r\n");
}

/* A client that asks and does not listen. */
static void test_slow_client(void **state)
{
	(void)state;
	send_set(NULL, MIB);
	finish(0);
	expect("+OK\r\n");
	end_turn();
	world->client.held = true;
	struct buf all;
	buf_init(&all, &world->mem);
	for (int i = 0; i < 10; i++)
		buf_printf(&all, "GET a\r\n");
	send_bytes(buf_at(&all), buf_size(&all));
	buf_free(&all);
	finish(0);
	expect_asked(0, 0); /* More than 1 MiB is pending. */
	assert_true(end_turn());
	assert_false(end_turn()); /* The system did not take it: it will tell. */
	for (int i = 0; i < 100; i++)
		send_text("PING\r\n");
	expect_asked(0, 0);
	for (int i = 1; i < 10; i++) {
		world->client.taken = buf_size(&world->client.out);
		world->client.events->drained(world->client.context);
		expect_asked(1, 0);
		finish(0);
		end_turn();
		end_turn();
	}
	world->client.taken = buf_size(&world->client.out);
	world->client.events->drained(world->client.context);
	expect_size(10 * (MIB + 12) + 100 * 7);
}

/* The system takes all at the end of the turn, and says nothing. */
static void test_fast_client(void **state)
{
	(void)state;
	send_set(NULL, MIB);
	finish(0);
	expect("+OK\r\n");
	send_text("GET a\r\nGET a\r\n");
	finish(0);
	expect_asked(0, 0);
	assert_true(end_turn());
	expect_asked(0, 0);
	assert_false(end_turn());
	expect_asked(1, 0);
	finish(0);
	expect_size(2 * (MIB + 12));
}

/* Stalled, and then gone. */
static void test_slow_client_goes(void **state)
{
	(void)state;
	send_set(NULL, MIB);
	finish(0);
	world->client.held = true;
	send_text("GET a\r\nGET a\r\n");
	finish(0);
	client_goes();
	assert_false(end_turn());
}

static void test_too_large(void **state)
{
	(void)state;
	static char value[10 * 1024 * 1024];
	send_text("INCR n\r\n*5\r\n$4\r\nMSET\r\n$1\r\na\r\n$10485760\r\n");
	send_bytes(value, sizeof value);
	send_text("\r\n$1\r\nb\r\n$10485760\r\n");
	send_bytes(value, sizeof value);
	send_text("\r\nDBSIZE\r\n*3\r\n$4\r\nECHO\r\n$10485760\r\n");
	send_bytes(value, sizeof value);
	send_text("\r\n$10485760\r\n");
	send_bytes(value, sizeof value);
	send_text("\r\n");
	finish_all();
	expect(":1\r\n-ERR the request is larger than 16777152 bytes\r\n:1\r\n"
	       "-ERR the request is larger than 16777152 bytes\r\n");
}

/* ---- All together ---- */

static uint64_t next_random(uint64_t *x)
{
	*x = *x * 6364136223846793005u + 1442695040888963407u;
	return *x >> 33;
}

static void put_random_request(struct buf *out, uint64_t *x)
{
	static const char *const requests[] = {
		"INCR a",
		"INCR b",
		"GET a",
		"GET b",
		"GET a",
		"SET a 5",
		"SET a x",
		"APPEND b 1",
		"DEL a",
		"PING",
		"MGET a b",
		"SET b 1 GET",
		"FOO",
		"GET",
		"DBSIZE",
		"FLUSHALL",
		"ECHO hi",
		"CLIENT SETNAME me",
		"CLIENT GETNAME",
		"SET c 1 NX",
		"EXISTS a b c",
		"*0",
		"",
		"SET a b c",
	};
	buf_printf(out, "%s\r\n", requests[next_random(x) % (sizeof requests / sizeof *requests)]);
}

/* Requests one by one, each ended before the next, are what the client must see however they are piped and end. */
static void test_any_interleaving(void **state)
{
	struct mem mem;
	struct buf requests, expected;
	mem_init(&mem, false);
	buf_init(&requests, &mem);
	buf_init(&expected, &mem);
	for (uint64_t x = 1, round = 0; round < 500; round++) {
		setup(state);
		for (int i = 0; i < 64; i++) {
			size_t from = buf_size(&requests);
			put_random_request(&requests, &x);
			send_bytes(buf_at(&requests) + from, buf_size(&requests) - from);
			finish_all();
		}
		buf_add(&expected, buf_at(&world->client.out), buf_size(&world->client.out));
		teardown(state);
		setup(state);
		while (buf_size(&requests) > 0 || world->asked_count > 0) {
			if (buf_size(&requests) > 0 && next_random(&x) % 4 == 0) {
				size_t n = 1 + next_random(&x) % 80;
				n = n < buf_size(&requests) ? n : buf_size(&requests);
				send_bytes(buf_at(&requests), n);
				buf_consume(&requests, n);
			} else if (world->asked_count > 0) {
				finish(next_random(&x) % world->asked_count);
			}
		}
		assert_int_equal(buf_size(&world->client.out), buf_size(&expected));
		assert_memory_equal(buf_at(&world->client.out), buf_at(&expected), buf_size(&expected));
		buf_consume(&expected, buf_size(&expected));
		teardown(state);
	}
	buf_free(&requests);
	buf_free(&expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_writes_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_writes_together, setup, teardown),
		cmocka_unit_test_setup_teardown(test_writes_end_together, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replies_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_after_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_after_lost_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_after_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reads_gather, setup, teardown),
		cmocka_unit_test_setup_teardown(test_local_after_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outcomes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reads_fail_together, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_after_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_http, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_under_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clients_max, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_much_behind_a_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fast_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_client_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
		cmocka_unit_test(test_any_interleaving),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
