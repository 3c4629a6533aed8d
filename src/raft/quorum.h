/*
 * Quorum arithmetic: what a majority of a set of voters has said or reached (paper, 5.2 and 5.3).
 *
 * A set is a bit mask over slots, the places of members in the configuration's table. Everything here is a function of
 * its arguments. A joint decision is a decision of each of two sets: both reached, the smaller value. For that, an
 * empty set never stands in the way: it agrees to everything.
 */
#ifndef IKADA_RAFT_QUORUM_H
#define IKADA_RAFT_QUORUM_H

#include "ikada/raft.h"

uint32_t quorum_count(uint32_t set);			 /* Members of a set. */
bool quorum_reached(uint32_t voters, uint32_t agreeing); /* Does a majority of `voters` agree? Others do not count. */

/* The largest value that a majority of `voters` has reached; only their values[slot] are read. Empty: UINT64_MAX. */
uint64_t quorum_value(uint32_t voters, const uint64_t values[IKADA_MEMBERS_MAX]);

#endif
