/*
 * A disk in memory for the tests of the log: what is durable is kept apart from what was written, by sectors and by
 * changes of the directory; a crash keeps or loses each. Operations are counted, and one of them can fail or be the one
 * at which the machine stops.
 */
#ifndef IKADA_TEST_WAL_DISK_H
#define IKADA_TEST_WAL_DISK_H

#include "base/rng.h"
#include "env/env.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	SECTOR = 512,
	FILES_MAX = 24,
	CHANGES_MAX = 8,
	FILE_BYTES_MAX = 128 * 1024,
	SECTORS_MAX = FILE_BYTES_MAX / SECTOR
};

struct inode {
	uint8_t now[FILE_BYTES_MAX];
	uint8_t durable[FILE_BYTES_MAX];
	bool dirty[SECTORS_MAX];
	uint64_t size;
	uint64_t durable_size;
};

struct name {
	char path[40];
	struct inode *inode; /* NULL: free. */
};

struct change {
	char from[40];
	char to[40];
	struct inode *inode;
};

struct env_file {
	struct inode *inode;
};

struct disk {
	struct env env;
	struct mem mem;
	struct rng rng;
	struct inode *inodes[FILES_MAX];
	struct name names[FILES_MAX];
	struct name durable[FILES_MAX];
	struct change changes[CHANGES_MAX];
	size_t change_count;
	uint64_t limit; /* Bytes of all files. */
	uint64_t now_ns;

	uint64_t ops;
	uint64_t stop_at; /* The machine stops before this operation; 0: never. */
	uint64_t fail_at; /* This operation fails with fail_with; 0: none. */
	int fail_with;
	bool failed;

	/* The write in flight. */
	struct env_io *io;
	struct env_file *io_file;
	const uint8_t *io_bytes;
	size_t io_size;
	uint64_t io_offset;

	/* The asynchronous operation in flight: there is one at most. */
	struct env_io *slow;
	struct env_file *slow_file;
	const uint8_t *slow_bytes; /* NULL: a sync. */
	size_t slow_size;
	uint64_t slow_offset;
	bool slow_refused; /* They end with ENOSPC. */
	uint64_t slow_done;
	uint64_t taken; /* Renames of segments to another name. */

	jmp_buf out;
	char fatal[1024];
};

enum { OUT_STOP = 1, OUT_FATAL = 2 };

static inline struct disk *disk_of(struct env *env)
{
	return (struct disk *)(void *)env;
}

static struct disk *the_disk; /* Files do not know theirs; there is one. */

static inline int disk_op(struct disk *d)
{
	d->ops++;
	if (d->ops == d->stop_at)
		longjmp(d->out, OUT_STOP);
	if (d->ops != d->fail_at)
		return 0;
	d->failed = true;
	return d->fail_with;
}

static inline struct name *name_in(struct name *names, const char *path)
{
	for (size_t i = 0; i < FILES_MAX; i++)
		if (names[i].inode != NULL && strcmp(names[i].path, path) == 0)
			return &names[i];
	return NULL;
}

static inline void name_set(struct name *names, const char *path, struct inode *inode)
{
	struct name *name = name_in(names, path);
	for (size_t i = 0; name == NULL && inode != NULL && i < FILES_MAX; i++)
		if (names[i].inode == NULL)
			name = &names[i];
	if (name == NULL) {
		assert_null(inode);
		return;
	}
	assert_true(strlen(path) < sizeof name->path);
	strcpy(name->path, path);
	name->inode = inode;
}

static inline void change_apply(struct name *names, const struct change *c)
{
	if (c->from[0] != '\0')
		name_set(names, c->from, NULL);
	if (c->to[0] != '\0')
		name_set(names, c->to, c->inode);
}

