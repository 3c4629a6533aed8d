/*
 * How whole nodes come to a cluster, and how they go: who waits is added, catches up, and votes; a wiped disk is
 * replaced; who was removed stays out, and so does its id. And what a node that restarts knows of its vote.
 */
#include "unit/node_world.h"

#include "base/entry.h"

/* ---- Changes ---- */

static void expect_no(struct member *m, enum ikada_member_action action, uint64_t id, const char *address,
		      const char *why)
{
	const struct change c = asked(m, action, id, address);
	assert_false(c.taken);
	if (strstr(c.error, why) == NULL)
		fail_msg("expected \"%s\", found \"%s\"", why, c.error);
}

/* Of whoever leads, until it is taken. */
static void change(struct world *w, enum ikada_member_action action, uint64_t id, const char *address)
{
	struct change c = {.taken = false};
	for (int i = 0; i < 500 && !c.taken; i++) {
		c = asked(await_leader(w), action, id, address);
		run(w, 10 * MS);
	}
	if (!c.taken)
		fail_msg("%s", c.error);
}

/* IKADA_MEMBERS_MAX: it is none. */
static uint32_t place(const struct ikada_node_status *status, uint64_t id)
{
	for (uint32_t i = 0; i < status->member_count; i++)
		if (status->members[i].id == id)
			return i;
	return IKADA_MEMBERS_MAX;
}

static bool all_say(struct world *w, uint64_t id, enum ikada_standing standing, uint32_t count)
{
	for (uint32_t i = 0; i < w->count; i++) {
		if (w->members[i].node == NULL)
			continue;
		struct ikada_node_status status = status_of(&w->members[i]);
		uint32_t at = place(&status, id);
		if (status.member_count != count || at == IKADA_MEMBERS_MAX ||
		    status.members[at].standing != standing || status.raft.commit < status.raft.config.index)
			return false;
	}
	return true;
}

static void await_standing(struct world *w, uint64_t id, enum ikada_standing standing, uint32_t count)
{
	for (int i = 0; i < 1000 && !all_say(w, id, standing, count); i++)
		run(w, 10 * MS);
	assert_true(all_say(w, id, standing, count));
}

static void write_many(struct member *m, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		submit_sized(m, false, 100);
	expect(submit(m, false), IKADA_DONE);
}

/* Who is up has applied the same. */
static void expect_equal(struct world *w)
{
	const struct member *first = NULL;
	run(w, 1 * S);
	for (uint32_t i = 0; i < w->count; i++) {
		const struct member *m = &w->members[i];
		if (m->node == NULL)
			continue;
		if (first == NULL)
			first = m;
		assert_int_equal(m->count, first->count);
		assert_memory_equal(m->list, first->list, m->count * sizeof m->list[0]);
	}
}

static const char THREE[] = "1=n1:7000,2=n2:7000,3=n3:7000";
static const char FOUR[] = "1=n1:7000,2=n2:7000,3=n3:7000,4=n4:7000";

/* Three of four work; the fourth is not started. */
static struct world *make_three(uint64_t seed, uint64_t snapshot_log_bytes)
{
	struct world *w = make_world(seed, 4);
	for (uint32_t i = 0; i < 4; i++) {
		w->members[i].cluster = i < 3 ? THREE : FOUR;
		w->members[i].snapshot_log_bytes = snapshot_log_bytes;
	}
	for (uint32_t i = 0; i < 3; i++)
		start(&w->members[i]);
	write_many(await_leader(w), 400);
	return w;
}

static uint64_t entries_at(const struct member *m)
{
	return status_of(m).raft.last_index;
}

/* ---- Coming ---- */

