/*
 * What the batches of the chain say. In the first reading each record is judged by what came before it; in the second
 * the base is handed over, and then the entries above it, which were judged already.
 *
 * When earlier segments are gone, entries of the first reading may have none before them: that is a gap only if the
 * base turns out to be below it.
 */
#include "wal/recover.h"

#include "base/bytes.h"
#include "base/entry.h"

#include <inttypes.h>
#include <string.h>

/* The records of a batch. */
struct records {
	struct reader body;
	struct record_header header;
	struct reader content;
};

static struct records records_of(const struct batch_header *batch, const uint8_t *bytes)
{
	return (struct records){.body = reader_over(bytes + batch_body_at(batch), batch->body_bytes)};
}

/* False: there are no more; or the last one is cut short, which stands in body.failed. */
static bool next_record(struct records *records)
{
	struct reader *body = &records->body;
	if (reader_left(body) == 0 || body->failed)
		return false;
	struct record_header *header = &records->header;
	header->kind = read_u16(body);
	header->flags = read_u16(body);
	header->group = read_u32(body);
	header->length = read_u32(body);
	read_u32(body);
	const uint8_t *content = read_bytes(body, header->length);
	read_bytes(body, (8 - header->length % 8) % 8);
	if (body->failed)
		return false;
	records->content = reader_over(content, header->length);
	return true;
}

/* ---- First reading ---- */

static void keep_config(struct recovery *r, const struct reader *content)
{
	struct mem *mem = r->wal->mem;
	mem_free(mem, r->config);
	r->config_size = reader_left(content);
	r->config = mem_alloc(mem, r->config_size);
	if (r->config_size > 0)
		memcpy(r->config, content->at, r->config_size);
	r->base_read = true;
}

static const char *replay_base(struct recovery *r, const struct record_header *header, struct reader content)
{
	struct wal_group *group = &r->group;
	uint64_t index = read_u64(&content);
	uint64_t term = read_u64(&content);
	if (content.failed)
		return "its base is too short";
	bool keeps = header->flags == RECORD_BASE_KEEPS;
	if (keeps && (!group->has_base || index < group->base_index || index > group->last_index))
		return "its base is not within the log";
	if (!keeps) {
		segments_void(r->wal);
		r->tail.high = r->at.high = 0;
		r->first = index + 1;
		group->last_index = index;
	}
	group->has_base = true;
	group->base_index = index;
	group->base_term = term;
	r->wal->base_segment = r->at.header.number;
	keep_config(r, &content);
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
		r->first = entry.index < r->first ? entry.index : r->first;
		r->at.high = entry.index > r->at.high ? entry.index : r->at.high;
		read_bytes(&content, size);
	}
	return NULL;
}

/* What an OPEN or a CUT says about the batches before it must be what was read, or stands for it. */
static const char *replay_state(struct recovery *r, const struct record_header *header, struct reader content)
{
	struct wal_group said = {.has_base = header->flags == RECORD_STATE_HAS_BASE};
	said.term = read_u64(&content);
	said.vote = read_u64(&content);
	said.vote_incarnation = read_u64(&content);
	said.base_index = read_u64(&content);
	said.base_term = read_u64(&content);
	said.last_index = read_u64(&content);
	if (content.failed || reader_left(&content) > 0)
		return "its state has another size";
	if (said.has_base ? said.base_index > said.last_index
			  : said.base_index > 0 || said.base_term > 0 || said.last_index > 0)
		return "its state contradicts itself";
	struct wal_group *is = &r->group;
	if (r->begins_late) {
		*is = said;
		r->first = said.last_index + 1;
		r->begins_late = false;
	}
	if (said.has_base != is->has_base || said.term != is->term || said.vote != is->vote ||
	    said.vote_incarnation != is->vote_incarnation || said.base_index != is->base_index ||
	    said.base_term != is->base_term || said.last_index != is->last_index)
		return "its state is not what the batches before it lead to";
	return NULL;
}

static const char *replay_hard(struct recovery *r, struct reader content)
{
	r->group.term = read_u64(&content);
	r->group.vote = read_u64(&content);
	r->group.vote_incarnation = read_u64(&content);
	return content.failed || reader_left(&content) > 0 ? "its hard state has another size" : NULL;
}

/* NULL, or what is wrong. */
static const char *replay_record(struct recovery *r, const struct record_header *header, struct reader content)
{
	uint16_t known = 0;
	if (header->kind == RECORD_STATE)
		known = RECORD_STATE_HAS_BASE;
	if (header->kind == RECORD_BASE)
		known = RECORD_BASE_KEEPS;
	if (header->group != 0)
		return "a record belongs to a group of a newer program";
	if ((header->flags & ~known) != 0)
		return "a record has a flag of a newer program";
	switch (header->kind) {
	case RECORD_HARD:
		return replay_hard(r, content);
	case RECORD_ENTRIES:
		return replay_entries(r, content);
	case RECORD_BASE:
		return replay_base(r, header, content);
	case RECORD_STATE:
		return replay_state(r, header, content);
	default:
		return "a record has a kind of a newer program";
	}
}

