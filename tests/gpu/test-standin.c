/* SPDX-License-Identifier: MIT */
/* The stand-in's strictness: what would go unnoticed on a lenient fake must be noticed. */
#include <stdatomic.h>
#include <sys/wait.h>

#include "standin-helper.h"

static _Alignas(8) unsigned char page[8192];

/* A context with a fault cannot be given back: the test ends with all that it has. */
_Noreturn static void leave(void)
{
    _exit(0);
}

/* ---- the CPU may not touch device memory ---- */

static drv_ptr_t of_allocation(void)
{
    return allocate(4096);
}

static drv_ptr_t end_of_allocation(void)
{
    return allocate(8 * MIB) + 8 * MIB - 1;
}

static drv_ptr_t of_mapping(void)
{
    struct mapping m = mapping_new();

    CHECK_INT(mapping_allow(&m, 0), DRV_CUDA_SUCCESS);
    OK(cuMemsetD8Async(m.ptr, 7, 2 * MIB, stream));
    CHECK_INT(byte_at(m.ptr), 7);
    return m.ptr;
}

static drv_ptr_t of_registered(void)
{
    drv_ptr_t ptr;

    OK(cuMemHostRegister(page, sizeof(page), DRV_CU_MEMHOSTREGISTER_DEVICEMAP));
    OK(cuMemHostGetDevicePointer(&ptr, page, 0));
    return ptr;
}

