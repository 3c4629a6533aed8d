/*
 * The rules, each where its evidence arrives. Every step costs what it changed: of each node's log only the terms are
 * kept, of each entry a hash.
 *
 * What survives a crash of a node, because others may count on it: its vote and term as told, the entries it
 * acknowledged, those its core was told are durable. A cut of the log takes promises about what is cut back.
 */
#include "sim/rules.h"

#include "base/check.h"
#include "base/entry.h"
#include "node/node_internal.h"
#include "raft/raft_check.h"
#include "sim/rules_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void rules_broken(struct rules *rules, const char *format, ...)
{
	if (rules->failure[0] != '\0')
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(rules->failure, sizeof rules->failure, format, args);
	va_end(args);
}

static uint64_t id_of(const struct watched *w)
{
	return (uint64_t)w->number + 1;
}

/* ---- Numbers ---- */

void rules_set(struct rules *rules, struct numbers *n, uint64_t index, uint64_t value)
{
	if (index >= n->room) {
		n->room = index + index / 2 + 64;
		n->at = mem_resize(rules->mem, n->at, n->room * sizeof *n->at);
	}
	for (; n->size <= index; n->size++)
		n->at[n->size] = 0;
	n->at[index] = value;
}

/* ---- Entries: log matching and state machine safety ---- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9fb21c651e98df25u;
	return hash ^ hash >> 29;
}

static uint64_t entry_hash(const struct entry *entry)
{
	uint64_t hash = mix(entry->stamp, (uint64_t)entry->group << 32 | (uint64_t)entry->kind << 16 | entry->format);
	hash = mix(hash, entry->request_node);
	hash = mix(hash, entry->request_boot);
	hash = mix(hash, entry->request_number);
	hash = mix(hash, entry->length);
	uint32_t at = 0;
	for (; at + 8 <= entry->length; at += 8)
		hash = mix(hash, get_le64(entry->payload + at));
	for (; at < entry->length; at++)
		hash = mix(hash, entry->payload[at]);
	return hash;
}

static struct known *known_entry(const struct rules *rules, uint64_t index, uint64_t term)
{
	if (index >= rules->entries_room)
		return NULL;
	struct known *known = rules->entries[index];
	while (known != NULL && known->term != term)
		known = known->next;
	return known;
}

void rules_add_known(struct rules *rules, uint64_t index, const struct known *entry)
{
	if (index >= rules->entries_room) {
		uint64_t room = index + index / 2 + 64;
		rules->entries = mem_resize(rules->mem, rules->entries, room * sizeof *rules->entries);
		memset(rules->entries + rules->entries_room, 0, (room - rules->entries_room) * sizeof *rules->entries);
		rules->entries_room = room;
	}
	struct known *known = mem_alloc(rules->mem, sizeof *known);
	*known = *entry;
	known->next = rules->entries[index];
	rules->entries[index] = known;
}

static void appended(void *context, const struct entry *entry)
{
	struct watched *w = context;
	struct rules *rules = w->rules;
	struct known now = {
		.term = entry->term, .hash = entry_hash(entry), .prev_term = rules_get(&w->terms, entry->index - 1)};
	const struct known *known = known_entry(rules, entry->index, entry->term);
	rules->counters.entries++;
	if (known == NULL)
		rules_add_known(rules, entry->index, &now);
	else if (known->hash != now.hash)
		rules_broken(rules,
			     "log matching: node %" PRIu64 " has another entry at index %" PRIu64 " of term %" PRIu64
			     " than was there before",
			     id_of(w), entry->index, entry->term);
	else if (known->prev_term != now.prev_term)
		rules_broken(rules,
			     "log matching: on node %" PRIu64 " the entry at index %" PRIu64 " of term %" PRIu64
			     " follows one of term %" PRIu64 ", elsewhere one of term %" PRIu64,
			     id_of(w), entry->index, entry->term, now.prev_term, known->prev_term);
	if (rules_get(&w->terms, entry->index) != entry->term)
		rules_broken(rules,
			     "node %" PRIu64 " keeps an entry of term %" PRIu64 " at index %" PRIu64
			     ", its core one of term %" PRIu64,
			     id_of(w), entry->term, entry->index, rules_get(&w->terms, entry->index));
}

static void applied(void *context, const struct entry *entry)
{
	struct watched *w = context;
	struct rules *rules = w->rules;
	const struct known *known = known_entry(rules, entry->index, entry->term);
	if (entry->index != w->applied + 1)
		rules_broken(rules, "node %" PRIu64 " applied index %" PRIu64 " after %" PRIu64, id_of(w), entry->index,
			     w->applied);
	if (entry->index > w->commit)
		rules_broken(rules, "node %" PRIu64 " applied index %" PRIu64 ", committed is only %" PRIu64, id_of(w),
			     entry->index, w->commit);
	if (rules_get(&rules->committed, entry->index) != entry->term)
		rules_broken(rules,
			     "state machine safety: node %" PRIu64 " applied an entry of term %" PRIu64
			     " at index %" PRIu64 ", where one of term %" PRIu64 " is committed",
			     id_of(w), entry->term, entry->index, rules_get(&rules->committed, entry->index));
	if (known == NULL || known->hash != entry_hash(entry))
		rules_broken(rules,
			     "state machine safety: node %" PRIu64 " applied another entry at index %" PRIu64
			     " of term %" PRIu64 " than was appended",
			     id_of(w), entry->index, entry->term);
	w->applied = entry->index;
}

static void restored(void *context, uint64_t index, uint64_t term)
{
	struct watched *w = context;
	struct rules *rules = w->rules;
	if (rules_get(&rules->committed, index) != term)
		rules_broken(rules,
			     "node %" PRIu64 " loaded a snapshot of index %" PRIu64 " and term %" PRIu64
			     ", where term %" PRIu64 " is committed",
			     id_of(w), index, term, rules_get(&rules->committed, index));
	w->applied = index;
	if (w->stepped)
		rules->counters.loads++;
	else
		rules->counters.loads_at_start++;
}

/* ---- Recovery: promises ---- */

