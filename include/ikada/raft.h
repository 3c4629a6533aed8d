/*
 * The consensus core of Ikada: a state machine, for those who bring their own I/O.
 *
 * The core implements Raft (Ongaro and Ousterhout 2014, "the paper"; Ongaro's dissertation 2014, "the dissertation"):
 * leader election with pre-vote (dissertation 9.6), randomised timeouts (paper 5.2), check-quorum and leader
 * stickiness (dissertation 6.2), log replication with pipelining (10.2.1), commitment (paper 5.3, 5.4.2), snapshots
 * (paper 7), changes of membership by joint consensus (paper 6, dissertation 4.3) with learners caught up first
 * (4.2.1), leadership transfer (3.10), and linearizable reads by ReadIndex (6.4).
 *
 * Pure. ikada_raft_step changes *raft and *effects and nothing else: no allocation, no clock, no I/O, no callback, no
 * writable global. The same events give the same effects with every compiler.
 * Infallible. Memory is given once, sized by limits; a step returns nothing. A refusal is an effect.
 * Payload-free. The core knows the (index, term) of each entry, as runs, never its bytes: the driver keeps those.
 * Configurations are the exception: they come and go decoded, by value.
 * Thread-safety: one caller at a time for each struct ikada_raft; separate ones are independent.
 * Units: times are nanoseconds (names end in _ns), sizes are bytes (names end in _bytes).
 *
 * Durability, one rule. Each step that changes durable state (term, vote, log) sets effects.ticket, one larger than
 * the last. The driver makes tickets durable in order, says so with an IKADA_DURABLE event, which covers all tickets
 * up to the one named, and releases a message only when the ticket in its `after` is durable. A message whose `after`
 * is already durable may leave at once, ahead of the write of its own step: the leader sends while it writes.
 */
#ifndef IKADA_RAFT_H
#define IKADA_RAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef IKADA_API
#if defined(__GNUC__)
#define IKADA_API __attribute__((visibility("default")))
#else
#define IKADA_API
#endif
#endif

/* The most members a configuration can have, all together, and the most voters on either side of a joint one. */
#define IKADA_MEMBERS_MAX 16
#define IKADA_VOTERS_MAX 9

/*
 * What a member is in a configuration. A configuration is joint if it has INCOMING, OUTGOING or DEMOTING members; then
 * every decision needs a majority of the old voters (VOTER, OUTGOING, DEMOTING) *and* one of the new (VOTER, INCOMING).
 * In one that is not joint, VOTER and LEAVING members vote.
 */
enum ikada_standing {
	IKADA_VOTER = 0,    /* Votes, now and after a change under way. */
	IKADA_LEARNER = 1,  /* Receives the log, never votes, stays one. */
	IKADA_JOINING = 2,  /* A learner that becomes a voter as soon as it has caught up. */
	IKADA_LEAVING = 3,  /* Votes until all that are JOINING have caught up; then it goes. */
	IKADA_INCOMING = 4, /* Joint: votes in the new one only. */
	IKADA_OUTGOING = 5, /* Joint: votes in the old one only. */
	IKADA_DEMOTING = 6, /* Joint: votes in the old one only, then it is a learner. */
};

/*
 * A member is the pair (id, incarnation). The incarnation is drawn when a data directory is made: a wiped disk is
 * another member. While one is replaced by another incarnation of the same id, both stand in the configuration.
 */
struct ikada_member {
	uint64_t id; /* Not 0. */
	uint64_t incarnation;
	enum ikada_standing standing;
};

