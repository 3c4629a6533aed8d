/* What a script may expect. Part of test_script.c. */
#ifndef IKADA_TEST_SCRIPT_EXPECT_H
#define IKADA_TEST_SCRIPT_EXPECT_H

#include "script_state.h"

static bool same(struct script *s, const char *what, uint64_t found, size_t at)
{
	uint64_t wanted = number(s, at);
	return found == wanted || fail(s, "%s is %" PRIu64, what, found);
}

static bool expect_log(struct script *s, const struct core *core, bool values)
{
	struct text found = {0};
	bool equal = core->log.count == s->count - 3;
	for (uint64_t i = 0; i < core->log.count; i++) {
		const struct core_entry *entry = &core->log.entries[i];
		bool config = cores_config(s->cores, entry) != NULL;
		if (!values)
			text_add(&found, " %" PRIu64, entry->term);
		else
			text_add(&found, " %s",
				 entry->value == 0		  ? "-"
				 : config			  ? "config"
				 : entry->value <= s->value_count ? s->values[entry->value - 1]
								  : "?");
		if (!equal)
			continue;
		const char *wanted = s->words[3 + i];
		if (!values)
			equal = entry->term == number(s, 3 + i);
		else if (config)
			equal = strcmp(wanted, "config") == 0;
		else
			equal = entry->value == value_of(s, wanted, false);
	}
	if (!equal)
		fail(s, "the log is%s", found.size == 0 ? " empty" : found.bytes);
	free(found.bytes);
	return equal;
}

static bool expect_peer(struct script *s, const char *what)
{
	struct core *core = node(s, 2);
	struct core *other = node(s, 3);
	if (core == NULL || other == NULL || core->status.role != IKADA_LEADER)
		return fail(s, "only a leader knows that");
	for (uint32_t i = 0; i < core->status.peer_count; i++) {
		if (core->status.peers[i].id != other->id || core->status.peers[i].incarnation != other->incarnation)
			continue;
		if (strcmp(what, "match") == 0)
			return same(s, "match", core->status.peers[i].match_index, 4);
		if (strcmp(what, "next") == 0)
			return same(s, "next", core->status.peers[i].next_index, 4);
		if (strcmp(what, "forgot") == 0 || strcmp(what, "trusted") == 0)
			return core->status.peers[i].forgot == (*what == 'f') || fail(s, "it is not %s", what);
		bool probing = core->status.peers[i].probing;
		bool snapshot = core->status.peers[i].snapshot;
		const char *is = probing ? "probing" : snapshot ? "snapshot" : "streaming";
		return strcmp(is, what) == 0 || fail(s, "it is %s", is);
	}
	return fail(s, "a leader is not its own peer");
}

/* expect message A B KIND [granted|refused] [FIELD VALUE]...: the first one queued. */
static bool expect_message(struct script *s)
{
	size_t at = find(s, 2, 0);
	if (kind_of(word(s, 4)) == 0 || at == SIZE_MAX)
		return fail(s, "there is no such message");
	struct ikada_message m = s->cores->packets[at].m;
	for (size_t i = 5; i < s->count;) {
		const char *w = s->words[i];
		uint64_t *f = field(&m, w);
		bool flag = strcmp(w, "rejected") == 0	 ? m.rejected
			    : strcmp(w, "granted") == 0	 ? m.granted
			    : strcmp(w, "transfer") == 0 ? m.transfer
							 : !m.granted;
		if (strcmp(w, "rejected") == 0 || strcmp(w, "granted") == 0 || strcmp(w, "refused") == 0 ||
		    strcmp(w, "transfer") == 0) {
			if (!flag)
				return fail(s, "it is not %s", w);
			i++;
		} else if (f == NULL) {
			return fail(s, "a message has no field \"%s\"", w);
		} else {
			if (!same(s, w, *f, i + 1))
				return false;
			i += 2;
		}
	}
	return true;
}

/* expect queue A B KINDS...: exactly these, in this order; none: no message. */
static bool expect_queue(struct script *s)
{
	size_t count = s->count;
	bool equal = true;
	struct text found = {0};
	size_t wanted = count == 5 && strcmp(s->words[4], "none") == 0 ? 5 : 4;
	s->count = 4; /* The kinds are not a pattern. */
	for (size_t at = find(s, 2, 0); at != SIZE_MAX; at = find(s, 2, at + 1)) {
		const char *kind = kind_names[s->cores->packets[at].m.kind];
		text_add(&found, " %s", kind);
		equal &= wanted < count && strcmp(s->words[wanted], kind) == 0;
		wanted++;
	}
	s->count = count;
	if (!equal || wanted != count)
		fail(s, "queued:%s", found.size == 0 ? " nothing" : found.bytes);
	free(found.bytes);
	return s->error[0] == 0;
}

