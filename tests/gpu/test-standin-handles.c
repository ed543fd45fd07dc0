/* SPDX-License-Identifier: MIT */
/*
 * The stand-in's handles and descriptors: what they open, and what they must not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "standin-helper.h"

static void reused_descriptor(void)
{
    drv_ipc_mem_t handle;
    drv_ptr_t ptr, other;
    int link[2];
    pid_t child;

    EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, link) == 0);
    child = fork();
    EXPECT(child >= 0);
    attach();
    if (child == 0) {
        /* The second allocation's descriptor has the number that the first one's had. */
        OK(cu->cuMemAlloc(&ptr, 2 * MIB));
        OK(cu->cuIpcGetMemHandle(&handle, ptr));
        OK(cu->cuMemFree(ptr));
        OK(cu->cuMemAlloc(&ptr, 2 * MIB));
        EXPECT(write(link[1], &handle, sizeof(handle)) == sizeof(handle));
        EXPECT(read(link[1], &handle, 1) == 1);
        _exit(0);
    }
    EXPECT(read(link[0], &handle, sizeof(handle)) == sizeof(handle));
    EXPECT(cu->cuIpcOpenMemHandle(&other, handle, LAZY) == DRV_CUDA_ERROR_INVALID_HANDLE);
    EXPECT(write(link[0], "!", 1) == 1);
    detach();
}
PASSES(an_old_handle_never_opens_something_new, reused_descriptor)

static void stopped_exporter(void)
{
    drv_ipc_mem_t handle;
    int link[2], status;
    drv_ptr_t ptr;
    pid_t child;

    EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, link) == 0);
    child = fork();
    EXPECT(child >= 0);
    attach();
    if (child == 0) {
        OK(cu->cuMemAlloc(&ptr, 4096));
        OK(cu->cuMemsetD8(ptr, 9, 4096));
        OK(cu->cuStreamSynchronize(NULL));
        OK(cu->cuIpcGetMemHandle(&handle, ptr));
        EXPECT(write(link[1], &handle, sizeof(handle)) == sizeof(handle));
        raise(SIGSTOP);
        _exit(0);
    }
    EXPECT(read(link[0], &handle, sizeof(handle)) == sizeof(handle));
    EXPECT(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
    OK(cu->cuIpcOpenMemHandle(&ptr, handle, LAZY));
    EXPECT(byte_at(ptr) == 9);
    OK(cu->cuIpcCloseMemHandle(ptr));
    EXPECT(child > 1 && kill(child, SIGKILL) == 0);
    EXPECT(waitpid(child, &status, 0) == child);
    detach();
}
PASSES(a_stopped_exporter_holds_nobody_up, stopped_exporter)

/*
 * What is device 0 to the exporter is device 1 to the importer: who goes by ordinals opens on the wrong one, and here
 * that one cannot reach the memory.
 */
static void other_order(void)
{
    drv_uuid_t mine, theirs;
    drv_context_t second;
    drv_ipc_mem_t handle;
    int link[2];
    drv_ptr_t ptr;
    pid_t child;

    EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, link) == 0);
    child = fork();
    EXPECT(child >= 0);
    putenv((char *)(uintptr_t)(child == 0 ? "SHMQ_STANDIN_MODE=reordered,nopeer" : "SHMQ_STANDIN_MODE=nopeer"));
    attach();
    OK(cu->cuDeviceGetUuid(&mine, child == 0 ? 0 : 1));
    if (child == 0) {
        OK(cu->cuMemAlloc(&ptr, 4096));
        OK(cu->cuIpcGetMemHandle(&handle, ptr));
        EXPECT(write(link[1], &handle, sizeof(handle)) == sizeof(handle));
        EXPECT(write(link[1], &mine, sizeof(mine)) == sizeof(mine));
        EXPECT(read(link[1], &handle, 1) == 1);
        _exit(0);
    }
    EXPECT(read(link[0], &handle, sizeof(handle)) == sizeof(handle));
    EXPECT(read(link[0], &theirs, sizeof(theirs)) == sizeof(theirs));
    EXPECT(memcmp(&mine, &theirs, sizeof(mine)) == 0);
    EXPECT(cu->cuIpcOpenMemHandle(&ptr, handle, LAZY) == DRV_CUDA_ERROR_PEER_ACCESS_UNSUPPORTED);
    OK(cu->cuDevicePrimaryCtxRetain(&second, 1));
    OK(cu->cuCtxPushCurrent(second));
    OK(cu->cuIpcOpenMemHandle(&ptr, handle, LAZY));
    OK(cu->cuIpcCloseMemHandle(ptr));
    OK(cu->cuCtxPopCurrent(NULL));
    OK(cu->cuDevicePrimaryCtxRelease(1));
    EXPECT(write(link[0], "!", 1) == 1);
    detach();
}
PASSES(ordinals_differ_between_processes, other_order)

static void descriptor_is_memfd(void)
{
    drv_mem_prop_t prop = {.type = 1, .requestedHandleTypes = 1, .location = {1, 0}};
    drv_mem_handle_t handle;
    char path[64], target[64];
    int fd = -1;

    attach();
    OK(cu->cuMemCreate(&handle, 2 * MIB, &prop, 0));
    OK(cu->cuMemExportToShareableHandle(&fd, handle, 1, 0));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    EXPECT(readlink(path, target, sizeof(target)) > 7 && memcmp(target, "/memfd:", 7) == 0);
    close(fd);
    OK(cu->cuMemRelease(handle));
    detach();
}
PASSES(an_exported_handle_is_a_memfd, descriptor_is_memfd)

/* Sealed and of a fitting size, but not made by any stand-in. */
static void alien_descriptor(void)
{
    drv_mem_handle_t handle;
    int fd;

    attach();
    fd = memfd_create("shmq-standin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    EXPECT(fd >= 0 && ftruncate(fd, 2 * (off_t)MIB + 4096) == 0);
    EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
    EXPECT(cu->cuMemImportFromShareableHandle(&handle, (void *)(intptr_t)fd, 1) == DRV_CUDA_ERROR_INVALID_VALUE);
    close(fd);
    EXPECT(cu->cuMemImportFromShareableHandle(&handle, (void *)(intptr_t)fd, 1) == DRV_CUDA_ERROR_INVALID_VALUE);
    detach();
}
PASSES(an_alien_descriptor_is_refused, alien_descriptor)

static void no_descriptors_left(void)
{
    int before;
    drv_ptr_t ptr;
    drv_event_t event;

    attach();
    before = open_descriptors();
    for (int i = 0; i < 100; i++) {
        OK(cu->cuMemAlloc(&ptr, 4 * MIB));
        OK(cu->cuEventCreate(&event, 6));
        OK(cu->cuEventRecord(event, stream));
        OK(cu->cuEventDestroy(event));
        OK(cu->cuMemFree(ptr));
    }
    OK(cu->cuCtxSynchronize());
    EXPECT(open_descriptors() == before);
    detach();
}
PASSES(nothing_is_left_open, no_descriptors_left)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_old_handle_never_opens_something_new), cmocka_unit_test(a_stopped_exporter_holds_nobody_up),
        cmocka_unit_test(ordinals_differ_between_processes),       cmocka_unit_test(an_exported_handle_is_a_memfd),
        cmocka_unit_test(an_alien_descriptor_is_refused),          cmocka_unit_test(nothing_is_left_open),
    };

    return helper_init() < 0 ? 2 : cmocka_run_group_tests(tests, NULL, NULL);
}
