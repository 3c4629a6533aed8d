/*
 * Faults: see faults.h. Each kind that a seed takes has a clock of its own; each fault ends by a second event, which
 * may come when others, or faults_end, have ended it already, and then does nothing.
 */
#include "sim/faults.h"

#include "base/check.h"
#include "base/list.h"

#include <inttypes.h>
#include <string.h>

#define NS_PER_MS ((uint64_t)1000000)
#define NS_PER_S ((uint64_t)1000000000)

struct kind {
	struct faults *faults;
	enum fault_kind kind;
	bool on;
	uint64_t every_ns; /* On average. */
	uint64_t count;
};

/* The end of a fault. */
struct end {
	struct list at; /* In faults->ends. */
	struct faults *faults;
	void (*fn)(struct end *end);
	struct member *member;
	struct sim_host *from, *to;
};

struct faults {
	struct cluster *cluster;
	struct clients *clients;
	struct sim *sim;
	struct mem *mem;
	struct rng rng;
	struct kind kinds[FAULT_KINDS];
	struct list ends;
	bool over;
	uint64_t hurry;	      /* All times between faults, and all that they last, are shorter by this factor. */
	struct sim_link link; /* As without faults. */
	struct sim_host_settings host[RULES_NODES_MAX]; /* Likewise. */
	uint64_t points_left[RULES_NODES_MAX];		/* Until FAULT_POINT strikes; 0: it does not. */
	bool error_pending[RULES_NODES_MAX];		/* The excuse of FAULT_DISK_ERROR. */
	uint32_t steps_left[RULES_NODES_MAX];		/* Bits of the steps at which FAULT_SNAPSHOT strikes. */
	uint64_t deaths[NODE_SNAPSHOT_STEPS];
	bool flipped;
};

const char *fault_name(enum fault_kind kind)
{
	static const char *const names[] = {"stop",	 "kill",      "power",	    "all",	"leader", "point",
					    "split",	 "bridge",    "one-way",    "clients",	"slow",	  "lossy",
					    "break",	 "pause",     "late",	    "rate",	"wall",	  "stall",
					    "slow-sync", "disk-full", "disk-error", "snapshot", "flip"};
	_Static_assert(sizeof names / sizeof *names == FAULT_KINDS, "a name for each kind");
	return names[kind];
}

uint64_t faults_count(const struct faults *faults, enum fault_kind kind)
{
	return faults->kinds[kind].count;
}

/* ---- Draws ---- */

/* In [low, high], small values as likely as large ones. */
static uint64_t draw(struct faults *f, uint64_t low, uint64_t high)
{
	uint32_t doublings = 0;
	while (low << (doublings + 1) <= high)
		doublings++;
	uint64_t from = low << rng_below(&f->rng, doublings + 1);
	uint64_t to = 2 * from < high ? 2 * from : high;
	return rng_between(&f->rng, from, to);
}

static bool chance(struct faults *f, uint32_t percent)
{
	return rng_below(&f->rng, 100) < percent;
}

static struct member *any_member(struct faults *f)
{
	return &f->cluster->members[rng_below(&f->rng, f->cluster->count)];
}

/* A leader often, if there is one. */
static struct member *some_member(struct faults *f)
{
	struct member *leader = cluster_leader(f->cluster);
	struct member *any = any_member(f);
	return leader != NULL && chance(f, 40) ? leader : any;
}

static enum sim_crash draw_crash(struct faults *f)
{
	uint64_t n = rng_below(&f->rng, 4);
	return n == 0 ? SIM_KILL : n == 1 ? SIM_POWER_SILENT : SIM_POWER;
}

/* ---- Ends ---- */

static void end_reached(void *context)
{
	struct end *end = context;
	end->fn(end);
}

static struct end *end_after(struct faults *f, uint64_t delay_ns, void (*fn)(struct end *end))
{
	struct end *end = mem_zero(f->mem, sizeof *end);
	end->faults = f;
	end->fn = fn;
	list_push(&f->ends, &end->at);
	sim_schedule(f->sim, sim_now(f->sim) + delay_ns / f->hurry, end_reached, end);
	return end;
}

