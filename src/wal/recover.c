/*
 * Recovery: reads the chain of batches from the oldest segment to its end, hands over what it says, and tells a torn
 * tail from corruption by the rules in format.h. Changes no batch; the cut that follows is wal.c's.
 *
 * Refuses: whatever a crash cannot have left. Never repairs.
 */
#include "wal/wal_internal.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/entry.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct recovery {
	struct wal *wal;
	const struct wal_replay *replay;
	char *error;
	size_t error_size;

	struct segment at; /* The segment under way. */
	void *memory;
	uint8_t *bytes; /* All of it; zeros beyond the end of the file. */
	uint64_t room;

	struct batch_header last;  /* The last valid batch; sequence 0: none. */
	struct wal_group group;	   /* What the batches so far lead to. */
	uint64_t epoch_seen;
	struct segment tail;	   /* Where the chain ends, ... */
	uint64_t tail_offset;	   /* ... and where the next batch goes. */
	uint64_t last_offset;	   /* The last valid batch, in the tail. */
};

__attribute__((format(printf, 2, 3))) static bool refuse(struct recovery *r, const char *format, ...)
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

/* ---- Records ---- */

static bool refuse_record(struct recovery *r, const struct batch_header *batch, const char *what)
{
	return refuse(r, "is damaged: the checksums of batch %" PRIu64 " at offset %" PRIu64 " are right, but %s",
		      batch->sequence, batch->offset, what);
}

static const char *replay_base(struct recovery *r, struct reader content)
{
	uint64_t index = read_u64(&content);
	uint64_t term = read_u64(&content);
	if (content.failed)
		return "its base is too short";
	r->group.has_base = true;
	r->group.base_index = index;
	r->group.base_term = term;
	r->group.last_index = index;
	r->replay->base(r->replay->context, index, term, content.at, reader_left(&content));
	return NULL;
}

static const char *replay_entries(struct recovery *r, struct reader content)
{
	if (!r->group.has_base)
		return "entries come before the log's base";
	while (reader_left(&content) > 0) {
		struct entry entry;
		size_t size = entry_decode(content.at, reader_left(&content), &entry);
		if (size == 0)
			return "an entry does not match its checksum";
		if (entry.group != 0)
			return "an entry belongs to a group of a newer program";
		if (entry.index <= r->group.base_index || entry.index > r->group.last_index + 1)
			return "the index of an entry does not follow from what came before";
		r->group.last_index = entry.index;
		r->replay->entry(r->replay->context, entry.index, entry.term, content.at, size);
		read_bytes(&content, size);
	}
	return NULL;
}

/* What an OPEN or a CUT says about the batches before it must be what was read. */
static const char *check_state(const struct recovery *r, const struct record_header *header, struct reader content)
{
	struct wal_group said = {.has_base = header->flags == RECORD_STATE_HAS_BASE};
	said.term = read_u64(&content);
	said.vote = read_u64(&content);
	said.base_index = read_u64(&content);
	said.base_term = read_u64(&content);
	said.last_index = read_u64(&content);
	if (content.failed || reader_left(&content) > 0)
		return "its state has another size";
	const struct wal_group *is = &r->group;
	if (said.has_base != is->has_base || said.term != is->term || said.vote != is->vote ||
	    said.base_index != is->base_index || said.base_term != is->base_term || said.last_index != is->last_index)
		return "its state is not what the batches before it lead to";
	return NULL;
}

static const char *replay_hard(struct recovery *r, struct reader content)
{
	r->group.term = read_u64(&content);
	r->group.vote = read_u64(&content);
	return content.failed || reader_left(&content) > 0 ? "its hard state has another size" : NULL;
}

/* NULL, or what is wrong. */
static const char *replay_record(struct recovery *r, const struct record_header *header, struct reader content)
{
	if (header->group != 0)
		return "a record belongs to a group of a newer program";
	if (header->flags != 0 && (header->kind != RECORD_STATE || header->flags != RECORD_STATE_HAS_BASE))
		return "a record has a flag of a newer program";
	switch (header->kind) {
	case RECORD_HARD:
		return replay_hard(r, content);
	case RECORD_ENTRIES:
		return replay_entries(r, content);
	case RECORD_BASE:
		return replay_base(r, content);
	case RECORD_STATE:
		return check_state(r, header, content);
	default:
		return "a record has a kind of a newer program";
	}
}

