/*
 * Clusters whose members do not all reach each other: every undirected graph of links of 4 and of 5 nodes, up to
 * renaming, and every directed one of 3. A frame goes from one node to another where the graph has that link; what is
 * not in the graph is cut for good. Names are dealt anew by each seed, so that a graph is tried under many renamings.
 *
 * A node can lead when it has two-way links to so many that they are, with itself, a quorum. In a graph with such a
 * node somebody must lead and commit, and nobody else may come to lead once it has settled; in another nobody may
 * commit. Nodes are those of the product. As a cluster is born only when all have seen all, the graph comes into force
 * when all cores run, which is before anybody can have been elected: a run in which it is not is a failure.
 *
 * The other kind of run lets a leader settle and commit on the full mesh, and then cuts the graph into it while
 * entries are under way. Then the one node that could lead may lack an entry that those have whose votes it needs.
 */
#ifndef IKADA_SIM_GRAPHS_H
#define IKADA_SIM_GRAPHS_H

#include <stdbool.h>
#include <stdint.h>

/* 11 of 4 nodes, 34 of 5, 64 of 3. */
enum { GRAPHS = 11 + 34 + 64, GRAPH_NODES_MAX = 5, GRAPH_TEXT_BYTES = 128, GRAPHS_FAILURE_BYTES = 512 };

struct graph {
	uint32_t nodes;
	bool directed;
	bool links[GRAPH_NODES_MAX][GRAPH_NODES_MAX]; /* [from][to] */
};

/* All of them, always in the same order. */
void graphs_list(struct graph graphs[GRAPHS]);
/* "5 nodes: 1-2 2>3 3-4": - is both ways, > is one way. */
void graph_text(const struct graph *graph, char text[GRAPH_TEXT_BYTES]);
bool graph_can_lead(const struct graph *graph);

struct graphs_settings {
	uint64_t seed;
	struct graph graph;
	bool cut; /* The graph is cut into a cluster that runs. */
};

struct graphs_result {
	bool failed;
	char failure[GRAPHS_FAILURE_BYTES];
	uint64_t virtual_ns;
	uint64_t campaigns;    /* Nodes that were asking for votes when the graph came into force. */
	uint64_t first_ns;     /* From when the graph came into force to the first commit after that; 0: none. */
	uint64_t changes;      /* Leaders that began, from then on until it had settled ... */
	uint64_t late_changes; /* ... and after that. */
	uint64_t silent_s;     /* Seconds after that in which nothing was committed. */
};

void graphs_run(const struct graphs_settings *settings, struct graphs_result *result);

#endif
