/* SPDX-License-Identifier: MIT */
/* The stand-in's handles and descriptors: what they open, and what they must not. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "standin-helper.h"

/* To the importer: a handle of `ptr`. */
static void send_handle(const struct child *up, drv_ptr_t ptr)
{
    drv_ipc_mem_t handle;

    OK(cuIpcGetMemHandle(&handle, ptr));
    CHECK_INT(write(up->fd, &handle, sizeof(handle)), sizeof(handle));
}

static drv_ipc_mem_t receive_handle(const struct child *exporter)
{
    drv_ipc_mem_t handle;

    CHECK_INT(read(exporter->fd, &handle, sizeof(handle)), sizeof(handle));
    return handle;
}

/* The second allocation's descriptor has the number that the first one's had. */
static void export_reused(struct child *up, void *argument)
{
    drv_ptr_t ptr;

    (void)argument;
    attach(NULL);
    ptr = allocate(2 * MIB);
    send_handle(up, ptr);
    OK(cuMemFree(ptr));
    ptr = allocate(2 * MIB);
    child_say(up, 0);
    child_hear(up);
    OK(cuMemFree(ptr));
    detach();
}

TEST_THAT(an_old_handle_never_opens_something_new)
{
    struct child exporter = child_start(export_reused, NULL);
    drv_ipc_mem_t handle;
    drv_ptr_t ptr;

    attach(NULL);
    handle = receive_handle(&exporter);
    child_hear(&exporter);
    GIVES(INVALID_HANDLE, cuIpcOpenMemHandle(&ptr, handle, LAZY));
    child_end(&exporter);
    detach();
}

static void export_and_stop(struct child *up, void *argument)
{
    drv_ptr_t ptr;

    (void)argument;
    attach(NULL);
    ptr = allocate(4096);
    OK(cuMemsetD8Async(ptr, 9, 4096, stream));
    OK(cuStreamSynchronize(stream));
    send_handle(up, ptr);
    child_hear(up);
}

TEST_THAT(a_stopped_exporter_holds_nobody_up)
{
    struct child exporter = child_start(export_and_stop, NULL);
    drv_ipc_mem_t handle;
    drv_ptr_t ptr;

    attach(NULL);
    handle = receive_handle(&exporter);
    child_stop(&exporter);
    OK(cuIpcOpenMemHandle(&ptr, handle, LAZY));
    CHECK_INT(byte_at(ptr), 9);
    OK(cuIpcCloseMemHandle(ptr));
    child_kill(&exporter);
    detach();
}

static void export_on_first(struct child *up, void *argument)
{
    drv_uuid_t uuid;
    drv_ptr_t ptr;

    (void)argument;
    attach("SHMQ_STANDIN_MODE=reordered,nopeer");
    OK(cuDeviceGetUuid(&uuid, 0));
    ptr = allocate(4096);
    send_handle(up, ptr);
    CHECK_INT(write(up->fd, &uuid, sizeof(uuid)), sizeof(uuid));
    child_hear(up);
    OK(cuMemFree(ptr));
    detach();
}

/*
 * What is device 0 to the exporter is device 1 to the importer: who goes by ordinals opens on the wrong one, and here
 * that one cannot reach the memory.
 */
TEST_THAT(ordinals_differ_between_processes)
{
    struct child exporter = child_start(export_on_first, NULL);
    drv_uuid_t mine, theirs;
    drv_ipc_mem_t handle;
    drv_ptr_t ptr;

    attach("SHMQ_STANDIN_MODE=nopeer");
    OK(cuDeviceGetUuid(&mine, 1));
    handle = receive_handle(&exporter);
    CHECK_INT(read(exporter.fd, &theirs, sizeof(theirs)), sizeof(theirs));
    CHECK_MEM(&mine, sizeof(mine), &theirs, sizeof(theirs));
    GIVES(PEER_ACCESS_UNSUPPORTED, cuIpcOpenMemHandle(&ptr, handle, LAZY));
    push_context(1);
    OK(cuIpcOpenMemHandle(&ptr, handle, LAZY));
    OK(cuIpcCloseMemHandle(ptr));
    OK(cuCtxPopCurrent(NULL));
    OK(cuDevicePrimaryCtxRelease(1));
    child_end(&exporter);
    detach();
}

TEST_THAT(an_exported_handle_is_a_memfd)
{
    drv_mem_handle_t handle;
    char path[64], target[64];
    int fd = -1;

    attach(NULL);
    OK(cuMemCreate(&handle, 2 * MIB, EXPORTABLE, 0));
    OK(cuMemExportToShareableHandle(&fd, handle, DRV_CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK(readlink(path, target, sizeof(target)) > 7 && memcmp(target, "/memfd:", 7) == 0);
    close(fd);
    OK(cuMemRelease(handle));
    detach();
}

static drv_result_t import_descriptor(int fd)
{
    drv_mem_handle_t handle;

    return cu->cuMemImportFromShareableHandle(&handle, (void *)(intptr_t)fd,
                                              DRV_CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
}

/* Sealed and of a fitting size, but not made by any stand-in. */
TEST_THAT(an_alien_descriptor_is_refused)
{
    int fd = (int)CHECK_OK(memfd_create("shmq-standin", MFD_CLOEXEC | MFD_ALLOW_SEALING));

    attach(NULL);
    CHECK_OK(ftruncate(fd, 2 * (off_t)MIB + 4096));
    CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
    CHECK_INT(import_descriptor(fd), DRV_CUDA_ERROR_INVALID_VALUE);
    close(fd);
    CHECK_INT(import_descriptor(fd), DRV_CUDA_ERROR_INVALID_VALUE);
    detach();
}

TEST_THAT(nothing_is_left_open)
{
    drv_event_t event;
    unsigned before;
    drv_ptr_t ptr;

    attach(NULL);
    before = count_files("/proc/self/fd");
    for (int i = 0; i < 100; i++) {
        ptr = allocate(4 * MIB);
        OK(cuEventCreate(&event, DRV_CU_EVENT_INTERPROCESS | DRV_CU_EVENT_DISABLE_TIMING));
        OK(cuEventRecord(event, stream));
        OK(cuEventDestroy(event));
        OK(cuMemFree(ptr));
    }
    OK(cuCtxSynchronize());
    CHECK_INT(count_files("/proc/self/fd"), before);
    detach();
}
