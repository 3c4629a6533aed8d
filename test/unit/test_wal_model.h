/*
 * A plain model of the log and the calls that keep both in step. The model is a list of digests, one after each atom (a
 * hard state, a base, an entry): what a recovery reads must be one of them, at or behind the last one reported durable.
 */
#ifndef IKADA_TEST_WAL_MODEL_H
#define IKADA_TEST_WAL_MODEL_H

#include "test_wal_disk.h"

#include "base/bytes.h"
#include "base/entry.h"
#include "wal/wal.h"

enum { SEGMENT = 64 * 1024, ATOMS_MAX = 20000, INDEX_MAX = 20000, WRITES_MAX = 4000 };

/* What the log holds, as a digest; that of the entries is the sum of theirs, and one. */
struct digest {
	uint64_t term, vote, vote_incarnation, base_index, base_term, config, last_index, entries;
};

struct model {
	struct digest now;
	uint64_t entry_at[INDEX_MAX];	/* The digest of each, by index, now. */
	uint64_t committed;		/* Noted. */
	struct digest atoms[ATOMS_MAX]; /* After each atom: a hard state, a base, an entry. */
	size_t atom_count;
	size_t durable; /* Atoms reported durable. */
	uint64_t ticket;
	size_t ticket_atoms[ATOMS_MAX];
	uint64_t durable_ticket;
	/* Each write, as it was completed. */
	struct {
		uint64_t segment, offset, size;
		size_t atoms;
	} writes[WRITES_MAX];
	size_t write_count;
	uint64_t counter;
};

struct world {
	struct disk *disk;
	struct wal *wal;
	struct wal_settings settings;
	struct model model;
	struct model replayed;
	struct wal_state state;
	char error[512];
	bool busy; /* Inside a call into the log: no callback may come. */
	void (*on_durable)(struct world *w);
	uint8_t *bytes, *payload; /* Of put_entries. */
};

static inline uint64_t mix(uint64_t h, const void *bytes, size_t size)
{
	const uint8_t *p = bytes;
	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h ^ h >> 29;
}

/* ---- The model ---- */

static inline void model_base(struct model *m, uint64_t index, uint64_t term, const uint8_t *config, size_t size)
{
	m->now.base_index = m->now.last_index = index;
	m->now.base_term = term;
	m->now.config = mix(7, config, size);
	m->now.entries = 1;
}

/* Entries above stay. */
static inline void model_keep(struct model *m, uint64_t index, uint64_t term, const uint8_t *config, size_t size)
{
	for (uint64_t i = m->now.base_index + 1; i <= index; i++)
		m->now.entries -= m->entry_at[i];
	m->now.base_index = index;
	m->now.base_term = term;
	m->now.config = mix(7, config, size);
}

static inline void model_entry(struct model *m, uint64_t index, const uint8_t *bytes, size_t size)
{
	assert_true(index > m->now.base_index && index <= m->now.last_index + 1);
	assert_true(index < INDEX_MAX);
	for (uint64_t i = index; i <= m->now.last_index; i++)
		m->now.entries -= m->entry_at[i];
	m->entry_at[index] = mix(index * 0x9e3779b97f4a7c15u, bytes, size);
	m->now.entries += m->entry_at[index];
	m->now.last_index = index;
}

static inline void model_atom(struct model *m)
{
	assert_true(m->atom_count < ATOMS_MAX);
	m->atoms[m->atom_count++] = m->now;
}

/* ---- The log ---- */

static inline void replay_base(void *context, uint64_t index, uint64_t term, const uint8_t *config, size_t size)
{
	struct world *w = context;
	model_base(&w->replayed, index, term, config, size);
}

static inline void replay_entry(void *context, uint64_t index, uint64_t term, const uint8_t *bytes, size_t size)
{
	struct world *w = context;
	struct entry entry;
	assert_int_equal(entry_decode(bytes, size, &entry), size);
	assert_int_equal(entry.index, index);
	assert_int_equal(entry.term, term);
	model_entry(&w->replayed, index, bytes, size);
}

static inline void durable(void *context, uint64_t ticket)
{
	struct world *w = context;
	assert_false(w->busy);
	assert_true(ticket > w->model.durable_ticket && ticket <= w->model.ticket);
	w->model.durable_ticket = ticket;
	w->model.durable = w->model.ticket_atoms[ticket];
	if (w->on_durable != NULL)
		w->on_durable(w);
}

