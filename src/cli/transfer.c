/* `ikada transfer`: hands leadership to another node, and waits until it leads. */
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/flags.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct view {
	uint64_t node, leader, transfer_to; /* Of whom it is the view; 0: not known. */
};

static bool look(struct ask *ask, struct view *view)
{
	memset(view, 0, sizeof *view);
	redisReply *reply = ask_once(ask, "INFO raft");
	bool known = reply != NULL && reply->str != NULL && ask_number(reply->str, "raft_node_id", &view->node) &&
		     ask_number(reply->str, "raft_leader_id", &view->leader) &&
		     ask_number(reply->str, "raft_transfer_to", &view->transfer_to);
	freeReplyObject(reply);
	return known;
}

__attribute__((format(printf, 1, 2))) static int failed(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "ikada transfer: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	return 1;
}

/* `from` has taken it, or may have. */
static int watch(struct ask *ask, uint64_t from, uint64_t to, bool taken)
{
	struct view view = {0};
	for (; ask_in_time(ask); ask_pause()) {
		if (!look(ask, &view) || view.leader == 0)
			continue;
		if (view.leader != from && (to == 0 || view.leader == to)) {
			printf("node %ju leads\n", (uintmax_t)view.leader);
			return 0;
		}
		if (view.leader != from && taken)
			return failed("node %ju leads, not node %ju", (uintmax_t)view.leader, (uintmax_t)to);
		if (taken && view.node == from && view.transfer_to == 0)
			return failed("node %ju leads on: nobody was ready to take over in time", (uintmax_t)from);
	}
	if (view.leader != 0)
		return failed("node %ju still leads", (uintmax_t)view.leader);
	return failed("no leader was found; %s", ask->error);
}

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
		FLAG_HOST(&host),
		FLAG_PORT(&port),
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
	struct view view;
	ask_begin(&ask, host, port, wait_s);
	if (to != 0)
		snprintf(command, sizeof command, "RAFT.TRANSFER %ju", (uintmax_t)to);
	look(&ask, &view);
	uint64_t from = view.leader;
	enum ask_outcome outcome = ask_leader(&ask, command);
	if (outcome == ASK_REFUSED) {
		bool leads = strstr(ask.error, "leads already") != NULL;
		fprintf(leads ? stdout : stderr, "ikada transfer: %s\n", ask.error);
		return leads ? 0 : 1;
	}
	if (outcome == ASK_TAKEN && look(&ask, &view) && view.node != 0)
		from = view.node;
	return watch(&ask, from, to, outcome == ASK_TAKEN);
}