/* What is not in it any more is committed. */
static void log_begins(struct watched *w, uint64_t base_index, uint64_t base_term)
{
	struct rules *rules = w->rules;
	if (base_index > 0 && rules_get(&rules->committed, base_index) != base_term)
		rules_broken(rules,
			     "the log of node %" PRIu64 " begins behind index %" PRIu64 " and term %" PRIu64
			     ", where term %" PRIu64 " is committed",
			     id_of(w), base_index, base_term, rules_get(&rules->committed, base_index));
	for (uint64_t i = w->begun + 1; i <= base_index; i++)
		rules_set(rules, &w->terms, i, rules_get(&rules->committed, i));
	w->begun = base_index;
}

static void recovered(struct watched *w, const struct ikada_raft *raft)
{
	struct rules *rules = w->rules;
	struct ikada_raft_status status;
	ikada_raft_status(raft, &status);
	if (status.term < w->told_term)
		rules_broken(rules, "node %" PRIu64 " told others of term %" PRIu64 " and came back in term %" PRIu64,
			     id_of(w), w->told_term, status.term);
	if (status.term == w->vote_term && status.vote != w->vote)
		rules_broken(rules,
			     "node %" PRIu64 " voted for %" PRIu64 " in term %" PRIu64
			     " and came back with a vote for %" PRIu64,
			     id_of(w), w->vote, w->vote_term, status.vote);
	uint64_t promised = w->acked > w->durable ? w->acked : w->durable;
	uint64_t had = rules_last(&w->terms);
	uint64_t base = status.base_index;
	if (status.last_index < promised ||
	    (promised >= base && ikada_raft_term_at(raft, promised) != rules_get(&w->terms, promised)))
		rules_broken(rules,
			     "node %" PRIu64 " had acknowledged index %" PRIu64 " (durable %" PRIu64
			     ") of term %" PRIu64 " and came back with last index %" PRIu64 ", there term %" PRIu64,
			     id_of(w), w->acked, w->durable, rules_get(&w->terms, promised), status.last_index,
			     status.last_index < promised ? 0 : ikada_raft_term_at(raft, promised));
	log_begins(w, base, ikada_raft_term_at(raft, base));
	if (had > 0)
		rules->counters.recoveries++;
	if (had > status.last_index)
		rules->counters.recovered_shorter++;
	if (w->terms.size > status.last_index + 1)
		w->terms.size = status.last_index + 1;
	for (uint64_t i = base + 1; i <= status.last_index; i++)
		rules_set(rules, &w->terms, i, ikada_raft_term_at(raft, i));
	if (status.commit > rules_last(&rules->committed))
		rules_broken(rules, "node %" PRIu64 " came back with commit %" PRIu64 ", which no leader had reached",
			     id_of(w), status.commit);
	else if (rules_get(&rules->committed, status.commit) != rules_get(&w->terms, status.commit))
		rules_broken(rules, "node %" PRIu64 " came back with another entry at its commit %" PRIu64, id_of(w),
			     status.commit);
	w->durable = status.last_index;
	w->term = status.term;
	w->commit = status.commit;
	w->role = status.role;
	w->raft = raft;
	w->known = true;
}

