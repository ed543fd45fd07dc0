/* SPDX-License-Identifier: MIT */
/*
 * Copies and fills.
 *
 * The rules of CUDA about host memory are kept, for they hide waits:
 *	to a device, pageable memory    taken at the call, lands later
 *	to a device, registered memory  read when the copy runs: it must not change before
 *	to the host, pageable memory    the call waits: a host synchronization
 *	to the host, registered memory  lands later
 */
#include "internal.h"

static drv_result_t run_copy(struct context *c, struct job *j)
{
    return memory_copy(c->physical, j->to, j->from, j->size);
}

static drv_result_t run_fill(struct context *c, struct job *j)
{
    return memory_fill(c->physical, j->to.address, (unsigned char)j->value, j->size);
}

static struct place device(drv_ptr_t ptr)
{
    return (struct place){(uintptr_t)ptr, true};
}

static struct place host(const void *ptr)
{
    return (struct place){(uintptr_t)ptr, false};
}

static bool pageable(struct place p, size_t size)
{
    return !p.device && !host_is_pinned((void *)p.address, size);
}

static drv_result_t copy(struct context *c, drv_stream_t stream, struct place to, struct place from, size_t size)
{
    struct job j = {.run = run_copy, .to = to, .from = from, .size = size};
    bool wait = pageable(to, size);

    REQUIRE(!to.device || range_known(to.address, size), INVALID_VALUE);
    REQUIRE(!from.device || range_known(from.address, size), INVALID_VALUE);
    if (pageable(from, size)) {
        j.staged = memcpy(make(size + 1), (void *)from.address, size);
        j.from = host(j.staged);
    }
    if (wait)
        trace_host_sync();
    return stream_submit(c, stream, j, wait);
}

drv_result_t cuMemcpyHtoDAsync_v2(drv_ptr_t to, const void *from, size_t size, drv_stream_t stream)
{
    ENTER_CONTEXT(cuMemcpyHtoDAsync, c);
    return copy(c, stream, device(to), host(from), size);
}

drv_result_t cuMemcpyDtoHAsync_v2(void *to, drv_ptr_t from, size_t size, drv_stream_t stream)
{
    ENTER_CONTEXT(cuMemcpyDtoHAsync, c);
    return copy(c, stream, host(to), device(from), size);
}

drv_result_t cuMemcpyDtoDAsync_v2(drv_ptr_t to, drv_ptr_t from, size_t size, drv_stream_t stream)
{
    ENTER_CONTEXT(cuMemcpyDtoDAsync, c);
    return copy(c, stream, device(to), device(from), size);
}

drv_result_t cuMemsetD8Async(drv_ptr_t to, unsigned char value, size_t count, drv_stream_t stream)
{
    ENTER_CONTEXT(cuMemsetD8Async, c);
    REQUIRE(range_known(to, count), INVALID_VALUE);
    return stream_submit(c, stream, (struct job){.run = run_fill, .to = device(to), .value = value, .size = count},
                         false);
}
