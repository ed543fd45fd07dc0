/* SPDX-License-Identifier: MIT */
/*
 * The fast way: a short message of one part through one ring, in one function without a call, when
 * nothing is unusual. Everything else, and the first message after anything changed, goes the general
 * way (io.c), which decides by fast_plan() whether the next may be fast. Only about speed.
 */
#ifndef SHMQ_CORE_FAST_H
#define SHMQ_CORE_FAST_H

#include <string.h>

#include "core/peer.h"
#include "core/rx.h"
#include "core/socket.h"
#include "core/tx.h"

/* Slots that the sender fetches for writing ahead of time: their transfer overlaps with the work. */
#define FAST_AHEAD 8
#define FAST_NEAR_FULL 64 /* slots: the last ones are not fetched, the reader is among them */
#define FAST_STREAK 8  /* messages taken without waiting, from which on a backlog is expected */
#ifndef FAST_STREAM
#define FAST_STREAM 12 /* messages that came so quickly one after the other that more are expected */
#endif
#ifndef FAST_BRIEF
#define FAST_BRIEF  120 /* polls: about 100 ns */
#endif
#define FAST_APART_NS 400 /* 200 let a sender get not far enough ahead: half the messages a second */
#ifndef FAST_CLEAR
#define FAST_CLEAR 8 /* claim words, of a shared ring, that are looked at together: a line */
#endif
#ifndef FAST_POLLS
#define FAST_POLLS 4000 /* some microseconds, before the general way looks at clocks and deadlines */
#endif

#define FAST __attribute__((always_inline))

/* Up to SLOT_PAYLOAD bytes, 16 at a time, the last ones overlapping: no call, no loop. */
static inline FAST void copy_short(void *to, const void *from, size_t n)
{
    char *d = to;
    const char *s = from;
#define COPY16(o)                                   \
    do {                                            \
        uint64_t pair_[2];                          \
        __builtin_memcpy(pair_, s + (o), 16);       \
        __builtin_memcpy(d + (o), pair_, 16);       \
    } while (0)
    if (n >= 16) {
        COPY16(0);
        if (n > 32) {
            COPY16(16);
            if (n > 64) {
                COPY16(32);
                COPY16(48);
                if (n > 96) {
                    COPY16(64);
                    COPY16(80);
                }
            }
            COPY16(n - 32);
        }
        COPY16(n - 16);
        return;
    }
    if (n >= 8) {
        uint64_t a, b;
        __builtin_memcpy(&a, s, 8);
        __builtin_memcpy(&b, s + n - 8, 8);
        __builtin_memcpy(d, &a, 8);
        __builtin_memcpy(d + n - 8, &b, 8);
        return;
    }
    for (size_t i = 0; i < n; i++)
        d[i] = s[i];
}

/* After a call that went well: may the next be fast? */
static inline void fast_plan(struct shm_socket *s)
{
    struct pipe *only = s->pipes.count == 1 && s->pipes.list[0]->state == PIPE_UP ? s->pipes.list[0] : NULL;
    fast_forget(s);
    if (s->wait.descriptor.fd >= 0 || s->options.conflate || s->pipes.draining != 0 || s->auth != NULL)
        return;
    bool own = only != NULL && only->out == &only->own_ring;
    if (own && (s->kind->sends_plain || s->kind->fast_send != NULL))
        s->fast.out = only->out, s->fast.to = only;
    else if (s->tx.has_shared && s->pipes.count > 0 && !s->options.immediate && s->kind->sends_plain)
        s->fast.out = &s->tx.shared, s->fast.to = NULL;
    if (s->fast.out != NULL && s->fast.out->filled <= s->fast.out->mask)
        s->fast.out = NULL;
    if (only != NULL && only->has_in && only->record != NULL && only->in.end == UINT64_MAX && !only->in.newest_only &&
        (s->rx.is_plain || s->kind->fast_receive != NULL))
        s->fast.in = only;
}

/*
 * Are the next slots' messages of the last lap done with? A line of claim words at a time, and one line ahead: the
 * reader takes each back for writing just before it comes there, and finds it looked at by then. The slots themselves
 * are not looked at: a word that is DONE for the ticket of the last lap says what is in its slot. One that was skipped
 * then, for its word was still CLAIMED by a puller that is off its processor, never says that, and goes the general way.
 */
