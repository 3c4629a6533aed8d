/*
 * A handful of cores in memory, for tests: what a driver, a disk and a network do, under the test's control.
 *
 * Messages queue until they are delivered, tickets wait until the test makes them durable, time stands until it is
 * moved. A crash keeps what was durable, and as many of the written tickets more as the test says: a disk may have
 * finished a write without having said so.
 *
 * After every step raft_check is asked, and the rules of Figure 3 of the paper are held over all cores: election
 * safety, log matching, leader completeness, state machine safety; further, that no message promises more than is on
 * the disk, that what is committed is on the disks of a majority, and that a read is granted no index below what was
 * committed when it was asked. The first broken rule is kept in `broken`; then nothing else happens.
 */
#ifndef IKADA_TEST_RAFT_CORES_H
#define IKADA_TEST_RAFT_CORES_H

#include "base/rng.h"
#include "ikada/raft.h"
#include "raft/raft_check.h"
#include "raft/raft_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CORES_TERMS_MAX = 4096, CORES_READS_MAX = 4096 };

struct core_entry {
	uint64_t term;
	uint64_t value; /* What stands for the payload; 0 for a no-op. */
};

/* Entry i has index i + 1. */
struct core_log {
	struct core_entry *entries;
	uint64_t count;
	uint64_t room;
};

struct core_write {
	uint64_t ticket;
	bool hard;
	uint64_t term, vote;
	uint64_t commit; /* As a log may note it with what it writes. */
	uint64_t first;	 /* 0: no append. */
	struct core_log entries;
};

struct core_packet {
	struct ikada_message m;
	struct core_log entries;
};

struct core {
	bool up;
	struct ikada_raft *raft, *before; /* Same memory size; kept over a restart. */
	struct ikada_effects effects;
	struct ikada_raft_status status; /* After the last step. */
	uint64_t lag_ns;		 /* raw - awake. */
	uint64_t starts;
	struct core_log log;
	struct core_write *writes; /* Not durable yet, by ticket. */
	size_t write_count, write_room;
	uint64_t durable_ticket;
	struct ikada_message *outbox; /* Not released yet. */
	size_t outbox_count, outbox_room;
	uint64_t disk_term, disk_vote, disk_commit;
	struct core_log disk;
	uint64_t reads;			      /* Ids given in this start. */
	uint64_t read_floor[CORES_READS_MAX]; /* By id: what was committed when it was asked. */
	uint64_t read_index[CORES_READS_MAX]; /* By id: what was granted, or one of the next two. */
	uint64_t reads_granted, reads_refused;
};

#define CORES_READ_WAITS UINT64_MAX
#define CORES_READ_REFUSED (UINT64_MAX - 1)

struct cores {
	uint32_t count; /* Cores 1 .. count. */
	struct ikada_limits limits;
	struct ikada_settings settings; /* Without self and seed. */
	uint64_t seed;
	uint64_t raw_ns;
	struct core core[IKADA_MEMBERS_MAX + 1];
	bool unlinked[IKADA_MEMBERS_MAX + 1][IKADA_MEMBERS_MAX + 1]; /* The driver has no connection. */
	struct core_packet *packets;
	size_t packet_count, packet_room;
	struct core_log refused; /* Proposals: (why, value). */
	/* A step was made (NULL), or a message of it released. May be NULL. */
	void (*watch)(struct cores *cores, uint64_t id, const struct ikada_message *m);
	void *watcher;
	uint64_t (*prefix)(struct cores *cores, uint64_t entries); /* How many of these one message takes; NULL: all. */
	struct rng rng;						   /* For `prefix`. */

	bool forged; /* The test makes up messages: the cluster-wide rules need not hold, those of raft_check do. */
	uint64_t leader_of[CORES_TERMS_MAX];
	struct core_log committed; /* By anybody. */
	struct core_log *seen;	   /* By index - 1: each (term, value) that an entry there ever had. */
	size_t seen_count;
	uint64_t steps;
	uint64_t cuts, cuts_unsynced; /* Logs cut at a conflict; of these, where what was cut was not durable. */
	char broken[256];
};

