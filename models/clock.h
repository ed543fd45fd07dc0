/* SPDX-License-Identifier: MIT */
/* For models that wait: time stands still, so nobody spins. And what api.c names besides. */
#ifndef SHMQ_MODELS_CLOCK_H
#define SHMQ_MODELS_CLOCK_H

#include "world.h"

const struct kind *const socket_kinds[KIND_COUNT];

uint64_t clock_deadline_ns(int64_t ms)
{
    (void)ms;
    return CLOCK_FOREVER;
}

uint64_t clock_ticks_per_us(void)
{
    return 1;
}

uint64_t clock_now_ns(void)
{
    return 0;
}

#endif
