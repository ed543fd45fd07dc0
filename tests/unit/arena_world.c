/* SPDX-License-Identifier: MIT */
#include "arena_world.h"

#include <sys/stat.h>

#include "transport/reap.h"

static struct store *store;
struct segment segment;
struct arena arena;

void open_arena(void)
{
    CHECK_OK(store_open(&store));
    CHECK_INT(segment_new(&segment, store, SHM_PUSH), 0);
    arena_init(&arena, &segment);
}

void close_arena(void)
{
    arena_deinit(&arena);
    segment_unmap(&segment);
    reap_own(&segment);
    segment_close(&segment);
    store_close(store);
}

void in_arena(void (*body)(void))
{
    open_arena();
    body();
    close_arena();
}

struct block *alloc(uint64_t size)
{
    struct block *block = arena_alloc(&arena, size);
    if (block == NULL)
        FAIL("no block of %llu bytes: %s", (unsigned long long)size, strerror(errno));
    CHECK(block->size >= size && block->next == NULL && block->chain == NULL && block->kind == NULL);
    CHECK_INT(block->missing, 0);
    return block;
}

uint64_t memory(void)
{
    struct stat st;
    CHECK_OK(fstat(segment.fd, &st));
    return (uint64_t)st.st_blocks * 512;
}

uint64_t file_size(void)
{
    uint64_t size;
    CHECK_OK(os_file_size(segment.fd, &size));
    return size;
}

void check_counter(void)
{
    CHECK_INT(load_relaxed(&segment.header->stats[STAT_MEMORY]) + SEGMENT_HEADER_SIZE, memory());
}

bool is_all(const struct block *block, int byte)
{
    for (uint64_t i = 0; i < block->size; i++)
        if (block->data[i] != byte)
            return false;
    return true;
}
