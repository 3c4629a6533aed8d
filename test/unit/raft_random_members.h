/* What random schedules do to the members of a cluster, and to their logs. Part of test_raft_random.c. */
#ifndef IKADA_TEST_RAFT_RANDOM_MEMBERS_H
#define IKADA_TEST_RAFT_RANDOM_MEMBERS_H

#include "raft_cores.h"

static const struct ikada_member *members_find(const struct ikada_config *config, const struct core *core)
{
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].id == core->id && config->members[i].incarnation == core->incarnation)
			return &config->members[i];
	return NULL;
}

/* The newest configuration that anybody has committed. */
static struct ikada_config members_committed(const struct cores *cores)
{
	struct ikada_config config = {0};
	for (uint64_t at = 1; at <= cores->count; at++)
		if (cores->core[at].status.config.index <= cores->core[at].status.commit &&
		    (config.count == 0 || cores->core[at].status.config.index > config.index))
			config = cores->core[at].status.config;
	return config;
}

/* ---- Lost disks ---- */

/* Whether a majority of who votes, or is to vote, still has its disk, on each side, when one more has not. */
static bool members_outlive(const struct cores *cores, const struct ikada_config *config, uint64_t lost)
{
	int old = 0;
	int new = 0;
	for (uint32_t i = 0; i < config->count; i++) {
		const struct ikada_member *member = &config->members[i];
		uint64_t at = cores_find(cores, member->id, member->incarnation);
		int one = at != 0 && at != lost && !cores->core[at].gone ? 1 : -1;
		switch (member->standing) {
		case IKADA_VOTER:
			old += one;
			new += one;
			break;
		case IKADA_LEAVING:
		case IKADA_OUTGOING:
		case IKADA_DEMOTING:
			old += one;
			break;
		case IKADA_JOINING:
		case IKADA_INCOMING:
			new += one;
			break;
		case IKADA_LEARNER:
			break;
		}
	}
	return config->count == 0 || (old > 0 && new > 0);
}

/* Of every configuration that stands in a log that may yet count. */
static bool members_all_outlive(const struct cores *cores, uint64_t lost)
{
	for (uint64_t at = 1; at <= cores->count; at++) {
		const struct core *core = &cores->core[at];
		const struct core_log *logs[2] = {&core->log, &core->disk};
		if (core->gone)
			continue;
		for (size_t n = 0; n < 2; n++) {
			bool newest = true;
			for (uint64_t i = logs[n]->count; i > 0; i--) {
				const struct ikada_config *config = cores_config(cores, &logs[n]->entries[i - 1]);
				if (config != NULL && (newest || config->index > cores->committed.count)) {
					newest = false;
					if (!members_outlive(cores, config, lost))
						return false;
				}
			}
			if (newest && !members_outlive(cores, &core->disk_config, lost))
				return false;
		}
	}
	for (size_t i = 0; i < cores->packet_count; i++)
		for (uint64_t n = 0; n < cores->packets[i].entries.count; n++) {
			const struct ikada_config *config = cores_config(cores, &cores->packets[i].entries.entries[n]);
			if (config != NULL && !members_outlive(cores, config, lost))
				return false;
		}
	return true;
}

static void members_wipe(struct cores *cores, uint64_t at)
{
	if (cores->core[at].gone || cores->core[at].starts == 0 || !members_all_outlive(cores, at))
		return;
	cores_crash(cores, at, 0);
	cores->core[at].gone = true;
}

/* ---- Changes ---- */

/* The members that the configuration in force is on its way to, without those whose disks are lost. */
static struct ikada_config members_goal(const struct cores *cores, const struct ikada_config *config, bool mend)
{
	struct ikada_config goal = {0};
	for (uint32_t i = 0; i < config->count; i++) {
		struct ikada_member member = config->members[i];
		uint64_t at = cores_find(cores, member.id, member.incarnation);
		if (member.standing == IKADA_LEAVING || member.standing == IKADA_OUTGOING ||
		    (mend && cores->core[at].gone))
			continue;
		bool learns = member.standing == IKADA_LEARNER || member.standing == IKADA_DEMOTING;
		member.standing = learns ? IKADA_LEARNER : IKADA_VOTER;
		goal.members[goal.count++] = member;
	}
	return goal;
}

static void members_drop(struct ikada_config *config, uint32_t at)
{
	config->count--;
	memmove(&config->members[at], &config->members[at + 1], (config->count - at) * sizeof config->members[0]);
}

/* In place of who has this id, or as one more. */
static void members_put(struct ikada_config *config, struct ikada_member member)
{
	uint32_t at = 0;
	while (at < config->count && config->members[at].id < member.id)
		at++;
	if (at < config->count && config->members[at].id == member.id) {
		config->members[at] = member;
		return;
	}
	if (config->count == IKADA_MEMBERS_MAX)
		return;
	memmove(&config->members[at + 1], &config->members[at], (config->count - at) * sizeof config->members[0]);
	config->members[at] = member;
	config->count++;
}

