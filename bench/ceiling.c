/*
 * The ceiling: three processes that do what any replicated durable log has to do, and nothing else. No Raft, no store.
 * Speaks enough of the Redis protocol for a load generator: every request is a write, and +OK when it is on two of
 * three disks.
 *
 *	ceiling DIR PORT
 *
 * The leader parses what its clients sent, makes one batch of what has gathered, sends it to two followers, writes and
 * syncs its own log inline, and answers at a majority. A follower writes what has gathered, syncs, and acknowledges.
 * Prints one line, "pids LEADER FOLLOWER FOLLOWER", when it listens; ends with a signal.
 */
#include "bench.h"

#include <sys/epoll.h>

enum {
	EVENTS_MAX = 512,
	IN_BYTES = 64 * 1024, /* Of one client's requests at a time. */
	CLIENTS_MAX = 4096,
	FLIGHT_MAX = 1024, /* Batches sent and not answered. */
	BATCH_BYTES = 16 << 20,
	LOG_BYTES = 256 << 20,
};

/* Before each batch, on the wire and on disk. */
struct head {
	uint64_t number;
	uint64_t bytes; /* That follow. */
};

struct client {
	int fd;
	size_t in_size;
	uint32_t fresh; /* Requests in the batch that gathers. */
	uint32_t owed;	/* Answers to be sent now. */
	char in[IN_BYTES];
};

struct share {
	struct client *client; /* NULL: it has gone. */
	uint32_t count;
};

struct batch {
	struct share *shares;
	uint32_t share_count;
};

struct ceiling {
	int epoll, listener;
	int followers[2];
	uint64_t acked[2], answered, number;
	char *bytes; /* The batch that gathers: a head, then requests as they came. */
	size_t size;
	struct client *clients[CLIENTS_MAX]; /* By descriptor. */
	struct client *touched[CLIENTS_MAX]; /* With fresh requests. */
	uint32_t touched_count;
	struct batch flight[FLIGHT_MAX]; /* By number. */
	struct disk_log log;
};

static size_t padded(size_t size)
{
	return (size + BENCH_BLOCK - 1) / BENCH_BLOCK * BENCH_BLOCK;
}

static void open_log(struct disk_log *log, const char *dir)
{
	if (!log_open(log, dir, LOG_DIRECT_DSYNC, LOG_BYTES))
		must(log_open(log, dir, LOG_FDATASYNC, LOG_BYTES), "opening a log");
}

/* ---- A follower ---- */

static void follow(int leader, const char *dir)
{
	struct disk_log log;
	char *bytes = aligned_bytes(2 * (size_t)BATCH_BYTES);
	size_t size = 0;
	open_log(&log, dir);
	for (;;) {
		ssize_t n = recv(leader, bytes + size, 2 * (size_t)BATCH_BYTES - size, 0);
		if (n <= 0)
			return;
		size += (size_t)n;
		size_t whole = 0;
		struct head head, last = {0, 0};
		while (size - whole >= sizeof head) {
			memcpy(&head, bytes + whole, sizeof head);
			if (size - whole < sizeof head + head.bytes)
				break;
			whole += sizeof head + head.bytes;
			last = head;
		}
		if (whole == 0)
			continue;
		/* What lies behind the whole batches goes along, and is written again in its turn. */
		log_write(&log, bytes, padded(whole));
		send_all(leader, &last.number, sizeof last.number);
		memmove(bytes, bytes + whole, size - whole);
		size -= whole;
	}
}

/* ---- The leader ---- */

/* The number behind the marker at *at, and its line end; false: not all there. */
static bool take_number(const char **at, const char *end, uint64_t *number)
{
	const char *stop = memchr(*at, '\n', (size_t)(end - *at));
	if (stop == NULL)
		return false;
	*number = 0;
	for (const char *digit = *at + 1; *digit >= '0' && *digit <= '9'; digit++)
		*number = *number * 10 + (uint64_t)(*digit - '0');
	*at = stop + 1;
	return true;
}

/* The size of the first request; 0: not all there. */
static size_t request_size(const char *bytes, size_t size)
{
	const char *at = bytes, *end = bytes + size;
	uint64_t count, length;
	if (!take_number(&at, end, &count))
		return 0;
	for (; count > 0; count--) {
		if (!take_number(&at, end, &length) || (size_t)(end - at) < length + 2)
			return 0;
		at += length + 2;
	}
	return (size_t)(at - bytes);
}

static void drop_client(struct ceiling *c, struct client *client)
{
	for (uint64_t n = c->answered + 1; n <= c->number; n++) {
		struct batch *batch = &c->flight[n % FLIGHT_MAX];
		for (uint32_t i = 0; i < batch->share_count; i++)
			if (batch->shares[i].client == client)
				batch->shares[i].client = NULL;
	}
	for (uint32_t i = 0; i < c->touched_count; i++)
		if (c->touched[i] == client)
			c->touched[i--] = c->touched[--c->touched_count];
	c->clients[client->fd] = NULL;
	close(client->fd);
	free(client);
}

