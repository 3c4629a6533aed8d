/*
 * The real env: the loop, the clocks and the log. Files, streams and dials are in the files beside this one.
 *
 * One iteration of env_uv_run is one wake-up: poll, and the callbacks of what it found; ended streams are told; the
 * turn, if a callback was made or the deadline passed; one send for each stream with output; the writes of the turn,
 * each with its sync, small ones inline, and what their completion leads to is sent. It polls without blocking when
 * there is more to do, so sockets are looked at before each turn, and their bytes before a deadline is judged.
 *
 * Raw time is CLOCK_BOOTTIME: unlike CLOCK_MONOTONIC it goes on while the machine is suspended, so a leader that wakes
 * up from a long sleep knows that its lease is over. The timer is a timerfd on the same clock, because libuv's own
 * timers are in milliseconds and on another clock. Raw time is read once in a wake-up, at the first need, and again
 * after writes.
 *
 * Lateness below LATE_NS_MIN is the ordinary length of an iteration, not starvation: it is not taken off the awake
 * clock. A deadline that was in the past when it was asked for is late from then on; so awake time never goes back.
 */
#include "env/env_uv_internal.h"

#include "base/check.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S ((uint64_t)1000000000)
#define TOO_EARLY_NS ((uint64_t)5 * 1000 * 1000)
#define SOON_NS ((uint64_t)30 * 1000 * 1000)
#define LATE_NS_MIN ((uint64_t)10 * 1000 * 1000)

static uint64_t read_clock(clockid_t clock)
{
	struct timespec now;
	CHECK(clock_gettime(clock, &now) == 0);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t env_uv_raw(struct env_uv *u)
{
	if (u->now_known)
		return u->now_ns;
	u->now_ns = read_clock(CLOCK_BOOTTIME);
	u->now_known = true;
	if (u->now_ns >= u->wake_ns) {
		uint64_t late_ns = u->now_ns - later(u->wake_ns, u->wake_set_ns);
		if (late_ns >= LATE_NS_MIN && !u->strict)
			u->late_ns += late_ns;
		u->wake_due = true;
		u->wake_ns = UINT64_MAX;
	}
	return u->now_ns;
}

static uint64_t raw_ns(struct env *env)
{
	return env_uv_raw(uv_of(env));
}

static uint64_t awake_ns(struct env *env)
{
	struct env_uv *u = uv_of(env);
	uint64_t raw = env_uv_raw(u);
	return raw - u->late_ns;
}

static uint64_t wall_ns(struct env *env)
{
	(void)env;
	return read_clock(CLOCK_REALTIME);
}

static void wake_at(struct env *env, uint64_t at_ns)
{
	struct env_uv *u = uv_of(env);
	u->wake_set_ns = env_uv_raw(u);
	u->wake_ns = at_ns;
}

static uint64_t random_u64(struct env *env)
{
	uint64_t value;
	if (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value)
		env_fatal(env, "the system gives no random numbers: %s", strerror(errno));
	return value;
}

static void log_line(struct env *env, enum env_level level, const char *room, const char *text)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	if (level < uv_of(env)->log_level)
		return;
	struct timespec now;
	struct tm utc;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	char when[32];
	strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
	fprintf(stderr, "%s.%03ldZ %s %s %s\n", when, now.tv_nsec / 1000000, names[level], room, text);
	fflush(stderr);
}

static void fatal(struct env *env, const char *text)
{
	log_line(env, ENV_ERROR, "fatal", text);
	_exit(1);
}

static void push(struct env *env)
{
	struct env_uv *u = uv_of(env);
	env_uv_flush(u);
	env_uv_perform_large_writes(u);
}

static const struct env_ops ops = {
	.raw_ns = raw_ns,
	.awake_ns = awake_ns,
	.wall_ns = wall_ns,
	.random = random_u64,
	.log = log_line,
	.fatal = fatal,
	.wake_at = wake_at,
	.push = push,
	.open = env_uv_open,
	.close = env_uv_close,
	.size = env_uv_size,
	.read_at = env_uv_read_at,
	.write_at = env_uv_write_at,
	.allocate = env_uv_allocate,
	.sync = env_uv_sync,
	.lock = env_uv_lock,
	.make_dir = env_uv_make_dir,
	.list_dir = env_uv_list_dir,
	.rename = env_uv_rename,
	.unlink = env_uv_unlink,
	.sync_dir = env_uv_sync_dir,
	.write_sync = env_uv_write_sync,
	.write_async = env_uv_write_async,
	.sync_async = env_uv_sync_async,
	.listen = env_uv_listen,
	.listener_close = env_uv_listener_close,
	.connect = env_uv_connect,
	.stream_attach = env_uv_stream_attach,
	.stream_write = env_uv_stream_write,
	.stream_write_frame = env_uv_stream_write_frame,
	.stream_pending = env_uv_stream_pending,
	.stream_pause = env_uv_stream_pause,
	.stream_close = env_uv_stream_close,
};

struct watch *env_uv_watch(struct env_uv *u, int fd, void *owner)
{
	struct watch *watch = mem_zero(u->env.mem, sizeof *watch);
	watch->u = u;
	watch->fd = fd;
	if (uv_poll_init(&u->loop, &watch->poll, fd) != 0) {
		close(fd);
		mem_free(u->env.mem, watch);
		return NULL;
	}
	watch->poll.data = owner;
	return watch;
}

void env_uv_poll(struct watch *watch, int events, uv_poll_cb ready)
{
	if (watch->events == events)
		return;
	watch->events = events;
	int status = events == 0 ? uv_poll_stop(&watch->poll) : uv_poll_start(&watch->poll, events, ready);
	CHECK(status == 0);
}

