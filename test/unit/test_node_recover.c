/*
 * A cluster has lost its majority for ever: a new one is made of the survivors, by ikada_node_recover on each of their
 * disks. All that the one with the newest log had stays, all survivors become members, the lost ones are refused; and
 * whenever the machine dies meanwhile, it can be done again.
 */
#include "unit/node_world.h"

#include "node/survivors.h"

/* ---- Words ---- */

static const struct survivor A = {.id = 1,
				  .incarnation = 0xa1,
				  .cluster_id = 0xc,
				  .term = 4,
				  .last_index = 12,
				  .known = 9,
				  .run_count = 2,
				  .runs = {{9, 3}, {10, 4}},
				  .address = "n1:7000"};
static const struct survivor B = {.id = 2,
				  .incarnation = 0xb2,
				  .cluster_id = 0xc,
				  .term = 5,
				  .last_index = 10,
				  .known = 8,
				  .run_count = 1,
				  .runs = {{8, 3}},
				  .address = "[::1]:7000"};

static bool choose(struct survivors *all, const struct survivor *one, const struct survivor *two, char *error)
{
	char words[2][IKADA_SURVIVOR_BYTES], text[2 * IKADA_SURVIVOR_BYTES];
	survivor_put(words[0], one);
	survivor_put(words[1], two);
	snprintf(text, sizeof text, "%s,%s", words[0], words[1]);
	return survivors_parse(all, text, error, 512);
}

static void test_words(void **state)
{
	(void)state;
	struct survivors all, other;
	char word[IKADA_SURVIVOR_BYTES], error[512];
	survivor_put(word, &A);
	assert_true(strncmp(word, "1=n1:7000/000000000000000c/00000000000000a1/4/12/9:3+10:4/", 57) == 0);
	assert_true(survivors_parse(&all, word, error, sizeof error));
	assert_true(survivor_same(&all.at[0], &A));
	assert_string_equal(all.at[0].address, "n1:7000");
	/* Each character but those of the address counts. */
	const char *facts = strchr(word, '/');
	for (size_t i = 0; word[i] != '\0'; i++) {
		char changed[IKADA_SURVIVOR_BYTES];
		memcpy(changed, word, sizeof changed);
		changed[i] = changed[i] == '7' ? '8' : '7';
		bool address = i >= 2 && &word[i] < facts;
		assert_int_equal(survivors_parse(&other, changed, error, sizeof error), address);
		memcpy(changed, word, i);
		changed[i] = '\0';
		assert_false(survivors_parse(&other, changed, error, sizeof error));
	}
	static const char *const nonsense[] = {
		"", ",", "1", "1=", "1=h:1/", "1=h:1/c/a/1/1/1:1", "=/", "1=h:1/c/a/1/1/1:1/", "-1=h:1/c/a/1/1/1:1/0"};
	for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++)
		assert_false(survivors_parse(&other, nonsense[i], error, sizeof error));
	assert_false(choose(&other, &A, &A, error));
	assert_non_null(strstr(error, "twice"));
	struct survivor stranger = B;
	stranger.cluster_id = 0xd;
	assert_false(choose(&other, &A, &stranger, error));
	assert_non_null(strstr(error, "belongs to cluster"));
}

/* The order of the list and the addresses change nothing; all else does. */
static void test_same_words_same_names(void **state)
{
	(void)state;
	struct survivors all, other;
	char error[512];
	assert_true(choose(&all, &A, &B, error));
	struct survivor moved = A;
	strcpy(moved.address, "elsewhere:1");
	assert_true(choose(&other, &B, &moved, error));
	assert_int_equal(all.cluster_id, other.cluster_id);
	assert_int_equal(all.begins, other.begins);
	assert_int_not_equal(all.cluster_id, 0xc);
	const struct survivor *b = survivors_find(&all, 2);
	assert_int_equal(survivors_incarnation(&all, b), survivors_incarnation(&other, survivors_find(&other, 2)));
	assert_int_not_equal(survivors_incarnation(&all, b), b->incarnation);
	assert_int_equal(survivors_incarnation(&all, survivors_find(&all, 1)), A.incarnation);
	moved.last_index++;
	assert_true(choose(&other, &B, &moved, error));
	assert_int_not_equal(all.cluster_id, other.cluster_id);
}

static void expect_begins(struct survivor one, struct survivor two, uint64_t id)
{
	struct survivors all;
	char error[512];
	for (int turned = 0; turned < 2; turned++) {
		assert_true(turned ? choose(&all, &two, &one, error) : choose(&all, &one, &two, error));
		assert_int_equal(all.at[all.begins].id, id);
	}
}

