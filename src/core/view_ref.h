/* SPDX-License-Identifier: MIT */
/*
 * View references protect the bytes of a view until it is closed. The parts of one message share one reference. The
 * socket's thread takes references; any thread releases them.
 */
#ifndef SHMQ_CORE_VIEW_REF_H
#define SHMQ_CORE_VIEW_REF_H

#include "core/peer.h"
#include "core/socket.h"

/* A (further) reference to the message in hand, for a part of SIZE bytes. NULL: none is free, or too much is viewed. */
struct view_ref *view_ref_message(struct shm_socket *s, uint64_t size);
/* A reference to a block in an SPSC ring, taken before the tail passes it. NULL: none is free. */
struct view_ref *view_ref_block(struct pipe *pipe, uint64_t offset);
void view_ref_release(struct view_ref *ref);
/* False in a forked child: the view is its parent's. */
static inline bool view_ref_is_mine(const struct view_ref *ref)
{
    return process_is_mine(ref->peer->socket->mark);
}

#endif
