/*
 * Snapshot files, read, and loaded into the state machine. Whatever the bytes are: refused with a line, or read to
 * their end; memory is bounded by the file; a state that was loaded and saved again is the same state.
 */
#include "fuzz.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "server/machine.h"
#include "wal/snapshot.h"
#include "wire/wire.h"

#include <errno.h>

enum { READ_BYTES_MAX = 128 * 1024 };

/* ---- A file in memory ---- */

struct env_file {
	const uint8_t *bytes;
	size_t size;
	size_t lost; /* Bytes at the end that the disk has lost since its size was asked. */
	bool broken; /* Cannot be read at all. */
};

static int64_t file_size(struct env_file *file)
{
	return (int64_t)file->size;
}

static int64_t file_read_at(struct env_file *file, void *bytes, size_t size, uint64_t offset)
{
	size_t end = file->size - file->lost;
	if (file->broken)
		return -EIO;
	if (offset >= end)
		return 0;
	size = size < end - offset ? size : (size_t)(end - offset);
	memcpy(bytes, file->bytes + offset, size);
	return (int64_t)size;
}

static const struct env_ops file_ops = {.size = file_size, .read_at = file_read_at};

/* ---- One input ---- */

/* The same state, saved in pieces of another size. */
static void check_again(struct machine *machine, size_t piece_bytes)
{
	uint8_t digest[MACHINE_DIGEST_BYTES], again_digest[MACHINE_DIGEST_BYTES];
	struct machine *again = machine_create(machine->mem);
	struct machine_held *held = machine_hold(machine);
	struct buf piece;
	bool more = true;
	buf_init(&piece, machine->mem);
	machine_load_begin(again);
	while (more) {
		more = machine_save(held, &piece, piece_bytes);
		if (buf_size(&piece) > 0)
			CHECK(machine_load(again, buf_at(&piece), buf_size(&piece)));
		buf_consume(&piece, buf_size(&piece));
	}
	machine_release(machine, held);
	machine_digest(machine, digest);
	machine_digest(again, again_digest);
	CHECK(memcmp(digest, again_digest, sizeof digest) == 0);
	CHECK_OP(keyspace_count(&machine->keyspace), ==, keyspace_count(&again->keyspace));
	buf_free(&piece);
	machine_destroy(again);
}

