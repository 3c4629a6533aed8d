/*
 * What the files of recovery share. The chain is read twice, in pieces: recover.c walks it from the oldest segment to
 * its end and judges it, replay.c then hands over what is above the base that was found.
 */
#ifndef IKADA_WAL_RECOVER_H
#define IKADA_WAL_RECOVER_H

#include "wal/wal_internal.h"

struct recovery {
	struct wal *wal;
	const struct wal_replay *replay;
	char *error;
	size_t error_size;

	struct segment at; /* The segment under way. */
	void *memory;
	uint8_t *bytes; /* A piece of it. */
	size_t room;
	uint64_t piece_at;
	uint64_t piece_size;

	struct batch_header last; /* The last valid batch; sequence 0: none. */
	struct wal_group group;	  /* What the batches so far lead to. */
	uint64_t epoch_seen;
	struct segment tail;  /* Where the chain ends, ... */
	uint64_t tail_offset; /* ... and where the next batch goes. */
	uint64_t last_offset; /* The last valid batch, in the tail. */

	bool begins_late; /* Earlier segments are gone, and the first batch did not yet say what they led to. */
	uint64_t first;	  /* The entries from here to the last one were read, without a gap. */
	bool base_read;	  /* With its configuration. */
	uint8_t *config;
	size_t config_size;
	uint64_t handed_over; /* Entries up to here; at first, the base. */
};

__attribute__((format(printf, 2, 3))) bool recovery_refuse(struct recovery *r, const char *format, ...);
bool recovery_refuse_batch(struct recovery *r, const struct batch_header *batch, const char *what);
bool recovery_load(struct recovery *r, uint64_t number); /* It becomes the segment under way; its header is judged. */
/* `size` bytes of it from `offset`, zeros beyond the end of the file; valid until the next look. NULL: refused. */
const uint8_t *recovery_look(struct recovery *r, uint64_t offset, uint64_t size);

/* replay.c */

/* What the batch says, of which all bytes are at `bytes`; adds it to r->group. */
bool replay_batch(struct recovery *r, const struct batch_header *batch, const uint8_t *bytes);
/* The whole chain was read: nothing that is above its base is missing. */
bool replay_complete(struct recovery *r);
/* The second reading. */
bool replay_hand_over(struct recovery *r);

#endif
