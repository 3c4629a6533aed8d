/* Members: plans of changes, exhaustively for small clusters; incarnations; halts and priorities; ties that end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "raft_cores.h"

static void end(struct cores *cores)
{
	if (cores->broken[0] != 0)
		fail_msg("%s", cores->broken);
	cores_free(cores);
	free(cores);
}

static void drop_all(struct cores *cores)
{
	while (cores->packet_count > 0)
		cores_drop(cores, 0);
}

static void give(struct cores *cores, const struct ikada_message *m)
{
	struct core_packet packet = {.m = *m};
	cores_hand(cores, &packet);
}

/* Everything arrives and is written until all is quiet. */
static void settle(struct cores *cores)
{
	for (bool again = true; again && cores->broken[0] == 0;) {
		again = false;
		for (uint64_t at = 1; at <= cores->count; at++) {
			again |= cores->core[at].up && cores->core[at].write_count > 0;
			cores_durable(cores, at, SIZE_MAX);
		}
		for (; cores->packet_count > 0; again = true)
			cores_deliver(cores, 0);
	}
}

/* ---- Plans ---- */

/* One core that leads `config`; the other members are what the test says in their name. */
static struct cores *lead(const struct ikada_config *config)
{
	struct cores *cores = malloc(sizeof *cores);
	cores_init(cores, 1, 1);
	cores->forged = true;
	cores->core[1].disk_config = *config;
	cores_start(cores);
	cores->raw_ns += 500;
	cores_tick(cores, 1);
	for (uint32_t vote = 0; vote < 2; vote++) {
		for (uint32_t i = 0; i < config->count; i++) {
			struct ikada_message m = {.kind = vote ? IKADA_VOTE_REPLY : IKADA_PREVOTE_REPLY,
						  .granted = true,
						  .term = 1,
						  .from = config->members[i].id,
						  .from_incarnation = config->members[i].incarnation,
						  .to = 1};
			if (m.from > 1)
				give(cores, &m);
		}
		cores_durable(cores, 1, SIZE_MAX);
	}
	assert_int_equal(cores->core[1].status.role, IKADA_LEADER);
	return cores;
}

/* All acknowledge all there is. */
static void acknowledge(struct cores *cores)
{
	struct core *core = &cores->core[1];
	cores_durable(cores, 1, SIZE_MAX);
	const struct ikada_raft_status before = core->status;
	for (uint32_t i = 0; i < before.peer_count; i++) {
		struct ikada_message m = {.kind = IKADA_APPEND_REPLY,
					  .term = 1,
					  .match_index = before.last_index,
					  .verified_index = before.last_index,
					  .round = core->raft->round,
					  .sent_ns = cores->raw_ns,
					  .from = before.peers[i].id,
					  .from_incarnation = before.peers[i].incarnation,
					  .to = 1};
		give(cores, &m);
	}
	cores_durable(cores, 1, SIZE_MAX);
}

static bool has(const struct ikada_config *config, enum ikada_standing standing)
{
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].standing == standing)
			return true;
	return false;
}

static const struct ikada_member *find(const struct ikada_config *config, uint64_t id, uint64_t incarnation)
{
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].id == id && config->members[i].incarnation == incarnation)
			return &config->members[i];
	return NULL;
}

static bool same(const struct ikada_config *a, const struct ikada_config *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++) {
		const struct ikada_member *other = find(b, a->members[i].id, a->members[i].incarnation);
		if (other == NULL || other->standing != a->members[i].standing)
			return false;
	}
	return true;
}

/* Digits of `code`: what each id is. 0 nothing, 1 voter, 2 learner; 3 a voter of another incarnation. */
static struct ikada_config decode(uint32_t code, uint32_t base, uint32_t first, uint32_t last)
{
	struct ikada_config config = {.max_id = 4};
	for (uint32_t id = first; id <= last; id++, code /= base) {
		uint32_t is = code % base;
		struct ikada_member member = {id, cores_incarnation(id) + (is == 3 ? 1000 : 0),
					      is == 2 ? IKADA_LEARNER : IKADA_VOTER};
		if (is != 0)
			config.members[config.count++] = member;
	}
	return config;
}

