/*
 * The search: Wing and Gong 1993 as improved by Lowe 2017. From a state of the register, any operation may come next
 * that was called before the first return of those still to be placed; the search places one, goes on, and comes back
 * when nothing fits. Pairs of (operations placed, register) that were seen before are not tried again.
 *
 * What keeps it small, without changing a verdict:
 *  - A done operation that by its reply changed nothing is placed as soon as it fits: no order needs it later.
 *  - Done operations are tried before those of unknown outcome, which are placed only where they change something, and
 *    never right before a plain SET, which nobody could tell from not placing them there.
 *
 * Pairs are remembered as 128-bit fingerprints, so a wrong verdict is possible in theory, about once in 2^80 keys.
 */
#include "sim/linear.h"

#include "base/check.h"
#include "base/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

uint64_t linear_hash(uint64_t hash, const void *bytes, size_t size)
{
	const uint8_t *p = bytes;
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ p[i]) * 0x100000001b3u;
	return hash;
}

/* ---- The register ---- */

/* Fields that do not apply are 0, so that equal registers have equal fields. */
struct value {
	bool present;
	bool is_number;
	uint32_t size;
	uint64_t hash;
	int64_t number;
};

static bool same_value(const struct value *a, const struct value *b)
{
	return a->present == b->present && a->is_number == b->is_number && a->size == b->size && a->hash == b->hash &&
	       a->number == b->number;
}

static struct value value_of_number(int64_t number)
{
	char text[24];
	int size = snprintf(text, sizeof text, "%" PRId64, number);
	return (struct value){.present = true,
			      .is_number = true,
			      .size = (uint32_t)size,
			      .hash = linear_hash(LINEAR_HASH_START, text, (size_t)size),
			      .number = number};
}

/* What is no canonical decimal number of at most 18 digits is text. */
static struct value value_of_bytes(const char *bytes, size_t size)
{
	struct value value = {
		.present = true, .size = (uint32_t)size, .hash = linear_hash(LINEAR_HASH_START, bytes, size)};
	size_t start = size > 0 && bytes[0] == '-' ? 1 : 0;
	if (size == start || size - start > 18 || (bytes[start] == '0' && size > 1))
		return value;
	int64_t number = 0;
	for (size_t i = start; i < size; i++) {
		if (bytes[i] < '0' || bytes[i] > '9')
			return value;
		number = number * 10 + (bytes[i] - '0');
	}
	value.is_number = true;
	value.number = start == 1 ? -number : number;
	return value;
}

static struct linear_reply reply_number(int64_t number)
{
	return (struct linear_reply){.kind = LINEAR_NUMBER, .number = number};
}

static struct linear_reply reply_value(const struct value *value)
{
	if (!value->present)
		return (struct linear_reply){.kind = LINEAR_NIL};
	return (struct linear_reply){.kind = LINEAR_BYTES, .size = value->size, .hash = value->hash};
}

/* Carries out `op` on `value`; returns its reply. */
static struct linear_reply carry_out(const struct linear_op *op, struct value *value)
{
	struct linear_reply reply = {.kind = LINEAR_OK};
	switch (op->kind) {
	case LINEAR_GET:
		return reply_value(value);
	case LINEAR_STRLEN:
		return reply_number(value->size);
	case LINEAR_EXISTS:
		return reply_number(value->present);
	case LINEAR_SET_NX:
	case LINEAR_SET_XX:
		if (value->present != (op->kind == LINEAR_SET_XX))
			return (struct linear_reply){.kind = LINEAR_NIL};
		*value = value_of_bytes(op->arg, op->arg_size);
		return reply;
	case LINEAR_SET_GET:
		reply = reply_value(value);
		*value = value_of_bytes(op->arg, op->arg_size);
		return reply;
	case LINEAR_SET:
		*value = value_of_bytes(op->arg, op->arg_size);
		return reply;
	case LINEAR_APPEND:
		if (!value->present)
			*value = (struct value){.present = true, .hash = LINEAR_HASH_START};
		value->is_number = false;
		value->number = 0;
		value->hash = linear_hash(value->hash, op->arg, op->arg_size);
		value->size += op->arg_size;
		return reply_number(value->size);
	case LINEAR_INCRBY: {
		int64_t sum;
		if ((value->present && !value->is_number) || __builtin_add_overflow(value->number, op->delta, &sum))
			return (struct linear_reply){.kind = LINEAR_ERROR};
		*value = value_of_number(sum);
		return reply_number(sum);
	}
	case LINEAR_DEL:
		reply = reply_number(value->present);
		*value = (struct value){.present = false};
		return reply;
	}
	CHECK(!"a kind that the register does not know");
}

