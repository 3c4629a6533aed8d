/*
 * What the core knows of its log: the term of each entry, as runs, and how far the log is durable.
 *
 * Runs ascend strictly in index and in term; adjacent runs differ in term.
 *
 * Durability (the design's one rule). Entries above durable_index carry the ticket of the step that appended them last,
 * as tags: a tag reaches from its `first` to the next tag's, or to the end. Cutting the log drops tags, and a ticket
 * that becomes durable later no longer finds them: so entry 5 of term 1 may be written, replaced, and written again,
 * and only its last writing counts. Index and term are never asked.
 *
 * Invariant: tags cover exactly durable_index + 1 .. last_index and ascend strictly in `first` and in `ticket`. They
 * lie in a ring, for they come at one end and go at the other.
 * A full table of tags is halved by joining neighbours under the later ticket, which is late but never early.
 *
 * The table of runs lies elsewhere in the same block of memory, at an offset: the whole can be copied byte by byte.
 */
#ifndef IKADA_RAFT_LOG_H
#define IKADA_RAFT_LOG_H

#include "ikada/raft.h"

enum { LOG_TAGS = 256 };

struct log_tag {
	uint64_t first;
	uint64_t ticket;
};

struct raft_log {
	uint64_t base_index, base_term; /* The log starts after this entry. */
	uint64_t last_index;
	uint64_t durable_index;
	uint64_t runs_offset; /* From this structure to the table of runs. */
	uint32_t run_count, run_limit;
	uint32_t tag_start, tag_count;
	struct log_tag tags[LOG_TAGS];
};

static inline struct ikada_run *raft_log_runs(const struct raft_log *log)
{
	return (struct ikada_run *)(void *)((char *)(uintptr_t)log + log->runs_offset);
}

/* The tag number i of those there are. */
static inline struct log_tag *raft_log_tag(const struct raft_log *log, uint32_t i)
{
	return (struct log_tag *)(uintptr_t)&log->tags[(log->tag_start + i) % LOG_TAGS];
}

/* An empty, durable log after the given entry. runs_offset and run_limit are set already. */
void raft_log_init(struct raft_log *log, uint64_t base_index, uint64_t base_term);

/* The term of an entry; 0 if the log does not have it. The base counts as had. */
uint64_t raft_log_find_term(const struct raft_log *log, uint64_t index); /* The same, of what is not beyond the end. */
static inline uint64_t raft_log_term(const struct raft_log *log, uint64_t index)
{
	if (index > log->last_index)
		return 0;
	/* Nearly always the question is about the newest run. */
	if (log->run_count > 0 && raft_log_runs(log)[log->run_count - 1].first <= index)
		return raft_log_runs(log)[log->run_count - 1].term;
	return raft_log_find_term(log, index);
}
static inline uint64_t raft_log_last_term(const struct raft_log *log)
{
	return raft_log_term(log, log->last_index);
}

/* The first and the last entry of the run that holds an index the log has; the base stands alone. */
uint64_t raft_log_run_first(const struct raft_log *log, uint64_t index);
uint64_t raft_log_run_last(const struct raft_log *log, uint64_t index);

/* The largest index, at most `index` and at least the base, whose term is at most `term`. */
uint64_t raft_log_floor(const struct raft_log *log, uint64_t index, uint64_t term);

/* Would entries of `term` find room in the table of runs if the log were cut before `first`? */
bool raft_log_has_room(const struct raft_log *log, uint64_t first, uint64_t term);

/* Removes the entries from `first` on. */
void raft_log_cut(struct raft_log *log, uint64_t first);

/* The log starts after an entry it has, from now on; what comes up to there is durable elsewhere. */
void raft_log_compact(struct raft_log *log, uint64_t index);

/* Adds entries of `term` up to `last`; there is room, `term` is not below the last term, tickets never fall. */
void raft_log_append(struct raft_log *log, uint64_t last, uint64_t term, uint64_t ticket);

/* All tickets up to this one are durable. */
void raft_log_durable(struct raft_log *log, uint64_t ticket);

#endif
