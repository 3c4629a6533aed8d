/* What a stranger does first: `ikada dev`, redis-cli, redis-benchmark. */
#include "cluster.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static char *redis_cli(const struct cluster_node *node, const char *command, const char *key, const char *value)
{
	int status;
	char *output = run_program(&status, 10, "redis-cli -h %s -p %d %s %s%s%s", case_host(), node->client_port,
				   command, key, value == NULL ? "" : " ", value == NULL ? "" : value);
	if (status != 0)
		fail("redis-cli %s ended with status %d: %s", command, status, output);
	return output;
}

static void pairs(void)
{
	struct cluster cluster;
	cluster_start(&cluster, 3);
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned j = 0; j < 3; j++) {
			const char *value = text("from-%u-to-%u", i + 1, j + 1);
			char *reply = redis_cli(&cluster.nodes[i], "SET", "a", value);
			if (strcmp(reply, "OK\n") != 0)
				fail("SET at node %u: %s", i + 1, reply);
			reply = redis_cli(&cluster.nodes[j], "GET", "a", NULL);
			if (strcmp(reply, text("%s\n", value)) != 0)
				fail("node %u read %s where %s was expected", j + 1, reply, value);
		}
	}
}

static void benchmark_with(const struct cluster *cluster, const char *pipeline)
{
	int status;
	uint64_t start = now_ns();
	char *output = run_program(&status, 200, "redis-benchmark -h %s -p %d -t set,get -n 100000 -c 50 -P %s -q",
				   case_host(), cluster->nodes[0].client_port, pipeline);
	for (const char *at = output; *at != '\0'; at++)
		if (*at == '\r')
			output[at - output] = '\n';
	if (status != 0 || strstr(output, "rror") != NULL)
		fail("redis-benchmark -P %s ended with status %d: %s", pipeline, status, output);
	const char *kinds[] = {"\nSET: ", "\nGET: "};
	for (int i = 0; i < 2; i++) {
		const char *line = NULL; /* The last is the result. */
		for (const char *at = output; (at = strstr(at, kinds[i])) != NULL; at++)
			line = at;
		if (line == NULL || strstr(line, "requests per second") == NULL)
			fail("redis-benchmark -P %s tells no result: %s", pipeline, output);
		note("redis-benchmark -P %s: %.*s", pipeline, (int)strcspn(line + 1, "\n"), line + 1);
	}
	note("redis-benchmark -P %s took %.1f s", pipeline, (double)(now_ns() - start) / 1e9);
}

static void benchmark(void)
{
	struct cluster cluster;
	cluster_start(&cluster, 3);
	benchmark_with(&cluster, "1");
	benchmark_with(&cluster, "16");
	cluster_verify(&cluster);
}

/* ---- ikada dev ---- */

/* Reads lines until one holds `part`; the lines so far. */
static char *read_until(FILE *from, const char *part)
{
	char line[1024];
	char *all = text("%s", "");
	while (fgets(line, sizeof line, from) != NULL) {
		all = text("%s%s", all, line);
		if (strstr(line, part) != NULL)
			return all;
	}
	fail("ikada dev ended before it printed '%s'; it printed: %s", part, all);
}

/* What it prints is to be read from *from. */
static pid_t start_dev(FILE **from)
{
	int ends[2];
	pid_t parent = getpid();
	EXPECT(pipe2(ends, O_CLOEXEC) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		dup2(ends[1], STDOUT_FILENO);
		execl(program(), "ikada", "dev", "--host", case_host(), "--dir", text("%s/dev", case_dir()), NULL);
		_exit(127);
	}
	close(ends[1]);
	*from = fdopen(ends[0], "r");
	EXPECT(pid > 0 && *from != NULL);
	return pid;
}

static void dev(void)
{
	FILE *from;
	pid_t pid = start_dev(&from);
	char *table = read_until(from, "redis-cli");
	EXPECT(strstr(table, "pid") != NULL);
	struct cluster cluster;
	cluster_init(&cluster, 3);
	read_until(from, "leads");
	for (unsigned i = 0; i < 3; i++) {
		char *reply = node_ask(&cluster.nodes[i], 6000, "SET dev %u", i);
		if (strcmp(reply, "OK") != 0)
			fail("node %u of ikada dev answers '%s'", i + 1, reply);
	}
	pid_t pids[3];
	for (unsigned i = 0; i < 3; i++) {
		pids[i] = (pid_t)node_info(&cluster.nodes[i], "process_id");
		EXPECT(pids[i] > 0);
		EXPECT(strstr(table, text(" %d ", pids[i])) != NULL);
	}
	/* A node that died is told, and started again with the line that is printed. */
	struct cluster_node *leader = NULL;
	for (unsigned i = 0; i < 3; i++)
		if (strcmp(node_ask(&cluster.nodes[i], 1000, "GET dev"), "2") == 0 &&
		    strstr(node_ask(&cluster.nodes[i], 1000, "INFO"), "raft_role:leader") != NULL)
			leader = &cluster.nodes[i];
	EXPECT(leader != NULL);
	kill(pids[leader->id - 1], SIGKILL);
	read_until(from, "start it again with");
	char line[1024];
	EXPECT(fgets(line, sizeof line, from) != NULL);
	EXPECT(strstr(line, " server ") != NULL && strstr(line, text("--node %u", leader->id)) != NULL);
	read_until(from, "leads");
	/* Its own line, in the background of a shell; this process is ours, not that of ikada dev. */
	line[strcspn(line, "\n")] = '\0';
	pid_t again = fork();
	if (again == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl("/bin/sh", "sh", "-c", text("exec %s >/dev/null 2>&1", line), NULL);
		_exit(127);
	}
	read_until(from, text("node %u is up again", leader->id));
	kill(pid, SIGTERM);
	read_until(from, "all nodes have stopped");
	int status;
	EXPECT(waitpid(pid, &status, 0) == pid);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	for (unsigned i = 0; i < 3; i++)
		if (&cluster.nodes[i] != leader && kill(pids[i], 0) == 0)
			fail("node %u outlived ikada dev", i + 1);
	kill(again, SIGTERM);
	EXPECT(waitpid(again, &status, 0) == again);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* However ikada dev dies, its nodes go with it. */
static void dev_killed(void)
{
	FILE *from;
	pid_t pid = start_dev(&from);
	read_until(from, "leads");
	struct cluster cluster;
	cluster_init(&cluster, 3);
	kill(pid, SIGKILL);
	int status;
	EXPECT(waitpid(pid, &status, 0) == pid);
	uint64_t end = now_ns() + 10 * NS_PER_S;
	for (unsigned i = 0; i < 3; i++) {
		while (*node_ask(&cluster.nodes[i], 300, "PING") != '\0') {
			if (now_ns() > end)
				fail("node %u still answers 10 s after ikada dev was killed", i + 1);
			sleep_ms(50);
		}
	}
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"pairs", 60, pairs},
		{"benchmark", 300, benchmark},
		{"dev", 60, dev},
		{"dev_killed", 60, dev_killed},
	};
	return cases_run(cases, sizeof cases / sizeof *cases, argc, argv);
}
