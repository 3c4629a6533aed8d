/*
 * A simulated cluster: hosts "n1", "n2", ..., each with a server as the product runs it, watched by the rules.
 *
 * A node's process may be started, killed and crashed at any time. One that ends by itself, or cannot start, is a
 * failure of the run, unless its disk has given it a reason.
 */
#ifndef IKADA_SIM_CLUSTER_H
#define IKADA_SIM_CLUSTER_H

#include "server/server.h"
#include "sim/rules.h"
#include "sim/sim_env.h"

struct cluster;

struct member {
	struct cluster *cluster;
	uint32_t number; /* From 0; its id is one more. */
	struct sim_host *host;
	struct server *server; /* NULL when it is down. */
	char listen[32];
	char peer_address[32];
	/* Reasons that its disk has given it: while there are any it may end by itself, and may fail to start. */
	uint32_t excuses;
	/* It is to run: all are, unless members change. */
	bool active;
	/* It is not: the cluster goes on without it for ever, but it may come back, and be refused. */
	bool lost;
	bool held;	     /* Nobody is to start it now. */
	struct rules *rules; /* Those of its cluster. */
	char list[256];	     /* As for --cluster, unless it is that of the cluster. */
};

struct cluster_counters {
	uint64_t starts;
	uint64_t stops;
	uint64_t excused_ends;
	uint64_t excused_starts; /* Tries that failed. */
	uint64_t flips;
};

struct cluster {
	struct sim *sim;
	struct mem *mem;
	struct rules *rules;
	struct rules *old_rules; /* Of a cluster that has lost its majority; NULL. */
	uint32_t count;
	struct member members[RULES_NODES_MAX];
	char list[256]; /* As for --cluster. */
	bool churns;	/* Members change. */
	uint64_t term_runs;
	uint64_t request_deadline_ns;
	uint64_t snapshot_log_bytes;
	uint64_t checkpoint_entries;
	/* Where a trace goes; NULL: nowhere. */
	void (*trace)(void *context, const char *text);
	void *trace_context;
	struct cluster_counters counters;
	char failure[1024];
};

/* Makes the hosts, all down. `cluster` must not move. */
void cluster_create(struct cluster *cluster, struct sim *sim, struct mem *mem, uint32_t count,
		    const struct rules_hooks *hooks);
/* Before any is started: only the first `count` are members at first, the others may become so. */
void cluster_begin_with(struct cluster *cluster, uint32_t count);
/* Call before sim_destroy; the rules stay until cluster_destroy. */
void cluster_destroy(struct cluster *cluster);

/* Nothing when it is up already. False when it did not start, and had an excuse: try again later. */
bool cluster_start(struct member *member);
void cluster_crash(struct member *member, enum sim_crash how);
/* The same, for one of those which are lost for ever: nobody is to start it, and clients do not turn to it any more. */
void cluster_lose(struct member *member, enum sim_crash how);
/* All members that are not lost have been made a new cluster, under these rules. */
void cluster_begin_anew(struct cluster *cluster, struct rules *rules);
/* A new, empty disk: it comes back as another incarnation. It must be down. */
void cluster_wipe(struct member *member);
/* Ends it in good order: it closes everything, and leaves no memory behind. Nothing when it is down. */
void cluster_stop(struct member *member);

/* A bit flips in the memory of its state: there is a key that no client knows. Nothing when it is down. */
void cluster_flip(struct member *member);

/* The hook of the world: a process ended by itself. True when it had an excuse. */
bool cluster_on_fatal(struct cluster *cluster, struct sim_host *host, const char *text);

/* The node that leads in the highest term; NULL: none. */
struct member *cluster_leader(struct cluster *cluster);
/* The first thing that went wrong, of the rules too; NULL: nothing. */
const char *cluster_failure(const struct cluster *cluster);
__attribute__((format(printf, 2, 3))) void cluster_fail(struct cluster *cluster, const char *format, ...);

/* A line for the trace. */
__attribute__((format(printf, 2, 3))) void cluster_say(struct cluster *cluster, const char *format, ...);

/*
 * At the end: everybody is up, one leads, all have applied the same index, and all stores are equal. What is not so is
 * a failure.
 */
void cluster_judge(struct cluster *cluster);

#endif