static bool same_reply(const struct linear_reply *a, const struct linear_reply *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == LINEAR_NUMBER)
		return a->number == b->number;
	return a->kind != LINEAR_BYTES || (a->size == b->size && a->hash == b->hash);
}

static bool only_reads(enum linear_kind kind)
{
	return kind == LINEAR_GET || kind == LINEAR_STRLEN || kind == LINEAR_EXISTS;
}

/* With this reply it changed nothing, whatever the register was. */
static bool changed_nothing(const struct linear_op *op)
{
	if (op->kind == LINEAR_SET_NX || op->kind == LINEAR_SET_XX)
		return op->reply.kind == LINEAR_NIL;
	if (op->kind == LINEAR_DEL)
		return op->reply.number == 0;
	return only_reads(op->kind) || op->reply.kind == LINEAR_ERROR;
}

/* ---- What was seen ---- */

struct print {
	uint64_t low, high; /* Both 0: a free slot. */
};

struct seen {
	struct mem *mem;
	struct print *slots;
	uint64_t size; /* A power of two. */
	uint64_t used;
};

static void seen_place(struct seen *seen, struct print print)
{
	uint64_t at = print.low & (seen->size - 1);
	while (seen->slots[at].low != 0 || seen->slots[at].high != 0)
		at = (at + 1) & (seen->size - 1);
	seen->slots[at] = print;
	seen->used++;
}

static void seen_grow(struct seen *seen)
{
	struct seen larger = {.mem = seen->mem, .size = seen->size == 0 ? 256 : 2 * seen->size};
	larger.slots = mem_zero(seen->mem, larger.size * sizeof *larger.slots);
	for (uint64_t i = 0; i < seen->size; i++)
		if (seen->slots[i].low != 0 || seen->slots[i].high != 0)
			seen_place(&larger, seen->slots[i]);
	mem_free(seen->mem, seen->slots);
	*seen = larger;
}

/* True when it is new. */
static bool seen_add(struct seen *seen, struct print print)
{
	if (2 * seen->used >= seen->size)
		seen_grow(seen);
	print.low |= 1; /* Never a free slot. */
	for (uint64_t at = print.low & (seen->size - 1); seen->slots[at].low != 0; at = (at + 1) & (seen->size - 1))
		if (seen->slots[at].low == print.low && seen->slots[at].high == print.high)
			return false;
	seen_place(seen, print);
	return true;
}

/* ---- The search ---- */

enum { NOBODY = UINT32_MAX };

struct placed {
	uint32_t op;
	bool forced; /* No alternative has to be tried. */
	struct value before;
	struct print print_before;
};

struct search {
	const struct linear_op *ops;
	uint32_t count;
	uint32_t left; /* Done operations not yet placed. */
	/* Operations not yet placed, by call: the done ones, and those of unknown outcome. */
	uint32_t first_done, first_unknown;
	uint32_t *next, *prev;
	uint32_t *returns; /* Done operations by return. */
	uint32_t *rank;	   /* Their places there. */
	uint32_t returns_count;
	uint32_t returns_at; /* Those before are placed. */
	bool *is_placed;
	struct print *marks; /* A random mark of each operation. */
	struct placed *stack;
	uint32_t depth;
	struct value value;
	struct print print; /* Of the operations placed. */
	struct seen seen;
};

static uint32_t *head_of(struct search *s, uint32_t op)
{
	return s->ops[op].done ? &s->first_done : &s->first_unknown;
}

