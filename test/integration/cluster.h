/*
 * A cluster of `ikada server` processes (the program that the environment variable IKADA names) on the case's address:
 * clients at ports 7001, 7002, ..., peers 10000 above, data in DIR/node-1, ..., logs in DIR/node-1.log, ...
 */
#ifndef IKADA_TEST_INTEGRATION_CLUSTER_H
#define IKADA_TEST_INTEGRATION_CLUSTER_H

#include "cases.h"

#include <sys/types.h>

struct redisContext;

enum { CLUSTER_NODES_MAX = 9, CLIENT_PORT = 7001, PEER_PORT = 17001 };

struct cluster_node {
	unsigned id;
	int client_port;
	int peer_port;
	char *dir;
	char *log; /* What it prints. */
	pid_t pid; /* 0: not running. */
};

struct cluster {
	unsigned count;
	char *list;				      /* For --cluster. */
	struct cluster_node nodes[CLUSTER_NODES_MAX]; /* By id - 1. */
	const char *wrapper; /* Words before the server's command line, or NULL; %N is the node's id. */
};

/* The program under test. */
const char *program(void);

/* Describes a cluster and starts nothing. */
void cluster_init(struct cluster *cluster, unsigned count);
void node_start(struct cluster *cluster, struct cluster_node *node);
/* Sends the signal; for SIGKILL and SIGTERM also waits for the end, and returns the status. */
int node_signal(struct cluster_node *node, int number);
/* Starts all and waits until each answers a write. */
void cluster_start(struct cluster *cluster, unsigned count);
/* Until each running node answers; fails after `limit_s`. */
void cluster_wait(struct cluster *cluster, unsigned limit_s);
/* Fails unless each running node takes a write that each running node reads at once. */
void cluster_verify(struct cluster *cluster);
/* The node that leads in the highest term, waited for. */
struct cluster_node *cluster_leader(struct cluster *cluster);
void cluster_stop(struct cluster *cluster);

/* A connection; NULL when there is none to be had within `timeout_ms`, which is also that of each command on it. */
struct redisContext *node_connect(const struct cluster_node *node, unsigned timeout_ms);
/* One command on a connection of its own: the reply as text, an error with a '-' before it, "" when there was none. */
__attribute__((format(printf, 3, 4))) char *node_ask(const struct cluster_node *node, unsigned timeout_ms,
						     const char *format, ...);
/* A number that INFO tells, -1 if it is not there. */
long long node_info(const struct cluster_node *node, const char *field);

/*
 * Another program, run to its end: what it printed on both outputs, and its status as of waitpid. The line is split
 * into words at its spaces; no shell reads it.
 */
__attribute__((format(printf, 3, 4))) char *run_program(int *status, unsigned limit_s, const char *format, ...);
/* What a file holds, with a zero behind it. */
char *read_file(const char *path, size_t *size);

#endif
