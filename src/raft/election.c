/*
 * Elections, from both sides (paper, 5.2 and 5.4.1; pre-vote: dissertation 9.6; stickiness: dissertation 6.2).
 *
 * A member first asks whether it would be elected (pre-vote, which changes nobody's term), then moves to the next term,
 * votes for itself and asks for votes. It leads once a majority granted *and* its own (term, vote) is durable.
 *
 * A member that hears a leader refuses to depose it: pre-votes and votes are refused, and the higher term of a vote
 * request ignored, while a leader was heard within the shortest election timeout. A lost connection ends that at once,
 * and starts a pre-vote after a delay that grows with the member's rank, so that the survivors do not all ask together.
 * Candidates of one term, who may have split the votes, ask again soon, and do not wait for another timeout.
 *
 * A leader that hands over asks one member to campaign at once (dissertation, 3.10): no pre-vote, no loyalty to the
 * leader. Who may be elected is decided by the candidate's configuration alone: whoever is asked answers, learners too,
 * for the candidate may know of a promotion that they have not heard of.
 *
 * Timers run on the awake clock: silence is counted only while this process would have heard.
 */
#include "raft/raft_internal.h"

#include "base/check.h"

/* ---- Timers and roles ---- */

void election_restart_timer(struct ikada_raft *raft)
{
	raft->timeout_ns = rng_between(&raft->rng, raft->settings.election_min_ns, raft->settings.election_max_ns) +
			   raft->settings.priority * raft->settings.election_min_ns;
	raft->election_ns = raft->awake_ns + raft->timeout_ns;
}

void election_heard(struct ikada_raft *raft)
{
	raft->leader_lost = false;
	raft->heard_ns = raft->awake_ns;
	raft->election_ns = raft->awake_ns + raft->timeout_ns;
}

void election_follow(struct ikada_raft *raft, struct ikada_effects *effects, uint64_t term, uint64_t leader,
		     uint64_t leader_incarnation)
{
	if (raft->role == IKADA_LEADER) {
		raft->transfer = (struct transfer){0};
		reads_refuse(raft, effects);
		election_restart_timer(raft);
	}
	if (term > raft->term) {
		raft_set_hard(raft, effects, term, 0, 0);
		raft->verified_index = 0;
	}
	raft->role = IKADA_FOLLOWER;
	raft->leader = leader;
	raft->leader_incarnation = leader_incarnation;
	raft->leader_lost = false;
	raft->votes = raft->refused = 0;
}

/* Asks the members that have not granted yet, and may. */
static void ask(struct ikada_raft *raft, struct ikada_effects *effects)
{
	bool candidate = raft->role == IKADA_CANDIDATE;
	raft->ask_ns = raft->awake_ns + raft->settings.heartbeat_ns;
	uint32_t asked = (raft->voters[0] | raft->voters[1]) & ~raft->votes & ~raft->refused & ~members_self(raft);
	for (uint32_t slot = 0; slot < raft->member_count; slot++) {
		if ((asked >> slot & 1) == 0)
			continue;
		struct ikada_message *m = raft_message(raft, effects, candidate ? IKADA_VOTE : IKADA_PREVOTE,
						       raft->members[slot].id, raft->members[slot].incarnation);
		m->last_index = raft->log.last_index;
		m->last_term = raft_log_last_term(&raft->log);
		m->transfer = candidate && raft->asked_to;
		if (!candidate) {
			m->term = raft->term + 1;
			m->after = 0; /* Promises nothing. */
		}
	}
}

static void start_candidate(struct ikada_raft *raft, struct ikada_effects *effects, bool asked_to)
{
	raft->asked_to = asked_to;
	raft_set_hard(raft, effects, raft->term + 1, raft->settings.self, raft->settings.incarnation);
	raft->role = IKADA_CANDIDATE;
	raft->verified_index = 0;
	raft->votes = members_self(raft);
	raft->refused = 0;
	election_restart_timer(raft);
	ask(raft, effects);
}

static bool can_campaign(const struct ikada_raft *raft)
{
	/* A leader whose no-op has no room could never commit anything. */
	return members_may_lead(raft) && raft->term < RAFT_TERM_MAX && raft->log.last_index < RAFT_INDEX_MAX &&
	       raft_log_has_room(&raft->log, raft->log.last_index + 1, raft->term + 1);
}

static void start_precandidate(struct ikada_raft *raft, struct ikada_effects *effects)
{
	raft->role = IKADA_FOLLOWER;
	raft->leader = raft->leader_incarnation = 0;
	raft->leader_lost = false;
	raft->votes = raft->refused = 0;
	election_restart_timer(raft);
	if (!can_campaign(raft))
		return;
	raft->role = IKADA_PRECANDIDATE;
	raft->votes = members_self(raft);
	if (members_agree(raft, raft->votes))
		start_candidate(raft, effects, false);
	else
		ask(raft, effects);
}

void election_tick(struct ikada_raft *raft, struct ikada_effects *effects)
{
	if (raft->awake_ns >= raft->election_ns || (raft->leader_lost && raft->awake_ns >= raft->hint_ns))
		start_precandidate(raft, effects);
	else if (raft->role != IKADA_FOLLOWER && raft->awake_ns >= raft->ask_ns)
		ask(raft, effects);
}

uint64_t election_deadline(const struct ikada_raft *raft)
{
	uint64_t deadline = raft->election_ns;
	if (raft->leader_lost && raft->hint_ns < deadline)
		deadline = raft->hint_ns;
	if (raft->role != IKADA_FOLLOWER && raft->ask_ns < deadline)
		deadline = raft->ask_ns;
	return deadline;
}

