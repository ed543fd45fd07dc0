/* SPDX-License-Identifier: MIT */
/*
 * Events: a point in a stream's work, also for other processes.
 *
 * Recording numbers the point; the stream reports the number when it gets there. A wait captures the number that is
 * recorded at the moment of the call: a later record doesn't move it, and an event that was never recorded is no wait
 * at all. So whoever waits before the record, or after the *next* one, waits for the wrong thing, as on a card.
 *
 * When the process dies between record and completion, nobody completes: waits of others never end (nobody has told yet
 * what a real driver does; docs/GPU.md).
 */
#include "internal.h"

#include <stdlib.h>

struct event {
    struct event *next;     /* events_lock */
    struct backing backing; /* fd -1: of this process alone */
    struct meta *meta;
    unsigned flags;
    _Atomic unsigned references;
};

static pthread_mutex_t events_lock = PTHREAD_MUTEX_INITIALIZER;
static struct event *events;

void event_unref(struct event *e)
{
    if (atomic_fetch_sub(&e->references, 1) != 1)
        return;
    if (e->backing.fd >= 0)
        backing_close(&e->backing);
    else
        free(e->meta);
    free(e);
}

unsigned event_leaks(void)
{
    unsigned n = 0;

    pthread_mutex_lock(&events_lock);
    for (const struct event *e = events; e != NULL; e = e->next)
        n++;
    pthread_mutex_unlock(&events_lock);
    return n;
}

/* A reference to a live event, or NULL. */
static struct event *get(drv_event_t handle)
{
    struct event *e;

    pthread_mutex_lock(&events_lock);
    for (e = events; e != NULL; e = e->next)
        if (e == (struct event *)(void *)handle)
            break;
    if (e != NULL)
        atomic_fetch_add(&e->references, 1);
    pthread_mutex_unlock(&events_lock);
    return e;
}

static drv_event_t publish(struct event *e)
{
    e->references = 1;
    pthread_mutex_lock(&events_lock);
    e->next = events;
    events = e;
    pthread_mutex_unlock(&events_lock);
    return (drv_event_t)(void *)e;
}

drv_result_t cuEventCreate(drv_event_t *event, unsigned int flags)
{
    const unsigned shared = DRV_CU_EVENT_INTERPROCESS | DRV_CU_EVENT_DISABLE_TIMING;
    struct event *e;
    bool failed;

    ENTER_CONTEXT(cuEventCreate, c);
    if (event == NULL || flags > 7 || ((flags & DRV_CU_EVENT_INTERPROCESS) != 0 && (flags & shared) != shared))
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if ((flags & DRV_CU_EVENT_INTERPROCESS) != 0 && mode(MODE_NOIPCEVENTS))
        return DRV_CUDA_ERROR_NOT_SUPPORTED;
    e = calloc(1, sizeof(*e));
    if (e == NULL)
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    e->flags = flags;
    e->backing.fd = -1;
    if ((flags & DRV_CU_EVENT_INTERPROCESS) != 0) {
        failed = backing_create(&e->backing, BACKING_EVENT, 0, c->physical) < 0;
        e->meta = e->backing.meta;
    } else {
        e->meta = calloc(1, sizeof(*e->meta));
        failed = e->meta == NULL;
    }
    if (failed) {
        free(e);
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    }
    *event = publish(e);
    return DRV_CUDA_SUCCESS;
}

/* Work that still refers to the event keeps it; the handle is gone. */
drv_result_t cuEventDestroy_v2(drv_event_t event)
{
    struct event **link, *e;

    ENTER_CONTEXT(cuEventDestroy, c);
    pthread_mutex_lock(&events_lock);
    for (link = &events; (e = *link) != NULL; link = &e->next)
        if (e == (struct event *)(void *)event)
            break;
    if (e != NULL)
        *link = e->next;
    pthread_mutex_unlock(&events_lock);
    if (e == NULL)
        return DRV_CUDA_ERROR_INVALID_HANDLE;
    if (e->backing.fd >= 0 && backing_is_own(&e->backing))
        backing_retire(&e->backing);
    event_unref(e);
    return DRV_CUDA_SUCCESS;
}

/* Numbers wrap: later means less than half the circle ahead. */
static bool reached(const struct event *e, uint32_t number)
{
    /* Acquire pairs with complete(): the work before the point is seen. */
    uint32_t done = atomic_load_explicit(&e->meta->completed, memory_order_acquire);

    return (int32_t)(done - number) >= 0;
}

