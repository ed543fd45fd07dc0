/* SPDX-License-Identifier: MIT */
/*
 * Devices and their primary contexts.
 *
 * A device is known by its UUID; its ordinal depends on the process (mode "reordered"). The current context is a stack
 * of the thread. When the last reference goes, the context takes its memory and streams with it, as CUDA does; what it
 * had to take is counted as leaked.
 */
#include "internal.h"

#include <stdio.h>

#define STACK_MAX 16

static pthread_mutex_t context_lock = PTHREAD_MUTEX_INITIALIZER;
static struct context contexts[DEVICES_MAX];
static _Thread_local struct context *stack[STACK_MAX];
static _Thread_local int depth;

bool device_ok(drv_device_t device)
{
    return device >= 0 && device < config()->device_count;
}

/* What a question about a device needs: a place for the answer, and the device. */
static drv_result_t check(const void *answer, drv_device_t device)
{
    REQUIRE(answer != NULL, INVALID_VALUE);
    REQUIRE(device_ok(device), INVALID_DEVICE);
    return DRV_CUDA_SUCCESS;
}

drv_result_t context_current(struct context **context)
{
    REQUIRE(depth > 0, INVALID_CONTEXT);
    *context = stack[depth - 1];
    HOLD(&context_lock);
    return (*context)->references == 0 ? DRV_CUDA_ERROR_CONTEXT_IS_DESTROYED : (*context)->sticky;
}

unsigned context_leaks(void)
{
    unsigned count = 0;

    HOLD(&context_lock);
    for (int i = 0; i < DEVICES_MAX; i++)
        count += contexts[i].references;
    return count;
}

drv_result_t cuDeviceGetCount(int *count)
{
    ENTER(cuDeviceGetCount);
    REQUIRE(count != NULL, INVALID_VALUE);
    *count = config()->device_count;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuDeviceGet(drv_device_t *device, int ordinal)
{
    ENTER(cuDeviceGet);
    TRY(check(device, ordinal));
    *device = ordinal;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuDeviceGetName(char *name, int size, drv_device_t device)
{
    ENTER(cuDeviceGetName);
    TRY(check(name, device));
    REQUIRE(size > 0, INVALID_VALUE);
    snprintf(name, (size_t)size, "shmq stand-in device %d", config()->physical[device]);
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuDeviceGetUuid_v2(drv_uuid_t *uuid, drv_device_t device)
{
    char text[sizeof(uuid->bytes) + 1];

    ENTER(cuDeviceGetUuid);
    TRY(check(uuid, device));
    snprintf(text, sizeof(text), "shmq-stand-in-%02d", config()->physical[device]);
    memcpy(uuid->bytes, text, sizeof(uuid->bytes));
    return DRV_CUDA_SUCCESS;
}

/* WSL claims what it cannot do: its answers are those of an ordinary card. */
static int attribute(drv_device_attribute_t which)
{
    switch (which) {
    case DRV_CU_DEVICE_ATTRIBUTE_INTEGRATED:
        return mode(MODE_INTEGRATED);
    case DRV_CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
    case DRV_CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
    case DRV_CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED:
    case DRV_CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR:
        return 1;
    case DRV_CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
        return 9;
    case DRV_CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM:
        return mode(MODE_SAMEPTR);
    case DRV_CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED:
    case DRV_CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED:
        return !mode(MODE_NOVMM);
    case DRV_CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS:
        return !mode(MODE_NOMEMOPS);
    case DRV_CU_DEVICE_ATTRIBUTE_IPC_EVENT_SUPPORTED:
        return !mode(MODE_NOIPCEVENTS);
    default:
        return 0;
    }
}

drv_result_t cuDeviceGetAttribute(int *value, drv_device_attribute_t which, drv_device_t device)
{
    ENTER(cuDeviceGetAttribute);
    TRY(check(value, device));
    *value = attribute(which);
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuDeviceCanAccessPeer(int *can, drv_device_t device, drv_device_t peer)
{
    ENTER(cuDeviceCanAccessPeer);
    TRY(check(can, device));
    TRY(check(can, peer));
    *can = device != peer && !mode(MODE_NOPEER);
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuDevicePrimaryCtxRetain(drv_context_t *context, drv_device_t device)
{
    struct context *c;

    ENTER(cuDevicePrimaryCtxRetain);
    TRY(check(context, device));
    c = &contexts[device];
    HOLD(&context_lock);
    if (c->references++ == 0) {
        c->physical = config()->physical[device];
        c->sticky = DRV_CUDA_SUCCESS;
    }
    *context = (drv_context_t)(void *)c;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuDevicePrimaryCtxRelease_v2(drv_device_t device)
{
    struct context *c;
    unsigned left;

    ENTER(cuDevicePrimaryCtxRelease);
    REQUIRE(device_ok(device), INVALID_DEVICE);
    c = &contexts[device];
    {
        HOLD(&context_lock);
        REQUIRE(c->references > 0, INVALID_CONTEXT);
        left = --c->references;
    }
    if (left == 0) {
        streams_drop(c);
        regions_drop(c);
    }
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuCtxPushCurrent_v2(drv_context_t context)
{
    struct context *c = (struct context *)(void *)context;

    ENTER(cuCtxPushCurrent);
    REQUIRE(c >= contexts && c < contexts + config()->device_count, INVALID_CONTEXT);
    REQUIRE(depth < STACK_MAX, INVALID_VALUE);
    stack[depth++] = c;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuCtxPopCurrent_v2(drv_context_t *context)
{
    ENTER(cuCtxPopCurrent);
    REQUIRE(depth > 0, INVALID_CONTEXT);
    depth--;
    if (context != NULL)
        *context = (drv_context_t)(void *)stack[depth];
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuCtxSynchronize(void)
{
    ENTER_CONTEXT(cuCtxSynchronize, c);
    trace_host_sync();
    return stream_drain(c);
}
