/* Commands on keys, whatever their values are. */
#include "server/glob.h"
#include "server/machine.h"
#include "server/resp.h"

enum { KEYS_LOOKED_AT_MAX = 1000000 };

void del_run(struct machine *m, const struct request *request, struct buf *reply)
{
	int64_t count = 0;
	for (uint32_t i = 1; i < request->count; i++)
		count += keyspace_delete(&m->keyspace, request_arg(request, i));
	resp_put_integer(reply, count);
}

/* A key that is named twice counts twice. */
void exists_run(struct machine *m, const struct request *request, struct buf *reply)
{
	int64_t count = 0;
	for (uint32_t i = 1; i < request->count; i++)
		count += keyspace_has(&m->keyspace, request_arg(request, i));
	resp_put_integer(reply, count);
}

void type_run(struct machine *m, const struct request *request, struct buf *reply)
{
	resp_put_status(reply, keyspace_has(&m->keyspace, request_arg(request, 1)) ? "string" : "none");
}

/*
 * All keys are looked at while everything else waits, the leader's heartbeats too: so not in a large store.
 * The replies are gathered first, for their number comes before them.
 */
void keys_run(struct machine *m, const struct request *request, struct buf *reply)
{
	struct slice pattern = request_arg(request, 1);
	struct store_cursor cursor;
	struct slice key;
	size_t count = 0;
	if (keyspace_count(&m->keyspace) > KEYS_LOOKED_AT_MAX) {
		resp_put_error(reply, "ERR KEYS would hold up the cluster: there are more than %d keys",
			       KEYS_LOOKED_AT_MAX);
		return;
	}
	keyspace_seek(&m->keyspace, &cursor);
	while (keyspace_next(&cursor, &key) && buf_size(&m->scratch) <= COMMAND_REPLY_BYTES_MAX) {
		if (!glob_matches(pattern, key, false))
			continue;
		resp_put_bulk(&m->scratch, key.bytes, key.size);
		count++;
	}
	if (buf_size(&m->scratch) > COMMAND_REPLY_BYTES_MAX) {
		command_put_reply_too_large(reply);
	} else {
		resp_put_array(reply, count);
		buf_add(reply, buf_at(&m->scratch), buf_size(&m->scratch));
	}
	buf_free(&m->scratch);
}

void dbsize_run(struct machine *m, const struct request *request, struct buf *reply)
{
	(void)request;
	resp_put_integer(reply, (int64_t)keyspace_count(&m->keyspace));
}

/* ASYNC or SYNC make no difference: the memory is always freed bit by bit. */
bool flushall_check(const struct request *request, struct buf *reply)
{
	if (request->count == 1)
		return true;
	struct slice how = request_arg(request, 1);
	if (request->count == 2 && (slice_is(how, "async") || slice_is(how, "sync")))
		return true;
	command_put_syntax_error(reply);
	return false;
}

void flushall_run(struct machine *m, const struct request *request, struct buf *reply)
{
	(void)request;
	keyspace_clear(&m->keyspace);
	resp_put_status(reply, "OK");
}
