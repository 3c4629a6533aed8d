/*
 * Links between simulated hosts, and how connections over them come and go.
 *
 * A connect and its answer travel like ordered bytes, so a cut holds them, until a heal or the timeout. The system of a
 * host answers a connect whatever its process does; nobody listening, or no process, is a refusal.
 *
 * How an end disappears decides what its peer sees. Closed by its process: the end of the stream, after what was
 * written if that was asked for; a reset if something was left unread. Killed: a reset at once, and what was sent just
 * before may be lost to it. The machine lost: a reset after a while, when it is up again; or nothing, until something
 * is sent to it: what arrives at a dead end is answered with a reset. A connection is freed when both ends are dead,
 * and only between two steps.
 */
#include "sim/sim_world.h"

#include "base/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- Links ---- */

uint64_t sim_delay(struct sim_host *from, const struct sim_host *to, size_t size)
{
	const struct sim_link *link = &from->sim->links[from->number][to->number];
	uint64_t delay = rng_range(&from->rng_net, link->delay_min_ns, link->delay_max_ns) + size * link->byte_ns;
	if (rng_chance(&from->rng_net, link->slow_ppm))
		delay += rng_range(&from->rng_net, 0, link->slow_max_ns);
	return delay;
}

struct sim_link *sim_net_link(struct sim_host *from, struct sim_host *to)
{
	return &from->sim->links[from->number][to->number];
}

void sim_net_set_all(struct sim *sim, const struct sim_link *link)
{
	sim->link_default = *link;
	for (uint32_t i = 0; i < sim->host_count; i++) {
		for (uint32_t j = 0; j < sim->host_count; j++)
			sim->links[i][j] = *link;
	}
}

struct sim_net_settings *sim_net_settings(struct sim *sim)
{
	return &sim->net;
}

bool sim_net_is_cut(const struct sim_host *from, const struct sim_host *to)
{
	return link_is_cut(from, to);
}

static bool is_between(const struct sim_conn *conn, const struct sim_host *a, const struct sim_host *b)
{
	const struct sim_host *one = conn->ends[0].host;
	const struct sim_host *other = conn->ends[1].host;
	return (one == a && other == b) || (one == b && other == a);
}

static bool is_cut(const struct sim_conn *conn)
{
	const struct sim_host *one = conn->ends[0].host;
	const struct sim_host *other = conn->ends[1].host;
	return other != NULL && (link_is_cut(one, other) || link_is_cut(other, one));
}

static void cut_one_way(struct sim_host *from, struct sim_host *to)
{
	if (link_is_cut(from, to))
		return;
	from->sim->cut[from->number][to->number] = true;
	sim_note(from, NOTE_CUT, to, 0, 0);
}

void sim_net_cut(struct sim_host *a, struct sim_host *b, bool both_ways)
{
	struct sim *sim = a->sim;
	cut_one_way(a, b);
	if (both_ways)
		cut_one_way(b, a);
	for (struct list *at = sim->conns.next; at != &sim->conns; at = at->next) {
		struct sim_conn *conn = LIST_OF(at, struct sim_conn, at);
		/* A connect has its timeout already. */
		if (!is_between(conn, a, b) || conn->timeout.at != NOWHERE)
			continue;
		if (rng_chance(&a->rng_net, sim->net.break_ppm))
			sim_event_at(sim, &conn->timeout,
				     sim->now + rng_range(&a->rng_net, sim->net.break_min_ns, sim->net.break_max_ns));
	}
}

void sim_net_heal(struct sim_host *a, struct sim_host *b)
{
	struct sim *sim = a->sim;
	if (!link_is_cut(a, b) && !link_is_cut(b, a))
		return;
	sim->cut[a->number][b->number] = false;
	sim->cut[b->number][a->number] = false;
	sim_note(a, NOTE_HEALED, b, 0, 0);
	for (struct list *at = sim->conns.next; at != &sim->conns; at = at->next) {
		struct sim_conn *conn = LIST_OF(at, struct sim_conn, at);
		if (!is_between(conn, a, b))
			continue;
		if (conn->ends[0].state != STREAM_OPENING)
			sim_event_cancel(sim, &conn->timeout);
		sim_stream_release(&conn->ends[0]);
		sim_stream_release(&conn->ends[1]);
	}
}

