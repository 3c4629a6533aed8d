/*
 * One real core, and the small driver around it: it keeps what the core wrote until the disk completes it, and holds
 * every message until the ticket in its `after` is durable. What an event makes of it is noted in `move`.
 */
#include "sim/exhaust_internal.h"

#include "base/check.h"

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

void x_boot(struct xsearch *s, uint32_t self)
{
	struct xnode *node = &s->mine;
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
	with.commit = s->status.commit < with.last_index ? s->status.commit : with.last_index;
	with.vote_incarnation = with.vote == 0 ? 0 : 1;
	with.config = with.config_before = config;
	with.runs = runs;
	with.raw_ns = with.awake_ns = node->now;
	settings.self = self;
	node->raft = ikada_raft_init(node->raft, &s->limits, &settings, &with);
	node->durable = node->ticket = 0;
	node->write_count = node->outbox_count = 0;
	ikada_raft_status(node->raft, &s->status);
}

/* ---- Messages ---- */

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
static void release(struct xsearch *s, struct xpacket packet)
{
	const struct xnode *node = &s->mine;
	bool asks = packet.kind == IKADA_APPEND || packet.kind == IKADA_VOTE;
	if (asks && packet.term != s->status.term)
		return;
	if (packet.kind == IKADA_APPEND && packet.last_index > packet.prev_index) {
		uint32_t more = x_choose(s, (uint32_t)(packet.last_index - packet.prev_index));
		packet.last_index = (uint8_t)(packet.prev_index + 1 + more);
		for (uint8_t i = 0; i <= more; i++)
			packet.terms[i] = (uint8_t)ikada_raft_term_at(node->raft, packet.prev_index + 1u + i);
		CHECK_OP(s->report_count, <, (uint32_t)X_NODES);
		s->reports[s->report_count++] = packet;
	}
	CHECK_OP(s->move.sent_count, <, X_SENT_MAX);
	s->move.sent[s->move.sent_count++] = x_packet_number(s, &packet);
}

/* ---- Steps ---- */

