/*
 * The tree: get, put, delete.
 *
 * A change goes down to its leaf, then makes the nodes of that path its own (copying those that a held root needs),
 * then changes them. A version stamp is never below one further down, so a leaf of the present version says that its
 * whole path is owned.
 *
 * A full node splits, in the middle, or at its end when that is where the new record goes: keys that come in ascending
 * order leave full nodes behind. A node that has become small joins a neighbour when both fit into one; a node that has
 * become empty (an inner one: has one child left) always does, even if the two make one a record larger than the limit.
 * No records move from neighbour to neighbour otherwise.
 */
#include "store/store_internal.h"

#include "base/check.h"

/* Puts a node in the place of the one at `depth`. */
static void replace(struct store *store, struct path *path, unsigned depth, struct node *node)
{
	path->step[depth].node = node;
	if (depth == 0)
		store->tree = node;
	else
		child_set(path->step[depth - 1].node, path->step[depth - 1].at, node);
}

static void own_path(struct store *store, struct path *path)
{
	if (path->step[path->leaf].node->block.version == store->now)
		return;
	for (unsigned depth = 0; depth <= path->leaf; depth++) {
		struct node *node = path->step[depth].node;
		if (store_owns(store, &node->block)) {
			node->block.version = store->now;
			continue;
		}
		replace(store, path, depth, store_node_copy(store, node, node->block.size));
		store_drop(store, &node->block);
		store->ahead.count = 0;
	}
}

static void resize(struct store *store, struct path *path, unsigned depth, size_t bytes)
{
	struct node *node = path->step[depth].node;
	replace(store, path, depth, store_node_copy(store, node, bytes));
	store_drop(store, &node->block);
}

static struct blob *blob_new(struct store *store, struct store_slice key, struct store_slice value)
{
	struct blob *blob = store_block_new(store, BLOCK_BLOB, sizeof *blob + key.size + value.size);
	blob->key_size = (uint32_t)key.size;
	blob->value_size = (uint32_t)value.size;
	if (key.size > 0)
		memcpy(blob->bytes, key.bytes, key.size);
	if (value.size > 0)
		memcpy(blob->bytes + key.size, value.bytes, value.size);
	return blob;
}

/* How many records stay on the left when the node splits for a record at `at`. */
static unsigned split_point(const struct node *node, unsigned at)
{
	unsigned last = node->block.kind == BLOCK_LEAF ? node->count : node->count - 1u;
	if (at == node->count)
		return last;
	size_t half = 0;
	unsigned cut = 0;
	while (cut < last - 1 && half < node->used / 2) {
		struct store_slice payload = payload_at(node, cut++);
		half += (size_t)(payload.bytes - record_at(node, cut - 1)) + payload.size;
	}
	return cut > 0 ? cut : 1;
}

static void add(struct store *store, struct path *path, unsigned depth, const struct record *record);

/* Hangs `right` into the tree, behind its left neighbour at `depth`; `up` parts the two. */
static void add_neighbour(struct store *store, struct path *path, unsigned depth, struct record *up, struct node *right)
{
	up->child = right;
	if (depth > 0) {
		add(store, path, depth - 1, up);
		return;
	}
	store->tree = store_node_root(store, store->tree, up);
	store->height++;
}

static void split_leaf(struct store *store, struct path *path, unsigned depth, const struct record *record)
{
	struct node *node = path->step[depth].node, *left = node;
	unsigned at = path->step[depth].at, cut = split_point(node, at);
	size_t extra = record_room(node, record);
	struct node *right = store_node_slice(store, node, cut, node->count, at < cut ? 0 : extra);
	if (cut < node->count) {
		left = store_node_slice(store, node, 0, cut, at < cut ? extra : 0);
		replace(store, path, depth, left);
		store_drop(store, &node->block);
	}
	store_node_insert(at < cut ? left : right, at < cut ? at : at - cut, record);

	/* The shortest key that is above all on the left and not above any on the right. */
	struct record up = {.key = key_at(right, 0)};
	up.key.size = store_shared(up.key, key_at(left, left->count - 1u)) + 1;
	if (up.key.size > INLINE_BYTES_MAX)
		up.blob = blob_new(store, up.key, (struct store_slice){NULL, 0});
	add_neighbour(store, path, depth, &up, right);
}

/* The key at the split point moves up. */
static void split_inner(struct store *store, struct path *path, unsigned depth, const struct record *record)
{
	struct node *node = path->step[depth].node;
	unsigned at = path->step[depth].at, cut = split_point(node, at);
	size_t extra = record_room(node, record);
	struct node *left = store_node_slice(store, node, 0, cut, at <= cut ? extra : 0);
	struct node *right = store_node_slice(store, node, cut + 1, node->count, at <= cut ? 0 : extra);
	store_node_insert(at <= cut ? left : right, at <= cut ? at : at - cut - 1, record);
	replace(store, path, depth, left);
	struct record up = {.key = key_at(node, cut), .blob = blob_at(node, cut)};
	add_neighbour(store, path, depth, &up, right);
	store_drop(store, &node->block);
}

/* Adds a record where the path points. The path may be used no more when the node had to split. */
static void add(struct store *store, struct path *path, unsigned depth, const struct record *record)
{
	struct node *node = path->step[depth].node;
	size_t bytes = node_bytes(node) + record_room(node, record);
	if (bytes > node->block.size) {
		if (bytes > node_bytes_max(node)) {
			if (node->block.kind == BLOCK_LEAF)
				split_leaf(store, path, depth, record);
			else
				split_inner(store, path, depth, record);
			return;
		}
		resize(store, path, depth, bytes);
	}
	store_node_insert(path->step[depth].node, path->step[depth].at, record);
}

