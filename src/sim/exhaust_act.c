/*
 * What can happen, and the small driver around each bare core: it keeps what the core wrote until the disk completes
 * it, and holds every message until the ticket in its `after` is durable.
 *
 * Reductions, each of which loses no run that could break a rule:
 * - A message that can never make a difference again is taken off its link; an event that makes none is not followed.
 * - A newer acknowledgement takes the older one's place.
 * - A higher term is learned when it is needed: before a timer fires, and by a leader that is asked for its vote.
 * - Loss is not an event. Whoever could lose a message may as well let it wait; only where a link is full something
 * must
 *   go: the new message, or any that is there.
 */
#include "sim/exhaust_internal.h"

#include "base/check.h"

#include <inttypes.h>
#include <string.h>

/* Clocks. A small step makes a beat due and ends loyalty, a large one every timer. */
#define SMALL_NS 4
#define LARGE_NS ((uint64_t)1 << 51)

static const struct ikada_settings settings_all = {
	.incarnation = 1,
	.seed = 1,
	.heartbeat_ns = 1,
	.election_min_ns = 2,
	.election_max_ns = (uint64_t)1 << 50,
};

static const char *const kinds[] = {
	[IKADA_PREVOTE] = "PREVOTE",   [IKADA_PREVOTE_REPLY] = "PREVOTE_REPLY",
	[IKADA_VOTE] = "VOTE",	       [IKADA_VOTE_REPLY] = "VOTE_REPLY",
	[IKADA_APPEND] = "APPEND",     [IKADA_APPEND_REPLY] = "APPEND_REPLY",
	[IKADA_SNAPSHOT] = "SNAPSHOT", [IKADA_TIMEOUT_NOW] = "TIMEOUT_NOW",
};

/* ---- Nodes ---- */

static void boot(struct xsearch *s, uint32_t number, struct xnode *node)
{
	struct ikada_run runs[X_ENTRIES_MAX];
	struct ikada_settings settings = settings_all;
	struct ikada_boot with = {.term = node->image.term, .vote = node->image.vote, .last_index = node->image.last};
	struct ikada_config config = {.count = X_NODES, .max_id = X_NODES};
	for (uint32_t i = 0; i < X_NODES; i++)
		config.members[i] = (struct ikada_member){.id = i + 1, .incarnation = 1};
	for (uint64_t i = 1; i <= with.last_index; i++)
		if (i == 1 || node->image.terms[i] != node->image.terms[i - 1])
			runs[with.run_count++] = (struct ikada_run){.first = i, .term = node->image.terms[i]};
	/* The log tells of it, as far as it reaches. */
	with.commit = node->status.commit < with.last_index ? node->status.commit : with.last_index;
	with.vote_incarnation = with.vote == 0 ? 0 : 1;
	with.config = with.config_before = config;
	with.runs = runs;
	with.raw_ns = with.awake_ns = node->now;
	settings.self = number + 1;
	node->raft = ikada_raft_init(node->raft, &s->limits, &settings, &with);
	node->durable = node->ticket = 0;
	node->write_count = node->outbox_count = 0;
	ikada_raft_status(node->raft, &node->status);
}

/* The node that moves gets room of its own. */
static struct xnode *move(struct xsearch *s, uint32_t number)
{
	struct xnode *node = s->to->mine;
	const struct xnode *was = s->from->x.nodes[number];
	struct ikada_raft *raft = node->raft;
	*node = *was;
	node->raft = raft;
	memcpy((void *)raft, was->raft, s->raft_bytes);
	s->to->x.nodes[number] = node;
	return node;
}

/* ---- Messages ---- */

static void take_off_link(struct xlink *link, uint32_t at)
{
	link->count--;
	for (uint32_t i = at; i < link->count; i++) {
		link->packets[i] = link->packets[i + 1];
		memcpy(link->hash[i], link->hash[i + 1], sizeof link->hash[i]);
	}
}

