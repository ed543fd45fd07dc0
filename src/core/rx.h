/* SPDX-License-Identifier: MIT */
/*
 * Receiving. rx_begin() takes the next message of a pipe into rx.message, rx_next() reads its parts, rx_end() finishes
 * it. None of these waits.
 */
#ifndef SHMQ_CORE_RX_H
#define SHMQ_CORE_RX_H

#include "core/socket.h"

/* How many unwanted messages one call skips at most: a peer might send them faster than we skip them. */
#define PASSED_OVER_MAX RING_SLOTS_MAX

/* Begin the next message of PIPE: 1; 0: there is none; -EPROTO; other errors: out of memory or descriptors, and the
 * message stays for the next call. */
int rx_begin(struct shm_socket *s, struct pipe *pipe);
/* The same on draining pipes: what a former peer left comes before its successor's messages. */
int rx_begin_draining(struct shm_socket *s);
/* On draining pipes first, then on the next pipe in turn that has a message. */
int rx_begin_fair(struct shm_socket *s);

int rx_next(struct shm_socket *s, struct part *part); /* the next part: 1; 0 no more; errors as rx_begin() */
void rx_end(struct shm_socket *s);                    /* drop what is left of it */
void rx_leave(struct shm_socket *s); /* the pipe ends: unread, unless the caller has had a part of it */
/* Reading the message failed with ERROR. A protocol error ends it and notes the fault: -EPROTO. If memory or
 * descriptors are short, it stays unread for later: ERROR. */
int rx_fail(struct shm_socket *s, int error);

/* Have the next receives look for claims of dead readers. */
void rx_adopt(struct shm_socket *s);
/* Skip everything that was sent so far. */
void rx_skip_to_head(struct pipe *pipe);
/* What publishers that have gone left unread has a bound: the oldest ones' is given up and counts as lost, never the
 * last one's. */
void rx_bound_leavings(struct shm_socket *s);
/* Wake the sender if it waits for room. */
void rx_end_read(struct pipe *pipe);

/* Is there something to receive? Begins that message; an error is kept for the next receive. */
bool rx_is_ready(struct shm_socket *s);
/* The next part for the caller: 1; 0: there is none. */
int rx_part(struct shm_socket *s, struct part *part);

#endif