static void keep_write(struct xsearch *s)
{
	const struct ikada_effects *e = &s->effects;
	struct xnode *node = &s->mine;
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

static void step(struct xsearch *s, struct ikada_event *event, uint64_t later_ns)
{
	struct xnode *node = &s->mine;
	struct ikada_raft_status was = s->status;
	memcpy((void *)s->before, node->raft, s->raft_bytes);
	node->now += later_ns;
	event->raw_ns = event->awake_ns = node->now;
	ikada_raft_step(node->raft, event, &s->effects);
	ikada_raft_status(node->raft, &s->status);
	if (s->effects.ticket != 0)
		keep_write(s);
	x_witness(s, s->before, &was, event);
}

/* Sends what the last step wants sent. */
static void post(struct xsearch *s)
{
	struct xnode *node = &s->mine;
	for (uint32_t i = 0; i < s->effects.message_count; i++) {
		const struct ikada_message *m = &s->effects.messages[i];
		if (m->after <= node->durable) {
			release(s, pack(m));
			continue;
		}
		CHECK_OP(node->outbox_count, <, (uint32_t)X_OUTBOX_MAX);
		node->outbox[node->outbox_count++] = (struct xwaiting){pack(m), m->after};
	}
}

/* A step, all that follows from it at once, and nothing else. */
static void drive(struct xsearch *s, struct ikada_event *event, uint64_t later_ns)
{
	step(s, event, later_ns);
	post(s);
	while (s->report_count > 0) {
		struct xpacket sent = s->reports[--s->report_count];
		struct ikada_event report = {
			.kind = IKADA_SENT, .peer = sent.to, .peer_incarnation = 1, .last_index = sent.last_index};
		step(s, &report, SMALL_NS);
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
static void complete(struct xsearch *s, uint32_t count)
{
	struct xnode *node = &s->mine;
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
			release(s, waiting[i].packet);
		else
			node->outbox[node->outbox_count++] = waiting[i];
	}
	CHECK_OP(s->report_count, ==, 0u);
	drive(s, &event, SMALL_NS);
}

/* ---- Events ---- */

/* Some word of another has brought a higher term. */
static void learn(struct xsearch *s, uint32_t from, uint64_t term)
{
	struct ikada_message m = {
		.kind = IKADA_APPEND_REPLY,
		.from = from + 1,
		.to = s->status.self,
		.from_incarnation = 1,
		.to_incarnation = 1,
		.term = term,
	};
	struct ikada_event event = {.kind = IKADA_RECEIVE, .message = &m};
	drive(s, &event, SMALL_NS);
}

static void deliver(struct xsearch *s, const struct xpacket *packet)
{
	struct ikada_message m = unpack(packet);
	struct ikada_run runs[sizeof packet->terms];
	struct ikada_event event = {.kind = IKADA_RECEIVE, .message = &m, .runs = runs};
	for (uint32_t i = 0; packet->kind == IKADA_APPEND && packet->prev_index + i < packet->last_index; i++)
		if (i == 0 || packet->terms[i] != packet->terms[i - 1])
			runs[event.run_count++] =
				(struct ikada_run){.first = packet->prev_index + 1u + i, .term = packet->terms[i]};
	/* A leader hears of no candidate, so somebody else must have told it first. */
	if (packet->kind == IKADA_VOTE && s->status.role == IKADA_LEADER && !s->bounds.plain)
		learn(s, packet->from - 1u, packet->term);
	drive(s, &event, SMALL_NS);
}

/*
 * The timer fires, perhaps after a higher term was learned, and the pre-vote is granted by another. A leader gives up
 * first.
 */
static void timeout(struct xsearch *s, const struct xchoice *c)
{
	struct ikada_event tick = {.kind = IKADA_TICK};
	if (c->term != 0)
		learn(s, c->from, c->term);
	if (s->status.role == IKADA_LEADER)
		drive(s, &tick, LARGE_NS);
	step(s, &tick, LARGE_NS);
	if (s->status.role != IKADA_PRECANDIDATE)
		return;
	struct ikada_message grant = {
		.kind = IKADA_PREVOTE_REPLY,
		.from = s->status.self % X_NODES + 1,
		.to = s->status.self,
		.from_incarnation = 1,
		.to_incarnation = 1,
		.term = s->status.term + 1,
		.granted = true,
	};
	struct ikada_event event = {.kind = IKADA_RECEIVE, .message = &grant};
	drive(s, &event, SMALL_NS);
}

/* With as many of the writes that were not durable as are chosen. */
static void restart(struct xsearch *s)
{
	struct xnode *node = &s->mine;
	uint32_t kept = x_choose(s, node->write_count + 1);
	for (uint32_t i = 0; i < kept; i++)
		write_image(&node->image, &node->writes[i]);
	node->now += SMALL_NS;
	x_boot(s, (uint32_t)s->status.self);
}

void x_node_act(struct xsearch *s, const struct xchoice *c)
{
	struct ikada_event tick = {.kind = IKADA_TICK};
	struct ikada_event proposal = {.kind = IKADA_PROPOSE, .first_id = 1, .count = 1};
	const struct xnode *node = &s->mine;
	switch ((enum xact)c->act) {
	case X_DELIVER:
		deliver(s, &s->packets[c->packet]);
		break;
	case X_DURABLE:
		complete(s, node->write_count);
		break;
	case X_DURABLE_ONE:
		complete(s, 1);
		break;
	case X_PROPOSE:
		drive(s, &proposal, SMALL_NS);
		break;
	case X_BEAT:
		drive(s, &tick, SMALL_NS);
		break;
	case X_TIMEOUT:
		timeout(s, c);
		break;
	case X_RESTART:
		restart(s);
		break;
	}
	while (node->write_count > 0 && (s->bounds.disks == EXHAUST_AT_ONCE ||
					 (s->bounds.disks == EXHAUST_LEADERS_LATE && s->status.role != IKADA_LEADER)))
		complete(s, node->write_count);
}
