/* SPDX-License-Identifier: MIT */
/*
 * Events across processes: order between streams without the host waiting. Role 0 opens the event and waits for it,
 * role 1 makes and records it.
 *
 * Both sides also see one word of shared memory: the data that the event orders.
 */
#include "conformance.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SHARED (DRV_CU_EVENT_INTERPROCESS | DRV_CU_EVENT_DISABLE_TIMING)
#define AREA   ((size_t)65536)

struct side {
    drv_event_t event;
    unsigned char *area; /* shared by both roles, registered in each */
    drv_ptr_t ptr;
};

/* Role 1. */
static void side_make(struct role *r, struct side *s)
{
    drv_ipc_event_t handle;

    CU(r, cuEventCreate, &s->event, SHARED);
    CU(r, cuIpcGetEventHandle, &handle, s->event);
    role_send(r, 0, &handle, sizeof(handle));
    s->area = area_make(r, AREA, &s->ptr);
}

/* Role 0. */
static void side_open(struct role *r, struct side *s)
{
    drv_ipc_event_t handle;

    role_recv(r, 1, &handle, sizeof(handle));
    s->area = area_open(r, AREA, &s->ptr);
    CU(r, cuIpcOpenEventHandle, &s->event, handle);
}

static void side_close(struct role *r, struct side *s)
{
    CU(r, cuEventDestroy, s->event);
    area_close(r, s->area, AREA);
}

/* ---- a wait orders the work of two processes ---- */

static void record_behind_gate(struct role *r)
{
    struct side s;
    struct gate g;

    side_make(r, &s);
    gate_close(r, r->stream, &g);
    CU(r, cuMemsetD8Async, s.ptr, 0x5a, AREA / 2, r->stream);
    CU(r, cuEventRecord, s.event, r->stream);
    role_say(r, 0);
    role_hear(r, 0);
    gate_open(r, &g);
    role_hear(r, 0);
    side_close(r, &s);
}

static void wait_for_record(struct role *r)
{
    struct side s;

    side_open(r, &s);
    role_hear(r, 1);
    CU(r, cuStreamWaitEvent, r->stream, s.event, 0);
    /* Second half := first half, and not before the other process has written that. */
    CU(r, cuMemcpyDtoDAsync, s.ptr + AREA / 2, s.ptr, AREA / 2, r->stream);
    CHECK(r, r->cu->cuStreamQuery(r->stream) == DRV_CUDA_ERROR_NOT_READY);
    CHECK(r, r->cu->cuEventQuery(s.event) == DRV_CUDA_ERROR_NOT_READY);
    role_say(r, 1);
    CU(r, cuStreamSynchronize, r->stream);
    CHECK(r, r->cu->cuEventQuery(s.event) == DRV_CUDA_SUCCESS);
    for (size_t i = 0; i < AREA; i++)
        CHECK(r, s.area[i] == 0x5a);
    role_say(r, 1);
    side_close(r, &s);
}

/* ---- state is captured when the wait is enqueued ---- */

static void record_twice(struct role *r)
{
    struct side s;
    struct gate g;

    side_make(r, &s);
    CU(r, cuEventRecord, s.event, r->stream);
    CU(r, cuStreamSynchronize, r->stream);
    role_say(r, 0);
    role_hear(r, 0);
    /* The other has a wait in its stream, behind a gate; this record must not move it. */
    gate_close(r, r->stream, &g);
    CU(r, cuEventRecord, s.event, r->stream);
    role_say(r, 0);
    role_hear(r, 0);
    gate_open(r, &g);
    CU(r, cuStreamSynchronize, r->stream);
    role_say(r, 0);
    side_close(r, &s);
}

static void wait_for_first(struct role *r)
{
    struct side s;
    struct gate g;

    side_open(r, &s);
    role_hear(r, 1);
    gate_close(r, r->stream, &g);
    CU(r, cuStreamWaitEvent, r->stream, s.event, 0);
    role_say(r, 1);
    role_hear(r, 1);
    CHECK(r, r->cu->cuEventQuery(s.event) == DRV_CUDA_ERROR_NOT_READY);
    gate_open(r, &g);
    /* Ends although the event, as recorded now, is not done. */
    CU(r, cuStreamSynchronize, r->stream);
    CHECK(r, r->cu->cuEventQuery(s.event) == DRV_CUDA_ERROR_NOT_READY);
    role_say(r, 1);
    role_hear(r, 1);
    side_close(r, &s);
}

static void never_recorded(struct role *r)
{
    struct side s;

    side_open(r, &s);
    CHECK(r, r->cu->cuEventQuery(s.event) == DRV_CUDA_SUCCESS);
    CU(r, cuStreamWaitEvent, r->stream, s.event, 0);
    CU(r, cuStreamSynchronize, r->stream);
    role_say(r, 1);
    side_close(r, &s);
}

static void make_only(struct role *r)
{
    struct side s;

    side_make(r, &s);
    role_hear(r, 0);
    side_close(r, &s);
}

/* ---- the importer records ---- */

static void importer_records(struct role *r)
{
    struct side s;
    struct gate g;

    side_open(r, &s);
    gate_close(r, r->stream, &g);
    CU(r, cuEventRecord, s.event, r->stream);
    role_say(r, 1);
    role_hear(r, 1);
    gate_open(r, &g);
    CU(r, cuStreamSynchronize, r->stream);
    role_say(r, 1);
    role_hear(r, 1);
    side_close(r, &s);
}

