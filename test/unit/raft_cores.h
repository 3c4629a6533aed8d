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

#include "raft_cores_rules.h"

/* ---- Driver, disk and network ---- */

static inline void cores_step(struct cores *cores, uint64_t at, struct ikada_event *event,
			      const struct core_packet *in);

static inline void cores_queue(struct cores *cores, uint64_t at, const struct core_packet *packet)
{
	CORES_ROOM(cores->packets, cores->packet_count, cores->packet_room);
	cores->packets[cores->packet_count++] = *packet;
	if (cores->watch != NULL)
		cores->watch(cores, at, &packet->m);
}

/* Begins to stream a snapshot, unless one is under way. One packet is all of it. */
static inline void cores_stream(struct cores *cores, uint64_t at, const struct ikada_message *m)
{
	struct core *core = &cores->core[at];
	uint64_t to = cores_to(cores, m);
	if (to == 0 || core->streams[to] != 0)
		return;
	struct core_packet packet = {.m = *m};
	uint64_t index = core->base;
	if (cores->newest != NULL)
		index = cores->newest(cores, core->base, core->effects.commit);
	core->streams[to] = index;
	packet.m.last_index = index;
	packet.m.last_term = core_log_term(&core->log, index);
	packet.entries = core_log_copy(&core->log, index);
	packet.config = core_config_at(cores, core, index);
	cores_queue(cores, at, &packet);
}

/* Puts a message on the network; reports entries as a driver does. */
static inline void cores_release(struct cores *cores, uint64_t at, const struct ikada_message *message)
{
	struct core *core = &cores->core[at];
	struct ikada_message m = *message;
	uint64_t to = cores_to(cores, &m);
	cores_check_promise(cores, core, &m);
	if ((m.kind == IKADA_APPEND || m.kind == IKADA_VOTE) && m.term != core->effects.term)
		return;
	if (to == 0 || cores->unlinked[at][to])
		return;
	if (m.kind == IKADA_SNAPSHOT) {
		cores_stream(cores, at, &m);
		return;
	}
	struct core_packet packet = {.m = m};
	if (m.kind == IKADA_APPEND && m.last_index > m.prev_index) {
		uint64_t count = m.last_index - m.prev_index;
		if (cores->prefix != NULL)
			count = cores->prefix(cores, count);
		packet.m.last_index = m.prev_index + count;
		if (m.prev_index < core->base)
			cores_break(cores, "%" PRIu64 " sends entries that it has given up", at);
		for (uint64_t i = m.prev_index; i < packet.m.last_index; i++)
			core_log_add(&packet.entries, core->log.entries[i].term, core->log.entries[i].value);
	}
	cores_queue(cores, at, &packet);
	if (packet.entries.count > 0) {
		struct ikada_event sent = {.kind = IKADA_SENT,
					   .peer = m.to,
					   .peer_incarnation = m.to_incarnation,
					   .last_index = packet.m.last_index,
					   .bytes = 100 * packet.entries.count};
		cores_step(cores, at, &sent, NULL);
	}
}

static inline void cores_release_outbox(struct cores *cores, uint64_t at)
{
	struct core *core = &cores->core[at];
	while (core->outbox_count > 0 && core->outbox[0].after <= core->durable_ticket) {
		struct ikada_message m = core->outbox[0];
		core->outbox_count--;
		memmove(core->outbox, core->outbox + 1, core->outbox_count * sizeof *core->outbox);
		cores_release(cores, at, &m);
	}
}

static inline void cores_append(struct cores *cores, struct core *core, const struct ikada_event *event,
				const struct core_packet *in, struct core_write *write)
{
	const struct ikada_effects *e = &core->effects;
	cores->cuts += core->log.count >= e->append_first;
	cores->cuts_unsynced += core->log.count >= e->append_first && core->log.count > core->disk.count;
	for (uint64_t i = e->append_first; i <= core->log.count; i++)
		cores->rollbacks += cores_config(cores, &core->log.entries[i - 1]) != NULL;
	core->log.count = e->append_first - 1;
	write->first = e->append_first;
	for (uint64_t index = e->append_first; index <= e->append_last; index++) {
		struct core_entry entry = {e->append_term, 0};
		if (e->append == IKADA_APPEND_PROPOSED)
			entry.value = event->first_id + (index - e->append_first);
		else if (e->append == IKADA_APPEND_CONFIG)
			entry.value = cores_keep_config(cores, &e->config);
		else if (e->append == IKADA_APPEND_RECEIVED)
			entry = in->entries.entries[index - event->message->prev_index - 1];
		core_log_add(&core->log, entry.term, entry.value);
		core_log_add(&write->entries, entry.term, entry.value);
		cores_see(cores, core, index);
		if (ikada_raft_term_at(core->raft, index) != entry.term)
			cores_break(cores, "the core holds another term for entry %" PRIu64, index);
	}
}

