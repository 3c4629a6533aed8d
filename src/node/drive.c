/*
 * The driver: the only caller of the core. Turns events into steps and effects into log writes, frames and applied
 * entries. Holds each message until the ticket in its `after` is durable (HOUSE 2, 3, 6).
 *
 * Invariants: the cache holds exactly the entries of the core's log, and they are put into the log in the order in
 * which the core made them; a step is never entered while another is under way; there is one owner of `applied`: what
 * is loaded from a snapshot (restore.c) and what is applied here never run at the same time.
 */
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define APPEND_ENTRIES_MAX ((uint64_t)16384)
#define APPEND_PIECES_MAX 16
#define SEAL_AFTER_NS (100 * NS_PER_MS)
#define APPLY_BYTES 256 /* Of an entry, that take as long as one more entry, about. */

void drive_open(struct ikada_node *node)
{
	uint64_t segment = node->settings.segment_bytes;
	cache_init(&node->cache, node->mem, (size_t)earlier(segment, 1024 * 1024));
	node->append_bytes_max = (size_t)earlier(segment / 4, 1024 * 1024);
	node->outbox = mem_alloc(node->mem, OUTBOX_MAX * sizeof *node->outbox);
}

void drive_close(struct ikada_node *node)
{
	/* A write in flight still points into the log's memory; then the process is about to end anyway. */
	if (node->wal != NULL && wal_sync_started_ns(node->wal) == 0)
		wal_close(node->wal);
	cache_free(&node->cache);
	mem_free(node->mem, node->outbox);
	mem_free(node->mem, node->raft_memory);
}

/* ---- Effects ---- */

static void take_stamp(struct ikada_node *node)
{
	uint64_t wall = node->env->ops->wall_ns(node->env);
	node->stamp = wall > node->stamp ? wall : node->stamp;
}

static void encode_entry(struct ikada_node *node, struct entry *entry, enum entry_kind kind)
{
	entry->stamp = node->stamp;
	entry->kind = (uint16_t)kind;
	entry_encode(cache_add(&node->cache, entry_bytes(entry->length)), entry);
}

static void append_proposed(struct ikada_node *node, const struct ikada_effects *e)
{
	CHECK_OP(e->append_last - e->append_first + 1, <=, node->batch_count);
	for (uint64_t index = e->append_first; index <= e->append_last; index++) {
		struct op *op = node->batch[index - e->append_first];
		struct entry entry = {
			.index = index,
			.term = e->append_term,
			.request_node = op->request_node,
			.request_boot = op->request_boot,
			.request_number = op->request_number,
			.length = (uint32_t)op->size,
			.payload = op->bytes,
		};
		encode_entry(node, &entry, ENTRY_COMMAND);
		route_accepted(node, op, index, e->append_term);
	}
}

static void append_config(struct ikada_node *node, const struct ikada_effects *e)
{
	struct buf payload;
	buf_init(&payload, node->mem);
	roster_encode(node, &e->config, &payload);
	struct entry entry = {
		.index = e->append_first,
		.term = e->append_term,
		.request_node = node->settings.id,
		.request_boot = node->boot,
		.length = (uint32_t)buf_size(&payload),
		.payload = buf_at(&payload),
	};
	encode_entry(node, &entry, ENTRY_CONFIG);
	buf_free(&payload);
}

/* Copies entries append_first .. append_last of the message under way. */
static void append_received(struct ikada_node *node, const struct ikada_effects *e)
{
	const uint8_t *at = node->raft_in->entries;
	uint64_t index = node->raft_in->message.prev_index + 1;
	for (; index <= e->append_last; index++) {
		size_t size = entry_bytes(get_le32(at + 4));
		if (index >= e->append_first) {
			memcpy(cache_add(&node->cache, size), at, size);
			uint64_t stamp = get_le64(at + 24);
			node->stamp = stamp > node->stamp ? stamp : node->stamp;
		}
		at += size;
	}
}

