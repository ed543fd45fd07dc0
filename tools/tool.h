/* SPDX-License-Identifier: MIT */
/* The commands of the tool and their exit status. */
#ifndef SHMQ_TOOL_H
#define SHMQ_TOOL_H

#include <stdbool.h>

enum status {
    STATUS_FINE = 0,
    STATUS_NOTHING = 1, /* nothing found, no such name */
    STATUS_USAGE = 2,
    STATUS_SYSTEM = 3,
};

struct request {
    const char *name; /* info's */
    bool json;
    bool dry_run; /* gc's */
};

/* Each writes to standard output, reports errors on standard error, and returns an enum status. */
int tool_ls(const struct request *request);
int tool_info(const struct request *request);
int tool_gc(const struct request *request);

/* Print "shmq: WHAT: the text of -ERROR" to standard error. Returns STATUS_SYSTEM. */
int tool_fail(const char *what, int error);

#endif
