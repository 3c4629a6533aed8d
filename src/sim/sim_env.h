/*
 * The simulated world under src/env/env.h: virtual time, hosts with clocks and disks, and the network between them.
 *
 * One heap of events ordered by (time, order of insertion) drives everything. All randomness comes from the seed, with
 * a stream of its own for each host and purpose. Nothing depends on addresses, on the real clock, or on mutable
 * globals: the same calls with the same seed give the same world, and the same sim_trace_hash.
 *
 * A host is a machine: its disk outlives its process. The process is a `struct env` with memory of its own, made by
 * sim_host_start and ended by sim_host_crash, sim_host_stop or env fatal. Everything below that takes probabilities
 * takes them in parts per million (`_ppm`); times are nanoseconds of virtual time unless said otherwise.
 *
 * The owner (the one who calls this header) acts between events: from functions given to sim_schedule, from the
 * callbacks in `struct sim_hooks`, or between steps. Code of a process runs only in its env's callbacks, or in
 * sim_host_run.
 */
#ifndef IKADA_SIM_SIM_ENV_H
#define IKADA_SIM_SIM_ENV_H

#include "base/rng.h"
#include "env/env.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim;
struct sim_host;

enum { SIM_HOSTS_MAX = 32 };

struct sim_hooks {
	void *context;
	/* env fatal: the process has ended (as by SIM_KILL) when this is called. It may start it again. May be NULL. */
	void (*on_fatal)(void *context, struct sim_host *host, const char *text);
	/* A line that a process logged. May be NULL. */
	void (*on_log)(void *context, struct sim_host *host, enum env_level level, const char *room, const char *text);
	/* One readable line for each event. NULL costs nothing. */
	void (*on_trace)(void *context, const char *text);
};

struct sim_counters {
	uint64_t events; /* Dispatched: what arrived, completed, fired. */
	uint64_t turns;
	uint64_t frames_delivered, frames_dropped, frames_duplicated;
	uint64_t bytes_delivered;
	uint64_t connects, resets; /* Attempts; connections ended by a break, a timeout or a crash. */
	uint64_t disk_writes, disk_syncs;
	uint64_t sectors_lost; /* By crashes. */
	uint64_t entries_lost; /* Directory changes, by crashes. */
	uint64_t crashes, fatals;
};

/* ---- The world ---- */

struct sim *sim_create(uint64_t seed);
void sim_destroy(struct sim *sim);				    /* Ends all processes and frees everything. */
void sim_set_hooks(struct sim *sim, const struct sim_hooks *hooks); /* Copied. */

uint64_t sim_now(const struct sim *sim);
/* Calls fn(context) at `at` (at once, that is next, when that is past). Nothing takes it back. */
void sim_schedule(struct sim *sim, uint64_t at, void (*fn)(void *context), void *context);
/* Dispatches the next event; false when there is none. */
bool sim_step(struct sim *sim);
/* Dispatches all events up to and including `time`; afterwards it is `time`. */
void sim_run_until(struct sim *sim, uint64_t time);
/*
 * The same for a world that follows a clock which has gone on to `time` meanwhile: what was due before comes late, all
 * of it at `time`, in the order in which it was due.
 */
void sim_catch_up(struct sim *sim, uint64_t time);
/* When something is due next; UINT64_MAX: never. */
uint64_t sim_next(const struct sim *sim);

/* Over time, host, kind, sizes and bytes of each event so far. */
uint64_t sim_trace_hash(const struct sim *sim);
const struct sim_counters *sim_counters(const struct sim *sim);
/* A generator for the owner's own purposes, derived from the seed. Use another `purpose` for each. */
struct rng sim_rng(const struct sim *sim, uint64_t purpose);

/* ---- Hosts ---- */

/* `id` names its random streams and stands in traces; `name` is the HOST of addresses "HOST:PORT". Copied. */
struct sim_host *sim_host_create(struct sim *sim, uint64_t id, const char *name);
struct sim_host *sim_host_named(struct sim *sim, const char *name); /* NULL when there is none. */
uint64_t sim_host_id(const struct sim_host *host);
const char *sim_host_name(const struct sim_host *host);
struct sim *sim_host_sim(const struct sim_host *host);
void sim_host_set_owner(struct sim_host *host, void *owner); /* For the owner's use. */
void *sim_host_owner(const struct sim_host *host);

/*
 * Starts a process: a fresh env over the host's disk. The host must not be running. Then open things in sim_host_run.
 */
struct env *sim_host_start(struct sim_host *host);
bool sim_host_running(const struct sim_host *host);
struct env *sim_host_env(struct sim_host *host); /* NULL when not running. */
/*
 * Runs fn(context) as code of the host's process: it may use the env and call fatal; output is sent afterwards and a
 * turn follows. False when the process ended inside (fatal, or crashed by the owner). Not from the host's own code.
 */
bool sim_host_run(struct sim_host *host, void (*fn)(void *context), void *context);

enum sim_crash {
	SIM_KILL,  /* The process dies. The system lives: unsynced data stays, still unsynced; peers see resets. */
	SIM_POWER, /* The machine dies: unsynced data is lost; peers see resets after a delay, as after a reboot. */
	SIM_POWER_SILENT, /* The same, but peers see nothing before they write. */
};
/*
 * Ends the process at once and takes back its memory. On a host that is not running, only the disk loses what
 * `how` says. Called from inside the host's own code (by an observer, say) it does not return.
 */
