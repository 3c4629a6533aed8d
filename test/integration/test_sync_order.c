/*
 * No acknowledgement before the sync that covers it, on a majority: all nodes run under strace, and one client writes
 * at depth 1.
 *
 * A node covers a value once a write of bytes that hold the value to a file of its log has returned, and then a sync of
 * that file that began after it has returned without an error; or one write that syncs what it writes. The
 * acknowledgement is the system call that hands the reply to the client's socket. The tracer notes a call's beginning
 * before it begins and its end after it has ended, and all notes are on one clock: so an order that is right never
 * looks wrong, and a wrong one is seen unless it is shorter than the tracer's notes take.
 */
#include "cluster.h"

#include <dirent.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { WRITES = 100, NODES = 3, FILES_MAX = 64 };

#define MARK "value-to-be-synced-"
#define CALLS "trace=write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,sendto,sendmsg,sendmmsg"

struct call {
	uint64_t start_ns;
	uint64_t end_ns;
	char *line; /* From the name of the call on. */
};

struct calls {
	struct call *calls;
	size_t count, room;
};

/* ---- The traces ---- */

static uint64_t seconds(const char *at, char **end)
{
	uint64_t s = strtoull(at, end, 10);
	if (**end != '.')
		return s * NS_PER_S;
	const char *fraction = *end + 1;
	uint64_t ns = strtoull(fraction, end, 10);
	EXPECT(*end - fraction == 9);
	return s * NS_PER_S + ns;
}

/* "TIME NAME(...) = RESULT <DURATION>"; calls that never returned, signals and ends are left out. */
static void take_line(struct calls *calls, char *line)
{
	char *name;
	struct call call = {.start_ns = seconds(line, &name)};
	char *duration = strrchr(line, '<');
	if (*name != ' ' || name[1] < 'a' || name[1] > 'z' || duration == NULL || strstr(duration, ">") == NULL ||
	    !(duration[1] >= '0' && duration[1] <= '9'))
		return;
	char *end;
	call.end_ns = call.start_ns + seconds(duration + 1, &end);
	call.line = name + 1;
	if (calls->count == calls->room) {
		calls->room = calls->room == 0 ? 1024 : 2 * calls->room;
		calls->calls = realloc(calls->calls, calls->room * sizeof *calls->calls);
		EXPECT(calls->calls != NULL);
	}
	calls->calls[calls->count++] = call;
}

static int by_start(const void *left, const void *right)
{
	const struct call *a = left, *b = right;
	return a->start_ns < b->start_ns ? -1 : a->start_ns > b->start_ns;
}

