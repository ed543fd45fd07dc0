/* SPDX-License-Identifier: MIT */
/*
 * The fast path: a short message through the only pipe, in one function without a call. Everything else, and the first
 * message after any change, takes the general path (api_io.c), where fast_plan() decides whether the next may be fast.
 * Both paths read and write slots by the codec of transport/slot.h; this one is only faster.
 */
#ifndef SHMQ_CORE_FAST_H
#define SHMQ_CORE_FAST_H

#include "core/message_layout.h"
#include "core/peer.h"
#include "core/rx.h"
#include "core/socket.h"
#include "core/tx.h"
#include "transport/slot.h"

#define FAST_AHEAD     8  /* slots: how far ahead to prefetch */
#define FAST_NEAR_FULL 64 /* slots: this close to full, do not prefetch what the reader still reads */
#ifndef FAST_STREAM
#define FAST_STREAM 12 /* after so many messages in quick succession more are expected */
#endif
#ifndef FAST_BRIEF
#define FAST_BRIEF 120 /* polls: about 100 ns */
#endif
#define FAST_APART_NS 400 /* with 200 the sender does not get far enough ahead: half the throughput */
#ifndef FAST_POLLS
#define FAST_POLLS 4000 /* some microseconds, then the general path checks clock and deadline */
#endif

/* After a successful call: may the next one be fast? */
static inline void fast_plan(struct shm_socket *s)
{
    struct pipe *only = s->pipes.count == 1 && s->pipes.list[0]->state == PIPE_UP ? s->pipes.list[0] : NULL;
    fast_forget(s);
    if (s->wait.descriptor.fd >= 0 || s->options.conflate || s->pipes.draining != 0 || s->auth != NULL)
        return;
    bool own = only != NULL && only->out == &only->own_ring;
    if (own && (s->kind->sends_plain || s->kind->fast_send != NULL))
        s->fast.out = only->out, s->fast.to = only;
    else if (s->tx.has_shared && load_relaxed(&s->stats[STAT_PEERS]) > 0 && !s->options.immediate &&
             s->kind->sends_plain)
        s->fast.out = &s->tx.shared, s->fast.to = NULL;
    if (s->fast.out != NULL && s->fast.out->filled <= s->fast.out->mask)
        s->fast.out = NULL;
    if (only != NULL && only->has_in && only->record != NULL && only->in.end == UINT64_MAX && !only->in.newest_only &&
        (s->rx.is_plain || s->kind->fast_receive != NULL))
        s->fast.in = only;
}

/* ---- sending ---- */

/* The slot for a message of SIZE bytes; prefetches a later one. NULL: take the general path. */
static inline ALWAYS_INLINE struct ring_slot *fast_reserve(struct shm_socket *s, struct ring_out *ring, size_t size)
{
    if (unlikely(ring == NULL || s->tx.message.active || size > SLOT_PAYLOAD ||
                 look_is_due(&s->tx.look) || peer_u32(&s->bell.page->changed) != 0))
        return NULL;
    uint64_t head = ring->head;
    if (unlikely(ring->in_flight != NULL) && ring->in_flight[head & ring->mask] != NULL)
        return NULL; /* the general path retires the last lap's block */
    bool bounded = ring->kind != RING_BROADCAST || s->options.lossless;
    if (bounded && unlikely(head - ring->acked >= ring->limit))
        return NULL;
    if (ring->kind == RING_SPMC && unlikely(head + CLAIMS_LINE >= ring->cleared) && !slots_done(ring))
        return NULL;
    if (!bounded || head - ring->acked + FAST_NEAR_FULL < ring->limit) {
        const char *later = (const char *)slot_reserve(ring, head + FAST_AHEAD);
        cpu_prefetch_write(later);
        if (size > 48)
            cpu_prefetch_write(later + CACHE_LINE);
    }
    return slot_reserve(ring, head);
}

