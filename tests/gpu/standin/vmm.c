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
    READ_WORLD();
    for (const struct vmm *v = objects; v != NULL; v = v->next)
        l->vmm_handles += v->references;
    for (const struct reservation *r = reservations; r != NULL; r = r->next)
        l->reservations++;
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

/* A handle of an object that has `b` behind it. */
static drv_mem_handle_t publish(const struct backing *b, int types)
{
    struct vmm *v = make(sizeof(*v));

    WRITE_WORLD();
    *v = (struct vmm){.next = objects, .handle = ++last_handle, .backing = *b, .types = types, .references = 1};
    objects = v;
    return v->handle;
}

static drv_result_t check_prop(const drv_mem_prop_t *p)
{
    REQUIRE(!mode(MODE_NOVMM), NOT_SUPPORTED);
    REQUIRE(p != NULL && p->type == DRV_CU_MEM_ALLOCATION_TYPE_PINNED, INVALID_VALUE);
    REQUIRE(p->location.type == DRV_CU_MEM_LOCATION_TYPE_DEVICE, INVALID_VALUE);
    REQUIRE((p->requestedHandleTypes & ~DRV_CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) == 0, INVALID_VALUE);
    REQUIRE(device_ok(p->location.id), INVALID_DEVICE);
    /* WSL says that it can, until it should. */
    REQUIRE(!mode(MODE_WSL) || p->requestedHandleTypes == 0, NOT_SUPPORTED);
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuMemGetAllocationGranularity(size_t *granularity, const drv_mem_prop_t *prop, drv_granularity_t option)
{
    ENTER(cuMemGetAllocationGranularity);
    REQUIRE(granularity != NULL && option >= DRV_CU_MEM_ALLOC_GRANULARITY_MINIMUM &&
                option <= DRV_CU_MEM_ALLOC_GRANULARITY_RECOMMENDED,
            INVALID_VALUE);
    TRY(check_prop(prop));
    *granularity = BLOCK_SIZE;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuMemCreate(drv_mem_handle_t *handle, size_t size, const drv_mem_prop_t *prop, unsigned long long flags)
{
    struct backing b;

    ENTER(cuMemCreate);
    REQUIRE(handle != NULL && size > 0 && size % BLOCK_SIZE == 0 && flags == 0, INVALID_VALUE);
    TRY(check_prop(prop));
    REQUIRE(size <= config()->memory_size, OUT_OF_MEMORY);
    REQUIRE(backing_create(&b, BACKING_VMM, size, config()->physical[prop->location.id]) == 0, OUT_OF_MEMORY);
    *handle = publish(&b, prop->requestedHandleTypes);
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuMemRelease(drv_mem_handle_t handle)
{
    struct vmm *v;

    ENTER(cuMemRelease);
    WRITE_WORLD();
    v = find(handle);
    REQUIRE(v != NULL, INVALID_VALUE);
    v->references--;
    free_if_unused(v);
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuMemRetainAllocationHandle(drv_mem_handle_t *handle, void *address)
{
    struct region *r;

    ENTER(cuMemRetainAllocationHandle);
    REQUIRE(handle != NULL, INVALID_VALUE);
    WRITE_WORLD();
    r = region_find((uintptr_t)address);
    REQUIRE(r != NULL && r->kind == REGION_MAPPED, INVALID_VALUE);
    r->vmm->references++;
    *handle = r->vmm->handle;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuMemExportToShareableHandle(void *shareable, drv_mem_handle_t handle, drv_handle_type_t type,
                                          unsigned long long flags)
{
    struct vmm *v;
    int fd;

    ENTER(cuMemExportToShareableHandle);
    REQUIRE(shareable != NULL && flags == 0 && type == DRV_CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, INVALID_VALUE);
    REQUIRE(!mode(MODE_WSL), NOT_SUPPORTED);
    READ_WORLD();
    v = find(handle);
    REQUIRE(v != NULL && (v->types & type) != 0, INVALID_VALUE);
    fd = fcntl(v->backing.fd, F_DUPFD_CLOEXEC, 3);
    REQUIRE(fd >= 0, OPERATING_SYSTEM);
    *(int *)shareable = fd;
    return DRV_CUDA_SUCCESS;
}

/* The descriptor stays the caller's; the import holds one of its own. */
drv_result_t cuMemImportFromShareableHandle(drv_mem_handle_t *handle, void *shareable, drv_handle_type_t type)
{
    struct backing b;
    int fd;

    ENTER(cuMemImportFromShareableHandle);
    REQUIRE(handle != NULL && type == DRV_CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, INVALID_VALUE);
    REQUIRE(!mode(MODE_WSL | MODE_NOVMM), NOT_SUPPORTED);
    fd = fcntl((int)(intptr_t)shareable, F_DUPFD_CLOEXEC, 3);
    REQUIRE(fd >= 0 && backing_adopt(&b, BACKING_VMM, fd) == 0, INVALID_VALUE);
    *handle = publish(&b, type);
    return DRV_CUDA_SUCCESS;
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
    REQUIRE(ptr != NULL && aligned(0, size) && flags == 0 && (alignment & (alignment - 1)) == 0, INVALID_VALUE);
    REQUIRE(!mode(MODE_NOVMM), NOT_SUPPORTED);
    *ptr = address_reserve(size, alignment > BLOCK_SIZE ? alignment : BLOCK_SIZE);
    REQUIRE(*ptr != 0, OUT_OF_MEMORY);
    r = make(sizeof(*r));
    WRITE_WORLD();
    *r = (struct reservation){reservations, (uintptr_t)*ptr, size};
    reservations = r;
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
    struct reservation **link = &reservations, *r;

    ENTER(cuMemAddressFree);
    WRITE_WORLD();
    while ((r = *link) != NULL && (r->base != ptr || r->size != size))
        link = &r->next;
    REQUIRE(r != NULL && !anything_mapped(r->base, r->size), INVALID_VALUE);
    *link = r->next;
    address_release(r->base, r->size);
    free(r);
    return DRV_CUDA_SUCCESS;
}

static bool reserved(uintptr_t base, size_t size)
{
    for (const struct reservation *r = reservations; r != NULL; r = r->next)
        if (base >= r->base && size <= r->size && base - r->base <= r->size - size)
            return true;
    return false;
}

drv_result_t cuMemMap(drv_ptr_t ptr, size_t size, size_t offset, drv_mem_handle_t handle, unsigned long long flags)
{
    uintptr_t base = (uintptr_t)ptr;
    struct vmm *v;

    ENTER(cuMemMap);
    REQUIRE(aligned(ptr, size) && offset == 0 && flags == 0, INVALID_VALUE);
    WRITE_WORLD();
    v = find(handle);
    REQUIRE(v != NULL && size <= v->backing.size, INVALID_VALUE);
    REQUIRE(reserved(base, size) && !anything_mapped(base, size), INVALID_VALUE);
    region_new((struct region){.kind = REGION_MAPPED,
                               .base = base,
                               .size = size,
                               .vmm = v,
                               .shadow = v->backing.data,
                               .physical = v->backing.meta->physical});
    v->mappings++;
    return DRV_CUDA_SUCCESS;
}

/* Whole mappings only, from `at` to `end` without a hole. */
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
    uintptr_t at = (uintptr_t)ptr, end = at + size;

    ENTER(cuMemUnmap);
    REQUIRE(aligned(ptr, size), INVALID_VALUE);
    WRITE_WORLD();
    REQUIRE(covers_mappings(at, end), INVALID_VALUE);
    while (at < end) {
        struct region *r = region_find(at);

        at += r->size;
        region_end(r);
    }
    return DRV_CUDA_SUCCESS;
}

static drv_result_t check_access(const struct region *r, const drv_mem_access_t *a)
{
    REQUIRE(a->location.type == DRV_CU_MEM_LOCATION_TYPE_DEVICE, INVALID_VALUE);
    REQUIRE(device_ok(a->location.id), INVALID_DEVICE);
    REQUIRE(config()->physical[a->location.id] == r->physical || !mode(MODE_NOPEER), PEER_ACCESS_UNSUPPORTED);
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
    uintptr_t at = (uintptr_t)ptr, end = at + size;

    ENTER(cuMemSetAccess);
    REQUIRE(aligned(ptr, size) && access != NULL && count > 0, INVALID_VALUE);
    WRITE_WORLD();
    REQUIRE(covers_mappings(at, end), INVALID_VALUE);
    for (size_t i = 0; i < count; i++)
        TRY(check_access(region_find(at), &access[i]));
    for (; at < end; at += region_find(at)->size)
        for (size_t i = 0; i < count; i++)
            set_access(region_find(at), &access[i]);
    return DRV_CUDA_SUCCESS;
}
