/* Majorities, against counting by hand, for every set of up to nine voters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "raft/quorum.h"

enum { SETS = 1 << IKADA_VOTERS_MAX };

static uint32_t count(uint32_t set)
{
	uint32_t n = 0;
	for (uint32_t slot = 0; slot < 32; slot++)
		n += set >> slot & 1;
	return n;
}

static void reached(void **state)
{
	(void)state;
	for (uint32_t voters = 0; voters < SETS; voters++) {
		assert_int_equal(quorum_count(voters), count(voters));
		for (uint32_t agreeing = 0; agreeing < SETS; agreeing++) {
			bool majority = count(voters & agreeing) >= count(voters) / 2 + 1;
			assert_int_equal(quorum_reached(voters, agreeing), voters == 0 || majority);
		}
	}
}

/* Any two majorities of one set have a voter in common: what elections and commitment rest on. */
static void majorities_meet(void **state)
{
	(void)state;
	for (uint32_t n = 1; n <= IKADA_VOTERS_MAX; n++) {
		uint32_t voters = (1u << n) - 1;
		for (uint32_t a = 0; a <= voters; a++)
			for (uint32_t b = 0; b <= voters; b++)
				if (quorum_reached(voters, a) && quorum_reached(voters, b))
					assert_true((a & b) != 0);
	}
}

/* Each voter has one of three values; others have a value that must not count. */
static void values(void **state)
{
	(void)state;
	for (uint32_t voters = 0; voters < SETS; voters++) {
		uint32_t n = count(voters);
		uint32_t combinations = 1;
		for (uint32_t i = 0; i < n; i++)
			combinations *= 3;
		for (uint32_t c = 0; c < combinations; c++) {
			uint64_t of[IKADA_MEMBERS_MAX];
			uint32_t at_least[4] = {0};
			uint32_t rest = c;
			for (uint32_t slot = 0; slot < IKADA_MEMBERS_MAX; slot++) {
				of[slot] = c % 2 == 0 ? 1000 : 0;
				if ((voters >> slot & 1) == 0)
					continue;
				of[slot] = rest % 3;
				rest /= 3;
				for (uint64_t v = 0; v <= of[slot]; v++)
					at_least[v]++;
			}
			uint64_t largest = 0;
			for (uint64_t v = 0; v < 3; v++)
				if (2 * at_least[v] > n)
					largest = v;
			assert_int_equal(quorum_value(voters, of), n == 0 ? UINT64_MAX : largest);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reached),
		cmocka_unit_test(majorities_meet),
		cmocka_unit_test(values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
