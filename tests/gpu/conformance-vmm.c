/* SPDX-License-Identifier: MIT */
/*
 * Memory of the VMM calls, handed over as a descriptor. Role 0 imports, role 1 exports.
 */
#include "conformance.h"

#include <fcntl.h>
#include <unistd.h>

static void export_filled(struct role *r)
{
    struct vmm_block b;

    vmm_send(r, 0, &b, 0xa5);
    role_hear(r, 0);
    check_bytes(r, b.ptr, 0x3c, b.size);
    vmm_free(r, &b);
}

static void import_look_write(struct role *r)
{
    struct vmm_block b;

    vmm_receive(r, 1, &b);
    check_bytes(r, b.ptr, 0xa5, b.size);
    fill(r, b.ptr, 0x3c, b.size);
    role_say(r, 1);
    vmm_free(r, &b);
}

/* ---- one process ---- */

static void access_before_leave(struct role *r)
{
    drv_result_t error, after;
    struct vmm_block b = {.size = SIZE};
    drv_mem_prop_t prop;
    drv_ptr_t other;

    need_vmm(r);
    vmm_prop(r, &prop, DRV_CU_MEM_HANDLE_TYPE_NONE);
    CU(r, cuMemCreate, &b.handle, b.size, &prop, 0);
    vmm_map(r, &b);
    error = r->cu->cuMemsetD8Async(b.ptr, 1, b.size, r->stream);
    if (error == DRV_CUDA_SUCCESS)
        error = r->cu->cuStreamSynchronize(r->stream);
    CHECK(r, error != DRV_CUDA_SUCCESS);
    after = r->cu->cuMemAlloc(&other, 4096);
    role_fact(r, "%d %s; the next call gives %d", error, result_name(error), after);
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
    drv_result_t error;
    struct vmm_block b;

    vmm_create(r, &b, SIZE);
    vmm_free(r, &b);
    error = r->cu->cuMemsetD8Async(b.ptr, 1, b.size, r->stream);
    if (error == DRV_CUDA_SUCCESS)
        error = r->cu->cuStreamSynchronize(r->stream);
    CHECK(r, error != DRV_CUDA_SUCCESS);
    fact_result(r, error);
    role_leave(r);
}

static void own_descriptor(struct role *r)
{
    struct vmm_block b, again;

    vmm_create(r, &b, SIZE);
    fill(r, b.ptr, 0x42, b.size);
    vmm_import(r, &again, vmm_export(r, &b), b.size);
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
    again = (struct vmm_block){.handle = handle, .size = b.size};
    vmm_import(r, &again, vmm_export(r, &again), b.size);
    check_bytes(r, again.ptr, 0x42, again.size);
    vmm_free(r, &again);
    CU(r, cuMemRelease, handle);
    vmm_free(r, &b);
}

