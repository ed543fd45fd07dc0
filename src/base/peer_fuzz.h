/* SPDX-License-Identifier: MIT */
/*
 * base/peer.h's twin in builds with SHMQ_FUZZ: every read of a peer's word returns what tests/fuzz/liar.c
 * makes of the fuzzer's bytes, or, if the input says so, the truth. Never part of the library proper.
 */
#ifndef SHMQ_BASE_PEER_FUZZ_H
#define SHMQ_BASE_PEER_FUZZ_H

#include "base/atomic.h"

/* What a peer says of the word at P, in which TRUTH stands. */
uint64_t liar_u64(const volatile void *p, uint64_t truth);
uint32_t liar_u32(const volatile void *p, uint32_t truth);
/* Has the peer just made the word what it was hoped to be? */
bool liar_agrees(const volatile void *p, bool truth);
void liar_copy(void *local, const void *shared, size_t size);

#define LIAR_LOAD(name, type, word, say)                                                \
    static inline type name(const word *p)                                              \
    {                                                                                   \
        return say(p, atomic_load_explicit((word *)(uintptr_t)p, memory_order_seq_cst)); \
    }
LIAR_LOAD(peer_u64, uint64_t, shared_u64, liar_u64)
LIAR_LOAD(peer_u64_acquire, uint64_t, shared_u64, liar_u64)
LIAR_LOAD(peer_u64_seq_cst, uint64_t, shared_u64, liar_u64)
LIAR_LOAD(peer_u32, uint32_t, shared_u32, liar_u32)
LIAR_LOAD(peer_u32_acquire, uint32_t, shared_u32, liar_u32)
LIAR_LOAD(peer_u32_seq_cst, uint32_t, shared_u32, liar_u32)

static inline uint64_t peer_u64_once(const uint64_t *p)
{
    return liar_u64(p, __atomic_load_n(p, __ATOMIC_RELAXED));
}

static inline uint32_t peer_u32_once(const uint32_t *p)
{
    return liar_u32(p, __atomic_load_n(p, __ATOMIC_RELAXED));
}

static inline uint32_t peer_u32_exchange(shared_u32 *p, uint32_t value)
{
    return liar_u32(p, atomic_exchange_explicit(p, value, memory_order_seq_cst));
}

static inline bool peer_u64_replace(shared_u64 *p, uint64_t seen, uint64_t value)
{
    bool agrees = liar_agrees(p, atomic_load_explicit(p, memory_order_seq_cst) == seen);
    if (agrees)
        atomic_store_explicit(p, value, memory_order_seq_cst);
    return agrees;
}

static inline void peer_words(void *local, const shared_u64 *shared, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        uint64_t word = peer_u64(&shared[i]);
        __builtin_memcpy((char *)local + 8 * i, &word, 8);
    }
}

static inline void peer_copy(void *local, const void *shared, size_t size)
{
    liar_copy(local, shared, size);
}

#endif
