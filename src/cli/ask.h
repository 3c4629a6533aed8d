/*
 * What `ikada member` and `ikada transfer` share: a request to the leader, found by asking any node, and the fields of
 * INFO. When a node does not answer, the one that the user named is asked, or then another that was heard of.
 */
#ifndef IKADA_CLI_ASK_H
#define IKADA_CLI_ASK_H

#include "cli/client.h"

#include <stdbool.h>
#include <stdint.h>

enum { ASK_ADDRESS_BYTES = 320, ASK_ERROR_BYTES = 512, ASK_OTHERS_MAX = 16 };

struct ask {
	char home[ASK_ADDRESS_BYTES];	 /* Of the node that the user named. */
	char address[ASK_ADDRESS_BYTES]; /* Of the node that is asked: the leader, while one is known and answers. */
	char others[ASK_OTHERS_MAX][ASK_ADDRESS_BYTES];
	uint32_t other_count, next_other;
	int64_t deadline_ms;
	char error[ASK_ERROR_BYTES];
};

enum ask_outcome {
	ASK_REFUSED, /* Certainly not taken: `error` says why. */
	ASK_TAKEN,   /* By the node at `address`. */
	ASK_UNSURE,  /* It went out, and no answer came. */
};

/* At HOST and PORT; `wait_s` from now the caller gives up. */
void ask_begin(struct ask *ask, const char *host, uint64_t port, uint64_t wait_s);
bool ask_in_time(const struct ask *ask);
void ask_pause(void);
void ask_remember(struct ask *ask, const char *address); /* Of a node that may be asked as well; "" is none. */
/* One question. NULL: `error` says why, and another node is asked next. The caller frees the reply. */
redisReply *ask_once(struct ask *ask, const char *command);
/* One that only the leader takes; goes where it is, and waits while another change is under way. */
enum ask_outcome ask_leader(struct ask *ask, const char *command);
/* The number in "NAME:NUMBER" of an INFO; false: there is none. */
bool ask_number(const char *info, const char *name, uint64_t *number);

#endif
