/* One run: see run.h. Everything that a seed decides about the shape of the run is drawn here. */
#include "sim/run.h"

#include "base/check.h"
#include "sim/clients.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_MS ((uint64_t)1000000)
#define NS_PER_S ((uint64_t)1000000000)

struct phases {
	uint64_t hurry; /* Of the faults. */
	uint64_t faults_end_ns;
	/* Between these every operation must be done, and nothing but the load disturbs the cluster. */
	uint64_t calm_from_ns, calm_to_ns;
	uint64_t end_ns;
	/* Who is to become a member may wait for an answer that nobody gives; then all but the faults come later. */
	uint64_t patience_ns;
};

static const struct phases phases_long = {
	.hurry = 1,
	.faults_end_ns = 40 * NS_PER_S,
	.calm_from_ns = 50 * NS_PER_S,
	.calm_to_ns = 56 * NS_PER_S,
	.end_ns = 60 * NS_PER_S,
};

static const struct phases phases_brief = {
	.hurry = 8,
	.faults_end_ns = 4 * NS_PER_S,
	.calm_from_ns = 5400 * NS_PER_MS,
	.calm_to_ns = 5700 * NS_PER_MS,
	.end_ns = 6 * NS_PER_S,
	.patience_ns = 3 * NS_PER_S,
};

/* A new member is a follower as any other when it has been one for so long. */
#define NEW_NS (500 * NS_PER_MS)

enum { CALM_RATE_MIN = 100 /* Operations a second. */, DISASTER_PERCENT = 25, CHURN_PERCENT = 50 };

struct run {
	struct mem mem;
	struct sim *sim;
	struct cluster cluster;
	struct history *history;
	struct clients *clients;
	struct faults *faults;
	struct churn *churn;	   /* NULL: members stay. */
	struct disaster *disaster; /* NULL: none. */
	uint64_t leaders_before_calm;
	const struct phases *phases;
	uint64_t late_ns; /* Of all phases from the calm on. */
	const struct run_settings *settings;
};

/* ---- Hooks ---- */

static void on_point(void *context, uint32_t node)
{
	struct run *run = context;
	faults_point(run->faults, node);
}

static void on_snapshot_step(void *context, uint32_t node, enum node_snapshot_step step)
{
	struct run *run = context;
	faults_snapshot_step(run->faults, node, step);
}

static void on_fatal(void *context, struct sim_host *host, const char *text)
{
	struct run *run = context;
	if (cluster_on_fatal(&run->cluster, host, text))
		faults_ended(run->faults, sim_host_owner(host));
}

static void trace_line(struct run *run, const char *text)
{
	run->settings->trace(run->settings->trace_context, text);
}

static void on_log(void *context, struct sim_host *host, enum env_level level, const char *room, const char *text)
{
	static const char *const levels[] = {"debug", "info", "warn", "error"};
	struct run *run = context;
	char line[1200];
	uint64_t now = sim_now(run->sim);
	snprintf(line, sizeof line, "%" PRIu64 ".%06" PRIu64 " ms %s says %s %s %s", now / NS_PER_MS, now % NS_PER_MS,
		 sim_host_name(host), levels[level], room, text);
	trace_line(run, line);
}

static void on_trace(void *context, const char *text)
{
	trace_line(context, text);
}

static void on_say(void *context, const char *text)
{
	struct run *run = context;
	char line[1200];
	uint64_t now = sim_now(run->sim);
	snprintf(line, sizeof line, "%" PRIu64 ".%06" PRIu64 " ms the world: %s", now / NS_PER_MS, now % NS_PER_MS,
		 text);
	trace_line(run, line);
}

/* ---- What the seed decides ---- */

static uint32_t draw_nodes(struct rng *rng)
{
	uint64_t n = rng_below(rng, 20);
	return n == 0 ? 1 : n == 1 ? 2 : n == 2 ? 4 : n < 6 ? 5 : n == 6 ? 7 : 3;
}

static void draw_world(struct run *run, struct rng *rng)
{
	struct sim_link link = {.window_bytes = 256 * 1024};
	link.delay_min_ns = 20000 << rng_below(rng, 5);
	link.split_ppm = (uint32_t)rng_below(rng, 200000);
	link.delay_max_ns = link.delay_min_ns + (50000 << rng_below(rng, 8));
	sim_net_set_all(run->sim, &link);
	struct sim_net_settings *net = sim_net_settings(run->sim);
	net->break_ppm = (uint32_t)rng_below(rng, 1000001);
	net->break_max_ns = net->break_min_ns + rng_below(rng, 5 * NS_PER_S);
	uint64_t sync_ns = 50000 << rng_below(rng, 6);
	for (uint32_t i = 0; i < run->cluster.count; i++) {
		struct sim_host_settings *host = sim_host_settings(run->cluster.members[i].host);
		host->sync_min_ns = sync_ns / 2;
		host->sync_typical_ns = 2 * sync_ns;
		host->sync_max_ns = 10 * sync_ns;
		host->turn_max_ns = 5000 + rng_below(rng, 50000);
		host->crash_all_lost_ppm = (uint32_t)rng_below(rng, 400000);
		host->crash_all_kept_ppm = (uint32_t)rng_below(rng, 300000);
		host->crash_prefix_ppm = (uint32_t)rng_below(rng, 300000);
	}
}

