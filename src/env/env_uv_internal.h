/*
 * What the files of the real env share:
 *
 *	env_uv.c	the loop, the clocks, the log
 *	env_uv_file.c	files and directories, and writes that wait for the end of the turn
 *	env_uv_writer.c	large ones of them, on a thread of their own
 *	env_uv_slow.c	writes and syncs on libuv's threads
 *	env_uv_stream.c	streams: read, flush, pause, close
 *	env_uv_dial.c	addresses, listeners, outgoing connections
 */
#ifndef IKADA_ENV_ENV_UV_INTERNAL_H
#define IKADA_ENV_ENV_UV_INTERNAL_H

#include "base/buf.h"
#include "base/list.h"
#include "env/env_uv.h"

#include <netdb.h>

/* A socket on the loop. It outlives its owner until libuv has let go of it. */
struct watch {
	uv_poll_t poll;
	struct env_uv *u;
	int fd;
	int events; /* What it polls for now; 0: stopped. */
};

struct write {
	struct list at; /* In u->writes, then perhaps the writer's, then in u->completed. */
	struct env_file *file;
	const void *bytes;
	size_t size;
	uint64_t offset;
	struct env_io *io;
	int status;
};

/* The thread for large writes: env_uv_writer.c. */
struct writer {
	bool started;
	size_t count; /* Writes that it has. */
	uv_thread_t thread;
	uv_async_t told;
	uv_mutex_t lock; /* Over all below. */
	uv_cond_t wanted;
	uv_cond_t done;
	bool ending;
	struct list queue; /* The first one is under way. */
	struct list performed;
};

struct env_uv {
	struct env env;
	uv_loop_t loop;
	enum env_level log_level;
	bool stopping;
	bool happened;	/* A callback of env.h was made in this wake-up. */
	unsigned heard; /* Pieces that streams received in this wake-up. */

	uint64_t now_ns; /* Of this wake-up, once `now_known`. */
	bool now_known;
	uint64_t late_ns;     /* All lateness so far: awake is raw minus this. */
	bool strict;	      /* Lateness is not taken off. */
	uint64_t wake_ns;     /* The deadline asked for; UINT64_MAX none. */
	uint64_t wake_set_ns; /* Raw time at which it was asked for. */
	bool wake_due;	      /* It has passed, the turn is still owed. */
	struct watch *timer;
	uint64_t timer_ns; /* What the timer is armed for; UINT64_MAX not at all. */

	struct list writes;    /* Submitted, to be performed after the flush. */
	struct list completed; /* Performed, to be told. */
	struct writer writer;

	struct list streams;   /* All that are open. */
	struct list failed;    /* `closed` is owed. */
	struct list dirty;     /* Have output that was not offered to the system. */
	struct list lingering; /* Closed by the caller, still sending; by deadline. */
	struct list dead;      /* Freed when nobody can be inside a callback of theirs. */
	struct list listeners;
	uint8_t input[256 * 1024];
};

enum { DIRECT_UNTRIED = -1, DIRECT_REFUSED = -2 };

struct env_file {
	struct env_uv *u;
	int fd;
	int direct;	  /* The same file, past the system's cache: for write_sync. DIRECT_UNTRIED, DIRECT_REFUSED. */
	struct list slow; /* Operations on other threads. */
};

enum stream_state {
	STREAM_DIALING, /* Not connected yet. */
	STREAM_OPEN,
	STREAM_FAILED,	  /* Over; `closed` is owed. */
	STREAM_LINGERING, /* The caller has closed it, output is left; then reads until the other side is done. */
	STREAM_DEAD,
};

struct dial;

struct env_stream {
	struct list at;	   /* In the list of its state: streams, failed, lingering, dead. */
	struct list dirty; /* In u->dirty. */
	struct env_uv *u;
	enum stream_state state;
	int status; /* Why it failed. */
	bool paused;
	bool waited; /* Output had to wait: `drained` is owed. */
	bool shut;   /* A lingering stream has sent everything and said so. */
	uint64_t linger_until_ns;
	struct watch *watch; /* NULL while there is no socket. */
	struct dial *dial;   /* While dialing. */
	struct buf output;
	const struct env_stream_events *events;
	void *context;
};

