/*
 * The simulated world: streams against a model, cuts and crashes, clocks, what a disk keeps, and that a seed decides
 * everything. Each story is told for many seeds.
 */
#include "base/buf.h"
#include "base/bytes.h"
#include "sim/sim_env.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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
	bool in_call;  /* Inside a submit: no callback may come. */
	bool gone;     /* Closed by itself: no callback may come. */
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

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 167 + (at >> 8) * 13);
}

static void check_callback(struct side *side)
{
	assert_false(side->in_call);
	assert_false(side->gone);
	assert_int_equal(side->closed, 0);
}

static void opened(void *context)
{
	struct side *side = context;
	check_callback(side);
	side->opened++;
	side->opened_at = sim_now(side->w->sim);
}

static void received(void *context, const uint8_t *bytes, size_t size)
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

static void drained(void *context)
{
	struct side *side = context;
	check_callback(side);
	side->drained++;
}

static void closed(void *context, int status)
{
	struct side *side = context;
	check_callback(side);
	side->closed++;
	side->status = status;
	side->stream = NULL;
	side->closed_at = sim_now(side->w->sim);
}

static const struct env_stream_events events = {opened, received, drained, closed};

static void accepted(void *context, struct env_stream *stream)
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

static void turn(void *context)
{
	struct side *side = context;
	assert_false(side->in_call);
	side->turns++;
	side->woken_at = sim_now(side->w->sim);
	if (side->each_turn != NULL)
		side->each_turn(side);
}

static void start(struct side *side)
{
	side->env = sim_host_start(side->host);
	side->ops = side->env->ops;
	side->env->turn = turn;
	side->env->turn_context = side;
	side->stream = NULL;
}

static void on_fatal(void *context, struct sim_host *host, const char *text)
{
	struct world *w = context;
	assert_false(sim_host_running(host));
	w->fatals++;
	snprintf(w->fatal, sizeof w->fatal, "%s", text);
}

static struct world *world_new(uint64_t seed)
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

static void world_free(struct world *w)
{
	sim_destroy(w->sim);
	buf_free(&w->a.bytes);
	buf_free(&w->b.bytes);
	assert_int_equal(w->mem.bytes, 0);
	free(w);
}

static void run_for(struct world *w, uint64_t ns)
{
	sim_run_until(w->sim, sim_now(w->sim) + ns);
}

static void run(struct side *side, void (*fn)(struct side *side))
{
	assert_true(sim_host_run(side->host, (void (*)(void *))(void *)fn, side));
}

static void do_listen(struct side *side)
{
	assert_int_equal(side->ops->listen(side->env, "b:7", &accepts, side, &side->listener), 0);
}

static void do_connect(struct side *side)
{
	side->in_call = true;
	side->stream = side->ops->connect(side->env, "b:7", &events, side);
	side->in_call = false;
}

static void connected(struct world *w)
{
	run(&w->b, do_listen);
	run(&w->a, do_connect);
	run_for(w, 50 * MS);
	assert_int_equal(w->a.opened, 1);
	assert_int_equal(w->b.accepted, 1);
}

static void send_pattern(struct side *side, size_t size)
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

static void send_100(struct side *side)
{
	send_pattern(side, 100);
}

static void nothing(struct side *side)
{
	(void)side;
}

static void do_close(struct side *side)
{
	side->gone = true;
	side->ops->stream_close(side->stream, false);
}

static void do_close_flushing(struct side *side)
{
	side->gone = true;
	side->ops->stream_close(side->stream, true);
}

static void do_pause(struct side *side)
{
	side->ops->stream_pause(side->stream, true);
}

static void do_resume(struct side *side)
{
	side->ops->stream_pause(side->stream, false);
}

/* ---- Streams ---- */

#define TALK_BYTES 300000

static void talk(struct side *side)
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

static void test_bytes_arrive_in_order(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = world_new(seed);
		struct sim_link link = *sim_net_link(w->a.host, w->b.host);
		link.split_ppm = 400000;
		link.slow_ppm = 50000;
		link.slow_max_ns = 30 * MS;
		link.byte_ns = seed % 3;
		link.window_bytes = seed % 2 == 0 ? 4000 : 300000;
		sim_net_set_all(w->sim, &link);
		w->a.each_turn = talk;
		w->b.each_turn = talk;
		connected(w);
		for (int i = 0; i < 1000 && (w->a.sent < TALK_BYTES || w->b.sent < TALK_BYTES); i++)
			run_for(w, 100 * MS);
		run(&w->a, do_resume);
		run(&w->b, do_resume);
		w->a.each_turn = NULL;
		w->b.each_turn = NULL;
		run_for(w, 10 * S);
		assert_int_equal(w->a.got, w->b.sent);
		uint64_t before = w->b.got;
		run(&w->a, send_100);
		run(&w->a, do_close_flushing);
		run_for(w, 10 * S);
		assert_true(w->b.got >= before + 100);
		assert_int_equal(w->b.got, w->a.sent);
		assert_int_equal(w->b.closed, 1);
		assert_int_equal(w->b.status, 0);
		assert_int_equal(w->a.closed, 0);
		world_free(w);
	}
}

/* Messages: size (2), whether it is a frame (1), number (4), how many ordered ones came before (4), filling. */
enum { MESSAGE_HEADER = 11 };

static void send_message(struct side *side, bool frame, uint32_t number, uint32_t before, size_t filling)
{
	uint8_t bytes[2000];
	size_t size = MESSAGE_HEADER + filling;
	put_le16(bytes, (uint16_t)size);
	bytes[2] = frame;
	put_le32(bytes + 3, number);
	put_le32(bytes + 7, before);
	for (size_t i = MESSAGE_HEADER; i < size; i++)
		bytes[i] = (uint8_t)(number + i);
	if (frame)
		side->ops->stream_write_frame(side->stream, bytes, size);
	else
		side->ops->stream_write(side->stream, bytes, size);
}

static void send_mixed(struct side *side)
{
	struct rng *rng = &side->w->rng;
	if (side->opened == 0 || side->sent > 2000)
		return;
	for (uint64_t n = rng_below(rng, 6); n > 0; n--) {
		bool frame = rng_below(rng, 2) == 0;
		size_t filling = (size_t)rng_below(rng, 1500);
		uint32_t number = (uint32_t)side->sent++;
		send_message(side, frame, number, (uint32_t)side->got, filling);
		if (!frame)
			side->got++; /* Here: the number of ordered messages sent. */
	}
	side->ops->wake_at(side->env, side->ops->raw_ns(side->env) + 300 * US);
}

struct mixed_seen {
	uint32_t ordered, frames, twice, late;
	bool seen[3000];
};

