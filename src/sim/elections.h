/*
 * How long a cluster is without a leader, by the method of the paper (9.3 and Figure 16): five servers, a broadcast of
 * about 15 ms, most of it disk (a candidate writes its vote, sends, and is answered when that is written, too); the
 * leader crashes at a random moment of its heartbeat interval, which is half of the shortest election timeout, after a
 * broadcast that all have received at once, and after an entry that only two of the four others have, so that the other
 * two cannot be elected. Measured is the time from the crash to the next leader.
 */
#ifndef IKADA_SIM_ELECTIONS_H
#define IKADA_SIM_ELECTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum { ELECTIONS_TRIALS_MAX = 1000, ELECTIONS_FAILURE_BYTES = 512 };

struct elections_settings {
	uint64_t seed;
	uint32_t trials;
	uint32_t min_ms, max_ms; /* Election timeouts. */
	/* The leader's process dies, and its connections are closed; else its host vanishes. */
	bool hints;
	/* Else whoever campaigns is granted all pre-votes as soon as it asks. */
	bool prevote;
};

struct elections_result {
	bool failed;
	char failure[ELECTIONS_FAILURE_BYTES];
	uint64_t virtual_ns;
	uint32_t count;
	uint64_t ns[ELECTIONS_TRIALS_MAX]; /* In the order of the trials. */
};

void elections_run(const struct elections_settings *settings, struct elections_result *result);

#endif
