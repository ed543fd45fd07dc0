/* SPDX-License-Identifier: MIT */
/*
 * The storm: rounds (support/round) on all patterns, drawn at random. Each is made from the seed and its number alone;
 * lanes run rounds side by side, each in a runtime directory of its own.
 *
 *     main.c    arguments, lanes          plan.c    what a round is, from seed and number
 *     report.c  the table at the end
 */
#ifndef SHMQ_STORM_H
#define SHMQ_STORM_H

#include "../support/round/round.h"

/* What a run may be narrowed to. */
struct filter {
    int kind;                /* -1: all */
    const struct pair *pair; /* NULL: all */
    bool full;               /* a private file system is there to be filled */
    bool keys;               /* there is a library for SHM_AUTH_KEY */
    bool plain;              /* no policies */
};

void plan_make(struct plan *plan, uint64_t seed, uint64_t round, const struct filter *filter);

void totals_add(struct totals *sum, const struct totals *more);
void report_print(const struct totals *totals, uint64_t seed, double seconds);

#endif
