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
#include <string.h>
#include <sys/mman.h>

#define ROUNDS       200
#define HEAVY_ROUNDS 100
#define SAMPLES_MAX  512
#define LABELS_MAX   4

/* What this role has measured and not yet printed, by label. */
static struct samples {
    const char *label;
    uint64_t ns[SAMPLES_MAX];
    int count;
} measured[LABELS_MAX];

static void take_sample(struct role *r, const char *label, uint64_t ns)
{
    struct samples *s = measured;

    while (s < measured + LABELS_MAX && s->label != NULL && strcmp(s->label, label) != 0)
        s++;
    CHECK(r, s < measured + LABELS_MAX && s->count < SAMPLES_MAX);
    s->label = label;
    s->ns[s->count++] = ns;
}

/* Times one call that must succeed. */
#define TIME(r, label, call, ...)                                                                                      \
    do {                                                                                                               \
        uint64_t time_start = now_ns();                                                                                \
        drv_result_t time_result = (r)->cu->call(__VA_ARGS__);                                                         \
        uint64_t time_end = now_ns();                                                                                  \
        cu_succeeds(r, time_result, #call, __FILE_NAME__, __LINE__);                                                   \
        take_sample(r, label, time_end - time_start);                                                                  \
    } while (0)

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Prints what was measured, with the size that it was measured for unless that is 0, and forgets it. */
static void print_samples(struct role *r, size_t size)
{
    char name[64];

    for (struct samples *s = measured; s < measured + LABELS_MAX && s->label != NULL; s++) {
        snprintf(name, sizeof(name), size > 0 ? "%s of %zu KiB" : "%s", s->label, size / 1024);
        /* The nearest rank: the least value that so many percent do not exceed. */
        qsort(s->ns, (size_t)s->count, sizeof(s->ns[0]), by_size);
        role_report(r, REPORT_COST, "%-50s n %3d  p50 %9.2f  p99 %9.2f  max %9.2f us", name, s->count,
                    (double)s->ns[(s->count + 1) / 2 - 1] / 1e3, (double)s->ns[(s->count * 99 + 99) / 100 - 1] / 1e3,
                    (double)s->ns[s->count - 1] / 1e3);
    }
    memset(measured, 0, sizeof(measured));
}

/* ---- memory ---- */

static void cost_alloc(struct role *r)
{
    const size_t sizes[] = {4096, 2 * MIB, 64 * MIB};
    drv_ptr_t ptr;

    for (int s = 0; s < 3; s++) {
        for (int i = 0; i < HEAVY_ROUNDS; i++) {
            TIME(r, "cuMemAlloc", cuMemAlloc, &ptr, sizes[s]);
            TIME(r, "cuMemFree", cuMemFree, ptr);
        }
        print_samples(r, sizes[s]);
    }
}

static void cost_pointer(struct role *r)
{
    drv_pointer_attribute_t names[] = {DRV_CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                       DRV_CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE,
                                       DRV_CU_POINTER_ATTRIBUTE_RANGE_START_ADDR};
    drv_ptr_t ptr = allocate(r, 4 * MIB), base, start;
    drv_ipc_mem_t ipc;
    int type, legacy;
    void *values[] = {&type, &legacy, &start};
    size_t size;

    for (int i = 0; i < ROUNDS; i++) {
        TIME(r, "cuPointerGetAttributes of 3", cuPointerGetAttributes, 3, names, values, ptr);
        TIME(r, "cuMemGetAddressRange", cuMemGetAddressRange, &base, &size, ptr);
    }
    print_samples(r, 0);
    for (int i = 0; i < ROUNDS; i++)
        TIME(r, "cuIpcGetMemHandle", cuIpcGetMemHandle, &ipc, ptr);
    print_samples(r, 0);
    CU(r, cuMemFree, ptr);
}

/* ---- legacy handles, by size ---- */

static const size_t slabs[] = {2 * MIB, 64 * MIB, 512 * MIB};

static void export_slabs(struct role *r)
{
    drv_ipc_mem_t handle;
    drv_ptr_t ptr;

    for (int s = 0; s < 3; s++) {
        ptr = allocate(r, slabs[s]);
        CU(r, cuIpcGetMemHandle, &handle, ptr);
        role_send(r, 0, &handle, sizeof(handle));
        role_hear(r, 0);
        CU(r, cuMemFree, ptr);
    }
}

static void cost_open(struct role *r)
{
    drv_ptr_t ptr, second;
    drv_ipc_mem_t handle;

    for (int s = 0; s < 3; s++) {
        handle = legacy_handle(r, 1);
        for (int i = 0; i < HEAVY_ROUNDS; i++) {
            TIME(r, "cuIpcOpenMemHandle", cuIpcOpenMemHandle, &ptr, handle, LAZY);
            TIME(r, "cuIpcOpenMemHandle, open already,", cuIpcOpenMemHandle, &second, handle, LAZY);
            CU(r, cuIpcCloseMemHandle, second);
            TIME(r, "cuIpcCloseMemHandle", cuIpcCloseMemHandle, ptr);
        }
        print_samples(r, slabs[s]);
        role_say(r, 1);
    }
}

/* ---- VMM, by size ---- */

static void export_vmm_slabs(struct role *r)
{
    struct vmm_block b;
    int fd;

    for (int s = 0; s < 3; s++) {
        vmm_create(r, &b, slabs[s]);
        fd = vmm_export(r, b.handle);
        for (int i = 0; i < HEAVY_ROUNDS; i++) {
            close(fd);
            TIME(r, "cuMemExportToShareableHandle", cuMemExportToShareableHandle, &fd, b.handle, FD_TYPE, 0);
        }
        role_send_fd(r, 0, &b.size, sizeof(b.size), fd);
        close(fd);
        role_hear(r, 0);
        vmm_free(r, &b);
    }
    /* The three sizes together: the descriptor doesn't know how much is behind it. */
    print_samples(r, 0);
}

static void cost_import(struct role *r)
{
    drv_mem_access_t access = {{DRV_CU_MEM_LOCATION_TYPE_DEVICE, r->device}, DRV_CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    struct vmm_block b;

    for (int s = 0; s < 3; s++) {
        int fd = vmm_receive(r, 1, &b);

        CU(r, cuMemAddressReserve, &b.ptr, b.size, 0, 0, 0);
        for (int i = 0; i < HEAVY_ROUNDS; i++) {
            TIME(r, "cuMemImportFromShareableHandle", cuMemImportFromShareableHandle, &b.handle, (void *)(intptr_t)fd,
                 FD_TYPE);
            TIME(r, "cuMemMap", cuMemMap, b.ptr, b.size, 0, b.handle, 0);
            TIME(r, "cuMemSetAccess", cuMemSetAccess, b.ptr, b.size, &access, 1);
            TIME(r, "cuMemUnmap", cuMemUnmap, b.ptr, b.size);
            CU(r, cuMemRelease, b.handle);
        }
        CU(r, cuMemAddressFree, b.ptr, b.size);
        close(fd);
        print_samples(r, slabs[s]);
        role_say(r, 1);
    }
}

/* ---- what a message costs: record, wait, write, wait for a value ---- */

static void cost_event(struct role *r)
{
    drv_stream_t other;
    drv_event_t event;

    CU(r, cuStreamCreate, &other, DRV_CU_STREAM_NON_BLOCKING);
    CU(r, cuEventCreate, &event, SHARED);
    for (int i = 0; i < ROUNDS; i++) {
        TIME(r, "cuEventRecord, interprocess", cuEventRecord, event, r->stream);
        TIME(r, "cuStreamWaitEvent, interprocess", cuStreamWaitEvent, other, event, 0);
        CU(r, cuStreamSynchronize, other);
        TIME(r, "cuEventQuery, done", cuEventQuery, event);
    }
    print_samples(r, 0);
    CU(r, cuEventDestroy, event);
    CU(r, cuStreamDestroy, other);
}

static void do_nothing(void *data)
{
    (void)data;
}

static void cost_word(struct role *r)
{
    drv_ptr_t ptr;
    void *area = area_make(r, 4096, &ptr);

    for (int i = 0; i < ROUNDS; i++) {
        TIME(r, "cuLaunchHostFunc", cuLaunchHostFunc, r->stream, do_nothing, NULL);
        CU(r, cuStreamSynchronize, r->stream);
    }
    if (device_attribute(r, DRV_CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS)) {
        for (uint64_t i = 0; i < ROUNDS; i++) {
            TIME(r, "cuStreamWriteValue64", cuStreamWriteValue64, r->stream, ptr, i, 0);
            TIME(r, "cuStreamWaitValue64", cuStreamWaitValue64, r->stream, ptr, i, 0);
            CU(r, cuStreamSynchronize, r->stream);
        }
    }
    print_samples(r, 0);
    area_close(r, area, 4096);
}

static void cost_register(struct role *r)
{
    const size_t sizes[] = {4096, 16 * MIB};
    void *area;
    int fd;

    for (int s = 0; s < 2; s++) {
        area = shared_new(r, sizes[s], &fd);
        close(fd);
        for (int i = 0; i < HEAVY_ROUNDS; i++) {
            TIME(r, "cuMemHostRegister", cuMemHostRegister, area, sizes[s], DRV_CU_MEMHOSTREGISTER_DEVICEMAP);
            TIME(r, "cuMemHostUnregister", cuMemHostUnregister, area);
        }
        munmap(area, sizes[s]);
        print_samples(r, sizes[s]);
    }
}

/* Events of another process. */
static void export_events(struct role *r)
{
    drv_ipc_event_t handle;
    drv_event_t event;

    CU(r, cuEventCreate, &event, SHARED);
    for (int i = 0; i < ROUNDS; i++)
        TIME(r, "cuIpcGetEventHandle", cuIpcGetEventHandle, &handle, event);
    role_send(r, 0, &handle, sizeof(handle));
    role_hear(r, 0);
    print_samples(r, 0);
    CU(r, cuEventDestroy, event);
}

static void cost_open_event(struct role *r)
{
    drv_ipc_event_t handle = event_handle(r);
    drv_event_t event;

    for (int i = 0; i < HEAVY_ROUNDS; i++) {
        TIME(r, "cuIpcOpenEventHandle", cuIpcOpenEventHandle, &event, handle);
        TIME(r, "cuEventDestroy, opened", cuEventDestroy, event);
    }
    print_samples(r, 0);
    role_say(r, 1);
}

const struct test_case cost_cases[] = {
    {.name = "cost: allocation", .roles = {cost_alloc}},
    {.name = "cost: pointers", .roles = {cost_pointer}},
    {.name = "cost: opening legacy handles", .roles = {cost_open, export_slabs}},
    {.name = "cost: importing descriptors", .roles = {cost_import, export_vmm_slabs}},
    {.name = "cost: events", .roles = {cost_event}},
    {.name = "cost: opening events", .roles = {cost_open_event, export_events}},
    {.name = "cost: words and functions", .roles = {cost_word}},
    {.name = "cost: registering host memory", .roles = {cost_register}},
    {.name = NULL},
};