static inline bool open_log(struct world *w)
{
	const struct wal_replay replay = {w, replay_base, replay_entry};
	memset(&w->replayed.now, 0, sizeof w->replayed.now);
	w->error[0] = '\0';
	w->busy = true;
	w->wal = wal_open(&w->disk->env, &w->settings, &replay, &w->state, w->error, sizeof w->error);
	w->busy = false;
	if (w->wal == NULL) {
		assert_true(strlen(w->error) > 10);
		assert_null(strchr(w->error, '\n'));
		assert_int_equal(w->disk->mem.bytes, 0);
	}
	return w->wal != NULL;
}

/* What was read is what some prefix of the atoms led to, and the prefix has at least `least` of them; it is kept. */
static inline void check_read(struct world *w, size_t least)
{
	struct model *m = &w->model;
	struct digest read = w->replayed.now;
	read.term = w->state.term;
	read.vote = w->state.vote;
	read.vote_incarnation = w->state.vote_incarnation;
	assert_int_equal(read.base_index, w->state.base_index);
	assert_int_equal(read.base_term, w->state.base_term);
	assert_int_equal(read.last_index, w->state.last_index);
	assert_int_equal(w->state.has_base, read.entries != 0);
	assert_true(w->state.commit <= read.last_index && w->state.commit >= read.base_index);
	assert_true(w->state.commit <= m->committed || w->state.commit == read.base_index);
	if (w->state.commit > read.base_index)
		assert_int_equal(w->replayed.entry_at[w->state.commit], m->entry_at[w->state.commit]);
	size_t at = m->atom_count;
	while (memcmp(&m->atoms[at - 1], &read, sizeof read) != 0)
		if (--at < least || at == 0)
			fail_msg("what was read is no prefix that has all that was durable (%zu of %zu atoms)", least,
				 m->atom_count);
	m->atom_count = at;
	m->now = read;
	memcpy(m->entry_at, w->replayed.entry_at, (read.last_index + 1) * sizeof m->entry_at[0]);
	m->committed = m->committed > read.last_index ? w->state.commit : m->committed;
	m->durable = at;
	m->ticket = m->durable_ticket = 0;
}

static inline struct world *world_new(uint64_t seed)
{
	struct world *w = calloc(1, sizeof *w);
	w->disk = disk_new(seed);
	w->settings = (struct wal_settings){"d/wal", SEGMENT, SEGMENT / 2, durable, w};
	model_atom(&w->model);
	return w;
}

static inline void world_free(struct world *w)
{
	if (w->wal != NULL)
		wal_close(w->wal);
	disk_free(w->disk);
	free(w->bytes);
	free(w->payload);
	free(w);
}

static inline void ticket(struct world *w)
{
	struct model *m = &w->model;
	m->ticket_atoms[++m->ticket] = m->atom_count;
	wal_put_ticket(w->wal, m->ticket);
}

static inline void put_hard(struct world *w, uint64_t term, uint64_t vote)
{
	wal_put_hard(w->wal, 0, term, vote, vote * 1000 + term);
	w->model.now.term = term;
	w->model.now.vote = vote;
	w->model.now.vote_incarnation = vote * 1000 + term;
	model_atom(&w->model);
	ticket(w);
}

static inline void put_base(struct world *w, uint64_t index)
{
	uint8_t config[40];
	memset(config, (int)index, sizeof config);
	size_t size = 1 + index % 40;
	wal_put_base(w->wal, 0, index, w->model.now.term, config, size, false);
	model_base(&w->model, index, w->model.now.term, config, size);
	model_atom(&w->model);
	ticket(w);
}

static inline void put_keep(struct world *w, uint64_t index)
{
	uint8_t config[40];
	memset(config, (int)index + 1, sizeof config);
	size_t size = 1 + index % 39;
	wal_put_base(w->wal, 0, index, w->model.now.term, config, size, true);
	model_keep(&w->model, index, w->model.now.term, config, size);
	model_atom(&w->model);
	ticket(w);
}

/* Entries with payloads of up to `length`, exactly that for a single one. */
static inline void put_entries(struct world *w, uint64_t first, size_t count, size_t length)
{
	struct model *m = &w->model;
	uint8_t *bytes = w->bytes = realloc(w->bytes, count * entry_bytes(length));
	uint8_t *payload = w->payload = realloc(w->payload, length + 1);
	size_t size = 0;
	for (size_t i = 0; i < count; i++) {
		m->counter++;
		size_t own = count == 1 ? length : (size_t)(m->counter * 7919 % (length + 1));
		memset(payload, (int)m->counter, own);
		struct entry entry = {.index = first + i,
				      .term = m->now.term,
				      .stamp = m->counter,
				      .kind = ENTRY_COMMAND,
				      .length = (uint32_t)own,
				      .payload = payload};
		entry_encode(bytes + size, &entry);
		model_entry(m, first + i, bytes + size, entry_bytes(own));
		model_atom(m);
		size += entry_bytes(own);
	}
	wal_put_entries(w->wal, bytes, size);
	memset(bytes, 0xee, size); /* Copied, not kept. */
	ticket(w);
}

