/*
 * Whole nodes in the simulated world, with a trivial state machine: a list of the numbers that were proposed. What a
 * client was told must agree with what the list holds in the end, on each node and in the same order.
 *
 * VERBOSE=1 shows what the nodes log.
 */
#ifndef IKADA_TEST_NODE_WORLD_H
#define IKADA_TEST_NODE_WORLD_H

#include "base/buf.h"
#include "base/bytes.h"
#include "ikada/node.h"
#include "node/node_internal.h"
#include "sim/sim_env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS ((uint64_t)1000000)
#define S ((uint64_t)1000000000)
enum { MEMBERS_MAX = 5, CALLS_MAX = 40000, LIST_MAX = 40000, LINES_MAX = 64 };

struct world;

struct member {
	struct world *world;
	uint32_t number;
	uint64_t id;
	struct sim_host *host;
	struct ikada_node *node; /* NULL: down. */
	const char *cluster;
	uint64_t segment_bytes, queue_bytes_max, snapshot_log_bytes, checkpoint_entries;
	uint64_t list[LIST_MAX];
	uint64_t count;
	uint64_t sum;	/* Over the list: its digest. */
	uint64_t held;	/* The length of the list that is held, of which so many ... */
	uint64_t saved; /* ... were saved. */
	bool holding, loading;
	struct node_observer observer;
	uint64_t restored; /* How often the state was loaded. */
	char error[512];
};

enum fate { PENDING, ENDED, LOST /* Its node died. */ };

struct call {
	struct ikada_request request; /* First. */
	struct world *world;
	uint32_t member;
	bool read;
	uint64_t value;	   /* Of a write: its number; the larger, the later. */
	uint64_t at_least; /* Of a read: so long the list was known to be when it was issued. */
	size_t size;
	enum fate fate;
	enum ikada_outcome outcome;
	uint64_t position; /* The reply. */
};

struct world {
	struct sim *sim;
	struct member members[MEMBERS_MAX];
	uint32_t count;
	struct call calls[CALLS_MAX];
	uint32_t call_count;
	uint64_t known; /* The longest list that a done write proves. */
	uint64_t next_value;
	const char *expected_fatal; /* Part of a fatal error that is expected. */
	uint32_t fatals;
	char lines[LINES_MAX][256]; /* The warnings. */
	uint32_t line_count;
	bool verbose;
	uint64_t steps[NODE_SNAPSHOT_STEPS];
	/* The member that makes this step dies, if it may. */
	bool dies;
	enum node_snapshot_step dies_at;
	enum sim_crash dies_how;
	uint64_t deaths;
	/* The next operation of its disk fails at this step. */
	bool fails;
	enum node_snapshot_step fails_at;
};

static struct world the_world;

/* ---- The state machine ---- */

static uint64_t hash_of(uint64_t position, uint64_t value)
{
	struct rng rng = rng_seed(position * 0x9e3779b97f4a7c15u ^ value);
	return rng_next(&rng);
}

static void add(struct member *m, uint64_t value)
{
	assert_in_range(m->count, 0, LIST_MAX - 1);
	m->sum += hash_of(m->count, value);
	m->list[m->count++] = value;
}

static void apply(void *context, const struct ikada_apply *entry, struct buf *reply)
{
	struct member *m = context;
	assert_true(entry->size >= 8);
	assert_false(m->loading);
	add(m, get_le64(entry->bytes));
	assert_true(reply != NULL || entry->tag == 0);
	if (reply != NULL) {
		assert_int_equal(entry->tag, 77);
		uint8_t bytes[8];
		put_le64(bytes, m->count);
		buf_add(reply, bytes, 8);
	}
}

static void query(void *context, const uint8_t *bytes, size_t size, uint32_t tag, struct buf *reply)
{
	struct member *m = context;
	assert_int_equal(size, 8);
	assert_int_equal(get_le64(bytes), 42);
	assert_int_equal(tag, 78);
	assert_false(m->loading);
	uint8_t count[8];
	put_le64(count, m->count);
	buf_add(reply, count, 8);
}

/* What is held stays as it is: the list only grows. */
static void *hold(void *context)
{
	struct member *m = context;
	assert_false(m->holding || m->loading);
	m->holding = true;
	m->held = m->count;
	m->saved = 0;
	return &m->held;
}

