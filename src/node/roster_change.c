/*
 * What is asked of the members: changes and transfers of leadership. On the leader only; the core goes on by itself.
 *
 * Who is to come must be known here by its knocking: its incarnation is not for people to type.
 */
#include "node/answer.h"
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Who has not knocked for so long is not there any more. */
#define KNOCK_FRESH_NS (10 * NS_PER_S)

static bool leads(struct ikada_node *node, const struct answer *answer)
{
	const struct peer *leader = links_peer(node, node->leader);
	if (node->raft != NULL && node->role == IKADA_LEADER)
		return true;
	if (node->raft == NULL)
		return no(answer, "no leader is known here: this node is in no cluster yet");
	if (leader == NULL)
		return no(answer, "no leader is known here");
	if (leader->client_address[0] == '\0')
		return no(answer, "the leader is node %" PRIu64, leader->id);
	return no(answer, "the leader is node %" PRIu64 " at %s", leader->id, leader->client_address);
}

static const struct knock *knocked(const struct ikada_node *node, uint64_t id)
{
	for (uint32_t i = 0; i < KNOCKS_MAX; i++)
		if (node->knocks[i].id == id && raw_now(node) - node->knocks[i].seen_ns <= KNOCK_FRESH_NS)
			return &node->knocks[i];
	return NULL;
}

/* Who is to be a member when what is under way is done. */
static struct ikada_config wanted_now(const struct ikada_config *config)
{
	struct ikada_config wanted = {.max_id = config->max_id};
	for (uint32_t i = 0; i < config->count; i++) {
		struct ikada_member member = config->members[i];
		if (member.standing == IKADA_LEAVING || member.standing == IKADA_OUTGOING)
			continue;
		bool votes = member.standing != IKADA_LEARNER && member.standing != IKADA_DEMOTING;
		member.standing = votes ? IKADA_VOTER : IKADA_LEARNER;
		wanted.members[wanted.count++] = member;
	}
	return wanted;
}

static struct ikada_member *wanted_member(struct ikada_config *wanted, uint64_t id)
{
	for (uint32_t i = 0; i < wanted->count; i++)
		if (wanted->members[i].id == id)
			return &wanted->members[i];
	return NULL;
}

static void take_out(struct ikada_config *wanted, struct ikada_member *member)
{
	uint32_t at = (uint32_t)(member - wanted->members);
	wanted->count--;
	memmove(member, member + 1, (wanted->count - at) * sizeof *member);
}

static bool put_in(struct ikada_config *wanted, const struct ikada_member *member, const struct answer *answer)
{
	uint32_t at = wanted->count;
	if (at == IKADA_MEMBERS_MAX)
		return no(answer, "there are %d members already, which is the most there can be", IKADA_MEMBERS_MAX);
	for (; at > 0 && wanted->members[at - 1].id > member->id; at--)
		wanted->members[at] = wanted->members[at - 1];
	wanted->members[at] = *member;
	wanted->count++;
	return true;
}

static bool add(struct ikada_node *node, struct ikada_config *wanted, uint64_t id, enum ikada_standing standing,
		const char *address, const struct answer *answer)
{
	const struct knock *knock = knocked(node, id);
	if (wanted_member(wanted, id) != NULL)
		return no(answer, "node %" PRIu64 " is a member already", id);
	if (roster_of_id(&node->latest.config, id) == NULL && id <= node->latest.config.max_id)
		return no(answer, "node %" PRIu64 " was a member, and ids are not used twice: take %" PRIu64, id,
			  node->latest.config.max_id + 1);
	if (knock == NULL)
		return no(answer, "node %" PRIu64 " has not been seen: start it first", id);
	const struct ikada_member member = {.id = id, .incarnation = knock->incarnation, .standing = standing};
	node->coming_id = id;
	node->coming_incarnation = knock->incarnation;
	snprintf(node->coming_address, sizeof node->coming_address, "%s", address);
	return put_in(wanted, &member, answer);
}

static bool replace(struct ikada_node *node, struct ikada_config *wanted, struct ikada_member *member,
		    const char *address, const struct answer *answer)
{
	const struct knock *knock = knocked(node, member->id);
	uint64_t id = member->id;
	enum ikada_standing standing = member->standing;
	if (knock == NULL || knock->incarnation == member->incarnation)
		return no(answer,
			  "no other incarnation of node %" PRIu64 " has been seen: start it first, with an empty "
			  "directory",
			  id);
	for (uint32_t i = 0; address == NULL && i < node->latest.config.count; i++)
		if (node->latest.config.members[i].id == id &&
		    node->latest.config.members[i].incarnation == member->incarnation)
			address = node->latest.addresses[i];
	char kept[WIRE_ADDRESS_BYTES + 1];
	snprintf(kept, sizeof kept, "%s", address == NULL ? "" : address);
	take_out(wanted, member);
	return add(node, wanted, id, standing, kept, answer);
}

