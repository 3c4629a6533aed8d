/*
 * See disaster.h. One step after another, each an event of the owner: they are lost; the survivors fall; each is looked
 * at; each is told what it would become; each becomes it; each is looked at again; all start. A step that a fault
 * has thwarted is done again.
 */
#include "sim/disaster.h"

#include "sim/attempt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_MS ((uint64_t)1000000)
#define NS_PER_S ((uint64_t)1000000000)

enum { DEATHS_MAX = 3, CHANGES_MAX = 24 };

enum stage { NOT_YET, UNDER_WAY, RECOVERED, CALLED_OFF };

struct release {
	struct disaster *disaster;
	struct member *member;
};

struct disaster {
	struct cluster *cluster;
	struct clients *clients;
	struct history *history;
	struct churn *churn;
	struct sim *sim;
	struct mem *mem;
	struct rng rng;
	uint64_t hurry;
	bool over;
	enum stage stage;
	void (*step)(struct disaster *d);
	struct rules_survivors survivors;
	uint32_t next, deaths;
	struct release releases[RULES_NODES_MAX];
	char list[RULES_NODES_MAX * IKADA_SURVIVOR_BYTES];
	uint64_t old_cluster_id, new_cluster_id;
	struct rules *rules;	/* Of the new cluster. */
	struct attempt attempt; /* Of the survivor whose turn it is. */
	uint64_t dies_at_ns;	/* UINT64_MAX: it does not. */
	struct disaster_counters counters;
};

static bool chance(struct disaster *d, uint32_t percent)
{
	return rng_below(&d->rng, 100) < percent;
}

static void go_on(void *context)
{
	struct disaster *d = context;
	d->step(d);
}

static void then(struct disaster *d, uint64_t delay_ns, void (*step)(struct disaster *d))
{
	d->step = step;
	sim_schedule(d->sim, sim_now(d->sim) + delay_ns, go_on, d);
}

static void soon(struct disaster *d, void (*step)(struct disaster *d))
{
	uint64_t delay_ns = rng_below(&d->rng, 100 * NS_PER_MS) / d->hurry;
	then(d, delay_ns, step);
}

static enum sim_crash draw_crash(struct disaster *d)
{
	uint64_t n = rng_below(&d->rng, 4);
	return n == 0 ? SIM_KILL : n == 1 ? SIM_POWER_SILENT : SIM_POWER;
}

static void shuffle(struct disaster *d)
{
	for (uint32_t i = d->survivors.count; i > 1; i--) {
		uint32_t j = (uint32_t)rng_below(&d->rng, i);
		uint32_t kept = d->survivors.numbers[j];
		d->survivors.numbers[j] = d->survivors.numbers[i - 1];
		d->survivors.numbers[i - 1] = kept;
	}
}

/* Looks at it, or asks what it would do, or does it. False: the process has ended. */
static bool attempt_now(struct disaster *d, uint32_t number, bool does)
{
	d->attempt.survivors = d->list[0] == '\0' ? NULL : d->list;
	d->attempt.does = does;
	return attempt_open(&d->attempt, &d->cluster->members[number]);
}

/* It could not be done. True: because of its disk, which will be well again. */
static bool excused(struct disaster *d)
{
	if (d->attempt.member->excuses > 0)
		return true;
	cluster_fail(d->cluster, "node %" PRIu32 " cannot be recovered: %s", d->attempt.member->number + 1,
		     d->attempt.error);
	return false;
}

/* For ever; nobody goes on talking with it. */
static void lose_one(struct disaster *d, struct member *member, enum sim_crash how)
{
	cluster_lose(member, how);
	for (uint32_t i = 0; i < CLIENTS_HOSTS; i++)
		sim_net_break(clients_host(d->clients, i), member->host);
}

/* ---- All start ---- */

static void release(void *context)
{
	const struct release *r = context;
	struct disaster *d = r->disaster;
	r->member->held = false;
	if (!cluster_start(r->member) && r->member->excuses > 0)
		sim_schedule(d->sim, sim_now(d->sim) + 100 * NS_PER_MS, release, context);
}

static void release_all(struct disaster *d)
{
	for (uint32_t i = 0; i < d->cluster->count; i++) {
		struct member *member = &d->cluster->members[i];
		uint64_t delay_ns = rng_below(&d->rng, member->lost ? 3 * NS_PER_S : NS_PER_S) / d->hurry;
		d->releases[i] = (struct release){d, member};
		if (member->held)
			sim_schedule(d->sim, sim_now(d->sim) + delay_ns, release, &d->releases[i]);
	}
}