/* What the rules of the header say of a change. */
static enum ikada_refusal judge(const struct ikada_config *now, const struct ikada_config *wanted)
{
	uint32_t voters = 0;
	bool comes = false, demoted = false;
	for (uint32_t i = 0; i < wanted->count; i++) {
		const struct ikada_member *member = &wanted->members[i];
		const struct ikada_member *is = find(now, member->id, member->incarnation);
		bool known = false;
		for (uint32_t j = 0; j < now->count; j++)
			known |= now->members[j].id == member->id;
		voters += member->standing == IKADA_VOTER;
		if (member->id <= now->max_id && !known)
			return IKADA_REFUSED_INVALID;
		comes |= member->standing == IKADA_VOTER && (is == NULL || is->standing != IKADA_VOTER);
		demoted |= member->standing == IKADA_LEARNER && is != NULL && is->standing == IKADA_VOTER;
	}
	if (voters == 0 || (comes && demoted))
		return IKADA_REFUSED_INVALID;
	return same(now, wanted) ? IKADA_REFUSED_UNCHANGED : 0;
}

/* From what is to what is wanted, until nothing moves any more; whatever the order, the end is what was wanted. */
static void one_change(const struct ikada_config *now, const struct ikada_config *wanted, uint64_t seen[3])
{
	struct cores *cores = lead(now);
	struct core *core = &cores->core[1];
	acknowledge(cores);
	cores_change(cores, 1, wanted);
	enum ikada_refusal why = judge(now, wanted);
	assert_int_equal(cores->change_refused, why);
	const struct ikada_member *self = find(wanted, 1, cores_incarnation(1));
	bool stays = self != NULL && self->standing == IKADA_VOTER;
	for (uint32_t i = 0; i < 8 && why == 0; i++) {
		const struct ikada_config *config = &core->status.config;
		bool joint = has(config, IKADA_INCOMING) || has(config, IKADA_OUTGOING) || has(config, IKADA_DEMOTING);
		bool staged = has(config, IKADA_JOINING);
		seen[joint ? 1 : staged ? 0 : 2]++;
		assert_false(joint && staged);
		assert_true(ikada_config_valid(config));
		cores->raw_ns += 10;
		acknowledge(cores);
	}
	if (why == 0)
		assert_true(same(&core->status.config, wanted));
	else
		assert_true(same(&core->status.config, now));
	assert_int_equal(core->status.role, why == 0 && !stays ? IKADA_FOLLOWER : IKADA_LEADER);
	drop_all(cores);
	end(cores);
}

static void plans(void **state)
{
	(void)state;
	uint64_t seen[3] = {0}; /* Staged, joint, plain. */
	for (uint32_t now = 0; now < 27; now++) {
		struct ikada_config config = decode(now, 3, 2, 4);
		struct ikada_config whole = {.max_id = 4, .count = 1};
		whole.members[0] = (struct ikada_member){1, cores_incarnation(1), IKADA_VOTER};
		for (uint32_t i = 0; i < config.count; i++)
			whole.members[whole.count++] = config.members[i];
		for (uint32_t wanted = 0; wanted < 1024; wanted++) {
			struct ikada_config goal = decode(wanted, 4, 1, 5);
			one_change(&whole, &goal, seen);
		}
	}
	for (uint32_t i = 0; i < 3; i++)
		assert_true(seen[i] > 1000);
}

static void limits(void **state)
{
	(void)state;
	struct ikada_config now = {.max_id = 9};
	for (uint64_t id = 1; id <= 9; id++)
		now.members[now.count++] = (struct ikada_member){id, cores_incarnation(id), IKADA_VOTER};
	struct cores *cores = lead(&now);
	acknowledge(cores);
	/* Ten voters are too many; nine of them new ones do not fit beside the old. */
	struct ikada_config wanted = now;
	wanted.members[wanted.count++] = (struct ikada_member){10, 110, IKADA_VOTER};
	cores_change(cores, 1, &wanted);
	assert_int_equal(cores->change_refused, IKADA_REFUSED_INVALID);
	for (uint32_t i = 1; i < 9; i++)
		wanted.members[i] = (struct ikada_member){20 + i, 120 + i, IKADA_VOTER};
	wanted.count = 9;
	cores_change(cores, 1, &wanted);
	assert_int_equal(cores->change_refused, IKADA_REFUSED_INVALID);
	/* Seven do, and learners up to sixteen members. */
	wanted = now;
	for (uint32_t i = 0; i < 7; i++)
		wanted.members[wanted.count++] = (struct ikada_member){10 + i, 110 + i, IKADA_LEARNER};
	cores_change(cores, 1, &wanted);
	assert_int_equal(cores->change_refused, 0);
	acknowledge(cores);
	wanted.count--;
	wanted.members[15].id = 17;
	wanted.members[15].incarnation = 117;
	cores_change(cores, 1, &wanted);
	assert_int_equal(cores->change_refused, 0); /* One fewer. */
	acknowledge(cores);
	/* Not ascending, twice the same id, standings that only the core gives. */
	wanted = now;
	wanted.members[1] = now.members[0];
	cores_change(cores, 1, &wanted);
	assert_int_equal(cores->change_refused, IKADA_REFUSED_INVALID);
	wanted = now;
	wanted.members[8].standing = IKADA_LEAVING;
	cores_change(cores, 1, &wanted);
	assert_int_equal(cores->change_refused, IKADA_REFUSED_INVALID);
	drop_all(cores);
	end(cores);
}

