/*
 * Hosts: machines with clocks and a disk, and the process that runs on each; the operations of its env.
 *
 * A process may stop existing at any point of its own code: sim_leave jumps out of it, and then, as for any other end,
 * its streams, listeners, files and writes are taken from it by the system, and its memory as a whole.
 */
#include "sim/sim_world.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>

#define WALL_START_NS ((uint64_t)1750000000 * 1000000000)
#define RESTART_MAX_NS ((uint64_t)1 << 40)

static struct sim_host *host_of(struct env *env)
{
	return (struct sim_host *)(void *)env;
}

static uint64_t raw_ns(struct env *env)
{
	return host_of(env)->raw_now;
}

static uint64_t awake_ns(struct env *env)
{
	return host_of(env)->raw_now - host_of(env)->lateness;
}

static uint64_t host_clock(const struct sim_host *host)
{
	uint64_t passed = host->sim->now - host->clock_time;
	return host->clock_base + (uint64_t)((unsigned __int128)passed * host->rate >> 32);
}

static uint64_t wall_ns(struct env *env)
{
	const struct sim_host *host = host_of(env);
	return WALL_START_NS + host_clock(host) + (uint64_t)host->wall_offset;
}

static uint64_t random_u64(struct env *env)
{
	return rng_next(&host_of(env)->rng_env);
}

static void log_line(struct env *env, enum env_level level, const char *room, const char *text)
{
	struct sim_host *host = host_of(env);
	const struct sim_hooks *hooks = &host->sim->hooks;
	if (hooks->on_log != NULL)
		hooks->on_log(hooks->context, host, level, room, text);
}

static void fatal(struct env *env, const char *text)
{
	struct sim_host *host = host_of(env);
	struct sim *sim = host->sim;
	CHECK(sim->frame != NULL && sim->frame->host == host);
	snprintf(sim->text, sizeof sim->text, "%s", text);
	sim_leave(sim, SIM_KILL, true);
}

static void wake_at(struct env *env, uint64_t at)
{
	struct sim_host *host = host_of(env);
	host->deadline = at > host->raw_now ? at : host->raw_now;
}

static const struct env_ops ops = {
	.raw_ns = raw_ns,
	.awake_ns = awake_ns,
	.wall_ns = wall_ns,
	.random = random_u64,
	.log = log_line,
	.fatal = fatal,
	.wake_at = wake_at,
	.open = sim_file_open,
	.close = sim_file_close,
	.size = sim_file_size,
	.read_at = sim_file_read_at,
	.write_at = sim_file_write_at,
	.allocate = sim_file_allocate,
	.sync = sim_file_sync,
	.lock = sim_file_lock,
	.make_dir = sim_dir_make,
	.list_dir = sim_dir_list,
	.rename = sim_dir_rename,
	.unlink = sim_dir_unlink,
	.sync_dir = sim_dir_sync,
	.write_sync = sim_file_write_sync,
	.write_async = sim_file_write_async,
	.sync_async = sim_file_sync_async,
	.listen = sim_listen,
	.listener_close = sim_listener_close,
	.connect = sim_connect,
	.stream_attach = sim_stream_attach,
	.stream_write = sim_stream_write,
	.stream_write_frame = sim_stream_write_frame,
	.stream_pending = sim_stream_pending,
	.stream_pause = sim_stream_pause,
	.stream_close = sim_stream_close,
};

static struct rng rng_for(const struct sim *sim, uint64_t id, uint64_t purpose)
{
	struct rng rng = sim_rng(sim, purpose | (uint64_t)1 << 63);
	uint64_t salt = rng_next(&rng);
	rng = rng_seed(salt + id * 0x9fb21c651e98df25u);
	return rng_seed(rng_next(&rng));
}

struct sim_host *sim_host_create(struct sim *sim, uint64_t id, const char *name)
{
	CHECK_OP(sim->host_count, <, (uint32_t)SIM_HOSTS_MAX);
	struct sim_host *host = mem_zero(&sim->mem, sizeof *host);
	host->sim = sim;
	host->id = id;
	host->number = sim->host_count++;
	sim->hosts[host->number] = host;
	CHECK_OP(strlen(name), <, sizeof host->name);
	snprintf(host->name, sizeof host->name, "%s", name);
	host->settings = (struct sim_host_settings){
		.turn_min_ns = 1000,
		.turn_max_ns = 20000,
		.sync_min_ns = 100000,
		.sync_typical_ns = 500000,
		.sync_max_ns = 4000000,
		.crash_all_lost_ppm = 200000,
		.crash_all_kept_ppm = 200000,
		.crash_prefix_ppm = 200000,
	};
	host->rng_env = rng_for(sim, id, 1);
	host->rng_disk = rng_for(sim, id, 2);
	host->rng_net = rng_for(sim, id, 3);
	host->rng_turn = rng_for(sim, id, 4);
	host->rate = (uint64_t)1 << 32;
	host->clock_time = sim->now;
	host->deadline = NEVER;
	mem_init(&host->mem, true);
	sim_event_init(&host->wake, EVENT_WAKE, host);
	list_init(&host->inbox);
	list_init(&host->ready);
	list_init(&host->streams);
	list_init(&host->listeners);
	list_init(&host->dirty);
	list_init(&host->files);
	list_init(&host->ios);
	sim_disk_init(host);
	for (uint32_t i = 0; i < sim->host_count; i++) {
		sim->links[host->number][i] = sim->link_default;
		sim->links[i][host->number] = sim->link_default;
	}
	return host;
}

