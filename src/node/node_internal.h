/*
 * The node's own view of itself. One node, one thread; the files of this room share this struct:
 *
 *	node.c		open, close, turn, status
 *	identity.c	the data directory: LOCK, identity; the cluster list
 *	recover.c	what is left of a cluster that has lost its majority
 *	set_aside.c	what a survivor was, so that it becomes an empty node
 *	boot.c		recovery of the log, the first configuration, the start of the core
 *	drive.c		the only caller of the core: events in, effects out, the log, the outbox, apply
 *	links.c		connections with the other members: dial, accept, frames in, frames out, silence
 *	handshake.c	who may be on the other end of a connection, and when a cluster is born
 *	requests.c	what clients want: requests under way and their outcomes
 *	route.c		where requests go: propose, read, forward
 *	cache.c		the encoded log in memory
 *	roster.c	configurations with addresses, and the peers that follow from them
 *	roster_change.c	what is asked of the members
 *	snapshot.c	snapshots of the own state: when, how, which are kept, and what of the log may go
 *	restore.c	the machine's state from a snapshot
 *	send.c	snapshots to others;   receive.c	from others
 *	digest.c	whether the own state is that of the others, and what happens when it is not
 *
 * Callbacks of the embedder (`done`) are made from a turn or from a callback of the env, never inside a step of the
 * core; no connection is closed inside a step either, so a step may walk any list.
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
#include "wal/snapshot.h"
#include "wal/wal.h"
#include "wire/wire.h"

#define NS_PER_MS ((uint64_t)1000000)
#define NS_PER_S ((uint64_t)1000000000)

enum { COMPLAINT_BYTES = 256 };

/* A frame of entries is often so large, and its buffers stay. */
#define FRAME_KEEP_BYTES ((size_t)2 * 1024 * 1024)

/* A connection with another member, or with a stranger who has not said yet who it is. */
struct link {
	struct list all; /* In node->links; in node->gone once it is closed. */
	struct ikada_node *node;
	struct env_stream *stream; /* NULL: closed; freed in the next turn. */
	struct peer *peer;	   /* NULL: a stranger. */
	bool dialed;
	bool ready;    /* The handshake is done, and this is the peer's current connection. */
	bool overfull; /* Its output is beyond all bounds: closed in the next turn. */
	struct buf in; /* Bytes of a frame not yet whole. */
	uint64_t peer_boot;
	uint64_t told_cluster_id; /* The last that we said here. */
	uint64_t since_ns;	  /* Awake: when it was made, and again when it became ready. */
	uint64_t received_ns;	  /* Awake: when bytes last came. */
	uint64_t sent_ns;	  /* Raw: when a frame last left. */
	struct list guests;	  /* Requests that this peer forwarded to us and waits for. */
};

enum request_kind { WRITES = 0, READS = 1 };

/* A snapshot on its way to another member: send.c. */
struct outgoing {
	bool wanted;		/* By the core: the peer needs entries that are no longer in the log. */
	bool asked;		/* By the peer, to mend its state with, ... */
	uint64_t asked_index;	/* ... of this index or a later one. */
	uint64_t not_before_ns; /* Raw: after a failure. */
	/* Under way: */
	struct env_file *file; /* NULL: nothing is. */
	struct snapshot which;
	bool mend;
	bool answered; /* It is known from where on the peer wants it. */
	uint64_t term; /* In which we lead, unless it is to mend. */
	uint64_t bytes;
	uint64_t offset; /* Of what is sent next. */
	uint64_t acked;
	uint64_t heard_ns; /* Raw: when the peer last said something about it, or it began. */
	/* Ended, to be told to the core in the next turn: */
	bool ended;
	uint64_t ended_index; /* 0: it failed. */
};

/* The digests of some states, by ascending index: a ring. */
enum { CHECKPOINTS_MAX = WIRE_DIGESTS_MAX };
struct checkpoints {
	struct wire_digest at[CHECKPOINTS_MAX];
	uint32_t start, count;
};

