/*
 * Inside the simulated world: the structures that sim_*.c share. Nobody else includes this.
 *
 * Two levels. The *system* level acts at the time of an event whatever the process does: bytes arrive, a write reaches
 * the disk, a handshake is answered. What the process shall hear of it is then put into its inbox (sim_tell), and heard
 * in its next wake-up: at once when it is idle, else when it is free again. An event is therefore first in the heap,
 * then in an inbox, never in both; each is embedded in the object it belongs to, which cancels it when it goes.
 */
#ifndef IKADA_SIM_SIM_WORLD_H
#define IKADA_SIM_SIM_WORLD_H

#include "base/list.h"
#include "sim/sim_env.h"

#include <setjmp.h>

#define NEVER UINT64_MAX
enum { NOWHERE = 0xffffffff, POOL_CLASSES = 12 };

enum event_kind {
	EVENT_OWNER,   /* The owner's function. System level only, like the next three. */
	EVENT_WAKE,    /* A process may have to wake up. */
	EVENT_TIMEOUT, /* Of a connection. */
	EVENT_CHUNK,   /* Something sent over a connection arrives. */
	EVENT_NEWS,    /* A process hears what happened to one of its streams. Never in the heap. */
	EVENT_IO,      /* A write reaches the disk; then its process hears of it. */
};

struct event {
	uint64_t time;
	uint32_t at; /* Place in the heap, or NOWHERE. */
	enum event_kind kind;
	struct sim_host *host; /* Whose process hears of it; NULL: none. */
	struct list inbox;
};

/* What stands in traces and in the hash. */
enum note {
	NOTE_STARTS,
	NOTE_ENDS,
	NOTE_FATAL,
	NOTE_WAKES,
	NOTE_WROTE,
	NOTE_CONNECTS,
	NOTE_CONNECT_ARRIVES,
	NOTE_OPENS,
	NOTE_BYTES,
	NOTE_FRAME,
	NOTE_FRAME_LOST,
	NOTE_END,
	NOTE_RESET,
	NOTE_CUT,
	NOTE_HEALED,
};

struct heap_slot {
	uint64_t time;
	uint64_t order;
	struct event *event;
};

struct owner_event {
	struct event event;
	void (*fn)(void *context);
	void *context;
};

/* A call into a process; a fatal error or a crash inside leaves it by `jump`. */
struct frame {
	jmp_buf jump;
	struct sim_host *host;
	struct frame *outer;
};

struct sim {
	struct mem mem; /* Untracked. */
	uint64_t seed;
	uint64_t now;
	uint64_t order;
	struct heap_slot *heap;
	uint32_t heap_size, heap_room;
	struct list ready; /* Hosts that wake up at the end of this instant. */
	bool stepping;
	struct frame *frame;
	struct sim_hooks hooks;
	struct sim_counters counters;
	uint64_t hash;
	struct sim_net_settings net;
	struct sim_link link_default;
	struct list conns, graveyard;
	uint64_t conn_count;
	uint32_t host_count;
	struct sim_host *hosts[SIM_HOSTS_MAX];
	struct sim_link links[SIM_HOSTS_MAX][SIM_HOSTS_MAX]; /* [from][to] */
	bool cut[SIM_HOSTS_MAX][SIM_HOSTS_MAX];
	void *pool[POOL_CLASSES];
	enum sim_crash ended_how; /* Why a frame was left. */
	bool ended_fatal;
	char text[1024];  /* Of the fatal error. */
	uint8_t *scratch; /* What a process receives in one call. */
	size_t scratch_room;
	size_t zeros_size; /* The sum of so many zeros was asked for last. */
	uint32_t zeros_sum;
};

struct disk {
	struct list names;   /* All names ever used. */
	struct list changes; /* Of directories, not yet durable, in order. */
	uint64_t used, limit, stall_until;
	bool fail_next;
};

struct sim_host {
	struct env env; /* First: a host's env is the host. */
	struct sim *sim;
	struct mem mem; /* Of the process. */
	uint64_t id;
	uint32_t number; /* In sim->hosts. */
	char name[64];
	void *owner;
	struct sim_host_settings settings;
	bool running;
	uint64_t starts;
	struct rng rng_env, rng_disk, rng_net, rng_turn;

	/* clock = clock_base + (time - clock_time) * rate / 2^32; raw = clock + raw_start. */
	uint64_t clock_base, clock_time, rate, raw_start;
	int64_t wall_offset;
	uint64_t raw_now;  /* Of this wake-up. */
	uint64_t lateness; /* raw - awake */
	uint64_t deadline; /* Raw; NEVER. */

	uint64_t free_at; /* Busy or paused until then. */
	uint64_t debt;	  /* What inline syncs of this wake-up will have taken. */
	bool turn_due;
	bool was_late; /* The next wake-up has had its chance to be late. */
	struct event wake;
	struct list inbox, ready;

