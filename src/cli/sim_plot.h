/* Cumulative plots as SVG: of each curve, which share of its values lies below. Panels stand in two columns. */
#ifndef IKADA_CLI_SIM_PLOT_H
#define IKADA_CLI_SIM_PLOT_H

#include <stdbool.h>
#include <stdint.h>

enum { SIM_PANELS_MAX = 8, SIM_CURVES_MAX = 6 };

struct sim_curve {
	char name[32];
	const uint64_t *ns; /* Ascending. */
	uint32_t count;
};

struct sim_panel {
	const char *title;
	uint32_t curve_count;
	struct sim_curve curves[SIM_CURVES_MAX];
};

struct sim_plot {
	const char *title;
	uint32_t panel_count;
	struct sim_panel panels[SIM_PANELS_MAX];
};

/* False: the file cannot be written. */
bool sim_plot_write(const struct sim_plot *plot, const char *path);

#endif
