/*
 * Makes a report of measurements: a table in Markdown, JSON, and plots as SVG.
 *
 *	report DIR < results.tsv
 *
 * A line is `row TAB system TAB metric TAB value`; the same three names again are another round. The first row, system
 * and metric that come stand first. Metrics `percentile:P` are points of a latency distribution (us), and the metric
 * `failover_us` is many values of one distribution; the others are put into tables.
 */
#include "bench.h"

#include <math.h>

enum { NAME_BYTES = 64, NAMES_MAX = 64, VALUES_MAX = 4096, SERIES_MAX = 20000 };

struct names {
	char name[NAMES_MAX][NAME_BYTES];
	int count;
};

struct series {
	int row, system, metric;
	double *values;
	int count, room;
};

static struct names rows, systems, metrics;
static struct series all[SERIES_MAX];
static int all_count;

static int name_of(struct names *names, const char *name, bool add)
{
	for (int i = 0; i < names->count; i++)
		if (strcmp(names->name[i], name) == 0)
			return i;
	if (!add)
		return -1;
	must(names->count < NAMES_MAX && strlen(name) < NAME_BYTES, "too many names");
	strcpy(names->name[names->count], name);
	return names->count++;
}

static struct series *find(int row, int system, int metric)
{
	for (int i = 0; i < all_count; i++)
		if (all[i].row == row && all[i].system == system && all[i].metric == metric)
			return &all[i];
	return NULL;
}

static struct series *named(const char *row, const char *system, const char *metric)
{
	return find(name_of(&rows, row, false), name_of(&systems, system, false), name_of(&metrics, metric, false));
}

static void read_all(void)
{
	char line[1024];
	while (fgets(line, sizeof line, stdin) != NULL) {
		char *row = strtok(line, "\t"), *system = strtok(NULL, "\t"), *metric = strtok(NULL, "\t");
		char *value = strtok(NULL, "\t\n"), *rest;
		if (value == NULL)
			continue;
		double number = strtod(value, &rest);
		if (rest == value)
			continue;
		int r = name_of(&rows, row, true), s = name_of(&systems, system, true),
		    m = name_of(&metrics, metric, true);
		struct series *series = find(r, s, m);
		if (series == NULL) {
			must(all_count < SERIES_MAX, "too many series");
			series = &all[all_count++];
			*series = (struct series){.row = r, .system = s, .metric = m};
		}
		if (series->count == series->room) {
			series->room = series->room == 0 ? 8 : 2 * series->room;
			series->values = realloc(series->values, (size_t)series->room * sizeof(double));
			must(series->values != NULL, "memory");
		}
		series->values[series->count++] = number;
	}
}

/* ---- Numbers ---- */

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

struct spread {
	double low, median, high;
};

static struct spread spread_of(const double *values, int count)
{
	double sorted[VALUES_MAX];
	count = count < VALUES_MAX ? count : VALUES_MAX;
	memcpy(sorted, values, (size_t)count * sizeof *sorted);
	qsort(sorted, (size_t)count, sizeof *sorted, by_size);
	double median = count % 2 == 1 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
	return (struct spread){sorted[0], median, sorted[count - 1]};
}

/* Round by round, for rounds stand side by side in time; false: nothing to compare. */
static bool ratio_of(const struct series *a, const struct series *b, struct spread *ratio)
{
	double ratios[VALUES_MAX];
	int count = 0;
	if (a == NULL || b == NULL)
		return false;
	for (int i = 0; i < a->count && i < b->count && count < VALUES_MAX; i++)
		if (b->values[i] > 0)
			ratios[count++] = a->values[i] / b->values[i];
	if (count == 0)
		return false;
	*ratio = spread_of(ratios, count);
	return true;
}

static const char *short_number(double value)
{
	static char texts[8][32];
	static int turn;
	char *text = texts[turn++ % 8];
	if (value >= 1e6)
		snprintf(text, 32, "%.2f M", value / 1e6);
	else if (value >= 1e4)
		snprintf(text, 32, "%.1f k", value / 1e3);
	else
		snprintf(text, 32, value >= 100 ? "%.0f" : value >= 10 ? "%.1f" : "%.2f", value);
	return text;
}

