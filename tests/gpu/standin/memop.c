/* SPDX-License-Identifier: MIT */
/*
 * Words in memory that streams write and wait for, and functions that they call.
 *
 * A word must lie in memory that the driver knows: registered host memory, by its device address, or device memory. A
 * wait has no limit in time: whoever enqueues one needs somebody alive who ends it.
 */
#include "internal.h"

static drv_result_t run_write(struct context *c, struct job *j)
{
    return memory_store(c->physical, j->to.address, j->value);
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

static drv_result_t run_wait(struct context *c, struct job *j)
{
    unsigned round = 0;
    uint64_t found;

    for (;;) {
        TRY(memory_load(c->physical, j->to.address, &found));
        if (satisfied(found, j->value, j->flags))
            return DRV_CUDA_SUCCESS;
        device_pause(&round);
    }
}

static drv_result_t submit(struct context *c, drv_stream_t stream, drv_ptr_t ptr, struct job j, unsigned flags_max)
{
    REQUIRE(!mode(MODE_NOMEMOPS), NOT_SUPPORTED);
    REQUIRE(ptr % sizeof(uint64_t) == 0 && range_known(ptr, sizeof(uint64_t)), INVALID_VALUE);
    REQUIRE(j.flags <= flags_max, INVALID_VALUE);
    j.to = (struct place){(uintptr_t)ptr, true};
    return stream_submit(c, stream, j, false);
}

drv_result_t cuStreamWriteValue64_v2(drv_stream_t stream, drv_ptr_t ptr, drv_u64_t value, unsigned int flags)
{
    ENTER_CONTEXT(cuStreamWriteValue64, c);
    return submit(c, stream, ptr, (struct job){.run = run_write, .value = value, .flags = flags},
                  DRV_CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER);
}

drv_result_t cuStreamWaitValue64_v2(drv_stream_t stream, drv_ptr_t ptr, drv_u64_t value, unsigned int flags)
{
    ENTER_CONTEXT(cuStreamWaitValue64, c);
    return submit(c, stream, ptr, (struct job){.run = run_wait, .value = value, .flags = flags},
                  DRV_CU_STREAM_WAIT_VALUE_NOR);
}

/* Calls of the driver are refused while the function runs, as CUDA forbids them. */
static drv_result_t run_function(struct context *c, struct job *j)
{
    (void)c;
    in_host_function = true;
    j->fn(j->data);
    in_host_function = false;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuLaunchHostFunc(drv_stream_t stream, drv_host_fn_t fn, void *data)
{
    ENTER_CONTEXT(cuLaunchHostFunc, c);
    REQUIRE(fn != NULL, INVALID_VALUE);
    return stream_submit(c, stream, (struct job){.run = run_function, .fn = fn, .data = data}, false);
}
