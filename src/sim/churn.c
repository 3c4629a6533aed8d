/* Changes of members: see churn.h. What is known of a host is only what a leader has committed. */
#include "sim/churn.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_MS ((uint64_t)1000000)
#define NS_PER_S ((uint64_t)1000000000)

enum { VOTERS_MIN = 3, MEMBERS_MAX = 7 };

enum state {
	FRESH,	/* Was never one. */
	COMING, /* Runs, and waits to be added, */
	WIPED,	/* ... or to take the place of what it was. */
	MEMBER,
	GONE,
};

struct churn {
	struct cluster *cluster;
	struct sim *sim;
	struct mem *mem;
	struct rng rng;
	uint64_t hurry; /* All times are shorter by this factor. */
	enum state states[RULES_NODES_MAX];
	uint64_t came_ns;    /* The last member did. */
	uint64_t seen_index; /* Of the last configuration that was seen to be committed. */
	bool learner;	     /* Who is coming is to be one. */
	bool over;
	bool paused;
	uint32_t cut_off; /* This leader is, for a while; UINT32_MAX: none. */
	struct churn_counters counters;
	/* The request under way. */
	enum ikada_member_action action;
	uint64_t id;
	char address[64];
	bool transfer;
	bool taken;
	struct ikada_node_status status;
};

static bool chance(struct churn *churn, uint32_t percent)
{
	return rng_below(&churn->rng, 100) < percent;
}

static void later(struct churn *churn, uint64_t delay_ns, void (*fn)(void *context), void *context)
{
	sim_schedule(churn->sim, sim_now(churn->sim) + delay_ns / churn->hurry, fn, context);
}

/* ---- What makes changes fail half-way ---- */

static void start_again(void *context)
{
	cluster_start(context);
}

static void heal(void *context)
{
	struct churn *churn = context;
	for (uint32_t i = 0; i < churn->cluster->count; i++)
		if (i != churn->cut_off)
			sim_net_heal(churn->cluster->members[churn->cut_off].host, churn->cluster->members[i].host);
	for (uint32_t i = 0; i < churn->cluster->count; i++)
		if (i != churn->cut_off)
			sim_net_heal(churn->cluster->members[i].host, churn->cluster->members[churn->cut_off].host);
	churn->cut_off = UINT32_MAX;
}

/* The leader alone is to have the next entry: it will be cut off its log again. */
static void cut_off(struct churn *churn, const struct member *leader)
{
	if (churn->cut_off != UINT32_MAX)
		return;
	churn->cut_off = leader->number;
	for (uint32_t i = 0; i < churn->cluster->count; i++)
		if (i != leader->number)
			sim_net_cut(leader->host, churn->cluster->members[i].host, true);
	later(churn, rng_between(&churn->rng, 300 * NS_PER_MS, 2 * NS_PER_S), heal, churn);
}

/* A leader dies between two configurations. */
static void strike(struct churn *churn, struct member *leader)
{
	cluster_crash(leader, SIM_POWER);
	later(churn, rng_between(&churn->rng, NS_PER_MS, NS_PER_S), start_again, leader);
}

/* ---- Asking, in the leader's process ---- */

static void look(void *context)
{
	struct churn *churn = context;
	struct member *leader = cluster_leader(churn->cluster);
	ikada_node_status(server_node(leader->server), &churn->status);
}

static void ask_inside(void *context)
{
	struct churn *churn = context;
	char said[256] = "";
	struct ikada_node *node = server_node(cluster_leader(churn->cluster)->server);
	if (churn->transfer)
		churn->taken = ikada_node_transfer(node, churn->id, NS_PER_S, said, sizeof said);
	else
		churn->taken = ikada_node_change(node, churn->action, churn->id,
						 churn->address[0] == '\0' ? NULL : churn->address, said, sizeof said);
	if (!churn->taken)
		cluster_say(churn->cluster, "refused: %s", said);
}

static bool settled(const struct churn *churn)
{
	const struct ikada_config *config = &churn->status.raft.config;
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].standing > IKADA_LEARNER)
			return false;
	return config->index <= churn->status.raft.commit;
}

static void ask(struct churn *churn, enum ikada_member_action action, uint32_t number, uint64_t *counter)
{
	static const char *const names[] = {"add", "add learner", "remove", "replace", "promote", "demote"};
	struct member *member = &churn->cluster->members[number];
	bool overlaps = !settled(churn);
	churn->action = action;
	churn->transfer = false;
	churn->id = number + 1;
	churn->address[0] = '\0';
	if (action == IKADA_MEMBER_ADD || action == IKADA_MEMBER_ADD_LEARNER)
		snprintf(churn->address, sizeof churn->address, "%s", member->peer_address);
	churn->taken = false;
	if (!churn->over && chance(churn, 8))
		cut_off(churn, cluster_leader(churn->cluster));
	churn->counters.asked++;
	cluster_say(churn->cluster, "%s node %" PRIu32, names[action], number + 1);
	sim_host_run(cluster_leader(churn->cluster)->host, ask_inside, churn);
	if (!churn->taken) {
		churn->counters.refused++;
		return;
	}
	++*counter;
	churn->counters.overlapping += overlaps;
}

