/* SPDX-License-Identifier: MIT */
/*
 * What a PUB pays per message with 1, 4, 16 and 64 subscribers that are not reading just now. There is one
 * ring, written once, so the number should not matter.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "hist.h"
#include "pair.h"
#include "shmq_lane.h"
#include "table.h"

#define COUNTS      4
#define SENDS       20000
#define SUBSCRIBERS (1 + 4 + 16 + 64)

static const int subscribers[COUNTS] = {1, 4, 16, 64};

struct fanout {
    int turns;
    atomic_int listening; /* how many subscribers have received something */
    uint64_t ticks[];     /* [turn][count] */
};

static void publish(shm_socket_t *pub, int count)
{
    char message[64] = {0};

    for (int i = 0; i < count; i++)
        if (shm_send(pub, message, sizeof message, 0) < 0)
            shmq_fail("shm_send");
}

static void run_publisher(struct fanout *fanout)
{
    shm_socket_t *pubs[COUNTS];
    char name[32];

    for (int i = 0; i < COUNTS; i++) {
        pubs[i] = shmq_socket(SHM_PUB, SPIN_DEFAULT);
        snprintf(name, sizeof name, "bench/fan-out/%d", subscribers[i]);
        shmq_bind(pubs[i], name);
    }
    do {
        for (int i = 0; i < COUNTS; i++)
            publish(pubs[i], 1);
        pair_barrier(); /* they look */
        pair_barrier();
    } while (atomic_load(&fanout->listening) < SUBSCRIBERS);

    for (int i = 0; i < COUNTS; i++)
        publish(pubs[i], SENDS);
    for (int t = 0; t < fanout->turns; t++) {
        for (int i = 0; i < COUNTS; i++) {
            uint64_t start = clock_ticks();

            publish(pubs[i], SENDS);
            fanout->ticks[t * COUNTS + i] = clock_ticks() - start;
        }
    }
    pair_barrier();
    for (int i = 0; i < COUNTS; i++)
        shm_close(pubs[i]);
}

/* How many of SUBS have received nothing yet; the others are removed from it. */
static void listen_once(shm_socket_t **subs, bool *heard, struct fanout *fanout)
{
    char message[64];

    for (int i = 0; i < SUBSCRIBERS; i++) {
        if (heard[i] || shm_recv(subs[i], message, sizeof message, SHM_DONTWAIT) < 0)
            continue;
        heard[i] = true;
        atomic_fetch_add(&fanout->listening, 1);
    }
}

static void run_subscribers(struct fanout *fanout)
{
    shm_socket_t *subs[SUBSCRIBERS];
    bool heard[SUBSCRIBERS] = {false};
    char name[32];
    int made = 0;

    for (int i = 0; i < COUNTS; i++) {
        snprintf(name, sizeof name, "bench/fan-out/%d", subscribers[i]);
        for (int k = 0; k < subscribers[i]; k++, made++) {
            subs[made] = shmq_socket(SHM_SUB, SPIN_DEFAULT);
            if (shm_setsockopt(subs[made], SHM_SUBSCRIBE, "", 0) != 0)
                shmq_fail("SHM_SUBSCRIBE");
            shmq_connect(subs[made], name);
        }
    }
    do {
        pair_barrier();
        listen_once(subs, heard, fanout);
        pair_barrier();
    } while (atomic_load(&fanout->listening) < SUBSCRIBERS);

    pair_barrier(); /* the subscribers sleep here while the publisher measures */
    for (int i = 0; i < SUBSCRIBERS; i++)
        shm_close(subs[i]);
}

static void body(int side, void *arg)
{
    if (side == 0)
        run_publisher(arg);
    else
        run_subscribers(arg);
}

static double cost_ns(const struct fanout *fanout, int turn, int count)
{
    return clock_to_ns((double)fanout->ticks[turn * COUNTS + count]) / SENDS;
}

static void print(const struct fanout *fanout, int count)
{
    double costs[fanout->turns], ones[fanout->turns], ratios[fanout->turns];
    char key[32], stat[16];

    for (int t = 0; t < fanout->turns; t++) {
        costs[t] = cost_ns(fanout, t, count);
        ones[t] = cost_ns(fanout, t, 0);
        ratios[t] = costs[t] / ones[t];
    }
    snprintf(key, sizeof key, "fanout_%d", subscribers[count]);
    snprintf(stat, sizeof stat, "to %d", subscribers[count]);
    table_figure(&(struct figure){
        .key = key,
        .what = count == 0 ? "PUB: one send of 64 B" : NULL,
        .stat = stat,
        .unit = UNIT_NS,
        .ours = hist_median(costs, (size_t)fanout->turns),
        .against = count == 0 ? NULL : "one subscriber",
        .base = hist_median(ones, (size_t)fanout->turns),
        .ratio = count == 0 ? 0 : hist_median(ratios, (size_t)fanout->turns),
        .goal = count == 0 ? GOAL_NONE : GOAL_RATIO_AT_MOST,
        .bound = 1.2,
    });
}

int fanout_row(struct bench *bench, const struct row *row)
{
    int turns = bench_blocks(bench, 100, 20), result;
    size_t size = sizeof(struct fanout) + sizeof(uint64_t) * COUNTS * (size_t)turns;
    struct fanout *fanout = pair_map(size);

    if (!fanout)
        return bench_failed(bench, "mmap: %s", strerror(errno));
    fanout->turns = turns;
    result = pair_run(bench, 2, body, fanout);
    for (int i = 0; i < COUNTS && result == 0; i++)
        print(fanout, i);
    pair_unmap(fanout, size);
    return result;
}
