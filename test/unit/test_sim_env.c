/* The simulated world: crashes, clocks, memory, and that a seed decides everything. */
#include "unit/sim_file_model.h"

/* ---- Crashes and what peers see ---- */

static void test_kill_is_seen_at_once(void **state)
{
	(void)state;
	bool all = false, none = false;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = world_new(seed);
		connected(w);
		run(&w->a, send_100);
		sim_host_crash(w->a.host, SIM_KILL);
		assert_false(sim_host_running(w->a.host));
		uint64_t at = sim_now(w->sim);
		run_for(w, 1 * S);
		assert_int_equal(w->b.closed, 1);
		assert_int_equal(w->b.status, -ECONNRESET);
		assert_true(w->b.closed_at < at + 2 * MS);
		all = all || w->b.got == 100;
		none = none || w->b.got == 0;
		world_free(w);
	}
	assert_true(all && none);
}

static void test_power_is_seen_late_or_not(void **state)
{
	(void)state;
	struct world *w = world_new(11);
	connected(w);
	sim_host_crash(w->a.host, SIM_POWER);
	uint64_t at = sim_now(w->sim);
	run_for(w, 5 * S);
	assert_int_equal(w->b.status, -ECONNRESET);
	assert_true(w->b.closed_at >= at + 200 * MS && w->b.closed_at < at + 2 * S + 2 * MS);
	world_free(w);

	w = world_new(12);
	connected(w);
	sim_host_crash(w->a.host, SIM_POWER_SILENT);
	run_for(w, 100 * S);
	assert_int_equal(w->b.closed, 0);
	at = sim_now(w->sim);
	run(&w->b, send_100);
	run_for(w, 1 * S);
	assert_int_equal(w->b.status, -ECONNRESET);
	assert_true(w->b.closed_at >= at + 200 * US);
	/* What a cut held is not sent by a machine that was lost meanwhile. */
	struct world *v = world_new(13);
	sim_net_settings(v->sim)->break_ppm = 0;
	connected(v);
	sim_net_cut(v->a.host, v->b.host, false);
	run(&v->a, send_100);
	run_for(v, 1 * S);
	sim_host_crash(v->a.host, SIM_POWER);
	sim_net_heal_all(v->sim);
	run_for(v, 5 * S);
	assert_int_equal(v->b.got, 0);
	assert_int_equal(v->b.closed, 1);
	world_free(v);
	/* A new process on that host is reached by new connects only. */
	start(&w->a);
	run_for(w, 1 * S);
	assert_int_equal(w->a.got, 0);
	world_free(w);
}

static void test_kill_while_connecting(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = world_new(seed);
		enum sim_crash how = (enum sim_crash)(seed % 3);
		run(&w->b, do_listen);
		run(&w->a, do_connect);
		run_for(w, seed * 25 * US);
		struct side *victim = seed % 2 == 0 ? &w->a : &w->b;
		sim_host_crash(victim->host, how);
		run_for(w, 10 * S);
		if (victim == &w->a && w->b.accepted > 0 && how != SIM_POWER_SILENT)
			assert_int_equal(w->b.closed, 1);
		if (victim == &w->b && how != SIM_POWER_SILENT)
			assert_int_equal(w->a.closed, 1);
		world_free(w);
	}
}

/* The system of a paused process accepts and receives; its peers notice nothing. */
static void test_pause(void **state)
{
	(void)state;
	struct world *w = world_new(13);
	run(&w->b, do_listen);
	uint64_t until = sim_now(w->sim) + 3 * S;
	sim_host_pause(w->b.host, until);
	run(&w->a, do_connect);
	run_for(w, 1 * S);
	assert_int_equal(w->a.opened, 1);
	assert_int_equal(w->b.accepted, 0);
	run(&w->a, send_100);
	run_for(w, 1 * S);
	assert_int_equal(w->b.got, 0);
	run_for(w, 2 * S);
	assert_int_equal(w->b.accepted, 1);
	assert_int_equal(w->b.got, 100);
	assert_int_equal(w->b.received_at, until);
	/* A pause ends with its process. */
	sim_host_pause(w->b.host, sim_now(w->sim) + 100 * S);
	sim_host_crash(w->b.host, SIM_KILL);
	start(&w->b);
	run(&w->b, do_listen);
	run_for(w, 10 * MS);
	assert_int_equal(w->a.closed, 1);
	w->b.accepted = 0;
	run(&w->a, reconnect);
	run_for(w, 1 * S);
	assert_int_equal(w->b.accepted, 1);
	world_free(w);
}

/* ---- Clocks ---- */

static void wake_in_10ms(struct side *side)
{
	if (side->sent == 0) /* Here: the raw time of the deadline. */
		side->sent = side->ops->raw_ns(side->env) + 10 * MS;
	if (side->ops->raw_ns(side->env) < side->sent)
		side->ops->wake_at(side->env, side->sent);
}

