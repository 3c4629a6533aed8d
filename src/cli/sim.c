/*
 * `ikada sim`: one seed in this process, or many, each in a process of its own, so that a check that fails ends only its
 * seed. What such a process says on stderr is kept and shown with the failure.
 */
#include "cli/cli.h"

#include "base/check.h"
#include "cli/flags.h"
#include "sim/run.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MAX = 64, SAID_BYTES = 4096, HUNG_S = 600 };

/* ---- Sums ---- */

/* Counters of all runs together: structs of uint64_t only. */
struct totals {
	uint64_t runs, failed;
	uint64_t events, virtual_ns;
	uint64_t faults[FAULT_KINDS];
	struct sim_counters sim;
	struct rules_counters rules;
	struct cluster_counters cluster;
	struct history_counters history;
};

static void add_up(void *to, const void *from, size_t size)
{
	uint64_t *sum = to;
	const uint64_t *more = from;
	for (size_t i = 0; i < size / sizeof *sum; i++)
		sum[i] += more[i];
}

static void add_result(struct totals *totals, const struct run_result *result)
{
	uint64_t most = totals->history.states_max;
	totals->events += result->sim.events;
	totals->virtual_ns += result->virtual_ns;
	add_up(totals->faults, result->faults, sizeof totals->faults);
	add_up(&totals->sim, &result->sim, sizeof totals->sim);
	add_up(&totals->rules, &result->rules, sizeof totals->rules);
	add_up(&totals->cluster, &result->cluster, sizeof totals->cluster);
	add_up(&totals->history, &result->history, sizeof totals->history);
	totals->history.states_max = most > result->history.states_max ? most : result->history.states_max;
}

static void print_totals(const struct totals *t)
{
	printf("operations: %" PRIu64 " done, %" PRIu64 " refused, %" PRIu64 " unknown, on %" PRIu64
	       " keys; states to judge them %" PRIu64 ", at most %" PRIu64 " for a key\n",
	       t->history.done, t->history.refused, t->history.unknown, t->history.keys, t->history.states,
	       t->history.states_max);
	printf("entries: %" PRIu64 " committed; logs cut %" PRIu64 " times, %" PRIu64
	       " of them below what was durable\n",
	       t->rules.committed, t->rules.truncations, t->rules.truncated_durable);
	printf("leaders: %" PRIu64 ", %" PRIu64 " began with an uncommitted tail, %" PRIu64
	       " of these with one that a majority held, %" PRIu64 " while another believed to lead\n",
	       t->rules.leaders, t->rules.led_with_tail, t->rules.led_with_held_tail, t->rules.two_leaders);
	printf("messages: %" PRIu64 " votes, %" PRIu64 " appends rejected\n", t->rules.votes, t->rules.rejections);
	printf("reads: %" PRIu64 " granted, %" PRIu64 " refused\n", t->rules.reads_granted, t->rules.reads_refused);
	printf("nodes: %" PRIu64 " starts, %" PRIu64 " stops, %" PRIu64 " crashes, %" PRIu64 " logs recovered, %" PRIu64
	       " shorter than written; ended or not started for their disk %" PRIu64 "\n",
	       t->cluster.starts, t->cluster.stops, t->sim.crashes, t->rules.recoveries, t->rules.recovered_shorter,
	       t->cluster.excused_ends + t->cluster.excused_starts);
	printf("network: %" PRIu64 " frames, %" PRIu64 " dropped, %" PRIu64 " doubled, %" PRIu64
	       " connections, %" PRIu64 " broken; disk: %" PRIu64 " syncs, %" PRIu64 " sectors and %" PRIu64
	       " names lost\n",
	       t->sim.frames_delivered, t->sim.frames_dropped, t->sim.frames_duplicated, t->sim.connects, t->sim.resets,
	       t->sim.disk_syncs, t->sim.sectors_lost, t->sim.entries_lost);
	printf("faults:");
	for (uint32_t i = 0; i < FAULT_KINDS; i++)
		printf(" %s %" PRIu64, fault_name((enum fault_kind)i), t->faults[i]);
	printf("\n");
}

static void print_last_line(const struct totals *t)
{
	printf("sim: %" PRIu64 " runs, %" PRIu64 " failed, %" PRIu64 " events, %" PRIu64 " virtual seconds\n", t->runs,
	       t->failed, t->events, t->virtual_ns / 1000000000);
}

/* ---- One seed ---- */

static void print_line(void *context, const char *text)
{
	puts(text);
}

