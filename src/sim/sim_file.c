/*
 * Files of a simulated disk: their bytes, what of them is durable, and writes under way.
 *
 * A write_sync reaches the disk when its time has come, whether the process is awake or not: its range, in whole
 * sectors, and the size it needs are durable then. If the process ends before, some of it may have been written. A
 * write_async is written when its time has come, no more; a sync_async makes durable what was written until then.
 *
 * A sync that fails leaves what it was to write as real systems do: readable, held to be clean, and not on the disk. A
 * second sync then succeeds, and a crash still loses it, unless it was written again.
 */
#include "sim/sim_disk.h"

#include "base/check.h"
#include "base/crc32c.h"

#include <errno.h>
#include <string.h>

#define ROOM_MIN ((uint64_t)4096)

struct env_file {
	struct sim_host *host;
	struct inode *inode;
	struct list at; /* In host->files. */
	bool writable;
};

enum io_kind { IO_WRITE_SYNC, IO_WRITE, IO_SYNC };

struct disk_io {
	enum io_kind kind;
	struct event event;
	struct list at; /* In host->ios. */
	struct env_file *file;
	const uint8_t *bytes;
	size_t size;
	uint64_t offset;
	struct env_io *io;
	int status;
	bool reached; /* The disk; only `done` is left. */
};

struct inode *sim_inode_new(struct sim_host *host, bool is_dir)
{
	struct inode *inode = mem_zero(&host->sim->mem, sizeof *inode);
	inode->host = host;
	inode->is_dir = is_dir;
	return inode;
}

void sim_inode_ref(struct inode *inode, bool user)
{
	inode->refs++;
	if (user && inode->users++ == 0)
		inode->host->disk.used += inode->size;
}

/* What was kept is of no more use once there are no undos. */
static void forget_kept(struct inode *inode)
{
	if (inode->undo_count > 0 || inode->kept == NULL)
		return;
	sim_give(inode->host->sim, inode->kept, inode->room);
	inode->kept = NULL;
}

void sim_inode_unref(struct inode *inode, bool user)
{
	struct mem *mem = &inode->host->sim->mem;
	CHECK(inode->refs > 0 && (!user || inode->users > 0));
	if (user && --inode->users == 0)
		inode->host->disk.used -= inode->size;
	if (--inode->refs > 0)
		return;
	inode->undo_count = 0;
	forget_kept(inode);
	if (inode->bytes != NULL)
		sim_give(inode->host->sim, inode->bytes, inode->room);
	mem_free(mem, inode->undo_of);
	mem_free(mem, inode->undos);
	mem_free(mem, inode);
}

static void set_size(struct inode *inode, uint64_t size)
{
	if (inode->users > 0)
		inode->host->disk.used += size - inode->size;
	inode->size = size;
}

/* A block of the pool: files are as large as others before them. */
static uint8_t *move(struct sim *sim, uint8_t *bytes, uint64_t size, uint64_t room)
{
	uint8_t *to = sim_take(sim, room);
	if (size > 0) {
		memcpy(to, bytes, size);
		sim_give(sim, bytes, size);
	}
	return to;
}

