/* Where a function that may say no puts its sentence: the caller's room, always with an end. */
#ifndef IKADA_NODE_ANSWER_H
#define IKADA_NODE_ANSWER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct answer {
	char *text;
	size_t size;
};

/* Says why, and is false. */
__attribute__((format(printf, 2, 3))) static inline bool no(const struct answer *answer, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(answer->text, answer->size, format, args);
	va_end(args);
	return false;
}

#endif
