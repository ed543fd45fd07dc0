/* SPDX-License-Identifier: MIT */
/*
 * Receiving: messages through pipes. rx_begin() takes the next message of a pipe into rx.message; then its parts are
 * read, and it is ended. None of these waits.
 */
#ifndef SHMQ_CORE_RX_H
#define SHMQ_CORE_RX_H

#include "core/socket.h"

/* Messages that one call passes over, at most: a peer may send them faster than we find them useless. */
#define PASSED_OVER_MAX RING_SLOTS_MAX

/* Begin the next message of PIPE: 1; 0 there is none; -EPROTO; for want of memory or descriptors another error, and it
 * comes again. */
int rx_begin(struct shm_socket *s, struct pipe *pipe);
/* That on a pipe whose peer went: what it left comes before what its successor sends. */
int rx_begin_draining(struct shm_socket *s);
/* That, or else rx_begin() on the next pipe in turn that has a message. */
int rx_begin_fair(struct shm_socket *s);

int rx_next(struct shm_socket *s, struct part *part); /* the next part: 1; 0 no more; errors as rx_begin() */
void rx_end(struct shm_socket *s);                    /* drop what is left of it */
void rx_leave(struct shm_socket *s); /* its pipe ends: it stays unread, unless the caller has had a part of it */
/* One of these went wrong with ERROR, which it returns: its bytes make no sense, so it ends, and the fault is noted;
 * or memory or descriptors are wanting, and it is as if it had not begun. */
int rx_fail(struct shm_socket *s, int error);

/* At the next receives, look for claims of the dead. */
void rx_adopt(struct shm_socket *s);
/* Broadcast: what was sent so far is not for us. */
void rx_skip_to_head(struct pipe *pipe);
/* Look after a sender that may wait for room. */
void rx_end_read(struct pipe *pipe);

/* Is there something to receive? Brings rx.message to it, and keeps an error for the next receive. */
bool rx_is_ready(struct shm_socket *s);
/* The next part for the caller: 1; 0 there is none. */
int rx_part(struct shm_socket *s, struct part *part);

#endif
