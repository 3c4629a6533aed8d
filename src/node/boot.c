/*
 * How a node comes to run: recovery of its log and of its state, its first configuration, and the start of the core.
 *
 * A cluster is born once (HOUSE 7). When a node has seen all listed members, it writes the first configuration, their
 * ids and incarnations, to its log: that is a promise never to accept another one. It tells its peers when the promise
 * is durable, and starts its core when it knows that all members made the same one. So two first configurations that
 * both come to life have no incarnation in common. A core that ever ran (a term or an entry is in the log), or that
 * hears from a running one, knows that already.
 *
 * A node that others have taken into their cluster stands by its cluster id from then on, and starts with a log that
 * has not been told of any configuration: nobody votes there.
 */
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct recovery {
	struct ikada_node *node;
	bool bad_config;
};

static void recovered_base(void *context, uint64_t index, uint64_t term, const uint8_t *config, size_t config_size)
{
	struct recovery *recovery = context;
	(void)term;
	cache_reset(&recovery->node->cache, index);
	struct wire_base base;
	recovery->bad_config = !wire_get_base(config, config_size, &base) || !ikada_config_valid(&base.members.config);
	recovery->node->promised_cluster_id = base.cluster_id;
	recovery->node->recovered_from = base.recovered_from;
	recovery->node->base_members = base.members;
}

static void recovered_entry(void *context, uint64_t index, uint64_t term, const uint8_t *bytes, size_t size)
{
	struct recovery *recovery = context;
	struct cache *cache = &recovery->node->cache;
	(void)term;
	cache_cut(cache, index);
	CHECK_OP(index, ==, cache->last + 1);
	memcpy(cache_add(cache, size), bytes, size);
}

/* The cluster list names the members of the stored configuration. */
static bool same_members(const struct ikada_node *node)
{
	if (node->latest.config.count != node->peer_count)
		return false;
	for (uint32_t i = 0; i < node->peer_count; i++)
		if (node->latest.config.members[i].id != node->peers[i].id)
			return false;
	return true;
}

/*
 * While it is the first one, and this node was one of its members, the list must agree with it; once members have
 * changed, it wins.
 */
static bool accept_config(struct ikada_node *node, char *error, size_t error_size)
{
	const struct ikada_config *config = &node->latest.config;
	bool born_in_it = node->cache.base == 0 || roster_find(config, node->settings.id, node->incarnation) != NULL;
	if (config->count == 0)
		return true;
	if (config->index > 0 || !born_in_it) {
		if (!same_members(node))
			env_log(node->env, ENV_WARN, "node",
				"the cluster list is not that of the stored configuration, which wins");
		return true;
	}
	if (!same_members(node)) {
		char ids[IKADA_MEMBERS_MAX * 24] = "";
		size_t used = 0;
		for (uint32_t i = 0; i < node->latest.config.count; i++)
			used += (size_t)snprintf(ids + used, sizeof ids - used, "%s%" PRIu64, i == 0 ? "" : ", ",
						 node->latest.config.members[i].id);
		snprintf(error, error_size,
			 "the data directory %s belongs to a cluster of the nodes %s; the cluster list names others",
			 node->data_dir, ids);
		return false;
	}
	uint64_t known = config->members[node->self].incarnation;
	if (known != node->incarnation) {
		snprintf(error, error_size,
			 "the log in %s was written by incarnation %016" PRIx64
			 " of this node, its identity says %016" PRIx64 ": files of two directories were mixed",
			 node->data_dir, known, node->incarnation);
		return false;
	}
	return true;
}

static void adopt_config(struct ikada_node *node)
{
	node->cluster_id = node->promised_cluster_id;
	if (node->latest.config.count > 0)
		roster_changed(node);
}

/* The runs of terms in the cache, for the core; the caller frees them. */
static struct ikada_run *gather_runs(struct ikada_node *node, uint32_t *count)
{
	struct ikada_run *runs = mem_alloc(node->mem, node->settings.term_runs * sizeof *runs);
	*count = 0;
	for (uint64_t index = node->cache.base + 1; index <= node->cache.last; index++) {
		struct entry entry;
		cache_get(&node->cache, index, &entry);
		node->stamp = entry.stamp > node->stamp ? entry.stamp : node->stamp;
		if (*count > 0 && runs[*count - 1].term == entry.term)
			continue;
		if (*count == node->settings.term_runs)
			env_fatal(node->env, "the log has more than %" PRIu32 " runs of terms",
				  node->settings.term_runs);
		runs[(*count)++] = (struct ikada_run){.first = index, .term = entry.term};
	}
	return runs;
}

