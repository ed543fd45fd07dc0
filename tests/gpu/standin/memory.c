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

#include <sys/mman.h>

pthread_rwlock_t world = PTHREAD_RWLOCK_INITIALIZER;

static struct region **regions; /* ordered by base, never overlapping */
static unsigned count, dropped;

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
    uintptr_t page = base & ~(uintptr_t)(META_SIZE - 1);

    munmap((void *)page, base + size - page);
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

/* Registered memory begins where it does in its page; a host address of another kind is NULL. */
static uintptr_t reserve_for(const struct region *r)
{
    size_t in_page = (uintptr_t)r->host & (META_SIZE - 1);
    uintptr_t base = address_reserve(in_page + r->size, BLOCK_SIZE);

    return base != 0 ? base + in_page : 0;
}

struct region *region_new(struct region like)
{
    struct region *r;
    unsigned at;

    if (like.base == 0 && (like.base = reserve_for(&like)) == 0)
        return NULL;
    r = make(sizeof(*r));
    *r = like;
    at = lower_bound(r->base);
    regions = realloc(regions, (count + 1) * sizeof(*regions));
    if (regions == NULL || (at < count && regions[at]->base < r->base + r->size))
        abort();
    memmove(&regions[at + 1], &regions[at], (count - at) * sizeof(*regions));
    regions[at] = r;
    count++;
    return r;
}

void region_end(struct region *r)
{
    unsigned at = lower_bound(r->base);

    if (at >= count || regions[at] != r)
        abort();
    count--;
    memmove(&regions[at], &regions[at + 1], (count - at) * sizeof(*regions));
    if (r->kind == REGION_BLOCK)
        backing_retire(&r->backing);
    if (r->kind == REGION_BLOCK || r->kind == REGION_IMPORT)
        backing_close(&r->backing);
    /* Mapped: the addresses belong to the reservation, the memory to the VMM object. */
    if (r->kind == REGION_MAPPED)
        vmm_mapping_gone(r->vmm);
    else if (r->base != (uintptr_t)r->host)
        address_release(r->base, r->size);
    free(r->spans);
    free(r);
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

void regions_drop(struct context *c)
{
    WRITE_WORLD();
    for (unsigned i = count; i-- > 0;) {
        struct region *r = regions[i];

        if (r->context != c)
            continue;
        dropped += r->kind == REGION_BLOCK ? r->span_count : 1;
        region_end(r);
    }
}

void region_leaks(struct standin_leaks *l)
{
    READ_WORLD();
    for (unsigned i = 0; i < count; i++) {
        l->allocations += regions[i]->span_count;
        l->imports += regions[i]->opens;
        l->mappings += regions[i]->kind == REGION_MAPPED;
        l->registrations += regions[i]->kind == REGION_HOST;
    }
    l->dropped += dropped;
}

bool range_known(drv_ptr_t address, size_t size)
{
    uintptr_t at = (uintptr_t)address, end = at + size;
    struct region *r;

    READ_WORLD();
    /* Neighbouring mappings of one reservation are one range to the caller. */
    while (at < end && (r = region_find(at)) != NULL)
        at = r->base + r->size;
    return at >= end;
}

/* ---- device work ---- */

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
    READ_WORLD();
    while (size > 0) {
        size_t n = size;
        const unsigned char *source = resolve(physical, from, false, &n);
        unsigned char *target = resolve(physical, to, true, &n);

        REQUIRE(source != NULL && target != NULL, ILLEGAL_ADDRESS);
        memmove(target, source, n);
        to.address += n;
        from.address += n;
        size -= n;
    }
    return DRV_CUDA_SUCCESS;
}

drv_result_t memory_fill(int physical, uintptr_t to, unsigned char value, size_t size)
{
    READ_WORLD();
    while (size > 0) {
        size_t n = size;
        unsigned char *target = resolve(physical, (struct place){to, true}, true, &n);

        REQUIRE(target != NULL, ILLEGAL_ADDRESS);
        memset(target, value, n);
        to += n;
        size -= n;
    }
    return DRV_CUDA_SUCCESS;
}

static _Atomic uint64_t *word_at(int physical, uintptr_t address, bool writes)
{
    size_t size = sizeof(uint64_t);
    unsigned char *word = resolve(physical, (struct place){address, true}, writes, &size);

    return size == sizeof(uint64_t) ? (void *)word : NULL;
}

drv_result_t memory_load(int physical, uintptr_t address, uint64_t *value)
{
    _Atomic uint64_t *word;

    READ_WORLD();
    word = word_at(physical, address, false);
    REQUIRE(word != NULL, ILLEGAL_ADDRESS);
    /* Acquire: what the writer of this word did before it is seen by later work. */
    *value = atomic_load_explicit(word, memory_order_acquire);
    return DRV_CUDA_SUCCESS;
}

drv_result_t memory_store(int physical, uintptr_t address, uint64_t value)
{
    _Atomic uint64_t *word;

    READ_WORLD();
    word = word_at(physical, address, true);
    REQUIRE(word != NULL, ILLEGAL_ADDRESS);
    /* Release: earlier work of this stream is seen by whoever acquires the word. */
    atomic_store_explicit(word, value, memory_order_release);
    return DRV_CUDA_SUCCESS;
}
