/*
 * Runs the protocol stories of test/scripts over cores in memory. test/scripts/README.md describes their language.
 *
 * The runner adds nothing to the protocol: a command is one event of one core, or moves a message, the time or a disk.
 * After each step raft_check and the cluster-wide rules of raft_cores.h hold, whatever the script expects.
 *
 * Arguments: files; without, all of test/scripts/ *.script. With --rewrite before them, writes the traces anew into
 * scripts that otherwise pass; it never touches an `expect`.
 */
#include "script_expect.h"

#include <dirent.h>

/* ---- The network ---- */

/* Snapshots that arrived are installed, and when they are durable those who sent them are told. */
static bool receive_files(struct script *s)
{
	bool any = false;
	for (uint64_t id = 1; id <= s->cores->count; id++) {
		struct core *core = &s->cores->core[id];
		any |= core->arrived.m.last_index > 0;
		cores_install(s->cores, id);
		for (uint64_t to = 1; to <= s->cores->count; to++) {
			uint64_t index = core->streams[to];
			if (index == 0 || index > s->cores->core[to].disk_base)
				continue;
			any = true;
			cores_end_stream(s->cores, id, to);
		}
	}
	return any;
}

/* Lost links lose what is on them; disks that need no order have written. */
static void settle(struct script *s)
{
	struct cores *cores = s->cores;
	for (bool again = true; again && s->auto_durable;) {
		again = receive_files(s);
		for (uint64_t id = 1; id <= cores->count; id++) {
			again |= cores->core[id].up && cores->core[id].write_count > 0;
			cores_durable(cores, id, SIZE_MAX);
		}
		again &= cores->broken[0] == 0;
	}
	for (size_t i = cores->packet_count; i > 0; i--) {
		const struct ikada_message *m = &cores->packets[i - 1].m;
		if (s->cut[cores_from(cores, m)][cores_to(cores, m)])
			cores_drop(cores, i - 1);
	}
}

static bool deliver_all(struct script *s)
{
	for (uint32_t n = 0; s->cores->packet_count > 0 && s->cores->broken[0] == 0; n++) {
		if (n == DELIVERIES_MAX)
			return fail(s, "the network does not come to rest");
		cores_deliver(s->cores, 0);
		settle(s);
	}
	return true;
}

enum handling { DELIVER, DROP, DUPLICATE };

static bool handle(struct script *s, enum handling handling)
{
	if (s->count == 2 && strcmp(s->words[1], "all") == 0) {
		if (handling == DELIVER)
			return deliver_all(s);
		while (handling == DROP && s->cores->packet_count > 0)
			cores_drop(s->cores, 0);
		return true;
	}
	if (s->count > 3 && kind_of(s->words[3]) == 0)
		return fail(s, "there is no kind of message \"%s\"", s->words[3]);
	size_t at = find(s, 1, 0);
	if (at == SIZE_MAX)
		return fail(s, "there is no such message");
	if (handling == DUPLICATE) {
		struct core_packet packet = s->cores->packets[at];
		cores_hand(s->cores, &packet);
		return true;
	}
	/* With a star: all that are queued now, not what they bring about, which queues behind them. */
	size_t old = star(s->words[1]) || star(s->words[2]) ? s->cores->packet_count : at + 1;
	while (at < old) {
		if (!matches(s, 1, at)) {
			at++;
			continue;
		}
		if (handling == DROP)
			cores_drop(s->cores, at);
		else
			cores_deliver(s->cores, at);
		old--;
	}
	return true;
}

/* ---- Commands ---- */

static void free_cores(struct script *s)
{
	if (s->cores == NULL)
		return;
	cores_free(s->cores);
	free(s->cores);
	s->cores = NULL;
}

static uint64_t prefix(struct cores *cores, uint64_t entries)
{
	const struct script *s = cores->watcher;
	return s->batch == 0 || entries < s->batch ? entries : s->batch;
}

