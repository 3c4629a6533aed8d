/*
 * cc core.c -o core $(pkg-config --cflags --libs ikada-core)
 *
 * Consensus alone: three cores, an array for a network, a number for a clock. Elects a leader, and commits an entry.
 */
#include <ikada/raft.h>
#include <stdio.h>
#include <stdlib.h>

enum { NODES = 3, QUEUE = 256 };
static struct ikada_raft *cores[NODES + 1]; /* By id. */
static struct ikada_message queue[QUEUE];
static size_t sent, delivered;
static uint64_t now_ns;

/* What a driver does: step, send, write. Here a write is durable at once, and a message carries one entry at most. */
static void step(uint64_t id, struct ikada_event event)
{
	struct ikada_effects effects;
	event.raw_ns = event.awake_ns = now_ns;
	ikada_raft_step(cores[id], &event, &effects);
	for (uint32_t i = 0; i < effects.message_count; i++) {
		struct ikada_message m = effects.messages[i];
		if (m.kind == IKADA_APPEND && m.last_index > m.prev_index) {
			m.last_index = m.prev_index + 1;
			step(id, (struct ikada_event){.kind = IKADA_SENT,
						      .peer = m.to,
						      .peer_incarnation = 1,
						      .last_index = m.last_index,
						      .bytes = 64});
		}
		queue[sent++ % QUEUE] = m;
	}
	if (effects.ticket > 0)
		step(id, (struct ikada_event){.kind = IKADA_DURABLE, .ticket = effects.ticket});
}

static void deliver(struct ikada_message m)
{
	struct ikada_run run = {m.last_index, ikada_raft_term_at(cores[m.from], m.last_index)};
	m.from_incarnation = m.to_incarnation = 1;
	step(m.to, (struct ikada_event){.kind = IKADA_RECEIVE,
					.message = &m,
					.runs = &run,
					.run_count = m.kind == IKADA_APPEND && m.last_index > m.prev_index});
}

int main(void)
{
	struct ikada_limits limits = {
		.term_runs = 64, .inflight_messages = 8, .inflight_bytes = 4096, .uncommitted_entries = 8};
	struct ikada_boot boot = {.config = {.count = NODES, .max_id = NODES, .members = {{1, 1}, {2, 1}, {3, 1}}}};
	struct ikada_raft_status status;
	uint64_t wanted = 0, agreed = 0;
	boot.config_before = boot.config;
	for (uint64_t id = 1; id <= NODES; id++) {
		struct ikada_settings settings = {.self = id,
						  .incarnation = 1,
						  .seed = id,
						  .heartbeat_ns = 50000000,
						  .election_min_ns = 250000000,
						  .election_max_ns = 500000000};
		cores[id] = ikada_raft_init(malloc(ikada_raft_size(&limits)), &limits, &settings, &boot);
	}
	while (agreed < NODES) {
		uint64_t first = 1;
		for (uint64_t id = 2; id <= NODES; id++)
			if (ikada_raft_deadline(cores[id]) < ikada_raft_deadline(cores[first]))
				first = id;
		if (delivered < sent) {
			deliver(queue[delivered++ % QUEUE]);
		} else {
			if (ikada_raft_deadline(cores[first]) > now_ns)
				now_ns = ikada_raft_deadline(cores[first]);
			step(first, (struct ikada_event){.kind = IKADA_TICK});
		}
		agreed = 0;
		for (uint64_t id = 1; id <= NODES; id++) {
			ikada_raft_status(cores[id], &status);
			agreed += wanted > 0 && status.commit >= wanted;
			if (status.role == IKADA_LEADER && wanted == 0) {
				printf("node %d leads, term %d\n", (int)id, (int)status.term);
				wanted = status.last_index + 1;
				step(id, (struct ikada_event){.kind = IKADA_PROPOSE, .first_id = 1, .count = 1});
			}
		}
	}
	printf("entry %d is committed on %d nodes after %d ms and %d messages\n", (int)wanted, (int)agreed,
	       (int)(now_ns / 1000000), (int)sent);
	return 0;
}
