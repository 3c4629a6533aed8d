/*
 * Inside the store: blocks, nodes, and what the files of this room call of each other.
 *
 * Everything that is allocated is a block: a node of the tree, or a blob. A block carries the version that made it. It
 * is part of the tree from that version until the change that takes it out; a held root needs it when its own version
 * lies between the two.
 *
 * A node is one allocation that grows and shrinks in steps:
 *
 *	header | slots, in the order of their keys | children of an inner node ... free ... records, growing down | end
 *
 * A record is `uint16 value size, key, value`, where an inner node has no value. A record that would be large keeps key
 * and value in a blob, and in place of the key the blob's address. Records leave no holes. All keys of a node share
 * their first `skip` bytes; a slot holds the four bytes after those as a big-endian number. So a search on the way down
 * reads the header, some slots and a child, which lie together, and hardly ever a record.
 *
 * An inner node has one child more than keys: the first, then one for each key, holding keys >= it and < the next.
 */
#ifndef IKADA_STORE_STORE_INTERNAL_H
#define IKADA_STORE_STORE_INTERNAL_H

#include "base/list.h"
#include "store/store.h"

#include <stdint.h>
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
	uint32_t used; /* Bytes of records. */
	uint64_t tail; /* The last eight bytes that all keys share, or as many as there are, as a number. */
	struct slot slots[];
};

/* A record that is to be put into a node. */
struct record {
	struct store_slice key;
	struct blob *blob;	    /* Holds the key (and in a leaf the value), or NULL. */
	struct store_slice payload; /* In a leaf: the value that is in no blob. */
	struct node *child;	    /* In an inner node: what is >= the key. */
};

struct path {
	struct {
		struct node *node;
		unsigned at; /* The child, or in the leaf the record. */
	} step[DEPTH_MAX];
	unsigned leaf;
};

struct store_root {
	struct list link;
	uint64_t version;
	uint64_t count;
	struct store_digest digest;
	struct node *tree;
	struct block *retired; /* Taken out of the tree while this was the newest held root. */
};

/* Keys that are expected and there: where each stands, as long as no record and no block has moved since. */
struct ahead {
	struct {
		struct node *leaf;
		unsigned at;
	} place[STORE_AHEAD_MAX];
	unsigned next; /* Those before it have been asked for, or passed over. */
	unsigned count;
};

struct store {
	struct mem *mem;
	struct node *tree; /* NULL when empty. */
	unsigned height;   /* Inner nodes above each leaf. */
	struct ahead ahead;
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
void store_node_insert(struct node *node, unsigned at, const struct record *record);
void store_node_remove(struct node *node, unsigned at);
/* New nodes; what they are made from stays as it is. */
struct node *store_node_root(struct store *store, struct node *left, const struct record *record);
struct node *store_node_copy(struct store *store, const struct node *node, size_t size);
struct node *store_node_slice(struct store *store, const struct node *node, unsigned from, unsigned to, size_t extra);
struct node *store_node_join(struct store *store, const struct node *left, const struct record *between,
			     const struct node *right);
size_t store_shared(struct store_slice a, struct store_slice b); /* Bytes of the common prefix. */
int store_compare(struct store_slice a, struct store_slice b);

/* Searches (store_find.c). */
/*
 * Where `key` stands in the leaf, or would stand; of an inner node, the child that has the place of `key`. It is known
 * that the key begins with the same `known` bytes as all keys of the node; `known` becomes that of the child.
 */
unsigned store_find(const struct node *node, struct store_slice key, size_t *known, bool *found);
/* From the top to the place of `key`; returns whether it is there. */
bool store_descend(struct node *tree, struct store_slice key, struct path *path);
/* The leaf and the place in it of a key that was expected; NULL: it was not. */
struct node *store_ahead_take(struct store *store, struct store_slice key, unsigned *at);

/* Digests (store_digest.c). */
void store_digest_add(struct store_digest *digest, struct store_slice key, struct store_slice value);
void store_digest_subtract(struct store_digest *digest, struct store_slice key, struct store_slice value);
/* The value becomes another of the same size. */
void store_digest_overwrite(struct store_digest *digest, struct store_slice key, const uint8_t *old,
			    struct store_slice value);

/* True when no held root needs the block, so that it may be changed in place. */
static inline bool store_owns(const struct store *store, const struct block *block)
{
	return block->version > store->newest;
}

static inline uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t get_be64(const uint8_t *p)
{
	return (uint64_t)get_be32(p) << 32 | get_be32(p + 4);
}

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t word;
	memcpy(&word, p, sizeof word);
	return word;
}

