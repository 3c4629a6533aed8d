/*
 * Holds a core, and a step of it, to the rules of Raft (paper, Figures 2 and 3) and of this design. For simulators and
 * tests, after each step: cheap, at most the peers and what changed in the log are looked at.
 *
 * It is written against the state, not against the code that changes it: majorities are counted anew here, and the
 * promises a step makes are compared with what is durable.
 */
#ifndef IKADA_RAFT_RAFT_CHECK_H
#define IKADA_RAFT_RAFT_CHECK_H

#include "ikada/raft.h"

/*
 * `before` is a copy of the core's bytes (ikada_raft_size of them, aligned as the core), or what raft_check_copy has
 * made, from before the step that made `after` and `effects` of `event`. Returns NULL, or the sentence of the rule that
 * was broken.
 */
const char *raft_check(const struct ikada_raft *before, const struct ikada_raft *after, const struct ikada_event *event,
		       const struct ikada_effects *effects);

/*
 * A copy for `before`. A core's tables are made for the worst, tens of KiB, and mostly empty: what is in use of them is
 * copied, the rest of `to`, which is of the same size, stays as it is.
 */
void raft_check_copy(struct ikada_raft *to, const struct ikada_raft *from);

#endif
