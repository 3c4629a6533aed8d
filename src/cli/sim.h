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

#endif
