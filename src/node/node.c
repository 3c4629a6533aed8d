/* A node: opens its rooms in order, gives each of them its part of a turn, says how it is. */
#include "node/node_internal.h"

#include <stdio.h>
#include <string.h>

/* Entries applied before the loop looks at its sockets again. */
#define APPLY_PER_TURN 4096
/* Of a snapshot loaded before it does so. */
#define LOAD_BYTES_PER_TURN ((size_t)512 * 1024)

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
	return value == 0 ? otherwise : value;
}

static void fill_defaults(struct ikada_node_settings *s)
{
	s->election_min_ns = or_default(s->election_min_ns, 250 * NS_PER_MS);
	s->heartbeat_ns = or_default(s->heartbeat_ns, earlier(100 * NS_PER_MS, s->election_min_ns / 2));
	s->election_max_ns = or_default(s->election_max_ns, 2 * s->election_min_ns);
	s->hint_delay_ns = or_default(s->hint_delay_ns, 5 * NS_PER_MS);
	s->request_deadline_ns = or_default(s->request_deadline_ns, 5 * NS_PER_S);
	s->segment_bytes = or_default(s->segment_bytes, (uint64_t)64 * 1024 * 1024);
	s->term_runs = (uint32_t)or_default(s->term_runs, 65536);
	s->queue_bytes_max = or_default(s->queue_bytes_max, (uint64_t)256 * 1024 * 1024);
	s->snapshot_log_bytes = or_default(s->snapshot_log_bytes, (uint64_t)64 * 1024 * 1024);
	s->checkpoint_entries = or_default(s->checkpoint_entries, 1024);
}

/*
 * One turn. The callbacks of this wake-up have brought in what the sockets and the disk had; now time is judged, what
 * gathered is proposed, written, applied and answered. See "The loop" in ARCHITECTURE.md.
 */
static void turn(void *context)
{
	struct ikada_node *node = context;
	struct env *env = node->env;
	node->in_turn = true;
	node->wanted = false;
	drive_time(node);
	uint64_t wake = roster_time(node);
	wake = earlier(wake, links_time(node));
	wake = earlier(wake, requests_time(node));
	bool more = receive_turn(node);
	more |= restore_turn(node, LOAD_BYTES_PER_TURN);
	wake = earlier(wake, digest_turn(node));
	wake = earlier(wake, send_turn(node));
	wake = earlier(wake, snapshots_turn(node));
	route(node);
	wal_flush(node->wal);
	if (env->ops->push != NULL && node->applied < node->commit)
		env->ops->push(env);
	more |= drive_apply(node, APPLY_PER_TURN);
	more |= route_serve(node, APPLY_PER_TURN);
	more |= requests_deliver(node);
	if (node->machine.idle != NULL && node->machine.idle(node->machine.context))
		wake = earlier(wake, raw_now(node) + NS_PER_MS);
	wake = earlier(wake, earlier(drive_deadline(node), route_deadline(node)));
	node->in_turn = false;
	env->ops->wake_at(env, more || node->wanted ? raw_now(node) : wake);
}

struct ikada_node *node_make(struct env *env, const struct ikada_node_settings *settings,
			     const struct ikada_machine *machine)
{
	struct ikada_node *node = mem_zero(env->mem, sizeof *node);
	node->env = env;
	node->mem = env->mem;
	node->settings = *settings;
	fill_defaults(&node->settings);
	node->machine = *machine;
	node->data_dir = mem_zero(node->mem, strlen(settings->data_dir) + 1);
	strcpy(node->data_dir, settings->data_dir);
	if (settings->client_address != NULL)
		snprintf(node->client_address, sizeof node->client_address, "%s", settings->client_address);
	node->boot = env->ops->random(env);
	node->rng = rng_seed(env->ops->random(env));
	buf_init(&node->scratch, node->mem);
	buf_keep(&node->scratch, FRAME_KEEP_BYTES);
	buf_init(&node->reply, node->mem);
	buf_init(&node->chunk, node->mem);
	list_init(&node->links);
	list_init(&node->gone);
	requests_init(node);
	node->received = mem_zero(node->mem, CONFIGS_RECEIVED_MAX * sizeof *node->received);
	node->received_configs = mem_zero(node->mem, CONFIGS_RECEIVED_MAX * sizeof *node->received_configs);
	drive_open(node);
	return node;
}

