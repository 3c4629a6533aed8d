/*
 * Clients of a simulated cluster: processes on hosts of their own, "c1" and "c2", that are never harmed. Each has a few
 * connections, each with one server at a time; a connection asks in bursts, waits for replies within a window, gives up
 * after a while, and turns to some server again when it was closed.
 */
#ifndef IKADA_SIM_CLIENTS_H
#define IKADA_SIM_CLIENTS_H

#include "sim/cluster.h"
#include "sim/history.h"

struct clients;

struct clients_settings {
	uint32_t connections;
	uint32_t window;      /* Requests under way on a connection, at most CLIENTS_WINDOW_MAX. */
	uint64_t rate;	      /* Requests a second, of all together, while replies come. */
	uint64_t patience_ns; /* Then a connection is given up. */
};

enum { CLIENTS_WINDOW_MAX = 8, CLIENTS_HOSTS = 2, CLIENTS_CONNECTIONS_MAX = 64 };

struct clients *clients_create(struct cluster *cluster, struct history *history,
			       const struct clients_settings *settings, uint64_t seed);
void clients_destroy(struct clients *clients); /* After sim_destroy. */
void clients_start(struct clients *clients);
struct sim_host *clients_host(struct clients *clients, uint32_t i);

/* No new requests from now on. */
void clients_stop(struct clients *clients);
/* From now on, one request after another goes through each node, until two were answered. */
void clients_probe(struct clients *clients);
/* Everything was answered, and each node answered its probe; else `failure` is set. */
void clients_judge(const struct clients *clients, char *failure, size_t size);

#endif