/* Publish the slot; SIZE: the caller's bytes. */
static inline ALWAYS_INLINE void fast_commit(struct shm_socket *s, struct ring_out *ring, struct pipe *pipe,
                                             size_t size)
{
    slot_commit(ring);
    if (pipe != NULL) {
        if (unlikely(bell_ring(&pipe->peer->bell)))
            tx_woke(s);
    } else if (unlikely(peer_u32(&s->bell.page->has_waiters) != 0)) /* behind the fence of R1 */
        tx_wake_readers(s);
    s->tx.refused = false;
    stat_add(s, STAT_SENT, 1);
    stat_add(s, STAT_BYTES_SENT, size);
}

static inline ALWAYS_INLINE bool fast_send(struct shm_socket *s, const void *data, size_t size)
{
    struct ring_out *ring = s->fast.out;
    struct ring_slot *slot = fast_reserve(s, ring, size);
    if (unlikely(slot == NULL))
        return false;
    slot_write_bytes(ring, slot, data, size, 0, 0);
    fast_commit(s, ring, s->fast.to, size);
    return true;
}

/* Send a message that is already in BLOCK. */
static inline bool fast_send_block(struct shm_socket *s, struct block *block, size_t size)
{
    struct ring_out *ring = s->fast.out;
    struct ring_slot *slot = s->kind->fast_send == NULL ? fast_reserve(s, ring, 0) : NULL;
    if (slot == NULL || ring->in_flight == NULL)
        return false;
    slot_write_block(ring, slot, block->offset, size, 0, 0);
    ring->in_flight[ring->head & ring->mask] = block;
    fast_commit(s, ring, s->fast.to, size);
    return true;
}

/* ---- receiving ---- */

/* Wait for the only peer's next message: its slot. NULL: take the general path. */
static inline ALWAYS_INLINE const struct ring_slot *fast_await(struct shm_socket *s, int flags)
{
    struct pipe *pipe = s->fast.in;
    if (unlikely(pipe == NULL || s->rx.message.active || s->rx.pending_error != 0 || pipe->adopt_due))
        return NULL;
    struct ring_in *ring = &pipe->in;
    uint64_t ready = seq_ready(ring->tail);
    const struct ring_slot *slot = slot_of(ring, ring->tail);
    if (slot_peek(slot) != ready) {
        if ((flags & SHM_DONTWAIT) || s->options.spin_ns == 0 || s->options.receive_timeout == 0)
            return NULL;
        rx_end_read(pipe);
        /* Close behind a streaming sender, each look takes its cache line away: let it get ahead. */
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
        } while (slot_peek(slot) != ready);
        if (polls < FAST_BRIEF) /* too soon for a reply to what we sent: the sender streams */
            ring->streak = streak + 1;
    } else if (++ring->streak > STREAK_LONG) {
        const char *later = (const char *)slot_of(ring, ring->tail + FAST_AHEAD);
        __builtin_prefetch(later);
        __builtin_prefetch(later + CACHE_LINE);
    }
    return likely(peer_u32(&s->bell.page->changed) == 0) ? slot : NULL;
}

/* Count a message that was read; LENGTH: the caller's bytes. */
static inline ALWAYS_INLINE void fast_count(struct shm_socket *s, size_t length)
{
    s->rx.last_more = s->rx.last_redelivered = false;
    stat_add(s, STAT_RECEIVED, 1);
    stat_add(s, STAT_BYTES_RECEIVED, length);
}

/* SPSC, broadcast: consume it and count it. */
static inline ALWAYS_INLINE void fast_consume(struct shm_socket *s, struct pipe *pipe, size_t length)
{
    uint64_t next = ++pipe->in.tail;
    store_relaxed(&pipe->record->received, ++pipe->received);
    slot_consume(&pipe->record->tail, next);
    if (unlikely(++pipe->unannounced >= pipe->announce_every))
        rx_end_read(pipe);
    fast_count(s, length);
}

