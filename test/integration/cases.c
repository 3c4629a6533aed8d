#include "cases.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_SKIPPED = 77 };

static char *directory;
static char host[32];

const char *case_dir(void)
{
	return directory;
}

const char *case_host(void)
{
	return host;
}

uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

void sleep_ms(unsigned ms)
{
	struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};
	while (nanosleep(&ts, &ts) != 0 && errno == EINTR)
		;
}

char *text(const char *format, ...)
{
	char *result;
	va_list arguments;
	va_start(arguments, format);
	if (vasprintf(&result, format, arguments) < 0)
		abort();
	va_end(arguments);
	return result;
}

static void say(const char *prefix, const char *format, va_list arguments)
{
	printf("%s", prefix);
	vprintf(format, arguments);
	printf("\n");
	fflush(stdout);
}

void note(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	say("note: ", format, arguments);
	va_end(arguments);
}

/* From any thread: the process ends at once, and its servers with it. */
void fail(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	say("FAILED: ", format, arguments);
	va_end(arguments);
	_exit(1);
}

void skip(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	say("note: skipped: ", format, arguments);
	va_end(arguments);
	_exit(EXIT_SKIPPED);
}

static void remove_tree(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		char *inner = text("%s/%s", path, entry->d_name);
		struct stat st;
		if (lstat(inner, &st) == 0 && S_ISDIR(st.st_mode))
			remove_tree(inner);
		else
			unlink(inner);
		free(inner);
	}
	if (dir != NULL)
		closedir(dir);
	rmdir(path);
}

static void run_child(const struct test_case *test)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	unsigned pid = (unsigned)getpid();
	snprintf(host, sizeof host, "127.%u.%u.%u", 64 + (pid >> 16) % 64, pid >> 8 & 255, pid & 255);
	alarm(test->limit_s);
	test->run();
	fflush(stdout);
	_exit(0); /* What the case holds in memory goes with it: no leak. */
}

static int run_case(const struct test_case *test)
{
	const char *tmp = getenv("TMPDIR");
	directory = text("%s/ikada-test-XXXXXX", tmp == NULL ? "/tmp" : tmp);
	if (mkdtemp(directory) == NULL) {
		printf("%s: a directory like %s cannot be made: %s\n", test->name, directory, strerror(errno));
		return 1;
	}
	fflush(stdout);
	uint64_t start = now_ns();
	pid_t child = fork();
	if (child == 0)
		run_child(test);
	int status = -1;
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	int result = child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	double took_s = (double)(now_ns() - start) / 1e9;
	if (child > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		printf("FAILED: longer than %u s\n", test->limit_s);
	else if (child > 0 && WIFSIGNALED(status))
		printf("FAILED: died of signal %d\n", WTERMSIG(status));
	printf("%-6s %s (%.1f s)\n",
	       result == 0		? "ok"
	       : result == EXIT_SKIPPED ? "skip"
					: "FAILED",
	       test->name, took_s);
	if (result == 0 || result == EXIT_SKIPPED)
		remove_tree(directory);
	else
		printf("       its files are kept in %s\n", directory);
	free(directory);
	return result;
}

static bool wanted(const struct test_case *test, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], test->name) == 0)
			return true;
	return argc == 1;
}

int cases_run(const struct test_case *cases, size_t count, int argc, char **argv)
{
	unsigned passed = 0, failed = 0, skipped = 0;
	for (size_t i = 0; i < count; i++) {
		if (!wanted(&cases[i], argc, argv))
			continue;
		int result = run_case(&cases[i]);
		passed += result == 0;
		skipped += result == EXIT_SKIPPED;
		failed += result != 0 && result != EXIT_SKIPPED;
	}
	printf("test: %u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed == 0 && passed + skipped > 0 ? 0 : 1;
}
