/*
 * What is sent over simulated connections: chunks, from the writer's output through flight to the reader's input.
 *
 * Ordered chunks (bytes, the connect, its answer, the end) arrive in the order in which they left; a cut holds the
 * first one and with it all others. Bytes are split anywhere, and read together with what else has arrived.
 *
 * A frame travels alone: it may be lost, come twice, and come in another order than other frames. Yet the reader parses
 * one stream of bytes. So a frame stays in one piece, and is put between ordered bytes only where something written by
 * stream_write ends; and not before what was ordered before it, so that a handshake stays in front. A frame that
 * arrives too early for that waits. Who mixes both on one stream must write whole messages in each call.
 *
 * So much as the window may be in flight or unread; the rest waits in the output. The word of what was read comes back
 * at once, unless the way back is cut.
 */
#include "sim/sim_world.h"

#include "base/check.h"
#include "base/crc32c.h"

#include <errno.h>
#include <string.h>

struct chunk {
	struct list at; /* In the list of its place. */
	struct event event;
	struct env_stream *from;
	uint64_t arrival; /* Of an ordered chunk, unless one before it comes later. */
	uint64_t after;	  /* Of a frame: so many ordered bytes come first. */
	int status;	  /* Of an end. */
	enum chunk_kind kind;
	bool whole; /* Its last byte is the last of a stream_write. */
	uint32_t start, size, room;
	uint8_t bytes[];
};

#define CHUNK_BYTES_MAX (32768 - (uint32_t)sizeof(struct chunk))
#define RECEIVED_BYTES_MAX ((size_t)65536)
#define SHORT_SPLIT_BYTES 32

void sim_stream_init(struct env_stream *stream, struct sim_conn *conn, struct sim_host *host)
{
	memset(stream, 0, sizeof *stream);
	stream->conn = conn;
	stream->host = host;
	sim_event_init(&stream->news, EVENT_NEWS, host);
	list_init(&stream->at);
	list_init(&stream->dirty);
	list_init(&stream->output);
	list_init(&stream->flight);
	list_init(&stream->frames);
	list_init(&stream->input);
	list_init(&stream->early);
}

static struct chunk *chunk_new(struct env_stream *from, enum chunk_kind kind, size_t size)
{
	/* All of a block of the pool is used, so that more can be added. */
	size_t block = 128;
	while (block < sizeof(struct chunk) + size)
		block *= 2;
	struct chunk *chunk = sim_take(from->conn->sim, block);
	sim_event_init(&chunk->event, EVENT_CHUNK, NULL);
	list_init(&chunk->at);
	chunk->from = from;
	chunk->arrival = 0;
	chunk->after = 0;
	chunk->status = 0;
	chunk->kind = kind;
	chunk->whole = true;
	chunk->start = 0;
	chunk->size = 0;
	CHECK_OP(block - sizeof *chunk, <=, UINT32_MAX);
	chunk->room = (uint32_t)(block - sizeof *chunk);
	return chunk;
}

static void chunk_free(struct chunk *chunk)
{
	struct sim *sim = chunk->from->conn->sim;
	sim_event_cancel(sim, &chunk->event);
	list_remove(&chunk->at);
	sim_give(sim, chunk, sizeof *chunk + chunk->room);
}

static struct chunk *first(const struct list *chunks)
{
	return LIST_OF(chunks->next, struct chunk, at);
}

static void chunk_add(struct chunk *chunk, const uint8_t *bytes, uint32_t size)
{
	if (size > 0)
		memcpy(chunk->bytes + chunk->start + chunk->size, bytes, size);
	chunk->size += size;
}

static void drop(struct list *chunks)
{
	while (!list_empty(chunks))
		chunk_free(first(chunks));
}

void sim_stream_drop_output(struct env_stream *stream)
{
	drop(&stream->output);
	stream->pending = 0;
}

void sim_stream_drop_flight(struct env_stream *stream)
{
	drop(&stream->flight);
	drop(&stream->frames);
}

void sim_stream_drop_input(struct env_stream *stream)
{
	drop(&stream->input);
	drop(&stream->early);
}

static void tell(struct env_stream *stream)
{
	sim_tell(stream->host, &stream->news);
}

