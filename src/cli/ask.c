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

bool ask_in_time(const struct ask *ask)
{
	return now_ms() < ask->deadline_ms;
}

void ask_pause(void)
{
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
	nanosleep(&pause, NULL);
}

void ask_remember(struct ask *ask, const char *address)
{
	bool known = *address == '\0' || ask->other_count == ASK_OTHERS_MAX || strcmp(address, ask->home) == 0;
	for (uint32_t i = 0; !known && i < ask->other_count; i++)
		known = strcmp(address, ask->others[i]) == 0;
	if (!known)
		snprintf(ask->others[ask->other_count++], ASK_ADDRESS_BYTES, "%.300s", address);
}

static bool is_home(const struct ask *ask)
{
	return strcmp(ask->address, ask->home) == 0;
}

/* Whoever was asked is not there, or knows no leader. False: there is nobody else to ask. */
static bool go_elsewhere(struct ask *ask)
{
	const char *next = ask->home;
	if (is_home(ask) && ask->other_count == 0)
		return false;
	if (is_home(ask))
		next = ask->others[ask->next_other++ % ask->other_count];
	snprintf(ask->address, sizeof ask->address, "%s", next);
	return true;
}

static redisReply *ask_here(struct ask *ask, const char *command, bool *sent)
{
	struct client_call call = {.address = ask->address, .command = command};
	client_ask(&call, 1, ASK_MS);
	if (call.reply == NULL)
		snprintf(ask->error, sizeof ask->error, "%s: %s", ask->address, call.error);
	*sent = call.sent;
	return call.reply;
}

redisReply *ask_once(struct ask *ask, const char *command)
{
	bool sent;
	redisReply *reply = ask_here(ask, command, &sent);
	if (reply == NULL)
		go_elsewhere(ask);
	return reply;
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

enum ask_outcome ask_leader(struct ask *ask, const char *command)
{
	for (;;) {
		bool sent, again;
		redisReply *reply = ask_here(ask, command, &sent);
		if (reply == NULL) {
			again = go_elsewhere(ask);
			if (sent)
				return ASK_UNSURE;
		} else {
			bool taken = reply->type != REDIS_REPLY_ERROR;
			if (!taken)
				snprintf(ask->error, sizeof ask->error, "%s",
					 strncmp(reply->str, "ERR ", 4) == 0 ? reply->str + 4 : reply->str);
			freeReplyObject(reply);
			if (taken)
				return ASK_TAKEN;
			again = follow(ask) || passes(ask);
			if (strstr(ask->error, "no leader is known") != NULL)
				go_elsewhere(ask);
		}
		if (!again || !ask_in_time(ask))
			return ASK_REFUSED;
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
