/*
 * A linearizability checker, for the history of one key (linearizability is local: Herlihy and Wing 1990, theorem 1).
 *
 * The key is a register with strings and numbers, as the server's commands see it. Operations that were refused had no
 * effect and are not given. One whose outcome is unknown may take effect at any time after its call, or never.
 */
#ifndef IKADA_SIM_LINEAR_H
#define IKADA_SIM_LINEAR_H

#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Those that only read come first. */
enum linear_kind {
	LINEAR_GET,
	LINEAR_STRLEN,
	LINEAR_EXISTS,
	LINEAR_SET,
	LINEAR_SET_NX,
	LINEAR_SET_XX,
	LINEAR_SET_GET, /* Replies with what was there before. */
	LINEAR_APPEND,	/* `arg` holds a byte that no number has. */
	LINEAR_INCRBY,
	LINEAR_DEL,
};

enum linear_reply_kind { LINEAR_NIL, LINEAR_OK, LINEAR_NUMBER, LINEAR_BYTES, LINEAR_ERROR };

struct linear_reply {
	enum linear_reply_kind kind;
	uint32_t size;	/* BYTES */
	uint64_t hash;	/* BYTES: linear_hash of them. */
	int64_t number; /* NUMBER */
};

enum { LINEAR_ARG_BYTES = 24 };
#define LINEAR_NONE UINT32_MAX

struct linear_op {
	enum linear_kind kind;
	bool done; /* Else its outcome is unknown. */
	uint8_t arg_size;
	char arg[LINEAR_ARG_BYTES]; /* The value of SET and APPEND. */
	int64_t delta;		    /* INCRBY */
	/* When it was called and when it returned, on one counter: all of these are different. */
	uint64_t called;
	uint64_t returned;	   /* If done. */
	uint32_t after;		   /* Its place is behind that of the done operation ops[after]; LINEAR_NONE. */
	struct linear_reply reply; /* If done. */
};

/* Continues `hash` (LINEAR_HASH_START at the start) over `size` bytes. */
#define LINEAR_HASH_START 0xcbf29ce484222325u
uint64_t linear_hash(uint64_t hash, const void *bytes, size_t size);

enum linear_verdict {
	LINEAR_YES,
	LINEAR_NO,
	LINEAR_UNDECIDED, /* More than `budget` states were needed. A failure, not a pass. */
};

/*
 * Judges the history of one key, which is absent at first. `ops` ascend by `called`. Every state visited costs 16 to
 * 64 bytes; *states (may be NULL) is their number.
 */
enum linear_verdict linear_check(struct mem *mem, const struct linear_op *ops, uint32_t count, uint64_t budget,
				 uint64_t *states);

/* One line about an operation, for people. */
void linear_print(const struct linear_op *op, char *text, size_t size);

#endif