	struct list streams, listeners, dirty;
	struct disk disk;
	struct list files, ios;
};

/* ---- sim_heap.c: events and small memory ---- */

void sim_event_init(struct event *event, enum event_kind kind, struct sim_host *host);
void sim_event_at(struct sim *sim, struct event *event, uint64_t time); /* Moves it when it is in the heap already. */
void sim_event_cancel(struct sim *sim, struct event *event);		/* From the heap or an inbox; or nothing. */
struct event *sim_event_pop(struct sim *sim);
bool sim_event_waits(const struct event *event); /* In an inbox. */

void *sim_take(struct sim *sim, size_t size); /* Not cleared. */
void sim_give(struct sim *sim, void *block, size_t size);
void sim_pool_free(struct sim *sim);

/* ---- sim_loop.c ---- */

/* The host's process is to hear of `event`. */
void sim_tell(struct sim_host *host, struct event *event);
/*
 * Into the hash, and the trace when there is one. `sum` is of the bytes concerned, `other` the host at the other end.
 */
void sim_note(const struct sim_host *host, enum note note, const struct sim_host *other, uint64_t size, uint32_t sum);
void sim_host_arm(struct sim_host *host);
_Noreturn void sim_leave(struct sim *sim, enum sim_crash how, bool fatal);

/* ---- sim_host.c ---- */

/* Ends a running process; takes back what it had. */
void sim_host_end(struct sim_host *host, enum sim_crash how);
uint64_t sim_host_raw(const struct sim_host *host);
uint64_t sim_host_time_of(const struct sim_host *host, uint64_t raw); /* When its raw clock shows at least that. */
void sim_host_free(struct sim_host *host);

/* ---- sim_disk.c: the environment's file operations ---- */

void sim_disk_init(struct sim_host *host);
void sim_disk_free(struct sim_host *host);
void sim_disk_end(struct sim_host *host,
		  enum sim_crash how);	    /* Of the process: closes files, decides writes under way. */
void sim_disk_crash(struct sim_host *host); /* Of the machine. */
void sim_io_reach(struct event *event);
void sim_io_done(struct event *event);
int sim_file_open(struct env *env, const char *path, enum env_open how, struct env_file **file);
void sim_file_close(struct env_file *file);
int64_t sim_file_size(struct env_file *file);
int64_t sim_file_read_at(struct env_file *file, void *bytes, size_t size, uint64_t offset);
int sim_file_write_at(struct env_file *file, const void *bytes, size_t size, uint64_t offset);
int sim_file_allocate(struct env_file *file, uint64_t size);
int sim_file_sync(struct env_file *file);
int sim_file_lock(struct env_file *file);
void sim_file_write_sync(struct env_file *file, const void *bytes, size_t size, uint64_t offset, struct env_io *io);
void sim_file_write_async(struct env_file *file, const void *bytes, size_t size, uint64_t offset, struct env_io *io);
void sim_file_sync_async(struct env_file *file, struct env_io *io);
int sim_dir_make(struct env *env, const char *path);
int sim_dir_list(struct env *env, const char *path, void (*each)(void *context, const char *name), void *context);
int sim_dir_rename(struct env *env, const char *from, const char *to);
int sim_dir_unlink(struct env *env, const char *path);
int sim_dir_sync(struct env *env, const char *path);

/* ---- sim_net.c: links, and how connections come and go ---- */

enum stream_state {
	STREAM_NONE,	  /* The far end of a connect that has not arrived yet. */
	STREAM_OPENING,	  /* The process connects. */
	STREAM_ACCEPTING, /* The system has accepted it, the process has not heard of it. */
	STREAM_OPEN,
	STREAM_BROKEN,	  /* Over: nothing is left but to tell `closed`. */
	STREAM_LINGERING, /* The process has closed it; output and its end are still to leave. */
	STREAM_DEAD,	  /* Of this end nothing is left. The system answers what arrives with a reset. */
};

/* One end of a connection: the way out of it, and what has come in. */
struct env_stream {
	struct sim_conn *conn;
	struct sim_host *host; /* NULL for the far end of a connect to nowhere. */
	const struct env_stream_events *events;
	void *context;
	enum stream_state state;
	bool paused;
	bool waited;	 /* Output has had to wait: `drained` is owed when it has left. */
	bool drained;	 /* The process is to hear that. */
	bool reset_sent; /* The other end will hear of a reset. */
	bool in_message; /* What has come in ends inside something written, or the connect is not answered. */
	int status;	 /* While broken. */
	struct event news;
	struct list at;	   /* In host->streams, unless none or dead. */
	struct list dirty; /* In host->dirty. */

