/* SPDX-License-Identifier: MIT */
/*
 * The stand-in's modes, injected faults, counters and leak report.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>

#include "standin-helper.h"

#define PASSES_IN(name, mode, body)                                                                                    \
    static void name(void **state)                                                                                     \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        assert_true(child_ok(WITH(mode), body));                                                                       \
    }

static _Alignas(8) unsigned char page[8192];

static int device_attribute(int which)
{
    int value = -1;

    OK(cu->cuDeviceGetAttribute(&value, which, 0));
    return value;
}

static const drv_mem_prop_t exportable = {
    .type = DRV_CU_MEM_ALLOCATION_TYPE_PINNED,
    .requestedHandleTypes = DRV_CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
    .location = {DRV_CU_MEM_LOCATION_TYPE_DEVICE, 0},
};

/* ---- modes ---- */

static void without_peers(void)
{
    drv_mem_access_t second = {{DRV_CU_MEM_LOCATION_TYPE_DEVICE, 1}, 3};
    drv_context_t other;
    drv_mem_handle_t handle;
    drv_ptr_t ptr;
    int can = -1;

    attach();
    OK(cu->cuDeviceCanAccessPeer(&can, 0, 1));
    EXPECT(can == 0);
    OK(cu->cuDevicePrimaryCtxRetain(&other, 1));
    EXPECT(cu->cuCtxEnablePeerAccess(other, 0) == DRV_CUDA_ERROR_PEER_ACCESS_UNSUPPORTED);
    OK(cu->cuDevicePrimaryCtxRelease(1));
    OK(cu->cuMemCreate(&handle, 2 * MIB, &exportable, 0));
    OK(cu->cuMemAddressReserve(&ptr, 2 * MIB, 0, 0, 0));
    OK(cu->cuMemMap(ptr, 2 * MIB, 0, handle, 0));
    EXPECT(cu->cuMemSetAccess(ptr, 2 * MIB, &second, 1) == DRV_CUDA_ERROR_PEER_ACCESS_UNSUPPORTED);
    OK(cu->cuMemUnmap(ptr, 2 * MIB));
    OK(cu->cuMemAddressFree(ptr, 2 * MIB));
    OK(cu->cuMemRelease(handle));
    detach();
}
PASSES_IN(nopeer_means_no_peer, "SHMQ_STANDIN_MODE=nopeer", without_peers)

static void without_memops(void)
{
    drv_ptr_t ptr;

    attach();
    EXPECT(device_attribute(DRV_CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS) == 0);
    OK(cu->cuMemAlloc(&ptr, 4096));
    EXPECT(cu->cuStreamWriteValue64(stream, ptr, 1, 0) == DRV_CUDA_ERROR_NOT_SUPPORTED);
    EXPECT(cu->cuStreamWaitValue64(stream, ptr, 0, 0) == DRV_CUDA_ERROR_NOT_SUPPORTED);
    OK(cu->cuMemFree(ptr));
    detach();
}
PASSES_IN(nomemops_means_no_memops, "SHMQ_STANDIN_MODE=nomemops", without_memops)

/* The attributes promise; only trying shows. */
static void on_wsl(void)
{
    drv_mem_handle_t mem;
    drv_ipc_event_t event_handle;
    drv_ipc_mem_t handle;
    drv_event_t event;
    drv_ptr_t ptr;

    attach();
    EXPECT(device_attribute(DRV_CU_DEVICE_ATTRIBUTE_IPC_EVENT_SUPPORTED) == 1);
    EXPECT(device_attribute(DRV_CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED) == 1);
    OK(cu->cuMemAlloc(&ptr, 4096));
    EXPECT(cu->cuIpcGetMemHandle(&handle, ptr) == DRV_CUDA_ERROR_NOT_SUPPORTED);
    EXPECT(cu->cuMemCreate(&mem, 2 * MIB, &exportable, 0) == DRV_CUDA_ERROR_NOT_SUPPORTED);
    OK(cu->cuEventCreate(&event, 6));
    EXPECT(cu->cuIpcGetEventHandle(&event_handle, event) == DRV_CUDA_ERROR_NOT_SUPPORTED);
    OK(cu->cuEventDestroy(event));
    OK(cu->cuMemFree(ptr));
    detach();
}
PASSES_IN(wsl_promises_and_fails, "SHMQ_STANDIN_MODE=wsl", on_wsl)

