/*
 * docs/formats.md tells what the code does: the bytes that it shows are what the code writes, and what it reads back;
 * the numbers in its tables are those of the code. Who changes a format changes the document, or fails here.
 */
#include "unit/formats_doc.h"

#include "base/entry.h"
#include "node/node_internal.h"
#include "server/machine.h"
#include "sim/sim_env.h"
#include "wal/format.h"
#include "wal/snapshot.h"
#include "wal/wal.h"
#include "wire/wire.h"

#define MS ((uint64_t)1000000)
#define SEGMENT SEGMENT_BYTES_MIN
#define RANDOM 0x1032547698badcfeu
#define STAMP 0x18a2b3c4d5e6f708u
enum { NODE = 1, BATCHES = 4 };
static const char SEGMENT_PATH[] = "wal/0000000000000001.wal";
static const char *const BATCH[BATCHES] = {"batch-cut", "batch-base", "batch-entries", "batch-seal"};

/* ---- A machine of the simulated world, whose random numbers are all the same ---- */

static struct env_ops ops;

static uint64_t always(struct env *env)
{
	(void)env;
	return RANDOM;
}

struct place {
	struct sim *sim;
	struct sim_host *host;
	struct env *env;
	struct wal *wal;
	struct wal_state state;
	uint64_t durable;
	uint64_t base_index, base_term, last_index, last_request; /* As handed over by a recovery. */
	bool same_config;
	struct snapshot_draft *draft;
	struct machine *machine;
	struct ikada_node *node;
	char error[512];
};

static void place_open(struct place *p)
{
	*p = (struct place){.sim = sim_create(1)};
	p->host = sim_host_create(p->sim, 1, "n1");
	p->env = sim_host_start(p->host);
	ops = *p->env->ops;
	ops.random = always;
	p->env->ops = &ops;
}

static void place_run(struct place *p, void (*fn)(void *context))
{
	assert_true(sim_host_run(p->host, fn, p));
	sim_run_until(p->sim, sim_now(p->sim) + 200 * MS);
	assert_true(sim_host_running(p->host));
}

static void place_close(struct place *p)
{
	assert_int_equal(sim_host_stop(p->host), 0);
	sim_destroy(p->sim);
}

/* ---- Examples that stand in several formats ---- */

static struct buf fresh(struct mem *mem)
{
	struct buf buf;
	mem_init(mem, true);
	buf_init(&buf, mem);
	return buf;
}

/* `SET a 1`. */
static void put_command(struct buf *out)
{
	static const char words[] = "SETa1";
	static const struct span spans[] = {{0, 3}, {3, 1}, {4, 1}};
	const struct request request = {(const uint8_t *)words, spans, 3};
	machine_encode(out, command_find((struct slice){(const uint8_t *)"set", 3}), &request);
}

static const struct ikada_config FIRST = {
	.max_id = 3, .count = 1, .members = {{.id = 3, .incarnation = 0x1032547698badcffu}}};

/* The command as entry 2 of the log. */
static size_t put_entry(uint8_t *at, uint64_t term, const struct buf *command)
{
	entry_encode(at, &(struct entry){.index = 2,
					 .term = term,
					 .stamp = STAMP,
					 .kind = ENTRY_COMMAND,
					 .request_node = 3,
					 .request_boot = RANDOM,
					 .request_number = 9,
					 .length = (uint32_t)buf_size(command),
					 .payload = buf_at(command)});
	return entry_bytes(buf_size(command));
}

/* ---- Entries and commands ---- */

