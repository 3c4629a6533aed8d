/*
 * Configurations with the addresses of their members, as the core has them without: the last one in the log, the one
 * before, which is in force again when the log is cut, the one as of the applied entry, which goes into snapshots, and
 * the one at the base. And the peers that follow from them.
 *
 * A peer has a place as long as the last configuration names its id, or the one before while the last one is not
 * committed, and a little longer, so that it hears that it has gone. Places never move. Nothing is closed inside a
 * step.
 */
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Who is named no more is told so by the core; then its connection goes. */
#define GONE_NS (1 * NS_PER_S)

/* ---- Looking ---- */

const struct ikada_member *roster_find(const struct ikada_config *config, uint64_t id, uint64_t incarnation)
{
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].id == id && config->members[i].incarnation == incarnation)
			return &config->members[i];
	return NULL;
}

static bool goes(const struct ikada_member *member)
{
	return member->standing == IKADA_LEAVING || member->standing == IKADA_OUTGOING;
}

const struct ikada_member *roster_of_id(const struct ikada_config *config, uint64_t id)
{
	const struct ikada_member *found = NULL;
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].id == id && (found == NULL || goes(found)))
			found = &config->members[i];
	return found;
}

static bool settled(const struct ikada_node *node)
{
	return node->latest.config.index <= node->commit;
}

bool roster_know(const struct ikada_node *node, uint64_t id, uint64_t incarnation)
{
	return roster_find(&node->latest.config, id, incarnation) != NULL ||
	       (!settled(node) && roster_find(&node->before.config, id, incarnation) != NULL);
}

static bool names(const struct ikada_node *node, uint64_t id)
{
	return roster_of_id(&node->latest.config, id) != NULL ||
	       (!settled(node) && roster_of_id(&node->before.config, id) != NULL);
}

/* ---- Coming and going ---- */

bool roster_decode(const struct entry *entry, struct wire_members *members)
{
	return entry->kind == ENTRY_CONFIG && entry->format == 0 &&
	       wire_get_members(entry->payload, entry->length, members) && members->config.index == entry->index &&
	       ikada_config_valid(&members->config);
}

bool roster_open(struct ikada_node *node, char *error, size_t error_size)
{
	node->latest = node->before = node->base_members;
	for (uint64_t index = node->cache.base + 1; index <= node->cache.last; index++) {
		struct entry entry;
		struct wire_members members;
		cache_get(&node->cache, index, &entry);
		if (entry.kind != ENTRY_CONFIG || index <= node->base_members.config.index)
			continue;
		if (!roster_decode(&entry, &members)) {
			snprintf(error, error_size,
				 "the log in %s holds a configuration that this program cannot read, at entry %" PRIu64,
				 node->data_dir, index);
			return false;
		}
		node->before = node->latest;
		node->latest = members;
	}
	return true;
}

void roster_close(struct ikada_node *node)
{
	mem_free(node->mem, node->received);
	mem_free(node->mem, node->received_configs);
	for (uint32_t i = 0; i < node->peer_count; i++)
		mem_free(node->mem, node->peers[i].address);
}

void roster_first(struct ikada_node *node, const struct ikada_config *config)
{
	memset(&node->latest, 0, sizeof node->latest);
	node->latest.config = *config;
	for (uint32_t i = 0; i < config->count; i++)
		for (uint32_t j = 0; j < node->peer_count; j++)
			if (node->peers[j].id == config->members[i].id)
				snprintf(node->latest.addresses[i], sizeof node->latest.addresses[i], "%s",
					 node->peers[j].address);
	node->before = node->base_members = node->applied_members = node->latest;
}

void roster_appended(struct ikada_node *node, const struct entry *entry)
{
	struct wire_members members;
	if (entry->kind != ENTRY_CONFIG)
		return;
	CHECK(roster_decode(entry, &members));
	CHECK_OP(entry->index, >, node->latest.config.index);
	node->before = node->latest;
	node->latest = members;
}

void roster_cut(struct ikada_node *node, uint64_t first)
{
	if (node->latest.config.count > 0 && node->latest.config.index >= first)
		node->latest = node->before;
}

void roster_installed(struct ikada_node *node, const struct wire_members *members, uint64_t index, bool kept)
{
	bool keeps_latest = kept && node->latest.config.index > index;
	bool keeps_before = kept && node->before.config.index > index;
	node->base_members = *members;
	if (!keeps_before)
		node->before = *members;
	if (!keeps_latest)
		node->latest = *members;
}

void roster_applied(struct ikada_node *node, const struct entry *entry)
{
	struct wire_members members;
	CHECK(roster_decode(entry, &members));
	node->applied_members = members;
}

