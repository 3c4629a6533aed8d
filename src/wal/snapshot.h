/*
 * Snapshot files: the state of the machine after an entry, from which a node starts when the log before it is gone.
 *
 * A snapshot is written as a draft, under a temporary name: piece by piece, without keeping the loop; synced; read
 * back and verified; renamed; and its directory synced. Only then it counts. A file that is there under its own name
 * was whole once; whether it still is shows when it is read.
 *
 * The format, version 1. All numbers are little-endian, reserved bytes are zeros. CRC is CRC-32C. A file is named
 * IIIIIIIIIIIIIIII-TTTTTTTTTTTTTTTT: index and term of the last entry it holds, in hexadecimal. While it is a draft,
 * ".taken" (written here) or ".part" (received) follows. It is a header, blocks, and a footer, with nothing between.
 *
 * Header:
 *	offset	size	field
 *	0	8	"IKADASNP"
 *	8	4	CRC of bytes 12 .. 64 + M
 *	12	4	version; what follows is judged only if it is 1
 *	16	8	cluster id
 *	24	8	index of the last entry that the state holds
 *	32	8	its term
 *	40	8	its stamp
 *	48	4	M: bytes of the members
 *	52	12	reserved
 *	64	M	members as of that entry: configuration and addresses, as the node encodes them
 *
 * Block:
 *	0	4	CRC, continued from the header's, of bytes 4 .. 16 + L
 *	4	4	L: bytes of the piece; not 0
 *	8	8	number of the block, from 0
 *	16	L	piece: whole records of the machine, as it saved them in one go
 *
 * Footer:
 *	0	4	CRC, continued from the header's, of bytes 4 .. 48
 *	4	4	0, where a block has its L
 *	8	8	number of blocks
 *	16	8	bytes of the file, with the footer
 *	24	16	digest of the state
 *	40	8	reserved
 *
 * A file is valid if and only if header, blocks and footer match their CRCs, blocks are numbered from 0 on, and the
 * footer names their number and ends the file at the size that it names.
 */
#ifndef IKADA_WAL_SNAPSHOT_H
#define IKADA_WAL_SNAPSHOT_H

#include "base/buf.h"
#include "env/env.h"

enum {
	SNAPSHOT_VERSION = 1,
	SNAPSHOT_HEADER_BYTES = 64,
	SNAPSHOT_BLOCK_BYTES = 16, /* Before the piece. */
	SNAPSHOT_FOOTER_BYTES = 48,
	SNAPSHOT_DIGEST_BYTES = 16,
	SNAPSHOT_MEMBERS_BYTES_MAX = 64 * 1024,
	SNAPSHOT_ERROR_BYTES = 160,
};
#define SNAPSHOT_PIECE_BYTES_MAX ((size_t)64 * 1024 * 1024)

struct snapshot_header {
	uint64_t cluster_id;
	uint64_t index;
	uint64_t term;
	uint64_t stamp;
	const uint8_t *members; /* Of a reader: in its memory. */
	size_t members_size;
};

/* ---- The directory ---- */

/* A snapshot's name. */
struct snapshot {
	uint64_t index;
	uint64_t term;
};

/* Makes the directory and its name durable. 0 or a negative errno. */
int snapshot_dir_make(struct env *env, const char *dir);
/*
 * What is there, ascending by index and then by term, in *found, which the caller frees; removes drafts that a
 * process left behind. Returns their number or a negative errno.
 */
int64_t snapshot_list(struct env *env, const char *dir, struct snapshot **found);
int snapshot_remove(struct env *env, const char *dir, struct snapshot which);
/* For reading; the file outlives its name. */
int snapshot_open(struct env *env, const char *dir, struct snapshot which, struct env_file **file);

/* ---- Reading ---- */

/* Goes through an open file, which stays the caller's. */
struct snapshot_reader {
	struct env *env;
	struct env_file *file;
	uint64_t size;	  /* Of the file. */
	uint64_t read_to; /* Up to here it stands in `bytes`, or was there. */
	struct buf bytes;
	struct buf members;
	struct snapshot_header header;
	uint32_t seed; /* The header's CRC. */
	uint64_t blocks;
	uint64_t consumed; /* Bytes of the file, without the block that the caller has. */
	size_t handed_out;
	uint8_t digest[SNAPSHOT_DIGEST_BYTES]; /* At the end. */
	char error[SNAPSHOT_ERROR_BYTES];
};

/* Reads the header; false with a sentence in `error` when it is not valid. Close it in either case. */
bool snapshot_reader_open(struct snapshot_reader *reader, struct env *env, struct env_file *file);
void snapshot_reader_close(struct snapshot_reader *reader);

enum snapshot_read { SNAPSHOT_PIECE, SNAPSHOT_END, SNAPSHOT_INVALID };
/* The next piece, valid until the next call. At the end the digest is known. Invalid: a sentence is in `error`. */
enum snapshot_read snapshot_reader_next(struct snapshot_reader *reader, const uint8_t **piece, size_t *size);

/* ---- Writing ---- */

enum snapshot_draft_state {
	DRAFT_OPEN,	 /* Takes bytes. */
	DRAFT_SETTLING,	 /* Has all bytes; is being written, synced, and read back. */
	DRAFT_VALID,	 /* Was read back: may be published. */
	DRAFT_PUBLISHED, /* Renamed, the directory synced: a snapshot. */
	DRAFT_FAILED,	 /* `error` says why. */
};

/* A file on its way to become a snapshot. */
struct snapshot_draft {
	struct env *env;
	struct snapshot name;
	const char *dir; /* The caller's. */
	char *path;
	struct env_file *file; /* NULL once it is closed. */
	struct env_io io;
	bool in_flight;
	enum snapshot_draft_state state;
	struct buf filling; /* Bytes to be written next: add here, while it is open. */
	struct buf flying;
	uint64_t written;
	uint64_t unsynced;
	/* While it is read back, and then: */
	struct snapshot_reader reader;
	bool reading;
	/* Of one that is taken here. */
	uint32_t seed;
	uint64_t blocks;
	size_t block_at; /* In `filling`. */
	char error[SNAPSHOT_ERROR_BYTES];
};

enum snapshot_draft_kind { DRAFT_TAKEN, DRAFT_RECEIVED };

/* Always makes one, perhaps a failed one. `dir` stays the caller's. */
struct snapshot_draft *snapshot_draft_open(struct env *env, const char *dir, struct snapshot name,
					   enum snapshot_draft_kind kind);
/* Also while something is in flight. Removes the file, unless it was published. */
void snapshot_draft_close(struct snapshot_draft *draft);

/* What a snapshot is made of, into draft->filling. A piece is added by the caller between begin and end. */
void snapshot_put_header(struct snapshot_draft *draft, const struct snapshot_header *header);
struct buf *snapshot_begin_block(struct snapshot_draft *draft);
void snapshot_end_block(struct snapshot_draft *draft); /* Nothing added: no block. */
void snapshot_put_footer(struct snapshot_draft *draft, const uint8_t digest[SNAPSHOT_DIGEST_BYTES]);

/* No more bytes will come. */
void snapshot_draft_settle(struct snapshot_draft *draft);
/*
 * Goes on with what is to be done; call it in each turn. Reads back about `bytes_max` bytes at a time. True: call it
 * again soon; false: something is in flight, or it is the caller's turn.
 */
bool snapshot_draft_step(struct snapshot_draft *draft, size_t bytes_max);
/* A valid one: renames it, and syncs the directory. False: it has failed. */
bool snapshot_draft_publish(struct snapshot_draft *draft);

#endif