/* ---- Out ---- */

static bool writable(const struct env_stream *stream)
{
	return stream->state == STREAM_OPEN || stream->state == STREAM_OPENING;
}

static void mark_dirty(struct env_stream *stream)
{
	if (stream->state != STREAM_OPENING && list_empty(&stream->dirty))
		list_push(&stream->host->dirty, &stream->dirty);
}

/* The last chunk of the output, if it has bytes and can take more, made larger when it must. */
static struct chunk *last_with_room(struct env_stream *stream, size_t size)
{
	if (list_empty(&stream->output))
		return NULL;
	struct chunk *chunk = LIST_OF(stream->output.prev, struct chunk, at);
	if (chunk->kind != CHUNK_BYTES || chunk->start + chunk->size >= CHUNK_BYTES_MAX)
		return NULL;
	if (chunk->room - chunk->start - chunk->size >= size || chunk->room >= CHUNK_BYTES_MAX)
		return chunk;
	size_t wanted = chunk->size + size;
	struct chunk *larger = chunk_new(stream, CHUNK_BYTES, wanted < CHUNK_BYTES_MAX ? wanted : CHUNK_BYTES_MAX);
	chunk_add(larger, chunk->bytes + chunk->start, chunk->size);
	chunk_free(chunk);
	list_push(&stream->output, &larger->at);
	return larger;
}

void sim_stream_write(struct env_stream *stream, const void *bytes, size_t size)
{
	if (!writable(stream) || size == 0)
		return;
	const uint8_t *at = bytes;
	stream->pending += size;
	stream->written += size;
	mark_dirty(stream);
	while (size > 0) {
		struct chunk *chunk = last_with_room(stream, size);
		if (chunk == NULL) {
			chunk = chunk_new(stream, CHUNK_BYTES, size < CHUNK_BYTES_MAX ? size : CHUNK_BYTES_MAX);
			list_push(&stream->output, &chunk->at);
		}
		uint32_t n = chunk->room - chunk->start - chunk->size;
		if (n > size)
			n = (uint32_t)size;
		chunk_add(chunk, at, n);
		at += n;
		size -= n;
		chunk->whole = size == 0;
	}
}

void sim_stream_write_frame(struct env_stream *stream, const void *bytes, size_t size)
{
	if (!writable(stream) || size == 0)
		return;
	CHECK_OP(size, <, (size_t)UINT32_MAX / 2);
	struct chunk *chunk = chunk_new(stream, CHUNK_FRAME, size);
	chunk_add(chunk, bytes, (uint32_t)size);
	chunk->after = stream->written;
	stream->pending += size;
	mark_dirty(stream);
	list_push(&stream->output, &chunk->at);
}

size_t sim_stream_pending(const struct env_stream *stream)
{
	return stream->pending;
}

void sim_stream_end_output(struct env_stream *stream)
{
	struct chunk *chunk = chunk_new(stream, CHUNK_END, 0);
	list_push(&stream->output, &chunk->at);
	mark_dirty(stream);
}

/* An ordered chunk leaves. */
static void depart(struct chunk *chunk, uint64_t time)
{
	struct env_stream *stream = chunk->from;
	struct sim *sim = stream->conn->sim;
	chunk->arrival = time + sim_delay(stream->host, stream_peer(stream)->host, chunk->size);
	stream->in_flight += chunk->size;
	bool alone = list_empty(&stream->flight);
	list_remove(&chunk->at);
	list_push(&stream->flight, &chunk->at);
	if (alone)
		sim_event_at(sim, &chunk->event, chunk->arrival);
}

void sim_stream_send(struct env_stream *stream, enum chunk_kind kind, int status, uint64_t time)
{
	struct chunk *chunk = chunk_new(stream, kind, 0);
	chunk->status = status;
	depart(chunk, time);
}

/* The first `size` bytes of a chunk of the output leave alone. */
static void depart_part(struct chunk *chunk, uint32_t size, uint64_t time)
{
	struct chunk *part = chunk_new(chunk->from, CHUNK_BYTES, size);
	chunk_add(part, chunk->bytes + chunk->start, size);
	part->whole = false;
	chunk->start += size;
	chunk->size -= size;
	depart(part, time);
}

