/*
 * The commands that the state machine knows: a table. What only concerns one connection or one node is in local.h.
 *
 * A request is judged in itself by command_check, before it is proposed and again when it is applied: so nothing gets
 * into the log that a later version could understand differently.
 */
#ifndef IKADA_SERVER_COMMAND_H
#define IKADA_SERVER_COMMAND_H

#include "base/buf.h"
#include "server/request.h"

struct machine;

/* Numbers in the log: never changed, never given twice. */
enum command_code {
	COMMAND_GET = 1,
	COMMAND_SET = 2,
	COMMAND_DEL = 3,
	COMMAND_EXISTS = 4,
	COMMAND_INCR = 5,
	COMMAND_INCRBY = 6,
	COMMAND_DECR = 7,
	COMMAND_DECRBY = 8,
	COMMAND_APPEND = 9,
	COMMAND_STRLEN = 10,
	COMMAND_DBSIZE = 11,
	COMMAND_FLUSHALL = 12,
	COMMAND_MGET = 13,
	COMMAND_MSET = 14,
	COMMAND_UNLINK = 15,
	COMMAND_TOUCH = 16,
	COMMAND_TYPE = 17,
	COMMAND_GETSET = 18,
	COMMAND_GETDEL = 19,
	COMMAND_SETNX = 20,
	COMMAND_MSETNX = 21,
	COMMAND_GETRANGE = 22,
	COMMAND_SUBSTR = 23,
	COMMAND_SETRANGE = 24,
	COMMAND_FLUSHDB = 25,
	COMMAND_KEYS = 26,
	COMMAND_CODES, /* One more than the last. */
};

enum command_flag {
	COMMAND_WRITES = 1,	   /* Changes the state; else it is a read. */
	COMMAND_VALUE = 2,	   /* A write that answers with a value ... */
	COMMAND_VALUE_IF_MORE = 4, /* ... that may do so when it has more arguments than it must. */
};

/* What clients ask about a command. */
struct command_about {
	const char *name; /* Lower case. */
	int arity;	  /* Arguments with the name; negative: at least so many. */
	/* Which arguments are keys: the first (0: none), the last (-1: the last of all), and the step. */
	int key_first;
	int key_last;
	int key_step;
	const char *since; /* The version of Redis that brought it. */
	const char *group;
	const char *summary;
};

struct command {
	struct command_about about;
	unsigned flags;
	/* Judges arguments beyond arity and keys; false, with a reply, when they are wrong. NULL: nothing to judge. */
	bool (*check)(const struct request *request, struct buf *reply);
	/* `reply` may be NULL. Argument 0 is not to be looked at. */
	void (*run)(struct machine *machine, const struct request *request, struct buf *reply);
};

/* A reply with more bytes than this is refused: it must fit into a frame between nodes. */
#define COMMAND_REPLY_BYTES_MAX ((size_t)32 * 1024 * 1024)

const struct command *command_find(struct slice name); /* NULL: there is none. */
const struct command *command_of_code(uint64_t code);  /* NULL: this program knows none. */
enum command_code command_code(const struct command *command);
uint32_t command_count(void);

/* False, with the reply that says so, when the request is wrong in itself. */
bool command_check(const struct command *command, const struct request *request, struct buf *reply);

/* The first key and one past the last, in steps of about->key_step; both 0 when there are none. The arity fits. */
void command_keys(const struct command_about *about, uint32_t count, uint32_t *first, uint32_t *end);

bool command_arity_fits(int arity, uint32_t count);
void command_put_wrong_arity(struct buf *reply, const char *name);
/* An argument as a number; false, with a reply, when it is none. */
bool command_integer(const struct request *request, uint32_t i, int64_t *value, struct buf *reply);
void command_put_no_integer(struct buf *reply);
void command_put_syntax_error(struct buf *reply);
void command_put_reply_too_large(struct buf *reply);

/* command_strings.c */
bool set_check(const struct request *request, struct buf *reply);
bool increment_check(const struct request *request, struct buf *reply);
bool decrement_check(const struct request *request, struct buf *reply);
bool mset_check(const struct request *request, struct buf *reply);
bool msetnx_check(const struct request *request, struct buf *reply);
bool getrange_check(const struct request *request, struct buf *reply);
bool setrange_check(const struct request *request, struct buf *reply);
void get_run(struct machine *machine, const struct request *request, struct buf *reply);
void set_run(struct machine *machine, const struct request *request, struct buf *reply);
void incr_run(struct machine *machine, const struct request *request, struct buf *reply);
void incrby_run(struct machine *machine, const struct request *request, struct buf *reply);
void decr_run(struct machine *machine, const struct request *request, struct buf *reply);
void decrby_run(struct machine *machine, const struct request *request, struct buf *reply);
void append_run(struct machine *machine, const struct request *request, struct buf *reply);
void strlen_run(struct machine *machine, const struct request *request, struct buf *reply);
void mget_run(struct machine *machine, const struct request *request, struct buf *reply);
void mset_run(struct machine *machine, const struct request *request, struct buf *reply);
void msetnx_run(struct machine *machine, const struct request *request, struct buf *reply);
void setnx_run(struct machine *machine, const struct request *request, struct buf *reply);
void getset_run(struct machine *machine, const struct request *request, struct buf *reply);
void getdel_run(struct machine *machine, const struct request *request, struct buf *reply);
void getrange_run(struct machine *machine, const struct request *request, struct buf *reply);
void setrange_run(struct machine *machine, const struct request *request, struct buf *reply);

/* command_keys.c */
bool flushall_check(const struct request *request, struct buf *reply);
void del_run(struct machine *machine, const struct request *request, struct buf *reply);
void exists_run(struct machine *machine, const struct request *request, struct buf *reply);
void type_run(struct machine *machine, const struct request *request, struct buf *reply);
void keys_run(struct machine *machine, const struct request *request, struct buf *reply);
void dbsize_run(struct machine *machine, const struct request *request, struct buf *reply);
void flushall_run(struct machine *machine, const struct request *request, struct buf *reply);

#endif
