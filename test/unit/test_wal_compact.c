/*
 * Compaction: a log whose base moves on gives back its oldest segments, and is read rightly at each moment of that; one
 * that lacks what is above its base is refused.
 */
#include "test_wal_model.h"

#include <inttypes.h>

static const char *segment_path(uint64_t number)
{
	static char path[40];
	snprintf(path, sizeof path, "d/wal/%016" PRIx64 ".wal", number);
	return path;
}

static bool exists(struct world *w, uint64_t number)
{
	return name_in(w->disk->names, segment_path(number)) != NULL;
}

/* Numbers of the first and the last segment there is. */
static uint64_t oldest(struct world *w)
{
	uint64_t number = 1;
	while (!exists(w, number))
		assert_true(number++ < 1000);
	return number;
}

static uint64_t newest(struct world *w)
{
	uint64_t number = oldest(w);
	while (exists(w, number + 1))
		number++;
	return number;
}

/* Appends entries that take about half a segment. */
static void append(struct world *w)
{
	for (int i = 0; i < 2; i++) {
		put_entries(w, w->model.now.last_index + 1, 1, 15000);
		put_entries(w, w->model.now.last_index + 1, 3, 200);
		drain(w);
	}
}

static void reread(struct world *w)
{
	close_log(w);
	if (!open_log(w))
		fail_msg("refused: %s", w->error);
	check_read(w, w->model.atom_count);
}

static void settle(struct world *w)
{
	for (int i = 0; i < 12; i++)
		drain(w);
}

/* The disk that a log takes does not grow when its base follows, and new segments are old ones. */
static void test_recycles(void **unused)
{
	(void)unused;
	struct world *w = world_new(1);
	born(w);
	put_hard(w, 1, 1);
	uint64_t most = 0;
	uint64_t fills = 0;
	for (int i = 0; i < 60; i++) {
		append(w);
		note(w, w->model.now.last_index);
		put_keep(w, w->model.now.last_index - 3);
		drain(w);
		struct wal_status status;
		wal_status(w->wal, &status);
		assert_int_equal(status.segments,
				 newest(w) - oldest(w) + 1 + (name_in(w->disk->names, "d/wal/segment.tmp") != NULL));
		assert_int_equal(status.disk_bytes, disk_used(w->disk));
		most = status.segments > most ? status.segments : most;
		if (i == 30)
			fills = w->disk->slow_done;
		if (i % 7 != 0)
			continue;
		settle(w); /* Else the one under way is lost. */
		reread(w);
	}
	assert_true(most <= 6);
	assert_true(oldest(w) > 20);
	assert_true(w->disk->taken > 15);
	assert_int_equal(w->disk->slow_done, fills);
	settle(w);
	reread(w);
	world_free(w);
}

/* What is above the base, and the base itself, keep their segments. */
static void test_keeps_what_is_needed(void **unused)
{
	(void)unused;
	struct world *w = world_new(2);
	born(w);
	put_hard(w, 1, 1);
	for (int i = 0; i < 4; i++)
		append(w);
	uint64_t third = w->model.now.last_index;
	for (int i = 0; i < 6; i++)
		append(w);
	settle(w);
	assert_int_equal(oldest(w), 1);
	uint64_t before = newest(w);
	put_keep(w, third);
	settle(w);
	uint64_t first = oldest(w);
	assert_true(first > 1 && first < before - 2);
	reread(w);
	assert_int_equal(oldest(w), first);

	/* Now only the base is in the way: a later one sets its segment free. */
	put_keep(w, w->model.now.last_index);
	drain(w);
	put_entries(w, w->model.now.last_index + 1, 1, 40000);
	put_entries(w, w->model.now.last_index + 1, 1, 40000);
	settle(w);
	first = oldest(w);
	put_keep(w, w->model.now.last_index - 1);
	settle(w);
	assert_true(oldest(w) > first);
	reread(w);
	world_free(w);
}

/* ---- Segments that are missing ---- */

static void test_lost_segments(void **unused)
{
	(void)unused;
	struct world *w = world_new(3);
	struct disk *d = w->disk;
	born(w);
	put_hard(w, 1, 1);
	for (int i = 0; i < 8; i++)
		append(w);
	uint64_t last = w->model.now.last_index;
	put_keep(w, last / 2);
	while (w->disk->io != NULL || !wal_idle(w->wal)) {
		if (d->slow != NULL)
			disk_complete_slow(d);
		if (d->io != NULL)
			complete(w);
		if (!wal_idle(w->wal))
			flush(w);
	}
	close_log(w); /* Before it could give back any. */
	assert_int_equal(oldest(w), 1);
	uint64_t end = newest(w);
	struct image image;
	image_take(d, &image);
	uint64_t good = 0;
	for (uint64_t gone = 1; gone < end; gone++) {
		image_put(d, &image);
		for (uint64_t number = 1; number <= gone; number++)
			name_set(d->names, segment_path(number), NULL);
		memcpy(d->durable, d->names, sizeof d->names);
		if (open_log(w)) {
			check_read(w, w->model.atom_count);
			reread(w);
			close_log(w);
			assert_int_equal(gone, ++good);
			continue;
		}
		assert_non_null(strstr(w->error, "is the oldest, but"));
		assert_non_null(strstr(w->error, "missing"));
	}
	assert_true(good >= 2 && good < end - 3);

	/* One in the middle, whether it is needed or not. */
	for (uint64_t gone = 2; gone < end; gone++) {
		image_put(d, &image);
		name_set(d->names, segment_path(gone), NULL);
		refused(w, "is missing, and later ones are there");
	}

	/* The first batch of the oldest is damaged. */
	image_put(d, &image);
	name_set(d->names, segment_path(1), NULL);
	disk_file(d, segment_path(2))->now[4096 + 70] ^= 1;
	refused(w, "0000000000000002.wal is the oldest, but holds no batch that the log can begin with");
	image_free(&image);
	world_free(w);
}

