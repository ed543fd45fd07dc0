/* SPDX-License-Identifier: MIT */
/* Doorbells, our own and a peer's: every peer may write all of them. */
#include <errno.h>
#include <string.h>

#include "liar.h"
#include "transport/bell.h"
#include "world.h"

static uint64_t tempt(unsigned which)
{
    return which & 1 ? BELL_MAGIC : which / 2 & (BELL_WAITING | BELL_FD);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bell own = {0}, peer = {0};

    liar_begin(data, size);
    liar_tempt = tempt;
    CHECK(bell_new(&own, world_store(), "22222222222222222222222222222222") == 0);
    int fd = world_file(LIAR_ID ".bell", sizeof(struct bell_page));
    ((struct bell_page *)world_bytes(fd, 0, sizeof(struct bell_page)))->magic = BELL_MAGIC;
    liar_allow("bell_attach", 2);
    int error = bell_attach(&peer, world_store(), LIAR_ID);
    CHECK(error == 0 || (error == -EPROTO && peer.page == NULL));
    for (int i = 0; i < 16 && liar_has_more(); i++) {
        uint32_t how = BELL_WAITING + (liar_byte() & 1);
        liar_allow("a call on a bell", 4);
        bell_announce(&own, how);
        if (error == 0)
            CHECK(bell_ring(&peer) <= 1);
        bell_ring(&own);
        CHECK(bell_sleep(&own, how, 1000) <= 0);
        bell_retract(&own);
    }
    bell_detach(&peer);
    bell_detach(&own);
    world_reset();
    return 0;
}
