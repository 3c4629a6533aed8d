/* A command with its arguments, in place in memory that somebody else owns. Argument 0 is the command's name. */
#ifndef IKADA_SERVER_REQUEST_H
#define IKADA_SERVER_REQUEST_H

#include "base/check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const uint8_t *bytes;
	size_t size;
};

/* Where an argument stands, relative to `base`: the memory below may move while a request is still coming in. */
struct span {
	uint32_t at;
	uint32_t size;
};

struct request {
	const uint8_t *base;
	const struct span *spans;
	uint32_t count;
};

static inline struct slice request_arg(const struct request *request, uint32_t i)
{
	CHECK_OP(i, <, request->count);
	struct slice slice = {request->base + request->spans[i].at, request->spans[i].size};
	return slice;
}

/* Without regard to case; `text` is lower case ASCII. */
static inline bool slice_is(struct slice slice, const char *text)
{
	for (size_t i = 0; i < slice.size; i++) {
		uint8_t c = slice.bytes[i];
		if (c >= 'A' && c <= 'Z')
			c = (uint8_t)(c + ('a' - 'A'));
		if (text[i] == '\0' || c != (uint8_t)text[i])
			return false;
	}
	return text[slice.size] == '\0';
}

/* A canonical decimal number: no sign but '-', no leading zeros, no spaces. */
bool slice_integer(struct slice slice, int64_t *value);

#endif
