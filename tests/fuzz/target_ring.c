/* SPDX-License-Identifier: MIT */
/* A liar's rings, with each of the three kinds of tail: header, slots, blocks, parts. */
#include <errno.h>
#include <string.h>

#include "core/rx.h"
#include "core/message_layout.h"
#include "core/socket.h"
#include "liar.h"
#include "world.h"

#define RING_AT  4096
#define BLOCK_AT 32768
#define STEPS    24

static struct pipe peer;
static struct ring_in *const ring = &peer.in;
static struct claims claims;
static uint64_t image_head;

static uint64_t tempt(unsigned which)
{
    switch (which & 15) {
    case 0:
    case 1:
        return seq_ready(ring->tail);
    case 2:
        return seq_absent(ring->tail);
    case 3:
        return seq_ready(ring->tail + ring->mask + 1);
    case 4:
        return ring->tail + 1;
    case 5:
        return ring->tail + ring->mask + 2;
    case 6:
        return claim_word(ring->tail, CLAIM_CLAIMED, 7);
    case 7:
        return claim_word(ring->tail - 1, CLAIM_DONE, 7);
    case 8:
        return meta_make(SLOT_PAYLOAD, 0, 1);
    case 9:
        return meta_make(16, META_BLOCK, 0);
    case 10:
        return meta_make(16, META_BLOCK | META_PACKED, 0);
    case 11:
        return meta_make(48, META_PACKED, 0);
    case 12:
        return BLOCK_AT;
    case 13:
        return SEGMENT_EXTENT_MIN - 64;
    case 14:
        return PART_BLOCK | 1024;
    default:
        return SEGMENT_EXTENT_MIN - BLOCK_AT;
    }
}

/* An honest ring, for the truths. */
static void draw(unsigned char *base, uint32_t kind, uint64_t slots, bool newest_only)
{
    struct ring_header *header = (struct ring_header *)(void *)(base + RING_AT);
    struct ring_slot *slot = (struct ring_slot *)(void *)(base + RING_AT + RING_HEADER);
    uint64_t shape = liar_byte();

    header->magic = RING_MAGIC;
    header->kind = kind;
    header->slots = slots;
    header->limit = slots;
    header->newest_only = newest_only;
    store_relaxed(&header->head, image_head);
    for (uint64_t t = image_head > slots ? image_head - slots : 0; t < image_head; t++) {
        struct ring_slot *s = &slot[t % slots];
        store_relaxed(&s->seq, seq_ready(t));
        unsigned form = (unsigned)(shape + t) % 4;
        store_relaxed(&s->meta, form == 0   ? meta_make(t % (SLOT_PAYLOAD + 1), 0, 0)
                                : form == 1 ? meta_make(40, META_PACKED, 3)
                                            : meta_make(16, META_BLOCK | (form == 3 ? META_PACKED : 0), 0));
        store_relaxed(&s->payload[0], form == 1 ? 5 : form == 0 ? 0 : BLOCK_AT);
        store_relaxed(&s->payload[1], form == 1 ? 0 : 2048);
        store_relaxed(&s->payload[2], form == 1 ? (PART_BLOCK | 1500) : 0);
        store_relaxed(&s->payload[3], form == 1 ? BLOCK_AT + 64 : 0);
    }
    uint64_t *block = (uint64_t *)(void *)(base + BLOCK_AT);
    block[0] = 1000;
    block[126] = PART_BLOCK | 512;
    block[127] = BLOCK_AT;
}

static void read_parts(struct shm_socket *s)
{
    struct part part;
    int result;
    liar_allow("rx_next", 4);
    while ((result = rx_next(s, &part)) == 1) {
        liar_touch(part.data, part.size);
        if (!s->rx.message.taken.is_block)
            CHECK(s->rx.message.at <= SLOT_PAYLOAD);
        liar_allow("rx_next", 4);
    }
    CHECK(result == 0 || result == -EPROTO);
}

