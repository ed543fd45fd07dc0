/* SPDX-License-Identifier: MIT */
/*
 * The stand-in's strictness: what would go unnoticed on a lenient fake must be noticed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "standin-helper.h"

/* ---- the CPU may not touch device memory ---- */

static void touch(drv_ptr_t ptr)
{
    *(volatile unsigned char *)(uintptr_t)ptr = 1;
}

static void look(drv_ptr_t ptr)
{
    (void)*(volatile unsigned char *)(uintptr_t)ptr;
}

static void touch_allocation(void)
{
    drv_ptr_t ptr;

    attach();
    OK(cu->cuMemAlloc(&ptr, 4096));
    touch(ptr);
}

static void look_at_allocation(void)
{
    drv_ptr_t ptr;

    attach();
    OK(cu->cuMemAlloc(&ptr, 8 * MIB));
    look(ptr + 8 * MIB - 1);
}

static void touch_mapping(void)
{
    drv_mem_prop_t prop = {.type = 1, .requestedHandleTypes = 1, .location = {1, 0}};
    drv_mem_access_t access = {{1, 0}, 3};
    drv_mem_handle_t handle;
    drv_ptr_t ptr;

    attach();
    OK(cu->cuMemCreate(&handle, 2 * MIB, &prop, 0));
    OK(cu->cuMemAddressReserve(&ptr, 2 * MIB, 0, 0, 0));
    OK(cu->cuMemMap(ptr, 2 * MIB, 0, handle, 0));
    OK(cu->cuMemSetAccess(ptr, 2 * MIB, &access, 1));
    OK(cu->cuMemsetD8(ptr, 7, 2 * MIB));
    EXPECT(byte_at(ptr) == 7);
    touch(ptr);
}

static _Alignas(8) unsigned char page[8192];

static void touch_alias(void)
{
    drv_ptr_t ptr;

    attach();
    OK(cu->cuMemHostRegister(page, sizeof(page), DRV_CU_MEMHOSTREGISTER_DEVICEMAP));
    OK(cu->cuMemHostGetDevicePointer(&ptr, page, 0));
    touch(ptr);
}

