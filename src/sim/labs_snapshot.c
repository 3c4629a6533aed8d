/* Snapshots (paper, 7): logs stay small, and who has missed what is gone is brought back. */
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
