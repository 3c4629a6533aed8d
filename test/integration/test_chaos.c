/*
 * Real processes that die and stop under load. What was acknowledged is there, once, and reads are never stale. How
 * long the cluster takes to go on is told, not judged: only 30 s without a write fail.
 */
#include "cluster.h"
#include "load.h"

#include "base/rng.h"

#include <signal.h>
#include <stdlib.h>

enum { CLIENTS = 8, LIMIT_S = 30, ROUNDS_MAX = 64 };

struct gaps {
	uint64_t ns[ROUNDS_MAX];
	unsigned count;
};

static int ascending(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
	return a < b ? -1 : a > b;
}

static void tell(struct gaps *gaps, const char *what)
{
	qsort(gaps->ns, gaps->count, sizeof *gaps->ns, ascending);
	note("%s, %u times: until the next write %.0f ms in the median, %.0f ms at worst", what, gaps->count,
	     (double)gaps->ns[gaps->count / 2] / 1e6, (double)gaps->ns[gaps->count - 1] / 1e6);
}

/*
 * The time from now until a write is done that was called after now. Each try is a new one, at the next node, and waits
 * longer than the last: a try may be stuck at a node that hangs.
 */
static uint64_t await_write(struct cluster *cluster)
{
	uint64_t start = now_ns();
	unsigned timeout_ms = 50;
	for (unsigned i = 0; now_ns() - start < LIMIT_S * NS_PER_S; i++) {
		uint64_t called = now_ns();
		char *reply = node_ask(&cluster->nodes[i % cluster->count], timeout_ms, "INCR probe");
		bool done = *reply >= '0' && *reply <= '9';
		free(reply);
		if (done)
			return now_ns() - start;
		if (now_ns() - called >= timeout_ms * NS_PER_MS)
			timeout_ms += timeout_ms / 4;
		else
			sleep_ms(1);
	}
	fail("%d s without a write", LIMIT_S);
}

static void add_gap(struct gaps *gaps, struct cluster *cluster)
{
	EXPECT(gaps->count < ROUNDS_MAX);
	gaps->ns[gaps->count++] = await_write(cluster);
}

static void kill_leader(void)
{
	struct cluster cluster;
	struct gaps gaps = {.count = 0};
	struct rng rng = rng_seed(now_ns());
	cluster_start(&cluster, 3);
	struct load *load = load_start(&cluster, CLIENTS);
	for (int i = 0; i < 50; i++) {
		sleep_ms((unsigned)rng_below(&rng, 400));
		struct cluster_node *leader = cluster_leader(&cluster);
		node_signal(leader, SIGKILL);
		add_gap(&gaps, &cluster);
		node_start(&cluster, leader);
		cluster_wait(&cluster, LIMIT_S);
	}
	tell(&gaps, "kill -9 of the leader");
	load_judge(load, &cluster);
}

static void kill_all(void)
{
	struct cluster cluster;
	struct gaps gaps = {.count = 0};
	struct rng rng = rng_seed(now_ns());
	cluster_start(&cluster, 3);
	struct load *load = load_start(&cluster, CLIENTS);
	for (int i = 0; i < 10; i++) {
		sleep_ms(500 + (unsigned)rng_below(&rng, 1000));
		for (unsigned j = 0; j < cluster.count; j++)
			node_signal(&cluster.nodes[j], SIGKILL);
		for (unsigned j = 0; j < cluster.count; j++)
			node_start(&cluster, &cluster.nodes[j]);
		add_gap(&gaps, &cluster);
		cluster_wait(&cluster, LIMIT_S);
	}
	tell(&gaps, "kill -9 of all nodes and a start of all");
	load_judge(load, &cluster);
}

/* The leader is stopped long enough for another to be elected; then it goes on, with what it still believes. */
static void stop_leader(void)
{
	struct cluster cluster;
	struct gaps gaps = {.count = 0};
	struct rng rng = rng_seed(now_ns());
	cluster_start(&cluster, 3);
	struct load *load = load_start(&cluster, CLIENTS);
	for (int i = 0; i < 10; i++) {
		sleep_ms((unsigned)rng_below(&rng, 400));
		struct cluster_node *leader = cluster_leader(&cluster);
		node_signal(leader, SIGSTOP);
		add_gap(&gaps, &cluster);
		sleep_ms(100 + (unsigned)rng_below(&rng, 2000));
		node_signal(leader, SIGCONT);
		await_write(&cluster);
		cluster_wait(&cluster, LIMIT_S);
	}
	tell(&gaps, "SIGSTOP of the leader");
	load_judge(load, &cluster);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"kill_leader", 400, kill_leader},
		{"kill_all", 200, kill_all},
		{"stop_leader", 200, stop_leader},
	};
	return cases_run(cases, sizeof cases / sizeof *cases, argc, argv);
}
