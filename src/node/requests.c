/*
 * What clients want: the requests under way on this node, and their outcomes (HOUSE 9).
 *
 * Owns every struct op from its making to its one end. A request ends as done, as refused, or as unknown. Refused: it
 * was certainly not executed. It never left this node, or its receiver said so, or an entry of another term is
 * committed at its index, or one of a later term before it. An entry applies whether or not somebody still waits for
 * it. A guest, that is a request of a peer, ends with the connection it came over: nobody can be told any more.
 *
 * Invariants: an op is in one list of its state, and in node->ages until it is finished; deadlines ascend there
 * because all requests are given the same time; op_bytes is the sum over all ops.
 */
#include "node/node_internal.h"

#include <string.h>

enum { OP_ROOM_BYTES = 192, SPARE_MAX = 4096 };

static size_t op_cost(const struct op *op)
{
	return sizeof *op + op->size;
}

void requests_init(struct ikada_node *node)
{
	list_init(&node->queue[WRITES]);
	list_init(&node->queue[READS]);
	list_init(&node->proposed);
	list_init(&node->reading);
	list_init(&node->granted);
	list_init(&node->finished);
	list_init(&node->ages);
	list_init(&node->spare);
	node->batch = mem_alloc(node->mem, BATCH_OPS_MAX * sizeof *node->batch);
	node->next_read_id = 1;
}

/* ---- Ops ---- */

static struct op *new_op(struct ikada_node *node, enum request_kind kind, const uint8_t *bytes, size_t size)
{
	struct op *op;
	if (size <= OP_ROOM_BYTES && !list_empty(&node->spare)) {
		op = LIST_OF(node->spare.next, struct op, at);
		list_remove(&op->at);
		node->spare_count--;
	} else {
		size_t room = size <= OP_ROOM_BYTES ? OP_ROOM_BYTES : size;
		op = mem_alloc(node->mem, sizeof *op + room);
		op->room = room;
	}
	size_t room = op->room;
	memset(op, 0, sizeof *op);
	op->room = room;
	op->size = size;
	if (size > 0)
		memcpy(op->bytes, bytes, size);
	op->kind = kind;
	op->seq = ++node->next_seq;
	op->state = OP_FINISHED;
	op->deadline_ns = raw_now(node) + node->settings.request_deadline_ns;
	list_init(&op->at);
	list_init(&op->guest_at);
	list_init(&op->age);
	list_push(&node->ages, &op->age);
	node->op_bytes += op_cost(op);
	return op;
}

/* Takes the op out of the list of its state. */
static void take_out(struct ikada_node *node, struct op *op)
{
	if (op->state == OP_QUEUED && op->origin != NULL)
		node->guests_queued--;
	if (node->put_back == op)
		node->put_back = NULL;
	if (node->last_proposed == op)
		node->last_proposed = NULL;
	list_remove(&op->at);
}

void requests_free(struct ikada_node *node, struct op *op)
{
	take_out(node, op);
	list_remove(&op->age);
	list_remove(&op->guest_at);
	node->op_bytes -= op_cost(op);
	if (op->room == OP_ROOM_BYTES && node->spare_count < SPARE_MAX) {
		list_push_first(&node->spare, &op->at); /* The next one has what is still in the caches. */
		node->spare_count++;
	} else {
		mem_free(node->mem, op);
	}
}

void requests_move(struct ikada_node *node, struct op *op, struct list *list, enum op_state state)
{
	take_out(node, op);
	list_push(list, &op->at);
	op->state = state;
	if (state == OP_QUEUED && op->origin != NULL)
		node->guests_queued++;
}

/*
 * Into the queue by seq. What is put back is older than what waits there, and mostly comes in order: behind the last
 * one that was put back.
 */
void requests_put_back(struct ikada_node *node, struct op *op)
{
	struct list *queue = &node->queue[op->kind];
	struct list *after = queue;
	if (op->kind == WRITES && node->put_back != NULL && node->put_back->seq < op->seq)
		after = &node->put_back->at;
	while (after->next != queue && LIST_OF(after->next, struct op, at)->seq < op->seq)
		after = after->next;
	requests_move(node, op, after->next, OP_QUEUED);
	if (op->kind == WRITES)
		node->put_back = op;
}

/* ---- Outcomes ---- */

void requests_tell(struct link *link, uint64_t number, uint8_t outcome, const uint8_t *bytes, size_t size)
{
	struct ikada_node *node = link->node;
	const struct wire_forward_reply reply = {.number = number, .outcome = outcome, .bytes = bytes, .size = size};
	wire_put_forward_reply(&node->scratch, node->cluster_id, &reply);
	links_send(link, &node->scratch);
	buf_consume(&node->scratch, buf_size(&node->scratch));
}

void requests_answer(struct ikada_node *node, struct op *op, enum ikada_outcome outcome, const uint8_t *reply,
		     size_t size)
{
	CHECK(!node->stepping);
	struct ikada_request *request = op->request;
	struct link *origin = op->origin;
	uint64_t number = op->request_number;
	bool written = op->kind == WRITES;
	requests_free(node, op);
	if (request != NULL) {
		request->under_way = NULL;
		request->done(request, outcome, reply, size);
	} else if (origin != NULL) {
		/* A reply that no frame can hold: what was read can be refused, what was written is done. */
		if (size > WIRE_REPLY_BYTES_MAX) {
			outcome = written ? IKADA_UNKNOWN : IKADA_TOO_LARGE;
			size = 0;
		}
		requests_tell(origin, number, (uint8_t)outcome, reply, size);
	}
}

