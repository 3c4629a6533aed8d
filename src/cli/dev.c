/*
 * `ikada dev`: a whole cluster on this machine, one process a node, for trying things out.
 *
 * Starts each node once, watches them as a client would, and says what it sees. It restarts nobody: a node that died is
 * the user's to look at, and to start again with the line that is printed; such a node is no child of this program, and
 * goes on when this one ends. Children die with this program, however it dies.
 */
#include "base/check.h"
#include "cli/cli.h"
#include "cli/flags.h"
#include "cli/node_watch.h"
#include "env/env_uv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NODES_MAX 9
#define PEER_PORT_ABOVE 10000
#define NS_PER_MS ((uint64_t)1000000)
#define ASK_NS (200 * NS_PER_MS)
#define SILENT_NS (1000 * NS_PER_MS) /* An answer older than this is no news; nor is a leader. */
#define STOP_NS (5000 * NS_PER_MS)
#define ARGS_MAX 11

struct dev_node {
	unsigned id;
	char clients[300]; /* Where it listens, for clients and for peers. */
	char peers[300];
	char dir[PATH_MAX + 16];
	char log[PATH_MAX + 24];
	char number[8];
	const char *args[ARGS_MAX]; /* Its command line, NULL at the end. */
	int log_fd;
	pid_t pid; /* Of our child; 0 when it has ended. */
	pid_t dead_pid;
	bool told_down;
	struct node_watch watch;
};

struct dev {
	struct mem mem;
	struct env *env;
	uint64_t node_count;
	const char *host;
	uint64_t port;
	const char *dir;
	char root[PATH_MAX]; /* `dir`, absolute. */
	char program[PATH_MAX];
	char cluster[NODES_MAX * 320];
	struct dev_node nodes[NODES_MAX];
	uint64_t ask_ns;
	uint64_t leader_id; /* As last told; 0 none. */
	uint64_t leader_term;
	uint64_t leader_seen_ns;
	bool stopping;
	bool killed;
	uint64_t kill_ns;
	int status;
	uv_signal_t signals[3];
};

/* ---- What is said ---- */

static bool plain(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@%+") == strlen(text);
}

/* For a shell to read. */
static void print_word(const char *word)
{
	if (plain(word)) {
		printf(" %s", word);
		return;
	}
	printf(" '");
	for (; *word != '\0'; word++) {
		if (*word == '\'')
			printf("'\\''");
		else
			putchar(*word);
	}
	printf("'");
}

static void print_command(const struct dev_node *node)
{
	printf("  start it again with:\n   ");
	for (int i = 0; node->args[i] != NULL; i++)
		print_word(node->args[i]);
	printf("\n");
}

