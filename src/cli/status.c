/*
 * `ikada status`: asks one node who the members are, then each of them how it is, and judges the cluster by what they
 * say. Asks only INFO, so whoever is asked goes on as it was; what a node does not tell is not guessed.
 *
 * The answers are of slightly different moments: under load, a small lag means nothing.
 */
#include "cli/status.h"

#include "cli/cli.h"
#include "cli/flags.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS 1000

/* ---- What a node says ---- */

/* The value of "NAME:VALUE" on a line of its own; false when there is none. */
static bool find_field(const char *info, const char *name, char *value, size_t room)
{
	size_t size = strlen(name);
	value[0] = '\0';
	for (const char *line = info; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, size) == 0 && line[size] == ':') {
			snprintf(value, room, "%.*s", (int)strcspn(line + size + 1, "\r\n"), line + size + 1);
			return true;
		}
	}
	return false;
}

static struct told find_number(const char *info, const char *name)
{
	char text[STATUS_WORD_BYTES];
	char *end = text;
	struct told told = {false, 0};
	if (find_field(info, name, text, sizeof text))
		told.value = strtoull(text, &end, 10);
	told.known = end != text && *end == '\0';
	return told;
}

/* The value of "name=" in a list with commas; empty when there is none. */
static void find_item(const char *list, const char *name, char *value, size_t room)
{
	size_t size = strlen(name);
	value[0] = '\0';
	while (list != NULL && *list != '\0') {
		size_t length = strcspn(list, ",");
		if (length > size && strncmp(list, name, size) == 0 && list[size] == '=')
			snprintf(value, room, "%.*s", (int)(length - size - 1), list + size + 1);
		list += length + (list[length] == ',');
	}
}

/*
 * A node that listens on all addresses of its machine tells an address that leads to the asker's own: the host that the
 * others of the cluster know it by stands in for it.
 */
static void client_address(const char *client, const char *peer, char *address, size_t room)
{
	const char *port = strrchr(client, ':');
	const char *peer_port = strrchr(peer, ':');
	bool any = strncmp(client, "0.0.0.0:", 8) == 0 || strncmp(client, "[::]:", 5) == 0;
	if (any && port != NULL && peer_port != NULL)
		snprintf(address, room, "%.*s%s", (int)(peer_port - peer), peer, port);
	else
		snprintf(address, room, "%s", client);
}

static struct status_node *find_node(struct status *status, uint64_t id)
{
	for (uint32_t i = 0; i < status->node_count; i++)
		if (status->nodes[i].id == id)
			return &status->nodes[i];
	return NULL;
}

/* Each member that this INFO names; calls `each` with its line. */
static void each_member(struct status *status, const char *info, void *context,
			void (*each)(struct status *status, uint64_t id, const char *line, void *context))
{
	static const char prefix[] = "raft_node_";
	for (const char *line = info; line != NULL; line = strchr(line, '\n')) {
		char text[2 * STATUS_TEXT_BYTES];
		char *end;
		line += *line == '\n';
		if (strncmp(line, prefix, sizeof prefix - 1) != 0)
			continue;
		snprintf(text, sizeof text, "%.*s", (int)strcspn(line, "\r\n"), line);
		uint64_t id = strtoull(text + sizeof prefix - 1, &end, 10);
		if (id != 0 && *end == ':')
			each(status, id, end + 1, context);
	}
}

static void add_member(struct status *status, uint64_t id, const char *line, void *context)
{
	char client[STATUS_TEXT_BYTES], peer[STATUS_TEXT_BYTES];
	(void)context;
	if (status->node_count == IKADA_MEMBERS_MAX || find_node(status, id) != NULL)
		return;
	struct status_node *node = &status->nodes[status->node_count++];
	node->id = id;
	find_item(line, "client", client, sizeof client);
	find_item(line, "address", peer, sizeof peer);
	client_address(client, peer, node->address, sizeof node->address);
}

static void note_peer(struct status *status, uint64_t id, const char *line, void *context)
{
	char connected[STATUS_WORD_BYTES], forgot[STATUS_WORD_BYTES];
	struct status_node *by = context;
	const struct status_node *node = find_node(status, id);
	find_item(line, "connected", connected, sizeof connected);
	if (node != NULL && strcmp(connected, "1") == 0)
		by->connected |= (uint64_t)1 << (node - status->nodes);
	find_item(line, "forgot", forgot, sizeof forgot);
	if (node != NULL && strcmp(forgot, "1") == 0)
		by->forgot |= (uint64_t)1 << (node - status->nodes);
}

