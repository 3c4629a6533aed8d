/*
 * What `ikada member` and `ikada transfer` share: a request to the leader, found by asking any node, and the fields of
 * INFO.
 */
#ifndef IKADA_CLI_ASK_H
#define IKADA_CLI_ASK_H

#include "cli/client.h"

#include <stdbool.h>
#include <stdint.h>

enum { ASK_ADDRESS_BYTES = 320, ASK_ERROR_BYTES = 512 };

struct ask {
	char home[ASK_ADDRESS_BYTES];    /* Of the node that the user named. */
	char address[ASK_ADDRESS_BYTES]; /* Of the node that is asked: the leader, while one is known and answers. */
	int64_t deadline_ms;
	char error[ASK_ERROR_BYTES];
};

/* At HOST and PORT; `wait_s` from now the caller gives up. */
void ask_begin(struct ask *ask, const char *host, uint64_t port, uint64_t wait_s);
bool ask_in_time(const struct ask *ask);
void ask_pause(void);
/* One question. NULL: `error` says why, and the next one goes home. The caller frees the reply. */
redisReply *ask_once(struct ask *ask, const char *command);
/*
 * One that only the leader takes; goes where it is, and waits while another change is under way. False: it was not
 * taken, `error` says why.
 */
bool ask_leader(struct ask *ask, const char *command);
/* The number in "NAME:NUMBER" of an INFO; false: there is none. */
bool ask_number(const char *info, const char *name, uint64_t *number);

#endif