static void maker_waits(struct role *r)
{
    struct side s;

    side_make(r, &s);
    role_hear(r, 0);
    CU(r, cuStreamWaitEvent, r->stream, s.event, 0);
    CHECK(r, r->cu->cuStreamQuery(r->stream) == DRV_CUDA_ERROR_NOT_READY);
    role_say(r, 0);
    CU(r, cuStreamSynchronize, r->stream);
    role_hear(r, 0);
    CHECK(r, r->cu->cuEventQuery(s.event) == DRV_CUDA_SUCCESS);
    role_say(r, 0);
    side_close(r, &s);
}

/* ---- one process: what is refused ---- */

static void refused(struct role *r)
{
    drv_ipc_event_t handle;
    drv_event_t event;
    drv_result_t error;

    CU_FAILS(r, cuEventCreate, &event, DRV_CU_EVENT_INTERPROCESS);
    CU(r, cuEventCreate, &event, DRV_CU_EVENT_DISABLE_TIMING);
    error = CU_FAILS(r, cuIpcGetEventHandle, &handle, event);
    role_fact(r, "a handle of a private event: %d %s", error, result_name(error));
    CU(r, cuEventDestroy, event);
    memset(&handle, 0x5a, sizeof(handle));
    error = CU_FAILS(r, cuIpcOpenEventHandle, &event, handle);
    role_fact(r, "opening garbage: %d %s", error, result_name(error));
    check_context(r);
}

static void open_own(struct role *r)
{
    drv_event_t event, again = NULL;
    drv_ipc_event_t handle;
    drv_result_t result;

    CU(r, cuEventCreate, &event, SHARED);
    CU(r, cuIpcGetEventHandle, &handle, event);
    result = r->cu->cuIpcOpenEventHandle(&again, handle);
    fact_result(r, result);
    if (result == DRV_CUDA_SUCCESS)
        CU(r, cuEventDestroy, again);
    CU(r, cuEventDestroy, event);
    check_context(r);
}

/* ---- deaths ---- */

static void make_and_die(struct role *r)
{
    struct side s;

    side_make(r, &s);
    role_hear(r, 0);
    role_die(r);
}

static void open_of_dead(struct role *r)
{
    drv_ipc_event_t handle;
    drv_event_t event;
    drv_result_t result;

    role_recv(r, 1, &handle, sizeof(handle));
    close(role_recv_fd(r, 1));
    role_say(r, 1);
    role_await_death(r, 1);
    result = r->cu->cuIpcOpenEventHandle(&event, handle);
    fact_result(r, result);
    if (result == DRV_CUDA_SUCCESS)
        CU(r, cuEventDestroy, event);
    check_context(r);
}

static void record_and_die(struct role *r)
{
    struct side s;

    side_make(r, &s);
    CU(r, cuEventRecord, s.event, r->stream);
    CU(r, cuStreamSynchronize, r->stream);
    role_say(r, 0);
    role_hear(r, 0);
    role_die(r);
}

static void wait_for_done_of_dead(struct role *r)
{
    drv_result_t result;
    struct side s;

    side_open(r, &s);
    role_hear(r, 1);
    role_say(r, 1);
    role_await_death(r, 1);
    CU(r, cuStreamWaitEvent, r->stream, s.event, 0);
    CHECK(r, stream_ends(r, r->stream, 10000, &result));
    role_fact(r, "the wait ends with %d", result);
    if (result != DRV_CUDA_SUCCESS)
        role_leave(r);
    side_close(r, &s);
}

static void die_behind_gate(struct role *r)
{
    struct side s;
    struct gate g;

    side_make(r, &s);
    gate_close(r, r->stream, &g);
    CU(r, cuEventRecord, s.event, r->stream);
    role_say(r, 0);
    role_hear(r, 0);
    role_die(r);
}

/* Nobody promises anything: only that this process can tell, and leave. */
static void wait_for_open_of_dead(struct role *r)
{
    drv_result_t result;
    struct side s;

    side_open(r, &s);
    role_hear(r, 1);
    CU(r, cuStreamWaitEvent, r->stream, s.event, 0);
    role_say(r, 1);
    role_await_death(r, 1);
    if (!stream_ends(r, r->stream, 2000, &result))
        role_fact(r, "the wait does not end within 2 s");
    else
        role_fact(r, "the wait ends with %d %s", result, result_name(result));
    role_leave(r);
}

static const struct test_case cases[] = {
    CASE_PROBE("event: a wait orders the work of two processes", wait_for_record, record_behind_gate),
    CASE("event: a wait captures the record it finds", wait_for_first, record_twice),
    CASE("event: one that was never recorded is no wait", never_recorded, make_only),
    CASE("event: the importer may record it", importer_records, maker_waits),
    CASE("event: what is not for others is refused", refused),
    CASE("event: a process opens its own handle", open_own),
    CASE_DYING(1u << 1, "event: a dead maker's handle is opened", open_of_dead, make_and_die),
    CASE_DYING(1u << 1, "event: the maker dies after the work", wait_for_done_of_dead, record_and_die),
    CASE_DYING(1u << 1, "event: the maker dies before the work", wait_for_open_of_dead, die_behind_gate),
};
const struct test_group event_cases = CASES(cases);
