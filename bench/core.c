/*
 * The core alone: three of them in memory, on one processor core. Committed entries a second, of entries that are each
 * proposed, appended, made durable and acknowledged on all three.
 *
 *	core [ENTRIES [one|singles|batches]]
 *
 * one		one entry in flight
 * singles	WINDOW entries in flight, each with a step, a ticket, messages and acknowledgements of its own
 * batches	the same with batches of 64 entries
 *
 * The driver here is as thin as it can be: what a step asks for is put into queues, tickets become durable one by one,
 * and every append is sent whole. Prints the median of five runs; with a name, one run of that alone (for callgrind).
 */
#include "bench.h"

#include "ikada/raft.h"

enum { NODES = 3, WINDOW = 64, BATCH = 64, QUEUE = 4096, RUNS = 5 };

struct node {
	struct ikada_raft *raft;
	struct ikada_effects effects;
	struct ikada_message inbox[QUEUE]; /* A ring. */
	uint32_t inbox_first, inbox_end;
	struct ikada_message outbox[QUEUE]; /* In order; what waits for its ticket. */
	uint32_t outbox_first, outbox_end;
	uint64_t written, durable; /* Tickets. */
	uint64_t commit;
};

struct bench {
	struct node nodes[NODES + 1];
	uint64_t ns;
	uint64_t next_id;
	uint64_t steps;
	uint64_t leader;
};

static void deliver(struct bench *b, const struct ikada_message *m)
{
	struct node *to = &b->nodes[m->to];
	to->inbox[to->inbox_end++ % QUEUE] = *m;
	must(to->inbox_end - to->inbox_first <= QUEUE, "an inbox overflows");
}

static void release(struct bench *b, struct node *node)
{
	while (node->outbox_first != node->outbox_end &&
	       node->outbox[node->outbox_first % QUEUE].after <= node->durable)
		deliver(b, &node->outbox[node->outbox_first++ % QUEUE]);
}

static void step(struct bench *b, struct node *node, struct ikada_event *event)
{
	struct ikada_effects *effects = &node->effects;
	struct ikada_event sent[NODES];
	uint32_t sent_count = 0;
	event->raw_ns = event->awake_ns = b->ns;
	b->steps++;
	ikada_raft_step(node->raft, event, effects);
	if (effects->ticket != 0)
		node->written = effects->ticket;
	node->commit = effects->commit;
	must(effects->refused_proposals.count == 0, "a proposal was refused");
	for (uint32_t i = 0; i < effects->message_count; i++) {
		const struct ikada_message *m = &effects->messages[i];
		if (m->kind == IKADA_APPEND && m->last_index > m->prev_index)
			sent[sent_count++] = (struct ikada_event){.kind = IKADA_SENT,
								  .peer = m->to,
								  .peer_incarnation = m->to_incarnation,
								  .last_index = m->last_index,
								  .bytes = 64 * (m->last_index - m->prev_index)};
		if (m->after <= node->durable)
			deliver(b, m);
		else
			node->outbox[node->outbox_end++ % QUEUE] = *m;
	}
	must(node->outbox_end - node->outbox_first <= QUEUE, "an outbox overflows");
	for (uint32_t i = 0; i < sent_count; i++)
		step(b, node, &sent[i]);
	release(b, node);
}

static void receive_all_of(struct bench *b, struct node *node)
{
	while (node->inbox_first != node->inbox_end) {
		struct ikada_message m = node->inbox[node->inbox_first++ % QUEUE];
		/* All entries are of the sender's term: nobody else has ever led with entries. */
		struct ikada_run run = {.first = m.prev_index + 1, .term = m.term};
		struct ikada_event event = {.kind = IKADA_RECEIVE, .message = &m, .runs = &run};
		event.run_count = m.kind == IKADA_APPEND && m.last_index > m.prev_index;
		m.after = 0;
		step(b, node, &event);
	}
}

static void make_durable(struct bench *b, struct node *node)
{
	while (node->durable < node->written) {
		struct ikada_event event = {.kind = IKADA_DURABLE, .ticket = ++node->durable};
		step(b, node, &event);
	}
}

/* Followers first: the leader's disk is no faster than theirs. */
static void settle(struct bench *b)
{
	for (uint64_t i = 1; i <= NODES; i++) {
		if (i == b->leader)
			continue;
		receive_all_of(b, &b->nodes[i]);
		make_durable(b, &b->nodes[i]);
	}
	if (b->leader != 0) {
		make_durable(b, &b->nodes[b->leader]);
		receive_all_of(b, &b->nodes[b->leader]);
	}
}

