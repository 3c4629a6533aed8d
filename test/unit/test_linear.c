/*
 * The linearizability checker: hand-made histories, every history of three operations from a small alphabet, and random
 * ones of up to six, against a checker that tries each order of each subset and keeps the register as a string.
 */
#include "base/rng.h"
#include "sim/linear.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { OPS_MAX = 8, BUDGET = 1000000 };

/* ---- The plain checker ---- */

struct plain {
	bool present;
	char text[128];
};

static struct linear_reply number(int64_t n)
{
	return (struct linear_reply){.kind = LINEAR_NUMBER, .number = n};
}

static struct linear_reply nil(void)
{
	return (struct linear_reply){.kind = LINEAR_NIL};
}

static struct linear_reply ok(void)
{
	return (struct linear_reply){.kind = LINEAR_OK};
}

static struct linear_reply bytes(const char *text)
{
	return (struct linear_reply){.kind = LINEAR_BYTES,
				     .size = (uint32_t)strlen(text),
				     .hash = linear_hash(LINEAR_HASH_START, text, strlen(text))};
}

static void put(struct plain *p, const struct linear_op *op)
{
	p->present = true;
	snprintf(p->text, sizeof p->text, "%.*s", (int)op->arg_size, op->arg);
}

static bool is_number(const char *text)
{
	char again[32];
	snprintf(again, sizeof again, "%lld", strtoll(text, NULL, 10));
	return strcmp(text, again) == 0;
}

static struct linear_reply plain_do(struct plain *p, const struct linear_op *op)
{
	struct linear_reply old = p->present ? bytes(p->text) : nil();
	bool was = p->present;
	switch (op->kind) {
	case LINEAR_GET:
		return old;
	case LINEAR_STRLEN:
		return number(was ? (int64_t)strlen(p->text) : 0);
	case LINEAR_EXISTS:
		return number(was);
	case LINEAR_SET:
		put(p, op);
		return ok();
	case LINEAR_SET_NX:
		if (was)
			return nil();
		put(p, op);
		return ok();
	case LINEAR_SET_XX:
		if (!was)
			return nil();
		put(p, op);
		return ok();
	case LINEAR_SET_GET:
		put(p, op);
		return old;
	case LINEAR_APPEND:
		if (!was)
			p->text[0] = '\0';
		p->present = true;
		strncat(p->text, op->arg, op->arg_size);
		return number((int64_t)strlen(p->text));
	case LINEAR_INCRBY:
		if (was && !is_number(p->text))
			return (struct linear_reply){.kind = LINEAR_ERROR};
		snprintf(p->text, sizeof p->text, "%lld",
			 (was ? strtoll(p->text, NULL, 10) : 0) + (long long)op->delta);
		p->present = true;
		return number(strtoll(p->text, NULL, 10));
	case LINEAR_DEL:
		p->present = false;
		return number(was);
	}
	fail();
	return nil();
}

static bool same(struct linear_reply a, struct linear_reply b)
{
	return a.kind == b.kind && a.number == b.number && a.size == b.size && a.hash == b.hash;
}

/* Whether the operations not in `used` can follow in some order; those not done may be left out. */
static bool plain_check(const struct linear_op *ops, uint32_t count, uint32_t used, struct plain p)
{
	bool all = true;
	for (uint32_t i = 0; i < count; i++)
		all = all && ((used >> i & 1) != 0 || !ops[i].done);
	if (all)
		return true;
	for (uint32_t i = 0; i < count; i++) {
		bool may = (used >> i & 1) == 0 && (ops[i].after == LINEAR_NONE || (used >> ops[i].after & 1) != 0);
		for (uint32_t j = 0; j < count && may; j++)
			may = (used >> j & 1) != 0 || !ops[j].done || ops[j].returned > ops[i].called;
		if (!may)
			continue;
		struct plain next = p;
		struct linear_reply reply = plain_do(&next, &ops[i]);
		if (ops[i].done && !same(reply, ops[i].reply))
			continue;
		if (plain_check(ops, count, used | 1u << i, next))
			return true;
	}
	return false;
}

static enum linear_verdict check(const struct linear_op *ops, uint32_t count)
{
	struct mem mem;
	mem_init(&mem, true);
	enum linear_verdict verdict = linear_check(&mem, ops, count, BUDGET, NULL);
	assert_int_equal(mem.bytes, 0);
	return verdict;
}

static void print_history(const struct linear_op *ops, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		char text[200];
		linear_print(&ops[i], text, sizeof text);
		print_error("%s\n", text);
	}
}

