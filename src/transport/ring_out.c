/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "transport/os.h"
#include "transport/ring.h"

#define FIRST_FILL 4096
#define CLAIMS_AHEAD 16 /* words: two lines */
#define SPARE_SLOTS 512 /* of a shared ring: for messages in hand, beside those that wait */
#ifndef PREFETCH_SLOTS
#define PREFETCH_SLOTS 8
#endif

static uint64_t slots_in(uint64_t bytes)
{
    return bytes <= RING_HEADER ? 0 : (bytes - RING_HEADER) / sizeof(struct ring_slot);
}

static uint64_t bytes_for(uint64_t slots)
{
    return (RING_HEADER + slots * sizeof(struct ring_slot) + 4095) & ~UINT64_C(4095);
}

static uint64_t filled_bytes(const struct ring_out *ring)
{
    return ring->filled == 0 ? 0 : bytes_for(ring->filled);
}

static int fill_to(struct ring_out *ring, uint64_t bytes)
{
    uint64_t all = bytes_for(ring->mask + 1);
    uint64_t from = filled_bytes(ring), to = bytes < all ? bytes : all;
    int error = arena_fill_sparse(ring->arena, ring->block, from, to);
    if (error == 0)
        ring->filled = slots_in(to) > ring->mask ? ring->mask + 1 : slots_in(to);
    return error;
}

int ring_out_open(struct ring_out *ring, struct arena *arena, uint32_t kind, uint64_t limit, bool fill_now)
{
    uint64_t slots = 8, spare = kind == RING_SPMC ? SPARE_SLOTS : kind == RING_SPSC && limit > 512 ? 64 : 0;

    memset(ring, 0, sizeof *ring);
    while (slots < limit + spare && slots < RING_SLOTS_MAX)
        slots *= 2;
    ring->arena = arena;
    ring->kind = kind;
    ring->limit = limit < slots ? limit : slots;
    ring->mask = slots - 1;
    ring->block = arena_alloc_sparse(arena, bytes_for(slots));
    if (ring->block == NULL)
        return -errno;
    ring->header = (struct ring_header *)(void *)ring->block->data;
    ring->slots = (struct ring_slot *)(void *)(ring->block->data + RING_HEADER);
    uint64_t there = ring->block->size - ring->block->missing;
    ring->filled = slots_in(there) > ring->mask ? slots : slots_in(there);
    int error = there >= FIRST_FILL && !fill_now ? 0 : fill_to(ring, fill_now ? UINT64_MAX : FIRST_FILL);
    ring->stays = there > 0;
    if (error < 0) {
        if (ring->stays)
            arena_keep_sparse(arena, ring->block, filled_bytes(ring));
        else
            arena_free_sparse(arena, ring->block, 0);
        ring->block = NULL;
        return error;
    }
    ring->header->magic = RING_MAGIC;
    ring->header->kind = kind;
    ring->header->slots = slots;
    ring->header->limit = ring->limit;
    return 0;
}

void ring_out_close(struct ring_out *ring)
{
    if (ring->block == NULL)
        return;
    for (uint64_t i = 0; ring->in_flight != NULL && i <= ring->mask; i++)
        for (struct block *b = ring->in_flight[i], *next; b != NULL; b = next) {
            next = b->chain;
            arena_free(ring->arena, b);
        }
    free(ring->in_flight);
    if (ring->stays)
        arena_keep_sparse(ring->arena, ring->block, filled_bytes(ring));
    else
        arena_free_sparse(ring->arena, ring->block, filled_bytes(ring));
    memset(ring, 0, sizeof *ring);
}

void ring_out_forget(struct ring_out *ring)
{
    for (uint64_t i = 0; ring->in_flight != NULL && i <= ring->mask; i++)
        block_forget(ring->in_flight[i]);
    free(ring->in_flight);
    block_forget(ring->block);
    memset(ring, 0, sizeof *ring);
}

uint64_t ring_out_offset(const struct ring_out *ring)
{
    return ring->block->offset;
}

int ring_out_fill(struct ring_out *ring)
{
    return fill_to(ring, 2 * filled_bytes(ring));
}

/* Put the first block of a message, with its chain, on the list of those that wait for hazards to go. */
static void retire(struct ring_out *ring, uint64_t slot)
{
    struct block *blocks = ring->in_flight[slot];
    if (blocks == NULL)
        return;
    ring->in_flight[slot] = NULL;
    blocks->next = *ring->retired;
    *ring->retired = blocks;
}

/* No newcomer shall look at what ticket T had. */
static void withdraw(struct ring_out *ring, uint64_t t)
{
    store_relaxed(&ring->header->oldest, t + 1);
    store_release(&ring->slots[t & ring->mask].seq, seq_absent(t)); /* R8 */
    fence_seq_cst();
}

void ring_out_reclaim(struct ring_out *ring, uint64_t until)
{
    if (ring->in_flight == NULL)
        return;
    if (ring->head - ring->reclaim > ring->mask + 1)
        ring->reclaim = ring->head - ring->mask - 1;
    bool contiguous = true;
    for (uint64_t t = ring->reclaim; t < ring->head && t < until; t++) {
        uint64_t slot = t & ring->mask;
        if (ring->kind == RING_SPMC) {
            uint64_t word = peer_u64_acquire(&ring->claims->words[slot]); /* C3 */
            if (claim_state(word) != CLAIM_DONE || !claim_is_taken(word, t)) {
                contiguous = contiguous && ring->in_flight[slot] == NULL;
                continue;
            }
        }
        if (ring->kind == RING_BROADCAST && ring->in_flight[slot] != NULL)
            withdraw(ring, t);
        retire(ring, slot);
        if (contiguous)
            ring->reclaim = t + 1;
    }
}