/* ---- Steps ---- */

static void before_step(void *context, const struct ikada_raft *raft, const struct ikada_event *event)
{
	struct watched *w = context;
	size_t bytes = node_raft_bytes(w->node);
	if (!w->known)
		recovered(w, raft);
	if (bytes != w->before_bytes) {
		w->before = mem_resize(w->rules->mem, w->before, bytes);
		w->before_bytes = bytes;
	}
	raft_check_copy(w->before, raft);
}

static void log_changed(struct watched *w, const struct ikada_effects *e)
{
	struct rules *rules = w->rules;
	uint64_t last = rules_last(&w->terms);
	if (e->append_first <= last) {
		rules->counters.truncations++;
		if (e->append_first <= w->durable)
			rules->counters.truncated_durable++;
		if (e->append_first <= w->commit)
			rules_broken(rules,
				     "node %" PRIu64 " cuts its log from index %" PRIu64 ", committed is %" PRIu64,
				     id_of(w), e->append_first, w->commit);
		if (w->role == IKADA_LEADER && e->role == IKADA_LEADER && w->term == e->term)
			rules_broken(rules,
				     "leader append-only: node %" PRIu64 " leads term %" PRIu64
				     " and cuts its log from index %" PRIu64,
				     id_of(w), e->term, e->append_first);
		w->terms.size = e->append_first;
	}
	if (e->append_first > last + 1)
		rules_broken(rules, "node %" PRIu64 " appends at index %" PRIu64 " to a log that ends at %" PRIu64,
			     id_of(w), e->append_first, last);
	if (w->durable >= e->append_first)
		w->durable = e->append_first - 1;
	if (w->acked >= e->append_first)
		w->acked = e->append_first - 1;
	for (uint64_t i = e->append_first; i <= e->append_last; i++)
		rules_set(rules, &w->terms, i, ikada_raft_term_at(w->raft, i));
}

static void base_changed(struct watched *w, const struct ikada_effects *e)
{
	struct rules *rules = w->rules;
	if (!e->installed && e->base_index > w->applied)
		rules_broken(rules, "node %" PRIu64 " cuts its log at index %" PRIu64 ", and has applied only %" PRIu64,
			     id_of(w), e->base_index, w->applied);
	if (e->installed && !e->kept) {
		/* What does not agree is cut. Until the new beginning is durable, the rest is still promised. */
		uint64_t agreed = e->base_index < rules_last(&w->terms) ? e->base_index : rules_last(&w->terms);
		while (rules_get(&w->terms, agreed) != rules_get(&rules->committed, agreed))
			agreed--;
		w->durable = w->durable < agreed ? w->durable : agreed;
		w->acked = w->acked < agreed ? w->acked : agreed;
		if (w->terms.size > agreed + 1)
			w->terms.size = agreed + 1;
	}
	log_begins(w, e->base_index, e->base_term);
	if (e->installed) {
		w->install_ticket = e->ticket;
		w->install_index = e->base_index;
	}
	rules->counters.compactions += !e->installed;
	rules->counters.installs += e->installed;
	rules->counters.installs_keeping += e->installed && e->kept;
	rules->counters.installs_in_writes += e->installed && rules_last(&rules->committed) > w->committed_then;
}