__attribute__((format(printf, 2, 3))) static inline void cores_break(struct cores *cores, const char *format, ...)
{
	if (cores->broken[0] != 0)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(cores->broken, sizeof cores->broken, format, args);
	va_end(args);
}

#define CORES_ROOM(array, count, room)                                                                                 \
	do {                                                                                                           \
		if ((count) == (room)) {                                                                               \
			(room) = (room) == 0 ? 16 : 2 * (room);                                                        \
			(array) = realloc((array), (room) * sizeof *(array));                                          \
		}                                                                                                      \
	} while (0)

static inline uint64_t cores_incarnation(uint64_t id)
{
	return 100 + id;
}

static inline void core_log_add(struct core_log *log, uint64_t term, uint64_t value)
{
	CORES_ROOM(log->entries, log->count, log->room);
	log->entries[log->count++] = (struct core_entry){term, value};
}

static inline void core_log_free(struct core_log *log)
{
	free(log->entries);
	*log = (struct core_log){0};
}

/* ---- The cluster-wide rules ---- */

/* Log matching: an (index, term) has one value, and one term before it. */
static inline void cores_see(struct cores *cores, const struct core *core, uint64_t index)
{
	if (cores->forged)
		return;
	while (cores->seen_count < index) {
		cores->seen = realloc(cores->seen, (cores->seen_count + 1) * sizeof *cores->seen);
		cores->seen[cores->seen_count++] = (struct core_log){0};
	}
	const struct core_entry *entry = &core->log.entries[index - 1];
	uint64_t before = index > 1 ? core->log.entries[index - 2].term : 0;
	struct core_log *seen = &cores->seen[index - 1];
	/* Pairs: the entry itself, then the term before it. */
	for (uint64_t i = 0; i < seen->count; i += 2) {
		if (seen->entries[i].term != entry->term)
			continue;
		if (seen->entries[i].value != entry->value || seen->entries[i + 1].term != before)
			cores_break(cores, "log matching: entry %" PRIu64 " of term %" PRIu64 " is two entries", index,
				    entry->term);
		return;
	}
	core_log_add(seen, entry->term, entry->value);
	core_log_add(seen, before, 0);
}

static inline void cores_check_leader(struct cores *cores, uint64_t id)
{
	const struct core *core = &cores->core[id];
	uint64_t term = core->effects.term;
	if (term >= CORES_TERMS_MAX) {
		cores_break(cores, "the test has no room for term %" PRIu64, term);
		return;
	}
	if (cores->leader_of[term] == id || cores->forged)
		return;
	if (cores->leader_of[term] != 0)
		cores_break(cores, "election safety: %" PRIu64 " and %" PRIu64 " lead term %" PRIu64,
			    cores->leader_of[term], id, term);
	cores->leader_of[term] = id;
	for (uint64_t i = 0; i < cores->committed.count; i++)
		if (i >= core->log.count || core->log.entries[i].term != cores->committed.entries[i].term)
			cores_break(cores,
				    "leader completeness: %" PRIu64 " leads term %" PRIu64 " without entry %" PRIu64,
				    id, term, i + 1);
}

static inline void cores_check_commit(struct cores *cores, uint64_t id, uint64_t commit)
{
	const struct core *core = &cores->core[id];
	for (uint64_t i = 0; i < commit && i < core->log.count && !cores->forged; i++) {
		const struct core_entry *entry = &core->log.entries[i];
		if (i < cores->committed.count) {
			if (cores->committed.entries[i].term != entry->term ||
			    cores->committed.entries[i].value != entry->value)
				cores_break(cores, "state machine safety: %" PRIu64 " commits another entry %" PRIu64,
					    id, i + 1);
			continue;
		}
		uint32_t holding = 0;
		for (uint64_t other = 1; other <= cores->count; other++) {
			const struct core_log *disk = &cores->core[other].disk;
			holding += i < disk->count && disk->entries[i].term == entry->term;
		}
		if (holding <= cores->count / 2)
			cores_break(cores, "entry %" PRIu64 " is committed, but on %" PRIu32 " disks only", i + 1,
				    holding);
		core_log_add(&cores->committed, entry->term, entry->value);
	}
}

