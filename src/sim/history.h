/*
 * What the clients of a simulated cluster asked and were told: makes their requests, understands the replies, and holds
 * the whole against linear.h at the end, key by key.
 *
 * A few keys are in use at any time; each gets a bounded number of operations and is then replaced by a new one, so
 * that no key's history is too long to judge. Values are unique, so a reply tells much.
 */
#ifndef IKADA_SIM_HISTORY_H
#define IKADA_SIM_HISTORY_H

#include "base/buf.h"
#include "base/rng.h"
#include "sim/linear.h"

struct history;

struct history_settings {
	uint32_t keys;	   /* In use at a time. */
	uint32_t key_ops;  /* Operations on each. */
	uint32_t read_ppm; /* Of requests that only read. */
};

/* A request: one operation, or two on different keys. */
struct history_request {
	uint32_t first; /* Its first operation. */
	uint32_t count;
};

struct history_counters {
	uint64_t done, refused, unknown;
	uint64_t keys;
	uint64_t states;     /* Visited by the checker. */
	uint64_t states_max; /* ... for one key. */
};

struct history *history_create(struct mem *mem, const struct history_settings *settings, uint64_t seed);
void history_destroy(struct history *history);

/* Draws the next request of a session (one connection) and adds it to `out`, as the server wants it. */
struct history_request history_ask(struct history *history, uint64_t session, uint64_t time_ns, struct buf *out);

enum history_next { HISTORY_MORE, HISTORY_REPLY, HISTORY_BROKEN };
/* Looks for the whole reply to a request at the start of `bytes`; *used is its size. */
enum history_next history_take(struct history *history, struct history_request request, uint64_t time_ns,
			       const uint8_t *bytes, size_t size, size_t *used);
/* No reply will come: the outcome stays unknown. */
void history_lose(struct history *history, struct history_request request);
/* What was acknowledged may be lost, now: the keys in use are never asked for again, others take their place. */
void history_begin_anew(struct history *history);
/* Whether it was carried out, as far as the client knows. */
bool history_was_done(const struct history *history, struct history_request request);

const struct history_counters *history_counters(const struct history *history);

/*
 * Both leave `failure` untouched when nothing is wrong. All operations called in [from_ns, to_ns) must have been done;
 * returns their number.
 */
uint64_t history_all_done(const struct history *history, uint64_t from_ns, uint64_t to_ns, char *failure, size_t size);
/* Judges every key. */
void history_judge(struct history *history, char *failure, size_t size);

#endif
