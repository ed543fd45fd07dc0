/* SPDX-License-Identifier: MIT */
/* Lag: how many messages of a ring its readers have not taken yet. */
#ifndef SHMQ_TOOL_LAG_H
#define SHMQ_TOOL_LAG_H

#include "look.h"

struct lag {
    bool is_known; /* there is a ring */
    uint32_t kind; /* RING_BROADCAST ... */
    uint64_t unread;
    uint64_t in_hand; /* SPMC: taken, but not done yet */
    uint64_t slots;
};

/* The lag of the ring at OFFSET in SENDER. Only an SPMC ring has one by itself; of others only the kind and
 * the slots are filled in. */
struct lag lag_of_ring(const struct socket_look *sender, struct store *store, uint64_t offset);

/* The lag of a pipe, by its sender's record and its reader's (NULL: no reader yet). */
struct lag lag_of_pipe(const struct socket_look *sender, struct store *store, struct pipe_record *sender_record,
                       struct pipe_record *reader_record);

#endif
