/*
 * Two judges that know nothing of each other. Keys of a few hundred operations each go to the linearizability checker;
 * and each client appends numbers to a log of its own, of which each number done must be there once, in order.
 */
#include "load.h"

#include "base/mem.h"
#include "base/rng.h"
#include "sim/linear.h"

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CLIENTS_MAX = 16,
	SLOTS = 6,	   /* Keys in use at a time: two registers, two strings that grow, two counters. */
	EPOCH_OPS = 1500,  /* Then other keys are used. */
	PATIENT_MS = 2500, /* How long clients wait for a reply: every other one is patient. */
	IMPATIENT_MS = 400,
	PAUSE_MS = 4,
	STATES_MAX = 4 * 1000 * 1000,
};

struct record {
	uint32_t key; /* epoch * SLOTS + slot */
	struct linear_op op;
};

enum outcome { REFUSED, DONE, UNKNOWN };

struct client {
	struct load *load;
	pthread_t thread;
	unsigned id;
	struct rng rng;
	redisContext *context;
	struct record *records;
	size_t record_count, record_room;
	uint8_t *log; /* The outcome of each number appended to this client's log. */
	size_t log_count, log_room;
	uint64_t counts[3]; /* By outcome. */
};

struct load {
	const struct cluster *cluster;
	struct client clients[CLIENTS_MAX];
	unsigned client_count;
	atomic_bool stop;
	atomic_uint_fast64_t order; /* Calls and returns, on one counter. */
	atomic_uint_fast64_t op_count;
};

static void *grow(void *bytes, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return bytes;
	*room = *room == 0 ? 1024 : 2 * *room;
	bytes = realloc(bytes, *room * size);
	EXPECT(bytes != NULL);
	return bytes;
}

/* ---- One command ---- */

static bool is_write(enum linear_kind kind)
{
	return kind != LINEAR_GET && kind != LINEAR_STRLEN && kind != LINEAR_EXISTS;
}

static bool connected(struct client *client)
{
	if (client->context != NULL && rng_below(&client->rng, 200) != 0)
		return true;
	if (client->context != NULL)
		redisFree(client->context);
	const struct cluster *cluster = client->load->cluster;
	client->context = node_connect(&cluster->nodes[rng_below(&client->rng, cluster->count)],
				       client->id % 2 == 0 ? PATIENT_MS : IMPATIENT_MS);
	return client->context != NULL;
}

static void take_reply(struct linear_reply *out, const redisReply *reply)
{
	memset(out, 0, sizeof *out);
	switch (reply->type) {
	case REDIS_REPLY_NIL:
		out->kind = LINEAR_NIL;
		break;
	case REDIS_REPLY_STATUS:
		out->kind = LINEAR_OK;
		break;
	case REDIS_REPLY_INTEGER:
		out->kind = LINEAR_NUMBER;
		out->number = reply->integer;
		break;
	case REDIS_REPLY_STRING:
		out->kind = LINEAR_BYTES;
		out->size = (uint32_t)reply->len;
		out->hash = linear_hash(LINEAR_HASH_START, reply->str, reply->len);
		break;
	default:
		fail("a reply of the type %d, which no command of this test has", reply->type);
	}
}

static redisReply *send_op(redisContext *context, const char *key, const struct linear_op *op)
{
	switch (op->kind) {
	case LINEAR_GET:
		return redisCommand(context, "GET %s", key);
	case LINEAR_STRLEN:
		return redisCommand(context, "STRLEN %s", key);
	case LINEAR_EXISTS:
		return redisCommand(context, "EXISTS %s", key);
	case LINEAR_SET:
		return redisCommand(context, "SET %s %b", key, op->arg, (size_t)op->arg_size);
	case LINEAR_SET_NX:
		return redisCommand(context, "SET %s %b NX", key, op->arg, (size_t)op->arg_size);
	case LINEAR_SET_XX:
		return redisCommand(context, "SET %s %b XX", key, op->arg, (size_t)op->arg_size);
	case LINEAR_SET_GET:
		return redisCommand(context, "SET %s %b GET", key, op->arg, (size_t)op->arg_size);
	case LINEAR_APPEND:
		return redisCommand(context, "APPEND %s %b", key, op->arg, (size_t)op->arg_size);
	case LINEAR_INCRBY:
		return redisCommand(context, "INCRBY %s %lld", key, (long long)op->delta);
	case LINEAR_DEL:
		return redisCommand(context, "DEL %s", key);
	}
	fail("there is no operation %d", op->kind);
}

