/* SPDX-License-Identifier: MIT */
/*
 * The slot codec: how one message gets into a slot of a ring, and out of it. Everything that reads or writes the words
 * of a slot is here, inline, so that the fast path (core/fast_path.h) and the general one (ring_out.c, ring_in.c) are
 * one implementation. Ticket t, the number of a message, lies in slot i = t mod slots.
 *
 *   the sender's segment: it alone writes there
 *     header    head      the next ticket, a hint
 *               oldest    broadcast: lower tickets were withdrawn
 *     slot[i]   seq       0 never used; ready(t) = 2t+2: ticket t is here; absent(t) = 2t+1: not yet, or not any more
 *               meta      length in the slot, block or bytes, packed parts or one, tag
 *               payload   up to 112 bytes, or {offset, size} of a block in the same segment
 *   the reader's segment: it alone writes there
 *     tail      SPSC: how far it has read. Broadcast: likewise, for senders that are lossless or reclaim memory
 *     hazards[] the blocks that it is looking at (hazard.h)
 *   the claims file of an SPMC ring: all readers write there, by compare-and-swap (claims.h)
 *     word[i]   who has the message in slot i, or whether it is done
 *     hint      lower tickets are taken
 *
 *             publish                              peek           consume
 *   SPSC      slot_write, slot_commit              slot_peek      read in place;                    slot_consume
 *   SPMC      the same, on a slot that is DONE     slot_peek      slot_claim; read in place;        slot_finish
 *   broadcast slot_write (invalidates), commit     slot_peek      slot_copy (validates), slot_protect for a block
 *
 * Edges
 *   R1  sender: store slot[i].seq := ready(t), release. Publishes the payload (pairs with R2). A seq_cst fence
 *       follows, and makes it S1 of the bell.
 *   R2  reader: load slot[i].seq, acquire; if it is ready(t), the payload of t is visible.
 *   R3  SPSC reader: store tail := t+1, release, after its last load of the payload or block, or after setting a hazard
 *       word for the block. Pairs with R4.
 *   R4  sender: load tail, acquire (core): slots, and blocks without a hazard word, below it are its own again.
 *
 *   Broadcast tails: the slot is a seqlock.
 *   R5  sender: store slot[i].seq := absent(t), relaxed; release fence; meta and payload, relaxed words; then R1.
 *   R6  reader: R2; meta and payload, relaxed words; acquire fence; load seq, relaxed: unchanged, or the copy is
 *       thrown away. A sequence of 64 bits does not come round.
 *   R7  reader of a block: hazard word := block, release; seq_cst fence; load seq: still ready(t), or take it back.
 *   R8  sender: slot[i].seq := absent(t) or of a later ticket; seq_cst fence; load all hazard words: a protected block
 *       is kept. R7 and R8 are a Dekker pair: either the reader sees the sequence gone or the sender the hazard word.
 *
 *   SPMC tails: claims.h explains these.
 *   C1  reader: compare-and-swap word[i] to (t, CLAIMED, me), relaxed, after R2.
 *   C2  reader: store word[i] := (t, DONE, me), seq_cst, after its last load of slot and block: S1 of the bell.
 *   C3  sender: load word[i], acquire: a slot whose word is not DONE for its last ticket is not written. It is
 *       skipped, seq := absent(t), its content untouched, and readers go on to t+1: a message that is held for long
 *       costs the ring one slot, never a stall.
 *   C4  survivor: compare-and-swap (t, CLAIMED, dead) to (t, CLAIMED, me): it adopts the message (claims.c).
 *
 * Linearization points: of a send R1, of a receive R3 (SPSC), the successful load of R6 or R7 (broadcast), C1 (SPMC).
 *
 * Progress: publish, peek and consume are wait-free; the walk over skipped or taken tickets (ring_in.c) is bounded by
 * the number of slots. C1 fails only because another reader took the message: lock-free.
 *
 * Died ...                               state                               repair
 * sender before R1                       ticket t is not there               none: nobody waits for it
 * sender between R1 and head             t is there, head is one low         none: head is only a hint for newcomers
 * broadcast sender between R5 and R1     absent(t): nobody reads it          none
 * sender in slot_skip or slot_withdraw   seq absent, head or oldest written  none: each word is only a hint for the
 *                                        or not                              other, and R2 says what is there
 * SPSC reader before R3                  t unread                            the next reader reads t again
 * SPSC reader after R3                   t done                              none
 * reader with hazard words               they name blocks for a dead socket  ignored: its pipe is taken down
 * SPMC reader between C1 and C2          CLAIMED by a dead one               C4 (claims.h)
 */
#ifndef SHMQ_TRANSPORT_SLOT_H
#define SHMQ_TRANSPORT_SLOT_H

#include "transport/ring.h"

#define ALWAYS_INLINE __attribute__((always_inline))

/* Tuning: how far ahead lines are fetched, so that their transfer overlaps with the work. */
#define CLAIMS_AHEAD 16 /* claim words: two lines */
#define STREAK_LONG  8  /* messages taken without finding the ring empty, from which on a backlog is expected */
#ifndef CLAIMS_LINE     /* models have fewer */
#define CLAIMS_LINE 8   /* claim words in a cache line */
#endif

