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
    _Atomic unsigned references; /* the list's or the worker's, and one per wait */
    bool closing;
};

static pthread_mutex_t streams_lock = PTHREAD_MUTEX_INITIALIZER;
static struct stream *streams;
static unsigned made, dropped;

static void unref(struct stream *s)
{
    if (atomic_fetch_sub(&s->references, 1) != 1)
        return;
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void pause_ns(long ns)
{
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
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

/* ---- the worker ---- */

/* Adds a wait for all that was submitted to `s` so far. */
static void wait_add(struct job *j, struct stream *s)
{
    j->waits = realloc(j->waits, (j->wait_count + 1) * sizeof(*j->waits));
    if (j->waits == NULL)
        abort();
    s->references++;
    HOLD(&s->lock);
    j->waits[j->wait_count++] = (struct wait_for){s, s->submitted};
}

static void await_others(struct job *j)
{
    for (unsigned i = 0; i < j->wait_count; i++) {
        struct stream *s = j->waits[i].stream;

        HOLD(&s->lock);
        while (s->completed < j->waits[i].number)
            pthread_cond_wait(&s->changed, &s->lock);
    }
}

/* What a job refers to. */
static void job_deinit(struct job *j)
{
    for (unsigned i = 0; i < j->wait_count; i++)
        unref(j->waits[i].stream);
    free(j->waits);
    free(j->staged);
    if (j->event != NULL)
        event_unref(j->event);
}

static void job_run(struct stream *s, struct job *j)
{
    drv_result_t result;

    await_others(j);
    random_delay(s);
    if (s->context->sticky != DRV_CUDA_SUCCESS)
        return;
    result = j->run(s->context, j);
    if (result != DRV_CUDA_SUCCESS)
        s->context->sticky = result;
}

static struct job *next_job(struct stream *s)
{
    struct job *j;

    HOLD(&s->lock);
    while (s->first == NULL && !s->closing)
        pthread_cond_wait(&s->changed, &s->lock);
    j = s->first;
    if (j != NULL && (s->first = j->next) == NULL)
        s->last = &s->first;
    return j;
}

static void *work(void *argument)
{
    struct stream *s = argument;
    struct job *j;

    while ((j = next_job(s)) != NULL) {
        job_run(s, j);
        job_deinit(j);
        free(j);
        HOLD(&s->lock);
        s->completed++;
        pthread_cond_broadcast(&s->changed);
    }
    unref(s);
    return NULL;
}

static void start_worker(struct stream *s)
{
    sigset_t all, before;
    pthread_t thread;

    /* The program's signals are not for a thread that it doesn't know of. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, work, s) != 0)
        abort();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_detach(thread);
}

/* streams_lock is held. */
static struct stream *stream_new(struct context *c, unsigned flags, bool hidden)
{
    struct stream *s = make(sizeof(*s));

    *s = (struct stream){.next = streams, .context = c, .flags = flags, .hidden = hidden, .references = 1};
    s->last = &s->first;
    s->random = (config()->seed + ++made) * 0x9e3779b97f4a7c15u | 1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    streams = s;
    start_worker(s);
    return s;
}

/* streams_lock is held. The worker finishes what was submitted, then frees the stream. */
static void stream_close(struct stream *s)
{
    struct stream **link = &streams;

    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    HOLD(&s->lock);
    s->closing = true;
    pthread_cond_broadcast(&s->changed);
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

static bool blocking(const struct stream *s)
{
    return (s->flags & DRV_CU_STREAM_NON_BLOCKING) == 0;
}

static void legacy_waits(struct stream *s, struct job *j)
{
    struct context *c = s->context;

    if (s != c->null_stream) {
        if (blocking(s) && c->null_stream != NULL)
            wait_add(j, c->null_stream);
        return;
    }
    for (struct stream *other = streams; other != NULL; other = other->next)
        if (other->context == c && other != s && blocking(other))
            wait_add(j, other);
}

static void enqueue(struct stream *s, struct job *j)
{
    if (j->accepted != NULL)
        j->accepted(j);
    HOLD(&s->lock);
    *s->last = j;
    s->last = &j->next;
    s->submitted++;
    pthread_cond_broadcast(&s->changed);
}

drv_result_t stream_submit(struct context *c, drv_stream_t handle, struct job like, bool wait)
{
    struct job end = {.run = NULL}; /* the end of the new job, waited for */
    struct stream *s;
    struct job *j;

    {
        HOLD(&streams_lock);
        s = lookup(c, handle);
        if (s != NULL) {
            j = make(sizeof(*j));
            *j = like;
            legacy_waits(s, j);
            enqueue(s, j);
            if (wait)
                wait_add(&end, s);
        }
    }
    if (s == NULL) {
        job_deinit(&like);
        return DRV_CUDA_ERROR_INVALID_HANDLE;
    }
    await_others(&end);
    job_deinit(&end);
    return wait ? c->sticky : DRV_CUDA_SUCCESS;
}

static drv_result_t run_nothing(struct context *c, struct job *j)
{
    (void)c;
    (void)j;
    return DRV_CUDA_SUCCESS;
}

drv_result_t stream_drain(struct context *c)
{
    struct job end = {.run = NULL};

    {
        HOLD(&streams_lock);
        for (struct stream *s = streams; s != NULL; s = s->next)
            if (s->context == c)
                wait_add(&end, s);
    }
    await_others(&end);
    job_deinit(&end);
    return c->sticky;
}

void streams_drop(struct context *c)
{
    struct stream *next;

    HOLD(&streams_lock);
    for (struct stream *s = streams; s != NULL; s = next) {
        next = s->next;
        if (s->context != c)
            continue;
        dropped += !s->hidden;
        stream_close(s);
    }
    c->null_stream = NULL;
}

void stream_leaks(struct standin_leaks *l)
{
    HOLD(&streams_lock);
    for (const struct stream *s = streams; s != NULL; s = s->next)
        l->streams += !s->hidden;
    l->dropped += dropped;
}

/* ---- the calls ---- */

drv_result_t cuStreamCreate(drv_stream_t *stream, unsigned int flags)
{
    ENTER_CONTEXT(cuStreamCreate, c);
    REQUIRE(stream != NULL && flags <= DRV_CU_STREAM_NON_BLOCKING, INVALID_VALUE);
    HOLD(&streams_lock);
    *stream = (drv_stream_t)(void *)stream_new(c, flags, false);
    return DRV_CUDA_SUCCESS;
}

/* Gives up the handle at once; the work goes on. */
drv_result_t cuStreamDestroy_v2(drv_stream_t stream)
{
    struct stream *s;

    ENTER_CONTEXT(cuStreamDestroy, c);
    REQUIRE(stream != NULL, INVALID_HANDLE);
    HOLD(&streams_lock);
    s = lookup(c, stream);
    REQUIRE(s != NULL, INVALID_HANDLE);
    stream_close(s);
    return DRV_CUDA_SUCCESS;
}

drv_result_t cuStreamSynchronize(drv_stream_t stream)
{
    ENTER_CONTEXT(cuStreamSynchronize, c);
    trace_host_sync();
    return stream_submit(c, stream, (struct job){.run = run_nothing}, true);
}

drv_result_t cuStreamQuery(drv_stream_t stream)
{
    struct stream *s;
    bool done;

    ENTER_CONTEXT(cuStreamQuery, c);
    HOLD(&streams_lock);
    s = lookup(c, stream);
    REQUIRE(s != NULL, INVALID_HANDLE);
    pthread_mutex_lock(&s->lock);
    done = s->completed == s->submitted;
    pthread_mutex_unlock(&s->lock);
    return done ? c->sticky : DRV_CUDA_ERROR_NOT_READY;
}
