/* SPDX-License-Identifier: MIT */
/*
 * Hazard words: which blocks of its peers a reader is looking at (hazard pointers, Michael 2004). They lie in the
 * reader's own segment, and senders read them before they use a block again (R7, R8 in slot.h). A word is
 * tag << 48 | offset / 64: the tag is the pipe's, so that each sender knows which words speak of its blocks.
 *
 *   word 0        the message that is just being taken from a broadcast ring      written by the socket's thread
 *   word 1..255   views: each belongs to the view reference of the same number    set by the socket's thread,
 *                                                                                 cleared by any
 *
 * A view's word is set before word 0 is cleared, and senders look at word 0 first: so they see one of the two.
 * An SPSC tail needs neither word 0 nor a fence: the view's word stands before the store of the tail that frees the
 * slot (R3, R4). Which words are free is known privately: their lines travel to senders, and would have to be fetched
 * back to be read.
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

/* A fence or a release store that follows orders it (R7, R3). */
static inline void hazard_set(struct hazards *hazards, unsigned i, uint64_t word)
{
    if (unlikely(hazards->used <= i)) {
        hazards->used = i + 1;
        store_relaxed(&hazards->header->hazards_used, hazards->used); /* ordered by the store below */
    }
    store_release(&hazards->header->hazards[i], word);
}

static inline void hazard_clear(struct hazards *hazards, unsigned i)
{
    store_release(&hazards->header->hazards[i], 0);
}

/* Word I of a peer, or 0 if it was never set. They are read in the order of I: who sees that word 0 was cleared sees
 * the view's word that was set before, and hazards_used, which was raised before that (relaxed, therefore). */
static inline uint64_t hazard_load(const struct segment_header *header, uint32_t i)
{
    return peer_u64_acquire(&header->hazards[i]);
}

static inline uint32_t hazards_in_use(const struct segment_header *header)
{
    uint32_t used = peer_u32(&header->hazards_used);
    return used < SEGMENT_HAZARDS ? used : SEGMENT_HAZARDS;
}

/* Does the reader whose header this is protect any block with this TAG? */
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

/* Does it protect the block that WORD names? */
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
