/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "transport/remote.h"
#include "transport/slot.h"

#ifndef AHEAD_SLOTS
#define AHEAD_SLOTS 8
#endif

int ring_in_open(struct ring_in *ring, struct remote *remote, uint64_t offset)
{
    const struct ring_header *header = remote_at(remote, offset, sizeof *header);
    if (header == NULL || offset % 64 != 0)
        return -EPROTO;
    uint64_t slots = peer_u64_once(&header->slots);
    uint32_t kind = peer_u32_once(&header->kind);
    if (peer_u32_once(&header->magic) != RING_MAGIC || slots < 8 || slots > RING_SLOTS_MAX ||
        (slots & (slots - 1)) != 0 || kind < RING_BROADCAST || kind > RING_SPMC ||
        remote_at(remote, offset, RING_HEADER + slots * sizeof(struct ring_slot)) != header)
        return -EPROTO;
    memset(ring, 0, sizeof *ring);
    ring->remote = remote;
    ring->header = header;
    ring->slots = (const struct ring_slot *)(const void *)((const char *)header + RING_HEADER);
    ring->mask = slots - 1;
    ring->kind = kind;
    ring->end = UINT64_MAX;
    ring->newest_only = peer_u32_once(&header->newest_only) != 0;
    return 0;
}

/* Where the bytes of a message are, from its slot's words: checked, for the sender may lie. PAYLOAD: a private copy, or
 * the slot itself if it has no reference. */
static int locate(struct ring_in *ring, struct ring_taken *taken, uint64_t meta, const uint64_t *payload)
{
    taken->packed = (meta & META_PACKED) != 0;
    taken->tag = meta_tag(meta);
    taken->is_block = (meta & META_BLOCK) != 0;
    taken->protected = false;
    taken->redelivered = false;
    if (!taken->is_block) {
        taken->size = meta_length(meta);
        taken->bytes = (const unsigned char *)payload;
        return taken->size <= SLOT_PAYLOAD ? 1 : -EPROTO;
    }
    taken->size = payload[1];
    taken->offset = payload[0];
    if (payload[0] % 64 != 0)
        return -EPROTO;
    taken->bytes = remote_at(ring->remote, payload[0], taken->size);
    if (taken->bytes == NULL)
        return ring->remote->shortage < 0 ? ring->remote->shortage : -EPROTO;
    __builtin_prefetch(taken->bytes); /* under way while the caller is told of it */
    return 1;
}

/* ---- SPSC and SPMC tails: the slot does not change under us ---- */

static int locate_stable(struct ring_in *ring, const struct ring_slot *slot, struct ring_taken *taken)
{
    uint64_t meta = slot_meta(slot), reference[2];
    if (!(meta & META_BLOCK))
        return locate(ring, taken, meta, slot_bytes(slot, 0));
    slot_words(slot, reference, 2);
    return locate(ring, taken, meta, reference);
}

/*
 * With a backlog, fetch the slots to come while this one is read. Not without: lines that the sender is
 * about to write would be torn out of its hands.
 */
static inline void look_ahead(struct ring_in *ring)
{
    if (++ring->streak <= STREAK_LONG)
        return;
    const char *later = (const char *)slot_of(ring, ring->tail + AHEAD_SLOTS);
    __builtin_prefetch(later);
    __builtin_prefetch(later + CACHE_LINE);
}

static int take_spsc(struct ring_in *ring, struct ring_taken *taken)
{
    const struct ring_slot *slot = slot_of(ring, ring->tail);
    if (slot_peek(slot) != seq_ready(ring->tail)) {
        ring->streak = 0;
        return 0;
    }
    look_ahead(ring);
    taken->ticket = ring->tail;
    return locate_stable(ring, slot, taken);
}

/* Ticket T is not in its slot, whose sequence is SEQ: where to look next. If a later ticket has been there,
 * all that is a lap older is taken, so that one who slept for long does not walk through what he missed. */
static uint64_t after_missing(const struct ring_in *ring, uint64_t t, uint64_t seq)
{
    uint64_t there = seq_ticket(seq);
    return there > t + ring->mask ? there - ring->mask : t + 1;
}

void ring_in_owe(struct ring_in *ring, const struct ring_taken *taken)
{
    ring->owed = taken->ticket + 1;
    ring->owed_again = taken->redelivered;
}

/* The message is this reader's by its claim word. */
static int locate_claimed(struct ring_in *ring, struct ring_taken *taken, uint64_t t, bool again)
{
    taken->ticket = t;
    int result = locate_stable(ring, slot_of(ring, t), taken);
    taken->redelivered = again;
    ring->owed = 0;
    if (result < 0 && result != -EPROTO)
        ring_in_owe(ring, taken);
    return result;
}

static int take_spmc(struct ring_in *ring, struct ring_taken *taken)
{
    uint64_t hint = peer_u64(&ring->claims->header->hint);
    if (hint > ring->tail && hint <= peer_u64(&ring->header->head))
        ring->tail = hint;
    for (uint64_t step = 0; step <= 2 * ring->mask + 1; step++) {
        uint64_t t = ring->tail, seq = slot_peek(slot_of(ring, t));
        if (seq < seq_absent(t)) {
            ring->streak = 0;
            return 0;
        }
        ring->tail = after_missing(ring, t, seq);
        if (seq != seq_ready(t))
            continue; /* skipped, or long gone */
        if (!slot_claim(ring, t))
            continue;
        look_ahead(ring);
        return locate_claimed(ring, taken, t, false);
    }
    return 0;
}

