/*
 * A machine too busy for its processes: they stand still, all of them or one, and go on as if nothing had happened.
 * Starvation is not silence: nobody is elected for nothing. But a leader that the others have replaced notices.
 */
#include "unit/node_world.h"

enum { STALLS = 100, SEEDS = 20 };

static struct world *begin(uint64_t seed)
{
	struct world *w = make_world(seed, 3);
	for (uint32_t i = 0; i < w->count; i++)
		start(&w->members[i]);
	return w;
}

static void end(struct world *w)
{
	run(w, 3 * S);
	judge(w);
	for (uint32_t i = 0; i < w->count; i++)
		stop(&w->members[i]);
	end_world(w);
}

/* All stand still for up to two seconds, then each runs for some milliseconds; not all of them begin together. */
static void everybody_late(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = begin(seed);
		struct rng rng = rng_seed(seed);
		const struct member *first = await_leader(w);
		run(w, 1 * S);
		for (int stall = 0; stall < STALLS; stall++) {
			uint64_t until = sim_now(w->sim) + rng_between(&rng, 300 * MS, 2 * S);
			for (uint32_t i = 0; i < w->count; i++)
				sim_host_pause(w->members[i].host, until + rng_below(&rng, 20 * MS));
			run(w, until + rng_between(&rng, 1 * MS, 40 * MS) - sim_now(w->sim));
		}
		run(w, 1 * S);
		assert_ptr_equal(leader(w), first);
		assert_int_equal(lines_with(w, "is silent"), 0); /* Nor is a connection closed. */
		for (uint32_t i = 0; i < w->count; i++)
			assert_int_equal(status_of(&w->members[i]).raft.term, 1);
		expect(submit(&w->members[0], false), IKADA_DONE);
		end(w);
	}
}

/* The leader alone stands still: it is replaced, and soon knows when it goes on, whoever tells it. */
static void late_leader_alone(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = begin(seed);
		struct member *old = await_leader(w);
		run(w, 1 * S);
		sim_host_pause(old->host, sim_now(w->sim) + 10 * S);
		run(w, 10 * S - 1 * MS);
		const struct member *other = other_than(w, old);
		struct ikada_node_status status = status_of(other);
		assert_true(status.raft.term > 1 && status.raft.leader != old->id);
		run(w, 20 * MS);
		assert_int_not_equal(status_of(old).raft.role, IKADA_LEADER);
		end(w);
	}
}

/* Nobody tells it: it is cut off, and always late. It goes when it has run for an election timeout, in short pieces. */
static void late_leader_cut_off(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = begin(seed);
		struct member *old = await_leader(w);
		run(w, 1 * S);
		for (uint32_t i = 0; i < w->count; i++)
			if (&w->members[i] != old)
				sim_net_cut(old->host, w->members[i].host, true);
		int stalls = 0;
		for (; status_of(old).raft.role == IKADA_LEADER && stalls < STALLS; stalls++) {
			sim_host_pause(old->host, sim_now(w->sim) + 1 * S);
			run(w, 1 * S + 1 * MS);
		}
		assert_in_range(stalls, 5, 20); /* Each costs it a heartbeat at most. */
		for (uint32_t i = 0; i < w->count; i++)
			if (&w->members[i] != old)
				sim_net_heal(old->host, w->members[i].host);
		end(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everybody_late),
		cmocka_unit_test(late_leader_alone),
		cmocka_unit_test(late_leader_cut_off),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
