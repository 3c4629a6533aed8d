/*
 * Snapshots on their way to this node, one at a time: chunks are written to a draft as they come, acknowledged when
 * they are written, and when all are there the file is synced, read back and published; then the core is told, and
 * the machine's state is loaded from it. The sender hears the end when the log's new beginning is durable.
 *
 * What was received of a snapshot is kept while its connection is lost, and offered again to whoever has the same
 * one; it goes when another one comes, or when nobody needs it any more. A draft that failed is begun anew from its
 * start.
 *
 * The core decides whether a leader's snapshot is wanted, with each chunk. One that this node asked for, to mend its
 * state, gives way to a leader's.
 */
#include "node/node_internal.h"

#include <inttypes.h>
#include <string.h>

enum { CHUNKS_WAITING_MAX = 8 };
#define READ_BACK_BYTES ((size_t)1024 * 1024)

static void observe(struct ikada_node *node, enum node_snapshot_step step)
{
	if (node->observer != NULL)
		node->observer->snapshot_step(node->observer->context, step);
}

static void answer(struct link *link, struct snapshot which, enum wire_ack_status status, uint64_t offset)
{
	struct ikada_node *node = link->node;
	const struct wire_ack ack = {
		.index = which.index, .index_term = which.term, .offset = offset, .status = status};
	wire_put_ack(&node->scratch, node->cluster_id, &ack);
	links_send(link, &node->scratch);
	buf_consume(&node->scratch, buf_size(&node->scratch));
}

/* To the sender, if it is still there. */
static void tell(struct ikada_node *node, enum wire_ack_status status, uint64_t offset)
{
	const struct incoming *in = &node->incoming;
	if (in->link != NULL)
		answer(in->link, in->draft->name, status, offset);
}

void receive_close(struct ikada_node *node)
{
	if (node->incoming.draft != NULL)
		snapshot_draft_close(node->incoming.draft);
	memset(&node->incoming, 0, sizeof node->incoming);
}

void receive_link_closed(struct link *link)
{
	if (link->node->incoming.link == link)
		link->node->incoming.link = NULL;
}

/* ---- Chunks ---- */

static bool admit(struct link *link, const struct wire_chunk *chunk)
{
	struct ikada_node *node = link->node;
	const struct incoming *in = &node->incoming;
	if (!has_snapshots(node) || node->raft == NULL || in->installed)
		return false;
	if (chunk->mend)
		return node->digests.mending && chunk->index >= node->cache.base && (in->draft == NULL || in->mend);
	return drive_snapshot_chunk(node, link->peer, chunk);
}

static bool is_under_way(const struct incoming *in, const struct wire_chunk *chunk)
{
	return in->draft != NULL && in->draft->name.index == chunk->index &&
	       in->draft->name.term == chunk->index_term && in->bytes == chunk->file_bytes && in->mend == chunk->mend;
}

static void begin(struct link *link, const struct wire_chunk *chunk)
{
	struct ikada_node *node = link->node;
	struct incoming *in = &node->incoming;
	receive_close(node);
	const struct snapshot name = {chunk->index, chunk->index_term};
	in->draft = snapshot_draft_open(node->env, node->snapshots.dir, name, DRAFT_RECEIVED);
	in->bytes = chunk->file_bytes;
	in->mend = chunk->mend;
	env_log(node->env, ENV_INFO, "snapshot", "receiving index=%" PRIu64 " bytes=%" PRIu64 " from peer=%" PRIu64,
		chunk->index, chunk->file_bytes, link->peer->id);
	observe(node, NODE_RECEIVE_BEGAN);
}