/* nodes N [down]: a cluster, in place of the one before. */
static bool do_nodes(struct script *s)
{
	uint64_t count = number(s, 1);
	bool down = s->count > 2 && strcmp(s->words[2], "down") == 0;
	if (count == 0 || count > IKADA_VOTERS_MAX || s->count > (down ? 3 : 2))
		return fail(s, "`nodes N`, 1 to %d, or `nodes N down`", IKADA_VOTERS_MAX);
	free_cores(s);
	memset(s->cut, 0, sizeof s->cut);
	s->auto_durable = false;
	s->batch = 0;
	s->value_count = s->read_count = 0;
	s->cores = malloc(sizeof *s->cores);
	cores_init(s->cores, (uint32_t)count, 1);
	s->cores->prefix = prefix;
	s->cores->watch = watch;
	s->cores->watcher = s;
	s->cores->settings = (struct ikada_settings){
		.heartbeat_ns = 100, .election_min_ns = 1000, .election_max_ns = 1000, .hint_delay_ns = 10};
	cores_make(s->cores);
	for (uint64_t id = 1; id <= count && !down; id++)
		cores_boot(s->cores, id);
	return true;
}

static bool do_batch(struct script *s)
{
	s->batch = number(s, 1);
	return true;
}

static bool do_auto(struct script *s)
{
	s->auto_durable = strcmp(word(s, 1), "durable") == 0;
	return s->auto_durable || fail(s, "only `auto durable` exists");
}

static bool do_manual(struct script *s)
{
	s->auto_durable = false;
	return strcmp(word(s, 1), "durable") == 0 || fail(s, "only `manual durable` exists");
}

/* Entry `index` of a disk is this configuration. */
static bool set_config(struct script *s, struct core *core, uint64_t index, struct ikada_config config)
{
	if (index == 0 || index > core->disk.count)
		return fail(s, "there is no entry %" PRIu64, index);
	config.index = index;
	for (size_t i = 0; i < s->cores->config_count; i++) {
		const struct ikada_config *known = &s->cores->configs[i];
		if (known->index == index && same_config(known, &config)) {
			core->disk.entries[index - 1].value = CORES_CONFIG | i;
			return true;
		}
	}
	core->disk.entries[index - 1].value = cores_keep_config(s->cores, &config);
	return true;
}

/* disk A term T [vote V] [commit C] [base B] log TERMS... [config I MEMBERS...]: what a node that is down will find. */
static bool do_disk(struct script *s)
{
	struct core *core = node(s, 1);
	if (core == NULL || core->up)
		return fail(s, "only the disk of a node that is down can be set");
	core->disk.count = 0;
	for (size_t at = 2; at < s->count; at += 2) {
		if (strcmp(s->words[at], "term") == 0) {
			core->disk_term = number(s, at + 1);
		} else if (strcmp(s->words[at], "vote") == 0) {
			core->disk_vote = number(s, at + 1);
			core->disk_vote_incarnation = core->disk_vote == 0 ? 0 : cores_incarnation(core->disk_vote);
		} else if (strcmp(s->words[at], "commit") == 0) {
			core->disk_commit = number(s, at + 1);
		} else if (strcmp(s->words[at], "base") == 0) {
			core->disk_base = number(s, at + 1);
		} else if (strcmp(s->words[at], "config") == 0) {
			return set_config(s, core, number(s, at + 1), members(s, at + 2));
		} else if (strcmp(s->words[at], "log") == 0) {
			/* Entries of one index and term are one entry. */
			for (at++; at < s->count && strcmp(s->words[at], "config") != 0; at++)
				core_log_add(&core->disk, number(s, at), 1000000 * number(s, at) + core->disk.count);
			at -= 2;
		} else {
			return fail(s, "a disk has no \"%s\"", s->words[at]);
		}
	}
	return true;
}

static bool do_timeout(struct script *s)
{
	struct core *core = node(s, 1);
	if (core == NULL || !core->up)
		return fail(s, "the node is down");
	uint64_t wait = s->cores->settings.election_max_ns;
	if (core->status.role != IKADA_LEADER)
		wait = core->raft->election_ns > core->raft->awake_ns ? core->raft->election_ns - core->raft->awake_ns
								      : 0;
	uint64_t until = core->raft->raw_ns + wait;
	if (until > s->cores->raw_ns)
		s->cores->raw_ns = until;
	cores_tick(s->cores, number(s, 1));
	return true;
}

