/* Processes for runs: see sim_jobs.h. */
#include "cli/sim_jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	SAID_BYTES = 4096,
	HUNG_S = 600,
	TASKS_MAX = 64, /* Of one process. A new one costs as much as some milliseconds of a run. */
};

/* A process that runs one task after the other. */
struct job {
	pid_t pid; /* 0: none. */
	uint32_t tasks;
	bool running;
	struct sim_task task;
	int task_fd;   /* Tasks, as they stand in memory. */
	int result_fd; /* Their results, as they stand in memory. */
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

static bool read_all(int fd, void *bytes, size_t size)
{
	for (char *at = bytes; size > 0;) {
		ssize_t n = read(fd, at, size);
		if (n <= 0)
			return false;
		at += n;
		size -= (size_t)n;
	}
	return true;
}

static bool write_all(int fd, const void *bytes, size_t size)
{
	for (const char *at = bytes; size > 0;) {
		ssize_t n = write(fd, at, size);
		if (n <= 0)
			return false;
		at += n;
		size -= (size_t)n;
	}
	return true;
}

static void close_pipes(const struct job *job)
{
	close(job->task_fd);
	close(job->result_fd);
	close(job->said_fd);
}

static _Noreturn void be_job(const struct many *many, struct job *job, int task_fd, int result_fd, int said_fd)
{
	const struct sim_jobs *jobs = many->jobs;
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_DFL);
	for (uint32_t i = 0; i < jobs->jobs; i++)
		if (many->job[i].pid != 0)
			close_pipes(&many->job[i]);
	dup2(said_fd, STDERR_FILENO);
	while (read_all(task_fd, &job->task, sizeof job->task)) {
		memset(job->result, 0, jobs->result_bytes);
		jobs->run(jobs->context, &job->task, job->result);
		if (!write_all(result_fd, job->result, jobs->result_bytes))
			_exit(1);
	}
	_exit(0);
}

static void start_process(struct many *many, struct job *job)
{
	int task_fds[2], result_fds[2], said_fds[2];
	if (pipe(task_fds) != 0 || pipe(result_fds) != 0 || pipe(said_fds) != 0)
		die("make a pipe");
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		close(task_fds[1]);
		close(result_fds[0]);
		close(said_fds[0]);
		be_job(many, job, task_fds[0], result_fds[1], said_fds[1]);
	}
	close(task_fds[0]);
	close(result_fds[1]);
	close(said_fds[1]);
	fcntl(said_fds[0], F_SETFL, O_NONBLOCK);
	job->pid = pid;
	job->tasks = 0;
	job->task_fd = task_fds[1];
	job->result_fd = result_fds[0];
	job->said_fd = said_fds[0];
}

/* Returns how it ended, as waitpid tells it. */
static int end_process(struct job *job, bool at_once)
{
	int status = 0;
	if (at_once)
		kill(job->pid, SIGKILL);
	close_pipes(job);
	while (waitpid(job->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	job->pid = 0;
	job->running = false;
	return status;
}

static void start_task(struct many *many, struct job *job)
{
	if (!many->jobs->next(many->jobs->context, &job->task)) {
		many->over = true;
		return;
	}
	if (job->pid == 0)
		start_process(many, job);
	job->running = true;
	job->tasks++;
	job->result_size = job->said_size = 0;
	job->started = time(NULL);
	/* A process that does not take it is noticed by its result, which does not come. */
	(void)!write(job->task_fd, &job->task, sizeof job->task);
}

/* What it said so far. */
static void read_said(struct job *job)
{
	for (;;) {
		char lost[512];
		size_t room = SAID_BYTES - job->said_size;
		ssize_t n =
			read(job->said_fd, room > 0 ? job->said + job->said_size : lost, room > 0 ? room : sizeof lost);
		if (n <= 0)
			return;
		if (room > 0)
			job->said_size += (size_t)n;
	}
}

static void end_task(struct many *many, struct job *job, bool hung)
{
	struct sim_ended ended = {.task = job->task, .said = job->said};
	bool whole = job->result_size == many->jobs->result_bytes;
	read_said(job);
	job->said[job->said_size] = '\0';
	job->running = false;
	if (!whole || job->tasks == TASKS_MAX) {
		int status = end_process(job, hung);
		if (hung)
			snprintf(ended.why, sizeof ended.why, "no end after %d s", HUNG_S);
		else if (!whole)
			snprintf(ended.why, sizeof ended.why, "ended by signal %d",
				 WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	}
	if (whole)
		ended.result = job->result;
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

static uint32_t running_jobs(const struct many *many)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < many->jobs->jobs; i++)
		n += many->job[i].running;
	return n;
}

static void serve_jobs(struct many *many)
{
	struct pollfd fds[2 * SIM_JOBS_MAX];
	const struct sim_jobs *jobs = many->jobs;
	for (uint32_t i = 0; i < jobs->jobs; i++) {
		const struct job *job = &many->job[i];
		fds[2 * i] = (struct pollfd){.fd = job->running ? job->result_fd : -1, .events = POLLIN};
		fds[2 * i + 1] = (struct pollfd){.fd = job->running ? job->said_fd : -1, .events = POLLIN};
	}
	if (poll(fds, 2 * jobs->jobs, 1000) < 0)
		return;
	for (uint32_t i = 0; i < jobs->jobs; i++) {
		struct job *job = &many->job[i];
		if (!job->running)
			continue;
		if (fds[2 * i + 1].revents != 0)
			read_said(job);
		if (fds[2 * i].revents != 0 && read_result(jobs, job))
			end_task(many, job, false);
		else if (time(NULL) - job->started > HUNG_S)
			end_task(many, job, true);
	}
}

int sim_jobs_run(const struct sim_jobs *jobs)
{
	static struct many many;
	struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	many.jobs = jobs;
	for (uint32_t i = 0; i < jobs->jobs; i++) {
		many.job[i].result = calloc(1, jobs->result_bytes);
		if (many.job[i].result == NULL)
			abort();
	}
	for (;;) {
		for (uint32_t i = 0; i < jobs->jobs && !many.over && interrupted == 0; i++)
			if (!many.job[i].running)
				start_task(&many, &many.job[i]);
		if (running_jobs(&many) == 0 || interrupted != 0)
			break;
		serve_jobs(&many);
	}
	for (uint32_t i = 0; i < jobs->jobs; i++) {
		if (many.job[i].pid != 0)
			end_process(&many.job[i], true);
		free(many.job[i].result);
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K"); /* How far it was, which the runs print over and over. */
	return (int)interrupted;
}
