/*
 * The log on disk against a plain model and a disk that loses what it may. What was reported durable is there after
 * each crash; what is read is always a prefix of what was put; what no crash can have left is refused.
 */
#include "test_wal_model.h"

#include "env/env_uv.h"
#include "wal/format.h"

#include <unistd.h>

/* One random call. */
static void random_op(struct world *w, struct rng *rng)
{
	struct model *m = &w->model;
	uint64_t draw = rng_below(rng, 100);
	uint64_t low = (m->committed > m->now.base_index ? m->committed : m->now.base_index) + 1;
	if (m->now.entries == 0)
		put_base(w, 0);
	else if (draw < 12)
		put_hard(w, m->now.term + rng_below(rng, 2), rng_below(rng, 4));
	else if (draw < 45)
		put_entries(w,
			    rng_below(rng, 4) == 0 ? rng_between(rng, low, m->now.last_index + 1)
						   : m->now.last_index + 1,
			    1 + rng_below(rng, 12), rng_below(rng, 700));
	else if (draw < 49)
		put_entries(w, m->now.last_index + 1, 1, rng_below(rng, SEGMENT - 3 * 4096 - 64 - 7));
	else if (draw < 50 && m->now.last_index < INDEX_MAX / 2)
		put_base(w, rng_between(rng, low - 1, m->now.last_index + 8));
	else if (draw < 54)
		put_keep(w, rng_between(rng, m->now.base_index, m->now.last_index));
	else if (draw < 66 && m->now.last_index >= low)
		note(w, rng_between(rng, low, m->now.last_index));
	else if (draw < 90)
		flush(w);
	else if (draw < 94)
		seal(w);
	if (w->disk->io != NULL && rng_below(rng, 3) > 0)
		complete(w);
	if (w->disk->slow != NULL && rng_below(rng, 3) == 0)
		disk_complete_slow(w->disk);
}

static void test_random_against_model(void **unused)
{
	(void)unused;
	uint64_t recycled = 0;
	uint64_t filled = 0;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct world *w = world_new(seed);
		struct rng rng = rng_seed(seed * 31);
		for (int life = 0; life < 8; life++) {
			if (life > 0 || seed % 2 == 0)
				reopen(w, &rng);
			else
				assert_true(open_log(w));
			uint64_t ops = rng_below(&rng, 60);
			for (uint64_t i = 0; i < ops && disk_used(w->disk) < 16 * (uint64_t)SEGMENT; i++)
				random_op(w, &rng);
			uint64_t how = rng_below(&rng, 4);
			if (how == 0) {
				drain(w);
				if (rng_below(&rng, 2) == 0)
					seal(w);
				close_log(w);
			} else {
				w->wal = NULL;
				if (how == 1)
					disk_kill(w->disk, rng_below(&rng, 2) == 0);
				else
					disk_crash(w->disk, rng_below(&rng, 101));
			}
		}
		reopen(w, &rng);
		recycled += w->disk->taken;
		filled += w->disk->slow_done;
		world_free(w);
	}
	assert_true(recycled > 50);
	assert_true(filled > 200);
}

/* ---- Crashes and errors at each operation ---- */

/* A short life that makes a log, fills a segment and a half, and opens it again. Always the same. */
static void life(struct world *w)
{
	assert_true(open_log(w));
	check_read(w, w->model.durable);
	if (!w->state.has_base)
		put_base(w, 0);
	put_hard(w, w->model.now.term + 1, 1);
	for (int i = 0; i < 6; i++) {
		put_entries(w, w->model.now.last_index + 1, 1, 14000);
		drain(w);
	}
	seal(w);
	close_log(w);
	assert_true(open_log(w));
	check_read(w, w->model.durable);
	put_entries(w, w->model.now.last_index, 2, 900);
	drain(w);
	close_log(w);
}