/*
 * Changes. IKADA_CHANGE names all who are to be members, as VOTER or LEARNER; a leader goes there over at most three
 * configurations, each an entry (IKADA_APPEND_CONFIG), by itself, and the next leader goes on where it stopped:
 *
 *	staged	if voters are to come: they are JOINING, those who are to go LEAVING. It stays so until all who join
 *		have caught up; until then another change can replace this one, or undo it. If one of them does not
 *		catch up in ten rounds, or is silent for a hundred election timeouts, the leader takes the change back:
 *		who was LEAVING stays a voter, who was JOINING is a learner, or gone if it was to replace a LEAVING
 *		member of its id (effects.change_given_up).
 *	joint	if voters come or go: they are INCOMING and OUTGOING, or DEMOTING if they stay as learners.
 *	final	VOTER and LEARNER only.
 *
 * Refused as busy: before an entry of the leader's own term is committed, while the last configuration is not committed
 * or is joint, and while leadership is handed on. Refused as invalid: no voter left, more members than the limits (who
 * goes counts until it has gone), a voter that is to be a learner while others are to become voters, an id not above
 * max_id that is no member's. The same id with another incarnation than a member's replaces that member.
 *
 * A leader that is no voter of the final configuration leaves when that is committed. Who is no member any more is sent
 * entries until then, and told once that it has gone.
 */

/*
 * A configuration, by value; members ascend by (id, incarnation). It is in force from when its entry is appended, and
 * no longer when that is cut off the log. With count 0, a log that has not been told of any yet: nobody votes.
 */
struct ikada_config {
	uint64_t index;	 /* Of the entry that made it; 0 for the first. */
	uint64_t max_id; /* The highest id that was ever used. Ids retire for ever. */
	uint32_t count;
	struct ikada_member members[IKADA_MEMBERS_MAX];
};

/* Entries from `first` up to the next run's first (or to the end of what is described) have this term. */
struct ikada_run {
	uint64_t first;
	uint64_t term;
};

/* What bounds the memory of one core. */
struct ikada_limits {
	/* Runs of terms in the log, at least 8. A node without room for its no-op does not campaign. */
	uint32_t term_runs;
	uint32_t inflight_messages;   /* AppendEntries with entries under way to each peer, at least 1. */
	uint64_t inflight_bytes;      /* Their bytes, as reported by IKADA_SENT; one message is always allowed. */
	uint64_t uncommitted_entries; /* Entries a leader holds beyond its commit index; more are refused as busy. */
};

/* What stays the same while a node runs. */
struct ikada_settings {
	uint64_t self;	      /* The id of this member, which may or may not be in the configuration, ... */
	uint64_t incarnation; /* ... and its incarnation. */
	uint64_t seed;	      /* For randomised timeouts; different on each node and start. */
	uint64_t heartbeat_ns;
	uint64_t election_min_ns; /* An election timeout is drawn from [min, max]; min is at least 2 heartbeats. */
	uint64_t election_max_ns;
	uint64_t hint_delay_ns; /* After the leader's connection was lost, a member waits its rank times this. */
	uint32_t priority;	/* 0 is usual; each step lets it wait election_min_ns longer before it campaigns. */
};

/* What was found on disk; for a new node term 0, vote 0, an empty log and the first configuration. */
struct ikada_boot {
	uint64_t term;
	uint64_t vote;		    /* The member voted for in `term`; 0 none. */
	uint64_t vote_incarnation;  /* 0: not known; then it is taken for no member's, and is not granted again. */
	struct ikada_config config; /* The last one that stands in the log, or at its base, committed or not. */
	struct ikada_config config_before; /* The one before that, if the log or its base has one; else the same. */
	uint64_t base_index;		   /* The log starts after this index, ... */
	uint64_t base_term;		   /* ... whose term is this. */
	uint64_t last_index;		   /* Of the last entry; base_index if there is none. All of it is durable. */
	const struct ikada_run *runs;	   /* The terms of base_index + 1 .. last_index; not kept. */
	uint32_t run_count;
	uint64_t commit; /* An index known to be committed, base_index <= commit <= last_index. */
	uint64_t raw_ns;
	uint64_t awake_ns;
};

enum ikada_role { IKADA_FOLLOWER = 0, IKADA_PRECANDIDATE = 1, IKADA_CANDIDATE = 2, IKADA_LEADER = 3 };

enum ikada_message_kind {
	IKADA_PREVOTE = 1,
	IKADA_PREVOTE_REPLY = 2,
	IKADA_VOTE = 3,
	IKADA_VOTE_REPLY = 4,
	IKADA_APPEND = 5, /* With no entries it is a heartbeat. */
	IKADA_APPEND_REPLY = 6,
	IKADA_SNAPSHOT = 7, /* Not sent as such: see below. */
	IKADA_TIMEOUT_NOW = 8,
};