/* What is broken off, or given up, is so soon. */
static void hurry_world(struct run *run)
{
	struct sim_net_settings *net = sim_net_settings(run->sim);
	net->break_min_ns /= run->phases->hurry;
	net->break_max_ns /= run->phases->hurry;
	net->connect_ns /= run->phases->hurry;
	net->reboot_min_ns /= run->phases->hurry;
	net->reboot_max_ns /= run->phases->hurry;
}

static struct history_settings draw_history(struct rng *rng)
{
	struct history_settings settings;
	settings.keys = 4 + (uint32_t)rng_below(rng, 12);
	settings.key_ops = 20 + (uint32_t)rng_below(rng, 60);
	settings.read_ppm = 200000 + (uint32_t)rng_below(rng, 500000);
	return settings;
}

static struct clients_settings draw_clients(struct rng *rng)
{
	struct clients_settings settings;
	settings.connections = 8 + (uint32_t)rng_below(rng, 16);
	settings.window = 1 + (uint32_t)rng_below(rng, CLIENTS_WINDOW_MAX);
	settings.rate = 150 + rng_below(rng, 100);
	settings.patience_ns = NS_PER_S + rng_below(rng, 6 * NS_PER_S);
	return settings;
}

static bool draw_churn(const struct run *run)
{
	struct rng rng = sim_rng(run->sim, 4);
	bool drawn = rng_below(&rng, 100) < CHURN_PERCENT;
	return run->settings->profile == RUN_ALL ? drawn : run->settings->profile == RUN_CHURN;
}

static void open_run(struct run *run, const struct run_settings *settings)
{
	mem_init(&run->mem, true);
	run->settings = settings;
	run->phases = settings->brief ? &phases_brief : &phases_long;
	run->sim = sim_create(settings->seed);
	bool churn = draw_churn(run);
	struct rng rng = sim_rng(run->sim, 1);
	uint32_t nodes = draw_nodes(&rng);
	if (settings->nodes != 0)
		nodes = settings->nodes;
	const struct sim_hooks hooks = {
		.context = run,
		.on_fatal = on_fatal,
		.on_log = settings->trace == NULL ? NULL : on_log,
		.on_trace = settings->trace == NULL ? NULL : on_trace,
	};
	sim_set_hooks(run->sim, &hooks);
	const struct rules_hooks rules_hooks = {.context = run, .point = on_point, .snapshot_step = on_snapshot_step};
	struct rng fate = sim_rng(run->sim, 3);
	bool disaster = churn && rng_below(&fate, 100) < DISASTER_PERCENT;
	if (churn && nodes < 3)
		nodes = 3;
	if (disaster && rng_below(&fate, 2) == 0)
		nodes = 5; /* So that there may be two survivors. */
	cluster_create(&run->cluster, run->sim, &run->mem, churn ? RULES_NODES_MAX : nodes, &rules_hooks);
	if (churn)
		cluster_begin_with(&run->cluster, nodes < 5 ? nodes : 5);
	run->cluster.term_runs = (uint64_t)256 << rng_below(&rng, 3);
	run->cluster.request_deadline_ns = NS_PER_S + rng_below(&rng, 4 * NS_PER_S);
	/* So that each run takes many, and some followers fall behind. */
	run->cluster.snapshot_log_bytes = (uint64_t)2048 << rng_below(&rng, 5);
	run->cluster.checkpoint_entries = (uint64_t)16 << rng_below(&rng, 2);
	if (settings->trace != NULL) {
		run->cluster.trace = on_say;
		run->cluster.trace_context = run;
	}
	const struct history_settings history = draw_history(&rng);
	struct clients_settings clients = draw_clients(&rng);
	clients.patience_ns /= run->phases->hurry;
	clients.rate *= settings->brief ? 2 : 1;
	run->cluster.request_deadline_ns /= run->phases->hurry;
	uint64_t history_seed = rng_next(&rng);
	uint64_t clients_seed = rng_next(&rng);
	uint64_t faults_seed = rng_next(&rng);
	run->history = history_create(&run->mem, &history, history_seed);
	run->clients = clients_create(&run->cluster, run->history, &clients, clients_seed);
	run->faults = faults_create(&run->cluster, run->clients, run->phases->hurry, faults_seed);
	draw_world(run, &rng);
	if (settings->brief)
		hurry_world(run);
	if (churn)
		run->churn = churn_create(&run->cluster, run->phases->hurry, rng_next(&rng));
	if (disaster)
		run->disaster = disaster_create(&run->cluster, run->clients, run->history, run->churn,
						run->phases->hurry, rng_next(&fate));
}

/* ---- The run ---- */

