/*
 * Real processes of which the majority is lost for ever: `ikada recover` on the disks of those that are left. All that
 * was acknowledged and reached one of them is there afterwards, they are members of a new cluster, and the lost ones
 * stay out.
 */
#include "cluster.h"
#include "load.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT_S = 60, WRITERS = 3 };

/* ---- Writers whom nobody asks what they were told ---- */

static pid_t writers[WRITERS];

static void start_writers(const struct cluster *cluster)
{
	pid_t parent = getpid();
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = fork();
		EXPECT(writers[i] >= 0);
		if (writers[i] != 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		for (unsigned n = i;; n++)
			free(node_ask(&cluster->nodes[n % cluster->count], 100, "INCR busy-%u", i));
	}
}

static void stop_writers(void)
{
	for (unsigned i = 0; i < WRITERS; i++) {
		kill(writers[i], SIGKILL);
		waitpid(writers[i], NULL, 0);
	}
}

static void put(const struct cluster_node *node, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		char *reply = node_ask(node, 6000, "SET kept-%u %u", i, i * 7);
		EXPECT(strcmp(reply, "OK") == 0);
		free(reply);
	}
}

static void expect_kept(const struct cluster_node *node, unsigned to)
{
	for (unsigned i = 0; i < to; i++) {
		char *reply = node_ask(node, 6000, "GET kept-%u", i);
		char *expected = text("%u", i * 7);
		if (strcmp(reply, expected) != 0)
			fail("node %u: kept-%u is '%s', and was acknowledged as '%s'", node->id, i, reply, expected);
		free(reply);
		free(expected);
	}
}

static void await_applied(const struct cluster_node *node, long long index)
{
	for (uint64_t end = now_ns() + LIMIT_S * NS_PER_S; node_info(node, "raft_applied_index") < index; sleep_ms(20))
		if (now_ns() > end)
			fail("node %u does not apply entry %lld", node->id, index);
}

/* ---- The program ---- */

static char *run(int expected, const char *format, const char *dir, const char *rest)
{
	int status;
	char *line = text(format, dir, rest);
	char *said = run_program(&status, LIMIT_S, "%s recover %s", program(), line);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != expected)
		fail("ikada recover %s: status %x, expected %d: %s", line, (unsigned)status, expected, said);
	free(line);
	return said;
}

static void expect_said(char *said, const char *what)
{
	if (strstr(said, what) == NULL)
		fail("expected '%s', found: %s", what, said);
	free(said);
}

static char *name_of(const struct cluster_node *node)
{
	char *said = run(0, "--data=%s%s", node->dir, "");
	char *start = text("\n%u=", node->id);
	char *found = strstr(said, start);
	if (found == NULL)
		fail("no name in: %s", said);
	found++;
	found[strcspn(found, "\n")] = '\0';
	return found;
}

static void expect_in_log(const struct cluster_node *node, const char *what)
{
	for (uint64_t end = now_ns() + 30 * NS_PER_S;; sleep_ms(50)) {
		char *log = read_file(node->log, NULL);
		bool there = strstr(log, what) != NULL;
		free(log);
		if (there)
			return;
		if (now_ns() > end)
			fail("the log of node %u does not say '%s'; see %s", node->id, what, node->log);
	}
}

static unsigned count(const char *where, const char *what)
{
	unsigned found = 0;
	for (const char *at = where; (at = strstr(at, what)) != NULL; at++)
		found++;
	return found;
}

static void await_voters(const struct cluster_node *node, unsigned voters)
{
	for (uint64_t end = now_ns() + LIMIT_S * NS_PER_S;; sleep_ms(50)) {
		int status; /* It is not up yet, perhaps. */
		char *said = run_program(&status, LIMIT_S, "%s member list --host=%s --port=%d", program(), case_host(),
					 node->client_port);
		bool all = status == 0 && count(said, "  voter ") == voters && count(said, "node ") == voters;
		if (!all && now_ns() > end)
			fail("node %u does not see %u voters: %s", node->id, voters, said);
		free(said);
		if (all)
			return;
	}
}

