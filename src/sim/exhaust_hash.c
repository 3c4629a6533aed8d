/*
 * How a state is known again. The three nodes are alike but for their names, so a state is the same as one in which
 * they have other names: of the hashes under the six namings the smallest counts. Each node and each message is hashed
 * once, when it is made, under all namings; a state's hash is made of sums, for messages on a link have no order.
 */
#include "sim/exhaust_internal.h"

#include "base/check.h"
#include "raft/raft_canon.h"

#include <string.h>

static const uint8_t namings[X_NAMINGS][X_NODES + 1] = {
	{0, 1, 2, 3}, {0, 1, 3, 2}, {0, 2, 1, 3}, {0, 2, 3, 1}, {0, 3, 1, 2}, {0, 3, 2, 1},
};

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	return h ^ h >> 32;
}

static uint64_t hash_bytes(const uint8_t *bytes, size_t size, uint64_t seed)
{
	uint64_t h = seed ^ size * 0x9fb21c651e98df25u;
	for (; size > 0; bytes += 8, size = size > 8 ? size - 8 : 0) {
		uint64_t word = 0;
		memcpy(&word, bytes, size < 8 ? size : 8);
		h = (h ^ mix(word + h)) * 0x9e3779b97f4a7c15u;
	}
	return mix(h);
}

static size_t put_packet(const struct xpacket *packet, const uint8_t *names, uint8_t *bytes)
{
	struct xpacket renamed = *packet;
	renamed.from = names[packet->from];
	renamed.to = names[packet->to];
	memcpy(bytes, &renamed, sizeof renamed);
	return sizeof renamed;
}

void x_hash_packet(const struct xpacket *packet, uint64_t hash[X_NAMINGS])
{
	uint8_t bytes[sizeof *packet];
	for (uint32_t i = 0; i < X_NAMINGS; i++)
		hash[i] = hash_bytes(bytes, put_packet(packet, namings[i], bytes), 0x1d);
}

/* The core, then the disk, what it has not completed, and what waits for that. */
static size_t put_node(const struct xnode *node, const uint8_t *names, uint32_t lost, uint8_t *bytes)
{
	size_t n = raft_canon(node->raft, names, lost << 1, bytes);
	struct ximage image = node->image;
	image.vote = names[image.vote];
	memcpy(bytes + n, &image, sizeof image);
	n += sizeof image;
	bytes[n++] = (uint8_t)node->write_count;
	for (uint32_t i = 0; i < node->write_count; i++) {
		const struct xwrite *w = &node->writes[i];
		bytes[n++] = (uint8_t)(w->ticket - node->durable);
		bytes[n++] = w->hard;
		bytes[n++] = w->term;
		bytes[n++] = names[w->vote];
		bytes[n++] = w->first;
		bytes[n++] = w->last;
		memcpy(bytes + n, w->terms, sizeof w->terms);
		n += sizeof w->terms;
	}
	for (uint32_t i = 0; i < node->outbox_count; i++) {
		bytes[n++] = (uint8_t)(node->outbox[i].after - node->durable);
		n += put_packet(&node->outbox[i].packet, names, bytes + n);
	}
	return n;
}

const uint64_t *x_hash_node(struct xnode *node, uint32_t lost)
{
	uint8_t bytes[1024];
	for (uint32_t i = 0; !node->hashed[lost] && i < X_NAMINGS; i++)
		node->hash[lost][i] = hash_bytes(bytes, put_node(node, namings[i], lost, bytes), 0x2e);
	node->hashed[lost] = true;
	return node->hash[lost];
}

/* A candidate that asks nobody, and will not be answered. */
static bool hopeless(const struct xstate *x, const struct xnode *node)
{
	uint64_t self = node->status.self;
	bool hopes = node->status.role != IKADA_CANDIDATE || x->beats > 0 || node->write_count > 0;
	for (uint32_t i = 0; i < X_NODES; i++) {
		const struct xlink *out = &x->links[self - 1][i];
		const struct xlink *in = &x->links[i][self - 1];
		for (uint32_t at = 0; at < out->count; at++)
			hopes |= out->packets[at].kind == IKADA_VOTE && out->packets[at].term == node->status.term;
		for (uint32_t at = 0; at < in->count; at++)
			hopes |= in->packets[at].kind == IKADA_VOTE_REPLY;
	}
	return !hopes;
}