/* spread N: patience is drawn from 1000 to 1000 + N, by nodes that start from now on. */
static bool do_spread(struct script *s)
{
	s->cores->settings.election_max_ns = s->cores->settings.election_min_ns + number(s, 1);
	return true;
}

/* next: time passes until somebody has something to do; all who have, look at the clock. */
static bool do_next(struct script *s)
{
	uint64_t due = UINT64_MAX;
	for (uint64_t at = 1; at <= s->cores->count; at++) {
		const struct core *core = &s->cores->core[at];
		if (core->up && ikada_raft_deadline(core->raft) < due)
			due = ikada_raft_deadline(core->raft);
	}
	if (due == UINT64_MAX)
		return fail(s, "nobody has anything to do");
	if (due > s->cores->raw_ns)
		s->cores->raw_ns = due;
	for (uint64_t at = 1; at <= s->cores->count; at++)
		if (s->cores->core[at].up && ikada_raft_deadline(s->cores->core[at].raft) <= s->cores->raw_ns)
			cores_tick(s->cores, at);
	return true;
}

static bool do_beat(struct script *s)
{
	struct core *core = node(s, 1);
	if (core == NULL || !core->up || core->status.role != IKADA_LEADER)
		return fail(s, "only a leader has heartbeats");
	if (core->raft->beat_ns > s->cores->raw_ns)
		s->cores->raw_ns = core->raft->beat_ns;
	cores_tick(s->cores, number(s, 1));
	return true;
}

static bool do_elapse(struct script *s)
{
	s->cores->raw_ns += number(s, 1);
	return true;
}

/* stall A N: time passes in which A (or everybody) does not run, and knows it. */
static bool do_stall(struct script *s)
{
	bool all = strcmp(word(s, 1), "*") == 0;
	if (!all && node(s, 1) == NULL)
		return false;
	for (uint64_t at = 1; at <= s->cores->count; at++)
		if (all || at == number(s, 1))
			s->cores->core[at].lag_ns += number(s, 2);
	s->cores->raw_ns += number(s, 2);
	return true;
}

static bool do_tick(struct script *s)
{
	if (node(s, 1) != NULL)
		cores_tick(s->cores, number(s, 1));
	return true;
}

static bool do_deliver(struct script *s)
{
	return handle(s, DELIVER);
}

static bool do_drop(struct script *s)
{
	return handle(s, DROP);
}

static bool do_duplicate(struct script *s)
{
	return handle(s, DUPLICATE);
}

/* cut A [B]: the links of A, or the link between A and B. */
static bool set_cut(struct script *s, bool cut)
{
	if (node(s, 1) == NULL || (s->count > 2 && node(s, 2) == NULL))
		return false;
	uint64_t a = number(s, 1);
	for (uint64_t b = 1; b <= s->cores->count; b++)
		if (s->count == 2 || b == number(s, 2))
			s->cut[a][b] = s->cut[b][a] = cut;
	return true;
}

static bool do_cut(struct script *s)
{
	return set_cut(s, true);
}

static bool do_heal(struct script *s)
{
	if (s->count > 1)
		return set_cut(s, false);
	memset(s->cut, 0, sizeof s->cut);
	return true;
}

static bool do_lost(struct script *s)
{
	if (node(s, 1) != NULL && node(s, 2) != NULL)
		cores_peer_lost(s->cores, number(s, 1), number(s, 2));
	return true;
}

static bool do_propose(struct script *s)
{
	if (node(s, 1) == NULL)
		return false;
	for (size_t i = 2; i < s->count; i++)
		cores_propose(s->cores, number(s, 1), value_of(s, s->words[i], true), 1);
	return s->count > 2 || fail(s, "nothing is proposed");
}

static bool do_read(struct script *s)
{
	struct core *core = node(s, 1);
	if (core == NULL || s->read_count == VALUES_MAX)
		return false;
	struct named_read *read = &s->reads[s->read_count++];
	snprintf(read->name, sizeof read->name, "%s", word(s, 2));
	read->node = number(s, 1);
	read->id = core->reads;
	cores_read(s->cores, read->node, 1);
	return true;
}

