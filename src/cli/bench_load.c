/*
 * The loop of a load: see bench_load.h. A reply is read, counted, and the next request written, one call of the system
 * each; nothing is allocated for a request.
 */
#define _GNU_SOURCE /* epoll_pwait2 */
#include "cli/bench_load_internal.h"

#include "base/check.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 512, READ_BYTES = 256 * 1024 };
#define NS_PER_S ((uint64_t)1000000000)
#define NS_PER_MS ((uint64_t)1000000)
#define CONNECT_NS (5 * NS_PER_S)
#define DRAIN_NS (5 * NS_PER_S)
#define PROGRESS_NS (200 * NS_PER_MS)

uint64_t load_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* ---- Requests ---- */

static void template_init(struct load *load)
{
	uint64_t value_bytes = load->settings->value_bytes;
	struct rng rng = rng_seed(load->settings->seed + 2);
	buf_init(&load->set, &load->mem);
	buf_printf(&load->set, "*3\r\n$3\r\nSET\r\n$%d\r\n", LOAD_KEY_BYTES);
	load->set_key_at = buf_size(&load->set);
	buf_printf(&load->set, "key:000000000000\r\n$%llu\r\n", (unsigned long long)value_bytes);
	for (uint64_t i = 0; i < value_bytes; i++)
		buf_printf(&load->set, "%c", (int)('a' + rng_below(&rng, 26)));
	buf_printf(&load->set, "\r\n");
	buf_init(&load->get, &load->mem);
	buf_printf(&load->get, "*2\r\n$3\r\nGET\r\n$%d\r\n", LOAD_KEY_BYTES);
	load->get_key_at = buf_size(&load->get);
	buf_printf(&load->get, "key:000000000000\r\n");
}

static void add_request(struct load *load, struct load_conn *conn, uint64_t intended_ns)
{
	uint64_t reads = load->settings->reads_percent;
	bool read = reads == 100 || (reads > 0 && rng_below(&load->rng, 100) < reads);
	const struct buf *from = read ? &load->get : &load->set;
	uint64_t key = keys_next(&load->keys);
	uint8_t *to = buf_reserve(&conn->out, buf_size(from));
	memcpy(to, buf_at(from), buf_size(from));
	uint8_t *digit = to + (read ? load->get_key_at : load->set_key_at) + LOAD_KEY_BYTES;
	for (; key > 0; key /= 10)
		*--digit = (uint8_t)('0' + key % 10);
	buf_added(&conn->out, buf_size(from));
	CHECK_OP(conn->count, <, load->settings->depth);
	uint32_t slot = conn->head + conn->count++;
	conn->ops[slot < load->settings->depth ? slot : slot - load->settings->depth] =
		(struct load_op){intended_ns, read};
	load->pending++;
	load->sent++;
}

static bool may_send(const struct load *load)
{
	return !load->ending && load->sent < load->settings->requests;
}

static void refill(struct load *load, struct load_conn *conn, uint64_t now_ns)
{
	while (load->settings->rate == 0 && conn->count < load->settings->depth && may_send(load))
		add_request(load, conn, now_ns);
	load_flush(load, conn);
}

/* Open loop: the time between two arrivals. */
static double gap_ns(struct load *load)
{
	double mean = (double)NS_PER_S / (double)load->settings->rate;
	return load->settings->poisson ? -log(keys_draw(&load->arrivals)) * mean : mean;
}

static struct load_conn *conn_with_room(struct load *load)
{
	for (uint32_t i = 0; i < load->settings->connections; i++) {
		struct load_conn *conn = &load->conns[load->turn++ % load->settings->connections];
		if (conn->state == CONN_UP && conn->count < load->settings->depth)
			return conn;
	}
	return NULL;
}

