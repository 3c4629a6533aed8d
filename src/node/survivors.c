/* Words of survivors, and what follows from them: see survivors.h. */
#include "node/survivors.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "node/answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- One word ---- */

/* All behind the address, up to the check. */
static size_t put_facts(char *text, const struct survivor *s)
{
	size_t at =
		(size_t)snprintf(text, IKADA_SURVIVOR_BYTES, "/%016" PRIx64 "/%016" PRIx64 "/%" PRIu64 "/%" PRIu64 "/",
				 s->cluster_id, s->incarnation, s->term, s->last_index);
	for (uint32_t i = 0; i < s->run_count; i++)
		at += (size_t)snprintf(text + at, IKADA_SURVIVOR_BYTES - at, "%s%" PRIu64 ":%" PRIu64,
				       i == 0 ? "" : "+", s->runs[i].first, s->runs[i].term);
	return at;
}

static uint32_t check_of(const struct survivor *s, const char *facts)
{
	char id[24];
	snprintf(id, sizeof id, "%" PRIu64, s->id);
	return crc32c(crc32c(0, (const uint8_t *)id, strlen(id)), (const uint8_t *)facts, strlen(facts));
}

void survivor_put(char *text, const struct survivor *s)
{
	char facts[IKADA_SURVIVOR_BYTES];
	CHECK(s->run_count >= 1 && s->run_count <= SURVIVOR_RUNS_MAX);
	put_facts(facts, s);
	int size = snprintf(text, IKADA_SURVIVOR_BYTES, "%" PRIu64 "=%s%s/%08" PRIx32, s->id, s->address, facts,
			    check_of(s, facts));
	CHECK(size > 0 && size < IKADA_SURVIVOR_BYTES);
}

/* A number, and the character behind it, which is skipped. */
static bool take(const char **at, int base, uint64_t *number, char behind)
{
	char *end;
	if (strchr("0123456789abcdef", **at) == NULL || **at == '\0')
		return false;
	*number = strtoull(*at, &end, base);
	if (*end != behind)
		return false;
	*at = behind == '\0' ? end : end + 1;
	return true;
}

static bool take_runs(const char **at, struct survivor *s)
{
	for (char behind = '+'; behind == '+';) {
		if (s->run_count == SURVIVOR_RUNS_MAX)
			return false;
		struct ikada_run *run = &s->runs[s->run_count];
		if (!take(at, 10, &run->first, ':'))
			return false;
		behind = (*at)[strspn(*at, "0123456789")] == '+' ? '+' : '/';
		if (!take(at, 10, &run->term, behind))
			return false;
		if (s->run_count > 0 && (run->first <= run[-1].first || run->term <= run[-1].term))
			return false;
		s->run_count++;
	}
	s->known = s->runs[0].first;
	return survivor_last_term(s) <= s->term && s->runs[s->run_count - 1].first <= s->last_index;
}

static bool take_word(struct survivor *s, const char *word)
{
	uint64_t check;
	memset(s, 0, sizeof *s);
	if (!take(&word, 10, &s->id, '='))
		return false;
	size_t size = strcspn(word, "/");
	if (s->id == 0 || size == 0 || size > WIRE_ADDRESS_BYTES || word[size] == '\0')
		return false;
	memcpy(s->address, word, size);
	word += size + 1;
	if (!take(&word, 16, &s->cluster_id, '/') || !take(&word, 16, &s->incarnation, '/') ||
	    !take(&word, 10, &s->term, '/') || !take(&word, 10, &s->last_index, '/') || !take_runs(&word, s) ||
	    !take(&word, 16, &check, '\0'))
		return false;
	char facts[IKADA_SURVIVOR_BYTES];
	put_facts(facts, s);
	return check == check_of(s, facts) && s->cluster_id != 0 && s->incarnation != 0;
}

/* ---- All of them ---- */

/* The term of its entry at `index`, which is not in front of what it knows to be committed; 0: it has none. */
static uint64_t term_at(const struct survivor *s, uint64_t index)
{
	uint64_t term = 0;
	for (uint32_t i = 0; i < s->run_count && s->runs[i].first <= index; i++)
		term = s->runs[i].term;
	return index > s->last_index ? 0 : term;
}

