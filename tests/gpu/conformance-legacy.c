/* SPDX-License-Identifier: MIT */
/*
 * Legacy memory handles: 64 bytes that stand for memory of another living process.
 * Role 0 imports, role 1 exports, unless a case says otherwise.
 */
#include "conformance.h"

#include <string.h>

static void export_and_look(struct role *r)
{
    drv_ptr_t ptr = legacy_export(r, 0, 0xa5);

    role_hear(r, 0);
    check_bytes(r, ptr, 0x3c, SIZE);
    CU(r, cuMemFree, ptr);
}

static void import_look_write(struct role *r)
{
    drv_ptr_t ptr = legacy_import(r, 1);

    check_bytes(r, ptr, 0xa5, SIZE);
    fill(r, ptr, 0x3c, SIZE);
    CU(r, cuIpcCloseMemHandle, ptr);
    role_say(r, 1);
}

static void open_own(struct role *r)
{
    drv_ptr_t ptr = allocate(r, SIZE), again;
    drv_ipc_mem_t handle;

    CU(r, cuIpcGetMemHandle, &handle, ptr);
    fact_result(r, "opening", CU_FAILS(r, cuIpcOpenMemHandle, &again, handle, LAZY));
    CU(r, cuMemFree, ptr);
    check_context(r);
}

/* ---- offsets: many allocations, maybe of one block ---- */

#define PIECES 5
#define PIECE  3000

struct piece {
    drv_ipc_mem_t handle;
    uint64_t offset;
};

