/*
 * The digest of a store: two sums, modulo 2^64 each, of a hash over each key with its value. A sum forgets the order
 * in which the keys came, and a change costs two hashes, whatever else the store holds.
 *
 * The hash multiplies 64 by 64 bits and folds the product's halves. It is there to notice faults, not forgers.
 */
#include "store/store_internal.h"

#include "base/bytes.h"

#define K0 0x9e3779b97f4a7c15u
#define K1 0xd6e8feb86659fd93u
#define K2 0xa0761d6478bd642fu
#define K3 0xe7037ed1a0b428dbu

static inline uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Each half takes up both words, and something of the other half. */
static inline void mix(struct store_digest *hash, uint64_t x, uint64_t y)
{
	uint64_t low = fold(hash->low ^ x ^ K0, y ^ K1) + hash->high;
	uint64_t high = fold(hash->high ^ y ^ K2, x ^ K3) ^ hash->low;
	hash->low = low;
	hash->high = high;
}

/* The last bytes of a slice, fewer than a block of 16, with zeros behind them. */
static inline void mix_rest(struct store_digest *hash, const uint8_t *bytes, size_t size)
{
	uint8_t rest[16] = {0};
	size_t left = size % sizeof rest;
	if (left == 0)
		return;
	memcpy(rest, bytes + (size - left), left);
	mix(hash, get_le64(rest), get_le64(rest + 8));
}

static inline void mix_bytes(struct store_digest *hash, struct store_slice slice)
{
	for (size_t i = 0; i + 16 <= slice.size; i += 16)
		mix(hash, get_le64(slice.bytes + i), get_le64(slice.bytes + i + 8));
	mix_rest(hash, slice.bytes, slice.size);
}

static inline struct store_digest hash_begin(struct store_slice key, size_t value_size)
{
	struct store_digest hash = {K0 ^ key.size, K2 ^ value_size};
	mix_bytes(&hash, key);
	return hash;
}

static inline void hash_end(struct store_digest *hash, size_t key_size, size_t value_size)
{
	mix(hash, key_size, value_size);
	mix(hash, K1, K3);
}

static struct store_digest hash_of(struct store_slice key, struct store_slice value)
{
	struct store_digest hash = hash_begin(key, value.size);
	mix_bytes(&hash, value);
	hash_end(&hash, key.size, value.size);
	return hash;
}

void store_digest_add(struct store_digest *digest, struct store_slice key, struct store_slice value)
{
	struct store_digest hash = hash_of(key, value);
	digest->low += hash.low;
	digest->high += hash.high;
}

void store_digest_subtract(struct store_digest *digest, struct store_slice key, struct store_slice value)
{
	struct store_digest hash = hash_of(key, value);
	digest->low -= hash.low;
	digest->high -= hash.high;
}

void store_digest_overwrite(struct store_digest *digest, struct store_slice key, const uint8_t *old,
			    struct store_slice value)
{
	struct store_digest before = hash_begin(key, value.size), after = before;
	for (size_t i = 0; i + 16 <= value.size; i += 16) {
		mix(&before, get_le64(old + i), get_le64(old + i + 8));
		mix(&after, get_le64(value.bytes + i), get_le64(value.bytes + i + 8));
	}
	mix_rest(&before, old, value.size);
	mix_rest(&after, value.bytes, value.size);
	hash_end(&before, key.size, value.size);
	hash_end(&after, key.size, value.size);
	digest->low += after.low - before.low;
	digest->high += after.high - before.high;
}

struct store_digest store_digest(const struct store *store)
{
	return store->digest;
}

struct store_digest store_root_digest(const struct store_root *root)
{
	return root->digest;
}
