/*
 * Random schedules over cores in memory: loss, duplication, reordering, partitions, late disks, crashes and restarts,
 * lateness; logs compacted, snapshots sent, lost and installed late; members added, removed, promoted, their disks lost
 * and replaced, twice the same id alive; leadership handed on, members halted. Then healing, after which everything
 * must commit on all who are members. Deterministic: a seed is a schedule.
 *
 * RAFT_SEEDS=A..B runs other seeds than the usual ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "raft_cores.h"
#include "raft_random_members.h"

struct counters {
	uint64_t steps, elections, commits, restarts, reads, refused, cuts, cuts_unsynced;
	uint64_t compactions, installs, installs_kept, changes, joints, finals, rollbacks, left, transfers, handed_on;
	uint64_t wiped;
};

static uint64_t some(struct cores *cores, uint64_t entries)
{
	return 1 + rng_below(&cores->rng, entries < 5 ? entries : 5);
}

static uint64_t any_snapshot(struct cores *cores, uint64_t low, uint64_t high)
{
	return rng_between(&cores->rng, low, high);
}

/* The network of a run: which links drop what they carry. */
struct weather {
	bool cut[CORES_MAX + 1][CORES_MAX + 1];
	uint64_t loss, duplicate;     /* Per mille. */
	uint64_t disk[CORES_MAX + 1]; /* Per mille, how often the disk finishes when it could. */
};

static void new_weather(struct cores *cores, struct rng *rng, struct weather *weather)
{
	memset(weather, 0, sizeof *weather);
	weather->loss = rng_below(rng, 3) == 0 ? rng_below(rng, 300) : rng_below(rng, 20);
	weather->duplicate = rng_below(rng, 100);
	memset(cores->unlinked, 0, sizeof cores->unlinked);
	uint64_t kind = rng_below(rng, 9); /* 7 and above: fine weather. */
	for (uint64_t a = 1; a <= CORES_MAX; a++) {
		weather->disk[a] = rng_below(rng, 3) == 0 ? rng_below(rng, 40) : 1000;
		for (uint64_t b = 1; b <= CORES_MAX; b++) {
			uint64_t draw = rng_below(rng, 100);
			if (kind == 0)
				weather->cut[a][b] = draw < 30; /* Some links, one way. */
			if (kind == 1)
				cores->unlinked[a][b] = draw < 30;
		}
	}
	if (kind >= 2 && kind <= 6) { /* Two parts; or who leads, alone. */
		uint64_t part = rng_next(rng);
		for (uint64_t id = 1; kind >= 4 && id <= cores->count; id++) {
			if (cores->core[id].status.role == IKADA_LEADER) {
				part = (uint64_t)1 << id;
				weather->disk[id] = kind == 4 ? 10 : 1000;
			}
		}
		for (uint64_t a = 1; a <= CORES_MAX; a++)
			for (uint64_t b = 1; b <= CORES_MAX; b++)
				if ((part >> a & 1) != (part >> b & 1))
					*(kind != 3 ? &weather->cut[a][b] : &cores->unlinked[a][b]) = true;
	}
}

static void deliver_one(struct cores *cores, struct rng *rng, const struct weather *weather)
{
	if (cores->packet_count == 0)
		return;
	/* Mostly in order, sometimes any. */
	size_t at = rng_below(rng, 4) == 0 ? rng_below(rng, cores->packet_count) : 0;
	const struct ikada_message *m = &cores->packets[at].m;
	if (weather->cut[cores_from(cores, m)][cores_to(cores, m)] || rng_below(rng, 1000) < weather->loss)
		cores_drop(cores, at);
	else if (rng_below(rng, 1000) < weather->duplicate) {
		/* The copy stays for later. The array may move while it is handed on. */
		struct core_packet packet = cores->packets[at];
		cores_hand(cores, &packet);
	} else
		cores_deliver(cores, at);
}

static void tick_due(struct cores *cores)
{
	for (uint64_t id = 1; id <= cores->count; id++)
		if (cores->core[id].up && ikada_raft_deadline(cores->core[id].raft) <= cores->raw_ns)
			cores_tick(cores, id);
}

static void crash_one(struct cores *cores, struct rng *rng, uint64_t id)
{
	cores_crash(cores, id, rng_below(rng, cores->core[id].write_count + 1));
	for (uint64_t other = 1; other <= cores->count; other++)
		if (other != id && rng_below(rng, 2) == 0)
			cores_peer_lost(cores, other, id);
}

