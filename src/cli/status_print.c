/* A cluster's status as a table for people, and as JSON. */
#include "cli/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

/* ---- The table ---- */

enum { LINE_COLUMNS = 80, CELL_BYTES = STATUS_TEXT_BYTES };

static void cell_number(char *cell, struct told told)
{
	if (told.known)
		snprintf(cell, CELL_BYTES, "%" PRIu64, told.value);
}

static void cell_id(char *cell, const struct status_node *node)
{
	snprintf(cell, CELL_BYTES, "%" PRIu64, node->id);
}

static void cell_address(char *cell, const struct status_node *node)
{
	if (node->address[0] != '\0')
		snprintf(cell, CELL_BYTES, "%s", node->address);
}

static void cell_role(char *cell, const struct status_node *node)
{
	snprintf(cell, CELL_BYTES, "%s", node->reachable ? node->role : "no answer");
}

static void cell_term(char *cell, const struct status_node *node)
{
	cell_number(cell, node->term);
}

static void cell_commit(char *cell, const struct status_node *node)
{
	cell_number(cell, node->commit);
}

static void cell_applied(char *cell, const struct status_node *node)
{
	cell_number(cell, node->applied);
}

static void cell_lag(char *cell, const struct status_node *node)
{
	cell_number(cell, node->lag);
}

/* Enough of it for the eye. */
static void cell_digest(char *cell, const struct status_node *node)
{
	if (node->digest[0] != '\0')
		snprintf(cell, CELL_BYTES, "%.6s", node->digest);
}

static void cell_log(char *cell, const struct status_node *node)
{
	static const char units[] = "KMGTPE";
	double size = (double)node->log_bytes.value / 1024;
	int unit = 0;
	for (; size >= 1000 && units[unit + 1] != '\0'; unit++)
		size /= 1024;
	if (node->log_bytes.known)
		snprintf(cell, CELL_BYTES, "%.*f%c", size < 10 && unit > 0, size, units[unit]);
}

static void cell_snapshot(char *cell, const struct status_node *node)
{
	if (node->snapshot_index.value != 0)
		cell_number(cell, node->snapshot_index);
}

static void cell_sync(char *cell, const struct status_node *node)
{
	double ms = (double)node->sync_us.value / 1000;
	if (node->sync_us.known)
		snprintf(cell, CELL_BYTES, "%.*fms", ms < 100, ms);
}

static const struct column {
	const char *title;
	bool left;
	void (*cell)(char *cell, const struct status_node *node); /* Leaves it as it is when nothing is known. */
} columns[] = {
	{"id", true, cell_id},		{"address", true, cell_address}, {"role", true, cell_role},
	{"term", false, cell_term},	{"commit", false, cell_commit},	 {"applied", false, cell_applied},
	{"lag", false, cell_lag},	{"digest", true, cell_digest},	 {"log", false, cell_log},
	{"snap", false, cell_snapshot}, {"sync", false, cell_sync},
};

enum { COLUMNS = sizeof columns / sizeof *columns };

static void fill_cell(char *cell, const struct status_node *node, const struct column *column)
{
	snprintf(cell, CELL_BYTES, "-");
	column->cell(cell, node);
}

static int column_width(const struct status *status, const struct column *column)
{
	int width = (int)strlen(column->title);
	for (uint32_t i = 0; i < status->node_count; i++) {
		char cell[CELL_BYTES];
		fill_cell(cell, &status->nodes[i], column);
		if ((int)strlen(cell) > width)
			width = (int)strlen(cell);
	}
	return width;
}

/* The first column and those from first to last - 1; the title line for a node that is NULL. */
static void print_line(const struct status_node *node, const int *widths, int first, int last)
{
	int pending = 0; /* Spaces, which do not end a line. */
	for (int c = 0; c < last; c = c == 0 ? first : c + 1) {
		char cell[CELL_BYTES];
		if (node == NULL)
			snprintf(cell, sizeof cell, "%s", columns[c].title);
		else
			fill_cell(cell, node, &columns[c]);
		int space = widths[c] - (int)strlen(cell);
		if (!columns[c].left)
			pending += space;
		printf("%*s%s", pending, "", cell);
		pending = columns[c].left ? space + 1 : 1;
	}
	printf("\n");
}