	struct list output; /* Chunks that have not left. */
	struct list flight; /* Ordered chunks on their way. Only the first one's event is set; while held, none is. */
	struct list frames; /* Frames on their way. */
	size_t pending;	    /* Bytes in `output`. */
	size_t in_flight;   /* Bytes that left and were not read. */
	size_t withheld;    /* Of these: read, but the word of it does not come through a cut. */
	uint64_t written;   /* Ordered bytes in all. */

	struct list input; /* Chunks that arrived, in the order in which they will be read. */
	struct list early; /* Frames that arrived, and may not be read yet. */
	uint64_t arrived;  /* Ordered bytes in all. */
};

struct sim_conn {
	struct sim *sim;
	struct list at;		       /* In sim->conns or sim->graveyard. */
	struct env_stream ends[2];     /* The one that connected, the one that was accepted. */
	struct env_listener *listener; /* While accepting. */
	struct event timeout;	       /* Of the connect; later of a cut. */
	int timeout_status;	       /* Of the connect. */
	char port[8];
};

struct env_listener {
	struct sim_host *host;
	struct list at;
	const struct env_accept_events *events;
	void *context;
	char port[8];
};

static inline struct env_stream *stream_peer(const struct env_stream *stream)
{
	return &stream->conn->ends[stream == stream->conn->ends ? 1 : 0];
}

static inline bool link_is_cut(const struct sim_host *from, const struct sim_host *to)
{
	return from->sim->cut[from->number][to->number];
}

uint64_t sim_delay(struct sim_host *from, const struct sim_host *to, size_t size);
/* The connection is over for this end; `closed` is told. Unless the status is 0, what it sent is lost. */
void sim_stream_reset(struct env_stream *stream, int status);
/* The end is dead from now on. Keeps what is in flight. */
void sim_stream_bury(struct env_stream *stream);
void sim_reap(struct sim *sim);				     /* Frees connections with two dead ends. */
void sim_net_end(struct sim_host *host, enum sim_crash how); /* Of the process. */
void sim_net_free(struct sim *sim);
void sim_connect_arrives(struct env_stream *far); /* At the host of its far end. */
void sim_timeout_reach(struct event *event);
int sim_listen(struct env *env, const char *address, const struct env_accept_events *events, void *context,
	       struct env_listener **listener);
void sim_listener_close(struct env_listener *listener);
struct env_stream *sim_connect(struct env *env, const char *address, const struct env_stream_events *events,
			       void *context);
void sim_stream_attach(struct env_stream *stream, const struct env_stream_events *events, void *context);
void sim_stream_close(struct env_stream *stream, bool flush);

/* ---- sim_stream.c: what is sent over them ---- */

enum chunk_kind {
	CHUNK_CONNECT,
	CHUNK_ANSWER, /* To a connect. */
	CHUNK_BYTES,
	CHUNK_FRAME,
	CHUNK_END, /* With status 0 after what was sent before, else at once. */
};

void sim_stream_init(struct env_stream *stream, struct sim_conn *conn, struct sim_host *host);
void sim_stream_write(struct env_stream *stream, const void *bytes, size_t size);
void sim_stream_write_frame(struct env_stream *stream, const void *bytes, size_t size);
size_t sim_stream_pending(const struct env_stream *stream);
void sim_stream_pause(struct env_stream *stream, bool paused);
/* Sends what has no bytes, CONNECT, ANSWER or END, behind everything in flight, at `time`. */
void sim_stream_send(struct env_stream *stream, enum chunk_kind kind, int status, uint64_t time);
void sim_stream_end_output(struct env_stream *stream); /* The last of the output is an end. */
/* What was written since the last turn leaves at `time`. */
void sim_stream_flush(struct env_stream *stream, uint64_t time);
void sim_stream_release(struct env_stream *stream); /* A way between the two ends was healed. */
void sim_stream_drop_output(struct env_stream *stream);
void sim_stream_drop_flight(struct env_stream *stream); /* On its way from here. */
void sim_stream_drop_input(struct env_stream *stream);
void sim_stream_skip_input(struct env_stream *stream); /* As if it was read. */
void sim_chunk_reach(struct event *event);
void sim_stream_hear(struct event *event);

/* ---- Draws ---- */

static inline bool rng_chance(struct rng *rng, uint32_t ppm)
{
	return ppm != 0 && ((rng_next(rng) >> 32) * 1000000 >> 32) < ppm;
}

/* In [low, high]; low when high is not above it. Without a division. */
static inline uint64_t rng_range(struct rng *rng, uint64_t low, uint64_t high)
{
	if (high <= low)
		return low;
	return low + (uint64_t)((unsigned __int128)rng_next(rng) * (high - low + 1) >> 64);
}

#endif
