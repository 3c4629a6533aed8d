/*
 * One node: searching, changing it in place, and making new nodes of old ones. Knows nothing of versions, and nothing
 * of the tree around it. Whoever changes a node in place owns it and has seen that there is room.
 */
#include "store/store_internal.h"

#include "base/check.h"

#define SKIP_MAX ((size_t)UINT16_MAX)

size_t store_node_size(size_t bytes)
{
	return (bytes + NODE_BYTES_STEP - 1) / NODE_BYTES_STEP * NODE_BYTES_STEP;
}

size_t store_shared(struct store_slice a, struct store_slice b)
{
	size_t size = a.size < b.size ? a.size : b.size, n = 0;
	while (n < size && a.bytes[n] == b.bytes[n])
		n++;
	return n;
}

int store_compare(struct store_slice a, struct store_slice b)
{
	size_t size = a.size < b.size ? a.size : b.size;
	int order = size == 0 ? 0 : memcmp(a.bytes, b.bytes, size);
	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* All keys of the node begin with the first `skip` bytes of `key`. */
static void set_skip(struct node *node, struct store_slice key, size_t skip)
{
	skip = skip < SKIP_MAX ? skip : SKIP_MAX;
	node->skip = (uint16_t)skip;
	node->tail = 0;
	for (size_t i = skip < 8 ? 0 : skip - 8; i < skip; i++)
		node->tail = node->tail << 8 | key.bytes[i];
	for (unsigned i = 0; i < node->count; i++)
		node->slots[i].head = head_of(key_at(node, i), skip);
}

/* Writes the record of the slot `at`, below those that are there. */
static void write_record(struct node *node, unsigned at, const struct record *record)
{
	struct slot *slot = &node->slots[at];
	node->used += (uint32_t)record_bytes(record);
	slot->at = (uint16_t)node->used;
	slot->head = head_of(record->key, node->skip);
	uint16_t payload_size = (uint16_t)record->payload.size;
	uint8_t *p = record_at(node, at);
	memcpy(p, &payload_size, sizeof payload_size);
	p += sizeof payload_size;
	if (record->blob != NULL) {
		slot->key_size = EXTERNAL;
		memcpy(p, &record->blob, sizeof record->blob);
		p += sizeof record->blob;
	} else {
		slot->key_size = (uint16_t)record->key.size;
		if (record->key.size > 0)
			memcpy(p, record->key.bytes, record->key.size);
		p += record->key.size;
	}
	if (payload_size > 0)
		memcpy(p, record->payload.bytes, payload_size);
}

/* Makes room for a child behind the child `at`, and for a slot before all children; the slots stay. */
static void insert_child(struct node *node, unsigned at, struct node *child)
{
	struct node **old = children_of(node), **children = old + 1;
	memmove(children + at + 2, old + at + 1, (node->count - at) * sizeof *old);
	memmove(children, old, (at + 1u) * sizeof *old);
	children[at + 1] = child;
}

void store_node_insert(struct node *node, unsigned at, const struct record *record)
{
	CHECK_OP(node_bytes(node) + record_room(node, record), <=, node->block.size);
	CHECK_OP(at, <=, node->count);
	size_t skip = record->key.size;
	if (node->count > 0) {
		struct store_slice near = key_at(node, at < node->count ? at : at - 1);
		near.size = node->skip;
		skip = store_shared(record->key, near);
	}
	if (node->count == 0 || skip < node->skip)
		set_skip(node, record->key, skip);
	if (node->block.kind == BLOCK_INNER)
		insert_child(node, at, record->child);
	struct slot *slot = &node->slots[at];
	memmove(slot + 1, slot, (node->count - at) * sizeof *slot);
	node->count++;
	write_record(node, at, record);
}

static size_t bytes_at(const struct node *node, unsigned at)
{
	struct store_slice payload = payload_at(node, at);
	return (size_t)(payload.bytes - record_at(node, at)) + payload.size;
}

static void remove_child(struct node *node, unsigned at)
{
	struct node **old = children_of(node), **children = old - 1;
	memmove(children, old, at * sizeof *old);
	memmove(children + at, old + at + 1, (node->count - at) * sizeof *old);
}

void store_node_remove(struct node *node, unsigned at)
{
	CHECK_OP(at, <, node->count);
	size_t bytes = bytes_at(node, at);
	uint16_t from = node->slots[at].at;
	uint8_t *lowest = (uint8_t *)node + node->block.size - node->used;
	memmove(lowest + bytes, lowest, node->used - from);
	memmove(&node->slots[at], &node->slots[at + 1], (node->count - at - 1u) * sizeof node->slots[0]);
	if (node->block.kind == BLOCK_INNER)
		remove_child(node, at + 1);
	node->used -= (uint32_t)bytes;
	node->count--;
	for (unsigned i = 0; i < node->count; i++)
		node->slots[i].at -= node->slots[i].at > from ? (uint16_t)bytes : 0;
}

static struct node *node_new(struct store *store, uint8_t kind, size_t bytes)
{
	struct node *node = store_block_new(store, kind, store_node_size(bytes));
	node->count = 0;
	node->skip = 0;
	node->used = 0;
	node->tail = 0;
	return node;
}

struct node *store_node_root(struct store *store, struct node *left, const struct record *record)
{
	struct node empty = {.block = {.kind = BLOCK_INNER}};
	struct node *root = node_new(store, BLOCK_INNER, node_bytes(&empty) + record_room(&empty, record));
	children_of(root)[0] = left;
	store_node_insert(root, 0, record);
	return root;
}

struct node *store_node_copy(struct store *store, const struct node *node, size_t size)
{
	struct node *copy = node_new(store, node->block.kind, size);
	CHECK_OP(node_bytes(node), <=, copy->block.size);
	copy->count = node->count;
	copy->skip = node->skip;
	copy->used = node->used;
	copy->tail = node->tail;
	memcpy(copy->slots, node->slots, node_bytes(node) - sizeof *node - node->used);
	memcpy((uint8_t *)copy + copy->block.size - node->used, (const uint8_t *)node + node->block.size - node->used,
	       node->used);
	return copy;
}

/* Adds the records [from, to) of another node behind those that are there; set_skip and children must follow. */
static void add_records(struct node *node, const struct node *other, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		size_t bytes = bytes_at(other, i);
		node->used += (uint32_t)bytes;
		node->slots[node->count] = other->slots[i];
		node->slots[node->count].at = (uint16_t)node->used;
		memcpy(record_at(node, node->count), record_at(other, i), bytes);
		node->count++;
	}
	CHECK_OP(node_bytes(node), <=, node->block.size);
}

