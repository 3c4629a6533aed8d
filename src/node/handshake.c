/*
 * Who may be on the other end of a connection, and when a cluster is born.
 *
 * The dialer says HELLO, the other side WELCOME; both name the members they believe to connect, their incarnation and
 * boot, and the first configuration if it is durable there. Whoever does not agree says REFUSE with a sentence, and
 * closes. A second WELCOME, by either side, tells of a first configuration that has become durable since.
 * Refused: another cluster, another id than was dialed, who is not a member, or with another incarnation (a wiped disk
 * has forgotten what it promised, HOUSE 7). Of those who could be, it is remembered that they knock (roster.c). A
 * member with a later configuration than ours is believed that it is one.
 */
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Who is known from its own word only is to be in the log within this time. */
#define HEARSAY_NS (10 * NS_PER_S)

void handshake_hello(struct link *link, enum wire_type type)
{
	struct ikada_node *node = link->node;
	struct wire_hello hello = {
		.to = link->peer->id,
		.from = node->settings.id,
		.incarnation = node->incarnation,
		.boot = node->boot,
		.config = node->latest.config,
	};
	memcpy(hello.client_address, node->client_address, sizeof hello.client_address);
	link->told_cluster_id = node->cluster_id;
	wire_put_hello(&node->scratch, type, node->cluster_id, &hello);
	links_send(link, &node->scratch);
	buf_consume(&node->scratch, buf_size(&node->scratch));
}

/* ---- Birth ---- */

static bool all_seen(const struct ikada_node *node)
{
	for (uint32_t i = 0; i < node->peer_count; i++)
		if (i != node->self && node->peers[i].link == NULL)
			return false;
	return true;
}

static bool all_promised(const struct ikada_node *node)
{
	for (uint32_t i = 0; i < node->peer_count; i++)
		if (i != node->self && !node->peers[i].promised)
			return false;
	return true;
}

void handshake_consider(struct ikada_node *node)
{
	if (node->promised_cluster_id == 0 && all_seen(node)) {
		struct ikada_config config = {.count = node->peer_count};
		for (uint32_t i = 0; i < node->peer_count; i++) {
			config.members[i].id = node->peers[i].id;
			config.members[i].incarnation =
				i == node->self ? node->incarnation : node->peers[i].incarnation;
			config.max_id = node->peers[i].id;
		}
		boot_promise(node, &config);
	} else if (node->cluster_id != 0 && node->raft == NULL &&
		   (node->latest.config.count == 0 || all_promised(node))) {
		boot_start(node);
	}
}

void handshake_announce(struct ikada_node *node)
{
	for (struct list *at = node->links.next; at != &node->links; at = at->next) {
		struct link *link = LIST_OF(at, struct link, all);
		if (link->ready && link->told_cluster_id != node->cluster_id)
			handshake_hello(link, WIRE_WELCOME);
	}
}

/* ---- Judging ---- */

__attribute__((format(printf, 2, 3))) static bool no(char *why, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(why, COMPLAINT_BYTES, format, args);
	va_end(args);
	return false;
}

static bool first_is_ours(const struct ikada_node *node, const struct ikada_config *theirs)
{
	bool same = theirs->count == node->peer_count && ikada_config_valid(theirs);
	for (uint32_t i = 0; same && i < theirs->count; i++)
		same = theirs->members[i].id == node->peers[i].id && theirs->members[i].standing == IKADA_VOTER;
	return same;
}

/* We have no configuration, and `hello` brings that of a cluster: is this node one of its members? */
static bool judge_as_stranger(const struct ikada_node *node, const struct wire_hello *hello, uint64_t cluster_id,
			      char *why)
{
	const struct ikada_config *theirs = &hello->config;
	uint64_t id = node->settings.id;
	if (node->promised_cluster_id != 0 && cluster_id != node->promised_cluster_id)
		return no(why, "node %" PRIu64 " belongs to cluster %016" PRIx64 ", node %" PRIu64 " to %016" PRIx64,
			  hello->from, cluster_id, id, node->promised_cluster_id);
	if (theirs->index == 0 && node->promised_cluster_id == 0 && !first_is_ours(node, theirs))
		return no(why,
			  "node %" PRIu64 " is in a cluster of other members than node %" PRIu64
			  "'s list names: it can only come to it by ikada member add",
			  hello->from, id);
	const struct ikada_member *self = roster_of_id(theirs, id);
	if (self == NULL)
		return no(why, "node %" PRIu64 " is no member yet: ikada member add %" PRIu64 "=HOST:PORT", id, id);
	if (roster_find(theirs, id, node->incarnation) == NULL)
		return no(why,
			  "node %" PRIu64 " is incarnation %016" PRIx64 " in its cluster, but its data directory is "
			  "new (%016" PRIx64 "): a wiped node cannot come back as the member it was; it waits for "
			  "ikada member replace %" PRIu64,
			  id, self->incarnation, node->incarnation, id);
	if (roster_find(theirs, hello->from, hello->incarnation) == NULL)
		return no(why, "node %" PRIu64 " is not the incarnation that its own configuration names", hello->from);
	return true;
}

