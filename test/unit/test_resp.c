/* The protocol: a stream means the same however it is cut, what is wrong is named, nothing hostile takes memory. */
#include "server/resp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What came of a stream, readable: each argument as "[bytes]", each request ended by "; ". */
struct result {
	struct mem mem;
	struct buf in;
	struct resp_parser parser;
	struct buf told;
	bool broken;
};

static void start(struct result *r)
{
	memset(r, 0, sizeof *r);
	mem_init(&r->mem, true);
	buf_init(&r->in, &r->mem);
	buf_init(&r->told, &r->mem);
	resp_init(&r->parser, &r->mem);
}

static void stop(struct result *r)
{
	buf_free(&r->in);
	buf_free(&r->told);
	resp_free(&r->parser);
	assert_int_equal(r->mem.bytes, 0);
}

static void tell_request(struct result *r)
{
	struct request request = resp_request(&r->parser, &r->in);
	for (uint32_t i = 0; i < request.count; i++) {
		struct slice arg = request_arg(&request, i);
		buf_add(&r->told, "[", 1);
		buf_add(&r->told, arg.bytes, arg.size);
		buf_add(&r->told, "]", 1);
	}
	buf_add(&r->told, "; ", 2);
}

static void feed(struct result *r, const void *bytes, size_t size)
{
	enum resp_next next;
	if (r->broken)
		return;
	buf_add(&r->in, bytes, size);
	while ((next = resp_parse(&r->parser, &r->in)) == RESP_REQUEST || next == RESP_TOO_LARGE) {
		assert_int_equal(resp_parse(&r->parser, &r->in), next); /* Asking twice changes nothing. */
		if (next == RESP_REQUEST)
			tell_request(r);
		else
			buf_printf(&r->told, "too large; ");
		resp_consume(&r->parser, &r->in);
	}
	if (next == RESP_BROKEN) {
		r->broken = true;
		buf_printf(&r->told, "%s", r->parser.error);
		assert_int_equal(resp_parse(&r->parser, &r->in), RESP_BROKEN);
	}
}

static void check_told(const struct result *r, const char *expected, size_t size)
{
	assert_int_equal(buf_size(&r->told), size);
	if (size > 0)
		assert_memory_equal(buf_at(&r->told), expected, size);
}

struct stream {
	const char *bytes;
	size_t size;
	const char *told;
	size_t told_size;
};
#define STREAM(bytes, told)                                                                                            \
	{                                                                                                              \
		bytes, sizeof(bytes) - 1, told, sizeof(told) - 1                                                       \
	}