static inline bool fast_clear(struct ring_out *ring)
{
    uint64_t slots = ring->mask + 1, t = ring->cleared > ring->head ? ring->cleared : ring->head;
    uint64_t end = (ring->head | (FAST_CLEAR - 1)) + 1 + FAST_CLEAR;
    if (t < slots) {
        ring->cleared = slots;
        return true;
    }
    __builtin_prefetch(&ring->claims->words[end & ring->mask]);
    for (; t < end; t++) {
        uint64_t word = peer_u64_acquire(&ring->claims->words[t & ring->mask]); /* C3 */
        if (claim_state(word) != CLAIM_DONE || !claim_is_taken(word, t - slots))
            break;
    }
    ring->cleared = t;
    return t > ring->head;
}

/* ---- sending ---- */

/* The slot for a message of SIZE bytes, and those to come fetched ahead; NULL: the general way. */
static inline FAST struct ring_slot *fast_slot(struct shm_socket *s, struct ring_out *ring, size_t size)
{
    if (unlikely(ring == NULL || s->tx.message.active || size > SLOT_PAYLOAD ||
                 ++s->tx.count % SENDS_PER_LOOK == 0 || peer_u32(&s->bell.page->changed) != 0))
        return NULL;
    uint64_t head = ring->head;
    if (unlikely(ring->in_flight != NULL) && ring->in_flight[head & ring->mask] != NULL)
        return NULL; /* a block of the last lap, for the general way to retire */
    bool bounded = ring->kind != RING_BROADCAST || s->options.lossless;
    if (bounded && unlikely(head - ring->acked >= ring->limit))
        return NULL;
    if (ring->kind == RING_SPMC && unlikely(head + FAST_CLEAR >= ring->cleared) && !fast_clear(ring))
        return NULL;
    if (!bounded || head - ring->acked + FAST_NEAR_FULL < ring->limit) {
        const char *later = (const char *)&ring->slots[(head + FAST_AHEAD) & ring->mask];
        cpu_prefetch_write(later);
        if (size > 48)
            cpu_prefetch_write(later + CACHE_LINE);
    }
    return &ring->slots[head & ring->mask];
}

/* Publish what was written there; SIZE: the caller's bytes. */
static inline FAST void fast_publish(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe, size_t size)
{
    uint64_t head = ring->head;
    /* R1: a store with the payload's, then the fence of S1: an exchange would wait for the line twice. */
    store_release(&ring->slots[head & ring->mask].seq, seq_ready(head));
    fence_seq_cst();
    ring->head = head + 1;
    store_relaxed(&ring->header->head, head + 1);
    if (pipe != NULL) {
        if (unlikely(bell_ring(&pipe->peer->bell)))
            stat_add(s, STAT_WAKES, 1);
    } else if (unlikely(peer_u32(&s->bell.page->has_waiters) != 0)) /* behind the fence */
        tx_wake_readers(s);
    s->tx.refused = false;
    stat_add(s, STAT_SENT, 1);
    stat_add(s, STAT_BYTES_SENT, size);
}

static inline FAST void fast_write(struct ring_out *ring, struct ring_slot *slot, const void *bytes, size_t length, uint64_t flags)
{
    if (ring->kind == RING_BROADCAST) {
        uint64_t staged[SLOT_WORDS];
        copy_short(staged, bytes, length);
        store_relaxed(&slot->seq, seq_absent(ring->head)); /* R5 */
        fence_release();
        store_relaxed(&slot->meta, meta_make(length, flags, 0));
        copy_words_in(slot->payload, staged, (length + 7) / 8);
    } else {
        store_relaxed(&slot->meta, meta_make(length, flags, 0));
        copy_short((void *)(uintptr_t)slot->payload, bytes, length);
    }
}

static inline FAST bool fast_send(struct shm_socket *s, const void *data, size_t size)
{
    struct ring_out *ring = s->fast.out;
    struct ring_slot *slot = fast_slot(s, ring, size);
    if (unlikely(slot == NULL))
        return false;
    fast_write(ring, slot, data, size, 0);
    fast_publish(s, ring, s->fast.to, size);
    return true;
}

/* A message that lies in BLOCK already. */
static inline bool fast_send_block(struct shm_socket *s, struct block *block, size_t size)
{
    struct ring_out *ring = s->fast.out;
    uint64_t reference[2] = {block->offset, size};
    struct ring_slot *slot = s->kind->fast_send == NULL ? fast_slot(s, ring, sizeof reference) : NULL;
    if (slot == NULL || ring->in_flight == NULL)
        return false;
    fast_write(ring, slot, reference, sizeof reference, META_BLOCK);
    ring->in_flight[ring->head & ring->mask] = block;
    fast_publish(s, ring, s->fast.to, size);
    return true;
}

/* ---- receiving ---- */