static void append(struct ikada_node *node, const struct ikada_effects *e)
{
	cache_cut(&node->cache, e->append_first);
	roster_cut(node, e->append_first);
	CHECK_OP(node->cache.last + 1, ==, e->append_first);
	if (e->append != IKADA_APPEND_RECEIVED)
		take_stamp(node);
	if (e->append == IKADA_APPEND_NOOP) {
		struct entry entry = {.index = e->append_first, .term = e->append_term};
		entry.request_node = node->settings.id;
		entry.request_boot = node->boot;
		encode_entry(node, &entry, ENTRY_NOOP);
	} else if (e->append == IKADA_APPEND_PROPOSED) {
		append_proposed(node, e);
	} else if (e->append == IKADA_APPEND_CONFIG) {
		append_config(node, e);
	} else {
		CHECK(e->append == IKADA_APPEND_RECEIVED);
		append_received(node, e);
	}
	CHECK_OP(node->cache.last, ==, e->append_last);
	for (uint64_t first = e->append_first; first <= e->append_last;) {
		const uint8_t *bytes;
		size_t size;
		first = cache_piece(&node->cache, first, e->append_last, SIZE_MAX, &bytes, &size) + 1;
		wal_put_entries(node->wal, bytes, size);
	}
	bool may_change = e->append == IKADA_APPEND_CONFIG || node->received_count > 0;
	for (uint64_t i = e->append_first; (node->observer != NULL || may_change) && i <= e->append_last; i++) {
		struct entry entry;
		cache_get(&node->cache, i, &entry);
		if (may_change)
			roster_appended(node, &entry);
		if (node->observer != NULL)
			node->observer->appended(node->observer->context, &entry);
	}
}

/* The last index, up to `last`, such that the entries from `first` are not too many and have few enough terms. */
static uint64_t bound_runs(const struct ikada_node *node, uint64_t first, uint64_t last)
{
	if (last - first >= APPEND_ENTRIES_MAX)
		last = first + APPEND_ENTRIES_MAX - 1;
	if (ikada_raft_term_at(node->raft, first) == ikada_raft_term_at(node->raft, last))
		return last;
	uint64_t term = 0;
	uint32_t runs = 0;
	for (uint64_t index = first; index <= last; index++) {
		uint64_t t = ikada_raft_term_at(node->raft, index);
		if (t != term && runs++ == WIRE_RUNS_MAX)
			return index - 1;
		term = t;
	}
	return last;
}

/* Gathers a bounded prefix of the message's entries; sets its true last index. Returns the number of pieces. */
static size_t gather(struct ikada_node *node, struct ikada_message *m, struct wire_piece *pieces, size_t *bytes)
{
	size_t count = 0;
	uint64_t at = m->prev_index;
	uint64_t last = bound_runs(node, at + 1, m->last_index);
	size_t bytes_max = node->append_bytes_max;
	*bytes = 0;
	while (at < last && count < APPEND_PIECES_MAX && (count == 0 || *bytes < bytes_max)) {
		struct wire_piece *piece = &pieces[count];
		uint64_t end = cache_piece(&node->cache, at + 1, last, bytes_max - *bytes, &piece->bytes, &piece->size);
		if (count > 0 && *bytes + piece->size > bytes_max)
			break;
		at = end;
		*bytes += piece->size;
		count++;
	}
	m->last_index = at;
	return count;
}

/*
 * An answer to an append may be left out, like any message that may be lost, if it says nothing new: the sync of these
 * entries is under way, and is answered when it is done. Rounds are echoed at once, and now and then everything is, so
 * that a leader knows who hears it while a disk stalls.
 */
static bool says_nothing(const struct ikada_node *node, struct peer *peer, const struct ikada_message *m)
{
	if (m->kind != IKADA_APPEND_REPLY || m->rejected || m->sent_ns == 0)
		return false;
	uint64_t now = raw_now(node);
	if (m->verified_index > m->match_index && m->term == peer->echoed_term && m->round == peer->echoed_round &&
	    now - peer->echoed_ns < node->settings.heartbeat_ns / 2)
		return true;
	peer->echoed_term = m->term;
	peer->echoed_round = m->round;
	peer->echoed_ns = now;
	return false;
}

/* Sends a message whose ticket is durable. */
static void release(struct ikada_node *node, struct ikada_message *m)
{
	if ((m->kind == IKADA_APPEND || m->kind == IKADA_VOTE) && m->term != node->term)
		return;
	struct peer *peer = links_peer(node, m->to);
	if (peer == NULL || peer->incarnation != m->to_incarnation)
		return; /* It has gone, or another incarnation of it is there. */
	if (m->kind == IKADA_SNAPSHOT) {
		send_want(node, peer);
		return;
	}
	if (!links_room(peer) || says_nothing(node, peer, m))
		return;
	struct wire_piece pieces[APPEND_PIECES_MAX];
	size_t count = 0;
	size_t bytes = 0;
	bool entries = m->kind == IKADA_APPEND && m->last_index > m->prev_index;
	if (entries) {
		if (node->report_count == REPORTS_MAX)
			return;
		count = gather(node, m, pieces, &bytes);
	}
	wire_put_raft(&node->scratch, node->cluster_id, m, pieces, count);
	bool sent = links_send_frame(node, peer, &node->scratch);
	buf_consume(&node->scratch, buf_size(&node->scratch));
	if (!sent)
		return;
	if (entries) {
		size_t at = (node->report_start + node->report_count++) % REPORTS_MAX;
		node->reports[at] = (struct sent_report){m->to, m->to_incarnation, m->last_index, bytes};
	}
	if (node->observer != NULL)
		node->observer->sent(node->observer->context, m);
}

