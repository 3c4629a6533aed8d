/*
 * Nodes that take snapshots, send them, start from them, and compare their states; and die at each step of it.
 *
 * VERBOSE=1 shows what the nodes log; STORM=A STORMS=B runs the storms of seeds A to B.
 */
#include "unit/node_world.h"

/* ---- A cluster that takes snapshots often ---- */

static struct world *make_world_that_takes(uint64_t seed, uint32_t count, uint64_t log_bytes)
{
	struct world *w = make_world(seed, count);
	for (uint32_t i = 0; i < count; i++) {
		w->members[i].snapshot_log_bytes = log_bytes;
		w->members[i].checkpoint_entries = 16;
	}
	return w;
}

static struct world *make_cluster_that_takes(uint64_t seed, uint32_t count, uint64_t log_bytes)
{
	struct world *w = make_world_that_takes(seed, count, log_bytes);
	for (uint32_t i = 0; i < count; i++) {
		start(&w->members[i]);
		assert_non_null(w->members[i].node);
	}
	await_leader(w);
	run(w, 200 * MS);
	return w;
}

/* So many writes at the member, all done. */
static void write_many(struct member *m, uint32_t count)
{
	struct call *last = NULL;
	for (uint32_t i = 0; i < count; i++) {
		last = submit(m, false);
		if (i % 50 == 49)
			run(m->world, 20 * MS);
	}
	expect(last, IKADA_DONE);
}

static void settle_and_judge(struct world *w)
{
	for (uint32_t i = 0; i < w->count; i++)
		if (w->members[i].node == NULL)
			start(&w->members[i]);
	run(w, 5 * S);
	for (uint32_t i = 0; i < w->count; i++)
		expect(submit(&w->members[i], false), IKADA_DONE);
	run(w, 2 * S);
	judge(w);
}

struct files {
	char paths[8][128];
	uint32_t count;
};