/*
 * The new acknowledgement tells all that the old one did. Who hears both may as well have heard the old one before; who
 * hears only the new one can do all that it could have done, and commits at least as much.
 */
static bool replaces(const struct xpacket *new, const struct xpacket *old)
{
	return new->kind == IKADA_APPEND_REPLY && old->kind == IKADA_APPEND_REPLY &&new->term == old->term &&
	       !new->rejected &&
	       !old->rejected &&new->match_index >= old->match_index &&new->verified_index >= old->verified_index;
}

static void put_on_link(struct xsearch *s, const struct xpacket *packet)
{
	struct xlink *link = &s->to->x.links[packet->from - 1][packet->to - 1];
	s->moved = true;
	uint32_t at = link->count;
	for (uint32_t i = link->count; i-- > 0 && !s->bounds.plain;)
		if (replaces(packet, &link->packets[i]))
			at = i;
	if (at == s->bounds.in_flight) {
		at = x_choose(s, at + 1);
		if (at == s->bounds.in_flight)
			return;
	}
	if (at == link->count)
		link->count++;
	link->packets[at] = *packet;
	x_hash_packet(packet, link->hash[at]);
}

static struct xpacket pack(const struct ikada_message *m)
{
	return (struct xpacket){
		.kind = (uint8_t)m->kind,
		.from = (uint8_t)m->from,
		.to = (uint8_t)m->to,
		.term = (uint8_t)m->term,
		.granted = m->granted,
		.rejected = m->rejected,
		.transfer = m->transfer,
		.prev_index = (uint8_t)m->prev_index,
		.prev_term = (uint8_t)m->prev_term,
		.last_index = (uint8_t)m->last_index,
		.last_term = (uint8_t)m->last_term,
		.commit = (uint8_t)m->commit,
		.match_index = (uint8_t)m->match_index,
		.verified_index = (uint8_t)m->verified_index,
		.conflict_index = (uint8_t)m->conflict_index,
		.conflict_term = (uint8_t)m->conflict_term,
	};
}

static struct ikada_message unpack(const struct xpacket *p)
{
	return (struct ikada_message){
		.kind = (enum ikada_message_kind)p->kind,
		.from = p->from,
		.to = p->to,
		.from_incarnation = 1,
		.to_incarnation = 1,
		.term = p->term,
		.granted = p->granted,
		.rejected = p->rejected,
		.transfer = p->transfer,
		.prev_index = p->prev_index,
		.prev_term = p->prev_term,
		.last_index = p->last_index,
		.last_term = p->last_term,
		.commit = p->commit,
		.match_index = p->match_index,
		.verified_index = p->verified_index,
		.conflict_index = p->conflict_index,
		.conflict_term = p->conflict_term,
	};
}

/* A message leaves its node. Of an append, any prefix of its entries, which the core is to hear. */
static void release(struct xsearch *s, const struct xnode *node, struct xpacket packet)
{
	bool asks = packet.kind == IKADA_APPEND || packet.kind == IKADA_VOTE;
	if (asks && packet.term != node->status.term)
		return;
	if (packet.kind == IKADA_APPEND && packet.last_index > packet.prev_index) {
		uint32_t more = x_choose(s, (uint32_t)(packet.last_index - packet.prev_index));
		packet.last_index = (uint8_t)(packet.prev_index + 1 + more);
		for (uint8_t i = 0; i <= more; i++)
			packet.terms[i] = (uint8_t)ikada_raft_term_at(node->raft, packet.prev_index + 1u + i);
		CHECK_OP(s->report_count, <, (uint32_t)X_NODES);
		s->reports[s->report_count++] = packet;
	}
	put_on_link(s, &packet);
}

/* ---- Steps ---- */

