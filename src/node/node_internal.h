/*
 * The node's own view of itself. One node, one thread; the files of this room share this struct:
 *
 *	node.c		open, close, turn, status
 *	identity.c	the data directory: LOCK, identity
 *	drive.c		the only caller of the core: events in, effects out, the log, the outbox, apply
 *	links.c		connections with the other members: dial, handshake, frames in, frames out
 *	requests.c	what clients want: queue, propose, read, forward, outcomes
 *	cache.c		the encoded log in memory
 */
#ifndef IKADA_NODE_NODE_INTERNAL_H
#define IKADA_NODE_NODE_INTERNAL_H

#include "base/buf.h"
#include "base/list.h"
#include "base/rng.h"
#include "env/env.h"
#include "ikada/node.h"
#include "node/cache.h"
#include "node/observe.h"
#include "wal/wal.h"
#include "wire/wire.h"

#define NS_PER_MS ((uint64_t)1000000)
#define NS_PER_S ((uint64_t)1000000000)

/* A connection with another member, or with a stranger who has not said yet who it is. */
struct link {
	struct list all; /* In node->links. */
	struct ikada_node *node;
	struct env_stream *stream;
	struct peer *peer; /* NULL: a stranger. */
	bool dialed;
	bool ready; /* The handshake is done, and this is the peer's current connection. */
	struct buf in; /* Bytes of a frame not yet whole. */
	uint64_t peer_boot;
	uint64_t since_ns; /* Raw: when it was made. */
	uint64_t received_ns; /* Awake: when bytes last came. */
	uint64_t sent_ns;     /* Raw: when a frame last left. */
	struct list forwarded; /* Requests that this peer forwarded to us and waits for. */
};

/* Another member. */
struct peer {
	uint64_t id;
	char *address;
	char client_address[WIRE_ADDRESS_BYTES + 1];
	uint64_t incarnation; /* As last seen in a handshake, or as configured; 0 unknown. */
	struct link *link;    /* The current connection; NULL none. */
	struct link *dialing; /* Ours, not yet ready; NULL none. */
	uint64_t dial_at_ns;
	uint64_t backoff_ns;
	struct list sent; /* Requests we forwarded over `link` and wait for. */
};

enum op_state {
	OP_QUEUED,    /* Not yet anywhere: waits for a leader. In node->queue. */
	OP_FORWARDED, /* Sent to the leader. In peer->sent. */
	OP_PROPOSED,  /* An entry, at op->index in op->term. In node->proposed, by index. */
	OP_READING,   /* Waits for a read index, as read op->id. In node->reading, by id. */
	OP_GRANTED,   /* May be served when op->index is applied. In node->granted. */
	OP_FINISHED,  /* Has an outcome, to be told in this turn. In node->finished. */
};

/* A request under way on this node, its own client's or a peer's. */
struct op {
	struct list at;	 /* In the list of its state. */
	struct list age; /* In node->ages, by deadline. */
	struct list origin_at; /* In origin->forwarded, for a peer's. */
	enum op_state state;
	enum ikada_outcome outcome;
	bool read;
	bool refused_here; /* A peer's: this node did not lead in the term it was sent for. */
	uint32_t tag;
	uint64_t number;
	uint64_t deadline_ns; /* Raw. */
	uint64_t id;
	uint64_t index;
	uint64_t term;
	struct ikada_request *request; /* Own client's; NULL when forgotten. */
	struct link *origin;	       /* A peer's; NULL when that connection is gone. */
	size_t size;
	uint8_t bytes[];
};

/* Outcome on the wire beside enum ikada_outcome: the receiver does not lead; certainly not executed. */
enum { WIRE_OUTCOME_NOT_LEADER = 100 };

struct sent_report {
	uint64_t peer;
	uint64_t last_index;
	uint64_t bytes;
};

struct ikada_node {
	struct env *env;
	struct mem *mem;
	struct ikada_node_settings settings;
	struct ikada_machine machine;
	const struct node_observer *observer;
	bool closing;

	/* identity.c */
	char *data_dir;
	struct env_file *lock;
	uint64_t incarnation;
	uint64_t boot;

	/* Members: this node's own place is `self` in peers; its link is always NULL. */
	struct peer peers[IKADA_MEMBERS_MAX];
	uint32_t peer_count;
	uint32_t self;
	char *client_address;
	struct ikada_config config; /* count 0: none yet. */
	uint64_t cluster_id;

	/* links.c */
	struct env_listener *listener;
	struct list links;
	uint32_t stranger_count;
	struct rng rng; /* For backoff. */
	struct buf scratch; /* A frame being encoded. */

