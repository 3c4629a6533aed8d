/* Requests, replies and the verdict: see history.h. */
#include "sim/history.h"

#include "base/check.h"
#include "server/resp.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* With more risks than this on one key, its history might be too hard to judge. */
enum { KEY_RISKS_MAX = 6, OLD_READS = 12, BUDGET_STATES = 1000000, PRINT_OPS_MAX = 400 };

enum key_class { KEY_REGISTER, KEY_LIST, KEY_COUNTER, KEY_CLASSES };

/* A key in use, and the one before it, which is read for a while longer: what became of its open writes? */
struct key {
	uint32_t number;
	enum key_class class;
	uint32_t ops;	/* So far. */
	uint32_t risks; /* Writes that are open, or whose outcome is unknown. */
	uint32_t old_number;
	uint32_t old_reads; /* Still to come. */
};

enum op_end { END_OPEN, END_DONE, END_REFUSED, END_UNKNOWN };

struct record {
	uint32_t key;
	uint32_t slot;
	enum op_end end;
	uint64_t session;
	uint64_t called_ns, ended_ns;
	struct linear_op op;
};

struct history {
	struct mem *mem;
	struct history_settings settings;
	struct rng rng;
	struct key *slots;
	uint32_t key_count;
	struct record *records;
	uint32_t count, room;
	uint64_t clock; /* Orders calls and returns. */
	struct history_counters counters;
	char broken[256]; /* A reply that no request can have. */
};

static void new_key(struct history *h, struct key *slot)
{
	slot->old_number = slot->number;
	slot->old_reads = OLD_READS;
	slot->risks = 0;
	slot->number = h->key_count++;
	slot->class = (enum key_class)rng_below(&h->rng, KEY_CLASSES);
	slot->ops = 0;
	h->counters.keys++;
}

struct history *history_create(struct mem *mem, const struct history_settings *settings, uint64_t seed)
{
	struct history *h = mem_zero(mem, sizeof *h);
	CHECK_OP(settings->keys, >=, 2u);
	h->mem = mem;
	h->settings = *settings;
	h->rng = rng_seed(seed);
	h->slots = mem_zero(mem, settings->keys * sizeof *h->slots);
	for (uint32_t i = 0; i < settings->keys; i++) {
		new_key(h, &h->slots[i]);
		h->slots[i].old_reads = 0;
		/* Not all at the end of their use at once. */
		h->slots[i].ops = (uint32_t)rng_below(&h->rng, settings->key_ops);
	}
	return h;
}

void history_destroy(struct history *h)
{
	mem_free(h->mem, h->slots);
	mem_free(h->mem, h->records);
	mem_free(h->mem, h);
}

/* ---- Requests ---- */

static struct record *add_record(struct history *h, uint32_t slot_number, bool read, uint64_t session, uint64_t time_ns)
{
	struct key *slot = &h->slots[slot_number];
	if (h->count == h->room) {
		h->room = h->room == 0 ? 1024 : 2 * h->room;
		h->records = mem_resize(h->mem, h->records, h->room * sizeof *h->records);
	}
	struct record *record = &h->records[h->count++];
	memset(record, 0, sizeof *record);
	record->slot = slot_number;
	record->session = session;
	record->called_ns = time_ns;
	record->op.called = ++h->clock;
	record->op.after = LINEAR_NONE;
	if (read && slot->old_reads > 0 && rng_below(&h->rng, 2) == 0) {
		slot->old_reads--;
		record->key = slot->old_number;
		return record;
	}
	if (slot->ops >= h->settings.key_ops || (!read && slot->risks >= KEY_RISKS_MAX))
		new_key(h, slot);
	slot->ops++;
	slot->risks += !read;
	record->key = slot->number;
	return record;
}

static void draw_read(struct history *h, struct linear_op *op)
{
	uint64_t draw = rng_below(&h->rng, 8);
	op->kind = draw == 0 ? LINEAR_STRLEN : draw == 1 ? LINEAR_EXISTS : LINEAR_GET;
}

static void draw_write(struct history *h, struct linear_op *op, enum key_class class)
{
	uint64_t draw = rng_below(&h->rng, 16);
	if (draw == 0)
		op->kind = LINEAR_DEL;
	else if (class == KEY_LIST)
		op->kind = draw == 1 ? LINEAR_SET : LINEAR_APPEND;
	else if (class == KEY_COUNTER)
		op->kind = draw == 1 ? LINEAR_SET : LINEAR_INCRBY;
	else
		op->kind = draw < 3 ? LINEAR_SET_NX : draw < 5 ? LINEAR_SET_XX : draw < 8 ? LINEAR_SET_GET : LINEAR_SET;
	if (op->kind == LINEAR_INCRBY) {
		draw = rng_below(&h->rng, 100);
		op->delta = draw < 50 ? 1 : draw < 70 ? -1 : (int64_t)draw - 80;
	} else if (op->kind != LINEAR_DEL) {
		/* Unique by the number of the operation. */
		const char *format = class == KEY_COUNTER ? "%" PRIu64
				     : class == KEY_LIST  ? "%" PRIu64 ","
							  : "v%" PRIu64;
		char arg[LINEAR_ARG_BYTES];
		int size = snprintf(arg, sizeof arg, format, 1000 + h->clock);
		memcpy(op->arg, arg, (size_t)size);
		op->arg_size = (uint8_t)size;
	}
}

