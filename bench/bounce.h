/* SPDX-License-Identifier: MIT */
/*
 * The two loops that every lane runs, floors and peers included, so that only the transport differs.
 * They are inlined with the transport's two calls: at a floor of 60 ns, a call through a pointer would
 * show.
 *
 * Messages are numbered, and a receiver checks the number: a lane that loses, repeats or reorders them
 * fails instead of looking fast.
 */
#ifndef SHMQ_BENCH_BOUNCE_H
#define SHMQ_BENCH_BOUNCE_H

#include <string.h>

#include "clock.h"
#include "duel.h"
#include "pair.h"

/* Send message NUMBER; receive a message and check that it is NUMBER. Both end the process on any error. */
typedef void lane_op(struct lane *lane, uint64_t number);

static inline void put_number(void *message, uint64_t number)
{
    memcpy(message, &number, sizeof number);
}

static inline void check_number(const void *message, uint64_t number)
{
    uint64_t seen;

    memcpy(&seen, message, sizeof seen);
    if (__builtin_expect(seen != number, 0))
        pair_fail("message %llu came in place of %llu", (unsigned long long)seen, (unsigned long long)number);
}

__attribute__((always_inline)) static inline void bounce_run(struct lane *lane, int side, size_t rounds,
                                                             uint32_t *ticks, lane_op *send, lane_op *recv)
{
    uint64_t number = lane->number, last = clock_ticks();

    for (size_t i = 0; i < rounds; i++) {
        number++;
        if (side != 0) {
            recv(lane, number);
            send(lane, number);
            continue;
        }
        send(lane, number);
        recv(lane, number);
        if (ticks) {
            uint64_t now = clock_ticks();

            ticks[i] = now - last < UINT32_MAX ? (uint32_t)(now - last) : UINT32_MAX;
            last = now;
        }
    }
    lane->number = number;
}

__attribute__((always_inline)) static inline void stream_run(struct lane *lane, int side, size_t rounds, lane_op *send,
                                                             lane_op *recv)
{
    uint64_t number = lane->number;

    for (size_t i = 0; i < rounds; i++) {
        number++;
        if (side == 0)
            send(lane, number);
        else
            recv(lane, number);
    }
    lane->number = number;
}

/* Whichever way the lane goes. */
__attribute__((always_inline)) static inline void lane_run(struct lane *lane, int side, size_t rounds, uint32_t *ticks,
                                                           lane_op *send, lane_op *recv)
{
    if (lane->way == LANE_BOUNCE)
        bounce_run(lane, side, rounds, ticks, send, recv);
    else
        stream_run(lane, side, rounds, send, recv);
}

#endif
