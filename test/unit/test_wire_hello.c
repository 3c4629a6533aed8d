/* Configurations, handshakes and plain frames: what goes in comes out; lies are refused. */
#include "test_wire.h"

static void test_config(void **state)
{
	(void)state;
	struct ikada_config config = three(), read;
	wire_put_config(&out, &config);
	assert_true(wire_get_config(buf_at(&out), buf_size(&out), &read));
	assert_memory_equal(&config, &read, sizeof config);
	for (size_t n = 0; n < buf_size(&out); n++)
		assert_false(wire_get_config(buf_at(&out), n, &read));
	buf_add(&out, "x", 1);
	assert_false(wire_get_config(buf_at(&out), buf_size(&out), &read));
	drop_frame();
	config.members[1].id = 8; /* Not ascending. */
	wire_put_config(&out, &config);
	assert_false(wire_get_config(buf_at(&out), buf_size(&out), &read));
}

/* Joint, after changes, and with a member that is being replaced. */
static void test_config_in_full(void **state)
{
	(void)state;
	struct ikada_config read;
	const struct ikada_config config = {
		.index = 77,
		.max_id = 9,
		.count = 4,
		.members = {{1, 11, IKADA_VOTER},
			    {3, 5, IKADA_OUTGOING},
			    {3, 6, IKADA_INCOMING},
			    {9, 1, IKADA_LEARNER}},
	};
	wire_put_config(&out, &config);
	assert_true(wire_get_config(buf_at(&out), buf_size(&out), &read));
	assert_int_equal(read.index, 77);
	assert_int_equal(read.max_id, 9);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(read.members[i].id, config.members[i].id);
		assert_int_equal(read.members[i].incarnation, config.members[i].incarnation);
		assert_int_equal(read.members[i].standing, config.members[i].standing);
	}
	size_t standing = buf_size(&out) - 8;
	buf_at(&out)[standing] = 7;
	assert_false(wire_get_config(buf_at(&out), buf_size(&out), &read));
	buf_at(&out)[standing] = 5;
	buf_at(&out)[standing + 7] = 1;
	assert_false(wire_get_config(buf_at(&out), buf_size(&out), &read));
	buf_at(&out)[standing + 7] = 0;
	buf_at(&out)[4] = 3; /* The count. */
	assert_false(wire_get_config(buf_at(&out), buf_size(&out), &read));
	buf_at(&out)[4] = 17;
	assert_false(wire_get_config(buf_at(&out), buf_size(&out), &read));
}

static void test_members(void **state)
{
	(void)state;
	struct wire_members members = {.config = three()}, read;
	strcpy(members.addresses[0], "127.0.0.1:7001");
	memset(members.addresses[2], 'a', WIRE_ADDRESS_BYTES);
	wire_put_members(&out, &members);
	assert_true(wire_get_members(buf_at(&out), buf_size(&out), &read));
	assert_memory_equal(&read.config, &members.config, sizeof read.config);
	for (uint32_t i = 0; i < 3; i++)
		assert_string_equal(read.addresses[i], members.addresses[i]);
	for (size_t n = 0; n < buf_size(&out); n++) {
		uint8_t *part = exact(buf_at(&out), n);
		assert_false(wire_get_members(part, n, &read));
		free(part);
	}
	buf_at(&out)[buf_size(&out) - 1] = ' ';
	assert_false(wire_get_members(buf_at(&out), buf_size(&out), &read));
	buf_at(&out)[buf_size(&out) - 1] = 'a';
	buf_add(&out, "x", 1);
	assert_false(wire_get_members(buf_at(&out), buf_size(&out), &read));
}

static void test_cluster_id(void **state)
{
	(void)state;
	struct ikada_config a = three(), b = three();
	assert_int_equal(wire_cluster_id(&a), wire_cluster_id(&b));
	b.members[1].incarnation++;
	assert_int_not_equal(wire_cluster_id(&a), wire_cluster_id(&b));
	b = three();
	b.count = 2;
	assert_int_not_equal(wire_cluster_id(&a), wire_cluster_id(&b));
}

