/* SPDX-License-Identifier: MIT */
/* Lag: how many messages of a ring its reader, or its readers, have not taken yet. */
#ifndef SHMQ_TOOL_LAG_H
#define SHMQ_TOOL_LAG_H

#include "look.h"

struct lag {
    bool is_known; /* there is a ring */
    uint32_t kind; /* RING_BROADCAST ... */
    uint64_t unread;
    uint64_t in_hand; /* shared: taken, and not yet done with */
    uint64_t slots;
};

/* Of the ring at OFFSET in SENDER, that all its readers share or read for themselves: shared kind only,
 * else just what the ring is. */
struct lag lag_of_ring(const struct socket_look *sender, int dir, uint64_t offset);

/* Of a pipe, from its sender's record to its reader's. READER is NULL while nobody is there. */
struct lag lag_of_pipe(const struct socket_look *sender, int dir, struct pipe_record *sender_record,
                       struct pipe_record *reader_record);

#endif