/* So many words, or a word of so many bytes. Often enough to do without printf. */
static void put_count(struct buf *out, char type, size_t count)
{
	char text[1 + RESP_INTEGER_BYTES + 2] = {type};
	size_t size = 1 + resp_print_integer(text + 1, (int64_t)count);
	text[size++] = '\r';
	text[size++] = '\n';
	buf_add(out, text, size);
}

static void put_word(struct buf *out, const char *bytes, size_t size)
{
	put_count(out, '$', size);
	buf_add(out, bytes, size);
	buf_add(out, "\r\n", 2);
}

static void put_key(struct buf *out, uint32_t key)
{
	char text[1 + RESP_INTEGER_BYTES] = {'k'};
	put_word(out, text, 1 + resp_print_integer(text + 1, key));
}

static void put_text(struct buf *out, const char *text)
{
	put_word(out, text, strlen(text));
}

static void put_increment(struct history *h, struct buf *out, const struct record *record)
{
	int64_t delta = record->op.delta;
	bool by = (delta != 1 && delta != -1) || rng_below(&h->rng, 4) == 0;
	bool down = delta < 0 && rng_below(&h->rng, 2) == 0;
	if (!by)
		down = delta < 0;
	put_count(out, '*', by ? 3 : 2);
	put_text(out, by ? (down ? "DECRBY" : "INCRBY") : (down ? "DECR" : "INCR"));
	put_key(out, record->key);
	if (by) {
		char text[24];
		snprintf(text, sizeof text, "%" PRId64, down ? -delta : delta);
		put_text(out, text);
	}
}

static void put_one(struct history *h, struct buf *out, const struct record *record)
{
	static const char *const names[] = {"GET", "STRLEN", "EXISTS", "SET", "SET", "SET", "SET", "APPEND", "", "DEL"};
	const struct linear_op *op = &record->op;
	const char *option = op->kind == LINEAR_SET_NX	  ? "NX"
			     : op->kind == LINEAR_SET_XX  ? "XX"
			     : op->kind == LINEAR_SET_GET ? "GET"
							  : NULL;
	if (op->kind == LINEAR_INCRBY) {
		put_increment(h, out, record);
		return;
	}
	put_count(out, '*', 2u + (op->arg_size > 0) + (option != NULL));
	put_text(out, names[op->kind]);
	put_key(out, record->key);
	if (op->arg_size > 0)
		put_word(out, op->arg, op->arg_size);
	if (option != NULL)
		put_text(out, option);
}

static void put_two(struct buf *out, const struct record *records)
{
	bool write = records[0].op.kind == LINEAR_SET;
	put_count(out, '*', write ? 5 : 3);
	put_text(out, write ? "MSET" : "MGET");
	for (uint32_t i = 0; i < 2; i++) {
		put_key(out, records[i].key);
		if (write)
			put_word(out, records[i].op.arg, records[i].op.arg_size);
	}
}

struct history_request history_ask(struct history *h, uint64_t session, uint64_t time_ns, struct buf *out)
{
	struct history_request request = {.first = h->count, .count = 1};
	uint32_t slot = (uint32_t)rng_below(&h->rng, h->settings.keys);
	bool read = rng_below(&h->rng, 1000000) < h->settings.read_ppm;
	struct record *record = add_record(h, slot, read, session, time_ns);
	if (read)
		draw_read(h, &record->op);
	else
		draw_write(h, &record->op, h->slots[slot].class);
	bool pairs = record->op.kind == LINEAR_SET || record->op.kind == LINEAR_GET;
	if (!pairs || rng_below(&h->rng, 8) != 0) {
		put_one(h, out, record);
		return request;
	}
	uint32_t other = (slot + 1 + (uint32_t)rng_below(&h->rng, h->settings.keys - 1)) % h->settings.keys;
	enum linear_kind kind = record->op.kind;
	record = add_record(h, other, read, session, time_ns);
	if (!read) {
		do {
			draw_write(h, &record->op, h->slots[other].class);
		} while (record->op.arg_size == 0);
	}
	record->op.kind = kind;
	request.count = 2;
	put_two(out, &h->records[request.first]);
	return request;
}

/* ---- Replies ---- */