static void add_path(void *context, const char *path)
{
	struct files *files = context;
	if (strstr(path, "/snapshot/") == NULL || strchr(strstr(path, "/snapshot/"), '.') != NULL)
		return; /* Another file, or a draft. */
	assert_in_range(files->count, 0, 7);
	snprintf(files->paths[files->count++], sizeof files->paths[0], "%s", path);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The files in its directory of snapshots, by name, which is by index. */
static struct files files_of(const struct member *m)
{
	struct files files = {.count = 0};
	sim_disk_each(m->host, add_path, &files);
	qsort(files.paths, files.count, sizeof files.paths[0], by_text);
	return files;
}

static void damage(struct member *m, const char *path)
{
	uint64_t size;
	assert_non_null(sim_disk_peek(m->host, path, &size));
	assert_true(sim_disk_flip(m->host, path, size / 2, 3));
}

/* ---- Taking and starting ---- */

static void test_taken_and_compacted(void **state)
{
	(void)state;
	struct world *w = make_cluster_that_takes(1, 1, 8192);
	struct member *m = &w->members[0];
	write_many(m, 2000);
	run(w, 1 * S);
	struct ikada_node_status status = status_of(m);
	assert_in_range(status.snapshot_index, 1800, 2001);
	assert_in_range(status.raft.base_index, 1700, status.snapshot_index - 1);
	assert_in_range(m->node->cache.bytes, 1, 4 * 8192);
	assert_int_equal(m->node->cache.base, status.raft.base_index);
	assert_int_equal(files_of(m).count, 2);
	assert_int_equal(w->steps[NODE_SNAPSHOT_HELD], w->steps[NODE_SNAPSHOT_PUBLISHED]);
	for (int how = 0; how < 3; how++) {
		uint64_t count = m->count, restored = m->restored;
		if (how == 0)
			stop(m);
		else
			crash(m, how == 1 ? SIM_KILL : SIM_POWER);
		start(m);
		assert_int_equal(m->restored, restored + 1);
		assert_in_range(m->count, 1, count - 1); /* The rest is replayed. */
		struct call *read = submit(m, true);
		expect(read, IKADA_DONE);
		assert_int_equal(read->position, count);
	}
	write_many(m, 500);
	run(w, 1 * S);
	assert_true(status_of(m).snapshot_index > status.snapshot_index);
	judge(w);
	stop(m);
	end_world(w);
}

/* A large state is not written in one go: the processor and the disk are wanted by writes, too. */
static void test_taken_at_a_pace(void **state)
{
	(void)state;
	struct world *w = make_world(1, 1);
	struct member *m = &w->members[0];
	m->segment_bytes = 8 * 1024 * 1024; /* A piece is 32 KiB. */
	m->snapshot_log_bytes = 64 * 1024 * 1024;
	start(m);
	await_leader(w);
	write_many(m, 20000);
	assert_int_equal(w->steps[NODE_SNAPSHOT_HELD], 0);
	m->node->snapshots.wanted = true;
	struct call *call = submit(m, false);
	while (!m->holding)
		run(w, MS / 10);
	uint64_t from = sim_now(w->sim);
	while (m->holding) {
		assert_in_range(8 * m->saved, 0, 64 * 1024 + (sim_now(w->sim) - from) / 30);
		assert_in_range(sim_now(w->sim) - from, 0, 50 * MS);
		run(w, MS / 10);
	}
	assert_int_equal(m->saved, m->held);
	expect(call, IKADA_DONE);
	run(w, 50 * MS);
	assert_int_equal(w->steps[NODE_SNAPSHOT_PUBLISHED], 1);
	end_world(w);
}

/* An entry larger than what a snapshot waits for, values larger than a piece: sizes are not special. */
static void test_large_entries(void **state)
{
	(void)state;
	struct world *w = make_cluster_that_takes(2, 3, 4096);
	for (int i = 0; i < 60; i++)
		expect(submit_sized(&w->members[i % 3], false, (size_t)(8 + i * 300)), IKADA_DONE);
	settle_and_judge(w);
	assert_true(w->steps[NODE_SNAPSHOT_PUBLISHED] > 60);
	end_world(w);
}

static void test_damaged_newest(void **state)
{
	(void)state;
	struct world *w = make_cluster_that_takes(3, 1, 8192);
	struct member *m = &w->members[0];
	write_many(m, 1000);
	run(w, 1 * S);
	uint64_t count = m->count;
	crash(m, SIM_KILL);
	struct files files = files_of(m);
	assert_int_equal(files.count, 2);
	damage(m, files.paths[1]);
	start(m);
	assert_non_null(m->node);
	assert_int_equal(lines_with(w, "cannot be used and is removed"), 1);
	struct call *read = submit(m, true);
	expect(read, IKADA_DONE);
	assert_int_equal(read->position, count);
	crash(m, SIM_KILL);
	files = files_of(m);
	for (uint32_t i = 0; i < files.count; i++)
		damage(m, files.paths[i]);
	start(m);
	assert_null(m->node);
	assert_non_null(strstr(m->error, "there is no snapshot that reaches so far and can be loaded"));
	end_world(w);
}

/* Every byte of the newest file matters: the node starts from the other one. */
static void test_each_damage_at_start(void **state)
{
	(void)state;
	struct world *w = make_cluster_that_takes(4, 1, 2048);
	struct member *m = &w->members[0];
	write_many(m, 120);
	run(w, 1 * S);
	struct call *last = submit(m, false);
	expect(last, IKADA_DONE);
	struct rng rng = sim_rng(w->sim, 1);
	for (int i = 0; i < 80; i++) {
		crash(m, SIM_KILL);
		struct files files = files_of(m);
		assert_int_equal(files.count, 2);
		uint64_t size;
		sim_disk_peek(m->host, files.paths[1], &size);
		uint64_t at = i < 20 ? (uint64_t)i * 7 : rng_below(&rng, size);
		assert_true(sim_disk_flip(m->host, files.paths[1], at, (unsigned)i % 8));
		uint32_t lines = lines_with(w, "cannot be used");
		start(m);
		assert_non_null(m->node);
		assert_true(w->line_count >= LINES_MAX || lines_with(w, "cannot be used") == lines + 1);
		struct call *read = submit(m, true);
		expect(read, IKADA_DONE);
		assert_int_equal(read->position, m->count);
		write_many(m, 40); /* It takes another one. */
		run(w, 300 * MS);
	}
	end_world(w);
}

static void test_full_disk_while_taking(void **state)
{
	(void)state;
	struct world *w = make_cluster_that_takes(5, 1, 8192);
	struct member *m = &w->members[0];
	write_many(m, 1500);
	uint64_t before = status_of(m).snapshot_index;
	/* The log has room in its segments; a new file has none. */
	sim_disk_set_limit(m->host, sim_disk_used(m->host) + 100);
	write_many(m, 150);
	run(w, 1 * S);
	assert_int_equal(w->fatals, 0);
	assert_int_equal(status_of(m).snapshot_index, before);
	assert_true(lines_with(w, "is given up: it cannot be written") >= 1);
	assert_int_equal(files_of(m).count, 2);
	sim_disk_set_limit(m->host, UINT64_MAX);
	run(w, 6 * S);
	assert_true(status_of(m).snapshot_index > before);
	judge(w);
	end_world(w);
}

/* Any one failing operation on the disk: a snapshot may fail, the log must not, and nothing is lost. */
static void test_each_failing_operation(void **state)
{
	(void)state;
	uint32_t failed = 0, fatal = 0;
	for (uint64_t after = 0; after < 60; after++) {
		struct world *w = make_cluster_that_takes(600 + after, 1, 2048);
		struct member *m = &w->members[0];
		w->expected_fatal = "";
		write_many(m, 40);
		w->fails = true;
		w->fails_at = (enum node_snapshot_step)(after % (NODE_SNAPSHOT_PUBLISHED + 1));
		for (int i = 0; i < 60 && m->node != NULL; i++) {
			submit(m, false);
			run(w, 3 * MS);
		}
		failed += lines_with(w, "is given up");
		fatal += w->fatals;
		if (m->node == NULL)
			start(m);
		assert_non_null(m->node);
		settle_and_judge(w);
		end_world(w);
	}
	print_message("note: of 60 failing operations %u ended a snapshot, %u the node\n", failed, fatal);
	assert_true(failed > 0);
	assert_true(fatal > 0);
}

/* ---- To a follower behind ---- */

/* A follower that was down while the others went on beyond what their logs keep. */
static struct member *fall_behind(struct world *w, uint32_t entries)
{
	struct member *l = await_leader(w);
	struct member *behind = other_than(w, l);
	crash(behind, SIM_KILL);
	write_many(l, entries);
	run(w, 500 * MS);
	assert_true(status_of(l).raft.base_index > 0);
	return behind;
}

static void test_follower_behind(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct world *w = make_cluster_that_takes(100 + seed, 3, 4096);
		struct member *behind = fall_behind(w, 600);
		start(behind);
		run(w, 3 * S);
		assert_true(w->steps[NODE_RECEIVE_INSTALLED] >= 1);
		assert_true(status_of(behind).raft.base_index > 0);
		assert_int_equal(behind->count, leader(w)->count);
		settle_and_judge(w);
		for (uint32_t i = 0; i < 3; i++)
			stop(&w->members[i]);
		end_world(w);
	}
}

