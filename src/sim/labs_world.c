/* A lab's nodes and network: see labs_world.h. */
#include "sim/labs_world.h"

#include "base/check.h"
#include "node/observe.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PEER_PORT = 7000 };

/* A failure is noticed so soon. */
#define SLICE_NS (5 * LAB_MS)

bool lab_ok(const struct lab *lab)
{
	return lab->failure[0] == '\0';
}

void lab_fail(struct lab *lab, const char *format, ...)
{
	if (!lab_ok(lab))
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(lab->failure, sizeof lab->failure, format, args);
	va_end(args);
}

uint64_t lab_draw(struct lab *lab, uint64_t bound)
{
	return rng_below(&lab->rng, bound);
}

/* ---- Hooks ---- */

static void say(struct lab *lab, const char *who, const char *what, const char *text)
{
	char line[1200];
	uint64_t now = sim_now(lab->sim);
	snprintf(line, sizeof line, "%" PRIu64 ".%06" PRIu64 " ms %s %s%s", now / LAB_MS, now % LAB_MS, who, what,
		 text);
	lab->settings->trace(lab->settings->trace_context, line);
}

static void on_fatal(void *context, struct sim_host *host, const char *text)
{
	struct lab *lab = context;
	const struct lab_node *node = sim_host_owner(host);
	lab_node_ended(lab, node->number);
	lab_fail(lab, "node %" PRIu32 " ended: %s", node->number + 1, text);
}

static void on_log(void *context, struct sim_host *host, enum env_level level, const char *room, const char *text)
{
	say(context, sim_host_name(host), "says ", text);
}

static void on_trace(void *context, const char *text)
{
	const struct lab *lab = context;
	lab->settings->trace(lab->settings->trace_context, text);
}

/* ---- Life ---- */

static void make_node(struct lab *lab, uint32_t i, size_t *used)
{
	struct lab_node *node = &lab->nodes[i];
	char name[16];
	snprintf(name, sizeof name, "n%" PRIu32, i + 1);
	node->lab = lab;
	node->number = i;
	node->host = sim_host_create(lab->sim, i + 1, name);
	sim_host_set_owner(node->host, node);
	snprintf(node->peer_address, sizeof node->peer_address, "%s:%d", name, PEER_PORT);
	*used += (size_t)snprintf(lab->list + *used, sizeof lab->list - *used, "%s%" PRIu32 "=%s", i == 0 ? "" : ",",
				  i + 1, node->peer_address);
}

void lab_open(struct lab *lab, const struct lab_settings *settings, uint32_t count)
{
	CHECK_OP(count, <=, (uint32_t)LAB_NODES_MAX);
	lab->settings = settings;
	lab->count = count;
	mem_init(&lab->mem, true);
	lab->sim = sim_create(settings->seed);
	lab->rng = sim_rng(lab->sim, 2);
	const struct sim_hooks hooks = {
		.context = lab,
		.on_fatal = on_fatal,
		.on_log = settings->trace == NULL ? NULL : on_log,
		.on_trace = settings->trace == NULL ? NULL : on_trace,
	};
	sim_set_hooks(lab->sim, &hooks);
	const struct rules_hooks rules_hooks = {0};
	lab->rules = rules_create(&lab->mem, count, &rules_hooks);
	size_t used = 0;
	for (uint32_t i = 0; i < count; i++)
		make_node(lab, i, &used);
	for (uint32_t i = 0; i < count; i++)
		lab_start(lab, i);
}

void lab_close(struct lab *lab, struct lab_result *result)
{
	result->failed = !lab_ok(lab);
	memcpy(result->failure, lab->failure, sizeof result->failure);
	result->virtual_ns = sim_now(lab->sim);
	result->trace_hash = sim_trace_hash(lab->sim);
	sim_destroy(lab->sim);
	rules_destroy(lab->rules);
	mem_free_all(&lab->mem);
}

void lab_run(struct lab *lab, uint64_t ns)
{
	uint64_t end = sim_now(lab->sim) + ns;
	while (lab_ok(lab) && sim_now(lab->sim) < end) {
		uint64_t next = sim_now(lab->sim) + SLICE_NS;
		sim_run_until(lab->sim, next < end ? next : end);
		if (rules_failure(lab->rules) != NULL)
			lab_fail(lab, "%s", rules_failure(lab->rules));
	}
}

/* ---- Nodes ---- */

static void boot(void *context)
{
	struct lab_node *node = context;
	struct lab *lab = node->lab;
	const struct ikada_node_settings settings = {
		.id = node->number + 1,
		.cluster = lab->list,
		.client_address = "",
		.data_dir = "data",
		.segment_bytes = 64 * 1024,
		.term_runs = 4096,
		.heartbeat_ns = lab->heartbeat_ns,
		.election_min_ns = lab->election_min_ns,
		.election_max_ns = lab->election_max_ns,
		.snapshot_log_bytes = lab->snapshot_log_bytes,
		.checkpoint_entries = 16,
	};
	const struct ikada_machine machine = lab_machine(node);
	char error[512] = "";
	node->node = ikada_node_open(sim_host_env(node->host), &settings, &machine, error, sizeof error);
	if (node->node != NULL)
		rules_watch(lab->rules, node->number, node->node);
	else
		lab_fail(lab, "node %" PRIu32 " does not start: %s", node->number + 1, error);
}

