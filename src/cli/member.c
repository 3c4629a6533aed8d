/*
 * `ikada member`: who the members are, and changes of them. A change goes on by itself once the leader has taken it;
 * this only shows how far it is, and may be interrupted.
 */
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/flags.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct action {
	const char *name;
	const char *target;   /* What is expected behind it; NULL nothing. */
	const char *standing; /* What the member is when it is done; NULL: no member any more. */
};

static const struct action actions[] = {
	{"list", NULL, NULL},	    {"add", "ID=HOST:PORT", "voter"}, {"remove", "ID", NULL},
	{"replace", "ID", "voter"}, {"promote", "ID", "voter"},	      {"demote", "ID", "learner"},
};

static const char about[] =
	"list | add ID=HOST:PORT | remove ID | replace ID | promote ID | demote ID\n"
	"The members of a cluster. Who is to be added, or to take the place of a wiped disk, must be running:\n"
	"start it with --cluster and the list of the members, itself among them; it waits until it is added.\n"
	"A removed id is not used again.";

static const char *text_of(const redisReply *member, size_t at)
{
	return member->type == REDIS_REPLY_ARRAY && at < member->elements && member->element[at]->str != NULL
		       ? member->element[at]->str
		       : "";
}

static int list(struct ask *ask)
{
	redisReply *reply = ask_once(ask, "RAFT.MEMBER LIST");
	if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
		fprintf(stderr, "ikada member: %s\n", reply != NULL && reply->str != NULL ? reply->str : ask->error);
		freeReplyObject(reply);
		return 1;
	}
	for (size_t i = 0; i < reply->elements; i++) {
		const redisReply *m = reply->element[i];
		printf("node %s  %-8s  peers %s  clients %s  incarnation %s\n", text_of(m, 0), text_of(m, 2),
		       text_of(m, 3), *text_of(m, 4) == '\0' ? "?" : text_of(m, 4), text_of(m, 1));
	}
	freeReplyObject(reply);
	return 0;
}

/* ---- Progress ---- */

struct progress {
	char standing[16];    /* "" when it is no member; "changing" while there are two of it. */
	char incarnation[24]; /* Of the last one. */
	bool committed;	      /* All that is known of members. */
	bool leads;	      /* Who says so leads. */
	uint64_t match, last;
};

static void find_match(const char *info, const char *id, struct progress *progress)
{
	char name[64];
	snprintf(name, sizeof name, "raft_node_%s:", id);
	const char *line = strstr(info, name);
	const char *match = line == NULL ? NULL : strstr(line, ",match=");
	const char *end = line == NULL ? NULL : strchr(line, '\n');
	if (match != NULL && (end == NULL || match < end))
		progress->match = strtoull(match + 7, NULL, 10);
}

static bool look(struct ask *ask, const char *id, struct progress *progress)
{
	memset(progress, 0, sizeof *progress);
	redisReply *members = ask_once(ask, "RAFT.MEMBER LIST");
	redisReply *info = members == NULL ? NULL : ask_once(ask, "INFO raft");
	bool known = members != NULL && members->type == REDIS_REPLY_ARRAY && info != NULL && info->str != NULL;
	for (size_t i = 0; known && i < members->elements; i++) {
		const redisReply *member = members->element[i];
		ask_remember(ask, text_of(member, 4));
		if (strcmp(text_of(member, 0), id) != 0)
			continue;
		snprintf(progress->standing, sizeof progress->standing, "%.15s",
			 progress->standing[0] == '\0' ? text_of(member, 2) : "changing");
		snprintf(progress->incarnation, sizeof progress->incarnation, "%.23s", text_of(member, 1));
	}
	if (known) {
		uint64_t committed = 0;
		ask_number(info->str, "raft_config_committed", &committed);
		ask_number(info->str, "raft_last_index", &progress->last);
		progress->committed = committed == 1;
		progress->leads = strstr(info->str, "raft_role:leader") != NULL;
		find_match(info->str, id, progress);
	}
	freeReplyObject(members);
	freeReplyObject(info);
	return known;
}

static bool same(const struct progress *a, const struct progress *b)
{
	return strcmp(a->standing, b->standing) == 0 && strcmp(a->incarnation, b->incarnation) == 0;
}

/* What is wanted of whom; how it was before. */
struct wish {
	const char *id;
	const char *standing;
	bool replaces;
	struct progress before;
};

static bool is_done(const struct wish *wish, const struct progress *now)
{
	bool other = strcmp(now->incarnation, wish->before.incarnation) != 0;
	return now->committed && strcmp(now->standing, wish->standing) == 0 && (!wish->replaces || other);
}

static void say(const struct wish *wish, const struct progress *now, char said[160])
{
	char line[160];
	int size = snprintf(line, sizeof line, "node %s: %s", wish->id,
			    now->standing[0] == '\0' ? "not a member" : now->standing);
	if (now->leads && now->match > 0)
		snprintf(line + size, sizeof line - (size_t)size, ", has %ju of %ju entries", (uintmax_t)now->match,
			 (uintmax_t)now->last);
	if (strcmp(line, said) != 0)
		printf("%s\n", line);
	fflush(stdout);
	memcpy(said, line, sizeof line);
}

enum watched { WATCHED_DONE, WATCHED_LOST, WATCHED_TAKEN_BACK, WATCHED_TOO_LONG };

static bool on_its_way(const struct progress *now)
{
	return strcmp(now->standing, "joining") == 0 || strcmp(now->standing, "changing") == 0;
}

/*
 * Lost: the leader knows of no such change, because whoever took it died with it. Taken back: it was committed that it
 * is on its way to vote, and now it is not any more.
 */
