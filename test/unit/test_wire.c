/* Frames between nodes: what goes in comes out; what was cut or changed is refused; garbage harms nobody. */
#include "test_wire.h"

/* ---- Raft messages ---- */

static struct ikada_message message(enum ikada_message_kind kind)
{
	return (struct ikada_message){
		.kind = kind,
		.granted = kind % 2 == 0,
		.rejected = kind == IKADA_APPEND_REPLY,
		.from = 1,
		.to = 2,
		.term = 30,
		.after = 99, /* Stays at home. */
		.round = 4,
		.sent_ns = 5,
		.prev_index = 6,
		.prev_term = 7,
		.last_index = 6,
		.last_term = 9,
		.commit = 10,
		.match_index = 11,
		.verified_index = 12,
		.conflict_index = 13,
		.conflict_term = 14,
	};
}

static void check_same(const struct ikada_message *a, const struct ikada_message *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->granted, b->granted);
	assert_int_equal(a->rejected, b->rejected);
	assert_int_equal(a->from, b->from);
	assert_int_equal(a->to, b->to);
	assert_int_equal(a->term, b->term);
	assert_int_equal(b->after, 0);
	assert_int_equal(a->round, b->round);
	assert_int_equal(a->sent_ns, b->sent_ns);
	assert_int_equal(a->prev_index, b->prev_index);
	assert_int_equal(a->prev_term, b->prev_term);
	assert_int_equal(a->last_index, b->last_index);
	assert_int_equal(a->last_term, b->last_term);
	assert_int_equal(a->commit, b->commit);
	assert_int_equal(a->match_index, b->match_index);
	assert_int_equal(a->verified_index, b->verified_index);
	assert_int_equal(a->conflict_index, b->conflict_index);
	assert_int_equal(a->conflict_term, b->conflict_term);
}

static void test_raft_without_entries(void **state)
{
	(void)state;
	for (int kind = IKADA_PREVOTE; kind <= IKADA_APPEND_REPLY; kind++) {
		struct ikada_message m = message((enum ikada_message_kind)kind);
		wire_put_raft(&out, CLUSTER, &m, NULL, 0);
		struct wire_frame frame = only_frame();
		struct wire_raft raft;
		assert_true(wire_get_raft(&frame, &raft));
		check_same(&m, &raft.message);
		assert_int_equal(raft.run_count, 0);
		assert_int_equal(raft.entries_size, 0);
		check_truncations();
		check_flips();
		check_short_bodies(true);
		drop_frame();
	}
}

/* Entries from `first` with the given terms; payloads of 0, 1, 2, ... bytes. */
static size_t make_entries(uint8_t *bytes, uint64_t first, const uint64_t *terms, size_t count)
{
	size_t size = 0;
	for (size_t i = 0; i < count; i++) {
		struct entry entry = {
			.index = first + i, .term = terms[i], .kind = ENTRY_COMMAND, .length = (uint32_t)i};
		entry.payload = (const uint8_t *)"abcdefghijklmnopqrstuvwxyz";
		entry_encode(bytes + size, &entry);
		size += entry_bytes(entry.length);
	}
	return size;
}

static bool put_and_get(const struct ikada_message *m, const uint8_t *bytes, size_t size, struct wire_raft *raft)
{
	const struct wire_piece piece = {bytes, size};
	drop_frame();
	wire_put_raft(&out, CLUSTER, m, &piece, 1);
	struct wire_frame frame = only_frame();
	return wire_get_raft(&frame, raft);
}

static void test_raft_with_entries(void **state)
{
	(void)state;
	static const uint64_t terms[] = {7, 7, 8, 30, 30};
	uint8_t bytes[1024];
	size_t size = make_entries(bytes, 7, terms, 5);
	struct ikada_message m = message(IKADA_APPEND);
	m.last_index = 11;
	size_t middle = entry_bytes(0) + entry_bytes(1);
	const struct wire_piece pieces[] = {{bytes, middle}, {bytes + middle, size - middle}};
	wire_put_raft(&out, CLUSTER, &m, pieces, 2);
	struct wire_frame frame = only_frame();
	struct wire_raft raft;
	assert_true(wire_get_raft(&frame, &raft));
	check_same(&m, &raft.message);
	assert_int_equal(raft.entries_size, size);
	assert_memory_equal(raft.entries, bytes, size);
	assert_int_equal(raft.run_count, 3);
	assert_int_equal(raft.runs[0].first, 7);
	assert_int_equal(raft.runs[0].term, 7);
	assert_int_equal(raft.runs[1].first, 9);
	assert_int_equal(raft.runs[1].term, 8);
	assert_int_equal(raft.runs[2].first, 10);
	assert_int_equal(raft.runs[2].term, 30);
	check_truncations();
	check_flips();
	check_short_bodies(true);
}

