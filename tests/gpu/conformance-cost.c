/* SPDX-License-Identifier: MIT */
/*
 * What each call costs the caller: p50, p99 and the longest, in microseconds.
 *
 * These are times of calls, not of device work. On the stand-in they only show that the machinery runs; on a card they
 * decide what has to be cached.
 */
#include "conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SHARED       (DRV_CU_EVENT_INTERPROCESS | DRV_CU_EVENT_DISABLE_TIMING)
#define ROUNDS       200
#define HEAVY_ROUNDS 100
#define SAMPLES_MAX  512

struct samples {
    uint64_t ns[SAMPLES_MAX];
    int count;
};

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void print(struct role *r, const char *name, struct samples *s)
{
    if (s->count == 0)
        return;
    /* The nearest rank: the least value that so many percent do not exceed. */
    qsort(s->ns, (size_t)s->count, sizeof(s->ns[0]), by_size);
    role_cost(r, "%-44s n %3d  p50 %9.2f  p99 %9.2f  max %9.2f us", name, s->count,
              (double)s->ns[(s->count + 1) / 2 - 1] / 1e3, (double)s->ns[(s->count * 99 + 99) / 100 - 1] / 1e3,
              (double)s->ns[s->count - 1] / 1e3);
    s->count = 0;
}

/* Times one call that must succeed. */
#define TIME(r, samples, call, ...)                                                                                    \
    do {                                                                                                               \
        uint64_t time_start = now_ns();                                                                                \
        drv_result_t time_result = (r)->cu->call(__VA_ARGS__);                                                         \
        uint64_t time_end = now_ns();                                                                                  \
        cu_succeeds(r, time_result, #call, __FILE_NAME__, __LINE__);                                                   \
        CHECK(r, (samples)->count < SAMPLES_MAX);                                                                      \
        (samples)->ns[(samples)->count++] = time_end - time_start;                                                     \
    } while (0)

/* ---- memory ---- */

static void cost_alloc(struct role *r)
{
    const size_t sizes[] = {4096, 2 * MIB, 64 * MIB};
    struct samples get = {.count = 0}, put = {.count = 0};
    drv_ptr_t ptr;
    char name[64];

    for (int s = 0; s < 3; s++) {
        for (int i = 0; i < HEAVY_ROUNDS; i++) {
            TIME(r, &get, cuMemAlloc, &ptr, sizes[s]);
            TIME(r, &put, cuMemFree, ptr);
        }
        snprintf(name, sizeof(name), "cuMemAlloc of %zu KiB", sizes[s] / 1024);
        print(r, name, &get);
        snprintf(name, sizeof(name), "cuMemFree of %zu KiB", sizes[s] / 1024);
        print(r, name, &put);
    }
}

static void cost_pointer(struct role *r)
{
    drv_pointer_attribute_t names[] = {DRV_CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                       DRV_CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE,
                                       DRV_CU_POINTER_ATTRIBUTE_RANGE_START_ADDR};
    struct samples ask = {.count = 0}, range = {.count = 0}, handle = {.count = 0};
    drv_ptr_t ptr, base, start;
    drv_ipc_mem_t ipc;
    int type, legacy;
    void *values[] = {&type, &legacy, &start};
    size_t size;

    CU(r, cuMemAlloc, &ptr, 4 * MIB);
    for (int i = 0; i < ROUNDS; i++) {
        TIME(r, &ask, cuPointerGetAttributes, 3, names, values, ptr);
        TIME(r, &range, cuMemGetAddressRange, &base, &size, ptr);
    }
    print(r, "cuPointerGetAttributes of 3", &ask);
    print(r, "cuMemGetAddressRange", &range);
    for (int i = 0; i < ROUNDS; i++)
        TIME(r, &handle, cuIpcGetMemHandle, &ipc, ptr);
    print(r, "cuIpcGetMemHandle", &handle);
    CU(r, cuMemFree, ptr);
}

/* ---- legacy handles, by size ---- */

static const size_t slabs[] = {2 * MIB, 64 * MIB, 512 * MIB};

static void export_slabs(struct role *r)
{
    drv_ipc_mem_t handle;
    drv_ptr_t ptr;

    for (int s = 0; s < 3; s++) {
        CU(r, cuMemAlloc, &ptr, slabs[s]);
        CU(r, cuIpcGetMemHandle, &handle, ptr);
        role_send(r, 0, &handle, sizeof(handle));
        role_hear(r, 0);
        CU(r, cuMemFree, ptr);
    }
}

static void cost_open(struct role *r)
{
    struct samples open = {.count = 0}, again = {.count = 0}, close = {.count = 0};
    drv_ptr_t ptr, second;
    drv_ipc_mem_t handle;
    char name[64];

    for (int s = 0; s < 3; s++) {
        role_recv(r, 1, &handle, sizeof(handle));
        for (int i = 0; i < HEAVY_ROUNDS; i++) {
            TIME(r, &open, cuIpcOpenMemHandle, &ptr, handle, LAZY);
            TIME(r, &again, cuIpcOpenMemHandle, &second, handle, LAZY);
            CU(r, cuIpcCloseMemHandle, second);
            TIME(r, &close, cuIpcCloseMemHandle, ptr);
        }
        snprintf(name, sizeof(name), "cuIpcOpenMemHandle of %zu MiB", slabs[s] / MIB);
        print(r, name, &open);
        print(r, "  a second time, open already", &again);
        print(r, "  cuIpcCloseMemHandle", &close);
        role_say(r, 1);
    }
}

/* ---- VMM, by size ---- */

static void export_vmm_slabs(struct role *r)
{
    struct samples export = {.count = 0};
    struct vmm_block b;
    int fd = -1;

    for (int s = 0; s < 3; s++) {
        vmm_create(r, &b, slabs[s]);
        for (int i = 0; i < HEAVY_ROUNDS; i++) {
            if (fd >= 0)
                close(fd);
            TIME(r, &export, cuMemExportToShareableHandle, &fd, b.handle, DRV_CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                 0);
        }
        role_send(r, 0, &b.size, sizeof(b.size));
        role_send_fd(r, 0, fd);
        role_hear(r, 0);
        vmm_free(r, &b);
    }
    close(fd);
    /* The three sizes together: the descriptor doesn't know how much is behind it. */
    print(r, "cuMemExportToShareableHandle", &export);
}

static void cost_import(struct role *r)
{
    struct samples import = {.count = 0}, map = {.count = 0}, allow = {.count = 0}, unmap = {.count = 0};
    drv_mem_access_t access = {{DRV_CU_MEM_LOCATION_TYPE_DEVICE, 0}, DRV_CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    drv_mem_handle_t handle;
    drv_ptr_t ptr;
    size_t size;
    char name[64];
    int fd;

    need_vmm(r);
    access.location.id = r->device;
    for (int s = 0; s < 3; s++) {
        role_recv(r, 1, &size, sizeof(size));
        fd = role_recv_fd(r, 1);
        CU(r, cuMemAddressReserve, &ptr, size, 0, 0, 0);
        for (int i = 0; i < HEAVY_ROUNDS; i++) {
            TIME(r, &import, cuMemImportFromShareableHandle, &handle, (void *)(intptr_t)fd,
                 DRV_CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
            TIME(r, &map, cuMemMap, ptr, size, 0, handle, 0);
            TIME(r, &allow, cuMemSetAccess, ptr, size, &access, 1);
            TIME(r, &unmap, cuMemUnmap, ptr, size);
            CU(r, cuMemRelease, handle);
        }
        CU(r, cuMemAddressFree, ptr, size);
        close(fd);
        snprintf(name, sizeof(name), "cuMemImportFromShareableHandle of %zu MiB", slabs[s] / MIB);
        print(r, name, &import);
        print(r, "  cuMemMap", &map);
        print(r, "  cuMemSetAccess", &allow);
        print(r, "  cuMemUnmap", &unmap);
        role_say(r, 1);
    }
}

/* ---- what a message costs: record, wait, write, wait for a value ---- */

static void cost_event(struct role *r)
{
    struct samples record = {.count = 0}, wait = {.count = 0}, query = {.count = 0};
    drv_stream_t other;
    drv_event_t event;

    CU(r, cuStreamCreate, &other, DRV_CU_STREAM_NON_BLOCKING);
    CU(r, cuEventCreate, &event, SHARED);
    for (int i = 0; i < ROUNDS; i++) {
        TIME(r, &record, cuEventRecord, event, r->stream);
        TIME(r, &wait, cuStreamWaitEvent, other, event, 0);
        CU(r, cuStreamSynchronize, other);
        TIME(r, &query, cuEventQuery, event);
    }
    print(r, "cuEventRecord, interprocess", &record);
    print(r, "cuStreamWaitEvent, interprocess", &wait);
    print(r, "cuEventQuery, done", &query);
    CU(r, cuEventDestroy, event);
    CU(r, cuStreamDestroy, other);
}

static void do_nothing(void *data)
{
    (void)data;
}

static void cost_word(struct role *r)
{
    struct samples write = {.count = 0}, wait = {.count = 0}, call = {.count = 0};
    uint64_t *area;
    drv_ptr_t ptr;

    area = area_make(r, 4096, &ptr);
    for (int i = 0; i < ROUNDS; i++) {
        TIME(r, &call, cuLaunchHostFunc, r->stream, do_nothing, NULL);
        CU(r, cuStreamSynchronize, r->stream);
    }
    print(r, "cuLaunchHostFunc", &call);
    if (device_attribute(r, DRV_CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS)) {
        for (uint64_t i = 0; i < ROUNDS; i++) {
            TIME(r, &write, cuStreamWriteValue64, r->stream, ptr, i, 0);
            TIME(r, &wait, cuStreamWaitValue64, r->stream, ptr, i, 0);
            CU(r, cuStreamSynchronize, r->stream);
        }
        print(r, "cuStreamWriteValue64", &write);
        print(r, "cuStreamWaitValue64", &wait);
    }
    area_close(r, area, 4096);
}

static void cost_register(struct role *r)
{
    const size_t sizes[] = {4096, 16 * MIB};
    struct samples add = {.count = 0}, del = {.count = 0};
    char name[64];
    void *area;
    int fd;

    for (int s = 0; s < 2; s++) {
        fd = shared_fd(r, sizes[s]);
        area = shared_map(r, fd, sizes[s]);
        close(fd);
        for (int i = 0; i < HEAVY_ROUNDS; i++) {
            TIME(r, &add, cuMemHostRegister, area, sizes[s], DRV_CU_MEMHOSTREGISTER_DEVICEMAP);
            TIME(r, &del, cuMemHostUnregister, area);
        }
        munmap(area, sizes[s]);
        snprintf(name, sizeof(name), "cuMemHostRegister of %zu KiB", sizes[s] / 1024);
        print(r, name, &add);
        print(r, "  cuMemHostUnregister", &del);
    }
}

/* Events of another process. */
static void export_events(struct role *r)
{
    struct samples get = {.count = 0};
    drv_ipc_event_t handle;
    drv_event_t event;

    CU(r, cuEventCreate, &event, SHARED);
    for (int i = 0; i < ROUNDS; i++)
        TIME(r, &get, cuIpcGetEventHandle, &handle, event);
    role_send(r, 0, &handle, sizeof(handle));
    role_hear(r, 0);
    print(r, "cuIpcGetEventHandle", &get);
    CU(r, cuEventDestroy, event);
}

static void cost_open_event(struct role *r)
{
    struct samples open = {.count = 0}, destroy = {.count = 0};
    drv_ipc_event_t handle;
    drv_event_t event;

    role_recv(r, 1, &handle, sizeof(handle));
    for (int i = 0; i < HEAVY_ROUNDS; i++) {
        TIME(r, &open, cuIpcOpenEventHandle, &event, handle);
        TIME(r, &destroy, cuEventDestroy, event);
    }
    print(r, "cuIpcOpenEventHandle", &open);
    print(r, "  cuEventDestroy", &destroy);
    role_say(r, 1);
}

static const struct test_case cases[] = {
    CASE("cost: allocation", cost_alloc),
    CASE("cost: pointers", cost_pointer),
    CASE("cost: opening legacy handles", cost_open, export_slabs),
    CASE("cost: importing descriptors", cost_import, export_vmm_slabs),
    CASE("cost: events", cost_event),
    CASE("cost: opening events", cost_open_event, export_events),
    CASE("cost: words and functions", cost_word),
    CASE("cost: registering host memory", cost_register),
};
const struct test_group cost_cases = CASES(cases);
