/* INFO: what this node knows of itself and of the others, for people and tools. Field names are those of Redis. */
#include "server/local.h"

#include <inttypes.h>

#define NS_PER_S ((uint64_t)1000000000)

static void put_server(struct server *server, struct buf *out)
{
	const struct env_ops *ops = server->env->ops;
	const char *port = strrchr(server->listen, ':');
	uint64_t uptime_s = (ops->raw_ns(server->env) - server->start_ns) / NS_PER_S;
	buf_printf(out, "redis_version:" REDIS_VERSION "\r\nikada_version:" IKADA_VERSION "\r\n");
	buf_printf(out, "redis_mode:standalone\r\n");
	if (server->settings.os != NULL)
		buf_printf(out, "os:%s\r\n", server->settings.os);
	buf_printf(out, "arch_bits:%zu\r\nprocess_id:%" PRIu64 "\r\ntcp_port:%s\r\n", 8 * sizeof(void *),
		   server->settings.process_id, port == NULL ? "0" : port + 1);
	buf_printf(out,
		   "server_time_usec:%" PRIu64 "\r\nuptime_in_seconds:%" PRIu64 "\r\nuptime_in_days:%" PRIu64 "\r\n",
		   ops->wall_ns(server->env) / 1000, uptime_s, uptime_s / 86400);
}

static void put_clients(struct server *server, struct buf *out)
{
	buf_printf(out, "connected_clients:%" PRIu32 "\r\nmaxclients:%d\r\n", server->conn_count, SERVER_CLIENTS_MAX);
}

/* The store is what grows; what else the process holds shows in its resident bytes. */
static void put_memory(struct server *server, struct buf *out)
{
	size_t dataset = store_bytes(server->machine->keyspace.store);
	struct server_usage usage;
	buf_printf(out, "used_memory:%zu\r\nused_memory_dataset:%zu\r\n", dataset, dataset);
	if (server->settings.usage != NULL) {
		server->settings.usage(&usage);
		buf_printf(out, "used_memory_rss:%" PRIu64 "\r\n", usage.resident_bytes);
	}
	buf_printf(out, "maxmemory:0\r\nmaxmemory_policy:noeviction\r\n");
}

/* A write is durable before it is answered; what is not loaded yet is not served. */
static void put_persistence(struct server *server, struct buf *out)
{
	(void)server;
	buf_printf(out, "loading:0\r\nasync_loading:0\r\naof_enabled:0\r\n");
}

static void put_stats(struct server *server, struct buf *out)
{
	buf_printf(out, "total_connections_received:%" PRIu64 "\r\ntotal_commands_processed:%" PRIu64 "\r\n",
		   server->total_conns, server->total_requests);
	buf_printf(out,
		   "total_net_input_bytes:%" PRIu64 "\r\ntotal_net_output_bytes:%" PRIu64
		   "\r\nrejected_connections:%" PRIu64 "\r\nexpired_keys:0\r\nevicted_keys:0\r\n",
		   server->total_input_bytes, server->total_output_bytes, server->rejected_conns);
}

/* Every node takes every request: to a client, each is a master. Its history is that of the cluster. */
static void put_replication(struct server *server, struct buf *out)
{
	struct ikada_node_status status;
	ikada_node_status(server->node, &status);
	uint64_t id = status.cluster_id;
	buf_printf(out, "role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\n");
	buf_printf(out, "master_replid:%016" PRIx64 "%016" PRIx64 "%08" PRIx64 "\r\nmaster_repl_offset:%" PRIu64 "\r\n",
		   id, id, id >> 32, status.applied_index);
}

static void put_cpu(struct server *server, struct buf *out)
{
	struct server_usage usage;
	if (server->settings.usage == NULL)
		return;
	server->settings.usage(&usage);
	buf_printf(out, "used_cpu_sys:%" PRIu64 ".%06" PRIu64 "\r\nused_cpu_user:%" PRIu64 ".%06" PRIu64 "\r\n",
		   usage.cpu_system_us / 1000000, usage.cpu_system_us % 1000000, usage.cpu_user_us / 1000000,
		   usage.cpu_user_us % 1000000);
}

static void put_cluster(struct server *server, struct buf *out)
{
	(void)server;
	buf_printf(out, "cluster_enabled:0\r\n");
}

static const char *role_name(enum ikada_role role)
{
	static const char *const names[] = {"follower", "precandidate", "candidate", "leader"};
	return names[role];
}

static const char *standing_name(enum ikada_standing standing)
{
	static const char *const names[] = {"voter",	"learner",  "joining", "leaving",
					    "incoming", "outgoing", "demoting"};
	return names[standing];
}

/* Of two incarnations of one id, one line: that of the one which comes. */
static bool is_replaced(const struct ikada_node_status *status, uint32_t i)
{
	enum ikada_standing standing = status->members[i].standing;
	if (standing != IKADA_LEAVING && standing != IKADA_OUTGOING)
		return false;
	for (uint32_t j = 0; j < status->member_count; j++)
		if (j != i && status->members[j].id == status->members[i].id)
			return true;
	return false;
}

static void put_member(const struct ikada_node_status *status, uint32_t i, struct buf *out)
{
	if (is_replaced(status, i))
		return;
	buf_printf(out, "raft_node_%" PRIu64 ":id=%" PRIu64 ",address=%s,client=%s,connected=%d", status->members[i].id,
		   status->members[i].id, status->members[i].address, status->members[i].client_address,
		   status->members[i].connected);
	buf_printf(out, ",standing=%s,incarnation=%016" PRIx64, standing_name(status->members[i].standing),
		   status->members[i].incarnation);
	for (uint32_t p = 0; p < status->raft.peer_count; p++)
		if (status->raft.peers[p].id == status->members[i].id &&
		    status->raft.peers[p].incarnation == status->members[i].incarnation)
			buf_printf(out, ",match=%" PRIu64 ",forgot=%d", status->raft.peers[p].match_index,
				   status->raft.peers[p].forgot);
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
	buf_printf(out, "raft_config_index:%" PRIu64 "\r\nraft_config_committed:%d\r\nraft_transfer_to:%" PRIu64 "\r\n",
		   status.raft.config.index, status.raft.config.index <= status.raft.commit, status.raft.transfer_to);
	buf_printf(out, "raft_state_digest:");
	for (size_t i = 0; i < sizeof status.digest; i++)
		buf_printf(out, "%02x", status.digest[i]);
	buf_printf(out, "\r\nraft_state_digest_index:%" PRIu64 "\r\nraft_state_doubted:%d\r\n", status.digest_index,
		   status.doubted);
	buf_printf(out,
		   "raft_log_bytes:%" PRIu64 "\r\nraft_snapshot_index:%" PRIu64 "\r\nraft_last_sync_us:%" PRIu64
		   "\r\nraft_mean_sync_us:%" PRIu64 "\r\nraft_max_sync_us:%" PRIu64 "\r\n",
		   status.log_bytes, status.snapshot_index, status.sync_last_ns / 1000, status.sync_mean_ns / 1000,
		   status.sync_max_ns / 1000);
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
	{"Server", "server", put_server}, {"Clients", "clients", put_clients},
	{"Memory", "memory", put_memory}, {"Persistence", "persistence", put_persistence},
	{"Stats", "stats", put_stats},	  {"Replication", "replication", put_replication},
	{"CPU", "cpu", put_cpu},	  {"Cluster", "cluster", put_cluster},
	{"Raft", "raft", put_raft},	  {"Keyspace", "keyspace", put_keyspace},
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
	resp_put_verbatim(reply, conn->protocol, buf_at(&text), buf_size(&text));
	buf_free(&text);
}