static void one_action(struct cores *cores, struct rng *rng, const struct weather *weather, uint64_t *value)
{
	uint64_t id = 1 + rng_below(rng, cores->count);
	while (cores->core[id].gone)
		id = 1 + rng_below(rng, cores->count);
	struct core *core = &cores->core[id];
	uint64_t draw = rng_below(rng, 1000);
	if (rng_below(rng, 20) == 0)
		members_action(cores, rng, id, cores->seed % 3 > 0);
	if (draw < 500) {
		for (uint64_t n = 1 + rng_below(rng, 1 + cores->packet_count / 4); n > 0; n--)
			deliver_one(cores, rng, weather);
	} else if (draw < 650) {
		if (rng_below(rng, 1000) < weather->disk[id])
			cores_durable(cores, id, 1 + rng_below(rng, 8));
	} else if (draw < 820) {
		cores->raw_ns += rng_below(rng, 30);
		tick_due(cores);
	} else if (draw < 920) {
		uint64_t count = 1 + rng_below(rng, 3);
		cores_propose(cores, id, *value, count);
		*value += count;
	} else if (draw < 980) {
		cores_read(cores, id, 1 + rng_below(rng, 3));
	} else if (draw < 981) {
		if (core->up)
			crash_one(cores, rng, id);
	} else if (draw < 994) {
		if (!core->up && !core->gone)
			cores_boot(cores, id);
	} else if (draw < 998) {
		uint64_t other = 1 + rng_below(rng, cores->count);
		if (other != id)
			cores_peer_lost(cores, id, other);
	} else { /* A late wake-up, or all of them asleep. */
		uint64_t late = rng_below(rng, 800);
		cores->raw_ns += late;
		core->lag_ns += rng_below(rng, 2) == 0 ? late : 0;
	}
}

static bool settled(const struct cores *cores, uint64_t value)
{
	struct ikada_config config = members_committed(cores);
	for (uint64_t id = 1; id <= cores->count; id++) {
		const struct core *core = &cores->core[id];
		const struct ikada_member *member = members_find(&config, core);
		if (member == NULL)
			continue;
		if (member->standing > IKADA_LEARNER || core->gone)
			return false;
		if (core->status.commit != cores->committed.count || core->log.count != cores->committed.count ||
		    core->disk.count != core->log.count)
			return false;
	}
	uint64_t count = cores->committed.count;
	return count > 0 && cores->committed.entries[count - 1].value == value;
}

/* Faults end: what is proposed to a leader must be committed on all, soon. */
static bool heal(struct cores *cores, uint64_t value)
{
	memset(cores->unlinked, 0, sizeof cores->unlinked);
	for (uint64_t id = 1; id <= cores->count; id++) {
		if (!cores->core[id].up && !cores->core[id].gone)
			cores_boot(cores, id);
		cores_halt(cores, id, false);
	}
	uint64_t end = cores->raw_ns + 60 * cores->settings.election_max_ns;
	while (cores->raw_ns < end && cores->broken[0] == 0) {
		for (size_t n = cores->packet_count; n > 0; n--)
			cores_deliver(cores, 0);
		for (uint64_t id = 1; id <= cores->count; id++) {
			cores_durable(cores, id, SIZE_MAX);
			cores_install(cores, id);
			for (uint64_t to = 1; to <= cores->count; to++)
				cores_end_stream(cores, id, to);
			if (cores->raw_ns % 40 == 0)
				members_mend(cores, id);
			if (cores->core[id].status.role == IKADA_LEADER && !settled(cores, value) &&
			    cores->raw_ns % 40 == 0)
				cores_propose(cores, id, value, 1);
		}
		tick_due(cores);
		if (settled(cores, value) && cores->packet_count == 0)
			return true;
		cores->raw_ns++;
	}
	return false;
}