static void test_install_during_writes(void **state)
{
	(void)state;
	uint64_t installs = 0;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct world *w = make_cluster_that_takes(200 + seed, 3, 4096);
		struct member *behind = fall_behind(w, 600);
		start(behind);
		for (int i = 0; i < 400; i++) {
			for (uint32_t j = 0; j < 3; j++)
				submit(&w->members[j], i % 4 == 0);
			run(w, 5 * MS);
		}
		installs += w->steps[NODE_RECEIVE_INSTALLED];
		settle_and_judge(w);
		end_world(w);
	}
	assert_true(installs >= 5);
}

/* The connection is lost again and again; what was received is not sent again. */
static void test_resumes(void **state)
{
	(void)state;
	uint64_t resumed = 0;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct world *w = make_cluster_that_takes(300 + seed, 3, 20000);
		struct member *behind = fall_behind(w, 3000);
		struct member *l = leader(w);
		struct sim_link *link = sim_net_link(l->host, behind->host);
		link->byte_ns = 20000; /* 50 KB a second. */
		start(behind);
		for (int i = 0; i < 12 && w->steps[NODE_RECEIVE_INSTALLED] == 0; i++) {
			run(w, 150 * MS);
			sim_net_break(l->host, behind->host);
		}
		run(w, 5 * S);
		assert_int_equal(w->steps[NODE_RECEIVE_INSTALLED], 1);
		assert_int_equal(w->steps[NODE_RECEIVE_BEGAN], 1);
		resumed += w->steps[NODE_RECEIVE_RESUMED];
		link->byte_ns = 0;
		settle_and_judge(w);
		end_world(w);
	}
	assert_true(resumed >= 5);
}

