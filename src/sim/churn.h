/*
 * Members of a simulated cluster that change while faults strike: they are added, also as learners, promoted, demoted,
 * removed; their disks are wiped, and they are replaced; leadership is handed on. One disk at a time is new and not
 * replaced yet, so that what was acknowledged is never only there. churn_end finishes what was begun, and begins
 * nothing.
 */
#ifndef IKADA_SIM_CHURN_H
#define IKADA_SIM_CHURN_H

#include "sim/cluster.h"

struct churn;

struct churn_counters {
	uint64_t asked; /* Of a leader. */
	uint64_t refused;
	uint64_t adds, learners, promotions, demotions, removals, replacements, transfers;
	uint64_t wipes;
	uint64_t came; /* Became members. */
	uint64_t left;
	uint64_t overlapping; /* Changes of one that was under way. */
};

/* `hurry`: as of faults. */
struct churn *churn_create(struct cluster *cluster, uint64_t hurry, uint64_t seed);
void churn_destroy(struct churn *churn); /* After sim_destroy. */
void churn_start(struct churn *churn);
void churn_end(struct churn *churn);
/* Nothing is begun or finished meanwhile. */
void churn_pause(struct churn *churn, bool paused);
/* Those who are not lost are the members of a new cluster, or come to it by themselves. */
void churn_recovered(struct churn *churn);
const struct churn_counters *churn_counters(const struct churn *churn);
/* Since when nobody is coming; UINT64_MAX: somebody is. */
uint64_t churn_done_ns(const struct churn *churn);
/* Everything that was begun is done; else `failure` is set. */
void churn_judge(const struct churn *churn, char *failure, size_t size);

#endif
