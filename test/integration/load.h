/*
 * Clients that keep a cluster busy and remember what they were told, each in a thread; and the judgement of it. A write
 * is done, refused (an error that says so, or nothing was sent), or of unknown outcome (the connection was lost).
 */
#ifndef IKADA_TEST_INTEGRATION_LOAD_H
#define IKADA_TEST_INTEGRATION_LOAD_H

#include "cluster.h"

struct load;

struct load *load_start(const struct cluster *cluster, unsigned client_count);
/*
 * Stops the clients, reads all that they wrote, and fails unless: each key's history is linearizable; every write that
 * was done is there, once; none that was refused is; none is there twice.
 */
void load_judge(struct load *load, const struct cluster *cluster);

#endif
