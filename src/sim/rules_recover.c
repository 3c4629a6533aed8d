/*
 * What must be left of a cluster that has lost its majority for ever, and with what the new one begins
 * (docs/membership.md, "What may be lost"). All of the log that it begins with is committed from then on. Of what the
 * old cluster had committed, it must have
 *
 *	what any survivor knows to be committed;
 *	what was acknowledged with the help of a survivor: whoever helped to commit in a term has an entry of that term,
 *	and a log that ends in a later term, or is longer in the same one, has all that is before it (paper, 5.4.3).
 */
#include "node/node_internal.h"
#include "sim/rules_internal.h"

#include <inttypes.h>

bool rules_promised(const struct rules *rules, uint32_t node)
{
	const struct watched *w = &rules->nodes[node];
	return w->acked > 0 || w->durable > 0;
}

void rules_survivor(struct rules *rules, uint32_t node, const struct ikada_recovery *found)
{
	const struct watched *w = &rules->nodes[node];
	uint64_t promised = w->acked > w->durable ? w->acked : w->durable;
	if (found->incarnation != w->incarnation)
		rules_broken(rules, "the disk of node %" PRIu32 " is that of another incarnation", node + 1);
	if (found->last_index < promised || found->last_term < rules_get(&w->terms, promised))
		rules_broken(rules,
			     "node %" PRIu32 " had acknowledged index %" PRIu64 " (durable %" PRIu64
			     ") of term %" PRIu64 ", and its disk ends at index %" PRIu64 " of term %" PRIu64,
			     node + 1, w->acked, w->durable, rules_get(&w->terms, promised), found->last_index,
			     found->last_term);
}

/* Entries that can be in the new cluster: whatever the lost ones do meanwhile is in later terms. */
static void keep_known(struct rules *rules, const struct rules *old, const struct ikada_recovery *found)
{
	for (uint64_t i = 0; i < old->entries_room && i <= found->last_index; i++)
		for (const struct known *known = old->entries[i]; known != NULL; known = known->next)
			if (known->term <= found->last_term)
				rules_add_known(rules, i, known);
}

/* A survivor knows this entry to be committed, or helped to. */
static bool must_be_there(const struct rules_survivors *all, uint64_t index, uint64_t in)
{
	for (uint32_t i = 0; i < all->count; i++) {
		const struct ikada_recovery *s = &all->found[all->numbers[i]];
		if (index <= s->commit || in < s->last_term || (in == s->last_term && index <= s->last_index))
			return true;
	}
	return false;
}

static uint64_t count_lost(struct rules *rules, const struct rules *old, const struct rules_survivors *all,
			   uint64_t last)
{
	uint64_t lost = 0;
	for (uint64_t i = 1; i <= rules_last(&old->committed); i++) {
		uint64_t in = rules_get(&old->committed_in, i);
		uint64_t term = rules_get(&old->committed, i);
		if (i <= last && rules_get(&rules->committed, i) == term)
			continue;
		lost++;
		if (must_be_there(all, i, in))
			rules_broken(rules,
				     "recovery: the entry of term %" PRIu64 " at index %" PRIu64
				     ", committed in term %" PRIu64 ", is lost; a survivor knew, or had helped",
				     term, i, in);
	}
	return lost;
}

struct rules *rules_recovered(const struct rules *old, const struct rules_survivors *all, uint32_t begins,
			      const struct ikada_node *opened, uint64_t *lost)
{
	const struct ikada_recovery *found = &all->found[begins];
	struct rules *rules = rules_create(old->mem, old->count, &old->hooks);
	const struct watched *was = &old->nodes[begins];
	struct watched *w = &rules->nodes[begins];
	const struct cache *cache = &opened->cache;
	struct entry entry = {.term = 0};
	rules->counters = old->counters;
	keep_known(rules, old, found);
	for (uint64_t i = 1; i <= cache->base; i++)
		rules_set(rules, &rules->committed, i, rules_get(&old->committed, i));
	for (uint64_t i = cache->base + 1; i <= cache->last; i++) {
		cache_get(cache, i, &entry);
		rules_set(rules, &rules->committed, i, entry.term);
	}
	for (uint64_t i = 1; i <= cache->last; i++) {
		rules_set(rules, &rules->committed_in, i, entry.term);
		rules_set(rules, &w->terms, i, rules_get(&rules->committed, i));
	}
	w->begun = cache->base;
	w->durable = w->acked = cache->last;
	w->told_term = was->told_term;
	w->vote_term = was->vote_term;
	w->vote = was->vote;
	*lost = count_lost(rules, old, all, found->last_index);
	if (cache->last != found->last_index + 1 || entry.term <= found->last_term || entry.term <= was->told_term)
		rules_broken(rules,
			     "recovery: node %" PRIu32 " has told of term %" PRIu64 ", its log ended at index %" PRIu64
			     " of term %" PRIu64 ", and now ends at index %" PRIu64 " of term %" PRIu64,
			     begins + 1, was->told_term, found->last_index, found->last_term, cache->last, entry.term);
	return rules;
}
