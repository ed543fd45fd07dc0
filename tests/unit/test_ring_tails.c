/* SPDX-License-Identifier: MIT */
/*
 * Rings by themselves, what each kind of tail has of its own: broadcast laps and withdrawn messages, the end of an SPSC
 * ring, claims, skipped slots and messages in hand of an SPMC one.
 */
#include "ring_world.h"

/* ---- broadcast ---- */

static void for_broadcast(void (*body)(uint64_t first))
{
    for_each_first(RING_BROADCAST, body);
}

TEST_RUN_BY(for_broadcast, a_reader_that_was_lapped_goes_on_with_what_is_there_and_counts_the_rest, uint64_t first)
{
    for (uint64_t n = 0; n < 3 * SLOTS; n++)
        publish(n);
    CHECK_INT(take(&in[0]), 1);
    uint64_t next = taken.ticket - first;
    CHECK_INT(in[0].lost, next);
    CHECK(next >= 2 * SLOTS && next < 3 * SLOTS); /* it is not sent back to where it is lapped again at once */
    for (; next < 3 * SLOTS; next++)
        expect(&in[0], next);
    expect_nothing(&in[0]);
    CHECK_INT(in[0].lost, taken.ticket + 1 - first - (3 * SLOTS - in[0].lost));
}

TEST_RUN_BY(for_broadcast, a_copy_of_what_was_written_over_is_thrown_away, uint64_t first)
{
    uint64_t copy[SLOT_WORDS];
    const struct ring_slot *slot = slot_of(&in[0], first);
    publish(1);
    CHECK(slot_peek(slot) == seq_ready(first));
    CHECK(slot_copy(slot, first, copy, size_of(1)));
    CHECK(slot_still(slot, first) && ring_in_still(&in[0]));
    for (uint64_t n = 1; n < SLOTS; n++)
        publish(n);
    slot_write_bytes(&out, slot_reserve(&out, out.head), "new", 3, 0, 0); /* over it, and not yet published */
    CHECK(!slot_copy(slot, first, copy, size_of(1)));
    slot_commit(&out);
    CHECK(!slot_copy(slot, first, copy, size_of(1)));
    CHECK(!slot_still(slot, first) && !ring_in_still(&in[0]));
}

TEST_RUN_BY(for_broadcast, a_withdrawn_block_can_not_be_protected_any_more, uint64_t first)
{
    publish_block(&blocks[0]);
    CHECK_INT(ring_out_drop_oldest(&out), 1);
    CHECK(retired == &blocks[0]);
    CHECK(!slot_protect(slot_of(&in[0], first), first, &hazards, hazard_word(TAG, blocks[0].offset)));
    CHECK(!hazards_any(&mine, TAG)); /* and the sender may use the block again */
    CHECK_INT(ring_out_drop_oldest(&out), 0);
}

TEST_RUN_BY(for_broadcast, a_reader_passes_over_what_was_withdrawn, uint64_t first)
{
    publish_block(&blocks[0]);
    publish_block(&blocks[1]);
    publish(2);
    CHECK_INT(ring_out_drop_oldest(&out), 1);
    CHECK_INT(take(&in[0]), 1);
    CHECK_INT(taken.offset, blocks[1].offset);
    consume(&in[0]);
    CHECK_INT(in[0].lost, 1);
    expect(&in[0], 2);
    CHECK_INT(ring_out_drop_oldest(&out), 1); /* who has it is done with it; others are not */
    in[1].tail = first;
    expect(&in[1], 2);
    CHECK_INT(in[1].lost, 2);
}

TEST_RUN_BY(for_broadcast, a_conflated_reader_takes_the_newest_and_has_lost_nothing, uint64_t first)
{
    in[0].newest_only = true;
    for (uint64_t n = 0; n < 5; n++)
        publish(n);
    expect(&in[0], 4);
    expect_nothing(&in[0]);
    CHECK_INT(in[0].lost, 0);
    for (uint64_t n = 5; n < 8; n++)
        publish(n);
    in[1].tail = first;
    ring_in_skip_to_head(&in[1]);
    expect_nothing(&in[1]);
}

/* ---- SPSC ---- */

static void for_spsc(void (*body)(uint64_t first))
{
    for_each_first(RING_SPSC, body);
}

TEST_RUN_BY(for_spsc, an_ended_ring_gives_what_came_before_its_end, uint64_t first)
{
    for (uint64_t n = 0; n < 4; n++)
        publish(n);
    in[0].end = first + 3;
    for (uint64_t n = 0; n < 3; n++) {
        CHECK(ring_in_has(&in[0]));
        CHECK_INT(ring_in_has_more(&in[0]), n < 2);
        expect(&in[0], n);
    }
    expect_nothing(&in[0]);
}

TEST_RUN_BY(for_broadcast, an_ended_ring_that_was_lapped_gives_nothing_and_counts_what_came_before_its_end, uint64_t first)
{
    for (uint64_t n = 0; n < 3 * SLOTS; n++)
        publish(n);
    in[0].end = first + 3;
    CHECK_INT(take(&in[0]), 0);
    CHECK_INT(in[0].lost, 3);
    expect_nothing(&in[0]);
}