static int run_one(uint64_t seed, uint32_t nodes, bool trace)
{
	struct run_settings settings = {.seed = seed, .nodes = nodes, .trace = trace ? print_line : NULL};
	struct run_result *result = calloc(1, sizeof *result);
	struct totals totals = {.runs = 1};
	if (result == NULL)
		abort();
	run_seed(&settings, result);
	add_result(&totals, result);
	totals.failed = result->failed;
	printf("nodes: %" PRIu32 "\n", result->nodes);
	print_totals(&totals);
	if (result->failed)
		printf("seed %" PRIu64 " failed at %" PRIu64 " ms: %s\n", seed, result->virtual_ns / 1000000,
		       result->failure);
	printf("trace hash: %016" PRIx64 "\n", result->trace_hash);
	free(result);
	return totals.failed == 0 ? 0 : 1;
}

/* ---- Many seeds ---- */

/* A process that runs one seed. */
struct job {
	pid_t pid; /* 0: none. */
	uint64_t seed;
	int result_fd; /* The result as it stands in memory. */
	int said_fd;   /* Its stderr. */
	size_t result_size;
	struct run_result *result;
	size_t said_size;
	char said[SAID_BYTES];
	time_t started;
};

struct many {
	uint64_t next, last;
	bool ended; /* No seed after the one in `next - 1`. */
	uint32_t nodes;
	bool stop_at_failure;
	uint32_t jobs;
	struct job job[JOBS_MAX];
	struct totals totals;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = number;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "ikada sim: cannot %s: %s\n", what, strerror(errno));
	exit(1);
}

static _Noreturn void be_job(const struct job *job, uint32_t nodes, int result_fd, int said_fd)
{
	struct run_settings settings = {.seed = job->seed, .nodes = nodes};
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_DFL);
	dup2(said_fd, STDERR_FILENO);
	run_seed(&settings, job->result);
	const char *at = (const char *)job->result;
	for (size_t left = sizeof *job->result; left > 0;) {
		ssize_t n = write(result_fd, at, left);
		if (n <= 0)
			_exit(1);
		at += n;
		left -= (size_t)n;
	}
	_exit(0);
}

static void start_job(struct many *many, struct job *job)
{
	int result_fds[2], said_fds[2];
	if (pipe(result_fds) != 0 || pipe(said_fds) != 0)
		die("make a pipe");
	job->seed = many->next;
	if (many->next == many->last)
		many->ended = true;
	many->next++;
	job->result_size = job->said_size = 0;
	job->started = time(NULL);
	fflush(NULL);
	job->pid = fork();
	if (job->pid < 0)
		die("fork");
	if (job->pid == 0) {
		close(result_fds[0]);
		close(said_fds[0]);
		be_job(job, many->nodes, result_fds[1], said_fds[1]);
	}
	close(result_fds[1]);
	close(said_fds[1]);
	job->result_fd = result_fds[0];
	job->said_fd = said_fds[0];
}

static void end_job(struct many *many, struct job *job, bool hung)
{
	int status;
	if (hung)
		kill(job->pid, SIGKILL);
	while (waitpid(job->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	close(job->result_fd);
	if (job->said_fd >= 0)
		close(job->said_fd);
	job->pid = 0;
	bool whole = job->result_size == sizeof *job->result;
	many->totals.runs++;
	if (whole)
		add_result(&many->totals, job->result);
	if (whole && !job->result->failed)
		return;
	many->totals.failed++;
	if (whole)
		printf("seed %" PRIu64 " failed at %" PRIu64 " ms: %s\n", job->seed, job->result->virtual_ns / 1000000,
		       job->result->failure);
	else if (hung)
		printf("seed %" PRIu64 " failed: no end after %d s\n", job->seed, HUNG_S);
	else
		printf("seed %" PRIu64 " failed: ended by signal %d\n", job->seed,
		       WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	if (job->said_size > 0)
		printf("%.*s%s", (int)job->said_size, job->said, job->said[job->said_size - 1] == '\n' ? "" : "\n");
	printf("\treproduce: ikada sim --seed %" PRIu64, job->seed);
	if (many->nodes != 0)
		printf(" --nodes %" PRIu32, many->nodes);
	printf("\n");
	fflush(stdout);
	if (many->stop_at_failure)
		many->ended = true;
}

/* Reads what a job has for us; true when its result is over. */
static bool read_result(struct job *job)
{
	char *at = (char *)job->result;
	ssize_t n = read(job->result_fd, at + job->result_size, sizeof *job->result - job->result_size);
	if (n > 0)
		job->result_size += (size_t)n;
	return n == 0 || (n < 0 && errno != EINTR) || job->result_size == sizeof *job->result;
}

static void read_said(struct job *job)
{
	char lost[512];
	size_t room = sizeof job->said - job->said_size;
	ssize_t n = read(job->said_fd, room > 0 ? job->said + job->said_size : lost, room > 0 ? room : sizeof lost);
	if (n > 0 && room > 0)
		job->said_size += (size_t)n;
	if (n == 0) {
		close(job->said_fd);
		job->said_fd = -1;
	}
}

static uint32_t running_jobs(const struct many *many)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < many->jobs; i++)
		n += many->job[i].pid != 0;
	return n;
}

static void serve_jobs(struct many *many)
{
	struct pollfd fds[2 * JOBS_MAX];
	for (uint32_t i = 0; i < many->jobs; i++) {
		struct job *job = &many->job[i];
		fds[2 * i] = (struct pollfd){.fd = job->pid != 0 ? job->result_fd : -1, .events = POLLIN};
		fds[2 * i + 1] = (struct pollfd){.fd = job->pid != 0 ? job->said_fd : -1, .events = POLLIN};
	}
	if (poll(fds, 2 * many->jobs, 1000) < 0)
		return;
	for (uint32_t i = 0; i < many->jobs; i++) {
		struct job *job = &many->job[i];
		if (job->pid == 0)
			continue;
		if (fds[2 * i + 1].revents != 0)
			read_said(job);
		if (fds[2 * i].revents != 0 && read_result(job)) {
			while (job->said_fd >= 0 && job->result_size < sizeof *job->result)
				read_said(job); /* Its last words. */
			end_job(many, job, false);
		} else if (time(NULL) - job->started > HUNG_S) {
			end_job(many, job, true);
		}
	}
}

static void show_progress(const struct many *many, uint64_t first)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " runs, %" PRIu64 " failed ", many->totals.runs,
			many->last - first + 1, many->totals.failed);
}