static void release_outbox(struct ikada_node *node)
{
	while (node->outbox_count > 0) {
		struct ikada_message m = node->outbox[node->outbox_start];
		if (m.after > node->durable_ticket)
			return;
		node->outbox_start = (node->outbox_start + 1) % OUTBOX_MAX;
		node->outbox_count--;
		release(node, &m);
	}
}

static void post(struct ikada_node *node, struct ikada_message *m)
{
	if (m->after <= node->durable_ticket) {
		release(node, m);
		return;
	}
	CHECK(m->kind != IKADA_APPEND);		/* A leader's term is durable before it leads. */
	if (node->outbox_count == OUTBOX_MAX) { /* The oldest gives way: any message may be lost. */
		node->outbox_start = (node->outbox_start + 1) % OUTBOX_MAX;
		node->outbox_count--;
	}
	node->outbox[(node->outbox_start + node->outbox_count++) % OUTBOX_MAX] = *m;
}

static const char *role_name(enum ikada_role role)
{
	static const char *const names[] = {"follower", "precandidate", "candidate", "leader"};
	return names[role];
}

/*
 * The log begins elsewhere: behind snapshots of our own, or at one that came from a leader. What is kept is the
 * configuration as of the applied entry: committed, and not older than the one as of the new beginning.
 */
static void change_base(struct ikada_node *node, const struct ikada_effects *e)
{
	bool keeps = !e->installed || e->kept;
	if (e->installed)
		roster_installed(node, node->installing, e->base_index, e->kept);
	else
		node->base_members = node->applied_members;
	wire_put_base(&node->scratch, node->cluster_id, node->recovered_from, &node->base_members);
	wal_put_base(node->wal, 0, e->base_index, e->base_term, buf_at(&node->scratch), buf_size(&node->scratch),
		     keeps);
	buf_consume(&node->scratch, buf_size(&node->scratch));
	if (keeps)
		cache_drop(&node->cache, e->base_index);
	else
		cache_reset(&node->cache, e->base_index);
	if (!e->installed)
		return;
	route_covered(node, e->base_index, e->base_term);
	restore_begin(node, (struct snapshot){e->base_index, e->base_term});
}

/* Reads the effects in the order in which they are laid out. */
static void absorb(struct ikada_node *node)
{
	struct ikada_effects *e = &node->effects;
	if (e->role_changed)
		env_log(node->env, ENV_INFO, "node", "role node=%" PRIu64 " role=%s term=%" PRIu64 " leader=%" PRIu64,
			node->settings.id, role_name(e->role), e->term, e->leader);
	if (e->leader != 0 && (e->leader != node->leader || e->term != node->term))
		node->leader_since_ns = raw_now(node);
	node->term = e->term;
	node->role = e->role;
	node->leader = e->leader;
	if (e->ticket != 0) {
		if (e->hard_changed)
			wal_put_hard(node->wal, 0, e->term, e->vote, e->vote_incarnation);
		if (e->append != IKADA_APPEND_NONE)
			append(node, e);
		if (e->base_changed)
			change_base(node, e);
		node->last_ticket = e->ticket;
		wal_put_ticket(node->wal, e->ticket + node->ticket_offset);
		node->last_write_ns = raw_now(node);
		node->sealed = false;
	}
	for (uint32_t i = 0; i < e->message_count; i++)
		post(node, &e->messages[i]);
	bool unsettled = node->latest.config.index > node->commit;
	if (e->commit > node->commit) {
		node->commit = e->commit;
		wal_note_commit(node->wal, 0, e->commit);
	}
	if (e->config_changed || (unsettled && node->latest.config.index <= e->commit))
		roster_changed(node);
	if (e->granted.count > 0)
		route_reads_granted(node, e->granted.first_id, e->granted.count, e->granted_index);
	for (uint64_t i = 0; i < e->refused_proposals.count; i++)
		requests_put_back(node, node->batch[e->refused_proposals.first_id - 1 + i]);
	if (e->refused_reads.count > 0)
		route_reads_refused(node, e->refused_reads.first_id, e->refused_reads.count);
	if (e->refused_changes.count > 0)
		node->change_refused = e->refused_changes_why;
	node->transfer_refused |= e->transfer_ended;
	if (e->change_given_up)
		roster_gave_up(node);
	if (e->forgot != 0)
		roster_forgot(node, e);
	node->accept_snapshot |= e->accept_snapshot;
	node->wants_compaction = e->wants_compaction;
}

