/* SPDX-License-Identifier: MIT */
/* For the examples: exit with a message if a call fails. A real program would handle its errors. */
#ifndef EXAMPLES_MUST_H
#define EXAMPLES_MUST_H

#include <shmq.h>
#include <stdio.h>
#include <stdlib.h>

/* The value of CALL, which must not be negative. */
#define must(call) must_not_fail((long)(call), #call)

static inline long must_not_fail(long result, const char *call)
{
    if (result >= 0)
        return result;
    fprintf(stderr, "%s: %s\n", call, shm_strerror(errno));
    exit(1);
}

static inline shm_socket_t *must_open(int type)
{
    shm_socket_t *socket = shm_socket(type);

    must(socket ? 0 : -1);
    return socket;
}

static inline void must_set(shm_socket_t *socket, int option, int value)
{
    must(shm_setsockopt(socket, option, &value, sizeof value));
}

#endif