static void members_change(struct cores *cores, struct rng *rng, uint64_t at)
{
	const struct core *core = &cores->core[at];
	if (!core->up || core->status.role != IKADA_LEADER)
		return;
	struct ikada_config wanted = members_goal(cores, &core->status.config, rng_below(rng, 3) > 0);
	for (uint64_t n = 1 + rng_below(rng, 3); n > 0; n--) {
		uint64_t draw = rng_below(rng, 10);
		uint64_t other = 1 + rng_below(rng, cores->count);
		if (draw < 3 && wanted.count > 1) {
			members_drop(&wanted, (uint32_t)rng_below(rng, wanted.count));
		} else if (draw < 5 && wanted.count > 0) {
			wanted.members[rng_below(rng, wanted.count)].standing =
				rng_below(rng, 4) == 0 ? IKADA_LEARNER : IKADA_VOTER;
		} else if (!cores->core[other].gone) {
			enum ikada_standing standing = rng_below(rng, 4) == 0 ? IKADA_LEARNER : IKADA_VOTER;
			members_put(&wanted, (struct ikada_member){cores->core[other].id,
								   cores->core[other].incarnation, standing});
		}
	}
	/* What could never decide anything is not asked for. */
	if (!members_outlive(cores, &wanted, 0))
		return;
	for (uint32_t i = 0; i < wanted.count; i++)
		if (cores->core[cores_find(cores, wanted.members[i].id, wanted.members[i].incarnation)].gone &&
		    members_find(
			    &core->status.config,
			    &cores->core[cores_find(cores, wanted.members[i].id, wanted.members[i].incarnation)]) ==
			    NULL)
			return;
	if (rng_below(rng, 3) == 0) { /* Nobody hears of it, or not soon. */
		for (uint64_t other = 1; other <= cores->count; other++)
			cores->unlinked[at][other] = cores->unlinked[other][at] = true;
	}
	cores_change(cores, at, &wanted);
}

/* After the faults, a leader lets go of those whose disks are lost. */
static void members_mend(struct cores *cores, uint64_t at)
{
	const struct core *core = &cores->core[at];
	if (!core->up || core->status.role != IKADA_LEADER)
		return;
	struct ikada_config goal = members_goal(cores, &core->status.config, true);
	for (uint32_t i = 0; i < core->status.config.count; i++) {
		const struct ikada_member *member = &core->status.config.members[i];
		if (cores->core[cores_find(cores, member->id, member->incarnation)].gone) {
			cores_change(cores, at, &goal);
			return;
		}
	}
}

/* A core with an empty disk: a new member, or another one of an id that is there. */
static void members_spawn(struct cores *cores, struct rng *rng)
{
	uint32_t alive = 0;
	for (uint64_t at = 1; at <= cores->count; at++)
		alive += !cores->core[at].gone;
	if (alive == 9)
		return;
	uint64_t id = 1 + rng_below(rng, cores->count);
	id = cores->core[id].id;
	if (rng_below(rng, 3) > 0) {
		id = 0;
		for (uint64_t at = 1; at <= cores->count; at++)
			if (cores->core[at].id > id)
				id = cores->core[at].id;
		id++;
	}
	uint64_t at = cores_spawn(cores, id);
	if (at != 0)
		cores_boot(cores, at);
}

/* A core that is no member any more ends for good. */
static void members_retire(struct cores *cores, uint64_t at)
{
	const struct core *core = &cores->core[at];
	struct ikada_config config = members_committed(cores);
	if (members_find(&config, core) == NULL && core->log.count > 0 &&
	    members_find(&core->status.config, core) == NULL)
		members_wipe(cores, at);
}

/* ---- One action ---- */

static void members_action(struct cores *cores, struct rng *rng, uint64_t at, bool changes)
{
	struct core *core = &cores->core[at];
	uint64_t leader = at;
	for (uint64_t n = 1; n <= cores->count; n++)
		if (cores->core[n].up && cores->core[n].status.role == IKADA_LEADER && rng_below(rng, 2) == 0)
			leader = n;
	uint64_t draw = rng_below(rng, changes ? 100 : 70);
	if (draw < 20) {
		uint64_t high = core->status.commit;
		if (core->up && high > core->base)
			cores_compact(cores, at, rng_between(rng, core->base + 1, high));
	} else if (draw < 40) {
		for (uint64_t n = 1; n <= cores->count; n++)
			if (rng_below(rng, 2) == 0)
				cores_install(cores, n);
	} else if (draw < 60) {
		for (uint64_t n = 1; n <= cores->count; n++)
			cores_end_stream(cores, leader, n);
	} else if (draw < 66) {
		uint64_t to = rng_below(rng, cores->count + 1);
		if (to != leader)
			cores_transfer(cores, leader, to, rng_below(rng, 600));
	} else if (draw < 70) {
		cores_halt(cores, at, rng_below(rng, 8) == 0);
	} else if (draw < 85) {
		members_change(cores, rng, leader);
	} else if (draw < 92) {
		if (rng_below(rng, 3) == 0)
			members_spawn(cores, rng);
	} else if (draw < 96) {
		if (rng_below(rng, 4) == 0)
			members_wipe(cores, at);
	} else {
		members_retire(cores, at);
	}
}

#endif
