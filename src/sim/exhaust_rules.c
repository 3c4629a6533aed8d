/* The five rules of Figure 3 of the paper, each where its evidence arises, and the core's own. */
#include "sim/exhaust_internal.h"

#include "raft/raft_check.h"

#include <inttypes.h>

static void append_only(struct xsearch *s, const struct xnode *node, const struct ikada_raft *before,
			const struct ikada_raft_status *was)
{
	for (uint64_t i = 1; i <= was->last_index; i++)
		if (ikada_raft_term_at(node->raft, i) != ikada_raft_term_at(before, i))
			x_fail(s,
			       "leader append-only: node %" PRIu64 " leads term %" PRIu64 " and changed index %" PRIu64,
			       was->self, was->term, i);
}

static void log_matching(struct xsearch *s, uint32_t number)
{
	const struct xstate *x = &s->to->x;
	const struct xnode *node = x->nodes[number];
	for (uint32_t other = 0; other < X_NODES; other++) {
		const struct xnode *than = x->nodes[other];
		bool agree = false;
		for (uint64_t i = node->status.last_index; other != number && i > 0; i--) {
			uint64_t a = ikada_raft_term_at(node->raft, i);
			uint64_t b = ikada_raft_term_at(than->raft, i);
			if (agree && a != b)
				x_fail(s,
				       "log matching: nodes %" PRIu32 " and %" PRIu32
				       " have the same entry after index %" PRIu64 ", and others there",
				       number + 1, other + 1, i);
			agree = a == b;
		}
	}
}

static void began_to_lead(struct xsearch *s, const struct xnode *node)
{
	struct xstate *x = &s->to->x;
	uint64_t term = node->status.term;
	s->result->leaders++;
	if (x->leader_of[term] != 0)
		x_fail(s, "election safety: nodes %" PRIu32 " and %" PRIu64 " lead in term %" PRIu64,
		       x->leader_of[term], node->status.self, term);
	x->leader_of[term] = (uint8_t)node->status.self;
	for (uint64_t i = 1; i <= X_ENTRIES_MAX; i++)
		if (x->committed[i] != 0 && x->committed_in[i] < term &&
		    ikada_raft_term_at(node->raft, i) != x->committed[i])
			x_fail(s,
			       "leader completeness: node %" PRIu64 " leads term %" PRIu64
			       " without the entry of term %" PRIu32 " that was committed at index %" PRIu64
			       " in term %" PRIu32,
			       node->status.self, term, x->committed[i], i, x->committed_in[i]);
}

static void commits(struct xsearch *s, const struct xnode *node, uint64_t from)
{
	struct xstate *x = &s->to->x;
	for (uint64_t i = from + 1; i <= node->status.commit; i++) {
		uint8_t term = (uint8_t)ikada_raft_term_at(node->raft, i);
		if (x->committed[i] == 0 && node->status.role == IKADA_LEADER) {
			s->result->commits++;
			x->committed[i] = term;
			x->committed_in[i] = (uint8_t)node->status.term;
		}
		if (x->committed[i] != term)
			x_fail(s,
			       "state machine safety: node %" PRIu64 " commits an entry of term %" PRIu32
			       " at index %" PRIu64 ", where one of term %" PRIu32 " is committed",
			       node->status.self, term, i, x->committed[i]);
	}
}

void x_judge(struct xsearch *s, uint32_t number, const struct ikada_raft *before, const struct ikada_raft_status *was,
	     const struct ikada_event *event)
{
	const struct xnode *node = s->to->x.nodes[number];
	const struct ikada_raft_status *is = &node->status;
	bool leads = is->role == IKADA_LEADER;
	const char *wrong = s->bounds.raft_check ? raft_check(before, node->raft, event, &s->effects) : NULL;
	if (wrong != NULL)
		x_fail(s, "node %" PRIu32 ", one step: %s", number + 1, wrong);
	s->result->cut += s->effects.append != IKADA_APPEND_NONE && s->effects.append_first <= was->last_index;
	if (leads && was->role == IKADA_LEADER && is->term == was->term)
		append_only(s, node, before, was);
	if (s->effects.append != IKADA_APPEND_NONE)
		log_matching(s, number);
	if (leads && (was->role != IKADA_LEADER || is->term != was->term))
		began_to_lead(s, node);
	if (is->commit > was->commit)
		commits(s, node, was->commit);
}