static void start_again(struct end *end)
{
	struct faults *f = end->faults;
	struct member *member = end->member;
	if (f->over || cluster_start(member))
		return;
	if (member->excuses == 0)
		return; /* A failure of the run. */
	if (f->error_pending[member->number]) {
		f->error_pending[member->number] = false;
		member->excuses--;
	}
	end_after(f, draw(f, 100 * NS_PER_MS, NS_PER_S), start_again)->member = member;
}

static void heal_way(struct end *end)
{
	sim_net_heal(end->from, end->to);
}

static void restore_link(struct end *end)
{
	*sim_net_link(end->from, end->to) = end->faults->link;
}

static void restore_host(struct end *end)
{
	*sim_host_settings(end->member->host) = end->faults->host[end->member->number];
}

static void restore_rate(struct end *end)
{
	sim_host_set_rate(end->member->host, 1000000);
}

static void take_excuse(struct end *end)
{
	if (!end->faults->over)
		end->member->excuses--;
}

static void restore_room(struct end *end)
{
	struct faults *f = end->faults;
	sim_disk_set_limit(end->member->host, UINT64_MAX);
	/* A write that has failed already may be told of later. */
	end_after(f, 2 * NS_PER_S, take_excuse)->member = end->member;
}

static void cut_connections(struct end *end)
{
	const struct cluster *c = end->faults->cluster;
	for (uint32_t i = 0; i < c->count; i++)
		if (i != end->member->number)
			sim_net_break(end->member->host, c->members[i].host);
}

/* ---- Crashes ---- */

static void crash(struct faults *f, struct member *member, enum sim_crash how)
{
	end_after(f, draw(f, NS_PER_MS, 5 * NS_PER_S), start_again)->member = member;
	cluster_crash(member, how);
}

static void stop(struct faults *f, struct member *member)
{
	end_after(f, draw(f, NS_PER_MS, 5 * NS_PER_S), start_again)->member = member;
	cluster_stop(member);
}

static void crash_all(struct faults *f)
{
	bool same = chance(f, 50);
	enum sim_crash how = draw_crash(f);
	for (uint32_t i = 0; i < f->cluster->count; i++) {
		if (!same)
			how = draw_crash(f);
		crash(f, &f->cluster->members[i], how);
	}
}

void faults_point(struct faults *f, uint32_t node)
{
	if (f->points_left[node] == 0 || f->over || --f->points_left[node] > 0)
		return;
	crash(f, &f->cluster->members[node], draw_crash(f));
}

void faults_snapshot_step(struct faults *f, uint32_t node, enum node_snapshot_step step)
{
	if (f->over || (f->steps_left[node] >> step & 1) == 0)
		return;
	f->steps_left[node] &= ~(1u << step);
	/* What begins to come is as often interrupted. */
	if (step == NODE_RECEIVE_BEGAN && chance(f, 50)) {
		end_after(f, draw(f, NS_PER_MS / 2, 50 * NS_PER_MS), cut_connections)->member =
			&f->cluster->members[node];
		return;
	}
	f->deaths[step]++;
	crash(f, &f->cluster->members[node], draw_crash(f));
}

uint64_t faults_deaths(const struct faults *f, enum node_snapshot_step step)
{
	return f->deaths[step];
}

void faults_ended(struct faults *f, struct member *member)
{
	if (f->error_pending[member->number]) {
		f->error_pending[member->number] = false;
		/* It starts again without the excuse. */
		member->excuses--;
	}
	end_after(f, draw(f, 10 * NS_PER_MS, 2 * NS_PER_S), start_again)->member = member;
}

/* ---- Network ---- */

static void cut(struct faults *f, struct sim_host *a, struct sim_host *b, bool both_ways, uint64_t delay_ns)
{
	struct end *end = end_after(f, delay_ns, heal_way);
	end->from = a;
	end->to = b;
	sim_net_cut(a, b, both_ways);
	cluster_say(f->cluster, "cut %s %s %s", sim_host_name(a), both_ways ? "<->" : "->", sim_host_name(b));
}

