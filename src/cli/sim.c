/* `ikada sim`: one seed in this process, or many, each in a process of its own; and the flags of all else it can do. */
#include "cli/sim.h"

#include "cli/cli.h"
#include "cli/flags.h"
#include "cli/sim_jobs.h"
#include "sim/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Sums ---- */

/* Counters of all runs together: structs of uint64_t only. */
struct totals {
	uint64_t runs, failed;
	uint64_t events, virtual_ns;
	uint64_t faults[FAULT_KINDS];
	uint64_t deaths[NODE_SNAPSHOT_STEPS];
	struct sim_counters sim;
	struct rules_counters rules;
	struct cluster_counters cluster;
	struct history_counters history;
	struct churn_counters churn;
	struct disaster_counters disaster;
};

static void add_up(void *to, const void *from, size_t size)
{
	uint64_t *sum = to;
	const uint64_t *more = from;
	for (size_t i = 0; i < size / sizeof *sum; i++)
		sum[i] += more[i];
}

static void add_result(struct totals *totals, const struct run_result *result)
{
	uint64_t most = totals->history.states_max;
	totals->events += result->sim.events;
	totals->virtual_ns += result->virtual_ns;
	add_up(totals->faults, result->faults, sizeof totals->faults);
	add_up(totals->deaths, result->deaths, sizeof totals->deaths);
	add_up(&totals->sim, &result->sim, sizeof totals->sim);
	add_up(&totals->rules, &result->rules, sizeof totals->rules);
	add_up(&totals->cluster, &result->cluster, sizeof totals->cluster);
	add_up(&totals->churn, &result->churn, sizeof totals->churn);
	add_up(&totals->disaster, &result->disaster, sizeof totals->disaster);
	add_up(&totals->history, &result->history, sizeof totals->history);
	totals->history.states_max = most > result->history.states_max ? most : result->history.states_max;
}

static const char *step_name(enum node_snapshot_step step)
{
	static const char *const names[] = {"held",   "saved",	 "verified", "published",      "pruned",   "compacted",
					    "coming", "resumed", "received", "received-whole", "installed"};
	_Static_assert(sizeof names / sizeof *names == NODE_SNAPSHOT_STEPS, "a name for each step");
	return names[step];
}

static void print_churn(const struct totals *t)
{
	const struct rules_counters *r = &t->rules;
	printf("members: %" PRIu64 " came, %" PRIu64 " left, %" PRIu64 " disks wiped; taken: %" PRIu64 " adds, %" PRIu64
	       " learners, %" PRIu64 " promotions, %" PRIu64 " demotions, %" PRIu64 " removals, %" PRIu64
	       " replacements, %" PRIu64 " transfers, %" PRIu64 " of these over one under way; %" PRIu64 " of %" PRIu64
	       " refused\n",
	       t->churn.came, t->churn.left, t->churn.wipes, t->churn.adds, t->churn.learners, t->churn.promotions,
	       t->churn.demotions, t->churn.removals, t->churn.replacements, t->churn.transfers, t->churn.overlapping,
	       t->churn.refused, t->churn.asked);
	printf("configurations: %" PRIu64 " staged, %" PRIu64 " joint, %" PRIu64 " final, %" PRIu64
	       " rolled back; joint ones with a leader that died %" PRIu64 ", taken over by another %" PRIu64
	       ", staged ones %" PRIu64 "\n",
	       r->configs_staged, r->configs_joint, r->configs_final, r->configs_rolled_back, r->joint_leader_died,
	       r->joint_taken_over, r->staged_taken_over);
	printf("standings: %" PRIu64 " promoted, %" PRIu64 " snapshots installed on who does not vote, %" PRIu64
	       " leaders removed, %" PRIu64 " requests to vote by who is no voter, %" PRIu64 " told to campaign\n",
	       r->promoted, r->installs_to_learners, r->leaders_removed, r->votes_refused_to_strangers,
	       r->timeouts_now);
	const struct disaster_counters *d = &t->disaster;
	printf("majorities lost for ever: %" PRIu64 " clusters recovered, %" PRIu64 " of one survivor, %" PRIu64
	       " of two, %" PRIu64 " of more; logs differed %" PRIu64 " times, %" PRIu64
	       " deaths in the middle; %" PRIu64 " lost committed entries, %" PRIu64 " in all; %" PRIu64
	       " called off\n",
	       d->recovered, d->of_one, d->of_two, d->of_more, d->different, d->died, d->losing, d->lost,
	       d->called_off);
}