void sim_net_heal_all(struct sim *sim)
{
	for (uint32_t i = 0; i < sim->host_count; i++) {
		for (uint32_t j = 0; j < i; j++)
			sim_net_heal(sim->hosts[j], sim->hosts[i]);
	}
}

void sim_net_break(struct sim_host *a, struct sim_host *b)
{
	struct sim *sim = a->sim;
	struct list *next;
	for (struct list *at = sim->conns.next; at != &sim->conns; at = next) {
		struct sim_conn *conn = LIST_OF(at, struct sim_conn, at);
		next = at->next;
		if (!is_between(conn, a, b))
			continue;
		sim_stream_reset(&conn->ends[0], -ECONNRESET);
		sim_stream_reset(&conn->ends[1], -ECONNRESET);
	}
}

/* ---- Ends of connections ---- */

/* When nothing can come from either end any more, the connection goes. */
static void check_over(struct sim_conn *conn)
{
	struct env_stream *ends = conn->ends;
	bool far_is_gone =
		ends[1].state == STREAM_DEAD || (ends[1].state == STREAM_NONE && list_empty(&ends[0].flight));
	if (ends[0].state != STREAM_DEAD || !far_is_gone)
		return;
	for (int i = 0; i < 2; i++) {
		sim_stream_drop_flight(&ends[i]);
		CHECK(list_empty(&ends[i].output) && list_empty(&ends[i].input) && list_empty(&ends[i].early));
	}
	sim_event_cancel(conn->sim, &conn->timeout);
	list_remove(&conn->at);
	list_push(&conn->sim->graveyard, &conn->at);
}

static void let_go(struct env_stream *stream, enum stream_state state)
{
	stream->state = state;
	sim_event_cancel(stream->conn->sim, &stream->news);
	list_remove(&stream->dirty);
	sim_stream_drop_output(stream);
	sim_stream_drop_input(stream);
}

void sim_stream_bury(struct env_stream *stream)
{
	let_go(stream, STREAM_DEAD);
	list_remove(&stream->at);
	check_over(stream->conn);
}

void sim_stream_reset(struct env_stream *stream, int status)
{
	struct env_stream *peer = stream_peer(stream);
	bool told = stream->state == STREAM_OPENING || stream->state == STREAM_OPEN;
	if (!told && stream->state != STREAM_ACCEPTING && stream->state != STREAM_LINGERING)
		return;
	if (status != 0) {
		stream->conn->sim->counters.resets++;
		sim_note(stream->host, NOTE_RESET, peer->host, 0, (uint32_t)-status);
		sim_stream_drop_flight(stream);
	}
	if (!told) {
		sim_stream_bury(stream);
		return;
	}
	let_go(stream, STREAM_BROKEN);
	stream->status = status;
	sim_tell(stream->host, &stream->news);
}

void sim_reap(struct sim *sim)
{
	while (!list_empty(&sim->graveyard)) {
		struct sim_conn *conn = LIST_OF(sim->graveyard.next, struct sim_conn, at);
		list_remove(&conn->at);
		sim_give(sim, conn, sizeof *conn);
	}
}

void sim_net_free(struct sim *sim)
{
	while (!list_empty(&sim->conns)) {
		struct sim_conn *conn = LIST_OF(sim->conns.next, struct sim_conn, at);
		sim_stream_drop_flight(&conn->ends[0]);
		for (int i = 0; i < 2; i++)
			sim_stream_bury(&conn->ends[i]);
	}
	sim_reap(sim);
}

