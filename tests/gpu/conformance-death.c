/* SPDX-License-Identifier: MIT */
/*
 * Deaths of exporters and importers, by SIGKILL, around legacy handles.
 * (Those of VMM memory and events are with their own cases.)
 */
#include "conformance.h"

static void export_and_die(struct role *r)
{
    legacy_export(r, 0, 0xa5);
    role_die(r);
}

/* ---- dead before the open ---- */

/*
 * The socket of a dying process may close before the driver has heard of its death, so the refusal may come a moment
 * late; but it must come.
 */
static drv_result_t refused_soon(struct role *r, drv_ipc_mem_t handle)
{
    uint64_t deadline = now_ns() + (uint64_t)5 * 1000000000u;
    drv_result_t error;
    drv_ptr_t ptr;

    while ((error = r->cu->cuIpcOpenMemHandle(&ptr, handle, LAZY)) == DRV_CUDA_SUCCESS) {
        CU(r, cuIpcCloseMemHandle, ptr);
        CHECK(r, now_ns() < deadline);
    }
    return error;
}

static void open_of_dead(struct role *r)
{
    drv_ipc_mem_t handle = legacy_handle(r, 1);

    role_let_die(r, 1);
    fact_result(r, "opening", refused_soon(r, handle));
    check_context(r);
}

/* ---- dead while mapped: what is seen then is a fact, that one survives it is a check ---- */

/* When a fault of the device may have ended the context, there is nothing to detach: the role leaves. */
static void look_and_close(struct role *r, drv_ptr_t ptr)
{
    unsigned char byte = 0;
    drv_result_t look = r->cu->cuMemcpyDtoHAsync(&byte, ptr, 1, r->stream), close;

    if (look == DRV_CUDA_SUCCESS)
        look = r->cu->cuStreamSynchronize(r->stream);
    close = r->cu->cuIpcCloseMemHandle(ptr);
    role_fact(r, "a copy gives %d, %s; closing gives %d", look,
              look != 0      ? "no bytes"
              : byte == 0xa5 ? "the old bytes"
                             : "other bytes",
              close);
    if (look != DRV_CUDA_SUCCESS || close != DRV_CUDA_SUCCESS)
        role_leave(r);
    check_context(r);
}

static void use_of_dead(struct role *r)
{
    drv_ptr_t ptr = legacy_import(r, 1);

    check_bytes(r, ptr, 0xa5, SIZE);
    role_let_die(r, 1);
    look_and_close(r, ptr);
}

/* ---- dead while being opened, at several moments ---- */

static void open_of_dying(struct role *r)
{
    int opened = 0, refused = 0;
    drv_result_t error;
    drv_ptr_t ptr;

    for (int i = 1; i < r->count; i++) {
        drv_ipc_mem_t handle = legacy_handle(r, i);

        /* The kill is on its way while we open; how far it got differs each time. */
        for (int n = 0; n < 40; n++) {
            if (n == 5 * i)
                role_kill(r, i);
            error = r->cu->cuIpcOpenMemHandle(&ptr, handle, LAZY);
            if (error == DRV_CUDA_ERROR_NOT_SUPPORTED)
                role_skip(r, "cuIpcOpenMemHandle is not supported here");
            refused += error != DRV_CUDA_SUCCESS;
            opened += error == DRV_CUDA_SUCCESS;
            if (error == DRV_CUDA_SUCCESS)
                CU(r, cuIpcCloseMemHandle, ptr);
        }
        role_await_death(r, i);
        refused_soon(r, handle);
    }
    role_fact(r, "%d opened, %d refused", opened, refused);
    check_context(r);
}

/* ---- dead importers: here role 0 exports ---- */

static void export_to_dying(struct role *r)
{
    drv_ptr_t ptr = legacy_export(r, 1, 0xa5);
    drv_ipc_mem_t handle;

    role_hear(r, 1);
    role_kill(r, 1);
    role_await_death(r, 1);
    /* The exporter and a later importer notice nothing. */
    check_bytes(r, ptr, 0xa5, SIZE);
    CU(r, cuIpcGetMemHandle, &handle, ptr);
    role_send(r, 2, &handle, sizeof(handle));
    role_hear(r, 2);
    check_bytes(r, ptr, 0x66, SIZE);
    CU(r, cuMemFree, ptr);
    check_context(r);
}

static void import_and_die(struct role *r)
{
    check_bytes(r, legacy_import(r, 0), 0xa5, SIZE);
    role_say(r, 0);
    role_await_the_kill(r);
}

static void import_after_death(struct role *r)
{
    drv_ptr_t ptr = legacy_import(r, 0);

    check_bytes(r, ptr, 0xa5, SIZE);
    fill(r, ptr, 0x66, SIZE);
    CU(r, cuIpcCloseMemHandle, ptr);
    role_say(r, 0);
}

/* ---- freed under the importer: undefined by the manual, so only a fact ---- */

static void free_under_importer(struct role *r)
{
    legacy_lend(r);
    role_say(r, 0);
}

static void look_at_freed(struct role *r)
{
    drv_ptr_t ptr = legacy_import(r, 1);

    role_say(r, 1);
    role_hear(r, 1);
    look_and_close(r, ptr);
}

const struct test_case death_cases[] = {
    {.name = "death: a dead exporter's handle cannot be opened", .roles = {open_of_dead, export_and_die}, .dying = 0x2},
    {.name = "death: the exporter dies while its memory is open", .roles = {use_of_dead, export_and_die}, .dying = 0x2},
    {.name = "death: exporters die while being opened",
     .roles = {open_of_dying, export_and_die, export_and_die, export_and_die},
     .dying = 0xe},
    {.name = "death: an importer dies with the memory open",
     .roles = {export_to_dying, import_and_die, import_after_death},
     .dying = 0x2},
    {.name = "undefined: memory is freed under its importer", .roles = {look_at_freed, free_under_importer}},
    {.name = NULL},
};
