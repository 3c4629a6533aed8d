/*
 * Whether the own state is that of the others (HOUSE 8).
 *
 * After every so many entries each node notes the digest of its state, and tells the others what it has noted lately.
 * A node whose digest after an entry is not that of a strict majority of the members, which have one in common,
 * doubts its own state: it neither leads nor answers from it, logs and votes on, and loads the state again, from a
 * snapshot of when it was right and the log. If it still differs then, what it has on its disk is wrong, too, and
 * another member is asked for a snapshot. It serves again when its state is that of a majority.
 *
 * When members differ and none of the states has a majority, nobody can be right by count: after a moment, in which
 * the rest may yet be heard, all of them doubt theirs. Then there may be no leader to go on with, so one that has
 * loaded its state again serves as soon as nothing is known against it.
 */
#include "node/node_internal.h"

#include <inttypes.h>
#include <string.h>

#define SEND_NS (100 * NS_PER_MS)
#define JUDGE_NS (20 * NS_PER_MS)
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
	uint32_t first = 0;
	for (uint32_t end = c->count; first < end;) {
		uint32_t middle = (first + end) / 2;
		if (nth(c, middle)->index < index)
			first = middle + 1;
		else
			end = middle;
	}
	return first < c->count && nth(c, first)->index == index ? nth(c, first) : NULL;
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
	d->verdict = DIGEST_UNKNOWN;
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

/* What each member said of the state after an entry; NULL: nothing. */
struct said {
	const struct wire_digest *by[IKADA_MEMBERS_MAX];
};

static struct said said_of(struct ikada_node *node, uint64_t index)
{
	struct said said = {{NULL}};
	for (uint32_t i = 0; i < node->peer_count; i++)
		said.by[i] = find(i == node->self ? &node->digests.own : &node->peers[i].checkpoints, index);
	return said;
}

/* What a strict majority says; NULL: there is none. */
static const struct wire_digest *majority(const struct ikada_node *node, const struct said *said)
{
	for (uint32_t i = 0; i < node->peer_count; i++) {
		uint32_t alike = 0;
		for (uint32_t j = 0; said->by[i] != NULL && j < node->peer_count; j++)
			alike += said->by[j] != NULL && same(said->by[i], said->by[j]);
		if (alike > node->latest.config.count / 2)
			return said->by[i];
	}
	return NULL;
}

/*
 * Of each member the newest evidence counts: was it with a majority when there last was one? Who was not is wrong.
 * Since then, who differs from somebody else that is not known to be wrong may be wrong.
 */
static void judge(struct ikada_node *node)
{
	struct digests *d = &node->digests;
	enum digest_verdict of[IKADA_MEMBERS_MAX] = {DIGEST_UNKNOWN};
	uint32_t known = 0;
	uint64_t decided_at = 0;
	d->right_index = 0;
	for (uint32_t n = d->own.count; (known < node->peer_count || d->right_index == 0) && n-- > 0;) {
		const struct wire_digest *own = nth(&d->own, n);
		uint64_t index = own->index;
		const struct said said = said_of(node, index);
		const struct wire_digest *right = majority(node, &said);
		for (uint32_t i = 0; right != NULL && i < node->peer_count; i++) {
			if (said.by[i] == NULL || of[i] != DIGEST_UNKNOWN)
				continue;
			of[i] = same(said.by[i], right) ? DIGEST_AGREED : DIGEST_WRONG;
			known++;
		}
		if (right != NULL && decided_at == 0)
			decided_at = index;
		if (right != NULL && d->right_index == 0 && same(own, right))
			d->right_index = index;
	}
	d->verdict = of[node->self];
	d->verdict_index = decided_at;
	for (uint32_t n = d->own.count; d->verdict != DIGEST_WRONG && n-- > 0;) {
		const struct wire_digest *own = nth(&d->own, n);
		if (own->index <= decided_at)
			break;
		const struct said said = said_of(node, own->index);
		for (uint32_t i = 0; i < node->peer_count; i++) {
			if (said.by[i] == NULL || same(said.by[i], own) || of[i] == DIGEST_WRONG)
				continue;
			d->verdict = DIGEST_UNCLEAR;
			d->verdict_index = own->index;
		}
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
	restore_begin(node, snapshots_up_to(node, d->right_index));
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
	for (uint32_t i = 0; i < node->peer_count && (peer == NULL || peer->link == NULL || d->asked == peer->id);
	     i++) {
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
	if (node->restore.active || d->changed)
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
	if (!has_snapshots(node) || node->raft == NULL || node->latest.config.count < 2)
		return UINT64_MAX;
	uint64_t now = raw_now(node);
	uint64_t wake = send(node);
	if (d->changed && now >= d->judged_ns + JUDGE_NS) {
		judge(node);
		d->changed = false;
		d->judged_ns = now;
	}
	if (d->changed)
		wake = earlier(wake, d->judged_ns + JUDGE_NS);
	if (d->doubted)
		reconsider(node);
	else if (!node->restore.active)
		consider(node);
	if (!d->doubted && d->unclear_since_ns != 0)
		wake = earlier(wake, d->unclear_since_ns + UNCLEAR_NS);
	return d->mending ? earlier(wake, d->ask_ns) : wake;
}
