/* SPDX-License-Identifier: MIT */
/* Run `shmq` ($SHMQ_TOOL) and look at what it says. */
#ifndef SHMQ_TEST_RUN_TOOL_H
#define SHMQ_TEST_RUN_TOOL_H

#include "support/short.h"

struct output {
    int status; /* of exit; a death by a signal is a failure of the test */
    char text[1 << 16]; /* standard output */
};

/* The arguments up to NULL. Returns a static output, valid until the next run. */
const struct output *run_tool(const char *command, ...) __attribute__((sentinel));
/* Likewise, and the status must be this one. */
#define tool_says(status_, ...) check_status(__FILE__, __LINE__, status_, run_tool(__VA_ARGS__, NULL))
/* Likewise, and the output must be JSON. */
#define tool_says_json(status_, ...) check_json(__FILE__, __LINE__, tool_says(status_, __VA_ARGS__, "--json"))

const char *check_status(const char *file, int line, int status, const struct output *output);
const char *check_json(const char *file, int line, const char *text);

/* The word in column COLUMN (from 0) of the line that begins with the word FIRST; NULL: no such line. */
const char *word_in_line(const char *text, const char *first, unsigned column);
/* How often PART is in TEXT. */
unsigned count_in(const char *text, const char *part);

#endif
