/*
 * How streams of the real env come to be: addresses, listeners, outgoing connections.
 *
 * An address is "HOST:PORT"; HOST is an IPv4 address, an IPv6 address (in brackets or not) or a name. Only names need
 * the resolver, which blocks at listen and runs on libuv's threads at connect. All addresses of a name are tried in
 * turn. A listener that cannot accept for want of descriptors says so once and tries again a little later.
 */
#define _GNU_SOURCE /* accept4 */
#include "env/env_uv_internal.h"

#include "base/check.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 511
#define ACCEPTS_MAX 64 /* In one wake-up. */
#define STARVED_RETRY_MS 100

struct address {
	char host[256];
	char port[8];
};

/* A look-up on libuv's threads. It cannot always be stopped, so it may outlive its stream. */
struct lookup {
	uv_getaddrinfo_t request;
	struct env_uv *u;
	struct env_stream *stream; /* NULL: nobody waits any more. */
};

struct dial {
	struct lookup *lookup; /* While it runs. */
	struct addrinfo *all;
	struct addrinfo *next; /* Not yet tried. */
	int status;	       /* Of the last try. */
};

struct env_listener {
	struct list at; /* In u->listeners. */
	struct env_uv *u;
	struct watch *watch; /* NULL: closed. */
	uv_timer_t retry;
	bool starved;
	const struct env_accept_events *events;
	void *context;
};

static bool split_address(const char *text, struct address *address)
{
	const char *colon = strrchr(text, ':');
	if (colon == NULL)
		return false;
	char *end;
	unsigned long port = strtoul(colon + 1, &end, 10);
	if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || port > 65535)
		return false;
	size_t size = (size_t)(colon - text);
	if (size >= 2 && text[0] == '[' && colon[-1] == ']') {
		text++;
		size -= 2;
	}
	if (size == 0 || size >= sizeof address->host)
		return false;
	memcpy(address->host, text, size);
	address->host[size] = '\0';
	snprintf(address->port, sizeof address->port, "%lu", port);
	return true;
}

static int look_up_now(const struct address *address, int flags, struct addrinfo **all)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
	return getaddrinfo(address->host, address->port, &hints, all) == 0 ? 0 : -EADDRNOTAVAIL;
}

static int bind_one(const struct addrinfo *ai)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int on = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	int status = -errno;
	close(fd);
	return status;
}

static void acceptable(uv_poll_t *poll, int status, int events);

static void retry_accept(uv_timer_t *timer)
{
	struct env_listener *listener = timer->data;
	env_uv_poll(listener->watch, UV_READABLE, acceptable);
}

static void accept_starved(struct env_listener *listener, int error)
{
	if (!listener->starved)
		env_log(&listener->u->env, ENV_WARN, "env", "connections wait to be accepted: %s", strerror(error));
	listener->starved = true;
	env_uv_poll(listener->watch, 0, acceptable);
	uv_timer_start(&listener->retry, retry_accept, STARVED_RETRY_MS, 0);
}

static void accepted(struct env_listener *listener, int fd)
{
	struct env_stream *stream = env_uv_stream_new(listener->u, STREAM_OPEN);
	stream->watch = env_uv_watch(listener->u, fd, stream);
	if (stream->watch == NULL) {
		env_uv_stream_close(stream, false);
		return;
	}
	env_uv_stream_opened(stream);
	listener->u->happened = true;
	listener->events->accepted(listener->context, stream);
	CHECK(stream->events != NULL || stream->state != STREAM_OPEN);
}

static void acceptable(uv_poll_t *poll, int status, int events)
{
	struct env_listener *listener = poll->data;
	(void)status;
	(void)events;
	/* The callback of one connection may close the listener. */
	for (int i = 0; i < ACCEPTS_MAX && listener->watch != NULL; i++) {
		int fd = accept4(listener->watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			accepted(listener, fd);
		} else if (errno == EAGAIN) {
			listener->starved = false;
			return;
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			accept_starved(listener, errno);
			return;
		}
		/* Any other error is that of one connection, which is gone. */
	}
}

int env_uv_listen(struct env *env, const char *address, const struct env_accept_events *events, void *context,
		  struct env_listener **out)
{
	struct env_uv *u = uv_of(env);
	struct address parts;
	struct addrinfo *all;
	if (!split_address(address, &parts))
		return -EINVAL;
	int fd = look_up_now(&parts, AI_PASSIVE, &all);
	if (fd < 0)
		return fd;
	for (const struct addrinfo *ai = all; ai != NULL; ai = ai->ai_next) {
		fd = bind_one(ai);
		if (fd >= 0)
			break;
	}
	freeaddrinfo(all);
	if (fd < 0)
		return fd;
	struct env_listener *listener = mem_zero(env->mem, sizeof *listener);
	listener->u = u;
	listener->events = events;
	listener->context = context;
	listener->watch = env_uv_watch(u, fd, listener);
	if (listener->watch == NULL) {
		mem_free(env->mem, listener);
		return -ENOMEM;
	}
	env_uv_poll(listener->watch, UV_READABLE, acceptable);
	uv_timer_init(&u->loop, &listener->retry);
	listener->retry.data = listener;
	list_push(&u->listeners, &listener->at);
	*out = listener;
	return 0;
}