/* Up to `room` bytes leave; true when that is all of the chunk. */
static bool send_bytes(struct chunk *chunk, size_t room, uint64_t time)
{
	struct env_stream *stream = chunk->from;
	struct rng *rng = &stream->host->rng_net;
	uint32_t split_ppm = sim_net_link(stream->host, stream_peer(stream)->host)->split_ppm;
	uint32_t left = chunk->size <= room ? chunk->size : (uint32_t)room;
	stream->pending -= left;
	while (left > 1 && rng_chance(rng, split_ppm)) {
		/* Half of the splits are near the start, where headers are. */
		bool near = rng_chance(rng, 500000);
		uint32_t part =
			(uint32_t)rng_range(rng, 1, near && left > SHORT_SPLIT_BYTES ? SHORT_SPLIT_BYTES : left - 1);
		depart_part(chunk, part, time);
		left -= part;
	}
	if (left < chunk->size) {
		if (left > 0)
			depart_part(chunk, left, time);
		return false;
	}
	depart(chunk, time);
	return true;
}

static void frame_departs(struct chunk *chunk, uint64_t time)
{
	struct env_stream *stream = chunk->from;
	struct sim_host *from = stream->host;
	uint64_t arrival = time + sim_delay(from, stream_peer(stream)->host, chunk->size);
	stream->in_flight += chunk->size;
	list_remove(&chunk->at);
	list_push(&stream->frames, &chunk->at);
	sim_event_at(from->sim, &chunk->event, arrival);
}

static void send_frame(struct chunk *chunk, uint64_t time)
{
	struct env_stream *stream = chunk->from;
	struct sim_host *from = stream->host;
	const struct sim_host *to = stream_peer(stream)->host;
	const struct sim_link *link = &from->sim->links[from->number][to->number];
	stream->pending -= chunk->size;
	bool dropped = rng_chance(&from->rng_net, link->drop_ppm);
	if (dropped || link_is_cut(from, to)) {
		from->sim->counters.frames_dropped++;
		chunk_free(chunk);
		return;
	}
	if (rng_chance(&from->rng_net, link->duplicate_ppm)) {
		struct chunk *copy = chunk_new(stream, CHUNK_FRAME, chunk->size);
		chunk_add(copy, chunk->bytes, chunk->size);
		copy->after = chunk->after;
		from->sim->counters.frames_duplicated++;
		frame_departs(copy, time);
	}
	frame_departs(chunk, time);
}

/* Sends what the window allows, and a frame in any case when nothing is in flight. */
static void pump(struct env_stream *stream, uint64_t time)
{
	while (!list_empty(&stream->output)) {
		struct chunk *chunk = first(&stream->output);
		size_t window = sim_net_link(stream->host, stream_peer(stream)->host)->window_bytes;
		size_t room = stream->in_flight < window ? window - stream->in_flight : 0;
		if (chunk->kind == CHUNK_END) {
			depart(chunk, time);
		} else if (chunk->kind == CHUNK_FRAME) {
			if (chunk->size > room && stream->in_flight > 0)
				return;
			send_frame(chunk, time);
		} else if (room == 0 || !send_bytes(chunk, room, time)) {
			return;
		}
	}
	if (stream->waited && stream->state == STREAM_OPEN) {
		stream->waited = false;
		stream->drained = true;
		tell(stream);
	}
}

void sim_stream_flush(struct env_stream *stream, uint64_t time)
{
	pump(stream, time);
	stream->waited = !list_empty(&stream->output);
}

/* The writer hears that so much was read. */
static void acknowledge(struct env_stream *writer, size_t size)
{
	CHECK_OP(size, <=, writer->in_flight);
	writer->in_flight -= size;
	/* What it writes in the turn under way leaves at the end of that. */
	if (!list_empty(&writer->output) && list_empty(&writer->dirty) && writer->state != STREAM_OPENING)
		pump(writer, writer->conn->sim->now);
}

static void was_read(struct env_stream *reader, size_t size)
{
	struct env_stream *writer = stream_peer(reader);
	if (link_is_cut(reader->host, writer->host))
		writer->withheld += size;
	else
		acknowledge(writer, size);
}

