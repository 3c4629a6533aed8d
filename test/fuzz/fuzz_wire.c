/*
 * Frames between nodes, as a stream. What a decoder takes can be encoded, and what comes of that is taken for the same;
 * a frame that is not there to its end is not taken; what a decoder promises holds.
 */
#include "fuzz.h"

#include "base/crc32c.h"
#include "base/entry.h"
#include "wire/wire.h"

static void expect_entries(const struct wire_raft *raft)
{
	const struct ikada_message *m = &raft->message;
	uint64_t count = 0;
	for (size_t at = 0; at < raft->entries_size; count++) {
		struct entry entry;
		size_t size = entry_decode(raft->entries + at, raft->entries_size - at, &entry);
		CHECK_OP(size, >, 0);
		CHECK_OP(entry.index, ==, m->prev_index + 1 + count);
		at += size;
	}
	CHECK_OP(m->prev_index + count, ==, m->last_index);
	CHECK((count == 0) == (raft->run_count == 0));
	for (uint32_t i = 0; i < raft->run_count; i++) {
		CHECK_OP(raft->runs[i].first, >, i == 0 ? m->prev_index : raft->runs[i - 1].first);
		CHECK_OP(raft->runs[i].first, <=, m->last_index);
		CHECK_OP(raft->runs[i].term, >=, i == 0 ? m->prev_term : raft->runs[i - 1].term + 1);
		CHECK_OP(raft->runs[i].term, <=, m->term);
	}
}

static bool recode_raft(const struct wire_frame *frame, struct buf *out)
{
	struct wire_raft raft;
	if (!wire_get_raft(frame, &raft))
		return false;
	if (raft.message.kind == IKADA_APPEND)
		expect_entries(&raft);
	const struct wire_piece piece = {raft.entries, raft.entries_size};
	wire_put_raft(out, frame->cluster_id, &raft.message, &piece, raft.entries_size > 0);
	return true;
}

static bool recode_hello(const struct wire_frame *frame, struct buf *out)
{
	struct wire_hello hello;
	if (!wire_get_hello(frame, &hello))
		return false;
	wire_put_hello(out, (enum wire_type)frame->type, frame->cluster_id, &hello);
	return true;
}

static bool recode_forward(const struct wire_frame *frame, struct buf *out)
{
	struct wire_forward forward;
	if (!wire_get_forward(frame, &forward))
		return false;
	wire_put_forward(out, frame->cluster_id, &forward);
	return true;
}

static bool recode_forward_reply(const struct wire_frame *frame, struct buf *out)
{
	struct wire_forward_reply reply;
	if (!wire_get_forward_reply(frame, &reply))
		return false;
	wire_put_forward_reply(out, frame->cluster_id, &reply);
	return true;
}

static bool recode_chunk(const struct wire_frame *frame, struct buf *out)
{
	struct wire_chunk chunk;
	if (!wire_get_chunk(frame, &chunk))
		return false;
	CHECK_OP(chunk.offset + chunk.size, <=, chunk.file_bytes);
	wire_put_chunk(out, frame->cluster_id, &chunk);
	return true;
}

static bool recode_ack(const struct wire_frame *frame, struct buf *out)
{
	struct wire_ack ack;
	if (!wire_get_ack(frame, &ack))
		return false;
	wire_put_ack(out, frame->cluster_id, &ack);
	return true;
}

static bool recode_ask(const struct wire_frame *frame, struct buf *out)
{
	uint64_t index;
	if (!wire_get_ask(frame, &index))
		return false;
	wire_put_ask(out, frame->cluster_id, index);
	return true;
}

static bool recode_digests(const struct wire_frame *frame, struct buf *out)
{
	struct wire_digest digests[WIRE_DIGESTS_MAX];
	size_t count;
	if (!wire_get_digests(frame, digests, &count))
		return false;
	wire_put_digests(out, frame->cluster_id, digests, count);
	return true;
}

static bool recode_plain(const struct wire_frame *frame, struct buf *out)
{
	wire_put_plain(out, (enum wire_type)frame->type, frame->cluster_id, frame->body, frame->body_size);
	return true;
}

/* The frame again, made of what was understood of it. False: nothing was. */
static bool recode(const struct wire_frame *frame, struct buf *out)
{
	switch (frame->type) {
	case WIRE_HELLO:
	case WIRE_WELCOME:
		return recode_hello(frame, out);
	case WIRE_REFUSE:
	case WIRE_PING:
		return recode_plain(frame, out);
	case WIRE_RAFT:
		return recode_raft(frame, out);
	case WIRE_FORWARD:
		return recode_forward(frame, out);
	case WIRE_FORWARD_REPLY:
		return recode_forward_reply(frame, out);
	case WIRE_SNAPSHOT_CHUNK:
		return recode_chunk(frame, out);
	case WIRE_SNAPSHOT_ACK:
		return recode_ack(frame, out);
	case WIRE_SNAPSHOT_ASK:
		return recode_ask(frame, out);
	case WIRE_DIGESTS:
		return recode_digests(frame, out);
	default:
		return false;
	}
}