/* What no leader sends: gaps, falling terms, terms above the message's, a count that is not the message's. */
static void test_raft_lies(void **state)
{
	(void)state;
	static const uint64_t good[] = {7, 8, 8}, falling[] = {8, 7, 8}, below[] = {6, 7, 8}, above[] = {8, 30, 31},
			      none[] = {0, 7, 8};
	uint8_t bytes[1024];
	struct wire_raft raft;
	struct ikada_message m = message(IKADA_APPEND);
	m.last_index = 9;
	size_t size = make_entries(bytes, 7, good, 3);
	assert_true(put_and_get(&m, bytes, size, &raft));
	m.last_index = 10;
	assert_false(put_and_get(&m, bytes, size, &raft));
	m.last_index = 8;
	assert_false(put_and_get(&m, bytes, size, &raft));
	m.last_index = 5;
	assert_false(put_and_get(&m, NULL, 0, &raft));
	m.last_index = 9;
	assert_false(put_and_get(&m, bytes, make_entries(bytes, 8, good, 3), &raft));
	assert_false(put_and_get(&m, bytes, make_entries(bytes, 7, falling, 3), &raft));
	assert_false(put_and_get(&m, bytes, make_entries(bytes, 7, below, 3), &raft));
	assert_false(put_and_get(&m, bytes, make_entries(bytes, 7, above, 3), &raft));
	m.prev_term = 0;
	assert_false(put_and_get(&m, bytes, make_entries(bytes, 7, none, 3), &raft));
	m = message(IKADA_VOTE); /* Not the kind that has entries. */
	assert_false(put_and_get(&m, bytes, make_entries(bytes, 7, good, 3), &raft));
	m = message(IKADA_VOTE);
	assert_true(put_and_get(&m, NULL, 0, &raft));
	m.term = UINT64_MAX; /* One more would be 0. */
	assert_false(put_and_get(&m, NULL, 0, &raft));
	m = message((enum ikada_message_kind)0);
	assert_false(put_and_get(&m, NULL, 0, &raft));
	m = message((enum ikada_message_kind)7);
	assert_false(put_and_get(&m, NULL, 0, &raft));
}

static void test_raft_runs(void **state)
{
	(void)state;
	static uint8_t bytes[(WIRE_RUNS_MAX + 1) * 128];
	uint64_t terms[WIRE_RUNS_MAX + 1];
	for (size_t i = 0; i <= WIRE_RUNS_MAX; i++)
		terms[i] = 10 + i;
	struct wire_raft raft;
	struct ikada_message m = message(IKADA_APPEND);
	m.term = 1000;
	size_t size = 0;
	for (size_t i = 0; i <= WIRE_RUNS_MAX; i++) {
		size += make_entries(bytes + size, 7 + i, &terms[i], 1);
		m.last_index = 7 + i;
		assert_int_equal(put_and_get(&m, bytes, size, &raft), i < WIRE_RUNS_MAX);
	}
	assert_int_equal(raft.run_count, WIRE_RUNS_MAX);
}

/* ---- Requests ---- */

static void test_forward(void **state)
{
	(void)state;
	for (int read = 0; read < 2; read++) {
		const struct wire_forward forward = {.number = 17,
						     .term = 18,
						     .read = read == 1,
						     .tag = 19,
						     .bytes = (const uint8_t *)"SET a 1",
						     .size = 7};
		wire_put_forward(&out, CLUSTER, &forward);
		struct wire_frame frame = only_frame();
		struct wire_forward got;
		assert_int_equal(frame.type, WIRE_FORWARD);
		assert_true(wire_get_forward(&frame, &got));
		assert_int_equal(got.number, 17);
		assert_int_equal(got.term, 18);
		assert_int_equal(got.read, read == 1);
		assert_int_equal(got.tag, 19);
		assert_int_equal(got.size, 7);
		assert_memory_equal(got.bytes, "SET a 1", 7);
		check_truncations();
		check_flips();
		check_short_bodies(false);
		drop_frame();
	}
}

static void test_forward_reply(void **state)
{
	(void)state;
	const struct wire_forward_reply reply = {
		.number = 20, .outcome = 100, .bytes = (const uint8_t *)"+OK", .size = 3};
	wire_put_forward_reply(&out, CLUSTER, &reply);
	struct wire_frame frame = only_frame();
	struct wire_forward_reply got;
	assert_int_equal(frame.type, WIRE_FORWARD_REPLY);
	assert_true(wire_get_forward_reply(&frame, &got));
	assert_int_equal(got.number, 20);
	assert_int_equal(got.outcome, 100);
	assert_int_equal(got.size, 3);
	assert_memory_equal(got.bytes, "+OK", 3);
	check_truncations();
	check_flips();
	check_short_bodies(false);
}