static void call_off(struct disaster *d)
{
	cluster_say(d->cluster, "nobody is recovered; the lost disks are there again");
	for (uint32_t i = 0; i < d->cluster->count; i++) {
		struct member *member = &d->cluster->members[i];
		member->active |= member->lost;
		member->lost = false;
	}
	d->counters.called_off++;
	d->stage = CALLED_OFF;
	churn_pause(d->churn, false);
	release_all(d);
}

static void begin_anew(struct disaster *d, uint64_t lost)
{
	const struct rules_survivors *all = &d->survivors;
	const struct ikada_recovery *first = &all->found[all->numbers[0]];
	bool different = false;
	for (uint32_t i = 1; i < all->count; i++) {
		const struct ikada_recovery *other = &all->found[all->numbers[i]];
		different |= other->last_index != first->last_index || other->last_term != first->last_term;
	}
	d->counters.recovered++;
	d->counters.of_one += d->survivors.count == 1;
	d->counters.of_two += d->survivors.count == 2;
	d->counters.of_more += d->survivors.count > 2;
	d->counters.different += different;
	d->counters.losing += lost > 0;
	d->counters.lost += lost;
	cluster_say(d->cluster, "recovered: %" PRIu32 " survivors, %" PRIu64 " committed entries lost",
		    d->survivors.count, lost);
	if (lost > 0)
		history_begin_anew(d->history);
	cluster_begin_anew(d->cluster, d->rules);
	churn_recovered(d->churn);
	churn_pause(d->churn, false);
	d->stage = RECOVERED;
	release_all(d);
}

/* ---- The steps, the last one first ---- */

/* It was done, as its disk says; who begins is looked at last. */
static void verify(struct disaster *d)
{
	uint64_t begins = d->attempt.told.begins - 1, lost = 0;
	for (uint32_t i = 0; i <= d->survivors.count; i++) {
		uint32_t number = i == d->survivors.count ? (uint32_t)begins : d->survivors.numbers[i];
		if (i < d->survivors.count && number == begins)
			continue;
		if (!attempt_now(d, number, false)) {
			soon(d, verify);
			return;
		}
		bool is = d->attempt.node != NULL && d->attempt.told.done;
		if (d->attempt.node != NULL && !is)
			snprintf(d->attempt.error, sizeof d->attempt.error, "it is not what it became");
		if (is && number == begins)
			d->rules = rules_recovered(d->cluster->rules, &d->survivors, number, d->attempt.node, &lost);
		attempt_close(&d->attempt);
		if (!is) {
			if (excused(d))
				soon(d, verify);
			return;
		}
	}
	begin_anew(d, lost);
}

static void become(struct disaster *d);

static void wait_for_it(struct disaster *d)
{
	if (!sim_host_running(d->attempt.member->host)) {
		soon(d, become);
	} else if (d->attempt.done) {
		attempt_close(&d->attempt);
		d->next++;
		soon(d, become);
	} else if (d->dies_at_ns <= sim_now(d->sim)) {
		d->counters.died++;
		cluster_crash(d->attempt.member, draw_crash(d));
		soon(d, become);
	} else {
		then(d, NS_PER_MS / 4, wait_for_it);
	}
}

static void become(struct disaster *d)
{
	if (d->next == d->survivors.count) {
		verify(d);
		return;
	}
	uint32_t number = d->survivors.numbers[d->next];
	d->dies_at_ns = UINT64_MAX;
	if (d->deaths < DEATHS_MAX && chance(d, 50)) {
		d->deaths++;
		d->attempt.dies_after = 1 + (uint32_t)rng_below(&d->rng, CHANGES_MAX);
		d->attempt.dies_how = draw_crash(d);
		d->dies_at_ns = sim_now(d->sim) + rng_below(&d->rng, 10 * NS_PER_MS);
	}
	cluster_say(d->cluster, "recover node %" PRIu32, number + 1);
	bool lives = attempt_now(d, number, true);
	d->attempt.dies_after = 0;
	d->counters.died += d->attempt.died;
	if (!lives) {
		soon(d, become);
	} else if (d->attempt.node == NULL) {
		attempt_close(&d->attempt);
		if (excused(d))
			soon(d, become);
	} else {
		wait_for_it(d);
	}
}

