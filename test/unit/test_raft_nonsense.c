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

/* Of members 1 to 6. A driver hands on only what can be a configuration; otherwise it may be any. */
static struct ikada_config any_config(struct rng *rng, uint64_t index)
{
	for (;;) {
		struct ikada_config config = {.index = index, .max_id = 6};
		for (uint64_t id = 1; id <= 6; id++)
			if (rng_below(rng, 4) > 0 || id == 1)
				config.members[config.count++] = (struct ikada_member){
					id, cores_incarnation(id) + (rng_below(rng, 9) == 0),
					(enum ikada_standing)(rng_below(rng, 2) * rng_below(rng, 7))};
		if (ikada_config_valid(&config))
			return config;
	}
}

static void babble(struct rng *rng, const struct core *core, struct ikada_message *m, struct ikada_run *runs,
		   struct ikada_config *configs, struct ikada_event *event)
{
	const struct ikada_raft_status *status = &core->status;
	*m = (struct ikada_message){
		.kind = (enum ikada_message_kind)rng_below(rng, 10),
		.transfer = rng_below(rng, 20) == 0,
		.granted = rng_below(rng, 2) == 0,
		.rejected = rng_below(rng, 2) == 0,
		.from = rng_below(rng, 20) == 0 ? rng_below(rng, 7)
						: 2 + rng_below(rng, core->raft->settings.seed % 2 == 0 ? 1 : 3),
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
	*event = (struct ikada_event){.kind = IKADA_RECEIVE, .message = m, .runs = runs, .configs = configs};
	event->run_count = (uint32_t)rng_below(rng, 4);
	for (uint32_t i = 0; i < event->run_count; i++) {
		runs[i].first = rng_below(rng, 8) == 0 ? any(rng, m->prev_index) : m->prev_index + 1 + 2 * i;
		runs[i].term =
			rng_below(rng, 8) == 0 ? any(rng, status->term) : status->term + i - (status->term > 2 ? 2 : 0);
	}
	if (m->kind == IKADA_APPEND && rng_below(rng, 8) > 0)
		m->last_index = event->run_count == 0 ? m->prev_index : m->prev_index + 2 * event->run_count;
	for (uint64_t index = m->prev_index + 1; event->config_count < 2 && index <= m->prev_index + 8; index++)
		if (rng_below(rng, 20) == 0 && index <= m->last_index && m->kind == IKADA_APPEND)
			configs[event->config_count++] = any_config(rng, index);
}

/* What the driver may want at any time. */
static void wish(struct rng *rng, const struct core *core, struct ikada_config *config, struct ikada_event *event)
{
	const struct ikada_raft_status *status = &core->status;
	static const enum ikada_event_kind kinds[] = {IKADA_SENT,    IKADA_PEER_LOST, IKADA_SNAPSHOT_ENDED,
						      IKADA_COMPACT, IKADA_INSTALL,   IKADA_CHANGE,
						      IKADA_CHANGE,  IKADA_TRANSFER,  IKADA_HALT};
	event->kind = kinds[rng_below(rng, sizeof kinds / sizeof *kinds)];
	event->peer = rng_below(rng, 7);
	event->peer_incarnation = cores_incarnation(event->peer);
	event->last_index = any(rng, status->last_index);
	event->last_term = any(rng, status->last_term);
	event->bytes = 1;
	event->config = config;
	event->deadline_ns = event->kind == IKADA_TRANSFER ? core->raft->raw_ns + rng_below(rng, 100) : 0;
	event->on = rng_below(rng, 10) == 0;
	if (event->kind == IKADA_COMPACT)
		event->last_index = rng_below(rng, status->commit + 1);
	*config = any_config(rng, event->kind == IKADA_INSTALL ? rng_below(rng, event->last_index + 1) : 0);
	for (uint32_t i = 0; event->kind == IKADA_CHANGE && i < config->count; i++)
		config->members[i].standing %= 2;
}

/* Members that say anything: nothing breaks, and no step breaks a rule. */
static void nonsense(void **state)
{
	(void)state;
	uint64_t roles[4] = {0};
	uint64_t commits = 0;
	uint64_t configs_seen = 0;
	uint64_t installs = 0;
	uint64_t changes = 0;
	uint64_t liars = 0;
	for (uint64_t seed = 1; seed <= 400; seed++) {
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
			struct ikada_config configs[2];
			struct ikada_event event = {.kind = IKADA_TICK};
			uint64_t draw = rng_below(&rng, 100);
			if (draw < 80) {
				babble(&rng, core, &m, runs, configs, &event);
			} else if (draw < 84) {
				event = (struct ikada_event){.kind = IKADA_DURABLE, .ticket = durable};
				event.ticket = durable = rng_between(&rng, durable, ticket);
			} else if (draw < 89) {
				event.kind = draw < 86 ? IKADA_PROPOSE : IKADA_READ;
				event.count = 1;
				event.first_id = event.kind == IKADA_READ ? reads++ : i;
			} else if (draw < 95) {
				wish(&rng, core, configs, &event);
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
			configs_seen += effects->config_changed;
			installs += effects->installed;
			changes += effects->append == IKADA_APPEND_CONFIG;
			liars += effects->forgot != 0;
			ikada_raft_deadline(core->raft);
		}
		commits += core->status.commit;
		cores_free(cores);
		free(cores);
	}
	/* It was not all ignored. */
	for (uint32_t role = 0; role < 4; role++)
		assert_true(roles[role] > 300);
	print_message("note: nonsense for %" PRIu64 " steps as leader, %" PRIu64 " as candidate; %" PRIu64
		      " configurations, %" PRIu64 " made, %" PRIu64 " installs, %" PRIu64 " liars\n",
		      roles[3], roles[2], configs_seen, changes, installs, liars);
	assert_true(commits > 100);
	assert_true(configs_seen > 100);
	assert_true(installs > 100);
	assert_true(changes > 20);
	assert_true(liars > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(nonsense)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
