/* `ikada transfer`: hands leadership to another node, and waits until it leads. */
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/flags.h"

#include <stdio.h>
#include <string.h>

int cli_transfer(int argc, char **argv)
{
	const char *host = "127.0.0.1";
	uint64_t port = 7001, to = 0, wait_s = 10;
	const struct flag flags[] = {
		{.name = "to",
		 .value = "ID",
		 .help = "who is to lead; 0: whom it suits best",
		 .number = &to,
		 .max = INT64_MAX},
		{.name = "host", .value = "HOST", .help = "of any node of the cluster", .text = &host},
		{.name = "port",
		 .value = "PORT",
		 .help = "where that node listens for clients",
		 .number = &port,
		 .min = 1,
		 .max = 65535},
		{.name = "wait-s",
		 .value = "S",
		 .help = "give up after so long",
		 .number = &wait_s,
		 .min = 1,
		 .max = 3600},
	};
	int status = flags_parse("hands leadership to another node; writes wait meanwhile.", flags,
				 sizeof flags / sizeof *flags, argc, argv);
	if (status != FLAGS_OK)
		return status;
	struct ask ask;
	char command[64] = "RAFT.TRANSFER";
	uint64_t self = 0, leader = 0;
	ask_begin(&ask, host, port, wait_s);
	if (to != 0)
		snprintf(command, sizeof command, "RAFT.TRANSFER %ju", (uintmax_t)to);
	if (!ask_leader(&ask, command)) {
		bool leads = strstr(ask.error, "leads already") != NULL;
		fprintf(leads ? stdout : stderr, "ikada transfer: %s\n", ask.error);
		return leads ? 0 : 1;
	}
	while (ask_in_time(&ask)) {
		redisReply *reply = ask_once(&ask, "INFO raft");
		bool known = reply != NULL && reply->str != NULL && ask_number(reply->str, "raft_leader_id", &leader) &&
			     ask_number(reply->str, "raft_node_id", &self);
		freeReplyObject(reply);
		if (known && leader != 0 && leader != self) {
			printf("node %ju leads\n", (uintmax_t)leader);
			return 0;
		}
		ask_pause();
	}
	fprintf(stderr, "ikada transfer: node %ju still leads\n", (uintmax_t)self);
	return 1;
}
