/*
 * How long one 4 KiB append with its sync takes on a disk, by the way it is written. Prints microseconds, p50 and p99.
 *
 *	sync DIR [COUNT]
 *
 * The ways take turns, a hundred appends each, so that a machine that slows down is unjust to all of them alike.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, COUNT_MAX = 100000, ROUND = 100 };

struct way {
	const char *name;
	int flags;     /* Of open, for the appends. */
	int rwf;       /* Of pwritev2. */
	int allocated; /* fallocate. */
	int filled;    /* With zeros, synced. */
	int datasync;  /* After each append. */
	int fd;
	uint64_t *ns;
};

static struct way ways[] = {
	{.name = "growing file, fdatasync", .datasync = 1},
	{.name = "fallocated, fdatasync", .allocated = 1, .datasync = 1},
	{.name = "zero-filled, fdatasync", .filled = 1, .datasync = 1},
	{.name = "zero-filled, O_DSYNC", .filled = 1, .flags = O_DSYNC},
	{.name = "zero-filled, RWF_DSYNC", .filled = 1, .rwf = RWF_DSYNC},
	{.name = "zero-filled, O_DIRECT, fdatasync", .filled = 1, .flags = O_DIRECT, .datasync = 1},
	{.name = "zero-filled, O_DIRECT | O_DSYNC", .filled = 1, .flags = O_DIRECT | O_DSYNC},
	{.name = "zero-filled, O_DIRECT, RWF_DSYNC", .filled = 1, .flags = O_DIRECT, .rwf = RWF_DSYNC},
};

enum { WAYS = sizeof ways / sizeof ways[0] };

static void must(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "sync: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Leaves fd at -1 when the file system refuses this way. */
static void prepare(struct way *way, const char *dir, const uint8_t *zeros, uint64_t count)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/sync-bench.tmp", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	must(fd >= 0, path);
	if (way->allocated)
		must(posix_fallocate(fd, 0, (off_t)(count * BLOCK)) == 0, "fallocate");
	for (uint64_t i = 0; way->filled && i < count; i++)
		must(pwrite(fd, zeros, BLOCK, (off_t)(i * BLOCK)) == BLOCK, "fill");
	must(fsync(fd) == 0, "fsync");
	way->fd = open(path, O_RDWR | way->flags);
	close(fd);
	unlink(path);
	way->ns = malloc(COUNT_MAX * sizeof *way->ns);
}

static void append(struct way *way, const uint8_t *bytes, uint64_t i)
{
	uint64_t start = now_ns();
	const struct iovec piece = {(void *)(uintptr_t)bytes, BLOCK};
	must(pwritev2(way->fd, &piece, 1, (off_t)(i * BLOCK), way->rwf) == BLOCK, way->name);
	if (way->datasync)
		must(fdatasync(way->fd) == 0, way->name);
	way->ns[i] = now_ns() - start;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : ".";
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
	must(count >= 1 && count <= COUNT_MAX, "COUNT is 1 to 100000");
	uint8_t *bytes = aligned_alloc(BLOCK, 2 * BLOCK);
	memset(bytes, 0xa5, BLOCK);
	memset(bytes + BLOCK, 0, BLOCK);
	for (int w = 0; w < WAYS; w++)
		prepare(&ways[w], dir, bytes + BLOCK, count);
	for (uint64_t round = 0; round < count; round += ROUND)
		for (int w = 0; w < WAYS; w++)
			for (uint64_t i = round; i < round + ROUND && i < count && ways[w].fd >= 0; i++)
				append(&ways[w], bytes, i);
	for (int w = 0; w < WAYS; w++) {
		if (ways[w].fd < 0) {
			printf("%-34s refused here\n", ways[w].name);
			continue;
		}
		qsort(ways[w].ns, count, sizeof *ways[w].ns, by_value);
		printf("%-34s p50 %7.1f us  p99 %7.1f us\n", ways[w].name, (double)ways[w].ns[count / 2] / 1000,
		       (double)ways[w].ns[count * 99 / 100] / 1000);
	}
	return 0;
}