/* Another member, by its id; also while two incarnations of it stand in the configuration. */
struct peer {
	uint64_t id; /* 0: a free place. */
	char *address;
	char client_address[WIRE_ADDRESS_BYTES + 1];
	uint64_t incarnation; /* As last seen in a handshake, or as configured; 0 unknown. */
	uint64_t hearsay_ns;  /* Raw: so long it is believed to be a member, on its own word. */
	uint64_t gone_ns;     /* Raw: no configuration names it; then its connection and its place go. 0: one does. */
	bool promised;	      /* It told us that our first configuration is durable there. */
	struct link *link;    /* The current connection; NULL none. */
	struct link *dialing; /* Ours, not yet ready; NULL none. */
	uint64_t dial_at_ns;
	uint64_t backoff_ns;
	struct list sent[2];  /* Requests we forwarded over `link` and wait for, in the order in which they left. */
	uint64_t echoed_term; /* In the last answer to an append of this leader, ... */
	uint64_t echoed_round;
	uint64_t echoed_ns;   /* Raw: ... which was sent then. */
	uint64_t not_leading; /* The term of which it said that it does not lead in it. */
	struct outgoing outgoing;
	struct checkpoints checkpoints;
	uint64_t checkpoint_told; /* The last of ours that it was told of over `link`. */
	/* What was last logged about it: what it refuses, what is refused it, all else. Said once, not in a flood. */
	char complaints[3][COMPLAINT_BYTES + 16];
};

/* Somebody who is no member, and would be one. */
struct knock {
	uint64_t id;
	uint64_t incarnation;
	uint64_t seen_ns; /* Raw: last. */
};
enum { KNOCKS_MAX = 16, CONFIGS_RECEIVED_MAX = 8 };

enum op_state {
	OP_QUEUED,    /* Not yet anywhere: waits for a leader. In node->queue. */
	OP_FORWARDED, /* Sent to the leader of op->term. In peer->sent. */
	OP_PROPOSED,  /* An entry, at op->index in op->term. In node->proposed, by index. */
	OP_READING,   /* Waits for a read index, as read op->id. In node->reading, by id. */
	OP_GRANTED,   /* May be served when op->index is applied. In node->granted. */
	OP_FINISHED,  /* Has an outcome, to be told in this turn. In node->finished. */
};

/* A request under way on this node, its own client's or a peer's (a guest). */
struct op {
	struct list at;	      /* In the list of its state. */
	struct list age;      /* In node->ages, by deadline. */
	struct list guest_at; /* In origin->guests. */
	enum op_state state;
	enum ikada_outcome outcome;
	enum request_kind kind;
	uint32_t tag;
	uint64_t seq;					     /* Orders the requests of this node. */
	uint64_t request_node, request_boot, request_number; /* Who took it from a client. */
	uint64_t deadline_ns;				     /* Raw. */
	uint64_t id;
	uint64_t index;
	uint64_t term; /* Of a guest that is queued: the term in which its sender thinks that we lead. */
	struct ikada_request *request; /* Own client's; NULL when forgotten. */
	struct link *origin;	       /* A guest's connection. A guest without one is freed. */
	size_t size;
	size_t room;
	uint8_t bytes[];
};

/* Outcome on the wire beside enum ikada_outcome: the receiver does not lead; certainly not executed. */
enum { WIRE_OUTCOME_NOT_LEADER = 100 };

/* Appends encoded, to be reported to the core: a ring. */
enum { REPORTS_MAX = 64, OUTBOX_MAX = 1024, BATCH_OPS_MAX = 4096 };
struct sent_report {
	uint64_t peer;
	uint64_t incarnation;
	uint64_t last_index;
	uint64_t bytes;
};

/* Snapshots of the own state: snapshot.c. */
enum { SNAPSHOTS_KEPT = 2 };
struct snapshots {
	char *dir;
	struct snapshot kept[SNAPSHOTS_KEPT + 1]; /* Ascending. */
	uint32_t count;
	uint64_t bytes_since;	      /* Of entries applied since the newest was begun. */
	uint64_t due_bytes;	      /* So many make the next one due: not the same on each node. */
	bool wanted;		      /* Whatever has been applied since. */
	uint64_t not_before_ns;	      /* Raw. */
	uint64_t published_ns;	      /* Raw: the last one. */
	struct snapshot_draft *draft; /* Being taken; NULL none. */
	void *held;		      /* What of it is not written yet; NULL nothing. */
	uint64_t piece_ns;	      /* Raw: the last piece of it was saved or read back then, */
	uint64_t piece_bytes;	      /* it counts for so many, */
	uint64_t piece_since;	      /* and so many were `bytes_since`. */
	uint8_t digest[IKADA_DIGEST_BYTES];
};