static int run_many(struct many *many)
{
	uint64_t first = many->next;
	struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	for (uint32_t i = 0; i < many->jobs; i++) {
		many->job[i].result = calloc(1, sizeof *many->job[i].result);
		if (many->job[i].result == NULL)
			abort();
	}
	for (;;) {
		for (uint32_t i = 0; i < many->jobs && !many->ended && interrupted == 0; i++)
			if (many->job[i].pid == 0)
				start_job(many, &many->job[i]);
		if (running_jobs(many) == 0 || interrupted != 0)
			break;
		serve_jobs(many);
		show_progress(many, first);
	}
	for (uint32_t i = 0; i < many->jobs; i++) {
		if (many->job[i].pid != 0) {
			kill(many->job[i].pid, SIGKILL);
			while (waitpid(many->job[i].pid, NULL, 0) < 0 && errno == EINTR)
				continue;
		}
		free(many->job[i].result);
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	print_totals(&many->totals);
	print_last_line(&many->totals);
	if (interrupted != 0)
		return 128 + (int)interrupted;
	return many->totals.failed == 0 ? 0 : 1;
}

/* ---- The line ---- */

static bool parse_seed(const char **at, uint64_t *seed)
{
	const char *start = *at;
	uint64_t n = 0;
	for (; **at >= '0' && **at <= '9'; (*at)++) {
		uint64_t digit = (uint64_t)(**at - '0');
		if (n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*seed = n;
	return *at > start;
}

static bool parse_seeds(const char *text, uint64_t *first, uint64_t *last)
{
	return parse_seed(&text, first) && strncmp(text, "..", 2) == 0 && (text += 2, parse_seed(&text, last)) &&
	       *text == '\0' && *first <= *last;
}

int cli_sim(int argc, char **argv)
{
	uint64_t seed = 1, nodes = 0, jobs = 1;
	const char *seeds = NULL;
	bool trace = false, stop = false, given = false;
	const struct flag flags[] = {
		{.name = "seed", .value = "S", .help = "run this one", .number = &seed, .max = UINT64_MAX},
		{.name = "seeds", .value = "A..B", .help = "run all of these", .text = &seeds},
		{.name = "jobs", .value = "J", .help = "so many at a time", .number = &jobs, .min = 1, .max = JOBS_MAX},
		{.name = "nodes",
		 .value = "N",
		 .help = "in each cluster; 0: the seed decides",
		 .number = &nodes,
		 .max = RULES_NODES_MAX},
		{.name = "trace", .help = "print each event of the one seed", .on = &trace},
		{.name = "stop", .help = "end at the first failure", .on = &stop},
	};
	int status = flags_parse("runs clusters in a simulated world, with faults.", flags,
				 sizeof flags / sizeof *flags, argc, argv);
	if (status != FLAGS_OK)
		return status;
	for (int i = 1; i < argc; i++)
		given = given || strcmp(argv[i], "--seed") == 0 || strncmp(argv[i], "--seed=", 7) == 0;
	if (seeds == NULL)
		return run_one(seed, (uint32_t)nodes, trace);
	static struct many many;
	many.nodes = (uint32_t)nodes;
	many.jobs = (uint32_t)jobs;
	many.stop_at_failure = stop;
	if (given || trace) {
		fprintf(stderr, "ikada sim: --seeds does not go together with --%s\n", given ? "seed" : "trace");
		return FLAGS_WRONG;
	}
	if (!parse_seeds(seeds, &many.next, &many.last)) {
		fprintf(stderr, "ikada sim: --seeds expects A..B with A not above B, found '%s'\n", seeds);
		return FLAGS_WRONG;
	}
	return run_many(&many);
}
