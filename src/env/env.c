#include "env/env.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void env_log(struct env *env, enum env_level level, const char *room, const char *format, ...)
{
	char text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	env->ops->log(env, level, room, text);
}

_Noreturn void env_fatal(struct env *env, const char *format, ...)
{
	char text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	env->ops->fatal(env, text);
	abort(); /* Not reached: fatal never returns. */
}
