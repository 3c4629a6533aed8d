#include "raft/quorum.h"

uint32_t quorum_count(uint32_t set)
{
	uint32_t count = 0;
	for (; set != 0; set &= set - 1)
		count++;
	return count;
}

bool quorum_reached(uint32_t voters, uint32_t agreeing)
{
	return voters == 0 || 2 * quorum_count(voters & agreeing) > quorum_count(voters);
}

uint64_t quorum_value(uint32_t voters, const uint64_t values[IKADA_MEMBERS_MAX])
{
	uint64_t sorted[IKADA_MEMBERS_MAX]; /* Falling. */
	uint32_t count = 0;
	for (uint32_t slot = 0; voters >> slot != 0; slot++) {
		if ((voters >> slot & 1) == 0)
			continue;
		uint32_t at = count++;
		for (; at > 0 && sorted[at - 1] < values[slot]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = values[slot];
	}
	return count == 0 ? UINT64_MAX : sorted[count / 2];
}
