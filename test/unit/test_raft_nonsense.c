/* A core among members that say anything at all: hostile messages are ignored, and no step breaks a rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "raft_cores.h"

static uint64_t any(struct rng *rng, uint64_t near)
{
	switch (rng_below(rng, 100)) {
	case 0:
		return rng_next(rng);
	case 1:
		return UINT64_MAX - rng_below(rng, 3);
	case 2:
		return (uint64_t)INT64_MAX - 1 + rng_below(rng, 3);
	case 3:
	case 4:
		return 0;
	default:
		return near + rng_below(rng, 7) - (near < 3 ? near : 3);
	}
}

static void babble(struct rng *rng, const struct core *core, struct ikada_message *m, struct ikada_run *runs,
		   struct ikada_event *event)
{
	const struct ikada_raft_status *status = &core->status;
	uint64_t others = core->raft->config.count - 1;
	*m = (struct ikada_message){
		.kind = (enum ikada_message_kind)rng_below(rng, 8),
		.granted = rng_below(rng, 2) == 0,
		.rejected = rng_below(rng, 2) == 0,
		.from = rng_below(rng, 20) == 0 ? rng_below(rng, 7) : 2 + rng_below(rng, others),
		.to = rng_below(rng, 20) == 0 ? any(rng, 1) : 1,
		.to_incarnation = cores_incarnation(1),
		.round = any(rng, core->raft->round),
		.sent_ns = any(rng, core->raft->raw_ns),
		.prev_index = any(rng, status->last_index),
		.last_term = any(rng, status->last_term),
		.commit = any(rng, status->commit),
		.match_index = any(rng, status->commit),
		.verified_index = any(rng, status->last_index),
		.conflict_index = any(rng, status->last_index),
		.conflict_term = any(rng, status->last_term),
	};
	/* A higher term is the end of what went on: a rare one; a wild term is the end of all. */
	bool higher = rng_below(rng, status->role >= IKADA_CANDIDATE	  ? 400
				     : status->role == IKADA_PRECANDIDATE ? 4
									  : 40) == 0;
	m->term = rng_below(rng, 4000) == 0 ? any(rng, status->term) : status->term + higher;
	m->prev_term =
		rng_below(rng, 2) == 0 ? ikada_raft_term_at(core->raft, m->prev_index) : any(rng, status->last_term);
	m->last_index = any(rng, status->last_index);
	m->from_incarnation = cores_incarnation(m->from);
	*event = (struct ikada_event){.kind = IKADA_RECEIVE, .message = m, .runs = runs};
	event->run_count = (uint32_t)rng_below(rng, 4);
	for (uint32_t i = 0; i < event->run_count; i++) {
		runs[i].first = rng_below(rng, 8) == 0 ? any(rng, m->prev_index) : m->prev_index + 1 + 2 * i;
		runs[i].term =
			rng_below(rng, 8) == 0 ? any(rng, status->term) : status->term + i - (status->term > 2 ? 2 : 0);
	}
	if (m->kind == IKADA_APPEND && rng_below(rng, 8) > 0)
		m->last_index = event->run_count == 0 ? m->prev_index : m->prev_index + 2 * event->run_count;
}

/* Members that say anything: nothing breaks, and no step breaks a rule. */
static void nonsense(void **state)
{
	(void)state;
	uint64_t roles[4] = {0};
	uint64_t commits = 0;
	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct rng rng = rng_seed(seed);
		struct cores *cores = malloc(sizeof *cores);
		cores_init(cores, seed % 3 == 0 ? 2 : 4, seed);
		cores->forged = true;
		cores->limits.term_runs = 8;
		cores->limits.inflight_messages = 2;
		cores_start(cores);
		struct core *core = &cores->core[1];
		struct ikada_effects *effects = &core->effects;
		uint64_t ticket = 0;
		uint64_t durable = 0;
		uint64_t reads = 0;
		for (uint32_t i = 0; i < 2000; i++) {
			struct ikada_message m;
			struct ikada_run runs[4];
			struct ikada_event event = {.kind = IKADA_TICK};
			uint64_t draw = rng_below(&rng, 100);
			if (draw < 80) {
				babble(&rng, core, &m, runs, &event);
			} else if (draw < 84) {
				event = (struct ikada_event){.kind = IKADA_DURABLE, .ticket = durable};
				event.ticket = durable = rng_between(&rng, durable, ticket);
			} else if (draw < 92) {
				event.kind = draw < 88 ? IKADA_PROPOSE : IKADA_READ;
				event.count = 1;
				event.first_id = event.kind == IKADA_READ ? reads++ : i;
			} else if (draw < 94) {
				event.kind = draw == 92 ? IKADA_SENT : IKADA_PEER_LOST;
				event.peer = 2;
				event.peer_incarnation = cores_incarnation(2);
				event.last_index = any(&rng, core->status.last_index);
				event.bytes = 1;
			} else {
				cores->raw_ns += rng_below(&rng, core->status.role >= IKADA_CANDIDATE ? 40 : 300);
			}
			event.raw_ns = event.awake_ns = cores->raw_ns;
			memcpy(core->before, core->raft, ikada_raft_size(&cores->limits));
			ikada_raft_step(core->raft, &event, effects);
			const char *broken = raft_check(core->before, core->raft, &event, effects);
			if (broken != NULL)
				fail_msg("seed %" PRIu64 ", step %" PRIu32 ": not true: %s", seed, i, broken);
			ikada_raft_status(core->raft, &core->status);
			ticket += effects->ticket != 0;
			roles[effects->role]++;
			ikada_raft_deadline(core->raft);
		}
		commits += core->status.commit;
		cores_free(cores);
		free(cores);
	}
	/* It was not all ignored. */
	for (uint32_t role = 0; role < 4; role++)
		assert_true(roles[role] > 300);
	assert_true(commits > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(nonsense)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