/* A member has this entry, and says so. */
static void hold(struct cores *cores, uint64_t id, uint64_t index)
{
	struct ikada_message m = {.kind = IKADA_APPEND_REPLY,
				  .term = 1,
				  .match_index = index,
				  .verified_index = index,
				  .round = cores->core[1].raft->round,
				  .sent_ns = cores->raw_ns,
				  .from = id,
				  .from_incarnation = cores_incarnation(id),
				  .to = 1};
	give(cores, &m);
}

/* The final configuration has fewer voters: what these few hold is committed by whatever is answered next. */
static void fewer_decide(void **state)
{
	(void)state;
	struct ikada_config now = {.max_id = 5};
	for (uint64_t id = 1; id <= 5; id++)
		now.members[now.count++] = (struct ikada_member){id, cores_incarnation(id), IKADA_VOTER};
	struct ikada_config wanted = now;
	wanted.count = 3;
	struct cores *cores = lead(&now);
	struct core *core = &cores->core[1];
	acknowledge(cores);
	cores_change(cores, 1, &wanted);
	uint64_t joint = core->status.last_index;
	cores_propose(cores, 1, 1, 1);
	cores_durable(cores, 1, SIZE_MAX);
	hold(cores, 2, joint + 1);
	assert_int_equal(core->status.commit, joint - 1);
	hold(cores, 4, joint); /* Three of five, and two of three. */
	assert_int_equal(core->status.commit, joint);
	assert_int_equal(core->status.config.index, joint + 2);
	assert_true(same(&core->status.config, &wanted));
	hold(cores, 3, joint - 1);
	assert_int_equal(core->status.commit, joint + 1); /* 1 and 2 are two of three. */
	drop_all(cores);
	end(cores);
}

/* A change that waits for somebody who does not come can be undone, or replaced. */
static void staged_can_be_undone(void **state)
{
	(void)state;
	struct ikada_config now = {.max_id = 3};
	for (uint64_t id = 1; id <= 3; id++)
		now.members[now.count++] = (struct ikada_member){id, cores_incarnation(id), IKADA_VOTER};
	struct ikada_config wanted = now;
	wanted.members[2] = (struct ikada_member){4, 104, IKADA_VOTER}; /* In place of 3. */
	struct cores *cores = lead(&now);
	struct core *core = &cores->core[1];
	acknowledge(cores);
	cores_change(cores, 1, &wanted);
	cores_change(cores, 1, &now);
	assert_int_equal(cores->change_refused, IKADA_REFUSED_BUSY); /* It is not committed yet. */
	cores_durable(cores, 1, SIZE_MAX);
	for (uint64_t id = 2; id <= 3; id++) {
		struct ikada_message m = {.kind = IKADA_APPEND_REPLY,
					  .term = 1,
					  .match_index = core->status.last_index,
					  .verified_index = core->status.last_index,
					  .from = id,
					  .from_incarnation = cores_incarnation(id),
					  .to = 1};
		give(cores, &m);
	}
	assert_int_equal(core->status.commit, 2);
	assert_true(has(&core->status.config, IKADA_JOINING) && has(&core->status.config, IKADA_LEAVING));
	cores_change(cores, 1, &wanted);
	assert_int_equal(cores->change_refused, IKADA_REFUSED_UNCHANGED);
	cores_change(cores, 1, &now);
	assert_int_equal(cores->change_refused, 0);
	assert_true(same(&core->status.config, &now));
	/* The id is used up all the same. */
	assert_int_equal(core->status.config.max_id, 4);
	acknowledge(cores);
	cores_change(cores, 1, &wanted);
	assert_int_equal(cores->change_refused, IKADA_REFUSED_INVALID);
	drop_all(cores);
	end(cores);
}

