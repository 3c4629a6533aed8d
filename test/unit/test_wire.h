/* What the tests of frames share: a buffer, and what is asked of every frame that stands in it. */
#ifndef IKADA_TEST_WIRE_H
#define IKADA_TEST_WIRE_H

#include "base/entry.h"
#include "base/rng.h"
#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#define CLUSTER 0x1122334455667788u

static struct mem mem;
static struct buf out;

static inline int setup(void **state)
{
	(void)state;
	mem_init(&mem, true);
	buf_init(&out, &mem);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	buf_free(&out);
	assert_int_equal(mem.bytes, 0);
	return 0;
}

/* A copy of exactly the size, so that a read past the end is seen. */
static inline uint8_t *exact(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size == 0 ? 1 : size);
	if (size > 0)
		memcpy(copy, bytes, size);
	return copy;
}

/* The decoder of the frame's type says that it is good. */
static inline bool decodes(const struct wire_frame *frame)
{
	struct wire_hello hello;
	struct wire_raft raft;
	struct wire_forward forward;
	struct wire_forward_reply reply;
	struct wire_chunk chunk;
	struct wire_ack ack;
	uint64_t index;
	struct wire_digest digests[WIRE_DIGESTS_MAX];
	size_t count;
	switch (frame->type) {
	case WIRE_HELLO:
	case WIRE_WELCOME:
		return wire_get_hello(frame, &hello);
	case WIRE_RAFT:
		return wire_get_raft(frame, &raft);
	case WIRE_FORWARD:
		return wire_get_forward(frame, &forward);
	case WIRE_FORWARD_REPLY:
		return wire_get_forward_reply(frame, &reply);
	case WIRE_SNAPSHOT_CHUNK:
		return wire_get_chunk(frame, &chunk);
	case WIRE_SNAPSHOT_ACK:
		return wire_get_ack(frame, &ack);
	case WIRE_SNAPSHOT_ASK:
		return wire_get_ask(frame, &index);
	case WIRE_DIGESTS:
		return wire_get_digests(frame, digests, &count);
	case WIRE_REFUSE:
	case WIRE_PING:
		return true;
	default:
		return false;
	}
}

/* The one frame in `out`. */
static inline struct wire_frame only_frame(void)
{
	struct wire_frame frame;
	size_t used;
	assert_int_equal(wire_next(buf_at(&out), buf_size(&out), WIRE_BODY_BYTES_MAX, &frame, &used), WIRE_FRAME);
	assert_int_equal(used, buf_size(&out));
	assert_int_equal(frame.group, 0);
	return frame;
}

static inline void check_truncations(void)
{
	size_t size = buf_size(&out);
	for (size_t n = 0; n < size; n++) {
		uint8_t *part = exact(buf_at(&out), n);
		struct wire_frame frame;
		size_t used;
		assert_int_equal(wire_next(part, n, WIRE_BODY_BYTES_MAX, &frame, &used), WIRE_MORE);
		free(part);
	}
}

/* A frame with one byte changed is hostile, incomplete, or refused by its decoder. */
static inline void check_flips(void)
{
	size_t size = buf_size(&out);
	for (size_t i = 0; i < size; i++) {
		for (int bit = 0; bit < 8; bit++) {
			uint8_t *changed = exact(buf_at(&out), size);
			changed[i] ^= (uint8_t)(1 << bit);
			struct wire_frame frame;
			size_t used;
			enum wire_next next = wire_next(changed, size, WIRE_BODY_BYTES_MAX, &frame, &used);
			if (next == WIRE_FRAME && decodes(&frame))
				fail_msg("byte %zu of %zu, bit %d: the change was not seen", i, size, bit);
			free(changed);
		}
	}
}

/* A body that ends early under a correct checksum: the decoder must see it, for a hostile sender can make one. */
static inline void check_short_bodies(bool short_is_bad)
{
	struct wire_frame frame = only_frame();
	for (size_t n = 0; n < frame.body_size; n++) {
		uint8_t *part = exact(frame.body, n);
		struct wire_frame cut = frame;
		cut.body = part;
		cut.body_size = n;
		bool good = decodes(&cut);
		assert_true(!short_is_bad || !good);
		free(part);
	}
}

static inline void drop_frame(void)
{
	buf_consume(&out, buf_size(&out));
}

static inline struct ikada_config three(void)
{
	return (struct ikada_config){
		.max_id = 7,
		.count = 3,
		.members = {{1, 11, IKADA_VOTER}, {2, 22, IKADA_VOTER}, {7, UINT64_MAX, IKADA_VOTER}}};
}

#endif
