/* SPDX-License-Identifier: MIT */
/*
 * Streams: each a thread that does its work in order, after random delays.
 *
 * The delays are what makes the stand-in strict: a copy that was enqueued lands late, so whoever publishes before it
 * has finished is found out. They come from a seed (SHMQ_STANDIN_SEED) and the stream's number, so a run can be had
 * again.
 *
 * The default stream keeps CUDA's legacy rule: its work waits for all earlier work of the context's blocking streams,
 * and theirs for its. A fault of the device stays with the context; work behind it is skipped, and every later call
 * reports the fault.
 */
#include "internal.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

struct stream {
    struct stream *next; /* streams_lock */
    struct context *context;
    unsigned flags;
    bool hidden;     /* the default stream: no handle, no leak */
    uint64_t random; /* the worker's */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *first, **last;
    uint64_t submitted, completed;
    unsigned references; /* the list's or the worker's, and one per wait */
    bool closing;
};

static pthread_mutex_t streams_lock = PTHREAD_MUTEX_INITIALIZER;
static struct stream *streams;
static unsigned made, dropped;

struct context *stream_context(const struct stream *s)
{
    return s->context;
}

static void unref(struct stream *s)
{
    bool last;

    pthread_mutex_lock(&s->lock);
    last = --s->references == 0;
    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void wait_until(struct stream *s, uint64_t number)
{
    pthread_mutex_lock(&s->lock);
    while (s->completed < number)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static void pause_ns(long ns)
{
    struct timespec t = {ns / 1000000000, ns % 1000000000};

    nanosleep(&t, NULL);
}

void device_pause(unsigned *round)
{
    /* Quick at first, then easy on the processor: the wait may be for ever. */
    pause_ns(++*round < 20 ? 5000 : 50000);
}

static void random_delay(struct stream *s)
{
    unsigned max_us = config()->delay_us;

    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    if (max_us > 0)
        pause_ns((long)(s->random % max_us) * 1000);
}

static void job_free(struct job *j)
{
    for (unsigned i = 0; i < j->wait_count; i++)
        unref(j->waits[i].stream);
    free(j->waits);
    free(j->staged);
    if (j->event != NULL)
        event_unref(j->event);
    free(j);
}

static void job_run(struct stream *s, struct job *j)
{
    drv_result_t result;

    for (unsigned i = 0; i < j->wait_count; i++)
        wait_until(j->waits[i].stream, j->waits[i].number);
    random_delay(s);
    if (s->context->sticky != DRV_CUDA_SUCCESS)
        return;
    result = j->run(s, j);
    if (result != DRV_CUDA_SUCCESS)
        s->context->sticky = result;
}

static struct job *next_job(struct stream *s)
{
    struct job *j;

    pthread_mutex_lock(&s->lock);
    while (s->first == NULL && !s->closing)
        pthread_cond_wait(&s->changed, &s->lock);
    j = s->first;
    if (j != NULL) {
        s->first = j->next;
        if (s->first == NULL)
            s->last = &s->first;
    }
    pthread_mutex_unlock(&s->lock);
    return j;
}

static void *work(void *argument)
{
    struct stream *s = argument;
    struct job *j;

    while ((j = next_job(s)) != NULL) {
        job_run(s, j);
        job_free(j);
        pthread_mutex_lock(&s->lock);
        s->completed++;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
    }
    unref(s);
    return NULL;
}

static int start_worker(struct stream *s)
{
    sigset_t all, before;
    pthread_t thread;
    int failed;

    /* The program's signals are not for a thread that it doesn't know of. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&thread, NULL, work, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return -1;
    pthread_detach(thread);
    return 0;
}

/* streams_lock is held. */
static struct stream *stream_new(struct context *c, unsigned flags, bool hidden)
{
    struct stream *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->context = c;
    s->flags = flags;
    s->hidden = hidden;
    s->last = &s->first;
    s->references = 1;
    s->random = (config()->seed + ++made) * 0x9e3779b97f4a7c15u | 1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    if (start_worker(s) < 0) {
        unref(s);
        return NULL;
    }
    s->next = streams;
    streams = s;
    return s;
}

/* streams_lock is held. The worker finishes what was submitted, then frees the stream. */
static void stream_close(struct stream *s)
{
    struct stream **link = &streams;

    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* streams_lock is held. NULL stands for the default stream. */
static struct stream *lookup(struct context *c, drv_stream_t handle)
{
    struct stream *s = streams;

    if (handle == NULL) {
        if (c->null_stream == NULL)
            c->null_stream = stream_new(c, DRV_CU_STREAM_DEFAULT, true);
        return c->null_stream;
    }
    while (s != NULL && (s != (struct stream *)(void *)handle || s->hidden))
        s = s->next;
    return s;
}

/* ---- submitting ---- */

struct job *job_new(drv_result_t (*run)(struct stream *s, struct job *j))
{
    struct job *j = calloc(1, sizeof(*j));

    if (j != NULL)
        j->run = run;
    return j;
}

static int wait_add(struct job *j, struct stream *s)
{
    struct wait_for *bigger;

    bigger = realloc(j->waits, (j->wait_count + 1) * sizeof(*bigger));
    if (bigger == NULL)
        return -1;
    j->waits = bigger;
    pthread_mutex_lock(&s->lock);
    s->references++;
    bigger[j->wait_count++] = (struct wait_for){s, s->submitted};
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static int legacy_waits(struct stream *s, struct job *j)
{
    struct context *c = s->context;

    if (s != c->null_stream) {
        if ((s->flags & DRV_CU_STREAM_NON_BLOCKING) != 0 || c->null_stream == NULL)
            return 0;
        return wait_add(j, c->null_stream);
    }
    for (struct stream *other = streams; other != NULL; other = other->next)
        if (other->context == c && other != s && (other->flags & DRV_CU_STREAM_NON_BLOCKING) == 0 &&
            wait_add(j, other) < 0)
            return -1;
    return 0;
}

static uint64_t accept(struct stream *s, struct job *j)
{
    uint64_t number;

    if (j->accepted != NULL)
        j->accepted(j);
    pthread_mutex_lock(&s->lock);
    *s->last = j;
    s->last = &j->next;
    number = ++s->submitted;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return number;
}

drv_result_t stream_submit(struct context *c, drv_stream_t handle, struct job *j, bool wait)
{
    drv_result_t result = DRV_CUDA_SUCCESS;
    uint64_t number = 0;
    struct stream *s;

    if (j == NULL)
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_lock(&streams_lock);
    s = lookup(c, handle);
    if (s == NULL)
        result = DRV_CUDA_ERROR_INVALID_HANDLE;
    else if (legacy_waits(s, j) < 0)
        result = DRV_CUDA_ERROR_OUT_OF_MEMORY;
    else
        number = accept(s, j);
    if (result == DRV_CUDA_SUCCESS && wait) {
        pthread_mutex_lock(&s->lock);
        s->references++;
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_unlock(&streams_lock);
    if (result != DRV_CUDA_SUCCESS) {
        job_free(j);
        return result;
    }
    if (wait) {
        wait_until(s, number);
        unref(s);
        return c->sticky;
    }
    return result;
}

static drv_result_t run_nothing(struct stream *s, struct job *j)
{
    (void)s;
    (void)j;
    return DRV_CUDA_SUCCESS;
}

drv_result_t stream_drain(struct context *c)
{
    struct job *all = job_new(run_nothing);

    if (all == NULL)
        return DRV_CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_lock(&streams_lock);
    for (struct stream *s = streams; s != NULL; s = s->next)
        if (s->context == c)
            wait_add(all, s);
    pthread_mutex_unlock(&streams_lock);
    for (unsigned i = 0; i < all->wait_count; i++)
        wait_until(all->waits[i].stream, all->waits[i].number);
    job_free(all);
    return c->sticky;
}

void streams_drop(struct context *c)
{
    struct stream *next;

    pthread_mutex_lock(&streams_lock);
    for (struct stream *s = streams; s != NULL; s = next) {
        next = s->next;
        if (s->context != c)
            continue;
        dropped += !s->hidden;
        stream_close(s);
    }
    c->null_stream = NULL;
    pthread_mutex_unlock(&streams_lock);
}

unsigned streams_dropped(void)
{
    unsigned n;

    pthread_mutex_lock(&streams_lock);
    n = dropped;
    pthread_mutex_unlock(&streams_lock);
    return n;
}

unsigned stream_leaks(void)
{
    unsigned n = 0;

    pthread_mutex_lock(&streams_lock);
    for (struct stream *s = streams; s != NULL; s = s->next)
        n += !s->hidden;
    pthread_mutex_unlock(&streams_lock);
    return n;
}

/* ---- the calls ---- */

drv_result_t cuStreamCreate(drv_stream_t *stream, unsigned int flags)
{
    struct stream *s;

    ENTER_CONTEXT(cuStreamCreate, c);
    if (stream == NULL || flags > DRV_CU_STREAM_NON_BLOCKING)
        return DRV_CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&streams_lock);
    s = stream_new(c, flags, false);
    pthread_mutex_unlock(&streams_lock);
    *stream = (drv_stream_t)(void *)s;
    return s != NULL ? DRV_CUDA_SUCCESS : DRV_CUDA_ERROR_OUT_OF_MEMORY;
}

/* Gives up the handle at once; the work goes on. */
drv_result_t cuStreamDestroy_v2(drv_stream_t stream)
{
    struct stream *s = NULL;

    ENTER_CONTEXT(cuStreamDestroy, c);
    pthread_mutex_lock(&streams_lock);
    if (stream != NULL)
        s = lookup(c, stream);
    if (s != NULL)
        stream_close(s);
    pthread_mutex_unlock(&streams_lock);
    return s != NULL ? DRV_CUDA_SUCCESS : DRV_CUDA_ERROR_INVALID_HANDLE;
}

drv_result_t cuStreamSynchronize(drv_stream_t stream)
{
    ENTER_CONTEXT(cuStreamSynchronize, c);
    trace_host_sync();
    return stream_submit(c, stream, job_new(run_nothing), true);
}

drv_result_t cuStreamQuery(drv_stream_t stream)
{
    drv_result_t result = DRV_CUDA_ERROR_INVALID_HANDLE;
    struct stream *s;

    ENTER_CONTEXT(cuStreamQuery, c);
    pthread_mutex_lock(&streams_lock);
    s = lookup(c, stream);
    if (s != NULL) {
        pthread_mutex_lock(&s->lock);
        result = s->completed == s->submitted ? c->sticky : DRV_CUDA_ERROR_NOT_READY;
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_unlock(&streams_lock);
    return result;
}
