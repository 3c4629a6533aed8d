/*
 * The server: one Ikada node whose state machine is the key-value store, and its clients, who speak the Redis protocol.
 * Owns no sockets: streams come from env.
 */
#ifndef IKADA_SERVER_SERVER_H
#define IKADA_SERVER_SERVER_H

#include "env/env.h"
#include "ikada/node.h"

#define IKADA_VERSION "0.1.0"

struct server;

struct server_settings {
	struct ikada_node_settings node;
	const char *listen; /* "HOST:PORT" for clients. */
	uint64_t process_id; /* For INFO. */
};

/* Boots store, node and listener. NULL and one clear line in `error` when something stands in the way. */
struct server *server_open(struct env *env, const struct server_settings *settings, char *error, size_t error_size);
void server_close(struct server *server);
struct ikada_node *server_node(struct server *server);

#endif