static void put_spread(FILE *out, struct spread spread, int count)
{
	fprintf(out, " **%s**", short_number(spread.median));
	if (count > 1)
		fprintf(out, " [%s .. %s]", short_number(spread.low), short_number(spread.high));
}

/* ---- Markdown ---- */

static const struct table {
	const char *metric, *title;
	bool ratio;
} tables[] = {
	{"ops_per_s", "Operations a second", true},
	{"p50_us", "Latency, p50, us", true},
	{"p99_us", "Latency, p99, us", false},
	{"p999_us", "Latency, p99.9, us", false},
	{"server_cpu_us", "Processor time of all servers together, us an operation", true},
	{"flushes_per_s", "Flushes of the device a second", false},
	{"syncs_per_s", "Log writes of the leader a second, as it or the kernel counts them", false},
	{"batch", "Operations in one of these", false},
	{"late_p99_us", "Open loop: sent later than intended, p99, us", false},
	{"value", "Single values", false},
};

static void put_table(FILE *out, const struct table *table)
{
	int metric = name_of(&metrics, table->metric, false), mine = name_of(&systems, "Ikada", false);
	bool used[NAMES_MAX] = {false}, any = false;
	for (int i = 0; i < all_count; i++)
		if (all[i].metric == metric)
			any = used[all[i].system] = true;
	if (metric < 0 || !any)
		return;
	fprintf(out, "\n### %s\n\n| |", table->title);
	for (int s = 0; s < systems.count; s++)
		if (used[s])
			fprintf(out, " %s |", systems.name[s]);
	fprintf(out, "\n|---|");
	for (int s = 0; s < systems.count; s++)
		if (used[s])
			fprintf(out, "---|");
	fprintf(out, "\n");
	for (int r = 0; r < rows.count; r++) {
		bool has = false;
		for (int s = 0; s < systems.count; s++)
			has = has || find(r, s, metric) != NULL;
		if (!has)
			continue;
		fprintf(out, "| %s |", rows.name[r]);
		for (int s = 0; s < systems.count; s++) {
			const struct series *series = find(r, s, metric);
			struct spread ratio;
			if (!used[s])
				continue;
			if (series == NULL) {
				fprintf(out, " |");
				continue;
			}
			struct spread spread = spread_of(series->values, series->count);
			put_spread(out, spread, series->count);
			if (table->ratio && s != mine && ratio_of(find(r, mine, metric), series, &ratio))
				fprintf(out, " x%.2f", ratio.median);
			fprintf(out, " |");
		}
		fprintf(out, "\n");
	}
	if (table->ratio)
		fprintf(out, "\nxN: Ikada's figure divided by this one, median of the rounds.\n");
}