static bool save(void *context, void *held, struct buf *out, size_t bytes)
{
	struct member *m = context;
	assert_true(m->holding && held == &m->held);
	for (size_t added = 0; m->saved < m->held && added < bytes; added += 8) {
		uint8_t value[8];
		put_le64(value, m->list[m->saved++]);
		buf_add(out, value, 8);
	}
	return m->saved < m->held;
}

static void release(void *context, void *held)
{
	struct member *m = context;
	assert_true(m->holding && held == &m->held);
	m->holding = false;
}

static void load_begin(void *context)
{
	struct member *m = context;
	assert_false(m->holding);
	m->count = 0;
	m->sum = 0;
	m->loading = true;
}

static bool load(void *context, const uint8_t *bytes, size_t size)
{
	struct member *m = context;
	assert_true(m->loading);
	for (size_t at = 0; at < size; at += 8)
		add(m, get_le64(bytes + at));
	return size % 8 == 0;
}

static bool load_end(void *context)
{
	struct member *m = context;
	assert_true(m->loading);
	m->loading = false;
	return true;
}

static void digest(void *context, uint8_t bytes[IKADA_DIGEST_BYTES])
{
	struct member *m = context;
	put_le64(bytes, m->sum);
	put_le64(bytes + 8, m->count);
}

/* A bit flips in memory. */
static inline void corrupt(struct member *m, uint64_t position)
{
	m->sum -= hash_of(position, m->list[position]);
	m->list[position] ^= (uint64_t)1 << 40;
	m->sum += hash_of(position, m->list[position]);
}

/* ---- Members ---- */

static void crash(struct member *m, enum sim_crash how);

static void saw_restored(void *context, uint64_t index, uint64_t term)
{
	struct member *m = context;
	(void)index;
	(void)term;
	m->restored++;
}

static void saw_step(void *context, enum node_snapshot_step step)
{
	struct member *m = context;
	struct world *w = m->world;
	w->steps[step]++;
	if (w->fails && step == w->fails_at) {
		w->fails = false;
		sim_disk_fail_next(m->host);
	}
	if (!w->dies || step != w->dies_at)
		return;
	w->dies = false;
	w->deaths++;
	crash(m, w->dies_how); /* Does not return. */
}

static void saw_step_of_core(void *context, const struct ikada_raft *raft, const struct ikada_event *event)
{
	(void)context;
	(void)raft;
	(void)event;
}

static void saw_effects(void *context, const struct ikada_raft *raft, const struct ikada_event *event,
			const struct ikada_effects *effects)
{
	(void)context;
	(void)raft;
	(void)event;
	(void)effects;
}

static void saw_message(void *context, const struct ikada_message *message)
{
	(void)context;
	(void)message;
}

static void saw_entry(void *context, const struct entry *entry)
{
	(void)context;
	(void)entry;
}

static const struct node_observer OBSERVER = {.before_step = saw_step_of_core,
					      .after_step = saw_effects,
					      .sent = saw_message,
					      .appended = saw_entry,
					      .applied = saw_entry,
					      .restored = saw_restored,
					      .snapshot_step = saw_step};

static void boot(void *context)
{
	struct member *m = context;
	char listen[32];
	snprintf(listen, sizeof listen, "n%u:6000", (unsigned)m->id);
	const struct ikada_node_settings settings = {
		.id = m->id,
		.cluster = m->cluster,
		.client_address = listen,
		.data_dir = "data/ikada",
		.segment_bytes = m->segment_bytes,
		.term_runs = 1024,
		.queue_bytes_max = m->queue_bytes_max,
		.snapshot_log_bytes = m->snapshot_log_bytes,
		.checkpoint_entries = m->checkpoint_entries,
	};
	const struct ikada_machine machine = {
		.context = m,
		.apply = apply,
		.query = query,
		.hold = hold,
		.save = save,
		.release = release,
		.load_begin = load_begin,
		.load = load,
		.load_end = load_end,
		.digest = digest,
	};
	m->count = m->sum = 0;
	m->holding = m->loading = false;
	sim_host_env(m->host)->ops->make_dir(sim_host_env(m->host), "data");
	sim_host_env(m->host)->ops->sync_dir(sim_host_env(m->host), ".");
	m->node = ikada_node_open(sim_host_env(m->host), &settings, &machine, m->error, sizeof m->error);
	m->observer = OBSERVER;
	m->observer.context = m;
	if (m->node != NULL)
		node_observe(m->node, &m->observer);
}