static void print_totals(const struct totals *t)
{
	printf("operations: %" PRIu64 " done, %" PRIu64 " refused, %" PRIu64 " unknown, on %" PRIu64
	       " keys; states to judge them %" PRIu64 ", at most %" PRIu64 " for a key\n",
	       t->history.done, t->history.refused, t->history.unknown, t->history.keys, t->history.states,
	       t->history.states_max);
	printf("entries: %" PRIu64 " committed; logs cut %" PRIu64 " times, %" PRIu64
	       " of them below what was durable\n",
	       t->rules.committed, t->rules.truncations, t->rules.truncated_durable);
	printf("leaders: %" PRIu64 ", %" PRIu64 " began with an uncommitted tail, %" PRIu64
	       " of these with one that a majority held, %" PRIu64 " while another believed to lead\n",
	       t->rules.leaders, t->rules.led_with_tail, t->rules.led_with_held_tail, t->rules.two_leaders);
	printf("messages: %" PRIu64 " votes, %" PRIu64 " appends rejected\n", t->rules.votes, t->rules.rejections);
	printf("reads: %" PRIu64 " granted, %" PRIu64 " refused\n", t->rules.reads_granted, t->rules.reads_refused);
	printf("nodes: %" PRIu64 " starts, %" PRIu64 " stops, %" PRIu64 " crashes, %" PRIu64 " logs recovered, %" PRIu64
	       " shorter than written; ended or not started for their disk %" PRIu64 "\n",
	       t->cluster.starts, t->cluster.stops, t->sim.crashes, t->rules.recoveries, t->rules.recovered_shorter,
	       t->cluster.excused_ends + t->cluster.excused_starts);
	printf("network: %" PRIu64 " frames, %" PRIu64 " dropped, %" PRIu64 " doubled, %" PRIu64
	       " connections, %" PRIu64 " broken; disk: %" PRIu64 " syncs, %" PRIu64 " sectors and %" PRIu64
	       " names lost\n",
	       t->sim.frames_delivered, t->sim.frames_dropped, t->sim.frames_duplicated, t->sim.connects, t->sim.resets,
	       t->sim.disk_syncs, t->sim.sectors_lost, t->sim.entries_lost);
	const uint64_t *steps = t->rules.snapshot_steps;
	printf("snapshots: %" PRIu64 " taken, %" PRIu64 " compactions, %" PRIu64 " installs, %" PRIu64
	       " of these during writes and %" PRIu64 " keeping a tail, %" PRIu64 " receptions resumed\n",
	       steps[NODE_SNAPSHOT_PUBLISHED], t->rules.compactions, t->rules.installs, t->rules.installs_in_writes,
	       t->rules.installs_keeping, steps[NODE_RECEIVE_RESUMED]);
	printf("states: %" PRIu64 " starts from a snapshot, %" PRIu64 " loaded in a running node, %" PRIu64
	       " bits flipped\n",
	       t->rules.loads_at_start, t->rules.loads, t->cluster.flips);
	if (t->churn.asked > 0)
		print_churn(t);
	printf("deaths:");
	for (uint32_t i = 0; i < NODE_SNAPSHOT_STEPS; i++)
		printf(" %s %" PRIu64, step_name((enum node_snapshot_step)i), t->deaths[i]);
	printf("\nfaults:");
	for (uint32_t i = 0; i < FAULT_KINDS; i++)
		printf(" %s %" PRIu64, fault_name((enum fault_kind)i), t->faults[i]);
	printf("\n");
}

static void print_last_line(const struct totals *t)
{
	printf("sim: %" PRIu64 " runs, %" PRIu64 " failed, %" PRIu64 " events, %" PRIu64 " virtual seconds\n", t->runs,
	       t->failed, t->events, t->virtual_ns / 1000000000);
}

/* ---- Profiles ---- */

static const char *const profiles[] = {[RUN_FAULTS] = "faults", [RUN_CHURN] = "churn", [RUN_ALL] = "all"};

static enum run_profile default_profile(bool brief)
{
	return brief ? RUN_ALL : RUN_FAULTS;
}

/* NULL: as if none was named. */
static bool parse_profile(const char *name, bool brief, enum run_profile *profile)
{
	*profile = default_profile(brief);
	if (name == NULL)
		return true;
	for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++)
		if (strcmp(name, profiles[i]) == 0) {
			*profile = (enum run_profile)i;
			return true;
		}
	fprintf(stderr, "ikada sim: --profile expects faults, churn or all, found '%s'\n", name);
	return false;
}

/* ---- One seed ---- */

static void print_line(void *context, const char *text)
{
	puts(text);
}