static void take_out(struct search *s, uint32_t op)
{
	if (s->prev[op] == NOBODY)
		*head_of(s, op) = s->next[op];
	else
		s->next[s->prev[op]] = s->next[op];
	if (s->next[op] != NOBODY)
		s->prev[s->next[op]] = s->prev[op];
	s->is_placed[op] = true;
	s->left -= s->ops[op].done;
}

/* Undoes take_out; in reverse order. */
static void put_back(struct search *s, uint32_t op)
{
	if (s->prev[op] == NOBODY)
		*head_of(s, op) = op;
	else
		s->next[s->prev[op]] = op;
	if (s->next[op] != NOBODY)
		s->prev[s->next[op]] = op;
	s->is_placed[op] = false;
	if (!s->ops[op].done)
		return;
	s->left++;
	if (s->rank[op] < s->returns_at)
		s->returns_at = s->rank[op];
}

/* Operations called after this cannot come next. */
static uint64_t horizon(struct search *s)
{
	while (s->returns_at < s->returns_count && s->is_placed[s->returns[s->returns_at]])
		s->returns_at++;
	return s->returns_at == s->returns_count ? UINT64_MAX : s->ops[s->returns[s->returns_at]].returned;
}

static struct print mark_value(struct print print, const struct value *value)
{
	struct rng rng = rng_seed(value->hash ^ ((uint64_t)value->size << 2 | (uint64_t)value->present << 1 |
						 (uint64_t)value->is_number));
	print.low ^= rng_next(&rng);
	rng.state ^= (uint64_t)value->number;
	print.high ^= rng_next(&rng);
	return print;
}

/* Places `op` next, if it fits and leads to something new. */
static bool place(struct search *s, uint32_t op)
{
	const struct linear_op *o = &s->ops[op];
	struct value value = s->value;
	if (o->after != LINEAR_NONE && !s->is_placed[o->after])
		return false;
	if (o->kind == LINEAR_SET && s->depth > 0 && !s->ops[s->stack[s->depth - 1].op].done)
		return false;
	const struct linear_reply reply = carry_out(o, &value);
	if (o->done && !same_reply(&reply, &o->reply))
		return false;
	if (!o->done && same_value(&value, &s->value))
		return false;
	struct print print = {s->print.low ^ s->marks[op].low, s->print.high ^ s->marks[op].high};
	bool forced = o->done && changed_nothing(o);
	if (!forced && !seen_add(&s->seen, mark_value(print, &value)))
		return false;
	s->stack[s->depth++] =
		(struct placed){.op = op, .forced = forced, .before = s->value, .print_before = s->print};
	s->value = value;
	s->print = print;
	take_out(s, op);
	return true;
}

/* Takes back what was placed last and had alternatives; returns it, or NOBODY. */
static uint32_t take_back(struct search *s)
{
	while (s->depth > 0) {
		const struct placed *last = &s->stack[--s->depth];
		put_back(s, last->op);
		s->value = last->before;
		s->print = last->print_before;
		if (!last->forced)
			return last->op;
	}
	return NOBODY;
}

/* The first operation from `op` on, along its list and then the unknown ones, that can be placed; places it. */
static bool place_from(struct search *s, uint32_t op, bool unknown)
{
	uint64_t limit = horizon(s);
	for (;;) {
		for (; op != NOBODY && s->ops[op].called < limit; op = s->next[op])
			if (place(s, op))
				return true;
		if (unknown)
			return false;
		unknown = true;
		op = s->first_unknown;
	}
}

static enum linear_verdict run(struct search *s, uint64_t budget)
{
	uint32_t op = s->first_done;
	bool unknown = false;
	while (s->left > 0) {
		if (place_from(s, op, unknown)) {
			if (s->seen.used > budget)
				return LINEAR_UNDECIDED;
			op = s->first_done;
			unknown = false;
			continue;
		}
		uint32_t last = take_back(s);
		if (last == NOBODY)
			return LINEAR_NO;
		op = s->next[last];
		unknown = !s->ops[last].done;
	}
	return LINEAR_YES;
}

