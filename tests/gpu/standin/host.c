/* SPDX-License-Identifier: MIT */
/*
 * Host memory that devices may touch, and questions about pointers.
 *
 * Registered memory has a device address of its own, which the CPU cannot touch: code that hands the host's pointer to
 * a device call is found out. On most cards the two are the same; mode "sameptr" plays those, and says so by the device
 * attribute.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define KNOWN_FLAGS                                                                                                    \
    (DRV_CU_MEMHOSTREGISTER_PORTABLE | DRV_CU_MEMHOSTREGISTER_DEVICEMAP | DRV_CU_MEMHOSTREGISTER_READ_ONLY)

unsigned host_leaks(void)
{
    unsigned n = 0;

    pthread_rwlock_rdlock(&world);
    for (unsigned i = 0; i < region_count(); i++)
        n += region_at(i)->kind == REGION_HOST;
    pthread_rwlock_unlock(&world);
    return n;
}

struct region *host_region(const void *host)
{
    for (unsigned i = 0; i < region_count(); i++) {
        struct region *r = region_at(i);

        if (r->kind == REGION_HOST && (uintptr_t)host >= (uintptr_t)r->host &&
            (uintptr_t)host - (uintptr_t)r->host < r->size)
            return r;
    }
    return NULL;
}

bool host_is_pinned(const void *host, size_t size)
{
    const struct region *r;
    bool pinned;

    pthread_rwlock_rdlock(&world);
    r = host_region(host);
    pinned = r != NULL && (uintptr_t)host - (uintptr_t)r->host + size <= r->size;
    pthread_rwlock_unlock(&world);
    return pinned;
}

/*
 * Whether all of [from, to) is mapped and readable, and writable if asked: a driver pins the pages and finds out; we
 * have to read it up.
 */
static bool mapped(uintptr_t from, uintptr_t to, bool writable)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    unsigned long start, end;
    char line[512], access[8];

    if (maps == NULL)
        return false;
    while (from < to && fgets(line, sizeof(line), maps) != NULL) {
        if (sscanf(line, "%lx-%lx %7s", &start, &end, access) != 3 || end <= from)
            continue;
        if (start > from || access[0] != 'r' || (writable && access[1] != 'w'))
            break;
        from = end;
    }
    fclose(maps);
    return from >= to;
}

static bool overlaps(const void *host, size_t size)
{
    uintptr_t from = (uintptr_t)host;

    for (unsigned i = 0; i < region_count(); i++) {
        const struct region *r = region_at(i);
        uintptr_t start = (uintptr_t)r->host;

        if (r->kind == REGION_HOST && from < start + r->size && start < from + size)
            return true;
    }
    return false;
}

