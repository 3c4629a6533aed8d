/*
 * Inside the simulated disk: files (sim_file.c), and the names they have (sim_disk.c).
 *
 * What is on the disk is told from what merely was written by an undo log: for each sector with unsynced bytes, what it
 * held when it was last durable. Directories have a list of changes that no sync_dir has made durable.
 */
#ifndef IKADA_SIM_SIM_DISK_H
#define IKADA_SIM_SIM_DISK_H

#include "sim/sim_world.h"

enum { SECTOR_BYTES = 512 };

struct undo {
	uint32_t sector;
	bool stuck; /* A sync failed on it: it counts as clean, and no later sync writes it. */
};

struct inode {
	struct sim_host *host;
	bool is_dir;
	uint32_t refs;	/* Names, durable names, changes, open files. */
	uint32_t users; /* Names and open files: while there are any, its room is used. */
	struct env_file *locked_by;
	uint8_t *bytes; /* Zero from `size` to `room`. */
	uint8_t *kept;	/* What sectors with an undo held, in their places. NULL while there are none. */
	uint64_t size, durable_size;
	uint64_t room;	    /* Of `bytes`, and of `kept`; whole sectors. */
	uint32_t *undo_of;  /* By sector: 1 + place in `undos`; 0: the sector is durable. */
	struct undo *undos; /* In the order in which they were written to, roughly. */
	uint32_t undo_count, undo_room;
};

/* What a crash of the machine does to unsynced things, drawn once for each. */
enum crash_mode { CRASH_EACH, CRASH_ALL_LOST, CRASH_ALL_KEPT, CRASH_PREFIX };

struct inode *sim_inode_new(struct sim_host *host, bool is_dir);
void sim_inode_ref(struct inode *inode, bool user);
void sim_inode_unref(struct inode *inode, bool user);
void sim_inode_crash(struct inode *inode, enum crash_mode mode);
bool sim_disk_fails(struct sim_host *host);	 /* This operation fails; once. */
void sim_disk_takes_time(struct sim_host *host); /* An inline sync. */

/* The file or directory of a name, and for ENV_OPEN_CREATE a new one. */
int sim_inode_find(struct sim_host *host, const char *path, bool create, struct inode **inode);

#endif
