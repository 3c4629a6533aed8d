/*
 * Snapshots on their way to others: a file is opened, offered, and sent in chunks from where the receiver wants it, a
 * few at a time, so that what else goes over the connection is not kept waiting for long. What it has of the same
 * snapshot from before its connection was lost, it does not want again.
 *
 * To a follower whose entries are no longer in the log the leader sends its newest snapshot, and tells the core how
 * that ended: every transfer that was begun ends once. To a member that asks for one because its own state is wrong,
 * any other member sends one. The open file outlives its name, and holds back compaction: see send_pinned.
 */
#include "node/node_internal.h"

#include <inttypes.h>
#include <string.h>

enum { CHUNKS_AHEAD = 2 };
#define FAILURE_PAUSE_NS (1 * NS_PER_S)
#define SILENCE_NS (10 * NS_PER_S)

static void stop(struct ikada_node *node, struct outgoing *o)
{
	if (o->file != NULL)
		node->env->ops->close(o->file);
	o->file = NULL;
}

/* Index 0: it failed. */
static void end(struct ikada_node *node, struct outgoing *o, uint64_t index)
{
	stop(node, o);
	node->wanted = true;
	if (o->mend)
		return;
	o->ended = true;
	o->ended_index = index;
}

void send_want(struct ikada_node *node, struct peer *peer)
{
	if (peer->outgoing.file != NULL || peer->outgoing.ended)
		return;
	peer->outgoing.wanted = true;
	node->wanted = true;
}

void send_ask(struct link *link, uint64_t index)
{
	struct outgoing *o = &link->peer->outgoing;
	o->asked = true;
	o->asked_index = index;
	link->node->wanted = true;
}

void send_link_closed(struct peer *peer)
{
	struct outgoing *o = &peer->outgoing;
	o->asked = false;
	if (o->file != NULL)
		end(peer->link->node, o, 0);
}

uint64_t send_pinned(const struct ikada_node *node)
{
	uint64_t index = UINT64_MAX;
	for (uint32_t i = 0; i < node->peer_count; i++)
		if (node->peers[i].outgoing.file != NULL)
			index = earlier(index, node->peers[i].outgoing.which.index);
	return index;
}

void send_close(struct ikada_node *node)
{
	for (uint32_t i = 0; i < node->peer_count; i++)
		stop(node, &node->peers[i].outgoing);
}

/* ---- Sending ---- */

static void send_chunk(struct ikada_node *node, struct peer *peer, const uint8_t *bytes, size_t size)
{
	const struct outgoing *o = &peer->outgoing;
	const struct wire_chunk chunk = {
		.term = node->term,
		.index = o->which.index,
		.index_term = o->which.term,
		.file_bytes = o->bytes,
		.offset = o->offset,
		.mend = o->mend,
		.bytes = bytes,
		.size = size,
	};
	wire_put_chunk(&node->scratch, node->cluster_id, &chunk);
	links_send(peer->link, &node->scratch);
	buf_consume(&node->scratch, buf_size(&node->scratch));
}

/* The newest snapshot is opened and offered. False: there is none that can be. */
static bool begin(struct ikada_node *node, struct peer *peer, bool mend)
{
	struct outgoing *o = &peer->outgoing;
	const struct snapshots *s = &node->snapshots;
	if (snapshots_newest(node) <= node->recovered_index)
		return false; /* There is none, or none of this cluster yet. */
	struct env_file *file;
	o->which = s->kept[s->count - 1];
	int status = snapshot_open(node->env, s->dir, o->which, &file);
	if (status != 0) {
		env_log(node->env, ENV_WARN, "snapshot", "index=%" PRIu64 " cannot be opened for peer=%" PRIu64 ": %s",
			o->which.index, peer->id, strerror(-status));
		return false;
	}
	int64_t bytes = node->env->ops->size(file);
	o->file = file;
	o->mend = mend;
	o->answered = false;
	o->term = node->term;
	o->bytes = bytes < 0 ? 0 : (uint64_t)bytes;
	o->offset = o->acked = 0;
	o->heard_ns = raw_now(node);
	env_log(node->env, ENV_INFO, "snapshot", "sending index=%" PRIu64 " bytes=%" PRIu64 " to peer=%" PRIu64 "%s",
		o->which.index, o->bytes, peer->id, mend ? ", which asked for it" : "");
	send_chunk(node, peer, NULL, 0);
	return true;
}