static bool holds(const struct rules *rules, const struct ikada_member *member, uint64_t index, uint64_t term)
{
	if (member->id > rules->count)
		return false;
	const struct watched *w = &rules->nodes[member->id - 1];
	if (w->incarnation == member->incarnation)
		return w->durable >= index && rules_get(&w->terms, index) == term;
	return w->old_incarnation == member->incarnation && w->old_durable >= index &&
	       rules_get(&w->old_terms, index) == term;
}

static bool is_joint(const struct ikada_config *config)
{
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].standing >= IKADA_INCOMING)
			return true;
	return false;
}

static bool is_staged(const struct ikada_config *config)
{
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].standing == IKADA_JOINING)
			return true;
	return false;
}

/* On a majority of the voters, of both sides if it is joint. */
static bool durable_in(const struct rules *rules, const struct ikada_config *config, uint64_t index, uint64_t term)
{
	uint32_t voters[2] = {0, 0}, holders[2] = {0, 0};
	for (uint32_t i = 0; i < config->count; i++) {
		enum ikada_standing standing = config->members[i].standing;
		bool has = holds(rules, &config->members[i], index, term);
		bool old = standing == IKADA_VOTER || standing == IKADA_LEAVING || standing == IKADA_OUTGOING ||
			   standing == IKADA_DEMOTING;
		bool new = standing == IKADA_VOTER || standing == IKADA_INCOMING;
		voters[0] += old;
		holders[0] += old && has;
		voters[1] += new;
		holders[1] += new &&has;
	}
	return 2 * holders[0] > voters[0] && (!is_joint(config) || 2 * holders[1] > voters[1]);
}

/* In the configuration of this core before the step or after it. */
static bool durable_on_majority(const struct watched *w, uint64_t index, uint64_t term)
{
	struct ikada_raft_status before, after;
	ikada_raft_status(w->before, &before);
	ikada_raft_status(w->raft, &after);
	return durable_in(w->rules, &before.config, index, term) || durable_in(w->rules, &after.config, index, term);
}

static void began_to_lead(struct watched *w, const struct ikada_effects *e)
{
	struct rules *rules = w->rules;
	uint64_t other = rules_get(&rules->leaders, e->term);
	rules->counters.leaders++;
	if (other != 0)
		rules_broken(rules, "election safety: nodes %" PRIu64 " and %" PRIu64 " both lead in term %" PRIu64,
			     other, id_of(w), e->term);
	rules_set(rules, &rules->leaders, e->term, id_of(w));
	uint64_t index = rules_last(&rules->committed_in);
	while (index > 0 && rules->committed_in.at[index] >= e->term)
		index--;
	if (rules_get(&w->terms, index) != rules_get(&rules->committed, index))
		rules_broken(rules,
			     "leader completeness: node %" PRIu64 " leads term %" PRIu64
			     " without the entry of term %" PRIu64 " that was committed at index %" PRIu64
			     " in term %" PRIu64,
			     id_of(w), e->term, rules_get(&rules->committed, index), index,
			     rules_get(&rules->committed_in, index));
	uint64_t noop = e->append == IKADA_APPEND_NOOP ? e->append_first : rules_last(&w->terms) + 1;
	if (noop > e->commit + 1) {
		rules->counters.led_with_tail++;
		rules->counters.led_with_held_tail += durable_on_majority(w, noop - 1, rules_get(&w->terms, noop - 1));
	}
	for (uint32_t i = 0; i < rules->count; i++)
		if (&rules->nodes[i] != w && rules->nodes[i].role == IKADA_LEADER) {
			rules->counters.two_leaders++;
			break;
		}
}