/* A member that answers, but never as fast as entries come, is not promoted; when it keeps pace it is. */
static void rounds(void **state)
{
	(void)state;
	struct ikada_config now = {.max_id = 1, .count = 1, .members = {{1, cores_incarnation(1), IKADA_VOTER}}};
	struct ikada_config wanted = now;
	wanted.members[wanted.count++] = (struct ikada_member){2, 102, IKADA_VOTER};
	struct cores *cores = lead(&now);
	struct core *core = &cores->core[1];
	cores_change(cores, 1, &wanted);
	cores_durable(cores, 1, SIZE_MAX);
	uint64_t behind = core->status.last_index;
	struct ikada_message m = {.kind = IKADA_APPEND_REPLY, .term = 1, .from = 2, .from_incarnation = 102, .to = 1};
	for (uint32_t i = 0; i < 10; i++) {
		uint64_t last = core->status.last_index;
		cores_propose(cores, 1, 1, 5);
		cores_durable(cores, 1, SIZE_MAX);
		cores->raw_ns += cores->settings.election_min_ns + 1;
		m.match_index = m.verified_index = behind;
		m.sent_ns = cores->raw_ns;
		give(cores, &m);
		behind = last;
		assert_true(has(&core->status.config, IKADA_JOINING));
	}
	m.match_index = m.verified_index = core->status.last_index;
	give(cores, &m); /* Ends a long round, and begins one. */
	assert_true(has(&core->status.config, IKADA_JOINING));
	cores->raw_ns += cores->settings.election_min_ns;
	m.sent_ns = cores->raw_ns;
	give(cores, &m);
	assert_true(has(&core->status.config, IKADA_INCOMING));
	drop_all(cores);
	end(cores);
}

/* A change of this leader waits for member 2, of incarnation 102 (or a new one of member 3, 1103). */
static struct cores *waiting(bool replaces)
{
	struct ikada_config now = {.max_id = 3};
	struct ikada_config wanted = {.max_id = 3};
	for (uint64_t id = 1; id <= 3; id += 2)
		now.members[now.count++] = (struct ikada_member){id, cores_incarnation(id), IKADA_VOTER};
	now.max_id = replaces ? 3 : 1;
	now.count = replaces ? 2 : 1;
	wanted = now;
	if (replaces)
		wanted.members[1].incarnation = 1103;
	else
		wanted.members[wanted.count++] = (struct ikada_member){2, 102, IKADA_VOTER};
	struct cores *cores = lead(&now);
	acknowledge(cores);
	cores_change(cores, 1, &wanted);
	assert_int_equal(cores->change_refused, 0);
	cores_durable(cores, 1, SIZE_MAX);
	if (replaces)
		hold(cores, 3, cores->core[1].status.last_index);
	assert_true(has(&cores->core[1].status.config, IKADA_JOINING));
	assert_true(cores->core[1].status.commit == cores->core[1].status.config.index);
	return cores;
}

/* Nobody waits for ever: ten rounds that are too long, not nine. What is left is a learner, which can be promoted. */
static void rounds_end(void **state)
{
	(void)state;
	struct cores *cores = waiting(false);
	struct core *core = &cores->core[1];
	struct ikada_message m = {.kind = IKADA_APPEND_REPLY, .term = 1, .from = 2, .from_incarnation = 102, .to = 1};
	for (uint32_t change = 0; change < 2; change++) {
		for (uint32_t i = 0; i < 10; i++) {
			assert_true(has(&core->status.config, IKADA_JOINING));
			cores->raw_ns += cores->settings.election_min_ns + 1;
			m.match_index = m.verified_index = core->status.last_index;
			m.sent_ns = cores->raw_ns;
			cores_propose(cores, 1, 1, 1);
			cores_durable(cores, 1, SIZE_MAX);
			give(cores, &m);
		}
		assert_true(core->effects.change_given_up);
		struct ikada_config wanted = core->status.config;
		assert_int_equal(wanted.count, 2);
		assert_int_equal(wanted.members[1].standing, IKADA_LEARNER);
		wanted.members[1].standing = IKADA_VOTER;
		cores_durable(cores, 1, SIZE_MAX);
		cores_change(cores, 1, &wanted);
		assert_false(core->effects.change_given_up);
		cores_durable(cores, 1, SIZE_MAX);
	}
	/* A short one is enough. */
	cores->raw_ns += 1;
	m.match_index = m.verified_index = core->status.last_index;
	m.sent_ns = cores->raw_ns;
	give(cores, &m);
	give(cores, &m);
	assert_true(has(&core->status.config, IKADA_INCOMING));
	drop_all(cores);
	end(cores);
}