static inline struct env_uv *uv_of(struct env *env)
{
	return (struct env_uv *)(void *)env;
}

/* env_uv.c */
uint64_t env_uv_raw(struct env_uv *u);
struct watch *env_uv_watch(struct env_uv *u, int fd, void *owner); /* Owns the descriptor, also when it returns NULL. */
void env_uv_poll(struct watch *watch, int events, uv_poll_cb ready);
void env_uv_unwatch(struct watch *watch); /* Closes the descriptor. NULL is fine. */

/* env_uv_file.c */
void env_uv_perform_writes(struct env_uv *u);
void env_uv_perform_large_writes(struct env_uv *u); /* They begin. */
int env_uv_write_and_sync(struct write *w);	    /* On any thread. */
void env_uv_complete_writes(struct env_uv *u);
int env_uv_open(struct env *env, const char *path, enum env_open how, struct env_file **file);
void env_uv_close(struct env_file *file);
int64_t env_uv_size(struct env_file *file);
int64_t env_uv_read_at(struct env_file *file, void *bytes, size_t size, uint64_t offset);
int env_uv_write_at(struct env_file *file, const void *bytes, size_t size, uint64_t offset);
int env_uv_allocate(struct env_file *file, uint64_t size);
int env_uv_sync(struct env_file *file);
int env_uv_lock(struct env_file *file);
int env_uv_make_dir(struct env *env, const char *path);
int env_uv_list_dir(struct env *env, const char *path, void (*each)(void *context, const char *name), void *context);
int env_uv_rename(struct env *env, const char *from, const char *to);
int env_uv_unlink(struct env *env, const char *path);
int env_uv_sync_dir(struct env *env, const char *path);
void env_uv_write_sync(struct env_file *file, const void *bytes, size_t size, uint64_t offset, struct env_io *io);
int env_uv_write_all(int fd, const void *bytes, size_t size, uint64_t offset);

/* env_uv_writer.c */
void env_uv_hand_over(struct env_uv *u, struct write *w);
void env_uv_take_back(struct env_uv *u);				    /* What was performed is in u->completed. */
void env_uv_wait_for_writer(struct env_uv *u, const struct env_file *file); /* Until it has none of this file. */
void env_uv_end_writer(struct env_uv *u);

/* env_uv_slow.c */
void env_uv_write_async(struct env_file *file, const void *bytes, size_t size, uint64_t offset, struct env_io *io);
void env_uv_sync_async(struct env_file *file, struct env_io *io);
void env_uv_close_slowly(struct env *env, int fd);
void env_uv_forget_slow(struct env_file *file); /* Waits for the thread that is at one of them. */

/* env_uv_stream.c */
struct env_stream *env_uv_stream_new(struct env_uv *u, enum stream_state state);
void env_uv_stream_opened(struct env_stream *stream); /* Its `watch` is a connected socket. */
void env_uv_stream_failed(struct env_stream *stream, int status);
void env_uv_tell_failed(struct env_uv *u);
void env_uv_flush(struct env_uv *u);
uint64_t env_uv_linger_deadline(const struct env_uv *u);
void env_uv_linger(struct env_uv *u); /* Ends what lingered too long. */
void env_uv_reap(struct env_uv *u);
void env_uv_stream_attach(struct env_stream *stream, const struct env_stream_events *events, void *context);
void env_uv_stream_write(struct env_stream *stream, const void *bytes, size_t size);
void env_uv_stream_write_frame(struct env_stream *stream, const void *bytes, size_t size);
size_t env_uv_stream_pending(const struct env_stream *stream);
void env_uv_stream_pause(struct env_stream *stream, bool paused);
void env_uv_stream_close(struct env_stream *stream, bool flush);

/* env_uv_dial.c */
int env_uv_listen(struct env *env, const char *address, const struct env_accept_events *events, void *context,
		  struct env_listener **listener);
void env_uv_listener_close(struct env_listener *listener);
void env_uv_listeners_close(struct env_uv *u);
struct env_stream *env_uv_connect(struct env *env, const char *address, const struct env_stream_events *events,
				  void *context);
void env_uv_dial_end(struct env_stream *stream); /* Gives up, or is done: nothing of the dial is left. */

#endif
