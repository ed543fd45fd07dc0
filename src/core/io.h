/* SPDX-License-Identifier: MIT */
/* Between io.c and message.c. */
#ifndef SHMQ_CORE_IO_H
#define SHMQ_CORE_IO_H

#include <limits.h>

#include "core/socket.h"

/* Send one part; wait as the flags and options have it. As shm_send(). */
ssize_t io_send(struct shm_socket *s, const struct part *part, int flags);

/* The next part, valid until io_received(). 0, or -1 with errno. */
int io_receive(struct shm_socket *s, struct part *part, int flags);
void io_received(struct shm_socket *s, const struct part *part);

#endif