/* ---- Snapshots and digests ---- */

static bool put_and_get_chunk(struct wire_chunk chunk, struct wire_chunk *got)
{
	drop_frame();
	wire_put_chunk(&out, CLUSTER, &chunk);
	struct wire_frame frame = only_frame();
	assert_int_equal(frame.type, WIRE_SNAPSHOT_CHUNK);
	return wire_get_chunk(&frame, got);
}

static void test_chunk(void **state)
{
	(void)state;
	const struct wire_chunk chunk = {.term = 9,
					 .index = 1000,
					 .index_term = 8,
					 .file_bytes = 77,
					 .offset = 70,
					 .mend = true,
					 .bytes = (const uint8_t *)"snapped",
					 .size = 7};
	struct wire_chunk got, lie;
	assert_true(put_and_get_chunk(chunk, &got));
	assert_int_equal(got.term, 9);
	assert_int_equal(got.index, 1000);
	assert_int_equal(got.index_term, 8);
	assert_int_equal(got.file_bytes, 77);
	assert_int_equal(got.offset, 70);
	assert_true(got.mend);
	assert_int_equal(got.size, 7);
	assert_memory_equal(got.bytes, "snapped", 7);
	check_truncations();
	check_flips();
	check_short_bodies(false);
	lie = chunk;
	lie.size = 0; /* An offer. */
	lie.offset = 0;
	assert_true(put_and_get_chunk(lie, &got));
	lie = chunk;
	lie.offset = 71; /* Beyond the end of the file. */
	assert_false(put_and_get_chunk(lie, &got));
	lie.offset = UINT64_MAX - 3;
	assert_false(put_and_get_chunk(lie, &got));
	lie = chunk;
	lie.index = 0;
	assert_false(put_and_get_chunk(lie, &got));
	lie = chunk;
	lie.index_term = 10; /* Of a later term than its sender's. */
	assert_false(put_and_get_chunk(lie, &got));
	lie.index_term = 0;
	assert_false(put_and_get_chunk(lie, &got));
	lie = chunk;
	lie.index = UINT64_MAX / 2;
	assert_false(put_and_get_chunk(lie, &got));
}

static void test_ack_and_ask(void **state)
{
	(void)state;
	for (int status = WIRE_ACK_WANTS; status <= WIRE_ACK_FAILED + 1; status++) {
		const struct wire_ack ack = {
			.index = 12, .index_term = 3, .offset = 4096, .status = (enum wire_ack_status)status};
		struct wire_ack got;
		wire_put_ack(&out, CLUSTER, &ack);
		struct wire_frame frame = only_frame();
		assert_int_equal(frame.type, WIRE_SNAPSHOT_ACK);
		assert_int_equal(wire_get_ack(&frame, &got), status <= WIRE_ACK_FAILED);
		assert_true(got.index == 12 && got.index_term == 3 && got.offset == 4096 && (int)got.status == status);
		check_truncations();
		check_flips();
		check_short_bodies(true);
		drop_frame();
	}
	uint64_t index;
	wire_put_ask(&out, CLUSTER, 55);
	struct wire_frame frame = only_frame();
	assert_int_equal(frame.type, WIRE_SNAPSHOT_ASK);
	assert_true(wire_get_ask(&frame, &index));
	assert_int_equal(index, 55);
	check_truncations();
	check_flips();
	check_short_bodies(true);
}

static void test_digests(void **state)
{
	(void)state;
	struct wire_digest digests[WIRE_DIGESTS_MAX + 1], got[WIRE_DIGESTS_MAX];
	size_t count;
	for (size_t i = 0; i <= WIRE_DIGESTS_MAX; i++) {
		digests[i].index = 1024 * (i + 1);
		memset(digests[i].bytes, (int)i, sizeof digests[i].bytes);
	}
	for (size_t n = 1; n <= WIRE_DIGESTS_MAX; n += 21) {
		wire_put_digests(&out, CLUSTER, digests, n);
		struct wire_frame frame = only_frame();
		assert_int_equal(frame.type, WIRE_DIGESTS);
		assert_true(wire_get_digests(&frame, got, &count));
		assert_int_equal(count, n);
		assert_memory_equal(got, digests, n * sizeof *got);
		check_truncations();
		if (n == 1)
			check_flips();
		drop_frame();
	}
	/* None, too many, not ascending. */
	struct wire_frame frame;
	size_t used;
	static uint8_t body[(WIRE_DIGESTS_MAX + 1) * 24];
	for (size_t i = 0; i <= WIRE_DIGESTS_MAX; i++)
		put_le64(body + i * 24, i + 1);
	for (size_t n = 0; n <= WIRE_DIGESTS_MAX + 1; n++) {
		wire_put_plain(&out, WIRE_DIGESTS, CLUSTER, body, n * 24);
		assert_int_equal(wire_next(buf_at(&out), buf_size(&out), WIRE_BODY_BYTES_MAX, &frame, &used),
				 WIRE_FRAME);
		assert_int_equal(wire_get_digests(&frame, got, &count), n > 0 && n <= WIRE_DIGESTS_MAX);
		drop_frame();
	}
	put_le64(body + 24, 1);
	wire_put_plain(&out, WIRE_DIGESTS, CLUSTER, body, 48);
	frame = only_frame();
	assert_false(wire_get_digests(&frame, got, &count));
}

