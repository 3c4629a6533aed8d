/*
 * Segment files. Owns their names, their making and their order; knows nothing of batches.
 *
 * Invariant: a segment has its final name in a synced directory, its header synced and all its room reserved before the
 * chain goes on in it.
 */
#include "wal/wal_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ZEROS_BYTES ((size_t)256 * 1024)
#define TEMPORARY_NAME "segment.tmp"

uint8_t *wal_aligned(struct mem *mem, size_t size, void **memory)
{
	*memory = mem_alloc(mem, size + WAL_BLOCK_BYTES);
	uintptr_t at = ((uintptr_t)*memory + WAL_BLOCK_BYTES - 1) / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
	return (uint8_t *)at;
}

void segment_name(char name[SEGMENT_NAME_BYTES], uint64_t number)
{
	snprintf(name, SEGMENT_NAME_BYTES, "%016" PRIx64 ".wal", number);
}

char *wal_path(const struct wal *wal, const char *name)
{
	size_t size = strlen(wal->dir) + 1 + strlen(name) + 1;
	char *path = mem_alloc(wal->mem, size);
	snprintf(path, size, "%s/%s", wal->dir, name);
	return path;
}

static char *path_of(const struct wal *wal, uint64_t number)
{
	char name[SEGMENT_NAME_BYTES];
	segment_name(name, number);
	return wal_path(wal, name);
}

int segment_open(const struct wal *wal, uint64_t number, enum env_open how, struct env_file **file)
{
	char *path = path_of(wal, number);
	int status = wal->env->ops->open(wal->env, path, how, file);
	mem_free(wal->mem, path);
	return status;
}

void segment_close(const struct wal *wal, struct segment *segment)
{
	if (segment->file != NULL)
		wal->env->ops->close(segment->file);
	segment->file = NULL;
}

/* The number in a segment's name; 0: not a segment's name. */
static uint64_t number_in(const char *name)
{
	if (strlen(name) != SEGMENT_NAME_BYTES - 1 || strcmp(name + 16, ".wal") != 0)
		return 0;
	uint64_t number = 0;
	for (int i = 0; i < 16; i++) {
		char c = name[i];
		if (c >= '0' && c <= '9')
			number = number << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			number = number << 4 | (uint64_t)(c - 'a' + 10);
		else
			return 0;
	}
	return number;
}

static void list_add(void *context, const char *name)
{
	struct segment_list *list = context;
	uint64_t number = number_in(name);
	if (number == 0)
		return;
	if (list->count == list->room) {
		list->room = list->room == 0 ? 16 : 2 * list->room;
		list->numbers = mem_resize(list->mem, list->numbers, list->room * sizeof *list->numbers);
	}
	size_t at = list->count++;
	for (; at > 0 && list->numbers[at - 1] > number; at--)
		list->numbers[at] = list->numbers[at - 1];
	list->numbers[at] = number;
}

static int remove_temporary(const struct wal *wal)
{
	char *path = wal_path(wal, TEMPORARY_NAME);
	int status = wal->env->ops->unlink(wal->env, path);
	mem_free(wal->mem, path);
	return status == -ENOENT ? 0 : status;
}

int segment_list_read(const struct wal *wal, struct segment_list *list)
{
	list->mem = wal->mem;
	int status = remove_temporary(wal);
	return status == 0 ? wal->env->ops->list_dir(wal->env, wal->dir, list_add, list) : status;
}

int segment_take(const struct wal *wal, uint64_t number)
{
	char *path = path_of(wal, number);
	char *temporary = wal_path(wal, TEMPORARY_NAME);
	int status = wal->env->ops->rename(wal->env, path, temporary);
	mem_free(wal->mem, temporary);
	mem_free(wal->mem, path);
	/* Before anything is written to it: a crash must not bring it back under its old name. */
	return status == 0 ? wal->env->ops->sync_dir(wal->env, wal->dir) : status;
}

