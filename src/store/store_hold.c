/*
 * Versions, held roots, and when a block may be freed.
 *
 * Each hold ends a version: what the tree is then made of has a stamp up to the hold's, what changes later has a higher
 * one. A block that leaves the tree is freed at once when its stamp is above that of every held root. Otherwise it
 * is retired to the newest held root, the last one that has it. When that root is released, its retired blocks are
 * judged, a few at a time, against the newest held root that is older: what that one has too passes on to it, the rest
 * is freed. A root released and not yet judged holds nothing back from being changed in place.
 *
 * A whole tree is retired by its top node alone; as no stamp below a node is above the node's own, all of it is needed
 * as long as the top is. Its children follow when the top is freed.
 */
#include "store/store_internal.h"

#include "base/check.h"

struct store *store_create(struct mem *mem)
{
	struct store *store = mem_zero(mem, sizeof *store);
	store->mem = mem;
	store->bytes = sizeof *store;
	store->now = 1;
	list_init(&store->held);
	list_init(&store->dead);
	return store;
}

void store_destroy(struct store *store)
{
	CHECK(list_empty(&store->held));
	store_clear(store);
	store_idle(store, SIZE_MAX);
	CHECK_OP(store->bytes, ==, sizeof *store);
	mem_free(store->mem, store);
}

uint64_t store_count(const struct store *store)
{
	return store->count;
}

size_t store_bytes(const struct store *store)
{
	return store->bytes;
}

uint64_t store_root_count(const struct store_root *root)
{
	return root->count;
}

void *store_block_new(struct store *store, enum block_kind kind, size_t size)
{
	struct block *block = mem_alloc(store->mem, size);
	block->version = store->now;
	block->next = NULL;
	block->size = (uint32_t)size;
	block->kind = (uint8_t)kind;
	block->whole = false;
	store->bytes += size;
	return block;
}

void store_block_free(struct store *store, struct block *block)
{
	store->bytes -= block->size;
	mem_free(store->mem, block);
}

static void retire(struct store_root *root, struct block *block)
{
	block->next = root->retired;
	root->retired = block;
}

void store_drop(struct store *store, struct block *block)
{
	if (store_owns(store, block))
		store_block_free(store, block);
	else
		retire(LIST_OF(store->held.prev, struct store_root, link), block);
}

struct store_root *store_hold(struct store *store)
{
	struct store_root *root = mem_alloc(store->mem, sizeof *root);
	store->bytes += sizeof *root;
	root->version = store->now++;
	root->count = store->count;
	root->digest = store->digest;
	root->tree = store->tree;
	root->retired = NULL;
	list_init(&root->link);
	list_push(&store->held, &root->link);
	store->newest = root->version;
	return root;
}

static void root_free(struct store *store, struct store_root *root)
{
	list_remove(&root->link);
	store->bytes -= sizeof *root;
	mem_free(store->mem, root);
}

void store_release(struct store *store, struct store_root *root)
{
	list_remove(&root->link);
	store->newest = list_empty(&store->held) ? 0 : LIST_OF(store->held.prev, struct store_root, link)->version;
	if (root->retired == NULL)
		root_free(store, root);
	else
		list_push(&store->dead, &root->link);
}

void store_clear(struct store *store)
{
	if (store->tree == NULL)
		return;
	struct store_root *root = store_hold(store);
	store->tree->block.whole = true;
	retire(root, &store->tree->block);
	store->tree = NULL;
	store->height = 0;
	store->ahead.count = 0;
	store->count = 0;
	store->digest = (struct store_digest){0, 0};
	store_release(store, root);
}

static void retire_whole(struct store_root *root, struct block *block)
{
	block->whole = true;
	retire(root, block);
}

static void retire_below(struct store_root *root, const struct node *node)
{
	for (unsigned i = 0; i < node->count; i++) {
		struct blob *blob = blob_at(node, i);
		if (blob != NULL)
			retire_whole(root, &blob->block);
	}
	for (unsigned i = 0; node->block.kind == BLOCK_INNER && i <= node->count; i++)
		retire_whole(root, &child_at(node, i)->block);
}

static struct store_root *newest_before(const struct store *store, uint64_t version)
{
	struct list *link = store->held.prev;
	while (link != &store->held && LIST_OF(link, struct store_root, link)->version > version)
		link = link->prev;
	return link == &store->held ? NULL : LIST_OF(link, struct store_root, link);
}

bool store_idle(struct store *store, size_t nodes)
{
	while (!list_empty(&store->dead)) {
		struct store_root *root = LIST_OF(store->dead.next, struct store_root, link);
		struct store_root *older = newest_before(store, root->version);
		while (root->retired != NULL) {
			if (nodes-- == 0)
				return true;
			struct block *block = root->retired;
			root->retired = block->next;
			if (older != NULL && block->version <= older->version) {
				retire(older, block);
				continue;
			}
			if (block->whole && block->kind != BLOCK_BLOB)
				retire_below(root, (const struct node *)block);
			store_block_free(store, block);
		}
		root_free(store, root);
	}
	return false;
}
