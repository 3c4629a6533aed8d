/* Frames that carry snapshots and digests; the format stands in wire.h. */
#include "wire/wire_internal.h"

void wire_put_chunk(struct buf *out, uint64_t cluster_id, const struct wire_chunk *chunk)
{
	CHECK_OP(chunk->size, <=, WIRE_CHUNK_BYTES_MAX);
	size_t at = wire_begin(out, WIRE_SNAPSHOT_CHUNK, cluster_id);
	wire_add_u64(out, chunk->term);
	wire_add_u64(out, chunk->index);
	wire_add_u64(out, chunk->index_term);
	wire_add_u64(out, chunk->file_bytes);
	wire_add_u64(out, chunk->offset);
	wire_add_u64(out, chunk->mend ? 1 : 0);
	buf_add(out, chunk->bytes, chunk->size);
	wire_end(out, at);
}

bool wire_get_chunk(const struct wire_frame *frame, struct wire_chunk *chunk)
{
	struct reader r = reader_over(frame->body, frame->body_size);
	chunk->term = read_u64(&r);
	chunk->index = read_u64(&r);
	chunk->index_term = read_u64(&r);
	chunk->file_bytes = read_u64(&r);
	chunk->offset = read_u64(&r);
	uint64_t mend = read_u64(&r);
	chunk->mend = mend == 1;
	chunk->bytes = r.at;
	chunk->size = reader_left(&r);
	return !r.failed && mend <= 1 && chunk->term <= WIRE_FIELD_MAX && chunk->index <= WIRE_FIELD_MAX &&
	       chunk->index > 0 && chunk->index_term > 0 && chunk->index_term <= chunk->term && chunk->file_bytes > 0 &&
	       chunk->file_bytes <= WIRE_FIELD_MAX && chunk->size <= WIRE_CHUNK_BYTES_MAX &&
	       chunk->offset <= chunk->file_bytes && chunk->size <= chunk->file_bytes - chunk->offset;
}

void wire_put_ack(struct buf *out, uint64_t cluster_id, const struct wire_ack *ack)
{
	size_t at = wire_begin(out, WIRE_SNAPSHOT_ACK, cluster_id);
	wire_add_u64(out, ack->index);
	wire_add_u64(out, ack->index_term);
	wire_add_u64(out, ack->offset);
	wire_add_u64(out, ack->status);
	wire_end(out, at);
}

bool wire_get_ack(const struct wire_frame *frame, struct wire_ack *ack)
{
	struct reader r = reader_over(frame->body, frame->body_size);
	ack->index = read_u64(&r);
	ack->index_term = read_u64(&r);
	ack->offset = read_u64(&r);
	uint64_t status = read_u64(&r);
	ack->status = (enum wire_ack_status)status;
	return !r.failed && reader_left(&r) == 0 && status <= WIRE_ACK_FAILED && ack->offset <= WIRE_FIELD_MAX;
}

void wire_put_ask(struct buf *out, uint64_t cluster_id, uint64_t index)
{
	size_t at = wire_begin(out, WIRE_SNAPSHOT_ASK, cluster_id);
	wire_add_u64(out, index);
	wire_end(out, at);
}

bool wire_get_ask(const struct wire_frame *frame, uint64_t *index)
{
	struct reader r = reader_over(frame->body, frame->body_size);
	*index = read_u64(&r);
	return !r.failed && reader_left(&r) == 0 && *index <= WIRE_FIELD_MAX;
}

void wire_put_digests(struct buf *out, uint64_t cluster_id, const struct wire_digest *digests, size_t count)
{
	CHECK_OP(count, <=, (size_t)WIRE_DIGESTS_MAX);
	size_t at = wire_begin(out, WIRE_DIGESTS, cluster_id);
	for (size_t i = 0; i < count; i++) {
		wire_add_u64(out, digests[i].index);
		buf_add(out, digests[i].bytes, WIRE_DIGEST_BYTES);
	}
	wire_end(out, at);
}

bool wire_get_digests(const struct wire_frame *frame, struct wire_digest *digests, size_t *count)
{
	enum { BYTES = 8 + WIRE_DIGEST_BYTES };
	struct reader r = reader_over(frame->body, frame->body_size);
	*count = frame->body_size / BYTES;
	if (*count == 0 || *count > WIRE_DIGESTS_MAX || frame->body_size % BYTES != 0)
		return false;
	for (size_t i = 0; i < *count; i++) {
		digests[i].index = read_u64(&r);
		memcpy(digests[i].bytes, read_bytes(&r, WIRE_DIGEST_BYTES), WIRE_DIGEST_BYTES);
		if (digests[i].index > WIRE_FIELD_MAX || digests[i].index <= (i == 0 ? 0 : digests[i - 1].index))
			return false;
	}
	return true;
}
