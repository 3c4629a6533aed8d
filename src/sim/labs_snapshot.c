/* Snapshots (paper, 7): logs stay small, and who has missed what is gone is brought back. */
#include "node/node_internal.h"
#include "sim/labs_internal.h"

#include <inttypes.h>

enum {
	ENTRY_BYTES = 100,
	SNAPSHOT_ENTRIES = 10,
	/* Two snapshots' worth is kept, one is being taken, and a burst may come meanwhile. */
	LOG_ENTRIES_MAX = 100,
};

static void log_is_small(struct lab *lab)
{
	for (uint32_t i = 0; i < lab->count && lab_ok(lab); i++) {
		struct ikada_node_status status;
		if (lab->nodes[i].node == NULL)
			continue;
		ikada_node_status(lab->nodes[i].node, &status);
		uint64_t entries = status.raft.last_index - status.raft.base_index;
		if (entries > LOG_ENTRIES_MAX)
			lab_fail(lab, "node %" PRIu32 " has %" PRIu64 " entries in its log, its last index is %" PRIu64,
				 i + 1, entries, status.raft.last_index);
	}
}

static void some(struct lab *lab, uint32_t appliers)
{
	lab_agree(lab, SNAPSHOT_ENTRIES + 1 + (uint32_t)lab_draw(lab, SNAPSHOT_ENTRIES), appliers);
}

/* Snapshots are taken while things go on. */
void lab_snapshot_basic(struct lab *lab)
{
	lab_one(lab, 3);
	for (uint32_t round = 0; round < 30; round++) {
		some(lab, 3);
		log_is_small(lab);
	}
	for (uint32_t i = 0; i < lab->count && lab_ok(lab); i++) {
		struct ikada_node_status status;
		ikada_node_status(lab->nodes[i].node, &status);
		if (status.snapshot_index == 0)
			lab_fail(lab, "node %" PRIu32 " has taken no snapshot", i + 1);
	}
}

/* One is away, by a cut or a crash, while the others go on until what it lacks is gone. */
static void install(struct lab *lab, bool crash)
{
	uint64_t loads = 0;
	lab_one(lab, 3);
	for (uint32_t round = 0; round < 10 && lab_ok(lab); round++) {
		uint32_t leader = lab_leader(lab);
		uint32_t victim = round % 3 == 1 ? leader : lab_after(lab, leader, 1);
		uint64_t before = lab->nodes[victim].loads;
		if (crash)
			lab_crash(lab, victim);
		else
			lab_cut(lab, victim);
		for (uint32_t i = 0; i < 4; i++)
			some(lab, 2);
		log_is_small(lab);
		if (crash) {
			lab_start(lab, victim);
			before = lab->nodes[victim].loads; /* Of its own. */
		} else {
			lab_join(lab, victim);
		}
		lab_one(lab, 3);
		loads += lab->nodes[victim].loads - before;
	}
	if (loads == 0)
		lab_fail(lab, "nobody was sent a snapshot");
}

void lab_snapshot_install(struct lab *lab)
{
	install(lab, false);
}

void lab_snapshot_install_unreliable(struct lab *lab)
{
	lab_network(lab, LAB_UNRELIABLE);
	install(lab, false);
}

void lab_snapshot_install_crash(struct lab *lab)
{
	install(lab, true);
}

void lab_snapshot_install_unreliable_crash(struct lab *lab)
{
	lab_network(lab, LAB_UNRELIABLE);
	install(lab, true);
}

/* Until the condition holds, or for a second. */
static bool await(struct lab *lab, bool (*holds)(struct lab *lab, uint64_t than), uint64_t than)
{
	uint64_t end = sim_now(lab->sim) + LAB_S;
	while (lab_ok(lab) && sim_now(lab->sim) < end && !holds(lab, than))
		lab_run(lab, LAB_MS / 20);
	return lab_ok(lab) && holds(lab, than);
}

static bool has_received(struct lab *lab, uint64_t who)
{
	const struct incoming *in = &lab->nodes[who].node->incoming;
	return in->draft != NULL && in->got == in->bytes;
}

static bool committed(struct lab *lab, uint64_t than)
{
	return rules_committed(lab->rules) > than;
}

static bool leads_anew(struct lab *lab, uint64_t than)
{
	return rules_counters(lab->rules)->leaders > than;
}

