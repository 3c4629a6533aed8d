/* A histogram of latencies: see bench_histogram.h. */
#include "cli/bench_histogram.h"

#include "base/check.h"

uint64_t histogram_bucket_end(size_t bucket)
{
	CHECK_OP(bucket, <, (size_t)HISTOGRAM_BUCKETS);
	if (bucket >> (HISTOGRAM_BITS + 1) == 0)
		return bucket;
	unsigned shift = (unsigned)(bucket >> HISTOGRAM_BITS) - 1;
	uint64_t top = (bucket & ((1u << HISTOGRAM_BITS) - 1)) + (1u << HISTOGRAM_BITS);
	return (top << shift) + (((uint64_t)1 << shift) - 1);
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->counts[i] += from->counts[i];
	into->total += from->total;
	into->sum += from->sum;
	if (from->max > into->max)
		into->max = from->max;
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
	if (histogram->total == 0)
		return 0;
	/* A little less than it is, or 99.9 % of 1000 were more than 999. */
	double exact = percent / 100 * (double)histogram->total * (1 - 1e-12);
	uint64_t wanted = (uint64_t)exact;
	if ((double)wanted < exact || wanted == 0)
		wanted++;
	uint64_t seen = 0;
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += histogram->counts[i];
		if (seen >= wanted) {
			uint64_t end = histogram_bucket_end(i);
			return end < histogram->max ? end : histogram->max;
		}
	}
	return histogram->max;
}
