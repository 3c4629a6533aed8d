/* A file on the disk of a simulated host, with a model of what is written and what is durable. */
#ifndef IKADA_TEST_SIM_FILE_MODEL_H
#define IKADA_TEST_SIM_FILE_MODEL_H

#include "unit/sim_sides.h"

enum { FILE_SECTORS = 64, SECTOR = 512 };

/* A file with its model: what is durable and what is written, by sector. */
struct file {
	struct side *side;
	struct env_file *file;
	uint8_t durable[FILE_SECTORS][SECTOR], now[FILE_SECTORS][SECTOR];
	uint64_t durable_size, size;
	struct env_io io;
	int done, status;
	uint8_t bytes[4 * SECTOR];
};

static inline void io_done(struct env_io *io, int status)
{
	struct file *f = (struct file *)(void *)((char *)io - offsetof(struct file, io));
	assert_false(f->side->in_call);
	f->done++;
	f->status = status;
}

static inline void file_create(struct file *f)
{
	struct side *side = f->side;
	assert_int_equal(side->ops->open(side->env, "./log", ENV_OPEN_CREATE, &f->file), 0);
	assert_int_equal(side->ops->sync_dir(side->env, "."), 0);
}

static inline void fill(struct file *f, uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(rng_next(&f->side->w->rng) | 1);
}

static inline void file_write(struct file *f)
{
	uint64_t size = rng_between(&f->side->w->rng, 1, sizeof f->bytes);
	uint64_t at = rng_below(&f->side->w->rng, sizeof f->now - size);
	fill(f, f->bytes, size);
	assert_int_equal(f->side->ops->write_at(f->file, f->bytes, size, at), 0);
	memcpy((uint8_t *)f->now + at, f->bytes, size);
	f->size = at + size > f->size ? at + size : f->size;
}

static inline void file_sync(struct file *f)
{
	assert_int_equal(f->side->ops->sync(f->file), 0);
	memcpy(f->durable, f->now, sizeof f->now);
	f->durable_size = f->size;
}

static inline void file_fill(struct file *f)
{
	fill(f, (uint8_t *)f->now, sizeof f->now);
	assert_int_equal(f->side->ops->write_at(f->file, f->now, sizeof f->now, 0), 0);
	f->size = sizeof f->now;
	file_sync(f);
}

static inline void file_write_sync(struct file *f)
{
	uint64_t size = rng_between(&f->side->w->rng, 1, 4) * SECTOR;
	uint64_t at = rng_below(&f->side->w->rng, FILE_SECTORS - 4) * SECTOR;
	fill(f, f->bytes, size);
	f->io.done = io_done;
	f->side->in_call = true;
	f->side->ops->write_sync(f->file, f->bytes, size, at, &f->io);
	f->side->in_call = false;
	memcpy((uint8_t *)f->now + at, f->bytes, size);
	memcpy((uint8_t *)f->durable + at, f->bytes, size);
	f->size = at + size > f->size ? at + size : f->size;
	f->durable_size = at + size > f->durable_size ? at + size : f->durable_size;
}

/* Written when it is done, and still not durable. */
static inline void file_write_async(struct file *f)
{
	uint64_t size = rng_between(&f->side->w->rng, 1, 4) * SECTOR;
	uint64_t at = rng_below(&f->side->w->rng, FILE_SECTORS - 4) * SECTOR;
	fill(f, f->bytes, size);
	f->io.done = io_done;
	f->side->in_call = true;
	f->side->ops->write_async(f->file, f->bytes, size, at, &f->io);
	f->side->in_call = false;
	memcpy((uint8_t *)f->now + at, f->bytes, size);
	f->size = at + size > f->size ? at + size : f->size;
}

static inline void file_sync_async(struct file *f)
{
	f->io.done = io_done;
	f->side->in_call = true;
	f->side->ops->sync_async(f->file, &f->io);
	f->side->in_call = false;
	memcpy(f->durable, f->now, sizeof f->now);
	f->durable_size = f->size;
}

static inline void with_file(struct file *f, void (*fn)(struct file *f))
{
	assert_true(sim_host_run(f->side->host, (void (*)(void *))(void *)fn, f));
}

#endif
