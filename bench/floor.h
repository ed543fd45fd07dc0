/* SPDX-License-Identifier: MIT */
/* The floors: what the machine itself takes, measured by the same harness as everything else. */
#ifndef SHMQ_BENCH_FLOOR_H
#define SHMQ_BENCH_FLOOR_H

#include "duel.h"

/* A number that two spinning processes pass to and fro. */
enum floor_line {
    FLOOR_ONE_LINE,  /* both write the same cache line */
    FLOOR_TWO_LINES, /* a line for each direction, and one writer for each line, as rings have it */
};
struct lane floor_line_lane(enum floor_line kind, size_t rounds);

/* The same with both sides asleep in the kernel in between: store, FUTEX_WAKE, FUTEX_WAIT. */
struct lane floor_futex_lane(size_t rounds);

/* memcpy() of SIZE bytes. */
enum floor_copy {
    FLOOR_COPY_ALONE,     /* one process, the same two buffers: as fast as the caches have it */
    FLOOR_COPY_HAND_OVER, /* in on one core, out on the other, DEPTH buffers between them */
};
struct lane floor_copy_lane(enum floor_copy kind, size_t size, int depth, size_t rounds);

#endif