static bool agree(const struct linear_op *ops, uint32_t count)
{
	struct plain absent = {.present = false};
	bool plain = plain_check(ops, count, 0, absent);
	enum linear_verdict verdict = check(ops, count);
	if (verdict != (plain ? LINEAR_YES : LINEAR_NO)) {
		print_error("the plain checker says %d, the other %d\n", plain, verdict == LINEAR_YES);
		print_history(ops, count);
		fail();
	}
	return plain;
}

/* ---- Hand-made ---- */

static struct linear_op op(enum linear_kind kind, const char *arg, uint64_t called, uint64_t returned,
			   struct linear_reply reply)
{
	struct linear_op o = {.kind = kind,
			      .done = returned != 0,
			      .arg_size = (uint8_t)strlen(arg),
			      .called = called,
			      .returned = returned,
			      .after = LINEAR_NONE,
			      .reply = reply};
	memcpy(o.arg, arg, strlen(arg));
	return o;
}

#define JUDGE(verdict, ...)                                                                                            \
	do {                                                                                                           \
		const struct linear_op history[] = {__VA_ARGS__};                                                      \
		assert_int_equal(check(history, sizeof history / sizeof *history), verdict);                           \
	} while (0)

static void test_stale_read(void **state)
{
	JUDGE(LINEAR_YES, op(LINEAR_SET, "a", 1, 2, ok()), op(LINEAR_SET, "b", 3, 6, ok()),
	      op(LINEAR_GET, "", 4, 5, bytes("a")));
	JUDGE(LINEAR_YES, op(LINEAR_SET, "a", 1, 2, ok()), op(LINEAR_SET, "b", 3, 6, ok()),
	      op(LINEAR_GET, "", 4, 5, bytes("b")));
	JUDGE(LINEAR_NO, op(LINEAR_SET, "a", 1, 2, ok()), op(LINEAR_SET, "b", 3, 4, ok()),
	      op(LINEAR_GET, "", 5, 6, bytes("a")));
	JUDGE(LINEAR_NO, op(LINEAR_GET, "", 1, 2, bytes("a")), op(LINEAR_SET, "a", 3, 4, ok()));
}

/* One reader saw the new value, a later one the old one. */
static void test_new_then_old(void **state)
{
	JUDGE(LINEAR_NO, op(LINEAR_SET, "a", 1, 2, ok()), op(LINEAR_SET, "b", 3, 10, ok()),
	      op(LINEAR_GET, "", 4, 5, bytes("b")), op(LINEAR_GET, "", 6, 7, bytes("a")));
}

static void test_lost_write(void **state)
{
	JUDGE(LINEAR_NO, op(LINEAR_APPEND, "x", 1, 2, number(1)), op(LINEAR_APPEND, "y", 3, 4, number(2)),
	      op(LINEAR_GET, "", 5, 6, bytes("y")));
	JUDGE(LINEAR_NO, op(LINEAR_APPEND, "x", 1, 2, number(1)), op(LINEAR_APPEND, "y", 3, 4, number(1)));
}

static void test_applied_twice(void **state)
{
	JUDGE(LINEAR_NO, op(LINEAR_APPEND, "x", 1, 2, number(1)), op(LINEAR_GET, "", 3, 4, bytes("xx")));
	JUDGE(LINEAR_NO, op(LINEAR_APPEND, "x", 1, 0, nil()), op(LINEAR_GET, "", 3, 4, bytes("xx")));
}

/* An unknown write may show late, or never, but not come and go. */
static void test_unknown(void **state)
{
	struct linear_op late = op(LINEAR_SET, "u", 1, 0, nil());
	JUDGE(LINEAR_YES, late, op(LINEAR_SET, "a", 3, 4, ok()), op(LINEAR_GET, "", 5, 6, bytes("a")),
	      op(LINEAR_GET, "", 7, 8, bytes("u")));
	JUDGE(LINEAR_YES, late, op(LINEAR_SET, "a", 3, 4, ok()), op(LINEAR_GET, "", 5, 6, bytes("a")));
	JUDGE(LINEAR_NO, late, op(LINEAR_SET, "a", 3, 4, ok()), op(LINEAR_GET, "", 5, 6, bytes("u")),
	      op(LINEAR_GET, "", 7, 8, bytes("a")), op(LINEAR_GET, "", 9, 10, bytes("u")));
	/* Not before it was called. */
	JUDGE(LINEAR_NO, op(LINEAR_GET, "", 1, 2, bytes("u")), op(LINEAR_SET, "u", 3, 0, nil()));
}

