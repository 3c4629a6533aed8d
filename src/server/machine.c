/*
 * The state machine: see machine.h. Bytes are hostile until decoded, those of the log too: another node may have put
 * there what it wanted. Malformed means the same on every replica, in every version.
 */
#include "server/machine.h"

#include "base/bytes.h"
#include "base/entry.h"

#include <string.h>

#define IDLE_NODES 256

enum { SPANS_FIRST = 8, SPANS_KEEP = 1024 };

struct machine *machine_create(struct mem *mem)
{
	struct machine *m = mem_alloc(mem, sizeof *m);
	m->mem = mem;
	m->protocol = RESP_2;
	m->span_room = SPANS_FIRST;
	m->spans = mem_alloc(mem, m->span_room * sizeof *m->spans);
	buf_init(&m->scratch, mem);
	m->keyspace.store = store_create(mem);
	return m;
}

void machine_destroy(struct machine *m)
{
	store_destroy(m->keyspace.store);
	buf_free(&m->scratch);
	mem_free(m->mem, m->spans);
	mem_free(m->mem, m);
}

size_t machine_bytes(const struct request *request)
{
	size_t size = MACHINE_HEADER_BYTES;
	for (uint32_t i = 1; i < request->count; i++)
		size += 4 + request->spans[i].size;
	return size;
}

void machine_encode(struct buf *out, const struct command *command, const struct request *request)
{
	size_t size = machine_bytes(request);
	struct writer w = writer_over(buf_reserve(out, size), size);
	write_u8(&w, MACHINE_FORMAT);
	write_u8(&w, 0);
	write_u16(&w, (uint16_t)command_code(command));
	write_u32(&w, request->count - 1);
	for (uint32_t i = 1; i < request->count; i++)
		write_u32(&w, request->spans[i].size);
	for (uint32_t i = 1; i < request->count; i++)
		write_bytes(&w, request->base + request->spans[i].at, request->spans[i].size);
	CHECK_OP(writer_used(&w), ==, size);
	buf_added(out, size);
}

void machine_begin(struct buf *out)
{
	struct writer w = writer_over(buf_reserve(out, MACHINE_HEADER_BYTES), MACHINE_HEADER_BYTES);
	write_u8(&w, MACHINE_SEVERAL);
	write_u8(&w, 0);
	write_u16(&w, 0);
	write_u32(&w, 0);
	buf_added(out, MACHINE_HEADER_BYTES);
}

struct slice machine_end(struct buf *out, uint32_t count)
{
	struct slice entry = {buf_at(out), buf_size(out)};
	put_le32(buf_at(out) + 4, count);
	if (count > 1)
		return entry;
	return (struct slice){entry.bytes + MACHINE_HEADER_BYTES, entry.size - MACHINE_HEADER_BYTES};
}

static void make_room(struct machine *m, uint32_t count)
{
	if (count <= m->span_room && (m->span_room <= SPANS_KEEP || count > SPANS_KEEP))
		return;
	mem_free(m->mem, m->spans);
	m->span_room = count < SPANS_FIRST ? SPANS_FIRST : count;
	m->spans = mem_alloc(m->mem, m->span_room * sizeof *m->spans);
}

/* The command that the reader stands at, behind the reader; `request` counts the name, which is empty. */
static enum machine_result decode(struct machine *m, struct reader *r, const struct command **command,
				  struct request *request)
{
	uint8_t format = read_u8(r);
	uint8_t zero = read_u8(r);
	uint16_t code = read_u16(r);
	uint32_t count = read_u32(r);
	if (r->failed || format == 0)
		return MACHINE_MALFORMED;
	if (format > MACHINE_FORMAT)
		return MACHINE_NEWER;
	const uint8_t *sizes = read_bytes(r, (size_t)count * 4);
	if (sizes == NULL || zero != 0 || code == 0 || count > RESP_ARGS_MAX)
		return MACHINE_MALFORMED;
	make_room(m, count + 1);
	*request = (struct request){r->at, m->spans, count + 1};
	m->spans[0] = (struct span){0, 0};
	for (uint32_t i = 0; i < count; i++) {
		uint32_t size = get_le32(sizes + (size_t)i * 4);
		m->spans[i + 1] = (struct span){(uint32_t)(r->at - request->base), size};
		if (read_bytes(r, size) == NULL)
			return MACHINE_MALFORMED;
	}
	*command = command_of_code(code);
	return *command == NULL ? MACHINE_NEWER : MACHINE_DONE;
}

size_t machine_encoded_bytes(const uint8_t *bytes, size_t size)
{
	struct reader r = reader_over(bytes, size);
	read_bytes(&r, 4);
	uint32_t count = read_u32(&r);
	const uint8_t *sizes = read_bytes(&r, (size_t)count * 4);
	for (uint32_t i = 0; sizes != NULL && i < count; i++)
		read_bytes(&r, get_le32(sizes + (size_t)i * 4));
	return r.failed ? 0 : size - reader_left(&r);
}

/* The first key of a command that has one there. */
static bool first_key(struct slice bytes, struct slice *key)
{
	struct reader r = reader_over(bytes.bytes, bytes.size);
	if (read_u8(&r) != MACHINE_FORMAT)
		return false;
	read_u8(&r);
	const struct command *command = command_of_code(read_u16(&r));
	uint32_t count = read_u32(&r);
	const uint8_t *sizes = read_bytes(&r, (size_t)count * 4);
	if (sizes == NULL || count == 0 || command == NULL || command->about.key_first != 1)
		return false;
	key->size = get_le32(sizes);
	key->bytes = read_bytes(&r, key->size);
	return key->bytes != NULL;
}

