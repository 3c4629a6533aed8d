/*
 * The state machine of a lab's nodes: a list of values by index. It lies outside the node's memory, so that the lab can
 * look at it when the node is down; a start begins with an empty one. The list only grows, so holding it means to
 * remember how long it was.
 */
#include "sim/labs_world.h"

#include "base/buf.h"
#include "base/bytes.h"
#include "base/check.h"

#include <inttypes.h>
#include <string.h>

void lab_list_set(struct lab *lab, struct lab_list *list, uint64_t at, uint64_t value)
{
	if (at >= list->room) {
		list->room = 2 * at + 64;
		list->at = mem_resize(&lab->mem, list->at, list->room * sizeof *list->at);
	}
	while (list->size <= at)
		list->at[list->size++] = 0;
	list->at[at] = value;
}

static uint64_t mix(uint64_t digest, uint64_t index, uint64_t value)
{
	struct rng rng = rng_seed(digest ^ index * 0x9fb21c651e98df25u ^ value);
	return rng_next(&rng);
}

/* The state has one more value. */
static void put(struct lab_node *node, struct lab_list *values, uint64_t index, uint64_t value)
{
	lab_list_set(node->lab, values, index, value);
	node->applied = index;
	node->digest = mix(node->digest, index, value);
}

static void apply(void *context, const struct ikada_apply *entry, struct buf *reply)
{
	struct lab_node *node = context;
	struct lab *lab = node->lab;
	(void)reply;
	CHECK_OP(entry->size, >=, 8u);
	uint64_t value = get_le64(entry->bytes);
	uint64_t agreed = lab_list_get(&lab->agreed, entry->index);
	if (entry->index <= node->applied)
		lab_fail(lab, "node %" PRIu32 " applies index %" PRIu64 " after %" PRIu64, node->number + 1,
			 entry->index, node->applied);
	if (value == 0 || value > lab->values)
		lab_fail(lab,
			 "node %" PRIu32 " applies value %" PRIu64 " at index %" PRIu64 ", which nobody has proposed",
			 node->number + 1, value, entry->index);
	if (agreed != 0 && agreed != value)
		lab_fail(lab,
			 "node %" PRIu32 " applies value %" PRIu64 " at index %" PRIu64 ", where value %" PRIu64
			 " was applied before",
			 node->number + 1, value, entry->index, agreed);
	lab_list_set(lab, &lab->agreed, entry->index, value);
	if (lab_list_get(&lab->where, value) == 0)
		lab_list_set(lab, &lab->where, value, entry->index);
	put(node, &node->values, entry->index, value);
}

static void query(void *context, const uint8_t *bytes, size_t size, uint32_t tag, struct buf *reply)
{
	CHECK(!"a lab reads nothing");
}

/* ---- Snapshots ---- */

struct held {
	uint64_t size; /* The list as it was. */
	uint64_t next;
};

static void *hold(void *context)
{
	struct lab_node *node = context;
	struct held *held = mem_zero(&node->lab->mem, sizeof *held);
	held->size = node->values.size;
	return held;
}

static bool save(void *context, void *held, struct buf *out, size_t bytes)
{
	const struct lab_node *node = context;
	struct held *h = held;
	size_t start = buf_size(out);
	for (; h->next < h->size && buf_size(out) - start < bytes; h->next++) {
		if (node->values.at[h->next] == 0)
			continue;
		put_le64(buf_reserve(out, 16), h->next);
		put_le64(buf_reserve(out, 16) + 8, node->values.at[h->next]);
		buf_added(out, 16);
	}
	return h->next < h->size;
}

static void release(void *context, void *held)
{
	struct lab_node *node = context;
	mem_free(&node->lab->mem, held);
}

static void load_begin(void *context)
{
	struct lab_node *node = context;
	node->loading.size = 0;
	node->applied = 0;
	node->digest = 0;
}

static bool load(void *context, const uint8_t *bytes, size_t size)
{
	struct lab_node *node = context;
	for (; size >= 16; bytes += 16, size -= 16)
		put(node, &node->loading, get_le64(bytes), get_le64(bytes + 8));
	return size == 0;
}

static bool load_end(void *context)
{
	struct lab_node *node = context;
	struct lab *lab = node->lab;
	struct lab_list was = node->values;
	node->values = node->loading;
	node->loading = was;
	node->loads++;
	for (uint64_t i = 0; i < node->values.size; i++)
		if (node->values.at[i] != lab_list_get(&lab->agreed, i))
			lab_fail(lab,
				 "node %" PRIu32 " loads a snapshot with value %" PRIu64 " at index %" PRIu64
				 ", where value %" PRIu64 " was applied",
				 node->number + 1, node->values.at[i], i, lab_list_get(&lab->agreed, i));
	return true;
}

static void digest(void *context, uint8_t bytes[IKADA_DIGEST_BYTES])
{
	const struct lab_node *node = context;
	put_le64(bytes, node->digest);
	put_le64(bytes + 8, node->applied);
}

struct ikada_machine lab_machine(struct lab_node *node)
{
	return (struct ikada_machine){
		.context = node,
		.apply = apply,
		.query = query,
		.hold = hold,
		.save = save,
		.release = release,
		.load_begin = load_begin,
		.load = load,
		.load_end = load_end,
		.digest = digest,
	};
}
