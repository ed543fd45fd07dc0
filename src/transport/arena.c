/* SPDX-License-Identifier: MIT */
#include "transport/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "transport/os.h"

#define BLOCK_MIN_SHIFT 7 /* 128 bytes: two cache lines, so that blocks never share one */
#define PAGE            UINT64_C(4096)
#define FILL_STEP       UINT64_C(16384) /* small blocks: allocate ahead, a system call less */
#define KEEP_FREE       (UINT64_C(64) << 20) /* free memory kept, at least, before giving it back */

/* Class 8k+s holds (8+s)/8 * 128 << k bytes; below 1024 they are multiples of 128. */
static uint64_t class_size(uint32_t class)
{
    uint64_t size = (UINT64_C(8) + (class & 7)) << (class >> 3) << (BLOCK_MIN_SHIFT - 3);
    return (size + 127) & ~UINT64_C(127);
}

static uint32_t class_of(uint64_t size)
{
    if (size <= (1u << BLOCK_MIN_SHIFT))
        return 0;
    unsigned top = 63u - (unsigned)__builtin_clzll(size - 1); /* 2^top < size <= 2^(top+1) */
    uint32_t class = (top - BLOCK_MIN_SHIFT) * 8;
    uint64_t step = (UINT64_C(1) << top) / 8;
    class += (uint32_t)((size - (UINT64_C(1) << top) + step - 1) / step);
    /* Small classes are rounded to cache lines; take the first that is really the same. */
    while (class > 0 && class_size(class - 1) >= size)
        class--;
    return class;
}

/* Whoever made it another kind is told, and it is one of bytes again. */
static void release(struct block *block)
{
    const struct block_kind *kind = block->kind;
    block->kind = NULL;
    kind->release(block);
}

void block_forget(struct block *chain)
{
    while (chain != NULL) {
        struct block *next = chain->chain;
        if (chain->kind != NULL)
            release(chain);
        free(chain);
        chain = next;
    }
}

void arena_init(struct arena *arena, struct segment *segment)
{
    memset(arena, 0, sizeof *arena);
    arena->segment = segment;
    arena->limit = UINT64_MAX;
    arena->bump[0] = SEGMENT_HEADER_SIZE;
    arena->filled[0] = SEGMENT_HEADER_SIZE;
}

void arena_deinit(struct arena *arena)
{
    for (unsigned c = 0; c < ARENA_CLASSES; c++)
        while (arena->free_blocks[c] != NULL) {
            struct block *block = arena->free_blocks[c];
            arena->free_blocks[c] = block->next;
            free(block);
        }
    while (arena->kept != NULL) {
        struct block *next = arena->kept->next;
        free(arena->kept);
        arena->kept = next;
    }
}

static void account(struct arena *arena, int64_t bytes)
{
    shared_u64 *memory = &arena->segment->header->stats[STAT_MEMORY];
    store_relaxed(memory, load_relaxed(memory) + (uint64_t)bytes);
}

static int fill(struct arena *arena, struct block *block)
{
    int error = segment_fill(arena->segment, block->offset, block->size);
    if (error == 0) {
        account(arena, (int64_t)block->missing);
        block->missing = 0;
    }
    return error;
}

/* Give the memory of a free block back; its addresses stay reserved. */
static void punch(struct arena *arena, struct block *block)
{
    uint64_t from = (block->offset + PAGE - 1) & ~(PAGE - 1), to = (block->offset + block->size) & ~(PAGE - 1);
    if (block->missing != 0 || from >= to)
        return;
    if (os_file_release(arena->segment->fd, from, to - from) == 0) {
        block->missing = to - from;
        arena->free_bytes -= block->size;
        account(arena, -(int64_t)block->missing);
    }
}

static void trim(struct arena *arena)
{
    for (unsigned c = 0; c < ARENA_CLASSES; c++)
        for (struct block *block = arena->free_blocks[c]; block != NULL; block = block->next)
            punch(arena, block);
}

/* Reserve addresses in the first extent with room. */
static struct block *carve(struct arena *arena, uint32_t class, uint64_t align)
{
    uint64_t size = class_size(class);
    for (unsigned e = 0; e < SEGMENT_EXTENTS; e++) {
        uint64_t from = (arena->bump[e] + align - 1) & ~(align - 1);
        if (from + size > segment_extent_size(e))
            continue;
        unsigned char *data = segment_at(arena->segment, segment_extent_start(e) + from);
        struct block *block = data == NULL ? NULL : calloc(1, sizeof *block);
        if (block == NULL)
            return NULL;
        block->data = data;
        block->offset = segment_extent_start(e) + from;
        block->size = size;
        block->class = class;
        block->missing = size;
        arena->bump[e] = from + size;
        return block;
    }
    errno = ENOSPC;
    return NULL;
}

/* Memory for a block just carved, in steps shared by its small neighbours. */
static int fill_carved(struct arena *arena, struct block *block)
{
    unsigned e = segment_extent(block->offset);
    uint64_t start = segment_extent_start(e), end = block->offset - start + block->size;
    uint64_t from = arena->filled[e], inside = block->offset - start;

    if (from < (inside & ~(PAGE - 1)))
        from = inside & ~(PAGE - 1); /* what lies between was reserved sparse */
    if (end > from) {
        uint64_t to = block->size >= FILL_STEP ? end : from + FILL_STEP;
        to = ((to < end ? end : to) + PAGE - 1) & ~(PAGE - 1);
        if (to > segment_extent_size(e))
            to = segment_extent_size(e);
        int error = segment_fill(arena->segment, start + from, to - from);
        if (error < 0)
            return error;
        arena->filled[e] = to;
        account(arena, (int64_t)(to - from));
    }
    block->missing = 0;
    return 0;
}

