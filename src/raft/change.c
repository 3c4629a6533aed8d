/*
 * From one configuration to another, by joint consensus (paper, 6; dissertation, 4.3), with new voters caught up first
 * (dissertation, 4.2.1).
 *
 * A change goes over at most three configurations, each an entry, each appended only when the one before is committed,
 * and none before an entry of the leader's own term is:
 *
 *	staged	who is to vote is JOINING and who is to go is LEAVING; who decides is as before. Learners come and go
 *	here.
 *		Left when each JOINING member has caught up. Skipped when nobody joins.
 *	joint	they are INCOMING and OUTGOING, and voters that are to be learners are DEMOTING; each decision takes a
 *		majority of both the old voters and the new.
 *	final	the new voters.
 *
 * The leader goes on by itself from one to the next, and so does the next leader. A change that is staged can be
 * replaced by another, or undone; one that is joint cannot.
 *
 * Catching up goes in rounds: a round ends when the member has what the leader had when it began. One that was shorter
 * than an election timeout says that the member keeps pace. After ROUNDS_MAX that were not, or when it was not heard
 * for SILENCE_TIMEOUTS election timeouts, the leader takes the change back: nobody waits for ever, and no later change
 * has to wait with it. Who was to vote stays a learner, for its id would be used up if it were removed.
 */
#include "raft/raft_internal.h"

#include "base/check.h"

enum { ROUNDS_MAX = 10, SILENCE_TIMEOUTS = 100 };

/* ---- The plan ---- */

static const struct ikada_member *exactly(const struct ikada_config *config, const struct ikada_member *member)
{
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].id == member->id && config->members[i].incarnation == member->incarnation)
			return &config->members[i];
	return NULL;
}

static bool has_id(const struct ikada_config *config, uint64_t id)
{
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].id == id)
			return true;
	return false;
}

static bool can_be_wanted(const struct ikada_config *wanted)
{
	uint32_t voters = 0;
	if (wanted->count > IKADA_MEMBERS_MAX)
		return false;
	for (uint32_t i = 0; i < wanted->count; i++) {
		const struct ikada_member *member = &wanted->members[i];
		if (member->standing > IKADA_LEARNER || member->id <= (i == 0 ? 0 : member[-1].id))
			return false;
		voters += member->standing == IKADA_VOTER;
	}
	return voters >= 1 && voters <= IKADA_VOTERS_MAX;
}

/* Adds a member in its place; false: there is no room. */
static bool put(struct ikada_config *config, const struct ikada_member *member, enum ikada_standing standing)
{
	if (config->count == IKADA_MEMBERS_MAX)
		return false;
	uint32_t at = config->count++;
	for (; at > 0; at--) {
		const struct ikada_member *left = &config->members[at - 1];
		if (left->id < member->id || (left->id == member->id && left->incarnation < member->incarnation))
			break;
		config->members[at] = *left;
	}
	config->members[at] = (struct ikada_member){member->id, member->incarnation, standing};
	if (member->id > config->max_id)
		config->max_id = member->id;
	return true;
}

static bool can_come(const struct ikada_config *now, const struct ikada_member *member)
{
	return member->id > now->max_id || has_id(now, member->id); /* Ids retire for ever; a disk may be replaced. */
}

/* The staged configuration that leads from `now` to `wanted`; false: there must be none. */
static bool stage(const struct ikada_config *now, const struct ikada_config *wanted, struct ikada_config *staged)
{
	uint32_t gone = 0;
	*staged = (struct ikada_config){.max_id = now->max_id};
	for (uint32_t i = 0; i < wanted->count; i++) {
		const struct ikada_member *member = &wanted->members[i];
		const struct ikada_member *is = exactly(now, member);
		bool votes = is != NULL && (is->standing == IKADA_VOTER || is->standing == IKADA_LEAVING);
		enum ikada_standing standing = member->standing;
		if (is == NULL && !can_come(now, member))
			return false;
		if (votes)
			standing = IKADA_VOTER; /* Until the joint configuration, at least. */
		if (!votes && standing == IKADA_VOTER)
			standing = IKADA_JOINING;
		if (!put(staged, member, standing))
			return false;
	}
	for (uint32_t i = 0; i < now->count; i++) {
		const struct ikada_member *member = &now->members[i];
		bool votes = member->standing == IKADA_VOTER || member->standing == IKADA_LEAVING;
		if (exactly(wanted, member) != NULL)
			continue;
		if (votes && !put(staged, member, IKADA_LEAVING))
			return false;
		gone += !votes;
	}
	/* Who is no longer in it has a slot until it is committed. */
	return staged->count + gone <= IKADA_MEMBERS_MAX;
}

static bool has(const struct ikada_config *config, enum ikada_standing standing)
{
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].standing == standing)
			return true;
	return false;
}

static bool equal(const struct ikada_config *a, const struct ikada_config *b)
{
	bool same = a->count == b->count;
	for (uint32_t i = 0; same && i < a->count; i++) {
		const struct ikada_member *other = exactly(b, &a->members[i]);
		same = other != NULL && other->standing == a->members[i].standing;
	}
	return same;
}

/* What comes after a staged configuration, and after a joint one. */
static struct ikada_config next_after(const struct ikada_config *now)
{
	struct ikada_config next = {.max_id = now->max_id};
	for (uint32_t i = 0; i < now->count; i++) {
		const struct ikada_member *member = &now->members[i];
		enum ikada_standing standing = member->standing;
		switch (standing) {
		case IKADA_JOINING:
			standing = IKADA_INCOMING;
			break;
		case IKADA_LEAVING:
			standing = IKADA_OUTGOING;
			break;
		case IKADA_INCOMING:
			standing = IKADA_VOTER;
			break;
		case IKADA_OUTGOING:
			continue;
		case IKADA_DEMOTING:
			standing = IKADA_LEARNER;
			break;
		case IKADA_VOTER:
		case IKADA_LEARNER:
			break;
		}
		put(&next, member, standing);
	}
	return next;
}