static bool replay_batch(struct recovery *r, const struct batch_header *batch)
{
	struct wal *wal = r->wal;
	const uint8_t *commits = r->bytes + batch->offset + BATCH_COMMITS_AT;
	struct reader body = reader_over(r->bytes + batch->offset + batch_body_at(batch), batch->body_bytes);
	const char *wrong = NULL;
	while (reader_left(&body) > 0 && wrong == NULL) {
		struct record_header header = {.kind = read_u16(&body), .flags = read_u16(&body)};
		header.group = read_u32(&body);
		header.length = read_u32(&body);
		read_u32(&body);
		const uint8_t *content = read_bytes(&body, header.length);
		read_bytes(&body, (8 - header.length % 8) % 8);
		if (body.failed)
			wrong = "a record is cut short";
		else
			wrong = replay_record(r, &header, reader_over(content, header.length));
	}
	if (wrong != NULL)
		return refuse_record(r, batch, wrong);
	for (uint16_t i = 0; i < batch->commit_count; i++) {
		const uint8_t *at = commits + (size_t)i * BATCH_COMMIT_BYTES;
		if (get_le32(at) != 0)
			return refuse_record(r, batch, "it belongs to a group of a newer program");
		uint64_t commit = get_le64(at + 8);
		if (commit > r->group.last_index)
			return refuse_record(r, batch, "it names a commit that the log does not reach");
		if (commit > wal->commit)
			wal->commit = commit;
	}
	return true;
}

/* ---- The chain ---- */

/* NULL, or which rule the whole batch of the next sequence breaks. */
static const char *judge(const struct recovery *r, const struct batch_header *batch)
{
	bool first = batch->offset == WAL_BLOCK_BYTES;
	bool opens = batch->kind == BATCH_OPEN || batch->kind == BATCH_CUT;
	if (batch->previous_crc != r->last.crc)
		return "it follows another batch than the one before it";
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
	if (!batch_header_decode(r->bytes, &r->at.header, offset, &batch))
		return FOUND_NOTHING;
	if (batch.epoch > r->epoch_seen)
		r->epoch_seen = batch.epoch;
	if (batch.sequence != r->last.sequence + 1)
		return FOUND_NOTHING;
	if (crc32c(0, r->bytes + offset + batch_body_at(&batch), batch.body_bytes) != batch.body_crc)
		return FOUND_NOTHING;
	const char *wrong = judge(r, &batch);
	if (wrong != NULL)
		refuse_record(r, &batch, wrong);
	if (wrong != NULL || !replay_batch(r, &batch))
		return FOUND_BROKEN;
	r->last = batch;
	return FOUND_VALID;
}

/* From `offset` on no header may prove that the batch missing at (segment, place) was durable once. */
static bool scan(struct recovery *r, uint64_t offset, uint64_t segment, uint64_t place)
{
	for (; offset < r->at.header.bytes; offset += WAL_BLOCK_BYTES) {
		struct batch_header batch;
		if (!batch_header_decode(r->bytes, &r->at.header, offset, &batch))
			continue;
		if (batch.sequence > r->last.sequence + 1)
			return refuse(r,
				      "has batch %" PRIu64 " at offset %" PRIu64 ", but batch %" PRIu64
				      ", which should be at offset %" PRIu64 " of segment %016" PRIx64
				      ", is damaged: this is not a torn tail",
				      batch.sequence, offset, r->last.sequence + 1, place, segment);
	}
	return true;
}

/* ---- Segments ---- */

