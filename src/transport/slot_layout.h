/* SPDX-License-Identifier: MIT */
/*
 * What a slot of a ring looks like: two cache lines, which the sender alone writes. Ticket t is the number of a message.
 *
 *   0    seq      2t+2: ticket t is here; 2t+1: it is not, yet or any more
 *   8    meta     length | form | flags | tag
 *   16   payload  up to 112 bytes of message, or a reference (offset, size) to a block
 *
 * Sequence and payload arrive in one or two cache-line transfers, and no shared index is on the way.
 */
#ifndef SHMQ_TRANSPORT_SLOT_LAYOUT_H
#define SHMQ_TRANSPORT_SLOT_LAYOUT_H

#include "base/atomic.h"

#define SLOT_PAYLOAD 112
#define SLOT_WORDS   (SLOT_PAYLOAD / 8)

struct ring_slot {
    shared_u64 seq;
    shared_u64 meta;
    shared_u64 payload[SLOT_WORDS];
};

_Static_assert(offsetof(struct ring_slot, payload) == 16, "layout");
_Static_assert(sizeof(struct ring_slot) == 128, "layout");

/* meta: bits 0..7 length inside the slot, 8 block, 9 packed, 32..63 tag */
#define META_BLOCK  0x100u /* payload is {offset, size} of a block */
#define META_PACKED 0x200u /* the bytes are a sequence of parts (message_layout.h) */

static inline uint64_t meta_make(uint64_t length, uint64_t flags, uint32_t tag)
{
    return length | flags | (uint64_t)tag << 32;
}
static inline uint64_t meta_length(uint64_t meta)
{
    return meta & 0xff;
}
static inline uint32_t meta_tag(uint64_t meta)
{
    return (uint32_t)(meta >> 32);
}

static inline uint64_t seq_ready(uint64_t ticket)
{
    return 2 * ticket + 2;
}
static inline uint64_t seq_absent(uint64_t ticket)
{
    return 2 * ticket + 1;
}
/* The ticket of which SEQ, which is not 0, speaks: ready or absent. */
static inline uint64_t seq_ticket(uint64_t seq)
{
    return (seq - 1) / 2;
}

#endif