static void expect_same(const struct buf *left, const struct buf *right)
{
	CHECK_OP(buf_size(left), ==, buf_size(right));
	CHECK(memcmp(buf_at(left), buf_at(right), buf_size(left)) == 0);
}

/* What is encoded has no group yet, and entries name theirs. */
static void judge_frame(const struct wire_frame *frame, struct mem *mem)
{
	struct wire_frame again;
	struct buf once, twice;
	size_t used;
	buf_init(&once, mem);
	buf_init(&twice, mem);
	if (recode(frame, &once) && frame->group == 0) {
		CHECK(wire_next(buf_at(&once), buf_size(&once), WIRE_BODY_BYTES_MAX, &again, &used) == WIRE_FRAME);
		CHECK_OP(used, ==, buf_size(&once));
		CHECK(again.type == frame->type && again.cluster_id == frame->cluster_id);
		CHECK(recode(&again, &twice));
		expect_same(&once, &twice);
	}
	buf_free(&once);
	buf_free(&twice);
}

/* Members stand in snapshots and identity files too, without a frame. */
static void judge_members(const uint8_t *bytes, size_t size, struct mem *mem)
{
	struct wire_members members, again;
	struct ikada_config config;
	struct buf out;
	buf_init(&out, mem);
	if (wire_get_config(bytes, size, &config)) {
		wire_put_config(&out, &config);
		CHECK(buf_size(&out) == size && memcmp(buf_at(&out), bytes, size) == 0);
		CHECK(wire_cluster_id(&config) != 0);
		(void)ikada_config_valid(&config);
		buf_consume(&out, buf_size(&out));
	}
	if (wire_get_members(bytes, size, &members)) {
		wire_put_members(&out, &members);
		CHECK(buf_size(&out) == size && memcmp(buf_at(&out), bytes, size) == 0);
		CHECK(wire_get_members(buf_at(&out), buf_size(&out), &again));
	}
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct wire_frame frame, part;
	struct mem mem;
	size_t used;
	mem_init(&mem, true);
	judge_members(bytes, size, &mem);
	while (wire_next(bytes, size, WIRE_BODY_BYTES_MAX, &frame, &used) == WIRE_FRAME) {
		size_t part_used;
		CHECK_OP(used, <=, size);
		CHECK_OP(frame.body_size, ==, used - WIRE_HEADER_BYTES);
		for (size_t less = 1; less < used; less *= 2)
			CHECK(wire_next(bytes, used - less, WIRE_BODY_BYTES_MAX, &part, &part_used) == WIRE_MORE);
		if (frame.body_size > 0)
			CHECK(wire_next(bytes, size, frame.body_size - 1, &part, &part_used) == WIRE_HOSTILE);
		judge_frame(&frame, &mem);
		judge_members(frame.body, frame.body_size, &mem);
		bytes += used;
		size -= used;
	}
	CHECK_OP(mem.bytes, ==, 0);
	return 0;
}

/* ---- Repair ---- */

/* Makes what stands there entries again, in a row; the last one may have to be cut. */
static void repair_entries(uint8_t *body, size_t size, struct rng *rng)
{
	bool in_order = rng_below(rng, 8) > 0;
	uint64_t index = get_le64(body + 8 + 5 * 8), term = get_le64(body + 8 + 6 * 8);
	uint8_t *at = body + WIRE_RAFT_BYTES, *end = body + size;
	for (; end - at >= ENTRY_HEADER_BYTES; at += entry_bytes(get_le32(at + 4))) {
		size_t left = (size_t)(end - at);
		if (get_le32(at + 4) > left || entry_bytes(get_le32(at + 4)) > left)
			put_le32(at + 4, (uint32_t)(left & ~(size_t)7) - ENTRY_HEADER_BYTES);
		size_t length = get_le32(at + 4);
		index++;
		if (in_order) {
			put_le64(at + 8, index);
			term = get_le64(at + 16) < term ? term : get_le64(at + 16);
			put_le64(at + 16, term);
			memset(at + ENTRY_HEADER_BYTES + length, 0, entry_bytes(length) - ENTRY_HEADER_BYTES - length);
		}
		put_le32(at, crc32c(0, at + 4, ENTRY_HEADER_BYTES - 4 + length));
	}
	if (in_order)
		put_le64(body + 8 + 7 * 8, index);
	if (in_order && get_le64(body + 8 + 2 * 8) < term)
		put_le64(body + 8 + 2 * 8, term);
}

/* The cluster id of a hello is that of the configuration it carries. */
static void repair_hello(uint8_t *frame, const uint8_t *body, size_t size)
{
	struct ikada_config config;
	if (size < 34 || get_le64(frame + 16) == 0)
		return;
	size_t at = 34 + (size_t)get_le16(body + 32);
	if (at <= size && wire_get_config(body + at, size - at, &config))
		put_le64(frame + 16, wire_cluster_id(&config));
}

