/* `ikada bench`: a load on a cluster, or on any server that speaks the Redis protocol, and its latencies. */
#include "cli/bench_load_internal.h"
#include "cli/cli.h"
#include "cli/flags.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_MS ((uint64_t)1000000)

static const double percents[] = {50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100};
enum { PERCENTS = sizeof percents / sizeof *percents };

/* ---- The bar ---- */

void load_progress(const struct load *load, uint64_t start_ns, uint64_t now_ns)
{
	enum { WIDTH = 30 };
	uint64_t whole_ns = load->settings->warmup_ns + load->settings->duration_ns, at_ns = now_ns - start_ns;
	if (at_ns > whole_ns)
		at_ns = whole_ns;
	double share = (double)at_ns / (double)whole_ns;
	if (load->settings->requests != UINT64_MAX && (double)load->sent / (double)load->settings->requests > share)
		share = (double)load->sent / (double)load->settings->requests;
	char bar[WIDTH + 1];
	for (int i = 0; i < WIDTH; i++)
		bar[i] = i < (int)(share * WIDTH) ? '#' : '.';
	bar[WIDTH] = '\0';
	double seconds = now_ns > start_ns ? (double)(now_ns - start_ns) / 1e9 : 1;
	fprintf(stderr, "\r[%s] %5.1f s  %s %9.0f/s  %llu errors ", bar, (double)at_ns / 1e9,
		now_ns < load->from_ns ? "warm-up " : "measured", (double)load->result->answered_all / seconds,
		(unsigned long long)load->result->errors);
}

void load_progress_end(void)
{
	fprintf(stderr, "\r%79s\r", "");
}

/* ---- What is said ---- */

static double us(uint64_t ns)
{
	return (double)ns / 1000;
}

static double mean_us(const struct histogram *histogram)
{
	return histogram->total == 0 ? 0 : histogram->sum / (double)histogram->total / 1000;
}

static void print_latencies(const char *name, const struct histogram *histogram)
{
	if (histogram->total == 0)
		return;
	printf("%-8s %12llu  mean %.1f  p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  p99.99 %.1f  max %.1f us\n", name,
	       (unsigned long long)histogram->total, mean_us(histogram), us(histogram_percentile(histogram, 50)),
	       us(histogram_percentile(histogram, 90)), us(histogram_percentile(histogram, 99)),
	       us(histogram_percentile(histogram, 99.9)), us(histogram_percentile(histogram, 99.99)),
	       us(histogram->max));
}

static double per_second(const struct load_result *result)
{
	return result->seconds > 0 ? (double)result->answered / result->seconds : 0;
}

static double cpu_us_per_request(const struct load_result *result)
{
	return result->answered_all > 0 ? (double)result->cpu_us / (double)result->answered_all : 0;
}

static void print_text(const struct load_settings *settings, const struct load_result *result)
{
	printf("%.0f requests/s: %llu in %.2f s, %u connections, depth %u, ", per_second(result),
	       (unsigned long long)result->answered, result->seconds, settings->connections, settings->depth);
	if (settings->rate == 0)
		printf("closed loop\n");
	else
		printf("open loop at %llu/s (%s)\n", (unsigned long long)settings->rate,
		       settings->poisson ? "poisson" : "fixed");
	print_latencies("reads", &result->reads);
	print_latencies("writes", &result->writes);
	print_latencies("sent by", &result->lag);
	printf("errors %llu, lost with a connection %llu, unanswered %llu; %.2f us of processor a request here\n",
	       (unsigned long long)result->errors, (unsigned long long)result->lost,
	       (unsigned long long)result->unanswered, cpu_us_per_request(result));
	if (result->error[0] != '\0')
		printf("first error: %s\n", result->error);
}

static void print_percentiles(const struct histogram *histogram)
{
	for (size_t i = 0; i < PERCENTS; i++)
		printf("%s[%g,%.1f]", i == 0 ? "" : ",", percents[i], us(histogram_percentile(histogram, percents[i])));
}

/* One line; names stand once, so that a line of shell can pick a value. */
static void print_json(const struct load_settings *settings, const struct load_result *result)
{
	struct histogram *all = calloc(1, sizeof *all);
	if (all == NULL)
		abort();
	histogram_merge(all, &result->reads);
	histogram_merge(all, &result->writes);
	printf("{\"connections\":%u,\"depth\":%u,\"rate\":%llu,\"seconds\":%.3f,\"answered\":%llu,",
	       settings->connections, settings->depth, (unsigned long long)settings->rate, result->seconds,
	       (unsigned long long)result->answered);
	printf("\"ops_per_s\":%.1f,\"answered_all\":%llu,\"errors\":%llu,\"lost\":%llu,\"unanswered\":%llu,",
	       per_second(result), (unsigned long long)result->answered_all, (unsigned long long)result->errors,
	       (unsigned long long)result->lost, (unsigned long long)result->unanswered);
	printf("\"client_cpu_us\":%.2f,\"lag_p99_us\":%.1f,\"mean_us\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,",
	       cpu_us_per_request(result), us(histogram_percentile(&result->lag, 99)), mean_us(all),
	       us(histogram_percentile(all, 50)), us(histogram_percentile(all, 99)));
	printf("\"p999_us\":%.1f,\"max_us\":%.1f,\"percentiles\":[", us(histogram_percentile(all, 99.9)), us(all->max));
	print_percentiles(all);
	printf("],\"reads\":[");
	print_percentiles(&result->reads);
	printf("],\"writes\":[");
	print_percentiles(&result->writes);
	printf("]}\n");
	free(all);
}

/* ---- What is asked ---- */

