/* SPDX-License-Identifier: MIT */
/* The commands of the tool, and how they end. */
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

/* Each writes to standard output, complains to standard error, and returns an enum status. */
int tool_ls(const struct request *request);
int tool_info(const struct request *request);
int tool_gc(const struct request *request);

/* Complain: "shmq: WHAT: the text of -error". Returns STATUS_SYSTEM. */
int tool_fail(const char *what, int error);

#endif