static void check_untouchable(drv_ptr_t (*address)(void), bool writes)
{
    struct child child;
    int status;

    if (child_fork(&child, false) == 0) {
        volatile unsigned char *byte;

        attach(NULL);
        byte = (volatile unsigned char *)(uintptr_t)address();
        if (writes)
            *byte = 1;
        else
            (void)*byte;
        leave();
    }
    CHECK_INT(waitpid(child.pid, &status, 0), child.pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

TEST_THAT(the_cpu_dies_of_a_device_address)
{
    check_untouchable(of_allocation, true);
    check_untouchable(end_of_allocation, false);
    check_untouchable(of_mapping, true);
    check_untouchable(of_registered, true);
}

/* ---- calls out of order ---- */

TEST_THAT(calls_want_a_context)
{
    drv_context_t context;
    drv_ptr_t ptr;

    start(NULL);
    GIVES(INVALID_CONTEXT, cuMemAlloc(&ptr, 1));
    OK(cuDevicePrimaryCtxRetain(&context, 0));
    GIVES(INVALID_CONTEXT, cuMemAlloc(&ptr, 1));
    OK(cuCtxPushCurrent(context));
    OK(cuMemFree(allocate(1)));
    OK(cuDevicePrimaryCtxRelease(0));
    GIVES(CONTEXT_IS_DESTROYED, cuMemAlloc(&ptr, 1));
    GIVES(INVALID_CONTEXT, cuDevicePrimaryCtxRelease(0));
}

TEST_THAT(calls_want_cuinit)
{
    void *library = CHECK_PTR(dlopen(getenv("SHMQ_CUDA_DRIVER"), RTLD_NOW));
    void *symbol = CHECK_PTR(dlsym(library, "cuDeviceGetCount"));
    drv_result_t (*count)(int *);
    int n;

    memcpy(&count, &symbol, sizeof(symbol));
    CHECK_INT(count(&n), DRV_CUDA_ERROR_NOT_INITIALIZED);
}

TEST_THAT(what_is_not_there_cannot_be_freed)
{
    drv_ptr_t ptr;

    attach(NULL);
    ptr = allocate(4096);
    GIVES(INVALID_VALUE, cuMemFree(ptr + 512));
    GIVES(INVALID_VALUE, cuMemFree(0x1234000));
    OK(cuMemFree(ptr));
    GIVES(INVALID_VALUE, cuMemFree(ptr));
    GIVES(INVALID_VALUE, cuMemcpyHtoDAsync(ptr, page, 1, stream));
    GIVES(INVALID_HANDLE, cuStreamDestroy((drv_stream_t)(void *)page));
    GIVES(INVALID_HANDLE, cuEventDestroy((drv_event_t)(void *)page));
    detach();
}

TEST_THAT(mappings_are_whole_or_refused)
{
    drv_mem_handle_t handle;
    drv_ptr_t ptr;

    attach(NULL);
    OK(cuMemCreate(&handle, 4 * MIB, EXPORTABLE, 0));
    GIVES(INVALID_VALUE, cuMemMap(0x40000000, 4 * MIB, 0, handle, 0));
    OK(cuMemAddressReserve(&ptr, 8 * MIB, 0, 0, 0));
    GIVES(INVALID_VALUE, cuMemMap(ptr + 6 * MIB, 4 * MIB, 0, handle, 0));
    OK(cuMemMap(ptr, 4 * MIB, 0, handle, 0));
    GIVES(INVALID_VALUE, cuMemMap(ptr + 2 * MIB, 4 * MIB, 0, handle, 0));
    GIVES(INVALID_VALUE, cuMemUnmap(ptr, 2 * MIB));
    GIVES(INVALID_VALUE, cuMemAddressFree(ptr, 8 * MIB));
    OK(cuMemUnmap(ptr, 4 * MIB));
    GIVES(INVALID_VALUE, cuMemAddressFree(ptr, 4 * MIB));
    OK(cuMemAddressFree(ptr, 8 * MIB));
    OK(cuMemRelease(handle));
    GIVES(INVALID_VALUE, cuMemRelease(handle));
    detach();
}

/* ---- work is late ---- */

TEST_THAT(a_copy_lands_when_its_stream_gets_there)
{
    unsigned char pageable[16], early[16];
    drv_stream_t other;
    drv_ptr_t ptr;
    struct gate g;

    attach(NULL);
    OK(cuStreamCreate(&other, DRV_CU_STREAM_NON_BLOCKING));
    ptr = allocate(64);
    OK(cuMemsetD8Async(ptr, 0, 64, other));
    OK(cuStreamSynchronize(other));
    OK(cuMemHostRegister(page, sizeof(page), DRV_CU_MEMHOSTREGISTER_DEVICEMAP));
    gate_close(&g, stream);
    /* Pageable memory is taken at the call, registered memory when the copy runs. */
    memset(pageable, 1, sizeof(pageable));
    memset(page, 1, sizeof(page));
    OK(cuMemcpyHtoDAsync(ptr, pageable, 16, stream));
    OK(cuMemcpyHtoDAsync(ptr + 16, page, 16, stream));
    memset(pageable, 2, sizeof(pageable));
    memset(page, 2, sizeof(page));
    OK(cuMemcpyDtoHAsync(early, ptr, 16, other));
    CHECK(early[0] == 0 && early[15] == 0);
    GIVES(NOT_READY, cuStreamQuery(stream));
    gate_open(&g, stream);
    CHECK(byte_at(ptr) == 1 && byte_at(ptr + 16) == 2);
    OK(cuMemHostUnregister(page));
    OK(cuMemFree(ptr));
    OK(cuStreamDestroy(other));
    detach();
}

TEST_THAT(the_default_stream_waits_for_blocking_ones)
{
    drv_stream_t blocking, other;
    struct gate g, h;
    drv_ptr_t ptr;

    attach(NULL);
    ptr = allocate(64);
    OK(cuStreamCreate(&blocking, DRV_CU_STREAM_DEFAULT));
    OK(cuStreamCreate(&other, DRV_CU_STREAM_NON_BLOCKING));
    gate_close(&g, blocking);
    gate_close(&h, stream);
    OK(cuMemsetD8Async(ptr, 1, 64, NULL));
    /* While another stream does a lot, it stays behind the blocking one's gate; the non-blocking one's doesn't matter.
     */
    for (int i = 0; i < 50; i++) {
        OK(cuMemsetD8Async(ptr, 1, 64, other));
        OK(cuStreamSynchronize(other));
    }
    GIVES(NOT_READY, cuStreamQuery(NULL));
    gate_open(&g, NULL);
    GIVES(NOT_READY, cuStreamQuery(stream));
    gate_open(&h, stream);
    OK(cuMemFree(ptr));
    OK(cuStreamDestroy(blocking));
    OK(cuStreamDestroy(other));
    detach();
}

static _Atomic int calls;

static void count_call(void *data)
{
    (void)data;
    atomic_fetch_add(&calls, 1);
}

TEST_THAT(a_destroyed_stream_finishes_its_work)
{
    drv_event_t event;
    drv_stream_t s;

    attach(NULL);
    OK(cuEventCreate(&event, DRV_CU_EVENT_DISABLE_TIMING));
    OK(cuStreamCreate(&s, DRV_CU_STREAM_NON_BLOCKING));
    for (int i = 0; i < 20; i++)
        OK(cuLaunchHostFunc(s, count_call, NULL));
    OK(cuEventRecord(event, s));
    OK(cuStreamDestroy(s));
    GIVES(INVALID_HANDLE, cuStreamQuery(s));
    OK(cuEventSynchronize(event));
    CHECK_INT(calls, 20);
    OK(cuEventDestroy(event));
    detach();
}

TEST_THAT(a_record_that_fails_leaves_no_wait)
{
    drv_event_t event;

    attach(NULL);
    OK(cuEventCreate(&event, DRV_CU_EVENT_DISABLE_TIMING));
    GIVES(INVALID_HANDLE, cuEventRecord(event, (drv_stream_t)(void *)page));
    /* Nothing was recorded, so nothing is pending. */
    OK(cuEventQuery(event));
    OK(cuEventDestroy(event));
    detach();
}

/* ---- a fault of the device sticks to its context ---- */

TEST_THAT(a_fault_sticks_to_its_context)
{
    struct mapping m;
    drv_event_t event;
    drv_ptr_t ptr;

    attach(NULL);
    m = mapping_new();
    OK(cuMemsetD8Async(m.ptr, 1, 16, stream));
    GIVES(ILLEGAL_ADDRESS, cuStreamSynchronize(stream));
    GIVES(ILLEGAL_ADDRESS, cuEventCreate(&event, 0));
    GIVES(ILLEGAL_ADDRESS, cuMemAlloc(&ptr, 16));
    /* The other device's context knows nothing of it. */
    push_context(1);
    OK(cuMemFree(allocate(16)));
    leave();
}

TEST_THAT(unmapping_under_pending_work_is_a_fault)
{
    struct mapping m;
    struct gate g;

    attach(NULL);
    m = mapping_new();
    CHECK_INT(mapping_allow(&m, 0), DRV_CUDA_SUCCESS);
    gate_close(&g, stream);
    OK(cuMemsetD8Async(m.ptr, 1, 16, stream));
    OK(cuMemUnmap(m.ptr, 2 * MIB));
    CHECK_INT(write(g.pipe[1], "!", 1), 1);
    GIVES(ILLEGAL_ADDRESS, cuStreamSynchronize(stream));
    leave();
}
