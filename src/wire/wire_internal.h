/* How a frame is put together, for the files of this room. */
#ifndef IKADA_WIRE_WIRE_INTERNAL_H
#define IKADA_WIRE_WIRE_INTERNAL_H

#include "wire/wire.h"

/* Terms, indices, rounds and times stay far below; above, the arithmetic of an honest receiver would overflow. */
#define WIRE_FIELD_MAX (UINT64_MAX / 4)

/* Starts a frame; returns where it stands, relative to the buffer's unconsumed bytes. */
size_t wire_begin(struct buf *out, enum wire_type type, uint64_t cluster_id);
void wire_end(struct buf *out, size_t at);
void wire_add_u64(struct buf *out, uint64_t v);
/* Printable text without spaces, of at most WIRE_ADDRESS_BYTES: its size (2), then the text. */
void wire_add_text(struct buf *out, const char *text);
bool wire_read_text(struct reader *r, char text[WIRE_ADDRESS_BYTES + 1]);
/* What wire_put_config writes of a configuration without members. */
bool wire_is_no_config(const uint8_t *bytes, size_t size);

#endif
