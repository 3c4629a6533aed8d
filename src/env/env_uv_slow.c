/*
 * Writes, syncs and closes that may take long, on libuv's threads. A thread touches the bytes, the descriptor and its
 * own operation, nothing else; all the rest happens on the loop's thread.
 *
 * A file that is closed takes back what no thread has begun, and waits for what one has: then nobody uses the
 * descriptor or the bytes any more. The operation itself lives until libuv has told of its end.
 */
#define _GNU_SOURCE
#include "env/env_uv_internal.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct slow {
	uv_work_t work;
	uv_sem_t performed;
	struct list at; /* In file->slow. */
	struct env_uv *u;
	struct env_io *io; /* NULL: the file was closed. */
	int fd;
	const void *bytes; /* NULL: a sync. */
	size_t size;
	uint64_t offset;
	int status;
};

/*
 * The disk begins with it at once: else the next sync, and those of the log beside it, would have to wait for all of
 * it. What fails now is what that sync reports.
 */
static int write_out(const struct slow *slow)
{
	int status = env_uv_write_all(slow->fd, slow->bytes, slow->size, slow->offset);
	if (status == 0)
		sync_file_range(slow->fd, (off_t)slow->offset, (off_t)slow->size, SYNC_FILE_RANGE_WRITE);
	return status;
}

static void perform(uv_work_t *work)
{
	struct slow *slow = LIST_OF(work, struct slow, work);
	if (slow->bytes != NULL)
		slow->status = write_out(slow);
	else
		slow->status = fdatasync(slow->fd) == 0 ? 0 : -errno;
	uv_sem_post(&slow->performed);
}

static void performed(uv_work_t *work, int status)
{
	struct slow *slow = LIST_OF(work, struct slow, work);
	struct env_uv *u = slow->u;
	struct env_io *io = slow->io;
	int result = slow->status;
	CHECK(status == 0 || io == NULL);
	list_remove(&slow->at);
	uv_sem_destroy(&slow->performed);
	mem_free(u->env.mem, slow);
	if (io == NULL)
		return;
	u->happened = true;
	io->done(io, result);
}

static void submit(struct env_file *file, const void *bytes, size_t size, uint64_t offset, struct env_io *io)
{
	struct env_uv *u = file->u;
	struct slow *slow = mem_zero(u->env.mem, sizeof *slow);
	slow->u = u;
	slow->io = io;
	slow->fd = file->fd;
	slow->bytes = bytes;
	slow->size = size;
	slow->offset = offset;
	list_push(&file->slow, &slow->at);
	CHECK(uv_sem_init(&slow->performed, 0) == 0);
	CHECK(uv_queue_work(&u->loop, &slow->work, perform, performed) == 0);
}

void env_uv_write_async(struct env_file *file, const void *bytes, size_t size, uint64_t offset, struct env_io *io)
{
	CHECK(bytes != NULL);
	submit(file, bytes, size, offset, io);
}

void env_uv_sync_async(struct env_file *file, struct env_io *io)
{
	submit(file, NULL, 0, 0, io);
}

void env_uv_forget_slow(struct env_file *file)
{
	while (!list_empty(&file->slow)) {
		struct slow *slow = LIST_OF(file->slow.next, struct slow, at);
		if (uv_cancel((uv_req_t *)&slow->work) != 0)
			uv_sem_wait(&slow->performed);
		slow->io = NULL;
		list_remove(&slow->at);
	}
}

/* ---- Closes ---- */

struct closing {
	uv_work_t work;
	struct env_uv *u;
	int fd;
};

static void perform_close(uv_work_t *work)
{
	close(LIST_OF(work, struct closing, work)->fd);
}

static void performed_close(uv_work_t *work, int status)
{
	struct closing *closing = LIST_OF(work, struct closing, work);
	(void)status;
	mem_free(closing->u->env.mem, closing);
}

void env_uv_close_slowly(struct env *env, int fd)
{
	struct env_uv *u = LIST_OF(env, struct env_uv, env);
	struct closing *closing = mem_zero(env->mem, sizeof *closing);
	closing->u = u;
	closing->fd = fd;
	CHECK(uv_queue_work(&u->loop, &closing->work, perform_close, performed_close) == 0);
}
