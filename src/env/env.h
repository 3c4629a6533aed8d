/*
 * The seam to the outside: everything a node asks of the world. Two worlds stand behind it: env_uv.c (real files,
 * sockets and clocks) and src/sim (simulated ones). node, wal, wire, store and server run unchanged in both.
 *
 * One thread. Nothing here re-enters the caller: a callback is never made inside the call that leads to it. Callbacks
 * of one wake-up come first, in any order; then `turn` is called once; then what was written to streams is sent.
 * Errors are negative errno values. Times are nanoseconds.
 */
#ifndef IKADA_ENV_H
#define IKADA_ENV_H

#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct env;
struct env_file;
struct env_stream;
struct env_listener;

enum env_level { ENV_DEBUG, ENV_INFO, ENV_WARN, ENV_ERROR };

enum env_open { ENV_OPEN_READ = 0, ENV_OPEN_WRITE = 1 /* read and write */, ENV_OPEN_CREATE = 2 /* implies WRITE */ };

/* One asynchronous operation; embedded by the caller, untouched until `done`. */
struct env_io {
	void (*done)(struct env_io *io, int status); /* 0, or a negative errno. */
};

/* What happens on a stream. `context` is the caller's. Any of them may call env_stream_close on its own stream. */
struct env_stream_events {
	void (*opened)(void *context); /* A connect succeeded. Not called for accepted streams. */
	void (*received)(void *context, const uint8_t *bytes, size_t size); /* Valid during the call. */
	void (*drained)(void *context); /* All output was handed to the system, after some had to wait. May be NULL. */
	void (*closed)(void *context, int status); /* By the other side (0 or ECONNRESET) or an error; the last call. */
};

struct env_accept_events {
	/* A stream was accepted. Set its events with env_stream_attach before returning, or close it. */
	void (*accepted)(void *context, struct env_stream *stream);
};

struct env_ops {
	uint64_t (*raw_ns)(struct env *env);   /* Never stops, never slows; same for the whole wake-up. */
	uint64_t (*awake_ns)(struct env *env); /* raw minus lateness: the sum of (wake-up minus requested deadline). */
	uint64_t (*wall_ns)(struct env *env);  /* Since 1970; may jump. */
	uint64_t (*random)(struct env *env);
	void (*log)(struct env *env, enum env_level level, const char *room, const char *text);
	void (*fatal)(struct env *env, const char *text); /* One line, and the node ends at once: never returns. */

	/* The next wake-up is at `raw_ns` at the latest (UINT64_MAX: none); each call replaces the last. */
	void (*wake_at)(struct env *env, uint64_t raw_ns);
	/* In the middle of a turn that takes long: what was written to streams is sent, writes begin. May be NULL. */
	void (*push)(struct env *env);

	/* Files. Paths are relative to the process or absolute. All of these block. */
	int (*open)(struct env *env, const char *path, enum env_open how, struct env_file **file);
	void (*close)(struct env_file *file); /* What is in flight is as after a crash; its `done` is not called. */
	int64_t (*size)(struct env_file *file);
	int64_t (*read_at)(struct env_file *file, void *bytes, size_t size, uint64_t offset);	 /* Short at the end. */
	int (*write_at)(struct env_file *file, const void *bytes, size_t size, uint64_t offset); /* All, not synced. */
	int (*allocate)(struct env_file *file, uint64_t size); /* At least so long, room reserved; reads zeros. */
	int (*sync)(struct env_file *file);
	int (*lock)(struct env_file *file); /* Exclusive, until closed; -EWOULDBLOCK when another process has it. */
	int (*make_dir)(struct env *env, const char *path); /* 0 also when it exists. */
	int (*list_dir)(struct env *env, const char *path, void (*each)(void *context, const char *name),
			void *context);
	int (*rename)(struct env *env, const char *from, const char *to);
	int (*unlink)(struct env *env, const char *path);
	int (*sync_dir)(struct env *env, const char *path);

	/*
	 * Writes and syncs the data; `done` comes later, never inside this call. The bytes stay untouched until then.
	 */
	void (*write_sync)(struct env_file *file, const void *bytes, size_t size, uint64_t offset, struct env_io *io);
	/*
	 * For what may take long: they do not keep the loop, nor wait for the end of a turn. A write, not synced; a
	 * sync of the file's data and size, which covers what was done before it was submitted.
	 */
	void (*write_async)(struct env_file *file, const void *bytes, size_t size, uint64_t offset, struct env_io *io);
	void (*sync_async)(struct env_file *file, struct env_io *io);

	/* Streams. Addresses are "HOST:PORT". */
	int (*listen)(struct env *env, const char *address, const struct env_accept_events *events, void *context,
		      struct env_listener **listener);
	void (*listener_close)(struct env_listener *listener);
	/* Never fails at once: failure is `closed`. */
	struct env_stream *(*connect)(struct env *env, const char *address, const struct env_stream_events *events,
				      void *context);
	void (*stream_attach)(struct env_stream *stream, const struct env_stream_events *events, void *context);
	/* Copies the bytes to the stream's output; they are sent when the turn ends. */
	void (*stream_write)(struct env_stream *stream, const void *bytes, size_t size);
	/* The same for one whole raft frame. In the simulator such frames are dropped, duplicated and reordered. */
	void (*stream_write_frame)(struct env_stream *stream, const void *bytes, size_t size);
	size_t (*stream_pending)(const struct env_stream *stream); /* Bytes written but not yet taken by the system. */
	void (*stream_pause)(struct env_stream *stream, bool paused); /* While paused, `received` is not called. */
	/* Ends the stream: what is pending is still sent if `flush`; no callback follows; the pointer is dead. */
	void (*stream_close)(struct env_stream *stream, bool flush);
};

/* The head of every env; the two worlds embed it. */
struct env {
	const struct env_ops *ops;
	struct mem *mem;
	void (*turn)(void *context); /* Set by the node; NULL before. */
	void *turn_context;
};

__attribute__((format(printf, 4, 5))) void env_log(struct env *env, enum env_level level, const char *room,
						   const char *format, ...);
__attribute__((format(printf, 2, 3))) _Noreturn void env_fatal(struct env *env, const char *format, ...);

#endif
