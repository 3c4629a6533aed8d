/*
 * The request side of resp.h. Everything here is hostile until proven.
 *
 * Memory: the buffer holds at most one request of RESP_REQUEST_BYTES_MAX and one bulk string more; a request that grows
 * beyond is dropped while it comes in. Spans grow only with arguments that came in whole, never with announced ones.
 */
#include "server/resp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPANS_FIRST = 8, SPANS_KEEP = 1024 };

/* What the functions below say beside enum resp_next: something was dropped or judged, look again. */
enum { AGAIN = -1 };

void resp_init(struct resp_parser *p, struct mem *mem)
{
	memset(p, 0, sizeof *p);
	p->mem = mem;
}

void resp_free(struct resp_parser *p)
{
	mem_free(p->mem, p->spans);
	resp_init(p, p->mem);
}

struct request resp_request(const struct resp_parser *p, const struct buf *in)
{
	CHECK(p->whole && !p->skipping);
	struct request request = {buf_at(in), p->spans, p->count};
	return request;
}

void resp_consume(struct resp_parser *p, struct buf *in)
{
	CHECK(p->whole);
	buf_consume(in, p->at);
	if (p->span_room > SPANS_KEEP) {
		mem_free(p->mem, p->spans);
		p->spans = NULL;
		p->span_room = 0;
	}
	p->count = 0;
	p->expected = 0;
	p->at = 0;
	p->scanned = 0;
	p->bytes = 0;
	p->in_bulk = false;
	p->skipping = false;
	p->whole = false;
}

bool slice_integer(struct slice slice, int64_t *value)
{
	size_t i = 0;
	bool negative = slice.size > 0 && slice.bytes[0] == '-';
	uint64_t magnitude = 0;
	if (negative)
		i = 1;
	if (i == slice.size || slice.size > RESP_INTEGER_BYTES)
		return false;
	if (slice.bytes[i] == '0' && slice.size > 1)
		return false;
	for (; i < slice.size; i++) {
		uint8_t c = slice.bytes[i];
		if (c < '0' || c > '9' || magnitude > (UINT64_MAX - 9) / 10)
			return false;
		magnitude = magnitude * 10 + (uint64_t)(c - '0');
	}
	if (magnitude > (uint64_t)INT64_MAX + negative)
		return false;
	*value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	return true;
}

static int broken(struct resp_parser *p, const char *why)
{
	snprintf(p->error, sizeof p->error, "Protocol error: %s", why);
	return RESP_BROKEN;
}

static void add_span(struct resp_parser *p, size_t at, size_t size)
{
	if (p->count == p->span_room) {
		p->span_room = p->span_room == 0 ? SPANS_FIRST : p->span_room * 2;
		p->spans = mem_resize(p->mem, p->spans, p->span_room * sizeof *p->spans);
	}
	p->spans[p->count++] = (struct span){(uint32_t)at, (uint32_t)size};
}

/*
 * Finds `end` behind `at`: AGAIN, and the size of the line without it; or RESP_MORE; or RESP_BROKEN when the line is
 * longer than lines may be. One more byte follows each '\r' that is found: the '\n', which is not judged.
 */
static int find_end(struct resp_parser *p, const struct buf *in, char end, size_t *size, const char *too_long)
{
	size_t have = buf_size(in) - p->at;
	if (have == 0)
		return RESP_MORE;
	const uint8_t *line = buf_at(in) + p->at;
	const uint8_t *found = memchr(line + p->scanned, end, have - p->scanned);
	*size = found == NULL ? have : (size_t)(found - line);
	p->scanned = *size;
	if (*size > RESP_LINE_BYTES_MAX)
		return broken(p, too_long);
	if (found == NULL || (end == '\r' && *size + 1 == have))
		return RESP_MORE;
	p->scanned = 0;
	return AGAIN;
}

static int parse_array_header(struct resp_parser *p, struct buf *in)
{
	size_t size;
	int next = find_end(p, in, '\r', &size, "too big mbulk count string");
	if (next != AGAIN)
		return next;
	struct slice digits = {buf_at(in) + 1, size - 1};
	int64_t count;
	if (!slice_integer(digits, &count) || count > RESP_ARGS_MAX)
		return broken(p, "invalid multibulk length");
	if (count <= 0) {
		buf_consume(in, size + 2);
		return AGAIN;
	}
	p->expected = (uint32_t)count;
	p->at = size + 2;
	return AGAIN;
}

