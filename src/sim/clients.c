/* Clients: see clients.h. Everything here runs as code of the client hosts' processes. */
#include "sim/clients.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_MS ((uint64_t)1000000)

enum { PROBES = 2 };

struct pending {
	struct history_request request;
	uint64_t until_ns; /* Raw. */
};

struct caller {
	struct clients *clients;
	struct caller_host *host;
	struct env_stream *stream; /* NULL: not connected. */
	bool open;
	uint64_t session; /* Of this connection; a new one for each. */
	uint32_t target;
	uint64_t since_ns; /* Raw: when it began to connect. */
	uint64_t at_ns;	   /* Raw: when it next wants to connect, or to ask. */
	struct buf in;
	struct pending window[CLIENTS_WINDOW_MAX];
	uint32_t first, count;
	bool is_probe; /* Bound to its target, from clients_probe on. */
	uint32_t probes_left;
};

/* One process. */
struct caller_host {
	struct clients *clients;
	struct sim_host *host;
	struct env *env;
};

struct clients {
	struct cluster *cluster;
	struct history *history;
	struct clients_settings settings;
	struct mem *mem;
	struct rng rng;
	struct caller_host hosts[CLIENTS_HOSTS];
	struct caller callers[CLIENTS_CONNECTIONS_MAX + RULES_NODES_MAX]; /* The probes last. */
	uint32_t caller_count;
	uint64_t sessions;
	uint64_t think_ns; /* Between two bursts of a connection, on average. */
	bool stopped, probing;
	struct buf out;
};

static uint64_t raw_now(const struct caller *caller)
{
	return caller->host->env->ops->raw_ns(caller->host->env);
}

static uint64_t virtual_now(const struct clients *clients)
{
	return sim_now(clients->cluster->sim);
}

/* Forgets the connection and what was under way on it; tries again after a while. */
static void disconnected(struct caller *caller)
{
	struct clients *clients = caller->clients;
	for (; caller->count > 0; caller->count--) {
		history_lose(clients->history, caller->window[caller->first].request);
		caller->first = (caller->first + 1) % CLIENTS_WINDOW_MAX;
	}
	caller->stream = NULL;
	caller->open = false;
	buf_free(&caller->in);
	caller->at_ns = raw_now(caller) + (1 + rng_below(&clients->rng, 50)) * NS_PER_MS;
}

static void give_up(struct caller *caller)
{
	caller->host->env->ops->stream_close(caller->stream, false);
	disconnected(caller);
}

static void on_opened(void *context)
{
	struct caller *caller = context;
	caller->open = true;
	caller->at_ns = raw_now(caller);
}

static void on_closed(void *context, int status)
{
	disconnected(context);
}

static void on_received(void *context, const uint8_t *bytes, size_t size)
{
	struct caller *caller = context;
	struct clients *clients = caller->clients;
	buf_add(&caller->in, bytes, size);
	while (caller->count > 0) {
		struct history_request request = caller->window[caller->first].request;
		size_t used;
		enum history_next next = history_take(clients->history, request, virtual_now(clients),
						      buf_at(&caller->in), buf_size(&caller->in), &used);
		if (next == HISTORY_MORE)
			return;
		if (next == HISTORY_BROKEN) {
			give_up(caller);
			return;
		}
		buf_consume(&caller->in, used);
		caller->first = (caller->first + 1) % CLIENTS_WINDOW_MAX;
		caller->count--;
		if (caller->is_probe && caller->probes_left > 0 && history_was_done(clients->history, request))
			caller->probes_left--;
	}
	if (buf_size(&caller->in) > 0)
		give_up(caller); /* More was answered than asked. */
}

static const struct env_stream_events events = {
	.opened = on_opened,
	.received = on_received,
	.closed = on_closed,
};

static void connect_somewhere(struct caller *caller)
{
	struct clients *clients = caller->clients;
	struct env *env = caller->host->env;
	if (!caller->is_probe)
		caller->target = (uint32_t)rng_below(&clients->rng, clients->cluster->count);
	while (!caller->is_probe && !clients->cluster->members[caller->target].active)
		caller->target = (caller->target + 1) % clients->cluster->count;
	caller->session = ++clients->sessions;
	caller->since_ns = raw_now(caller);
	caller->stream = env->ops->connect(env, clients->cluster->members[caller->target].listen, &events, caller);
}

static void ask(struct caller *caller, uint32_t burst)
{
	struct clients *clients = caller->clients;
	struct env *env = caller->host->env;
	for (; burst > 0 && caller->count < clients->settings.window; burst--) {
		uint32_t at = (caller->first + caller->count++) % CLIENTS_WINDOW_MAX;
		caller->window[at].request =
			history_ask(clients->history, caller->session, virtual_now(clients), &clients->out);
		caller->window[at].until_ns = raw_now(caller) + clients->settings.patience_ns;
	}
	env->ops->stream_write(caller->stream, buf_at(&clients->out), buf_size(&clients->out));
	buf_consume(&clients->out, buf_size(&clients->out));
}

static void ask_if_due(struct caller *caller)
{
	struct clients *clients = caller->clients;
	uint64_t now = raw_now(caller);
	if (caller->at_ns > now)
		return;
	if (caller->is_probe) {
		caller->at_ns = now + 20 * NS_PER_MS;
		if (caller->count == 0 && caller->probes_left > 0)
			ask(caller, 1);
	} else {
		caller->at_ns = now + clients->think_ns / 2 + rng_below(&clients->rng, clients->think_ns);
		if (!clients->stopped)
			ask(caller, 1 + (uint32_t)rng_below(&clients->rng, clients->settings.window));
	}
}

