/* A script under way: its cluster, the words of its command, its names, and its trace. Part of test_script.c. */
#ifndef IKADA_TEST_SCRIPT_STATE_H
#define IKADA_TEST_SCRIPT_STATE_H

#include "raft_cores.h"

enum { WORDS_MAX = 64, LINE_MAX_BYTES = 400, VALUES_MAX = 256, DELIVERIES_MAX = 10000 };

struct text {
	char *bytes;
	size_t size;
};

struct named_read {
	char name[32];
	uint64_t node;
	uint64_t id;
};

struct script {
	const char *path;
	uint32_t line;
	char error[512];
	struct cores *cores; /* NULL before the command `nodes`. */
	bool auto_durable;
	uint64_t batch; /* Entries in one message, at most; 0: all. */
	bool cut[CORES_MAX + 1][CORES_MAX + 1];
	char values[VALUES_MAX][32]; /* Names of values 1, 2, ... */
	size_t value_count;
	struct named_read reads[VALUES_MAX];
	size_t read_count;
	bool tracing;
	struct text trace;   /* Of the current command. */
	struct text written; /* The script with new traces. */
	char *words[WORDS_MAX];
	size_t count;
};

__attribute__((format(printf, 2, 3))) static void text_add(struct text *text, const char *format, ...)
{
	char line[1024];
	va_list args;
	va_start(args, format);
	int size = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	text->bytes = realloc(text->bytes, text->size + (size_t)size + 1);
	memcpy(text->bytes + text->size, line, (size_t)size + 1);
	text->size += (size_t)size;
}

__attribute__((format(printf, 2, 3))) static bool fail(struct script *s, const char *format, ...)
{
	if (s->error[0] != 0)
		return false;
	va_list args;
	va_start(args, format);
	vsnprintf(s->error, sizeof s->error, format, args);
	va_end(args);
	return false;
}

/* ---- Words ---- */

static const char *const role_names[] = {"follower", "precandidate", "candidate", "leader"};
static const char *const kind_names[] = {NULL,	   "prevote",	   "prevote_reply", "vote",	  "vote_reply",
					 "append", "append_reply", "snapshot",	    "timeout_now"};

static const char *word(struct script *s, size_t at)
{
	if (at < s->count)
		return s->words[at];
	fail(s, "the command ends too early");
	return "";
}

static uint64_t number(struct script *s, size_t at)
{
	const char *w = word(s, at);
	char *end;
	if (strcmp(w, "none") == 0)
		return 0;
	uint64_t n = strtoull(w, &end, 10);
	if (*w == 0 || *end != 0)
		fail(s, "\"%s\" is not a number", w);
	return n;
}

static struct core *node(struct script *s, size_t at)
{
	uint64_t id = number(s, at);
	if (s->cores == NULL || id == 0 || id > s->cores->count) {
		fail(s, "there is no node \"%s\"", word(s, at));
		return NULL;
	}
	return &s->cores->core[id];
}

static enum ikada_message_kind kind_of(const char *name)
{
	for (size_t i = 1; i < sizeof kind_names / sizeof *kind_names; i++)
		if (strcmp(kind_names[i], name) == 0)
			return (enum ikada_message_kind)i;
	return 0;
}

static uint64_t *field(struct ikada_message *m, const char *name)
{
	struct {
		const char *name;
		uint64_t *at;
	} fields[] = {
		{"term", &m->term},
		{"round", &m->round},
		{"prev_index", &m->prev_index},
		{"prev_term", &m->prev_term},
		{"last_index", &m->last_index},
		{"last_term", &m->last_term},
		{"commit", &m->commit},
		{"match_index", &m->match_index},
		{"verified_index", &m->verified_index},
		{"conflict_index", &m->conflict_index},
		{"conflict_term", &m->conflict_term},
	};
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		if (strcmp(fields[i].name, name) == 0)
			return fields[i].at;
	return NULL;
}

static uint64_t value_of(struct script *s, const char *name, bool make)
{
	if (strcmp(name, "-") == 0)
		return 0;
	for (size_t i = 0; i < s->value_count; i++)
		if (strcmp(s->values[i], name) == 0)
			return i + 1;
	if (!make || s->value_count == VALUES_MAX) {
		fail(s, "nobody proposed \"%s\"", name);
		return 0;
	}
	snprintf(s->values[s->value_count], sizeof s->values[0], "%s", name);
	return ++s->value_count;
}