/* The voters that are to be learners become that in a joint configuration; not while others have yet to catch up. */
static bool demote(struct ikada_config *next, const struct ikada_config *wanted)
{
	bool staged = has(next, IKADA_JOINING);
	for (uint32_t i = 0; i < next->count; i++) {
		struct ikada_member *member = &next->members[i];
		const struct ikada_member *will = exactly(wanted, member);
		if (member->standing != IKADA_VOTER || will == NULL || will->standing == IKADA_VOTER)
			continue;
		if (staged)
			return false;
		member->standing = IKADA_DEMOTING;
	}
	return true;
}

/* The first configuration on the way from `now` to `wanted`; false: there must be none. */
static bool plan(const struct ikada_config *now, const struct ikada_config *wanted, struct ikada_config *next)
{
	if (!can_be_wanted(wanted) || !stage(now, wanted, next))
		return false;
	if (!has(next, IKADA_JOINING))
		*next = next_after(next);
	return demote(next, wanted);
}

/* The staged configuration `now` without the change that it began. Who decides stays the same. */
static struct ikada_config taken_back(const struct ikada_config *now)
{
	struct ikada_config next = {.max_id = now->max_id};
	for (uint32_t i = 0; i < now->count; i++) {
		const struct ikada_member *member = &now->members[i];
		bool replaces = false;
		for (uint32_t j = 0; j < now->count; j++)
			replaces |= j != i && now->members[j].id == member->id;
		if (member->standing == IKADA_LEAVING)
			put(&next, member, IKADA_VOTER);
		else if (member->standing != IKADA_JOINING)
			put(&next, member, member->standing);
		else if (!replaces)
			put(&next, member, IKADA_LEARNER);
	}
	return next;
}

/* ---- The leader ---- */

static void append(struct ikada_raft *raft, struct ikada_effects *effects, struct ikada_config *config)
{
	config->index = raft->log.last_index + 1;
	leader_append(raft, effects, IKADA_APPEND_CONFIG, config->index);
	effects->config = *config;
	members_adopt(raft, config);
}

/* May a configuration be appended? */
static bool free_to_go(const struct ikada_raft *raft)
{
	return raft->commit >= raft->lead_index && raft->config.index <= raft->commit && raft->transfer.id == 0 &&
	       raft->log.last_index < RAFT_INDEX_MAX;
}

void change_ask(struct ikada_raft *raft, const struct ikada_event *event, struct ikada_effects *effects)
{
	struct ikada_config next;
	enum ikada_refusal why = 0;
	if (raft->role != IKADA_LEADER)
		why = IKADA_REFUSED_NOT_LEADER;
	else if (!free_to_go(raft) || members_joint(&raft->config))
		why = IKADA_REFUSED_BUSY;
	else if (!plan(&raft->config, event->config, &next))
		why = IKADA_REFUSED_INVALID;
	else if (equal(&raft->config, &next))
		why = IKADA_REFUSED_UNCHANGED;
	if (why != 0) {
		effects->refused_changes = (struct ikada_id_range){event->first_id, 1};
		effects->refused_changes_why = why;
		return;
	}
	append(raft, effects, &next);
	for (uint32_t slot = 0; slot < raft->member_count; slot++)
		raft->peers[slot].slow_rounds = raft->peers[slot].silent = 0;
}

void change_replied(struct ikada_raft *raft, uint32_t slot)
{
	struct peer *peer = &raft->peers[slot];
	if (slot >= raft->config.count || raft->config.members[slot].standing != IKADA_JOINING) {
		peer->caught_up = false;
		return;
	}
	peer->silent = 0;
	if (peer->match_index < peer->catch_index)
		return;
	if (raft->raw_ns - peer->catch_ns <= raft->settings.election_min_ns)
		peer->caught_up = true;
	else
		peer->slow_rounds++;
	peer->catch_index = raft->log.last_index;
	peer->catch_ns = raft->raw_ns;
}

enum progress { READY, WAITS, HOPELESS };

/* How far those are who are to vote. */
static enum progress catching_up(const struct ikada_raft *raft)
{
	enum progress progress = READY;
	for (uint32_t slot = 0; slot < raft->config.count; slot++) {
		const struct peer *peer = &raft->peers[slot];
		if (raft->config.members[slot].standing != IKADA_JOINING)
			continue;
		if ((!peer->caught_up && peer->slow_rounds >= ROUNDS_MAX) ||
		    peer->silent * raft->settings.heartbeat_ns >= SILENCE_TIMEOUTS * raft->settings.election_max_ns)
			return HOPELESS;
		if (!peer->caught_up || raft->awake_ns - peer->heard_ns > raft->settings.election_max_ns)
			progress = WAITS;
	}
	return progress;
}

bool change_due(const struct ikada_raft *raft)
{
	return raft->changing && free_to_go(raft) && catching_up(raft) != WAITS;
}

void change_go_on(struct ikada_raft *raft, struct ikada_effects *effects)
{
	effects->change_given_up = catching_up(raft) == HOPELESS;
	struct ikada_config next = effects->change_given_up ? taken_back(&raft->config) : next_after(&raft->config);
	append(raft, effects, &next);
}
