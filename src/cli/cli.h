/* The subcommands of `ikada`. argv[0] is the subcommand's name; the result is the exit status: 2 for a wrong line. */
#ifndef IKADA_CLI_CLI_H
#define IKADA_CLI_CLI_H

int cli_server(int argc, char **argv);
int cli_dev(int argc, char **argv);
int cli_status(int argc, char **argv);
int cli_member(int argc, char **argv);
int cli_transfer(int argc, char **argv);
int cli_recover(int argc, char **argv);
int cli_bench(int argc, char **argv);
int cli_sim(int argc, char **argv);

#endif