void lab_start(struct lab *lab, uint32_t number)
{
	struct lab_node *node = &lab->nodes[number];
	if (!lab_ok(lab) || node->node != NULL)
		return;
	node->values.size = 0;
	node->applied = 0;
	node->digest = 0;
	node->loads = 0;
	if (lab->settings->trace != NULL)
		say(lab, sim_host_name(node->host), "is started", "");
	sim_host_start(node->host);
	sim_host_run(node->host, boot, node);
}

void lab_crash_as(struct lab *lab, uint32_t number, enum sim_crash how)
{
	struct lab_node *node = &lab->nodes[number];
	if (!lab_ok(lab) || node->node == NULL)
		return;
	if (lab->settings->trace != NULL)
		say(lab, sim_host_name(node->host), "is crashed", "");
	lab_node_ended(lab, number);
	sim_host_crash(node->host, how);
}

void lab_crash(struct lab *lab, uint32_t number)
{
	static const enum sim_crash ways[] = {SIM_KILL, SIM_POWER, SIM_POWER_SILENT};
	lab_crash_as(lab, number, ways[lab_draw(lab, 3)]);
}

void lab_cut(struct lab *lab, uint32_t number)
{
	lab->nodes[number].cut = true;
	for (uint32_t i = 0; i < lab->count; i++)
		if (i != number)
			sim_net_cut(lab->nodes[number].host, lab->nodes[i].host, true);
}

void lab_join(struct lab *lab, uint32_t number)
{
	lab->nodes[number].cut = false;
	for (uint32_t i = 0; i < lab->count; i++)
		if (i != number && !lab->nodes[i].cut)
			sim_net_heal(lab->nodes[number].host, lab->nodes[i].host);
}

void lab_join_all(struct lab *lab)
{
	for (uint32_t i = 0; i < lab->count; i++)
		lab_join(lab, i);
}

void lab_network(struct lab *lab, enum lab_network network)
{
	struct sim_link link = {
		.delay_min_ns = LAB_MS / 10,
		.delay_max_ns = LAB_MS / 2,
		.split_ppm = 100000,
		.window_bytes = 256 * 1024,
	};
	if (network != LAB_RELIABLE) {
		link.delay_max_ns = 27 * LAB_MS;
		link.drop_ppm = 100000;
	}
	if (network == LAB_REORDERING) {
		link.slow_ppm = 333333;
		link.slow_max_ns = 2200 * LAB_MS;
	}
	sim_net_set_all(lab->sim, &link);
}

/* ---- Questions ---- */

static bool present(const struct lab *lab, uint32_t number)
{
	return lab->nodes[number].node != NULL && !lab->nodes[number].cut;
}

uint32_t lab_leader_now(const struct lab *lab)
{
	uint32_t leader = LAB_NOBODY;
	uint64_t highest = 0;
	for (uint32_t i = 0; i < lab->count; i++) {
		uint64_t term;
		if (!present(lab, i) || rules_role(lab->rules, i, &term) != IKADA_LEADER || term <= highest)
			continue;
		highest = term;
		leader = i;
	}
	return leader;
}

uint32_t lab_leader(struct lab *lab)
{
	uint64_t end = sim_now(lab->sim) + 10 * LAB_S;
	while (lab_ok(lab)) {
		uint32_t leader = lab_leader_now(lab);
		if (leader != LAB_NOBODY)
			return leader;
		if (sim_now(lab->sim) >= end)
			lab_fail(lab, "nobody leads for 10 s");
		lab_run(lab, SLICE_NS);
	}
	return 0; /* What follows does nothing. */
}

void lab_no_leader(struct lab *lab)
{
	uint32_t leader = lab_leader_now(lab);
	if (leader != LAB_NOBODY)
		lab_fail(lab, "node %" PRIu32 " leads, without a majority", leader + 1);
}

uint64_t lab_term(struct lab *lab)
{
	uint64_t common = 0;
	for (uint32_t i = 0; i < lab->count; i++) {
		uint64_t term;
		if (!present(lab, i))
			continue;
		rules_role(lab->rules, i, &term);
		if (common != 0 && term != common)
			lab_fail(lab, "node %" PRIu32 " is in term %" PRIu64 ", another in term %" PRIu64, i + 1, term,
				 common);
		common = term;
	}
	return common;
}

uint32_t lab_appliers(const struct lab *lab, uint64_t value)
{
	uint64_t index = lab_list_get(&lab->where, value);
	uint32_t appliers = 0;
	for (uint32_t i = 0; i < lab->count && index != 0; i++)
		appliers += lab->nodes[i].node != NULL && lab_list_get(&lab->nodes[i].values, index) == value;
	return appliers;
}
