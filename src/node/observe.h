/* What the simulator watches in a node that runs unchanged. In the product nobody watches. */
#ifndef IKADA_NODE_OBSERVE_H
#define IKADA_NODE_OBSERVE_H

#include "ikada/raft.h"

#include <stdint.h>

struct entry;
struct ikada_node;

enum node_snapshot_step {
	NODE_SNAPSHOT_HELD,	 /* Taking: the state is held, the file made. */
	NODE_SNAPSHOT_SAVED,	 /* All of it was handed to the disk. */
	NODE_SNAPSHOT_VERIFIED,	 /* Synced, and read back. */
	NODE_SNAPSHOT_PUBLISHED, /* Renamed, the directory synced. */
	NODE_SNAPSHOT_PRUNED,	 /* What is no longer wanted was removed. */
	NODE_SNAPSHOT_COMPACTED, /* The log is to begin later; not durable yet. */
	NODE_RECEIVE_BEGAN,	 /* The file was made. */
	NODE_RECEIVE_RESUMED,	 /* After its connection was lost. */
	NODE_RECEIVE_VERIFIED,
	NODE_RECEIVE_PUBLISHED,
	NODE_RECEIVE_INSTALLED, /* The log is to begin there; not durable yet. */
	NODE_SNAPSHOT_STEPS,
};

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
	/* The machine's state was loaded: it is that after the entry (index, term) now; 0, 0: it is empty. */
	void (*restored)(void *context, uint64_t index, uint64_t term);
	/* One more step was made of taking a snapshot, or of receiving one. */
	void (*snapshot_step)(void *context, enum node_snapshot_step step);
};

/* Call right after ikada_node_open, before its first turn; `observer` must outlive the node. */
void node_observe(struct ikada_node *node, const struct node_observer *observer);

/* The size of the core's memory, for copies. */
size_t node_raft_bytes(const struct ikada_node *node);

#endif
