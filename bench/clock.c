/* SPDX-License-Identifier: MIT */
#include "clock.h"

static double ns_per_tick = 1;

/* Read both clocks at nearly the same instant: of several pairs, the one with the least time between. */
static void read_both(uint64_t *ticks, uint64_t *ns)
{
    uint64_t least = UINT64_MAX;

    for (int i = 0; i < 20; i++) {
        uint64_t before = clock_ticks();
        uint64_t now = clock_ns(CLOCK_MONOTONIC_RAW);
        uint64_t after = clock_ticks();

        if (after - before < least) {
            least = after - before;
            *ticks = before + least / 2;
            *ns = now;
        }
    }
}

void clock_calibrate(void)
{
    uint64_t ticks[2] = {0}, ns[2] = {0};
    struct timespec pause = {.tv_nsec = 50000000};

    read_both(&ticks[0], &ns[0]);
    nanosleep(&pause, NULL);
    read_both(&ticks[1], &ns[1]);
    ns_per_tick = (double)(ns[1] - ns[0]) / (double)(ticks[1] - ticks[0]);
}

double clock_to_ns(double ticks)
{
    return ticks * ns_per_tick;
}