static void cut_off(struct faults *f, struct member *member, uint64_t delay_ns)
{
	uint64_t how = rng_below(&f->rng, 4); /* 0: only what it says, 1: only what it hears. */
	for (uint32_t i = 0; i < f->cluster->count; i++) {
		struct sim_host *other = f->cluster->members[i].host;
		if (i == member->number)
			continue;
		if (how == 1)
			cut(f, other, member->host, false, delay_ns);
		else
			cut(f, member->host, other, how != 0, delay_ns);
	}
}

static void split(struct faults *f, bool bridge)
{
	struct cluster *c = f->cluster;
	uint64_t delay_ns = draw(f, 100 * NS_PER_MS, 8 * NS_PER_S);
	uint64_t sides = rng_next(&f->rng);
	uint32_t middle = bridge ? (uint32_t)rng_below(&f->rng, c->count) : c->count;
	for (uint32_t i = 0; i < c->count; i++)
		for (uint32_t j = i + 1; j < c->count; j++)
			if (i != middle && j != middle && ((sides >> i ^ sides >> j) & 1) != 0)
				cut(f, c->members[i].host, c->members[j].host, true, delay_ns);
	for (uint32_t i = 0; i < CLIENTS_HOSTS; i++) {
		if (!chance(f, 30))
			continue;
		for (uint32_t j = 0; j < c->count; j++)
			if ((sides >> j & 1) != 0)
				cut(f, clients_host(f->clients, i), c->members[j].host, true, delay_ns);
	}
}

static void one_way(struct faults *f)
{
	struct cluster *c = f->cluster;
	uint64_t delay_ns = draw(f, 100 * NS_PER_MS, 8 * NS_PER_S);
	uint32_t percent = 10 + (uint32_t)rng_below(&f->rng, 50);
	for (uint32_t i = 0; i < c->count; i++)
		for (uint32_t j = 0; j < c->count; j++)
			if (i != j && chance(f, percent))
				cut(f, c->members[i].host, c->members[j].host, false, delay_ns);
}

static void cut_clients(struct faults *f)
{
	struct member *member = some_member(f);
	uint64_t delay_ns = draw(f, 100 * NS_PER_MS, 8 * NS_PER_S);
	for (uint32_t i = 0; i < CLIENTS_HOSTS; i++) {
		bool both = chance(f, 70);
		bool first = chance(f, 50);
		struct sim_host *client = clients_host(f->clients, i);
		cut(f, first ? client : member->host, first ? member->host : client, both, delay_ns);
	}
}

static void bend_link(struct faults *f, struct sim_host *from, struct sim_host *to, const struct sim_link *link,
		      uint64_t delay_ns)
{
	struct end *end = end_after(f, delay_ns, restore_link);
	end->from = from;
	end->to = to;
	*sim_net_link(from, to) = *link;
}

/* Gives some links other properties: those of one node, or each with a chance. */
static void bend_links(struct faults *f, const struct sim_link *link)
{
	struct cluster *c = f->cluster;
	uint64_t delay_ns = draw(f, 200 * NS_PER_MS, 10 * NS_PER_S);
	uint32_t one = chance(f, 40) ? (uint32_t)rng_below(&f->rng, c->count) : c->count;
	uint32_t percent = chance(f, 30) ? 100 : 30;
	for (uint32_t i = 0; i < c->count; i++)
		for (uint32_t j = 0; j < c->count; j++)
			if (i != j && (one == c->count ? chance(f, percent) : i == one || j == one))
				bend_link(f, c->members[i].host, c->members[j].host, link, delay_ns);
	for (uint32_t i = 0; i < CLIENTS_HOSTS; i++)
		for (uint32_t j = 0; j < c->count; j++)
			if (chance(f, 20))
				bend_link(f, clients_host(f->clients, i), c->members[j].host, link, delay_ns);
}

