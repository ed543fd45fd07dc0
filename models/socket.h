/* SPDX-License-Identifier: MIT */
/* The library's core/socket.c, for models in which sockets end. */
#ifndef SHMQ_MODELS_SOCKET_H
#define SHMQ_MODELS_SOCKET_H

#include "world.h"

#define defaults socket_defaults
#include "core/socket.c"
#undef defaults

const struct pattern pattern_pair, pattern_pub, pattern_sub, pattern_xpub, pattern_xsub, pattern_req, pattern_rep,
    pattern_dealer, pattern_router, pattern_push, pattern_pull;
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
