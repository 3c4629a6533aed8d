/* The labs as the table in labs.c sees them: each a function over an opened world. */
#ifndef IKADA_SIM_LABS_INTERNAL_H
#define IKADA_SIM_LABS_INTERNAL_H

#include "sim/labs_world.h"

/* labs_elect.c */
void lab_initial_election(struct lab *lab);
void lab_re_election(struct lab *lab);
void lab_many_elections(struct lab *lab);

/* labs_agree.c */
void lab_basic_agree(struct lab *lab);
void lab_rpc_bytes(struct lab *lab);
void lab_follower_failure(struct lab *lab);
void lab_leader_failure(struct lab *lab);
void lab_fail_agree(struct lab *lab);
void lab_fail_no_agree(struct lab *lab);
void lab_concurrent_starts(struct lab *lab);
void lab_rejoin(struct lab *lab);
void lab_backup(struct lab *lab);
void lab_count(struct lab *lab);

/* labs_crash.c */
void lab_persist_1(struct lab *lab);
void lab_persist_2(struct lab *lab);
void lab_persist_3(struct lab *lab);
void lab_figure_8(struct lab *lab);
void lab_unreliable_agree(struct lab *lab);
void lab_figure_8_unreliable(struct lab *lab);
void lab_churn(struct lab *lab);
void lab_churn_unreliable(struct lab *lab);

/* labs_snapshot.c */
void lab_snapshot_basic(struct lab *lab);
void lab_snapshot_install(struct lab *lab);
void lab_snapshot_install_unreliable(struct lab *lab);
void lab_snapshot_install_crash(struct lab *lab);
void lab_snapshot_install_unreliable_crash(struct lab *lab);
void lab_snapshot_install_tail(struct lab *lab);
void lab_snapshot_all_crash(struct lab *lab);
void lab_snapshot_init(struct lab *lab);

#endif
