#include "base/entry.h"

#include "base/crc32c.h"

void entry_encode(uint8_t *at, const struct entry *entry)
{
	size_t padded = entry_bytes(entry->length);
	struct writer w = writer_over(at, padded);
	write_u32(&w, 0);
	write_u32(&w, entry->length);
	write_u64(&w, entry->index);
	write_u64(&w, entry->term);
	write_u64(&w, entry->stamp);
	write_u32(&w, entry->group);
	write_u16(&w, entry->kind);
	write_u16(&w, entry->format);
	write_u64(&w, entry->request_node);
	write_u64(&w, entry->request_boot);
	write_u64(&w, entry->request_number);
	write_bytes(&w, entry->payload, entry->length);
	size_t used = writer_used(&w);
	memset(at + used, 0, padded - used);
	put_le32(at, crc32c(0, at + 4, used - 4));
}

size_t entry_decode(const uint8_t *bytes, size_t size, struct entry *entry)
{
	struct reader r = reader_over(bytes, size);
	uint32_t crc = read_u32(&r);
	entry->length = read_u32(&r);
	entry->index = read_u64(&r);
	entry->term = read_u64(&r);
	entry->stamp = read_u64(&r);
	entry->group = read_u32(&r);
	entry->kind = read_u16(&r);
	entry->format = read_u16(&r);
	entry->request_node = read_u64(&r);
	entry->request_boot = read_u64(&r);
	entry->request_number = read_u64(&r);
	if (r.failed || entry->length > ENTRY_PAYLOAD_BYTES_MAX || size < entry_bytes(entry->length))
		return 0;
	entry->payload = r.at;
	if (crc32c(0, bytes + 4, ENTRY_HEADER_BYTES - 4 + entry->length) != crc)
		return 0;
	return entry_bytes(entry->length);
}
