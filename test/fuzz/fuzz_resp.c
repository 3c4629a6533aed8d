/*
 * The parser of requests: a stream means the same however it is cut, memory is bounded by what came in, and what it
 * takes for a request can be judged and encoded.
 */
#include "base/crc32c.h"
#include "base/rng.h"
#include "server/machine.h"
#include "server/resp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { BYTE_BY_BYTE_MAX = 2048 };

struct stream {
	struct mem mem;
	struct buf in;
	struct buf told; /* What came of it. */
	struct buf scratch;
	struct resp_parser parser;
	size_t fed;
	bool broken;
};

static void start(struct stream *s)
{
	memset(s, 0, sizeof *s);
	mem_init(&s->mem, true);
	buf_init(&s->in, &s->mem);
	buf_init(&s->told, &s->mem);
	buf_init(&s->scratch, &s->mem);
	resp_init(&s->parser, &s->mem);
}

static void stop(struct stream *s)
{
	buf_free(&s->in);
	buf_free(&s->told);
	buf_free(&s->scratch);
	resp_free(&s->parser);
	CHECK_OP(s->mem.bytes, ==, 0);
}

static void tell(struct stream *s, const void *bytes, size_t size)
{
	buf_printf(&s->told, "%zu:", size);
	buf_add(&s->told, bytes, size);
}

/* A command that passes is encoded, and its end is found again. */
static void judge(struct stream *s, const struct request *request)
{
	const struct command *command = command_find(request_arg(request, 0));
	struct buf *scratch = &s->scratch;
	if (command == NULL)
		return;
	bool fits = command_check(command, request, scratch);
	CHECK(fits == (buf_size(scratch) == 0)); /* Refused with a reply, and only then. */
	buf_consume(scratch, buf_size(scratch));
	if (!fits)
		return;
	machine_encode(scratch, command, request);
	CHECK_OP(machine_encoded_bytes(buf_at(scratch), buf_size(scratch)), ==, buf_size(scratch));
	CHECK_OP(buf_size(scratch), <=, ENTRY_PAYLOAD_BYTES_MAX);
	buf_consume(scratch, buf_size(scratch));
}

static void take_request(struct stream *s)
{
	const struct request request = resp_request(&s->parser, &s->in);
	CHECK(request.count > 0);
	buf_printf(&s->told, "*%u ", request.count);
	for (uint32_t i = 0; i < request.count; i++)
		tell(s, request_arg(&request, i).bytes, request_arg(&request, i).size);
	judge(s, &request);
}

static void feed(struct stream *s, const uint8_t *bytes, size_t size)
{
	enum resp_next next;
	if (s->broken)
		return;
	buf_add(&s->in, bytes, size);
	s->fed += size;
	while ((next = resp_parse(&s->parser, &s->in)) == RESP_REQUEST || next == RESP_TOO_LARGE) {
		CHECK(resp_parse(&s->parser, &s->in) == next);
		if (next == RESP_REQUEST)
			take_request(s);
		else
			tell(s, "large", 5);
		resp_consume(&s->parser, &s->in);
	}
	s->broken = next == RESP_BROKEN;
	if (s->broken)
		tell(s, s->parser.error, strlen(s->parser.error));
	/* What stands in the parser and its buffer came in; nothing is set aside for what was announced. */
	CHECK_OP(s->parser.span_room, <=, 2 * s->fed + 16);
	CHECK_OP(s->in.room, <=, 4 * s->fed + 8192);
}

static void compare(const struct stream *whole, const struct stream *cut)
{
	CHECK_OP(buf_size(&whole->told), ==, buf_size(&cut->told));
	CHECK(buf_size(&whole->told) == 0 ||
	      memcmp(buf_at(&whole->told), buf_at(&cut->told), buf_size(&whole->told)) == 0);
	CHECK(whole->broken == cut->broken);
}

/* Pieces of 1 to `piece_max` bytes. */
static void check_cut(const struct stream *whole, const uint8_t *bytes, size_t size, uint64_t seed, size_t piece_max)
{
	struct rng rng = rng_seed(seed);
	struct stream cut;
	start(&cut);
	for (size_t at = 0; at < size;) {
		size_t n = rng_between(&rng, 1, piece_max);
		n = n < size - at ? n : size - at;
		feed(&cut, bytes + at, n);
		at += n;
	}
	compare(whole, &cut);
	stop(&cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	uint64_t seed = crc32c(0, bytes, size);
	struct stream whole;
	start(&whole);
	feed(&whole, bytes, size);
	check_cut(&whole, bytes, size, seed, 7);
	check_cut(&whole, bytes, size, ~seed, size / 2 + 1);
	if (size <= BYTE_BY_BYTE_MAX)
		check_cut(&whole, bytes, size, 0, 1);
	stop(&whole);
	return 0;
}