/* ---- Bases and entries ---- */

/* A follower's log is replaced by a snapshot beyond its end; twice recovered, it goes on. */
static void test_install_beyond_the_end(void **unused)
{
	(void)unused;
	for (uint64_t lose = 0; lose <= 100; lose += 10) {
		struct world *w = world_new(4 + lose);
		struct rng rng = rng_seed(lose);
		born(w);
		put_hard(w, 1, 1);
		for (int i = 0; i < 6; i++)
			append(w);
		put_base(w, w->model.now.last_index + 500);
		put_entries(w, w->model.now.last_index + 1, 2, 100);
		if (lose % 20 == 0) {
			settle(w);
			assert_true(oldest(w) >= 3); /* All before the base is void. */
			assert_true(newest(w) - oldest(w) < 5);
		} else {
			flush(w);
		}
		w->wal = NULL;
		disk_crash(w->disk, lose);
		reopen(w, &rng);
		append(w);
		reread(w);
		put_base(w, w->model.now.last_index); /* At its end. */
		settle(w);
		reread(w);
		world_free(w);
	}
}

/*
 * A snapshot within a log that does not agree with it: what is above goes too, and pins nothing, nor does it come back.
 */
static void test_install_within(void **unused)
{
	(void)unused;
	struct world *w = world_new(9);
	born(w);
	put_hard(w, 1, 1);
	for (int i = 0; i < 6; i++)
		append(w);
	put_base(w, 5);
	put_entries(w, 6, 1, 300);
	settle(w);
	uint64_t first = oldest(w);
	assert_true(first >= 3);
	reread(w);
	for (int i = 0; i < 4; i++)
		append(w);
	put_keep(w, 6);
	settle(w);
	assert_true(oldest(w) > first); /* The one with the base, full of entries that are void. */
	reread(w);
	world_free(w);
}

/* Entries above the base that were replaced together with some below it are not handed over. */
static void test_replaced_from_below_the_base(void **unused)
{
	(void)unused;
	for (uint64_t back = 1; back <= 30; back++) {
		struct world *w = world_new(5);
		born(w);
		put_hard(w, 1, 1);
		put_entries(w, 1, 30, 100);
		drain(w);
		if (back % 3 == 0)
			put_entries(w, 31, 1, 50000); /* Somewhere else on the disk. */
		put_hard(w, 2, 1);
		put_entries(w, 31 - back, 1, 200);
		drain(w);
		if (back % 2 == 0)
			put_entries(w, 32 - back, back, 4000);
		uint64_t last = w->model.now.last_index;
		put_keep(w, back % 5 == 0 ? last : last - 1);
		drain(w);
		reread(w);
		put_entries(w, last + 1, 2, 10);
		put_keep(w, last);
		drain(w);
		reread(w);
		put_base(w, last + 1);
		put_entries(w, last + 2, 1, 10);
		put_keep(w, last + 2);
		drain(w);
		reread(w);
		world_free(w);
	}
}

/* ---- Crashes and errors at each operation ---- */

/* Fills segments, moves the base, lets segments go round, opens again. Always the same. */
static void life(struct world *w)
{
	assert_true(open_log(w));
	check_read(w, w->model.durable);
	if (!w->state.has_base)
		put_base(w, 0);
	put_hard(w, w->model.now.term + 1, 1);
	for (int i = 0; i < 7; i++) {
		uint64_t last = w->model.now.last_index;
		put_entries(w, last > w->model.now.base_index && i % 2 == 1 ? last : last + 1, 1, 20000);
		drain(w);
		note(w, w->model.now.last_index - 1);
		if (i == 2)
			put_keep(w, w->model.now.last_index - 1);
		if (i == 4)
			put_base(w, w->model.now.last_index + 7);
		if (i == 6)
			put_keep(w, w->model.now.last_index);
		drain(w);
	}
	seal(w);
	close_log(w);
	assert_true(open_log(w));
	check_read(w, w->model.durable);
	settle(w);
	close_log(w);
}

