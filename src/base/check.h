/*
 * Checks: a programmer's error ends the program, in release builds too, and says which operands broke which rule.
 *
 * Never used for what a client, a peer, a file or a flag brings: hostile bytes are a decode error, not a CHECK.
 */
#ifndef IKADA_BASE_CHECK_H
#define IKADA_BASE_CHECK_H

#include <stdint.h>

_Noreturn void check_failed(const char *file, int line, const char *what);
_Noreturn void check_failed_op(const char *file, int line, const char *what, uint64_t left, uint64_t right);

#define CHECK(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))

/* Both operands are unsigned 64-bit values (or convert to them without loss); each is evaluated once or twice. */
#define CHECK_OP(left, op, right)                                                                                      \
	(((left)op(right))                                                                                             \
		 ? (void)0                                                                                             \
		 : check_failed_op(__FILE__, __LINE__, #left " " #op " " #right, (uint64_t)(left), (uint64_t)(right)))

#endif