void election_leader_lost(struct ikada_raft *raft)
{
	/* Among the members that are left. */
	uint64_t rank = 1 + (uint64_t)raft->settings.priority * IKADA_MEMBERS_MAX;
	for (uint32_t slot = 0; slot < raft->member_count && slot < raft->self; slot++)
		if (raft->members[slot].id != raft->leader && ((raft->voters[0] | raft->voters[1]) >> slot & 1))
			rank++;
	raft->leader_lost = true;
	raft->hint_ns = raft->awake_ns + rank * raft->settings.hint_delay_ns;
}

static void lead_if_elected(struct ikada_raft *raft, struct ikada_effects *effects)
{
	if (raft->role == IKADA_CANDIDATE && raft->hard_ticket <= raft->durable_ticket &&
	    members_agree(raft, raft->votes))
		leader_start(raft, effects);
}

void election_durable(struct ikada_raft *raft, struct ikada_effects *effects)
{
	lead_if_elected(raft, effects);
}

void election_timeout_now(struct ikada_raft *raft, const struct ikada_message *m, struct ikada_effects *effects)
{
	if (m->term != raft->term || raft->role != IKADA_FOLLOWER || raft->leader != m->from ||
	    raft->leader_incarnation != m->from_incarnation || !can_campaign(raft))
		return;
	raft->leader = raft->leader_incarnation = 0;
	raft->leader_lost = false;
	start_candidate(raft, effects, true);
}

void election_halt(struct ikada_raft *raft, bool on, struct ikada_effects *effects)
{
	raft->halted = on;
	if (on && raft->role != IKADA_FOLLOWER)
		election_follow(raft, effects, raft->term, 0, 0);
}

/* ---- The voter ---- */

static bool hears_leader(const struct ikada_raft *raft)
{
	if (raft->role == IKADA_LEADER)
		return true;
	return raft->leader != 0 && !raft->leader_lost &&
	       raft->awake_ns - raft->heard_ns < raft->settings.election_min_ns;
}

static bool up_to_date(const struct ikada_raft *raft, const struct ikada_message *m)
{
	uint64_t last_term = raft_log_last_term(&raft->log);
	return m->last_term > last_term || (m->last_term == last_term && m->last_index >= raft->log.last_index);
}

void election_prevote(struct ikada_raft *raft, const struct ikada_message *m, struct ikada_effects *effects)
{
	struct ikada_message *reply = raft_message(raft, effects, IKADA_PREVOTE_REPLY, m->from, m->from_incarnation);
	bool welcome = m->term > raft->term && !hears_leader(raft);
	reply->granted = welcome && up_to_date(raft, m);
	if (reply->granted) {
		reply->term = m->term;
		reply->after = 0;
	} else if (welcome) {
		/* It has lost its leader, too, and will grant now what it may have refused before. */
		raft->ask_ns = raft->awake_ns;
	}
}

/*
 * A candidate of this term meets another: neither may win. It will ask again when the votes that are under way have had
 * the time to come, as long as this campaign has taken so far, and some more by chance, for the other does the same.
 * First for pre-votes, which disturb nobody.
 */
static void meet_rival(struct ikada_raft *raft)
{
	uint64_t wait = raft->awake_ns - (raft->election_ns - raft->timeout_ns) + raft->settings.hint_delay_ns;
	uint64_t again = raft->awake_ns + wait + rng_between(&raft->rng, 0, 2 * wait);
	if (again < raft->election_ns)
		raft->election_ns = again;
}

void election_vote(struct ikada_raft *raft, const struct ikada_message *m, struct ikada_effects *effects)
{
	if (m->term == raft->term && raft->role == IKADA_CANDIDATE)
		meet_rival(raft);
	if (m->term > raft->term) {
		/* The leader itself wants it; but of who has gone, no such word is taken. */
		bool wanted = m->transfer && members_slot(raft, m->from, m->from_incarnation) < IKADA_MEMBERS_MAX;
		if (hears_leader(raft) && !wanted)
			return;
		election_follow(raft, effects, m->term, 0, 0);
	}
	bool free = raft->vote == 0 || (raft->vote == m->from && raft->vote_incarnation == m->from_incarnation);
	bool grant = m->term == raft->term && raft->leader == 0 && free && up_to_date(raft, m);
	if (grant) {
		if (raft->vote == 0)
			raft_set_hard(raft, effects, raft->term, m->from, m->from_incarnation);
		election_restart_timer(raft);
	}
	raft_message(raft, effects, IKADA_VOTE_REPLY, m->from, m->from_incarnation)->granted = grant;
}

/* ---- The candidate ---- */

void election_prevote_reply(struct ikada_raft *raft, const struct ikada_message *m, struct ikada_effects *effects)
{
	uint32_t slot = members_slot(raft, m->from, m->from_incarnation);
	if (slot == IKADA_MEMBERS_MAX)
		return;
	if (!m->granted && m->term > raft->term)
		election_follow(raft, effects, m->term, 0, 0);
	if (!m->granted || raft->role != IKADA_PRECANDIDATE || m->term != raft->term + 1)
		return;
	raft->votes |= (1u << slot) & ~raft->forgot;
	if (members_agree(raft, raft->votes))
		start_candidate(raft, effects, false);
}

void election_vote_reply(struct ikada_raft *raft, const struct ikada_message *m, struct ikada_effects *effects)
{
	uint32_t slot = members_slot(raft, m->from, m->from_incarnation);
	if (raft->role != IKADA_CANDIDATE || slot == IKADA_MEMBERS_MAX)
		return;
	if (!m->granted) {
		raft->refused |= 1u << slot; /* Its vote is spent, or its log has more: no need to ask again. */
		return;
	}
	raft->votes |= (1u << slot) & ~raft->forgot;
	lead_if_elected(raft, effects);
}
