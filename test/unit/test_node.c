/*
 * Nodes as a cluster: births, requests and their outcomes, silence, strangers, disks; and everything at once.
 *
 * VERBOSE=1 shows what the nodes log; STORM=A STORMS=B runs the storms of seeds A to B.
 */
#include "unit/node_world.h"

/* A cluster that works. */
static struct world *make_cluster(uint64_t seed, uint32_t count)
{
	struct world *w = make_world(seed, count);
	for (uint32_t i = 0; i < count; i++) {
		start(&w->members[i]);
		assert_non_null(w->members[i].node);
	}
	await_leader(w);
	run(w, 200 * MS);
	return w;
}

static void test_single_node(void **state)
{
	(void)state;
	struct world *w = make_cluster(1, 1);
	struct member *m = &w->members[0];
	for (int i = 0; i < 100; i++)
		submit(m, false);
	expect(submit(m, true), IKADA_DONE);
	run(w, 1 * S);
	judge(w);
	assert_int_equal(m->count, 100);
	stop(m);
	start(m);
	struct call *read = submit(m, true);
	expect(read, IKADA_DONE);
	assert_int_equal(read->position, 100);
	crash(m, SIM_POWER);
	start(m);
	expect(submit(m, false), IKADA_DONE);
	assert_int_equal(m->count, 101);
	end_world(w);
}

static void test_nobody_votes_before_all_were_seen(void **state)
{
	(void)state;
	struct world *w = make_world(2, 3);
	start(&w->members[0]);
	start(&w->members[2]);
	struct call *early = submit(&w->members[0], false);
	run(w, 4 * S);
	assert_null(leader(w));
	assert_int_equal(status_of(&w->members[0]).cluster_id, 0);
	expect(early, IKADA_NO_LEADER);
	start(&w->members[1]);
	await_leader(w);
	run(w, 1 * S);
	uint64_t cluster_id = status_of(&w->members[0]).cluster_id;
	assert_int_not_equal(cluster_id, 0);
	for (uint32_t i = 0; i < 3; i++) {
		struct ikada_node_status status = status_of(&w->members[i]);
		assert_int_equal(status.cluster_id, cluster_id);
		assert_int_equal(status.member_count, 3);
		for (uint32_t j = 0; j < 3; j++) {
			char client[32], peer[32];
			snprintf(client, sizeof client, "n%u:6000", (unsigned)j + 1);
			snprintf(peer, sizeof peer, "n%u:7000", (unsigned)j + 1);
			assert_true(status.members[j].connected);
			assert_string_equal(status.members[j].client_address, client);
			assert_string_equal(status.members[j].address, peer);
		}
	}
	end_world(w);
}

/* However the members crash while a cluster is born, it comes to life, and there is one. */
static void test_crashes_at_birth(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct world *w = make_world(seed, 3);
		struct rng rng = sim_rng(w->sim, 1);
		for (int i = 0; i < 30; i++) {
			struct member *m = &w->members[rng_below(&rng, 3)];
			if (m->node == NULL)
				start(m);
			else if (rng_below(&rng, 2) == 0)
				crash(m, rng_below(&rng, 2) == 0 ? SIM_KILL : SIM_POWER);
			run(w, rng_below(&rng, 10) == 0 ? 300 * MS : rng_below(&rng, 20 * MS));
		}
		for (uint32_t i = 0; i < 3; i++)
			if (w->members[i].node == NULL)
				start(&w->members[i]);
		run(w, 5 * S);
		for (uint32_t i = 0; i < 3; i++) {
			expect(submit(&w->members[i], false), IKADA_DONE);
			assert_int_equal(status_of(&w->members[i]).cluster_id, status_of(&w->members[0]).cluster_id);
		}
		end_world(w);
	}
}

