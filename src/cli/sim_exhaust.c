/* `ikada sim --exhaust`: all runs of three cores within bounds. */
#include "cli/sim.h"

#include "sim/exhaust.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define MEMORY_BYTES ((uint64_t)5500 << 20)

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = number;
}

static void print_line(void *context, const char *text)
{
	printf("\t%s\n", text);
}

/* When it began, and when something was last said of how far it is. */
struct pace {
	time_t start, told;
	uint64_t states; /* Then. */
};

/* On a terminal one line, each second; else a line each ten seconds. */
static bool progress(void *context, const struct exhaust_result *r)
{
	struct pace *pace = context;
	bool terminal = isatty(STDERR_FILENO);
	time_t now = time(NULL);
	if (now < pace->told + (terminal ? 1 : 10))
		return interrupted == 0;
	fprintf(stderr,
		"%s%lld s: %" PRIu64 " states, %" PRIu64 " a second, %" PRIu64 " steps; at depth %" PRIu64
		" of %" PRIu64 ", %" PRIu64 " states wait; %" PRIu64 " MB%s",
		terminal ? "\r\033[K" : "", (long long)(now - pace->start), r->states,
		(r->states - pace->states) / (uint64_t)(now - pace->told), r->steps, r->at_depth, r->depth, r->waiting,
		r->bytes >> 20, terminal ? "" : "\n");
	pace->told = now;
	pace->states = r->states;
	return interrupted == 0;
}

int sim_exhaust(const struct sim_exhaust_settings *s)
{
	const struct exhaust_bounds b = {
		.terms = s->terms,
		.entries = s->entries,
		.timeouts = s->timeouts,
		.restarts = s->restarts,
		.in_flight = s->in_flight,
		.beats = s->beats,
		.disks = EXHAUST_LEADERS_LATE,
		.raft_check = s->raft_check,
	};
	time_t start = time(NULL);
	struct pace pace = {.start = start, .told = start};
	const struct exhaust_hooks hooks = {.context = &pace, .trace = print_line, .progress = progress};
	struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	struct exhaust_result r;
	printf("bounds: 3 nodes, %" PRIu32 " terms, %" PRIu32 " entries, %" PRIu32 " timeouts, %" PRIu32
	       " restarts, %" PRIu32 " beats, %" PRIu32 " messages in flight on each way; %s\n",
	       b.terms, b.entries, b.timeouts, b.restarts, b.beats, b.in_flight,
	       b.raft_check ? "the rules of figure 3, and the core's own" : "the rules of figure 3 alone");
	fflush(stdout);
	exhaust(&b, MEMORY_BYTES, &hooks, &r);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	if (r.failed)
		printf("failed: %s\n", r.failure);
	printf("leaders began %" PRIu64 " times, entries were committed %" PRIu64 " times, logs cut %" PRIu64
	       " times; %" PRIu64 " states beyond the entries were not followed\n",
	       r.leaders, r.commits, r.cut, r.beyond);
	printf("exhaust: %" PRIu64 " states, %" PRIu64 " steps, depth %" PRIu64 ", %" PRIu64 " MB, %lld seconds, %s\n",
	       r.states, r.steps, r.depth, r.bytes >> 20, (long long)(time(NULL) - start),
	       r.failed	 ? "a rule is broken"
	       : r.whole ? "whole"
			 : "not whole");
	if (interrupted != 0)
		return 128 + (int)interrupted;
	return r.whole && !r.failed ? 0 : 1;
}
