/*
 * The core's entry points: size, init, step, deadline, status. Dispatches events, judges messages before anybody acts
 * on them, and owns the durable pair (term, vote), the tickets, and the frame of the effects.
 *
 * A message that cannot come from a correct member is ignored as a whole, before it changes anything. A message of a
 * higher term moves this member there first, except where stickiness forbids (election.c); one of a lower term is
 * answered with the higher one, or ignored when it is itself an answer (paper, 5.1).
 *
 * Time is judged in a TICK only, never in another event that happens to come late: the driver first lets in what has
 * arrived, and a message that waits in a socket is not silence.
 */
#include "raft/raft_internal.h"

#include "base/check.h"

#include <string.h>

/* ---- Durable state and effects ---- */

uint64_t raft_ticket(struct ikada_raft *raft, struct ikada_effects *effects)
{
	if (effects->ticket == 0) {
		if (raft->ticket == raft->durable_ticket)
			raft->progress_ns = raft->awake_ns;
		effects->ticket = ++raft->ticket;
	}
	return effects->ticket;
}

void raft_set_hard(struct ikada_raft *raft, struct ikada_effects *effects, uint64_t term, uint64_t vote,
		   uint64_t vote_incarnation)
{
	CHECK(term > raft->term || (term == raft->term && raft->vote == 0));
	raft->term = term;
	raft->vote = vote;
	raft->vote_incarnation = vote_incarnation;
	raft->hard_ticket = raft_ticket(raft, effects);
	effects->hard_changed = true;
}

struct ikada_message *raft_message(const struct ikada_raft *raft, struct ikada_effects *effects,
				   enum ikada_message_kind kind, uint64_t to, uint64_t to_incarnation)
{
	static const struct ikada_message empty; /* Copied: that is much faster than what gcc makes of clearing. */
	CHECK_OP(effects->message_count, <, IKADA_MESSAGES_MAX);
	struct ikada_message *m = &effects->messages[effects->message_count++];
	*m = empty;
	m->kind = kind;
	m->from = raft->settings.self;
	m->from_incarnation = raft->settings.incarnation;
	m->to = to;
	m->to_incarnation = to_incarnation;
	m->term = raft->term;
	m->after = raft->hard_ticket;
	return m;
}

static void begin(struct ikada_effects *effects)
{
	effects->ticket = 0;
	effects->hard_changed = false;
	effects->append = IKADA_APPEND_NONE;
	effects->append_first = effects->append_last = effects->append_term = 0;
	effects->base_changed = false;
	effects->installed = false;
	effects->kept = false;
	effects->accept_snapshot = false;
	effects->message_count = 0;
	effects->granted = (struct ikada_id_range){0, 0};
	effects->granted_index = 0;
	effects->refused_proposals = (struct ikada_id_range){0, 0};
	effects->refused_proposals_why = IKADA_REFUSED_NOT_LEADER;
	effects->refused_reads = (struct ikada_id_range){0, 0};
	effects->refused_reads_why = IKADA_REFUSED_NOT_LEADER;
	effects->refused_changes = (struct ikada_id_range){0, 0};
	effects->refused_changes_why = IKADA_REFUSED_NOT_LEADER;
	effects->transfer_ended = false;
	effects->change_given_up = false;
	effects->forgot = 0;
}

static void finish(const struct ikada_raft *raft, struct ikada_effects *effects)
{
	effects->term = raft->term;
	effects->vote = raft->vote;
	effects->vote_incarnation = raft->vote_incarnation;
	effects->base_index = raft->log.base_index;
	effects->base_term = raft->log.base_term;
	effects->commit = raft->commit;
	effects->wants_compaction = 2 * raft->log.run_count >= raft->log.run_limit;
	effects->role = raft->role;
	effects->leader = raft->leader;
	effects->leader_incarnation = raft->leader_incarnation;
}

/* ---- Making a core ---- */

static size_t runs_bytes(const struct ikada_limits *limits)
{
	return limits->term_runs * sizeof(struct ikada_run);
}

size_t ikada_raft_size(const struct ikada_limits *limits)
{
	return sizeof(struct ikada_raft) + runs_bytes(limits) +
	       IKADA_MEMBERS_MAX * (size_t)limits->inflight_messages * sizeof(struct window_slot);
}

static void check_limits(const struct ikada_limits *limits, const struct ikada_settings *settings)
{
	CHECK_OP(limits->term_runs, >=, 8);
	CHECK_OP(limits->inflight_messages, >=, 1);
	CHECK_OP(limits->uncommitted_entries, >=, 1);
	CHECK_OP(settings->heartbeat_ns, >, 0);
	CHECK_OP(settings->election_min_ns, >=, 2 * settings->heartbeat_ns);
	CHECK_OP(settings->election_max_ns, >=, settings->election_min_ns);
}

