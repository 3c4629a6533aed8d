/*
 * Snapshots of the own state (paper, 7): when one is taken, and what may go then.
 *
 * The state is held, which takes no time, and written while more is applied, a piece now and then, by operations that
 * do not keep the loop. When it has been synced and read back, and the log is durable as far as it reaches, it is
 * published, and only then older files go, and the log in front of the older of the two that are kept: so that one
 * damaged file costs nothing, and slow followers find a tail. At any moment a crash leaves a whole snapshot, or the
 * whole log, and the log behind it.
 *
 * One at a time. One that fails is removed and tried again later; nobody is told anything before it is published.
 */
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RETRY_NS (5 * NS_PER_S)
#define READ_BACK_BYTES ((size_t)1024 * 1024)
/* A log that is kept for a member who is being sent a snapshot may grow so many times as large as one is to be. */
#define PINNED_LOG 4
/*
 * About 30 MB of a snapshot are written in a second, so that the processor and the disk stay free for writes between
 * two pieces. For each byte that the log grows by, some more follow at once: a snapshot must come to an end.
 */
#define PACE_NS_PER_BYTE 32
#define PACE_LOG 4
#define READ_BACK_COST 4 /* A byte written costs as much as so many that are read back. */

static void observe(struct ikada_node *node, enum node_snapshot_step step)
{
	if (node->observer != NULL)
		node->observer->snapshot_step(node->observer->context, step);
}

uint64_t snapshots_newest(const struct ikada_node *node)
{
	const struct snapshots *s = &node->snapshots;
	return s->count == 0 ? 0 : s->kept[s->count - 1].index;
}

/* ---- Which are kept ---- */

static void remove_file(struct ikada_node *node, struct snapshot which)
{
	int status = snapshot_remove(node->env, node->snapshots.dir, which);
	if (status != 0)
		env_log(node->env, ENV_WARN, "snapshot", "the snapshot of index %" PRIu64 " cannot be removed: %s",
			which.index, strerror(-status));
}

void snapshots_add(struct ikada_node *node, struct snapshot which)
{
	struct snapshots *s = &node->snapshots;
	uint32_t at = s->count;
	while (at > 0 && s->kept[at - 1].index > which.index)
		at--;
	if (at > 0 && s->kept[at - 1].index == which.index)
		return; /* The file was replaced. */
	memmove(&s->kept[at + 1], &s->kept[at], (s->count - at) * sizeof *s->kept);
	s->kept[at] = which;
	s->count++;
	if (s->count <= SNAPSHOTS_KEPT)
		return;
	remove_file(node, s->kept[0]);
	s->count--;
	memmove(&s->kept[0], &s->kept[1], s->count * sizeof *s->kept);
	observe(node, NODE_SNAPSHOT_PRUNED);
}

void snapshots_drop(struct ikada_node *node, struct snapshot which)
{
	struct snapshots *s = &node->snapshots;
	uint32_t left = 0;
	for (uint32_t i = 0; i < s->count; i++)
		if (s->kept[i].index != which.index)
			s->kept[left++] = s->kept[i];
	s->count = left;
	remove_file(node, which);
}

void snapshots_keep_only(struct ikada_node *node, struct snapshot which)
{
	struct snapshots *s = &node->snapshots;
	for (uint32_t i = 0; i < s->count; i++)
		if (s->kept[i].index != which.index)
			remove_file(node, s->kept[i]);
	s->kept[0] = which;
	s->count = 1;
}

struct snapshot snapshots_up_to(struct ikada_node *node, uint64_t index)
{
	struct snapshots *s = &node->snapshots;
	while (s->count > 0 && s->kept[s->count - 1].index > index) {
		uint64_t before = s->count == 1 ? 0 : s->kept[s->count - 2].index;
		if (before < node->cache.base)
			break; /* The log does not reach back to that one. */
		snapshots_drop(node, s->kept[s->count - 1]);
	}
	return s->count == 0 ? (struct snapshot){0, 0} : s->kept[s->count - 1];
}

/* The log may begin behind the older one. */
static void compact(struct ikada_node *node)
{
	const struct snapshots *s = &node->snapshots;
	if (s->count < SNAPSHOTS_KEPT || node->restore.active)
		return;
	uint64_t index = s->kept[0].index;
	if (node->cache.bytes / PINNED_LOG < node->settings.snapshot_log_bytes)
		index = earlier(index, send_pinned(node));
	if (index <= node->cache.base)
		return;
	struct ikada_event event = {.kind = IKADA_COMPACT, .last_index = index};
	drive_event(node, &event);
	if (node->cache.base == index)
		observe(node, NODE_SNAPSHOT_COMPACTED);
}