/*
 * The nodes, as a set, that are lost to this one: to a leader those that have durably gone to a later term, to a
 * candidate without hope all.
 */
static uint32_t lost_to(const struct xstate *x, const struct xnode *node, bool plain)
{
	uint32_t later = 0;
	if (plain)
		return 0;
	if (hopeless(x, node))
		return (1 << X_NODES) - 1;
	for (uint32_t i = 0; node->status.role == IKADA_LEADER && i < X_NODES; i++)
		later |= (uint32_t)(x->nodes[i]->image.term > node->status.term) << i;
	return later;
}

static uint64_t hash_past(const struct xstate *x, const uint8_t *names)
{
	uint8_t bytes[64];
	size_t n = 0;
	bytes[n++] = x->timeouts;
	bytes[n++] = x->restarts;
	bytes[n++] = x->beats;
	for (uint32_t term = 0; term < sizeof x->leader_of; term++)
		bytes[n++] = names[x->leader_of[term]];
	memcpy(bytes + n, x->committed, sizeof x->committed);
	n += sizeof x->committed;
	memcpy(bytes + n, x->committed_in, sizeof x->committed_in);
	n += sizeof x->committed_in;
	return hash_bytes(bytes, n, 0x3f);
}

uint64_t x_hash(const struct xstate *x, bool plain)
{
	uint64_t sums[X_NAMINGS];
	uint64_t least = UINT64_MAX;
	for (uint32_t i = 0; i < X_NAMINGS; i++)
		sums[i] = hash_past(x, namings[i]);
	for (uint32_t node = 0; node < X_NODES; node++) {
		const uint64_t *hash = x_hash_node(x->nodes[node], lost_to(x, x->nodes[node], plain));
		for (uint32_t i = 0; i < X_NAMINGS; i++)
			sums[i] += hash[i];
	}
	for (uint32_t from = 0; from < X_NODES; from++)
		for (uint32_t to = 0; to < X_NODES; to++) {
			const struct xlink *link = &x->links[from][to];
			for (uint32_t at = 0; at < link->count; at++)
				for (uint32_t i = 0; i < X_NAMINGS; i++)
					sums[i] += link->hash[at][i];
		}
	for (uint32_t i = 0; i < X_NAMINGS; i++)
		if (mix(sums[i]) < least)
			least = mix(sums[i]);
	return least == 0 ? 1 : least;
}

uint64_t x_hash_view(const struct xstate *x)
{
	struct xstate past = *x;
	past.timeouts = past.restarts = past.beats = 0;
	memset(past.committed, 0, sizeof past.committed);
	memset(past.committed_in, 0, sizeof past.committed_in);
	uint64_t least = UINT64_MAX;
	for (uint32_t i = 0; i < X_NAMINGS; i++) {
		uint64_t sum = hash_past(&past, namings[i]);
		for (uint32_t node = 0; node < X_NODES; node++) {
			const struct ximage *image = &x->nodes[node]->image;
			sum += hash_bytes(image->terms, sizeof image->terms, namings[i][node + 1]);
		}
		if (mix(sum) < least)
			least = mix(sum);
	}
	return least;
}

/* ---- The set of those seen ---- */

static bool put(uint64_t *slots, uint64_t room, uint64_t hash)
{
	uint64_t at = hash & (room - 1);
	while (slots[at] != 0 && slots[at] != hash)
		at = (at + 1) & (room - 1);
	if (slots[at] == hash)
		return false;
	slots[at] = hash;
	return true;
}

static bool grow(struct xsearch *s)
{
	struct xset *set = &s->set;
	uint64_t room = set->room == 0 ? 1 << 20 : 2 * set->room;
	if (room > set->room_max)
		return false;
	uint64_t *slots = mem_zero(&s->mem, room * sizeof *slots);
	for (uint64_t i = 0; i < set->room; i++)
		if (set->slots[i] != 0)
			put(slots, room, set->slots[i]);
	mem_free(&s->mem, set->slots);
	set->slots = slots;
	set->room = room;
	return true;
}

bool x_set_add(struct xsearch *s, uint64_t hash, bool *full)
{
	struct xset *set = &s->set;
	if (set->used * 10 >= set->room * 7 && !grow(s) && set->used * 10 >= set->room * 9) {
		*full = true;
		return false;
	}
	if (!put(set->slots, set->room, hash))
		return false;
	set->used++;
	return true;
}
