/* The core, rule by rule: a few nodes in memory, driven by hand. Longer stories are in test/scripts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "raft_cores.h"

#define MIN 250
#define MAX 500

static struct cores *make(uint32_t count)
{
	struct cores *cores = malloc(sizeof *cores);
	cores_init(cores, count, 1);
	return cores;
}

static struct cores *make_forged(uint32_t count)
{
	struct cores *cores = make(count);
	cores->forged = true;
	return cores;
}

static void end(struct cores *cores)
{
	if (cores->broken[0] != 0)
		fail_msg("%s", cores->broken);
	cores_free(cores);
	free(cores);
}

/* Everything that is queued arrives, disks write at once, until all is quiet. */
static void settle(struct cores *cores)
{
	for (bool again = true; again && cores->broken[0] == 0;) {
		again = false;
		for (uint64_t id = 1; id <= cores->count; id++) {
			again |= cores->core[id].up && cores->core[id].write_count > 0;
			cores_durable(cores, id, SIZE_MAX);
		}
		for (; cores->packet_count > 0; again = true)
			cores_deliver(cores, 0);
	}
}

static void drop_all(struct cores *cores)
{
	while (cores->packet_count > 0)
		cores_drop(cores, 0);
}

static void elect(struct cores *cores, uint64_t id)
{
	cores->raw_ns += MAX;
	cores_tick(cores, id);
	settle(cores);
	assert_int_equal(cores->core[id].status.role, IKADA_LEADER);
}

static struct cores *elected(uint32_t count)
{
	struct cores *cores = make(count);
	cores_start(cores);
	elect(cores, 1);
	return cores;
}

static void beat(struct cores *cores, uint64_t id)
{
	cores->raw_ns += cores->settings.heartbeat_ns;
	cores_tick(cores, id);
}

/* Hands a node a message; entries of the given terms follow prev_index. */
static void give(struct cores *cores, struct ikada_message m, const uint64_t *terms, uint64_t count)
{
	struct core_packet packet = {.m = m};
	for (uint64_t i = 0; i < count; i++)
		core_log_add(&packet.entries, terms[i], 1000 * terms[i] + m.prev_index + i);
	packet.m.last_index = m.kind == IKADA_APPEND ? m.prev_index + count : m.last_index;
	cores_hand(cores, &packet);
	core_log_free(&packet.entries);
}

/* The newest queued message of a kind. */
static const struct ikada_message *queued(const struct cores *cores, enum ikada_message_kind kind)
{
	for (size_t i = cores->packet_count; i > 0; i--)
		if (cores->packets[i - 1].m.kind == kind)
			return &cores->packets[i - 1].m;
	return NULL;
}

static struct ikada_message request(enum ikada_message_kind kind, uint64_t from, uint64_t to, uint64_t term)
{
	return (struct ikada_message){.kind = kind, .from = from, .to = to, .term = term};
}

/* ---- One node ---- */

static void alone(void **state)
{
	(void)state;
	struct cores *cores = make(1);
	cores_start(cores);
	struct core *core = &cores->core[1];
	cores_propose(cores, 1, 1, 1);
	assert_int_equal(core->effects.refused_proposals.count, 1);
	cores_tick(cores, 1); /* There is nobody to wait for. */
	assert_int_equal(core->status.role, IKADA_CANDIDATE);
	cores_durable(cores, 1, SIZE_MAX);
	assert_int_equal(core->status.role, IKADA_LEADER);
	cores_read(cores, 1, 3);
	cores_propose(cores, 1, 5, 2);
	assert_int_equal(core->status.last_index, 3);
	assert_int_equal(core->status.commit, 0); /* What is not durable is not committed, alone or not. */
	cores_durable(cores, 1, 1);
	assert_int_equal(core->status.commit, 1);
	assert_int_equal(core->reads_granted, 3);
	assert_int_equal(core->read_index[0], 1);
	cores_durable(cores, 1, 1);
	assert_int_equal(core->status.commit, 3);
	assert_true(ikada_raft_deadline(core->raft) == UINT64_MAX); /* An idle one sleeps. */
	cores_crash(cores, 1, 0);
	cores_boot(cores, 1);
	assert_int_equal(core->status.last_index, 3);
	assert_int_equal(core->status.term, 1);
	cores_tick(cores, 1);
	settle(cores);
	assert_int_equal(core->status.term, 2);
	assert_int_equal(core->status.commit, 4);
	end(cores);
}

