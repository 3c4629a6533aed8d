/* What `ikada sim` can do besides seeds. Each returns an exit status. */
#ifndef IKADA_CLI_SIM_H
#define IKADA_CLI_SIM_H

#include <stdbool.h>
#include <stdint.h>

struct sim_labs_settings {
	const char *lab; /* A name, "all", or "list". */
	uint64_t seed;	 /* Of the first run; then come the next ones. */
	uint64_t runs;	 /* Of each lab. */
	uint32_t jobs;
	bool trace;
	bool stop_at_failure;
};
int sim_labs(const struct sim_labs_settings *settings);

struct sim_exhaust_settings {
	uint32_t terms, entries, timeouts, restarts, in_flight, beats;
	bool raft_check;
};
int sim_exhaust(const struct sim_exhaust_settings *settings);

struct sim_elections_settings {
	uint64_t seed;
	uint32_t trials; /* For each range and each way to crash. */
	uint32_t jobs;
	const char *svg; /* Where a plot goes; NULL: nowhere. */
};
int sim_elections(const struct sim_elections_settings *settings);

struct sim_graphs_settings {
	uint64_t seed; /* Of the first run; then come the next ones. */
	uint64_t runs; /* Of each graph. */
	uint32_t jobs;
	bool cut; /* The graph is cut into a cluster that runs; failures are printed, not judged. */
};
int sim_graphs(const struct sim_graphs_settings *settings);

struct sim_real_time_settings {
	uint64_t seed;
	uint32_t clusters;
	uint64_t seconds;
};
int sim_real_time(const struct sim_real_time_settings *settings);

#endif
