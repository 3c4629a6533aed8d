/* Encodes and judges headers; see the tables in format.h. */
#include "wal/format.h"

#include "base/bytes.h"
#include "base/crc32c.h"

static const uint8_t magic[8] = {'I', 'K', 'A', 'D', 'A', 'W', 'A', 'L'};

void segment_header_encode(uint8_t *block, const struct segment_header *header)
{
	memset(block, 0, WAL_BLOCK_BYTES);
	memcpy(block, magic, sizeof magic);
	put_le32(block + 12, header->version);
	put_le64(block + 16, header->number);
	put_le64(block + 24, header->bytes);
	put_le64(block + 32, header->salt);
	put_le64(block + 40, header->epoch);
	put_le64(block + 48, header->recycled_bytes);
	put_le32(block + 8, crc32c(0, block + 12, SEGMENT_HEADER_BYTES - 12));
}

enum segment_verdict segment_header_decode(const uint8_t *block, struct segment_header *header)
{
	if (memcmp(block, magic, sizeof magic) != 0)
		return SEGMENT_DAMAGED;
	if (crc32c(0, block + 12, SEGMENT_HEADER_BYTES - 12) != get_le32(block + 8))
		return SEGMENT_DAMAGED;
	header->version = get_le32(block + 12);
	header->number = get_le64(block + 16);
	header->bytes = get_le64(block + 24);
	header->salt = get_le64(block + 32);
	header->epoch = get_le64(block + 40);
	header->recycled_bytes = get_le64(block + 48);
	if (header->version != WAL_VERSION)
		return SEGMENT_VERSION;
	if (header->bytes % WAL_BLOCK_BYTES != 0 || header->bytes < SEGMENT_BYTES_MIN ||
	    header->bytes > SEGMENT_BYTES_MAX)
		return SEGMENT_DAMAGED;
	return SEGMENT_GOOD;
}

void batch_header_encode(uint8_t *batch, struct batch_header *header, uint64_t commit)
{
	header->commit_count = 1;
	header->body_crc = crc32c(0, batch + BATCH_BODY_AT, header->body_bytes);
	memset(batch, 0, BATCH_BODY_AT);
	put_le16(batch + 4, header->kind);
	put_le16(batch + 6, header->commit_count);
	put_le64(batch + 8, header->sequence);
	put_le64(batch + 16, header->epoch);
	put_le64(batch + 24, header->salt);
	put_le64(batch + 32, header->offset);
	put_le32(batch + 40, header->body_bytes);
	put_le32(batch + 44, header->body_crc);
	put_le32(batch + 48, header->previous_crc);
	put_le64(batch + BATCH_COMMITS_AT + 8, commit);
	header->crc = crc32c(0, batch + 4, BATCH_BODY_AT - 4);
	put_le32(batch, header->crc);
}

bool batch_header_decode(const uint8_t *block, const struct segment_header *of, uint64_t offset,
			 struct batch_header *header)
{
	/* Cheap ones first: most blocks that recovery looks at are no headers. */
	header->salt = get_le64(block + 24);
	header->offset = get_le64(block + 32);
	if (header->salt != of->salt || header->offset != offset)
		return false;
	header->crc = get_le32(block);
	header->kind = get_le16(block + 4);
	header->commit_count = get_le16(block + 6);
	header->sequence = get_le64(block + 8);
	header->epoch = get_le64(block + 16);
	header->body_bytes = get_le32(block + 40);
	header->body_crc = get_le32(block + 44);
	header->previous_crc = get_le32(block + 48);
	if (batch_body_at(header) > WAL_BLOCK_BYTES || batch_bytes(header) > of->bytes - offset)
		return false;
	return crc32c(0, block + 4, batch_body_at(header) - 4) == header->crc;
}

void record_header_encode(uint8_t *at, const struct record_header *header)
{
	put_le16(at, header->kind);
	put_le16(at + 2, header->flags);
	put_le32(at + 4, header->group);
	put_le32(at + 8, header->length);
	put_le32(at + 12, 0);
}

void record_state_encode(uint8_t *at, const struct wal_group *group)
{
	record_header_encode(at, &(struct record_header){.kind = RECORD_STATE,
							 .flags = group->has_base ? RECORD_STATE_HAS_BASE : 0,
							 .length = RECORD_STATE_BYTES});
	at += RECORD_HEADER_BYTES;
	put_le64(at, group->term);
	put_le64(at + 8, group->vote);
	put_le64(at + 16, group->vote_incarnation);
	put_le64(at + 24, group->base_index);
	put_le64(at + 32, group->base_term);
	put_le64(at + 40, group->last_index);
}