static void set_natural_skip(struct node *node)
{
	if (node->count == 0)
		return;
	struct store_slice first = key_at(node, 0);
	set_skip(node, first, store_shared(first, key_at(node, node->count - 1u)));
}

struct node *store_node_slice(struct store *store, const struct node *node, unsigned from, unsigned to, size_t extra)
{
	const struct node empty = {.block = {.kind = node->block.kind}};
	size_t bytes = node_bytes(&empty) + extra;
	for (unsigned i = from; i < to; i++)
		bytes += sizeof node->slots[0] + bytes_at(node, i) +
			 (node->block.kind == BLOCK_INNER ? sizeof(struct node *) : 0);
	struct node *slice = node_new(store, node->block.kind, bytes);
	add_records(slice, node, from, to);
	set_natural_skip(slice);
	if (node->block.kind == BLOCK_INNER)
		memcpy(children_of(slice), children_of(node) + from, (to - from + 1) * sizeof(struct node *));
	return slice;
}

struct node *store_node_join(struct store *store, const struct node *left, const struct record *between,
			     const struct node *right)
{
	size_t extra = between == NULL ? 0 : record_room(left, between);
	struct node *node = node_new(store, left->block.kind, node_bytes(left) + node_bytes(right) + extra);
	add_records(node, left, 0, left->count);
	if (between != NULL)
		write_record(node, node->count++, between);
	add_records(node, right, 0, right->count);
	set_natural_skip(node);
	if (between != NULL) {
		memcpy(children_of(node), children_of(left), (left->count + 1u) * sizeof(struct node *));
		memcpy(children_of(node) + left->count + 1, children_of(right),
		       (right->count + 1u) * sizeof(struct node *));
	}
	return node;
}
