/* SPDX-License-Identifier: MIT */
/*
 * Sending. A message is begun on a ring, parts are added, and the last part publishes it whole; tx_single() sends a
 * message of one part. None of these waits.
 */
#ifndef SHMQ_CORE_TX_H
#define SHMQ_CORE_TX_H

#include "core/peer.h"
#include "core/socket.h"

#define RING_LARGE 64 /* from this high-water mark on, a blocked sender waits for more than one free slot */

/* ---- room and turns (tx_room.c) ---- */

bool pipe_is_open(const struct pipe *pipe); /* messages may be sent through it */
/* Is there room for one more message? Reads the reader's tail only if the last known one leaves none. */
bool pipe_has_room(struct pipe *pipe);
void pipe_look_at_tail(struct pipe *pipe);
bool ring_has_room(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe); /* NULL: the shared ring */
void tx_read_tails(struct shm_socket *s, struct ring_out *ring); /* update `acked` from the slowest reader's tail */
/* Update `acked` from the reader's tail. False: the tail is ahead of the head. Only pipe_has_room() treats that as a
 * fault, since the other callers are in the middle of work on the ring. */
static inline bool tx_read_tail(struct pipe *pipe, struct ring_out *ring)
{
    uint64_t tail;
    if ((!pipe_has_met(pipe) && pipe->state != PIPE_LEAVING) || !pipe_peer_tail(pipe, &tail))
        return true;
    if (tail > ring->head)
        return false;
    if (tail > ring->acked)
        ring->acked = tail;
    return true;
}
/* The next pipe in turn that has room for a message, or NULL. */
struct pipe *tx_choose(struct shm_socket *s);
/* Would tx_choose() find one? Uses up no turn. */
bool tx_can_choose(struct shm_socket *s);

/* A send woke its peer: rates may be low, so the next one asks the clock. */
static inline void tx_woke(struct shm_socket *s)
{
    stat_add(s, STAT_WAKES, 1);
    s->tx.look.left = 1;
}
/* A reader of the shared ring sleeps: wake all subscribers, or the next puller in turn. */
void tx_wake_readers(struct shm_socket *s);
/* After publishing: wake the readers that sleep. */
void tx_wake(struct shm_socket *s, struct pipe *pipe);

/* ---- memory (tx_memory.c) ---- */

/* A block of SIZE bytes. NULL: EMSGSIZE (can never be had), EAGAIN (not now), ENOSPC, ENOMEM. */
struct block *tx_block(struct shm_socket *s, uint64_t size);
/* Tell the readers of a broadcast ring how much their views may keep: when they come or go, or the limit changes. */
void tx_share_memory(struct shm_socket *s);

/* ---- messages (tx.c) ---- */

/* A message of one part, without an envelope. PIPE NULL: to all readers of the shared ring. */
int tx_single(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, const struct part *part, uint32_t tag);

/* Begin a message on RING to PIPE (NULL: all readers of the shared ring), add parts, end it. */
void tx_begin(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, uint32_t tag);
int tx_add(struct shm_socket *s, const void *data, size_t size, struct block *block);
int tx_add_raw(struct shm_socket *s, const void *packed, size_t size); /* parts packed already */
int tx_end(struct shm_socket *s);
void tx_cancel(struct shm_socket *s);
/* Add a further part, perhaps the last. After an error the part was not taken. */
int tx_continue(struct shm_socket *s, const struct part *part);
/* Discard this part and the rest of its message. */
int tx_discard(struct shm_socket *s, const struct part *part);
/* The peer has gone: discard a message begun for PIPE, and the rest of it. */
void tx_abandon(struct pipe *pipe);
/* Send a part, first or further, for a kind without an envelope. */
int tx_part(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, const struct part *part, uint32_t tag);

#endif
