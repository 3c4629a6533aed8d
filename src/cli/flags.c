/* Flags of a subcommand: see flags.h. Knows nothing of what the flags mean beyond text, number and switch. */
#include "cli/flags.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_help(const char *about, const struct flag *flags, size_t count, const char *command)
{
	printf("ikada %s: %s\n\n", command, about);
	for (size_t i = 0; i < count; i++) {
		const struct flag *flag = &flags[i];
		char left[64];
		snprintf(left, sizeof left, "--%s %s", flag->name, flag->value == NULL ? "" : flag->value);
		printf("  %-28s %s", left, flag->help);
		if (flag->required)
			printf(" (required)");
		else if (flag->number != NULL && *flag->number >= flag->min)
			printf(" (%" PRIu64 ")", *flag->number);
		else if (flag->text != NULL && *flag->text != NULL)
			printf(" (%s)", *flag->text);
		printf("\n");
	}
}

static const struct flag *find(const struct flag *flags, size_t count, const char *name, size_t size)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(flags[i].name) == size && memcmp(flags[i].name, name, size) == 0)
			return &flags[i];
	return NULL;
}

static bool parse_number(const char *text, uint64_t *number)
{
	uint64_t n = 0;
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		uint64_t digit = (uint64_t)(*text - '0');
		if (n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*number = n;
	return true;
}

/* `value` is NULL at the end of the line. False after one line. */
static bool take_value(const char *command, const struct flag *flag, const char *value)
{
	uint64_t number;
	if (value != NULL && flag->text != NULL && *value != '\0') {
		*flag->text = value;
		return true;
	}
	if (value != NULL && flag->number != NULL && parse_number(value, &number) && number >= flag->min &&
	    number <= flag->max) {
		*flag->number = number;
		return true;
	}
	fprintf(stderr, "ikada %s: --%s expects ", command, flag->name);
	if (flag->number != NULL)
		fprintf(stderr, "a number from %" PRIu64 " to %" PRIu64, flag->min, flag->max);
	else
		fprintf(stderr, "%s", flag->value);
	if (value == NULL)
		fprintf(stderr, ", found the end of the line\n");
	else
		fprintf(stderr, ", found '%s'\n", value);
	return false;
}

enum { FLAGS_MAX = 64 };

int flags_parse(const char *about, const struct flag *flags, size_t count, int argc, char **argv)
{
	const char *command = argv[0];
	bool given[FLAGS_MAX] = {false};
	CHECK_OP(count, <=, (size_t)FLAGS_MAX);
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
			print_help(about, flags, count, command);
			return 0;
		}
		if (strncmp(arg, "--", 2) != 0) {
			fprintf(stderr, "ikada %s: expected a flag, found '%s' (see ikada %s --help)\n", command, arg,
				command);
			return FLAGS_WRONG;
		}
		const char *name = arg + 2;
		size_t size = strcspn(name, "=");
		const struct flag *flag = find(flags, count, name, size);
		if (flag == NULL) {
			fprintf(stderr, "ikada %s: there is no flag --%.*s (see ikada %s --help)\n", command, (int)size,
				name, command);
			return FLAGS_WRONG;
		}
		const char *value = name[size] == '=' ? name + size + 1 : NULL;
		given[flag - flags] = true;
		if (flag->on != NULL) {
			if (value != NULL) {
				fprintf(stderr, "ikada %s: --%s takes no value, found '%s'\n", command, flag->name,
					value);
				return FLAGS_WRONG;
			}
			*flag->on = true;
			continue;
		}
		if (value == NULL && ++i < argc)
			value = argv[i];
		if (!take_value(command, flag, value))
			return FLAGS_WRONG;
	}
	for (size_t i = 0; i < count; i++) {
		if (flags[i].required && !given[i]) {
			fprintf(stderr, "ikada %s: --%s %s is required: %s\n", command, flags[i].name, flags[i].value,
				flags[i].help);
			return FLAGS_WRONG;
		}
	}
	return FLAGS_OK;
}
