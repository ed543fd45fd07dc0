/* SPDX-License-Identifier: MIT */
/*
 * What every call does first: it is counted, refused where the rules of CUDA refuse it (before cuInit, after fork, from
 * a host function), and may be made to fail. At exit, the leak report.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAULTS_MAX 32

struct fault {
    unsigned call;
    uint64_t first; /* in numbers of this call since the process began */
    bool persistent;
    drv_result_t result;
    bool used;
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
static _Atomic unsigned fault_count; /* a quick look without the lock */
_Thread_local bool in_host_function;

static int call_by_name(const char *name)
{
    for (int i = 0; i < CALL_COUNT; i++)
        if (strcmp(call_names[i], name) == 0)
            return i;
    return -1;
}

static int add_fault(int call, uint64_t first, bool persistent, drv_result_t result)
{
    int added = -1;

    pthread_mutex_lock(&faults_lock);
    for (unsigned i = 0; i < FAULTS_MAX && added < 0; i++) {
        if (faults[i].used)
            continue;
        faults[i] = (struct fault){(unsigned)call, first, persistent, result, true};
        fault_count++;
        added = 0;
    }
    pthread_mutex_unlock(&faults_lock);
    return added;
}

int trace_parse_fault(const char *text)
{
    char name[64], plus[2] = "";
    unsigned long nth;
    int call, result;

    if (sscanf(text, "%63[^:]:%lu%1[+]:%d", name, &nth, plus, &result) != 4 &&
        sscanf(text, "%63[^:]:%lu:%d", name, &nth, &result) != 3)
        return -1;
    call = call_by_name(name);
    if (call < 0 || nth == 0)
        return -1;
    return add_fault(call, nth, plus[0] == '+', result);
}

static drv_result_t injected(enum call call, uint64_t number)
{
    drv_result_t result = DRV_CUDA_SUCCESS;

    if (fault_count == 0)
        return result;
    pthread_mutex_lock(&faults_lock);
    for (unsigned i = 0; i < FAULTS_MAX; i++) {
        struct fault *f = &faults[i];

        if (!f->used || f->call != (unsigned)call || number < f->first)
            continue;
        if (number == f->first || f->persistent)
            result = f->result;
    }
    pthread_mutex_unlock(&faults_lock);
    return result;
}

drv_result_t trace_enter(enum call call, bool before_init)
{
    uint64_t number = atomic_fetch_add(&entered[call], 1) + 1;
    pid_t pid = initialized_by;

    /* The first look at the configuration also reads the faults. */
    if (mode(MODE_STUB))
        return DRV_CUDA_ERROR_STUB_LIBRARY;
    if (in_host_function)
        return DRV_CUDA_ERROR_NOT_PERMITTED;
    if (pid != 0 && pid != getpid())
        return DRV_CUDA_ERROR_NOT_INITIALIZED;
    if (pid == 0 && !before_init)
        return DRV_CUDA_ERROR_NOT_INITIALIZED;
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
        pthread_mutex_lock(&faults_lock);
        memset(faults, 0, sizeof(faults));
        fault_count = 0;
        pthread_mutex_unlock(&faults_lock);
        return 0;
    }
    call = call_by_name(name);
    if (call < 0)
        return -1;
    return add_fault(call, entered[call] + nth, false, result);
}

static void get_leaks(struct standin_leaks *l)
{
    memset(l, 0, sizeof(*l));
    l->contexts = context_leaks();
    l->allocations = alloc_leaks();
    l->imports = import_leaks();
    l->registrations = host_leaks();
    l->streams = stream_leaks();
    l->events = event_leaks();
    l->dropped = regions_dropped() + streams_dropped();
    vmm_leaks(l);
}

static void set_delay(unsigned max_us)
{
    config()->delay_us = max_us;
}

EXPORT const struct standin *standin_introspect(void)
{
    static const struct standin table = {
        STANDIN_ABI, get_calls, get_host_syncs, reset_counters, fail_nth, get_leaks, set_delay,
    };

    return &table;
}

__attribute__((destructor)) static void report_leaks(void)
{
    struct standin_leaks l;

    if (initialized_by != getpid() || !config()->report_leaks)
        return;
    get_leaks(&l);
    if (standin_leaks_total(&l) == 0)
        return;
    fprintf(stderr,
            "stand-in driver: pid %d leaves contexts %u, allocations %u, imports %u, "
            "VMM handles %u, reservations %u, mappings %u, registrations %u, streams %u, "
            "events %u, dropped with their context %u\n",
            (int)getpid(), l.contexts, l.allocations, l.imports, l.vmm_handles, l.reservations, l.mappings,
            l.registrations, l.streams, l.events, l.dropped);
}
