/* Replication without crashes (paper, 5.3): who is cut off, what is agreed meanwhile, and what it costs. */
#include "sim/labs_internal.h"

#include <inttypes.h>

/* Proposes at a leader that may be none any more, `count` times. */
static void propose_at(struct lab *lab, uint32_t node, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		lab_propose(lab, node, lab_value(lab));
}

static uint64_t bytes_sent(const struct lab *lab)
{
	return sim_counters(lab->sim)->bytes_delivered;
}

static uint64_t requests_sent(const struct lab *lab)
{
	const struct rules_counters *c = rules_counters(lab->rules);
	return c->sent[IKADA_PREVOTE] + c->sent[IKADA_VOTE] + c->sent[IKADA_APPEND];
}

/* Values are applied one after another, and none before it was proposed. */
void lab_basic_agree(struct lab *lab)
{
	uint64_t last = 0;
	lab_leader(lab);
	for (uint32_t i = 0; i < 3 && lab_ok(lab); i++) {
		if (lab_appliers(lab, lab->values + 1) > 0)
			lab_fail(lab, "a value was applied before it was proposed");
		uint64_t index = lab_one(lab, lab->count);
		if (last != 0 && index != last + 1)
			lab_fail(lab, "a value was applied at index %" PRIu64 ", the one before it at %" PRIu64, index,
				 last);
		last = index;
	}
}

/* Each entry's bytes go to each follower once. */
void lab_rpc_bytes(struct lab *lab)
{
	enum { ENTRIES = 10, ENTRY_BYTES = 5000, OTHER_BYTES = 50000 };
	lab_one(lab, lab->count);
	lab->entry_bytes = ENTRY_BYTES;
	uint64_t before = bytes_sent(lab);
	for (uint32_t i = 0; i < ENTRIES; i++)
		lab_one(lab, lab->count);
	uint64_t sent = bytes_sent(lab) - before;
	if (sent > (lab->count - 1) * ENTRIES * ENTRY_BYTES + OTHER_BYTES)
		lab_fail(lab, "%" PRIu64 " bytes were sent for %d entries of %d", sent, ENTRIES, ENTRY_BYTES);
}

/* Nothing that was proposed at this node since then is applied anywhere. */
static void nothing_applied(struct lab *lab, uint64_t since)
{
	for (uint64_t value = since + 1; value <= lab->values; value++)
		if (lab_list_get(&lab->where, value) != 0)
			lab_fail(lab, "value %" PRIu64 " was applied without a majority", value);
}

/* One of three may be missing, two may not. */
static void lose_two(struct lab *lab, bool leaders)
{
	lab_one(lab, 3);
	uint32_t leader = lab_leader(lab);
	lab_cut(lab, leaders ? leader : lab_after(lab, leader, 1));
	lab_one(lab, 2);
	lab_run(lab, LAB_ELECTION_NS);
	lab_one(lab, 2);
	leader = lab_leader(lab);
	uint32_t other = lab_after(lab, leader, lab->nodes[lab_after(lab, leader, 1)].cut ? 2 : 1);
	lab_cut(lab, leaders ? leader : other);
	uint64_t before = lab->values;
	for (uint32_t i = 0; i < lab->count; i++)
		propose_at(lab, i, 1);
	lab_run(lab, 4 * LAB_ELECTION_NS);
	nothing_applied(lab, before);
}

void lab_follower_failure(struct lab *lab)
{
	lose_two(lab, false);
}

void lab_leader_failure(struct lab *lab)
{
	lose_two(lab, true);
}

/* A follower that was away catches up. */
void lab_fail_agree(struct lab *lab)
{
	lab_one(lab, 3);
	lab_cut(lab, lab_after(lab, lab_leader(lab), 1));
	for (uint32_t i = 0; i < 4; i++) {
		lab_one(lab, 2);
		if (i == 1)
			lab_run(lab, LAB_ELECTION_NS);
	}
	lab_join_all(lab);
	lab_one(lab, 3);
	lab_run(lab, LAB_ELECTION_NS);
	lab_one(lab, 3);
}

/* Without a majority nothing is committed; with one it goes on. */
void lab_fail_no_agree(struct lab *lab)
{
	lab_one(lab, 5);
	uint32_t leader = lab_leader(lab);
	for (uint32_t i = 1; i <= 3; i++)
		lab_cut(lab, lab_after(lab, leader, i));
	uint64_t before = lab->values;
	propose_at(lab, leader, 1);
	lab_run(lab, 2 * LAB_ELECTION_NS);
	nothing_applied(lab, before);
	lab_join_all(lab);
	lab_leader(lab);
	lab_one(lab, 5);
	lab_one(lab, 5);
}