static void backwards(void)
{
    drv_uuid_t first, second;

    find_standin();
    OK(cu->cuDeviceGetUuid(&first, 0));
    OK(cu->cuDeviceGetUuid(&second, 1));
    EXPECT(memcmp(first.bytes, "shmq-stand-in-01", 16) == 0);
    EXPECT(memcmp(second.bytes, "shmq-stand-in-00", 16) == 0);
}
PASSES_IN(reordered_devices_keep_their_uuid, "SHMQ_STANDIN_MODE=reordered", backwards)

static void old_tegra(void)
{
    drv_ipc_mem_t handle;
    drv_ptr_t ptr;

    attach();
    EXPECT(device_attribute(DRV_CU_DEVICE_ATTRIBUTE_INTEGRATED) == 1);
    OK(cu->cuMemAlloc(&ptr, 4096));
    EXPECT(cu->cuIpcGetMemHandle(&handle, ptr) == DRV_CUDA_ERROR_NOT_SUPPORTED);
    OK(cu->cuMemFree(ptr));
    detach();
}
PASSES_IN(an_integrated_device_without_handles, "SHMQ_STANDIN_MODE=integrated,nolegacy", old_tegra)

static void without_vmm(void)
{
    drv_mem_handle_t handle;
    drv_event_t event;
    drv_ptr_t ptr;

    attach();
    EXPECT(device_attribute(DRV_CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED) == 0);
    EXPECT(cu->cuMemCreate(&handle, 2 * MIB, &exportable, 0) == DRV_CUDA_ERROR_NOT_SUPPORTED);
    EXPECT(cu->cuMemAddressReserve(&ptr, 2 * MIB, 0, 0, 0) == DRV_CUDA_ERROR_NOT_SUPPORTED);
    EXPECT(cu->cuEventCreate(&event, 6) == DRV_CUDA_ERROR_NOT_SUPPORTED);
    detach();
}
PASSES_IN(novmm_means_no_vmm, "SHMQ_STANDIN_MODE=novmm,noipcevents", without_vmm)

static void ranges(bool own)
{
    drv_ptr_t first, second, base;
    size_t size;

    attach();
    OK(cu->cuMemAlloc(&first, 100));
    OK(cu->cuMemAlloc(&second, 100));
    EXPECT(second - first == 512);
    OK(cu->cuMemGetAddressRange(&base, &size, second + 50));
    EXPECT(base == (own ? second : first) && size == (own ? 100 : 2 * MIB));
    OK(cu->cuMemFree(first));
    OK(cu->cuMemFree(second));
    detach();
}

static void ranges_of_blocks(void)
{
    ranges(false);
}

static void ranges_of_allocations(void)
{
    ranges(true);
}
PASSES_IN(small_allocations_share_a_block, "SHMQ_STANDIN_MODE=", ranges_of_blocks)
PASSES_IN(ownrange_gives_ranges_of_their_own, "SHMQ_STANDIN_MODE=ownrange", ranges_of_allocations)

static void addresses(bool same)
{
    drv_ptr_t ptr;

    attach();
    EXPECT(device_attribute(DRV_CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM) == same);
    OK(cu->cuMemHostRegister(page + 8, 4096, DRV_CU_MEMHOSTREGISTER_DEVICEMAP));
    OK(cu->cuMemHostGetDevicePointer(&ptr, page + 16, 0));
    EXPECT((ptr == (uintptr_t)(page + 16)) == same);
    OK(cu->cuStreamWriteValue64(stream, ptr, 5, 0));
    OK(cu->cuStreamSynchronize(stream));
    EXPECT(page[16] == 5);
    if (!same)
        EXPECT(cu->cuStreamWriteValue64(stream, (uintptr_t)(page + 16), 5, 0) == DRV_CUDA_ERROR_INVALID_VALUE);
    OK(cu->cuMemHostUnregister(page + 8));
    detach();
}

static void two_addresses(void)
{
    addresses(false);
}

static void one_address(void)
{
    addresses(true);
}
PASSES_IN(registered_memory_has_an_address_of_its_own, "SHMQ_STANDIN_MODE=", two_addresses)
PASSES_IN(sameptr_gives_it_the_host_s, "SHMQ_STANDIN_MODE=sameptr", one_address)

static void little_memory(void)
{
    drv_ptr_t first, second;

    attach();
    EXPECT(cu->cuMemAlloc(&first, 9 * MIB) == DRV_CUDA_ERROR_OUT_OF_MEMORY);
    OK(cu->cuMemAlloc(&first, 6 * MIB));
    EXPECT(cu->cuMemAlloc(&second, 4 * MIB) == DRV_CUDA_ERROR_OUT_OF_MEMORY);
    OK(cu->cuMemFree(first));
    OK(cu->cuMemAlloc(&second, 4 * MIB));
    OK(cu->cuMemFree(second));
    detach();
}
PASSES_IN(memory_has_an_end, "SHMQ_STANDIN_MEMORY=8388608", little_memory)