static void test_lateness(void **state)
{
	(void)state;
	struct world *w = world_new(14);
	w->a.each_turn = wake_in_10ms;
	run(&w->a, wake_in_10ms);
	run_for(w, 1 * MS);
	uint64_t awake = w->a.ops->awake_ns(w->a.env);
	assert_int_equal(w->a.ops->raw_ns(w->a.env), awake);
	sim_host_pause(w->a.host, sim_now(w->sim) + 500 * MS);
	run_for(w, 600 * MS);
	uint64_t raw = w->a.ops->raw_ns(w->a.env);
	awake = w->a.ops->awake_ns(w->a.env);
	assert_true(raw > w->a.sent + 400 * MS);
	assert_int_equal(raw - awake, raw - w->a.sent); /* It woke up at its deadline, as far as it knows. */
	/* A paused process that has no deadline is not late. */
	sim_host_pause(w->a.host, sim_now(w->sim) + 500 * MS);
	run_for(w, 600 * MS);
	run(&w->a, wake_in_10ms);
	uint64_t late = w->a.ops->raw_ns(w->a.env) - w->a.ops->awake_ns(w->a.env);
	assert_int_equal(late, raw - awake);
	/* Looking at the clock while paused, it does not see the deadline pass twice. */
	w->a.sent = 0;
	run(&w->a, wake_in_10ms);
	awake = w->a.ops->awake_ns(w->a.env);
	sim_host_pause(w->a.host, sim_now(w->sim) + 500 * MS);
	run_for(w, 200 * MS);
	run(&w->a, nothing);
	assert_int_equal(w->a.ops->awake_ns(w->a.env), awake + 10 * MS);
	run_for(w, 400 * MS);
	assert_int_equal(w->a.ops->awake_ns(w->a.env), awake + 310 * MS);
	world_free(w);
}

static void test_late_wakeups(void **state)
{
	(void)state;
	struct world *w = world_new(15);
	sim_host_settings(w->a.host)->late_ppm = 1000000;
	sim_host_settings(w->a.host)->late_max_ns = 20 * MS;
	w->a.each_turn = wake_in_10ms;
	run(&w->a, wake_in_10ms);
	run_for(w, 100 * MS);
	uint64_t late = w->a.ops->raw_ns(w->a.env) - w->a.sent;
	assert_true(late > 0 && late <= 20 * MS);
	assert_int_equal(w->a.ops->raw_ns(w->a.env) - w->a.ops->awake_ns(w->a.env), late);
	world_free(w);
}

static void test_rates(void **state)
{
	(void)state;
	for (uint32_t rate = 500000; rate <= 2000000; rate += 37123) {
		struct world *w = world_new(rate);
		sim_host_set_rate(w->a.host, rate);
		run(&w->a, nothing);
		uint64_t raw = w->a.ops->raw_ns(w->a.env);
		uint64_t wall = w->a.ops->wall_ns(w->a.env);
		run_for(w, 100 * S);
		run(&w->a, nothing);
		uint64_t passed = w->a.ops->raw_ns(w->a.env) - raw;
		uint64_t expected = (uint64_t)rate * 100000;
		assert_true(passed <= expected && passed + 100 > expected);
		sim_host_set_rate(w->a.host, 1000000);
		run(&w->a, nothing);
		assert_int_equal(w->a.ops->raw_ns(w->a.env) - raw, passed); /* A new rate does not move the clock. */
		sim_host_set_rate(w->a.host, rate);
		assert_int_equal(w->a.ops->wall_ns(w->a.env) - wall, passed);
		sim_host_set_wall_offset(w->a.host, -(int64_t)S);
		assert_int_equal(w->a.ops->wall_ns(w->a.env) - wall, passed - S);
		/*
		 * A deadline comes when the slow or fast clock shows it: never early, no more than a step of it late.
		 */
		w->a.each_turn = wake_in_10ms;
		run(&w->a, wake_in_10ms);
		run_for(w, 100 * MS);
		raw = w->a.ops->raw_ns(w->a.env);
		assert_true(raw >= w->a.sent && raw <= w->a.sent + 2);
		world_free(w);
	}
}

/* ---- Fatal errors, crashes from inside, memory ---- */

static void dies(struct side *side)
{
	mem_alloc(side->env->mem, 1000);
	env_fatal(side->env, "the disk said %d", 5);
}

static bool crash_returned;

static void crashes(struct side *side)
{
	sim_host_crash(side->host, SIM_KILL);
	crash_returned = true;
}

static void test_ends_from_inside(void **state)
{
	(void)state;
	void (*const how[])(struct side *) = {dies, crashes};
	for (int i = 0; i < 2; i++) {
		struct world *w = world_new(16);
		connected(w);
		w->b.on_received = how[i];
		run(&w->a, send_100);
		run_for(w, 100 * MS);
		assert_false(crash_returned);
		assert_false(sim_host_running(w->b.host));
		assert_null(sim_host_env(w->b.host));
		assert_int_equal(w->fatals, i == 0);
		assert_string_equal(w->fatal, i == 0 ? "the disk said 5" : "");
		assert_int_equal(w->a.status, -ECONNRESET);
		w->b.on_received = NULL;
		start(&w->b);
		w->a.closed = w->a.opened = w->b.accepted = 0;
		connected(w);
		assert_false(sim_host_run(w->b.host, (void (*)(void *))(void *)how[i], &w->b));
		world_free(w);
	}
}