bool replay_batch(struct recovery *r, const struct batch_header *batch, const uint8_t *bytes)
{
	struct wal *wal = r->wal;
	struct records records = records_of(batch, bytes);
	const char *wrong = NULL;
	bool stated = batch->kind == BATCH_NORMAL || batch->kind == BATCH_SEAL;
	while (wrong == NULL && next_record(&records)) {
		wrong = replay_record(r, &records.header, records.content);
		stated |= records.header.kind == RECORD_STATE;
	}
	if (wrong == NULL && records.body.failed)
		wrong = "a record is cut short";
	if (wrong == NULL && !stated)
		wrong = "it does not say what the ones before it led to";
	if (wrong != NULL)
		return recovery_refuse_batch(r, batch, wrong);
	for (uint16_t i = 0; i < batch->commit_count; i++) {
		const uint8_t *at = bytes + BATCH_COMMITS_AT + (size_t)i * BATCH_COMMIT_BYTES;
		if (get_le32(at) != 0)
			return recovery_refuse_batch(r, batch, "it belongs to a group of a newer program");
		uint64_t commit = get_le64(at + 8);
		if (commit > r->group.last_index)
			return recovery_refuse_batch(r, batch, "it names a commit that the log does not reach");
		if (commit > wal->commit)
			wal->commit = commit;
	}
	if (wal->commit > r->group.last_index)
		return recovery_refuse_batch(r, batch, "it takes back what earlier ones know to be committed");
	return true;
}

bool replay_complete(struct recovery *r)
{
	const struct wal_group *group = &r->group;
	if (group->has_base && !r->base_read)
		return recovery_refuse(
			r, "is the oldest, but the base of the log was in an earlier one, which is missing");
	if (group->has_base && group->base_index + 1 < r->first)
		return recovery_refuse(r,
				       "is the oldest, but the entries %" PRIu64 " to %" PRIu64
				       " were in an earlier one, which is missing",
				       group->base_index + 1, r->first - 1);
	return true;
}

/* ---- Second reading ---- */

static void hand_over_base(struct recovery *r)
{
	r->replay->base(r->replay->context, r->group.base_index, r->group.base_term, r->config, r->config_size);
	r->handed_over = r->group.base_index;
}

static bool hand_over_entries(struct recovery *r, struct reader content)
{
	while (reader_left(&content) > 0) {
		struct entry entry;
		size_t size = entry_decode(content.at, reader_left(&content), &entry);
		if (size == 0)
			return false;
		bool above = entry.index > r->group.base_index;
		if (!above && r->handed_over > r->group.base_index)
			hand_over_base(r); /* It replaced all that was above the base. */
		/* One without those before it: they are gone with an old segment, as a base voided them all later. */
		if (above && entry.index <= r->handed_over + 1) {
			r->replay->entry(r->replay->context, entry.index, entry.term, content.at, size);
			r->handed_over = entry.index;
		}
		read_bytes(&content, size);
	}
	return true;
}

static bool hand_over_batch(struct recovery *r, const struct batch_header *batch, const uint8_t *bytes)
{
	struct records records = records_of(batch, bytes);
	bool good = true;
	while (good && next_record(&records)) {
		const struct record_header *header = &records.header;
		if (header->kind == RECORD_ENTRIES)
			good = hand_over_entries(r, records.content);
		else if (header->kind == RECORD_BASE && header->flags != RECORD_BASE_KEEPS &&
			 r->handed_over > r->group.base_index)
			hand_over_base(r);
	}
	return good && !records.body.failed;
}

static bool hand_over_segment(struct recovery *r, const struct segment *segment)
{
	/* Not needed, if nothing in it reaches the base: then what replaces entries above does not either. */
	if (segment->high < r->group.base_index)
		return true;
	if (!recovery_load(r, segment->header.number))
		return false;
	uint64_t offset = WAL_BLOCK_BYTES;
	while (offset < segment->end) {
		struct batch_header batch;
		const uint8_t *bytes = recovery_look(r, offset, WAL_BLOCK_BYTES);
		bool same = bytes != NULL && batch_header_decode(bytes, &r->at.header, offset, &batch);
		if (same)
			bytes = recovery_look(r, offset, batch_bytes(&batch));
		if (bytes == NULL)
			return false;
		if (!same || !hand_over_batch(r, &batch, bytes))
			return recovery_refuse(r, "reads otherwise a second time, at offset %" PRIu64, offset);
		offset += batch_bytes(&batch);
	}
	segment_close(r->wal, &r->at);
	return true;
}

bool replay_hand_over(struct recovery *r)
{
	if (!r->group.has_base)
		return true;
	hand_over_base(r);
	const struct segments *old = &r->wal->old;
	for (size_t i = 0; i < old->count; i++)
		if (!hand_over_segment(r, &old->at[i]))
			return false;
	if (!hand_over_segment(r, &r->tail))
		return false;
	return r->handed_over == r->group.last_index || recovery_refuse(r, "reads otherwise a second time");
}