/* The file is to be at least so long. */
static void grow(struct inode *inode, uint64_t size)
{
	struct mem *mem = &inode->host->sim->mem;
	if (size > inode->room) {
		uint64_t room = inode->room * 2 > size ? inode->room * 2 : size;
		if (room < ROOM_MIN)
			room = ROOM_MIN;
		room = (room + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES;
		uint64_t old_sectors = inode->room / SECTOR_BYTES;
		uint64_t sectors = room / SECTOR_BYTES;
		CHECK_OP(sectors, <, (uint64_t)UINT32_MAX);
		inode->bytes = move(inode->host->sim, inode->bytes, inode->room, room);
		memset(inode->bytes + inode->room, 0, room - inode->room);
		if (inode->kept != NULL)
			inode->kept = move(inode->host->sim, inode->kept, inode->room, room);
		inode->undo_of = mem_resize(mem, inode->undo_of, sectors * sizeof *inode->undo_of);
		memset(inode->undo_of + old_sectors, 0, (sectors - old_sectors) * sizeof *inode->undo_of);
		inode->room = room;
	}
	if (size > inode->size)
		set_size(inode, size);
}

static bool has_room(const struct inode *inode, uint64_t size)
{
	const struct disk *disk = &inode->host->disk;
	return size <= inode->size || (disk->used <= disk->limit && size - inode->size <= disk->limit - disk->used);
}

/* Before a sector is written without a sync. */
static void save(struct inode *inode, uint32_t sector)
{
	if (inode->undo_of[sector] != 0) {
		inode->undos[inode->undo_of[sector] - 1].stuck = false;
		return;
	}
	if (inode->undo_count == inode->undo_room) {
		inode->undo_room = inode->undo_room == 0 ? 16 : inode->undo_room * 2;
		inode->undos =
			mem_resize(&inode->host->sim->mem, inode->undos, inode->undo_room * sizeof *inode->undos);
	}
	if (inode->kept == NULL)
		inode->kept = sim_take(inode->host->sim, inode->room);
	inode->undos[inode->undo_count++] = (struct undo){.sector = sector};
	uint64_t at = (uint64_t)sector * SECTOR_BYTES;
	memcpy(inode->kept + at, inode->bytes + at, SECTOR_BYTES);
	inode->undo_of[sector] = inode->undo_count;
}

/* The sector is durable as it is. */
static void settle(struct inode *inode, uint32_t sector)
{
	uint32_t at = inode->undo_of[sector];
	if (at == 0)
		return;
	inode->undo_of[sector] = 0;
	const struct undo *last = &inode->undos[--inode->undo_count];
	if (at - 1 == inode->undo_count)
		return;
	inode->undos[at - 1] = *last;
	inode->undo_of[last->sector] = at;
}

static void write_unsynced(struct inode *inode, const uint8_t *bytes, uint64_t size, uint64_t offset)
{
	if (size == 0)
		return;
	grow(inode, offset + size);
	for (uint64_t s = offset / SECTOR_BYTES; s <= (offset + size - 1) / SECTOR_BYTES; s++)
		save(inode, (uint32_t)s);
	memcpy(inode->bytes + offset, bytes, size);
}

static void write_durably(struct inode *inode, const uint8_t *bytes, uint64_t size, uint64_t offset)
{
	if (size == 0)
		return;
	grow(inode, offset + size);
	memcpy(inode->bytes + offset, bytes, size);
	for (uint64_t s = offset / SECTOR_BYTES; inode->undo_count > 0 && s <= (offset + size - 1) / SECTOR_BYTES; s++)
		settle(inode, (uint32_t)s);
	forget_kept(inode);
	if (inode->durable_size < offset + size)
		inode->durable_size = offset + size;
}

/* What a sync does: all that is not held to be clean becomes durable. */
static void settle_all(struct inode *inode)
{
	uint32_t left = 0;
	for (uint32_t i = 0; i < inode->undo_count; i++) {
		inode->undo_of[inode->undos[i].sector] = 0;
		if (!inode->undos[i].stuck)
			continue;
		if (left != i)
			inode->undos[left] = inode->undos[i];
		left++;
		inode->undo_of[inode->undos[i].sector] = left;
	}
	inode->undo_count = left;
	forget_kept(inode);
	inode->durable_size = inode->size;
}

static void forget_undos(struct inode *inode)
{
	for (uint32_t i = 0; i < inode->undo_count; i++)
		inode->undo_of[inode->undos[i].sector] = 0;
	inode->undo_count = 0;
	forget_kept(inode);
	inode->durable_size = inode->size;
}

/* A sync has failed. */
static void stick_all(struct inode *inode)
{
	for (uint32_t i = 0; i < inode->undo_count; i++)
		inode->undos[i].stuck = true;
}

void sim_inode_crash(struct inode *inode, enum crash_mode mode)
{
	struct rng *rng = &inode->host->rng_disk;
	uint64_t prefix = mode == CRASH_PREFIX ? rng_range(rng, 0, inode->undo_count) : 0;
	for (uint32_t i = 0; i < inode->undo_count; i++) {
		const struct undo *undo = &inode->undos[i];
		bool kept = mode == CRASH_ALL_KEPT || (mode == CRASH_PREFIX && i < prefix) ||
			    (mode == CRASH_EACH && rng_chance(rng, 500000));
		if (kept && !undo->stuck)
			continue;
		uint64_t at = (uint64_t)undo->sector * SECTOR_BYTES;
		memcpy(inode->bytes + at, inode->kept + at, SECTOR_BYTES);
		inode->host->sim->counters.sectors_lost++;
	}
	if (inode->size > inode->durable_size) {
		bool kept = mode == CRASH_ALL_KEPT || (mode != CRASH_ALL_LOST && rng_chance(rng, 500000));
		if (!kept) {
			memset(inode->bytes + inode->durable_size, 0, inode->size - inode->durable_size);
			set_size(inode, inode->durable_size);
		}
	}
	forget_undos(inode);
}

static uint64_t sync_time(struct sim_host *host)
{
	const struct sim_host_settings *s = &host->settings;
	if (rng_chance(&host->rng_disk, 125000))
		return rng_range(&host->rng_disk, s->sync_typical_ns, s->sync_max_ns);
	return rng_range(&host->rng_disk, s->sync_min_ns, s->sync_typical_ns);
}

void sim_disk_takes_time(struct sim_host *host)
{
	struct sim *sim = host->sim;
	sim->counters.disk_syncs++;
	uint64_t start = sim->now + host->debt;
	if (start < host->disk.stall_until)
		start = host->disk.stall_until;
	uint64_t took = sync_time(host);
	host->debt = start + took - sim->now;
}

bool sim_disk_fails(struct sim_host *host)
{
	bool fails = host->disk.fail_next;
	host->disk.fail_next = false;
	return fails;
}

void sim_disk_fail_next(struct sim_host *host)
{
	host->disk.fail_next = true;
}

void sim_disk_mend(struct sim_host *host)
{
	host->disk.fail_next = false;
}

int sim_file_open(struct env *env, const char *path, enum env_open how, struct env_file **file)
{
	struct sim_host *host = (struct sim_host *)(void *)env;
	struct inode *inode;
	int status = sim_inode_find(host, path, (how & ENV_OPEN_CREATE) != 0, &inode);
	if (status != 0)
		return status;
	if (inode->is_dir)
		return -EISDIR;
	struct env_file *f = mem_zero(&host->mem, sizeof *f);
	f->host = host;
	f->inode = inode;
	f->writable = (how & (ENV_OPEN_WRITE | ENV_OPEN_CREATE)) != 0;
	sim_inode_ref(inode, true);
	list_push(&host->files, &f->at);
	*file = f;
	return 0;
}

static void io_free(struct disk_io *io)
{
	struct sim *sim = io->file->host->sim;
	sim_event_cancel(sim, &io->event);
	list_remove(&io->at);
	sim_give(sim, io, sizeof *io);
}

/* A write that nobody will hear of. Where it goes to file at all, nothing of it is synced. */
static void abandon(struct disk_io *io, bool whole)
{
	struct inode *inode = io->file->inode;
	struct rng *rng = &io->file->host->rng_disk;
	if (!io->reached && io->kind != IO_SYNC && has_room(inode, io->offset + io->size)) {
		uint64_t sectors = (io->size + SECTOR_BYTES - 1) / SECTOR_BYTES;
		uint64_t written = whole ? sectors : rng_range(rng, 0, sectors + sectors / 2);
		uint64_t size = written * SECTOR_BYTES;
		write_unsynced(inode, io->bytes, size < io->size ? size : io->size, io->offset);
	}
	io_free(io);
}

static void file_free(struct env_file *file)
{
	if (file->inode->locked_by == file)
		file->inode->locked_by = NULL;
	list_remove(&file->at);
	sim_inode_unref(file->inode, true);
	mem_free(&file->host->mem, file);
}

void sim_file_close(struct env_file *file)
{
	struct list *next;
	for (struct list *at = file->host->ios.next; at != &file->host->ios; at = next) {
		struct disk_io *io = LIST_OF(at, struct disk_io, at);
		next = at->next;
		if (io->file == file)
			abandon(io, false);
	}
	file_free(file);
}

/* After SIM_KILL a write under way is written to some length; in a crash of the machine, whatever sectors of it. */
void sim_disk_end(struct sim_host *host, enum sim_crash how)
{
	while (!list_empty(&host->ios))
		abandon(LIST_OF(host->ios.next, struct disk_io, at), how != SIM_KILL);
	while (!list_empty(&host->files))
		file_free(LIST_OF(host->files.next, struct env_file, at));
}

int64_t sim_file_size(struct env_file *file)
{
	return (int64_t)file->inode->size;
}

int64_t sim_file_read_at(struct env_file *file, void *bytes, size_t size, uint64_t offset)
{
	const struct inode *inode = file->inode;
	if (offset >= inode->size)
		return 0;
	if (size > inode->size - offset)
		size = inode->size - offset;
	if (size > 0)
		memcpy(bytes, inode->bytes + offset, size);
	return (int64_t)size;
}

static int may_write(struct env_file *file, uint64_t size)
{
	if (!file->writable)
		return -EBADF;
	if (sim_disk_fails(file->host))
		return -EIO;
	return has_room(file->inode, size) ? 0 : -ENOSPC;
}

int sim_file_write_at(struct env_file *file, const void *bytes, size_t size, uint64_t offset)
{
	int status = may_write(file, offset + size);
	if (status != 0)
		return status;
	file->host->sim->counters.disk_writes++;
	write_unsynced(file->inode, bytes, size, offset);
	return 0;
}

int sim_file_allocate(struct env_file *file, uint64_t size)
{
	int status = may_write(file, size);
	if (status == 0)
		grow(file->inode, size);
	return status;
}

int sim_file_sync(struct env_file *file)
{
	if (sim_disk_fails(file->host)) {
		stick_all(file->inode);
		return -EIO;
	}
	sim_disk_takes_time(file->host);
	settle_all(file->inode);
	return 0;
}

int sim_file_lock(struct env_file *file)
{
	if (file->inode->locked_by != NULL && file->inode->locked_by != file)
		return -EWOULDBLOCK;
	file->inode->locked_by = file;
	return 0;
}

static void submit(struct disk_io io, uint64_t takes)
{
	struct sim_host *host = io.file->host;
	struct sim *sim = host->sim;
	struct disk_io *new = sim_take(sim, sizeof *new);
	*new = io;
	sim_event_init(&new->event, EVENT_IO, host);
	list_push(&host->ios, &new->at);
	uint64_t start = sim->now > host->disk.stall_until ? sim->now : host->disk.stall_until;
	sim_event_at(sim, &new->event, start + takes);
}

void sim_file_write_sync(struct env_file *file, const void *bytes, size_t size, uint64_t offset, struct env_io *io)
{
	submit(
		(struct disk_io){
			.kind = IO_WRITE_SYNC, .file = file, .bytes = bytes, .size = size, .offset = offset, .io = io},
		sync_time(file->host));
}

void sim_file_write_async(struct env_file *file, const void *bytes, size_t size, uint64_t offset, struct env_io *io)
{
	struct sim_host *host = file->host;
	submit(
		(struct disk_io){
			.kind = IO_WRITE, .file = file, .bytes = bytes, .size = size, .offset = offset, .io = io},
		rng_range(&host->rng_disk, host->settings.sync_min_ns / 4, host->settings.sync_typical_ns));
}

void sim_file_sync_async(struct env_file *file, struct env_io *io)
{
	submit((struct disk_io){.kind = IO_SYNC, .file = file, .io = io}, sync_time(file->host));
}

static void reach_write_sync(struct disk_io *io)
{
	struct sim_host *host = io->file->host;
	struct inode *inode = io->file->inode;
	io->status = may_write(io->file, io->offset + io->size);
	if (io->status == -EIO) {
		/* The sync failed, not the write. */
		if (has_room(inode, io->offset + io->size))
			write_unsynced(inode, io->bytes, io->size, io->offset);
		stick_all(inode);
	}
	if (io->status == 0) {
		write_durably(inode, io->bytes, io->size, io->offset);
		host->sim->counters.disk_writes++;
		host->sim->counters.disk_syncs++;
	}
}

static void reach_sync(struct disk_io *io)
{
	struct sim_host *host = io->file->host;
	io->status = sim_disk_fails(host) ? -EIO : 0;
	if (io->status == 0)
		settle_all(io->file->inode);
	else
		stick_all(io->file->inode);
	host->sim->counters.disk_syncs += io->status == 0;
}

/* Segments are filled with zeros again and again: their sum is remembered. */
static uint32_t sum_of(struct sim *sim, const uint8_t *bytes, size_t size)
{
	if (size == 0)
		return 0;
	if (bytes[0] != 0 || memcmp(bytes, bytes + 1, size - 1) != 0)
		return crc32c(0, bytes, size);
	if (sim->zeros_size != size) {
		sim->zeros_sum = crc32c(0, bytes, size);
		sim->zeros_size = size;
	}
	return sim->zeros_sum;
}

void sim_io_reach(struct event *event)
{
	struct disk_io *io = LIST_OF(event, struct disk_io, event);
	struct sim_host *host = event->host;
	if (io->kind == IO_WRITE_SYNC)
		reach_write_sync(io);
	else if (io->kind == IO_SYNC)
		reach_sync(io);
	else
		io->status = sim_file_write_at(io->file, io->bytes, io->size, io->offset);
	io->reached = true;
	sim_note(host, NOTE_WROTE, NULL, io->size, sum_of(host->sim, io->bytes, io->size));
	sim_tell(host, event);
}

void sim_io_done(struct event *event)
{
	struct disk_io *done = LIST_OF(event, struct disk_io, event);
	struct env_io *io = done->io;
	int status = done->status;
	io_free(done);
	io->done(io, status);
}

void sim_disk_stall(struct sim_host *host, uint64_t until)
{
	struct sim *sim = host->sim;
	if (host->disk.stall_until < until)
		host->disk.stall_until = until;
	for (struct list *at = host->ios.next; at != &host->ios; at = at->next) {
		struct disk_io *io = LIST_OF(at, struct disk_io, at);
		if (!io->reached && io->event.time < until)
			sim_event_at(sim, &io->event, until + (io->event.time - sim->now));
	}
}
