/*
 * The five rules of Figure 3 of the paper, each where its evidence arises, and the core's own. What one node's step
 * shows by itself is judged once, when the step is found out; what takes the others, too, in each state.
 */
#include "sim/exhaust_internal.h"

#include "raft/raft_check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- By itself ---- */

__attribute__((format(printf, 2, 3))) static void breaks(struct xsearch *s, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	char *kept = mem_alloc(&s->mem, strlen(text) + 1);
	memcpy(kept, text, strlen(text) + 1);
	*x_new_fact(s) = (struct xfact){.failure = kept};
}

static void append_only(struct xsearch *s, const struct ikada_raft *before, const struct ikada_raft_status *was)
{
	for (uint64_t i = 1; i <= was->last_index; i++)
		if (ikada_raft_term_at(s->mine.raft, i) != ikada_raft_term_at(before, i))
			breaks(s,
			       "leader append-only: node %" PRIu64 " leads term %" PRIu64 " and changed index %" PRIu64,
			       was->self, was->term, i);
}

/* What exhaust_hash.c relies on when it forgets the past: who leads in a term was a candidate there, and came anew. */
static void orderly(struct xsearch *s, const struct ikada_raft_status *was)
{
	const struct ikada_raft_status *is = &s->status;
	if (is->term < was->term)
		breaks(s, "node %" PRIu64 " goes back from term %" PRIu64 " to %" PRIu64, is->self, was->term,
		       is->term);
	if (is->role == IKADA_CANDIDATE && was->role != IKADA_CANDIDATE && is->term == was->term)
		breaks(s, "node %" PRIu64 " campaigns in term %" PRIu64 ", in which it was", is->self, is->term);
	if (is->role == IKADA_LEADER && is->role != was->role &&
	    (was->role != IKADA_CANDIDATE || is->term != was->term))
		breaks(s, "node %" PRIu64 " leads term %" PRIu64 ", and was no candidate in it", is->self, is->term);
}

void x_witness(struct xsearch *s, const struct ikada_raft *before, const struct ikada_raft_status *was,
	       const struct ikada_event *event)
{
	const struct ikada_raft_status *is = &s->status;
	bool leads = is->role == IKADA_LEADER;
	const char *wrong = s->bounds.raft_check ? raft_check(before, s->mine.raft, event, &s->effects) : NULL;
	if (wrong != NULL)
		breaks(s, "node %" PRIu64 ", one step: %s", is->self, wrong);
	orderly(s, was);
	s->move.cuts += s->effects.append != IKADA_APPEND_NONE && s->effects.append_first <= was->last_index;
	if (leads && was->role == IKADA_LEADER && is->term == was->term)
		append_only(s, before, was);
	struct xfact fact = {
		.appended = s->effects.append != IKADA_APPEND_NONE,
		.began = leads && (was->role != IKADA_LEADER || is->term != was->term),
		.self = (uint8_t)is->self,
		.role = (uint8_t)is->role,
		.term = (uint8_t)is->term,
		.last = (uint8_t)is->last_index,
		.commit_before = (uint8_t)was->commit,
		.commit = (uint8_t)is->commit,
	};
	if (!fact.appended && !fact.began && fact.commit <= fact.commit_before)
		return;
	for (uint32_t i = 1; i <= X_ENTRIES_MAX; i++)
		fact.terms[i] = (uint8_t)ikada_raft_term_at(s->mine.raft, i);
	*x_new_fact(s) = fact;
}

/* ---- Beside the others ---- */

static void log_matching(struct xsearch *s, uint32_t number, const struct xfact *fact)
{
	for (uint32_t other = 0; other < X_NODES; other++) {
		const struct xbrief *than = &s->briefs[s->to.nodes[other]];
		bool agree = false;
		for (uint32_t i = fact->last; other != number && i > 0; i--) {
			if (agree && fact->terms[i] != than->terms[i])
				x_fail(s,
				       "log matching: nodes %" PRIu32 " and %" PRIu32
				       " have the same entry after index %" PRIu32 ", and others there",
				       number + 1, other + 1, i);
			agree = fact->terms[i] == than->terms[i];
		}
	}
}

static void began_to_lead(struct xsearch *s, const struct xfact *fact)
{
	struct xstate *x = &s->to;
	s->result->leaders++;
	if (x->leader_of[fact->term] != 0)
		x_fail(s, "election safety: nodes %" PRIu32 " and %" PRIu32 " lead in term %" PRIu32,
		       x->leader_of[fact->term], fact->self, fact->term);
	x->leader_of[fact->term] = fact->self;
	for (uint32_t i = 1; i <= X_ENTRIES_MAX; i++)
		if (x->committed[i] != 0 && x->committed_in[i] < fact->term && fact->terms[i] != x->committed[i])
			x_fail(s,
			       "leader completeness: node %" PRIu32 " leads term %" PRIu32
			       " without the entry of term %" PRIu32 " that was committed at index %" PRIu32
			       " in term %" PRIu32,
			       fact->self, fact->term, x->committed[i], i, x->committed_in[i]);
}

static void commits(struct xsearch *s, const struct xfact *fact)
{
	struct xstate *x = &s->to;
	for (uint32_t i = fact->commit_before + 1u; i <= fact->commit; i++) {
		uint8_t term = fact->terms[i];
		if (x->committed[i] == 0 && fact->role == IKADA_LEADER) {
			s->result->commits++;
			x->committed[i] = term;
			x->committed_in[i] = fact->term;
		}
		if (x->committed[i] != term)
			x_fail(s,
			       "state machine safety: node %" PRIu32 " commits an entry of term %" PRIu32
			       " at index %" PRIu32 ", where one of term %" PRIu32 " is committed",
			       fact->self, term, i, x->committed[i]);
	}
}

void x_judge(struct xsearch *s, uint32_t number, const struct xfact *fact)
{
	if (fact->failure != NULL) {
		x_fail(s, "%s", fact->failure);
		return;
	}
	if (fact->appended)
		log_matching(s, number, fact);
	if (fact->began)
		began_to_lead(s, fact);
	if (fact->commit > fact->commit_before)
		commits(s, fact);
}