static void test_who_begins(void **state)
{
	(void)state;
	expect_begins(A, B, 1); /* The last term. */
	struct survivor longer = B;
	longer.run_count = 2;
	longer.runs[1] = (struct ikada_run){9, 4};
	expect_begins(A, longer, 1); /* In the same term the longer one. */
	longer.last_index = 13;
	longer.runs[1].first = 10;
	expect_begins(A, longer, 2);
	/* A newer log that lacks what is known to be committed is not newer: its end never was. */
	struct survivor knows = B;
	knows.known = 10;
	knows.runs[0].first = 10;
	expect_begins(A, knows, 2);
	knows.runs[0] = (struct ikada_run){10, 4};
	expect_begins(A, knows, 1);
	/* Nothing was ever committed. */
	struct survivor young = A;
	young.known = 0;
	young.runs[0] = (struct ikada_run){0, 0};
	young.runs[1] = (struct ikada_run){1, 4};
	expect_begins(young, B, 2);
	/* Two truths. */
	struct survivors all;
	char error[512];
	knows.known = knows.last_index = 9;
	knows.runs[0] = (struct ikada_run){9, 2};
	assert_false(choose(&all, &A, &knows, error));
	assert_non_null(strstr(error, "not of one cluster"));
}

/* ---- On disks ---- */

struct attempt {
	struct member *m;
	const char *survivors;
	bool does;
	uint32_t dies_after; /* So many changes of its disk; 0: it does not. */
	uint32_t changes;
	bool ok, done;
	struct ikada_node *node;
	struct ikada_recovery found;
	char error[512];
};

static struct attempt *the_attempt; /* For the operations of its disk. */
static struct env_ops real_ops;

static void may_die(void)
{
	struct attempt *a = the_attempt;
	a->changes++;
	if (a->dies_after != 0 && a->changes == a->dies_after)
		sim_host_crash(a->m->host, a->changes % 3 == 0 ? SIM_KILL : SIM_POWER);
}

static int counted_rename(struct env *env, const char *from, const char *to)
{
	int status = real_ops.rename(env, from, to);
	may_die();
	return status;
}

static int counted_make_dir(struct env *env, const char *path)
{
	int status = real_ops.make_dir(env, path);
	may_die();
	return status;
}

static int counted_sync_dir(struct env *env, const char *path)
{
	int status = real_ops.sync_dir(env, path);
	may_die();
	return status;
}

static int counted_write_at(struct env_file *file, const void *bytes, size_t size, uint64_t offset)
{
	int status = real_ops.write_at(file, bytes, size, offset);
	may_die();
	return status;
}

static void counted_write_sync(struct env_file *file, const void *bytes, size_t size, uint64_t offset,
			       struct env_io *io)
{
	real_ops.write_sync(file, bytes, size, offset, io);
	may_die();
}

static void attempt_done(void *context)
{
	struct attempt *a = context;
	a->done = true;
}

static void attempt_begin(void *context)
{
	static struct env_ops ops;
	struct attempt *a = context;
	struct env *env = sim_host_env(a->m->host);
	const struct ikada_node_settings settings = {.data_dir = "data/ikada", .segment_bytes = 64 * 1024};
	ops = real_ops = *env->ops;
	ops.rename = counted_rename;
	ops.make_dir = counted_make_dir;
	ops.sync_dir = counted_sync_dir;
	ops.write_at = counted_write_at;
	ops.write_sync = counted_write_sync;
	env->ops = &ops;
	a->node = ikada_node_recover(env, &settings, a->survivors, &a->found, a->does ? attempt_done : NULL, a,
				     a->error, sizeof a->error);
	a->ok = a->node != NULL;
}

static void attempt_end(void *context)
{
	struct attempt *a = context;
	ikada_node_close(a->node);
}

/* True: it came to its end, well or not. */
static bool attempt(struct attempt *a)
{
	struct world *w = a->m->world;
	assert_null(a->m->node);
	a->ok = a->done = false;
	a->changes = 0;
	a->node = NULL;
	the_attempt = a;
	sim_host_start(a->m->host);
	if (!sim_host_run(a->m->host, attempt_begin, a))
		return false;
	for (int i = 0; i < 1000 && a->ok && a->does && !a->done && sim_host_running(a->m->host); i++)
		run(w, 1 * MS);
	if (!sim_host_running(a->m->host))
		return false;
	assert_int_equal(a->done, a->ok && a->does);
	if (a->ok)
		assert_true(sim_host_run(a->m->host, attempt_end, a));
	assert_int_equal(sim_host_stop(a->m->host), 0);
	return true;
}