static enum watched watch(struct ask *ask, const struct wish *wish)
{
	char said[160] = "";
	struct progress now = {.standing = ""};
	bool known = false, began = false;
	for (; ask_in_time(ask); ask_pause()) {
		known = look(ask, wish->id, &now);
		if (!known)
			continue;
		if (is_done(wish, &now)) {
			printf("node %s is %s\n", wish->id,
			       *wish->standing == '\0' ? "no member any more" : wish->standing);
			return WATCHED_DONE;
		}
		bool settled = now.leads && now.committed &&
			       (same(&now, &wish->before) || strcmp(now.standing, "learner") == 0);
		if (began && settled) {
			fprintf(stderr,
				"ikada member: node %s, or another that was to vote with it, did not catch up: the "
				"change was taken back%s\n",
				wish->id,
				wish->replaces ? "" : ". It is a learner: promote it to try again, or remove it");
			return WATCHED_TAKEN_BACK;
		}
		if (now.leads && now.committed && same(&now, &wish->before))
			return WATCHED_LOST;
		began |= now.committed && on_its_way(&now) && *wish->standing != '\0';
		say(wish, &now, said);
	}
	if (known)
		fprintf(stderr, "ikada member: this takes longer than --wait-s; it goes on by itself (node %s: %s)\n",
			wish->id, now.standing[0] == '\0' ? "not a member" : now.standing);
	else
		fprintf(stderr, "ikada member: how far it is, is not known: %s\n", ask->error);
	return WATCHED_TOO_LONG;
}

/* Asks for it until some leader has done it. */
static int see_to(struct ask *ask, const char *command, struct wish *wish, bool no_wait)
{
	if (!look(ask, wish->id, &wish->before)) {
		fprintf(stderr, "ikada member: %s\n", ask->error);
		return 1;
	}
	for (bool again = false;; again = true) {
		enum ask_outcome outcome = ask_leader(ask, command);
		struct progress now;
		if (outcome == ASK_REFUSED && !(again && look(ask, wish->id, &now) && !same(&now, &wish->before))) {
			fprintf(stderr, "ikada member: %s\n", ask->error);
			return 1;
		}
		if (no_wait && outcome == ASK_UNSURE)
			fprintf(stderr, "ikada member: it may have been taken, no answer came: %s\n", ask->error);
		if (no_wait)
			return outcome == ASK_UNSURE ? 1 : 0;
		enum watched watched = watch(ask, wish);
		if (watched != WATCHED_LOST || !ask_in_time(ask))
			return watched == WATCHED_DONE ? 0 : 1;
		printf("node %s: who was asked is gone, and the change with it; asks again\n", wish->id);
		fflush(stdout);
	}
}

/* ---- The line ---- */

/* The request, and the id in it. */
static bool compose(const struct action *action, const char *target, bool learner, char id[24], char *command,
		    size_t room)
{
	size_t digits = strspn(target, "0123456789");
	bool adds = strcmp(action->name, "add") == 0;
	if (digits == 0 || digits > 19 || strpbrk(target, " %\r\n") != NULL || (adds && target[digits] != '=') ||
	    (!adds && target[digits] != '\0'))
		return false;
	snprintf(id, 24, "%.*s", (int)digits, target);
	snprintf(command, room, "RAFT.MEMBER %s %s%s%.260s%s", action->name, id, adds ? " " : "",
		 adds ? target + digits + 1 : "", learner ? " LEARNER" : "");
	return true;
}

static const struct action *find_action(const char *name)
{
	for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
		if (strcmp(actions[i].name, name) == 0)
			return &actions[i];
	return NULL;
}

int cli_member(int argc, char **argv)
{
	const char *host = "127.0.0.1";
	uint64_t port = 7001, wait_s = 60;
	bool learner = false, no_wait = false;
	const struct flag flags[] = {
		FLAG_HOST(&host),
		FLAG_PORT(&port),
		{.name = "learner", .help = "with add: it is never to vote, unless promoted", .on = &learner},
		{.name = "no-wait", .help = "do not wait until it is done", .on = &no_wait},
		{.name = "wait-s",
		 .value = "S",
		 .help = "wait so long at most",
		 .number = &wait_s,
		 .min = 1,
		 .max = 86400},
	};
	const struct action *action = argc < 2 ? NULL : find_action(argv[1]);
	int skip = action == NULL ? 0 : action->target == NULL ? 1 : 2;
	if (argc < 2 || (action == NULL && strncmp(argv[1], "-", 1) != 0) || skip >= argc + (skip == 1)) {
		fprintf(stderr, "ikada member: expected list, add ID=HOST:PORT, remove ID, replace ID, promote ID or "
				"demote ID (see ikada member --help)\n");
		return FLAGS_WRONG;
	}
	const char *target = skip == 2 ? argv[2] : "";
	argv[skip] = argv[0];
	int status = flags_parse(about, flags, sizeof flags / sizeof *flags, argc - skip, argv + skip);
	if (status != FLAGS_OK)
		return status;
	if (learner && (action == NULL || strcmp(action->name, "add") != 0)) {
		fprintf(stderr, "ikada member: --learner goes with add only\n");
		return FLAGS_WRONG;
	}
	struct ask ask;
	char id[24], command[ASK_ERROR_BYTES];
	ask_begin(&ask, host, port, wait_s);
	if (action == NULL || action->target == NULL)
		return list(&ask);
	if (!compose(action, target, learner, id, command, sizeof command)) {
		fprintf(stderr, "ikada member: %s expects %s, found '%s'\n", action->name, action->target, target);
		return FLAGS_WRONG;
	}
	struct wish wish = {.id = id,
			    .standing = action->standing == NULL ? "" : action->standing,
			    .replaces = strcmp(action->name, "replace") == 0};
	if (learner)
		wish.standing = "learner";
	return see_to(&ask, command, &wish, no_wait);
}
