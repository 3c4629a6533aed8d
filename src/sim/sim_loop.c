/*
 * The simulated world's loop: instants, wake-ups, and the trace hash.
 *
 * A step dispatches all events of the next instant at the system level, in order, and then wakes each idle process that
 * was told something: its callbacks, then its turn, then its output leaves. A wake-up keeps the process busy for a
 * while; what it is told meanwhile, or while it is paused, waits in its inbox for the next one. So no instant can last
 * for ever, and callbacks pile up under load as they do in a real loop.
 *
 * The event `wake` of a host is lazy: it may fire early, never late; then it is set again.
 */
#include "sim/sim_world.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/*
 * Simulated processes come and go and take the same large blocks again and again. The allocator is to keep what it has,
 * instead of giving it back to the system and having it cleared anew.
 */
static void keep_memory(void)
{
#ifdef __GLIBC__
	mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024);
	mallopt(M_TRIM_THRESHOLD, 1024 * 1024 * 1024);
	mallopt(M_TOP_PAD, 8 * 1024 * 1024);
#endif
}

struct sim *sim_create(uint64_t seed)
{
	struct mem mem;
	keep_memory();
	mem_init(&mem, false);
	struct sim *sim = mem_zero(&mem, sizeof *sim);
	mem_init(&sim->mem, false);
	sim->seed = seed;
	sim->hash = seed;
	list_init(&sim->ready);
	list_init(&sim->conns);
	list_init(&sim->graveyard);
	sim->net = (struct sim_net_settings){
		.break_ppm = 500000,
		.break_min_ns = 1000000000,
		.break_max_ns = 10000000000,
		.connect_ns = 3000000000,
		.reboot_min_ns = 200000000,
		.reboot_max_ns = 2000000000,
	};
	sim->link_default = (struct sim_link){
		.delay_min_ns = 100000,
		.delay_max_ns = 500000,
		.split_ppm = 100000,
		.window_bytes = 256 * 1024,
	};
	return sim;
}

void sim_destroy(struct sim *sim)
{
	CHECK(sim->frame == NULL);
	for (uint32_t i = 0; i < sim->host_count; i++)
		sim_host_end(sim->hosts[i], SIM_KILL);
	sim_net_free(sim);
	for (uint32_t i = 0; i < sim->host_count; i++)
		sim_host_free(sim->hosts[i]);
	while (sim->heap_size > 0) {
		struct event *event = sim_event_pop(sim);
		CHECK_OP((uint64_t)event->kind, ==, (uint64_t)EVENT_OWNER);
		sim_give(sim, event, sizeof(struct owner_event));
	}
	sim_pool_free(sim);
	struct mem mem = sim->mem;
	mem_free(&mem, sim->heap);
	mem_free(&mem, sim->scratch);
	mem_free(&mem, sim);
}

void sim_set_hooks(struct sim *sim, const struct sim_hooks *hooks)
{
	sim->hooks = *hooks;
}

uint64_t sim_now(const struct sim *sim)
{
	return sim->now;
}

uint64_t sim_trace_hash(const struct sim *sim)
{
	return sim->hash;
}

const struct sim_counters *sim_counters(const struct sim *sim)
{
	return &sim->counters;
}

struct rng sim_rng(const struct sim *sim, uint64_t purpose)
{
	struct rng rng = rng_seed(sim->seed);
	uint64_t salt = rng_next(&rng);
	rng = rng_seed(salt ^ purpose * 0x9fb21c651e98df25u);
	return rng_seed(rng_next(&rng));
}

void sim_schedule(struct sim *sim, uint64_t at, void (*fn)(void *context), void *context)
{
	struct owner_event *owner = sim_take(sim, sizeof *owner);
	sim_event_init(&owner->event, EVENT_OWNER, NULL);
	owner->fn = fn;
	owner->context = context;
	sim_event_at(sim, &owner->event, at > sim->now ? at : sim->now);
}

static inline uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9fb21c651e98df25u;
	return hash ^ hash >> 29;
}