void roster_restored(struct ikada_node *node, const struct wire_members *members)
{
	/* The one at the base may be of an entry that is yet to be applied. */
	if (members->config.index <= node->applied)
		node->applied_members = *members;
	else
		memset(&node->applied_members, 0, sizeof node->applied_members);
}

bool roster_received(struct ikada_node *node, struct wire_raft *in)
{
	const uint8_t *at = in->entries;
	const uint8_t *end = in->entries + in->entries_size;
	node->received_count = 0;
	for (uint64_t index = in->message.prev_index + 1; at < end; index++) {
		struct entry entry;
		size_t size = entry_bytes(get_le32(at + 4));
		if (get_le16(at + 36) == ENTRY_CONFIG) {
			if (node->received_count == CONFIGS_RECEIVED_MAX) {
				in->entries_size = (size_t)(at - in->entries);
				in->message.last_index = index - 1;
				while (in->run_count > 0 && in->runs[in->run_count - 1].first >= index)
					in->run_count--;
				return true;
			}
			CHECK_OP(entry_decode(at, (size_t)(end - at), &entry), ==, size);
			if (!roster_decode(&entry, &node->received[node->received_count]))
				return false;
			node->received_configs[node->received_count] = node->received[node->received_count].config;
			node->received_count++;
		}
		at += size;
	}
	return true;
}

static const char *address_in(const struct wire_members *members, uint64_t id, uint64_t incarnation)
{
	for (uint32_t i = 0; i < members->config.count; i++)
		if (members->config.members[i].id == id && members->config.members[i].incarnation == incarnation)
			return members->addresses[i];
	return NULL;
}

void roster_encode(struct ikada_node *node, const struct ikada_config *config, struct buf *out)
{
	struct wire_members *members = mem_zero(node->mem, sizeof *members);
	members->config = *config;
	for (uint32_t i = 0; i < config->count; i++) {
		const struct ikada_member *m = &config->members[i];
		bool coming = m->id == node->coming_id && m->incarnation == node->coming_incarnation;
		const char *address = address_in(&node->latest, m->id, m->incarnation);
		if (address == NULL)
			address = coming ? node->coming_address : address_in(&node->before, m->id, m->incarnation);
		CHECK(address != NULL);
		snprintf(members->addresses[i], sizeof members->addresses[i], "%s", address);
	}
	wire_put_members(out, members);
	mem_free(node->mem, members);
}

/* ---- Peers ---- */

static void set_address(struct ikada_node *node, struct peer *peer, const char *address)
{
	if (strcmp(peer->address, address) == 0)
		return;
	mem_free(node->mem, peer->address);
	peer->address = mem_zero(node->mem, strlen(address) + 1);
	strcpy(peer->address, address);
}

struct peer *roster_add_peer(struct ikada_node *node, uint64_t id, const char *address)
{
	uint32_t at = 0;
	while (at < node->peer_count && node->peers[at].id != 0)
		at++;
	if (at == IKADA_MEMBERS_MAX)
		return NULL;
	if (at == node->peer_count)
		node->peer_count++;
	struct peer *peer = &node->peers[at];
	memset(peer, 0, sizeof *peer);
	peer->id = id;
	peer->address = mem_zero(node->mem, strlen(address) + 1);
	strcpy(peer->address, address);
	links_new_peer(node, peer);
	return peer;
}

static void follow(struct ikada_node *node, const struct wire_members *members)
{
	for (uint32_t i = 0; i < members->config.count; i++) {
		const struct ikada_member *member = &members->config.members[i];
		struct peer *peer = links_peer(node, member->id);
		if (member->id == node->settings.id || roster_of_id(&members->config, member->id) != member)
			continue;
		if (peer == NULL)
			peer = roster_add_peer(node, member->id, members->addresses[i]);
		if (peer == NULL)
			continue; /* Someone who has gone has the place: soon. */
		peer->gone_ns = 0;
		if (members->addresses[i][0] != '\0')
			set_address(node, peer, members->addresses[i]);
		if (peer->link == NULL)
			peer->incarnation = member->incarnation;
	}
}

void roster_changed(struct ikada_node *node)
{
	struct ikada_raft_status status;
	if (node->raft != NULL) {
		ikada_raft_status(node->raft, &status);
		CHECK_OP(status.config.index, ==, node->latest.config.index);
	}
	if (!settled(node))
		follow(node, &node->before);
	follow(node, &node->latest);
	for (uint32_t i = 0; i < node->peer_count; i++) {
		struct peer *peer = &node->peers[i];
		if (peer->id == 0 || i == node->self || names(node, peer->id) || peer->gone_ns != 0)
			continue;
		peer->gone_ns = raw_now(node) + GONE_NS;
		if (peer->gone_ns < peer->hearsay_ns)
			peer->gone_ns = peer->hearsay_ns;
	}
	node->wanted = true;
}