static void keep_write(struct xsearch *s, struct xnode *node)
{
	const struct ikada_effects *e = &s->effects;
	CHECK_OP(node->write_count, <, (uint32_t)X_WRITES_MAX);
	struct xwrite *w = &node->writes[node->write_count++];
	*w = (struct xwrite){.ticket = e->ticket, .hard = e->hard_changed};
	if (w->hard) {
		w->term = (uint8_t)e->term;
		w->vote = (uint8_t)e->vote;
	}
	if (e->append != IKADA_APPEND_NONE) {
		CHECK_OP(e->append_last, <=, (uint64_t)X_ENTRIES_MAX);
		w->first = (uint8_t)e->append_first;
		w->last = (uint8_t)e->append_last;
	}
	for (uint64_t i = w->first; w->first != 0 && i <= w->last; i++)
		w->terms[i] = (uint8_t)ikada_raft_term_at(node->raft, i);
	node->ticket = e->ticket;
}

static void step(struct xsearch *s, uint32_t number, struct ikada_event *event, uint64_t later_ns)
{
	struct xnode *node = s->to->mine;
	struct ikada_raft_status was = node->status;
	const struct ikada_raft *before = s->from->x.nodes[number]->raft;
	if (s->stepped)
		before = memcpy((void *)s->before, node->raft, s->raft_bytes);
	s->stepped = true;
	node->now += later_ns;
	event->raw_ns = event->awake_ns = node->now;
	ikada_raft_step(node->raft, event, &s->effects);
	ikada_raft_status(node->raft, &node->status);
	if (s->effects.ticket != 0)
		keep_write(s, node);
	x_judge(s, number, before, &was, event);
}

/* Sends what the last step wants sent. */
static void post(struct xsearch *s)
{
	struct xnode *node = s->to->mine;
	for (uint32_t i = 0; i < s->effects.message_count; i++) {
		const struct ikada_message *m = &s->effects.messages[i];
		if (m->after <= node->durable) {
			release(s, node, pack(m));
			continue;
		}
		CHECK_OP(node->outbox_count, <, (uint32_t)X_OUTBOX_MAX);
		node->outbox[node->outbox_count++] = (struct xwaiting){pack(m), m->after};
	}
}

/* A step, all that follows from it at once, and nothing else. */
static void drive(struct xsearch *s, uint32_t number, struct ikada_event *event, uint64_t later_ns)
{
	step(s, number, event, later_ns);
	post(s);
	while (s->report_count > 0) {
		struct xpacket sent = s->reports[--s->report_count];
		struct ikada_event report = {
			.kind = IKADA_SENT, .peer = sent.to, .peer_incarnation = 1, .last_index = sent.last_index};
		step(s, number, &report, SMALL_NS);
		post(s);
	}
}

/* ---- Disks ---- */

static void write_image(struct ximage *image, const struct xwrite *w)
{
	if (w->hard) {
		image->term = w->term;
		image->vote = w->vote;
	}
	if (w->first == 0)
		return;
	memset(image->terms + w->first, 0, sizeof image->terms - w->first);
	memcpy(image->terms + w->first, w->terms + w->first, (size_t)(w->last - w->first + 1));
	image->last = w->last;
}

/* The first `count` of what waits is on the disk. */
static void complete(struct xsearch *s, uint32_t number, uint32_t count)
{
	struct xnode *node = s->to->mine;
	for (uint32_t i = 0; i < count; i++)
		write_image(&node->image, &node->writes[i]);
	node->durable = node->writes[count - 1].ticket;
	node->write_count -= count;
	memmove(node->writes, node->writes + count, node->write_count * sizeof *node->writes);
	struct xwaiting waiting[X_OUTBOX_MAX];
	uint32_t waiting_count = node->outbox_count;
	memcpy(waiting, node->outbox, sizeof waiting);
	node->outbox_count = 0;
	struct ikada_event event = {.kind = IKADA_DURABLE, .ticket = node->durable};
	/* As the driver: first what was waiting leaves, then the core hears of it. */
	for (uint32_t i = 0; i < waiting_count; i++) {
		if (waiting[i].after <= node->durable)
			release(s, node, waiting[i].packet);
		else
			node->outbox[node->outbox_count++] = waiting[i];
	}
	CHECK_OP(s->report_count, ==, 0u);
	drive(s, number, &event, SMALL_NS);
}

