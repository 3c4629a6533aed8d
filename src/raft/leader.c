/*
 * A leader's term: its no-op, proposals, the commit index, and its reasons to give up (paper, 5.3 and 5.4.2;
 * check-quorum: dissertation 6.2).
 *
 * Append-only: a leader never cuts its log. It stamps entries only with the term it won. It commits an entry of its own
 * term that a majority holds durably, and with it all before; never an older one by counting. Its own disk is one among
 * the others: its match is its durable index.
 *
 * A leader that no longer votes is not counted, and leaves when the change that removed it is committed (dissertation,
 * 4.2.2). It steps down, within the term and keeping its vote, when for an election timeout no majority has answered a
 * message *sent* in that time (an old answer that waited in a socket counts for when it was asked), or its own disk has
 * made nothing durable although something waits. Both on the awake clock: while this process did not run it could not
 * be answered, and if the others ran meanwhile, they have elected somebody, whose messages or whose followers' answers
 * to the next heartbeat say so. Nothing is promised by this clock: reads ask for a round (reads.c).
 */
#include "raft/raft_internal.h"

#include "base/check.h"

void leader_append(struct ikada_raft *raft, struct ikada_effects *effects, enum ikada_append_kind kind, uint64_t last)
{
	CHECK(effects->append == IKADA_APPEND_NONE);
	effects->append = kind;
	effects->append_first = raft->log.last_index + 1;
	effects->append_last = last;
	effects->append_term = raft->term;
	raft_log_append(&raft->log, last, raft->term, raft_ticket(raft, effects));
	flow_look(raft);
}

void leader_start(struct ikada_raft *raft, struct ikada_effects *effects)
{
	raft->role = IKADA_LEADER;
	raft->leader = raft->settings.self;
	raft->leader_incarnation = raft->settings.incarnation;
	raft->lead_ns = raft->awake_ns;
	raft->lead_index = raft->log.last_index + 1;
	raft->beat_ns = raft->raw_ns + raft->settings.heartbeat_ns;
	raft->round++;
	flow_start(raft);
	leader_append(raft, effects, IKADA_APPEND_NOOP, raft->lead_index);
}

void leader_propose(struct ikada_raft *raft, const struct ikada_event *event, struct ikada_effects *effects)
{
	uint64_t held = raft->log.last_index - raft->commit;
	uint64_t room = held < raft->limits.uncommitted_entries ? raft->limits.uncommitted_entries - held : 0;
	if (room > RAFT_INDEX_MAX - raft->log.last_index)
		room = RAFT_INDEX_MAX - raft->log.last_index;
	if (raft->transfer.id != 0)
		room = 0;
	uint64_t accepted = event->count < room ? event->count : room;
	if (accepted > 0)
		leader_append(raft, effects, IKADA_APPEND_PROPOSED, raft->log.last_index + accepted);
	if (accepted < event->count) {
		effects->refused_proposals =
			(struct ikada_id_range){event->first_id + accepted, event->count - accepted};
		effects->refused_proposals_why = IKADA_REFUSED_BUSY;
	}
}

static void advance_commit(struct ikada_raft *raft)
{
	uint64_t matches[IKADA_MEMBERS_MAX];
	for (uint32_t slot = 0; slot < raft->member_count; slot++)
		matches[slot] = slot == raft->self ? raft->log.durable_index : raft->peers[slot].match_index;
	uint64_t index = members_value(raft, matches);
	/* Terms ascend: if this entry is of an older term, so are all before it. */
	if (index > raft->commit && raft_log_term(&raft->log, index) == raft->term)
		raft->commit = index;
}

void leader_durable(struct ikada_raft *raft)
{
	advance_commit(raft);
}

/* An alarm: a disk broke its promise. What that member says from now on counts for nothing. */
static void forget(struct ikada_raft *raft, uint32_t slot, const struct ikada_message *m, struct ikada_effects *effects)
{
	effects->forgot = m->from;
	effects->forgot_incarnation = m->from_incarnation;
	effects->forgot_index = raft->peers[slot].match_index;
	effects->forgot_last = m->last_index;
	raft->forgot |= 1u << slot;
	flow_forgot(raft, slot);
}