/* Sends what is due, as far as there is room; what is not sent stays due. */
static void arrive(struct load *load, uint64_t now_ns)
{
	load->blocked = false;
	while (load->next_ns <= (double)now_ns && may_send(load)) {
		struct load_conn *conn = conn_with_room(load);
		if (conn == NULL) {
			load->blocked = true;
			break;
		}
		uint64_t intended_ns = (uint64_t)load->next_ns;
		if (intended_ns >= load->from_ns && intended_ns < load->until_ns)
			histogram_add(&load->result->lag, now_ns - intended_ns);
		add_request(load, conn, intended_ns);
		load->next_ns += gap_ns(load);
		if (!conn->dirty) {
			conn->dirty = true;
			load->dirty[load->dirty_count++] = conn;
		}
	}
	for (uint32_t i = 0; i < load->dirty_count; i++) {
		load->dirty[i]->dirty = false;
		if (load->dirty[i]->state == CONN_UP)
			load_flush(load, load->dirty[i]);
	}
	load->dirty_count = 0;
}

/* ---- Replies ---- */

static void take_reply(struct load *load, struct load_conn *conn, uint64_t now_ns, bool error)
{
	struct load_result *result = load->result;
	struct load_op op = conn->ops[conn->head];
	if (++conn->head == load->settings->depth)
		conn->head = 0;
	conn->count--;
	load->pending--;
	if (error) {
		result->errors++;
		load_keep_error(load, conn->line);
		return;
	}
	result->answered_all++;
	if (now_ns >= load->from_ns && now_ns < load->until_ns)
		result->answered++;
	if (op.intended_ns >= load->from_ns && op.intended_ns < load->until_ns)
		histogram_add(op.read ? &result->reads : &result->writes, now_ns - op.intended_ns);
}

static void readable(struct load *load, struct load_conn *conn)
{
	ssize_t size = recv(conn->fd, load->in, READ_BYTES, 0);
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size <= 0) {
		load_lose(load, conn, size == 0 ? "a server closed the connection" : strerror(errno));
		return;
	}
	uint64_t now_ns = load_now_ns();
	const char *at = load->in, *end = load->in + size;
	for (;;) {
		enum load_reply reply = load_reply_next(conn, &at, end);
		if (reply == REPLY_MORE)
			break;
		if (reply == REPLY_BROKEN || conn->count == 0) {
			load_lose(load, conn, "a server's answer is none of the protocol's");
			return;
		}
		take_reply(load, conn, now_ns, reply == REPLY_ERROR);
	}
	refill(load, conn, now_ns);
}

static void writable(struct load *load, struct load_conn *conn)
{
	if (conn->state != CONN_DIALING) {
		load_flush(load, conn);
		return;
	}
	int error = 0;
	socklen_t size = sizeof error;
	if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		error = errno;
	if (error != 0) {
		load_lose(load, conn, strerror(error));
		return;
	}
	conn->state = CONN_UP;
	load->up++;
	load_watch(load, conn, EPOLLIN);
	if (load->started)
		refill(load, conn, load_now_ns());
}

static void poll_once(struct load *load, uint64_t until_ns)
{
	struct epoll_event events[EVENTS_MAX];
	uint64_t now_ns = load_now_ns();
	uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	struct timespec wait = {(time_t)(wait_ns / NS_PER_S), (long)(wait_ns % NS_PER_S)};
	int count = epoll_pwait2(load->epoll, events, EVENTS_MAX, &wait, NULL);
	for (int i = 0; i < count; i++) {
		struct load_conn *conn = events[i].data.ptr;
		if (conn->state == CONN_UP && (events[i].events & ~(uint32_t)EPOLLOUT) != 0)
			readable(load, conn);
		if (conn->state == CONN_DIALING || (conn->state == CONN_UP && (events[i].events & EPOLLOUT) != 0))
			writable(load, conn);
	}
}

/* ---- The run ---- */

static bool connect_all(struct load *load)
{
	uint64_t deadline_ns = load_now_ns() + CONNECT_NS;
	for (uint32_t i = 0; i < load->settings->connections; i++)
		load_dial(load, &load->conns[i]);
	while (load->up < load->settings->connections) {
		if (load->result->error[0] != '\0')
			return false;
		if (load_now_ns() > deadline_ns) {
			load_keep_error(load, "no connection in 5 s");
			return false;
		}
		poll_once(load, deadline_ns);
	}
	return true;
}

