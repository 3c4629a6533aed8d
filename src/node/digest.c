/*
 * Whether the own state is that of the others (HOUSE 8).
 *
 * After every so many entries each node notes the digest of its state, and tells the others what it has noted lately. A
 * node whose digest after an entry is not that of a strict majority of the members, which have one in common, doubts its
 * own state: it neither leads nor answers from it, logs and votes on, and loads the state again, from its newest
 * snapshot and the log. If it still differs then, what it has on its disk is wrong, too, and another member is asked for
 * a snapshot. It serves again when its state is that of a majority.
 *
 * When members differ and none of the states has a majority, nobody can be right by count: after a moment, in which the
 * rest may yet be heard, all of them doubt theirs. Then there may be no leader to go on with, so one that has loaded its
 * state again serves as soon as nothing is known against it.
 */
#include "node/node_internal.h"

#include <inttypes.h>
#include <string.h>

#define SEND_NS (100 * NS_PER_MS)
#define UNCLEAR_NS (500 * NS_PER_MS)
#define ASK_AGAIN_NS (2 * NS_PER_S)

/* ---- Checkpoints ---- */

static struct wire_digest *nth(struct checkpoints *c, uint32_t n)
{
	return &c->at[(c->start + n) % CHECKPOINTS_MAX];
}

/* It is the newest now: what was noted from this index on is void. */
static void note(struct checkpoints *c, const struct wire_digest *digest)
{
	while (c->count > 0 && nth(c, c->count - 1)->index >= digest->index)
		c->count--;
	if (c->count == CHECKPOINTS_MAX) {
		c->start = (c->start + 1) % CHECKPOINTS_MAX;
		c->count--;
	}
	*nth(c, c->count++) = *digest;
}

static const struct wire_digest *find(struct checkpoints *c, uint64_t index)
{
	for (uint32_t i = c->count; i-- > 0;)
		if (nth(c, i)->index <= index)
			return nth(c, i)->index == index ? nth(c, i) : NULL;
	return NULL;
}

