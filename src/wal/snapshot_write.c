/*
 * Drafts: see snapshot.h. One operation is in flight at a time. What was written is synced now and then, so that the
 * last sync, and those of the log beside it, have little to do. A draft that fails is done with: its file is removed,
 * never written or synced again.
 */
#include "wal/snapshot_internal.h"

#include "base/bytes.h"
#include "base/crc32c.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SYNC_BYTES ((uint64_t)8 * 1024 * 1024)

__attribute__((format(printf, 2, 3))) static void fail(struct snapshot_draft *d, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(d->error, sizeof d->error, format, args);
	va_end(args);
	d->state = DRAFT_FAILED;
}

struct snapshot_draft *snapshot_draft_open(struct env *env, const char *dir, struct snapshot name,
					   enum snapshot_draft_kind kind)
{
	struct snapshot_draft *d = mem_zero(env->mem, sizeof *d);
	d->env = env;
	d->dir = dir;
	d->name = name;
	d->path = snapshot_path(env, dir, name, kind == DRAFT_TAKEN ? SNAPSHOT_TAKEN_SUFFIX : SNAPSHOT_RECEIVED_SUFFIX);
	buf_init(&d->filling, env->mem);
	buf_init(&d->flying, env->mem);
	env->ops->unlink(env, d->path); /* What an earlier try could not remove. */
	int status = env->ops->open(env, d->path, ENV_OPEN_CREATE, &d->file);
	if (status != 0) {
		d->file = NULL;
		fail(d, "it cannot be made: %s", strerror(-status));
	}
	return d;
}

void snapshot_draft_close(struct snapshot_draft *d)
{
	struct mem *mem = d->env->mem;
	if (d->reading)
		snapshot_reader_close(&d->reader);
	if (d->file != NULL)
		d->env->ops->close(d->file);
	if (d->state != DRAFT_PUBLISHED)
		d->env->ops->unlink(d->env, d->path); /* One that stays is removed when the node starts. */
	buf_free(&d->filling);
	buf_free(&d->flying);
	mem_free(mem, d->path);
	mem_free(mem, d);
}

/* ---- Contents ---- */

void snapshot_put_header(struct snapshot_draft *d, const struct snapshot_header *header)
{
	CHECK_OP(header->members_size, <=, (size_t)SNAPSHOT_MEMBERS_BYTES_MAX);
	size_t size = SNAPSHOT_HEADER_BYTES + header->members_size;
	uint8_t *h = buf_reserve(&d->filling, size);
	memset(h, 0, SNAPSHOT_HEADER_BYTES);
	memcpy(h, "IKADASNP", 8);
	put_le32(h + 12, SNAPSHOT_VERSION);
	put_le64(h + 16, header->cluster_id);
	put_le64(h + 24, header->index);
	put_le64(h + 32, header->term);
	put_le64(h + 40, header->stamp);
	put_le32(h + 48, (uint32_t)header->members_size);
	if (header->members_size > 0)
		memcpy(h + SNAPSHOT_HEADER_BYTES, header->members, header->members_size);
	d->seed = crc32c(0, h + 12, size - 12);
	put_le32(h + 8, d->seed);
	buf_added(&d->filling, size);
}

struct buf *snapshot_begin_block(struct snapshot_draft *d)
{
	d->block_at = buf_size(&d->filling);
	buf_reserve(&d->filling, SNAPSHOT_BLOCK_BYTES);
	buf_added(&d->filling, SNAPSHOT_BLOCK_BYTES);
	return &d->filling;
}

void snapshot_end_block(struct snapshot_draft *d)
{
	uint8_t *b = buf_at(&d->filling) + d->block_at;
	size_t length = buf_size(&d->filling) - d->block_at - SNAPSHOT_BLOCK_BYTES;
	CHECK_OP(length, <=, SNAPSHOT_PIECE_BYTES_MAX);
	if (length == 0) {
		buf_cut(&d->filling, d->block_at);
		return;
	}
	put_le32(b + 4, (uint32_t)length);
	put_le64(b + 8, d->blocks++);
	put_le32(b, crc32c(d->seed, b + 4, SNAPSHOT_BLOCK_BYTES - 4 + length));
}