/* What is proposed at once in one term is applied, each at an index of its own. */
void lab_concurrent_starts(struct lab *lab)
{
	enum { AT_ONCE = 5, TRIES = 5 };
	lab_one(lab, lab->count);
	for (uint32_t try = 0; try < TRIES && lab_ok(lab); try++) {
		const struct lab_proposal *proposals[AT_ONCE];
		uint32_t leader = lab_leader(lab);
		uint64_t term = lab_term(lab);
		for (uint32_t i = 0; i < AT_ONCE; i++)
			proposals[i] = lab_propose(lab, leader, lab_value(lab));
		lab_run(lab, LAB_ELECTION_NS);
		if (lab_term(lab) != term)
			continue;
		for (uint32_t i = 0; i < AT_ONCE; i++) {
			uint64_t value = proposals[i]->value;
			uint64_t index = lab_list_get(&lab->where, value);
			if (lab_appliers(lab, value) != lab->count)
				lab_fail(lab, "value %" PRIu64 " was not applied by all", value);
			if (!proposals[i]->ended || proposals[i]->outcome != IKADA_DONE)
				lab_fail(lab, "value %" PRIu64 " was not acknowledged", value);
			if (lab_list_get(&lab->agreed, index) != value)
				lab_fail(lab, "index %" PRIu64 " was given to two values", index);
		}
		return;
	}
	lab_fail(lab, "the term kept changing");
}

/* What a leader took while it was cut off vanishes, and it and its successor both find back. */
void lab_rejoin(struct lab *lab)
{
	lab_one(lab, 3);
	uint32_t first = lab_leader(lab);
	lab_cut(lab, first);
	uint64_t before = lab->values;
	propose_at(lab, first, 3);
	uint64_t stale = lab->values;
	lab_one(lab, 2);
	uint32_t second = lab_leader(lab);
	lab_cut(lab, second);
	lab_join(lab, first);
	lab_one(lab, 2);
	lab_join(lab, second);
	lab_one(lab, 3);
	for (uint64_t value = before + 1; value <= stale; value++)
		if (lab_list_get(&lab->where, value) != 0)
			lab_fail(lab, "value %" PRIu64 ", of a leader without a majority, was applied", value);
}

/* Two parts with long stale logs: the leader finds in few rounds where they agree. */
void lab_backup(struct lab *lab)
{
	enum { STALE = 50 };
	lab_one(lab, 5);
	uint32_t first = lab_leader(lab);
	for (uint32_t i = 2; i <= 4; i++)
		lab_cut(lab, lab_after(lab, first, i));
	propose_at(lab, first, STALE);
	lab_run(lab, LAB_ELECTION_NS / 4);
	lab_cut(lab, first);
	lab_cut(lab, lab_after(lab, first, 1));
	for (uint32_t i = 2; i <= 4; i++)
		lab_join(lab, lab_after(lab, first, i));
	lab_agree(lab, STALE, 3);

	uint32_t second = lab_leader(lab);
	uint32_t other = lab_after(lab, first, 2);
	if (other == second)
		other = lab_after(lab, first, 3);
	lab_cut(lab, other);
	propose_at(lab, second, STALE);
	lab_run(lab, LAB_ELECTION_NS / 4);
	for (uint32_t i = 0; i < lab->count; i++)
		lab_cut(lab, i);
	lab_join(lab, first);
	lab_join(lab, lab_after(lab, first, 1));
	lab_join(lab, other);
	lab_agree(lab, STALE, 3);
	lab_join_all(lab);
	/* Connections that broke are made anew; then a few rounds must do. */
	uint64_t start = sim_now(lab->sim);
	lab_one(lab, 5);
	if (sim_now(lab->sim) - start > 8 * LAB_S)
		lab_fail(lab, "it took %" PRIu64 " ms until all agreed again", (sim_now(lab->sim) - start) / LAB_MS);
}

/* What an election, ten entries and a second of idleness cost in requests. */
void lab_count(struct lab *lab)
{
	enum { ELECTION_MAX = 30, ENTRIES = 10, IDLE_MAX = 60 };
	lab_leader(lab);
	uint64_t elected = requests_sent(lab);
	if (elected == 0 || elected > ELECTION_MAX)
		lab_fail(lab, "%" PRIu64 " requests were sent to elect the first leader", elected);
	lab_one(lab, 3);
	uint32_t leader = lab_leader(lab);
	uint64_t before = requests_sent(lab);
	uint64_t first = lab->values + 1;
	for (uint32_t i = 0; i < ENTRIES; i++) {
		propose_at(lab, leader, 1);
		lab_run(lab, LAB_MS / 20);
	}
	for (uint32_t i = 0; i < 1000 && lab_appliers(lab, first + ENTRIES - 1) < lab->count; i++)
		lab_run(lab, LAB_MS);
	uint64_t sent = requests_sent(lab) - before;
	if (lab_appliers(lab, first + ENTRIES - 1) < lab->count)
		lab_fail(lab, "%d entries were not applied by all", ENTRIES);
	if (sent > (ENTRIES + 1 + 3) * 3)
		lab_fail(lab, "%" PRIu64 " requests were sent for %d entries", sent, ENTRIES);
	lab_run(lab, LAB_S);
	before = requests_sent(lab);
	lab_run(lab, LAB_S);
	if (requests_sent(lab) - before > IDLE_MAX)
		lab_fail(lab, "%" PRIu64 " requests were sent in an idle second", requests_sent(lab) - before);
}