/* The leader's newest file has rotted: the receiver sees it, and the leader's next one is whole. */
static void test_damaged_on_its_way(void **state)
{
	(void)state;
	struct world *w = make_cluster_that_takes(350, 3, 4096);
	struct member *behind = fall_behind(w, 600);
	struct member *l = leader(w);
	struct files files = files_of(l);
	damage(l, files.paths[files.count - 1]);
	run(w, 10 * S);
	start(behind);
	for (int i = 0; i < 40 && lines_with(w, "the received snapshot") == 0; i++)
		run(w, 50 * MS);
	assert_true(lines_with(w, "the received snapshot") >= 1);
	assert_int_equal(w->steps[NODE_RECEIVE_INSTALLED], 0);
	write_many(l, 10);
	run(w, 5 * S);
	assert_true(w->steps[NODE_RECEIVE_INSTALLED] >= 1);
	settle_and_judge(w);
	end_world(w);
}

/* ---- Death at each step ---- */

static void test_death_at_each_step(void **state)
{
	(void)state;
	uint64_t deaths[NODE_SNAPSHOT_STEPS] = {0};
	for (int step = 0; step < NODE_SNAPSHOT_STEPS; step++)
		for (uint64_t seed = 1; seed <= 6; seed++) {
			bool resumes = step == NODE_RECEIVE_RESUMED; /* That takes its time. */
			struct world *w = make_cluster_that_takes(400 + seed, 3, resumes ? 20000 : 4096);
			struct member *behind = fall_behind(w, resumes ? 3000 : 400);
			w->dies = true;
			w->dies_at = (enum node_snapshot_step)step;
			w->dies_how = seed % 3 == 0 ? SIM_KILL : seed % 3 == 1 ? SIM_POWER : SIM_POWER_SILENT;
			start(behind);
			for (int i = 0; resumes && i < 5; i++) {
				sim_net_link(leader(w)->host, behind->host)->byte_ns = 20000;
				run(w, 150 * MS);
				sim_net_break(leader(w)->host, behind->host);
			}
			for (int i = 0; i < 60; i++) {
				for (uint32_t j = 0; j < 3; j++)
					if (w->members[j].node != NULL)
						submit(&w->members[j], false);
				run(w, 20 * MS);
			}
			sim_net_link(leader(w)->host, behind->host)->byte_ns = 0;
			deaths[step] += w->deaths;
			settle_and_judge(w);
			end_world(w);
		}
	for (int step = 0; step < NODE_SNAPSHOT_STEPS; step++)
		if (deaths[step] < 4)
			fail_msg("step %d was met only %u times", step, (unsigned)deaths[step]);
}