static bool run_until(struct run *run, uint64_t time)
{
	/* In slices, so that a failure is noticed soon after. */
	while (sim_now(run->sim) < time && cluster_failure(&run->cluster) == NULL) {
		uint64_t next = sim_now(run->sim) + 10 * NS_PER_MS;
		sim_run_until(run->sim, next < time ? next : time);
	}
	return cluster_failure(&run->cluster) == NULL;
}

/* Waits, if need be, until nobody is coming any more. */
static bool run_until_calm(struct run *run)
{
	const struct phases *phases = run->phases;
	if (!run_until(run, phases->calm_from_ns))
		return false;
	while (run->churn != NULL && run->late_ns < phases->patience_ns &&
	       churn_done_ns(run->churn) > sim_now(run->sim) - NEW_NS) {
		run->late_ns += 10 * NS_PER_MS;
		if (!run_until(run, phases->calm_from_ns + run->late_ns))
			return false;
	}
	return true;
}

static void live(struct run *run)
{
	for (uint32_t i = 0; i < run->cluster.count; i++)
		cluster_start(&run->cluster.members[i]);
	clients_start(run->clients);
	faults_start(run->faults);
	if (run->churn != NULL)
		churn_start(run->churn);
	if (run->disaster != NULL)
		disaster_start(run->disaster);
	if (!run_until(run, run->phases->faults_end_ns))
		return;
	faults_end(run->faults);
	if (run->churn != NULL)
		churn_end(run->churn);
	if (run->disaster != NULL)
		disaster_end(run->disaster);
	if (!run_until_calm(run))
		return;
	run->leaders_before_calm = rules_counters(run->cluster.rules)->leaders;
	if (!run_until(run, run->phases->calm_to_ns + run->late_ns))
		return;
	clients_stop(run->clients);
	clients_probe(run->clients);
	run_until(run, run->phases->end_ns + run->late_ns);
}

/* What was seen, when nothing was wrong by itself. */
static void judge(struct run *run, char *failure, size_t size)
{
	if (run->churn != NULL)
		churn_judge(run->churn, failure, size);
	if (run->disaster != NULL && failure[0] == '\0')
		disaster_judge(run->disaster, failure, size);
	if (failure[0] == '\0')
		history_judge(run->history, failure, size);
	if (failure[0] != '\0')
		return;
	uint64_t from_ns = run->phases->calm_from_ns + run->late_ns;
	uint64_t to_ns = run->phases->calm_to_ns + run->late_ns;
	uint64_t done = history_all_done(run->history, from_ns, to_ns, failure, size);
	if (failure[0] == '\0' && done * NS_PER_S < CALM_RATE_MIN * (to_ns - from_ns))
		snprintf(failure, size, "progress: only %" PRIu64 " operations were done in %" PRIu64 " ms of calm",
			 done, (to_ns - from_ns) / NS_PER_MS);
	if (failure[0] == '\0')
		clients_judge(run->clients, failure, size);
	if (failure[0] != '\0')
		return;
	uint64_t leaders = rules_counters(run->cluster.rules)->leaders;
	if (leaders != run->leaders_before_calm)
		snprintf(failure, size, "progress: the leader changed %" PRIu64 " times in calm",
			 leaders - run->leaders_before_calm);
	else
		cluster_judge(&run->cluster);
}

void run_seed(const struct run_settings *settings, struct run_result *result)
{
	struct run run = {.settings = settings};
	memset(result, 0, sizeof *result);
	open_run(&run, settings);
	live(&run);
	if (cluster_failure(&run.cluster) == NULL)
		judge(&run, result->failure, sizeof result->failure);
	if (cluster_failure(&run.cluster) != NULL)
		snprintf(result->failure, sizeof result->failure, "%s", cluster_failure(&run.cluster));
	result->failed = result->failure[0] != '\0';
	result->virtual_ns = sim_now(run.sim);
	result->trace_hash = sim_trace_hash(run.sim);
	result->nodes = run.cluster.count;
	for (uint32_t i = 0; i < FAULT_KINDS; i++)
		result->faults[i] = faults_count(run.faults, (enum fault_kind)i);
	for (uint32_t i = 0; i < NODE_SNAPSHOT_STEPS; i++)
		result->deaths[i] = faults_deaths(run.faults, (enum node_snapshot_step)i);
	result->sim = *sim_counters(run.sim);
	result->rules = *rules_counters(run.cluster.rules);
	result->cluster = run.cluster.counters;
	result->history = *history_counters(run.history);
	if (run.churn != NULL)
		result->churn = *churn_counters(run.churn);
	if (run.disaster != NULL)
		result->disaster = *disaster_counters(run.disaster);
	sim_destroy(run.sim);
	faults_destroy(run.faults);
	if (run.churn != NULL)
		churn_destroy(run.churn);
	if (run.disaster != NULL)
		disaster_destroy(run.disaster);
	clients_destroy(run.clients);
	history_destroy(run.history);
	cluster_destroy(&run.cluster);
	CHECK_OP(run.mem.bytes, ==, 0u);
}
