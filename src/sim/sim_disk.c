/*
 * Names on a simulated disk: directories, what of them is durable, and what a crash leaves.
 *
 * A change of a directory (a name made, moved or removed) is durable by sync_dir of that directory, by nothing else. A
 * crash keeps or loses each of the others; one that touches a name of a lost one is lost with it, so that what is left
 * is what some order of writing back could have left, and a rename happened or did not. A name whose directory is lost
 * is lost.
 *
 * Paths are compared as text, but for "./" in front and "/" at the end. Their root always exists.
 */
#include "sim/sim_disk.h"

#include "base/buf.h"
#include "base/check.h"

#include <errno.h>
#include <string.h>

struct name {
	struct list at;	     /* In disk->names, behind its directory. */
	struct name *parent; /* NULL: the root. */
	uint32_t hash;
	uint32_t length;
	uint32_t users; /* Changes and names below. */
	bool marked;
	struct inode *now;
	struct inode *durable;
	char path[];
};

struct change {
	struct list at;	     /* In disk->changes. */
	struct name *from;   /* Loses its file; or NULL. */
	struct name *to;     /* Gets it; or NULL. */
	struct inode *inode; /* NULL for a removal. */
};

static struct sim_host *host_of(struct env *env)
{
	return (struct sim_host *)(void *)env;
}

void sim_disk_init(struct sim_host *host)
{
	list_init(&host->disk.names);
	list_init(&host->disk.changes);
	host->disk.limit = UINT64_MAX;
}

/* The part of a path that counts: *path and its length. */
static size_t trim(const char **path)
{
	while ((*path)[0] == '.' && (*path)[1] == '/')
		*path += 2;
	size_t length = strlen(*path);
	while (length > 0 && (*path)[length - 1] == '/')
		length--;
	return length == 1 && (*path)[0] == '.' ? 0 : length;
}

static struct name *find(struct sim_host *host, const char *path, size_t length)
{
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t)path[i]) * 16777619u;
	for (struct list *at = host->disk.names.next; at != &host->disk.names; at = at->next) {
		struct name *name = LIST_OF(at, struct name, at);
		if (name->hash == hash && name->length == length && memcmp(name->path, path, length) == 0)
			return name;
	}
	size_t cut = length;
	while (cut > 0 && path[cut - 1] != '/')
		cut--;
	while (cut > 0 && path[cut - 1] == '/')
		cut--;
	struct name *parent = cut > 0 ? find(host, path, cut) : NULL;
	struct name *name = mem_zero(&host->sim->mem, sizeof *name + length + 1);
	memcpy(name->path, path, length);
	name->hash = hash;
	name->length = (uint32_t)length;
	name->parent = parent;
	if (parent != NULL)
		parent->users++;
	list_push(&host->disk.names, &name->at);
	return name;
}

/* Forgets a name that nothing is known about. */
static void forget_unused(struct sim_host *host, struct name *name)
{
	while (name != NULL && name->now == NULL && name->durable == NULL && name->users == 0) {
		struct name *parent = name->parent;
		list_remove(&name->at);
		mem_free(&host->sim->mem, name);
		if (parent != NULL)
			parent->users--;
		name = parent;
	}
}

static void set_now(struct name *name, struct inode *inode)
{
	if (inode != NULL)
		sim_inode_ref(inode, true);
	if (name->now != NULL)
		sim_inode_unref(name->now, true);
	name->now = inode;
}

static void set_durable(struct name *name, struct inode *inode)
{
	if (inode != NULL)
		sim_inode_ref(inode, false);
	if (name->durable != NULL)
		sim_inode_unref(name->durable, false);
	name->durable = inode;
}

static void change(struct sim_host *host, struct name *from, struct name *to, struct inode *inode)
{
	struct change *c = mem_zero(&host->sim->mem, sizeof *c);
	c->from = from;
	c->to = to;
	c->inode = inode;
	if (inode != NULL)
		sim_inode_ref(inode, false);
	if (from != NULL)
		from->users++;
	if (to != NULL)
		to->users++;
	list_push(&host->disk.changes, &c->at);
	if (to != NULL)
		set_now(to, inode);
	if (from != NULL)
		set_now(from, NULL);
}

static void change_end(struct sim_host *host, struct change *c, bool durable)
{
	if (durable && c->to != NULL)
		set_durable(c->to, c->inode);
	if (durable && c->from != NULL)
		set_durable(c->from, NULL);
	if (c->inode != NULL)
		sim_inode_unref(c->inode, false);
	list_remove(&c->at);
	if (c->from != NULL) {
		c->from->users--;
		forget_unused(host, c->from);
	}
	if (c->to != NULL) {
		c->to->users--;
		forget_unused(host, c->to);
	}
	mem_free(&host->sim->mem, c);
}

static bool in_a_dir(const struct name *name)
{
	return name->parent == NULL || (name->parent->now != NULL && name->parent->now->is_dir);
}

static int make(struct sim_host *host, struct name *name, bool is_dir)
{
	if (!in_a_dir(name))
		return -ENOENT;
	change(host, NULL, name, sim_inode_new(host, is_dir));
	return 0;
}