/*
 * One is brought back by a snapshot, and has received all of it, when the leader dies. The next leader does not know
 * yet that what the snapshot holds is committed, but has all of it, and more, in its log: it sends that, and only then
 * the snapshot has been read back.
 */
static void overtake(struct lab *lab)
{
	uint32_t leader = lab_leader(lab);
	uint32_t victim = lab_after(lab, leader, 1 + (uint32_t)lab_draw(lab, 4));
	struct sim_host_settings *disk = sim_host_settings(lab->nodes[victim].host), usual = *disk;
	/* What it misses is gone at the leader only: that one takes the next snapshot before the others do. */
	some(lab, 5);
	lab_run(lab, 100 * LAB_MS);
	lab_cut(lab, victim);
	some(lab, 4);
	lab_run(lab, 100 * LAB_MS);
	/* The others have these, and do not hear that they are committed. */
	uint64_t before = rules_committed(lab->rules);
	for (uint32_t i = 0; i < 3 * SNAPSHOT_ENTRIES && lab_ok(lab); i++)
		lab_propose(lab, leader, lab_value(lab));
	await(lab, committed, before);
	for (uint32_t i = 0; i < lab->count; i++)
		if (i != leader && i != victim)
			sim_net_link(lab->nodes[leader].host, lab->nodes[i].host)->drop_ppm = 1000000;
	uint64_t leaders = rules_counters(lab->rules)->leaders;
	lab_join(lab, victim);
	if (await(lab, has_received, victim)) {
		/* Its file is synced for so long; then all goes fast again. */
		disk->sync_min_ns = disk->sync_typical_ns = disk->sync_max_ns =
			100 * LAB_MS + lab_draw(lab, 100 * LAB_MS);
		lab_run(lab, 2 * LAB_MS);
		*disk = usual;
		lab_crash_as(lab, leader, SIM_KILL);
		await(lab, leads_anew, leaders);
		for (uint32_t i = 0; i < lab->count; i++)
			if (i != victim)
				sim_disk_stall(lab->nodes[i].host, sim_now(lab->sim) + 400 * LAB_MS);
		lab_run(lab, 500 * LAB_MS);
	}
	lab_network(lab, LAB_RELIABLE);
	lab_start(lab, leader);
	lab_one(lab, 5);
}

void lab_snapshot_install_tail(struct lab *lab)
{
	lab_one(lab, 5);
	for (uint32_t round = 0; round < 10 && rules_counters(lab->rules)->installs_keeping == 0; round++)
		overtake(lab);
	if (rules_counters(lab->rules)->installs_keeping == 0)
		lab_fail(lab, "no log behind an installed snapshot was kept");
}

static void all_crash(struct lab *lab)
{
	for (uint32_t i = 0; i < lab->count; i++)
		lab_crash(lab, i);
	for (uint32_t i = 0; i < lab->count; i++)
		lab_start(lab, i);
}

/* All crash, with snapshots: indices go on where they were. */
void lab_snapshot_all_crash(struct lab *lab)
{
	lab_one(lab, 3);
	for (uint32_t round = 0; round < 5 && lab_ok(lab); round++) {
		some(lab, 3);
		uint64_t before = lab_one(lab, 3);
		all_crash(lab);
		uint64_t index = lab_one(lab, 3);
		if (lab_ok(lab) && index <= before)
			lab_fail(lab,
				 "after a restart of all, index %" PRIu64 " was given again; %" PRIu64 " was before it",
				 index, before);
	}
}

/* All start from a snapshot and a short log: the state is what it was. */
void lab_snapshot_init(struct lab *lab)
{
	lab_one(lab, 3);
	for (uint32_t i = 0; i < 4; i++)
		some(lab, 3);
	lab_one(lab, 3);
	lab_run(lab, LAB_S);
	all_crash(lab);
	lab_one(lab, 3); /* Alone behind the snapshot. */
	all_crash(lab);
	lab_one(lab, 3);
	for (uint32_t i = 0; i < lab->count && lab_ok(lab); i++) {
		const struct lab_node *node = &lab->nodes[i];
		if (node->loads == 0)
			lab_fail(lab, "node %" PRIu32 " did not start from a snapshot", i + 1);
		for (uint64_t at = 0; at < lab->agreed.size; at++)
			if (lab_list_get(&node->values, at) != lab->agreed.at[at])
				lab_fail(lab, "node %" PRIu32 " came back without value %" PRIu64 " at index %" PRIu64,
					 i + 1, lab->agreed.at[at], at);
	}
}
