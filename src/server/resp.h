/*
 * The Redis protocol: requests in, replies out. A connection speaks version 2 until it asks for 3; requests are the
 * same in both, and of the replies most.
 *
 * Requests are arrays of bulk strings ("*2\r\n$3\r\nGET\r\n$1\r\na\r\n"), or inline: a line of words, which may be
 * quoted. The parser reads them in place and keeps what it has judged, so a request costs time linear in its bytes
 * however it is cut into pieces, and its outcome does not depend on the cuts.
 */
#ifndef IKADA_SERVER_RESP_H
#define IKADA_SERVER_RESP_H

#include "base/buf.h"
#include "base/entry.h"
#include "server/request.h"

enum {
	RESP_ARGS_MAX = 1024 * 1024,
	RESP_LINE_BYTES_MAX = 64 * 1024, /* An inline request, or the header of an array or a bulk string. */
};
/* A bulk string. With the longest key beside it, it still fits into an entry. */
#define RESP_BULK_BYTES_MAX (ENTRY_PAYLOAD_BYTES_MAX - (size_t)128 * 1024)
/* All arguments together, each with the four bytes that its length takes in an entry. */
#define RESP_REQUEST_BYTES_MAX (ENTRY_PAYLOAD_BYTES_MAX - 64)

enum resp_protocol { RESP_2 = 2, RESP_3 = 3 };

enum resp_next {
	RESP_MORE,	/* No whole request yet. */
	RESP_REQUEST,	/* One is whole: resp_request, then resp_consume. */
	RESP_TOO_LARGE, /* One over RESP_REQUEST_BYTES_MAX went by, its bytes were dropped; then resp_consume. */
	RESP_BROKEN,	/* `error` says why. Nothing that follows can be understood. */
};

struct resp_parser {
	struct mem *mem;
	struct span *spans; /* Arguments that are whole. */
	uint32_t span_room;
	uint32_t count;	   /* Arguments that are whole, or were skipped. */
	uint32_t expected; /* Arguments of the array under way; 0 none. */
	size_t at;	   /* Bytes of the buffer already judged. */
	size_t scanned;	   /* Bytes from `at` on known to hold no end of line. */
	size_t bulk_size;  /* Of the bulk string under way; while skipping: what is left of it, with its end. */
	size_t bytes;	   /* Of all arguments so far, as RESP_REQUEST_BYTES_MAX counts them. */
	bool in_bulk;
	bool skipping;
	bool whole;
	char error[64]; /* Empty: none. */
};

void resp_init(struct resp_parser *parser, struct mem *mem);
void resp_free(struct resp_parser *parser);

/* Judges what the buffer holds. Changes the buffer: drops what is no request, takes quotes off in place. */
enum resp_next resp_parse(struct resp_parser *parser, struct buf *in);
/* The whole request; valid until the buffer changes. */
struct request resp_request(const struct resp_parser *parser, const struct buf *in);
/* Drops the whole request from the buffer. */
void resp_consume(struct resp_parser *parser, struct buf *in);

/* Replies. `out` may be NULL: nobody waits for it. */
void resp_put_status(struct buf *out, const char *text);
/* `text` begins with its code: "ERR ...". Line ends become spaces. */
__attribute__((format(printf, 2, 3))) void resp_put_error(struct buf *out, const char *format, ...);
void resp_put_integer(struct buf *out, int64_t value);
void resp_put_bulk(struct buf *out, const void *bytes, size_t size);
void resp_put_text(struct buf *out, const char *text); /* As a bulk string. */
void resp_put_null(struct buf *out, enum resp_protocol protocol);
void resp_put_array(struct buf *out, size_t count);			       /* Then `count` replies. */
void resp_put_set(struct buf *out, enum resp_protocol protocol, size_t count); /* The same. */
void resp_put_map(struct buf *out, enum resp_protocol protocol, size_t count); /* Then `count` times two replies. */
/* Text for people, with line ends. */
void resp_put_verbatim(struct buf *out, enum resp_protocol protocol, const void *bytes, size_t size);

enum { RESP_INTEGER_BYTES = 20 }; /* The longest: "-9223372036854775808". */
/* Writes a number in decimal, without a terminating zero; returns its size. */
size_t resp_print_integer(char *at, int64_t value);

#endif
