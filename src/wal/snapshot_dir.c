/* The directory of snapshots: names, what is there, what goes. */
#include "wal/snapshot_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_LENGTH = 33 };

char *snapshot_path(struct env *env, const char *dir, struct snapshot which, const char *suffix)
{
	size_t size = strlen(dir) + 1 + NAME_LENGTH + strlen(suffix) + 1;
	char *path = mem_alloc(env->mem, size);
	snprintf(path, size, "%s/%016" PRIx64 "-%016" PRIx64 "%s", dir, which.index, which.term, suffix);
	return path;
}

/* The directory that holds `dir`; the caller frees it. */
static char *parent_of(struct env *env, const char *dir)
{
	size_t length = strlen(dir);
	char *parent = mem_alloc(env->mem, length + 2);
	memcpy(parent, dir, length + 1);
	while (length > 1 && parent[length - 1] == '/')
		parent[--length] = '\0';
	char *slash = strrchr(parent, '/');
	if (slash == NULL)
		strcpy(parent, ".");
	else
		slash[slash == parent ? 1 : 0] = '\0';
	return parent;
}

int snapshot_dir_make(struct env *env, const char *dir)
{
	int status = env->ops->make_dir(env, dir);
	if (status != 0)
		return status;
	char *parent = parent_of(env, dir);
	status = env->ops->sync_dir(env, parent);
	mem_free(env->mem, parent);
	return status;
}

/* ---- What is there ---- */

struct listing {
	struct env *env;
	struct buf found;  /* struct snapshot */
	struct buf drafts; /* Names, each with its zero. */
};

/* Sixteen digits as they are printed. */
static bool parse_number(const char *text, uint64_t *number)
{
	*number = 0;
	for (int i = 0; i < 16; i++) {
		char c = text[i];
		if ((c < '0' || c > '9') && (c < 'a' || c > 'f'))
			return false;
		*number = *number << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return true;
}

static void look_at(void *context, const char *name)
{
	struct listing *listing = context;
	struct snapshot which;
	if (strlen(name) < NAME_LENGTH || !parse_number(name, &which.index) || name[16] != '-' ||
	    !parse_number(name + 17, &which.term))
		return;
	const char *suffix = name + NAME_LENGTH;
	if (suffix[0] == '\0')
		buf_add(&listing->found, &which, sizeof which);
	else if (strcmp(suffix, SNAPSHOT_TAKEN_SUFFIX) == 0 || strcmp(suffix, SNAPSHOT_RECEIVED_SUFFIX) == 0)
		buf_add(&listing->drafts, name, strlen(name) + 1);
}

static int by_index(const void *left, const void *right)
{
	const struct snapshot *a = left, *b = right;
	if (a->index != b->index)
		return a->index < b->index ? -1 : 1;
	return a->term < b->term ? -1 : a->term > b->term;
}

static int remove_named(struct env *env, const char *dir, const char *name)
{
	size_t size = strlen(dir) + 1 + strlen(name) + 1;
	char *path = mem_alloc(env->mem, size);
	snprintf(path, size, "%s/%s", dir, name);
	int status = env->ops->unlink(env, path);
	mem_free(env->mem, path);
	return status;
}

int64_t snapshot_list(struct env *env, const char *dir, struct snapshot **found)
{
	struct listing listing = {.env = env};
	buf_init(&listing.found, env->mem);
	buf_init(&listing.drafts, env->mem);
	int status = env->ops->list_dir(env, dir, look_at, &listing);
	size_t count = buf_size(&listing.found) / sizeof **found;
	*found = mem_alloc(env->mem, (count + 1) * sizeof **found);
	if (count > 0)
		memcpy(*found, buf_at(&listing.found), count * sizeof **found);
	qsort(*found, count, sizeof **found, by_index);
	while (status == 0 && buf_size(&listing.drafts) > 0) {
		const char *name = (const char *)buf_at(&listing.drafts);
		status = remove_named(env, dir, name);
		buf_consume(&listing.drafts, strlen(name) + 1);
	}
	buf_free(&listing.found);
	buf_free(&listing.drafts);
	return status < 0 ? status : (int64_t)count;
}

int snapshot_remove(struct env *env, const char *dir, struct snapshot which)
{
	char *path = snapshot_path(env, dir, which, "");
	int status = env->ops->unlink(env, path);
	mem_free(env->mem, path);
	return status;
}

int snapshot_open(struct env *env, const char *dir, struct snapshot which, struct env_file **file)
{
	char *path = snapshot_path(env, dir, which, "");
	int status = env->ops->open(env, path, ENV_OPEN_READ, file);
	mem_free(env->mem, path);
	return status;
}
