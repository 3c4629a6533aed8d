/* What changes on the disk: term and vote, the log and where it begins, what is committed (paper, 5.3, 5.4, 7). */
#include "raft/check_internal.h"

const char *check_log(const struct ikada_raft *raft)
{
	const struct raft_log *log = &raft->log;
	RULE(log->base_index <= raft->commit && raft->commit <= log->last_index,
	     "the commit index lies within the log");
	RULE(log->base_index <= log->durable_index && log->durable_index <= log->last_index,
	     "the durable index lies within the log");
	RULE((log->tag_count == 0) == (log->durable_index == log->last_index),
	     "exactly what is not durable carries a ticket");
	RULE(log->tag_start < LOG_TAGS && log->tag_count <= LOG_TAGS && log->run_count <= log->run_limit,
	     "the tables of the log hold what they can");
	if (log->tag_count > 0) {
		const struct log_tag *oldest = raft_log_tag(log, 0);
		const struct log_tag *newest = raft_log_tag(log, log->tag_count - 1);
		const struct log_tag *second = raft_log_tag(log, log->tag_count - (log->tag_count > 1 ? 2 : 1));
		RULE(second == newest || (second->first < newest->first && second->ticket < newest->ticket),
		     "tickets ascend along the log");
		RULE(oldest->first == log->durable_index + 1, "tickets begin where durability ends");
		RULE(oldest->ticket > raft->durable_ticket, "what carries a durable ticket is durable");
		RULE(newest->ticket <= raft->ticket, "no entry carries a ticket not yet given");
		RULE(newest->first <= log->last_index, "no ticket is carried beyond the log");
	}
	RULE(log->last_index == log->base_index
		     ? log->run_count == 0
		     : log->run_count > 0 && raft_log_runs(log)[0].first == log->base_index + 1,
	     "runs cover the log");
	RULE(raft_log_last_term(log) <= raft->term, "no entry has a term beyond the current one");
	return NULL;
}

const char *check_hard(const struct change *c)
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
const char *check_append(const struct change *c)
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
	RULE(a->tag_count > 0 && raft_log_tag(a, a->tag_count - 1)->ticket == e->ticket,
	     "an append carries the step's ticket");
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

/* Counted by hand: is the entry at `index` durable on a majority of those who decide, as far as the leader knows? */
static bool held(const struct ikada_raft *raft, const struct ikada_config *config, uint64_t index)
{
	uint32_t holding = 0;
	for (uint32_t i = 0; i < config->count; i++) {
		const struct ikada_member *member = &config->members[i];
		uint32_t slot = members_slot(raft, member->id, member->incarnation);
		uint64_t match = slot < IKADA_MEMBERS_MAX ? raft->peers[slot].match_index : 0;
		if (member->id == raft->settings.self && member->incarnation == raft->settings.incarnation)
			match = raft->log.durable_index;
		holding |= match >= index ? 1u << i : 0;
	}
	return check_majority_of(config, holding);
}

/* The commit index lags behind only while a configuration that is not committed changes what a majority is. */
static bool commits_what_it_can(const struct ikada_raft *raft)
{
	uint64_t next = raft->commit < raft->lead_index ? raft->lead_index : raft->commit + 1;
	return raft->config.index > raft->commit || next > raft->log.last_index || !held(raft, &raft->config, next);
}

const char *check_commit(const struct change *c)
{
	const struct ikada_raft *a = c->after;
	RULE(a->commit >= c->before->commit, "the commit index never falls");
	RULE(a->role != IKADA_LEADER || commits_what_it_can(a),
	     "what a majority holds of the leader's own term is committed");
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
	RULE(held(a, config, a->commit), "what is committed is durable on a majority");
	return NULL;
}