static void finish(struct history *h, struct history_request request, enum op_end end, uint64_t time_ns)
{
	uint64_t now = ++h->clock;
	for (uint32_t i = 0; i < request.count; i++) {
		struct record *record = &h->records[request.first + i];
		CHECK(record->end == END_OPEN);
		record->end = end;
		record->ended_ns = time_ns;
		record->op.returned = now;
		record->op.done = end == END_DONE;
		struct key *slot = &h->slots[record->slot];
		bool write = record->op.kind >= LINEAR_SET;
		if (write && end != END_UNKNOWN && slot->number == record->key)
			slot->risks--;
		if (end == END_DONE)
			h->counters.done++;
		else if (end == END_REFUSED)
			h->counters.refused++;
		else
			h->counters.unknown++;
	}
}

/* One reply that is no array. */
struct part {
	char type;	/* As in the protocol. */
	int64_t number; /* Of ':'; of '$' and '*' the size. */
	const uint8_t *bytes;
	size_t size;
};

static enum history_next parse_part(const uint8_t *bytes, size_t size, struct part *part, size_t *used)
{
	const uint8_t *end = size == 0 ? NULL : memchr(bytes, '\n', size);
	if (end == NULL)
		return HISTORY_MORE;
	size_t line = (size_t)(end - bytes) + 1;
	if (line < 3 || end[-1] != '\r')
		return HISTORY_BROKEN;
	*part = (struct part){.type = (char)bytes[0], .bytes = bytes + 1, .size = line - 3};
	*used = line;
	if (part->type == '+' || part->type == '-')
		return HISTORY_REPLY;
	if (part->type != ':' && part->type != '$' && part->type != '*')
		return HISTORY_BROKEN;
	bool negative = part->size > 0 && part->bytes[0] == '-';
	for (size_t i = negative; i < part->size; i++)
		part->number = part->number * 10 + (part->bytes[i] - '0');
	if (negative)
		part->number = -part->number;
	if (part->type != '$' || part->number < 0)
		return HISTORY_REPLY;
	part->bytes = bytes + line;
	part->size = (size_t)part->number;
	*used = line + part->size + 2;
	return *used > size ? HISTORY_MORE : HISTORY_REPLY;
}

static bool starts_with(const struct part *part, const char *text)
{
	return part->size >= strlen(text) && memcmp(part->bytes, text, strlen(text)) == 0;
}

/* What a part says of an operation; false when no server may say so. */
static bool understand(const struct part *part, struct linear_op *op)
{
	struct linear_reply *reply = &op->reply;
	switch (part->type) {
	case '+':
		reply->kind = LINEAR_OK;
		return starts_with(part, "OK");
	case ':':
		reply->kind = LINEAR_NUMBER;
		reply->number = part->number;
		return true;
	case '$':
		reply->kind = part->number < 0 ? LINEAR_NIL : LINEAR_BYTES;
		if (part->number >= 0) {
			reply->size = (uint32_t)part->size;
			reply->hash = linear_hash(LINEAR_HASH_START, part->bytes, part->size);
		}
		return part->number >= -1;
	case '-':
		reply->kind = LINEAR_ERROR;
		return op->kind == LINEAR_INCRBY && starts_with(part, "ERR value is not an integer");
	}
	return false;
}

static enum history_next broken(struct history *h, const uint8_t *bytes, size_t size)
{
	if (h->broken[0] != '\0')
		return HISTORY_BROKEN;
	int shown = size > 80 ? 80 : (int)size;
	snprintf(h->broken, sizeof h->broken, "a reply that does not fit its request: \"%.*s\"", shown,
		 (const char *)bytes);
	for (char *at = h->broken; *at != '\0'; at++)
		if (*at == '\r' || *at == '\n')
			*at = ' ';
	return HISTORY_BROKEN;
}

enum history_next history_take(struct history *h, struct history_request request, uint64_t time_ns,
			       const uint8_t *bytes, size_t size, size_t *used)
{
	struct part part;
	enum history_next next = parse_part(bytes, size, &part, used);
	if (next != HISTORY_REPLY)
		return next == HISTORY_BROKEN ? broken(h, bytes, size) : next;
	if (part.type == '-' && (starts_with(&part, "CLUSTERDOWN") || starts_with(&part, "BUSY"))) {
		finish(h, request, END_REFUSED, time_ns);
		return HISTORY_REPLY;
	}
	if (part.type == '-' && starts_with(&part, "UNKNOWN")) {
		finish(h, request, END_UNKNOWN, time_ns);
		return HISTORY_REPLY;
	}
	struct record *records = &h->records[request.first];
	if (request.count == 2 && records[0].op.kind == LINEAR_GET) {
		if (part.type != '*' || part.number != 2)
			return broken(h, bytes, size);
		for (uint32_t i = 0; i < 2; i++) {
			size_t more;
			next = parse_part(bytes + *used, size - *used, &part, &more);
			if (next == HISTORY_MORE)
				return next;
			if (next == HISTORY_BROKEN || part.type != '$' || !understand(&part, &records[i].op))
				return broken(h, bytes, size);
			*used += more;
		}
	} else {
		for (uint32_t i = 0; i < request.count; i++)
			if (!understand(&part, &records[i].op))
				return broken(h, bytes, size);
	}
	finish(h, request, END_DONE, time_ns);
	return HISTORY_REPLY;
}

