/* The `ikada` program: finds the subcommand. */
#include "cli/cli.h"
#include "server/server.h"

#include <stdio.h>
#include <string.h>

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
};

static const struct command commands[] = {
	{"server", cli_server, "one node of a cluster"},
	{"dev", cli_dev, "a whole cluster on this machine, for trying things out"},
	{"status", cli_status, "how a cluster is: who leads, who lags, who does not answer"},
	{"member", cli_member, "who the members are: list, add, remove, replace, promote, demote"},
	{"transfer", cli_transfer, "another node is to lead"},
	{"recover", cli_recover, "after the loss of a majority: a new cluster of the survivors"},
	{"bench", cli_bench, "a load on a cluster, and how long its requests took"},
	{"sim", cli_sim, "clusters in a simulated world, with faults, from seeds"},
};

#define COMMANDS (sizeof commands / sizeof *commands)

static void print_help(FILE *to)
{
	fprintf(to, "usage: ikada COMMAND [FLAGS]\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
	fprintf(to, "\nikada COMMAND --help tells the flags, ikada --version the version.\n");
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr);
		return 2;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_help(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("ikada " IKADA_VERSION "\n");
		return 0;
	}
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "ikada: there is no command '%s': expected", argv[1]);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(stderr, "%s %s", i == 0 ? "" : i + 1 < COMMANDS ? "," : " or", commands[i].name);
	fprintf(stderr, "\n");
	return 2;
}
