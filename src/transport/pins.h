/* SPDX-License-Identifier: MIT */
/*
 * Pins: which blocks of its peers a reader holds. Hazard words in the reader's own segment, that
 * senders read before they use a block again (R7, R8 in ring.h). A word is tag << 48 | offset / 64:
 * the tag is the link's, so that each sender knows its own. Set by the socket's thread, cleared by any.
 * Died: the words mean nothing any more, since the link's life lock is gone.
 */
#ifndef SHMQ_TRANSPORT_PINS_H
#define SHMQ_TRANSPORT_PINS_H

#include "transport/segment_layout.h"

struct pins {
    struct segment_header *header;
};

/* One pin is kept for receives that copy, so that they always work. */
#define PINS_FOR_VIEWS (SEGMENT_PINS - 1)

static inline uint64_t pin_word(uint32_t tag, uint64_t offset)
{
    return (uint64_t)tag << 48 | offset >> 6;
}

/* Set a pin, with P of the Dekker pair (seq_cst): its index below LIMIT, or -1. */
static inline int pin_set(struct pins *pins, uint64_t word, int limit)
{
    struct segment_header *h = pins->header;
    for (int i = 0; i < limit; i++) {
        if (load_relaxed(&h->pins[i]) != 0)
            continue;
        if (load_relaxed(&h->pins_used) <= (uint32_t)i)
            store_relaxed(&h->pins_used, (uint32_t)i + 1); /* ordered by the store below */
        store_seq_cst(&h->pins[i], word);
        fence_seq_cst();
        return i;
    }
    return -1;
}

static inline void pin_clear(struct pins *pins, int pin)
{
    store_release(&pins->header->pins[pin], 0);
}

/* Is any block with this TAG pinned by the reader whose header this is? */
static inline bool pins_any(const struct segment_header *header, uint32_t tag)
{
    uint32_t used = load_acquire((shared_u32 *)(uintptr_t)&header->pins_used);
    for (uint32_t i = 0; i < used && i < SEGMENT_PINS; i++)
        if (load_acquire((shared_u64 *)(uintptr_t)&header->pins[i]) >> 48 == tag)
            return true;
    return false;
}

static inline bool pins_has(const struct segment_header *header, uint64_t word)
{
    uint32_t used = load_acquire((shared_u32 *)(uintptr_t)&header->pins_used);
    for (uint32_t i = 0; i < used && i < SEGMENT_PINS; i++)
        if (load_acquire((shared_u64 *)(uintptr_t)&header->pins[i]) == word)
            return true;
    return false;
}

#endif
