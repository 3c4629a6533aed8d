/* The table of the labs, and how one of them is run. */
#include "sim/labs.h"

#include "base/check.h"
#include "sim/labs_internal.h"
#include "sim/run.h"

#include <stdio.h>
#include <string.h>

struct lab_case {
	const char *name;
	uint32_t nodes;
	void (*story)(struct lab *lab); /* NULL: the key-value service, a whole run of run.h. */
	const char *about;
};

static const struct lab_case cases[] = {
	{"initial-election", 3, lab_initial_election, "one leader, one term, and both stay"},
	{"re-election", 3, lab_re_election, "a new leader when the old one is cut off, none without a majority"},
	{"many-elections", 7, lab_many_elections, "three of seven cut off at random: the others have a leader"},
	{"basic-agree", 3, lab_basic_agree, "applied in order, nothing before it was proposed"},
	{"rpc-bytes", 3, lab_rpc_bytes, "each entry goes to each follower once"},
	{"follower-failure", 3, lab_follower_failure, "agreement without one follower, none without two"},
	{"leader-failure", 3, lab_leader_failure, "agreement without one leader, none without two"},
	{"fail-agree", 3, lab_fail_agree, "a follower that was cut off catches up"},
	{"fail-no-agree", 5, lab_fail_no_agree, "nothing is committed without a majority, agreement afterwards"},
	{"concurrent-starts", 3, lab_concurrent_starts, "five proposals at once get five indices"},
	{"rejoin", 3, lab_rejoin, "what a leader took while cut off vanishes"},
	{"backup", 5, lab_backup, "long stale logs are found out in a few rounds"},
	{"count", 3, lab_count, "few requests to elect, for ten entries, and when idle"},
	{"persist-1", 3, lab_persist_1, "leader, follower and all restart: nothing is lost"},
	{"persist-2", 5, lab_persist_2, "three of five are there, in turns: nothing is lost"},
	{"persist-3", 3, lab_persist_3, "who crashed first comes back last: nothing is lost"},
	{"figure-8", 5, lab_figure_8, "leaders crash early and late: no committed entry changes"},
	{"unreliable-agree", 5, lab_unreliable_agree, "five at once on an unreliable network"},
	{"figure-8-unreliable", 5, lab_figure_8_unreliable, "leaders are cut off, frames come seconds late"},
	{"churn", 5, lab_churn, "crashes, restarts and cuts: every acknowledged value is in the log"},
	{"churn-unreliable", 5, lab_churn_unreliable, "the same on an unreliable network"},
	{"snapshot-basic", 3, lab_snapshot_basic, "the log stays small"},
	{"snapshot-install", 3, lab_snapshot_install, "who was cut off is brought back by a snapshot"},
	{"snapshot-install-unreliable", 3, lab_snapshot_install_unreliable, "the same on an unreliable network"},
	{"snapshot-install-crash", 3, lab_snapshot_install_crash, "who was down is brought back by a snapshot"},
	{"snapshot-install-unreliable-crash", 3, lab_snapshot_install_unreliable_crash,
	 "the same on an unreliable network"},
	{"snapshot-install-tail", 5, lab_snapshot_install_tail,
	 "a snapshot is installed, and the entries of the next leader behind it are kept"},
	{"snapshot-all-crash", 3, lab_snapshot_all_crash, "all restart with snapshots: indices go on"},
	{"snapshot-init", 3, lab_snapshot_init, "the state after a restart is the snapshot's, and the log's"},
	{"kv-5", 5, NULL, "the service under all faults: histories are linearizable"},
	{"kv-7", 7, NULL, "the same with seven nodes"},
};

enum { CASES = sizeof cases / sizeof *cases };

uint32_t labs_count(void)
{
	return CASES;
}

const char *labs_name(uint32_t lab)
{
	CHECK_OP(lab, <, (uint32_t)CASES);
	return cases[lab].name;
}

const char *labs_about(uint32_t lab)
{
	CHECK_OP(lab, <, (uint32_t)CASES);
	return cases[lab].about;
}

static void run_service(const struct lab_case *which, const struct lab_settings *settings, struct lab_result *result)
{
	const struct run_settings run = {
		.seed = settings->seed,
		.nodes = which->nodes,
		.trace = settings->trace,
		.trace_context = settings->trace_context,
	};
	struct mem mem;
	mem_init(&mem, false);
	struct run_result *whole = mem_alloc(&mem, sizeof *whole);
	run_seed(&run, whole);
	result->failed = whole->failed;
	snprintf(result->failure, sizeof result->failure, "%.*s", LAB_FAILURE_BYTES - 1, whole->failure);
	result->virtual_ns = whole->virtual_ns;
	result->trace_hash = whole->trace_hash;
	mem_free(&mem, whole);
}

void labs_run(uint32_t lab, const struct lab_settings *settings, struct lab_result *result)
{
	CHECK_OP(lab, <, (uint32_t)CASES);
	const struct lab_case *which = &cases[lab];
	memset(result, 0, sizeof *result);
	if (which->story == NULL) {
		run_service(which, settings, result);
		return;
	}
	struct mem mem;
	mem_init(&mem, false);
	struct lab *world = mem_zero(&mem, sizeof *world);
	/* Every lab may take snapshots; only those about them take many. */
	world->entry_bytes = 100;
	world->snapshot_log_bytes = strncmp(which->name, "snapshot-", 9) == 0 ? 10 * 160 : 16 * 1024;
	lab_open(world, settings, which->nodes);
	which->story(world);
	lab_close(world, result);
	mem_free(&mem, world);
}