/* Joins the children `at` and `at + 1` of the parent at `depth` when they fit into one, or when they must. */
static bool join(struct store *store, struct path *path, unsigned depth, unsigned at, bool must)
{
	struct node *parent = path->step[depth].node;
	struct node *left = child_at(parent, at), *right = child_at(parent, at + 1);
	bool leaves = left->block.kind == BLOCK_LEAF;
	struct record between = {.key = key_at(parent, at), .blob = blob_at(parent, at)};
	size_t bytes = node_bytes(left) + node_bytes(right) + (leaves ? 0 : record_room(left, &between));
	if (!must && bytes > node_bytes_max(left) / 4 * 3)
		return false;
	child_set(parent, at, store_node_join(store, left, leaves ? NULL : &between, right));
	if (leaves && between.blob != NULL)
		store_drop(store, &between.blob->block);
	store_node_remove(parent, at);
	store_drop(store, &left->block);
	store_drop(store, &right->block);
	return true;
}

/* The node at `depth` has lost bytes: joins it with a neighbour, takes it out, or gives memory back. */
static void settle(struct store *store, struct path *path, unsigned depth)
{
	struct node *node = path->step[depth].node;
	size_t bytes = node_bytes(node);
	if (depth == 0 && node->count == 0) {
		bool inner = node->block.kind == BLOCK_INNER;
		store->tree = inner ? child_at(node, 0) : NULL;
		store->height -= inner;
		store_drop(store, &node->block);
		return;
	}
	if (depth > 0 && (node->count == 0 || bytes < node_bytes_max(node) / 4)) {
		const struct node *parent = path->step[depth - 1].node;
		unsigned at = path->step[depth - 1].at;
		if ((at > 0 && join(store, path, depth - 1, at - 1, node->count == 0)) ||
		    (at < parent->count && join(store, path, depth - 1, at, node->count == 0))) {
			settle(store, path, depth - 1);
			return;
		}
	}
	if (node->block.size - bytes >= 4 * NODE_BYTES_STEP)
		resize(store, path, depth, bytes);
}

/* Takes the record at the end of the path out of its leaf. Returns how many bytes it had there. */
static size_t take(struct store *store, struct path *path)
{
	struct node *leaf = path->step[path->leaf].node;
	unsigned at = path->step[path->leaf].at;
	struct blob *blob = blob_at(leaf, at);
	size_t bytes = leaf->used;
	store_node_remove(leaf, at);
	if (blob != NULL)
		store_drop(store, &blob->block);
	return bytes - leaf->used;
}

static struct store_slice value_of(const struct path *path)
{
	return value_at(path->step[path->leaf].node, path->step[path->leaf].at);
}

/* Writes a value of unchanged size over the old one, when that may be done in place; the leaf is owned. */
static bool overwrite(struct store *store, struct node *leaf, unsigned at, const struct record *record)
{
	struct store_slice old = value_at(leaf, at), value = record->payload;
	const struct blob *blob = blob_at(leaf, at);
	if (old.size != value.size || (blob != NULL && !store_owns(store, &blob->block)))
		return false;
	store_digest_overwrite(&store->digest, record->key, old.bytes, value);
	if (value.size > 0)
		memmove((uint8_t *)old.bytes, value.bytes, value.size);
	return true;
}

bool store_put(struct store *store, const void *key_bytes, size_t key_size, const void *value_bytes, size_t value_size)
{
	CHECK_OP(key_size, <=, (size_t)UINT32_MAX / 4);
	CHECK_OP(value_size, <=, (size_t)UINT32_MAX / 4);
	struct record record = {.key = {key_bytes, key_size}, .payload = {value_bytes, value_size}};
	unsigned at;
	struct node *leaf = store_ahead_take(store, record.key, &at);
	if (leaf != NULL && leaf->block.version == store->now && overwrite(store, leaf, at, &record))
		return false;
	if (store->tree == NULL) {
		struct node empty = {.block = {.kind = BLOCK_LEAF, .size = sizeof empty}};
		store->tree = store_node_copy(store, &empty, sizeof empty);
	}
	struct path path;
	bool found = store_descend(store->tree, record.key, &path);
	own_path(store, &path);
	if (found && overwrite(store, path.step[path.leaf].node, path.step[path.leaf].at, &record))
		return false;
	store->ahead.count = 0;
	if (found)
		store_digest_subtract(&store->digest, record.key, value_of(&path));
	store_digest_add(&store->digest, record.key, record.payload);
	size_t old_bytes = found ? take(store, &path) : 0;
	if (key_size + value_size > INLINE_BYTES_MAX) {
		record.blob = blob_new(store, record.key, record.payload);
		record.payload.size = 0;
	}
	size_t bytes = record_bytes(&record);
	add(store, &path, path.leaf, &record);
	if (bytes < old_bytes)
		settle(store, &path, path.leaf);
	store->count += !found;
	return !found;
}

bool store_delete(struct store *store, const void *key_bytes, size_t key_size)
{
	struct path path;
	struct store_slice key = {key_bytes, key_size};
	if (store->tree == NULL || !store_descend(store->tree, key, &path))
		return false;
	own_path(store, &path);
	store->ahead.count = 0;
	store_digest_subtract(&store->digest, key, value_of(&path));
	take(store, &path);
	settle(store, &path, path.leaf);
	store->count--;
	return true;
}
