/*
 * A load on canonical's libraft 0.15: three processes on loopback, durable, the client inside the leader. Prints one
 * line of JSON with the names that `ikada bench --json` uses.
 *
 *	libraft DIR IN_FLIGHT BATCH WARMUP_MS DURATION_MS [VALUE_BYTES]
 *
 * IN_FLIGHT calls of raft_apply are under way, each with BATCH entries; times are those of a call.
 */
#include "bench.h"
#include "cli/bench_histogram.h"

#include <raft.h>
#include <raft/uv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <uv.h>

enum { NODES = 3, BATCH_MAX = 1024 };

struct call {
	struct raft_apply apply;
	struct load *load;
	uint64_t start_ns;
};

struct load {
	struct raft raft;
	struct raft_io io;
	struct raft_fsm fsm;
	struct raft_uv_transport transport;
	uv_loop_t loop;
	uv_timer_t timer;
	uint64_t in_flight, batch, warmup_ns, duration_ns, value_bytes;
	uint64_t from_ns, until_ns;
	uint64_t answered, answered_all;
	bool started;
	int out;
	struct call *calls;
	struct histogram times;
};

static void good(int rv, const char *what)
{
	if (rv == 0)
		return;
	fprintf(stderr, "libraft: %s: %s\n", what, raft_strerror(rv));
	exit(1);
}

/* ---- A state machine that remembers nothing ---- */

static int fsm_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
	*result = NULL;
	return 0;
}

static int fsm_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *count)
{
	*count = 1;
	*bufs = raft_calloc(1, sizeof **bufs);
	(*bufs)[0].len = 8;
	(*bufs)[0].base = raft_calloc(1, 8);
	return 0;
}

static int fsm_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
	raft_free(buf->base);
	return 0;
}

/* ---- The client ---- */

static void finish(struct load *load)
{
	static const double percents[] = {50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100};
	char line[4096];
	int size =
		snprintf(line, sizeof line,
			 "{\"ops_per_s\":%.1f,\"answered_all\":%llu,\"errors\":0,\"p50_us\":%.1f,\"p99_us\":%.1f,"
			 "\"p999_us\":%.1f,\"percentiles\":[",
			 (double)load->answered * 1e9 / (double)load->duration_ns,
			 (unsigned long long)load->answered_all, (double)histogram_percentile(&load->times, 50) / 1000,
			 (double)histogram_percentile(&load->times, 99) / 1000,
			 (double)histogram_percentile(&load->times, 99.9) / 1000);
	for (size_t i = 0; i < sizeof percents / sizeof *percents; i++)
		size += snprintf(line + size, sizeof line - (size_t)size, "%s[%g,%.1f]", i == 0 ? "" : ",", percents[i],
				 (double)histogram_percentile(&load->times, percents[i]) / 1000);
	must(write(load->out, line, (size_t)size) == size, "pipe");
	close(load->out);
	for (;;)
		pause();
}

static void call_done(struct raft_apply *apply, int status, void *result);

static void call(struct call *c)
{
	struct load *load = c->load;
	struct raft_buffer bufs[BATCH_MAX];
	for (uint64_t i = 0; i < load->batch; i++) {
		bufs[i].len = load->value_bytes;
		bufs[i].base = raft_malloc(load->value_bytes);
		must(bufs[i].base != NULL, "memory");
		memset(bufs[i].base, 'x', load->value_bytes);
	}
	c->start_ns = now_ns();
	c->apply.data = c;
	good(raft_apply(&load->raft, &c->apply, bufs, (unsigned)load->batch, call_done), "raft_apply");
}

static void call_done(struct raft_apply *apply, int status, void *result)
{
	struct call *c = apply->data;
	struct load *load = c->load;
	uint64_t at_ns = now_ns();
	good(status, "an entry was not committed");
	load->answered_all += load->batch;
	if (at_ns >= load->until_ns)
		finish(load);
	if (c->start_ns >= load->from_ns) {
		load->answered += load->batch;
		histogram_add(&load->times, at_ns - c->start_ns);
	}
	call(c);
}