static void test_waits_and_is_added(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct world *w = make_three(seed, seed % 2 == 0 ? 16 * 1024 : 0);
		struct member *new = &w->members[3];
		struct member *l = leader(w);
		expect_no(l, IKADA_MEMBER_ADD, 4, "n4:7000", "has not been seen");
		start(new);
		run(w, 2 * S);
		/* It waits, and is told why; nobody else minds. */
		assert_null(new->node->raft);
		assert_true(lines_with(w, "node 4 is no member yet: ikada member add 4=HOST:PORT") >= 1);
		assert_int_equal(status_of(l).member_count, 3);
		expect_no(l, IKADA_MEMBER_ADD, 4, "n4", "HOST:PORT");
		expect_no(l, IKADA_MEMBER_ADD, 3, "n3:7000", "is a member already");
		expect_no(l, IKADA_MEMBER_PROMOTE, 4, NULL, "is not a member");
		change(w, IKADA_MEMBER_ADD_LEARNER, 4, "n4:7000");
		await_standing(w, 4, IKADA_LEARNER, 4);
		expect(submit(new, false), IKADA_DONE); /* It forwards, as everybody. */
		assert_true(entries_at(new) > 400);
		/* It counts for nothing: without two of the three there is no majority. */
		struct member *others[2];
		uint32_t count = 0;
		l = leader(w);
		for (uint32_t i = 0; i < 3; i++)
			if (&w->members[i] != l)
				others[count++] = &w->members[i];
		crash(others[0], SIM_KILL);
		crash(others[1], SIM_KILL);
		struct call *alone = submit(l, false);
		run(w, 2 * S);
		assert_true(alone->fate == PENDING || alone->outcome != IKADA_DONE);
		start(others[0]);
		start(others[1]);
		await_leader(w);
		run(w, 1 * S);
		/* As a voter it does: three of four go on without one of the old. */
		change(w, IKADA_MEMBER_PROMOTE, 4, NULL);
		await_standing(w, 4, IKADA_VOTER, 4);
		expect_no(leader(w), IKADA_MEMBER_PROMOTE, 4, NULL, "votes already");
		crash(others[0], SIM_POWER);
		expect(submit(new, false), IKADA_DONE);
		start(others[0]);
		run(w, 5 * S);
		expect_equal(w);
		stop(new);
		start(new); /* It comes back as what it is, whatever the lists say. */
		expect(submit(new, false), IKADA_DONE);
		expect_equal(w);
		end_world(w);
	}
}

/* Straight to a vote: it catches up first, and is no voter before it has. */
static void test_catches_up_first(void **state)
{
	(void)state;
	struct world *w = make_three(10, 0);
	struct member *new = &w->members[3];
	start(new);
	run(w, 500 * MS);
	struct member *l = leader(w);
	for (uint32_t i = 0; i < 3; i++)
		sim_net_link(w->members[i].host, new->host)->byte_ns = 20000; /* 50 kB/s. */
	change(w, IKADA_MEMBER_ADD, 4, "n4:7000");
	uint32_t joining = 0;
	for (int i = 0; i < 3000 && !all_say(w, 4, IKADA_VOTER, 4); i++) {
		struct ikada_node_status status = status_of(l);
		uint32_t at = place(&status, 4);
		if (at != IKADA_MEMBERS_MAX && status.members[at].standing == IKADA_JOINING) {
			joining++;
		} else if (at != IKADA_MEMBERS_MAX) {
			assert_true(entries_at(new) >= 400);
		}
		run(w, 10 * MS);
	}
	assert_true(joining > 50);
	await_standing(w, 4, IKADA_VOTER, 4);
	expect_equal(w);
	end_world(w);
}

/* One that is staged and cannot catch up is undone by its removal. */
static void test_never_catches_up(void **state)
{
	(void)state;
	struct world *w = make_three(20, 0);
	struct member *new = &w->members[3];
	start(new);
	run(w, 500 * MS);
	change(w, IKADA_MEMBER_ADD, 4, "n4:7000");
	crash(new, SIM_POWER);
	run(w, 3 * S);
	struct ikada_node_status status = status_of(await_leader(w));
	assert_int_equal(status.members[place(&status, 4)].standing, IKADA_JOINING);
	expect(submit(&w->members[0], false), IKADA_DONE);
	change(w, IKADA_MEMBER_REMOVE, 4, NULL);
	await_standing(w, 1, IKADA_VOTER, 3);
	/* Its id has been used. */
	start(new);
	run(w, 2 * S);
	expect_no(leader(w), IKADA_MEMBER_ADD, 4, "n4:7000", "ids are not used twice: take 5");
	end_world(w);
}