static void trace(const struct sim_host *host, enum note note, const struct sim_host *other, uint64_t size,
		  uint32_t sum)
{
	static const char *const names[] = {
		[NOTE_STARTS] = "starts",
		[NOTE_ENDS] = "ends",
		[NOTE_FATAL] = "fatal",
		[NOTE_WAKES] = "wakes up",
		[NOTE_WROTE] = "disk wrote",
		[NOTE_CONNECTS] = "connects to",
		[NOTE_CONNECT_ARRIVES] = "has a connect from",
		[NOTE_OPENS] = "is connected to",
		[NOTE_BYTES] = "gets bytes from",
		[NOTE_FRAME] = "gets a frame from",
		[NOTE_FRAME_LOST] = "loses a frame from",
		[NOTE_END] = "gets the end from",
		[NOTE_RESET] = "loses a connection with",
		[NOTE_CUT] = "is cut from sending to",
		[NOTE_HEALED] = "is healed with",
	};
	const struct sim *sim = host->sim;
	char text[240];
	int n = snprintf(text, sizeof text, "%" PRIu64 ".%06" PRIu64 " ms %s %s%s%s", sim->now / 1000000,
			 sim->now % 1000000, host->name, names[note], other != NULL ? " " : "",
			 other != NULL ? other->name : "");
	if (size != 0 || sum != 0)
		snprintf(text + n, sizeof text - (size_t)n, ", %" PRIu64 " bytes, sum %08" PRIx32, size, sum);
	sim->hooks.on_trace(sim->hooks.context, text);
}

void sim_note(const struct sim_host *host, enum note note, const struct sim_host *other, uint64_t size, uint32_t sum)
{
	struct sim *sim = host->sim;
	uint64_t hash = mix(sim->hash, sim->now);
	hash = mix(hash, (uint64_t)note << 56 ^ (uint64_t)host->number << 48 ^ size << 32 ^ sum);
	sim->hash = mix(hash, size << 8 ^ (other != NULL ? other->number + 1 : 0));
	if (sim->hooks.on_trace != NULL)
		trace(host, note, other, size, sum);
}

static bool in_a_frame(const struct sim_host *host)
{
	for (const struct frame *frame = host->sim->frame; frame != NULL; frame = frame->outer) {
		if (frame->host == host)
			return true;
	}
	return false;
}

void sim_host_arm(struct sim_host *host)
{
	struct sim *sim = host->sim;
	uint64_t time;
	if (!list_empty(&host->inbox) || host->turn_due)
		time = host->free_at;
	else if (host->deadline != NEVER)
		time = sim_host_time_of(host, host->deadline);
	else
		return;
	if (time < host->free_at)
		time = host->free_at;
	if (time < sim->now)
		time = sim->now;
	if (host->wake.at == NOWHERE || host->wake.time > time)
		sim_event_at(sim, &host->wake, time);
}

/* The process has something to do: it wakes up in this instant, or when it is free, or late. */
static void rouse(struct sim_host *host)
{
	struct sim *sim = host->sim;
	if (sim->now >= host->free_at && !host->was_late && rng_chance(&host->rng_turn, host->settings.late_ppm)) {
		host->was_late = true;
		host->free_at = sim->now + rng_range(&host->rng_turn, 1, host->settings.late_max_ns);
	}
	if (sim->now >= host->free_at && sim->stepping)
		list_push(&sim->ready, &host->ready);
	else
		sim_host_arm(host);
}

void sim_tell(struct sim_host *host, struct event *event)
{
	CHECK(host->running);
	if (sim_event_waits(event))
		return;
	list_push(&host->inbox, &event->inbox);
	/* In its own wake-up, the process is served in that, or armed when it is over. */
	if (list_empty(&host->ready) && !in_a_frame(host))
		rouse(host);
}

static void wake_reach(struct sim_host *host)
{
	if (!list_empty(&host->ready))
		return;
	bool late = host->deadline != NEVER && sim_host_raw(host) >= host->deadline;
	if (late || host->turn_due || !list_empty(&host->inbox))
		rouse(host);
	else
		sim_host_arm(host);
}

static void owner_reach(struct sim *sim, struct event *event)
{
	struct owner_event owner = *LIST_OF(event, struct owner_event, event);
	sim_give(sim, event, sizeof owner);
	owner.fn(owner.context);
}

static void reach(struct sim *sim, struct event *event)
{
	if (event->kind != EVENT_WAKE)
		sim->counters.events++;
	switch (event->kind) {
	case EVENT_OWNER:
		owner_reach(sim, event);
		return;
	case EVENT_WAKE:
		wake_reach(event->host);
		return;
	case EVENT_TIMEOUT:
		sim_timeout_reach(event);
		return;
	case EVENT_CHUNK:
		sim_chunk_reach(event);
		return;
	case EVENT_IO:
		sim_io_reach(event);
		return;
	case EVENT_NEWS:
		CHECK(!"news in the heap");
	}
}

