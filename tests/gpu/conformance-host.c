/* SPDX-License-Identifier: MIT */
/*
 * Shared memory of the host, registered with the driver of two processes. Role 1 makes it; both register it.
 */
#include "conformance.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define AREA ((size_t)256 << 10)

/* ---- bytes ---- */

static void copy_out(struct role *r)
{
    drv_ptr_t shared, own;
    unsigned char *area = area_make(r, AREA, &shared);

    CU(r, cuMemAlloc, &own, AREA);
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
    drv_ptr_t shared, own;
    unsigned char *area = area_open(r, AREA, &shared);

    role_fact(r, "the device's address is %s the host's", shared == (uintptr_t)area ? "the same as" : "another than");
    role_hear(r, 1);
    for (size_t i = 0; i < AREA; i++)
        CHECK(r, area[i] == 0xa5);
    CU(r, cuMemAlloc, &own, AREA);
    CU(r, cuMemcpyDtoDAsync, own, shared, AREA, r->stream);
    check_bytes(r, own, 0xa5, AREA);
    CU(r, cuMemFree, own);
    role_say(r, 1);
    area_close(r, area, AREA);
}

/* The address may come from the middle of the area. */
static void inner_address(struct role *r)
{
    unsigned char *area;
    drv_ptr_t base, inside;

    area = area_make(r, AREA, &base);
    CU(r, cuMemHostGetDevicePointer, &inside, area + 4096, 0);
    CHECK(r, inside == base + 4096);
    CU(r, cuMemsetD8Async, inside, 0x21, 16, r->stream);
    CU(r, cuStreamSynchronize, r->stream);
    CHECK(r, area[4095] == 0 && area[4096] == 0x21 && area[4111] == 0x21 && area[4112] == 0);
    area_close(r, area, AREA);
}

/* ---- registering ---- */

static void register_twice(struct role *r)
{
    unsigned char *area;
    drv_result_t error;
    int fd;

    fd = shared_fd(r, AREA);
    area = shared_map(r, fd, AREA);
    close(fd);
    host_register(r, area, AREA);
    error = CU_FAILS(r, cuMemHostRegister, area, AREA, DRV_CU_MEMHOSTREGISTER_DEVICEMAP);
    role_fact(r, "again: %d %s", error, result_name(error));
    CU(r, cuMemHostUnregister, area);
    error = CU_FAILS(r, cuMemHostUnregister, area);
    role_fact(r, "unregistering twice: %d %s", error, result_name(error));
    host_register(r, area, AREA);
    area_close(r, area, AREA);
    check_context(r);
}

static void register_nothing(struct role *r)
{
    drv_result_t error;
    drv_ptr_t ptr;
    void *hole;

    hole = mmap(NULL, AREA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(r, hole != MAP_FAILED);
    munmap(hole, AREA);
    error = CU_FAILS(r, cuMemHostRegister, hole, AREA, DRV_CU_MEMHOSTREGISTER_DEVICEMAP);
    role_fact(r, "memory that isn't there: %d %s", error, result_name(error));
    error = CU_FAILS(r, cuMemHostGetDevicePointer, &ptr, hole, 0);
    role_fact(r, "an address of memory that isn't registered: %d", error);
    check_context(r);
}

/* Readers map a publisher's ring read-only: can a device then see it? */
static void register_read_only(struct role *r)
{
    const unsigned flags[] = {DRV_CU_MEMHOSTREGISTER_DEVICEMAP,
                              DRV_CU_MEMHOSTREGISTER_DEVICEMAP | DRV_CU_MEMHOSTREGISTER_READ_ONLY};
    drv_result_t result[2];
    void *area;
    int fd;

    fd = shared_fd(r, AREA);
    area = mmap(NULL, AREA, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(r, area != MAP_FAILED);
    close(fd);
    for (int i = 0; i < 2; i++) {
        result[i] = r->cu->cuMemHostRegister(area, AREA, flags[i]);
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
    struct gate g;

    c.cu = r->standin != NULL ? r->cu : NULL;
    gate_close(r, r->stream, &g);
    CU(r, cuLaunchHostFunc, r->stream, count_call, &c);
    CHECK(r, c.calls == 0);
    gate_open(r, &g);
    CU(r, cuStreamSynchronize, r->stream);
    CHECK(r, c.calls == 1);
    /* A real driver may refuse a call from inside, or deadlock: it is not tempted. */
    CHECK(r, c.cu == NULL || c.inner == DRV_CUDA_ERROR_NOT_PERMITTED);
}

static const struct test_case cases[] = {
    CASE_PROBE("host: copies of one process are seen by the other", copy_in, copy_out),
    CASE("host: addresses inside registered memory", inner_address),
    CASE("host: registering twice is refused", register_twice),
    CASE("host: what isn't there cannot be registered", register_nothing),
    CASE("host: a read-only mapping is registered", register_read_only),
    CASE("host: a function is called in a stream's order", host_function),
};
const struct test_group host_cases = CASES(cases);
