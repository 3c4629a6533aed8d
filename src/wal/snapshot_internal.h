/* Names of snapshot files, for the files of this room. */
#ifndef IKADA_WAL_SNAPSHOT_INTERNAL_H
#define IKADA_WAL_SNAPSHOT_INTERNAL_H

#include "wal/snapshot.h"

#define SNAPSHOT_TAKEN_SUFFIX ".taken"
#define SNAPSHOT_RECEIVED_SUFFIX ".part"

/* The caller frees it. */
char *snapshot_path(struct env *env, const char *dir, struct snapshot which, const char *suffix);

#endif
