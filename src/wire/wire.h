/*
 * Messages between nodes: encode, decode, version. All little-endian.
 *
 * A frame:
 *	offset	size	field
 *	0	4	bytes of the body
 *	4	2	type (enum wire_type)
 *	6	2	version of the format; 1 today
 *	8	4	group; 0 today
 *	12	4	CRC-32C of bytes 0..11, 16..23 and of the body (for RAFT only of its first 120 bytes:
 *			the entries behind carry checksums of their own)
 *	16	8	cluster id; 0 while the sender has no configuration
 *	24		body
 *
 * HELLO and WELCOME: to, from, incarnation, boot (8 each); size of the client address (2), the address; then, if the
 *	cluster id is not 0, the last configuration in the sender's log as wire_put_config writes it; without members if
 *	it has none.
 * REFUSE: a sentence.   PING: nothing.
 * RAFT: kind (1), granted (1), rejected (1), transfer (1), zeros (4), then from, to, term, round, sent_ns, prev_index,
 *	prev_term, last_index, last_term, commit, match_index, verified_index, conflict_index, conflict_term (8 each);
 *	entries.
 * FORWARD: number, term (8 each), read (1), zeros (3), tag (4), the request's bytes.
 * FORWARD_REPLY: number (8), outcome (1), zeros (7), the reply's bytes.
 * SNAPSHOT_CHUNK: the sender's term, the snapshot's index and its term, bytes of the file, offset (8 each), mend (1),
 *	zeros (7), bytes of the file from the offset on. Without bytes it is an offer, to be answered.
 * SNAPSHOT_ACK: the snapshot's index and its term, offset (8 each), status (1), zeros (7).
 * SNAPSHOT_ASK: index (8).
 * DIGESTS: of each checkpoint its index (8) and the digest of the state after it (16); indices ascend.
 *
 * What comes in is hostile until proven: each decoder checks every length before it is used, and says false.
 */
#ifndef IKADA_WIRE_WIRE_H
#define IKADA_WIRE_WIRE_H

#include "base/buf.h"
#include "base/bytes.h"
#include "ikada/raft.h"

enum wire_type {
	WIRE_HELLO = 1,
	WIRE_WELCOME = 2,
	WIRE_REFUSE = 3,
	WIRE_PING = 4,
	WIRE_RAFT = 5,
	WIRE_FORWARD = 6,
	WIRE_FORWARD_REPLY = 7,
	WIRE_SNAPSHOT_CHUNK = 8,
	WIRE_SNAPSHOT_ACK = 9,
	WIRE_SNAPSHOT_ASK = 10,
	WIRE_DIGESTS = 11,
};

enum {
	WIRE_VERSION = 1,
	WIRE_HEADER_BYTES = 24,
	WIRE_RAFT_BYTES = 120,
	WIRE_RUNS_MAX = 64,	    /* Runs of terms in one append; a sender cuts its prefix there. */
	WIRE_DIGESTS_MAX = 64,	    /* Checkpoints in one frame. */
	WIRE_STRANGER_BYTES = 4096, /* The largest body before a peer has proved who it is. */
	WIRE_ADDRESS_BYTES = 255,
};
#define WIRE_BODY_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define WIRE_CHUNK_BYTES_MAX ((size_t)256 * 1024)
#define WIRE_REPLY_BYTES_MAX (WIRE_BODY_BYTES_MAX - 64) /* Of the reply in a FORWARD_REPLY. */

struct wire_frame {
	uint16_t type;
	uint32_t group;
	uint64_t cluster_id;
	const uint8_t *body;
	size_t body_size;
};

enum wire_next { WIRE_MORE, WIRE_FRAME, WIRE_HOSTILE };

/* Looks for a whole frame at the start of `bytes`; on WIRE_FRAME, *used is its size. More than body_max is hostile. */
enum wire_next wire_next(const uint8_t *bytes, size_t size, size_t body_max, struct wire_frame *frame, size_t *used);

struct wire_hello {
	uint64_t to;
	uint64_t from;
	uint64_t incarnation;
	uint64_t boot;
	char client_address[WIRE_ADDRESS_BYTES + 1];
	struct ikada_config
		config; /* With a cluster id only. Index 0: the first one, which the cluster id is made of. */
};

/*
 * Configurations as bytes: version (4), count (4), index, highest id ever used (8 each), then of each member its id,
 * incarnation and standing (8 each). What comes out has its members in order and standings that are known; ask
 * ikada_config_valid for the rest.
 */
