/*
 * The data directory: LOCK (one process at a time), identity (which node this is), wal/.
 *
 * identity is text: "ikada 1", "node ID", "incarnation HEX", each on a line. It is written under a temporary name,
 * synced and renamed; the incarnation is drawn then, so that a wiped disk comes back as another member. Another one is
 * written only by `ikada recover`, which sets aside what the old one has promised; "setting-aside CLUSTER" is a fourth
 * line until that is done, and then nobody else opens the directory.
 */
#include "node/node_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *path_join(struct mem *mem, const char *dir, const char *name)
{
	size_t size = strlen(dir) + 1 + strlen(name) + 1;
	char *path = mem_alloc(mem, size);
	snprintf(path, size, "%s/%s", dir, name);
	return path;
}

static bool refuse(char *error, size_t error_size, const char *what, const char *path, int status)
{
	snprintf(error, error_size, "cannot %s %s: %s", what, path, strerror(-status));
	return false;
}

/* The name of the data directory must be as durable as what it holds. */
static int sync_parent(struct ikada_node *node)
{
	char *parent = path_join(node->mem, node->data_dir, "");
	size_t length = strlen(parent);
	while (length > 1 && parent[length - 1] == '/')
		length--;
	while (length > 0 && parent[length - 1] != '/')
		length--;
	parent[length] = '\0';
	int status = node->env->ops->sync_dir(node->env, length == 0 ? "." : parent);
	mem_free(node->mem, parent);
	return status;
}

bool identity_write(struct ikada_node *node, const char *dir, char *error, size_t error_size)
{
	const struct env_ops *ops = node->env->ops;
	char *path = path_join(node->mem, dir, "identity");
	char *temporary = path_join(node->mem, dir, "identity.tmp");
	char text[160];
	int size = snprintf(text, sizeof text, "ikada 1\nnode %" PRIu64 "\nincarnation %016" PRIx64 "\n",
			    node->settings.id, node->incarnation);
	if (node->setting_aside != 0)
		size += snprintf(text + size, sizeof text - (size_t)size, "setting-aside %016" PRIx64 "\n",
				 node->setting_aside);
	struct env_file *file;
	int status = ops->open(node->env, temporary, ENV_OPEN_CREATE, &file);
	if (status == 0) {
		status = ops->write_at(file, text, (size_t)size, 0);
		if (status == 0)
			status = ops->sync(file);
		ops->close(file);
	}
	if (status == 0)
		status = ops->rename(node->env, temporary, path);
	if (status == 0)
		status = ops->sync_dir(node->env, dir);
	if (status != 0)
		refuse(error, error_size, "write", path, status);
	mem_free(node->mem, temporary);
	mem_free(node->mem, path);
	return status == 0;
}

static bool make_identity(struct ikada_node *node, char *error, size_t error_size)
{
	int synced = sync_parent(node);
	if (synced != 0)
		return refuse(error, error_size, "sync the directory of", node->data_dir, synced);
	node->incarnation = node->env->ops->random(node->env) | 1; /* Never 0. */
	return identity_write(node, node->data_dir, error, error_size);
}

static bool read_identity(struct ikada_node *node, struct env_file *file, const char *path, char *error,
			  size_t error_size)
{
	char text[256];
	int64_t size = node->env->ops->read_at(file, text, sizeof text - 1, 0);
	if (size < 0)
		return refuse(error, error_size, "read", path, (int)size);
	text[size] = '\0';
	unsigned format;
	uint64_t id;
	int end = 0, more = 0;
	node->setting_aside = 0;
	int found = sscanf(text, "ikada %u\nnode %" SCNu64 "\nincarnation %" SCNx64 "\n%n", &format, &id,
			   &node->incarnation, &end);
	if (found == 3 && sscanf(text + end, "setting-aside %" SCNx64 "\n%n", &node->setting_aside, &more) == 1)
		end += more;
	if (found != 3 || end != size || node->incarnation == 0) {
		snprintf(error, error_size,
			 "%s is not an identity file: expected the lines \"ikada 1\", \"node ID\", "
			 "\"incarnation HEX\"",
			 path);
		return false;
	}
	if (format != 1) {
		snprintf(error, error_size, "%s has format %u; this program knows format 1", path, format);
		return false;
	}
	if (node->settings.id == 0)
		node->settings.id = id;
	if (id == 0 || id != node->settings.id) {
		snprintf(error, error_size,
			 "%s is the data directory of node %" PRIu64 ", but this is node %" PRIu64
			 ": start it with its own directory",
			 node->data_dir, id, node->settings.id);
		return false;
	}
	return true;
}

