/* The simulated disk: what a crash keeps and loses of files and directories, and how it fails. */
#include "unit/sim_file_model.h"

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
			assert_memory_equal(bytes + s * SECTOR, s * SECTOR >= f->durable_size ? zeros : f->durable[s],
					    n);
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
			uint64_t choice = rng_below(&w->rng, 10);
			if (choice == 0) {
				with_file(f, file_sync);
			} else if (choice <= 3) {
				int done = f->done;
				with_file(f, choice == 1   ? file_write_sync
					     : choice == 2 ? file_write_async
							   : file_sync_async);
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

/* A write in flight is written to some length; a sync in flight has synced nothing. */
static void test_crash_in_flight_of_two_steps(void **state)
{
	(void)state;
	int lost = 0, kept = 0;
	for (uint64_t seed = 1; seed <= 5 * SEEDS; seed++) {
		struct world *w = world_new(seed);
		struct file *f = calloc(1, sizeof *f);
		f->side = &w->a;
		with_file(f, file_create);
		with_file(f, file_fill);
		with_file(f, file_write_async);
		if (seed % 2 == 0) {
			run_for(w, 10 * MS);
			assert_int_equal(f->done, 1);
			uint8_t old[FILE_SECTORS][SECTOR];
			memcpy(old, f->durable, sizeof old);
			with_file(f, file_sync_async);
			memcpy(f->durable, old, sizeof old);
		}
		int done = f->done;
		sim_host_crash(w->a.host, seed % 3 == 0 ? SIM_KILL : SIM_POWER);
		check_sectors(f, &lost, &kept);
		run_for(w, 1 * S);
		assert_int_equal(f->done, done);
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

static void fails_to_write(struct file *f)
{
	sim_disk_fail_next(f->side->host);
	file_write_async(f);
}

static void fails_to_sync(struct file *f)
{
	sim_disk_fail_next(f->side->host);
	file_sync_async(f);
}

static void closes(struct file *f)
{
	file_write_async(f);
	f->side->ops->close(f->file);
}

static void test_errors_of_two_steps(void **state)
{
	(void)state;
	struct world *w = world_new(27);
	struct file *f = calloc(1, sizeof *f);
	f->side = &w->a;
	sim_host_settings(w->a.host)->crash_all_kept_ppm = 1000000;
	sim_host_settings(w->a.host)->crash_all_lost_ppm = 0;
	with_file(f, file_create);
	with_file(f, fails_to_write);
	run_for(w, 10 * MS);
	assert_int_equal(f->done, 1);
	assert_int_equal(f->status, -EIO);
	sim_disk_set_limit(w->a.host, 0);
	with_file(f, file_write_async);
	run_for(w, 10 * MS);
	assert_int_equal(f->done, 2);
	assert_int_equal(f->status, -ENOSPC);
	sim_disk_set_limit(w->a.host, UINT64_MAX);
	with_file(f, file_write_async);
	run_for(w, 10 * MS);
	with_file(f, fails_to_sync);
	run_for(w, 10 * MS);
	assert_int_equal(f->done, 4);
	assert_int_equal(f->status, -EIO);
	with_file(f, file_sync_async);
	run_for(w, 10 * MS);
	assert_int_equal(f->status, 0); /* It says. */
	with_file(f, closes);
	run_for(w, 10 * MS);
	assert_int_equal(f->done, 5);
	uint64_t lost = sim_counters(w->sim)->sectors_lost;
	sim_host_crash(w->a.host, SIM_POWER);
	assert_true(sim_counters(w->sim)->sectors_lost > lost);
	free(f);
	world_free(w);
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
	uint64_t size = 0;
	const uint8_t *bytes = sim_disk_peek(w->a.host, "log", &size);
	assert_memory_equal(bytes, "good", 4); /* It can be read. */
	assert_memory_equal(bytes + 2000, "good", 4);
	sim_host_crash(w->a.host, SIM_POWER);
	bytes = sim_disk_peek(w->a.host, "log", &size);
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

static void syncs_ten_times(struct side *side)
{
	struct env_file *file;
	if (side->turns > 1)
		return;
	assert_int_equal(side->ops->open(side->env, "x", ENV_OPEN_CREATE, &file), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(side->ops->sync(file), 0);
	side->ops->close(file);
	side->ops->wake_at(side->env, side->ops->raw_ns(side->env) + 1);
}

static void test_inline_syncs_add_up(void **state)
{
	(void)state;
	struct world *w = world_new(25);
	struct sim_host_settings *settings = sim_host_settings(w->a.host);
	settings->sync_min_ns = settings->sync_typical_ns = settings->sync_max_ns = 3 * MS;
	w->a.each_turn = syncs_ten_times;
	run(&w->a, nothing);
	uint64_t at = sim_now(w->sim);
	run_for(w, 1 * S);
	assert_int_equal(w->a.turns, 2);
	assert_true(w->a.woken_at >= at + 30 * MS && w->a.woken_at < at + 31 * MS);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crash_keeps_what_was_synced),
		cmocka_unit_test(test_power_after_kill),
		cmocka_unit_test(test_crash_in_flight),
		cmocka_unit_test(test_crash_in_flight_of_two_steps),
		cmocka_unit_test(test_directories),
		cmocka_unit_test(test_directory_order),
		cmocka_unit_test(test_lost_directory),
		cmocka_unit_test(test_list_dir),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_errors_of_two_steps),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_inline_syncs_add_up),
		cmocka_unit_test(test_lock_and_flip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) == 0 ? 0 : 1;
}