/* ---- Digests ---- */

static bool doubted(const struct member *m)
{
	return m->node != NULL && status_of(m).doubted;
}

/* A bit flips in the memory of one: it stops within a second, loads its state again, and serves. */
static void test_a_bit_flips(void **state)
{
	(void)state;
	for (uint32_t number = 0; number < 3; number++) {
		struct world *w = make_cluster_that_takes(500 + number, 3, number == 2 ? 1024 * 1024 : 8192);
		struct member *m = &w->members[number];
		write_many(m, 200);
		run(w, 1 * S);
		corrupt(m, 3);
		uint64_t at = sim_now(w->sim);
		while (lines_with(w, "differs from that of a majority") == 0 && sim_now(w->sim) < at + 5 * S) {
			submit(other_than(w, m), false);
			run(w, 10 * MS);
		}
		assert_true(sim_now(w->sim) - at < 1 * S);
		assert_true(leader(w) != m);
		assert_int_equal(lines_with(w, "differs from that of a majority"), 1);
		/* It takes requests all the same: others answer them. */
		expect(submit(m, false), IKADA_DONE);
		for (int i = 0; i < 100; i++) {
			submit(m, false);
			run(w, 20 * MS);
		}
		assert_false(doubted(m));
		assert_int_equal(lines_with(w, "another node is asked"), 0);
		settle_and_judge(w);
		for (uint32_t i = 0; i < 3; i++)
			assert_false(doubted(&w->members[i]));
		end_world(w);
	}
}

/* The flipped bit got into its snapshots, too: it is sent one. */
static void test_a_flipped_bit_in_snapshots(void **state)
{
	(void)state;
	for (uint32_t number = 0; number < 3; number++) {
		struct world *w = make_world_that_takes(510 + number, 3, 2048);
		for (uint32_t i = 0; i < 3; i++) {
			w->members[i].checkpoint_entries = 200;
			start(&w->members[i]);
		}
		await_leader(w);
		struct member *m = &w->members[number];
		write_many(m, 205);
		run(w, 1 * S);
		corrupt(m, 3);
		write_many(m, 180);
		run(w, 1 * S);
		assert_false(doubted(m));
		for (int i = 0; i < 200; i++) {
			submit(other_than(w, m), false);
			run(w, 20 * MS);
		}
		assert_true(lines_with(w, "another node is asked") + lines_with(w, "asks another for it") >= 1);
		assert_true(w->steps[NODE_RECEIVE_INSTALLED] >= 1);
		for (int i = 0; i < 200; i++) {
			submit(m, false);
			run(w, 20 * MS);
		}
		assert_false(doubted(m));
		settle_and_judge(w);
		end_world(w);
	}
}

/*
 * Its bit flips when it has what it was sent, and its own snapshot of long ago, which its log does not reach back to:
 * it loads again what it was sent.
 */
static void test_a_bit_flips_after_an_install(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct world *w = make_cluster_that_takes(550 + seed, 3, 4096);
		write_many(&w->members[0], 100);
		run(w, 500 * MS);
		struct member *behind = fall_behind(w, 600);
		assert_int_equal(files_of(behind).count, 1);
		start(behind);
		run(w, 3 * S);
		assert_int_equal(files_of(behind).count, 2);
		corrupt(behind, 3);
		for (int i = 0; i < 200; i++) {
			submit(other_than(w, behind), false);
			run(w, 20 * MS);
		}
		assert_int_equal(lines_with(w, "differs from that of a majority"), 1);
		assert_false(doubted(behind));
		settle_and_judge(w);
		end_world(w);
	}
}