static void test_hello(void **state)
{
	(void)state;
	for (int with_config = 0; with_config < 2; with_config++) {
		struct wire_hello hello = {.to = 3, .from = 9, .incarnation = 0xabcdef, .boot = 12, .config = three()};
		strcpy(hello.client_address, "127.0.0.1:7001");
		uint64_t cluster = with_config ? wire_cluster_id(&hello.config) : 0;
		wire_put_hello(&out, with_config ? WIRE_WELCOME : WIRE_HELLO, cluster, &hello);
		struct wire_frame frame = only_frame();
		assert_int_equal(frame.type, with_config ? WIRE_WELCOME : WIRE_HELLO);
		assert_int_equal(frame.cluster_id, cluster);
		struct wire_hello read;
		assert_true(wire_get_hello(&frame, &read));
		assert_int_equal(read.to, 3);
		assert_int_equal(read.from, 9);
		assert_int_equal(read.incarnation, 0xabcdef);
		assert_int_equal(read.boot, 12);
		assert_string_equal(read.client_address, "127.0.0.1:7001");
		if (with_config)
			assert_memory_equal(&read.config, &hello.config, sizeof read.config);
		else
			assert_int_equal(read.config.count, 0);
		check_truncations();
		check_flips();
		check_short_bodies(true);
		drop_frame();
	}
}

/* A member of a cluster whose log has not been told of a configuration yet; and one with a later configuration. */
static void test_hello_later(void **state)
{
	(void)state;
	for (uint64_t index = 0; index < 2; index++) {
		struct wire_hello hello = {.to = 3, .from = 9, .incarnation = 1}, read;
		if (index > 0) {
			hello.config = three();
			hello.config.index = index;
		}
		wire_put_hello(&out, WIRE_HELLO, CLUSTER, &hello);
		struct wire_frame frame = only_frame();
		assert_true(wire_get_hello(&frame, &read));
		assert_int_equal(read.config.count, index > 0 ? 3 : 0);
		assert_int_equal(read.config.index, index);
		check_truncations();
		check_flips();
		check_short_bodies(true);
		drop_frame();
	}
}

static void test_base(void **state)
{
	(void)state;
	struct wire_members members = {.config = three()};
	struct wire_base read;
	for (int with_members = 0; with_members < 2; with_members++) {
		if (with_members == 0)
			members.config.count = 0;
		else
			members.config = three();
		wire_put_base(&out, 77, 66, &members);
		assert_true(wire_get_base(buf_at(&out), buf_size(&out), &read));
		assert_int_equal(read.cluster_id, 77);
		assert_int_equal(read.recovered_from, 66);
		assert_int_equal(read.members.config.count, members.config.count);
		for (size_t n = 0; n < buf_size(&out); n++)
			if (n != 16) /* There it may end. */
				assert_false(wire_get_base(buf_at(&out), n, &read));
		buf_consume(&out, buf_size(&out));
	}
	wire_put_base(&out, 0, 0, &members); /* No cluster has this id. */
	assert_false(wire_get_base(buf_at(&out), buf_size(&out), &read));
}

/* The cluster id must be that of the configuration it comes with; addresses are printable. */
static void test_hello_lies(void **state)
{
	(void)state;
	struct wire_hello hello = {.to = 3, .from = 9, .incarnation = 1, .config = three()}, read;
	wire_put_hello(&out, WIRE_HELLO, CLUSTER, &hello);
	struct wire_frame frame = only_frame();
	assert_false(wire_get_hello(&frame, &read));
	drop_frame();
	strcpy(hello.client_address, "a\nb:1");
	wire_put_hello(&out, WIRE_HELLO, 0, &hello);
	frame = only_frame();
	assert_false(wire_get_hello(&frame, &read));
	drop_frame();
	memset(hello.client_address, 'h', WIRE_ADDRESS_BYTES);
	wire_put_hello(&out, WIRE_HELLO, 0, &hello);
	frame = only_frame();
	assert_true(wire_get_hello(&frame, &read));
	assert_int_equal(strlen(read.client_address), WIRE_ADDRESS_BYTES);
	assert_true(frame.body_size <= WIRE_STRANGER_BYTES);
}

static void test_plain(void **state)
{
	(void)state;
	wire_put_plain(&out, WIRE_REFUSE, CLUSTER, "no, thank you", 13);
	struct wire_frame frame = only_frame();
	assert_int_equal(frame.type, WIRE_REFUSE);
	assert_int_equal(frame.cluster_id, CLUSTER);
	assert_int_equal(frame.body_size, 13);
	assert_memory_equal(frame.body, "no, thank you", 13);
	check_truncations();
	drop_frame();
	wire_put_plain(&out, WIRE_PING, CLUSTER, NULL, 0);
	frame = only_frame();
	assert_int_equal(frame.type, WIRE_PING);
	assert_int_equal(frame.body_size, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_config, setup, teardown),
		cmocka_unit_test_setup_teardown(test_config_in_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_members, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cluster_id, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hello, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hello_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_base, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hello_lies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plain, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
