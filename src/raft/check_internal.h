/*
 * Inside raft_check: what its files share. Each holds a step to the rules of one concern: check_members.c who decides,
 * check_log.c what changes on the disk, check_messages.c what is promised and answered; raft_check.c the rest.
 */
#ifndef IKADA_RAFT_CHECK_INTERNAL_H
#define IKADA_RAFT_CHECK_INTERNAL_H

#include "raft/raft_internal.h"

#define RULE(holds, sentence)                                                                                          \
	do {                                                                                                           \
		if (!(holds))                                                                                          \
			return sentence;                                                                               \
	} while (0)

struct change {
	const struct ikada_raft *before;
	const struct ikada_raft *after;
	const struct ikada_event *event;
	const struct ikada_message *in; /* Of a RECEIVE event; else NULL. */
	const struct ikada_effects *effects;
};

static inline bool received(const struct change *c, enum ikada_message_kind kind)
{
	return c->in != NULL && c->in->kind == kind;
}

/* ---- check_members.c ---- */

bool check_is_joint(const struct ikada_config *config);
/* Counted by hand: do more than half of those who vote say so, on each side if there are two? Places, as a set. */
bool check_majority_of(const struct ikada_config *config, uint32_t agreeing);
bool check_majority(const struct ikada_raft *raft, uint32_t agreeing); /* Of those in force. Slots, as a set. */
bool check_may_lead(const struct ikada_raft *raft);
uint32_t check_self(const struct ikada_raft *raft); /* The set of this member alone; empty if it is none. */
const char *check_members(const struct ikada_raft *raft);
const char *check_config(const struct change *c);

/* ---- check_log.c ---- */

const char *check_log(const struct ikada_raft *raft);
const char *check_hard(const struct change *c);
const char *check_append(const struct change *c);
const char *check_commit(const struct change *c);

/* ---- check_messages.c ---- */

const char *check_messages(const struct change *c);
const char *check_grant(const struct change *c);
const char *check_refusals(const struct change *c);

#endif
