/*
 * Recovery: reads the chain of batches from the oldest segment to its end, in bounded pieces, and tells a torn tail
 * from corruption by the rules in format.h. Changes no batch; the cut that follows is wal.c's. What the batches say is
 * replay.c's.
 *
 * Refuses: whatever a crash cannot have left. Never repairs.
 */
#include "wal/recover.h"

#include "base/check.h"
#include "base/crc32c.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PIECE_BYTES_MAX ((uint64_t)1024 * 1024)

bool recovery_refuse(struct recovery *r, const char *format, ...)
{
	char name[SEGMENT_NAME_BYTES];
	segment_name(name, r->at.header.number);
	int used = snprintf(r->error, r->error_size, "the log segment %s/%s ", r->wal->dir, name);
	if (used < 0 || (size_t)used >= r->error_size)
		return false;
	va_list args;
	va_start(args, format);
	vsnprintf(r->error + used, r->error_size - (size_t)used, format, args);
	va_end(args);
	return false;
}

bool recovery_refuse_batch(struct recovery *r, const struct batch_header *batch, const char *what)
{
	return recovery_refuse(r,
			       "is damaged: the checksums of batch %" PRIu64 " at offset %" PRIu64 " are right, but %s",
			       batch->sequence, batch->offset, what);
}

const uint8_t *recovery_look(struct recovery *r, uint64_t offset, uint64_t size)
{
	const struct segment_header *header = &r->at.header;
	if (offset >= r->piece_at && offset + size <= r->piece_at + r->piece_size)
		return r->bytes + (offset - r->piece_at);
	uint64_t usual = header->bytes / 4 < PIECE_BYTES_MAX ? header->bytes / 4 : PIECE_BYTES_MAX;
	uint64_t left = header->bytes - offset;
	CHECK_OP(size, <=, left);
	uint64_t wanted = size > usual ? size : usual;
	if (wanted > left)
		wanted = left;
	if (wanted > r->room) {
		mem_free(r->wal->mem, r->memory);
		r->bytes = wal_aligned(r->wal->mem, (size_t)wanted, &r->memory);
		r->room = (size_t)wanted;
	}
	r->piece_size = 0;
	int64_t got = r->wal->env->ops->read_at(r->at.file, r->bytes, (size_t)wanted, offset);
	if (got < 0) {
		recovery_refuse(r, "cannot be read: %s", strerror((int)-got));
		return NULL;
	}
	memset(r->bytes + got, 0, (size_t)(wanted - (uint64_t)got));
	r->piece_at = offset;
	r->piece_size = wanted;
	return r->bytes;
}

/* ---- The chain ---- */

/* NULL, or which rule the whole batch of the next sequence breaks. */
static const char *judge(const struct recovery *r, const struct batch_header *batch)
{
	bool first = batch->offset == WAL_BLOCK_BYTES;
	bool opens = batch->kind == BATCH_OPEN || batch->kind == BATCH_CUT;
	if (!r->begins_late && batch->previous_crc != r->last.crc)
		return "it follows another batch than the one before it";
	if (r->begins_late)
		return opens ? NULL : "it cannot be the first one";
	if (batch->epoch < r->last.epoch || (batch->epoch > r->last.epoch) != (batch->kind == BATCH_CUT))
		return "its epoch does not follow from the one before it";
	if (batch->kind < BATCH_NORMAL || batch->kind > BATCH_OPEN)
		return "it is of a kind of a newer program";
	if ((first && !opens) || (!first && batch->kind == BATCH_OPEN))
		return "its kind does not fit its place";
	return NULL;
}

enum found { FOUND_VALID, FOUND_NOTHING, FOUND_BROKEN };

/* Looks for the next batch of the chain at `offset`, and replays it. */
static enum found next_batch(struct recovery *r, uint64_t offset)
{
	struct batch_header batch;
	const uint8_t *bytes = recovery_look(r, offset, WAL_BLOCK_BYTES);
	if (bytes == NULL)
		return FOUND_BROKEN;
	if (!batch_header_decode(bytes, &r->at.header, offset, &batch))
		return FOUND_NOTHING;
	if (batch.epoch > r->epoch_seen)
		r->epoch_seen = batch.epoch;
	if (!r->begins_late && batch.sequence != r->last.sequence + 1)
		return FOUND_NOTHING;
	bytes = recovery_look(r, offset, batch_bytes(&batch));
	if (bytes == NULL)
		return FOUND_BROKEN;
	if (crc32c(0, bytes + batch_body_at(&batch), batch.body_bytes) != batch.body_crc)
		return FOUND_NOTHING;
	const char *wrong = judge(r, &batch);
	if (wrong != NULL)
		recovery_refuse_batch(r, &batch, wrong);
	if (wrong != NULL || !replay_batch(r, &batch, bytes))
		return FOUND_BROKEN;
	r->last = batch;
	return FOUND_VALID;
}

