/* `ikada sim --lab`: one lab or all, many times, each time with another seed. */
#include "cli/sim.h"

#include "cli/flags.h"
#include "cli/sim_jobs.h"
#include "sim/labs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct plan {
	uint32_t first, last; /* Labs. */
	uint32_t lab;
	uint64_t seed_first, seed_next, seed_last;
	bool stop_at_failure;
	uint64_t runs, failed, virtual_ns;
};

static bool next(void *context, struct sim_task *task)
{
	struct plan *plan = context;
	if (plan->seed_next > plan->seed_last) {
		plan->seed_next = plan->seed_first;
		plan->lab++;
	}
	if (plan->lab > plan->last)
		return false;
	task->which = plan->lab;
	task->seed = plan->seed_next++;
	return true;
}

static void run(void *context, const struct sim_task *task, void *result)
{
	const struct lab_settings settings = {.seed = task->seed};
	labs_run(task->which, &settings, result);
}

static bool ended(void *context, const struct sim_ended *e)
{
	struct plan *plan = context;
	const struct lab_result *result = e->result;
	plan->runs++;
	if (result != NULL)
		plan->virtual_ns += result->virtual_ns;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%s, %" PRIu64 " runs, %" PRIu64 " failed ", labs_name(e->task.which),
			plan->runs, plan->failed);
	if (result != NULL && !result->failed)
		return true;
	plan->failed++;
	printf("%s, seed %" PRIu64 " failed: %s\n", labs_name(e->task.which), e->task.seed,
	       result != NULL ? result->failure : e->why);
	if (e->said[0] != '\0')
		printf("%s\n", e->said);
	printf("\treproduce: ikada sim --lab %s --seed %" PRIu64 "\n", labs_name(e->task.which), e->task.seed);
	fflush(stdout);
	return !plan->stop_at_failure;
}

static void print_line(void *context, const char *text)
{
	puts(text);
}

static int run_one(uint32_t lab, uint64_t seed, bool trace)
{
	const struct lab_settings settings = {.seed = seed, .trace = trace ? print_line : NULL};
	struct lab_result *result = calloc(1, sizeof *result);
	if (result == NULL)
		abort();
	labs_run(lab, &settings, result);
	bool failed = result->failed;
	if (failed)
		printf("%s, seed %" PRIu64 " failed at %" PRIu64 " ms: %s\n", labs_name(lab), seed,
		       result->virtual_ns / 1000000, result->failure);
	printf("trace hash: %016" PRIx64 "\n", result->trace_hash);
	printf("labs: 1 runs, %d failed, %" PRIu64 " virtual seconds\n", failed, result->virtual_ns / 1000000000);
	free(result);
	return failed ? 1 : 0;
}

static int list(void)
{
	for (uint32_t lab = 0; lab < labs_count(); lab++)
		printf("%-34s %s\n", labs_name(lab), labs_about(lab));
	return 0;
}

int sim_labs(const struct sim_labs_settings *s)
{
	struct plan plan = {.last = labs_count() - 1, .stop_at_failure = s->stop_at_failure};
	if (strcmp(s->lab, "list") == 0)
		return list();
	if (strcmp(s->lab, "all") != 0) {
		while (plan.first < labs_count() && strcmp(labs_name(plan.first), s->lab) != 0)
			plan.first++;
		plan.last = plan.first;
	}
	if (plan.first == labs_count()) {
		fprintf(stderr, "ikada sim: --lab expects list, all or a name from the list, found '%s'\n", s->lab);
		return FLAGS_WRONG;
	}
	if (s->runs == 1 && plan.first == plan.last)
		return run_one(plan.first, s->seed, s->trace);
	if (s->trace) {
		fprintf(stderr, "ikada sim: --trace is for one run of one lab\n");
		return FLAGS_WRONG;
	}
	plan.lab = plan.first;
	plan.seed_first = plan.seed_next = s->seed;
	plan.seed_last = s->seed + s->runs - 1;
	const struct sim_jobs jobs = {
		.jobs = s->jobs,
		.result_bytes = sizeof(struct lab_result),
		.context = &plan,
		.next = next,
		.run = run,
		.ended = ended,
	};
	int interrupted = sim_jobs_run(&jobs);
	printf("labs: %" PRIu64 " runs, %" PRIu64 " failed, %" PRIu64 " virtual seconds\n", plan.runs, plan.failed,
	       plan.virtual_ns / 1000000000);
	if (interrupted != 0)
		return 128 + interrupted;
	return plan.failed == 0 ? 0 : 1;
}