static void test_command(void **state)
{
	(void)state;
	struct mem mem;
	struct buf command = fresh(&mem);
	put_command(&command);
	doc_shows("command", buf_at(&command), buf_size(&command));
	struct buf several;
	buf_init(&several, &mem);
	machine_begin(&several);
	put_command(&several);
	put_command(&several);
	struct slice entry = machine_end(&several, 2);
	doc_shows("commands", entry.bytes, entry.size);
	const struct block *block = doc_block("command");
	struct buf reply;
	buf_init(&reply, &mem);
	struct machine *machine = machine_create(&mem);
	assert_int_equal(machine_apply(machine, block->bytes, block->size, RESP_2, &reply), MACHINE_DONE);
	assert_memory_equal(buf_at(&reply), "+OK\r\n", 5);
	struct slice value;
	assert_true(keyspace_get(&machine->keyspace, (struct slice){(const uint8_t *)"a", 1}, &value));
	assert_int_equal(value.size, 1);
	block = doc_block("commands");
	buf_cut(&reply, 0);
	assert_int_equal(machine_apply(machine, block->bytes, block->size, RESP_2, &reply), MACHINE_DONE);
	assert_memory_equal(buf_at(&reply), "+OK\r\n+OK\r\n", 10);
	machine_destroy(machine);
	buf_free(&reply);
	buf_free(&several);
	buf_free(&command);
	assert_int_equal(mem.bytes, 0);
}

static void test_entry(void **state)
{
	(void)state;
	const struct entry in = {.index = 5,
				 .term = 3,
				 .stamp = STAMP,
				 .group = 7,
				 .kind = ENTRY_COMMAND,
				 .format = 4,
				 .request_node = 2,
				 .request_boot = RANDOM,
				 .request_number = 9,
				 .length = 5,
				 .payload = (const uint8_t *)"hello"};
	uint8_t bytes[ENTRY_HEADER_BYTES + 8];
	assert_int_equal(entry_bytes(in.length), sizeof bytes);
	entry_encode(bytes, &in);
	doc_shows("entry", bytes, sizeof bytes);
	const struct block *block = doc_block("entry");
	struct entry out;
	assert_int_equal(entry_decode(block->bytes, block->size, &out), block->size);
	assert_true(out.index == 5 && out.term == 3 && out.stamp == STAMP && out.group == 7 && out.format == 4);
	assert_true(out.kind == ENTRY_COMMAND && out.request_node == 2 && out.request_boot == RANDOM);
	assert_true(out.request_number == 9 && out.length == 5 && memcmp(out.payload, "hello", 5) == 0);
}

/* ---- The log ---- */

static void log_durable(void *context, uint64_t ticket)
{
	((struct place *)context)->durable = ticket;
}

static void log_base(void *context, uint64_t index, uint64_t term, const uint8_t *config, size_t size)
{
	struct place *p = context;
	struct ikada_config found;
	assert_true(wire_get_config(config, size, &found));
	p->same_config = found.count == 1 && found.members[0].incarnation == FIRST.members[0].incarnation;
	p->base_index = index;
	p->base_term = term;
}

static void log_entry(void *context, uint64_t index, uint64_t term, const uint8_t *bytes, size_t size)
{
	struct place *p = context;
	struct entry entry;
	assert_int_equal(entry_decode(bytes, size, &entry), size);
	assert_int_equal(term, index == 1 ? 4 : 6);
	p->last_index = index;
	p->last_request = entry.request_number;
}

static void log_turn(void *context)
{
	wal_flush(((struct place *)context)->wal);
}

static void log_open(void *context)
{
	struct place *p = context;
	const struct wal_settings settings = {"wal", SEGMENT, SEGMENT / 2, log_durable, p};
	const struct wal_replay replay = {p, log_base, log_entry};
	p->wal = wal_open(p->env, &settings, &replay, &p->state, p->error, sizeof p->error);
	if (p->wal == NULL)
		fail_msg("%s", p->error);
	p->env->turn = log_turn;
	p->env->turn_context = p;
}

static void put_base(struct place *p, uint64_t index, uint64_t term, bool keep)
{
	struct buf config;
	buf_init(&config, p->env->mem);
	wire_put_config(&config, &FIRST);
	wal_put_base(p->wal, 0, index, term, buf_at(&config), buf_size(&config), keep);
	wal_put_ticket(p->wal, 1);
	buf_free(&config);
}

static void log_put_base(void *context)
{
	put_base(context, 0, 0, false);
}

static void log_compact(void *context)
{
	put_base(context, 1, 4, true);
}

