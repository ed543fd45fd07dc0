/* SPDX-License-Identifier: MIT */
/* Claim words, which every puller may write: as other pullers read them, and as the pusher does. */
#include <errno.h>
#include <string.h>

#include "liar.h"
#include "transport/ring.h"
#include "world.h"

static struct claims claims;
static struct ring_out out;

static uint64_t tempt(unsigned which)
{
    uint64_t t = out.head;
    switch (which & 15) {
    case 0:
        return claim_word(t - 1, CLAIM_CLAIMED, 2);
    case 1:
        return claim_word(t - 1, CLAIM_DONE, 2);
    case 2:
        return claim_word(t, CLAIM_CLAIMED, 1);
    case 3:
        return claim_word(t + out.mask + 1, CLAIM_DONE, 2);
    case 4:
        return t;
    case 5:
        return out.acked;
    case 6:
        return claim_word(t - out.mask - 1, CLAIM_DONE, 3);
    case 7:
        return claim_word(t - out.mask - 1, CLAIM_CLAIMED, 3);
    case 8:
        return CLAIMS_MAGIC;
    case 9:
        return claims.slots;
    default:
        return claim_word(which & 3, 1 + (which & 1), which);
    }
}

static void as_puller(void)
{
    if (liar_byte() < 0xc0) {
        int fd = world_file(LIAR_ID ".claims", CLAIMS_HEADER + 16 * sizeof(shared_u64));
        struct claims_header *header = world_bytes(fd, 0, CLAIMS_HEADER + 16 * sizeof(shared_u64));
        header->magic = CLAIMS_MAGIC;
        header->slots = 16;
    }
    memset(&claims, 0, sizeof claims);
    liar_allow("claims_attach", 65536);
    if (claims_attach(&claims, world_store(), LIAR_ID, 16) < 0)
        return;
    CHECK(claims.owner >= 1 && claims.owner <= CLAIMS_OWNERS);
    for (int i = 0; i < 8; i++) {
        liar_allow("claims_adopt", 2 * claims.slots);
        uint64_t t = claims_adopt(&claims);
        if (t == UINT64_MAX)
            continue;
        CHECK(t < UINT64_C(1) << 46);
        shared_u64 *word = &claims.words[t & (claims.slots - 1)];
        CHECK(load_relaxed(word) == claim_word(t, CLAIM_CLAIMED, claims.owner));
        claims_done(word, t, claims.owner);
    }
    claims_detach(&claims);
}

static struct segment segment;
static struct arena arena;

static void as_pusher(void)
{
    struct block *retired = NULL;

    memset(&segment, 0, sizeof segment);
    CHECK(segment_new(&segment, world_store(), 8) == 0);
    arena_init(&arena, &segment);
    if (ring_out_open(&out, &arena, RING_SPMC, 4, true) < 0)
        return;
    CHECK(claims_new(&claims, world_store(), segment.id_hex, out.mask + 1) == 0);
    out.claims = &claims;
    out.retired = &retired;
    for (int i = 0; i < 40 && (i < 4 || liar_has_more()); i++) {
        switch (liar_choice(5)) {
        case 0:
            liar_allow("ring_out_look", 8 * out.mask);
            ring_out_look(&out);
            break;
        case 1:
            liar_allow("ring_out_reclaim", 8 * out.mask);
            ring_out_reclaim(&out, UINT64_MAX);
            break;
        default:
            liar_allow("ring_out_claimable", 16 * out.mask);
            if (ring_out_claimable(&out) == 1 && ring_out_ready(&out) == 0 && ring_out_track(&out) == 0) {
                struct block *block = liar_byte() & 1 ? arena_alloc(&arena, 256) : NULL;
                ring_out_publish(&out, &(struct ring_message){.bytes = block == NULL ? "message" : NULL,
                                                              .size = 8, .blocks = block});
            }
        }
        CHECK(out.acked <= out.head);
        for (struct block *b = retired, *next; b != NULL; b = next) {
            next = b->next;
            arena_free(&arena, b);
        }
        retired = NULL;
    }
    ring_out_close(&out);
    claims_detach(&claims);
    arena_deinit(&arena);
    segment_close(&segment);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    liar_begin(data, size);
    liar_tempt = tempt;
    memset(&out, 0, sizeof out);
    if (liar_byte() & 1)
        as_puller();
    else
        as_pusher();
    world_reset();
    return 0;
}
