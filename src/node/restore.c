/*
 * The machine's state from a snapshot: at a start, when a leader's snapshot takes the place of the log, and when the
 * own state is not to be trusted any more.
 *
 * While the node runs, it is loaded a piece a turn. Until it is whole, nothing is applied and nothing is served; log
 * and votes go on. A snapshot is checked while it is loaded, and its digest when it is: one that turns out to be
 * damaged is removed, and an older one is loaded, as far as the log reaches back. When there is none, this node
 * cannot go on.
 */
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum progress { MORE, DONE, FAILED };

void restore_close(struct ikada_node *node)
{
	struct restore *r = &node->restore;
	if (r->file != NULL) {
		snapshot_reader_close(&r->reader);
		node->env->ops->close(r->file);
	}
	r->file = NULL;
	r->active = false;
}

__attribute__((format(printf, 2, 3))) static void wrong(struct restore *r, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(r->error, sizeof r->error, format, args);
	va_end(args);
}

static bool start(struct ikada_node *node, struct snapshot which)
{
	struct restore *r = &node->restore;
	restore_close(node);
	snapshots_abandon(node);
	r->active = true;
	r->which = which;
	r->error[0] = '\0';
	node->machine.load_begin(node->machine.context);
	if (which.index == 0)
		return true;
	int status = snapshot_open(node->env, node->snapshots.dir, which, &r->file);
	if (status != 0) {
		r->file = NULL;
		wrong(r, "it cannot be opened: %s", strerror(-status));
		return false;
	}
	const struct snapshot_header *header = &r->reader.header;
	if (!snapshot_reader_open(&r->reader, node->env, r->file))
		wrong(r, "%s", r->reader.error);
	else if (header->index != which.index || header->term != which.term)
		wrong(r, "it holds index %" PRIu64 " of term %" PRIu64, header->index, header->term);
	else if (header->cluster_id != node->cluster_id && header->cluster_id != node->recovered_from)
		wrong(r, "it is of cluster %016" PRIx64, header->cluster_id);
	else if (!wire_get_members(header->members, header->members_size, &r->members) ||
		 !ikada_config_valid(&r->members.config) || r->members.config.index > which.index)
		wrong(r, "its configuration cannot be read");
	return r->error[0] == '\0';
}

static bool right_digest(struct ikada_node *node)
{
	uint8_t digest[IKADA_DIGEST_BYTES];
	node->machine.digest(node->machine.context, digest);
	return memcmp(digest, node->restore.reader.digest, sizeof digest) == 0;
}

static enum progress load_some(struct ikada_node *node, size_t bytes_max)
{
	struct restore *r = &node->restore;
	void *context = node->machine.context;
	if (r->which.index == 0) {
		CHECK(node->machine.load_end(context));
		return DONE;
	}
	for (uint64_t until = r->reader.consumed + bytes_max; r->reader.consumed < until;) {
		const uint8_t *piece;
		size_t size;
		enum snapshot_read read = snapshot_reader_next(&r->reader, &piece, &size);
		if (read == SNAPSHOT_INVALID) {
			wrong(r, "%s", r->reader.error);
			return FAILED;
		}
		if (read == SNAPSHOT_PIECE ? !node->machine.load(context, piece, size)
					   : !node->machine.load_end(context)) {
			wrong(r, "this program does not understand it at byte %" PRIu64, r->reader.consumed);
			return FAILED;
		}
		if (read == SNAPSHOT_PIECE)
			continue;
		if (right_digest(node))
			return DONE;
		wrong(r, "its state has another digest than it names");
		return FAILED;
	}
	return MORE;
}

static void loaded(struct ikada_node *node)
{
	struct restore *r = &node->restore;
	node->applied = r->which.index;
	node->applied_term = r->which.term;
	node->applied_stamp = r->which.index == 0 ? 0 : r->reader.header.stamp;
	roster_restored(node, r->which.index == 0 ? &node->base_members : &r->members);
	if (node->applied_stamp > node->stamp)
		node->stamp = node->applied_stamp;
	node->snapshots.bytes_since = 0;
	if (r->which.index > 0 && r->reader.header.cluster_id != node->cluster_id) {
		/* From before the loss of a majority: no other node would take it. */
		node->recovered_index = r->which.index;
		node->snapshots.wanted = true;
	}
	restore_close(node);
	digest_restored(node);
	env_log(node->env, ENV_INFO, "snapshot", "loaded index=%" PRIu64 " term=%" PRIu64, node->applied,
		node->applied_term);
	if (node->observer != NULL)
		node->observer->restored(node->observer->context, node->applied, node->applied_term);
}

/* The newest that is kept; without any, the empty state if the log begins at the beginning. */
static bool choose(const struct ikada_node *node, struct snapshot *which)
{
	const struct snapshots *s = &node->snapshots;
	*which = s->count == 0 ? (struct snapshot){0, 0} : s->kept[s->count - 1];
	return which->index >= node->cache.base;
}

static void reject(struct ikada_node *node)
{
	const struct restore *r = &node->restore;
	env_log(node->env, ENV_WARN, "snapshot", "the snapshot of index %" PRIu64 " cannot be used and is removed: %s",
		r->which.index, r->error);
	struct snapshot which = r->which;
	restore_close(node);
	snapshots_drop(node, which);
}

/* What to load in the place of what cannot be. */
static struct snapshot older(struct ikada_node *node)
{
	struct snapshot which;
	reject(node);
	if (!choose(node, &which))
		env_fatal(node->env,
			  "the log in %s begins behind entry %" PRIu64
			  ", and no snapshot that reaches so far can be loaded",
			  node->data_dir, node->cache.base);
	return which;
}

void restore_begin(struct ikada_node *node, struct snapshot which)
{
	while (!start(node, which))
		which = older(node);
	node->wanted = true;
}

bool restore_turn(struct ikada_node *node, size_t bytes_max)
{
	if (!node->restore.active)
		return false;
	enum progress progress = load_some(node, bytes_max);
	if (progress == DONE) {
		loaded(node);
		return true;
	}
	if (progress == FAILED)
		restore_begin(node, older(node));
	return true;
}

bool restore_newest(struct ikada_node *node, char *error, size_t error_size)
{
	struct snapshot which;
	while (choose(node, &which)) {
		if (which.index == 0)
			return true;
		enum progress progress = start(node, which) ? MORE : FAILED;
		while (progress == MORE)
			progress = load_some(node, UINT32_MAX);
		if (progress == DONE) {
			loaded(node);
			return true;
		}
		reject(node);
	}
	snprintf(error, error_size,
		 "the log in %s begins behind entry %" PRIu64
		 ", and there is no snapshot that reaches so far and can be "
		 "loaded: this node can only come back as a new member, with an empty directory",
		 node->data_dir, node->cache.base);
	return false;
}