static inline void change_make(struct disk *d, const char *from, const char *to, struct inode *inode)
{
	assert_true(d->change_count < CHANGES_MAX);
	struct change *c = &d->changes[d->change_count++];
	*c = (struct change){.inode = inode};
	strcpy(c->from, from);
	strcpy(c->to, to);
	change_apply(d->names, c);
}

static inline bool inode_named(const struct disk *d, const struct inode *inode)
{
	for (size_t i = 0; i < FILES_MAX; i++)
		if (d->names[i].inode == inode || d->durable[i].inode == inode)
			return true;
	for (size_t i = 0; i < d->change_count; i++)
		if (d->changes[i].inode == inode)
			return true;
	return false;
}

static inline struct inode *inode_new(struct disk *d)
{
	for (size_t i = 0; i < FILES_MAX; i++) {
		if (d->inodes[i] == NULL)
			d->inodes[i] = malloc(sizeof *d->inodes[i]);
		else if (inode_named(d, d->inodes[i]))
			continue;
		memset(d->inodes[i], 0, sizeof *d->inodes[i]);
		return d->inodes[i];
	}
	fail_msg("too many files");
	return NULL;
}

static inline uint64_t disk_used(const struct disk *d)
{
	uint64_t used = 0;
	for (size_t i = 0; i < FILES_MAX; i++)
		if (d->names[i].inode != NULL)
			used += d->names[i].inode->size;
	return used;
}

static inline int inode_grow(struct disk *d, struct inode *inode, uint64_t size)
{
	assert_true(size <= FILE_BYTES_MAX);
	if (size <= inode->size)
		return 0;
	if (disk_used(d) + size - inode->size > d->limit)
		return -ENOSPC;
	inode->size = size;
	return 0;
}

static inline void inode_write(struct inode *inode, const void *bytes, size_t size, uint64_t offset)
{
	memcpy(inode->now + offset, bytes, size);
	for (uint64_t s = offset / SECTOR; size > 0 && s <= (offset + size - 1) / SECTOR; s++)
		inode->dirty[s] = true;
}

static inline void inode_settle(struct inode *inode)
{
	for (size_t s = 0; s < SECTORS_MAX; s++)
		if (inode->dirty[s])
			memcpy(inode->durable + s * SECTOR, inode->now + s * SECTOR, SECTOR);
	memset(inode->dirty, 0, sizeof inode->dirty);
	inode->durable_size = inode->size;
}

/* ---- What the log sees ---- */

static inline uint64_t disk_raw_ns(struct env *env)
{
	return disk_of(env)->now_ns;
}

static inline uint64_t disk_random(struct env *env)
{
	return rng_next(&disk_of(env)->rng);
}

static inline void disk_log(struct env *env, enum env_level level, const char *room, const char *text)
{
	(void)env, (void)level, (void)room, (void)text;
}

static inline void disk_fatal(struct env *env, const char *text)
{
	struct disk *d = disk_of(env);
	snprintf(d->fatal, sizeof d->fatal, "%s", text);
	longjmp(d->out, OUT_FATAL);
}

static inline int disk_open(struct env *env, const char *path, enum env_open how, struct env_file **file)
{
	struct disk *d = disk_of(env);
	struct name *name = name_in(d->names, path);
	if (name == NULL && (how & ENV_OPEN_CREATE) == 0)
		return -ENOENT;
	int status = disk_op(d);
	if (status != 0)
		return status;
	if (name == NULL)
		change_make(d, "", path, inode_new(d));
	*file = mem_alloc(env->mem, sizeof **file);
	(*file)->inode = name_in(d->names, path)->inode;
	return 0;
}

/* Nobody will hear of the asynchronous operation; of a write some is written. */
static inline void disk_forget_slow(struct disk *d)
{
	if (d->slow != NULL && d->slow_bytes != NULL &&
	    inode_grow(d, d->slow_file->inode, d->slow_offset + d->slow_size) == 0)
		inode_write(d->slow_file->inode, d->slow_bytes, rng_below(&d->rng, d->slow_size / SECTOR + 1) * SECTOR,
			    d->slow_offset);
	d->slow = NULL;
}

