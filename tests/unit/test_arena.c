/* SPDX-License-Identifier: MIT */
/* Arenas by themselves: blocks of bytes, their classes, their limit, what is counted and what is given back.
 * (test_arena_kinds.c: sparse blocks, and blocks that stand for something else.) */
#include "arena_world.h"
#include "support/limits.h"

/* ---- what there is not ---- */

TEST_RUN_BY(in_arena, more_than_the_limit_is_no_buffer_and_changes_nothing, void)
{
    arena.limit = KIB(2);
    struct block *block = alloc(KIB(1));
    CHECK_NULL(arena_alloc(&arena, KIB(1) + 1), ENOBUFS);
    CHECK_INT(arena.in_use, KIB(1));
    struct block *last = alloc(KIB(1));
    CHECK_NULL(arena_alloc(&arena, 1), ENOBUFS);
    arena_free(&arena, block);
    CHECK_NULL(arena_alloc(&arena, KIB(1) + 1), ENOBUFS);
    CHECK(arena_reuse(&arena, KIB(1)) == block);
    arena_free(&arena, block);
    arena_free(&arena, last);
    arena.limit = KIB(1) - 1; /* lowered: what is free is over it, too */
    CHECK(arena_reuse(&arena, KIB(1)) == NULL);
    CHECK_NULL(arena_alloc(&arena, KIB(1)), ENOBUFS);
    CHECK_INT(arena.in_use, 0);
}

TEST_RUN_BY(in_arena, what_no_address_space_holds_is_no_space, void)
{
    CHECK_NULL(arena_alloc(&arena, UINT64_C(1) << 47), ENOSPC);
    CHECK_NULL(arena_alloc(&arena, UINT64_MAX), ENOSPC);
    CHECK_NULL(arena_alloc_sparse(&arena, UINT64_C(1) << 62), ENOSPC);
    CHECK(arena_reuse(&arena, UINT64_MAX) == NULL);
    CHECK_INT(arena.in_use, 0);
}

TEST_THAT(a_full_file_system_is_no_space_and_each_block_that_was_made_has_memory)
{
    struct block *blocks[64];
    unsigned count = 0;
    enter_own_mounts();
    mount_runtime_directory(512, "");
    open_arena();
    while ((blocks[count] = arena_alloc(&arena, KIB(16))) != NULL && ++count < COUNT_OF(blocks))
        ;
    CHECK_INT(errno, ENOSPC);
    CHECK(count > 8 && count < 32);
    CHECK_INT(arena.in_use, count * KIB(16));
    for (unsigned i = 0; i < count; i++)
        memset(blocks[i]->data, 0xa5, blocks[i]->size); /* SIGBUS, were it not so */
    check_counter();

    for (unsigned i = 0; i < count; i++)
        arena_free(&arena, blocks[i]);
    CHECK_INT(arena.in_use, 0);
    close_arena();
    unmount_runtime_directory();
}

TEST_THAT(on_a_full_file_system_what_other_classes_have_free_is_used)
{
    struct block *blocks[512];
    unsigned large = 0, count;
    enter_own_mounts();
    mount_runtime_directory(512, "");
    open_arena();
    while ((blocks[large] = arena_alloc(&arena, KIB(16))) != NULL)
        large++;
    for (count = large; (blocks[count] = arena_alloc(&arena, KIB(2))) != NULL;)
        count++;
    CHECK_INT(errno, ENOSPC);
    struct block *free_one = blocks[--count]; /* no whole page, so nothing to give back */
    arena_free(&arena, free_one);
    CHECK(alloc(1500) == free_one); /* a larger one will do */
    for (unsigned i = 0; i < 4; i++)
        arena_free(&arena, blocks[i]);
    blocks[0] = alloc(KIB(60)); /* so will the memory of smaller ones */
    memset(blocks[0]->data, 0x5a, blocks[0]->size);
    arena_free(&arena, blocks[0]);
    arena_free(&arena, free_one);
    for (unsigned i = 4; i < count; i++)
        arena_free(&arena, blocks[i]);
    close_arena();
    unmount_runtime_directory();
}

/* ---- blocks of bytes ---- */

TEST_RUN_BY(in_arena, a_block_is_as_large_as_asked_and_an_eighth_larger_at_most, void)
{
    for (uint64_t size = 0; size < KIB(300); size += 1 + size / 30) {
        struct block *block = alloc(size);
        CHECK(block->size <= 128 || block->size - size < 128 || block->size - size <= size / 8);
        CHECK(block->size % 128 == 0 && block->offset % 128 == 0);
        CHECK(segment_at(&segment, block->offset) == block->data);
        CHECK(segment_extent(block->offset) == segment_extent(block->offset + block->size - 1));
        arena_free(&arena, block);
    }
}

