/*
 * Many runs, in processes of their own, so that a check that fails ends only its run. A process runs one task after the
 * other, and goes with the one that fails a check. What it says on stderr is kept and handed on with the failure.
 */
#ifndef IKADA_CLI_SIM_JOBS_H
#define IKADA_CLI_SIM_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIM_JOBS_MAX = 64 };

/* What to run: a number that says which, and a seed. */
struct sim_task {
	uint32_t which;
	uint64_t seed;
};

/* How a task ended. */
struct sim_ended {
	struct sim_task task;
	const void *result; /* NULL: there is none, and `why` tells. */
	char why[64];
	const char *said; /* What it said, a string. */
};

struct sim_jobs {
	uint32_t jobs; /* At a time. */
	size_t result_bytes;
	void *context;
	bool (*next)(void *context, struct sim_task *task); /* False: there is no more. */
	/* In the process of the task. `result` is cleared, and holds no pointers. */
	void (*run)(void *context, const struct sim_task *task, void *result);
	bool (*ended)(void *context, const struct sim_ended *ended); /* False: no more are to be started. */
};

/* Runs all. Returns 0, or the number of the signal, INT or TERM, that ended it. */
int sim_jobs_run(const struct sim_jobs *jobs);

#endif