static void start(struct member *m)
{
	assert_null(m->node);
	m->error[0] = '\0';
	sim_host_start(m->host);
	assert_true(sim_host_run(m->host, boot, m));
	if (m->node == NULL)
		sim_host_crash(m->host, SIM_KILL);
}

static void lose_calls(struct member *m)
{
	for (uint32_t i = 0; i < m->world->call_count; i++)
		if (m->world->calls[i].member == m->number && m->world->calls[i].fate == PENDING)
			m->world->calls[i].fate = LOST;
}

static void crash(struct member *m, enum sim_crash how)
{
	if (m->node == NULL)
		return;
	m->node = NULL;
	lose_calls(m);
	sim_host_crash(m->host, how); /* From inside, it does not return. */
}

static void shut(void *context)
{
	struct member *m = context;
	ikada_node_close(m->node);
	m->node = NULL;
}

/* Closes in good order; nothing may be left. */
static inline void stop(struct member *m)
{
	assert_true(sim_host_run(m->host, shut, m));
	assert_int_equal(sim_host_stop(m->host), 0);
}

static void on_fatal(void *context, struct sim_host *host, const char *text)
{
	struct world *w = context;
	for (uint32_t i = 0; i < w->count; i++)
		if (w->members[i].host == host) {
			w->members[i].node = NULL;
			lose_calls(&w->members[i]);
		}
	w->fatals++;
	if (w->expected_fatal == NULL || strstr(text, w->expected_fatal) == NULL)
		fail_msg("%s ended: %s", sim_host_name(host), text);
}

static void on_log(void *context, struct sim_host *host, enum env_level level, const char *room, const char *text)
{
	struct world *w = context;
	if (w->verbose)
		fprintf(stderr, "%10.3f %s %s %s\n", (double)sim_now(w->sim) / 1e6, sim_host_name(host), room, text);
	if (level >= ENV_WARN && w->line_count < LINES_MAX)
		snprintf(w->lines[w->line_count++], sizeof w->lines[0], "%s %s", sim_host_name(host), text);
}

static uint32_t lines_with(const struct world *w, const char *text)
{
	uint32_t found = 0;
	for (uint32_t i = 0; i < w->line_count; i++)
		found += strstr(w->lines[i], text) != NULL;
	return found;
}

static const char *const LISTS[] = {NULL,
				    "1=n1:7000",
				    "1=n1:7000,2=n2:7000",
				    "3=n3:7000,1=n1:7000,2=n2:7000",
				    NULL,
				    "1=n1:7000,2=n2:7000,3=n3:7000,4=n4:7000,5=n5:7000"};

static struct world *make_world(uint64_t seed, uint32_t count)
{
	struct world *w = &the_world;
	memset(w, 0, sizeof *w);
	w->sim = sim_create(seed);
	const struct sim_hooks hooks = {w, on_fatal, on_log, NULL};
	sim_set_hooks(w->sim, &hooks);
	w->count = count;
	w->verbose = getenv("VERBOSE") != NULL;
	for (uint32_t i = 0; i < count; i++) {
		char name[16];
		snprintf(name, sizeof name, "n%u", (unsigned)i + 1);
		struct member *m = &w->members[i];
		m->world = w;
		m->number = i;
		m->id = i + 1;
		m->host = sim_host_create(w->sim, i + 1, name);
		m->cluster = LISTS[count];
		m->segment_bytes = 64 * 1024;
	}
	return w;
}

static void end_world(struct world *w)
{
	sim_destroy(w->sim);
}

static void run(struct world *w, uint64_t ns)
{
	sim_run_until(w->sim, sim_now(w->sim) + ns);
}

static struct ikada_node_status status_of(const struct member *m)
{
	struct ikada_node_status status;
	ikada_node_status(m->node, &status);
	return status;
}

/* The member that leads in the highest term; NULL none. */
static struct member *leader(struct world *w)
{
	struct member *found = NULL;
	uint64_t term = 0;
	for (uint32_t i = 0; i < w->count; i++) {
		if (w->members[i].node == NULL)
			continue;
		struct ikada_node_status status = status_of(&w->members[i]);
		if (status.raft.role == IKADA_LEADER && status.raft.term > term) {
			term = status.raft.term;
			found = &w->members[i];
		}
	}
	return found;
}

static struct member *await_leader(struct world *w)
{
	for (int i = 0; i < 1000; i++) {
		struct member *m = leader(w);
		if (m != NULL)
			return m;
		run(w, 10 * MS);
	}
	fail_msg("nobody leads");
	return NULL;
}

