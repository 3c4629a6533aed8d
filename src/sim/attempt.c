/* One process for one call of ikada_node_recover: see attempt.h. */
#include "sim/attempt.h"

#include "base/check.h"
#include "base/list.h"

#include <inttypes.h>

static struct attempt *counting(const struct env *env)
{
	return LIST_OF(env->ops, struct attempt, ops);
}

static void changed(struct attempt *a)
{
	if (a->dies_after == 0 || --a->dies_after > 0)
		return;
	a->died = true;
	cluster_crash(a->member, a->dies_how); /* Does not return. */
}

static int counted_rename(struct env *env, const char *from, const char *to)
{
	struct attempt *a = counting(env);
	int status = a->below->rename(env, from, to);
	changed(a);
	return status;
}

static int counted_make_dir(struct env *env, const char *path)
{
	struct attempt *a = counting(env);
	int status = a->below->make_dir(env, path);
	changed(a);
	return status;
}

static int counted_sync_dir(struct env *env, const char *path)
{
	struct attempt *a = counting(env);
	int status = a->below->sync_dir(env, path);
	changed(a);
	return status;
}

static void is_done(void *context)
{
	struct attempt *a = context;
	a->done = true;
}

static void open_inside(void *context)
{
	struct attempt *a = context;
	struct env *env = sim_host_env(a->member->host);
	const struct ikada_node_settings settings = {.data_dir = "data", .segment_bytes = 64 * 1024};
	a->below = env->ops;
	a->ops = *env->ops;
	a->ops.rename = counted_rename;
	a->ops.make_dir = counted_make_dir;
	a->ops.sync_dir = counted_sync_dir;
	env->ops = &a->ops;
	a->node = ikada_node_recover(env, &settings, a->survivors, &a->told, a->does ? is_done : NULL, a, a->error,
				     sizeof a->error);
}

bool attempt_open(struct attempt *a, struct member *member)
{
	a->member = member;
	a->node = NULL;
	a->done = false;
	a->died = false;
	CHECK(!sim_host_running(member->host));
	sim_host_start(member->host);
	return sim_host_run(member->host, open_inside, a);
}

static void close_inside(void *context)
{
	struct attempt *a = context;
	if (a->node != NULL)
		ikada_node_close(a->node);
	a->node = NULL;
}

void attempt_close(struct attempt *a)
{
	if (!sim_host_run(a->member->host, close_inside, a))
		return;
	size_t left = sim_host_stop(a->member->host);
	if (left > 0 && a->member->excuses == 0)
		cluster_fail(a->member->cluster, "the recovery of node %" PRIu32 " leaves %zu bytes of memory behind",
			     a->member->number + 1, left);
}