/* ---- Members ---- */

static const char *const standing_names[] = {"voter",	 "learner",  "joining", "leaving",
					     "incoming", "outgoing", "demoting"};

/* NODE or NODE:STANDING. */
static struct ikada_member member(struct script *s, size_t at)
{
	struct ikada_member member = {0};
	char name[32];
	snprintf(name, sizeof name, "%s", word(s, at));
	char *colon = strchr(name, ':');
	if (colon != NULL)
		*colon = 0;
	uint64_t n = strtoull(name, NULL, 10);
	if (n == 0 || n > s->cores->count) {
		fail(s, "there is no node \"%s\"", name);
		return member;
	}
	member.id = s->cores->core[n].id;
	member.incarnation = s->cores->core[n].incarnation;
	if (colon == NULL)
		return member;
	for (size_t i = 0; i < sizeof standing_names / sizeof *standing_names; i++) {
		if (strcmp(standing_names[i], colon + 1) == 0) {
			member.standing = (enum ikada_standing)i;
			return member;
		}
	}
	fail(s, "nobody can be \"%s\"", colon + 1);
	return member;
}

/* The members that are named from here on, in their order. */
static struct ikada_config members(struct script *s, size_t at)
{
	struct ikada_config config = {0};
	for (; at < s->count && config.count < IKADA_MEMBERS_MAX; at++) {
		struct ikada_member one = member(s, at);
		uint32_t place = config.count++;
		for (; place > 0; place--) {
			const struct ikada_member *left = &config.members[place - 1];
			if (left->id < one.id || (left->id == one.id && left->incarnation < one.incarnation))
				break;
			config.members[place] = *left;
		}
		config.members[place] = one;
		if (one.id > config.max_id)
			config.max_id = one.id;
	}
	return config;
}

static bool same_config(const struct ikada_config *a, const struct ikada_config *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++)
		if (a->members[i].id != b->members[i].id || a->members[i].incarnation != b->members[i].incarnation ||
		    a->members[i].standing != b->members[i].standing)
			return false;
	return true;
}

static void put_config(struct script *s, const struct ikada_config *config, struct text *text)
{
	for (uint32_t i = 0; i < config->count; i++) {
		const struct ikada_member *one = &config->members[i];
		text_add(text, " %" PRIu64, cores_find(s->cores, one->id, one->incarnation));
		if (one->standing != IKADA_VOTER)
			text_add(text, ":%s", standing_names[one->standing]);
	}
}

/* ---- Trace ---- */

static void trace_step(struct script *s, uint64_t id)
{
	const struct core *core = &s->cores->core[id];
	const struct ikada_effects *e = &core->effects;
	struct ikada_raft_status before;
	ikada_raft_status(core->before, &before);
	if (e->role != before.role || e->term != before.term)
		text_add(&s->trace, "| %" PRIu64 " %s term %" PRIu64 "\n", id, role_names[e->role], e->term);
	if (e->vote != before.vote && e->vote != 0)
		text_add(&s->trace, "| %" PRIu64 " votes for %" PRIu64 "\n", id, e->vote);
	if (e->append != IKADA_APPEND_NONE && e->append_first <= before.last_index)
		text_add(&s->trace, "| %" PRIu64 " cuts its log at %" PRIu64 "\n", id, e->append_first);
	if (e->append != IKADA_APPEND_NONE)
		text_add(&s->trace, "| %" PRIu64 " appends %" PRIu64 "..%" PRIu64 "\n", id, e->append_first,
			 e->append_last);
	if (e->config_changed) {
		text_add(&s->trace, "| %" PRIu64 " members", id);
		put_config(s, &core->status.config, &s->trace);
		text_add(&s->trace, "\n");
	}
	if (e->base_changed)
		text_add(&s->trace, "| %" PRIu64 " %s %" PRIu64 "\n", id,
			 e->installed ? "installs a snapshot up to" : "compacts its log up to", e->base_index);
	if (e->accept_snapshot)
		text_add(&s->trace, "| %" PRIu64 " accepts the snapshot\n", id);
	if (core->status.durable_index > before.durable_index)
		text_add(&s->trace, "| %" PRIu64 " durable %" PRIu64 "\n", id, core->status.durable_index);
	if (e->commit != before.commit)
		text_add(&s->trace, "| %" PRIu64 " commits %" PRIu64 "\n", id, e->commit);
	if (e->granted.count > 0)
		text_add(&s->trace, "| %" PRIu64 " grants %" PRIu64 " reads at %" PRIu64 "\n", id, e->granted.count,
			 e->granted_index);
	uint64_t refused = e->refused_reads.count + e->refused_proposals.count + e->refused_changes.count;
	if (refused > 0)
		text_add(&s->trace, "| %" PRIu64 " refuses %" PRIu64 "\n", id, refused);
	if (e->forgot != 0)
		text_add(&s->trace, "| %" PRIu64 " finds that %" PRIu64 " lost what it had acknowledged\n", id,
			 cores_find(s->cores, e->forgot, e->forgot_incarnation));
	if (e->transfer_ended)
		text_add(&s->trace, "| %" PRIu64 " stays\n", id);
}

