/*
 * The core alone: three of them in memory, on one processor core. Committed entries a second, of entries that are each
 * proposed, appended, made durable and acknowledged on all three.
 *
 *	core [ENTRIES [one|singles|gathered|batches]]
 *
 * one		one entry in flight
 * singles	WINDOW entries in flight, each alone in all that is done with it
 * gathered	the same, but the driver reports what it sent only when all of the window is proposed: so the core sends
 *		the first entry, and then all others in one message
 * batches	WINDOW batches of BATCH entries in flight, each proposed in one step
 *
 * A single takes twelve steps, and shares none of them with another: the leader is told of its proposal, of each of the
 * two messages with it being sent, and of its ticket being durable; each follower receives a message with this entry
 * alone, answers, is told that its ticket is durable, and answers again; the leader receives these four answers, one by
 * one. What is gathered is still proposed and made durable on the leader one by one, but shares messages, and with them
 * the tickets and answers of the followers.
 *
 * The driver here is as thin as it can be: messages are copied from the effects into the inbox of the other, what waits
 * for a ticket comes by an outbox, tickets become durable one by one, and every append is sent whole and reported. Each
 * core has one event that is used again: the time is written to it when it passes, and else what its kind names.
 *
 * Prints the median of five runs; with a name, one run of that alone (for callgrind).
 */
#include "bench.h"

#include "ikada/raft.h"

enum { NODES = 3, WINDOW = 64, BATCH = 64, QUEUE = 1024, RUNS = 5 };

struct ring {
	struct ikada_message messages[QUEUE];
	uint32_t first, end;
};

/* Entries that were sent, which the core is to hear. */
struct sent {
	uint64_t to, to_incarnation, last_index, bytes;
};

struct node {
	struct ikada_raft *raft;
	struct ikada_event event;
	struct ikada_effects effects;
	struct ring inbox;
	struct ring outbox; /* In order; what waits for its ticket. */
	struct sent sent[NODES];
	uint32_t sent_count;
	uint64_t written, durable; /* Tickets. */
};

struct bench {
	struct node nodes[NODES + 1];
	uint64_t ns;
	uint64_t next_id;
	uint64_t steps;
	uint64_t leader;
};

static void put(struct ring *ring, const struct ikada_message *m)
{
	ring->messages[ring->end++ % QUEUE] = *m;
	must(ring->end - ring->first <= QUEUE, "a ring overflows");
}

static void release(struct bench *b, struct node *node)
{
	while (node->outbox.first != node->outbox.end) {
		const struct ikada_message *m = &node->outbox.messages[node->outbox.first % QUEUE];
		if (m->after > node->durable)
			break;
		put(&b->nodes[m->to].inbox, m);
		node->outbox.first++;
	}
}

static void send_messages(struct bench *b, struct node *node)
{
	for (uint32_t i = 0; i < node->effects.message_count; i++) {
		const struct ikada_message *m = &node->effects.messages[i];
		put(m->after <= node->durable ? &b->nodes[m->to].inbox : &node->outbox, m);
		if (m->kind == IKADA_APPEND && m->last_index > m->prev_index)
			node->sent[node->sent_count++] = (struct sent){m->to, m->to_incarnation, m->last_index,
								       64 * (m->last_index - m->prev_index)};
	}
}

static void step(struct bench *b, struct node *node, enum ikada_event_kind kind)
{
	node->event.kind = kind;
	b->steps++;
	ikada_raft_step(node->raft, &node->event, &node->effects);
	if (node->effects.ticket != 0)
		node->written = node->effects.ticket;
	if (node->effects.message_count > 0)
		send_messages(b, node);
}

static void report_sent(struct bench *b, struct node *node)
{
	while (node->sent_count > 0) {
		const struct sent *sent = &node->sent[--node->sent_count];
		node->event.peer = sent->to;
		node->event.peer_incarnation = sent->to_incarnation;
		node->event.last_index = sent->last_index;
		node->event.bytes = sent->bytes;
		step(b, node, IKADA_SENT);
	}
}

static void receive_all_of(struct bench *b, struct node *node)
{
	for (; node->inbox.first != node->inbox.end; node->inbox.first++) {
		const struct ikada_message *m = &node->inbox.messages[node->inbox.first % QUEUE];
		struct ikada_run run;
		node->event.message = m;
		node->event.runs = &run;
		node->event.run_count = 0;
		if (m->kind == IKADA_APPEND && m->last_index > m->prev_index) {
			/* All entries are of the sender's term: nobody else has ever led with entries. */
			run = (struct ikada_run){.first = m->prev_index + 1, .term = m->term};
			node->event.run_count = 1;
		}
		step(b, node, IKADA_RECEIVE);
		report_sent(b, node);
	}
}

