/* SPDX-License-Identifier: MIT */
#include "duel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "pair.h"

struct duel {
    struct lane *lanes;
    int count, turns;
    uint64_t *ends;    /* [lane][turn][side]: ticks from the start of a turn to its end */
    uint32_t *samples; /* of lane 0, all turns, then of lane 1 ... */
};

static size_t samples_of(const struct lane *lane, int turns)
{
    return lane->way == LANE_BOUNCE ? lane->rounds * (size_t)turns : 0;
}

static uint32_t *first_sample(const struct duel *duel, int lane)
{
    size_t before = 0;

    for (int i = 0; i < lane; i++)
        before += samples_of(&duel->lanes[i], duel->turns);
    return duel->samples + before;
}

static void turn(struct duel *duel, int lane_index, int turn_index, int side)
{
    struct lane *lane = &duel->lanes[lane_index];
    uint32_t *ticks = NULL;

    if (lane->way == LANE_BOUNCE)
        ticks = first_sample(duel, lane_index) + (size_t)turn_index * lane->rounds;
    /* The sides of a bounce wait for each other anyway; a stream's warm-up must not overlap it. */
    pair_barrier();
    if (lane->warm_up > 0)
        lane->run(lane, side, lane->warm_up, NULL);
    if (lane->way == LANE_STREAM)
        pair_barrier();

    uint64_t start = clock_ticks();
    lane->run(lane, side, lane->rounds, ticks);
    duel->ends[(lane_index * duel->turns + turn_index) * 2 + side] = clock_ticks() - start;
}

void lanes_open(struct lane *lanes, int count, int side)
{
    for (struct lane *lane = lanes; lane < lanes + count; lane++) {
        if (side == 0)
            lane->open(lane, side);
        pair_barrier();
        if (side == 1)
            lane->open(lane, side);
        pair_barrier();
        if (lane->meet)
            lane->meet(lane, side);
    }
}

static void fight(int side, void *arg)
{
    struct duel *duel = arg;

    lanes_open(duel->lanes, duel->count, side);
    for (int t = 0; t < duel->turns; t++)
        for (int i = 0; i < duel->count; i++)
            turn(duel, i, t, side);
    pair_barrier(); /* so that no side closes while the other still reads */
    for (int i = duel->count - 1; i >= 0; i--)
        if (duel->lanes[i].close)
            duel->lanes[i].close(&duel->lanes[i], side);
}

static int evaluate(struct bench *bench, struct duel *duel, int index)
{
    struct lane *lane = &duel->lanes[index];
    uint32_t *ticks = first_sample(duel, index);

    lane->turn_p50 = calloc((size_t)duel->turns, sizeof *lane->turn_p50);
    lane->turn_p99 = calloc((size_t)duel->turns, sizeof *lane->turn_p99);
    if (!lane->turn_p50 || !lane->turn_p99)
        return bench_failed(bench, "out of memory");
    for (int t = 0; t < duel->turns; t++) {
        if (lane->way == LANE_STREAM) {
            const uint64_t *ends = &duel->ends[(index * duel->turns + t) * 2];
            uint64_t end = ends[0] > ends[1] ? ends[0] : ends[1];

            lane->turn_p50[t] = clock_to_ns((double)end) / (double)lane->rounds;
            continue;
        }
        struct hist hist = hist_of(ticks + (size_t)t * lane->rounds, lane->rounds, lane->hops);
        lane->turn_p50[t] = hist.p50;
        lane->turn_p99[t] = hist.p99;
    }
    lane->all = hist_of(ticks, samples_of(lane, duel->turns), lane->hops);
    return 0;
}

static int run_prepared(struct bench *bench, struct duel *duel)
{
    size_t ends_size = sizeof(uint64_t) * 2 * (size_t)(duel->count * duel->turns);
    size_t samples_size = sizeof(uint32_t); /* never empty */
    int result = -1;

    for (int i = 0; i < duel->count; i++)
        samples_size += samples_of(&duel->lanes[i], duel->turns) * sizeof(uint32_t);
    duel->ends = pair_map(ends_size);
    duel->samples = pair_map(samples_size);
    if (!duel->ends || !duel->samples)
        bench_failed(bench, "mmap: %s", strerror(errno));
    else
        result = pair_run(bench, 2, fight, duel);
    for (int i = 0; i < duel->count && result == 0; i++)
        result = evaluate(bench, duel, i);
    pair_unmap(duel->ends, ends_size);
    pair_unmap(duel->samples, samples_size);
    return result;
}

int lanes_prepare(struct bench *bench, struct lane *lanes, int count)
{
    for (int i = 0; i < count; i++) {
        struct lane *lane = &lanes[i];

        lane->id = i;
        if (lane->shared_size > 0 && !(lane->shared = pair_map(lane->shared_size)))
            return bench_failed(bench, "mmap: %s", strerror(errno));
        if (lane->prepare && lane->prepare(bench, lane) != 0)
            return -1;
    }
    return 0;
}

void lanes_release(struct bench *bench, struct lane *lanes, int count)
{
    for (struct lane *lane = lanes; lane < lanes + count; lane++) {
        if (lane->release && (lane->shared || lane->shared_size == 0))
            lane->release(bench, lane);
        pair_unmap(lane->shared, lane->shared_size);
        lane->shared = NULL;
    }
}

int duel_run(struct bench *bench, struct lane *lanes, int count, int turns)
{
    struct duel duel = {.lanes = lanes, .count = count, .turns = turns};
    int result = lanes_prepare(bench, lanes, count);

    if (result == 0)
        result = run_prepared(bench, &duel);
    lanes_release(bench, lanes, count);
    return result;
}

void duel_free(struct lane *lanes, int count)
{
    for (int i = 0; i < count; i++) {
        free(lanes[i].turn_p50);
        free(lanes[i].turn_p99);
        lanes[i].turn_p50 = lanes[i].turn_p99 = NULL;
    }
}

static double ratio(const double *ours, const double *floor, int turns)
{
    double values[turns > 0 ? turns : 1];

    for (int t = 0; t < turns; t++)
        values[t] = floor[t] > 0 ? ours[t] / floor[t] : 0;
    return hist_median(values, (size_t)turns);
}

double duel_ratio_p50(const struct lane *ours, const struct lane *floor, int turns)
{
    return ratio(ours->turn_p50, floor->turn_p50, turns);
}

double duel_ratio_p99(const struct lane *ours, const struct lane *floor, int turns)
{
    return ratio(ours->turn_p99, floor->turn_p99, turns);
}

double duel_median(const struct lane *lane, int turns)
{
    double values[turns > 0 ? turns : 1];

    memcpy(values, lane->turn_p50, sizeof(double) * (size_t)turns);
    return hist_median(values, (size_t)turns);
}