/* ---- What can happen ---- */

enum act { DELIVER, DURABLE, PROPOSE, BEAT, TIMEOUT, RESTART };

struct choice {
	enum act act;
	uint8_t node, from, at; /* From 0. */
};

/* Some word of another has brought a higher term. */
static void learn(struct xsearch *s, uint32_t number, uint32_t from, uint64_t term)
{
	struct ikada_message m = {
		.kind = IKADA_APPEND_REPLY,
		.from = from + 1,
		.to = number + 1,
		.from_incarnation = 1,
		.to_incarnation = 1,
		.term = term,
	};
	struct ikada_event event = {.kind = IKADA_RECEIVE, .message = &m};
	x_say(s, "node %" PRIu32 " learns of term %" PRIu64 " from node %" PRIu32, number + 1, term, from + 1);
	drive(s, number, &event, SMALL_NS);
}

static void deliver(struct xsearch *s, const struct choice *c)
{
	struct xlink *link = &s->to->x.links[c->from][c->node];
	struct xpacket packet = link->packets[c->at];
	struct ikada_message m = unpack(&packet);
	struct ikada_run runs[sizeof packet.terms];
	struct ikada_event event = {.kind = IKADA_RECEIVE, .message = &m, .runs = runs};
	take_off_link(link, c->at);
	for (uint32_t i = 0; packet.kind == IKADA_APPEND && packet.prev_index + i < packet.last_index; i++)
		if (i == 0 || packet.terms[i] != packet.terms[i - 1])
			runs[event.run_count++] =
				(struct ikada_run){.first = packet.prev_index + 1u + i, .term = packet.terms[i]};
	x_say(s,
	      "node %d gets %s of term %d from node %d: prev %d/%d last %d/%d commit %d match %d verified %d conflict "
	      "%d/%d%s%s",
	      c->node + 1, kinds[packet.kind], packet.term, c->from + 1, packet.prev_index, packet.prev_term,
	      packet.last_index, packet.last_term, packet.commit, packet.match_index, packet.verified_index,
	      packet.conflict_index, packet.conflict_term, packet.granted ? ", granted" : "",
	      packet.rejected ? ", rejected" : "");
	/* A leader hears of no candidate, so somebody else must have told it first. */
	if (packet.kind == IKADA_VOTE && s->to->mine->status.role == IKADA_LEADER && !s->bounds.plain)
		learn(s, c->node, c->from, packet.term);
	drive(s, c->node, &event, SMALL_NS);
}

/* The terms above its own that a node can have learned of: where from. */
static uint32_t teachers(const struct xsearch *s, uint32_t number, uint8_t from[X_NODES])
{
	const struct xstate *x = &s->from->x;
	uint64_t known = x->nodes[number]->status.term;
	uint32_t n = 0;
	for (uint8_t i = 0; i < X_NODES && !s->bounds.plain; i++) {
		uint64_t term = x->nodes[i]->image.term;
		if (term > known && term < s->bounds.terms && (n == 0 || term != x->nodes[from[0]]->image.term))
			from[n++] = i;
	}
	return n;
}

/*
 * The timer fires, perhaps after a higher term was learned, and the pre-vote is granted by another. A leader gives up
 * first.
 */
