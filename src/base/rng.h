/*
 * A seeded pseudo-random generator (SplitMix64: Steele, Lea, Flood 2014). Same seed, same numbers, on every machine.
 * Not for secrets. Each purpose has a generator of its own, so that one more draw here changes nothing there.
 */
#ifndef IKADA_BASE_RNG_H
#define IKADA_BASE_RNG_H

#include <stdint.h>

struct rng {
	uint64_t state;
};

static inline struct rng rng_seed(uint64_t seed)
{
	struct rng rng = {seed};
	return rng;
}

static inline uint64_t rng_next(struct rng *rng)
{
	uint64_t z = (rng->state += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* Uniform enough in [0, bound); 0 for a bound of 0. The bias is below bound / 2^64. */
static inline uint64_t rng_below(struct rng *rng, uint64_t bound)
{
	return bound == 0 ? 0 : rng_next(rng) % bound;
}

/* Uniform in [low, high], low <= high. */
static inline uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t high)
{
	return low + rng_below(rng, high - low + 1);
}

#endif