int sim_inode_find(struct sim_host *host, const char *path, bool create, struct inode **inode)
{
	size_t length = trim(&path);
	if (length == 0)
		return -EISDIR;
	struct name *name = find(host, path, length);
	int status = 0;
	if (name->now == NULL)
		status = create ? make(host, name, false) : -ENOENT;
	*inode = name->now;
	forget_unused(host, name);
	return status;
}

int sim_dir_make(struct env *env, const char *path)
{
	struct sim_host *host = host_of(env);
	size_t length = trim(&path);
	if (length == 0)
		return 0;
	struct name *name = find(host, path, length);
	int status;
	if (name->now != NULL)
		status = name->now->is_dir ? 0 : -ENOTDIR;
	else
		status = make(host, name, true);
	forget_unused(host, name);
	return status;
}

/* Whether `path` is a directory; *dir is its name, NULL for the root. */
static int find_dir(struct sim_host *host, const char *path, struct name **dir)
{
	size_t length = trim(&path);
	*dir = NULL;
	if (length == 0)
		return 0;
	struct name *name = find(host, path, length);
	int status = 0;
	if (name->now == NULL)
		status = -ENOENT;
	else if (!name->now->is_dir)
		status = -ENOTDIR;
	*dir = name;
	forget_unused(host, name);
	return status;
}

int sim_dir_list(struct env *env, const char *path, void (*each)(void *context, const char *name), void *context)
{
	struct sim_host *host = host_of(env);
	struct name *dir;
	int status = find_dir(host, path, &dir);
	if (status != 0)
		return status;
	/* `each` may change the directory, and may not come back: it gets copies, in the process's memory. */
	struct buf found;
	buf_init(&found, env->mem);
	for (struct list *at = host->disk.names.next; at != &host->disk.names; at = at->next) {
		const struct name *name = LIST_OF(at, struct name, at);
		if (name->parent != dir || name->now == NULL)
			continue;
		const char *last = strrchr(name->path, '/');
		const char *text = last == NULL ? name->path : last + 1;
		buf_add(&found, text, strlen(text) + 1);
	}
	for (size_t at = 0; at < buf_size(&found); at += strlen((const char *)buf_at(&found) + at) + 1)
		each(context, (const char *)buf_at(&found) + at);
	buf_free(&found);
	return 0;
}

int sim_dir_rename(struct env *env, const char *from_path, const char *to_path)
{
	struct sim_host *host = host_of(env);
	size_t from_length = trim(&from_path);
	size_t to_length = trim(&to_path);
	if (from_length == 0 || to_length == 0)
		return -EBUSY;
	struct name *from = find(host, from_path, from_length);
	from->users++;
	struct name *to = find(host, to_path, to_length);
	int status = 0;
	if (from->now == NULL || !in_a_dir(to))
		status = -ENOENT;
	else if (from->now->is_dir || (to->now != NULL && to->now->is_dir))
		status = -EISDIR;
	else if (from != to)
		change(host, from, to, from->now);
	forget_unused(host, to);
	from->users--;
	forget_unused(host, from);
	return status;
}

int sim_dir_unlink(struct env *env, const char *path)
{
	struct sim_host *host = host_of(env);
	size_t length = trim(&path);
	if (length == 0)
		return -EISDIR;
	struct name *name = find(host, path, length);
	int status = 0;
	if (name->now == NULL)
		status = -ENOENT;
	else if (name->now->is_dir)
		status = -EISDIR;
	else
		change(host, name, NULL, NULL);
	forget_unused(host, name);
	return status;
}

/* The changes of this directory, and earlier ones that they build on, become durable. */
int sim_dir_sync(struct env *env, const char *path)
{
	struct sim_host *host = host_of(env);
	struct list *changes = &host->disk.changes;
	struct name *dir;
	int status = find_dir(host, path, &dir);
	if (status != 0)
		return status;
	if (sim_disk_fails(host))
		return -EIO;
	sim_disk_takes_time(host);
	for (struct list *at = changes->prev; at != changes; at = at->prev) {
		struct change *c = LIST_OF(at, struct change, at);
		bool wanted = (c->from != NULL && (c->from->parent == dir || c->from->marked)) ||
			      (c->to != NULL && (c->to->parent == dir || c->to->marked));
		if (wanted && c->from != NULL)
			c->from->marked = true;
		if (wanted && c->to != NULL)
			c->to->marked = true;
	}
	struct list *next;
	for (struct list *at = changes->next; at != changes; at = next) {
		struct change *c = LIST_OF(at, struct change, at);
		next = at->next;
		/* A change is wanted if and only if all its names are marked: one is only if a wanted change has it. */
		if ((c->from != NULL && c->from->marked) || (c->to != NULL && c->to->marked))
			change_end(host, c, true);
	}
	for (struct list *at = host->disk.names.next; at != &host->disk.names; at = at->next)
		LIST_OF(at, struct name, at)->marked = false;
	return 0;
}