/* No message says what the disk could deny after a crash. */
static inline void cores_check_promise(struct cores *cores, const struct core *core, const struct ikada_message *m)
{
	bool later = core->disk_term > m->term;
	switch (m->kind) {
	case IKADA_PREVOTE:
	case IKADA_PREVOTE_REPLY:
	case IKADA_SNAPSHOT:
	case IKADA_TIMEOUT_NOW:
		return;
	case IKADA_APPEND:
	case IKADA_VOTE:
		if (!later && (core->disk_term != m->term || core->disk_vote != m->from))
			cores_break(cores, "%" PRIu64 " asks as of term %" PRIu64 " before its vote is durable",
				    m->from, m->term);
		return;
	case IKADA_VOTE_REPLY:
		if (m->granted && !later && (core->disk_term != m->term || core->disk_vote != m->to))
			cores_break(cores, "%" PRIu64 " grants a vote before it is durable", m->from);
		return;
	case IKADA_APPEND_REPLY:
		if (!later && (core->disk_term != m->term || core->disk.count < m->match_index))
			cores_break(cores, "%" PRIu64 " acknowledges %" PRIu64 " before it is durable", m->from,
				    m->match_index);
		return;
	}
}

/* ---- Driver, disk and network ---- */

static inline void cores_step(struct cores *cores, uint64_t id, struct ikada_event *event, const struct core_log *in);

/* Puts a message on the network; reports entries as a driver does. */
static inline void cores_release(struct cores *cores, uint64_t id, struct ikada_message m)
{
	struct core *core = &cores->core[id];
	cores_check_promise(cores, core, &m);
	if ((m.kind == IKADA_APPEND || m.kind == IKADA_VOTE) && m.term != core->effects.term)
		return;
	if (cores->unlinked[id][m.to])
		return;
	struct core_packet packet = {.m = m};
	if (m.kind == IKADA_APPEND && m.last_index > m.prev_index) {
		uint64_t count = m.last_index - m.prev_index;
		if (cores->prefix != NULL)
			count = cores->prefix(cores, count);
		packet.m.last_index = m.prev_index + count;
		for (uint64_t i = m.prev_index; i < packet.m.last_index; i++)
			core_log_add(&packet.entries, core->log.entries[i].term, core->log.entries[i].value);
	}
	CORES_ROOM(cores->packets, cores->packet_count, cores->packet_room);
	cores->packets[cores->packet_count++] = packet;
	if (cores->watch != NULL)
		cores->watch(cores, id, &packet.m);
	if (packet.entries.count > 0) {
		struct ikada_event sent = {.kind = IKADA_SENT,
					   .peer = m.to,
					   .peer_incarnation = m.to_incarnation,
					   .last_index = packet.m.last_index,
					   .bytes = 100 * packet.entries.count};
		cores_step(cores, id, &sent, NULL);
	}
}

static inline void cores_release_outbox(struct cores *cores, uint64_t id)
{
	struct core *core = &cores->core[id];
	while (core->outbox_count > 0 && core->outbox[0].after <= core->durable_ticket) {
		struct ikada_message m = core->outbox[0];
		core->outbox_count--;
		memmove(core->outbox, core->outbox + 1, core->outbox_count * sizeof *core->outbox);
		cores_release(cores, id, m);
	}
}

static inline void cores_append(struct cores *cores, struct core *core, const struct ikada_event *event,
				const struct core_log *in, struct core_write *write)
{
	const struct ikada_effects *e = &core->effects;
	cores->cuts += core->log.count >= e->append_first;
	cores->cuts_unsynced += core->log.count >= e->append_first && core->log.count > core->disk.count;
	core->log.count = e->append_first - 1;
	write->first = e->append_first;
	for (uint64_t index = e->append_first; index <= e->append_last; index++) {
		struct core_entry entry = {e->append_term, 0};
		if (e->append == IKADA_APPEND_PROPOSED)
			entry.value = event->first_id + (index - e->append_first);
		else if (e->append == IKADA_APPEND_RECEIVED)
			entry = in->entries[index - event->message->prev_index - 1];
		core_log_add(&core->log, entry.term, entry.value);
		core_log_add(&write->entries, entry.term, entry.value);
		cores_see(cores, core, index);
		if (ikada_raft_term_at(core->raft, index) != entry.term)
			cores_break(cores, "the core holds another term for entry %" PRIu64, index);
	}
}

