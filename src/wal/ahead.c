/*
 * The segments ahead of the chain: when one is made, and of what. Old ones that nothing needs are the best, as their
 * room on the disk is there and written; a new one is filled with zeros while the chain is in the one before, at the
 * pace of the smallest batches. Large ones come sooner to what is not filled: a sync there costs them little more,
 * and the zeros would be written in their time.
 *
 * Invariants: an old segment goes only when the base that makes it needless is durable in a later one, the oldest
 * first, and each is gone from the synced directory before the next: there is never a gap. A piece of zeros is never in
 * flight for the segment that the chain is in.
 */
#include "wal/wal_internal.h"

#include "base/check.h"

#include <errno.h>
#include <string.h>

#define RETRY_NS ((uint64_t)1000 * 1000 * 1000)
#define FILL_PIECE_BYTES ((size_t)1024 * 1024)
#define FILL_PACE 2  /* Blocks of zeros for each batch. */
#define FILL_AFTER 8 /* This part of a segment was written before the next one is filled: an idle log fills none. */

uint64_t ahead_room(const struct wal *wal)
{
	uint64_t room = wal->segment.header.bytes - wal->offset;
	for (size_t i = 0; i < wal->ahead_count; i++)
		room += wal->ahead[i].header.bytes - 2 * WAL_BLOCK_BYTES; /* Its header, its OPEN. */
	if (wal->making == MAKING_WRITTEN)
		room += wal->made.header.bytes - 2 * WAL_BLOCK_BYTES;
	return room;
}

static bool has_enough(const struct wal *wal)
{
	return ahead_room(wal) >= wal->settings.segment_bytes / 2 * 3 || wal->ahead_count == WAL_AHEAD_MAX;
}

static bool oldest_is_free(const struct wal *wal)
{
	if (wal->old.count == 0)
		return false;
	const struct segment *oldest = &wal->old.at[0];
	return oldest->header.number < wal->base_segment && oldest->high <= wal->written.base_index;
}

static int free_oldest(struct wal *wal)
{
	const struct segment_header oldest = wal->old.at[0].header;
	bool recycled = wal->ahead_count < WAL_RECYCLED_MAX && oldest.bytes == wal->settings.segment_bytes;
	int status = recycled ? segment_take(wal, oldest.number) : segment_remove(wal, oldest.number);
	if (status != 0)
		return status;
	wal->making = recycled ? MAKING_TAKEN : MAKING_NOTHING;
	wal->old.count--;
	memmove(wal->old.at, wal->old.at + 1, wal->old.count * sizeof *wal->old.at);
	return 0;
}

static int write_next(struct wal *wal)
{
	bool recycled = wal->making == MAKING_TAKEN;
	wal->making = MAKING_NOTHING;
	int status = segment_write(wal, wal->segment.header.number + wal->ahead_count + 1, recycled, &wal->made);
	if (status == -ENOSPC)
		wal->retry_ns = wal->env->ops->raw_ns(wal->env) + RETRY_NS;
	if (status != 0)
		return status;
	wal->making = MAKING_WRITTEN;
	return 0;
}

/* One step, whatever is next; `wanted`: also of a new segment. */
static int step(struct wal *wal, bool wanted)
{
	if (wal->making == MAKING_WRITTEN) {
		wal->making = MAKING_NOTHING;
		int status = segment_name_it(wal, &wal->made);
		if (status == 0)
			wal->ahead[wal->ahead_count++] = wal->made;
		return status;
	}
	if (wal->making == MAKING_TAKEN)
		return write_next(wal);
	if (oldest_is_free(wal))
		return free_oldest(wal);
	return wanted ? write_next(wal) : 0;
}

int ahead_step(struct wal *wal)
{
	bool wanted = !has_enough(wal) && wal->env->ops->raw_ns(wal->env) >= wal->retry_ns;
	int status = step(wal, wanted);
	return status == -ENOSPC ? 0 : status;
}

