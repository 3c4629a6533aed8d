/*
 * The log's life: opened with a cut, then one batch in flight at a time.
 *
 * Invariants: a batch is issued only when the one before it is durable; `written` is what the batches issued lead to;
 * the segment after the current one is on the disk before the chain goes on in it. A failed write or sync ends the
 * node: what of it reached the disk is not known, and asking again would be answered wrongly.
 */
#include "wal/wal_internal.h"

#include "base/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void write_done(struct env_io *io, int status);

/* ---- Issue ---- */

static bool fits(const struct wal *wal, size_t size)
{
	return size <= wal->segment.header.bytes - wal->offset;
}

/* Fills in the header of a batch of `size` bytes and pads it; returns its bytes on disk. The chain goes on after it. */
static size_t seal_up(struct wal *wal, uint8_t *batch, size_t size, enum batch_kind kind, uint64_t commit)
{
	size_t whole = (size_t)wal_round_up(size, WAL_BLOCK_BYTES);
	CHECK_OP(whole, <=, wal->segment.header.bytes - wal->offset);
	memset(batch + size, 0, whole - size);
	wal->commit = commit > wal->commit ? commit : wal->commit;
	struct batch_header header = {.kind = (uint16_t)kind,
				      .sequence = wal->sequence + 1,
				      .epoch = wal->epoch,
				      .salt = wal->segment.header.salt,
				      .offset = wal->offset,
				      .body_bytes = (uint32_t)(size - BATCH_BODY_AT),
				      .previous_crc = wal->crc};
	batch_header_encode(batch, &header, wal->commit);
	wal->sequence = header.sequence;
	wal->crc = header.crc;
	wal->kind = header.kind;
	wal->offset += whole;
	return whole;
}

static void start_time(struct wal *wal)
{
	uint64_t now = wal->env->ops->raw_ns(wal->env);
	if (wal->started_ns == 0)
		wal->started_ns = now == 0 ? 1 : now;
}

static void count_sync(struct wal *wal)
{
	uint64_t took = wal->env->ops->raw_ns(wal->env) - wal->started_ns;
	wal->started_ns = 0;
	wal->syncs++;
	wal->sync_last_ns = took;
	wal->sync_total_ns += took;
	wal->sync_max_ns = took > wal->sync_max_ns ? took : wal->sync_max_ns;
}

static void issue(struct wal *wal, uint8_t *batch, size_t size, enum batch_kind kind, uint64_t commit)
{
	uint64_t offset = wal->offset;
	size_t whole = seal_up(wal, batch, size, kind, commit);
	wal->in_flight = true;
	wal->in_flight_put = kind == BATCH_NORMAL;
	start_time(wal);
	wal->io.done = write_done;
	wal->env->ops->write_sync(wal->segment.file, batch, whole, offset, &wal->io);
}

/* Puts the body of an OPEN or a CUT into the spare block; returns the size of the batch. */
static size_t state_batch(struct wal *wal)
{
	record_state_encode(wal->block + BATCH_BODY_AT, &wal->written);
	return BATCH_BODY_AT + RECORD_HEADER_BYTES + RECORD_STATE_BYTES;
}

static void see_ahead(struct wal *wal, bool urgent)
{
	int status = urgent ? ahead_make(wal, true) : ahead_step(wal);
	if (status == -ENOSPC)
		env_fatal(wal->env, "the disk is full, and so is the room that the log in %s had in reserve", wal->dir);
	if (status != 0)
		env_fatal(wal->env, "the log in %s cannot make its next segment: %s", wal->dir, strerror(-status));
}

static void open_next_segment(struct wal *wal)
{
	ahead_advance(wal);
	issue(wal, wal->block, state_batch(wal), BATCH_OPEN, wal->commit);
}

/* The batch is about to be issued in the current segment. */
static void take_over(struct wal *wal, const struct batch *batch)
{
	wal->written = batch->after;
	if (batch->has_base)
		wal->base_segment = wal->segment.header.number;
	if (batch->drops)
		segments_void(wal);
	if (batch->high > wal->segment.high)
		wal->segment.high = batch->high;
	wal->batches++;
}

