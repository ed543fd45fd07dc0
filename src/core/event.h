/* SPDX-License-Identifier: MIT */
/* Events: what happened to a socket's peers, kept in a small private ring for shm_event_recv(). */
#ifndef SHMQ_CORE_EVENT_H
#define SHMQ_CORE_EVENT_H

#include "core/socket.h"

/* PIPE (or NULL) gives the peer, and the endpoint unless NAME does. */
void event_push(struct shm_socket *s, int event, const struct pipe *pipe, const char *name, uint64_t value);

/* Take the oldest event, or SHM_EVENT_MISSED if some were overwritten. False: there is none. */
bool event_take(struct shm_socket *s, shm_event_t *event);

static inline bool event_is_there(const struct shm_socket *s)
{
    return s->events.count > 0 || s->events.missed > 0;
}

#endif