/* ---- bytes ---- */

/* Up to SLOT_PAYLOAD bytes, 16 at a time, the last ones overlapping: no call, no loop. */
static inline ALWAYS_INLINE void copy_short(void *to, const void *from, size_t n)
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

/* ---- publish: reserve, write, commit ---- */

/* The slot of ticket T. To write it, be sure of room and memory first (ring.h); the next ticket is ring->head. */
static inline ALWAYS_INLINE struct ring_slot *slot_reserve(const struct ring_out *ring, uint64_t t)
{
    return &ring->slots[t & ring->mask];
}

/* SPSC, SPMC: nobody reads the slot before R1. It gets COUNT words, then SIZE bytes; META says how many in all. */
static inline ALWAYS_INLINE void slot_write_plain(struct ring_slot *slot, uint64_t meta, const uint64_t *words,
                                                   size_t count, const void *bytes, size_t size)
{
    store_relaxed(&slot->meta, meta);
    for (size_t i = 0; i < count; i++)
        store_relaxed(&slot->payload[i], words[i]);
    copy_short((void *)(uintptr_t)&slot->payload[count], bytes, size);
}

/* Broadcast: somebody may be reading what is written over. */
static inline ALWAYS_INLINE void slot_write_seqlock(struct ring_slot *slot, uint64_t ticket, uint64_t meta,
                                                  const uint64_t *words, size_t count, const void *bytes, size_t size)
{
    uint64_t staged[SLOT_WORDS];
    for (size_t i = 0; i < count; i++)
        staged[i] = words[i];
    copy_short(&staged[count], bytes, size);
    store_relaxed(&slot->seq, seq_absent(ticket)); /* R5 */
    fence_release();
    store_relaxed(&slot->meta, meta);
    copy_words_in(slot->payload, staged, count + (size + 7) / 8);
}

static inline ALWAYS_INLINE void slot_write(const struct ring_out *ring, struct ring_slot *slot, uint64_t meta,
                                            const uint64_t *words, size_t count, const void *bytes, size_t size)
{
    if (ring->kind == RING_BROADCAST)
        slot_write_seqlock(slot, ring->head, meta, words, count, bytes, size);
    else
        slot_write_plain(slot, meta, words, count, bytes, size);
}

/* SIZE bytes. */
static inline ALWAYS_INLINE void slot_write_bytes(const struct ring_out *ring, struct ring_slot *slot,
                                                  const void *bytes, size_t size, uint64_t flags, uint32_t tag)
{
    slot_write(ring, slot, meta_make(size, flags, tag), NULL, 0, bytes, size);
}

/* A reference to a block of SIZE bytes at OFFSET. */
static inline ALWAYS_INLINE void slot_write_block(const struct ring_out *ring, struct ring_slot *slot, uint64_t offset,
                                                  uint64_t size, uint64_t flags, uint32_t tag)
{
    uint64_t reference[2] = {offset, size};
    slot_write(ring, slot, meta_make(sizeof reference, flags | META_BLOCK, tag), reference, 2, NULL, 0);
}

/* Publish what was written. Behind it stands a seq_cst fence: what is loaded next is S2 of a bell. */
static inline ALWAYS_INLINE void slot_commit(struct ring_out *ring)
{
    uint64_t head = ring->head;
    /* R1: a store with the payload's, then the fence of S1: an exchange would wait for the line twice. */
    store_release(&slot_reserve(ring, head)->seq, seq_ready(head));
    fence_seq_cst();
    ring->head = head + 1;
    store_relaxed(&ring->header->head, head + 1);
}

/* ---- the sender looks at its own slots ---- */

/* The sequence of the slot that ticket T falls on. */
static inline ALWAYS_INLINE uint64_t slot_own_seq(const struct ring_out *ring, uint64_t t)
{
    return load_relaxed(&slot_reserve(ring, t)->seq);
}

/* SPMC: nothing is sent under the next ticket, since its slot is still in use. */
static inline ALWAYS_INLINE void slot_skip(struct ring_out *ring)
{
    store_relaxed(&slot_reserve(ring, ring->head)->seq, seq_absent(ring->head)); /* nothing lies behind it */
    ring->head++;
    ring->skipped = ring->head;
    store_relaxed(&ring->header->head, ring->head);
}

/* Broadcast: no reader that has not done so yet shall look at what ticket T refers to. */
static inline ALWAYS_INLINE void slot_withdraw(struct ring_out *ring, uint64_t t)
{
    store_relaxed(&ring->header->oldest, t + 1);
    store_release(&slot_reserve(ring, t)->seq, seq_absent(t)); /* R8 */
    fence_seq_cst();
}

/* Is the message of ticket T, given the claim word of its slot, done with? */
static inline ALWAYS_INLINE bool claim_is_done(uint64_t word, uint64_t t)
{
    return claim_state(word) == CLAIM_DONE && claim_is_taken(word, t);
}

