/*
 * How long nothing can be written when a leader is killed. Prints microseconds, or "none" after ten seconds.
 *
 *	failover PID PORT...
 *
 * Kills the process with SIGKILL, and sends one SET a millisecond to each of the ports on loopback, from before until
 * one that was sent after the kill is answered with +OK. For servers that speak the Redis protocol; the ports are those
 * of the survivors.
 */
#include "bench.h"

#include <poll.h>

enum { PROBES_MAX = 8, FLIGHT_MAX = 16384, BEFORE = 20, NS_PER_MS = 1000000 };
#define LIMIT_NS ((uint64_t)10000000000)

struct probe {
	int fd;
	uint64_t sent_ns[FLIGHT_MAX]; /* A ring: requests under way. */
	uint32_t first, end;
	char line[256]; /* The answer under way. */
	size_t line_size;
};

static void ask(struct probe *probe)
{
	static const char request[] = "*3\r\n$3\r\nSET\r\n$5\r\nprobe\r\n$1\r\n1\r\n";
	if (probe->fd < 0 || probe->end - probe->first == FLIGHT_MAX)
		return;
	if (send(probe->fd, request, sizeof request - 1, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof request - 1)
		probe->sent_ns[probe->end++ % FLIGHT_MAX] = now_ns();
}

/* The number of requests done that were sent at or after `since`. */
static uint64_t hear(struct probe *probe, uint64_t since_ns)
{
	char bytes[4096];
	uint64_t done = 0;
	ssize_t size = recv(probe->fd, bytes, sizeof bytes, MSG_DONTWAIT);
	if (size == 0 || (size < 0 && errno != EAGAIN)) {
		close(probe->fd);
		probe->fd = -1;
	}
	for (ssize_t i = 0; i < size; i++) {
		if (bytes[i] != '\n') {
			if (probe->line_size < sizeof probe->line)
				probe->line[probe->line_size++] = bytes[i];
			continue;
		}
		must(probe->first != probe->end, "an answer too many");
		done += probe->line[0] == '+' && probe->sent_ns[probe->first % FLIGHT_MAX] >= since_ns;
		probe->first++;
		probe->line_size = 0;
	}
	return done;
}

/* Sends each millisecond, until `wanted` were answered; false at the limit. */
static bool probe_until(struct probe *probes, uint32_t count, uint64_t since_ns, uint64_t wanted)
{
	uint64_t start_ns = now_ns(), next_ns = start_ns, done = 0;
	struct pollfd fds[PROBES_MAX];
	while (done < wanted) {
		uint64_t at_ns = now_ns();
		if (at_ns - start_ns > LIMIT_NS)
			return false;
		for (uint32_t i = 0; at_ns >= next_ns && i < count; i++)
			ask(&probes[i]);
		if (at_ns >= next_ns)
			next_ns = at_ns + NS_PER_MS;
		for (uint32_t i = 0; i < count; i++)
			fds[i] = (struct pollfd){.fd = probes[i].fd, .events = POLLIN};
		struct timespec wait = {0, (long)(next_ns - at_ns)};
		if (ppoll(fds, count, &wait, NULL) <= 0)
			continue;
		for (uint32_t i = 0; i < count; i++)
			if (fds[i].revents != 0)
				done += hear(&probes[i], since_ns);
	}
	return true;
}

int main(int argc, char **argv)
{
	static struct probe probes[PROBES_MAX];
	if (argc < 3 || argc > PROBES_MAX + 2) {
		fprintf(stderr, "usage: failover PID PORT...\n");
		return 2;
	}
	pid_t pid = (pid_t)atol(argv[1]);
	uint32_t count = (uint32_t)argc - 2;
	must(pid > 1, "PID");
	prctl(PR_SET_TIMERSLACK, 1UL);
	for (uint32_t i = 0; i < count; i++)
		probes[i].fd = connect_to((uint16_t)atoi(argv[i + 2]));
	if (!probe_until(probes, count, 0, BEFORE)) {
		fprintf(stderr, "failover: nothing can be written before the kill\n");
		return 1;
	}
	uint64_t killed_ns = now_ns();
	must(kill(pid, SIGKILL) == 0, "kill");
	if (probe_until(probes, count, killed_ns, 1))
		printf("%.0f\n", (double)(now_ns() - killed_ns) / 1000);
	else
		printf("none\n");
	return 0;
}