/* Of two that differ none is right by count: both stop, load again, and go on. */
static void test_two_that_differ(void **state)
{
	(void)state;
	struct world *w = make_cluster_that_takes(520, 2, 8192);
	write_many(&w->members[0], 200);
	run(w, 1 * S);
	corrupt(&w->members[1], 3);
	for (int i = 0; i < 200; i++) {
		submit(&w->members[0], false);
		run(w, 10 * MS);
	}
	assert_true(lines_with(w, "states differ, and none has a majority") >= 2);
	settle_and_judge(w);
	assert_false(doubted(&w->members[0]) || doubted(&w->members[1]));
	end_world(w);
}

/* All have different states on disk, too: nobody serves any more. */
static void test_no_majority(void **state)
{
	(void)state;
	struct world *w = make_world_that_takes(530, 3, 2048);
	for (uint32_t i = 0; i < 3; i++) {
		w->members[i].checkpoint_entries = 300;
		start(&w->members[i]);
	}
	await_leader(w);
	write_many(&w->members[0], 100);
	run(w, 1 * S);
	for (uint32_t i = 0; i < 3; i++)
		corrupt(&w->members[i], 10 + i);
	write_many(&w->members[0], 190);
	run(w, 1 * S);
	for (int i = 0; i < 100; i++) {
		submit(&w->members[0], false);
		run(w, 20 * MS);
	}
	run(w, 2 * S);
	for (uint32_t i = 0; i < 3; i++)
		assert_true(lines_with(w, "none has a majority") >= 3);
	end_world(w);
}

/* ---- Everything at once ---- */

/* A bit flips in memory once, if it is still to: then there are two states at most, and one of them has a majority. */
static void fault(struct world *w, struct rng *rng, bool *flips)
{
	struct member *m = &w->members[rng_below(rng, w->count)];
	struct member *n = &w->members[rng_below(rng, w->count)];
	switch (rng_below(rng, 12)) {
	case 0:
		crash(m, SIM_KILL);
		break;
	case 1:
		crash(m, SIM_POWER);
		break;
	case 2:
		w->dies = true;
		w->dies_at = (enum node_snapshot_step)rng_below(rng, NODE_SNAPSHOT_STEPS);
		w->dies_how = SIM_POWER;
		break;
	case 3:
		if (leader(w) != NULL)
			crash(leader(w), SIM_KILL);
		break;
	case 4:
		sim_host_pause(m->host, sim_now(w->sim) + rng_below(rng, 2 * S));
		break;
	case 5:
		if (!*flips || m->node == NULL || m->count == 0 || m->loading)
			break;
		corrupt(m, rng_below(rng, m->count));
		*flips = false;
		break;
	case 6:
	case 7:
		if (m != n)
			sim_net_break(m->host, n->host);
		break;
	case 8:
		if (m != n)
			sim_net_cut(m->host, n->host, rng_below(rng, 2) == 0);
		break;
	case 9:
		sim_net_heal_all(w->sim);
		break;
	case 10:
		sim_disk_stall(m->host, sim_now(w->sim) + rng_below(rng, 1 * S));
		break;
	default:
		for (uint32_t i = 0; i < w->count; i++)
			if (w->members[i].node == NULL)
				start(&w->members[i]);
	}
}

/* All have the same list, and trust it. */
static void expect_equal(struct world *w)
{
	const struct member *first = &w->members[0];
	for (uint32_t i = 0; i < w->count; i++) {
		assert_false(doubted(&w->members[i]));
		assert_int_equal(w->members[i].count, first->count);
		assert_memory_equal(w->members[i].list, first->list, first->count * sizeof first->list[0]);
	}
}

