/*
 * Inside the exhaustive search: exhaust.c the search, exhaust_act.c what can happen to the three nodes and their links,
 * exhaust_moves.c what can happen to a node, found out once; exhaust_node.c that by a real core; exhaust_rules.c what
 * must hold; exhaust_hash.c how a state is known again, exhaust_set.c the set of those seen.
 *
 * Few different nodes and messages make very many states. So each node, and each message, has a number, and what an
 * event makes of a node (the node after it, what it sends, what must be judged) is asked of the core once and kept.
 */
#ifndef IKADA_SIM_EXHAUST_INTERNAL_H
#define IKADA_SIM_EXHAUST_INTERNAL_H

#include "base/mem.h"
#include "ikada/raft.h"
#include "sim/exhaust.h"

enum {
	X_NODES = 3,
	X_NAMINGS = 6,
	X_TERMS_MAX = 6,
	X_ENTRIES_MAX = 7, /* One more than may be followed. */
	X_LINK_MAX = 3,
	X_WRITES_MAX = 12,
	X_OUTBOX_MAX = 12,
	X_SENT_MAX = 12,
	X_DIGITS_MAX = 24,
	X_CHOICES_MAX = 64,
	X_PACKETS_MAX = 1 << 16,
};

/* What of a node makes no difference any more: what it knows of the nodes lost to it, bits 0 to 2; its vote. */
enum { X_ALL_LOST = (1 << X_NODES) - 1, X_VOTE = 1 << X_NODES, X_VEILS = 2 << X_NODES };

/* A message, as bytes: without rounds and clocks. */
struct xpacket {
	uint8_t kind, from, to, term, granted, rejected, transfer;
	uint8_t prev_index, prev_term, last_index, last_term, commit;
	uint8_t match_index, verified_index, conflict_index, conflict_term;
	uint8_t terms[8]; /* Of entries prev_index + 1 .. last_index. */
};

struct xwaiting {
	struct xpacket packet;
	uint64_t after;
};

/* What a disk holds of a node. */
struct ximage {
	uint8_t term, vote, last;
	uint8_t terms[X_ENTRIES_MAX + 1]; /* By index. */
};

struct xwrite {
	uint64_t ticket;
	bool hard;
	uint8_t term, vote;
	uint8_t first, last; /* Entries; first 0: none. */
	uint8_t terms[X_ENTRIES_MAX + 1];
};

/* A core, and its driver. */
struct xnode {
	struct ikada_raft *raft;
	uint64_t now;
	uint64_t durable, ticket;
	struct ximage image;
	uint32_t write_count, outbox_count;
	struct xwrite writes[X_WRITES_MAX];
	struct xwaiting outbox[X_OUTBOX_MAX];
};

/* Of a node that has a number, what is asked very often. */
struct xbrief {
	uint64_t hash[X_NAMINGS];
	uint8_t self, role, term, last;
	uint8_t image_term, image_vote, write_count;
	uint8_t match[X_NODES];		  /* A leader's, of the others. */
	uint8_t terms[X_ENTRIES_MAX + 1]; /* Of its log, by index. */
};

/* A core's step that must be judged beside the other nodes; or that broke a rule by itself. */
struct xfact {
	const char *failure;
	bool appended, began; /* Began to lead. */
	uint8_t self, role, term, last, commit_before, commit;
	uint8_t terms[X_ENTRIES_MAX + 1];
};

/* What an event makes of a node. */
struct xmove {
	uint32_t node;
	uint32_t first_fact;
	uint8_t fact_count, sent_count, cuts;
	bool idle; /* That is nothing, or less. */
	uint16_t sent[X_SENT_MAX];
};

struct xlink {
	uint32_t count;
	uint16_t packets[X_LINK_MAX];
};

struct xstate {
	uint32_t nodes[X_NODES];
	struct xlink links[X_NODES][X_NODES]; /* [from][to] */
	uint8_t timeouts, restarts, beats;    /* Left. */
	/* What was, as far as a rule needs it. */
	uint8_t leader_of[X_TERMS_MAX + 2];	 /* By term. */
	uint8_t committed[X_ENTRIES_MAX + 1];	 /* By index: the entry's term, 0 not committed, ... */
	uint8_t committed_in[X_ENTRIES_MAX + 1]; /* ... and the term of the leader that committed it. */
};

enum xact { X_DELIVER, X_DURABLE, X_DURABLE_ONE, X_PROPOSE, X_BEAT, X_TIMEOUT, X_RESTART };

/* An event. */
struct xchoice {
	uint8_t act, node, from, at; /* Nodes from 0. */
	uint16_t packet;	     /* DELIVER: this one, `at` on its link. */
	uint8_t term;		     /* TIMEOUT: learned before of node `from`; 0: none was. */
};

/* Choices made one after another, and out of how many. */
struct xdigits {
	bool begun;
	uint32_t count, at;
	uint8_t digits[X_DIGITS_MAX], bounds[X_DIGITS_MAX];
};

/* A successor, and the choices that led to it. */
struct xchild {
	struct xstate x;
	uint64_t hash;
	uint8_t choice, way;
};