/* SPMC: claim the message in SLOT and copy it. False: another reader has it, or the general path is due. */
static inline ALWAYS_INLINE bool fast_claim(struct shm_socket *s, struct pipe *pipe, const struct ring_slot *slot,
                                            void *buffer, size_t copied, size_t length)
{
    struct ring_in *ring = &pipe->in;
    uint64_t t = ring->tail;
    if (look_is_due(&s->rx.look) || unlikely(!slot_claim(ring, t)))
        return false;
    copy_short(buffer, slot_bytes(slot, 0), copied);
    slot_finish(ring, t);
    if (unlikely(bell_ring(&pipe->peer->bell)))
        stat_add(s, STAT_WAKES, 1);
    ring->tail = t + 1;
    store_relaxed(&pipe->record->received, ++pipe->received);
    fast_count(s, length);
    return true;
}

/* Returns -1 to take the general path. */
static inline ALWAYS_INLINE ssize_t fast_receive(struct shm_socket *s, void *buffer, size_t size, int flags)
{
    const struct ring_slot *slot = fast_await(s, flags);
    if (unlikely(slot == NULL))
        return -1;
    struct pipe *pipe = s->fast.in;
    uint64_t meta = slot_meta(slot), local[SLOT_WORDS];
    size_t length = meta_length(meta), copied = length < size ? length : size;
    if (unlikely((meta & (META_BLOCK | META_PACKED)) != 0 || length > SLOT_PAYLOAD))
        return -1;
    if (pipe->in.kind == RING_SPSC) {
        copy_short(buffer, slot_bytes(slot, 0), copied);
    } else if (pipe->in.kind == RING_BROADCAST) {
        if (unlikely(!slot_copy(slot, pipe->in.tail, local, length)))
            return -1;
        copy_short(buffer, local, copied);
    } else {
        return fast_claim(s, pipe, slot, buffer, copied, length) ? (ssize_t)length : -1;
    }
    fast_consume(s, pipe, length);
    return (ssize_t)length;
}

/* ---- an empty part and a short body (REQ, REP): through SPSC rings ---- */

#define FAST_BODY_MAX (SLOT_PAYLOAD - EMPTY_PART - PART_HEADER)

static inline ALWAYS_INLINE bool fast_send_delimited(struct shm_socket *s, uint32_t tag, const void *data, size_t size)
{
    uint64_t words[DELIMITED_WORDS], whole = delimited_size(size);
    struct ring_slot *slot = size <= FAST_BODY_MAX ? fast_reserve(s, s->fast.out, whole) : NULL;
    if (slot == NULL)
        return false;
    delimited_headers(words, size);
    slot_write_plain(slot, meta_make(whole, META_PACKED, tag), words, DELIMITED_WORDS, data, size);
    fast_commit(s, s->fast.out, s->fast.to, size);
    return true;
}

/* Wait for such a message without taking it: returns its body's size and sets TAG. -1: take the general path. */
static inline ALWAYS_INLINE ssize_t fast_await_delimited(struct shm_socket *s, int flags, uint32_t *tag)
{
    const struct ring_slot *slot = fast_await(s, flags);
    if (slot == NULL)
        return -1;
    uint64_t meta = slot_meta(slot), words[DELIMITED_WORDS];
    slot_words(slot, words, DELIMITED_WORDS);
    if ((meta & (META_BLOCK | META_PACKED)) != META_PACKED || !is_delimited(words, meta_length(meta), FAST_BODY_MAX))
        return -1;
    *tag = meta_tag(meta);
    return (ssize_t)words[1];
}

/* Take it: copy its body of SIZE bytes into a buffer of ROOM bytes. */
static inline ALWAYS_INLINE void fast_take_delimited(struct shm_socket *s, void *buffer, size_t room, size_t size)
{
    struct ring_in *ring = &s->fast.in->in;
    copy_short(buffer, slot_bytes(slot_of(ring, ring->tail), DELIMITED_WORDS), size < room ? size : room);
    fast_consume(s, s->fast.in, size);
}

#endif
