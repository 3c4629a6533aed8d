/*
 * Little-endian byte cursors over memory that somebody else owns.
 *
 * A reader that runs past its end yields zeros and remembers it: check `failed` once, after the last read.
 * A writer never grows: writing past the end is a programmer's error (CHECK).
 */
#ifndef IKADA_BASE_BYTES_H
#define IKADA_BASE_BYTES_H

#include "base/check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void put_le16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void put_le32(uint8_t *p, uint32_t v)
{
	put_le16(p, (uint16_t)v);
	put_le16(p + 2, (uint16_t)(v >> 16));
}

static inline void put_le64(uint8_t *p, uint64_t v)
{
	put_le32(p, (uint32_t)v);
	put_le32(p + 4, (uint32_t)(v >> 32));
}

static inline uint16_t get_le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t get_le32(const uint8_t *p)
{
	return get_le16(p) | (uint32_t)get_le16(p + 2) << 16;
}

static inline uint64_t get_le64(const uint8_t *p)
{
	return get_le32(p) | (uint64_t)get_le32(p + 4) << 32;
}

struct reader {
	const uint8_t *at;
	const uint8_t *end;
	bool failed;
};

static inline struct reader reader_over(const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	struct reader r = {at, size == 0 ? at : at + size, false}; /* Of nothing, NULL may be the place. */
	return r;
}

static inline size_t reader_left(const struct reader *r)
{
	return (size_t)(r->end - r->at);
}

/* The next `size` bytes, in place, or NULL (and `failed`) when there are fewer. */
static inline const uint8_t *read_bytes(struct reader *r, size_t size)
{
	if (r->failed || size > reader_left(r)) {
		r->failed = true;
		return NULL;
	}
	const uint8_t *p = r->at;
	r->at += size;
	return p;
}

static inline uint8_t read_u8(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 1);
	return p == NULL ? 0 : *p;
}

static inline uint16_t read_u16(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 2);
	return p == NULL ? 0 : get_le16(p);
}

static inline uint32_t read_u32(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 4);
	return p == NULL ? 0 : get_le32(p);
}

static inline uint64_t read_u64(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 8);
	return p == NULL ? 0 : get_le64(p);
}

struct writer {
	uint8_t *start;
	uint8_t *at;
	uint8_t *end;
};

static inline struct writer writer_over(void *bytes, size_t size)
{
	struct writer w = {bytes, bytes, (uint8_t *)bytes + size};
	return w;
}

static inline size_t writer_used(const struct writer *w)
{
	return (size_t)(w->at - w->start);
}

static inline uint8_t *write_room(struct writer *w, size_t size)
{
	CHECK_OP(size, <=, (size_t)(w->end - w->at));
	uint8_t *p = w->at;
	w->at += size;
	return p;
}

static inline void write_u8(struct writer *w, uint8_t v)
{
	*write_room(w, 1) = v;
}

static inline void write_u16(struct writer *w, uint16_t v)
{
	put_le16(write_room(w, 2), v);
}

static inline void write_u32(struct writer *w, uint32_t v)
{
	put_le32(write_room(w, 4), v);
}

static inline void write_u64(struct writer *w, uint64_t v)
{
	put_le64(write_room(w, 8), v);
}

static inline void write_bytes(struct writer *w, const void *bytes, size_t size)
{
	uint8_t *p = write_room(w, size);
	if (size > 0)
		memcpy(p, bytes, size);
}

#endif
