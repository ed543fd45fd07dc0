/* SPDX-License-Identifier: MIT */
/*
 * What a ring looks like in the sender's segment: a header of two lines, then 2^k slots of two
 * lines. The sender alone writes any of it.
 *
 *   header  0    magic, kind, slots               once (view_share: now and then)
 *           64   head, oldest                     sender, every message
 *           128  slot[0] slot[1] ... slot[slots-1]      slot_layout.h
 */
#ifndef SHMQ_TRANSPORT_RING_LAYOUT_H
#define SHMQ_TRANSPORT_RING_LAYOUT_H

#include "transport/slot_layout.h"

#define RING_MAGIC     0x676e6972u /* "ring" */
#define RING_HEADER    128
#define RING_SLOTS_MAX (UINT64_C(1) << 20)

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
    uint32_t reserved;
    shared_u64 view_share; /* broadcast: bytes that views of one reader may keep; 0: any number */
    uint8_t pad0[24];
    shared_u64 head;   /* the next ticket to be sent */
    shared_u64 oldest; /* broadcast: lower tickets are gone, whatever their slots say */
    uint8_t pad1[48];
};

_Static_assert(offsetof(struct ring_header, head) == 64, "layout");
_Static_assert(sizeof(struct ring_header) == RING_HEADER, "layout");

#endif
