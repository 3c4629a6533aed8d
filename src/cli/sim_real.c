/*
 * `ikada sim --real-time`: many clusters at once by the real clock, on two threads, so that they starve each other.
 * Rules may not be broken by that, and every cluster must get on; elections for nothing are counted, not judged.
 */
#include "cli/sim.h"

#include "sim/live.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NS_PER_S ((uint64_t)1000000000)
#define PROPOSE_NS (NS_PER_S / 5)

enum { THREADS = 2 };

struct worker {
	pthread_t thread;
	struct live **lives;
	uint32_t count;
	uint64_t start_ns, end_ns;
	uint64_t *half; /* The commits of each after half of the time. */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = number;
}

static uint64_t clock_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	const struct timespec until = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static void look_at_half(struct worker *w)
{
	for (uint32_t i = 0; i < w->count; i++) {
		struct live_report report;
		live_look(w->lives[i], &report);
		w->half[i] = report.commits;
	}
}

static void *work(void *context)
{
	struct worker *w = context;
	uint64_t half_ns = w->start_ns + (w->end_ns - w->start_ns) / 2;
	bool halved = false;
	for (uint64_t now = clock_ns(); now < w->end_ns && interrupted == 0; now = clock_ns()) {
		uint64_t next = w->end_ns - w->start_ns;
		if (!halved && now >= half_ns) {
			look_at_half(w);
			halved = true;
		}
		for (uint32_t i = 0; i < w->count; i++) {
			live_go_on(w->lives[i], clock_ns() - w->start_ns);
			uint64_t due = live_next(w->lives[i]);
			next = due < next ? due : next;
		}
		if (w->start_ns + next > clock_ns())
			sleep_until(w->start_ns + next);
	}
	return NULL;
}

/* What became of them; returns how many failed. */
static uint32_t judge(const struct worker *workers, uint32_t *needless)
{
	uint64_t commits = 0, late_ns = 0, events = 0;
	uint32_t failed = 0;

	for (uint32_t t = 0; t < THREADS; t++)
		for (uint32_t i = 0; i < workers[t].count; i++) {
			struct live_report r;
			live_look(workers[t].lives[i], &r);
			commits += r.commits;
			events += r.events;
			late_ns = r.late_max_ns > late_ns ? r.late_max_ns : late_ns;
			*needless += r.leaders > 1 ? (uint32_t)(r.leaders - 1) : 0;
			if (r.failure[0] == '\0' && r.commits > workers[t].half[i])
				continue;
			failed++;
			printf("cluster %" PRIu32 " failed: %s\n", i * THREADS + t,
			       r.failure[0] != '\0' ? r.failure : "nothing was committed in the second half");
		}
	printf("entries: %" PRIu64 " committed; %" PRIu64 " events, the latest came %" PRIu64 " ms late\n", commits,
	       events, late_ns / 1000000);
	return failed;
}

int sim_real_time(const struct sim_real_time_settings *s)
{
	struct worker workers[THREADS] = {0};
	struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	for (uint32_t t = 0; t < THREADS; t++) {
		struct worker *w = &workers[t];
		w->lives = calloc(s->clusters, sizeof *w->lives);
		w->half = calloc(s->clusters, sizeof *w->half);
		if (w->lives == NULL || w->half == NULL)
			abort();
	}
	for (uint32_t i = 0; i < s->clusters; i++) {
		struct worker *w = &workers[i % THREADS];
		w->lives[w->count++] = live_create(s->seed + i, PROPOSE_NS);
	}
	uint64_t start = clock_ns();
	for (uint32_t t = 0; t < THREADS; t++) {
		workers[t].start_ns = start;
		workers[t].end_ns = start + s->seconds * NS_PER_S;
		if (pthread_create(&workers[t].thread, NULL, work, &workers[t]) != 0)
			abort();
	}
	for (uint32_t t = 0; t < THREADS; t++)
		pthread_join(workers[t].thread, NULL);
	uint64_t seconds = (clock_ns() - start) / NS_PER_S;
	uint32_t needless = 0;
	uint32_t failed = interrupted != 0 ? 0 : judge(workers, &needless);
	if (interrupted != 0)
		return 128 + (int)interrupted;
	for (uint32_t t = 0; t < THREADS; t++) {
		for (uint32_t i = 0; i < workers[t].count; i++)
			live_destroy(workers[t].lives[i]);
		free(workers[t].lives);
		free(workers[t].half);
	}
	printf("real-time: %" PRIu32 " clusters, %" PRIu32 " failed, %" PRIu32 " needless elections, %" PRIu64
	       " seconds\n",
	       s->clusters, failed, needless, seconds);
	return failed == 0 ? 0 : 1;
}
