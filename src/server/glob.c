/*
 * Patterns: see glob.h. One `*` is remembered at a time: a later one makes going back behind it needless, because what
 * it takes can always be as little as possible.
 */
#include "server/glob.h"

static uint8_t lower(uint8_t c, bool ignore_case)
{
	return ignore_case && c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

/* The class whose '[' stands at *at; *at moves behind it. One that never ends, ends with the pattern. */
static bool class_has(struct slice p, size_t *at, uint8_t c, bool ignore_case)
{
	size_t i = *at + 1;
	bool negated = i < p.size && p.bytes[i] == '^';
	bool found = false;
	if (negated)
		i++;
	for (; i < p.size && p.bytes[i] != ']'; i++) {
		if (p.bytes[i] == '\\' && i + 1 < p.size)
			i++;
		uint8_t low = lower(p.bytes[i], ignore_case);
		uint8_t high = low;
		if (i + 2 < p.size && p.bytes[i + 1] == '-') {
			i += 2;
			high = lower(p.bytes[i], ignore_case);
		}
		found |= low <= high ? c >= low && c <= high : c >= high && c <= low;
	}
	*at = i < p.size ? i + 1 : i;
	return found != negated;
}

/* Whether the element of the pattern at *at, no '*', takes the character; *at moves behind it. */
static bool takes(struct slice p, size_t *at, uint8_t c, bool ignore_case)
{
	c = lower(c, ignore_case);
	if (p.bytes[*at] == '[')
		return class_has(p, at, c, ignore_case);
	if (p.bytes[*at] == '\\' && *at + 1 < p.size)
		++*at;
	else if (p.bytes[*at] == '?') {
		++*at;
		return true;
	}
	return lower(p.bytes[(*at)++], ignore_case) == c;
}

bool glob_matches(struct slice pattern, struct slice text, bool ignore_case)
{
	size_t at = 0, i = 0;
	size_t star = SIZE_MAX, star_i = 0; /* Behind the last '*', and how far it has taken. */
	while (i < text.size || at < pattern.size) {
		if (at < pattern.size && pattern.bytes[at] == '*') {
			star = ++at;
			star_i = i;
			continue;
		}
		if (at < pattern.size && i < text.size && takes(pattern, &at, text.bytes[i], ignore_case)) {
			i++;
			continue;
		}
		if (star == SIZE_MAX || star_i == text.size)
			return false;
		at = star;
		i = ++star_i;
	}
	return true;
}