static void timeout(struct xsearch *s, uint32_t number)
{
	const struct xnode *node = s->to->mine;
	struct ikada_event tick = {.kind = IKADA_TICK};
	uint8_t from[X_NODES];
	uint32_t teacher = x_choose(s, 1 + teachers(s, number, from));
	s->to->x.timeouts--;
	if (teacher > 0)
		learn(s, number, from[teacher - 1], s->from->x.nodes[from[teacher - 1]]->image.term);
	x_say(s, "node %" PRIu32 ": the election timer fires", number + 1);
	if (node->status.role == IKADA_LEADER)
		drive(s, number, &tick, LARGE_NS);
	step(s, number, &tick, LARGE_NS);
	if (node->status.role != IKADA_PRECANDIDATE)
		return;
	struct ikada_message grant = {
		.kind = IKADA_PREVOTE_REPLY,
		.from = (number + 1) % X_NODES + 1,
		.to = number + 1,
		.from_incarnation = 1,
		.to_incarnation = 1,
		.term = node->status.term + 1,
		.granted = true,
	};
	struct ikada_event event = {.kind = IKADA_RECEIVE, .message = &grant};
	drive(s, number, &event, SMALL_NS);
}

static void restart(struct xsearch *s, uint32_t number)
{
	struct xnode *node = s->to->mine;
	uint32_t kept = x_choose(s, node->write_count + 1);
	s->to->x.restarts--;
	x_say(s, "node %" PRIu32 " crashes and restarts, with %" PRIu32 " of %" PRIu32 " writes that were not durable",
	      number + 1, kept, node->write_count);
	for (uint32_t i = 0; i < kept; i++)
		write_image(&node->image, &node->writes[i]);
	node->now += SMALL_NS;
	boot(s, number, node);
}

static void do_choice(struct xsearch *s, const struct choice *c)
{
	struct ikada_event tick = {.kind = IKADA_TICK};
	struct ikada_event proposal = {.kind = IKADA_PROPOSE, .first_id = 1, .count = 1};
	struct xnode *node = move(s, c->node);
	switch (c->act) {
	case DELIVER:
		deliver(s, c);
		break;
	case DURABLE:
		x_say(s, "node %d: the disk has completed %s", c->node + 1, c->at == 0 ? "all" : "the oldest write");
		complete(s, c->node, c->at == 0 ? node->write_count : 1);
		break;
	case PROPOSE:
		x_say(s, "node %d is proposed an entry", c->node + 1);
		drive(s, c->node, &proposal, SMALL_NS);
		break;
	case BEAT:
		x_say(s, "node %d beats", c->node + 1);
		s->to->x.beats--;
		drive(s, c->node, &tick, SMALL_NS);
		break;
	case TIMEOUT:
		timeout(s, c->node);
		break;
	case RESTART:
		restart(s, c->node);
		break;
	}
	while (node->write_count > 0 &&
	       (s->bounds.disks == EXHAUST_AT_ONCE ||
		(s->bounds.disks == EXHAUST_LEADERS_LATE && node->status.role != IKADA_LEADER)))
		complete(s, c->node, node->write_count);
}

static uint32_t list_of_node(const struct xsearch *s, uint32_t number, struct choice *choices, uint32_t n)
{
	const struct xstate *x = &s->from->x;
	const struct xnode *node = x->nodes[number];
	const struct ikada_raft_status *is = &node->status;
	uint8_t i = (uint8_t)number;
	if (node->write_count > 0)
		choices[n++] = (struct choice){DURABLE, i, 0, 0};
	if (node->write_count > 1 && s->bounds.disks == EXHAUST_ALL_LATE)
		choices[n++] = (struct choice){DURABLE, i, 0, 1};
	if (is->role == IKADA_LEADER && is->last_index < s->bounds.entries)
		choices[n++] = (struct choice){PROPOSE, i, 0, 0};
	if (is->role != IKADA_FOLLOWER && x->beats > 0)
		choices[n++] = (struct choice){BEAT, i, 0, 0};
	if (x->timeouts > 0 && is->term < s->bounds.terms)
		choices[n++] = (struct choice){TIMEOUT, i, 0, 0};
	if (x->restarts > 0)
		choices[n++] = (struct choice){RESTART, i, 0, 0};
	return n;
}

