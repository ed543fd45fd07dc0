/* SPDX-License-Identifier: MIT */
#include "kills.h"

#include <time.h>

unsigned kills(unsigned count)
{
    const char *text = getenv("SHMQ_TEST_KILLS");
    unsigned factor = text ? (unsigned)strtoul(text, NULL, 10) : 1;

    return count * (factor ? factor : 1);
}

void pass_random(uint64_t *state)
{
    uint64_t limit_ns = UINT64_C(1000) << (random_next(state) % 13); /* 1 us to 4 ms */
    struct timespec rest = {0, (long)(random_next(state) % limit_ns)};

    nanosleep(&rest, NULL);
}
