/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <pthread.h>
#include <time.h>

#include "base/atomic.h"

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

uint64_t clock_deadline_ns(int64_t timeout_ms)
{
    return timeout_ms < 0 ? CLOCK_FOREVER : clock_now_ns() + (uint64_t)timeout_ms * 1000000u;
}

static uint64_t ticks_per_us;

static void measure(void)
{
    uint64_t start_ns = clock_now_ns(), start = cpu_ticks(), now_ns;
    do {
        now_ns = clock_now_ns();
    } while (now_ns - start_ns < 200000);
    uint64_t ticks = (cpu_ticks() - start) * 1000 / (now_ns - start_ns);
    ticks_per_us = ticks ? ticks : 1;
}

uint64_t clock_ticks_per_us(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, measure);
    return ticks_per_us;
}
