/*
 * A core's state in few bytes, for who looks at very many of them: all that can make a difference to a later step,
 * except clocks, what is drawn, and the numbers of rounds. Tickets are counted from the last durable one. So two states
 * with equal bytes behave alike where time is free, nobody reads, and no message carries a round.
 *
 * For static members in a small world: ids, terms, indices and counts below 255, no reads, no transfer, no snapshot.
 */
#ifndef IKADA_RAFT_RAFT_CANON_H
#define IKADA_RAFT_RAFT_CANON_H

#include "ikada/raft.h"

enum { RAFT_CANON_BYTES = 256 };

/*
 * `names[id]` takes the place of each member's id; names are 1 to the number of members. `lost` is a set of ids (bit 1:
 * id 1, ...): with them this member will exchange nothing more that is about its present term, so of what a leader
 * knows of them only the match counts, and a candidate to whom all are lost is as good as a follower. Bit 0: nobody
 * will ask for its vote in its present term. Returns the size.
 */
size_t raft_canon(const struct ikada_raft *raft, const uint8_t *names, uint32_t lost, uint8_t bytes[RAFT_CANON_BYTES]);

#endif