static void check_mixed(struct buf *in, struct mixed_seen *seen)
{
	uint32_t last_number = 0, last_frame = 0;
	for (; buf_size(in) > 0; buf_consume(in, get_le16(buf_at(in)))) {
		const uint8_t *m = buf_at(in);
		assert_true(buf_size(in) >= MESSAGE_HEADER);
		size_t size = get_le16(m);
		assert_true(size >= MESSAGE_HEADER && size <= buf_size(in));
		uint32_t number = get_le32(m + 3);
		uint32_t before = get_le32(m + 7);
		for (size_t i = MESSAGE_HEADER; i < size; i++)
			assert_int_equal(m[i], (uint8_t)(number + i));
		if (m[2] == 0) {
			assert_int_equal(before, seen->ordered);
			assert_true(seen->ordered == 0 || number > last_number);
			last_number = number;
			seen->ordered++;
			continue;
		}
		assert_true(before <= seen->ordered);
		assert_true(number < 3000);
		seen->frames++;
		seen->twice += seen->seen[number];
		seen->late += number < last_frame;
		seen->seen[number] = true;
		last_frame = number;
	}
}

static void test_frames_stay_whole(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = world_new(seed);
		struct mixed_seen *seen = calloc(1, sizeof *seen);
		struct sim_link *link = sim_net_link(w->a.host, w->b.host);
		link->split_ppm = 600000;
		link->drop_ppm = 100000;
		link->duplicate_ppm = 100000;
		link->slow_ppm = 100000;
		link->slow_max_ns = 5 * MS;
		link->window_bytes = seed % 2 == 0 ? 5000 : 256 * 1024;
		w->a.each_turn = send_mixed;
		w->b.collects = true;
		connected(w);
		run_for(w, 20 * S);
		assert_true(w->a.sent > 2000);
		check_mixed(&w->b.bytes, seen);
		assert_int_equal(seen->ordered, w->a.got);
		const struct sim_counters *c = sim_counters(w->sim);
		uint64_t frames = w->a.sent - w->a.got;
		assert_int_equal(seen->frames, c->frames_delivered);
		assert_int_equal(seen->frames, frames - c->frames_dropped + c->frames_duplicated);
		assert_true(c->frames_dropped > 40 && seen->twice > 40 && seen->late > 40);
		free(seen);
		world_free(w);
	}
}

static void send_10000(struct side *side)
{
	send_pattern(side, 10000);
}

static void test_window(void **state)
{
	(void)state;
	struct world *w = world_new(1);
	connected(w);
	sim_net_link(w->a.host, w->b.host)->window_bytes = 1000;
	run(&w->b, do_pause);
	run(&w->a, send_10000);
	run_for(w, 1 * S);
	assert_int_equal(w->a.ops->stream_pending(w->a.stream), 9000);
	assert_int_equal(w->b.got, 0);
	assert_int_equal(w->a.drained, 0);
	run(&w->b, do_resume);
	run_for(w, 1 * S);
	assert_int_equal(w->b.got, 10000);
	assert_int_equal(w->a.ops->stream_pending(w->a.stream), 0);
	assert_int_equal(w->a.drained, 1);
	run(&w->a, send_100);
	run_for(w, 1 * S);
	assert_int_equal(w->a.drained, 1); /* It did not have to wait. */
	world_free(w);
}

/* What was written before the connection stands waits for it. */
static void test_write_while_connecting(void **state)
{
	(void)state;
	struct world *w = world_new(2);
	run(&w->b, do_listen);
	run(&w->a, do_connect);
	run(&w->a, send_100);
	assert_int_equal(w->a.ops->stream_pending(w->a.stream), 100);
	run_for(w, 50 * MS);
	assert_int_equal(w->b.got, 100);
	world_free(w);
}

static void test_closes(void **state)
{
	(void)state;
	struct world *w = world_new(3);
	connected(w);
	run(&w->b, send_10000);
	run_for(w, 100 * MS);
	run(&w->b, do_close);
	run_for(w, 100 * MS);
	assert_int_equal(w->a.got, 10000);
	assert_int_equal(w->a.closed, 1);
	assert_int_equal(w->a.status, 0);
	world_free(w);
	/* What is closed with something unread resets. */
	w = world_new(4);
	connected(w);
	run(&w->b, do_pause);
	run(&w->a, send_100);
	run_for(w, 100 * MS);
	run(&w->b, send_100);
	run(&w->b, do_close);
	run_for(w, 100 * MS);
	assert_int_equal(w->a.status, -ECONNRESET);
	assert_int_equal(w->a.got, 0);
	world_free(w);
	/* The end waits behind what is paused. */
	w = world_new(5);
	connected(w);
	run(&w->b, do_pause);
	run(&w->a, send_100);
	run(&w->a, do_close_flushing);
	run_for(w, 1 * S);
	assert_int_equal(w->b.closed + (int)w->b.got, 0);
	run(&w->b, do_resume);
	run_for(w, 1 * S);
	assert_int_equal(w->b.got, 100);
	assert_int_equal(w->b.closed, 1);
	world_free(w);
}

/* Who has closed, but is still sending, swallows what comes. */
static void test_lingering(void **state)
{
	(void)state;
	struct world *w = world_new(6);
	struct sim_link link = *sim_net_link(w->a.host, w->b.host);
	link.window_bytes = 1000;
	sim_net_set_all(w->sim, &link);
	connected(w);
	run(&w->a, do_pause);
	run(&w->b, do_pause);
	run(&w->a, send_10000);
	run(&w->b, send_10000);
	run_for(w, 1 * S);
	run(&w->b, do_close_flushing);
	run_for(w, 1 * S);
	assert_int_equal(w->a.ops->stream_pending(w->a.stream), 0);
	assert_int_equal(w->a.drained, 1);
	assert_int_equal(w->a.closed, 0);
	run(&w->a, do_resume);
	run_for(w, 1 * S);
	assert_int_equal(w->a.got, 10000);
	assert_int_equal(w->a.closed, 1);
	assert_int_equal(w->b.got, 0);
	world_free(w);
}

static void connect_badly(struct side *side)
{
	side->stream = side->ops->connect(side->env, "nowhere", &events, side);
}

static void listen_badly(struct side *side)
{
	struct env_listener *l;
	assert_int_equal(side->ops->listen(side->env, "b:7", &accepts, side, &l), -EADDRINUSE);
	assert_int_equal(side->ops->listen(side->env, "a:7", &accepts, side, &l), -EADDRNOTAVAIL);
	assert_int_equal(side->ops->listen(side->env, "b", &accepts, side, &l), -EINVAL);
	side->ops->listener_close(side->listener);
}