static int fill_with_zeros(const struct wal *wal, const struct segment *segment)
{
	uint64_t most = segment->header.bytes < ZEROS_BYTES ? segment->header.bytes : ZEROS_BYTES;
	uint8_t *zeros = mem_zero(wal->mem, (size_t)most);
	int status = 0;
	for (uint64_t at = 0; status == 0 && at < segment->header.bytes; at += most) {
		uint64_t left = segment->header.bytes - at;
		size_t size = (size_t)(left < most ? left : most);
		status = wal->env->ops->write_at(segment->file, zeros, size, at);
	}
	mem_free(wal->mem, zeros);
	return status;
}

static int fill_in(const struct wal *wal, const struct segment *segment)
{
	const struct env_ops *ops = wal->env->ops;
	void *memory;
	uint8_t *block = wal_aligned(wal->mem, WAL_BLOCK_BYTES, &memory);
	segment_header_encode(block, &segment->header);
	int status = ops->allocate(segment->file, segment->header.bytes);
	if (status == 0 && segment->filled == segment->header.bytes && segment->header.recycled_bytes == 0)
		status = fill_with_zeros(wal, segment);
	if (status == 0)
		status = ops->write_at(segment->file, block, WAL_BLOCK_BYTES, 0);
	if (status == 0)
		status = ops->sync(segment->file);
	mem_free(wal->mem, memory);
	return status;
}

int segment_write(const struct wal *wal, uint64_t number, bool recycled, struct segment *segment)
{
	const struct env_ops *ops = wal->env->ops;
	uint64_t bytes = wal->settings.segment_bytes;
	bool filled = recycled || number == 1; /* Nothing fills the first one later: it is written to at once. */
	*segment = (struct segment){.header = {.version = WAL_VERSION,
					       .number = number,
					       .bytes = bytes,
					       .salt = ops->random(wal->env),
					       .epoch = wal->epoch,
					       .recycled_bytes = recycled ? bytes : 0},
				    .filled = filled ? bytes : WAL_BLOCK_BYTES};
	char *temporary = wal_path(wal, TEMPORARY_NAME);
	int status = ops->open(wal->env, temporary, ENV_OPEN_CREATE, &segment->file);
	mem_free(wal->mem, temporary);
	if (status == 0)
		status = fill_in(wal, segment);
	if (status == 0)
		return 0;
	segment_close(wal, segment);
	if (status != -ENOSPC && status != -EDQUOT)
		return status;
	status = remove_temporary(wal);
	return status == 0 ? -ENOSPC : status;
}

int segment_name_it(const struct wal *wal, struct segment *segment)
{
	const struct env_ops *ops = wal->env->ops;
	char *temporary = wal_path(wal, TEMPORARY_NAME);
	char *path = path_of(wal, segment->header.number);
	int status = ops->rename(wal->env, temporary, path);
	if (status == 0)
		status = ops->sync_dir(wal->env, wal->dir);
	if (status == -ENOSPC || status == -EDQUOT)
		status = -EIO; /* It may have its name, but who knows for how long. */
	if (status != 0)
		segment_close(wal, segment);
	mem_free(wal->mem, temporary);
	mem_free(wal->mem, path);
	return status;
}

int segment_remove(const struct wal *wal, uint64_t number)
{
	char *path = path_of(wal, number);
	int status = wal->env->ops->unlink(wal->env, path);
	mem_free(wal->mem, path);
	return status == 0 ? wal->env->ops->sync_dir(wal->env, wal->dir) : status;
}

void segments_push(const struct wal *wal, struct segments *segments, const struct segment *segment)
{
	if (segments->count == segments->room) {
		segments->room = segments->room == 0 ? 8 : 2 * segments->room;
		segments->at = mem_resize(wal->mem, segments->at, segments->room * sizeof *segments->at);
	}
	segments->at[segments->count++] = *segment;
}

void segments_void(struct wal *wal)
{
	for (size_t i = 0; i < wal->old.count; i++)
		wal->old.at[i].high = 0;
	wal->segment.high = 0;
}
