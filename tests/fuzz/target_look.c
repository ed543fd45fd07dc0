/* SPDX-License-Identifier: MIT */
/*
 * The tool reads files of any content (tools/look.c, tools/lag.c). Linked with --wrap=pread: the liar chooses the
 * content and where a file ends.
 */
#include <errno.h>
#include <string.h>
#include <sys/types.h>

#include "lag.h"
#include "liar.h"
#include "look.h"
#include "text.h"
#include "transport/claims.h"
#include "world.h"

ssize_t __wrap_pread(int fd, void *out, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *out, size_t size, off_t offset); /* its name with large files */

#define RECORD_AT 8192
#define RING_AT   12288

static int endpoint_fd, segment_fd;
static uint8_t kind;

static uint64_t endpoint_word(uint64_t i)
{
    static const uint64_t header[] = {ENDPOINT_MAGIC, UINT64_C(2) << 32 | SHMQ_ABI, 'i' | 't' << 8};
    static const uint64_t slot[] = {1, LIAR_WORD, LIAR_WORD, 8, 77, RECORD_AT};
    static const uint64_t answer[] = {1, 1, 1, LIAR_WORD, LIAR_WORD, VERDICT_ACCEPTED, RECORD_AT, UINT64_MAX};
    if (i < 3)
        return header[i];
    if (i >= 64 && i < 70)
        return slot[i - 64];
    if (i == 128)
        return UINT64_C(3) << 32; /* high */
    if (i < ENDPOINT_HEADER_SIZE / 8)
        return 0;
    i %= sizeof(struct endpoint_slot) / 8;
    return i < 6 ? slot[i] : i >= 16 && i < 24 ? answer[i - 16] : 0;
}

static uint64_t segment_word(uint64_t i)
{
    static const uint64_t header[] = {SEGMENT_MAGIC, UINT64_C(8) << 32 | SHMQ_ABI, LIAR_WORD, LIAR_WORD, 0, 0, RING_AT};
    if (i < 7)
        return header[i];
    switch (i * 8) {
    case RECORD_AT:
        return PIPE_RECORD_MAGIC | UINT64_C(1) << 32;
    case RECORD_AT + 8:
        return RING_AT;
    case RECORD_AT + 32:
        return UINT64_MAX;
    case RING_AT:
        return RING_MAGIC | (uint64_t)kind << 32;
    case RING_AT + 8:
        return 16;
    case RING_AT + 64:
        return 20;
    default:
        return 0;
    }
}

static uint64_t claims_word(uint64_t i)
{
    return i == 0 ? CLAIMS_MAGIC : i == 1 ? 16 : i == 16 ? 10 : i >= 512 ? claim_word(i % 16 + 8, 1 + (i & 1), 3) : 0;
}

static uint64_t tempt(unsigned which)
{
    return (uint64_t)kind << (which & 31);
}

/* Honest files with some of the liar's words in them, which may end anywhere. */
ssize_t __wrap_pread(int fd, void *out, size_t size, off_t offset)
{
    uint64_t word;
    unsigned other = liar_answer();
    for (size_t at = 0; at + 8 <= size; at += 8) {
        uint64_t i = ((uint64_t)offset + at) / 8;
        word = fd == endpoint_fd ? endpoint_word(i) : fd == segment_fd ? segment_word(i) : claims_word(i);
        if (word != 0 || at / 8 == other)
            word = liar_u64(NULL, word);
        memcpy((char *)out + at, &word, 8);
    }
    uint8_t end = liar_answer();
    if (end < 0xf8)
        return (ssize_t)size;
    errno = EINTR;
    return end < 0xfc ? (ssize_t)(size / 2) : end < 0xfe ? 0 : -1;
}

ssize_t __wrap_pread64(int fd, void *out, size_t size, off_t offset)
{
    return __wrap_pread(fd, out, size, offset);
}

static void look_at_socket(const char *id_hex)
{
    struct socket_look socket;
    struct pipe_record here, there;
    struct ring_header ring;

    if (socket_look(&socket, world_store(), id_hex) < 0)
        return;
    CHECK(socket.fd >= 0 && type_name(socket.type) != NULL);
    uint64_t offset = liar_byte() < 0xc0 ? RING_AT : liar_number();
    if (ring_look(&socket, offset, &ring) == 0)
        CHECK(ring.slots >= 8 && ring.slots <= RING_SLOTS_MAX);
    lag_of_ring(&socket, world_store(), offset);
    offset = liar_byte() < 0xc0 ? RECORD_AT : liar_number();
    if (pipe_look(&socket, offset, &here) == 0 && pipe_look(&socket, offset, &there) == 0)
        lag_of_pipe(&socket, world_store(), &here, &there);
    socket_look_end(&socket);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct endpoint_look endpoint;
    struct slot_look slot;
    char text[TEXT_ROOM(256)];

    liar_begin(data, size);
    liar_tempt = tempt;
    kind = (uint8_t)(1 + liar_choice(4));
    endpoint_fd = world_file("it.ep", 1 << 20);
    segment_fd = world_file(LIAR_ID ".seg", 1 << 20);
    world_file(LIAR_ID ".claims", 1 << 20);
    if (endpoint_look(&endpoint, world_store(), "it.ep") == 0) {
        CHECK(endpoint.name_size <= sizeof endpoint.name && endpoint.high <= ENDPOINT_SLOTS);
        text_printable(text, endpoint.name, endpoint.name_size);
        CHECK(strlen(text) < sizeof text);
        for (uint32_t i = 0; endpoint.fd >= 0 && i < endpoint.high && i < 4; i++)
            if (slot_look(&endpoint, i, &slot)) {
                slot_is_peer(&slot);
                look_at_socket(slot.member.id_hex);
            }
        endpoint_look_end(&endpoint);
    }
    look_at_socket(LIAR_ID);
    world_reset();
    return 0;
}