static void tick(struct bench *b)
{
	for (uint64_t i = 1; i <= NODES; i++) {
		if (ikada_raft_deadline(b->nodes[i].raft) > b->ns)
			continue;
		struct ikada_event event = {.kind = IKADA_TICK};
		step(b, &b->nodes[i], &event);
	}
}

static void start(struct bench *b)
{
	const struct ikada_limits limits = {.term_runs = 64,
					    .inflight_messages = 2 * WINDOW,
					    .inflight_bytes = 1 << 30,
					    .uncommitted_entries = 1 << 20};
	memset(b, 0, sizeof *b);
	b->ns = 1000000000;
	for (uint64_t i = 1; i <= NODES; i++) {
		struct ikada_settings settings = {.self = i,
						  .incarnation = 100 + i,
						  .seed = i,
						  .heartbeat_ns = 50000000,
						  .election_min_ns = 250000000,
						  .election_max_ns = 500000000,
						  .hint_delay_ns = 1000000};
		struct ikada_boot boot = {.raw_ns = b->ns, .awake_ns = b->ns};
		boot.config.count = NODES;
		boot.config.max_id = NODES;
		for (uint64_t k = 0; k < NODES; k++)
			boot.config.members[k] = (struct ikada_member){.id = k + 1, .incarnation = 101 + k};
		boot.config_before = boot.config;
		void *memory = malloc(ikada_raft_size(&limits));
		must(memory != NULL, "memory");
		b->nodes[i].raft = ikada_raft_init(memory, &limits, &settings, &boot);
	}
	while (b->leader == 0 || b->nodes[b->leader].commit == 0) {
		b->ns += 1000000;
		tick(b);
		settle(b);
		for (uint64_t i = 1; i <= NODES; i++)
			if (b->nodes[i].effects.role == IKADA_LEADER)
				b->leader = i;
	}
}

/* All have everything, durable, and know that it is committed. */
static void check_end(struct bench *b, uint64_t wanted)
{
	for (int i = 0; i < 200 && b->nodes[1].commit + b->nodes[2].commit + b->nodes[3].commit != 3 * wanted; i++) {
		b->ns += 1000000;
		tick(b);
		settle(b);
	}
	for (uint64_t i = 1; i <= NODES; i++) {
		struct ikada_raft_status status;
		ikada_raft_status(b->nodes[i].raft, &status);
		must(status.durable_index == wanted && status.commit == wanted, "an entry is missing");
	}
}

/* Entries a second. */
static double run(uint64_t entries, uint64_t window, uint64_t batch, double *steps)
{
	struct bench *b = malloc(sizeof *b);
	must(b != NULL, "memory");
	start(b);
	uint64_t first = b->nodes[b->leader].commit, wanted = first + entries / batch * batch;
	b->steps = 0;
	uint64_t start_ns = now_ns();
	for (uint64_t left = entries / batch; left > 0;) {
		for (uint64_t i = 0; i < window && left > 0; i++, left--) {
			struct ikada_event event = {.kind = IKADA_PROPOSE, .first_id = b->next_id, .count = batch};
			b->next_id += batch;
			step(b, &b->nodes[b->leader], &event);
		}
		settle(b);
		b->ns += 1000;
		tick(b);
	}
	double seconds = (double)(now_ns() - start_ns) / 1e9;
	must(b->nodes[b->leader].commit == wanted, "not all is committed");
	*steps = (double)b->steps / (double)(wanted - first);
	check_end(b, wanted);
	for (uint64_t i = 1; i <= NODES; i++)
		free(b->nodes[i].raft);
	free(b);
	return (double)(wanted - first) / seconds;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static const struct way {
	const char *name;
	uint64_t window, batch;
} ways[] = {{"one", 1, 1}, {"singles", WINDOW, 1}, {"batches", WINDOW, BATCH}};

int main(int argc, char **argv)
{
	uint64_t entries = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	double found[3][RUNS], steps[3];
	must(entries >= BATCH, "ENTRIES is at least 64");
	for (int r = 0; r < (argc > 2 ? 1 : RUNS); r++)
		for (int w = 0; w < 3; w++)
			if (argc < 3 || strcmp(argv[2], ways[w].name) == 0)
				found[w][r] = run(entries * (ways[w].batch > 1 ? 4 : 1), ways[w].window, ways[w].batch,
						  &steps[w]);
	for (int w = 0; w < 3 && argc < 3; w++) {
		qsort(found[w], RUNS, sizeof found[w][0], by_size);
		printf("%-8s %12.0f entries/s  [%.0f .. %.0f]  %.2f steps an entry\n", ways[w].name, found[w][RUNS / 2],
		       found[w][0], found[w][RUNS - 1], steps[w]);
	}
	return 0;
}
