/*
 * Streams of the simulated world against a model: order, frames, the window, how they end, and cuts. Each story is told
 * for many seeds.
 */
#include "base/bytes.h"
#include "unit/sim_sides.h"

/* ---- Streams ---- */

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
	/* Who still writes to what has ended gets a reset. */
	w = world_new(6);
	connected(w);
	run(&w->b, do_pause);
	run(&w->a, send_100);
	run(&w->a, do_close_flushing);
	run_for(w, 1 * S);
	run(&w->b, send_100);
	run_for(w, 1 * S);
	assert_int_equal(w->b.status, -ECONNRESET);
	assert_int_equal(w->b.got, 0);
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
	settings->break_max_ns = settings->break_min_ns;
	connected(w);
	for (int i = 0; i < 3; i++) { /* Each time healed soon enough. */
		sim_net_cut(w->a.host, w->b.host, false);
		run_for(w, 900 * MS);
		sim_net_heal(w->a.host, w->b.host);
	}
	run_for(w, 20 * S);
	assert_int_equal(w->a.closed, 0);
	settings->break_max_ns = 10 * S;
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
	/* Also when nothing else is going on. */
	run(&w->a, reconnect);
	run_for(w, 10 * S);
	assert_int_equal(w->a.opened, 1);
	at = sim_now(w->sim);
	sim_net_break(w->a.host, w->b.host);
	run_for(w, 1 * S);
	assert_int_equal(w->a.closed_at, at);
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
		sim_net_cut(w->a.host, w->b.host, true);
		run_for(w, 3 * S);
		assert_int_equal(w->a.status, -ETIMEDOUT);
		world_free(w);
	}
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
	};
	return cmocka_run_group_tests(tests, NULL, NULL) == 0 ? 0 : 1;
}
