/*
 * Copies a core: see core_copy.h. The only file outside the core that knows what it looks like inside: the structure,
 * then the tags of its log, the runs of terms, and a window for each peer.
 */
#include "sim/core_copy.h"

#include "raft/raft_internal.h"

#include <string.h>

_Static_assert(offsetof(struct ikada_raft, log.tags) + sizeof(struct log_tag[LOG_TAGS]) == sizeof(struct ikada_raft),
	       "nothing follows the tags");

void core_copy(struct ikada_raft *to, const struct ikada_raft *from)
{
	const struct raft_log *log = &from->log;
	memcpy(to, from, offsetof(struct ikada_raft, log.tags));
	memcpy(to->log.tags, log->tags, log->tag_count * sizeof *log->tags);
	memcpy(raft_log_runs(&to->log), raft_log_runs(log), log->run_count * sizeof(struct ikada_run));
	for (uint32_t slot = 0; slot < from->member_count; slot++)
		if (from->peers[slot].window_count > 0)
			memcpy(raft_window(to, slot), raft_window(from, slot),
			       from->limits.inflight_messages * sizeof(struct window_slot));
}
