/*
 * What is left of a cluster that has lost its majority for ever: one survivor's log becomes that of a cluster of its
 * own, under a new cluster id, so that those who come back later are not taken for members.
 *
 * Written is one more entry, the new configuration, in a new term, and then a base that names the new cluster and has
 * that configuration: what a base has is committed, and so all entries of this log are from then on. Before the base is
 * durable, the cluster is the old one.
 */
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool look(struct ikada_node *node, struct ikada_recovery *found, struct wal_state *state, char *error,
		 size_t error_size)
{
	if (!identity_open(node, error, error_size) || !boot_read(node, state, error, error_size))
		return false;
	const struct ikada_config *config = &node->latest.config;
	if (!state->has_base || config->count == 0) {
		snprintf(error, error_size, "the directory %s holds no cluster", node->data_dir);
		return false;
	}
	if (roster_find(config, node->settings.id, node->incarnation) == NULL) {
		snprintf(error, error_size, "node %" PRIu64 " is no member of the last configuration in its log",
			 node->settings.id);
		return false;
	}
	*found = (struct ikada_recovery){.cluster_id = node->promised_cluster_id,
					 .last_index = state->last_index,
					 .last_term = state->base_term,
					 .commit = state->commit,
					 .config = *config};
	for (uint64_t index = node->cache.base + 1; index <= node->cache.last; index++) {
		struct entry entry;
		cache_get(&node->cache, index, &entry);
		found->last_term = entry.term;
		node->stamp = entry.stamp > node->stamp ? entry.stamp : node->stamp;
	}
	return true;
}

static void write_down(struct ikada_node *node, const struct wal_state *state, struct ikada_recovery *found)
{
	struct wire_members members;
	struct buf bytes;
	buf_init(&bytes, node->mem);
	memset(&members, 0, sizeof members);
	members.config = (struct ikada_config){
		.index = state->last_index + 1,
		.max_id = node->latest.config.max_id,
		.count = 1,
		.members = {{node->settings.id, node->incarnation, IKADA_VOTER}},
	};
	for (uint32_t i = 0; i < found->config.count; i++)
		if (found->config.members[i].id == node->settings.id &&
		    found->config.members[i].incarnation == node->incarnation)
			memcpy(members.addresses[0], node->latest.addresses[i], sizeof members.addresses[0]);
	wire_put_members(&bytes, &members);
	const struct entry entry = {
		.index = state->last_index + 1,
		.term = state->term + 1,
		.stamp = node->stamp,
		.kind = ENTRY_CONFIG,
		.request_node = node->settings.id,
		.request_boot = node->boot,
		.length = (uint32_t)buf_size(&bytes),
		.payload = buf_at(&bytes),
	};
	entry_encode(cache_add(&node->cache, entry_bytes(entry.length)), &entry);
	const uint8_t *encoded;
	size_t size;
	cache_piece(&node->cache, entry.index, entry.index, SIZE_MAX, &encoded, &size);
	buf_consume(&bytes, buf_size(&bytes));
	wire_put_base(&bytes, found->new_cluster_id, found->cluster_id, &members);
	wal_put_hard(node->wal, 0, entry.term, 0);
	wal_put_entries(node->wal, encoded, size);
	wal_put_base(node->wal, 0, state->base_index, state->base_term, buf_at(&bytes), buf_size(&bytes), true);
	wal_put_ticket(node->wal, 1);
	buf_free(&bytes);
	wal_flush(node->wal);
}

struct ikada_node *ikada_node_recover(struct env *env, const struct ikada_node_settings *settings,
				      struct ikada_recovery *found, void (*done)(void *context), void *context,
				      char *error, size_t error_size)
{
	static const struct ikada_machine none;
	struct wal_state state;
	struct ikada_node *node = node_make(env, settings, &none);
	if (!look(node, found, &state, error, error_size)) {
		ikada_node_close(node);
		return NULL;
	}
	found->new_cluster_id = env->ops->random(env) | 1;
	if (done != NULL) {
		node->recovered = done;
		node->recovered_context = context;
		write_down(node, &state, found);
	}
	return node;
}
