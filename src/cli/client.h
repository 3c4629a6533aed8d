/*
 * What the subcommands that are clients share: asks some nodes at once, each one question, and waits for all of them.
 *
 * Keeps nothing: a connection lives for one question. Nobody waits longer than the deadline, but for names of hosts:
 * the system's resolver takes the time that it takes.
 */
#ifndef IKADA_CLI_CLIENT_H
#define IKADA_CLI_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include <hiredis/hiredis.h>

enum { CLIENT_CALLS_MAX = 32, CLIENT_ERROR_BYTES = 160 };

struct client_call {
	const char *address; /* "HOST:PORT", "[HOST]:PORT". */
	const char *command; /* A line, as for redisCommand, without arguments. */
	redisReply *reply;   /* NULL: `error` says why. freeReplyObject is the caller's. */
	bool sent;	     /* It went out: without a reply it is not known what became of it. */
	char error[CLIENT_ERROR_BYTES];
};

void client_ask(struct client_call *calls, size_t count, int timeout_ms);

#endif