static bool load(struct recovery *r, uint64_t number)
{
	const struct env_ops *ops = r->wal->env->ops;
	r->at = (struct segment){.header = {.number = number}};
	int status = segment_open(r->wal, number, ENV_OPEN_WRITE, &r->at.file);
	if (status != 0)
		return refuse(r, "cannot be opened: %s", strerror(-status));
	uint8_t block[SEGMENT_HEADER_BYTES];
	int64_t got = ops->read_at(r->at.file, block, sizeof block, 0);
	if (got < 0)
		return refuse(r, "cannot be read: %s", strerror((int)-got));
	if (got < SEGMENT_HEADER_BYTES)
		return refuse(r, "is damaged: it has %d bytes, less than a header", (int)got);
	struct segment_header header;
	enum segment_verdict verdict = segment_header_decode(block, &header);
	if (verdict == SEGMENT_VERSION)
		return refuse(r, "has format version %" PRIu32 "; this program knows version %d", header.version,
			      WAL_VERSION);
	if (verdict != SEGMENT_GOOD)
		return refuse(r, "is damaged: its header is not valid");
	if (header.number != number)
		return refuse(r, "has the header of segment %016" PRIx64 ": it was renamed or copied", header.number);
	r->at.header = header;
	if (header.epoch > r->epoch_seen)
		r->epoch_seen = header.epoch;
	if (header.bytes > r->room) {
		mem_free(r->wal->mem, r->memory);
		r->bytes = wal_aligned(r->wal->mem, header.bytes, &r->memory);
		r->room = header.bytes;
	}
	got = ops->read_at(r->at.file, r->bytes, header.bytes, 0);
	if (got < 0)
		return refuse(r, "cannot be read: %s", strerror((int)-got));
	memset(r->bytes + got, 0, header.bytes - (uint64_t)got);
	return true;
}

/* The segment under way becomes the tail. */
static void take_tail(struct recovery *r, uint64_t offset)
{
	if (r->tail.file != r->at.file)
		segment_close(r->wal, &r->tail);
	r->tail = r->at;
	r->tail_offset = offset;
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
	if (oldest || offset > WAL_BLOCK_BYTES) {
		take_tail(r, offset);
		r->at.file = NULL; /* The tail's now. */
		return scan(r, offset, r->tail.header.number, offset);
	}
	if (!scan(r, offset, r->tail.header.number, r->tail_offset))
		return false;
	if (wal->ahead_count == WAL_AHEAD_MAX)
		return refuse(r, "is empty, and so are %d before it: this program never makes so many", WAL_AHEAD_MAX);
	wal->ahead[wal->ahead_count++] = r->at;
	r->at.file = NULL;
	return true;
}

static bool read_segments(struct recovery *r, const struct segment_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		uint64_t expected = i == 0 ? 1 : list->numbers[i - 1] + 1;
		r->at = (struct segment){.header = {.number = expected}};
		if (list->numbers[i] != expected)
			return refuse(r, "is missing, and later ones are there");
		if (!load(r, list->numbers[i]) || !walk(r))
			return false;
	}
	return true;
}

/* ---- The tail ---- */

/*
 * The last batch may have been read from memory of the system without being on the disk: after a kill, or after a failed
 * sync, which may have marked it clean. It is written again, as it is, so that the next sync means something.
 */
static bool write_last_again(struct recovery *r)
{
	const struct env_ops *ops = r->wal->env->ops;
	r->at.header = r->tail.header;
	int status = 0;
	if (r->last.sequence > 0) {
		size_t size = (size_t)batch_bytes(&r->last);
		int64_t got = ops->read_at(r->tail.file, r->bytes, size, r->last_offset);
		status = got < 0 ? (int)got : 0;
		if (status == 0)
			status = ops->write_at(r->tail.file, r->bytes, (size_t)got, r->last_offset);
	}
	if (status == 0)
		status = ops->allocate(r->tail.file, r->tail.header.bytes);
	if (status == 0)
		status = ops->sync(r->tail.file);
	return status == 0 || refuse(r, "cannot be written: %s", strerror(-status));
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
			return refuse(r, "cannot be removed: %s", strerror(-status));
	}
	for (size_t i = 0; i < keep; i++) {
		r->at.header = wal->ahead[i].header;
		int status = wal->env->ops->allocate(wal->ahead[i].file, r->at.header.bytes);
		if (status != 0)
			return refuse(r, "cannot be given its room: %s", strerror(-status));
	}
	return true;
}

static bool make_first(struct recovery *r)
{
	struct wal *wal = r->wal;
	wal->epoch = 1;
	r->at.header.number = 1;
	int status = segment_make(wal, 1, &r->tail);
	r->tail_offset = WAL_BLOCK_BYTES;
	return status == 0 || refuse(r, "cannot be made: %s", strerror(-status));
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
