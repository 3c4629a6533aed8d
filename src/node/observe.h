/* What the simulator watches in a node that runs unchanged. In the product nobody watches. */
#ifndef IKADA_NODE_OBSERVE_H
#define IKADA_NODE_OBSERVE_H

#include "ikada/raft.h"

#include <stdint.h>

struct entry;
struct ikada_node;

struct node_observer {
	void *context;
	/* Around each step of the core. `raft` is the core itself; copy ikada_raft_size bytes of it to compare. */
	void (*before_step)(void *context, const struct ikada_raft *raft, const struct ikada_event *event);
	void (*after_step)(void *context, const struct ikada_raft *raft, const struct ikada_event *event,
			   const struct ikada_effects *effects);
	/* A message leaves the node, its `after` durable. */
	void (*sent)(void *context, const struct ikada_message *message);
	/* An entry became part of this node's log (by proposal, by message, or by recovery), or was applied. */
	void (*appended)(void *context, const struct entry *entry);
	void (*applied)(void *context, const struct entry *entry);
};

/* Call right after ikada_node_open, before its first turn; `observer` must outlive the node. */
void node_observe(struct ikada_node *node, const struct node_observer *observer);

/* The size of the core's memory, for copies. */
size_t node_raft_bytes(const struct ikada_node *node);

#endif
