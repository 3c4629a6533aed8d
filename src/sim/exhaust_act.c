/*
 * What can happen to three nodes and the links between them.
 *
 * Reductions, each of which loses no run that could break a rule:
 * - A message that can never make a difference again is taken off its link; an event that makes none is not followed.
 * - A newer acknowledgement takes the older one's place.
 * - A higher term is learned when it is needed: before a timer fires, and by a leader that is asked for its vote.
 * - Loss is not an event. Whoever could lose a message may as well let it wait; only where a link is full something
 *   must go: the new message, or any that is there.
 */
#include "sim/exhaust_internal.h"

#include "base/check.h"

#include <inttypes.h>

static const char *const kinds[] = {
	[IKADA_PREVOTE] = "PREVOTE",   [IKADA_PREVOTE_REPLY] = "PREVOTE_REPLY",
	[IKADA_VOTE] = "VOTE",	       [IKADA_VOTE_REPLY] = "VOTE_REPLY",
	[IKADA_APPEND] = "APPEND",     [IKADA_APPEND_REPLY] = "APPEND_REPLY",
	[IKADA_SNAPSHOT] = "SNAPSHOT", [IKADA_TIMEOUT_NOW] = "TIMEOUT_NOW",
};

/* ---- Links ---- */

static void take_off_link(struct xlink *link, uint32_t at)
{
	link->count--;
	for (uint32_t i = at; i < link->count; i++)
		link->packets[i] = link->packets[i + 1];
}

/*
 * The new acknowledgement tells all that the old one did. Who hears both may as well have heard the old one before; who
 * hears only the new one can do all that it could have done, and commits at least as much.
 */
static bool replaces(const struct xpacket *new, const struct xpacket *old)
{
	return new->kind == IKADA_APPEND_REPLY && old->kind == IKADA_APPEND_REPLY &&new->term == old->term &&
	       !new->rejected &&
	       !old->rejected &&new->match_index >= old->match_index &&new->verified_index >= old->verified_index;
}

static void put_on_link(struct xsearch *s, uint16_t number)
{
	const struct xpacket *packet = &s->packets[number];
	struct xlink *link = &s->to.links[packet->from - 1][packet->to - 1];
	uint32_t at = link->count;
	for (uint32_t i = link->count; i-- > 0 && !s->bounds.plain;)
		if (replaces(packet, &s->packets[link->packets[i]]))
			at = i;
	if (at == s->bounds.in_flight) {
		at = x_choose(s, at + 1);
		if (at == s->bounds.in_flight)
			return;
	}
	if (at == link->count)
		link->count++;
	link->packets[at] = number;
}

/* ---- What can happen ---- */

static void put_choice(struct xframe *frame, struct xchoice choice)
{
	CHECK_OP(frame->choice_count, <, (uint32_t)X_CHOICES_MAX);
	frame->choices[frame->choice_count++] = choice;
}

/* A timer fires, perhaps after a higher term was learned: each of those that the others are in durably. */
static void list_timeouts(const struct xsearch *s, uint8_t number, struct xframe *frame)
{
	const struct xstate *x = &frame->x;
	uint8_t known = s->briefs[x->nodes[number]].term;
	uint8_t learned = 0;
	put_choice(frame, (struct xchoice){.act = X_TIMEOUT, .node = number});
	for (uint8_t i = 0; i < X_NODES && !s->bounds.plain; i++) {
		uint8_t term = s->briefs[x->nodes[i]].image_term;
		if (term > known && term < s->bounds.terms && term != learned) {
			put_choice(frame, (struct xchoice){.act = X_TIMEOUT, .node = number, .from = i, .term = term});
			learned = term;
		}
	}
}

static void list_of_node(const struct xsearch *s, uint8_t i, struct xframe *frame)
{
	const struct xstate *x = &frame->x;
	const struct xbrief *is = &s->briefs[x->nodes[i]];
	if (is->write_count > 0)
		put_choice(frame, (struct xchoice){.act = X_DURABLE, .node = i});
	if (is->write_count > 1 && s->bounds.disks == EXHAUST_ALL_LATE)
		put_choice(frame, (struct xchoice){.act = X_DURABLE_ONE, .node = i});
	if (is->role == IKADA_LEADER && is->last < s->bounds.entries)
		put_choice(frame, (struct xchoice){.act = X_PROPOSE, .node = i});
	if (is->role != IKADA_FOLLOWER && x->beats > 0)
		put_choice(frame, (struct xchoice){.act = X_BEAT, .node = i});
	if (x->timeouts > 0 && is->term < s->bounds.terms)
		list_timeouts(s, i, frame);
	if (x->restarts > 0)
		put_choice(frame, (struct xchoice){.act = X_RESTART, .node = i});
}

void x_list(const struct xsearch *s, struct xframe *frame)
{
	frame->choice_count = 0;
	for (uint8_t from = 0; from < X_NODES; from++)
		for (uint8_t to = 0; to < X_NODES; to++) {
			const struct xlink *link = &frame->x.links[from][to];
			for (uint8_t at = 0; at < link->count; at++)
				if (at == 0 || link->packets[at] != link->packets[at - 1])
					put_choice(frame, (struct xchoice){.act = X_DELIVER,
									   .node = to,
									   .from = from,
									   .at = at,
									   .packet = link->packets[at]});
		}
	for (uint8_t i = 0; i < X_NODES; i++)
		list_of_node(s, i, frame);
}

