/*
 * The format of the log on disk, version 2. All numbers are little-endian; reserved bytes are written as zeros and not
 * judged. CRC is CRC-32C.
 *
 * The log is a chain of batches in segment files NNNNNNNNNNNNNNNN.wal (the segment's number in hexadecimal; they ascend
 * by one from the oldest). A segment is made under another name, with its header, all its room and nothing else;
 * synced, renamed, and its directory synced, before a batch goes into it. So a damaged header is never the trace of a
 * crash. Segments are made ahead: the last few may hold no batch yet.
 *
 * The oldest segment goes when all its entries are at or below the base, and the base stands in a later one, durable.
 * It is unlinked, or renamed to become one made ahead, and the directory is synced before anything else happens to it
 * or to the next. One that is recycled gets a new header, with another salt: what is left in it of its earlier life is
 * no batch of this one.
 *
 * Segment header, at the start of the first block; a block is 4096 bytes:
 *
 *	offset	size	field
 *	0	8	"IKADAWAL"
 *	8	4	CRC of bytes 12 .. 64
 *	12	4	version; what follows is judged only if it is 2
 *	16	8	number of the segment, as in its name; the first ever is 1
 *	24	8	bytes of the segment: a multiple of 4096
 *	32	8	salt: random
 *	40	8	epoch in which the segment was made
 *	48	8	recycled: so many bytes of it were written before; 0 when it is new
 *	56	8	reserved
 *
 * Batches follow from the second block on. A batch is one write. It starts on a block of its own, never spans segments,
 * and is written only after the batch before it is durable. Batch header:
 *
 *	offset	size	field
 *	0	4	CRC of bytes 4 .. 56 + 16 * G
 *	4	2	kind (enum batch_kind)
 *	6	2	G: number of commits
 *	8	8	sequence: one larger than that of the batch before; the first ever is 1
 *	16	8	epoch: one for each time the log was opened
 *	24	8	salt of the segment
 *	32	8	offset of the batch in the segment
 *	40	4	B: bytes of the body, a multiple of 8
 *	44	4	CRC of the body
 *	48	4	the first field of the batch before; 0 in the first ever
 *	52	4	reserved
 *	56	16 * G	commits, of each group that the batch touches: group (4), reserved (4), the highest index known
 *			to be committed (8), which the log has when the batch is read
 *	...	B	body: records; then zeros up to the next block
 *
 * A batch is *whole* if and only if its header matches its CRC, names the salt of its segment and its own offset, and
 * ends within the segment, and its body matches its CRC. A batch is *valid* if and only if it is whole and
 *	(1) its sequence is one larger than that of the valid batch before it, and it names that batch's CRC;
 *	(2) its epoch is that of the batch before, or a larger one and the kind is CUT; a CUT always has a larger one;
 *	(3) it follows the batch before at once, or is the first of the next segment;
 *	(4) it is the first of a segment if the kind is OPEN, and if it is the first, the kind is OPEN or CUT;
 *	(5) its records say what their tables say, and follow from what came before.
 * When earlier segments are gone, (1) and (2) do not bind the first batch of the oldest one; its STATE says what they
 * led to, and what they held that is still wanted is missed: the configuration of the base, entries above it.
 * The log is its valid batches. Where the next one should be, a whole batch of its sequence that is not valid was not
 * left by a crash: recovery refuses. Else, a header there or further on that matches its CRC, salt and offset and has a
 * higher sequence proves that the missing batch was durable once: corruption, recovery refuses. Else it is a torn tail,
 * and a CUT goes in its place.
 *
 * Record, at a multiple of 8 from the start of the body:
 *
 *	0	2	kind (enum record_kind); an unknown one is refused
 *	2	2	flags; an unknown one is refused
 *	4	4	group
 *	8	4	L: bytes of the content
 *	12	4	reserved
 *	16	L	content, then zeros up to a multiple of 8
 *
 * Contents:
 *	HARD		term (8), the member voted for in it: id (8; 0: none), incarnation (8).
 *	ENTRIES		encoded entries (base/entry.h), whole. An entry at an index that the log has already replaces it
 *			and all that follow it.
 *	BASE		index (8), term (8), configuration (the rest). The log starts after this; all before is void.
 *			Flag 1: entries after the index stay; it is at most the last one, and not below the base before.
 *	STATE		what HARD has (24), base index (8), base term (8), last index (8); flag 1: there is a base. What
 *			the batches before lead to; stands in each OPEN and CUT, one for each group.
 *	RELOCATED	not written yet: entries copied forward, so that the segment that held them can be recycled.
 *			Each stands for the one the log has at its index, or the next, and replaces nothing.
 */