/* Nor does one wait for ever: it becomes a learner, and can be promoted when it is back. */
static void test_change_is_taken_back(void **state)
{
	(void)state;
	struct world *w = make_three(25, 0);
	struct member *new = &w->members[3];
	start(new);
	run(w, 500 * MS);
	change(w, IKADA_MEMBER_ADD, 4, "n4:7000");
	crash(new, SIM_POWER);
	run(w, 200 * S);
	struct ikada_node_status status = status_of(await_leader(w));
	assert_int_equal(status.members[place(&status, 4)].standing, IKADA_LEARNER);
	assert_int_equal(lines_with(w, "node 4 (incarnation"), 1);
	start(new);
	run(w, 1 * S);
	change(w, IKADA_MEMBER_PROMOTE, 4, NULL);
	await_standing(w, 4, IKADA_VOTER, 4);
	/* A disk that is to replace another one, and does not come: the old one stays, and is replaced by the next. */
	crash(new, SIM_POWER);
	sim_disk_wipe(new->host);
	uint64_t old = status_of(leader(w)).members[3].incarnation;
	start(new);
	run(w, 1 * S);
	change(w, IKADA_MEMBER_REPLACE, 4, NULL);
	crash(new, SIM_POWER);
	sim_disk_wipe(new->host);
	run(w, 200 * S);
	status = status_of(await_leader(w));
	assert_int_equal(status.member_count, 4);
	assert_int_equal(status.members[place(&status, 4)].standing, IKADA_VOTER);
	assert_int_equal(status.members[place(&status, 4)].incarnation, old);
	assert_int_equal(lines_with(w, "does not replace the one before it"), 1);
	start(new);
	run(w, 1 * S);
	change(w, IKADA_MEMBER_REPLACE, 4, NULL);
	for (int i = 0; i < 500 && status_of(leader(w)).members[3].incarnation == old; i++)
		run(w, 10 * MS);
	await_standing(w, 4, IKADA_VOTER, 4);
	expect_equal(w);
	end_world(w);
}

/* ---- Wiped ---- */

static void test_wiped_is_replaced(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct world *w = make_three(30 + seed, seed % 2 == 0 ? 16 * 1024 : 0);
		struct member *m = seed <= 3 ? &w->members[seed - 1] : leader(w);
		struct member *other = other_than(w, m);
		w->count = 3;
		uint64_t was = status_of(m).incarnation;
		crash(m, SIM_POWER);
		sim_disk_wipe(m->host);
		run(w, 500 * MS);
		expect_no(await_leader(w), IKADA_MEMBER_REPLACE, m->id, NULL, "no other incarnation");
		start(m);
		run(w, 3 * S);
		uint64_t is = m->node->incarnation;
		assert_int_not_equal(is, was);
		/* It has forgotten what it promised: nobody takes it for the one that it was. */
		assert_null(m->node->raft);
		assert_true(lines_with(w, "waits for ikada member replace") >= 1);
		struct ikada_node_status status = status_of(other);
		assert_false(status.members[place(&status, m->id)].connected);
		assert_int_equal(status.members[place(&status, m->id)].incarnation, was);
		change(w, IKADA_MEMBER_REPLACE, m->id, NULL);
		await_standing(w, m->id, IKADA_VOTER, 3);
		status = status_of(other);
		assert_int_equal(status.members[place(&status, m->id)].incarnation, is);
		char address[16];
		snprintf(address, sizeof address, "n%u:7000", (unsigned)m->id);
		assert_string_equal(status.members[place(&status, m->id)].address, address);
		/* It counts: the third may go. */
		for (uint32_t i = 0; i < 3; i++)
			if (&w->members[i] != m && &w->members[i] != other)
				crash(&w->members[i], SIM_KILL);
		run(w, 2 * S);
		expect(submit(other, false), IKADA_DONE);
		expect_equal(w);
		end_world(w);
	}
}

