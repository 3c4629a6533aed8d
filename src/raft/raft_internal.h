/*
 * Inside the core: its state, and what its files offer each other. Only src/raft includes this, and tests of src/raft.
 *
 * The structure, the table of term runs and the windows of the peers lie in one block, and nothing in it is a pointer:
 * a copy of its bytes is a core of its own, which a checker can hold against the next state.
 *
 * Who owns what: raft.c the step, its effects and the durable (term, vote); log.c term runs and durability;
 * members.c the configuration in force, the slots of members, joint majorities; change.c the steps from one
 * configuration to another; transfer.c handing leadership on; election.c roles other than leader, and
 * their timers; follower.c what a follower accepts; snapshot.c where the log begins; leader.c a leader's term, its
 * commit index and its reasons to give up; flow.c what is sent to each peer; reads.c linearizable reads; quorum.c
 * majorities of one set.
 */
#ifndef IKADA_RAFT_INTERNAL_H
#define IKADA_RAFT_INTERNAL_H

#include "base/rng.h"
#include "ikada/raft.h"
#include "raft/log.h"
#include "raft/quorum.h"

/* What a peer says beyond these is nonsense; below them, one more never wraps around. */
#define RAFT_TERM_MAX ((uint64_t)INT64_MAX)
#define RAFT_INDEX_MAX ((uint64_t)INT64_MAX)

enum { READ_ROUNDS = 16 };

/*
 * How a leader sends to a peer. PROBE: where the logs agree is unknown, messages without entries look for it. STREAM:
 * entries are sent as they come. SNAPSHOT: they agree nowhere in this log, the driver sends a snapshot.
 */
enum peer_state { PEER_STREAM = 0, PEER_PROBE, PEER_SNAPSHOT };

/*
 * What a leader knows of another member; in the member's slot. Invariant: match_index < next_index <= last + 1, and
 * base < next_index.
 */
struct peer {
	uint64_t match_index; /* Known to agree and to be durable there. Never falls within a term; 0 if it forgot. */
	uint64_t match_ns;    /* Awake: when that was acknowledged. */
	uint64_t next_index;  /* The first entry to send next; a hope. */
	uint64_t stuck_next;  /* next_index after the last rejection of a stream. */
	uint64_t acked_round; /* The newest round it echoed; 0 none in this term. */
	uint64_t heard_ns;    /* The newest send time it echoed, awake; 0 none in this term. */
	uint64_t window_bytes;
	uint32_t window_start, window_count; /* A ring of struct window_slot, ... */
	uint32_t window;		     /* ... number so and so. Stays with the peer when its slot changes. */
	enum peer_state state;
	bool waiting;	      /* Entries were handed to the driver, which has not yet said how many it sent. */
	bool owed;	      /* The end of this step sends a message, with or without entries. */
	bool owed_snapshot;   /* The end of this step asks the driver for a snapshot, again or anew. */
	bool caught_up;	      /* JOINING: a round of catching up was short enough. */
	uint64_t catch_index; /* The round under way ends when it has this entry, ... */
	uint64_t catch_ns;    /* ... and began at this time, raw. */
	uint32_t slow_rounds; /* JOINING: how many rounds were too long. */
	uint32_t silent;      /* JOINING: heartbeats since it was heard. */
};

/* A message with entries that was sent and not yet answered. */
struct window_slot {
	uint64_t last_index;
	uint64_t bytes;
};

/* Reads in the order of their ids, which have no gaps: first those in rounds, then those pending. */
struct read_round {
	uint64_t count;
	uint64_t index; /* The commit index when the round started. */
	uint64_t round;
};

struct reads {
	uint64_t first_id; /* Of the first read that is queued. */
	uint64_t pending;  /* Reads that wait for a round. */
	uint32_t start, round_count;
	struct read_round rounds[READ_ROUNDS]; /* A ring. */
};

