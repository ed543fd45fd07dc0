/* SPDX-License-Identifier: MIT */
/*
 * Events across processes: order between streams without the host waiting.
 * Role 0 opens the event and waits for it, role 1 makes and records it.
 */
#include "conformance.h"

#include <string.h>

#define AREA ((size_t)65536)

/* Role 1 makes an event, role 0 opens it. */
static drv_event_t event_open(struct role *r)
{
    drv_event_t event;

    CU(r, cuIpcOpenEventHandle, &event, event_handle(r));
    return event;
}

static void close_when_told(struct role *r, drv_event_t event)
{
    role_hear(r, r->index == 0 ? 1 : 0);
    CU(r, cuEventDestroy, event);
}

static bool pending(struct role *r, drv_event_t event)
{
    return r->cu->cuEventQuery(event) == DRV_CUDA_ERROR_NOT_READY;
}

/* Records behind a closed gate, tells the other, and opens it when the other has seen that. */
static void record_late(struct role *r, drv_event_t event)
{
    int other = r->index == 0 ? 1 : 0;

    CU(r, cuEventRecord, event, r->stream);
    role_say(r, other);
    role_hear(r, other);
    gate_open(r);
}

/* ---- a wait orders the work of two processes: what it orders are the bytes of a shared area ---- */

static void record_behind_gate(struct role *r)
{
    drv_event_t event = event_export(r);
    drv_ptr_t ptr;
    void *area = area_make(r, AREA, &ptr);

    gate_close(r);
    CU(r, cuMemsetD8Async, ptr, 0x5a, AREA / 2, r->stream);
    record_late(r, event);
    close_when_told(r, event);
    area_close(r, area, AREA);
}

static void wait_for_record(struct role *r)
{
    drv_event_t event = event_open(r);
    drv_ptr_t ptr;
    void *area = area_open(r, AREA, &ptr);

    role_hear(r, 1);
    CU(r, cuStreamWaitEvent, r->stream, event, 0);
    /* Second half := first half, and not before the other process has written that. */
    CU(r, cuMemcpyDtoDAsync, ptr + AREA / 2, ptr, AREA / 2, r->stream);
    CHECK(r, r->cu->cuStreamQuery(r->stream) == DRV_CUDA_ERROR_NOT_READY);
    CHECK(r, pending(r, event));
    role_say(r, 1);
    CU(r, cuStreamSynchronize, r->stream);
    CU(r, cuEventQuery, event);
    check_memory(r, area, 0x5a, AREA);
    role_say(r, 1);
    CU(r, cuEventDestroy, event);
    area_close(r, area, AREA);
}

/* ---- state is captured when the wait is enqueued ---- */

static void record_twice(struct role *r)
{
    drv_event_t event = event_export(r);

    CU(r, cuEventRecord, event, r->stream);
    CU(r, cuStreamSynchronize, r->stream);
    role_say(r, 0);
    role_hear(r, 0);
    /* The other has a wait in its stream, behind a gate; this record must not move it. */
    gate_close(r);
    record_late(r, event);
    CU(r, cuStreamSynchronize, r->stream);
    role_say(r, 0);
    CU(r, cuEventDestroy, event);
}

static void wait_for_first(struct role *r)
{
    drv_event_t event = event_open(r);

    role_hear(r, 1);
    gate_close(r);
    CU(r, cuStreamWaitEvent, r->stream, event, 0);
    role_say(r, 1);
    role_hear(r, 1);
    CHECK(r, pending(r, event));
    gate_open(r);
    /* Ends although the event, as recorded now, is not done. */
    CU(r, cuStreamSynchronize, r->stream);
    CHECK(r, pending(r, event));
    role_say(r, 1);
    close_when_told(r, event);
}

static void never_recorded(struct role *r)
{
    drv_event_t event = event_open(r);

    CU(r, cuEventQuery, event);
    CU(r, cuStreamWaitEvent, r->stream, event, 0);
    CU(r, cuStreamSynchronize, r->stream);
    role_say(r, 1);
    CU(r, cuEventDestroy, event);
}

static void make_only(struct role *r)
{
    close_when_told(r, event_export(r));
}

/* ---- the importer records ---- */

static void importer_records(struct role *r)
{
    drv_event_t event = event_open(r);

    gate_close(r);
    record_late(r, event);
    CU(r, cuStreamSynchronize, r->stream);
    role_say(r, 1);
    close_when_told(r, event);
}

