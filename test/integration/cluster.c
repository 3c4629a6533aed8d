#include "cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

const char *program(void)
{
	const char *path = getenv("IKADA");
	return path == NULL ? "build/ikada" : path;
}

/* ---- Processes ---- */

void cluster_init(struct cluster *cluster, unsigned count)
{
	memset(cluster, 0, sizeof *cluster);
	cluster->count = count;
	cluster->list = text("%s", "");
	for (unsigned i = 0; i < count; i++) {
		struct cluster_node *node = &cluster->nodes[i];
		node->id = i + 1;
		node->client_port = CLIENT_PORT + (int)i;
		node->peer_port = PEER_PORT + (int)i;
		node->dir = text("%s/node-%u", case_dir(), node->id);
		node->log = text("%s/node-%u.log", case_dir(), node->id);
		cluster->list =
			text("%s%s%u=%s:%d", cluster->list, i == 0 ? "" : ",", node->id, case_host(), node->peer_port);
	}
}

/* In the child: never returns. */
static void exec_with(pid_t parent, int output, char **args)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	int nothing = open("/dev/null", O_RDONLY);
	dup2(nothing, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	for (int fd = STDERR_FILENO + 1; fd < 256; fd++)
		close(fd);
	execvp(args[0], args);
	dprintf(STDERR_FILENO, "%s cannot be run: %s\n", args[0], strerror(errno));
	_exit(127);
}

enum { WORDS_MAX = 64 };

/* Splits at spaces, in place. */
static void split(char *line, char **words)
{
	int count = 0;
	for (char *word; (word = strsep(&line, " ")) != NULL;) {
		EXPECT(count < WORDS_MAX);
		words[count++] = word;
	}
	words[count] = NULL;
}

void node_start(struct cluster *cluster, struct cluster_node *node)
{
	char *line = text("%s server --node=%u --cluster=%s --listen=%s:%d --data=%s", program(), node->id,
			  cluster->list, case_host(), node->client_port, node->dir);
	if (cluster->wrapper != NULL) {
		const char *mark = strstr(cluster->wrapper, "%N");
		EXPECT(mark != NULL);
		line = text("%.*s%u%s %s", (int)(mark - cluster->wrapper), cluster->wrapper, node->id, mark + 2, line);
	}
	char *words[WORDS_MAX + 1];
	split(line, words);
	pid_t parent = getpid();
	int log = open(node->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	EXPECT(log >= 0);
	node->pid = fork();
	EXPECT(node->pid >= 0);
	if (node->pid == 0)
		exec_with(parent, log, words);
	close(log);
	free(line);
}

int node_signal(struct cluster_node *node, int number)
{
	int status = 0;
	EXPECT(node->pid > 0);
	kill(node->pid, number);
	if (number == SIGKILL || number == SIGTERM) {
		EXPECT(waitpid(node->pid, &status, 0) == node->pid);
		node->pid = 0;
	}
	return status;
}

void cluster_stop(struct cluster *cluster)
{
	for (unsigned i = 0; i < cluster->count; i++)
		if (cluster->nodes[i].pid > 0)
			node_signal(&cluster->nodes[i], SIGKILL);
}

char *run_program(int *status, unsigned limit_s, const char *format, ...)
{
	char *line, *words[WORDS_MAX + 1];
	va_list arguments;
	va_start(arguments, format);
	EXPECT(vasprintf(&line, format, arguments) > 0);
	va_end(arguments);
	split(line, words);
	int ends[2];
	size_t size = 0, room = 4096;
	char *output = malloc(room);
	pid_t parent = getpid();
	EXPECT(output != NULL && pipe2(ends, O_CLOEXEC) == 0);
	pid_t pid = fork();
	EXPECT(pid >= 0);
	if (pid == 0)
		exec_with(parent, ends[1], words);
	close(ends[1]);
	uint64_t end = now_ns() + limit_s * NS_PER_S;
	for (;;) {
		uint64_t now = now_ns();
		struct pollfd wait = {ends[0], POLLIN, 0};
		if (now >= end || poll(&wait, 1, (int)((end - now) / NS_PER_MS) + 1) == 0) {
			kill(pid, SIGKILL);
			fail("%s did not end within %u s; it printed: %.*s", words[0], limit_s, (int)size, output);
		}
		if (room - size < 4096)
			EXPECT((output = realloc(output, room *= 2)) != NULL);
		ssize_t n = read(ends[0], output + size, room - size - 1);
		if (n <= 0)
			break;
		size += (size_t)n;
	}
	output[size] = '\0';
	close(ends[0]);
	EXPECT(waitpid(pid, status, 0) == pid);
	free(line);
	return output;
}

char *read_file(const char *path, size_t *size)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		fail("%s cannot be read: %s", path, strerror(errno));
	char *bytes = malloc((size_t)st.st_size + 1);
	EXPECT(bytes != NULL && read(fd, bytes, (size_t)st.st_size) == st.st_size);
	bytes[st.st_size] = '\0';
	close(fd);
	if (size != NULL)
		*size = (size_t)st.st_size;
	return bytes;
}