/* Does what is due; returns when something will be. */
static uint64_t turn_of(struct caller *caller)
{
	const struct clients_settings *settings = &caller->clients->settings;
	uint64_t now = raw_now(caller);
	if (caller->is_probe && (!caller->clients->probing || caller->probes_left == 0) && caller->count == 0)
		return UINT64_MAX;
	if (caller->stream == NULL && caller->at_ns <= now)
		connect_somewhere(caller);
	if (caller->stream == NULL)
		return caller->at_ns;
	if (!caller->open) {
		if (now < caller->since_ns + settings->patience_ns)
			return caller->since_ns + settings->patience_ns;
		give_up(caller);
		return caller->at_ns;
	}
	if (caller->count > 0 && caller->window[caller->first].until_ns <= now) {
		give_up(caller);
		return caller->at_ns;
	}
	ask_if_due(caller);
	uint64_t at = caller->at_ns;
	if (caller->count > 0 && caller->window[caller->first].until_ns < at)
		at = caller->window[caller->first].until_ns;
	return at;
}

static void turn(void *context)
{
	struct caller_host *host = context;
	struct clients *clients = host->clients;
	uint64_t wake = UINT64_MAX;
	for (uint32_t i = 0; i < clients->caller_count; i++) {
		struct caller *caller = &clients->callers[i];
		if (caller->host != host)
			continue;
		uint64_t at = turn_of(caller);
		if (at < wake)
			wake = at;
	}
	host->env->ops->wake_at(host->env, wake);
}

/* ---- For the owner ---- */

struct clients *clients_create(struct cluster *cluster, struct history *history,
			       const struct clients_settings *settings, uint64_t seed)
{
	struct clients *clients = mem_zero(cluster->mem, sizeof *clients);
	CHECK(settings->window >= 1 && settings->window <= CLIENTS_WINDOW_MAX);
	CHECK_OP(settings->connections, <=, (uint32_t)CLIENTS_CONNECTIONS_MAX);
	clients->cluster = cluster;
	clients->history = history;
	clients->settings = *settings;
	clients->mem = cluster->mem;
	clients->rng = rng_seed(seed);
	clients->caller_count = settings->connections + cluster->count;
	/* A burst has (1 + window) / 2 requests on average. */
	clients->think_ns = settings->connections * (1 + (uint64_t)settings->window) * 500 * NS_PER_MS / settings->rate;
	buf_init(&clients->out, clients->mem);
	for (uint32_t i = 0; i < CLIENTS_HOSTS; i++) {
		struct caller_host *host = &clients->hosts[i];
		char name[16];
		snprintf(name, sizeof name, "c%" PRIu32, i + 1);
		host->clients = clients;
		host->host = sim_host_create(cluster->sim, 100 + i, name);
	}
	for (uint32_t i = 0; i < clients->caller_count; i++) {
		struct caller *caller = &clients->callers[i];
		caller->clients = clients;
		caller->host = &clients->hosts[i % CLIENTS_HOSTS];
		buf_init(&caller->in, clients->mem);
		if (i >= settings->connections) {
			caller->is_probe = true;
			caller->target = i - settings->connections;
			caller->probes_left = PROBES;
		}
	}
	return clients;
}

void clients_destroy(struct clients *clients)
{
	for (uint32_t i = 0; i < clients->caller_count; i++)
		buf_free(&clients->callers[i].in);
	buf_free(&clients->out);
	mem_free(clients->mem, clients);
}

static void start(void *context)
{
	struct caller_host *host = context;
	struct clients *clients = host->clients;
	host->env->turn = turn;
	host->env->turn_context = host;
	for (uint32_t i = 0; i < clients->caller_count; i++) {
		struct caller *caller = &clients->callers[i];
		if (caller->host == host)
			caller->at_ns = raw_now(caller) + rng_below(&clients->rng, 200) * NS_PER_MS;
	}
}

void clients_start(struct clients *clients)
{
	for (uint32_t i = 0; i < CLIENTS_HOSTS; i++) {
		struct caller_host *host = &clients->hosts[i];
		host->env = sim_host_start(host->host);
		sim_host_run(host->host, start, host);
	}
}

struct sim_host *clients_host(struct clients *clients, uint32_t i)
{
	return clients->hosts[i].host;
}

void clients_stop(struct clients *clients)
{
	clients->stopped = true;
}

static void nothing(void *context)
{
}

void clients_probe(struct clients *clients)
{
	clients->probing = true;
	for (uint32_t i = 0; i < clients->caller_count; i++)
		if (!clients->cluster->members[clients->callers[i].target].active)
			clients->callers[i].probes_left = 0;
	for (uint32_t i = 0; i < CLIENTS_HOSTS; i++)
		sim_host_run(clients->hosts[i].host, nothing, NULL); /* A turn follows. */
}

void clients_judge(const struct clients *clients, char *failure, size_t size)
{
	for (uint32_t i = 0; i < clients->caller_count; i++) {
		const struct caller *caller = &clients->callers[i];
		if (caller->count > 0)
			snprintf(failure, size, "progress: node %" PRIu32 " owes %" PRIu32 " replies at the end",
				 caller->target + 1, caller->count);
		else if (caller->probes_left > 0)
			snprintf(failure, size, "progress: node %" PRIu32 " did not answer new requests at the end",
				 caller->target + 1);
	}
}
