/*
 * Who is in the cluster, and whose word decides (paper, 6; dissertation, 4.3).
 *
 * The last configuration in the log is in force, committed or not. Its members have slots in a table, in their order;
 * behind them, until it is committed, come those that only the configuration before it has, who are to learn that they
 * have gone. A cut of the log brings the one before back into force; two are enough, for a configuration is appended
 * only when the one before it is committed. Sets are masks of slots. When the table is arranged anew, what a leader
 * knows of a peer moves with it.
 */
#include "raft/raft_internal.h"

#include "base/check.h"

#include <string.h>

bool members_joint(const struct ikada_config *config)
{
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].standing >= IKADA_INCOMING)
			return true;
	return false;
}

static bool changing(const struct ikada_config *config)
{
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].standing > IKADA_LEARNER)
			return true;
	return false;
}

/* The places in the configuration of those who vote: [0] in the old one, or the only one; [1] in the new one. */
static void find_voters(const struct ikada_config *config, uint32_t voters[2])
{
	bool two = members_joint(config);
	voters[0] = voters[1] = 0;
	for (uint32_t i = 0; i < config->count; i++) {
		enum ikada_standing standing = config->members[i].standing;
		if (standing == IKADA_VOTER || standing == IKADA_LEAVING || standing == IKADA_OUTGOING ||
		    standing == IKADA_DEMOTING)
			voters[0] |= 1u << i;
		if (two && (standing == IKADA_VOTER || standing == IKADA_INCOMING))
			voters[1] |= 1u << i;
	}
}

bool ikada_config_valid(const struct ikada_config *config)
{
	if (config->count == 0)
		return config->index == 0 && config->max_id == 0;
	if (config->count > IKADA_MEMBERS_MAX)
		return false;
	bool two = members_joint(config);
	uint32_t old = 0; /* Who votes now, and who will in the end. */
	uint32_t new = 0;
	for (uint32_t i = 0; i < config->count; i++) {
		const struct ikada_member *member = &config->members[i];
		old += member->standing == IKADA_VOTER || member->standing == IKADA_LEAVING ||
		       member->standing == IKADA_OUTGOING || member->standing == IKADA_DEMOTING;
		new += member->standing == IKADA_VOTER || member->standing == IKADA_JOINING ||
		       member->standing == IKADA_INCOMING;
		if (member->id == 0 || member->id > config->max_id || member->standing > IKADA_DEMOTING)
			return false;
		if (two && (member->standing == IKADA_JOINING || member->standing == IKADA_LEAVING))
			return false;
		if (i > 0 && (member->id < member[-1].id ||
			      (member->id == member[-1].id && member->incarnation <= member[-1].incarnation)))
			return false;
	}
	return old >= 1 && old <= IKADA_VOTERS_MAX && new >= 1 && new <= IKADA_VOTERS_MAX;
}

static uint32_t find(const struct member *members, uint32_t count, uint64_t id, uint64_t incarnation)
{
	uint32_t slot = 0;
	while (slot < count && (members[slot].id != id || members[slot].incarnation != incarnation))
		slot++;
	return slot == count ? IKADA_MEMBERS_MAX : slot;
}

uint32_t members_slot(const struct ikada_raft *raft, uint64_t id, uint64_t incarnation)
{
	return find(raft->members, raft->member_count, id, incarnation);
}

static void add(struct member *members, uint32_t *count, const struct ikada_config *config)
{
	for (uint32_t i = 0; i < config->count; i++) {
		const struct ikada_member *member = &config->members[i];
		if (*count < IKADA_MEMBERS_MAX &&
		    find(members, *count, member->id, member->incarnation) == IKADA_MEMBERS_MAX)
			members[(*count)++] = (struct member){member->id, member->incarnation};
	}
}

void members_arrange(struct ikada_raft *raft)
{
	struct member members[IKADA_MEMBERS_MAX] = {0};
	struct peer peers[IKADA_MEMBERS_MAX];
	uint32_t count = 0;
	uint32_t windows = 0; /* Set of those that stay with a peer. */
	uint32_t fresh = 0;   /* Set of slots. */
	uint32_t forgot = 0;
	add(members, &count, &raft->config);
	if (raft->config.index > raft->commit)
		add(members, &count, &raft->config_before);
	for (uint32_t slot = 0; slot < count; slot++) {
		uint32_t old = members_slot(raft, members[slot].id, members[slot].incarnation);
		if (old < IKADA_MEMBERS_MAX) {
			peers[slot] = raft->peers[old];
			windows |= 1u << peers[slot].window;
			forgot |= (raft->forgot >> old & 1) << slot;
		} else {
			fresh |= 1u << slot;
		}
	}
	for (uint32_t slot = 0, window = 0; slot < IKADA_MEMBERS_MAX; slot++) {
		if (slot < count && (fresh >> slot & 1) == 0)
			continue;
		while (windows >> window & 1)
			window++;
		peers[slot] = (struct peer){.next_index = raft->log.last_index + 1,
					    .window = window++,
					    .owed = slot < count,
					    .catch_index = raft->log.last_index,
					    .catch_ns = raft->raw_ns};
	}
	memcpy(raft->members, members, sizeof members);
	memcpy(raft->peers, peers, sizeof peers);
	raft->member_count = count;
	raft->self = members_slot(raft, raft->settings.self, raft->settings.incarnation);
	raft->votes = raft->refused = 0;
	raft->forgot = forgot;
	flow_look(raft);
	raft->changing = changing(&raft->config);
	find_voters(&raft->config, raft->voters);
}

void members_adopt(struct ikada_raft *raft, const struct ikada_config *config)
{
	CHECK(ikada_config_valid(config));
	CHECK_OP(config->index, >, raft->config.index);
	raft->config_before = raft->config;
	raft->config = *config;
	members_arrange(raft);
}

void members_cut(struct ikada_raft *raft, uint64_t first)
{
	if (raft->config.index < first)
		return;
	CHECK_OP(raft->config_before.index, <, first);
	raft->config = raft->config_before;
	members_arrange(raft);
}

bool members_may_lead(const struct ikada_raft *raft)
{
	if (raft->halted)
		return false;
	if (members_votes(raft) || raft->config.index <= raft->commit)
		return members_votes(raft);
	uint32_t voters[2];
	find_voters(&raft->config_before, voters);
	for (uint32_t i = 0; i < raft->config_before.count; i++)
		if (((voters[0] | voters[1]) >> i & 1) && raft->config_before.members[i].id == raft->settings.self &&
		    raft->config_before.members[i].incarnation == raft->settings.incarnation)
			return true;
	return false;
}

bool members_agree(const struct ikada_raft *raft, uint32_t agreeing)
{
	return quorum_reached(raft->voters[0], agreeing) && quorum_reached(raft->voters[1], agreeing);
}

uint64_t members_value(const struct ikada_raft *raft, const uint64_t values[IKADA_MEMBERS_MAX])
{
	uint64_t old = quorum_value(raft->voters[0], values);
	uint64_t new = quorum_value(raft->voters[1], values);
	return old < new ? old : new;
}

bool members_alone(const struct ikada_raft *raft)
{
	return raft->self < IKADA_MEMBERS_MAX && members_agree(raft, members_self(raft));
}
