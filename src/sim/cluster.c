/*
 * The cluster's life: see cluster.h. What is asked of a server from outside stands here, in one place: its settings,
 * and, for cluster_judge, its store.
 */
#include "sim/cluster.h"

#include "base/check.h"
#include "node/node_internal.h"
#include "server/server_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { CLIENT_PORT = 6000, PEER_PORT = 7000 };

void cluster_fail(struct cluster *cluster, const char *format, ...)
{
	if (cluster->failure[0] != '\0')
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(cluster->failure, sizeof cluster->failure, format, args);
	va_end(args);
}

void cluster_say(struct cluster *cluster, const char *format, ...)
{
	if (cluster->trace == NULL)
		return;
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	cluster->trace(cluster->trace_context, text);
}

const char *cluster_failure(const struct cluster *cluster)
{
	if (cluster->failure[0] != '\0')
		return cluster->failure;
	if (cluster->old_rules != NULL && rules_failure(cluster->old_rules) != NULL)
		return rules_failure(cluster->old_rules);
	return rules_failure(cluster->rules);
}

static void put_list(struct cluster *cluster, uint32_t count)
{
	size_t used = 0;
	for (uint32_t i = 0; i < count; i++)
		used += (size_t)snprintf(cluster->list + used, sizeof cluster->list - used, "%s%" PRIu32 "=%s",
					 i == 0 ? "" : ",", i + 1, cluster->members[i].peer_address);
}

void cluster_create(struct cluster *cluster, struct sim *sim, struct mem *mem, uint32_t count,
		    const struct rules_hooks *hooks)
{
	memset(cluster, 0, sizeof *cluster);
	cluster->sim = sim;
	cluster->mem = mem;
	cluster->count = count;
	cluster->term_runs = 1024;
	cluster->rules = rules_create(mem, count, hooks);
	for (uint32_t i = 0; i < count; i++) {
		struct member *member = &cluster->members[i];
		char name[16];
		snprintf(name, sizeof name, "n%" PRIu32, i + 1);
		member->cluster = cluster;
		member->number = i;
		member->host = sim_host_create(sim, i + 1, name);
		sim_host_set_owner(member->host, member);
		snprintf(member->listen, sizeof member->listen, "%s:%d", name, CLIENT_PORT);
		snprintf(member->peer_address, sizeof member->peer_address, "%s:%d", name, PEER_PORT);
		member->active = true;
		member->rules = cluster->rules;
	}
	put_list(cluster, count);
}

void cluster_begin_with(struct cluster *cluster, uint32_t count)
{
	cluster->churns = true;
	put_list(cluster, count);
	for (uint32_t i = count; i < cluster->count; i++)
		cluster->members[i].active = false;
}

void cluster_destroy(struct cluster *cluster)
{
	rules_destroy(cluster->rules);
	if (cluster->old_rules != NULL)
		rules_destroy(cluster->old_rules);
}

static void ended(struct member *member)
{
	member->server = NULL;
	rules_ended(member->rules, member->number);
}

static void boot(void *context)
{
	struct member *member = context;
	struct cluster *cluster = member->cluster;
	const struct server_settings settings = {
		.node =
			{
				.id = member->number + 1,
				.cluster = member->list[0] == '\0' ? cluster->list : member->list,
				.client_address = member->listen,
				.data_dir = "data",
				.segment_bytes = 64 * 1024,
				.term_runs = (uint32_t)cluster->term_runs,
				.request_deadline_ns = cluster->request_deadline_ns,
				.snapshot_log_bytes = cluster->snapshot_log_bytes,
				.checkpoint_entries = cluster->checkpoint_entries,
			},
		.listen = member->listen,
		.process_id = member->number + 1,
	};
	char error[512] = "";
	member->server = server_open(sim_host_env(member->host), &settings, error, sizeof error);
	if (member->server != NULL)
		rules_watch(member->rules, member->number, server_node(member->server));
	else if (member->excuses == 0)
		cluster_fail(cluster, "node %" PRIu32 " does not start: %s", member->number + 1, error);
}

bool cluster_start(struct member *member)
{
	struct cluster *cluster = member->cluster;
	if (sim_host_running(member->host) || member->held || (!member->active && !member->lost))
		return true;
	cluster->counters.starts++;
	cluster_say(cluster, "start node %" PRIu32, member->number + 1);
	sim_host_start(member->host);
	if (sim_host_run(member->host, boot, member) && member->server == NULL)
		sim_host_crash(member->host, SIM_KILL);
	if (member->server != NULL)
		return true;
	cluster->counters.excused_starts++;
	return false;
}

void cluster_crash(struct member *member, enum sim_crash how)
{
	cluster_say(member->cluster, "crash node %" PRIu32 " (%s)", member->number + 1,
		    how == SIM_KILL    ? "kill"
		    : how == SIM_POWER ? "power"
				       : "power, silent");
	ended(member); /* First: a crash from inside the process does not return. */
	sim_host_crash(member->host, how);
}

void cluster_lose(struct member *member, enum sim_crash how)
{
	member->active = false;
	member->lost = true;
	member->held = true;
	cluster_crash(member, how);
}

