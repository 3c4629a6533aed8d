/* Where the log begins: compaction, installs, and what both must leave as it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "raft_cores.h"

static void end(struct cores *cores)
{
	if (cores->broken[0] != 0)
		fail_msg("%s", cores->broken);
	cores_free(cores);
	free(cores);
}

static struct cores *make(void)
{
	struct cores *cores = malloc(sizeof *cores);
	cores_init(cores, 3, 1);
	cores->forged = true;
	return cores;
}

/* A log that ends in these terms, all durable, committed up to `commit`. */
static struct core *boot(struct cores *cores, uint64_t commit, const uint64_t *terms, uint64_t count)
{
	struct core *core = &cores->core[1];
	for (uint64_t i = 0; i < count; i++)
		core_log_add(&core->disk, terms[i], 1000 * terms[i] + i);
	core->disk_term = terms[count - 1];
	core->disk_commit = commit;
	cores_make(cores);
	cores_boot(cores, 1);
	return core;
}

/* The driver has received a snapshot up to an entry of this term, of a log of `terms`. */
static void install(struct cores *cores, uint64_t index, const uint64_t *terms)
{
	struct core *core = &cores->core[1];
	for (uint64_t i = 0; i < index; i++)
		core_log_add(&core->arrived.entries, terms[i], 1000 * terms[i] + i);
	core->arrived.m.last_index = index;
	core->arrived.m.last_term = terms[index - 1];
	core->arrived.config = core->disk_config;
	cores_install(cores, 1);
}

static void a_log_that_agrees_stays(void **state)
{
	(void)state;
	static const uint64_t terms[] = {1, 1, 2, 2, 2, 3, 3};
	for (uint64_t index = 1; index <= 7; index++) {
		struct cores *cores = make();
		struct core *core = boot(cores, 1, terms, 7);
		install(cores, index, terms);
		assert_int_equal(core->effects.installed, index > 1); /* What is committed is not installed. */
		assert_int_equal(core->effects.kept, index > 1);
		assert_int_equal(core->status.base_index, index > 1 ? index : 0);
		assert_int_equal(core->status.last_index, 7);
		assert_int_equal(core->status.durable_index, 7);
		assert_int_equal(core->status.commit, index);
		for (uint64_t i = index; i <= 7; i++)
			assert_int_equal(ikada_raft_term_at(core->raft, i), terms[i - 1]);
		cores_durable(cores, 1, SIZE_MAX);
		cores_crash(cores, 1, 0);
		cores_boot(cores, 1);
		assert_int_equal(core->status.last_index, 7);
		end(cores);
	}
}

static void a_log_that_does_not_goes(void **state)
{
	(void)state;
	static const uint64_t ours[] = {1, 1, 2, 2, 2};
	static const uint64_t theirs[] = {1, 1, 1, 1, 1, 2, 2};
	for (uint64_t index = 3; index <= 7; index++) {
		struct cores *cores = make();
		struct core *core = boot(cores, 1, ours, 5);
		install(cores, index, theirs);
		assert_true(core->effects.installed && !core->effects.kept);
		assert_int_equal(core->status.base_index, index);
		assert_int_equal(core->status.last_index, index);
		assert_int_equal(core->status.last_term, theirs[index - 1]);
		assert_int_equal(core->status.commit, index);
		/* Twice is once. */
		install(cores, index, theirs);
		assert_false(core->effects.installed);
		assert_int_equal(core->effects.ticket, 0);
		end(cores);
	}
}

/* The disk is behind what is committed: that must not be given up yet. */
static void what_is_not_durable_is_kept(void **state)
{
	(void)state;
	struct cores *cores = make();
	struct core *core = boot(cores, 1, (const uint64_t[]){1, 1}, 2);
	struct core_packet packet = {.m = {.kind = IKADA_APPEND,
					   .from = 2,
					   .to = 1,
					   .term = 1,
					   .prev_index = 2,
					   .prev_term = 1,
					   .last_index = 4,
					   .commit = 4}};
	core_log_add(&packet.entries, 1, 5);
	core_log_add(&packet.entries, 1, 6);
	cores_hand(cores, &packet);
	core_log_free(&packet.entries);
	assert_int_equal(core->status.commit, 4);
	cores_compact(cores, 1, 3);
	assert_false(core->effects.base_changed);
	cores_compact(cores, 1, 2);
	assert_true(core->effects.base_changed);
	assert_int_equal(core->status.base_index, 2);
	cores_durable(cores, 1, SIZE_MAX);
	cores_compact(cores, 1, 4);
	assert_int_equal(core->status.base_index, 4);
	assert_int_equal(core->status.last_index, 4);
	cores_compact(cores, 1, 3);
	assert_false(core->effects.base_changed);
	end(cores);
}

/* A table of terms that fills up asks for room in time. */
static void full_table_asks(void **state)
{
	(void)state;
	struct cores *cores = make();
	cores->limits.term_runs = 8;
	struct core *core = boot(cores, 3, (const uint64_t[]){1, 2, 3}, 3);
	cores_tick(cores, 1);
	assert_false(core->effects.wants_compaction);
	cores_crash(cores, 1, 0);
	core_log_add(&core->disk, 4, 4000);
	core->disk_term = 4;
	cores_boot(cores, 1);
	cores_tick(cores, 1);
	assert_true(core->effects.wants_compaction);
	cores_compact(cores, 1, 3);
	assert_false(core->effects.wants_compaction);
	end(cores);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_log_that_agrees_stays),
		cmocka_unit_test(a_log_that_does_not_goes),
		cmocka_unit_test(what_is_not_durable_is_kept),
		cmocka_unit_test(full_table_asks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
