/* The exhaustive search, where it is small: that its reductions lose nothing, and that it is whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/exhaust.h"

#include <stdlib.h>
#include <string.h>

#define MEMORY_BYTES ((uint64_t)1 << 30)

struct views {
	uint64_t *at;
	size_t count, room;
};

static void add_view(void *context, uint64_t hash)
{
	struct views *views = context;
	if (views->count == views->room) {
		views->room = views->room == 0 ? 1024 : 2 * views->room;
		views->at = realloc(views->at, views->room * sizeof *views->at);
		assert_non_null(views->at);
	}
	views->at[views->count++] = hash;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static struct views views_of(const struct exhaust_bounds *bounds, uint64_t *states)
{
	struct views views = {0};
	const struct exhaust_hooks hooks = {.context = &views, .view = add_view};
	struct exhaust_result result;
	exhaust(bounds, MEMORY_BYTES, &hooks, &result);
	assert_string_equal(result.failure, "");
	assert_true(result.whole);
	*states = result.states;
	qsort(views.at, views.count, sizeof *views.at, compare);
	size_t kept = 0;
	for (size_t i = 0; i < views.count; i++)
		if (i == 0 || views.at[i] != views.at[i - 1])
			views.at[kept++] = views.at[i];
	views.count = kept;
	return views;
}

static void compare_views(const struct exhaust_bounds *bounds)
{
	struct exhaust_bounds plain = *bounds;
	uint64_t plain_states, states;
	plain.plain = true;
	struct views all = views_of(&plain, &plain_states);
	struct views found = views_of(bounds, &states);
	print_message("note: %llu states without reductions, %llu with; %zu and %zu different to look at\n",
		      (unsigned long long)plain_states, (unsigned long long)states, all.count, found.count);
	assert_true(states < plain_states);
	assert_true(all.count > 10);
	for (size_t i = 0; i < all.count; i++)
		assert_non_null(bsearch(&all.at[i], found.at, found.count, sizeof *found.at, compare));
	free(all.at);
	free(found.at);
}

/* By the logs alone; then, where the past is not reduced, by the logs and the leaders. */
static void nothing_is_lost(const struct exhaust_bounds *given)
{
	struct exhaust_bounds bounds = *given;
	compare_views(&bounds);
	bounds.whole_past = true;
	compare_views(&bounds);
}

static void reductions_lose_nothing(void **state)
{
	(void)state;
	nothing_is_lost(&(struct exhaust_bounds){.terms = 1,
						 .entries = 3,
						 .timeouts = 1,
						 .in_flight = 1,
						 .disks = EXHAUST_LEADERS_LATE,
						 .raft_check = true});
	nothing_is_lost(&(struct exhaust_bounds){.terms = 2,
						 .entries = 2,
						 .timeouts = 2,
						 .in_flight = 1,
						 .disks = EXHAUST_LEADERS_LATE,
						 .raft_check = true});
	nothing_is_lost(&(struct exhaust_bounds){.terms = 2,
						 .entries = 2,
						 .timeouts = 2,
						 .restarts = 1,
						 .in_flight = 1,
						 .disks = EXHAUST_AT_ONCE,
						 .raft_check = true});
	nothing_is_lost(&(struct exhaust_bounds){.terms = 2,
						 .entries = 2,
						 .timeouts = 2,
						 .restarts = 1,
						 .in_flight = 1,
						 .disks = EXHAUST_LEADERS_LATE,
						 .raft_check = true});
}

/* With every disk late, and with beats. */
static void all_bounds(void **state)
{
	(void)state;
	const struct exhaust_hooks hooks = {0};
	struct exhaust_bounds bounds = {.terms = 2,
					.entries = 1,
					.timeouts = 2,
					.restarts = 1,
					.in_flight = 1,
					.beats = 1,
					.disks = EXHAUST_ALL_LATE,
					.raft_check = true};
	struct exhaust_result result;
	exhaust(&bounds, MEMORY_BYTES, &hooks, &result);
	assert_string_equal(result.failure, "");
	assert_true(result.whole);
	assert_true(result.leaders > 10 && result.commits > 10);
	print_message("note: %llu states, %llu steps\n", (unsigned long long)result.states,
		      (unsigned long long)result.steps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reductions_lose_nothing),
		cmocka_unit_test(all_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
