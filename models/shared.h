/* SPDX-License-Identifier: MIT */
/*
 * What the models share: the library's own code, made palatable to the model checker.
 *
 * A model includes the .c files of src/ as they are and runs their functions in a few threads, each of
 * which stands for a process. The checker (GenMC) tries every interleaving and every value that the
 * memory model lets a load see, so the models are tiny: rings of two slots, two or three messages.
 * Only this is not the library's:
 *
 *   memcpy, memset     word by word, for the checker knows no accesses of mixed sizes
 *   prefetches, ticks  nothing (SHMQ_CHECKER in base/atomic.h)
 *   os_...             the little kernel below: locks, futexes
 *
 * Death: a thread that called model_may_die() ends before any one of its next stores to shared
 * memory, or before none; which one is the checker's choice, so all are tried. A process killed by
 * SIGKILL leaves exactly such a prefix of its stores. Its life lock goes then, which is an order: who finds
 * the lock gone sees all that the dead one stored. The kernel keeps that (it takes one spinlock for both),
 * and it is needed: without it a survivor might adopt a claim that was done (C4).
 */
#ifndef SHMQ_MODELS_SHARED_H
#define SHMQ_MODELS_SHARED_H

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef ENOTSUP /* the checker's errno.h is short */
#define ENOTSUP 95
#endif

void __VERIFIER_assume(bool);

/* ---- copies ---- */

static inline void *model_copy(void *to, const void *from, size_t n)
{
    for (size_t i = 0; i < n / 8; i++)
        ((uint64_t *)to)[i] = ((const uint64_t *)from)[i];
    assert(n % 8 == 0);
    return to;
}

#undef snprintf
#define snprintf(...) 0 /* names mean nothing here */
#undef memcpy
#define memcpy(d, s, n)           model_copy(d, s, n)
#define __builtin_memcpy(d, s, n) model_copy(d, s, n)

/* ---- life and death ---- */

static __thread int model_steps; /* stores until death; 0: immortal */
static __thread int model_self;  /* index of this process's life lock */
static _Atomic int model_dead[8];

static inline void model_step(void)
{
    if (model_steps != 0 && --model_steps == 0) {
        __c11_atomic_store(&model_dead[model_self], 1, __ATOMIC_RELEASE);
        pthread_exit(NULL);
    }
}

#undef atomic_store_explicit
#undef atomic_exchange_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit
#define atomic_store_explicit(p, v, o)    (model_step(), __c11_atomic_store(p, v, o))
#define atomic_exchange_explicit(p, v, o) (model_step(), __c11_atomic_exchange(p, v, o))
#define atomic_fetch_add_explicit(p, v, o) (model_step(), __c11_atomic_fetch_add(p, v, o))
#define atomic_fetch_sub_explicit(p, v, o) (model_step(), __c11_atomic_fetch_sub(p, v, o))
#define atomic_compare_exchange_strong_explicit(p, e, v, o, f) \
    (model_step(), __c11_atomic_compare_exchange_strong(p, e, v, o, f))
#define atomic_compare_exchange_weak_explicit atomic_compare_exchange_strong_explicit /* fails for a reason */

/* The checker's choice of 0..LAST: a store that races with a load. One per program. */
static _Atomic int model_chosen;
static int model_last;

static void *model_choices(void *unused)
{
    (void)unused;
    for (int i = 1; i <= model_last; i++)
        __c11_atomic_store(&model_chosen, i, __ATOMIC_RELAXED);
    return NULL;
}

static inline pthread_t model_choose(int last)
{
    pthread_t thread;
    model_last = last;
    pthread_create(&thread, NULL, model_choices, NULL);
    return thread;
}

/* This thread is process SELF, which may die before each store, as often as model_choose() allows. */
static inline void model_may_die(int self)
{
    model_self = self;
    model_steps = __c11_atomic_load(&model_chosen, __ATOMIC_RELAXED);
}

static inline bool model_is_dead(int self)
{
    return __c11_atomic_load(&model_dead[self], __ATOMIC_ACQUIRE) != 0;
}

/* ---- weaker accessors, for models/mutate ---- */

#define exchange_acq_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define exchange_release(p, v) atomic_exchange_explicit((p), (v), memory_order_release)
#define exchange_relaxed(p, v) atomic_exchange_explicit((p), (v), memory_order_relaxed)
#define fence_acq_rel()        atomic_thread_fence(memory_order_acq_rel)
#define fence_none()           ((void)0)

#define model_thread(name) static void *name(void *unused __attribute__((unused)))

#endif
