/* SPDX-License-Identifier: MIT */
/*
 * The distance between two caches depends on the line: its home lies somewhere in the mesh, and one
 * line's round trip may take twice as long as another's. So the lines change every few rounds, as a
 * ring's slots do, and the median is that of an average line.
 */
#include "floor.h"

#include <stdatomic.h>

#include "bounce.h"

#define LINES         1024
#define ROUNDS_A_LINE 32

/* 128: each line is prefetched together with its neighbour. */
struct line {
    _Alignas(128) _Atomic uint64_t word;
};

struct lines {
    struct line there[LINES], back[LINES];
};

/* Where this process writes, and where it reads what the other one wrote. */
static struct line *mine, *theirs;

static void aim(struct lane *lane, int side)
{
    struct lines *lines = lane->shared;
    bool one = lane->kind == FLOOR_ONE_LINE;

    mine = side == 0 || one ? lines->there : lines->back;
    theirs = side != 0 || one ? lines->there : lines->back;
}

static _Atomic uint64_t *word_of(struct line *lines, uint64_t number)
{
    return &lines[number / ROUNDS_A_LINE % LINES].word;
}

static void await(uint64_t number, uint64_t value)
{
    while (atomic_load_explicit(word_of(theirs, number), memory_order_acquire) != value)
        ;
}

/* Side 0 writes even values and side 1 odd ones, so that they may share a line. */
static void send_there(struct lane *lane, uint64_t number)
{
    atomic_store_explicit(word_of(mine, number), 2 * number, memory_order_release);
}

static void recv_there(struct lane *lane, uint64_t number)
{
    await(number, 2 * number);
}

static void send_back(struct lane *lane, uint64_t number)
{
    atomic_store_explicit(word_of(mine, number), 2 * number + 1, memory_order_release);
}

static void recv_back(struct lane *lane, uint64_t number)
{
    await(number, 2 * number + 1);
}

static void run(struct lane *lane, int side, size_t rounds, uint32_t *ticks)
{
    aim(lane, side); /* other lanes of the duel use the same variables */
    if (side == 0)
        bounce_run(lane, side, rounds, ticks, send_there, recv_back);
    else
        bounce_run(lane, side, rounds, ticks, send_back, recv_there);
}

struct lane floor_line_lane(enum floor_line kind, size_t rounds)
{
    return (struct lane){
        .name = kind == FLOOR_ONE_LINE ? "one cache line" : "a line each way",
        .kind = (int)kind,
        .size = sizeof(uint64_t),
        .rounds = rounds,
        .warm_up = rounds / 10,
        .hops = 2,
        .shared_size = sizeof(struct lines),
        .open = aim,
        .run = run,
    };
}
