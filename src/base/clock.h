/* SPDX-License-Identifier: MIT */
/* Time: deadlines in nanoseconds of CLOCK_MONOTONIC, spinning in processor ticks. */
#ifndef SHMQ_BASE_CLOCK_H
#define SHMQ_BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_FOREVER UINT64_MAX

uint64_t clock_now_ns(void);

/* CLOCK_REALTIME, for people. */
uint64_t clock_wall_ns(void);

/* The moment TIMEOUT_MS from now; negative: CLOCK_FOREVER. */
uint64_t clock_deadline_ns(int64_t timeout_ms);

/* Measured once per process, over about 200 us, at the first call. */
uint64_t clock_ticks_per_us(void);

#endif