/* A node that cannot go on says why in its last line. */
static void print_last_line(const struct dev_node *node)
{
	char tail[1024];
	struct stat st;
	int fd = open(node->log, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	size_t want = sizeof tail - 1;
	off_t from = fstat(fd, &st) == 0 && st.st_size > (off_t)want ? st.st_size - (off_t)want : 0;
	ssize_t size = pread(fd, tail, want, from);
	close(fd);
	if (size <= 0)
		return;
	tail[tail[size - 1] == '\n' ? size - 1 : size] = '\0';
	const char *line = strrchr(tail, '\n');
	printf("  last line of %s: %s\n", node->log, line == NULL ? tail : line + 1);
}

static void print_table(const struct dev *dev)
{
	int width = 7;
	for (uint64_t i = 0; i < dev->node_count; i++)
		if ((int)strlen(dev->nodes[i].peers) > width)
			width = (int)strlen(dev->nodes[i].peers);
	printf("node  %-*s  %-*s  %-8s  data\n", width, "clients", width, "peers", "pid");
	for (uint64_t i = 0; i < dev->node_count; i++) {
		const struct dev_node *node = &dev->nodes[i];
		printf("%-4u  %-*s  %-*s  %-8d  %s\n", node->id, width, node->clients, width, node->peers,
		       (int)node->pid, node->dir);
	}
	printf("\nTry: redis-cli%s%s -p %ju SET greeting hello      Ctrl-C stops all nodes.\n\n",
	       strcmp(dev->host, "127.0.0.1") == 0 ? "" : " -h ", strcmp(dev->host, "127.0.0.1") == 0 ? "" : dev->host,
	       (uintmax_t)dev->port);
}

/* ---- Processes ---- */

static void run_child(const struct dev *dev, const struct dev_node *node, pid_t parent)
{
	/* A group of its own: Ctrl-C is for `ikada dev`, which stops its nodes in order. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (nothing >= 0)
		dup2(nothing, STDIN_FILENO);
	dup2(node->log_fd, STDOUT_FILENO);
	dup2(node->log_fd, STDERR_FILENO);
	char *args[ARGS_MAX];
	memcpy(args, node->args, sizeof args);
	execv("/proc/self/exe", args);
	dprintf(STDERR_FILENO, "ikada dev: %s cannot be run: %s\n", dev->program, strerror(errno));
	_exit(1);
}

static bool start_node(struct dev *dev, struct dev_node *node)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid == 0)
		run_child(dev, node, parent);
	if (pid < 0) {
		fprintf(stderr, "ikada dev: node %u cannot be started: %s\n", node->id, strerror(errno));
		return false;
	}
	node->pid = pid;
	return true;
}

static void signal_all(const struct dev *dev, int number)
{
	for (uint64_t i = 0; i < dev->node_count; i++)
		if (dev->nodes[i].pid > 0)
			kill(dev->nodes[i].pid, number);
}

static bool any_running(const struct dev *dev)
{
	for (uint64_t i = 0; i < dev->node_count; i++)
		if (dev->nodes[i].pid > 0)
			return true;
	return false;
}

static void stop_all(struct dev *dev)
{
	if (dev->stopping)
		return;
	dev->stopping = true;
	dev->kill_ns = dev->env->ops->raw_ns(dev->env) + STOP_NS;
	dev->env->ops->wake_at(dev->env, dev->kill_ns);
	signal_all(dev, SIGTERM);
	for (uint64_t i = 0; i < dev->node_count; i++) {
		const struct dev_node *node = &dev->nodes[i];
		if (node->pid == 0 && node->watch.up)
			printf("node %u was started by hand and goes on as process %ju\n", node->id,
			       (uintmax_t)node->watch.process_id);
	}
	if (!any_running(dev))
		env_uv_stop(dev->env);
}

static void node_ended(const struct dev *dev, struct dev_node *node, int status)
{
	node->dead_pid = node->pid;
	node->pid = 0;
	if (dev->stopping)
		return;
	node->told_down = true;
	if (WIFSIGNALED(status))
		printf("node %u (pid %d) was killed by signal %d (%s)\n", node->id, (int)node->dead_pid,
		       WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		printf("node %u (pid %d) ended with status %d\n", node->id, (int)node->dead_pid, WEXITSTATUS(status));
	if (!WIFSIGNALED(status) && WEXITSTATUS(status) != 0)
		print_last_line(node);
	print_command(node);
}

static void child_signal(uv_signal_t *signal, int number)
{
	struct dev *dev = signal->data;
	(void)number;
	for (uint64_t i = 0; i < dev->node_count; i++) {
		int status;
		struct dev_node *node = &dev->nodes[i];
		if (node->pid > 0 && waitpid(node->pid, &status, WNOHANG) == node->pid)
			node_ended(dev, node, status);
	}
	if (dev->stopping && !any_running(dev))
		env_uv_stop(dev->env);
}

static void stop_signal(uv_signal_t *signal, int number)
{
	struct dev *dev = signal->data;
	(void)number;
	printf("stopping\n");
	stop_all(dev);
}

/* ---- What is seen ---- */

static void look_at_node(struct dev_node *node)
{
	const struct node_watch *watch = &node->watch;
	if (node->told_down && watch->up && watch->process_id != (uint64_t)node->dead_pid) {
		node->told_down = false;
		printf("node %u is up again as process %ju\n", node->id, (uintmax_t)watch->process_id);
	} else if (!node->told_down && node->pid == 0 && watch->refused) {
		node->told_down = true;
		printf("node %u no longer answers on %s\n", node->id, node->clients);
		print_command(node);
	}
}

static void look_for_leader(struct dev *dev)
{
	uint64_t now = dev->env->ops->raw_ns(dev->env);
	uint64_t id = 0, term = 0;
	for (uint64_t i = 0; i < dev->node_count; i++) {
		const struct node_watch *watch = &dev->nodes[i].watch;
		if (watch->up && watch->leads && watch->term > term && now - watch->answered_ns < SILENT_NS) {
			id = dev->nodes[i].id;
			term = watch->term;
		}
	}
	if (id != 0) {
		dev->leader_seen_ns = now;
		if (id != dev->leader_id || term != dev->leader_term)
			printf("node %ju leads, term %ju\n", (uintmax_t)id, (uintmax_t)term);
		dev->leader_id = id;
		dev->leader_term = term;
	} else if (dev->leader_id != 0 && now - dev->leader_seen_ns >= SILENT_NS) {
		printf("no node leads\n");
		dev->leader_id = 0;
	}
}

static void turn(void *context)
{
	struct dev *dev = context;
	const struct env_ops *ops = dev->env->ops;
	uint64_t now = ops->raw_ns(dev->env);
	if (dev->stopping) {
		if (now >= dev->kill_ns && !dev->killed) {
			for (uint64_t i = 0; i < dev->node_count; i++)
				if (dev->nodes[i].pid > 0)
					printf("node %u did not stop in 5 s and is killed\n", dev->nodes[i].id);
			signal_all(dev, SIGKILL);
			dev->killed = true;
		}
		ops->wake_at(dev->env, dev->killed ? UINT64_MAX : dev->kill_ns);
		return;
	}
	if (now >= dev->ask_ns) {
		dev->ask_ns = now + ASK_NS;
		for (uint64_t i = 0; i < dev->node_count; i++)
			node_watch_ask(&dev->nodes[i].watch);
	}
	for (uint64_t i = 0; i < dev->node_count; i++)
		look_at_node(&dev->nodes[i]);
	look_for_leader(dev);
	ops->wake_at(dev->env, dev->ask_ns);
}

/* ---- Before anything is started ---- */

static void make_address(char *address, size_t size, const char *host, uint64_t port)
{
	snprintf(address, size, strchr(host, ':') == NULL ? "%s:%ju" : "[%s]:%ju", host, (uintmax_t)port);
}

static void describe_nodes(struct dev *dev)
{
	size_t used = 0;
	for (uint64_t i = 0; i < dev->node_count; i++) {
		struct dev_node *node = &dev->nodes[i];
		node->id = (unsigned)i + 1;
		make_address(node->clients, sizeof node->clients, dev->host, dev->port + i);
		make_address(node->peers, sizeof node->peers, dev->host, dev->port + PEER_PORT_ABOVE + i);
		snprintf(node->dir, sizeof node->dir, "%s/node-%u", dev->root, node->id);
		snprintf(node->log, sizeof node->log, "%s/node-%u.log", dev->root, node->id);
		snprintf(node->number, sizeof node->number, "%u", node->id);
		used += (size_t)snprintf(dev->cluster + used, sizeof dev->cluster - used, "%s%u=%s", i == 0 ? "" : ",",
					 node->id, node->peers);
		CHECK_OP(used, <, sizeof dev->cluster);
		const char *args[ARGS_MAX] = {dev->program, "server",	  "--node",   node->number,
					      "--cluster",  dev->cluster, "--listen", node->clients,
					      "--data",	    node->dir,	  NULL};
		memcpy(node->args, args, sizeof args);
		node_watch_init(&node->watch, dev->env, node->clients);
	}
}

static bool port_free(struct dev *dev, const char *address)
{
	static const struct env_accept_events nobody = {NULL};
	struct env_listener *listener;
	int status = dev->env->ops->listen(dev->env, address, &nobody, NULL, &listener);
	if (status != 0) {
		fprintf(stderr, "ikada dev: %s cannot be listened on: %s\n", address, strerror(-status));
		return false;
	}
	dev->env->ops->listener_close(listener);
	return true;
}

static bool find_places(struct dev *dev)
{
	ssize_t size = readlink("/proc/self/exe", dev->program, sizeof dev->program - 1);
	if (size < 0) {
		fprintf(stderr, "ikada dev: /proc/self/exe cannot be read: %s\n", strerror(errno));
		return false;
	}
	int status = dev->env->ops->make_dir(dev->env, dev->dir);
	if (status != 0 || realpath(dev->dir, dev->root) == NULL) {
		fprintf(stderr, "ikada dev: the directory %s cannot be made: %s\n", dev->dir,
			strerror(status != 0 ? -status : errno));
		return false;
	}
	return true;
}

static bool open_logs(struct dev *dev)
{
	for (uint64_t i = 0; i < dev->node_count; i++) {
		struct dev_node *node = &dev->nodes[i];
		node->log_fd = open(node->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (node->log_fd < 0) {
			fprintf(stderr, "ikada dev: %s cannot be written: %s\n", node->log, strerror(errno));
			return false;
		}
	}
	return true;
}

static bool ports_free(struct dev *dev)
{
	for (uint64_t i = 0; i < dev->node_count; i++)
		if (!port_free(dev, dev->nodes[i].clients) || !port_free(dev, dev->nodes[i].peers))
			return false;
	return true;
}

static void watch_signals(struct dev *dev)
{
	static const int numbers[3] = {SIGCHLD, SIGINT, SIGTERM};
	for (int i = 0; i < 3; i++) {
		uv_signal_init(env_uv_loop(dev->env), &dev->signals[i]);
		dev->signals[i].data = dev;
		uv_signal_start(&dev->signals[i], i == 0 ? child_signal : stop_signal, numbers[i]);
	}
}

static int run(struct dev *dev)
{
	if (!find_places(dev))
		return 1;
	describe_nodes(dev);
	if (!ports_free(dev) || !open_logs(dev))
		return 1;
	watch_signals(dev);
	for (uint64_t i = 0; i < dev->node_count && !dev->stopping; i++) {
		if (!start_node(dev, &dev->nodes[i])) {
			dev->status = 1;
			stop_all(dev);
		}
	}
	if (!dev->stopping)
		print_table(dev);
	dev->env->turn = turn;
	dev->env->turn_context = dev;
	dev->env->ops->wake_at(dev->env, dev->env->ops->raw_ns(dev->env));
	if (any_running(dev))
		env_uv_run(dev->env);
	printf("all nodes have stopped\n");
	return dev->status;
}

int cli_dev(int argc, char **argv)
{
	static struct dev dev;
	dev.node_count = 3;
	dev.host = "127.0.0.1";
	dev.port = 7001;
	dev.dir = "./ikada-dev";
	const struct flag flags[] = {
		{.name = "nodes",
		 .value = "N",
		 .help = "how many nodes",
		 .number = &dev.node_count,
		 .min = 1,
		 .max = NODES_MAX},
		{.name = "host", .value = "HOST", .help = "where they listen", .text = &dev.host},
		{.name = "port",
		 .value = "PORT",
		 .number = &dev.port,
		 .min = 1,
		 .max = 65535 - PEER_PORT_ABOVE - (NODES_MAX - 1),
		 .help = "of the first node; the others follow; for each other they listen 10000 above"},
		{.name = "dir", .value = "DIR", .help = "holds node-1, node-1.log, and so on", .text = &dev.dir},
	};
	int status = flags_parse("a cluster of processes on this machine, for trying things out.", flags,
				 sizeof flags / sizeof *flags, argc, argv);
	if (status != FLAGS_OK)
		return status;
	setvbuf(stdout, NULL, _IOLBF, 0);
	mem_init(&dev.mem, false);
	dev.env = env_uv_create(&dev.mem, ENV_WARN);
	if (dev.env == NULL) {
		fprintf(stderr, "ikada dev: the event loop cannot start: %s\n", strerror(errno));
		return 1;
	}
	return run(&dev);
}
