/* SPDX-License-Identifier: MIT */
/*
 * A duel: several ways of moving messages between the same two pinned processes, in turns of about
 * a millisecond, again and again: floor, ours, floor, ours ...
 *
 * A virtual machine's speed drifts by the second and jumps by the millisecond. What two lanes do
 * within one turn of each other meets the same weather, so a ratio is taken per turn, and the
 * median over the turns is reported. Absolute figures are of all samples of all turns.
 *
 * A lane either bounces (a sample per round trip) or streams (a duration per turn, from the common
 * start until the slower side is done).
 */
#ifndef SHMQ_BENCH_DUEL_H
#define SHMQ_BENCH_DUEL_H

#include "bench.h"
#include "hist.h"

#define DUEL_LANES 6

enum lane_way { LANE_BOUNCE, LANE_STREAM };

struct lane {
    const char *name;
    enum lane_way way;
    int kind;        /* what the lane's own file makes of it */
    size_t size;     /* bytes of a message */
    size_t rounds;   /* round trips, or messages, per turn */
    size_t warm_up;  /* the same before each turn, not counted */
    int hops;        /* messages per round trip that a sample is divided by: 2 gives one way */
    int depth;       /* messages that may be under way; 0: as the transport has it */
    int64_t spin_ns; /* for the lanes of shmq: SHM_SPIN_NS */

    /* In the parent, before the fork and after the end; may be NULL. -1: bench->why. */
    int (*prepare)(struct bench *bench, struct lane *lane);
    void (*release)(struct bench *bench, struct lane *lane);
    /* In both processes. They end their process by pair_fail(). */
    void (*open)(struct lane *lane, int side);  /* side 0 first */
    void (*meet)(struct lane *lane, int side);  /* both at once; may be NULL */
    void (*close)(struct lane *lane, int side); /* may be NULL */
    /* Move ROUNDS messages. TICKS: where side 0 leaves a sample per round trip, or NULL. */
    void (*run)(struct lane *lane, int side, size_t rounds, uint32_t *ticks);

    int id;          /* its place in the duel: makes names unique */
    uint64_t number; /* of the message under way: what was received is checked against it */
    void *shared;    /* of prepare() */
    void *state;     /* of open() */

    /* Results */
    struct hist all;  /* LANE_BOUNCE: of all samples, ns */
    double *turn_p50; /* per turn, ns; LANE_STREAM: ns per message */
    double *turn_p99; /* LANE_BOUNCE */
};

/* Returns 0, or -1 with bench->why. The results are duel_free()'s in both cases. */
int duel_run(struct bench *bench, struct lane *lanes, int count, int turns);
void duel_free(struct lane *lanes, int count);

/* Median over the turns of OURS / FLOOR. */
double duel_ratio_p50(const struct lane *ours, const struct lane *floor, int turns);
double duel_ratio_p99(const struct lane *ours, const struct lane *floor, int turns);
/* Median over the turns of the lane's own figure. */
double duel_median(const struct lane *lane, int turns);

#endif