/*
 * SPMC: are the next slots' messages of the last lap done with? A line of claim words at a time, and one line ahead:
 * the reader takes each back for writing just before it comes there, and finds it looked at by then. The slots
 * themselves are not looked at: a word that is DONE for the ticket of the last lap says what is in its slot. One that
 * was skipped then, its word still CLAIMED by a reader that is off its processor, never says so: for it there is
 * ring_out_claimable().
 */
static inline ALWAYS_INLINE bool slots_done(struct ring_out *ring)
{
    uint64_t slots = ring->mask + 1, t = ring->cleared > ring->head ? ring->cleared : ring->head;
    uint64_t end = (ring->head | (CLAIMS_LINE - 1)) + 1 + CLAIMS_LINE;
    if (t < slots) {
        ring->cleared = slots;
        return true;
    }
    shared_u64 *words = ring->claims->words;
    __builtin_prefetch(&words[end & (slots - 1)]);
    for (; t < end; t++)
        if (unlikely(!claim_is_done(peer_u64_acquire(&words[t & (slots - 1)]), t - slots))) /* C3 */
            break;
    ring->cleared = t;
    return t > ring->head;
}

/* ---- peek ---- */

/* The slot of ticket T. */
static inline ALWAYS_INLINE const struct ring_slot *slot_of(const struct ring_in *ring, uint64_t t)
{
    return &ring->slots[t & ring->mask];
}

/* The sequence. If it is ready(t), what the functions below read is the message of ticket t, by a broadcast sender
 * perhaps only half. */
static inline ALWAYS_INLINE uint64_t slot_peek(const struct ring_slot *slot)
{
    return peer_u64_acquire(&slot->seq); /* R2 */
}

/* The sequence, for those who only ask whether there is something: who acts on it peeks again. */
static inline ALWAYS_INLINE uint64_t slot_glance(const struct ring_slot *slot)
{
    return peer_u64(&slot->seq);
}

/* Length, flags and tag (slot_layout.h), unchecked. */
static inline ALWAYS_INLINE uint64_t slot_meta(const struct ring_slot *slot)
{
    return peer_u64(&slot->meta);
}

/* The first COUNT words: each is loaded once, for a peer may write something else there at any time. */
static inline ALWAYS_INLINE void slot_words(const struct ring_slot *slot, uint64_t *words, size_t count)
{
    peer_words(words, slot->payload, count);
}

/* SPSC, SPMC: what follows the first COUNT words, in place. */
static inline ALWAYS_INLINE const void *slot_bytes(const struct ring_slot *slot, size_t count)
{
    return (const void *)(uintptr_t)&slot->payload[count];
}

/* Broadcast: does the slot still hold ticket T, behind all loads so far? */
static inline ALWAYS_INLINE bool slot_still(const struct ring_slot *slot, uint64_t t)
{
    fence_acquire();
    return peer_u64(&slot->seq) == seq_ready(t); /* R6 */
}

/* Broadcast: a copy of the first LENGTH bytes, in whole words. False: it was written over meanwhile. */
static inline ALWAYS_INLINE bool slot_copy(const struct ring_slot *slot, uint64_t t, uint64_t *copy, size_t length)
{
    slot_words(slot, copy, (length + 7) / 8);
    return slot_still(slot, t);
}

/* Broadcast: keep the block that ticket T refers to, by WORD, from being written again. False: too late. */
static inline ALWAYS_INLINE bool slot_protect(const struct ring_slot *slot, uint64_t t, struct hazards *hazards,
                                              uint64_t word)
{
    hazard_set(hazards, HAZARD_IN_HAND, word); /* R7 */
    fence_seq_cst();
    if (likely(peer_u64(&slot->seq) == seq_ready(t)))
        return true;
    hazard_clear(hazards, HAZARD_IN_HAND);
    return false;
}

/* ---- consume ---- */

/* SPMC: take the message of ticket T, which was peeked at. False: another reader has it. */
static inline ALWAYS_INLINE bool slot_claim(struct ring_in *ring, uint64_t t)
{
    struct claims *claims = ring->claims;
    uint64_t seen = peer_u64(&claims->words[t & ring->mask]);
    if (unlikely(claim_is_taken(seen, t) || !claims_take(claims, t & ring->mask, seen, t))) /* C1 */
        return false;
    if (ring->streak > STREAK_LONG)
        cpu_prefetch_write(&claims->words[(t + CLAIMS_AHEAD) & ring->mask]);
    else if (t % CLAIMS_LINE == 1) /* the sender has just looked at it */
        cpu_prefetch_write(&claims->words[(t + CLAIMS_LINE) & ring->mask]);
    if (peer_u64(&claims->header->hint) < t + 1)
        store_relaxed(&claims->header->hint, t + 1);
    return true;
}

/* SPMC: it was read; the sender's bell is to be rung. */
static inline ALWAYS_INLINE void slot_finish(struct ring_in *ring, uint64_t t)
{
    claims_done(&ring->claims->words[t & ring->mask], t, ring->claims->owner); /* C2 */
}

/* SPSC, broadcast: all tickets below NEXT were read. */
static inline ALWAYS_INLINE void slot_consume(shared_u64 *tail, uint64_t next)
{
    store_release(tail, next); /* R3 */
}

#endif