/* Leadership is to go to this member. */
struct transfer {
	uint64_t id, incarnation; /* 0: to nobody. */
	uint64_t deadline_ns;	  /* Raw. */
	bool told;		  /* Since the last heartbeat. */
};

struct member {
	uint64_t id, incarnation;
};

struct ikada_raft {
	struct ikada_limits limits;
	struct ikada_settings settings;
	/* members.c */
	struct ikada_config config;	   /* In force. */
	struct ikada_config config_before; /* In force again when the log is cut at config.index; else the same. */
	struct member members[IKADA_MEMBERS_MAX]; /* By slot. */
	uint32_t member_count;
	uint32_t self;	    /* Slot of this member, or IKADA_MEMBERS_MAX. */
	uint32_t voters[2]; /* Sets of slots; the second one is empty unless the configuration is joint. */
	uint32_t forgot;    /* Set of slots: who lost what it had acknowledged to this member, while that led. */
	bool changing; /* Another configuration is to follow: somebody is JOINING, LEAVING, INCOMING or OUTGOING. */
	struct rng rng;
	uint64_t raw_ns, awake_ns; /* Of the last event. */

	uint64_t term, vote, vote_incarnation;
	uint64_t ticket;	 /* The last one given. */
	uint64_t durable_ticket; /* All up to here are durable. */
	uint64_t hard_ticket;	 /* Of the last change of (term, vote). */
	uint64_t base_ticket;	 /* Of the last snapshot installed; acknowledgements wait for it. */
	uint64_t progress_ns;	 /* Awake: when a ticket last became durable, or began to wait for that alone. */
	uint64_t commit;

	enum ikada_role role;
	bool halted;
	bool leader_lost; /* A follower's connection from its leader was closed. */
	uint64_t leader, leader_incarnation;

	/* Not leading. */
	uint64_t verified_index; /* The log agrees with that of the current term's leader up to here. */
	uint64_t heard_ns;	 /* Awake: when the leader was last heard. */
	uint64_t election_ns;	 /* Awake: when to campaign. */
	uint64_t timeout_ns;	 /* The drawn one. */
	uint64_t hint_ns;	 /* Awake: when to campaign because the leader's connection was lost. */
	uint64_t ask_ns;	 /* Awake: when a candidate asks again. */
	uint32_t votes;		 /* Set of slots that granted, in this (pre-)campaign. */
	uint32_t refused;	 /* Set of slots that refused a candidate: in this term, for good. */
	bool asked_to;		 /* The leader itself asked for this campaign. */

	/* Leading. */
	uint64_t lead_ns;    /* Awake: when this term's leadership began. */
	uint64_t lead_index; /* The no-op that opened it. */
	uint64_t beat_ns;    /* Raw: when everybody is sent a message next. */
	uint64_t round;	     /* The last one started; goes on from term to term. */
	struct peer peers[IKADA_MEMBERS_MAX];
	uint32_t due; /* Set of slots: to whom the end of this step may have something to send. */
	struct reads reads;
	struct transfer transfer;

	uint64_t windows_offset; /* From this structure to inflight_messages slots for each member. */
	struct raft_log log;
};

static inline struct window_slot *raft_window(const struct ikada_raft *raft, uint32_t slot)
{
	char *windows = (char *)(uintptr_t)raft + raft->windows_offset;
	return (struct window_slot *)(void *)windows +
	       (size_t)raft->peers[slot].window * raft->limits.inflight_messages;
}

/* ---- raft.c ---- */

/* The ticket of this step's durable changes. */
uint64_t raft_ticket(struct ikada_raft *raft, struct ikada_effects *effects);
void raft_set_hard(struct ikada_raft *raft, struct ikada_effects *effects, uint64_t term, uint64_t vote,
		   uint64_t vote_incarnation);
/* A message from this member in its term, to be released when its (term, vote) is durable. */
struct ikada_message *raft_message(const struct ikada_raft *raft, struct ikada_effects *effects,
				   enum ikada_message_kind kind, uint64_t to, uint64_t to_incarnation);

