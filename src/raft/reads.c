/*
 * Linearizable reads without the log: ReadIndex (dissertation 6.4).
 *
 * A read waits until an entry of the leader's term is committed; then a round starts, which notes the commit index; the
 * read is granted that index when a majority has echoed the round, or a later one, in this term. A round is asked only
 * after the reads it serves have come, and its number is never used again: an old echo proves nothing for a new read.
 * Reads that come while READ_ROUNDS rounds are under way wait together for the next.
 */
#include "raft/raft_internal.h"

void reads_add(struct ikada_raft *raft, uint64_t first_id, uint64_t count)
{
	struct reads *reads = &raft->reads;
	if (reads->round_count == 0 && reads->pending == 0)
		reads->first_id = first_id;
	reads->pending += count;
}

static bool start_round(struct ikada_raft *raft)
{
	struct reads *reads = &raft->reads;
	if (reads->pending == 0 || reads->round_count == READ_ROUNDS || raft->commit < raft->lead_index)
		return false;
	reads->rounds[(reads->start + reads->round_count++) % READ_ROUNDS] =
		(struct read_round){.count = reads->pending, .index = raft->commit, .round = ++raft->round};
	reads->pending = 0;
	flow_owe(raft);
	return true;
}

/* The newest round that a majority has echoed. */
static uint64_t confirmed_round(const struct ikada_raft *raft)
{
	uint64_t rounds[IKADA_MEMBERS_MAX];
	for (uint32_t slot = 0; slot < raft->member_count; slot++)
		rounds[slot] = slot == raft->self ? raft->round : raft->peers[slot].acked_round;
	return members_value(raft, rounds);
}

static void grant(struct ikada_raft *raft, struct ikada_effects *effects)
{
	struct reads *reads = &raft->reads;
	uint64_t confirmed = confirmed_round(raft);
	while (reads->round_count > 0 && reads->rounds[reads->start].round <= confirmed) {
		const struct read_round *round = &reads->rounds[reads->start];
		if (effects->granted.count == 0)
			effects->granted.first_id = reads->first_id;
		effects->granted.count += round->count;
		effects->granted_index = round->index;
		reads->first_id += round->count;
		reads->start = (reads->start + 1) % READ_ROUNDS;
		reads->round_count--;
	}
}

void reads_settle(struct ikada_raft *raft, struct ikada_effects *effects)
{
	if (raft->reads.round_count > 0)
		grant(raft, effects);
	if (start_round(raft) && members_alone(raft))
		grant(raft, effects);
}

void reads_refuse(struct ikada_raft *raft, struct ikada_effects *effects)
{
	struct reads *reads = &raft->reads;
	uint64_t count = reads->pending;
	for (uint32_t i = 0; i < reads->round_count; i++)
		count += reads->rounds[(reads->start + i) % READ_ROUNDS].count;
	effects->refused_reads = (struct ikada_id_range){count == 0 ? 0 : reads->first_id, count};
	*reads = (struct reads){0};
}
