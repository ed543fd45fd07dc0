/* SPDX-License-Identifier: MIT */
/* A socket as a waitable, and how callers that never wait notice changes and deaths of peers. */
#ifndef SHMQ_CORE_SOCKET_WAIT_H
#define SHMQ_CORE_SOCKET_WAIT_H

#include "core/socket.h"

extern const struct waitable_ops socket_waitable;

short socket_events(struct shm_socket *s, short wanted);
/* 0: something may have changed; -EAGAIN at the deadline, -EINTR, -ETERM. */
int socket_wait(struct shm_socket *s, short events, uint64_t deadline_ns);

/* A non-blocking call found nothing: the only place where a busy poller notices a death. */
void socket_empty_poll(struct shm_socket *s);
/* Called when their look is due, for callers that never wait because there always is room, or a message. */
void socket_sent_many(struct shm_socket *s);
void socket_received_many(struct shm_socket *s);

/*
 * SHM_FD: make the descriptor unreadable until there is a message, a change of peers to look at or, once after a
 * refused send, room. Events are no reason: they come about in the caller's own calls, and may stay unread for ever.
 */
void socket_fd_rearm(struct shm_socket *s);

#endif