static void wipe(const struct cluster_node *node)
{
	int status;
	free(run_program(&status, 10, "rm -rf %s", node->dir));
	EXPECT(status == 0);
}

/* ---- Cases ---- */

/* `first` is named first, and the program is run on it first. */
static void recover(const struct cluster_node *first, const struct cluster_node *second, unsigned begins)
{
	char *list = text("%s,%s", name_of(first), name_of(second));
	char *begin = text("\nNode %u begins cluster ", begins);
	const struct cluster_node *both[2] = {first, second};
	for (unsigned i = 0; i < 2; i++) {
		char *said = run(1, "--data=%s --survivors=%s", both[i]->dir, list);
		EXPECT(strstr(said, begin) != NULL && strstr(said, "WARNING: ") != NULL);
		EXPECT(strstr(said, "\nGiven up: 1 2 3\n") != NULL);
		expect_said(said, "Nothing was done");
	}
	for (unsigned i = 0; i < 2; i++) {
		char *said = run(0, "--data=%s --yes --survivors=%s", both[i]->dir, list);
		expect_said(said, both[i]->id == begins ? "begins cluster" : "is empty, and comes to cluster");
		expect_said(run(0, "--data=%s --yes --survivors=%s", both[i]->dir, list), "start it");
	}
}

static void lose_three(struct cluster *cluster)
{
	for (unsigned i = 0; i < 3; i++)
		node_signal(&cluster->nodes[i], SIGKILL);
	/* One of the three is not lost: its disk turns up again later. */
	wipe(&cluster->nodes[1]);
	wipe(&cluster->nodes[2]);
}

/* The two are up as a cluster, which the lost ones do not get into, and empty nodes do. */
static void go_on(struct cluster *five, unsigned kept)
{
	struct cluster two = {.count = 2, .list = five->list, .nodes = {five->nodes[3], five->nodes[4]}};
	for (unsigned i = 0; i < 2; i++)
		node_start(&two, &two.nodes[i]);
	await_voters(&two.nodes[0], 2);
	await_voters(&two.nodes[1], 2);
	struct load *load = load_start(&two, WRITERS);
	node_start(five, &five->nodes[0]);
	node_start(five, &five->nodes[1]);
	expect_in_log(&five->nodes[0], "belongs to cluster");
	expect_in_log(&five->nodes[1], "no member any more");
	for (unsigned i = 0; i < 2; i++) {
		await_voters(&two.nodes[i], 2);
		expect_kept(&two.nodes[i], kept);
	}
	/* They stand in the way of nobody: their places are taken by new ones. */
	struct cluster_node new = {.id = 6, .client_port = CLIENT_PORT + 5, .peer_port = PEER_PORT + 5};
	new.dir = text("%s/node-6", case_dir());
	new.log = text("%s/node-6.log", case_dir());
	struct cluster three = {.count = 3, .nodes = {two.nodes[0], two.nodes[1]}};
	three.list = text("4=%s:%d,5=%s:%d,6=%s:%d", case_host(), two.nodes[0].peer_port, case_host(),
			  two.nodes[1].peer_port, case_host(), new.peer_port);
	node_start(&three, &new);
	int status;
	char *said = run_program(&status, LIMIT_S + 5, "%s member add 6=%s:%d --host=%s --port=%d --wait-s=%d",
				 program(), case_host(), new.peer_port, case_host(), two.nodes[0].client_port, LIMIT_S);
	if (status != 0)
		fail("ikada member add: %s", said);
	three.nodes[2] = new;
	expect_kept(&new, kept);
	cluster_wait(&three, LIMIT_S);
	cluster_verify(&three);
	load_judge(load, &three);
	node_signal(&five->nodes[0], SIGKILL);
	node_signal(&five->nodes[1], SIGKILL);
}

