#include "cli/node_watch.h"

#include <stdlib.h>
#include <string.h>

/* More than any INFO; a reply that is larger is not one. */
#define REPLY_BYTES_MAX ((size_t)1024 * 1024)

void node_watch_init(struct node_watch *watch, struct env *env, const char *address)
{
	memset(watch, 0, sizeof *watch);
	watch->env = env;
	watch->address = mem_alloc(env->mem, strlen(address) + 1);
	strcpy(watch->address, address);
	buf_init(&watch->in, env->mem);
}

/* The value of "NAME:VALUE" on a line of its own, or NULL. */
static const char *field(const char *info, const char *name)
{
	size_t size = strlen(name);
	for (const char *line = info; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, size) == 0 && line[size] == ':')
			return line + size + 1;
	}
	return NULL;
}

static uint64_t number_field(const char *info, const char *name)
{
	const char *value = field(info, name);
	return value == NULL ? 0 : strtoull(value, NULL, 10);
}

static void take_info(struct node_watch *watch, const char *info)
{
	const char *role = field(info, "raft_role");
	if (role == NULL)
		return;
	watch->up = true;
	watch->answered_ns = watch->env->ops->raw_ns(watch->env);
	watch->leads = strncmp(role, "leader", 6) == 0;
	watch->term = number_field(info, "raft_term");
	watch->leader_id = number_field(info, "raft_leader_id");
	watch->process_id = number_field(info, "process_id");
}

static void hang_up(struct node_watch *watch)
{
	watch->env->ops->stream_close(watch->stream, false);
	watch->stream = NULL;
	watch->open = false;
	watch->up = false;
}

/* The reply is one bulk: "$SIZE\r\n", that many bytes, "\r\n". Anything else ends the connection. */
static void received(void *context, const uint8_t *bytes, size_t size)
{
	struct node_watch *watch = context;
	buf_add(&watch->in, bytes, size);
	char *start = (char *)buf_at(&watch->in);
	const char *line_end = memchr(start, '\n', buf_size(&watch->in));
	if (line_end == NULL && buf_size(&watch->in) < 32)
		return;
	char *digits_end = start;
	unsigned long long length = 0;
	if (line_end != NULL && *start == '$')
		length = strtoull(start + 1, &digits_end, 10);
	if (digits_end == start || *digits_end != '\r' || length > REPLY_BYTES_MAX) {
		hang_up(watch);
		return;
	}
	size_t head = (size_t)(line_end + 1 - start);
	if (buf_size(&watch->in) < head + length + 2)
		return;
	start[head + length] = '\0';
	take_info(watch, start + head);
	buf_consume(&watch->in, buf_size(&watch->in));
	watch->asked = false;
}

static void ask(struct node_watch *watch)
{
	watch->asked = true;
	watch->env->ops->stream_write(watch->stream, "INFO\r\n", 6);
}

static void opened(void *context)
{
	struct node_watch *watch = context;
	watch->open = true;
	watch->refused = false;
	ask(watch);
}

static void closed(void *context, int status)
{
	struct node_watch *watch = context;
	(void)status;
	watch->refused = !watch->open;
	watch->stream = NULL;
	watch->open = false;
	watch->up = false;
}

void node_watch_ask(struct node_watch *watch)
{
	static const struct env_stream_events events = {opened, received, NULL, closed};
	if (watch->stream == NULL) {
		watch->asked = false;
		buf_consume(&watch->in, buf_size(&watch->in));
		watch->stream = watch->env->ops->connect(watch->env, watch->address, &events, watch);
	} else if (watch->open && !watch->asked) {
		ask(watch);
	}
}

void node_watch_end(struct node_watch *watch)
{
	if (watch->stream != NULL)
		hang_up(watch);
	buf_free(&watch->in);
	mem_free(watch->env->mem, watch->address);
}
