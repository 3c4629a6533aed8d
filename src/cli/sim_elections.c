/* `ikada sim --elections`: how long there is no leader, for the election timeouts of the paper's Figure 16. */
#include "cli/sim.h"

#include "cli/sim_jobs.h"
#include "cli/sim_plot.h"
#include "sim/elections.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct range {
	uint32_t min_ms, max_ms;
};

static const struct range ranges[] = {
	{150, 150}, {150, 151}, {150, 155}, {150, 175}, {150, 200}, {150, 300},
	{12, 24},   {25, 50},	{50, 100},  {100, 200}, {150, 300},
};
enum { RANGES = sizeof ranges / sizeof *ranges, SPREAD_RANGES = 6, MODES = 4 };

static const char *const mode_names[MODES] = {
	"its host vanishes, no pre-vote",
	"its host vanishes, pre-vote",
	"its process dies, no pre-vote",
	"its process dies, pre-vote",
};

struct elections {
	uint64_t seed;
	uint32_t trials;
	uint32_t next;
	uint64_t failed;
	struct elections_result results[MODES * RANGES];
};

static struct elections_settings settings_of(const struct elections *e, uint32_t which)
{
	const struct range *range = &ranges[which % RANGES];
	return (struct elections_settings){
		.seed = e->seed + which,
		.trials = e->trials,
		.min_ms = range->min_ms,
		.max_ms = range->max_ms,
		.hints = which / RANGES >= 2,
		.prevote = which / RANGES % 2 == 1,
	};
}

static bool next(void *context, struct sim_task *task)
{
	struct elections *e = context;
	if (e->next == MODES * RANGES)
		return false;
	task->which = e->next++;
	return true;
}

static void run(void *context, const struct sim_task *task, void *result)
{
	const struct elections *e = context;
	struct elections_settings settings = settings_of(e, task->which);
	elections_run(&settings, result);
}

static bool ended(void *context, const struct sim_ended *ended)
{
	struct elections *e = context;
	struct elections_result *to = &e->results[ended->task.which];
	const struct elections_result *result = ended->result;
	if (result != NULL)
		*to = *result;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%" PRIu32 " of %d ", e->next, MODES * RANGES);
	if (result != NULL && !result->failed)
		return true;
	e->failed++;
	printf("%s, %" PRIu32 "-%" PRIu32 " ms failed: %s%s\n", mode_names[ended->task.which / RANGES],
	       ranges[ended->task.which % RANGES].min_ms, ranges[ended->task.which % RANGES].max_ms,
	       result != NULL ? result->failure : ended->why, ended->said);
	return true;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static double ms_at(const struct elections_result *r, uint32_t per_mille)
{
	return r->count == 0 ? 0 : (double)r->ns[(uint64_t)(r->count - 1) * per_mille / 1000] / 1e6;
}

static void print_row(const struct elections *e, uint32_t which)
{
	const struct elections_result *r = &e->results[which];
	double sum = 0;
	for (uint32_t i = 0; i < r->count; i++)
		sum += (double)r->ns[i] / 1e6;
	printf("| %" PRIu32 "-%" PRIu32 " | %s | %.0f | %.0f | %.0f | %.0f | %.0f |\n", ranges[which % RANGES].min_ms,
	       ranges[which % RANGES].max_ms, mode_names[which / RANGES], r->count == 0 ? 0 : sum / r->count,
	       ms_at(r, 500), ms_at(r, 900), ms_at(r, 990), ms_at(r, 1000));
}

static void draw(const struct elections *e, const char *path)
{
	static struct sim_plot plot;
	plot.title = "Time without a leader: five servers, 15 ms broadcast";
	for (uint32_t mode = 0; mode < MODES; mode++)
		for (uint32_t half = 0; half < 2; half++) {
			struct sim_panel *panel = &plot.panels[plot.panel_count++];
			panel->title = mode_names[mode];
			for (uint32_t i = half == 0 ? 0 : SPREAD_RANGES; i < (half == 0 ? SPREAD_RANGES : RANGES);
			     i++) {
				const struct elections_result *r = &e->results[mode * RANGES + i];
				struct sim_curve *curve = &panel->curves[panel->curve_count++];
				snprintf(curve->name, sizeof curve->name, "%" PRIu32 "-%" PRIu32 " ms",
					 ranges[i].min_ms, ranges[i].max_ms);
				curve->ns = r->ns;
				curve->count = r->count;
			}
		}
	if (!sim_plot_write(&plot, path))
		fprintf(stderr, "ikada sim: cannot write %s\n", path);
}

int sim_elections(const struct sim_elections_settings *s)
{
	struct elections *e = calloc(1, sizeof *e);
	if (e == NULL)
		abort();
	e->seed = s->seed;
	e->trials = s->trials;
	const struct sim_jobs jobs = {
		.jobs = s->jobs,
		.result_bytes = sizeof(struct elections_result),
		.context = e,
		.next = next,
		.run = run,
		.ended = ended,
	};
	int interrupted = sim_jobs_run(&jobs);
	uint64_t trials = 0, virtual_ns = 0;
	printf("| timeouts, ms | the leader crashes: | mean, ms | median | 90 %% | 99 %% | worst |\n"
	       "|---|---|---|---|---|---|---|\n");
	for (uint32_t i = 0; i < MODES * RANGES; i++) {
		struct elections_result *r = &e->results[i];
		qsort(r->ns, r->count, sizeof *r->ns, compare);
		trials += r->count;
		virtual_ns += r->virtual_ns;
		if (i % RANGES != RANGES - 1) /* The last range is one of the first, too. */
			print_row(e, i);
	}
	if (s->svg != NULL && interrupted == 0)
		draw(e, s->svg);
	printf("elections: %" PRIu64 " crashes, %" PRIu64 " failed, %" PRIu64 " virtual seconds\n", trials, e->failed,
	       virtual_ns / 1000000000);
	int status = interrupted != 0 ? 128 + interrupted : e->failed == 0 ? 0 : 1;
	free(e);
	return status;
}