void wal_flush(struct wal *wal)
{
	if (wal->in_flight)
		return;
	see_ahead(wal, false);
	struct region *flying = &wal->flying;
	if (flying->durable == flying->count) {
		if (wal->filling.count == 0) {
			ahead_fill(wal);
			return;
		}
		struct region cleared = *flying;
		*flying = wal->filling;
		wal->filling = cleared;
	}
	const struct batch *batch = &flying->batches[flying->durable];
	if (!fits(wal, (size_t)wal_round_up(batch->size, WAL_BLOCK_BYTES))) {
		if (ahead_filling(wal)) {
			start_time(wal); /* The piece is small; the turn after it goes on here. */
			return;
		}
		see_ahead(wal, true);
		open_next_segment(wal);
		return;
	}
	ahead_fill(wal);
	take_over(wal, batch);
	issue(wal, flying->bytes + batch->at, batch->size, BATCH_NORMAL, batch->commit);
}

void wal_seal(struct wal *wal)
{
	if (wal->in_flight || !wal_idle(wal) || wal->kind != BATCH_NORMAL)
		return;
	if (fits(wal, WAL_BLOCK_BYTES))
		issue(wal, wal->block, BATCH_BODY_AT, BATCH_SEAL, wal->commit_noted);
	else if (wal->ahead_count > 0 && !wal->fill.in_flight)
		open_next_segment(wal); /* Which proves the last batch as well. */
}

static void write_done(struct env_io *io, int status)
{
	struct wal *wal = LIST_OF(io, struct wal, io);
	if (status != 0) {
		char name[SEGMENT_NAME_BYTES];
		segment_name(name, wal->segment.header.number);
		env_fatal(wal->env, "the log segment %s/%s cannot be written, batch %" PRIu64 ": %s", wal->dir, name,
			  wal->sequence, strerror(-status));
	}
	wal->in_flight = false;
	count_sync(wal);
	if (!wal->in_flight_put)
		return;
	struct region *flying = &wal->flying;
	uint64_t ticket = flying->batches[flying->durable++].ticket;
	if (flying->durable == flying->count)
		region_clear(wal, flying);
	if (ticket != 0)
		wal->settings.durable(wal->settings.context, ticket);
}

/* ---- Questions ---- */

bool wal_idle(const struct wal *wal)
{
	return wal->flying.durable == wal->flying.count && wal->filling.count == 0;
}

uint64_t wal_pending_bytes(const struct wal *wal)
{
	return region_pending_bytes(&wal->flying) + region_pending_bytes(&wal->filling);
}

uint64_t wal_sync_started_ns(const struct wal *wal)
{
	return wal->started_ns;
}

uint64_t wal_room(struct wal *wal)
{
	/* A segment's worth stays for what cannot be refused; an eighth is for headers and padding. */
	uint64_t room = ahead_room(wal);
	uint64_t taken = wal_round_up(wal_pending_bytes(wal), WAL_BLOCK_BYTES) + wal->settings.segment_bytes;
	return room > taken ? (room - taken) / 8 * 7 : 0;
}

void wal_status(const struct wal *wal, struct wal_status *status)
{
	bool making = wal->making != MAKING_NOTHING;
	*status = (struct wal_status){
		.disk_bytes = wal->segment.header.bytes + (making ? wal->settings.segment_bytes : 0),
		.segments = 1 + wal->old.count + wal->ahead_count + making,
		.batches = wal->batches,
		.syncs = wal->syncs,
		.sync_last_ns = wal->sync_last_ns,
		.sync_mean_ns = wal->syncs == 0 ? 0 : wal->sync_total_ns / wal->syncs,
		.sync_max_ns = wal->sync_max_ns,
	};
	for (size_t i = 0; i < wal->old.count; i++)
		status->disk_bytes += wal->old.at[i].header.bytes;
	for (size_t i = 0; i < wal->ahead_count; i++)
		status->disk_bytes += wal->ahead[i].header.bytes;
}

/* ---- Open and close ---- */

