/* SPDX-License-Identifier: MIT */
/*
 * What a ring looks like in the sender's segment: a header of two lines, then 2^k slots of two
 * lines. The sender alone writes any of it.
 *
 *   header  0    magic, kind, slots               once
 *           64   head, oldest                     sender, every message
 *           128  slot[0] slot[1] ... slot[slots-1]
 *
 *   slot    0    seq      2t+2: ticket t is here; 2t+1: it is not, yet or any more
 *           8    meta     length | form | flags | tag
 *           16   payload  up to 112 bytes of message, or a reference (offset, size) to a block
 *
 * Sequence and payload arrive in one or two cache-line transfers, and no shared index is on the way.
 */
#ifndef SHMQ_TRANSPORT_RING_LAYOUT_H
#define SHMQ_TRANSPORT_RING_LAYOUT_H

#include "base/atomic.h"

#define RING_MAGIC     0x676e6972u /* "ring" */
#define RING_HEADER    128
#define RING_SLOTS_MAX (UINT64_C(1) << 20)
#define SLOT_PAYLOAD   112
#define SLOT_WORDS     (SLOT_PAYLOAD / 8)

enum {
    RING_BROADCAST = 1, /* every reader keeps its own tail to itself; overwritten at once */
    RING_SPSC = 2,      /* one reader, whose tail the sender reads */
    RING_SPMC = 3,      /* readers claim tickets (claims.h) */
};

struct ring_header {
    uint32_t magic;
    uint32_t kind;
    uint64_t slots;
    uint64_t limit;       /* messages that the sender lets be under way */
    uint32_t newest_only; /* 1: readers skip to the newest message (SHM_CONFLATE) */
    uint8_t pad0[36];
    shared_u64 head;   /* the next ticket to be sent */
    shared_u64 oldest; /* broadcast: lower tickets are gone, whatever their slots say */
    uint8_t pad1[48];
};

struct ring_slot {
    shared_u64 seq;
    shared_u64 meta;
    shared_u64 payload[SLOT_WORDS];
};

_Static_assert(offsetof(struct ring_header, head) == 64, "layout");
_Static_assert(sizeof(struct ring_header) == RING_HEADER, "layout");
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
