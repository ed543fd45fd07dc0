/* SPDX-License-Identifier: MIT */
/* Memory of the VMM calls, handed over as a descriptor. Role 0 imports, role 1 exports. */
#include "conformance.h"

#include <fcntl.h>

static void export_and_look(struct role *r)
{
    struct vmm_block b;

    vmm_send(r, 0, 0, &b, 0xa5);
    role_hear(r, 0);
    check_bytes(r, b.ptr, 0x3c, b.size);
    vmm_free(r, &b);
}

static void import_look_write(struct role *r)
{
    struct vmm_block b;

    vmm_import(r, &b, vmm_receive(r, 1, &b));
    check_bytes(r, b.ptr, 0xa5, b.size);
    fill(r, b.ptr, 0x3c, b.size);
    role_say(r, 1);
    vmm_free(r, &b);
}

/* ---- one process ---- */

/* Writes where no device may; gives the error. The context may be lost with that. */
static drv_result_t write_forbidden(struct role *r, const struct vmm_block *b)
{
    drv_result_t error = r->cu->cuMemsetD8Async(b->ptr, 1, b->size, r->stream);

    if (error == DRV_CUDA_SUCCESS)
        error = r->cu->cuStreamSynchronize(r->stream);
    CHECK(r, error != DRV_CUDA_SUCCESS);
    return error;
}

static void access_before_leave(struct role *r)
{
    drv_mem_prop_t prop = vmm_prop(r, DRV_CU_MEM_HANDLE_TYPE_NONE);
    struct vmm_block b = {.size = SIZE};
    drv_ptr_t other;

    CU(r, cuMemCreate, &b.handle, b.size, &prop, 0);
    vmm_map(r, &b);
    fact_result(r, "writing", write_forbidden(r, &b));
    fact_result(r, "the next call", r->cu->cuMemAlloc(&other, 4096));
    role_leave(r);
}

static void handle_before_mapping(struct role *r)
{
    struct vmm_block b;

    vmm_create(r, &b, SIZE);
    /* The mapping keeps the memory; the handle may go first. */
    CU(r, cuMemRelease, b.handle);
    fill(r, b.ptr, 0x42, b.size);
    check_bytes(r, b.ptr, 0x42, b.size);
    CU(r, cuMemUnmap, b.ptr, b.size);
    CU(r, cuMemAddressFree, b.ptr, b.size);
    check_context(r);
}

static void unmapped(struct role *r)
{
    struct vmm_block b;

    vmm_create(r, &b, SIZE);
    vmm_free(r, &b);
    fact_result(r, "writing", write_forbidden(r, &b));
    role_leave(r);
}

static void own_descriptor(struct role *r)
{
    struct vmm_block b, again;

    vmm_create(r, &b, SIZE);
    fill(r, b.ptr, 0x42, b.size);
    again.size = b.size;
    vmm_import(r, &again, vmm_export(r, b.handle));
    check_bytes(r, again.ptr, 0x42, again.size);
    fill(r, again.ptr, 0x43, again.size);
    check_bytes(r, b.ptr, 0x43, b.size);
    role_fact(r, "the handle is %s", again.handle == b.handle ? "the same" : "another");
    vmm_free(r, &again);
    vmm_free(r, &b);
}

static void retained(struct role *r)
{
    struct vmm_block b, again;
    drv_mem_handle_t handle;

    vmm_create(r, &b, SIZE);
    fill(r, b.ptr, 0x42, b.size);
    CU(r, cuMemRetainAllocationHandle, &handle, (void *)(uintptr_t)(b.ptr + MIB));
    again.size = b.size;
    vmm_import(r, &again, vmm_export(r, handle));
    check_bytes(r, again.ptr, 0x42, again.size);
    vmm_free(r, &again);
    CU(r, cuMemRelease, handle);
    vmm_free(r, &b);
}

static void not_exportable(struct role *r)
{
    drv_mem_prop_t prop = vmm_prop(r, DRV_CU_MEM_HANDLE_TYPE_NONE);
    drv_mem_handle_t handle;
    int fd = -1;

    CU(r, cuMemCreate, &handle, SIZE, &prop, 0);
    fact_result(r, "exporting", CU_FAILS(r, cuMemExportToShareableHandle, &fd, handle, FD_TYPE, 0));
    CU(r, cuMemRelease, handle);
    check_context(r);
}

static void foreign_descriptor(struct role *r)
{
    drv_mem_handle_t handle;
    int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);

    need_vmm(r);
    CHECK(r, fd >= 0);
    fact_result(r, "importing", CU_FAILS(r, cuMemImportFromShareableHandle, &handle, (void *)(intptr_t)fd, FD_TYPE));
    close(fd);
    check_context(r);
}

