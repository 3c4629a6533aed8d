/*
 * How a state is known again. The three nodes are alike but for their names, so a state is the same as one in which
 * they have other names: of the hashes under the six namings the smallest counts. (Nothing here depends on the order of
 * ids: no connection is lost, so no rank is asked; timers fire whenever they may; peers are served independently.) Each
 * node and each message is hashed once, when it gets its number, under all namings; a state's hash is made of sums, for
 * messages on a link have no order.
 *
 * Two states are also the same when they differ only in what no later event asks, and no rule:
 * - A leader's pace with those who have durably gone to a later term; whether a candidate that nobody will answer is
 *   one.
 * - Whom a node voted for, when nobody can ask for its vote in that term any more.
 * - Who led a term that nobody can come to lead any more; and of the term in which an entry was committed, all but
 *   which of the terms that are still open lie above it. Only candidates come to lead, and only a timer makes one, in a
 *   term above the one its node is durably in, which never falls: so a term once closed stays closed. Where the core
 *   did otherwise exhaust_rules.c would say so.
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
static size_t put_node(const struct xnode *node, const uint8_t *names, uint32_t veil, uint8_t *bytes)
{
	uint32_t ids = (veil & X_ALL_LOST) << 1 | (uint32_t)((veil & X_VOTE) != 0);
	size_t n = raft_canon(node->raft, names, ids, bytes);
	struct ximage image = node->image;
	image.vote = (veil & X_VOTE) != 0 ? 0 : names[image.vote];
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

void x_hash_node(const struct xnode *node, uint32_t veil, uint64_t hash[X_NAMINGS])
{
	uint8_t bytes[1024];
	for (uint32_t i = 0; i < X_NAMINGS; i++)
		hash[i] = hash_bytes(bytes, put_node(node, namings[i], veil, bytes), 0x2e);
}

/* The same, kept. */
static const uint64_t *hash_veiled(struct xsearch *s, uint32_t number, uint32_t veil)
{
	if (veil == 0)
		return s->briefs[number].hash;
	if (s->veiled_hashes[number] == NULL) {
		s->veiled_hashes[number] = mem_alloc(&s->mem, X_VEILS * sizeof *s->veiled_hashes[number]);
		for (uint32_t i = 0; i < X_VEILS; i++)
			x_hash_node(&s->nodes[number], i, s->veiled_hashes[number][i]);
	}
	return s->veiled_hashes[number][veil];
}

/* A candidate that asks nobody, and will not be answered. */
static bool hopeless(const struct xsearch *s, const struct xstate *x, const struct xbrief *node)
{
	if (node->role != IKADA_CANDIDATE || x->beats > 0 || node->write_count > 0)
		return false;
	for (uint32_t i = 0; i < X_NODES; i++) {
		const struct xlink *out = &x->links[node->self - 1][i];
		const struct xlink *in = &x->links[i][node->self - 1];
		for (uint32_t at = 0; at < out->count; at++)
			if (s->packets[out->packets[at]].kind == IKADA_VOTE &&
			    s->packets[out->packets[at]].term == node->term)
				return false;
		for (uint32_t at = 0; at < in->count; at++)
			if (s->packets[in->packets[at]].kind == IKADA_VOTE_REPLY)
				return false;
	}
	return true;
}

/*
 * The nodes, as a set, that are lost to this one: to a leader those that have durably gone to a later term, to a
 * candidate without hope all.
 */
static uint32_t lost_to(const struct xsearch *s, const struct xstate *x, const struct xbrief *node)
{
	uint32_t later = 0;
	if (hopeless(s, x, node))
		return X_ALL_LOST;
	for (uint32_t i = 0; node->role == IKADA_LEADER && i < X_NODES; i++)
		later |= (uint32_t)(s->briefs[x->nodes[i]].image_term > node->term) << i;
	return later;
}

/*
 * Whether somebody may ask for this node's vote in its present term: somebody has, or asks again, or when its disk lets
 * it, or may yet come to that term by its timer. Otherwise whom it voted for makes no difference.
 */
static bool vote_counts(const struct xsearch *s, const struct xstate *x, const struct xbrief *node)
{
	if (x->beats > 0 || node->image_term != node->term)
		return true;
	for (uint32_t i = 0; i < X_NODES; i++) {
		const struct xlink *in = &x->links[i][node->self - 1];
		const struct xbrief *other = &s->briefs[x->nodes[i]];
		bool asks = x->timeouts > 0 || (other->role == IKADA_CANDIDATE && other->term == node->term);
		if (asks && other->image_term < node->term)
			return true;
		for (uint32_t at = 0; at < in->count; at++)
			if (s->packets[in->packets[at]].kind == IKADA_VOTE &&
			    s->packets[in->packets[at]].term == node->term)
				return true;
	}
	return false;
}

static uint32_t veil_of(const struct xsearch *s, const struct xstate *x, const struct xbrief *node)
{
	if (s->bounds.plain)
		return 0;
	return lost_to(s, x, node) | (vote_counts(s, x, node) ? 0 : X_VOTE);
}

