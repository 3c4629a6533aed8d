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

/* A type byte, a number, a line end. */
static void put_header(struct buf *out, char type, int64_t value)
{
	char text[RESP_INTEGER_BYTES + 3];
	text[0] = type;
	size_t size = 1 + resp_print_integer(text + 1, value);
	text[size++] = '\r';
	text[size++] = '\n';
	buf_add(out, text, size);
}

void resp_put_status(struct buf *out, const char *text)
{
	if (out == NULL)
		return;
	buf_add(out, "+", 1);
	buf_add(out, text, strlen(text));
	buf_add(out, "\r\n", 2);
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
	buf_add(out, "-", 1);
	buf_add(out, text, strlen(text));
	buf_add(out, "\r\n", 2);
}

void resp_put_integer(struct buf *out, int64_t value)
{
	if (out != NULL)
		put_header(out, ':', value);
}

void resp_put_bulk(struct buf *out, const void *bytes, size_t size)
{
	if (out == NULL)
		return;
	put_header(out, '$', (int64_t)size);
	buf_add(out, bytes, size);
	buf_add(out, "\r\n", 2);
}

void resp_put_text(struct buf *out, const char *text)
{
	resp_put_bulk(out, text, strlen(text));
}

void resp_put_null(struct buf *out)
{
	if (out != NULL)
		buf_add(out, "$-1\r\n", 5);
}

void resp_put_array(struct buf *out, size_t count)
{
	if (out != NULL)
		put_header(out, '*', (int64_t)count);
}
