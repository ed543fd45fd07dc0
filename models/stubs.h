/* SPDX-License-Identifier: MIT */
/* What the models do not need of the library: process marks, stores, events; and keys, of which nobody has one. */
#ifndef SHMQ_MODELS_STUBS_H
#define SHMQ_MODELS_STUBS_H

#include "sources.h"

static shared_u64 mark = 1; /* of all sockets here */
shared_u64 *process_mark_word = &mark;

uint32_t process_id(void)
{
    return 1;
}

struct store *store_ref(struct store *store)
{
    return store;
}

void store_close(struct store *store)
{
    (void)store;
}

bool store_has_names(const struct store *store)
{
    (void)store;
    return true;
}

void event_push(struct shm_socket *s, int event, const struct pipe *pipe, const char *name, uint64_t value)
{
    (void)s, (void)event, (void)pipe, (void)name, (void)value;
}

uint64_t session_resume(struct pipe *pipe, uint64_t resume)
{
    (void)pipe;
    return resume;
}

int session_check(struct pipe *pipe)
{
    (void)pipe;
    return 1;
}

int session_begin(struct pipe *pipe, uint64_t *first)
{
    (void)pipe, (void)first;
    return 1;
}

int session_meet(struct pipe *pipe, uint64_t offset)
{
    (void)pipe, (void)offset;
    return 0;
}

int session_prove(struct pipe *pipe)
{
    (void)pipe;
    return 0;
}

void session_again(struct pipe *pipe)
{
    (void)pipe;
}

void session_leave(struct pipe *pipe)
{
    (void)pipe;
}

void session_pipe_free(struct pipe *pipe)
{
    (void)pipe;
}

#endif