/* child_run() has set the signal back, also where a sanitizer wants to handle it. */
static bool died_of_touch(void (*body)(void))
{
    int status = child_run(PLAIN, body);

    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static void the_cpu_dies_of_a_device_address(void **state)
{
    (void)state;
    assert_true(died_of_touch(touch_allocation));
    assert_true(died_of_touch(look_at_allocation));
    assert_true(died_of_touch(touch_mapping));
    assert_true(died_of_touch(touch_alias));
}

/* ---- calls out of order ---- */

static void without_context(void)
{
    drv_context_t context;
    drv_ptr_t ptr;

    find_standin();
    EXPECT(cu->cuMemAlloc(&ptr, 1) == DRV_CUDA_ERROR_INVALID_CONTEXT);
    OK(cu->cuDevicePrimaryCtxRetain(&context, 0));
    EXPECT(cu->cuMemAlloc(&ptr, 1) == DRV_CUDA_ERROR_INVALID_CONTEXT);
    OK(cu->cuCtxPushCurrent(context));
    OK(cu->cuMemAlloc(&ptr, 1));
    OK(cu->cuMemFree(ptr));
    OK(cu->cuDevicePrimaryCtxRelease(0));
    EXPECT(cu->cuMemAlloc(&ptr, 1) == DRV_CUDA_ERROR_CONTEXT_IS_DESTROYED);
    EXPECT(cu->cuDevicePrimaryCtxRelease(0) == DRV_CUDA_ERROR_INVALID_CONTEXT);
}
PASSES(calls_want_a_context, without_context)

static void before_init(void)
{
    drv_result_t (*count)(int *);
    void *library = dlopen(getenv("SHMQ_CUDA_DRIVER"), RTLD_NOW), *symbol;
    int n;

    EXPECT(library != NULL);
    symbol = dlsym(library, "cuDeviceGetCount");
    EXPECT(symbol != NULL);
    memcpy(&count, &symbol, sizeof(symbol));
    EXPECT(count(&n) == DRV_CUDA_ERROR_NOT_INITIALIZED);
}
PASSES(calls_want_cuinit, before_init)

static void free_wrongly(void)
{
    drv_ptr_t ptr;

    attach();
    OK(cu->cuMemAlloc(&ptr, 4096));
    EXPECT(cu->cuMemFree(ptr + 512) == DRV_CUDA_ERROR_INVALID_VALUE);
    EXPECT(cu->cuMemFree(0x1234000) == DRV_CUDA_ERROR_INVALID_VALUE);
    OK(cu->cuMemFree(ptr));
    EXPECT(cu->cuMemFree(ptr) == DRV_CUDA_ERROR_INVALID_VALUE);
    EXPECT(cu->cuMemcpyHtoD(ptr, page, 1) == DRV_CUDA_ERROR_INVALID_VALUE);
    EXPECT(cu->cuStreamDestroy((drv_stream_t)(void *)page) == DRV_CUDA_ERROR_INVALID_HANDLE);
    EXPECT(cu->cuEventDestroy((drv_event_t)(void *)page) == DRV_CUDA_ERROR_INVALID_HANDLE);
    detach();
}
PASSES(what_is_not_there_cannot_be_freed, free_wrongly)

static void map_wrongly(void)
{
    drv_mem_prop_t prop = {.type = 1, .requestedHandleTypes = 1, .location = {1, 0}};
    drv_mem_handle_t handle;
    drv_ptr_t ptr;

    attach();
    OK(cu->cuMemCreate(&handle, 4 * MIB, &prop, 0));
    EXPECT(cu->cuMemMap(0x40000000, 4 * MIB, 0, handle, 0) != 0);
    OK(cu->cuMemAddressReserve(&ptr, 8 * MIB, 0, 0, 0));
    EXPECT(cu->cuMemMap(ptr + 6 * MIB, 4 * MIB, 0, handle, 0) != 0);
    OK(cu->cuMemMap(ptr, 4 * MIB, 0, handle, 0));
    EXPECT(cu->cuMemMap(ptr + 2 * MIB, 4 * MIB, 0, handle, 0) != 0);
    EXPECT(cu->cuMemUnmap(ptr, 2 * MIB) != 0);
    EXPECT(cu->cuMemAddressFree(ptr, 8 * MIB) != 0);
    OK(cu->cuMemUnmap(ptr, 4 * MIB));
    EXPECT(cu->cuMemAddressFree(ptr, 4 * MIB) != 0);
    OK(cu->cuMemAddressFree(ptr, 8 * MIB));
    OK(cu->cuMemRelease(handle));
    EXPECT(cu->cuMemRelease(handle) != 0);
    detach();
}
PASSES(mappings_are_whole_or_refused, map_wrongly)

/* ---- work is late ---- */

static void late_copy(void)
{
    unsigned char pageable[16], early[16];
    drv_stream_t other;
    drv_ptr_t ptr;
    struct gate g;

    attach();
    OK(cu->cuStreamCreate(&other, DRV_CU_STREAM_NON_BLOCKING));
    OK(cu->cuMemAlloc(&ptr, 64));
    OK(cu->cuMemsetD8Async(ptr, 0, 64, other));
    OK(cu->cuStreamSynchronize(other));
    OK(cu->cuMemHostRegister(page, sizeof(page), DRV_CU_MEMHOSTREGISTER_DEVICEMAP));
    gate_close(&g, stream);
    /* Pageable memory is taken at the call, registered memory when the copy runs. */
    memset(pageable, 1, sizeof(pageable));
    memset(page, 1, sizeof(page));
    OK(cu->cuMemcpyHtoDAsync(ptr, pageable, 16, stream));
    OK(cu->cuMemcpyHtoDAsync(ptr + 16, page, 16, stream));
    memset(pageable, 2, sizeof(pageable));
    memset(page, 2, sizeof(page));
    OK(cu->cuMemcpyDtoHAsync(early, ptr, 16, other));
    EXPECT(early[0] == 0 && early[15] == 0);
    EXPECT(cu->cuStreamQuery(stream) == DRV_CUDA_ERROR_NOT_READY);
    gate_open(&g);
    OK(cu->cuStreamSynchronize(stream));
    EXPECT(byte_at(ptr) == 1 && byte_at(ptr + 16) == 2);
    OK(cu->cuMemHostUnregister(page));
    OK(cu->cuMemFree(ptr));
    OK(cu->cuStreamDestroy(other));
    detach();
}
PASSES(a_copy_lands_when_its_stream_gets_there, late_copy)

static void legacy_default_stream(void)
{
    drv_stream_t blocking;
    struct gate g, h;
    drv_ptr_t ptr;

    attach();
    OK(cu->cuMemAlloc(&ptr, 64));
    OK(cu->cuStreamCreate(&blocking, DRV_CU_STREAM_DEFAULT));
    gate_close(&g, blocking);
    gate_close(&h, stream);
    OK(cu->cuMemsetD8(ptr, 1, 64));
    /* Behind the blocking stream's gate; the non-blocking one's does not matter. */
    EXPECT(cu->cuStreamQuery(NULL) == DRV_CUDA_ERROR_NOT_READY);
    gate_open(&g);
    OK(cu->cuStreamSynchronize(NULL));
    EXPECT(cu->cuStreamQuery(stream) == DRV_CUDA_ERROR_NOT_READY);
    gate_open(&h);
    OK(cu->cuMemFree(ptr));
    OK(cu->cuStreamDestroy(blocking));
    detach();
}
PASSES(the_default_stream_waits_for_blocking_ones, legacy_default_stream)

static _Atomic int calls;

static void count_call(void *data)
{
    (void)data;
    atomic_fetch_add(&calls, 1);
}

static void destroyed_stream(void)
{
    drv_event_t event;
    drv_stream_t s;

    attach();
    OK(cu->cuEventCreate(&event, DRV_CU_EVENT_DISABLE_TIMING));
    OK(cu->cuStreamCreate(&s, DRV_CU_STREAM_NON_BLOCKING));
    for (int i = 0; i < 20; i++)
        OK(cu->cuLaunchHostFunc(s, count_call, NULL));
    OK(cu->cuEventRecord(event, s));
    OK(cu->cuStreamDestroy(s));
    EXPECT(cu->cuStreamQuery(s) == DRV_CUDA_ERROR_INVALID_HANDLE);
    OK(cu->cuEventSynchronize(event));
    EXPECT(calls == 20);
    OK(cu->cuEventDestroy(event));
    detach();
}
PASSES(a_destroyed_stream_finishes_its_work, destroyed_stream)

static void failed_record(void)
{
    drv_event_t event;

    attach();
    OK(cu->cuEventCreate(&event, DRV_CU_EVENT_DISABLE_TIMING));
    EXPECT(cu->cuEventRecord(event, (drv_stream_t)(void *)page) != 0);
    /* Nothing was recorded, so nothing is pending. */
    OK(cu->cuEventQuery(event));
    OK(cu->cuEventDestroy(event));
    detach();
}
PASSES(a_record_that_fails_leaves_no_wait, failed_record)

/* ---- a fault of the device sticks to its context ---- */

static void sticky_fault(void)
{
    drv_mem_prop_t prop = {.type = 1, .location = {1, 0}};
    drv_mem_handle_t handle;
    drv_context_t other;
    drv_event_t event;
    drv_ptr_t ptr;

    attach();
    OK(cu->cuMemCreate(&handle, 2 * MIB, &prop, 0));
    OK(cu->cuMemAddressReserve(&ptr, 2 * MIB, 0, 0, 0));
    OK(cu->cuMemMap(ptr, 2 * MIB, 0, handle, 0));
    OK(cu->cuMemsetD8Async(ptr, 1, 16, stream));
    EXPECT(cu->cuStreamSynchronize(stream) == DRV_CUDA_ERROR_ILLEGAL_ADDRESS);
    EXPECT(cu->cuEventCreate(&event, 0) == DRV_CUDA_ERROR_ILLEGAL_ADDRESS);
    EXPECT(cu->cuMemAlloc(&ptr, 16) == DRV_CUDA_ERROR_ILLEGAL_ADDRESS);
    /* The other device's context knows nothing of it. */
    OK(cu->cuDevicePrimaryCtxRetain(&other, 1));
    OK(cu->cuCtxPushCurrent(other));
    OK(cu->cuMemAlloc(&ptr, 16));
    OK(cu->cuMemFree(ptr));
}
PASSES(a_fault_sticks_to_its_context, sticky_fault)

static void unmapped_under_work(void)
{
    drv_mem_prop_t prop = {.type = 1, .location = {1, 0}};
    drv_mem_access_t access = {{1, 0}, 3};
    drv_mem_handle_t handle;
    drv_ptr_t ptr;
    struct gate g;

    attach();
    OK(cu->cuMemCreate(&handle, 2 * MIB, &prop, 0));
    OK(cu->cuMemAddressReserve(&ptr, 2 * MIB, 0, 0, 0));
    OK(cu->cuMemMap(ptr, 2 * MIB, 0, handle, 0));
    OK(cu->cuMemSetAccess(ptr, 2 * MIB, &access, 1));
    gate_close(&g, stream);
    OK(cu->cuMemsetD8Async(ptr, 1, 16, stream));
    OK(cu->cuMemUnmap(ptr, 2 * MIB));
    gate_open(&g);
    EXPECT(cu->cuStreamSynchronize(stream) == DRV_CUDA_ERROR_ILLEGAL_ADDRESS);
}
PASSES(unmapping_under_pending_work_is_a_fault, unmapped_under_work)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cpu_dies_of_a_device_address),
        cmocka_unit_test(calls_want_a_context),
        cmocka_unit_test(calls_want_cuinit),
        cmocka_unit_test(what_is_not_there_cannot_be_freed),
        cmocka_unit_test(mappings_are_whole_or_refused),
        cmocka_unit_test(a_copy_lands_when_its_stream_gets_there),
        cmocka_unit_test(the_default_stream_waits_for_blocking_ones),
        cmocka_unit_test(a_destroyed_stream_finishes_its_work),
        cmocka_unit_test(a_record_that_fails_leaves_no_wait),
        cmocka_unit_test(a_fault_sticks_to_its_context),
        cmocka_unit_test(unmapping_under_pending_work_is_a_fault),
    };

    return helper_init() < 0 ? 2 : cmocka_run_group_tests(tests, NULL, NULL);
}