/* ---- Events ---- */

static void step(struct ikada_node *node, struct ikada_event *event)
{
	const struct node_observer *o = node->observer;
	event->raw_ns = raw_now(node);
	event->awake_ns = awake_now(node);
	if (o != NULL)
		o->before_step(o->context, node->raft, event);
	ikada_raft_step(node->raft, event, &node->effects);
	if (o != NULL)
		o->after_step(o->context, node->raft, event, &node->effects);
	absorb(node);
}

void drive_event(struct ikada_node *node, struct ikada_event *event)
{
	if (node->raft == NULL)
		return;
	CHECK(!node->stepping);
	node->stepping = true;
	step(node, event);
	/* What was encoded is reported, which may lead to more, as far as the core's windows reach. */
	while (node->report_count > 0) {
		const struct sent_report report = node->reports[node->report_start];
		node->report_start = (node->report_start + 1) % REPORTS_MAX;
		node->report_count--;
		struct ikada_event sent = {.kind = IKADA_SENT,
					   .peer = report.peer,
					   .peer_incarnation = report.incarnation,
					   .last_index = report.last_index,
					   .bytes = report.bytes};
		step(node, &sent);
	}
	node->stepping = false;
}

bool drive_busy(const struct ikada_node *node)
{
	return !wal_idle(node->wal) || wal_sync_started_ns(node->wal) != 0;
}

uint64_t drive_room(struct ikada_node *node, uint64_t wanted)
{
	uint64_t room = wal_room(node->wal);
	if (room >= wanted || drive_busy(node))
		return room;
	wal_flush(node->wal); /* There is nothing to write: it makes room ahead, if it can. */
	return wal_room(node->wal);
}

/*
 * Of entries that have no room on the disk, the log takes none: a shorter append is one too, and the leader comes
 * back with the rest.
 */
static void shorten(struct ikada_node *node, struct wire_raft *in)
{
	uint64_t room = drive_room(node, in->entries_size);
	if (in->entries_size <= room)
		return;
	size_t kept = 0;
	uint64_t last = in->message.prev_index;
	for (;;) {
		size_t size = entry_bytes(get_le32(in->entries + kept + 4));
		if (kept + size > room)
			break;
		kept += size;
		last++;
	}
	in->entries_size = kept;
	in->message.last_index = last;
	while (in->run_count > 0 && in->runs[in->run_count - 1].first > last)
		in->run_count--;
}

void drive_receive(struct ikada_node *node, struct wire_raft *in)
{
	shorten(node, in);
	in->message.to_incarnation = node->incarnation;
	while (node->received_count > 0 &&
	       node->received_configs[node->received_count - 1].index > in->message.last_index)
		node->received_count--;
	struct ikada_event event = {
		.kind = IKADA_RECEIVE,
		.message = &in->message,
		.runs = in->runs,
		.run_count = in->run_count,
		.configs = node->received_configs,
		.config_count = node->received_count,
	};
	node->raft_in = in;
	drive_event(node, &event);
	if (in->message.from == node->leader)
		node->leader_heard_ns = raw_now(node);
	node->raft_in = NULL;
	node->received_count = 0;
}

bool drive_snapshot_chunk(struct ikada_node *node, const struct peer *from, const struct wire_chunk *chunk)
{
	const struct ikada_message message = {
		.kind = IKADA_SNAPSHOT,
		.from = from->id,
		.from_incarnation = from->incarnation,
		.to = node->settings.id,
		.to_incarnation = node->incarnation,
		.term = chunk->term,
		.last_index = chunk->index,
		.last_term = chunk->index_term,
	};
	struct ikada_event event = {.kind = IKADA_RECEIVE, .message = &message};
	node->accept_snapshot = false;
	drive_event(node, &event);
	return node->accept_snapshot;
}

void drive_propose(struct ikada_node *node, size_t count)
{
	struct ikada_event event = {.kind = IKADA_PROPOSE, .first_id = 1, .count = count};
	node->batch_count = count;
	drive_event(node, &event);
	node->batch_count = 0;
}