static void no_legacy_handle(struct role *r)
{
    drv_ipc_mem_t handle;
    struct vmm_block b;

    vmm_create(r, &b, SIZE);
    fact_result(r, "the call", CU_FAILS(r, cuIpcGetMemHandle, &handle, b.ptr));
    vmm_free(r, &b);
    check_context(r);
}

static void odd_sizes(struct role *r)
{
    drv_mem_prop_t prop = vmm_prop(r, FD_TYPE);
    drv_mem_handle_t handle;
    size_t granularity;
    drv_ptr_t ptr;

    CU(r, cuMemGetAllocationGranularity, &granularity, &prop, DRV_CU_MEM_ALLOC_GRANULARITY_MINIMUM);
    role_fact(r, "the granularity is %zu", granularity);
    CU_FAILS(r, cuMemCreate, &handle, granularity + 1, &prop, 0);
    CU_FAILS(r, cuMemAddressReserve, &ptr, granularity + 1, 0, 0, 0);
    check_context(r);
}

/* ---- deaths ---- */

static void export_and_die(struct role *r)
{
    struct vmm_block b;

    vmm_send(r, 0, 0, &b, 0xa5);
    role_die(r);
}

static void outlives_exporter(struct role *r)
{
    struct vmm_block b;

    vmm_import(r, &b, vmm_receive(r, 1, &b));
    role_let_die(r, 1);
    check_bytes(r, b.ptr, 0xa5, b.size);
    fill(r, b.ptr, 0x31, b.size);
    check_bytes(r, b.ptr, 0x31, b.size);
    vmm_free(r, &b);
    check_context(r);
}

static void import_of_dead(struct role *r)
{
    struct vmm_block b;
    int fd = vmm_receive(r, 1, &b);

    role_let_die(r, 1);
    vmm_import(r, &b, fd);
    check_bytes(r, b.ptr, 0xa5, b.size);
    vmm_free(r, &b);
}

static void import_of_dying(struct role *r)
{
    struct vmm_block b;

    for (int i = 1; i < r->count; i++) {
        int fd = vmm_receive(r, i, &b);

        for (int n = 0; n < 20; n++) {
            if (n == 4 * i)
                role_kill(r, i);
            vmm_import(r, &b, dup(fd));
            vmm_free(r, &b);
        }
        role_await_death(r, i);
        vmm_import(r, &b, fd);
        check_bytes(r, b.ptr, 0xa5, b.size);
        vmm_free(r, &b);
    }
}

/* Here role 0 exports. */
static void export_to_dying(struct role *r)
{
    struct vmm_block b;

    vmm_send(r, 1, r->count - 1, &b, 0xa5);
    for (int i = 1; i < r->count; i++) {
        role_hear(r, i);
        role_kill(r, i);
        role_await_death(r, i);
        check_bytes(r, b.ptr, 0xa5, b.size);
    }
    vmm_free(r, &b);
    check_context(r);
}

static void import_and_die(struct role *r)
{
    struct vmm_block b;

    vmm_import(r, &b, vmm_receive(r, 0, &b));
    check_bytes(r, b.ptr, 0xa5, b.size);
    role_say(r, 0);
    role_await_the_kill(r);
}

const struct test_case vmm_cases[] = {
    {.name = "vmm: both sides see each other's bytes", .roles = {import_look_write, export_and_look}, .probe = true},
    {.name = "vmm: no access before cuMemSetAccess", .roles = {access_before_leave}},
    {.name = "vmm: a mapping keeps memory without its handle", .roles = {handle_before_mapping}},
    {.name = "vmm: unmapped addresses cannot be used", .roles = {unmapped}},
    {.name = "vmm: a process can import its own descriptor", .roles = {own_descriptor}},
    {.name = "vmm: a handle is found again by an address", .roles = {retained}},
    {.name = "vmm: only what was created for it is exported", .roles = {not_exportable}},
    {.name = "vmm: a foreign descriptor is refused", .roles = {foreign_descriptor}},
    {.name = "vmm: its memory has no legacy handle", .roles = {no_legacy_handle}},
    {.name = "vmm: sizes are multiples of the granularity", .roles = {odd_sizes}},
    {.name = "vmm: memory outlives its exporter", .roles = {outlives_exporter, export_and_die}, .dying = 0x2},
    {.name = "vmm: a dead exporter's descriptor can be imported",
     .roles = {import_of_dead, export_and_die},
     .dying = 0x2},
    {.name = "vmm: exporters die while being imported",
     .roles = {import_of_dying, export_and_die, export_and_die, export_and_die},
     .dying = 0xe},
    {.name = "vmm: importers die with the memory mapped",
     .roles = {export_to_dying, import_and_die, import_and_die},
     .dying = 0x6},
    {.name = NULL},
};