/* From `offset` on no header may prove that the batch missing at (segment, place) was durable once. */
static bool scan(struct recovery *r, uint64_t offset, uint64_t segment, uint64_t place)
{
	for (; offset < r->at.header.bytes; offset += WAL_BLOCK_BYTES) {
		struct batch_header batch;
		const uint8_t *block = recovery_look(r, offset, WAL_BLOCK_BYTES);
		if (block == NULL)
			return false;
		if (!batch_header_decode(block, &r->at.header, offset, &batch))
			continue;
		if (batch.sequence > r->last.sequence + 1)
			return recovery_refuse(r,
					       "has batch %" PRIu64 " at offset %" PRIu64 ", but batch %" PRIu64
					       ", which should be at offset %" PRIu64 " of segment %016" PRIx64
					       ", is damaged: this is not a torn tail",
					       batch.sequence, offset, r->last.sequence + 1, place, segment);
	}
	return true;
}

/* ---- Segments ---- */

bool recovery_load(struct recovery *r, uint64_t number)
{
	const struct env_ops *ops = r->wal->env->ops;
	r->at = (struct segment){.header = {.number = number}};
	r->piece_size = 0;
	int status = segment_open(r->wal, number, ENV_OPEN_WRITE, &r->at.file);
	if (status != 0)
		return recovery_refuse(r, "cannot be opened: %s", strerror(-status));
	uint8_t block[SEGMENT_HEADER_BYTES];
	int64_t got = ops->read_at(r->at.file, block, sizeof block, 0);
	if (got < 0)
		return recovery_refuse(r, "cannot be read: %s", strerror((int)-got));
	if (got < SEGMENT_HEADER_BYTES)
		return recovery_refuse(r, "is damaged: it has %d bytes, less than a header", (int)got);
	struct segment_header header;
	enum segment_verdict verdict = segment_header_decode(block, &header);
	if (verdict == SEGMENT_VERSION)
		return recovery_refuse(r, "has format version %" PRIu32 "; this program knows version %d",
				       header.version, WAL_VERSION);
	if (verdict != SEGMENT_GOOD)
		return recovery_refuse(r, "is damaged: its header is not valid");
	if (header.number != number)
		return recovery_refuse(r, "has the header of segment %016" PRIx64 ": it was renamed or copied",
				       header.number);
	r->at.header = header;
	r->at.filled = header.recycled_bytes == header.bytes ? header.bytes : WAL_BLOCK_BYTES;
	if (header.epoch > r->epoch_seen)
		r->epoch_seen = header.epoch;
	return true;
}

/* The segment under way becomes the tail. */
static void take_tail(struct recovery *r, uint64_t offset)
{
	if (r->tail.file != NULL) {
		segment_close(r->wal, &r->tail);
		segments_push(r->wal, &r->wal->old, &r->tail);
	}
	r->tail = r->at;
	r->tail.end = r->tail_offset = offset;
}

/* Reads one segment. If no batch of the chain is in it, it is one made ahead. */
static bool walk(struct recovery *r)
{
	struct wal *wal = r->wal;
	uint64_t offset = WAL_BLOCK_BYTES;
	enum found found = FOUND_NOTHING;
	bool oldest = r->tail.file == NULL;
	/* The chain goes on in the next segment only: one without batches ends it. */
	while (wal->ahead_count == 0 && offset < r->at.header.bytes && (found = next_batch(r, offset)) == FOUND_VALID) {
		r->last_offset = offset;
		offset += batch_bytes(&r->last);
	}
	if (found == FOUND_BROKEN)
		return false;
	if (r->begins_late)
		return recovery_refuse(r,
				       "is the oldest, but holds no batch that the log can begin with: it is damaged, "
				       "or earlier ones are missing");
	if (oldest || offset > WAL_BLOCK_BYTES) {
		if (!scan(r, offset, r->at.header.number, offset))
			return false;
		take_tail(r, offset);
		r->at.file = NULL; /* The tail's now. */
		return true;
	}
	if (!scan(r, offset, r->tail.header.number, r->tail_offset))
		return false;
	if (wal->ahead_count == WAL_AHEAD_MAX)
		return recovery_refuse(r, "is empty, and so are %d before it: this program never makes so many",
				       WAL_AHEAD_MAX);
	wal->ahead[wal->ahead_count++] = r->at;
	r->at.file = NULL;
	return true;
}

