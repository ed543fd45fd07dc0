/* SPDX-License-Identifier: MIT */
/* Exact percentiles: all samples are kept and sorted. */
#ifndef SHMQ_BENCH_HIST_H
#define SHMQ_BENCH_HIST_H

#include <stddef.h>
#include <stdint.h>

struct hist {
    double p50, p99, p999, max;
};

/* Sorts TICKS in place; the figures are nanoseconds, divided by HOPS. */
struct hist hist_of(uint32_t *ticks, size_t count, int hops);

/* The median of VALUES, which it sorts; 0 if there are none. */
double hist_median(double *values, size_t count);

#endif
