/*
 * A load on servers that speak the Redis protocol, and what came of it. One thread, one epoll.
 *
 * Closed loop (rate 0): each connection keeps `depth` requests under way. Open loop: requests have times at which they
 * are meant to be sent, whatever the servers do, and latency counts from the intended time; a request that finds no
 * connection with room is late, and its lateness counts (no coordinated omission).
 *
 * A connection that is lost is counted with what was under way on it, and made again to the next address.
 */
#ifndef IKADA_CLI_BENCH_LOAD_H
#define IKADA_CLI_BENCH_LOAD_H

#include "cli/bench_histogram.h"
#include "cli/bench_keys.h"

#include <stdbool.h>
#include <sys/socket.h>

enum { LOAD_ADDRESSES_MAX = 32, LOAD_KEY_BYTES = 16, LOAD_ERROR_BYTES = 128 };

struct load_settings {
	struct sockaddr_storage addresses[LOAD_ADDRESSES_MAX];
	socklen_t address_sizes[LOAD_ADDRESSES_MAX];
	uint32_t address_count;
	uint32_t connections;
	uint32_t depth;
	uint64_t rate; /* Requests a second; 0: closed loop. */
	bool poisson;
	uint64_t reads_percent;
	uint64_t key_count;
	enum keys_order order;
	double skew;
	uint64_t value_bytes;
	uint64_t warmup_ns;
	uint64_t duration_ns;
	uint64_t requests; /* Ends after so many, if that comes first; UINT64_MAX: never. */
	uint64_t seed;
	bool progress;
};

struct load_result {
	double seconds;	       /* That were measured. */
	uint64_t answered;     /* Within them, errors not counted. */
	uint64_t answered_all; /* With the warm-up. */
	uint64_t errors;
	uint64_t lost;		      /* Requests under way on connections that were lost. */
	uint64_t unanswered;	      /* When the load had ended, and some seconds had passed. */
	uint64_t cpu_us;	      /* Of this process, for all. */
	char error[LOAD_ERROR_BYTES]; /* The first one. */
	/* Nanoseconds; of requests that were meant for the measured time. */
	struct histogram reads, writes;
	struct histogram lag; /* Open loop: from the intended time until it was sent. */
};

/* False: no connection can be made; `error` says why. */
bool load_run(const struct load_settings *settings, struct load_result *result);

#endif