/* ---- Clients ---- */

redisContext *node_connect(const struct cluster_node *node, unsigned timeout_ms)
{
	const struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
	redisContext *context = redisConnectWithTimeout(case_host(), node->client_port, timeout);
	if (context != NULL && context->err == 0 && redisSetTimeout(context, timeout) == REDIS_OK)
		return context;
	if (context != NULL)
		redisFree(context);
	return NULL;
}

char *node_ask(const struct cluster_node *node, unsigned timeout_ms, const char *format, ...)
{
	redisContext *context = node_connect(node, timeout_ms);
	if (context == NULL)
		return text("%s", "");
	va_list arguments;
	va_start(arguments, format);
	redisReply *reply = redisvCommand(context, format, arguments);
	va_end(arguments);
	char *result;
	if (reply == NULL)
		result = text("%s", "");
	else if (reply->type == REDIS_REPLY_INTEGER)
		result = text("%lld", reply->integer);
	else if (reply->type == REDIS_REPLY_NIL)
		result = text("(nil)");
	else
		result =
			text("%s%s", reply->type == REDIS_REPLY_ERROR ? "-" : "", reply->str == NULL ? "" : reply->str);
	freeReplyObject(reply);
	redisFree(context);
	return result;
}

static const char *info_field(const char *info, const char *field)
{
	size_t size = strlen(field);
	for (const char *line = info; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, field, size) == 0 && line[size] == ':')
			return line + size + 1;
	}
	return NULL;
}

long long node_info(const struct cluster_node *node, const char *field)
{
	char *info = node_ask(node, 1000, "INFO");
	const char *value = info_field(info, field);
	long long number = value == NULL ? -1 : atoll(value);
	free(info);
	return number;
}

struct cluster_node *cluster_leader(struct cluster *cluster)
{
	for (uint64_t end = now_ns() + 30 * NS_PER_S; now_ns() < end; sleep_ms(20)) {
		struct cluster_node *leader = NULL;
		long long best = -1;
		for (unsigned i = 0; i < cluster->count; i++) {
			struct cluster_node *node = &cluster->nodes[i];
			if (node->pid == 0)
				continue;
			char *info = node_ask(node, 300, "INFO");
			const char *role = info_field(info, "raft_role");
			const char *term = info_field(info, "raft_term");
			if (role != NULL && term != NULL && strncmp(role, "leader", 6) == 0 && atoll(term) > best) {
				best = atoll(term);
				leader = node;
			}
			free(info);
		}
		if (leader != NULL)
			return leader;
	}
	fail("30 s without a leader");
}

void cluster_wait(struct cluster *cluster, unsigned limit_s)
{
	uint64_t end = now_ns() + limit_s * NS_PER_S;
	for (unsigned i = 0; i < cluster->count; i++) {
		const struct cluster_node *node = &cluster->nodes[i];
		while (node->pid > 0) {
			char *reply = node_ask(node, 1000, "SET ready %u", node->id);
			bool ok = strcmp(reply, "OK") == 0;
			if (!ok && now_ns() > end)
				fail("node %u does not take a write after %u s: %s; see %s", node->id, limit_s, reply,
				     node->log);
			free(reply);
			if (ok)
				break;
			sleep_ms(20);
		}
	}
}

void cluster_start(struct cluster *cluster, unsigned count)
{
	cluster_init(cluster, count);
	for (unsigned i = 0; i < count; i++)
		node_start(cluster, &cluster->nodes[i]);
	cluster_wait(cluster, 30);
}

void cluster_verify(struct cluster *cluster)
{
	cluster_wait(cluster, 30);
	for (unsigned i = 0; i < cluster->count; i++) {
		if (cluster->nodes[i].pid == 0)
			continue;
		char *value = text("%u-%ju", i, (uintmax_t)now_ns());
		char *reply = node_ask(&cluster->nodes[i], 6000, "SET verify %s", value);
		if (strcmp(reply, "OK") != 0)
			fail("node %u answers a SET with '%s'", i + 1, reply);
		for (unsigned j = 0; j < cluster->count; j++) {
			if (cluster->nodes[j].pid == 0)
				continue;
			reply = node_ask(&cluster->nodes[j], 6000, "GET verify");
			if (strcmp(reply, value) != 0)
				fail("node %u read '%s' right after '%s' was written at node %u", j + 1, reply, value,
				     i + 1);
		}
	}
}
