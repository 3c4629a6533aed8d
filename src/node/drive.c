/*
 * The driver: the only caller of the core. Turns events into steps and effects into log writes, frames and applied
 * entries. Holds each message until the ticket in its `after` is durable.
 *
 * Invariants: the cache holds exactly the entries of the core's log, and they are put into the log in the order in which
 * the core made them; a step is never entered while another is under way.
 */
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define APPEND_BYTES_MAX ((size_t)1024 * 1024) /* Of entries in one message, when there is more than one. */
#define APPEND_PIECES_MAX 16
#define OUTBOX_MAX ((size_t)1024) /* Messages that wait for the disk; more replace the oldest: any may be lost. */
#define REPORTS_MAX ((size_t)64)
#define SEAL_AFTER_NS (100 * NS_PER_MS)

static uint64_t raw_now(const struct ikada_node *node)
{
	return node->env->ops->raw_ns(node->env);
}

/* ---- Recovery ---- */

struct recovery {
	struct ikada_node *node;
	bool bad_config;
};

static void recovered_base(void *context, uint64_t index, uint64_t term, const uint8_t *config, size_t config_size)
{
	struct recovery *recovery = context;
	(void)term;
	cache_reset(&recovery->node->cache, index);
	if (!wire_get_config(config, config_size, &recovery->node->config))
		recovery->bad_config = true;
}

static void recovered_entry(void *context, uint64_t index, uint64_t term, const uint8_t *bytes, size_t size)
{
	struct recovery *recovery = context;
	struct cache *cache = &recovery->node->cache;
	(void)term;
	cache_cut(cache, index);
	memcpy(cache_add(cache, size), bytes, size);
}

static void wal_durable(void *context, uint64_t ticket);
static void start_core(struct ikada_node *node, const struct wal_state *state);

/* The stored configuration must be the one on the command line: membership is static. */
static bool same_members(const struct ikada_node *node)
{
	if (node->config.count != node->peer_count)
		return false;
	for (uint32_t i = 0; i < node->peer_count; i++)
		if (node->config.members[i].id != node->peers[i].id)
			return false;
	return true;
}

static bool accept_config(struct ikada_node *node, char *error, size_t error_size)
{
	if (!same_members(node)) {
		int used = snprintf(error, error_size, "the data directory %s belongs to a cluster of the members ",
				    node->data_dir);
		for (uint32_t i = 0; i < node->config.count && used > 0 && (size_t)used < error_size; i++)
			used += snprintf(error + used, error_size - (size_t)used, "%s%" PRIu64, i == 0 ? "" : ",",
					 node->config.members[i].id);
		if (used > 0 && (size_t)used < error_size)
			snprintf(error + used, error_size - (size_t)used, "; the cluster list names others");
		return false;
	}
	if (node->config.members[node->self].incarnation != node->incarnation) {
		snprintf(error, error_size,
			 "the log in %s was written by incarnation %016" PRIx64 " of this node, its identity says %016"
			 PRIx64 ": files of two directories were mixed",
			 node->data_dir, node->config.members[node->self].incarnation, node->incarnation);
		return false;
	}
	return true;
}

bool drive_open(struct ikada_node *node, char *error, size_t error_size)
{
	uint64_t segment = node->settings.segment_bytes;
	cache_init(&node->cache, node->mem, segment < 1024 * 1024 ? (size_t)segment : 1024 * 1024);
	node->outbox = mem_alloc(node->mem, OUTBOX_MAX * sizeof *node->outbox);
	node->reports = mem_alloc(node->mem, REPORTS_MAX * sizeof *node->reports);
	char *dir = path_join(node->mem, node->data_dir, "wal");
	const struct wal_settings wal_settings = {
		.dir = dir,
		.segment_bytes = segment,
		.batch_bytes_max = segment < 8 * 1024 * 1024 ? segment / 2 : 4 * 1024 * 1024,
		.durable = wal_durable,
		.context = node,
	};
	struct recovery recovery = {.node = node};
	const struct wal_replay replay = {&recovery, recovered_base, recovered_entry};
	struct wal_state state;
	node->wal = wal_open(node->env, &wal_settings, &replay, &state, error, error_size);
	mem_free(node->mem, dir);
	if (node->wal == NULL)
		return false;
	if (!state.has_base)
		return true;
	if (recovery.bad_config) {
		snprintf(error, error_size, "the log in %s holds a configuration that this program cannot read",
			 node->data_dir);
		return false;
	}
	if (!accept_config(node, error, error_size))
		return false;
	start_core(node, &state);
	return true;
}

