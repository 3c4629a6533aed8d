/* Which key comes next: in turn, each alike, or a few far more often than the rest. */
#ifndef IKADA_CLI_BENCH_KEYS_H
#define IKADA_CLI_BENCH_KEYS_H

#include "base/rng.h"

#include <stdint.h>

enum keys_order { KEYS_UNIFORM, KEYS_ZIPF, KEYS_SEQUENTIAL };

#define KEYS_MAX ((uint64_t)1000000000)

struct keys {
	enum keys_order order;
	uint64_t count;
	uint64_t next; /* SEQUENTIAL */
	struct rng rng;
	/* ZIPF: bounds of the area from which is drawn. */
	double skew;
	double area_first, area_end, shortcut;
};

/* Keys 0 .. count - 1, 1 <= count <= KEYS_MAX. ZIPF: the k-th most frequent has the weight 1 / k^skew, skew > 0. */
void keys_init(struct keys *keys, enum keys_order order, uint64_t count, double skew, uint64_t seed);
uint64_t keys_next(struct keys *keys);
/* Zipf's rank, 1 .. count; keys_next spreads the ranks over all keys, so that frequent ones are no neighbours. */
uint64_t keys_zipf_rank(struct keys *keys);
uint64_t keys_of_rank(const struct keys *keys, uint64_t rank);

/* Uniform in (0, 1]. */
double keys_draw(struct rng *rng);

#endif
