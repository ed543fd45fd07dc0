/* SPDX-License-Identifier: MIT */
/* What the cases need of a device: attaching, bytes, gates, blocks, shared memory. */
#include "conformance.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#include "standin/standin.h"

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void cu_succeeds(struct role *r, drv_result_t result, const char *call, const char *file, int line)
{
    if (result == DRV_CUDA_ERROR_NOT_SUPPORTED)
        role_skip(r, "%s is not supported here", call);
    if (result != DRV_CUDA_SUCCESS)
        role_fail(r, "%s:%d: %s gave %d %s", file, line, call, result, gpu_driver_result_name(result));
}

drv_result_t cu_refuses(struct role *r, drv_result_t result, const char *call, const char *file, int line)
{
    if (result == DRV_CUDA_ERROR_NOT_SUPPORTED)
        role_skip(r, "%s is not supported here", call);
    if (result == DRV_CUDA_SUCCESS)
        role_fail(r, "%s:%d: %s succeeded, and must not", file, line, call);
    return result;
}

void fact_result(struct role *r, const char *what, drv_result_t result)
{
    role_fact(r, "%s gives %d %s", what, result, gpu_driver_result_name(result));
}

/* ---- attaching ---- */

void role_attach(struct role *r, int ordinal)
{
    drv_context_t context;

    if (gpu_driver_get(&r->cu) < 0)
        role_skip(r, "%s", gpu_driver_reason());
    if (ordinal >= r->cu->device_count)
        role_skip(r, "there is no device %d", ordinal);
    r->standin = standin_find();
    CU(r, cuDeviceGet, &r->device, ordinal);
    CU(r, cuDevicePrimaryCtxRetain, &context, r->device);
    CU(r, cuCtxPushCurrent, context);
    CU(r, cuStreamCreate, &r->stream, DRV_CU_STREAM_NON_BLOCKING);
}

/* Also the check that the role has given back what it took: the stand-in counts. */
void role_detach(struct role *r)
{
    struct standin_leaks l;

    if (r->cu == NULL)
        return;
    CU(r, cuStreamDestroy, r->stream);
    CU(r, cuCtxPopCurrent, NULL);
    CU(r, cuDevicePrimaryCtxRelease, r->device);
    if (r->standin == NULL)
        return;
    r->standin->leaks(&l);
    if (standin_leaks_total(&l) != 0)
        role_fail(r,
                  "leaks: contexts %u allocations %u imports %u handles %u reservations %u mappings %u "
                  "registrations %u streams %u events %u dropped %u",
                  l.contexts, l.allocations, l.imports, l.vmm_handles, l.reservations, l.mappings, l.registrations,
                  l.streams, l.events, l.dropped);
}

int device_attribute(struct role *r, int attribute)
{
    int value = 0;

    CU(r, cuDeviceGetAttribute, &value, attribute, r->device);
    return value;
}

void need_memops(struct role *r)
{
    if (!device_attribute(r, DRV_CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS))
        role_skip(r, "the device has no 64-bit stream memory operations");
}

void need_vmm(struct role *r)
{
    if (!device_attribute(r, DRV_CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED))
        role_skip(r, "the device has no virtual memory management");
    if (!device_attribute(r, DRV_CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED))
        role_skip(r, "the device exports no descriptors");
}

/* ---- bytes ---- */

drv_ptr_t allocate(struct role *r, size_t size)
{
    drv_ptr_t ptr;

    CU(r, cuMemAlloc, &ptr, size);
    return ptr;
}

void fill(struct role *r, drv_ptr_t ptr, unsigned char value, size_t size)
{
    CU(r, cuMemsetD8Async, ptr, value, size, r->stream);
    CU(r, cuStreamSynchronize, r->stream);
}

void check_memory(struct role *r, const unsigned char *bytes, unsigned char value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != value)
            role_fail(r, "byte %zu of %zu is 0x%02x, not 0x%02x", i, size, bytes[i], value);
}

void check_bytes(struct role *r, drv_ptr_t ptr, unsigned char value, size_t size)
{
    unsigned char *bytes = malloc(size);

    CHECK(r, bytes != NULL);
    memset(bytes, ~value, size);
    CU(r, cuMemcpyDtoHAsync, bytes, ptr, size, r->stream);
    CU(r, cuStreamSynchronize, r->stream);
    check_memory(r, bytes, value, size);
    free(bytes);
}

