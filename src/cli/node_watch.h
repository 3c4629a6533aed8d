/* Asks a node for INFO, again and again, as a client does, and remembers what it last said. */
#ifndef IKADA_CLI_NODE_WATCH_H
#define IKADA_CLI_NODE_WATCH_H

#include "base/buf.h"
#include "env/env.h"

struct node_watch {
	struct env *env;
	char *address;
	struct env_stream *stream; /* NULL: not connected, not trying. */
	bool open;
	bool asked; /* The answer is owed. */
	struct buf in;

	bool up;	      /* It has answered on this connection. */
	bool refused;	      /* The last try to connect failed. */
	uint64_t answered_ns; /* Raw: when it last answered. */
	uint64_t process_id;
	uint64_t term;
	uint64_t leader_id; /* 0: it knows of none. */
	bool leads;
};

void node_watch_init(struct node_watch *watch, struct env *env, const char *address);
void node_watch_ask(struct node_watch *watch); /* Connects if need be; nothing while an answer is owed. */
void node_watch_end(struct node_watch *watch);

#endif