/* A disk is lost while the cluster is born: that may be the end of it, but never the start of a second one. */
static void test_wiped_at_birth(void **state)
{
	(void)state;
	uint32_t lived = 0, stuck = 0;
	for (uint64_t seed = 1; seed <= 150; seed++) {
		struct world *w = make_world(seed, 3);
		struct rng rng = sim_rng(w->sim, 1);
		struct sim_link *slow =
			sim_net_link(w->members[rng_below(&rng, 3)].host, w->members[rng_below(&rng, 3)].host);
		slow->delay_max_ns = 20 * MS;
		uint64_t alive = 0; /* The cluster in which a core runs. */
		struct member *victim = &w->members[rng_below(&rng, 3)];
		for (uint32_t i = 0; i < 3; i++)
			start(&w->members[i]);
		uint64_t wipe_at = 1 * MS + rng_below(&rng, 50 * MS);
		for (bool wiped = false; sim_now(w->sim) < 5 * S;) {
			run(w, wiped ? 1 * MS : wipe_at - sim_now(w->sim));
			for (uint32_t i = 0; i < 3; i++) {
				struct ikada_node_status status = status_of(&w->members[i]);
				if (status.raft.self == 0)
					continue;
				assert_true(alive == 0 || alive == status.cluster_id);
				alive = status.cluster_id;
			}
			if (!wiped) {
				crash(victim, SIM_KILL);
				sim_disk_wipe(victim->host);
				start(victim);
				wiped = true;
			}
		}
		if (alive != 0)
			lived++;
		else
			stuck++;
		end_world(w);
	}
	assert_true(lived > 0);
	assert_true(stuck > 0); /* The dangerous moment was met. */
}

static void test_any_node_takes_any_request(void **state)
{
	(void)state;
	struct world *w = make_cluster(3, 3);
	for (uint32_t i = 0; i < 3; i++)
		for (uint32_t j = 0; j < 3; j++) {
			struct call *write = submit(&w->members[i], false);
			expect(write, IKADA_DONE);
			struct call *read = submit(&w->members[j], true);
			expect(read, IKADA_DONE);
			assert_int_equal(read->position, write->position);
		}
	/* Pipelined, from all at once, some of them large. */
	for (int i = 0; i < 300; i++)
		submit_sized(&w->members[i % 3], false, i % 50 == 0 ? 20000 : 8);
	run(w, 3 * S);
	judge(w);
	assert_int_equal(w->members[0].count, 309);
	for (uint32_t i = 0; i < 3; i++)
		stop(&w->members[i]);
	end_world(w);
}

static void test_refusals(void **state)
{
	(void)state;
	struct world *w = make_world(4, 3);
	for (uint32_t i = 0; i < 3; i++) {
		w->members[i].queue_bytes_max = 100 * 1000;
		start(&w->members[i]);
	}
	struct member *l = await_leader(w);
	struct member *f = other_than(w, l);
	run(w, 200 * MS);
	expect(submit_sized(l, false, 60 * 1000), IKADA_TOO_LARGE);
	expect(submit_sized(f, false, 60 * 1000), IKADA_TOO_LARGE);
	/* Nobody leads: what fits waits for its deadline, the rest is refused at once. */
	for (uint32_t i = 0; i < 3; i++)
		if (&w->members[i] != f)
			crash(&w->members[i], SIM_KILL);
	run(w, 50 * MS);
	struct call *calls[6];
	for (int i = 0; i < 6; i++)
		calls[i] = submit_sized(f, false, 20 * 1000);
	run(w, 100 * MS);
	for (int i = 0; i < 6; i++)
		assert_int_equal(calls[i]->fate, i < 4 ? PENDING : ENDED);
	for (int i = 0; i < 6; i++)
		expect(calls[i], i < 4 ? IKADA_NO_LEADER : IKADA_BUSY);
	expect(submit(f, true), IKADA_NO_LEADER);
	for (uint32_t i = 0; i < 3; i++)
		if (w->members[i].node == NULL)
			start(&w->members[i]);
	await_leader(w);
	expect(submit(f, false), IKADA_DONE);
	run(w, 1 * S);
	judge(w);
	end_world(w);
}