static enum outcome perform(struct client *client, const char *key, struct linear_op *op)
{
	struct load *load = client->load;
	if (!connected(client)) {
		sleep_ms(10);
		return REFUSED;
	}
	op->after = LINEAR_NONE;
	op->called = atomic_fetch_add(&load->order, 1);
	redisReply *reply = send_op(client->context, key, op);
	op->returned = atomic_fetch_add(&load->order, 1);
	enum outcome outcome = DONE;
	if (reply == NULL) {
		redisFree(client->context);
		client->context = NULL;
		outcome = UNKNOWN;
	} else if (reply->type == REDIS_REPLY_ERROR) {
		if (strncmp(reply->str, "UNKNOWN", 7) == 0)
			outcome = UNKNOWN;
		else if (strncmp(reply->str, "CLUSTERDOWN", 11) == 0 || strncmp(reply->str, "BUSY", 4) == 0)
			outcome = REFUSED;
		else
			fail("the reply to an operation on %s is %s", key, reply->str);
	} else {
		take_reply(&op->reply, reply);
		op->done = true;
	}
	freeReplyObject(reply);
	client->counts[outcome]++;
	return outcome;
}

/* ---- Clients ---- */

static void choose(struct client *client, unsigned slot, struct linear_op *op)
{
	static const enum linear_kind kinds[3][8] = {
		{LINEAR_GET, LINEAR_GET, LINEAR_GET, LINEAR_SET, LINEAR_SET, LINEAR_SET_GET, LINEAR_SET_NX, LINEAR_DEL},
		{LINEAR_GET, LINEAR_GET, LINEAR_STRLEN, LINEAR_APPEND, LINEAR_APPEND, LINEAR_APPEND, LINEAR_APPEND,
		 LINEAR_EXISTS},
		{LINEAR_GET, LINEAR_GET, LINEAR_INCRBY, LINEAR_INCRBY, LINEAR_INCRBY, LINEAR_INCRBY, LINEAR_INCRBY,
		 LINEAR_EXISTS},
	};
	memset(op, 0, sizeof *op);
	op->kind = kinds[slot % 3][rng_below(&client->rng, 8)];
	if (op->kind == LINEAR_INCRBY)
		op->delta = 1 + (int64_t)rng_below(&client->rng, 1000);
	else if (is_write(op->kind) && op->kind != LINEAR_DEL)
		op->arg_size = (uint8_t)snprintf(op->arg, sizeof op->arg, "%u.%zu;", client->id, client->record_count);
}

static char *key_name(uint32_t key)
{
	return text("key-%u-%u", key / SLOTS, key % SLOTS);
}

static void append_to_log(struct client *client)
{
	struct linear_op op = {.kind = LINEAR_APPEND};
	char key[32];
	snprintf(key, sizeof key, "log-%u", client->id);
	client->log = grow(client->log, client->log_count, &client->log_room, 1);
	op.arg_size = (uint8_t)snprintf(op.arg, sizeof op.arg, "%zu;", client->log_count);
	client->log[client->log_count++] = (uint8_t)perform(client, key, &op);
}

static void *run_client(void *argument)
{
	struct client *client = argument;
	struct load *load = client->load;
	while (!atomic_load(&load->stop)) {
		sleep_ms(PAUSE_MS);
		if (rng_below(&client->rng, 8) == 0) {
			append_to_log(client);
			continue;
		}
		uint32_t epoch = (uint32_t)(atomic_fetch_add(&load->op_count, 1) / EPOCH_OPS);
		unsigned slot = (unsigned)rng_below(&client->rng, SLOTS);
		struct record record = {.key = epoch * SLOTS + slot};
		choose(client, slot, &record.op);
		char *key = key_name(record.key);
		enum outcome outcome = perform(client, key, &record.op);
		free(key);
		if (outcome == REFUSED || (outcome == UNKNOWN && !is_write(record.op.kind)))
			continue;
		client->records =
			grow(client->records, client->record_count, &client->record_room, sizeof *client->records);
		client->records[client->record_count++] = record;
	}
	return NULL;
}

struct load *load_start(const struct cluster *cluster, unsigned client_count)
{
	struct load *load = calloc(1, sizeof *load);
	EXPECT(load != NULL && client_count <= CLIENTS_MAX);
	load->cluster = cluster;
	load->client_count = client_count;
	for (unsigned i = 0; i < client_count; i++) {
		struct client *client = &load->clients[i];
		client->load = load;
		client->id = i;
		client->rng = rng_seed(now_ns() + i);
		EXPECT(pthread_create(&client->thread, NULL, run_client, client) == 0);
	}
	return load;
}

/* ---- Judgement ---- */

/* One command that must succeed, of a client of its own. */
static void final_read(struct client *reader, const char *key, struct linear_op *op)
{
	uint64_t end = now_ns() + 30 * NS_PER_S;
	do {
		memset(op, 0, sizeof *op);
		op->kind = LINEAR_GET;
		if (now_ns() > end)
			fail("30 s without an answer to GET %s after the faults", key);
	} while (perform(reader, key, op) != DONE);
}

