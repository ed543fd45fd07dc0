/* SPDX-License-Identifier: MIT */
/* A command line of long options, as a table. */
#ifndef SHMQ_TEST_CLI_H
#define SHMQ_TEST_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One of these is set: where its text goes, or the number that it is, or that it was there. */
struct cli_option {
    const char *name, **text;
    unsigned *number;
    uint64_t *large;
    bool *flag;
};

/* With --help, or what is not in the table, USAGE is printed, and that is all. */
void cli_parse(const struct cli_option *options, size_t count, int argc, char **argv, const char *usage);

#endif