static void load_log(struct ikada_raft *raft, const struct ikada_boot *boot)
{
	CHECK(boot->term <= RAFT_TERM_MAX && boot->last_index <= RAFT_INDEX_MAX);
	CHECK(boot->term >= boot->base_term && (boot->vote == 0 || boot->term > 0));
	CHECK(boot->base_index <= boot->commit && boot->commit <= boot->last_index);
	CHECK((boot->base_index == 0) == (boot->base_term == 0));
	CHECK((boot->run_count == 0) == (boot->last_index == boot->base_index));
	raft_log_init(&raft->log, boot->base_index, boot->base_term);
	uint64_t term = boot->base_term == 0 ? 1 : boot->base_term;
	for (uint32_t i = 0; i < boot->run_count; i++) {
		const struct ikada_run *run = &boot->runs[i];
		CHECK_OP(run->first, ==, raft->log.last_index + 1);
		CHECK(run->term >= term && run->term <= boot->term);
		term = run->term + 1;
		raft_log_append(&raft->log, i + 1 < boot->run_count ? run[1].first - 1 : boot->last_index, run->term,
				0);
	}
	raft_log_durable(&raft->log, 0);
}

struct ikada_raft *ikada_raft_init(void *memory, const struct ikada_limits *limits,
				   const struct ikada_settings *settings, const struct ikada_boot *boot)
{
	struct ikada_raft *raft = memory;
	check_limits(limits, settings);
	CHECK(ikada_config_valid(&boot->config) && ikada_config_valid(&boot->config_before));
	CHECK_OP(boot->config.index, <=, boot->last_index);
	CHECK_OP(boot->config_before.index, <=, boot->config.index);
	CHECK(boot->config.index <= boot->commit || boot->config_before.index < boot->config.index);
	memset(memory, 0, ikada_raft_size(limits));
	raft->limits = *limits;
	raft->settings = *settings;
	raft->config = boot->config;
	raft->config_before = boot->config_before;
	raft->rng = rng_seed(settings->seed);
	raft->raw_ns = boot->raw_ns;
	raft->awake_ns = boot->awake_ns;
	raft->term = boot->term;
	raft->vote = boot->vote;
	raft->vote_incarnation = boot->vote_incarnation;
	raft->commit = boot->commit;
	raft->role = IKADA_FOLLOWER;
	raft->log.runs_offset = sizeof *raft - offsetof(struct ikada_raft, log);
	raft->log.run_limit = limits->term_runs;
	raft->windows_offset = sizeof *raft + runs_bytes(limits);
	load_log(raft, boot);
	members_arrange(raft);
	election_restart_timer(raft);
	if (members_alone(raft))
		raft->election_ns = raft->awake_ns; /* There is nobody to wait for. */
	return raft;
}

/* ---- What may be believed of a message ---- */

/* Runs describe prev_index + 1 .. last_index, with rising terms from prev_term on up to the message's. */
static bool sane_entries(const struct ikada_event *event)
{
	const struct ikada_message *m = event->message;
	if (m->prev_index > m->last_index || m->last_index > RAFT_INDEX_MAX || m->prev_term > m->term)
		return false;
	if ((m->prev_index == 0) != (m->prev_term == 0) || (event->run_count == 0) != (m->last_index == m->prev_index))
		return false;
	uint64_t term = m->prev_term == 0 ? 1 : m->prev_term;
	for (uint32_t i = 0; i < event->run_count; i++) {
		const struct ikada_run *run = &event->runs[i];
		if (i == 0 ? run->first != m->prev_index + 1 : run->first <= run[-1].first)
			return false;
		if (run->first > m->last_index || run->term < term || run->term > m->term)
			return false;
		term = run->term + 1;
	}
	return true;
}

static bool sane(const struct ikada_raft *raft, const struct ikada_event *event)
{
	const struct ikada_message *m = event->message;
	if (m->to != raft->settings.self || m->to_incarnation != raft->settings.incarnation || m->from == 0 ||
	    (m->from == m->to && m->from_incarnation == m->to_incarnation))
		return false;
	if (m->term == 0 || m->term > RAFT_TERM_MAX)
		return false;
	switch (m->kind) {
	case IKADA_PREVOTE:
	case IKADA_VOTE:
		return m->last_term < m->term && m->last_index <= RAFT_INDEX_MAX &&
		       (m->last_index == 0) == (m->last_term == 0);
	case IKADA_APPEND:
		return sane_entries(event);
	case IKADA_APPEND_REPLY:
		return m->match_index <= m->verified_index && m->verified_index <= RAFT_INDEX_MAX &&
		       (!m->rejected || m->conflict_term <= m->term);
	case IKADA_SNAPSHOT:
		return m->last_index > 0 && m->last_index <= RAFT_INDEX_MAX && m->last_term > 0 &&
		       m->last_term <= m->term;
	case IKADA_PREVOTE_REPLY:
	case IKADA_VOTE_REPLY:
		return true;
	case IKADA_TIMEOUT_NOW:
		return true;
	}
	return false;
}

