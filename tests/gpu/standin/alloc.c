/* SPDX-License-Identifier: MIT */
/*
 * cuMemAlloc: blocks of 2 MiB, several small allocations in one.
 *
 * A legacy handle shares the whole block, and opens at the block's base: whoever forgets to send the offset along reads
 * somebody else's bytes. cuMemGetAddressRange tells the same base, so base and offset always fit together. Mode
 * "ownrange" plays the other driver that is reported: ranges and handles are those of the allocation.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT  512
#define SMALL_MAX  (BLOCK_SIZE / 2)
#define POISON     0xdb
#define POISON_MAX ((size_t)64 << 10)

static size_t round_up(size_t size, size_t to)
{
    return (size + to - 1) / to * to;
}

unsigned alloc_leaks(void)
{
    unsigned n = 0;

    pthread_rwlock_rdlock(&world);
    for (unsigned i = 0; i < region_count(); i++)
        if (region_at(i)->kind == REGION_BLOCK)
            n += region_at(i)->span_count;
    pthread_rwlock_unlock(&world);
    return n;
}

static size_t allocated_size(const struct context *c)
{
    size_t size = 0;

    for (unsigned i = 0; i < region_count(); i++)
        if (region_at(i)->kind == REGION_BLOCK && region_at(i)->context == c)
            size += region_at(i)->size;
    return size;
}

static struct region *block_new(struct context *c, size_t size)
{
    struct region *r;

    if (allocated_size(c) + size > config()->memory_size)
        return NULL;
    r = calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    r->kind = REGION_BLOCK;
    r->context = c;
    r->physical = c->physical;
    r->size = size;
    r->base = address_reserve(size, BLOCK_SIZE);
    if (r->base == 0)
        goto no_address;
    if (backing_create(&r->backing, BACKING_MEMORY, size, c->physical) < 0)
        goto no_backing;
    r->shadow = r->backing.data;
    if (region_add(r) < 0)
        goto no_room;
    return r;
no_room:
    backing_close(&r->backing);
no_backing:
    address_release(r->base, size);
no_address:
    free(r);
    return NULL;
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

static int span_add(struct region *r, size_t size, size_t *offset)
{
    int at = gap_find(r, size, offset);
    struct span *bigger;

    if (at < 0)
        return -1;
    bigger = realloc(r->spans, (r->span_count + 1) * sizeof(*bigger));
    if (bigger == NULL)
        return -1;
    r->spans = bigger;
    memmove(&bigger[at + 1], &bigger[at], (r->span_count - (unsigned)at) * sizeof(*bigger));
    bigger[at] = (struct span){*offset, size};
    r->span_count++;
    return 0;
}

static uintptr_t alloc(struct context *c, size_t size)
{
    struct region *r;
    size_t offset;

    for (unsigned i = 0; size <= SMALL_MAX && i < region_count(); i++) {
        r = region_at(i);
        if (r->kind == REGION_BLOCK && r->context == c && r->size == BLOCK_SIZE && span_add(r, size, &offset) == 0)
            return r->base + offset;
    }
    r = block_new(c, round_up(size, BLOCK_SIZE));
    if (r == NULL)
        return 0;
    if (span_add(r, size, &offset) < 0) {
        region_remove(r);
        region_free(r);
        return 0;
    }
    return r->base + offset;
}

drv_result_t cuMemAlloc_v2(drv_ptr_t *ptr, size_t size)
{
    ENTER_CONTEXT(cuMemAlloc, c);
    if (ptr == NULL || size == 0)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if (size > config()->memory_size)
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    pthread_rwlock_wrlock(&world);
    *ptr = alloc(c, size);
    pthread_rwlock_unlock(&world);
    return *ptr != 0 ? DRV_CUDA_SUCCESS : DRV_CUDA_ERROR_OUT_OF_MEMORY;
}

static struct span *span_at(const struct region *r, uintptr_t address)
{
    for (unsigned i = 0; i < r->span_count; i++)
        if (address >= r->base + r->spans[i].offset && address < r->base + r->spans[i].offset + r->spans[i].size)
            return &r->spans[i];
    return NULL;
}

/* An importer that still looks at freed memory shall see that it does. */
static void poison(struct region *r, const struct span *s)
{
    memset(r->shadow + s->offset, POISON, s->size < POISON_MAX ? s->size : POISON_MAX);
}

static drv_result_t free_span(uintptr_t address)
{
    struct region *r = region_find(address);
    struct span *s;
    unsigned at;

    if (r == NULL || r->kind != REGION_BLOCK)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    s = span_at(r, address);
    if (s == NULL || r->base + s->offset != address)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    poison(r, s);
    at = (unsigned)(s - r->spans);
    r->span_count--;
    memmove(s, s + 1, (r->span_count - at) * sizeof(*s));
    if (r->span_count == 0) {
        region_remove(r);
        region_free(r);
    }
    return DRV_CUDA_SUCCESS;
}

/* Waits for the device first, as real drivers do: a call for which a data path has no use. */
drv_result_t cuMemFree_v2(drv_ptr_t ptr)
{
    drv_result_t result, drained;

    ENTER_CONTEXT(cuMemFree, c);
    if (ptr == 0)
        return DRV_CUDA_SUCCESS;
    trace_host_sync();
    drained = stream_drain(c);
    pthread_rwlock_wrlock(&world);
    result = free_span((uintptr_t)ptr);
    pthread_rwlock_unlock(&world);
    return result != DRV_CUDA_SUCCESS ? result : drained;
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
    drv_result_t result = DRV_CUDA_ERROR_NOT_FOUND;
    uintptr_t from = 0;
    size_t length = 0;
    struct region *r;

    ENTER_CONTEXT(cuMemGetAddressRange, c);
    pthread_rwlock_rdlock(&world);
    r = region_find((uintptr_t)ptr);
    if (r != NULL) {
        allocation_range(r, (uintptr_t)ptr, &from, &length);
        result = DRV_CUDA_SUCCESS;
    }
    pthread_rwlock_unlock(&world);
    if (result == DRV_CUDA_SUCCESS && base != NULL)
        *base = from;
    if (result == DRV_CUDA_SUCCESS && size != NULL)
        *size = length;
    return result;
}