/* ---- Elections ---- */

static void one_vote_a_term(void **state)
{
	(void)state;
	struct cores *cores = make_forged(5);
	cores_start(cores);
	struct core *core = &cores->core[1];
	give(cores, request(IKADA_VOTE, 2, 1, 3), NULL, 0);
	assert_int_equal(core->status.vote, 2);
	assert_null(queued(cores, IKADA_VOTE_REPLY)); /* Not before it is durable. */
	give(cores, request(IKADA_VOTE, 3, 1, 3), NULL, 0);
	cores_durable(cores, 1, SIZE_MAX);
	assert_int_equal(cores->packet_count, 2);
	assert_true(cores->packets[0].m.granted && cores->packets[0].m.to == 2);
	assert_false(cores->packets[1].m.granted);
	/* A restart, and a leader of the same term, change nothing about it. */
	cores_crash(cores, 1, 0);
	cores_boot(cores, 1);
	drop_all(cores);
	give(cores, request(IKADA_VOTE, 3, 1, 3), NULL, 0);
	assert_false(queued(cores, IKADA_VOTE_REPLY)->granted);
	give(cores, request(IKADA_VOTE, 2, 1, 3), NULL, 0);
	assert_true(queued(cores, IKADA_VOTE_REPLY)->granted);
	give(cores, request(IKADA_APPEND, 2, 1, 3), NULL, 0);
	assert_int_equal(core->status.vote, 2);
	give(cores, request(IKADA_VOTE, 3, 1, 3), NULL, 0);
	assert_false(queued(cores, IKADA_VOTE_REPLY)->granted);
	end(cores);
}

/* Up to date: by the last term first, then by the length. */
static void stale_logs_get_no_votes(void **state)
{
	(void)state;
	static const struct {
		uint64_t index, term;
		bool granted;
	} cases[] = {{0, 0, false}, {2, 2, false}, {9, 1, false}, {3, 2, true},
		     {4, 2, true},  {1, 3, true},  {2, 4, true}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		for (uint32_t vote = 0; vote < 2; vote++) {
			struct cores *cores = make_forged(3);
			cores->core[1].disk_term = 2;
			core_log_add(&cores->core[1].disk, 1, 1);
			core_log_add(&cores->core[1].disk, 2, 2);
			core_log_add(&cores->core[1].disk, 2, 3);
			cores_start(cores);
			struct ikada_message m = request(vote ? IKADA_VOTE : IKADA_PREVOTE, 2, 1, 9);
			m.last_index = cases[i].index;
			m.last_term = cases[i].term;
			give(cores, m, NULL, 0);
			cores_durable(cores, 1, SIZE_MAX);
			const struct ikada_message *reply =
				queued(cores, vote ? IKADA_VOTE_REPLY : IKADA_PREVOTE_REPLY);
			assert_int_equal(reply->granted, cases[i].granted);
			assert_int_equal(cores->core[1].status.term, vote ? 9 : 2);
			end(cores);
		}
	}
}

static void who_hears_a_leader_keeps_it(void **state)
{
	(void)state;
	struct cores *cores = elected(3);
	struct core *core = &cores->core[2];
	struct ikada_message m = request(IKADA_PREVOTE, 3, 2, 9);
	m.last_index = 9;
	m.last_term = 1;
	beat(cores, 1);
	settle(cores);
	cores->raw_ns += MIN - 1;
	give(cores, m, NULL, 0);
	assert_false(queued(cores, IKADA_PREVOTE_REPLY)->granted);
	m.kind = IKADA_VOTE;
	give(cores, m, NULL, 0);
	assert_null(queued(cores, IKADA_VOTE_REPLY)); /* Not even its term is heard. */
	assert_int_equal(core->status.term, 1);
	/* Starvation is not silence: the process was late, not the leader. */
	cores->raw_ns += 10000;
	core->lag_ns += 10000;
	cores_tick(cores, 2);
	assert_int_equal(core->status.role, IKADA_FOLLOWER);
	give(cores, m, NULL, 0);
	assert_int_equal(core->status.term, 1);
	/* Silence is. */
	cores->raw_ns += 1;
	give(cores, m, NULL, 0);
	assert_int_equal(core->status.term, 9);
	assert_int_equal(core->status.vote, 3);
	end(cores);
}