static bool do_durable(struct script *s)
{
	struct core *core = node(s, 1);
	if (core == NULL || core->write_count == 0)
		return fail(s, "nothing waits for that disk");
	cores_durable(s->cores, number(s, 1), s->count > 2 ? number(s, 2) : SIZE_MAX);
	return true;
}

static bool do_crash(struct script *s)
{
	struct core *core = node(s, 1);
	if (core == NULL || !core->up)
		return fail(s, "the node is down");
	cores_crash(s->cores, number(s, 1), s->count > 2 ? number(s, 2) : 0);
	return true;
}

static bool do_restart(struct script *s)
{
	struct core *core = node(s, 1);
	if (core == NULL || core->up || core->gone)
		return fail(s, "the node is up, or has lost its disk");
	cores_boot(s->cores, number(s, 1));
	return true;
}

/* spawn N [as ID]: one more node, with an empty disk. */
static bool do_spawn(struct script *s)
{
	uint64_t n = number(s, 1);
	uint64_t id = s->count > 2 && strcmp(s->words[2], "as") == 0 ? number(s, 3) : n;
	if (n != s->cores->count + 1 || id == 0 || cores_spawn(s->cores, id) == 0)
		return fail(s, "the next node is %" PRIu32, s->cores->count + 1);
	cores_boot(s->cores, n);
	return true;
}

static bool do_wipe(struct script *s)
{
	struct core *core = node(s, 1);
	if (core == NULL)
		return false;
	if (core->up)
		cores_crash(s->cores, number(s, 1), 0);
	core->gone = true;
	return true;
}

static bool do_priority(struct script *s)
{
	struct core *core = node(s, 1);
	if (core == NULL || core->up)
		return fail(s, "a node has its priority from its start on");
	core->priority = (uint32_t)number(s, 2);
	return true;
}

/* forget A N: the disk of A, which is down, never wrote what it said it had, behind entry N. */
static bool do_forget(struct script *s)
{
	struct core *core = node(s, 1);
	uint64_t last = number(s, 2);
	if (core == NULL || core->up || last < core->disk_base || last > core->disk.count)
		return fail(s, "only a node that is down can lose what its log has");
	core->disk.count = last;
	if (core->disk_commit > last)
		core->disk_commit = last;
	return true;
}

/* limit N: entries that a leader holds beyond its commit index; of nodes that start from now on. */
static bool do_limit(struct script *s)
{
	s->cores->limits.uncommitted_entries = number(s, 1);
	return true;
}

static bool do_compact(struct script *s)
{
	struct core *core = node(s, 1);
	if (core == NULL || number(s, 2) > core->status.commit)
		return fail(s, "what is not committed is in no snapshot");
	cores_compact(s->cores, number(s, 1), number(s, 2));
	return true;
}

static bool do_install(struct script *s)
{
	struct core *core = node(s, 1);
	if (core == NULL || core->arrived.m.last_index == 0)
		return fail(s, "no snapshot has arrived there");
	cores_install(s->cores, number(s, 1));
	return true;
}

/* ended A B: the stream of a snapshot from A to B has ended. */
static bool do_ended(struct script *s)
{
	struct core *core = node(s, 1);
	if (core == NULL || node(s, 2) == NULL || core->streams[number(s, 2)] == 0)
		return fail(s, "there is no such stream");
	cores_end_stream(s->cores, number(s, 1), number(s, 2));
	return true;
}

static bool do_change(struct script *s)
{
	struct ikada_config wanted = members(s, 2);
	if (node(s, 1) == NULL || s->error[0] != 0)
		return false;
	cores_change(s->cores, number(s, 1), &wanted);
	return true;
}

/* transfer A [B]: within 1000. */
static bool do_transfer(struct script *s)
{
	if (node(s, 1) == NULL || (s->count > 2 && node(s, 2) == NULL))
		return false;
	cores_transfer(s->cores, number(s, 1), s->count > 2 ? number(s, 2) : 0, 1000);
	return true;
}

static bool do_halt(struct script *s)
{
	bool on = strcmp(word(s, 2), "on") == 0;
	if (node(s, 1) == NULL || (!on && strcmp(word(s, 2), "off") != 0))
		return fail(s, "`halt A on` or `halt A off`");
	cores_halt(s->cores, number(s, 1), on);
	return true;
}

