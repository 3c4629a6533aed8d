/* What rules.c and rules_recover.c share: what is kept of a cluster while it is watched. */
#ifndef IKADA_SIM_RULES_INTERNAL_H
#define IKADA_SIM_RULES_INTERNAL_H

#include "sim/rules.h"

/* A growing array of 64-bit numbers, from index 0. */
struct numbers {
	uint64_t *at;
	uint64_t size, room;
};

/* An entry that was in some log. */
struct known {
	uint64_t term;
	uint64_t hash;
	uint64_t prev_term;
	struct known *next; /* Another of the same index. */
};

struct watched {
	struct rules *rules;
	uint32_t number;
	struct node_observer observer;
	/* Of the process. */
	struct ikada_node *node;
	bool known;   /* Its core has been seen, ... */
	bool stepped; /* ... at work. */
	const struct ikada_raft *raft;
	enum ikada_role role;
	bool joint; /* Its configuration, if it leads. */
	uint64_t term;
	uint64_t commit;
	uint64_t applied;
	uint64_t committed_then; /* When the snapshot that is being received began to come. */
	uint64_t install_ticket; /* When this is durable, so is the log up to the snapshot in its place, ... */
	uint64_t install_index;	 /* ... which reaches so far. */
	/* Of the log: terms.at[i] is that of entry i; durable as the core was told. */
	struct numbers terms;
	uint64_t begun; /* Up to here they are those committed: the log has begun behind it. */
	uint64_t durable;
	/* Promises, of this incarnation. */
	uint64_t incarnation; /* 0: not known yet. */
	uint64_t told_term;
	uint64_t vote_term, vote;
	uint64_t acked;
	/* Of the incarnation before, which a leader may yet count. */
	uint64_t old_incarnation;
	struct numbers old_terms;
	uint64_t old_durable;
	/* The core before the step under way. */
	struct ikada_raft *before;
	size_t before_bytes;
};

struct rules {
	struct mem *mem;
	struct rules_hooks hooks;
	uint32_t count;
	struct watched nodes[RULES_NODES_MAX];
	struct numbers leaders; /* By term: the leader's id, 0 none. */
	struct known **entries; /* By index. */
	uint64_t entries_room;
	struct numbers committed;    /* By index: the entry's term. */
	struct numbers committed_in; /* By index: the term of the leader that committed it. */
	struct rules_counters counters;
	char failure[512];
};

static inline uint64_t rules_get(const struct numbers *n, uint64_t index)
{
	return index < n->size ? n->at[index] : 0;
}

static inline uint64_t rules_last(const struct numbers *n)
{
	return n->size == 0 ? 0 : n->size - 1;
}

void rules_set(struct rules *rules, struct numbers *n, uint64_t index, uint64_t value);
/* A copy of it becomes known. */
void rules_add_known(struct rules *rules, uint64_t index, const struct known *entry);
/* The first sentence stays. */
__attribute__((format(printf, 2, 3))) void rules_broken(struct rules *rules, const char *format, ...);

#endif