static void test_refusals(void **state)
{
	(void)state;
	struct world *w = world_new(5);
	uint64_t at = sim_now(w->sim);
	run(&w->a, do_connect);
	run_for(w, 50 * MS);
	assert_int_equal(w->a.status, -ECONNREFUSED);
	assert_true(w->a.closed_at >= at + 200 * US);
	w->a.closed = 0;
	run(&w->a, connect_badly);
	run_for(w, 50 * MS);
	assert_int_equal(w->a.status, -EINVAL);
	run(&w->b, do_listen);
	run(&w->b, listen_badly);
	w->a.closed = 0;
	run(&w->a, do_connect);
	run_for(w, 50 * MS);
	assert_int_equal(w->a.status, -ECONNREFUSED);
	assert_int_equal(w->a.closed, 1);
	world_free(w);
}

/* ---- Cuts ---- */

static void test_cut_holds_and_heals(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = world_new(seed);
		sim_net_settings(w->sim)->break_ppm = 0;
		connected(w);
		bool both = seed % 2 == 0;
		run(&w->a, send_100); /* On its way when the cut comes. */
		sim_net_cut(w->a.host, w->b.host, both);
		run(&w->a, send_100);
		run(&w->b, send_100);
		run_for(w, 60 * S);
		assert_int_equal(w->b.got, 0);
		assert_int_equal(w->a.got, both ? 0 : 100);
		assert_int_equal(w->a.closed + w->b.closed, 0);
		sim_net_heal_all(w->sim);
		run_for(w, 50 * MS);
		assert_int_equal(w->b.got, 200);
		assert_int_equal(w->a.got, 100);
		world_free(w);
	}
}

static void send_frame_7(struct side *side)
{
	send_message(side, true, 7, 0, 0);
}

static void test_cut_loses_frames(void **state)
{
	(void)state;
	struct world *w = world_new(6);
	w->b.collects = true;
	connected(w);
	run(&w->a, send_frame_7);
	sim_net_cut(w->a.host, w->b.host, false);
	run(&w->a, send_frame_7);
	run_for(w, 100 * MS);
	sim_net_heal(w->a.host, w->b.host);
	run(&w->a, send_frame_7);
	run_for(w, 100 * MS);
	assert_int_equal(w->b.got, MESSAGE_HEADER);
	assert_int_equal(sim_counters(w->sim)->frames_dropped, 2);
	world_free(w);
}

/* With the way back cut, the writer does not hear that its window was read. */
static void test_cut_way_back(void **state)
{
	(void)state;
	struct world *w = world_new(7);
	sim_net_settings(w->sim)->break_ppm = 0;
	connected(w);
	sim_net_link(w->a.host, w->b.host)->window_bytes = 4000;
	sim_net_cut(w->b.host, w->a.host, false);
	run(&w->a, send_10000);
	run_for(w, 1 * S);
	assert_int_equal(w->b.got, 4000);
	assert_int_equal(w->a.ops->stream_pending(w->a.stream), 6000);
	sim_net_heal(w->a.host, w->b.host);
	run_for(w, 1 * S);
	assert_int_equal(w->b.got, 10000);
	world_free(w);
}

static void test_cut_breaks(void **state)
{
	(void)state;
	struct world *w = world_new(8);
	struct sim_net_settings *settings = sim_net_settings(w->sim);
	settings->break_ppm = 1000000;
	connected(w);
	for (int i = 0; i < 3; i++) { /* Each time healed soon enough. */
		sim_net_cut(w->a.host, w->b.host, false);
		run_for(w, 900 * MS);
		sim_net_heal(w->a.host, w->b.host);
	}
	run_for(w, 20 * S);
	assert_int_equal(w->a.closed, 0);
	uint64_t at = sim_now(w->sim);
	sim_net_cut(w->b.host, w->a.host, false);
	run_for(w, 11 * S);
	assert_int_equal(w->a.status, -ETIMEDOUT);
	assert_int_equal(w->b.status, -ETIMEDOUT);
	assert_true(w->a.closed_at >= at + 1 * S && w->a.closed_at <= at + 10 * S + MS);
	world_free(w);
}

static void test_break(void **state)
{
	(void)state;
	struct world *w = world_new(9);
	connected(w);
	run(&w->a, send_100);
	run(&w->b, nothing);
	uint64_t at = sim_now(w->sim);
	sim_net_break(w->a.host, w->b.host);
	run_for(w, 100 * MS);
	assert_int_equal(w->a.closed_at, at);
	assert_int_equal(w->b.closed_at, at);
	assert_int_equal(w->a.status, -ECONNRESET);
	assert_int_equal(w->b.status, -ECONNRESET);
	assert_int_equal(w->b.got, 0);
	assert_int_equal(sim_counters(w->sim)->resets, 2);
	world_free(w);
}

static void test_connect_over_a_cut(void **state)
{
	(void)state;
	for (int way = 0; way < 2; way++) {
		struct world *w = world_new(10);
		struct sim_host *from = way == 0 ? w->a.host : w->b.host;
		struct sim_host *to = way == 0 ? w->b.host : w->a.host;
		run(&w->b, do_listen);
		sim_net_cut(from, to, false);
		run(&w->a, do_connect);
		uint64_t at = sim_now(w->sim);
		run_for(w, 5 * S);
		assert_int_equal(w->a.status, -ETIMEDOUT);
		assert_true(w->a.closed_at >= at + 3 * S && w->a.closed_at < at + 3 * S + MS);
		sim_net_heal_all(w->sim);
		run_for(w, 1 * S);
		assert_int_equal(w->b.accepted, way);
		w->a.closed = 0;
		w->b.closed = 0;
		sim_net_cut(from, to, false);
		run(&w->a, do_connect);
		run_for(w, 2 * S);
		assert_int_equal(w->a.opened, 0);
		sim_net_heal_all(w->sim);
		run_for(w, 1 * S);
		assert_int_equal(w->a.opened, 1);
		assert_int_equal(w->b.accepted, way + 1);
		world_free(w);
		/* A heal does not stop the clock of a connect. */
		w = world_new(11);
		sim_net_settings(w->sim)->break_ppm = 0;
		run(&w->b, do_listen);
		sim_net_cut(w->a.host, w->b.host, true);
		run(&w->a, do_connect);
		run_for(w, 1 * S);
		sim_net_heal_all(w->sim);
		sim_net_cut(from == w->a.host ? from : to, from == w->a.host ? to : from, true);
		run_for(w, 3 * S);
		assert_int_equal(w->a.status, -ETIMEDOUT);
		world_free(w);
	}
}

/* ---- Crashes and what peers see ---- */

static void test_kill_is_seen_at_once(void **state)
{
	(void)state;
	bool all = false, none = false;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = world_new(seed);
		connected(w);
		run(&w->a, send_100);
		sim_host_crash(w->a.host, SIM_KILL);
		assert_false(sim_host_running(w->a.host));
		uint64_t at = sim_now(w->sim);
		run_for(w, 1 * S);
		assert_int_equal(w->b.closed, 1);
		assert_int_equal(w->b.status, -ECONNRESET);
		assert_true(w->b.closed_at < at + 2 * MS);
		all = all || w->b.got == 100;
		none = none || w->b.got == 0;
		world_free(w);
	}
	assert_true(all && none);
}

