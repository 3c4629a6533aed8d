/*
 * One run of the simulation: a cluster, its clients and its faults, all from one seed; 60 virtual seconds, of which the
 * first 40 have faults. Progress is demanded of the last 20; then everything seen is judged. A short run is 6 seconds,
 * 4 of them with faults, which come, and go, eight times as fast. If members change, the calm of a short run waits for
 * those who are yet to become members, up to 3 s; and in one run of four a majority is lost for ever: disaster.h.
 */
#ifndef IKADA_SIM_RUN_H
#define IKADA_SIM_RUN_H

#include "sim/churn.h"
#include "sim/cluster.h"
#include "sim/disaster.h"
#include "sim/faults.h"
#include "sim/history.h"
#include "sim/rules.h"
#include "sim/sim_env.h"

enum run_profile {
	RUN_FAULTS,
	RUN_CHURN, /* Members change, too. */
	RUN_ALL,   /* The seed decides which. */
};

struct run_settings {
	uint64_t seed;
	uint32_t nodes; /* 0: the seed decides. */
	bool brief;	/* A short run. */
	enum run_profile profile;
	/* One readable line for each event and log line; NULL: none. */
	void (*trace)(void *context, const char *text);
	void *trace_context;
};

enum { RUN_FAILURE_BYTES = 16384 };

struct run_result {
	bool failed;
	char failure[RUN_FAILURE_BYTES]; /* What was wrong: a sentence, then perhaps lines of evidence. */
	uint64_t virtual_ns;
	uint64_t trace_hash;
	uint32_t nodes;
	uint64_t faults[FAULT_KINDS];
	uint64_t deaths[NODE_SNAPSHOT_STEPS]; /* At each step of taking or receiving a snapshot. */
	struct sim_counters sim;
	struct rules_counters rules;
	struct cluster_counters cluster;
	struct history_counters history;
	struct churn_counters churn;
	struct disaster_counters disaster;
};

void run_seed(const struct run_settings *settings, struct run_result *result);

#endif
