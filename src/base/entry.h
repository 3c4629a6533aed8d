/*
 * An entry, encoded once by the leader that accepted it, carried unchanged on the wire and to disk.
 *
 *	offset	size	field
 *	0	4	CRC-32C of bytes 4 .. 64 + length
 *	4	4	length of the payload
 *	8	8	index
 *	16	8	term
 *	24	8	stamp: leader's wall clock, ns since 1970, never decreasing along the log
 *	32	4	group
 *	36	2	kind (enum entry_kind)
 *	38	2	format of the payload; 0 today
 *	40	8	request: id of the node that took it from a client
 *	48	8	request: boot of that node
 *	56	8	request: number within that boot
 *	64	length	payload, then zeros up to a multiple of 8
 *
 * All little-endian. An unknown kind stops a node before it applies the entry.
 */
#ifndef IKADA_BASE_ENTRY_H
#define IKADA_BASE_ENTRY_H

#include "base/bytes.h"

#include <stdbool.h>

enum { ENTRY_HEADER_BYTES = 64 };
#define ENTRY_PAYLOAD_BYTES_MAX ((size_t)16 * 1024 * 1024)

enum entry_kind {
	ENTRY_NOOP = 1,
	ENTRY_COMMAND = 2,
	ENTRY_CONFIG = 3, /* A configuration with the addresses of its members, as wire_put_members writes it. */
};

struct entry {
	uint64_t index;
	uint64_t term;
	uint64_t stamp;
	uint32_t group;
	uint16_t kind;
	uint16_t format;
	uint64_t request_node;
	uint64_t request_boot;
	uint64_t request_number;
	uint32_t length;
	const uint8_t *payload;
};

/* Bytes of an encoded entry with a payload of `length`. */
static inline size_t entry_bytes(size_t length)
{
	return ENTRY_HEADER_BYTES + ((length + 7) & ~(size_t)7);
}

/* Encodes into entry_bytes(entry->length) bytes at `at`. */
void entry_encode(uint8_t *at, const struct entry *entry);

/*
 * Decodes the entry at the start of `bytes`, in place; returns its encoded size, or 0 when it is cut short, too long,
 * or fails its checksum. The kind is not judged here.
 */
size_t entry_decode(const uint8_t *bytes, size_t size, struct entry *entry);

#endif
