/*
 * cc counter.c -o counter $(pkg-config --cflags --libs ikada libuv)
 *
 * A counter that survives: each node adds 1 twice a second, and prints what it has become. In three terminals:
 *
 *	./counter 1 1=127.0.0.1:6001,2=127.0.0.1:6002,3=127.0.0.1:6003 counter-1
 *	./counter 2 1=127.0.0.1:6001,2=127.0.0.1:6002,3=127.0.0.1:6003 counter-2
 *	./counter 3 1=127.0.0.1:6001,2=127.0.0.1:6002,3=127.0.0.1:6003 counter-3
 *
 * Kill one: the others go on. Start it again: it catches up. `./counter 1 1=127.0.0.1:6001 alone` needs no others.
 */
#include <ikada/env.h>
#include <ikada/node.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static uint64_t value; /* The state: the sum of all entries, the same on each node after the same entry. */
static struct ikada_node *node;
static struct ikada_request request;

static void apply(void *context, const struct ikada_apply *entry, struct buf *reply)
{
	(void)context;
	if (entry->size == 1)
		value += entry->bytes[0];
	if (reply != NULL) /* This node was asked. */
		ikada_buf_add(reply, &value, sizeof value);
}

static void query(void *context, const uint8_t *bytes, size_t size, uint32_t tag, struct buf *reply)
{
	(void)context, (void)bytes, (void)size, (void)tag;
	ikada_buf_add(reply, &value, sizeof value);
}

static void done(struct ikada_request *of, enum ikada_outcome outcome, const uint8_t *reply, size_t size)
{
	uint64_t sum;
	(void)of;
	if (outcome == IKADA_DONE && size == sizeof sum) {
		memcpy(&sum, reply, sizeof sum);
		printf("the counter is %ju\n", (uintmax_t)sum);
	} else {
		printf("%s\n",
		       outcome == IKADA_UNKNOWN ? "it may have been added" : "it was not added: no leader, or busy");
	}
	fflush(stdout);
}

static void add(uv_timer_t *timer)
{
	static const uint8_t one = 1;
	(void)timer;
	if (request.under_way == NULL)
		ikada_node_propose(node, &request, &one, sizeof one, 0);
}

static void stop(uv_signal_t *signal, int number)
{
	(void)number;
	ikada_env_stop(signal->data);
}

int main(int argc, char **argv)
{
	const struct ikada_machine machine = {.apply = apply, .query = query};
	char error[512];
	uv_timer_t timer;
	uv_signal_t interrupt;
	if (argc != 4) {
		fprintf(stderr, "usage: counter ID 1=HOST:PORT,2=HOST:PORT,... DIR\n");
		return 2;
	}
	const struct ikada_node_settings settings = {
		.id = strtoull(argv[1], NULL, 10), .cluster = argv[2], .client_address = "", .data_dir = argv[3]};
	struct env *env = ikada_env_create(IKADA_LOG_WARN);
	node = env == NULL ? NULL : ikada_node_open(env, &settings, &machine, error, sizeof error);
	if (node == NULL) {
		fprintf(stderr, "counter: %s\n", env == NULL ? "no event loop" : error);
		return 1;
	}
	request.done = done;
	uv_timer_init(ikada_env_loop(env), &timer);
	uv_timer_start(&timer, add, 500, 500);
	uv_signal_init(ikada_env_loop(env), &interrupt);
	interrupt.data = env;
	uv_signal_start(&interrupt, stop, SIGINT);
	ikada_env_run(env);
	ikada_node_close(node);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_close((uv_handle_t *)&interrupt, NULL);
	ikada_env_destroy(env);
	return 0;
}