void requests_finish(struct ikada_node *node, struct op *op, enum ikada_outcome outcome)
{
	list_remove(&op->age);
	op->outcome = outcome;
	requests_move(node, op, &node->finished, OP_FINISHED);
}

bool requests_deliver(struct ikada_node *node)
{
	/* Callbacks may finish more: count what is there now. */
	size_t count = 0;
	for (const struct list *at = node->finished.next; at != &node->finished; at = at->next)
		count++;
	for (; count > 0 && !list_empty(&node->finished); count--) {
		struct op *op = LIST_OF(node->finished.next, struct op, at);
		requests_answer(node, op, op->outcome, NULL, 0);
	}
	return !list_empty(&node->finished);
}

/* What is to be said of a request that is given up as it stands. */
static enum ikada_outcome given_up(struct ikada_node *node, const struct op *op)
{
	if (op->kind == WRITES && (op->state == OP_FORWARDED || op->state == OP_PROPOSED))
		return IKADA_UNKNOWN;
	return op->state == OP_QUEUED && route_known(node) ? IKADA_BUSY : IKADA_NO_LEADER;
}

uint64_t requests_time(struct ikada_node *node)
{
	while (!list_empty(&node->ages)) {
		struct op *op = LIST_OF(node->ages.next, struct op, age);
		if (op->deadline_ns > raw_now(node))
			return op->deadline_ns;
		requests_finish(node, op, given_up(node, op));
	}
	return UINT64_MAX;
}

void requests_link_closed(struct link *link)
{
	struct ikada_node *node = link->node;
	while (!list_empty(&link->guests))
		requests_free(node, LIST_OF(link->guests.next, struct op, guest_at));
	struct list *writes = &link->peer->sent[WRITES];
	while (!list_empty(writes))
		requests_finish(node, LIST_OF(writes->next, struct op, at), IKADA_UNKNOWN);
	/* A read has no effect: it may be asked again elsewhere, as if it came only now. */
	struct list *reads = &link->peer->sent[READS];
	while (!list_empty(reads))
		requests_put_back(node, LIST_OF(reads->next, struct op, at));
}

void requests_close(struct ikada_node *node)
{
	while (!list_empty(&node->ages)) {
		struct op *op = LIST_OF(node->ages.next, struct op, age);
		requests_finish(node, op, given_up(node, op));
	}
	while (requests_deliver(node))
		continue;
	while (!list_empty(&node->spare)) {
		struct op *op = LIST_OF(node->spare.next, struct op, at);
		list_remove(&op->at);
		mem_free(node->mem, op);
	}
	mem_free(node->mem, node->batch);
}

/* ---- New requests ---- */

/* Why a request of this size cannot be taken; IKADA_DONE: it can. */
static enum ikada_outcome judge(const struct ikada_node *node, size_t size)
{
	if (size > request_bytes_max(node))
		return IKADA_TOO_LARGE;
	if (node->op_bytes + sizeof(struct op) + size > node->settings.queue_bytes_max)
		return IKADA_BUSY;
	return IKADA_DONE;
}

static void enqueue(struct ikada_node *node, struct ikada_request *request, enum request_kind kind,
		    const uint8_t *bytes, size_t size, uint32_t tag)
{
	enum ikada_outcome outcome = judge(node, size);
	struct op *op = new_op(node, kind, bytes, outcome == IKADA_DONE ? size : 0);
	op->tag = tag;
	op->request = request;
	op->request_node = node->settings.id;
	op->request_boot = node->boot;
	op->request_number = op->seq;
	request->under_way = op;
	if (outcome == IKADA_DONE)
		requests_move(node, op, &node->queue[kind], OP_QUEUED);
	else
		requests_finish(node, op, outcome);
	node->wanted = true;
	if (!node->in_turn)
		node->env->ops->wake_at(node->env, raw_now(node));
}

void ikada_node_propose(struct ikada_node *node, struct ikada_request *request, const uint8_t *bytes, size_t size,
			uint32_t tag)
{
	enqueue(node, request, WRITES, bytes, size, tag);
}

void ikada_node_read(struct ikada_node *node, struct ikada_request *request, const uint8_t *bytes, size_t size,
		     uint32_t tag)
{
	enqueue(node, request, READS, bytes, size, tag);
}

void ikada_node_forget(struct ikada_node *node, struct ikada_request *request)
{
	struct op *op = request->under_way;
	if (op == NULL)
		return;
	request->under_way = NULL;
	op->request = NULL;
	if (op->kind == READS)
		requests_free(node, op);
}

struct op *requests_guest(struct link *link, const struct wire_forward *forward)
{
	struct ikada_node *node = link->node;
	enum ikada_outcome outcome = judge(node, forward->size);
	if (outcome != IKADA_DONE) {
		requests_tell(link, forward->number, (uint8_t)outcome, NULL, 0);
		return NULL;
	}
	struct op *op = new_op(node, forward->read ? READS : WRITES, forward->bytes, forward->size);
	op->tag = forward->tag;
	op->term = forward->term;
	op->request_node = link->peer->id;
	op->request_boot = link->peer_boot;
	op->request_number = forward->number;
	op->origin = link;
	list_push(&link->guests, &op->guest_at);
	return op;
}
