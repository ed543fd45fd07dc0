/* SPDX-License-Identifier: MIT */
/*
 * Rings by themselves, for all kinds of tail: what is published is taken, from tickets near which numbers wrap as well;
 * blocks; slots that make no sense. (test_ring_tails.c: what one kind of tail has.)
 */
#include "ring_world.h"

static void for_all_kinds(void (*body)(uint64_t first))
{
    for_each_first(RING_BROADCAST, body);
    for_each_first(RING_SPSC, body);
    for_each_first(RING_SPMC, body);
}

TEST_RUN_BY(for_all_kinds, what_is_published_is_taken_once_in_order_and_whole, uint64_t first)
{
    expect_nothing(&in[0]);
    for (uint64_t n = 0; n < 5 * SLOTS; n += 1 + n % SLOTS) {
        uint64_t burst = 1 + n % SLOTS;
        for (uint64_t i = 0; i < burst; i++)
            publish(n + i);
        for (uint64_t i = 0; i < burst; i++)
            expect(&in[0], n + i);
        expect_nothing(&in[0]);
    }
    CHECK_INT(in[0].lost, 0);
    CHECK_INT(in[0].tail, out.head);
    CHECK_INT(load_relaxed(&out.header->head), out.head);
}

TEST_RUN_BY(for_all_kinds, a_message_that_was_written_and_not_committed_is_not_there, uint64_t first)
{
    for (uint64_t n = 0; n < SLOTS; n++) {
        publish(n);
        expect(&in[0], n);
    }
    slot_write_bytes(&out, slot_reserve(&out, out.head), "half", 4, 0, 0);
    expect_nothing(&in[0]);
    slot_commit(&out);
    CHECK_INT(take(&in[0]), 1);
    CHECK_MEM(taken.bytes, taken.size, "half", 4);
}

TEST_RUN_BY(for_all_kinds, words_and_bytes_are_gathered_into_one_message, uint64_t first)
{
    static const uint64_t words[] = {7, UINT64_C(0x0807060504030201)};
    slot_write(&out, slot_reserve(&out, out.head), meta_make(sizeof words + 5, META_PACKED, 9), words, 2, "bytes", 5);
    slot_commit(&out);
    CHECK_INT(take(&in[0]), 1);
    CHECK(taken.packed);
    CHECK_INT(taken.tag, 9);
    CHECK_INT(taken.size, sizeof words + 5);
    CHECK_MEM(taken.bytes, sizeof words, words, sizeof words);
    CHECK_MEM(taken.bytes + sizeof words, 5, "bytes", 5);
}

TEST_RUN_BY(for_all_kinds, a_block_is_taken_by_reference, uint64_t first)
{
    publish_block(&blocks[3]);
    CHECK_INT(take(&in[0]), 1);
    CHECK(taken.is_block);
    CHECK(taken.bytes == blocks[3].data && taken.size == BLOCK_SIZE && taken.offset == blocks[3].offset);
    CHECK_INT(taken.protected, out.kind == RING_BROADCAST);
    CHECK_INT(hazards_has(&mine, hazard_word(TAG, blocks[3].offset)), out.kind == RING_BROADCAST);
    consume(&in[0]);
    CHECK(!hazards_any(&mine, TAG));
}

TEST_RUN_BY(for_all_kinds, the_blocks_of_a_slot_are_retired_when_it_is_written_again, uint64_t first)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        publish_block(&blocks[i]);
        CHECK_INT(take(&in[0]), 1);
        consume(&in[0]);
        CHECK(retired == NULL);
    }
    for (unsigned i = 0; i < SLOTS; i++) { /* the next lap: by messages with a block, and without */
        if (i % 2 == 0)
            publish_block(&blocks[SLOTS + i]);
        else
            publish(i);
        CHECK(retired == &blocks[i]);
        CHECK_INT(take(&in[0]), 1);
        consume(&in[0]);
    }
}

/* ---- what makes no sense ---- */

/* The next message of a sender that lies. */
static int take_lie(uint64_t meta, uint64_t word0, uint64_t word1)
{
    uint64_t words[2] = {word0, word1};
    slot_write(&out, slot_reserve(&out, out.head), meta, words, 2, NULL, 0);
    slot_commit(&out);
    int result = take(&in[0]);
    CHECK(!hazards_any(&mine, TAG));
    taken.ticket = out.head - 1;
    taken.protected = false;
    consume(&in[0]);
    return result;
}

TEST_RUN_BY(for_all_kinds, a_slot_that_makes_no_sense_is_refused, uint64_t first)
{
    uint64_t block = meta_make(16, META_BLOCK, 0), room = SEGMENT_EXTENT_MIN - BLOCKS_AT;
    CHECK_INT(take_lie(meta_make(SLOT_PAYLOAD + 1, 0, 0), 0, 0), -EPROTO);
    CHECK_INT(take_lie(meta_make(255, META_PACKED, 0), 0, 0), -EPROTO);
    CHECK_INT(take_lie(block, BLOCKS_AT + 1, 16), -EPROTO);
    CHECK_INT(take_lie(block, BLOCKS_AT, room + 1), -EPROTO);
    CHECK_INT(take_lie(block, BLOCKS_AT, UINT64_MAX), -EPROTO);
    CHECK_INT(take_lie(block, UINT64_MAX - 63, 16), -EPROTO);
    publish(1);
    expect(&in[0], 1);
}

TEST_RUN_BY(for_all_kinds, a_header_that_makes_no_sense_is_refused, uint64_t first)
{
    struct ring_in ring;
    struct ring_header honest = {.magic = RING_MAGIC, .kind = out.kind, .slots = SLOTS, .limit = SLOTS}, lie;
#define REFUSED(field, value)                                           \
    do {                                                                \
        memcpy(&lie, &honest, sizeof lie);                              \
        lie.field = value;                                              \
        memcpy(out.header, &lie, sizeof lie);                           \
        CHECK_INT(ring_in_open(&ring, &remote, RING_AT), -EPROTO);      \
    } while (0)
    REFUSED(magic, RING_MAGIC + 1);
    REFUSED(kind, 0);
    REFUSED(kind, RING_SPMC + 1);
    REFUSED(slots, 0);
    REFUSED(slots, 4);
    REFUSED(slots, SLOTS + 1);
    REFUSED(slots, RING_SLOTS_MAX * 2);
    REFUSED(slots, 1024); /* more than its segment has */
    memcpy(out.header, &honest, sizeof honest);
    CHECK_INT(ring_in_open(&ring, &remote, RING_AT + 8), -EPROTO);
    CHECK_INT(ring_in_open(&ring, &remote, UINT64_MAX - 63), -EPROTO);
    CHECK_INT(ring_in_open(&ring, &remote, RING_AT), 0);
}
