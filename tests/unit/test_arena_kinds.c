/* SPDX-License-Identifier: MIT */
/* Arenas by themselves: sparse blocks, for rings, and the release of blocks of a kind. */
#include "arena_world.h"

/* ---- sparse blocks ---- */

TEST_RUN_BY(in_arena, a_sparse_block_has_the_memory_that_it_was_given_and_no_limit, void)
{
    arena.limit = 0;
    uint64_t before = memory();
    struct block *ring = arena_alloc_sparse(&arena, KIB(40) + 1);
    CHECK_PTR(ring);
    CHECK(ring->size > KIB(40) && ring->size % PAGE == 0 && ring->offset % PAGE == 0);
    CHECK_INT(ring->missing, ring->size);
    CHECK_INT(memory(), before);
    CHECK_INT(arena_fill_sparse(&arena, ring, 0, PAGE), 0);
    CHECK_INT(arena_fill_sparse(&arena, ring, PAGE, 3 * PAGE), 0);
    CHECK_INT(memory(), before + 3 * PAGE);
    check_counter();
    memset(ring->data, 7, 3 * PAGE);
    arena_free_sparse(&arena, ring, 3 * PAGE);
    CHECK_INT(memory(), before);
    check_counter();
    CHECK(arena.in_use == 0 && arena.free_bytes == 0);
}

TEST_RUN_BY(in_arena, a_ring_never_finds_what_the_ring_before_it_left, void)
{
    for (unsigned round = 0; round < 4; round++) {
        struct block *ring = CHECK_PTR(arena_alloc_sparse(&arena, 4 * PAGE));
        uint64_t filled = ring->size - ring->missing;
        CHECK_INT(filled, round == 2 ? 2 * PAGE : 0); /* the one before was kept */
        if (filled == 0)
            CHECK_INT(arena_fill_sparse(&arena, ring, 0, 2 * PAGE), 0);
        for (uint64_t i = 0; i < 2 * PAGE; i++)
            CHECK_INT(ring->data[i], 0);
        memset(ring->data, 9, 2 * PAGE);
        check_counter();
        if (round == 1)
            arena_keep_sparse(&arena, ring, 2 * PAGE);
        else
            arena_free_sparse(&arena, ring, 2 * PAGE);
    }
}

TEST_RUN_BY(in_arena, what_a_block_of_bytes_left_is_no_ring, void)
{
    struct block *bytes = alloc(4 * PAGE);
    memset(bytes->data, 9, bytes->size);
    arena_free(&arena, bytes);
    struct block *ring = CHECK_PTR(arena_alloc_sparse(&arena, 4 * PAGE));
    CHECK_INT(ring->missing, ring->size);
    CHECK(is_all(ring, 0));
    arena_free_sparse(&arena, ring, 0);
}

TEST_RUN_BY(in_arena, a_ring_that_somebody_may_be_reading_keeps_its_memory_zeroed_for_the_next_ring_only, void)
{
    struct block *ring = CHECK_PTR(arena_alloc_sparse(&arena, 4 * PAGE));
    CHECK_INT(arena_fill_sparse(&arena, ring, 0, 4 * PAGE), 0);
    memset(ring->data, 9, 4 * PAGE);
    uint64_t before = memory();
    arena_keep_sparse(&arena, ring, 4 * PAGE);
    CHECK_INT(memory(), before);
    CHECK(is_all(ring, 0));
    struct block *bytes = alloc(4 * PAGE), *larger = CHECK_PTR(arena_alloc_sparse(&arena, 8 * PAGE));
    CHECK(bytes != ring && larger != ring);
    CHECK(arena_alloc_sparse(&arena, 4 * PAGE) == ring);
    CHECK_INT(ring->missing, 0);
    arena_keep_sparse(&arena, ring, 4 * PAGE); /* the arena's end frees it */
    arena_free_sparse(&arena, larger, 0);
    arena_free(&arena, bytes);
}

TEST_RUN_BY(in_arena, blocks_of_bytes_between_sparse_ones_have_memory_and_the_sparse_ones_none, void)
{
    struct block *rings[8], *bytes[8];
    for (unsigned i = 0; i < 8; i++) {
        rings[i] = CHECK_PTR(arena_alloc_sparse(&arena, 2 * PAGE));
        bytes[i] = alloc(128 + 600 * i);
        memset(bytes[i]->data, 3, bytes[i]->size);
        CHECK(rings[i]->offset + rings[i]->size <= bytes[i]->offset || bytes[i]->offset < rings[i]->offset);
        check_counter();
    }
    CHECK(memory() < SEGMENT_HEADER_SIZE + 8 * 2 * PAGE + KIB(64));
    for (unsigned i = 0; i < 8; i++) {
        CHECK(is_all(bytes[i], 3));
        CHECK(is_all(rings[i], 0));
        arena_free_sparse(&arena, rings[i], 0);
        arena_free(&arena, bytes[i]);
    }
}

/* ---- kinds ---- */

static unsigned releases;
static unsigned char released[4]; /* the first byte of each */

static void note_release(struct block *block)
{
    CHECK(releases < COUNT_OF(released));
    released[releases++] = block->data[0]; /* not yet used again */
}

static const struct block_kind noted = {note_release};

static struct block *alloc_noted(unsigned char first_byte)
{
    struct block *block = alloc(1000);
    block->kind = &noted;
    block->data[0] = first_byte;
    return block;
}

TEST_RUN_BY(in_arena, a_block_of_bytes_is_released_to_nobody, void)
{
    arena_free(&arena, alloc(1000));
    arena_free(&arena, alloc(1000));
    CHECK_INT(releases, 0);
}

TEST_THAT(a_block_of_a_kind_is_released_once_when_it_is_freed_and_is_one_of_bytes_after_that)
{
    open_arena();
    struct block *block = alloc_noted(17);
    CHECK_INT(releases, 0);
    arena_free(&arena, block);
    CHECK_INT(releases, 1);
    CHECK_INT(released[0], 17);
    CHECK(alloc(1000) == block); /* which says that its kind is none */
    arena_free(&arena, block);
    CHECK_INT(releases, 1);
    close_arena();
    CHECK_INT(releases, 1);
}

TEST_THAT(each_block_of_a_forgotten_chain_is_released_once_if_it_is_of_a_kind)
{
    open_arena();
    struct block *chain = alloc_noted(1);
    chain->chain = alloc(1000);
    chain->chain->chain = alloc_noted(2);
    block_forget(chain);
    CHECK_INT(releases, 2);
    CHECK(released[0] == 1 && released[1] == 2);
    block_forget(NULL);
    close_arena();
    CHECK_INT(releases, 2);
}
