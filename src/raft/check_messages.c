/* What is promised, asked and answered: messages, reads, refusals. */
#include "raft/check_internal.h"

static bool at_least_as_new(const struct ikada_raft *raft, const struct ikada_message *m)
{
	uint64_t last_term = raft_log_last_term(&raft->log);
	return m->last_term > last_term || (m->last_term == last_term && m->last_index >= raft->log.last_index);
}

static const char *check_request(const struct change *c, const struct ikada_message *m)
{
	const struct ikada_raft *a = c->after;
	/* One that leaves in this step tells the others. */
	bool leads = c->before->term == a->term && (a->role == IKADA_LEADER || c->before->role == IKADA_LEADER);
	if (m->kind == IKADA_TIMEOUT_NOW) {
		uint32_t slot = members_slot(a, m->to, m->to_incarnation);
		RULE(leads, "only a leader asks for a campaign");
		RULE(slot < a->config.count && (a->config.members[slot].standing == IKADA_VOTER ||
						a->config.members[slot].standing == IKADA_INCOMING),
		     "leadership goes to who votes, and will");
		RULE(a->peers[slot].match_index == a->log.last_index, "leadership goes to who has all");
		return NULL;
	}
	if (m->kind == IKADA_APPEND) {
		RULE(leads, "only a leader sends entries");
		RULE(m->after <= a->durable_ticket, "what a leader sends may leave at once");
		RULE(m->prev_index >= a->log.base_index && m->prev_index <= m->last_index &&
			     m->last_index <= a->log.last_index,
		     "a leader sends what it has");
		RULE(m->prev_term == raft_log_term(&a->log, m->prev_index), "an append names the entry before it");
		RULE(m->commit == a->commit && m->round == a->round && m->sent_ns == a->awake_ns,
		     "an append says what is so now");
		return NULL;
	}
	if (m->kind == IKADA_SNAPSHOT) {
		RULE(leads, "only a leader sends snapshots");
		uint32_t slot = members_slot(a, m->to, m->to_incarnation);
		RULE(slot == IKADA_MEMBERS_MAX || a->peers[slot].state == PEER_SNAPSHOT,
		     "a snapshot goes to who needs one");
		RULE(m->last_index == a->log.base_index && m->last_term == a->log.base_term,
		     "a snapshot reaches the start of the log");
		return NULL;
	}
	RULE(m->last_index == a->log.last_index && m->last_term == raft_log_last_term(&a->log),
	     "a candidate shows the end of its log");
	if (m->kind == IKADA_PREVOTE)
		RULE(a->role == IKADA_PRECANDIDATE && m->term == a->term + 1, "a precandidate asks for the next term");
	else
		RULE(m->transfer == a->asked_to, "a candidate says if the leader wants it");
	if (m->kind == IKADA_VOTE)
		RULE(a->role == IKADA_CANDIDATE && a->vote == m->from && a->vote_incarnation == m->from_incarnation,
		     "a candidate asks for votes");
	return NULL;
}

static const char *check_reply(const struct change *c, const struct ikada_message *m)
{
	const struct ikada_raft *a = c->after;
	if (m->kind == IKADA_PREVOTE_REPLY) {
		RULE(received(c, IKADA_PREVOTE) && c->in->from == m->to, "an answer goes to who asked");
		RULE(!m->granted || (m->term == c->in->term && m->term > a->term), "a pre-vote is for a later term");
		RULE(!m->granted || at_least_as_new(a, c->in), "a pre-vote goes to an up-to-date log only");
		RULE(!m->granted || a->role != IKADA_LEADER, "a leader does not help to depose itself");
		RULE(a->term == c->before->term, "a pre-vote changes no term");
		return NULL;
	}
	if (m->kind == IKADA_VOTE_REPLY) {
		RULE(received(c, IKADA_VOTE) && c->in->from == m->to, "an answer goes to who asked");
		RULE(!m->granted ||
			     (a->vote == m->to && a->vote_incarnation == m->to_incarnation && c->in->term == a->term),
		     "a granted vote is the member's vote");
		RULE(!m->granted || at_least_as_new(a, c->in), "a vote goes to an up-to-date log only");
		return NULL;
	}
	bool asked = received(c, IKADA_APPEND) || received(c, IKADA_SNAPSHOT);
	RULE(asked ? c->in->from == m->to && c->in->from_incarnation == m->to_incarnation
		   : m->to == a->leader && m->to_incarnation == a->leader_incarnation,
	     "an answer goes to who asked");
	RULE(m->match_index <= a->log.durable_index, "what is acknowledged is durable");
	RULE(m->match_index <= m->verified_index && m->verified_index <= a->log.last_index,
	     "what is acknowledged is verified");
	RULE(m->verified_index <= a->verified_index, "what is acknowledged is verified in this term");
	if (!received(c, IKADA_APPEND) || c->in->term != a->term)
		RULE(m->round == 0 && m->sent_ns == 0 && !m->rejected, "only what was asked in this term is echoed");
	else
		RULE(m->round == c->in->round && m->sent_ns == c->in->sent_ns, "an echo repeats the question");
	RULE(!m->rejected || raft_log_term(&a->log, m->prev_index) != c->in->prev_term, "what agrees is not rejected");
	return NULL;
}