/* The awake clock never runs ahead of the raw one: before this raw time, `awake_ns` cannot have come. */
uint64_t raft_awake_to_raw(const struct ikada_raft *raft, uint64_t awake_ns);

/* ---- members.c ---- */

/* The slot of a member, or IKADA_MEMBERS_MAX. */
uint32_t members_slot(const struct ikada_raft *raft, uint64_t id, uint64_t incarnation);
/* The table of slots is made anew; what is known of those who stay is kept. */
void members_arrange(struct ikada_raft *raft);
void members_adopt(struct ikada_raft *raft, const struct ikada_config *config); /* Its entry was appended. */
void members_cut(struct ikada_raft *raft, uint64_t first);			/* The log is cut there. */
bool members_joint(const struct ikada_config *config);
/* Whether this member may ask to be elected: it votes, or did until a change that is not committed yet. */
bool members_may_lead(const struct ikada_raft *raft);
/* What a member, which votes or not, is in the configuration in force. */
static inline bool members_stays(const struct ikada_raft *raft, uint32_t slot)
{
	if (slot >= raft->config.count)
		return false;
	enum ikada_standing standing = raft->config.members[slot].standing;
	return standing == IKADA_VOTER || standing == IKADA_INCOMING;
}
/* Decisions of the configuration in force: of both sides, when it is joint. */
bool members_agree(const struct ikada_raft *raft, uint32_t agreeing);
uint64_t members_value(const struct ikada_raft *raft, const uint64_t values[IKADA_MEMBERS_MAX]);
bool members_alone(const struct ikada_raft *raft); /* This member decides by itself. */
static inline uint32_t members_self(const struct ikada_raft *raft)
{
	return raft->self < IKADA_MEMBERS_MAX ? 1u << raft->self : 0;
}
/* Whether this member is one of those who vote in the configuration in force. */
static inline bool members_votes(const struct ikada_raft *raft)
{
	return ((raft->voters[0] | raft->voters[1]) & members_self(raft)) != 0;
}

/* ---- election.c ---- */

void election_restart_timer(struct ikada_raft *raft);
/* To a term not below the current one, with a leader or 0. */
void election_follow(struct ikada_raft *raft, struct ikada_effects *effects, uint64_t term, uint64_t leader,
		     uint64_t leader_incarnation);
void election_heard(struct ikada_raft *raft); /* From the leader. */
void election_tick(struct ikada_raft *raft, struct ikada_effects *effects);
void election_leader_lost(struct ikada_raft *raft);
void election_durable(struct ikada_raft *raft, struct ikada_effects *effects);
void election_prevote(struct ikada_raft *raft, const struct ikada_message *m, struct ikada_effects *effects);
void election_prevote_reply(struct ikada_raft *raft, const struct ikada_message *m, struct ikada_effects *effects);
void election_vote(struct ikada_raft *raft, const struct ikada_message *m, struct ikada_effects *effects);
void election_vote_reply(struct ikada_raft *raft, const struct ikada_message *m, struct ikada_effects *effects);
uint64_t election_deadline(const struct ikada_raft *raft); /* Awake. */
void election_timeout_now(struct ikada_raft *raft, const struct ikada_message *m, struct ikada_effects *effects);
void election_halt(struct ikada_raft *raft, bool on, struct ikada_effects *effects);

/* ---- follower.c ---- */

void follower_append(struct ikada_raft *raft, const struct ikada_event *event, struct ikada_effects *effects);
/* An answer to the leader that acknowledges what is verified and durable now. */
struct ikada_message *follower_acknowledge(const struct ikada_raft *raft, struct ikada_effects *effects);
/* Whether it comes from who may lead in its term, as far as is known here. */
bool follower_believes(const struct ikada_raft *raft, const struct ikada_message *m);
/* The log is durable from `before` up to log.durable_index. */
void follower_durable(struct ikada_raft *raft, uint64_t before, struct ikada_effects *effects);