static void maker_waits(struct role *r)
{
    drv_event_t event = event_export(r);

    role_hear(r, 0);
    CU(r, cuStreamWaitEvent, r->stream, event, 0);
    CHECK(r, r->cu->cuStreamQuery(r->stream) == DRV_CUDA_ERROR_NOT_READY);
    role_say(r, 0);
    CU(r, cuStreamSynchronize, r->stream);
    role_hear(r, 0);
    CU(r, cuEventQuery, event);
    role_say(r, 0);
    CU(r, cuEventDestroy, event);
}

/* ---- one process: what is refused ---- */

static void refused(struct role *r)
{
    drv_ipc_event_t handle;
    drv_event_t event;

    CU_FAILS(r, cuEventCreate, &event, DRV_CU_EVENT_INTERPROCESS);
    CU(r, cuEventCreate, &event, DRV_CU_EVENT_DISABLE_TIMING);
    fact_result(r, "a handle of a private event", CU_FAILS(r, cuIpcGetEventHandle, &handle, event));
    CU(r, cuEventDestroy, event);
    memset(&handle, 0x5a, sizeof(handle));
    fact_result(r, "opening garbage", CU_FAILS(r, cuIpcOpenEventHandle, &event, handle));
    check_context(r);
}

static void open_own(struct role *r)
{
    drv_ipc_event_t handle;
    drv_event_t event;

    CU(r, cuEventCreate, &event, SHARED);
    CU(r, cuIpcGetEventHandle, &handle, event);
    event_try(r, handle);
    CU(r, cuEventDestroy, event);
    check_context(r);
}

/* ---- deaths ---- */

static void make_and_die(struct role *r)
{
    event_export(r);
    role_die(r);
}

static void open_of_dead(struct role *r)
{
    drv_ipc_event_t handle = event_handle(r);

    role_let_die(r, 1);
    event_try(r, handle);
    check_context(r);
}

static void record_and_die(struct role *r)
{
    CU(r, cuEventRecord, event_export(r), r->stream);
    CU(r, cuStreamSynchronize, r->stream);
    role_say(r, 0);
    role_die(r);
}

static void wait_for_done_of_dead(struct role *r)
{
    drv_event_t event = event_open(r);
    drv_result_t result;

    role_hear(r, 1);
    role_let_die(r, 1);
    CU(r, cuStreamWaitEvent, r->stream, event, 0);
    CHECK(r, stream_ends(r, r->stream, 10000, &result));
    role_fact(r, "the wait ends with %d", result);
    if (result != DRV_CUDA_SUCCESS)
        role_leave(r);
    CU(r, cuEventDestroy, event);
}

static void die_behind_gate(struct role *r)
{
    drv_event_t event = event_export(r);

    gate_close(r);
    CU(r, cuEventRecord, event, r->stream);
    role_say(r, 0);
    role_die(r);
}

/* Nobody promises anything: only that this process can tell, and leave. */
static void wait_for_open_of_dead(struct role *r)
{
    drv_event_t event = event_open(r);
    drv_result_t result;

    role_hear(r, 1);
    CU(r, cuStreamWaitEvent, r->stream, event, 0);
    role_let_die(r, 1);
    if (stream_ends(r, r->stream, 2000, &result))
        fact_result(r, "the end of the wait", result);
    else
        role_fact(r, "the wait does not end within 2 s");
    role_leave(r);
}

const struct test_case event_cases[] = {
    {.name = "event: a wait orders the work of two processes",
     .roles = {wait_for_record, record_behind_gate},
     .probe = true},
    {.name = "event: a wait captures the record it finds", .roles = {wait_for_first, record_twice}},
    {.name = "event: one that was never recorded is no wait", .roles = {never_recorded, make_only}},
    {.name = "event: the importer may record it", .roles = {importer_records, maker_waits}},
    {.name = "event: what is not for others is refused", .roles = {refused}},
    {.name = "event: a process opens its own handle", .roles = {open_own}},
    {.name = "event: a dead maker's handle is opened", .roles = {open_of_dead, make_and_die}, .dying = 0x2},
    {.name = "event: the maker dies after the work", .roles = {wait_for_done_of_dead, record_and_die}, .dying = 0x2},
    {.name = "event: the maker dies before the work", .roles = {wait_for_open_of_dead, die_behind_gate}, .dying = 0x2},
    {.name = NULL},
};