/* A leader without a majority: what it has put into its log is unknown, and stays so however it ends. */
static void test_cut_off_leader(void **state)
{
	(void)state;
	struct world *w = make_cluster(5, 3);
	struct member *old = leader(w);
	for (uint32_t i = 0; i < 3; i++)
		if (&w->members[i] != old)
			sim_net_cut(old->host, w->members[i].host, true);
	struct call *lost = submit(old, false);
	struct call *stale = submit(old, true);
	run(w, 2 * S);
	struct member *next = leader(w);
	assert_ptr_not_equal(next, old);
	struct call *write = submit(next, false);
	expect(write, IKADA_DONE);
	assert_int_equal(stale->fate, PENDING);
	expect(lost, IKADA_UNKNOWN);
	expect(stale, IKADA_NO_LEADER);
	sim_net_heal_all(w->sim);
	run(w, 3 * S);
	struct call *read = submit(old, true);
	expect(read, IKADA_DONE);
	assert_true(read->position >= write->position);
	judge(w);
	end_world(w);
}

/* The same, but healed before the deadline: another term's entry is committed at the index, so it is refused. */
static void test_replaced_entry_is_refused(void **state)
{
	(void)state;
	struct world *w = make_cluster(6, 3);
	struct member *old = leader(w);
	for (uint32_t i = 0; i < 3; i++)
		if (&w->members[i] != old)
			sim_net_cut(old->host, w->members[i].host, true);
	struct call *lost = submit(old, false);
	run(w, 2 * S);
	assert_int_equal(lost->fate, PENDING);
	struct member *next = leader(w);
	assert_ptr_not_equal(next, old);
	expect(submit(next, false), IKADA_DONE);
	sim_net_heal_all(w->sim);
	expect(lost, IKADA_NO_LEADER);
	run(w, 2 * S);
	judge(w);
	end_world(w);
}

/* They reach further than what the next leader has committed, which is nothing but its first entry: refused, too. */
static void test_entries_behind_a_later_term_are_refused(void **state)
{
	(void)state;
	struct world *w = make_cluster(8, 3);
	struct member *old = leader(w);
	for (uint32_t i = 0; i < 3; i++)
		if (&w->members[i] != old)
			sim_net_cut(old->host, w->members[i].host, true);
	struct call *lost[4];
	for (int i = 0; i < 4; i++) {
		lost[i] = submit(old, false);
		run(w, 10 * MS);
	}
	run(w, 2 * S);
	assert_ptr_not_equal(leader(w), old);
	sim_net_heal_all(w->sim);
	for (int i = 0; i < 4; i++)
		expect(lost[i], IKADA_NO_LEADER);
	run(w, 2 * S);
	judge(w);
	end_world(w);
}

static void test_forgotten(void **state)
{
	(void)state;
	struct world *w = make_cluster(7, 3);
	struct member *l = leader(w);
	struct member *f = other_than(w, l);
	struct call *calls[4] = {submit(l, false), submit(f, false), submit(l, true), submit(f, true)};
	for (int i = 0; i < 4; i++) {
		ikada_node_forget(w->members[calls[i]->member].node, &calls[i]->request);
		assert_null(calls[i]->request.under_way);
		ikada_node_forget(w->members[calls[i]->member].node, &calls[i]->request);
	}
	run(w, 10 * S);
	for (int i = 0; i < 4; i++)
		assert_int_equal(calls[i]->fate, PENDING); /* Never told; and yet: */
	assert_int_equal(w->members[0].count, 2);
	for (uint32_t i = 0; i < 3; i++)
		stop(&w->members[i]);
	end_world(w);
}

/* Closing ends everything: nobody is left without an answer. */
static void test_close_under_load(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct world *w = make_cluster(100 + seed, 3);
		for (int i = 0; i < 60; i++)
			submit(&w->members[i % 3], i % 5 == 0);
		run(w, seed * 50000);
		for (uint32_t i = 0; i < 3; i++) {
			assert_true(sim_host_run(w->members[i].host, shut, &w->members[i]));
			sim_host_stop(w->members[i].host);
		}
		for (uint32_t i = 0; i < w->call_count; i++)
			assert_int_equal(w->calls[i].fate, ENDED);
		for (uint32_t i = 0; i < 3; i++)
			start(&w->members[i]);
		await_leader(w);
		expect(submit(&w->members[0], false), IKADA_DONE);
		run(w, 1 * S);
		judge(w);
		end_world(w);
	}
}