static void not_exportable(struct role *r)
{
    drv_mem_handle_t handle;
    drv_mem_prop_t prop;
    int fd = -1;

    need_vmm(r);
    vmm_prop(r, &prop, DRV_CU_MEM_HANDLE_TYPE_NONE);
    CU(r, cuMemCreate, &handle, SIZE, &prop, 0);
    fact_result(
        r, CU_FAILS(r, cuMemExportToShareableHandle, &fd, handle, DRV_CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    CU(r, cuMemRelease, handle);
    check_context(r);
}

static void foreign_descriptor(struct role *r)
{
    drv_mem_handle_t handle;
    drv_result_t error;
    int fd;

    need_vmm(r);
    fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
    CHECK(r, fd >= 0);
    error = CU_FAILS(r, cuMemImportFromShareableHandle, &handle, (void *)(intptr_t)fd,
                     DRV_CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
    close(fd);
    fact_result(r, error);
    check_context(r);
}

static void no_legacy_handle(struct role *r)
{
    drv_ipc_mem_t handle;
    struct vmm_block b;

    vmm_create(r, &b, SIZE);
    fact_result(r, CU_FAILS(r, cuIpcGetMemHandle, &handle, b.ptr));
    vmm_free(r, &b);
    check_context(r);
}

static void odd_sizes(struct role *r)
{
    drv_mem_handle_t handle;
    size_t granularity;
    drv_mem_prop_t prop;
    drv_ptr_t ptr;

    need_vmm(r);
    vmm_prop(r, &prop, DRV_CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
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

    vmm_send(r, 0, &b, 0xa5);
    role_hear(r, 0);
    role_die(r);
}

static void outlives_exporter(struct role *r)
{
    struct vmm_block b;

    vmm_receive(r, 1, &b);
    role_say(r, 1);
    role_await_death(r, 1);
    check_bytes(r, b.ptr, 0xa5, b.size);
    fill(r, b.ptr, 0x31, b.size);
    check_bytes(r, b.ptr, 0x31, b.size);
    vmm_free(r, &b);
    check_context(r);
}

static void import_of_dead(struct role *r)
{
    struct vmm_block b;
    size_t size;
    int fd;

    fd = vmm_descriptor(r, 1, &size);
    role_say(r, 1);
    role_await_death(r, 1);
    vmm_import(r, &b, fd, size);
    check_bytes(r, b.ptr, 0xa5, b.size);
    vmm_free(r, &b);
}

static void import_of_dying(struct role *r)
{
    struct vmm_block b;
    size_t size;
    int fd;

    need_vmm(r);
    for (int i = 1; i < r->count; i++) {
        role_recv(r, i, &size, sizeof(size));
        fd = role_recv_fd(r, i);
        for (int n = 0; n < 20; n++) {
            if (n == 4 * i)
                role_kill(r, i);
            vmm_import(r, &b, dup(fd), size);
            vmm_free(r, &b);
        }
        role_await_death(r, i);
        vmm_import(r, &b, fd, size);
        check_bytes(r, b.ptr, 0xa5, b.size);
        vmm_free(r, &b);
    }
}

/* Here role 0 exports. */
static void export_to_dying(struct role *r)
{
    struct vmm_block b;
    int fd;

    vmm_create(r, &b, SIZE);
    fill(r, b.ptr, 0xa5, b.size);
    fd = vmm_export(r, &b);
    for (int i = 1; i < r->count; i++) {
        role_send(r, i, &b.size, sizeof(b.size));
        role_send_fd(r, i, fd);
        role_hear(r, i);
        role_kill(r, i);
        role_await_death(r, i);
        check_bytes(r, b.ptr, 0xa5, b.size);
    }
    close(fd);
    vmm_free(r, &b);
    check_context(r);
}

static void import_and_wait(struct role *r)
{
    struct vmm_block b;

    vmm_receive(r, 0, &b);
    check_bytes(r, b.ptr, 0xa5, b.size);
    role_say(r, 0);
    role_hear(r, 0);
    role_fail(r, "was not killed");
}

static const struct test_case cases[] = {
    CASE_PROBE("vmm: both sides see each other's bytes", import_look_write, export_filled),
    CASE("vmm: no access before cuMemSetAccess", access_before_leave),
    CASE("vmm: a mapping keeps memory without its handle", handle_before_mapping),
    CASE("vmm: unmapped addresses cannot be used", unmapped),
    CASE("vmm: a process can import its own descriptor", own_descriptor),
    CASE("vmm: a handle is found again by an address", retained),
    CASE("vmm: only what was created for it is exported", not_exportable),
    CASE("vmm: a foreign descriptor is refused", foreign_descriptor),
    CASE("vmm: its memory has no legacy handle", no_legacy_handle),
    CASE("vmm: sizes are multiples of the granularity", odd_sizes),
    CASE_DYING(1u << 1, "vmm: memory outlives its exporter", outlives_exporter, export_and_die),
    CASE_DYING(1u << 1, "vmm: a dead exporter's descriptor can be imported", import_of_dead, export_and_die),
    CASE_DYING(0xe, "vmm: exporters die while being imported", import_of_dying, export_and_die, export_and_die,
               export_and_die),
    CASE_DYING(0x6, "vmm: importers die with the memory mapped", export_to_dying, import_and_wait, import_and_wait),
};
const struct test_group vmm_cases = CASES(cases);