static int run_one(const struct run_settings *settings)
{
	struct run_result *result = calloc(1, sizeof *result);
	struct totals totals = {.runs = 1};
	if (result == NULL)
		abort();
	run_seed(settings, result);
	add_result(&totals, result);
	totals.failed = result->failed;
	printf("nodes: %" PRIu32 "\n", result->nodes);
	print_totals(&totals);
	if (result->failed)
		printf("seed %" PRIu64 " failed at %" PRIu64 " ms: %s\n", settings->seed, result->virtual_ns / 1000000,
		       result->failure);
	printf("trace hash: %016" PRIx64 "\n", result->trace_hash);
	free(result);
	return totals.failed == 0 ? 0 : 1;
}

/* ---- Many seeds ---- */

struct many {
	uint64_t first, next, last;
	bool ended; /* No seed after the one in `next - 1`. */
	uint32_t nodes;
	bool brief;
	enum run_profile profile;
	bool stop_at_failure;
	struct totals totals;
};

static bool next_seed(void *context, struct sim_task *task)
{
	struct many *many = context;
	if (many->ended)
		return false;
	many->ended = many->next == many->last;
	task->seed = many->next++;
	return true;
}

static void run_task(void *context, const struct sim_task *task, void *result)
{
	const struct many *many = context;
	struct run_settings settings = {
		.seed = task->seed, .nodes = many->nodes, .profile = many->profile, .brief = many->brief};
	run_seed(&settings, result);
}

static bool seed_ended(void *context, const struct sim_ended *ended)
{
	struct many *many = context;
	const struct run_result *result = ended->result;
	uint64_t seed = ended->task.seed;
	many->totals.runs++;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%" PRIu64 " of %" PRIu64 " runs, %" PRIu64 " failed ", many->totals.runs,
			many->last - many->first + 1, many->totals.failed);
	if (result != NULL)
		add_result(&many->totals, result);
	if (result != NULL && !result->failed)
		return true;
	many->totals.failed++;
	if (result != NULL)
		printf("seed %" PRIu64 " failed at %" PRIu64 " ms: %s\n", seed, result->virtual_ns / 1000000,
		       result->failure);
	else
		printf("seed %" PRIu64 " failed: %s\n", seed, ended->why);
	if (ended->said[0] != '\0')
		printf("%s%s", ended->said, ended->said[strlen(ended->said) - 1] == '\n' ? "" : "\n");
	printf("\treproduce: ikada sim --seed %" PRIu64, seed);
	if (many->nodes != 0)
		printf(" --nodes %" PRIu32, many->nodes);
	if (many->brief)
		printf(" --short");
	if (many->profile != default_profile(many->brief))
		printf(" --profile %s", profiles[many->profile]);
	printf("\n");
	fflush(stdout);
	return !many->stop_at_failure;
}

static int run_many(struct many *many, uint32_t jobs_at_a_time)
{
	many->next = many->first;
	const struct sim_jobs jobs = {
		.jobs = jobs_at_a_time,
		.result_bytes = sizeof(struct run_result),
		.context = many,
		.next = next_seed,
		.run = run_task,
		.ended = seed_ended,
	};
	int interrupted = sim_jobs_run(&jobs);
	print_totals(&many->totals);
	print_last_line(&many->totals);
	if (interrupted != 0)
		return 128 + interrupted;
	return many->totals.failed == 0 ? 0 : 1;
}

/* ---- The line ---- */