static void test_power_is_seen_late_or_not(void **state)
{
	(void)state;
	struct world *w = world_new(11);
	connected(w);
	sim_host_crash(w->a.host, SIM_POWER);
	uint64_t at = sim_now(w->sim);
	run_for(w, 5 * S);
	assert_int_equal(w->b.status, -ECONNRESET);
	assert_true(w->b.closed_at >= at + 200 * MS && w->b.closed_at < at + 2 * S + 2 * MS);
	world_free(w);

	w = world_new(12);
	connected(w);
	sim_host_crash(w->a.host, SIM_POWER_SILENT);
	run_for(w, 100 * S);
	assert_int_equal(w->b.closed, 0);
	at = sim_now(w->sim);
	run(&w->b, send_100);
	run_for(w, 1 * S);
	assert_int_equal(w->b.status, -ECONNRESET);
	assert_true(w->b.closed_at >= at + 200 * US);
	/* A new process on that host is reached by new connects only. */
	start(&w->a);
	run_for(w, 1 * S);
	assert_int_equal(w->a.got, 0);
	world_free(w);
}

static void test_kill_while_connecting(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = world_new(seed);
		enum sim_crash how = (enum sim_crash)(seed % 3);
		run(&w->b, do_listen);
		run(&w->a, do_connect);
		run_for(w, seed * 25 * US);
		struct side *victim = seed % 2 == 0 ? &w->a : &w->b;
		sim_host_crash(victim->host, how);
		run_for(w, 10 * S);
		if (victim == &w->a && w->b.accepted > 0 && how != SIM_POWER_SILENT)
			assert_int_equal(w->b.closed, 1);
		if (victim == &w->b && how != SIM_POWER_SILENT)
			assert_int_equal(w->a.closed, 1);
		world_free(w);
	}
}

/* The system of a paused process accepts and receives; its peers notice nothing. */
static void test_pause(void **state)
{
	(void)state;
	struct world *w = world_new(13);
	run(&w->b, do_listen);
	uint64_t until = sim_now(w->sim) + 3 * S;
	sim_host_pause(w->b.host, until);
	run(&w->a, do_connect);
	run_for(w, 1 * S);
	assert_int_equal(w->a.opened, 1);
	assert_int_equal(w->b.accepted, 0);
	run(&w->a, send_100);
	run_for(w, 1 * S);
	assert_int_equal(w->b.got, 0);
	run_for(w, 2 * S);
	assert_int_equal(w->b.accepted, 1);
	assert_int_equal(w->b.got, 100);
	assert_int_equal(w->b.received_at, until);
	world_free(w);
}

/* ---- Clocks ---- */

static void wake_in_10ms(struct side *side)
{
	if (side->sent == 0) /* Here: the raw time of the deadline. */
		side->sent = side->ops->raw_ns(side->env) + 10 * MS;
	if (side->ops->raw_ns(side->env) < side->sent)
		side->ops->wake_at(side->env, side->sent);
}

static void test_lateness(void **state)
{
	(void)state;
	struct world *w = world_new(14);
	w->a.each_turn = wake_in_10ms;
	run(&w->a, wake_in_10ms);
	run_for(w, 1 * MS);
	uint64_t awake = w->a.ops->awake_ns(w->a.env);
	assert_int_equal(w->a.ops->raw_ns(w->a.env), awake);
	sim_host_pause(w->a.host, sim_now(w->sim) + 500 * MS);
	run_for(w, 600 * MS);
	uint64_t raw = w->a.ops->raw_ns(w->a.env);
	awake = w->a.ops->awake_ns(w->a.env);
	assert_true(raw > w->a.sent + 400 * MS);
	assert_int_equal(raw - awake, raw - w->a.sent); /* It woke up at its deadline, as far as it knows. */
	/* A paused process that has no deadline is not late. */
	sim_host_pause(w->a.host, sim_now(w->sim) + 500 * MS);
	run_for(w, 600 * MS);
	run(&w->a, wake_in_10ms);
	uint64_t late = w->a.ops->raw_ns(w->a.env) - w->a.ops->awake_ns(w->a.env);
	assert_int_equal(late, raw - awake);
	world_free(w);
}

static void test_late_wakeups(void **state)
{
	(void)state;
	struct world *w = world_new(15);
	sim_host_settings(w->a.host)->late_ppm = 1000000;
	sim_host_settings(w->a.host)->late_max_ns = 20 * MS;
	w->a.each_turn = wake_in_10ms;
	run(&w->a, wake_in_10ms);
	run_for(w, 100 * MS);
	uint64_t late = w->a.ops->raw_ns(w->a.env) - w->a.sent;
	assert_true(late > 0 && late <= 20 * MS);
	assert_int_equal(w->a.ops->raw_ns(w->a.env) - w->a.ops->awake_ns(w->a.env), late);
	world_free(w);
}

static void test_rates(void **state)
{
	(void)state;
	for (uint32_t rate = 500000; rate <= 2000000; rate += 37123) {
		struct world *w = world_new(rate);
		sim_host_set_rate(w->a.host, rate);
		run(&w->a, nothing);
		uint64_t raw = w->a.ops->raw_ns(w->a.env);
		uint64_t wall = w->a.ops->wall_ns(w->a.env);
		run_for(w, 100 * S);
		run(&w->a, nothing);
		uint64_t passed = w->a.ops->raw_ns(w->a.env) - raw;
		uint64_t expected = (uint64_t)rate * 100000;
		assert_true(passed <= expected && passed + 100 > expected);
		sim_host_set_rate(w->a.host, 1000000);
		run(&w->a, nothing);
		assert_int_equal(w->a.ops->raw_ns(w->a.env) - raw, passed); /* A new rate does not move the clock. */
		sim_host_set_rate(w->a.host, rate);
		assert_int_equal(w->a.ops->wall_ns(w->a.env) - wall, passed);
		sim_host_set_wall_offset(w->a.host, -(int64_t)S);
		assert_int_equal(w->a.ops->wall_ns(w->a.env) - wall, passed - S);
		/* A deadline comes when the slow or fast clock shows it: never early, no more than a step of it late. */
		w->a.each_turn = wake_in_10ms;
		run(&w->a, wake_in_10ms);
		run_for(w, 100 * MS);
		raw = w->a.ops->raw_ns(w->a.env);
		assert_true(raw >= w->a.sent && raw <= w->a.sent + 2);
		world_free(w);
	}
}

/* ---- Fatal errors, crashes from inside, memory ---- */

static void dies(struct side *side)
{
	mem_alloc(side->env->mem, 1000);
	env_fatal(side->env, "the disk said %d", 5);
}

static bool crash_returned;

static void crashes(struct side *side)
{
	sim_host_crash(side->host, SIM_KILL);
	crash_returned = true;
}

