/* SPDX-License-Identifier: MIT */
/*
 * Legacy memory handles: 64 bytes that stand for a block of another process.
 *
 * Opening a handle of the own process is refused; opening the same one again in one context gives the same address and
 * counts. What is mapped stays mapped when the exporter dies (nobody has told yet what a real driver does;
 * docs/GPU.md).
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

unsigned import_leaks(void)
{
    unsigned n = 0;

    pthread_rwlock_rdlock(&world);
    for (unsigned i = 0; i < region_count(); i++)
        n += region_at(i)->opens;
    pthread_rwlock_unlock(&world);
    return n;
}

/* What stops legacy handles on this machine; asked by every call that touches one. */
static bool unsupported(void)
{
    return mode(MODE_WSL) || mode(MODE_NOLEGACY);
}

drv_result_t cuIpcGetMemHandle(drv_ipc_mem_t *handle, drv_ptr_t ptr)
{
    drv_result_t result = DRV_CUDA_ERROR_INVALID_VALUE;
    uintptr_t base;
    size_t size;
    struct region *r;

    ENTER_CONTEXT(cuIpcGetMemHandle, c);
    if (handle == NULL)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if (unsupported())
        return DRV_CUDA_ERROR_NOT_SUPPORTED;
    pthread_rwlock_rdlock(&world);
    r = region_find((uintptr_t)ptr);
    /* Memory of the VMM calls, of the host and of others has no legacy handle. */
    if (r != NULL && r->kind == REGION_BLOCK) {
        allocation_range(r, (uintptr_t)ptr, &base, &size);
        backing_ticket(&r->backing, base - r->base, handle->reserved);
        result = DRV_CUDA_SUCCESS;
    }
    pthread_rwlock_unlock(&world);
    return result;
}

static struct region *import_find(const struct context *c, const struct meta *meta)
{
    for (unsigned i = 0; i < region_count(); i++) {
        struct region *r = region_at(i);

        if (r->kind == REGION_IMPORT && r->context == c && r->backing.meta->object_cookie == meta->object_cookie)
            return r;
    }
    return NULL;
}

/* Takes `b`; the region that shows it in this context, opened once more, or NULL. */
static struct region *import(struct context *c, struct backing *b)
{
    struct region *r = import_find(c, b->meta);

    if (r != NULL) {
        backing_close(b);
        r->opens++;
        return r;
    }
    r = calloc(1, sizeof(*r));
    if (r == NULL)
        goto failed;
    *r = (struct region){.kind = REGION_IMPORT,
                         .context = c,
                         .size = b->size,
                         .opens = 1,
                         .shadow = b->data,
                         .backing = *b,
                         .physical = b->meta->physical};
    r->base = address_reserve(r->size, BLOCK_SIZE);
    if (r->base == 0)
        goto failed;
    if (region_add(r) == 0)
        return r;
    address_release(r->base, r->size);
failed:
    backing_close(b);
    free(r);
    return NULL;
}

drv_result_t cuIpcOpenMemHandle_v2(drv_ptr_t *ptr, drv_ipc_mem_t handle, unsigned int flags)
{
    struct backing b;
    struct region *r;
    drv_result_t result;
    uint64_t offset;

    ENTER_CONTEXT(cuIpcOpenMemHandle, c);
    if (ptr == NULL || flags != DRV_CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if (unsupported())
        return DRV_CUDA_ERROR_NOT_SUPPORTED;
    result = backing_open(&b, BACKING_MEMORY, handle.reserved, &offset);
    if (result != DRV_CUDA_SUCCESS)
        return result;
    if (b.meta->physical != c->physical && mode(MODE_NOPEER)) {
        backing_close(&b);
        return DRV_CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
    }
    pthread_rwlock_wrlock(&world);
    r = import(c, &b);
    if (r != NULL)
        *ptr = r->base + offset;
    pthread_rwlock_unlock(&world);
    return r != NULL ? DRV_CUDA_SUCCESS : DRV_CUDA_ERROR_MAP_FAILED;
}

drv_result_t cuIpcCloseMemHandle(drv_ptr_t ptr)
{
    drv_result_t result = DRV_CUDA_ERROR_INVALID_VALUE;
    struct region *r;

    ENTER_CONTEXT(cuIpcCloseMemHandle, c);
    pthread_rwlock_wrlock(&world);
    r = region_find((uintptr_t)ptr);
    if (r != NULL && r->kind == REGION_IMPORT && r->context == c &&
        (r->base == (uintptr_t)ptr || mode(MODE_OWNRANGE))) {
        if (--r->opens == 0) {
            region_remove(r);
            region_free(r);
        }
        result = DRV_CUDA_SUCCESS;
    }
    pthread_rwlock_unlock(&world);
    return result;
}
