/* How a lab proposes, and what it holds to be agreed: see labs_world.h. */
#include "sim/labs_world.h"

#include "base/bytes.h"
#include "base/check.h"

#include <inttypes.h>
#include <string.h>

#define AGREE_NS (20 * LAB_S)
/* After so long without a result a value is proposed again, perhaps to another leader. */
#define AGAIN_NS (2 * LAB_S)
#define LOOK_NS (2 * LAB_MS)

enum { AT_ONCE_MAX = 64, ENTRY_BYTES_MAX = 8192 };

uint64_t lab_value(struct lab *lab)
{
	return ++lab->values;
}

static void on_done(struct ikada_request *request, enum ikada_outcome outcome, const uint8_t *reply, size_t size)
{
	struct lab_proposal *p = LIST_OF(request, struct lab_proposal, request);
	p->ended = true;
	p->outcome = outcome;
	if (outcome == IKADA_DONE && lab_list_get(&p->lab->where, p->value) == 0)
		lab_fail(p->lab, "value %" PRIu64 " was acknowledged, and nobody has applied it", p->value);
}

static void propose(void *context)
{
	struct lab_proposal *p = context;
	const struct lab *lab = p->lab;
	uint8_t bytes[ENTRY_BYTES_MAX] = {0};
	size_t size = lab->entry_bytes < 8 ? 8 : lab->entry_bytes;
	CHECK_OP(size, <=, sizeof bytes);
	put_le64(bytes, p->value);
	ikada_node_propose(lab->nodes[p->node].node, &p->request, bytes, size, 0);
}

struct lab_proposal *lab_propose(struct lab *lab, uint32_t node, uint64_t value)
{
	struct lab_proposal *p = mem_zero(&lab->mem, sizeof *p);
	p->request.done = on_done;
	p->lab = lab;
	p->value = value;
	p->node = node;
	p->made_ns = sim_now(lab->sim);
	p->next = lab->proposals;
	lab->proposals = p;
	if (!lab_ok(lab) || lab->nodes[node].node == NULL || !sim_host_run(lab->nodes[node].host, propose, p)) {
		p->ended = true;
		p->outcome = IKADA_UNKNOWN;
	}
	return p;
}

void lab_node_ended(struct lab *lab, uint32_t node)
{
	lab->nodes[node].node = NULL;
	rules_ended(lab->rules, node);
	for (struct lab_proposal *p = lab->proposals; p != NULL; p = p->next)
		if (p->node == node && !p->ended) {
			p->ended = true;
			p->outcome = IKADA_UNKNOWN;
		}
}

void lab_forget_ended(struct lab *lab)
{
	struct lab_proposal **at = &lab->proposals;
	while (*at != NULL) {
		struct lab_proposal *p = *at;
		if (!p->ended) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		mem_free(&lab->mem, p);
	}
}

/* One value on its way. */
struct wish {
	uint64_t value;
	const struct lab_proposal *proposal;
};

/* Whether it came true; else proposes it if it must be. */
static bool pursue(struct lab *lab, struct wish *wish, uint32_t appliers)
{
	const struct lab_proposal *p = wish->proposal;
	if (lab_list_get(&lab->where, wish->value) != 0)
		return lab_appliers(lab, wish->value) >= appliers;
	if (p != NULL && !p->ended && sim_now(lab->sim) < p->made_ns + AGAIN_NS)
		return false;
	uint32_t leader = lab_leader_now(lab);
	if (leader != LAB_NOBODY)
		wish->proposal = lab_propose(lab, leader, wish->value);
	return false;
}

uint64_t lab_agree(struct lab *lab, uint32_t count, uint32_t appliers)
{
	struct wish wishes[AT_ONCE_MAX] = {0};
	uint64_t end = sim_now(lab->sim) + AGREE_NS;
	CHECK_OP(count, <=, (uint32_t)AT_ONCE_MAX);
	for (uint32_t i = 0; i < count; i++)
		wishes[i].value = lab_value(lab);
	while (lab_ok(lab)) {
		uint32_t done = 0;
		uint64_t last = 0;
		for (uint32_t i = 0; i < count; i++) {
			uint64_t index = lab_list_get(&lab->where, wishes[i].value);
			done += pursue(lab, &wishes[i], appliers);
			last = index > last ? index : last;
		}
		if (done == count)
			return last;
		if (sim_now(lab->sim) >= end)
			lab_fail(lab,
				 "%" PRIu32 " of %" PRIu32 " values were not applied by %" PRIu32 " nodes within %d s",
				 count - done, count, appliers, (int)(AGREE_NS / LAB_S));
		lab_run(lab, LOOK_NS);
	}
	return 0;
}

uint64_t lab_one(struct lab *lab, uint32_t appliers)
{
	return lab_agree(lab, 1, appliers);
}