static void slow_links(struct faults *f)
{
	struct sim_link link = f->link;
	link.delay_max_ns = draw(f, NS_PER_MS, 200 * NS_PER_MS);
	link.slow_ppm = (uint32_t)draw(f, 1000, 200000);
	/* In a brief run what was sent last must have come well before the calm, all that waits behind it too. */
	link.slow_max_ns = draw(f, 10 * NS_PER_MS, f->hurry > 1 ? 600 * NS_PER_MS : 2 * NS_PER_S);
	link.byte_ns = chance(f, 30) ? draw(f, 100, 10000) : 0;
	if (chance(f, 20))
		link.window_bytes = draw(f, 2048, 65536);
	bend_links(f, &link);
}

static void lossy_links(struct faults *f)
{
	struct sim_link link = f->link;
	link.drop_ppm = chance(f, 80) ? (uint32_t)draw(f, 1000, 500000) : 0;
	link.duplicate_ppm = chance(f, 80) ? (uint32_t)draw(f, 1000, 300000) : 0;
	link.split_ppm = (uint32_t)draw(f, 10000, 800000);
	if (chance(f, 50))
		link.delay_max_ns = draw(f, NS_PER_MS, 50 * NS_PER_MS);
	bend_links(f, &link);
}

static void break_connections(struct faults *f)
{
	struct member *a = any_member(f);
	struct member *b = any_member(f);
	struct sim_host *client = clients_host(f->clients, (uint32_t)rng_below(&f->rng, CLIENTS_HOSTS));
	if (a != b)
		sim_net_break(a->host, b->host);
	if (chance(f, 30))
		sim_net_break(a->host, client);
}

/* ---- Time and disks ---- */

static void pause_process(struct faults *f, struct member *member)
{
	uint64_t until = sim_now(f->sim) + draw(f, 20 * NS_PER_MS, 4 * NS_PER_S) / f->hurry;
	sim_host_pause(member->host, until);
	cluster_say(f->cluster, "pause node %" PRIu32 " until %" PRIu64 " ms", member->number + 1, until / NS_PER_MS);
}

static void late_wakes(struct faults *f)
{
	struct member *member = some_member(f);
	struct sim_host_settings *settings = sim_host_settings(member->host);
	settings->late_ppm = (uint32_t)draw(f, 1000, 500000);
	settings->late_max_ns = draw(f, NS_PER_MS, 500 * NS_PER_MS);
	if (chance(f, 30))
		settings->turn_max_ns = draw(f, 100000, 20 * NS_PER_MS);
	end_after(f, draw(f, 200 * NS_PER_MS, 8 * NS_PER_S), restore_host)->member = member;
}

static void bend_clock(struct faults *f)
{
	struct member *member = any_member(f);
	uint32_t by = (uint32_t)draw(f, 1000, chance(f, 20) ? 900000 : 100000);
	uint32_t rate = chance(f, 50) || by > 450000 ? 1000000 + by : 1000000 - by;
	sim_host_set_rate(member->host, rate);
	end_after(f, draw(f, 200 * NS_PER_MS, 10 * NS_PER_S), restore_rate)->member = member;
}

static void jump_wall(struct faults *f)
{
	struct member *member = any_member(f);
	int64_t by = (int64_t)draw(f, NS_PER_MS, 86400 * NS_PER_S);
	sim_host_set_wall_offset(member->host, chance(f, 50) ? by : -by);
}

static void slow_disk(struct faults *f)
{
	struct member *member = some_member(f);
	struct sim_host_settings *settings = sim_host_settings(member->host);
	settings->sync_typical_ns = draw(f, NS_PER_MS, 50 * NS_PER_MS);
	settings->sync_max_ns = settings->sync_typical_ns + draw(f, NS_PER_MS, 500 * NS_PER_MS);
	end_after(f, draw(f, 200 * NS_PER_MS, 10 * NS_PER_S), restore_host)->member = member;
}