/*
 * A message between members. Fields that a kind does not name are 0.
 *
 * Members are named by id and incarnation. The wire need not carry incarnations: the connection has proved them.
 *
 * PREVOTE, VOTE	last_index, last_term of the candidate's log. PREVOTE's term is the one it would campaign in.
 *			transfer: the leader itself wants this vote to be given.
 * PREVOTE_REPLY,	granted. A granted pre-vote carries the term that was asked for, a refusal the voter's own.
 * VOTE_REPLY
 * APPEND		prev_index, prev_term, commit, round, sent_ns; entries prev_index + 1 .. last_index.
 *			In effects: "up to last_index at most": the driver sends a byte-bounded prefix, of at least one
 *			entry when last_index > prev_index, and reports it with IKADA_SENT. In an IKADA_RECEIVE event:
 *			exactly those entries, their terms in event.runs.
 * APPEND_REPLY		round, sent_ns: echoes of the append's. match_index: the sender's log is known to agree with the
 *			leader's up to here *and is durable up to here*. verified_index: known to agree, durable or not.
 *			rejected: the append's prev_index did not agree; then prev_index is that of the append,
 *			last_index the end of the sender's log, conflict_term the term it has at prev_index (0: no
 *			entry there), conflict_index the first index of that term (or last_index + 1).
 * SNAPSHOT		In effects: the peer needs entries that this log no longer has. The driver streams it its newest
 *			snapshot, however long that takes, and says how it ended with IKADA_SNAPSHOT_ENDED. The message
 *			is repeated at each heartbeat until then, and means nothing while such a stream is under way.
 *			In an IKADA_RECEIVE event, which the driver makes for each chunk that comes: the term of the
 *			leader that sends it; last_index, last_term of the snapshot. effects.accept_snapshot answers.
 * TIMEOUT_NOW		The leader wants the receiver to campaign at once.
 */
struct ikada_message {
	enum ikada_message_kind kind;
	bool granted;
	bool rejected;
	bool transfer;
	uint64_t from;
	uint64_t to;
	uint64_t from_incarnation; /* In a RECEIVE event, what the connection has proved. */
	uint64_t to_incarnation;
	uint64_t term;
	uint64_t after;	  /* The ticket that must be durable before this leaves; not sent on the wire. */
	uint64_t round;	  /* Rounds confirm leadership for reads and check-quorum; unique within a term. */
	uint64_t sent_ns; /* The leader's awake clock when it made the round's message. */
	uint64_t prev_index;
	uint64_t prev_term;
	uint64_t last_index;
	uint64_t last_term;
	uint64_t commit;
	uint64_t match_index;
	uint64_t verified_index;
	uint64_t conflict_index;
	uint64_t conflict_term;
};

enum ikada_event_kind {
	IKADA_TICK = 1,	 /* Only time has passed. */
	IKADA_RECEIVE,	 /* A message came from a member whose connection proved its id and incarnation. */
	IKADA_DURABLE,	 /* All tickets up to `ticket` are durable. */
	IKADA_SENT,	 /* Of an append effect to `peer`, entries up to `last_index` were encoded, in `bytes`. */
	IKADA_PROPOSE,	 /* Requests first_id .. first_id + count - 1 want to be entries. */
	IKADA_READ,	 /* Requests first_id .. first_id + count - 1 want a read index. Ids ascend without gaps. */
	IKADA_PEER_LOST, /* The current connection with `peer` was closed by the other side. A hint, safe to omit. */
	/*
	 * The state up to `last_index`, which is applied, is safe in snapshot files: the log may begin behind it.
	 * Nothing happens where the log begins already, or is not durable up to there yet (it can be asked again).
	 */
	IKADA_COMPACT,
	/* A snapshot up to `last_index` reached `peer` and is durable there; 0: it did not, or was refused. */
	IKADA_SNAPSHOT_ENDED,
	/*
	 * A received snapshot up to (last_index, last_term), with `config`, is durable, file and directory. It takes
	 * the place of the log up to there, unless that is committed already, or this member leads: effects.installed.
	 */
	IKADA_INSTALL,
	IKADA_CHANGE,	/* Request first_id wants the members to be those of `config` (VOTER and LEARNER only). */
	IKADA_TRANSFER, /* Hand leadership to `peer` (0: to whom it suits best), by the raw time deadline_ns. */
	IKADA_HALT, /* From now on neither campaign nor lead (on), or do so again (not on). Logging and votes go on. */
};

