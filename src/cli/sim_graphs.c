/* `ikada sim --graphs`, `--graphs-cut`: who leads, and for how long, when not all members reach each other. */
#include "cli/sim.h"

#include "cli/sim_jobs.h"
#include "sim/graphs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { KINDS = 3 };

/* Of the graphs of one kind in which somebody can lead, or in which nobody can. */
struct sums {
	uint64_t graphs, runs, failed, campaigns, changes, late_changes, silent_s;
	uint64_t worst_first_ns, worst_late_changes;
};

struct plan {
	struct graph graphs[GRAPHS];
	bool cut;
	uint64_t seed_first, seed_next, seed_last;
	uint32_t graph;
	uint64_t runs, failed, late_changes, virtual_ns;
	struct sums sums[KINDS][2];
};

static struct sums *sums_of(struct plan *plan, const struct graph *graph)
{
	return &plan->sums[graph->directed ? 2 : graph->nodes - 4][graph_can_lead(graph)];
}

static bool next(void *context, struct sim_task *task)
{
	struct plan *plan = context;
	if (plan->seed_next > plan->seed_last) {
		plan->seed_next = plan->seed_first;
		plan->graph++;
	}
	if (plan->graph == GRAPHS)
		return false;
	task->which = plan->graph;
	task->seed = plan->seed_next++;
	return true;
}

static void run(void *context, const struct sim_task *task, void *result)
{
	const struct plan *plan = context;
	const struct graphs_settings settings = {
		.seed = task->seed, .graph = plan->graphs[task->which], .cut = plan->cut};
	graphs_run(&settings, result);
}

static bool ended(void *context, const struct sim_ended *e)
{
	struct plan *plan = context;
	const struct graph *graph = &plan->graphs[e->task.which];
	struct sums *sums = sums_of(plan, graph);
	const struct graphs_result *result = e->result;
	char text[GRAPH_TEXT_BYTES];
	plan->runs++;
	sums->runs++;
	if (result != NULL) {
		plan->virtual_ns += result->virtual_ns;
		plan->late_changes += result->late_changes;
		sums->campaigns += result->campaigns;
		sums->changes += result->changes;
		sums->late_changes += result->late_changes;
		sums->silent_s += result->silent_s;
		if (result->first_ns > sums->worst_first_ns)
			sums->worst_first_ns = result->first_ns;
		if (result->late_changes > sums->worst_late_changes)
			sums->worst_late_changes = result->late_changes;
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%" PRIu64 " runs, %" PRIu64 " failed ", plan->runs, plan->failed);
	if (result != NULL && !result->failed)
		return true;
	plan->failed++;
	sums->failed++;
	graph_text(graph, text);
	printf("%s, seed %" PRIu64 " failed: %s\n", text, e->task.seed, result != NULL ? result->failure : e->why);
	if (e->said[0] != '\0')
		printf("%s\n", e->said);
	fflush(stdout);
	return true;
}

static void print_table(const struct plan *plan)
{
	static const char *const kinds[KINDS] = {"4 nodes", "5 nodes", "3 nodes, one-way links"};
	printf("| graphs of | a node reaches a quorum | graphs | runs | failed | campaigning at the start |"
	       " worst first commit, ms | changes before settling | after | worst | silent seconds |\n"
	       "|---|---|---|---|---|---|---|---|---|---|---|\n");
	for (uint32_t kind = 0; kind < KINDS; kind++)
		for (uint32_t can = 2; can-- > 0;) {
			const struct sums *s = &plan->sums[kind][can];
			printf("| %s | %s | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64
			       " | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " |\n",
			       kinds[kind], can == 1 ? "yes" : "no", s->graphs, s->runs, s->failed, s->campaigns,
			       s->worst_first_ns / 1000000, s->changes, s->late_changes, s->worst_late_changes,
			       s->silent_s);
		}
}

int sim_graphs(const struct sim_graphs_settings *s)
{
	static struct plan plan;
	plan.cut = s->cut;
	plan.seed_first = plan.seed_next = s->seed;
	plan.seed_last = s->seed + s->runs - 1;
	graphs_list(plan.graphs);
	for (uint32_t i = 0; i < GRAPHS; i++)
		sums_of(&plan, &plan.graphs[i])->graphs++;
	const struct sim_jobs jobs = {
		.jobs = s->jobs,
		.result_bytes = sizeof(struct graphs_result),
		.context = &plan,
		.next = next,
		.run = run,
		.ended = ended,
	};
	int interrupted = sim_jobs_run(&jobs);
	print_table(&plan);
	printf("graphs: %" PRIu64 " runs, %" PRIu64 " failed, %" PRIu64 " leader changes after settling, %" PRIu64
	       " virtual seconds\n",
	       plan.runs, plan.failed, plan.late_changes, plan.virtual_ns / 1000000000);
	if (interrupted != 0)
		return 128 + interrupted;
	return plan.failed == 0 || s->cut ? 0 : 1;
}