static void test_ends_from_inside(void **state)
{
	(void)state;
	void (*const how[])(struct side *) = {dies, crashes};
	for (int i = 0; i < 2; i++) {
		struct world *w = world_new(16);
		connected(w);
		w->b.on_received = how[i];
		run(&w->a, send_100);
		run_for(w, 100 * MS);
		assert_false(crash_returned);
		assert_false(sim_host_running(w->b.host));
		assert_null(sim_host_env(w->b.host));
		assert_int_equal(w->fatals, i == 0);
		assert_string_equal(w->fatal, i == 0 ? "the disk said 5" : "");
		assert_int_equal(w->a.status, -ECONNRESET);
		w->b.on_received = NULL;
		start(&w->b);
		w->a.closed = w->a.opened = w->b.accepted = 0;
		connected(w);
		assert_false(sim_host_run(w->b.host, (void (*)(void *))(void *)how[i], &w->b));
		world_free(w);
	}
}

static void keeps_100_bytes(struct side *side)
{
	mem_alloc(side->env->mem, 100);
}

static void test_memory_is_counted(void **state)
{
	(void)state;
	struct world *w = world_new(17);
	connected(w);
	run(&w->a, do_close_flushing);
	assert_int_equal(sim_host_stop(w->a.host), 0);
	run_for(w, 100 * MS);
	w->b.ops->listener_close(w->b.listener);
	run(&w->b, keeps_100_bytes);
	assert_int_equal(sim_host_stop(w->b.host), 100);
	start(&w->a);
	run(&w->a, do_connect);
	assert_true(sim_host_stop(w->a.host) > 0);
	world_free(w);
}

/* ---- Disk ---- */

enum { FILE_SECTORS = 64, SECTOR = 512 };

/* A file with its model: what is durable and what is written, by sector. */
struct file {
	struct side *side;
	struct env_file *file;
	uint8_t durable[FILE_SECTORS][SECTOR], now[FILE_SECTORS][SECTOR];
	uint64_t durable_size, size;
	struct env_io io;
	int done, status;
	uint8_t bytes[4 * SECTOR];
};

static void io_done(struct env_io *io, int status)
{
	struct file *f = (struct file *)(void *)((char *)io - offsetof(struct file, io));
	assert_false(f->side->in_call);
	f->done++;
	f->status = status;
}

static void file_create(struct file *f)
{
	struct side *side = f->side;
	assert_int_equal(side->ops->open(side->env, "./log", ENV_OPEN_CREATE, &f->file), 0);
	assert_int_equal(side->ops->sync_dir(side->env, "."), 0);
}

static void fill(struct file *f, uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(rng_next(&f->side->w->rng) | 1);
}

static void file_write(struct file *f)
{
	uint64_t size = rng_between(&f->side->w->rng, 1, sizeof f->bytes);
	uint64_t at = rng_below(&f->side->w->rng, sizeof f->now - size);
	fill(f, f->bytes, size);
	assert_int_equal(f->side->ops->write_at(f->file, f->bytes, size, at), 0);
	memcpy((uint8_t *)f->now + at, f->bytes, size);
	f->size = at + size > f->size ? at + size : f->size;
}

static void file_sync(struct file *f)
{
	assert_int_equal(f->side->ops->sync(f->file), 0);
	memcpy(f->durable, f->now, sizeof f->now);
	f->durable_size = f->size;
}

static void file_fill(struct file *f)
{
	fill(f, (uint8_t *)f->now, sizeof f->now);
	assert_int_equal(f->side->ops->write_at(f->file, f->now, sizeof f->now, 0), 0);
	f->size = sizeof f->now;
	file_sync(f);
}

static void file_write_sync(struct file *f)
{
	uint64_t size = rng_between(&f->side->w->rng, 1, 4) * SECTOR;
	uint64_t at = rng_below(&f->side->w->rng, FILE_SECTORS - 4) * SECTOR;
	fill(f, f->bytes, size);
	f->io.done = io_done;
	f->side->in_call = true;
	f->side->ops->write_sync(f->file, f->bytes, size, at, &f->io);
	f->side->in_call = false;
	memcpy((uint8_t *)f->now + at, f->bytes, size);
	memcpy((uint8_t *)f->durable + at, f->bytes, size);
	f->size = at + size > f->size ? at + size : f->size;
	f->durable_size = at + size > f->durable_size ? at + size : f->durable_size;
}

static void with_file(struct file *f, void (*fn)(struct file *f))
{
	assert_true(sim_host_run(f->side->host, (void (*)(void *))(void *)fn, f));
}

/* Whatever is in the file now, each sector is the durable one or the written one; counts both where they differ. */
static void check_sectors(struct file *f, int *lost, int *kept)
{
	uint64_t size = 0;
	const uint8_t *bytes = sim_disk_peek(f->side->host, "log", &size);
	assert_non_null(bytes);
	assert_true(size == f->durable_size || size == f->size);
	uint8_t zeros[SECTOR] = {0};
	for (uint64_t s = 0; s < FILE_SECTORS && s * SECTOR < size; s++) {
		size_t n = size - s * SECTOR < SECTOR ? (size_t)(size - s * SECTOR) : SECTOR;
		if (memcmp(f->now[s], f->durable[s], n) == 0) {
			assert_memory_equal(bytes + s * SECTOR, f->now[s], n);
			continue;
		}
		bool is_kept = memcmp(bytes + s * SECTOR, f->now[s], n) == 0;
		if (!is_kept)
			assert_memory_equal(bytes + s * SECTOR,
					    s * SECTOR >= f->durable_size ? zeros : f->durable[s], n);
		(*kept) += is_kept;
		(*lost) += !is_kept;
	}
}

static void test_crash_keeps_what_was_synced(void **state)
{
	(void)state;
	int all_lost = 0, all_kept = 0, mixed = 0;
	for (uint64_t seed = 1; seed <= 10 * SEEDS; seed++) {
		struct world *w = world_new(seed);
		struct file *f = calloc(1, sizeof *f);
		f->side = &w->a;
		with_file(f, file_create);
		for (uint64_t n = rng_between(&w->rng, 1, 20); n > 0; n--) {
			uint64_t choice = rng_below(&w->rng, 8);
			if (choice == 0) {
				with_file(f, file_sync);
			} else if (choice == 1) {
				int done = f->done;
				with_file(f, file_write_sync);
				assert_int_equal(f->done, done);
				run_for(w, 10 * MS);
				assert_int_equal(f->done, done + 1);
				assert_int_equal(f->status, 0);
			} else {
				with_file(f, file_write);
			}
		}
		int lost = 0, kept = 0;
		enum sim_crash how = (enum sim_crash)(seed % 3);
		sim_host_crash(w->a.host, how);
		check_sectors(f, &lost, &kept);
		if (how == SIM_KILL)
			assert_int_equal(lost, 0);
		all_lost += lost > 2 && kept == 0;
		all_kept += how != SIM_KILL && kept > 2 && lost == 0;
		mixed += lost > 2 && kept > 2;
		free(f);
		world_free(w);
	}
	assert_true(all_lost > 10 && all_kept > 10 && mixed > 10);
}