/* ---- Taking one ---- */

static bool due(const struct ikada_node *node)
{
	const struct snapshots *s = &node->snapshots;
	uint64_t now = raw_now(node);
	/* A state that may be wrong must not take the place of one that is not. */
	if (!has_snapshots(node) || node->raft == NULL || node->restore.active || node->digests.doubted ||
	    node->digests.unclear_since_ns != 0 || node->applied_members.config.count == 0 ||
	    node->applied <= snapshots_newest(node) || now < s->not_before_ns)
		return false;
	return s->wanted || s->bytes_since >= s->due_bytes ||
	       (node->wants_compaction && now >= s->published_ns + NS_PER_S);
}

/* Between three and five quarters of what is set: the members had better not all be at it at the same time. */
static void draw_due(struct ikada_node *node)
{
	uint64_t bytes = node->settings.snapshot_log_bytes;
	node->snapshots.due_bytes = bytes - bytes / 4 + rng_below(&node->rng, bytes / 2);
}

static void let_go(struct ikada_node *node)
{
	struct snapshots *s = &node->snapshots;
	if (s->held != NULL)
		node->machine.release(node->machine.context, s->held);
	s->held = NULL;
}

static void count_piece(struct ikada_node *node, uint64_t bytes)
{
	struct snapshots *s = &node->snapshots;
	s->piece_ns = raw_now(node);
	s->piece_bytes = bytes;
	s->piece_since = s->bytes_since;
}

/* When the next one may follow. */
static uint64_t next_piece_ns(const struct ikada_node *node)
{
	const struct snapshots *s = &node->snapshots;
	uint64_t grown = PACE_LOG * (s->bytes_since - s->piece_since);
	return grown >= s->piece_bytes ? s->piece_ns : s->piece_ns + (s->piece_bytes - grown) * PACE_NS_PER_BYTE;
}

static void begin(struct ikada_node *node)
{
	struct snapshots *s = &node->snapshots;
	const struct snapshot name = {node->applied, node->applied_term};
	s->held = node->machine.hold(node->machine.context);
	node->machine.digest(node->machine.context, s->digest);
	s->bytes_since = 0;
	s->wanted = false;
	draw_due(node);
	s->draft = snapshot_draft_open(node->env, s->dir, name, DRAFT_TAKEN);
	struct buf members;
	buf_init(&members, node->mem);
	wire_put_members(&members, &node->applied_members);
	const struct snapshot_header header = {
		.cluster_id = node->cluster_id,
		.index = name.index,
		.term = name.term,
		.stamp = node->applied_stamp,
		.members = buf_at(&members),
		.members_size = buf_size(&members),
	};
	snapshot_put_header(s->draft, &header);
	buf_free(&members);
	count_piece(node, 0);
	observe(node, NODE_SNAPSHOT_HELD);
}

static void save_piece(struct ikada_node *node)
{
	struct snapshots *s = &node->snapshots;
	struct buf *out = snapshot_begin_block(s->draft);
	bool more = node->machine.save(node->machine.context, s->held, out, snapshot_piece_bytes(node));
	snapshot_end_block(s->draft);
	count_piece(node, buf_size(&s->draft->filling));
	if (more)
		return;
	let_go(node);
	snapshot_put_footer(s->draft, s->digest);
	snapshot_draft_settle(s->draft);
	observe(node, NODE_SNAPSHOT_SAVED);
}

void snapshots_abandon(struct ikada_node *node)
{
	struct snapshots *s = &node->snapshots;
	let_go(node);
	if (s->draft != NULL)
		snapshot_draft_close(s->draft);
	s->draft = NULL;
}

static void failed(struct ikada_node *node)
{
	struct snapshots *s = &node->snapshots;
	env_log(node->env, ENV_WARN, "snapshot", "the snapshot of index %" PRIu64 " is given up: %s",
		s->draft->name.index, s->draft->error);
	snapshots_abandon(node);
	s->wanted = true;
	s->not_before_ns = raw_now(node) + RETRY_NS;
}