/* A state on the path, with those of its successors that were new: those before `next` are done, or under way. */
struct xframe {
	struct xstate x;
	uint32_t choice_count;
	struct xchoice choices[X_CHOICES_MAX];
	struct xchild *children;
	uint32_t child_count, child_room, next;
};

enum { X_BUCKET = 12 };

/* Of each hash 40 bits; the others say in which bucket it should be, or in which before. 64 bytes. */
struct xbucket {
	uint32_t low[X_BUCKET];
	uint8_t high[X_BUCKET];
	uint32_t count;
};

struct xset {
	uint64_t used;
	/* While it is small. */
	uint64_t *slots;
	uint64_t room;
	/* When it is not. */
	struct xbucket *buckets;
	uint64_t bucket_count;
	uint64_t bytes_max;
};

/* Numbers by hashes, or by other numbers; 0 is no key. */
struct xindex {
	struct xindex_slot {
		uint64_t key;
		uint32_t first, count;
	} * slots;
	uint64_t room, used;
};

struct xsearch {
	struct mem mem;
	struct exhaust_bounds bounds;
	const struct exhaust_hooks *hooks;
	struct exhaust_result *result;
	struct xset set;
	struct ikada_limits limits;
	size_t raft_bytes;
	struct xframe **frames;
	uint32_t frame_count, frame_room;
	/* The successor under way. */
	struct xframe *from;
	struct xstate to;
	struct xdigits *digits;
	/* All nodes, all messages, and all moves that were asked for. */
	struct xindex node_index, packet_index, move_index, past_index;
	uint32_t node_count, node_room, packet_count, move_count, move_room, fact_count, fact_room, past_count,
		past_room;
	struct xnode *nodes;
	struct xbrief *briefs;
	uint64_t (**veiled_hashes)[X_NAMINGS]; /* By node, then by what of it makes no difference. */
	uint64_t (*past_hashes)[X_NAMINGS];
	struct xpacket *packets;
	uint64_t (*packet_hashes)[X_NAMINGS];
	struct xmove *moves;
	struct xfact *facts;
	/* A move that is found out. */
	struct xnode mine;
	struct ikada_raft_status status; /* Of mine. */
	struct xmove move;
	struct ikada_effects effects;
	struct ikada_raft *before;
	uint32_t report_count;
	struct xpacket reports[X_NODES];
};

/* ---- exhaust.c ---- */

/* One of 0 .. n - 1: all of them, in turn. */
uint32_t x_choose(struct xsearch *s, uint32_t n);
/* The next sequence of choices; false: there is none. */
bool x_count_on(struct xdigits *digits);
__attribute__((format(printf, 2, 3))) void x_fail(struct xsearch *s, const char *format, ...);
__attribute__((format(printf, 2, 3))) void x_say(struct xsearch *s, const char *format, ...);

/* ---- exhaust_act.c ---- */

void x_begin(struct xsearch *s, struct xframe *root);
/* What can happen in a state. */
void x_list(const struct xsearch *s, struct xframe *frame);
/* Makes of `from` the successor `to` that the choices say. False: that is the same, or less. */
bool x_act(struct xsearch *s);
/* Tells what this choice is, and the way in which it went. */
void x_tell(struct xsearch *s, const struct xframe *frame, uint32_t choice, uint32_t way);

/* ---- exhaust_moves.c ---- */

/* The number of `mine`. */
uint32_t x_node_number(struct xsearch *s);
uint16_t x_packet_number(struct xsearch *s, const struct xpacket *packet);
/* What this event makes of this node: `count` moves. */
uint32_t x_moves(struct xsearch *s, uint32_t node, const struct xchoice *choice, uint32_t *count);
struct xfact *x_new_fact(struct xsearch *s);

/* ---- exhaust_node.c ---- */

void x_boot(struct xsearch *s, uint32_t self);
/* Lets it happen to `mine`, and notes it in `move`. */
void x_node_act(struct xsearch *s, const struct xchoice *choice);

/* ---- exhaust_rules.c ---- */

/* After a step of the core of `mine`, which `was` before it: what can be judged at once is; what cannot is noted. */
void x_witness(struct xsearch *s, const struct ikada_raft *before, const struct ikada_raft_status *was,
	       const struct ikada_event *event);
void x_judge(struct xsearch *s, uint32_t number, const struct xfact *fact);

/* ---- exhaust_hash.c ---- */

void x_hash_packet(const struct xpacket *packet, uint64_t hash[X_NAMINGS]);
void x_hash_node(const struct xnode *node, uint32_t veil, uint64_t hash[X_NAMINGS]);
uint64_t x_hash(struct xsearch *s, const struct xstate *x);
uint64_t x_hash_view(const struct xsearch *s, const struct xstate *x);

/* ---- exhaust_set.c ---- */

/* A hash will soon be asked for. */
void x_set_expect(const struct xset *set, uint64_t hash);
/* False: it was there. When there is no more room, `full`. */
bool x_set_add(struct xsearch *s, uint64_t hash, bool *full);
/* The slot of a key, which is made if it is not there; then count is 0. Moves when another is made. */
struct xindex_slot *x_index(struct xsearch *s, struct xindex *index, uint64_t key);

#endif
