/* SPDX-License-Identifier: MIT */
/* Shared by the files of the public functions, api*.c. */
#ifndef SHMQ_CORE_API_H
#define SHMQ_CORE_API_H

#include <limits.h>

#include "core/membership.h"
#include "core/socket.h"
#include "core/socket_wait.h"

/* May this process use S now? 0, or -1 with errno. */
int api_usable(struct shm_socket *s);

/* -1 with errno for a negative ERROR, else 0. */
int api_result(int error);

/* Apply the options that take effect at the first bind, connect or hand-over. */
int api_prepare(struct shm_socket *s);

/* Send one part, waiting as flags and options say. Returns like shm_send(). */
ssize_t api_send(struct shm_socket *s, const struct part *part, int flags);

/* Receive the next part, valid until api_received(). 0, or -1 with errno. */
int api_receive(struct shm_socket *s, struct part *part, int flags);
void api_received(struct shm_socket *s, const struct part *part);

static inline bool api_is_terminated(const struct shm_socket *s)
{
    return atomic_load_explicit(&s->terminated, memory_order_relaxed) != 0;
}

#endif
