/*
 * The log's own view of itself. The files of this room share this struct:
 *
 *	format.c	headers: encode, judge
 *	segment.c	segment files: made ahead, opened, named
 *	put.c		what is put, laid out as batches in memory
 *	recover.c	reads the chain, tells torn from corrupt
 *	wal.c		open, flush, completion, seal, room
 */
#ifndef IKADA_WAL_WAL_INTERNAL_H
#define IKADA_WAL_WAL_INTERNAL_H

#include "env/env.h"
#include "wal/format.h"
#include "wal/wal.h"

/* Segments made ahead: as many as it takes to have one and a half segments of room, which is two. */
enum { WAL_AHEAD_MAX = 4 };

struct segment {
	struct segment_header header;
	struct env_file *file; /* NULL: not open. */
};

/* A batch in memory, not yet durable. */
struct batch {
	size_t at;	 /* In its region, a multiple of the block. */
	size_t size;	 /* With the room for its header, without padding. */
	uint64_t ticket; /* Durable with this batch; 0: none. */
	uint64_t commit;
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

	struct segment ahead[WAL_AHEAD_MAX]; /* By number, without batches. */
	size_t ahead_count;
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
/* Makes segment `number`, with all its room, under its final name. -ENOSPC leaves no trace. */
int segment_make(const struct wal *wal, uint64_t number, struct segment *segment);
int segment_remove(const struct wal *wal, uint64_t number);
/* Makes segments ahead until there is enough; 0 also when the disk is full. `urgent`: at least one, or -ENOSPC. */
int segments_make_ahead(struct wal *wal, bool urgent);
/* The first one ahead becomes the current one. */
void segment_advance(struct wal *wal);
uint64_t segments_room(const struct wal *wal); /* Bytes for batches, in the current one and those ahead. */

/* put.c */
void region_free(struct wal *wal, struct region *region);
void region_clear(struct wal *wal, struct region *region);
uint64_t region_pending_bytes(const struct region *region);

/* recover.c: sets the chain, the current segment and those ahead; false with a line in `error`. */
bool wal_recover(struct wal *wal, const struct wal_replay *replay, char *error, size_t error_size);

#endif
