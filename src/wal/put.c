/*
 * What is put, laid out in memory as it will stand on disk: one copy, here. Headers of batches are filled in when a
 * batch is issued, since only then its place is known.
 *
 * Invariant: the commit of a batch is one that was noted when all that it rests on was in this batch or in earlier
 * ones. A commit noted later may be of entries that replace, in a later batch, what this one still has.
 */
#include "wal/wal_internal.h"

#include "base/bytes.h"
#include "base/entry.h"

#include <inttypes.h>
#include <string.h>

#define REGION_BYTES_MIN ((size_t)16 * 1024)

void region_free(struct wal *wal, struct region *region)
{
	mem_free(wal->mem, region->memory);
	mem_free(wal->mem, region->batches);
	memset(region, 0, sizeof *region);
}

void region_clear(struct wal *wal, struct region *region)
{
	/* Twice what is usual may stay; one large entry must not. */
	if (region->room > REGION_BYTES_MIN && region->room / 4 > wal->settings.batch_bytes_max)
		region_free(wal, region);
	region->used = 0;
	region->count = 0;
	region->durable = 0;
}

uint64_t region_pending_bytes(const struct region *region)
{
	return region->durable == region->count ? 0 : region->used - region->batches[region->durable].at;
}

/* Room for `size` bytes in all; what is there may move. */
static void region_reserve(struct wal *wal, struct region *region, size_t size)
{
	if (size <= region->room)
		return;
	size_t room = region->room * 2 > size ? region->room * 2 : size;
	if (room < REGION_BYTES_MIN)
		room = REGION_BYTES_MIN;
	void *memory;
	uint8_t *bytes = wal_aligned(wal->mem, room, &memory);
	if (region->used > 0)
		memcpy(bytes, region->bytes, region->used);
	mem_free(wal->mem, region->memory);
	region->memory = memory;
	region->bytes = bytes;
	region->room = room;
}

static struct batch *last_batch(struct region *region)
{
	return &region->batches[region->count - 1];
}

static struct batch *begin_batch(struct wal *wal)
{
	struct region *region = &wal->filling;
	if (region->count == region->batches_room) {
		region->batches_room = region->batches_room == 0 ? 16 : 2 * region->batches_room;
		region->batches = mem_resize(wal->mem, region->batches, region->batches_room * sizeof *region->batches);
	}
	struct batch *batch = &region->batches[region->count++];
	*batch = (struct batch){.at = (size_t)wal_round_up(region->used, WAL_BLOCK_BYTES),
				.size = BATCH_BODY_AT,
				.commit = wal->commit_noted,
				.after = wal->put};
	region_reserve(wal, region, batch->at + BATCH_BODY_AT);
	region->used = batch->at + BATCH_BODY_AT;
	return batch;
}

/* The batch for a record of `size` bytes, with its header. */
static struct batch *batch_for(struct wal *wal, size_t size)
{
	struct region *region = &wal->filling;
	if (region->count == 0)
		return begin_batch(wal);
	struct batch *batch = last_batch(region);
	bool full = batch->size > BATCH_BODY_AT && batch->size + size > wal->settings.batch_bytes_max;
	return full ? begin_batch(wal) : batch;
}

/* Adds a record with room for its content, padded with zeros; returns where the content goes. */
static uint8_t *add_record(struct wal *wal, enum record_kind kind, uint16_t flags, size_t length)
{
	size_t size = RECORD_HEADER_BYTES + (size_t)wal_round_up(length, 8);
	struct region *region = &wal->filling;
	struct batch *batch = batch_for(wal, size);
	/* Whole blocks, so that the padding of the last batch has room too. */
	region_reserve(wal, region, (size_t)wal_round_up(region->used + size, WAL_BLOCK_BYTES));
	uint8_t *at = region->bytes + region->used;
	record_header_encode(
		at, &(struct record_header){.kind = (uint16_t)kind, .flags = flags, .length = (uint32_t)length});
	if (size > RECORD_HEADER_BYTES + length)
		memset(at + RECORD_HEADER_BYTES + length, 0, size - RECORD_HEADER_BYTES - length);
	region->used += size;
	batch->size += size;
	return at + RECORD_HEADER_BYTES;
}

static void put_done(struct wal *wal)
{
	last_batch(&wal->filling)->after = wal->put;
}