/* ---- Demoted ---- */

static void test_demoted(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct world *w = make_three(80 + seed, 0);
		struct member *l = leader(w);
		struct member *m = seed % 2 == 0 ? l : other_than(w, l);
		start(&w->members[3]);
		run(w, 500 * MS);
		change(w, IKADA_MEMBER_ADD, 4, "n4:7000");
		crash(&w->members[3], SIM_KILL);
		run(w, 500 * MS);
		expect_no(leader(w), IKADA_MEMBER_DEMOTE, m->id, NULL, "node 4 is still catching up");
		start(&w->members[3]);
		await_standing(w, 4, IKADA_VOTER, 4);
		expect_no(leader(w), IKADA_MEMBER_DEMOTE, 5, NULL, "is not a member");
		change(w, IKADA_MEMBER_DEMOTE, m->id, NULL);
		await_standing(w, m->id, IKADA_LEARNER, 4);
		assert_ptr_not_equal(await_leader(w), m);
		expect_no(leader(w), IKADA_MEMBER_DEMOTE, m->id, NULL, "does not vote");
		expect(submit(m, false), IKADA_DONE);
		/* Of three voters two are enough, whatever becomes of it. */
		crash(m, SIM_POWER);
		crash(leader(w), SIM_KILL);
		expect(submit(await_leader(w), false), IKADA_DONE);
		for (uint32_t i = 0; i < 4; i++)
			if (w->members[i].node == NULL)
				start(&w->members[i]);
		run(w, 2 * S);
		assert_true(all_say(w, m->id, IKADA_LEARNER, 4));
		/* One after the other, until nobody else votes. */
		for (uint32_t left = 3; left > 1; left--) {
			const struct member *next = await_leader(w);
			uint64_t id = next->id;
			change(w, IKADA_MEMBER_DEMOTE, id, NULL);
			await_standing(w, id, IKADA_LEARNER, 4);
		}
		expect_no(await_leader(w), IKADA_MEMBER_DEMOTE, leader(w)->id, NULL, "must keep a voter");
		change(w, IKADA_MEMBER_PROMOTE, m->id, NULL);
		await_standing(w, m->id, IKADA_VOTER, 4);
		expect_equal(w);
		end_world(w);
	}
}

/* ---- A disk that is set back ---- */

enum { KEPT_FILES_MAX = 32 };

static struct kept {
	struct sim_host *host;
	size_t count;
	struct {
		char path[128];
		uint8_t *bytes;
		uint64_t size;
	} files[KEPT_FILES_MAX];
} kept;

static void keep(void *context, const char *path)
{
	(void)context;
	uint64_t size;
	const uint8_t *bytes = sim_disk_peek(kept.host, path, &size);
	if (bytes == NULL || size == 0)
		return;
	assert_true(kept.count < KEPT_FILES_MAX);
	snprintf(kept.files[kept.count].path, sizeof kept.files[0].path, "%s", path);
	kept.files[kept.count].bytes = malloc(size);
	memcpy(kept.files[kept.count].bytes, bytes, size);
	kept.files[kept.count++].size = size;
}

/* A copy of a disk is made, and later put in its place. Files do not come or go meanwhile. */
static void keep_disk(struct member *m)
{
	kept.host = m->host;
	kept.count = 0;
	sim_disk_each(m->host, keep, NULL);
	assert_true(kept.count > 0);
}

static void set_back_disk(void)
{
	for (size_t i = 0; i < kept.count; i++) {
		uint64_t size;
		const uint8_t *now = sim_disk_peek(kept.host, kept.files[i].path, &size);
		assert_non_null(now);
		assert_int_equal(size, kept.files[i].size);
		for (uint64_t at = 0; at < size; at++)
			for (unsigned bit = 0; bit < 8; bit++)
				if (((now[at] ^ kept.files[i].bytes[at]) >> bit & 1) != 0)
					assert_true(sim_disk_flip(kept.host, kept.files[i].path, at, bit));
		free(kept.files[i].bytes);
	}
}