void drive_close(struct ikada_node *node)
{
	/* A write in flight still points into the log's memory; then the process is about to end anyway. */
	if (node->wal != NULL && wal_sync_started_ns(node->wal) == 0)
		wal_close(node->wal);
	cache_free(&node->cache);
	mem_free(node->mem, node->outbox);
	mem_free(node->mem, node->reports);
	mem_free(node->mem, node->raft_memory);
}

/* ---- The core's start ---- */

static void adopt_config(struct ikada_node *node)
{
	node->cluster_id = wire_cluster_id(&node->config);
	for (uint32_t i = 0; i < node->peer_count; i++)
		node->peers[i].incarnation = node->config.members[i].incarnation;
}

static void start_core(struct ikada_node *node, const struct wal_state *state)
{
	const struct ikada_node_settings *s = &node->settings;
	const struct ikada_limits limits = {
		.term_runs = s->term_runs,
		.inflight_messages = 64,
		.inflight_bytes = 4 * 1024 * 1024,
		.uncommitted_entries = 65536,
	};
	const struct ikada_settings settings = {
		.self = s->id,
		.seed = node->env->ops->random(node->env),
		.heartbeat_ns = s->heartbeat_ns,
		.election_min_ns = s->election_min_ns,
		.election_max_ns = s->election_max_ns,
		.hint_delay_ns = s->hint_delay_ns,
	};
	struct ikada_run *runs = mem_alloc(node->mem, s->term_runs * sizeof *runs);
	uint32_t run_count = 0;
	for (uint64_t index = node->cache.base + 1; index <= node->cache.last; index++) {
		struct entry entry;
		cache_get(&node->cache, index, &entry);
		node->stamp = entry.stamp;
		if (run_count > 0 && runs[run_count - 1].term == entry.term)
			continue;
		if (run_count == s->term_runs)
			env_fatal(node->env, "the log has more than %" PRIu32 " runs of terms", s->term_runs);
		runs[run_count++] = (struct ikada_run){.first = index, .term = entry.term};
	}
	CHECK_OP(state->last_index, ==, node->cache.last);
	const struct ikada_boot boot = {
		.term = state->term,
		.vote = state->vote,
		.config = node->config,
		.base_index = state->base_index,
		.base_term = state->base_term,
		.last_index = node->cache.last,
		.runs = runs,
		.run_count = run_count,
		.commit = state->commit,
		.raw_ns = raw_now(node),
		.awake_ns = node->env->ops->awake_ns(node->env),
	};
	adopt_config(node);
	node->raft_bytes = ikada_raft_size(&limits);
	node->raft_memory = mem_alloc(node->mem, node->raft_bytes);
	node->raft = ikada_raft_init(node->raft_memory, &limits, &settings, &boot);
	node->term = state->term;
	node->commit = state->commit;
	node->applied = state->base_index;
	mem_free(node->mem, runs);
	env_log(node->env, ENV_INFO, "node",
		"start node=%" PRIu64 " cluster=%016" PRIx64 " term=%" PRIu64 " last=%" PRIu64 " commit=%" PRIu64, s->id,
		node->cluster_id, state->term, node->cache.last, state->commit);
}

void drive_born(struct ikada_node *node, const struct ikada_config *config)
{
	CHECK(node->raft == NULL && !node->born_pending);
	node->config = *config;
	struct buf bytes;
	buf_init(&bytes, node->mem);
	wire_put_config(&bytes, config);
	wal_put_base(node->wal, 0, 0, 0, buf_at(&bytes), buf_size(&bytes));
	wal_put_ticket(node->wal, 1);
	buf_free(&bytes);
	node->born_pending = true;
	node->ticket_offset = 1;
}

/* ---- Effects ---- */