static void take(struct shm_socket *s, bool adopt)
{
    struct ring_taken *taken = &s->rx.message.taken;
    int result = adopt ? ring_in_adopt(ring, taken) : ring_in_take(ring, taken, &s->hazards, 1);
    CHECK(result == -EPROTO || result == 0 || result == 1);
    if (result != 1)
        return;
    CHECK(taken->is_block || taken->size <= SLOT_PAYLOAD);
    liar_touch(taken->bytes, taken->size);
    s->rx.message.pipe = &peer;
    s->rx.message.at = 0;
    read_parts(s);
    if (ring->kind == RING_SPMC)
        claims_done(&claims.words[taken->ticket & ring->mask], taken->ticket, claims.owner);
    else
        ring->tail = taken->ticket + 1;
    if (taken->protected)
        hazard_clear(&s->hazards, HAZARD_IN_HAND);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct shm_socket socket;
    static struct remote remote;
    static struct segment_header mine;
    static _Alignas(64) struct claims_header claims_page;
    static unsigned char *extent[2];

    liar_begin(data, size);
    liar_tempt = tempt;
    if (extent[0] == NULL) {
        extent[0] = world_bytes(world_file("liar", 2 * SEGMENT_EXTENT_MIN), 0, SEGMENT_EXTENT_MIN);
        extent[1] = world_bytes(world_file("more", SEGMENT_EXTENT_MIN), 0, SEGMENT_EXTENT_MIN);
        store_relaxed(&remote.base[0], extent[0]);
        store_relaxed(&remote.base[1], extent[1]);
        remote.store = world_store();
    }
    uint32_t kind = 1 + liar_choice(3);
    uint64_t slots = UINT64_C(8) << liar_choice(3), words[64] = {0};
    bool newest_only = liar_byte() > 200;
    image_head = liar_byte() < 200 ? liar_choice(40) : liar_number();
    memset(extent[0] + RING_AT, 0, RING_HEADER + 64 * sizeof(struct ring_slot));
    draw(extent[0], kind, slots, newest_only);
    uint64_t from = liar_byte() < 0x80 ? image_head - slots : liar_number();
    uint64_t at = liar_byte() < 0xe0 ? RING_AT : liar_number();

    liar_allow("ring_in_open", 16);
    memset(&peer, 0, sizeof peer);
    if (ring_in_open(ring, &remote, at) < 0)
        return 0;
    CHECK(ring->mask < SEGMENT_EXTENT_MIN / sizeof(struct ring_slot));
    if (ring->mask >= 64 && ring->kind == RING_SPMC)
        return 0; /* claims_attach() had refused its file */
    ring->tail = from > image_head && liar_byte() < 0x80 ? 0 : from;
    ring->end = liar_byte() < 0xc0 ? UINT64_MAX : liar_number();
    claims = (struct claims){.header = &claims_page, .words = (shared_u64 *)(void *)words, .owner = 1,
                             .slots = ring->mask + 1, .store = world_store(), .name = "liar"};
    store_relaxed(&claims_page.hint, 0);
    ring->claims = &claims;
    socket.hazards = (struct hazards){.header = &mine};
    memset(&socket.rx.message, 0, sizeof socket.rx.message);
    uint64_t reads = 16 * (ring->mask + 1) + 1024;
    for (int step = 0; step < STEPS && (liar_has_more() || step < 4); step++) {
        liar_allow("a call on a ring", reads);
        switch (liar_choice(8)) {
        case 0:
            ring_in_has(ring);
            break;
        case 1:
            ring_in_has_more(ring);
            break;
        case 2:
            if (ring->kind == RING_BROADCAST)
                ring_in_skip_to_head(ring);
            break;
        case 3:
            if (ring->kind == RING_SPMC) {
                take(&socket, true);
                break;
            } /* fall through */
        default:
            liar_allow("ring_in_take", reads);
            take(&socket, false);
        }
    }
    for (int i = 0; i < SEGMENT_HAZARDS; i++)
        CHECK(load_relaxed(&mine.hazards[i]) == 0);
    return 0;
}
