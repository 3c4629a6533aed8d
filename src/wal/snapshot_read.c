/* Snapshot files, read: every byte is checked before it is believed. The format stands in snapshot.h. */
#include "wal/snapshot.h"

#include "base/bytes.h"
#include "base/crc32c.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define READ_BYTES ((size_t)128 * 1024)

__attribute__((format(printf, 2, 3))) static bool wrong(struct snapshot_reader *r, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(r->error, sizeof r->error, format, args);
	va_end(args);
	return false;
}

/* The next `size` bytes of the file stand at the front of the buffer; false: it ends before, or cannot be read. */
static bool want(struct snapshot_reader *r, size_t size)
{
	if (buf_size(&r->bytes) >= size)
		return true;
	if (size - buf_size(&r->bytes) > r->size - r->read_to)
		return wrong(r, "it ends too early, after %" PRIu64 " bytes", r->size);
	size_t more = size - buf_size(&r->bytes);
	if (more < READ_BYTES)
		more = r->size - r->read_to < READ_BYTES ? (size_t)(r->size - r->read_to) : READ_BYTES;
	int64_t got = r->env->ops->read_at(r->file, buf_reserve(&r->bytes, more), more, r->read_to);
	if (got < 0)
		return wrong(r, "it cannot be read at byte %" PRIu64 ": %s", r->read_to, strerror((int)-got));
	buf_added(&r->bytes, (size_t)got);
	r->read_to += (uint64_t)got;
	if (buf_size(&r->bytes) < size)
		return wrong(r, "it ends too early, after %" PRIu64 " bytes", r->read_to);
	return true;
}

static void used(struct snapshot_reader *r, size_t size)
{
	buf_consume(&r->bytes, size);
	r->consumed += size;
}

static bool read_header(struct snapshot_reader *r)
{
	if (!want(r, SNAPSHOT_HEADER_BYTES))
		return false;
	const uint8_t *h = buf_at(&r->bytes);
	uint32_t version = get_le32(h + 12);
	uint32_t members_size = get_le32(h + 48);
	if (memcmp(h, "IKADASNP", 8) != 0)
		return wrong(r, "it is not a snapshot");
	if (members_size > SNAPSHOT_MEMBERS_BYTES_MAX)
		return wrong(r, "its header is damaged");
	size_t size = SNAPSHOT_HEADER_BYTES + members_size;
	if (!want(r, size))
		return false;
	h = buf_at(&r->bytes);
	r->seed = get_le32(h + 8);
	if (crc32c(0, h + 12, size - 12) != r->seed)
		return wrong(r, "its header does not match its checksum");
	if (version != SNAPSHOT_VERSION)
		return wrong(r, "it has format %" PRIu32 "; this program knows format %d", version, SNAPSHOT_VERSION);
	buf_add(&r->members, h + SNAPSHOT_HEADER_BYTES, members_size);
	r->header = (struct snapshot_header){
		.cluster_id = get_le64(h + 16),
		.index = get_le64(h + 24),
		.term = get_le64(h + 32),
		.stamp = get_le64(h + 40),
		.members = buf_at(&r->members),
		.members_size = members_size,
	};
	used(r, size);
	return true;
}

bool snapshot_reader_open(struct snapshot_reader *r, struct env *env, struct env_file *file)
{
	memset(r, 0, sizeof *r);
	r->env = env;
	r->file = file;
	buf_init(&r->bytes, env->mem);
	buf_init(&r->members, env->mem);
	int64_t size = env->ops->size(file);
	if (size < 0)
		return wrong(r, "its size cannot be told: %s", strerror((int)-size));
	r->size = (uint64_t)size;
	return read_header(r);
}

void snapshot_reader_close(struct snapshot_reader *r)
{
	buf_free(&r->bytes);
	buf_free(&r->members);
}

static bool read_footer(struct snapshot_reader *r)
{
	if (!want(r, SNAPSHOT_FOOTER_BYTES))
		return false;
	const uint8_t *f = buf_at(&r->bytes);
	if (crc32c(r->seed, f + 4, SNAPSHOT_FOOTER_BYTES - 4) != get_le32(f))
		return wrong(r, "its footer, at byte %" PRIu64 ", does not match its checksum", r->consumed);
	if (get_le64(f + 8) != r->blocks)
		return wrong(r, "it has %" PRIu64 " blocks, and its footer says %" PRIu64, r->blocks, get_le64(f + 8));
	if (get_le64(f + 16) != r->size || r->consumed + SNAPSHOT_FOOTER_BYTES != r->size)
		return wrong(r, "it has %" PRIu64 " bytes, and its footer, at byte %" PRIu64 ", says %" PRIu64, r->size,
			     r->consumed, get_le64(f + 16));
	memcpy(r->digest, f + 24, sizeof r->digest);
	used(r, SNAPSHOT_FOOTER_BYTES);
	return true;
}

enum snapshot_read snapshot_reader_next(struct snapshot_reader *r, const uint8_t **piece, size_t *size)
{
	used(r, r->handed_out);
	r->handed_out = 0;
	if (!want(r, SNAPSHOT_BLOCK_BYTES))
		return SNAPSHOT_INVALID;
	size_t length = get_le32(buf_at(&r->bytes) + 4);
	if (length == 0)
		return read_footer(r) ? SNAPSHOT_END : SNAPSHOT_INVALID;
	if (length > SNAPSHOT_PIECE_BYTES_MAX) {
		wrong(r, "its block %" PRIu64 ", at byte %" PRIu64 ", has a damaged size", r->blocks, r->consumed);
		return SNAPSHOT_INVALID;
	}
	if (!want(r, SNAPSHOT_BLOCK_BYTES + length))
		return SNAPSHOT_INVALID;
	const uint8_t *b = buf_at(&r->bytes);
	if (crc32c(r->seed, b + 4, SNAPSHOT_BLOCK_BYTES - 4 + length) != get_le32(b) || get_le64(b + 8) != r->blocks) {
		wrong(r, "its block %" PRIu64 ", at byte %" PRIu64 ", does not match its checksum", r->blocks,
		      r->consumed);
		return SNAPSHOT_INVALID;
	}
	*piece = b + SNAPSHOT_BLOCK_BYTES;
	*size = length;
	r->blocks++;
	r->handed_out = SNAPSHOT_BLOCK_BYTES + length;
	return SNAPSHOT_PIECE;
}
