/* Runs of terms and tickets, against a plain array with one term and one ticket for each entry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "raft/log.h"

enum { RUNS = 12, ENTRIES = 600 };

struct block {
	struct raft_log log;
	struct ikada_run runs[RUNS];
};

struct plain {
	uint64_t base, last;
	uint64_t term[ENTRIES + 1], ticket[ENTRIES + 1]; /* By index. */
	uint64_t durable_ticket;
};

static void make(struct block *block, uint64_t base_index, uint64_t base_term)
{
	*block = (struct block){0};
	block->log.runs_offset = offsetof(struct block, runs);
	block->log.run_limit = RUNS;
	raft_log_init(&block->log, base_index, base_term);
}

static uint64_t plain_durable(const struct plain *plain)
{
	uint64_t index = plain->base;
	while (index < plain->last && plain->ticket[index + 1] <= plain->durable_ticket)
		index++;
	return index;
}

static bool plain_room(const struct plain *plain, uint64_t first, uint64_t term)
{
	uint32_t runs = 0;
	for (uint64_t i = plain->base + 1; i < first; i++)
		runs += i == plain->base + 1 || plain->term[i] != plain->term[i - 1];
	return runs < RUNS || plain->term[first - 1] == term;
}

static void compare(const struct raft_log *log, const struct plain *plain, struct rng *rng)
{
	assert_int_equal(log->last_index, plain->last);
	assert_int_equal(raft_log_last_term(log), plain->term[plain->last]);
	assert_int_equal(raft_log_term(log, plain->last + 1), 0);
	if (plain->base > 0)
		assert_int_equal(raft_log_term(log, plain->base - 1), 0);
	for (uint64_t index = plain->base; index <= plain->last; index++) {
		assert_int_equal(raft_log_term(log, index), plain->term[index]);
		uint64_t first = index;
		uint64_t last = index;
		while (index > plain->base && first - 1 > plain->base && plain->term[first - 1] == plain->term[index])
			first--;
		while (index > plain->base && last < plain->last && plain->term[last + 1] == plain->term[index])
			last++;
		assert_int_equal(raft_log_run_first(log, index), first);
		assert_int_equal(raft_log_run_last(log, index), last);
	}
	uint64_t index = rng_between(rng, plain->base, plain->last + 2);
	uint64_t term = rng_between(rng, plain->term[plain->base], plain->term[plain->last] + 1);
	uint64_t at = index < plain->last ? index : plain->last;
	while (at > plain->base && plain->term[at] > term)
		at--;
	assert_int_equal(raft_log_floor(log, index, term), at);
	uint64_t first = rng_between(rng, plain->base + 1, plain->last + 1);
	assert_int_equal(raft_log_has_room(log, first, term), plain_room(plain, first, term));
}

/*
 * `pending_max` bounds how many tickets wait; below the size of the table, durability is exact. Returns how often it
 * was told late.
 */
static uint64_t random_walk(uint64_t seed, uint64_t base, uint64_t base_term, uint64_t pending_max)
{
	static struct block block;
	static struct plain plain;
	struct rng rng = rng_seed(seed);
	uint64_t ticket = 0;
	uint64_t late = 0;
	make(&block, base, base_term);
	plain = (struct plain){.base = base, .last = base};
	plain.term[base] = base_term;
	for (uint32_t i = 0; i < 3000; i++) {
		uint64_t draw = rng_below(&rng, 100);
		if (draw < 70 && plain.last + 4 < ENTRIES && ticket - plain.durable_ticket < pending_max) {
			uint64_t term =
				plain.term[plain.last] + (rng_below(&rng, 20) == 0 ? rng_between(&rng, 1, 3) : 0);
			if (term == 0 || !raft_log_has_room(&block.log, plain.last + 1, term))
				continue;
			uint64_t last = plain.last + (pending_max < LOG_TAGS ? rng_between(&rng, 1, 4) : 1);
			ticket += rng_below(&rng, 8) == 0 && ticket > plain.durable_ticket ? 0 : 1;
			raft_log_append(&block.log, last, term, ticket);
			while (plain.last < last) {
				plain.last++;
				plain.term[plain.last] = term;
				plain.ticket[plain.last] = ticket;
			}
		} else if (draw < 73) {
			uint64_t gone = rng_below(&rng, pending_max < LOG_TAGS ? 20 : 6);
			if (gone > plain.last - plain.base)
				continue;
			uint64_t first = plain.last + 1 - gone;
			raft_log_cut(&block.log, first);
			plain.last = first - 1;
		} else if (draw < 74) {
			/* The front goes; half of ENTRIES is enough room for the walk that is left. */
			uint64_t index = rng_between(&rng, plain.base, plain.base + 20);
			if (index == plain.base || index > plain.last || index > ENTRIES / 2)
				continue;
			raft_log_compact(&block.log, index);
			plain.base = index;
		} else if (draw < 95 && (pending_max < LOG_TAGS || rng_below(&rng, 50) == 0)) {
			plain.durable_ticket = rng_between(&rng, plain.durable_ticket, ticket);
			raft_log_durable(&block.log, plain.durable_ticket);
		}
		uint64_t durable = plain_durable(&plain);
		late += block.log.durable_index < durable;
		assert_true(block.log.durable_index <= durable);
		if (pending_max < LOG_TAGS)
			assert_int_equal(block.log.durable_index, durable);
		if (i % 8 == 0)
			compare(&block.log, &plain, &rng);
		if (plain.last + 8 > ENTRIES) {
			raft_log_durable(&block.log, ticket);
			assert_int_equal(block.log.durable_index, plain.last);
			raft_log_cut(&block.log, plain.base + 1);
			plain.last = plain.base;
			plain.durable_ticket = ticket;
		}
	}
	return late;
}

static void runs_and_tickets(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		random_walk(seed, 0, 0, 20);
		random_walk(seed + 100, 7, 3, 20);
	}
}

/* More tickets wait than the table holds: durability is told late, never early. */
static void many_tickets(void **state)
{
	(void)state;
	uint64_t late = 0;
	for (uint64_t seed = 1; seed <= 6; seed++)
		late += random_walk(seed, 0, 0, 100000);
	assert_true(late > 0);
}

/* Entry 5 of term 1 is written, replaced, and written again: the first writing says nothing about the last. */
static void same_entry_again(void **state)
{
	(void)state;
	static struct block block;
	make(&block, 0, 0);
	raft_log_append(&block.log, 4, 1, 1);
	raft_log_append(&block.log, 5, 1, 2);
	raft_log_cut(&block.log, 5);
	raft_log_append(&block.log, 5, 2, 3);
	raft_log_cut(&block.log, 5);
	raft_log_append(&block.log, 5, 1, 4);
	for (uint64_t ticket = 1; ticket <= 3; ticket++) {
		raft_log_durable(&block.log, ticket);
		assert_int_equal(block.log.durable_index, 4);
	}
	raft_log_durable(&block.log, 4);
	assert_int_equal(block.log.durable_index, 5);
	/* What was durable and is replaced is not durable. */
	raft_log_cut(&block.log, 3);
	assert_int_equal(block.log.durable_index, 2);
	raft_log_append(&block.log, 5, 1, 5);
	raft_log_durable(&block.log, 4);
	assert_int_equal(block.log.durable_index, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_and_tickets),
		cmocka_unit_test(many_tickets),
		cmocka_unit_test(same_entry_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
