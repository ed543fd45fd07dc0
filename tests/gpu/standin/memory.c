/* SPDX-License-Identifier: MIT */
/*
 * Device addresses.
 *
 * A device address is a reserved address without access: the CPU that touches it gets SIGSEGV, as with a real card. The
 * same memory is mapped a second time at the region's `shadow`, and only device work goes there, after looking the
 * address up and asking whether this device may touch it. What is not found, or not allowed, is a fault of the device:
 * DRV_CUDA_ERROR_ILLEGAL_ADDRESS, which sticks to the context.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

pthread_rwlock_t world = PTHREAD_RWLOCK_INITIALIZER;

static struct region **regions; /* ordered by base, never overlapping */
static unsigned count, capacity;
static unsigned dropped;

uintptr_t address_reserve(size_t size, size_t alignment)
{
    size_t whole;
    uintptr_t start, base;
    void *p;

    size = (size + META_SIZE - 1) & ~(META_SIZE - 1);
    whole = size + alignment;
    p = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return 0;
    start = (uintptr_t)p;
    base = (start + alignment - 1) & ~(uintptr_t)(alignment - 1);
    if (base > start)
        munmap(p, base - start);
    if (start + whole > base + size)
        munmap((void *)(base + size), start + whole - base - size);
    return base;
}

void address_release(uintptr_t base, size_t size)
{
    munmap((void *)base, size);
}

