/* SPDX-License-Identifier: MIT */
/* The stand-in's modes, injected faults and counters. */
#include <fcntl.h>
#include <sys/wait.h>

#include "standin-helper.h"

#define SHARED (DRV_CU_EVENT_INTERPROCESS | DRV_CU_EVENT_DISABLE_TIMING)

static _Alignas(8) unsigned char page[8192];

static int device_attribute(int which)
{
    int value = -1;

    OK(cuDeviceGetAttribute(&value, which, 0));
    return value;
}

/* ---- modes ---- */

TEST_THAT(nopeer_means_no_peer)
{
    struct mapping m;
    int can = -1;

    attach("SHMQ_STANDIN_MODE=nopeer");
    OK(cuDeviceCanAccessPeer(&can, 0, 1));
    CHECK_INT(can, 0);
    m = mapping_new();
    CHECK_INT(mapping_allow(&m, 1), DRV_CUDA_ERROR_PEER_ACCESS_UNSUPPORTED);
    OK(cuMemUnmap(m.ptr, 2 * MIB));
    OK(cuMemAddressFree(m.ptr, 2 * MIB));
    OK(cuMemRelease(m.handle));
    detach();
}

TEST_THAT(nomemops_means_no_memops)
{
    drv_ptr_t ptr;

    attach("SHMQ_STANDIN_MODE=nomemops");
    CHECK_INT(device_attribute(DRV_CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS), 0);
    ptr = allocate(4096);
    GIVES(NOT_SUPPORTED, cuStreamWriteValue64(stream, ptr, 1, 0));
    GIVES(NOT_SUPPORTED, cuStreamWaitValue64(stream, ptr, 0, 0));
    OK(cuMemFree(ptr));
    detach();
}

/* The attributes promise; only trying shows. */
TEST_THAT(wsl_promises_and_fails)
{
    drv_mem_handle_t mem;
    drv_ipc_event_t event_handle;
    drv_ipc_mem_t handle;
    drv_event_t event;
    drv_ptr_t ptr;

    attach("SHMQ_STANDIN_MODE=wsl");
    CHECK_INT(device_attribute(DRV_CU_DEVICE_ATTRIBUTE_IPC_EVENT_SUPPORTED), 1);
    CHECK_INT(device_attribute(DRV_CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED), 1);
    ptr = allocate(4096);
    GIVES(NOT_SUPPORTED, cuIpcGetMemHandle(&handle, ptr));
    GIVES(NOT_SUPPORTED, cuMemCreate(&mem, 2 * MIB, EXPORTABLE, 0));
    OK(cuEventCreate(&event, SHARED));
    GIVES(NOT_SUPPORTED, cuIpcGetEventHandle(&event_handle, event));
    OK(cuEventDestroy(event));
    OK(cuMemFree(ptr));
    detach();
}

TEST_THAT(reordered_devices_keep_their_uuid)
{
    drv_uuid_t first, second;

    start("SHMQ_STANDIN_MODE=reordered");
    OK(cuDeviceGetUuid(&first, 0));
    OK(cuDeviceGetUuid(&second, 1));
    CHECK_MEM(first.bytes, 16, "shmq-stand-in-01", 16);
    CHECK_MEM(second.bytes, 16, "shmq-stand-in-00", 16);
}

TEST_THAT(an_integrated_device_without_handles)
{
    drv_ipc_mem_t handle;
    drv_ptr_t ptr;

    attach("SHMQ_STANDIN_MODE=integrated,nolegacy");
    CHECK_INT(device_attribute(DRV_CU_DEVICE_ATTRIBUTE_INTEGRATED), 1);
    ptr = allocate(4096);
    GIVES(NOT_SUPPORTED, cuIpcGetMemHandle(&handle, ptr));
    OK(cuMemFree(ptr));
    detach();
}

TEST_THAT(novmm_means_no_vmm)
{
    drv_mem_handle_t handle;
    drv_event_t event;
    drv_ptr_t ptr;

    attach("SHMQ_STANDIN_MODE=novmm,noipcevents");
    CHECK_INT(device_attribute(DRV_CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED), 0);
    GIVES(NOT_SUPPORTED, cuMemCreate(&handle, 2 * MIB, EXPORTABLE, 0));
    GIVES(NOT_SUPPORTED, cuMemAddressReserve(&ptr, 2 * MIB, 0, 0, 0));
    GIVES(NOT_SUPPORTED, cuEventCreate(&event, SHARED));
    detach();
}

static void check_ranges(const char *mode, bool own)
{
    drv_ptr_t first, second, base;
    size_t size;

    attach(mode);
    first = allocate(100);
    second = allocate(100);
    CHECK_INT(second - first, 512);
    OK(cuMemGetAddressRange(&base, &size, second + 50));
    CHECK(base == (own ? second : first) && size == (own ? 100 : 2 * MIB));
    OK(cuMemFree(first));
    OK(cuMemFree(second));
    detach();
}

TEST_THAT(small_allocations_share_a_block)
{
    check_ranges(NULL, false);
}

TEST_THAT(ownrange_gives_ranges_of_their_own)
{
    check_ranges("SHMQ_STANDIN_MODE=ownrange", true);
}

static void check_addresses(const char *mode, bool same)
{
    drv_ptr_t ptr;

    attach(mode);
    CHECK_INT(device_attribute(DRV_CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM), same);
    OK(cuMemHostRegister(page + 8, 4096, DRV_CU_MEMHOSTREGISTER_DEVICEMAP));
    OK(cuMemHostGetDevicePointer(&ptr, page + 16, 0));
    CHECK_INT(ptr == (uintptr_t)(page + 16), same);
    OK(cuStreamWriteValue64(stream, ptr, 5, 0));
    OK(cuStreamSynchronize(stream));
    CHECK_INT(page[16], 5);
    if (!same)
        GIVES(INVALID_VALUE, cuStreamWriteValue64(stream, (uintptr_t)(page + 16), 5, 0));
    OK(cuMemHostUnregister(page + 8));
    detach();
}

