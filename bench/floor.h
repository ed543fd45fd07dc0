/* SPDX-License-Identifier: MIT */
/* The floors: what the machine itself needs, measured by the same harness as everything else. */
#ifndef SHMQ_BENCH_FLOOR_H
#define SHMQ_BENCH_FLOOR_H

#include "duel.h"

/* A number that two spinning processes pass back and forth. */
enum floor_line {
    FLOOR_ONE_LINE,  /* both write the same cache line */
    FLOOR_TWO_LINES, /* a line for each direction with one writer each, as in rings */
};
struct lane floor_line_lane(enum floor_line kind, size_t rounds);

/* The same, but both sides sleep in the kernel in between: store, FUTEX_WAKE, FUTEX_WAIT. */
struct lane floor_futex_lane(size_t rounds);

/* memcpy() of SIZE bytes. */
enum floor_copy {
    FLOOR_COPY_ALONE,     /* one process, always the same two buffers: as fast as its caches */
    FLOOR_COPY_HAND_OVER, /* in on one core, out on the other, with DEPTH buffers between */
};
struct lane floor_copy_lane(enum floor_copy kind, size_t size, int depth, size_t rounds);

#endif