static uint32_t forgetful(const struct member *m)
{
	const struct ikada_node_status status = status_of(m);
	uint32_t count = 0;
	for (uint32_t i = 0; i < status.raft.peer_count; i++)
		count += status.raft.peers[i].forgot;
	return count;
}

/*
 * A member comes back with an older copy of its disk: what it had acknowledged is gone, and nothing but the leader's
 * memory tells. It is told to people, and nothing is built on that member until it is replaced.
 */
static void test_disk_is_set_back(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct world *w = make_three(90 + seed, 0);
		struct member *l = leader(w);
		struct member *m = other_than(w, l);
		struct member *third = &w->members[0];
		w->count = 3;
		while (third == l || third == m)
			third++;
		run(w, 1 * S);
		keep_disk(m);
		write_many(l, 20);
		run(w, 1 * S);
		crash(m, SIM_POWER);
		expect(submit(l, false), IKADA_DONE);
		assert_int_equal(forgetful(l), 0);
		set_back_disk();
		start(m);
		run(w, 2 * S);
		assert_ptr_equal(leader(w), l);
		assert_int_equal(forgetful(l), 1);
		assert_int_equal(lines_with(w, "has lost entries that it had acknowledged"), 1);
		uint64_t had = entries_at(m);
		expect(submit(l, false), IKADA_DONE);
		crash(third, SIM_KILL);
		struct call *alone = submit(l, false);
		run(w, 5 * S);
		assert_true(alone->fate == PENDING || alone->outcome != IKADA_DONE);
		assert_int_equal(entries_at(m), had);
		/* Emptied, it is another one. */
		start(third);
		await_leader(w);
		crash(m, SIM_KILL);
		sim_disk_wipe(m->host);
		start(m);
		run(w, 1 * S);
		change(w, IKADA_MEMBER_REPLACE, m->id, NULL);
		await_standing(w, m->id, IKADA_VOTER, 3);
		assert_int_equal(forgetful(leader(w)), 0);
		crash(third, SIM_KILL);
		expect(submit(m, false), IKADA_DONE);
		expect_equal(w);
		end_world(w);
	}
}

/* ---- Gone ---- */

static void test_removed_knocks_again(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct world *w = make_three(40 + seed, 0);
		struct member *m = seed % 2 == 0 ? leader(w) : &w->members[seed / 2];
		struct member *other = other_than(w, m);
		change(w, IKADA_MEMBER_REMOVE, m->id, NULL);
		for (int i = 0; i < 500 && status_of(other).member_count != 2; i++)
			run(w, 10 * MS);
		run(w, 2 * S);
		assert_true(m->node == NULL || status_of(m).raft.role != IKADA_LEADER);
		uint64_t term = status_of(other).raft.term;
		/* With its disk, and without. */
		for (int wiped = 0; wiped < 2; wiped++) {
			if (m->node != NULL)
				crash(m, SIM_KILL);
			if (wiped != 0)
				sim_disk_wipe(m->host);
			w->line_count = 0;
			start(m);
			run(w, 5 * S);
			assert_true(lines_with(w, "is no member any more, and ids are not used twice") >= 1);
			struct ikada_node_status status = status_of(other);
			assert_int_equal(status.member_count, 2);
			assert_int_equal(status.raft.term, term); /* It disturbs nobody. */
			expect_no(leader(w), IKADA_MEMBER_ADD, m->id, "x:1", "ids are not used twice: take 4");
			expect_no(leader(w), IKADA_MEMBER_REPLACE, m->id, NULL, "is not a member");
			expect_no(leader(w), IKADA_MEMBER_REMOVE, m->id, NULL, "is not a member");
		}
		/* Another id on the same machine is welcome. */
		crash(m, SIM_KILL);
		sim_disk_wipe(m->host);
		char cluster[64], address[16];
		snprintf(address, sizeof address, "n%u:7000", (unsigned)m->number + 1);
		snprintf(cluster, sizeof cluster, "%u=n%u:7000,4=%s", (unsigned)other->id, (unsigned)other->id,
			 address);
		m->id = 4;
		m->cluster = cluster;
		start(m);
		run(w, 1 * S);
		change(w, IKADA_MEMBER_ADD, 4, address);
		await_standing(w, 4, IKADA_VOTER, 3);
		expect(submit(m, false), IKADA_DONE);
		w->count = 3;
		expect_equal(w);
		end_world(w);
	}
}