static void start_core(struct ikada_node *node, const struct wal_state *state)
{
	const struct ikada_node_settings *s = &node->settings;
	const struct ikada_limits limits = {
		.term_runs = s->term_runs,
		.inflight_messages = 64,
		.inflight_bytes = earlier(s->segment_bytes / 16, 4 * 1024 * 1024),
		.uncommitted_entries = 65536,
	};
	const struct ikada_settings settings = {
		.self = s->id,
		.incarnation = node->incarnation,
		.seed = node->env->ops->random(node->env),
		.heartbeat_ns = s->heartbeat_ns,
		.election_min_ns = s->election_min_ns,
		.election_max_ns = s->election_max_ns,
		.hint_delay_ns = s->hint_delay_ns,
		.priority = s->priority,
	};
	CHECK_OP(state->last_index, ==, node->cache.last);
	CHECK_OP(state->commit, <=, node->cache.last);
	/* What a snapshot holds was committed, and the configuration that stands at a base. */
	node->commit = state->commit > node->applied ? state->commit : node->applied;
	if (node->commit < node->base_members.config.index)
		node->commit = node->base_members.config.index;
	uint32_t run_count;
	struct ikada_run *runs = gather_runs(node, &run_count);
	const struct ikada_boot boot = {
		.term = state->term,
		.vote = state->vote,
		.vote_incarnation = state->vote_incarnation,
		.config = node->latest.config,
		.config_before = node->before.config,
		.base_index = state->base_index,
		.base_term = state->base_term,
		.last_index = node->cache.last,
		.runs = runs,
		.run_count = run_count,
		.commit = node->commit,
		.raw_ns = raw_now(node),
		.awake_ns = awake_now(node),
	};
	node->raft_bytes = ikada_raft_size(&limits);
	node->raft_memory = mem_alloc(node->mem, node->raft_bytes);
	node->raft = ikada_raft_init(node->raft_memory, &limits, &settings, &boot);
	node->term = state->term;
	mem_free(node->mem, runs);
	if (node->latest.config.count > 0)
		roster_changed(node); /* Now it is known how far it is committed. */
	env_log(node->env, ENV_INFO, "node",
		"start node=%" PRIu64 " cluster=%016" PRIx64 " term=%" PRIu64 " base=%" PRIu64 " last=%" PRIu64
		" commit=%" PRIu64 " applied=%" PRIu64,
		s->id, node->cluster_id, state->term, node->cache.base, node->cache.last, node->commit, node->applied);
}

bool boot_read(struct ikada_node *node, struct wal_state *state, char *error, size_t error_size)
{
	uint64_t segment = node->settings.segment_bytes;
	char *dir = path_join(node->mem, node->data_dir, "wal");
	const struct wal_settings wal_settings = {
		.dir = dir,
		.segment_bytes = segment,
		.batch_bytes_max = segment < 8 * 1024 * 1024 ? segment / 2 : 4 * 1024 * 1024,
		.durable = drive_durable,
		.context = node,
	};
	struct recovery recovery = {.node = node};
	const struct wal_replay replay = {&recovery, recovered_base, recovered_entry};
	node->wal = wal_open(node->env, &wal_settings, &replay, state, error, error_size);
	mem_free(node->mem, dir);
	if (node->wal == NULL)
		return false;
	if (state->has_base && (recovery.bad_config || node->base_members.config.index > state->last_index)) {
		snprintf(error, error_size, "the log in %s holds a configuration that this program cannot read",
			 node->data_dir);
		return false;
	}
	return roster_open(node, error, error_size);
}

bool boot_open(struct ikada_node *node, char *error, size_t error_size)
{
	struct wal_state state;
	if (!boot_read(node, &state, error, error_size))
		return false;
	if (!state.has_base && !snapshots_open(node, &state, error, error_size))
		return false;
	if (!state.has_base) {
		env_log(node->env, ENV_INFO, "node",
			"new node=%" PRIu64 " incarnation=%016" PRIx64 ": waits until all %" PRIu32
			" members were seen",
			node->settings.id, node->incarnation, node->peer_count);
		return true;
	}
	roster_restored(node, &node->base_members);
	if (!accept_config(node, error, error_size))
		return false;
	adopt_config(node);
	if (!snapshots_open(node, &state, error, error_size))
		return false;
	if (state.term > 0 || state.last_index > 0 || node->latest.config.count == 0)
		start_core(node, &state);
	return true;
}

static void promise(struct ikada_node *node, uint64_t cluster_id)
{
	struct buf bytes;
	buf_init(&bytes, node->mem);
	node->promised_cluster_id = cluster_id;
	wire_put_base(&bytes, cluster_id, 0, &node->base_members);
	wal_put_base(node->wal, 0, 0, 0, buf_at(&bytes), buf_size(&bytes), false);
	wal_put_ticket(node->wal, 1);
	buf_free(&bytes);
	node->born_pending = true;
	node->ticket_offset = 1;
	node->wanted = true;
}

void boot_promise(struct ikada_node *node, const struct ikada_config *config)
{
	CHECK(node->promised_cluster_id == 0);
	roster_first(node, config);
	promise(node, wire_cluster_id(config));
}

void boot_join(struct ikada_node *node, uint64_t cluster_id)
{
	CHECK(node->promised_cluster_id == 0);
	promise(node, cluster_id);
}

bool boot_promised(struct ikada_node *node)
{
	if (!node->born_pending)
		return false;
	node->born_pending = false;
	adopt_config(node);
	links_taken_in(node);
	env_log(node->env, ENV_INFO, "node", "%s node=%" PRIu64 " cluster=%016" PRIx64,
		node->latest.config.count > 0 ? "first configuration" : "taken into a cluster", node->settings.id,
		node->cluster_id);
	return true;
}

void boot_start(struct ikada_node *node)
{
	CHECK(node->raft == NULL && node->cluster_id != 0);
	const struct wal_state state = {.has_base = true};
	start_core(node, &state);
}