/* ---- Messages ---- */

/* Tells a leader of the past that its term is over. Not an echo: what it asked was asked in another term. */
static void answer_past_leader(struct ikada_raft *raft, const struct ikada_message *m, struct ikada_effects *effects)
{
	raft_message(raft, effects, IKADA_APPEND_REPLY, m->from, m->from_incarnation);
}

static void receive(struct ikada_raft *raft, const struct ikada_event *event, struct ikada_effects *effects)
{
	const struct ikada_message *m = event->message;
	if (!sane(raft, event))
		return;
	switch (m->kind) {
	case IKADA_PREVOTE:
		election_prevote(raft, m, effects);
		return;
	case IKADA_PREVOTE_REPLY:
		election_prevote_reply(raft, m, effects);
		return;
	case IKADA_VOTE:
		election_vote(raft, m, effects);
		return;
	case IKADA_APPEND:
		if (m->term < raft->term)
			answer_past_leader(raft, m, effects);
		else
			follower_append(raft, event, effects);
		return;
	case IKADA_SNAPSHOT:
		if (m->term < raft->term)
			answer_past_leader(raft, m, effects);
		else
			snapshot_chunk(raft, m, effects);
		return;
	case IKADA_TIMEOUT_NOW:
		election_timeout_now(raft, m, effects);
		return;
	case IKADA_VOTE_REPLY:
	case IKADA_APPEND_REPLY:
		break;
	}
	/* Who has gone disturbs nobody. */
	if (members_slot(raft, m->from, m->from_incarnation) == IKADA_MEMBERS_MAX)
		return;
	if (m->term > raft->term)
		election_follow(raft, effects, m->term, 0, 0);
	else if (m->term < raft->term)
		return;
	else if (m->kind == IKADA_VOTE_REPLY)
		election_vote_reply(raft, m, effects);
	else if (raft->role == IKADA_LEADER)
		leader_append_reply(raft, m, effects);
}

/* ---- Events ---- */

static void durable(struct ikada_raft *raft, uint64_t ticket, struct ikada_effects *effects)
{
	CHECK_OP(ticket, <=, raft->ticket);
	if (ticket <= raft->durable_ticket)
		return;
	uint64_t before = raft->log.durable_index;
	raft->durable_ticket = ticket;
	raft->progress_ns = raft->awake_ns;
	raft_log_durable(&raft->log, ticket);
	if (raft->role == IKADA_LEADER)
		leader_durable(raft);
	else if (raft->role == IKADA_CANDIDATE)
		election_durable(raft, effects);
	else
		follower_durable(raft, before, effects);
}

/* What the driver says of a peer. Who is none, or no longer, is not an error: that was decided a moment ago. */
static void of_peer(struct ikada_raft *raft, const struct ikada_event *event)
{
	uint32_t slot = members_slot(raft, event->peer, event->peer_incarnation);
	bool leads = raft->role == IKADA_LEADER && slot < IKADA_MEMBERS_MAX && slot != raft->self;
	if (event->kind == IKADA_SENT && leads)
		flow_sent(raft, slot, event->last_index, event->bytes);
	if (event->kind == IKADA_SNAPSHOT_ENDED && leads)
		flow_snapshot_ended(raft, slot, event->last_index);
	if (event->kind == IKADA_PEER_LOST && leads)
		flow_lost(raft, slot);
	if (event->kind == IKADA_PEER_LOST && raft->role != IKADA_LEADER && raft->leader != 0 &&
	    event->peer == raft->leader && event->peer_incarnation == raft->leader_incarnation)
		election_leader_lost(raft);
}

static void propose(struct ikada_raft *raft, const struct ikada_event *event, struct ikada_effects *effects)
{
	CHECK_OP(event->count, >=, 1);
	if (raft->role == IKADA_LEADER)
		leader_propose(raft, event, effects);
	else
		effects->refused_proposals = (struct ikada_id_range){event->first_id, event->count};
}

static void read(struct ikada_raft *raft, const struct ikada_event *event, struct ikada_effects *effects)
{
	CHECK_OP(event->count, >=, 1);
	if (raft->role == IKADA_LEADER)
		reads_add(raft, event->first_id, event->count);
	else
		effects->refused_reads = (struct ikada_id_range){event->first_id, event->count};
}

