/* SPDX-License-Identifier: MIT */
/* The library under test as lanes of a duel. */
#ifndef SHMQ_BENCH_SHMQ_LANE_H
#define SHMQ_BENCH_SHMQ_LANE_H

#include <shmq.h>

#include "duel.h"

enum shmq_kind {
    SHMQ_PAIR,     /* one socket on each side */
    SHMQ_PUBSUB,   /* bounce: PUB and SUB on each side; stream: one to one, lossless */
    SHMQ_PUSHPULL, /* the same */
    SHMQ_REQREP,   /* side 0 sends the requests */
    SHMQ_KINDS,
};

/* SHM_SPIN_NS */
#define SPIN_FOR_EVER (-1)
#define SPIN_NEVER    0
#define SPIN_DEFAULT  (-2)

/* shm_send() and shm_recv() of SIZE bytes, back and forth. */
struct lane shmq_bounce_lane(enum shmq_kind kind, size_t size, int64_t spin_ns, size_t rounds);
/* One way, message by message. DEPTH: the high-water mark, 0: the default. */
struct lane shmq_stream_lane(enum shmq_kind kind, size_t size, int depth, size_t rounds);
/* PAIR; the sender fills the first word of a loan, and the receiver reads it in a view. */
struct lane shmq_loan_lane(size_t size, size_t rounds);

/* What open() leaves in lane->state: the sockets of this side. */
struct link {
    shm_socket_t *tx, *rx; /* may be the same; NULL: this side only receives, or only sends */
    unsigned char *out, *in;
    shm_msg_t msg;
};

/* In a body: make a socket, or set an option; on failure end the process. */
shm_socket_t *shmq_socket(int type, int64_t spin_ns);
void shmq_set_int(shm_socket_t *socket, int option, int value);
void shmq_bind(shm_socket_t *socket, const char *endpoint);
void shmq_connect(shm_socket_t *socket, const char *endpoint);
_Noreturn void shmq_fail(const char *call);

#endif