/* A member with a later configuration than ours tells of itself. */
static bool tells_of_itself(const struct ikada_node *node, const struct wire_hello *hello)
{
	return hello->config.index > node->latest.config.index && ikada_config_valid(&hello->config) &&
	       roster_find(&hello->config, hello->from, hello->incarnation) != NULL &&
	       roster_find(&hello->config, node->settings.id, node->incarnation) != NULL;
}

/* It is no member, as far as is known here. If it can become one, it is remembered. */
static bool judge_stranger(struct ikada_node *node, const struct wire_hello *hello, uint64_t cluster_id, char *why)
{
	const struct ikada_member *known = roster_of_id(&node->latest.config, hello->from);
	bool told = cluster_id != 0 && tells_of_itself(node, hello);
	bool retired = known == NULL && hello->from <= node->latest.config.max_id;
	if (!retired) /* Also if it was told: the change that made it a member may come to nothing. */
		roster_knock(node, hello->from, hello->incarnation);
	if (told)
		return true;
	if (retired)
		return no(why, "node %" PRIu64 " is no member any more, and ids are not used twice", hello->from);
	if (known == NULL)
		return no(why, "node %" PRIu64 " is no member yet: ikada member add %" PRIu64 "=HOST:PORT", hello->from,
			  hello->from);
	if (cluster_id != 0)
		return no(why, "node %" PRIu64 " is incarnation %016" PRIx64 " in this cluster, not %016" PRIx64,
			  hello->from, known->incarnation, hello->incarnation);
	return no(why,
		  "node %" PRIu64 " is incarnation %016" PRIx64 " in this cluster, but its data directory is new "
		  "(%016" PRIx64 "): a wiped node cannot come back as the member it was; it waits for "
		  "ikada member replace %" PRIu64,
		  hello->from, known->incarnation, hello->incarnation, hello->from);
}

static bool judge_cluster(struct ikada_node *node, const struct wire_hello *hello, uint64_t cluster_id, char *why)
{
	if (node->latest.config.count == 0) {
		if (cluster_id != 0 || node->promised_cluster_id != 0)
			return judge_as_stranger(node, hello, cluster_id, why);
		return links_peer(node, hello->from) != NULL ||
		       no(why, "node %" PRIu64 " is not among the other members in the cluster list of node %" PRIu64,
			  hello->from, node->settings.id);
	}
	if (cluster_id != 0 && cluster_id != node->promised_cluster_id)
		return no(why, "node %" PRIu64 " belongs to cluster %016" PRIx64 ", node %" PRIu64 " to %016" PRIx64,
			  hello->from, cluster_id, node->settings.id, node->promised_cluster_id);
	return roster_know(node, hello->from, hello->incarnation) || judge_stranger(node, hello, cluster_id, why);
}

/*
 * Which of two connections: the one that the lower id dialed, if there is one. But one with an earlier boot is dead,
 * and one that gets no answer may have been dialed to it.
 */
static bool judge_way(const struct link *link, const struct peer *peer, const struct wire_hello *hello, char *why)
{
	const struct ikada_node *node = link->node;
	if (peer == NULL || link->ready)
		return true;
	bool dialing = peer->dialing != NULL && awake_now(node) - peer->dialing->since_ns < KNOCK_NS;
	bool taken = dialing || (peer->link != NULL && peer->link->peer_boot == hello->boot);
	if (!link->dialed && hello->from > node->settings.id && taken)
		return no(why, "node %" PRIu64 " dials node %" PRIu64 ": it is for the lower id to dial", hello->from,
			  node->settings.id);
	/* Of two incarnations the one that stays. */
	const struct ikada_member *stays = roster_of_id(&node->latest.config, hello->from);
	if (peer->link != NULL && peer->incarnation != hello->incarnation && stays != NULL &&
	    stays->incarnation != hello->incarnation)
		return no(why, "node %" PRIu64 " is being replaced by incarnation %016" PRIx64, hello->from,
			  stays->incarnation);
	return true;
}

/* Whether this is who it ought to be, with a sentence if not. */
static bool judge(const struct link *link, const struct wire_hello *hello, uint64_t cluster_id, char *why)
{
	struct ikada_node *node = link->node;
	const struct peer *peer = links_peer(node, hello->from);
	if (hello->to != node->settings.id)
		return no(why, "node %" PRIu64 " looks for node %" PRIu64 ", but this is node %" PRIu64, hello->from,
			  hello->to, node->settings.id);
	if (hello->from == node->settings.id || hello->from == 0)
		return no(why, "node %" PRIu64 " has the id of node %" PRIu64, hello->from, node->settings.id);
	if (link->peer != NULL && link->peer != peer)
		return no(why, "node %" PRIu64 " answers where node %" PRIu64 " was expected", hello->from,
			  link->peer->id);
	if (hello->incarnation == 0)
		return no(why, "node %" PRIu64 " has no incarnation", hello->from);
	if (link->ready && (hello->incarnation != peer->incarnation || hello->boot != link->peer_boot))
		return no(why, "node %" PRIu64 " became another one on the same connection", hello->from);
	return judge_cluster(node, hello, cluster_id, why) && judge_way(link, peer, hello, why);
}