/* inject KIND A B FIELD VALUE... [granted] [rejected] [entries TERMS...]: a message that nobody sent. */
static bool do_inject(struct script *s)
{
	struct core_packet packet = {.m.kind = kind_of(word(s, 1))};
	const struct core *from = node(s, 2);
	const struct core *to = node(s, 3);
	if (packet.m.kind == 0 || from == NULL || to == NULL)
		return fail(s, "there is no such message");
	packet.m.from = from->id;
	packet.m.from_incarnation = from->incarnation;
	packet.m.to = to->id;
	packet.m.to_incarnation = to->incarnation;
	for (size_t at = 4; at < s->count;) {
		uint64_t *f = field(&packet.m, s->words[at]);
		if (strcmp(s->words[at], "granted") == 0) {
			packet.m.granted = true;
			at++;
		} else if (strcmp(s->words[at], "rejected") == 0) {
			packet.m.rejected = true;
			at++;
		} else if (strcmp(s->words[at], "transfer") == 0) {
			packet.m.transfer = true;
			at++;
		} else if (strcmp(s->words[at], "entries") == 0) {
			for (at++; at < s->count; at++)
				core_log_add(&packet.entries, number(s, at),
					     1000000 * number(s, at) + packet.m.prev_index + packet.entries.count);
			packet.m.last_index = packet.m.prev_index + packet.entries.count;
		} else if (f != NULL) {
			*f = number(s, at + 1);
			at += 2;
		} else {
			return fail(s, "a message has no field \"%s\"", s->words[at]);
		}
	}
	if (packet.m.kind == IKADA_APPEND && packet.entries.count == 0)
		packet.m.last_index = packet.m.prev_index;
	CORES_ROOM(s->cores->packets, s->cores->packet_count, s->cores->packet_room);
	s->cores->packets[s->cores->packet_count++] = packet;
	return true;
}

static bool do_trace(struct script *s)
{
	s->tracing = strcmp(word(s, 1), "on") == 0;
	return s->tracing || strcmp(word(s, 1), "off") == 0 || fail(s, "`trace on` or `trace off`");
}

/* ---- Files ---- */

struct command {
	const char *name;
	bool (*run)(struct script *s);
};

static const struct command commands[] = {
	{"nodes", do_nodes},	   {"auto", do_auto},	    {"manual", do_manual},	 {"disk", do_disk},
	{"timeout", do_timeout},   {"beat", do_beat},	    {"elapse", do_elapse},	 {"tick", do_tick},
	{"deliver", do_deliver},   {"drop", do_drop},	    {"duplicate", do_duplicate}, {"cut", do_cut},
	{"heal", do_heal},	   {"lost", do_lost},	    {"propose", do_propose},	 {"read", do_read},
	{"durable", do_durable},   {"crash", do_crash},	    {"restart", do_restart},	 {"inject", do_inject},
	{"trace", do_trace},	   {"batch", do_batch},	    {"expect", do_expect},	 {"spawn", do_spawn},
	{"wipe", do_wipe},	   {"compact", do_compact}, {"install", do_install},	 {"ended", do_ended},
	{"limit", do_limit},	   {"spread", do_spread},   {"next", do_next},		 {"change", do_change},
	{"transfer", do_transfer}, {"halt", do_halt},	    {"priority", do_priority},	 {"stall", do_stall},
	{"forget", do_forget},
};

static bool run_command(struct script *s, char *line)
{
	s->count = 0;
	for (char *w = strtok(line, " \t"); w != NULL; w = strtok(NULL, " \t")) {
		if (s->count == WORDS_MAX)
			return fail(s, "more than %d words", WORDS_MAX);
		s->words[s->count++] = w;
	}
	if (s->count == 0)
		return true;
	if (s->cores == NULL && strcmp(s->words[0], "nodes") != 0)
		return fail(s, "the first command is `nodes`");
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		if (strcmp(commands[i].name, s->words[0]) != 0)
			continue;
		bool ok = commands[i].run(s);
		if (ok && commands[i].run != do_expect)
			settle(s);
		if (s->cores != NULL && s->cores->broken[0] != 0)
			return fail(s, "%s", s->cores->broken);
		return (ok && s->error[0] == 0) || fail(s, "the command failed");
	}
	return fail(s, "there is no command \"%s\"", s->words[0]);
}

