/* Replies to GET and SET, in both versions of the protocol, counted as they come, in whatever pieces. */
#include "cli/bench_load_internal.h"

#include <string.h>

void load_reply_reset(struct load_conn *conn)
{
	conn->skip = 0;
	conn->line_size = 0;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* A whole line is in conn->line, without its end. */
static enum load_reply judge(struct load_conn *conn)
{
	uint64_t size = 0;
	switch (conn->line[0]) {
	case '+':
	case ':':
	case '_':
		return REPLY_GOOD;
	case '-':
		memmove(conn->line, conn->line + 1, sizeof conn->line - 1);
		return REPLY_ERROR;
	case '$':
		if (strcmp(conn->line, "$-1") == 0)
			return REPLY_GOOD;
		for (const char *digit = conn->line + 1; *digit != '\0'; digit++) {
			if (*digit < '0' || *digit > '9' || size > UINT32_MAX)
				return REPLY_BROKEN;
			size = size * 10 + (uint64_t)(*digit - '0');
		}
		conn->skip = size + 2;
		return REPLY_MORE;
	default:
		return REPLY_BROKEN;
	}
}

enum load_reply load_reply_next(struct load_conn *conn, const char **at, const char *end)
{
	while (*at < end) {
		if (conn->skip > 0) {
			size_t step = smaller((size_t)(end - *at), conn->skip);
			*at += step;
			conn->skip -= step;
			if (conn->skip == 0)
				return REPLY_GOOD;
			continue;
		}
		const char *stop = memchr(*at, '\n', (size_t)(end - *at));
		size_t size = (size_t)((stop == NULL ? end : stop) - *at);
		size_t kept = smaller(size, sizeof conn->line - 1 - conn->line_size);
		memcpy(conn->line + conn->line_size, *at, kept);
		conn->line_size += (uint32_t)kept;
		*at += size + (stop != NULL);
		if (stop == NULL)
			return REPLY_MORE;
		if (conn->line_size > 0 && conn->line[conn->line_size - 1] == '\r')
			conn->line_size--;
		conn->line[conn->line_size] = '\0';
		conn->line_size = 0;
		enum load_reply reply = judge(conn);
		if (reply != REPLY_MORE)
			return reply;
	}
	return REPLY_MORE;
}
