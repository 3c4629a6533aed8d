/* Commands on strings. Texts of errors are those of Redis. */
#include "server/machine.h"
#include "server/resp.h"

void get_run(struct machine *m, const struct request *request, struct buf *reply)
{
	struct slice value;
	if (keyspace_get(&m->keyspace, request_arg(request, 1), &value))
		resp_put_bulk(reply, value.bytes, value.size);
	else
		resp_put_null(reply, m->protocol);
}

void strlen_run(struct machine *m, const struct request *request, struct buf *reply)
{
	struct slice value = {NULL, 0};
	keyspace_get(&m->keyspace, request_arg(request, 1), &value);
	resp_put_integer(reply, (int64_t)value.size);
}

/* ---- SET key value [NX | XX] [GET] ---- */

struct set_options {
	bool only_new;
	bool only_old;
	bool get;
};

static bool set_parse(const struct request *request, struct set_options *options)
{
	*options = (struct set_options){false, false, false};
	for (uint32_t i = 3; i < request->count; i++) {
		struct slice word = request_arg(request, i);
		if (slice_is(word, "nx"))
			options->only_new = true;
		else if (slice_is(word, "xx"))
			options->only_old = true;
		else if (slice_is(word, "get"))
			options->get = true;
		else
			return false;
	}
	return !options->only_new || !options->only_old;
}

bool set_check(const struct request *request, struct buf *reply)
{
	struct set_options options;
	if (set_parse(request, &options))
		return true;
	command_put_syntax_error(reply);
	return false;
}

static void set_with_options(struct machine *m, const struct request *request, struct buf *reply)
{
	struct slice key = request_arg(request, 1);
	struct set_options options;
	struct slice old;
	CHECK(set_parse(request, &options));
	bool was_there = keyspace_get(&m->keyspace, key, &old);
	bool sets = was_there ? !options.only_new : !options.only_old;
	if (options.get && was_there)
		resp_put_bulk(reply, old.bytes, old.size);
	else if (options.get || !sets)
		resp_put_null(reply, m->protocol);
	else
		resp_put_status(reply, "OK");
	if (sets)
		keyspace_put(&m->keyspace, key, request_arg(request, 2));
}

void set_run(struct machine *m, const struct request *request, struct buf *reply)
{
	if (request->count > 3) {
		set_with_options(m, request, reply);
		return;
	}
	keyspace_put(&m->keyspace, request_arg(request, 1), request_arg(request, 2));
	resp_put_status(reply, "OK");
}

void setnx_run(struct machine *m, const struct request *request, struct buf *reply)
{
	bool sets = !keyspace_has(&m->keyspace, request_arg(request, 1));
	if (sets)
		keyspace_put(&m->keyspace, request_arg(request, 1), request_arg(request, 2));
	resp_put_integer(reply, sets);
}

void getset_run(struct machine *m, const struct request *request, struct buf *reply)
{
	get_run(m, request, reply);
	keyspace_put(&m->keyspace, request_arg(request, 1), request_arg(request, 2));
}

void getdel_run(struct machine *m, const struct request *request, struct buf *reply)
{
	get_run(m, request, reply);
	keyspace_delete(&m->keyspace, request_arg(request, 1));
}

/* ---- Numbers ---- */

static void add(struct machine *m, const struct request *request, int64_t delta, struct buf *reply)
{
	struct slice key = request_arg(request, 1);
	struct slice old;
	int64_t value = 0;
	if (keyspace_get(&m->keyspace, key, &old) && !slice_integer(old, &value)) {
		command_put_no_integer(reply);
		return;
	}
	if (delta < 0 ? value < INT64_MIN - delta : value > INT64_MAX - delta) {
		resp_put_error(reply, "ERR increment or decrement would overflow");
		return;
	}
	char text[RESP_INTEGER_BYTES];
	value += delta;
	size_t size = resp_print_integer(text, value);
	keyspace_put(&m->keyspace, key, (struct slice){(const uint8_t *)text, size});
	resp_put_integer(reply, value);
}

bool increment_check(const struct request *request, struct buf *reply)
{
	int64_t delta;
	return command_integer(request, 2, &delta, reply);
}

bool decrement_check(const struct request *request, struct buf *reply)
{
	int64_t delta;
	if (!command_integer(request, 2, &delta, reply))
		return false;
	if (delta != INT64_MIN)
		return true;
	resp_put_error(reply, "ERR decrement would overflow");
	return false;
}

void incr_run(struct machine *m, const struct request *request, struct buf *reply)
{
	add(m, request, 1, reply);
}

void decr_run(struct machine *m, const struct request *request, struct buf *reply)
{
	add(m, request, -1, reply);
}

void incrby_run(struct machine *m, const struct request *request, struct buf *reply)
{
	int64_t delta;
	CHECK(slice_integer(request_arg(request, 2), &delta));
	add(m, request, delta, reply);
}

void decrby_run(struct machine *m, const struct request *request, struct buf *reply)
{
	int64_t delta;
	CHECK(slice_integer(request_arg(request, 2), &delta) && delta != INT64_MIN);
	add(m, request, -delta, reply);
}

/* ---- Parts ---- */