static void watch_released(uv_handle_t *handle)
{
	struct watch *watch = (struct watch *)(void *)handle;
	mem_free(watch->u->env.mem, watch);
}

void env_uv_unwatch(struct watch *watch)
{
	if (watch == NULL)
		return;
	uv_close((uv_handle_t *)&watch->poll, watch_released);
	close(watch->fd);
}

static void timer_fired(uv_poll_t *poll, int status, int events)
{
	(void)poll;
	(void)status;
	(void)events; /* That it woke the loop is all; it stays readable until it is armed again. */
}

static void arm_timer(struct env_uv *u, uint64_t at_ns)
{
	struct itimerspec when = {0};
	if (at_ns != UINT64_MAX) {
		when.it_value.tv_sec = (time_t)(at_ns / NS_PER_S);
		when.it_value.tv_nsec = (long)(at_ns % NS_PER_S);
	}
	CHECK(timerfd_settime(u->timer->fd, TFD_TIMER_ABSTIME, &when, NULL) == 0);
	u->timer_ns = at_ns;
}

/*
 * Deadlines mostly move away. To arm the timer anew each time would be a system call for each wake-up, to leave it a
 * wake-up for nothing: so it is moved when it would soon fire, and much too early.
 */
static bool fires_for_nothing(const struct env_uv *u, uint64_t at_ns, uint64_t now_ns)
{
	return u->timer_ns < at_ns && at_ns - u->timer_ns > TOO_EARLY_NS && u->timer_ns - now_ns < SOON_NS;
}

/* True when the next poll must not block. Else the timer is armed, at the latest for the next deadline. */
static bool work_at_hand(struct env_uv *u, uint64_t linger_ns)
{
	if (!list_empty(&u->completed) || !list_empty(&u->failed) || !list_empty(&u->dirty) ||
	    !list_empty(&u->writes) || u->wake_due || u->happened)
		return true;
	uint64_t at_ns = linger_ns < u->wake_ns ? linger_ns : u->wake_ns;
	uint64_t now_ns = read_clock(CLOCK_BOOTTIME);
	if (at_ns <= now_ns)
		return true;
	if (at_ns < u->timer_ns || u->timer_ns <= now_ns || fires_for_nothing(u, at_ns, now_ns))
		arm_timer(u, at_ns);
	return false;
}

/*
 * What was written inline is told at once, and what that leads to is sent: who waits for this disk need not wait until
 * this process has read its sockets. A turn follows, as after any other callback.
 */
static void tell_written(struct env_uv *u)
{
	if (list_empty(&u->completed) || u->stopping)
		return;
	u->now_known = false;
	env_uv_raw(u);
	env_uv_complete_writes(u);
	env_uv_flush(u);
}

static void wake_up(struct env_uv *u)
{
	env_uv_raw(u);
	env_uv_complete_writes(u);
	env_uv_tell_failed(u);
	bool due = u->wake_due || u->happened;
	u->wake_due = false;
	u->happened = false;
	if (due && u->env.turn != NULL)
		u->env.turn(u->env.turn_context);
	env_uv_flush(u);
	env_uv_linger(u); /* After the sockets: time that this process slept is not held against a peer. */
	env_uv_perform_writes(u);
	tell_written(u);
	env_uv_reap(u);
}

void env_uv_run(struct env *env)
{
	struct env_uv *u = uv_of(env);
	u->stopping = false;
	while (!u->stopping) {
		bool more = work_at_hand(u, env_uv_linger_deadline(u));
		u->now_known = false;
		uv_run(&u->loop, more ? UV_RUN_NOWAIT : UV_RUN_ONCE);
		if (!u->stopping)
			wake_up(u);
	}
}

void env_uv_forgive_nothing(struct env *env)
{
	uv_of(env)->strict = true;
}

void env_uv_stop(struct env *env)
{
	uv_of(env)->stopping = true;
}

uv_loop_t *env_uv_loop(struct env *env)
{
	return &uv_of(env)->loop;
}

struct env *env_uv_create(struct mem *mem, enum env_level log_level)
{
	signal(SIGPIPE, SIG_IGN);
	int timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (timer_fd < 0)
		return NULL;
	struct env_uv *u = mem_zero(mem, sizeof *u);
	int status = uv_loop_init(&u->loop);
	if (status != 0) {
		close(timer_fd);
		mem_free(mem, u);
		errno = -status;
		return NULL;
	}
	u->env.ops = &ops;
	u->env.mem = mem;
	u->log_level = log_level;
	u->wake_ns = UINT64_MAX;
	u->timer_ns = UINT64_MAX;
	list_init(&u->writes);
	list_init(&u->completed);
	list_init(&u->streams);
	list_init(&u->failed);
	list_init(&u->dirty);
	list_init(&u->lingering);
	list_init(&u->dead);
	list_init(&u->listeners);
	u->timer = env_uv_watch(u, timer_fd, u);
	CHECK(u->timer != NULL);
	env_uv_poll(u->timer, UV_READABLE, timer_fired);
	return &u->env;
}

static void close_all(struct list *streams)
{
	while (!list_empty(streams))
		env_uv_stream_close(LIST_OF(streams->next, struct env_stream, at), false);
}

void env_uv_destroy(struct env *env)
{
	struct env_uv *u = uv_of(env);
	env_uv_flush(u);
	env_uv_listeners_close(u);
	close_all(&u->streams);
	close_all(&u->failed);
	close_all(&u->lingering);
	env_uv_end_writer(u);
	env_uv_unwatch(u->timer);
	uv_run(&u->loop, UV_RUN_DEFAULT);
	env_uv_reap(u);
	CHECK(uv_loop_close(&u->loop) == 0);
	mem_free(env->mem, u);
}
