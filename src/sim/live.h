/*
 * A small cluster that lives by a clock of the owner's: the real one, on a machine that may be too busy for it. Network
 * and disks are those of the simulation; what comes late comes as late as the owner. Nothing fails, so every election
 * after the first is one for nothing. Several lives know nothing of each other and may be led by different threads.
 */
#ifndef IKADA_SIM_LIVE_H
#define IKADA_SIM_LIVE_H

#include <stdbool.h>
#include <stdint.h>

struct live;

struct live_report {
	char failure[512]; /* A rule was broken, or a node ended; empty: not so. */
	uint64_t leaders;
	uint64_t commits; /* Values that were applied by somebody. */
	uint64_t late_max_ns;
	uint64_t events;
};

/* Three nodes; somebody proposes something every `propose_ns`. The clock starts at 0. */
struct live *live_create(uint64_t seed, uint64_t propose_ns);
void live_destroy(struct live *live);
/* When it has something to do next. */
uint64_t live_next(const struct live *live);
/* It is `now_ns`, not before what was said the last time. */
void live_go_on(struct live *live, uint64_t now_ns);
void live_look(const struct live *live, struct live_report *report);

#endif
