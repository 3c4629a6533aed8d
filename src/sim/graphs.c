/* Graphs of links, and what becomes of a cluster on each: see graphs.h. */
#include "sim/graphs.h"

#include "base/check.h"
#include "node/node_internal.h"
#include "sim/labs_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LOOK_NS (LAB_MS / 10)
#define BIRTH_NS (10 * LAB_S)

/* After the graph came into force. */
enum { SETTLING_S = 10, WHOLE_S = 30 };

/* ---- The list ---- */

/* The links of an undirected graph as bits, one for each pair of nodes, after node i is called name[i]. */
static uint32_t bits_of(const struct graph *graph, const uint32_t *name)
{
	uint32_t bits = 0, pair = 0;
	uint32_t at[GRAPH_NODES_MAX];
	for (uint32_t i = 0; i < graph->nodes; i++)
		at[name[i]] = i;
	for (uint32_t a = 0; a < graph->nodes; a++)
		for (uint32_t b = 0; b < a; b++)
			bits |= (uint32_t)graph->links[at[a]][at[b]] << pair++;
	return bits;
}

/* Whether a way to go on from the first `named` names gives fewer bits than `bits`. */
static bool can_be_less(const struct graph *graph, uint32_t *name, uint32_t named, uint32_t used, uint32_t bits)
{
	if (named == graph->nodes)
		return bits_of(graph, name) < bits;
	for (uint32_t n = 0; n < graph->nodes; n++) {
		if ((used >> n & 1) != 0)
			continue;
		name[named] = n;
		if (can_be_less(graph, name, named + 1, used | 1u << n, bits))
			return true;
	}
	return false;
}

static void set_undirected(struct graph *graph, uint32_t nodes, uint32_t bits)
{
	memset(graph, 0, sizeof *graph);
	graph->nodes = nodes;
	for (uint32_t a = 0; a < nodes; a++)
		for (uint32_t b = 0; b < a; b++, bits >>= 1)
			graph->links[a][b] = graph->links[b][a] = (bits & 1) != 0;
}

static void set_directed(struct graph *graph, uint32_t nodes, uint32_t bits)
{
	memset(graph, 0, sizeof *graph);
	graph->nodes = nodes;
	graph->directed = true;
	for (uint32_t a = 0; a < nodes; a++)
		for (uint32_t b = 0; b < nodes; b++)
			if (a != b) {
				graph->links[a][b] = (bits & 1) != 0;
				bits >>= 1;
			}
}

void graphs_list(struct graph graphs[GRAPHS])
{
	uint32_t count = 0;
	for (uint32_t nodes = 4; nodes <= 5; nodes++)
		for (uint32_t bits = 0; bits < 1u << nodes * (nodes - 1) / 2; bits++) {
			struct graph graph;
			uint32_t name[GRAPH_NODES_MAX];
			set_undirected(&graph, nodes, bits);
			if (can_be_less(&graph, name, 0, 0, bits))
				continue;
			CHECK_OP(count, <, (uint32_t)GRAPHS);
			graphs[count++] = graph;
		}
	for (uint32_t bits = 0; bits < 64; bits++) {
		CHECK_OP(count, <, (uint32_t)GRAPHS);
		set_directed(&graphs[count++], 3, bits);
	}
	CHECK_OP(count, ==, (uint32_t)GRAPHS);
}

void graph_text(const struct graph *graph, char text[GRAPH_TEXT_BYTES])
{
	size_t used = (size_t)snprintf(text, GRAPH_TEXT_BYTES, "%" PRIu32 " nodes:", graph->nodes);
	for (uint32_t a = 0; a < graph->nodes; a++)
		for (uint32_t b = 0; b < graph->nodes; b++)
			if (graph->links[a][b] && (a < b || !graph->links[b][a]))
				used += (size_t)snprintf(text + used, GRAPH_TEXT_BYTES - used, " %" PRIu32 "%c%" PRIu32,
							 a + 1, graph->links[b][a] ? '-' : '>', b + 1);
	if (text[used - 1] == ':')
		snprintf(text + used, GRAPH_TEXT_BYTES - used, " no link");
}

bool graph_can_lead(const struct graph *graph)
{
	for (uint32_t a = 0; a < graph->nodes; a++) {
		uint32_t reached = 1;
		for (uint32_t b = 0; b < graph->nodes; b++)
			reached += graph->links[a][b] && graph->links[b][a];
		if (reached > graph->nodes / 2)
			return true;
	}
	return false;
}

/* ---- A run ---- */

static uint64_t leaders(const struct lab *lab)
{
	return rules_counters(lab->rules)->leaders;
}