/* The terms, as a set, that somebody may yet come to lead: candidates are in them, or may come to them by a timer. */
static uint32_t open_terms(const struct xsearch *s, const struct xstate *x)
{
	uint32_t all = (2u << s->bounds.terms) - 1;
	uint32_t open = 0;
	if (s->bounds.plain || s->bounds.whole_past)
		return all;
	for (uint32_t i = 0; i < X_NODES; i++) {
		const struct xbrief *node = &s->briefs[x->nodes[i]];
		if (node->role == IKADA_CANDIDATE)
			open |= 1u << node->term;
		if (x->timeouts > 0)
			open |= all & ~((2u << node->image_term) - 1);
	}
	return open;
}

/*
 * What was, in one number, as far as a rule can still need it: who has led the open terms; what is committed; and of
 * the term in which it was, which open terms are above it, so that their leaders must have it.
 */
static uint64_t past_of(const struct xsearch *s, const struct xstate *x)
{
	uint32_t open = open_terms(s, x);
	uint64_t past = 0;
	for (uint32_t term = 1; term <= X_TERMS_MAX; term++)
		past = past << 2 | ((open >> term & 1) != 0 ? x->leader_of[term] : 0u);
	for (uint32_t i = 1; i <= X_ENTRIES_MAX; i++) {
		uint32_t above = x->committed[i] == 0 ? 0 : open >> (x->committed_in[i] + 1u);
		uint32_t least = above == 0 ? 0 : x->committed_in[i] + 1u + (uint32_t)__builtin_ctz(above);
		past = past << 6 | (uint64_t)x->committed[i] << 3 | least;
	}
	return past;
}

static const uint64_t *hash_past(struct xsearch *s, uint64_t past)
{
	struct xindex_slot *slot = x_index(s, &s->past_index, past | (uint64_t)1 << 63);
	if (slot->count > 0)
		return s->past_hashes[slot->first];
	if (s->past_count == s->past_room) {
		s->past_room = s->past_room == 0 ? 1024 : 2 * s->past_room;
		s->past_hashes = mem_resize(&s->mem, s->past_hashes, s->past_room * sizeof *s->past_hashes);
	}
	uint32_t number = s->past_count++;
	*slot = (struct xindex_slot){slot->key, number, 1};
	for (uint32_t i = 0; i < X_NAMINGS; i++) {
		uint64_t renamed = past;
		for (uint32_t at = 6 * X_ENTRIES_MAX; at < 6 * X_ENTRIES_MAX + 2 * X_TERMS_MAX; at += 2) {
			renamed &= ~((uint64_t)3 << at);
			renamed |= (uint64_t)namings[i][past >> at & 3] << at;
		}
		s->past_hashes[number][i] = mix(renamed ^ 0x3f3f3f3f3f3f3f3fu);
	}
	return s->past_hashes[number];
}

static void add(uint64_t sums[X_NAMINGS], const uint64_t hash[X_NAMINGS])
{
	for (uint32_t i = 0; i < X_NAMINGS; i++)
		sums[i] += hash[i];
}

/* Mixed again, for the least of six is a small one. */
static uint64_t least_of(const uint64_t sums[X_NAMINGS])
{
	uint64_t least = UINT64_MAX;
	for (uint32_t i = 0; i < X_NAMINGS; i++)
		if (mix(sums[i]) < least)
			least = mix(sums[i]);
	least = mix(~least);
	return least == 0 ? 1 : least;
}

uint64_t x_hash(struct xsearch *s, const struct xstate *x)
{
	uint64_t sums[X_NAMINGS];
	uint64_t left = mix((uint64_t)x->timeouts << 16 | (uint64_t)x->restarts << 8 | x->beats | (uint64_t)1 << 63);
	memcpy(sums, hash_past(s, past_of(s, x)), sizeof sums);
	for (uint32_t i = 0; i < X_NAMINGS; i++)
		sums[i] += left;
	for (uint32_t i = 0; i < X_NODES; i++)
		add(sums, hash_veiled(s, x->nodes[i], veil_of(s, x, &s->briefs[x->nodes[i]])));
	for (uint32_t from = 0; from < X_NODES; from++)
		for (uint32_t to = 0; to < X_NODES; to++)
			for (uint32_t at = 0; at < x->links[from][to].count; at++)
				add(sums, s->packet_hashes[x->links[from][to].packets[at]]);
	return least_of(sums);
}

uint64_t x_hash_view(const struct xsearch *s, const struct xstate *x)
{
	uint64_t sums[X_NAMINGS];
	for (uint32_t i = 0; i < X_NAMINGS; i++) {
		uint8_t leaders[sizeof x->leader_of] = {0};
		for (uint32_t term = 0; s->bounds.whole_past && term < sizeof leaders; term++)
			leaders[term] = namings[i][x->leader_of[term]];
		sums[i] = hash_bytes(leaders, sizeof leaders, 0x3f);
		for (uint32_t node = 0; node < X_NODES; node++) {
			const struct ximage *image = &s->nodes[x->nodes[node]].image;
			sums[i] += hash_bytes(image->terms, sizeof image->terms, namings[i][node + 1]);
		}
	}
	return least_of(sums);
}
