/*
 * The server's own view of itself. One node, one thread; the files of this room share these structs:
 *
 *	server.c	open, close, the listener, the state machine as the node calls it
 *	conn.c		a client's connection: requests in, replies out, in order and bounded
 *	machine.c	commands as bytes, over the store; with command*.c and keyspace.c it knows nothing of this file
 *	local*.c	commands that the connection answers by itself, and what they say about all commands
 *	resp*.c		the protocol
 */
#ifndef IKADA_SERVER_SERVER_INTERNAL_H
#define IKADA_SERVER_SERVER_INTERNAL_H

#include "base/buf.h"
#include "base/list.h"
#include "server/machine.h"
#include "server/resp.h"
#include "server/server.h"

enum { SERVER_CLIENTS_MAX = 10000 };

/* Why a connection does not look at its next request now. */
enum conn_wait {
	WAIT_NOTHING,
	WAIT_CALLS,  /* For the end of all calls; then the connection ends. */
	WAIT_ROOM,   /* For the end of some calls. */
	WAIT_READS,  /* For the answer to the reads. */
	WAIT_OUTPUT, /* For the client to take its replies. */
};

struct call;

struct conn {
	struct list at; /* In server->conns. */
	struct server *server;
	struct env_stream *stream;
	uint64_t id;
	char *name; /* Given by the client; NULL none. */
	enum resp_protocol protocol;
	bool silent;	    /* The client wants no replies ... */
	unsigned unwanted;  /* ... or not the next so many, that of the request under way among them. */
	uint64_t opened_ns; /* Raw. */
	uint64_t heard_ns;  /* Raw. */
	struct buf in;
	struct resp_parser parser;
	enum conn_wait wait;
	bool paused; /* The stream. */
	bool ending; /* Nothing more is parsed; it closes when all is answered. */
	bool killed; /* Nothing happens any more; it closes when the turn ends. */

	struct list calls; /* Writes under way, and replies that stand behind them; in the order of the requests. */
	uint32_t call_count;
	size_t call_bytes;

	struct buf reads; /* Commands that read, encoded; gathered while nothing is under way, or under way. */
	uint32_t read_count;
	bool reading; /* They are under way, as `read`. */
	struct ikada_request read;

	struct list stalled; /* In server->stalled. */
	bool stall_seen;     /* ... since before the output was last sent. */
};

struct server {
	struct env *env;
	struct mem *mem;
	struct server_settings settings;
	char *listen;
	struct machine *machine;
	struct ikada_node *node;
	struct env_listener *listener;
	struct list conns;
	struct list stalled; /* Connections that wait for output to leave, and may not be told; and killed ones. */
	struct list free_calls;
	uint32_t free_call_count;
	uint32_t conn_count;
	uint64_t next_conn_id;
	uint64_t start_ns; /* Raw. */
	uint64_t total_conns;
	uint64_t rejected_conns;
	uint64_t total_requests;
	uint64_t total_input_bytes;
	uint64_t total_output_bytes;
	struct buf encoded;	/* Commands on their way into the node ... */
	struct call *gathering; /* ... as the entry of this call; NULL none. */
	struct buf reply;	/* Of a local command. */
};

/* conn.c */
void conn_accept(struct server *server, struct env_stream *stream);
void conn_close(struct conn *conn, bool flush);
/* Closes it soon, and not inside this call: somebody may be at work on it. */
void conn_kill(struct conn *conn);
/* Takes up connections whose output has left; true when some are to be looked at again after the next send. */
bool conns_unstall(struct server *server);
void conns_close(struct server *server);

#endif
