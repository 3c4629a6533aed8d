/* Bad input gets one clear line or one error reply, and harms nothing: the cluster still answers. */
#include "cluster.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Lines of an output that are not the server's log: those do not begin with a time. */
static char *plain_lines(const char *output, unsigned *count)
{
	char *plain = text("%s", "");
	*count = 0;
	for (const char *line = output; *line != '\0';) {
		size_t size = strcspn(line, "\n");
		if (size > 0 && !(line[0] >= '0' && line[0] <= '9')) {
			plain = text("%s%.*s\n", plain, (int)size, line);
			++*count;
		}
		line += size + (line[size] == '\n');
	}
	return plain;
}

/* What ran must have ended with a status that is not 0, after one line that holds `part`. */
static void expect_refusal(int status, const char *output, const char *part)
{
	unsigned lines;
	char *plain = plain_lines(output, &lines);
	if (!WIFEXITED(status) || WEXITSTATUS(status) == 0)
		fail("expected a refusal that says '%s', found status %d and: %s", part, status, output);
	if (lines != 1 || strstr(plain, part) == NULL)
		fail("expected one line that says '%s', found %u: %s", part, lines, output);
	note("%.*s", (int)strcspn(plain, "\n"), plain);
}

static void server_refuses(const struct cluster *cluster, unsigned id, int client_port, const char *dir,
			   const char *part)
{
	int status;
	char *output = run_program(&status, 10, "%s server --node %u --cluster %s --listen %s:%d --data %s", program(),
				   id, cluster->list, case_host(), client_port, dir);
	expect_refusal(status, output, part);
}

static void unknown_flag(void)
{
	int status;
	char *output = run_program(&status, 10, "%s server --nodes 3", program());
	expect_refusal(status, output, "--nodes");
	output = run_program(&status, 10, "%s dev --colour", program());
	expect_refusal(status, output, "--colour");
	output = run_program(&status, 10, "%s frobnicate", program());
	expect_refusal(status, output, "frobnicate");
}

static int listen_on(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	EXPECT(inet_pton(AF_INET, case_host(), &address.sin_addr) == 1);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	EXPECT(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0);
	return fd;
}

static void taken_port(void)
{
	struct cluster cluster;
	cluster_init(&cluster, 3);
	int fd = listen_on(CLIENT_PORT);
	server_refuses(&cluster, 1, CLIENT_PORT, cluster.nodes[0].dir, text("%s:%d", case_host(), CLIENT_PORT));
	close(fd);
	fd = listen_on(PEER_PORT);
	server_refuses(&cluster, 1, CLIENT_PORT, cluster.nodes[0].dir, text("%s:%d", case_host(), PEER_PORT));
	close(fd);
	/* What was refused left nothing that stands in the way. */
	cluster_start(&cluster, 3);
	cluster_verify(&cluster);
}

static void directories(void)
{
	struct cluster cluster;
	cluster_start(&cluster, 3);
	/* A second process on one directory. */
	server_refuses(&cluster, 1, CLIENT_PORT + 100, cluster.nodes[0].dir, "another process");
	cluster_verify(&cluster);
	/* The directory of another node. */
	node_signal(&cluster.nodes[0], SIGTERM);
	node_signal(&cluster.nodes[1], SIGTERM);
	server_refuses(&cluster, 1, CLIENT_PORT, cluster.nodes[1].dir, "node 2");
	/* Another list of members. */
	const char *list = cluster.list;
	cluster.list = text("1=%s:%d,4=%s:%d", case_host(), PEER_PORT, case_host(), PEER_PORT + 3);
	server_refuses(&cluster, 1, CLIENT_PORT, cluster.nodes[0].dir, "names others");
	cluster.list = text("%s", list);
	/* One that cannot be made. */
	server_refuses(&cluster, 1, CLIENT_PORT, "/proc/none/of/this", "/proc/none/of/this");
	node_start(&cluster, &cluster.nodes[0]);
	node_start(&cluster, &cluster.nodes[1]);
	cluster_verify(&cluster);
}

/* ---- Bytes ---- */

static int dial(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct timeval timeout = {10, 0};
	EXPECT(inet_pton(AF_INET, case_host(), &address.sin_addr) == 1);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	EXPECT(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0);
	EXPECT(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) == 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
		fail("%s:%d cannot be reached: %s", case_host(), port, strerror(errno));
	return fd;
}

