/* Redis keys in the store: see keyspace.h. While strings are all there is, every store key is one Redis key. */
#include "server/keyspace.h"

/* Longer keys are not sought ahead. */
enum { EXPECTED_KEY_BYTES = 63 };

/* Builds the store key; returns its size. */
static size_t string_key(struct keyspace *k, struct slice key)
{
	CHECK_OP(key.size, <=, KEY_BYTES_MAX);
	k->key[0] = KEYSPACE_STRING;
	if (key.size > 0)
		memcpy(k->key + 1, key.bytes, key.size);
	return 1 + key.size;
}

bool keyspace_get(struct keyspace *k, struct slice key, struct slice *value)
{
	struct store_slice found;
	if (!store_get(k->store, k->key, string_key(k, key), &found))
		return false;
	*value = (struct slice){found.bytes, found.size};
	return true;
}

bool keyspace_has(struct keyspace *k, struct slice key)
{
	struct slice value;
	return keyspace_get(k, key, &value);
}

void keyspace_put(struct keyspace *k, struct slice key, struct slice value)
{
	store_put(k->store, k->key, string_key(k, key), value.bytes, value.size);
}

bool keyspace_delete(struct keyspace *k, struct slice key)
{
	return store_delete(k->store, k->key, string_key(k, key));
}

void keyspace_expect(struct keyspace *k, const struct slice keys[], size_t count)
{
	uint8_t made[STORE_AHEAD_MAX][1 + EXPECTED_KEY_BYTES];
	struct store_slice expected[STORE_AHEAD_MAX];
	size_t n = 0;
	for (size_t i = 0; i < count; i++) {
		if (keys[i].size > EXPECTED_KEY_BYTES)
			continue;
		made[n][0] = KEYSPACE_STRING;
		if (keys[i].size > 0)
			memcpy(made[n] + 1, keys[i].bytes, keys[i].size);
		expected[n] = (struct store_slice){made[n], 1 + keys[i].size};
		n++;
	}
	store_expect(k->store, expected, n);
}

uint64_t keyspace_count(const struct keyspace *k)
{
	return store_count(k->store);
}

void keyspace_seek(const struct keyspace *k, struct store_cursor *cursor)
{
	static const uint8_t first = KEYSPACE_STRING;
	store_seek(cursor, k->store, NULL, &first, sizeof first);
}

bool keyspace_next(struct store_cursor *cursor, struct slice *key)
{
	struct store_slice found, value;
	if (!store_next(cursor, &found, &value) || found.bytes[0] != KEYSPACE_STRING)
		return false;
	*key = (struct slice){found.bytes + 1, found.size - 1};
	return true;
}

void keyspace_clear(struct keyspace *k)
{
	store_clear(k->store);
}

bool keyspace_load(struct keyspace *k, struct slice key, struct slice value)
{
	if (key.size == 0 || key.size > sizeof k->key || key.bytes[0] != KEYSPACE_STRING)
		return false;
	store_put(k->store, key.bytes, key.size, value.bytes, value.size);
	return true;
}