/* A killed process leaves its writes unsynced; the power goes later. */
static void test_power_after_kill(void **state)
{
	(void)state;
	int lost = 0, kept = 0;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world *w = world_new(seed);
		struct file *f = calloc(1, sizeof *f);
		f->side = &w->a;
		with_file(f, file_create);
		with_file(f, file_fill);
		with_file(f, file_write);
		int now_lost = 0, now_kept = 0;
		sim_host_crash(w->a.host, SIM_KILL);
		check_sectors(f, &now_lost, &now_kept);
		assert_int_equal(now_lost, 0);
		sim_host_crash(w->a.host, SIM_POWER);
		check_sectors(f, &lost, &kept);
		free(f);
		world_free(w);
	}
	assert_true(lost > 10 && kept > 10);
}

/* The write that is under way when the machine dies: each sector new or old, and nobody hears of it. */
static void test_crash_in_flight(void **state)
{
	(void)state;
	int lost = 0, kept = 0;
	for (uint64_t seed = 1; seed <= 5 * SEEDS; seed++) {
		struct world *w = world_new(seed);
		struct file *f = calloc(1, sizeof *f);
		f->side = &w->a;
		with_file(f, file_create);
		with_file(f, file_write_sync);
		run_for(w, 10 * MS);
		uint8_t old[FILE_SECTORS][SECTOR];
		memcpy(old, f->durable, sizeof old);
		uint64_t old_size = f->durable_size;
		with_file(f, file_write_sync);
		memcpy(f->durable, old, sizeof old);
		f->durable_size = old_size;
		run_for(w, 90 * US);
		sim_host_crash(w->a.host, seed % 2 == 0 ? SIM_POWER : SIM_KILL);
		uint64_t size = 0;
		sim_disk_peek(w->a.host, "log", &size);
		if (size == f->size || size == old_size)
			check_sectors(f, &lost, &kept);
		run_for(w, 1 * S);
		assert_int_equal(f->done, 1);
		free(f);
		world_free(w);
	}
	assert_true(lost > 10 && kept > 10);
}

static void put_file(struct side *side, const char *path, const char *text)
{
	struct env_file *file;
	assert_int_equal(side->ops->open(side->env, path, ENV_OPEN_CREATE, &file), 0);
	assert_int_equal(side->ops->write_at(file, text, strlen(text), 0), 0);
	assert_int_equal(side->ops->sync(file), 0);
	side->ops->close(file);
}

static bool holds(struct side *side, const char *path, const char *text)
{
	uint64_t size = 0;
	const uint8_t *bytes = sim_disk_peek(side->host, path, &size);
	return bytes != NULL && size == strlen(text) && memcmp(bytes, text, size) == 0;
}

static void replace_file(struct side *side)
{
	assert_int_equal(side->ops->make_dir(side->env, "d"), 0);
	put_file(side, "d/x", "old");
	assert_int_equal(side->ops->sync_dir(side->env, "d"), 0);
	assert_int_equal(side->ops->sync_dir(side->env, "."), 0);
	put_file(side, "d/x.tmp", "new");
	assert_int_equal(side->ops->rename(side->env, "d/x.tmp", "d/x"), 0);
	put_file(side, "d/y", "why");
	if (side->w->number % 2 == 0)
		assert_int_equal(side->ops->sync_dir(side->env, "d/"), 0);
}

static void test_directories(void **state)
{
	(void)state;
	int old = 0, new = 0, made = 0;
	for (uint64_t seed = 1; seed <= 5 * SEEDS; seed++) {
		struct world *w = world_new(seed);
		w->number = seed;
		run(&w->a, replace_file);
		assert_true(holds(&w->a, "d/x", "new"));
		sim_host_crash(w->a.host, seed % 3 == 0 ? SIM_POWER_SILENT : SIM_POWER);
		bool is_new = holds(&w->a, "d/x", "new");
		assert_true(is_new || holds(&w->a, "d/x", "old"));
		bool has_y = holds(&w->a, "d/y", "why");
		if (seed % 2 == 0)
			assert_true(is_new && has_y);
		old += !is_new;
		new += is_new;
		made += has_y;
		/* The temporary name: with its file while the rename is lost, if at all. */
		assert_true(!is_new || !holds(&w->a, "d/x.tmp", "new"));
		world_free(w);
	}
	assert_true(old > 20 && new > 120 && made > 120 && made < 5 * SEEDS);
}

static void rename_twice(struct side *side)
{
	put_file(side, "x", "old");
	assert_int_equal(side->ops->sync_dir(side->env, "."), 0);
	put_file(side, "x.tmp", "new");
	assert_int_equal(side->ops->rename(side->env, "x.tmp", "x"), 0);
	assert_int_equal(side->ops->rename(side->env, "x", "z"), 0);
}

/* Of changes that build on each other, a crash keeps none that needs a lost one. */
static void test_directory_order(void **state)
{
	(void)state;
	int seen[4] = {0};
	for (uint64_t seed = 1; seed <= 5 * SEEDS; seed++) {
		struct world *w = world_new(seed);
		run(&w->a, rename_twice);
		sim_host_crash(w->a.host, SIM_POWER);
		bool tmp = holds(&w->a, "x.tmp", "new");
		bool old = holds(&w->a, "x", "old");
		bool new = holds(&w->a, "x", "new");
		bool last = holds(&w->a, "z", "new");
		assert_int_equal(old + new + last, 1);
		assert_true(old || !tmp);
		seen[last ? 3 : new ? 2 : tmp]++;
		world_free(w);
	}
	for (int i = 0; i < 4; i++)
		assert_true(seen[i] > 5);
}

static void make_deep(struct side *side)
{
	assert_int_equal(side->ops->make_dir(side->env, "d"), 0);
	assert_int_equal(side->ops->make_dir(side->env, "d"), 0);
	put_file(side, "d/x", "x");
	assert_int_equal(side->ops->sync_dir(side->env, "d"), 0);
}

static void look_around(struct side *side)
{
	struct env_file *file;
	assert_int_equal(side->ops->open(side->env, "e/x", ENV_OPEN_CREATE, &file), -ENOENT);
	assert_int_equal(side->ops->open(side->env, "d/z", ENV_OPEN_READ, &file), -ENOENT);
	assert_int_equal(side->ops->open(side->env, "d", ENV_OPEN_READ, &file), -EISDIR);
	assert_int_equal(side->ops->make_dir(side->env, "d/x"), -ENOTDIR);
	assert_int_equal(side->ops->unlink(side->env, "d/z"), -ENOENT);
	assert_int_equal(side->ops->sync_dir(side->env, "e"), -ENOENT);
	assert_int_equal(side->ops->rename(side->env, "d/z", "d/x"), -ENOENT);
}

