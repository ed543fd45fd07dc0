/* SPDX-License-Identifier: MIT */
/*
 * Ten million operations between two processes that can no longer call the kernel and whose allocations are
 * counted: non-blocking sends, receives and polls of an empty socket, in each pattern, with the payload in
 * the slot, in the arena, and without a copy.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "alloc_count.h"
#include "pair.h"
#include "seal.h"
#include "shmq_lane.h"
#include "table.h"

#define OPERATIONS 10000000u
#define LANES      9
#define LAST       UINT64_MAX /* instead of a number: the lane is done */
#define WARM_UP    5000       /* round trips before the filter is installed */

struct steady {
    struct lane lanes[LANES];
    bool zero_copy[LANES];
    uint64_t operations[2]; /* [side] */
    int64_t allocations[2];
};

static void send_number(struct steady *steady, int index, int side, uint64_t number)
{
    struct link *link = steady->lanes[index].state;
    size_t size = steady->lanes[index].size;
    shm_msg_t loan;

    memcpy(link->out, &number, sizeof number);
    if (steady->zero_copy[index]) {
        if (shm_msg_loan(&loan, link->tx, size) != 0)
            shmq_fail("shm_msg_loan");
        memcpy(shm_msg_data(&loan), &number, sizeof number);
    }
    for (;;) {
        ssize_t sent = steady->zero_copy[index] ? shm_msg_send(&loan, link->tx, SHM_DONTWAIT)
                                                : shm_send(link->tx, link->out, size, SHM_DONTWAIT);

        steady->operations[side]++;
        if (sent >= 0)
            return;
        if (errno != EAGAIN)
            shmq_fail("shm_send");
    }
}

static uint64_t recv_number(struct steady *steady, int index, int side)
{
    struct link *link = steady->lanes[index].state;
    size_t size = steady->lanes[index].size;
    uint64_t number;

    for (;;) {
        ssize_t taken = steady->zero_copy[index] ? shm_msg_recv(&link->msg, link->rx, SHM_DONTWAIT)
                                                 : shm_recv(link->rx, link->in, size, SHM_DONTWAIT);

        steady->operations[side]++;
        if (taken >= 0)
            break;
        if (errno != EAGAIN)
            shmq_fail("shm_recv");
    }
    if (!steady->zero_copy[index]) {
        memcpy(&number, link->in, sizeof number);
        return number;
    }
    memcpy(&number, shm_msg_data(&link->msg), sizeof number);
    shm_msg_close(&link->msg);
    return number;
}

/* Side 0 continues until it has done its OPERATIONS, or ROUNDS if that is not 0; side 1 follows. */
static void play(struct steady *steady, int index, int side, uint64_t operations, uint64_t rounds)
{
    uint64_t end = steady->operations[side] + operations;

    for (uint64_t number = 1; side == 0; number++) {
        bool last = rounds > 0 ? number == rounds : steady->operations[side] >= end;

        send_number(steady, index, side, last ? LAST : number);
        if (recv_number(steady, index, side) != (last ? LAST : number))
            pair_fail("%s: a wrong message", steady->lanes[index].name);
        if (last)
            return;
    }
    for (;;) {
        uint64_t number = recv_number(steady, index, side);

        send_number(steady, index, side, number);
        if (number == LAST)
            return;
    }
}

static void body(int side, void *arg)
{
    struct steady *steady = arg, own = *steady; /* this process's own state */

    lanes_open(own.lanes, LANES, side);
    for (int i = 0; i < LANES; i++)
        play(&own, i, side, 0, WARM_UP);
    pair_barrier();

    own.operations[side] = 0;
    seal_process();
    int64_t before = alloc_count();
    for (int i = 0; i < LANES; i++)
        play(&own, i, side, OPERATIONS / LANES + 1, 0);
    steady->allocations[side] = alloc_count() - before;
    steady->operations[side] = own.operations[side];
}

static void fill(struct steady *steady)
{
    static const struct {
        enum shmq_kind kind;
        const char *name;
    } kinds[] = {
        {SHMQ_PAIR, "PAIR"},
        {SHMQ_PUBSUB, "PUB/SUB"},
        {SHMQ_PUSHPULL, "PUSH/PULL"},
        {SHMQ_REQREP, "REQ/REP"},
    };

    for (int i = 0; i < LANES; i++) {
        bool zero_copy = i == 8;
        size_t size = zero_copy ? 65536 : i < 4 ? 64 : 4096;

        steady->lanes[i] = shmq_bounce_lane(kinds[i % 4].kind, size, SPIN_DEFAULT, 0);
        steady->lanes[i].name = kinds[i % 4].name;
        steady->zero_copy[i] = zero_copy;
    }
}

static void print(const struct steady *steady)
{
    bool counted = alloc_count() >= 0;

    table_figure(&(struct figure){
        .key = "steady_operations",
        .what = "steady state: operations done",
        .stat = "sum",
        .unit = UNIT_COUNT,
        .ours = (double)(steady->operations[0] + steady->operations[1]),
    });
    table_figure(&(struct figure){
        .key = "steady_system_calls",
        .what = "  system calls (under seccomp)",
        .stat = "sum",
        .unit = UNIT_COUNT,
        .ours = 0, /* otherwise the row would have failed */
        .goal = GOAL_AT_MOST,
        .bound = 0,
    });
    if (!counted) {
        table_words("  allocations", "not counted in this build");
        return;
    }
    table_figure(&(struct figure){
        .key = "steady_allocations",
        .what = "  allocations",
        .stat = "sum",
        .unit = UNIT_COUNT,
        .ours = (double)(steady->allocations[0] + steady->allocations[1]),
        .goal = GOAL_AT_MOST,
        .bound = 0,
    });
}

int steady_row(struct bench *bench, const struct row *row)
{
    struct steady *steady = pair_map(sizeof *steady);
    int result;

    if (!steady)
        return bench_failed(bench, "mmap: %s", strerror(errno));
    fill(steady);
    result = lanes_prepare(bench, steady->lanes, LANES);
    if (result == 0)
        result = pair_run(bench, 2, body, steady);
    if (result == 0)
        print(steady);
    lanes_release(bench, steady->lanes, LANES);
    pair_unmap(steady, sizeof *steady);
    return result;
}
