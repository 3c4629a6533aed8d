/*
 * Handing leadership on (dissertation, 3.10).
 *
 * From the request on nothing is proposed any more, so that the one that is to lead can catch up. When it has all that
 * is in the log, it is told to campaign at once, and told again at each heartbeat. At the deadline, or when it can no
 * longer be a leader, the transfer is given up and proposals are accepted again.
 */
#include "raft/raft_internal.h"

static bool can_lead(const struct ikada_raft *raft, uint32_t slot)
{
	return slot != raft->self && members_stays(raft, slot) && (raft->forgot >> slot & 1) == 0;
}

/* Whom it suits best: who was heard of lately, then who has most, then the first. IKADA_MEMBERS_MAX: nobody. */
static uint32_t best(const struct ikada_raft *raft)
{
	uint32_t chosen = IKADA_MEMBERS_MAX;
	bool chosen_lives = false;
	for (uint32_t slot = 0; slot < raft->member_count; slot++) {
		const struct peer *peer = &raft->peers[slot];
		bool lives = raft->awake_ns - peer->heard_ns < raft->settings.election_min_ns;
		if (!can_lead(raft, slot))
			continue;
		if (chosen == IKADA_MEMBERS_MAX || (lives && !chosen_lives) ||
		    (lives == chosen_lives && peer->match_index > raft->peers[chosen].match_index)) {
			chosen = slot;
			chosen_lives = lives;
		}
	}
	return chosen;
}

void transfer_ask(struct ikada_raft *raft, const struct ikada_event *event, struct ikada_effects *effects)
{
	uint32_t slot = IKADA_MEMBERS_MAX;
	if (raft->role == IKADA_LEADER)
		slot = event->peer == 0 ? best(raft) : members_slot(raft, event->peer, event->peer_incarnation);
	if (slot == IKADA_MEMBERS_MAX || !can_lead(raft, slot)) {
		effects->transfer_ended = true;
		return;
	}
	raft->transfer = (struct transfer){.id = raft->members[slot].id,
					   .incarnation = raft->members[slot].incarnation,
					   .deadline_ns = event->deadline_ns};
}

static void give_up(struct ikada_raft *raft, struct ikada_effects *effects)
{
	raft->transfer = (struct transfer){0};
	effects->transfer_ended = true;
}

void transfer_tick(struct ikada_raft *raft, struct ikada_effects *effects)
{
	if (raft->transfer.id != 0 && raft->raw_ns >= raft->transfer.deadline_ns)
		give_up(raft, effects);
}

static void tell(struct ikada_raft *raft, uint32_t slot, struct ikada_effects *effects)
{
	raft_message(raft, effects, IKADA_TIMEOUT_NOW, raft->members[slot].id, raft->members[slot].incarnation);
}

void transfer_go_on(struct ikada_raft *raft, struct ikada_effects *effects)
{
	uint32_t slot = members_slot(raft, raft->transfer.id, raft->transfer.incarnation);
	if (slot == IKADA_MEMBERS_MAX || !can_lead(raft, slot)) {
		give_up(raft, effects);
	} else if (!raft->transfer.told && raft->peers[slot].match_index == raft->log.last_index) {
		raft->transfer.told = true;
		tell(raft, slot, effects);
	}
}

void transfer_leave(struct ikada_raft *raft, struct ikada_effects *effects)
{
	uint32_t slot = best(raft);
	if (slot < IKADA_MEMBERS_MAX && raft->peers[slot].match_index == raft->log.last_index)
		tell(raft, slot, effects);
}
