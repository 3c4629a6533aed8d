/* What the files of the load share: connections, requests under way, and the loop's state. */
#ifndef IKADA_CLI_BENCH_LOAD_INTERNAL_H
#define IKADA_CLI_BENCH_LOAD_INTERNAL_H

#include "base/buf.h"
#include "cli/bench_load.h"

struct load_op {
	uint64_t intended_ns;
	bool read;
};

enum conn_state { CONN_DOWN = 0, CONN_DIALING, CONN_UP };

struct load_conn {
	int fd;
	enum conn_state state;
	uint32_t address;
	uint32_t watched; /* Events that epoll was told; 0: none. */
	uint64_t retry_ns;
	struct load_op *ops; /* A ring of `depth`. */
	uint32_t head, count;
	bool dirty;
	struct buf out;
	/* The reply under way. */
	uint64_t skip;		     /* Bytes of a bulk string still to come, with its end. */
	char line[LOAD_ERROR_BYTES]; /* Its first line, as far as it is kept; then a zero. */
	uint32_t line_size;
};

struct load {
	struct mem mem;
	const struct load_settings *settings;
	struct load_result *result;
	int epoll;
	struct load_conn *conns;
	uint32_t up;
	char *in;
	struct buf set, get; /* Requests whose key is to be filled in. */
	size_t set_key_at, get_key_at;
	struct keys keys;
	struct rng rng, arrivals;
	struct load_conn **dirty; /* With something to send. */
	uint32_t dirty_count;
	uint32_t turn;
	uint64_t pending, sent;
	double next_ns; /* Open loop: the next arrival, ... */
	bool blocked;	/* ... which waits for room. */
	bool started, ending;
	uint64_t from_ns, until_ns, drain_until_ns, retry_ns;
};

uint64_t load_now_ns(void);
void load_keep_error(struct load *load, const char *text); /* The first one stays. */

void load_watch(struct load *load, struct load_conn *conn, uint32_t events);
void load_dial(struct load *load, struct load_conn *conn);
void load_dial_again(struct load *load, uint64_t now_ns); /* Those that are down, when their time has come. */
void load_flush(struct load *load, struct load_conn *conn);
/* Closes it, and counts what was under way. It is dialled again a little later. */
void load_lose(struct load *load, struct load_conn *conn, const char *why);

enum load_reply { REPLY_MORE, REPLY_GOOD, REPLY_ERROR, REPLY_BROKEN };

/* Takes one reply from [*at, end), or all that there is of one. Of an error, conn->line is the text. */
enum load_reply load_reply_next(struct load_conn *conn, const char **at, const char *end);
void load_reply_reset(struct load_conn *conn);

/* The bar on a terminal. */
void load_progress(const struct load *load, uint64_t start_ns, uint64_t now_ns);
void load_progress_end(void);

#endif
