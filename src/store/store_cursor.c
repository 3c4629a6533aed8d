/* Walking a tree in the order of its keys. A cursor owns nothing; what it walks over must stay as it is. */
#include "store/store_internal.h"

#include "base/check.h"

static const struct node *step_down(struct store_cursor *cursor, const struct node *node, unsigned at)
{
	CHECK_OP(cursor->depth, <, (unsigned)DEPTH_MAX);
	cursor->path[cursor->depth].node = node;
	cursor->path[cursor->depth++].at = at;
	if (node->block.kind == BLOCK_LEAF)
		return NULL;
	node = child_at(node, at);
	node_prefetch(node);
	return node;
}

void store_seek(struct store_cursor *cursor, const struct store *store, const struct store_root *root, const void *key,
		size_t key_size)
{
	cursor->store = store;
	cursor->root = root;
	cursor->depth = 0;
	const struct node *node = root != NULL ? root->tree : store->tree;
	size_t known = 0;
	while (node != NULL) {
		bool found;
		unsigned at = store_find(node, (struct store_slice){key, key_size}, &known, &found);
		node = step_down(cursor, node, at);
	}
}

/* Leaves a leaf that is used up for the next one. */
static void next_leaf(struct store_cursor *cursor)
{
	while (--cursor->depth > 0) {
		const struct node *node = cursor->path[cursor->depth - 1].node;
		if (cursor->path[cursor->depth - 1].at == node->count)
			continue;
		node = child_at(node, ++cursor->path[cursor->depth - 1].at);
		while (node != NULL)
			node = step_down(cursor, node, 0);
		return;
	}
}

bool store_next(struct store_cursor *cursor, struct store_slice *key, struct store_slice *value)
{
	while (cursor->depth > 0) {
		const struct node *leaf = cursor->path[cursor->depth - 1].node;
		unsigned at = cursor->path[cursor->depth - 1].at;
		if (at < leaf->count) {
			cursor->path[cursor->depth - 1].at++;
			*key = key_at(leaf, at);
			*value = value_at(leaf, at);
			return true;
		}
		next_leaf(cursor);
	}
	return false;
}