static void leader_is_not_deposed_by_a_request(void **state)
{
	(void)state;
	struct cores *cores = elected(3);
	struct ikada_message m = request(IKADA_VOTE, 3, 1, 9);
	m.last_index = 9;
	m.last_term = 1;
	give(cores, m, NULL, 0);
	assert_int_equal(cores->core[1].status.role, IKADA_LEADER);
	assert_int_equal(cores->core[1].status.term, 1);
	end(cores);
}

static void a_lost_connection_is_news(void **state)
{
	(void)state;
	struct cores *cores = elected(4);
	cores_crash(cores, 1, 0);
	cores_peer_lost(cores, 2, 3); /* Not the leader. */
	assert_true(ikada_raft_deadline(cores->core[2].raft) > cores->raw_ns + 100);
	for (uint64_t id = 4; id >= 2; id--) {
		cores_peer_lost(cores, id, 1);
		/* Node 2 is the first of those that are left. */
		assert_int_equal(ikada_raft_deadline(cores->core[id].raft),
				 cores->raw_ns + (id - 1) * cores->settings.hint_delay_ns);
	}
	/* Whoever hears the leader again forgets it. */
	give(cores, (struct ikada_message){.kind = IKADA_APPEND, .from = 1, .to = 4, .term = 1}, NULL, 0);
	assert_true(ikada_raft_deadline(cores->core[4].raft) > cores->raw_ns + 100);
	drop_all(cores);
	cores->raw_ns += cores->settings.hint_delay_ns;
	cores_tick(cores, 2);
	assert_int_equal(cores->core[2].status.role, IKADA_PRECANDIDATE);
	settle(cores);
	assert_int_equal(cores->core[2].status.role, IKADA_PRECANDIDATE); /* Two of four. */
	assert_int_equal(cores->core[2].status.term, 1);
	cores_peer_lost(cores, 4, 1);
	cores->raw_ns += cores->settings.heartbeat_ns;
	cores_tick(cores, 2); /* It asks again those who refused. */
	settle(cores);
	assert_int_equal(cores->core[2].status.role, IKADA_LEADER);
	end(cores);
}

/* Only grants of this term and kind count, and each member once. */
static void votes_are_counted(void **state)
{
	(void)state;
	struct cores *cores = make_forged(5);
	cores->core[1].disk_term = 4;
	cores_start(cores);
	cores->raw_ns += MAX;
	cores_tick(cores, 1);
	struct core *core = &cores->core[1];
	struct ikada_message m = request(IKADA_PREVOTE_REPLY, 2, 1, 5);
	m.granted = true;
	give(cores, m, NULL, 0);
	give(cores, m, NULL, 0);
	m.from = 3;
	m.term = 4;
	give(cores, m, NULL, 0);
	m.term = 6;
	give(cores, m, NULL, 0);
	assert_int_equal(core->status.role, IKADA_PRECANDIDATE);
	assert_int_equal(core->status.term, 4);
	m.term = 5;
	give(cores, m, NULL, 0);
	assert_int_equal(core->status.role, IKADA_CANDIDATE);
	m.kind = IKADA_VOTE_REPLY;
	m.from = 2;
	give(cores, m, NULL, 0);
	give(cores, m, NULL, 0);
	m.from = 3;
	m.term = 4;
	give(cores, m, NULL, 0);
	m.term = 5;
	m.granted = false;
	give(cores, m, NULL, 0);
	assert_int_equal(core->status.role, IKADA_CANDIDATE);
	m.granted = true;
	give(cores, m, NULL, 0);
	/* Elected, but its own vote could still be forgotten. */
	assert_int_equal(core->status.role, IKADA_CANDIDATE);
	cores_durable(cores, 1, SIZE_MAX);
	assert_int_equal(core->status.role, IKADA_LEADER);
	end(cores);
}

/* ---- Reasons to step down ---- */