static void transfer(struct churn *churn, uint32_t number)
{
	churn->transfer = true;
	churn->id = number + 1;
	churn->counters.asked++;
	cluster_say(churn->cluster, "transfer to node %" PRIu32, number + 1);
	sim_host_run(cluster_leader(churn->cluster)->host, ask_inside, churn);
	churn->counters.transfers += churn->taken;
	churn->counters.refused += !churn->taken;
}

/* ---- Hosts ---- */

/* Those that run, for who starts now. */
static void put_list(struct churn *churn, uint32_t number)
{
	struct cluster *c = churn->cluster;
	char list[sizeof c->list] = "";
	size_t used = 0;
	for (uint32_t i = 0; i < c->count; i++)
		if (c->members[i].active)
			used += (size_t)snprintf(list + used, sizeof list - used, "%s%" PRIu32 "=%s",
						 used == 0 ? "" : ",", i + 1, c->members[i].peer_address);
	memcpy(c->members[number].list, list, sizeof list);
}

static void bring(struct churn *churn, uint32_t number)
{
	struct member *member = &churn->cluster->members[number];
	member->active = true;
	put_list(churn, number);
	churn->states[number] = COMING;
	churn->learner = chance(churn, 30);
	cluster_start(member);
}

static void wipe(struct churn *churn, uint32_t number)
{
	struct member *member = &churn->cluster->members[number];
	cluster_crash(member, SIM_POWER);
	cluster_wipe(member);
	put_list(churn, number);
	churn->states[number] = WIPED;
	churn->counters.wipes++;
	if (!chance(churn, 20))
		cluster_start(member); /* Else when its crash would end. */
}

static const struct ikada_member *member_of(const struct churn *churn, uint32_t number)
{
	const struct ikada_config *config = &churn->status.raft.config;
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].id == number + 1)
			return &config->members[i];
	return NULL;
}

/* What the leader has committed, when no change is under way. It may be one that has been replaced long ago. */
static void learn(struct churn *churn)
{
	struct cluster *c = churn->cluster;
	for (uint32_t i = 0; i < c->count; i++) {
		const struct ikada_member *is = member_of(churn, i);
		bool thwarted = churn->states[i] == COMING && churn->status.raft.config.max_id > i;
		if (is == NULL && (churn->states[i] == MEMBER || thwarted)) {
			churn->states[i] = GONE;
			churn->counters.left++;
			c->members[i].active = false;
			if (c->members[i].excuses == 0 && chance(churn, 50))
				cluster_stop(&c->members[i]);
			else if (sim_host_running(c->members[i].host))
				cluster_crash(&c->members[i], SIM_KILL);
		} else if (is != NULL && (churn->states[i] == COMING || churn->states[i] == WIPED) &&
			   is->incarnation == rules_incarnation(c->rules, i)) {
			churn->states[i] = MEMBER;
			churn->came_ns = sim_now(churn->sim);
			churn->counters.came++;
		}
	}
	churn->seen_index = churn->status.raft.config.index;
}

static uint32_t with_state(struct churn *churn, enum state state)
{
	uint32_t from = (uint32_t)rng_below(&churn->rng, churn->cluster->count);
	for (uint32_t i = 0; i < churn->cluster->count; i++) {
		uint32_t at = (from + i) % churn->cluster->count;
		if (churn->states[at] == state)
			return at;
	}
	return UINT32_MAX;
}

static uint32_t voters(const struct churn *churn)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < churn->status.raft.config.count; i++)
		count += churn->status.raft.config.members[i].standing == IKADA_VOTER;
	return count;
}

static bool can_begin(const struct churn *churn)
{
	for (uint32_t i = 0; i < churn->cluster->count; i++)
		if (churn->states[i] == COMING || churn->states[i] == WIPED)
			return false;
	return !churn->over && settled(churn);
}

/* What was begun. */
static void go_on(struct churn *churn)
{
	uint32_t coming = with_state(churn, COMING);
	uint32_t wiped = with_state(churn, WIPED);
	if (wiped != UINT32_MAX)
		ask(churn, IKADA_MEMBER_REPLACE, wiped, &churn->counters.replacements);
	else if (coming != UINT32_MAX && churn->learner)
		ask(churn, IKADA_MEMBER_ADD_LEARNER, coming, &churn->counters.learners);
	else if (coming != UINT32_MAX)
		ask(churn, IKADA_MEMBER_ADD, coming, &churn->counters.adds);
}

