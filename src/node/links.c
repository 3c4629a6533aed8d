/*
 * Connections with the other members.
 *
 * Of each pair, the member with the lower id dials, so there is no choice between two connections; the newest one that
 * shakes hands is the current one, and replaces what may be left of one that died unnoticed. The other one knocks when
 * there has been none for a while: the lower one may not know of it yet, or believe in a connection that a power cut
 * has ended. Bytes are frames of wire.h; every stream_write is one whole frame. Silence for SILENCE closes a connection
 * (the awake clock: our own lateness is not the peer's silence), a ping when nothing else was sent keeps it alive.
 *
 * Bounded: strangers in number, time and bytes; output of a peer by OUTPUT_BYTES_MAX, above which raft messages are
 * dropped and forwarding waits; replies, which cannot wait, close the connection above OVERFULL_BYTES.
 */
#include "node/node_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { STRANGERS_MAX = 64 };
#define HANDSHAKE_NS (2 * NS_PER_S)
#define BACKOFF_MIN_NS (10 * NS_PER_MS)
#define BACKOFF_MAX_NS (1 * NS_PER_S)
#define STABLE_NS (1 * NS_PER_S) /* A connection that lasted so long ends without a penalty. */
#define STRANGER_LOG_NS (10 * NS_PER_S)
#define OUTPUT_BYTES_MAX ((size_t)8 * 1024 * 1024)
#define OVERFULL_BYTES ((size_t)128 * 1024 * 1024)

static uint64_t ping_ns(const struct ikada_node *node)
{
	return node->settings.election_max_ns;
}

static uint64_t silence_ns(const struct ikada_node *node)
{
	return 4 * node->settings.election_max_ns;
}

struct peer *links_peer(struct ikada_node *node, uint64_t id)
{
	for (uint32_t i = 0; id != 0 && i < node->peer_count; i++)
		if (node->peers[i].id == id && i != node->self)
			return &node->peers[i];
	return NULL;
}

static bool we_dial(const struct ikada_node *node, const struct peer *peer)
{
	return peer->id > node->settings.id;
}

void links_new_peer(struct ikada_node *node, struct peer *peer)
{
	list_init(&peer->sent[WRITES]);
	list_init(&peer->sent[READS]);
	peer->backoff_ns = BACKOFF_MIN_NS;
	peer->dial_at_ns = we_dial(node, peer) ? 0 : raw_now(node) + KNOCK_NS;
}

void links_taken_in(struct ikada_node *node)
{
	for (uint32_t i = 0; i < node->peer_count; i++) {
		node->peers[i].backoff_ns = BACKOFF_MIN_NS;
		node->peers[i].dial_at_ns = 0;
	}
}

void links_complain(struct ikada_node *node, struct peer *peer, const char *text)
{
	if (peer == NULL) {
		uint64_t now = raw_now(node);
		if (node->stranger_logged_ns != 0 && now - node->stranger_logged_ns < STRANGER_LOG_NS)
			return;
		node->stranger_logged_ns = now;
		env_log(node->env, ENV_WARN, "peers", "stranger: %s", text);
		return;
	}
	char *last = peer->complaints[strncmp(text, "refuses", 7) == 0 ? 0 : strncmp(text, "refused", 7) == 0 ? 1 : 2];
	if (strcmp(last, text) == 0)
		return;
	snprintf(last, sizeof peer->complaints[0], "%s", text);
	env_log(node->env, ENV_WARN, "peers", "peer=%" PRIu64 " %s", peer->id, text);
}

/* ---- Ends ---- */

static void plan_dial(struct ikada_node *node, struct peer *peer)
{
	uint64_t half = peer->backoff_ns / 2;
	peer->dial_at_ns = raw_now(node) + half + rng_below(&node->rng, half + 1);
	peer->backoff_ns = earlier(2 * peer->backoff_ns, BACKOFF_MAX_NS);
}