void sim_host_crash(struct sim_host *host, enum sim_crash how);
/* Ends a process that has closed everything it opened. Returns the bytes of memory it did not free. */
size_t sim_host_stop(struct sim_host *host);

/* ---- Clocks and scheduling ---- */

struct sim_host_settings {
	/*
	 * A wake-up keeps the process busy so long: what arrives meanwhile waits, output leaves at the end. At least 1.
	 */
	uint64_t turn_min_ns, turn_max_ns;
	/* Now and then a wake-up comes late, by up to late_max_ns. */
	uint32_t late_ppm;
	uint64_t late_max_ns;
	/*
	 * How long a sync takes: mostly min..typical, one time in eight typical..max. An inline one keeps the process
	 * busy.
	 */
	uint64_t sync_min_ns, sync_typical_ns, sync_max_ns;
	/*
	 * What SIM_POWER does to unsynced sectors: all lost, all kept, a prefix kept, else each on its own. Directory
	 * changes likewise; one that builds on a lost one is lost.
	 */
	uint32_t crash_all_lost_ppm, crash_all_kept_ppm, crash_prefix_ppm;
};
/* Defaults: turns 1..20 us, never late, syncs 100 us, 500 us, 4 ms; 200000 ppm for each of the three crash modes. */
struct sim_host_settings *sim_host_settings(struct sim_host *host); /* May be changed at any time. */

/* The host's clocks run at rate_ppm / 1000000 of virtual time from now on. Between 500000 and 2000000. */
void sim_host_set_rate(struct sim_host *host, uint32_t rate_ppm);
/* The wall clock is off by this much (at first: 0). */
void sim_host_set_wall_offset(struct sim_host *host, int64_t offset_ns);
/* No callback before `until`; everything queues. The disk and the network go on. */
void sim_host_pause(struct sim_host *host, uint64_t until);

/* ---- Disk ---- */

/* Writes and syncs complete no earlier than `until` (plus their time). */
void sim_disk_stall(struct sim_host *host, uint64_t until);
/* Room in bytes, of all files together; beyond: ENOSPC. At first UINT64_MAX. */
void sim_disk_set_limit(struct sim_host *host, uint64_t bytes);
uint64_t sim_disk_used(const struct sim_host *host);
/* The next write, allocation or sync of any kind fails with EIO. */
void sim_disk_fail_next(struct sim_host *host);
/* It does not, after all. */
void sim_disk_mend(struct sim_host *host);
/* Flips one bit of a file as it stands; false when there is no such file or byte. */
bool sim_disk_flip(struct sim_host *host, const char *path, uint64_t offset, unsigned bit);
/* The current content, for the owner's eyes: valid until the next write to it. NULL when there is no such file. */
const uint8_t *sim_disk_peek(struct sim_host *host, const char *path, uint64_t *size);
/* Calls each(context, path) for every file, directories left out, in an order that depends on nothing but the past. */
void sim_disk_each(struct sim_host *host, void (*each)(void *context, const char *path), void *context);
/* A new, empty disk. The host must not be running. */
void sim_disk_wipe(struct sim_host *host);

/* ---- Network ---- */

/*
 * Streams are as TCP: what is written by stream_write arrives in order, split anywhere. A frame (stream_write_frame)
 * may be lost, come twice, or come in another order than other frames, but whole: it is put into the stream of bytes
 * only where one stream_write ends and the next begins, and after all that was written before it. So on a stream with
 * frames each stream_write must be of whole messages.
 */

/* Of the way from one host to another. Applies to what is sent from now on. */
struct sim_link {
	uint64_t delay_min_ns, delay_max_ns;
	uint32_t slow_ppm; /* So many deliveries take up to slow_max_ns more. */
	uint64_t slow_max_ns;
	uint64_t byte_ns;		  /* Added for each byte. */
	uint32_t drop_ppm, duplicate_ppm; /* Of frames. */
	uint32_t split_ppm;		  /* Of deliveries of ordered bytes; each rest may be split again. */
	uint64_t window_bytes; /* So much may be on its way or unread; the rest is pending at the writer. Not 0. */
};
/* Defaults: 100..500 us, nothing slow, dropped or duplicated, 100000 ppm split, 256 KiB window. */
struct sim_link *sim_net_link(struct sim_host *from, struct sim_host *to); /* May be changed at any time. */
/* Sets the link of every ordered pair, also of hosts created later. */
void sim_net_set_all(struct sim *sim, const struct sim_link *link);

/*
 * While a way is cut, frames on it are lost, ordered bytes are held, connects hang. `break_ppm` of the connections
 * over it end with ETIMEDOUT after break_min_ns..break_max_ns if it is still cut then; connects after connect_ns.
 */
struct sim_net_settings {
	uint32_t break_ppm;
	uint64_t break_min_ns, break_max_ns;
	uint64_t connect_ns;
	uint64_t reboot_min_ns, reboot_max_ns; /* A machine that lost power resets its connections after so long. */
};
/* Defaults: 500000 ppm after 1..10 s; connects after 3 s; 0.2..2 s. */
struct sim_net_settings *sim_net_settings(struct sim *sim);

void sim_net_cut(struct sim_host *a, struct sim_host *b, bool both_ways); /* Else only from a to b. */
void sim_net_heal(struct sim_host *a, struct sim_host *b);		  /* Both ways. */
void sim_net_heal_all(struct sim *sim);
bool sim_net_is_cut(const struct sim_host *from, const struct sim_host *to);
/* Resets all connections between two hosts; what is on its way is lost. */
void sim_net_break(struct sim_host *a, struct sim_host *b);

#endif
