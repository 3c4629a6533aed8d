/* Processes for runs: see sim_jobs.h. */
#include "cli/sim_jobs.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SAID_BYTES = 4096, HUNG_S = 600 };

/* A process that runs one task. */
struct job {
	pid_t pid; /* 0: none. */
	struct sim_task task;
	int result_fd; /* The result as it stands in memory. */
	int said_fd;   /* Its stderr. */
	size_t result_size;
	void *result;
	size_t said_size;
	char said[SAID_BYTES + 1];
	time_t started;
};

struct many {
	const struct sim_jobs *jobs;
	bool over; /* No more are started. */
	struct job job[SIM_JOBS_MAX];
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

static _Noreturn void be_job(const struct sim_jobs *jobs, const struct job *job, int result_fd, int said_fd)
{
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_DFL);
	dup2(said_fd, STDERR_FILENO);
	memset(job->result, 0, jobs->result_bytes);
	jobs->run(jobs->context, &job->task, job->result);
	const char *at = job->result;
	for (size_t left = jobs->result_bytes; left > 0;) {
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
	if (!many->jobs->next(many->jobs->context, &job->task)) {
		many->over = true;
		return;
	}
	if (pipe(result_fds) != 0 || pipe(said_fds) != 0)
		die("make a pipe");
	job->result_size = job->said_size = 0;
	job->started = time(NULL);
	fflush(NULL);
	job->pid = fork();
	if (job->pid < 0)
		die("fork");
	if (job->pid == 0) {
		close(result_fds[0]);
		close(said_fds[0]);
		be_job(many->jobs, job, result_fds[1], said_fds[1]);
	}
	close(result_fds[1]);
	close(said_fds[1]);
	job->result_fd = result_fds[0];
	job->said_fd = said_fds[0];
}

static void end_job(struct many *many, struct job *job, bool hung)
{
	struct sim_ended ended = {.task = job->task, .said = job->said};
	int status;
	if (hung)
		kill(job->pid, SIGKILL);
	while (waitpid(job->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	close(job->result_fd);
	if (job->said_fd >= 0)
		close(job->said_fd);
	job->pid = 0;
	job->said[job->said_size] = '\0';
	if (job->result_size == many->jobs->result_bytes)
		ended.result = job->result;
	else if (hung)
		snprintf(ended.why, sizeof ended.why, "no end after %d s", HUNG_S);
	else
		snprintf(ended.why, sizeof ended.why, "ended by signal %d", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	if (!many->jobs->ended(many->jobs->context, &ended))
		many->over = true;
}

/* Reads what a job has for us; true when its result is over. */
static bool read_result(const struct sim_jobs *jobs, struct job *job)
{
	char *at = job->result;
	ssize_t n = read(job->result_fd, at + job->result_size, jobs->result_bytes - job->result_size);
	if (n > 0)
		job->result_size += (size_t)n;
	return n == 0 || (n < 0 && errno != EINTR) || job->result_size == jobs->result_bytes;
}

static void read_said(struct job *job)
{
	char lost[512];
	size_t room = SAID_BYTES - job->said_size;
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
	for (uint32_t i = 0; i < many->jobs->jobs; i++)
		n += many->job[i].pid != 0;
	return n;
}

static void serve_jobs(struct many *many)
{
	struct pollfd fds[2 * SIM_JOBS_MAX];
	const struct sim_jobs *jobs = many->jobs;
	for (uint32_t i = 0; i < jobs->jobs; i++) {
		const struct job *job = &many->job[i];
		fds[2 * i] = (struct pollfd){.fd = job->pid != 0 ? job->result_fd : -1, .events = POLLIN};
		fds[2 * i + 1] = (struct pollfd){.fd = job->pid != 0 ? job->said_fd : -1, .events = POLLIN};
	}
	if (poll(fds, 2 * jobs->jobs, 1000) < 0)
		return;
	for (uint32_t i = 0; i < jobs->jobs; i++) {
		struct job *job = &many->job[i];
		if (job->pid == 0)
			continue;
		if (fds[2 * i + 1].revents != 0)
			read_said(job);
		if (fds[2 * i].revents != 0 && read_result(jobs, job)) {
			while (job->said_fd >= 0 && job->result_size < jobs->result_bytes)
				read_said(job); /* Its last words. */
			end_job(many, job, false);
		} else if (time(NULL) - job->started > HUNG_S) {
			end_job(many, job, true);
		}
	}
}

int sim_jobs_run(const struct sim_jobs *jobs)
{
	static struct many many;
	struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	many.jobs = jobs;
	for (uint32_t i = 0; i < jobs->jobs; i++) {
		many.job[i].result = calloc(1, jobs->result_bytes);
		if (many.job[i].result == NULL)
			abort();
	}
	for (;;) {
		for (uint32_t i = 0; i < jobs->jobs && !many.over && interrupted == 0; i++)
			if (many.job[i].pid == 0)
				start_job(&many, &many.job[i]);
		if (running_jobs(&many) == 0 || interrupted != 0)
			break;
		serve_jobs(&many);
	}
	for (uint32_t i = 0; i < jobs->jobs; i++) {
		if (many.job[i].pid != 0) {
			kill(many.job[i].pid, SIGKILL);
			while (waitpid(many.job[i].pid, NULL, 0) < 0 && errno == EINTR)
				continue;
		}
		free(many.job[i].result);
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K"); /* How far it was, which the runs print over and over. */
	return (int)interrupted;
}
