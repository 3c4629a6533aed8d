/*
 * What an event makes of a node, found out once by a real core and then kept: a move for each way in which it can go.
 * Nodes and messages are numbered by the hash of their canonical bytes, so this relies on what the whole search relies
 * on: that nodes with the same bytes behave alike.
 */
#include "sim/exhaust_internal.h"

#include "base/check.h"

#include <string.h>

static struct xbrief brief_of(const struct xsearch *s)
{
	const struct xnode *node = &s->mine;
	const struct ikada_raft_status *is = &s->status;
	struct xbrief brief = {
		.self = (uint8_t)is->self,
		.role = (uint8_t)is->role,
		.term = (uint8_t)is->term,
		.last = (uint8_t)is->last_index,
		.image_term = node->image.term,
		.image_vote = node->image.vote,
		.write_count = (uint8_t)node->write_count,
	};
	for (uint32_t i = 0; i < is->peer_count; i++)
		brief.match[is->peers[i].id - 1] = (uint8_t)is->peers[i].match_index;
	for (uint32_t i = 1; i <= X_ENTRIES_MAX; i++)
		brief.terms[i] = (uint8_t)ikada_raft_term_at(node->raft, i);
	x_hash_node(node, 0, brief.hash);
	return brief;
}

uint32_t x_node_number(struct xsearch *s)
{
	struct xbrief brief = brief_of(s);
	struct xindex_slot *slot = x_index(s, &s->node_index, brief.hash[0]);
	if (slot->count > 0)
		return slot->first;
	if (s->node_count == s->node_room) {
		s->node_room = s->node_room == 0 ? 1024 : 2 * s->node_room;
		s->nodes = mem_resize(&s->mem, s->nodes, s->node_room * sizeof *s->nodes);
		s->briefs = mem_resize(&s->mem, s->briefs, s->node_room * sizeof *s->briefs);
		s->veiled_hashes = mem_resize(&s->mem, s->veiled_hashes, s->node_room * sizeof *s->veiled_hashes);
	}
	uint32_t number = s->node_count++;
	*slot = (struct xindex_slot){slot->key, number, 1};
	s->nodes[number] = s->mine;
	s->nodes[number].raft = memcpy(mem_alloc(&s->mem, s->raft_bytes), s->mine.raft, s->raft_bytes);
	s->briefs[number] = brief;
	s->veiled_hashes[number] = NULL;
	return number;
}

uint16_t x_packet_number(struct xsearch *s, const struct xpacket *packet)
{
	uint64_t hash[X_NAMINGS];
	x_hash_packet(packet, hash);
	struct xindex_slot *slot = x_index(s, &s->packet_index, hash[0]);
	if (slot->count > 0)
		return (uint16_t)slot->first;
	CHECK_OP(s->packet_count, <, (uint32_t)X_PACKETS_MAX);
	uint32_t number = s->packet_count++;
	*slot = (struct xindex_slot){slot->key, number, 1};
	s->packets[number] = *packet;
	memcpy(s->packet_hashes[number], hash, sizeof hash);
	return (uint16_t)number;
}

struct xfact *x_new_fact(struct xsearch *s)
{
	if (s->fact_count == s->fact_room) {
		s->fact_room = s->fact_room == 0 ? 1024 : 2 * s->fact_room;
		s->facts = mem_resize(&s->mem, s->facts, s->fact_room * sizeof *s->facts);
	}
	s->move.fact_count++;
	return &s->facts[s->fact_count++];
}

static void load(struct xsearch *s, uint32_t number)
{
	struct ikada_raft *raft = s->mine.raft;
	s->mine = s->nodes[number];
	memcpy((void *)raft, s->mine.raft, s->raft_bytes);
	s->mine.raft = raft;
	ikada_raft_status(raft, &s->status);
}

/*
 * Nothing has changed, and nothing is sent. Or all that came of it is a term that could as well be learned later: a
 * vote was asked for in vain.
 */
static bool is_idle(const struct xsearch *s, uint32_t before, const struct xchoice *c)
{
	const struct xpacket *p = &s->packets[c->packet];
	bool refused = c->act == X_DELIVER && p->kind == IKADA_VOTE && s->mine.image.vote != p->from;
	return (refused && s->bounds.disks != EXHAUST_ALL_LATE) || (s->move.sent_count == 0 && s->move.node == before);
}

static void find_out(struct xsearch *s, uint32_t number, const struct xchoice *c)
{
	struct xdigits digits = {.begun = false};
	struct xdigits *outer = s->digits;
	s->digits = &digits;
	while (x_count_on(&digits)) {
		digits.at = 0;
		load(s, number);
		s->move = (struct xmove){.first_fact = s->fact_count};
		s->report_count = 0;
		x_node_act(s, c);
		s->move.node = x_node_number(s);
		s->move.idle = is_idle(s, number, c);
		if (s->move_count == s->move_room) {
			s->move_room = s->move_room == 0 ? 1024 : 2 * s->move_room;
			s->moves = mem_resize(&s->mem, s->moves, s->move_room * sizeof *s->moves);
		}
		s->moves[s->move_count++] = s->move;
	}
	s->digits = outer;
}

uint32_t x_moves(struct xsearch *s, uint32_t node, const struct xchoice *c, uint32_t *count)
{
	uint64_t event = c->act == X_DELIVER ? c->packet : (uint64_t)c->act << 16 | (uint64_t)c->term << 8 | c->from;
	uint64_t key = (uint64_t)node << 24 | event | (uint64_t)1 << 63;
	struct xindex_slot *slot = x_index(s, &s->move_index, key);
	if (slot->count == 0) {
		uint32_t first = s->move_count;
		find_out(s, node, c);
		*slot = (struct xindex_slot){key, first, s->move_count - first};
	}
	*count = slot->count;
	return slot->first;
}
