/* SPDX-License-Identifier: MIT */
/*
 * Events: a point in a stream's work, also for other processes.
 *
 * Recording numbers the point; the stream reports the number when it gets there. A wait captures the number that is
 * recorded at the moment of the call: a later record doesn't move it, and an event that was never recorded is no wait
 * at all. So whoever waits before the record, or after the *next* one, waits for the wrong thing, as on a card.
 *
 * When the process dies between record and completion, nobody completes: waits of others never end (nobody has told
 * yet what a real driver does; docs/GPU.md).
 */
#include "internal.h"

#define SHARED (DRV_CU_EVENT_INTERPROCESS | DRV_CU_EVENT_DISABLE_TIMING)

struct event {
    struct event *next; /* events_lock */
    struct backing backing;
    struct meta *meta; /* of the backing */
    bool shared;
    _Atomic unsigned references;
};

static pthread_mutex_t events_lock = PTHREAD_MUTEX_INITIALIZER;
static struct event *events;

void event_unref(struct event *e)
{
    if (atomic_fetch_sub(&e->references, 1) != 1)
        return;
    backing_close(&e->backing);
    free(e);
}

static void drop(struct event **e)
{
    if (*e != NULL)
        event_unref(*e);
}

unsigned event_leaks(void)
{
    unsigned n = 0;

    HOLD(&events_lock);
    for (const struct event *e = events; e != NULL; e = e->next)
        n++;
    return n;
}

/* A reference to a live event, or NULL. */
static struct event *get(drv_event_t handle)
{
    struct event *e;

    HOLD(&events_lock);
    e = events;
    while (e != NULL && e != (struct event *)(void *)handle)
        e = e->next;
    if (e != NULL)
        atomic_fetch_add(&e->references, 1);
    return e;
}

/* An event that has `b` behind it. */
static drv_event_t publish(const struct backing *b, bool shared)
{
    struct event *e = make(sizeof(*e));

    *e = (struct event){.backing = *b, .meta = b->meta, .shared = shared, .references = 1};
    HOLD(&events_lock);
    e->next = events;
    events = e;
    return (drv_event_t)(void *)e;
}

drv_result_t cuEventCreate(drv_event_t *event, unsigned int flags)
{
    bool shared = (flags & DRV_CU_EVENT_INTERPROCESS) != 0;
    struct backing b;

    ENTER_CONTEXT(cuEventCreate, c);
    REQUIRE(event != NULL && flags <= 7 && (!shared || (flags & SHARED) == SHARED), INVALID_VALUE);
    REQUIRE(!shared || !mode(MODE_NOIPCEVENTS), NOT_SUPPORTED);
    REQUIRE(backing_create(&b, BACKING_EVENT, 0, c->physical) == 0, OUT_OF_MEMORY);
    *event = publish(&b, shared);
    return DRV_CUDA_SUCCESS;
}

/* Work that still refers to the event keeps it; the handle is gone. */
drv_result_t cuEventDestroy_v2(drv_event_t event)
{
    struct event **link, *e;

    ENTER_CONTEXT(cuEventDestroy, c);
    {
        HOLD(&events_lock);
        link = &events;
        while ((e = *link) != NULL && e != (struct event *)(void *)event)
            link = &e->next;
        REQUIRE(e != NULL, INVALID_HANDLE);
        *link = e->next;
    }
    if (backing_is_own(&e->backing))
        backing_retire(&e->backing);
    event_unref(e);
    return DRV_CUDA_SUCCESS;
}

static uint32_t last_recorded(const struct event *e)
{
    return atomic_load_explicit(&e->meta->recorded, memory_order_acquire);
}

/* Numbers wrap: later means less than half the circle ahead. */
static bool reached(const struct event *e, uint32_t number)
{
    /* Acquire pairs with run_record(): the work before the point is seen. */
    uint32_t done = atomic_load_explicit(&e->meta->completed, memory_order_acquire);

    return (int32_t)(done - number) >= 0;
}