void leader_append_reply(struct ikada_raft *raft, const struct ikada_message *m, struct ikada_effects *effects)
{
	uint32_t slot = members_slot(raft, m->from, m->from_incarnation);
	struct peer *peer = &raft->peers[slot];
	/* This log only grows within the term: nobody can agree beyond its end, or echo what was not asked. */
	if (m->verified_index > raft->log.last_index || m->round > raft->round || m->sent_ns > raft->awake_ns)
		return;
	if (raft->forgot >> slot & 1)
		return;
	if (m->rejected && flow_denies(raft, slot, m)) {
		forget(raft, slot, m, effects);
		return;
	}
	if (m->round > peer->acked_round)
		peer->acked_round = m->round;
	if (m->sent_ns > peer->heard_ns)
		peer->heard_ns = m->sent_ns;
	flow_replied(raft, slot, m);
	change_replied(raft, slot);
	/* What is committed is counted already; but a configuration that is not may have changed what a majority is. */
	if (peer->match_index > raft->commit || raft->config.index > raft->commit)
		advance_commit(raft);
}

/* The latest time (awake) such that a majority has answered messages sent since. */
static uint64_t quorum_heard_ns(const struct ikada_raft *raft)
{
	uint64_t heard[IKADA_MEMBERS_MAX];
	for (uint32_t slot = 0; slot < raft->member_count; slot++) {
		uint64_t ns = slot == raft->self ? raft->awake_ns : raft->peers[slot].heard_ns;
		heard[slot] = ns > raft->lead_ns ? ns : raft->lead_ns;
	}
	return members_value(raft, heard);
}

void leader_tick(struct ikada_raft *raft, struct ikada_effects *effects)
{
	uint64_t patience = raft->settings.election_max_ns;
	bool silent = raft->awake_ns - quorum_heard_ns(raft) >= patience;
	bool stalled = raft->ticket > raft->durable_ticket && raft->awake_ns - raft->progress_ns >= patience;
	if (silent || stalled) {
		election_follow(raft, effects, raft->term, 0, 0);
		return;
	}
	transfer_tick(raft, effects);
	if (raft->raw_ns >= raft->beat_ns) {
		raft->beat_ns = raft->raw_ns + raft->settings.heartbeat_ns;
		raft->transfer.told = false;
		flow_beat(raft);
	}
}

uint64_t leader_deadline(const struct ikada_raft *raft)
{
	if (change_due(raft))
		return raft->raw_ns;
	if (raft->member_count == 1)
		return UINT64_MAX;
	uint64_t deadline = raft_awake_to_raw(raft, quorum_heard_ns(raft) + raft->settings.election_max_ns);
	if (raft->beat_ns < deadline)
		deadline = raft->beat_ns;
	if (raft->transfer.id != 0 && raft->transfer.deadline_ns < deadline)
		deadline = raft->transfer.deadline_ns;
	return deadline;
}

/* The change that removed this leader is committed: it tells everybody, and goes. */
static void leave(struct ikada_raft *raft, struct ikada_effects *effects)
{
	flow_owe(raft);
	flow_send(raft, effects);
	transfer_leave(raft, effects);
	election_follow(raft, effects, raft->term, 0, 0);
}

void leader_finish(struct ikada_raft *raft, struct ikada_effects *effects)
{
	if (effects->append == IKADA_APPEND_NONE && change_due(raft))
		change_go_on(raft, effects);
	if (!members_votes(raft) && raft->config.index <= raft->commit) {
		leave(raft, effects);
		return;
	}
	if (raft->member_count > raft->config.count && raft->config.index <= raft->commit)
		flow_owe(raft); /* The last that those who have gone hear. */
	if (raft->reads.pending > 0 || raft->reads.round_count > 0)
		reads_settle(raft, effects);
	if (raft->due != 0)
		flow_send(raft, effects);
	if (raft->transfer.id != 0)
		transfer_go_on(raft, effects);
}