/* A leader that is no voter any more commits that, and steps down, in one step. */
static void committed(struct watched *w, uint64_t commit, bool led, uint64_t led_term)
{
	struct rules *rules = w->rules;
	uint64_t known = rules_last(&rules->committed);
	if (commit > rules_last(&w->terms)) {
		rules_broken(rules, "node %" PRIu64 " commits index %" PRIu64 ", its log ends at %" PRIu64, id_of(w),
			     commit, rules_last(&w->terms));
		return;
	}
	for (uint64_t i = w->commit + 1; i <= commit && i <= known; i++)
		if (rules->committed.at[i] != w->terms.at[i])
			rules_broken(rules,
				     "state machine safety: node %" PRIu64 " commits an entry of term %" PRIu64
				     " at index %" PRIu64 ", where one of term %" PRIu64 " is committed",
				     id_of(w), w->terms.at[i], i, rules->committed.at[i]);
	if (commit <= known)
		return;
	uint64_t term = w->terms.at[commit];
	if (!led)
		rules_broken(rules, "node %" PRIu64 " commits index %" PRIu64 ", which no leader has committed",
			     id_of(w), commit);
	else if (term != led_term)
		rules_broken(rules,
			     "node %" PRIu64 " leads term %" PRIu64 " and commits index %" PRIu64 " of term %" PRIu64,
			     id_of(w), led_term, commit, term);
	else if (!durable_on_majority(w, commit, term))
		rules_broken(rules,
			     "node %" PRIu64 " commits index %" PRIu64 " of term %" PRIu64
			     ", which is not durable on a majority",
			     id_of(w), commit, term);
	for (uint64_t i = known + 1; i <= commit; i++) {
		rules_set(rules, &rules->committed, i, w->terms.at[i]);
		rules_set(rules, &rules->committed_in, i, led_term);
		rules->counters.committed++;
	}
}

static const struct ikada_member *self_in(const struct watched *w, const struct ikada_config *config)
{
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].id == id_of(w) && config->members[i].incarnation == w->incarnation)
			return &config->members[i];
	return NULL;
}

static bool votes(const struct ikada_member *member)
{
	return member != NULL && member->standing != IKADA_LEARNER && member->standing != IKADA_JOINING;
}

static uint32_t count_votes(const struct ikada_config *config)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < config->count; i++)
		count += votes(&config->members[i]);
	return count;
}

/* Counts what becomes of configurations. */
static void count_members(struct watched *w, const struct ikada_event *event, const struct ikada_effects *e)
{
	struct rules_counters *counters = &w->rules->counters;
	struct ikada_raft_status before, after;
	bool began = e->role == IKADA_LEADER && (w->role != IKADA_LEADER || w->term != e->term);
	bool ended = e->role != IKADA_LEADER && w->role == IKADA_LEADER;
	bool asked = event->kind == IKADA_RECEIVE && event->message->kind == IKADA_VOTE;
	if (!e->config_changed && !began && !ended && !asked && !e->installed)
		return;
	ikada_raft_status(w->before, &before);
	ikada_raft_status(w->raft, &after);
	w->joint = is_joint(&after.config);
	if (e->append == IKADA_APPEND_CONFIG) {
		counters->configs_staged += is_staged(&after.config);
		counters->configs_joint += is_joint(&after.config);
		counters->configs_final += !is_staged(&after.config) && !is_joint(&after.config);
		if (is_joint(&after.config) && count_votes(&after.config) > count_votes(&before.config))
			counters->promoted += count_votes(&after.config) - count_votes(&before.config);
	}
	if (e->config_changed && after.config.index < before.config.index)
		counters->configs_rolled_back++;
	counters->joint_taken_over += began && is_joint(&after.config);
	counters->staged_taken_over += began && is_staged(&after.config);
	counters->leaders_removed += ended && !votes(self_in(w, &after.config)) && after.term == before.term;
	counters->installs_to_learners += e->installed && !votes(self_in(w, &before.config));
	if (asked) {
		bool known = false;
		for (uint32_t i = 0; i < before.config.count; i++)
			known |= before.config.members[i].id == event->message->from &&
				 before.config.members[i].incarnation == event->message->from_incarnation &&
				 votes(&before.config.members[i]);
		counters->votes_refused_to_strangers += !known;
	}
}

