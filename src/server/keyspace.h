/*
 * How Redis keys stand in the store: the one place that knows.
 *
 * The first byte of a store key says what the rest is; so all that belongs together stands together, and what is to
 * come (collections, whose elements are keys of their own, sessions, what the system keeps) finds its place:
 *
 *	's' KEY		a string, its value as it is
 *
 * A store key is built in `key`; a value that is read stands in the store, until the next change.
 */
#ifndef IKADA_SERVER_KEYSPACE_H
#define IKADA_SERVER_KEYSPACE_H

#include "server/request.h"
#include "store/store.h"

enum {
	KEYSPACE_STRING = 's',
	KEY_BYTES_MAX = 64 * 1024, /* Of a Redis key. */
};

struct keyspace {
	struct store *store;
	uint8_t key[1 + KEY_BYTES_MAX];
};

/* Keys are at most KEY_BYTES_MAX long: command_check has seen to it. */
bool keyspace_get(struct keyspace *keyspace, struct slice key, struct slice *value);
bool keyspace_has(struct keyspace *keyspace, struct slice key);
void keyspace_put(struct keyspace *keyspace, struct slice key, struct slice value);
bool keyspace_delete(struct keyspace *keyspace, struct slice key); /* True: it was there. */
/* The next calls will ask for these, at most STORE_AHEAD_MAX: see store_expect. */
void keyspace_expect(struct keyspace *keyspace, const struct slice keys[], size_t count);
uint64_t keyspace_count(const struct keyspace *keyspace);
/* All keys, in their order: from the first one on; invalid after a change. */
void keyspace_seek(const struct keyspace *keyspace, struct store_cursor *cursor);
bool keyspace_next(struct store_cursor *cursor, struct slice *key);
void keyspace_clear(struct keyspace *keyspace);
/* Puts a key as it stands in the store, of a snapshot; false: it is none that this program knows. */
bool keyspace_load(struct keyspace *keyspace, struct slice key, struct slice value);

#endif
