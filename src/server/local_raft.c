/*
 * RAFT.MEMBER and RAFT.TRANSFER: what is asked of the cluster itself. Only the leader takes changes; another node says
 * who leads. A change that was taken goes on by itself: RAFT.MEMBER LIST and INFO tell how far it is.
 */
#include "server/local.h"

#include <inttypes.h>
#include <stdio.h>

enum { SAID_BYTES = 256 };
#define TRANSFER_NS ((uint64_t)2000000000)

static const char *standing_name(enum ikada_standing standing)
{
	static const char *const names[] = {"voter",	"learner",  "joining", "leaving",
					    "incoming", "outgoing", "demoting"};
	return names[standing];
}

/* For each member: id, incarnation, standing, address for peers, address for clients. */
static void list_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	struct ikada_node_status status;
	(void)request;
	ikada_node_status(conn->server->node, &status);
	resp_put_array(reply, status.member_count);
	for (uint32_t i = 0; i < status.member_count; i++) {
		const struct ikada_node_member *member = &status.members[i];
		const char *standing = standing_name(member->standing);
		char text[40];
		int size = snprintf(text, sizeof text, "%" PRIu64, member->id);
		resp_put_array(reply, 5);
		resp_put_bulk(reply, text, (size_t)size);
		size = snprintf(text, sizeof text, "%016" PRIx64, member->incarnation);
		resp_put_bulk(reply, text, (size_t)size);
		resp_put_bulk(reply, standing, strlen(standing));
		resp_put_bulk(reply, member->address, strlen(member->address));
		resp_put_bulk(reply, member->client_address, strlen(member->client_address));
	}
}

static bool read_id(const struct request *request, uint32_t at, uint64_t *id, struct buf *reply)
{
	int64_t number;
	if (!command_integer(request, at, &number, reply))
		return false;
	if (number < 1) {
		resp_put_error(reply, "ERR the id of a node is at least 1");
		return false;
	}
	*id = (uint64_t)number;
	return true;
}

/* The address in argument `at`, as text. */
static bool read_address(const struct request *request, uint32_t at, char text[SAID_BYTES], struct buf *reply)
{
	struct slice address = request_arg(request, at);
	if (address.size >= SAID_BYTES || memchr(address.bytes, '\0', address.size) != NULL) {
		resp_put_error(reply, "ERR the address is expected as HOST:PORT");
		return false;
	}
	memcpy(text, address.bytes, address.size);
	text[address.size] = '\0';
	return true;
}

static void change(struct conn *conn, enum ikada_member_action action, uint64_t id, const char *address,
		   struct buf *reply)
{
	char said[SAID_BYTES];
	if (ikada_node_change(conn->server->node, action, id, address, said, sizeof said))
		resp_put_status(reply, "OK");
	else
		resp_put_error(reply, "ERR %s", said);
}

static void add_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	uint64_t id;
	char address[SAID_BYTES];
	bool learner = request->count == 5 && slice_is(request_arg(request, 4), "learner");
	if (request->count > 5 || (request->count == 5 && !learner))
		command_put_syntax_error(reply);
	else if (read_id(request, 2, &id, reply) && read_address(request, 3, address, reply))
		change(conn, learner ? IKADA_MEMBER_ADD_LEARNER : IKADA_MEMBER_ADD, id, address, reply);
}

static void remove_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	uint64_t id;
	if (read_id(request, 2, &id, reply))
		change(conn, IKADA_MEMBER_REMOVE, id, NULL, reply);
}

static void promote_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	uint64_t id;
	if (read_id(request, 2, &id, reply))
		change(conn, IKADA_MEMBER_PROMOTE, id, NULL, reply);
}

static void demote_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	uint64_t id;
	if (read_id(request, 2, &id, reply))
		change(conn, IKADA_MEMBER_DEMOTE, id, NULL, reply);
}

static void replace_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	uint64_t id;
	char address[SAID_BYTES];
	bool moves = request->count == 4;
	if (request->count > 4)
		command_put_syntax_error(reply);
	else if (read_id(request, 2, &id, reply) && (!moves || read_address(request, 3, address, reply)))
		change(conn, IKADA_MEMBER_REPLACE, id, moves ? address : NULL, reply);
}

void transfer_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	char said[SAID_BYTES];
	uint64_t to = 0;
	if (request->count > 2)
		command_put_syntax_error(reply);
	else if (request->count == 2 && !read_id(request, 1, &to, reply))
		return;
	else if (ikada_node_transfer(conn->server->node, to, TRANSFER_NS, said, sizeof said))
		resp_put_status(reply, "OK");
	else
		resp_put_error(reply, "ERR %s", said);
}

const struct local_command member_commands[] = {
	{{"raft.member|list", 2, 0, 0, 0, "7.0.15", "cluster", "Who is a member."}, NULL, list_run},
	{{"raft.member|add", -4, 0, 0, 0, "7.0.15", "cluster", "ID HOST:PORT [LEARNER]: one more."}, NULL, add_run},
	{{"raft.member|remove", 3, 0, 0, 0, "7.0.15", "cluster", "ID: one less."}, NULL, remove_run},
	{{"raft.member|replace", -3, 0, 0, 0, "7.0.15", "cluster", "ID [HOST:PORT]: its disk was wiped."},
	 NULL,
	 replace_run},
	{{"raft.member|promote", 3, 0, 0, 0, "7.0.15", "cluster", "ID: a learner is to vote."}, NULL, promote_run},
	{{"raft.member|demote", 3, 0, 0, 0, "7.0.15", "cluster", "ID: a voter is to be a learner."}, NULL, demote_run},
	{{NULL, 0, 0, 0, 0, NULL, NULL, NULL}, NULL, NULL},
};