/* Only one process at a time. */
static bool take_lock(struct ikada_node *node, char *error, size_t error_size)
{
	const struct env_ops *ops = node->env->ops;
	char *path = path_join(node->mem, node->data_dir, "LOCK");
	int status = ops->open(node->env, path, ENV_OPEN_CREATE, &node->lock);
	if (status != 0) {
		node->lock = NULL;
		refuse(error, error_size, "open", path, status);
	} else if ((status = ops->lock(node->lock)) == -EWOULDBLOCK) {
		snprintf(error, error_size, "another process is using the data directory %s", node->data_dir);
	} else if (status != 0) {
		refuse(error, error_size, "lock", path, status);
	}
	mem_free(node->mem, path);
	return status == 0;
}

/* Reads it, or makes one where none is, if that may be. */
static bool take_identity(struct ikada_node *node, bool may_make, char *error, size_t error_size)
{
	const struct env_ops *ops = node->env->ops;
	char *path = path_join(node->mem, node->data_dir, "identity");
	struct env_file *file;
	bool ok = false;
	int status = ops->open(node->env, path, ENV_OPEN_READ, &file);
	if (status == 0) {
		ok = read_identity(node, file, path, error, error_size);
		ops->close(file);
	} else if (status != -ENOENT) {
		refuse(error, error_size, "open", path, status);
	} else if (may_make) {
		ok = make_identity(node, error, error_size);
	} else {
		snprintf(error, error_size, "%s is not the data directory of a node: it holds no identity",
			 node->data_dir);
	}
	mem_free(node->mem, path);
	return ok;
}

bool identity_open(struct ikada_node *node, char *error, size_t error_size)
{
	int status = node->env->ops->make_dir(node->env, node->data_dir);
	if (status != 0)
		return refuse(error, error_size, "make the data directory", node->data_dir, status);
	if (!take_lock(node, error, error_size) || !take_identity(node, true, error, error_size))
		return false;
	if (node->setting_aside == 0)
		return true;
	snprintf(error, error_size, "%s: ikada recover was interrupted here; run it again, with the same words",
		 node->data_dir);
	return false;
}

bool identity_find(struct ikada_node *node, char *error, size_t error_size)
{
	/* Looked at first, so that no LOCK is left in a directory that is none of ours; it counts when it is locked. */
	return take_identity(node, false, error, error_size) && take_lock(node, error, error_size) &&
	       take_identity(node, false, error, error_size);
}

static int by_id(const void *left, const void *right)
{
	const struct peer *a = left, *b = right;
	return a->id < b->id ? -1 : a->id > b->id;
}

bool address_has_port(const char *address)
{
	const char *colon = strrchr(address, ':');
	if (colon == NULL || colon == address || colon[1] < '0' || colon[1] > '9')
		return false;
	char *end;
	unsigned long port = strtoul(colon + 1, &end, 10);
	return *end == '\0' && port >= 1 && port <= 65535;
}

/* One "ID=HOST:PORT" of `size` bytes. */
static bool parse_member(struct ikada_node *node, const char *text, size_t size)
{
	struct peer *peer = &node->peers[node->peer_count];
	char *end;
	errno = 0;
	peer->id = strtoull(text, &end, 10);
	const char *address = end + 1;
	if (errno != 0 || *end != '=' || peer->id == 0 || text[0] < '0' || text[0] > '9' || address >= text + size)
		return false;
	size_t length = (size_t)(text + size - address);
	if (length > WIRE_ADDRESS_BYTES)
		return false;
	peer->address = mem_zero(node->mem, length + 1);
	memcpy(peer->address, address, length);
	node->peer_count++; /* Its address is freed with the node from here on. */
	return address_has_port(peer->address);
}

bool cluster_parse(struct ikada_node *node, const char *cluster, char *error, size_t error_size)
{
	for (const char *at = cluster; *at != '\0';) {
		size_t size = strcspn(at, ",");
		if (node->peer_count == IKADA_VOTERS_MAX) {
			snprintf(error, error_size, "the cluster has more than %d members", IKADA_VOTERS_MAX);
			return false;
		}
		if (!parse_member(node, at, size)) {
			snprintf(error, error_size,
				 "the cluster list has \"%.*s\" where ID=HOST:PORT was expected (ID from 1)", (int)size,
				 at);
			return false;
		}
		at += size;
		if (*at == ',')
			at++;
	}
	/* Insertion order is the user's; ascending ids make the same configuration on every node. */
	qsort(node->peers, node->peer_count, sizeof *node->peers, by_id);
	node->self = IKADA_MEMBERS_MAX;
	for (uint32_t i = 0; i < node->peer_count; i++) {
		if (i > 0 && node->peers[i].id == node->peers[i - 1].id) {
			snprintf(error, error_size, "the cluster list names node %" PRIu64 " twice", node->peers[i].id);
			return false;
		}
		if (node->peers[i].id == node->settings.id)
			node->self = i;
		list_init(&node->peers[i].sent[WRITES]);
		list_init(&node->peers[i].sent[READS]);
	}
	if (node->self == IKADA_MEMBERS_MAX) {
		snprintf(error, error_size, "the cluster list \"%s\" does not name this node, %" PRIu64, cluster,
			 node->settings.id);
		return false;
	}
	return true;
}
