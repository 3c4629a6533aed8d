/* `ikada recover`: the last way out, when the majority of a cluster is lost for ever. Offline, on one survivor. */
#include "cli/cli.h"
#include "cli/flags.h"
#include "env/env_uv.h"
#include "ikada/node.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void written(void *context)
{
	env_uv_stop(context);
}

static void warn(const struct ikada_recovery *found, uint64_t id)
{
	printf("node %" PRIu64 " of cluster %016" PRIx64 ": its log ends at entry %" PRIu64 " of term %" PRIu64
	       "; up to %" PRIu64 " it knows to be committed\n",
	       id, found->cluster_id, found->last_index, found->last_term, found->commit);
	printf("WARNING: what other nodes acknowledged and this log does not have, any entry behind %" PRIu64
	       ", will be lost;\nand entries from %" PRIu64 " to %" PRIu64
	       " will count as done, though clients may have been told otherwise.\n",
	       found->last_index, found->commit + 1, found->last_index);
	printf("If another survivor's log ends later, recover that one instead.\nLost as members:");
	for (uint32_t i = 0; i < found->config.count; i++)
		if (found->config.members[i].id != id)
			printf(" %" PRIu64, found->config.members[i].id);
	printf(". They cannot come back; empty nodes can be added, with ids from %" PRIu64 " on.\n",
	       found->config.max_id + 1);
}

int cli_recover(int argc, char **argv)
{
	struct ikada_node_settings settings = {.cluster = ""};
	bool yes = false;
	struct stat st;
	char error[512];
	const struct flag flags[] = {
		{.name = "node",
		 .value = "ID",
		 .help = "the survivor, which must not be running",
		 .required = true,
		 .number = &settings.id,
		 .min = 1,
		 .max = UINT64_MAX},
		{.name = "data", .value = "DIR", .help = "its directory", .required = true, .text = &settings.data_dir},
		{.name = "yes", .help = "do it; else it is only said what would be lost", .on = &yes},
	};
	int status =
		flags_parse("after the loss of a majority, for ever: makes one survivor a cluster of its own, under a "
			    "new cluster id.\nSays what may be lost; does it only with --yes.",
			    flags, sizeof flags / sizeof *flags, argc, argv);
	if (status != FLAGS_OK)
		return status;
	if (stat(settings.data_dir, &st) != 0) {
		fprintf(stderr, "ikada recover: %s: %s\n", settings.data_dir, strerror(errno));
		return 1;
	}
	struct mem mem;
	mem_init(&mem, false);
	struct env *env = env_uv_create(&mem, ENV_WARN);
	if (env == NULL) {
		fprintf(stderr, "ikada recover: the event loop cannot start: %s\n", strerror(errno));
		return 1;
	}
	struct ikada_recovery found;
	struct ikada_node *node =
		ikada_node_recover(env, &settings, &found, yes ? written : NULL, env, error, sizeof error);
	if (node == NULL) {
		fprintf(stderr, "ikada recover: %s\n", error);
		env_uv_destroy(env);
		return 1;
	}
	warn(&found, settings.id);
	if (yes) {
		env_uv_run(env);
		printf("node %" PRIu64 " is the only member of cluster %016" PRIx64 " now\n", settings.id,
		       found.new_cluster_id);
	} else {
		printf("Nothing was done: say --yes to do it.\n");
	}
	ikada_node_close(node);
	env_uv_destroy(env);
	return yes ? 0 : 1;
}
