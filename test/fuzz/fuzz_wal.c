/*
 * Recovery of the log, over a disk in memory. Whatever the segments hold, it refuses with a line, or yields a log: what
 * is handed over is what the state says; opened again, it is the same log; and it can be written on.
 *
 * An input is chunks: segment (1; bit 7: its file ends behind this chunk), block (1), length (2), bytes, which stand in
 * that segment from that block on. All else in a segment is zeros. So a log of a few batches is a few hundred bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "fuzz.h"
#include "test_wal_model.h"

#include "base/crc32c.h"
#include "wal/format.h"

enum {
	CHUNKS_MAX = 64,
	CHUNK_BYTES_MAX = 3 * WAL_BLOCK_BYTES,
	CHUNK_HEADER_BYTES = 4,
	NUMBER_MAX = 15,
	SEEN_MAX = 4096
};

struct chunk {
	unsigned number; /* Of the segment. */
	bool ends;
	unsigned block;
	size_t length;
	uint8_t bytes[CHUNK_BYTES_MAX];
};

struct chunks {
	size_t count;
	struct chunk at[CHUNKS_MAX];
};

static void chunks_parse(struct chunks *chunks, const uint8_t *bytes, size_t size)
{
	chunks->count = 0;
	while (size > CHUNK_HEADER_BYTES && chunks->count < CHUNKS_MAX) {
		struct chunk *c = &chunks->at[chunks->count++];
		size_t left = size - CHUNK_HEADER_BYTES;
		c->number = 1 + bytes[0] % NUMBER_MAX;
		c->ends = bytes[0] >> 7 != 0;
		c->block = bytes[1] % (SEGMENT / WAL_BLOCK_BYTES);
		size_t room = SEGMENT - (size_t)c->block * WAL_BLOCK_BYTES;
		c->length = get_le16(bytes + 2) < left ? get_le16(bytes + 2) : left;
		c->length = c->length < CHUNK_BYTES_MAX ? c->length : CHUNK_BYTES_MAX;
		c->length = c->length < room ? c->length : room;
		memcpy(c->bytes, bytes + CHUNK_HEADER_BYTES, c->length);
		bytes += CHUNK_HEADER_BYTES + c->length;
		size -= CHUNK_HEADER_BYTES + c->length;
	}
}

static size_t chunks_put(const struct chunks *chunks, uint8_t *bytes, size_t room)
{
	size_t size = 0;
	for (size_t i = 0; i < chunks->count; i++) {
		const struct chunk *c = &chunks->at[i];
		if (room - size < CHUNK_HEADER_BYTES + c->length)
			break;
		bytes[size] = (uint8_t)((c->number - 1) | (c->ends ? 0x80 : 0));
		bytes[size + 1] = (uint8_t)c->block;
		put_le16(bytes + size + 2, (uint16_t)c->length);
		memcpy(bytes + size + CHUNK_HEADER_BYTES, c->bytes, c->length);
		size += CHUNK_HEADER_BYTES + c->length;
	}
	return size;
}

/* ---- What recovery hands over ---- */

struct seen {
	struct wal_state state;
	bool based;
	uint64_t base_index, base_term, config;
	uint64_t count; /* Of entries behind the base. */
	struct {
		uint64_t term, digest;
	} entries[SEEN_MAX];
};

static void see_base(void *context, uint64_t index, uint64_t term, const uint8_t *config, size_t size)
{
	struct seen *seen = context;
	seen->based = true;
	seen->base_index = index;
	seen->base_term = term;
	seen->config = mix(7, config, size);
	seen->count = 0;
}

static void see_entry(void *context, uint64_t index, uint64_t term, const uint8_t *bytes, size_t size)
{
	struct seen *seen = context;
	struct entry entry;
	CHECK_OP(entry_decode(bytes, size, &entry), ==, size);
	CHECK_OP(entry.index, ==, index);
	CHECK_OP(entry.term, ==, term);
	CHECK(seen->based && index > seen->base_index);
	CHECK_OP(index - seen->base_index, <=, seen->count + 1);
	CHECK_OP(index - seen->base_index, <=, (uint64_t)SEEN_MAX);
	seen->count = index - seen->base_index;
	seen->entries[seen->count - 1].term = term;
	seen->entries[seen->count - 1].digest = mix(11, bytes, size);
}

