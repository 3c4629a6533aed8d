/*
 * Real processes whose members change under load, by `ikada member`: a cluster of five is replaced node by node; a
 * wiped
 * disk is replaced; leadership is handed on. Nothing that was acknowledged is lost, and how long writes waited is told.
 */
#include "cluster.h"
#include "load.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { CLIENTS = 6, LIMIT_S = 60 };

static void must(const struct cluster_node *node, const char *format, const char *action, unsigned id, const char *rest)
{
	int status;
	char *line = text(format, action, id, rest);
	char *said = run_program(&status, LIMIT_S + 5, "%s %s --host=%s --port=%d --wait-s=%d", program(), line,
				 case_host(), node->client_port, LIMIT_S);
	if (status != 0)
		fail("ikada %s: %s", line, said);
	free(said);
	free(line);
}

/* The longest time between two writes, seen by a client that tries again and again at all nodes. */
static uint64_t longest_gap_ns;
static uint64_t probe(struct cluster *cluster)
{
	uint64_t start = now_ns();
	for (unsigned i = 0; now_ns() - start < LIMIT_S * NS_PER_S; i++) {
		char *reply = node_ask(&cluster->nodes[i % cluster->count], 200, "INCR probe");
		bool done = *reply >= '0' && *reply <= '9';
		free(reply);
		if (done) {
			uint64_t gap = now_ns() - start;
			longest_gap_ns = gap > longest_gap_ns ? gap : longest_gap_ns;
			return gap;
		}
		sleep_ms(1);
	}
	fail("%d s without a write", LIMIT_S);
}

/* A node that is to join takes the place of one that is to go. */
static void replace_node(struct cluster *cluster, unsigned slot, unsigned id)
{
	struct cluster_node old = cluster->nodes[slot];
	struct cluster_node new = {
		.id = id, .client_port = CLIENT_PORT + (int)id - 1, .peer_port = PEER_PORT + (int)id - 1};
	new.dir = text("%s/node-%u", case_dir(), id);
	new.log = text("%s/node-%u.log", case_dir(), id);
	struct cluster with_new = {.count = cluster->count};
	with_new.list = text("%u=%s:%d", id, case_host(), new.peer_port);
	for (unsigned i = 0; i < cluster->count; i++)
		with_new.list = text("%s,%u=%s:%d", with_new.list, cluster->nodes[i].id, case_host(),
				     cluster->nodes[i].peer_port);
	const struct cluster_node *asked = &cluster->nodes[(slot + 1) % cluster->count];
	node_start(&with_new, &new);
	char *address = text("=%s:%d", case_host(), new.peer_port);
	must(asked, "member %s %u%s", "add", id, address);
	probe(cluster);
	must(asked, "member %s %u%s", "remove", old.id, "");
	cluster->nodes[slot] = new;
	cluster->list = with_new.list;
	node_signal(&old, SIGTERM);
	probe(cluster);
	free(address);
}

static void node_by_node(void)
{
	struct cluster cluster;
	cluster_start(&cluster, 5);
	struct load *load = load_start(&cluster, CLIENTS);
	longest_gap_ns = 0;
	for (unsigned slot = 0; slot < 5; slot++) {
		sleep_ms(300);
		replace_node(&cluster, slot, 6 + slot);
	}
	sleep_ms(300);
	for (unsigned i = 0; i < cluster.count; i++) {
		char *members = node_ask(&cluster.nodes[i], 2000, "RAFT.MEMBER ADD 1 h:1");
		EXPECT(*members == '-'); /* Ids are not used twice, wherever one asks. */
		free(members);
	}
	note("five nodes replaced by five others under load; a write waited %.0f ms at most",
	     (double)longest_gap_ns / 1e6);
	cluster_wait(&cluster, LIMIT_S);
	cluster_verify(&cluster);
	load_judge(load, &cluster);
}

static void wiped_disk(void)
{
	struct cluster cluster;
	cluster_start(&cluster, 3);
	struct load *load = load_start(&cluster, CLIENTS);
	longest_gap_ns = 0;
	for (unsigned i = 0; i < 3; i++) {
		struct cluster_node *node = &cluster.nodes[i];
		sleep_ms(300);
		node_signal(node, SIGKILL);
		int status;
		free(run_program(&status, 10, "rm -rf %s", node->dir));
		node_start(&cluster, node);
		must(&cluster.nodes[(i + 1) % 3], "member %s %u%s", "replace", node->id, "");
		probe(&cluster);
	}
	note("three wiped disks replaced, one after the other; a write waited %.0f ms at most",
	     (double)longest_gap_ns / 1e6);
	cluster_wait(&cluster, LIMIT_S);
	cluster_verify(&cluster);
	load_judge(load, &cluster);
}