static void test_leader_dies(void **state)
{
	(void)state;
	uint64_t worst = 0;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct world *w = make_cluster(200 + seed, 3);
		struct member *old = leader(w);
		struct member *f = other_than(w, old);
		expect(submit(f, false), IKADA_DONE);
		crash(old, SIM_KILL);
		uint64_t at = sim_now(w->sim);
		struct call *read = submit(f, true); /* Asked again of the next leader. */
		while (read->fate == PENDING)
			run(w, 1 * MS);
		assert_int_equal(read->outcome, IKADA_DONE);
		uint64_t gap = sim_now(w->sim) - at;
		worst = gap > worst ? gap : worst;
		expect(submit(f, false), IKADA_DONE);
		start(old);
		expect(submit(old, false), IKADA_DONE);
		run(w, 1 * S);
		judge(w);
		end_world(w);
	}
	print_message("note: a leader killed: the next answer after %u ms at worst of 20\n", (unsigned)(worst / MS));
	assert_true(worst < 1500 * MS);
}

/* Nobody says that a machine is gone: silence is noticed, and the way back is found. */
static void test_half_open(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct world *w = make_cluster(300 + seed, 3);
		struct member *gone = &w->members[seed % 3];
		crash(gone, SIM_POWER_SILENT);
		run(w, 4 * S);
		for (uint32_t i = 0; i < 3; i++) {
			if (&w->members[i] == gone)
				continue;
			assert_false(status_of(&w->members[i]).members[gone->number].connected);
			expect(submit(&w->members[i], false), IKADA_DONE);
		}
		start(gone);
		run(w, 3 * S);
		expect(submit(gone, false), IKADA_DONE);
		for (uint32_t i = 0; i < 3; i++)
			for (uint32_t j = 0; j < 3; j++)
				assert_true(status_of(&w->members[i]).members[j].connected);
		run(w, 1 * S);
		judge(w);
		end_world(w);
	}
}

/* The same while the network is cut and no connection ever breaks. */
static void test_silence(void **state)
{
	(void)state;
	struct world *w = make_cluster(320, 3);
	sim_net_settings(w->sim)->break_ppm = 0;
	struct member *l = leader(w);
	struct member *f = other_than(w, l);
	sim_net_cut(l->host, f->host, true);
	run(w, 4 * S);
	assert_false(status_of(l).members[f->number].connected);
	assert_false(status_of(f).members[l->number].connected);
	sim_net_heal_all(w->sim);
	run(w, 3 * S);
	assert_true(status_of(l).members[f->number].connected);
	assert_true(status_of(f).members[l->number].connected);
	expect(submit(f, false), IKADA_DONE);
	run(w, 1 * S);
	judge(w);
	end_world(w);
}

static void test_wiped_disk(void **state)
{
	(void)state;
	for (uint32_t number = 0; number < 3; number++) {
		struct world *w = make_cluster(400 + number, 3);
		struct member *m = &w->members[number];
		expect(submit(m, false), IKADA_DONE);
		crash(m, SIM_KILL);
		sim_disk_wipe(m->host);
		start(m);
		assert_non_null(m->node);
		run(w, 20 * S);
		assert_int_equal(status_of(m).cluster_id, 0);
		assert_int_equal(status_of(m).raft.term, 0);
		assert_int_equal(m->count, 0);
		assert_in_range(lines_with(w, "a wiped node cannot come back"), 2, 8); /* Said, but not in a flood. */
		expect(submit(other_than(w, m), false), IKADA_DONE);
		end_world(w);
	}
}

