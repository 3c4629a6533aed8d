#include "raft/raft_check.h"

#include "raft/check_internal.h"

#include <string.h>

_Static_assert(offsetof(struct ikada_raft, log.tags) + sizeof(struct log_tag[LOG_TAGS]) == sizeof(struct ikada_raft),
	       "nothing follows the tags");

/* `count` slots of a ring of `room`, from `start` on; the others have no meaning. */
static void copy_ring(void *to, const void *from, size_t size, uint32_t room, uint32_t start, uint32_t count)
{
	uint32_t first = count < room - start ? count : room - start;
	memcpy((char *)to + start * size, (const char *)from + start * size, first * size);
	memcpy(to, from, (count - first) * size);
}

void raft_check_copy(struct ikada_raft *to, const struct ikada_raft *from)
{
	const struct raft_log *log = &from->log;
	memcpy(to, from, offsetof(struct ikada_raft, log.tags));
	copy_ring(to->log.tags, log->tags, sizeof *log->tags, LOG_TAGS, log->tag_start, log->tag_count);
	memcpy(raft_log_runs(&to->log), raft_log_runs(log), log->run_count * sizeof(struct ikada_run));
	for (uint32_t slot = 0; slot < from->member_count; slot++) {
		const struct peer *peer = &from->peers[slot];
		copy_ring(raft_window(to, slot), raft_window(from, slot), sizeof(struct window_slot),
			  from->limits.inflight_messages, peer->window_start, peer->window_count);
	}
}

/* What the leader knew before the step of who has this slot after it; NULL: nothing. */
static const struct peer *peer_before(const struct change *c, uint32_t slot)
{
	const struct member *member = &c->after->members[slot];
	uint32_t before = members_slot(c->before, member->id, member->incarnation);
	return before < IKADA_MEMBERS_MAX ? &c->before->peers[before] : NULL;
}

static bool from_slot(const struct change *c, uint32_t slot)
{
	const struct member *member = &c->after->members[slot];
	return c->in->from == member->id && c->in->from_incarnation == member->incarnation;
}

static const char *check_role(const struct ikada_raft *raft)
{
	RULE(raft->term > 0 || (raft->vote == 0 && raft->leader == 0), "term 0 has no votes and no leader");
	switch (raft->role) {
	case IKADA_LEADER:
		RULE(raft->leader == raft->settings.self && raft->leader_incarnation == raft->settings.incarnation,
		     "a leader knows itself as the leader");
		RULE(raft->vote == raft->settings.self, "a leader voted for itself");
		RULE(raft->hard_ticket <= raft->durable_ticket, "a leader's own vote is durable");
		RULE(raft->lead_index <= raft->log.base_index ||
			     raft_log_term(&raft->log, raft->lead_index) == raft->term,
		     "a leader's term opens with an entry");
		RULE(!raft->halted, "who is halted does not lead");
		RULE(check_may_lead(raft), "who no longer votes leads until that is committed");
		return NULL;
	case IKADA_CANDIDATE:
		RULE(check_may_lead(raft), "who campaigns votes, or did before a change that is not committed");
		RULE(raft->vote == raft->settings.self, "a candidate voted for itself");
		RULE((raft->votes & raft->forgot) == 0, "who lost what it had promised elects nobody");
		RULE(raft->leader == 0, "a candidate knows no leader");
		break;
	case IKADA_PRECANDIDATE:
		RULE(check_may_lead(raft), "who campaigns votes, or did before a change that is not committed");
		RULE((raft->votes & raft->forgot) == 0, "who lost what it had promised elects nobody");
		RULE(raft->leader == 0, "a precandidate knows no leader");
		break;
	case IKADA_FOLLOWER:
		RULE(raft->leader != raft->settings.self || raft->leader_incarnation != raft->settings.incarnation,
		     "a follower does not follow itself");
		break;
	}
	RULE(raft->transfer.id == 0, "only a leader hands leadership on");
	RULE(raft->reads.pending == 0 && raft->reads.round_count == 0, "only a leader keeps reads");
	RULE(raft->verified_index <= raft->log.last_index, "what is verified is in the log");
	return NULL;
}

