/* SPDX-License-Identifier: MIT */
/*
 * Sending: messages through pipes. A message is begun on a ring, its parts are added, and it is published whole by its
 * last part; one of a single part goes by tx_single(). None of these waits.
 */
#ifndef SHMQ_CORE_TX_H
#define SHMQ_CORE_TX_H

#include "core/peer.h"
#include "core/socket.h"

#define RING_LARGE 64 /* from this mark on a blocked sender waits for more than one place */

/* ---- room and turns (tx_room.c) ---- */

bool pipe_is_open(const struct pipe *pipe); /* takes part in sending */
/* Room for one more message? Looks at the reader's tail if need be. */
bool pipe_has_room(struct pipe *pipe);
void pipe_look_at_tail(struct pipe *pipe);
bool ring_has_room(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe); /* NULL: the shared ring */
void tx_read_tails(struct shm_socket *s, struct ring_out *ring); /* how far has the slowest of all readers come? */
/* How far has its reader come? False: it says that it read what was not sent, which is a fault only for pipe_has_room(): other callers are in the middle of something with the ring. */
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
/* The next pipe in turn that takes a message, or NULL. */
struct pipe *tx_choose(struct shm_socket *s);
/* Would there be one? It keeps its turn. */
bool tx_can_choose(struct shm_socket *s);

/* Somebody who reads the shared ring sleeps: wake all subscribers, or one puller, in turn. */
void tx_wake_readers(struct shm_socket *s);
/* After a publication: wake whom it is for, if he sleeps. */
void tx_wake(struct shm_socket *s, struct pipe *pipe);

/* ---- memory (tx_memory.c) ---- */

/* A block of SIZE bytes. NULL: EMSGSIZE never, EAGAIN not now, ENOSPC, ENOMEM. */
struct block *tx_block(struct shm_socket *s, uint64_t size);

/* ---- messages (tx.c) ---- */

/* A message of one part, without an envelope. PIPE NULL: to all readers of the shared ring. */
int tx_single(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, const struct part *part, uint32_t tag);

/* Begin a message on RING to PIPE (NULL: all readers of the shared ring), add parts, end it. */
void tx_begin(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, uint32_t tag);
int tx_add(struct shm_socket *s, const void *data, size_t size, struct block *block);
int tx_add_raw(struct shm_socket *s, const void *packed, size_t size); /* parts packed already */
int tx_end(struct shm_socket *s);
void tx_cancel(struct shm_socket *s);
/* A part of a message that was begun, the last one maybe; after an error it was not taken. */
int tx_continue(struct shm_socket *s, const struct part *part);
/* Swallow this part and those that follow it. */
int tx_discard(struct shm_socket *s, const struct part *part);
/* The peer has gone: swallow the rest of a message that was begun for PIPE. */
void tx_abandon(struct pipe *pipe);
/* A part with or without more to follow, for a kind without an envelope. */
int tx_part(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, const struct part *part, uint32_t tag);

#endif
