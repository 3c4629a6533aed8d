/* What `ikada status` knows of a cluster, for the file that asks and the one that prints. */
#ifndef IKADA_CLI_STATUS_H
#define IKADA_CLI_STATUS_H

#include "cli/client.h"

#include "ikada/raft.h"

enum status_health { HEALTHY = 0, DEGRADED = 1, NOT_SERVING = 2 }; /* Exit statuses. */

enum { STATUS_PROBLEMS_MAX = 4 * IKADA_MEMBERS_MAX, STATUS_TEXT_BYTES = 320, STATUS_WORD_BYTES = 40 };

/* A number that a node may not have told. */
struct told {
	bool known;
	uint64_t value;
};

struct status_node {
	uint64_t id;
	char address[STATUS_TEXT_BYTES]; /* For clients; empty: nobody knows it. */
	bool reachable;
	char error[CLIENT_ERROR_BYTES]; /* Why it is not. */

	/* Of a reachable one. */
	char role[STATUS_WORD_BYTES];
	char digest[STATUS_WORD_BYTES]; /* Empty: not told. */
	char cluster_id[STATUS_WORD_BYTES];
	struct told term, leader, commit, applied, lag, digest_index, doubted, log_bytes, snapshot_index, sync_us,
		sync_max_us;
	uint64_t connected; /* A bit for each node of the table that it has a connection with. */
	uint64_t forgot;    /* Of a leader, the same for each that lost what it had acknowledged. */
};

struct status {
	const char *asked; /* Who named the members. */
	enum status_health health;
	char cluster_id[STATUS_WORD_BYTES];
	uint64_t leader; /* 0: none that anybody knows of. */
	uint64_t term;
	uint32_t problem_count;
	char problems[STATUS_PROBLEMS_MAX][STATUS_TEXT_BYTES];
	uint32_t node_count;
	struct status_node nodes[IKADA_MEMBERS_MAX];
};

const char *status_health_name(const struct status *status);

/* status_print.c */
void status_print_text(const struct status *status);
void status_print_json(const struct status *status);

#endif
