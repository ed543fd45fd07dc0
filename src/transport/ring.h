/* SPDX-License-Identifier: MIT */
/*
 * Rings: the two ends of one, what each knows about it privately, its memory, and the walk from message to message.
 * How a slot is written and read, the memory orders and what a death leaves behind: slot.h.
 *
 * One sender, and one of three kinds of tail at the other end (ring_layout.h): readers that each keep their own to
 * themselves (broadcast), one reader whose tail the sender sees (SPSC), readers that share the messages (SPMC).
 */
#ifndef SHMQ_TRANSPORT_RING_H
#define SHMQ_TRANSPORT_RING_H

#include "transport/arena.h"
#include "transport/claims.h"
#include "transport/hazard.h"
#include "transport/ring_layout.h"

/* ---- the sender's end ---- */

struct ring_out {
    struct arena *arena;
    struct block *block;
    struct ring_header *header;
    struct ring_slot *slots;
    struct claims *claims; /* SPMC only */
    uint64_t mask;
    uint64_t head;
    uint64_t limit;   /* messages that may be under way */
    uint64_t cleared; /* SPMC: slots of lower tickets are known to be free again */
    uint64_t skipped; /* SPMC: one past the last ticket that was skipped; 0 none */
    uint64_t acked;   /* every reader is known to be past this */
    uint64_t filled;  /* slots that have memory */
    uint64_t reclaim; /* lower tickets hold no block */
    struct block **in_flight; /* per slot, the blocks of its message; made at the first */
    struct block **retired;   /* the retired list: messages, by first block, that were sent and are done with */
    uint32_t kind;
    bool stays; /* a peer may still be reading it when it is closed */
};

int ring_out_open(struct ring_out *ring, struct arena *arena, uint32_t kind, uint64_t limit, bool fill_now);
void ring_out_close(struct ring_out *ring);
/* Free what is private and leave the shared memory as it is, for the peers. */
void ring_out_forget(struct ring_out *ring);
uint64_t ring_out_offset(const struct ring_out *ring);

/* What is sent: bytes that fit a slot, or a block; and all blocks that belong to it, chained. */
struct ring_message {
    const void *bytes; /* inline; NULL: the block */
    uint64_t size;
    uint64_t flags; /* META_PACKED */
    uint32_t tag;
    struct block *blocks; /* a chain; the first holds the bytes if bytes is NULL */
};

/* Memory for the slot at head and the next, before it is published. 0 or -ENOSPC. */
int ring_out_fill(struct ring_out *ring);

static inline int ring_out_ready(struct ring_out *ring)
{
    if (likely(ring->filled > ring->mask || ring->head + 2 <= ring->filled))
        return 0;
    return ring_out_fill(ring);
}

/* SPMC: advance `acked` over what has been claimed. */
void ring_out_look(struct ring_out *ring);

/* SPMC: make room by skipping slots in use. 1 there is room, 0 full. */
int ring_out_claimable(struct ring_out *ring);

/* Be ready for messages with blocks. 0 or -ENOMEM. */
int ring_out_track(struct ring_out *ring);

/* Publish; there is room, and ring_out_ready(), with blocks ring_out_track(), said 0. */
void ring_out_publish(struct ring_out *ring, const struct ring_message *message);

/* Put the blocks of all tickets below UNTIL (SPMC: of those that are done as well) on the retired list. */
void ring_out_reclaim(struct ring_out *ring, uint64_t until);

/* Broadcast: withdraw the oldest message that still has a block. 0: there is none. */
int ring_out_drop_oldest(struct ring_out *ring);

/* ---- the reader's end ---- */

struct ring_in {
    struct remote *remote;
    const struct ring_header *header;
    const struct ring_slot *slots;
    struct claims *claims;
    uint64_t mask;
    uint64_t tail;
    uint64_t end; /* stop here; UINT64_MAX while the sender goes on */
    uint64_t lost; /* missed since the last look of the caller */
    bool newest_only;
    uint32_t streak; /* messages taken since the ring was last found empty */
    uint32_t kind;
    uint64_t owed; /* SPMC: 0, or one past a ticket that was claimed and could not be looked at yet */
    bool owed_again; /* it was redelivered */
};

/* -EPROTO: what lies at OFFSET is no ring. */
int ring_in_open(struct ring_in *ring, struct remote *remote, uint64_t offset);

/* A message in hand: peeked at, and not yet consumed. */
struct ring_taken {
    const unsigned char *bytes;
    uint64_t size;
    uint64_t ticket;
    bool packed;
    bool redelivered;
    bool is_block;
    bool protected; /* broadcast: HAZARD_IN_HAND keeps the block */
    uint64_t offset; /* of the block */
    uint32_t tag;
    uint64_t copy[SLOT_WORDS]; /* broadcast: inline bytes lie here */
};

/* 1 taken; 0 nothing there; -EPROTO. Other errors: there was no memory or descriptor to look at it with; it
 * comes again. */
int ring_in_take(struct ring_in *ring, struct ring_taken *taken, struct hazards *hazards, uint32_t hazard_tag);

/* SPMC: the same for a message that a dead reader had in hand (C4). */
int ring_in_adopt(struct ring_in *ring, struct ring_taken *taken);

/* SPMC: have the message in hand come again from ring_in_adopt(). */
void ring_in_owe(struct ring_in *ring, const struct ring_taken *taken);

/* Is there something to take? May say yes for what another reader takes first. */
bool ring_in_has(struct ring_in *ring);

/* Is there something behind the message in hand? */
bool ring_in_has_more(const struct ring_in *ring);

/* Broadcast: does the slot of the message in hand still hold it, behind all loads so far? (R6) */
bool ring_in_still(const struct ring_in *ring);

/* Broadcast: go to the newest message, or to the end, without counting a loss. */
void ring_in_skip_to_head(struct ring_in *ring);

#endif
