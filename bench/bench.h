/*
 * What the programs in this directory share: a clock, errors that end the program, loopback sockets, and a log as fast
 * as the disk allows: a file that was filled with zeros, and is overwritten in blocks of 4 KiB.
 */
#ifndef IKADA_BENCH_H
#define IKADA_BENCH_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { BENCH_BLOCK = 4096 };

static inline void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static inline uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static inline void print_times(const char *name, uint64_t *ns, uint64_t count)
{
	qsort(ns, count, sizeof *ns, by_value);
	printf("%-24s p50 %8.1f us  p99 %8.1f us\n", name, (double)ns[count / 2] / 1000,
	       (double)ns[count * 99 / 100] / 1000);
}

/* ---- Processes and sockets ---- */

/* 0 in the child, which dies with its parent. */
static inline pid_t start_process(void)
{
	pid_t parent = getpid(), pid;
	fflush(NULL);
	pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

static inline struct sockaddr_in loopback(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

/* Port 0: any; *port tells it. */
static inline int listen_on(uint16_t *port)
{
	struct sockaddr_in address = loopback(*port);
	socklen_t size = sizeof address;
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(fd >= 0, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	must(bind(fd, (struct sockaddr *)&address, sizeof address) == 0, "bind");
	must(listen(fd, 1024) == 0, "listen");
	must(getsockname(fd, (struct sockaddr *)&address, &size) == 0, "getsockname");
	*port = ntohs(address.sin_port);
	return fd;
}

static inline void no_delay(int fd)
{
	int one = 1;
	must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0, "TCP_NODELAY");
}

static inline int accept_on(int listener)
{
	int fd = accept(listener, NULL, NULL);
	must(fd >= 0, "accept");
	no_delay(fd);
	return fd;
}

static inline int connect_to(uint16_t port)
{
	struct sockaddr_in address = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
	no_delay(fd);
	return fd;
}

static inline bool send_all(int fd, const void *bytes, size_t size)
{
	const char *at = bytes;
	while (size > 0) {
		ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		at += n;
		size -= (size_t)n;
	}
	return true;
}

static inline bool receive_all(int fd, void *bytes, size_t size)
{
	return recv(fd, bytes, size, MSG_WAITALL) == (ssize_t)size;
}

/* ---- The log ---- */

enum log_mode { LOG_NONE, LOG_FDATASYNC, LOG_DSYNC, LOG_RWF_DSYNC, LOG_DIRECT_DSYNC, LOG_MODES };
static const char *const log_names[LOG_MODES] = {"no disk", "fdatasync", "O_DSYNC", "RWF_DSYNC", "O_DIRECT+O_DSYNC"};

struct disk_log {
	enum log_mode mode;
	int fd;
	uint64_t bytes; /* Of the file; then it begins again. */
	uint64_t at;
};

/* False: this file system refuses the mode. The file has no name any more when this returns. */
static inline bool log_open(struct disk_log *log, const char *dir, enum log_mode mode, uint64_t bytes)
{
	static char zeros[1 << 20];
	char path[4096];
	*log = (struct disk_log){.mode = mode, .fd = -1, .bytes = bytes};
	if (mode == LOG_NONE)
		return true;
	snprintf(path, sizeof path, "%s/bench-log-%ld-%d.tmp", dir, (long)getpid(), (int)mode);
	int flags = mode == LOG_DIRECT_DSYNC ? O_DIRECT | O_DSYNC : mode == LOG_DSYNC ? O_DSYNC : 0;
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	must(fd >= 0, path);
	for (uint64_t at = 0; at < bytes; at += sizeof zeros)
		must(pwrite(fd, zeros, sizeof zeros, (off_t)at) == (ssize_t)sizeof zeros, "filling a log");
	must(fsync(fd) == 0, "fsync");
	log->fd = open(path, O_RDWR | O_CLOEXEC | flags);
	close(fd);
	unlink(path);
	return log->fd >= 0;
}

/* `bytes` is aligned, `size` a multiple of 4 KiB. Durable when it returns. */
static inline void log_write(struct disk_log *log, const void *bytes, size_t size)
{
	const struct iovec piece = {(void *)(uintptr_t)bytes, size};
	if (log->mode == LOG_NONE)
		return;
	if (log->at + size > log->bytes)
		log->at = 0;
	must(pwritev2(log->fd, &piece, 1, (off_t)log->at, log->mode == LOG_RWF_DSYNC ? RWF_DSYNC : 0) == (ssize_t)size,
	     "writing a log");
	if (log->mode == LOG_FDATASYNC)
		must(fdatasync(log->fd) == 0, "fdatasync");
	log->at += size;
}

/* A buffer that O_DIRECT takes. */
static inline char *aligned_bytes(size_t size)
{
	char *bytes = aligned_alloc(BENCH_BLOCK, size);
	must(bytes != NULL, "memory");
	memset(bytes, 0x5a, size);
	return bytes;
}

#endif