/* ---- Streams ---- */

/* Several frames, fed byte by byte and in random pieces: the same frames come out. */
static void test_split_points(void **state)
{
	(void)state;
	struct rng rng = rng_seed(3);
	struct ikada_message m = message(IKADA_APPEND);
	for (int i = 0; i < 20; i++) {
		m.round = (uint64_t)i;
		wire_put_raft(&out, CLUSTER, &m, NULL, 0);
		wire_put_plain(&out, WIRE_PING, CLUSTER, NULL, 0);
	}
	for (int run = 0; run < 50; run++) {
		struct buf in;
		buf_init(&in, &mem);
		uint64_t rounds = 0, pings = 0;
		for (size_t at = 0; at < buf_size(&out);) {
			size_t n = run == 0 ? 1 : rng_between(&rng, 1, 400);
			if (n > buf_size(&out) - at)
				n = buf_size(&out) - at;
			buf_add(&in, buf_at(&out) + at, n);
			at += n;
			struct wire_frame frame;
			size_t used;
			while (wire_next(buf_at(&in), buf_size(&in), 4096, &frame, &used) == WIRE_FRAME) {
				struct wire_raft raft;
				if (frame.type == WIRE_PING) {
					pings++;
				} else {
					assert_true(wire_get_raft(&frame, &raft));
					assert_int_equal(raft.message.round, rounds++);
				}
				buf_consume(&in, used);
			}
		}
		assert_int_equal(rounds, 20);
		assert_int_equal(pings, 20);
		assert_int_equal(buf_size(&in), 0);
		buf_free(&in);
	}
}

/* A length that is too large, or another version, is seen as soon as the header is there. */
static void test_header(void **state)
{
	(void)state;
	struct wire_frame frame;
	size_t used;
	uint8_t body[101] = {0};
	wire_put_plain(&out, WIRE_REFUSE, CLUSTER, body, 101);
	assert_int_equal(wire_next(buf_at(&out), buf_size(&out), 101, &frame, &used), WIRE_FRAME);
	assert_int_equal(wire_next(buf_at(&out), WIRE_HEADER_BYTES, 100, &frame, &used), WIRE_HOSTILE);
	buf_at(&out)[6] = WIRE_VERSION + 1;
	assert_int_equal(wire_next(buf_at(&out), WIRE_HEADER_BYTES, 101, &frame, &used), WIRE_HOSTILE);
}

/* Random bytes, and random bodies under a correct checksum of a hostile sender, harm nobody. */
static void test_garbage(void **state)
{
	(void)state;
	struct rng rng = rng_seed(11);
	uint8_t body[400];
	for (int i = 0; i < 20000; i++) {
		size_t n = rng_below(&rng, sizeof body);
		for (size_t j = 0; j < n; j++)
			body[j] = (uint8_t)(rng_below(&rng, 3) == 0 ? rng_next(&rng) : 0);
		struct wire_frame frame;
		size_t used;
		uint8_t *raw = exact(body, n);
		assert_int_not_equal(wire_next(raw, n, 4096, &frame, &used), WIRE_FRAME);
		free(raw);
		wire_put_plain(&out, (enum wire_type)rng_below(&rng, WIRE_DIGESTS + 2), rng_below(&rng, 2), body, n);
		uint8_t *sealed = exact(buf_at(&out), buf_size(&out));
		if (wire_next(sealed, buf_size(&out), 4096, &frame, &used) == WIRE_FRAME)
			(void)decodes(&frame);
		free(sealed);
		drop_frame();
	}
}
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_raft_without_entries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_raft_with_entries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_raft_lies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_raft_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forward, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forward_reply, setup, teardown),
		cmocka_unit_test_setup_teardown(test_chunk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ack_and_ask, setup, teardown),
		cmocka_unit_test_setup_teardown(test_digests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_split_points, setup, teardown),
		cmocka_unit_test_setup_teardown(test_header, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