static inline struct member *other_than(struct world *w, const struct member *m)
{
	return &w->members[m->number == 0 ? 1 : 0];
}

/* ---- Calls ---- */

static void done(struct ikada_request *request, enum ikada_outcome outcome, const uint8_t *reply, size_t size)
{
	struct call *call = (struct call *)(void *)request;
	struct world *w = call->world;
	assert_int_equal(call->fate, PENDING);
	assert_null(request->under_way);
	call->fate = ENDED;
	call->outcome = outcome;
	if (outcome != IKADA_DONE)
		return;
	assert_int_equal(size, 8);
	call->position = get_le64(reply);
	if (call->read)
		assert_true(call->position >= call->at_least);
	else if (call->position > w->known)
		w->known = call->position;
}

static void issue(void *context)
{
	struct call *call = context;
	struct ikada_node *node = call->world->members[call->member].node;
	uint8_t *bytes = calloc(1, call->size);
	put_le64(bytes, call->read ? 42 : call->value);
	if (call->read)
		ikada_node_read(node, &call->request, bytes, call->size, 78);
	else
		ikada_node_propose(node, &call->request, bytes, call->size, 77);
	free(bytes);
	assert_int_equal(call->fate, PENDING); /* No callback inside a call. */
}

static struct call *submit_sized(struct member *m, bool read, size_t size)
{
	struct world *w = m->world;
	assert_in_range(w->call_count, 0, CALLS_MAX - 1);
	struct call *call = &w->calls[w->call_count++];
	*call = (struct call){.request.done = done, .world = w, .member = m->number, .read = read, .size = size};
	call->at_least = w->known;
	if (!read)
		call->value = ++w->next_value;
	assert_true(sim_host_run(m->host, issue, call));
	return call;
}

static struct call *submit(struct member *m, bool read)
{
	return submit_sized(m, read, 8);
}

static void expect(struct call *call, enum ikada_outcome outcome)
{
	for (int i = 0; i < 1000 && call->fate == PENDING; i++)
		run(call->world, 10 * MS);
	assert_int_equal(call->fate, ENDED);
	assert_int_equal(call->outcome, outcome);
}

/* ---- The verdict ---- */

static uint32_t times_in(const struct member *m, uint64_t value, uint64_t *at)
{
	uint32_t times = 0;
	for (uint64_t i = 0; i < m->count; i++)
		if (m->list[i] == value) {
			times++;
			*at = i;
		}
	return times;
}

/* All members are up and have applied everything: what was told to clients is what happened. */
static inline void judge(struct world *w)
{
	const struct member *first = &w->members[0];
	for (uint32_t i = 1; i < w->count; i++) {
		assert_int_equal(w->members[i].count, first->count);
		assert_memory_equal(w->members[i].list, first->list, first->count * sizeof first->list[0]);
	}
	uint64_t last_at[MEMBERS_MAX] = {0};
	bool any[MEMBERS_MAX] = {false};
	for (uint32_t i = 0; i < w->call_count; i++) {
		const struct call *call = &w->calls[i];
		if (call->read)
			continue;
		uint64_t at = 0;
		uint32_t times = times_in(first, call->value, &at);
		assert_in_range(times, 0, 1);
		if (call->fate == ENDED && call->outcome == IKADA_DONE) {
			assert_int_equal(times, 1);
			assert_int_equal(call->position, at + 1);
		} else if (call->fate == ENDED && call->outcome != IKADA_UNKNOWN) {
			assert_int_equal(times, 0);
		}
		assert_int_not_equal(call->fate, PENDING);
		if (times == 0)
			continue;
		/* What one node took, in the order in which it took it. */
		if (any[call->member])
			assert_true(at > last_at[call->member]);
		any[call->member] = true;
		last_at[call->member] = at;
	}
}

/* ---- Changes of members ---- */

struct change {
	struct member *m;
	enum ikada_member_action action;
	uint64_t id;
	const char *address;
	bool taken;
	char error[512];
};

static inline void ask_for_change(void *context)
{
	struct change *c = context;
	c->taken = ikada_node_change(c->m->node, c->action, c->id, c->address, c->error, sizeof c->error);
}

/* What this member says to it. */
static inline struct change asked(struct member *m, enum ikada_member_action action, uint64_t id, const char *address)
{
	struct change c = {.m = m, .action = action, .id = id, .address = address};
	assert_true(sim_host_run(m->host, ask_for_change, &c));
	return c;
}

#endif
