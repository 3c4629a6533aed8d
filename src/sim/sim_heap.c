/*
 * The heap of events, and the pool that small things of the simulated world live in.
 *
 * A binary heap ordered by (time, order of insertion). Each event knows its place, so that its owner can cancel it; the
 * keys stand in the heap itself, so that sifting touches events only to tell them their place.
 *
 * The pool keeps freed blocks by size class. Under an address sanitizer it keeps nothing, so that each block is
 * watched.
 */
#include "sim/sim_world.h"

#include "base/check.h"

#include <stdlib.h>

enum { POOL_SHIFT = 7 }; /* The smallest class has 128 bytes, the largest 256 KiB. */

#if defined(__SANITIZE_ADDRESS__)
#define POOL_KEEPS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_KEEPS 0
#endif
#endif
#ifndef POOL_KEEPS
#define POOL_KEEPS 1
#endif

void sim_event_init(struct event *event, enum event_kind kind, struct sim_host *host)
{
	event->time = 0;
	event->at = NOWHERE;
	event->kind = kind;
	event->host = host;
	list_init(&event->inbox);
}

bool sim_event_waits(const struct event *event)
{
	return !list_empty(&event->inbox);
}

static inline bool before(const struct heap_slot *a, const struct heap_slot *b)
{
	return a->time < b->time || (a->time == b->time && a->order < b->order);
}

static inline void place(struct sim *sim, uint32_t at, struct heap_slot slot)
{
	sim->heap[at] = slot;
	slot.event->at = at;
}

static void sift_up(struct sim *sim, uint32_t at, struct heap_slot slot)
{
	while (at > 0) {
		uint32_t parent = (at - 1) / 2;
		if (!before(&slot, &sim->heap[parent]))
			break;
		place(sim, at, sim->heap[parent]);
		at = parent;
	}
	place(sim, at, slot);
}

static void sift_down(struct sim *sim, uint32_t at, struct heap_slot slot)
{
	for (;;) {
		uint32_t child = 2 * at + 1;
		if (child >= sim->heap_size)
			break;
		if (child + 1 < sim->heap_size && before(&sim->heap[child + 1], &sim->heap[child]))
			child++;
		if (!before(&sim->heap[child], &slot))
			break;
		place(sim, at, sim->heap[child]);
		at = child;
	}
	place(sim, at, slot);
}

static void take_out(struct sim *sim, struct event *event)
{
	uint32_t at = event->at;
	event->at = NOWHERE;
	struct heap_slot last = sim->heap[--sim->heap_size];
	if (at == sim->heap_size)
		return;
	if (at > 0 && before(&last, &sim->heap[(at - 1) / 2]))
		sift_up(sim, at, last);
	else
		sift_down(sim, at, last);
}

void sim_event_at(struct sim *sim, struct event *event, uint64_t time)
{
	CHECK(list_empty(&event->inbox));
	CHECK_OP(time, >=, sim->now);
	if (event->at != NOWHERE)
		take_out(sim, event);
	if (sim->heap_size == sim->heap_room) {
		sim->heap_room = sim->heap_room == 0 ? 256 : sim->heap_room * 2;
		sim->heap = mem_resize(&sim->mem, sim->heap, sim->heap_room * sizeof *sim->heap);
	}
	event->time = time;
	struct heap_slot slot = {time, sim->order++, event};
	sift_up(sim, sim->heap_size++, slot);
}

void sim_event_cancel(struct sim *sim, struct event *event)
{
	if (event->at != NOWHERE)
		take_out(sim, event);
	list_remove(&event->inbox);
}

struct event *sim_event_pop(struct sim *sim)
{
	struct event *event = sim->heap[0].event;
	take_out(sim, event);
	return event;
}

/* The class of a block, or POOL_CLASSES when it is too large for any. */
static unsigned class_of(size_t size)
{
	unsigned class = 0;
	if (size > (size_t)1 << POOL_SHIFT)
		class = 64 - POOL_SHIFT - (unsigned)__builtin_clzll((unsigned long long)(size - 1));
	return class < POOL_CLASSES ? class : POOL_CLASSES;
}

void *sim_take(struct sim *sim, size_t size)
{
	unsigned class = class_of(size);
	if (!POOL_KEEPS || class == POOL_CLASSES)
		return mem_alloc(&sim->mem, size);
	void **block = sim->pool[class];
	if (block == NULL)
		return mem_alloc(&sim->mem, (size_t)1 << (class + POOL_SHIFT));
	sim->pool[class] = *block;
	return block;
}

void sim_give(struct sim *sim, void *block, size_t size)
{
	unsigned class = class_of(size);
	if (!POOL_KEEPS || class == POOL_CLASSES) {
		mem_free(&sim->mem, block);
		return;
	}
	*(void **)block = sim->pool[class];
	sim->pool[class] = block;
}

void sim_pool_free(struct sim *sim)
{
	for (unsigned class = 0; class < POOL_CLASSES; class ++) {
		while (sim->pool[class] != NULL) {
			void **block = sim->pool[class];
			sim->pool[class] = *block;
			mem_free(&sim->mem, block);
		}
	}
}
