/*
 * The server: one Ikada node whose state machine is the key-value store, and its clients, who speak the Redis protocol.
 * Owns no sockets: streams come from env.
 */
#ifndef IKADA_SERVER_SERVER_H
#define IKADA_SERVER_SERVER_H

#include "env/env.h"
#include "ikada/node.h"

#define IKADA_VERSION "0.1.0"
/* What clients may take this server for, when they look at a version to know what it can do. */
#define REDIS_VERSION "7.0.15"

struct server;

/* What the process has used so far. */
struct server_usage {
	uint64_t cpu_user_us;
	uint64_t cpu_system_us;
	uint64_t resident_bytes;
};

struct server_settings {
	struct ikada_node_settings node;
	const char *listen; /* "HOST:PORT" for clients. */
	/* For INFO. */
	uint64_t process_id;
	const char *os;				   /* NULL: not told. */
	void (*usage)(struct server_usage *usage); /* NULL: not told. */
};

/* Boots store, node and listener. NULL and one clear line in `error` when something stands in the way. */
struct server *server_open(struct env *env, const struct server_settings *settings, char *error, size_t error_size);
void server_close(struct server *server);
struct ikada_node *server_node(struct server *server);

#endif
