/* SPDX-License-Identifier: MIT */
/* A socket's memberships of endpoints, bound or connected: who is at a name. */
#ifndef SHMQ_CORE_MEMBERSHIP_H
#define SHMQ_CORE_MEMBERSHIP_H

#include "core/socket.h"

/* Bind or connect. A second bind to the same name: -EADDRINUSE; a second connect does nothing. */
int membership_join(struct shm_socket *s, const char *name, bool bind);
/* The same, but only the peer with the id ONLY is accepted there ("": any peer). */
int membership_join_at(struct shm_socket *s, const char *name, bool bind, const char *only);
int membership_leave(struct shm_socket *s, const char *name, bool bound); /* -ENOENT */
bool membership_leave_all(struct shm_socket *s); /* true: a peer has yet to map what it was sent */

/* Bring pipes up to date with the endpoints; membership_look() is cheap when nothing has changed. */
void membership_sync(struct shm_socket *s);
static inline void membership_look(struct shm_socket *s)
{
    if (unlikely(peer_u32(&s->bell.page->changed) != 0))
        membership_sync(s);
}
/* Ask the kernel which peers still live. */
void membership_check(struct shm_socket *s);

/* ---- between membership*.c ---- */

/* Is there a pipe that is not ending, with or without a peer yet? */
bool membership_has_partner(const struct shm_socket *s);
/*
 * The peer went: may its pipe act on that now? The peer may have opened its ring and sent since our last look. While we
 * lack the memory or descriptors to map that and to make a drain, the pipe stays as it is.
 */
bool membership_can_go(struct pipe *pipe);
/* This endpoint no longer names segment ID: remove it unless it is ours. */
void membership_forget_binder(struct shm_socket *s, const char *file, const uint8_t *id);

void membership_sync_bound(struct shm_socket *s, struct membership *membership);
int membership_join_bound(struct shm_socket *s, struct membership *membership, const char *name);
void membership_leave_bound(struct shm_socket *s, struct membership *membership);
void membership_sync_connected(struct shm_socket *s, struct membership *membership);
int membership_join_connected(struct shm_socket *s, struct membership *membership, const char *name);
void membership_leave_connected(struct shm_socket *s, struct membership *membership);

#endif