static const char *check_peers(const struct ikada_raft *raft)
{
	for (uint32_t slot = 0; slot < raft->member_count; slot++) {
		const struct peer *peer = &raft->peers[slot];
		if (slot == raft->self)
			continue;
		RULE(peer->match_index < peer->next_index, "next index is beyond match index");
		RULE(peer->next_index > raft->log.base_index, "next index is beyond the start of the log");
		RULE(peer->next_index <= raft->log.last_index + 1, "next index is at most one beyond the log");
		RULE(peer->acked_round <= raft->round, "no round is echoed before it starts");
		RULE(peer->heard_ns <= raft->awake_ns, "no message is echoed before it is sent");
		RULE(peer->window_count <= raft->limits.inflight_messages, "the window holds what it can");
		RULE(peer->state == PEER_STREAM || (peer->window_count == 0 && !peer->waiting),
		     "nothing streams to a peer that is probed or needs a snapshot");
		RULE(peer->state != PEER_SNAPSHOT || peer->match_index < raft->log.base_index,
		     "a snapshot is for who lacks what is gone");
		RULE(!peer->owed && !peer->owed_snapshot, "a step pays what it owes");
		RULE((raft->forgot >> slot & 1) == 0 || (peer->match_index == 0 && peer->acked_round == 0 &&
							 peer->heard_ns == 0 && peer->state == PEER_PROBE),
		     "who lost what it had promised is not counted, and sent no entries");
		bool full = peer->window_count > 0 && (peer->window_count == raft->limits.inflight_messages ||
						       peer->window_bytes >= raft->limits.inflight_bytes);
		RULE(peer->state != PEER_STREAM || peer->waiting || full || peer->next_index > raft->log.last_index,
		     "what can be sent is sent");
		if (peer->window_count == 0) {
			RULE(peer->window_bytes == 0, "an empty window has no bytes");
			continue;
		}
		uint32_t newest = (peer->window_start + peer->window_count - 1) % raft->limits.inflight_messages;
		RULE(raft_window(raft, slot)[newest].last_index < peer->next_index,
		     "next index is beyond what is under way");
	}
	return NULL;
}

static bool newly_forgot(const struct change *c, uint32_t slot)
{
	const struct member *member = &c->after->members[slot];
	uint32_t before = members_slot(c->before, member->id, member->incarnation);
	return (c->after->forgot >> slot & 1) != 0 &&
	       (before == IKADA_MEMBERS_MAX || (c->before->forgot >> before & 1) == 0);
}

/* Nobody is accused but by its own words, and the alarm is told once. */
static const char *check_forgot(const struct change *c)
{
	const struct ikada_raft *a = c->after;
	bool told = false;
	for (uint32_t slot = 0; slot < a->member_count; slot++) {
		const struct member *member = &a->members[slot];
		uint32_t before = members_slot(c->before, member->id, member->incarnation);
		if (!newly_forgot(c, slot)) {
			RULE(before == IKADA_MEMBERS_MAX || (c->before->forgot >> before & 1) == 0 ||
				     (a->forgot >> slot & 1) != 0,
			     "who lost what it had promised is not trusted again");
			continue;
		}
		RULE(before < IKADA_MEMBERS_MAX && c->before->role == IKADA_LEADER && c->before->term == a->term &&
			     received(c, IKADA_APPEND_REPLY) && from_slot(c, slot) && c->in->term == a->term,
		     "only a leader judges what a peer had promised, by its answer");
		uint64_t promised = c->before->peers[before].match_index;
		RULE(c->in->rejected && (c->in->prev_index <= promised || c->in->last_index < promised),
		     "who lost something denies what it had acknowledged");
		RULE(c->in->sent_ns > c->before->peers[before].match_ns,
		     "an answer from before the acknowledgement denies nothing");
		RULE(c->effects->forgot == member->id && c->effects->forgot_incarnation == member->incarnation &&
			     c->effects->forgot_index == promised,
		     "a broken promise is told");
		told = true;
	}
	RULE(told == (c->effects->forgot != 0), "a broken promise is told once");
	return NULL;
}