void wire_put_config(struct buf *out, const struct ikada_config *config);
bool wire_get_config(const uint8_t *bytes, size_t size, struct ikada_config *config);
/* The same with an address for each member: the configuration, then the size of each address (2) and the address. */
struct wire_members {
	struct ikada_config config;
	char addresses[IKADA_MEMBERS_MAX][WIRE_ADDRESS_BYTES + 1];
};
void wire_put_members(struct buf *out, const struct wire_members *members);
bool wire_get_members(const uint8_t *bytes, size_t size, struct wire_members *members);
/*
 * What is known where a log begins: the cluster id (8), that of the cluster from which this one was recovered (8; 0
 * none), and the configuration with its addresses; or none, where a log has not been told of any yet.
 */
struct wire_base {
	uint64_t cluster_id;
	uint64_t recovered_from;
	struct wire_members members;
};
void wire_put_base(struct buf *out, uint64_t cluster_id, uint64_t recovered_from, const struct wire_members *members);
bool wire_get_base(const uint8_t *bytes, size_t size, struct wire_base *base);
/* What identifies a cluster: a hash of its first configuration, never 0. */
uint64_t wire_cluster_id(const struct ikada_config *config);

void wire_put_hello(struct buf *out, enum wire_type type, uint64_t cluster_id, const struct wire_hello *hello);
bool wire_get_hello(const struct wire_frame *frame, struct wire_hello *hello);

/* A frame whose body is the given bytes, for REFUSE and PING. */
void wire_put_plain(struct buf *out, enum wire_type type, uint64_t cluster_id, const void *body, size_t size);

/*
 * A raft message. For an append with entries, `entries` are whole encoded entries prev_index + 1 .. last_index in up
 * to `count` pieces.
 */
struct wire_piece {
	const uint8_t *bytes;
	size_t size;
};
void wire_put_raft(struct buf *out, uint64_t cluster_id, const struct ikada_message *message,
		   const struct wire_piece *entries, size_t count);

struct wire_raft {
	struct ikada_message message;
	struct ikada_run runs[WIRE_RUNS_MAX];
	uint32_t run_count;
	const uint8_t *entries; /* In the frame. */
	size_t entries_size;
};
/* Checks each entry: its checksum, that indices are contiguous from prev_index + 1 to last_index, that terms ascend. */
bool wire_get_raft(const struct wire_frame *frame, struct wire_raft *raft);

struct wire_forward {
	uint64_t number;
	uint64_t term; /* The term in which the receiver is thought to lead. */
	bool read;
	uint32_t tag;
	const uint8_t *bytes;
	size_t size;
};
void wire_put_forward(struct buf *out, uint64_t cluster_id, const struct wire_forward *forward);
bool wire_get_forward(const struct wire_frame *frame, struct wire_forward *forward);

struct wire_forward_reply {
	uint64_t number;
	uint8_t outcome;
	const uint8_t *bytes;
	size_t size;
};
void wire_put_forward_reply(struct buf *out, uint64_t cluster_id, const struct wire_forward_reply *reply);
bool wire_get_forward_reply(const struct wire_frame *frame, struct wire_forward_reply *reply);

/* A part of a snapshot file. `mend`: the receiver asked for it, because its own state is wrong. */
struct wire_chunk {
	uint64_t term;
	uint64_t index;
	uint64_t index_term;
	uint64_t file_bytes;
	uint64_t offset;
	bool mend;
	const uint8_t *bytes;
	size_t size;
};
void wire_put_chunk(struct buf *out, uint64_t cluster_id, const struct wire_chunk *chunk);
bool wire_get_chunk(const struct wire_frame *frame, struct wire_chunk *chunk);

enum wire_ack_status {
	WIRE_ACK_WANTS = 0,   /* Goes on at `offset`. */
	WIRE_ACK_DONE = 1,    /* Has it, whole and durable. */
	WIRE_ACK_REFUSED = 2, /* Does not want it now. */
	WIRE_ACK_FAILED = 3,  /* Could not keep it: its disk is full, or what came is damaged. */
};
struct wire_ack {
	uint64_t index;
	uint64_t index_term;
	uint64_t offset;
	enum wire_ack_status status;
};
void wire_put_ack(struct buf *out, uint64_t cluster_id, const struct wire_ack *ack);
bool wire_get_ack(const struct wire_frame *frame, struct wire_ack *ack);

/* Wants a snapshot with this index or a later one. */
void wire_put_ask(struct buf *out, uint64_t cluster_id, uint64_t index);
bool wire_get_ask(const struct wire_frame *frame, uint64_t *index);

enum { WIRE_DIGEST_BYTES = 16 };
struct wire_digest {
	uint64_t index;
	uint8_t bytes[WIRE_DIGEST_BYTES];
};
void wire_put_digests(struct buf *out, uint64_t cluster_id, const struct wire_digest *digests, size_t count);
/* Room for WIRE_DIGESTS_MAX. */
bool wire_get_digests(const struct wire_frame *frame, struct wire_digest *digests, size_t *count);

#endif