static void hand_on(void)
{
	struct cluster cluster;
	cluster_start(&cluster, 3);
	struct load *load = load_start(&cluster, CLIENTS);
	longest_gap_ns = 0;
	for (unsigned i = 0; i < 6; i++) {
		struct cluster_node *leader = cluster_leader(&cluster);
		unsigned to = leader->id % 3 + 1;
		must(&cluster.nodes[i % 3], "%s --to=%u%s", "transfer", to, "");
		probe(&cluster);
		EXPECT(cluster_leader(&cluster)->id == to);
	}
	note("leadership handed on 6 times; a write waited %.0f ms at most", (double)longest_gap_ns / 1e6);
	longest_gap_ns = 0;
	for (unsigned i = 0; i < 4; i++) {
		struct cluster_node *leader = cluster_leader(&cluster);
		node_signal(leader, SIGTERM);
		probe(&cluster);
		node_start(&cluster, leader);
		cluster_wait(&cluster, LIMIT_S);
	}
	note("4 leaders ended by SIGTERM; a write waited %.0f ms at most", (double)longest_gap_ns / 1e6);
	load_judge(load, &cluster);
}

/* ---- What a stranger is told ---- */

static void expect_status(int expected, const char *format, const struct cluster_node *node, const char *said)
{
	int status;
	char *line = text("%s --host=%s --port=%d", format, case_host(), node->client_port);
	char *found = run_program(&status, LIMIT_S, "%s %s", program(), line);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != expected || strstr(found, said) == NULL)
		fail("ikada %s: status %x, expected %d and '%s', found: %s", line, (unsigned)status, expected, said,
		     found);
	free(found);
	free(line);
}

struct accident {
	pid_t leader, stopped;
};

static void *accident(void *context)
{
	const struct accident *accident = context;
	sleep_ms(1000);
	kill(accident->leader, SIGKILL);
	sleep_ms(2000);
	kill(accident->stopped, SIGCONT);
	return NULL;
}

/* The node that the user named, which leads and took the change, dies while another catches up. */
static void leader_dies_midway(void)
{
	struct cluster cluster;
	pthread_t thread;
	cluster_start(&cluster, 3);
	struct cluster_node new = {.id = 4, .client_port = CLIENT_PORT + 3, .peer_port = PEER_PORT + 3};
	new.dir = text("%s/node-4", case_dir());
	new.log = text("%s/node-4.log", case_dir());
	struct cluster four = {.list = text("%s,4=%s:%d", cluster.list, case_host(), new.peer_port)};
	struct cluster_node *leader = cluster_leader(&cluster);
	char *line = text("member add 4=%s:%d --wait-s=1", case_host(), new.peer_port);
	expect_status(1, line, leader, "node 4 has not been seen: start it first");
	node_start(&four, &new);
	sleep_ms(1500);
	node_signal(&new, SIGSTOP);
	struct accident midway = {leader->pid, new.pid};
	EXPECT(pthread_create(&thread, NULL, accident, &midway) == 0);
	line = text("member add 4=%s:%d --wait-s=%d", case_host(), new.peer_port, LIMIT_S);
	expect_status(0, line, leader, "node 4: joining");
	pthread_join(thread, NULL);
	node_signal(leader, SIGKILL);
	expect_status(0, "member list", &new, "node 4  voter");
	expect_status(0, "member demote 4", &new, "node 4 is learner");
	expect_status(1, "member demote 4", &new, "node 4 does not vote");
	expect_status(0, "member promote 4", &new, "node 4 is voter");
	expect_status(1, "member list", leader, "Connection refused");
	expect_status(1, "member remove 9", &new, "node 9 is not a member");
	expect_status(2, "member promote 2 --learner", &new, "--learner goes with add only");
	expect_status(2, "member remove", &new, "remove expects ID");
	node_signal(&new, SIGKILL);
}

/* The one that is to lead does not; what it says is so. */
static void no_transfer(void)
{
	struct cluster cluster;
	cluster_start(&cluster, 3);
	struct cluster_node *leader = cluster_leader(&cluster);
	struct cluster_node *other = &cluster.nodes[leader->id % 3];
	struct cluster_node *third = &cluster.nodes[other->id % 3];
	node_signal(other, SIGSTOP);
	expect_status(1, text("transfer --to=%u", other->id), third,
		      text("node %u leads on: nobody was ready", leader->id));
	expect_status(0, text("transfer --to=%u", leader->id), third, "leads already");
	expect_status(1, "transfer --to=7", third, "node 7 is not a member");
	expect_status(0, text("transfer --to=%u", third->id), leader, text("node %u leads", third->id));
	node_signal(other, SIGCONT);
	cluster_wait(&cluster, LIMIT_S);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"node_by_node", 300, node_by_node}, {"wiped_disk", 200, wiped_disk},
		{"hand_on", 100, hand_on},	     {"leader_dies_midway", 100, leader_dies_midway},
		{"no_transfer", 60, no_transfer},
	};
	return cases_run(cases, sizeof cases / sizeof *cases, argc, argv);
}