/* What `other` knows to be committed stands in the log of `s`. Two that know it of the same index have the same. */
static bool has_all_of(const struct survivor *s, const struct survivor *other)
{
	return other->known < s->known || term_at(s, other->known) == other->runs[0].term;
}

static bool can_begin(const struct survivors *all, const struct survivor *s)
{
	for (uint32_t i = 0; i < all->count; i++)
		if (!has_all_of(s, &all->at[i]))
			return false;
	return true;
}

static bool newer(const struct survivor *a, const struct survivor *b)
{
	uint64_t left = survivor_last_term(a), right = survivor_last_term(b);
	return left > right || (left == right && a->last_index > b->last_index);
}

static bool choose(struct survivors *all, const struct answer *answer)
{
	all->begins = IKADA_VOTERS_MAX;
	for (uint32_t i = 0; i < all->count; i++)
		if (can_begin(all, &all->at[i]) &&
		    (all->begins == IKADA_VOTERS_MAX || newer(&all->at[i], &all->at[all->begins])))
			all->begins = i;
	return all->begins < IKADA_VOTERS_MAX ||
	       no(answer, "the survivors know different entries to be committed at the same place: their logs are not "
			  "of one cluster, or one of them is damaged");
}

/* The finalizer of MurmurHash3. */
static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash ^= word;
	hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdu;
	hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53u;
	return hash ^ (hash >> 33);
}

static void derive(struct survivors *all)
{
	uint64_t hash = mix(0x7265636f766572u, all->at[0].cluster_id); /* "recover" */
	for (uint32_t i = 0; i < all->count; i++) {
		const struct survivor *s = &all->at[i];
		hash = mix(mix(mix(hash, s->id), s->incarnation), s->term);
		hash = mix(mix(mix(hash, s->last_index), survivor_last_term(s)), s->known);
	}
	all->cluster_id = hash == all->at[0].cluster_id || hash == 0 ? hash + 1 : hash;
}

static bool insert(struct survivors *all, const struct survivor *s, const struct answer *answer)
{
	uint32_t at = all->count;
	if (all->count > 0 && s->cluster_id != all->at[0].cluster_id)
		return no(answer, "node %" PRIu64 " belongs to cluster %016" PRIx64 ", node %" PRIu64 " to %016" PRIx64,
			  s->id, s->cluster_id, all->at[0].id, all->at[0].cluster_id);
	if (all->count == IKADA_VOTERS_MAX)
		return no(answer, "there are more than %d survivors", IKADA_VOTERS_MAX);
	for (; at > 0 && all->at[at - 1].id > s->id; at--)
		all->at[at] = all->at[at - 1];
	if (at > 0 && all->at[at - 1].id == s->id)
		return no(answer, "node %" PRIu64 " is named twice among the survivors", s->id);
	all->at[at] = *s;
	all->count++;
	return true;
}

bool survivors_parse(struct survivors *all, const char *text, char *error, size_t error_size)
{
	const struct answer answer = {error, error_size};
	memset(all, 0, sizeof *all);
	while (*text != '\0') {
		char word[IKADA_SURVIVOR_BYTES];
		struct survivor s;
		size_t size = strcspn(text, ",");
		snprintf(word, sizeof word, "%.*s", size < sizeof word ? (int)size : 0, text);
		if (!take_word(&s, word))
			return no(&answer,
				  "\"%.*s\" is not what ikada recover says of a survivor, or was not copied whole",
				  size < 200 ? (int)size : 200, text);
		if (!insert(all, &s, &answer))
			return false;
		text += size + (text[size] == ',');
	}
	if (all->count == 0)
		return no(&answer, "no survivor is named");
	derive(all);
	return choose(all, &answer);
}

const struct survivor *survivors_find(const struct survivors *all, uint64_t id)
{
	for (uint32_t i = 0; i < all->count; i++)
		if (all->at[i].id == id)
			return &all->at[i];
	return NULL;
}

uint64_t survivors_incarnation(const struct survivors *all, const struct survivor *s)
{
	if (s == &all->at[all->begins])
		return s->incarnation;
	return mix(mix(all->cluster_id, s->id), s->incarnation) | 1;
}

bool survivor_same(const struct survivor *a, const struct survivor *b)
{
	char left[IKADA_SURVIVOR_BYTES], right[IKADA_SURVIVOR_BYTES];
	put_facts(left, a);
	put_facts(right, b);
	return a->id == b->id && strcmp(left, right) == 0;
}