static bool take_address(struct load_settings *settings, const char *text, size_t size)
{
	char host[256], *port;
	if (size >= sizeof host || settings->address_count == LOAD_ADDRESSES_MAX)
		return false;
	memcpy(host, text, size);
	host[size] = '\0';
	port = strrchr(host, ':');
	if (port == NULL || port == host)
		return false;
	*port++ = '\0';
	char *name = host;
	if (name[0] == '[' && port[-2] == ']') {
		port[-2] = '\0';
		name++;
	}
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found;
	if (getaddrinfo(name, port, &hints, &found) != 0)
		return false;
	uint32_t i = settings->address_count++;
	memcpy(&settings->addresses[i], found->ai_addr, found->ai_addrlen);
	settings->address_sizes[i] = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

static bool take_addresses(struct load_settings *settings, const char *text)
{
	for (;;) {
		size_t size = strcspn(text, ",");
		if (!take_address(settings, text, size))
			return false;
		if (text[size] == '\0')
			return true;
		text += size + 1;
	}
}

static int expected(const char *flag, const char *what, const char *found)
{
	fprintf(stderr, "ikada bench: --%s expects %s, found '%s'\n", flag, what, found);
	return FLAGS_WRONG;
}

int cli_bench(int argc, char **argv)
{
	static struct load_settings settings;
	static struct load_result result;
	const char *connect = "127.0.0.1:7001", *order = "uniform", *arrivals = "poisson", *skew = "0.99";
	uint64_t connections = 50, depth = 1, keys = 100000, value_bytes = 64, reads = 0, rate = 0, warmup_ms = 1000;
	uint64_t duration_ms = 5000, requests = 0, seed = 1;
	bool json = false;
	const struct flag flags[] = {
		{.name = "connect", .value = "HOST:PORT,...", .help = "connections take turns", .text = &connect},
		{.name = "connections",
		 .value = "N",
		 .help = "how many, made before the start",
		 .number = &connections,
		 .min = 1,
		 .max = 100000},
		{.name = "depth",
		 .value = "N",
		 .help = "requests under way on each; with --rate, at most so many",
		 .number = &depth,
		 .min = 1,
		 .max = 100000},
		{.name = "rate",
		 .value = "N",
		 .help = "requests a second, whatever the servers do; 0: as they answer",
		 .number = &rate,
		 .max = 100000000},
		{.name = "arrivals", .value = "HOW", .help = "with --rate: poisson or fixed", .text = &arrivals},
		{.name = "reads", .value = "PERCENT", .help = "GET; the others are SET", .number = &reads, .max = 100},
		{.name = "keys",
		 .value = "N",
		 .help = "how many there are",
		 .number = &keys,
		 .min = 1,
		 .max = KEYS_MAX},
		{.name = "order", .value = "ORDER", .help = "of the keys: uniform, zipf or sequential", .text = &order},
		{.name = "skew", .value = "S", .help = "with zipf: the k-th key has the weight 1 / k^S", .text = &skew},
		{.name = "value-bytes", .value = "N", .help = "of a value", .number = &value_bytes, .max = 1 << 24},
		{.name = "warmup-ms",
		 .value = "MS",
		 .help = "before it is measured",
		 .number = &warmup_ms,
		 .max = 3600000},
		{.name = "duration-ms",
		 .value = "MS",
		 .help = "that is measured",
		 .number = &duration_ms,
		 .min = 1,
		 .max = 86400000},
		{.name = "requests",
		 .value = "N",
		 .help = "end after so many, without a warm-up; 0: by time",
		 .number = &requests,
		 .max = UINT64_MAX},
		{.name = "seed", .value = "N", .help = "of keys and arrivals", .number = &seed, .max = UINT64_MAX},
		{.name = "json", .help = "one line of JSON, times in us", .on = &json},
	};
	int status = flags_parse("a load on servers that speak the Redis protocol, and how long they took.", flags,
				 sizeof flags / sizeof *flags, argc, argv);
	if (status != FLAGS_OK)
		return status;
	if (!take_addresses(&settings, connect))
		return expected("connect", "HOST:PORT,... of hosts that are known, at most 32", connect);
	if (strcmp(order, "uniform") != 0 && strcmp(order, "zipf") != 0 && strcmp(order, "sequential") != 0)
		return expected("order", "uniform, zipf or sequential", order);
	if (strcmp(arrivals, "poisson") != 0 && strcmp(arrivals, "fixed") != 0)
		return expected("arrivals", "poisson or fixed", arrivals);
	char *rest;
	settings.skew = strtod(skew, &rest);
	if (*rest != '\0' || !(settings.skew >= 0.01 && settings.skew <= 10))
		return expected("skew", "a number from 0.01 to 10", skew);
	settings.connections = (uint32_t)connections;
	settings.depth = (uint32_t)depth;
	settings.rate = rate;
	settings.poisson = strcmp(arrivals, "poisson") == 0;
	settings.reads_percent = reads;
	settings.key_count = keys;
	settings.order = order[0] == 'u' ? KEYS_UNIFORM : order[0] == 'z' ? KEYS_ZIPF : KEYS_SEQUENTIAL;
	settings.value_bytes = value_bytes;
	settings.warmup_ns = requests == 0 ? warmup_ms * NS_PER_MS : 0;
	settings.duration_ns = duration_ms * NS_PER_MS;
	settings.requests = requests == 0 ? UINT64_MAX : requests;
	settings.seed = seed;
	settings.progress = isatty(STDERR_FILENO) == 1;
	if (!load_run(&settings, &result)) {
		fprintf(stderr, "ikada bench: %s: %s\n", connect, result.error);
		return 1;
	}
	if (json)
		print_json(&settings, &result);
	else
		print_text(&settings, &result);
	return 0;
}