static const char *check_role_change(const struct change *c)
{
	const struct ikada_raft *b = c->before;
	const struct ikada_raft *a = c->after;
	if (a->role == IKADA_LEADER && (b->role != IKADA_LEADER || b->term != a->term)) {
		RULE(b->role == IKADA_CANDIDATE, "a leader was a candidate");
		RULE(b->term == a->term, "a leader leads the term it campaigned in");
		RULE(check_majority(a, a->votes), "a leader has the votes of a majority");
		RULE((a->votes & ~b->votes) == 0 ||
			     (received(c, IKADA_VOTE_REPLY) && c->in->granted && c->in->term == a->term),
		     "a vote counts in its own term");
	}
	if (a->role == IKADA_CANDIDATE && b->term != a->term) {
		RULE(a->term == b->term + 1, "a candidate moves one term ahead");
		RULE(a->votes == check_self(a), "a candidate starts with its own vote");
		if (received(c, IKADA_TIMEOUT_NOW)) {
			RULE(b->role == IKADA_FOLLOWER && b->leader == c->in->from &&
				     b->leader_incarnation == c->in->from_incarnation && c->in->term == b->term,
			     "only the leader can ask for a campaign");
			return NULL;
		}
		RULE(b->role == IKADA_PRECANDIDATE || check_majority(a, check_self(a)),
		     "a candidate was a precandidate");
		uint32_t asked = b->votes | check_self(a);
		for (uint32_t slot = 0; slot < a->member_count && received(c, IKADA_PREVOTE_REPLY); slot++)
			asked |= from_slot(c, slot) ? 1u << slot : 0;
		RULE(check_majority(a, asked), "a candidate has a majority's pre-votes");
	}
	if (a->role != IKADA_LEADER || b->role != IKADA_LEADER)
		return NULL;
	RULE(a->term == b->term, "nobody leads two terms in a row without an election");
	for (uint32_t slot = 0; slot < a->member_count; slot++) {
		const struct peer *peer = &a->peers[slot];
		const struct peer *was = peer_before(c, slot);
		bool said = received(c, IKADA_APPEND_REPLY) && from_slot(c, slot) && c->in->term == a->term;
		if (was == NULL) {
			RULE(peer->match_index == 0 && peer->acked_round == 0, "nothing is known of who is new");
			continue;
		}
		if (newly_forgot(c, slot))
			continue;
		RULE(peer->match_index >= was->match_index, "a match index never falls within a term");
		RULE(peer->match_index == was->match_index || (said && c->in->match_index == peer->match_index),
		     "a match index is what the peer acknowledged in this term");
		RULE(peer->acked_round == was->acked_round || said, "a round is echoed by the peer in this term");
	}
	return NULL;
}

static const char *check_report(const struct change *c)
{
	const struct ikada_raft *b = c->before;
	const struct ikada_raft *a = c->after;
	const struct ikada_effects *e = c->effects;
	RULE(e->term == a->term && e->vote == a->vote && e->commit == a->commit && e->role == a->role &&
		     e->leader == a->leader,
	     "the effects show the current state");
	RULE(e->role_changed == (a->role != b->role || a->term != b->term || a->leader != b->leader),
	     "a change of role, term or leader is told");
	RULE(e->base_index == a->log.base_index && e->base_term == a->log.base_term,
	     "the effects show where the log begins");
	RULE(e->wants_compaction == (2 * a->log.run_count >= a->log.run_limit),
	     "a table of terms that is half full asks for compaction");
	RULE(e->base_changed == (a->log.base_index != b->log.base_index), "a new start of the log is told");
	RULE(e->config_changed == (a->config.index != b->config.index), "a new configuration is told");
	RULE(a->raw_ns == c->event->raw_ns && a->awake_ns == c->event->awake_ns, "time is what the event says");
	return NULL;
}

const char *raft_check(const struct ikada_raft *before, const struct ikada_raft *after, const struct ikada_event *event,
		       const struct ikada_effects *effects)
{
	const struct change c = {
		.before = before,
		.after = after,
		.event = event,
		.in = event->kind == IKADA_RECEIVE ? event->message : NULL,
		.effects = effects,
	};
	static const char *(*const changes[])(const struct change *) = {
		check_hard,	check_append, check_config,   check_commit, check_role_change,
		check_messages, check_grant,  check_refusals, check_report, check_forgot,
	};
	const char *broken = check_log(after);
	if (broken == NULL)
		broken = check_members(after);
	if (broken == NULL)
		broken = check_role(after);
	if (broken == NULL && after->role == IKADA_LEADER)
		broken = check_peers(after);
	for (uint32_t i = 0; broken == NULL && i < sizeof changes / sizeof *changes; i++)
		broken = changes[i](&c);
	return broken;
}
