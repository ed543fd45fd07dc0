/* SPDX-License-Identifier: MIT */
/* How long a message takes: spinning, beside a bare cache line, and asleep, beside a bare futex. */
#include <stdio.h>

#include "duel.h"
#include "floor.h"
#include "place.h"
#include "shmq_lane.h"
#include "table.h"

/* Rounds in a turn: about a third of a millisecond, or 20 ms if the kernel is involved. */
#define ROUNDS        2000
#define PARKED_ROUNDS 500

/*
 * The floor is a line each way, since a message and its answer travel in two rings: the sender has to take
 * the line from a receiver that polls it, and the receiver has to fetch it again. If both write the same
 * line, some processors save the first of the two transfers (Intel: a quarter of the time; AMD: nothing).
 * No two rings can do that, so it is only printed beside.
 */
int latency_row(struct bench *bench, const struct row *row)
{
    static const struct latency_row {
        enum shmq_kind kind;
        size_t size;
        const char *key;
        double goal_p50, goal_p99;
    } rows[] = {
        [LATENCY_PAIR_64] = {SHMQ_PAIR, 64, "latency_64B", 1.3, 2},
        [LATENCY_PAIR_32] = {SHMQ_PAIR, 32, "latency_32B", 1.2, 2},
        [LATENCY_PUBSUB] = {SHMQ_PUBSUB, 64, "latency_pubsub_64B", 1.3, 2},
        [LATENCY_PUSHPULL] = {SHMQ_PUSHPULL, 64, "latency_pushpull_64B", 1.3, 2},
    };
    const struct latency_row *it = &rows[row->which];
    struct lane lanes[] = {
        floor_line_lane(FLOOR_TWO_LINES, ROUNDS),
        shmq_bounce_lane(it->kind, it->size, SPIN_FOR_EVER, ROUNDS),
        floor_line_lane(FLOOR_ONE_LINE, ROUNDS),
    };
    int turns = bench_blocks(bench, 100, 15);
    int result = duel_run(bench, lanes, 3, turns);
    char other[64];

    if (result == 0) {
        table_latency(it->key, row->text, &lanes[1], &lanes[0], turns, it->goal_p50, it->goal_p99);
        snprintf(other, sizeof other, "%s_p50_one_line", it->key);
        table_figure(&(struct figure){
            .key = other,
            .stat = "p50",
            .unit = UNIT_NS,
            .ours = lanes[1].all.p50,
            .against = lanes[2].name,
            .base = lanes[2].all.p50,
            .ratio = duel_ratio_p50(&lanes[1], &lanes[2], turns),
        });
    }
    duel_free(lanes, 3);
    return result;
}

/* A round trip, compared with the one-way time of a PAIR in the same turn. */
int latency_reqrep_row(struct bench *bench, const struct row *row)
{
    struct lane lanes[] = {
        shmq_bounce_lane(SHMQ_PAIR, 64, SPIN_FOR_EVER, ROUNDS),
        shmq_bounce_lane(SHMQ_REQREP, 64, SPIN_FOR_EVER, ROUNDS),
    };
    int turns = bench_blocks(bench, 100, 15);
    int result = duel_run(bench, lanes, 2, turns);

    lanes[0].name = "PAIR one way";
    if (result == 0)
        table_latency("latency_reqrep_64B", row->text, &lanes[1], &lanes[0], turns, 2.2, 0);
    duel_free(lanes, 2);
    return result;
}

int parked_row(struct bench *bench, const struct row *row)
{
    struct lane lanes[] = {
        floor_futex_lane(PARKED_ROUNDS),
        shmq_bounce_lane(SHMQ_PAIR, 64, SPIN_NEVER, PARKED_ROUNDS),
    };
    int turns = bench_blocks(bench, 400, 60);
    int result = duel_run(bench, lanes, 2, turns);

    if (result == 0)
        table_latency("latency_parked_64B", row->text, &lanes[1], &lanes[0], turns, 1.15, 0);
    duel_free(lanes, 2);
    return result;
}

int zero_copy_row(struct bench *bench, const struct row *row)
{
    struct lane lanes[] = {
        shmq_bounce_lane(SHMQ_PAIR, 64, SPIN_FOR_EVER, ROUNDS),
        shmq_loan_lane((size_t)1 << 20, ROUNDS),
        shmq_loan_lane((size_t)64 << 20, ROUNDS),
    };
    int turns = bench_blocks(bench, 100, 15), result;

    /* Two messages under way and one to spare in each direction. */
    if (!place_has_room(bench, (size_t)6 * (64 << 20), "1 MiB and 64 MiB, loan and view"))
        return 0;
    result = duel_run(bench, lanes, 3, turns);
    lanes[0].name = "64 B copied";
    if (result == 0) {
        table_latency("zero_copy_1MiB", "1 MiB one way, loan and view", &lanes[1], &lanes[0], turns, 2, 0);
        table_latency("zero_copy_64MiB", "64 MiB one way, loan and view", &lanes[2], &lanes[0], turns, 2, 0);
    }
    duel_free(lanes, 3);
    return result;
}