/* The log begins elsewhere. */
static inline void cores_rebase(struct cores *cores, struct core *core, const struct core_packet *in,
				struct core_write *write)
{
	const struct ikada_effects *e = &core->effects;
	write->base = e->base_index;
	write->installed = e->installed;
	write->kept = e->kept;
	cores->compactions += !e->installed;
	cores->installs += e->installed;
	cores->installs_kept += e->kept;
	if (e->installed) {
		write->config = in->config;
		write->entries = core_log_copy(&in->entries, in->entries.count);
		core_log_begin(&core->log, &in->entries, e->kept);
	} else {
		write->config = core_config_at(cores, core, e->base_index);
	}
	core->base = e->base_index;
	core->base_config = write->config;
	if (core_log_term(&core->log, core->base) != e->base_term)
		cores_break(cores, "the core has another term at the base");
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

static inline void cores_count(struct cores *cores, const struct core *core)
{
	const struct ikada_effects *e = &core->effects;
	if (e->append == IKADA_APPEND_CONFIG) {
		bool was_joint = members_joint(&core->before->config);
		bool joint = members_joint(&e->config);
		cores->changes += !was_joint && !joint;
		cores->joints += joint;
		cores->finals += was_joint;
	}
	for (uint32_t i = 0; i < e->message_count; i++)
		cores->transfers += e->messages[i].kind == IKADA_TIMEOUT_NOW;
	cores->handed_on += e->role == IKADA_LEADER && core->before->role != IKADA_LEADER && core->raft->asked_to;
	cores->left += e->role == IKADA_FOLLOWER && core->before->role == IKADA_LEADER &&
		       core->raft->config.index <= e->commit && !members_votes(core->raft);
}

static inline void cores_absorb(struct cores *cores, uint64_t at, const struct ikada_event *event,
				const struct core_packet *in)
{
	struct core *core = &cores->core[at];
	const struct ikada_effects *e = &core->effects;
	if (e->ticket != 0) {
		struct core_write write = {.ticket = e->ticket,
					   .hard = e->hard_changed,
					   .term = e->term,
					   .vote = e->vote,
					   .vote_incarnation = e->vote_incarnation,
					   .commit = e->commit};
		if (e->append != IKADA_APPEND_NONE)
			cores_append(cores, core, event, in, &write);
		if (e->base_changed)
			cores_rebase(cores, core, in, &write);
		CORES_ROOM(core->writes, core->write_count, core->write_room);
		core->writes[core->write_count++] = write;
	}
	cores_check_config(cores, at);
	if (e->role == IKADA_LEADER)
		cores_check_leader(cores, at);
	cores_check_commit(cores, at, e->commit);
	cores_answer(cores, core);
	cores_count(cores, core);
	if (e->role != IKADA_LEADER)
		memset(core->streams, 0, sizeof core->streams);
	if (event->kind == IKADA_CHANGE)
		cores->change_refused = e->refused_changes.count > 0 ? e->refused_changes_why : 0;
	if (cores->watch != NULL)
		cores->watch(cores, at, NULL);
	/* Steps follow from within: the effects will be overwritten. */
	struct ikada_message messages[IKADA_MESSAGES_MAX];
	uint32_t count = e->message_count;
	memcpy(messages, e->messages, count * sizeof *messages);
	for (uint32_t i = 0; i < count; i++) {
		if (messages[i].after <= core->durable_ticket) {
			cores_release(cores, at, &messages[i]);
			continue;
		}
		CORES_ROOM(core->outbox, core->outbox_count, core->outbox_room);
		core->outbox[core->outbox_count++] = messages[i];
	}
}

/* One event; `in` is what it comes from. Ignored by a core that is down. */
static inline void cores_step(struct cores *cores, uint64_t at, struct ikada_event *event, const struct core_packet *in)
{
	struct core *core = &cores->core[at];
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
		cores_break(cores, "%" PRIu64 ": not true: %s", at, broken);
	cores_absorb(cores, at, event, in);
}

static inline void cores_write_down(struct core *core, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct core_write *write = &core->writes[i];
		if (write->hard) {
			core->disk_term = write->term;
			core->disk_vote = write->vote;
			core->disk_vote_incarnation = write->vote_incarnation;
		}
		core->disk_commit = write->commit;
		if (write->first > 0) {
			core->disk.count = write->first - 1;
			for (uint64_t n = 0; n < write->entries.count; n++)
				core_log_add(&core->disk, write->entries.entries[n].term,
					     write->entries.entries[n].value);
		}
		if (write->installed)
			core_log_begin(&core->disk, &write->entries, write->kept);
		if (write->base > 0) {
			core->disk_base = write->base;
			core->disk_config = write->config;
		}
		core_log_free(&write->entries);
	}
	core->write_count -= count;
	if (count > 0)
		memmove(core->writes, core->writes + count, core->write_count * sizeof *core->writes);
}