/* What the step says to those who asked. */
static inline void cores_answer(struct cores *cores, struct core *core)
{
	const struct ikada_effects *e = &core->effects;
	for (uint64_t i = 0; i < e->granted.count; i++) {
		if (core->read_index[e->granted.first_id + i] != CORES_READ_WAITS)
			cores_break(cores, "a read is answered twice");
		if (e->granted_index < core->read_floor[e->granted.first_id + i])
			cores_break(cores, "a read is granted %" PRIu64 ", below what was committed when it was asked",
				    e->granted_index);
		core->read_index[e->granted.first_id + i] = e->granted_index;
	}
	for (uint64_t i = 0; i < e->refused_reads.count; i++) {
		if (core->read_index[e->refused_reads.first_id + i] != CORES_READ_WAITS)
			cores_break(cores, "a read is answered twice");
		core->read_index[e->refused_reads.first_id + i] = CORES_READ_REFUSED;
	}
	for (uint64_t i = 0; i < e->refused_proposals.count; i++)
		core_log_add(&cores->refused, e->refused_proposals_why, e->refused_proposals.first_id + i);
	core->reads_granted += e->granted.count;
	core->reads_refused += e->refused_reads.count;
}

static inline void cores_absorb(struct cores *cores, uint64_t id, const struct ikada_event *event,
				const struct core_log *in)
{
	struct core *core = &cores->core[id];
	const struct ikada_effects *e = &core->effects;
	if (e->ticket != 0) {
		struct core_write write = {.ticket = e->ticket,
					   .hard = e->hard_changed,
					   .term = e->term,
					   .vote = e->vote,
					   .commit = e->commit};
		if (e->append != IKADA_APPEND_NONE)
			cores_append(cores, core, event, in, &write);
		CORES_ROOM(core->writes, core->write_count, core->write_room);
		core->writes[core->write_count++] = write;
	}
	if (e->role == IKADA_LEADER)
		cores_check_leader(cores, id);
	cores_check_commit(cores, id, e->commit);
	cores_answer(cores, core);
	if (cores->watch != NULL)
		cores->watch(cores, id, NULL);
	/* Steps follow from within: the effects will be overwritten. */
	struct ikada_message messages[IKADA_MESSAGES_MAX];
	uint32_t count = e->message_count;
	memcpy(messages, e->messages, count * sizeof *messages);
	for (uint32_t i = 0; i < count; i++) {
		if (messages[i].after <= core->durable_ticket) {
			cores_release(cores, id, messages[i]);
			continue;
		}
		CORES_ROOM(core->outbox, core->outbox_count, core->outbox_room);
		core->outbox[core->outbox_count++] = messages[i];
	}
}

/* One event; `in` are the entries of a received append. Ignored by a core that is down. */
static inline void cores_step(struct cores *cores, uint64_t id, struct ikada_event *event, const struct core_log *in)
{
	struct core *core = &cores->core[id];
	if (cores->broken[0] != 0 || !core->up)
		return;
	event->raw_ns = cores->raw_ns;
	event->awake_ns = cores->raw_ns - core->lag_ns;
	memcpy(core->before, core->raft, ikada_raft_size(&cores->limits));
	ikada_raft_step(core->raft, event, &core->effects);
	ikada_raft_status(core->raft, &core->status);
	cores->steps++;
	const char *broken = raft_check(core->before, core->raft, event, &core->effects);
	if (broken != NULL)
		cores_break(cores, "%" PRIu64 ": not true: %s", id, broken);
	cores_absorb(cores, id, event, in);
}

