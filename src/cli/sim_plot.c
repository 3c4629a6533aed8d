/* SVG by hand: see sim_plot.h. The axis of time is logarithmic, from 10 ms to 10 s. */
#include "cli/sim_plot.h"

#include <inttypes.h>
#include <stdio.h>

enum { PANEL_WIDTH = 460, PANEL_HEIGHT = 230, LEFT = 44, TOP = 34, RIGHT = 16, BOTTOM = 34, TITLE = 36 };

#define DECADES 3.0
#define FIRST_MS 10.0

static const char *const colours[SIM_CURVES_MAX] = {"#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377"};

/* In decades from 1 on; straight between whole multiples of their starts. */
static double logarithm(double value)
{
	static const double of[] = {0, 0, .3010, .4771, .6021, .6990, .7782, .8451, .9031, .9542, 1};
	double decades = 0;
	for (; value >= 10; value /= 10)
		decades++;
	int n = value < 1 ? 1 : (int)value;
	return value < 1 ? 0 : decades + of[n] + (value - n) * (of[n + 1] - of[n]);
}

static double x_of(double ms)
{
	double at = logarithm(ms / FIRST_MS) / DECADES;
	at = at > 1 ? 1 : at;
	return LEFT + at * (PANEL_WIDTH - LEFT - RIGHT);
}

static double y_of(double share)
{
	return TOP + (1 - share) * (PANEL_HEIGHT - TOP - BOTTOM);
}

static void put_axes(FILE *file)
{
	for (double ms = FIRST_MS; ms <= FIRST_MS * 1000; ms *= 10) {
		for (int n = 1; n < 10 && ms * n <= FIRST_MS * 1000; n++)
			fprintf(file, "<path d=\"M%.1f %.1fV%.1f\" stroke=\"#888\" stroke-opacity=\"%s\"/>\n",
				x_of(ms * n), y_of(0), y_of(1), n == 1 ? ".5" : ".15");
		fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%g ms</text>\n", x_of(ms), y_of(0) + 16,
			ms < FIRST_MS * 1000 ? "middle" : "end", ms);
	}
	for (int percent = 0; percent <= 100; percent += 25) {
		double y = y_of(percent / 100.0);
		fprintf(file, "<path d=\"M%.1f %.1fH%.1f\" stroke=\"#888\" stroke-opacity=\".3\"/>\n", x_of(FIRST_MS),
			y, x_of(FIRST_MS * 1000));
		fprintf(file, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%d %%</text>\n", LEFT - 6, y + 4, percent);
	}
}

static void put_curve(FILE *file, const struct sim_curve *curve, uint32_t number)
{
	fprintf(file, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.6\" d=\"", colours[number]);
	uint32_t step = curve->count / 200 + 1;
	for (uint32_t i = 0; i < curve->count; i++) {
		double ms = (double)curve->ns[i] / 1e6;
		if ((i % step == 0 || i + 1 == curve->count) && ms <= FIRST_MS * 1000)
			fprintf(file, "%c%.1f %.1f", i == 0 ? 'M' : 'L', x_of(ms), y_of((i + 1.0) / curve->count));
	}
	fprintf(file, "\"/>\n<text x=\"%d\" y=\"%d\" text-anchor=\"end\" fill=\"%s\">%s</text>\n",
		PANEL_WIDTH - RIGHT - 4, PANEL_HEIGHT - BOTTOM - 6 - 14 * (int)number, colours[number], curve->name);
}

bool sim_plot_write(const struct sim_plot *plot, const char *path)
{
	FILE *file = fopen(path, "w");
	if (file == NULL)
		return false;
	uint32_t rows = (plot->panel_count + 1) / 2;
	fprintf(file,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %" PRIu32
		"\" font-family=\"sans-serif\" font-size=\"11\" fill=\"#444\">\n",
		2 * PANEL_WIDTH, TITLE + rows * PANEL_HEIGHT);
	fprintf(file, "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n");
	fprintf(file, "<text x=\"%d\" y=\"24\" font-size=\"16\">%s</text>\n", LEFT, plot->title);
	for (uint32_t i = 0; i < plot->panel_count; i++) {
		const struct sim_panel *panel = &plot->panels[i];
		fprintf(file, "<g transform=\"translate(%" PRIu32 " %" PRIu32 ")\">\n", i % 2 * PANEL_WIDTH,
			TITLE + i / 2 * PANEL_HEIGHT);
		fprintf(file, "<text x=\"%d\" y=\"22\" font-size=\"13\">%s</text>\n", LEFT, panel->title);
		put_axes(file);
		for (uint32_t curve = 0; curve < panel->curve_count; curve++)
			put_curve(file, &panel->curves[curve], curve);
		fprintf(file, "</g>\n");
	}
	fprintf(file, "</svg>\n");
	return fclose(file) == 0;
}
