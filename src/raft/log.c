#include "raft/log.h"

#include "base/check.h"

#include <string.h>

void raft_log_init(struct raft_log *log, uint64_t base_index, uint64_t base_term)
{
	log->base_index = base_index;
	log->base_term = base_term;
	log->last_index = base_index;
	log->durable_index = base_index;
	log->run_count = 0;
	log->tag_start = 0;
	log->tag_count = 0;
}

/* How many runs start at or before `index`. */
static uint32_t runs_up_to(const struct raft_log *log, uint64_t index)
{
	const struct ikada_run *runs = raft_log_runs(log);
	uint32_t low = 0;
	uint32_t high = log->run_count;
	/* Nearly always the question is about the end. */
	if (high > 0 && runs[high - 1].first <= index)
		return high;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (runs[middle].first <= index)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint64_t raft_log_find_term(const struct raft_log *log, uint64_t index)
{
	if (index == log->base_index)
		return log->base_term;
	if (index < log->base_index)
		return 0;
	return raft_log_runs(log)[runs_up_to(log, index) - 1].term;
}

uint64_t raft_log_run_first(const struct raft_log *log, uint64_t index)
{
	CHECK(index >= log->base_index && index <= log->last_index);
	return index == log->base_index ? index : raft_log_runs(log)[runs_up_to(log, index) - 1].first;
}

uint64_t raft_log_run_last(const struct raft_log *log, uint64_t index)
{
	CHECK(index >= log->base_index && index <= log->last_index);
	if (index == log->base_index)
		return index;
	uint32_t next = runs_up_to(log, index);
	return next == log->run_count ? log->last_index : raft_log_runs(log)[next].first - 1;
}

uint64_t raft_log_floor(const struct raft_log *log, uint64_t index, uint64_t term)
{
	if (index > log->last_index)
		index = log->last_index;
	for (uint32_t n = runs_up_to(log, index); n > 0; n--) {
		const struct ikada_run *run = &raft_log_runs(log)[n - 1];
		if (run->term <= term)
			return index;
		index = run->first - 1;
	}
	return log->base_index;
}

bool raft_log_has_room(const struct raft_log *log, uint64_t first, uint64_t term)
{
	uint32_t kept = first > 0 ? runs_up_to(log, first - 1) : 0;
	return kept < log->run_limit || (kept > 0 && raft_log_runs(log)[kept - 1].term == term);
}

void raft_log_cut(struct raft_log *log, uint64_t first)
{
	CHECK_OP(first, >, log->base_index);
	if (first > log->last_index)
		return;
	log->last_index = first - 1;
	log->run_count = runs_up_to(log, first - 1);
	if (log->durable_index > log->last_index)
		log->durable_index = log->last_index;
	while (log->tag_count > 0 && raft_log_tag(log, log->tag_count - 1)->first > log->last_index)
		log->tag_count--;
}

static void drop_tags(struct raft_log *log, uint32_t count)
{
	log->tag_start = (log->tag_start + count) % LOG_TAGS;
	log->tag_count -= count;
}

void raft_log_compact(struct raft_log *log, uint64_t index)
{
	CHECK(index > log->base_index && index <= log->last_index);
	struct ikada_run *runs = raft_log_runs(log);
	uint32_t gone = runs_up_to(log, index) - 1; /* Runs before the one that holds it, ... */
	log->base_term = runs[gone].term;
	log->base_index = index;
	if (gone + 1 < log->run_count ? runs[gone + 1].first == index + 1 : log->last_index == index)
		gone++; /* ... and this, if it ends there. */
	log->run_count -= gone;
	memmove(runs, runs + gone, log->run_count * sizeof *runs);
	if (log->run_count > 0)
		runs[0].first = index + 1;
	uint32_t done = 0;
	while (done < log->tag_count &&
	       (done + 1 < log->tag_count ? raft_log_tag(log, done + 1)->first <= index + 1 : log->last_index == index))
		done++;
	drop_tags(log, done);
	if (log->durable_index < index)
		log->durable_index = index;
	if (log->tag_count > 0 && raft_log_tag(log, 0)->first <= index)
		raft_log_tag(log, 0)->first = index + 1;
}

static void join_tags(struct raft_log *log)
{
	for (uint32_t i = 0; i < LOG_TAGS / 2; i++)
		*raft_log_tag(log, i) =
			(struct log_tag){raft_log_tag(log, 2 * i)->first, raft_log_tag(log, 2 * i + 1)->ticket};
	log->tag_count = LOG_TAGS / 2;
}

void raft_log_append(struct raft_log *log, uint64_t last, uint64_t term, uint64_t ticket)
{
	uint64_t first = log->last_index + 1;
	CHECK_OP(last, >=, first);
	CHECK_OP(term, >=, raft_log_last_term(log));
	struct ikada_run *runs = raft_log_runs(log);
	if (log->run_count == 0 || runs[log->run_count - 1].term != term) {
		CHECK_OP(log->run_count, <, log->run_limit);
		runs[log->run_count++] = (struct ikada_run){.first = first, .term = term};
	}
	log->last_index = last;
	if (log->tag_count > 0) {
		const struct log_tag *newest = raft_log_tag(log, log->tag_count - 1);
		CHECK_OP(newest->ticket, <=, ticket);
		if (newest->ticket == ticket)
			return;
	}
	if (log->tag_count == LOG_TAGS)
		join_tags(log);
	*raft_log_tag(log, log->tag_count++) = (struct log_tag){first, ticket};
}

void raft_log_durable(struct raft_log *log, uint64_t ticket)
{
	uint32_t done = 0;
	while (done < log->tag_count && raft_log_tag(log, done)->ticket <= ticket)
		done++;
	if (done == 0)
		return;
	log->durable_index = done == log->tag_count ? log->last_index : raft_log_tag(log, done)->first - 1;
	drop_tags(log, done);
}
