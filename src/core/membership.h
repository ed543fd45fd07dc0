/* SPDX-License-Identifier: MIT */
/* Who is at a name: a socket's memberships of endpoints, bound or connected. */
#ifndef SHMQ_CORE_MEMBERSHIP_H
#define SHMQ_CORE_MEMBERSHIP_H

#include "core/socket.h"

/* Bind or connect; to the same name again: -EADDRINUSE, or nothing. */
int membership_join(struct shm_socket *s, const char *name, bool bind);
/* At a place of its own, where nobody comes but the one with this id ("": anybody). */
int membership_join_at(struct shm_socket *s, const char *name, bool bind, const char *only);
int membership_leave(struct shm_socket *s, const char *name, bool bound); /* -ENOENT */
bool membership_leave_all(struct shm_socket *s); /* true: a peer has still to map what it was sent */

/* Look at who is there; cheap when nothing has changed. */
void membership_sync(struct shm_socket *s);
static inline void membership_look(struct shm_socket *s)
{
    if (unlikely(peer_u32(&s->bell.page->changed) != 0))
        membership_sync(s);
}
/* Ask the kernel who still lives. */
void membership_check(struct shm_socket *s);

/* ---- between membership*.c ---- */

/* Has it a peer, or a place where one may come? */
bool membership_has_partner(const struct shm_socket *s);
/*
 * The peer went. It may have begun, and sent, since we last looked: without memory or descriptors to see that, and to
 * go on reading it, the pipe stays as it is until there are some.
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