int ring_out_drop_oldest(struct ring_out *ring)
{
    if (ring->in_flight == NULL)
        return 0;
    if (ring->head - ring->reclaim > ring->mask + 1)
        ring->reclaim = ring->head - ring->mask - 1;
    for (; ring->reclaim < ring->head; ring->reclaim++) {
        uint64_t t = ring->reclaim, slot = t & ring->mask;
        if (ring->in_flight[slot] == NULL)
            continue;
        withdraw(ring, t);
        retire(ring, slot);
        ring->reclaim++;
        return 1;
    }
    return 0;
}

/* The hint may be old, its writer dead: look at the words themselves. Relaxed: C3 comes before a slot is written. */
void ring_out_look(struct ring_out *ring)
{
    struct claims *claims = ring->claims;
    uint64_t hint = peer_u64(&claims->header->hint);
    if (hint > ring->acked && hint <= ring->head)
        ring->acked = hint;
    while (ring->acked < ring->head) {
        uint64_t slot = ring->acked & ring->mask;
        bool skipped = ring->acked < ring->skipped && load_relaxed(&ring->slots[slot].seq) != seq_ready(ring->acked);
        if (!skipped && !claim_is_taken(peer_u64(&claims->words[slot]), ring->acked))
            return;
        ring->acked++;
    }
}

int ring_out_claimable(struct ring_out *ring)
{
    for (uint64_t step = 0; step <= ring->mask; step++) {
        if (ring->head - ring->acked >= ring->limit) {
            ring_out_look(ring);
            if (ring->head - ring->acked >= ring->limit)
                return 0;
        }
        uint64_t slot = ring->head & ring->mask;
        uint64_t seq = load_relaxed(&ring->slots[slot].seq);
        if (seq == 0)
            return 1; /* first lap */
        uint64_t word = peer_u64_acquire(&ring->claims->words[slot]); /* C3 */
        uint64_t before = (seq - 1) / 2; /* the ticket of the last lap, sent or skipped */
        if (claim_state(word) == CLAIM_DONE && (seq % 2 == 1 || claim_is_taken(word, before)))
            return 1;
        if (claim_state(word) != CLAIM_CLAIMED)
            return 0; /* not even taken: only a liar's hint leads here */
        store_relaxed(&ring->slots[slot].seq, seq_absent(ring->head)); /* nothing is behind it */
        ring->head++;
        ring->skipped = ring->head;
        store_relaxed(&ring->header->head, ring->head);
        if (ring_out_ready(ring) < 0)
            return 0;
    }
    return 0;
}

int ring_out_track(struct ring_out *ring)
{
    if (ring->in_flight == NULL) {
        ring->in_flight = calloc(ring->mask + 1, sizeof *ring->in_flight);
        if (ring->in_flight == NULL)
            return -ENOMEM;
        ring->reclaim = ring->head;
    }
    return 0;
}

void ring_out_publish(struct ring_out *ring, const struct ring_message *message)
{
    uint64_t slot_index = ring->head & ring->mask;
    struct ring_slot *slot = &ring->slots[slot_index];
    uint64_t meta, reference[2];
    const void *bytes = message->bytes;
    uint64_t size = message->size;

    if (bytes == NULL) {
        reference[0] = message->blocks->offset;
        reference[1] = size;
        bytes = reference;
        size = sizeof reference;
        meta = meta_make(size, message->flags | META_BLOCK, message->tag);
    } else {
        meta = meta_make(size, message->flags, message->tag);
    }
    if (ring->kind == RING_BROADCAST) {
        uint64_t staged[SLOT_WORDS];
        store_relaxed(&slot->seq, seq_absent(ring->head)); /* R5 */
        fence_release();
        memcpy(staged, bytes, size);
        store_relaxed(&slot->meta, meta);
        copy_words_in(slot->payload, staged, (size + 7) / 8);
    } else {
        store_relaxed(&slot->meta, meta);
        memcpy((void *)(uintptr_t)slot->payload, bytes, size);
    }
    if (unlikely(ring->in_flight != NULL)) {
        retire(ring, slot_index); /* of the last lap */
        ring->in_flight[slot_index] = message->blocks;
    }
    /* R1: a store with the payload's, then the fence of S1: an exchange would wait for the line twice. */
    store_release(&slot->seq, seq_ready(ring->head));
    fence_seq_cst();
    ring->head++;
    store_relaxed(&ring->header->head, ring->head);
    struct ring_slot *later = &ring->slots[(ring->head + PREFETCH_SLOTS) & ring->mask];
    cpu_prefetch_write(later);
    cpu_prefetch_write((char *)later + CACHE_LINE);
    cpu_prefetch_write((char *)&ring->slots[ring->head & ring->mask] + CACHE_LINE);
    if (ring->kind == RING_SPMC)
        __builtin_prefetch(&ring->claims->words[(ring->head + CLAIMS_AHEAD) & ring->mask]);
}