static void ignore_durable(void *context, uint64_t ticket)
{
	(void)context, (void)ticket;
}

static struct wal *open_and_see(struct disk *disk, struct seen *seen, char error[512])
{
	const struct wal_settings settings = {"d/wal", SEGMENT, SEGMENT / 2, ignore_durable, NULL};
	const struct wal_replay replay = {seen, see_base, see_entry};
	memset(seen, 0, sizeof *seen);
	error[0] = '\0';
	struct wal *wal = wal_open(&disk->env, &settings, &replay, &seen->state, error, 512);
	if (wal == NULL) {
		CHECK(strlen(error) > 10 && strchr(error, '\n') == NULL);
		CHECK_OP(disk->mem.bytes, ==, 0);
		return NULL;
	}
	const struct wal_state *s = &seen->state;
	CHECK(s->has_base == seen->based);
	CHECK(seen->base_index == s->base_index && seen->base_term == s->base_term);
	CHECK_OP(seen->base_index + seen->count, ==, s->last_index);
	CHECK(s->commit >= s->base_index && s->commit <= s->last_index);
	return wal;
}

static void expect_same(const struct seen *left, const struct seen *right)
{
	CHECK_OP(left->state.term, ==, right->state.term);
	CHECK_OP(left->state.vote, ==, right->state.vote);
	CHECK_OP(left->state.vote_incarnation, ==, right->state.vote_incarnation);
	CHECK_OP(left->state.commit, ==, right->state.commit);
	CHECK(left->based == right->based && left->config == right->config);
	CHECK_OP(left->base_index, ==, right->base_index);
	CHECK_OP(left->base_term, ==, right->base_term);
	CHECK_OP(left->count, ==, right->count);
	CHECK(memcmp(left->entries, right->entries, left->count * sizeof left->entries[0]) == 0);
}

/* What was opened once is opened again, and holds what it held. */
static struct wal *open_again(struct disk *disk, const struct seen *before)
{
	static struct seen seen;
	char error[512];
	struct wal *wal = open_and_see(disk, &seen, error);
	if (wal == NULL) {
		fprintf(stderr, "it was opened before, and now: %s\n", error);
		abort();
	}
	expect_same(before, &seen);
	return wal;
}

/* ---- One input ---- */

/* Of a segment that says it is larger than the disk here can hold. */
static int allocate(struct env_file *file, uint64_t size)
{
	return size > FILE_BYTES_MAX ? -ENOSPC : disk_allocate(file, size);
}

static struct disk *disk_of_chunks(const struct chunks *chunks)
{
	static struct disk *disk;
	static struct env_ops ops;
	if (disk == NULL) {
		disk = disk_new(1);
		ops = disk_ops;
		ops.allocate = allocate;
		disk->env.ops = &ops;
	}
	memset(disk->names, 0, sizeof disk->names);
	memset(disk->durable, 0, sizeof disk->durable);
	disk->change_count = 0;
	disk->rng = rng_seed(1);
	for (size_t i = 0; i < chunks->count; i++) {
		const struct chunk *c = &chunks->at[i];
		char path[40];
		snprintf(path, sizeof path, "d/wal/%016x.wal", c->number);
		struct name *name = name_in(disk->names, path);
		if (name == NULL) {
			struct inode *inode = inode_new(disk);
			name_set(disk->names, path, inode);
			inode->size = SEGMENT;
			name = name_in(disk->names, path);
		}
		memcpy(name->inode->now + (size_t)c->block * WAL_BLOCK_BYTES, c->bytes, c->length);
		if (c->ends)
			name->inode->size = c->block * (uint64_t)WAL_BLOCK_BYTES + c->length;
	}
	memcpy(disk->durable, disk->names, sizeof disk->durable);
	for (size_t i = 0; i < FILES_MAX; i++) {
		struct inode *inode = disk->names[i].inode;
		if (inode == NULL)
			continue;
		memset(inode->now + inode->size, 0, sizeof inode->now - (size_t)inode->size);
		memcpy(inode->durable, inode->now, sizeof inode->durable);
		inode->durable_size = inode->size;
	}
	return disk;
}