/* The body of a wake-up. */
static void serve(void *context)
{
	struct sim_host *host = context;
	struct sim *sim = host->sim;
	while (!list_empty(&host->inbox)) {
		struct event *event = LIST_OF(host->inbox.next, struct event, inbox);
		list_remove(&event->inbox);
		if (event->kind == EVENT_IO)
			sim_io_done(event);
		else
			sim_stream_hear(event);
	}
	host->turn_due = false;
	if (host->env.turn != NULL) {
		sim->counters.turns++;
		host->env.turn(host->env.turn_context);
	}
}

_Noreturn void sim_leave(struct sim *sim, enum sim_crash how, bool fatal)
{
	sim->ended_how = how;
	sim->ended_fatal = fatal;
	longjmp(sim->frame->jump, 1);
}

/* Calls fn as the process of `host`. When that does not return, the process has ended. */
static bool call(struct sim_host *host, void (*fn)(void *context), void *context)
{
	struct sim *sim = host->sim;
	struct frame frame = {.host = host, .outer = sim->frame};
	sim->frame = &frame;
	if (setjmp(frame.jump) == 0) {
		fn(context);
		sim->frame = frame.outer;
		return true;
	}
	sim->frame = frame.outer;
	bool fatal = sim->ended_fatal;
	sim_host_end(host, sim->ended_how);
	if (fatal) {
		sim->counters.fatals++;
		sim_note(host, NOTE_FATAL, NULL, 0, 0);
		if (sim->hooks.on_fatal != NULL)
			sim->hooks.on_fatal(sim->hooks.context, host, sim->text);
	}
	return false;
}

static void flush(struct sim_host *host, uint64_t time)
{
	while (!list_empty(&host->dirty)) {
		struct env_stream *stream = LIST_OF(host->dirty.next, struct env_stream, dirty);
		list_remove(&stream->dirty);
		sim_stream_flush(stream, time);
	}
}

/* The process looks at the clock: a deadline that has passed is done with, and the lateness counted. */
static void look_at_clock(struct sim_host *host)
{
	host->raw_now = sim_host_raw(host);
	if (host->deadline > host->raw_now)
		return;
	host->lateness += host->raw_now - host->deadline;
	host->deadline = NEVER;
	host->sim->counters.events++;
}

static void wake_up(struct sim_host *host)
{
	struct sim *sim = host->sim;
	host->was_late = false;
	look_at_clock(host);
	sim_note(host, NOTE_WAKES, NULL, 0, 0);
	if (!call(host, serve, host))
		return;
	uint64_t busy = rng_range(&host->rng_turn, host->settings.turn_min_ns, host->settings.turn_max_ns);
	uint64_t free_at = sim->now + (busy == 0 ? 1 : busy) + host->debt;
	host->debt = 0;
	if (host->free_at < free_at)
		host->free_at = free_at;
	flush(host, free_at);
	sim_host_arm(host);
}

bool sim_host_run(struct sim_host *host, void (*fn)(void *context), void *context)
{
	struct sim *sim = host->sim;
	CHECK(host->running && !in_a_frame(host));
	look_at_clock(host);
	if (!call(host, fn, context))
		return false;
	uint64_t time = sim->now + host->debt;
	host->debt = 0;
	if (host->free_at < time)
		host->free_at = time;
	flush(host, time);
	host->turn_due = true;
	sim_host_arm(host);
	return true;
}

/* All that is due by `time` is served at that time. */
static void step_at(struct sim *sim, uint64_t time)
{
	CHECK(sim->frame == NULL);
	sim_reap(sim);
	sim->now = time;
	sim->stepping = true;
	while (sim->heap_size > 0 && sim->heap[0].time <= time)
		reach(sim, sim_event_pop(sim));
	while (!list_empty(&sim->ready)) {
		struct sim_host *host = LIST_OF(sim->ready.next, struct sim_host, ready);
		list_remove(&host->ready);
		wake_up(host);
	}
	sim->stepping = false;
}

bool sim_step(struct sim *sim)
{
	if (sim->heap_size == 0)
		return false;
	step_at(sim, sim->heap[0].time);
	return true;
}

void sim_run_until(struct sim *sim, uint64_t time)
{
	while (sim->heap_size > 0 && sim->heap[0].time <= time)
		sim_step(sim);
	if (sim->now < time)
		sim->now = time;
}

void sim_catch_up(struct sim *sim, uint64_t time)
{
	while (sim_next(sim) <= time)
		step_at(sim, time);
	if (sim->now < time)
		sim->now = time;
}

uint64_t sim_next(const struct sim *sim)
{
	return sim->heap_size == 0 ? UINT64_MAX : sim->heap[0].time;
}