/* By insertion: histories are short, and nearly sorted. */
static void sort_returns(struct search *s)
{
	for (uint32_t i = 1; i < s->returns_count; i++) {
		uint32_t op = s->returns[i];
		uint32_t at = i;
		for (; at > 0 && s->ops[s->returns[at - 1]].returned > s->ops[op].returned; at--)
			s->returns[at] = s->returns[at - 1];
		s->returns[at] = op;
	}
	for (uint32_t i = 0; i < s->returns_count; i++)
		s->rank[s->returns[i]] = i;
}

static void link_ops(struct search *s)
{
	struct rng rng = rng_seed(s->count);
	uint32_t last_done = NOBODY, last_unknown = NOBODY;
	s->first_done = s->first_unknown = NOBODY;
	for (uint32_t i = 0; i < s->count; i++) {
		const struct linear_op *op = &s->ops[i];
		CHECK(i == 0 || s->ops[i - 1].called < op->called);
		CHECK(op->after == LINEAR_NONE || (op->after < i && s->ops[op->after].done));
		s->marks[i].low = rng_next(&rng);
		s->marks[i].high = rng_next(&rng);
		s->next[i] = s->prev[i] = NOBODY;
		if (!op->done && only_reads(op->kind))
			continue;
		uint32_t *last = op->done ? &last_done : &last_unknown;
		s->prev[i] = *last;
		if (*last == NOBODY)
			*head_of(s, i) = i;
		else
			s->next[*last] = i;
		*last = i;
		if (op->done) {
			CHECK_OP(op->called, <, op->returned);
			s->returns[s->returns_count++] = i;
		}
	}
	s->left = s->returns_count;
	sort_returns(s);
}

enum linear_verdict linear_check(struct mem *mem, const struct linear_op *ops, uint32_t count, uint64_t budget,
				 uint64_t *states)
{
	struct search s = {.ops = ops, .count = count, .seen = {.mem = mem}};
	s.next = mem_alloc(mem, count * sizeof *s.next);
	s.prev = mem_alloc(mem, count * sizeof *s.prev);
	s.returns = mem_alloc(mem, count * sizeof *s.returns);
	s.rank = mem_alloc(mem, count * sizeof *s.rank);
	s.is_placed = mem_zero(mem, count * sizeof *s.is_placed);
	s.marks = mem_alloc(mem, count * sizeof *s.marks);
	s.stack = mem_alloc(mem, count * sizeof *s.stack);
	link_ops(&s);
	enum linear_verdict verdict = run(&s, budget);
	if (states != NULL)
		*states = s.seen.used;
	mem_free(mem, s.next);
	mem_free(mem, s.prev);
	mem_free(mem, s.returns);
	mem_free(mem, s.rank);
	mem_free(mem, s.is_placed);
	mem_free(mem, s.marks);
	mem_free(mem, s.stack);
	mem_free(mem, s.seen.slots);
	return verdict;
}

/* ---- For people ---- */

void linear_print(const struct linear_op *op, char *text, size_t size)
{
	static const char *const names[] = {"GET",    "STRLEN",	 "EXISTS", "SET",    "SET NX",
					    "SET XX", "SET GET", "APPEND", "INCRBY", "DEL"};
	char arg[64] = "";
	char reply[64] = "unknown";
	const struct linear_reply *r = &op->reply;
	if (op->arg_size > 0)
		snprintf(arg, sizeof arg, " %.*s", (int)op->arg_size, op->arg);
	else if (op->kind == LINEAR_INCRBY)
		snprintf(arg, sizeof arg, " %" PRId64, op->delta);
	if (op->done && r->kind == LINEAR_NUMBER)
		snprintf(reply, sizeof reply, "%" PRId64, r->number);
	else if (op->done && r->kind == LINEAR_BYTES)
		snprintf(reply, sizeof reply, "%" PRIu32 " bytes %016" PRIx64, r->size, r->hash);
	else if (op->done)
		snprintf(reply, sizeof reply, "%s",
			 r->kind == LINEAR_NIL	? "nil"
			 : r->kind == LINEAR_OK ? "OK"
						: "error");
	snprintf(text, size, "[%" PRIu64 ", %" PRIu64 "] %s%s: %s", op->called, op->done ? op->returned : 0,
		 names[op->kind], arg, reply);
}