/* Terms and indices beyond this are no node's, and the next one would be none at all. */
#define SANE (UINT64_MAX / 4)

static void write_on(struct disk *disk, struct wal *wal, struct seen *seen)
{
	uint8_t bytes[ENTRY_HEADER_BYTES];
	const struct wal_state *s = &seen->state;
	const struct entry entry = {.index = s->last_index + 1, .term = s->term + 1, .kind = ENTRY_NOOP};
	entry_encode(bytes, &entry);
	wal_put_hard(wal, 0, s->term + 1, 3, 5);
	if (!s->has_base)
		wal_put_base(wal, 0, 0, 0, (const uint8_t *)"config", 6, false);
	wal_put_entries(wal, bytes, sizeof bytes);
	wal_put_ticket(wal, 1);
	while (!wal_idle(wal)) {
		wal_flush(wal);
		if (disk->slow != NULL)
			disk_complete_slow(disk);
		disk_complete(disk, 0);
	}
	if (!seen->based)
		see_base(seen, 0, 0, (const uint8_t *)"config", 6);
	see_entry(seen, entry.index, entry.term, bytes, sizeof bytes);
	seen->state.term = entry.term;
	seen->state.vote = 3;
	seen->state.vote_incarnation = 5;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct chunks chunks;
	static struct seen seen;
	char error[512];
	chunks_parse(&chunks, bytes, size);
	struct disk *disk = disk_of_chunks(&chunks);
	if (setjmp(disk->out) != 0) {
		fprintf(stderr, "the log stopped the node: %s\n", disk->fatal);
		abort();
	}
	struct wal *wal = open_and_see(disk, &seen, error);
	if (wal == NULL)
		return 0;
	wal_close(wal);
	wal = open_again(disk, &seen);
	if (seen.state.term < SANE && seen.state.last_index < SANE && seen.count < SEEN_MAX) {
		write_on(disk, wal, &seen);
		wal_close(wal);
		wal = open_again(disk, &seen);
	}
	wal_close(wal);
	CHECK_OP(disk->mem.bytes, ==, 0);
	return 0;
}

/* ---- Repair ---- */

/* What the repaired log has come to. */
struct chain {
	uint64_t sequence, epoch, salt;
	uint32_t crc;
	uint64_t last_index;
};

static void repair_entries(uint8_t *at, size_t size, struct chain *chain, struct rng *rng)
{
	bool in_order = rng_below(rng, 4) > 0;
	while (size >= ENTRY_HEADER_BYTES) {
		if (get_le32(at + 4) > size || entry_bytes(get_le32(at + 4)) > size)
			put_le32(at + 4, (uint32_t)(size & ~(size_t)7) - ENTRY_HEADER_BYTES);
		if (in_order && get_le64(at + 8) > chain->last_index + 1)
			put_le64(at + 8, chain->last_index + 1);
		chain->last_index = get_le64(at + 8);
		size_t length = get_le32(at + 4);
		put_le32(at, crc32c(0, at + 4, ENTRY_HEADER_BYTES - 4 + length));
		size -= entry_bytes(length);
		at += entry_bytes(length);
	}
}