/* ---- What makes no difference ---- */

static bool in_role(const struct xbrief *node, enum ikada_role role, uint8_t term)
{
	return node->role == role && node->term == term;
}

/*
 * The receiver will never do anything about it that counts, not even if it forgets what is not durable. That somebody
 * is in a higher term is not among it: that is learned in other ways. And a vote for who is no candidate any more only
 * keeps its voter from voting.
 */
static bool is_dead(const struct xpacket *p, const struct xbrief *from, const struct xbrief *to)
{
	switch (p->kind) {
	case IKADA_VOTE:
		return to->image_term > p->term || !in_role(from, IKADA_CANDIDATE, p->term) ||
		       (to->image_term == p->term && to->image_vote != 0 && to->image_vote != p->from);
	case IKADA_VOTE_REPLY:
		return !p->granted || !in_role(to, IKADA_CANDIDATE, p->term);
	case IKADA_APPEND:
		return to->image_term > p->term;
	default: {
		if (!in_role(to, IKADA_LEADER, p->term))
			return true;
		uint8_t match = to->match[p->from - 1];
		return p->match_index <= match && p->verified_index <= match &&
		       (!p->rejected || p->prev_index <= match);
	}
	}
}

/* On the links of the node that moved; on others nothing dies. */
static void clear_dead(struct xsearch *s, uint32_t moved)
{
	struct xstate *x = &s->to;
	for (uint32_t from = 0; from < X_NODES; from++)
		for (uint32_t to = 0; to < X_NODES; to++) {
			struct xlink *link = &x->links[from][to];
			for (uint32_t at = from == moved || to == moved ? link->count : 0; at-- > 0;)
				if (is_dead(&s->packets[link->packets[at]], &s->briefs[x->nodes[from]],
					    &s->briefs[x->nodes[to]]))
					take_off_link(link, at);
		}
}

/* ---- Acts ---- */

bool x_act(struct xsearch *s)
{
	struct xstate *x = &s->to;
	uint32_t count;
	if (s->from->choice_count == 0)
		return false;
	const struct xchoice *c = &s->from->choices[x_choose(s, s->from->choice_count)];
	uint32_t first = x_moves(s, x->nodes[c->node], c, &count);
	const struct xmove *move = &s->moves[first + x_choose(s, count)];
	x->beats -= c->act == X_BEAT;
	x->timeouts -= c->act == X_TIMEOUT;
	x->restarts -= c->act == X_RESTART;
	if (c->act == X_DELIVER)
		take_off_link(&x->links[c->from][c->node], c->at);
	x->nodes[c->node] = move->node;
	for (uint32_t i = 0; i < move->fact_count; i++)
		x_judge(s, c->node, &s->facts[move->first_fact + i]);
	s->result->cut += move->cuts;
	for (uint32_t i = 0; i < move->sent_count; i++)
		put_on_link(s, move->sent[i]);
	if (move->idle && !s->bounds.plain)
		return false;
	if (!s->bounds.plain)
		clear_dead(s, c->node);
	return true;
}

void x_tell(struct xsearch *s, const struct xframe *frame, uint32_t choice, uint32_t way)
{
	const struct xchoice *c = &frame->choices[choice];
	const struct xpacket *p = &s->packets[c->packet];
	uint32_t number = c->node + 1u;
	switch ((enum xact)c->act) {
	case X_DELIVER:
		x_say(s,
		      "node %" PRIu32 " gets %s of term %d from node %d: prev %d/%d last %d/%d commit %d match %d "
		      "verified %d conflict %d/%d%s%s",
		      number, kinds[p->kind], p->term, p->from, p->prev_index, p->prev_term, p->last_index,
		      p->last_term, p->commit, p->match_index, p->verified_index, p->conflict_index, p->conflict_term,
		      p->granted ? ", granted" : "", p->rejected ? ", rejected" : "");
		break;
	case X_DURABLE:
		x_say(s, "node %" PRIu32 ": the disk has completed all", number);
		break;
	case X_DURABLE_ONE:
		x_say(s, "node %" PRIu32 ": the disk has completed the oldest write", number);
		break;
	case X_PROPOSE:
		x_say(s, "node %" PRIu32 " is proposed an entry", number);
		break;
	case X_BEAT:
		x_say(s, "node %" PRIu32 " beats", number);
		break;
	case X_TIMEOUT:
		if (c->term != 0)
			x_say(s, "node %" PRIu32 " learns of term %d from node %d", number, c->term, c->from + 1);
		x_say(s, "node %" PRIu32 ": the election timer fires", number);
		break;
	case X_RESTART:
		x_say(s, "node %" PRIu32 " crashes and restarts, with %" PRIu32 " of %d writes that were not durable",
		      number, way, s->briefs[frame->x.nodes[c->node]].write_count);
		break;
	}
}

void x_begin(struct xsearch *s, struct xframe *root)
{
	root->x = (struct xstate){
		.timeouts = (uint8_t)s->bounds.timeouts,
		.restarts = (uint8_t)s->bounds.restarts,
		.beats = (uint8_t)s->bounds.beats,
	};
	for (uint32_t i = 0; i < X_NODES; i++) {
		x_boot(s, i + 1);
		root->x.nodes[i] = x_node_number(s);
	}
}