/* What the project has set itself: Ikada's figure against another's of the same run, or against a bound. */
static const struct goal {
	const char *text;
	const char *row, *metric;
	const char *against; /* NULL: the bound is absolute. */
	bool at_most;
	double bound;
} goals[] = {
	{"p50 of a SET, 1 client, against the floor", "SET, 1 client", "p50_us", "floor", true, 1.25},
	{"SET, 50 clients, against Redis with AOF always", "SET, 50 clients", "ops_per_s", "Redis AOF", false, 1.0},
	{"SET, 50 clients, against the ceiling", "SET, 50 clients", "ops_per_s", "ceiling", false, 0.8},
	{"SET, 50 clients, against etcd at 64", "SET, 50 clients", "ops_per_s", "etcd", false, 5},
	{"SET, 256 x 16, against Redis with AOF always", "SET, 256 x 16", "ops_per_s", "Redis AOF", false, 1.2},
	{"SET, 256 x 16, against the ceiling", "SET, 256 x 16", "ops_per_s", "ceiling", false, 0.5},
	{"linearizable GET, 50 clients, against plain Redis", "GET, 50 clients", "ops_per_s", "Redis", false, 0.85},
	{"linearizable GET, 256 x 16, against plain Redis", "GET, 256 x 16", "ops_per_s", "Redis", false, 0.6},
	{"server processor time a SET, 256 x 16, us", "SET, 256 x 16", "server_cpu_us", NULL, true, 4},
	{"open loop at half of the peak, clients that wait: p99 / p50", "SET, open loop", "p99_over_p50", NULL, true,
	 5},
	{"open loop at half of the peak of 256 x 16: p99 / p50", "SET, open loop, deep", "p99_over_p50", NULL, true, 5},
	{"kill -9 of the leader: median, ms", "failover, median, ms", "value", NULL, true, 15},
	{"kill -9 of the leader: worst, ms", "failover, worst, ms", "value", NULL, true, 150},
	{"the core, pipelined singles, entries/s", "core, singles", "ops_per_s", NULL, false, 5e6},
	{"the core, batches of 64, entries/s", "core, batches", "ops_per_s", NULL, false, 20e6},
	{"idle, three nodes: % of a core", "idle, % of a core", "value", NULL, true, 0.3},
	{"idle: MB resident a node", "idle, MB a node", "value", NULL, true, 10},
	{"simulator, virtual seconds a second", "simulator, virtual s/s", "value", NULL, false, 300},
};

static void put_goals(FILE *out)
{
	fprintf(out, "\n### Goals\n\n| | goal | found | |\n|---|---|---|---|\n");
	for (size_t i = 0; i < sizeof goals / sizeof *goals; i++) {
		const struct goal *goal = &goals[i];
		const struct series *mine = named(goal->row, "Ikada", goal->metric);
		const struct series *theirs =
			goal->against == NULL ? NULL : named(goal->row, goal->against, goal->metric);
		struct spread found;
		if (mine == NULL || (goal->against != NULL && !ratio_of(mine, theirs, &found))) {
			fprintf(out, "| %s | %s %s | not measured | |\n", goal->text,
				goal->at_most ? "at most" : "at least", short_number(goal->bound));
			continue;
		}
		if (goal->against == NULL)
			found = spread_of(mine->values, mine->count);
		bool reached = goal->at_most ? found.median <= goal->bound : found.median >= goal->bound;
		fprintf(out, "| %s | %s %s |", goal->text, goal->at_most ? "at most" : "at least",
			short_number(goal->bound));
		put_spread(out, found, mine->count);
		fprintf(out, " | %s |\n", reached ? "reached" : "not reached");
	}
}

static void put_json(FILE *out)
{
	fprintf(out, "[\n");
	for (int i = 0; i < all_count; i++) {
		const struct series *series = &all[i];
		fprintf(out, "{\"row\":\"%s\",\"system\":\"%s\",\"metric\":\"%s\",\"median\":%.6g,\"values\":[",
			rows.name[series->row], systems.name[series->system], metrics.name[series->metric],
			spread_of(series->values, series->count).median);
		for (int v = 0; v < series->count; v++)
			fprintf(out, "%s%.6g", v == 0 ? "" : ",", series->values[v]);
		fprintf(out, "]}%s\n", i + 1 < all_count ? "," : "");
	}
	fprintf(out, "]\n");
}

/* ---- Plots: x as it is, or as a logarithm; y always as a logarithm ---- */

enum { WIDTH = 760, HEIGHT = 440, LEFT = 70, RIGHT = 150, TOP = 40, BOTTOM = 50, POINTS_MAX = 2048 };

struct line {
	const char *name;
	int color;
	double x[POINTS_MAX], y[POINTS_MAX];
	int count;
};

struct plot {
	FILE *out;
	double x_min, x_max, y_min, y_max; /* y as logarithms. */
};

static const char *const colors[] = {"#0b6e4f", "#c1292e", "#2e5eaa", "#e09f3e",
				     "#6a4c93", "#555555", "#17a2b8", "#8c564b"};

static double at_x(const struct plot *plot, double x)
{
	return LEFT + (x - plot->x_min) / (plot->x_max - plot->x_min) * (WIDTH - LEFT - RIGHT);
}

