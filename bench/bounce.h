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

#include "clock.h"
#include "duel.h"

/* Send message NUMBER; receive a message and check that it is NUMBER. Both end the process on any error. */
typedef void lane_op(struct lane *lane, uint64_t number);

__attribute__((always_inline)) static inline void bounce_run(struct lane *lane, int side,
                                                             size_t rounds, uint32_t *ticks,
                                                             lane_op *send, lane_op *recv)
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

__attribute__((always_inline)) static inline void
stream_run(struct lane *lane, int side, size_t rounds, lane_op *send, lane_op *recv)
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

#endif