static bool demote(const struct ikada_node *node, struct ikada_member *member, const struct answer *answer)
{
	const struct ikada_config *config = &node->latest.config;
	if (member->standing == IKADA_LEARNER)
		return no(answer, "node %" PRIu64 " does not vote", member->id);
	member->standing = IKADA_LEARNER;
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].standing == IKADA_JOINING && config->members[i].id != member->id)
			return no(answer, "node %" PRIu64 " is still catching up: wait until it votes, or remove it",
				  config->members[i].id);
	return true;
}

static bool plan(struct ikada_node *node, struct ikada_config *wanted, enum ikada_member_action action, uint64_t id,
		 const char *address, const struct answer *answer)
{
	struct ikada_member *member = wanted_member(wanted, id);
	if (action == IKADA_MEMBER_ADD || action == IKADA_MEMBER_ADD_LEARNER)
		return add(node, wanted, id, action == IKADA_MEMBER_ADD ? IKADA_VOTER : IKADA_LEARNER, address, answer);
	if (member == NULL)
		return no(answer, "node %" PRIu64 " is not a member", id);
	if (action == IKADA_MEMBER_REPLACE)
		return replace(node, wanted, member, address, answer);
	if (action == IKADA_MEMBER_DEMOTE)
		return demote(node, member, answer);
	if (action == IKADA_MEMBER_REMOVE)
		take_out(wanted, member);
	else if (member->standing == IKADA_VOTER)
		return no(answer, "node %" PRIu64 " votes already, or will as soon as it has caught up", id);
	else
		member->standing = IKADA_VOTER;
	return true;
}

bool ikada_node_change(struct ikada_node *node, enum ikada_member_action action, uint64_t id, const char *address,
		       char *error, size_t error_size)
{
	const struct answer answer = {error, error_size};
	if (address != NULL && (strlen(address) > WIRE_ADDRESS_BYTES || !address_has_port(address)))
		return no(&answer, "the address is expected as HOST:PORT");
	if (!leads(node, &answer))
		return false;
	struct ikada_config wanted = wanted_now(&node->latest.config);
	if (!plan(node, &wanted, action, id, address, &answer))
		return false;
	size_t most = entry_bytes(IKADA_MEMBERS_MAX * (32 + WIRE_ADDRESS_BYTES));
	if (drive_room(node, most) < most)
		return no(&answer, "the disk is full");
	struct ikada_event event = {.kind = IKADA_CHANGE, .first_id = 1, .config = &wanted};
	node->change_refused = 0;
	drive_event(node, &event);
	node->wanted = true;
	if (!node->in_turn)
		node->env->ops->wake_at(node->env, raw_now(node));
	if (node->change_refused == 0) {
		env_log(node->env, ENV_INFO, "members", "a change of members begins at index=%" PRIu64,
			node->latest.config.index);
		return true;
	}
	switch (node->change_refused) {
	case IKADA_REFUSED_BUSY:
		return no(&answer, "another change is under way, or this leader is new: try again");
	case IKADA_REFUSED_UNCHANGED:
		return no(&answer, "it is so already");
	case IKADA_REFUSED_NOT_LEADER:
		return no(&answer, "no leader is known here");
	case IKADA_REFUSED_INVALID:
		break;
	}
	return no(&answer,
		  "there cannot be such a cluster: it must keep a voter, and have at most %d voters and %d "
		  "members, those among them who go or are replaced",
		  IKADA_VOTERS_MAX, IKADA_MEMBERS_MAX);
}

bool ikada_node_transfer(struct ikada_node *node, uint64_t to, uint64_t deadline_ns, char *error, size_t error_size)
{
	const struct answer answer = {error, error_size};
	const struct ikada_member *member = roster_of_id(&node->latest.config, to);
	if (!leads(node, &answer))
		return false;
	if (to == node->settings.id)
		return no(&answer, "node %" PRIu64 " leads already", to);
	if (to != 0 && member == NULL)
		return no(&answer, "node %" PRIu64 " is not a member", to);
	struct ikada_event event = {.kind = IKADA_TRANSFER,
				    .peer = to,
				    .peer_incarnation = member == NULL ? 0 : member->incarnation,
				    .deadline_ns = raw_now(node) + deadline_ns};
	node->transfer_refused = false;
	drive_event(node, &event);
	node->wanted = true;
	if (!node->in_turn)
		node->env->ops->wake_at(node->env, raw_now(node));
	return !node->transfer_refused || no(&answer, "nobody else can lead");
}