int ahead_make(struct wal *wal, bool urgent)
{
	urgent &= wal->ahead_count == 0;
	int status = 0;
	while (status == 0 && (urgent ? wal->ahead_count == 0 : !has_enough(wal) || wal->making != MAKING_NOTHING))
		status = step(wal, true);
	return status == -ENOSPC && !urgent ? 0 : status;
}

void ahead_advance(struct wal *wal)
{
	CHECK(wal->ahead_count > 0);
	CHECK(!wal->fill.in_flight);
	segment_close(wal, &wal->segment);
	wal->segment.end = wal->offset;
	segments_push(wal, &wal->old, &wal->segment);
	wal->segment = wal->ahead[0];
	wal->offset = WAL_BLOCK_BYTES;
	wal->ahead_count--;
	memmove(wal->ahead, wal->ahead + 1, wal->ahead_count * sizeof *wal->ahead);
	wal->fill.stopped = false;
}

/* ---- Zeros ---- */

static void fill_done(struct env_io *io, int status);

static void fill_piece(struct wal *wal)
{
	struct fill *fill = &wal->fill;
	struct segment *segment = &wal->ahead[0];
	uint64_t left = segment->header.bytes - segment->filled;
	uint64_t most = wal->settings.segment_bytes < FILL_PIECE_BYTES ? wal->settings.segment_bytes : FILL_PIECE_BYTES;
	if (fill->memory == NULL) {
		fill->zeros = wal_aligned(wal->mem, (size_t)most, &fill->memory);
		memset(fill->zeros, 0, (size_t)most);
	}
	fill->size = (size_t)(left < most ? left : most);
	fill->in_flight = true;
	fill->syncing = false;
	fill->io.done = fill_done;
	wal->env->ops->write_async(segment->file, fill->zeros, fill->size, segment->filled, &fill->io);
}

static void fill_done(struct env_io *io, int status)
{
	struct wal *wal = LIST_OF(io, struct wal, fill.io);
	struct fill *fill = &wal->fill;
	struct segment *segment = &wal->ahead[0];
	char name[SEGMENT_NAME_BYTES];
	segment_name(name, segment->header.number);
	/* The room was reserved; a file system that has none all the same may have it for the batches. */
	bool full = status == -ENOSPC || status == -EDQUOT;
	if (status != 0 && !full)
		env_fatal(wal->env, "the log segment %s/%s cannot be filled with zeros: %s", wal->dir, name,
			  strerror(-status));
	if (!full && !fill->syncing && !fill->stopped) {
		fill->syncing = true;
		wal->env->ops->sync_async(segment->file, io);
		return;
	}
	fill->in_flight = false;
	segment->filled = full ? segment->header.bytes : segment->filled + fill->size;
	fill->next_batch = wal->batches + fill->size / WAL_BLOCK_BYTES / FILL_PACE;
	if (fill->stopped || segment->filled == segment->header.bytes) {
		mem_free(wal->mem, fill->memory);
		fill->memory = NULL;
	}
}

void ahead_fill(struct wal *wal)
{
	const struct segment *next = &wal->ahead[0];
	if (!wal->fill.in_flight && wal->ahead_count > 0 && next->filled < next->header.bytes &&
	    wal->offset > wal->segment.header.bytes / FILL_AFTER && wal->batches >= wal->fill.next_batch)
		fill_piece(wal);
}

bool ahead_filling(struct wal *wal)
{
	wal->fill.stopped = wal->fill.in_flight;
	return wal->fill.in_flight;
}

void ahead_close(struct wal *wal)
{
	for (size_t i = 0; i < wal->ahead_count; i++)
		segment_close(wal, &wal->ahead[i]);
	if (wal->making == MAKING_WRITTEN)
		segment_close(wal, &wal->made);
	mem_free(wal->mem, wal->fill.memory);
	mem_free(wal->mem, wal->old.at);
}