TEST_THAT(registered_memory_has_an_address_of_its_own)
{
    check_addresses(NULL, false);
}

TEST_THAT(sameptr_gives_it_the_host_s)
{
    check_addresses("SHMQ_STANDIN_MODE=sameptr", true);
}

TEST_THAT(memory_has_an_end)
{
    drv_ptr_t first, second;

    attach("SHMQ_STANDIN_MEMORY=8388608");
    GIVES(OUT_OF_MEMORY, cuMemAlloc(&first, 9 * MIB));
    first = allocate(6 * MIB);
    GIVES(OUT_OF_MEMORY, cuMemAlloc(&second, 4 * MIB));
    OK(cuMemFree(first));
    OK(cuMemFree(allocate(4 * MIB)));
    detach();
}

TEST_THAT(a_misspelt_mode_is_no_mode)
{
    struct child child;
    int status;

    if (child_fork(&child, false) == 0) {
        /* Its complaint is not this test's. */
        CHECK_OK(dup2((int)CHECK_OK(open("/dev/null", O_WRONLY)), STDERR_FILENO));
        start("SHMQ_STANDIN_MODE=nopeers");
        _exit(0);
    }
    CHECK_INT(waitpid(child.pid, &status, 0), child.pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* ---- faults ---- */

TEST_THAT(the_nth_call_fails)
{
    drv_event_t event;
    drv_ptr_t ptr;

    attach("SHMQ_STANDIN_FAIL=cuMemAlloc:2:2,cuEventRecord:1+:999");
    OK(cuMemFree(allocate(16)));
    GIVES(OUT_OF_MEMORY, cuMemAlloc(&ptr, 16));
    OK(cuMemFree(allocate(16)));
    OK(cuEventCreate(&event, 0));
    for (int i = 0; i < 3; i++)
        GIVES(UNKNOWN, cuEventRecord(event, stream));
    OK(cuEventDestroy(event));
    detach();
}

TEST_THAT(the_program_injects_faults)
{
    drv_ptr_t ptr;

    attach(NULL);
    CHECK_INT(standin->inject("cuNoSuchCall", 1, 1), -1);
    CHECK_INT(standin->inject("cuMemAlloc", 2, 700), 0);
    OK(cuMemFree(allocate(16)));
    GIVES(ILLEGAL_ADDRESS, cuMemAlloc(&ptr, 16));
    OK(cuMemFree(allocate(16)));
    CHECK_INT(standin->inject("cuMemAlloc", 1, 2), 0);
    CHECK_INT(standin->inject(NULL, 0, 0), 0);
    OK(cuMemFree(allocate(16)));
    detach();
}

/* ---- counters ---- */

TEST_THAT(calls_and_waits_are_counted)
{
    unsigned char pageable = 0;
    drv_event_t event;
    drv_ptr_t ptr;

    attach(NULL);
    ptr = allocate(4096);
    OK(cuEventCreate(&event, 0));
    OK(cuMemHostRegister(page, sizeof(page), DRV_CU_MEMHOSTREGISTER_DEVICEMAP));
    OK(cuStreamSynchronize(stream));
    CHECK(standin->calls("cuInit") == 1 && standin->calls("cuMemAlloc") == 1);
    CHECK(standin->calls("cuNoSuchCall") == UINT64_MAX);
    CHECK_INT(standin->host_syncs(), 1);
    standin->reset_counters();
    /* What a data path may do. */
    for (int i = 0; i < 10; i++) {
        OK(cuMemsetD8Async(ptr, 1, 16, stream));
        OK(cuMemcpyHtoDAsync(ptr, &pageable, 1, stream));
        OK(cuMemcpyDtoHAsync(page, ptr, 16, stream));
        OK(cuEventRecord(event, stream));
        OK(cuStreamWaitEvent(stream, event, 0));
        cu->cuEventQuery(event);
    }
    CHECK_INT(standin->host_syncs(), 0);
    CHECK(standin->calls("cuEventRecord") == 10 && standin->calls("cuMemAlloc") == 0);
    /* And what hides a wait. */
    OK(cuMemcpyDtoHAsync(&pageable, ptr, 1, stream));
    CHECK_INT(standin->host_syncs(), 1);
    OK(cuEventSynchronize(event));
    OK(cuCtxSynchronize());
    CHECK_INT(standin->host_syncs(), 3);
    OK(cuMemFree(ptr));
    CHECK_INT(standin->host_syncs(), 4);
    OK(cuMemHostUnregister(page));
    OK(cuEventDestroy(event));
    detach();
}

/* ---- leaks ---- */

TEST_THAT(what_is_not_given_back_is_counted)
{
    struct standin_leaks l;
    drv_event_t event;

    attach(NULL);
    allocate(100);
    allocate(100);
    mapping_new();
    OK(cuMemHostRegister(page, sizeof(page), 0));
    OK(cuEventCreate(&event, 0));
    l = leaks();
    CHECK(l.contexts == 1 && l.allocations == 2 && l.imports == 0 && l.vmm_handles == 1);
    CHECK(l.reservations == 1 && l.mappings == 1 && l.registrations == 1);
    CHECK(l.streams == 1 && l.events == 1 && l.dropped == 0);
    OK(cuDevicePrimaryCtxRelease(0));
    l = leaks();
    /* Two allocations, a registration and a stream went with the context. */
    CHECK(l.contexts == 0 && l.allocations == 0 && l.registrations == 0 && l.streams == 0);
    CHECK(l.dropped == 4 && l.mappings == 1);
    _exit(0);
}
