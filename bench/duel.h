/* SPDX-License-Identifier: MIT */
/*
 * A duel: several ways ("lanes") of moving messages between the same two pinned processes, in turns of
 * about a millisecond, again and again: floor, ours, floor, ours ...
 *
 * A virtual machine's speed drifts by the second and jumps by the millisecond. Lanes that run right after
 * each other meet the same conditions, so a ratio is taken per turn and the median over the turns is
 * reported. Absolute figures are over all samples of all turns.
 *
 * A lane either bounces (one sample per round trip) or streams (one duration per turn, from the common
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
    int kind;        /* defined by the lane's own file */
    size_t size;     /* bytes of a message */
    size_t rounds;   /* round trips, or messages, per turn */
    size_t warm_up;  /* the same before each turn, not counted */
    int hops;        /* a sample is divided by this: 2 gives the time one way */
    int depth;       /* messages that may be under way; 0: the transport's default */
    int64_t spin_ns; /* for the lanes of shmq: SHM_SPIN_NS */

    size_t shared_size; /* of `shared`, which both processes see; 0: there is none */
    /* Called in the parent, before the fork and after the end; may be NULL. -1: bench->why is set. */
    int (*prepare)(struct bench *bench, struct lane *lane);
    void (*release)(struct bench *bench, struct lane *lane);
    /* Called in both processes. On failure they end their process by pair_fail(). */
    void (*open)(struct lane *lane, int side);  /* side 0 first */
    void (*meet)(struct lane *lane, int side);  /* both at once; may be NULL */
    void (*close)(struct lane *lane, int side); /* may be NULL */
    /* Move ROUNDS messages. TICKS: where side 0 stores a sample per round trip, or NULL. */
    void (*run)(struct lane *lane, int side, size_t rounds, uint32_t *ticks);

    int id;          /* its position in the duel, which makes names unique */
    uint64_t number; /* of the message under way; what is received is compared with it */
    void *shared;    /* zeroed before prepare() */
    void *state;     /* made by open() */

    /* Results */
    struct hist all;  /* LANE_BOUNCE: over all samples, ns */
    double *turn_p50; /* per turn, ns; LANE_STREAM: ns per message */
    double *turn_p99; /* LANE_BOUNCE */
};

/* What a duel does with its lanes before and after the fork; -1: bench->why is set, release them, too. */
int lanes_prepare(struct bench *bench, struct lane *lanes, int count);
void lanes_release(struct bench *bench, struct lane *lanes, int count);
/* In a body: open them, side 0 first, and let both meet. */
void lanes_open(struct lane *lanes, int count, int side);

/* Returns 0, or -1 with bench->why. Free the results by duel_free() in both cases. */
int duel_run(struct bench *bench, struct lane *lanes, int count, int turns);
void duel_free(struct lane *lanes, int count);

/* Median over the turns of OURS / FLOOR. */
double duel_ratio_p50(const struct lane *ours, const struct lane *floor, int turns);
double duel_ratio_p99(const struct lane *ours, const struct lane *floor, int turns);
/* Median over the turns of the lane's own figure. */
double duel_median(const struct lane *lane, int turns);

#endif
