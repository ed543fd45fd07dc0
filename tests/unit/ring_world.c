/* SPDX-License-Identifier: MIT */
#include "ring_world.h"

/* The first ticket of a test: claim words have 46 bits of it, sequences are twice it. */
static const uint64_t firsts[] = {0, (UINT64_C(1) << 32) - 5, (UINT64_C(1) << 46) - 5, (UINT64_C(1) << 62) - 5};

static _Alignas(4096) unsigned char segment[SEGMENT_EXTENT_MIN]; /* of the sender */
struct segment_header mine;
struct claims_header claims_header;
static shared_u64 claims_words[SLOTS];
struct block blocks[BLOCKS];

struct remote remote;
struct ring_out out;
struct ring_in in[READERS];
static struct claims claims[READERS + 1]; /* the last: the sender's */
struct hazards hazards = {.header = &mine};
struct block *retired;
struct ring_taken taken;

void make(uint32_t kind, uint64_t first)
{
    struct ring_header *header = (struct ring_header *)(void *)(segment + RING_AT);
    memset(segment, 0, sizeof segment);
    memset(&remote, 0, sizeof remote);
    memset(&mine, 0, sizeof mine);
    memset(claims_words, 0, sizeof claims_words);
    hazards.used = 0;
    retired = NULL;
    store_relaxed(&remote.base[0], segment);
    free(out.in_flight); /* of the ring before */
    *header = (struct ring_header){.magic = RING_MAGIC, .kind = kind, .slots = SLOTS, .limit = SLOTS};
    store_relaxed(&header->head, first);
    store_relaxed(&header->oldest, first);
    out = (struct ring_out){.header = header, .slots = (struct ring_slot *)(void *)(header + 1), .mask = SLOTS - 1,
                            .filled = SLOTS, .limit = SLOTS, .kind = kind, .claims = &claims[READERS],
                            .retired = &retired, .head = first, .acked = first, .cleared = first, .reclaim = first};
    store_relaxed(&claims_header.hint, first);
    for (uint64_t t = first < SLOTS ? first : first - SLOTS; t < first; t++) {
        store_relaxed(&out.slots[t % SLOTS].seq, seq_ready(t));
        store_relaxed(&claims_words[t % SLOTS], claim_word(t, CLAIM_DONE, 1));
    }
    for (uint32_t r = 0; r <= READERS; r++)
        claims[r] = (struct claims){.header = &claims_header, .words = claims_words, .slots = SLOTS,
                                    .owner = (r + 1) % (READERS + 1)};
    for (uint32_t r = 0; r < READERS; r++) {
        CHECK_OK(ring_in_open(&in[r], &remote, RING_AT));
        in[r].claims = &claims[r];
        in[r].tail = first;
    }
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = (struct block){.data = segment + BLOCKS_AT + i * BLOCK_SIZE, .size = BLOCK_SIZE,
                                   .offset = BLOCKS_AT + i * BLOCK_SIZE};
}

void for_each_first(uint32_t kind, void (*body)(uint64_t first))
{
    for (size_t f = 0; f < COUNT_OF(firsts); f++) {
        make(kind, firsts[f]);
        body(firsts[f]);
    }
}

size_t size_of(uint64_t n)
{
    return (size_t)(n * 37 % (SLOT_PAYLOAD + 1));
}

const unsigned char *bytes_of(uint64_t n)
{
    static unsigned char bytes[SLOT_PAYLOAD];
    for (size_t i = 0; i < SLOT_PAYLOAD; i++)
        bytes[i] = (unsigned char)(n * 31 + i);
    return bytes;
}

void publish(uint64_t n)
{
    if (out.kind == RING_SPMC)
        CHECK_INT(ring_out_claimable(&out), 1);
    ring_out_publish(&out, &(struct ring_message){.bytes = bytes_of(n), .size = size_of(n), .tag = (uint32_t)n});
}

void publish_block(struct block *block)
{
    CHECK_INT(ring_out_track(&out), 0);
    ring_out_publish(&out, &(struct ring_message){.size = BLOCK_SIZE, .blocks = block});
}

int take(struct ring_in *ring)
{
    return ring_in_take(ring, &taken, &hazards, TAG);
}

void consume(struct ring_in *ring)
{
    if (ring->kind == RING_SPMC)
        slot_finish(ring, taken.ticket);
    else
        ring->tail = taken.ticket + 1;
    if (taken.protected)
        hazard_clear(&hazards, HAZARD_IN_HAND);
    if (ring->kind == RING_SPSC)
        out.acked = ring->tail;
}

void expect(struct ring_in *ring, uint64_t n)
{
    CHECK(ring_in_has(ring));
    CHECK_INT(take(ring), 1);
    CHECK_MEM(taken.bytes, taken.size, bytes_of(n), size_of(n));
    CHECK_INT(taken.tag, (uint32_t)n);
    CHECK(!taken.packed && !taken.is_block && !taken.redelivered);
    consume(ring);
}

void expect_nothing(struct ring_in *ring)
{
    CHECK(!ring_in_has(ring));
    CHECK_INT(take(ring), 0);
}
