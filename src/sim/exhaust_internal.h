/*
 * Inside the exhaustive search: exhaust.c the search, exhaust_act.c what can happen, exhaust_rules.c what must hold,
 * exhaust_hash.c how a state is known again.
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
	X_DIGITS_MAX = 24,
};

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

/* A node; never changed once its state is complete, so states share those that did not move. */
struct xnode {
	struct ikada_raft *raft;
	uint64_t now;
	uint64_t durable, ticket;
	struct ximage image;
	uint32_t write_count, outbox_count;
	struct xwrite writes[X_WRITES_MAX];
	struct xwaiting outbox[X_OUTBOX_MAX];
	struct ikada_raft_status status;
	/* By the set of nodes that are lost to it; made when asked for. */
	bool hashed[1 << X_NODES];
	uint64_t hash[1 << X_NODES][X_NAMINGS];
};

struct xlink {
	uint32_t count;
	struct xpacket packets[X_LINK_MAX];
	uint64_t hash[X_LINK_MAX][X_NAMINGS];
};

struct xstate {
	struct xnode *nodes[X_NODES];
	struct xlink links[X_NODES][X_NODES]; /* [from][to] */
	uint8_t timeouts, restarts, beats;    /* Left. */
	/* What was, as far as a rule needs it. */
	uint8_t leader_of[X_TERMS_MAX + 2];	 /* By term. */
	uint8_t committed[X_ENTRIES_MAX + 1];	 /* By index: the entry's term, 0 not committed, ... */
	uint8_t committed_in[X_ENTRIES_MAX + 1]; /* ... and the term of the leader that committed it. */
};

/* A state on the path, and which of its successors is next: each choice made on the way to it, and out of how many. */
struct xframe {
	struct xstate x;
	struct xnode *mine; /* Room for the one node that moved. */
	bool begun;
	uint32_t digit_count;
	uint8_t digits[X_DIGITS_MAX], bounds[X_DIGITS_MAX];
};

struct xset {
	uint64_t *slots;
	uint64_t room, used, room_max;
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
	struct xframe *from, *to;
	uint32_t at; /* The next choice. */
	bool moved;  /* Something was sent. */
	bool stepped;
	bool tracing;
	struct ikada_effects effects;
	struct ikada_raft *before;
	uint32_t report_count;
	struct xpacket reports[X_NODES];
};

/* ---- exhaust.c ---- */

/* One of 0 .. n - 1: all of them, in turn. */
uint32_t x_choose(struct xsearch *s, uint32_t n);
__attribute__((format(printf, 2, 3))) void x_fail(struct xsearch *s, const char *format, ...);
__attribute__((format(printf, 2, 3))) void x_say(struct xsearch *s, const char *format, ...);

/* ---- exhaust_act.c ---- */

void x_begin(struct xsearch *s, struct xframe *root);
/* Makes of `from` the successor `to` that the choices say. False: that is the same, or less. */
bool x_act(struct xsearch *s);

/* ---- exhaust_rules.c ---- */

/* After a step of this node, which `was` before it. */
void x_judge(struct xsearch *s, uint32_t node, const struct ikada_raft *before, const struct ikada_raft_status *was,
	     const struct ikada_event *event);

/* ---- exhaust_hash.c ---- */

void x_hash_packet(const struct xpacket *packet, uint64_t hash[X_NAMINGS]);
const uint64_t *x_hash_node(struct xnode *node, uint32_t lost);
uint64_t x_hash(const struct xstate *x, bool plain);
uint64_t x_hash_view(const struct xstate *x);
/* False: it was there. When there is no more room, `full`. */
bool x_set_add(struct xsearch *s, uint64_t hash, bool *full);

#endif