static inline void disk_close(struct env_file *file)
{
	assert_true(the_disk->io == NULL || the_disk->io_file != file);
	if (the_disk->slow != NULL && the_disk->slow_file == file)
		disk_forget_slow(the_disk);
	mem_free(the_disk->env.mem, file);
}

static inline int64_t disk_size(struct env_file *file)
{
	return (int64_t)file->inode->size;
}

static inline int64_t disk_read_at(struct env_file *file, void *bytes, size_t size, uint64_t offset)
{
	int status = disk_op(the_disk);
	if (status != 0)
		return status == -ENOSPC ? -EIO : status;
	if (offset >= file->inode->size)
		return 0;
	if (size > file->inode->size - offset)
		size = file->inode->size - offset;
	memcpy(bytes, file->inode->now + offset, size);
	return (int64_t)size;
}

static inline int disk_write_at(struct env_file *file, const void *bytes, size_t size, uint64_t offset)
{
	int status = disk_op(the_disk);
	if (status == 0)
		status = inode_grow(the_disk, file->inode, offset + size);
	if (status == 0)
		inode_write(file->inode, bytes, size, offset);
	return status;
}

static inline int disk_allocate(struct env_file *file, uint64_t size)
{
	int status = disk_op(the_disk);
	return status == 0 ? inode_grow(the_disk, file->inode, size) : status;
}

static inline int disk_sync(struct env_file *file)
{
	int status = disk_op(the_disk);
	if (status == 0)
		inode_settle(file->inode);
	return status;
}

static inline int disk_make_dir(struct env *env, const char *path)
{
	(void)path;
	return disk_op(disk_of(env));
}

static inline int disk_list_dir(struct env *env, const char *path, void (*each)(void *context, const char *name),
				void *context)
{
	struct disk *d = disk_of(env);
	int status = disk_op(d);
	size_t length = strlen(path);
	for (size_t i = 0; status == 0 && i < FILES_MAX; i++)
		if (d->names[i].inode != NULL && strncmp(d->names[i].path, path, length) == 0)
			each(context, d->names[i].path + length + 1);
	return status;
}

static inline int disk_rename(struct env *env, const char *from, const char *to)
{
	struct disk *d = disk_of(env);
	int status = disk_op(d);
	const struct name *name = name_in(d->names, from);
	if (status == 0 && name == NULL)
		status = -ENOENT;
	if (status == 0)
		change_make(d, from, to, name->inode);
	d->taken += status == 0 && strstr(from, ".wal") != NULL;
	return status;
}

static inline int disk_unlink(struct env *env, const char *path)
{
	struct disk *d = disk_of(env);
	int status = disk_op(d);
	if (status == 0 && name_in(d->names, path) == NULL)
		status = -ENOENT;
	if (status == 0)
		change_make(d, path, "", NULL);
	return status;
}

static inline int disk_sync_dir(struct env *env, const char *path)
{
	struct disk *d = disk_of(env);
	int status = disk_op(d);
	if (status != 0 || strchr(path, '/') == NULL) /* Files live in "d/wal" only. */
		return status;
	for (size_t i = 0; i < d->change_count; i++)
		change_apply(d->durable, &d->changes[i]);
	d->change_count = 0;
	return 0;
}

static inline void disk_write_sync(struct env_file *file, const void *bytes, size_t size, uint64_t offset,
				   struct env_io *io)
{
	struct disk *d = the_disk;
	assert_null(d->io);
	assert_int_equal((uintptr_t)bytes % 4096, 0);
	assert_int_equal(size % 4096, 0);
	d->io = io;
	d->io_file = file;
	d->io_bytes = bytes;
	d->io_size = size;
	d->io_offset = offset;
}

