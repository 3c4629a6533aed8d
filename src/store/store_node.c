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

/* The four bytes after the first `skip`, zeros where the key has ended: orders as the keys do, or ties. */
static inline uint32_t head_of(struct store_slice key, size_t skip)
{
	if (key.size >= skip + 4) {
		const uint8_t *p = key.bytes + skip;
		return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	}
	uint32_t head = 0;
	for (size_t i = 0; i < 4; i++)
		head = head << 8 | (skip + i < key.size ? key.bytes[skip + i] : 0);
	return head;
}

/* The first slot whose head is not below `head`. */
static inline unsigned first_slot(const struct node *node, uint32_t head)
{
	const struct slot *base = node->slots;
	unsigned n = node->count;
	while (n > 1) {
		unsigned half = n / 2;
		base += half & -(unsigned)(base[half - 1].head < head); /* Without a branch: it would be a guess. */
		n -= half;
	}
	return (unsigned)(base - node->slots) + (base->head < head);
}

unsigned store_node_find(const struct node *node, struct store_slice key, bool *found)
{
	*found = false;
	unsigned count = node->count;
	if (count == 0)
		return 0;
	uint32_t head = head_of(key, node->skip);
	unsigned low = first_slot(node, head);
	unsigned high = low;
	while (high < count && node->slots[high].head == head)
		high++;
	if (high == low + 1 && store_compare(key, key_at(node, low)) == 0) {
		*found = true;
		return low;
	}

	/* The heads have decided nothing yet if the key does not begin as all of this node do: ask any. */
	struct store_slice begin = key_at(node, low > 0 ? low - 1 : 0);
	begin.size = node->skip;
	struct store_slice ours = {key.bytes, key.size < node->skip ? key.size : node->skip};
	int order = store_compare(ours, begin);
	if (order != 0)
		return order < 0 ? 0 : count;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;
		order = store_compare(key, key_at(node, middle));
		if (order == 0) {
			*found = true;
			return middle;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void set_skip(struct node *node, size_t skip)
{
	node->skip = (uint16_t)(skip < SKIP_MAX ? skip : SKIP_MAX);
	for (unsigned i = 0; i < node->count; i++)
		node->slots[i].head = head_of(key_at(node, i), node->skip);
}

void store_node_insert(struct node *node, unsigned at, const struct record *record)
{
	size_t bytes = record_bytes(record);
	CHECK_OP(node_bytes(node) + sizeof node->slots[0] + bytes, <=, node->block.size);
	CHECK_OP(at, <=, node->count);
	size_t skip = record->key.size;
	if (node->count > 0) {
		struct store_slice near = key_at(node, at < node->count ? at : at - 1);
		near.size = node->skip;
		skip = store_shared(record->key, near);
	}
	if (node->count == 0 || skip < node->skip)
		set_skip(node, skip);

	struct slot *slot = &node->slots[at];
	memmove(slot + 1, slot, (node->count - at) * sizeof *slot);
	node->count++;
	node->used += (uint32_t)bytes;
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

static size_t bytes_at(const struct node *node, unsigned at)
{
	struct store_slice payload = payload_at(node, at);
	return (size_t)(payload.bytes - record_at(node, at)) + payload.size;
}

void store_node_remove(struct node *node, unsigned at)
{
	CHECK_OP(at, <, node->count);
	size_t bytes = bytes_at(node, at);
	uint16_t from = node->slots[at].at;
	uint8_t *lowest = (uint8_t *)node + node->block.size - node->used;
	memmove(lowest + bytes, lowest, node->used - from);
	node->used -= (uint32_t)bytes;
	node->count--;
	memmove(&node->slots[at], &node->slots[at + 1], (node->count - at) * sizeof node->slots[0]);
	for (unsigned i = 0; i < node->count; i++)
		node->slots[i].at -= node->slots[i].at > from ? (uint16_t)bytes : 0;
}

static struct node *node_new(struct store *store, uint8_t kind, size_t bytes)
{
	struct node *node = store_block_new(store, kind, store_node_size(bytes));
	node->count = 0;
	node->skip = 0;
	node->used = 0;
	node->first = NULL;
	return node;
}

struct node *store_node_copy(struct store *store, const struct node *node, size_t size)
{
	struct node *copy = node_new(store, node->block.kind, size);
	CHECK_OP(node_bytes(node), <=, copy->block.size);
	copy->count = node->count;
	copy->skip = node->skip;
	copy->used = node->used;
	copy->first = node->first;
	memcpy(copy->slots, node->slots, node->count * sizeof node->slots[0]);
	memcpy((uint8_t *)copy + copy->block.size - node->used, (const uint8_t *)node + node->block.size - node->used,
	       node->used);
	return copy;
}

/* Adds the records [from, to) of another node behind those that are there; set_skip must follow. */
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

static size_t natural_skip(const struct node *node)
{
	return node->count == 0 ? 0 : store_shared(key_at(node, 0), key_at(node, node->count - 1u));
}

struct node *store_node_slice(struct store *store, const struct node *node, unsigned from, unsigned to, size_t extra)
{
	size_t bytes = sizeof *node + extra;
	for (unsigned i = from; i < to; i++)
		bytes += sizeof node->slots[0] + bytes_at(node, i);
	struct node *slice = node_new(store, node->block.kind, bytes);
	add_records(slice, node, from, to);
	set_skip(slice, natural_skip(slice));
	return slice;
}

struct node *store_node_join(struct store *store, const struct node *left, const struct record *between,
			     const struct node *right)
{
	size_t extra = between == NULL ? 0 : sizeof left->slots[0] + record_bytes(between);
	struct node *node = node_new(store, left->block.kind, node_bytes(left) + node_bytes(right) + extra);
	node->first = left->first;
	add_records(node, left, 0, left->count);
	if (between != NULL) {
		set_skip(node, natural_skip(node));
		store_node_insert(node, node->count, between);
	}
	add_records(node, right, 0, right->count);
	set_skip(node, natural_skip(node));
	return node;
}
