/* SPDX-License-Identifier: MIT */
/* A peer's hazard words, as read by the sender that wants to reuse its blocks. */
#include <string.h>

#include "liar.h"
#include "transport/hazard.h"

static uint64_t sought;

static uint64_t tempt(unsigned which)
{
    return which & 1 ? sought : which;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct segment_header peer, mine;
    struct hazards hazards = {.header = &mine};

    liar_begin(data, size);
    liar_tempt = tempt;
    store_relaxed(&peer.hazards_used, liar_byte());
    for (int i = 0; i < 12 && (i == 0 || liar_has_more()); i++) {
        uint32_t tag = (uint32_t)liar_number();
        sought = hazard_word(tag, liar_number());
        store_relaxed(&peer.hazards[liar_byte()], sought);
        liar_allow("hazards_has", SEGMENT_HAZARDS + 1);
        hazards_has(&peer, sought);
        liar_allow("hazards_any", SEGMENT_HAZARDS + 1);
        hazards_any(&peer, tag);
        unsigned pin = liar_byte();
        hazard_set(&hazards, pin, sought);
        CHECK(hazards.used > pin && hazards.used <= SEGMENT_HAZARDS);
        hazard_clear(&hazards, pin);
    }
    memset(peer.hazards, 0, sizeof peer.hazards);
    return 0;
}
