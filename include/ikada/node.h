/*
 * The durable runtime of Ikada: one replica of a state machine, with its log on disk and its connections to the other
 * members, around the core of raft.h. The embedder brings the state machine, and an env, the outside world: env.h.
 *
 * Requests. Any node takes any request; one that does not lead forwards it to the leader over one ordered stream and
 * never sends it again by itself. Each request ends exactly once, in one of three ways:
 *	done	 it is committed (a read: linearizable), the reply is that of the state machine;
 *	refused	 it was certainly not executed;
 *	unknown	 it may have been, or may yet be, executed.
 * Writes that one caller makes in a row are applied in that order, as far as they are applied. A read issued while
 * writes of the same caller are pending may or may not see them: wait for them first.
 *
 * Thread-safety: everything on the env's one thread. No callback is made inside a call of the embedder, but for
 * ikada_node_close.
 */
#ifndef IKADA_NODE_H
#define IKADA_NODE_H

#include "ikada/raft.h"

#ifdef __cplusplus
extern "C" {
#endif

struct env;
struct buf;
struct ikada_node;

enum ikada_outcome {
	IKADA_DONE = 0,
	IKADA_NO_LEADER = 1, /* Refused: no leader took it by the deadline, or what one took was replaced. */
	IKADA_BUSY = 2,	     /* Refused: a queue is full, or the disk has no room. */
	IKADA_TOO_LARGE = 3, /* Refused: larger than an entry can be (16 MiB, and 3/8 of a segment). */
	IKADA_UNKNOWN = 4,   /* Unknown. */
};

enum { IKADA_DIGEST_BYTES = 16 };

/* What the state machine is told of an entry. */
struct ikada_apply {
	uint64_t index;
	uint64_t stamp; /* ns since 1970, the same on every replica, never decreasing. */
	const uint8_t *bytes;
	size_t size;
	uint32_t tag; /* Of the request if this node answers it, else 0. Must not influence the state. */
};

/*
 * The embedder's state machine. Deterministic: same entries, same state and same replies; no clock, no randomness.
 * `reply` is a buffer to add the reply to (ikada_buf_add), NULL in `apply` when nobody waits for it.
 *
 * From `hold` on, the functions are there all, or not at all: then there are no snapshots, the log grows for ever, and
 * a state that has come to differ from that of the others is not noticed.
 */
enum { IKADA_EXPECTED_MAX = 16 };
struct ikada_machine {
	void *context;
	void (*apply)(void *context, const struct ikada_apply *entry, struct buf *reply);
	void (*query)(void *context, const uint8_t *bytes, size_t size, uint32_t tag, struct buf *reply);
	/* These will be applied next, at most IKADA_EXPECTED_MAX: a chance to fetch what they touch. May be NULL. */
	void (*expect)(void *context, const struct ikada_apply *entries, size_t count);
	/* Called when a turn has nothing left to do; true: there is more such work, call again soon. May be NULL. */
	bool (*idle)(void *context);

	/* Holds the state as it is now, in constant time, while more is applied; until `release`. */
	void *(*hold)(void *context);
	/* Adds the next piece of what is held: whole records, of about `bytes` bytes. False: it was the last. */
	bool (*save)(void *context, void *held, struct buf *out, size_t bytes);
	void (*release)(void *context, void *held);
	/*
	 * The state is to be another: what it was goes, then comes each piece as it was saved, in order, then the end.
	 * False: this cannot be understood. No other function is called in between, but `idle`; and load_begin again.
	 */
	void (*load_begin)(void *context);
	bool (*load)(void *context, const uint8_t *bytes, size_t size);
	bool (*load_end)(void *context);
	/* Of the state as it is: equal states have equal digests, and different ones do not. Constant time. */
	void (*digest)(void *context, uint8_t digest[IKADA_DIGEST_BYTES]);
};

/* A request. Embedded in the caller's memory, which keeps it until `done`; or ikada_node_forget. */
struct ikada_request {
	/* The request has ended. `reply` lives during the call. */
	void (*done)(struct ikada_request *request, enum ikada_outcome outcome, const uint8_t *reply, size_t size);
	void *under_way; /* Set by the node; NULL when the request is not under way. */
};

struct ikada_node_settings {
	uint64_t id;
	const char *cluster; /* "1=HOST:PORT,2=HOST:PORT,..." : members and the addresses they listen on for peers. */
	const char *client_address; /* Told to the peers, for status and redirects; not used here. */
	const char *data_dir;	    /* Made if missing. */
	uint64_t heartbeat_ns;	    /* 0: 100 ms, or half of election_min_ns if that is less. */
	uint64_t election_min_ns;   /* 0: 250 ms. */
	uint64_t election_max_ns;   /* 0: twice election_min_ns. */
	uint64_t hint_delay_ns;	    /* 0: 5 ms, after the leader's connection was lost. */

	uint64_t request_deadline_ns; /* 0: 5 s. */
	uint64_t segment_bytes;	      /* 0: 64 MiB. */
	uint32_t term_runs;	      /* 0: 65536. */
	uint64_t queue_bytes_max;     /* Of requests under way; more are refused as busy. 0: 256 MiB. */
	uint64_t snapshot_log_bytes;  /* After so many bytes of entries a snapshot is taken. 0: 64 MiB. */
	uint32_t priority;	      /* 0 is usual; higher ones campaign later. */
	uint64_t checkpoint_entries;  /* After each so many entries the nodes compare their states. 0: 1024. */
};

/*
 * Opens the data directory, recovers the log, listens, and starts to take part. Returns NULL with one clear line in
 * `error` when it cannot: what was expected, and what was found.
 */
IKADA_API struct ikada_node *ikada_node_open(struct env *env, const struct ikada_node_settings *settings,
					     const struct ikada_machine *machine, char *error, size_t error_size);

/*
 * Stops at once: requests under way end, as unknown or refused, inside this call; connections close. Nothing durable is
 * lost. Not to be called from a callback of the node.
 */
IKADA_API void ikada_node_close(struct ikada_node *node);

/* Wants `bytes` applied as one entry. They are copied. `tag` is handed to the state machine on the answering node. */
IKADA_API void ikada_node_propose(struct ikada_node *node, struct ikada_request *request, const uint8_t *bytes,
				  size_t size, uint32_t tag);
/* Wants the machine queried on a state that holds everything acknowledged before this call. `bytes` are copied. */
IKADA_API void ikada_node_read(struct ikada_node *node, struct ikada_request *request, const uint8_t *bytes,
			       size_t size, uint32_t tag);
/* The caller no longer wants to hear of a request (its client is gone): `done` will not be called. */
IKADA_API void ikada_node_forget(struct ikada_node *node, struct ikada_request *request);

/* What can be done about members: docs/membership.md. */
enum ikada_member_action {
	IKADA_MEMBER_ADD,	  /* As a voter, once it has caught up. */
	IKADA_MEMBER_ADD_LEARNER, /* It never votes. */
	IKADA_MEMBER_REMOVE,
	IKADA_MEMBER_REPLACE, /* The member of this id by another incarnation: its disk was wiped. */
	IKADA_MEMBER_PROMOTE, /* A learner. */
	IKADA_MEMBER_DEMOTE,  /* A voter: from now on a learner. */
};
/*
 * Asks for a change of members, on the leader. The one that comes must be running: it is known by its knocking.
 * `address` is where it listens for peers; for REPLACE NULL means where it did. True: the change is in the log, not yet
 * committed, and this cluster goes on with it by itself; watch the status. False: nothing was done, `error` says why.
 */
IKADA_API bool ikada_node_change(struct ikada_node *node, enum ikada_member_action action, uint64_t id,
				 const char *address, char *error, size_t error_size);
/*
 * Hands leadership to the member `to` (0: to whom it suits best), within `deadline_ns` from now; writes wait meanwhile.
 * True: it is under way; watch the status.
 */
IKADA_API bool ikada_node_transfer(struct ikada_node *node, uint64_t to, uint64_t deadline_ns, char *error,
				   size_t error_size);

/* Of what a survivor says of itself, with its end. */
enum { IKADA_SURVIVOR_BYTES = 4096 };

/* What a log tells of a cluster, and what becomes of it by ikada_node_recover. */
struct ikada_recovery {
	uint64_t id, incarnation, cluster_id;
	uint64_t last_index, last_term;
	uint64_t commit; /* An index known to be committed. */
	struct ikada_config config;
	char survivor[IKADA_SURVIVOR_BYTES]; /* What this node is to be named as among the survivors. */
	/* If survivors were named: */
	bool done; /* It was done before; then nothing but these ids is told. */
	uint64_t new_cluster_id;
	uint64_t begins;		      /* The one whose log becomes that of the new cluster. */
	uint64_t begins_index, begins_commit; /* Its last entry, and what of it is known to be committed. */
	struct ikada_config next;	      /* The members of the new cluster; as of this node's log. */
};
/*
 * When the majority of a cluster is lost for ever: makes a new cluster of the survivors, under a new id, with all the
 * entries that the log of one of them has, committed or not. None of them may be running. First of each data directory
 * with `survivors` NULL: leaves what it holds as it is, and tells what this node is to be named as. Then of each with
 * the same `survivors`, all those names with commas between: the one that is to begin gets the new configuration; of
 * any other the data are set aside, and it is an empty node that the first one takes in. Does nothing unless `done` is
 * given, which is called from the loop of `env` when all is durable; then close the node. It may be done again after
 * an interruption. NULL with a line in `error` when it cannot be. The settings' id and cluster are not used.
 */
IKADA_API struct ikada_node *ikada_node_recover(struct env *env, const struct ikada_node_settings *settings,
						const char *survivors, struct ikada_recovery *found,
						void (*done)(void *context), void *context, char *error,
						size_t error_size);

struct ikada_node_status {
	struct ikada_raft_status raft; /* All zero before the first configuration is known. */
	uint64_t applied_index;
	uint64_t digest_index; /* The digest is that of the state after this entry; 0: it is being loaded. */
	uint8_t digest[IKADA_DIGEST_BYTES];
	bool doubted;		 /* The state differs from that of the others, or did: it is not served from. */
	uint64_t snapshot_index; /* Of the newest snapshot; 0: none. */
	uint64_t log_bytes;	 /* On disk. */
	uint64_t sync_last_ns, sync_mean_ns, sync_max_ns; /* Of the log; since the node was opened. */

	uint64_t cluster_id; /* 0 before the first configuration is known. */
	uint64_t incarnation;
	uint64_t boot;
	uint32_t member_count;
	struct ikada_node_member {
		uint64_t id;
		uint64_t incarnation; /* 0: not known. */
		enum ikada_standing standing;
		const char *address;	    /* For peers. */
		const char *client_address; /* "" while unknown. */
		bool connected;
	} members[IKADA_MEMBERS_MAX]; /* Of the last configuration; before there is one, of the cluster list. */
};
/* Strings live until the next turn. */
IKADA_API void ikada_node_status(const struct ikada_node *node, struct ikada_node_status *status);

#ifdef __cplusplus
}
#endif

#endif