static void await_birth(struct lab *lab)
{
	uint64_t end = sim_now(lab->sim) + BIRTH_NS;
	for (uint32_t born = 0; lab_ok(lab) && born < lab->count;) {
		lab_run(lab, LOOK_NS);
		born = 0;
		for (uint32_t i = 0; i < lab->count; i++)
			born += lab->nodes[i].node != NULL && lab->nodes[i].node->raft != NULL;
		if (sim_now(lab->sim) >= end)
			lab_fail(lab, "the cluster is not born");
	}
	if (leaders(lab) > 0)
		lab_fail(lab, "somebody led before the graph came into force");
}

static uint64_t campaigns(const struct lab *lab)
{
	uint64_t count = 0;
	for (uint32_t i = 0; i < lab->count; i++) {
		uint64_t term;
		enum ikada_role role = rules_role(lab->rules, i, &term);
		count += role == IKADA_PRECANDIDATE || role == IKADA_CANDIDATE;
	}
	return count;
}

static void propose_wherever_it_is_led(struct lab *lab)
{
	for (uint32_t i = 0; i < lab->count; i++) {
		uint64_t term;
		if (rules_role(lab->rules, i, &term) == IKADA_LEADER)
			lab_propose(lab, i, lab_value(lab));
	}
}

/* A leader that is used, and entries that not all have yet. */
static void await_traffic(struct lab *lab)
{
	lab_one(lab, lab->count);
	lab_run(lab, 2 * LAB_S);
	lab_one(lab, lab->count);
	propose_wherever_it_is_led(lab);
	lab_run(lab, lab_draw(lab, LAB_MS));
}

static void put_in_force(struct lab *lab, const struct graph *graph)
{
	uint32_t name[GRAPH_NODES_MAX];
	for (uint32_t i = 0; i < graph->nodes; i++) {
		uint32_t j = (uint32_t)lab_draw(lab, i + 1);
		name[i] = i;
		name[i] = name[j];
		name[j] = i;
	}
	for (uint32_t a = 0; a < graph->nodes; a++)
		for (uint32_t b = 0; b < graph->nodes; b++)
			if (a != b && !graph->links[a][b])
				sim_net_cut(lab->nodes[name[a]].host, lab->nodes[name[b]].host, false);
}

static void watch(struct lab *lab, struct graphs_result *result)
{
	uint64_t start = sim_now(lab->sim), committed = rules_committed(lab->rules), led = leaders(lab);
	for (uint32_t s = 0; s < WHOLE_S && lab_ok(lab); s++) {
		uint64_t before = rules_committed(lab->rules), led_before = leaders(lab);
		propose_wherever_it_is_led(lab);
		for (uint64_t end = sim_now(lab->sim) + LAB_S; lab_ok(lab) && sim_now(lab->sim) < end;) {
			lab_run(lab, 5 * LAB_MS);
			if (result->first_ns == 0 && rules_committed(lab->rules) > committed)
				result->first_ns = sim_now(lab->sim) - start;
		}
		lab_forget_ended(lab);
		if (s >= SETTLING_S) {
			result->late_changes += leaders(lab) - led_before;
			result->silent_s += rules_committed(lab->rules) == before;
		}
	}
	result->changes = leaders(lab) - led - result->late_changes;
}

static void judge(struct lab *lab, const struct graphs_settings *settings, const struct graphs_result *result)
{
	uint64_t seconds = WHOLE_S - SETTLING_S;
	if (graph_can_lead(&settings->graph)) {
		if (result->silent_s > 0)
			lab_fail(lab, "nothing was committed in %" PRIu64 " of %" PRIu64 " s", result->silent_s,
				 seconds);
		if (result->late_changes > 0)
			lab_fail(lab, "%" PRIu64 " leaders began in %" PRIu64 " s", result->late_changes, seconds);
		return;
	}
	/* What was acknowledged when the graph was cut may be committed a little later. */
	if (result->silent_s < seconds || (!settings->cut && result->first_ns > 0))
		lab_fail(lab, "something was committed without a node that reaches a quorum");
	if (result->changes + result->late_changes > 0)
		lab_fail(lab, "somebody was elected without a node that reaches a quorum");
}

void graphs_run(const struct graphs_settings *settings, struct graphs_result *result)
{
	const struct lab_settings lab_settings = {.seed = settings->seed};
	struct lab_result lab_result;
	struct mem mem;
	mem_init(&mem, false);
	memset(result, 0, sizeof *result);
	struct lab *lab = mem_zero(&mem, sizeof *lab);
	lab->entry_bytes = 100;
	lab->snapshot_log_bytes = 16 * 1024;
	lab_open(lab, &lab_settings, settings->graph.nodes);
	await_birth(lab);
	if (settings->cut)
		await_traffic(lab);
	result->campaigns = campaigns(lab);
	put_in_force(lab, &settings->graph);
	watch(lab, result);
	judge(lab, settings, result);
	lab_close(lab, &lab_result);
	mem_free(&mem, lab);
	result->failed = lab_result.failed;
	result->virtual_ns = lab_result.virtual_ns;
	snprintf(result->failure, sizeof result->failure, "%.*s", GRAPHS_FAILURE_BYTES - 1, lab_result.failure);
}
