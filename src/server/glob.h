/* Patterns as Redis has them: `*`, `?`, `[abc]`, `[^a-c]`, and `\` before a character that means itself. */
#ifndef IKADA_SERVER_GLOB_H
#define IKADA_SERVER_GLOB_H

#include "server/request.h"

/* Time is at most the product of both sizes. */
bool glob_matches(struct slice pattern, struct slice text, bool ignore_case);

#endif
