/* Connections of a load: made, written to, lost, made again to the next address. */
#include "cli/bench_load_internal.h"

#include "base/check.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define RETRY_NS ((uint64_t)10000000)

void load_keep_error(struct load *load, const char *text)
{
	if (load->result->error[0] == '\0')
		snprintf(load->result->error, sizeof load->result->error, "%s", text);
}

void load_watch(struct load *load, struct load_conn *conn, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = conn};
	if (conn->watched == events)
		return;
	CHECK(epoll_ctl(load->epoll, conn->watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, conn->fd, &event) == 0);
	conn->watched = events;
}

void load_lose(struct load *load, struct load_conn *conn, const char *why)
{
	load_keep_error(load, why);
	if (conn->state == CONN_UP)
		load->up--;
	close(conn->fd);
	conn->fd = -1;
	conn->state = CONN_DOWN;
	conn->watched = 0;
	conn->retry_ns = load_now_ns() + RETRY_NS;
	if (load->retry_ns > conn->retry_ns)
		load->retry_ns = conn->retry_ns;
	load->result->lost += conn->count;
	load->pending -= conn->count;
	conn->count = 0;
	conn->head = 0;
	conn->address = (conn->address + 1) % load->settings->address_count;
	buf_cut(&conn->out, 0);
	load_reply_reset(conn);
}

void load_dial(struct load *load, struct load_conn *conn)
{
	const struct sockaddr *address = (const struct sockaddr *)&load->settings->addresses[conn->address];
	int one = 1;
	conn->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd < 0) {
		load_lose(load, conn, strerror(errno));
		return;
	}
	setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	conn->state = CONN_DIALING;
	if (connect(conn->fd, address, load->settings->address_sizes[conn->address]) == 0 || errno == EINPROGRESS)
		load_watch(load, conn, EPOLLOUT);
	else
		load_lose(load, conn, strerror(errno));
}

void load_dial_again(struct load *load, uint64_t now_ns)
{
	load->retry_ns = UINT64_MAX;
	for (uint32_t i = 0; i < load->settings->connections; i++) {
		struct load_conn *conn = &load->conns[i];
		if (conn->state == CONN_DOWN && conn->retry_ns <= now_ns)
			load_dial(load, conn);
		else if (conn->state == CONN_DOWN && conn->retry_ns < load->retry_ns)
			load->retry_ns = conn->retry_ns;
	}
}

void load_flush(struct load *load, struct load_conn *conn)
{
	size_t size = buf_size(&conn->out);
	if (size == 0)
		return;
	ssize_t sent = send(conn->fd, buf_at(&conn->out), size, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		load_lose(load, conn, strerror(errno));
		return;
	}
	if (sent > 0)
		buf_consume(&conn->out, (size_t)sent);
	load_watch(load, conn, buf_size(&conn->out) > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}
