/* SPDX-License-Identifier: MIT */
/*
 * Other libraries for the same task, each in a file of its own that is built only if the library is
 * installed: the functions are weak, and NULL without it.
 */
#ifndef SHMQ_BENCH_PEER_H
#define SHMQ_BENCH_PEER_H

#include "duel.h"

#define PEER_WEAK __attribute__((weak, visibility("default")))

/* Fill in the peer's calls of LANE, whose way, size, rounds and other numbers are already set. */
typedef void peer_lane_t(struct lane *lane);

PEER_WEAK peer_lane_t peer_zmq_ipc;
PEER_WEAK peer_lane_t peer_zmq_tcp;
PEER_WEAK peer_lane_t peer_nng_ipc;
PEER_WEAK peer_lane_t peer_seqpacket;
PEER_WEAK peer_lane_t peer_mq;
PEER_WEAK peer_lane_t peer_iceoryx;

/* A bouncing or a streaming lane of PEER; ROUNDS per turn. */
struct lane peer_lane(peer_lane_t *peer, enum lane_way way, size_t size, size_t rounds);

#endif