void check_context(struct role *r)
{
    drv_ptr_t ptr = allocate(r, 4096);

    fill(r, ptr, 0x77, 4096);
    check_bytes(r, ptr, 0x77, 4096);
    CU(r, cuMemFree, ptr);
}

/* ---- waiting ---- */

bool wait_word(const void *word, uint64_t value, int seconds)
{
    const _Atomic uint64_t *w = word;
    uint64_t deadline = now_ns() + (uint64_t)seconds * 1000000000u;

    while (atomic_load_explicit(w, memory_order_acquire) != value) {
        if (now_ns() > deadline)
            return false;
        sched_yield();
    }
    return true;
}

bool stream_ends(struct role *r, drv_stream_t stream, int ms, drv_result_t *result)
{
    uint64_t deadline = now_ns() + (uint64_t)ms * 1000000u;

    while ((*result = r->cu->cuStreamQuery(stream)) == DRV_CUDA_ERROR_NOT_READY) {
        if (now_ns() > deadline)
            return false;
        sched_yield();
    }
    return true;
}

/* A host function may block; it may not call CUDA. */
static void wait_at_gate(void *data)
{
    struct pollfd p = {((struct role *)data)->gate[0], POLLIN, 0};

    poll(&p, 1, 2 * DEADLINE_S * 1000);
}

void gate_close(struct role *r)
{
    CHECK(r, pipe2(r->gate, O_CLOEXEC) == 0);
    CU(r, cuLaunchHostFunc, r->stream, wait_at_gate, r);
}

/* The pipe stays open: the function may still be looking at it. */
void gate_open(struct role *r)
{
    CHECK(r, write(r->gate[1], "!", 1) == 1);
}

/* ---- legacy handles ---- */

drv_ptr_t legacy_export(struct role *r, int to, unsigned char value)
{
    drv_ptr_t ptr = allocate(r, SIZE);
    drv_ipc_mem_t handle;

    fill(r, ptr, value, SIZE);
    CU(r, cuIpcGetMemHandle, &handle, ptr);
    role_send(r, to, &handle, sizeof(handle));
    return ptr;
}

drv_ipc_mem_t legacy_handle(struct role *r, int from)
{
    drv_ipc_mem_t handle;

    role_recv(r, from, &handle, sizeof(handle));
    return handle;
}

drv_ptr_t legacy_import(struct role *r, int from)
{
    drv_ptr_t ptr;

    CU(r, cuIpcOpenMemHandle, &ptr, legacy_handle(r, from), LAZY);
    return ptr;
}

void legacy_lend(struct role *r)
{
    drv_ptr_t ptr = legacy_export(r, 0, 0xa5);

    role_hear(r, 0);
    CU(r, cuMemFree, ptr);
}

/* ---- events ---- */

drv_event_t event_export(struct role *r)
{
    drv_ipc_event_t handle;
    drv_event_t event;

    CU(r, cuEventCreate, &event, SHARED);
    CU(r, cuIpcGetEventHandle, &handle, event);
    role_send(r, 0, &handle, sizeof(handle));
    return event;
}

drv_ipc_event_t event_handle(struct role *r)
{
    drv_ipc_event_t handle;

    role_recv(r, 1, &handle, sizeof(handle));
    return handle;
}

void event_try(struct role *r, drv_ipc_event_t handle)
{
    drv_event_t event;
    drv_result_t result = r->cu->cuIpcOpenEventHandle(&event, handle);

    fact_result(r, "opening", result);
    if (result == DRV_CUDA_SUCCESS)
        CU(r, cuEventDestroy, event);
}

/* ---- VMM blocks ---- */

drv_mem_prop_t vmm_prop(struct role *r, int handle_type)
{
    need_vmm(r);
    return (drv_mem_prop_t){.type = DRV_CU_MEM_ALLOCATION_TYPE_PINNED,
                            .requestedHandleTypes = handle_type,
                            .location = {DRV_CU_MEM_LOCATION_TYPE_DEVICE, r->device}};
}

