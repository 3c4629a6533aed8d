/*
 * Streams of the real env: connected TCP sockets.
 *
 * Sockets are used directly, libuv only says when they are ready: output then needs no buffer that outlives its stream.
 * A stream reads at most READ_BYTES_MAX in one wake-up, and sends once at the end of it; what the system does not take
 * is sent when the socket is writable again.
 *
 * A stream ends in one of two ways. It fails: `closed` is told in the next wake-up at the latest, and the pointer is
 * dead when that callback has returned. Or the caller closes it; with `flush` it then lingers: sends what is left, says
 * that it is done, and reads until the other side is done too, because closing a socket with unread bytes resets the
 * connection, and the reset can overtake the last reply. It gives up LINGER_NS after it last could send something.
 * Memory is freed when the wake-up is over, so that a callback may close any stream.
 */
#include "env/env_uv_internal.h"

#include "base/check.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define READ_BYTES_MAX ((size_t)256 * 1024)
#define FRAMES_KEEP_BYTES ((size_t)2 * 1024 * 1024)
#define LINGER_NS ((uint64_t)2 * 1000 * 1000 * 1000)

static void stream_ready(uv_poll_t *poll, int status, int events);

struct env_stream *env_uv_stream_new(struct env_uv *u, enum stream_state state)
{
	struct env_stream *stream = mem_zero(u->env.mem, sizeof *stream);
	stream->u = u;
	stream->state = state;
	list_init(&stream->at);
	list_init(&stream->dirty);
	list_push(&u->streams, &stream->at);
	buf_init(&stream->output, u->env.mem);
	return stream;
}

static void poll_as_needed(struct env_stream *stream)
{
	int events = stream->waited ? UV_WRITABLE : 0;
	if (stream->state == STREAM_OPEN ? !stream->paused : stream->shut)
		events |= UV_READABLE;
	env_uv_poll(stream->watch, events, stream_ready);
}

static void mark_dirty(struct env_stream *stream)
{
	if (list_empty(&stream->dirty))
		list_push(&stream->u->dirty, &stream->dirty);
}

