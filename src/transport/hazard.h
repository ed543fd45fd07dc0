/* SPDX-License-Identifier: MIT */
/*
 * Pins: which blocks of its peers a reader holds. Hazard words in the reader's own segment, that
 * senders read before they use a block again (R7, R8 in ring.h). A word is tag << 48 | offset / 64:
 * the tag is the pipe's, so that each sender knows its own.
 *
 *   pin 0        the message that is just being taken from a broadcast tail       the socket's thread
 *   pin 1..255   views, each with the hold of the same number (core/rx.c)   set by the socket's
 *                                                                    thread, cleared by any
 *
 * A view's pin is set before pin 0 is cleared, and senders look at pin 0 first: so they see one of them.
 * An SPSC tail needs pin 0 as little as a fence: the view's pin stands before the tail that frees
 * the slot (R3, R4). Which hazards are free is known privately: the line travels to senders and would have
 * to be fetched back to be read.
 *
 * Died: the words mean nothing any more, since the pipe's life lock is gone.
 */
#ifndef SHMQ_TRANSPORT_HAZARD_H
#define SHMQ_TRANSPORT_HAZARD_H

#include "transport/segment_layout.h"

struct hazards {
    struct segment_header *header;
    uint32_t used; /* as it stands in the header */
};

#define HAZARD_IN_HAND 0

static inline uint64_t hazard_word(uint32_t tag, uint64_t offset)
{
    return (uint64_t)tag << 48 | offset >> 6;
}

/* A later fence or release store is what orders it (R7, R3). */
static inline void hazard_set(struct hazards *hazards, unsigned pin, uint64_t word)
{
    if (unlikely(hazards->used <= pin)) {
        hazards->used = pin + 1;
        store_relaxed(&hazards->header->hazards_used, hazards->used); /* ordered by the store below */
    }
    store_release(&hazards->header->hazards[pin], word);
}

static inline void hazard_clear(struct hazards *hazards, unsigned pin)
{
    store_release(&hazards->header->hazards[pin], 0);
}

/* Pin I of a peer, or 0 if it was never set. In the order of I: who sees that pin 0 was cleared sees the
 * view's pin that was set before, and hazards_used, which was raised before that (relaxed, therefore). */
static inline uint64_t hazard_load(const struct segment_header *header, uint32_t i)
{
    return peer_u64_acquire(&header->hazards[i]);
}

static inline uint32_t hazards_in_use(const struct segment_header *header)
{
    uint32_t used = peer_u32(&header->hazards_used);
    return used < SEGMENT_HAZARDS ? used : SEGMENT_HAZARDS;
}

/* Is any block with this TAG protected by the reader whose header this is? */
static inline bool hazards_any(const struct segment_header *header, uint32_t tag)
{
    if (hazard_load(header, HAZARD_IN_HAND) >> 48 == tag)
        return true;
    uint32_t used = hazards_in_use(header);
    for (uint32_t i = HAZARD_IN_HAND + 1; i < used; i++)
        if (hazard_load(header, i) >> 48 == tag)
            return true;
    return false;
}

static inline bool hazards_has(const struct segment_header *header, uint64_t word)
{
    if (hazard_load(header, HAZARD_IN_HAND) == word)
        return true;
    uint32_t used = hazards_in_use(header);
    for (uint32_t i = HAZARD_IN_HAND + 1; i < used; i++)
        if (hazard_load(header, i) == word)
            return true;
    return false;
}

#endif