TEST_RUN_BY(for_spsc, blocks_below_the_tail_are_reclaimed_and_none_above, uint64_t first)
{
    for (unsigned i = 0; i < 4; i++)
        publish_block(&blocks[i]);
    ring_out_reclaim(&out, first + 2);
    CHECK(retired == &blocks[1] && retired->next == &blocks[0] && blocks[0].next == NULL);
    ring_out_reclaim(&out, first + 2);
    CHECK(retired == &blocks[1]);
    ring_out_reclaim(&out, first + 4);
    CHECK(retired == &blocks[3]);
}

/* ---- SPMC ---- */

static void for_spmc(void (*body)(uint64_t first))
{
    for_each_first(RING_SPMC, body);
}

TEST_RUN_BY(for_spmc, each_message_goes_to_one_reader, uint64_t first)
{
    uint64_t state = test_seed(), next = 0;
    for (uint64_t n = 0; n < 4 * SLOTS; n++) {
        publish(n);
        if (random_next(&state) % 3 == 0 || n - next == SLOTS - 1)
            for (; next <= n; next++)
                expect(&in[random_next(&state) % READERS], next);
    }
    for (; next < 4 * SLOTS; next++)
        expect(&in[next % READERS], next);
    expect_nothing(&in[0]);
    expect_nothing(&in[1]);
}

TEST_RUN_BY(for_spmc, a_slot_in_use_is_skipped_and_used_again_when_it_is_done, uint64_t first)
{
    uint64_t held, sent = 0;
    publish(sent++);
    CHECK_INT(take(&in[0]), 1); /* and keeps it in hand */
    held = taken.ticket;
    while (out.head < first + SLOTS) {
        publish(sent++);
        expect(&in[1], sent - 1);
    }
    publish(sent++);
    CHECK_INT(out.head, first + SLOTS + 2); /* one ticket was skipped: that of the slot in use */
    CHECK_INT(out.skipped, first + SLOTS + 1);
    CHECK(!slot_claim(&in[1], held));
    expect(&in[1], sent - 1);
    expect_nothing(&in[1]);
    CHECK(!slots_done(&out) || out.cleared <= first + 2 * SLOTS);
    slot_finish(&in[0], held);
    for (; out.head < first + 3 * SLOTS; sent++) {
        publish(sent);
        expect(&in[sent % READERS], sent);
    }
    CHECK_INT(sent, 3 * SLOTS - 1); /* and no other */
}

TEST_RUN_BY(for_spmc, a_full_ring_is_full_until_a_message_is_taken, uint64_t first)
{
    for (uint64_t n = 0; n < SLOTS; n++)
        publish(n);
    CHECK_INT(ring_out_claimable(&out), 0);
    expect(&in[0], 0);
    CHECK_INT(ring_out_claimable(&out), 1);
    publish(SLOTS);
    CHECK_INT(ring_out_claimable(&out), 0);
    CHECK(!slots_done(&out));
}

TEST_RUN_BY(for_spmc, a_ring_is_full_at_its_limit_as_well, uint64_t first)
{
    out.limit = SLOTS / 2;
    for (uint64_t n = 0; n < out.limit; n++)
        publish(n);
    CHECK_INT(ring_out_claimable(&out), 0);
}

TEST_RUN_BY(for_spmc, only_blocks_of_messages_that_are_done_are_reclaimed, uint64_t first)
{
    publish_block(&blocks[0]);
    publish_block(&blocks[1]);
    CHECK_INT(take(&in[0]), 1);
    struct ring_taken first_taken = taken;
    CHECK_INT(take(&in[1]), 1);
    slot_finish(&in[1], taken.ticket);
    ring_out_reclaim(&out, UINT64_MAX);
    CHECK(retired == &blocks[1] && blocks[1].next == NULL); /* the other is in hand */
    slot_finish(&in[0], first_taken.ticket);
    ring_out_reclaim(&out, UINT64_MAX);
    CHECK(retired == &blocks[0]);
}

TEST_RUN_BY(for_spmc, a_message_that_is_owed_comes_again, uint64_t first)
{
    publish(0);
    CHECK_INT(take(&in[0]), 1);
    ring_in_owe(&in[0], &taken);
    CHECK(ring_in_has(&in[0]));
    expect_nothing(&in[1]);
    CHECK_INT(ring_in_adopt(&in[0], &taken), 1);
    CHECK_MEM(taken.bytes, taken.size, bytes_of(0), size_of(0));
    CHECK(!taken.redelivered);
    consume(&in[0]);
    expect_nothing(&in[0]);
}

TEST_RUN_BY(for_spmc, a_reader_that_slept_for_laps_finds_the_newest, uint64_t first)
{
    for (uint64_t n = 0; n < 6 * SLOTS; n++) {
        publish(n);
        expect(&in[0], n);
    }
    publish(6 * SLOTS);
    store_relaxed(&claims_header.hint, first); /* as if the others had died before they moved it on */
    expect(&in[1], 6 * SLOTS);
}
