/*
 * What is left of a cluster that has lost its majority for ever: the log of one survivor becomes that of a new cluster,
 * under a new id, so that those who come back later are not taken for members. The other survivors become empty nodes,
 * under new incarnations, which that one takes in. Which one it is, and what the new names are, each of them derives
 * from the same words: survivors.h. Why it is so, and what it promises: docs/membership.md.
 *
 * With the one that begins, one more entry is written, the new configuration, in a new term, and then a base that names
 * the new cluster and has that configuration: what a base has is committed, and so all entries of this log are from
 * then on. It is one batch: before it is durable, the cluster is the old one.
 *
 * With the others it is set_aside.c.
 */
#include "node/answer.h"
#include "node/node_internal.h"
#include "node/survivors.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- Looking ---- */

/* 0: the log does not have it. */
static uint64_t term_at(const struct ikada_node *node, const struct wal_state *state, uint64_t index)
{
	struct entry entry;
	if (index == state->base_index)
		return state->base_term;
	if (index < state->base_index || index > node->cache.last)
		return 0;
	cache_get(&node->cache, index, &entry);
	return entry.term;
}

/* Of which cluster the snapshot is; 0: it cannot be read. */
static uint64_t snapshot_cluster(struct ikada_node *node, const char *dir, struct snapshot which)
{
	struct env_file *file;
	struct snapshot_reader reader;
	uint64_t cluster_id = 0;
	if (snapshot_open(node->env, dir, which, &file) != 0)
		return 0;
	if (snapshot_reader_open(&reader, node->env, file))
		cluster_id = reader.header.cluster_id;
	snapshot_reader_close(&reader);
	node->env->ops->close(file);
	return cluster_id;
}

/* The newest snapshot that is of this log: what it holds is committed. Without one the log must begin at its start. */
static bool look_at_snapshots(struct ikada_node *node, const struct wal_state *state, uint64_t *known,
			      const struct answer *answer)
{
	struct snapshot *found = NULL;
	char *dir = path_join(node->mem, node->data_dir, "snapshot");
	int64_t count = snapshot_list(node->env, dir, &found);
	uint64_t of = 0;
	for (int64_t i = count - 1; of == 0 && i >= 0; i--) {
		if (found[i].index == 0 || term_at(node, state, found[i].index) != found[i].term)
			continue;
		of = snapshot_cluster(node, dir, found[i]);
		if (of != 0 && found[i].index > *known)
			*known = found[i].index;
	}
	node->recovered_from = of == 0 ? node->promised_cluster_id : of;
	mem_free(node->mem, found);
	mem_free(node->mem, dir);
	return of != 0 || state->base_index == 0 ||
	       no(answer,
		  "the log in %s begins behind entry %" PRIu64 ", and there is no snapshot that reaches so far and can "
		  "be read: this node has not survived",
		  node->data_dir, state->base_index);
}

static bool describe(struct ikada_node *node, const struct wal_state *state, struct survivor *self,
		     const struct answer *answer)
{
	const struct ikada_config *config = &node->latest.config;
	const struct ikada_member *member = roster_find(config, node->settings.id, node->incarnation);
	if (!state->has_base || config->count == 0)
		return no(answer, "the directory %s holds no cluster", node->data_dir);
	if (member == NULL)
		return no(answer, "node %" PRIu64 " is no member of the last configuration in its log",
			  node->settings.id);
	*self = (struct survivor){.id = node->settings.id,
				  .incarnation = node->incarnation,
				  .cluster_id = node->promised_cluster_id,
				  .term = state->term,
				  .last_index = state->last_index,
				  .known = state->commit};
	memcpy(self->address, node->latest.addresses[member - config->members], sizeof self->address);
	if (self->known < node->base_members.config.index)
		self->known = node->base_members.config.index;
	if (!look_at_snapshots(node, state, &self->known, answer))
		return false;
	for (uint64_t index = self->known; index <= self->last_index; index++) {
		uint64_t term = term_at(node, state, index);
		if (self->run_count > 0 && self->runs[self->run_count - 1].term == term)
			continue;
		if (self->run_count == SURVIVOR_RUNS_MAX)
			return no(answer,
				  "the log in %s has entries of more than %d terms that are not known to be "
				  "committed",
				  node->data_dir, SURVIVOR_RUNS_MAX);
		self->runs[self->run_count++] = (struct ikada_run){.first = index, .term = term};
	}
	return true;
}

