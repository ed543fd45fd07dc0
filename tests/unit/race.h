/* SPDX-License-Identifier: MIT */
/* Two threads that race: each on a processor of its own, or the scheduler may have them take turns on one. */
#ifndef SHMQ_TEST_RACE_H
#define SHMQ_TEST_RACE_H

#include <pthread.h>
#include <sched.h>

#include "support/harness.h"

/* The calling thread is the first or the second (SIDE 0 or 1) of two. With one processor it stays where it is. */
static inline void race_as(unsigned side)
{
    cpu_set_t all, one;
    CHECK_INT(sched_getaffinity(0, sizeof all, &all), 0);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && side-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            CHECK_INT(sched_setaffinity(0, sizeof one, &one), 0);
        }
}

#endif