static int parse_bulk_header(struct resp_parser *p, struct buf *in)
{
	size_t size;
	int next = find_end(p, in, '\r', &size, "too big bulk count string");
	if (next != AGAIN)
		return next;
	const uint8_t *line = buf_at(in) + p->at;
	if (line[0] != '$') {
		char why[32];
		snprintf(why, sizeof why, "expected '$', got '%c'", line[0] >= ' ' && line[0] <= '~' ? line[0] : ' ');
		return broken(p, why);
	}
	struct slice digits = {line + 1, size - 1};
	int64_t length;
	if (!slice_integer(digits, &length) || length < 0 || (uint64_t)length > RESP_BULK_BYTES_MAX)
		return broken(p, "invalid bulk length");
	p->at += size + 2;
	p->in_bulk = true;
	p->bulk_size = (size_t)length;
	p->bytes += 4 + (size_t)length;
	if (p->bytes > RESP_REQUEST_BYTES_MAX)
		p->skipping = true;
	if (p->skipping) {
		buf_consume(in, p->at);
		p->at = 0;
		p->bulk_size += 2;
	}
	return AGAIN;
}

static int skip_bulk(struct resp_parser *p, struct buf *in)
{
	size_t n = buf_size(in) < p->bulk_size ? buf_size(in) : p->bulk_size;
	buf_consume(in, n);
	p->bulk_size -= n;
	if (p->bulk_size > 0)
		return RESP_MORE;
	p->in_bulk = false;
	p->count++;
	return AGAIN;
}

static int parse_bulk(struct resp_parser *p, struct buf *in)
{
	if (!p->in_bulk)
		return parse_bulk_header(p, in);
	if (p->skipping)
		return skip_bulk(p, in);
	if (buf_size(in) - p->at < p->bulk_size + 2)
		return RESP_MORE;
	add_span(p, p->at, p->bulk_size);
	p->at += p->bulk_size + 2;
	p->in_bulk = false;
	return AGAIN;
}

/* ---- Inline requests ---- */

static bool is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* A line that is being split; words are moved down in place as their quotes and escapes go. */
struct line {
	uint8_t *bytes;
	size_t size;
	size_t at;
	size_t out;
};

/* The escape at line->at, whose backslash stands there with something behind it. */
static uint8_t take_escape(struct line *line)
{
	static const char names[] = "n\nr\rt\tb\ba\a";
	const uint8_t *p = line->bytes + line->at;
	if (line->at + 3 < line->size && p[1] == 'x' && hex_digit(p[2]) >= 0 && hex_digit(p[3]) >= 0) {
		line->at += 4;
		return (uint8_t)(hex_digit(p[2]) * 16 + hex_digit(p[3]));
	}
	line->at += 2;
	for (size_t i = 0; i + 1 < sizeof names - 1; i += 2)
		if (p[1] == (uint8_t)names[i])
			return (uint8_t)names[i + 1];
	return p[1];
}

/* From behind an opening quote to behind the closing one; false when there is none, or a word goes on behind it. */
static bool take_quoted(struct line *line, uint8_t quote)
{
	while (line->at < line->size) {
		uint8_t c = line->bytes[line->at];
		bool more = line->at + 1 < line->size;
		if (c == quote) {
			line->at++;
			return !more || is_space(line->bytes[line->at]);
		}
		if (c == '\\' && more && quote == '"') {
			c = take_escape(line);
		} else if (c == '\\' && more && line->bytes[line->at + 1] == '\'') {
			c = '\'';
			line->at += 2;
		} else {
			line->at++;
		}
		line->bytes[line->out++] = c;
	}
	return false;
}

static bool take_word(struct line *line)
{
	while (line->at < line->size) {
		uint8_t c = line->bytes[line->at];
		if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
			return true;
		line->at++;
		if (c == '"' || c == '\'')
			return take_quoted(line, c);
		line->bytes[line->out++] = c;
	}
	return true;
}

static int parse_inline(struct resp_parser *p, struct buf *in)
{
	size_t size;
	int next = find_end(p, in, '\n', &size, "too big inline request");
	if (next != AGAIN)
		return next;
	struct line line = {.bytes = buf_at(in), .size = size};
	const uint8_t *zero = memchr(line.bytes, '\0', size);
	if (zero != NULL)
		line.size = (size_t)(zero - line.bytes);
	for (;;) {
		while (line.at < line.size && is_space(line.bytes[line.at]))
			line.at++;
		if (line.at == line.size)
			break;
		size_t start = line.out;
		if (!take_word(&line))
			return broken(p, "unbalanced quotes in request");
		add_span(p, start, line.out - start);
	}
	if (p->count == 0) {
		buf_consume(in, size + 1);
		return AGAIN;
	}
	p->at = size + 1;
	p->whole = true;
	return AGAIN;
}

enum resp_next resp_parse(struct resp_parser *p, struct buf *in)
{
	int next = AGAIN;
	if (p->error[0] != '\0')
		return RESP_BROKEN;
	while (next == AGAIN && !p->whole) {
		if (p->expected > 0)
			next = parse_bulk(p, in);
		else if (buf_size(in) == 0)
			next = RESP_MORE;
		else if (*buf_at(in) == '*')
			next = parse_array_header(p, in);
		else
			next = parse_inline(p, in);
		p->whole |= p->expected > 0 && p->count == p->expected;
	}
	if (!p->whole)
		return (enum resp_next)next;
	return p->skipping ? RESP_TOO_LARGE : RESP_REQUEST;
}