/* A directory that was not synced into its own directory is lost with all that is in it. */
static void test_lost_directory(void **state)
{
	(void)state;
	struct world *w = world_new(18);
	sim_host_settings(w->a.host)->crash_all_lost_ppm = 1000000;
	run(&w->a, make_deep);
	run(&w->a, look_around);
	sim_host_crash(w->a.host, SIM_POWER);
	uint64_t size;
	assert_null(sim_disk_peek(w->a.host, "d/x", &size));
	assert_int_equal(sim_disk_used(w->a.host), 0);
	assert_int_equal(sim_counters(w->sim)->entries_lost, 1);
	world_free(w);
}

static void unlink_each(void *context, const char *name)
{
	struct side *side = context;
	char path[32];
	snprintf(path, sizeof path, "d/%s", name);
	assert_int_equal(side->ops->unlink(side->env, path), 0);
	side->got++;
}

static void list_and_unlink(struct side *side)
{
	assert_int_equal(side->ops->make_dir(side->env, "d"), 0);
	put_file(side, "d/1", "1");
	put_file(side, "d/2", "2");
	put_file(side, "top", "3");
	assert_int_equal(side->ops->list_dir(side->env, "d", unlink_each, side), 0);
	assert_int_equal(side->got, 2);
	assert_int_equal(side->ops->list_dir(side->env, "d", unlink_each, side), 0);
	assert_int_equal(side->got, 2);
	assert_int_equal(sim_disk_used(side->host), 1);
}

static void test_list_dir(void **state)
{
	(void)state;
	struct world *w = world_new(19);
	run(&w->a, list_and_unlink);
	world_free(w);
}

static void fails_once(struct file *f)
{
	const struct env_ops *ops = f->side->ops;
	file_create(f);
	memcpy(f->bytes, "good", 4);
	assert_int_equal(ops->write_at(f->file, f->bytes, 4, 0), 0);
	sim_disk_fail_next(f->side->host);
	assert_int_equal(ops->sync(f->file), -EIO);
	assert_int_equal(ops->sync(f->file), 0); /* It says. */
	sim_disk_fail_next(f->side->host);
	assert_int_equal(ops->write_at(f->file, f->bytes, 4, 1000), -EIO);
	assert_int_equal(ops->size(f->file), 4);
	assert_int_equal(ops->write_at(f->file, f->bytes, 4, 1000), 0);
	assert_int_equal(ops->sync(f->file), 0);
	f->io.done = io_done;
	sim_disk_fail_next(f->side->host);
	ops->write_sync(f->file, f->bytes, 4, 2000, &f->io);
}

/* What was written again is on the disk with the next sync. */
static void writes_again(struct file *f)
{
	const struct env_ops *ops = f->side->ops;
	sim_disk_fail_next(f->side->host);
	assert_int_equal(ops->write_at(f->file, f->bytes, 4, 4000), -EIO);
	assert_int_equal(ops->write_at(f->file, f->bytes, 4, 4000), 0);
	sim_disk_fail_next(f->side->host);
	assert_int_equal(ops->sync(f->file), -EIO);
	assert_int_equal(ops->write_at(f->file, f->bytes, 4, 4000), 0);
	assert_int_equal(ops->sync(f->file), 0);
}

/* After a failed sync the next one succeeds, and the bytes are lost all the same. */
static void test_errors(void **state)
{
	(void)state;
	struct world *w = world_new(20);
	struct file *f = calloc(1, sizeof *f);
	f->side = &w->a;
	sim_host_settings(w->a.host)->crash_all_kept_ppm = 1000000;
	sim_host_settings(w->a.host)->crash_all_lost_ppm = 0;
	with_file(f, fails_once);
	run_for(w, 10 * MS);
	assert_int_equal(f->done, 1);
	assert_int_equal(f->status, -EIO);
	with_file(f, writes_again);
	sim_host_crash(w->a.host, SIM_POWER);
	uint64_t size = 0;
	const uint8_t *bytes = sim_disk_peek(w->a.host, "log", &size);
	assert_int_equal(size, 4004);
	assert_memory_equal(bytes + 4000, "good", 4);
	assert_memory_equal(bytes, "\0\0\0\0", 4);
	assert_memory_equal(bytes + 1000, "good", 4);
	assert_memory_equal(bytes + 2000, "\0\0\0\0", 4);
	free(f);
	world_free(w);
}

static void fills_the_disk(struct file *f)
{
	const struct env_ops *ops = f->side->ops;
	struct env_file *second;
	file_create(f);
	sim_disk_set_limit(f->side->host, 1000);
	assert_int_equal(ops->write_at(f->file, f->bytes, 600, 0), 0);
	assert_int_equal(ops->open(f->side->env, "two", ENV_OPEN_CREATE, &second), 0);
	assert_int_equal(ops->write_at(second, f->bytes, 401, 0), -ENOSPC);
	assert_int_equal(ops->allocate(second, 401), -ENOSPC);
	assert_int_equal(ops->allocate(second, 400), 0);
	assert_int_equal(ops->write_at(second, f->bytes, 400, 0), 0);
	assert_int_equal(ops->write_at(f->file, f->bytes, 600, 0), 0); /* Within what it has. */
	assert_int_equal(ops->unlink(f->side->env, "two"), 0);
	assert_int_equal(ops->write_at(f->file, f->bytes, 1, 600), -ENOSPC); /* Still open. */
	ops->close(second);
	assert_int_equal(ops->write_at(f->file, f->bytes, 400, 600), 0);
	f->io.done = io_done;
	ops->write_sync(f->file, f->bytes, 100, 1000, &f->io);
}

static void test_full_disk(void **state)
{
	(void)state;
	struct world *w = world_new(21);
	struct file *f = calloc(1, sizeof *f);
	f->side = &w->a;
	with_file(f, fills_the_disk);
	run_for(w, 10 * MS);
	assert_int_equal(f->status, -ENOSPC);
	assert_int_equal(sim_disk_used(w->a.host), 1000);
	sim_host_crash(w->a.host, SIM_KILL);
	sim_disk_wipe(w->a.host);
	assert_int_equal(sim_disk_used(w->a.host), 0);
	free(f);
	world_free(w);
}

static void test_stall(void **state)
{
	(void)state;
	struct world *w = world_new(22);
	struct file *f = calloc(1, sizeof *f);
	f->side = &w->a;
	with_file(f, file_create);
	with_file(f, file_write_sync);
	sim_disk_stall(w->a.host, sim_now(w->sim) + 2 * S); /* Also for what is under way. */
	run_for(w, 1999 * MS);
	assert_int_equal(f->done, 0);
	run_for(w, 10 * MS);
	assert_int_equal(f->done, 1);
	/* An inline sync keeps the process busy so long. */
	sim_disk_stall(w->a.host, sim_now(w->sim) + 2 * S);
	uint64_t until = sim_now(w->sim) + 2 * S;
	with_file(f, file_sync);
	run_for(w, 5 * S);
	assert_true(w->a.woken_at >= until);
	free(f);
	world_free(w);
}