void wal_put_hard(struct wal *wal, uint32_t group, uint64_t term, uint64_t vote, uint64_t vote_incarnation)
{
	CHECK_OP(group, ==, 0u);
	CHECK_OP(term, >=, wal->put.term);
	uint8_t *at = add_record(wal, RECORD_HARD, 0, RECORD_HARD_BYTES);
	put_le64(at, term);
	put_le64(at + 8, vote);
	put_le64(at + 16, vote_incarnation);
	wal->put.term = term;
	wal->put.vote = vote;
	wal->put.vote_incarnation = vote_incarnation;
	put_done(wal);
}

void wal_put_base(struct wal *wal, uint32_t group, uint64_t index, uint64_t term, const uint8_t *config,
		  size_t config_size, bool keep)
{
	CHECK_OP(group, ==, 0u);
	CHECK_OP(config_size, <=, WAL_CONFIG_BYTES_MAX);
	if (keep) {
		CHECK(wal->put.has_base);
		CHECK_OP(index, >=, wal->put.base_index);
		CHECK_OP(index, <=, wal->put.last_index);
	} else {
		CHECK_OP(index, >=, wal->commit_noted);
	}
	uint8_t *at = add_record(wal, RECORD_BASE, keep ? RECORD_BASE_KEEPS : 0, 16 + config_size);
	put_le64(at, index);
	put_le64(at + 8, term);
	if (config_size > 0)
		memcpy(at + 16, config, config_size);
	wal->put.has_base = true;
	wal->put.base_index = index;
	wal->put.base_term = term;
	if (!keep)
		wal->put.last_index = index;
	struct batch *batch = last_batch(&wal->filling);
	batch->has_base = true;
	batch->drops |= !keep;
	batch->high = keep ? batch->high : 0;
	put_done(wal);
}

/* The encoded size of the entry at `at`, which is to have this index; `left` bytes are there. */
static size_t size_of_entry(struct wal *wal, const uint8_t *at, size_t left, uint64_t index)
{
	CHECK_OP(left, >=, (size_t)ENTRY_HEADER_BYTES);
	size_t size = entry_bytes(get_le32(at + 4));
	CHECK_OP(size, <=, left);
	CHECK_OP(get_le64(at + 8), ==, index);
	CHECK_OP(get_le32(at + 32), ==, 0u);
	if (size > wal_entry_bytes_max(wal->settings.segment_bytes))
		env_fatal(wal->env,
			  "entry %" PRIu64 " of %zu bytes is too large for the segments of %" PRIu64 " bytes in %s",
			  index, size, wal->settings.segment_bytes, wal->dir);
	return size;
}

void wal_put_entries(struct wal *wal, const uint8_t *entries, size_t size)
{
	if (size == 0)
		return;
	CHECK_OP(size, >=, (size_t)ENTRY_HEADER_BYTES);
	CHECK(wal->put.has_base);
	uint64_t index = get_le64(entries + 8);
	CHECK_OP(index, >, wal->put.base_index);
	CHECK_OP(index, <=, wal->put.last_index + 1);
	const uint8_t *end = entries + size;
	size_t next = size_of_entry(wal, entries, size, index);
	while (entries < end) {
		/* As many as the batch takes, at least one, become one record. */
		const struct batch *batch = batch_for(wal, RECORD_HEADER_BYTES + next);
		size_t used = batch->size + RECORD_HEADER_BYTES;
		size_t length = 0;
		do {
			length += next;
			wal->put.last_index = index++;
			size_t left = (size_t)(end - entries) - length;
			next = left == 0 ? 0 : size_of_entry(wal, entries + length, left, index);
		} while (next > 0 && used + length + next <= wal->settings.batch_bytes_max);
		memcpy(add_record(wal, RECORD_ENTRIES, 0, length), entries, length);
		struct batch *filled = last_batch(&wal->filling);
		filled->high = wal->put.last_index > filled->high ? wal->put.last_index : filled->high;
		put_done(wal);
		entries += length;
	}
}

void wal_put_ticket(struct wal *wal, uint64_t ticket)
{
	CHECK(wal->filling.count > 0);
	last_batch(&wal->filling)->ticket = ticket;
}

void wal_note_commit(struct wal *wal, uint32_t group, uint64_t commit)
{
	CHECK_OP(group, ==, 0u);
	CHECK_OP(commit, <=, wal->put.last_index);
	if (commit <= wal->commit_noted)
		return;
	wal->commit_noted = commit;
	if (wal->filling.count > 0)
		last_batch(&wal->filling)->commit = commit;
}