/* Streams of several processes may record one event: the latest number stays. */
static void complete(const struct event *e, uint32_t number)
{
    uint32_t done = atomic_load_explicit(&e->meta->completed, memory_order_relaxed);

    while ((int32_t)(number - done) > 0 &&
           !atomic_compare_exchange_weak_explicit(&e->meta->completed, &done, number, memory_order_release,
                                                  memory_order_relaxed))
        ;
}

static drv_result_t run_record(struct stream *s, struct job *j)
{
    (void)s;
    complete(j->event, j->number);
    return DRV_CUDA_SUCCESS;
}

static drv_result_t run_wait(struct stream *s, struct job *j)
{
    unsigned round = 0;

    (void)s;
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
    struct job *j;

    ENTER_CONTEXT(cuEventRecord, c);
    e = get(event);
    if (e == NULL)
        return DRV_CUDA_ERROR_INVALID_HANDLE;
    j = job_new(run_record);
    if (j == NULL) {
        event_unref(e);
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    }
    j->event = e;
    j->accepted = number_record;
    return stream_submit(c, stream, j, false);
}

drv_result_t cuStreamWaitEvent(drv_stream_t stream, drv_event_t event, unsigned int flags)
{
    struct event *e;
    struct job *j;

    ENTER_CONTEXT(cuStreamWaitEvent, c);
    if (flags != DRV_CU_EVENT_WAIT_DEFAULT)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    e = get(event);
    if (e == NULL)
        return DRV_CUDA_ERROR_INVALID_HANDLE;
    j = job_new(run_wait);
    if (j == NULL) {
        event_unref(e);
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    }
    j->event = e;
    j->number = atomic_load_explicit(&e->meta->recorded, memory_order_acquire);
    return stream_submit(c, stream, j, false);
}

drv_result_t cuEventQuery(drv_event_t event)
{
    struct event *e;
    bool done;

    ENTER_CONTEXT(cuEventQuery, c);
    e = get(event);
    if (e == NULL)
        return DRV_CUDA_ERROR_INVALID_HANDLE;
    done = reached(e, atomic_load_explicit(&e->meta->recorded, memory_order_acquire));
    event_unref(e);
    return done ? DRV_CUDA_SUCCESS : DRV_CUDA_ERROR_NOT_READY;
}

drv_result_t cuEventSynchronize(drv_event_t event)
{
    unsigned round = 0;
    struct event *e;
    uint32_t number;

    ENTER_CONTEXT(cuEventSynchronize, c);
    trace_host_sync();
    e = get(event);
    if (e == NULL)
        return DRV_CUDA_ERROR_INVALID_HANDLE;
    number = atomic_load_explicit(&e->meta->recorded, memory_order_acquire);
    while (!reached(e, number) && c->sticky == DRV_CUDA_SUCCESS)
        device_pause(&round);
    event_unref(e);
    return c->sticky;
}

drv_result_t cuIpcGetEventHandle(drv_ipc_event_t *handle, drv_event_t event)
{
    drv_result_t result = DRV_CUDA_ERROR_INVALID_HANDLE;
    struct event *e;

    ENTER_CONTEXT(cuIpcGetEventHandle, c);
    if (handle == NULL)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if (mode(MODE_WSL) || mode(MODE_NOIPCEVENTS))
        return DRV_CUDA_ERROR_NOT_SUPPORTED;
    e = get(event);
    if (e == NULL)
        return DRV_CUDA_ERROR_INVALID_HANDLE;
    if (e->backing.fd >= 0 && backing_is_own(&e->backing)) {
        backing_ticket(&e->backing, 0, handle->reserved);
        result = DRV_CUDA_SUCCESS;
    }
    event_unref(e);
    return result;
}

drv_result_t cuIpcOpenEventHandle(drv_event_t *event, drv_ipc_event_t handle)
{
    struct backing b;
    struct event *e;
    drv_result_t result;
    uint64_t offset;

    ENTER_CONTEXT(cuIpcOpenEventHandle, c);
    if (event == NULL)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    if (mode(MODE_WSL) || mode(MODE_NOIPCEVENTS))
        return DRV_CUDA_ERROR_NOT_SUPPORTED;
    result = backing_open(&b, BACKING_EVENT, handle.reserved, &offset);
    if (result != DRV_CUDA_SUCCESS)
        return result;
    e = calloc(1, sizeof(*e));
    if (e == NULL) {
        backing_close(&b);
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    }
    e->backing = b;
    e->meta = b.meta;
    e->flags = DRV_CU_EVENT_INTERPROCESS | DRV_CU_EVENT_DISABLE_TIMING;
    *event = publish(e);
    return DRV_CUDA_SUCCESS;
}
