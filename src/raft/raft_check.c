#include "raft/raft_check.h"

#include "raft/raft_internal.h"

#define RULE(holds, sentence)                                                                                          \
	do {                                                                                                           \
		if (!(holds))                                                                                          \
			return sentence;                                                                               \
	} while (0)

struct change {
	const struct ikada_raft *before;
	const struct ikada_raft *after;
	const struct ikada_event *event;
	const struct ikada_message *in; /* Of a RECEIVE event; else NULL. */
	const struct ikada_effects *effects;
};

static bool received(const struct change *c, enum ikada_message_kind kind)
{
	return c->in != NULL && c->in->kind == kind;
}

static bool is_joint(const struct ikada_config *config)
{
	bool joint = false;
	for (uint32_t i = 0; i < config->count; i++)
		joint |= config->members[i].standing == IKADA_INCOMING || config->members[i].standing == IKADA_OUTGOING;
	return joint;
}

/* Counted by hand: do more than half of those who vote say so, on each side if there are two? Places, as a set. */
static bool majority_of(const struct ikada_config *config, uint32_t agreeing)
{
	int old = 0;
	int new = 0;
	for (uint32_t i = 0; i < config->count; i++) {
		int one = (agreeing >> i & 1) != 0 ? 1 : -1;
		switch (config->members[i].standing) {
		case IKADA_VOTER:
			old += one;
			new += one;
			break;
		case IKADA_LEAVING:
		case IKADA_OUTGOING:
			old += one;
			break;
		case IKADA_INCOMING:
			new += one;
			break;
		case IKADA_LEARNER:
		case IKADA_JOINING:
			break;
		}
	}
	return old > 0 && (new > 0 || !is_joint(config));
}

static bool majority(const struct ikada_raft *raft, uint32_t agreeing)
{
	return majority_of(&raft->config, agreeing);
}

static uint32_t self_set(const struct ikada_raft *raft)
{
	return raft->self < IKADA_MEMBERS_MAX ? 1u << raft->self : 0;
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

/* ---- The state ---- */

static const char *check_log(const struct raft_log *log, const struct ikada_raft *raft)
{
	RULE(log->base_index <= raft->commit && raft->commit <= log->last_index,
	     "the commit index lies within the log");
	RULE(log->base_index <= log->durable_index && log->durable_index <= log->last_index,
	     "the durable index lies within the log");
	RULE((log->tag_count == 0) == (log->durable_index == log->last_index),
	     "exactly what is not durable carries a ticket");
	RULE(log->tag_count <= LOG_TAGS && log->run_count <= log->run_limit,
	     "the tables of the log hold what they can");
	if (log->tag_count > 1)
		RULE(log->tags[log->tag_count - 2].first < log->tags[log->tag_count - 1].first &&
			     log->tags[log->tag_count - 2].ticket < log->tags[log->tag_count - 1].ticket,
		     "tickets ascend along the log");
	if (log->tag_count > 0) {
		RULE(log->tags[0].first == log->durable_index + 1, "tickets begin where durability ends");
		RULE(log->tags[0].ticket > raft->durable_ticket, "what carries a durable ticket is durable");
		RULE(log->tags[log->tag_count - 1].ticket <= raft->ticket, "no entry carries a ticket not yet given");
		RULE(log->tags[log->tag_count - 1].first <= log->last_index, "no ticket is carried beyond the log");
	}
	RULE(log->last_index == log->base_index
		     ? log->run_count == 0
		     : log->run_count > 0 && raft_log_runs(log)[0].first == log->base_index + 1,
	     "runs cover the log");
	RULE(raft_log_last_term(log) <= raft->term, "no entry has a term beyond the current one");
	return NULL;
}

static bool votes_in(const struct ikada_config *config, const struct ikada_raft *raft)
{
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].id == raft->settings.self &&
		    config->members[i].incarnation == raft->settings.incarnation)
			return config->members[i].standing != IKADA_LEARNER &&
			       config->members[i].standing != IKADA_JOINING;
	return false;
}