static void test_session_order(void **state)
{
	struct linear_op first = op(LINEAR_SET, "a", 1, 5, ok());
	struct linear_op second = op(LINEAR_SET, "b", 2, 6, ok());
	struct linear_op read = op(LINEAR_GET, "", 7, 8, bytes("a"));
	JUDGE(LINEAR_YES, first, second, read);
	second.after = 0;
	JUDGE(LINEAR_NO, first, second, read);
}

/* Writing what is there already may have to happen later. */
static void test_same_value_again(void **state)
{
	JUDGE(LINEAR_YES, op(LINEAR_SET, "a", 1, 2, ok()), op(LINEAR_SET, "a", 3, 20, ok()),
	      op(LINEAR_SET, "b", 5, 6, ok()), op(LINEAR_GET, "", 7, 8, bytes("b")),
	      op(LINEAR_GET, "", 9, 10, bytes("a")));
}

static void test_budget(void **state)
{
	/* Thirty concurrent appends of unknown outcome, and a length that none of their orders gives. */
	struct linear_op ops[31];
	struct mem mem;
	uint64_t states;
	mem_init(&mem, true);
	for (uint32_t i = 0; i < 30; i++) {
		char arg[2] = {(char)('A' + i), '\0'};
		ops[i] = op(LINEAR_APPEND, arg, i + 1, 0, nil());
	}
	ops[30] = op(LINEAR_STRLEN, "", 100, 101, number(31));
	assert_int_equal(linear_check(&mem, ops, 31, 10000, &states), LINEAR_UNDECIDED);
	assert_int_equal(states, 10001);
	ops[30].reply = number(30);
	assert_int_equal(linear_check(&mem, ops, 31, 10000, &states), LINEAR_YES);
	assert_int_equal(mem.bytes, 0);
}

/* ---- Every history of three operations ---- */

static uint32_t alphabet(struct linear_op *letters)
{
	const struct linear_op all[] = {
		op(LINEAR_GET, "", 1, 2, nil()),	 op(LINEAR_GET, "", 1, 2, bytes("a")),
		op(LINEAR_GET, "", 1, 2, bytes("ax")),	 op(LINEAR_GET, "", 1, 2, bytes("x")),
		op(LINEAR_SET, "a", 1, 2, ok()),	 op(LINEAR_SET, "a", 1, 0, nil()),
		op(LINEAR_SET_NX, "a", 1, 2, ok()),	 op(LINEAR_SET_NX, "a", 1, 2, nil()),
		op(LINEAR_SET_GET, "a", 1, 2, nil()),	 op(LINEAR_SET_GET, "a", 1, 2, bytes("x")),
		op(LINEAR_APPEND, "x", 1, 2, number(1)), op(LINEAR_APPEND, "x", 1, 2, number(2)),
		op(LINEAR_APPEND, "x", 1, 0, nil()),	 op(LINEAR_DEL, "", 1, 2, number(0)),
		op(LINEAR_DEL, "", 1, 2, number(1)),	 op(LINEAR_DEL, "", 1, 0, nil()),
		op(LINEAR_SET_XX, "x", 1, 2, ok()),
	};
	memcpy(letters, all, sizeof all);
	return sizeof all / sizeof *all;
}

static void test_all_of_three(void **state)
{
	struct linear_op letters[32];
	uint32_t n = alphabet(letters);
	uint64_t yes = 0, no = 0;
	/* Orders of calls and returns: each operation's call comes before its return, and calls ascend. */
	for (uint32_t order = 0; order < 6 * 6 * 6; order++) {
		uint64_t called[3], returned[3];
		uint32_t slots[6], used = 0, rest = order;
		bool legal = true;
		/* Operation i takes the first free slot for its call and one of the others for its return. */
		for (uint32_t i = 0; i < 3; i++) {
			uint32_t call = 0;
			while ((used >> call & 1) != 0)
				call++;
			used |= 1u << call;
			uint32_t pick = rest % 6;
			rest /= 6;
			legal = legal && pick > call && (used >> pick & 1) == 0;
			used |= 1u << pick;
			slots[2 * i] = call;
			slots[2 * i + 1] = pick;
			if (!legal)
				break;
		}
		if (!legal)
			continue;
		for (uint32_t i = 0; i < 3; i++) {
			called[i] = slots[2 * i] + 1;
			returned[i] = slots[2 * i + 1] + 1;
		}
		for (uint32_t pick = 0; pick < n * n * n; pick++) {
			struct linear_op ops[3] = {letters[pick % n], letters[pick / n % n], letters[pick / n / n]};
			for (uint32_t i = 0; i < 3; i++) {
				ops[i].called = called[i];
				ops[i].returned = returned[i];
			}
			if (agree(ops, 3))
				yes++;
			else
				no++;
		}
	}
	/* 15 orders of 17 * 17 * 17 histories. */
	assert_int_equal(yes + no, 15 * 17 * 17 * 17);
	assert_true(yes > 1000 && no > 1000);
}