/* One file for each thread that the node had. */
static struct calls read_traces(unsigned id)
{
	struct calls calls = {NULL, 0, 0};
	char *prefix = text("trace-%u.", id);
	DIR *dir = opendir(case_dir());
	EXPECT(dir != NULL);
	const struct dirent *entry;
	while ((entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
			continue;
		char *rest = read_file(text("%s/%s", case_dir(), entry->d_name), NULL);
		for (char *line; (line = strsep(&rest, "\n")) != NULL;)
			if (*line != '\0')
				take_line(&calls, line);
	}
	closedir(dir);
	qsort(calls.calls, calls.count, sizeof *calls.calls, by_start);
	return calls;
}

/* ---- What they prove ---- */

static bool failed_call(const struct call *call)
{
	const char *result = strstr(call->line, ") = ");
	for (const char *next = result; next != NULL; next = strstr(next + 1, ") = "))
		result = next;
	return result == NULL || result[4] == '-';
}

/* A file of the log that the call is about: its path as strace prints it, up to '>'; NULL when it is about none. */
static char *log_path(const struct call *call)
{
	char *start = strchr(call->line, '<');
	size_t name_size = strcspn(call->line, "(");
	if (start == NULL || (size_t)(start - call->line) > name_size + 12)
		return NULL;
	char *path = text("%.*s", (int)strcspn(start + 1, ">"), start + 1);
	if (strstr(path, "/wal/") != NULL)
		return path;
	free(path);
	return NULL;
}

static bool is_sync(const struct call *call)
{
	return strncmp(call->line, "fdatasync(", 10) == 0 || strncmp(call->line, "fsync(", 6) == 0;
}

static bool syncs_itself(const struct call *call)
{
	return strncmp(call->line, "pwritev2(", 9) == 0 && strstr(call->line, ", RWF_DSYNC) = ") != NULL;
}

/* covered[i]: when this node covered value i; UINT64_MAX never. */
static void find_covers(const struct calls *calls, uint64_t *covered)
{
	char *path_of[WRITES] = {NULL}; /* Written there, ... */
	uint64_t written[WRITES];	/* ... at this time, and not yet synced. */
	for (int i = 0; i < WRITES; i++)
		covered[i] = UINT64_MAX;
	for (size_t n = 0; n < calls->count; n++) {
		const struct call *call = &calls->calls[n];
		char *path = log_path(call);
		if (path == NULL || failed_call(call))
			continue;
		for (int i = 0; is_sync(call) && i < WRITES; i++)
			if (path_of[i] != NULL && strcmp(path_of[i], path) == 0 && call->start_ns >= written[i] &&
			    covered[i] == UINT64_MAX)
				covered[i] = call->end_ns;
		for (char *at = call->line; !is_sync(call) && (at = strstr(at, MARK)) != NULL; at++) {
			int i = atoi(at + strlen(MARK));
			EXPECT(i >= 0 && i < WRITES);
			if (path_of[i] != NULL)
				continue;
			path_of[i] = path;
			written[i] = call->end_ns;
			if (syncs_itself(call))
				covered[i] = call->end_ns;
		}
	}
}

static unsigned find_acknowledgements(const struct calls *calls, uint64_t *acknowledged)
{
	unsigned count = 0;
	for (size_t n = 0; n < calls->count; n++) {
		if (strstr(calls->calls[n].line, "\"+OK\\r\\n\"") == NULL)
			continue;
		if (count == WRITES)
			fail("more acknowledgements than writes");
		acknowledged[count++] = calls->calls[n].start_ns;
	}
	return count;
}

static void judge(unsigned contacted)
{
	static uint64_t covered[NODES][WRITES];
	uint64_t acknowledged[WRITES];
	for (unsigned id = 1; id <= NODES; id++) {
		struct calls calls = read_traces(id);
		if (calls.count == 0)
			fail("the trace of node %u is empty", id);
		find_covers(&calls, covered[id - 1]);
		if (id != contacted)
			continue;
		unsigned count = find_acknowledgements(&calls, acknowledged);
		if (count != WRITES)
			fail("%u writes were acknowledged, the trace of node %u shows %u", WRITES, id, count);
	}
	uint64_t least_ns = UINT64_MAX;
	for (int i = 0; i < WRITES; i++) {
		unsigned before = 0;
		uint64_t second = 0; /* When a majority had it: the second of three. */
		for (int a = 0; a < NODES; a++) {
			unsigned earlier = 0;
			before += covered[a][i] <= acknowledged[i];
			for (int b = 0; b < NODES; b++)
				earlier += covered[b][i] < covered[a][i] || (covered[b][i] == covered[a][i] && b < a);
			if (earlier == 1)
				second = covered[a][i];
		}
		if (before < 2)
			fail("write %d was acknowledged when %u of 3 nodes had synced it", i, before);
		if (acknowledged[i] - second < least_ns)
			least_ns = acknowledged[i] - second;
	}
	note("%d writes, each acknowledged after the sync on a majority, by at least %.0f us", WRITES,
	     (double)least_ns / 1e3);
}

static void write_all(const struct cluster_node *node)
{
	redisContext *context = node_connect(node, 10000);
	EXPECT(context != NULL);
	for (int i = 0; i < WRITES; i++) {
		redisReply *reply = redisCommand(context, "SET key-%d %s%d-", i, MARK, i);
		if (reply == NULL || reply->type != REDIS_REPLY_STATUS || strcmp(reply->str, "OK") != 0)
			fail("write %d got the reply %s", i, reply == NULL ? context->errstr : reply->str);
		freeReplyObject(reply);
	}
	redisFree(context);
}

static void need_strace(void)
{
	int status;
	char *output = run_program(&status, 10, "strace -D -o /dev/null true");
	if (status != 0)
		skip("strace does not run here: %.*s", (int)strcspn(output, "\n"), output);
}

static void through(bool leader)
{
	struct cluster cluster;
	need_strace();
	cluster_init(&cluster, NODES);
	cluster.wrapper = text("strace -D -qq -ff -y -s 1000000 --absolute-timestamps=format:unix,precision:ns "
			       "--syscall-times=ns -e " CALLS " -o %s/trace-%%N",
			       case_dir());
	for (unsigned i = 0; i < NODES; i++)
		node_start(&cluster, &cluster.nodes[i]);
	/* A read, so that the only writes acknowledged with OK are the test's. */
	for (unsigned i = 0; i < NODES; i++)
		for (uint64_t end = now_ns() + 30 * NS_PER_S;
		     strcmp(node_ask(&cluster.nodes[i], 6000, "GET a"), "(nil)") != 0;)
			if (now_ns() > end)
				fail("node %u does not answer", i + 1);
	struct cluster_node *first = cluster_leader(&cluster);
	unsigned id = leader ? first->id : first->id % NODES + 1;
	write_all(&cluster.nodes[id - 1]);
	if (cluster_leader(&cluster) != first)
		note("the leader changed meanwhile");
	cluster_stop(&cluster);
	sleep_ms(200); /* The tracers end after the traced. */
	judge(id);
}

static void at_leader(void)
{
	through(true);
}

static void at_follower(void)
{
	through(false);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {{"at_leader", 90, at_leader}, {"at_follower", 90, at_follower}};
	return cases_run(cases, sizeof cases / sizeof *cases, argc, argv);
}
