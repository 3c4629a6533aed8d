/*
 * How often each latency came, within a thousandth of its value (the layout of HdrHistogram): 1024 buckets for each
 * power of two. Takes every 64-bit value, in constant time; what it does not keep is the order.
 */
#ifndef IKADA_CLI_BENCH_HISTOGRAM_H
#define IKADA_CLI_BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { HISTOGRAM_BITS = 10, HISTOGRAM_BUCKETS = (64 - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS };

/* All zeros is an empty one. 440 KiB. */
struct histogram {
	uint64_t total;
	uint64_t max; /* Exact. */
	double sum;
	uint64_t counts[HISTOGRAM_BUCKETS];
};

static inline size_t histogram_bucket(uint64_t value)
{
	if (value >> (HISTOGRAM_BITS + 1) == 0)
		return (size_t)value;
	unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_BITS;
	return ((size_t)shift << HISTOGRAM_BITS) + (size_t)(value >> shift);
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->counts[histogram_bucket(value)]++;
	histogram->total++;
	histogram->sum += (double)value;
	if (value > histogram->max)
		histogram->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from);

/*
 * A value that at least `percent` of all do not exceed, and by at most a thousandth: the upper end of its bucket, or
 * the maximum. 0 for an empty one.
 */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

/* The largest value of this bucket. */
uint64_t histogram_bucket_end(size_t bucket);

#endif