static void after_step(void *context, const struct ikada_raft *raft, const struct ikada_event *event,
		       const struct ikada_effects *e)
{
	struct watched *w = context;
	struct rules *rules = w->rules;
	rules->counters.steps++;
	w->stepped = true;
	const char *wrong = raft_check(w->before, raft, event, e);
	if (wrong != NULL)
		rules_broken(rules, "node %" PRIu64 ", one step: %s", id_of(w), wrong);
	if (event->kind == IKADA_DURABLE) {
		struct ikada_raft_status status;
		ikada_raft_status(raft, &status);
		/* To the core all of a snapshot is durable at once; its ticket says when it is. */
		if (event->ticket >= w->install_ticket || status.durable_index > w->install_index)
			w->durable = status.durable_index;
	}
	count_members(w, event, e);
	if (e->append != IKADA_APPEND_NONE)
		log_changed(w, e);
	if (e->base_changed)
		base_changed(w, e);
	if (e->role == IKADA_LEADER && (w->role != IKADA_LEADER || w->term != e->term))
		began_to_lead(w, e);
	bool leads = e->role == IKADA_LEADER;
	bool led = leads || w->role == IKADA_LEADER;
	uint64_t led_term = leads ? e->term : w->term;
	w->role = e->role;
	w->term = e->term;
	if (e->commit < w->commit)
		rules_broken(rules, "node %" PRIu64 " goes back from commit %" PRIu64 " to %" PRIu64, id_of(w),
			     w->commit, e->commit);
	if (e->commit > w->commit)
		committed(w, e->commit, led, led_term);
	w->commit = e->commit;
	rules->counters.reads_granted += e->granted.count;
	rules->counters.reads_refused += e->refused_reads.count;
	if (rules->hooks.point != NULL)
		rules->hooks.point(rules->hooks.context, w->number);
}

/* ---- Messages: what is told is promised ---- */

static void voted(struct watched *w, uint64_t term, uint64_t vote)
{
	struct rules *rules = w->rules;
	if (w->vote_term == term && w->vote != vote)
		rules_broken(rules, "node %" PRIu64 " voted for %" PRIu64 " and for %" PRIu64 " in term %" PRIu64,
			     id_of(w), w->vote, vote, term);
	if (term < w->vote_term)
		return; /* An old message that waited; what it tells was checked by the core's own rules. */
	w->vote_term = term;
	w->vote = vote;
}

static void sent(void *context, const struct ikada_message *m)
{
	struct watched *w = context;
	struct rules *rules = w->rules;
	rules->counters.sent[m->kind]++;
	rules->counters.timeouts_now += m->kind == IKADA_TIMEOUT_NOW;
	bool counts = m->kind != IKADA_PREVOTE && m->kind != IKADA_PREVOTE_REPLY;
	if (counts && m->term > w->told_term)
		w->told_term = m->term;
	if (m->kind == IKADA_VOTE)
		voted(w, m->term, m->from);
	if (m->kind == IKADA_VOTE_REPLY && m->granted) {
		rules->counters.votes++;
		voted(w, m->term, m->to);
	}
	if (m->kind == IKADA_APPEND && rules_get(&rules->leaders, m->term) != id_of(w))
		rules_broken(rules, "node %" PRIu64 " sends an append of term %" PRIu64 ", which it does not lead",
			     id_of(w), m->term);
	if (m->kind == IKADA_APPEND && m->commit > rules_last(&rules->committed))
		rules_broken(rules, "node %" PRIu64 " tells of commit %" PRIu64 ", which no leader has reached",
			     id_of(w), m->commit);
	if (m->kind == IKADA_APPEND_REPLY && m->rejected)
		rules->counters.rejections++;
	/* A message leaves when its ticket is durable, before the core hears of it. */
	if (w->install_ticket != 0 && m->after >= w->install_ticket && w->durable < w->install_index)
		w->durable = w->install_index;
	if (m->kind == IKADA_APPEND_REPLY && !m->rejected && m->match_index > w->acked && m->term == w->term) {
		if (m->match_index > w->durable)
			rules_broken(rules, "node %" PRIu64 " acknowledges index %" PRIu64 ", durable is only %" PRIu64,
				     id_of(w), m->match_index, w->durable);
		w->acked = m->match_index;
	}
	if (rules->hooks.point != NULL)
		rules->hooks.point(rules->hooks.context, w->number);
}

static void snapshot_step(void *context, enum node_snapshot_step step)
{
	struct watched *w = context;
	struct rules *rules = w->rules;
	rules->counters.snapshot_steps[step]++;
	if (step == NODE_RECEIVE_BEGAN)
		w->committed_then = rules_last(&rules->committed);
	if (rules->hooks.snapshot_step != NULL)
		rules->hooks.snapshot_step(rules->hooks.context, w->number, step);
}