void history_lose(struct history *h, struct history_request request)
{
	finish(h, request, END_UNKNOWN, 0);
}

void history_begin_anew(struct history *h)
{
	for (uint32_t i = 0; i < h->settings.keys; i++) {
		new_key(h, &h->slots[i]);
		h->slots[i].old_reads = 0;
	}
}

bool history_was_done(const struct history *h, struct history_request request)
{
	return h->records[request.first].end == END_DONE;
}

const struct history_counters *history_counters(const struct history *h)
{
	return &h->counters;
}

/* ---- The verdict ---- */

uint64_t history_all_done(const struct history *h, uint64_t from_ns, uint64_t to_ns, char *failure, size_t size)
{
	uint64_t done = 0;
	for (uint32_t i = 0; i < h->count; i++) {
		const struct record *record = &h->records[i];
		if (record->called_ns < from_ns || record->called_ns >= to_ns)
			continue;
		if (record->end == END_DONE) {
			done++;
			continue;
		}
		char text[160];
		linear_print(&record->op, text, sizeof text);
		snprintf(failure, size,
			 "progress: an operation called at %.3f s, in calm, was not done: k%" PRIu32 " %s (%s)",
			 (double)record->called_ns / 1e9, record->key, text,
			 record->end == END_OPEN      ? "still open"
			 : record->end == END_REFUSED ? "refused"
						      : "unknown");
		return done;
	}
	return done;
}

/* Within a session each operation has its effect after those before it. */
static void set_session_order(struct linear_op *ops, const uint64_t *sessions, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++) {
		for (uint32_t j = i; j-- > 0;) {
			if (ops[j].done && sessions[j] == sessions[i]) {
				ops[i].after = j;
				break;
			}
		}
	}
}

static void tell(const struct linear_op *ops, uint32_t count, uint32_t key, enum linear_verdict verdict, char *failure,
		 size_t size)
{
	size_t used = (size_t)snprintf(failure, size,
				       verdict == LINEAR_NO
					       ? "linearizability: no order explains what was seen of key k%" PRIu32
					       : "linearizability: key k%" PRIu32 " has too long a history to judge",
				       key);
	for (uint32_t i = 0; i < count && i < PRINT_OPS_MAX && used + 200 < size; i++) {
		char text[160];
		linear_print(&ops[i], text, sizeof text);
		used += (size_t)snprintf(failure + used, size - used, "\n\t%" PRIu32 ": %s", i, text);
		if (ops[i].after != LINEAR_NONE)
			used += (size_t)snprintf(failure + used, size - used, " (after %" PRIu32 ")", ops[i].after);
	}
}

void history_judge(struct history *h, char *failure, size_t size)
{
	if (h->broken[0] != '\0') {
		snprintf(failure, size, "%s", h->broken);
		return;
	}
	/* Counting sort by key; the order of calls stays. */
	uint32_t *start = mem_zero(h->mem, (h->key_count + 2) * sizeof *start);
	struct linear_op *ops = mem_alloc(h->mem, h->count * sizeof *ops);
	uint64_t *sessions = mem_alloc(h->mem, h->count * sizeof *sessions);
	for (uint32_t i = 0; i < h->count; i++)
		if (h->records[i].end != END_REFUSED)
			start[h->records[i].key + 2]++;
	for (uint32_t key = 0; key < h->key_count; key++)
		start[key + 2] += start[key + 1];
	for (uint32_t i = 0; i < h->count; i++) {
		const struct record *record = &h->records[i];
		if (record->end == END_REFUSED)
			continue;
		sessions[start[record->key + 1]] = record->session;
		ops[start[record->key + 1]++] = record->op;
	}
	for (uint32_t key = 0; key < h->key_count; key++) {
		uint32_t count = start[key + 1] - start[key];
		uint64_t states;
		set_session_order(ops + start[key], sessions + start[key], count);
		enum linear_verdict verdict = linear_check(h->mem, ops + start[key], count, BUDGET_STATES, &states);
		h->counters.states += states;
		if (states > h->counters.states_max)
			h->counters.states_max = states;
		if (verdict != LINEAR_YES) {
			tell(ops + start[key], count, key, verdict, failure, size);
			break;
		}
	}
	mem_free(h->mem, start);
	mem_free(h->mem, ops);
	mem_free(h->mem, sessions);
}