/* Who says nothing for a hundred election timeouts is not waited for; the one that it was to replace stays. */
static void silence_ends(void **state)
{
	(void)state;
	for (uint32_t replaces = 0; replaces < 2; replaces++) {
		struct cores *cores = waiting(replaces);
		struct core *core = &cores->core[1];
		uint64_t began_ns = cores->raw_ns;
		while (has(&core->status.config, IKADA_JOINING)) {
			cores->raw_ns = core->raft->beat_ns;
			if (replaces)
				hold(cores, 3, core->status.last_index);
			cores_tick(cores, 1);
			assert_int_equal(core->status.role, IKADA_LEADER);
			drop_all(cores);
		}
		assert_true(core->effects.change_given_up);
		uint64_t waited_ns = cores->raw_ns - began_ns;
		assert_true(waited_ns >= 100 * cores->settings.election_max_ns - cores->settings.heartbeat_ns);
		assert_true(waited_ns <= 100 * cores->settings.election_max_ns + cores->settings.heartbeat_ns);
		assert_int_equal(core->status.config.count, 2);
		assert_int_equal(core->status.config.members[1].standing, replaces ? IKADA_VOTER : IKADA_LEARNER);
		assert_int_equal(core->status.config.members[1].incarnation, replaces ? 103 : 102);
		drop_all(cores);
		end(cores);
	}
}

/* ---- Incarnations ---- */

/* Two disks of one id are two members: a vote for one is none for the other, in the same term, ever. */
static void a_vote_is_for_an_incarnation(void **state)
{
	(void)state;
	struct cores *cores = malloc(sizeof *cores);
	cores_init(cores, 3, 1);
	cores->forged = true;
	cores_start(cores);
	assert_int_equal(cores_spawn(cores, 3), 4); /* Incarnation 1103. */
	struct core *core = &cores->core[1];
	struct ikada_message m = {.kind = IKADA_VOTE, .term = 4, .from = 3, .from_incarnation = 103, .to = 1};
	give(cores, &m);
	cores_durable(cores, 1, SIZE_MAX);
	assert_true(cores->packets[0].m.granted);
	drop_all(cores);
	m.from_incarnation = 1103;
	give(cores, &m);
	assert_false(cores->packets[0].m.granted);
	drop_all(cores);
	/* After a restart that does not remember which of them it was, neither gets it again. */
	cores_crash(cores, 1, 0);
	core->disk_vote_incarnation = 0;
	cores_boot(cores, 1);
	for (uint32_t i = 0; i < 2; i++) {
		m.from_incarnation = i == 0 ? 103 : 1103;
		give(cores, &m);
		assert_false(cores->packets[i].m.granted);
	}
	/* Nor does a message for another incarnation of this member mean this one. */
	drop_all(cores);
	m.term = 5;
	m.to_incarnation = 1101;
	struct core_packet packet = {.m = m};
	cores_hand(cores, &packet);
	assert_int_equal(core->status.term, 4);
	end(cores);
}

/* ---- Who leads ---- */