/* The stream is no more; lets go of everything that belonged to it. */
static void let_go(struct link *link)
{
	struct ikada_node *node = link->node;
	struct peer *peer = link->peer;
	link->stream = NULL;
	list_remove(&link->all);
	list_push(&node->gone, &link->all);
	if (peer == NULL) {
		node->stranger_count--;
		return;
	}
	if (link->ready) {
		link->ready = false;
		send_link_closed(peer);
		receive_link_closed(link);
		peer->link = NULL;
		if (awake_now(node) - link->since_ns >= STABLE_NS)
			peer->backoff_ns = BACKOFF_MIN_NS;
		env_log(node->env, ENV_INFO, "peers", "peer=%" PRIu64 " disconnected", peer->id);
		requests_link_closed(link);
	}
	if (peer->dialing == link)
		peer->dialing = NULL;
	if (we_dial(node, peer))
		plan_dial(node, peer);
	else
		peer->dial_at_ns = raw_now(node) + KNOCK_NS / 2 + rng_below(&node->rng, KNOCK_NS);
}

void links_end(struct link *link, bool flush)
{
	if (link->stream == NULL)
		return;
	link->node->env->ops->stream_close(link->stream, flush);
	let_go(link);
}

static void closed(void *context, int status)
{
	struct link *link = context;
	struct ikada_node *node = link->node;
	struct peer *peer = link->peer;
	bool current = link->ready;
	if (link->dialed && !current) {
		char text[COMPLAINT_BYTES];
		snprintf(text, sizeof text, "cannot be reached at %s: %s", peer->address,
			 status == 0 ? "it closed the connection" : strerror(-status));
		links_complain(node, peer, text);
	}
	let_go(link);
	if (current && (status == 0 || status == -ECONNRESET)) {
		struct ikada_event event = {
			.kind = IKADA_PEER_LOST, .peer = peer->id, .peer_incarnation = peer->incarnation};
		drive_event(node, &event);
	}
}

/* ---- Frames in ---- */

static void hostile(struct link *link, const char *what)
{
	links_complain(link->node, link->peer, what);
	links_end(link, false);
}

static void raft_frame(struct link *link, const struct wire_frame *frame)
{
	struct ikada_node *node = link->node;
	struct wire_raft raft;
	if (frame->cluster_id != node->cluster_id || node->cluster_id == 0 || frame->group != 0 ||
	    !wire_get_raft(frame, &raft) || raft.message.from != link->peer->id ||
	    raft.message.to != node->settings.id) {
		hostile(link, "sent a broken raft message");
		return;
	}
	if (node->raft == NULL)
		boot_start(node); /* Its core runs, so all members stand by the configuration. */
	if (!roster_received(node, &raft)) {
		hostile(link, "sent a broken configuration");
		return;
	}
	raft.message.from_incarnation = link->peer->incarnation;
	drive_receive(node, &raft);
}

static void forward_frame(struct link *link, const struct wire_frame *frame)
{
	struct wire_forward forward;
	if (frame->cluster_id != link->node->cluster_id || !wire_get_forward(frame, &forward))
		hostile(link, "forwarded a broken request");
	else
		route_forwarded(link, &forward);
}

static void forward_reply_frame(struct link *link, const struct wire_frame *frame)
{
	struct wire_forward_reply reply;
	if (frame->cluster_id != link->node->cluster_id || !wire_get_forward_reply(frame, &reply))
		hostile(link, "sent a broken reply");
	else
		route_reply(link->peer, &reply);
}

static void snapshot_frame(struct link *link, const struct wire_frame *frame)
{
	struct wire_chunk chunk;
	struct wire_ack ack;
	uint64_t index;
	if (frame->cluster_id != link->node->cluster_id)
		hostile(link, "sent a part of a snapshot of another cluster");
	else if (frame->type == WIRE_SNAPSHOT_CHUNK && wire_get_chunk(frame, &chunk))
		receive_chunk(link, &chunk);
	else if (frame->type == WIRE_SNAPSHOT_ACK && wire_get_ack(frame, &ack))
		send_ack(link, &ack);
	else if (frame->type == WIRE_SNAPSHOT_ASK && wire_get_ask(frame, &index))
		send_ask(link, index);
	else
		hostile(link, "sent a broken part of a snapshot");
}

static void digests_frame(struct link *link, const struct wire_frame *frame)
{
	struct wire_digest digests[WIRE_DIGESTS_MAX];
	size_t count;
	if (frame->cluster_id != link->node->cluster_id || !wire_get_digests(frame, digests, &count))
		hostile(link, "sent broken digests");
	else
		digest_frame(link, digests, count);
}

