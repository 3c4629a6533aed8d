#include "cli/client.h"

#include "base/check.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define HOST_BYTES 256

/* A call under way. */
struct asking {
	struct client_call *call;
	redisContext *context; /* NULL: it has ended. */
	bool connected;
	bool sent;
};

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void end(struct asking *asking, const char *error)
{
	if (error != NULL)
		snprintf(asking->call->error, sizeof asking->call->error, "%s", error);
	asking->call->sent = asking->sent;
	redisFree(asking->context);
	asking->context = NULL;
}

static const char *context_error(const redisContext *context)
{
	return context->err == REDIS_ERR_EOF ? "it closed the connection" : context->errstr;
}

static bool split_address(const char *address, char host[HOST_BYTES], int *port)
{
	const char *colon = strrchr(address, ':');
	if (colon == NULL)
		return false;
	size_t size = (size_t)(colon - address);
	if (size > 1 && *address == '[' && address[size - 1] == ']') {
		address++;
		size -= 2;
	}
	char *rest;
	long number = strtol(colon + 1, &rest, 10);
	if (size == 0 || size >= HOST_BYTES || rest == colon + 1 || *rest != '\0' || number < 1 || number > 65535)
		return false;
	memcpy(host, address, size);
	host[size] = '\0';
	*port = (int)number;
	return true;
}

static void start(struct asking *asking, struct client_call *call)
{
	char host[HOST_BYTES];
	int port;
	memset(asking, 0, sizeof *asking);
	asking->call = call;
	call->reply = NULL;
	call->error[0] = '\0';
	if (!split_address(call->address, host, &port)) {
		end(asking, "this is no HOST:PORT");
		return;
	}
	asking->context = redisConnectNonBlock(host, port);
	if (asking->context == NULL)
		end(asking, "out of memory");
	else if (asking->context->err != 0)
		end(asking, context_error(asking->context));
	else
		redisAppendCommand(asking->context, call->command);
}

/* The socket is ready for what was waited for. */
static void go_on(struct asking *asking)
{
	redisContext *context = asking->context;
	if (!asking->connected) {
		int error = 0;
		socklen_t size = sizeof error;
		if (getsockopt(context->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
			error = errno;
		if (error != 0) {
			end(asking, strerror(error));
			return;
		}
		asking->connected = true;
	}
	if (!asking->sent) {
		int done = 0;
		if (redisBufferWrite(context, &done) != REDIS_OK)
			end(asking, context_error(context));
		asking->sent = done != 0;
		return;
	}
	void *reply = NULL;
	if (redisBufferRead(context) != REDIS_OK || redisGetReplyFromReader(context, &reply) != REDIS_OK) {
		end(asking, context_error(context));
	} else if (reply != NULL) {
		asking->call->reply = reply;
		end(asking, NULL);
	}
}

/* False: nobody is waited for. */
static bool wait_for_some(struct asking *askings, size_t count, int64_t deadline_ms)
{
	struct pollfd fds[CLIENT_CALLS_MAX];
	size_t open = 0;
	for (size_t i = 0; i < count; i++) {
		if (askings[i].context != NULL)
			open++;
		fds[i].fd = askings[i].context == NULL ? -1 : askings[i].context->fd;
		fds[i].events = askings[i].sent ? POLLIN : POLLOUT;
		fds[i].revents = 0;
	}
	int64_t left_ms = deadline_ms - now_ms();
	if (open == 0 || left_ms <= 0)
		return false;
	if (poll(fds, count, (int)left_ms) < 0)
		return errno == EINTR;
	for (size_t i = 0; i < count; i++)
		if (fds[i].revents != 0)
			go_on(&askings[i]);
	return true;
}

void client_ask(struct client_call *calls, size_t count, int timeout_ms)
{
	struct asking askings[CLIENT_CALLS_MAX];
	CHECK_OP(count, <=, (size_t)CLIENT_CALLS_MAX);
	for (size_t i = 0; i < count; i++)
		start(&askings[i], &calls[i]);
	int64_t deadline_ms = now_ms() + timeout_ms;
	while (wait_for_some(askings, count, deadline_ms)) {
	}
	for (size_t i = 0; i < count; i++) {
		if (askings[i].context != NULL) {
			char late[CLIENT_ERROR_BYTES];
			snprintf(late, sizeof late, "no %s in %d ms", askings[i].connected ? "answer" : "connection",
				 timeout_ms);
			end(&askings[i], late);
		}
	}
}