static void log_put_entries(void *context)
{
	struct place *p = context;
	uint8_t bytes[512];
	struct buf command;
	buf_init(&command, p->env->mem);
	put_command(&command);
	entry_encode(bytes,
		     &(struct entry){.index = 1, .term = 4, .stamp = STAMP, .kind = ENTRY_NOOP, .request_node = 3});
	size_t size = ENTRY_HEADER_BYTES;
	size += put_entry(bytes + size, 6, &command);
	wal_put_hard(p->wal, 0, 7, 3, RANDOM | 1);
	wal_put_entries(p->wal, bytes, size);
	wal_note_commit(p->wal, 0, 1);
	wal_put_ticket(p->wal, 2);
	buf_free(&command);
}

static void log_seal(void *context)
{
	wal_seal(((struct place *)context)->wal);
}

static void log_close(void *context)
{
	struct place *p = context;
	wal_close(p->wal);
	p->env->turn = NULL;
}

static bool all_zeros(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static void shows_batch(const uint8_t *file, const struct segment_header *segment, size_t at, const char *name)
{
	struct batch_header batch;
	assert_true(batch_header_decode(file + at, segment, at, &batch));
	size_t used = batch_body_at(&batch) + batch.body_bytes;
	doc_shows(name, file + at, used);
	assert_true(all_zeros(file + at + used, WAL_BLOCK_BYTES - used));
}

static void test_log_is_written(void **state)
{
	(void)state;
	struct place p;
	place_open(&p);
	place_run(&p, log_open);
	place_run(&p, log_put_base);
	place_run(&p, log_put_entries);
	assert_int_equal(p.durable, 2);
	place_run(&p, log_seal);
	uint64_t size;
	const uint8_t *file = sim_disk_peek(p.host, SEGMENT_PATH, &size);
	assert_non_null(file);
	assert_int_equal(size, SEGMENT);
	doc_shows("segment", file, SEGMENT_HEADER_BYTES);
	assert_true(all_zeros(file + SEGMENT_HEADER_BYTES, WAL_BLOCK_BYTES - SEGMENT_HEADER_BYTES));
	struct segment_header segment;
	assert_int_equal(segment_header_decode(file, &segment), SEGMENT_GOOD);
	for (size_t i = 0; i < BATCHES; i++)
		shows_batch(file, &segment, (1 + i) * WAL_BLOCK_BYTES, BATCH[i]);
	assert_true(all_zeros(file + (1 + BATCHES) * WAL_BLOCK_BYTES, SEGMENT - (1 + BATCHES) * WAL_BLOCK_BYTES));
	place_run(&p, log_close);
	place_close(&p);
}

/* Lays out the segment as the document shows it. */
static void log_lay_out(void *context)
{
	struct place *p = context;
	struct env_file *file;
	assert_int_equal(ops.make_dir(p->env, "wal"), 0);
	assert_int_equal(ops.open(p->env, SEGMENT_PATH, ENV_OPEN_CREATE, &file), 0);
	assert_int_equal(ops.allocate(file, SEGMENT), 0);
	for (size_t i = 0; i <= BATCHES; i++) {
		const struct block *block = doc_block(i == 0 ? "segment" : BATCH[i - 1]);
		assert_int_equal(ops.write_at(file, block->bytes, block->size, i * WAL_BLOCK_BYTES), 0);
	}
	assert_int_equal(ops.sync(file), 0);
	ops.close(file);
}

/* The log as shown is read, compacted, and opened once more. */
static void test_log_is_read(void **state)
{
	(void)state;
	struct place p;
	place_open(&p);
	place_run(&p, log_lay_out);
	place_run(&p, log_open);
	assert_true(p.state.has_base && p.state.term == 7 && p.state.vote == 3 && p.state.last_index == 2);
	assert_int_equal(p.state.vote_incarnation, RANDOM | 1);
	assert_int_equal(p.state.commit, 1);
	assert_true(p.same_config && p.base_index == 0 && p.last_index == 2 && p.last_request == 9);
	place_run(&p, log_compact);
	place_run(&p, log_close);
	place_run(&p, log_open);
	assert_true(p.state.base_index == 1 && p.state.base_term == 4 && p.base_index == 1 && p.base_term == 4);
	uint64_t size;
	const uint8_t *file = sim_disk_peek(p.host, SEGMENT_PATH, &size);
	struct segment_header segment;
	assert_int_equal(segment_header_decode(file, &segment), SEGMENT_GOOD);
	/* Behind what was laid out: the CUT of the first opening, the compaction, the CUT of the second. */
	shows_batch(file, &segment, (BATCHES + 2) * WAL_BLOCK_BYTES, "batch-compaction");
	shows_batch(file, &segment, (BATCHES + 3) * WAL_BLOCK_BYTES, "batch-cut-again");
	place_run(&p, log_close);
	place_close(&p);
}

/* ---- Snapshots ---- */

static const struct snapshot NAME = {5, 3};
static const char SNAPSHOT_PATH[] = "snapshot/0000000000000005-0000000000000003";

static void put_key(struct machine *machine, const char *key, const char *value)
{
	keyspace_put(&machine->keyspace, (struct slice){(const uint8_t *)key, strlen(key)},
		     (struct slice){(const uint8_t *)value, strlen(value)});
}

static void snapshot_fill(void *context)
{
	struct place *p = context;
	struct wire_members members = {.config = FIRST};
	strcpy(members.addresses[0], "n1:17001");
	struct buf bytes;
	buf_init(&bytes, p->env->mem);
	wire_put_members(&bytes, &members);
	assert_int_equal(snapshot_dir_make(p->env, "snapshot"), 0);
	p->draft = snapshot_draft_open(p->env, "snapshot", NAME, DRAFT_TAKEN);
	snapshot_put_header(p->draft, &(struct snapshot_header){.cluster_id = wire_cluster_id(&FIRST),
								.index = NAME.index,
								.term = NAME.term,
								.stamp = STAMP,
								.members = buf_at(&bytes),
								.members_size = buf_size(&bytes)});
	buf_free(&bytes);
	p->machine = machine_create(p->env->mem);
	put_key(p->machine, "a", "1");
	put_key(p->machine, "bc", "def");
	struct machine_held *held = machine_hold(p->machine);
	assert_false(machine_save(held, snapshot_begin_block(p->draft), 4096));
	snapshot_end_block(p->draft);
	machine_release(p->machine, held);
	uint8_t digest[MACHINE_DIGEST_BYTES];
	machine_digest(p->machine, digest);
	snapshot_put_footer(p->draft, digest);
	snapshot_draft_settle(p->draft);
	snapshot_draft_step(p->draft, 4096);
}

static void snapshot_step(void *context)
{
	struct place *p = context;
	snapshot_draft_step(p->draft, 4096);
}

static void snapshot_publish(void *context)
{
	struct place *p = context;
	assert_true(snapshot_draft_publish(p->draft));
	snapshot_draft_close(p->draft);
	machine_destroy(p->machine);
}

static void test_snapshot_is_written(void **state)
{
	(void)state;
	struct place p;
	place_open(&p);
	place_run(&p, snapshot_fill);
	for (int steps = 0; p.draft->state == DRAFT_SETTLING; steps++) {
		assert_true(steps < 10);
		place_run(&p, snapshot_step);
	}
	assert_int_equal(p.draft->state, DRAFT_VALID);
	place_run(&p, snapshot_publish);
	uint64_t size;
	const uint8_t *file = sim_disk_peek(p.host, SNAPSHOT_PATH, &size);
	assert_non_null(file);
	doc_shows("snapshot", file, size);
	assert_non_null(strstr(doc.text, strchr(SNAPSHOT_PATH, '/') + 1));
	place_close(&p);
}

static void snapshot_read_all(void *context)
{
	struct place *p = context;
	const struct block *block = doc_block("snapshot");
	struct env_file *file;
	assert_int_equal(ops.open(p->env, "x", ENV_OPEN_CREATE, &file), 0);
	assert_int_equal(ops.write_at(file, block->bytes, block->size, 0), 0);
	struct snapshot_reader reader;
	struct wire_members members;
	if (!snapshot_reader_open(&reader, p->env, file))
		fail_msg("%s", reader.error);
	assert_true(reader.header.index == 5 && reader.header.term == 3 && reader.header.stamp == STAMP);
	assert_true(reader.header.cluster_id == wire_cluster_id(&FIRST));
	assert_true(wire_get_members(reader.header.members, reader.header.members_size, &members));
	assert_string_equal(members.addresses[0], "n1:17001");
	struct machine *machine = machine_create(p->env->mem);
	const uint8_t *piece;
	size_t size;
	machine_load_begin(machine);
	assert_int_equal(snapshot_reader_next(&reader, &piece, &size), SNAPSHOT_PIECE);
	assert_true(machine_load(machine, piece, size));
	assert_int_equal(snapshot_reader_next(&reader, &piece, &size), SNAPSHOT_END);
	uint8_t digest[MACHINE_DIGEST_BYTES];
	machine_digest(machine, digest);
	assert_memory_equal(digest, reader.digest, sizeof digest);
	assert_int_equal(keyspace_count(&machine->keyspace), 2);
	machine_destroy(machine);
	snapshot_reader_close(&reader);
	ops.close(file);
}

static void test_snapshot_is_read(void **state)
{
	(void)state;
	struct place p;
	place_open(&p);
	place_run(&p, snapshot_read_all);
	place_close(&p);
}

/* ---- Between nodes ---- */

/* What was put is what the document shows; then the frame that it shows. */
static struct wire_frame frame_shown(struct buf *out, const char *name)
{
	doc_shows(name, buf_at(out), buf_size(out));
	buf_consume(out, buf_size(out));
	const struct block *block = doc_block(name);
	struct wire_frame frame;
	size_t used;
	assert_int_equal(wire_next(block->bytes, block->size, WIRE_BODY_BYTES_MAX, &frame, &used), WIRE_FRAME);
	assert_int_equal(used, block->size);
	return frame;
}

static void test_configuration(void **state)
{
	(void)state;
	struct mem mem;
	struct buf out = fresh(&mem);
	const struct ikada_config config = {
		.index = 7,
		.max_id = 9,
		.count = 2,
		.members = {{1, 0x1111111111111111u, IKADA_VOTER}, {2, 0x2222222222222222u, IKADA_JOINING}}};
	struct wire_members members = {.config = config};
	strcpy(members.addresses[0], "n1:17001");
	strcpy(members.addresses[1], "n2:17001");
	wire_put_members(&out, &members);
	doc_shows("members", buf_at(&out), buf_size(&out));
	const struct block *block = doc_block("members");
	memset(&members, 0, sizeof members);
	assert_true(wire_get_members(block->bytes, block->size, &members));
	assert_true(members.config.index == 7 && members.config.max_id == 9 && members.config.count == 2);
	assert_true(members.config.members[1].incarnation == 0x2222222222222222u);
	assert_int_equal(members.config.members[1].standing, IKADA_JOINING);
	assert_string_equal(members.addresses[1], "n2:17001");
	buf_free(&out);
	assert_int_equal(mem.bytes, 0);
}

static void test_handshake(void **state)
{
	(void)state;
	struct mem mem;
	struct buf out = fresh(&mem);
	struct wire_hello hello = {.to = 4, .from = 3, .incarnation = FIRST.members[0].incarnation, .boot = 6};
	strcpy(hello.client_address, "n1:7001");
	hello.config = FIRST;
	wire_put_hello(&out, WIRE_HELLO, wire_cluster_id(&FIRST), &hello);
	struct wire_frame frame = frame_shown(&out, "hello");
	assert_true(wire_get_hello(&frame, &hello));
	assert_true(frame.type == WIRE_HELLO && hello.to == 4 && hello.from == 3 && hello.boot == 6);
	assert_string_equal(hello.client_address, "n1:7001");
	wire_put_plain(&out, WIRE_REFUSE, 0, "no", 2);
	assert_int_equal(frame_shown(&out, "refuse").type, WIRE_REFUSE);
	wire_put_plain(&out, WIRE_PING, 5, "", 0);
	assert_int_equal(frame_shown(&out, "ping").type, WIRE_PING);
	buf_free(&out);
	assert_int_equal(mem.bytes, 0);
}

static void test_raft(void **state)
{
	(void)state;
	struct mem mem;
	struct buf out = fresh(&mem);
	struct buf command;
	buf_init(&command, &mem);
	put_command(&command);
	uint8_t entry[256];
	const struct wire_piece piece = {entry, put_entry(entry, 2, &command)};
	/* Some of these mean nothing in an append; they are here to be told from each other. */
	const struct ikada_message m = {.kind = IKADA_APPEND,
					.granted = true,
					.transfer = true,
					.from = 1,
					.to = 2,
					.term = 3,
					.round = 4,
					.sent_ns = 5,
					.prev_index = 1,
					.prev_term = 1,
					.last_index = 2,
					.last_term = 6,
					.commit = 7,
					.match_index = 8,
					.verified_index = 9,
					.conflict_index = 10,
					.conflict_term = 11};
	wire_put_raft(&out, 12, &m, &piece, 1);
	struct wire_frame frame = frame_shown(&out, "raft");
	struct wire_raft raft;
	assert_true(wire_get_raft(&frame, &raft));
	assert_true(raft.message.granted && !raft.message.rejected && raft.message.transfer);
	assert_true(raft.message.round == 4 && raft.message.conflict_term == 11 && raft.message.commit == 7);
	assert_true(raft.run_count == 1 && raft.runs[0].first == 2 && raft.runs[0].term == 2);
	buf_free(&command);
	buf_free(&out);
	assert_int_equal(mem.bytes, 0);
}

static void test_forwarding(void **state)
{
	(void)state;
	struct mem mem;
	struct buf out = fresh(&mem);
	struct wire_forward forward = {
		.number = 9, .term = 3, .read = true, .tag = 2, .bytes = (const uint8_t *)"xyz", .size = 3};
	wire_put_forward(&out, 12, &forward);
	struct wire_frame frame = frame_shown(&out, "forward");
	assert_true(wire_get_forward(&frame, &forward));
	assert_true(forward.number == 9 && forward.term == 3 && forward.read && forward.tag == 2 && forward.size == 3);
	struct wire_forward_reply reply = {
		.number = 9, .outcome = IKADA_UNKNOWN, .bytes = (const uint8_t *)"+OK\r\n", .size = 5};
	wire_put_forward_reply(&out, 12, &reply);
	frame = frame_shown(&out, "forward-reply");
	assert_true(wire_get_forward_reply(&frame, &reply));
	assert_true(reply.number == 9 && reply.outcome == IKADA_UNKNOWN && reply.size == 5);
	buf_free(&out);
	assert_int_equal(mem.bytes, 0);
}

static void test_snapshot_frames(void **state)
{
	(void)state;
	struct mem mem;
	struct buf out = fresh(&mem);
	struct wire_chunk chunk = {.term = 4,
				   .index = 5,
				   .index_term = 3,
				   .file_bytes = 300,
				   .offset = 8,
				   .mend = true,
				   .bytes = (const uint8_t *)"xyz",
				   .size = 3};
	wire_put_chunk(&out, 12, &chunk);
	struct wire_frame frame = frame_shown(&out, "snapshot-chunk");
	assert_true(wire_get_chunk(&frame, &chunk));
	assert_true(chunk.term == 4 && chunk.index == 5 && chunk.index_term == 3 && chunk.file_bytes == 300);
	assert_true(chunk.offset == 8 && chunk.mend && chunk.size == 3);
	struct wire_ack ack = {.index = 5, .index_term = 3, .offset = 11, .status = WIRE_ACK_REFUSED};
	wire_put_ack(&out, 12, &ack);
	frame = frame_shown(&out, "snapshot-ack");
	assert_true(wire_get_ack(&frame, &ack));
	assert_true(ack.index == 5 && ack.index_term == 3 && ack.offset == 11 && ack.status == WIRE_ACK_REFUSED);
	uint64_t index = 5;
	wire_put_ask(&out, 12, index);
	frame = frame_shown(&out, "snapshot-ask");
	assert_true(wire_get_ask(&frame, &index) && index == 5);
	const struct wire_digest one = {.index = 1024,
					.bytes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
	wire_put_digests(&out, 12, &one, 1);
	frame = frame_shown(&out, "digests");
	struct wire_digest digests[WIRE_DIGESTS_MAX];
	size_t count;
	assert_true(wire_get_digests(&frame, digests, &count));
	assert_true(count == 1 && digests[0].index == 1024 && memcmp(digests[0].bytes, one.bytes, 16) == 0);
	buf_free(&out);
	assert_int_equal(mem.bytes, 0);
}

/* ---- The data directory ---- */

static void no_apply(void *context, const struct ikada_apply *entry, struct buf *reply)
{
	(void)context;
	(void)entry;
	(void)reply;
}

static void no_query(void *context, const uint8_t *bytes, size_t size, uint32_t tag, struct buf *reply)
{
	(void)context;
	(void)bytes;
	(void)size;
	(void)tag;
	(void)reply;
}

static void node_open(void *context)
{
	struct place *p = context;
	const struct ikada_node_settings settings = {
		.id = NODE, .cluster = "1=n1:17001", .data_dir = "data", .segment_bytes = SEGMENT, .term_runs = 1024};
	const struct ikada_machine machine = {.apply = no_apply, .query = no_query};
	p->node = ikada_node_open(p->env, &settings, &machine, p->error, sizeof p->error);
	if (p->node == NULL)
		fail_msg("%s", p->error);
}

static void node_close(void *context)
{
	struct place *p = context;
	ikada_node_close(p->node);
}

static void each_file(void *context, const char *path)
{
	(void)context;
	/* Of names with a number, the number changes. */
	static const char *const names[] = {"data/LOCK", "data/identity", "data/wal/"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strncmp(path, names[i], strlen(names[i])) == 0)
			return;
	fail_msg(DOC " does not tell of %s", path);
}

static void test_identity(void **state)
{
	(void)state;
	struct place p;
	place_open(&p);
	place_run(&p, node_open);
	uint64_t size;
	const uint8_t *file = sim_disk_peek(p.host, "data/identity", &size);
	const struct block *block = doc_block("identity");
	assert_non_null(file);
	doc_shows("identity", file, size);
	assert_non_null(strstr((const char *)block->bytes, "incarnation 1032547698badcff\n"));
	sim_disk_each(p.host, each_file, NULL);
	place_run(&p, node_close);
	place_close(&p);
}

/* ---- Numbers ---- */

struct number {
	unsigned long long number;
	const char *name;
};

static void numbers(const char *heading, const struct number *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		doc_numbers(heading, list[i].number, list[i].name, count);
}

#define NUMBERS(heading, list) numbers(heading, list, sizeof list / sizeof *list)
#define VALUE(name)                                                                                                    \
	{                                                                                                              \
		name, #name                                                                                            \
	}

static void test_commands_table(void **state)
{
	(void)state;
	assert_true(command_count() > 0);
	for (uint64_t code = 0; code < COMMAND_CODES; code++)
		if (command_of_code(code) != NULL)
			doc_numbers("### Codes of commands", code, command_of_code(code)->about.name, command_count());
}

static void test_tables(void **state)
{
	(void)state;
	static const struct number entries[] = {VALUE(ENTRY_NOOP), VALUE(ENTRY_COMMAND), VALUE(ENTRY_CONFIG)};
	static const struct number batches[] = {VALUE(BATCH_NORMAL), VALUE(BATCH_SEAL), VALUE(BATCH_CUT),
						VALUE(BATCH_OPEN)};
	static const struct number records[] = {VALUE(RECORD_HARD), VALUE(RECORD_ENTRIES), VALUE(RECORD_BASE),
						VALUE(RECORD_STATE), VALUE(RECORD_RELOCATED)};
	static const struct number frames[] = {
		VALUE(WIRE_HELLO),	   VALUE(WIRE_WELCOME),	       VALUE(WIRE_REFUSE),
		VALUE(WIRE_PING),	   VALUE(WIRE_RAFT),	       VALUE(WIRE_FORWARD),
		VALUE(WIRE_FORWARD_REPLY), VALUE(WIRE_SNAPSHOT_CHUNK), VALUE(WIRE_SNAPSHOT_ACK),
		VALUE(WIRE_SNAPSHOT_ASK),  VALUE(WIRE_DIGESTS)};
	static const struct number messages[] = {
		VALUE(IKADA_PREVOTE), VALUE(IKADA_PREVOTE_REPLY), VALUE(IKADA_VOTE),	   VALUE(IKADA_VOTE_REPLY),
		VALUE(IKADA_APPEND),  VALUE(IKADA_APPEND_REPLY),  VALUE(IKADA_TIMEOUT_NOW)};
	static const struct number standings[] = {VALUE(IKADA_VOTER),	VALUE(IKADA_LEARNER),  VALUE(IKADA_JOINING),
						  VALUE(IKADA_LEAVING), VALUE(IKADA_INCOMING), VALUE(IKADA_OUTGOING),
						  VALUE(IKADA_DEMOTING)};
	static const struct number outcomes[] = {VALUE(IKADA_DONE),    VALUE(IKADA_NO_LEADER),
						 VALUE(IKADA_BUSY),    VALUE(IKADA_TOO_LARGE),
						 VALUE(IKADA_UNKNOWN), VALUE(WIRE_OUTCOME_NOT_LEADER)};
	static const struct number acks[] = {VALUE(WIRE_ACK_WANTS), VALUE(WIRE_ACK_DONE), VALUE(WIRE_ACK_REFUSED),
					     VALUE(WIRE_ACK_FAILED)};
	static const struct number limits[] = {
		VALUE(ENTRY_PAYLOAD_BYTES_MAX), VALUE(WAL_CONFIG_BYTES_MAX),	 VALUE(SEGMENT_BYTES_MIN),
		VALUE(SEGMENT_BYTES_MAX),	VALUE(SNAPSHOT_PIECE_BYTES_MAX), VALUE(SNAPSHOT_MEMBERS_BYTES_MAX),
		VALUE(WIRE_BODY_BYTES_MAX),	VALUE(WIRE_STRANGER_BYTES),	 VALUE(WIRE_RUNS_MAX),
		VALUE(WIRE_DIGESTS_MAX),	VALUE(WIRE_CHUNK_BYTES_MAX),	 VALUE(WIRE_ADDRESS_BYTES),
		VALUE(KEY_BYTES_MAX),		VALUE(RESP_BULK_BYTES_MAX),	 VALUE(RESP_REQUEST_BYTES_MAX),
		VALUE(RESP_ARGS_MAX),		VALUE(MACHINE_TOGETHER_MAX),	 VALUE(COMMAND_REPLY_BYTES_MAX)};
	NUMBERS("### Kinds of entries", entries);
	NUMBERS("### Kinds of batches", batches);
	NUMBERS("### Kinds of records", records);
	NUMBERS("### Types of frames", frames);
	NUMBERS("### Kinds of messages", messages);
	NUMBERS("### Standings", standings);
	NUMBERS("### Outcomes", outcomes);
	NUMBERS("### Statuses of an acknowledgement", acks);
	NUMBERS("## Limits", limits);
}

/* The last: each example belongs to a test. */
static void test_nothing_is_left(void **state)
{
	(void)state;
	for (size_t i = 0; i < doc.block_count; i++)
		if (!doc.blocks[i].shown)
			fail_msg(DOC ":%u: no test knows `%s`", doc.blocks[i].line, doc.blocks[i].name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_entry),
		cmocka_unit_test(test_log_is_written),
		cmocka_unit_test(test_log_is_read),
		cmocka_unit_test(test_snapshot_is_written),
		cmocka_unit_test(test_snapshot_is_read),
		cmocka_unit_test(test_configuration),
		cmocka_unit_test(test_handshake),
		cmocka_unit_test(test_raft),
		cmocka_unit_test(test_forwarding),
		cmocka_unit_test(test_snapshot_frames),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_commands_table),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_nothing_is_left),
	};
	doc_read();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
