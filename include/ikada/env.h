/*
 * What an embedder of node.h needs beside it: the outside world, as this machine has it (files, TCP, clocks, on one
 * loop of libuv), and a way to add to buffers.
 *
 *	struct env *env = ikada_env_create(IKADA_LOG_INFO);
 *	struct ikada_node *node = ikada_node_open(env, ...);
 *	ikada_env_run(env);
 *	ikada_node_close(node);
 *	ikada_env_destroy(env);
 *
 * One env, one thread, one node. Several in one process know nothing of each other. The process ignores SIGPIPE from
 * the first on. What a node cannot go on without, such as a sync that failed, ends the process with a line on stderr.
 */
#ifndef IKADA_ENV_PUBLIC_H
#define IKADA_ENV_PUBLIC_H

#include "ikada/raft.h"

#ifdef __cplusplus
extern "C" {
#endif

struct env;
struct buf;
struct uv_loop_s; /* uv_loop_t of <uv.h>. */

/* Lines below this are not logged. The log is stderr. */
enum ikada_log_level { IKADA_LOG_DEBUG = 0, IKADA_LOG_INFO = 1, IKADA_LOG_WARN = 2, IKADA_LOG_ERROR = 3 };

/* NULL when the system refuses what a loop needs, with errno set. */
IKADA_API struct env *ikada_env_create(enum ikada_log_level level);
/* Runs until ikada_env_stop, which is for callbacks. May be run again. */
IKADA_API void ikada_env_run(struct env *env);
IKADA_API void ikada_env_stop(struct env *env);
/* The node is closed already, and uv_close was called on handles of the embedder's own: it ends in here. */
IKADA_API void ikada_env_destroy(struct env *env);
/* For handles of the embedder's own: timers, signals, sockets. Their callbacks may call the node. */
IKADA_API struct uv_loop_s *ikada_env_loop(struct env *env);

/* Adds a copy of the bytes to a buffer that a function of struct ikada_machine was given. */
IKADA_API void ikada_buf_add(struct buf *buf, const void *bytes, size_t size);

#ifdef __cplusplus
}
#endif

#endif