	/* drive.c */
	struct ikada_raft *raft; /* NULL before the first configuration is durable. */
	void *raft_memory;
	size_t raft_bytes;
	struct wal *wal;
	struct cache cache;
	uint64_t durable_ticket; /* The last ticket of the core known to be durable. */
	uint64_t ticket_offset;	 /* The log's tickets are the core's plus this: 1 if the base was put in this boot. */
	bool born_pending;	 /* The first configuration is written, not yet durable. */
	struct ikada_effects effects;
	struct ikada_message *outbox; /* Messages that wait for their tickets, in order. */
	size_t outbox_start;
	size_t outbox_count;
	struct sent_report *reports; /* Appends encoded in this step, to be reported to the core. */
	size_t report_count;
	size_t report_at;
	bool stepping;
	struct op **batch; /* The proposals of the step under way. */
	size_t batch_count;
	const struct wire_raft *raft_in; /* The message of the step under way. */
	uint64_t stamp; /* Of the last entry this node stamped or appended. */
	uint64_t term;
	enum ikada_role role;
	uint64_t leader;
	uint64_t commit;
	uint64_t applied;
	uint64_t last_write_ns; /* Raw: when the log last got something; for seals. */
	bool sealed;

	/* requests.c */
	struct list queue;
	struct list proposed;
	struct list reading;
	struct list granted;
	struct list finished;
	struct list ages;
	uint64_t next_number;
	uint64_t next_read_id;
	uint64_t op_bytes;
	struct buf reply; /* Of the state machine, until it is handed on. */
};

/* identity.c: makes or opens the directory; false with a line in `error`. */
bool identity_open(struct ikada_node *node, char *error, size_t error_size);
/* "DIR/NAME" in the node's memory. */
char *path_join(struct mem *mem, const char *dir, const char *name);
/* Parses settings->cluster into node->peers; false with a line in `error`. */
bool cluster_parse(struct ikada_node *node, const char *cluster, char *error, size_t error_size);

/* drive.c */
bool drive_open(struct ikada_node *node, char *error, size_t error_size);
void drive_close(struct ikada_node *node);
void drive_event(struct ikada_node *node, struct ikada_event *event); /* Fills in the clocks. */
void drive_receive(struct ikada_node *node, const struct wire_raft *in);
void drive_born(struct ikada_node *node, const struct ikada_config *config);
void drive_propose(struct ikada_node *node, struct op **ops, size_t count); /* States of the ops tell what came of it. */
/* Applies what is committed, at most `count` entries; true when there is more. */
bool drive_apply(struct ikada_node *node, uint64_t count);
uint64_t drive_deadline(const struct ikada_node *node);
void drive_time(struct ikada_node *node); /* TICK if due, seals, flush. */

/* links.c */
bool links_open(struct ikada_node *node, char *error, size_t error_size);
void links_close(struct ikada_node *node);
uint64_t links_time(struct ikada_node *node); /* Dials, pings, closes what is silent; returns when it wants to run next. */
struct peer *links_peer(struct ikada_node *node, uint64_t id);
/* False when there is no connection or its output is full. */
bool links_send_frame(struct ikada_node *node, struct peer *peer, const struct buf *frame);
void links_send(struct ikada_node *node, struct link *link, const struct buf *bytes);
void links_announce(struct ikada_node *node); /* Tells the configuration over every connection. */
size_t links_room(const struct peer *peer);

/* requests.c */
void requests_init(struct ikada_node *node);
void requests_close(struct ikada_node *node);
bool requests_route(struct ikada_node *node); /* True if something moved. */
void requests_forwarded(struct link *link, const struct wire_forward *forward);
void requests_reply(struct peer *peer, const struct wire_forward_reply *reply);
void requests_link_closed(struct link *link);
void requests_granted(struct ikada_node *node, uint64_t first_id, uint64_t count, uint64_t index);
void requests_reads_refused(struct ikada_node *node, uint64_t first_id, uint64_t count, enum ikada_refusal why);
void requests_accepted(struct ikada_node *node, struct op *op, uint64_t index, uint64_t term);
void requests_refused(struct ikada_node *node, struct op *op, enum ikada_refusal why);
/* Tells the outcome at once and frees the op. Only from a turn or a callback of the env. */
void requests_answer(struct ikada_node *node, struct op *op, enum ikada_outcome outcome, const uint8_t *reply,
		     size_t size);
/* The entry is committed; the op that waits for it, or NULL; ops that lost their index are refused. */
struct op *requests_committed(struct ikada_node *node, uint64_t index, uint64_t term);
/* Gives the op an outcome, to be told in requests_deliver. */
void requests_finish(struct ikada_node *node, struct op *op, enum ikada_outcome outcome);
bool requests_serve(struct ikada_node *node);	/* Granted reads whose index is applied. */
bool requests_deliver(struct ikada_node *node); /* Tells outcomes. */
uint64_t requests_time(struct ikada_node *node); /* Expires; returns the next deadline. */

#endif
