/*
 * Labs: small stories that every Raft must get through, each a function, each run as often as one likes with another
 * seed. They follow the demands of a well-known course's labs; test/labs/README.md tells what each one is about.
 */
#ifndef IKADA_SIM_LABS_H
#define IKADA_SIM_LABS_H

#include <stdbool.h>
#include <stdint.h>

enum { LAB_FAILURE_BYTES = 4096 };

struct lab_settings {
	uint64_t seed;
	/* One readable line for each event and log line; NULL: none. */
	void (*trace)(void *context, const char *text);
	void *trace_context;
};

struct lab_result {
	bool failed;
	char failure[LAB_FAILURE_BYTES]; /* What was wrong: a sentence. */
	uint64_t virtual_ns;
	uint64_t trace_hash;
};

uint32_t labs_count(void);
const char *labs_name(uint32_t lab);
const char *labs_about(uint32_t lab); /* What must hold, in a few words. */
void labs_run(uint32_t lab, const struct lab_settings *settings, struct lab_result *result);

#endif
