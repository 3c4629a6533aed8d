/*
 * The floor of this machine: what no durable, replicated commit here can be faster than. Prints microseconds.
 *
 *	floor [DIR [COUNT]]
 *
 * sync		4 KiB written over zeros and synced, by the way it is done
 * round trip	64 bytes to another process and back, over loopback
 * commit	a commit at depth 1 through real processes, without any Raft: the client sends 64 bytes to the leader,
 *		the leader to two followers; all three write and sync; with one follower's answer the leader has a
 *		majority and answers
 *
 * The ways take turns, some tens each, so that a machine that slows down is unjust to all of them alike.
 */
#include "bench.h"

#include <poll.h>
#include <sys/wait.h>

enum { MESSAGE = 64, TURN = 50, COUNT_MAX = 1000000, PROCESSES_MAX = 32, LOG_BYTES = 4 << 20 };

static pid_t processes[PROCESSES_MAX];
static unsigned process_count;
static const char *dir = ".";
static const enum log_mode commit_modes[] = {LOG_NONE, LOG_FDATASYNC, LOG_DIRECT_DSYNC};
enum { COMMIT_MODES = sizeof commit_modes / sizeof *commit_modes };

/* ---- The processes: each ends when the other side closes ---- */

static void echo(int fd)
{
	char message[MESSAGE];
	while (receive_all(fd, message, sizeof message))
		send_all(fd, message, sizeof message);
}

/* The message begins with its number, which is the answer. */
static void follow(int leader, struct disk_log *log)
{
	char message[MESSAGE], *block = aligned_bytes(BENCH_BLOCK);
	while (receive_all(leader, message, sizeof message)) {
		memcpy(block, message, sizeof message);
		log_write(log, block, BENCH_BLOCK);
		send_all(leader, message, sizeof(uint64_t));
	}
}

/* The slower follower's answer is that to an earlier message, and is dropped. */
static void await_one(const int followers[2], uint64_t number)
{
	struct pollfd fds[2] = {{.fd = followers[0], .events = POLLIN}, {.fd = followers[1], .events = POLLIN}};
	for (;;) {
		must(poll(fds, 2, -1) > 0, "poll");
		for (int i = 0; i < 2; i++) {
			uint64_t answer;
			if (fds[i].revents == 0)
				continue;
			must(receive_all(fds[i].fd, &answer, sizeof answer), "a follower has gone");
			if (answer == number)
				return;
		}
	}
}

static void lead(int client, const int followers[2], struct disk_log *log)
{
	char message[MESSAGE], *block = aligned_bytes(BENCH_BLOCK);
	while (receive_all(client, message, sizeof message)) {
		uint64_t number;
		send_all(followers[0], message, sizeof message);
		send_all(followers[1], message, sizeof message);
		memcpy(block, message, sizeof message);
		log_write(log, block, BENCH_BLOCK);
		memcpy(&number, message, sizeof number);
		await_one(followers, number);
		send_all(client, message, sizeof message);
	}
}

/* Starts the process behind a listener; the caller connects to *port. */
static void start(uint16_t *port, void (*body)(int listener, const void *context), const void *context)
{
	int listener = listen_on(port);
	must(process_count < PROCESSES_MAX, "too many processes");
	pid_t pid = start_process();
	if (pid == 0) {
		body(listener, context);
		_exit(0);
	}
	close(listener);
	processes[process_count++] = pid;
}

static void echo_body(int listener, const void *context)
{
	echo(accept_on(listener));
}

static void follower_body(int listener, const void *context)
{
	struct disk_log log;
	must(log_open(&log, dir, *(const enum log_mode *)context, LOG_BYTES), "opening a log");
	follow(accept_on(listener), &log);
}

