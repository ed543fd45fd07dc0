/* SPDX-License-Identifier: MIT */
/*
 * Words that streams write and wait for, in shared memory of the host. Role 1 makes the memory, role 0 opens it; each
 * registers it with its driver.
 */
#include "conformance.h"

#include <stdatomic.h>

#define DATA   ((size_t)1 << 20)
#define ROUNDS 100
#define GEQ    DRV_CU_STREAM_WAIT_VALUE_GEQ

/* What lies in the shared memory: each word has one writer and a cache line. */
struct area {
    _Alignas(128) _Atomic uint64_t ping;
    _Alignas(128) _Atomic uint64_t pong;
    _Alignas(128) unsigned char data[DATA];
};

#define PING    offsetof(struct area, ping)
#define PONG    offsetof(struct area, pong)
#define DATA_AT offsetof(struct area, data)

static struct area *words_make(struct role *r, drv_ptr_t *ptr)
{
    need_memops(r);
    return area_make(r, sizeof(struct area), ptr);
}

static struct area *words_open(struct role *r, drv_ptr_t *ptr)
{
    need_memops(r);
    return area_open(r, sizeof(struct area), ptr);
}

/* ---- a stream writes, the other process's CPU reads, and back ---- */

static void stream_writes(struct role *r)
{
    drv_ptr_t ptr;
    struct area *a = words_make(r, &ptr);

    CU(r, cuStreamWriteValue64, r->stream, ptr + PING, 41, 0);
    CU(r, cuStreamWaitValue64, r->stream, ptr + PONG, 42, DRV_CU_STREAM_WAIT_VALUE_EQ);
    CU(r, cuStreamWriteValue64, r->stream, ptr + PING, 43, 0);
    role_hear(r, 0);
    CU(r, cuStreamSynchronize, r->stream);
    area_close(r, a, sizeof(*a));
}

static void cpu_answers(struct role *r)
{
    drv_ptr_t ptr;
    struct area *a = words_open(r, &ptr);

    CHECK(r, wait_word(&a->ping, 41, 10));
    atomic_store_explicit(&a->pong, 42, memory_order_release);
    CHECK(r, wait_word(&a->ping, 43, 10));
    role_say(r, 1);
    area_close(r, a, sizeof(*a));
}

/* ---- streams of both processes, no CPU in between ---- */

static void play_ping(struct role *r)
{
    drv_ptr_t ptr;
    struct area *a = words_make(r, &ptr);

    for (uint64_t i = 1; i <= ROUNDS; i++) {
        CU(r, cuStreamWriteValue64, r->stream, ptr + PING, i, 0);
        CU(r, cuStreamWaitValue64, r->stream, ptr + PONG, i, GEQ);
    }
    CU(r, cuStreamSynchronize, r->stream);
    CHECK(r, a->pong == ROUNDS);
    role_say(r, 0);
    area_close(r, a, sizeof(*a));
}

static void play_pong(struct role *r)
{
    drv_ptr_t ptr;
    struct area *a = words_open(r, &ptr);

    for (uint64_t i = 1; i <= ROUNDS; i++) {
        CU(r, cuStreamWaitValue64, r->stream, ptr + PING, i, GEQ);
        CU(r, cuStreamWriteValue64, r->stream, ptr + PONG, i, 0);
    }
    CU(r, cuStreamSynchronize, r->stream);
    role_hear(r, 1);
    area_close(r, a, sizeof(*a));
}

/* ---- who sees the word sees the data before it ---- */

static void publish_data(struct role *r)
{
    drv_ptr_t ptr, own = allocate(r, DATA);
    struct area *a = words_make(r, &ptr);

    for (uint64_t i = 1; i <= ROUNDS; i++) {
        CU(r, cuMemsetD8Async, own, (unsigned char)i, DATA, r->stream);
        CU(r, cuMemcpyDtoDAsync, ptr + DATA_AT, own, DATA, r->stream);
        CU(r, cuStreamWriteValue64, r->stream, ptr + PING, i, 0);
        CU(r, cuStreamWaitValue64, r->stream, ptr + PONG, i, GEQ);
    }
    CU(r, cuStreamSynchronize, r->stream);
    CU(r, cuMemFree, own);
    area_close(r, a, sizeof(*a));
}

static void check_data(struct role *r)
{
    drv_ptr_t ptr;
    struct area *a = words_open(r, &ptr);

    for (uint64_t i = 1; i <= ROUNDS; i++) {
        CHECK(r, wait_word(&a->ping, i, 10));
        /* The last bytes are the ones that would come late. */
        CHECK(r, a->data[0] == (unsigned char)i);
        CHECK(r, a->data[DATA / 2] == (unsigned char)i);
        CHECK(r, a->data[DATA - 1] == (unsigned char)i);
        atomic_store_explicit(&a->pong, i, memory_order_release);
    }
    area_close(r, a, sizeof(*a));
}

/* ---- what the conditions mean ---- */