static inline void cores_write_down(struct core *core, size_t count)
{
	if (count == 0)
		return;
	for (size_t i = 0; i < count; i++) {
		struct core_write *write = &core->writes[i];
		if (write->hard) {
			core->disk_term = write->term;
			core->disk_vote = write->vote;
		}
		core->disk_commit = write->commit;
		if (write->first > 0)
			core->disk.count = write->first - 1;
		for (uint64_t at = 0; at < write->entries.count; at++)
			core_log_add(&core->disk, write->entries.entries[at].term, write->entries.entries[at].value);
		core_log_free(&write->entries);
	}
	core->write_count -= count;
	memmove(core->writes, core->writes + count, core->write_count * sizeof *core->writes);
}

/* The first `count` writes that wait become durable. */
static inline void cores_durable(struct cores *cores, uint64_t id, size_t count)
{
	struct core *core = &cores->core[id];
	if (count > core->write_count)
		count = core->write_count;
	if (!core->up || count == 0)
		return;
	struct ikada_event event = {.kind = IKADA_DURABLE, .ticket = core->writes[count - 1].ticket};
	cores_write_down(core, count);
	core->durable_ticket = event.ticket;
	cores_step(cores, id, &event, NULL);
	cores_release_outbox(cores, id);
}

/* Starts a core from its disk. */
static inline void cores_boot(struct cores *cores, uint64_t id)
{
	struct core *core = &cores->core[id];
	struct ikada_run *runs = calloc(cores->limits.term_runs, sizeof *runs);
	struct ikada_boot boot = {.term = core->disk_term,
				  .vote = core->disk_vote,
				  .vote_incarnation = core->disk_vote == 0 ? 0 : cores_incarnation(core->disk_vote),
				  .last_index = core->disk.count,
				  .runs = runs,
				  .commit = core->disk_commit,
				  .raw_ns = cores->raw_ns,
				  .awake_ns = cores->raw_ns - core->lag_ns};
	boot.config.count = cores->count;
	for (uint32_t i = 0; i < cores->count; i++)
		boot.config.members[i] = (struct ikada_member){.id = i + 1, .incarnation = cores_incarnation(i + 1)};
	boot.config.max_id = cores->count;
	boot.config_before = boot.config;
	core->log.count = 0;
	for (uint64_t i = 0; i < core->disk.count; i++) {
		const struct core_entry *entry = &core->disk.entries[i];
		core_log_add(&core->log, entry->term, entry->value);
		cores_see(cores, core, i + 1);
		if (i == 0 || entry->term != core->disk.entries[i - 1].term)
			runs[boot.run_count++] = (struct ikada_run){.first = i + 1, .term = entry->term};
	}
	struct ikada_settings settings = cores->settings;
	settings.self = id;
	settings.incarnation = cores_incarnation(id);
	settings.seed = cores->seed * 1000 + id * 100 + core->starts++;
	ikada_raft_init(core->raft, &cores->limits, &settings, &boot);
	ikada_raft_status(core->raft, &core->status);
	free(runs);
	core->up = true;
	core->durable_ticket = 0;
	core->reads = 0;
}

/* Keeps what is durable and the first `kept` writes more. */
static inline void cores_crash(struct cores *cores, uint64_t id, size_t kept)
{
	struct core *core = &cores->core[id];
	cores_write_down(core, kept < core->write_count ? kept : core->write_count);
	for (size_t i = 0; i < core->write_count; i++)
		core_log_free(&core->writes[i].entries);
	core->write_count = 0;
	core->outbox_count = 0;
	core->up = false;
}

static inline void cores_init(struct cores *cores, uint32_t count, uint64_t seed)
{
	memset(cores, 0, sizeof *cores);
	cores->count = count;
	cores->seed = seed;
	cores->rng = rng_seed(seed);
	cores->limits = (struct ikada_limits){
		.term_runs = 64, .inflight_messages = 4, .inflight_bytes = 4000, .uncommitted_entries = 256};
	cores->settings = (struct ikada_settings){
		.heartbeat_ns = 50, .election_min_ns = 250, .election_max_ns = 500, .hint_delay_ns = 5};
	cores->raw_ns = 1000000;
}