static void silent_majority(void **state)
{
	(void)state;
	struct cores *cores = elected(3);
	struct core *core = &cores->core[1];
	beat(cores, 1);
	struct core_packet old = cores_take(cores, 0);
	uint64_t asked = cores->raw_ns;
	drop_all(cores);
	/* It finds an answer, to what it asked long ago. */
	cores->raw_ns = asked + MAX;
	cores_hand(cores, &old);
	cores_deliver(cores, 0);
	assert_int_equal(core->status.role, IKADA_LEADER);
	cores_tick(cores, 1);
	assert_int_equal(core->status.role, IKADA_FOLLOWER);
	assert_int_equal(core->status.term, 1);
	assert_int_equal(core->status.vote, 1);
	assert_int_equal(core->status.leader, 0);
	/* It no longer stands in anybody's way. */
	struct ikada_message m = request(IKADA_PREVOTE, 2, 1, 2);
	m.last_index = 1;
	m.last_term = 1;
	give(cores, m, NULL, 0);
	assert_true(queued(cores, IKADA_PREVOTE_REPLY)->granted);
	core_log_free(&old.entries);
	end(cores);
}

/* Who did not run could not be answered; silence is counted in the time that it ran. */
static void late_leader(void **state)
{
	(void)state;
	struct cores *cores = elected(3);
	struct core *core = &cores->core[1];
	beat(cores, 1);
	drop_all(cores);
	for (uint64_t ran = cores->settings.heartbeat_ns; ran < MAX; ran++) {
		cores->raw_ns += 10000 + 1;
		core->lag_ns += 10000;
		assert_int_equal(core->status.role, IKADA_LEADER);
		cores_tick(cores, 1);
		drop_all(cores);
	}
	assert_int_equal(core->status.role, IKADA_FOLLOWER);
	end(cores);
}

static void stalled_disk(void **state)
{
	(void)state;
	struct cores *cores = elected(3);
	struct core *core = &cores->core[1];
	cores_propose(cores, 1, 1, 1);
	for (uint64_t waited = 0; waited < MAX; waited += cores->settings.heartbeat_ns) {
		assert_int_equal(core->status.role, IKADA_LEADER);
		cores_durable(cores, 2, SIZE_MAX);
		cores_durable(cores, 3, SIZE_MAX);
		while (cores->packet_count > 0)
			cores_deliver(cores, 0);
		beat(cores, 1);
	}
	/* The others did well, and the entry is committed by their disks; but this leader would hold the rest up. */
	assert_int_equal(core->status.commit, 2);
	assert_int_equal(core->status.role, IKADA_FOLLOWER);
	end(cores);
}

/* ---- Logs ---- */

static void follower_takes_what_agrees(void **state)
{
	(void)state;
	struct cores *cores = make_forged(3);
	cores_start(cores);
	struct core *core = &cores->core[1];
	struct ikada_message m = request(IKADA_APPEND, 2, 1, 5);
	m.commit = 2;
	give(cores, m, (uint64_t[]){1, 1, 2, 2}, 4);
	assert_int_equal(core->status.commit, 2);
	settle(cores);
	/* The end of the log is not verified by a heartbeat of the next leader: it commits no further. */
	m = request(IKADA_APPEND, 3, 1, 6);
	m.prev_index = 3;
	m.prev_term = 2;
	m.commit = 4;
	give(cores, m, NULL, 0);
	assert_int_equal(core->status.commit, 3);
	/* An old copy with fewer entries cuts nothing. */
	m.prev_index = 2;
	m.prev_term = 1;
	give(cores, m, (uint64_t[]){2}, 1);
	assert_int_equal(core->status.last_index, 4);
	/* A conflict cuts, above the commit index. */
	m.prev_index = 3;
	m.prev_term = 2;
	m.commit = 3;
	give(cores, m, (uint64_t[]){6, 6}, 2);
	assert_int_equal(core->status.last_index, 5);
	assert_int_equal(ikada_raft_term_at(core->raft, 4), 6);
	assert_int_equal(core->status.durable_index, 3);
	/* What is committed, or what agreed with this very leader, is never cut: that is not a correct leader. */
	m.prev_index = 1;
	m.prev_term = 1;
	give(cores, m, (uint64_t[]){6, 6, 6}, 3);
	m.prev_index = 4;
	m.prev_term = 6;
	m.term = 7;
	m.from = 2;
	m.commit = 5;
	give(cores, m, (uint64_t[]){6, 7}, 2);
	m.prev_index = 5;
	give(cores, m, NULL, 0);
	m.prev_index = 3;
	m.prev_term = 2;
	give(cores, m, (uint64_t[]){7}, 1);
	assert_int_equal(core->status.last_index, 6);
	assert_int_equal(ikada_raft_term_at(core->raft, 4), 6);
	assert_int_equal(ikada_raft_term_at(core->raft, 2), 1);
	end(cores);
}

