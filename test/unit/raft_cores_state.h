/* Cores in memory: their state, their logs, their names. Part of raft_cores.h. */
#ifndef IKADA_TEST_RAFT_CORES_STATE_H
#define IKADA_TEST_RAFT_CORES_STATE_H

#include "base/rng.h"
#include "ikada/raft.h"
#include "raft/raft_check.h"
#include "raft/raft_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CORES_MAX = 40, CORES_TERMS_MAX = 4096, CORES_READS_MAX = 4096 };

/* The value of an entry that is configuration number n of the cluster. */
#define CORES_CONFIG ((uint64_t)1 << 62)

struct core_entry {
	uint64_t term;
	uint64_t value; /* What stands for the payload; 0 for a no-op. */
};

/* Entry i has index i + 1. What lies below a log's base stands for the snapshot. */
struct core_log {
	struct core_entry *entries;
	uint64_t count;
	uint64_t room;
};

struct core_write {
	uint64_t ticket;
	bool hard;
	uint64_t term, vote, vote_incarnation;
	uint64_t commit; /* As a log may note it with what it writes. */
	uint64_t first;	 /* 0: no append. */
	uint64_t base;	 /* 0: stays. */
	bool installed, kept;
	struct ikada_config config; /* At the base. */
	struct core_log entries;    /* Those appended, or of a snapshot installed all up to its index. */
};

struct core_packet {
	struct ikada_message m;
	struct core_log entries;    /* Of a snapshot: all up to its index. */
	struct ikada_config config; /* Of a snapshot. */
};

struct core {
	uint64_t id, incarnation;
	bool up;
	bool gone;			  /* Its disk is lost: it never comes back. */
	struct ikada_raft *raft, *before; /* Same memory size; kept over a restart. */
	struct ikada_effects effects;
	struct ikada_raft_status status; /* After the last step. */
	uint64_t lag_ns;		 /* raw - awake. */
	uint64_t starts;
	uint32_t priority;
	struct core_log log;
	uint64_t base;
	struct ikada_config base_config;
	struct core_write *writes; /* Not durable yet, by ticket. */
	size_t write_count, write_room;
	uint64_t durable_ticket;
	struct ikada_message *outbox; /* Not released yet. */
	size_t outbox_count, outbox_room;
	uint64_t disk_term, disk_vote, disk_vote_incarnation, disk_commit;
	struct core_log disk;
	uint64_t disk_base;
	struct ikada_config disk_config;      /* At the base. */
	struct core_packet arrived;	      /* A snapshot that was received and not yet installed; index 0: none. */
	uint64_t streams[CORES_MAX + 1];      /* The index of the snapshot under way to a core; 0: none. */
	uint64_t reads;			      /* Ids given in this start. */
	uint64_t read_floor[CORES_READS_MAX]; /* By id: what was committed when it was asked. */
	uint64_t read_index[CORES_READS_MAX]; /* By id: what was granted, or one of the next two. */
	uint64_t reads_granted, reads_refused;
};

#define CORES_READ_WAITS UINT64_MAX
#define CORES_READ_REFUSED (UINT64_MAX - 1)

struct cores {
	uint32_t count; /* Cores 1 .. count. */
	struct ikada_limits limits;
	struct ikada_settings settings; /* Without self and seed. */
	uint64_t seed;
	uint64_t raw_ns;
	struct core core[CORES_MAX + 1];
	struct ikada_config *configs; /* By number. */
	size_t config_count, config_room;
	bool unlinked[CORES_MAX + 1][CORES_MAX + 1]; /* The driver has no connection. */
	struct core_packet *packets;
	size_t packet_count, packet_room;
	struct core_log refused;	   /* Proposals: (why, value). */
	enum ikada_refusal change_refused; /* Why the last change was; 0: it was not. */
	/* A step was made (NULL), or a message of it released. May be NULL. */
	void (*watch)(struct cores *cores, uint64_t at, const struct ikada_message *m);
	void *watcher;
	uint64_t (*prefix)(struct cores *cores, uint64_t entries); /* How many of these one message takes; NULL: all. */
	/* The index of the newest snapshot, from low to high; NULL: low. */
	uint64_t (*newest)(struct cores *cores, uint64_t low, uint64_t high);
	struct rng rng; /* For these two. */