static void encode_entry(struct ikada_node *node, struct entry *entry, enum entry_kind kind)
{
	uint64_t wall = node->env->ops->wall_ns(node->env);
	node->stamp = wall > node->stamp ? wall : node->stamp;
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
			.request_node = op->origin == NULL ? node->settings.id : op->origin->peer->id,
			.request_boot = op->origin == NULL ? node->boot : op->origin->peer_boot,
			.request_number = op->number,
			.length = (uint32_t)op->size,
			.payload = op->bytes,
		};
		encode_entry(node, &entry, ENTRY_COMMAND);
		requests_accepted(node, op, index, e->append_term);
	}
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
	CHECK_OP(node->cache.last + 1, ==, e->append_first);
	if (e->append == IKADA_APPEND_NOOP) {
		struct entry entry = {.index = e->append_first, .term = e->append_term};
		entry.request_node = node->settings.id;
		entry.request_boot = node->boot;
		encode_entry(node, &entry, ENTRY_NOOP);
	} else if (e->append == IKADA_APPEND_PROPOSED) {
		append_proposed(node, e);
	} else {
		append_received(node, e);
	}
	CHECK_OP(node->cache.last, ==, e->append_last);
	for (uint64_t first = e->append_first; first <= e->append_last;) {
		const uint8_t *bytes;
		size_t size;
		first = cache_piece(&node->cache, first, e->append_last, SIZE_MAX, &bytes, &size) + 1;
		wal_put_entries(node->wal, bytes, size);
	}
	for (uint64_t i = e->append_first; node->observer != NULL && i <= e->append_last; i++) {
		struct entry entry;
		cache_get(&node->cache, i, &entry);
		node->observer->appended(node->observer->context, &entry);
	}
}

/* The last index, up to `last`, such that the entries from `first` have at most WIRE_RUNS_MAX terms. */
static uint64_t bound_runs(const struct ikada_node *node, uint64_t first, uint64_t last)
{
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
	*bytes = 0;
	while (at < last && count < APPEND_PIECES_MAX && (count == 0 || *bytes < APPEND_BYTES_MAX)) {
		struct wire_piece *piece = &pieces[count];
		uint64_t end = cache_piece(&node->cache, at + 1, last, APPEND_BYTES_MAX - *bytes, &piece->bytes,
					   &piece->size);
		if (count > 0 && *bytes + piece->size > APPEND_BYTES_MAX)
			break;
		at = end;
		*bytes += piece->size;
		count++;
	}
	m->last_index = at;
	return count;
}

