/*
 * Inside the store: blocks, nodes, and what the files of this room call of each other.
 *
 * Everything that is allocated is a block: a node of the tree, or a blob. A block carries the version that made it. It
 * is part of the tree from that version until the change that takes it out; a held root needs it when its own version
 * lies between the two.
 *
 * A node is one allocation that grows and shrinks in steps:
 *
 *	header | slots, in the order of their keys, growing up ... free ... records, growing down | end
 *
 * A record is `uint16 payload size, key, payload`. The payload is the value in a leaf and the child in an inner node. A
 * record that would be large keeps key and value in a blob, and in place of the key the blob's address. Records leave
 * no holes. All keys of a node share their first `skip` bytes; a slot holds the four bytes after those as a big-endian
 * number, so that most searches compare one key only.
 *
 * An inner node has one child more than keys: `first`, then one for each key, holding keys >= it and < the next.
 */
#ifndef IKADA_STORE_STORE_INTERNAL_H
#define IKADA_STORE_STORE_INTERNAL_H

#include "base/list.h"
#include "store/store.h"

#include <string.h>

enum {
	LEAF_BYTES_MAX = 1024,
	INNER_BYTES_MAX = 4096,
	NODE_BYTES_STEP = 64,
	INLINE_BYTES_MAX = 256, /* Key and value of a record without a blob. */
	DEPTH_MAX = 16,
	EXTERNAL = UINT16_MAX, /* A slot's key_size, when the key is in a blob. */
};

enum block_kind { BLOCK_LEAF, BLOCK_INNER, BLOCK_BLOB };

struct block {
	uint64_t version;
	struct block *next; /* In a list of retired blocks. */
	uint32_t size;	    /* Bytes allocated, the header included. */
	uint8_t kind;
	bool whole; /* Retired with all that is below it. */
};

struct blob {
	struct block block;
	uint32_t key_size;
	uint32_t value_size;
	uint8_t bytes[]; /* The key, then the value. */
};

struct slot {
	uint32_t head;
	uint16_t at; /* The record's distance from the end of the node. */
	uint16_t key_size;
};

struct node {
	struct block block;
	uint16_t count; /* Records. */
	uint16_t skip;
	uint32_t used;	    /* Bytes of records. */
	struct node *first; /* Inner nodes only. */
	struct slot slots[];
};

/* A record that is to be put into a node. */
struct record {
	struct store_slice key;
	struct blob *blob; /* Holds the key (and in a leaf the value), or NULL. */
	struct store_slice payload;
};

struct store_root {
	struct list link;
	uint64_t version;
	uint64_t count;
	struct store_digest digest;
	struct node *tree;
	struct block *retired; /* Taken out of the tree while this was the newest held root. */
};

struct store {
	struct mem *mem;
	struct node *tree; /* NULL when empty. */
	uint64_t count;
	struct store_digest digest;
	size_t bytes;
	uint64_t now;	  /* The version that stamps new blocks. */
	uint64_t newest;  /* Version of the newest held root; 0 without one. */
	struct list held; /* Held roots, oldest first. */
	struct list dead; /* Released roots whose retired blocks have not all been judged. */
};

/* Blocks (store_hold.c). */
void *store_block_new(struct store *store, enum block_kind kind, size_t size);
void store_block_free(struct store *store, struct block *block);
/* The block has just been taken out of the tree: frees it, or retires it when a held root needs it. */
void store_drop(struct store *store, struct block *block);

/* Nodes (store_node.c). */
size_t store_node_size(size_t bytes); /* What is allocated for a node of `bytes`. */
/* Where `key` stands, or would stand. */
unsigned store_node_find(const struct node *node, struct store_slice key, bool *found);
void store_node_insert(struct node *node, unsigned at, const struct record *record);
void store_node_remove(struct node *node, unsigned at);
/* New nodes; what they are made from stays as it is. The slice leaves `first` to the caller. */
struct node *store_node_copy(struct store *store, const struct node *node, size_t size);
struct node *store_node_slice(struct store *store, const struct node *node, unsigned from, unsigned to, size_t extra);
struct node *store_node_join(struct store *store, const struct node *left, const struct record *between,
			     const struct node *right);
size_t store_shared(struct store_slice a, struct store_slice b); /* Bytes of the common prefix. */
int store_compare(struct store_slice a, struct store_slice b);

/* Digests (store_digest.c). */
void store_digest_add(struct store_digest *digest, struct store_slice key, struct store_slice value);
void store_digest_subtract(struct store_digest *digest, struct store_slice key, struct store_slice value);

/* True when no held root needs the block, so that it may be changed in place. */
static inline bool store_owns(const struct store *store, const struct block *block)
{
	return block->version > store->newest;
}

/* The bytes of a node that are in use. */
static inline size_t node_bytes(const struct node *node)
{
	return sizeof *node + node->count * sizeof node->slots[0] + node->used;
}

static inline size_t record_bytes(const struct record *record)
{
	return sizeof(uint16_t) + (record->blob != NULL ? sizeof record->blob : record->key.size) +
	       record->payload.size;
}

static inline uint8_t *record_at(const struct node *node, unsigned at)
{
	return (uint8_t *)node + node->block.size - node->slots[at].at;
}

static inline struct blob *blob_at(const struct node *node, unsigned at)
{
	struct blob *blob = NULL;
	if (node->slots[at].key_size == EXTERNAL)
		memcpy(&blob, record_at(node, at) + sizeof(uint16_t), sizeof blob);
	return blob;
}

static inline struct store_slice key_at(const struct node *node, unsigned at)
{
	uint16_t size = node->slots[at].key_size;
	if (size == EXTERNAL) {
		const struct blob *blob = blob_at(node, at);
		return (struct store_slice){blob->bytes, blob->key_size};
	}
	return (struct store_slice){record_at(node, at) + sizeof(uint16_t), size};
}

static inline struct store_slice payload_at(const struct node *node, unsigned at)
{
	const uint8_t *record = record_at(node, at);
	uint16_t key_size = node->slots[at].key_size, size;
	memcpy(&size, record, sizeof size);
	return (struct store_slice){record + sizeof size + (key_size == EXTERNAL ? sizeof(void *) : key_size), size};
}

static inline struct store_slice value_at(const struct node *leaf, unsigned at)
{
	const struct blob *blob = blob_at(leaf, at);
	if (blob != NULL)
		return (struct store_slice){blob->bytes + blob->key_size, blob->value_size};
	return payload_at(leaf, at);
}

/* Children count from 0 (`first`) to node->count. */
static inline struct node *child_at(const struct node *inner, unsigned at)
{
	if (at == 0)
		return inner->first;
	struct node *child;
	memcpy(&child, payload_at(inner, at - 1).bytes, sizeof child);
	return child;
}

static inline void child_set(struct node *inner, unsigned at, struct node *child)
{
	if (at == 0)
		inner->first = child;
	else
		memcpy((uint8_t *)payload_at(inner, at - 1).bytes, &child, sizeof child);
}

/* A full node of this kind splits. */
static inline size_t node_bytes_max(const struct node *node)
{
	return node->block.kind == BLOCK_LEAF ? LEAF_BYTES_MAX : INNER_BYTES_MAX;
}

/* Most of a leaf comes from memory in one go, not line after line as the search asks for it. */
static inline void node_prefetch(const struct node *node)
{
	for (size_t line = 0; line < 8; line++)
		__builtin_prefetch((const uint8_t *)node + line * 64);
}

#endif
