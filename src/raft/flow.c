/*
 * What a leader sends to each of the others (paper, 5.3; pipelining: dissertation 10.2.1; snapshots: paper, 7).
 *
 * A peer is streamed to, or probed. To a stream, entries are sent as they come, without waiting for answers, as far as
 * the window of unanswered messages reaches. A rejection ends the stream: then messages without entries look for the
 * place where the logs agree, one at a time, each guided by the conflict that the last one met. There, a stream starts.
 *
 * A peer whose log agrees nowhere with what is left of ours is sent a snapshot by the driver; heartbeats go on. That
 * ends when the driver says so, or the peer's answers show a log that we can go on from, or its connection is lost.
 *
 * Nothing waits for ever. Every message names the entry before it, so the peer rejects one that follows a lost one; and
 * at each heartbeat every peer is owed a message, whatever was lost, dropped by the driver, or never answered. Instant
 * reactions always make progress (a smaller next_index, or another place than the last rejection): the rest keeps the
 * pace of heartbeats.
 *
 * At the end of a step only the peers in `due` are looked at: whatever could let one be sent something, a change of
 * what is known of it, of the end of the log, or of the table of slots, puts it there.
 *
 * What a peer has verified but not made durable is no promise: it may forget that in a crash. Only match_index binds:
 * within the leader's term nothing up to there is ever cut, so an answer to a message that was made after the peer had
 * acknowledged that much cannot say that it is not there. If it does, the peer's disk has lost what it had promised (it
 * was rolled back, or did not write when it said so), and the peer may have lost its vote as well. It hears heartbeats,
 * so that it goes on following and gives its vote to nobody; what it says counts for nothing. An answer that was under
 * way when the acknowledgement came says nothing of the kind: it echoes an earlier time.
 */
#include "raft/raft_internal.h"

#include "base/check.h"

/* Ends a stream. */
static void stop(struct peer *peer, enum peer_state state)
{
	peer->state = state;
	peer->waiting = false;
	peer->owed_snapshot = false;
	peer->window_start = 0;
	peer->window_count = 0;
	peer->window_bytes = 0;
}

static bool can_stream(const struct ikada_raft *raft, const struct peer *peer)
{
	if (peer->next_index > raft->log.last_index || peer->waiting || peer->state != PEER_STREAM)
		return false;
	return peer->window_count == 0 || (peer->window_count < raft->limits.inflight_messages &&
					   peer->window_bytes < raft->limits.inflight_bytes);
}

/* Only this peer is another than before. */
static void look_at(struct ikada_raft *raft, uint32_t slot)
{
	const struct peer *peer = &raft->peers[slot];
	if (peer->owed || peer->owed_snapshot || can_stream(raft, peer))
		raft->due |= 1u << slot;
}

void flow_start(struct ikada_raft *raft)
{
	for (uint32_t slot = 0; slot < raft->member_count; slot++)
		raft->peers[slot] = (struct peer){.next_index = raft->log.last_index + 1,
						  .window = raft->peers[slot].window,
						  .state = (raft->forgot >> slot & 1) != 0 ? PEER_PROBE : PEER_STREAM,
						  .owed = true,
						  .catch_index = raft->log.last_index,
						  .catch_ns = raft->raw_ns};
	flow_look(raft);
}

void flow_owe(struct ikada_raft *raft)
{
	for (uint32_t slot = 0; slot < raft->member_count; slot++)
		raft->peers[slot].owed = true;
	flow_look(raft);
}

void flow_beat(struct ikada_raft *raft)
{
	for (uint32_t slot = 0; slot < raft->member_count; slot++) {
		raft->peers[slot].waiting = false;
		raft->peers[slot].silent++;
		raft->peers[slot].owed_snapshot = raft->peers[slot].state == PEER_SNAPSHOT;
	}
	flow_owe(raft);
}

static void free_window(const struct ikada_raft *raft, uint32_t slot, struct peer *peer, uint64_t verified_index)
{
	const struct window_slot *window = raft_window(raft, slot);
	while (peer->window_count > 0 && window[peer->window_start].last_index <= verified_index) {
		peer->window_bytes -= window[peer->window_start].bytes;
		peer->window_start = (peer->window_start + 1) % raft->limits.inflight_messages;
		peer->window_count--;
	}
}

/* Where the logs may agree, given what the peer has instead of our entry at prev_index; below that. */
static uint64_t agreement(const struct ikada_raft *raft, const struct ikada_message *m)
{
	if (m->conflict_term == 0)
		return m->last_index < m->prev_index ? m->last_index : m->prev_index - 1;
	/* Ours, and its, can agree only where terms are not above the conflict's. */
	uint64_t index = raft_log_floor(&raft->log, m->prev_index - 1, m->conflict_term);
	if (raft_log_term(&raft->log, index) != m->conflict_term && m->conflict_index > 0 && m->conflict_index <= index)
		index = m->conflict_index - 1;
	return index;
}