/* The state is being loaded: restore.c. */
struct restore {
	bool active;
	struct snapshot which; /* Index 0: the empty state. */
	struct env_file *file;
	struct snapshot_reader reader;
	struct wire_members members;	  /* In the snapshot. */
	char error[SNAPSHOT_ERROR_BYTES]; /* Why it cannot be. */
};

/* A snapshot on its way to this node: receive.c. */
struct incoming {
	struct snapshot_draft *draft; /* NULL: none. */
	struct link *link;	      /* Over which it comes; NULL: that was closed. */
	uint64_t bytes;		      /* Of the file. */
	uint64_t got;
	uint64_t told; /* The offset last acknowledged. */
	bool mend;
	/* It is in force when this ticket is durable; then the sender is told. */
	bool installed;
	uint64_t after;
};

/* Whether the own state is right: digest.c. */
enum digest_verdict {
	DIGEST_UNKNOWN = 0, /* Nobody has said anything that can be compared. */
	DIGEST_AGREED,	    /* It is that of a majority. */
	DIGEST_WRONG,	    /* It is not that of a majority. */
	DIGEST_UNCLEAR,	    /* Somebody differs, and no majority is known. */
};
struct digests {
	struct checkpoints own;
	bool changed;	    /* There is new evidence. */
	uint64_t judged_ns; /* Raw. */
	enum digest_verdict verdict;
	uint64_t verdict_index;
	uint64_t right_index;	   /* The last after which the own state was that of a majority; 0: not known. */
	uint64_t sent_ns;	   /* Raw. */
	uint64_t unclear_since_ns; /* Raw: since when others differ and no majority is known; 0: it is not so. */
	bool doubted;		   /* The state is not served from, and this node does not lead. */
	bool outvoted;		   /* ... because a majority had another. */
	bool reloaded;		   /* ... and loading it again has not helped, if it still differs. */
	bool mending;		   /* It is to be mended with another's snapshot. */
	uint64_t ask_ns;	   /* Raw: when to ask for one, or ask again. */
	uint64_t asked;		   /* The member that was asked last, ... */
	uint32_t turn;		   /* ... or the last one whose turn it was, by its place. */
};

struct ikada_node {
	struct env *env;
	struct mem *mem;
	struct ikada_node_settings settings;
	struct ikada_machine machine;
	const struct node_observer *observer;
	bool in_turn;
	bool wanted; /* Something happened in this turn that wants another one at once. */

	/* identity.c */
	char *data_dir;
	struct env_file *lock;
	uint64_t incarnation;
	uint64_t setting_aside; /* This cluster was being left when `ikada recover` was interrupted; 0: none. */
	uint64_t boot;

	/* Members: this node's own place is `self` in peers; its link is always NULL. */
	struct peer peers[IKADA_MEMBERS_MAX];
	uint32_t peer_count;
	uint32_t self;
	char client_address[WIRE_ADDRESS_BYTES + 1];
	uint64_t cluster_id;		  /* 0 until it is durable, ... */
	uint64_t promised_cluster_id;	  /* ... but known already. */
	uint64_t recovered_from;	  /* That of snapshots from before the loss of a majority; 0: it was not. */
	uint64_t recovered_index;	  /* Up to here they are of that cluster, and not for others. */
	void (*recovered)(void *context); /* recover.c: it is durable. NULL: this node is to run. */
	void *recovered_context;

	/* roster.c: as the core has them. Count 0: the log has not been told of any yet. */
	struct wire_members latest;	     /* In the log, or at its base. */
	struct wire_members before;	     /* In force again when the log is cut; else the same. */
	struct wire_members base_members;    /* At the base, as it was put. */
	struct wire_members applied_members; /* As of the entry `applied`. */
	struct wire_members *received;	     /* Room for CONFIGS_RECEIVED_MAX: those in the message under way. */
	struct ikada_config *received_configs;
	uint32_t received_count;
	struct knock knocks[KNOCKS_MAX];
	const struct wire_members *installing; /* In the snapshot of the step under way. */
	enum ikada_refusal change_refused;     /* The answer to the change of the step under way; 0: none. */
	bool transfer_refused;
	/* The one that a change under way brings. */
	uint64_t coming_id, coming_incarnation;
	char coming_address[WIRE_ADDRESS_BYTES + 1];