void drive_durable(void *context, uint64_t ticket)
{
	struct ikada_node *node = context;
	if (node->recovered != NULL) {
		node->recovered(node->recovered_context);
	} else if (boot_promised(node)) {
		handshake_announce(node);
		handshake_consider(node);
	} else if (node->raft != NULL) {
		node->durable_ticket = ticket - node->ticket_offset;
		release_outbox(node);
		struct ikada_event event = {.kind = IKADA_DURABLE, .ticket = node->durable_ticket};
		drive_event(node, &event);
	}
}

void drive_time(struct ikada_node *node)
{
	if (node->raft == NULL)
		return;
	if (ikada_raft_deadline(node->raft) <= raw_now(node)) {
		struct ikada_event event = {.kind = IKADA_TICK};
		drive_event(node, &event);
	}
	if (!node->sealed && wal_idle(node->wal) && raw_now(node) >= node->last_write_ns + SEAL_AFTER_NS) {
		wal_seal(node->wal);
		node->sealed = true;
	}
}

uint64_t drive_deadline(const struct ikada_node *node)
{
	if (node->raft == NULL)
		return UINT64_MAX;
	uint64_t deadline = ikada_raft_deadline(node->raft);
	/*
	 * A wake-up is late for its deadline, and a process that stood still until its leader had been silent for too
	 * long would not have been late at all. So a follower asks to be woken before, although it has nothing to do:
	 * at first so late that the next heartbeat mostly comes before, and wakes it anyway.
	 */
	if (node->role != IKADA_LEADER) {
		uint64_t patience = node->settings.election_min_ns;
		uint64_t half = node->leader_heard_ns + patience / 2;
		deadline = earlier(deadline, later(half, raw_now(node) + patience / 4));
	}
	uint64_t seal = node->last_write_ns + SEAL_AFTER_NS;
	return !node->sealed && wal_idle(node->wal) && seal < deadline ? seal : deadline;
}

/* ---- Apply ---- */

/* A few entries are looked at together, so that what they touch in memory is not waited for one by one. */
static void expect(struct ikada_node *node, const struct entry *entries, size_t count)
{
	struct ikada_apply commands[IKADA_EXPECTED_MAX];
	size_t n = 0;
	for (size_t i = 0; i < count; i++)
		if (entries[i].kind == ENTRY_COMMAND)
			commands[n++] = (struct ikada_apply){.index = entries[i].index,
							     .stamp = entries[i].stamp,
							     .bytes = entries[i].payload,
							     .size = entries[i].length};
	if (n > 1 && node->machine.expect != NULL)
		node->machine.expect(node->machine.context, commands, n);
}

static void apply_entry(struct ikada_node *node, const struct entry *entry)
{
	struct op *op = route_committed(node, entry->index, entry->term);
	bool waited_for = op != NULL && (op->request != NULL || op->origin != NULL);
	if (entry->kind == ENTRY_COMMAND) {
		const struct ikada_apply apply = {.index = entry->index,
						  .stamp = entry->stamp,
						  .bytes = entry->payload,
						  .size = entry->length,
						  .tag = waited_for ? op->tag : 0};
		node->machine.apply(node->machine.context, &apply, waited_for ? &node->reply : NULL);
	} else if (entry->kind == ENTRY_CONFIG) {
		roster_applied(node, entry);
	} else if (entry->kind != ENTRY_NOOP) {
		env_fatal(node->env,
			  "entry %" PRIu64
			  " has the kind %u, which this program does not know: it was written by a newer one",
			  entry->index, entry->kind);
	}
	node->applied = entry->index;
	node->applied_term = entry->term;
	node->applied_stamp = entry->stamp;
	node->snapshots.bytes_since += entry_bytes(entry->length);
	digest_applied(node);
	if (node->observer != NULL)
		node->observer->applied(node->observer->context, entry);
	if (op != NULL)
		requests_answer(node, op, IKADA_DONE, buf_at(&node->reply), buf_size(&node->reply));
	buf_consume(&node->reply, buf_size(&node->reply));
}

bool drive_apply(struct ikada_node *node, uint64_t count)
{
	if (node->restore.active)
		return false;
	while (node->applied < node->commit && count > 0) {
		struct entry entries[IKADA_EXPECTED_MAX];
		uint64_t n = earlier(earlier(node->commit - node->applied, count), IKADA_EXPECTED_MAX);
		for (uint64_t i = 0; i < n; i++)
			cache_get(&node->cache, node->applied + 1 + i, &entries[i]);
		expect(node, entries, n);
		for (uint64_t i = 0; i < n; i++) {
			apply_entry(node, &entries[i]);
			count -= earlier(count, 1 + entries[i].length / APPLY_BYTES);
		}
	}
	return node->applied < node->commit;
}
