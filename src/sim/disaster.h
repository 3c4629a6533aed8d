/*
 * Once in some runs, a majority of the disks is lost for ever, under load and beside all other faults, and
 * ikada_node_recover makes a new cluster of the survivors, one or several: in any order, with crashes in the middle of
 * it, after which it is done again. Then they start, and the lost ones come back with their old disks: as a majority of
 * what was, and strangers to what is.
 *
 * What must be left is for rules_recover.c to judge. If something that was committed is lost, what clients saw before
 * is judged by itself (history_begin_anew); if nothing is, all must be linearizable across the recovery.
 */
#ifndef IKADA_SIM_DISASTER_H
#define IKADA_SIM_DISASTER_H

#include "sim/churn.h"
#include "sim/clients.h"
#include "sim/cluster.h"

struct disaster;

struct disaster_counters {
	uint64_t recovered;		  /* Clusters, ... */
	uint64_t of_one, of_two, of_more; /* ... of so many survivors. */
	uint64_t different;		  /* Their logs were. */
	uint64_t died;			  /* In the middle of it. */
	uint64_t losing;		  /* Entries that had been committed were lost, ... */
	uint64_t lost;			  /* ... so many. */
	uint64_t called_off;		  /* No survivor had a log, or those who had were a majority after all. */
};

/* `hurry`: as of faults. */
struct disaster *disaster_create(struct cluster *cluster, struct clients *clients, struct history *history,
				 struct churn *churn, uint64_t hurry, uint64_t seed);
void disaster_destroy(struct disaster *disaster); /* After sim_destroy. */
void disaster_start(struct disaster *disaster);
/* None begins from now on. */
void disaster_end(struct disaster *disaster);
const struct disaster_counters *disaster_counters(const struct disaster *disaster);
/* What began came to its end, and the lost ones are out; else `failure` is set. */
void disaster_judge(const struct disaster *disaster, char *failure, size_t size);

#endif