static void rejected(const struct ikada_raft *raft, struct peer *peer, const struct ikada_message *m)
{
	/* Old news: about what has been acknowledged since, or what was not even sent yet at this next_index. */
	if (m->prev_index <= peer->match_index || m->prev_index <= m->verified_index ||
	    m->prev_index >= peer->next_index || peer->state == PEER_SNAPSHOT)
		return;
	uint64_t before = peer->next_index;
	uint64_t agreed = agreement(raft, m);
	if (agreed < peer->match_index)
		agreed = peer->match_index;
	if (agreed < m->verified_index)
		agreed = m->verified_index;
	if (agreed < raft->log.base_index) {
		stop(peer, PEER_SNAPSHOT);
		peer->next_index = raft->log.base_index + 1;
		peer->owed_snapshot = true;
		return;
	}
	peer->next_index = agreed + 1;
	if (peer->state == PEER_PROBE) {
		peer->owed |= peer->next_index < before;
		return;
	}
	peer->owed |= peer->next_index != peer->stuck_next;
	peer->stuck_next = peer->next_index;
	stop(peer, PEER_PROBE);
}

bool flow_denies(const struct ikada_raft *raft, uint32_t slot, const struct ikada_message *m)
{
	const struct peer *peer = &raft->peers[slot];
	return peer->match_index > 0 && m->sent_ns > peer->match_ns &&
	       (m->last_index < peer->match_index || m->prev_index <= peer->match_index);
}

void flow_forgot(struct ikada_raft *raft, uint32_t slot)
{
	raft->peers[slot] = (struct peer){
		.state = PEER_PROBE, .next_index = raft->log.last_index + 1, .window = raft->peers[slot].window};
}

void flow_replied(struct ikada_raft *raft, uint32_t slot, const struct ikada_message *m)
{
	struct peer *peer = &raft->peers[slot];
	if (m->match_index > peer->match_index) {
		peer->match_index = m->match_index;
		peer->match_ns = raft->awake_ns;
	}
	if (m->verified_index >= peer->next_index)
		peer->next_index = m->verified_index + 1;
	free_window(raft, slot, peer, m->verified_index);
	if (peer->state == PEER_SNAPSHOT && m->verified_index >= raft->log.base_index)
		stop(peer, PEER_PROBE);
	if (m->rejected)
		rejected(raft, peer, m);
	else if (m->verified_index + 1 == peer->next_index)
		peer->state = PEER_STREAM;
	look_at(raft, slot);
}

void flow_sent(struct ikada_raft *raft, uint32_t slot, uint64_t last_index, uint64_t bytes)
{
	struct peer *peer = &raft->peers[slot];
	if (!peer->waiting)
		return; /* The stream has ended since. */
	peer->waiting = false;
	if (last_index >= peer->next_index && last_index <= raft->log.last_index) {
		CHECK_OP(peer->window_count, <, raft->limits.inflight_messages);
		uint32_t at = (peer->window_start + peer->window_count++) % raft->limits.inflight_messages;
		raft_window(raft, slot)[at] = (struct window_slot){last_index, bytes};
		peer->window_bytes += bytes;
		peer->next_index = last_index + 1;
	}
	look_at(raft, slot);
}

void flow_lost(struct ikada_raft *raft, uint32_t slot)
{
	stop(&raft->peers[slot], PEER_PROBE);
}

void flow_compacted(struct ikada_raft *raft)
{
	for (uint32_t slot = 0; slot < raft->member_count; slot++) {
		struct peer *peer = &raft->peers[slot];
		if (peer->next_index > raft->log.base_index)
			continue;
		/* Its answer to what comes next tells whether it needs what is gone. */
		peer->next_index = raft->log.base_index + 1;
		if (peer->state == PEER_STREAM)
			stop(peer, PEER_PROBE);
	}
}

void flow_snapshot_ended(struct ikada_raft *raft, uint32_t slot, uint64_t last_index)
{
	struct peer *peer = &raft->peers[slot];
	if (peer->state != PEER_SNAPSHOT || last_index > raft->log.last_index)
		return;
	stop(peer, PEER_PROBE);
	/* After a failure, the next heartbeat tries again. */
	peer->owed |= last_index > 0;
	if (last_index >= peer->next_index)
		peer->next_index = last_index + 1;
	look_at(raft, slot);
}

static void ask_for_snapshot(struct ikada_raft *raft, uint32_t slot, struct ikada_effects *effects)
{
	const struct member *to = &raft->members[slot];
	struct ikada_message *m = raft_message(raft, effects, IKADA_SNAPSHOT, to->id, to->incarnation);
	m->last_index = raft->log.base_index;
	m->last_term = raft->log.base_term;
	raft->peers[slot].owed_snapshot = false;
}

static void send_append(struct ikada_raft *raft, uint32_t slot, bool entries, struct ikada_effects *effects)
{
	struct peer *peer = &raft->peers[slot];
	const struct member *to = &raft->members[slot];
	struct ikada_message *m = raft_message(raft, effects, IKADA_APPEND, to->id, to->incarnation);
	m->round = raft->round;
	m->sent_ns = raft->awake_ns;
	m->prev_index = peer->next_index - 1;
	m->prev_term = raft_log_term(&raft->log, m->prev_index);
	m->last_index = entries ? raft->log.last_index : m->prev_index;
	m->commit = raft->commit;
	peer->owed = false;
	peer->waiting |= entries;
}

void flow_send(struct ikada_raft *raft, struct ikada_effects *effects)
{
	uint32_t due = raft->due & ~members_self(raft);
	raft->due = 0;
	for (uint32_t slot = 0; due >> slot != 0; slot++) {
		const struct peer *peer = &raft->peers[slot];
		if ((due >> slot & 1) == 0)
			continue;
		if (peer->owed_snapshot)
			ask_for_snapshot(raft, slot, effects);
		bool entries = can_stream(raft, peer);
		if (entries || peer->owed)
			send_append(raft, slot, entries, effects);
	}
}
