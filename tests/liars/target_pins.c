/* SPDX-License-Identifier: MIT */
/* Pins of a peer, as the sender that wants its blocks back reads them. */
#include <string.h>

#include "liar.h"
#include "transport/pins.h"

static uint64_t sought;

static uint64_t tempt(unsigned which)
{
    return which & 1 ? sought : which;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct segment_header peer, mine;
    struct pins pins = {.header = &mine};

    liar_begin(data, size);
    liar_tempt = tempt;
    store_relaxed(&peer.pins_used, liar_byte());
    for (int i = 0; i < 12 && (i == 0 || liar_has_more()); i++) {
        uint32_t tag = (uint32_t)liar_number();
        sought = pin_word(tag, liar_number());
        store_relaxed(&peer.pins[liar_byte()], sought);
        liar_allow("pins_has", SEGMENT_PINS + 1);
        pins_has(&peer, sought);
        liar_allow("pins_any", SEGMENT_PINS + 1);
        pins_any(&peer, tag);
        unsigned pin = liar_byte();
        pin_set(&pins, pin, sought);
        CHECK(pins.used > pin && pins.used <= SEGMENT_PINS);
        pin_clear(&pins, pin);
    }
    memset(peer.pins, 0, sizeof peer.pins);
    return 0;
}