static bool read_segments(struct recovery *r, const struct segment_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		uint64_t expected = i == 0 ? list->numbers[0] : list->numbers[i - 1] + 1;
		r->at = (struct segment){.header = {.number = expected}};
		if (list->numbers[i] != expected)
			return recovery_refuse(r, "is missing, and later ones are there");
		if (!recovery_load(r, list->numbers[i]))
			return false;
		r->begins_late = i == 0 && expected > 1;
		if (!walk(r))
			return false;
	}
	r->at.header.number = list->numbers[0];
	return replay_complete(r) && replay_hand_over(r);
}

/* ---- The tail ---- */

/*
 * The last batch may have been read from memory of the system without being on the disk: after a kill, or after a
 * failed sync, which may have marked it clean. It is written again, as it is, so that the next sync means something.
 */
static bool write_last_again(struct recovery *r)
{
	const struct env_ops *ops = r->wal->env->ops;
	int status = 0;
	r->at = r->tail;
	r->piece_size = 0;
	const uint8_t *bytes = NULL;
	size_t size = r->last.sequence > 0 ? (size_t)batch_bytes(&r->last) : 0;
	if (size > 0)
		bytes = recovery_look(r, r->last_offset, size);
	r->at.file = NULL; /* It stays the tail's. */
	if (size > 0 && bytes == NULL)
		return false;
	if (size > 0)
		status = ops->write_at(r->tail.file, bytes, size, r->last_offset);
	if (status == 0)
		status = ops->allocate(r->tail.file, r->tail.header.bytes);
	if (status == 0)
		status = ops->sync(r->tail.file);
	return status == 0 || recovery_refuse(r, "cannot be written: %s", strerror(-status));
}

/* Segments made ahead are kept if they are as this program would make them; else they go, the last one first. */
static bool keep_ahead(struct recovery *r)
{
	struct wal *wal = r->wal;
	size_t keep = 0;
	while (keep < wal->ahead_count && wal->ahead[keep].header.bytes == wal->settings.segment_bytes)
		keep++;
	for (; wal->ahead_count > keep; wal->ahead_count--) {
		r->at.header = wal->ahead[wal->ahead_count - 1].header;
		segment_close(wal, &wal->ahead[wal->ahead_count - 1]);
		int status = segment_remove(wal, r->at.header.number);
		if (status != 0)
			return recovery_refuse(r, "cannot be removed: %s", strerror(-status));
	}
	for (size_t i = 0; i < keep; i++) {
		r->at.header = wal->ahead[i].header;
		int status = wal->env->ops->allocate(wal->ahead[i].file, r->at.header.bytes);
		if (status != 0)
			return recovery_refuse(r, "cannot be given its room: %s", strerror(-status));
	}
	return true;
}

static bool make_first(struct recovery *r)
{
	struct wal *wal = r->wal;
	wal->epoch = 1;
	r->at.header.number = 1;
	int status = segment_write(wal, 1, false, &r->tail);
	if (status == 0)
		status = segment_name_it(wal, &r->tail);
	r->tail_offset = WAL_BLOCK_BYTES;
	return status == 0 || recovery_refuse(r, "cannot be made: %s", strerror(-status));
}

bool wal_recover(struct wal *wal, const struct wal_replay *replay, char *error, size_t error_size)
{
	struct recovery r = {.wal = wal, .replay = replay, .error = error, .error_size = error_size};
	struct segment_list list = {0};
	int status = segment_list_read(wal, &list);
	bool good = status == 0;
	if (!good)
		snprintf(error, error_size, "the log directory %s cannot be read: %s", wal->dir, strerror(-status));
	else if (list.count == 0)
		good = make_first(&r);
	else
		good = read_segments(&r, &list) && write_last_again(&r) && keep_ahead(&r);
	segment_close(wal, &r.at);
	mem_free(wal->mem, list.numbers);
	mem_free(wal->mem, r.memory);
	mem_free(wal->mem, r.config);
	wal->segment = r.tail;
	wal->offset = r.tail_offset;
	wal->sequence = r.last.sequence;
	wal->crc = r.last.crc;
	wal->kind = r.last.kind;
	wal->epoch = r.epoch_seen + 1;
	wal->written = r.group;
	if (wal->commit < r.group.base_index)
		wal->commit = r.group.base_index;
	return good;
}