/* ---- snapshot.c ---- */

void snapshot_compact(struct ikada_raft *raft, uint64_t index, struct ikada_effects *effects);
void snapshot_install(struct ikada_raft *raft, const struct ikada_event *event, struct ikada_effects *effects);
void snapshot_chunk(struct ikada_raft *raft, const struct ikada_message *m, struct ikada_effects *effects);

/* ---- leader.c ---- */

void leader_start(struct ikada_raft *raft, struct ikada_effects *effects);
void leader_append(struct ikada_raft *raft, struct ikada_effects *effects, enum ikada_append_kind kind, uint64_t last);
/* What the end of a leader's step owes. */
void leader_finish(struct ikada_raft *raft, struct ikada_effects *effects);
void leader_tick(struct ikada_raft *raft, struct ikada_effects *effects);
void leader_propose(struct ikada_raft *raft, const struct ikada_event *event, struct ikada_effects *effects);
void leader_append_reply(struct ikada_raft *raft, const struct ikada_message *m, struct ikada_effects *effects);
void leader_durable(struct ikada_raft *raft);
uint64_t leader_deadline(const struct ikada_raft *raft); /* Raw. */

/* ---- flow.c ---- */

void flow_start(struct ikada_raft *raft);
void flow_owe(struct ikada_raft *raft); /* Everybody a message. */
/* Everybody is looked at when this step ends: something has happened that may let it send to anybody. */
static inline void flow_look(struct ikada_raft *raft)
{
	raft->due = (1u << raft->member_count) - 1;
}
void flow_replied(struct ikada_raft *raft, uint32_t slot, const struct ikada_message *m);
/* Whether this rejection denies what the peer had acknowledged before it was asked. */
bool flow_denies(const struct ikada_raft *raft, uint32_t slot, const struct ikada_message *m);
void flow_forgot(struct ikada_raft *raft, uint32_t slot); /* Nothing that it has said counts any more. */
void flow_sent(struct ikada_raft *raft, uint32_t slot, uint64_t last_index, uint64_t bytes);
void flow_lost(struct ikada_raft *raft, uint32_t slot);
void flow_compacted(struct ikada_raft *raft);
void flow_snapshot_ended(struct ikada_raft *raft, uint32_t slot, uint64_t last_index);
void flow_beat(struct ikada_raft *raft);				/* What was lost is sent again. */
void flow_send(struct ikada_raft *raft, struct ikada_effects *effects); /* At the end of each step of a leader. */

/* ---- change.c ---- */

void change_ask(struct ikada_raft *raft, const struct ikada_event *event, struct ikada_effects *effects);
void change_replied(struct ikada_raft *raft, uint32_t slot); /* Of a leader: an acknowledgement has come. */
/* Whether the next configuration of a change that is under way wants to be appended. */
bool change_due(const struct ikada_raft *raft);
void change_go_on(struct ikada_raft *raft, struct ikada_effects *effects);

/* ---- transfer.c ---- */

void transfer_ask(struct ikada_raft *raft, const struct ikada_event *event, struct ikada_effects *effects);
void transfer_tick(struct ikada_raft *raft, struct ikada_effects *effects);
/* Tells the one that is to lead, when it is ready. */
void transfer_go_on(struct ikada_raft *raft, struct ikada_effects *effects);
/* This leader leaves: tells somebody who could lead, if there is one. */
void transfer_leave(struct ikada_raft *raft, struct ikada_effects *effects);

/* ---- reads.c ---- */

void reads_add(struct ikada_raft *raft, uint64_t first_id, uint64_t count);
/* Starts a round when one can start; grants what is confirmed. */
void reads_settle(struct ikada_raft *raft, struct ikada_effects *effects);
void reads_refuse(struct ikada_raft *raft, struct ikada_effects *effects); /* All: no longer leading. */

#endif
