/* SPDX-License-Identifier: MIT */
/*
 * Virtual memory management: physical memory, addresses and access, each by itself.
 *
 * A handle is a memfd. What is exported is a duplicate of its descriptor, to be sent by SCM_RIGHTS; so the kernel keeps
 * the memory alive until the last descriptor and the last mapping anywhere are gone, whoever was killed. Mapped memory
 * can be touched by no device until cuMemSetAccess says so.
 */
#include "internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct vmm {
    struct vmm *next;
    drv_mem_handle_t handle;
    struct backing backing;
    int types; /* of handles that may be exported */
    unsigned references, mappings;
};

struct reservation {
    struct reservation *next;
    uintptr_t base;
    size_t size;
};

/* All under `world`. */
static struct vmm *objects;
static struct reservation *reservations;
static drv_mem_handle_t last_handle = 0x100;

int vmm_allowed_types(const struct vmm *v)
{
    return v->types;
}

void vmm_leaks(struct standin_leaks *l)
{
    pthread_rwlock_rdlock(&world);
    for (const struct vmm *v = objects; v != NULL; v = v->next) {
        l->vmm_handles += v->references;
        l->mappings += v->mappings;
    }
    for (const struct reservation *r = reservations; r != NULL; r = r->next)
        l->reservations++;
    pthread_rwlock_unlock(&world);
}

static struct vmm *find(drv_mem_handle_t handle)
{
    struct vmm *v = objects;

    while (v != NULL && (v->handle != handle || v->references == 0))
        v = v->next;
    return v;
}

static void free_if_unused(struct vmm *v)
{
    struct vmm **link = &objects;

    if (v->references > 0 || v->mappings > 0)
        return;
    while (*link != v)
        link = &(*link)->next;
    *link = v->next;
    backing_close(&v->backing);
    free(v);
}

void vmm_mapping_gone(struct vmm *v)
{
    v->mappings--;
    free_if_unused(v);
}

/* Takes `b`. */
static drv_result_t add(const struct backing *b, int types, drv_mem_handle_t *handle)
{
    struct vmm *v = calloc(1, sizeof(*v));

    if (v == NULL) {
        struct backing gone = *b;

        backing_close(&gone);
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    }
    *v = (struct vmm){.backing = *b, .types = types, .references = 1};
    pthread_rwlock_wrlock(&world);
    *handle = v->handle = ++last_handle;
    v->next = objects;
    objects = v;
    pthread_rwlock_unlock(&world);
    return DRV_CUDA_SUCCESS;
}