static void tell(const struct ikada_node *node, const struct survivor *self, struct ikada_recovery *found)
{
	found->id = self->id;
	found->incarnation = self->incarnation;
	found->cluster_id = self->cluster_id;
	found->last_index = self->last_index;
	found->last_term = survivor_last_term(self);
	found->commit = self->known;
	found->config = node->latest.config;
	survivor_put(found->survivor, self);
}

/* ---- Judging ---- */

static bool votes(const struct ikada_member *member, bool new)
{
	enum ikada_standing leaves = new ? IKADA_INCOMING : IKADA_OUTGOING;
	return member->standing == IKADA_VOTER || member->standing == leaves ||
	       (!new && (member->standing == IKADA_LEAVING || member->standing == IKADA_DEMOTING));
}

static bool is_joint(const struct ikada_config *config)
{
	for (uint32_t i = 0; i < config->count; i++)
		if (config->members[i].standing >= IKADA_INCOMING)
			return true;
	return false;
}

/* The survivors are a majority, of both sides if the configuration is joint: nothing is lost. */
static bool can_decide(const struct ikada_config *config, const struct survivors *all)
{
	for (int new = 0; new <= is_joint(config); new ++) {
		uint32_t voters = 0, alive = 0;
		for (uint32_t i = 0; i < config->count; i++) {
			const struct ikada_member *member = &config->members[i];
			const struct survivor *s = survivors_find(all, member->id);
			voters += votes(member, new);
			alive += votes(member, new) && s != NULL && s->incarnation == member->incarnation;
		}
		if (2 * alive <= voters)
			return false;
	}
	return true;
}

/* The new configuration, as seen from this node's log; the one that begins writes it down. */
static void plan(const struct ikada_node *node, const struct survivors *all, struct wire_members *members)
{
	const struct ikada_config *config = &node->latest.config;
	memset(members, 0, sizeof *members);
	members->config.max_id = config->max_id;
	members->config.count = all->count;
	for (uint32_t i = 0; i < all->count; i++) {
		const struct survivor *s = &all->at[i];
		const struct ikada_member *was = roster_of_id(config, s->id);
		struct ikada_member *member = &members->config.members[i];
		member->id = s->id;
		member->incarnation = survivors_incarnation(all, s);
		member->standing = was != NULL && was->standing == IKADA_LEARNER ? IKADA_LEARNER : IKADA_JOINING;
		if (i == all->begins)
			member->standing = IKADA_VOTER;
		if (members->config.max_id < s->id)
			members->config.max_id = s->id;
		memcpy(members->addresses[i], s->address, sizeof members->addresses[i]);
	}
}

static bool judge(const struct ikada_node *node, const struct survivors *all, const struct survivor *self,
		  const struct answer *answer)
{
	const struct survivor *named = survivors_find(all, self->id);
	if (named->cluster_id != self->cluster_id)
		return no(answer,
			  "node %" PRIu64 " belongs to cluster %016" PRIx64 ", the survivors named to %016" PRIx64,
			  self->id, self->cluster_id, named->cluster_id);
	if (!survivor_same(named, self))
		return no(answer,
			  "node %" PRIu64 " is not what is named among the survivors, or not any more: look again",
			  self->id);
	for (uint32_t i = 0; i < all->count; i++)
		if (!address_has_port(all->at[i].address))
			return no(answer, "the address of node %" PRIu64 " is expected as HOST:PORT, found '%s'",
				  all->at[i].id, all->at[i].address);
	return !can_decide(&node->latest.config, all) ||
	       no(answer, "the survivors named are a majority of the members: nothing is lost, and there is nothing to "
			  "recover; start them");
}

/* ---- Doing ---- */

static void write_down(struct ikada_node *node, const struct wal_state *state, const struct survivors *all,
		       struct wire_members *members)
{
	struct buf bytes;
	buf_init(&bytes, node->mem);
	members->config.index = state->last_index + 1;
	wire_put_members(&bytes, members);
	const struct entry entry = {
		.index = members->config.index,
		.term = state->term + 1,
		.stamp = node->stamp,
		.kind = ENTRY_CONFIG,
		.request_node = node->settings.id,
		.request_boot = node->boot,
		.length = (uint32_t)buf_size(&bytes),
		.payload = buf_at(&bytes),
	};
	entry_encode(cache_add(&node->cache, entry_bytes(entry.length)), &entry);
	const uint8_t *encoded;
	size_t size;
	cache_piece(&node->cache, entry.index, entry.index, SIZE_MAX, &encoded, &size);
	buf_consume(&bytes, buf_size(&bytes));
	wire_put_base(&bytes, all->cluster_id, node->recovered_from, members);
	wal_put_hard(node->wal, 0, entry.term, 0, 0);
	wal_put_entries(node->wal, encoded, size);
	wal_put_base(node->wal, 0, state->base_index, state->base_term, buf_at(&bytes), buf_size(&bytes), true);
	wal_put_ticket(node->wal, 1);
	buf_free(&bytes);
}

