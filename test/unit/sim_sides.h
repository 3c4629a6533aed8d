/* Two hosts of the simulated world, and a process on each that checks how it is called. For the tests of that world. */
#ifndef IKADA_TEST_SIM_SIDES_H
#define IKADA_TEST_SIM_SIDES_H

#include "base/buf.h"
#include "sim/sim_env.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define US ((uint64_t)1000)
#define MS ((uint64_t)1000000)
#define S ((uint64_t)1000000000)
#define SEEDS 40

/* One process of a test, with at most one stream. */
struct side {
	struct world *w;
	struct sim_host *host;
	const struct env_ops *ops;
	struct env *env;
	struct env_stream *stream;
	struct env_listener *listener;
	int accepted, opened, drained, closed, status;
	uint64_t opened_at, closed_at, received_at, woken_at;
	bool in_call; /* Inside a submit: no callback may come. */
	bool gone;    /* Closed by itself: no callback may come. */
	bool echoes;
	uint64_t sent, got; /* Bytes of the pattern. */
	struct buf bytes;   /* What was received, where `collects`. */
	bool collects;
	int turns;
	void (*each_turn)(struct side *side);
	void (*on_received)(struct side *side);
};

struct world {
	struct mem mem;
	struct sim *sim;
	struct rng rng;
	struct side a, b;
	char fatal[100];
	int fatals;
	uint64_t number; /* For the story at hand. */
};

static inline uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 167 + (at >> 8) * 13);
}

static inline void check_callback(struct side *side)
{
	assert_false(side->in_call);
	assert_false(side->gone);
	assert_int_equal(side->closed, 0);
}

static inline void opened(void *context)
{
	struct side *side = context;
	check_callback(side);
	side->opened++;
	side->opened_at = sim_now(side->w->sim);
}

static inline void received(void *context, const uint8_t *bytes, size_t size)
{
	struct side *side = context;
	check_callback(side);
	assert_true(size > 0);
	side->received_at = sim_now(side->w->sim);
	if (side->collects) {
		buf_add(&side->bytes, bytes, size);
	} else {
		for (size_t i = 0; i < size; i++)
			assert_int_equal(bytes[i], pattern(side->got + i));
	}
	side->got += size;
	if (side->echoes)
		side->ops->stream_write(side->stream, bytes, size);
	if (side->on_received != NULL)
		side->on_received(side);
}

static inline void drained(void *context)
{
	struct side *side = context;
	check_callback(side);
	side->drained++;
}

static inline void closed(void *context, int status)
{
	struct side *side = context;
	check_callback(side);
	side->closed++;
	side->status = status;
	side->stream = NULL;
	side->closed_at = sim_now(side->w->sim);
}

static const struct env_stream_events events = {opened, received, drained, closed};

static inline void accepted(void *context, struct env_stream *stream)
{
	struct side *side = context;
	assert_false(side->in_call);
	if (side->stream != NULL) /* Of a peer that vanished silently. */
		side->ops->stream_close(side->stream, false);
	side->accepted++;
	side->closed = 0;
	side->stream = stream;
	side->ops->stream_attach(stream, &events, side);
}

static const struct env_accept_events accepts = {accepted};

static inline void turn(void *context)
{
	struct side *side = context;
	assert_false(side->in_call);
	side->turns++;
	side->woken_at = sim_now(side->w->sim);
	if (side->each_turn != NULL)
		side->each_turn(side);
}

static inline void start(struct side *side)
{
	side->env = sim_host_start(side->host);
	side->ops = side->env->ops;
	side->env->turn = turn;
	side->env->turn_context = side;
	side->stream = NULL;
}

static inline void on_fatal(void *context, struct sim_host *host, const char *text)
{
	struct world *w = context;
	assert_false(sim_host_running(host));
	w->fatals++;
	snprintf(w->fatal, sizeof w->fatal, "%s", text);
}

static inline struct world *world_new(uint64_t seed)
{
	struct world *w = calloc(1, sizeof *w);
	mem_init(&w->mem, true);
	w->sim = sim_create(seed);
	w->rng = sim_rng(w->sim, 1);
	const struct sim_hooks hooks = {.context = w, .on_fatal = on_fatal};
	sim_set_hooks(w->sim, &hooks);
	struct side *sides[] = {&w->a, &w->b};
	for (int i = 0; i < 2; i++) {
		sides[i]->w = w;
		sides[i]->host = sim_host_create(w->sim, (uint64_t)i + 1, i == 0 ? "a" : "b");
		buf_init(&sides[i]->bytes, &w->mem);
		start(sides[i]);
	}
	return w;
}

static inline void world_free(struct world *w)
{
	sim_destroy(w->sim);
	buf_free(&w->a.bytes);
	buf_free(&w->b.bytes);
	assert_int_equal(w->mem.bytes, 0);
	free(w);
}

static inline void run_for(struct world *w, uint64_t ns)
{
	sim_run_until(w->sim, sim_now(w->sim) + ns);
}

static inline void run(struct side *side, void (*fn)(struct side *side))
{
	assert_true(sim_host_run(side->host, (void (*)(void *))(void *)fn, side));
}

static inline void do_listen(struct side *side)
{
	assert_int_equal(side->ops->listen(side->env, "b:7", &accepts, side, &side->listener), 0);
}

static inline void do_connect(struct side *side)
{
	side->in_call = true;
	side->stream = side->ops->connect(side->env, "b:7", &events, side);
	side->in_call = false;
}

static inline void reconnect(struct side *side)
{
	side->closed = side->opened = 0;
	do_connect(side);
}

static inline void connected(struct world *w)
{
	run(&w->b, do_listen);
	run(&w->a, do_connect);
	run_for(w, 50 * MS);
	assert_int_equal(w->a.opened, 1);
	assert_int_equal(w->b.accepted, 1);
}

static inline void send_pattern(struct side *side, size_t size)
{
	uint8_t bytes[4096];
	while (size > 0) {
		size_t n = size < sizeof bytes ? size : sizeof bytes;
		for (size_t i = 0; i < n; i++)
			bytes[i] = pattern(side->sent + i);
		side->in_call = true;
		side->ops->stream_write(side->stream, bytes, n);
		side->in_call = false;
		side->sent += n;
		size -= n;
	}
}

static inline void send_100(struct side *side)
{
	send_pattern(side, 100);
}

static inline void nothing(struct side *side)
{
	(void)side;
}

static inline void do_close(struct side *side)
{
	side->gone = true;
	side->ops->stream_close(side->stream, false);
}

static inline void do_close_flushing(struct side *side)
{
	side->gone = true;
	side->ops->stream_close(side->stream, true);
}

static inline void do_pause(struct side *side)
{
	side->ops->stream_pause(side->stream, true);
}

static inline void do_resume(struct side *side)
{
	side->ops->stream_pause(side->stream, false);
}

#define TALK_BYTES 300000

/* Both sides write and pause at random, until enough is written. */
static inline void talk(struct side *side)
{
	struct rng *rng = &side->w->rng;
	bool over = side->stream == NULL || side->gone || side->closed > 0;
	if (over || (side->opened == 0 && side->accepted == 0))
		return;
	uint64_t choice = rng_below(rng, 20);
	uint64_t large = rng_below(rng, 50000);
	uint64_t small = rng_below(rng, 300);
	if (choice < 2)
		side->ops->stream_pause(side->stream, choice == 0);
	if (side->sent < TALK_BYTES)
		send_pattern(side, choice == 5 ? large : small);
	side->ops->wake_at(side->env, side->ops->raw_ns(side->env) + 200 * US);
}

#endif
