/* hiredis: see test/clients/run. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPECT(condition)                                                                                              \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #condition);                       \
			exit(1);                                                                                       \
		}                                                                                                      \
	} while (0)

static redisContext *open_node(const char *host, const char *port)
{
	const struct timeval timeout = {10, 0};
	redisContext *context = redisConnectWithTimeout(host, atoi(port), timeout);
	EXPECT(context != NULL && context->err == 0);
	EXPECT(redisSetTimeout(context, timeout) == REDIS_OK);
	return context;
}

/* Whether the reply to the command is this text, or status. */
static int answers(redisContext *context, const char *command, const char *expected)
{
	redisReply *reply = redisCommand(context, command);
	int same = reply != NULL && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS) &&
		   strcmp(reply->str, expected) == 0;
	freeReplyObject(reply);
	return same;
}

/* Tries what has no harm in being done twice, until it works. */
static void await(redisContext *context, const char *command, const char *expected)
{
	const struct timespec pause = {0, 50 * 1000000};
	for (int i = 0; !answers(context, command, expected); i++) {
		EXPECT(context->err == 0 && i < 600);
		nanosleep(&pause, NULL);
	}
}

static void handshake(redisContext *context)
{
	redisReply *reply = redisCommand(context, "HELLO 2 AUTH default none SETNAME hiredis");
	EXPECT(reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 14);
	EXPECT(strcmp(reply->element[4]->str, "proto") == 0 && reply->element[5]->integer == 2);
	freeReplyObject(reply);
	EXPECT(answers(context, "CLIENT GETNAME", "hiredis"));
}

static void large_value(redisContext *context)
{
	const size_t size = (size_t)4 * 1024 * 1024;
	char *value = malloc(size);
	EXPECT(value != NULL);
	for (size_t i = 0; i < size; i++)
		value[i] = (char)(i * 7);
	redisReply *reply = redisCommand(context, "SET hiredis-large %b", value, size);
	EXPECT(reply != NULL && reply->type == REDIS_REPLY_STATUS);
	freeReplyObject(reply);
	reply = redisCommand(context, "GETDEL hiredis-large");
	EXPECT(reply != NULL && reply->type == REDIS_REPLY_STRING && (size_t)reply->len == size);
	EXPECT(memcmp(reply->str, value, size) == 0);
	freeReplyObject(reply);
	free(value);
}

static void pipeline(redisContext *context)
{
	redisReply *reply = redisCommand(context, "DEL hiredis-n");
	freeReplyObject(reply);
	for (int i = 0; i < 200; i++) {
		EXPECT(redisAppendCommand(context, "INCR hiredis-n") == REDIS_OK);
		EXPECT(redisAppendCommand(context, "GET hiredis-n") == REDIS_OK);
	}
	for (int i = 1; i <= 200; i++) {
		EXPECT(redisGetReply(context, (void **)&reply) == REDIS_OK && reply->integer == i);
		freeReplyObject(reply);
		EXPECT(redisGetReply(context, (void **)&reply) == REDIS_OK && atoi(reply->str) == i);
		freeReplyObject(reply);
	}
}

int main(int argc, char **argv)
{
	char line[16];
	EXPECT(argc == 4);
	printf("version %d.%d.%d, RESP2\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
	redisContext *context = open_node(argv[1], argv[2]);
	redisContext *at_leader = open_node(argv[1], argv[3]);
	handshake(context);
	EXPECT(answers(context, "PING", "PONG"));
	EXPECT(answers(context, "SET hiredis value", "OK"));
	EXPECT(answers(context, "GET hiredis", "value"));
	EXPECT(answers(at_leader, "GET hiredis", "value"));
	redisReply *reply = redisCommand(context, "GET hiredis-none");
	EXPECT(reply != NULL && reply->type == REDIS_REPLY_NIL);
	freeReplyObject(reply);
	large_value(context);
	pipeline(context);

	EXPECT(answers(context, "SET hiredis-kept before", "OK"));
	printf("kill\n");
	fflush(stdout);
	EXPECT(fgets(line, sizeof line, stdin) != NULL && strcmp(line, "killed\n") == 0);
	await(context, "SET hiredis-new after", "OK");
	await(context, "GET hiredis-kept", "before");
	EXPECT(!answers(at_leader, "GET hiredis-kept", "before") && at_leader->err != 0);
	redisFree(at_leader);
	at_leader = open_node(argv[1], argv[2]);
	await(at_leader, "GET hiredis-new", "after");
	await(at_leader, "GET hiredis-n", "200");
	redisFree(at_leader);
	redisFree(context);
	return 0;
}