/* The one of this name is lost as well. */
static void drop(struct disaster *d, uint32_t at)
{
	struct member *member = &d->cluster->members[d->survivors.numbers[at]];
	cluster_say(d->cluster, "node %" PRIu32 " is given up: %s", member->number + 1, d->attempt.error);
	lose_one(d, member, SIM_KILL);
	d->survivors.numbers[at] = d->survivors.numbers[--d->survivors.count];
}

/* It is no survivor: it never was a member, as far as it knows; or without it the majority is lost, with it not. */
static bool is_none(const struct disaster *d)
{
	bool empty = strstr(d->attempt.error, "holds no cluster") != NULL ||
		     strstr(d->attempt.error, "holds no identity") != NULL;
	return (empty && !rules_promised(d->cluster->rules, d->attempt.member->number)) ||
	       strstr(d->attempt.error, "is no member of the last configuration") != NULL ||
	       strstr(d->attempt.error, "are a majority") != NULL;
}

/* Each survivor is asked what it would do, or how far its log goes. False: not now, or not any more. */
static bool ask_each(struct disaster *d, void (*step)(struct disaster *d))
{
	for (uint32_t i = 0; i < d->survivors.count; i++) {
		uint32_t number = d->survivors.numbers[i];
		if (!attempt_now(d, number, false)) {
			soon(d, step);
			return false;
		}
		bool opened = d->attempt.node != NULL;
		attempt_close(&d->attempt);
		if (opened && d->list[0] == '\0') {
			d->survivors.found[number] = d->attempt.told;
			rules_survivor(d->cluster->rules, number, &d->attempt.told);
		} else if (!opened && is_none(d)) {
			drop(d, i);
			then(d, 0, step);
			return false;
		} else if (!opened) {
			if (excused(d))
				soon(d, step);
			return false;
		}
	}
	return true;
}

static void look(struct disaster *d)
{
	d->list[0] = '\0';
	if (!ask_each(d, look))
		return;
	if (d->survivors.count == 0) {
		call_off(d);
		return;
	}
	shuffle(d);
	size_t used = 0;
	for (uint32_t i = 0; i < d->survivors.count; i++)
		used += (size_t)snprintf(d->list + used, sizeof d->list - used, "%s%s", i == 0 ? "" : ",",
					 d->survivors.found[d->survivors.numbers[i]].survivor);
	if (!ask_each(d, look))
		return;
	d->old_cluster_id = d->attempt.told.cluster_id;
	d->new_cluster_id = d->attempt.told.new_cluster_id;
	shuffle(d);
	d->next = 0;
	become(d);
}

static void fall(struct disaster *d)
{
	for (uint32_t i = 0; i < d->survivors.count; i++) {
		struct member *member = &d->cluster->members[d->survivors.numbers[i]];
		member->held = true;
		cluster_crash(member, draw_crash(d));
		for (uint32_t j = 0; j < d->cluster->count; j++)
			if (j != member->number)
				sim_net_heal(member->host, d->cluster->members[j].host);
	}
	soon(d, look);
}

static bool votes(const struct ikada_config *config, uint32_t number)
{
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].id == number + 1)
			return config->members[i].standing != IKADA_LEARNER &&
			       config->members[i].standing != IKADA_JOINING;
	return false;
}

/*
 * Any of those who run, often the leader, as long as the others are a majority; whether they are is judged by each log,
 * later.
 */
static void choose(struct disaster *d, const struct ikada_config *config, uint32_t leader)
{
	uint32_t voters = 0, voices = 0, chosen = 0;
	uint32_t most = 1 + (uint32_t)rng_below(&d->rng, 3);
	d->survivors.count = 0;
	for (uint32_t i = 0; i < d->cluster->count; i++) {
		voters += votes(config, i);
		if (d->cluster->members[i].active)
			d->survivors.numbers[d->survivors.count++] = i;
	}
	shuffle(d);
	bool keep = chance(d, 40);
	for (uint32_t i = 0; i < d->survivors.count && keep; i++)
		if (d->survivors.numbers[i] == leader) {
			d->survivors.numbers[i] = d->survivors.numbers[0];
			d->survivors.numbers[0] = leader;
		}
	for (uint32_t i = 0; i < d->survivors.count && chosen < most; i++) {
		uint32_t voice = votes(config, d->survivors.numbers[i]);
		if (2 * (voices + voice) > voters)
			continue;
		voices += voice;
		d->survivors.numbers[chosen++] = d->survivors.numbers[i];
	}
	d->survivors.count = chosen;
}

