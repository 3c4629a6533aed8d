/*
 * A thread for writes of the log, so that the loop applies and answers while they last: for large ones, and for all
 * while many clients are heard. Otherwise a small one is done inline: then there is not much else to do, and waking a
 * thread, and being woken by it, costs more than it saves.
 *
 * The thread has the writes from env_uv_hand_over on, one after the other, until env_uv_take_back; it touches them,
 * their bytes and their descriptors, nothing else.
 */
#include "env/env_uv_internal.h"

#include "base/check.h"

static void write_all(void *argument)
{
	struct writer *writer = argument;
	uv_mutex_lock(&writer->lock);
	for (;;) {
		while (list_empty(&writer->queue) && !writer->ending)
			uv_cond_wait(&writer->wanted, &writer->lock);
		if (list_empty(&writer->queue))
			break;
		struct write *w = LIST_OF(writer->queue.next, struct write, at);
		uv_mutex_unlock(&writer->lock);
		int status = env_uv_write_and_sync(w);
		uv_mutex_lock(&writer->lock);
		w->status = status;
		list_remove(&w->at);
		list_push(&writer->performed, &w->at);
		uv_cond_signal(&writer->done);
		uv_async_send(&writer->told);
	}
	uv_mutex_unlock(&writer->lock);
}

static void told(uv_async_t *async)
{
	(void)async; /* That it woke the loop is all. */
}

static void start(struct env_uv *u)
{
	struct writer *writer = &u->writer;
	list_init(&writer->queue);
	list_init(&writer->performed);
	CHECK(uv_mutex_init(&writer->lock) == 0);
	CHECK(uv_cond_init(&writer->wanted) == 0);
	CHECK(uv_cond_init(&writer->done) == 0);
	CHECK(uv_async_init(&u->loop, &writer->told, told) == 0);
	CHECK(uv_thread_create(&writer->thread, write_all, writer) == 0);
	writer->started = true;
}

void env_uv_hand_over(struct env_uv *u, struct write *w)
{
	struct writer *writer = &u->writer;
	if (!writer->started)
		start(u);
	uv_mutex_lock(&writer->lock);
	list_remove(&w->at);
	list_push(&writer->queue, &w->at);
	uv_cond_signal(&writer->wanted);
	uv_mutex_unlock(&writer->lock);
	writer->count++;
}

void env_uv_take_back(struct env_uv *u)
{
	struct writer *writer = &u->writer;
	if (writer->count == 0)
		return;
	uv_mutex_lock(&writer->lock);
	while (!list_empty(&writer->performed)) {
		struct list *at = writer->performed.next;
		list_remove(at);
		list_push(&u->completed, at);
		writer->count--;
	}
	uv_mutex_unlock(&writer->lock);
}

static bool has_one_of(const struct writer *writer, const struct env_file *file)
{
	for (const struct list *at = writer->queue.next; at != &writer->queue; at = at->next)
		if (LIST_OF(at, struct write, at)->file == file)
			return true;
	return false;
}

void env_uv_wait_for_writer(struct env_uv *u, const struct env_file *file)
{
	struct writer *writer = &u->writer;
	if (writer->count == 0)
		return;
	uv_mutex_lock(&writer->lock);
	while (has_one_of(writer, file))
		uv_cond_wait(&writer->done, &writer->lock);
	uv_mutex_unlock(&writer->lock);
	env_uv_take_back(u);
}

void env_uv_end_writer(struct env_uv *u)
{
	struct writer *writer = &u->writer;
	if (!writer->started)
		return;
	uv_mutex_lock(&writer->lock);
	writer->ending = true;
	uv_cond_signal(&writer->wanted);
	uv_mutex_unlock(&writer->lock);
	CHECK(uv_thread_join(&writer->thread) == 0);
	uv_close((uv_handle_t *)&writer->told, NULL);
	uv_cond_destroy(&writer->wanted);
	uv_cond_destroy(&writer->done);
	uv_mutex_destroy(&writer->lock);
}
