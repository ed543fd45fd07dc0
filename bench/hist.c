/* SPDX-License-Identifier: MIT */
#include "hist.h"

#include <stdlib.h>

#include "clock.h"

static int compare_ticks(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

/* The smallest sample that at least FRACTION of the samples do not exceed. */
static uint32_t quantile(const uint32_t *sorted, size_t count, double fraction)
{
    size_t rank = (size_t)(fraction * (double)count);

    return sorted[rank < count ? rank : count - 1];
}

struct hist hist_of(uint32_t *ticks, size_t count, int hops)
{
    struct hist hist = {0};

    if (count == 0)
        return hist;
    qsort(ticks, count, sizeof *ticks, compare_ticks);
    hist.p50 = clock_to_ns(quantile(ticks, count, 0.5)) / hops;
    hist.p99 = clock_to_ns(quantile(ticks, count, 0.99)) / hops;
    hist.p999 = clock_to_ns(quantile(ticks, count, 0.999)) / hops;
    hist.max = clock_to_ns(ticks[count - 1]) / hops;
    return hist;
}

double hist_median(double *values, size_t count)
{
    if (count == 0)
        return 0;
    qsort(values, count, sizeof *values, compare_doubles);
    if (count % 2 != 0)
        return values[count / 2];
    return (values[count / 2 - 1] + values[count / 2]) / 2;
}