static void test_crash_at_each_operation(void **unused)
{
	(void)unused;
	for (volatile uint64_t at = 1;; at++) {
		volatile bool stopped = false;
		for (volatile uint64_t lose = 0; lose <= 100; lose += 25) {
			struct world *volatile w = world_new(at);
			w->disk->stop_at = at;
			if (setjmp(w->disk->out) == 0) {
				life(w);
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
			assert_true(at > 60);
			return;
		}
	}
}

/* An error is final: an open says so, a running log is fatal; the next open has what was durable. */
static void test_error_at_each_operation(void **unused)
{
	(void)unused;
	for (volatile uint64_t at = 1;; at++) {
		struct world *volatile w = world_new(at);
		volatile bool opened = false;
		volatile bool ended = false;
		w->disk->fail_at = at;
		w->disk->fail_with = -EIO;
		if (setjmp(w->disk->out) == 0) {
			if (open_log(w)) {
				opened = true;
				assert_false(w->disk->failed);
				put_base(w, 0);
				put_hard(w, 1, 1);
				for (int i = 0; i < 6; i++) {
					put_entries(w, w->model.now.last_index + 1, 1, 14000);
					drain(w);
					assert_false(w->disk->failed);
				}
				close_log(w);
				ended = true;
			}
		} else {
			assert_true(opened);
			assert_non_null(strstr(w->disk->fatal, "d/wal"));
			assert_non_null(strstr(w->disk->fatal, "Input/output error"));
		}
		assert_true(w->disk->failed != ended);
		w->wal = NULL;
		disk_crash(w->disk, 50);
		life(w);
		world_free(w);
		if (ended) {
			assert_true(at > 30);
			return;
		}
	}
}

/* S02: a sync that failed may leave what it could not write marked clean; then only writing it again helps. */
static void test_failed_sync_is_not_believed_later(void **unused)
{
	(void)unused;
	struct world *volatile w = world_new(21);
	struct disk *d = w->disk;
	born(w);
	put_hard(w, 1, 1);
	put_entries(w, 1, 4, 700);
	flush(w);
	if (setjmp(d->out) == 0)
		disk_complete_badly(d);
	assert_non_null(strstr(d->fatal, "d/wal/0000000000000001.wal cannot be written"));
	w->wal = NULL;
	disk_kill(d, false);
	assert_true(open_log(w));
	check_read(w, w->model.atom_count); /* Still in the system's memory; now it is promised. */
	w->wal = NULL;
	disk_crash(d, 100);
	assert_true(open_log(w));
	check_read(w, w->model.durable);
	world_free(w);
}

/* ---- Room ---- */

/* S18: a full disk refuses only what is proposed; terms, votes and seals still find room; so does the next open. */
static void test_full_disk(void **unused)
{
	(void)unused;
	struct world *volatile w = world_new(9);
	struct disk *d = w->disk;
	for (d->limit = 0; d->limit < SEGMENT; d->limit += 8192)
		refused(w, "No space left");
	d->limit = 3 * SEGMENT;
	born(w);
	put_hard(w, 1, 1);
	uint64_t taken = 0;
	while (wal_room(w->wal) > 4000) {
		put_entries(w, w->model.now.last_index + 1, 1, 4000 - 64);
		taken += 4000;
		drain(w);
		assert_true(taken < 3 * SEGMENT);
	}
	assert_true(taken > SEGMENT);
	for (int i = 0; i < 8; i++) {
		put_hard(w, w->model.now.term + 1, 1);
		drain(w);
		seal(w);
		close_log(w);
		assert_true(open_log(w));
		check_read(w, w->model.durable);
		if (i == 4) /* Not one block more than there is. */
			break;
	}
	uint64_t none = wal_room(w->wal);
	assert_true(none < 4000);
	d->limit = UINT64_MAX;
	flush(w);
	assert_int_equal(wal_room(w->wal), none); /* It is not asked for in each turn. */
	d->now_ns += (uint64_t)2000 * 1000 * 1000;
	for (int step = 0; step < 4; step++) /* A segment takes two. */
		flush(w);
	assert_true(wal_room(w->wal) > SEGMENT / 4);

	/* What was taken as sure finds its place, also in many small batches; used up, it is one clear line. */
	d->limit = disk_used(d);
	uint64_t room = wal_room(w->wal);
	for (uint64_t put = 0; put + 3000 < room; put += 3000)
		put_entries(w, w->model.now.last_index + 1, 1, 3000 - 64);
	drain(w);
	if (setjmp(d->out) == 0) {
		for (;;) {
			put_hard(w, w->model.now.term + 1, 1);
			drain(w);
		}
	}
	assert_non_null(strstr(d->fatal, "the disk is full"));
	w->wal = NULL;
	disk_crash(d, 50);
	refused(w, "No space left");
	d->limit = UINT64_MAX;
	life(w);
	world_free(w);
}

/* No room at each operation that asks for some. */
static void test_no_space_at_each_operation(void **unused)
{
	(void)unused;
	for (volatile uint64_t at = 1; at < 200; at++) {
		struct world *volatile w = world_new(at);
		w->disk->fail_at = at;
		w->disk->fail_with = -ENOSPC;
		if (setjmp(w->disk->out) == 0) {
			if (open_log(w)) {
				put_base(w, 0);
				for (int i = 0; i < 6; i++) {
					put_entries(w, w->model.now.last_index + 1, 1, 14000);
					drain(w);
				}
				close_log(w);
			}
		}
		w->wal = NULL;
		disk_crash(w->disk, 50);
		life(w);
		world_free(w);
	}
}

/* ---- The rest of the contract ---- */

static void put_more(struct world *w)
{
	if (w->model.now.last_index < 40)
		put_entries(w, w->model.now.last_index + 1, 3, 200);
}

static void test_puts_from_the_callback(void **unused)
{
	(void)unused;
	struct world *w = world_new(11);
	assert_true(open_log(w));
	w->on_durable = put_more;
	put_base(w, 0);
	drain(w);
	assert_true(w->model.now.last_index >= 40);
	w->on_durable = NULL;
	close_log(w);
	assert_true(open_log(w));
	check_read(w, w->model.durable);
	world_free(w);
}

/* A ticket is told when the last of its batches is durable. */
static void test_one_ticket_of_many_batches(void **unused)
{
	(void)unused;
	struct world *w = world_new(12);
	born(w);
	uint64_t before = w->model.durable_ticket;
	put_entries(w, 1, 30, 9000);
	uint64_t pending = wal_pending_bytes(w->wal);
	assert_true(pending > 100000 && wal_room(w->wal) == 0);
	size_t writes = 0;
	w->disk->slow_refused = true;
	for (flush(w); !wal_idle(w->wal); flush(w)) {
		if (w->disk->slow != NULL)
			disk_complete_slow(w->disk);
		if (w->disk->io == NULL)
			continue;
		assert_int_equal(w->model.durable_ticket, before);
		complete(w);
		writes++;
		assert_true(wal_pending_bytes(w->wal) <= pending);
		pending = wal_pending_bytes(w->wal);
	}
	assert_true(writes > 4);
	assert_int_equal(w->model.durable_ticket, before + 1);
	assert_true(wal_idle(w->wal) && pending == 0);
	size_t at = w->model.write_count;
	seal(w);
	seal(w); /* Once is enough. */
	assert_int_equal(w->model.write_count, at + 1);
	world_free(w);
}

static void test_largest_entry(void **unused)
{
	(void)unused;
	struct world *volatile w = world_new(13);
	born(w);
	size_t most = (size_t)wal_entry_bytes_max(SEGMENT) - ENTRY_HEADER_BYTES;
	for (uint64_t i = 1; i < 4; i++)
		put_entries(w, i, 1, most);
	drain(w);
	close_log(w);
	assert_true(open_log(w));
	check_read(w, w->model.durable);
	w->disk->fatal[0] = '\0';
	if (setjmp(w->disk->out) == 0)
		put_entries(w, 4, 1, most + 8);
	assert_non_null(strstr(w->disk->fatal, "entry 4 of"));
	w->wal = NULL;
	disk_kill(w->disk, false);
	world_free(w);
}

static void test_segments_of_another_size(void **unused)
{
	(void)unused;
	struct world *w = finished_log();
	for (uint64_t size = 2 * SEGMENT; size >= SEGMENT; size -= SEGMENT / 2) {
		w->settings.segment_bytes = size;
		w->settings.batch_bytes_max = size / 2;
		assert_true(open_log(w));
		check_read(w, w->model.durable);
		put_entries(w, w->model.now.last_index + 1, 1, (size_t)wal_entry_bytes_max(size) - 64);
		put_entries(w, w->model.now.last_index + 1, 3, 100);
		drain(w);
		close_log(w);
	}
	assert_true(open_log(w));
	check_read(w, w->model.durable);
	world_free(w);
}

/* ---- The same over real files ---- */

struct real {
	struct mem mem;
	struct env *env;
	struct wal *wal;
	uint64_t next;
	uint64_t base;
	uint64_t read;
};

static void real_base(void *context, uint64_t index, uint64_t term, const uint8_t *config, size_t size)
{
	struct real *r = context;
	(void)term;
	r->base = r->read = index;
	assert_int_equal(size, 3);
	assert_memory_equal(config, "abc", 3);
}

static void real_entry(void *context, uint64_t index, uint64_t term, const uint8_t *bytes, size_t size)
{
	struct real *r = context;
	(void)term;
	assert_int_equal(index, ++r->read);
	assert_int_equal(size, ENTRY_HEADER_BYTES + 1000);
	assert_int_equal(bytes[ENTRY_HEADER_BYTES + 999], (uint8_t)index);
}

static void real_put(struct real *r)
{
	uint8_t payload[1000];
	uint8_t bytes[ENTRY_HEADER_BYTES + 1000];
	memset(payload, (int)r->next, sizeof payload);
	struct entry entry = {
		.index = r->next, .term = 1, .kind = ENTRY_COMMAND, .length = sizeof payload, .payload = payload};
	entry_encode(bytes, &entry);
	wal_put_entries(r->wal, bytes, sizeof bytes);
	if (r->next % 50 == 0)
		wal_put_base(r->wal, 0, r->next - 20, 1, (const uint8_t *)"abc", 3, true);
	wal_put_ticket(r->wal, r->next++);
}

static void real_durable(void *context, uint64_t ticket)
{
	struct real *r = context;
	if (ticket == 300)
		env_uv_stop(r->env);
	else if (r->next <= 300)
		real_put(r);
}

static void real_turn(void *context)
{
	wal_flush(((struct real *)context)->wal);
}

static void test_real_files(void **unused)
{
	(void)unused;
	char dir[] = "/tmp/ikada-wal-XXXXXX";
	char command[64];
	assert_non_null(mkdtemp(dir));
	snprintf(command, sizeof command, "%s/wal", dir);
	struct real r = {.next = 1};
	mem_init(&r.mem, true);
	const struct wal_settings settings = {command, SEGMENT, SEGMENT / 2, real_durable, &r};
	const struct wal_replay replay = {&r, real_base, real_entry};
	for (int again = 0; again < 2; again++) {
		struct wal_state state;
		char error[512];
		r.read = 0;
		r.env = env_uv_create(&r.mem, ENV_WARN);
		assert_non_null(r.env);
		r.wal = wal_open(r.env, &settings, &replay, &state, error, sizeof error);
		if (r.wal == NULL)
			fail_msg("%s", error);
		if (again == 0) {
			wal_put_base(r.wal, 0, 0, 0, (const uint8_t *)"abc", 3, false);
			real_put(&r);
			r.env->turn = real_turn;
			r.env->turn_context = &r;
			r.env->ops->wake_at(r.env, 0);
			env_uv_run(r.env);
		} else {
			struct wal_status status;
			wal_status(r.wal, &status);
			assert_int_equal(state.last_index, 300);
			assert_int_equal(r.base, 280);
			assert_true(status.segments <= 10); /* Of more than twenty that were written. */
		}
		assert_int_equal(r.read, again == 0 ? 0 : 300);
		wal_close(r.wal);
		env_uv_destroy(r.env);
	}
	assert_int_equal(r.mem.bytes, 0);
	snprintf(command, sizeof command, "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_against_model),
		cmocka_unit_test(test_crash_at_each_operation),
		cmocka_unit_test(test_error_at_each_operation),
		cmocka_unit_test(test_failed_sync_is_not_believed_later),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_no_space_at_each_operation),
		cmocka_unit_test(test_puts_from_the_callback),
		cmocka_unit_test(test_one_ticket_of_many_batches),
		cmocka_unit_test(test_largest_entry),
		cmocka_unit_test(test_segments_of_another_size),
		cmocka_unit_test(test_real_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