void snapshot_put_footer(struct snapshot_draft *d, const uint8_t digest[SNAPSHOT_DIGEST_BYTES])
{
	uint64_t before = d->written + buf_size(&d->flying) + buf_size(&d->filling);
	uint8_t *f = buf_reserve(&d->filling, SNAPSHOT_FOOTER_BYTES);
	memset(f, 0, SNAPSHOT_FOOTER_BYTES);
	put_le64(f + 8, d->blocks);
	put_le64(f + 16, before + SNAPSHOT_FOOTER_BYTES);
	memcpy(f + 24, digest, SNAPSHOT_DIGEST_BYTES);
	put_le32(f, crc32c(d->seed, f + 4, SNAPSHOT_FOOTER_BYTES - 4));
	buf_added(&d->filling, SNAPSHOT_FOOTER_BYTES);
}

/* ---- To the disk ---- */

static void wrote(struct env_io *io, int status)
{
	struct snapshot_draft *d = LIST_OF(io, struct snapshot_draft, io);
	d->in_flight = false;
	d->written += buf_size(&d->flying);
	d->unsynced += buf_size(&d->flying);
	if (status != 0)
		fail(d, "it cannot be written at byte %" PRIu64 ": %s", d->written - buf_size(&d->flying),
		     strerror(-status));
	buf_consume(&d->flying, buf_size(&d->flying));
}

static void synced(struct env_io *io, int status)
{
	struct snapshot_draft *d = LIST_OF(io, struct snapshot_draft, io);
	d->in_flight = false;
	d->unsynced = 0;
	if (status != 0)
		fail(d, "it cannot be synced: %s", strerror(-status));
}

static void start_write(struct snapshot_draft *d)
{
	struct buf cleared = d->flying;
	d->flying = d->filling;
	d->filling = cleared;
	d->in_flight = true;
	d->io.done = wrote;
	d->env->ops->write_async(d->file, buf_at(&d->flying), buf_size(&d->flying), d->written, &d->io);
}

static void start_sync(struct snapshot_draft *d)
{
	d->in_flight = true;
	d->io.done = synced;
	d->env->ops->sync_async(d->file, &d->io);
}

/* Reads some of it back; true: there is more. */
static bool read_back(struct snapshot_draft *d, size_t bytes_max)
{
	struct snapshot_reader *r = &d->reader;
	if (!d->reading) {
		d->reading = true;
		bool good = snapshot_reader_open(r, d->env, d->file);
		if (good && (r->header.index != d->name.index || r->header.term != d->name.term)) {
			fail(d, "it holds index %" PRIu64 " of term %" PRIu64, r->header.index, r->header.term);
			return false;
		}
		if (!good) {
			fail(d, "%s", r->error);
			return false;
		}
	}
	uint64_t until = r->consumed + bytes_max;
	while (r->consumed < until) {
		const uint8_t *piece;
		size_t size;
		enum snapshot_read read = snapshot_reader_next(r, &piece, &size);
		if (read == SNAPSHOT_PIECE)
			continue;
		if (read == SNAPSHOT_INVALID)
			fail(d, "%s", r->error);
		else
			d->state = DRAFT_VALID;
		return false;
	}
	return true;
}

void snapshot_draft_settle(struct snapshot_draft *d)
{
	if (d->state == DRAFT_OPEN)
		d->state = DRAFT_SETTLING;
}

bool snapshot_draft_step(struct snapshot_draft *d, size_t bytes_max)
{
	if (d->in_flight || (d->state != DRAFT_OPEN && d->state != DRAFT_SETTLING))
		return false;
	if (d->unsynced >= SYNC_BYTES)
		start_sync(d);
	else if (buf_size(&d->filling) > 0)
		start_write(d);
	else if (d->state == DRAFT_OPEN)
		return false;
	else if (d->unsynced > 0)
		start_sync(d);
	else
		return read_back(d, bytes_max) || d->state != DRAFT_SETTLING;
	return false;
}

bool snapshot_draft_publish(struct snapshot_draft *d)
{
	struct env *env = d->env;
	CHECK(d->state == DRAFT_VALID);
	char *path = snapshot_path(env, d->dir, d->name, "");
	int status = env->ops->rename(env, d->path, path);
	if (status != 0) {
		fail(d, "it cannot be renamed: %s", strerror(-status));
	} else {
		status = env->ops->sync_dir(env, d->dir);
		if (status != 0)
			fail(d, "its directory cannot be synced: %s", strerror(-status));
		else
			d->state = DRAFT_PUBLISHED;
	}
	/* It has the name already, but the name may not last: it must not be taken for a snapshot. */
	if (d->state == DRAFT_FAILED)
		env->ops->unlink(env, path);
	mem_free(env->mem, path);
	return d->state == DRAFT_PUBLISHED;
}