static void fill_disk(struct faults *f)
{
	struct member *member = some_member(f);
	if (member->excuses > 0 || member->held)
		return;
	member->excuses++;
	uint64_t room = chance(f, 30) ? 0 : draw(f, 4096, 256 * 1024);
	sim_disk_set_limit(member->host, sim_disk_used(member->host) + room);
	cluster_say(f->cluster, "disk of node %" PRIu32 " has room for %" PRIu64 " bytes", member->number + 1, room);
	end_after(f, draw(f, 200 * NS_PER_MS, 6 * NS_PER_S), restore_room)->member = member;
}

static void fail_disk(struct faults *f)
{
	struct member *member = some_member(f);
	if (member->excuses > 0 || member->held)
		return;
	member->excuses++;
	f->error_pending[member->number] = true;
	sim_disk_fail_next(member->host);
	cluster_say(f->cluster, "disk of node %" PRIu32 " will fail", member->number + 1);
}

static void strike_leader(struct faults *f)
{
	struct member *leader = cluster_leader(f->cluster);
	if (leader == NULL)
		return;
	uint64_t how = rng_below(&f->rng, 4);
	if (how == 0)
		cut_off(f, leader, draw(f, 100 * NS_PER_MS, 5 * NS_PER_S));
	else if (how == 1)
		pause_process(f, leader);
	else
		crash(f, leader, draw_crash(f));
}

/* Draws stand in statements of their own: the order of draws within one is the compiler's. */
static void strike(struct faults *f, enum fault_kind kind)
{
	struct member *any = any_member(f);
	struct member *some = some_member(f);
	switch (kind) {
	case FAULT_STOP:
		stop(f, any);
		return;
	case FAULT_KILL:
		crash(f, any, SIM_KILL);
		return;
	case FAULT_POWER:
		crash(f, any, chance(f, 50) ? SIM_POWER : SIM_POWER_SILENT);
		return;
	case FAULT_ALL:
		crash_all(f);
		return;
	case FAULT_LEADER:
		strike_leader(f);
		return;
	case FAULT_POINT:
		f->points_left[some->number] = draw(f, 1, 500);
		return;
	case FAULT_SPLIT:
	case FAULT_BRIDGE:
		split(f, kind == FAULT_BRIDGE);
		return;
	case FAULT_ONE_WAY:
		one_way(f);
		return;
	case FAULT_CLIENTS:
		cut_clients(f);
		return;
	case FAULT_SLOW:
		slow_links(f);
		return;
	case FAULT_LOSSY:
		lossy_links(f);
		return;
	case FAULT_BREAK:
		break_connections(f);
		return;
	case FAULT_PAUSE:
		pause_process(f, some);
		return;
	case FAULT_LATE:
		late_wakes(f);
		return;
	case FAULT_RATE:
		bend_clock(f);
		return;
	case FAULT_WALL:
		jump_wall(f);
		return;
	case FAULT_STALL:
		sim_disk_stall(some->host, sim_now(f->sim) + draw(f, 10 * NS_PER_MS, 4 * NS_PER_S) / f->hurry);
		return;
	case FAULT_SLOW_SYNC:
		slow_disk(f);
		return;
	case FAULT_DISK_FULL:
		fill_disk(f);
		return;
	case FAULT_DISK_ERROR:
		fail_disk(f);
		return;
	case FAULT_SNAPSHOT:
		f->steps_left[any->number] |= 1u << rng_below(&f->rng, NODE_SNAPSHOT_STEPS);
		return;
	case FAULT_FLIP:
		if (f->flipped || f->cluster->churns || f->cluster->count % 2 == 0 || f->cluster->count == 1 ||
		    any->server == NULL || f->cluster->snapshot_log_bytes < 16384)
			return;
		f->flipped = true;
		cluster_flip(any);
		return;
	case FAULT_KINDS:
		break;
	}
	CHECK(!"a kind of fault that nobody knows");
}

/* ---- The clocks of the kinds ---- */

static void due(void *context);