int ring_in_adopt(struct ring_in *ring, struct ring_taken *taken)
{
    if (ring->owed != 0)
        return locate_claimed(ring, taken, ring->owed - 1, ring->owed_again);
    uint64_t t = claims_adopt(ring->claims);
    return t == UINT64_MAX ? 0 : locate_claimed(ring, taken, t, true);
}

/* ---- broadcast tails ---- */

/* The sender is a lap ahead, or withdrew ticket t: go on where there certainly is something. Both words are
 * hints: R2 tells what is there, and R2 of absent(t) orders `oldest` behind the withdrawal that wrote it. */
static int lapped(struct ring_in *ring)
{
    uint64_t head = peer_u64(&ring->header->head);
    uint64_t oldest = peer_u64(&ring->header->oldest);
    uint64_t slots = ring->mask + 1, to = ring->tail + 1;

    if (head > slots - slots / 4 && head - (slots - slots / 4) > to)
        to = head - (slots - slots / 4); /* a quarter of the ring newer than what is overwritten next */
    if (oldest > to && oldest <= head)
        to = oldest;
    if (to > ring->end)
        to = ring->end;
    ring->lost += to - ring->tail;
    ring->tail = to;
    return 0;
}

/* ring->tail's slot says absent: is the message just being written, or was it withdrawn? */
static bool was_withdrawn(struct ring_in *ring)
{
    return peer_u64(&ring->header->oldest) > ring->tail;
}

static int take_broadcast_once(struct ring_in *ring, struct ring_taken *taken, struct hazards *hazards,
                               uint32_t hazard_tag)
{
    const struct ring_slot *slot = slot_of(ring, ring->tail);
    uint64_t ready = seq_ready(ring->tail), seq = slot_peek(slot);

    if (seq != ready) {
        if (seq > ready || (seq == ready - 1 && was_withdrawn(ring)))
            return lapped(ring), 2;
        ring->streak = 0;
        return 0;
    }
    look_ahead(ring);
    uint64_t meta = slot_meta(slot);
    if (!slot_copy(slot, ring->tail, taken->copy, meta_length(meta) <= SLOT_PAYLOAD ? meta_length(meta) : SLOT_PAYLOAD))
        return lapped(ring), 2;
    taken->ticket = ring->tail;
    int result = locate(ring, taken, meta, taken->copy);
    if (result < 0 || !taken->is_block)
        return result;
    if (!slot_protect(slot, ring->tail, hazards, hazard_word(hazard_tag, taken->copy[0])))
        return lapped(ring), 2;
    taken->protected = true;
    return 1;
}

static int take_broadcast(struct ring_in *ring, struct ring_taken *taken, struct hazards *hazards, uint32_t hazard_tag)
{
    if (ring->newest_only) {
        uint64_t head = peer_u64(&ring->header->head); /* hint */
        if (head > ring->end)
            head = ring->end;
        if (head > ring->tail + 1)
            ring->tail = head - 1;
    }
    /* Each retry means that the sender came round once more; give up rather than chase it. */
    for (int attempt = 0; attempt < 16 && ring->tail < ring->end; attempt++) {
        int result = take_broadcast_once(ring, taken, hazards, hazard_tag);
        if (result != 2)
            return result;
    }
    return 0;
}

/* ---- all ---- */

int ring_in_take(struct ring_in *ring, struct ring_taken *taken, struct hazards *hazards, uint32_t hazard_tag)
{
    if (ring->kind == RING_SPMC)
        return take_spmc(ring, taken);
    if (unlikely(ring->tail >= ring->end))
        return 0;
    return ring->kind == RING_SPSC ? take_spsc(ring, taken) : take_broadcast(ring, taken, hazards, hazard_tag);
}

/* Only a look: relaxed, for whoever takes it looks again (R2), and who would sleep has a fence before (P2). */
bool ring_in_has(struct ring_in *ring)
{
    if (ring->tail >= ring->end && ring->kind != RING_SPMC)
        return false;
    uint64_t seq = slot_glance(slot_of(ring, ring->tail));
    if (ring->kind == RING_SPSC)
        return seq == seq_ready(ring->tail);
    if (ring->kind == RING_BROADCAST)
        return seq >= seq_ready(ring->tail) || (seq == seq_absent(ring->tail) && was_withdrawn(ring));
    if (ring->owed != 0)
        return true;
    for (uint64_t step = 0; step <= 2 * ring->mask + 1; step++, ring->tail = after_missing(ring, ring->tail, seq)) {
        uint64_t index = ring->tail & ring->mask;
        seq = slot_glance(slot_of(ring, ring->tail));
        if (seq < seq_absent(ring->tail))
            return false;
        if (seq == seq_ready(ring->tail) && !claim_is_taken(peer_u64(&ring->claims->words[index]), ring->tail))
            return true;
    }
    return false;
}

bool ring_in_has_more(const struct ring_in *ring)
{
    struct ring_in next = *ring;
    next.tail += ring->kind != RING_SPMC; /* there it has moved on already */
    return ring_in_has(&next);
}

bool ring_in_still(const struct ring_in *ring)
{
    return slot_still(slot_of(ring, ring->tail), ring->tail);
}

void ring_in_skip_to_head(struct ring_in *ring)
{
    uint64_t head = peer_u64(&ring->header->head); /* hint */
    if (head > ring->tail && head <= ring->end)
        ring->tail = head;
}