static void client_readable(struct ceiling *c, struct client *client)
{
	ssize_t n = recv(client->fd, client->in + client->in_size, IN_BYTES - client->in_size, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		drop_client(c, client);
		return;
	}
	client->in_size += (size_t)n;
	size_t whole = 0, one;
	while ((one = request_size(client->in + whole, client->in_size - whole)) > 0) {
		whole += one;
		if (client->fresh++ == 0)
			c->touched[c->touched_count++] = client;
	}
	memcpy(c->bytes + c->size, client->in, whole);
	c->size += whole;
	memmove(client->in, client->in + whole, client->in_size - whole);
	client->in_size -= whole;
}

static void accept_clients(struct ceiling *c)
{
	int fd;
	while ((fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		must(fd < CLIENTS_MAX, "too many clients");
		no_delay(fd);
		c->clients[fd] = calloc(1, sizeof *c->clients[fd]);
		must(c->clients[fd] != NULL, "memory");
		c->clients[fd]->fd = fd;
		struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
		must(epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll");
	}
}

/* What has gathered becomes a batch: sent first, then written here. */
static void make_batch(struct ceiling *c)
{
	if (c->touched_count == 0 || c->number - c->answered == FLIGHT_MAX)
		return;
	struct head head = {++c->number, c->size - sizeof head};
	struct batch *batch = &c->flight[c->number % FLIGHT_MAX];
	memcpy(c->bytes, &head, sizeof head);
	for (int i = 0; i < 2; i++)
		must(send_all(c->followers[i], c->bytes, c->size), "a follower has gone");
	log_write(&c->log, c->bytes, padded(c->size));
	batch->shares = realloc(batch->shares, c->touched_count * sizeof *batch->shares);
	must(batch->shares != NULL, "memory");
	batch->share_count = c->touched_count;
	for (uint32_t i = 0; i < c->touched_count; i++) {
		batch->shares[i] = (struct share){c->touched[i], c->touched[i]->fresh};
		c->touched[i]->fresh = 0;
	}
	c->touched_count = 0;
	c->size = sizeof head;
}

static void answer(struct client *client)
{
	static char oks[5 * 4096];
	if (oks[0] == '\0')
		for (size_t i = 0; i < sizeof oks; i += 5)
			memcpy(oks + i, "+OK\r\n", 5);
	while (client->owed > 0) {
		uint32_t now = client->owed < 4096 ? client->owed : 4096;
		send_all(client->fd, oks, 5 * (size_t)now);
		client->owed -= now;
	}
}

/* The own log has all batches; one follower makes a majority. */
static void answer_majority(struct ceiling *c)
{
	static struct client *owed[CLIENTS_MAX];
	uint32_t owed_count = 0;
	uint64_t durable = c->acked[0] > c->acked[1] ? c->acked[0] : c->acked[1];
	while (c->answered < durable) {
		struct batch *batch = &c->flight[++c->answered % FLIGHT_MAX];
		for (uint32_t i = 0; i < batch->share_count; i++) {
			struct client *client = batch->shares[i].client;
			if (client != NULL && client->owed == 0)
				owed[owed_count++] = client;
			if (client != NULL)
				client->owed += batch->shares[i].count;
		}
		batch->share_count = 0;
	}
	for (uint32_t i = 0; i < owed_count; i++)
		answer(owed[i]);
}

static void follower_readable(struct ceiling *c, int i)
{
	uint64_t numbers[512];
	ssize_t n = recv(c->followers[i], numbers, sizeof numbers, 0);
	must(n > 0 && n % 8 == 0, "a follower has gone");
	c->acked[i] = numbers[n / 8 - 1];
}

static void run(struct ceiling *c)
{
	struct epoll_event events[EVENTS_MAX];
	for (;;) {
		int count = epoll_wait(c->epoll, events, EVENTS_MAX, -1);
		must(count > 0 || errno == EINTR, "epoll");
		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;
			if (fd == c->listener)
				accept_clients(c);
			else if (fd == c->followers[0] || fd == c->followers[1])
				follower_readable(c, fd == c->followers[1]);
			else if (c->clients[fd] != NULL && c->size < BATCH_BYTES - IN_BYTES)
				client_readable(c, c->clients[fd]);
		}
		answer_majority(c);
		make_batch(c);
	}
}

static void watch(struct ceiling *c, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	must(epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll");
}

int main(int argc, char **argv)
{
	static struct ceiling c;
	if (argc != 3) {
		fprintf(stderr, "usage: ceiling DIR PORT\n");
		return 2;
	}
	uint16_t port = (uint16_t)atoi(argv[2]);
	pid_t pids[2];
	for (int i = 0; i < 2; i++) {
		uint16_t at = 0;
		int listener = listen_on(&at);
		pids[i] = start_process();
		if (pids[i] == 0) {
			follow(accept_on(listener), argv[1]);
			_exit(0);
		}
		close(listener);
		c.followers[i] = connect_to(at);
	}
	open_log(&c.log, argv[1]);
	c.bytes = aligned_bytes(BATCH_BYTES);
	c.size = sizeof(struct head);
	c.listener = listen_on(&port);
	must(fcntl(c.listener, F_SETFL, O_NONBLOCK) == 0, "fcntl");
	c.epoll = epoll_create1(EPOLL_CLOEXEC);
	must(c.epoll >= 0, "epoll");
	watch(&c, c.listener);
	watch(&c, c.followers[0]);
	watch(&c, c.followers[1]);
	printf("pids %ld %ld %ld\n", (long)getpid(), (long)pids[0], (long)pids[1]);
	fflush(stdout);
	run(&c);
}
