/*
 * Who is taken into a cluster, in the moments around it: what reaches it too early does no harm, it connects at once,
 * and whoever knocked under its id before is forgotten. Found by short runs of the simulator with members that change,
 * seeds 3455, 674 and 4286.
 */
#include "unit/node_world.h"

enum { SEEDS = 10 };

static bool connected_to_all(const struct member *m, uint32_t others)
{
	uint32_t count = 0;
	for (uint32_t i = 0; m->node != NULL && i < m->node->peer_count; i++)
		count += m->node->peers[i].link != NULL;
	return count == others;
}

/* A cluster of three that has a state with digests. */
static struct world *begin(uint64_t seed)
{
	struct world *w = make_world(seed, 3);
	for (uint32_t i = 0; i < w->count; i++) {
		w->members[i].checkpoint_entries = 16;
		start(&w->members[i]);
	}
	for (int i = 0; i < 100; i++)
		submit(await_leader(w), false);
	expect(submit(await_leader(w), false), IKADA_DONE);
	return w;
}

/* Its disk is empty, and it waits; so long that it hardly dials any more. */
static void wipe(struct world *w, struct member *m)
{
	crash(m, SIM_POWER);
	sim_disk_wipe(m->host);
	start(m);
	run(w, 5 * S);
	assert_null(m->node->raft);
}

static void replace(struct world *w, struct member *m)
{
	struct change c = {.taken = false};
	for (int i = 0; i < 500 && !c.taken; i++) {
		c = asked(await_leader(w), IKADA_MEMBER_REPLACE, m->id, NULL);
		if (!c.taken)
			run(w, 10 * MS);
	}
	assert_true(c.taken);
}

/* Until it knows that it belongs to the cluster, which is not on its disk yet. */
static void await_promise(struct world *w, const struct member *m)
{
	for (int i = 0; i < 500000 && m->node->promised_cluster_id == 0; i++)
		run(w, MS / 100);
	assert_true(m->node->promised_cluster_id != 0);
}

static void end(struct world *w)
{
	for (uint32_t i = 0; i < w->count; i++)
		expect(submit(&w->members[i], false), IKADA_DONE);
	run(w, 2 * S);
	judge(w);
	end_world(w);
}

static void test_hears_too_early(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = begin(seed);
		struct member *m = &w->members[seed % 3];
		wipe(w, m);
		replace(w, m);
		await_promise(w, m);
		sim_disk_stall(m->host, sim_now(w->sim) + 400 * MS);
		run(w, 300 * MS);
		assert_true(m->node->cluster_id == 0);
		assert_int_equal(lines_with(w, "sent broken"), 0);
		run(w, 1 * S);
		assert_int_equal(lines_with(w, "sent broken"), 0);
		end(w);
	}
}

/* The lowest id, whose business it is to dial. */
static void test_connects_at_once(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = begin(seed);
		struct member *m = &w->members[0];
		wipe(w, m);
		replace(w, m);
		await_promise(w, m);
		run(w, 100 * MS);
		assert_true(connected_to_all(m, 2));
		end(w);
	}
}

static void lead(void *context)
{
	struct member *m = context;
	char error[512];
	ikada_node_transfer(leader(m->world)->node, m->id, 1 * S, error, sizeof error);
}

static void make_leader(struct world *w, struct member *m)
{
	for (int i = 0; i < 10 && leader(w) != m; i++) {
		assert_true(sim_host_run(await_leader(w)->host, lead, m));
		run(w, 500 * MS);
	}
	assert_ptr_equal(leader(w), m);
}

/* The first knows one that knocked, the second takes in another one; then the first is asked to replace it. */
static void test_forgets_who_knocked(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = begin(seed);
		struct member *m = &w->members[2];
		make_leader(w, &w->members[0]);
		crash(m, SIM_POWER);
		sim_disk_wipe(m->host);
		start(m);
		run(w, 1 * S); /* At the first. */
		sim_net_cut(w->members[0].host, m->host, true);
		make_leader(w, &w->members[1]);
		crash(m, SIM_POWER);
		sim_disk_wipe(m->host);
		start(m);
		run(w, 1 * S); /* At the second. */
		replace(w, m);
		run(w, 1 * S);
		uint64_t is = m->node->incarnation;
		sim_net_heal(w->members[0].host, m->host);
		make_leader(w, &w->members[0]);
		run(w, 1 * S);
		const struct change c = asked(&w->members[0], IKADA_MEMBER_REPLACE, m->id, NULL);
		assert_false(c.taken);
		assert_non_null(strstr(c.error, "no other incarnation"));
		assert_int_equal(status_of(&w->members[0]).members[2].incarnation, is);
		end(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hears_too_early),
		cmocka_unit_test(test_connects_at_once),
		cmocka_unit_test(test_forgets_who_knocked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