#ifndef IKADA_WAL_FORMAT_H
#define IKADA_WAL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	WAL_VERSION = 2,
	WAL_BLOCK_BYTES = 4096,
	SEGMENT_HEADER_BYTES = 64,
	BATCH_COMMITS_AT = 56, /* In a batch. */
	BATCH_COMMIT_BYTES = 16,
	BATCH_BODY_AT = BATCH_COMMITS_AT + BATCH_COMMIT_BYTES, /* With the one group of today. */
	RECORD_HEADER_BYTES = 16,
	RECORD_HARD_BYTES = 24,
	RECORD_STATE_BYTES = 48,
};

#define SEGMENT_BYTES_MIN ((uint64_t)64 * 1024)
#define SEGMENT_BYTES_MAX ((uint64_t)1024 * 1024 * 1024)

enum batch_kind {
	BATCH_NORMAL = 1,
	BATCH_SEAL = 2, /* Empty: proves that the batch before is durable. */
	BATCH_CUT = 3,	/* The first of an epoch: nothing follows the batch before but this. */
	BATCH_OPEN = 4, /* The first of a segment. */
};

enum record_kind { RECORD_HARD = 1, RECORD_ENTRIES = 2, RECORD_BASE = 3, RECORD_STATE = 4, RECORD_RELOCATED = 5 };

enum { RECORD_STATE_HAS_BASE = 1, RECORD_BASE_KEEPS = 1 }; /* Flags of STATE and of BASE. */

struct segment_header {
	uint32_t version;
	uint64_t number;
	uint64_t bytes;
	uint64_t salt;
	uint64_t epoch;
	uint64_t recycled_bytes;
};

struct batch_header {
	uint32_t crc; /* Its own. */
	uint16_t kind;
	uint16_t commit_count;
	uint64_t sequence;
	uint64_t epoch;
	uint64_t salt;
	uint64_t offset;
	uint32_t body_bytes;
	uint32_t body_crc;
	uint32_t previous_crc;
};

struct record_header {
	uint16_t kind;
	uint16_t flags;
	uint32_t group;
	uint32_t length;
};

/* What a prefix of the log leads to, of one group. */
struct wal_group {
	bool has_base;
	uint64_t term;
	uint64_t vote;
	uint64_t vote_incarnation;
	uint64_t base_index;
	uint64_t base_term;
	uint64_t last_index;
};

static inline uint64_t wal_round_up(uint64_t bytes, uint64_t unit)
{
	return (bytes + unit - 1) / unit * unit;
}

/* Into a block; clears the rest of it. */
void segment_header_encode(uint8_t *block, const struct segment_header *header);

enum segment_verdict { SEGMENT_GOOD, SEGMENT_DAMAGED, SEGMENT_VERSION };
enum segment_verdict segment_header_decode(const uint8_t *block, struct segment_header *header);

/* Into the start of a batch whose body stands at BATCH_BODY_AT; fills in both CRCs, here and in *header. */
void batch_header_encode(uint8_t *batch, struct batch_header *header, uint64_t commit);

/*
 * Whether a header stands in `block`, which is at `offset` of a segment, that matches its CRC, salt and offset and lets
 * the batch end within the segment. The body is not looked at.
 */
bool batch_header_decode(const uint8_t *block, const struct segment_header *of, uint64_t offset,
			 struct batch_header *header);

static inline size_t batch_body_at(const struct batch_header *header)
{
	return BATCH_COMMITS_AT + (size_t)header->commit_count * BATCH_COMMIT_BYTES;
}

/* On disk: in whole blocks. */
static inline uint64_t batch_bytes(const struct batch_header *header)
{
	return wal_round_up(batch_body_at(header) + header->body_bytes, WAL_BLOCK_BYTES);
}

void record_header_encode(uint8_t *at, const struct record_header *header);
/* A STATE record with its header, RECORD_HEADER_BYTES + RECORD_STATE_BYTES. */
void record_state_encode(uint8_t *at, const struct wal_group *group);

#endif
