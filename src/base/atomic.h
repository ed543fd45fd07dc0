/* SPDX-License-Identifier: MIT */
/*
 * Accessors for words in shared memory, and the few machine-dependent instructions.
 *
 * Nobody touches shared memory but through these: every load is one load, into a local, which is
 * then checked and used (law 3: anyone may lie). What a peer may write is read by the functions of
 * base/peer.h. Orders are on the operations.
 */
#ifndef SHMQ_BASE_ATOMIC_H
#define SHMQ_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) && !defined(SHMQ_CHECKER) /* a model checker runs no instructions: models/ */
#include <x86intrin.h>
#endif

typedef _Atomic uint64_t shared_u64;
typedef _Atomic uint32_t shared_u32;

_Static_assert(sizeof(shared_u64) == 8 && sizeof(shared_u32) == 4, "atomics are plain words");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "lock-free, or no crash safety");

#define CACHE_LINE 64
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define load_relaxed(p)        atomic_load_explicit((p), memory_order_relaxed)
#define load_acquire(p)        atomic_load_explicit((p), memory_order_acquire)
#define store_relaxed(p, v)    atomic_store_explicit((p), (v), memory_order_relaxed)
#define store_release(p, v)    atomic_store_explicit((p), (v), memory_order_release)
#define store_seq_cst(p, v)    atomic_store_explicit((p), (v), memory_order_seq_cst)
#define fence_seq_cst()        atomic_thread_fence(memory_order_seq_cst)
#define fence_acquire()        atomic_thread_fence(memory_order_acquire)
#define fence_release()        atomic_thread_fence(memory_order_release)

/* Counters with one writer: no locked instruction. */
static inline void count_add(shared_u64 *word, uint64_t n)
{
    store_relaxed(word, load_relaxed(word) + n);
}

/* A hint to the processor inside a polling loop. */
static inline void cpu_pause(void)
{
#if defined(SHMQ_CHECKER)
#elif defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#endif
}

/* Fetch a line for writing ahead of time. A hint; every x86-64 takes it as that at least. */
static inline void cpu_prefetch_write(const volatile void *line)
{
#if defined(SHMQ_CHECKER)
#elif defined(__x86_64__)
    __asm__ volatile("prefetchw %0" ::"m"(*(const volatile char *)line));
#else
    __builtin_prefetch((const void *)line, 1);
#endif
}

/* A cheap, monotonic, machine-wide tick; only differences and clock_ticks_per_us() give it meaning. */
static inline uint64_t cpu_ticks(void)
{
#if defined(SHMQ_CHECKER)
    return 0;
#elif defined(__x86_64__)
    return __rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
#error "shmq supports x86-64 and AArch64"
#endif
}

/*
 * Into shared memory, where a reader may be just now (broadcast tails): whole words, relaxed, so that the
 * race is defined; the reader validates the sequence afterwards (peer_words). SHARED is 8-byte aligned.
 */
static inline void copy_words_in(shared_u64 *shared, const void *local, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        uint64_t word;
        __builtin_memcpy(&word, (const char *)local + 8 * i, 8);
        store_relaxed(&shared[i], word);
    }
}

#ifdef SHMQ_FUZZ
#include "base/peer_fuzz.h"
#else
#include "base/peer.h"
#endif

#endif