static inline void note(struct world *w, uint64_t commit)
{
	wal_note_commit(w->wal, 0, commit);
	if (commit > w->model.committed)
		w->model.committed = commit;
}

static inline void complete(struct world *w)
{
	struct disk *d = w->disk;
	struct model *m = &w->model;
	assert_true(wal_sync_started_ns(w->wal) != 0);
	uint64_t offset = d->io_offset;
	uint64_t size = d->io_size;
	uint64_t segment = get_le64(d->io_file->inode->now + 16);
	disk_complete(d, 0);
	assert_int_equal(wal_sync_started_ns(w->wal), 0);
	assert_true(m->write_count < WRITES_MAX);
	m->writes[m->write_count].segment = segment;
	m->writes[m->write_count].offset = offset;
	m->writes[m->write_count].size = size;
	m->writes[m->write_count++].atoms = m->durable;
}

static inline void flush(struct world *w)
{
	w->busy = true;
	wal_flush(w->wal);
	w->busy = false;
}

static inline void drain(struct world *w)
{
	for (;;) {
		if (w->disk->io != NULL)
			complete(w);
		if (w->disk->slow != NULL)
			disk_complete_slow(w->disk);
		flush(w);
		if (w->disk->io == NULL && w->disk->slow == NULL)
			break;
	}
	assert_true(wal_idle(w->wal));
	assert_int_equal(wal_pending_bytes(w->wal), 0);
	assert_int_equal(w->model.durable, w->model.atom_count);
}

static inline void seal(struct world *w)
{
	w->busy = true;
	wal_seal(w->wal);
	w->busy = false;
	if (w->disk->io != NULL)
		complete(w);
}

static inline void close_log(struct world *w)
{
	wal_close(w->wal);
	w->wal = NULL;
	assert_int_equal(w->disk->mem.bytes, 0);
}

static inline void born(struct world *w)
{
	assert_true(open_log(w));
	assert_false(w->state.has_base);
	put_base(w, 0);
	drain(w);
}

/* Opens, and may crash on the way, again and again (S05); then what was read is right. */
static inline void reopen(struct world *w, struct rng *rng)
{
	uint64_t crashes = rng_below(rng, 4);
	for (;;) {
		struct disk *d = w->disk;
		bool last = crashes-- == 0;
		d->stop_at = last ? 0 : d->ops + 1 + rng_below(rng, 40);
		if (setjmp(d->out) != 0) {
			disk_crash(d, rng_below(rng, 101));
			continue;
		}
		if (!open_log(w))
			fail_msg("refused: %s", w->error);
		check_read(w, w->model.durable);
		d->stop_at = 0;
		if (last)
			return;
		wal_close(w->wal); /* It got through before the crash. */
		w->wal = NULL;
		disk_crash(d, 50);
	}
}

static inline void refused(struct world *w, const char *words)
{
	assert_false(open_log(w));
	if (strstr(w->error, words) == NULL)
		fail_msg("\"%s\" has not: %s", w->error, words);
}

/* A log of two epochs that ends a little way into its second segment, without a seal. */
static inline struct world *finished_log(void)
{
	struct world *w = world_new(5);
	born(w);
	put_hard(w, 1, 2);
	put_entries(w, 1, 5, 300);
	drain(w);
	seal(w);
	close_log(w);
	assert_true(open_log(w));
	check_read(w, w->model.durable);
	for (uint64_t i = 6; i < 9; i++) {
		put_entries(w, i, 1, 15000);
		note(w, i - 1);
		drain(w);
	}
	put_entries(w, 9, 8, 200);
	drain(w);
	put_hard(w, 2, 3);
	put_entries(w, 12, 12, 500); /* Replaces, and takes more than a block. */
	drain(w);
	close_log(w);
	const struct model *m = &w->model;
	assert_int_equal(m->writes[m->write_count - 1].segment, 2);
	assert_true(m->writes[m->write_count - 1].size > 4096);
	return w;
}

#endif
