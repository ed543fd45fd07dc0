/* SPDX-License-Identifier: MIT */
#include "zmq_loop.h"

#include <errno.h>
#include <stddef.h>

const char *zmq_loop_version(void)
{
    return NULL;
}

int zmq_loop_start(struct board *board, const char *directory, unsigned deadline_s)
{
    errno = ENOTSUP;
    return -1;
}

bool zmq_loop_ready(struct board *board)
{
    return true;
}
