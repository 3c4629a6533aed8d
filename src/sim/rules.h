/*
 * The rules of Figure 3 of the paper, held against all nodes of a simulated cluster at once, and the promises that a
 * node must keep across crashes. Fed by what the observer of each node sees (node/observe.h):
 *
 *	election safety		one leader in each term
 *	leader append-only	a leader never cuts its log
 *	log matching		one entry and one predecessor for each (index, term)
 *	leader completeness	what was committed in a term is in the log of the leaders of all later terms
 *	state machine safety	one entry applied at each index, in order, never beyond what is committed
 *	commitment		a leader commits entries of its own term that are durable on a majority
 *	promises		votes, terms and entries that a message told of are there after a crash
 *	snapshots		a state is loaded, and a log begins, only behind what is committed
 *
 * and, after each step of a core, raft_check. The first thing that breaks a rule is kept as a sentence.
 */
#ifndef IKADA_SIM_RULES_H
#define IKADA_SIM_RULES_H

#include "base/mem.h"
#include "ikada/node.h"
#include "node/observe.h"

#include <stdbool.h>
#include <stdint.h>

struct rules;

enum { RULES_NODES_MAX = 9 };

/* How often the states were reached in which mistakes show. */
struct rules_counters {
	uint64_t steps;
	uint64_t leaders;
	uint64_t led_with_tail;	     /* A leader began with entries of older terms not known to be committed. */
	uint64_t led_with_held_tail; /* ... that a majority holds durably, and counting would commit (figure 8). */
	uint64_t two_leaders;	     /* A leader began while another still believed it was one. */
	uint64_t truncations;	     /* Logs cut. */
	uint64_t truncated_durable;  /* ... below an entry that was durable. */
	uint64_t votes;
	uint64_t rejections;	    /* Appends that did not fit the receiver's log. */
	uint64_t recoveries;	    /* Of a log with entries. */
	uint64_t recovered_shorter; /* ... that had lost unsynced entries. */
	uint64_t entries;
	uint64_t committed;
	uint64_t reads_granted;
	uint64_t reads_refused;
	uint64_t snapshot_steps[NODE_SNAPSHOT_STEPS];
	uint64_t compactions;
	uint64_t installs;		      /* Of a leader's snapshot, in the place of the log ... */
	uint64_t installs_keeping;	      /* ... up to there; what lay behind it agreed. */
	uint64_t installs_in_writes;	      /* Entries were committed while it was received. */
	uint64_t loads_at_start;	      /* Starts from a snapshot. */
	uint64_t loads;			      /* Of the state in a running node. */
	uint64_t sent[IKADA_TIMEOUT_NOW + 1]; /* Messages, by kind. */
	/* Members, on leaders: */
	uint64_t configs_staged, configs_joint, configs_final; /* Appended. */
	uint64_t configs_rolled_back;			       /* On any node: cut off the log. */
	uint64_t joint_leader_died;			       /* A leader whose configuration is joint ended. */
	uint64_t joint_taken_over;			       /* A leader began in a joint configuration. */
	uint64_t staged_taken_over;			       /* ... in a staged one. */
	uint64_t promoted;				       /* Learners and those who joined that came to vote. */
	uint64_t installs_to_learners;	     /* On a node that does not vote, or knows of no configuration. */
	uint64_t leaders_removed;	     /* A leader stepped down that is no voter any more. */
	uint64_t votes_refused_to_strangers; /* Requests to vote by who is no voter of the receiver's configuration. */
	uint64_t timeouts_now;
};

struct rules_hooks {
	void *context;
	/* At the end of each step, and after each message sent; may crash the node, and so not return. May be NULL. */
	void (*point)(void *context, uint32_t node);
	/* After a step of taking or receiving a snapshot; may crash the node. May be NULL. */
	void (*snapshot_step)(void *context, uint32_t node, enum node_snapshot_step step);
};

struct rules *rules_create(struct mem *mem, uint32_t nodes, const struct rules_hooks *hooks);
void rules_destroy(struct rules *rules);

/* A new process of node number `node` (from 0; its id is one more): sets its observer. Call before its first turn. */
void rules_watch(struct rules *rules, uint32_t node, struct ikada_node *ikada_node);
/* Its disk is new: it is another incarnation, which has promised nothing. What the old one had is kept in mind. */
void rules_wiped(struct rules *rules, uint32_t node);
/* It has ended. */
void rules_ended(struct rules *rules, uint32_t node);

/* ---- A majority is lost for ever, and ikada_node_recover makes a new cluster: rules_recover.c ---- */

/* It has an entry that others may count on, since its disk is new. */
bool rules_promised(const struct rules *rules, uint32_t node);
/* What was found on a survivor's disk: all that it had promised must be there. */
void rules_survivor(struct rules *rules, uint32_t node, const struct ikada_recovery *found);
struct rules_survivors {
	uint32_t count;
	uint32_t numbers[RULES_NODES_MAX];
	struct ikada_recovery found[RULES_NODES_MAX]; /* On their disks, by number of the node. */
};
/*
 * Rules for the new cluster, which begins with the log of node `begins`, as `opened` has it. What must be left, is; of
 * what was committed, *lost entries are not. The lost nodes stay with the old rules, which must live on.
 */
struct rules *rules_recovered(const struct rules *old, const struct rules_survivors *survivors, uint32_t begins,
			      const struct ikada_node *opened, uint64_t *lost);

/* The first broken rule, as a sentence; NULL: none. */
const char *rules_failure(const struct rules *rules);
const struct rules_counters *rules_counters(const struct rules *rules);

/* What the node is, as of its last step; a follower in term 0 when it is down. */
enum ikada_role rules_role(const struct rules *rules, uint32_t node, uint64_t *term);
uint64_t rules_commit(const struct rules *rules, uint32_t node);
uint64_t rules_applied(const struct rules *rules, uint32_t node);
uint64_t rules_incarnation(const struct rules *rules, uint32_t node); /* 0: it has not run since its disk is new. */
/* The highest index that any leader has committed. */
uint64_t rules_committed(const struct rules *rules);

#endif