	/* links.c, handshake.c */
	struct env_listener *listener;
	struct list links;
	struct list gone;
	uint32_t stranger_count;
	uint64_t stranger_logged_ns;
	struct rng rng;	    /* For backoff. */
	struct buf chunk;   /* Of a snapshot that is being sent. */
	struct buf scratch; /* A frame being encoded. */

	/* boot.c */
	struct ikada_raft *raft; /* NULL before it is known that all members have the first configuration. */
	void *raft_memory;
	size_t raft_bytes;
	bool born_pending; /* The first configuration is written, not yet durable. */

	/* drive.c */
	struct wal *wal;
	struct cache cache;
	uint64_t durable_ticket; /* The last ticket of the core known to be durable. */
	uint64_t ticket_offset;	 /* The log's tickets are the core's plus this: 1 if the base was put in this boot. */
	struct ikada_effects effects;
	struct ikada_message *outbox; /* Messages that wait for their tickets, in order: a ring. */
	size_t outbox_start;
	size_t outbox_count;
	struct sent_report reports[REPORTS_MAX];
	size_t report_start;
	size_t report_count;
	size_t append_bytes_max; /* Of entries in one message, when there is more than one. */
	bool stepping;
	struct op **batch; /* Room for BATCH_OPS_MAX: the proposals of the step under way. */
	size_t batch_count;
	const struct wire_raft *raft_in; /* The message of the step under way. */
	bool accept_snapshot;		 /* The answer to the chunk of the step under way. */
	bool wants_compaction;
	uint64_t last_ticket; /* Of the core's. */
	uint64_t stamp;	      /* Of the last entry this node stamped or appended. */
	uint64_t term;
	enum ikada_role role;
	uint64_t leader;
	uint64_t leader_since_ns; /* Raw: when this leader of this term became known. */
	uint64_t leader_heard_ns; /* Raw: when it last said something. */
	uint64_t commit;
	uint64_t applied;
	uint64_t applied_term;	/* Of that entry; 0: of none. */
	uint64_t applied_stamp; /* Likewise. */
	uint64_t last_write_ns; /* Raw: when the log last got something; for seals. */
	bool sealed;

	struct snapshots snapshots;
	struct restore restore;
	struct incoming incoming;
	struct digests digests;

	/* requests.c, route.c */
	struct list queue[2];
	struct op *put_back; /* The last one put back into the queue of writes, while it is there. */
	struct list proposed;
	struct op *last_proposed; /* The last one put into `proposed`, while it is there. */
	struct list reading;
	struct list granted;
	struct list finished;
	struct list ages;
	struct list spare; /* Ops of OP_ROOM_BYTES to be used again. */
	uint32_t spare_count;
	uint32_t guests_queued;
	uint64_t next_seq;
	uint64_t next_read_id;
	uint64_t op_bytes;
	/* Own writes went out in these terms, up to these seqs: the newest term, and all before it. */
	uint64_t placed_term, placed_seq;
	uint64_t before_term, before_seq;
	struct buf reply; /* Of the state machine, until it is handed on. */
};

static inline uint64_t raw_now(const struct ikada_node *node)
{
	return node->env->ops->raw_ns(node->env);
}

static inline uint64_t awake_now(const struct ikada_node *node)
{
	return node->env->ops->awake_ns(node->env);
}

/* The larger ones are refused: an entry must find its place in the room that the log keeps ahead. */
static inline size_t request_bytes_max(const struct ikada_node *node)
{
	uint64_t fits = node->settings.segment_bytes / 8 * 3 - ENTRY_HEADER_BYTES - 8;
	return fits < ENTRY_PAYLOAD_BYTES_MAX ? (size_t)fits : ENTRY_PAYLOAD_BYTES_MAX;
}

static inline uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* identity.c: makes or opens the directory; false with a line in `error`. */
bool identity_open(struct ikada_node *node, char *error, size_t error_size);
/* Opens the directory of whatever node it is. */
bool identity_find(struct ikada_node *node, char *error, size_t error_size);
/* In this directory, in the place of the one that is there. */
bool identity_write(struct ikada_node *node, const char *dir, char *error, size_t error_size);
/* "DIR/NAME" in the node's memory. */
char *path_join(struct mem *mem, const char *dir, const char *name);
/* Parses settings->cluster into node->peers; false with a line in `error`. */
bool cluster_parse(struct ikada_node *node, const char *cluster, char *error, size_t error_size);
bool address_has_port(const char *address); /* From 1 to 65535, behind the last colon. */