/* The cluster has taken this node in, which has yet to write down that it has. What it misses comes again. */
static bool too_early(const struct link *link, const struct wire_frame *frame)
{
	const struct ikada_node *node = link->node;
	return node->cluster_id == 0 && frame->cluster_id != 0 && frame->cluster_id == node->promised_cluster_id &&
	       frame->type != WIRE_WELCOME && frame->type != WIRE_REFUSE;
}

static void take_frame(struct link *link, const struct wire_frame *frame)
{
	if (!link->ready) {
		handshake_frame(link, frame);
		return;
	}
	if (too_early(link, frame))
		return;
	switch (frame->type) {
	case WIRE_RAFT:
		raft_frame(link, frame);
		return;
	case WIRE_FORWARD:
		forward_frame(link, frame);
		return;
	case WIRE_FORWARD_REPLY:
		forward_reply_frame(link, frame);
		return;
	case WIRE_SNAPSHOT_CHUNK:
	case WIRE_SNAPSHOT_ACK:
	case WIRE_SNAPSHOT_ASK:
		snapshot_frame(link, frame);
		return;
	case WIRE_DIGESTS:
		digests_frame(link, frame);
		return;
	case WIRE_PING:
		return;
	case WIRE_WELCOME:
	case WIRE_REFUSE:
		handshake_frame(link, frame);
		return;
	default:
		hostile(link, "sent a frame of an unknown type");
	}
}

/* Takes whole frames off the front; returns how many bytes they had. */
static size_t take_frames(struct link *link, const uint8_t *bytes, size_t size)
{
	size_t at = 0;
	while (link->stream != NULL) {
		struct wire_frame frame;
		size_t used;
		size_t body_max = link->ready ? WIRE_BODY_BYTES_MAX : WIRE_STRANGER_BYTES;
		enum wire_next next = wire_next(bytes + at, size - at, body_max, &frame, &used);
		if (next == WIRE_MORE)
			return at;
		if (next == WIRE_HOSTILE) {
			hostile(link, "sent bytes that are no frame of this protocol");
			return at;
		}
		at += used;
		take_frame(link, &frame);
	}
	return at;
}

static void received(void *context, const uint8_t *bytes, size_t size)
{
	struct link *link = context;
	link->received_ns = awake_now(link->node);
	if (buf_size(&link->in) == 0) {
		size_t used = take_frames(link, bytes, size);
		if (link->stream != NULL)
			buf_add(&link->in, bytes + used, size - used);
		return;
	}
	buf_add(&link->in, bytes, size);
	size_t used = take_frames(link, buf_at(&link->in), buf_size(&link->in));
	buf_consume(&link->in, used);
}

static void opened(void *context)
{
	struct link *link = context;
	link->received_ns = awake_now(link->node);
	handshake_hello(link, WIRE_HELLO);
}

static void drained(void *context)
{
	(void)context; /* A turn follows: what waited for room is sent then. */
}

/* ---- New connections ---- */

static const struct env_stream_events stream_events = {opened, received, drained, closed};

static struct link *new_link(struct ikada_node *node, struct peer *peer)
{
	struct link *link = mem_zero(node->mem, sizeof *link);
	link->node = node;
	link->peer = peer;
	link->dialed = peer != NULL;
	link->since_ns = awake_now(node);
	link->received_ns = link->since_ns;
	link->sent_ns = raw_now(node);
	buf_init(&link->in, node->mem);
	buf_keep(&link->in, FRAME_KEEP_BYTES);
	list_init(&link->guests);
	list_push(&node->links, &link->all);
	return link;
}

static void accepted(void *context, struct env_stream *stream)
{
	struct ikada_node *node = context;
	if (node->stranger_count == STRANGERS_MAX) {
		/* The oldest has had the longest time to say who it is. */
		struct list *at = node->links.next;
		while (LIST_OF(at, struct link, all)->peer != NULL)
			at = at->next;
		links_complain(node, NULL, "too many connections that do not say who they are; the oldest is closed");
		links_end(LIST_OF(at, struct link, all), false);
	}
	struct link *link = new_link(node, NULL);
	link->stream = stream;
	node->stranger_count++;
	node->env->ops->stream_attach(stream, &stream_events, link);
}

static void dial(struct ikada_node *node, struct peer *peer)
{
	peer->dialing = new_link(node, peer);
	peer->dialing->stream = node->env->ops->connect(node->env, peer->address, &stream_events, peer->dialing);
}

