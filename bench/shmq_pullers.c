/* SPDX-License-Identifier: MIT */
/*
 * One PUSH and several PULL processes that share its messages: does the total rate stay the same?
 *
 * The pusher has the first CPU to itself and all pullers share the second one. So this measures how the
 * pullers slow each other down, not how they compete with the pusher. All wait as the library does by
 * default.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "hist.h"
#include "pair.h"
#include "shmq_lane.h"
#include "table.h"

#define COUNTS   4
#define ENDPOINT "bench/pullers"

static const int pullers[COUNTS] = {1, 2, 4, 8};

struct pullers {
    int count;
    uint64_t messages;
    atomic_ulong pulled; /* by all pullers */
    atomic_ulong sum;    /* sum of the numbers in the messages */
    uint64_t ticks;
    uint64_t wakes; /* system calls that the pusher made to wake pullers */
};

static void run_pusher(struct pullers *run)
{
    shm_socket_t *push = shmq_socket(SHM_PUSH, SPIN_DEFAULT);
    uint64_t message[8] = {0};
    shm_stats_t stats;
    size_t size = sizeof stats;

    shmq_bind(push, ENDPOINT);
    pair_barrier(); /* now they connect */
    pair_barrier();

    uint64_t start = clock_ticks();
    for (uint64_t i = 1; i <= run->messages; i++) {
        message[0] = i;
        if (shm_send(push, message, sizeof message, 0) < 0)
            shmq_fail("shm_send");
    }
    for (int i = 0; i < run->count; i++) /* an empty message ends its receiver */
        if (shm_send(push, NULL, 0, 0) < 0)
            shmq_fail("shm_send");
    pair_barrier();
    run->ticks = clock_ticks() - start;
    if (shm_getsockopt(push, SHM_STATS, &stats, &size) != 0)
        shmq_fail("SHM_STATS");
    run->wakes = stats.wakes;
    shm_close(push);
}

static void run_puller(struct pullers *run)
{
    shm_socket_t *pull = shmq_socket(SHM_PULL, SPIN_DEFAULT);
    uint64_t message[8], pulled = 0, sum = 0;
    ssize_t size;

    pair_barrier();
    shmq_connect(pull, ENDPOINT);
    pair_barrier();
    while ((size = shm_recv(pull, message, sizeof message, 0)) > 0) {
        pulled++;
        sum += message[0];
    }
    if (size < 0)
        shmq_fail("shm_recv");
    atomic_fetch_add(&run->pulled, pulled);
    atomic_fetch_add(&run->sum, sum);
    pair_barrier();
    shm_close(pull);
}

static void body(int side, void *arg)
{
    if (side == 0)
        run_pusher(arg);
    else
        run_puller(arg);
}

/* ns per message, or -1 with bench->why. */
static double run_once(struct bench *bench, struct pullers *run, int count, uint64_t messages)
{
    memset(run, 0, sizeof *run);
    run->count = count;
    run->messages = messages;
    if (pair_run(bench, 1 + count, body, run) != 0)
        return -1;
    if (run->pulled != messages || run->sum != messages * (messages + 1) / 2)
        return bench_failed(bench, "%lu messages pulled, %lu pushed", (unsigned long)run->pulled,
                            (unsigned long)messages);
    return clock_to_ns((double)run->ticks) / (double)messages;
}

static void print(int index, double *costs, double *ratios, double *wakes, int turns)
{
    char key[32], stat[16];

    snprintf(key, sizeof key, "pullers_%d", pullers[index]);
    snprintf(stat, sizeof stat, "to %d", pullers[index]);
    table_figure(&(struct figure){
        .key = key,
        .what = index == 0 ? "PUSH: 64 B to pullers on one CPU" : NULL,
        .stat = stat,
        .unit = UNIT_RATE,
        .ours = 1e9 / hist_median(costs, (size_t)turns),
        .ratio = index == 0 ? 0 : hist_median(ratios, (size_t)turns),
        .goal = index == 0 ? GOAL_NONE : GOAL_RATIO_AT_LEAST,
        .bound = 0.7,
    });
    snprintf(key, sizeof key, "pullers_%d_wakes_per_s", pullers[index]);
    table_key(key, hist_median(wakes, (size_t)turns));
}

int pullers_row(struct bench *bench, const struct row *row)
{
    int turns = bench_blocks(bench, 15, 5), result = 0;
    uint64_t messages = bench->quick ? 1000000 : 8000000;
    struct pullers *run = pair_map(sizeof *run);
    double costs[COUNTS][turns], ratios[COUNTS][turns], wakes[COUNTS][turns];

    if (!run)
        return bench_failed(bench, "mmap: %s", strerror(errno));
    for (int t = 0; t < turns && result == 0; t++) {
        for (int i = 0; i < COUNTS && result == 0; i++) {
            costs[i][t] = run_once(bench, run, pullers[i], messages);
            result = costs[i][t] < 0 ? -1 : 0;
            ratios[i][t] = costs[0][t] / costs[i][t];
            wakes[i][t] = (double)run->wakes / (clock_to_ns((double)run->ticks) / 1e9);
        }
    }
    for (int i = 0; i < COUNTS && result == 0; i++)
        print(i, costs[i], ratios[i], wakes[i], turns);
    pair_unmap(run, sizeof *run);
    return result;
}