static void keeps_100_bytes(struct side *side)
{
	mem_alloc(side->env->mem, 100);
}

static void test_memory_is_counted(void **state)
{
	(void)state;
	struct world *w = world_new(17);
	connected(w);
	run(&w->a, do_close_flushing);
	assert_int_equal(sim_host_stop(w->a.host), 0);
	run_for(w, 100 * MS);
	w->b.ops->listener_close(w->b.listener);
	run(&w->b, keeps_100_bytes);
	assert_int_equal(sim_host_stop(w->b.host), 100);
	start(&w->a);
	run(&w->a, do_connect);
	assert_true(sim_host_stop(w->a.host) > 0);
	world_free(w);
}

/* ---- Determinism ---- */

struct storm {
	struct world *w;
	struct file f;
	uint64_t steps;
};

static void storm_turn(struct side *side)
{
	talk(side);
	if (side->stream != NULL && !side->gone && side->closed == 0 && (side->opened > 0 || side->accepted > 0)) {
		uint64_t number = rng_below(&side->w->rng, 1000);
		if (number < 300)
			side->ops->stream_write_frame(side->stream, "frame", 5);
	}
}

static void storm(void *context)
{
	struct storm *s = context;
	struct world *w = s->w;
	uint64_t choice = rng_below(&w->rng, 12);
	uint64_t pause = rng_below(&w->rng, 50 * MS);
	if (choice == 0)
		sim_net_cut(w->a.host, w->b.host, pause % 2 == 0);
	else if (choice <= 2)
		sim_net_heal_all(w->sim);
	else if (choice == 3)
		sim_host_pause(w->b.host, sim_now(w->sim) + pause);
	else if (choice == 4 && sim_host_running(w->a.host))
		sim_host_crash(w->a.host, (enum sim_crash)(pause % 3));
	else if (choice == 5)
		sim_host_set_rate(w->a.host, (uint32_t)(900000 + pause % 200000));
	else if (choice == 6)
		sim_net_break(w->a.host, w->b.host);
	if (!sim_host_running(w->a.host)) {
		start(&w->a);
		w->a.closed = 1;
		with_file(&s->f, file_create);
	}
	if (w->a.closed > 0)
		run(&w->a, reconnect);
	with_file(&s->f, choice % 2 == 0 ? file_write : file_sync);
	if (++s->steps < 400)
		sim_schedule(w->sim, sim_now(w->sim) + pause, storm, s);
}

static uint64_t storm_hash(uint64_t seed)
{
	struct storm *s = calloc(1, sizeof *s);
	struct world *w = world_new(seed);
	struct sim_link link = *sim_net_link(w->a.host, w->b.host);
	link.drop_ppm = link.duplicate_ppm = 50000;
	link.split_ppm = 300000;
	sim_net_set_all(w->sim, &link);
	s->w = w;
	s->f.side = &w->a;
	w->a.collects = w->b.collects = true;
	w->a.each_turn = w->b.each_turn = storm_turn;
	with_file(&s->f, file_create);
	run(&w->b, do_listen);
	run(&w->a, do_connect);
	sim_schedule(w->sim, 0, storm, s);
	while (s->steps < 400)
		run_for(w, 1 * S);
	run_for(w, 20 * S);
	uint64_t hash = sim_trace_hash(w->sim);
	assert_true(sim_counters(w->sim)->events > 2000);
	world_free(w);
	free(s);
	return hash;
}

static void test_seed_decides(void **state)
{
	(void)state;
	uint64_t first = storm_hash(1);
	for (uint64_t seed = 1; seed <= 10; seed++) {
		uint64_t hash = storm_hash(seed);
		assert_int_equal(hash, storm_hash(seed));
		assert_true(seed == 1 ? hash == first : hash != first);
	}
	print_message("storm of seed 1: %016llx\n", (unsigned long long)first);
}

/* The same happens at the same times, with other bytes. */
static void test_hash_covers_bytes(void **state)
{
	(void)state;
	uint64_t hashes[2];
	uint64_t events_seen[2];
	for (uint64_t i = 0; i < 2; i++) {
		struct world *w = world_new(24);
		connected(w);
		w->a.sent = w->b.got = i;
		run(&w->a, send_100);
		run_for(w, 100 * MS);
		assert_int_equal(w->b.got, 100 + i);
		hashes[i] = sim_trace_hash(w->sim);
		events_seen[i] = sim_counters(w->sim)->events;
		world_free(w);
	}
	assert_int_equal(events_seen[0], events_seen[1]);
	assert_true(hashes[0] != hashes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kill_is_seen_at_once),
		cmocka_unit_test(test_power_is_seen_late_or_not),
		cmocka_unit_test(test_kill_while_connecting),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_lateness),
		cmocka_unit_test(test_late_wakeups),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_ends_from_inside),
		cmocka_unit_test(test_memory_is_counted),
		cmocka_unit_test(test_seed_decides),
		cmocka_unit_test(test_hash_covers_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) == 0 ? 0 : 1;
}