void receive_chunk(struct link *link, const struct wire_chunk *chunk)
{
	struct ikada_node *node = link->node;
	struct incoming *in = &node->incoming;
	const struct snapshot name = {chunk->index, chunk->index_term};
	if (!admit(link, chunk)) {
		answer(link, name, WIRE_ACK_REFUSED, 0);
		return;
	}
	if (!is_under_way(in, chunk))
		begin(link, chunk);
	else if (in->link == NULL && in->got > 0)
		observe(node, NODE_RECEIVE_RESUMED);
	in->link = link;
	node->wanted = true;
	if (chunk->size == 0) {
		in->told = in->got;
		answer(link, name, WIRE_ACK_WANTS, in->got);
		return;
	}
	if (chunk->offset != in->got || in->draft->state != DRAFT_OPEN ||
	    buf_size(&in->draft->filling) > CHUNKS_WAITING_MAX * WIRE_CHUNK_BYTES_MAX) {
		answer(link, name, WIRE_ACK_REFUSED, 0);
		return;
	}
	buf_add(&in->draft->filling, chunk->bytes, chunk->size);
	in->got += chunk->size;
	if (in->got == in->bytes)
		snapshot_draft_settle(in->draft);
}

/* ---- The whole ---- */

static void failed(struct ikada_node *node, const char *why)
{
	env_log(node->env, ENV_WARN, "snapshot", "the received snapshot of index %" PRIu64 " is given up: %s",
		node->incoming.draft->name.index, why);
	tell(node, WIRE_ACK_FAILED, 0);
	receive_close(node);
}

/* It was read back. */
static void install(struct ikada_node *node)
{
	struct incoming *in = &node->incoming;
	const struct snapshot name = in->draft->name;
	const struct snapshot_header *header = &in->draft->reader.header;
	struct wire_members members;
	if (header->cluster_id != node->cluster_id) {
		failed(node, "it is of another cluster");
		return;
	}
	if (!wire_get_members(header->members, header->members_size, &members) ||
	    !ikada_config_valid(&members.config) || members.config.index > name.index) {
		failed(node, "its configuration cannot be read");
		return;
	}
	if (!snapshot_draft_publish(in->draft)) {
		failed(node, in->draft->error);
		return;
	}
	observe(node, NODE_RECEIVE_PUBLISHED);
	struct ikada_event event = {
		.kind = IKADA_INSTALL, .last_index = name.index, .last_term = name.term, .config = &members.config};
	node->installing = &members;
	drive_event(node, &event);
	node->installing = NULL;
	if (name.index > node->commit || name.index < node->cache.base) {
		snapshot_remove(node->env, node->snapshots.dir, name);
		tell(node, WIRE_ACK_REFUSED, 0);
		receive_close(node);
		return;
	}
	/* Perhaps it came too late, and is only one more: there, too, it is sure when the log is. */
	in->installed = true;
	in->after = node->last_ticket;
	snapshots_add(node, name);
	if (in->mend) {
		/* The others hold the state that cannot be trusted. The log goes on behind this one. */
		snapshots_keep_only(node, name);
		if (!node->restore.active)
			restore_begin(node, name);
	}
	observe(node, NODE_RECEIVE_INSTALLED);
}

/* Nobody needs it any more: the log has come so far by itself, or the state was mended otherwise. */
static bool superfluous(const struct ikada_node *node)
{
	const struct incoming *in = &node->incoming;
	return in->mend ? !node->digests.mending : node->commit >= in->draft->name.index;
}

bool receive_turn(struct ikada_node *node)
{
	struct incoming *in = &node->incoming;
	if (in->draft == NULL)
		return false;
	if (in->installed) {
		if (node->durable_ticket < in->after)
			return false;
		tell(node, WIRE_ACK_DONE, in->bytes);
		receive_close(node);
		return false;
	}
	if (superfluous(node)) {
		tell(node, WIRE_ACK_REFUSED, 0);
		receive_close(node);
		return false;
	}
	bool more = snapshot_draft_step(in->draft, READ_BACK_BYTES);
	if (in->draft->written > in->told && in->draft->state == DRAFT_OPEN) {
		in->told = in->draft->written;
		tell(node, WIRE_ACK_WANTS, in->told);
	}
	if (in->draft->state == DRAFT_FAILED) {
		failed(node, in->draft->error);
	} else if (in->draft->state == DRAFT_VALID) {
		observe(node, NODE_RECEIVE_VERIFIED);
		install(node);
		more = true;
	}
	return more;
}