static void a_misspelt_mode_is_no_mode(void **state)
{
    int status, keep = dup(2), nowhere = open("/dev/null", O_WRONLY);

    (void)state;
    /* Its complaint is not this test's. */
    dup2(nowhere, 2);
    close(nowhere);
    status = child_run(WITH("SHMQ_STANDIN_MODE=nopeers"), find_standin);
    dup2(keep, 2);
    close(keep);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* ---- faults ---- */

static void faults_of_environment(void)
{
    drv_event_t event;
    drv_ptr_t ptr;

    attach();
    OK(cu->cuMemAlloc(&ptr, 16));
    OK(cu->cuMemFree(ptr));
    EXPECT(cu->cuMemAlloc(&ptr, 16) == DRV_CUDA_ERROR_OUT_OF_MEMORY);
    OK(cu->cuMemAlloc(&ptr, 16));
    OK(cu->cuMemFree(ptr));
    OK(cu->cuEventCreate(&event, 0));
    for (int i = 0; i < 3; i++)
        EXPECT(cu->cuEventRecord(event, stream) == DRV_CUDA_ERROR_UNKNOWN);
    OK(cu->cuEventDestroy(event));
    detach();
}
PASSES_IN(the_nth_call_fails, "SHMQ_STANDIN_FAIL=cuMemAlloc:2:2,cuEventRecord:1+:999", faults_of_environment)

static void faults_of_program(void)
{
    drv_ptr_t ptr;

    attach();
    EXPECT(standin->inject("cuNoSuchCall", 1, 1) == -1);
    EXPECT(standin->inject("cuMemAlloc", 2, 700) == 0);
    OK(cu->cuMemAlloc(&ptr, 16));
    OK(cu->cuMemFree(ptr));
    EXPECT(cu->cuMemAlloc(&ptr, 16) == 700);
    OK(cu->cuMemAlloc(&ptr, 16));
    OK(cu->cuMemFree(ptr));
    EXPECT(standin->inject("cuMemAlloc", 1, 2) == 0);
    EXPECT(standin->inject(NULL, 0, 0) == 0);
    OK(cu->cuMemAlloc(&ptr, 16));
    OK(cu->cuMemFree(ptr));
    detach();
}
PASSES_IN(the_program_injects_faults, "SHMQ_STANDIN_MODE=", faults_of_program)

/* ---- counters ---- */

static void counters(void)
{
    unsigned char pageable;
    drv_event_t event;
    drv_ptr_t ptr;

    attach();
    OK(cu->cuMemAlloc(&ptr, 4096));
    OK(cu->cuEventCreate(&event, 0));
    OK(cu->cuMemHostRegister(page, sizeof(page), DRV_CU_MEMHOSTREGISTER_DEVICEMAP));
    OK(cu->cuStreamSynchronize(stream));
    EXPECT(standin->calls("cuInit") == 1 && standin->calls("cuMemAlloc") == 1);
    EXPECT(standin->calls("cuNoSuchCall") == UINT64_MAX);
    EXPECT(standin->host_syncs() == 1);
    standin->reset_counters();
    /* What a data path may do. */
    for (int i = 0; i < 10; i++) {
        OK(cu->cuMemsetD8Async(ptr, 1, 16, stream));
        OK(cu->cuMemcpyHtoDAsync(ptr, &pageable, 1, stream));
        OK(cu->cuMemcpyDtoHAsync(page, ptr, 16, stream));
        OK(cu->cuEventRecord(event, stream));
        OK(cu->cuStreamWaitEvent(stream, event, 0));
        cu->cuEventQuery(event);
    }
    EXPECT(standin->host_syncs() == 0);
    EXPECT(standin->calls("cuEventRecord") == 10 && standin->calls("cuMemAlloc") == 0);
    /* And what hides a wait. */
    OK(cu->cuMemcpyDtoHAsync(&pageable, ptr, 1, stream));
    EXPECT(standin->host_syncs() == 1);
    OK(cu->cuEventSynchronize(event));
    OK(cu->cuMemcpyHtoD(ptr, page, 16));
    OK(cu->cuCtxSynchronize());
    EXPECT(standin->host_syncs() == 4);
    OK(cu->cuMemFree(ptr));
    EXPECT(standin->host_syncs() == 5);
    OK(cu->cuMemHostUnregister(page));
    OK(cu->cuEventDestroy(event));
    detach();
}
PASSES_IN(calls_and_waits_are_counted, "SHMQ_STANDIN_MODE=", counters)

/* ---- leaks ---- */

static void leak_one_of_each(void)
{
    struct standin_leaks l;
    drv_mem_handle_t handle;
    drv_event_t event;
    drv_ptr_t ptr;

    attach();
    OK(cu->cuMemAlloc(&ptr, 100));
    OK(cu->cuMemAlloc(&ptr, 100));
    OK(cu->cuMemCreate(&handle, 2 * MIB, &exportable, 0));
    OK(cu->cuMemAddressReserve(&ptr, 2 * MIB, 0, 0, 0));
    OK(cu->cuMemMap(ptr, 2 * MIB, 0, handle, 0));
    OK(cu->cuMemHostRegister(page, sizeof(page), 0));
    OK(cu->cuEventCreate(&event, 0));
    standin->leaks(&l);
    EXPECT(l.contexts == 1 && l.allocations == 2 && l.imports == 0 && l.vmm_handles == 1);
    EXPECT(l.reservations == 1 && l.mappings == 1 && l.registrations == 1);
    EXPECT(l.streams == 1 && l.events == 1 && l.dropped == 0);
    OK(cu->cuDevicePrimaryCtxRelease(0));
    standin->leaks(&l);
    /* Two allocations, a registration and a stream went with the context. */
    EXPECT(l.contexts == 0 && l.allocations == 0 && l.registrations == 0 && l.streams == 0);
    EXPECT(l.dropped == 4 && l.mappings == 1);
}
PASSES_IN(what_is_not_given_back_is_counted, "SHMQ_STANDIN_MODE=", leak_one_of_each)

static int report_pipe[2];

static void leak_and_exit(void)
{
    drv_ptr_t ptr;

    dup2(report_pipe[1], 2);
    attach();
    OK(cu->cuMemAlloc(&ptr, 100));
    exit(0);
}

static void tidy_and_exit(void)
{
    dup2(report_pipe[1], 2);
    attach();
    detach();
    exit(0);
}

static size_t report_of(const char *variable, void (*body)(void), char *text, size_t size)
{
    ssize_t n;

    assert_int_equal(pipe(report_pipe), 0);
    assert_true(child_ok(WITH(variable, "ASAN_OPTIONS=detect_leaks=0"), body));
    close(report_pipe[1]);
    n = read(report_pipe[0], text, size - 1);
    assert_true(n >= 0);
    text[n] = '\0';
    close(report_pipe[0]);
    return (size_t)n;
}

static void leaks_are_reported_at_exit_if_asked(void **state)
{
    char text[1024];

    (void)state;
    assert_int_equal(report_of("SHMQ_STANDIN_LEAKS=0", leak_and_exit, text, sizeof(text)), 0);
    assert_int_equal(report_of("SHMQ_STANDIN_LEAKS=1", tidy_and_exit, text, sizeof(text)), 0);
    assert_true(report_of("SHMQ_STANDIN_LEAKS=1", leak_and_exit, text, sizeof(text)) > 0);
    assert_non_null(strstr(text, "contexts 1, allocations 1"));
    assert_non_null(strstr(text, "streams 1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nopeer_means_no_peer),
        cmocka_unit_test(nomemops_means_no_memops),
        cmocka_unit_test(wsl_promises_and_fails),
        cmocka_unit_test(reordered_devices_keep_their_uuid),
        cmocka_unit_test(an_integrated_device_without_handles),
        cmocka_unit_test(novmm_means_no_vmm),
        cmocka_unit_test(small_allocations_share_a_block),
        cmocka_unit_test(ownrange_gives_ranges_of_their_own),
        cmocka_unit_test(registered_memory_has_an_address_of_its_own),
        cmocka_unit_test(sameptr_gives_it_the_host_s),
        cmocka_unit_test(memory_has_an_end),
        cmocka_unit_test(a_misspelt_mode_is_no_mode),
        cmocka_unit_test(the_nth_call_fails),
        cmocka_unit_test(the_program_injects_faults),
        cmocka_unit_test(calls_and_waits_are_counted),
        cmocka_unit_test(what_is_not_given_back_is_counted),
        cmocka_unit_test(leaks_are_reported_at_exit_if_asked),
    };

    return helper_init() < 0 ? 2 : cmocka_run_group_tests(tests, NULL, NULL);
}
