/* `ikada recover`: the last way out, when the majority of a cluster is lost for ever. Offline, on each survivor. */
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

static bool has_id(const struct ikada_config *config, uint64_t id)
{
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].id == id)
			return true;
	return false;
}

/* The ids of one configuration that the other does not have. */
static void print_ids(const struct ikada_config *config, const struct ikada_config *without)
{
	for (uint32_t i = 0; i < config->count; i++)
		if (!has_id(without, config->members[i].id) &&
		    (i == 0 || config->members[i].id != config->members[i - 1].id))
			printf(" %" PRIu64, config->members[i].id);
	printf("\n");
}

static void print_log(const struct ikada_recovery *found)
{
	static const struct ikada_config nobody;
	printf("node %" PRIu64 " (incarnation %016" PRIx64 ") of cluster %016" PRIx64 "\n", found->id,
	       found->incarnation, found->cluster_id);
	printf("  its log ends with entry %" PRIu64 ", of term %" PRIu64 "; up to %" PRIu64
	       " it knows entries to be committed\n",
	       found->last_index, found->last_term, found->commit);
	printf("  members, as far as it knows:");
	print_ids(&found->config, &nobody);
}

static void print_survivor(const struct ikada_recovery *found, const char *data_dir)
{
	print_log(found);
	printf("\nAmong the survivors it is named (the address may be changed):\n%s\n\n", found->survivor);
	printf("Look at each other survivor, too. Then do this on each of them, with the same list, all of them in "
	       "it:\n"
	       "ikada recover --data %s --survivors NAME,NAME,...\n",
	       data_dir);
}

static void warn(const struct ikada_recovery *found)
{
	print_log(found);
	printf("\nNode %" PRIu64 " begins cluster %016" PRIx64 " with its log, up to entry %" PRIu64 ". Members:",
	       found->begins, found->new_cluster_id, found->begins_index);
	for (uint32_t i = 0; i < found->next.count; i++)
		printf(" %" PRIu64, found->next.members[i].id);
	printf("\nGiven up:");
	print_ids(&found->config, &found->next);
	printf("\nWARNING: writes that are not in the log of node %" PRIu64
	       " are lost, also acknowledged ones: whatever the nodes "
	       "given up have behind entry %" PRIu64 ".\n",
	       found->begins, found->begins_index);
	if (found->begins_index > found->begins_commit)
		printf("WARNING: what is in it counts as done, from entry %" PRIu64
		       " on also what clients may never have "
		       "been told to be done.\n",
		       found->begins_commit + 1);
	printf("The nodes given up cannot come back; empty ones can be added, with ids from %" PRIu64 " on.\n",
	       found->next.max_id + 1);
	if (found->id != found->begins)
		printf("This node becomes an empty one that node %" PRIu64 " takes in; its data are set aside, in "
		       "set-aside-%016" PRIx64 ".\n",
		       found->begins, found->cluster_id);
}

static void print_done(const struct ikada_recovery *found)
{
	if (found->id == found->begins)
		printf("node %" PRIu64 " begins cluster %016" PRIx64 ": start it\n", found->id, found->new_cluster_id);
	else
		printf("node %" PRIu64 " is empty, and comes to cluster %016" PRIx64 " when node %" PRIu64
		       " is up: start it\n",
		       found->id, found->new_cluster_id, found->begins);
}

static int recover(struct env *env, const struct ikada_node_settings *settings, const char *survivors, bool yes)
{
	struct ikada_recovery found;
	char error[512];
	struct ikada_node *node =
		ikada_node_recover(env, settings, survivors, &found, yes ? written : NULL, env, error, sizeof error);
	if (node == NULL) {
		fprintf(stderr, "ikada recover: %s\n", error);
		return 1;
	}
	if (yes)
		env_uv_run(env);
	ikada_node_close(node);
	if (survivors == NULL)
		print_survivor(&found, settings->data_dir);
	else if (!found.done)
		warn(&found);
	if (survivors != NULL && (yes || found.done))
		print_done(&found);
	else if (survivors != NULL)
		printf("\nNothing was done: say --yes to do it.\n");
	return survivors == NULL || yes || found.done ? 0 : 1;
}

int cli_recover(int argc, char **argv)
{
	struct ikada_node_settings settings = {.cluster = ""};
	const char *survivors = NULL;
	bool yes = false;
	struct stat st;
	const struct flag flags[] = {
		{.name = "data",
		 .value = "DIR",
		 .help = "of a survivor, which must not be running",
		 .required = true,
		 .text = &settings.data_dir},
		{.name = "survivors",
		 .value = "NAME,...",
		 .help = "all of them, as they were named without this flag",
		 .text = &survivors},
		{.name = "yes", .help = "do it; else it is only said what would be lost", .on = &yes},
	};
	int status = flags_parse(
		"after the loss of a majority, for ever: makes a new cluster of the survivors, under a new\n"
		"cluster id. First look at each (--data alone), which names it; then, on each, the same list.",
		flags, sizeof flags / sizeof *flags, argc, argv);
	if (status != FLAGS_OK)
		return status;
	if (yes && survivors == NULL) {
		fprintf(stderr,
			"ikada recover: --yes expects --survivors, too: all who are to be members, and this one "
			"among them\n");
		return FLAGS_WRONG;
	}
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
	status = recover(env, &settings, survivors, yes);
	env_uv_destroy(env);
	return status;
}
