/*
 * Where the log begins (paper, 7): its front gives way to a snapshot of this member's own, or all up to somewhere to
 * one that came from a leader.
 *
 * Own ones: only what is committed and durable is given up, so nothing that was promised is. From a leader: it is taken
 * only beyond the commit index, so it never rewinds; the rest of the log stays exactly if it agrees with the snapshot's
 * last entry. The commit index follows, for what a snapshot holds is committed. Acknowledgements wait until the log on
 * disk knows its new beginning. A leader has all that any snapshot could bring.
 */
#include "raft/raft_internal.h"

#include "base/check.h"

static void begin_behind(struct ikada_raft *raft, struct ikada_effects *effects)
{
	raft_ticket(raft, effects);
	effects->base_changed = true;
}

void snapshot_compact(struct ikada_raft *raft, uint64_t index, struct ikada_effects *effects)
{
	CHECK_OP(index, <=, raft->commit);
	if (index <= raft->log.base_index || index > raft->log.durable_index)
		return;
	raft_log_compact(&raft->log, index);
	begin_behind(raft, effects);
	if (raft->role == IKADA_LEADER)
		flow_compacted(raft);
}

/* Known to be committed up to here, by the word of a leader of this or an earlier term. */
static void committed(struct ikada_raft *raft, uint64_t index)
{
	if (index > raft->commit)
		raft->commit = index;
	if (index > raft->verified_index)
		raft->verified_index = index;
}

void snapshot_chunk(struct ikada_raft *raft, const struct ikada_message *m, struct ikada_effects *effects)
{
	if (!follower_believes(raft, m))
		return;
	election_follow(raft, effects, m->term, m->from, m->from_incarnation);
	election_heard(raft);
	if (m->last_index > raft->commit && raft_log_term(&raft->log, m->last_index) != m->last_term) {
		effects->accept_snapshot = true;
		return;
	}
	/* All that it could bring is here, so all of that agrees with the leader's log. */
	committed(raft, m->last_index);
	follower_acknowledge(raft, effects);
}

static bool can_install(const struct ikada_raft *raft, const struct ikada_event *event)
{
	return raft->role != IKADA_LEADER && event->last_index > raft->commit && event->last_index <= RAFT_INDEX_MAX &&
	       event->last_term >= raft_log_term(&raft->log, raft->commit) && event->last_term > 0 &&
	       event->last_term <= raft->term;
}

/* The configurations of the log behind a snapshot with this one. */
static void take_config(struct ikada_raft *raft, const struct ikada_config *config, uint64_t base_index)
{
	if (raft->config_before.index <= base_index || raft->log.last_index == base_index)
		raft->config_before = *config;
	if (raft->config.index <= base_index || raft->log.last_index == base_index)
		raft->config = *config;
	members_arrange(raft);
}

void snapshot_install(struct ikada_raft *raft, const struct ikada_event *event, struct ikada_effects *effects)
{
	CHECK(ikada_config_valid(event->config) && event->config->index <= event->last_index);
	if (!can_install(raft, event))
		return;
	uint64_t last = event->last_index;
	effects->installed = true;
	effects->kept = raft_log_term(&raft->log, last) == event->last_term;
	if (effects->kept) {
		raft_log_compact(&raft->log, last);
	} else {
		raft_log_init(&raft->log, last, event->last_term);
		raft->verified_index = last;
	}
	committed(raft, last);
	begin_behind(raft, effects);
	raft->base_ticket = effects->ticket;
	take_config(raft, event->config, last);
	if (raft->role != IKADA_FOLLOWER) { /* What it wanted to be elected with is gone. */
		election_follow(raft, effects, raft->term, 0, 0);
		election_restart_timer(raft);
	}
	if (raft->leader != 0)
		follower_acknowledge(raft, effects);
}