const char *check_messages(const struct change *c)
{
	const struct ikada_raft *a = c->after;
	uint32_t seen[2] = {0};
	uint32_t replies = 0;
	RULE(c->effects->message_count <= IKADA_MESSAGES_MAX, "a step sends what has room");
	for (uint32_t i = 0; i < c->effects->message_count; i++) {
		const struct ikada_message *m = &c->effects->messages[i];
		uint32_t slot = members_slot(a, m->to, m->to_incarnation);
		bool reply =
			m->kind == IKADA_PREVOTE_REPLY || m->kind == IKADA_VOTE_REPLY || m->kind == IKADA_APPEND_REPLY;
		bool prevote = m->kind == IKADA_PREVOTE || (m->kind == IKADA_PREVOTE_REPLY && m->granted);
		RULE(m->from == a->settings.self && m->from_incarnation == a->settings.incarnation,
		     "a message comes from this member");
		RULE(m->to != m->from || m->to_incarnation != m->from_incarnation, "a message goes to another member");
		if (reply) {
			RULE(replies++ == 0, "at most one reply a step");
		} else {
			if (slot == IKADA_MEMBERS_MAX)
				slot = members_slot(c->before, m->to, m->to_incarnation); /* It has just gone. */
			RULE(slot < IKADA_MEMBERS_MAX, "a request goes to a member");
			uint32_t *set = &seen[m->kind == IKADA_APPEND];
			RULE((*set >> slot & 1) == 0, "at most one append and one other request to each peer");
			*set |= 1u << slot;
		}
		RULE(prevote || m->term == a->term, "a message is of the current term");
		uint64_t after = a->hard_ticket;
		/* An answer to what the leader asked in a term that is over acknowledges nothing. */
		bool past = (received(c, IKADA_APPEND) || received(c, IKADA_SNAPSHOT)) && c->in->term < a->term;
		if (m->kind == IKADA_APPEND_REPLY && after < a->base_ticket && m->to == a->leader &&
		    m->to_incarnation == a->leader_incarnation && !past)
			after = a->base_ticket;
		RULE(prevote || m->after == after, "a message waits for its term and vote, and for what was installed");
		const char *broken = reply ? check_reply(c, m) : check_request(c, m);
		RULE(broken == NULL, broken);
	}
	return NULL;
}

const char *check_grant(const struct change *c)
{
	const struct ikada_raft *a = c->after;
	const struct reads *queued = &c->before->reads;
	const struct ikada_effects *e = c->effects;
	if (e->granted.count == 0)
		return NULL;
	RULE(a->role == IKADA_LEADER, "only a leader grants reads");
	RULE(e->granted_index <= a->commit, "a read is served from what is committed");
	RULE(e->granted_index >= a->lead_index, "reads wait for an entry of the leader's term");
	if (check_majority(a, check_self(a)))
		return NULL;
	RULE(e->granted.first_id == queued->first_id, "reads are granted in their order");
	uint64_t granted = 0;
	for (uint32_t i = 0; i < queued->round_count && granted < e->granted.count; i++) {
		const struct read_round *round = &queued->rounds[(queued->start + i) % READ_ROUNDS];
		uint32_t echoing = check_self(a);
		for (uint32_t slot = 0; slot < a->config.count; slot++)
			if (slot != a->self && a->peers[slot].acked_round >= round->round)
				echoing |= 1u << slot;
		RULE(check_majority(a, echoing), "a read is granted when a majority has echoed its round");
		RULE(e->granted_index >= round->index, "a read is served from what was committed when its round began");
		granted += round->count;
	}
	RULE(granted == e->granted.count, "what is granted was asked in a round");
	return NULL;
}

const char *check_refusals(const struct change *c)
{
	const struct ikada_effects *e = c->effects;
	uint64_t appended = e->append == IKADA_APPEND_PROPOSED ? e->append_last - e->append_first + 1 : 0;
	if (c->event->kind != IKADA_PROPOSE) {
		RULE(appended == 0 && e->refused_proposals.count == 0, "only proposals are appended or refused");
	} else {
		RULE(appended + e->refused_proposals.count == c->event->count, "each proposal is appended or refused");
		RULE(e->refused_proposals.count == 0 || e->refused_proposals.first_id == c->event->first_id + appended,
		     "a prefix of the proposals is appended");
	}
	bool asks = c->event->kind == IKADA_CHANGE;
	RULE(e->refused_changes.count == (asks && e->append != IKADA_APPEND_CONFIG), "a change is appended or refused");
	uint64_t queued[2] = {0, 0};
	const struct ikada_raft *const both[2] = {c->before, c->after};
	for (uint32_t i = 0; i < 2; i++) {
		queued[i] = both[i]->reads.pending;
		for (uint32_t j = 0; j < both[i]->reads.round_count; j++)
			queued[i] += both[i]->reads.rounds[(both[i]->reads.start + j) % READ_ROUNDS].count;
	}
	uint64_t asked = c->event->kind == IKADA_READ ? c->event->count : 0;
	RULE(queued[0] + asked == queued[1] + e->granted.count + e->refused_reads.count,
	     "each read is queued, granted or refused");
	return NULL;
}
