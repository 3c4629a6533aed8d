#include "cli/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ASK_MS 2000
#define PAUSE_MS 100

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void ask_begin(struct ask *ask, const char *host, uint64_t port, uint64_t wait_s)
{
	memset(ask, 0, sizeof *ask);
	snprintf(ask->address, sizeof ask->address, strchr(host, ':') == NULL ? "%.256s:%ju" : "[%.256s]:%ju", host,
		 (uintmax_t)port);
	memcpy(ask->home, ask->address, sizeof ask->home);
	ask->deadline_ms = now_ms() + (int64_t)wait_s * 1000;
}

/* Whoever was asked is not the leader, or not any more: the node that the user named hears of the next one. */
static void go_home(struct ask *ask)
{
	memcpy(ask->address, ask->home, sizeof ask->address);
}

static bool is_home(const struct ask *ask)
{
	return strcmp(ask->address, ask->home) == 0;
}

bool ask_in_time(const struct ask *ask)
{
	return now_ms() < ask->deadline_ms;
}

void ask_pause(void)
{
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
	nanosleep(&pause, NULL);
}

redisReply *ask_once(struct ask *ask, const char *command)
{
	struct client_call call = {.address = ask->address, .command = command};
	client_ask(&call, 1, ASK_MS);
	if (call.reply == NULL) {
		snprintf(ask->error, sizeof ask->error, "%s: %s", ask->address, call.error);
		go_home(ask);
	}
	return call.reply;
}

/* "... the leader is node N at HOST:PORT": goes there. */
static bool follow(struct ask *ask)
{
	static const char at[] = " at ";
	const char *leader = strstr(ask->error, "the leader is node ");
	const char *address = leader == NULL ? NULL : strstr(leader, at);
	if (address == NULL)
		return false;
	snprintf(ask->address, sizeof ask->address, "%.300s", address + sizeof at - 1);
	return true;
}

/* What may pass by itself. */
static bool passes(const struct ask *ask)
{
	return strstr(ask->error, "try again") != NULL || strstr(ask->error, "no leader is known") != NULL ||
	       strstr(ask->error, "has not been seen") != NULL || strstr(ask->error, "has been seen") != NULL;
}

bool ask_leader(struct ask *ask, const char *command)
{
	for (;;) {
		bool at_home = is_home(ask);
		redisReply *reply = ask_once(ask, command);
		bool answered = reply != NULL, taken = answered && reply->type != REDIS_REPLY_ERROR;
		if (answered && !taken)
			snprintf(ask->error, sizeof ask->error, "%s",
				 strncmp(reply->str, "ERR ", 4) == 0 ? reply->str + 4 : reply->str);
		freeReplyObject(reply);
		if (taken)
			return true;
		bool again = answered ? follow(ask) || passes(ask) : !at_home;
		if (!again || !ask_in_time(ask))
			return false;
		if (strstr(ask->error, "no leader is known") != NULL)
			go_home(ask);
		ask_pause();
	}
}

bool ask_number(const char *info, const char *name, uint64_t *number)
{
	size_t size = strlen(name);
	for (const char *line = info; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, size) == 0 && line[size] == ':') {
			*number = strtoull(line + size + 1, NULL, 10);
			return true;
		}
	}
	return false;
}
