/* SPDX-License-Identifier: MIT */
/*
 * Copies and fills.
 *
 * The rules of CUDA about host memory are kept, for they hide waits:
 *	to a device, pageable memory    taken at the call, lands later
 *	to a device, registered memory  read when the copy runs: it must not change before
 *	to the host, pageable memory    the call waits: a host synchronization
 *	to the host, registered memory  lands later
 * cuMemcpyDtoD and the fills return before they are done, though they aren't "Async".
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static drv_result_t run_copy(struct stream *s, struct job *j)
{
    return memory_copy(stream_context(s)->physical, j->to, j->from, j->size);
}

static drv_result_t run_fill(struct stream *s, struct job *j)
{
    return memory_fill(stream_context(s)->physical, j->to.address, (uint32_t)j->value, j->width, j->size);
}

static struct place device(drv_ptr_t ptr)
{
    return (struct place){(uintptr_t)ptr, true};
}

static struct place host(const void *ptr)
{
    return (struct place){(uintptr_t)ptr, false};
}

static drv_result_t copy(struct context *c, drv_stream_t stream, struct place to, struct place from, size_t size,
                         bool wait)
{
    struct job *j;

    if ((to.device && !range_known(to.address, size)) || (from.device && !range_known(from.address, size)))
        return DRV_CUDA_ERROR_INVALID_VALUE;
    j = job_new(run_copy);
    if (j == NULL)
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    j->to = to;
    j->from = from;
    j->size = size;
    if (!from.device && !wait && !host_is_pinned((void *)from.address, size)) {
        j->staged = malloc(size + 1);
        if (j->staged == NULL) {
            free(j);
            return DRV_CUDA_ERROR_OUT_OF_MEMORY;
        }
        memcpy(j->staged, (void *)from.address, size);
        j->from = host(j->staged);
    }
    if (!to.device && !host_is_pinned((void *)to.address, size))
        wait = true;
    if (wait)
        trace_host_sync();
    return stream_submit(c, stream, j, wait);
}

drv_result_t cuMemcpyHtoD_v2(drv_ptr_t to, const void *from, size_t size)
{
    ENTER_CONTEXT(cuMemcpyHtoD, c);
    return copy(c, NULL, device(to), host(from), size, true);
}

drv_result_t cuMemcpyDtoH_v2(void *to, drv_ptr_t from, size_t size)
{
    ENTER_CONTEXT(cuMemcpyDtoH, c);
    return copy(c, NULL, host(to), device(from), size, true);
}

drv_result_t cuMemcpyDtoD_v2(drv_ptr_t to, drv_ptr_t from, size_t size)
{
    ENTER_CONTEXT(cuMemcpyDtoD, c);
    return copy(c, NULL, device(to), device(from), size, false);
}

drv_result_t cuMemcpyHtoDAsync_v2(drv_ptr_t to, const void *from, size_t size, drv_stream_t stream)
{
    ENTER_CONTEXT(cuMemcpyHtoDAsync, c);
    return copy(c, stream, device(to), host(from), size, false);
}

drv_result_t cuMemcpyDtoHAsync_v2(void *to, drv_ptr_t from, size_t size, drv_stream_t stream)
{
    ENTER_CONTEXT(cuMemcpyDtoHAsync, c);
    return copy(c, stream, host(to), device(from), size, false);
}

drv_result_t cuMemcpyDtoDAsync_v2(drv_ptr_t to, drv_ptr_t from, size_t size, drv_stream_t stream)
{
    ENTER_CONTEXT(cuMemcpyDtoDAsync, c);
    return copy(c, stream, device(to), device(from), size, false);
}

static drv_result_t set(struct context *c, drv_stream_t stream, drv_ptr_t to, uint32_t value, uint32_t width,
                        size_t items)
{
    struct job *j;

    if (items > SIZE_MAX / width || to % width != 0 || !range_known(to, width * items))
        return DRV_CUDA_ERROR_INVALID_VALUE;
    j = job_new(run_fill);
    if (j == NULL)
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    j->to = device(to);
    j->value = value;
    j->width = width;
    j->size = items;
    return stream_submit(c, stream, j, false);
}

drv_result_t cuMemsetD8_v2(drv_ptr_t to, unsigned char value, size_t count)
{
    ENTER_CONTEXT(cuMemsetD8, c);
    return set(c, NULL, to, value, 1, count);
}

drv_result_t cuMemsetD32_v2(drv_ptr_t to, unsigned int value, size_t count)
{
    ENTER_CONTEXT(cuMemsetD32, c);
    return set(c, NULL, to, value, 4, count);
}

drv_result_t cuMemsetD8Async(drv_ptr_t to, unsigned char value, size_t count, drv_stream_t stream)
{
    ENTER_CONTEXT(cuMemsetD8Async, c);
    return set(c, stream, to, value, 1, count);
}

drv_result_t cuMemsetD32Async(drv_ptr_t to, unsigned int value, size_t count, drv_stream_t stream)
{
    ENTER_CONTEXT(cuMemsetD32Async, c);
    return set(c, stream, to, value, 4, count);
}
