/*
 * What every lab is made of: a few nodes in a simulated world, and the lab's hand on them. A lab is a function that
 * does one thing after another; between two of them the world goes on for as long as the lab says (lab_run). No lab
 * looks at the real clock, so none depends on how busy the machine is.
 *
 * The nodes are those of the product, with log, disk and wire; their state machine keeps a list: at which index which
 * value was applied. Values are numbers, each drawn once. What one node has applied at an index, no other may have
 * otherwise, whatever the lab is about; and the rules of rules.h hold at all times.
 *
 * The first thing that goes wrong is kept as a sentence. From then on nothing happens any more: every function returns
 * at once, and loops of a lab end by asking lab_ok.
 */
#ifndef IKADA_SIM_LABS_WORLD_H
#define IKADA_SIM_LABS_WORLD_H

#include "base/rng.h"
#include "ikada/node.h"
#include "sim/labs.h"
#include "sim/rules.h"
#include "sim/sim_env.h"

#define LAB_MS ((uint64_t)1000000)
#define LAB_S ((uint64_t)1000000000)
/* The longest election timeout. */
#define LAB_ELECTION_NS (500 * LAB_MS)

enum { LAB_NODES_MAX = 7, LAB_NOBODY = 0xff };

struct lab;

/* A growing list of numbers; what lies beyond its end is 0. */
struct lab_list {
	uint64_t *at;
	uint64_t size, room;
};

struct lab_node {
	struct lab *lab;
	uint32_t number; /* From 0; its id is one more. */
	struct sim_host *host;
	struct ikada_node *node; /* NULL when it is down. */
	bool cut;
	char peer_address[32];
	/* The state: the value at each index, 0 where there is none. */
	struct lab_list values;
	uint64_t applied;
	uint64_t digest;
	struct lab_list loading; /* It takes the place of `values` when it is complete. */
	uint64_t loads;		 /* Since the process was started. */
};

/* A proposal made at one node. */
struct lab_proposal {
	struct ikada_request request;
	struct lab *lab;
	uint64_t value;
	uint64_t made_ns;
	uint32_t node;
	bool ended;
	enum ikada_outcome outcome; /* When it has ended; UNKNOWN when its node has. */
	struct lab_proposal *next;
};

struct lab {
	const struct lab_settings *settings;
	struct mem mem;
	struct sim *sim;
	struct rules *rules;
	struct rng rng;
	uint32_t count;
	struct lab_node nodes[LAB_NODES_MAX];
	char list[128]; /* As for --cluster. */
	uint64_t snapshot_log_bytes;
	uint64_t heartbeat_ns, election_min_ns, election_max_ns; /* 0: the defaults. */
	uint64_t entry_bytes;					 /* Of each value's entry. */
	uint64_t values;					 /* So many were drawn. */
	struct lab_list agreed; /* The value at each index, on whichever node it was applied first. */
	struct lab_list where;	/* The index of each value, likewise. */
	struct lab_proposal *proposals;
	char failure[LAB_FAILURE_BYTES];
};

/* ---- The lab's life: labs_world.c ---- */

/* `count` nodes, all up, all connected, on a good network. */
void lab_open(struct lab *lab, const struct lab_settings *settings, uint32_t count);
void lab_close(struct lab *lab, struct lab_result *result);

bool lab_ok(const struct lab *lab);
__attribute__((format(printf, 2, 3))) void lab_fail(struct lab *lab, const char *format, ...);
/* The world goes on for so long. */
void lab_run(struct lab *lab, uint64_t ns);

/* Of numbers below `bound`. */
uint64_t lab_draw(struct lab *lab, uint64_t bound);

/* ---- What a lab does to nodes ---- */

void lab_start(struct lab *lab, uint32_t node); /* Nothing when it is up. */
void lab_crash(struct lab *lab, uint32_t node); /* Its process or its machine, by lot. Nothing when it is down. */
void lab_crash_as(struct lab *lab, uint32_t node, enum sim_crash how);
void lab_cut(struct lab *lab, uint32_t node);  /* From all others. */
void lab_join(struct lab *lab, uint32_t node); /* With all that are not cut. */
void lab_join_all(struct lab *lab);

/*
 * The network from now on. Unreliable: one frame in ten is lost, and delays reach 27 ms. Reordering: besides, one in
 * three comes up to 2.2 s late.
 */
enum lab_network { LAB_RELIABLE, LAB_UNRELIABLE, LAB_REORDERING };
void lab_network(struct lab *lab, enum lab_network network);

/* ---- What a lab asks of them ---- */

/* The node so many steps after this one, round and round. */
static inline uint32_t lab_after(const struct lab *lab, uint32_t node, uint32_t steps)
{
	return (node + steps) % lab->count;
}

/* Who leads in the highest term, of those who are up and not cut; LAB_NOBODY. */
uint32_t lab_leader_now(const struct lab *lab);
/* Waits for one; the lab fails when there is none for 10 s, or LAB_NOBODY was returned because it had failed before. */
uint32_t lab_leader(struct lab *lab);
/* Nobody who is up and not cut leads. */
void lab_no_leader(struct lab *lab);
/* The term, which must be the same on all who are up and not cut. */
uint64_t lab_term(struct lab *lab);

/* How many nodes have applied this value. */
uint32_t lab_appliers(const struct lab *lab, uint64_t value);

/* ---- Proposals: labs_propose.c ---- */

uint64_t lab_value(struct lab *lab); /* A new one. */
/* Proposes at one node, which must be up, whatever it believes to be. Lives as long as the lab. */
struct lab_proposal *lab_propose(struct lab *lab, uint32_t node, uint64_t value);
void lab_node_ended(struct lab *lab, uint32_t node);
void lab_forget_ended(struct lab *lab); /* Frees the proposals that have ended. */
/*
 * Gets `count` new values agreed, all at once: each is proposed at whoever leads, and again when that has come to
 * nothing, until `appliers` nodes have applied it. Returns the index of the last of them, or 0 after 20 s without.
 */
uint64_t lab_agree(struct lab *lab, uint32_t count, uint32_t appliers);
/* One. */
uint64_t lab_one(struct lab *lab, uint32_t appliers);

/* ---- labs_machine.c ---- */

struct ikada_machine lab_machine(struct lab_node *node);
void lab_list_set(struct lab *lab, struct lab_list *list, uint64_t at, uint64_t value);
static inline uint64_t lab_list_get(const struct lab_list *list, uint64_t at)
{
	return at < list->size ? list->at[at] : 0;
}

#endif
