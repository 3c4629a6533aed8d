/* Who decides: majorities counted by hand, configurations and how they follow one another (paper, 6). */
#include "raft/check_internal.h"

bool check_is_joint(const struct ikada_config *config)
{
	bool joint = false;
	for (uint32_t i = 0; i < config->count; i++)
		joint |= config->members[i].standing == IKADA_INCOMING ||
			 config->members[i].standing == IKADA_OUTGOING || config->members[i].standing == IKADA_DEMOTING;
	return joint;
}

bool check_majority_of(const struct ikada_config *config, uint32_t agreeing)
{
	int old = 0;
	int new = 0;
	for (uint32_t i = 0; i < config->count; i++) {
		int one = (agreeing >> i & 1) != 0 ? 1 : -1;
		switch (config->members[i].standing) {
		case IKADA_VOTER:
			old += one;
			new += one;
			break;
		case IKADA_LEAVING:
		case IKADA_OUTGOING:
		case IKADA_DEMOTING:
			old += one;
			break;
		case IKADA_INCOMING:
			new += one;
			break;
		case IKADA_LEARNER:
		case IKADA_JOINING:
			break;
		}
	}
	return old > 0 && (new > 0 || !check_is_joint(config));
}

bool check_majority(const struct ikada_raft *raft, uint32_t agreeing)
{
	return check_majority_of(&raft->config, agreeing);
}

uint32_t check_self(const struct ikada_raft *raft)
{
	return raft->self < IKADA_MEMBERS_MAX ? 1u << raft->self : 0;
}

static bool votes_in(const struct ikada_config *config, const struct ikada_raft *raft)
{
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].id == raft->settings.self &&
		    config->members[i].incarnation == raft->settings.incarnation)
			return config->members[i].standing != IKADA_LEARNER &&
			       config->members[i].standing != IKADA_JOINING;
	return false;
}

bool check_may_lead(const struct ikada_raft *raft)
{
	return votes_in(&raft->config, raft) ||
	       (raft->config.index > raft->commit && votes_in(&raft->config_before, raft));
}

const char *check_members(const struct ikada_raft *raft)
{
	uint32_t windows = 0;
	RULE(ikada_config_valid(&raft->config) && ikada_config_valid(&raft->config_before),
	     "what is in force can be a configuration");
	RULE(raft->config.index <= raft->log.last_index, "the configuration in force stands in the log");
	RULE(raft->config_before.index <= raft->config.index, "the configuration before came before");
	RULE(raft->member_count >= raft->config.count && raft->member_count <= IKADA_MEMBERS_MAX,
	     "each member has a slot");
	uint32_t final = 0;
	for (uint32_t slot = 0; slot < raft->member_count; slot++) {
		const struct member *member = &raft->members[slot];
		if (slot < raft->config.count)
			RULE(member->id == raft->config.members[slot].id &&
				     member->incarnation == raft->config.members[slot].incarnation,
			     "slots are in the order of the configuration");
		RULE(members_slot(raft, member->id, member->incarnation) == slot, "a member has one slot");
	}
	for (uint32_t i = 0; i < raft->config.count; i++)
		final += raft->config.members[i].standing == IKADA_VOTER ||
			 raft->config.members[i].standing == IKADA_LEARNER;
	RULE(raft->changing == (final < raft->config.count), "whether another configuration is to follow is known");
	for (uint32_t slot = 0; slot < IKADA_MEMBERS_MAX; slot++)
		windows |= 1u << raft->peers[slot].window;
	RULE(windows == (1u << IKADA_MEMBERS_MAX) - 1, "a window belongs to one peer");
	return NULL;
}

static bool votes_in_old(enum ikada_standing standing)
{
	return standing == IKADA_VOTER || standing == IKADA_LEAVING || standing == IKADA_OUTGOING ||
	       standing == IKADA_DEMOTING;
}

