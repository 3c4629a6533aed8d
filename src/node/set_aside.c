/*
 * A survivor whose log is not that of the new cluster becomes an empty node: its files go to set-aside-CLUSTER in its
 * data directory, where they stay, and nobody deletes them.
 *
 * The order is what makes it safe: the new incarnation first. From then on this is another member, that has promised
 * nothing to anybody, whatever files of the old one are still there. Had the log gone first, a crash would leave a
 * member that has forgotten its promises. Until all is moved, the identity says so: nobody opens half a log, which
 * would make files in it, and what was interrupted goes on from where it stopped. Nothing is moved onto a file that is
 * there.
 */
#include "node/node_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool refuse(char *error, size_t error_size, const char *what, const char *path, int status)
{
	snprintf(error, error_size, "cannot %s %s: %s", what, path, strerror(-status));
	return false;
}

struct move {
	struct ikada_node *node;
	const char *from, *to; /* Directories. */
	int status;
};

static bool exists(struct ikada_node *node, const char *path)
{
	struct env_file *file;
	int status = node->env->ops->open(node->env, path, ENV_OPEN_READ, &file);
	if (status == 0)
		node->env->ops->close(file);
	return status == 0;
}

static void move_one(void *context, const char *name)
{
	struct move *move = context;
	struct ikada_node *node = move->node;
	if (move->status != 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return;
	char *from = path_join(node->mem, move->from, name);
	char *to = path_join(node->mem, move->to, name);
	move->status = exists(node, to) ? -EEXIST : node->env->ops->rename(node->env, from, to);
	mem_free(node->mem, from);
	mem_free(node->mem, to);
}

/* All files of the directory `name`, if there is one. */
static bool move_all(struct ikada_node *node, const char *aside, const char *name, char *error, size_t error_size)
{
	const struct env_ops *ops = node->env->ops;
	char *from = path_join(node->mem, node->data_dir, name);
	char *to = path_join(node->mem, aside, name);
	struct move move = {.node = node, .from = from, .to = to};
	int status = ops->make_dir(node->env, to);
	if (status == 0)
		status = ops->sync_dir(node->env, aside);
	if (status == 0)
		status = ops->list_dir(node->env, from, move_one, &move);
	bool is_there = status != -ENOENT;
	if (status == -ENOENT)
		status = 0;
	if (status == 0)
		status = move.status;
	if (status == 0 && is_there)
		status = ops->sync_dir(node->env, to);
	if (status == 0 && is_there)
		status = ops->sync_dir(node->env, from);
	if (status != 0)
		refuse(error, error_size, "set aside", from, status);
	mem_free(node->mem, from);
	mem_free(node->mem, to);
	return status == 0;
}

static char *make_aside(struct ikada_node *node, uint64_t cluster_id, char *error, size_t error_size)
{
	char name[40];
	snprintf(name, sizeof name, "set-aside-%016" PRIx64, cluster_id);
	char *aside = path_join(node->mem, node->data_dir, name);
	int status = node->env->ops->make_dir(node->env, aside);
	if (status == 0)
		status = node->env->ops->sync_dir(node->env, node->data_dir);
	if (status == 0)
		return aside;
	refuse(error, error_size, "make the directory", aside, status);
	mem_free(node->mem, aside);
	return NULL;
}

bool set_aside(struct ikada_node *node, char *error, size_t error_size)
{
	char *aside = make_aside(node, node->setting_aside, error, error_size);
	if (aside == NULL)
		return false;
	bool ok =
		move_all(node, aside, "wal", error, error_size) && move_all(node, aside, "snapshot", error, error_size);
	mem_free(node->mem, aside);
	if (!ok)
		return false;
	node->setting_aside = 0;
	return identity_write(node, node->data_dir, error, error_size);
}

bool set_aside_begin(struct ikada_node *node, uint64_t incarnation, uint64_t cluster_id, char *error, size_t error_size)
{
	char *aside = make_aside(node, cluster_id, error, error_size);
	if (aside == NULL)
		return false;
	bool ok = identity_write(node, aside, error, error_size);
	node->incarnation = incarnation;
	node->setting_aside = cluster_id;
	ok = ok && identity_write(node, node->data_dir, error, error_size) && set_aside(node, error, error_size);
	mem_free(node->mem, aside);
	return ok;
}
