/* SPDX-License-Identifier: MIT */
/* A liar's segment: its header when it is mapped, and every offset and size that it may name after that. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "liar.h"
#include "transport/remote.h"
#include "world.h"

static uint64_t offset_now;

static uint64_t tempt(unsigned which)
{
    unsigned extent = segment_extent(offset_now);
    switch (which & 7) {
    case 0:
        return SEGMENT_MAGIC;
    case 1:
        return LIAR_WORD;
    case 2:
        return segment_extent_start(which / 8 + 1);
    case 3:
        return segment_extent_start(which / 8 + 1) - 64;
    case 4:
        return segment_extent_size(extent < SEGMENT_EXTENTS ? extent : 0) - 64;
    case 5:
        return SHMQ_ABI;
    case 6:
        return (UINT64_C(1) << (32 + which)) - 64;
    default:
        return SEGMENT_EXTENT_MIN << (which / 8);
    }
}

static void draw(uint64_t size)
{
    int fd = world_file(LIAR_ID ".seg", size);
    struct segment_header *header = world_bytes(fd, 0, SEGMENT_EXTENT_MIN);
    header->magic = SEGMENT_MAGIC;
    header->abi = SHMQ_ABI;
    memset(header->id, 0x11, sizeof header->id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct remote *remote;

    liar_begin(data, size);
    liar_tempt = tempt;
    draw(SEGMENT_EXTENT_MIN << liar_choice(4));
    liar_allow("remote_open", 16);
    int error = remote_open(&remote, world_store(), LIAR_ID);
    CHECK(error <= 0);
    for (int i = 0; error == 0 && i < 24 && liar_has_more(); i++) {
        offset_now = liar_number();
        uint64_t bytes = liar_number();
        liar_allow("remote_at", 2); /* how long the file is, and which */
        const void *at = remote_at(remote, offset_now, bytes);
        if (at != NULL) {
            CHECK(bytes <= segment_extent_size(segment_extent(offset_now)));
            liar_touch(at, bytes);
        }
    }
    liar_allow("remote_close", 4);
    if (error == 0)
        remote_close(remote);
    world_reset();
    return 0;
}