	bool forged; /* The test makes up messages: the cluster-wide rules need not hold, those of raft_check do. */
	uint64_t leader_of[CORES_TERMS_MAX]; /* Incarnations. */
	struct core_log committed;	     /* By anybody. */
	struct core_log *seen;		     /* By index - 1: each (term, value) that an entry there ever had. */
	size_t seen_count;
	/* What happened, for tests that want to be sure of it. */
	uint64_t steps;
	uint64_t cuts, cuts_unsynced; /* Logs cut at a conflict; of these, where what was cut was not durable. */
	uint64_t compactions, installs, installs_kept;
	uint64_t changes, joints, finals, rollbacks, promotions_under_way, left;
	uint64_t transfers, handed_on;
	char broken[256];
};

__attribute__((format(printf, 2, 3))) static inline void cores_break(struct cores *cores, const char *format, ...)
{
	if (cores->broken[0] != 0)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(cores->broken, sizeof cores->broken, format, args);
	va_end(args);
}

#define CORES_ROOM(array, count, room)                                                                                 \
	do {                                                                                                           \
		if ((count) == (room)) {                                                                               \
			(room) = (room) == 0 ? 16 : 2 * (room);                                                        \
			(array) = realloc((array), (room) * sizeof *(array));                                          \
		}                                                                                                      \
	} while (0)

/* ---- Names ---- */

/* That of a member as it first starts. */
static inline uint64_t cores_incarnation(uint64_t id)
{
	return 100 + id;
}

/* The core that is this member, or 0. */
static inline uint64_t cores_find(const struct cores *cores, uint64_t id, uint64_t incarnation)
{
	for (uint64_t at = 1; at <= cores->count; at++)
		if (cores->core[at].id == id && cores->core[at].incarnation == incarnation)
			return at;
	return 0;
}

static inline uint64_t cores_from(const struct cores *cores, const struct ikada_message *m)
{
	return cores_find(cores, m->from, m->from_incarnation);
}

static inline uint64_t cores_to(const struct cores *cores, const struct ikada_message *m)
{
	return cores_find(cores, m->to, m->to_incarnation);
}

/* Who has no incarnation in a made-up message is who has the number of its id. */
static inline void cores_name(const struct cores *cores, struct ikada_message *m)
{
	if (m->from_incarnation == 0)
		m->from_incarnation = m->from <= cores->count ? cores->core[m->from].incarnation : 1;
	if (m->to_incarnation == 0)
		m->to_incarnation = m->to <= cores->count ? cores->core[m->to].incarnation : 1;
}

/* ---- Logs ---- */

static inline void core_log_add(struct core_log *log, uint64_t term, uint64_t value)
{
	CORES_ROOM(log->entries, log->count, log->room);
	log->entries[log->count++] = (struct core_entry){term, value};
}

static inline void core_log_free(struct core_log *log)
{
	free(log->entries);
	*log = (struct core_log){0};
}

/* The first `count` entries. */
static inline struct core_log core_log_copy(const struct core_log *log, uint64_t count)
{
	struct core_log copy = {0};
	for (uint64_t i = 0; i < count; i++)
		core_log_add(&copy, log->entries[i].term, log->entries[i].value);
	return copy;
}

/* Entries 1 .. head->count are those of `head`; what lies behind stays, or not. */
static inline void core_log_begin(struct core_log *log, const struct core_log *head, bool keep)
{
	struct core_log whole = core_log_copy(head, head->count);
	for (uint64_t i = head->count; keep && i < log->count; i++)
		core_log_add(&whole, log->entries[i].term, log->entries[i].value);
	core_log_free(log);
	*log = whole;
}

static inline uint64_t core_log_term(const struct core_log *log, uint64_t index)
{
	return index > 0 && index <= log->count ? log->entries[index - 1].term : 0;
}

static inline const struct ikada_config *cores_config(const struct cores *cores, const struct core_entry *entry)
{
	return (entry->value & CORES_CONFIG) != 0 ? &cores->configs[entry->value & ~CORES_CONFIG] : NULL;
}

/* The value of an entry that is this configuration. */
static inline uint64_t cores_keep_config(struct cores *cores, const struct ikada_config *config)
{
	CORES_ROOM(cores->configs, cores->config_count, cores->config_room);
	cores->configs[cores->config_count] = *config;
	return CORES_CONFIG | cores->config_count++;
}

/* The last configuration up to `index` in a log that begins behind `base` with `first`. */
static inline struct ikada_config cores_config_at(const struct cores *cores, const struct core_log *log, uint64_t base,
						  const struct ikada_config *first, uint64_t index)
{
	for (; index > base; index--) {
		const struct ikada_config *config = cores_config(cores, &log->entries[index - 1]);
		if (config != NULL)
			return *config;
	}
	return *first;
}

static inline struct ikada_config core_config_at(const struct cores *cores, const struct core *core, uint64_t index)
{
	return cores_config_at(cores, &core->log, core->base, &core->base_config, index);
}

#endif
