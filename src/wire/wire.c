/* Frames between nodes; the format stands in wire.h. Owns nothing, keeps nothing. */
#include "wire/wire_internal.h"

#include "base/crc32c.h"
#include "base/entry.h"

/* What the frame's checksum covers of a body. */
static size_t covered(uint16_t type, size_t body_size)
{
	return type == WIRE_RAFT && body_size > WIRE_RAFT_BYTES ? WIRE_RAFT_BYTES : body_size;
}

static uint32_t checksum(const uint8_t *frame, size_t body_size)
{
	uint32_t crc = crc32c(0, frame, 12);
	crc = crc32c(crc, frame + 16, 8);
	return crc32c(crc, frame + WIRE_HEADER_BYTES, covered(get_le16(frame + 4), body_size));
}

enum wire_next wire_next(const uint8_t *bytes, size_t size, size_t body_max, struct wire_frame *frame, size_t *used)
{
	if (size < WIRE_HEADER_BYTES)
		return WIRE_MORE;
	size_t body_size = get_le32(bytes);
	if (get_le16(bytes + 6) != WIRE_VERSION || body_size > body_max)
		return WIRE_HOSTILE;
	if (size - WIRE_HEADER_BYTES < body_size)
		return WIRE_MORE;
	if (checksum(bytes, body_size) != get_le32(bytes + 12))
		return WIRE_HOSTILE;
	frame->type = get_le16(bytes + 4);
	frame->group = get_le32(bytes + 8);
	frame->cluster_id = get_le64(bytes + 16);
	frame->body = bytes + WIRE_HEADER_BYTES;
	frame->body_size = body_size;
	*used = WIRE_HEADER_BYTES + body_size;
	return WIRE_FRAME;
}

size_t wire_begin(struct buf *out, enum wire_type type, uint64_t cluster_id)
{
	size_t at = buf_size(out);
	uint8_t *h = buf_reserve(out, WIRE_HEADER_BYTES);
	put_le32(h, 0);
	put_le16(h + 4, (uint16_t)type);
	put_le16(h + 6, WIRE_VERSION);
	put_le32(h + 8, 0);
	put_le32(h + 12, 0);
	put_le64(h + 16, cluster_id);
	buf_added(out, WIRE_HEADER_BYTES);
	return at;
}

void wire_end(struct buf *out, size_t at)
{
	uint8_t *h = buf_at(out) + at;
	size_t body_size = buf_size(out) - at - WIRE_HEADER_BYTES;
	CHECK_OP(body_size, <=, WIRE_BODY_BYTES_MAX);
	put_le32(h, (uint32_t)body_size);
	put_le32(h + 12, checksum(h, body_size));
}

void wire_add_u64(struct buf *out, uint64_t v)
{
	uint8_t bytes[8];
	put_le64(bytes, v);
	buf_add(out, bytes, sizeof bytes);
}

static void add_u32(struct buf *out, uint32_t v)
{
	uint8_t bytes[4];
	put_le32(bytes, v);
	buf_add(out, bytes, sizeof bytes);
}

void wire_put_hello(struct buf *out, enum wire_type type, uint64_t cluster_id, const struct wire_hello *hello)
{
	size_t at = wire_begin(out, type, cluster_id);
	wire_add_u64(out, hello->to);
	wire_add_u64(out, hello->from);
	wire_add_u64(out, hello->incarnation);
	wire_add_u64(out, hello->boot);
	wire_add_text(out, hello->client_address);
	if (cluster_id != 0)
		wire_put_config(out, &hello->config);
	wire_end(out, at);
}

bool wire_get_hello(const struct wire_frame *frame, struct wire_hello *hello)
{
	struct reader r = reader_over(frame->body, frame->body_size);
	memset(hello, 0, sizeof *hello);
	hello->to = read_u64(&r);
	hello->from = read_u64(&r);
	hello->incarnation = read_u64(&r);
	hello->boot = read_u64(&r);
	if (!wire_read_text(&r, hello->client_address))
		return false;
	if (frame->cluster_id == 0)
		return reader_left(&r) == 0;
	if (wire_is_no_config(r.at, reader_left(&r)))
		return true;
	return wire_get_config(r.at, reader_left(&r), &hello->config) &&
	       (hello->config.index > 0 || wire_cluster_id(&hello->config) == frame->cluster_id);
}

void wire_put_plain(struct buf *out, enum wire_type type, uint64_t cluster_id, const void *body, size_t size)
{
	size_t at = wire_begin(out, type, cluster_id);
	buf_add(out, body, size);
	wire_end(out, at);
}

void wire_put_raft(struct buf *out, uint64_t cluster_id, const struct ikada_message *m,
		   const struct wire_piece *entries, size_t count)
{
	size_t at = wire_begin(out, WIRE_RAFT, cluster_id);
	const uint64_t fields[] = {m->from,	      m->to,	       m->term,	       m->round,
				   m->sent_ns,	      m->prev_index,   m->prev_term,   m->last_index,
				   m->last_term,      m->commit,       m->match_index, m->verified_index,
				   m->conflict_index, m->conflict_term};
	struct writer w = writer_over(buf_reserve(out, WIRE_RAFT_BYTES), WIRE_RAFT_BYTES);
	write_u8(&w, (uint8_t)m->kind);
	write_u8(&w, m->granted);
	write_u8(&w, m->rejected);
	write_u8(&w, m->transfer);
	memset(write_room(&w, 4), 0, 4);
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		write_u64(&w, fields[i]);
	CHECK_OP(writer_used(&w), ==, WIRE_RAFT_BYTES);
	buf_added(out, WIRE_RAFT_BYTES);
	for (size_t i = 0; i < count; i++)
		buf_add(out, entries[i].bytes, entries[i].size);
	wire_end(out, at);
}

