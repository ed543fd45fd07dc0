/* SPDX-License-Identifier: MIT */
/*
 * Shared memory of the host, registered with the driver of two processes. Role 1 makes it; both register it.
 */
#include "conformance.h"

#include <stdatomic.h>
#include <sys/mman.h>

#define AREA ((size_t)256 << 10)

/* ---- bytes ---- */

static void copy_out(struct role *r)
{
    drv_ptr_t shared, own = allocate(r, AREA);
    unsigned char *area = area_make(r, AREA, &shared);

    fill(r, own, 0xa5, AREA);
    CU(r, cuMemcpyDtoHAsync, area, own, AREA, r->stream);
    CU(r, cuStreamSynchronize, r->stream);
    role_say(r, 0);
    role_hear(r, 0);
    CU(r, cuMemFree, own);
    area_close(r, area, AREA);
}

static void copy_in(struct role *r)
{
    drv_ptr_t shared, own = allocate(r, AREA);
    unsigned char *area = area_open(r, AREA, &shared);

    role_fact(r, "the device's address is %s the host's", shared == (uintptr_t)area ? "the same as" : "another than");
    role_hear(r, 1);
    check_memory(r, area, 0xa5, AREA);
    CU(r, cuMemcpyDtoDAsync, own, shared, AREA, r->stream);
    check_bytes(r, own, 0xa5, AREA);
    CU(r, cuMemFree, own);
    role_say(r, 1);
    area_close(r, area, AREA);
}

/* The address may come from the middle of the area. */
static void inner_address(struct role *r)
{
    drv_ptr_t base, inside;
    unsigned char *area = area_make(r, AREA, &base);

    CU(r, cuMemHostGetDevicePointer, &inside, area + 4096, 0);
    CHECK(r, inside == base + 4096);
    fill(r, inside, 0x21, 16);
    CHECK(r, area[4095] == 0 && area[4096] == 0x21 && area[4111] == 0x21 && area[4112] == 0);
    area_close(r, area, AREA);
}

/* ---- registering ---- */

static void register_twice(struct role *r)
{
    drv_ptr_t ptr;
    void *area = area_make(r, AREA, &ptr);

    fact_result(r, "again", CU_FAILS(r, cuMemHostRegister, area, AREA, DRV_CU_MEMHOSTREGISTER_DEVICEMAP));
    CU(r, cuMemHostUnregister, area);
    fact_result(r, "unregistering twice", CU_FAILS(r, cuMemHostUnregister, area));
    host_register(r, area, AREA);
    area_close(r, area, AREA);
    check_context(r);
}

static void register_nothing(struct role *r)
{
    void *hole = mmap(NULL, AREA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    drv_ptr_t ptr;

    CHECK(r, hole != MAP_FAILED);
    munmap(hole, AREA);
    fact_result(r, "memory that isn't there",
                CU_FAILS(r, cuMemHostRegister, hole, AREA, DRV_CU_MEMHOSTREGISTER_DEVICEMAP));
    fact_result(r, "an address of memory that isn't registered", CU_FAILS(r, cuMemHostGetDevicePointer, &ptr, hole, 0));
    check_context(r);
}

/* Readers map a publisher's ring read-only: can a device then see it? */
static void register_read_only(struct role *r)
{
    const unsigned without = DRV_CU_MEMHOSTREGISTER_DEVICEMAP, with = without | DRV_CU_MEMHOSTREGISTER_READ_ONLY;
    drv_result_t result[2];
    int fd;
    void *area = shared_new(r, AREA, &fd);

    close(fd);
    CHECK(r, mprotect(area, AREA, PROT_READ) == 0);
    for (int i = 0; i < 2; i++) {
        result[i] = r->cu->cuMemHostRegister(area, AREA, i == 0 ? without : with);
        if (result[i] == DRV_CUDA_SUCCESS)
            CU(r, cuMemHostUnregister, area);
    }
    role_fact(r, "a read-only mapping: %d without, %d with READ_ONLY", result[0], result[1]);
    munmap(area, AREA);
    check_context(r);
}

/* ---- a function called by a stream ---- */

struct counted {
    _Atomic int calls;
    const struct gpu_driver *cu; /* set where a forbidden call is known to be harmless */
    drv_result_t inner;
};

static void count_call(void *data)
{
    struct counted *c = data;
    drv_ptr_t ptr;

    if (c->cu != NULL)
        c->inner = c->cu->cuMemAlloc(&ptr, 4096);
    atomic_fetch_add(&c->calls, 1);
}

static void host_function(struct role *r)
{
    struct counted c = {.calls = 0};

    c.cu = r->standin != NULL ? r->cu : NULL;
    gate_close(r);
    CU(r, cuLaunchHostFunc, r->stream, count_call, &c);
    CHECK(r, c.calls == 0);
    gate_open(r);
    CU(r, cuStreamSynchronize, r->stream);
    CHECK(r, c.calls == 1);
    /* A real driver may refuse a call from inside, or deadlock: it is not tempted. */
    CHECK(r, c.cu == NULL || c.inner == DRV_CUDA_ERROR_NOT_PERMITTED);
}

const struct test_case host_cases[] = {
    {.name = "host: copies of one process are seen by the other", .roles = {copy_in, copy_out}, .probe = true},
    {.name = "host: addresses inside registered memory", .roles = {inner_address}},
    {.name = "host: registering twice is refused", .roles = {register_twice}},
    {.name = "host: what isn't there cannot be registered", .roles = {register_nothing}},
    {.name = "host: a read-only mapping is registered", .roles = {register_read_only}},
    {.name = "host: a function is called in a stream's order", .roles = {host_function}},
    {.name = NULL},
};
