/*
 * Connections that one side believes in and the other has lost, because a machine died without a sign. Both were found
 * by short runs of the simulator, seeds 103 and 965 at commit 0d712d7.
 */
#include "unit/node_world.h"

enum { SEEDS = 10 };

/* The one that came back dials after KNOCK_NS; silence, and a handshake, are given two seconds. */
#define SOON (KNOCK_NS + 100 * MS)

static void ask_to_lead(void *context)
{
	struct world *w = context;
	struct member *l = leader(w);
	char error[512];
	ikada_node_transfer(l->node, 1, 1 * S, error, sizeof error);
}

/* Three nodes, of which the first leads: it sends to the others all the time. */
static struct world *begin(uint64_t seed)
{
	struct world *w = make_world(seed, 3);
	for (uint32_t i = 0; i < w->count; i++)
		start(&w->members[i]);
	await_leader(w);
	run(w, 2 * S);
	for (int i = 0; i < 10 && leader(w) != &w->members[0]; i++) {
		assert_true(sim_host_run(await_leader(w)->host, ask_to_lead, w));
		run(w, 1 * S);
	}
	assert_ptr_equal(leader(w), &w->members[0]);
	return w;
}

/* The connection of the first with the second, as the first sees it. */
static const struct peer *second(struct world *w)
{
	return links_peer(w->members[0].node, 2);
}

/* The first has a connection with the process of the second that runs now, soon after that was started. */
static void expect_connected(struct world *w)
{
	run(w, SOON);
	assert_non_null(second(w)->link);
	assert_int_equal(second(w)->link->peer_boot, w->members[1].node->boot);
	assert_int_equal(lines_with(w, "is silent"), 0);
	assert_int_equal(lines_with(w, "did not shake hands"), 0);
	assert_int_equal(lines_with(w, "it is for the lower id to dial"), 0);
}

static void end(struct world *w)
{
	expect(submit(&w->members[1], false), IKADA_DONE);
	run(w, 2 * S);
	judge(w);
	end_world(w);
}

/*
 * The second loses power and comes back, and nothing that the first sends gets through: it hears of no end. Seed 103:
 * it refused the second's dial for the sake of the old connection, until silence ended that.
 */
static void half_open(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = begin(seed);
		struct member *m = &w->members[1];
		uint64_t was = m->node->boot;
		sim_net_link(w->members[0].host, m->host)->drop_ppm = 1000000; /* Only frames: a handshake is none. */
		run(w, 5 * MS);
		crash(m, SIM_POWER_SILENT);
		start(m);
		run(w, KNOCK_NS - 10 * MS);
		assert_non_null(second(w)->link);
		assert_int_equal(second(w)->link->peer_boot, was);
		expect_connected(w);
		sim_net_link(w->members[0].host, m->host)->drop_ppm = 0;
		end(w);
	}
}

/*
 * The first has dialed and said its hello, and the second loses power before it answers. Seed 965: when the second was
 * back and dialed, it was refused for the sake of that dialing, until its time was up.
 */
static void dies_in_the_handshake(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = begin(seed);
		struct member *m = &w->members[1];
		sim_net_break(w->members[0].host, m->host);
		while (second(w)->dialing == NULL)
			run(w, MS / 100);
		uint64_t began = second(w)->dialing->sent_ns;
		while (second(w)->dialing->sent_ns == began)
			run(w, MS / 100);
		sim_net_cut(m->host, w->members[0].host, false); /* What holds its answer until it dies. */
		while (links_peer(m->node, 1)->link == NULL)
			run(w, MS / 100);
		crash(m, SIM_POWER_SILENT);
		sim_net_heal(m->host, w->members[0].host);
		start(m);
		run(w, KNOCK_NS - 10 * MS);
		assert_non_null(second(w)->dialing);
		assert_null(second(w)->link);
		expect_connected(w);
		end(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(half_open),
		cmocka_unit_test(dies_in_the_handshake),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