static void storm(uint64_t seed, uint32_t count, bool flips, uint64_t *steps)
{
	struct world *w = make_world_that_takes(seed, count, flips ? 32768 : 1024 << (seed % 5));
	struct rng rng = sim_rng(w->sim, 1);
	bool to_flip = flips;
	const struct sim_link link = {
		.delay_min_ns = 100000,
		.delay_max_ns = 2 * MS,
		.slow_ppm = 10000,
		.slow_max_ns = 50 * MS,
		.drop_ppm = 20000,
		.duplicate_ppm = 20000,
		.split_ppm = 200000,
		.byte_ns = rng_below(&rng, 2) == 0 ? 0 : 5000,
		.window_bytes = 64 * 1024,
	};
	for (uint32_t i = 0; i < count; i++)
		start(&w->members[i]);
	await_leader(w);
	sim_net_set_all(w->sim, &link);
	uint64_t end = sim_now(w->sim) + 20 * S;
	while (sim_now(w->sim) < end) {
		struct member *m = &w->members[rng_below(&rng, count)];
		uint64_t burst = rng_below(&rng, 12);
		for (uint64_t i = 0; i < burst && m->node != NULL; i++)
			submit_sized(m, rng_below(&rng, 3) == 0, 8);
		if (m->node != NULL && rng_below(&rng, 50) == 0)
			submit_sized(m, false, rng_below(&rng, 20000) + 8);
		if (rng_below(&rng, 40) == 0)
			fault(w, &rng, &to_flip);
		run(w, rng_below(&rng, 20 * MS));
	}
	w->dies = false;
	sim_net_heal_all(w->sim);
	for (uint32_t i = 0; i < count; i++)
		if (w->members[i].node == NULL)
			start(&w->members[i]);
	/* So that the states are compared once more. */
	for (int i = 0; i < 200; i++) {
		submit(&w->members[i % count], false);
		run(w, 40 * MS);
	}
	run(w, 5 * S);
	expect_equal(w);
	if (!flips)
		judge(w); /* A wrong state may be handed on before it is known to be wrong; then it is everybody's. */
	for (int i = 0; i < NODE_SNAPSHOT_STEPS; i++)
		steps[i] += w->steps[i];
	end_world(w);
}

static void test_storms(void **state)
{
	(void)state;
	uint64_t steps[NODE_SNAPSHOT_STEPS] = {0};
	const char *seeds = getenv("STORMS");
	uint64_t last = seeds == NULL ? 12 : strtoull(seeds, NULL, 10);
	const char *from = getenv("STORM");
	for (uint64_t seed = from == NULL ? 1 : strtoull(from, NULL, 10); seed <= last; seed++) {
		if (seeds != NULL)
			fprintf(stderr, "storm %u\n", (unsigned)seed);
		storm(2000 + seed, seed % 4 == 0 ? 5 : 3, seed % 3 == 0, steps);
	}
	print_message("note: storms: %u taken, %u received, %u of them resumed\n",
		      (unsigned)steps[NODE_SNAPSHOT_PUBLISHED], (unsigned)steps[NODE_RECEIVE_INSTALLED],
		      (unsigned)steps[NODE_RECEIVE_RESUMED]);
	assert_true(steps[NODE_SNAPSHOT_PUBLISHED] > 100);
	assert_true(steps[NODE_RECEIVE_INSTALLED] > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken_and_compacted),
		cmocka_unit_test(test_taken_at_a_pace),
		cmocka_unit_test(test_large_entries),
		cmocka_unit_test(test_damaged_newest),
		cmocka_unit_test(test_each_damage_at_start),
		cmocka_unit_test(test_full_disk_while_taking),
		cmocka_unit_test(test_each_failing_operation),
		cmocka_unit_test(test_follower_behind),
		cmocka_unit_test(test_install_during_writes),
		cmocka_unit_test(test_resumes),
		cmocka_unit_test(test_damaged_on_its_way),
		cmocka_unit_test(test_death_at_each_step),
		cmocka_unit_test(test_a_bit_flips),
		cmocka_unit_test(test_a_flipped_bit_in_snapshots),
		cmocka_unit_test(test_a_bit_flips_after_an_install),
		cmocka_unit_test(test_two_that_differ),
		cmocka_unit_test(test_no_majority),
		cmocka_unit_test(test_storms),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