static struct attempt look(struct member *m)
{
	struct attempt a = {.m = m};
	assert_true(attempt(&a));
	if (!a.ok)
		fail_msg("node %u: %s", (unsigned)m->id, a.error);
	return a;
}

static struct attempt recover(struct member *m, const char *survivors)
{
	struct attempt a = {.m = m, .survivors = survivors};
	assert_true(attempt(&a)); /* First only what it would do. */
	assert_true(a.ok && !a.found.done);
	a.does = true;
	assert_true(attempt(&a));
	if (!a.ok)
		fail_msg("node %u: %s", (unsigned)m->id, a.error);
	return a;
}

static void expect_refused(struct member *m, const char *survivors, const char *why)
{
	for (int does = 0; does < 2; does++) {
		struct attempt a = {.m = m, .survivors = survivors, .does = does != 0};
		assert_true(attempt(&a));
		assert_false(a.ok);
		if (strstr(a.error, why) == NULL)
			fail_msg("expected \"%s\", found \"%s\"", why, a.error);
	}
}

static char list_text[2 * IKADA_SURVIVOR_BYTES];

static const char *list_of(struct member *one, struct member *two)
{
	struct attempt a = look(one);
	if (two == NULL) {
		snprintf(list_text, sizeof list_text, "%s", a.found.survivor);
	} else {
		struct attempt b = look(two);
		snprintf(list_text, sizeof list_text, "%s,%s", a.found.survivor, b.found.survivor);
	}
	return list_text;
}

static struct world *make_five(uint64_t seed, uint64_t snapshot_log_bytes)
{
	struct world *w = make_world(seed, 5);
	for (uint32_t i = 0; i < 5; i++) {
		w->members[i].snapshot_log_bytes = snapshot_log_bytes;
		start(&w->members[i]);
	}
	await_leader(w);
	return w;
}

/* Writes at all nodes that are up. */
static void load_for(struct world *w, struct rng *rng, uint64_t ns)
{
	for (uint64_t end = sim_now(w->sim) + ns; sim_now(w->sim) < end; run(w, rng_below(rng, 4 * MS)))
		for (uint32_t i = 0; i < w->count; i++)
			if (w->members[i].node != NULL && rng_below(rng, 3) == 0)
				submit_sized(&w->members[i], false, 8 + rng_below(rng, 300));
}

/* Three die for ever under load, and then the two as well, one of which may have been cut off for a while. */
static void lose_three(struct world *w, struct rng *rng, struct member *survivors[2])
{
	uint64_t first = rng_below(rng, 5);
	struct member *l = await_leader(w);
	for (uint32_t i = 0; i < 2; i++)
		survivors[i] = &w->members[(first + 3 + i) % 5];
	struct member *behind = survivors[rng_below(rng, 2)];
	if (behind != l && rng_below(rng, 4) > 0)
		sim_net_cut(l->host, behind->host, true);
	load_for(w, rng, rng_below(rng, 100 * MS));
	for (uint32_t i = 0; i < 3; i++) {
		load_for(w, rng, rng_below(rng, 10 * MS));
		crash(&w->members[(first + i) % 5], SIM_POWER);
	}
	load_for(w, rng, rng_below(rng, 400 * MS));
	for (uint32_t i = 0; i < 2; i++)
		crash(survivors[i], rng_below(rng, 2) == 0 ? SIM_KILL : SIM_POWER);
	sim_net_heal_all(w->sim);
}

static bool both_vote(const struct member *one, const struct member *two)
{
	const struct member *both[2] = {one, two};
	for (int i = 0; i < 2; i++) {
		if (both[i]->node == NULL)
			return false;
		struct ikada_node_status status = status_of(both[i]);
		if (status.member_count != 2 || status.members[0].standing != IKADA_VOTER ||
		    status.members[1].standing != IKADA_VOTER || status.raft.commit < status.raft.config.index)
			return false;
	}
	return true;
}

static void await_both(struct world *w, struct member *one, struct member *two)
{
	for (int i = 0; i < 1000 && !both_vote(one, two); i++)
		run(w, 10 * MS);
	assert_true(both_vote(one, two));
	assert_int_equal(status_of(one).cluster_id, status_of(two).cluster_id);
}