TEST_RUN_BY(in_arena, a_freed_block_is_used_again_last_in_first_out_by_its_class, void)
{
    struct block *first = alloc(1000), *second = alloc(1000), *other = alloc(2000);
    CHECK(arena_reuse(&arena, 1000) == NULL);
    arena_free(&arena, first);
    arena_free(&arena, second);
    arena_free(&arena, other);
    CHECK(arena_reuse(&arena, 500) == NULL);
    CHECK(alloc(1024) == second);
    CHECK(alloc(900) == first); /* of the same class */
    CHECK(alloc(2000) == other);
    arena_free(&arena, first);
    arena_free(&arena, second);
    arena_free(&arena, other);
}

TEST_RUN_BY(in_arena, blocks_do_not_overlap_whatever_is_made_and_freed, void)
{
    enum { LIVE = 64, STEPS = 4000 };
    struct block *live[LIVE] = {NULL};
    uint64_t random = test_seed(), in_use = 0;
    for (unsigned step = 0; step < STEPS + LIVE; step++) {
        unsigned i = (unsigned)random_next(&random) % LIVE;
        if (step >= STEPS)
            i = step - STEPS;
        if (live[i] != NULL) {
            CHECK(is_all(live[i], (int)i + 1));
            in_use -= live[i]->size;
            arena_free(&arena, live[i]);
            live[i] = NULL;
        } else if (step < STEPS) {
            live[i] = alloc(random_next(&random) % (UINT64_C(1) << random_next(&random) % 17));
            memset(live[i]->data, (int)i + 1, live[i]->size);
            in_use += live[i]->size;
        }
        CHECK_INT(arena.in_use, in_use);
    }
    check_counter();
}

TEST_RUN_BY(in_arena, memory_starts_small_and_grows_by_extents_in_place, void)
{
    enum { BLOCKS = 24 };
    struct block *blocks[BLOCKS];
    CHECK_INT(memory(), SEGMENT_HEADER_SIZE);
    CHECK_INT(file_size(), SEGMENT_EXTENT_MIN);
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = alloc(KIB(56));
        memset(blocks[i]->data, (int)i, blocks[i]->size);
        unsigned extent = segment_extent(blocks[i]->offset);
        CHECK_INT(file_size(), segment_extent_start(extent) + segment_extent_size(extent));
        CHECK(i == 0 || blocks[i]->offset > blocks[i - 1]->offset);
        check_counter();
    }
    CHECK(memory() <= BLOCKS * KIB(56) + KIB(16));
    struct block *small = alloc(128); /* the first extent has room left for it */
    CHECK(small->offset < SEGMENT_EXTENT_MIN);
    for (unsigned i = 0; i < BLOCKS; i++) {
        CHECK(is_all(blocks[i], (int)i));
        arena_free(&arena, blocks[i]);
    }
    arena_free(&arena, small);
}

/* ---- counts, and memory that is given back ---- */

TEST_RUN_BY(in_arena, what_is_handed_out_and_what_is_free_is_counted, void)
{
    struct block *small = alloc(100), *large = alloc(KIB(32));
    CHECK_INT(arena.in_use, small->size + large->size);
    CHECK_INT(arena.free_bytes, 0);
    arena_free(&arena, large);
    CHECK_INT(arena.in_use, small->size);
    CHECK_INT(arena.free_bytes, large->size);
    CHECK(alloc(KIB(32)) == large);
    CHECK_INT(arena.free_bytes, 0);
    arena_free(&arena, small);
    arena_free(&arena, large);
    CHECK_INT(arena.in_use, 0);
    CHECK_INT(arena.free_bytes, small->size + large->size);
    CHECK_INT(arena.largest, large->size);
    check_counter();
}

TEST_RUN_BY(in_arena, what_is_free_beyond_what_is_kept_gives_its_memory_back, void)
{
    struct block *blocks[3];
    for (unsigned i = 0; i < 3; i++)
        blocks[i] = alloc(MIB(32));
    uint64_t all = memory();
    memset(blocks[2]->data, 1, PAGE);
    arena_free(&arena, blocks[0]);
    arena_free(&arena, blocks[1]);
    CHECK_INT(memory(), all); /* 64 MiB are kept */
    arena_free(&arena, blocks[2]);
    CHECK_INT(memory(), all - MIB(32));
    CHECK_INT(arena.free_bytes, MIB(64));
    CHECK_INT(blocks[2]->missing, MIB(32));
    check_counter();
    CHECK(arena_reuse(&arena, MIB(32)) == NULL);
    CHECK(alloc(MIB(32)) == blocks[2]);
    CHECK_INT(memory(), all);
    CHECK_INT(blocks[2]->data[0], 0);
    arena_free(&arena, blocks[2]);
}

TEST_RUN_BY(in_arena, free_memory_of_other_classes_makes_room_under_the_limit, void)
{
    arena.limit = KIB(64);
    struct block *old = alloc(KIB(48));
    arena_free(&arena, old);
    uint64_t before = memory();
    struct block *block = alloc(KIB(32)); /* both would be more than may be used */
    CHECK(block != old);
    CHECK_INT(old->missing, KIB(48));
    CHECK_INT(arena.free_bytes, 0);
    CHECK_INT(memory(), before + KIB(32) - KIB(48));
    check_counter();
    arena_free(&arena, block);
}
