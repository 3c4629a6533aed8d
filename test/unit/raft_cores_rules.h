/* The rules that hold over all cores together, after each step. Part of raft_cores.h. */
#ifndef IKADA_TEST_RAFT_CORES_RULES_H
#define IKADA_TEST_RAFT_CORES_RULES_H

#include "raft_cores_state.h"

/* Log matching: an (index, term) has one value, and one term before it. */
static inline void cores_see(struct cores *cores, const struct core *core, uint64_t index)
{
	if (cores->forged)
		return;
	while (cores->seen_count < index) {
		cores->seen = realloc(cores->seen, (cores->seen_count + 1) * sizeof *cores->seen);
		cores->seen[cores->seen_count++] = (struct core_log){0};
	}
	const struct core_entry *entry = &core->log.entries[index - 1];
	uint64_t before = core_log_term(&core->log, index - 1);
	struct core_log *seen = &cores->seen[index - 1];
	/* Pairs: the entry itself, then the term before it. */
	for (uint64_t i = 0; i < seen->count; i += 2) {
		if (seen->entries[i].term != entry->term)
			continue;
		if (seen->entries[i].value != entry->value || seen->entries[i + 1].term != before)
			cores_break(cores, "log matching: entry %" PRIu64 " of term %" PRIu64 " is two entries", index,
				    entry->term);
		return;
	}
	core_log_add(seen, entry->term, entry->value);
	core_log_add(seen, before, 0);
}

static inline void cores_check_leader(struct cores *cores, uint64_t at)
{
	const struct core *core = &cores->core[at];
	uint64_t term = core->effects.term;
	if (term >= CORES_TERMS_MAX) {
		cores_break(cores, "the test has no room for term %" PRIu64, term);
		return;
	}
	if (cores->leader_of[term] == core->incarnation || cores->forged)
		return;
	if (cores->leader_of[term] != 0)
		cores_break(cores, "election safety: incarnations %" PRIu64 " and %" PRIu64 " lead term %" PRIu64,
			    cores->leader_of[term], core->incarnation, term);
	cores->leader_of[term] = core->incarnation;
	for (uint64_t i = 0; i < cores->committed.count; i++)
		if (core_log_term(&core->log, i + 1) != cores->committed.entries[i].term)
			cores_break(cores,
				    "leader completeness: %" PRIu64 " leads term %" PRIu64 " without entry %" PRIu64,
				    at, term, i + 1);
}

/* Whether an entry is on the disks of a majority of those who vote, on both sides if there are two. */
static inline bool cores_on_majority(const struct cores *cores, const struct ikada_config *config, uint64_t index,
				     uint64_t term)
{
	int old = 0;
	int new = 0;
	bool joint = false;
	for (uint32_t i = 0; i < config->count; i++) {
		const struct ikada_member *member = &config->members[i];
		uint64_t at = cores_find(cores, member->id, member->incarnation);
		int one = at != 0 && core_log_term(&cores->core[at].disk, index) == term ? 1 : -1;
		bool goes = member->standing == IKADA_LEAVING || member->standing == IKADA_OUTGOING ||
			    member->standing == IKADA_DEMOTING;
		joint |= member->standing >= IKADA_INCOMING;
		old += member->standing == IKADA_VOTER || goes ? one : 0;
		new += member->standing == IKADA_VOTER || member->standing == IKADA_INCOMING ? one : 0;
	}
	return old > 0 && (new > 0 || !joint);
}

static inline void cores_check_commit(struct cores *cores, uint64_t at, uint64_t commit)
{
	const struct core *core = &cores->core[at];
	/* A configuration that follows in the same step comes after. */
	bool followed = core->effects.append == IKADA_APPEND_CONFIG;
	const struct ikada_config *config = followed ? &core->before->config : &core->raft->config;
	for (uint64_t i = 0; i < commit && i < core->log.count && !cores->forged; i++) {
		const struct core_entry *entry = &core->log.entries[i];
		if (i < cores->committed.count) {
			if (cores->committed.entries[i].term != entry->term ||
			    cores->committed.entries[i].value != entry->value)
				cores_break(cores, "state machine safety: %" PRIu64 " commits another entry %" PRIu64,
					    at, i + 1);
			continue;
		}
		if (!cores_on_majority(cores, config, i + 1, entry->term))
			cores_break(cores, "entry %" PRIu64 " is committed, but not on the disks of a majority", i + 1);
		core_log_add(&cores->committed, entry->term, entry->value);
	}
}

/* The configuration in force is the last one in the log, which the core does not know, but the driver does. */
static inline void cores_check_config(struct cores *cores, uint64_t at)
{
	const struct core *core = &cores->core[at];
	struct ikada_config config = core_config_at(cores, core, core->log.count);
	if (core->status.config.index != config.index || core->status.config.count != config.count)
		cores_break(cores,
			    "%" PRIu64 " has the configuration of entry %" PRIu64 " in force, its log that of %" PRIu64,
			    at, core->status.config.index, config.index);
}

/* No message says what the disk could deny after a crash. */
static inline void cores_check_promise(struct cores *cores, const struct core *core, const struct ikada_message *m)
{
	bool later = core->disk_term > m->term;
	bool kept = core->disk_term == m->term;
	switch (m->kind) {
	case IKADA_PREVOTE:
	case IKADA_PREVOTE_REPLY:
	case IKADA_SNAPSHOT:
		return;
	case IKADA_APPEND:
	case IKADA_VOTE:
	case IKADA_TIMEOUT_NOW:
		if (!later &&
		    (!kept || core->disk_vote != m->from || core->disk_vote_incarnation != m->from_incarnation))
			cores_break(cores, "%" PRIu64 " asks as of term %" PRIu64 " before its vote is durable",
				    m->from, m->term);
		return;
	case IKADA_VOTE_REPLY:
		if (m->granted && !later &&
		    (!kept || core->disk_vote != m->to || core->disk_vote_incarnation != m->to_incarnation))
			cores_break(cores, "%" PRIu64 " grants a vote before it is durable", m->from);
		return;
	case IKADA_APPEND_REPLY:
		if (!later && (!kept || core->disk.count < m->match_index))
			cores_break(cores, "%" PRIu64 " acknowledges %" PRIu64 " before it is durable", m->from,
				    m->match_index);
		return;
	}
}

#endif