/* The process has died, or the machine. */
static void end_of_host(struct env_stream *stream, enum sim_crash how)
{
	struct sim_host *host = stream->host;
	const struct env_stream *peer = stream_peer(stream);
	struct sim *sim = host->sim;
	/* What a cut holds, the machine would have had to send again. */
	if (how != SIM_KILL && link_is_cut(host, peer->host))
		sim_stream_drop_flight(stream);
	bool connected = peer->state != STREAM_NONE && peer->state != STREAM_DEAD && stream->state != STREAM_BROKEN;
	if (connected && how != SIM_POWER_SILENT) {
		uint64_t time = sim->now;
		if (how == SIM_POWER)
			time += rng_range(&host->rng_net, sim->net.reboot_min_ns, sim->net.reboot_max_ns);
		stream->reset_sent = true;
		sim_stream_send(stream, CHUNK_END, -ECONNRESET, time);
	}
}

void sim_net_end(struct sim_host *host, enum sim_crash how)
{
	while (!list_empty(&host->streams)) {
		struct env_stream *stream = LIST_OF(host->streams.next, struct env_stream, at);
		if (stream_peer(stream)->host != NULL)
			end_of_host(stream, how);
		sim_stream_bury(stream);
	}
	list_init(&host->listeners); /* Their memory goes with the process's. */
}

void sim_timeout_reach(struct event *event)
{
	struct sim_conn *conn = LIST_OF(event, struct sim_conn, timeout);
	if (conn->ends[0].state == STREAM_OPENING) {
		sim_stream_reset(&conn->ends[0], conn->timeout_status);
	} else if (is_cut(conn)) {
		sim_stream_reset(&conn->ends[0], -ETIMEDOUT);
		sim_stream_reset(&conn->ends[1], -ETIMEDOUT);
	}
}

/* ---- Listening and connecting ---- */

/* Splits "HOST:PORT"; false when it is none. */
static bool split_address(const char *address, char host[64], char port[8])
{
	const char *colon = strrchr(address, ':');
	if (colon == NULL || colon == address || colon - address >= 64)
		return false;
	size_t digits = strspn(colon + 1, "0123456789");
	if (digits == 0 || digits > 5 || colon[1 + digits] != '\0')
		return false;
	snprintf(host, 64, "%.*s", (int)(colon - address), address);
	snprintf(port, 8, "%s", colon + 1);
	return true;
}

static struct env_listener *listener_at(struct sim_host *host, const char *port)
{
	for (struct list *at = host->listeners.next; at != &host->listeners; at = at->next) {
		struct env_listener *listener = LIST_OF(at, struct env_listener, at);
		if (strcmp(listener->port, port) == 0)
			return listener;
	}
	return NULL;
}

int sim_listen(struct env *env, const char *address, const struct env_accept_events *events, void *context,
	       struct env_listener **out)
{
	struct sim_host *host = (struct sim_host *)(void *)env;
	char name[64], port[8];
	if (!split_address(address, name, port))
		return -EINVAL;
	if (strcmp(name, host->name) != 0)
		return -EADDRNOTAVAIL;
	if (listener_at(host, port) != NULL)
		return -EADDRINUSE;
	struct env_listener *listener = mem_zero(&host->mem, sizeof *listener);
	listener->host = host;
	listener->events = events;
	listener->context = context;
	memcpy(listener->port, port, sizeof port);
	list_push(&host->listeners, &listener->at);
	*out = listener;
	return 0;
}

void sim_listener_close(struct env_listener *listener)
{
	struct sim_host *host = listener->host;
	struct list *next;
	for (struct list *at = host->streams.next; at != &host->streams; at = next) {
		struct env_stream *stream = LIST_OF(at, struct env_stream, at);
		next = at->next;
		if (stream->state != STREAM_ACCEPTING || stream->conn->listener != listener)
			continue;
		stream->reset_sent = true;
		sim_stream_send(stream, CHUNK_END, -ECONNRESET, host->sim->now);
		sim_stream_bury(stream);
	}
	list_remove(&listener->at);
	mem_free(&host->mem, listener);
}

