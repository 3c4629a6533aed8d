/*
 * Where requests go: to the log of this node if it leads, to the leader's over one ordered stream if not.
 *
 * Order. Writes are placed in the order in which they came: the queue goes by seq, a stream keeps its order, and a
 * leader that refuses one as "not leader" refuses all that were sent to it in that term, because a term that was lost
 * is never won again. What it refused was certainly not executed and is put back; unless a younger write has gone out
 * in a later term meanwhile, for then the older one would be overtaken: that one ends as refused. To make this rare,
 * writes wait half a heartbeat for the answers of the last leader before they go to a new one.
 *
 * A request is forwarded once, never onwards: a guest that finds no leader here is told so.
 */
#include "node/node_internal.h"

#define BATCH_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define LOG_BACKLOG_BYTES_MAX ((uint64_t)64 * 1024 * 1024) /* Put into the log, not yet durable: then writes wait. */

static bool leads(const struct ikada_node *node)
{
	return node->role == IKADA_LEADER;
}

/* The leader, if it is another member that has not denied it. */
static struct peer *leading_peer(struct ikada_node *node)
{
	struct peer *peer = links_peer(node, node->leader);
	return peer != NULL && peer->link != NULL && peer->not_leading != node->term ? peer : NULL;
}

bool route_known(struct ikada_node *node)
{
	return leads(node) || leading_peer(node) != NULL;
}

/* A guest was sent to the leader of a term. Reads and writes are for that term only. */
static bool misplaced(const struct ikada_node *node, const struct op *op)
{
	return op->origin != NULL && !(leads(node) && op->term == node->term);
}

static void turn_away(struct ikada_node *node, struct op *guest)
{
	requests_tell(guest->origin, guest->request_number, WIRE_OUTCOME_NOT_LEADER, NULL, 0);
	requests_free(node, guest);
}

static void turn_guests_away(struct ikada_node *node, struct list *queue)
{
	struct list *next;
	for (struct list *at = queue->next; at != queue && node->guests_queued > 0; at = next) {
		struct op *op = LIST_OF(at, struct op, at);
		next = at->next;
		if (misplaced(node, op))
			turn_away(node, op);
	}
}

/* ---- Order ---- */

/* Until when writes wait for the answers of an earlier leader; 0: they need not. */
static uint64_t held_until(const struct ikada_node *node)
{
	uint64_t until = node->leader_since_ns + node->settings.heartbeat_ns / 2;
	if (raw_now(node) >= until)
		return 0;
	for (uint32_t i = 0; i < node->peer_count; i++) {
		const struct list *sent = &node->peers[i].sent[WRITES];
		if (i != node->self && !list_empty(sent) && LIST_OF(sent->next, struct op, at)->term < node->term)
			return until;
	}
	return 0;
}

uint64_t route_deadline(const struct ikada_node *node)
{
	uint64_t until = list_empty(&node->queue[WRITES]) ? 0 : held_until(node);
	return until == 0 ? UINT64_MAX : until;
}

static void note_placed(struct ikada_node *node, uint64_t term, uint64_t seq)
{
	if (term > node->placed_term) {
		node->before_term = node->placed_term;
		node->before_seq = node->before_seq > node->placed_seq ? node->before_seq : node->placed_seq;
		node->placed_term = term;
		node->placed_seq = 0;
	}
	node->placed_seq = node->placed_seq > seq ? node->placed_seq : seq;
}

/* Whether a younger write went out in a later term than this one did. Errs on the side of yes. */
static bool overtaken(const struct ikada_node *node, const struct op *op)
{
	if (op->term >= node->placed_term)
		return false;
	return op->seq < node->placed_seq || (op->term < node->before_term && op->seq < node->before_seq);
}

/* ---- To the own log ---- */

/* Fills the batch from the queue with what has room on the disk; returns how many. */
static size_t fill_batch(struct ikada_node *node)
{
	struct list *queue = &node->queue[WRITES];
	size_t count = 0;
	size_t bytes = 0;
	while (!list_empty(queue) && count < BATCH_OPS_MAX && bytes < BATCH_BYTES_MAX) {
		struct op *op = LIST_OF(queue->next, struct op, at);
		size_t size = entry_bytes(op->size);
		if (misplaced(node, op)) {
			turn_away(node, op);
		} else if (drive_room(node, bytes + size) >= bytes + size) {
			if (node->put_back == op)
				node->put_back = NULL;
			list_remove(&op->at);
			node->batch[count++] = op;
			bytes += size;
		} else if (count > 0 || drive_busy(node)) {
			break; /* The log may yet find room. */
		} else {
			requests_finish(node, op, IKADA_BUSY);
		}
	}
	return count;
}

