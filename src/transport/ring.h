/* SPDX-License-Identifier: MIT */
/*
 * Rings: one sender, and one of three kinds of tail at the other end.
 *
 * Edges (t a ticket, i its slot)
 *   R1  sender: store slot[i].seq := ready(t), release. Publishes the payload (pairs with R2). A fence
 *       seq_cst follows, and makes it S1 of the bell. Linearization point of send.
 *   R2  reader: load slot[i].seq, acquire; if ready(t) the payload of t is visible.
 *   R3  exclusive reader: store tail := t+1, release, after its last load of the payload or block, or
 *       after pinning the block. Pairs with R4.
 *   R4  sender: load tail, acquire: slots and unpinned blocks below it are its own again.
 *
 *   Private tails: the slot is a seqlock.
 *   R5  sender: store slot[i].seq := absent(t), relaxed; release fence; payload, relaxed words; R1.
 *   R6  reader: R2; payload, relaxed words; acquire fence; load seq, relaxed: equal, or the copy
 *       is thrown away. 64 bits of sequence do not come round.
 *   R7  reader of a block: pin := block, release; fence seq_cst; load seq: still ready(t), or unpin.
 *   R8  sender: slot[i].seq := absent(..); fence seq_cst; loads all hazards: a protected block is kept.
 *       R7 and R8 are a Dekker pair: either the reader sees the sequence gone or the sender the pin.
 *
 *   Shared tails: C1..C4 of claims.h. A slot whose ticket is still in somebody's hand when its turn
 *   comes again is skipped: seq := absent(t), content untouched, and readers go on to t+1. A held
 *   message costs the ring one slot, never a stall.
 *
 * Progress: send and receive are wait-free but for the walk over skipped or taken tickets, which is
 * bounded by the number of slots.
 *
 * Died ...                             state                          repair
 * sender before R1                     ticket t is not there          none; nobody waits for it
 * sender after R1, before head         t is there, head is one low    head is only a hint for newcomers
 * private sender between R5 and R1     absent(t): nobody reads it     none
 * exclusive reader before R3           t unread                       t is read again by the next reader
 * exclusive reader after R3            t done                         none
 * reader with hazards                     hazards of a dead socket          ignored: the pipe is taken down
 * shared reader                        see claims.h
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
    struct claims *claims; /* shared kind only */
    uint64_t mask;
    uint64_t head;
    uint64_t limit;   /* messages that may be under way */
    uint64_t cleared; /* shared: slots of lower tickets are known to be free again */
    uint64_t skipped; /* shared: one past the last ticket that was skipped; 0 none */
    uint64_t acked;   /* every reader is known to be past this */
    uint64_t filled;  /* slots that have memory */
    uint64_t reclaim; /* tickets below it hold no block */
    struct block **in_flight; /* per slot, the blocks of its message; made at the first */
    struct block **retired;   /* list of messages, by first block, that were sent and are done with */
    uint32_t kind;
    bool stays; /* when it is closed somebody may be reading it */
};

int ring_out_open(struct ring_out *ring, struct arena *arena, uint32_t kind, uint64_t limit, bool fill_now);
void ring_out_close(struct ring_out *ring);
/* Free what is private and leave the shared memory as it is: peers may still read it. */
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

/* See how far the claims of a shared ring have come. */
void ring_out_look(struct ring_out *ring);

/* Make room in a shared ring by skipping slots in use: 1 there is room, 0 full. */
int ring_out_claimable(struct ring_out *ring);

/* Be ready for messages with blocks. 0 or -ENOMEM. */
int ring_out_track(struct ring_out *ring);

/* Publish; there is room, and ring_out_ready(), with blocks ring_out_track(), said 0. */
void ring_out_publish(struct ring_out *ring, const struct ring_message *message);

/* Hand the blocks of all tickets below UNTIL, or of all that are done (shared), to *retired. */
void ring_out_reclaim(struct ring_out *ring, uint64_t until);

/* Private tails: give up the oldest message that still has a block. 0: there is none. */
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
    uint64_t owed; /* shared: 0, or one past a ticket that was claimed and could not be looked at yet */
    bool owed_again; /* it was redelivered */
};

/* -EPROTO: what lies at OFFSET is no ring. */
int ring_in_open(struct ring_in *ring, struct remote *remote, uint64_t offset);

/* A message in hand, until ring_in_done(). */
struct ring_taken {
    const unsigned char *bytes;
    uint64_t size;
    uint64_t ticket;
    bool packed;
    bool redelivered;
    bool is_block;
    bool protected; /* broadcast tails: HAZARD_IN_HAND keeps the block */
    uint64_t offset; /* of the block */
    uint32_t tag;
    uint64_t copy[SLOT_WORDS]; /* broadcast tails: inline bytes lie here */
};

/* 1 taken; 0 nothing there; -EPROTO. Other errors: there was no memory or descriptor to look at it with; it
 * comes again. */
int ring_in_take(struct ring_in *ring, struct ring_taken *taken, struct hazards *hazards, uint32_t hazard_tag);

/* The same for a message that a dead reader of a shared ring had in hand (C4). */
int ring_in_adopt(struct ring_in *ring, struct ring_taken *taken);

/* Shared: have the message in hand come again from ring_in_adopt(). */
void ring_in_owe(struct ring_in *ring, const struct ring_taken *taken);

/* Is there something to take? May say yes for what another reader takes first. */
bool ring_in_has(struct ring_in *ring);

/* Is there something behind the message in hand? */
bool ring_in_has_more(const struct ring_in *ring);

/* Private tails: does the slot of the message in hand still hold it, behind all loads so far? (R6) */
bool ring_in_still(const struct ring_in *ring);

/* Private tails: go to the newest message, or to the end, without counting a loss. */
void ring_in_skip_to_head(struct ring_in *ring);

#endif
