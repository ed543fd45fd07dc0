/* SPDX-License-Identifier: MIT */
/*
 * As much of the kernel as the models need: byte locks that end with their holder, and futexes. The
 * kernel's own locks order: a futex is looked at, and its has_waiters are queued and woken, under one.
 */
#ifndef SHMQ_MODELS_KERNEL_H
#define SHMQ_MODELS_KERNEL_H

#include "world.h"

int store_file_open(struct store *store, const char *name, int access)
{
    (void)store, (void)name, (void)access;
    return 3;
}

void os_close(int fd)
{
    (void)fd;
}

/* The life lock of claim owner N is that of process N. */
int os_is_locked(int fd, uint64_t byte, uint64_t count)
{
    (void)fd, (void)count;
    return !model_is_dead((int)byte - CLAIMS_BYTE_OWNER);
}

static pthread_mutex_t bucket = PTHREAD_MUTEX_INITIALIZER;
static bool queued[PROCESSES]; /* asleep */
static bool together;          /* who sleeps is one, on several words */

static int sleeper_of(shared_u32 *word)
{
    for (int p = 0; p < PROCESSES; p++)
        if (word == &bells[p].waiting)
            return p;
    return -1;
}

/* Who sleeps ends here; whether he should have been woken is asked at the end. */
int os_futex_wait(shared_u32 *word, uint32_t expected, uint64_t timeout_ns)
{
    (void)timeout_ns;
    pthread_mutex_lock(&bucket);
    if (__c11_atomic_load(word, __ATOMIC_RELAXED) != expected) {
        pthread_mutex_unlock(&bucket);
        return -EAGAIN;
    }
    queued[sleeper_of(word)] = true;
    pthread_mutex_unlock(&bucket);
    pthread_exit(NULL);
    return 0;
}

int os_futex_wait_many(shared_u32 **words, uint32_t expected, int count, uint64_t timeout_ns)
{
    bool changed = false;
    (void)timeout_ns;
    pthread_mutex_lock(&bucket);
    for (int i = 0; i < count; i++)
        changed = changed || __c11_atomic_load(words[i], __ATOMIC_RELAXED) != expected;
    for (int i = 0; i < count && !changed; i++)
        queued[sleeper_of(words[i])] = together = true;
    pthread_mutex_unlock(&bucket);
    if (changed)
        return -EAGAIN;
    pthread_exit(NULL);
    return 0;
}

void os_futex_wake(shared_u32 *word)
{
    model_step(); /* a ringer may die before this call */
    pthread_mutex_lock(&bucket);
    queued[sleeper_of(word)] = false;
    for (int p = 0; p < PROCESSES && together; p++)
        queued[p] = false;
    pthread_mutex_unlock(&bucket);
}

#endif
