/* SPDX-License-Identifier: MIT */
/*
 * What the driver tells about pointers and devices, peers, and fork.
 */
#include "conformance.h"

#include <string.h>
#include <sys/wait.h>

struct attributes {
    int type, ordinal, legacy, mapped;
    drv_ptr_t start;
    size_t size;
    uint64_t handle_types;
};

static void ask(struct role *r, drv_ptr_t ptr, struct attributes *a)
{
    drv_pointer_attribute_t names[] = {
        DRV_CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
        DRV_CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
        DRV_CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE,
        DRV_CU_POINTER_ATTRIBUTE_MAPPED,
        DRV_CU_POINTER_ATTRIBUTE_RANGE_START_ADDR,
        DRV_CU_POINTER_ATTRIBUTE_RANGE_SIZE,
        DRV_CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES,
    };
    void *values[] = {&a->type, &a->ordinal, &a->legacy, &a->mapped, &a->start, &a->size, &a->handle_types};

    memset(a, 0, sizeof(*a));
    CU(r, cuPointerGetAttributes, sizeof(names) / sizeof(names[0]), names, values, ptr);
}

static void of_allocation(struct role *r)
{
    drv_ptr_t ptr = allocate(r, SIZE), base;
    struct attributes a;
    size_t size;

    ask(r, ptr + MIB, &a);
    CU(r, cuMemGetAddressRange, &base, &size, ptr + MIB);
    CHECK(r, a.type == DRV_CU_MEMORYTYPE_DEVICE);
    CHECK(r, a.ordinal == r->device);
    CHECK(r, a.start == base && a.size == size);
    CHECK(r, base == ptr && size >= SIZE);
    role_fact(r, "legacy capable %d, mapped %d, handle types %llx", a.legacy, a.mapped,
              (unsigned long long)a.handle_types);
    CU(r, cuMemFree, ptr);
}

static void of_vmm(struct role *r)
{
    struct attributes a;
    struct vmm_block b;

    vmm_create(r, &b, SIZE);
    ask(r, b.ptr + MIB, &a);
    CHECK(r, a.type == DRV_CU_MEMORYTYPE_DEVICE);
    CHECK(r, a.legacy == 0);
    CHECK(r, (a.handle_types & FD_TYPE) != 0);
    CHECK(r, a.start <= b.ptr + MIB && b.ptr + MIB < a.start + a.size);
    role_fact(r, "ordinal %d, mapped %d, range of %zu bytes", a.ordinal, a.mapped, a.size);
    vmm_free(r, &b);
}

static void of_host(struct role *r)
{
    struct attributes a;
    drv_ptr_t ptr;
    void *area = area_make(r, MIB, &ptr);

    ask(r, ptr + 4096, &a);
    CHECK(r, a.type == DRV_CU_MEMORYTYPE_HOST);
    CHECK(r, a.legacy == 0);
    area_close(r, area, MIB);
}

static void of_unknown(struct role *r)
{
    struct attributes a;
    int here = 0;

    ask(r, (uintptr_t)&here, &a);
    CHECK(r, a.legacy == 0 && a.handle_types == 0);
    role_fact(r, "type %d, ordinal %d", a.type, a.ordinal);
}

/* ---- devices ---- */

struct device_names {
    int count;
    drv_uuid_t uuid[16];
};

static struct device_names name_devices(struct role *r)
{
    struct device_names n = {.count = r->cu->device_count < 16 ? r->cu->device_count : 16};
    drv_device_t device;

    for (int i = 0; i < n.count; i++) {
        CU(r, cuDeviceGet, &device, i);
        CU(r, cuDeviceGetUuid, &n.uuid[i], device);
    }
    return n;
}

static void send_names(struct role *r)
{
    struct device_names n = name_devices(r);

    role_send(r, 0, &n, sizeof(n));
    role_hear(r, 0);
}

static void compare_names(struct role *r)
{
    struct device_names mine = name_devices(r), theirs;

    role_recv(r, 1, &theirs, sizeof(theirs));
    CHECK(r, mine.count == theirs.count);
    for (int i = 0; i < mine.count; i++) {
        int found = 0;

        for (int j = 0; j < mine.count; j++) {
            CHECK(r, i == j || memcmp(&mine.uuid[i], &mine.uuid[j], sizeof(mine.uuid[i])) != 0);
            found += memcmp(&mine.uuid[i], &theirs.uuid[j], sizeof(mine.uuid[i])) == 0;
        }
        CHECK(r, found == 1);
    }
    role_say(r, 1);
}

/* ---- peers ---- */

static bool first_is_peer(struct role *r)
{
    int can = 0;

    CU(r, cuDeviceCanAccessPeer, &can, r->device, 0);
    return can != 0;
}

static void import_on_second(struct role *r)
{
    drv_ptr_t ptr;

    if (!first_is_peer(r))
        role_skip(r, "the devices cannot reach each other");
    ptr = legacy_import(r, 1);
    check_bytes(r, ptr, 0xa5, SIZE);
    CU(r, cuIpcCloseMemHandle, ptr);
    role_say(r, 1);
}

static void import_without_peer(struct role *r)
{
    drv_ptr_t ptr;

    if (first_is_peer(r))
        role_skip(r, "the devices can reach each other");
    fact_result(r, "opening", CU_FAILS(r, cuIpcOpenMemHandle, &ptr, legacy_handle(r, 1), LAZY));
    check_context(r);
    role_say(r, 1);
}

/* ---- fork ---- */

static void forked(struct role *r)
{
    int status = 0;
    pid_t child;

    child = fork();
    CHECK(r, child >= 0);
    if (child == 0) {
        const struct gpu_driver *cu;
        drv_result_t result = r->cu->cuInit(0);

        _exit(gpu_driver_get(&cu) == 0 ? 1 : result == DRV_CUDA_SUCCESS ? 2 : 0);
    }
    CHECK(r, waitpid(child, &status, 0) == child);
    CHECK(r, WIFEXITED(status));
    CHECK(r, WEXITSTATUS(status) != 1);
    role_fact(r, "cuInit in a child %s", WEXITSTATUS(status) == 2 ? "succeeds" : "fails");
    check_context(r);
}

const struct test_case pointer_cases[] = {
    {.name = "pointer: attributes of an allocation", .roles = {of_allocation}},
    {.name = "pointer: attributes of VMM memory", .roles = {of_vmm}},
    {.name = "pointer: attributes of registered host memory", .roles = {of_host}},
    {.name = "pointer: attributes of an unknown address", .roles = {of_unknown}},
    {.name = "device: every process sees the same UUIDs", .roles = {compare_names, send_names}},
    {.name = "device: a handle opens on a peer", .roles = {import_on_second, legacy_lend}, .device = 1},
    {.name = "device: a handle does not open where no peer is",
     .roles = {import_without_peer, legacy_lend},
     .device = 1},
    {.name = "device: a started driver does not survive fork", .roles = {forked}},
    {.name = NULL},
};