/*
 * An event. Every event carries both clocks: raw never stops and never slows; awake is raw minus the time by which
 * this process was woken too late. Neither ever decreases. What it points to lives until the step returns.
 */
struct ikada_event {
	enum ikada_event_kind kind;
	uint64_t raw_ns;
	uint64_t awake_ns;
	const struct ikada_message *message; /* RECEIVE */
	const struct ikada_run *runs; /* RECEIVE of an append with entries: ascending, the first at prev_index + 1. */
	uint32_t run_count;
	uint32_t config_count;
	const struct ikada_config *configs; /* RECEIVE of an append: those among its entries, ascending by index. */
	const struct ikada_config *config;  /* INSTALL, CHANGE */
	uint64_t ticket;		    /* DURABLE */
	uint64_t peer;			    /* SENT, PEER_LOST, SNAPSHOT_ENDED, TRANSFER */
	uint64_t peer_incarnation;
	uint64_t last_index;  /* SENT, COMPACT, SNAPSHOT_ENDED, INSTALL */
	uint64_t last_term;   /* INSTALL */
	uint64_t bytes;	      /* SENT */
	uint64_t first_id;    /* PROPOSE, READ, CHANGE */
	uint64_t count;	      /* PROPOSE, READ; at least 1. */
	uint64_t deadline_ns; /* TRANSFER */
	bool on;	      /* HALT */
};

/* Why a request was refused. The request had and will have no effect. */
enum ikada_refusal {
	IKADA_REFUSED_NOT_LEADER = 1,
	IKADA_REFUSED_BUSY = 2,	     /* A limit is reached, or something is under way; try again later. */
	IKADA_REFUSED_INVALID = 3,   /* A change that must not be: see struct ikada_config. */
	IKADA_REFUSED_UNCHANGED = 4, /* A change to what already is. */
};

enum ikada_append_kind {
	IKADA_APPEND_NONE = 0,
	IKADA_APPEND_NOOP,     /* One entry without a payload, at the start of a leader's term. */
	IKADA_APPEND_PROPOSED, /* The accepted prefix of the step's proposals, in order. */
	IKADA_APPEND_RECEIVED, /* Entries of the step's message. */
	IKADA_APPEND_CONFIG,   /* One entry, effects.config. */
};

struct ikada_id_range {
	uint64_t first_id;
	uint64_t count; /* 0: none. */
};

/* At most one append, one other request and one reply to each peer. */
#define IKADA_MESSAGES_MAX (3 * IKADA_MEMBERS_MAX)

/*
 * What a step asks of the driver, read in the order of the fields. Belongs to the caller, who may use one for all
 * steps; each step overwrites it.
 */
struct ikada_effects {
	uint64_t ticket;   /* Of this step's durable changes (the next two groups); 0 when there are none. */
	bool hard_changed; /* Write (term, vote) to the log. */
	uint64_t term;	   /* Always the current one. */
	uint64_t vote;
	uint64_t vote_incarnation;
	enum ikada_append_kind append; /* Cut the log before append_first, if it reaches so far; then append. */
	uint64_t append_first;
	uint64_t append_last;
	uint64_t append_term;	    /* All but RECEIVED: the term to stamp. */
	struct ikada_config config; /* CONFIG: what the entry is to hold. Not touched otherwise. */

	bool base_changed;   /* Has a ticket. Write down that the log begins after (base_index, base_term), ... */
	bool installed;	     /* ... for the snapshot of an INSTALL. Else it keeps what lies behind that base. */
	bool kept;	     /* INSTALLED: what lies behind the base agrees and stays. Else the log is empty now. */
	uint64_t base_index; /* Always the current one. */
	uint64_t base_term;
	bool accept_snapshot; /* Of a chunk: the driver may receive this snapshot. */