static void let_go(struct ikada_node *node, struct peer *peer)
{
	env_log(node->env, ENV_INFO, "peers", "peer=%" PRIu64 " is no member any more", peer->id);
	if (peer->link != NULL)
		links_end(peer->link, true);
	if (peer->dialing != NULL)
		links_end(peer->dialing, false);
	CHECK(list_empty(&peer->sent[WRITES]) && list_empty(&peer->sent[READS]) && peer->outgoing.file == NULL);
	mem_free(node->mem, peer->address);
	memset(peer, 0, sizeof *peer);
	list_init(&peer->sent[WRITES]);
	list_init(&peer->sent[READS]);
}

/* A member that is not in our log yet: it told us, or it leads. */
static bool believed(const struct ikada_node *node, const struct peer *peer)
{
	return peer->hearsay_ns > raw_now(node) || (peer->hearsay_ns != 0 && node->leader == peer->id);
}

uint64_t roster_time(struct ikada_node *node)
{
	uint64_t wake = UINT64_MAX;
	if (node->latest.config.count == 0)
		return wake;
	for (uint32_t i = 0; i < node->peer_count; i++) {
		struct peer *peer = &node->peers[i];
		if (peer->id == 0 || i == node->self)
			continue;
		if (peer->gone_ns != 0 && names(node, peer->id)) {
			peer->gone_ns = 0; /* The log was cut. */
		} else if (peer->gone_ns != 0 && settled(node)) {
			if (peer->gone_ns > raw_now(node))
				wake = earlier(wake, peer->gone_ns);
			else if (believed(node, peer))
				peer->gone_ns = raw_now(node) + GONE_NS;
			else
				let_go(node, peer);
		} else if (peer->gone_ns == 0 && peer->link != NULL && settled(node) &&
			   !roster_know(node, peer->id, peer->incarnation) && !believed(node, peer)) {
			links_end(peer->link, true); /* Another incarnation has taken its place. */
			const struct ikada_member *now = roster_of_id(&node->latest.config, peer->id);
			if (now != NULL)
				peer->incarnation = now->incarnation;
		}
	}
	return wake;
}

/* ---- Strangers ---- */

void roster_knock(struct ikada_node *node, uint64_t id, uint64_t incarnation)
{
	struct knock *oldest = &node->knocks[0];
	for (uint32_t i = 0; i < KNOCKS_MAX; i++) {
		struct knock *knock = &node->knocks[i];
		if (knock->id == id) {
			oldest = knock;
			break;
		}
		if (knock->seen_ns < oldest->seen_ns)
			oldest = knock;
	}
	if (oldest->id != id || oldest->incarnation != incarnation)
		env_log(node->env, ENV_INFO, "members",
			"node %" PRIu64 " (incarnation %016" PRIx64 ") would be a member", id, incarnation);
	*oldest = (struct knock){id, incarnation, raw_now(node)};
}

void roster_came(struct ikada_node *node, uint64_t id, uint64_t incarnation)
{
	for (uint32_t i = 0; i < KNOCKS_MAX; i++)
		if (node->knocks[i].id == id)
			node->knocks[i] = (struct knock){id, incarnation, raw_now(node)};
}

/* ---- For people ---- */

void roster_gave_up(struct ikada_node *node)
{
	const struct ikada_config *was = &node->before.config;
	for (uint32_t i = 0; i < was->count; i++) {
		const struct ikada_member *member = &was->members[i];
		bool stays = roster_find(&node->latest.config, member->id, member->incarnation) != NULL;
		if (member->standing == IKADA_JOINING)
			env_log(node->env, ENV_WARN, "members",
				"node %" PRIu64 " (incarnation %016" PRIx64
				") did not catch up, or another did not that was to vote with it: the change was taken "
				"back, %s",
				member->id, member->incarnation,
				stays ? "and it is a learner" : "and it does not replace the one before it");
	}
}

void roster_forgot(struct ikada_node *node, const struct ikada_effects *e)
{
	env_log(node->env, ENV_ERROR, "members",
		"node %" PRIu64 " (incarnation %016" PRIx64
		") has lost entries that it had acknowledged: up to %" PRIu64 ", and its log ends at %" PRIu64
		". Its disk, or the cache of its disk, does not keep what it says it "
		"has written, or was set back to an older copy. It is not counted here any more: end it, empty its "
		"directory, start it again, and then: ikada member replace %" PRIu64,
		e->forgot, e->forgot_incarnation, e->forgot_index, e->forgot_last, e->forgot);
}
