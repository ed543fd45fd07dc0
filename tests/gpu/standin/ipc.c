/* SPDX-License-Identifier: MIT */
/*
 * Legacy memory handles: 64 bytes that stand for a block of another process.
 *
 * Opening a handle of the own process is refused; opening the same one again in one context gives the same address and
 * counts. What is mapped stays mapped when the exporter dies (nobody has told yet what a real driver does;
 * docs/GPU.md).
 */
#include "internal.h"

/* What stops legacy handles on this machine. */
static bool unsupported(void)
{
    return mode(MODE_WSL | MODE_NOLEGACY);
}

drv_result_t cuIpcGetMemHandle(drv_ipc_mem_t *handle, drv_ptr_t ptr)
{
    struct region *r;
    uintptr_t base;
    size_t size;

    ENTER_CONTEXT(cuIpcGetMemHandle, c);
    REQUIRE(handle != NULL, INVALID_VALUE);
    REQUIRE(!unsupported(), NOT_SUPPORTED);
    READ_WORLD();
    r = region_find((uintptr_t)ptr);
    /* Memory of the VMM calls, of the host and of others has no legacy handle. */
    REQUIRE(r != NULL && r->kind == REGION_BLOCK, INVALID_VALUE);
    allocation_range(r, (uintptr_t)ptr, &base, &size);
    backing_ticket(&r->backing, base - r->base, handle->reserved);
    return DRV_CUDA_SUCCESS;
}

/* Takes `b`; the region that shows it in this context, opened once more, or NULL. */
static struct region *import(struct context *c, struct backing *b)
{
    struct region *r;

    for (unsigned i = 0; (r = region_at(i)) != NULL; i++)
        if (r->kind == REGION_IMPORT && r->context == c && r->backing.meta->object_cookie == b->meta->object_cookie)
            break;
    if (r != NULL) {
        backing_close(b);
    } else {
        r = region_new((struct region){.kind = REGION_IMPORT,
                                       .context = c,
                                       .size = b->size,
                                       .shadow = b->data,
                                       .backing = *b,
                                       .physical = b->meta->physical});
        if (r == NULL) {
            backing_close(b);
            return NULL;
        }
    }
    r->opens++;
    return r;
}

drv_result_t cuIpcOpenMemHandle_v2(drv_ptr_t *ptr, drv_ipc_mem_t handle, unsigned int flags)
{
    struct backing b;
    struct region *r;
    uint64_t offset;

    ENTER_CONTEXT(cuIpcOpenMemHandle, c);
    REQUIRE(ptr != NULL && flags == DRV_CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS, INVALID_VALUE);
    REQUIRE(!unsupported(), NOT_SUPPORTED);
    TRY(backing_open(&b, BACKING_MEMORY, handle.reserved, &offset));
    if (b.meta->physical != c->physical && mode(MODE_NOPEER)) {
        backing_close(&b);
        return DRV_CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
    }
    WRITE_WORLD();
    r = import(c, &b);
    REQUIRE(r != NULL, MAP_FAILED);
    *ptr = r->base + offset;
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuIpcCloseMemHandle(drv_ptr_t ptr)
{
    struct region *r;

    ENTER_CONTEXT(cuIpcCloseMemHandle, c);
    WRITE_WORLD();
    r = region_find((uintptr_t)ptr);
    REQUIRE(r != NULL && r->kind == REGION_IMPORT && r->context == c, INVALID_VALUE);
    REQUIRE(r->base == (uintptr_t)ptr || mode(MODE_OWNRANGE), INVALID_VALUE);
    if (--r->opens == 0)
        region_end(r);
    return DRV_CUDA_SUCCESS;
}