/* As far as the receiver has kept up. */
static void send_more(struct ikada_node *node, struct peer *peer)
{
	struct outgoing *o = &peer->outgoing;
	size_t chunk_bytes = snapshot_piece_bytes(node);
	while (o->offset < o->bytes && o->offset < o->acked + CHUNKS_AHEAD * chunk_bytes && links_room(peer)) {
		size_t size = (size_t)earlier(o->bytes - o->offset, chunk_bytes);
		int64_t got = node->env->ops->read_at(o->file, buf_reserve(&node->chunk, size), size, o->offset);
		if (got != (int64_t)size) {
			env_log(node->env, ENV_WARN, "snapshot",
				"index=%" PRIu64 " cannot be read at byte %" PRIu64 ": %s", o->which.index, o->offset,
				got < 0 ? strerror((int)-got) : "it ends there");
			o->not_before_ns = raw_now(node) + FAILURE_PAUSE_NS;
			end(node, o, 0);
			return;
		}
		buf_added(&node->chunk, size);
		send_chunk(node, peer, buf_at(&node->chunk), size);
		buf_consume(&node->chunk, size);
		o->offset += size;
	}
}

void send_ack(struct link *link, const struct wire_ack *ack)
{
	struct ikada_node *node = link->node;
	struct outgoing *o = &link->peer->outgoing;
	if (o->file == NULL || ack->index != o->which.index || ack->index_term != o->which.term)
		return;
	o->heard_ns = raw_now(node);
	switch (ack->status) {
	case WIRE_ACK_DONE:
		end(node, o, o->which.index);
		return;
	case WIRE_ACK_FAILED:
		/* Its disk may be full; or our file is damaged, and the next one will not be. */
		if (raw_now(node) >= node->snapshots.published_ns + SILENCE_NS)
			node->snapshots.wanted = true;
		o->not_before_ns = raw_now(node) + FAILURE_PAUSE_NS;
		end(node, o, 0);
		return;
	case WIRE_ACK_REFUSED:
		end(node, o, 0);
		return;
	case WIRE_ACK_WANTS:
		break;
	}
	if (!o->answered)
		o->offset = o->acked = earlier(ack->offset, o->bytes);
	else if (ack->offset > o->acked && ack->offset <= o->offset)
		o->acked = ack->offset;
	o->answered = true;
	node->wanted = true;
}

/* ---- The turn ---- */

static void tell_core(struct ikada_node *node, struct peer *peer)
{
	struct outgoing *o = &peer->outgoing;
	o->ended = false;
	struct ikada_event event = {.kind = IKADA_SNAPSHOT_ENDED,
				    .peer = peer->id,
				    .peer_incarnation = peer->incarnation,
				    .last_index = o->ended_index};
	drive_event(node, &event);
}

static bool outdated(const struct ikada_node *node, const struct outgoing *o)
{
	return o->mend ? node->digests.doubted : node->role != IKADA_LEADER || node->term != o->term;
}

/* One that a member asked for to mend its state; taken anew if none reaches so far. */
static void help(struct ikada_node *node, struct peer *peer)
{
	struct outgoing *o = &peer->outgoing;
	if (node->digests.doubted || node->restore.active) {
		o->asked = false;
	} else if (snapshots_newest(node) >= o->asked_index) {
		o->asked = false;
		begin(node, peer, true);
	} else {
		node->snapshots.wanted = true;
	}
}

static uint64_t look_after(struct ikada_node *node, struct peer *peer)
{
	struct outgoing *o = &peer->outgoing;
	uint64_t now = raw_now(node);
	if (o->file != NULL && (outdated(node, o) || now - o->heard_ns >= SILENCE_NS))
		end(node, o, 0);
	if (o->ended)
		tell_core(node, peer);
	if (node->role != IKADA_LEADER)
		o->wanted = false;
	if (o->file == NULL && peer->link != NULL && o->wanted && now >= o->not_before_ns) {
		o->wanted = false;
		begin(node, peer, false);
	}
	if (o->file == NULL && peer->link != NULL && o->asked)
		help(node, peer);
	if (o->file == NULL)
		return o->wanted && o->not_before_ns > now ? o->not_before_ns : UINT64_MAX;
	if (o->answered && peer->link != NULL)
		send_more(node, peer);
	return o->heard_ns + SILENCE_NS;
}

uint64_t send_turn(struct ikada_node *node)
{
	uint64_t wake = UINT64_MAX;
	for (uint32_t i = 0; i < node->peer_count; i++)
		if (i != node->self)
			wake = earlier(wake, look_after(node, &node->peers[i]));
	return wake;
}