static void load_all(struct snapshot_reader *reader, struct machine *machine)
{
	const uint8_t *piece;
	size_t size;
	enum snapshot_read next;
	bool loaded = true;
	machine_load_begin(machine);
	while ((next = snapshot_reader_next(reader, &piece, &size)) == SNAPSHOT_PIECE) {
		CHECK(size > 0 && size <= reader->size);
		loaded = loaded && machine_load(machine, piece, size);
		CHECK_OP(reader->bytes.room, <=, 2 * reader->size + READ_BYTES_MAX + 8192);
	}
	if (next == SNAPSHOT_END)
		CHECK_OP(reader->consumed, ==, reader->size);
	else
		CHECK(reader->error[0] != '\0' && strchr(reader->error, '\n') == NULL);
	if (loaded && next == SNAPSHOT_END)
		check_again(machine, 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct mem mem;
	struct env env = {.ops = &file_ops, .mem = &mem};
	struct rng rng = rng_seed(crc32c(0, bytes, size));
	struct env_file file = {.bytes = bytes, .size = size};
	struct snapshot_reader reader;
	if (rng_below(&rng, 32) == 0)
		file.lost = rng_below(&rng, size + 1);
	file.broken = rng_below(&rng, 256) == 0;
	mem_init(&mem, true);
	struct machine *machine = machine_create(&mem);
	if (snapshot_reader_open(&reader, &env, &file)) {
		struct wire_members members;
		(void)wire_get_members(reader.header.members, reader.header.members_size, &members);
		load_all(&reader, machine);
	} else {
		CHECK(reader.error[0] != '\0' && strchr(reader.error, '\n') == NULL);
	}
	snapshot_reader_close(&reader);
	machine_destroy(machine);
	CHECK_OP(mem.bytes, ==, 0);
	return 0;
}

/* ---- Repair ---- */

/* Records that fill their piece. */
static void repair_piece(uint8_t *piece, size_t size)
{
	if (size < 8)
		return;
	put_le64(piece, 1);
	piece += 8;
	size -= 8;
	while (size >= 8) {
		size_t left = size - 8;
		size_t key = get_le32(piece) < left ? get_le32(piece) : left;
		size_t value = get_le32(piece + 4) < left - key ? get_le32(piece + 4) : left - key;
		put_le32(piece, (uint32_t)key);
		put_le32(piece + 4, (uint32_t)value);
		piece += 8 + key + value;
		size -= 8 + key + value;
	}
}

/* The header's new CRC. */
static uint32_t repair_header(uint8_t *h, size_t size, size_t *header_size)
{
	size_t left = size - SNAPSHOT_HEADER_BYTES;
	if (get_le32(h + 48) > left)
		put_le32(h + 48, (uint32_t)left);
	*header_size = SNAPSHOT_HEADER_BYTES + get_le32(h + 48);
	memcpy(h, "IKADASNP", 8);
	put_le32(h + 12, SNAPSHOT_VERSION);
	put_le32(h + 8, crc32c(0, h + 12, *header_size - 12));
	return get_le32(h + 8);
}

/* Returns the size of the file, which may have become smaller. */
static size_t repair(uint8_t *bytes, size_t size, bool pieces_too)
{
	size_t at;
	uint64_t blocks = 0;
	if (size < SNAPSHOT_HEADER_BYTES + SNAPSHOT_FOOTER_BYTES)
		return size;
	uint32_t seed = repair_header(bytes, size, &at);
	while (size - at > SNAPSHOT_FOOTER_BYTES + SNAPSHOT_BLOCK_BYTES && get_le32(bytes + at + 4) != 0) {
		size_t most = size - at - SNAPSHOT_FOOTER_BYTES - SNAPSHOT_BLOCK_BYTES;
		uint8_t *b = bytes + at;
		size_t length = get_le32(b + 4) < most ? get_le32(b + 4) : most;
		put_le32(b + 4, (uint32_t)length);
		put_le64(b + 8, blocks++);
		if (pieces_too)
			repair_piece(b + SNAPSHOT_BLOCK_BYTES, length);
		put_le32(b, crc32c(seed, b + 4, SNAPSHOT_BLOCK_BYTES - 4 + length));
		at += SNAPSHOT_BLOCK_BYTES + length;
	}
	if (size - at < SNAPSHOT_FOOTER_BYTES)
		return size;
	uint8_t *f = bytes + at;
	put_le32(f + 4, 0);
	put_le64(f + 8, blocks);
	put_le64(f + 16, at + SNAPSHOT_FOOTER_BYTES);
	put_le32(f, crc32c(seed, f + 4, SNAPSHOT_FOOTER_BYTES - 4));
	return at + SNAPSHOT_FOOTER_BYTES;
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned seed)
{
	struct rng rng = rng_seed(seed);
	size = LLVMFuzzerMutate(bytes, size, size_max);
	uint64_t what = rng_below(&rng, 16);
	return what == 0 ? size : repair(bytes, size, what > 3);
}

/* ---- Seeds ---- */

static void set(struct machine *machine, const char *line)
{
	struct resp_parser parser;
	struct buf in, command;
	buf_init(&in, machine->mem);
	buf_init(&command, machine->mem);
	resp_init(&parser, machine->mem);
	buf_add(&in, line, strlen(line));
	CHECK(resp_parse(&parser, &in) == RESP_REQUEST);
	const struct request request = resp_request(&parser, &in);
	machine_encode(&command, command_find(request_arg(&request, 0)), &request);
	CHECK(machine_apply(machine, buf_at(&command), buf_size(&command), RESP_2, NULL) == MACHINE_DONE);
	resp_free(&parser);
	buf_free(&in);
	buf_free(&command);
}

static void seed_of(const char *name, struct machine *machine, const struct buf *members, size_t piece_bytes)
{
	struct snapshot_draft draft = {.block_at = 0};
	uint8_t digest[MACHINE_DIGEST_BYTES];
	const struct snapshot_header header = {
		.cluster_id = 77,
		.index = 40,
		.term = 5,
		.stamp = 1000,
		.members = buf_at(members),
		.members_size = buf_size(members),
	};
	buf_init(&draft.filling, machine->mem);
	buf_init(&draft.flying, machine->mem);
	snapshot_put_header(&draft, &header);
	struct machine_held *held = machine_hold(machine);
	bool more = true;
	while (more) {
		more = machine_save(held, snapshot_begin_block(&draft), piece_bytes);
		snapshot_end_block(&draft);
	}
	machine_release(machine, held);
	machine_digest(machine, digest);
	snapshot_put_footer(&draft, digest);
	fuzz_seed(name, buf_at(&draft.filling), buf_size(&draft.filling));
	buf_free(&draft.filling);
}

static void write_seeds(void)
{
	struct mem mem;
	struct buf bytes;
	struct wire_members members = {.config = {.index = 7, .max_id = 3, .count = 3}};
	mem_init(&mem, false);
	buf_init(&bytes, &mem);
	struct machine *machine = machine_create(&mem);
	for (uint32_t i = 0; i < 3; i++) {
		members.config.members[i] = (struct ikada_member){i + 1, 1000 + i, IKADA_VOTER};
		strcpy(members.addresses[i], "127.0.0.1:17001");
	}
	seed_of("empty", machine, &bytes, 4096);
	wire_put_members(&bytes, &members);
	set(machine, "SET a b\r\n");
	seed_of("one", machine, &bytes, 4096);
	set(machine, "SET counter 17\r\n");
	set(machine, "SET long 0123456789012345678901234567890123456789\r\n");
	set(machine, "SET nothing \"\"\r\n");
	seed_of("some", machine, &bytes, 4096);
	seed_of("pieces", machine, &bytes, 16);
	machine_destroy(machine);
	buf_free(&bytes);
}