static void arm(struct kind *kind)
{
	struct faults *f = kind->faults;
	uint64_t delay_ns = kind->every_ns / 4 + rng_below(&f->rng, kind->every_ns * 3 / 2);
	sim_schedule(f->sim, sim_now(f->sim) + delay_ns / f->hurry, due, kind);
}

static void due(void *context)
{
	struct kind *kind = context;
	struct faults *f = kind->faults;
	if (f->over)
		return;
	kind->count++;
	cluster_say(f->cluster, "fault %s", fault_name(kind->kind));
	strike(f, kind->kind);
	arm(kind);
}

/* In each run one node is gone for so long that the others' logs may no longer have what it misses. */
static void straggle(void *context)
{
	struct faults *f = context;
	struct member *member = any_member(f);
	uint64_t delay_ns = rng_between(&f->rng, 3 * NS_PER_S, 10 * NS_PER_S);
	if (f->over || member->server == NULL)
		return;
	cluster_say(f->cluster, "node %" PRIu32 " goes for long", member->number + 1);
	end_after(f, delay_ns, start_again)->member = member;
	cluster_crash(member, draw_crash(f));
}

struct faults *faults_create(struct cluster *cluster, struct clients *clients, uint64_t hurry, uint64_t seed)
{
	struct faults *f = mem_zero(cluster->mem, sizeof *f);
	f->cluster = cluster;
	f->clients = clients;
	f->hurry = hurry;
	f->sim = cluster->sim;
	f->mem = cluster->mem;
	f->rng = rng_seed(seed);
	list_init(&f->ends);
	bool none = chance(f, 3);
	uint32_t percent = 10 + (uint32_t)rng_below(&f->rng, 40);
	for (uint32_t i = 0; i < FAULT_KINDS; i++) {
		struct kind *kind = &f->kinds[i];
		kind->faults = f;
		kind->kind = (enum fault_kind)i;
		kind->every_ns = draw(f, 500 * NS_PER_MS, 16 * NS_PER_S);
		kind->on = chance(f, percent) && !none;
	}
	return f;
}

void faults_destroy(struct faults *f)
{
	while (!list_empty(&f->ends)) {
		struct end *end = LIST_OF(f->ends.next, struct end, at);
		list_remove(&end->at);
		mem_free(f->mem, end);
	}
	mem_free(f->mem, f);
}

void faults_start(struct faults *f)
{
	f->link = *sim_net_link(f->cluster->members[0].host, clients_host(f->clients, 0));
	for (uint32_t i = 0; i < f->cluster->count; i++)
		f->host[i] = *sim_host_settings(f->cluster->members[i].host);
	for (uint32_t i = 0; i < FAULT_KINDS; i++)
		if (f->kinds[i].on)
			arm(&f->kinds[i]);
	if (f->cluster->count > 2)
		sim_schedule(f->sim, sim_now(f->sim) + rng_between(&f->rng, 2 * NS_PER_S, 25 * NS_PER_S) / f->hurry,
			     straggle, f);
}

static void recover(struct faults *f, struct member *member)
{
	sim_disk_set_limit(member->host, UINT64_MAX);
	sim_disk_stall(member->host, sim_now(f->sim));
	sim_disk_mend(member->host);
	sim_host_set_rate(member->host, 1000000);
	*sim_host_settings(member->host) = f->host[member->number];
	/* What it was told of its disk may yet end it. */
	if (member->excuses > 0 && sim_host_running(member->host))
		cluster_crash(member, SIM_KILL);
	for (uint32_t tries = 0; tries < 3 && !cluster_start(member); tries++)
		continue;
	member->excuses = 0;
	if (member->active && !member->held && !sim_host_running(member->host))
		cluster_fail(f->cluster, "node %" PRIu32 " does not start after its disk is well again",
			     member->number + 1);
}

void faults_end(struct faults *f)
{
	f->over = true;
	cluster_say(f->cluster, "faults end");
	sim_net_heal_all(f->sim);
	sim_net_set_all(f->sim, &f->link);
	for (uint32_t i = 0; i < f->cluster->count; i++)
		recover(f, &f->cluster->members[i]);
}
