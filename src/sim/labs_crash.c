/* What survives crashes (paper, 5.2 to 5.4.2), and bad networks. */
#include "sim/labs_internal.h"

#include <inttypes.h>

static void restart(struct lab *lab, uint32_t node)
{
	lab_crash(lab, node);
	lab_start(lab, node);
}

static uint32_t up(const struct lab *lab)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < lab->count; i++)
		n += lab->nodes[i].node != NULL;
	return n;
}

static void start_all(struct lab *lab)
{
	for (uint32_t i = 0; i < lab->count; i++)
		lab_start(lab, i);
}

/* The leader, a follower and everybody restart. */
void lab_persist_1(struct lab *lab)
{
	lab_one(lab, 3);
	for (uint32_t i = 0; i < lab->count; i++)
		lab_crash(lab, i);
	start_all(lab);
	lab_one(lab, 3);
	restart(lab, lab_leader(lab));
	lab_one(lab, 3);
	uint32_t leader = lab_leader(lab);
	lab_crash(lab, leader);
	lab_one(lab, 2);
	lab_start(lab, leader);
	lab_one(lab, 3);
	uint32_t follower = lab_after(lab, lab_leader(lab), 1);
	lab_crash(lab, follower);
	lab_one(lab, 2);
	lab_start(lab, follower);
	lab_one(lab, 3);
}

/* Of five, always three are there, and seldom the same. */
void lab_persist_2(struct lab *lab)
{
	for (uint32_t round = 0; round < 5 && lab_ok(lab); round++) {
		lab_one(lab, 5);
		uint32_t leader = lab_leader(lab);
		lab_crash(lab, lab_after(lab, leader, 1));
		lab_crash(lab, lab_after(lab, leader, 2));
		lab_one(lab, 3);
		lab_crash(lab, leader);
		lab_crash(lab, lab_after(lab, leader, 3));
		lab_crash(lab, lab_after(lab, leader, 4));
		lab_start(lab, lab_after(lab, leader, 1));
		lab_start(lab, lab_after(lab, leader, 2));
		lab_run(lab, LAB_ELECTION_NS);
		lab_start(lab, lab_after(lab, leader, 3));
		lab_one(lab, 3);
		lab_start(lab, lab_after(lab, leader, 4));
		lab_start(lab, leader);
	}
	lab_one(lab, 5);
}

/* The leader and a follower that holds the last entry crash; one that does not comes back first. */
void lab_persist_3(struct lab *lab)
{
	lab_one(lab, 3);
	uint32_t leader = lab_leader(lab);
	lab_cut(lab, lab_after(lab, leader, 2));
	lab_one(lab, 2);
	lab_crash(lab, leader);
	lab_crash(lab, lab_after(lab, leader, 1));
	lab_join(lab, lab_after(lab, leader, 2));
	lab_start(lab, leader);
	lab_one(lab, 2);
	lab_start(lab, lab_after(lab, leader, 1));
	lab_one(lab, 3);
}

/*
 * Leaders crash with entries that some have, and their successors must not take them for committed (paper, figure 8).
 */
void lab_figure_8(struct lab *lab)
{
	lab_one(lab, 1);
	for (uint32_t round = 0; round < 1000 && lab_ok(lab); round++) {
		uint32_t leader = LAB_NOBODY;
		for (uint32_t i = 0; i < lab->count; i++) {
			uint64_t term;
			if (lab->nodes[i].node == NULL || rules_role(lab->rules, i, &term) != IKADA_LEADER)
				continue;
			leader = i;
			lab_propose(lab, i, lab_value(lab));
		}
		if (lab_draw(lab, 1000) < 100)
			lab_run(lab, lab_draw(lab, LAB_ELECTION_NS));
		else
			lab_run(lab, lab_draw(lab, 13 * LAB_MS));
		if (leader != LAB_NOBODY)
			lab_crash(lab, leader);
		if (up(lab) < 3)
			lab_start(lab, (uint32_t)lab_draw(lab, lab->count));
	}
	start_all(lab);
	lab_one(lab, 5);
}

/* Much at once, with frames lost. */
void lab_unreliable_agree(struct lab *lab)
{
	lab_network(lab, LAB_UNRELIABLE);
	for (uint32_t round = 0; round < 50; round++)
		lab_agree(lab, 5, 1);
	lab_network(lab, LAB_RELIABLE);
	lab_one(lab, 5);
}