/* False when the other side has hung up. */
static bool send_all(int fd, const void *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = send(fd, (const char *)bytes + done, size - done, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			fail("the other side takes no bytes and does not hang up");
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static uint64_t draw(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void random_bytes(void)
{
	struct cluster cluster;
	cluster_start(&cluster, 3);
	uint64_t state = 0x9e3779b97f4a7c15u;
	for (int round = 0; round < 120; round++) {
		const struct cluster_node *node = &cluster.nodes[round % 3];
		int fd = dial(round / 3 % 2 == 0 ? node->client_port : node->peer_port);
		uint8_t bytes[4096];
		size_t size = 1 + draw(&state) % sizeof bytes;
		for (size_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)draw(&state);
		/* Some look like the beginning of something. */
		static const char *const starts[] = {"*3\r\n$3\r\n", "*2147483647\r\n", "*1\r\n$-5\r\n", "$",
						     "*-1\r\n"};
		const char *start = starts[draw(&state) % 5];
		if (round % 4 == 0 && strlen(start) < size)
			memcpy(bytes, start, strlen(start));
		send_all(fd, bytes, size);
		close(fd);
	}
	/* A real frame of a peer, of which one byte is wrong, and one that is cut. */
	for (unsigned i = 0; i < cluster.count; i++) {
		int fd = dial(cluster.nodes[i].peer_port);
		uint8_t frame[4096] = {0};
		frame[0] = (uint8_t)i;
		send_all(fd, frame, sizeof frame);
		close(fd);
	}
	cluster_verify(&cluster);
	for (unsigned i = 0; i < cluster.count; i++)
		EXPECT(waitpid(cluster.nodes[i].pid, NULL, WNOHANG) == 0);
}

static void large_bulk(void)
{
	struct cluster cluster;
	cluster_start(&cluster, 3);
	int fd = dial(cluster.nodes[0].client_port);
	static char bytes[1024 * 1024];
	memset(bytes, 'x', sizeof bytes);
	const char *head = "*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$104857600\r\n";
	bool open = send_all(fd, head, strlen(head));
	for (int i = 0; i < 100 && open; i++)
		open = send_all(fd, bytes, sizeof bytes);
	if (open)
		send_all(fd, "\r\n", 2);
	char reply[256];
	ssize_t size = recv(fd, reply, sizeof reply - 1, 0);
	if (size <= 0)
		fail("a bulk of 100 MB got no reply: %s", size == 0 ? "the connection was closed" : strerror(errno));
	reply[size] = '\0';
	if (reply[0] != '-')
		fail("a bulk of 100 MB got the reply %s", reply);
	note("%.*s", (int)strcspn(reply, "\r"), reply);
	close(fd);
	EXPECT(strcmp(node_ask(&cluster.nodes[0], 6000, "EXISTS large"), "0") == 0);
	/* The largest that is allowed does no harm either. */
	struct cluster_node *leader = cluster_leader(&cluster);
	memset(bytes, 'y', sizeof bytes - 1);
	bytes[sizeof bytes - 1] = '\0';
	EXPECT(strcmp(node_ask(leader, 6000, "SET million %s", bytes), "OK") == 0);
	for (unsigned i = 0; i < cluster.count; i++)
		EXPECT(strcmp(node_ask(&cluster.nodes[i], 6000, "GET million"), bytes) == 0);
	cluster_verify(&cluster);
}

/* ---- The disk ---- */

/* Flips a bit in the first place where a file of the log holds `bytes`; false if none does. */
static bool flip_in_log(const struct cluster_node *node, const char *bytes)
{
	char *path = text("%s/wal", node->dir);
	DIR *dir = opendir(path);
	EXPECT(dir != NULL);
	const struct dirent *entry;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		size_t size;
		char *file = text("%s/%s", path, entry->d_name);
		char *content = read_file(file, &size);
		char *at = memmem(content, size, bytes, strlen(bytes));
		if (at != NULL) {
			int fd = open(file, O_WRONLY);
			*at ^= 1;
			EXPECT(fd >= 0 && pwrite(fd, at, 1, at - content) == 1);
			close(fd);
			closedir(dir);
			return true;
		}
		free(content);
		free(file);
	}
	closedir(dir);
	return false;
}

static void flipped_byte(void)
{
	struct cluster cluster;
	cluster_start(&cluster, 3);
	const char *mark = "a value that will not be found as it was written";
	EXPECT(strcmp(node_ask(&cluster.nodes[0], 6000, "SET flip %s", mark), "OK") == 0);
	for (int i = 0; i < 20; i++)
		EXPECT(strcmp(node_ask(&cluster.nodes[i % 3], 6000, "SET after %d", i), "OK") == 0);
	cluster_verify(&cluster); /* All three have it, and more behind it. */
	struct cluster_node *victim = &cluster.nodes[2];
	node_signal(victim, SIGKILL);
	if (!flip_in_log(victim, mark))
		fail("the log in %s does not hold the value that was written", victim->dir);
	server_refuses(&cluster, 3, victim->client_port, victim->dir, "damaged");
	/* It refuses again: nothing was repaired in silence. */
	server_refuses(&cluster, 3, victim->client_port, victim->dir, "damaged");
	cluster_verify(&cluster);
	EXPECT(strcmp(node_ask(&cluster.nodes[0], 6000, "GET flip"), mark) == 0);
}

/* A disk that fills up, of one node and then of a majority. In a mount namespace of the case's own. */
static void full_disk(void)
{
	struct cluster cluster;
	cluster_init(&cluster, 3);
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		skip("a small disk needs a mount: %s", strerror(errno));
	for (unsigned i = 0; i < 3; i++) {
		EXPECT(mkdir(cluster.nodes[i].dir, 0755) == 0);
		/* Room for two segments and a little. */
		if (mount("small", cluster.nodes[i].dir, "tmpfs", 0, i == 2 ? "size=320m" : "size=160m") != 0)
			skip("a small disk needs a mount: %s", strerror(errno));
	}
	for (unsigned i = 0; i < 3; i++)
		node_start(&cluster, &cluster.nodes[i]);
	cluster_wait(&cluster, 30);
	char *value = malloc(256 * 1024);
	EXPECT(value != NULL);
	memset(value, 'v', 256 * 1024 - 1);
	value[256 * 1024 - 1] = '\0';
	unsigned done = 0;
	char *reply = NULL;
	for (unsigned i = 0; i < 1600; i++) {
		reply = node_ask(&cluster.nodes[2], 6000, "SET fill-%u %s", i % 8, value);
		if (strcmp(reply, "OK") != 0)
			break;
		done++;
		EXPECT(strcmp(node_ask(&cluster.nodes[2], 6000, "SET last %u", i), "OK") == 0);
	}
	if (done == 1600)
		fail("400 MiB were written to disks that do not hold them");
	if (reply[0] != '-')
		fail("a write that found no room got '%s' for a reply", reply);
	note("after %u writes of 256 KiB: %s", done, reply);
	unsigned ended = 0;
	for (unsigned i = 0; i < 3; i++) {
		int status;
		if (waitpid(cluster.nodes[i].pid, &status, WNOHANG) != cluster.nodes[i].pid)
			continue;
		char *log = read_file(cluster.nodes[i].log, NULL);
		size_t size = strlen(log);
		while (size > 0 && log[size - 1] == '\n')
			log[--size] = '\0';
		const char *line = strrchr(log, '\n');
		cluster.nodes[i].pid = 0;
		ended++;
		if (!WIFEXITED(status))
			fail("node %u died of signal %d", i + 1, WTERMSIG(status));
		note("node %u ended: %s", i + 1, line == NULL ? log : line + 1);
	}
	/* What needs no room still works while a majority runs, and everything does once there is room again. */
	reply = node_ask(&cluster.nodes[2], 6000, "GET last");
	if (ended <= 1 && (unsigned)atoi(reply) + 1 != done)
		fail("with a full disk, GET last gives %s after %u writes", reply, done);
	for (unsigned i = 0; i < 3; i++)
		EXPECT(mount("small", cluster.nodes[i].dir, "tmpfs", MS_REMOUNT, "size=640m") == 0);
	for (unsigned i = 0; i < 3; i++)
		if (cluster.nodes[i].pid == 0)
			node_start(&cluster, &cluster.nodes[i]);
	cluster_verify(&cluster);
	unsigned last = (unsigned)atoi(node_ask(&cluster.nodes[0], 6000, "GET last"));
	if (last + 1 != done)
		fail("write %u was acknowledged, and %u is what is left", done - 1, last);
	for (unsigned i = 0; i < 8; i++)
		EXPECT(strcmp(node_ask(&cluster.nodes[i % 3], 6000, "STRLEN fill-%u", i), "262143") == 0);
	cluster_stop(&cluster);
	for (unsigned i = 0; i < 3; i++)
		umount(cluster.nodes[i].dir);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"unknown_flag", 20, unknown_flag}, {"taken_port", 60, taken_port}, {"directories", 60, directories},
		{"random_bytes", 60, random_bytes}, {"large_bulk", 60, large_bulk}, {"flipped_byte", 60, flipped_byte},
		{"full_disk", 120, full_disk},
	};
	return cases_run(cases, sizeof cases / sizeof *cases, argc, argv);
}