/* Makes the directory and its own name durable; they may have been made by a process that did not live to do it. */
static int prepare_dir(struct wal *wal)
{
	const struct env_ops *ops = wal->env->ops;
	int status = ops->make_dir(wal->env, wal->dir);
	if (status != 0)
		return status;
	size_t length = strlen(wal->dir);
	char *parent = mem_alloc(wal->mem, length + 2);
	memcpy(parent, wal->dir, length + 1);
	while (length > 1 && parent[length - 1] == '/')
		parent[--length] = '\0';
	char *slash = strrchr(parent, '/');
	if (slash == NULL)
		strcpy(parent, ".");
	else
		slash[slash == parent ? 1 : 0] = '\0';
	status = ops->sync_dir(wal->env, parent);
	mem_free(wal->mem, parent);
	return status == 0 ? ops->sync_dir(wal->env, wal->dir) : status;
}

/* The first batch of this epoch: nothing else can ever follow what was recovered. */
static bool cut(struct wal *wal, char *error, size_t error_size)
{
	const struct env_ops *ops = wal->env->ops;
	int status = 0;
	if (!fits(wal, WAL_BLOCK_BYTES)) {
		status = ahead_make(wal, true);
		if (status == 0)
			ahead_advance(wal);
	}
	if (status == 0) {
		uint64_t offset = wal->offset;
		size_t whole = seal_up(wal, wal->block, state_batch(wal), BATCH_CUT, wal->commit);
		status = ops->write_at(wal->segment.file, wal->block, whole, offset);
	}
	if (status == 0)
		status = ops->sync(wal->segment.file);
	if (status == 0)
		status = ahead_make(wal, false);
	if (status != 0)
		snprintf(error, error_size, "the log in %s cannot be written: %s", wal->dir, strerror(-status));
	return status == 0;
}

static bool open_log(struct wal *wal, const struct wal_replay *replay, char *error, size_t error_size)
{
	int status = prepare_dir(wal);
	if (status != 0) {
		snprintf(error, error_size, "the log directory %s cannot be made: %s", wal->dir, strerror(-status));
		return false;
	}
	return wal_recover(wal, replay, error, error_size) && cut(wal, error, error_size);
}

struct wal *wal_open(struct env *env, const struct wal_settings *settings, const struct wal_replay *replay,
		     struct wal_state *state, char *error, size_t error_size)
{
	CHECK_OP(settings->segment_bytes % WAL_BLOCK_BYTES, ==, 0u);
	CHECK_OP(settings->segment_bytes, >=, SEGMENT_BYTES_MIN);
	CHECK_OP(settings->segment_bytes, <=, SEGMENT_BYTES_MAX);
	CHECK_OP(settings->batch_bytes_max, <=, wal_entry_bytes_max(settings->segment_bytes));
	struct wal *wal = mem_zero(env->mem, sizeof *wal);
	wal->env = env;
	wal->mem = env->mem;
	wal->settings = *settings;
	wal->dir = mem_alloc(wal->mem, strlen(settings->dir) + 1);
	strcpy(wal->dir, settings->dir);
	wal->settings.dir = wal->dir;
	wal->block = wal_aligned(wal->mem, WAL_BLOCK_BYTES, &wal->block_memory);
	if (!open_log(wal, replay, error, error_size)) {
		wal_close(wal);
		return NULL;
	}
	wal->put = wal->written;
	wal->commit_noted = wal->commit;
	*state = (struct wal_state){.has_base = wal->written.has_base,
				    .base_index = wal->written.base_index,
				    .base_term = wal->written.base_term,
				    .term = wal->written.term,
				    .vote = wal->written.vote,
				    .vote_incarnation = wal->written.vote_incarnation,
				    .last_index = wal->written.last_index,
				    .commit = wal->commit};
	return wal;
}

void wal_close(struct wal *wal)
{
	CHECK(!wal->in_flight);
	segment_close(wal, &wal->segment);
	ahead_close(wal);
	region_free(wal, &wal->filling);
	region_free(wal, &wal->flying);
	mem_free(wal->mem, wal->block_memory);
	mem_free(wal->mem, wal->dir);
	mem_free(wal->mem, wal);
}