static const struct stream streams[] = {
	STREAM("", ""),
	STREAM("*1\r\n$4\r\nPING\r\n", "[PING]; "),
	STREAM("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "[SET][a][]; [GET][a]; "),
	STREAM("*2\r\n$4\r\nECHO\r\n$6\r\n*1\r\n$1\r\n", "[ECHO][*1\r\n$1]; "),
	STREAM("*2\r\n$4\r\nECHO\r\n$5\r\n\0\r\n\0\xff\r\nPING\r\n", "[ECHO][\0\r\n\0\xff]; [PING]; "),
	/* Nothing is skipped, and what follows counts. */
	STREAM("*0\r\n*-5\r\n\r\n\n   \r\n*1\r\n$4\r\nPING\r\n\r\n", "[PING]; "),
	STREAM("*-9223372036854775808\r\nPING\r\n", "[PING]; "),
	/* Inline. */
	STREAM("PING\r\nECHO hello\nSET  a\t1 \r\n", "[PING]; [ECHO][hello]; [SET][a][1]; "),
	STREAM("SET \"a b\" 'c d'\r\n", "[SET][a b][c d]; "),
	STREAM("A \"\\x41\\x4a\\xzz\\n\\r\\t\\b\\a\\q\\\"\\\\\" x\n", "[A][AJxzz\n\r\t\b\aq\"\\][x]; "),
	STREAM("A 'it\\'s \\n' \"\" ''\n", "[A][it's \\n][][]; "),
	STREAM("A a\"b c\" d'e'\n", "[A][ab c][de]; "),
	STREAM("A b\\ c \\x41\n", "[A][b\\][c][\\x41]; "),
	STREAM("A b\0c d\nB\n", "[A][b]; [B]; "),
	STREAM("A b\rc\r\n", "[A][b][c]; "),
	STREAM("\v\fA\n", "[A]; "),
	STREAM("$3\r\nfoo\r\n", "[$3]; [foo]; "),
	/* Cut short: no request. */
	STREAM("*2\r\n$4\r\nPING\r\n$1\r\na", ""),
	STREAM("*2\r\n$4\r\nPING\r\n$1\r\na\r", ""),
	STREAM("PING", ""),
	/* Wrong. What came before it counts. */
	STREAM("PING\r\n*x\r\nPING\r\n", "[PING]; Protocol error: invalid multibulk length"),
	STREAM("*\r\n", "Protocol error: invalid multibulk length"),
	STREAM("*+1\r\n", "Protocol error: invalid multibulk length"),
	STREAM("*01\r\n", "Protocol error: invalid multibulk length"),
	STREAM("* 1\r\n", "Protocol error: invalid multibulk length"),
	STREAM("*1048577\r\n", "Protocol error: invalid multibulk length"),
	STREAM("*9223372036854775808\r\n", "Protocol error: invalid multibulk length"),
	STREAM("*18446744073709551617\r\n", "Protocol error: invalid multibulk length"),
	STREAM("*1\r\n:4\r\n", "Protocol error: expected '$', got ':'"),
	STREAM("*1\r\n\r\n", "Protocol error: expected '$', got ' '"),
	STREAM("*1\r\nPING\r\n", "Protocol error: expected '$', got 'P'"),
	STREAM("*1\r\n$\r\n", "Protocol error: invalid bulk length"),
	STREAM("*1\r\n$-1\r\n", "Protocol error: invalid bulk length"),
	STREAM("*1\r\n$abc\r\n", "Protocol error: invalid bulk length"),
	STREAM("*1\r\n$4a\r\nPING\r\n", "Protocol error: invalid bulk length"),
	STREAM("*1\r\n$104857600\r\n", "Protocol error: invalid bulk length"),
	STREAM("*1\r\n$18446744073709551615\r\n", "Protocol error: invalid bulk length"),
	STREAM("SET a \"b\r\n", "Protocol error: unbalanced quotes in request"),
	STREAM("SET a 'b\r\n", "Protocol error: unbalanced quotes in request"),
	STREAM("SET a \"b\"c\r\n", "Protocol error: unbalanced quotes in request"),
	STREAM("SET a 'b'c\r\n", "Protocol error: unbalanced quotes in request"),
	STREAM("SET a \"b\\\"\r\n", "Protocol error: unbalanced quotes in request"),
};

static void test_each_cut(void **state)
{
	(void)state;
	for (size_t s = 0; s < sizeof streams / sizeof *streams; s++) {
		const struct stream *stream = &streams[s];
		for (size_t first = 0; first <= stream->size; first++) {
			for (size_t second = first; second <= stream->size; second++) {
				struct result r;
				start(&r);
				feed(&r, stream->bytes, first);
				feed(&r, stream->bytes + first, second - first);
				feed(&r, stream->bytes + second, stream->size - second);
				check_told(&r, stream->told, stream->told_size);
				stop(&r);
			}
		}
	}
}

static void test_byte_by_byte(void **state)
{
	(void)state;
	for (size_t s = 0; s < sizeof streams / sizeof *streams; s++) {
		struct result r;
		start(&r);
		for (size_t i = 0; i < streams[s].size; i++)
			feed(&r, streams[s].bytes + i, 1);
		check_told(&r, streams[s].told, streams[s].told_size);
		stop(&r);
	}
}

/* All good streams behind each other, in pieces of each size. */
static void test_pipeline(void **state)
{
	(void)state;
	struct mem mem;
	struct buf all, told;
	mem_init(&mem, true);
	buf_init(&all, &mem);
	buf_init(&told, &mem);
	for (size_t s = 0; s < sizeof streams / sizeof *streams; s++) {
		const struct stream *stream = &streams[s];
		if (stream->told_size == 0 || memcmp(stream->told + stream->told_size - 2, "; ", 2) != 0)
			continue;
		buf_add(&all, stream->bytes, stream->size);
		buf_add(&told, stream->told, stream->told_size);
	}
	for (size_t piece = 1; piece <= buf_size(&all); piece++) {
		struct result r;
		start(&r);
		for (size_t at = 0; at < buf_size(&all); at += piece) {
			size_t left = buf_size(&all) - at;
			feed(&r, buf_at(&all) + at, left < piece ? left : piece);
		}
		check_told(&r, (const char *)buf_at(&told), buf_size(&told));
		stop(&r);
	}
	buf_free(&all);
	buf_free(&told);
}

static void test_line_limit(void **state)
{
	(void)state;
	static char line[RESP_LINE_BYTES_MAX + 2];
	for (int over = 0; over < 2; over++) {
		for (size_t cut = RESP_LINE_BYTES_MAX - 1; cut <= RESP_LINE_BYTES_MAX + 1; cut++) {
			struct result r;
			size_t size = RESP_LINE_BYTES_MAX + (size_t)over;
			memset(line, 'x', size);
			line[size] = '\n';
			start(&r);
			feed(&r, line, cut);
			feed(&r, line + cut, size + 1 - cut);
			assert_int_equal(r.broken, over);
			if (over)
				assert_string_equal(r.parser.error, "Protocol error: too big inline request");
			else
				assert_int_equal(buf_size(&r.told), size + 4);
			stop(&r);
		}
	}
	struct result r;
	start(&r);
	memset(line, '1', sizeof line);
	line[0] = '*';
	feed(&r, line, sizeof line);
	assert_string_equal(r.parser.error, "Protocol error: too big mbulk count string");
	stop(&r);
	start(&r);
	line[0] = '$';
	feed(&r, "*1\r\n", 4);
	feed(&r, line, sizeof line);
	assert_string_equal(r.parser.error, "Protocol error: too big bulk count string");
	stop(&r);
}

/* What is announced takes no memory before it is there. */
static void test_announcements(void **state)
{
	(void)state;
	struct result r;
	start(&r);
	feed(&r, "*1048576\r\n$16000000\r\nab", 23);
	assert_false(r.broken);
	assert_true(r.mem.bytes < 4096);
	stop(&r);
}

static void feed_bulk(struct result *r, size_t size, size_t piece)
{
	static char zeros[65536];
	char header[32];
	feed(r, header, (size_t)snprintf(header, sizeof header, "$%zu\r\n", size));
	for (size_t left = size; left > 0;) {
		size_t n = left < piece ? left : piece;
		feed(r, zeros, n);
		left -= n;
		assert_true(r->mem.bytes < 3 * RESP_REQUEST_BYTES_MAX);
	}
	feed(r, "\r\n", 2);
}

static void test_largest_bulk(void **state)
{
	(void)state;
	struct result r;
	start(&r);
	feed(&r, "*1\r\n", 4);
	feed_bulk(&r, RESP_BULK_BYTES_MAX, 65536);
	assert_int_equal(buf_size(&r.told), RESP_BULK_BYTES_MAX + 4);
	stop(&r);
	start(&r);
	feed(&r, "*1\r\n", 4);
	feed_bulk(&r, RESP_BULK_BYTES_MAX + 1, 65536);
	assert_true(r.broken);
	stop(&r);
}

/* A request that is too large is dropped while it comes in; the next one is understood. */
static void test_oversized_request(void **state)
{
	(void)state;
	static const size_t pieces[] = {65536, 65535, 4099};
	for (size_t p = 0; p < 3; p++) {
		struct result r;
		start(&r);
		feed(&r, "*6\r\n$4\r\nMSET\r\n", 14);
		feed_bulk(&r, 10, pieces[p]);
		feed_bulk(&r, RESP_BULK_BYTES_MAX, pieces[p]);
		feed_bulk(&r, RESP_BULK_BYTES_MAX, pieces[p]);
		assert_true(buf_size(&r.in) < 16);
		feed_bulk(&r, 0, pieces[p]);
		assert_int_equal(buf_size(&r.told), 0);
		feed_bulk(&r, 70000, pieces[p]);
		feed(&r, "PING\r\n*1\r\n$1\r\na\r\n", 17);
		check_told(&r, "too large; [PING]; [a]; ", 24);
		stop(&r);
	}
}

/* The limit counts four bytes for each argument, as an entry does. */
static void test_many_arguments(void **state)
{
	(void)state;
	struct result r;
	start(&r);
	char header[32];
	feed(&r, header, (size_t)snprintf(header, sizeof header, "*%d\r\n", RESP_ARGS_MAX));
	for (int i = 0; i < RESP_ARGS_MAX - 1; i++)
		feed(&r, "$0\r\n\r\n", 6);
	assert_int_equal(buf_size(&r.told), 0);
	feed(&r, "$0\r\n\r\nPING\r\n", 12);
	assert_int_equal(buf_size(&r.told), (size_t)RESP_ARGS_MAX * 2 + 2 + 8);
	assert_true(r.mem.bytes < (size_t)16 * 1024 * 1024);
	stop(&r);
}

static void test_integers(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool good;
		int64_t value;
	} cases[] = {
		{"0", true, 0},
		{"7", true, 7},
		{"-1", true, -1},
		{"10", true, 10},
		{"9223372036854775807", true, INT64_MAX},
		{"-9223372036854775808", true, INT64_MIN},
		{"9223372036854775808", false, 0},
		{"-9223372036854775809", false, 0},
		{"18446744073709551616", false, 0},
		{"99999999999999999999", false, 0},
		{"123456789012345678901", false, 0},
		{"", false, 0},
		{"-", false, 0},
		{"-0", false, 0},
		{"00", false, 0},
		{"01", false, 0},
		{"-01", false, 0},
		{"+1", false, 0},
		{" 1", false, 0},
		{"1 ", false, 0},
		{"1a", false, 0},
		{"--1", false, 0},
		{"0x1", false, 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int64_t value = 42;
		struct slice slice = {(const uint8_t *)cases[i].text, strlen(cases[i].text)};
		assert_int_equal(slice_integer(slice, &value), cases[i].good);
		if (!cases[i].good)
			continue;
		char text[RESP_INTEGER_BYTES];
		assert_int_equal(value, cases[i].value);
		assert_int_equal(resp_print_integer(text, value), slice.size);
		assert_memory_equal(text, slice.bytes, slice.size);
	}
}

static void test_replies(void **state)
{
	(void)state;
	struct mem mem;
	struct buf out;
	mem_init(&mem, true);
	buf_init(&out, &mem);
	resp_put_status(&out, "OK");
	resp_put_error(&out, "ERR '%s'", "a\r\nb");
	resp_put_integer(&out, INT64_MIN);
	resp_put_bulk(&out, "a\0b", 3);
	resp_put_bulk(&out, NULL, 0);
	resp_put_text(&out, "text");
	resp_put_null(&out, RESP_2);
	resp_put_null(&out, RESP_3);
	resp_put_array(&out, 0);
	resp_put_array(&out, 12);
	resp_put_set(&out, RESP_2, 2);
	resp_put_set(&out, RESP_3, 2);
	resp_put_map(&out, RESP_2, 2);
	resp_put_map(&out, RESP_3, 2);
	resp_put_verbatim(&out, RESP_2, "ab\r\n", 4);
	resp_put_verbatim(&out, RESP_3, "ab\r\n", 4);
	resp_put_verbatim(&out, RESP_3, NULL, 0);
	static const char expected[] = "+OK\r\n-ERR 'a  b'\r\n:-9223372036854775808\r\n$3\r\na\0b\r\n$0\r\n\r\n"
				       "$4\r\ntext\r\n$-1\r\n_\r\n*0\r\n*12\r\n*2\r\n~2\r\n*4\r\n%2\r\n"
				       "$4\r\nab\r\n\r\n=8\r\ntxt:ab\r\n\r\n=4\r\ntxt:\r\n";
	assert_int_equal(buf_size(&out), sizeof expected - 1);
	assert_memory_equal(buf_at(&out), expected, sizeof expected - 1);
	/* Where nobody waits. */
	resp_put_status(NULL, "OK");
	resp_put_error(NULL, "ERR");
	resp_put_integer(NULL, 1);
	resp_put_bulk(NULL, "a", 1);
	resp_put_text(NULL, "a");
	resp_put_null(NULL, RESP_2);
	resp_put_null(NULL, RESP_3);
	resp_put_set(NULL, RESP_3, 1);
	resp_put_map(NULL, RESP_3, 1);
	resp_put_verbatim(NULL, RESP_3, "a", 1);
	resp_put_array(NULL, 1);
	buf_free(&out);
	assert_int_equal(mem.bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_cut),	  cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_pipeline),	  cmocka_unit_test(test_line_limit),
		cmocka_unit_test(test_announcements),	  cmocka_unit_test(test_largest_bulk),
		cmocka_unit_test(test_oversized_request), cmocka_unit_test(test_many_arguments),
		cmocka_unit_test(test_integers),	  cmocka_unit_test(test_replies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
