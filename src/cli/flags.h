/*
 * Flags of a subcommand, as a table: `--name value`, `--name=value`, and switches, which take no value.
 *
 *	uint64_t node = 0;
 *	bool trace = false;
 *	const struct flag flags[] = {
 *		{.name = "node", .value = "ID", .help = "this node", .number = &node, .min = 1, .max = UINT64_MAX,
 *		 .required = true},
 *		{.name = "trace", .help = "print each event", .on = &trace},
 *	};
 *	int status = flags_parse("what it does, in a sentence.", flags, 2, argc, argv);
 *	if (status != FLAGS_OK)
 *		return status;
 */
#ifndef IKADA_CLI_FLAGS_H
#define IKADA_CLI_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct flag {
	const char *name;  /* Without the dashes. */
	const char *value; /* What stands for its value in the help; NULL for a switch. */
	const char *help;
	bool required;
	/* Where the value goes: one of these. What is there before is the default, and shown as such. */
	const char **text;
	uint64_t *number; /* Decimal, from min to max. */
	bool *on;
	uint64_t min, max;
};

/* A node of the cluster, for those who ask one. */
#define FLAG_HOST(to)                                                                                                  \
	{                                                                                                              \
		.name = "host", .value = "HOST", .help = "of any node of the cluster", .text = (to)                    \
	}
#define FLAG_PORT(to)                                                                                                  \
	{                                                                                                              \
		.name = "port", .value = "PORT", .help = "where that node listens for clients", .number = (to),        \
		.min = 1, .max = 65535                                                                                 \
	}

enum { FLAGS_OK = -1, FLAGS_WRONG = 2 };

/*
 * argv[0] is the subcommand. FLAGS_OK, or an exit status: 0 after `--help`, which prints `about` and the table;
 * FLAGS_WRONG after one line that says what was expected.
 */
int flags_parse(const char *about, const struct flag *flags, size_t count, int argc, char **argv);

#endif
