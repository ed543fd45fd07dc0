/* SPDX-License-Identifier: MIT */
/* The library's core/socket.c, for models in which sockets end. */
#ifndef SHMQ_MODELS_SOCKET_H
#define SHMQ_MODELS_SOCKET_H

#include "world.h"

#define defaults socket_defaults
#include "core/socket.c"
#undef defaults

const struct kind kind_pair, kind_pub, kind_sub, kind_xpub, kind_xsub, kind_req, kind_rep,
    kind_dealer, kind_router, kind_push, kind_pull;
static shared_u64 mark = 1; /* of all sockets here */
shared_u64 *process_mark_word = &mark;

uint64_t clock_deadline_ns(int64_t ms)
{
    (void)ms;
    return CLOCK_FOREVER;
}

uint64_t clock_now_ns(void)
{
    return 0;
}

#endif
