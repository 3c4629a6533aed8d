/*
 * What a follower accepts from its leader, and what it promises in return (paper, 5.3 and Figure 2).
 *
 * The log is cut only where an entry of the current leader truly conflicts, never at or below the commit index, and
 * never where it was already found to agree with this leader's. The commit index follows the leader's only as far as
 * the log is verified to agree. An acknowledgement covers what is verified *and* durable; the answer to a message
 * therefore speaks of what was durable before, and what it brought is acknowledged when its ticket is durable.
 */
#include "raft/raft_internal.h"

#include "base/check.h"

enum verdict {
	NONSENSE, /* Contradicts what is committed, or what this leader said before. */
	REJECTED, /* Nothing is known to agree: prev_index does not. */
	AGREES,
};

/* Compares the message's entries with the log. *fresh: the first entry that the log lacks or has otherwise; 0 none. */
static enum verdict compare(const struct ikada_raft *raft, const struct ikada_event *event, uint64_t settled,
			    uint64_t *fresh)
{
	const struct ikada_message *m = event->message;
	const struct raft_log *log = &raft->log;
	*fresh = 0;
	if (m->prev_index > log->last_index)
		return REJECTED;
	if (m->prev_index >= log->base_index && raft_log_term(log, m->prev_index) != m->prev_term)
		return m->prev_index <= settled ? NONSENSE : REJECTED;
	for (uint32_t i = 0; i < event->run_count; i++) {
		uint64_t last = i + 1 < event->run_count ? event->runs[i + 1].first - 1 : m->last_index;
		uint64_t index = event->runs[i].first;
		if (index < log->base_index)
			index = log->base_index;
		while (index <= last) {
			if (raft_log_term(log, index) != event->runs[i].term) {
				*fresh = index;
				return index <= settled ? NONSENSE : AGREES;
			}
			index = raft_log_run_last(log, index) + 1;
		}
	}
	return AGREES;
}

/* Takes over the message's entries from `fresh` on, as far as their runs find room. Returns the last that agrees. */
static uint64_t take(struct ikada_raft *raft, const struct ikada_event *event, uint64_t fresh,
		     struct ikada_effects *effects)
{
	const struct ikada_message *m = event->message;
	for (uint32_t i = 0; i < event->run_count; i++) {
		const struct ikada_run *run = &event->runs[i];
		uint64_t last = i + 1 < event->run_count ? run[1].first - 1 : m->last_index;
		if (last < fresh)
			continue;
		uint64_t first = run->first > fresh ? run->first : fresh;
		if (!raft_log_has_room(&raft->log, first, run->term))
			return first - 1;
		if (effects->append == IKADA_APPEND_NONE) {
			effects->append = IKADA_APPEND_RECEIVED;
			effects->append_first = first;
			raft_log_cut(&raft->log, first);
			members_cut(raft, first);
		}
		raft_log_append(&raft->log, last, run->term, raft_ticket(raft, effects));
		effects->append_last = last;
	}
	return m->last_index;
}

/* The configurations among what was taken over are in force from now on. */
static void take_configs(struct ikada_raft *raft, const struct ikada_event *event, const struct ikada_effects *effects)
{
	for (uint32_t i = 0; i < event->config_count; i++)
		if (event->configs[i].index >= effects->append_first && event->configs[i].index <= effects->append_last)
			members_adopt(raft, &event->configs[i]);
}

struct ikada_message *follower_acknowledge(const struct ikada_raft *raft, struct ikada_effects *effects)
{
	struct ikada_message *reply =
		raft_message(raft, effects, IKADA_APPEND_REPLY, raft->leader, raft->leader_incarnation);
	if (reply->after < raft->base_ticket)
		reply->after = raft->base_ticket;
	uint64_t durable = raft->log.durable_index;
	reply->match_index = raft->verified_index < durable ? raft->verified_index : durable;
	reply->verified_index = raft->verified_index;
	return reply;
}

bool follower_believes(const struct ikada_raft *raft, const struct ikada_message *m)
{
	if (m->term > raft->term)
		return true;
	/* A second leader in one term is none. */
	return raft->role != IKADA_LEADER &&
	       (raft->leader == 0 || (raft->leader == m->from && raft->leader_incarnation == m->from_incarnation));
}

void follower_append(struct ikada_raft *raft, const struct ikada_event *event, struct ikada_effects *effects)
{
	const struct ikada_message *m = event->message;
	/* What must not change: what is committed, and what agrees with this leader already. */
	uint64_t settled = raft->commit;
	if (!follower_believes(raft, m))
		return;
	if (m->term == raft->term && settled < raft->verified_index)
		settled = raft->verified_index;
	/* A configuration is followed by another only when it is committed, whether that is known here or not. */
	if (settled < raft->config_before.index)
		settled = raft->config_before.index;
	uint64_t fresh;
	enum verdict verdict = compare(raft, event, settled, &fresh);
	if (verdict == NONSENSE)
		return;
	election_follow(raft, effects, m->term, m->from, m->from_incarnation);
	election_heard(raft);
	if (verdict == AGREES) {
		uint64_t agreed = fresh == 0 ? m->last_index : take(raft, event, fresh, effects);
		if (effects->append != IKADA_APPEND_NONE)
			take_configs(raft, event, effects);
		if (agreed > raft->verified_index)
			raft->verified_index = agreed;
		uint64_t commit = m->commit < raft->verified_index ? m->commit : raft->verified_index;
		if (commit > raft->commit)
			raft->commit = commit;
	}
	struct ikada_message *reply = follower_acknowledge(raft, effects);
	reply->round = m->round;
	reply->sent_ns = m->sent_ns;
	if (verdict == REJECTED) {
		uint64_t last = raft->log.last_index;
		reply->rejected = true;
		reply->prev_index = m->prev_index;
		reply->last_index = last;
		reply->conflict_term = m->prev_index <= last ? raft_log_term(&raft->log, m->prev_index) : 0;
		reply->conflict_index = last + 1;
		if (m->prev_index <= last)
			reply->conflict_index = raft_log_run_first(&raft->log, m->prev_index);
	}
}

void follower_durable(struct ikada_raft *raft, uint64_t before, struct ikada_effects *effects)
{
	uint64_t durable = raft->log.durable_index;
	uint64_t now = raft->verified_index < durable ? raft->verified_index : durable;
	if (raft->role == IKADA_FOLLOWER && raft->leader != 0 && now > before)
		follower_acknowledge(raft, effects);
}
