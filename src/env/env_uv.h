/*
 * The real env (env.h) on libuv: files, TCP sockets and clocks of this machine. One loop, one thread.
 *
 * The process ignores SIGPIPE from env_uv_create on.
 */
#ifndef IKADA_ENV_ENV_UV_H
#define IKADA_ENV_ENV_UV_H

#include "env/env.h"

#include <uv.h>

/* NULL when the system refuses what a loop needs, with errno set. Lines below `log_level` are not logged. */
struct env *env_uv_create(struct mem *mem, enum env_level log_level);

/* For experiments: from now on lateness is not taken off, awake time goes on like raw time. */
void env_uv_forgive_nothing(struct env *env);

/* Runs until env_uv_stop, which is for callbacks (also those of libuv handles) and turns. May be run again. */
void env_uv_run(struct env *env);
void env_uv_stop(struct env *env);

/*
 * Ends everything that is still open, without callbacks. What was written to streams is offered to the system once.
 * The owner of other handles on the loop must have called uv_close on them; their close callbacks are made in here.
 */
void env_uv_destroy(struct env *env);

/* For handles of the caller's own, signals for one. Their callbacks come with those of a wake-up, before the turn. */
uv_loop_t *env_uv_loop(struct env *env);

#endif