static void expect_prefix(const struct member *m, const uint64_t *list, uint64_t count)
{
	assert_true(m->count >= count);
	assert_memory_equal(m->list, list, count * sizeof *list);
}

static uint64_t lists[MEMBERS_MAX][LIST_MAX], counts[MEMBERS_MAX];

static void remember(struct world *w)
{
	for (uint32_t i = 0; i < w->count; i++) {
		counts[i] = w->members[i].count;
		memcpy(lists[i], w->members[i].list, counts[i] * sizeof lists[i][0]);
	}
}

/* Both are up and have applied the same: what either had applied before, and what was done since. */
static void expect_whole(struct world *w, struct member *one, struct member *two, uint32_t first_call)
{
	for (int i = 0; i < 500 && one->count != two->count; i++)
		run(w, 10 * MS);
	expect_prefix(two, one->list, one->count);
	assert_int_equal(one->count, two->count);
	expect_prefix(one, lists[one->number], counts[one->number]);
	expect_prefix(one, lists[two->number], counts[two->number]);
	for (uint32_t i = first_call; i < w->call_count; i++) {
		uint64_t at;
		const struct call *call = &w->calls[i];
		bool ours = call->member == one->number || call->member == two->number;
		if (ours && call->fate == ENDED && call->outcome == IKADA_DONE && !call->read)
			assert_int_equal(times_in(one, call->value, &at), 1);
	}
}

static void test_two_of_five(void **state)
{
	(void)state;
	uint32_t different = 0, compacted = 0;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct world *w = make_five(seed, seed % 3 == 0 ? 16 * 1024 : 0);
		struct rng rng = sim_rng(w->sim, 1);
		struct member *s[2];
		load_for(w, &rng, 400 * MS);
		lose_three(w, &rng, s);
		remember(w);
		uint64_t old_id = look(s[0]).found.cluster_id;
		const char *list = seed % 2 == 0 ? list_of(s[0], s[1]) : list_of(s[1], s[0]);
		struct attempt a = recover(s[seed / 2 % 2], list);
		struct attempt b = recover(s[1 - seed / 2 % 2], list);
		different += a.found.last_index != b.found.last_index;
		assert_int_equal(a.found.begins, b.found.begins);
		assert_int_equal(a.found.new_cluster_id, b.found.new_cluster_id);
		bool newer = a.found.last_term > b.found.last_term ||
			     (a.found.last_term == b.found.last_term && a.found.last_index > b.found.last_index);
		if (newer)
			assert_int_equal(a.found.begins, a.m->id);
		/* Once more, by mistake. */
		for (int i = 0; i < 2; i++) {
			struct attempt again = {.m = s[i], .survivors = list, .does = true};
			assert_true(attempt(&again) && again.ok && again.found.done);
		}
		/* The three are not lost at all: they come back first, or last, and are a majority of what was. */
		for (uint32_t i = 0; seed % 2 == 0 && i < 5; i++)
			if (&w->members[i] != s[0] && &w->members[i] != s[1])
				start(&w->members[i]);
		run(w, seed % 5 * 100 * MS);
		start(s[seed % 2]);
		run(w, seed % 7 * 50 * MS);
		start(s[1 - seed % 2]);
		uint32_t first_call = w->call_count;
		await_both(w, s[0], s[1]);
		compacted += status_of(s[0]).raft.base_index > 0;
		for (uint32_t i = 0; seed % 2 != 0 && i < 5; i++)
			if (w->members[i].node == NULL)
				start(&w->members[i]);
		load_for(w, &rng, 300 * MS);
		run(w, 1 * S);
		assert_true(lines_with(w, "belongs to cluster") > 0);
		for (uint32_t i = 0; i < 5; i++) {
			struct ikada_node_status status = status_of(&w->members[i]);
			bool survived = &w->members[i] == s[0] || &w->members[i] == s[1];
			assert_int_equal(status.cluster_id, survived ? a.found.new_cluster_id : old_id);
			for (uint32_t j = 0; survived && j < status.member_count; j++)
				assert_true(status.members[j].connected);
			if (!survived)
				crash(&w->members[i], SIM_KILL);
		}
		expect(submit(s[0], false), IKADA_DONE);
		expect(submit(s[1], false), IKADA_DONE);
		run(w, 500 * MS);
		expect_whole(w, s[0], s[1], w->call_count - 2);
		/* Each can be without the other's disk. */
		crash(s[0], SIM_POWER);
		crash(s[1], SIM_POWER);
		start(s[0]);
		start(s[1]);
		expect(submit(s[0], false), IKADA_DONE);
		expect_whole(w, s[0], s[1], first_call);
		end_world(w);
	}
	print_message("note: the logs differed %u times; %u had snapshots\n", (unsigned)different, (unsigned)compacted);
	assert_true(different > 5);
	assert_true(compacted > 0);
}