/*
 * set_aside.c: the node becomes an empty one with this incarnation; what it was of this cluster goes aside. Then the
 * rest of that, after an interruption. The log is closed. False with a line in `error`.
 */
bool set_aside_begin(struct ikada_node *node, uint64_t incarnation, uint64_t cluster_id, char *error,
		     size_t error_size);
bool set_aside(struct ikada_node *node, char *error, size_t error_size);

/* node.c: a node that has not opened anything yet. */
struct ikada_node *node_make(struct env *env, const struct ikada_node_settings *settings,
			     const struct ikada_machine *machine);

/* boot.c: opens and recovers the log; starts the core if it ever ran. */
bool boot_open(struct ikada_node *node, char *error, size_t error_size);
/* Only reads it. */
bool boot_read(struct ikada_node *node, struct wal_state *state, char *error, size_t error_size);
/* Writes the first configuration. Once it is durable the node stands by it for ever. */
void boot_promise(struct ikada_node *node, const struct ikada_config *config);
/* The same, by a node that others have taken into their cluster: its log has not been told of a configuration yet. */
void boot_join(struct ikada_node *node, uint64_t cluster_id);
/* True if a write became durable that was the first configuration's. */
bool boot_promised(struct ikada_node *node);
/* All members stand by the first configuration. */
void boot_start(struct ikada_node *node);

/* False: the machine cannot. */
static inline bool has_snapshots(const struct ikada_node *node)
{
	return node->machine.hold != NULL;
}

/* Of a piece of a snapshot, and of a chunk of a file under way: small where the log is small. */
static inline size_t snapshot_piece_bytes(const struct ikada_node *node)
{
	uint64_t bytes = node->settings.segment_bytes / 256;
	return (size_t)earlier(bytes, WIRE_CHUNK_BYTES_MAX);
}

/* drive.c */
void drive_open(struct ikada_node *node);
void drive_close(struct ikada_node *node);
void drive_durable(void *context, uint64_t ticket);		      /* For the log. */
void drive_event(struct ikada_node *node, struct ikada_event *event); /* Fills in the clocks. Nothing without a core. */
void drive_receive(struct ikada_node *node, struct wire_raft *in);    /* Shortens it to what the disk has room for. */
bool drive_busy(const struct ikada_node *node);			      /* The log is writing, or is about to. */
/* Bytes of entries that are sure to find room on the disk; looks for more when `wanted` is not there. */
uint64_t drive_room(struct ikada_node *node, uint64_t wanted);
void drive_propose(struct ikada_node *node, size_t count); /* The first `count` of the batch: accepted or refused. */
void drive_time(struct ikada_node *node);		   /* A tick if one is due; seals. */
uint64_t drive_deadline(const struct ikada_node *node);
bool drive_apply(struct ikada_node *node, uint64_t count); /* Of what is committed; true when there is more. */
/* A chunk of this snapshot came from a leader: may it be received? */
bool drive_snapshot_chunk(struct ikada_node *node, const struct peer *from, const struct wire_chunk *chunk);

/* links.c */
bool links_open(struct ikada_node *node, char *error, size_t error_size);
void links_close(struct ikada_node *node);
uint64_t
links_time(struct ikada_node *node); /* Dials, pings, closes what is silent; returns when it wants to run next. */
struct peer *links_peer(struct ikada_node *node, uint64_t id); /* Another member; NULL for self and strangers. */
/* The higher id dials after so long without a connection; until then, the lower one's dialing may be answered. */
#define KNOCK_NS (250 * NS_PER_MS)
void links_new_peer(struct ikada_node *node, struct peer *peer);
/* Nobody refuses this node any more: it need not wait as if they did. */
void links_taken_in(struct ikada_node *node);
/* False when there is no connection or its output is full. */
bool links_send_frame(struct ikada_node *node, struct peer *peer, const struct buf *frame);
/* One whole frame of any other kind: in order, never dropped while the connection lasts. */
void links_send(struct link *link, const struct buf *frame);
bool links_room(const struct peer *peer);      /* There is a connection, and its output is not full. */
void links_end(struct link *link, bool flush); /* Closes it. The link lives until the next turn. */
void links_plain(struct link *link, enum wire_type type, const char *text);
/* Logs what is wrong with a peer, or with a stranger (NULL): once, not in a flood. */
void links_complain(struct ikada_node *node, struct peer *peer, const char *text);

