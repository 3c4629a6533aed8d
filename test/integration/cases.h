/*
 * Test cases with processes. Each case runs in a process of its own, which its servers do not outlive; it ends by
 * returning, or by one of the calls below. A case has a directory and a loopback address of its own; the directory is
 * kept when it fails.
 */
#ifndef IKADA_TEST_INTEGRATION_CASES_H
#define IKADA_TEST_INTEGRATION_CASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test_case {
	const char *name;
	unsigned limit_s; /* One that takes longer has failed. */
	void (*run)(void);
};

/* Runs all, or those that argv names. Ends with the line that counts; returns the exit status. */
int cases_run(const struct test_case *cases, size_t count, int argc, char **argv);

const char *case_dir(void);
const char *case_host(void);

__attribute__((format(printf, 1, 2))) _Noreturn void fail(const char *format, ...);
__attribute__((format(printf, 1, 2))) _Noreturn void skip(const char *format, ...);
__attribute__((format(printf, 1, 2))) void note(const char *format, ...); /* Shown even when all is well. */

#define EXPECT(condition) ((condition) ? (void)0 : fail("%s:%d: expected %s", __FILE__, __LINE__, #condition))

uint64_t now_ns(void);
void sleep_ms(unsigned ms);
/* In the case's memory, which nobody frees. */
__attribute__((format(printf, 1, 2))) char *text(const char *format, ...);

#define NS_PER_MS ((uint64_t)1000000)
#define NS_PER_S ((uint64_t)1000000000)

#endif
