/* SPDX-License-Identifier: MIT */
#include "pair.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

/* How often a barrier looks before it sleeps: about a millisecond, longer than any turn that both
 * sides take part in, so that no turn pays for waking. */
#define BARRIER_SPINS 20000

struct meeting {
    _Alignas(128) atomic_uint arrived;
    _Alignas(128) atomic_uint generation;
    atomic_uint sleeping;
    unsigned count;
    bool spin;
    atomic_int failed; /* claimed by the first side that writes WHY */
    char why[200];
};

/* This process's own; set before its body runs. */
static struct meeting *meeting;
static int own_cpu;
static cpu_set_t all_cpus;

static sigset_t watched(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    return set;
}

void pair_block_signals(void)
{
    sigset_t set = watched();

    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN); /* so that `shmq-bench | head` cleans up, too */
    sched_getaffinity(0, sizeof all_cpus, &all_cpus);
}

void *pair_map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

void pair_unmap(void *memory, size_t size)
{
    if (memory)
        munmap(memory, size);
}

void *pair_new(size_t size)
{
    void *memory = calloc(1, size);

    if (!memory)
        pair_fail("out of memory");
    return memory;
}

unsigned char *pair_buffer(size_t size)
{
    size_t whole = (size + 4095) & ~(size_t)4095;
    unsigned char *buffer = aligned_alloc(4096, whole);

    if (!buffer)
        pair_fail("out of memory");
    memset(buffer, 1, whole);
    return buffer;
}

void pair_barrier(void)
{
    unsigned now = atomic_load_explicit(&meeting->generation, memory_order_relaxed);

    if (atomic_fetch_add(&meeting->arrived, 1) + 1 == meeting->count) {
        atomic_store(&meeting->arrived, 0);
        atomic_store(&meeting->generation, now + 1);
        if (atomic_load(&meeting->sleeping) != 0)
            syscall(SYS_futex, &meeting->generation, FUTEX_WAKE, PAIR_MAX, NULL, NULL, 0);
        return;
    }
    for (int i = 0; meeting->spin && i < BARRIER_SPINS; i++) {
        if (atomic_load(&meeting->generation) != now)
            return;
        clock_pause();
    }
    atomic_fetch_add(&meeting->sleeping, 1);
    while (atomic_load(&meeting->generation) == now)
        syscall(SYS_futex, &meeting->generation, FUTEX_WAIT, now, NULL, NULL, 0);
    atomic_fetch_sub(&meeting->sleeping, 1);
}

void pair_unpin(void)
{
    sched_setaffinity(0, sizeof all_cpus, &all_cpus);
}

void pair_pin(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)own_cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

void pair_fail(const char *format, ...)
{
    va_list arguments;

    if (atomic_exchange(&meeting->failed, 1) == 0) {
        va_start(arguments, format);
        vsnprintf(meeting->why, sizeof meeting->why, format, arguments);
        va_end(arguments);
    }
    _exit(1);
}

_Noreturn static void live(pid_t parent, int cpu, int side, pair_body_t *body, void *arg)
{
    sigset_t set = watched();

    /* If the parent is killed by SIGKILL, no child may keep spinning. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    own_cpu = cpu;
    pair_pin();
    pair_barrier();
    body(side, arg);
    exit(0); /* an orderly exit: some peers sign off from their daemon here */
}

static void kill_all(const pid_t *pids, int count)
{
    for (int i = 0; i < count; i++)
        if (pids[i] > 1) /* 0 and -1 would be whole groups */
            kill(pids[i], SIGKILL);
    for (int i = 0; i < count; i++)
        while (pids[i] > 1 && waitpid(pids[i], NULL, 0) < 0 && errno == EINTR)
            ;
}

/* Reap processes that have ended. Returns how many succeeded, or -1 if one failed. */
static int reap(struct bench *bench, pid_t *pids, int count)
{
    int well = 0, status;

    for (int i = 0; i < count; i++) {
        if (pids[i] <= 1 || waitpid(pids[i], &status, WNOHANG) != pids[i])
            continue;
        pids[i] = 0;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            well++;
            continue;
        }
        if (meeting->why[0] != '\0')
            return bench_failed(bench, "side %d: %s", i, meeting->why);
        if (WIFSIGNALED(status))
            return bench_failed(bench, "side %d: killed by %s", i, strsignal(WTERMSIG(status)));
        return bench_failed(bench, "side %d: exit %d", i, WEXITSTATUS(status));
    }
    return well;
}

/* Wait until all have ended, one has failed, the row's time is over, or a signal asks to stop. */
static int watch(struct bench *bench, pid_t *pids, int count)
{
    sigset_t set = watched();

    for (int alive = count; alive > 0;) {
        int well = reap(bench, pids, count);

        if (well < 0)
            return -1;
        alive -= well;
        if (alive == 0)
            return 0;

        uint64_t now = clock_ns(CLOCK_MONOTONIC);
        if (now >= bench->row_ends_ns)
            return bench_failed(bench, "hangs: the row's deadline passed");

        uint64_t rest = bench->row_ends_ns - now;
        struct timespec limit = {.tv_sec = (time_t)(rest / 1000000000u), .tv_nsec = (long)(rest % 1000000000u)};
        int number = sigtimedwait(&set, NULL, &limit);
        if (number > 0 && number != SIGCHLD) {
            bench->interrupted = number;
            return bench_failed(bench, "interrupted");
        }
    }
    return 0;
}

int pair_run(struct bench *bench, int count, pair_body_t *body, void *arg)
{
    pid_t pids[PAIR_MAX] = {0}, self = getpid();
    int started = 0, result = 0;

    if (count > PAIR_MAX)
        return bench_failed(bench, "%d processes, at most %d", count, PAIR_MAX);
    meeting = pair_map(sizeof *meeting);
    if (!meeting)
        return bench_failed(bench, "mmap: %s", strerror(errno));
    meeting->count = (unsigned)count;
    meeting->spin = count == 2 && bench->cpus > 1;

    fflush(NULL); /* or the children's exit() would print it again */
    for (; started < count; started++) {
        int cpu = bench->cpu[started == 0 ? 0 : 1];

        pids[started] = fork();
        if (pids[started] == 0)
            live(self, cpu, started, body, arg);
        if (pids[started] < 0) {
            result = bench_failed(bench, "fork: %s", strerror(errno));
            break;
        }
    }
    if (result == 0)
        result = watch(bench, pids, count);
    if (result != 0)
        kill_all(pids, started);
    pair_unmap(meeting, sizeof *meeting);
    meeting = NULL;
    return result;
}