static void read_info(struct status *status, struct status_node *node, const char *info)
{
	find_field(info, "raft_role", node->role, sizeof node->role);
	find_field(info, "raft_state_digest", node->digest, sizeof node->digest);
	find_field(info, "raft_cluster_id", node->cluster_id, sizeof node->cluster_id);
	node->term = find_number(info, "raft_term");
	node->leader = find_number(info, "raft_leader_id");
	node->commit = find_number(info, "raft_commit_index");
	node->applied = find_number(info, "raft_applied_index");
	node->digest_index = find_number(info, "raft_state_digest_index");
	node->doubted = find_number(info, "raft_state_doubted");
	node->log_bytes = find_number(info, "raft_log_bytes");
	node->snapshot_index = find_number(info, "raft_snapshot_index");
	node->sync_us = find_number(info, "raft_last_sync_us");
	node->sync_max_us = find_number(info, "raft_max_sync_us");
	each_member(status, info, node, note_peer);
}

/* ---- Asking ---- */

__attribute__((format(printf, 3, 4))) static void problem(struct status *status, enum status_health health,
							  const char *format, ...)
{
	va_list args;
	if (status->health < health)
		status->health = health;
	if (status->problem_count == STATUS_PROBLEMS_MAX)
		return;
	va_start(args, format);
	vsnprintf(status->problems[status->problem_count++], STATUS_TEXT_BYTES, format, args);
	va_end(args);
}

/* The text of an INFO, or NULL with a reason in call->error. */
static const char *info_of(struct client_call *call)
{
	const redisReply *reply = call->reply;
	if (reply == NULL)
		return NULL;
	if (reply->type == REDIS_REPLY_ERROR)
		snprintf(call->error, sizeof call->error, "it says: %s", reply->str);
	else if (reply->type != REDIS_REPLY_STRING || strstr(reply->str, "raft_role:") == NULL)
		snprintf(call->error, sizeof call->error, "this is no Ikada node");
	else
		return reply->str;
	return NULL;
}

/* False: no node gave the list of members; the problem is told. */
static bool ask_for_members(struct status *status)
{
	struct client_call call = {.address = status->asked, .command = "INFO"};
	client_ask(&call, 1, ASK_MS);
	const char *info = info_of(&call);
	if (info != NULL) {
		each_member(status, info, NULL, add_member);
		/* Where it was asked it can be reached, whatever it thinks. */
		struct status_node *self = find_node(status, find_number(info, "raft_node_id").value);
		if (self != NULL)
			snprintf(self->address, sizeof self->address, "%s", status->asked);
	} else {
		problem(status, NOT_SERVING, "%.100s: %s", status->asked, call.error);
		problem(status, NOT_SERVING, "ask another node, with --host and --port");
	}
	if (call.reply != NULL)
		freeReplyObject(call.reply);
	return info != NULL;
}

static void ask_all(struct status *status)
{
	struct client_call calls[IKADA_MEMBERS_MAX];
	uint32_t of[IKADA_MEMBERS_MAX];
	uint32_t count = 0;
	for (uint32_t i = 0; i < status->node_count; i++) {
		struct status_node *node = &status->nodes[i];
		of[count] = i;
		if (node->address[0] != '\0')
			calls[count++] = (struct client_call){.address = node->address, .command = "INFO"};
		else
			snprintf(node->error, sizeof node->error, "the node that was asked has not met it");
	}
	client_ask(calls, count, ASK_MS);
	for (uint32_t i = 0; i < count; i++) {
		struct status_node *node = &status->nodes[of[i]];
		const char *info = info_of(&calls[i]);
		node->reachable = info != NULL && find_number(info, "raft_node_id").value == node->id;
		if (node->reachable)
			read_info(status, node, info);
		else
			snprintf(node->error, sizeof node->error, "%s",
				 info == NULL ? calls[i].error : "another node answers there");
		if (calls[i].reply != NULL)
			freeReplyObject(calls[i].reply);
	}
}

/* ---- Judging ---- */

