/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "transport/os.h"
#include "transport/slot.h"

#define FIRST_FILL 4096
#define SPARE_SLOTS 512 /* SPMC: for messages in hand, beside those that wait */
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

/* Put the first block of a message, with its chain, on the retired list: it waits for hazard words to go. */
static void retire(struct ring_out *ring, uint64_t slot)
{
    struct block *blocks = ring->in_flight[slot];
    if (blocks == NULL)
        return;
    ring->in_flight[slot] = NULL;
    blocks->next = *ring->retired;
    *ring->retired = blocks;
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
            if (!claim_is_done(word, t)) {
                contiguous = contiguous && ring->in_flight[slot] == NULL;
                continue;
            }
        }
        if (ring->kind == RING_BROADCAST && ring->in_flight[slot] != NULL)
            slot_withdraw(ring, t);
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
        slot_withdraw(ring, t);
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
        bool skipped = ring->acked < ring->skipped && slot_own_seq(ring, ring->acked) != seq_ready(ring->acked);
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
        uint64_t seq = slot_own_seq(ring, ring->head);
        if (seq == 0)
            return 1; /* first lap */
        uint64_t word = peer_u64_acquire(&ring->claims->words[slot]); /* C3 */
        uint64_t before = seq_ticket(seq); /* the ticket of the last lap, sent or skipped */
        if (claim_state(word) == CLAIM_DONE && (seq % 2 == 1 || claim_is_taken(word, before)))
            return 1;
        if (claim_state(word) != CLAIM_CLAIMED)
            return 0; /* not even taken: only a liar's hint leads here */
        slot_skip(ring);
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

static inline void fetch_ahead(const struct ring_out *ring)
{
    char *later = (char *)slot_reserve(ring, ring->head + PREFETCH_SLOTS);
    cpu_prefetch_write(later);
    cpu_prefetch_write(later + CACHE_LINE);
    cpu_prefetch_write((char *)slot_reserve(ring, ring->head) + CACHE_LINE);
    if (ring->kind == RING_SPMC)
        __builtin_prefetch(&ring->claims->words[(ring->head + CLAIMS_AHEAD) & ring->mask]);
}

void ring_out_publish(struct ring_out *ring, const struct ring_message *message)
{
    struct ring_slot *slot = slot_reserve(ring, ring->head);
    if (message->bytes == NULL)
        slot_write_block(ring, slot, message->blocks->offset, message->size, message->flags, message->tag);
    else
        slot_write_bytes(ring, slot, message->bytes, message->size, message->flags, message->tag);
    if (unlikely(ring->in_flight != NULL)) {
        uint64_t index = ring->head & ring->mask;
        retire(ring, index); /* of the last lap */
        ring->in_flight[index] = message->blocks;
    }
    slot_commit(ring);
    fetch_ahead(ring);
}