static void begin(struct churn *churn)
{
	uint32_t number = with_state(churn, MEMBER);
	uint32_t fresh = 0; /* Ids ascend. */
	while (fresh < churn->cluster->count && churn->states[fresh] != FRESH)
		fresh++;
	const struct ikada_member *member = number == UINT32_MAX ? NULL : member_of(churn, number);
	bool votes = member != NULL && member->standing == IKADA_VOTER;
	uint32_t count = churn->status.raft.config.count;
	const struct ikada_config *config = &churn->status.raft.config;
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].standing == IKADA_LEARNER && chance(churn, 20)) {
			ask(churn, IKADA_MEMBER_PROMOTE, (uint32_t)config->members[i].id - 1,
			    &churn->counters.promotions);
			return;
		}
	switch (rng_below(&churn->rng, 9)) {
	case 0:
	case 1:
		if (fresh < churn->cluster->count && count < MEMBERS_MAX)
			bring(churn, fresh);
		return;
	case 2:
	case 3:
	case 4:
		if (member != NULL && (!votes || voters(churn) >= VOTERS_MIN) &&
		    churn->cluster->members[number].excuses == 0)
			wipe(churn, number);
		return;
	case 5:
		if (member != NULL && (!votes || voters(churn) > VOTERS_MIN))
			ask(churn, IKADA_MEMBER_REMOVE, number, &churn->counters.removals);
		return;
	case 6:
		if (member != NULL && !votes)
			ask(churn, IKADA_MEMBER_PROMOTE, number, &churn->counters.promotions);
		return;
	case 7:
		if (votes && voters(churn) > VOTERS_MIN)
			ask(churn, IKADA_MEMBER_DEMOTE, number, &churn->counters.demotions);
		return;
	default:
		if (member != NULL)
			transfer(churn, number);
		return;
	}
}

/* Another change takes the place of the one that is under way. */
static void change_mind(struct churn *churn)
{
	uint32_t coming = with_state(churn, COMING);
	uint32_t number = with_state(churn, MEMBER);
	const struct ikada_member *member = number == UINT32_MAX ? NULL : member_of(churn, number);
	if (coming != UINT32_MAX && chance(churn, 50))
		ask(churn, IKADA_MEMBER_REMOVE, coming, &churn->counters.removals);
	else if (member != NULL && member->standing == IKADA_VOTER && voters(churn) > VOTERS_MIN)
		ask(churn, IKADA_MEMBER_REMOVE, number, &churn->counters.removals);
}

static void due(void *context)
{
	struct churn *churn = context;
	struct member *leader = cluster_leader(churn->cluster);
	later(churn, rng_between(&churn->rng, 20 * NS_PER_MS, 800 * NS_PER_MS), due, churn);
	if (churn->paused || leader == NULL || leader->server == NULL)
		return;
	sim_host_run(leader->host, look, churn);
	if (churn->status.raft.config.index < churn->seen_index)
		return;
	if (settled(churn))
		learn(churn);
	leader = cluster_leader(churn->cluster);
	if (leader == NULL || leader->server == NULL)
		return;
	if (can_begin(churn))
		begin(churn);
	else if (settled(churn) || chance(churn, 10))
		go_on(churn);
	else if (!churn->over && chance(churn, 15))
		strike(churn, leader);
	else if (!churn->over && chance(churn, 15))
		change_mind(churn);
}

/* ---- For the owner ---- */

struct churn *churn_create(struct cluster *cluster, uint64_t hurry, uint64_t seed)
{
	struct churn *churn = mem_zero(cluster->mem, sizeof *churn);
	churn->cluster = cluster;
	churn->sim = cluster->sim;
	churn->mem = cluster->mem;
	churn->rng = rng_seed(seed);
	churn->hurry = hurry;
	churn->cut_off = UINT32_MAX;
	for (uint32_t i = 0; i < cluster->count; i++)
		churn->states[i] = cluster->members[i].active ? MEMBER : FRESH;
	return churn;
}

void churn_destroy(struct churn *churn)
{
	mem_free(churn->mem, churn);
}

void churn_start(struct churn *churn)
{
	later(churn, NS_PER_S, due, churn);
}

void churn_end(struct churn *churn)
{
	churn->over = true;
}

void churn_pause(struct churn *churn, bool paused)
{
	churn->paused = paused;
}

void churn_recovered(struct churn *churn)
{
	for (uint32_t i = 0; i < churn->cluster->count; i++) {
		const struct member *member = &churn->cluster->members[i];
		if (member->active)
			churn->states[i] = MEMBER;
		else if (member->lost)
			churn->states[i] = GONE;
	}
	churn->seen_index = 0;
}

const struct churn_counters *churn_counters(const struct churn *churn)
{
	return &churn->counters;
}

uint64_t churn_done_ns(const struct churn *churn)
{
	for (uint32_t i = 0; i < churn->cluster->count; i++)
		if (churn->states[i] == COMING || churn->states[i] == WIPED)
			return UINT64_MAX;
	return churn->came_ns;
}

void churn_judge(const struct churn *churn, char *failure, size_t size)
{
	for (uint32_t i = 0; i < churn->cluster->count; i++)
		if (churn->states[i] == COMING || churn->states[i] == WIPED)
			snprintf(failure, size, "progress: node %" PRIu32 " %s at the end", i + 1,
				 churn->states[i] == COMING ? "was not added" : "was not replaced");
}
