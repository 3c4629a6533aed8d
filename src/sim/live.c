/* See live.h. The nodes are those of a lab. */
#include "sim/live.h"

#include "sim/labs_world.h"

#include <stdio.h>

enum { NODES = 3 };

struct live {
	struct lab lab;
	struct lab_settings settings;
	uint64_t propose_ns;
	uint64_t late_max_ns;
};

static void propose(void *context)
{
	struct live *live = context;
	struct lab *lab = &live->lab;
	uint32_t leader = lab_leader_now(lab);
	if (leader != LAB_NOBODY)
		lab_propose(lab, leader, lab_value(lab));
	lab_forget_ended(lab);
	sim_schedule(lab->sim, sim_now(lab->sim) + live->propose_ns, propose, live);
}

struct live *live_create(uint64_t seed, uint64_t propose_ns)
{
	struct mem mem;
	mem_init(&mem, false);
	struct live *live = mem_zero(&mem, sizeof *live);
	live->settings.seed = seed;
	live->propose_ns = propose_ns;
	live->lab.entry_bytes = 100;
	live->lab.snapshot_log_bytes = 16 * 1024;
	lab_open(&live->lab, &live->settings, NODES);
	/* Not all of them at once. */
	sim_schedule(live->lab.sim, lab_draw(&live->lab, propose_ns), propose, live);
	return live;
}

void live_destroy(struct live *live)
{
	struct lab_result result;
	struct mem mem;
	mem_init(&mem, false);
	lab_close(&live->lab, &result);
	mem_free(&mem, live);
}

uint64_t live_next(const struct live *live)
{
	return lab_ok(&live->lab) ? sim_next(live->lab.sim) : UINT64_MAX;
}

void live_go_on(struct live *live, uint64_t now_ns)
{
	struct lab *lab = &live->lab;
	uint64_t next = live_next(live);
	if (next > now_ns)
		return;
	if (now_ns - next > live->late_max_ns)
		live->late_max_ns = now_ns - next;
	sim_catch_up(lab->sim, now_ns);
	if (rules_failure(lab->rules) != NULL)
		lab_fail(lab, "%s", rules_failure(lab->rules));
}

void live_look(const struct live *live, struct live_report *report)
{
	const struct lab *lab = &live->lab;
	snprintf(report->failure, sizeof report->failure, "%.*s", (int)sizeof report->failure - 1, lab->failure);
	report->leaders = rules_counters(lab->rules)->leaders;
	report->late_max_ns = live->late_max_ns;
	report->events = sim_counters(lab->sim)->events;
	report->commits = 0;
	for (uint64_t i = 0; i < lab->where.size; i++)
		report->commits += lab->where.at[i] != 0;
}