static void propose(struct ikada_node *node)
{
	if (list_empty(&node->queue[WRITES]) || wal_pending_bytes(node->wal) > LOG_BACKLOG_BYTES_MAX ||
	    held_until(node) != 0)
		return;
	size_t count = fill_batch(node);
	if (count == 0)
		return;
	uint64_t last = node->cache.last;
	drive_propose(node, count);
	if (!list_empty(&node->queue[WRITES]) && node->cache.last - last >= count)
		node->wanted = true; /* The core took all, and there is more. */
}

void route_accepted(struct ikada_node *node, struct op *op, uint64_t index, uint64_t term)
{
	/* By index. What an earlier term of this node left there may reach further. */
	struct list *after = node->last_proposed != NULL && node->last_proposed->index == index - 1
				     ? &node->last_proposed->at
				     : node->proposed.prev;
	while (after != &node->proposed && LIST_OF(after, struct op, at)->index > index)
		after = after->prev;
	while (after->next != &node->proposed && LIST_OF(after->next, struct op, at)->index <= index)
		after = after->next;
	op->index = index;
	op->term = term;
	requests_move(node, op, after->next, OP_PROPOSED);
	node->last_proposed = op;
	if (op->origin == NULL)
		note_placed(node, term, op->seq);
}

/* When an entry of a term is committed, none of earlier terms behind it ever will be: terms do not fall in a log. */
static void refuse_outdated(struct ikada_node *node, uint64_t term)
{
	struct list *next;
	for (struct list *at = node->proposed.next; at != &node->proposed; at = next) {
		struct op *op = LIST_OF(at, struct op, at);
		next = at->next;
		if (op->term < term)
			requests_finish(node, op, IKADA_NO_LEADER);
	}
}

void route_covered(struct ikada_node *node, uint64_t index, uint64_t term)
{
	while (!list_empty(&node->proposed)) {
		struct op *op = LIST_OF(node->proposed.next, struct op, at);
		if (op->index > index)
			break;
		requests_finish(node, op, IKADA_UNKNOWN);
	}
	refuse_outdated(node, term);
}

void route_doubted(struct ikada_node *node)
{
	route_covered(node, UINT64_MAX, 0);
	while (!list_empty(&node->granted))
		requests_put_back(node, LIST_OF(node->granted.next, struct op, at));
}

struct op *route_committed(struct ikada_node *node, uint64_t index, uint64_t term)
{
	struct op *found = NULL;
	while (!list_empty(&node->proposed)) {
		struct op *op = LIST_OF(node->proposed.next, struct op, at);
		if (op->index > index)
			break;
		CHECK_OP(op->index, ==, index);
		if (op->term == term) {
			CHECK(found == NULL);
			list_remove(&op->age);
			requests_move(node, op, &node->finished, OP_FINISHED);
			found = op;
		} else {
			requests_finish(node, op, IKADA_NO_LEADER);
		}
	}
	if (term > node->applied_term)
		refuse_outdated(node, term);
	return found;
}

/* ---- Reads ---- */

static void ask(struct ikada_node *node)
{
	uint64_t first = node->next_read_id;
	while (!list_empty(&node->queue[READS])) {
		struct op *op = LIST_OF(node->queue[READS].next, struct op, at);
		if (misplaced(node, op)) {
			turn_away(node, op);
			continue;
		}
		op->id = node->next_read_id++;
		requests_move(node, op, &node->reading, OP_READING);
	}
	if (node->next_read_id == first)
		return;
	struct ikada_event event = {.kind = IKADA_READ, .first_id = first, .count = node->next_read_id - first};
	drive_event(node, &event);
}

/* The first op that waits for a read index as `first_id` or later. */
static struct list *reading_from(struct ikada_node *node, uint64_t first_id)
{
	struct list *at = node->reading.next;
	while (at != &node->reading && LIST_OF(at, struct op, at)->id < first_id)
		at = at->next;
	return at;
}

void route_reads_granted(struct ikada_node *node, uint64_t first_id, uint64_t count, uint64_t index)
{
	struct list *next;
	for (struct list *at = reading_from(node, first_id); at != &node->reading; at = next) {
		struct op *op = LIST_OF(at, struct op, at);
		next = at->next;
		if (op->id - first_id >= count)
			break;
		op->index = index;
		requests_move(node, op, &node->granted, OP_GRANTED);
	}
}