void sim_stream_skip_input(struct env_stream *stream)
{
	size_t size = 0;
	for (const struct list *at = stream->input.next; at != &stream->input; at = at->next)
		size += LIST_OF(at, struct chunk, at)->size;
	for (const struct list *at = stream->early.next; at != &stream->early; at = at->next)
		size += LIST_OF(at, struct chunk, at)->size;
	sim_stream_drop_input(stream);
	was_read(stream, size);
}

void sim_stream_release(struct env_stream *stream)
{
	struct sim_host *from = stream->host;
	const struct sim_host *to = stream_peer(stream)->host;
	struct sim *sim = stream->conn->sim;
	if (!list_empty(&stream->flight) && !link_is_cut(from, to)) {
		struct chunk *held = first(&stream->flight);
		if (held->event.at == NOWHERE)
			sim_event_at(sim, &held->event, sim->now + sim_delay(from, to, held->size));
	}
	if (stream->withheld > 0 && !link_is_cut(to, from)) {
		size_t size = stream->withheld;
		stream->withheld = 0;
		acknowledge(stream, size);
	}
}

/* ---- In ---- */

static void note(const struct chunk *chunk, enum note what)
{
	const struct env_stream *to = stream_peer(chunk->from);
	sim_note(to->host, what, chunk->from->host, chunk->size, crc32c(0, chunk->bytes + chunk->start, chunk->size));
}

static void release_early(struct env_stream *to)
{
	struct list *next;
	for (struct list *at = to->early.next; at != &to->early && !to->in_message; at = next) {
		next = at->next;
		if (LIST_OF(at, struct chunk, at)->after > to->arrived)
			continue;
		list_remove(at);
		list_push(&to->input, at);
	}
}

static bool wants_input(const struct env_stream *stream)
{
	return stream->state == STREAM_OPEN || stream->state == STREAM_OPENING || stream->state == STREAM_ACCEPTING;
}

static void readable(struct env_stream *stream)
{
	if (stream->state != STREAM_ACCEPTING && !stream->paused && !list_empty(&stream->input))
		tell(stream);
}

/* Something arrives at an end that the process has left. */
static void unwanted(struct env_stream *to, struct chunk *chunk)
{
	struct env_stream *from = chunk->from;
	if (to->state == STREAM_LINGERING) {
		was_read(to, chunk->size);
	} else if (!to->reset_sent && from->state != STREAM_DEAD) {
		to->reset_sent = true;
		sim_stream_send(to, CHUNK_END, -ECONNRESET, to->conn->sim->now);
	}
	chunk_free(chunk);
}

static void end_arrives(struct env_stream *to, struct chunk *chunk)
{
	struct env_stream *from = chunk->from;
	int status = chunk->status;
	note(chunk, NOTE_END);
	if (status == 0 && wants_input(to)) {
		list_push(&to->input, &chunk->at);
		readable(to);
	} else {
		chunk_free(chunk);
	}
	if (from->state == STREAM_LINGERING)
		sim_stream_bury(from);
	if (status != 0)
		sim_stream_reset(to, status);
}

/* An ordered chunk has arrived. Afterwards the connection may be over. */
static void arrive(struct chunk *chunk)
{
	struct env_stream *to = stream_peer(chunk->from);
	switch (chunk->kind) {
	case CHUNK_CONNECT:
		chunk_free(chunk);
		sim_connect_arrives(to);
		return;
	case CHUNK_END:
		end_arrives(to, chunk);
		return;
	case CHUNK_ANSWER:
		if (to->state != STREAM_OPENING) {
			unwanted(to, chunk);
			return;
		}
		note(chunk, NOTE_OPENS);
		chunk_free(chunk);
		sim_event_cancel(to->conn->sim, &to->conn->timeout);
		to->in_message = false;
		release_early(to);
		tell(to);
		return;
	case CHUNK_BYTES:
	case CHUNK_FRAME:
		break;
	}
	note(chunk, NOTE_BYTES);
	if (!wants_input(to)) {
		unwanted(to, chunk);
		return;
	}
	to->arrived += chunk->size;
	to->in_message = !chunk->whole;
	list_push(&to->input, &chunk->at);
	release_early(to);
	readable(to);
}