static void watch(struct cores *cores, uint64_t id, const struct ikada_message *m)
{
	struct script *s = cores->watcher;
	if (!s->tracing)
		return;
	if (m == NULL) {
		trace_step(s, id);
		return;
	}
	text_add(&s->trace, "| %" PRIu64 " -> %" PRIu64 " %s term %" PRIu64, m->from, m->to, kind_names[m->kind],
		 m->term);
	switch (m->kind) {
	case IKADA_PREVOTE:
	case IKADA_VOTE:
		text_add(&s->trace, " log %" PRIu64 "@%" PRIu64, m->last_index, m->last_term);
		break;
	case IKADA_PREVOTE_REPLY:
	case IKADA_VOTE_REPLY:
		text_add(&s->trace, m->granted ? " granted" : " refused");
		break;
	case IKADA_APPEND:
		text_add(&s->trace, " prev %" PRIu64 "@%" PRIu64 " commit %" PRIu64, m->prev_index, m->prev_term,
			 m->commit);
		if (m->last_index > m->prev_index)
			text_add(&s->trace, " entries %" PRIu64 "..%" PRIu64, m->prev_index + 1, m->last_index);
		break;
	case IKADA_APPEND_REPLY:
		text_add(&s->trace, " match %" PRIu64 " verified %" PRIu64, m->match_index, m->verified_index);
		if (m->rejected)
			text_add(&s->trace, " rejects %" PRIu64 " conflict %" PRIu64 "@%" PRIu64, m->prev_index,
				 m->conflict_index, m->conflict_term);
		break;
	case IKADA_SNAPSHOT:
		text_add(&s->trace, " up to %" PRIu64 "@%" PRIu64, m->last_index, m->last_term);
		break;
	case IKADA_TIMEOUT_NOW:
		break;
	}
	text_add(&s->trace, "\n");
}

/* ---- The network ---- */

static bool star(const char *w)
{
	return strcmp(w, "*") == 0;
}

/* Is a queued message from words[at] to words[at + 1], and of the kind in words[at + 2] if there is one? */
static bool matches(struct script *s, size_t at, size_t packet)
{
	const struct ikada_message *m = &s->cores->packets[packet].m;
	return (star(s->words[at]) || cores_from(s->cores, m) == number(s, at)) &&
	       (star(s->words[at + 1]) || cores_to(s->cores, m) == number(s, at + 1)) &&
	       (s->count == at + 2 || m->kind == kind_of(s->words[at + 2]));
}

/* The first such message from place `from` on; SIZE_MAX: none. */
static size_t find(struct script *s, size_t at, size_t from)
{
	if (s->count < at + 2 || (!star(s->words[at]) && node(s, at) == NULL) ||
	    (!star(s->words[at + 1]) && node(s, at + 1) == NULL))
		return SIZE_MAX;
	while (from < s->cores->packet_count && !matches(s, at, from))
		from++;
	return from < s->cores->packet_count ? from : SIZE_MAX;
}

#endif
