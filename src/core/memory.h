/* SPDX-License-Identifier: MIT */
/*
 * A socket's own memory: segment, bell, arena. The handle and each peer have a reference to it, because a view of a
 * peer's memory is protected by a hazard word in ours: so it may outlive shm_close().
 */
#ifndef SHMQ_CORE_MEMORY_H
#define SHMQ_CORE_MEMORY_H

#include "core/socket.h"

/* Make it in the runtime directory or, with SHM_MEMFD, in memfds. After an error call memory_unref(). */
int memory_open(struct shm_socket *s, int flags);

/* Any thread. The last reference removes the files, unless a peer has yet to map them. */
void memory_unref(struct shm_socket *s);

/* Free private memory only: in a forked child, since the rest is its parent's. */
void memory_free(struct shm_socket *s);

/* The limit on message memory in bytes, if SHM_MEMORY_LIMIT is not set. */
static inline uint64_t memory_default_limit(const struct shm_socket *s)
{
    return s->kind->memory_limit != 0 ? s->kind->memory_limit : UINT64_MAX;
}

#endif
