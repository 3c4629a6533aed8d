/* The server: opens its rooms in order, and is the state machine that the node calls. */
#include "server/server_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The tag of a request is the protocol of the connection that waits for it; 0 when none does. */
static enum resp_protocol protocol_of(uint32_t tag)
{
	return tag == RESP_3 ? RESP_3 : RESP_2;
}

static void apply(void *context, const struct ikada_apply *entry, struct buf *reply)
{
	struct server *server = context;
	if (machine_apply(server->machine, entry->bytes, entry->size, protocol_of(entry->tag), reply) == MACHINE_NEWER)
		env_fatal(server->env,
			  "entry %" PRIu64 " is a command that this program does not know: a newer one wrote it",
			  entry->index);
}

static void expect(void *context, const struct ikada_apply *entries, size_t count)
{
	struct server *server = context;
	struct slice commands[IKADA_EXPECTED_MAX];
	for (size_t i = 0; i < count; i++)
		commands[i] = (struct slice){entries[i].bytes, entries[i].size};
	machine_expect(server->machine, commands, count);
}

static void query(void *context, const uint8_t *bytes, size_t size, uint32_t tag, struct buf *reply)
{
	struct server *server = context;
	machine_query(server->machine, bytes, size, protocol_of(tag), reply);
}

static bool idle(void *context)
{
	struct server *server = context;
	bool stalled = conns_unstall(server);
	return machine_idle(server->machine) || stalled;
}

/* ---- The state as a whole ---- */

static void *hold(void *context)
{
	struct server *server = context;
	return machine_hold(server->machine);
}

static bool save(void *context, void *held, struct buf *out, size_t bytes)
{
	(void)context;
	return machine_save(held, out, bytes);
}

static void release(void *context, void *held)
{
	struct server *server = context;
	machine_release(server->machine, held);
}

static void load_begin(void *context)
{
	struct server *server = context;
	machine_load_begin(server->machine);
}

static bool load(void *context, const uint8_t *bytes, size_t size)
{
	struct server *server = context;
	return machine_load(server->machine, bytes, size);
}

static bool load_end(void *context)
{
	(void)context;
	return true;
}

static void digest(void *context, uint8_t bytes[IKADA_DIGEST_BYTES])
{
	const struct server *server = context;
	machine_digest(server->machine, bytes);
}

static void accepted(void *context, struct env_stream *stream)
{
	conn_accept(context, stream);
}

static bool open_rooms(struct server *server, char *error, size_t error_size)
{
	static const struct env_accept_events events = {accepted};
	const struct ikada_machine machine = {
		.context = server,
		.apply = apply,
		.expect = expect,
		.query = query,
		.idle = idle,
		.hold = hold,
		.save = save,
		.release = release,
		.load_begin = load_begin,
		.load = load,
		.load_end = load_end,
		.digest = digest,
	};
	struct env *env = server->env;
	server->node = ikada_node_open(env, &server->settings.node, &machine, error, error_size);
	if (server->node == NULL)
		return false;
	int status = env->ops->listen(env, server->listen, &events, server, &server->listener);
	if (status == 0)
		return true;
	server->listener = NULL;
	snprintf(error, error_size, "%s cannot be listened on for clients: %s", server->listen, strerror(-status));
	return false;
}

struct server *server_open(struct env *env, const struct server_settings *settings, char *error, size_t error_size)
{
	struct server *server = mem_zero(env->mem, sizeof *server);
	server->env = env;
	server->mem = env->mem;
	server->settings = *settings;
	server->listen = mem_zero(env->mem, strlen(settings->listen) + 1);
	strcpy(server->listen, settings->listen);
	server->machine = machine_create(env->mem);
	server->start_ns = env->ops->raw_ns(env);
	list_init(&server->conns);
	list_init(&server->stalled);
	list_init(&server->free_calls);
	buf_init(&server->encoded, env->mem);
	buf_init(&server->reply, env->mem);
	if (open_rooms(server, error, error_size))
		return server;
	server_close(server);
	return NULL;
}

void server_close(struct server *server)
{
	if (server->listener != NULL)
		server->env->ops->listener_close(server->listener);
	conns_close(server);
	if (server->node != NULL)
		ikada_node_close(server->node);
	machine_destroy(server->machine);
	buf_free(&server->encoded);
	buf_free(&server->reply);
	mem_free(server->mem, server->listen);
	mem_free(server->mem, server);
}

struct ikada_node *server_node(struct server *server)
{
	return server->node;
}
