/*
 * Every run of a small cluster, one after another: all orders of what can happen to three bare cores, within bounds. In
 * each state the five rules of Figure 3 of the paper must hold, and raft_check after each step.
 *
 * What can happen: a message arrives, in any order; it is lost, which shows only where a link is full; a disk completes
 * what waits, or the oldest of it; a node crashes and is back at once with what its disk had, and perhaps some of what
 * it had not completed; an election timer fires; a leader gives up; a client proposes; a leader beats, a candidate asks
 * again; a node learns of a higher term. An append carries any prefix of the entries there are.
 *
 * Time is free: a timer may fire at any moment, and nobody is loyal to a leader by the clock (such loyalty only makes
 * requests go unanswered, as loss does). Pre-votes are granted at once, without messages, whoever asks: they only keep
 * members from campaigning, and here all that could campaign may. Both only add runs to those of real clusters.
 *
 * States are known by 64 bits of hash of their canonical bytes, the smallest over the six namings of the nodes; in a
 * large set by somewhat more than 60 of them (exhaust_set.c).
 */
#ifndef IKADA_SIM_EXHAUST_H
#define IKADA_SIM_EXHAUST_H

#include <stdbool.h>
#include <stdint.h>

/* When what is written is durable. */
enum exhaust_disks {
	EXHAUST_AT_ONCE,
	/*
	 * A leader's own entries, which it sends before, at any later time. What others write shows only when it is
	 * durable, but for what a follower says of entries that are verified and not yet durable.
	 */
	EXHAUST_LEADERS_LATE,
	EXHAUST_ALL_LATE,
};

struct exhaust_bounds {
	uint32_t terms;	    /* At most 6. Beyond, nobody campaigns. */
	uint32_t entries;   /* At most 6, in each log. What grows beyond is judged, and not followed. */
	uint32_t timeouts;  /* Of election timers, in a run. */
	uint32_t restarts;  /* In a run. */
	uint32_t in_flight; /* Messages on each way, at most 3. */
	uint32_t beats;	    /* In a run. */
	enum exhaust_disks disks;
	bool raft_check; /* The core's own rules, after each step. */
	bool plain;	 /* Without reductions, to compare: very many more states. */
	bool whole_past; /* Who has led which term is never forgotten, to compare by it: more states. */
};

struct exhaust_result {
	bool failed;
	bool whole; /* All states within the bounds were seen. */
	char failure[512];
	uint64_t states, steps, beyond, depth;
	uint64_t at_depth, waiting; /* While it goes on: of the path, and states beside it that are to be followed. */
	uint64_t bytes;		    /* Of memory. */
	uint64_t leaders, commits, cut; /* How often that was: leaders began, entries were committed, logs cut. */
};

struct exhaust_hooks {
	void *context;
	/* After a failure: the run that led there, a line for each thing that happened. */
	void (*trace)(void *context, const char *text);
	/* Now and then. False: enough. */
	bool (*progress)(void *context, const struct exhaust_result *so_far);
	/* Of each new state: a hash of the logs on the disks and, with whole_past, of who has led when. May be NULL. */
	void (*view)(void *context, uint64_t hash);
};

/* At most `bytes` of memory for the set of states; when that is full it ends, not whole. */
void exhaust(const struct exhaust_bounds *bounds, uint64_t bytes, const struct exhaust_hooks *hooks,
	     struct exhaust_result *result);

#endif