static void repair(uint8_t *bytes, size_t size, struct rng *rng)
{
	while (size >= WIRE_HEADER_BYTES) {
		size_t left = size - WIRE_HEADER_BYTES;
		size_t body_size = get_le32(bytes) > left ? left : get_le32(bytes);
		uint8_t *body = bytes + WIRE_HEADER_BYTES;
		uint16_t type = get_le16(bytes + 4);
		put_le32(bytes, (uint32_t)body_size);
		put_le16(bytes + 6, WIRE_VERSION);
		if (type == WIRE_RAFT && body_size > WIRE_RAFT_BYTES)
			repair_entries(body, body_size, rng);
		if (type == WIRE_HELLO || type == WIRE_WELCOME)
			repair_hello(bytes, body, body_size);
		size_t covered = type == WIRE_RAFT && body_size > WIRE_RAFT_BYTES ? WIRE_RAFT_BYTES : body_size;
		uint32_t crc = crc32c(crc32c(0, bytes, 12), bytes + 16, 8);
		put_le32(bytes + 12, crc32c(crc, body, covered));
		bytes += WIRE_HEADER_BYTES + body_size;
		size -= WIRE_HEADER_BYTES + body_size;
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned seed)
{
	struct rng rng = rng_seed(seed);
	size = LLVMFuzzerMutate(bytes, size, size_max);
	if (rng_below(&rng, 16) > 0)
		repair(bytes, size, &rng);
	return size;
}

/* ---- Seeds ---- */

static struct ikada_config some_config(void)
{
	struct ikada_config config = {.index = 7, .max_id = 5, .count = 4};
	for (uint32_t i = 0; i < config.count; i++)
		config.members[i] = (struct ikada_member){i + 2, 1000 + i, (enum ikada_standing)(i == 3)};
	return config;
}

static void seed_of(const char *name, struct buf *out)
{
	fuzz_seed(name, buf_at(out), buf_size(out));
	buf_consume(out, buf_size(out));
}

static void seed_raft(struct buf *out)
{
	struct ikada_message m = {.from = 2, .to = 3, .term = 9};
	for (int kind = IKADA_PREVOTE; kind <= IKADA_TIMEOUT_NOW; kind++) {
		m.kind = (enum ikada_message_kind)kind;
		if (kind != IKADA_SNAPSHOT && kind != IKADA_APPEND)
			wire_put_raft(out, 77, &m, NULL, 0);
	}
	seed_of("raft", out);
	uint8_t bytes[512];
	size_t size = 0;
	m.kind = IKADA_APPEND;
	m.prev_index = 40;
	m.prev_term = 5;
	for (uint64_t i = 0; i < 3; i++) {
		const struct entry entry = {.index = 41 + i,
					    .term = 5 + i,
					    .stamp = 100,
					    .kind = ENTRY_COMMAND,
					    .length = (uint32_t)(5 * i),
					    .payload = (const uint8_t *)"0123456789"};
		entry_encode(bytes + size, &entry);
		size += entry_bytes(entry.length);
		m.last_index = entry.index;
	}
	const struct wire_piece pieces[2] = {{bytes, ENTRY_HEADER_BYTES},
					     {bytes + ENTRY_HEADER_BYTES, size - ENTRY_HEADER_BYTES}};
	wire_put_raft(out, 77, &m, pieces, 2);
	seed_of("append", out);
}

static void write_seeds(void)
{
	struct mem mem;
	struct buf out;
	mem_init(&mem, false);
	buf_init(&out, &mem);
	seed_raft(&out);
	struct wire_hello hello = {.to = 2, .from = 3, .incarnation = 1001, .boot = 5, .client_address = "[::1]:7001"};
	wire_put_hello(&out, WIRE_HELLO, 0, &hello);
	seed_of("hello", &out);
	hello.config = some_config();
	wire_put_hello(&out, WIRE_WELCOME, wire_cluster_id(&hello.config), &hello);
	seed_of("welcome", &out);
	wire_put_plain(&out, WIRE_PING, 77, NULL, 0);
	wire_put_plain(&out, WIRE_REFUSE, 0, "no", 2);
	seed_of("plain", &out);
	wire_put_forward(&out, 77, &(struct wire_forward){1, 9, false, 3, (const uint8_t *)"SET", 3});
	wire_put_forward_reply(&out, 77, &(struct wire_forward_reply){1, 0, (const uint8_t *)"+OK\r\n", 5});
	seed_of("forward", &out);
	wire_put_chunk(&out, 77, &(struct wire_chunk){9, 40, 5, 4096, 1024, false, (const uint8_t *)"piece", 5});
	wire_put_ack(&out, 77, &(struct wire_ack){40, 5, 1029, WIRE_ACK_WANTS});
	wire_put_ask(&out, 77, 40);
	seed_of("snapshot", &out);
	const struct wire_digest digests[2] = {{.index = 1024}, {.index = 2048}};
	wire_put_digests(&out, 77, digests, 2);
	seed_of("digests", &out);
	struct wire_members members = {.config = some_config()};
	for (uint32_t i = 0; i < members.config.count; i++)
		strcpy(members.addresses[i], "127.0.0.1:17001");
	wire_put_members(&out, &members);
	seed_of("members", &out);
	buf_free(&out);
}
