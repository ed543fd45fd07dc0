/* SPDX-License-Identifier: MIT */
/* Descriptors of every kind, for a liar to send in place of its own. */
#ifndef SHMQ_FUZZ_KINDS_H
#define SHMQ_FUZZ_KINDS_H

#include <stdbool.h>

#include "../support/line.h"

struct set {
    int fds[LINE_FDS_MAX];
    bool ours[LINE_FDS_MAX]; /* made for this message: closed after it */
    unsigned count;
};

/* Open what is the same for all inputs; before any descriptors are counted. */
void kinds_make(void);
/* The TRUTH, but some left out, repeated, misplaced or replaced. */
void set_choose(struct set *out, const int *truth, unsigned count);
void set_drop(struct set *set);

#endif