static void repair_records(uint8_t *at, size_t size, struct chain *chain, struct rng *rng)
{
	while (size >= RECORD_HEADER_BYTES) {
		size_t left = size - RECORD_HEADER_BYTES;
		size_t length = get_le32(at + 8) < left ? get_le32(at + 8) : left;
		put_le32(at + 8, (uint32_t)length);
		uint8_t *content = at + RECORD_HEADER_BYTES;
		if (get_le16(at) == RECORD_ENTRIES)
			repair_entries(content, length, chain, rng);
		else if (get_le16(at) == RECORD_BASE && length >= 8 && (get_le16(at + 2) & RECORD_BASE_KEEPS) == 0)
			chain->last_index = get_le64(content);
		else if (get_le16(at) == RECORD_STATE && length == RECORD_STATE_BYTES)
			chain->last_index = get_le64(content + 40);
		size_t used = RECORD_HEADER_BYTES + wal_round_up(length, 8);
		used = used < size ? used : size;
		at += used;
		size -= used;
	}
}

/* Epochs and sequences that a log can come to: at the end of the numbers there is no next one. */
static void repair_count(uint8_t *at)
{
	put_le64(at, get_le64(at) & UINT32_MAX);
}

static void repair_segment(struct chunk *c, struct chain *chain)
{
	repair_count(c->bytes + 40);
	put_le32(c->bytes + 12, WAL_VERSION);
	put_le64(c->bytes + 16, c->number);
	chain->salt = get_le64(c->bytes + 32);
	put_le32(c->bytes + 8, crc32c(0, c->bytes + 12, SEGMENT_HEADER_BYTES - 12));
}

static void repair_batch(struct chunk *c, struct chain *chain, struct rng *rng)
{
	uint8_t *b = c->bytes;
	size_t body_at = BATCH_COMMITS_AT + (size_t)get_le16(b + 6) * BATCH_COMMIT_BYTES;
	if (body_at > c->length) {
		put_le16(b + 6, 1);
		body_at = BATCH_BODY_AT;
	}
	size_t body = get_le32(b + 40) < c->length - body_at ? get_le32(b + 40) : c->length - body_at;
	put_le32(b + 40, (uint32_t)(body & ~(size_t)7));
	repair_records(b + body_at, body & ~(size_t)7, chain, rng);
	repair_count(b + 8);
	repair_count(b + 16);
	put_le64(b + 24, chain->salt);
	put_le64(b + 32, (uint64_t)c->block * WAL_BLOCK_BYTES);
	if (rng_below(rng, 16) > 0 && chain->sequence > 0) {
		put_le64(b + 8, chain->sequence + 1);
		put_le32(b + 48, chain->crc);
		if (get_le64(b + 16) < chain->epoch)
			put_le64(b + 16, chain->epoch);
	}
	put_le32(b + 44, crc32c(0, b + body_at, body & ~(size_t)7));
	put_le32(b, crc32c(0, b + 4, body_at - 4));
	chain->crc = get_le32(b);
	chain->sequence = get_le64(b + 8);
	chain->epoch = get_le64(b + 16);
}

static void repair(struct chunks *chunks, struct rng *rng)
{
	struct chain chain = {.salt = 0};
	for (size_t i = 0; i < chunks->count; i++) {
		struct chunk *c = &chunks->at[i];
		if (c->block == 0 && c->length >= SEGMENT_HEADER_BYTES)
			repair_segment(c, &chain);
		else if (c->block > 0 && c->length >= BATCH_BODY_AT)
			repair_batch(c, &chain, rng);
	}
}