static void run(struct load *load)
{
	const struct load_settings *settings = load->settings;
	uint64_t start_ns = load_now_ns(), progress_ns = settings->progress ? start_ns : UINT64_MAX;
	load->from_ns = start_ns + settings->warmup_ns;
	load->until_ns = load->from_ns + settings->duration_ns;
	load->next_ns = (double)start_ns + (settings->rate > 0 ? gap_ns(load) : 0);
	load->started = true;
	for (uint32_t i = 0; i < settings->connections; i++)
		refill(load, &load->conns[i], load_now_ns());
	for (;;) {
		uint64_t now_ns = load_now_ns();
		if (!load->ending && (now_ns >= load->until_ns || load->sent >= settings->requests)) {
			load->ending = true;
			load->drain_until_ns = now_ns + DRAIN_NS;
		}
		if (load->ending && (load->pending == 0 || now_ns >= load->drain_until_ns))
			break;
		if (now_ns >= load->retry_ns)
			load_dial_again(load, now_ns);
		if (settings->rate > 0)
			arrive(load, now_ns);
		if (now_ns >= progress_ns) {
			load_progress(load, start_ns, now_ns);
			progress_ns = now_ns + PROGRESS_NS;
		}
		uint64_t wake_ns = load->ending ? load->drain_until_ns : load->until_ns;
		if (wake_ns > progress_ns)
			wake_ns = progress_ns;
		if (wake_ns > load->retry_ns)
			wake_ns = load->retry_ns;
		if (settings->rate > 0 && !load->blocked && may_send(load) && (double)wake_ns > load->next_ns)
			wake_ns = (uint64_t)load->next_ns;
		poll_once(load, wake_ns);
	}
	uint64_t end_ns = load_now_ns();
	if (end_ns < load->until_ns)
		load->until_ns = end_ns;
	load->result->seconds = load->until_ns > load->from_ns ? (double)(load->until_ns - load->from_ns) / 1e9 : 0;
	load->result->unanswered = load->pending;
	if (settings->progress)
		load_progress_end();
}

static uint64_t used_us(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

bool load_run(const struct load_settings *settings, struct load_result *result)
{
	struct load load = {.settings = settings, .result = result, .retry_ns = UINT64_MAX};
	memset(result, 0, sizeof *result);
	mem_init(&load.mem, false);
	prctl(PR_SET_TIMERSLACK, 1UL);
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	CHECK(load.epoll >= 0);
	load.rng = rng_seed(settings->seed);
	load.arrivals = rng_seed(settings->seed + 1);
	keys_init(&load.keys, settings->order, settings->key_count, settings->skew, settings->seed + 3);
	template_init(&load);
	load.in = mem_alloc(&load.mem, READ_BYTES);
	load.dirty = mem_alloc(&load.mem, settings->connections * sizeof *load.dirty);
	load.conns = mem_zero(&load.mem, settings->connections * sizeof *load.conns);
	for (uint32_t i = 0; i < settings->connections; i++) {
		struct load_conn *conn = &load.conns[i];
		conn->fd = -1;
		conn->address = i % settings->address_count;
		conn->ops = mem_alloc(&load.mem, settings->depth * sizeof *conn->ops);
		buf_init(&conn->out, &load.mem);
	}
	bool good = connect_all(&load);
	uint64_t before_us = used_us();
	if (good)
		run(&load);
	result->cpu_us = used_us() - before_us;
	for (uint32_t i = 0; i < settings->connections; i++) {
		if (load.conns[i].fd >= 0)
			close(load.conns[i].fd);
		mem_free(&load.mem, load.conns[i].ops);
		buf_free(&load.conns[i].out);
	}
	buf_free(&load.set);
	buf_free(&load.get);
	mem_free(&load.mem, load.conns);
	mem_free(&load.mem, load.dirty);
	mem_free(&load.mem, load.in);
	close(load.epoll);
	return good;
}