static bool expect_read(struct script *s)
{
	for (size_t i = s->read_count; i > 0; i--) {
		const struct named_read *read = &s->reads[i - 1];
		if (strcmp(read->name, word(s, 2)) != 0)
			continue;
		uint64_t index = s->cores->core[read->node].read_index[read->id];
		if (strcmp(word(s, 3), "waits") == 0)
			return index == CORES_READ_WAITS || fail(s, "it is answered");
		if (strcmp(word(s, 3), "refused") == 0)
			return index == CORES_READ_REFUSED || fail(s, "it is not refused");
		if (index == CORES_READ_WAITS || index == CORES_READ_REFUSED)
			return fail(s, "it %s", index == CORES_READ_WAITS ? "waits" : "is refused");
		return same(s, "the index", index, 4);
	}
	return fail(s, "nobody asked for \"%s\"", word(s, 2));
}

/* expect change accepted, or refused WHY: the last one that was asked for. */
static bool expect_change(struct script *s)
{
	static const char *const names[] = {"accepted", "not_leader", "busy", "invalid", "unchanged"};
	enum ikada_refusal why = s->cores->change_refused;
	const char *wanted = strcmp(word(s, 2), "refused") == 0 ? word(s, 3) : word(s, 2);
	return strcmp(names[why], wanted) == 0 || fail(s, "it is: %s", names[why]);
}

static bool expect_config(struct script *s, const struct core *core)
{
	struct ikada_config wanted = members(s, 3);
	struct text found = {0};
	bool equal = same_config(&wanted, &core->status.config);
	put_config(s, &core->status.config, &found);
	if (!equal)
		fail(s, "the members are%s", found.size == 0 ? " nobody" : found.bytes);
	free(found.bytes);
	return equal;
}

static bool expect_refused(struct script *s)
{
	uint64_t value = value_of(s, word(s, 2), false);
	for (uint64_t i = 0; i < s->cores->refused.count; i++)
		if (s->cores->refused.entries[i].value == value)
			return true;
	return fail(s, "it was not refused");
}

static bool do_expect(struct script *s)
{
	const char *what = word(s, 1);
	if (strcmp(what, "quiet") == 0)
		return s->cores->packet_count == 0 || fail(s, "%zu messages are queued", s->cores->packet_count);
	if (strcmp(what, "queue") == 0)
		return expect_queue(s);
	if (strcmp(what, "message") == 0)
		return expect_message(s);
	if (strcmp(what, "read") == 0)
		return expect_read(s);
	if (strcmp(what, "refused") == 0)
		return expect_refused(s);
	if (strcmp(what, "change") == 0)
		return expect_change(s);
	if (strcmp(what, "match") == 0 || strcmp(what, "next") == 0 || strcmp(what, "probing") == 0 ||
	    strcmp(what, "streaming") == 0 || strcmp(what, "snapshot") == 0 || strcmp(what, "forgot") == 0 ||
	    strcmp(what, "trusted") == 0)
		return expect_peer(s, what);
	struct core *core = node(s, 2);
	if (core == NULL)
		return false;
	const struct ikada_raft_status *status = &core->status;
	if (strcmp(what, "role") == 0)
		return strcmp(role_names[status->role], word(s, 3)) == 0 ||
		       fail(s, "the role is %s", role_names[status->role]);
	if (strcmp(what, "log") == 0 || strcmp(what, "values") == 0)
		return expect_log(s, core, *what == 'v');
	if (strcmp(what, "config") == 0)
		return expect_config(s, core);
	if (strcmp(what, "base") == 0)
		return same(s, what, status->base_index, 3);
	if (strcmp(what, "arrived") == 0)
		return same(s, what, core->arrived.m.last_index, 3);
	if (strcmp(what, "transfer") == 0)
		return same(s, what, status->transfer_to, 3);
	if (strcmp(what, "term") == 0)
		return same(s, what, status->term, 3);
	if (strcmp(what, "vote") == 0)
		return same(s, what, status->vote, 3);
	if (strcmp(what, "leader") == 0)
		return same(s, what, status->leader, 3);
	if (strcmp(what, "commit") == 0)
		return same(s, what, status->commit, 3);
	if (strcmp(what, "durable") == 0)
		return same(s, what, status->durable_index, 3);
	return fail(s, "there is nothing called \"%s\" to expect", what);
}

#endif