static inline void disk_slow(struct env_file *file, const void *bytes, size_t size, uint64_t offset, struct env_io *io)
{
	struct disk *d = the_disk;
	assert_null(d->slow);
	d->slow = io;
	d->slow_file = file;
	d->slow_bytes = bytes;
	d->slow_size = size;
	d->slow_offset = offset;
}

static inline void disk_sync_async(struct env_file *file, struct env_io *io)
{
	disk_slow(file, NULL, 0, 0, io);
}

/* ---- What the test does ---- */

static const struct env_ops disk_ops = {
	.raw_ns = disk_raw_ns,
	.awake_ns = disk_raw_ns,
	.wall_ns = disk_raw_ns,
	.random = disk_random,
	.log = disk_log,
	.fatal = disk_fatal,
	.open = disk_open,
	.close = disk_close,
	.size = disk_size,
	.read_at = disk_read_at,
	.write_at = disk_write_at,
	.allocate = disk_allocate,
	.sync = disk_sync,
	.make_dir = disk_make_dir,
	.list_dir = disk_list_dir,
	.rename = disk_rename,
	.unlink = disk_unlink,
	.sync_dir = disk_sync_dir,
	.write_sync = disk_write_sync,
	.write_async = disk_slow,
	.sync_async = disk_sync_async,
};

static inline struct disk *disk_new(uint64_t seed)
{
	struct disk *d = calloc(1, sizeof *d);
	the_disk = d;
	mem_init(&d->mem, true);
	d->env.ops = &disk_ops;
	d->env.mem = &d->mem;
	d->rng = rng_seed(seed);
	d->limit = UINT64_MAX;
	d->now_ns = 1000;
	return d;
}

static inline void disk_free(struct disk *d)
{
	assert_int_equal(d->mem.bytes, 0);
	for (size_t i = 0; i < FILES_MAX; i++)
		free(d->inodes[i]);
	free(d);
}

/* Ends the write in flight: with `status`, or done. */
static inline void disk_complete(struct disk *d, int status)
{
	struct env_io *io = d->io;
	assert_non_null(io);
	d->io = NULL;
	if (status == 0)
		status = disk_op(d);
	if (status == 0)
		status = inode_grow(d, d->io_file->inode, d->io_offset + d->io_size);
	if (status == 0) {
		inode_write(d->io_file->inode, d->io_bytes, d->io_size, d->io_offset);
		inode_settle(d->io_file->inode);
	}
	io->done(io, status);
}

/* Ends the asynchronous operation in flight. */
static inline void disk_complete_slow(struct disk *d)
{
	struct env_io *io = d->slow;
	assert_non_null(io);
	int status = d->slow_refused ? -ENOSPC : disk_op(d);
	if (status == 0 && d->slow_bytes != NULL)
		status = inode_grow(d, d->slow_file->inode, d->slow_offset + d->slow_size);
	if (status == 0 && d->slow_bytes != NULL)
		inode_write(d->slow_file->inode, d->slow_bytes, d->slow_size, d->slow_offset);
	if (status == 0 && d->slow_bytes == NULL)
		inode_settle(d->slow_file->inode);
	d->slow = NULL;
	d->slow_done++;
	io->done(io, status);
}

/* The write in flight is written, its sync fails, and the system marks clean what is not on the disk. */
static inline void disk_complete_badly(struct disk *d)
{
	struct env_io *io = d->io;
	d->io = NULL;
	inode_write(d->io_file->inode, d->io_bytes, d->io_size, d->io_offset);
	memset(d->io_file->inode->dirty, 0, sizeof d->io_file->inode->dirty);
	io->done(io, -EIO);
}

/* The process is gone, with its memory. Of the write in flight some is written, not synced. */
static inline void disk_kill(struct disk *d, bool prefix)
{
	if (d->io != NULL && inode_grow(d, d->io_file->inode, d->io_offset + d->io_size) == 0) {
		size_t size = prefix ? rng_below(&d->rng, d->io_size / SECTOR + 1) * SECTOR : d->io_size;
		inode_write(d->io_file->inode, d->io_bytes, size, d->io_offset);
	}
	d->io = NULL;
	disk_forget_slow(d);
	d->stop_at = 0;
	d->fail_at = 0;
	d->failed = false;
	mem_free_all(&d->mem);
}