struct env_stream *sim_connect(struct env *env, const char *address, const struct env_stream_events *events,
			       void *context)
{
	struct sim_host *host = (struct sim_host *)(void *)env;
	struct sim *sim = host->sim;
	char name[64], port[8] = "";
	bool valid = split_address(address, name, port);
	struct sim_host *to = valid ? sim_host_named(sim, name) : NULL;
	struct sim_conn *conn = sim_take(sim, sizeof *conn);
	memset(conn, 0, sizeof *conn);
	conn->sim = sim;
	list_push(&sim->conns, &conn->at);
	sim_event_init(&conn->timeout, EVENT_TIMEOUT, NULL);
	memcpy(conn->port, port, sizeof port);
	struct env_stream *stream = &conn->ends[0];
	sim_stream_init(stream, conn, host);
	sim_stream_init(&conn->ends[1], conn, to);
	stream->state = STREAM_OPENING;
	stream->in_message = true;
	stream->events = events;
	stream->context = context;
	list_push(&host->streams, &stream->at);
	sim->counters.connects++;
	if (to != NULL) {
		conn->timeout_status = -ETIMEDOUT;
		sim_event_at(sim, &conn->timeout, sim->now + sim->net.connect_ns);
		sim_note(host, NOTE_CONNECTS, to, 0, 0);
		sim_stream_send(stream, CHUNK_CONNECT, 0, sim->now);
	} else {
		conn->timeout_status = valid ? -EADDRNOTAVAIL : -EINVAL;
		sim_event_at(sim, &conn->timeout, sim->now + sim_delay(host, host, 0));
	}
	return stream;
}

void sim_connect_arrives(struct env_stream *far)
{
	struct sim_conn *conn = far->conn;
	struct sim_host *host = far->host;
	struct env_listener *listener = host->running ? listener_at(host, conn->port) : NULL;
	sim_note(host, NOTE_CONNECT_ARRIVES, conn->ends[0].host, listener != NULL, 0);
	if (listener == NULL) {
		far->reset_sent = true;
		if (conn->ends[0].state == STREAM_OPENING)
			sim_stream_send(far, CHUNK_END, -ECONNREFUSED, conn->sim->now);
		sim_stream_bury(far);
		return;
	}
	far->state = STREAM_ACCEPTING;
	conn->listener = listener;
	list_push(&host->streams, &far->at);
	sim_stream_send(far, CHUNK_ANSWER, 0, conn->sim->now);
	sim_tell(host, &far->news);
}

void sim_stream_attach(struct env_stream *stream, const struct env_stream_events *events, void *context)
{
	stream->events = events;
	stream->context = context;
}

void sim_stream_close(struct env_stream *stream, bool flush)
{
	struct sim *sim = stream->conn->sim;
	const struct env_stream *peer = stream_peer(stream);
	if (stream->state == STREAM_OPEN && flush) {
		sim_stream_skip_input(stream);
		stream->state = STREAM_LINGERING;
		sim_event_cancel(sim, &stream->news);
		sim_stream_end_output(stream);
		return;
	}
	if (stream->state == STREAM_OPEN) {
		bool unread = !list_empty(&stream->input) || !list_empty(&stream->early);
		if (unread)
			sim_stream_drop_flight(stream);
		stream->reset_sent = unread;
		sim_stream_send(stream, CHUNK_END, unread ? -ECONNRESET : 0, sim->now);
	} else if (stream->state == STREAM_OPENING) {
		sim_stream_drop_flight(stream);
		if (peer->state != STREAM_NONE)
			sim_stream_send(stream, CHUNK_END, -ECONNRESET, sim->now);
	} else if (stream->state != STREAM_BROKEN) {
		return; /* Closed already. */
	}
	sim_stream_bury(stream);
}