/* roster.c */
/* What was read from the log is scanned for the last configurations. False with a line in `error`. */
bool roster_open(struct ikada_node *node, char *error, size_t error_size);
void roster_close(struct ikada_node *node);
void roster_first(struct ikada_node *node, const struct ikada_config *config); /* Of a cluster that is being born. */
/* Each entry that enters the log; the log is cut at `first`; it begins at an installed snapshot. */
void roster_appended(struct ikada_node *node, const struct entry *entry);
void roster_cut(struct ikada_node *node, uint64_t first);
void roster_installed(struct ikada_node *node, const struct wire_members *members, uint64_t index, bool kept);
void roster_applied(struct ikada_node *node, const struct entry *entry);
void roster_restored(struct ikada_node *node, const struct wire_members *members); /* The state was loaded. */
/* Decodes a configuration entry; false: it is none that can be. */
bool roster_decode(const struct entry *entry, struct wire_members *members);
/* The configurations in a message, for its event; shortens a message that has too many. False: hostile. */
bool roster_received(struct ikada_node *node, struct wire_raft *in);
/* The payload of the entry that the core wants for `config`. */
void roster_encode(struct ikada_node *node, const struct ikada_config *config, struct buf *out);
void roster_changed(struct ikada_node *node);  /* Peers follow the configuration. Also inside a step. */
uint64_t roster_time(struct ikada_node *node); /* Lets go of those who have gone; returns when it wants to run next. */
/* Is this a member, of the last configuration, or of the one before while the last one is not committed? */
bool roster_know(const struct ikada_node *node, uint64_t id, uint64_t incarnation);
const struct ikada_member *roster_find(const struct ikada_config *config, uint64_t id, uint64_t incarnation);
/* The incarnation of an id that stays, if there are two; NULL: there is none. */
const struct ikada_member *roster_of_id(const struct ikada_config *config, uint64_t id);
/* The place of another member that was heard of, with an address or "". NULL: there is no room. */
struct peer *roster_add_peer(struct ikada_node *node, uint64_t id, const char *address);
void roster_knock(struct ikada_node *node, uint64_t id, uint64_t incarnation);
/* It is a member: whoever knocked under this id before is not there any more. */
void roster_came(struct ikada_node *node, uint64_t id, uint64_t incarnation);
void roster_gave_up(struct ikada_node *node); /* The core took a change back: for people. */
void roster_forgot(struct ikada_node *node, const struct ikada_effects *e); /* The core's alarm: for people. */

/* handshake.c */
void handshake_hello(struct link *link, enum wire_type type);
/* A frame came on a connection that is not ready, or a WELCOME or REFUSE on one that is. */
void handshake_frame(struct link *link, const struct wire_frame *frame);
void handshake_announce(struct ikada_node *node); /* Our cluster id is known now: tells it over every connection. */
void handshake_consider(struct ikada_node *node); /* Is it time to promise a first configuration, or to start? */

/* snapshot.c */
bool snapshots_open(struct ikada_node *node, const struct wal_state *state, char *error, size_t error_size);
void snapshots_close(struct ikada_node *node);
uint64_t snapshots_turn(struct ikada_node *node);	  /* Goes on taking one; returns when it wants to run next. */
void snapshots_abandon(struct ikada_node *node);	  /* The one being taken. */
uint64_t snapshots_newest(const struct ikada_node *node); /* Its index; 0 none. */
/* One more is durable. Some older one goes. */
void snapshots_add(struct ikada_node *node, struct snapshot which);
void snapshots_drop(struct ikada_node *node, struct snapshot which);
void snapshots_keep_only(struct ikada_node *node, struct snapshot which);
/* The newest that goes no further than the entry `index`, or else the oldest that the log reaches back to; newer go. */
struct snapshot snapshots_up_to(struct ikada_node *node, uint64_t index);