/* The checksum does not cover it, and replicas are to be the same to the last byte. */
static bool padding_is_zero(const struct entry *entry)
{
	size_t padding = entry_bytes(entry->length) - ENTRY_HEADER_BYTES - entry->length;
	for (size_t i = 0; i < padding; i++)
		if (entry->payload[entry->length + i] != 0)
			return false;
	return true;
}

/* Walks the entries of an append, checks them, and gathers their runs of terms. */
static bool get_entries(const struct wire_frame *frame, struct wire_raft *raft)
{
	const struct ikada_message *m = &raft->message;
	uint64_t index = m->prev_index;
	uint64_t term = m->prev_term;
	raft->run_count = 0;
	for (size_t at = 0; at < raft->entries_size;) {
		struct entry entry;
		size_t size = entry_decode(raft->entries + at, raft->entries_size - at, &entry);
		if (size == 0 || entry.index != index + 1 || entry.group != frame->group || entry.term < term ||
		    entry.term == 0 || entry.term > m->term || !padding_is_zero(&entry))
			return false;
		if (raft->run_count == 0 || entry.term != term) {
			if (raft->run_count == WIRE_RUNS_MAX)
				return false;
			raft->runs[raft->run_count].first = entry.index;
			raft->runs[raft->run_count].term = entry.term;
			raft->run_count++;
		}
		index = entry.index;
		term = entry.term;
		at += size;
	}
	return index == m->last_index;
}

bool wire_get_raft(const struct wire_frame *frame, struct wire_raft *raft)
{
	struct reader r = reader_over(frame->body, frame->body_size);
	struct ikada_message *m = &raft->message;
	memset(m, 0, sizeof *m);
	uint8_t kind = read_u8(&r);
	uint8_t granted = read_u8(&r);
	uint8_t rejected = read_u8(&r);
	uint8_t transfer = read_u8(&r);
	read_bytes(&r, 4);
	uint64_t *const fields[] = {&m->from,		&m->to,		  &m->term,	   &m->round,
				    &m->sent_ns,	&m->prev_index,	  &m->prev_term,   &m->last_index,
				    &m->last_term,	&m->commit,	  &m->match_index, &m->verified_index,
				    &m->conflict_index, &m->conflict_term};
	bool absurd = false;
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		*fields[i] = read_u64(&r);
		absurd |= i > 1 && *fields[i] > WIRE_FIELD_MAX;
	}
	if (r.failed || absurd || kind < IKADA_PREVOTE || kind > IKADA_TIMEOUT_NOW || kind == IKADA_SNAPSHOT ||
	    granted > 1 || rejected > 1 || transfer > 1)
		return false;
	m->kind = (enum ikada_message_kind)kind;
	m->granted = granted == 1;
	m->rejected = rejected == 1;
	m->transfer = transfer == 1;
	raft->entries = r.at;
	raft->entries_size = reader_left(&r);
	raft->run_count = 0;
	if (m->kind != IKADA_APPEND)
		return raft->entries_size == 0;
	return m->last_index >= m->prev_index && get_entries(frame, raft);
}

void wire_put_forward(struct buf *out, uint64_t cluster_id, const struct wire_forward *forward)
{
	size_t at = wire_begin(out, WIRE_FORWARD, cluster_id);
	wire_add_u64(out, forward->number);
	wire_add_u64(out, forward->term);
	add_u32(out, forward->read ? 1 : 0);
	add_u32(out, forward->tag);
	buf_add(out, forward->bytes, forward->size);
	wire_end(out, at);
}

bool wire_get_forward(const struct wire_frame *frame, struct wire_forward *forward)
{
	struct reader r = reader_over(frame->body, frame->body_size);
	forward->number = read_u64(&r);
	forward->term = read_u64(&r);
	uint32_t read = read_u32(&r);
	forward->tag = read_u32(&r);
	forward->read = read == 1;
	forward->bytes = r.at;
	forward->size = reader_left(&r);
	return !r.failed && read <= 1 && forward->size <= ENTRY_PAYLOAD_BYTES_MAX;
}

void wire_put_forward_reply(struct buf *out, uint64_t cluster_id, const struct wire_forward_reply *reply)
{
	size_t at = wire_begin(out, WIRE_FORWARD_REPLY, cluster_id);
	wire_add_u64(out, reply->number);
	wire_add_u64(out, reply->outcome);
	buf_add(out, reply->bytes, reply->size);
	wire_end(out, at);
}

bool wire_get_forward_reply(const struct wire_frame *frame, struct wire_forward_reply *reply)
{
	struct reader r = reader_over(frame->body, frame->body_size);
	reply->number = read_u64(&r);
	uint64_t outcome = read_u64(&r);
	reply->outcome = (uint8_t)outcome;
	reply->bytes = r.at;
	reply->size = reader_left(&r);
	return !r.failed && outcome <= UINT8_MAX;
}
