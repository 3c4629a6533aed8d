/* The real env for programs that know only the public headers: see ikada/env.h. Its memory goes with it. */
#include "ikada/env.h"

#include "base/buf.h"
#include "env/env_uv.h"

#include <errno.h>
#include <stdlib.h>

_Static_assert((int)IKADA_LOG_DEBUG == (int)ENV_DEBUG && (int)IKADA_LOG_ERROR == (int)ENV_ERROR, "the same levels");

struct env *ikada_env_create(enum ikada_log_level level)
{
	struct mem *mem = malloc(sizeof *mem);
	if (mem == NULL)
		return NULL;
	mem_init(mem, false);
	struct env *env = env_uv_create(mem, (enum env_level)level);
	if (env == NULL) {
		int error = errno;
		free(mem);
		errno = error;
	}
	return env;
}

void ikada_env_run(struct env *env)
{
	env_uv_run(env);
}

void ikada_env_stop(struct env *env)
{
	env_uv_stop(env);
}

void ikada_env_destroy(struct env *env)
{
	struct mem *mem = env->mem;
	env_uv_destroy(env);
	free(mem);
}

struct uv_loop_s *ikada_env_loop(struct env *env)
{
	return env_uv_loop(env);
}

void ikada_buf_add(struct buf *buf, const void *bytes, size_t size)
{
	buf_add(buf, bytes, size);
}