static void rejection_says_where(void **state)
{
	(void)state;
	struct cores *cores = make_forged(3);
	cores->core[1].disk_term = 5;
	for (uint64_t i = 0; i < 6; i++)
		core_log_add(&cores->core[1].disk, i < 2 ? 1 : 4, 100 + i);
	cores_start(cores);
	struct ikada_message m = request(IKADA_APPEND, 2, 1, 5);
	m.prev_index = 9;
	m.prev_term = 5;
	m.round = 3;
	m.sent_ns = 77;
	give(cores, m, NULL, 0);
	const struct ikada_message *reply = queued(cores, IKADA_APPEND_REPLY);
	assert_true(reply->rejected && reply->prev_index == 9 && reply->last_index == 6);
	assert_true(reply->conflict_term == 0 && reply->conflict_index == 7);
	assert_true(reply->round == 3 && reply->sent_ns == 77); /* A rejection confirms the leader all the same. */
	m.prev_index = 5;
	give(cores, m, NULL, 0);
	reply = queued(cores, IKADA_APPEND_REPLY);
	assert_true(reply->rejected && reply->conflict_term == 4 && reply->conflict_index == 3);
	assert_int_equal(reply->match_index, 0);
	/* A leader of the past learns that it is one, and nothing else: not an echo, not a rejection. */
	m.term = m.prev_term = 4;
	m.from = 3;
	give(cores, m, NULL, 0);
	reply = queued(cores, IKADA_APPEND_REPLY);
	assert_true(reply->to == 3 && reply->term == 5 && !reply->rejected && reply->round == 0 && reply->sent_ns == 0);
	end(cores);
}

static void terms_have_room(void **state)
{
	(void)state;
	struct cores *cores = make_forged(3);
	cores->limits.term_runs = 8;
	cores_start(cores);
	struct core *core = &cores->core[1];
	struct ikada_message m = request(IKADA_APPEND, 2, 1, 20);
	give(cores, m, (uint64_t[]){1, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10}, 12);
	/* Eight runs: the rest is not taken, and not acknowledged. */
	assert_int_equal(core->status.last_index, 10);
	cores_durable(cores, 1, SIZE_MAX);
	assert_int_equal(queued(cores, IKADA_APPEND_REPLY)->verified_index, 10);
	drop_all(cores);
	/* No room for an entry of its own: it does not campaign. */
	cores->raw_ns += MAX;
	cores_tick(cores, 1);
	assert_int_equal(core->status.role, IKADA_FOLLOWER);
	assert_int_equal(cores->packet_count, 0);
	assert_true(ikada_raft_deadline(core->raft) > cores->raw_ns);
	/* A conflict makes room. */
	m.from = 3;
	m.term = 21;
	m.prev_index = 7;
	m.prev_term = 6;
	give(cores, m, (uint64_t[]){11, 12, 13}, 3);
	assert_int_equal(core->status.last_index, 9);
	assert_int_equal(ikada_raft_term_at(core->raft, 9), 12);
	end(cores);
}