/* Streams of several processes may record one event: the latest number stays. */
static drv_result_t run_record(struct context *c, struct job *j)
{
    _Atomic uint32_t *completed = &j->event->meta->completed;
    uint32_t done = atomic_load_explicit(completed, memory_order_relaxed);

    (void)c;
    while (
        (int32_t)(j->number - done) > 0 &&
        !atomic_compare_exchange_weak_explicit(completed, &done, j->number, memory_order_release, memory_order_relaxed))
        ;
    return DRV_CUDA_SUCCESS;
}

static drv_result_t run_wait(struct context *c, struct job *j)
{
    unsigned round = 0;

    (void)c;
    while (!reached(j->event, j->number))
        device_pause(&round);
    return DRV_CUDA_SUCCESS;
}

/* Only work that will run takes a number: one that nobody completes would hang all waits. */
static void number_record(struct job *j)
{
    j->number = atomic_fetch_add_explicit(&j->event->meta->recorded, 1, memory_order_acq_rel) + 1;
}

drv_result_t cuEventRecord(drv_event_t event, drv_stream_t stream)
{
    struct event *e;

    ENTER_CONTEXT(cuEventRecord, c);
    e = get(event);
    REQUIRE(e != NULL, INVALID_HANDLE);
    return stream_submit(c, stream, (struct job){.run = run_record, .event = e, .accepted = number_record}, false);
}

drv_result_t cuStreamWaitEvent(drv_stream_t stream, drv_event_t event, unsigned int flags)
{
    struct event *e;

    ENTER_CONTEXT(cuStreamWaitEvent, c);
    REQUIRE(flags == DRV_CU_EVENT_WAIT_DEFAULT, INVALID_VALUE);
    e = get(event);
    REQUIRE(e != NULL, INVALID_HANDLE);
    return stream_submit(c, stream, (struct job){.run = run_wait, .event = e, .number = last_recorded(e)}, false);
}

drv_result_t cuEventQuery(drv_event_t event)
{
    ENTER_CONTEXT(cuEventQuery, c);
    UNTIL_END(drop) struct event *e = get(event);
    REQUIRE(e != NULL, INVALID_HANDLE);
    REQUIRE(reached(e, last_recorded(e)), NOT_READY);
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuEventSynchronize(drv_event_t event)
{
    unsigned round = 0;
    uint32_t number;

    ENTER_CONTEXT(cuEventSynchronize, c);
    trace_host_sync();
    UNTIL_END(drop) struct event *e = get(event);
    REQUIRE(e != NULL, INVALID_HANDLE);
    number = last_recorded(e);
    while (!reached(e, number) && c->sticky == DRV_CUDA_SUCCESS)
        device_pause(&round);
    return c->sticky;
}

drv_result_t cuIpcGetEventHandle(drv_ipc_event_t *handle, drv_event_t event)
{
    ENTER_CONTEXT(cuIpcGetEventHandle, c);
    REQUIRE(handle != NULL, INVALID_VALUE);
    REQUIRE(!mode(MODE_WSL | MODE_NOIPCEVENTS), NOT_SUPPORTED);
    UNTIL_END(drop) struct event *e = get(event);
    REQUIRE(e != NULL && e->shared && backing_is_own(&e->backing), INVALID_HANDLE);
    backing_ticket(&e->backing, 0, handle->reserved);
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuIpcOpenEventHandle(drv_event_t *event, drv_ipc_event_t handle)
{
    struct backing b;
    uint64_t offset;

    ENTER_CONTEXT(cuIpcOpenEventHandle, c);
    REQUIRE(event != NULL, INVALID_VALUE);
    REQUIRE(!mode(MODE_WSL | MODE_NOIPCEVENTS), NOT_SUPPORTED);
    TRY(backing_open(&b, BACKING_EVENT, handle.reserved, &offset));
    *event = publish(&b, true);
    return DRV_CUDA_SUCCESS;
}