/* The first `count` writes that wait become durable. */
static inline void cores_durable(struct cores *cores, uint64_t at, size_t count)
{
	struct core *core = &cores->core[at];
	if (count > core->write_count)
		count = core->write_count;
	if (!core->up || count == 0)
		return;
	struct ikada_event event = {.kind = IKADA_DURABLE, .ticket = core->writes[count - 1].ticket};
	cores_write_down(core, count);
	core->durable_ticket = event.ticket;
	cores_step(cores, at, &event, NULL);
	cores_release_outbox(cores, at);
}

/* ---- Starts and ends ---- */

/* Starts a core from its disk. */
static inline void cores_boot(struct cores *cores, uint64_t at)
{
	struct core *core = &cores->core[at];
	struct ikada_run *runs = calloc(cores->limits.term_runs, sizeof *runs);
	uint64_t base = core->disk_base;
	uint64_t last = core->disk.count;
	struct ikada_boot boot = {.term = core->disk_term,
				  .vote = core->disk_vote,
				  .vote_incarnation = core->disk_vote_incarnation,
				  .base_index = base,
				  .base_term = core_log_term(&core->disk, base),
				  .last_index = last,
				  .runs = runs,
				  .commit = core->disk_commit > base ? core->disk_commit : base,
				  .raw_ns = cores->raw_ns,
				  .awake_ns = cores->raw_ns - core->lag_ns};
	core_log_free(&core->log);
	core->log = core_log_copy(&core->disk, last);
	core->base = base;
	core->base_config = core->disk_config;
	for (uint64_t i = 0; i < last; i++)
		cores_see(cores, core, i + 1);
	for (uint64_t i = base; i < last; i++)
		if (i == base || core->log.entries[i].term != core->log.entries[i - 1].term)
			runs[boot.run_count++] = (struct ikada_run){i + 1, core->log.entries[i].term};
	boot.config = core_config_at(cores, core, last);
	boot.config_before = boot.config;
	if (boot.config.index > base)
		boot.config_before = core_config_at(cores, core, boot.config.index - 1);
	struct ikada_settings settings = cores->settings;
	settings.self = core->id;
	settings.incarnation = core->incarnation;
	settings.priority = core->priority;
	settings.seed = cores->seed * 1000 + at * 100 + core->starts++;
	ikada_raft_init(core->raft, &cores->limits, &settings, &boot);
	ikada_raft_status(core->raft, &core->status);
	free(runs);
	core->up = true;
	core->durable_ticket = 0;
	core->reads = 0;
}