static uint32_t list(const struct xsearch *s, struct choice *choices)
{
	const struct xstate *x = &s->from->x;
	uint32_t n = 0;
	for (uint8_t from = 0; from < X_NODES; from++)
		for (uint8_t to = 0; to < X_NODES; to++) {
			const struct xlink *link = &x->links[from][to];
			for (uint8_t at = 0; at < link->count; at++)
				if (at == 0 || link->hash[at][0] != link->hash[at - 1][0])
					choices[n++] = (struct choice){DELIVER, to, from, at};
		}
	for (uint32_t i = 0; i < X_NODES; i++)
		n = list_of_node(s, i, choices, n);
	return n;
}

/* ---- What makes no difference ---- */

/* What a leader knows to be durable at another node. */
static uint64_t match_of(const struct ikada_raft_status *leader, uint64_t id)
{
	uint32_t i = 0;
	while (leader->peers[i].id != id)
		i++;
	return leader->peers[i].match_index;
}

static bool in_role(const struct xnode *node, enum ikada_role role, uint64_t term)
{
	return node->status.role == role && node->status.term == term;
}

/*
 * The receiver will never do anything about it that counts, not even if it forgets what is not durable. That somebody
 * is in a higher term is not among it: that is learned in other ways. And a vote for who is no candidate any more only
 * keeps its voter from voting.
 */
static bool is_dead(const struct xpacket *p, const struct xnode *from, const struct xnode *to)
{
	switch (p->kind) {
	case IKADA_VOTE:
		return to->image.term > p->term || !in_role(from, IKADA_CANDIDATE, p->term) ||
		       (to->image.term == p->term && to->image.vote != 0 && to->image.vote != p->from);
	case IKADA_VOTE_REPLY:
		return !p->granted || !in_role(to, IKADA_CANDIDATE, p->term);
	case IKADA_APPEND:
		return to->image.term > p->term;
	default: {
		if (!in_role(to, IKADA_LEADER, p->term))
			return true;
		uint64_t match = match_of(&to->status, p->from);
		return p->match_index <= match && p->verified_index <= match &&
		       (!p->rejected || p->prev_index <= match);
	}
	}
}

static void clear_dead(struct xstate *x)
{
	for (uint32_t from = 0; from < X_NODES; from++)
		for (uint32_t to = 0; to < X_NODES; to++) {
			struct xlink *link = &x->links[from][to];
			for (uint32_t at = link->count; at-- > 0;)
				if (is_dead(&link->packets[at], x->nodes[from], x->nodes[to]))
					take_off_link(link, at);
		}
}

/* It only brought a term to a node that could as well learn of it later. */
static bool refused(const struct xsearch *s, const struct choice *c)
{
	if (c->act != DELIVER)
		return false;
	const struct xpacket *p = &s->from->x.links[c->from][c->node].packets[c->at];
	return p->kind == IKADA_VOTE && s->to->mine->image.vote != p->from;
}

bool x_act(struct xsearch *s)
{
	struct choice choices[64];
	uint32_t n = list(s, choices);
	if (n == 0)
		return false;
	const struct choice *c = &choices[x_choose(s, n)];
	s->moved = false;
	do_choice(s, c);
	struct xnode *node = s->to->mine;
	memset(node->hashed, 0, sizeof node->hashed);
	if (s->bounds.plain)
		return true;
	if (s->bounds.disks != EXHAUST_ALL_LATE && refused(s, c))
		return false;
	if (!s->moved && x_hash_node(node, 0)[0] == x_hash_node(s->from->x.nodes[c->node], 0)[0])
		return false;
	clear_dead(&s->to->x);
	return true;
}

void x_begin(struct xsearch *s, struct xframe *root)
{
	root->x.timeouts = (uint8_t)s->bounds.timeouts;
	root->x.restarts = (uint8_t)s->bounds.restarts;
	root->x.beats = (uint8_t)s->bounds.beats;
	for (uint32_t i = 0; i < X_NODES; i++) {
		struct xnode *node = mem_zero(&s->mem, sizeof *node);
		node->raft = mem_zero(&s->mem, s->raft_bytes);
		boot(s, i, node);
		root->x.nodes[i] = node;
	}
}
