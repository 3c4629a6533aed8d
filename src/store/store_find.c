/*
 * Searching: in one node, and from the top down to a leaf. Changes nothing.
 *
 * On the way down what a node's keys share is compared with the key where it is not already known: in the children
 * between two keys of a node, all keys begin as those two do. Mostly no more than eight bytes are left to compare.
 */
#include "store/store_internal.h"

#include "base/check.h"

/* The first slot whose head is not below `head`. Without branches, which would be guesses; three loads at a time. */
static inline unsigned first_slot(const struct node *node, uint32_t head)
{
	const struct slot *base = node->slots;
	unsigned n = node->count;
	while (n >= 4) {
		unsigned quarter = n / 4;
		unsigned below = (base[quarter - 1].head < head) + (base[2 * quarter - 1].head < head) +
				 (base[3 * quarter - 1].head < head);
		base += below * quarter;
		n = below == 3 ? n - 3 * quarter : quarter;
	}
	unsigned low = (unsigned)(base - node->slots);
	for (unsigned i = 0; i < n; i++)
		low += base[i].head < head;
	return low;
}

/* How the key begins, against what all keys of the node share. */
static inline int begin_order(const struct node *node, struct store_slice key, size_t known)
{
	size_t skip = node->skip;
	if (skip <= known)
		return 0;
	if (skip - known <= 8 && key.size >= skip && key.size >= 8) {
		uint64_t ours = skip >= 8 ? get_be64(key.bytes + skip - 8) : get_be64(key.bytes) >> (64 - 8 * skip);
		uint64_t mask = UINT64_MAX >> (64 - 8 * (skip - known));
		return ((ours & mask) > (node->tail & mask)) - ((ours & mask) < (node->tail & mask));
	}
	struct store_slice begin = key_at(node, 0);
	begin.size = skip;
	key.size = key.size < skip ? key.size : skip;
	return same(key, begin) ? 0 : store_compare(key, begin);
}

static inline __attribute__((always_inline)) unsigned find(const struct node *node, struct store_slice key,
							   size_t known, bool *found)
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
	if (high == low + 1 && same(key, key_at(node, low))) {
		*found = true;
		return low;
	}
	/* The heads have decided nothing yet if the key does not begin as all of this node do. */
	int order = begin_order(node, key, known);
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

static inline __attribute__((always_inline)) unsigned find_child(const struct node *inner, struct store_slice key,
								 size_t *known)
{
	bool found;
	unsigned at = find(inner, key, *known, &found);
	at += found;
	if (at > 0 && at < inner->count && inner->skip > *known)
		*known = inner->skip;
	return at;
}

unsigned store_find(const struct node *node, struct store_slice key, size_t *known, bool *found)
{
	if (node->block.kind == BLOCK_LEAF)
		return find(node, key, *known, found);
	*found = false;
	return find_child(node, key, known);
}

bool store_descend(struct node *tree, struct store_slice key, struct path *path)
{
	struct node *node = tree;
	unsigned depth = 0;
	size_t known = 0;
	while (node->block.kind == BLOCK_INNER) {
		unsigned at = find_child(node, key, &known);
		path->step[depth].node = node;
		path->step[depth].at = at;
		CHECK_OP(++depth, <, (unsigned)DEPTH_MAX);
		node = child_at(node, at);
		node_prefetch(node);
	}
	bool found;
	path->step[depth].node = node;
	path->step[depth].at = find(node, key, known, &found);
	path->leaf = depth;
	return found;
}

bool store_get(struct store *store, const void *key, size_t key_size, struct store_slice *value)
{
	unsigned at;
	const struct node *leaf = store_ahead_take(store, (struct store_slice){key, key_size}, &at);
	if (leaf != NULL) {
		*value = value_at(leaf, at);
		return true;
	}
	const struct store_root root = {.tree = store->tree};
	return store_root_get(&root, key, key_size, value);
}

bool store_root_get(const struct store_root *root, const void *key_bytes, size_t key_size, struct store_slice *value)
{
	struct store_slice key = {key_bytes, key_size};
	const struct node *node = root->tree;
	if (node == NULL)
		return false;
	size_t known = 0;
	while (node->block.kind == BLOCK_INNER) {
		node = child_at(node, find_child(node, key, &known));
		node_prefetch(node);
	}
	bool found;
	unsigned at = find(node, key, known, &found);
	if (found)
		*value = value_at(node, at);
	return found;
}

/* ---- Keys that are expected ---- */

/* What a read or an overwrite of a record touches, if it is not long. */
static inline __attribute__((always_inline)) void prefetch_record(const struct node *leaf, unsigned at)
{
	const uint8_t *record = record_at(leaf, at);
	prefetch_2_lines(record);
	if (leaf->slots[at].at > 128)
		__builtin_prefetch(record + 128);
}

/*
 * A search waits for memory at each level. A group goes down level by level, and asks for all its next nodes before it
 * looks at one; then for the records that the heads point to. A key that shares its head is left to be sought again.
 */
void store_expect(struct store *store, const struct store_slice keys[], size_t count)
{
	struct ahead *ahead = &store->ahead;
	struct node *node[STORE_AHEAD_MAX];
	unsigned at[STORE_AHEAD_MAX];
	size_t known[STORE_AHEAD_MAX] = {0};
	ahead->next = ahead->count = 0;
	if (store->tree == NULL)
		return;
	count = count < STORE_AHEAD_MAX ? count : STORE_AHEAD_MAX;
	for (size_t i = 0; i < count; i++)
		node[i] = store->tree;
	for (unsigned level = store->height; level > 0; level--) {
		for (size_t i = 0; i < count; i++) {
			node[i] = child_at(node[i], find_child(node[i], keys[i], &known[i]));
			prefetch_2_lines((const uint8_t *)node[i]);
			if (level > 1)
				node_prefetch(node[i]);
		}
	}
	for (size_t i = 0; i < count; i++) {
		at[i] = node[i]->count == 0 ? 0 : first_slot(node[i], head_of(keys[i], node[i]->skip));
		if (at[i] < node[i]->count)
			prefetch_record(node[i], at[i]);
	}
	for (size_t i = 0; i < count; i++) {
		if (at[i] == node[i]->count || !same(keys[i], key_at(node[i], at[i])))
			continue;
		ahead->place[ahead->count].leaf = node[i];
		ahead->place[ahead->count++].at = at[i];
	}
}

struct node *store_ahead_take(struct store *store, struct store_slice key, unsigned *at)
{
	struct ahead *ahead = &store->ahead;
	for (unsigned i = ahead->next; i < ahead->count; i++) {
		struct node *leaf = ahead->place[i].leaf;
		if (!same(key, key_at(leaf, ahead->place[i].at)))
			continue;
		*at = ahead->place[i].at;
		ahead->next = i + 1;
		return leaf;
	}
	return NULL;
}