static void test_two_clusters_cross_wired(void **state)
{
	(void)state;
	struct world *w = make_cluster(8, 3);
	for (uint32_t i = 0; i < 3; i++)
		stop(&w->members[i]);
	/* Another cluster of the same ids and names on new disks; then node 3 comes with its old disk. */
	struct sim_host *other = sim_host_create(w->sim, 9, "m3");
	w->members[3] = w->members[2];
	w->members[3].number = 3;
	w->members[3].host = other;
	w->members[3].cluster = "1=n1:7000,2=n2:7000,3=m3:7000";
	w->count = 4;
	sim_disk_wipe(w->members[0].host);
	sim_disk_wipe(w->members[1].host);
	w->members[0].cluster = w->members[1].cluster = w->members[3].cluster;
	start(&w->members[0]);
	start(&w->members[1]);
	start(&w->members[3]);
	await_leader(w);
	expect(submit(&w->members[3], false), IKADA_DONE);
	start(&w->members[2]);
	crash(&w->members[3], SIM_KILL);
	/* Nodes 1 and 2 are told to find node 3 where the old one is. */
	for (uint32_t i = 0; i < 2; i++) {
		crash(&w->members[i], SIM_KILL);
		w->members[i].cluster = LISTS[3];
		start(&w->members[i]);
	}
	run(w, 10 * S);
	assert_in_range(lines_with(w, "belongs to cluster"), 2, 12);
	assert_int_not_equal(status_of(&w->members[2]).cluster_id, status_of(&w->members[0]).cluster_id);
	assert_false(status_of(&w->members[0]).members[2].connected);
	expect(submit(&w->members[1], false), IKADA_DONE);
	assert_int_equal(w->members[2].count, 0);
	end_world(w);
}

static void test_directory_of_another(void **state)
{
	(void)state;
	struct world *w = make_cluster(9, 3);
	struct member *m = &w->members[1];
	stop(m);
	m->id = 3;
	start(m);
	assert_null(m->node);
	assert_non_null(strstr(m->error, "is the data directory of node 2, but this is node 3"));
	m->id = 2;
	m->cluster = "1=n1:7000,2=n2:7000,4=n3:7000";
	start(m);
	assert_null(m->node);
	assert_non_null(strstr(m->error, "belongs to a cluster of the nodes 1, 2, 3"));
	static const char *const lists[] = {"",
					    "2",
					    "2=",
					    "2=n2",
					    "2=n2:",
					    "2=n2:0",
					    "2=n2:70000",
					    "2=n2:7x",
					    "0=n2:1",
					    "-2=n2:1",
					    "2=n2:1,,3=n3:1",
					    "2=n2:1,2=n3:1",
					    "1=n1:1,3=n3:1",
					    "x=n2:7000",
					    "1=a:1,2=a:1,3=a:1,4=a:1,5=a:1,6=a:1,7=a:1,8=a:1,9=a:1,10=a:1"};
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		m->cluster = lists[i];
		start(m);
		assert_null(m->node);
		assert_int_not_equal(m->error[0], '\0');
	}
	m->cluster = LISTS[3];
	start(m);
	assert_non_null(m->node);
	expect(submit(m, false), IKADA_DONE);
	end_world(w);
}

/* ---- Strangers ---- */

enum { STRANGERS = 400 };

struct stranger {
	struct env *env;
	struct env_stream *stream;
	uint8_t bytes[256];
	size_t size;
	bool closed;
};

static void stranger_opened(void *context)
{
	struct stranger *s = context;
	s->env->ops->stream_write(s->stream, s->bytes, s->size);
}

static void stranger_received(void *context, const uint8_t *bytes, size_t size)
{
	(void)context;
	(void)bytes;
	(void)size;
}

static void stranger_closed(void *context, int status)
{
	struct stranger *s = context;
	(void)status;
	s->closed = true;
}

static void stranger_dials(void *context)
{
	static const struct env_stream_events events = {stranger_opened, stranger_received, NULL, stranger_closed};
	struct stranger *s = context;
	s->stream = s->env->ops->connect(s->env, "n1:7000", &events, s);
}