/* ---- A vote ---- */

/* Dies when it gives its vote: it is on the disk, and nobody was told. */
static struct member *voter;
static uint64_t voted_term;

static void dies_on_a_vote(void *context, const struct ikada_message *message)
{
	struct member *m = context;
	if (m != voter || message->kind != IKADA_VOTE_REPLY || !message->granted)
		return;
	voter = NULL;
	voted_term = message->term;
	crash(m, SIM_KILL);
}

/*
 * Who voted, died before it could say so, and is back, gives the same vote again: the candidate leads in that term.
 * Also when the members have changed since the first configuration.
 */
static void test_vote_is_given_again(void **state)
{
	(void)state;
	uint32_t met[2] = {0, 0};
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct world *w = make_three(60 + seed, 0);
		if (seed % 2 == 0) {
			start(&w->members[3]);
			run(w, 500 * MS);
			change(w, IKADA_MEMBER_ADD, 4, "n4:7000");
			await_standing(w, 4, IKADA_VOTER, 4);
			change(w, IKADA_MEMBER_REMOVE, 4, NULL);
			await_standing(w, 1, IKADA_VOTER, 3);
			crash(&w->members[3], SIM_KILL);
		}
		struct member *old = leader(w), *two[2];
		uint32_t count = 0;
		for (uint32_t i = 0; i < 3; i++)
			if (&w->members[i] != old)
				two[count++] = &w->members[i];
		for (uint32_t i = 0; i < 2; i++)
			two[i]->observer.sent = dies_on_a_vote;
		/* Whichever of the two votes: the other one campaigns. */
		crash(old, SIM_KILL);
		for (int i = 0; i < 200 && two[0]->node != NULL && two[1]->node != NULL; i++) {
			for (uint32_t j = 0; j < 2; j++)
				if (two[j]->node != NULL && status_of(two[j]).raft.role == IKADA_CANDIDATE)
					voter = two[1 - j];
			run(w, 100000);
		}
		voter = NULL;
		struct member *down = two[0]->node == NULL ? two[0] : two[1];
		struct member *candidate = down == two[0] ? two[1] : two[0];
		if (down->node != NULL || candidate->node == NULL)
			fail_msg("seed %u: nobody died of a vote", (unsigned)seed);
		start(down);
		assert_int_equal(status_of(down).raft.vote, candidate->id);
		assert_int_equal(status_of(down).raft.term, voted_term);
		for (int i = 0; i < 100 && leader(w) == NULL && status_of(candidate).raft.term == voted_term; i++)
			run(w, 5 * MS);
		/* The candidate may have run out of time before the connection is there again. */
		if (leader(w) != NULL && status_of(leader(w)).raft.term == voted_term) {
			assert_ptr_equal(leader(w), candidate);
			met[seed % 2]++;
		}
		end_world(w);
	}
	print_message("note: a vote was given again %u and %u of 10 times\n", (unsigned)met[0], (unsigned)met[1]);
	assert_true(met[0] >= 8 && met[1] >= 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits_and_is_added),   cmocka_unit_test(test_catches_up_first),
		cmocka_unit_test(test_never_catches_up),     cmocka_unit_test(test_wiped_is_replaced),
		cmocka_unit_test(test_removed_knocks_again), cmocka_unit_test(test_vote_is_given_again),
		cmocka_unit_test(test_disk_is_set_back),     cmocka_unit_test(test_demoted),
		cmocka_unit_test(test_change_is_taken_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