static bool parse_seed(const char **at, uint64_t *seed)
{
	const char *start = *at;
	uint64_t n = 0;
	for (; **at >= '0' && **at <= '9'; (*at)++) {
		uint64_t digit = (uint64_t)(**at - '0');
		if (n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*seed = n;
	return *at > start;
}

static bool parse_seeds(const char *text, uint64_t *first, uint64_t *last)
{
	return parse_seed(&text, first) && strncmp(text, "..", 2) == 0 && (text += 2, parse_seed(&text, last)) &&
	       *text == '\0' && *first <= *last;
}

int cli_sim(int argc, char **argv)
{
	uint64_t seed = 1, nodes = 0, jobs = 1, runs = 1;
	const char *seeds = NULL, *lab = NULL, *svg = NULL, *profile = NULL;
	enum run_profile run_profile;
	uint64_t trials = 1000, clusters = 400, seconds = 60;
	bool trace = false, stop = false, given = false, exhaust = false, no_raft_check = false, elections = false,
	     real_time = false, brief = false, graphs = false, graphs_cut = false;
	uint64_t terms = 4, entries = 3, timeouts = 4, restarts = 2, in_flight = 2, beats = 0;
	const struct flag flags[] = {
		{.name = "seed", .value = "S", .help = "run this one", .number = &seed, .max = UINT64_MAX},
		{.name = "seeds", .value = "A..B", .help = "run all of these", .text = &seeds},
		{.name = "jobs",
		 .value = "J",
		 .help = "so many at a time",
		 .number = &jobs,
		 .min = 1,
		 .max = SIM_JOBS_MAX},
		{.name = "nodes",
		 .value = "N",
		 .help = "in each cluster; 0: the seed decides",
		 .number = &nodes,
		 .max = RULES_NODES_MAX},
		{.name = "short", .help = "runs of 6 s instead of 60, with faults close together", .on = &brief},
		{.name = "profile",
		 .value = "NAME",
		 .help = "faults; churn: members change, too; all: the seed decides, as in short runs",
		 .text = &profile},
		{.name = "lab", .value = "NAME", .help = "run this lab, or all; list: names them", .text = &lab},
		{.name = "runs",
		 .value = "N",
		 .help = "of each lab, or graph",
		 .number = &runs,
		 .min = 1,
		 .max = 1000000000},
		{.name = "exhaust", .help = "all runs of three cores within bounds", .on = &exhaust},
		{.name = "no-raft-check", .help = "leave out the core's own rules", .on = &no_raft_check},
		{.name = "terms", .value = "N", .help = "bound of --exhaust", .number = &terms, .min = 1, .max = 6},
		{.name = "entries", .value = "N", .help = "likewise", .number = &entries, .min = 1, .max = 6},
		{.name = "timeouts", .value = "N", .help = "likewise", .number = &timeouts, .max = 100},
		{.name = "restarts", .value = "N", .help = "likewise", .number = &restarts, .max = 100},
		{.name = "beats", .value = "N", .help = "likewise", .number = &beats, .max = 100},
		{.name = "in-flight", .value = "N", .help = "likewise", .number = &in_flight, .min = 1, .max = 3},
		{.name = "elections", .help = "how long there is no leader after a crash", .on = &elections},
		{.name = "trials", .value = "N", .help = "of --elections", .number = &trials, .min = 1, .max = 1000},
		{.name = "svg", .value = "FILE", .help = "a plot of --elections", .text = &svg},
		{.name = "graphs", .help = "who leads when not all members reach each other", .on = &graphs},
		{.name = "graphs-cut", .help = "the same, cut into a cluster that runs", .on = &graphs_cut},
		{.name = "real-time", .help = "many clusters at once by the real clock", .on = &real_time},
		{.name = "clusters",
		 .value = "N",
		 .help = "of --real-time",
		 .number = &clusters,
		 .min = 1,
		 .max = 100000},
		{.name = "seconds",
		 .value = "N",
		 .help = "of --real-time",
		 .number = &seconds,
		 .min = 1,
		 .max = 1000000},
		{.name = "trace", .help = "print each event of the one seed", .on = &trace},
		{.name = "stop", .help = "end at the first failure", .on = &stop},
	};
	int status = flags_parse("runs clusters in a simulated world, with faults.", flags,
				 sizeof flags / sizeof *flags, argc, argv);
	if (status != FLAGS_OK)
		return status;
	for (int i = 1; i < argc; i++)
		given = given || strcmp(argv[i], "--seed") == 0 || strncmp(argv[i], "--seed=", 7) == 0;
	if (lab != NULL)
		return sim_labs(&(struct sim_labs_settings){lab, seed, runs, (uint32_t)jobs, trace, stop});
	if (exhaust)
		return sim_exhaust(&(struct sim_exhaust_settings){
			(uint32_t)terms, (uint32_t)entries, (uint32_t)timeouts, (uint32_t)restarts, (uint32_t)in_flight,
			(uint32_t)beats, !no_raft_check});
	if (elections)
		return sim_elections(&(struct sim_elections_settings){seed, (uint32_t)trials, (uint32_t)jobs, svg});
	if (graphs || graphs_cut)
		return sim_graphs(&(struct sim_graphs_settings){seed, runs, (uint32_t)jobs, graphs_cut});
	if (real_time)
		return sim_real_time(&(struct sim_real_time_settings){seed, (uint32_t)clusters, seconds});
	if (!parse_profile(profile, brief, &run_profile))
		return FLAGS_WRONG;
	if (seeds == NULL)
		return run_one(&(struct run_settings){.seed = seed,
						      .nodes = (uint32_t)nodes,
						      .profile = run_profile,
						      .brief = brief,
						      .trace = trace ? print_line : NULL});
	static struct many many;
	many.nodes = (uint32_t)nodes;
	many.brief = brief;
	many.profile = run_profile;
	many.stop_at_failure = stop;
	if (given || trace) {
		fprintf(stderr, "ikada sim: --seeds does not go together with --%s\n", given ? "seed" : "trace");
		return FLAGS_WRONG;
	}
	if (!parse_seeds(seeds, &many.first, &many.last)) {
		fprintf(stderr, "ikada sim: --seeds expects A..B with A not above B, found '%s'\n", seeds);
		return FLAGS_WRONG;
	}
	return run_many(&many, (uint32_t)jobs);
}