/* Figure 8 with cuts instead of crashes, and frames that come seconds late. */
void lab_figure_8_unreliable(struct lab *lab)
{
	uint32_t connected = lab->count;
	lab_network(lab, LAB_UNRELIABLE);
	lab_one(lab, 1);
	for (uint32_t round = 0; round < 1000 && lab_ok(lab); round++) {
		uint32_t leader = LAB_NOBODY;
		if (round == 200)
			lab_network(lab, LAB_REORDERING);
		for (uint32_t i = 0; i < lab->count; i++) {
			uint64_t term;
			if (rules_role(lab->rules, i, &term) != IKADA_LEADER)
				continue;
			lab_propose(lab, i, lab_value(lab));
			if (!lab->nodes[i].cut)
				leader = i;
		}
		if (lab_draw(lab, 1000) < 100)
			lab_run(lab, lab_draw(lab, LAB_ELECTION_NS));
		else
			lab_run(lab, lab_draw(lab, 13 * LAB_MS));
		if (leader != LAB_NOBODY && lab_draw(lab, 1000) < 500) {
			lab_cut(lab, leader);
			connected--;
		}
		uint32_t back = (uint32_t)lab_draw(lab, lab->count);
		if (connected < 3 && lab->nodes[back].cut) {
			lab_join(lab, back);
			connected++;
		}
	}
	lab_join_all(lab);
	lab_network(lab, LAB_RELIABLE);
	lab_run(lab, 3 * LAB_S); /* What is on its way late arrives. */
	lab_one(lab, 5);
}

/* ---- Churn ---- */

enum { CLIENTS = 3, ENOUGH = 10 /* Values acknowledged. */ };

/* Each asks whoever believes to lead, one value after another, and remembers what was acknowledged. */
struct client {
	const struct lab_proposal *proposal;
	struct lab_list acknowledged;
};

static void serve_client(struct lab *lab, struct client *client)
{
	const struct lab_proposal *p = client->proposal;
	if (p != NULL && !p->ended)
		return;
	if (p != NULL && p->outcome == IKADA_DONE)
		lab_list_set(lab, &client->acknowledged, client->acknowledged.size, p->value);
	client->proposal = NULL;
	uint32_t first = (uint32_t)lab_draw(lab, lab->count);
	for (uint32_t i = 0; i < lab->count; i++) {
		uint32_t node = lab_after(lab, first, i);
		uint64_t term;
		if (lab->nodes[node].node == NULL || rules_role(lab->rules, node, &term) != IKADA_LEADER)
			continue;
		client->proposal = lab_propose(lab, node, lab_value(lab));
		return;
	}
}

static void serve_clients(struct lab *lab, struct client clients[CLIENTS], uint64_t ns)
{
	uint64_t end = sim_now(lab->sim) + ns;
	while (lab_ok(lab) && sim_now(lab->sim) < end) {
		for (uint32_t i = 0; i < CLIENTS; i++)
			serve_client(lab, &clients[i]);
		lab_run(lab, 3 * LAB_MS);
	}
}

static uint64_t acknowledged_to(const struct client clients[CLIENTS])
{
	uint64_t count = 0;
	for (uint32_t i = 0; i < CLIENTS; i++)
		count += clients[i].acknowledged.size;
	return count;
}

/* Chance may leave no majority for most of twenty rounds; they go on until there was one for long enough. */
static void churn(struct lab *lab)
{
	struct client clients[CLIENTS] = {0};
	serve_clients(lab, clients, LAB_S);
	for (uint32_t round = 0; lab_ok(lab) && (round < 20 || acknowledged_to(clients) < ENOUGH); round++) {
		if (round == 100)
			lab_fail(lab, "only %" PRIu64 " values were acknowledged", acknowledged_to(clients));
		uint32_t node = (uint32_t)lab_draw(lab, lab->count);
		if (lab_draw(lab, 1000) < 200)
			lab_cut(lab, node);
		node = (uint32_t)lab_draw(lab, lab->count);
		if (lab_draw(lab, 1000) < 500) {
			lab_start(lab, node);
			lab_join(lab, node);
		}
		node = (uint32_t)lab_draw(lab, lab->count);
		if (lab_draw(lab, 1000) < 200)
			lab_crash(lab, node);
		serve_clients(lab, clients, LAB_ELECTION_NS * 7 / 10);
	}
	lab_run(lab, LAB_ELECTION_NS);
	lab_network(lab, LAB_RELIABLE);
	start_all(lab);
	lab_join_all(lab);
	lab_one(lab, lab->count);
	/* All have applied an entry behind all that was acknowledged. */
	for (uint32_t i = 0; i < CLIENTS; i++) {
		for (uint64_t at = 0; at < clients[i].acknowledged.size; at++) {
			uint64_t value = clients[i].acknowledged.at[at];
			if (lab_appliers(lab, value) != lab->count)
				lab_fail(lab,
					 "value %" PRIu64 " was acknowledged, and %" PRIu32 " of %" PRIu32
					 " nodes have it",
					 value, lab_appliers(lab, value), lab->count);
		}
	}
}

void lab_churn(struct lab *lab)
{
	churn(lab);
}

void lab_churn_unreliable(struct lab *lab)
{
	lab_network(lab, LAB_UNRELIABLE);
	churn(lab);
}