/* ---- Open, close, ask ---- */

struct rules *rules_create(struct mem *mem, uint32_t nodes, const struct rules_hooks *hooks)
{
	CHECK_OP(nodes, <=, (uint32_t)RULES_NODES_MAX);
	struct rules *rules = mem_zero(mem, sizeof *rules);
	rules->mem = mem;
	rules->hooks = *hooks;
	rules->count = nodes;
	for (uint32_t i = 0; i < nodes; i++) {
		struct watched *w = &rules->nodes[i];
		w->rules = rules;
		w->number = i;
		w->observer = (struct node_observer){.context = w,
						     .before_step = before_step,
						     .after_step = after_step,
						     .sent = sent,
						     .appended = appended,
						     .applied = applied,
						     .restored = restored,
						     .snapshot_step = snapshot_step};
	}
	return rules;
}

void rules_destroy(struct rules *rules)
{
	struct mem *mem = rules->mem;
	for (uint64_t i = 0; i < rules->entries_room; i++) {
		while (rules->entries[i] != NULL) {
			struct known *known = rules->entries[i];
			rules->entries[i] = known->next;
			mem_free(mem, known);
		}
	}
	for (uint32_t i = 0; i < rules->count; i++) {
		mem_free(mem, rules->nodes[i].terms.at);
		mem_free(mem, rules->nodes[i].old_terms.at);
		mem_free(mem, rules->nodes[i].before);
	}
	mem_free(mem, rules->entries);
	mem_free(mem, rules->leaders.at);
	mem_free(mem, rules->committed.at);
	mem_free(mem, rules->committed_in.at);
	mem_free(mem, rules);
}

void rules_watch(struct rules *rules, uint32_t node, struct ikada_node *ikada_node)
{
	CHECK_OP(node, <, rules->count);
	rules_ended(rules, node);
	rules->nodes[node].node = ikada_node;
	rules->nodes[node].incarnation = ikada_node->incarnation;
	/* A new node has no core yet; the core's first step tells of it. */
	if (ikada_node->raft != NULL)
		recovered(&rules->nodes[node], ikada_node->raft);
	node_observe(ikada_node, &rules->nodes[node].observer);
}

void rules_wiped(struct rules *rules, uint32_t node)
{
	struct watched *w = &rules->nodes[node];
	mem_free(rules->mem, w->old_terms.at);
	w->old_incarnation = w->incarnation;
	w->old_terms = w->terms;
	w->old_durable = w->durable;
	w->incarnation = 0;
	w->terms = (struct numbers){NULL, 0, 0};
	w->begun = w->durable = w->told_term = w->vote_term = w->vote = w->acked = 0;
}

void rules_ended(struct rules *rules, uint32_t node)
{
	struct watched *w = &rules->nodes[node];
	rules->counters.joint_leader_died += w->role == IKADA_LEADER && w->joint;
	w->node = NULL;
	w->known = false;
	w->stepped = false;
	w->install_ticket = 0;
	w->raft = NULL;
	w->role = IKADA_FOLLOWER;
	w->term = 0;
	w->commit = 0;
	w->applied = 0;
}

const char *rules_failure(const struct rules *rules)
{
	return rules->failure[0] == '\0' ? NULL : rules->failure;
}

const struct rules_counters *rules_counters(const struct rules *rules)
{
	return &rules->counters;
}

enum ikada_role rules_role(const struct rules *rules, uint32_t node, uint64_t *term)
{
	*term = rules->nodes[node].term;
	return rules->nodes[node].role;
}

uint64_t rules_commit(const struct rules *rules, uint32_t node)
{
	return rules->nodes[node].commit;
}

uint64_t rules_applied(const struct rules *rules, uint32_t node)
{
	return rules->nodes[node].applied;
}

uint64_t rules_committed(const struct rules *rules)
{
	return rules_last(&rules->committed);
}

uint64_t rules_incarnation(const struct rules *rules, uint32_t node)
{
	return rules->nodes[node].incarnation;
}