static void judge_log(const struct client *client, const struct cluster_node *node)
{
	char *value = node_ask(node, 10000, "GET log-%u", client->id);
	size_t last_done = SIZE_MAX;
	uint8_t *seen = calloc(client->log_count + 1, 1);
	EXPECT(seen != NULL);
	for (char *at = value; *at != '\0' && strcmp(value, "(nil)") != 0;) {
		char *end;
		size_t number = strtoull(at, &end, 10);
		if (end == at || *end != ';' || number >= client->log_count)
			fail("log-%u at node %u is torn at '%.20s'", client->id, node->id, at);
		at = end + 1;
		if (seen[number]++ != 0)
			fail("log-%u at node %u has the number %zu twice", client->id, node->id, number);
		if (client->log[number] == REFUSED)
			fail("log-%u at node %u has the number %zu, which was refused", client->id, node->id, number);
		if (client->log[number] == DONE && last_done != SIZE_MAX && number < last_done)
			fail("log-%u at node %u has the number %zu behind %zu", client->id, node->id, number,
			     last_done);
		if (client->log[number] == DONE)
			last_done = number;
	}
	for (size_t i = 0; i < client->log_count; i++)
		if (client->log[i] == DONE && seen[i] == 0)
			fail("log-%u at node %u lost the number %zu, which was acknowledged", client->id, node->id, i);
	free(seen);
	free(value);
}

static int by_key_and_call(const void *left, const void *right)
{
	const struct record *a = left, *b = right;
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return a->op.called < b->op.called ? -1 : a->op.called > b->op.called;
}

static _Noreturn void condemn(uint32_t key, const struct linear_op *ops, uint32_t count, enum linear_verdict verdict)
{
	char *path = text("%s/history-%u", case_dir(), key);
	FILE *file = fopen(path, "w");
	EXPECT(file != NULL);
	for (uint32_t i = 0; i < count; i++) {
		char line[256];
		linear_print(&ops[i], line, sizeof line);
		fprintf(file, "%ju-%ju %s\n", (uintmax_t)ops[i].called, (uintmax_t)ops[i].returned, line);
	}
	fclose(file);
	char *name = key_name(key);
	if (verdict == LINEAR_NO)
		fail("the history of %s is not linearizable; see %s", name, path);
	fail("the history of %s was too long to judge; see %s", name, path);
}

static void judge_keys(struct load *load, struct client *reader)
{
	size_t total = 0;
	for (unsigned i = 0; i < load->client_count; i++)
		total += load->clients[i].record_count;
	EXPECT(total > 0);
	struct record *records = malloc(2 * total * sizeof *records);
	struct linear_op *ops = malloc(2 * total * sizeof *ops);
	EXPECT(records != NULL && ops != NULL);
	size_t count = 0;
	for (unsigned i = 0; i < load->client_count; i++) {
		memcpy(records + count, load->clients[i].records, load->clients[i].record_count * sizeof *records);
		count += load->clients[i].record_count;
	}
	qsort(records, count, sizeof *records, by_key_and_call);
	/* The last read of each key is part of its history. */
	size_t read_count = 0;
	for (size_t i = 0; i < total; i++) {
		if (i + 1 < total && records[i + 1].key == records[i].key)
			continue;
		struct record *record = &records[count++];
		record->key = records[i].key;
		char *key = key_name(record->key);
		final_read(reader, key, &record->op);
		free(key);
		read_count++;
	}
	qsort(records, count, sizeof *records, by_key_and_call);
	struct mem mem;
	mem_init(&mem, false);
	for (size_t i = 0; i < count;) {
		uint32_t n = 0;
		size_t first = i;
		for (; i < count && records[i].key == records[first].key; i++)
			ops[n++] = records[i].op;
		enum linear_verdict verdict = linear_check(&mem, ops, n, STATES_MAX, NULL);
		if (verdict != LINEAR_YES)
			condemn(records[first].key, ops, n, verdict);
	}
	note("%zu operations on %zu keys are linearizable", count, read_count);
	free(records);
	free(ops);
}

void load_judge(struct load *load, const struct cluster *cluster)
{
	uint64_t counts[3] = {0};
	uint64_t appended = 0;
	atomic_store(&load->stop, true);
	for (unsigned i = 0; i < load->client_count; i++) {
		struct client *client = &load->clients[i];
		EXPECT(pthread_join(client->thread, NULL) == 0);
		for (int j = 0; j < 3; j++)
			counts[j] += client->counts[j];
		appended += client->log_count;
	}
	note("%ju operations done, %ju refused, %ju unknown", (uintmax_t)counts[DONE], (uintmax_t)counts[REFUSED],
	     (uintmax_t)counts[UNKNOWN]);
	for (unsigned i = 0; i < load->client_count; i++)
		for (unsigned j = 0; j < cluster->count; j++)
			judge_log(&load->clients[i], &cluster->nodes[j]);
	note("%ju numbers appended to %u logs: all that were acknowledged are there, none twice", (uintmax_t)appended,
	     load->client_count);
	struct client *reader = calloc(1, sizeof *reader);
	EXPECT(reader != NULL);
	reader->load = load;
	reader->rng = rng_seed(1);
	judge_keys(load, reader);
}