static void look(uv_timer_t *timer)
{
	struct load *load = timer->data;
	if (load->started || raft_state(&load->raft) != RAFT_LEADER)
		return;
	load->started = true;
	load->from_ns = now_ns() + load->warmup_ns;
	load->until_ns = load->from_ns + load->duration_ns;
	load->calls = calloc(load->in_flight, sizeof *load->calls);
	must(load->calls != NULL, "memory");
	for (uint64_t i = 0; i < load->in_flight; i++) {
		load->calls[i].load = load;
		call(&load->calls[i]);
	}
}

static void run_node(struct load *load, unsigned id, const char *dir, char addresses[NODES][32])
{
	struct raft_configuration configuration;
	char path[4096];
	snprintf(path, sizeof path, "%s/libraft-%u", dir, id);
	must(mkdir(path, 0700) == 0, path);
	load->fsm =
		(struct raft_fsm){.version = 1, .apply = fsm_apply, .snapshot = fsm_snapshot, .restore = fsm_restore};
	good(uv_loop_init(&load->loop), "uv_loop_init");
	good(raft_uv_tcp_init(&load->transport, &load->loop), "raft_uv_tcp_init");
	good(raft_uv_init(&load->io, &load->loop, path, &load->transport), "raft_uv_init");
	raft_uv_set_connect_retry_delay(&load->io, 50);
	good(raft_init(&load->raft, &load->io, &load->fsm, id, addresses[id - 1]), "raft_init");
	raft_configuration_init(&configuration);
	for (unsigned i = 0; i < NODES; i++)
		good(raft_configuration_add(&configuration, i + 1, addresses[i], RAFT_VOTER), "a server");
	good(raft_bootstrap(&load->raft, &configuration), "raft_bootstrap");
	raft_configuration_close(&configuration);
	raft_set_snapshot_threshold(&load->raft, 1u << 30);
	good(raft_start(&load->raft), "raft_start");
	uv_timer_init(&load->loop, &load->timer);
	load->timer.data = load;
	uv_timer_start(&load->timer, look, 10, 10);
	uv_run(&load->loop, UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
	static struct load load;
	if (argc < 6) {
		fprintf(stderr, "usage: libraft DIR IN_FLIGHT BATCH WARMUP_MS DURATION_MS [VALUE_BYTES]\n");
		return 2;
	}
	load.in_flight = strtoull(argv[2], NULL, 10);
	load.batch = strtoull(argv[3], NULL, 10);
	load.warmup_ns = strtoull(argv[4], NULL, 10) * 1000000;
	load.duration_ns = strtoull(argv[5], NULL, 10) * 1000000;
	load.value_bytes = argc > 6 ? strtoull(argv[6], NULL, 10) : 64;
	must(load.in_flight >= 1 && load.batch >= 1 && load.batch <= BATCH_MAX && load.value_bytes % 8 == 0, "flags");
	char addresses[NODES][32], line[4096];
	int listeners[NODES], ends[2];
	for (int i = 0; i < NODES; i++) {
		uint16_t port = 0;
		listeners[i] = listen_on(&port);
		snprintf(addresses[i], sizeof addresses[i], "127.0.0.1:%u", port);
	}
	for (int i = 0; i < NODES; i++)
		close(listeners[i]);
	must(pipe2(ends, O_CLOEXEC) == 0, "pipe");
	pid_t pids[NODES];
	for (unsigned i = 0; i < NODES; i++) {
		pids[i] = start_process();
		if (pids[i] == 0) {
			close(ends[0]);
			load.out = ends[1];
			run_node(&load, i + 1, argv[1], addresses);
			_exit(1);
		}
	}
	close(ends[1]);
	/* Whoever leads writes all at once; or all have ended. */
	ssize_t size = read(ends[0], line, sizeof line - 1);
	double cpu_us = 0;
	for (int i = 0; i < NODES; i++) {
		struct rusage usage;
		kill(pids[i], SIGKILL);
		wait4(pids[i], NULL, 0, &usage);
		cpu_us += (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
			  (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
	}
	if (size <= 0)
		return 1;
	line[size] = '\0';
	const char *all = strstr(line, "answered_all\":");
	printf("%s],\"server_cpu_us\":%.2f}\n", line, cpu_us / (all == NULL ? 1 : strtod(all + 14, NULL)));
	return 0;
}