/* ---- Random ones ---- */

static struct linear_op random_op(struct rng *rng)
{
	static const char *const values[] = {"a", "b", "7", "-12", "x", "yy"};
	enum linear_kind kind = (enum linear_kind)rng_below(rng, 10);
	const char *arg = "";
	if (kind >= LINEAR_SET && kind <= LINEAR_SET_GET)
		arg = values[rng_below(rng, 6)];
	else if (kind == LINEAR_APPEND)
		arg = values[4 + rng_below(rng, 2)];
	struct linear_op o = op(kind, arg, 1, 2, nil());
	if (kind == LINEAR_INCRBY)
		o.delta = (int64_t)rng_below(rng, 5) - 2;
	return o;
}

/* Carries out random operations at random moments of random intervals. */
static uint32_t random_history(struct rng *rng, struct linear_op *ops)
{
	uint32_t count = 2 + (uint32_t)rng_below(rng, 5);
	uint64_t times[3 * OPS_MAX];
	uint64_t effect[OPS_MAX];
	for (uint32_t i = 0; i < 3 * count; i++)
		times[i] = i + 1;
	for (uint32_t i = 3 * count; i-- > 1;) {
		uint64_t at = rng_below(rng, i + 1);
		uint64_t t = times[i];
		times[i] = times[at];
		times[at] = t;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint64_t *t = &times[3 * i];
		for (uint32_t pass = 0; pass < 2; pass++) {
			for (uint32_t k = 0; k < 2; k++) {
				if (t[k] > t[k + 1]) {
					uint64_t swap = t[k];
					t[k] = t[k + 1];
					t[k + 1] = swap;
				}
			}
		}
		ops[i] = random_op(rng);
		ops[i].called = t[0];
		ops[i].returned = t[2];
		effect[i] = t[1];
		if (rng_below(rng, 4) == 0) {
			ops[i].done = false;
			effect[i] = rng_below(rng, 2) == 0 ? UINT64_MAX : effect[i] + rng_below(rng, 8);
		}
	}
	struct plain p = {.present = false};
	for (uint64_t time = 0; time < 3 * OPS_MAX + 8; time++)
		for (uint32_t i = 0; i < count; i++)
			if (effect[i] == time)
				ops[i].reply = plain_do(&p, &ops[i]);
	/* By call. */
	for (uint32_t i = 1; i < count; i++) {
		for (uint32_t at = i; at > 0 && ops[at].called < ops[at - 1].called; at--) {
			struct linear_op swap = ops[at];
			ops[at] = ops[at - 1];
			ops[at - 1] = swap;
		}
	}
	return count;
}

static void test_random(void **state)
{
	struct rng rng = rng_seed(1);
	uint64_t yes = 0, no = 0;
	for (uint32_t round = 0; round < 60000; round++) {
		struct linear_op ops[OPS_MAX];
		uint32_t count = random_history(&rng, ops);
		if (round % 3 != 0) {
			/* Another reply, of an operation of the same kind if there is one. */
			struct linear_op *one = &ops[rng_below(&rng, count)];
			struct plain p = {.present = rng_below(&rng, 2) == 0};
			snprintf(p.text, sizeof p.text, "%s", rng_below(&rng, 2) == 0 ? "a" : "7");
			one->reply = plain_do(&p, one);
		}
		if (round % 2 == 0) {
			uint32_t i = 1 + (uint32_t)rng_below(&rng, count - 1);
			uint32_t before = (uint32_t)rng_below(&rng, i);
			if (ops[before].done)
				ops[i].after = before;
		}
		bool plain = agree(ops, count);
		if (round % 3 == 0 && round % 2 != 0)
			assert_true(plain); /* It was made by carrying it out. */
		if (plain)
			yes++;
		else
			no++;
	}
	assert_true(yes > 10000 && no > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stale_read),	 cmocka_unit_test(test_new_then_old),
		cmocka_unit_test(test_lost_write),	 cmocka_unit_test(test_applied_twice),
		cmocka_unit_test(test_unknown),		 cmocka_unit_test(test_session_order),
		cmocka_unit_test(test_same_value_again), cmocka_unit_test(test_budget),
		cmocka_unit_test(test_all_of_three),	 cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