/* Sends a message whose ticket is durable. */
static void release(struct ikada_node *node, struct ikada_message *m)
{
	if ((m->kind == IKADA_APPEND || m->kind == IKADA_VOTE) && m->term != node->term)
		return;
	struct peer *peer = links_peer(node, m->to);
	if (peer == NULL || peer->link == NULL)
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
	if (entries)
		node->reports[node->report_count++] = (struct sent_report){m->to, m->last_index, bytes};
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
	CHECK(m->kind != IKADA_APPEND); /* A leader's term is durable before it leads. */
	if (node->outbox_count == OUTBOX_MAX) {
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

/* Reads the effects in the order in which they are laid out. */
static void absorb(struct ikada_node *node)
{
	struct ikada_effects *e = &node->effects;
	if (e->role_changed)
		env_log(node->env, ENV_INFO, "node", "role node=%" PRIu64 " role=%s term=%" PRIu64 " leader=%" PRIu64,
			node->settings.id, role_name(e->role), e->term, e->leader);
	node->term = e->term;
	node->role = e->role;
	node->leader = e->leader;
	if (e->ticket != 0) {
		if (e->hard_changed)
			wal_put_hard(node->wal, 0, e->term, e->vote);
		if (e->append != IKADA_APPEND_NONE)
			append(node, e);
		wal_put_ticket(node->wal, e->ticket + node->ticket_offset);
		node->last_write_ns = raw_now(node);
		node->sealed = false;
	}
	for (uint32_t i = 0; i < e->message_count; i++)
		post(node, &e->messages[i]);
	if (e->commit > node->commit) {
		node->commit = e->commit;
		wal_note_commit(node->wal, 0, e->commit);
	}
	if (e->granted.count > 0)
		requests_granted(node, e->granted.first_id, e->granted.count, e->granted_index);
	if (e->refused_proposals.count > 0)
		for (uint64_t i = 0; i < e->refused_proposals.count; i++)
			requests_refused(node, node->batch[e->refused_proposals.first_id - 1 + i],
					 e->refused_proposals_why);
	if (e->refused_reads.count > 0)
		requests_reads_refused(node, e->refused_reads.first_id, e->refused_reads.count, e->refused_reads_why);
}

/* ---- Events ---- */

static void step(struct ikada_node *node, struct ikada_event *event)
{
	const struct node_observer *o = node->observer;
	event->raw_ns = raw_now(node);
	event->awake_ns = node->env->ops->awake_ns(node->env);
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
	/* What was encoded is reported, which may lead to more. */
	for (node->report_at = 0; node->report_at < node->report_count;) {
		struct sent_report *report = &node->reports[node->report_at++];
		struct ikada_event sent = {.kind = IKADA_SENT,
					   .peer = report->peer,
					   .last_index = report->last_index,
					   .bytes = report->bytes};
		if (node->report_at == node->report_count)
			node->report_at = node->report_count = 0;
		step(node, &sent);
	}
	node->report_count = 0;
	node->stepping = false;
}

void drive_receive(struct ikada_node *node, const struct wire_raft *in)
{
	struct ikada_event event = {
		.kind = IKADA_RECEIVE, .message = &in->message, .runs = in->runs, .run_count = in->run_count};
	node->raft_in = in;
	drive_event(node, &event);
	node->raft_in = NULL;
}

void drive_propose(struct ikada_node *node, struct op **ops, size_t count)
{
	struct ikada_event event = {.kind = IKADA_PROPOSE, .first_id = 1, .count = count};
	node->batch = ops;
	node->batch_count = count;
	drive_event(node, &event);
	node->batch = NULL;
	node->batch_count = 0;
}

static void wal_durable(void *context, uint64_t ticket)
{
	struct ikada_node *node = context;
	if (node->born_pending) {
		const struct wal_state state = {.has_base = true};
		node->born_pending = false;
		start_core(node, &state);
		links_announce(node);
		return;
	}
	node->durable_ticket = ticket - node->ticket_offset;
	struct ikada_event event = {.kind = IKADA_DURABLE, .ticket = node->durable_ticket};
	drive_event(node, &event);
	node->stepping = true; /* A released message has no entries; nothing may step from here. */
	release_outbox(node);
	node->stepping = false;
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
	uint64_t seal = node->last_write_ns + SEAL_AFTER_NS;
	return !node->sealed && wal_idle(node->wal) && seal < deadline ? seal : deadline;
}

/* ---- Apply ---- */

static void apply_entry(struct ikada_node *node, const struct entry *entry)
{
	struct op *op = requests_committed(node, entry->index, entry->term);
	if (entry->kind == ENTRY_COMMAND) {
		const struct ikada_apply apply = {.index = entry->index,
						  .stamp = entry->stamp,
						  .bytes = entry->payload,
						  .size = entry->length,
						  .tag = op == NULL ? 0 : op->tag};
		node->machine.apply(node->machine.context, &apply, op == NULL ? NULL : &node->reply);
	} else if (entry->kind != ENTRY_NOOP) {
		env_fatal(node->env,
			  "entry %" PRIu64 " has the kind %u, which this program does not know: it was written by a newer one",
			  entry->index, entry->kind);
	}
	node->applied = entry->index;
	if (node->observer != NULL)
		node->observer->applied(node->observer->context, entry);
	if (op != NULL)
		requests_answer(node, op, IKADA_DONE, buf_at(&node->reply), buf_size(&node->reply));
	buf_consume(&node->reply, buf_size(&node->reply));
}

bool drive_apply(struct ikada_node *node, uint64_t count)
{
	for (; node->applied < node->commit && count > 0; count--) {
		struct entry entry;
		cache_get(&node->cache, node->applied + 1, &entry);
		apply_entry(node, &entry);
	}
	return node->applied < node->commit;
}
