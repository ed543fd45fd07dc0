/* SPDX-License-Identifier: MIT */
/*
 * cuMemAlloc: blocks of 2 MiB, several small allocations in one.
 *
 * A legacy handle shares the whole block, and opens at the block's base: whoever forgets to send the offset along reads
 * somebody else's bytes. cuMemGetAddressRange tells the same base, so base and offset always fit together. Mode
 * "ownrange" plays the other driver that is reported: ranges and handles are those of the allocation.
 */
#include "internal.h"

#define ALIGNMENT  512
#define SMALL_MAX  (BLOCK_SIZE / 2)
#define POISON     0xdb
#define POISON_MAX ((size_t)64 << 10)

static size_t round_up(size_t size, size_t to)
{
    return (size + to - 1) / to * to;
}

static struct region *block_new(struct context *c, size_t size)
{
    struct region like = {.kind = REGION_BLOCK, .context = c, .physical = c->physical, .size = size}, *r;
    size_t allocated = 0;

    for (unsigned i = 0; (r = region_at(i)) != NULL; i++)
        if (r->kind == REGION_BLOCK && r->context == c)
            allocated += r->size;
    if (allocated + size > config()->memory_size ||
        backing_create(&like.backing, BACKING_MEMORY, size, c->physical) < 0)
        return NULL;
    like.shadow = like.backing.data;
    r = region_new(like);
    if (r == NULL)
        backing_close(&like.backing);
    return r;
}

/* The first gap that fits, or -1. */
static int gap_find(const struct region *r, size_t size, size_t *offset)
{
    size_t at = 0;
    unsigned i;

    for (i = 0; i < r->span_count; i++) {
        if (at + size <= r->spans[i].offset)
            break;
        at = round_up(r->spans[i].offset + r->spans[i].size, ALIGNMENT);
    }
    if (at + size > r->size)
        return -1;
    *offset = at;
    return (int)i;
}

/* The address of a new allocation in the block, or 0. */
static uintptr_t span_add(struct region *r, size_t size)
{
    size_t offset;
    int at = gap_find(r, size, &offset);

    if (at < 0)
        return 0;
    r->spans = realloc(r->spans, (r->span_count + 1) * sizeof(*r->spans));
    if (r->spans == NULL)
        abort();
    memmove(&r->spans[at + 1], &r->spans[at], (r->span_count - (unsigned)at) * sizeof(*r->spans));
    r->spans[at] = (struct span){offset, size};
    r->span_count++;
    return r->base + offset;
}

static uintptr_t alloc(struct context *c, size_t size)
{
    struct region *r;
    uintptr_t address;

    for (unsigned i = 0; size <= SMALL_MAX && (r = region_at(i)) != NULL; i++)
        if (r->kind == REGION_BLOCK && r->context == c && r->size == BLOCK_SIZE && (address = span_add(r, size)) != 0)
            return address;
    r = block_new(c, round_up(size, BLOCK_SIZE));
    return r != NULL ? span_add(r, size) : 0;
}

drv_result_t cuMemAlloc_v2(drv_ptr_t *ptr, size_t size)
{
    ENTER_CONTEXT(cuMemAlloc, c);
    REQUIRE(ptr != NULL && size > 0, INVALID_VALUE);
    REQUIRE(size <= config()->memory_size, OUT_OF_MEMORY);
    WRITE_WORLD();
    *ptr = alloc(c, size);
    REQUIRE(*ptr != 0, OUT_OF_MEMORY);
    return DRV_CUDA_SUCCESS;
}

static struct span *span_at(const struct region *r, uintptr_t address)
{
    for (unsigned i = 0; i < r->span_count; i++)
        if (address >= r->base + r->spans[i].offset && address < r->base + r->spans[i].offset + r->spans[i].size)
            return &r->spans[i];
    return NULL;
}

static drv_result_t free_span(uintptr_t address)
{
    struct region *r = region_find(address);
    struct span *s;

    REQUIRE(r != NULL && r->kind == REGION_BLOCK, INVALID_VALUE);
    s = span_at(r, address);
    REQUIRE(s != NULL && r->base + s->offset == address, INVALID_VALUE);
    /* An importer that still looks at freed memory shall see that it does. */
    memset(r->shadow + s->offset, POISON, s->size < POISON_MAX ? s->size : POISON_MAX);
    r->span_count--;
    memmove(s, s + 1, (size_t)(r->spans + r->span_count - s) * sizeof(*s));
    if (r->span_count == 0)
        region_end(r);
    return DRV_CUDA_SUCCESS;
}

/* Waits for the device first, as real drivers do: a call for which a data path has no use. */
drv_result_t cuMemFree_v2(drv_ptr_t ptr)
{
    drv_result_t drained;

    ENTER_CONTEXT(cuMemFree, c);
    if (ptr == 0)
        return DRV_CUDA_SUCCESS;
    trace_host_sync();
    drained = stream_drain(c);
    WRITE_WORLD();
    TRY(free_span((uintptr_t)ptr));
    return drained;
}

void allocation_range(const struct region *r, uintptr_t address, uintptr_t *base, size_t *size)
{
    const struct span *s = r->kind == REGION_BLOCK ? span_at(r, address) : NULL;

    *base = r->base;
    *size = r->size;
    /* A block of one allocation is that allocation; else it depends on the mode. */
    if (s != NULL && (r->size > BLOCK_SIZE || mode(MODE_OWNRANGE))) {
        *base = r->base + s->offset;
        *size = s->size;
    }
}

drv_result_t cuMemGetAddressRange_v2(drv_ptr_t *base, size_t *size, drv_ptr_t ptr)
{
    uintptr_t from = 0;
    size_t length = 0;
    struct region *r;

    ENTER_CONTEXT(cuMemGetAddressRange, c);
    READ_WORLD();
    r = region_find((uintptr_t)ptr);
    REQUIRE(r != NULL, NOT_FOUND);
    allocation_range(r, (uintptr_t)ptr, &from, &length);
    if (base != NULL)
        *base = from;
    if (size != NULL)
        *size = length;
    return DRV_CUDA_SUCCESS;
}