static void make_durable(struct bench *b, struct node *node)
{
	while (node->durable < node->written) {
		node->event.ticket = ++node->durable;
		step(b, node, IKADA_DURABLE);
		report_sent(b, node);
		release(b, node);
	}
}

static void propose(struct bench *b, uint64_t count)
{
	struct node *node = &b->nodes[b->leader];
	node->event.first_id = b->next_id;
	node->event.count = count;
	b->next_id += count;
	step(b, node, IKADA_PROPOSE);
}

static void pass_time(struct bench *b, uint64_t ns)
{
	b->ns += ns;
	for (uint64_t i = 1; i <= NODES; i++)
		b->nodes[i].event.raw_ns = b->nodes[i].event.awake_ns = b->ns;
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
		step(b, &b->nodes[i], IKADA_TICK);
		report_sent(b, &b->nodes[i]);
	}
}

static void start(struct bench *b)
{
	const struct ikada_limits limits = {.term_runs = 64,
					    .inflight_messages = 2 * WINDOW,
					    .inflight_bytes = 1 << 30,
					    .uncommitted_entries = 1 << 20};
	memset(b, 0, sizeof *b);
	pass_time(b, 1000000000);
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
	while (b->leader == 0 || b->nodes[b->leader].effects.commit == 0) {
		pass_time(b, 1000000);
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
	for (int i = 0;
	     i < 200 &&
	     b->nodes[1].effects.commit + b->nodes[2].effects.commit + b->nodes[3].effects.commit != 3 * wanted;
	     i++) {
		pass_time(b, 1000000);
		tick(b);
		settle(b);
	}
	for (uint64_t i = 1; i <= NODES; i++) {
		struct ikada_raft_status status;
		ikada_raft_status(b->nodes[i].raft, &status);
		must(status.durable_index == wanted && status.commit == wanted, "an entry is missing");
	}
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static const struct way {
	const char *name;
	uint64_t window, batch;
	bool gather;
} ways[] = {
	{"one", 1, 1, false},
	{"singles", WINDOW, 1, false},
	{"gathered", WINDOW, 1, true},
	{"batches", WINDOW, BATCH, false},
};
enum { WAYS = sizeof ways / sizeof *ways };

/* Entries a second. */
static double run(const struct way *way, uint64_t entries, double *steps)
{
	const uint64_t batch = way->batch;
	struct bench *b = malloc(sizeof *b);
	must(b != NULL, "memory");
	start(b);
	uint64_t first = b->nodes[b->leader].effects.commit, wanted = first + entries / batch * batch;
	b->steps = 0;
	uint64_t start_ns = now_ns();
	for (uint64_t left = entries / batch; left > 0;) {
		for (uint64_t i = 0; i < way->window && left > 0; i++, left--) {
			propose(b, batch);
			if (!way->gather)
				report_sent(b, &b->nodes[b->leader]);
		}
		report_sent(b, &b->nodes[b->leader]);
		settle(b);
		pass_time(b, 1000);
		tick(b);
	}
	double seconds = (double)(now_ns() - start_ns) / 1e9;
	must(b->nodes[b->leader].effects.commit == wanted, "not all is committed");
	*steps = (double)b->steps / (double)(wanted - first);
	check_end(b, wanted);
	for (uint64_t i = 1; i <= NODES; i++)
		free(b->nodes[i].raft);
	free(b);
	return (double)(wanted - first) / seconds;
}

int main(int argc, char **argv)
{
	uint64_t entries = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	double found[WAYS][RUNS], steps[WAYS];
	must(entries >= BATCH, "ENTRIES is at least 64");
	for (int r = 0; r < (argc > 2 ? 1 : RUNS); r++)
		for (int w = 0; w < WAYS; w++)
			if (argc < 3 || strcmp(argv[2], ways[w].name) == 0)
				found[w][r] = run(&ways[w], entries * (ways[w].batch > 1 ? 4 : 1), &steps[w]);
	for (int w = 0; w < WAYS && argc < 3; w++) {
		qsort(found[w], RUNS, sizeof found[w][0], by_size);
		printf("%-8s %12.0f entries/s  [%.0f .. %.0f]  %.2f steps an entry\n", ways[w].name, found[w][RUNS / 2],
		       found[w][0], found[w][RUNS - 1], steps[w]);
	}
	return 0;
}