static void proposals_have_room(void **state)
{
	(void)state;
	struct cores *cores = make(3);
	cores->limits.uncommitted_entries = 10;
	cores_start(cores);
	elect(cores, 1);
	struct core *core = &cores->core[1];
	cores_propose(cores, 1, 100, 8);
	cores_propose(cores, 1, 108, 5);
	assert_int_equal(core->status.last_index, 11);
	assert_int_equal(cores->refused.count, 3);
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(cores->refused.entries[i].value, 110 + i);
		assert_int_equal(cores->refused.entries[i].term, IKADA_REFUSED_BUSY);
	}
	settle(cores);
	cores_propose(cores, 1, 110, 3);
	assert_int_equal(core->status.last_index, 14);
	cores_propose(cores, 2, 113, 3);
	assert_int_equal(cores->refused.count, 6);
	assert_int_equal(cores->refused.entries[5].term, IKADA_REFUSED_NOT_LEADER);
	end(cores);
}

/* ---- Flow ---- */

static uint64_t to(const struct cores *cores, uint64_t id)
{
	uint64_t n = 0;
	for (size_t i = 0; i < cores->packet_count; i++)
		n += cores->packets[i].m.to == id && cores->packets[i].entries.count > 0;
	return n;
}

static uint64_t one(struct cores *cores, uint64_t entries)
{
	(void)cores;
	(void)entries;
	return 1;
}

static void window(void **state)
{
	(void)state;
	struct cores *cores = make(2);
	cores->limits.inflight_bytes = 250; /* Three messages of one entry. */
	cores->prefix = one;
	cores_start(cores);
	elect(cores, 1);
	cores_propose(cores, 1, 1, 9);
	assert_int_equal(to(cores, 2), 3);
	cores_deliver(cores, 0);
	cores_deliver(cores, 2);
	assert_int_equal(to(cores, 2), 3); /* One answered, one more sent. */
	/* All of it is lost. Heartbeats find out, and in the end all arrives. */
	drop_all(cores);
	for (uint32_t i = 0; i < 10; i++) {
		beat(cores, 1);
		settle(cores);
	}
	assert_int_equal(cores->core[1].status.commit, 10);
	/* No connection: no report. Each heartbeat tries again. */
	cores->unlinked[1][2] = true;
	cores_propose(cores, 1, 20, 2);
	cores_propose(cores, 1, 22, 2);
	cores->unlinked[1][2] = false;
	cores_propose(cores, 1, 24, 1);
	assert_int_equal(cores->packet_count, 0);
	beat(cores, 1);
	assert_int_equal(to(cores, 2), 3);
	settle(cores);
	assert_int_equal(cores->core[1].status.commit, 15);
	end(cores);
}

/* A follower forgets in a crash what it had verified but not made durable: the leader finds the way back. */
static void verified_is_no_promise(void **state)
{
	(void)state;
	struct cores *cores = elected(3);
	cores_crash(cores, 3, 0);
	cores_propose(cores, 1, 1, 5);
	while (cores->packet_count > 0)
		cores_deliver(cores, 0);
	assert_int_equal(cores->core[1].status.peers[0].match_index, 1);
	assert_int_equal(cores->core[1].status.peers[0].next_index, 7);
	cores_durable(cores, 1, SIZE_MAX);
	assert_int_equal(cores->core[1].status.commit, 1);
	cores_crash(cores, 2, 0);
	cores_boot(cores, 2);
	assert_int_equal(cores->core[2].status.last_index, 1);
	beat(cores, 1);
	settle(cores);
	assert_int_equal(cores->core[1].status.commit, 6);
	assert_int_equal(cores->core[2].status.last_index, 6);
	end(cores);
}

/* ---- Reads ---- */

static void reads_wait_for_their_round(void **state)
{
	(void)state;
	struct cores *cores = elected(3);
	struct core *core = &cores->core[1];
	cores_read(cores, 2, 2);
	assert_int_equal(cores->core[2].effects.refused_reads.count, 2);
	beat(cores, 1);
	struct core_packet early = cores_take(cores, 0);
	drop_all(cores);
	cores_read(cores, 1, 2);
	drop_all(cores);
	/* An echo of what was asked before the read says nothing about it, however late it comes. */
	cores_hand(cores, &early);
	settle(cores);
	assert_int_equal(core->reads_granted, 0);
	core_log_free(&early.entries);
	/* The next message does. */
	beat(cores, 1);
	settle(cores);
	assert_int_equal(core->reads_granted, 2);
	/* More rounds than the table holds: the rest waits together, nothing is refused. */
	for (uint32_t i = 0; i < READ_ROUNDS + 10; i++)
		cores_read(cores, 1, 3);
	settle(cores);
	assert_int_equal(core->reads_granted, 2 + 3 * (READ_ROUNDS + 10));
	assert_int_equal(core->reads_refused, 0);
	/* Those that wait when the leader steps down are refused, all at once. */
	cores_read(cores, 1, 2);
	cores_read(cores, 1, 2);
	cores->raw_ns += MAX;
	cores_tick(cores, 1);
	assert_int_equal(core->effects.refused_reads.count, 4);
	end(cores);
}