static void frame_arrives(struct chunk *chunk)
{
	struct env_stream *from = chunk->from;
	struct env_stream *to = stream_peer(from);
	list_remove(&chunk->at);
	if (link_is_cut(from->host, to->host)) {
		size_t size = chunk->size;
		note(chunk, NOTE_FRAME_LOST);
		to->conn->sim->counters.frames_dropped++;
		chunk_free(chunk);
		acknowledge(from, size);
		return;
	}
	note(chunk, NOTE_FRAME);
	if (!wants_input(to)) {
		unwanted(to, chunk);
		return;
	}
	to->conn->sim->counters.frames_delivered++;
	list_push(&to->early, &chunk->at);
	release_early(to);
	readable(to);
}

void sim_chunk_reach(struct event *event)
{
	struct chunk *chunk = LIST_OF(event, struct chunk, event);
	struct env_stream *from = chunk->from;
	struct sim *sim = from->conn->sim;
	if (chunk->kind == CHUNK_FRAME) {
		frame_arrives(chunk);
		return;
	}
	if (link_is_cut(from->host, stream_peer(from)->host))
		return; /* Held. */
	for (;;) {
		list_remove(&chunk->at);
		/* What comes behind it is due from now on; a reset may drop that. */
		arrive(chunk);
		if (list_empty(&from->flight))
			return;
		chunk = first(&from->flight);
		if (chunk->event.at != NOWHERE)
			return;
		if (chunk->arrival > sim->now) {
			sim_event_at(sim, &chunk->event, chunk->arrival);
			return;
		}
	}
}

/* The next bytes to be received, in the scratch; their number. */
static size_t gather(struct env_stream *stream)
{
	struct sim *sim = stream->conn->sim;
	size_t total = 0;
	while (!list_empty(&stream->input)) {
		struct chunk *chunk = first(&stream->input);
		if (chunk->kind == CHUNK_END || (total > 0 && total + chunk->size > RECEIVED_BYTES_MAX))
			break;
		if (total + chunk->size > sim->scratch_room) {
			sim->scratch_room = total + chunk->size > RECEIVED_BYTES_MAX ? chunk->size : RECEIVED_BYTES_MAX;
			sim->scratch = mem_resize(&sim->mem, sim->scratch, sim->scratch_room);
		}
		memcpy(sim->scratch + total, chunk->bytes + chunk->start, chunk->size);
		total += chunk->size;
		chunk_free(chunk);
	}
	return total;
}

static void hear_input(struct env_stream *stream)
{
	struct sim *sim = stream->conn->sim;
	while (stream->state == STREAM_OPEN && !stream->paused && !list_empty(&stream->input)) {
		size_t size = gather(stream);
		if (size == 0) { /* The end. */
			sim_stream_reset(stream, 0);
			return;
		}
		sim->counters.bytes_delivered += size;
		was_read(stream, size);
		stream->events->received(stream->context, sim->scratch, size);
	}
}

void sim_stream_pause(struct env_stream *stream, bool paused)
{
	stream->paused = paused;
	if (stream->state == STREAM_OPEN)
		readable(stream);
}

/* Each callback may close the stream. Closed, it is kept until the next step. */
void sim_stream_hear(struct event *event)
{
	struct env_stream *stream = LIST_OF(event, struct env_stream, news);
	if (stream->state == STREAM_ACCEPTING) {
		const struct env_listener *listener = stream->conn->listener;
		stream->conn->listener = NULL;
		stream->state = STREAM_OPEN;
		listener->events->accepted(listener->context, stream);
		CHECK(stream->state != STREAM_OPEN || stream->events != NULL);
	} else if (stream->state == STREAM_OPENING) {
		stream->state = STREAM_OPEN;
		if (!list_empty(&stream->output))
			mark_dirty(stream);
		stream->events->opened(stream->context);
	}
	hear_input(stream);
	if (stream->state == STREAM_OPEN && stream->drained) {
		stream->drained = false;
		if (stream->events->drained != NULL)
			stream->events->drained(stream->context);
	}
	if (stream->state == STREAM_BROKEN) {
		sim_stream_bury(stream);
		stream->events->closed(stream->context, stream->status);
	}
}
