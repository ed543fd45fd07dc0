/* SPDX-License-Identifier: MIT */
/*
 * What every call does first: it is counted, refused where the rules of CUDA refuse it (before cuInit, after fork, from
 * a host function), and may be made to fail. And what tests may ask.
 */
#include "internal.h"

#include <stdio.h>
#include <unistd.h>

#define FAULTS_MAX 32

struct fault {
    int call;
    uint64_t first; /* in numbers of this call since the process began */
    bool persistent;
    drv_result_t result;
};

static const char *const call_names[] = {
#define NAME(name, version, symbol, arguments) #name,
    DRV_CALLS(NAME)
#undef NAME
};

static _Atomic uint64_t entered[CALL_COUNT];   /* since the process began: numbers faults */
static _Atomic uint64_t forgotten[CALL_COUNT]; /* what reset_counters() took away */
static _Atomic uint64_t host_syncs;
static _Atomic pid_t initialized_by; /* 0: cuInit has not succeeded yet */
static pthread_mutex_t faults_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fault faults[FAULTS_MAX];
static unsigned fault_count;
_Thread_local bool in_host_function;

static int call_by_name(const char *name)
{
    for (int i = 0; i < CALL_COUNT; i++)
        if (strcmp(call_names[i], name) == 0)
            return i;
    return -1;
}

static int add_fault(const struct fault *fault)
{
    HOLD(&faults_lock);
    if (fault_count == FAULTS_MAX)
        return -1;
    faults[fault_count++] = *fault;
    return 0;
}

int trace_parse_fault(const char *text)
{
    char name[64], plus[2] = "";
    struct fault f;

    if (sscanf(text, "%63[^:]:%lu%1[+]:%d", name, &f.first, plus, &f.result) != 4 &&
        sscanf(text, "%63[^:]:%lu:%d", name, &f.first, &f.result) != 3)
        return -1;
    f.persistent = plus[0] == '+';
    f.call = call_by_name(name);
    return f.call < 0 || f.first == 0 ? -1 : add_fault(&f);
}

static drv_result_t injected(enum call call, uint64_t number)
{
    drv_result_t result = DRV_CUDA_SUCCESS;

    HOLD(&faults_lock);
    for (const struct fault *f = faults; f < faults + fault_count; f++)
        if (f->call == (int)call && (number == f->first || (f->persistent && number > f->first)))
            result = f->result;
    return result;
}

drv_result_t trace_enter(enum call call, bool before_init)
{
    uint64_t number = atomic_fetch_add(&entered[call], 1) + 1;
    pid_t pid = initialized_by;

    /* The first look at the configuration also reads the faults. */
    REQUIRE(!mode(MODE_STUB), STUB_LIBRARY);
    REQUIRE(!in_host_function, NOT_PERMITTED);
    REQUIRE(pid == 0 ? before_init : pid == getpid(), NOT_INITIALIZED);
    return injected(call, number);
}

void trace_host_sync(void)
{
    atomic_fetch_add(&host_syncs, 1);
}

void trace_initialized(void)
{
    initialized_by = getpid();
}

/* ---- introspection ---- */

static uint64_t get_calls(const char *name)
{
    int call = call_by_name(name);

    return call < 0 ? UINT64_MAX : entered[call] - forgotten[call];
}

static uint64_t get_host_syncs(void)
{
    return host_syncs;
}

static void reset_counters(void)
{
    for (int i = 0; i < CALL_COUNT; i++)
        forgotten[i] = entered[i];
    host_syncs = 0;
}

static int fail_nth(const char *name, unsigned nth, int result)
{
    int call;

    if (nth == 0) {
        HOLD(&faults_lock);
        fault_count = 0;
        return 0;
    }
    call = call_by_name(name);
    return call < 0 ? -1 : add_fault(&(struct fault){call, entered[call] + nth, false, result});
}

static void get_leaks(struct standin_leaks *l)
{
    memset(l, 0, sizeof(*l));
    l->contexts = context_leaks();
    l->events = event_leaks();
    region_leaks(l);
    stream_leaks(l);
    vmm_leaks(l);
}

EXPORT const struct standin *standin_introspect(void)
{
    static const struct standin table = {get_calls, get_host_syncs, reset_counters, fail_nth, get_leaks};

    return &table;
}