/*
 * Whenever the machine dies, and even if somebody tries to start the node meanwhile, it is done again and comes to its
 * end. Seed 2699 of short runs with members that change: half a log was opened, and made a segment under a name that
 * had been moved.
 */
static bool dies_after(uint32_t after, bool one_that_begins, uint32_t *interrupted)
{
	struct world *w = make_five(100 + after, 16 * 1024);
	struct rng rng = sim_rng(w->sim, 1);
	struct member *s[2];
	load_for(w, &rng, 300 * MS);
	lose_three(w, &rng, s);
	remember(w);
	const char *list = list_of(s[0], s[1]);
	struct attempt a = {.m = s[0], .survivors = list};
	assert_true(attempt(&a) && a.ok);
	if ((a.found.begins == a.found.id) != one_that_begins)
		a.m = s[1];
	recover(a.m == s[0] ? s[1] : s[0], list);
	a.does = true;
	a.dies_after = after;
	bool died = !attempt(&a);
	if (died && after % 2 == 0) {
		start(a.m);
		*interrupted += a.m->node == NULL && strstr(a.m->error, "ikada recover was interrupted") != NULL;
		if (a.m->node != NULL)
			run(w, 400 * MS);
		bool leads = a.m->node != NULL && status_of(a.m).raft.role == IKADA_LEADER;
		assert_true(!leads || status_of(a.m).cluster_id == a.found.new_cluster_id);
		crash(a.m, SIM_POWER);
	}
	a.dies_after = 0;
	assert_true(attempt(&a));
	if (!a.ok)
		fail_msg("after %u changes: %s", (unsigned)after, a.error);
	start(s[0]);
	start(s[1]);
	await_both(w, s[0], s[1]);
	expect(submit(s[0], false), IKADA_DONE);
	expect_whole(w, s[0], s[1], w->call_count - 1);
	end_world(w);
	return died;
}

static void test_dies_meanwhile(void **state)
{
	(void)state;
	uint32_t deaths[2] = {1, 1}, interrupted[2] = {0, 0};
	for (uint32_t begins = 0; begins < 2; begins++)
		while (dies_after(deaths[begins], begins != 0, &interrupted[begins]))
			deaths[begins]++;
	print_message("note: died %u times while it was set aside, %u times while it began\n", (unsigned)deaths[0] - 1,
		      (unsigned)deaths[1] - 1);
	assert_true(deaths[0] > 20);
	assert_true(deaths[1] > 5);
	assert_true(interrupted[0] > 5);
	assert_int_equal(interrupted[1], 0);
}

static void test_refusals(void **state)
{
	(void)state;
	struct world *w = make_five(200, 0);
	struct rng rng = sim_rng(w->sim, 1);
	struct member *m = w->members;
	char words[5][IKADA_SURVIVOR_BYTES], list[5 * IKADA_SURVIVOR_BYTES];
	load_for(w, &rng, 200 * MS);
	for (uint32_t i = 0; i < 5; i++)
		crash(&m[i], SIM_KILL);
	for (uint32_t i = 0; i < 5; i++)
		memcpy(words[i], look(&m[i]).found.survivor, sizeof words[i]);
	/* Nothing is lost. */
	snprintf(list, sizeof list, "%s,%s,%s", words[0], words[1], words[2]);
	expect_refused(&m[1], list, "majority");
	/* Not one of them. */
	snprintf(list, sizeof list, "%s,%s", words[0], words[1]);
	expect_refused(&m[2], list, "not among the survivors");
	expect_refused(&m[0], "1=n1:7000/zz", "is not what ikada recover says");
	expect_refused(&m[0], "", "no survivor");
	/* It ran meanwhile. */
	for (uint32_t i = 0; i < 3; i++)
		start(&m[i]);
	await_leader(w);
	expect(submit(&m[0], false), IKADA_DONE);
	run(w, 200 * MS);
	for (uint32_t i = 0; i < 3; i++)
		crash(&m[i], SIM_KILL);
	expect_refused(&m[0], list, "look again");
	/* Another directory of the same node. */
	snprintf(list, sizeof list, "%s,%s", look(&m[0]).found.survivor, look(&m[1]).found.survivor);
	sim_disk_wipe(m[0].host);
	expect_refused(&m[0], list, "holds no identity");
	start(&m[0]);
	crash(&m[0], SIM_KILL);
	expect_refused(&m[0], list, "holds no cluster");
	/* An address that is none. */
	snprintf(list, sizeof list, "%s", look(&m[1]).found.survivor);
	char *colon = strstr(list, ":7000/");
	memmove(colon, colon + 5, strlen(colon + 5) + 1);
	expect_refused(&m[1], list, "HOST:PORT");
	/* Already of another cluster. */
	snprintf(list, sizeof list, "%s,%s", look(&m[1]).found.survivor, look(&m[2]).found.survivor);
	recover(&m[1], list_of(&m[1], NULL));
	expect_refused(&m[1], list, "belongs to cluster");
	end_world(w);
}