static drv_result_t check_prop(const drv_mem_prop_t *p)
{
    if (mode(MODE_NOVMM))
        return DRV_CUDA_ERROR_NOT_SUPPORTED;
    if (p == NULL || p->type != DRV_CU_MEM_ALLOCATION_TYPE_PINNED ||
        p->location.type != DRV_CU_MEM_LOCATION_TYPE_DEVICE ||
        (p->requestedHandleTypes & ~DRV_CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) != 0)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if (p->location.id < 0 || p->location.id >= config()->device_count)
        return DRV_CUDA_ERROR_INVALID_DEVICE;
    /* WSL says that it can, until it should. */
    if (mode(MODE_WSL) && p->requestedHandleTypes != 0)
        return DRV_CUDA_ERROR_NOT_SUPPORTED;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuMemGetAllocationGranularity(size_t *granularity, const drv_mem_prop_t *prop, drv_granularity_t option)
{
    drv_result_t result;

    ENTER(cuMemGetAllocationGranularity);
    if (granularity == NULL || option < DRV_CU_MEM_ALLOC_GRANULARITY_MINIMUM ||
        option > DRV_CU_MEM_ALLOC_GRANULARITY_RECOMMENDED)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    result = check_prop(prop);
    if (result == DRV_CUDA_SUCCESS)
        *granularity = BLOCK_SIZE;
    return result;
}

drv_result_t cuMemCreate(drv_mem_handle_t *handle, size_t size, const drv_mem_prop_t *prop, unsigned long long flags)
{
    struct backing b;
    drv_result_t result;

    ENTER(cuMemCreate);
    if (handle == NULL || size == 0 || size % BLOCK_SIZE != 0 || flags != 0)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    result = check_prop(prop);
    if (result != DRV_CUDA_SUCCESS)
        return result;
    if (size > config()->memory_size ||
        backing_create(&b, BACKING_VMM, size, config()->physical[prop->location.id]) < 0)
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    return add(&b, prop->requestedHandleTypes, handle);
}

drv_result_t cuMemRelease(drv_mem_handle_t handle)
{
    struct vmm *v;

    ENTER(cuMemRelease);
    pthread_rwlock_wrlock(&world);
    v = find(handle);
    if (v != NULL) {
        v->references--;
        free_if_unused(v);
    }
    pthread_rwlock_unlock(&world);
    return v != NULL ? DRV_CUDA_SUCCESS : DRV_CUDA_ERROR_INVALID_VALUE;
}

drv_result_t cuMemRetainAllocationHandle(drv_mem_handle_t *handle, void *address)
{
    drv_result_t result = DRV_CUDA_ERROR_INVALID_VALUE;
    struct region *r;

    ENTER(cuMemRetainAllocationHandle);
    if (handle == NULL)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    pthread_rwlock_wrlock(&world);
    r = region_find((uintptr_t)address);
    if (r != NULL && r->kind == REGION_MAPPED) {
        r->vmm->references++;
        *handle = r->vmm->handle;
        result = DRV_CUDA_SUCCESS;
    }
    pthread_rwlock_unlock(&world);
    return result;
}

drv_result_t cuMemExportToShareableHandle(void *shareable, drv_mem_handle_t handle, drv_handle_type_t type,
                                          unsigned long long flags)
{
    drv_result_t result = DRV_CUDA_ERROR_INVALID_VALUE;
    struct vmm *v;
    int fd;

    ENTER(cuMemExportToShareableHandle);
    if (shareable == NULL || flags != 0 || type != DRV_CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if (mode(MODE_WSL))
        return DRV_CUDA_ERROR_NOT_SUPPORTED;
    pthread_rwlock_rdlock(&world);
    v = find(handle);
    if (v != NULL && (v->types & type) != 0) {
        fd = fcntl(v->backing.fd, F_DUPFD_CLOEXEC, 3);
        result = fd < 0 ? DRV_CUDA_ERROR_OPERATING_SYSTEM : DRV_CUDA_SUCCESS;
        if (fd >= 0)
            *(int *)shareable = fd;
    }
    pthread_rwlock_unlock(&world);
    return result;
}

/* The descriptor stays the caller's; the import holds one of its own. */
drv_result_t cuMemImportFromShareableHandle(drv_mem_handle_t *handle, void *shareable, drv_handle_type_t type)
{
    struct backing b;
    int fd;

    ENTER(cuMemImportFromShareableHandle);
    if (handle == NULL || type != DRV_CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if (mode(MODE_WSL) || mode(MODE_NOVMM))
        return DRV_CUDA_ERROR_NOT_SUPPORTED;
    fd = fcntl((int)(intptr_t)shareable, F_DUPFD_CLOEXEC, 3);
    if (fd < 0 || backing_adopt(&b, BACKING_VMM, fd) < 0)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    return add(&b, type, handle);
}

static bool aligned(drv_ptr_t ptr, size_t size)
{
    return ptr % BLOCK_SIZE == 0 && size % BLOCK_SIZE == 0 && size > 0;
}

drv_result_t cuMemAddressReserve(drv_ptr_t *ptr, size_t size, size_t alignment, drv_ptr_t wish,
                                 unsigned long long flags)
{
    struct reservation *r;

    (void)wish; /* only ever a wish: this driver grants none */
    ENTER(cuMemAddressReserve);
    if (ptr == NULL || !aligned(0, size) || flags != 0 || (alignment & (alignment - 1)) != 0)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if (mode(MODE_NOVMM))
        return DRV_CUDA_ERROR_NOT_SUPPORTED;
    r = calloc(1, sizeof(*r));
    if (r == NULL)
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    r->size = size;
    r->base = address_reserve(size, alignment > BLOCK_SIZE ? alignment : BLOCK_SIZE);
    if (r->base == 0) {
        free(r);
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    }
    *ptr = r->base;
    pthread_rwlock_wrlock(&world);
    r->next = reservations;
    reservations = r;
    pthread_rwlock_unlock(&world);
    return DRV_CUDA_SUCCESS;
}

static bool anything_mapped(uintptr_t base, size_t size)
{
    for (uintptr_t at = base; at < base + size; at += BLOCK_SIZE)
        if (region_find(at) != NULL)
            return true;
    return false;
}

drv_result_t cuMemAddressFree(drv_ptr_t ptr, size_t size)
{
    drv_result_t result = DRV_CUDA_ERROR_INVALID_VALUE;
    struct reservation **link, *r;

    ENTER(cuMemAddressFree);
    pthread_rwlock_wrlock(&world);
    for (link = &reservations; (r = *link) != NULL; link = &r->next)
        if (r->base == ptr && r->size == size)
            break;
    if (r != NULL && !anything_mapped(r->base, r->size)) {
        *link = r->next;
        address_release(r->base, r->size);
        free(r);
        result = DRV_CUDA_SUCCESS;
    }
    pthread_rwlock_unlock(&world);
    return result;
}

static bool reserved(uintptr_t base, size_t size)
{
    for (const struct reservation *r = reservations; r != NULL; r = r->next)
        if (base >= r->base && size <= r->size && base - r->base <= r->size - size)
            return true;
    return false;
}

static drv_result_t map(uintptr_t base, size_t size, struct vmm *v)
{
    struct region *r;

    if (v == NULL || size > v->backing.size || !reserved(base, size) || anything_mapped(base, size))
        return DRV_CUDA_ERROR_INVALID_VALUE;
    r = calloc(1, sizeof(*r));
    if (r == NULL)
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    *r = (struct region){.kind = REGION_MAPPED,
                         .base = base,
                         .size = size,
                         .vmm = v,
                         .shadow = v->backing.data,
                         .physical = v->backing.meta->physical};
    if (region_add(r) < 0) {
        free(r);
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    }
    v->mappings++;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuMemMap(drv_ptr_t ptr, size_t size, size_t offset, drv_mem_handle_t handle, unsigned long long flags)
{
    drv_result_t result;

    ENTER(cuMemMap);
    if (!aligned(ptr, size) || offset != 0 || flags != 0)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    pthread_rwlock_wrlock(&world);
    result = map((uintptr_t)ptr, size, find(handle));
    pthread_rwlock_unlock(&world);
    return result;
}

/* Whole mappings only, from `ptr` to `ptr + size` without a hole. */
static bool covers_mappings(uintptr_t at, uintptr_t end)
{
    while (at < end) {
        const struct region *r = region_find(at);

        if (r == NULL || r->kind != REGION_MAPPED || r->base != at)
            return false;
        at += r->size;
    }
    return at == end;
}

drv_result_t cuMemUnmap(drv_ptr_t ptr, size_t size)
{
    drv_result_t result = DRV_CUDA_ERROR_INVALID_VALUE;
    uintptr_t at = (uintptr_t)ptr, end = at + size;

    ENTER(cuMemUnmap);
    if (!aligned(ptr, size))
        return result;
    pthread_rwlock_wrlock(&world);
    if (covers_mappings(at, end)) {
        while (at < end) {
            struct region *r = region_find(at);

            at += r->size;
            region_remove(r);
            region_free(r);
        }
        result = DRV_CUDA_SUCCESS;
    }
    pthread_rwlock_unlock(&world);
    return result;
}

static drv_result_t check_access(const struct region *r, const drv_mem_access_t *a)
{
    if (a->location.type != DRV_CU_MEM_LOCATION_TYPE_DEVICE)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if (a->location.id < 0 || a->location.id >= config()->device_count)
        return DRV_CUDA_ERROR_INVALID_DEVICE;
    if (config()->physical[a->location.id] != r->physical && mode(MODE_NOPEER))
        return DRV_CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
    return DRV_CUDA_SUCCESS;
}

static void set_access(struct region *r, const drv_mem_access_t *a)
{
    uint32_t bit = (uint32_t)1 << config()->physical[a->location.id];

    r->can_read &= ~bit;
    r->can_write &= ~bit;
    if (a->flags != DRV_CU_MEM_ACCESS_FLAGS_PROT_NONE)
        r->can_read |= bit;
    if (a->flags == DRV_CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
        r->can_write |= bit;
}

drv_result_t cuMemSetAccess(drv_ptr_t ptr, size_t size, const drv_mem_access_t *access, size_t count)
{
    drv_result_t result = DRV_CUDA_ERROR_INVALID_VALUE;
    uintptr_t at = (uintptr_t)ptr, end = at + size;

    ENTER(cuMemSetAccess);
    if (!aligned(ptr, size) || access == NULL || count == 0)
        return result;
    pthread_rwlock_wrlock(&world);
    if (covers_mappings(at, end)) {
        result = DRV_CUDA_SUCCESS;
        for (size_t i = 0; i < count && result == DRV_CUDA_SUCCESS; i++)
            result = check_access(region_find(at), &access[i]);
        for (; result == DRV_CUDA_SUCCESS && at < end; at += region_find(at)->size)
            for (size_t i = 0; i < count; i++)
                set_access(region_find(at), &access[i]);
    }
    pthread_rwlock_unlock(&world);
    return result;
}
