/* HELLO and AUTH: which protocol is spoken, and by whom. The only user is `default`, who needs no password. */
#include "server/local.h"

static bool may_enter(struct slice user, struct buf *reply)
{
	static const char name[] = "default";
	if (user.size == sizeof name - 1 && memcmp(user.bytes, name, user.size) == 0)
		return true;
	resp_put_error(reply, "WRONGPASS invalid username-password pair or user is disabled.");
	return false;
}

void auth_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	(void)conn;
	if (request->count > 3)
		command_put_syntax_error(reply);
	else if (request->count == 2)
		resp_put_error(reply, "ERR AUTH <password> called without any password configured for the default "
				      "user. Are you sure your configuration is correct?");
	else if (may_enter(request_arg(request, 1), reply))
		resp_put_status(reply, "OK");
}

/* Tools choose by name and version what they may ask for: so these are those of the Redis whose commands are spoken. */
static void put_hello(struct conn *conn, struct buf *reply)
{
	resp_put_map(reply, conn->protocol, 7);
	resp_put_text(reply, "server");
	resp_put_text(reply, "redis");
	resp_put_text(reply, "version");
	resp_put_text(reply, REDIS_VERSION);
	resp_put_text(reply, "proto");
	resp_put_integer(reply, conn->protocol);
	resp_put_text(reply, "id");
	resp_put_integer(reply, (int64_t)conn->id);
	resp_put_text(reply, "mode");
	resp_put_text(reply, "standalone");
	resp_put_text(reply, "role");
	resp_put_text(reply, "master");
	resp_put_text(reply, "modules");
	resp_put_array(reply, 0);
}

struct hello {
	int64_t protocol;
	struct slice user; /* No bytes: not given. */
	struct slice name; /* The same. */
};

static bool hello_parse(const struct request *request, struct hello *hello, struct buf *reply)
{
	if (request->count > 1 && !slice_integer(request_arg(request, 1), &hello->protocol)) {
		resp_put_error(reply, "ERR Protocol version is not an integer or out of range");
		return false;
	}
	if (hello->protocol != RESP_2 && hello->protocol != RESP_3) {
		resp_put_error(reply, "NOPROTO unsupported protocol version");
		return false;
	}
	for (uint32_t i = 2; i < request->count; i++) {
		struct slice option = request_arg(request, i);
		uint32_t more = request->count - i - 1;
		if (slice_is(option, "auth") && more >= 2) {
			hello->user = request_arg(request, i + 1);
			i += 2;
		} else if (slice_is(option, "setname") && more >= 1) {
			hello->name = request_arg(request, ++i);
			if (!client_name_fits(hello->name, reply))
				return false;
		} else {
			resp_put_error(reply, "ERR Syntax error in HELLO option '%.*s'", local_shown_bytes(option, 128),
				       (const char *)option.bytes);
			return false;
		}
	}
	return hello->user.bytes == NULL || may_enter(hello->user, reply);
}

/* All or nothing. */
void hello_run(struct conn *conn, const struct request *request, struct buf *reply)
{
	struct hello hello = {conn->protocol, {NULL, 0}, {NULL, 0}};
	if (!hello_parse(request, &hello, reply))
		return;
	if (hello.name.bytes != NULL)
		client_set_name(conn, hello.name);
	conn->protocol = (enum resp_protocol)hello.protocol;
	put_hello(conn, reply);
}
