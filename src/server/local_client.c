/* HELLO and CLIENT: who is there, and which protocol is spoken. */
#include "server/local.h"

#include <string.h>

enum { NAME_BYTES_MAX = 512 };

/* As Redis has it: printable, no spaces. */
static bool is_plain(struct slice text)
{
	for (size_t i = 0; i < text.size; i++)
		if (text.bytes[i] < '!' || text.bytes[i] > '~')
			return false;
	return true;
}

static bool set_name(struct conn *conn, struct slice name, struct buf *reply)
{
	if (!is_plain(name)) {
		resp_put_error(reply, "ERR Client names cannot contain spaces, newlines or special characters.");
		return false;
	}
	if (name.size > NAME_BYTES_MAX) {
		resp_put_error(reply, "ERR Client names cannot be longer than %d bytes.", NAME_BYTES_MAX);
		return false;
	}
	mem_free(conn->server->mem, conn->name);
	conn->name = NULL;
	if (name.size == 0)
		return true;
	conn->name = mem_zero(conn->server->mem, name.size + 1);
	memcpy(conn->name, name.bytes, name.size);
	return true;
}

static void put_hello(struct conn *conn, struct buf *reply)
{
	resp_put_array(reply, 14);
	resp_put_text(reply, "server");
	resp_put_text(reply, "ikada");
	resp_put_text(reply, "version");
	resp_put_text(reply, IKADA_VERSION);
	resp_put_text(reply, "proto");
	resp_put_integer(reply, 2);
	resp_put_text(reply, "id");
	resp_put_integer(reply, (int64_t)conn->id);
	resp_put_text(reply, "mode");
	resp_put_text(reply, "standalone");
	resp_put_text(reply, "role");
	resp_put_text(reply, "master");
	resp_put_text(reply, "modules");
	resp_put_array(reply, 0);
}

void hello_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	int64_t version = 2;
	if (request->count > 1 && !slice_integer(request_arg(request, 1), &version)) {
		resp_put_error(reply, "ERR Protocol version is not an integer or out of range");
		return;
	}
	if (version != 2) {
		resp_put_error(reply, "NOPROTO unsupported protocol version");
		return;
	}
	for (uint32_t i = 2; i < request->count; i += 2) {
		struct slice option = request_arg(request, i);
		if (!slice_is(option, "setname") || i + 1 == request->count) {
			resp_put_error(reply, "ERR Syntax error in HELLO option '%.*s'",
				       option.size < 128 ? (int)option.size : 128, (const char *)option.bytes);
			return;
		}
		if (!set_name(conn, request_arg(request, i + 1), reply))
			return;
	}
	put_hello(conn, reply);
}

/* What a client library says about itself is checked, and not kept. */
static void set_info(const struct request *request, struct buf *reply)
{
	struct slice what = request_arg(request, 2);
	const char *name = slice_is(what, "lib-name") ? "lib-name" : slice_is(what, "lib-ver") ? "lib-ver" : NULL;
	if (name == NULL)
		resp_put_error(reply, "ERR Unrecognized option '%.*s'", what.size < 128 ? (int)what.size : 128,
			       (const char *)what.bytes);
	else if (!is_plain(request_arg(request, 3)))
		resp_put_error(reply, "ERR %s cannot contain spaces, newlines or special characters.", name);
	else
		resp_put_status(reply, "OK");
}

void client_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	struct slice what = request_arg(request, 1);
	if (slice_is(what, "id")) {
		if (local_arity(2, request, "client|id", reply))
			resp_put_integer(reply, (int64_t)conn->id);
	} else if (slice_is(what, "getname")) {
		if (!local_arity(2, request, "client|getname", reply))
			return;
		if (conn->name == NULL)
			resp_put_null(reply);
		else
			resp_put_text(reply, conn->name);
	} else if (slice_is(what, "setname")) {
		if (local_arity(3, request, "client|setname", reply) && set_name(conn, request_arg(request, 2), reply))
			resp_put_status(reply, "OK");
	} else if (slice_is(what, "setinfo")) {
		if (local_arity(4, request, "client|setinfo", reply))
			set_info(request, reply);
	} else {
		local_put_unknown_subcommand(request, "CLIENT", reply);
	}
}
