/* SPDX-License-Identifier: MIT */
/*
 * View references: what keeps the bytes of a view as they are until it is closed. One is shared by the parts of one
 * message; the socket's thread takes them, any thread releases them.
 */
#ifndef SHMQ_CORE_VIEW_REF_H
#define SHMQ_CORE_VIEW_REF_H

#include "core/peer.h"
#include "core/socket.h"

/* A further reference to what keeps the message in hand. NULL: all are taken. */
struct view_ref *view_ref_message(struct shm_socket *s);
/* To a block that the only reader of a ring has not yet gone past. NULL: all are taken. */
struct view_ref *view_ref_block(struct pipe *pipe, uint64_t offset);
void view_ref_release(struct view_ref *ref);
/* In a child: the view is its parent's. */
static inline bool view_ref_is_mine(const struct view_ref *ref)
{
    return process_is_mine(ref->peer->socket->mark);
}

#endif