/* The slot of the only peer's next message, once it is there; NULL: the general way. */
static inline FAST const struct ring_slot *fast_await(struct shm_socket *s, int flags)
{
    struct pipe *pipe = s->fast.in;
    if (unlikely(pipe == NULL || s->rx.message.active || s->rx.pending_error != 0 || pipe->adopt_due))
        return NULL;
    struct ring_in *ring = &pipe->in;
    uint64_t ready = seq_ready(ring->tail);
    const struct ring_slot *slot = &ring->slots[ring->tail & ring->mask];
    if (peer_u64_acquire(&slot->seq) != ready) { /* R2 */
        if ((flags & SHM_DONTWAIT) || s->options.spin_ns == 0 || s->options.receive_timeout == 0)
            return NULL;
        rx_end_read(pipe);
        /* At the heels of a sender that streams, each look takes the line from it: let it get ahead. */
        uint32_t streak = ring->streak;
        if (unlikely(streak > FAST_STREAM)) {
            pause_for_ns(FAST_APART_NS);
            streak = 0;
        }
        ring->streak = 0;
        unsigned polls = 0;
        do {
            if (++polls > FAST_POLLS)
                return NULL;
            __builtin_prefetch((const char *)slot + CACHE_LINE); /* both lines travel at once */
        } while (peer_u64_acquire(&slot->seq) != ready);
        if (polls < FAST_BRIEF) /* no reply to what we sent comes so soon */
            ring->streak = streak + 1;
    } else if (++ring->streak > FAST_STREAK) {
        const char *later = (const char *)&ring->slots[(ring->tail + FAST_AHEAD) & ring->mask];
        __builtin_prefetch(later);
        __builtin_prefetch(later + CACHE_LINE);
    }
    return likely(peer_u32(&s->bell.page->changed) == 0) ? slot : NULL;
}

/* The message was copied; LENGTH: the caller's bytes. Not for SPMC tails. */
static inline FAST void fast_done(struct shm_socket *s, struct pipe *pipe, size_t length)
{
    uint64_t next = ++pipe->in.tail;
    store_relaxed(&pipe->record->received, ++pipe->received);
    if (pipe->in.kind != RING_SPMC) {
        store_release(&pipe->record->tail, next); /* R3 */
        if (unlikely(++pipe->unannounced >= pipe->announce_every))
            rx_end_read(pipe);
    }
    s->rx.last_more = s->rx.last_redelivered = false;
    stat_add(s, STAT_RECEIVED, 1);
    stat_add(s, STAT_BYTES_RECEIVED, length);
}

/* -1: the general way. */
static inline FAST ssize_t fast_receive(struct shm_socket *s, void *buffer, size_t size, int flags)
{
    const struct ring_slot *slot = fast_await(s, flags);
    if (unlikely(slot == NULL))
        return -1;
    struct pipe *pipe = s->fast.in;
    struct ring_in *ring = &pipe->in;
    uint64_t t = ring->tail;
    uint64_t meta = peer_u64(&slot->meta);
    size_t length = meta_length(meta);
    if (unlikely((meta & (META_BLOCK | META_PACKED)) != 0 || length > SLOT_PAYLOAD))
        return -1;
    size_t copied = length < size ? length : size;
    if (ring->kind == RING_SPSC) {
        copy_short(buffer, (const void *)(uintptr_t)slot->payload, copied);
    } else if (ring->kind == RING_BROADCAST) {
        uint64_t local[SLOT_WORDS];
        peer_words(local, slot->payload, (length + 7) / 8);
        fence_acquire();
        if (unlikely(peer_u64(&slot->seq) != seq_ready(t))) /* R6 */
            return -1;
        copy_short(buffer, local, copied);
    } else {
        struct claims *claims = ring->claims;
        if (unlikely((s->rx.count + 1) % RECEIVES_PER_LOOK == 0))
            return -1;
        s->rx.count++;
        uint64_t seen = peer_u64(&claims->words[t & ring->mask]);
        if (unlikely(claim_is_taken(seen, t) || !claims_take(claims, t & ring->mask, seen, t)))
            return -1;
        if (ring->streak > FAST_STREAK)
            cpu_prefetch_write(&claims->words[(t + 16) & ring->mask]);
        else if (t % FAST_CLEAR == 1) /* the sender has just looked at it */
            cpu_prefetch_write(&claims->words[(t + FAST_CLEAR) & ring->mask]);
        if (peer_u64(&claims->header->hint) < t + 1)
            store_relaxed(&claims->header->hint, t + 1);
        copy_short(buffer, (const void *)(uintptr_t)slot->payload, copied);
        claims_done(&claims->words[t & ring->mask], t, claims->owner); /* C2 */
        if (unlikely(bell_ring(&pipe->peer->bell)))
            stat_add(s, STAT_WAKES, 1);
    }
    fast_done(s, pipe, length);
    return (ssize_t)length;
}

#endif
