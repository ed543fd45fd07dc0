/* SPDX-License-Identifier: MIT */
/*
 * For tests of the stand-in itself: a process with a context and a stream. SHMQ_CUDA_DRIVER names the stand-in; every
 * test has a process of its own (support/harness.h), so it starts the driver as it wants it.
 */
#ifndef SHMQ_TESTS_STANDIN_HELPER_H
#define SHMQ_TESTS_STANDIN_HELPER_H

#include <poll.h>
#include <sched.h>

#include "gpu/driver.h"
#include "standin/standin.h"
#include "support/harness.h"

static const struct gpu_driver *cu;
static const struct standin *standin;
static drv_stream_t stream;

#define LAZY DRV_CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS
#define MIB  ((size_t)1 << 20)
/* The call must succeed, or give this error. */
#define OK(call)           CHECK_INT(cu->call, DRV_CUDA_SUCCESS)
#define GIVES(error, call) CHECK_INT(cu->call, DRV_CUDA_ERROR_##error)

/* Starts the driver; `setting` is "NAME=value" of docs/GPU.md, or NULL. */
static inline void start(const char *setting)
{
    if (setting != NULL)
        putenv((char *)(uintptr_t)setting);
    CHECK_OK(gpu_driver_get(&cu));
    standin = CHECK_PTR((void *)(uintptr_t)standin_find());
}

static inline void push_context(drv_device_t device)
{
    drv_context_t context;

    OK(cuDevicePrimaryCtxRetain(&context, device));
    OK(cuCtxPushCurrent(context));
}

static inline void attach(const char *setting)
{
    start(setting);
    push_context(0);
    OK(cuStreamCreate(&stream, DRV_CU_STREAM_NON_BLOCKING));
}

static inline struct standin_leaks leaks(void)
{
    struct standin_leaks l;

    standin->leaks(&l);
    return l;
}

/* Also waits for the end of the driver's threads: the harness looks for them. */
static inline void detach(void)
{
    struct standin_leaks l;

    OK(cuStreamDestroy(stream));
    OK(cuCtxPopCurrent(NULL));
    OK(cuDevicePrimaryCtxRelease(0));
    l = leaks();
    CHECK_INT(standin_leaks_total(&l), 0);
    while (count_files("/proc/self/task") > 1)
        sched_yield();
}

static inline drv_ptr_t allocate(size_t size)
{
    drv_ptr_t ptr;

    OK(cuMemAlloc(&ptr, size));
    return ptr;
}

static inline unsigned char byte_at(drv_ptr_t ptr)
{
    unsigned char value = 0;

    OK(cuMemcpyDtoHAsync(&value, ptr, 1, stream));
    return value;
}

/* ---- memory of the VMM calls ---- */

#define EXPORTABLE                                                                                                     \
    (&(const drv_mem_prop_t){.type = DRV_CU_MEM_ALLOCATION_TYPE_PINNED,                                                \
                             .requestedHandleTypes = DRV_CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,                     \
                             .location = {DRV_CU_MEM_LOCATION_TYPE_DEVICE, 0}})

struct mapping {
    drv_mem_handle_t handle;
    drv_ptr_t ptr;
};

/* 2 MiB, mapped; no device may touch them yet. */
static inline struct mapping mapping_new(void)
{
    struct mapping m;

    OK(cuMemCreate(&m.handle, 2 * MIB, EXPORTABLE, 0));
    OK(cuMemAddressReserve(&m.ptr, 2 * MIB, 0, 0, 0));
    OK(cuMemMap(m.ptr, 2 * MIB, 0, m.handle, 0));
    return m;
}

static inline drv_result_t mapping_allow(const struct mapping *m, drv_device_t device)
{
    drv_mem_access_t access = {{DRV_CU_MEM_LOCATION_TYPE_DEVICE, device}, DRV_CU_MEM_ACCESS_FLAGS_PROT_READWRITE};

    return cu->cuMemSetAccess(m->ptr, 2 * MIB, &access, 1);
}

/* ---- a gate: work behind a closed one has certainly not begun ---- */

struct gate {
    int pipe[2];
};

static inline void gate_wait(void *data)
{
    struct gate *g = data;
    char byte;

    CHECK_INT(read(g->pipe[0], &byte, 1), 1);
}

static inline void gate_close(struct gate *g, drv_stream_t in)
{
    CHECK_OK(pipe(g->pipe));
    OK(cuLaunchHostFunc(in, gate_wait, g));
}

/* Also waits until the function has let the work through. */
static inline void gate_open(struct gate *g, drv_stream_t in)
{
    CHECK_INT(write(g->pipe[1], "!", 1), 1);
    OK(cuStreamSynchronize(in));
    close(g->pipe[0]);
    close(g->pipe[1]);
}

#endif
