/*
 * The search: depth first, with the path in memory and of all other states only their hashes. A successor is a sequence
 * of choices, each one out of a few; all sequences are tried by counting through them like the digits of a number.
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
	struct xframe *from = s->from;
	CHECK(n > 0 && n < 256);
	if (s->at == from->digit_count) {
		CHECK_OP(s->at, <, (uint32_t)X_DIGITS_MAX);
		from->digits[s->at] = 0;
		from->bounds[s->at] = (uint8_t)n;
		from->digit_count++;
	}
	CHECK_OP((uint32_t)from->bounds[s->at], ==, n);
	return from->digits[s->at++];
}

/* The next sequence of choices; false: there is none. */
static bool count_on(struct xframe *frame)
{
	if (!frame->begun) {
		frame->begun = true;
		return true;
	}
	while (frame->digit_count > 0) {
		uint32_t last = frame->digit_count - 1;
		if (++frame->digits[last] < frame->bounds[last])
			return true;
		frame->digit_count = last;
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
	if (!s->tracing || s->hooks->trace == NULL)
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
	if (depth == s->frame_count) {
		struct xframe *frame = mem_zero(&s->mem, sizeof *frame);
		frame->mine = mem_zero(&s->mem, sizeof *frame->mine);
		frame->mine->raft = mem_zero(&s->mem, s->raft_bytes);
		s->frames[s->frame_count++] = frame;
	}
	return s->frames[depth];
}

/* Makes the successor of frame `depth` that its digits say. */
static bool succeed(struct xsearch *s, uint32_t depth)
{
	s->to = frame_at(s, depth + 1);
	s->from = s->frames[depth];
	s->to->x = s->from->x;
	s->to->begun = false;
	s->to->digit_count = 0;
	s->at = 0;
	s->report_count = 0;
	s->stepped = false;
	return x_act(s);
}

/* Goes down the path again, and tells. The failing step is that of frame `depth`. */
static void tell(struct xsearch *s, uint32_t depth)
{
	s->tracing = true;
	for (uint32_t i = 0; i <= depth; i++) {
		/* As it was, but for the digits of what is below. */
		struct xframe below = *frame_at(s, i + 1);
		succeed(s, i);
		s->to->begun = below.begun;
		s->to->digit_count = below.digit_count;
	}
}

static bool beyond(const struct xsearch *s)
{
	return s->to->mine->status.last_index > s->bounds.entries;
}

static void search(struct xsearch *s)
{
	struct exhaust_result *r = s->result;
	uint32_t depth = 0;
	bool full = false;
	x_begin(s, frame_at(s, 0));
	for (;;) {
		struct xframe *frame = s->frames[depth];
		if (!count_on(frame)) {
			if (depth == 0)
				break;
			depth--;
			continue;
		}
		bool more = succeed(s, depth);
		r->steps++;
		if (r->failed) {
			tell(s, depth);
			return;
		}
		if (r->steps % PROGRESS_STEPS == 0 && s->hooks->progress != NULL) {
			r->states = s->set.used;
			if (!s->hooks->progress(s->hooks->context, r))
				return;
		}
		if (!more)
			continue;
		if (beyond(s)) {
			r->beyond++;
			continue;
		}
		if (!x_set_add(s, x_hash(&s->to->x, s->bounds.plain), &full)) {
			if (full)
				return;
			continue;
		}
		if (s->hooks->view != NULL)
			s->hooks->view(s->hooks->context, x_hash_view(&s->to->x));
		depth++;
		if (depth > r->depth)
			r->depth = depth;
	}
	r->whole = true;
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
	/* While it grows, the old half is there, too. */
	s->set.room_max = 1;
	while (3 * s->set.room_max * sizeof *s->set.slots <= bytes)
		s->set.room_max *= 2;
	search(s);
	result->states = s->set.used;
	result->bytes = s->mem.bytes;
	mem_free_all(&s->mem);
	mem_free_all(&mem);
}