/* It was read back. The log must not end before it: what was acknowledged stands there, too. True: it was done. */
static bool publish(struct ikada_node *node)
{
	struct snapshots *s = &node->snapshots;
	const struct snapshot name = s->draft->name;
	struct ikada_raft_status status;
	ikada_raft_status(node->raft, &status);
	if (status.durable_index < name.index)
		return false;
	if (!snapshot_draft_publish(s->draft)) {
		failed(node);
		return false;
	}
	env_log(node->env, ENV_INFO, "snapshot", "taken index=%" PRIu64 " term=%" PRIu64 " bytes=%" PRIu64, name.index,
		name.term, s->draft->written);
	snapshot_draft_close(s->draft);
	s->draft = NULL;
	s->published_ns = raw_now(node);
	observe(node, NODE_SNAPSHOT_PUBLISHED);
	snapshots_add(node, name);
	return true;
}

static bool has_room(const struct ikada_node *node, const struct snapshot_draft *draft)
{
	return draft->state == DRAFT_OPEN && buf_size(&draft->filling) < snapshot_piece_bytes(node);
}

/* True: there is more to do, when the next piece may follow. */
static bool go_on(struct ikada_node *node)
{
	struct snapshots *s = &node->snapshots;
	bool may = next_piece_ns(node) <= raw_now(node);
	if (may && has_room(node, s->draft))
		save_piece(node);
	uint64_t read = s->draft->reader.consumed;
	bool more = snapshot_draft_step(s->draft, may ? READ_BACK_BYTES : 0);
	if (s->draft->reader.consumed > read)
		count_piece(node, (s->draft->reader.consumed - read) / READ_BACK_COST);
	return more || has_room(node, s->draft);
}

uint64_t snapshots_turn(struct ikada_node *node)
{
	struct snapshots *s = &node->snapshots;
	compact(node);
	if (s->draft == NULL && !due(node))
		return s->wanted ? s->not_before_ns : UINT64_MAX;
	if (s->draft == NULL)
		begin(node);
	bool more = go_on(node);
	if (more && s->draft->state == DRAFT_VALID)
		observe(node, NODE_SNAPSHOT_VERIFIED);
	if (s->draft->state == DRAFT_VALID)
		more = publish(node);
	else if (s->draft->state == DRAFT_FAILED)
		failed(node);
	return more ? next_piece_ns(node) : UINT64_MAX;
}

/* ---- Open and close ---- */

static uint64_t term_at(const struct ikada_node *node, const struct wal_state *state, uint64_t index)
{
	if (index == state->base_index)
		return state->base_term;
	if (index < state->base_index || index > node->cache.last)
		return 0;
	struct entry entry;
	cache_get(&node->cache, index, &entry);
	return entry.term;
}

/* What the log does not reach was received, and a crash came before it was in force; or is older than the log. */
static void take_stock(struct ikada_node *node, const struct wal_state *state, const struct snapshot *found,
		       int64_t count)
{
	for (int64_t i = 0; i < count; i++) {
		if (found[i].index > 0 && term_at(node, state, found[i].index) == found[i].term) {
			snapshots_add(node, found[i]);
			continue;
		}
		env_log(node->env, ENV_INFO, "snapshot",
			"removes the snapshot of index %" PRIu64 ": the log has %" PRIu64 " to %" PRIu64,
			found[i].index, state->base_index, node->cache.last);
		remove_file(node, found[i]);
	}
}

bool snapshots_open(struct ikada_node *node, const struct wal_state *state, char *error, size_t error_size)
{
	struct snapshots *s = &node->snapshots;
	if (!has_snapshots(node) && state->base_index > 0) {
		snprintf(error, error_size,
			 "the log in %s begins behind entry %" PRIu64 ", but this state machine cannot load a snapshot",
			 node->data_dir, state->base_index);
		return false;
	}
	if (!has_snapshots(node))
		return true;
	draw_due(node);
	s->dir = path_join(node->mem, node->data_dir, "snapshot");
	struct snapshot *found = NULL;
	int64_t count = snapshot_dir_make(node->env, s->dir);
	if (count == 0)
		count = snapshot_list(node->env, s->dir, &found);
	if (count >= 0)
		take_stock(node, state, found, count);
	mem_free(node->mem, found);
	if (count < 0) {
		snprintf(error, error_size, "the directory %s cannot be made or read: %s", s->dir,
			 strerror((int)-count));
		return false;
	}
	return restore_newest(node, error, error_size);
}

void snapshots_close(struct ikada_node *node)
{
	snapshots_abandon(node);
	mem_free(node->mem, node->snapshots.dir);
}