static void push_free(struct arena *arena, struct block *block)
{
    block->next = arena->free_blocks[block->class];
    arena->free_blocks[block->class] = block;
    if (block->missing == 0)
        arena->free_bytes += block->size;
}

struct block *arena_reuse(struct arena *arena, uint64_t size)
{
    uint32_t class = class_of(size);
    struct block *block = class < ARENA_CLASSES ? arena->free_blocks[class] : NULL;
    if (block == NULL || block->missing != 0 || block->size > arena->limit - arena->in_use)
        return NULL;
    arena->free_blocks[class] = block->next;
    arena->free_bytes -= block->size;
    arena->in_use += block->size;
    block->next = block->chain = NULL;
    return block;
}

static struct block *make(struct arena *arena, uint32_t class)
{
    struct block *block = arena->free_blocks[class];
    int error;

    if (block != NULL) { /* without memory, else it had been reused */
        error = fill(arena, block);
        if (error == 0)
            arena->free_blocks[class] = block->next;
    } else {
        uint64_t align = class_size(class) >= 16 * PAGE ? PAGE : UINT64_C(128);
        block = carve(arena, class, align);
        if (block == NULL)
            return NULL;
        error = fill_carved(arena, block);
        if (error < 0)
            push_free(arena, block);
    }
    if (error < 0) {
        errno = -error;
        return NULL;
    }
    block->next = block->chain = NULL;
    return block;
}

/* No memory for a block of its own: a larger free one that has memory will do. */
static struct block *take_larger(struct arena *arena, uint32_t class)
{
    for (; class < ARENA_CLASSES; class++) {
        struct block *block = arena->free_blocks[class];
        if (block == NULL || block->missing != 0)
            continue;
        arena->free_blocks[class] = block->next;
        arena->free_bytes -= block->size;
        block->next = block->chain = NULL;
        return block;
    }
    return NULL;
}

struct block *arena_alloc(struct arena *arena, uint64_t size)
{
    struct block *block = arena_reuse(arena, size);
    if (block != NULL)
        return block;
    uint32_t class = class_of(size);
    if (class >= ARENA_CLASSES) {
        errno = ENOSPC;
        return NULL;
    }
    uint64_t rounded = class_size(class);
    if (arena->limit < arena->in_use || rounded > arena->limit - arena->in_use) {
        errno = ENOBUFS;
        return NULL;
    }
    if (arena->in_use + arena->free_bytes + rounded > arena->limit) {
        trim(arena);
        if (arena->in_use + arena->free_bytes + rounded > arena->limit)
            block = take_larger(arena, class);
    }
    if (block == NULL)
        block = make(arena, class);
    if (block == NULL && errno == ENOSPC) { /* what other classes hoard may be what is missing */
        trim(arena);
        block = make(arena, class);
        if (block == NULL)
            block = take_larger(arena, class);
    }
    if (block == NULL)
        return NULL;
    arena->in_use += block->size;
    if (block->size > arena->largest)
        arena->largest = block->size;
    return block;
}

static struct block *take_kept(struct arena *arena, uint32_t class)
{
    struct block **at = &arena->kept;
    while (*at != NULL && (*at)->class != class)
        at = &(*at)->next;
    struct block *block = *at;
    if (block != NULL)
        *at = block->next;
    return block;
}

struct block *arena_alloc_sparse(struct arena *arena, uint64_t size)
{
    uint32_t class = class_of((size + PAGE - 1) & ~(PAGE - 1));
    while (class < ARENA_CLASSES && class_size(class) % PAGE != 0)
        class++;
    if (class >= ARENA_CLASSES) {
        errno = ENOSPC;
        return NULL;
    }
    struct block *block = take_kept(arena, class);
    if (block != NULL) {
        block->next = NULL;
        return block;
    }
    block = arena->free_blocks[class];
    if (block != NULL && block->missing == block->size) {
        arena->free_blocks[class] = block->next;
    } else {
        block = carve(arena, class, PAGE);
        if (block == NULL)
            return NULL;
        unsigned e = segment_extent(block->offset);
        if (arena->filled[e] < arena->bump[e])
            arena->filled[e] = arena->bump[e];
    }
    block->next = NULL;
    return block;
}

int arena_fill_sparse(struct arena *arena, struct block *block, uint64_t from, uint64_t to)
{
    int error = segment_fill(arena->segment, block->offset + from, to - from);
    if (error == 0)
        account(arena, (int64_t)(to - from));
    return error;
}

void arena_free_sparse(struct arena *arena, struct block *block, uint64_t filled)
{
    /* The next ring here must not find the sequences of this one. */
    if (os_file_release(arena->segment->fd, block->offset, block->size) < 0)
        memset(block->data, 0, filled);
    account(arena, -(int64_t)filled);
    block->missing = block->size;
    push_free(arena, block);
}

void arena_keep_sparse(struct arena *arena, struct block *block, uint64_t filled)
{
    memset(block->data, 0, filled);
    block->missing = block->size - filled;
    block->next = arena->kept;
    arena->kept = block;
}

void arena_free(struct arena *arena, struct block *block)
{
    if (unlikely(block->kind != NULL))
        release(block);
    arena->in_use -= block->size;
    push_free(arena, block);
    if (unlikely(arena->free_bytes > KEEP_FREE) && arena->free_bytes > 2 * arena->largest)
        punch(arena, block);
}
