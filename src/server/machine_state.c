/*
 * The state as bytes: what a snapshot holds, and its digest.
 *
 * A snapshot is pieces, each of whole records in the order of the keys. A piece, little-endian:
 *	offset	size	field
 *	0	1	format; 1 today
 *	1	7	zeros
 *	8		records: size of the store key (4), size of the value (4), the key, the value
 * The format changes when keys or values do: what an older program cannot understand it must not load.
 */
#include "server/machine.h"

#include "base/bytes.h"

enum { PIECE_FORMAT = 1, PIECE_HEADER_BYTES = 8, RECORD_HEADER_BYTES = 8 };

struct machine_held {
	struct store_root *root;
	struct store_cursor cursor;
	/* The record that did not find its place in the last piece; there is none at the end. */
	bool more;
	struct store_slice key, value;
};

struct machine_held *machine_hold(struct machine *m)
{
	struct machine_held *held = mem_alloc(m->mem, sizeof *held);
	held->root = store_hold(m->keyspace.store);
	store_seek(&held->cursor, m->keyspace.store, held->root, "", 0);
	held->more = store_next(&held->cursor, &held->key, &held->value);
	return held;
}

void machine_release(struct machine *m, struct machine_held *held)
{
	store_release(m->keyspace.store, held->root);
	mem_free(m->mem, held);
}

bool machine_save(struct machine_held *held, struct buf *out, size_t bytes)
{
	if (!held->more)
		return false;
	size_t start = buf_size(out);
	static const uint8_t header[PIECE_HEADER_BYTES] = {PIECE_FORMAT};
	buf_add(out, header, sizeof header);
	while (held->more && buf_size(out) - start < bytes) {
		size_t size = RECORD_HEADER_BYTES + held->key.size + held->value.size;
		struct writer w = writer_over(buf_reserve(out, size), size);
		write_u32(&w, (uint32_t)held->key.size);
		write_u32(&w, (uint32_t)held->value.size);
		write_bytes(&w, held->key.bytes, held->key.size);
		write_bytes(&w, held->value.bytes, held->value.size);
		buf_added(out, size);
		held->more = store_next(&held->cursor, &held->key, &held->value);
	}
	return held->more;
}

void machine_load_begin(struct machine *m)
{
	keyspace_clear(&m->keyspace);
}

bool machine_load(struct machine *m, const uint8_t *bytes, size_t size)
{
	struct reader r = reader_over(bytes, size);
	uint64_t header = read_u64(&r);
	if (r.failed || header != PIECE_FORMAT)
		return false;
	while (reader_left(&r) > 0) {
		uint32_t key_size = read_u32(&r);
		uint32_t value_size = read_u32(&r);
		struct slice key = {read_bytes(&r, key_size), key_size};
		struct slice value = {read_bytes(&r, value_size), value_size};
		if (r.failed || !keyspace_load(&m->keyspace, key, value))
			return false;
	}
	return true;
}

void machine_digest(const struct machine *m, uint8_t digest[MACHINE_DIGEST_BYTES])
{
	struct store_digest sum = store_digest(m->keyspace.store);
	put_le64(digest, sum.low);
	put_le64(digest + 8, sum.high);
}