struct ikada_node *ikada_node_open(struct env *env, const struct ikada_node_settings *settings,
				   const struct ikada_machine *machine, char *error, size_t error_size)
{
	struct ikada_node *node = node_make(env, settings, machine);
	if (!cluster_parse(node, settings->cluster, error, error_size) || !identity_open(node, error, error_size) ||
	    !boot_open(node, error, error_size) || !links_open(node, error, error_size)) {
		ikada_node_close(node);
		return NULL;
	}
	handshake_consider(node);
	env->turn = turn;
	env->turn_context = node;
	env->ops->wake_at(env, raw_now(node));
	return node;
}

void ikada_node_close(struct ikada_node *node)
{
	struct env *env = node->env;
	CHECK(!node->stepping && !node->in_turn);
	env->turn = NULL;
	env->ops->wake_at(env, UINT64_MAX);
	links_close(node);
	requests_close(node);
	send_close(node);
	receive_close(node);
	restore_close(node);
	snapshots_close(node);
	drive_close(node);
	if (node->lock != NULL)
		env->ops->close(node->lock);
	roster_close(node);
	buf_free(&node->scratch);
	buf_free(&node->reply);
	buf_free(&node->chunk);
	mem_free(node->mem, node->data_dir);
	mem_free(node->mem, node);
}

void node_observe(struct ikada_node *node, const struct node_observer *observer)
{
	node->observer = observer;
	for (uint64_t index = node->cache.base + 1; index <= node->cache.last; index++) {
		struct entry entry;
		cache_get(&node->cache, index, &entry);
		observer->appended(observer->context, &entry);
	}
	if (node->applied > 0)
		observer->restored(observer->context, node->applied, node->applied_term);
}

size_t node_raft_bytes(const struct ikada_node *node)
{
	return node->raft_bytes;
}

static void put_member(const struct ikada_node *node, struct ikada_node_status *status, uint64_t id,
		       uint64_t incarnation, enum ikada_standing standing, const char *address)
{
	bool self = id == node->settings.id && incarnation == node->incarnation;
	const struct peer *peer = NULL;
	for (uint32_t i = 0; i < node->peer_count; i++)
		if (node->peers[i].id == id && i != node->self)
			peer = &node->peers[i];
	bool known = peer != NULL && (incarnation == 0 || peer->incarnation == incarnation);
	struct ikada_node_member *member = &status->members[status->member_count++];
	member->id = id;
	member->incarnation = incarnation;
	member->standing = standing;
	member->address = address;
	member->client_address = self ? node->client_address : known ? peer->client_address : "";
	member->connected = self || (known && peer->link != NULL);
}

/* Those in the last configuration; while there is none, those in the cluster list. */
static void put_members(const struct ikada_node *node, struct ikada_node_status *status)
{
	const struct ikada_config *config = &node->latest.config;
	for (uint32_t i = 0; i < config->count; i++)
		put_member(node, status, config->members[i].id, config->members[i].incarnation,
			   config->members[i].standing, node->latest.addresses[i]);
	for (uint32_t i = 0; config->count == 0 && i < node->peer_count; i++)
		if (node->peers[i].id != 0)
			put_member(node, status, node->peers[i].id, i == node->self ? node->incarnation : 0,
				   IKADA_VOTER, node->peers[i].address);
}

void ikada_node_status(const struct ikada_node *node, struct ikada_node_status *status)
{
	memset(status, 0, sizeof *status);
	if (node->raft != NULL)
		ikada_raft_status(node->raft, &status->raft);
	status->applied_index = node->applied;
	if (has_snapshots(node) && !node->restore.active) {
		status->digest_index = node->applied;
		node->machine.digest(node->machine.context, status->digest);
	}
	status->doubted = node->digests.doubted;
	status->snapshot_index = snapshots_newest(node);
	struct wal_status log;
	wal_status(node->wal, &log);
	status->log_bytes = log.disk_bytes;
	status->sync_last_ns = log.sync_last_ns;
	status->sync_mean_ns = log.sync_mean_ns;
	status->sync_max_ns = log.sync_max_ns;
	status->cluster_id = node->cluster_id;
	status->incarnation = node->incarnation;
	status->boot = node->boot;
	put_members(node, status);
}