void ikada_raft_step(struct ikada_raft *raft, const struct ikada_event *event, struct ikada_effects *effects)
{
	enum ikada_role role = raft->role;
	uint64_t term = raft->term;
	uint64_t leader = raft->leader;
	uint64_t config = raft->config.index;
	CHECK_OP(event->raw_ns, >=, raft->raw_ns);
	CHECK_OP(event->awake_ns, >=, raft->awake_ns);
	raft->raw_ns = event->raw_ns;
	raft->awake_ns = event->awake_ns;
	begin(effects);
	switch (event->kind) {
	case IKADA_TICK:
		if (role == IKADA_LEADER)
			leader_tick(raft, effects);
		else
			election_tick(raft, effects);
		break;
	case IKADA_RECEIVE:
		receive(raft, event, effects);
		break;
	case IKADA_DURABLE:
		durable(raft, event->ticket, effects);
		break;
	case IKADA_SENT:
	case IKADA_PEER_LOST:
	case IKADA_SNAPSHOT_ENDED:
		of_peer(raft, event);
		break;
	case IKADA_PROPOSE:
		propose(raft, event, effects);
		break;
	case IKADA_READ:
		read(raft, event, effects);
		break;
	case IKADA_COMPACT:
		snapshot_compact(raft, event->last_index, effects);
		break;
	case IKADA_INSTALL:
		snapshot_install(raft, event, effects);
		break;
	case IKADA_CHANGE:
		change_ask(raft, event, effects);
		break;
	case IKADA_TRANSFER:
		transfer_ask(raft, event, effects);
		break;
	case IKADA_HALT:
		election_halt(raft, event->on, effects);
		break;
	}
	if (raft->role == IKADA_LEADER)
		leader_finish(raft, effects);
	if (raft->member_count > raft->config.count && raft->config.index <= raft->commit)
		members_arrange(raft);
	finish(raft, effects);
	effects->config_changed = config != raft->config.index;
	effects->role_changed = role != raft->role || term != raft->term || leader != raft->leader;
}

/* ---- Questions ---- */

uint64_t raft_awake_to_raw(const struct ikada_raft *raft, uint64_t awake_ns)
{
	uint64_t left = awake_ns > raft->awake_ns ? awake_ns - raft->awake_ns : 0;
	return left > UINT64_MAX - raft->raw_ns ? UINT64_MAX : raft->raw_ns + left;
}

uint64_t ikada_raft_deadline(const struct ikada_raft *raft)
{
	if (raft->role != IKADA_LEADER)
		return raft_awake_to_raw(raft, election_deadline(raft));
	uint64_t deadline = leader_deadline(raft);
	if (raft->ticket > raft->durable_ticket) {
		uint64_t stalled = raft_awake_to_raw(raft, raft->progress_ns + raft->settings.election_max_ns);
		if (stalled < deadline)
			deadline = stalled;
	}
	return deadline;
}

void ikada_raft_status(const struct ikada_raft *raft, struct ikada_raft_status *status)
{
	memset(status, 0, sizeof *status);
	status->self = raft->settings.self;
	status->term = raft->term;
	status->vote = raft->vote;
	status->leader = raft->leader;
	status->leader_incarnation = raft->leader_incarnation;
	status->role = raft->role;
	status->commit = raft->commit;
	status->base_index = raft->log.base_index;
	status->last_index = raft->log.last_index;
	status->last_term = raft_log_last_term(&raft->log);
	status->durable_index = raft->log.durable_index;
	status->config = raft->config;
	status->halted = raft->halted;
	status->transfer_to = raft->transfer.id;
	for (uint32_t slot = 0; raft->role == IKADA_LEADER && slot < raft->member_count; slot++) {
		const struct peer *peer = &raft->peers[slot];
		if (slot == raft->self)
			continue;
		uint32_t at = status->peer_count++;
		status->peers[at].id = raft->members[slot].id;
		status->peers[at].incarnation = raft->members[slot].incarnation;
		status->peers[at].match_index = peer->match_index;
		status->peers[at].next_index = peer->next_index;
		status->peers[at].heard_ns = peer->heard_ns;
		status->peers[at].probing = peer->state == PEER_PROBE;
		status->peers[at].caught_up = peer->caught_up;
		status->peers[at].snapshot = peer->state == PEER_SNAPSHOT;
		status->peers[at].forgot = (raft->forgot >> slot & 1) != 0;
	}
}

uint64_t ikada_raft_term_at(const struct ikada_raft *raft, uint64_t index)
{
	return raft_log_term(&raft->log, index);
}
