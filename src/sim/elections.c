/* Leaders crash, and the time is taken: see elections.h. */
#include "sim/elections.h"

#include "base/check.h"
#include "node/node_internal.h"
#include "sim/labs_world.h"

#include <stdio.h>
#include <string.h>

enum { NODES = 5, SHORT_LOGS = 2 };

#define LOOK_NS (LAB_MS / 10)
/* A trial that has not ended by then is taken to have ended then. */
#define GIVEN_UP_NS (20 * LAB_S)

static uint64_t leaders(const struct lab *lab)
{
	return rules_counters(lab->rules)->leaders;
}

/* ---- Without pre-votes ---- */

static void grant(void *context)
{
	struct ikada_node *node = context;
	struct ikada_raft_status status;
	ikada_raft_status(node->raft, &status);
	for (uint32_t i = 0; i < status.config.count; i++) {
		const struct ikada_member *member = &status.config.members[i];
		struct ikada_message m = {
			.kind = IKADA_PREVOTE_REPLY,
			.granted = true,
			.from = member->id,
			.from_incarnation = member->incarnation,
			.to = status.self,
			.to_incarnation = node->incarnation,
			.term = status.term + 1,
		};
		struct ikada_event event = {.kind = IKADA_RECEIVE, .message = &m};
		if (member->id != status.self)
			drive_event(node, &event);
	}
}

static void grant_prevotes(struct lab *lab)
{
	for (uint32_t i = 0; i < lab->count; i++) {
		uint64_t term;
		struct lab_node *node = &lab->nodes[i];
		if (node->node != NULL && rules_role(lab->rules, i, &term) == IKADA_PRECANDIDATE)
			sim_host_run(node->host, grant, node->node);
	}
}

/* ---- One trial ---- */

/* The leader has just sent to all. */
static void await_broadcast(struct lab *lab)
{
	uint64_t sent = rules_counters(lab->rules)->sent[IKADA_APPEND];
	uint64_t end = sim_now(lab->sim) + LAB_S;
	while (lab_ok(lab) && rules_counters(lab->rules)->sent[IKADA_APPEND] < sent + NODES - 1) {
		if (sim_now(lab->sim) > end)
			lab_fail(lab, "the leader is silent");
		lab_run(lab, LOOK_NS);
	}
}

/* An entry that all but two have. What they say of it does not reach the leader, so they do not get it again. */
static void shorten_logs(struct lab *lab, uint32_t leader)
{
	for (uint32_t i = 1; i <= SHORT_LOGS; i++)
		sim_net_cut(lab->nodes[leader].host, lab->nodes[lab_after(lab, leader, i)].host, true);
	lab_propose(lab, leader, lab_value(lab));
	lab_run(lab, 2 * LAB_MS);
	for (uint32_t i = 1; i <= SHORT_LOGS; i++) {
		struct sim_host *other = lab->nodes[lab_after(lab, leader, i)].host;
		sim_net_heal(lab->nodes[leader].host, other);
		sim_net_cut(other, lab->nodes[leader].host, false);
	}
}

/* Between trials. Members that ask in step, with timeouts that leave nothing to chance, are brought out of it. */
static uint32_t settle(struct lab *lab, uint64_t timeout_ns)
{
	for (uint32_t i = 0; lab_leader_now(lab) == LAB_NOBODY && i < 1000; i++) {
		struct sim_host *host = lab->nodes[lab_draw(lab, NODES)].host;
		lab_run(lab, 8 * timeout_ns);
		if (lab_leader_now(lab) == LAB_NOBODY)
			sim_host_pause(host, sim_now(lab->sim) + lab_draw(lab, timeout_ns));
	}
	return lab_leader(lab);
}

/* 0: the leader went away by itself before. */
static uint64_t trial(struct lab *lab, const struct elections_settings *settings)
{
	uint32_t leader = settle(lab, settings->max_ms * LAB_MS);
	lab_one(lab, NODES);
	if (lab_leader(lab) != leader)
		return 0;
	/* Since the last trial began, everybody has come to follow this leader. */
	lab_run(lab, LAB_MS * lab_draw(lab, settings->max_ms));
	uint64_t before = leaders(lab);
	await_broadcast(lab);
	shorten_logs(lab, leader);
	await_broadcast(lab);
	lab_run(lab, LAB_MS);
	lab_run(lab, lab_draw(lab, lab->heartbeat_ns - LAB_MS));
	if (leaders(lab) != before || lab_leader_now(lab) != leader) {
		sim_net_heal_all(lab->sim);
		return 0;
	}
	uint64_t start = sim_now(lab->sim);
	lab_crash_as(lab, leader, settings->hints ? SIM_KILL : SIM_POWER_SILENT);
	while (lab_ok(lab) && leaders(lab) == before && sim_now(lab->sim) - start < GIVEN_UP_NS) {
		lab_run(lab, LOOK_NS);
		if (!settings->prevote)
			grant_prevotes(lab);
	}
	uint64_t took = sim_now(lab->sim) - start;
	sim_net_heal_all(lab->sim);
	lab_start(lab, leader);
	return took;
}

static void set_world(struct lab *lab)
{
	struct sim_link link = {
		.delay_min_ns = 4 * LAB_MS / 10, .delay_max_ns = 6 * LAB_MS / 10, .window_bytes = 256 * 1024};
	sim_net_set_all(lab->sim, &link);
	for (uint32_t i = 0; i < lab->count; i++) {
		struct sim_host_settings *host = sim_host_settings(lab->nodes[i].host);
		host->sync_min_ns = 6 * LAB_MS;
		host->sync_typical_ns = host->sync_max_ns = 8 * LAB_MS;
	}
}

void elections_run(const struct elections_settings *settings, struct elections_result *result)
{
	CHECK_OP(settings->trials, <=, (uint32_t)ELECTIONS_TRIALS_MAX);
	const struct lab_settings lab_settings = {.seed = settings->seed};
	struct lab_result lab_result;
	struct mem mem;
	mem_init(&mem, false);
	memset(result, 0, sizeof *result);
	struct lab *lab = mem_zero(&mem, sizeof *lab);
	lab->entry_bytes = 100;
	lab->snapshot_log_bytes = 16 * 1024;
	lab->heartbeat_ns = settings->min_ms * LAB_MS / 2;
	lab->election_min_ns = settings->min_ms * LAB_MS;
	lab->election_max_ns = settings->max_ms * LAB_MS;
	lab_open(lab, &lab_settings, NODES);
	set_world(lab);
	for (uint32_t tries = 0; lab_ok(lab) && result->count < settings->trials; tries++) {
		uint64_t took = trial(lab, settings);
		if (lab_ok(lab) && took > 0)
			result->ns[result->count++] = took;
		if (tries > 10 * settings->trials + 100)
			lab_fail(lab, "leaders go away by themselves");
	}
	lab_close(lab, &lab_result);
	mem_free(&mem, lab);
	result->failed = lab_result.failed;
	result->virtual_ns = lab_result.virtual_ns;
	snprintf(result->failure, sizeof result->failure, "%.*s", ELECTIONS_FAILURE_BYTES - 1, lab_result.failure);
}
