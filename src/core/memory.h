/* SPDX-License-Identifier: MIT */
/*
 * A socket's own memory: segment, bell, arena. The handle has a reference to it and so has each peer, for a view of
 * that peer's memory is kept by a hazard word in ours: so it may outlive shm_close().
 */
#ifndef SHMQ_CORE_MEMORY_H
#define SHMQ_CORE_MEMORY_H

#include "core/socket.h"

/* Make it, in the runtime directory or (SHM_MEMFD) in memfds. After an error: memory_unref(). */
int memory_open(struct shm_socket *s, int flags);

/* By any thread. The last one removes the files, unless a peer was promised what is in them. */
void memory_unref(struct shm_socket *s);

/* Free what is private memory: of a child, whose parent has the rest. */
void memory_free(struct shm_socket *s);

/* Bytes for messages, without SHM_MEMORY_LIMIT. */
static inline uint64_t memory_default_limit(const struct shm_socket *s)
{
    return s->kind->memory_limit != 0 ? s->kind->memory_limit : UINT64_MAX;
}

#endif
