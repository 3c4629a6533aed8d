/*
 * A process on a host of a cluster, in the place of its server, that looks at the data directory, or recovers it
 * (ikada_node_recover). It may die between two changes of directories.
 */
#ifndef IKADA_SIM_ATTEMPT_H
#define IKADA_SIM_ATTEMPT_H

#include "ikada/node.h"
#include "sim/cluster.h"

struct attempt {
	/* Set before attempt_open: */
	const char *survivors; /* NULL: it looks. */
	bool does;	       /* Else it tells what it would do. */
	uint32_t dies_after;   /* So many changes; 0: it does not. */
	enum sim_crash dies_how;
	/* Afterwards: */
	struct member *member;
	struct ikada_node *node; /* NULL: it cannot be done, for the reason in `error`. */
	bool done;		 /* What it does is durable. */
	bool died;		 /* Of these changes. */
	struct ikada_recovery told;
	char error[512];
	/* The operations of its env, counted, and those below. */
	struct env_ops ops;
	const struct env_ops *below;
};

/* False: the process has ended inside. `attempt` must not move until it is closed, or has ended. */
bool attempt_open(struct attempt *attempt, struct member *member);
void attempt_close(struct attempt *attempt);

#endif
