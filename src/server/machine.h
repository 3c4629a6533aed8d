/*
 * The state machine: commands over the store, as bytes. Pure: what a command does and what it answers depend on its
 * bytes and on the state, on nothing else; so every replica does the same. Knows no node, no client, no clock.
 *
 * A command as bytes, little-endian; in the log, and in reads:
 *	offset	size	field
 *	0	1	format; 1 today
 *	1	1	0
 *	2	2	code of the command (enum command_code)
 *	4	4	count of the arguments, the name left out
 *	8	4 each	their sizes
 *		...	their bytes, one behind the other
 * An entry is one command, or several that one client sent together: format 2, a 0, no code (2), how many (4), then the
 * commands, one behind the other, each answered in its place. One that only reads is answered for the one who waits for
 * it. A read is one command or more, without such a header; its answer is the number of those that were answered (4),
 * at least the first, and their replies. A long answer ends early; the asker asks for the rest.
 */
#ifndef IKADA_SERVER_MACHINE_H
#define IKADA_SERVER_MACHINE_H

#include "base/buf.h"
#include "server/command.h"
#include "server/keyspace.h"
#include "server/resp.h"

enum { MACHINE_FORMAT = 1, MACHINE_SEVERAL = 2, MACHINE_HEADER_BYTES = 8, MACHINE_DIGEST_BYTES = 16 };
enum { MACHINE_TOGETHER_MAX = 64 }; /* Commands in an entry. */
/* The answer to a read ends early with the first reply that brings it to this size. */
#define MACHINE_ANSWER_BYTES ((size_t)1024 * 1024)

struct machine {
	struct mem *mem;
	struct span *spans; /* Arguments of the command under way. */
	uint32_t span_room;
	struct buf scratch;	     /* A value under construction. */
	enum resp_protocol protocol; /* Of the reply under way. */
	struct keyspace keyspace;
};

enum machine_result {
	MACHINE_DONE,
	MACHINE_MALFORMED, /* No command in any version: answered with an error, state unchanged. */
	MACHINE_NEWER,	   /* A newer program's; this one must not go past it. */
};

struct machine *machine_create(struct mem *mem);
void machine_destroy(struct machine *machine);

size_t machine_bytes(const struct request *request); /* What machine_encode adds. */
/* Adds the command to `out`. */
void machine_encode(struct buf *out, const struct command *command, const struct request *request);
/* An entry of several: first its header, whose room stays unused when it turns out to be one; then the commands. */
void machine_begin(struct buf *out);
struct slice machine_end(struct buf *out, uint32_t count);
/* The size of the command that `bytes` start with; 0 when it is none. */
size_t machine_encoded_bytes(const uint8_t *bytes, size_t size);

/* `reply` may be NULL: nobody waits for it. The protocol is the asker's; it makes no difference to the state. */
enum machine_result machine_apply(struct machine *machine, const uint8_t *bytes, size_t size,
				  enum resp_protocol protocol, struct buf *reply);
/* Commands that will be applied next, at most STORE_AHEAD_MAX: has an effect on speed alone. */
void machine_expect(struct machine *machine, const struct slice commands[], size_t count);
void machine_query(struct machine *machine, const uint8_t *bytes, size_t size, enum resp_protocol protocol,
		   struct buf *reply);
/* True when there is more to do of what has no hurry. */
bool machine_idle(struct machine *machine);

/* machine_state.c: the state as it is now, held in constant time while the machine goes on. */
struct machine_held;
struct machine_held *machine_hold(struct machine *machine);
void machine_release(struct machine *machine, struct machine_held *held);
/* Adds the next piece, of about `bytes`; false: it was the last. Nothing at all is added for an empty state. */
bool machine_save(struct machine_held *held, struct buf *out, size_t bytes);
/* Empties the state; then each piece that was saved is loaded, in order. False: it cannot be understood. */
void machine_load_begin(struct machine *machine);
bool machine_load(struct machine *machine, const uint8_t *bytes, size_t size);
/* Of the whole state; constant time. */
void machine_digest(const struct machine *machine, uint8_t digest[MACHINE_DIGEST_BYTES]);

#endif