static enum crash_mode draw_mode(struct sim_host *host)
{
	const struct sim_host_settings *s = &host->settings;
	uint64_t draw = rng_below(&host->rng_disk, 1000000);
	if (draw < s->crash_all_lost_ppm)
		return CRASH_ALL_LOST;
	draw -= s->crash_all_lost_ppm;
	if (draw < s->crash_all_kept_ppm)
		return CRASH_ALL_KEPT;
	draw -= s->crash_all_kept_ppm;
	return draw < s->crash_prefix_ppm ? CRASH_PREFIX : CRASH_EACH;
}

static void crash_changes(struct sim_host *host, enum crash_mode mode)
{
	struct list *changes = &host->disk.changes;
	uint64_t count = 0;
	for (const struct list *at = changes->next; at != changes; at = at->next)
		count++;
	uint64_t prefix = mode == CRASH_PREFIX ? rng_range(&host->rng_disk, 0, count) : 0;
	for (uint64_t i = 0; i < count; i++) {
		struct change *c = LIST_OF(changes->next, struct change, at);
		bool kept = mode == CRASH_ALL_KEPT || (mode == CRASH_PREFIX && i < prefix) ||
			    (mode == CRASH_EACH && rng_chance(&host->rng_disk, 500000));
		if ((c->from != NULL && c->from->marked) || (c->to != NULL && c->to->marked))
			kept = false;
		if (!kept) {
			host->sim->counters.entries_lost++;
			if (c->from != NULL)
				c->from->marked = true;
			if (c->to != NULL)
				c->to->marked = true;
		}
		/* The names stay until the end of the crash: their marks count. */
		if (c->from != NULL)
			c->from->users++;
		if (c->to != NULL)
			c->to->users++;
		struct name *from = c->from;
		struct name *to = c->to;
		change_end(host, c, kept);
		if (from != NULL)
			from->users--;
		if (to != NULL)
			to->users--;
	}
}

void sim_disk_crash(struct sim_host *host)
{
	struct list *names = &host->disk.names;
	enum crash_mode mode = draw_mode(host);
	crash_changes(host, mode);
	/* Directories come before what is in them. */
	for (struct list *at = names->next; at != names; at = at->next) {
		struct name *name = LIST_OF(at, struct name, at);
		name->marked = false;
		if (name->parent != NULL && (name->parent->now == NULL || !name->parent->now->is_dir))
			set_durable(name, NULL);
		set_now(name, name->durable);
		if (name->now != NULL)
			sim_inode_crash(name->now, mode);
	}
	/* From the end, so that what is in a directory goes before it. */
	struct list *previous;
	for (struct list *at = names->prev; at != names; at = previous) {
		struct name *name = LIST_OF(at, struct name, at);
		previous = at->prev;
		if (name->now == NULL && name->users == 0) {
			if (name->parent != NULL)
				name->parent->users--;
			list_remove(at);
			mem_free(&host->sim->mem, name);
		}
	}
}

void sim_disk_wipe(struct sim_host *host)
{
	CHECK(!host->running);
	struct list *changes = &host->disk.changes;
	struct list *names = &host->disk.names;
	while (!list_empty(changes))
		change_end(host, LIST_OF(changes->next, struct change, at), false);
	while (!list_empty(names)) {
		struct name *name = LIST_OF(names->prev, struct name, at);
		set_now(name, NULL);
		set_durable(name, NULL);
		list_remove(&name->at);
		mem_free(&host->sim->mem, name);
	}
	host->disk.fail_next = false;
}

void sim_disk_free(struct sim_host *host)
{
	sim_disk_wipe(host);
}

void sim_disk_set_limit(struct sim_host *host, uint64_t bytes)
{
	host->disk.limit = bytes;
}

uint64_t sim_disk_used(const struct sim_host *host)
{
	return host->disk.used;
}

static struct inode *file_of(struct sim_host *host, const char *path)
{
	struct inode *inode;
	int status = sim_inode_find(host, path, false, &inode);
	return status == 0 && !inode->is_dir ? inode : NULL;
}

bool sim_disk_flip(struct sim_host *host, const char *path, uint64_t offset, unsigned bit)
{
	struct inode *inode = file_of(host, path);
	if (inode == NULL || offset >= inode->size)
		return false;
	uint8_t mask = (uint8_t)(1u << (bit & 7u));
	inode->bytes[offset] ^= mask;
	if (inode->undo_of[offset / SECTOR_BYTES] != 0)
		inode->kept[offset] ^= mask;
	return true;
}

const uint8_t *sim_disk_peek(struct sim_host *host, const char *path, uint64_t *size)
{
	struct inode *inode = file_of(host, path);
	if (inode == NULL)
		return NULL;
	*size = inode->size;
	return inode->bytes != NULL ? inode->bytes : (const uint8_t *)"";
}

void sim_disk_each(struct sim_host *host, void (*each)(void *context, const char *path), void *context)
{
	for (struct list *at = host->disk.names.next; at != &host->disk.names; at = at->next) {
		struct name *name = LIST_OF(at, struct name, at);
		if (name->now != NULL && !name->now->is_dir)
			each(context, name->path);
	}
}
