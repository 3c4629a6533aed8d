/*
 * Every invariant, the slow way: the shape of each node, the order of the keys, the version stamps, and that each byte
 * the store accounts for is in the present tree or in one list of retired blocks, once.
 */
#include "store/store_internal.h"

#include "base/check.h"

struct sum {
	uint64_t keys;
	struct store_digest digest;
	size_t bytes;
	uint64_t newest_version; /* No stamp may be above this. */
	int leaf_depth;		 /* Of the first leaf; -1 before. */
};

/* Keys of a subtree are >= low and < high; without bytes there is no bound. */
struct bounds {
	struct store_slice low;
	struct store_slice high;
};

static void verify_node(const struct node *node, uint64_t above)
{
	CHECK_OP(node->block.version, <=, above);
	CHECK_OP(node_bytes(node), <=, node->block.size);
	CHECK_OP(node->block.size % NODE_BYTES_STEP, ==, 0u);
	CHECK_OP(node->block.size, <=, node_bytes_max(node) + 2 * INLINE_BYTES_MAX);
	CHECK_OP(node->count, >, 0u);
	size_t used = 0;
	uint8_t taken[INNER_BYTES_MAX + 2 * INLINE_BYTES_MAX] = {0};
	for (unsigned i = 0; i < node->count; i++) {
		struct store_slice key = key_at(node, i), payload = payload_at(node, i);
		size_t bytes = (size_t)(payload.bytes - record_at(node, i)) + payload.size;
		CHECK_OP(node->slots[i].at, <=, node->used);
		CHECK_OP(bytes, <=, node->slots[i].at);
		for (size_t b = 0; b < bytes; b++)
			CHECK(!taken[node->slots[i].at - b]++);
		used += bytes;
		CHECK_OP(key.size, >=, node->skip);
		CHECK(memcmp(key.bytes, key_at(node, 0).bytes, node->skip) == 0);
		for (unsigned b = 0; b < 4; b++) {
			uint8_t byte = node->skip + b < key.size ? key.bytes[node->skip + b] : 0;
			CHECK_OP((uint8_t)(node->slots[i].head >> (24 - 8 * b)), ==, byte);
		}
		CHECK(i == 0 || store_compare(key_at(node, i - 1), key) < 0);
		const struct blob *blob = blob_at(node, i);
		CHECK(blob == NULL || blob->block.version <= node->block.version);
		size_t kept = key.size + (node->block.kind == BLOCK_LEAF ? value_at(node, i).size : 0);
		CHECK((kept > INLINE_BYTES_MAX) == (blob != NULL));
	}
	CHECK_OP(used, ==, node->used);
	uint64_t tail = 0;
	for (size_t b = node->skip > 8 ? node->skip - 8u : 0; b < node->skip; b++)
		tail = tail << 8 | key_at(node, 0).bytes[b];
	CHECK_OP(tail, ==, node->tail);
}

static void verify_tree(const struct node *node, uint64_t above, struct bounds bounds, int depth, struct sum *sum)
{
	verify_node(node, above);
	struct store_slice first = key_at(node, 0), last = key_at(node, node->count - 1u);
	CHECK(bounds.low.bytes == NULL || store_compare(first, bounds.low) >= 0);
	CHECK(bounds.high.bytes == NULL || store_compare(last, bounds.high) < 0);
	sum->bytes += node->block.size;
	for (unsigned i = 0; i < node->count; i++)
		sum->bytes += blob_at(node, i) != NULL ? blob_at(node, i)->block.size : 0;
	if (node->block.kind == BLOCK_LEAF) {
		CHECK(sum->leaf_depth == -1 || sum->leaf_depth == depth);
		sum->leaf_depth = depth;
		sum->keys += node->count;
		for (unsigned i = 0; i < node->count; i++)
			store_digest_add(&sum->digest, key_at(node, i), value_at(node, i));
		return;
	}
	CHECK(node->block.kind == BLOCK_INNER);
	for (unsigned i = 0; i <= node->count; i++) {
		struct bounds within = bounds;
		if (i > 0)
			within.low = key_at(node, i - 1);
		if (i < node->count)
			within.high = key_at(node, i);
		verify_tree(child_at(node, i), node->block.version, within, depth + 1, sum);
	}
}

/* What is remembered of expected keys stands in the tree where it would be found. */
static void verify_ahead(const struct store *store)
{
	for (unsigned i = store->ahead.next; i < store->ahead.count; i++) {
		const struct node *leaf = store->ahead.place[i].leaf;
		unsigned at = store->ahead.place[i].at;
		struct path path;
		CHECK(store_descend(store->tree, key_at(leaf, at), &path));
		CHECK(path.step[path.leaf].node == leaf);
		CHECK_OP(path.step[path.leaf].at, ==, at);
	}
}

static struct sum verify_whole(const struct node *tree, uint64_t version)
{
	struct sum sum = {.leaf_depth = -1};
	if (tree != NULL)
		verify_tree(tree, version, (struct bounds){{NULL, 0}, {NULL, 0}}, 0, &sum);
	return sum;
}

/* The bytes of a root and of what is retired to it. */
static size_t verify_retired(const struct store_root *root)
{
	size_t bytes = sizeof *root;
	for (const struct block *block = root->retired; block != NULL; block = block->next) {
		CHECK_OP(block->version, <=, root->version);
		if (block->whole && block->kind != BLOCK_BLOB)
			bytes += verify_whole((const struct node *)block, block->version).bytes;
		else
			bytes += block->size;
	}
	return bytes;
}

static void verify_digest(struct store_digest found, struct store_digest kept)
{
	CHECK_OP(found.low, ==, kept.low);
	CHECK_OP(found.high, ==, kept.high);
}

void store_verify(const struct store *store)
{
	struct sum sum = verify_whole(store->tree, store->now);
	CHECK_OP(store->tree == NULL ? 0 : sum.leaf_depth, ==, (int)store->height);
	verify_ahead(store);
	CHECK_OP(sum.keys, ==, store->count);
	verify_digest(sum.digest, store->digest);
	size_t bytes = sizeof *store + sum.bytes;
	uint64_t version = 0;
	for (const struct list *link = store->held.next; link != &store->held; link = link->next) {
		const struct store_root *root = LIST_OF(link, struct store_root, link);
		CHECK_OP(root->version, >, version);
		CHECK_OP(root->version, <, store->now);
		version = root->version;
		struct sum held = verify_whole(root->tree, version);
		CHECK_OP(held.keys, ==, root->count);
		verify_digest(held.digest, root->digest);
		bytes += verify_retired(root);
	}
	CHECK_OP(version, ==, store->newest);
	for (const struct list *link = store->dead.next; link != &store->dead; link = link->next)
		bytes += verify_retired(LIST_OF(link, struct store_root, link));
	CHECK_OP(bytes, ==, store->bytes);
}
