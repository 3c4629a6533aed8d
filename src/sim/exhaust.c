/*
 * The search: depth first, with the path in memory, and what is new beside it, and of all other states only their
 * hashes. A successor is a sequence of choices, each one out of a few; all sequences are tried by counting through them
 * like the digits of a number.
 */
#include "sim/exhaust.h"

#include "base/check.h"
#include "sim/exhaust_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PROGRESS_STEPS = 1 << 20 };

uint32_t x_choose(struct xsearch *s, uint32_t n)
{
	struct xdigits *d = s->digits;
	CHECK(n > 0 && n < 256);
	if (d->at == d->count) {
		CHECK_OP(d->at, <, (uint32_t)X_DIGITS_MAX);
		d->digits[d->at] = 0;
		d->bounds[d->at] = (uint8_t)n;
		d->count++;
	}
	CHECK_OP((uint32_t)d->bounds[d->at], ==, n);
	return d->digits[d->at++];
}

bool x_count_on(struct xdigits *d)
{
	if (!d->begun) {
		d->begun = true;
		return true;
	}
	while (d->count > 0) {
		uint32_t last = d->count - 1;
		if (++d->digits[last] < d->bounds[last])
			return true;
		d->count = last;
	}
	return false;
}

void x_fail(struct xsearch *s, const char *format, ...)
{
	struct exhaust_result *result = s->result;
	if (result->failed)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(result->failure, sizeof result->failure, format, args);
	va_end(args);
	result->failed = true;
}

void x_say(struct xsearch *s, const char *format, ...)
{
	if (s->hooks->trace == NULL)
		return;
	char text[256];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	s->hooks->trace(s->hooks->context, text);
}

static struct xframe *frame_at(struct xsearch *s, uint32_t depth)
{
	if (depth == s->frame_room) {
		s->frame_room = s->frame_room == 0 ? 64 : 2 * s->frame_room;
		s->frames = mem_resize(&s->mem, s->frames, s->frame_room * sizeof *s->frames);
	}
	if (depth == s->frame_count)
		s->frames[s->frame_count++] = mem_zero(&s->mem, sizeof **s->frames);
	return s->frames[depth];
}

static bool beyond(const struct xsearch *s)
{
	for (uint32_t i = 0; i < X_NODES; i++)
		if (s->briefs[s->to.nodes[i]].last > s->bounds.entries)
			return true;
	return false;
}

static void put_child(struct xsearch *s, struct xframe *frame, const struct xdigits *digits)
{
	if (frame->child_count == frame->child_room) {
		frame->child_room = frame->child_room == 0 ? 16 : 2 * frame->child_room;
		frame->children = mem_resize(&s->mem, frame->children, frame->child_room * sizeof *frame->children);
	}
	struct xchild *child = &frame->children[frame->child_count++];
	*child = (struct xchild){s->to, x_hash(s, &s->to), digits->digits[0], digits->digits[1]};
	x_set_expect(&s->set, child->hash);
}

/* The run up to the state of frame `depth`, and one choice more. */
static void tell(struct xsearch *s, uint32_t depth, const struct xdigits *digits)
{
	for (uint32_t i = 0; i < depth; i++) {
		const struct xchild *child = &s->frames[i]->children[s->frames[i]->next - 1];
		x_tell(s, s->frames[i], child->choice, child->way);
	}
	x_tell(s, s->frames[depth], digits->digits[0], digits->digits[1]);
}

/*
 * Makes all successors of the state of frame `depth`, and keeps those that are new: first all are made, so that where
 * each should be in the set has come from memory when it is looked for. False: a rule is broken, or the set is full.
 */
static bool expand(struct xsearch *s, uint32_t depth)
{
	struct xframe *frame = s->frames[depth];
	struct xdigits digits = {.begun = false};
	bool full = false;
	uint32_t kept = 0;
	frame->child_count = frame->next = 0;
	x_list(s, frame);
	while (x_count_on(&digits)) {
		digits.at = 0;
		s->digits = &digits;
		s->from = frame;
		s->to = frame->x;
		bool more = x_act(s);
		s->result->steps++;
		if (s->result->failed) {
			tell(s, depth, &digits);
			return false;
		}
		if (more && beyond(s))
			s->result->beyond++;
		else if (more)
			put_child(s, frame, &digits);
	}
	for (uint32_t i = 0; i < frame->child_count; i++) {
		if (!x_set_add(s, frame->children[i].hash, &full))
			continue;
		if (s->hooks->view != NULL)
			s->hooks->view(s->hooks->context, x_hash_view(s, &frame->children[i].x));
		if (kept < i)
			frame->children[kept] = frame->children[i];
		kept++;
	}
	frame->child_count = kept;
	return !full;
}

static bool go_on(struct xsearch *s, uint32_t depth)
{
	struct exhaust_result *r = s->result;
	r->states = s->set.used;
	r->bytes = s->mem.bytes;
	r->at_depth = depth;
	r->waiting = 0;
	for (uint32_t i = 0; i <= depth; i++)
		r->waiting += s->frames[i]->child_count - s->frames[i]->next;
	return s->hooks->progress == NULL || s->hooks->progress(s->hooks->context, r);
}

static void search(struct xsearch *s)
{
	uint32_t depth = 0;
	uint64_t told = 0;
	x_begin(s, frame_at(s, 0));
	bool more = expand(s, 0);
	while (more) {
		struct xframe *frame = s->frames[depth];
		if (frame->next == frame->child_count) {
			if (depth == 0)
				break;
			depth--;
			continue;
		}
		const struct xchild *child = &frame->children[frame->next++];
		frame_at(s, ++depth)->x = child->x;
		if (depth > s->result->depth)
			s->result->depth = depth;
		more = expand(s, depth);
		if (s->result->steps >= told + PROGRESS_STEPS) {
			told = s->result->steps;
			more = more && go_on(s, depth);
		}
	}
	s->result->whole = more;
}

void exhaust(const struct exhaust_bounds *bounds, uint64_t bytes, const struct exhaust_hooks *hooks,
	     struct exhaust_result *result)
{
	CHECK_OP(bounds->terms, <=, (uint32_t)X_TERMS_MAX);
	CHECK_OP(bounds->entries, <, (uint32_t)X_ENTRIES_MAX);
	CHECK(bounds->in_flight > 0 && bounds->in_flight <= (uint32_t)X_LINK_MAX);
	struct mem mem;
	mem_init(&mem, true);
	memset(result, 0, sizeof *result);
	struct xsearch *s = mem_zero(&mem, sizeof *s);
	mem_init(&s->mem, true);
	s->bounds = *bounds;
	s->hooks = hooks;
	s->result = result;
	s->limits = (struct ikada_limits){
		.term_runs = 8,
		.inflight_messages = bounds->in_flight,
		.inflight_bytes = UINT64_MAX,
		.uncommitted_entries = X_ENTRIES_MAX,
	};
	s->raft_bytes = ikada_raft_size(&s->limits);
	s->before = mem_zero(&s->mem, s->raft_bytes);
	s->mine.raft = mem_zero(&s->mem, s->raft_bytes);
	s->packets = mem_zero(&s->mem, X_PACKETS_MAX * sizeof *s->packets);
	s->packet_hashes = mem_zero(&s->mem, X_PACKETS_MAX * sizeof *s->packet_hashes);
	s->set.bytes_max = bytes;
	search(s);
	result->states = s->set.used;
	result->bytes = s->mem.bytes;
	mem_free_all(&s->mem);
	mem_free_all(&mem);
}