static drv_result_t host_register(struct context *c, void *host, size_t size, bool read_only)
{
    size_t in_page = (uintptr_t)host & (META_SIZE - 1);
    struct region *r;

    if (overlaps(host, size))
        return DRV_CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    r = calloc(1, sizeof(*r));
    if (r == NULL)
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    *r = (struct region){.kind = REGION_HOST,
                         .context = c,
                         .physical = c->physical,
                         .size = size,
                         .shadow = host,
                         .host = host,
                         .read_only = read_only};
    r->base = (uintptr_t)host;
    if (!mode(MODE_SAMEPTR)) {
        r->base = address_reserve(in_page + size, META_SIZE);
        if (r->base == 0) {
            free(r);
            return DRV_CUDA_ERROR_OUT_OF_MEMORY;
        }
        r->base += in_page;
    }
    if (region_add(r) < 0) {
        region_free(r);
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    }
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuMemHostRegister_v2(void *host, size_t size, unsigned int flags)
{
    bool read_only = (flags & DRV_CU_MEMHOSTREGISTER_READ_ONLY) != 0;
    drv_result_t result;

    ENTER_CONTEXT(cuMemHostRegister, c);
    if (host == NULL || size == 0 || (flags & ~(unsigned)KNOWN_FLAGS) != 0 ||
        !mapped((uintptr_t)host, (uintptr_t)host + size, !read_only))
        return DRV_CUDA_ERROR_INVALID_VALUE;
    pthread_rwlock_wrlock(&world);
    result = host_register(c, host, size, read_only);
    pthread_rwlock_unlock(&world);
    return result;
}

drv_result_t cuMemHostUnregister(void *host)
{
    struct region *r;

    ENTER_CONTEXT(cuMemHostUnregister, c);
    pthread_rwlock_wrlock(&world);
    r = host_region(host);
    if (r != NULL && r->host == host) {
        region_remove(r);
        region_free(r);
    } else {
        r = NULL;
    }
    pthread_rwlock_unlock(&world);
    return r != NULL ? DRV_CUDA_SUCCESS : DRV_CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
}

drv_result_t cuMemHostGetDevicePointer_v2(drv_ptr_t *ptr, void *host, unsigned int flags)
{
    struct region *r;

    ENTER_CONTEXT(cuMemHostGetDevicePointer, c);
    if (ptr == NULL || flags != 0)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    pthread_rwlock_rdlock(&world);
    r = host_region(host);
    if (r != NULL)
        *ptr = r->base + ((uintptr_t)host - (uintptr_t)r->host);
    pthread_rwlock_unlock(&world);
    return r != NULL ? DRV_CUDA_SUCCESS : DRV_CUDA_ERROR_INVALID_VALUE;
}

/* ---- pointer attributes ---- */

static int ordinal_of(int physical)
{
    for (int i = 0; i < config()->device_count; i++)
        if (config()->physical[i] == physical)
            return i;
    return -2;
}

static void answer_int(void *data, int value)
{
    memcpy(data, &value, sizeof(value));
}

static void answer_word(void *data, uint64_t value)
{
    memcpy(data, &value, sizeof(value));
}

/* `r` is NULL for a pointer that no device knows: zeros, and an ordinal of -2. */
static drv_result_t answer(drv_pointer_attribute_t attribute, void *data, const struct region *r, uintptr_t at)
{
    uintptr_t base = 0;
    size_t size = 0;
    bool host = r != NULL && r->kind == REGION_HOST;

    if (r != NULL)
        allocation_range(r, at, &base, &size);
    switch (attribute) {
    case DRV_CU_POINTER_ATTRIBUTE_CONTEXT:
        answer_word(data, r != NULL ? (uintptr_t)r->context : 0);
        break;
    case DRV_CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        answer_int(data, r == NULL ? 0 : host ? DRV_CU_MEMORYTYPE_HOST : DRV_CU_MEMORYTYPE_DEVICE);
        break;
    case DRV_CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
        answer_word(data, r != NULL ? at : 0);
        break;
    case DRV_CU_POINTER_ATTRIBUTE_HOST_POINTER:
        answer_word(data, host ? (uintptr_t)r->host + (at - r->base) : 0);
        break;
    case DRV_CU_POINTER_ATTRIBUTE_BUFFER_ID:
        answer_word(data, base);
        break;
    case DRV_CU_POINTER_ATTRIBUTE_IS_MANAGED:
        answer_int(data, 0);
        break;
    case DRV_CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        answer_int(data, r != NULL ? ordinal_of(r->physical) : -2);
        break;
    case DRV_CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
        answer_int(data, r != NULL && r->kind == REGION_BLOCK && !mode(MODE_NOLEGACY));
        break;
    case DRV_CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
        answer_word(data, base);
        break;
    case DRV_CU_POINTER_ATTRIBUTE_RANGE_SIZE:
        answer_word(data, size);
        break;
    case DRV_CU_POINTER_ATTRIBUTE_MAPPED:
        answer_int(data, r != NULL);
        break;
    case DRV_CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
        answer_word(data, r != NULL && r->kind == REGION_MAPPED ? (uint64_t)vmm_allowed_types(r->vmm) : 0);
        break;
    default:
        return DRV_CUDA_ERROR_INVALID_VALUE;
    }
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuPointerGetAttributes(unsigned int count, drv_pointer_attribute_t *attributes, void **values,
                                    drv_ptr_t ptr)
{
    drv_result_t result = DRV_CUDA_SUCCESS;
    uintptr_t at = (uintptr_t)ptr;
    struct region *r;

    ENTER(cuPointerGetAttributes);
    if (count == 0 || attributes == NULL || values == NULL)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    pthread_rwlock_rdlock(&world);
    r = region_find(at);
    if (r == NULL) {
        /* A registered host pointer names its memory too. */
        r = host_region((const void *)at);
        at = r != NULL ? r->base + (at - (uintptr_t)r->host) : at;
    }
    for (unsigned i = 0; i < count && result == DRV_CUDA_SUCCESS; i++)
        result = values[i] != NULL ? answer(attributes[i], values[i], r, at) : DRV_CUDA_ERROR_INVALID_VALUE;
    pthread_rwlock_unlock(&world);
    return result;
}
