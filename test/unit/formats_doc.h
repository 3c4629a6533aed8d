/*
 * docs/formats.md as a test reads it: what it shows of bytes, and the numbers in its tables.
 *
 * Bytes stand in blocks that begin with "```bytes NAME". Of each line there the offset comes first, then bytes in
 * hexadecimal with one space between, then, after two spaces or more, what they are. Offsets must be right.
 */
#ifndef IKADA_TEST_FORMATS_DOC_H
#define IKADA_TEST_FORMATS_DOC_H

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DOC "docs/formats.md"
enum { DOC_BYTES_MAX = 256 * 1024, BLOCKS_MAX = 64, BLOCK_BYTES_MAX = 4096 };

struct block {
	char name[40];
	uint8_t bytes[BLOCK_BYTES_MAX];
	size_t size;
	unsigned line; /* Where it begins. */
	bool shown;    /* Some test has looked at it. */
};

static struct {
	char text[DOC_BYTES_MAX];
	struct block blocks[BLOCKS_MAX];
	size_t block_count;
} doc;

static bool digits_at(const char *at)
{
	return isxdigit((unsigned char)at[0]) && isxdigit((unsigned char)at[1]) && (at[2] == ' ' || at[2] == '\n');
}

/* One line of a block; returns the start of the next. */
static const char *take_line(struct block *block, const char *line, unsigned number)
{
	char *at;
	unsigned long offset = strtoul(line, &at, 10);
	if (at == line || offset != block->size)
		fail_msg(DOC ":%u: the offset should be %zu", number, block->size);
	while (*at == ' ')
		at++;
	while (digits_at(at)) {
		assert_true(block->size < BLOCK_BYTES_MAX);
		block->bytes[block->size++] = (uint8_t)strtoul(at, &at, 16);
		if (at[0] == ' ' && at[1] != ' ')
			at++;
	}
	if (*at != ' ' && *at != '\n')
		fail_msg(DOC ":%u: not bytes: %.10s", number, at);
	return strchr(at, '\n') + 1;
}

static void doc_read(void)
{
	static const char start[] = "```bytes ";
	FILE *file = fopen(DOC, "r");
	if (file == NULL)
		fail_msg(DOC " cannot be read; run this from the top of the tree");
	size_t size = fread(doc.text, 1, sizeof doc.text - 1, file);
	assert_true(size > 0 && size < sizeof doc.text - 1 && doc.text[size - 1] == '\n');
	fclose(file);
	unsigned number = 1;
	for (const char *line = doc.text; *line != '\0'; number++) {
		const char *next = strchr(line, '\n') + 1;
		if (strncmp(line, start, sizeof start - 1) == 0) {
			assert_true(doc.block_count < BLOCKS_MAX);
			struct block *block = &doc.blocks[doc.block_count++];
			block->line = number;
			assert_int_equal(sscanf(line + sizeof start - 1, "%39s", block->name), 1);
			for (number++; strncmp(next, "```", 3) != 0; number++)
				next = take_line(block, next, number);
			next = strchr(next, '\n') + 1;
			number++;
		}
		line = next;
	}
}

static struct block *doc_block(const char *name)
{
	struct block *found = NULL;
	for (size_t i = 0; i < doc.block_count; i++)
		if (strcmp(doc.blocks[i].name, name) == 0) {
			if (found != NULL)
				fail_msg(DOC ":%u: `%s` is shown twice", doc.blocks[i].line, name);
			found = &doc.blocks[i];
		}
	if (found == NULL)
		fail_msg(DOC " does not show `%s`", name);
	found->shown = true;
	return found;
}

/* The document shows just what the code has written. */
static void doc_shows(const char *name, const void *bytes, size_t size)
{
	const struct block *block = doc_block(name);
	const uint8_t *is = bytes;
	size_t at = 0;
	while (at < size && at < block->size && is[at] == block->bytes[at])
		at++;
	if (at == size && at == block->size)
		return;
	print_error("`%s` is:", name);
	for (size_t i = 0; i < size; i++)
		print_error("%s%02x", i % 32 == 0 ? "\n" : " ", is[i]);
	print_error("\n");
	fail_msg(DOC ":%u: `%s` differs from what is written at byte %zu", block->line, name, at);
}

/* The line of a heading, "### Something", where its section begins. */
static const char *doc_section(const char *heading)
{
	const char *at = strstr(doc.text, heading);
	if (at == NULL || (at != doc.text && at[-1] != '\n') || at[strlen(heading)] != '\n')
		fail_msg(DOC " has no section '%s'", heading);
	return at;
}

/* A table of the section gives `number` to `name`, each once; `rows` counts what it gives. */
static void doc_numbers(const char *heading, unsigned long long number, const char *name, size_t rows)
{
	const char *line = strchr(doc_section(heading), '\n') + 1;
	size_t count = 0;
	bool found = false;
	for (; *line != '\0' && strncmp(line, "##", 2) != 0; line = strchr(line, '\n') + 1) {
		unsigned long long n;
		char word[64];
		if (sscanf(line, "| %llu | `%63[^`]` |", &n, word) != 2)
			continue;
		count++;
		if (strcmp(word, name) != 0)
			continue;
		if (n != number || found)
			fail_msg(DOC ", '%s': `%s` is %llu, once", heading, name, number);
		found = true;
	}
	if (!found || count != rows)
		fail_msg(DOC ", '%s': of %zu rows, %zu are there; `%s` (%llu) is%s", heading, rows, count, name, number,
			 found ? "" : " not");
}

#endif
