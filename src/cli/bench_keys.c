/*
 * Keys for a load: see bench_keys.h. Zipf's law by rejection-inversion (Hoermann and Derflinger 1996): exact, in
 * constant time, without a table.
 */
#include "cli/bench_keys.h"

#include "base/check.h"

#include <math.h>

/* A prime above KEYS_MAX: a multiple of it, modulo the count, is a permutation. */
#define SPREAD ((uint64_t)2654435761)

double keys_draw(struct rng *rng)
{
	return ((double)(rng_next(rng) >> 11) + 1) / 9007199254740992.0;
}

/* (exp(x) - 1) / x and log(1 + x) / x, also near 0. */
static double exp_ratio(double x)
{
	return fabs(x) > 1e-8 ? expm1(x) / x : 1 + x / 2;
}

static double log_ratio(double x)
{
	return fabs(x) > 1e-8 ? log1p(x) / x : 1 - x / 2;
}

/* The integral of x^-skew, and its inverse. */
static double area(const struct keys *keys, double x)
{
	double log_x = log(x);
	return exp_ratio((1 - keys->skew) * log_x) * log_x;
}

static double area_inverse(const struct keys *keys, double y)
{
	double t = y * (1 - keys->skew);
	if (t < -1)
		t = -1;
	return exp(log_ratio(t) * y);
}

static double weight(const struct keys *keys, double x)
{
	return exp(-keys->skew * log(x));
}

void keys_init(struct keys *keys, enum keys_order order, uint64_t count, double skew, uint64_t seed)
{
	CHECK_OP(count, >=, (uint64_t)1);
	CHECK_OP(count, <=, KEYS_MAX);
	*keys = (struct keys){.order = order, .count = count, .rng = rng_seed(seed), .skew = skew};
	if (order != KEYS_ZIPF)
		return;
	CHECK(skew > 0);
	keys->area_first = area(keys, 1.5) - 1;
	keys->area_end = area(keys, (double)count + 0.5);
	keys->shortcut = 2 - area_inverse(keys, area(keys, 2.5) - weight(keys, 2));
}

uint64_t keys_zipf_rank(struct keys *keys)
{
	for (;;) {
		double y = keys->area_end + keys_draw(&keys->rng) * (keys->area_first - keys->area_end);
		double x = area_inverse(keys, y);
		uint64_t rank = x < 1 ? 1 : (uint64_t)(x + 0.5);
		if (rank > keys->count)
			rank = keys->count;
		if ((double)rank - x <= keys->shortcut ||
		    y >= area(keys, (double)rank + 0.5) - weight(keys, (double)rank))
			return rank;
	}
}

uint64_t keys_of_rank(const struct keys *keys, uint64_t rank)
{
	return (rank - 1) * SPREAD % keys->count;
}

uint64_t keys_next(struct keys *keys)
{
	if (keys->order == KEYS_UNIFORM)
		return rng_below(&keys->rng, keys->count);
	if (keys->order == KEYS_ZIPF)
		return keys_of_rank(keys, keys_zipf_rank(keys));
	uint64_t key = keys->next++;
	if (keys->next == keys->count)
		keys->next = 0;
	return key;
}