/* Keeps what is durable and the first `kept` writes more. */
static inline void cores_crash(struct cores *cores, uint64_t at, size_t kept)
{
	struct core *core = &cores->core[at];
	cores_write_down(core, kept < core->write_count ? kept : core->write_count);
	for (size_t i = 0; i < core->write_count; i++)
		core_log_free(&core->writes[i].entries);
	core->write_count = 0;
	core->outbox_count = 0;
	core_log_free(&core->arrived.entries);
	core->arrived.m.last_index = 0;
	memset(core->streams, 0, sizeof core->streams);
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
	struct ikada_config first = {.max_id = count, .count = count};
	for (uint64_t at = 1; at <= count; at++)
		first.members[at - 1] = (struct ikada_member){at, cores_incarnation(at), IKADA_VOTER};
	for (uint64_t at = 1; at <= count; at++) {
		cores->core[at].id = at;
		cores->core[at].incarnation = cores_incarnation(at);
		cores->core[at].disk_config = first;
	}
}

static inline void cores_allocate(struct cores *cores, uint64_t at)
{
	cores->core[at].raft = malloc(ikada_raft_size(&cores->limits));
	cores->core[at].before = malloc(ikada_raft_size(&cores->limits));
}

/* Gives all cores memory, with the limits of that moment. */
static inline void cores_make(struct cores *cores)
{
	for (uint64_t at = 1; at <= cores->count; at++)
		cores_allocate(cores, at);
}

static inline void cores_start(struct cores *cores)
{
	cores_make(cores);
	for (uint64_t at = 1; at <= cores->count; at++)
		cores_boot(cores, at);
}

/* One more core, with an empty disk, down; returns its number, or 0. */
static inline uint64_t cores_spawn(struct cores *cores, uint64_t id)
{
	if (cores->count == CORES_MAX)
		return 0;
	uint64_t at = ++cores->count;
	cores->core[at].id = id;
	cores->core[at].incarnation = cores_incarnation(id);
	while (cores_find(cores, id, cores->core[at].incarnation) != at)
		cores->core[at].incarnation += 1000;
	cores_allocate(cores, at);
	return at;
}