	uint32_t message_count;
	struct ikada_message messages[IKADA_MESSAGES_MAX];

	uint64_t commit; /* Always the current one: entries up to here may be applied. */

	struct ikada_id_range granted; /* Reads that may be served from a state that has applied ... */
	uint64_t granted_index;	       /* ... this index. */
	struct ikada_id_range refused_proposals;
	enum ikada_refusal refused_proposals_why;
	struct ikada_id_range refused_reads;
	enum ikada_refusal refused_reads_why;
	struct ikada_id_range refused_changes; /* At most one. */
	enum ikada_refusal refused_changes_why;
	bool transfer_ended;  /* A transfer was given up, or cannot be: this member goes on as it was. */
	bool change_given_up; /* `config` takes back a change: somebody did not catch up. */

	/*
	 * An alarm, told once: this member has acknowledged entries up to forgot_index to this leader and no longer has
	 * all of them; its log ends at forgot_last. Its disk broke its promise. While this core lives, that incarnation
	 * is no longer counted here, for votes or for entries, and is sent none.
	 */
	uint64_t forgot; /* Its id; 0: nobody. */
	uint64_t forgot_incarnation;
	uint64_t forgot_index;
	uint64_t forgot_last;

	bool config_changed;   /* The configuration in force is not what it was before the step (status tells it). */
	bool wants_compaction; /* The table of term runs is half full. Always the current state. */
	bool role_changed;     /* Role, term or leader is not what it was before the step. */
	enum ikada_role role;  /* Always the current one. */
	uint64_t leader;       /* 0: unknown. Always the current one. */
	uint64_t leader_incarnation;
};

struct ikada_raft;

/* Bytes of memory, aligned as for any object, that ikada_raft_init wants. */
IKADA_API size_t ikada_raft_size(const struct ikada_limits *limits);

/* Makes a core in `memory`. Copies all it keeps. A boot state that contradicts itself is a programmer's error. */
IKADA_API struct ikada_raft *ikada_raft_init(void *memory, const struct ikada_limits *limits,
					     const struct ikada_settings *settings, const struct ikada_boot *boot);

/* The one entry point. */
IKADA_API void ikada_raft_step(struct ikada_raft *raft, const struct ikada_event *event, struct ikada_effects *effects);

/* The raw time at which the core next wants an event (a TICK if nothing else comes); UINT64_MAX: never. */
IKADA_API uint64_t ikada_raft_deadline(const struct ikada_raft *raft);

/* What a driver, a status page or a test may want to know; copied. */
struct ikada_raft_status {
	uint64_t self, term, vote, leader, leader_incarnation;
	enum ikada_role role;
	bool halted;
	uint64_t commit, base_index, last_index, last_term;
	uint64_t durable_index;	    /* The log is durable up to here. */
	uint64_t transfer_to;	    /* The member that is to lead next; 0 none. */
	struct ikada_config config; /* The one in force; committed if its index is at most `commit`. */
	uint32_t peer_count;	    /* On a leader, one for each other member; else 0. */
	struct {
		uint64_t id, incarnation, match_index, next_index;
		uint64_t heard_ns; /* Send time (awake) of the newest append that it answered; 0: none in this term. */
		bool probing;
		bool snapshot;	/* It needs a snapshot, or is being sent one. */
		bool caught_up; /* JOINING: as far as the leader, for as long as an election takes. */
		bool forgot;	/* It lost what it had acknowledged, and is not counted: see effects.forgot. */
	} peers[IKADA_MEMBERS_MAX];
};
IKADA_API void ikada_raft_status(const struct ikada_raft *raft, struct ikada_raft_status *status);

/*
 * Can this be a configuration: counts within the limits, members in order, a voter on each side, no standing that
 * excludes another? Of what comes from a disk or a peer the driver asks this before it hands it to the core.
 */
IKADA_API bool ikada_config_valid(const struct ikada_config *config);

/* The term of the entry at `index`; 0 if the log does not have it (base_index counts as had). */
IKADA_API uint64_t ikada_raft_term_at(const struct ikada_raft *raft, uint64_t index);

#ifdef __cplusplus
}
#endif

#endif
