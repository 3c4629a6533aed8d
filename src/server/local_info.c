/* INFO: what this node knows of itself and of the others, for people and tools. Field names are those of Redis. */
#include "server/local.h"

#include <inttypes.h>

#define NS_PER_S ((uint64_t)1000000000)

/* What clients may take this server for, when they look at a version to know what it can do. */
#define REDIS_VERSION "7.0.0"

static void put_server(struct server *server, struct buf *out)
{
	const struct env_ops *ops = server->env->ops;
	const char *port = strrchr(server->listen, ':');
	uint64_t uptime_s = (ops->raw_ns(server->env) - server->start_ns) / NS_PER_S;
	buf_printf(out, "redis_version:" REDIS_VERSION "\r\nikada_version:" IKADA_VERSION "\r\n");
	buf_printf(out, "redis_mode:standalone\r\n");
	buf_printf(out, "process_id:%" PRIu64 "\r\ntcp_port:%s\r\nuptime_in_seconds:%" PRIu64 "\r\n",
		   server->settings.process_id, port == NULL ? "0" : port + 1, uptime_s);
}

static void put_clients(struct server *server, struct buf *out)
{
	buf_printf(out, "connected_clients:%" PRIu32 "\r\nmaxclients:%d\r\n", server->conn_count, SERVER_CLIENTS_MAX);
}

static void put_memory(struct server *server, struct buf *out)
{
	buf_printf(out, "used_memory_dataset:%zu\r\n", store_bytes(server->machine->keyspace.store));
}

static void put_stats(struct server *server, struct buf *out)
{
	buf_printf(out,
		   "total_connections_received:%" PRIu64 "\r\ntotal_commands_processed:%" PRIu64
		   "\r\nrejected_connections:%" PRIu64 "\r\n",
		   server->total_conns, server->total_requests, server->rejected_conns);
}

/* Every node takes every request: to a client, each is a master. */
static void put_replication(struct server *server, struct buf *out)
{
	(void)server;
	buf_printf(out, "role:master\r\nconnected_slaves:0\r\n");
}

static const char *role_name(enum ikada_role role)
{
	static const char *const names[] = {"follower", "precandidate", "candidate", "leader"};
	return names[role];
}

static void put_member(const struct ikada_node_status *status, uint32_t i, struct buf *out)
{
	buf_printf(out, "raft_node_%" PRIu64 ":id=%" PRIu64 ",address=%s,client=%s,connected=%d",
		   status->members[i].id, status->members[i].id, status->members[i].address,
		   status->members[i].client_address, status->members[i].connected);
	for (uint32_t p = 0; p < status->raft.peer_count; p++)
		if (status->raft.peers[p].id == status->members[i].id)
			buf_printf(out, ",match=%" PRIu64, status->raft.peers[p].match_index);
	buf_printf(out, "\r\n");
}

static void put_raft(struct server *server, struct buf *out)
{
	struct ikada_node_status status;
	ikada_node_status(server->node, &status);
	buf_printf(out,
		   "raft_node_id:%" PRIu64 "\r\nraft_role:%s\r\nraft_term:%" PRIu64 "\r\nraft_leader_id:%" PRIu64
		   "\r\n",
		   server->settings.node.id, role_name(status.raft.role), status.raft.term, status.raft.leader);
	buf_printf(out,
		   "raft_commit_index:%" PRIu64 "\r\nraft_applied_index:%" PRIu64 "\r\nraft_last_index:%" PRIu64
		   "\r\nraft_cluster_id:%016" PRIx64 "\r\n",
		   status.raft.commit, status.applied_index, status.raft.last_index, status.cluster_id);
	for (uint32_t i = 0; i < status.member_count; i++)
		put_member(&status, i, out);
}

static void put_keyspace(struct server *server, struct buf *out)
{
	uint64_t count = keyspace_count(&server->machine->keyspace);
	if (count > 0)
		buf_printf(out, "db0:keys=%" PRIu64 ",expires=0,avg_ttl=0\r\n", count);
}

struct section {
	const char *title;
	const char *name;
	void (*put)(struct server *server, struct buf *out);
};

static const struct section sections[] = {
	{"Server", "server", put_server},
	{"Clients", "clients", put_clients},
	{"Memory", "memory", put_memory},
	{"Stats", "stats", put_stats},
	{"Replication", "replication", put_replication},
	{"Raft", "raft", put_raft},
	{"Keyspace", "keyspace", put_keyspace},
};

static bool wanted(const struct section *section, const struct request *request)
{
	for (uint32_t i = 1; i < request->count; i++) {
		struct slice name = request_arg(request, i);
		if (slice_is(name, section->name) || slice_is(name, "all") || slice_is(name, "default") ||
		    slice_is(name, "everything"))
			return true;
	}
	return request->count == 1;
}

void info_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	struct server *server = conn->server;
	struct buf text;
	buf_init(&text, server->mem);
	for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
		if (!wanted(&sections[i], request))
			continue;
		buf_printf(&text, "%s# %s\r\n", buf_size(&text) > 0 ? "\r\n" : "", sections[i].title);
		sections[i].put(server, &text);
	}
	resp_put_bulk(reply, buf_at(&text), buf_size(&text));
	buf_free(&text);
}