static inline void cores_free(struct cores *cores)
{
	for (uint64_t at = 1; at <= cores->count; at++) {
		struct core *core = &cores->core[at];
		cores_crash(cores, at, 0);
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
	free(cores->configs);
	core_log_free(&cores->committed);
	core_log_free(&cores->refused);
}

/* ---- What the test does ---- */

/* Takes a packet off the network; its entries are then the caller's. */
static inline struct core_packet cores_take(struct cores *cores, size_t i)
{
	struct core_packet packet = cores->packets[i];
	cores->packet_count--;
	memmove(cores->packets + i, cores->packets + i + 1, (cores->packet_count - i) * sizeof packet);
	return packet;
}

static inline void cores_drop(struct cores *cores, size_t i)
{
	struct core_packet packet = cores_take(cores, i);
	core_log_free(&packet.entries);
}

/* The snapshot that arrived is installed. */
static inline void cores_install(struct cores *cores, uint64_t at)
{
	struct core *core = &cores->core[at];
	struct core_packet packet = core->arrived;
	if (packet.m.last_index == 0)
		return;
	core->arrived = (struct core_packet){.m = {.last_index = 0}};
	struct ikada_event event = {.kind = IKADA_INSTALL,
				    .last_index = packet.m.last_index,
				    .last_term = packet.m.last_term,
				    .config = &packet.config};
	cores_step(cores, at, &event, &packet);
	core_log_free(&packet.entries);
}

/* The stream from a core to another has ended: well, if that has it all on its disk. */
static inline void cores_end_stream(struct cores *cores, uint64_t at, uint64_t to)
{
	struct core *core = &cores->core[at];
	uint64_t index = core->streams[to];
	if (index == 0)
		return;
	const struct core_log *disk = &cores->core[to].disk;
	bool well = index <= core->log.count && core_log_term(disk, index) == core_log_term(&core->log, index);
	core->streams[to] = 0;
	struct ikada_event event = {.kind = IKADA_SNAPSHOT_ENDED,
				    .peer = cores->core[to].id,
				    .peer_incarnation = cores->core[to].incarnation,
				    .last_index = well ? index : 0};
	cores_step(cores, at, &event, NULL);
}

/* Hands a packet, which may be on the network or not, to whom it is for. A snapshot that is accepted waits there. */
static inline void cores_hand(struct cores *cores, const struct core_packet *packet)
{
	struct ikada_message m = packet->m;
	cores_name(cores, &m);
	uint64_t to = cores_to(cores, &m);
	if (to == 0)
		return;
	struct core *core = &cores->core[to];
	const struct core_log *in = &packet->entries;
	bool append = m.kind == IKADA_APPEND;
	struct ikada_run *runs = malloc((in->count + 1) * sizeof *runs);
	struct ikada_config *configs = malloc((in->count + 1) * sizeof *configs);
	struct ikada_event event = {.kind = IKADA_RECEIVE, .message = &m, .runs = runs, .configs = configs};
	for (uint64_t i = 0; append && i < in->count; i++) {
		if (i == 0 || in->entries[i].term != in->entries[i - 1].term)
			runs[event.run_count++] = (struct ikada_run){m.prev_index + 1 + i, in->entries[i].term};
		const struct ikada_config *config = cores_config(cores, &in->entries[i]);
		if (config != NULL)
			configs[event.config_count++] = *config;
	}
	m.after = 0; /* Not sent on the wire. */
	core->effects.accept_snapshot = false;
	cores_step(cores, to, &event, packet);
	if (m.kind == IKADA_SNAPSHOT && core->up && core->effects.accept_snapshot) {
		core_log_free(&core->arrived.entries);
		core->arrived = *packet;
		core->arrived.entries = core_log_copy(in, in->count);
	}
	free(runs);
	free(configs);
}

static inline void cores_deliver(struct cores *cores, size_t i)
{
	struct core_packet packet = cores_take(cores, i);
	cores_hand(cores, &packet);
	core_log_free(&packet.entries);
}

static inline void cores_tick(struct cores *cores, uint64_t at)
{
	struct ikada_event event = {.kind = IKADA_TICK};
	cores_step(cores, at, &event, NULL);
}

/* Values first .. first + count - 1. */
static inline void cores_propose(struct cores *cores, uint64_t at, uint64_t first, uint64_t count)
{
	struct ikada_event event = {.kind = IKADA_PROPOSE, .first_id = first, .count = count};
	cores_step(cores, at, &event, NULL);
}

static inline void cores_read(struct cores *cores, uint64_t at, uint64_t count)
{
	struct core *core = &cores->core[at];
	if (!core->up || core->reads + count > CORES_READS_MAX)
		return;
	struct ikada_event event = {.kind = IKADA_READ, .first_id = core->reads, .count = count};
	for (uint64_t i = 0; i < count; i++) {
		core->read_index[core->reads] = CORES_READ_WAITS;
		core->read_floor[core->reads++] = cores->committed.count;
	}
	cores_step(cores, at, &event, NULL);
}

static inline void cores_peer_lost(struct cores *cores, uint64_t at, uint64_t peer)
{
	struct ikada_event event = {.kind = IKADA_PEER_LOST,
				    .peer = cores->core[peer].id,
				    .peer_incarnation = cores->core[peer].incarnation};
	cores->core[at].streams[peer] = 0;
	cores_step(cores, at, &event, NULL);
}

/* Up to an index that is committed here. */
static inline void cores_compact(struct cores *cores, uint64_t at, uint64_t index)
{
	struct ikada_event event = {.kind = IKADA_COMPACT, .last_index = index};
	cores_step(cores, at, &event, NULL);
}

static inline void cores_change(struct cores *cores, uint64_t at, const struct ikada_config *wanted)
{
	struct ikada_event event = {.kind = IKADA_CHANGE, .config = wanted, .first_id = 1};
	cores_step(cores, at, &event, NULL);
}

/* To core `to`, or 0. */
static inline void cores_transfer(struct cores *cores, uint64_t at, uint64_t to, uint64_t wait_ns)
{
	struct ikada_event event = {.kind = IKADA_TRANSFER,
				    .peer = to == 0 ? 0 : cores->core[to].id,
				    .peer_incarnation = to == 0 ? 0 : cores->core[to].incarnation,
				    .deadline_ns = cores->raw_ns + wait_ns};
	cores_step(cores, at, &event, NULL);
}

static inline void cores_halt(struct cores *cores, uint64_t at, bool on)
{
	struct ikada_event event = {.kind = IKADA_HALT, .on = on};
	cores_step(cores, at, &event, NULL);
}

#endif