static void test_strangers(void **state)
{
	(void)state;
	static struct stranger strangers[STRANGERS];
	memset(strangers, 0, sizeof strangers);
	struct world *w = make_cluster(10, 3);
	struct sim_host *host = sim_host_create(w->sim, 20, "evil");
	struct rng rng = rng_seed(1);
	struct mem mem;
	struct buf frame;
	mem_init(&mem, true);
	buf_init(&frame, &mem);
	sim_host_start(host);
	for (int i = 0; i < STRANGERS; i++) {
		struct stranger *s = &strangers[i];
		s->env = sim_host_env(host);
		/* Nothing, garbage, a raft message or a request before the handshake, a handshake of a nobody. */
		const struct wire_hello hello = {.to = 1, .from = 44, .incarnation = 5, .boot = 6};
		const struct wire_forward forward = {.number = 1, .term = 1, .bytes = s->bytes, .size = 8};
		const struct ikada_message message = {.kind = IKADA_VOTE, .from = 2, .to = 1, .term = 1000};
		if (i % 5 == 1)
			for (size_t j = 0; j < sizeof s->bytes; j++)
				buf_add(&frame, &(uint8_t){(uint8_t)rng_next(&rng)}, 1);
		else if (i % 5 == 2)
			wire_put_raft(&frame, status_of(&w->members[0]).cluster_id, &message, NULL, 0);
		else if (i % 5 == 3)
			wire_put_forward(&frame, status_of(&w->members[0]).cluster_id, &forward);
		else if (i % 5 == 4)
			wire_put_hello(&frame, WIRE_HELLO, 0, &hello);
		s->size = buf_size(&frame);
		if (s->size > 0)
			memcpy(s->bytes, buf_at(&frame), s->size);
		buf_consume(&frame, s->size);
		assert_true(sim_host_run(host, stranger_dials, s));
	}
	for (int i = 0; i < 30; i++) {
		run(w, 100 * MS);
		assert_in_range(w->members[0].node->stranger_count, 0, 64);
	}
	for (int i = 0; i < STRANGERS; i++)
		assert_true(strangers[i].closed);
	assert_in_range(w->line_count, 1, 8);
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(status_of(&w->members[i]).raft.term < 1000);
		expect(submit(&w->members[i], false), IKADA_DONE);
	}
	run(w, 1 * S);
	judge(w);
	buf_free(&frame);
	end_world(w);
}

/* ---- Disk ---- */

static void test_full_disk(void **state)
{
	(void)state;
	for (uint32_t number = 0; number < 3; number++) {
		struct world *w = make_cluster(500 + number, 3);
		struct member *m = &w->members[number];
		sim_disk_set_limit(m->host, sim_disk_used(m->host));
		bool busy = false;
		for (int i = 0; i < 40; i++) {
			for (int j = 0; j < 10; j++)
				submit_sized(&w->members[j % 3], false, 2000);
			run(w, 100 * MS);
		}
		run(w, 6 * S);
		for (uint32_t i = 0; i < w->call_count; i++)
			busy |= w->calls[i].outcome == IKADA_BUSY;
		assert_int_equal(w->fatals, 0);
		if (leader(w) == m)
			assert_true(busy);
		sim_disk_set_limit(m->host, UINT64_MAX);
		run(w, 6 * S);
		for (uint32_t i = 0; i < 3; i++)
			expect(submit(&w->members[i], false), IKADA_DONE);
		run(w, 2 * S);
		judge(w);
		end_world(w);
	}
}

static void test_failed_sync_is_final(void **state)
{
	(void)state;
	struct world *w = make_cluster(11, 3);
	struct member *l = leader(w);
	w->expected_fatal = "cannot be written";
	sim_disk_fail_next(l->host);
	struct call *call = submit(l, false);
	run(w, 2 * S);
	assert_int_equal(w->fatals, 1);
	assert_null(l->node);
	assert_int_equal(call->fate, LOST);
	expect(submit(other_than(w, l), false), IKADA_DONE);
	start(l);
	expect(submit(l, false), IKADA_DONE);
	run(w, 1 * S);
	judge(w);
	end_world(w);
}

/* ---- Everything at once ---- */

