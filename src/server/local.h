/* Commands that a connection answers by itself: about the connection, the protocol or this node, never about data. */
#ifndef IKADA_SERVER_LOCAL_H
#define IKADA_SERVER_LOCAL_H

#include "server/server_internal.h"

struct local_command {
	struct command_about about;	  /* The name of a subcommand has that of its command before it: "client|id". */
	const struct local_command *subs; /* Subcommands; NULL: there are none. */
	void (*run)(struct conn *conn, const struct request *request, struct buf *reply); /* NULL: only subcommands. */
};

/* Each of these tables ends with a name that is NULL. */
extern const struct local_command local_commands[];   /* local.c */
extern const struct local_command client_commands[];  /* local_client.c */
extern const struct local_command cluster_commands[]; /* local.c */
extern const struct local_command command_commands[]; /* local_command.c */
extern const struct local_command config_commands[];  /* local_config.c */
extern const struct local_command member_commands[];  /* local_raft.c */

/* Answers a request that is no command of the state machine; if it is none of these either, says so. */
void local_run(struct conn *conn, const struct request *request, struct buf *reply);
/* The command that has this name, NULL none. */
const struct local_command *local_find(const struct local_command *table, struct slice name);
/* What of an argument may stand in an error: Redis takes it up to its first zero byte. */
int local_shown_bytes(struct slice slice, size_t size_max);
/* For an option that is either on or off; false, with a reply, when it is neither. */
bool local_on_or_off(const struct request *request, struct buf *reply);

/* local_client.c, local_hello.c, local_command.c, local_info.c */
void client_reset(struct conn *conn);
bool client_name_fits(struct slice name, struct buf *reply);
void client_set_name(struct conn *conn, struct slice name);
void auth_run(struct conn *conn, const struct request *request, struct buf *reply);
void hello_run(struct conn *conn, const struct request *request, struct buf *reply);
void command_run(struct conn *conn, const struct request *request, struct buf *reply);
void transfer_run(struct conn *conn, const struct request *request, struct buf *reply); /* local_raft.c */
void info_run(struct conn *conn, const struct request *request, struct buf *reply);

#endif