/* In lines of 80 columns: what does not fit goes into a table below, with the first column again. */
static void print_table(const struct status *status)
{
	int widths[COLUMNS];
	for (int c = 0; c < COLUMNS; c++)
		widths[c] = column_width(status, &columns[c]);
	for (int first = 1, last = 1; first < COLUMNS; first = last) {
		int width = widths[0];
		while (last < COLUMNS && (last == first || width + 1 + widths[last] <= LINE_COLUMNS))
			width += 1 + widths[last++];
		printf("\n");
		print_line(NULL, widths, first, last);
		for (uint32_t i = 0; i < status->node_count; i++)
			print_line(&status->nodes[i], widths, first, last);
	}
}

void status_print_text(const struct status *status)
{
	const char *health = status_health_name(status);
	if (status->node_count > 0) {
		printf("cluster %s, term %" PRIu64 ", ", status->cluster_id[0] == '\0' ? "-" : status->cluster_id,
		       status->term);
		if (status->leader != 0)
			printf("node %" PRIu64 " leads\n", status->leader);
		else
			printf("nobody leads\n");
	}
	printf("%s", health);
	for (uint32_t i = 0; i < status->problem_count; i++) {
		if (i == 0)
			printf(": %s", status->problems[i]);
		else
			printf("\n%*s%s", (int)strlen(health) + 2, "", status->problems[i]);
	}
	printf("\n");
	if (status->node_count > 0)
		print_table(status);
	const char *above = "\n";
	for (uint32_t i = 0; i < status->node_count; i++) {
		const struct status_node *node = &status->nodes[i];
		if (node->reachable)
			continue;
		printf("%snode %" PRIu64 ": %s\n", above, node->id, node->error);
		above = "";
	}
}

/* ---- JSON ---- */

static void set_text(json_t *object, const char *name, const char *text)
{
	json_object_set_new(object, name, text[0] == '\0' ? json_null() : json_string(text));
}

static void set_number(json_t *object, const char *name, struct told told)
{
	json_object_set_new(object, name, told.known ? json_integer((json_int_t)told.value) : json_null());
}

static json_t *node_as_json(const struct status_node *node)
{
	json_t *object = json_object();
	json_object_set_new(object, "id", json_integer((json_int_t)node->id));
	set_text(object, "address", node->address);
	json_object_set_new(object, "reachable", json_boolean(node->reachable));
	set_text(object, "error", node->error);
	set_text(object, "role", node->role);
	set_number(object, "term", node->term);
	set_number(object, "commit_index", node->commit);
	set_number(object, "applied_index", node->applied);
	set_number(object, "lag", node->lag);
	set_text(object, "digest", node->digest);
	set_number(object, "digest_index", node->digest_index);
	set_number(object, "doubted", node->doubted);
	set_number(object, "log_bytes", node->log_bytes);
	set_number(object, "snapshot_index", node->snapshot_index);
	set_number(object, "last_sync_us", node->sync_us);
	set_number(object, "max_sync_us", node->sync_max_us);
	return object;
}

void status_print_json(const struct status *status)
{
	json_t *object = json_object();
	json_t *problems = json_array();
	json_t *nodes = json_array();
	json_object_set_new(object, "health", json_string(status_health_name(status)));
	set_text(object, "cluster_id", status->cluster_id);
	json_object_set_new(object, "term", json_integer((json_int_t)status->term));
	json_object_set_new(object, "leader",
			    status->leader == 0 ? json_null() : json_integer((json_int_t)status->leader));
	for (uint32_t i = 0; i < status->problem_count; i++)
		json_array_append_new(problems, json_string(status->problems[i]));
	for (uint32_t i = 0; i < status->node_count; i++)
		json_array_append_new(nodes, node_as_json(&status->nodes[i]));
	json_object_set_new(object, "problems", problems);
	json_object_set_new(object, "nodes", nodes);
	json_dumpf(object, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(object);
}
