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
#include <string.h>

#define STACK_MAX 16

static pthread_mutex_t context_lock = PTHREAD_MUTEX_INITIALIZER;
static struct context contexts[DEVICES_MAX];
static _Thread_local struct context *stack[STACK_MAX];
static _Thread_local int depth;

static bool device_ok(drv_device_t device)
{
    return device >= 0 && device < config()->device_count;
}

struct context *context_current(drv_result_t *error)
{
    struct context *c = depth > 0 ? stack[depth - 1] : NULL;

    *error = DRV_CUDA_ERROR_INVALID_CONTEXT;
    if (c == NULL)
        return NULL;
    pthread_mutex_lock(&context_lock);
    if (c->references == 0)
        *error = DRV_CUDA_ERROR_CONTEXT_IS_DESTROYED;
    else
        *error = c->sticky;
    pthread_mutex_unlock(&context_lock);
    return *error == DRV_CUDA_SUCCESS ? c : NULL;
}

unsigned context_leaks(void)
{
    unsigned count = 0;

    pthread_mutex_lock(&context_lock);
    for (int i = 0; i < DEVICES_MAX; i++)
        count += contexts[i].references;
    pthread_mutex_unlock(&context_lock);
    return count;
}

drv_result_t cuDeviceGetCount(int *count)
{
    ENTER(cuDeviceGetCount);
    if (count == NULL)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    *count = config()->device_count;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuDeviceGet(drv_device_t *device, int ordinal)
{
    ENTER(cuDeviceGet);
    if (device == NULL)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if (!device_ok(ordinal))
        return DRV_CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuDeviceGetName(char *name, int size, drv_device_t device)
{
    ENTER(cuDeviceGetName);
    if (name == NULL || size <= 0)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if (!device_ok(device))
        return DRV_CUDA_ERROR_INVALID_DEVICE;
    snprintf(name, (size_t)size, "shmq stand-in device %d", config()->physical[device]);
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuDeviceGetUuid_v2(drv_uuid_t *uuid, drv_device_t device)
{
    char text[sizeof(uuid->bytes) + 1];

    ENTER(cuDeviceGetUuid);
    if (uuid == NULL)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if (!device_ok(device))
        return DRV_CUDA_ERROR_INVALID_DEVICE;
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
    if (value == NULL)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if (!device_ok(device))
        return DRV_CUDA_ERROR_INVALID_DEVICE;
    *value = attribute(which);
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuDeviceCanAccessPeer(int *can, drv_device_t device, drv_device_t peer)
{
    ENTER(cuDeviceCanAccessPeer);
    if (can == NULL)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if (!device_ok(device) || !device_ok(peer))
        return DRV_CUDA_ERROR_INVALID_DEVICE;
    *can = device != peer && !mode(MODE_NOPEER);
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuDevicePrimaryCtxRetain(drv_context_t *context, drv_device_t device)
{
    struct context *c;

    ENTER(cuDevicePrimaryCtxRetain);
    if (context == NULL)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if (!device_ok(device))
        return DRV_CUDA_ERROR_INVALID_DEVICE;
    c = &contexts[device];
    pthread_mutex_lock(&context_lock);
    if (c->references++ == 0) {
        c->ordinal = device;
        c->physical = config()->physical[device];
        c->sticky = DRV_CUDA_SUCCESS;
    }
    pthread_mutex_unlock(&context_lock);
    *context = (drv_context_t)(void *)c;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuDevicePrimaryCtxRelease_v2(drv_device_t device)
{
    struct context *c;
    bool last;

    ENTER(cuDevicePrimaryCtxRelease);
    if (!device_ok(device))
        return DRV_CUDA_ERROR_INVALID_DEVICE;
    c = &contexts[device];
    pthread_mutex_lock(&context_lock);
    if (c->references == 0) {
        pthread_mutex_unlock(&context_lock);
        return DRV_CUDA_ERROR_INVALID_CONTEXT;
    }
    last = --c->references == 0;
    pthread_mutex_unlock(&context_lock);
    if (last) {
        streams_drop(c);
        regions_drop(c);
    }
    return DRV_CUDA_SUCCESS;
}

static bool context_ok(const struct context *c)
{
    return c >= contexts && c < contexts + config()->device_count;
}

drv_result_t cuCtxPushCurrent_v2(drv_context_t context)
{
    struct context *c = (struct context *)(void *)context;

    ENTER(cuCtxPushCurrent);
    if (!context_ok(c))
        return DRV_CUDA_ERROR_INVALID_CONTEXT;
    if (depth == STACK_MAX)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    stack[depth++] = c;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuCtxPopCurrent_v2(drv_context_t *context)
{
    ENTER(cuCtxPopCurrent);
    if (depth == 0)
        return DRV_CUDA_ERROR_INVALID_CONTEXT;
    depth--;
    if (context != NULL)
        *context = (drv_context_t)(void *)stack[depth];
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuCtxGetCurrent(drv_context_t *context)
{
    ENTER(cuCtxGetCurrent);
    if (context == NULL)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    *context = depth > 0 ? (drv_context_t)(void *)stack[depth - 1] : NULL;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuCtxGetDevice(drv_device_t *device)
{
    ENTER_CONTEXT(cuCtxGetDevice, c);
    if (device == NULL)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    *device = c->ordinal;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuCtxSynchronize(void)
{
    ENTER_CONTEXT(cuCtxSynchronize, c);
    trace_host_sync();
    return stream_drain(c);
}

drv_result_t cuCtxEnablePeerAccess(drv_context_t peer, unsigned int flags)
{
    struct context *other = (struct context *)(void *)peer;

    ENTER_CONTEXT(cuCtxEnablePeerAccess, c);
    if (flags != 0)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if (!context_ok(other) || other == c)
        return DRV_CUDA_ERROR_INVALID_CONTEXT;
    return mode(MODE_NOPEER) ? DRV_CUDA_ERROR_PEER_ACCESS_UNSUPPORTED : DRV_CUDA_SUCCESS;
}