/* Whether those who vote in `a`, on its new side if it has two, are those who vote in `b`, on its old side. */
static bool same_voters(const struct ikada_config *a, const struct ikada_config *b)
{
	bool a_joint = check_is_joint(a);
	uint32_t found = 0;
	uint32_t wanted = 0;
	for (uint32_t i = 0; i < a->count; i++) {
		enum ikada_standing standing = a->members[i].standing;
		if (standing != IKADA_VOTER && standing != (a_joint ? IKADA_INCOMING : IKADA_LEAVING))
			continue;
		wanted++;
		for (uint32_t j = 0; j < b->count; j++) {
			standing = b->members[j].standing;
			found += b->members[j].id == a->members[i].id &&
				 b->members[j].incarnation == a->members[i].incarnation && votes_in_old(standing);
		}
	}
	for (uint32_t j = 0; j < b->count; j++) {
		enum ikada_standing standing = b->members[j].standing;
		wanted += votes_in_old(standing);
	}
	return 2 * found == wanted;
}

static const char *check_new_ids(const struct ikada_config *b, const struct ikada_config *a)
{
	RULE(a->max_id >= b->max_id, "the highest id ever used never falls");
	for (uint32_t i = 0; i < a->count; i++) {
		bool known = a->members[i].id > b->max_id;
		for (uint32_t j = 0; j < b->count; j++)
			known |= b->members[j].id == a->members[i].id;
		RULE(known, "an id that has gone does not come back");
	}
	return NULL;
}

/* A configuration of this leader's own making. */
static const char *check_appended_config(const struct change *c)
{
	const struct ikada_raft *a = c->after;
	const struct ikada_config *was = &c->before->config;
	const struct ikada_config *is = &a->config;
	const struct ikada_config *told = &c->effects->config;
	bool same = told->index == is->index && told->max_id == is->max_id && told->count == is->count;
	for (uint32_t i = 0; same && i < is->count; i++)
		same = told->members[i].id == is->members[i].id &&
		       told->members[i].incarnation == is->members[i].incarnation &&
		       told->members[i].standing == is->members[i].standing;
	RULE(same && is->index == c->effects->append_first, "a configuration is in force when it is appended");
	RULE(a->config_before.index == was->index, "the configuration before is kept");
	RULE(was->index <= a->commit, "a configuration follows one that is committed");
	RULE(a->commit >= a->lead_index && raft_log_term(&a->log, a->commit) == a->term,
	     "no configuration comes before an entry of the own term is committed");
	RULE(!check_is_joint(was) || !check_is_joint(is), "after a joint configuration comes the final one");
	RULE(!c->effects->change_given_up || !a->changing,
	     "when a change is taken back, nobody comes or goes any more");
	RULE(same_voters(was, is), "who decides on one side of a configuration decides on a side of the next");
	return check_new_ids(was, is);
}

const char *check_config(const struct change *c)
{
	const struct ikada_raft *b = c->before;
	const struct ikada_raft *a = c->after;
	const struct ikada_effects *e = c->effects;
	if (e->append == IKADA_APPEND_CONFIG)
		return check_appended_config(c);
	if (e->installed) {
		bool stays = e->kept && b->config.index > a->log.base_index;
		RULE(a->config.index == (stays ? b->config.index : c->event->config->index),
		     "a snapshot brings its configuration, unless a later one stands in the log");
		return NULL;
	}
	const struct ikada_config *last = &b->config;
	if (e->append == IKADA_APPEND_RECEIVED) {
		if (last->index >= e->append_first)
			last = &b->config_before;
		for (uint32_t i = 0; i < c->event->config_count; i++) {
			const struct ikada_config *one = &c->event->configs[i];
			if (one->index >= e->append_first && one->index <= e->append_last)
				last = one;
		}
	}
	RULE(a->config.index == last->index && a->config.count == last->count,
	     "the last configuration in the log is in force");
	return NULL;
}
