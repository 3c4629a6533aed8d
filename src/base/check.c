#include "base/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: check failed: %s\n", file, line, what);
	fflush(stderr);
	abort();
}

_Noreturn void check_failed_op(const char *file, int line, const char *what, uint64_t left, uint64_t right)
{
	fprintf(stderr, "%s:%d: check failed: %s (%" PRIu64 " against %" PRIu64 ")\n", file, line, what, left, right);
	fflush(stderr);
	abort();
}