static void listener_released(uv_handle_t *handle)
{
	struct env_listener *listener = handle->data;
	mem_free(listener->u->env.mem, listener);
}

void env_uv_listener_close(struct env_listener *listener)
{
	list_remove(&listener->at);
	env_uv_unwatch(listener->watch);
	listener->watch = NULL;
	uv_close((uv_handle_t *)&listener->retry, listener_released);
}

void env_uv_listeners_close(struct env_uv *u)
{
	while (!list_empty(&u->listeners))
		env_uv_listener_close(LIST_OF(u->listeners.next, struct env_listener, at));
}

void env_uv_dial_end(struct env_stream *stream)
{
	struct dial *dial = stream->dial;
	if (dial->lookup != NULL) {
		dial->lookup->stream = NULL;
		uv_cancel((uv_req_t *)&dial->lookup->request);
	}
	if (dial->all != NULL)
		freeaddrinfo(dial->all);
	mem_free(stream->u->env.mem, dial);
	stream->dial = NULL;
}

/*
 * When nobody listens on a port of the ephemeral range, the system may pick that very port for our end, and the socket
 * is then connected with itself (and the peer can no longer listen there).
 */
static bool connected_to_itself(int fd)
{
	struct sockaddr_storage ours, theirs;
	socklen_t our_size = sizeof ours, their_size = sizeof theirs;
	memset(&ours, 0, sizeof ours);
	memset(&theirs, 0, sizeof theirs);
	if (getsockname(fd, (struct sockaddr *)&ours, &our_size) != 0 ||
	    getpeername(fd, (struct sockaddr *)&theirs, &their_size) != 0)
		return false;
	return our_size == their_size && memcmp(&ours, &theirs, our_size) == 0;
}

static void dial_next(struct env_stream *stream);

static void dialed(uv_poll_t *poll, int status, int events)
{
	struct env_stream *stream = poll->data;
	struct watch *watch = stream->watch;
	(void)events;
	int error = 0;
	socklen_t size = sizeof error;
	getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error == 0 && (status < 0 || connected_to_itself(watch->fd)))
		error = ECONNREFUSED;
	if (error != 0) {
		stream->dial->status = -error;
		env_uv_unwatch(watch);
		stream->watch = NULL;
		dial_next(stream);
		return;
	}
	env_uv_dial_end(stream);
	env_uv_stream_opened(stream);
	stream->u->happened = true;
	stream->events->opened(stream->context);
}

static void dial_next(struct env_stream *stream)
{
	struct dial *dial = stream->dial;
	while (dial->next != NULL) {
		const struct addrinfo *ai = dial->next;
		dial->next = ai->ai_next;
		int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fd < 0 || (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0 && errno != EINPROGRESS)) {
			dial->status = -errno;
			if (fd >= 0)
				close(fd);
			continue;
		}
		stream->watch = env_uv_watch(stream->u, fd, stream);
		if (stream->watch == NULL) {
			dial->status = -ENOMEM;
			continue;
		}
		env_uv_poll(stream->watch, UV_WRITABLE, dialed);
		return;
	}
	env_uv_stream_failed(stream, dial->status);
}

static void looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *all)
{
	struct lookup *lookup = request->data;
	struct env_stream *stream = lookup->stream;
	mem_free(lookup->u->env.mem, lookup);
	if (stream == NULL) {
		uv_freeaddrinfo(all);
		return;
	}
	stream->dial->lookup = NULL;
	stream->dial->all = all;
	stream->dial->next = all;
	stream->dial->status = status == 0 ? 0 : -EADDRNOTAVAIL;
	dial_next(stream);
}

static int look_up_later(struct env_stream *stream, const struct address *address)
{
	struct env_uv *u = stream->u;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct lookup *lookup = mem_zero(u->env.mem, sizeof *lookup);
	lookup->u = u;
	lookup->stream = stream;
	lookup->request.data = lookup;
	int status = uv_getaddrinfo(&u->loop, &lookup->request, looked_up, address->host, address->port, &hints);
	if (status != 0) {
		mem_free(u->env.mem, lookup);
		return status;
	}
	stream->dial->lookup = lookup;
	return 0;
}

struct env_stream *env_uv_connect(struct env *env, const char *address, const struct env_stream_events *events,
				  void *context)
{
	struct env_uv *u = uv_of(env);
	struct env_stream *stream = env_uv_stream_new(u, STREAM_DIALING);
	struct address parts;
	env_uv_stream_attach(stream, events, context);
	stream->dial = mem_zero(env->mem, sizeof *stream->dial);
	if (!split_address(address, &parts)) {
		env_uv_stream_failed(stream, -EINVAL);
	} else if (look_up_now(&parts, AI_NUMERICHOST, &stream->dial->all) == 0) {
		stream->dial->next = stream->dial->all;
		dial_next(stream);
	} else {
		int status = look_up_later(stream, &parts);
		if (status != 0)
			env_uv_stream_failed(stream, status);
	}
	return stream;
}