static bool same(const drv_ipc_mem_t *a, const drv_ipc_mem_t *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static void export_pieces(struct role *r)
{
    struct piece pieces[PIECES];
    drv_ptr_t ptr[PIECES], base;
    int distinct = 0, inside = 0;
    size_t size;

    for (int i = 0; i < PIECES; i++) {
        ptr[i] = allocate(r, PIECE);
        fill(r, ptr[i], (unsigned char)(i + 1), PIECE);
        /* From inside the allocation: a handle is of the whole. */
        CU(r, cuIpcGetMemHandle, &pieces[i].handle, ptr[i] + 1000);
        CU(r, cuMemGetAddressRange, &base, &size, ptr[i] + 1000);
        CHECK(r, base <= ptr[i] && ptr[i] + PIECE <= base + size);
        pieces[i].offset = ptr[i] - base;
        inside += pieces[i].offset != 0;
        distinct += !same(&pieces[i].handle, &pieces[0].handle);
    }
    role_fact(r, "%d allocations of %d bytes: %d begin inside their range, %d handles differ from the first", PIECES,
              PIECE, inside, distinct);
    role_send(r, 0, pieces, sizeof(pieces));
    role_hear(r, 0);
    for (int i = 0; i < PIECES; i++)
        CU(r, cuMemFree, ptr[i]);
}

static void import_pieces(struct role *r)
{
    struct piece pieces[PIECES];
    drv_ptr_t ptr[PIECES];

    role_recv(r, 1, pieces, sizeof(pieces));
    for (int i = 0; i < PIECES; i++) {
        CU(r, cuIpcOpenMemHandle, &ptr[i], pieces[i].handle, LAZY);
        check_bytes(r, ptr[i] + pieces[i].offset, (unsigned char)(i + 1), PIECE);
    }
    for (int i = 0; i < PIECES; i++)
        CU(r, cuIpcCloseMemHandle, ptr[i]);
    role_say(r, 1);
}

static void export_interior(struct role *r)
{
    drv_ptr_t ptr = allocate(r, SIZE);
    drv_ipc_mem_t of_base, of_inside;

    fill(r, ptr, 0x11, SIZE);
    fill(r, ptr + MIB, 0x22, MIB);
    CU(r, cuIpcGetMemHandle, &of_base, ptr);
    CU(r, cuIpcGetMemHandle, &of_inside, ptr + MIB);
    role_fact(r, "handles of base and inside are %s", same(&of_base, &of_inside) ? "the same bytes" : "different");
    role_send(r, 0, &of_inside, sizeof(of_inside));
    role_hear(r, 0);
    CU(r, cuMemFree, ptr);
}

static void import_interior(struct role *r)
{
    drv_ptr_t ptr = legacy_import(r, 1);

    check_bytes(r, ptr, 0x11, MIB);
    check_bytes(r, ptr + MIB, 0x22, MIB);
    CU(r, cuIpcCloseMemHandle, ptr);
    role_say(r, 1);
}

/* ---- counting ---- */

static void import_twice(struct role *r)
{
    drv_ipc_mem_t handle = legacy_handle(r, 1);
    drv_ptr_t first, second;

    CU(r, cuIpcOpenMemHandle, &first, handle, LAZY);
    CU(r, cuIpcOpenMemHandle, &second, handle, LAZY);
    role_fact(r, "the second open gives %s address", first == second ? "the same" : "another");
    check_bytes(r, second, 0xa5, SIZE);
    CU(r, cuIpcCloseMemHandle, second);
    check_bytes(r, first, 0xa5, SIZE);
    CU(r, cuIpcCloseMemHandle, first);
    CU_FAILS(r, cuIpcCloseMemHandle, first);
    check_context(r);
    role_say(r, 1);
}

static void import_again_and_again(struct role *r)
{
    drv_ipc_mem_t handle = legacy_handle(r, 1);
    drv_ptr_t ptr;

    for (int i = 0; i <= 50; i++) {
        CU(r, cuIpcOpenMemHandle, &ptr, handle, LAZY);
        if (i == 50)
            check_bytes(r, ptr, 0xa5, SIZE);
        CU(r, cuIpcCloseMemHandle, ptr);
    }
    role_say(r, 1);
}

/* ---- handles that are none ---- */

static void export_freed(struct role *r)
{
    drv_ptr_t ptr = allocate(r, SIZE);
    drv_ipc_mem_t handle;

    CU(r, cuIpcGetMemHandle, &handle, ptr);
    CU(r, cuMemFree, ptr);
    role_send(r, 0, &handle, sizeof(handle));
    role_hear(r, 0);
}

static void import_freed(struct role *r)
{
    drv_ipc_mem_t handle = legacy_handle(r, 1);
    drv_ptr_t ptr;

    fact_result(r, "opening", CU_FAILS(r, cuIpcOpenMemHandle, &ptr, handle, LAZY));
    check_context(r);
    role_say(r, 1);
}

static void import_garbage(struct role *r)
{
    drv_ipc_mem_t handle;
    drv_ptr_t ptr;

    memset(&handle, 0x5a, sizeof(handle));
    fact_result(r, "opening", CU_FAILS(r, cuIpcOpenMemHandle, &ptr, handle, LAZY));
    check_context(r);
}

static void export_unknown(struct role *r)
{
    drv_ipc_mem_t handle;

    fact_result(r, "the call", CU_FAILS(r, cuIpcGetMemHandle, &handle, 0x1000));
    check_context(r);
}

/* ---- several importers: here role 0 exports ---- */

static void export_to_all(struct role *r)
{
    drv_ptr_t ptr = allocate(r, SIZE);
    drv_ipc_mem_t handle;

    fill(r, ptr, 0xa5, SIZE);
    CU(r, cuIpcGetMemHandle, &handle, ptr);
    for (int i = 1; i < r->count; i++)
        role_send(r, i, &handle, sizeof(handle));
    for (int i = 1; i < r->count; i++)
        role_hear(r, i);
    fill(r, ptr, 0x99, SIZE);
    /* One after the other lets go; the rest still see it. */
    for (int i = 1; i < r->count; i++) {
        role_say(r, i);
        role_hear(r, i);
    }
    CU(r, cuMemFree, ptr);
}

static void import_of_many(struct role *r)
{
    drv_ptr_t ptr = legacy_import(r, 0);

    check_bytes(r, ptr, 0xa5, SIZE);
    role_say(r, 0);
    role_hear(r, 0);
    check_bytes(r, ptr, 0x99, SIZE);
    CU(r, cuIpcCloseMemHandle, ptr);
    role_say(r, 0);
}

const struct test_case legacy_cases[] = {
    {.name = "legacy: both sides see each other's bytes", .roles = {import_look_write, export_and_look}, .probe = true},
    {.name = "legacy: a process cannot open its own handle", .roles = {open_own}},
    {.name = "legacy: range and offset lead to the right bytes",
     .roles = {import_pieces, export_pieces},
     .probe = true},
    {.name = "legacy: a handle of an inner pointer opens at the base", .roles = {import_interior, export_interior}},
    {.name = "legacy: opens are counted", .roles = {import_twice, legacy_lend}},
    {.name = "legacy: opened and closed fifty times", .roles = {import_again_and_again, legacy_lend}},
    {.name = "legacy: a freed allocation cannot be opened", .roles = {import_freed, export_freed}},
    {.name = "legacy: a handle of garbage is refused", .roles = {import_garbage}},
    {.name = "legacy: an unknown pointer has no handle", .roles = {export_unknown}},
    {.name = "legacy: three importers at once",
     .roles = {export_to_all, import_of_many, import_of_many, import_of_many}},
    {.name = NULL},
};