void env_uv_stream_opened(struct env_stream *stream)
{
	int on = 1;
	setsockopt(stream->watch->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	stream->state = STREAM_OPEN;
	poll_as_needed(stream);
	if (buf_size(&stream->output) > 0)
		mark_dirty(stream);
}

/* Lets go of everything but the memory of the stream itself. */
static void retire(struct env_stream *stream, enum stream_state state, struct list *to)
{
	if (stream->dial != NULL)
		env_uv_dial_end(stream);
	env_uv_unwatch(stream->watch);
	stream->watch = NULL;
	stream->state = state;
	buf_free(&stream->output);
	list_remove(&stream->dirty);
	list_remove(&stream->at);
	list_push(to, &stream->at);
}

void env_uv_stream_failed(struct env_stream *stream, int status)
{
	stream->status = status;
	if (stream->state == STREAM_LINGERING)
		retire(stream, STREAM_DEAD, &stream->u->dead);
	else
		retire(stream, STREAM_FAILED, &stream->u->failed);
}

void env_uv_tell_failed(struct env_uv *u)
{
	/* A callback that connects again and fails at once is told in the next wake-up: count what is there now. */
	size_t count = 0;
	for (const struct list *at = u->failed.next; at != &u->failed; at = at->next)
		count++;
	while (count-- > 0 && !list_empty(&u->failed)) {
		struct env_stream *stream = LIST_OF(u->failed.next, struct env_stream, at);
		retire(stream, STREAM_DEAD, &u->dead);
		u->happened = true;
		stream->events->closed(stream->context, stream->status);
	}
}

void env_uv_reap(struct env_uv *u)
{
	while (!list_empty(&u->dead)) {
		struct env_stream *stream = LIST_OF(u->dead.next, struct env_stream, at);
		list_remove(&stream->at);
		mem_free(u->env.mem, stream);
	}
}

/* A lingering stream is given time from now on. */
static void linger_on(struct env_stream *stream)
{
	stream->linger_until_ns = env_uv_raw(stream->u) + LINGER_NS;
	list_remove(&stream->at);
	list_push(&stream->u->lingering, &stream->at);
}

/* One send. Afterwards the stream may have failed. */
static void send_output(struct env_stream *stream)
{
	struct buf *output = &stream->output;
	if (buf_size(output) > 0) {
		ssize_t n = send(stream->watch->fd, buf_at(output), buf_size(output), MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			env_uv_stream_failed(stream, errno == EPIPE ? -ECONNRESET : -errno);
			return;
		}
		if (n > 0)
			buf_consume(output, (size_t)n);
		if (n > 0 && stream->state == STREAM_LINGERING)
			linger_on(stream);
	}
	stream->waited = buf_size(output) > 0;
	if (stream->state == STREAM_LINGERING && !stream->waited && !stream->shut) {
		shutdown(stream->watch->fd, SHUT_WR);
		stream->shut = true;
	}
	poll_as_needed(stream);
}

void env_uv_flush(struct env_uv *u)
{
	while (!list_empty(&u->dirty)) {
		struct env_stream *stream = LIST_OF(u->dirty.next, struct env_stream, dirty);
		list_remove(&stream->dirty);
		send_output(stream);
	}
}

static void receive(struct env_stream *stream)
{
	struct env_uv *u = stream->u;
	for (size_t total = 0; total < READ_BYTES_MAX;) {
		ssize_t n = recv(stream->watch->fd, u->input, sizeof u->input, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			env_uv_stream_failed(stream, n < 0 ? -errno : 0);
			return;
		}
		if (stream->state == STREAM_OPEN) {
			u->happened = true;
			u->heard++;
			stream->events->received(stream->context, u->input, (size_t)n);
		}
		/* The callback may have closed or paused it. */
		bool reads = stream->state == STREAM_OPEN ? !stream->paused : stream->shut;
		if (stream->watch == NULL || !reads || (size_t)n < sizeof u->input)
			return;
		total += (size_t)n;
	}
}

/* The error that the system keeps for a socket. */
static int socket_error(int fd)
{
	int error = 0;
	socklen_t size = sizeof error;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		return -errno;
	return error == 0 ? -ECONNRESET : -error;
}

static void stream_ready(uv_poll_t *poll, int status, int events)
{
	struct env_stream *stream = poll->data;
	if (status < 0) {
		/* The socket has an error, and libuv has stopped polling. What came before it is still received. */
		stream->watch->events = 0;
		if (stream->state == STREAM_OPEN && !stream->paused)
			receive(stream);
		if (stream->watch != NULL)
			env_uv_stream_failed(stream, socket_error(stream->watch->fd));
		return;
	}
	if ((events & UV_WRITABLE) && stream->waited) {
		send_output(stream);
		if (stream->state == STREAM_OPEN && !stream->waited && stream->events->drained != NULL) {
			stream->u->happened = true;
			stream->events->drained(stream->context);
		}
	}
	if ((events & UV_READABLE) && stream->watch != NULL && (stream->watch->events & UV_READABLE))
		receive(stream);
}

uint64_t env_uv_linger_deadline(const struct env_uv *u)
{
	if (list_empty(&u->lingering))
		return UINT64_MAX;
	return LIST_OF(u->lingering.next, struct env_stream, at)->linger_until_ns;
}

void env_uv_linger(struct env_uv *u)
{
	while (env_uv_linger_deadline(u) <= env_uv_raw(u))
		retire(LIST_OF(u->lingering.next, struct env_stream, at), STREAM_DEAD, &u->dead);
}

void env_uv_stream_attach(struct env_stream *stream, const struct env_stream_events *events, void *context)
{
	stream->events = events;
	stream->context = context;
}

void env_uv_stream_write(struct env_stream *stream, const void *bytes, size_t size)
{
	if (stream->state != STREAM_OPEN && stream->state != STREAM_DIALING)
		return;
	buf_add(&stream->output, bytes, size);
	if (stream->state == STREAM_OPEN && !stream->waited)
		mark_dirty(stream);
}

/* On TCP a frame is bytes like any others. But where frames are sent, much is often sent. */
void env_uv_stream_write_frame(struct env_stream *stream, const void *bytes, size_t size)
{
	buf_keep(&stream->output, FRAMES_KEEP_BYTES);
	env_uv_stream_write(stream, bytes, size);
}

size_t env_uv_stream_pending(const struct env_stream *stream)
{
	return buf_size(&stream->output);
}

void env_uv_stream_pause(struct env_stream *stream, bool paused)
{
	stream->paused = paused;
	if (stream->state == STREAM_OPEN)
		poll_as_needed(stream);
}

void env_uv_stream_close(struct env_stream *stream, bool flush)
{
	struct env_uv *u = stream->u;
	if (stream->state == STREAM_DEAD || (stream->state == STREAM_LINGERING && flush))
		return;
	if (!flush || stream->state != STREAM_OPEN) {
		retire(stream, STREAM_DEAD, &u->dead);
		return;
	}
	stream->state = STREAM_LINGERING;
	linger_on(stream);
	poll_as_needed(stream);
	if (!stream->waited)
		mark_dirty(stream);
}
