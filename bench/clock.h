/* SPDX-License-Identifier: MIT */
/*
 * The processor's own counter as a stopwatch, calibrated against CLOCK_MONOTONIC_RAW.
 *
 * It is read without a serializing instruction. One read ends a round and begins the next, so the sum over
 * all rounds is exact, both sides of a comparison are treated alike, and no ratio is diluted by the 10 ns
 * of an lfence.
 */
#ifndef SHMQ_BENCH_CLOCK_H
#define SHMQ_BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;

    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return clock_ns(CLOCK_MONOTONIC_RAW);
#endif
}

/* Tells the core that it spins; costs a delay that depends on the CPU (Intel: about 40 ns). */
static inline void clock_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* Measure the length of a tick; takes 50 ms. Call this before clock_to_ns(). */
void clock_calibrate(void);
double clock_to_ns(double ticks);

#endif
