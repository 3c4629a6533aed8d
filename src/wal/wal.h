/*
 * The log on disk: batches in segments, recovery that tells a torn tail from corruption. The format stands at the top
 * of format.h.
 *
 * Order: what is put is written in the order of the calls, in batches; one batch is in flight at a time, and the next
 * is issued only when it is durable. A failed write or sync is final: env fatal, nothing is acknowledged.
 * One thread. Nothing here calls back inside a put or a flush.
 *
 * The disk: when a base is durable, segments that hold nothing above it become segments made ahead, or go. A new
 * segment is filled with zeros before it is used, a piece at a time, behind the loop's back, the first one when it is
 * made: a sync that does not change what the file system knows of a file takes half as long. When the log is faster,
 * it goes on without.
 *
 * Room: segments are made ahead, with all their room on the disk. When the disk is full, wal_room falls to 0 while a
 * segment's worth is still left for what cannot be refused: terms and votes, bases, seals, received entries, the batch
 * that each open writes. Room is looked for again every second. When that reserve is used up too, it is env fatal with
 * a line that says so; a caller that drops received entries while wal_room is 0 does not get there soon.
 */
#ifndef IKADA_WAL_WAL_H
#define IKADA_WAL_WAL_H

#include "env/env.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wal;

struct wal_settings {
	const char *dir;	  /* Of the segments, made if missing. */
	uint64_t segment_bytes;	  /* A multiple of 4096, 64 KiB to 1 GiB; 64 MiB is usual. May change between opens. */
	uint64_t batch_bytes_max; /* A batch is closed at this size, or after its first record. */
	/* All tickets up to `ticket` are durable. Called from the completion of a write. */
	void (*durable)(void *context, uint64_t ticket);
	void *context;
};

/* What recovery found. */
struct wal_state {
	bool has_base; /* Else the directory is new: put a base before anything else. */
	uint64_t base_index;
	uint64_t base_term;
	uint64_t term;
	uint64_t vote; /* The member voted for in `term`; 0: none. */
	uint64_t vote_incarnation;
	uint64_t last_index; /* base_index when there are no entries. */
	uint64_t commit;     /* The highest commit that a batch recorded; at least base_index. */
};

/* Recovery hands over what it reads, in the order in which it was written. Bytes are valid during the call. */
struct wal_replay {
	void *context;
	/*
	 * The log starts after (index, term) with this configuration (opaque bytes); what came before is void. Always
	 * the last base of the log. May come again, with the same values, when what it handed over meanwhile was
	 * replaced.
	 */
	void (*base)(void *context, uint64_t index, uint64_t term, const uint8_t *config, size_t config_size);
	/* An encoded entry (base/entry.h). At an index the log has already, it replaces everything from there on. */
	void (*entry)(void *context, uint64_t index, uint64_t term, const uint8_t *bytes, size_t size);
};

/* The largest encoded entry that a log of such segments takes. */
static inline uint64_t wal_entry_bytes_max(uint64_t segment_bytes)
{
	return segment_bytes - 3 * 4096;
}

/* The largest configuration of a base. */
#define WAL_CONFIG_BYTES_MAX ((size_t)16 * 1024)

/*
 * Opens or creates the log and recovers it. Blocks. On return everything recovered is durable (a batch of a new epoch
 * was written and synced). Returns NULL, with one clear line in `error`, for a log that cannot be trusted: corruption
 * before the tail, an unknown format, a gap, a failing disk; or when there is no room for that one batch.
 * Only one process at a time: the caller holds a lock.
 */
struct wal *wal_open(struct env *env, const struct wal_settings *settings, const struct wal_replay *replay,
		     struct wal_state *state, char *error, size_t error_size);

/* Frees. A batch in flight must have completed. What was put and not flushed is lost. */
void wal_close(struct wal *wal);

/* Each put copies. Groups are 0 today. */
void wal_put_hard(struct wal *wal, uint32_t group, uint64_t term, uint64_t vote, uint64_t vote_incarnation);
/* Whole encoded entries, ascending by one. One larger than wal_entry_bytes_max is env fatal: the caller refuses it. */
void wal_put_entries(struct wal *wal, const uint8_t *entries, size_t size);
/*
 * The log starts after (index, term), with this configuration. `keep`: entries above stay (a compaction, or an install
 * on a log that agrees); the index is at most the last one. Else all entries go, and the next one is index + 1, which
 * may be beyond the end of what there was.
 */
void wal_put_base(struct wal *wal, uint32_t group, uint64_t index, uint64_t term, const uint8_t *config,
		  size_t config_size, bool keep);
/* Everything put so far belongs to tickets up to this one. Something was put since the last flush. */
void wal_put_ticket(struct wal *wal, uint64_t ticket);
/* The highest commit known, of entries that were put; goes into the header of a batch, never causes one. */
void wal_note_commit(struct wal *wal, uint32_t group, uint64_t commit);

/*
 * If no batch is in flight and something is put, issues the next batch. Called in each turn, also when nothing was put:
 * it sees to the segments ahead too, with at most one sync that blocks.
 */
void wal_flush(struct wal *wal);
/*
 * If nothing is in flight or put, and the last batch was not a seal, issues a seal: an empty batch that proves the
 * last.
 */
void wal_seal(struct wal *wal);

bool wal_idle(const struct wal *wal);		     /* Nothing put that is not durable. */
uint64_t wal_pending_bytes(const struct wal *wal);   /* Put, not yet durable. */
uint64_t wal_sync_started_ns(const struct wal *wal); /* Raw time at which the write in flight began; 0: none. */
/* Bytes of entries that are sure to find room on the disk: what is proposed beyond is refused as busy. */
uint64_t wal_room(struct wal *wal);

struct wal_status {
	uint64_t disk_bytes; /* Of all segments, with those made ahead. */
	uint64_t segments;
	/* Since it was opened: */
	uint64_t batches;				  /* Of what was put. */
	uint64_t syncs;					  /* Of batches, of those too that nobody put. */
	uint64_t sync_last_ns, sync_mean_ns, sync_max_ns; /* From when a batch was issued until that was heard of. */
};
void wal_status(const struct wal *wal, struct wal_status *status);

#endif