static double at_y(const struct plot *plot, double y)
{
	return HEIGHT - BOTTOM - (log10(y) - plot->y_min) / (plot->y_max - plot->y_min) * (HEIGHT - TOP - BOTTOM);
}

static FILE *create(const char *dir, const char *name)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *out = fopen(path, "w");
	must(out != NULL, path);
	return out;
}

static void put_lines(struct plot *plot, const struct line *lines, int count)
{
	for (int i = 0; i < count; i++) {
		const struct line *line = &lines[i];
		const char *color = colors[line->color % 8];
		fprintf(plot->out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", color);
		for (int p = 0; p < line->count; p++)
			fprintf(plot->out, "%.1f,%.1f ", at_x(plot, line->x[p]), at_y(plot, line->y[p]));
		fprintf(plot->out, "\"/>\n");
		for (int p = 0; p < line->count && line->count <= 20; p++)
			fprintf(plot->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n",
				at_x(plot, line->x[p]), at_y(plot, line->y[p]), color);
		fprintf(plot->out, "<text x=\"%d\" y=\"%d\" fill=\"%s\">%s</text>\n", WIDTH - RIGHT + 12,
			TOP + 16 + 20 * i, color, line->name);
	}
}

static void plot_lines(const char *dir, const char *file, const char *title, const char *x_title, const char *y_title,
		       const struct line *lines, int count, const double *ticks, const char *const *tick_names,
		       int tick_count)
{
	struct plot plot = {.x_min = INFINITY, .x_max = -INFINITY, .y_min = INFINITY, .y_max = -INFINITY};
	for (int i = 0; i < count; i++) {
		for (int p = 0; p < lines[i].count; p++) {
			plot.x_min = fmin(plot.x_min, lines[i].x[p]);
			plot.x_max = fmax(plot.x_max, lines[i].x[p]);
			plot.y_min = fmin(plot.y_min, floor(log10(lines[i].y[p])));
			plot.y_max = fmax(plot.y_max, ceil(log10(lines[i].y[p])));
		}
	}
	if (count == 0 || plot.x_min > plot.x_max)
		return;
	if (plot.x_min >= plot.x_max)
		plot.x_max = plot.x_min + 1;
	if (plot.y_min >= plot.y_max)
		plot.y_max = plot.y_min + 1;
	plot.out = create(dir, file);
	fprintf(plot.out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
		"font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%%\" height=\"100%%\" "
		"fill=\"white\"/>\n"
		"<text x=\"%d\" y=\"22\" font-size=\"16\">%s</text>\n",
		WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT, title);
	for (double decade = plot.y_min; decade <= plot.y_max; decade++) {
		double y = at_y(&plot, pow(10, decade));
		fprintf(plot.out, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", LEFT, y,
			WIDTH - RIGHT, y);
		fprintf(plot.out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", LEFT - 6, y + 4,
			pow(10, decade));
	}
	for (int i = 0; i < tick_count; i++) {
		if (ticks[i] < plot.x_min - 1e-9 || ticks[i] > plot.x_max + 1e-9)
			continue;
		double x = at_x(&plot, ticks[i]);
		fprintf(plot.out, "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"#ddd\"/>\n", x, TOP, x,
			HEIGHT - BOTTOM);
		fprintf(plot.out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", x,
			HEIGHT - BOTTOM + 18, tick_names[i]);
	}
	fprintf(plot.out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", (LEFT + WIDTH - RIGHT) / 2,
		HEIGHT - 10, x_title);
	fprintf(plot.out, "<text x=\"16\" y=\"%d\" transform=\"rotate(-90 16 %d)\" text-anchor=\"middle\">%s</text>\n",
		HEIGHT / 2, HEIGHT / 2, y_title);
	put_lines(&plot, lines, count);
	fprintf(plot.out, "</svg>\n");
	fclose(plot.out);
}

static struct line *new_lines(void)
{
	struct line *lines = calloc(NAMES_MAX, sizeof *lines);
	must(lines != NULL, "memory");
	return lines;
}

static void add_point(struct line *line, double x, double y)
{
	if (y <= 0 || line->count == POINTS_MAX)
		return;
	line->x[line->count] = x;
	line->y[line->count++] = y;
}

/* The SET rows, by requests under way. */
static void plot_throughput(const char *dir)
{
	static const char *const at_rows[] = {"SET, 1 client", "SET, 50 clients", "SET, 256 clients", "SET, 50 x 16",
					      "SET, 256 x 16"};
	static const double under_way[] = {1, 50, 256, 800, 4096};
	double ticks[5];
	const char *const names[] = {"1", "50", "256", "50 x 16", "256 x 16"};
	struct line *lines = new_lines();
	int count = 0;
	for (int i = 0; i < 5; i++)
		ticks[i] = log10(under_way[i]);
	for (int s = 0; s < systems.count; s++) {
		struct line *line = &lines[count];
		*line = (struct line){.name = systems.name[s], .color = s};
		for (int i = 0; i < 5; i++) {
			const struct series *series = named(at_rows[i], systems.name[s], "ops_per_s");
			if (series != NULL)
				add_point(line, ticks[i], spread_of(series->values, series->count).median);
		}
		count += line->count > 0;
	}
	plot_lines(dir, "throughput.svg", "SET a second", "clients (x depth)", "a second", lines, count, ticks, names,
		   5);
	free(lines);
}

/* One row's distributions; x is the number of nines. */
static void plot_latency(const char *dir, const char *row, const char *file)
{
	static const double ticks[] = {0.30103, 1, 2, 3, 4};
	static const char *const names[] = {"50 %", "90 %", "99 %", "99.9 %", "99.99 %"};
	struct line *lines = new_lines();
	int count = 0, r = name_of(&rows, row, false);
	for (int s = 0; s < systems.count; s++) {
		struct line *line = &lines[count];
		*line = (struct line){.name = systems.name[s], .color = s};
		for (int m = 0; m < metrics.count; m++) {
			const struct series *series = find(r, s, m);
			double percent;
			if (series == NULL || sscanf(metrics.name[m], "percentile:%lf", &percent) != 1 ||
			    percent >= 100)
				continue;
			add_point(line, -log10(1 - percent / 100), spread_of(series->values, series->count).median);
		}
		count += line->count > 0;
	}
	char title[128];
	snprintf(title, sizeof title, "Latency: %s", row);
	plot_lines(dir, file, title, "share of the requests", "us", lines, count, ticks, names, 5);
	free(lines);
}

static void plot_failover(const char *dir)
{
	static const double ticks[] = {0, 25, 50, 75, 100};
	static const char *const names[] = {"0 %", "25 %", "50 %", "75 %", "100 %"};
	struct line *lines = new_lines();
	int count = 0;
	for (int s = 0; s < systems.count; s++) {
		const struct series *series = named("failover", systems.name[s], "failover_us");
		if (series == NULL)
			continue;
		struct line *line = &lines[count++];
		*line = (struct line){.name = systems.name[s], .color = s};
		qsort(series->values, (size_t)series->count, sizeof(double), by_size);
		for (int i = 0; i < series->count; i++)
			add_point(line, 100.0 * (i + 1) / series->count, series->values[i] / 1000);
	}
	plot_lines(dir, "failover.svg", "kill -9 of the leader, until a write succeeds", "share of the kills", "ms",
		   lines, count, ticks, names, 5);
	free(lines);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: report DIR < results.tsv\n");
		return 2;
	}
	read_all();
	FILE *out = create(argv[1], "results.json");
	put_json(out);
	fclose(out);
	out = create(argv[1], "results.md");
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		put_table(out, &tables[i]);
	put_goals(out);
	fclose(out);
	plot_throughput(argv[1]);
	plot_latency(argv[1], "SET, 50 clients", "latency.svg");
	plot_latency(argv[1], "SET, open loop", "latency-open.svg");
	plot_failover(argv[1]);
	return 0;
}