static void halted(void **state)
{
	(void)state;
	struct cores *cores = malloc(sizeof *cores);
	cores_init(cores, 3, 1);
	cores_start(cores);
	cores_halt(cores, 1, true);
	cores->raw_ns += 500;
	cores_tick(cores, 1);
	assert_int_equal(cores->packet_count, 0);
	cores_tick(cores, 2);
	settle(cores); /* It votes and logs. */
	assert_int_equal(cores->core[2].status.role, IKADA_LEADER);
	cores_propose(cores, 2, 1, 1);
	settle(cores);
	assert_int_equal(cores->core[1].status.last_index, 2);
	/* A leader that is halted goes, and is not handed leadership either. */
	cores_halt(cores, 2, true);
	assert_int_equal(cores->core[2].status.role, IKADA_FOLLOWER);
	assert_true(cores->core[2].status.halted);
	cores_halt(cores, 1, false);
	cores->raw_ns += 500;
	cores_tick(cores, 1);
	settle(cores);
	assert_int_equal(cores->core[1].status.role, IKADA_LEADER);
	cores_transfer(cores, 1, 2, 100);
	settle(cores);
	assert_int_equal(cores->core[1].status.role, IKADA_LEADER);
	cores->raw_ns += 100;
	cores_tick(cores, 1);
	assert_true(cores->core[1].effects.transfer_ended);
	cores_transfer(cores, 1, 0, 100);
	settle(cores);
	cores_transfer(cores, 3, 1, 100); /* Who does not lead has nothing to hand on. */
	assert_true(cores->core[3].effects.transfer_ended || cores->core[3].status.role == IKADA_LEADER);
	end(cores);
}

static void priorities(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct cores *cores = malloc(sizeof *cores);
		cores_init(cores, 3, seed);
		cores->core[1].priority = 2;
		cores->core[2].priority = 1;
		cores_start(cores);
		uint64_t first = ikada_raft_deadline(cores->core[3].raft);
		assert_true(first <= cores->raw_ns + cores->settings.election_max_ns);
		assert_true(ikada_raft_deadline(cores->core[2].raft) >=
			    cores->raw_ns + 2 * cores->settings.election_min_ns);
		assert_true(ikada_raft_deadline(cores->core[1].raft) >=
			    cores->raw_ns + 3 * cores->settings.election_min_ns);
		end(cores);
	}
}

/* ---- Ties ---- */

/*
 * Everybody starts at the same moment, and loses patience for the first time at the same moment. A message takes 20, a
 * write 5. How many election timeouts pass before somebody leads?
 */
static uint64_t tie(uint32_t count, uint64_t seed)
{
	struct cores *cores = malloc(sizeof *cores);
	uint64_t arrives[4096];
	cores_init(cores, count, seed);
	cores_start(cores);
	uint64_t start = cores->raw_ns;
	for (uint64_t at = 1; at <= count; at++)
		cores->core[at].raft->election_ns = start + 250;
	size_t known = 0;
	uint64_t leader = 0;
	while (leader == 0 && cores->raw_ns < start + 100 * 500 && cores->broken[0] == 0) {
		cores->raw_ns++;
		while (known > 0 && arrives[0] <= cores->raw_ns) {
			cores_deliver(cores, 0);
			memmove(arrives, arrives + 1, --known * sizeof *arrives);
		}
		for (uint64_t at = 1; at <= count; at++) {
			if (cores->raw_ns % 5 == 0)
				cores_durable(cores, at, SIZE_MAX);
			if (ikada_raft_deadline(cores->core[at].raft) <= cores->raw_ns)
				cores_tick(cores, at);
			if (cores->core[at].status.role == IKADA_LEADER)
				leader = at;
		}
		for (; known < cores->packet_count && known < 4096; known++)
			arrives[known] = cores->raw_ns + 20;
	}
	uint64_t took = (cores->raw_ns - start) / cores->settings.election_max_ns;
	end(cores);
	return took;
}

static void ties_end(void **state)
{
	(void)state;
	for (uint32_t count = 2; count <= 6; count++) {
		uint64_t sum = 0;
		uint64_t worst = 0;
		for (uint64_t seed = 1; seed <= 100; seed++) {
			uint64_t took = tie(count, seed);
			sum += took;
			worst = took > worst ? took : worst;
		}
		print_message("note: %" PRIu32 " nodes that tie at first: a leader after %" PRIu64 ".%02" PRIu64
			      " election timeouts, at most %" PRIu64 "\n",
			      count, sum / 100, sum % 100, worst);
		assert_true(sum <= 300);
		assert_true(worst <= 12);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plans),	cmocka_unit_test(limits),
		cmocka_unit_test(fewer_decide), cmocka_unit_test(staged_can_be_undone),
		cmocka_unit_test(rounds),	cmocka_unit_test(rounds_end),
		cmocka_unit_test(silence_ends), cmocka_unit_test(a_vote_is_for_an_incarnation),
		cmocka_unit_test(halted),	cmocka_unit_test(priorities),
		cmocka_unit_test(ties_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