static void two_of_five(void)
{
	struct cluster cluster;
	enum { KEPT = 300 };
	cluster_start(&cluster, 5);
	put(&cluster.nodes[0], 0, KEPT);
	long long applied = node_info(&cluster.nodes[0], "raft_applied_index");
	await_applied(&cluster.nodes[3], applied);
	await_applied(&cluster.nodes[4], applied);
	start_writers(&cluster);
	sleep_ms(700);
	lose_three(&cluster);
	sleep_ms(300);
	stop_writers();
	expect_said(run(1, "--data=%s%s", cluster.nodes[3].dir, ""), "another process is using the data directory");
	node_signal(&cluster.nodes[3], SIGKILL);
	node_signal(&cluster.nodes[4], SIGTERM);
	char *said = run(1, "--data=%s --survivors=%s", cluster.nodes[3].dir,
			 text("%s,%s", name_of(&cluster.nodes[3]), name_of(&cluster.nodes[4])));
	char *begins = strstr(said, "\nNode ");
	EXPECT(begins != NULL);
	recover(&cluster.nodes[3], &cluster.nodes[4], (unsigned)atoi(begins + 6));
	go_on(&cluster, KEPT);
}

/* One is far behind, and is named first: what only the other has stays. */
static void older_log_first(void)
{
	struct cluster cluster;
	enum { KEPT = 600 };
	cluster_start(&cluster, 5);
	put(&cluster.nodes[0], 0, KEPT / 2);
	await_applied(&cluster.nodes[4], node_info(&cluster.nodes[0], "raft_applied_index"));
	node_signal(&cluster.nodes[4], SIGKILL);
	put(&cluster.nodes[3], KEPT / 2, KEPT);
	await_applied(&cluster.nodes[3], node_info(&cluster.nodes[0], "raft_applied_index"));
	start_writers(&cluster);
	sleep_ms(300);
	lose_three(&cluster);
	stop_writers();
	node_signal(&cluster.nodes[3], SIGKILL);
	recover(&cluster.nodes[4], &cluster.nodes[3], 4);
	go_on(&cluster, KEPT);
}

static void wrong_lines(void)
{
	struct cluster cluster;
	cluster_start(&cluster, 3);
	put(&cluster.nodes[0], 0, 10);
	for (unsigned i = 0; i < 3; i++)
		node_signal(&cluster.nodes[i], SIGTERM);
	const char *dir = cluster.nodes[0].dir;
	const char *two = text("%s,%s", name_of(&cluster.nodes[0]), name_of(&cluster.nodes[1]));
	expect_said(run(2, "%s%s", "", "--survivors=x"), "--data DIR is required");
	expect_said(run(2, "--data=%s%s", dir, " --yes"), "--yes expects --survivors");
	expect_said(run(2, "--data=%s%s", dir, " --node=1"), "there is no flag --node");
	expect_said(run(2, "--data=%s %s", dir, "yes"), "expected a flag");
	expect_said(run(1, "--data=%s%s", text("%s/nowhere", case_dir()), ""), "No such file or directory");
	expect_said(run(1, "--data=%s%s", case_dir(), ""), "it holds no identity");
	expect_said(run(1, "--data=%s --yes --survivors=%s", dir, "1=h:1/2"), "was not copied whole");
	expect_said(run(1, "--data=%s --yes --survivors=%s", cluster.nodes[2].dir, two), "is not among the survivors");
	expect_said(run(1, "--data=%s --yes --survivors=%s", dir, two), "are a majority of the members");
	struct stat st;
	EXPECT(stat(text("%s/LOCK", case_dir()), &st) != 0); /* It left nothing where it has no business. */
	/* None of it has changed anything. */
	for (unsigned i = 0; i < 3; i++)
		node_start(&cluster, &cluster.nodes[i]);
	cluster_wait(&cluster, LIMIT_S);
	cluster_verify(&cluster);
	expect_kept(&cluster.nodes[2], 10);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"two_of_five", 150, two_of_five},
		{"older_log_first", 150, older_log_first},
		{"wrong_lines", 60, wrong_lines},
	};
	return cases_run(cases, sizeof cases / sizeof *cases, argc, argv);
}