void vmm_map(struct role *r, struct vmm_block *b)
{
    CU(r, cuMemAddressReserve, &b->ptr, b->size, 0, 0, 0);
    CU(r, cuMemMap, b->ptr, b->size, 0, b->handle, 0);
}

static void vmm_map_and_allow(struct role *r, struct vmm_block *b)
{
    drv_mem_access_t access = {{DRV_CU_MEM_LOCATION_TYPE_DEVICE, r->device}, DRV_CU_MEM_ACCESS_FLAGS_PROT_READWRITE};

    vmm_map(r, b);
    CU(r, cuMemSetAccess, b->ptr, b->size, &access, 1);
}

void vmm_create(struct role *r, struct vmm_block *b, size_t size)
{
    drv_mem_prop_t prop = vmm_prop(r, FD_TYPE);
    size_t granularity = 0;

    CU(r, cuMemGetAllocationGranularity, &granularity, &prop, DRV_CU_MEM_ALLOC_GRANULARITY_MINIMUM);
    CHECK(r, granularity > 0);
    b->size = (size + granularity - 1) / granularity * granularity;
    CU(r, cuMemCreate, &b->handle, b->size, &prop, 0);
    vmm_map_and_allow(r, b);
}

int vmm_export(struct role *r, drv_mem_handle_t handle)
{
    int fd = -1;

    CU(r, cuMemExportToShareableHandle, &fd, handle, FD_TYPE, 0);
    CHECK(r, fd >= 0);
    return fd;
}

void vmm_import(struct role *r, struct vmm_block *b, int fd)
{
    CU(r, cuMemImportFromShareableHandle, &b->handle, (void *)(intptr_t)fd, FD_TYPE);
    close(fd);
    vmm_map_and_allow(r, b);
}

void vmm_free(struct role *r, struct vmm_block *b)
{
    CU(r, cuMemUnmap, b->ptr, b->size);
    CU(r, cuMemAddressFree, b->ptr, b->size);
    CU(r, cuMemRelease, b->handle);
}

void vmm_send(struct role *r, int first, int last, struct vmm_block *b, unsigned char value)
{
    int fd;

    vmm_create(r, b, SIZE);
    fill(r, b->ptr, value, b->size);
    fd = vmm_export(r, b->handle);
    for (int i = first; i <= last; i++)
        role_send_fd(r, i, &b->size, sizeof(b->size), fd);
    close(fd);
}

int vmm_receive(struct role *r, int from, struct vmm_block *b)
{
    need_vmm(r);
    return role_recv_fd(r, from, &b->size, sizeof(b->size));
}

/* ---- shared memory of the host ---- */

static void *shared_map(struct role *r, int fd, size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    CHECK(r, p != MAP_FAILED);
    return p;
}

/* POSIX shared memory, whose name is gone again when this returns. */
void *shared_new(struct role *r, size_t size, int *fd)
{
    char name[64];

    snprintf(name, sizeof(name), "/shmq-conformance-%d-%llx", (int)getpid(), (unsigned long long)now_ns());
    *fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(r, *fd >= 0);
    shm_unlink(name);
    CHECK(r, posix_fallocate(*fd, 0, (off_t)size) == 0);
    return shared_map(r, *fd, size);
}

drv_ptr_t host_register(struct role *r, void *host, size_t size)
{
    drv_ptr_t ptr = 0;

    CU(r, cuMemHostRegister, host, size, DRV_CU_MEMHOSTREGISTER_PORTABLE | DRV_CU_MEMHOSTREGISTER_DEVICEMAP);
    CU(r, cuMemHostGetDevicePointer, &ptr, host, 0);
    return ptr;
}

void *area_make(struct role *r, size_t size, drv_ptr_t *ptr)
{
    int fd;
    void *area = shared_new(r, size, &fd);

    *ptr = host_register(r, area, size);
    if (r->index != 0)
        role_send_fd(r, 0, "", 1, fd);
    close(fd);
    return area;
}

void *area_open(struct role *r, size_t size, drv_ptr_t *ptr)
{
    char byte;
    int fd = role_recv_fd(r, 1, &byte, 1);
    void *area = shared_map(r, fd, size);

    close(fd);
    *ptr = host_register(r, area, size);
    return area;
}

void area_close(struct role *r, void *area, size_t size)
{
    CU(r, cuMemHostUnregister, area);
    munmap(area, size);
}
