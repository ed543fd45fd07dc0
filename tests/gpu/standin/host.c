/* SPDX-License-Identifier: MIT */
/*
 * Host memory that devices may touch, and questions about pointers.
 *
 * Registered memory has a device address of its own, which the CPU cannot touch: code that hands the host's pointer to
 * a device call is found out. On most cards the two are the same; mode "sameptr" plays those, and says so by the device
 * attribute.
 */
#include "internal.h"

#include <stdio.h>

#define KNOWN_FLAGS                                                                                                    \
    (DRV_CU_MEMHOSTREGISTER_PORTABLE | DRV_CU_MEMHOSTREGISTER_DEVICEMAP | DRV_CU_MEMHOSTREGISTER_READ_ONLY)

/* The first registered memory that lies in [host, host + size), or NULL. `world` is held. */
static struct region *registered(const void *host, size_t size)
{
    uintptr_t from = (uintptr_t)host;
    struct region *r;

    for (unsigned i = 0; (r = region_at(i)) != NULL; i++) {
        uintptr_t start = (uintptr_t)r->host;

        if (r->kind == REGION_HOST && from < start + r->size && start < from + size)
            return r;
    }
    return NULL;
}

/* The device's address of `host` in `r`. */
static uintptr_t device_address(const struct region *r, const void *host)
{
    return r->base + ((uintptr_t)host - (uintptr_t)r->host);
}

bool host_is_pinned(const void *host, size_t size)
{
    const struct region *r;

    READ_WORLD();
    r = registered(host, 1);
    return r != NULL && (uintptr_t)host - (uintptr_t)r->host + size <= r->size;
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

drv_result_t cuMemHostRegister_v2(void *host, size_t size, unsigned int flags)
{
    bool read_only = (flags & DRV_CU_MEMHOSTREGISTER_READ_ONLY) != 0;
    struct region like = {.kind = REGION_HOST, .size = size, .shadow = host, .host = host, .read_only = read_only};

    ENTER_CONTEXT(cuMemHostRegister, c);
    REQUIRE(host != NULL && size > 0 && (flags & ~(unsigned)KNOWN_FLAGS) == 0, INVALID_VALUE);
    REQUIRE(mapped((uintptr_t)host, (uintptr_t)host + size, !read_only), INVALID_VALUE);
    like.context = c;
    like.physical = c->physical;
    like.base = mode(MODE_SAMEPTR) ? (uintptr_t)host : 0;
    WRITE_WORLD();
    REQUIRE(registered(host, size) == NULL, HOST_MEMORY_ALREADY_REGISTERED);
    REQUIRE(region_new(like) != NULL, OUT_OF_MEMORY);
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuMemHostUnregister(void *host)
{
    struct region *r;

    ENTER_CONTEXT(cuMemHostUnregister, c);
    WRITE_WORLD();
    r = registered(host, 1);
    REQUIRE(r != NULL && r->host == host, HOST_MEMORY_NOT_REGISTERED);
    region_end(r);
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuMemHostGetDevicePointer_v2(drv_ptr_t *ptr, void *host, unsigned int flags)
{
    struct region *r;

    ENTER_CONTEXT(cuMemHostGetDevicePointer, c);
    REQUIRE(ptr != NULL && flags == 0, INVALID_VALUE);
    READ_WORLD();
    r = registered(host, 1);
    REQUIRE(r != NULL, INVALID_VALUE);
    *ptr = device_address(r, host);
    return DRV_CUDA_SUCCESS;
}

/* ---- pointer attributes ---- */

/* -2: of no device. */
static int ordinal_of(int physical)
{
    for (int i = 0; i < config()->device_count; i++)
        if (config()->physical[i] == physical)
            return i;
    return -2;
}

static drv_result_t answer_int(void *data, int value)
{
    memcpy(data, &value, sizeof(value));
    return DRV_CUDA_SUCCESS;
}

static drv_result_t answer_word(void *data, uint64_t value)
{
    memcpy(data, &value, sizeof(value));
    return DRV_CUDA_SUCCESS;
}

/* `r` is NULL for a pointer that no device knows: zeros, and an ordinal of -2. */
static drv_result_t answer(drv_pointer_attribute_t attribute, void *data, const struct region *r, uintptr_t at)
{
    static const struct region none = {.kind = REGION_IMPORT, .physical = -1};
    uintptr_t base = 0;
    size_t size = 0;

    if (r != NULL)
        allocation_range(r, at, &base, &size);
    else
        r = &none;
    switch (attribute) {
    case DRV_CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        return answer_int(data, r == &none               ? 0
                                : r->kind == REGION_HOST ? DRV_CU_MEMORYTYPE_HOST
                                                         : DRV_CU_MEMORYTYPE_DEVICE);
    case DRV_CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        return answer_int(data, ordinal_of(r->physical));
    case DRV_CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
        return answer_int(data, r->kind == REGION_BLOCK && !mode(MODE_NOLEGACY));
    case DRV_CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
        return answer_word(data, base);
    case DRV_CU_POINTER_ATTRIBUTE_RANGE_SIZE:
        return answer_word(data, size);
    case DRV_CU_POINTER_ATTRIBUTE_MAPPED:
        return answer_int(data, r != &none);
    case DRV_CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
        return answer_word(data, r->kind == REGION_MAPPED ? (uint64_t)vmm_allowed_types(r->vmm) : 0);
    default:
        return DRV_CUDA_ERROR_INVALID_VALUE;
    }
}

drv_result_t cuPointerGetAttributes(unsigned int count, drv_pointer_attribute_t *attributes, void **values,
                                    drv_ptr_t ptr)
{
    uintptr_t at = (uintptr_t)ptr;
    struct region *r;

    ENTER(cuPointerGetAttributes);
    REQUIRE(count > 0 && attributes != NULL && values != NULL, INVALID_VALUE);
    READ_WORLD();
    r = region_find(at);
    if (r == NULL) {
        /* A registered host pointer names its memory too. */
        r = registered((const void *)at, 1);
        at = r != NULL ? device_address(r, (const void *)at) : at;
    }
    for (unsigned i = 0; i < count; i++) {
        REQUIRE(values[i] != NULL, INVALID_VALUE);
        TRY(answer(attributes[i], values[i], r, at));
    }
    return DRV_CUDA_SUCCESS;
}