static void reads_wait_for_the_terms_first_commit(void **state)
{
	(void)state;
	struct cores *cores = elected(3);
	cores_propose(cores, 1, 1, 3);
	settle(cores);
	cores_crash(cores, 1, 0);
	drop_all(cores);
	cores->raw_ns += 2 * MAX;
	cores_tick(cores, 2);
	/* Elected; its log is complete, but how far it is committed it only knows from the leader before. */
	for (uint32_t i = 0; i < 4; i++) {
		while (cores->packet_count > 0)
			cores_deliver(cores, 0);
		if (cores->core[2].status.role != IKADA_LEADER)
			for (uint64_t id = 2; id <= 3; id++)
				cores_durable(cores, id, SIZE_MAX);
	}
	assert_int_equal(cores->core[2].status.role, IKADA_LEADER);
	assert_true(cores->core[2].status.commit < 5);
	cores_read(cores, 2, 1);
	beat(cores, 2);
	while (cores->packet_count > 0)
		cores_deliver(cores, 0);
	assert_int_equal(cores->core[2].reads_granted, 0);
	settle(cores);
	assert_int_equal(cores->core[2].reads_granted, 1);
	assert_int_equal(cores->core[2].read_index[0], 5);
	end(cores);
}

/* ---- The memory ---- */

/* A copy of the bytes is a core of its own: it does the same, and does not touch the first. */
static void a_copy_is_a_core(void **state)
{
	(void)state;
	struct cores *cores = elected(3);
	size_t size = ikada_raft_size(&cores->limits);
	struct core *core = &cores->core[1];
	struct ikada_raft *copy = malloc(size);
	struct ikada_effects *effects = malloc(sizeof *effects);
	for (uint32_t i = 0; i < 20; i++) {
		memcpy(copy, core->raft, size);
		struct ikada_event event = {.kind = i % 2 == 0 ? IKADA_PROPOSE : IKADA_READ,
					    .first_id = i,
					    .count = 1,
					    .raw_ns = cores->raw_ns,
					    .awake_ns = cores->raw_ns - core->lag_ns};
		ikada_raft_step(copy, &event, effects);
		assert_int_equal(memcmp(copy, core->raft, size) == 0, false); /* The original has not moved. */
		if (i % 2 == 0)
			cores_propose(cores, 1, i, 1);
		else
			cores_read(cores, 1, 1);
		struct ikada_raft_status status;
		ikada_raft_status(copy, &status);
		assert_int_equal(status.last_index, core->status.last_index);
		assert_int_equal(copy->round, core->raft->round);
		settle(cores);
	}
	free(copy);
	free(effects);
	end(cores);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alone),
		cmocka_unit_test(one_vote_a_term),
		cmocka_unit_test(stale_logs_get_no_votes),
		cmocka_unit_test(who_hears_a_leader_keeps_it),
		cmocka_unit_test(leader_is_not_deposed_by_a_request),
		cmocka_unit_test(a_lost_connection_is_news),
		cmocka_unit_test(votes_are_counted),
		cmocka_unit_test(silent_majority),
		cmocka_unit_test(late_leader),
		cmocka_unit_test(stalled_disk),
		cmocka_unit_test(follower_takes_what_agrees),
		cmocka_unit_test(rejection_says_where),
		cmocka_unit_test(terms_have_room),
		cmocka_unit_test(proposals_have_room),
		cmocka_unit_test(window),
		cmocka_unit_test(verified_is_no_promise),
		cmocka_unit_test(reads_wait_for_their_round),
		cmocka_unit_test(reads_wait_for_the_terms_first_commit),
		cmocka_unit_test(a_copy_is_a_core),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
