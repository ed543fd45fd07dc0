/* SPDX-License-Identifier: MIT */
/* An endpoint's file, which all sockets of the name may write: members, accept records, the tombstone. */
#include <errno.h>
#include <string.h>

#include "liar.h"
#include "shmq.h"
#include "transport/endpoint.h"
#include "world.h"

#define FILE_SIZE (ENDPOINT_HEADER_SIZE + (size_t)ENDPOINT_SLOTS * sizeof(struct endpoint_slot))

static uint64_t tempt(unsigned which)
{
    switch (which & 7) {
    case 0:
        return ENDPOINT_MAGIC;
    case 1:
        return SHMQ_ABI;
    case 2:
        return 4;
    case 3:
        return 3;
    case 4:
        return which == 4 ? ENDPOINT_SLOTS : 0;
    case 5:
        return LIAR_WORD;
    case 6:
        return 1;
    default:
        return which;
    }
}

static void draw(void)
{
    int fd = world_file("name.ep", FILE_SIZE);
    struct endpoint_header *header = world_bytes(fd, 0, FILE_SIZE);
    struct endpoint_slot *slots = (struct endpoint_slot *)(void *)(header + 1);
    header->magic = ENDPOINT_MAGIC;
    header->abi = SHMQ_ABI;
    header->name_size = 4;
    memcpy(header->name, "name", 5);
    store_relaxed(&header->high, 3);
    store_relaxed(&header->binder.gen, 1);
    for (unsigned i = 0; i < 3; i++) {
        store_relaxed(&slots[i].member.gen, i & 1);
        store_relaxed(&slots[i].member.id[0], LIAR_WORD);
        store_relaxed(&slots[i].accepts[0].gen, 1);
    }
}

/* Reads per place, and per record read: the library's own bounds. */
#define READS_ALL (UINT64_C(40) * ENDPOINT_SLOTS + 4096)

static void use(struct endpoint *endpoint)
{
    struct member member = {0};
    struct accepted answer = {0};
    uint8_t id[SEGMENT_ID_SIZE] = {1};

    for (int i = 0; i < 16 && liar_has_more(); i++) {
        uint32_t slot = (uint32_t)liar_number() % ENDPOINT_SLOTS;
        liar_allow("a call on an endpoint", 16 * 12);
        switch (liar_choice(8)) {
        case 0:
            endpoint_binder(endpoint, &member);
            break;
        case 1:
            endpoint_connector(endpoint, slot, &member);
            break;
        case 2:
            endpoint_accept_read(endpoint, slot, &answer);
            break;
        case 3:
            endpoint_accept_write(endpoint, slot, &answer);
            break;
        case 4:
            endpoint_announce(endpoint, id, 1, 64);
            break;
        case 5:
            CHECK(endpoint_high(endpoint) <= ENDPOINT_SLOTS);
            break;
        case 6:
            endpoint_clear(endpoint, slot);
            break;
        default:
            endpoint_gen(endpoint);
            endpoint_binder_lives(endpoint);
            endpoint_connector_lives(endpoint, slot);
        }
        CHECK(memchr(member.id_hex, '\0', sizeof member.id_hex) != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct endpoint endpoint;

    liar_begin(data, size);
    liar_tempt = tempt;
    uint8_t how = liar_byte();
    if (how & 1)
        draw();
    liar_allow("endpoint_bind", UINT64_C(10000) * 16 + READS_ALL);
    int error = how & 2 ? endpoint_bind(&endpoint, world_store(), "name")
                        : endpoint_connect(&endpoint, world_store(), "name");
    if (error == 0) {
        use(&endpoint);
        liar_allow("endpoint_leave", READS_ALL);
        endpoint_leave(&endpoint, how & 4);
    } else {
        CHECK(error == -ENOCOMPATPROTO || error == -EADDRINUSE || error == -EUSERS || error == -EBUSY ||
              error == -EPROTO);
    }
    world_reset();
    return 0;
}