/* The index of the first region that ends after `address`. */
static unsigned lower_bound(uintptr_t address)
{
    unsigned low = 0, high = count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (regions[middle]->base + regions[middle]->size <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int region_add(struct region *r)
{
    unsigned at = lower_bound(r->base);

    if (at < count && regions[at]->base < r->base + r->size)
        return -1;
    if (count == capacity) {
        unsigned more = capacity == 0 ? 64 : 2 * capacity;
        struct region **bigger = realloc(regions, more * sizeof(*regions));

        if (bigger == NULL)
            return -1;
        regions = bigger;
        capacity = more;
    }
    memmove(&regions[at + 1], &regions[at], (count - at) * sizeof(*regions));
    regions[at] = r;
    count++;
    return 0;
}

void region_remove(struct region *r)
{
    unsigned at = lower_bound(r->base);

    if (at >= count || regions[at] != r)
        abort();
    count--;
    memmove(&regions[at], &regions[at + 1], (count - at) * sizeof(*regions));
}

struct region *region_find(uintptr_t address)
{
    unsigned at = lower_bound(address);

    return at < count && regions[at]->base <= address ? regions[at] : NULL;
}

struct region *region_at(unsigned index)
{
    return index < count ? regions[index] : NULL;
}

unsigned region_count(void)
{
    return count;
}

/* Unmaps what stands behind a region that is no longer in the table. */
void region_free(struct region *r)
{
    switch (r->kind) {
    case REGION_BLOCK:
        backing_retire(&r->backing);
        backing_close(&r->backing);
        address_release(r->base, r->size);
        break;
    case REGION_IMPORT:
        backing_close(&r->backing);
        address_release(r->base, r->size);
        break;
    case REGION_MAPPED:
        /* The addresses belong to the reservation, the memory to the VMM object. */
        vmm_mapping_gone(r->vmm);
        break;
    case REGION_HOST:
        if (r->base != (uintptr_t)r->host) {
            uintptr_t page = r->base & ~(uintptr_t)(META_SIZE - 1);

            address_release(page, r->base + r->size - page);
        }
        break;
    }
    free(r->spans);
    free(r);
}

void regions_drop(struct context *c)
{
    pthread_rwlock_wrlock(&world);
    for (unsigned i = count; i-- > 0;) {
        struct region *r = regions[i];

        if (r->context != c)
            continue;
        dropped += r->kind == REGION_BLOCK ? r->span_count : 1;
        region_remove(r);
        region_free(r);
    }
    pthread_rwlock_unlock(&world);
}

unsigned regions_dropped(void)
{
    unsigned n;

    pthread_rwlock_rdlock(&world);
    n = dropped;
    pthread_rwlock_unlock(&world);
    return n;
}

bool range_known(drv_ptr_t address, size_t size)
{
    uintptr_t at = (uintptr_t)address, end = at + size;
    struct region *r;

    pthread_rwlock_rdlock(&world);
    /* Neighbouring mappings of one reservation are one range to the caller. */
    while (at < end && (r = region_find(at)) != NULL)
        at = r->base + r->size;
    pthread_rwlock_unlock(&world);
    return at >= end;
}

/* ---- device work: `world` is held for reading ---- */

static bool allowed(const struct region *r, int physical, bool writes)
{
    uint32_t bit = (uint32_t)1 << physical;

    if (r->kind == REGION_MAPPED)
        return ((writes ? r->can_write : r->can_read) & bit) != 0;
    return !(writes && r->kind == REGION_HOST && r->read_only);
}

/* Where the stand-in touches `p`, and for how many bytes; NULL is a fault. */
static unsigned char *resolve(int physical, struct place p, bool writes, size_t *size)
{
    struct region *r;
    size_t left;

    if (!p.device)
        return (unsigned char *)p.address;
    r = region_find(p.address);
    if (r == NULL || !allowed(r, physical, writes))
        return NULL;
    left = r->base + r->size - p.address;
    if (*size > left)
        *size = left;
    return r->shadow + (p.address - r->base);
}

drv_result_t memory_copy(int physical, struct place to, struct place from, size_t size)
{
    drv_result_t result = DRV_CUDA_SUCCESS;

    pthread_rwlock_rdlock(&world);
    while (size > 0) {
        size_t n = size;
        const unsigned char *source = resolve(physical, from, false, &n);
        unsigned char *target = resolve(physical, to, true, &n);

        if (source == NULL || target == NULL) {
            result = DRV_CUDA_ERROR_ILLEGAL_ADDRESS;
            break;
        }
        memmove(target, source, n);
        to.address += n;
        from.address += n;
        size -= n;
    }
    pthread_rwlock_unlock(&world);
    return result;
}

static void fill(unsigned char *target, uint32_t pattern, size_t width, size_t size)
{
    if (width == 1) {
        memset(target, (int)(pattern & 0xff), size);
        return;
    }
    for (size_t i = 0; i + width <= size; i += width)
        memcpy(target + i, &pattern, width);
}

drv_result_t memory_fill(int physical, uintptr_t to, uint32_t pattern, size_t width, size_t items)
{
    struct place p = {to, true};
    size_t size = width * items;
    drv_result_t result = DRV_CUDA_SUCCESS;

    pthread_rwlock_rdlock(&world);
    while (size > 0) {
        size_t n = size;
        unsigned char *target = resolve(physical, p, true, &n);

        if (target == NULL) {
            result = DRV_CUDA_ERROR_ILLEGAL_ADDRESS;
            break;
        }
        fill(target, pattern, width, n);
        p.address += n;
        size -= n;
    }
    pthread_rwlock_unlock(&world);
    return result;
}

drv_result_t memory_load(int physical, uintptr_t address, uint64_t *value)
{
    drv_result_t result = DRV_CUDA_ERROR_ILLEGAL_ADDRESS;
    size_t size = sizeof(*value);
    unsigned char *word;

    pthread_rwlock_rdlock(&world);
    word = resolve(physical, (struct place){address, true}, false, &size);
    if (word != NULL && size == sizeof(*value)) {
        /* Acquire: what the writer of this word did before it is seen by later work. */
        *value = atomic_load_explicit((_Atomic uint64_t *)(void *)word, memory_order_acquire);
        result = DRV_CUDA_SUCCESS;
    }
    pthread_rwlock_unlock(&world);
    return result;
}

drv_result_t memory_store(int physical, uintptr_t address, uint64_t value)
{
    drv_result_t result = DRV_CUDA_ERROR_ILLEGAL_ADDRESS;
    size_t size = sizeof(value);
    unsigned char *word;

    pthread_rwlock_rdlock(&world);
    word = resolve(physical, (struct place){address, true}, true, &size);
    if (word != NULL && size == sizeof(value)) {
        /* Release: earlier work of this stream is seen by whoever acquires the word. */
        atomic_store_explicit((_Atomic uint64_t *)(void *)word, value, memory_order_release);
        result = DRV_CUDA_SUCCESS;
    }
    pthread_rwlock_unlock(&world);
    return result;
}