bool links_open(struct ikada_node *node, char *error, size_t error_size)
{
	static const struct env_accept_events events = {accepted};
	const char *address = node->peers[node->self].address;
	int status = node->env->ops->listen(node->env, address, &events, node, &node->listener);
	if (status != 0) {
		node->listener = NULL;
		snprintf(error, error_size, "cannot listen for peers on %s: %s", address, strerror(-status));
		return false;
	}
	for (uint32_t i = 0; i < node->peer_count; i++)
		links_new_peer(node, &node->peers[i]);
	return true;
}

static void free_gone(struct ikada_node *node)
{
	while (!list_empty(&node->gone)) {
		struct link *link = LIST_OF(node->gone.next, struct link, all);
		list_remove(&link->all);
		buf_free(&link->in);
		mem_free(node->mem, link);
	}
}

void links_close(struct ikada_node *node)
{
	if (node->listener != NULL)
		node->env->ops->listener_close(node->listener);
	while (!list_empty(&node->links))
		links_end(LIST_OF(node->links.next, struct link, all), true);
	free_gone(node);
}

/* ---- Frames out ---- */

bool links_room(const struct peer *peer)
{
	const struct link *link = peer->link;
	return link != NULL && link->node->env->ops->stream_pending(link->stream) < OUTPUT_BYTES_MAX;
}

bool links_send_frame(struct ikada_node *node, struct peer *peer, const struct buf *frame)
{
	if (!links_room(peer))
		return false;
	node->env->ops->stream_write_frame(peer->link->stream, buf_at(frame), buf_size(frame));
	peer->link->sent_ns = raw_now(node);
	return true;
}

void links_send(struct link *link, const struct buf *frame)
{
	struct ikada_node *node = link->node;
	if (link->overfull || node->env->ops->stream_pending(link->stream) > OVERFULL_BYTES) {
		link->overfull = true;
		node->wanted = true;
		return;
	}
	node->env->ops->stream_write(link->stream, buf_at(frame), buf_size(frame));
	link->sent_ns = raw_now(node);
}

void links_plain(struct link *link, enum wire_type type, const char *text)
{
	struct ikada_node *node = link->node;
	wire_put_plain(&node->scratch, type, node->cluster_id, text, strlen(text));
	links_send(link, &node->scratch);
	buf_consume(&node->scratch, buf_size(&node->scratch));
}

/* ---- Time ---- */

/* Closes a connection whose time is up; pings. Returns when it wants to be looked at again (raw). */
static uint64_t look_at(struct link *link)
{
	struct ikada_node *node = link->node;
	uint64_t raw = raw_now(node);
	uint64_t awake = awake_now(node);
	if (link->overfull) {
		hostile(link, "does not read its replies; they are too many to keep");
		return UINT64_MAX;
	}
	uint64_t limit = link->ready ? silence_ns(node) : HANDSHAKE_NS;
	uint64_t quiet = awake - (link->ready ? link->received_ns : link->since_ns);
	if (quiet >= limit) {
		hostile(link, link->ready ? "is silent: its connection is closed" : "did not shake hands in time");
		return UINT64_MAX;
	}
	uint64_t wake = raw + (limit - quiet);
	if (!link->ready)
		return wake;
	if (raw - link->sent_ns >= ping_ns(node))
		links_plain(link, WIRE_PING, "");
	/* Something else wakes this node sooner, mostly: then it pings. */
	return earlier(wake, link->sent_ns + ping_ns(node) + ping_ns(node) / 4);
}

uint64_t links_time(struct ikada_node *node)
{
	uint64_t wake = UINT64_MAX;
	free_gone(node);
	struct list *next;
	for (struct list *at = node->links.next; at != &node->links; at = next) {
		next = at->next;
		wake = earlier(wake, look_at(LIST_OF(at, struct link, all)));
	}
	for (uint32_t i = 0; i < node->peer_count; i++) {
		struct peer *peer = &node->peers[i];
		if (peer->id == 0 || i == node->self || peer->address[0] == '\0' || peer->gone_ns != 0 ||
		    peer->link != NULL || peer->dialing != NULL)
			continue;
		if (peer->dial_at_ns <= raw_now(node)) {
			dial(node, peer);
			wake = earlier(wake, raw_now(node) + HANDSHAKE_NS);
		} else {
			wake = earlier(wake, peer->dial_at_ns);
		}
	}
	return wake;
}