static void leader_body(int listener, const void *context)
{
	struct disk_log log;
	uint16_t ports[2] = {0, 0};
	int followers[2];
	for (int i = 0; i < 2; i++) {
		start(&ports[i], follower_body, context);
		followers[i] = connect_to(ports[i]);
	}
	must(log_open(&log, dir, *(const enum log_mode *)context, LOG_BYTES), "opening a log");
	lead(accept_on(listener), followers, &log);
}

/* ---- Measuring ---- */

static uint64_t *times(uint64_t count)
{
	uint64_t *ns = calloc(count, sizeof *ns);
	must(ns != NULL, "memory");
	return ns;
}

static void syncs(uint64_t count)
{
	struct disk_log logs[LOG_MODES];
	uint64_t *ns[LOG_MODES];
	char *block = aligned_bytes(BENCH_BLOCK), name[64];
	for (int m = LOG_NONE + 1; m < LOG_MODES; m++) {
		ns[m] = times(count);
		log_open(&logs[m], dir, (enum log_mode)m, LOG_BYTES);
	}
	for (uint64_t first = 0; first < count; first += TURN) {
		for (int m = LOG_NONE + 1; m < LOG_MODES; m++) {
			for (uint64_t i = first; i < first + TURN && i < count && logs[m].fd >= 0; i++) {
				uint64_t start_ns = now_ns();
				log_write(&logs[m], block, BENCH_BLOCK);
				ns[m][i] = now_ns() - start_ns;
			}
		}
	}
	for (int m = LOG_NONE + 1; m < LOG_MODES; m++) {
		snprintf(name, sizeof name, "sync %s", log_names[m]);
		if (logs[m].fd < 0)
			printf("%-24s refused here\n", name);
		else
			print_times(name, ns[m], count);
		close(logs[m].fd);
		free(ns[m]);
	}
	free(block);
}

/* Request and answer on each of the connections, in turns. */
static void round_trips(const int *fds, const char *const *names, int fd_count, uint64_t count)
{
	uint64_t *ns[8];
	char message[MESSAGE] = "";
	for (int f = 0; f < fd_count; f++)
		ns[f] = times(count);
	for (uint64_t first = 0; first < count; first += TURN) {
		for (int f = 0; f < fd_count; f++) {
			for (uint64_t i = first; i < first + TURN && i < count; i++) {
				uint64_t number = i + 1, start_ns = now_ns();
				memcpy(message, &number, sizeof number);
				must(send_all(fds[f], message, sizeof message) &&
					     receive_all(fds[f], message, sizeof message),
				     "a process has gone");
				ns[f][i] = now_ns() - start_ns;
			}
		}
	}
	for (int f = 0; f < fd_count; f++) {
		print_times(names[f], ns[f], count);
		free(ns[f]);
		close(fds[f]);
	}
}

int main(int argc, char **argv)
{
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 2000;
	char names[COMMIT_MODES][64];
	const char *named[COMMIT_MODES + 1] = {"round trip"};
	int fds[COMMIT_MODES + 1];
	uint16_t port = 0;
	if (argc > 1)
		dir = argv[1];
	must(count >= 1 && count <= COUNT_MAX, "COUNT is 1 to 1000000");
	syncs(count);
	start(&port, echo_body, NULL);
	fds[0] = connect_to(port);
	for (int i = 0; i < COMMIT_MODES; i++) {
		port = 0;
		start(&port, leader_body, &commit_modes[i]);
		fds[i + 1] = connect_to(port);
		snprintf(names[i], sizeof names[i], "commit %s", log_names[commit_modes[i]]);
		named[i + 1] = names[i];
	}
	/* Not measured: the first touch of everything, and the filling of the logs. */
	for (int f = 0; f < COMMIT_MODES + 1; f++) {
		char message[MESSAGE] = "";
		must(send_all(fds[f], message, sizeof message) && receive_all(fds[f], message, sizeof message),
		     "start");
	}
	round_trips(fds, named, COMMIT_MODES + 1, count);
	for (unsigned i = 0; i < process_count; i++)
		waitpid(processes[i], NULL, 0);
	return 0;
}
