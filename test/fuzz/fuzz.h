/*
 * What the fuzzers of checksummed formats share. A mutation breaks a checksum, and behind a broken checksum there is
 * nothing to see: so each of them repairs what libFuzzer has mutated, most of the time, before it is tried.
 *
 * `fuzz_NAME --seeds DIR` writes the corpus to start from.
 */
#ifndef IKADA_TEST_FUZZ_H
#define IKADA_TEST_FUZZ_H

#include "base/rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t size_max);

static const char *fuzz_seed_dir;

static inline void fuzz_seed(const char *name, const void *bytes, size_t size)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", fuzz_seed_dir, name);
	FILE *file = fopen(path, "wb");
	if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
		perror(path);
		exit(1);
	}
}

/* Each fuzzer's own: calls fuzz_seed. */
static void write_seeds(void);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
		fuzz_seed_dir = (*argv)[2];
		write_seeds();
		exit(0);
	}
	return 0;
}

#endif
