/* A growing byte buffer in a node's memory. Bytes are added at the end and consumed at the start. */
#ifndef IKADA_BASE_BUF_H
#define IKADA_BASE_BUF_H

#include "base/mem.h"

#include <stdint.h>

struct buf {
	struct mem *mem;
	uint8_t *bytes;
	size_t start; /* First byte not yet consumed. */
	size_t end;   /* One past the last byte. */
	size_t room;  /* Bytes allocated. */
	size_t keep;  /* Emptied, it gives back more room than this: one large value must not stay for ever. */
};

void buf_init(struct buf *buf, struct mem *mem);
void buf_keep(struct buf *buf, size_t keep);	 /* For one that is often large. */
void buf_free(struct buf *buf);			 /* Back to empty, with nothing allocated; may be used again. */
uint8_t *buf_reserve(struct buf *buf, size_t n); /* Where the next n bytes may be written; then say buf_added. */
void buf_added(struct buf *buf, size_t n);
void buf_add(struct buf *buf, const void *bytes, size_t n);
void buf_consume(struct buf *buf, size_t n);
void buf_cut(struct buf *buf, size_t size); /* Keeps the first `size` unconsumed bytes. */
/* Adds formatted text, without a terminating zero. */
__attribute__((format(printf, 2, 3))) void buf_printf(struct buf *buf, const char *format, ...);

static inline size_t buf_size(const struct buf *buf)
{
	return buf->end - buf->start;
}

static inline uint8_t *buf_at(const struct buf *buf)
{
	return buf->start == 0 ? buf->bytes : buf->bytes + buf->start; /* Nothing is added to NULL. */
}

#endif