/* ---- Frames ---- */

/* The handshake is done: this is the peer's current connection from now on. True if the peer rebooted meanwhile. */
static bool make_current(struct link *link, struct peer *peer, const struct wire_hello *hello)
{
	struct ikada_node *node = link->node;
	struct link *old = peer->link;
	bool rebooted = old != NULL && old->peer_boot != hello->boot;
	if (old != NULL)
		links_end(old, false);
	if (link->peer == NULL) {
		link->peer = peer;
		node->stranger_count--;
	}
	if (peer->dialing == link)
		peer->dialing = NULL;
	if (peer->dialing != NULL)
		links_end(peer->dialing, false);
	link->ready = true;
	link->peer_boot = hello->boot;
	link->since_ns = awake_now(node);
	peer->link = link;
	peer->incarnation = hello->incarnation;
	digest_link_ready(peer);
	memset(peer->complaints, 0, sizeof peer->complaints);
	memcpy(peer->client_address, hello->client_address, sizeof peer->client_address);
	env_log(node->env, ENV_INFO, "peers", "peer=%" PRIu64 " connected boot=%016" PRIx64, peer->id, hello->boot);
	return rebooted;
}

static void take_hello(struct link *link, const struct wire_frame *frame)
{
	struct ikada_node *node = link->node;
	struct wire_hello hello;
	char why[COMPLAINT_BYTES];
	if (!wire_get_hello(frame, &hello)) {
		links_complain(node, link->peer, "sent a broken handshake");
		links_end(link, false);
		return;
	}
	if (!judge(link, &hello, frame->cluster_id, why)) {
		char text[COMPLAINT_BYTES + 16];
		snprintf(text, sizeof text, "refused: %s", why);
		links_complain(node, links_peer(node, hello.from), text);
		links_plain(link, WIRE_REFUSE, why);
		links_end(link, true);
		return;
	}
	struct peer *peer = links_peer(node, hello.from);
	if (peer == NULL && (peer = roster_add_peer(node, hello.from, "")) == NULL) {
		links_end(link, false);
		return;
	}
	peer->hearsay_ns = 0; /* What an earlier incarnation said of itself. */
	if (roster_know(node, hello.from, hello.incarnation)) {
		roster_came(node, hello.from, hello.incarnation);
	} else if (node->latest.config.count > 0) {
		peer->hearsay_ns = raw_now(node) + HEARSAY_NS;
		if (roster_of_id(&node->latest.config, hello.from) == NULL)
			peer->gone_ns = peer->hearsay_ns;
	}
	if (!link->ready) {
		bool rebooted = make_current(link, peer, &hello);
		if (!link->dialed || link->told_cluster_id != node->cluster_id)
			handshake_hello(link, WIRE_WELCOME); /* Ahead of all else on this connection. */
		if (rebooted) {
			struct ikada_event event = {
				.kind = IKADA_PEER_LOST, .peer = peer->id, .peer_incarnation = peer->incarnation};
			drive_event(node, &event);
		}
	}
	if (frame->cluster_id != 0) {
		peer->promised = true;
		if (node->promised_cluster_id == 0 && hello.config.index == 0)
			boot_promise(node, &hello.config);
		else if (node->promised_cluster_id == 0)
			boot_join(node, frame->cluster_id);
	}
	handshake_consider(node);
}

static void take_refusal(struct link *link, const struct wire_frame *frame)
{
	char text[COMPLAINT_BYTES] = "refuses this node: ";
	size_t used = strlen(text);
	for (size_t i = 0; i < frame->body_size && used < sizeof text - 1; i++)
		text[used++] = (char)(frame->body[i] >= ' ' && frame->body[i] <= '~' ? frame->body[i] : '?');
	text[used] = '\0';
	links_complain(link->node, link->peer, text);
	links_end(link, false);
}

void handshake_frame(struct link *link, const struct wire_frame *frame)
{
	bool expected = frame->type == WIRE_HELLO     ? !link->dialed && !link->ready
			: frame->type == WIRE_WELCOME ? link->dialed || link->ready
						      : frame->type == WIRE_REFUSE && link->peer != NULL;
	if (!expected) {
		links_complain(link->node, link->peer, "sent something else than a handshake");
		links_end(link, false);
	} else if (frame->type == WIRE_REFUSE) {
		take_refusal(link, frame);
	} else {
		take_hello(link, frame);
	}
}