void machine_expect(struct machine *m, const struct slice commands[], size_t count)
{
	struct slice keys[STORE_AHEAD_MAX];
	size_t n = 0;
	for (size_t i = 0; i < count && n < STORE_AHEAD_MAX; i++)
		n += first_key(commands[i], &keys[n]);
	keyspace_expect(&m->keyspace, keys, n);
}

/* The commands that `bytes` start with, if there are several. */
static void expect_several(struct machine *m, const uint8_t *bytes, size_t left)
{
	struct slice commands[STORE_AHEAD_MAX];
	size_t n = 0;
	for (size_t size; n < STORE_AHEAD_MAX && (size = machine_encoded_bytes(bytes, left)) > 0; left -= size) {
		commands[n++] = (struct slice){bytes, size};
		bytes += size;
	}
	if (n > 1)
		machine_expect(m, commands, n);
}

static enum machine_result malformed(struct buf *reply)
{
	resp_put_error(reply, "ERR the entry is no command");
	return MACHINE_MALFORMED;
}

static enum machine_result apply_one(struct machine *m, const uint8_t *bytes, size_t size, struct buf *reply)
{
	const struct command *command;
	struct request request;
	struct reader r = reader_over(bytes, size);
	enum machine_result result = decode(m, &r, &command, &request);
	if (result == MACHINE_NEWER && (bytes[0] > MACHINE_FORMAT || reader_left(&r) == 0))
		return result;
	if (result != MACHINE_DONE || reader_left(&r) > 0)
		return malformed(reply);
	/* A read in the log is for the one who asked. */
	if (reply == NULL && !(command->flags & COMMAND_WRITES))
		return MACHINE_DONE;
	if (command_check(command, &request, reply))
		command->run(m, &request, reply);
	return MACHINE_DONE;
}

/* The commands behind the header of several; 0: they are not what it says. */
static uint32_t count_several(const uint8_t *bytes, size_t size)
{
	struct reader r = reader_over(bytes, size);
	read_u8(&r);
	bool zero = read_u8(&r) == 0;
	zero &= read_u16(&r) == 0;
	uint32_t count = read_u32(&r);
	if (r.failed || !zero || count > MACHINE_TOGETHER_MAX)
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		size_t one = machine_encoded_bytes(r.at, reader_left(&r));
		if (one == 0)
			return 0;
		read_bytes(&r, one);
	}
	return reader_left(&r) == 0 ? count : 0;
}

static enum machine_result apply_several(struct machine *m, const uint8_t *bytes, size_t size, struct buf *reply)
{
	uint32_t count = count_several(bytes, size);
	if (count == 0)
		return malformed(reply);
	struct reader r = reader_over(bytes, size);
	read_bytes(&r, MACHINE_HEADER_BYTES);
	for (uint32_t i = 0; i < count; i++) {
		if (i % STORE_AHEAD_MAX == 0)
			expect_several(m, r.at, reader_left(&r));
		size_t one = machine_encoded_bytes(r.at, reader_left(&r));
		if (apply_one(m, read_bytes(&r, one), one, reply) == MACHINE_NEWER)
			return MACHINE_NEWER;
	}
	return MACHINE_DONE;
}

enum machine_result machine_apply(struct machine *m, const uint8_t *bytes, size_t size, enum resp_protocol protocol,
				  struct buf *reply)
{
	m->protocol = protocol;
	if (size == 0 || size > ENTRY_PAYLOAD_BYTES_MAX)
		return malformed(reply);
	bool several = bytes[0] == MACHINE_SEVERAL;
	return several ? apply_several(m, bytes, size, reply) : apply_one(m, bytes, size, reply);
}

/* Answers one command of a read; false when the next one is not looked for. */
static bool query_one(struct machine *m, struct reader *r, struct buf *reply)
{
	const struct command *command;
	struct request request;
	switch (decode(m, r, &command, &request)) {
	case MACHINE_MALFORMED:
		resp_put_error(reply, "ERR the request is no command");
		return false;
	case MACHINE_NEWER:
		resp_put_error(reply, "ERR the leader does not know this command: it is an older program");
		return false;
	case MACHINE_DONE:
		break;
	}
	if (command->flags & COMMAND_WRITES)
		resp_put_error(reply, "ERR the request is no read");
	else if (command_check(command, &request, reply))
		command->run(m, &request, reply);
	return true;
}

void machine_query(struct machine *m, const uint8_t *bytes, size_t size, enum resp_protocol protocol, struct buf *reply)
{
	m->protocol = protocol;
	struct reader r = reader_over(bytes, size);
	size_t start = buf_size(reply);
	uint32_t count = 0;
	buf_add(reply, "\0\0\0", 4);
	do
		if (count++ % STORE_AHEAD_MAX == 0)
			expect_several(m, r.at, reader_left(&r));
	while (query_one(m, &r, reply) && reader_left(&r) > 0 && buf_size(reply) - start < MACHINE_ANSWER_BYTES);
	put_le32(buf_at(reply) + start, count);
}

bool machine_idle(struct machine *m)
{
	return store_idle(m->keyspace.store, IDLE_NODES);
}