void route_reads_refused(struct ikada_node *node, uint64_t first_id, uint64_t count)
{
	struct list *next;
	for (struct list *at = reading_from(node, first_id); at != &node->reading; at = next) {
		struct op *op = LIST_OF(at, struct op, at);
		next = at->next;
		if (op->id - first_id >= count)
			break;
		requests_put_back(node, op);
	}
}

bool route_serve(struct ikada_node *node, uint64_t count)
{
	if (node->restore.active)
		return false;
	for (; !list_empty(&node->granted); count--) {
		struct op *op = LIST_OF(node->granted.next, struct op, at);
		if (op->index > node->applied)
			return false;
		if (count == 0)
			return true;
		node->machine.query(node->machine.context, op->bytes, op->size, op->tag, &node->reply);
		requests_answer(node, op, IKADA_DONE, buf_at(&node->reply), buf_size(&node->reply));
		buf_consume(&node->reply, buf_size(&node->reply));
	}
	return false;
}

/* ---- To the leader ---- */

static void forward(struct ikada_node *node, struct peer *peer, enum request_kind kind)
{
	struct list *queue = &node->queue[kind];
	while (!list_empty(queue) && links_room(peer)) {
		struct op *op = LIST_OF(queue->next, struct op, at);
		const struct wire_forward message = {
			.number = op->request_number,
			.term = node->term,
			.read = kind == READS,
			.tag = op->tag,
			.bytes = op->bytes,
			.size = op->size,
		};
		wire_put_forward(&node->scratch, node->cluster_id, &message);
		links_send(peer->link, &node->scratch);
		buf_consume(&node->scratch, buf_size(&node->scratch));
		op->term = node->term;
		requests_move(node, op, &peer->sent[kind], OP_FORWARDED);
		if (kind == WRITES)
			note_placed(node, op->term, op->seq);
	}
}

void route_forwarded(struct link *link, const struct wire_forward *message)
{
	struct ikada_node *node = link->node;
	if (!leads(node) || message->term != node->term) {
		requests_tell(link, message->number, WIRE_OUTCOME_NOT_LEADER, NULL, 0);
		return;
	}
	struct op *op = requests_guest(link, message);
	if (op != NULL)
		requests_move(node, op, &node->queue[op->kind], OP_QUEUED);
}

static struct op *sent_with(struct list *sent, uint64_t number)
{
	for (struct list *at = sent->next; at != sent; at = at->next)
		if (LIST_OF(at, struct op, at)->request_number == number)
			return LIST_OF(at, struct op, at);
	return NULL;
}

/* A reply to something that has ended here meanwhile is for nobody. */
static struct op *find_sent(struct peer *peer, uint64_t number)
{
	for (int kind = WRITES; kind <= READS; kind++)
		if (!list_empty(&peer->sent[kind])) {
			struct op *first = LIST_OF(peer->sent[kind].next, struct op, at);
			if (first->request_number == number)
				return first;
		}
	struct op *op = sent_with(&peer->sent[WRITES], number);
	return op != NULL ? op : sent_with(&peer->sent[READS], number);
}

void route_reply(struct peer *peer, const struct wire_forward_reply *reply)
{
	struct ikada_node *node = peer->link->node;
	struct op *op = find_sent(peer, reply->number);
	if (op == NULL)
		return;
	if (reply->outcome != WIRE_OUTCOME_NOT_LEADER) {
		/* An outcome that this version does not know says nothing. */
		bool known = reply->outcome <= IKADA_UNKNOWN;
		requests_answer(node, op, known ? (enum ikada_outcome)reply->outcome : IKADA_UNKNOWN, reply->bytes,
				reply->size);
		return;
	}
	if (op->term > peer->not_leading)
		peer->not_leading = op->term;
	if (op->kind == WRITES && overtaken(node, op))
		requests_answer(node, op, IKADA_NO_LEADER, NULL, 0);
	else
		requests_put_back(node, op);
}

void route(struct ikada_node *node)
{
	if (node->raft == NULL)
		return;
	if (leads(node)) {
		propose(node);
		ask(node);
	}
	if (!leads(node) && node->guests_queued > 0) {
		turn_guests_away(node, &node->queue[WRITES]);
		turn_guests_away(node, &node->queue[READS]);
	}
	struct peer *peer = leading_peer(node);
	if (!leads(node) && peer != NULL) {
		if (held_until(node) == 0)
			forward(node, peer, WRITES);
		forward(node, peer, READS);
	}
}
