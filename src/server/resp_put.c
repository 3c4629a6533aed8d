/* The reply side of resp.h. */
#include "server/resp.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

size_t resp_print_integer(char *at, int64_t value)
{
	char digits[RESP_INTEGER_BYTES];
	size_t first = sizeof digits;
	uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	do {
		digits[--first] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest > 0);
	if (value < 0)
		digits[--first] = '-';
	memcpy(at, digits + first, sizeof digits - first);
	return sizeof digits - first;
}

enum { HEADER_BYTES_MAX = 1 + RESP_INTEGER_BYTES + 2 };

/* Writes a type byte, a number and a line end; returns their size. */
static size_t print_header(char *at, char type, int64_t value)
{
	at[0] = type;
	size_t size = 1 + resp_print_integer(at + 1, value);
	at[size++] = '\r';
	at[size++] = '\n';
	return size;
}

static void put_header(struct buf *out, char type, int64_t value)
{
	char *at = (char *)buf_reserve(out, HEADER_BYTES_MAX);
	buf_added(out, print_header(at, type, value));
}

/* Type byte, text, line end. */
static void put_line(struct buf *out, char type, const char *text)
{
	size_t size = strlen(text);
	char *at = (char *)buf_reserve(out, size + 3);
	at[0] = type;
	memcpy(at + 1, text, size);
	memcpy(at + 1 + size, "\r\n", 2);
	buf_added(out, size + 3);
}

void resp_put_status(struct buf *out, const char *text)
{
	if (out != NULL)
		put_line(out, '+', text);
}

void resp_put_error(struct buf *out, const char *format, ...)
{
	char text[1024];
	if (out == NULL)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	for (char *c = text; *c != '\0'; c++)
		if (*c == '\r' || *c == '\n')
			*c = ' ';
	put_line(out, '-', text);
}

void resp_put_integer(struct buf *out, int64_t value)
{
	if (out != NULL)
		put_header(out, ':', value);
}

/* Type byte, the size of both parts, the parts. */
static void put_sized(struct buf *out, char type, const char *first, const void *bytes, size_t size)
{
	size_t first_size = strlen(first);
	char *start = (char *)buf_reserve(out, HEADER_BYTES_MAX + first_size + size + 2);
	char *at = start + print_header(start, type, (int64_t)(first_size + size));
	memcpy(at, first, first_size);
	at += first_size;
	if (size > 0)
		memcpy(at, bytes, size);
	memcpy(at + size, "\r\n", 2);
	buf_added(out, (size_t)(at + size + 2 - start));
}

void resp_put_bulk(struct buf *out, const void *bytes, size_t size)
{
	if (out != NULL)
		put_sized(out, '$', "", bytes, size);
}

void resp_put_text(struct buf *out, const char *text)
{
	resp_put_bulk(out, text, strlen(text));
}

void resp_put_verbatim(struct buf *out, enum resp_protocol protocol, const void *bytes, size_t size)
{
	if (out == NULL)
		return;
	if (protocol == RESP_3)
		put_sized(out, '=', "txt:", bytes, size);
	else
		put_sized(out, '$', "", bytes, size);
}

void resp_put_null(struct buf *out, enum resp_protocol protocol)
{
	if (out == NULL)
		return;
	if (protocol == RESP_3)
		buf_add(out, "_\r\n", 3);
	else
		buf_add(out, "$-1\r\n", 5);
}

void resp_put_array(struct buf *out, size_t count)
{
	if (out != NULL)
		put_header(out, '*', (int64_t)count);
}

void resp_put_set(struct buf *out, enum resp_protocol protocol, size_t count)
{
	if (out != NULL)
		put_header(out, protocol == RESP_3 ? '~' : '*', (int64_t)count);
}

void resp_put_map(struct buf *out, enum resp_protocol protocol, size_t count)
{
	if (out == NULL)
		return;
	if (protocol == RESP_3)
		put_header(out, '%', (int64_t)count);
	else
		put_header(out, '*', (int64_t)count * 2);
}