static void run_seed(uint64_t seed, struct counters *total)
{
	struct rng rng = rng_seed(seed * 7919 + 1);
	struct cores *cores = malloc(sizeof *cores);
	struct weather weather;
	uint64_t value = 1;
	cores_init(cores, 1 + (uint32_t)(seed % 7), seed);
	cores->prefix = some;
	cores->newest = any_snapshot;
	cores->limits.inflight_messages = 1 + (uint32_t)rng_below(&rng, 4);
	cores->limits.inflight_bytes = 1 + rng_below(&rng, 2000);
	cores->limits.uncommitted_entries = 1 + rng_below(&rng, 60);
	cores_start(cores);
	for (uint32_t epoch = 0; epoch < 20 && cores->broken[0] == 0; epoch++) {
		new_weather(cores, &rng, &weather);
		for (uint32_t i = 0; i < 1000 && cores->broken[0] == 0; i++)
			one_action(cores, &rng, &weather, &value);
	}
	bool healed = heal(cores, value + 1000000);
	for (uint64_t term = 0; term < CORES_TERMS_MAX; term++)
		total->elections += cores->leader_of[term] != 0;
	total->commits += cores->committed.count;
	total->steps += cores->steps;
	total->cuts += cores->cuts;
	total->cuts_unsynced += cores->cuts_unsynced;
	total->compactions += cores->compactions;
	total->installs += cores->installs;
	total->installs_kept += cores->installs_kept;
	total->changes += cores->changes;
	total->joints += cores->joints;
	total->finals += cores->finals;
	total->rollbacks += cores->rollbacks;
	total->left += cores->left;
	total->transfers += cores->transfers;
	total->handed_on += cores->handed_on;
	for (uint64_t id = 1; id <= cores->count; id++) {
		total->restarts += cores->core[id].starts > 0 ? cores->core[id].starts - 1 : 0;
		total->wiped += cores->core[id].gone;
		total->reads += cores->core[id].reads_granted;
		total->refused += cores->core[id].reads_refused;
	}
	char broken[sizeof cores->broken];
	memcpy(broken, cores->broken, sizeof broken);
	uint64_t commit = cores->committed.count;
	cores_free(cores);
	free(cores);
	if (broken[0] != 0)
		fail_msg("seed %" PRIu64 ": %s", seed, broken);
	if (!healed)
		fail_msg("seed %" PRIu64 ": after healing not all is committed everywhere (%" PRIu64 " entries are)",
			 seed, commit);
}

static void random_schedules(void **state)
{
	(void)state;
	unsigned long long first = 1;
	unsigned long long last = 400;
	const char *wanted = getenv("RAFT_SEEDS");
	if (wanted != NULL)
		assert_int_equal(sscanf(wanted, "%llu..%llu", &first, &last), 2);
	struct counters total = {0};
	for (unsigned long long seed = first; seed <= last; seed++)
		run_seed(seed, &total);
	print_message("note: %llu seeds: %" PRIu64 " steps, %" PRIu64 " leaders, %" PRIu64
		      " entries committed, %" PRIu64 " restarts, %" PRIu64 " reads granted, %" PRIu64
		      " refused, %" PRIu64 " logs cut, %" PRIu64 " of them not durable\n",
		      last - first + 1, total.steps, total.elections, total.commits, total.restarts, total.reads,
		      total.refused, total.cuts, total.cuts_unsynced);
	print_message("note: %" PRIu64 " logs compacted, %" PRIu64 " snapshots installed, %" PRIu64
		      " of them under a log that stayed; %" PRIu64 " simple configurations, %" PRIu64 " joint, %" PRIu64
		      " final, %" PRIu64 " rolled back, %" PRIu64 " leaders left, %" PRIu64 " disks lost, %" PRIu64
		      " campaigns asked for, %" PRIu64 " won\n",
		      total.compactions, total.installs, total.installs_kept, total.changes, total.joints, total.finals,
		      total.rollbacks, total.left, total.wiped, total.transfers, total.handed_on);
	if (wanted != NULL)
		return;
	/* The dangerous states were reached. */
	assert_true(total.elections > 1000);
	assert_true(total.commits > 50000);
	assert_true(total.restarts > 1000);
	assert_true(total.reads > 10000);
	assert_true(total.refused > 10000);
	assert_true(total.cuts > 50);
	assert_true(total.cuts_unsynced > 0);
	assert_true(total.compactions > 5000);
	assert_true(total.installs > 500);
	assert_true(total.changes > 200);
	assert_true(total.joints > 200);
	assert_true(total.finals > 200);
	assert_true(total.rollbacks > 5);
	assert_true(total.left > 30);
	assert_true(total.wiped > 500);
	assert_true(total.handed_on > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(random_schedules)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
