/* Commands on keys, whatever their values are. */
#include "server/machine.h"
#include "server/resp.h"

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