/* The power is gone too: what was not synced is lost with a chance of `lose` in 100, each piece by itself. */
static inline void disk_crash(struct disk *d, uint64_t lose)
{
	disk_kill(d, false);
	char lost[CHANGES_MAX * 2][40];
	size_t lost_count = 0;
	for (size_t i = 0; i < d->change_count; i++) {
		const struct change *c = &d->changes[i];
		bool kept = rng_below(&d->rng, 100) >= lose;
		for (size_t j = 0; j < lost_count; j++)
			if (strcmp(lost[j], c->from) == 0 || strcmp(lost[j], c->to) == 0)
				kept = false;
		if (kept) {
			change_apply(d->durable, c);
			continue;
		}
		if (c->from[0] != '\0')
			strcpy(lost[lost_count++], c->from);
		if (c->to[0] != '\0')
			strcpy(lost[lost_count++], c->to);
	}
	d->change_count = 0;
	memcpy(d->names, d->durable, sizeof d->names);
	for (size_t i = 0; i < FILES_MAX; i++) {
		struct inode *inode = d->names[i].inode;
		if (inode == NULL)
			continue;
		for (size_t s = 0; s < SECTORS_MAX; s++)
			if (!inode->dirty[s] || rng_below(&d->rng, 100) < lose)
				memcpy(inode->now + s * SECTOR, inode->durable + s * SECTOR, SECTOR);
		if (inode->size != inode->durable_size && rng_below(&d->rng, 100) < lose)
			inode->size = inode->durable_size;
		inode_settle(inode);
		for (size_t at = (size_t)inode->size; at < FILE_BYTES_MAX; at++)
			inode->now[at] = inode->durable[at] = 0;
	}
}

/* The contents of all files, durable as they are; to be put back later. */
struct image {
	struct name names[FILES_MAX];
	uint8_t *bytes[FILES_MAX];
};

static inline void image_take(const struct disk *d, struct image *image)
{
	memcpy(image->names, d->names, sizeof image->names);
	for (size_t i = 0; i < FILES_MAX; i++) {
		image->bytes[i] = NULL;
		if (d->names[i].inode == NULL)
			continue;
		image->bytes[i] = malloc(FILE_BYTES_MAX + 8);
		memcpy(image->bytes[i], d->names[i].inode->now, FILE_BYTES_MAX);
		memcpy(image->bytes[i] + FILE_BYTES_MAX, &d->names[i].inode->size, 8);
	}
}

static inline void image_put(struct disk *d, const struct image *image)
{
	mem_free_all(&d->mem);
	d->io = NULL;
	d->slow = NULL;
	d->change_count = 0;
	memcpy(d->names, image->names, sizeof image->names);
	memcpy(d->durable, image->names, sizeof image->names);
	for (size_t i = 0; i < FILES_MAX; i++) {
		struct inode *inode = d->names[i].inode;
		if (inode == NULL)
			continue;
		memcpy(&inode->size, image->bytes[i] + FILE_BYTES_MAX, 8);
		memcpy(inode->now, image->bytes[i], (size_t)inode->size);
		memcpy(inode->durable, image->bytes[i], (size_t)inode->size);
		inode->durable_size = inode->size;
		memset(inode->dirty, 0, sizeof inode->dirty);
	}
}

static inline void image_free(struct image *image)
{
	for (size_t i = 0; i < FILES_MAX; i++)
		free(image->bytes[i]);
}

static inline struct inode *disk_file(struct disk *d, const char *path)
{
	struct name *name = name_in(d->names, path);
	assert_non_null(name);
	return name->inode;
}

#endif