static void lock_twice(struct side *side)
{
	struct env_file *one, *two;
	assert_int_equal(side->ops->open(side->env, "LOCK", ENV_OPEN_CREATE, &one), 0);
	assert_int_equal(side->ops->open(side->env, "LOCK", ENV_OPEN_WRITE, &two), 0);
	assert_int_equal(side->ops->lock(one), 0);
	assert_int_equal(side->ops->lock(one), 0);
	assert_int_equal(side->ops->lock(two), -EWOULDBLOCK);
	side->ops->close(one);
	assert_int_equal(side->ops->lock(two), 0);
}

static void test_lock_and_flip(void **state)
{
	(void)state;
	struct world *w = world_new(23);
	run(&w->a, lock_twice);
	sim_host_crash(w->a.host, SIM_KILL);
	start(&w->a);
	run(&w->a, lock_twice); /* The lock went with the process. */
	run(&w->a, make_deep);
	assert_false(sim_disk_flip(w->a.host, "d/x", 1, 0));
	assert_false(sim_disk_flip(w->a.host, "d/y", 0, 0));
	assert_true(sim_disk_flip(w->a.host, "d/x", 0, 1));
	assert_true(holds(&w->a, "d/x", "z"));
	world_free(w);
}

/* ---- Determinism ---- */

struct storm {
	struct world *w;
	struct file f;
	uint64_t steps;
};

static void storm_turn(struct side *side)
{
	talk(side);
	if (side->stream != NULL && !side->gone && side->closed == 0 && (side->opened > 0 || side->accepted > 0)) {
		uint64_t number = rng_below(&side->w->rng, 1000);
		if (number < 300)
			side->ops->stream_write_frame(side->stream, "frame", 5);
	}
}

static void storm_connect(struct side *side)
{
	side->closed = side->opened = 0;
	do_connect(side);
}

static void storm(void *context)
{
	struct storm *s = context;
	struct world *w = s->w;
	uint64_t choice = rng_below(&w->rng, 12);
	uint64_t pause = rng_below(&w->rng, 50 * MS);
	if (choice == 0)
		sim_net_cut(w->a.host, w->b.host, pause % 2 == 0);
	else if (choice <= 2)
		sim_net_heal_all(w->sim);
	else if (choice == 3)
		sim_host_pause(w->b.host, sim_now(w->sim) + pause);
	else if (choice == 4 && sim_host_running(w->a.host))
		sim_host_crash(w->a.host, (enum sim_crash)(pause % 3));
	else if (choice == 5)
		sim_host_set_rate(w->a.host, (uint32_t)(900000 + pause % 200000));
	else if (choice == 6)
		sim_net_break(w->a.host, w->b.host);
	if (!sim_host_running(w->a.host)) {
		start(&w->a);
		w->a.closed = 1;
		with_file(&s->f, file_create);
	}
	if (w->a.closed > 0)
		run(&w->a, storm_connect);
	with_file(&s->f, choice % 2 == 0 ? file_write : file_sync);
	if (++s->steps < 400)
		sim_schedule(w->sim, sim_now(w->sim) + pause, storm, s);
}

static uint64_t storm_hash(uint64_t seed)
{
	struct storm *s = calloc(1, sizeof *s);
	struct world *w = world_new(seed);
	struct sim_link link = *sim_net_link(w->a.host, w->b.host);
	link.drop_ppm = link.duplicate_ppm = 50000;
	link.split_ppm = 300000;
	sim_net_set_all(w->sim, &link);
	s->w = w;
	s->f.side = &w->a;
	w->a.collects = w->b.collects = true;
	w->a.each_turn = w->b.each_turn = storm_turn;
	with_file(&s->f, file_create);
	run(&w->b, do_listen);
	run(&w->a, do_connect);
	sim_schedule(w->sim, 0, storm, s);
	while (s->steps < 400)
		run_for(w, 1 * S);
	run_for(w, 20 * S);
	uint64_t hash = sim_trace_hash(w->sim);
	assert_true(sim_counters(w->sim)->events > 2000);
	world_free(w);
	free(s);
	return hash;
}

static void test_seed_decides(void **state)
{
	(void)state;
	uint64_t first = storm_hash(1);
	for (uint64_t seed = 1; seed <= 10; seed++) {
		uint64_t hash = storm_hash(seed);
		assert_int_equal(hash, storm_hash(seed));
		assert_true(seed == 1 ? hash == first : hash != first);
	}
	print_message("storm of seed 1: %016llx\n", (unsigned long long)first);
}

/* The same happens at the same times, with other bytes. */
static void test_hash_covers_bytes(void **state)
{
	(void)state;
	uint64_t hashes[2];
	uint64_t events_seen[2];
	for (uint64_t i = 0; i < 2; i++) {
		struct world *w = world_new(24);
		connected(w);
		w->a.sent = w->b.got = i;
		run(&w->a, send_100);
		run_for(w, 100 * MS);
		assert_int_equal(w->b.got, 100 + i);
		hashes[i] = sim_trace_hash(w->sim);
		events_seen[i] = sim_counters(w->sim)->events;
		world_free(w);
	}
	assert_int_equal(events_seen[0], events_seen[1]);
	assert_true(hashes[0] != hashes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_arrive_in_order),
		cmocka_unit_test(test_frames_stay_whole),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_write_while_connecting),
		cmocka_unit_test(test_closes),
		cmocka_unit_test(test_lingering),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_cut_holds_and_heals),
		cmocka_unit_test(test_cut_loses_frames),
		cmocka_unit_test(test_cut_way_back),
		cmocka_unit_test(test_cut_breaks),
		cmocka_unit_test(test_break),
		cmocka_unit_test(test_connect_over_a_cut),
		cmocka_unit_test(test_kill_is_seen_at_once),
		cmocka_unit_test(test_power_is_seen_late_or_not),
		cmocka_unit_test(test_kill_while_connecting),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_lateness),
		cmocka_unit_test(test_late_wakeups),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_ends_from_inside),
		cmocka_unit_test(test_memory_is_counted),
		cmocka_unit_test(test_crash_keeps_what_was_synced),
		cmocka_unit_test(test_power_after_kill),
		cmocka_unit_test(test_crash_in_flight),
		cmocka_unit_test(test_directories),
		cmocka_unit_test(test_directory_order),
		cmocka_unit_test(test_lost_directory),
		cmocka_unit_test(test_list_dir),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_lock_and_flip),
		cmocka_unit_test(test_seed_decides),
		cmocka_unit_test(test_hash_covers_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) == 0 ? 0 : 1;
}
