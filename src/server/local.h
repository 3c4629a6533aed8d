/* Commands that a connection answers by itself: about the connection, the protocol or this node, never about data. */
#ifndef IKADA_SERVER_LOCAL_H
#define IKADA_SERVER_LOCAL_H

#include "server/server_internal.h"

/* Answers a request that is no command of the state machine; if it is none of these either, says so. */
void local_run(struct conn *conn, const struct request *request, struct buf *reply);
void local_put_unknown_subcommand(const struct request *request, const char *help, struct buf *reply);

/* True when the arity fits; else the error is in the reply. `name` is "command|subcommand". */
bool local_arity(int arity, const struct request *request, const char *name, struct buf *reply);

/* local_client.c */
void hello_run(struct conn *conn, const struct request *request, struct buf *reply);
void client_run(struct conn *conn, const struct request *request, struct buf *reply);

/* local_info.c */
void info_run(struct conn *conn, const struct request *request, struct buf *reply);

/* local_config.c */
void config_run(struct conn *conn, const struct request *request, struct buf *reply);

#endif