void cluster_begin_anew(struct cluster *cluster, struct rules *rules)
{
	CHECK(cluster->old_rules == NULL);
	cluster->old_rules = cluster->rules;
	cluster->rules = rules;
	for (uint32_t i = 0; i < cluster->count; i++)
		if (!cluster->members[i].lost)
			cluster->members[i].rules = rules;
}

void cluster_wipe(struct member *member)
{
	cluster_say(member->cluster, "node %" PRIu32 " gets a new disk", member->number + 1);
	sim_disk_wipe(member->host);
	rules_wiped(member->rules, member->number);
}

static void shut(void *context)
{
	struct member *member = context;
	server_close(member->server);
}

void cluster_stop(struct member *member)
{
	struct cluster *cluster = member->cluster;
	if (member->server == NULL)
		return;
	/* A write under way keeps its log from being freed: drive_close. */
	const struct wal *wal = server_node(member->server)->wal;
	bool all = wal == NULL || wal_sync_started_ns(wal) == 0;
	cluster_say(cluster, "stop node %" PRIu32, member->number + 1);
	cluster->counters.stops++;
	if (!sim_host_run(member->host, shut, member))
		return;
	size_t left = sim_host_stop(member->host);
	ended(member);
	if (all && left > 0)
		cluster_fail(cluster, "node %" PRIu32 " leaves %zu bytes of memory behind", member->number + 1, left);
}

static void flip(void *context)
{
	struct member *member = context;
	struct keyspace *keyspace = &member->server->machine->keyspace;
	static const struct slice key = {(const uint8_t *)"flipped", 7};
	static const struct slice value = {(const uint8_t *)"bit", 3};
	/* Not while it is being loaded: then it would be noticed as a damaged file. */
	if (!server_node(member->server)->restore.active)
		keyspace_put(keyspace, key, value);
}

void cluster_flip(struct member *member)
{
	if (member->server == NULL)
		return;
	cluster_say(member->cluster, "a bit flips in the state of node %" PRIu32, member->number + 1);
	member->cluster->counters.flips++;
	sim_host_run(member->host, flip, member);
}

bool cluster_on_fatal(struct cluster *cluster, struct sim_host *host, const char *text)
{
	struct member *member = sim_host_owner(host);
	cluster_say(cluster, "%s ended by itself: %s", sim_host_name(host), text);
	if (member != NULL)
		ended(member);
	if (member != NULL && member->excuses > 0) {
		cluster->counters.excused_ends++;
		return true;
	}
	cluster_fail(cluster, "%s ended: %s", sim_host_name(host), text);
	return false;
}

struct member *cluster_leader(struct cluster *cluster)
{
	struct member *leader = NULL;
	uint64_t highest = 0;
	for (uint32_t i = 0; i < cluster->count; i++) {
		uint64_t term;
		if (rules_role(cluster->rules, i, &term) == IKADA_LEADER && term > highest) {
			highest = term;
			leader = &cluster->members[i];
		}
	}
	return leader;
}

/* ---- The end ---- */

static struct store *store_of(const struct member *member)
{
	return member->server->machine->keyspace.store;
}

static bool same_slice(const struct store_slice *a, const struct store_slice *b)
{
	return a->size == b->size && (a->size == 0 || memcmp(a->bytes, b->bytes, a->size) == 0);
}

static bool same_store(const struct store *a, const struct store *b)
{
	struct store_cursor in_a, in_b;
	if (store_count(a) != store_count(b))
		return false;
	store_seek(&in_a, a, NULL, "", 0);
	store_seek(&in_b, b, NULL, "", 0);
	for (;;) {
		struct store_slice key_a, key_b, value_a, value_b;
		bool more = store_next(&in_a, &key_a, &value_a);
		if (more != store_next(&in_b, &key_b, &value_b))
			return false;
		if (!more)
			return true;
		if (!same_slice(&key_a, &key_b) || !same_slice(&value_a, &value_b))
			return false;
	}
}

void cluster_judge(struct cluster *cluster)
{
	const struct member *leader = cluster_leader(cluster);
	const struct member *first = leader;
	if (leader == NULL)
		cluster_fail(cluster, "progress: nobody leads at the end");
	for (uint32_t i = 0; i < cluster->count && leader != NULL; i++) {
		const struct member *member = &cluster->members[i];
		if (!member->active)
			continue;
		if (member->server == NULL) {
			cluster_fail(cluster, "progress: node %" PRIu32 " is down at the end", i + 1);
			return;
		}
		uint64_t term;
		uint64_t applied = rules_applied(cluster->rules, i);
		if (rules_role(cluster->rules, i, &term) == IKADA_LEADER && member != leader)
			cluster_fail(cluster, "progress: nodes %" PRIu32 " and %" PRIu32 " both lead at the end",
				     leader->number + 1, i + 1);
		if (applied != rules_committed(cluster->rules))
			cluster_fail(cluster,
				     "progress: node %" PRIu32 " has applied index %" PRIu64
				     " at the end, committed is %" PRIu64,
				     i + 1, applied, rules_committed(cluster->rules));
		store_verify(store_of(member));
		if (cluster->failure[0] == '\0' && !same_store(store_of(first), store_of(member)))
			cluster_fail(cluster,
				     "the stores of nodes %" PRIu32 " and %" PRIu32
				     " differ, though both have applied index %" PRIu64,
				     first->number + 1, i + 1, applied);
	}
}
