/* The load generator's histogram and keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/bench_histogram.h"
#include "cli/bench_keys.h"

#include <math.h>
#include <stdlib.h>

static struct histogram *empty(void)
{
	struct histogram *histogram = calloc(1, sizeof *histogram);
	assert_non_null(histogram);
	return histogram;
}

static void buckets_follow_one_another(void **state)
{
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t end = histogram_bucket_end(i);
		assert_int_equal(histogram_bucket(end), i);
		if (end == UINT64_MAX)
			assert_int_equal(i, HISTOGRAM_BUCKETS - 1);
		else
			assert_int_equal(histogram_bucket(end + 1), i + 1);
	}
	assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void buckets_are_a_thousandth_wide(void **state)
{
	for (size_t i = 1; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t first = histogram_bucket_end(i - 1) + 1, end = histogram_bucket_end(i);
		assert_true((double)(end - first) <= (double)first / 1024);
	}
}

static void percentiles_of_known_values(void **state)
{
	struct histogram *histogram = empty();
	assert_int_equal(histogram_percentile(histogram, 50), 0);
	for (uint64_t value = 1; value <= 1000; value++)
		histogram_add(histogram, value);
	assert_int_equal(histogram_percentile(histogram, 0), 1);
	assert_int_equal(histogram_percentile(histogram, 50), 500);
	assert_int_equal(histogram_percentile(histogram, 50.01), 501);
	assert_int_equal(histogram_percentile(histogram, 99), 990);
	assert_int_equal(histogram_percentile(histogram, 99.9), 999);
	assert_int_equal(histogram_percentile(histogram, 100), 1000);
	assert_int_equal(histogram->total, 1000);
	assert_true(histogram->sum == 500500);
	free(histogram);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* Against a sorted array, over all magnitudes. */
static void percentiles_are_near(void **state)
{
	enum { COUNT = 20000 };
	static uint64_t values[COUNT];
	struct histogram *histogram = empty();
	struct rng rng = rng_seed(7);
	for (size_t i = 0; i < COUNT; i++) {
		uint64_t value = rng_next(&rng);
		values[i] = value >> rng_below(&rng, 64);
		histogram_add(histogram, values[i]);
	}
	qsort(values, COUNT, sizeof *values, by_value);
	for (unsigned percent = 1; percent <= 100; percent++) {
		uint64_t exact = values[COUNT / 100 * percent - 1], found = histogram_percentile(histogram, percent);
		assert_true(found >= exact);
		assert_true(found - exact <= exact / 1024);
	}
	assert_int_equal(histogram_percentile(histogram, 100), values[COUNT - 1]);
	free(histogram);
}

static void merged_is_as_if_added(void **state)
{
	struct histogram *a = empty(), *b = empty(), *both = empty();
	struct rng rng = rng_seed(8);
	for (int i = 0; i < 1000; i++) {
		uint64_t value = rng_below(&rng, 1000000000);
		histogram_add(i % 3 == 0 ? a : b, value);
		histogram_add(both, value);
	}
	histogram_merge(a, b);
	assert_int_equal(a->total, both->total);
	assert_int_equal(a->max, both->max);
	assert_memory_equal(a->counts, both->counts, sizeof a->counts);
	free(a);
	free(b);
	free(both);
}

/* Each rank as often as its weight says, within five standard deviations. */
static void zipf_follows_its_law(void **state)
{
	enum { KEYS = 50, DRAWS = 400000 };
	static const double skews[] = {0.5, 0.99, 1, 1.5, 3};
	for (size_t s = 0; s < sizeof skews / sizeof *skews; s++) {
		uint64_t counts[KEYS + 1] = {0};
		double sum = 0;
		struct keys keys;
		keys_init(&keys, KEYS_ZIPF, KEYS, skews[s], 11);
		for (int k = 1; k <= KEYS; k++)
			sum += pow(k, -skews[s]);
		for (int i = 0; i < DRAWS; i++) {
			uint64_t rank = keys_zipf_rank(&keys);
			assert_in_range(rank, 1, KEYS);
			counts[rank]++;
		}
		for (int k = 1; k <= KEYS; k++) {
			double share = pow(k, -skews[s]) / sum, wanted = share * DRAWS;
			assert_true(fabs((double)counts[k] - wanted) <= 5 * sqrt(wanted * (1 - share)) + 1);
		}
	}
}

static void ranks_are_spread_one_to_one(void **state)
{
	enum { KEYS = 10007 };
	static unsigned char seen[KEYS];
	struct keys keys;
	keys_init(&keys, KEYS_ZIPF, KEYS, 0.99, 1);
	for (uint64_t rank = 1; rank <= KEYS; rank++) {
		uint64_t key = keys_of_rank(&keys, rank);
		assert_in_range(key, 0, KEYS - 1);
		assert_int_equal(seen[key]++, 0);
	}
}

static void sequential_goes_round(void **state)
{
	struct keys keys;
	keys_init(&keys, KEYS_SEQUENTIAL, 3, 1, 1);
	for (uint64_t i = 0; i < 9; i++)
		assert_int_equal(keys_next(&keys), i % 3);
}

static void every_order_stays_within(void **state)
{
	static const enum keys_order orders[] = {KEYS_UNIFORM, KEYS_ZIPF, KEYS_SEQUENTIAL};
	static const uint64_t counts[] = {1, 2, 1000, KEYS_MAX};
	for (int o = 0; o < 3; o++) {
		for (int c = 0; c < 4; c++) {
			struct keys keys;
			keys_init(&keys, orders[o], counts[c], 0.99, 5);
			for (int i = 0; i < 1000; i++)
				assert_in_range(keys_next(&keys), 0, counts[c] - 1);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_follow_one_another),  cmocka_unit_test(buckets_are_a_thousandth_wide),
		cmocka_unit_test(percentiles_of_known_values), cmocka_unit_test(percentiles_are_near),
		cmocka_unit_test(merged_is_as_if_added),       cmocka_unit_test(zipf_follows_its_law),
		cmocka_unit_test(ranks_are_spread_one_to_one), cmocka_unit_test(sequential_goes_round),
		cmocka_unit_test(every_order_stays_within),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