/* The leader of the newest term that anybody has heard of, if anybody in that term knows one. */
static void find_leader(struct status *status)
{
	uint64_t commit = 0;
	for (uint32_t i = 0; i < status->node_count; i++) {
		const struct status_node *node = &status->nodes[i];
		if (!node->reachable)
			continue;
		if (node->term.value > status->term) {
			status->term = node->term.value;
			status->leader = 0;
		}
		if (node->term.value == status->term && node->leader.value != 0)
			status->leader = node->leader.value;
		if (node->commit.value > commit)
			commit = node->commit.value;
		if (status->cluster_id[0] == '\0')
			memcpy(status->cluster_id, node->cluster_id, sizeof status->cluster_id);
	}
	const struct status_node *leader = find_node(status, status->leader);
	if (leader != NULL && leader->reachable)
		commit = leader->commit.value;
	for (uint32_t i = 0; i < status->node_count; i++) {
		struct status_node *node = &status->nodes[i];
		node->lag.known = node->reachable && node->applied.known;
		node->lag.value = commit > node->applied.value ? commit - node->applied.value : 0;
	}
}

static void judge_state(struct status *status, const struct status_node *node)
{
	if (node->doubted.value != 0) {
		problem(status, DEGRADED, "node %ju does not serve: its state differs, or is being loaded",
			(uintmax_t)node->id);
		return;
	}
	for (const struct status_node *other = status->nodes; other < node; other++)
		if (other->reachable && other->digest_index.known && node->digest_index.known &&
		    other->digest_index.value == node->digest_index.value && node->digest_index.value != 0 &&
		    strcmp(other->digest, node->digest) != 0)
			problem(status, DEGRADED, "nodes %ju and %ju have different states at index %ju",
				(uintmax_t)other->id, (uintmax_t)node->id, (uintmax_t)node->digest_index.value);
}

static void judge(struct status *status)
{
	find_leader(status);
	if (status->node_count == 0)
		problem(status, NOT_SERVING, "%.100s knows of no members", status->asked);
	else if (status->leader == 0)
		status->health = NOT_SERVING;
	const struct status_node *leader = find_node(status, status->leader);
	for (uint32_t i = 0; i < status->node_count; i++) {
		const struct status_node *node = &status->nodes[i];
		if (leader != NULL && leader->reachable && (leader->forgot >> i & 1) != 0) {
			problem(status, DEGRADED,
				"node %ju has lost entries that it had acknowledged:", (uintmax_t)node->id);
			problem(status, DEGRADED, "empty its directory, start it, ikada member replace %ju",
				(uintmax_t)node->id);
		}
		if (!node->reachable) {
			problem(status, DEGRADED, "node %ju unreachable", (uintmax_t)node->id);
			continue;
		}
		if (strcmp(node->cluster_id, status->cluster_id) != 0)
			problem(status, DEGRADED, "node %ju is of another cluster, %s", (uintmax_t)node->id,
				node->cluster_id);
		if (leader != NULL && leader->reachable && (leader->connected >> i & 1) == 0)
			problem(status, DEGRADED, "node %ju has no connection with the leader", (uintmax_t)node->id);
		judge_state(status, node);
	}
}

const char *status_health_name(const struct status *status)
{
	static const char *const names[] = {"healthy", "degraded", "no leader"};
	return status->node_count == 0 ? "no answer" : names[status->health];
}

int cli_status(int argc, char **argv)
{
	static struct status status;
	const char *host = "127.0.0.1";
	uint64_t port = 7001;
	bool json = false;
	char asked[STATUS_TEXT_BYTES];
	const struct flag flags[] = {
		FLAG_HOST(&host),
		FLAG_PORT(&port),
		{.name = "json", .help = "the same as JSON", .on = &json},
	};
	int wrong =
		flags_parse("how a cluster is. Asks each node once, and waits a second at most.\n"
			    "Exit status: 0 healthy; 1 degraded: it works, and something is wrong; 2 no leader or no "
			    "answer,\nor a wrong flag.",
			    flags, sizeof flags / sizeof *flags, argc, argv);
	if (wrong != FLAGS_OK)
		return wrong;
	snprintf(asked, sizeof asked, strchr(host, ':') == NULL ? "%.256s:%ju" : "[%.256s]:%ju", host, (uintmax_t)port);
	status.asked = asked;
	if (ask_for_members(&status)) {
		ask_all(&status);
		judge(&status);
	}
	if (json)
		status_print_json(&status);
	else
		status_print_text(&status);
	return status.health;
}