static void test_crash_at_each_operation(void **unused)
{
	(void)unused;
	for (volatile uint64_t at = 1;; at++) {
		volatile bool stopped = false;
		for (volatile uint64_t lose = 0; lose <= 100; lose += 50) {
			struct world *volatile w = world_new(at);
			w->disk->stop_at = at;
			if (setjmp(w->disk->out) == 0) {
				life(w);
				assert_true(w->disk->taken >= 2);
			} else {
				stopped = true;
				w->wal = NULL;
				disk_crash(w->disk, lose);
				struct rng rng = rng_seed(at * 7 + lose);
				reopen(w, &rng);
				close_log(w);
			}
			w->disk->stop_at = 0;
			life(w);
			world_free(w);
		}
		if (!stopped) {
			assert_true(at > 100);
			return;
		}
	}
}

static void error_at_each_operation(int error)
{
	for (volatile uint64_t at = 1;; at++) {
		struct world *volatile w = world_new(at);
		volatile bool ended = false;
		w->disk->fail_at = at;
		w->disk->fail_with = error;
		if (setjmp(w->disk->out) == 0) {
			if (open_log(w)) {
				put_base(w, 0);
				put_hard(w, 1, 1);
				for (int i = 0; i < 10; i++) {
					put_entries(w, w->model.now.last_index + 1, 1, 20000);
					drain(w);
					put_keep(w, w->model.now.last_index);
					drain(w);
				}
				settle(w);
				close_log(w);
				ended = true;
			}
		} else {
			assert_non_null(strstr(w->disk->fatal, "d/wal"));
		}
		if (error == -EIO)
			assert_true(w->disk->failed != ended);
		bool failed = w->disk->failed;
		w->wal = NULL;
		disk_crash(w->disk, 50);
		life(w);
		world_free(w);
		if (!failed) {
			assert_true(at > 90);
			return;
		}
	}
}

static void test_errors(void **unused)
{
	(void)unused;
	error_at_each_operation(-EIO);
}

static void test_no_space(void **unused)
{
	(void)unused;
	error_at_each_operation(-ENOSPC);
}

/* A full disk gets room again when the base moves on. */
static void test_full_disk(void **unused)
{
	(void)unused;
	struct world *w = world_new(6);
	w->disk->limit = 4 * SEGMENT;
	born(w);
	put_hard(w, 1, 1);
	for (int round = 0; round < 5; round++) {
		while (wal_room(w->wal) > 4000) {
			put_entries(w, w->model.now.last_index + 1, 1, 4000 - 64);
			drain(w);
		}
		put_keep(w, w->model.now.last_index);
		settle(w);
		assert_true(wal_room(w->wal) > SEGMENT / 2);
	}
	reread(w);
	world_free(w);
}

/* ---- Zeros ---- */

/* An entry of a new log, and a piece of zeros on its way to the second segment. */
static void begin_to_fill(struct world *w)
{
	assert_true(open_log(w));
	flush(w);
	assert_null(w->disk->slow); /* Not before there is something in the log. */
	put_base(w, 0);
	put_entries(w, 1, 1, 12000);
	flush(w);
	complete(w);
	flush(w);
	assert_non_null(w->disk->slow);
}

/* The chain does not go on in a segment while zeros are on their way into it; then it does without the rest. */
static void test_waits_for_a_piece_of_zeros(void **unused)
{
	(void)unused;
	struct world *w = world_new(7);
	struct disk *d = w->disk;
	begin_to_fill(w);
	struct wal_status before;
	wal_status(w->wal, &before);
	put_entries(w, 2, 1, 50000);
	flush(w);
	d->now_ns += 5000;
	assert_null(d->io);
	assert_int_equal(wal_sync_started_ns(w->wal), 1000);
	flush(w);
	assert_null(d->io);
	disk_complete_slow(d);
	assert_null(d->slow); /* Neither a sync of it nor another piece. */
	flush(w);
	assert_non_null(d->io);
	complete(w);
	d->now_ns += 100;
	flush(w);
	d->now_ns += 300;
	complete(w);
	struct wal_status status;
	wal_status(w->wal, &status);
	assert_int_equal(status.sync_max_ns, 5000);
	assert_int_equal(status.sync_last_ns, 300);
	assert_int_equal(status.batches, before.batches + 1);
	assert_int_equal(status.syncs, before.syncs + 2);
	assert_int_equal(status.sync_mean_ns, 5300 / status.syncs);
	drain(w);
	reread(w);
	world_free(w);
}

/* It is closed while a piece is on its way: nobody hears of it. */
static void test_closed_while_filling(void **unused)
{
	(void)unused;
	struct world *w = world_new(8);
	begin_to_fill(w);
	close_log(w);
	assert_true(open_log(w));
	check_read(w, w->model.durable);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recycles),
		cmocka_unit_test(test_keeps_what_is_needed),
		cmocka_unit_test(test_lost_segments),
		cmocka_unit_test(test_install_beyond_the_end),
		cmocka_unit_test(test_install_within),
		cmocka_unit_test(test_replaced_from_below_the_base),
		cmocka_unit_test(test_crash_at_each_operation),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_no_space),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_waits_for_a_piece_of_zeros),
		cmocka_unit_test(test_closed_while_filling),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
