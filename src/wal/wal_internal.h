/*
 * The log's own view of itself. The files of this room share this struct:
 *
 *	format.c	headers: encode, judge
 *	segment.c	segment files: made, opened, named, removed
 *	ahead.c		the segments ahead: when one is made, recycled, filled with zeros
 *	put.c		what is put, laid out as batches in memory
 *	recover.h	what the files of recovery share
 *	recover.c	reads the chain, tells torn from corrupt
 *	replay.c	what the chain says: judged in a first reading, handed over in a second
 *	wal.c		open, flush, completion, seal, status
 */
#ifndef IKADA_WAL_WAL_INTERNAL_H
#define IKADA_WAL_WAL_INTERNAL_H

#include "env/env.h"
#include "wal/format.h"
#include "wal/wal.h"

/*
 * Segments made ahead: as many as it takes to have one and a half segments of room, which is two; recycled ones are
 * kept beyond that.
 */
enum { WAL_AHEAD_MAX = 4, WAL_RECYCLED_MAX = 3 };

struct segment {
	struct segment_header header;
	struct env_file *file; /* NULL: not open. */
	uint64_t high;	       /* The highest index of its entries; those that a base voided do not count. */
	uint64_t end;	       /* Of its last batch, once the chain has gone on. */
	uint64_t filled;       /* Up to there, writing overwrites. */
};

struct segments {
	struct segment *at;
	size_t count;
	size_t room;
};

/* A batch in memory, not yet durable. */
struct batch {
	size_t at;	 /* In its region, a multiple of the block. */
	size_t size;	 /* With the room for its header, without padding. */
	uint64_t ticket; /* Durable with this batch; 0: none. */
	uint64_t commit;
	uint64_t high; /* The highest index of an entry in it, behind its last base that drops all. */
	bool has_base;
	bool drops;		/* One that does not keep what is above it. */
	struct wal_group after; /* What the log is with this batch. */
};

/* Batches laid out as they will stand on disk, each on its own block. */
struct region {
	void *memory;
	uint8_t *bytes; /* In `memory`, aligned to a block. */
	size_t used;
	size_t room;
	struct batch *batches;
	size_t count;
	size_t batches_room;
	size_t durable; /* Of the batches, those that are durable. */
};

/* How far the next segment ahead is; each step ends with one sync. */
enum making {
	MAKING_NOTHING,
	MAKING_TAKEN,	/* An old segment has the temporary name. */
	MAKING_WRITTEN, /* `made` is a segment but for its name. */
};

/* The first of the segments ahead is filled with zeros: a piece is written, then synced; later the next. */
struct fill {
	struct env_io io;
	bool in_flight;
	bool syncing;
	bool stopped;	     /* The chain wants to go on in it. */
	size_t size;	     /* Of the piece in flight. */
	uint64_t next_batch; /* The next piece is not begun before so many were issued. */
	void *memory;
	uint8_t *zeros;
};

struct wal {
	struct env *env;
	struct mem *mem;
	struct wal_settings settings;
	char *dir;

	/* The chain, as far as it was issued. */
	struct segment segment; /* The current one. */
	uint64_t offset;	/* Where its next batch goes. */
	uint64_t sequence;	/* Of the last batch issued. */
	uint64_t epoch;
	uint32_t crc; /* Of the last batch issued. */
	uint16_t kind;
	uint64_t commit;	  /* Highest recorded. */
	struct wal_group written; /* What the batches issued lead to. */
	uint64_t base_segment;	  /* Where the base stands. */
	struct segments old;	  /* Before the current one, by number; not open. */

	struct segment ahead[WAL_AHEAD_MAX]; /* By number, without batches. */
	size_t ahead_count;
	enum making making;
	struct segment made;
	struct fill fill;
	uint64_t retry_ns; /* Raw: not before this is a full disk asked again for room. */

	/* What was put. */
	struct wal_group put;
	uint64_t commit_noted;
	struct region filling;
	struct region flying; /* Is being written, one batch after the other. */

	struct env_io io;
	bool in_flight;
	bool in_flight_put; /* It is the next one of `flying`; else it has no records that were put. */
	uint64_t started_ns;
	uint64_t batches, syncs, sync_last_ns, sync_total_ns, sync_max_ns;
	void *block_memory;
	uint8_t *block; /* One block, for batches that nobody put. */
};

/* Memory aligned to a block; *memory is what to free. */
uint8_t *wal_aligned(struct mem *mem, size_t size, void **memory);

/* segment.c */

/* "DIR/NAME" of a segment, for as long as the caller's buffer lives. */
#define SEGMENT_NAME_BYTES 21 /* NNNNNNNNNNNNNNNN.wal and a zero. */
void segment_name(char name[SEGMENT_NAME_BYTES], uint64_t number);
char *wal_path(const struct wal *wal, const char *name); /* To be freed. */
int segment_open(const struct wal *wal, uint64_t number, enum env_open how, struct env_file **file);
void segment_close(const struct wal *wal, struct segment *segment);

struct segment_list {
	uint64_t *numbers; /* Ascending. */
	size_t count;
	size_t room;
	struct mem *mem;
};
/* Also removes what a crash left half made. */
int segment_list_read(const struct wal *wal, struct segment_list *list);
/* A segment becomes the file of the temporary name. */
int segment_take(const struct wal *wal, uint64_t number);
/*
 * Segment `number` is made, with all its room, but for its name: of that file if `recycled`, else a new one. -ENOSPC
 * leaves no trace.
 */
int segment_write(const struct wal *wal, uint64_t number, bool recycled, struct segment *segment);
int segment_name_it(const struct wal *wal, struct segment *segment); /* After segment_write. */
int segment_remove(const struct wal *wal, uint64_t number);
/* A base drops all entries so far. */
void segments_void(struct wal *wal);
void segments_push(const struct wal *wal, struct segments *segments, const struct segment *segment);

/* ahead.c */

/* Makes segments ahead until there is enough; 0 also when the disk is full. `urgent`: at least one, or -ENOSPC. */
int ahead_make(struct wal *wal, bool urgent);
/* The next step, if there is one: towards a segment ahead, or to be rid of an old one. Nothing may be in flight. */
int ahead_step(struct wal *wal);
/* The first one ahead becomes the current one. It is not being filled. */
void ahead_advance(struct wal *wal);
uint64_t ahead_room(const struct wal *wal); /* Bytes for batches, in the current segment and those ahead. */
void ahead_fill(struct wal *wal);	    /* Begins or goes on, when it is time for it. */
bool ahead_filling(struct wal *wal);	    /* Whether a piece is in flight; then it is the last one. */
void ahead_close(struct wal *wal);

/* put.c */
void region_free(struct wal *wal, struct region *region);
void region_clear(struct wal *wal, struct region *region);
uint64_t region_pending_bytes(const struct region *region);

/* recover.c: sets the chain, the current segment and those ahead; false with a line in `error`. */
bool wal_recover(struct wal *wal, const struct wal_replay *replay, char *error, size_t error_size);

#endif
