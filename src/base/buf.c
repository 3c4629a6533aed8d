#include "base/buf.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define KEEP_BYTES ((size_t)256 * 1024)

void buf_init(struct buf *buf, struct mem *mem)
{
	memset(buf, 0, sizeof *buf);
	buf->mem = mem;
	buf->keep = KEEP_BYTES;
}

void buf_keep(struct buf *buf, size_t keep)
{
	buf->keep = keep;
}

void buf_free(struct buf *buf)
{
	mem_free(buf->mem, buf->bytes);
	buf->bytes = NULL;
	buf->start = buf->end = buf->room = 0;
}

uint8_t *buf_reserve(struct buf *buf, size_t n)
{
	if (buf->room - buf->end >= n && buf->bytes != NULL)
		return buf->bytes + buf->end;
	size_t size = buf_size(buf);
	if (buf->start > 0 && buf->start >= size && buf->room - size >= n) {
		memmove(buf->bytes, buf->bytes + buf->start, size);
	} else {
		size_t room = buf->room * 2 > size + n ? buf->room * 2 : size + n;
		if (room < 256)
			room = 256;
		uint8_t *bytes = mem_alloc(buf->mem, room);
		if (size > 0)
			memcpy(bytes, buf_at(buf), size);
		mem_free(buf->mem, buf->bytes);
		buf->bytes = bytes;
		buf->room = room;
	}
	buf->start = 0;
	buf->end = size;
	return buf->bytes + size;
}

void buf_added(struct buf *buf, size_t n)
{
	CHECK_OP(n, <=, buf->room - buf->end);
	buf->end += n;
}

void buf_add(struct buf *buf, const void *bytes, size_t n)
{
	if (n == 0)
		return;
	memcpy(buf_reserve(buf, n), bytes, n);
	buf_added(buf, n);
}

void buf_consume(struct buf *buf, size_t n)
{
	CHECK_OP(n, <=, buf_size(buf));
	buf->start += n;
	if (buf->start < buf->end)
		return;
	if (buf->room > buf->keep)
		buf_free(buf);
	buf->start = 0;
	buf->end = 0;
}

void buf_cut(struct buf *buf, size_t size)
{
	CHECK_OP(size, <=, buf_size(buf));
	buf->end = buf->start + size;
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	CHECK(n >= 0);
	char *at = (char *)buf_reserve(buf, (size_t)n + 1);
	va_start(args, format);
	vsnprintf(at, (size_t)n + 1, format, args);
	va_end(args);
	buf_added(buf, (size_t)n);
}