static inline bool same(struct store_slice a, struct store_slice b)
{
	if (a.size != b.size)
		return false;
	if (a.size < 8) {
		size_t i = 0;
		while (i < a.size && a.bytes[i] == b.bytes[i])
			i++;
		return i == a.size;
	}
	size_t last = a.size - 8;
	for (size_t i = 0; i < last; i += 8) {
		if (load64(a.bytes + i) != load64(b.bytes + i))
			return false;
	}
	return load64(a.bytes + last) == load64(b.bytes + last);
}

/* The four bytes after the first `skip`, zeros where the key has ended: orders as the keys do, or ties. */
static inline uint32_t head_of(struct store_slice key, size_t skip)
{
	if (key.size >= skip + 4)
		return get_be32(key.bytes + skip);
	if (key.size <= skip)
		return 0;
	unsigned missing = (unsigned)(skip + 4 - key.size);
	if (key.size >= 4)
		return get_be32(key.bytes + key.size - 4) << 8 * missing;
	uint32_t head = 0;
	for (size_t i = skip; i < key.size; i++)
		head = head << 8 | key.bytes[i];
	return head << 8 * missing;
}

/* The bytes of a node that are in use. */
static inline size_t node_bytes(const struct node *node)
{
	size_t children = node->block.kind == BLOCK_INNER ? node->count + 1u : 0;
	return sizeof *node + node->count * sizeof node->slots[0] + children * sizeof(struct node *) + node->used;
}

static inline size_t record_bytes(const struct record *record)
{
	return sizeof(uint16_t) + (record->blob != NULL ? sizeof record->blob : record->key.size) +
	       record->payload.size;
}

/* What a record takes in a node of this kind, with its slot and its child. */
static inline size_t record_room(const struct node *node, const struct record *record)
{
	size_t child = node->block.kind == BLOCK_INNER ? sizeof record->child : 0;
	return sizeof node->slots[0] + child + record_bytes(record);
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

static inline struct node **children_of(const struct node *inner)
{
	return (struct node **)(uintptr_t)&inner->slots[inner->count];
}

/* Children count from 0 to node->count. */
static inline struct node *child_at(const struct node *inner, unsigned at)
{
	return children_of(inner)[at];
}

static inline void child_set(struct node *inner, unsigned at, struct node *child)
{
	children_of(inner)[at] = child;
}

/* A full node of this kind splits. */
static inline size_t node_bytes_max(const struct node *node)
{
	return node->block.kind == BLOCK_LEAF ? LEAF_BYTES_MAX : INNER_BYTES_MAX;
}

/*
 * Memory that will be read comes in one go, not line after line as the search asks for it: the first lines of a node,
 * with most of its slots, in a leaf with the records that came last. Always inline: gcc drops the calls of a function
 * that only prefetches, as it has no effect.
 */
static inline __attribute__((always_inline)) void prefetch_2_lines(const uint8_t *at)
{
	__builtin_prefetch(at);
	__builtin_prefetch(at + 64);
}

static inline __attribute__((always_inline)) void node_prefetch(const struct node *node)
{
	const uint8_t *at = (const uint8_t *)node;
	prefetch_2_lines(at);
	prefetch_2_lines(at + 128);
	prefetch_2_lines(at + 256);
	prefetch_2_lines(at + 384);
}

#endif