/* Compares the trace of the last command with the lines that stand below it, which end at `lines`. */
static bool end_trace(struct script *s, const struct text *lines, bool rewrite)
{
	bool equal = lines->size == s->trace.size &&
		     (lines->size == 0 || memcmp(lines->bytes, s->trace.bytes, lines->size) == 0);
	if (!equal && !rewrite)
		fail(s, "the trace of the command above is\n%s", s->trace.size == 0 ? "| (nothing)" : s->trace.bytes);
	if (s->trace.size > 0)
		text_add(&s->written, "%s", s->trace.bytes);
	s->trace.size = 0;
	return equal || rewrite;
}

static bool run_lines(struct script *s, FILE *file, bool rewrite)
{
	char line[LINE_MAX_BYTES];
	struct text lines = {0};
	bool prose = false;
	bool ok = true;
	while (ok && fgets(line, sizeof line, file) != NULL) {
		s->line++;
		if (line[0] == '|') {
			text_add(&lines, "%s", line);
			continue;
		}
		ok = end_trace(s, &lines, rewrite);
		lines.size = 0;
		text_add(&s->written, "%s", line);
		line[strcspn(line, "\n")] = 0;
		if (line[0] == '#') {
			prose |= s->cores == NULL;
			continue;
		}
		if (ok && line[strspn(line, " \t")] != 0 && !prose)
			ok = fail(s, "a script opens with a paragraph of prose");
		ok = ok && run_command(s, line);
	}
	if (ok) {
		s->line++;
		ok = end_trace(s, &lines, rewrite);
	}
	free(lines.bytes);
	return ok && (s->cores != NULL || fail(s, "the script does nothing"));
}

static bool run_file(const char *path, bool rewrite)
{
	struct script *s = calloc(1, sizeof *s);
	s->path = path;
	FILE *file = fopen(path, "r");
	bool ok = file != NULL ? run_lines(s, file, rewrite) : fail(s, "cannot be opened");
	if (file != NULL)
		fclose(file);
	if (!ok)
		printf("%s:%" PRIu32 ": %s\n", path, s->line, s->error);
	if (ok && rewrite) {
		file = fopen(path, "w");
		ok = file != NULL && fwrite(s->written.bytes, 1, s->written.size, file) == s->written.size &&
		     fclose(file) == 0;
	}
	free_cores(s);
	free(s->trace.bytes);
	free(s->written.bytes);
	free(s);
	return ok;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All scripts of the directory, in the order of their names. */
static size_t list(const char *directory, char **paths, size_t room)
{
	size_t count = 0;
	DIR *dir = opendir(directory);
	for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
		size_t size = strlen(entry->d_name);
		if (size < 8 || strcmp(entry->d_name + size - 7, ".script") != 0 || count == room)
			continue;
		paths[count] = malloc(strlen(directory) + size + 2);
		sprintf(paths[count++], "%s/%s", directory, entry->d_name);
	}
	if (dir != NULL)
		closedir(dir);
	qsort(paths, count, sizeof *paths, by_name);
	return count;
}

int main(int argc, char **argv)
{
	bool rewrite = argc > 1 && strcmp(argv[1], "--rewrite") == 0;
	int files = rewrite ? 2 : 1; /* Where they begin. */
	char *paths[1000];
	size_t count = argc > files ? 0 : list("test/scripts", paths, 1000);
	size_t listed = count;
	uint32_t passed = 0;
	for (int i = files; i < argc && count < 1000; i++)
		paths[count++] = argv[i];
	for (size_t i = 0; i < count; i++)
		passed += run_file(paths[i], rewrite);
	for (size_t i = 0; i < listed; i++)
		free(paths[i]);
	printf("test: %" PRIu32 " passed, %zu failed, 0 skipped\n", passed, count - passed);
	return count > 0 && passed == count ? 0 : 1;
}