/* Asks the one that leads until the change is taken. */
static void change(struct world *w, enum ikada_member_action action, uint64_t id, const char *address)
{
	struct change c = {.taken = false};
	for (int i = 0; i < 500 && !c.taken; i++) {
		run(w, 10 * MS);
		if (leader(w) != NULL)
			c = asked(leader(w), action, id, address);
	}
	if (!c.taken)
		fail_msg("%s", c.error);
}

/* The log of the old cluster is gone but for its snapshots, which no other node would take: new ones are made. */
static void test_new_nodes_after_it(void **state)
{
	(void)state;
	uint32_t early = 0;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		bool twice = seed % 2 == 0;
		struct world *w = make_five(300 + seed, 16 * 1024);
		struct rng rng = sim_rng(w->sim, 1);
		struct member *one = &w->members[seed % 5];
		load_for(w, &rng, 3 * S);
		run(w, 100 * MS); /* So that its disk has what it has applied. */
		assert_true(status_of(one).raft.base_index > 0);
		for (uint32_t i = 0; i < 5; i++)
			crash(&w->members[i], SIM_KILL);
		remember(w);
		one->snapshot_log_bytes = 0; /* None is due for long. */
		recover(one, list_of(one, NULL));
		if (twice) {
			/* It takes in a node that is lost at once. */
			start(one);
			await_leader(w);
			crash(one, SIM_KILL);
			struct attempt a = look(one);
			assert_int_equal(a.found.config.count, 1);
		}
		struct member *new = &w->members[(seed + 1) % 5];
		char cluster[64];
		snprintf(cluster, sizeof cluster, "%u=n%u:7000,9=n%u:7000", (unsigned)one->id, (unsigned)one->id,
			 (unsigned)new->id);
		char address[16];
		snprintf(address, sizeof address, "n%u:7000", (unsigned)new->id);
		sim_disk_wipe(new->host);
		new->id = 9;
		new->cluster = one->cluster = cluster;
		start(new);
		run(w, 500 * MS);
		/* It is taken in before the first snapshot of the new cluster is there: that takes many turns. */
		struct sim_host_settings *slow = sim_host_settings(one->host);
		slow->turn_min_ns = slow->turn_max_ns = 15 * MS;
		start(one);
		if (one->node == NULL)
			fail_msg("%s", one->error);
		uint64_t before = snapshots_newest(one->node);
		change(w, IKADA_MEMBER_ADD, 9, address);
		early += !twice && snapshots_newest(one->node) == before;
		await_both(w, one, new);
		assert_true(w->steps[NODE_RECEIVE_INSTALLED] >= 1);
		assert_int_equal(lines_with(w, "of another cluster"), 0); /* It was sent none in vain. */
		expect(submit(new, false), IKADA_DONE);
		counts[new->number] = 0;
		expect_whole(w, one, new, w->call_count - 1);
		/* And again from its own disk, which has snapshots of two clusters. */
		crash(one, SIM_POWER);
		crash(new, SIM_POWER);
		start(one);
		start(new);
		expect(submit(one, false), IKADA_DONE);
		expect_whole(w, one, new, w->call_count - 1);
		if (twice) {
			/* Once more: the other one is lost. */
			crash(one, SIM_KILL);
			crash(new, SIM_POWER);
			recover(one, list_of(one, NULL));
			start(one);
			expect(submit(one, false), IKADA_DONE);
			assert_int_equal(status_of(one).member_count, 1);
			expect_prefix(one, lists[one->number], counts[one->number]);
		}
		end_world(w);
	}
	assert_true(early >= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_same_words_same_names),
		cmocka_unit_test(test_who_begins),
		cmocka_unit_test(test_two_of_five),
		cmocka_unit_test(test_dies_meanwhile),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_new_nodes_after_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
