/* SPDX-License-Identifier: MIT */
/*
 * Reading memory that a peer may write. Each of these is one load (or one copy) into private memory; the
 * value is then checked and used, and never loaded again. All such reads of the library go through here,
 * under names of their own, because base/peer_fuzz.h replaces them: there a peer says something else each
 * time that it is asked (tests/fuzz).
 *
 * _once: of a field that its owner writes before anybody can see it; a liar may write it later.
 */
#ifndef SHMQ_BASE_PEER_H
#define SHMQ_BASE_PEER_H

#include "base/atomic.h"

/* A peer's memory is mapped read-only; the atomic operations want no const. */
#define PEER_LOAD(name, type, word, order)                                              \
    static inline type name(const word *p)                                              \
    {                                                                                   \
        return atomic_load_explicit((word *)(uintptr_t)p, order);                       \
    }
PEER_LOAD(peer_u64, uint64_t, shared_u64, memory_order_relaxed)
PEER_LOAD(peer_u64_acquire, uint64_t, shared_u64, memory_order_acquire)
PEER_LOAD(peer_u64_seq_cst, uint64_t, shared_u64, memory_order_seq_cst)
PEER_LOAD(peer_u32, uint32_t, shared_u32, memory_order_relaxed)
PEER_LOAD(peer_u32_acquire, uint32_t, shared_u32, memory_order_acquire)
PEER_LOAD(peer_u32_seq_cst, uint32_t, shared_u32, memory_order_seq_cst)

static inline uint64_t peer_u64_once(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint32_t peer_u32_once(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint32_t peer_u32_exchange(shared_u32 *p, uint32_t value)
{
    return atomic_exchange_explicit(p, value, memory_order_relaxed);
}

/* Is it still SEEN? Then it is VALUE now. */
static inline bool peer_u64_replace(shared_u64 *p, uint64_t seen, uint64_t value)
{
    return atomic_compare_exchange_strong_explicit(p, &seen, value, memory_order_relaxed, memory_order_relaxed);
}

/* Whole words that may be written meanwhile: the caller looks at the sequence afterwards. */
static inline void peer_words(void *local, const shared_u64 *shared, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        uint64_t word = peer_u64(&shared[i]);
        __builtin_memcpy((char *)local + 8 * i, &word, 8);
    }
}

/* Bytes of which any may change meanwhile: look at the copy only. */
static inline void peer_copy(void *local, const void *shared, size_t size)
{
    __builtin_memcpy(local, shared, size);
}

#endif
