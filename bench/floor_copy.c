/* SPDX-License-Identifier: MIT */
#include "floor.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "pair.h"

/* Followed by DEPTH buffers, each page-aligned like an arena's large chunks. */
struct exchange {
    _Alignas(128) _Atomic uint64_t filled;
    _Alignas(128) _Atomic uint64_t emptied;
};

struct buffers {
    unsigned char *own;   /* side 0 copies from it, side 1 into it */
    unsigned char *other; /* FLOOR_COPY_ALONE: into this */
    uint64_t done;
};

static size_t page_up(size_t size)
{
    return (size + 4095) & ~(size_t)4095;
}

static void open_buffers(struct lane *lane, int side)
{
    struct buffers *buffers = pair_new(sizeof *buffers);

    buffers->own = pair_buffer(lane->size);
    if (lane->kind == FLOOR_COPY_ALONE)
        buffers->other = pair_buffer(lane->size);
    lane->state = buffers;
}

static void close_buffers(struct lane *lane, int side)
{
    struct buffers *buffers = lane->state;

    free(buffers->own);
    free(buffers->other);
    free(buffers);
}

static void run_alone(struct lane *lane, int side, size_t rounds, uint32_t *ticks)
{
    struct buffers *buffers = lane->state;

    for (size_t i = 0; i < rounds && side == 0; i++) {
        memcpy(buffers->other, buffers->own, lane->size);
        __asm__ volatile("" ::: "memory"); /* so that no copy is optimized away */
    }
}

static void run_hand_over(struct lane *lane, int side, size_t rounds, uint32_t *ticks)
{
    struct buffers *buffers = lane->state;
    struct exchange *exchange = lane->shared;
    unsigned char *first = (unsigned char *)lane->shared + 4096;
    uint64_t depth = (uint64_t)lane->depth;

    for (size_t i = 0; i < rounds; i++) {
        unsigned char *buffer = first + (buffers->done % depth) * page_up(lane->size);

        if (side == 0) {
            while (buffers->done - atomic_load_explicit(&exchange->emptied, memory_order_acquire) >= depth)
                ;
            memcpy(buffer, buffers->own, lane->size);
            atomic_store_explicit(&exchange->filled, ++buffers->done, memory_order_release);
        } else {
            while (atomic_load_explicit(&exchange->filled, memory_order_acquire) <= buffers->done)
                ;
            memcpy(buffers->own, buffer, lane->size);
            atomic_store_explicit(&exchange->emptied, ++buffers->done, memory_order_release);
        }
    }
}

struct lane floor_copy_lane(enum floor_copy kind, size_t size, int depth, size_t rounds)
{
    bool alone = kind == FLOOR_COPY_ALONE;

    return (struct lane){
        .name = alone ? "memcpy" : "hand-over memcpy",
        .way = LANE_STREAM,
        .kind = (int)kind,
        .size = size,
        .depth = depth,
        .rounds = rounds,
        .warm_up = rounds / 4 + 1,
        .shared_size = 4096 + (size_t)depth * page_up(size),
        .open = open_buffers,
        .close = close_buffers,
        .run = alone ? run_alone : run_hand_over,
    };
}