/* Gives all cores memory, with the limits of that moment. */
static inline void cores_make(struct cores *cores)
{
	for (uint64_t id = 1; id <= cores->count; id++) {
		cores->core[id].raft = malloc(ikada_raft_size(&cores->limits));
		cores->core[id].before = malloc(ikada_raft_size(&cores->limits));
	}
}

static inline void cores_start(struct cores *cores)
{
	cores_make(cores);
	for (uint64_t id = 1; id <= cores->count; id++)
		cores_boot(cores, id);
}

static inline void cores_free(struct cores *cores)
{
	for (uint64_t id = 1; id <= cores->count; id++) {
		struct core *core = &cores->core[id];
		cores_crash(cores, id, 0);
		core_log_free(&core->log);
		core_log_free(&core->disk);
		free(core->writes);
		free(core->outbox);
		free(core->raft);
		free(core->before);
	}
	for (size_t i = 0; i < cores->packet_count; i++)
		core_log_free(&cores->packets[i].entries);
	for (size_t i = 0; i < cores->seen_count; i++)
		core_log_free(&cores->seen[i]);
	free(cores->packets);
	free(cores->seen);
	core_log_free(&cores->committed);
	core_log_free(&cores->refused);
}

/* Takes a packet off the network; its entries are then the caller's. */
static inline struct core_packet cores_take(struct cores *cores, size_t at)
{
	struct core_packet packet = cores->packets[at];
	cores->packet_count--;
	memmove(cores->packets + at, cores->packets + at + 1, (cores->packet_count - at) * sizeof packet);
	return packet;
}

static inline void cores_drop(struct cores *cores, size_t at)
{
	struct core_packet packet = cores_take(cores, at);
	core_log_free(&packet.entries);
}

/* Hands a packet, which may be on the network or not, to whom it is for. */
static inline void cores_hand(struct cores *cores, const struct core_packet *packet)
{
	struct ikada_run runs[256];
	struct ikada_message m = packet->m;
	struct ikada_event event = {.kind = IKADA_RECEIVE, .message = &m, .runs = runs};
	for (uint64_t i = 0; i < packet->entries.count && event.run_count < 256; i++)
		if (i == 0 || packet->entries.entries[i].term != packet->entries.entries[i - 1].term)
			runs[event.run_count++] = (struct ikada_run){.first = m.prev_index + 1 + i,
								     .term = packet->entries.entries[i].term};
	m.after = 0; /* Not sent on the wire. */
	m.from_incarnation = cores_incarnation(m.from);
	m.to_incarnation = cores_incarnation(m.to);
	cores_step(cores, m.to, &event, &packet->entries);
}

static inline void cores_deliver(struct cores *cores, size_t at)
{
	struct core_packet packet = cores_take(cores, at);
	cores_hand(cores, &packet);
	core_log_free(&packet.entries);
}

static inline void cores_tick(struct cores *cores, uint64_t id)
{
	struct ikada_event event = {.kind = IKADA_TICK};
	cores_step(cores, id, &event, NULL);
}

/* Values first .. first + count - 1. */
static inline void cores_propose(struct cores *cores, uint64_t id, uint64_t first, uint64_t count)
{
	struct ikada_event event = {.kind = IKADA_PROPOSE, .first_id = first, .count = count};
	cores_step(cores, id, &event, NULL);
}

static inline void cores_read(struct cores *cores, uint64_t id, uint64_t count)
{
	struct core *core = &cores->core[id];
	if (!core->up || core->reads + count > CORES_READS_MAX)
		return;
	struct ikada_event event = {.kind = IKADA_READ, .first_id = core->reads, .count = count};
	for (uint64_t i = 0; i < count; i++) {
		core->read_index[core->reads] = CORES_READ_WAITS;
		core->read_floor[core->reads++] = cores->committed.count;
	}
	cores_step(cores, id, &event, NULL);
}

static inline void cores_peer_lost(struct cores *cores, uint64_t id, uint64_t peer)
{
	struct ikada_event event = {
		.kind = IKADA_PEER_LOST, .peer = peer, .peer_incarnation = cores_incarnation(peer)};
	cores_step(cores, id, &event, NULL);
}

#endif