static bool too_long(size_t size, struct buf *reply)
{
	if (size <= RESP_BULK_BYTES_MAX)
		return false;
	resp_put_error(reply, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
	return true;
}

/* The value becomes what m->scratch holds, which is emptied; its size is the reply. */
static void put_scratch(struct machine *m, struct slice key, struct buf *reply)
{
	size_t size = buf_size(&m->scratch);
	keyspace_put(&m->keyspace, key, (struct slice){buf_at(&m->scratch), size});
	buf_consume(&m->scratch, size);
	resp_put_integer(reply, (int64_t)size);
}

void append_run(struct machine *m, const struct request *request, struct buf *reply)
{
	struct slice key = request_arg(request, 1);
	struct slice more = request_arg(request, 2);
	struct slice old = {NULL, 0};
	keyspace_get(&m->keyspace, key, &old);
	if (too_long(old.size + more.size, reply))
		return;
	buf_add(&m->scratch, old.bytes, old.size);
	buf_add(&m->scratch, more.bytes, more.size);
	put_scratch(m, key, reply);
}

bool getrange_check(const struct request *request, struct buf *reply)
{
	int64_t number;
	return command_integer(request, 2, &number, reply) && command_integer(request, 3, &number, reply);
}

/* Both ends are in the range; a negative one counts from behind, and is 0 when it lies before the value. */
void getrange_run(struct machine *m, const struct request *request, struct buf *reply)
{
	struct slice value = {NULL, 0};
	int64_t first, last;
	CHECK(slice_integer(request_arg(request, 2), &first) && slice_integer(request_arg(request, 3), &last));
	keyspace_get(&m->keyspace, request_arg(request, 1), &value);
	int64_t size = (int64_t)value.size;
	bool empty = first < 0 && last < 0 && first > last;
	first = first >= 0 ? first : first + size < 0 ? 0 : first + size;
	last = last >= 0 ? last : last + size < 0 ? 0 : last + size;
	last = last < size ? last : size - 1;
	if (empty || first > last)
		resp_put_bulk(reply, NULL, 0);
	else
		resp_put_bulk(reply, value.bytes + first, (size_t)(last - first) + 1);
}

bool setrange_check(const struct request *request, struct buf *reply)
{
	int64_t offset;
	if (!command_integer(request, 2, &offset, reply))
		return false;
	if (offset >= 0)
		return true;
	resp_put_error(reply, "ERR offset is out of range");
	return false;
}

/* What lies between the old end and the offset is zeros. No bytes, no change. */
void setrange_run(struct machine *m, const struct request *request, struct buf *reply)
{
	struct slice key = request_arg(request, 1);
	struct slice part = request_arg(request, 3);
	struct slice old = {NULL, 0};
	int64_t number;
	CHECK(slice_integer(request_arg(request, 2), &number));
	uint64_t offset = (uint64_t)number;
	keyspace_get(&m->keyspace, key, &old);
	if (part.size == 0) {
		resp_put_integer(reply, (int64_t)old.size);
		return;
	}
	if (too_long(offset + part.size, reply))
		return;
	size_t end = offset + part.size;
	size_t size = old.size > end ? old.size : end;
	uint8_t *at = buf_reserve(&m->scratch, size);
	if (old.size > 0)
		memcpy(at, old.bytes, old.size);
	if (offset > old.size)
		memset(at + old.size, 0, offset - old.size);
	memcpy(at + offset, part.bytes, part.size);
	buf_added(&m->scratch, size);
	put_scratch(m, key, reply);
}

/* ---- Many at once ---- */

void mget_run(struct machine *m, const struct request *request, struct buf *reply)
{
	if (reply == NULL)
		return;
	size_t start = buf_size(reply);
	resp_put_array(reply, request->count - 1);
	for (uint32_t i = 1; i < request->count; i++) {
		struct slice value;
		if (!keyspace_get(&m->keyspace, request_arg(request, i), &value)) {
			resp_put_null(reply, m->protocol);
		} else if (buf_size(reply) - start + value.size > COMMAND_REPLY_BYTES_MAX) {
			buf_cut(reply, start);
			command_put_reply_too_large(reply);
			return;
		} else {
			resp_put_bulk(reply, value.bytes, value.size);
		}
	}
}

static bool pairs_check(const char *name, const struct request *request, struct buf *reply)
{
	if (request->count % 2 == 1)
		return true;
	command_put_wrong_arity(reply, name);
	return false;
}

bool mset_check(const struct request *request, struct buf *reply)
{
	return pairs_check("mset", request, reply);
}

bool msetnx_check(const struct request *request, struct buf *reply)
{
	return pairs_check("msetnx", request, reply);
}

static void put_pairs(struct machine *m, const struct request *request)
{
	for (uint32_t i = 1; i < request->count; i += 2)
		keyspace_put(&m->keyspace, request_arg(request, i), request_arg(request, i + 1));
}

void mset_run(struct machine *m, const struct request *request, struct buf *reply)
{
	put_pairs(m, request);
	resp_put_status(reply, "OK");
}

void msetnx_run(struct machine *m, const struct request *request, struct buf *reply)
{
	bool sets = true;
	for (uint32_t i = 1; i < request->count; i += 2)
		sets = sets && !keyspace_has(&m->keyspace, request_arg(request, i));
	if (sets)
		put_pairs(m, request);
	resp_put_integer(reply, sets);
}
