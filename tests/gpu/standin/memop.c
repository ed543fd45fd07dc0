/* SPDX-License-Identifier: MIT */
/*
 * Words in memory that streams write and wait for, and functions that they call.
 *
 * A word must lie in memory that the driver knows: registered host memory, by its device address, or device memory. A
 * wait has no limit in time: whoever enqueues one needs somebody alive who ends it.
 */
#include "internal.h"

#include <stdlib.h>

static drv_result_t check(drv_ptr_t ptr)
{
    if (mode(MODE_NOMEMOPS))
        return DRV_CUDA_ERROR_NOT_SUPPORTED;
    if (ptr % sizeof(uint64_t) != 0 || !range_known(ptr, sizeof(uint64_t)))
        return DRV_CUDA_ERROR_INVALID_VALUE;
    return DRV_CUDA_SUCCESS;
}

static drv_result_t run_write(struct stream *s, struct job *j)
{
    return memory_store(stream_context(s)->physical, j->to.address, j->value);
}

static bool satisfied(uint64_t found, uint64_t wanted, unsigned flags)
{
    switch (flags) {
    case DRV_CU_STREAM_WAIT_VALUE_GEQ:
        return (int64_t)(found - wanted) >= 0;
    case DRV_CU_STREAM_WAIT_VALUE_EQ:
        return found == wanted;
    case DRV_CU_STREAM_WAIT_VALUE_AND:
        return (found & wanted) != 0;
    default:
        return ~(found | wanted) != 0;
    }
}

static drv_result_t run_wait(struct stream *s, struct job *j)
{
    unsigned round = 0;
    drv_result_t result;
    uint64_t found;

    while ((result = memory_load(stream_context(s)->physical, j->to.address, &found)) == DRV_CUDA_SUCCESS &&
           !satisfied(found, j->value, j->flags))
        device_pause(&round);
    return result;
}

static drv_result_t submit(struct context *c, drv_stream_t stream, struct job *j, drv_ptr_t ptr, uint64_t value,
                           unsigned flags)
{
    if (j == NULL)
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    j->to = (struct place){(uintptr_t)ptr, true};
    j->value = value;
    j->flags = flags;
    return stream_submit(c, stream, j, false);
}

drv_result_t cuStreamWriteValue64_v2(drv_stream_t stream, drv_ptr_t ptr, drv_u64_t value, unsigned int flags)
{
    drv_result_t result;

    ENTER_CONTEXT(cuStreamWriteValue64, c);
    result = check(ptr);
    if (result == DRV_CUDA_SUCCESS && flags > DRV_CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER)
        result = DRV_CUDA_ERROR_INVALID_VALUE;
    if (result != DRV_CUDA_SUCCESS)
        return result;
    return submit(c, stream, job_new(run_write), ptr, value, flags);
}

drv_result_t cuStreamWaitValue64_v2(drv_stream_t stream, drv_ptr_t ptr, drv_u64_t value, unsigned int flags)
{
    drv_result_t result;

    ENTER_CONTEXT(cuStreamWaitValue64, c);
    result = check(ptr);
    if (result == DRV_CUDA_SUCCESS && flags > DRV_CU_STREAM_WAIT_VALUE_NOR)
        result = DRV_CUDA_ERROR_INVALID_VALUE;
    if (result != DRV_CUDA_SUCCESS)
        return result;
    return submit(c, stream, job_new(run_wait), ptr, value, flags);
}

/* Calls of the driver are refused while the function runs, as CUDA forbids them. */
static drv_result_t run_function(struct stream *s, struct job *j)
{
    (void)s;
    in_host_function = true;
    j->fn(j->data);
    in_host_function = false;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuLaunchHostFunc(drv_stream_t stream, drv_host_fn_t fn, void *data)
{
    struct job *j;

    ENTER_CONTEXT(cuLaunchHostFunc, c);
    if (fn == NULL)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    j = job_new(run_function);
    if (j == NULL)
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    j->fn = fn;
    j->data = data;
    return stream_submit(c, stream, j, false);
}