void sim_host_free(struct sim_host *host)
{
	sim_disk_free(host);
	mem_free(&host->sim->mem, host);
}

struct sim_host *sim_host_named(struct sim *sim, const char *name)
{
	for (uint32_t i = 0; i < sim->host_count; i++) {
		if (strcmp(sim->hosts[i]->name, name) == 0)
			return sim->hosts[i];
	}
	return NULL;
}

uint64_t sim_host_id(const struct sim_host *host)
{
	return host->id;
}

const char *sim_host_name(const struct sim_host *host)
{
	return host->name;
}

struct sim *sim_host_sim(const struct sim_host *host)
{
	return host->sim;
}

void sim_host_set_owner(struct sim_host *host, void *owner)
{
	host->owner = owner;
}

void *sim_host_owner(const struct sim_host *host)
{
	return host->owner;
}

struct sim_host_settings *sim_host_settings(struct sim_host *host)
{
	return &host->settings;
}

struct env *sim_host_start(struct sim_host *host)
{
	CHECK(!host->running);
	host->running = true;
	host->starts++;
	host->env = (struct env){.ops = &ops, .mem = &host->mem};
	host->raw_start = rng_range(&host->rng_env, 1, RESTART_MAX_NS);
	host->raw_now = sim_host_raw(host);
	host->lateness = 0;
	host->deadline = NEVER;
	host->debt = 0;
	host->was_late = false;
	host->free_at = host->sim->now;
	sim_note(host, NOTE_STARTS, NULL, 0, 0);
	return &host->env;
}

bool sim_host_running(const struct sim_host *host)
{
	return host->running;
}

struct env *sim_host_env(struct sim_host *host)
{
	return host->running ? &host->env : NULL;
}

void sim_host_end(struct sim_host *host, enum sim_crash how)
{
	if (host->running) {
		sim_net_end(host, how);
		sim_disk_end(host, how);
		CHECK(list_empty(&host->inbox));
		sim_event_cancel(host->sim, &host->wake);
		list_remove(&host->ready);
		mem_free_all(&host->mem);
		host->env.turn = NULL;
		host->turn_due = false;
		host->running = false;
		sim_note(host, NOTE_ENDS, NULL, 0, (uint32_t)how);
	}
	if (how != SIM_KILL)
		sim_disk_crash(host);
}

void sim_host_crash(struct sim_host *host, enum sim_crash how)
{
	struct sim *sim = host->sim;
	sim->counters.crashes++;
	if (sim->frame != NULL && sim->frame->host == host)
		sim_leave(sim, how, false);
	for (const struct frame *frame = sim->frame; frame != NULL; frame = frame->outer)
		CHECK(frame->host != host);
	sim_host_end(host, how);
}

size_t sim_host_stop(struct sim_host *host)
{
	CHECK(host->running && (host->sim->frame == NULL || host->sim->frame->host != host));
	size_t left = host->mem.bytes;
	for (const struct list *at = host->streams.next; at != &host->streams; at = at->next) {
		if (LIST_OF(at, struct env_stream, at)->state != STREAM_LINGERING)
			left += sizeof(struct env_stream);
	}
	sim_host_end(host, SIM_KILL);
	return left;
}

uint64_t sim_host_raw(const struct sim_host *host)
{
	return host_clock(host) + host->raw_start;
}

uint64_t sim_host_time_of(const struct sim_host *host, uint64_t raw)
{
	uint64_t base = host->clock_base + host->raw_start;
	if (raw <= base)
		return host->clock_time;
	uint64_t target = raw - base;
	if (target > (uint64_t)1 << 62)
		target = (uint64_t)1 << 62;
	if (host->rate == (uint64_t)1 << 32)
		return host->clock_time + target;
	return host->clock_time + (uint64_t)((((unsigned __int128)target << 32) + host->rate - 1) / host->rate);
}

void sim_host_set_rate(struct sim_host *host, uint32_t rate_ppm)
{
	CHECK(rate_ppm >= 500000 && rate_ppm <= 2000000);
	host->clock_base = host_clock(host);
	host->clock_time = host->sim->now;
	host->rate = ((uint64_t)rate_ppm << 32) / 1000000;
	if (host->running)
		sim_host_arm(host);
}

void sim_host_set_wall_offset(struct sim_host *host, int64_t offset_ns)
{
	host->wall_offset = offset_ns;
}

void sim_host_pause(struct sim_host *host, uint64_t until)
{
	if (host->free_at < until)
		host->free_at = until;
	if (!list_empty(&host->ready)) {
		list_remove(&host->ready);
		sim_host_arm(host);
	}
}
