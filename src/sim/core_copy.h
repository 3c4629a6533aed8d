/*
 * A copy of a core for the rules. A core's tables are made for the worst, tens of KiB, and mostly empty: what is in use
 * of them is copied, the rest of `to` stays as it is. Both have the same limits.
 */
#ifndef IKADA_SIM_CORE_COPY_H
#define IKADA_SIM_CORE_COPY_H

#include "ikada/raft.h"

void core_copy(struct ikada_raft *to, const struct ikada_raft *from);

#endif