static bool same(const struct wire_digest *a, const struct wire_digest *b)
{
	return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

void digest_applied(struct ikada_node *node)
{
	if (!has_snapshots(node) || node->applied % node->settings.checkpoint_entries != 0)
		return;
	struct wire_digest digest = {.index = node->applied};
	node->machine.digest(node->machine.context, digest.bytes);
	note(&node->digests.own, &digest);
	node->digests.changed = true;
}

void digest_restored(struct ikada_node *node)
{
	struct digests *d = &node->digests;
	memset(&d->own, 0, sizeof d->own);
	d->mending = false;
	d->changed = true;
	for (uint32_t i = 0; i < node->peer_count; i++)
		node->peers[i].checkpoint_told = 0;
}

void digest_link_ready(struct peer *peer)
{
	memset(&peer->checkpoints, 0, sizeof peer->checkpoints);
	peer->checkpoint_told = 0;
}

void digest_frame(struct link *link, const struct wire_digest *digests, size_t count)
{
	for (size_t i = 0; i < count; i++)
		note(&link->peer->checkpoints, &digests[i]);
	link->node->digests.changed = true;
}

/* Returns when the next may be sent, if something is to be. */
static uint64_t send(struct ikada_node *node)
{
	struct digests *d = &node->digests;
	uint64_t now = raw_now(node);
	uint64_t newest = d->own.count == 0 ? 0 : nth(&d->own, d->own.count - 1)->index;
	bool sent = false;
	for (uint32_t i = 0; i < node->peer_count; i++) {
		struct peer *peer = &node->peers[i];
		if (peer->link == NULL || peer->checkpoint_told >= newest)
			continue;
		if (now < d->sent_ns + SEND_NS)
			return d->sent_ns + SEND_NS;
		struct wire_digest fresh[CHECKPOINTS_MAX];
		size_t count = 0;
		for (uint32_t n = 0; n < d->own.count; n++)
			if (nth(&d->own, n)->index > peer->checkpoint_told)
				fresh[count++] = *nth(&d->own, n);
		wire_put_digests(&node->scratch, node->cluster_id, fresh, count);
		links_send(peer->link, &node->scratch);
		buf_consume(&node->scratch, buf_size(&node->scratch));
		peer->checkpoint_told = newest;
		sent = true;
	}
	if (sent)
		d->sent_ns = now;
	return UINT64_MAX;
}

/* ---- The verdict ---- */

/* At one of the own checkpoints. */
static enum digest_verdict judge_at(struct ikada_node *node, const struct wire_digest *own)
{
	uint32_t majority = node->config.count / 2 + 1;
	uint32_t agree = 1, differ = 0, most = 0;
	for (uint32_t i = 0; i < node->peer_count; i++) {
		const struct wire_digest *theirs =
			i == node->self ? NULL : find(&node->peers[i].checkpoints, own->index);
		if (theirs == NULL)
			continue;
		if (same(theirs, own)) {
			agree++;
			continue;
		}
		differ++;
		uint32_t alike = 0;
		for (uint32_t j = 0; j < node->peer_count; j++) {
			const struct wire_digest *other = find(&node->peers[j].checkpoints, own->index);
			alike += other != NULL && same(other, theirs);
		}
		most = alike > most ? alike : most;
	}
	return agree >= majority  ? DIGEST_AGREED
	       : most >= majority ? DIGEST_WRONG
	       : differ > 0	  ? DIGEST_UNCLEAR
				  : DIGEST_UNKNOWN;
}

/* The newest evidence counts. */
static void judge(struct ikada_node *node)
{
	struct digests *d = &node->digests;
	d->verdict = DIGEST_UNKNOWN;
	for (uint32_t i = d->own.count; i-- > 0;) {
		const struct wire_digest *own = nth(&d->own, i);
		enum digest_verdict verdict = judge_at(node, own);
		if (verdict == DIGEST_UNKNOWN || (verdict == DIGEST_UNCLEAR && d->verdict == DIGEST_UNCLEAR))
			continue;
		if (verdict == DIGEST_AGREED && d->verdict == DIGEST_UNCLEAR)
			return;
		d->verdict = verdict;
		d->verdict_index = own->index;
		if (verdict != DIGEST_UNCLEAR)
			return;
	}
}

/* ---- Doubt ---- */

static void halt(struct ikada_node *node, bool on)
{
	struct ikada_event event = {.kind = IKADA_HALT, .on = on};
	node->digests.doubted = on;
	drive_event(node, &event);
}

static void doubt(struct ikada_node *node)
{
	struct digests *d = &node->digests;
	bool wrong = d->verdict == DIGEST_WRONG;
	env_log(node->env, ENV_ERROR, "digest",
		"after entry %" PRIu64 " %s: this node no longer serves from its state, %s", d->verdict_index,
		wrong ? "the state differs from that of a majority" : "states differ, and none has a majority",
		d->reloaded && wrong ? "and asks another for it" : "and loads it again");
	halt(node, true);
	route_doubted(node);
	snapshots_abandon(node);
	d->outvoted = wrong;
	d->mending = d->reloaded && wrong;
	d->ask_ns = raw_now(node);
	if (d->mending)
		return;
	d->reloaded = true;
	const struct snapshots *s = &node->snapshots;
	restore_begin(node, s->count == 0 ? (struct snapshot){0, 0} : s->kept[s->count - 1]);
}

static void trust(struct ikada_node *node)
{
	struct digests *d = &node->digests;
	bool agreed = d->verdict == DIGEST_AGREED;
	env_log(node->env, ENV_WARN, "digest", "the state after entry %" PRIu64 " %s: this node serves again",
		agreed ? d->verdict_index : node->applied,
		agreed ? "is that of a majority" : "was loaded, and nothing is known against it");
	d->mending = false;
	d->unclear_since_ns = 0;
	halt(node, false);
}

/* Asks the leader for a snapshot, then others in turn. */
static void ask(struct ikada_node *node)
{
	struct digests *d = &node->digests;
	if (raw_now(node) < d->ask_ns || node->incoming.link != NULL)
		return;
	d->ask_ns = raw_now(node) + ASK_AGAIN_NS;
	struct peer *peer = links_peer(node, node->leader);
	for (uint32_t i = 0; i < node->peer_count && (peer == NULL || peer->link == NULL || d->asked == peer->id); i++) {
		d->turn = (d->turn + 1) % node->peer_count;
		peer = d->turn == node->self ? NULL : &node->peers[d->turn];
	}
	if (peer == NULL || peer->link == NULL)
		return;
	d->asked = peer->id;
	wire_put_ask(&node->scratch, node->cluster_id, node->cache.base == 0 ? 1 : node->cache.base);
	links_send(peer->link, &node->scratch);
	buf_consume(&node->scratch, buf_size(&node->scratch));
}

static void consider(struct ikada_node *node)
{
	struct digests *d = &node->digests;
	uint64_t now = raw_now(node);
	if (d->verdict != DIGEST_UNCLEAR)
		d->unclear_since_ns = 0;
	else if (d->unclear_since_ns == 0)
		d->unclear_since_ns = now;
	if (d->verdict == DIGEST_AGREED)
		d->reloaded = false;
	if (d->verdict == DIGEST_WRONG || (d->verdict == DIGEST_UNCLEAR && now >= d->unclear_since_ns + UNCLEAR_NS))
		doubt(node);
}

static void reconsider(struct ikada_node *node)
{
	struct digests *d = &node->digests;
	if (node->restore.active)
		return;
	d->outvoted |= d->verdict == DIGEST_WRONG;
	if (d->verdict == DIGEST_AGREED ||
	    (d->verdict == DIGEST_UNKNOWN && !d->outvoted && node->applied == node->commit)) {
		trust(node);
		return;
	}
	if (d->verdict == DIGEST_WRONG && !d->mending) {
		env_log(node->env, ENV_ERROR, "digest",
			"after entry %" PRIu64 " the loaded state differs, too: another node is asked for it",
			d->verdict_index);
		d->mending = true;
		d->ask_ns = raw_now(node);
	}
	if (d->mending)
		ask(node);
}

uint64_t digest_turn(struct ikada_node *node)
{
	struct digests *d = &node->digests;
	if (!has_snapshots(node) || node->raft == NULL || node->config.count < 2)
		return UINT64_MAX;
	uint64_t wake = send(node);
	if (d->changed)
		judge(node);
	d->changed = false;
	if (d->doubted)
		reconsider(node);
	else if (!node->restore.active)
		consider(node);
	if (!d->doubted && d->unclear_since_ns != 0)
		wake = earlier(wake, d->unclear_since_ns + UNCLEAR_NS);
	return d->mending ? earlier(wake, d->ask_ns) : wake;
}
