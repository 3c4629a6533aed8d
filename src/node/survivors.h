/*
 * What is left of a cluster that has lost its majority for ever, as text: each survivor tells of its log in a word, and
 * from the same words every one of them derives the same: who begins the new cluster, its id, and as which incarnations
 * the others come to it.
 *
 * A word: ID=HOST:PORT/CLUSTER/INCARNATION/TERM/LAST/KNOWN:TERM+FIRST:TERM.../CHECK
 *	the address for peers, which may be changed;
 *	cluster id and incarnation, in hexadecimal, and the highest term that this node has seen;
 *	the index of its last entry;
 *	the highest index that it knows to be committed, with its term, and then the first index of each later term;
 *	CRC-32C of all that without the address, in hexadecimal.
 *
 * Who begins: of those whose log has all that any of them knows to be committed, the one whose log ends in the highest
 * term, and of these the longest. Why just that one: docs/membership.md.
 */
#ifndef IKADA_NODE_SURVIVORS_H
#define IKADA_NODE_SURVIVORS_H

#include "ikada/node.h"
#include "wire/wire.h"

enum { SURVIVOR_RUNS_MAX = 64 };

struct survivor {
	uint64_t id;
	uint64_t incarnation;
	uint64_t cluster_id;
	uint64_t term;
	uint64_t last_index;
	uint64_t known; /* Known to be committed. */
	uint32_t run_count;
	struct ikada_run runs[SURVIVOR_RUNS_MAX]; /* Of known .. last_index. */
	char address[WIRE_ADDRESS_BYTES + 1];
};

struct survivors {
	uint32_t count;
	struct survivor at[IKADA_VOTERS_MAX]; /* By id. */
	uint32_t begins;		      /* Its place. */
	uint64_t cluster_id;		      /* The new one. */
};

static inline uint64_t survivor_last_term(const struct survivor *survivor)
{
	return survivor->runs[survivor->run_count - 1].term;
}

/* At most IKADA_SURVIVOR_BYTES, with its end. */
void survivor_put(char *text, const struct survivor *survivor);
/* Words with commas between. False with a line in `error`: who cannot be, or cannot all be of one cluster. */
bool survivors_parse(struct survivors *survivors, const char *text, char *error, size_t error_size);
/* NULL: it is not among them. */
const struct survivor *survivors_find(const struct survivors *survivors, uint64_t id);
/* As which the survivor is a member of the new cluster. */
uint64_t survivors_incarnation(const struct survivors *survivors, const struct survivor *survivor);
/* The same node, with the same log; its address does not count. */
bool survivor_same(const struct survivor *a, const struct survivor *b);

#endif