static void conditions(struct role *r)
{
    static const struct {
        uint64_t has, wants;
        unsigned flags;
        bool passes;
        uint64_t release; /* a value that passes */
    } table[] = {
        {7, 7, GEQ, true, 7},
        {8, 7, GEQ, true, 7},
        {6, 7, GEQ, false, 7},
        /* GEQ is of a circle: generations may wrap. */
        {3, UINT64_MAX - 3, GEQ, true, 3},
        {UINT64_MAX - 3, 3, GEQ, false, 3},
        {7, 7, DRV_CU_STREAM_WAIT_VALUE_EQ, true, 7},
        {8, 7, DRV_CU_STREAM_WAIT_VALUE_EQ, false, 7},
        {6, 2, DRV_CU_STREAM_WAIT_VALUE_AND, true, 2},
        {5, 2, DRV_CU_STREAM_WAIT_VALUE_AND, false, 2},
    };
    drv_ptr_t ptr;
    struct area *a = words_make(r, &ptr);

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        drv_result_t result;
        drv_stream_t stream;

        a->ping = table[i].has;
        CU(r, cuStreamCreate, &stream, DRV_CU_STREAM_NON_BLOCKING);
        CU(r, cuStreamWaitValue64, stream, ptr + PING, table[i].wants, table[i].flags);
        /* Nothing can be awaited that must not happen: so much patience must do. */
        if (stream_ends(r, stream, 200, &result) != table[i].passes)
            role_fail(r, "line %zu of the table is not so", i);
        a->ping = table[i].release;
        CHECK(r, stream_ends(r, stream, 10000, &result) && result == DRV_CUDA_SUCCESS);
        CU(r, cuStreamDestroy, stream);
    }
    area_close(r, a, sizeof(*a));
}

/* Where a device can touch any host memory by itself (HMM, ATS) no address is unknown. */
static void refused(struct role *r)
{
    bool pageable = device_attribute(r, DRV_CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS) != 0;
    static _Alignas(4096) unsigned char page[4096];
    drv_result_t write, wait;
    drv_ptr_t own;

    need_memops(r);
    write = r->cu->cuStreamWriteValue64(r->stream, (uintptr_t)page, 1, 0);
    wait = r->cu->cuStreamWaitValue64(r->stream, (uintptr_t)page, 0, GEQ);
    CU(r, cuStreamSynchronize, r->stream);
    role_fact(r, "writing to a pageable address: %d, waiting: %d%s", write, wait,
              pageable ? " (this device can touch pageable memory)" : "");
    CHECK(r, pageable || (write != DRV_CUDA_SUCCESS && wait != DRV_CUDA_SUCCESS));
    own = allocate(r, 4096);
    fact_result(r, "an address that is not a multiple of 8", r->cu->cuStreamWriteValue64(r->stream, own + 4, 1, 0));
    CU(r, cuMemFree, own);
    check_context(r);
}

static void device_word(struct role *r)
{
    drv_ptr_t own;

    need_memops(r);
    own = allocate(r, 4096);
    fill(r, own, 0, 4096);
    CU(r, cuStreamWriteValue64, r->stream, own, 0x0101010101010101u, 0);
    CU(r, cuStreamWaitValue64, r->stream, own, 0x0101010101010101u, GEQ);
    check_bytes(r, own, 1, 8);
    check_bytes(r, own + 8, 0, 8);
    CU(r, cuMemFree, own);
}

/* ---- a stream that waits for the dead is released by a third ---- */

static void make_word_and_die(struct role *r)
{
    drv_ptr_t ptr;

    words_make(r, &ptr);
    role_die(r);
}

static void reap(struct role *r)
{
    drv_result_t result;
    drv_ptr_t ptr;
    struct area *a = words_open(r, &ptr);

    CU(r, cuStreamWaitValue64, r->stream, ptr + PING, 1, GEQ);
    role_let_die(r, 1);
    CHECK(r, r->cu->cuStreamQuery(r->stream) == DRV_CUDA_ERROR_NOT_READY);
    /* Any process that maps the word could do this: it is plain host memory. */
    atomic_store_explicit(&a->ping, 1, memory_order_release);
    CHECK(r, stream_ends(r, r->stream, 10000, &result) && result == DRV_CUDA_SUCCESS);
    area_close(r, a, sizeof(*a));
}

const struct test_case memop_cases[] = {
    {.name = "memop: a stream's word reaches the other CPU and back",
     .roles = {cpu_answers, stream_writes},
     .probe = true},
    {.name = "memop: streams of two processes take turns", .roles = {play_pong, play_ping}, .probe = true},
    {.name = "memop: who sees the word sees the data", .roles = {check_data, publish_data}},
    {.name = "memop: the conditions mean what they say", .roles = {conditions}},
    {.name = "memop: unknown addresses are refused", .roles = {refused}},
    {.name = "memop: words in device memory", .roles = {device_word}},
    {.name = "memop: a wait for the dead can be released", .roles = {reap, make_word_and_die}, .dying = 0x2},
    {.name = NULL},
};
