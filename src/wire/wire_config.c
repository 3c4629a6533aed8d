/* Configurations, and what is derived from them; the format stands in wire.h. */
#include "wire/wire_internal.h"

enum { CONFIG_VERSION = 2, CONFIG_HEADER_BYTES = 24, CONFIG_MEMBER_BYTES = 24 };

void wire_put_config(struct buf *out, const struct ikada_config *config)
{
	wire_add_u64(out, CONFIG_VERSION | (uint64_t)config->count << 32);
	wire_add_u64(out, config->index);
	wire_add_u64(out, config->max_id);
	for (uint32_t i = 0; i < config->count; i++) {
		wire_add_u64(out, config->members[i].id);
		wire_add_u64(out, config->members[i].incarnation);
		wire_add_u64(out, config->members[i].standing);
	}
}

static bool in_order(const struct ikada_member *before, const struct ikada_member *member)
{
	return before->id < member->id || (before->id == member->id && before->incarnation < member->incarnation);
}

static bool read_config(struct reader *r, struct ikada_config *config)
{
	memset(config, 0, sizeof *config);
	uint32_t version = read_u32(r);
	uint32_t count = read_u32(r);
	config->index = read_u64(r);
	config->max_id = read_u64(r);
	if (r->failed || version != CONFIG_VERSION || count == 0 || count > IKADA_MEMBERS_MAX ||
	    config->index > WIRE_FIELD_MAX)
		return false;
	config->count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct ikada_member *member = &config->members[i];
		member->id = read_u64(r);
		member->incarnation = read_u64(r);
		uint64_t standing = read_u64(r);
		if (r->failed || member->id == 0 || standing > IKADA_DEMOTING ||
		    (i > 0 && !in_order(&member[-1], member)))
			return false;
		member->standing = (enum ikada_standing)standing;
	}
	return true;
}

bool wire_get_config(const uint8_t *bytes, size_t size, struct ikada_config *config)
{
	struct reader r = reader_over(bytes, size);
	return read_config(&r, config) && reader_left(&r) == 0;
}

bool wire_is_no_config(const uint8_t *bytes, size_t size)
{
	struct reader r = reader_over(bytes, size);
	uint64_t head = read_u64(&r);
	uint64_t index = read_u64(&r);
	uint64_t max_id = read_u64(&r);
	return !r.failed && reader_left(&r) == 0 && head == CONFIG_VERSION && index == 0 && max_id == 0;
}

void wire_add_text(struct buf *out, const char *text)
{
	size_t length = strlen(text);
	uint8_t size[2];
	CHECK_OP(length, <=, (size_t)WIRE_ADDRESS_BYTES);
	put_le16(size, (uint16_t)length);
	buf_add(out, size, sizeof size);
	buf_add(out, text, length);
}

bool wire_read_text(struct reader *r, char text[WIRE_ADDRESS_BYTES + 1])
{
	uint16_t length = read_u16(r);
	const uint8_t *bytes = read_bytes(r, length);
	if (r->failed || length > WIRE_ADDRESS_BYTES)
		return false;
	for (uint16_t i = 0; i < length; i++) {
		if (bytes[i] <= ' ' || bytes[i] > '~')
			return false;
		text[i] = (char)bytes[i];
	}
	text[length] = '\0';
	return true;
}

void wire_put_members(struct buf *out, const struct wire_members *members)
{
	wire_put_config(out, &members->config);
	for (uint32_t i = 0; i < members->config.count; i++)
		wire_add_text(out, members->addresses[i]);
}

bool wire_get_members(const uint8_t *bytes, size_t size, struct wire_members *members)
{
	struct reader r = reader_over(bytes, size);
	if (!read_config(&r, &members->config))
		return false;
	for (uint32_t i = 0; i < members->config.count; i++)
		if (!wire_read_text(&r, members->addresses[i]))
			return false;
	return reader_left(&r) == 0;
}

void wire_put_base(struct buf *out, uint64_t cluster_id, uint64_t recovered_from, const struct wire_members *members)
{
	wire_add_u64(out, cluster_id);
	wire_add_u64(out, recovered_from);
	if (members->config.count > 0)
		wire_put_members(out, members);
}

bool wire_get_base(const uint8_t *bytes, size_t size, struct wire_base *base)
{
	struct reader r = reader_over(bytes, size);
	memset(base, 0, sizeof *base);
	base->cluster_id = read_u64(&r);
	base->recovered_from = read_u64(&r);
	if (r.failed || base->cluster_id == 0)
		return false;
	return reader_left(&r) == 0 || wire_get_members(r.at, reader_left(&r), &base->members);
}

uint64_t wire_cluster_id(const struct ikada_config *config)
{
	uint64_t hash = 0x696b616461u; /* "ikada" */
	for (uint32_t i = 0; i < config->count; i++) {
		const uint64_t words[2] = {config->members[i].id, config->members[i].incarnation};
		for (int j = 0; j < 2; j++) { /* The finalizer of MurmurHash3. */
			hash ^= words[j];
			hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdu;
			hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53u;
			hash ^= hash >> 33;
		}
	}
	return hash == 0 ? 1 : hash;
}