static bool may_lead(const struct ikada_raft *raft)
{
	return votes_in(&raft->config, raft) ||
	       (raft->config.index > raft->commit && votes_in(&raft->config_before, raft));
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
		RULE(may_lead(raft), "who no longer votes leads until that is committed");
		return NULL;
	case IKADA_CANDIDATE:
		RULE(may_lead(raft), "who campaigns votes, or did before a change that is not committed");
		RULE(raft->vote == raft->settings.self, "a candidate voted for itself");
		RULE(raft->leader == 0, "a candidate knows no leader");
		break;
	case IKADA_PRECANDIDATE:
		RULE(may_lead(raft), "who campaigns votes, or did before a change that is not committed");
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

static const char *check_members(const struct ikada_raft *raft)
{
	uint32_t windows = 0;
	RULE(ikada_config_valid(&raft->config) && ikada_config_valid(&raft->config_before),
	     "what is in force can be a configuration");
	RULE(raft->config.index <= raft->log.last_index, "the configuration in force stands in the log");
	RULE(raft->config_before.index <= raft->config.index, "the configuration before came before");
	RULE(raft->member_count >= raft->config.count && raft->member_count <= IKADA_MEMBERS_MAX,
	     "each member has a slot");
	for (uint32_t slot = 0; slot < raft->member_count; slot++) {
		const struct member *member = &raft->members[slot];
		if (slot < raft->config.count)
			RULE(member->id == raft->config.members[slot].id &&
				     member->incarnation == raft->config.members[slot].incarnation,
			     "slots are in the order of the configuration");
		RULE(members_slot(raft, member->id, member->incarnation) == slot, "a member has one slot");
	}
	for (uint32_t slot = 0; slot < IKADA_MEMBERS_MAX; slot++)
		windows |= 1u << raft->peers[slot].window;
	RULE(windows == (1u << IKADA_MEMBERS_MAX) - 1, "a window belongs to one peer");
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
		RULE(peer->heard_ns <= raft->raw_ns, "no message is echoed before it is sent");
		RULE(peer->window_count <= raft->limits.inflight_messages, "the window holds what it can");
		RULE(peer->state == PEER_STREAM || (peer->window_count == 0 && !peer->waiting),
		     "nothing streams to a peer that is probed or needs a snapshot");
		RULE(peer->state != PEER_SNAPSHOT || peer->match_index < raft->log.base_index,
		     "a snapshot is for who lacks what is gone");
		RULE(!peer->owed && !peer->owed_snapshot, "a step pays what it owes");
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

/* ---- The change ---- */

static const char *check_hard(const struct change *c)
{
	const struct ikada_raft *b = c->before;
	const struct ikada_raft *a = c->after;
	RULE(a->term >= b->term, "the term never falls");
	RULE(a->term > b->term || b->vote == 0 || (a->vote == b->vote && a->vote_incarnation == b->vote_incarnation),
	     "one vote a term");
	bool changed = a->term != b->term || a->vote != b->vote;
	RULE(c->effects->hard_changed == changed, "a change of term or vote is written");
	RULE(!changed || a->hard_ticket == c->effects->ticket, "a change of term or vote has the step's ticket");
	RULE(changed || a->hard_ticket == b->hard_ticket, "the ticket of term and vote changes with them");
	bool written = changed || c->effects->append != IKADA_APPEND_NONE || c->effects->base_changed;
	RULE(c->effects->ticket == (written ? b->ticket + 1 : 0), "each durable change has the next ticket");
	RULE(a->ticket == b->ticket + (written ? 1 : 0), "tickets are given one by one");
	RULE(a->durable_ticket >= b->durable_ticket, "what is durable stays durable");
	RULE(a->durable_ticket == b->durable_ticket || c->event->kind == IKADA_DURABLE, "only the disk makes durable");
	bool own = a->vote == a->settings.self && a->vote_incarnation == a->settings.incarnation;
	if (a->vote != 0 && changed && !own)
		RULE(received(c, IKADA_VOTE) && c->in->from == a->vote &&
			     c->in->from_incarnation == a->vote_incarnation,
		     "a vote is given to who asks");
	return NULL;
}

/* ---- The members ---- */

/* Whether those who vote in `a`, on its new side if it has two, are those who vote in `b`, on its old side. */
static bool same_voters(const struct ikada_config *a, const struct ikada_config *b)
{
	bool a_joint = is_joint(a);
	uint32_t found = 0;
	uint32_t wanted = 0;
	for (uint32_t i = 0; i < a->count; i++) {
		enum ikada_standing standing = a->members[i].standing;
		if (standing != IKADA_VOTER && standing != (a_joint ? IKADA_INCOMING : IKADA_LEAVING))
			continue;
		wanted++;
		for (uint32_t j = 0; j < b->count; j++) {
			standing = b->members[j].standing;
			found += b->members[j].id == a->members[i].id &&
				 b->members[j].incarnation == a->members[i].incarnation &&
				 (standing == IKADA_VOTER || standing == IKADA_LEAVING || standing == IKADA_OUTGOING);
		}
	}
	for (uint32_t j = 0; j < b->count; j++) {
		enum ikada_standing standing = b->members[j].standing;
		wanted += standing == IKADA_VOTER || standing == IKADA_LEAVING || standing == IKADA_OUTGOING;
	}
	return 2 * found == wanted;
}

static const char *check_new_ids(const struct ikada_config *b, const struct ikada_config *a)
{
	RULE(a->max_id >= b->max_id, "the highest id ever used never falls");
	for (uint32_t i = 0; i < a->count; i++) {
		bool known = a->members[i].id > b->max_id;
		for (uint32_t j = 0; j < b->count; j++)
			known |= b->members[j].id == a->members[i].id;
		RULE(known, "an id that has gone does not come back");
	}
	return NULL;
}

/* A configuration of this leader's own making. */
static const char *check_appended_config(const struct change *c)
{
	const struct ikada_raft *a = c->after;
	const struct ikada_config *was = &c->before->config;
	const struct ikada_config *is = &a->config;
	const struct ikada_config *told = &c->effects->config;
	bool same = told->index == is->index && told->max_id == is->max_id && told->count == is->count;
	for (uint32_t i = 0; same && i < is->count; i++)
		same = told->members[i].id == is->members[i].id &&
		       told->members[i].incarnation == is->members[i].incarnation &&
		       told->members[i].standing == is->members[i].standing;
	RULE(same && is->index == c->effects->append_first, "a configuration is in force when it is appended");
	RULE(a->config_before.index == was->index, "the configuration before is kept");
	RULE(was->index <= a->commit, "a configuration follows one that is committed");
	RULE(a->commit >= a->lead_index && raft_log_term(&a->log, a->commit) == a->term,
	     "no configuration comes before an entry of the own term is committed");
	RULE(!is_joint(was) || !is_joint(is), "after a joint configuration comes the final one");
	RULE(same_voters(was, is), "who decides on one side of a configuration decides on a side of the next");
	return check_new_ids(was, is);
}

static const char *check_config(const struct change *c)
{
	const struct ikada_raft *b = c->before;
	const struct ikada_raft *a = c->after;
	const struct ikada_effects *e = c->effects;
	if (e->append == IKADA_APPEND_CONFIG)
		return check_appended_config(c);
	if (e->installed) {
		bool stays = e->kept && b->config.index > a->log.base_index;
		RULE(a->config.index == (stays ? b->config.index : c->event->config->index),
		     "a snapshot brings its configuration, unless a later one stands in the log");
		return NULL;
	}
	const struct ikada_config *last = &b->config;
	if (e->append == IKADA_APPEND_RECEIVED) {
		if (last->index >= e->append_first)
			last = &b->config_before;
		for (uint32_t i = 0; i < c->event->config_count; i++) {
			const struct ikada_config *one = &c->event->configs[i];
			if (one->index >= e->append_first && one->index <= e->append_last)
				last = one;
		}
	}
	RULE(a->config.index == last->index && a->config.count == last->count,
	     "the last configuration in the log is in force");
	return NULL;
}

/* The log begins where the event says; what stays of it has not changed. */
static const char *check_base(const struct change *c)
{
	const struct raft_log *b = &c->before->log;
	const struct raft_log *a = &c->after->log;
	const struct ikada_effects *e = c->effects;
	bool installed = c->event->kind == IKADA_INSTALL;
	RULE(installed || c->event->kind == IKADA_COMPACT, "the start of the log moves when the driver says so");
	RULE(e->installed == installed, "an installed snapshot is told");
	RULE(a->base_index == c->event->last_index && a->base_index > b->base_index,
	     "the log begins behind the snapshot");
	if (!installed) {
		RULE(a->base_index <= c->before->commit && a->base_index <= b->durable_index,
		     "what is given up is committed and durable");
		RULE(a->base_term == raft_log_term(b, a->base_index), "the base keeps the term of its entry");
		RULE(a->durable_index == b->durable_index, "giving up what is old changes nothing else");
	} else {
		RULE(c->before->role != IKADA_LEADER, "a leader needs no snapshot");
		RULE(a->base_index > c->before->commit, "an install never rewinds");
		RULE(a->base_term == c->event->last_term, "the base has the snapshot's term");
		RULE(c->after->base_ticket == e->ticket, "what is installed is acknowledged with its ticket");
		RULE(e->kept == (raft_log_term(b, a->base_index) == a->base_term),
		     "what lies behind a snapshot stays exactly if it agrees");
	}
	if (!installed || e->kept) {
		RULE(a->last_index == b->last_index, "what lies behind a snapshot and agrees stays");
		RULE(raft_log_last_term(a) == raft_log_last_term(b) &&
			     (a->last_index == a->base_index ||
			      raft_log_term(a, a->base_index + 1) == raft_log_term(b, a->base_index + 1)),
		     "what lies behind a snapshot keeps its terms");
	} else {
		RULE(a->last_index == a->base_index, "what does not agree with a snapshot goes");
	}
	return NULL;
}

/* Entries append_first .. append_last are what was proposed or received; nothing before them has changed. */
static const char *check_append(const struct change *c)
{
	const struct raft_log *b = &c->before->log;
	const struct raft_log *a = &c->after->log;
	const struct ikada_effects *e = c->effects;
	if (e->base_changed) {
		RULE(e->append == IKADA_APPEND_NONE, "the start of the log moves alone");
		return check_base(c);
	}
	RULE(a->base_index == b->base_index && a->base_term == b->base_term, "the start of the log stays");
	if (e->append == IKADA_APPEND_NONE) {
		RULE(a->last_index == b->last_index && a->run_count == b->run_count,
		     "the log changes by an effect only");
		RULE(a->durable_index >= b->durable_index, "what is durable stays durable");
		return NULL;
	}
	RULE(e->append_first > b->base_index && e->append_first <= b->last_index + 1, "the log has no gap");
	RULE(e->append_last >= e->append_first && a->last_index == e->append_last, "an append ends the log");
	RULE(e->append_first > c->before->commit, "what is committed is never cut");
	RULE(raft_log_term(a, e->append_first - 1) == raft_log_term(b, e->append_first - 1),
	     "what comes before an append stays");
	uint64_t kept = e->append_first - 1 < b->durable_index ? e->append_first - 1 : b->durable_index;
	RULE(a->durable_index < e->append_first, "what a step appends is not durable yet");
	RULE(a->durable_index == kept || (a->durable_index > kept && c->event->kind == IKADA_DURABLE),
	     "what is durable and kept stays durable");
	RULE(a->tag_count > 0 && a->tags[a->tag_count - 1].ticket == e->ticket, "an append carries the step's ticket");
	/* The changed runs ascend. */
	const struct ikada_run *runs = raft_log_runs(a);
	for (uint32_t i = a->run_count - 1; i > 0 && runs[i].first >= e->append_first; i--)
		RULE(runs[i].first > runs[i - 1].first && runs[i].term > runs[i - 1].term, "runs ascend");
	if (e->append == IKADA_APPEND_RECEIVED) {
		RULE(received(c, IKADA_APPEND) && c->in->term == c->after->term,
		     "entries come from the current leader");
		RULE(e->append_first > c->in->prev_index && e->append_last <= c->in->last_index,
		     "what is appended was received");
		RULE(e->append_first > b->last_index ||
			     raft_log_term(a, e->append_first) != raft_log_term(b, e->append_first),
		     "the log is cut at a real conflict only");
		RULE(c->after->term > c->before->term || e->append_first > c->before->verified_index,
		     "what agrees with the current leader is never cut");
		return NULL;
	}
	RULE(c->after->role == IKADA_LEADER, "only a leader makes entries");
	RULE(e->append_first == b->last_index + 1, "a leader only appends");
	RULE(e->append_term == c->after->term && raft_log_term(a, e->append_first) == c->after->term,
	     "a leader stamps the term it won");
	RULE(raft_log_runs(a)[a->run_count - 1].first <= e->append_first, "a leader's entries are of one term");
	if (e->append == IKADA_APPEND_NOOP)
		RULE(c->before->role != IKADA_LEADER && e->append_last == e->append_first,
		     "a term opens with one no-op");
	else if (e->append == IKADA_APPEND_CONFIG)
		RULE(c->before->role == IKADA_LEADER && e->append_last == e->append_first,
		     "a configuration is one entry");
	else
		RULE(c->event->kind == IKADA_PROPOSE && c->before->role == IKADA_LEADER && c->before->transfer.id == 0,
		     "what is proposed is appended, unless leadership is handed on");
	return NULL;
}

static const char *check_commit(const struct change *c)
{
	const struct ikada_raft *a = c->after;
	RULE(a->commit >= c->before->commit, "the commit index never falls");
	if (a->commit == c->before->commit)
		return NULL;
	if (c->effects->installed) {
		RULE(a->commit == a->log.base_index, "a snapshot is of what is committed");
		return NULL;
	}
	if (received(c, IKADA_SNAPSHOT)) {
		RULE(a->commit == c->in->last_index && c->in->term == a->term &&
			     raft_log_term(&a->log, a->commit) == c->in->last_term,
		     "what a snapshot would bring is committed");
		return NULL;
	}
	bool led = c->before->role == IKADA_LEADER && c->before->term == a->term; /* It may have left in this step. */
	if (a->role != IKADA_LEADER && !led) {
		RULE(received(c, IKADA_APPEND) && c->in->term == a->term, "a follower commits what its leader says");
		RULE(a->commit <= c->in->commit, "a follower commits no more than its leader");
		RULE(a->commit <= a->verified_index, "a follower commits no more than is verified to agree");
		return NULL;
	}
	RULE(raft_log_term(&a->log, a->commit) == a->term, "a leader commits by counting in its own term only");
	/* A configuration that follows in the same step comes after. */
	bool followed = c->effects->append == IKADA_APPEND_CONFIG;
	const struct ikada_config *config = followed ? &c->before->config : &a->config;
	uint32_t holding = 0;
	for (uint32_t i = 0; i < config->count; i++) {
		const struct ikada_member *member = &config->members[i];
		uint32_t slot = members_slot(a, member->id, member->incarnation);
		bool self = member->id == a->settings.self && member->incarnation == a->settings.incarnation;
		RULE(self || slot < IKADA_MEMBERS_MAX, "who decides has a slot");
		if ((self ? a->log.durable_index : a->peers[slot].match_index) >= a->commit)
			holding |= 1u << i;
	}
	RULE(majority_of(config, holding), "what is committed is durable on a majority");
	return NULL;
}

static const char *check_role_change(const struct change *c)
{
	const struct ikada_raft *b = c->before;
	const struct ikada_raft *a = c->after;
	if (a->role == IKADA_LEADER && (b->role != IKADA_LEADER || b->term != a->term)) {
		RULE(b->role == IKADA_CANDIDATE, "a leader was a candidate");
		RULE(b->term == a->term, "a leader leads the term it campaigned in");
		RULE(majority(a, a->votes), "a leader has the votes of a majority");
		RULE((a->votes & ~b->votes) == 0 ||
			     (received(c, IKADA_VOTE_REPLY) && c->in->granted && c->in->term == a->term),
		     "a vote counts in its own term");
	}
	if (a->role == IKADA_CANDIDATE && b->term != a->term) {
		RULE(a->term == b->term + 1, "a candidate moves one term ahead");
		RULE(a->votes == self_set(a), "a candidate starts with its own vote");
		if (received(c, IKADA_TIMEOUT_NOW)) {
			RULE(b->role == IKADA_FOLLOWER && b->leader == c->in->from &&
				     b->leader_incarnation == c->in->from_incarnation && c->in->term == b->term,
			     "only the leader can ask for a campaign");
			return NULL;
		}
		RULE(b->role == IKADA_PRECANDIDATE || majority(a, self_set(a)), "a candidate was a precandidate");
		uint32_t asked = b->votes | self_set(a);
		for (uint32_t slot = 0; slot < a->member_count && received(c, IKADA_PREVOTE_REPLY); slot++)
			asked |= from_slot(c, slot) ? 1u << slot : 0;
		RULE(majority(a, asked), "a candidate has a majority's pre-votes");
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
		RULE(peer->match_index >= was->match_index, "a match index never falls within a term");
		RULE(peer->match_index == was->match_index || (said && c->in->match_index == peer->match_index),
		     "a match index is what the peer acknowledged in this term");
		RULE(peer->acked_round == was->acked_round || said, "a round is echoed by the peer in this term");
	}
	return NULL;
}

/* ---- What is promised ---- */

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
		RULE(m->commit == a->commit && m->round == a->round && m->sent_ns == a->raw_ns,
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

static const char *check_messages(const struct change *c)
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
		if (m->kind == IKADA_APPEND_REPLY && after < a->base_ticket && m->to == a->leader &&
		    m->to_incarnation == a->leader_incarnation)
			after = a->base_ticket;
		RULE(prevote || m->after == after, "a message waits for its term and vote, and for what was installed");
		const char *broken = reply ? check_reply(c, m) : check_request(c, m);
		RULE(broken == NULL, broken);
	}
	return NULL;
}

static const char *check_grant(const struct change *c)
{
	const struct ikada_raft *a = c->after;
	const struct reads *queued = &c->before->reads;
	const struct ikada_effects *e = c->effects;
	if (e->granted.count == 0)
		return NULL;
	RULE(a->role == IKADA_LEADER, "only a leader grants reads");
	RULE(e->granted_index <= a->commit, "a read is served from what is committed");
	RULE(e->granted_index >= a->lead_index, "reads wait for an entry of the leader's term");
	if (majority(a, self_set(a)))
		return NULL;
	RULE(e->granted.first_id == queued->first_id, "reads are granted in their order");
	uint64_t granted = 0;
	for (uint32_t i = 0; i < queued->round_count && granted < e->granted.count; i++) {
		const struct read_round *round = &queued->rounds[(queued->start + i) % READ_ROUNDS];
		uint32_t echoing = self_set(a);
		for (uint32_t slot = 0; slot < a->config.count; slot++)
			if (slot != a->self && a->peers[slot].acked_round >= round->round)
				echoing |= 1u << slot;
		RULE(majority(a, echoing), "a read is granted when a majority has echoed its round");
		RULE(e->granted_index >= round->index, "a read is served from what was committed when its round began");
		granted += round->count;
	}
	RULE(granted == e->granted.count, "what is granted was asked in a round");
	return NULL;
}

static const char *check_refusals(const struct change *c)
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
		check_messages, check_grant,  check_refusals, check_report,
	};
	const char *broken = check_log(&after->log, after);
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