/* A whole chunk goes, comes again, changes places, or moves. */
static void mutate_order(struct chunks *chunks, struct rng *rng)
{
	size_t i = rng_below(rng, chunks->count), j = rng_below(rng, chunks->count);
	uint64_t what = rng_below(rng, 5);
	if (what == 0) {
		memmove(&chunks->at[i], &chunks->at[i + 1], (--chunks->count - i) * sizeof chunks->at[0]);
	} else if (what == 1 && chunks->count < CHUNKS_MAX) {
		chunks->at[chunks->count] = chunks->at[i];
		chunks->at[chunks->count].block = chunks->at[chunks->count - 1].block + 1;
		chunks->at[chunks->count].block %= SEGMENT / WAL_BLOCK_BYTES;
		chunks->count++;
	} else if (what == 2) {
		struct chunk c = chunks->at[i];
		chunks->at[i] = chunks->at[j];
		chunks->at[j] = c;
	} else if (what == 3) {
		chunks->at[i].block = (unsigned)rng_below(rng, SEGMENT / WAL_BLOCK_BYTES);
	} else {
		chunks->at[i].number = 1 + (unsigned)rng_below(rng, 4);
		chunks->at[i].ends = rng_below(rng, 4) == 0;
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned seed)
{
	static struct chunks chunks;
	struct rng rng = rng_seed(seed);
	uint64_t what = rng_below(&rng, 16);
	if (what == 0)
		size = LLVMFuzzerMutate(bytes, size, size_max);
	chunks_parse(&chunks, bytes, size);
	if (chunks.count == 0)
		return size;
	if (what < 4) {
		mutate_order(&chunks, &rng);
	} else if (what > 0) {
		struct chunk *c = &chunks.at[rng_below(&rng, chunks.count)];
		c->length = LLVMFuzzerMutate(c->bytes, c->length, CHUNK_BYTES_MAX);
	}
	if (rng_below(&rng, 8) > 0)
		repair(&chunks, &rng);
	return chunks_put(&chunks, bytes, size_max);
}

/* ---- Seeds ---- */

static struct chunk *add_chunk(struct chunks *chunks, unsigned number, unsigned block, const uint8_t *bytes,
			       size_t size)
{
	assert_true(chunks->count < CHUNKS_MAX && size <= CHUNK_BYTES_MAX);
	struct chunk *c = &chunks->at[chunks->count++];
	*c = (struct chunk){.number = number, .block = block, .length = size};
	memcpy(c->bytes, bytes, size);
	return c;
}

/* What stands on the disk, without the zeros. */
static void seed_of(const char *name, struct world *w)
{
	static struct chunks chunks;
	static uint8_t bytes[256 * 1024];
	chunks.count = 0;
	for (unsigned number = 1; number <= NUMBER_MAX; number++) {
		char path[40];
		struct segment_header segment;
		struct batch_header batch;
		snprintf(path, sizeof path, "d/wal/%016x.wal", number);
		struct name *file = name_in(w->disk->names, path);
		if (file == NULL || segment_header_decode(file->inode->now, &segment) != SEGMENT_GOOD)
			continue;
		add_chunk(&chunks, number, 0, file->inode->now, SEGMENT_HEADER_BYTES);
		for (unsigned block = 1; block < SEGMENT / WAL_BLOCK_BYTES; block++) {
			const uint8_t *at = file->inode->now + (size_t)block * WAL_BLOCK_BYTES;
			if (batch_header_decode(at, &segment, (uint64_t)block * WAL_BLOCK_BYTES, &batch))
				add_chunk(&chunks, number, block, at, batch_body_at(&batch) + batch.body_bytes);
		}
	}
	fuzz_seed(name, bytes, chunks_put(&chunks, bytes, sizeof bytes));
}

static void write_seeds(void)
{
	struct world *w = world_new(1);
	born(w);
	seed_of("born", w);
	put_hard(w, 1, 2);
	put_entries(w, 1, 3, 20);
	drain(w);
	note(w, 3);
	put_hard(w, 2, 0);
	put_entries(w, 3, 2, 9);
	drain(w);
	seal(w);
	seed_of("replaced", w);
	close_log(w);
	assert_true(open_log(w));
	put_entries(w, 5, 2, 5000);
	drain(w);
	seed_of("cut", w);
	put_keep(w, 3);
	drain(w);
	seed_of("compacted", w);
	for (uint64_t index = 7; index < 20; index++) {
		put_entries(w, index, 1, 8);
		drain(w);
	}
	seed_of("two_segments", w);
	put_keep(w, 19);
	drain(w);
	seed_of("recycled", w);
	put_base(w, 100);
	put_entries(w, 101, 1, 8);
	drain(w);
	seed_of("installed", w);
	world_free(w);
}
