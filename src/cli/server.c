/* `ikada server`: one node, until SIGTERM or SIGINT. */
#include "server/server.h"
#include "cli/cli.h"
#include "cli/flags.h"
#include "env/env_uv.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#define NS_PER_MS ((uint64_t)1000000)

static bool parse_level(const char *text, enum env_level *level)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	for (int i = 0; i < 4; i++) {
		if (strcmp(text, names[i]) == 0) {
			*level = (enum env_level)i;
			return true;
		}
	}
	fprintf(stderr, "ikada server: --log-level expects debug, info, warn or error, found '%s'\n", text);
	return false;
}

/* Each client is a descriptor; the usual soft limit of 1024 is there for programs that use select. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static uint64_t us(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static void tell_usage(struct server_usage *usage)
{
	struct rusage used;
	memset(usage, 0, sizeof *usage);
	if (getrusage(RUSAGE_SELF, &used) == 0) {
		usage->cpu_user_us = us(used.ru_utime);
		usage->cpu_system_us = us(used.ru_stime);
	}
	size_t resident;
	if (uv_resident_set_memory(&resident) == 0)
		usage->resident_bytes = resident;
}

/* "Linux 6.1.0 x86_64", or NULL. */
static const char *tell_os(char *text, size_t size)
{
	struct utsname names;
	if (uname(&names) != 0)
		return NULL;
	snprintf(text, size, "%.64s %.64s %.64s", names.sysname, names.release, names.machine);
	return text;
}

/* A leader hands leadership on before it ends, if somebody takes it soon. */
#define LEAVE_MS 1000
#define LEAVE_LOOK_MS 5

struct ending {
	struct env *env;
	struct server *server;
	uv_timer_t timer;
	uint64_t until_ms; /* 0: it has not been asked to end. */
};

static bool leads(struct server *server)
{
	struct ikada_node_status status;
	ikada_node_status(server_node(server), &status);
	return status.raft.role == IKADA_LEADER;
}

static void look(uv_timer_t *timer)
{
	struct ending *ending = timer->data;
	if (!leads(ending->server) || uv_now(timer->loop) >= ending->until_ms)
		env_uv_stop(ending->env);
}

static void stop(uv_signal_t *signal, int number)
{
	struct ending *ending = signal->data;
	char error[256];
	bool again = ending->until_ms != 0;
	(void)number;
	ending->until_ms = uv_now(signal->loop) + LEAVE_MS;
	if (again || !leads(ending->server) ||
	    !ikada_node_transfer(server_node(ending->server), 0, LEAVE_MS * NS_PER_MS, error, sizeof error))
		env_uv_stop(ending->env);
	else
		uv_timer_start(&ending->timer, look, LEAVE_LOOK_MS, LEAVE_LOOK_MS);
}

static int serve(struct env *env, const struct server_settings *settings)
{
	char error[512];
	struct server *server = server_open(env, settings, error, sizeof error);
	if (server == NULL) {
		fprintf(stderr, "ikada server: %s\n", error);
		env_uv_destroy(env);
		return 1;
	}
	struct ending ending = {.env = env, .server = server};
	uv_timer_init(env_uv_loop(env), &ending.timer);
	ending.timer.data = &ending;
	uv_signal_t signals[2];
	static const int numbers[2] = {SIGTERM, SIGINT};
	for (int i = 0; i < 2; i++) {
		uv_signal_init(env_uv_loop(env), &signals[i]);
		signals[i].data = &ending;
		uv_signal_start(&signals[i], stop, numbers[i]);
	}
	printf("ikada server: node %ju takes clients on %s, process %ju\n", (uintmax_t)settings->node.id,
	       settings->listen, (uintmax_t)settings->process_id);
	fflush(stdout);
	env_uv_run(env);
	server_close(server);
	for (int i = 0; i < 2; i++)
		uv_close((uv_handle_t *)&signals[i], NULL);
	uv_close((uv_handle_t *)&ending.timer, NULL);
	env_uv_destroy(env);
	return 0;
}

int cli_server(int argc, char **argv)
{
	char os[200];
	struct server_settings settings = {
		.process_id = (uint64_t)getpid(), .os = tell_os(os, sizeof os), .usage = tell_usage};
	const char *level_name = "info";
	bool no_lateness = false;
	uint64_t heartbeat_ms = 0, election_ms = 250, snapshot_log_mib = 64, priority = 0;
	const struct flag flags[] = {
		{.name = "node",
		 .value = "ID",
		 .help = "this node's number in the cluster",
		 .required = true,
		 .number = &settings.node.id,
		 .min = 1,
		 .max = UINT64_MAX},
		{.name = "cluster",
		 .value = "1=HOST:PORT,...",
		 .required = true,
		 .help = "all nodes, and where they listen for each other; the same on each node",
		 .text = &settings.node.cluster},
		{.name = "listen",
		 .value = "HOST:PORT",
		 .help = "where this node listens for clients",
		 .required = true,
		 .text = &settings.listen},
		{.name = "data",
		 .value = "DIR",
		 .help = "this node's directory, made if missing",
		 .required = true,
		 .text = &settings.node.data_dir},
		{.name = "heartbeat-ms",
		 .value = "MS",
		 .help = "how often a leader is heard (100, or half of --election-ms if that is less)",
		 .number = &heartbeat_ms,
		 .min = 1,
		 .max = 60000},
		{.name = "election-ms",
		 .value = "MS",
		 .number = &election_ms,
		 .min = 2,
		 .max = 600000,
		 .help = "silence before an election: from MS to twice MS, at random"},
		{.name = "snapshot-log-mib",
		 .value = "MIB",
		 .number = &snapshot_log_mib,
		 .min = 1,
		 .max = 1048576,
		 .help = "a snapshot is taken after so much log"},
		{.name = "priority",
		 .value = "N",
		 .number = &priority,
		 .max = 1000,
		 .help = "each step more lets this node wait --election-ms longer before it campaigns"},
		{.name = "log-level", .value = "LEVEL", .help = "debug, info, warn or error", .text = &level_name},
		{.name = "no-lateness",
		 .help = "for experiments: count as silence also the time in which this process did not run",
		 .on = &no_lateness},
	};
	enum env_level level;
	int status = flags_parse("one node of a cluster. The same line at every start.", flags,
				 sizeof flags / sizeof *flags, argc, argv);
	if (status != FLAGS_OK)
		return status;
	if (!parse_level(level_name, &level))
		return FLAGS_WRONG;
	if (election_ms < 2 * heartbeat_ms) {
		fprintf(stderr,
			"ikada server: --election-ms expects at least twice the %ju of --heartbeat-ms, found %ju\n",
			(uintmax_t)heartbeat_ms, (uintmax_t)election_ms);
		return FLAGS_WRONG;
	}
	settings.node.client_address = settings.listen;
	settings.node.priority = (uint32_t)priority;
	settings.node.heartbeat_ns = heartbeat_ms * NS_PER_MS;
	settings.node.election_min_ns = election_ms * NS_PER_MS;
	settings.node.election_max_ns = 2 * election_ms * NS_PER_MS;
	settings.node.snapshot_log_bytes = snapshot_log_mib * 1024 * 1024;
	raise_descriptor_limit();
	struct mem mem;
	mem_init(&mem, false);
	struct env *env = env_uv_create(&mem, level);
	if (env == NULL) {
		fprintf(stderr, "ikada server: the event loop cannot start: %s\n", strerror(errno));
		return 1;
	}
	if (no_lateness)
		env_uv_forgive_nothing(env);
	return serve(env, &settings);
}