static void fault(struct world *w, struct rng *rng)
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
		crash(m, SIM_POWER_SILENT);
		break;
	case 3:
		if (leader(w) != NULL)
			crash(leader(w), SIM_KILL);
		break;
	case 4:
		sim_host_pause(m->host, sim_now(w->sim) + rng_below(rng, 2 * S));
		break;
	case 5:
		if (leader(w) != NULL)
			sim_host_pause(leader(w)->host, sim_now(w->sim) + rng_below(rng, 2 * S));
		break;
	case 6:
		if (m != n)
			sim_net_break(m->host, n->host);
		break;
	case 7:
		if (m != n)
			sim_net_cut(m->host, n->host, rng_below(rng, 2) == 0);
		break;
	case 8:
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

static void storm(uint64_t seed, uint32_t count, uint32_t *outcomes)
{
	struct world *w = make_cluster(seed, count);
	struct rng rng = sim_rng(w->sim, 1);
	const struct sim_link link = {
		.delay_min_ns = 100000,
		.delay_max_ns = 2 * MS,
		.slow_ppm = 10000,
		.slow_max_ns = 50 * MS,
		.drop_ppm = 20000,
		.duplicate_ppm = 20000,
		.split_ppm = 200000,
		.window_bytes = 64 * 1024,
	};
	sim_net_set_all(w->sim, &link);
	uint64_t end = sim_now(w->sim) + 20 * S;
	while (sim_now(w->sim) < end) {
		struct member *m = &w->members[rng_below(&rng, count)];
		uint64_t burst = rng_below(&rng, 6);
		for (uint64_t i = 0; i < burst && m->node != NULL; i++)
			submit_sized(m, rng_below(&rng, 3) == 0, 8);
		if (m->node != NULL && rng_below(&rng, 50) == 0)
			submit_sized(m, false, rng_below(&rng, 20000) + 8);
		if (rng_below(&rng, 40) == 0)
			fault(w, &rng);
		run(w, rng_below(&rng, 20 * MS));
	}
	sim_net_heal_all(w->sim);
	for (uint32_t i = 0; i < count; i++)
		if (w->members[i].node == NULL)
			start(&w->members[i]);
	run(w, 8 * S);
	for (uint32_t i = 0; i < count; i++) {
		expect(submit(&w->members[i], false), IKADA_DONE);
		expect(submit(&w->members[i], true), IKADA_DONE);
	}
	run(w, 1 * S);
	judge(w);
	for (uint32_t i = 0; i < w->call_count; i++)
		if (w->calls[i].fate == ENDED)
			outcomes[w->calls[i].outcome]++;
	end_world(w);
}

static void test_storms(void **state)
{
	(void)state;
	uint32_t outcomes[IKADA_UNKNOWN + 1] = {0};
	const char *seeds = getenv("STORMS");
	uint64_t last = seeds == NULL ? 12 : strtoull(seeds, NULL, 10);
	const char *from = getenv("STORM");
	for (uint64_t seed = from == NULL ? 1 : strtoull(from, NULL, 10); seed <= last; seed++)
		storm(1000 + seed, seed % 4 == 0 ? 5 : 3, outcomes);
	print_message("note: storms: %u done, %u no leader, %u busy, %u unknown\n", outcomes[IKADA_DONE],
		      outcomes[IKADA_NO_LEADER], outcomes[IKADA_BUSY], outcomes[IKADA_UNKNOWN]);
	assert_true(outcomes[IKADA_DONE] > 1000);
	assert_true(outcomes[IKADA_UNKNOWN] > 0);
	assert_true(outcomes[IKADA_NO_LEADER] > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single_node),
		cmocka_unit_test(test_nobody_votes_before_all_were_seen),
		cmocka_unit_test(test_crashes_at_birth),
		cmocka_unit_test(test_wiped_at_birth),
		cmocka_unit_test(test_any_node_takes_any_request),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_cut_off_leader),
		cmocka_unit_test(test_replaced_entry_is_refused),
		cmocka_unit_test(test_entries_behind_a_later_term_are_refused),
		cmocka_unit_test(test_forgotten),
		cmocka_unit_test(test_close_under_load),
		cmocka_unit_test(test_leader_dies),
		cmocka_unit_test(test_half_open),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_wiped_disk),
		cmocka_unit_test(test_two_clusters_cross_wired),
		cmocka_unit_test(test_directory_of_another),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_failed_sync_is_final),
		cmocka_unit_test(test_storms),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