/* Some of them hear nothing of the others for a while, so that their logs are not the same. */
static void cut_some(struct disaster *d)
{
	for (uint32_t i = 0; i < d->survivors.count; i++) {
		struct sim_host *host = d->cluster->members[d->survivors.numbers[i]].host;
		if (!chance(d, 40))
			continue;
		for (uint32_t j = 0; j < d->cluster->count; j++)
			if (j != d->survivors.numbers[i])
				sim_net_cut(host, d->cluster->members[j].host, true);
	}
}

static void lose(struct disaster *d)
{
	cluster_say(d->cluster, "a majority is lost for ever");
	for (uint32_t i = 0; i < d->cluster->count; i++) {
		struct member *member = &d->cluster->members[i];
		bool stays = !member->active;
		for (uint32_t j = 0; j < d->survivors.count; j++)
			stays |= d->survivors.numbers[j] == i;
		if (stays)
			continue;
		lose_one(d, member, draw_crash(d));
	}
	then(d, rng_below(&d->rng, 400 * NS_PER_MS) / d->hurry, fall);
}

static void strike(struct disaster *d)
{
	const struct member *leader = cluster_leader(d->cluster);
	struct ikada_node_status status;
	if (d->over)
		return;
	if (leader == NULL || leader->server == NULL) {
		soon(d, strike);
		return;
	}
	ikada_node_status(server_node(leader->server), &status);
	d->stage = UNDER_WAY;
	churn_pause(d->churn, true);
	choose(d, &status.raft.config, leader->number);
	cut_some(d);
	then(d, rng_below(&d->rng, 8 * NS_PER_S) / d->hurry, lose);
}

/* ---- For the owner ---- */

struct disaster *disaster_create(struct cluster *cluster, struct clients *clients, struct history *history,
				 struct churn *churn, uint64_t hurry, uint64_t seed)
{
	struct disaster *d = mem_zero(cluster->mem, sizeof *d);
	d->cluster = cluster;
	d->clients = clients;
	d->history = history;
	d->churn = churn;
	d->sim = cluster->sim;
	d->mem = cluster->mem;
	d->rng = rng_seed(seed);
	d->hurry = hurry;
	return d;
}

void disaster_destroy(struct disaster *d)
{
	if (d->rules != NULL && d->stage != RECOVERED)
		rules_destroy(d->rules);
	mem_free(d->mem, d);
}

void disaster_start(struct disaster *d)
{
	then(d, rng_between(&d->rng, 4 * NS_PER_S, 20 * NS_PER_S) / d->hurry, strike);
}

void disaster_end(struct disaster *d)
{
	d->over = true;
}

const struct disaster_counters *disaster_counters(const struct disaster *d)
{
	return &d->counters;
}

void disaster_judge(const struct disaster *d, char *failure, size_t size)
{
	if (d->stage == UNDER_WAY)
		snprintf(failure, size, "progress: the recovery did not come to its end");
	for (uint32_t i = 0; i < d->cluster->count && d->stage == RECOVERED; i++) {
		const struct member *member = &d->cluster->members[i];
		struct ikada_node_status status;
		if (member->server == NULL || (!member->active && !member->lost))
			continue;
		ikada_node_status(server_node(member->server), &status);
		if (status.cluster_id != d->new_cluster_id &&
		    (member->active || (status.cluster_id != d->old_cluster_id && status.cluster_id != 0)))
			snprintf(failure, size,
				 "recovery: node %" PRIu32 " is in cluster %016" PRIx64 ", not in %016" PRIx64, i + 1,
				 status.cluster_id, member->active ? d->new_cluster_id : d->old_cluster_id);
		if (member->lost && status.cluster_id == d->new_cluster_id)
			snprintf(failure, size, "recovery: node %" PRIu32 ", which was lost, is in the new cluster",
				 i + 1);
		for (uint32_t j = 0; member->active && j < status.member_count; j++)
			if (d->cluster->members[status.members[j].id - 1].lost)
				snprintf(failure, size,
					 "recovery: node %" PRIu32 " has the lost node %" PRIu64 " as a member", i + 1,
					 status.members[j].id);
	}
}