/* The log goes to the disk; or there is none any more, and all is done. */
static void turn(void *context)
{
	struct ikada_node *node = context;
	if (node->wal != NULL) {
		wal_flush(node->wal);
	} else if (node->recovered != NULL) {
		void (*done)(void *context) = node->recovered;
		node->recovered = NULL;
		done(node->recovered_context);
	}
}

static void close_log(struct ikada_node *node)
{
	if (node->wal != NULL)
		wal_close(node->wal);
	node->wal = NULL;
}

/* A node that has the new incarnation already: it is done, unless what it was is still being set aside. */
static bool resume(struct ikada_node *node, const struct survivors *all, bool do_it, struct ikada_recovery *found,
		   const struct answer *answer)
{
	struct wal_state state;
	if (node->setting_aside != 0)
		return !do_it || set_aside(node, answer->text, answer->size);
	if (!boot_read(node, &state, answer->text, answer->size))
		return false;
	close_log(node);
	found->done = true;
	return !state.has_base || node->promised_cluster_id == all->cluster_id ||
	       no(answer, "node %" PRIu64 " belongs to cluster %016" PRIx64 " now", node->settings.id,
		  node->promised_cluster_id);
}

static bool recover(struct ikada_node *node, const struct survivors *all, bool do_it, struct ikada_recovery *found,
		    const struct answer *answer)
{
	const struct survivor *named = all == NULL ? NULL : survivors_find(all, node->settings.id);
	struct wal_state state;
	struct survivor self;
	struct wire_members members;
	if (all != NULL && named == NULL)
		return no(answer, "node %" PRIu64 ", whose directory %s is, is not among the survivors named",
			  node->settings.id, node->data_dir);
	if (all != NULL) {
		const struct survivor *begins = &all->at[all->begins];
		found->new_cluster_id = all->cluster_id;
		found->begins = begins->id;
		found->begins_index = begins->last_index;
		found->begins_commit = begins->known;
		found->id = node->settings.id;
		found->cluster_id = named->cluster_id;
	}
	if (all != NULL && node->incarnation != named->incarnation &&
	    node->incarnation == survivors_incarnation(all, named))
		return resume(node, all, do_it, found, answer);
	if (node->setting_aside != 0)
		return no(answer,
			  "node %" PRIu64 " is not whole: ikada recover was interrupted; run it again, with the "
			  "same words",
			  node->settings.id);
	if (!boot_read(node, &state, answer->text, answer->size))
		return false;
	found->done = all != NULL && state.has_base && node->promised_cluster_id == all->cluster_id;
	if (found->done)
		return true;
	if (!describe(node, &state, &self, answer))
		return false;
	tell(node, &self, found);
	if (all == NULL)
		return true;
	if (!judge(node, all, &self, answer))
		return false;
	plan(node, all, &members);
	found->next = members.config;
	if (!do_it)
		return true;
	if (named == &all->at[all->begins]) {
		write_down(node, &state, all, &members);
		return true;
	}
	close_log(node);
	return set_aside_begin(node, survivors_incarnation(all, named), all->at[0].cluster_id, answer->text,
			       answer->size);
}

struct ikada_node *ikada_node_recover(struct env *env, const struct ikada_node_settings *settings,
				      const char *survivors, struct ikada_recovery *found, void (*done)(void *context),
				      void *context, char *error, size_t error_size)
{
	static const struct ikada_machine none;
	const struct answer answer = {error, error_size};
	struct survivors all;
	struct ikada_node *node = node_make(env, settings, &none);
	memset(found, 0, sizeof *found);
	node->settings.id = 0;
	bool ok = survivors == NULL || survivors_parse(&all, survivors, error, error_size);
	bool do_it = done != NULL && survivors != NULL;
	ok = ok && identity_find(node, error, error_size) &&
	     recover(node, survivors == NULL ? NULL : &all, do_it, found, &answer);
	if (!ok) {
		ikada_node_close(node);
		return NULL;
	}
	if (do_it) {
		if (found->done)
			close_log(node);
		node->recovered = done;
		node->recovered_context = context;
		env->turn = turn;
		env->turn_context = node;
		env->ops->wake_at(env, raw_now(node));
	}
	return node;
}
