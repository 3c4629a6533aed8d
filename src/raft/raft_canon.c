#include "raft/raft_canon.h"

#include "base/check.h"
#include "raft/raft_internal.h"

struct canon {
	uint8_t *bytes;
	size_t size;
};

static void put(struct canon *canon, uint64_t value)
{
	CHECK_OP(value, <, 256);
	CHECK_OP(canon->size, <, RAFT_CANON_BYTES);
	canon->bytes[canon->size++] = (uint8_t)value;
}

static void put_id(struct canon *canon, const uint8_t *names, uint64_t id)
{
	put(canon, id == 0 ? 0 : names[id]);
}

static uint64_t waits(const struct ikada_raft *raft, uint64_t ticket)
{
	return ticket > raft->durable_ticket ? ticket - raft->durable_ticket : 0;
}

static uint32_t slot_named(const struct ikada_raft *raft, const uint8_t *names, uint32_t name)
{
	uint32_t slot = 0;
	while (names[raft->members[slot].id] != name)
		slot++;
	return slot;
}

static void put_log(struct canon *canon, const struct ikada_raft *raft)
{
	const struct raft_log *log = &raft->log;
	CHECK_OP(log->base_index, ==, 0);
	put(canon, log->last_index);
	for (uint64_t i = 1; i <= log->last_index; i++)
		put(canon, raft_log_term(log, i));
	put(canon, log->durable_index);
	put(canon, log->tag_count);
	for (uint32_t i = 0; i < log->tag_count; i++) {
		put(canon, raft_log_tag(log, i)->first);
		put(canon, waits(raft, raft_log_tag(log, i)->ticket));
	}
}

static void put_peer(struct canon *canon, const struct ikada_raft *raft, uint32_t slot)
{
	const struct peer *peer = &raft->peers[slot];
	const struct window_slot *window = raft_window(raft, slot);
	put(canon, peer->match_index);
	put(canon, peer->next_index);
	put(canon, peer->stuck_next);
	put(canon, peer->state);
	put(canon, (uint64_t)peer->waiting | (uint64_t)peer->owed << 1);
	put(canon, peer->window_count);
	for (uint32_t i = 0; i < peer->window_count; i++)
		put(canon, window[(peer->window_start + i) % raft->limits.inflight_messages].last_index);
}

size_t raft_canon(const struct ikada_raft *raft, const uint8_t *names, uint32_t lost, uint8_t bytes[RAFT_CANON_BYTES])
{
	struct canon canon = {.bytes = bytes};
	enum ikada_role role = raft->role;
	if (role == IKADA_CANDIDATE && lost >> 1 == (1u << raft->member_count) - 1)
		role = IKADA_FOLLOWER;
	put_id(&canon, names, raft->settings.self);
	put(&canon, role);
	put(&canon, raft->term);
	put_id(&canon, names, (lost & 1) != 0 ? 0 : raft->vote);
	put_id(&canon, names, raft->leader);
	put(&canon, (uint64_t)raft->leader_lost | (uint64_t)raft->halted << 1);
	put(&canon, raft->commit);
	put(&canon, raft->verified_index);
	put(&canon, waits(raft, raft->ticket));
	put(&canon, waits(raft, raft->hard_ticket));
	put_log(&canon, raft);
	if (role == IKADA_LEADER)
		put(&canon, raft->lead_index);
	for (uint32_t name = 1; role != IKADA_FOLLOWER && name <= raft->member_count; name++) {
		uint32_t slot = slot_named(raft, names, name);
		if (role != IKADA_LEADER)
			put(&canon, (raft->votes >> slot & 1) | (raft->refused >> slot & 1) << 1);
		else if (slot != raft->self && (lost >> raft->members[slot].id & 1) != 0)
			put(&canon, raft->peers[slot].match_index);
		else if (slot != raft->self)
			put_peer(&canon, raft, slot);
	}
	return canon.size;
}