/* restore.c */
/*
 * The state is to be that of a kept snapshot (index 0: the empty one); loaded in the turns to come, until then
 * nothing is applied or served. A snapshot that cannot be loaded is left for an older one; when there is none, it is
 * env fatal.
 */
void restore_begin(struct ikada_node *node, struct snapshot which);
/* Loads about `bytes_max` bytes; true: there is more. */
bool restore_turn(struct ikada_node *node, size_t bytes_max);
/* At the start: the newest that can be loaded. False: there is none, and the log does not begin at the beginning. */
bool restore_newest(struct ikada_node *node, char *error, size_t error_size);
void restore_close(struct ikada_node *node);

/* send.c */
void send_want(struct ikada_node *node, struct peer *peer); /* Also inside a step. */
void send_ack(struct link *link, const struct wire_ack *ack);
void send_ask(struct link *link, uint64_t index);
void send_link_closed(struct peer *peer);
uint64_t send_turn(struct ikada_node *node);
/* The oldest snapshot under way; UINT64_MAX: none. The log behind it is still wanted. */
uint64_t send_pinned(const struct ikada_node *node);
void send_close(struct ikada_node *node);

/* receive.c */
void receive_chunk(struct link *link, const struct wire_chunk *chunk);
void receive_link_closed(struct link *link);
bool receive_turn(struct ikada_node *node); /* True: it wants to go on at once. */
void receive_close(struct ikada_node *node);

/* digest.c */
void digest_applied(struct ikada_node *node);  /* An entry was. */
void digest_restored(struct ikada_node *node); /* The state is another now. */
void digest_frame(struct link *link, const struct wire_digest *digests, size_t count);
void digest_link_ready(struct peer *peer);
uint64_t digest_turn(struct ikada_node *node);

/* requests.c */
void requests_init(struct ikada_node *node);
void requests_close(struct ikada_node *node);
void requests_link_closed(struct link *link);
/* Moves an op into a list, as its last. */
void requests_move(struct ikada_node *node, struct op *op, struct list *list, enum op_state state);
/* Back to its place among those not yet anywhere. */
void requests_put_back(struct ikada_node *node, struct op *op);
struct op *requests_guest(struct link *link, const struct wire_forward *forward);
/* Tells the outcome at once and frees the op. Only from a turn or a callback of the env. */
void requests_answer(struct ikada_node *node, struct op *op, enum ikada_outcome outcome, const uint8_t *reply,
		     size_t size);
/* A reply to what came over `link`; `outcome` is of enum ikada_outcome, or WIRE_OUTCOME_NOT_LEADER. */
void requests_tell(struct link *link, uint64_t number, uint8_t outcome, const uint8_t *bytes, size_t size);
void requests_free(struct ikada_node *node, struct op *op); /* Of which nobody is to hear. */
/* Gives the op an outcome, to be told in requests_deliver. */
void requests_finish(struct ikada_node *node, struct op *op, enum ikada_outcome outcome);
bool requests_deliver(struct ikada_node *node);	 /* Tells outcomes; true when there is more. */
uint64_t requests_time(struct ikada_node *node); /* Expires; returns the next deadline. */

/* route.c */
void route(struct ikada_node *node);
bool route_known(struct ikada_node *node); /* There is a leader to be asked, it may be this node. */
uint64_t route_deadline(const struct ikada_node *node);
void route_forwarded(struct link *link, const struct wire_forward *forward);
void route_reply(struct peer *peer, const struct wire_forward_reply *reply);
void route_accepted(struct ikada_node *node, struct op *op, uint64_t index, uint64_t term);
void route_reads_granted(struct ikada_node *node, uint64_t first_id, uint64_t count, uint64_t index);
void route_reads_refused(struct ikada_node *node, uint64_t first_id, uint64_t count);
/* A snapshot covers the entries up to `index` of `term`: what became of requests among them is not known. */
void route_covered(struct ikada_node *node, uint64_t index, uint64_t term);
/* Nothing is answered from the own state any more: writes end as unknown, reads go to another. */
void route_doubted(struct ikada_node *node);
/* The entry is committed; the op that waits for it, or NULL; ops that never will be are refused. */
struct op *route_committed(struct ikada_node *node, uint64_t index, uint64_t term);
bool route_serve(struct ikada_node *node, uint64_t count); /* Granted reads whose index is applied; true: more. */

#endif
