/* SPDX-License-Identifier: MIT */
#include "transport/os.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int futex_result(long result)
{
    return result >= 0 ? 0 : -errno;
}

int os_futex_wait(shared_u32 *word, uint32_t expected, uint64_t timeout_ns)
{
    struct timespec timeout = {(time_t)(timeout_ns / 1000000000u), (long)(timeout_ns % 1000000000u)};
    return futex_result(syscall(SYS_futex, word, FUTEX_WAIT, expected,
                                timeout_ns == UINT64_MAX ? NULL : &timeout, NULL, 0));
}

void os_futex_wake(shared_u32 *word)
{
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    errno = saved;
}

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef FUTEX_32
#define FUTEX_32 2
#endif
#define WAITV_MAX 128

/* struct futex_waitv of linux/futex.h (5.16), whose header may be older than the kernel. */
struct waitv {
    uint64_t val;
    uint64_t uaddr;
    uint32_t flags;
    uint32_t reserved;
};

int os_futex_wait_many(shared_u32 **words, uint32_t expected, int count, uint64_t timeout_ns)
{
    struct waitv waiters[WAITV_MAX];
    struct timespec until;

    if (count == 1)
        return os_futex_wait(words[0], expected, timeout_ns);
    if (count > WAITV_MAX)
        return -ENOSYS;
    for (int i = 0; i < count; i++)
        waiters[i] = (struct waitv){expected, (uint64_t)(uintptr_t)words[i], FUTEX_32, 0};
    if (timeout_ns != UINT64_MAX) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        uint64_t at = (uint64_t)until.tv_nsec + timeout_ns;
        until.tv_sec += (time_t)(at / 1000000000u);
        until.tv_nsec = (long)(at % 1000000000u);
    }
    return futex_result(syscall(SYS_futex_waitv, waiters, count, 0,
                                timeout_ns == UINT64_MAX ? NULL : &until, CLOCK_MONOTONIC));
}

void os_sleep(uint64_t ns)
{
    nanosleep(&(struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)}, NULL);
}

void os_yield(void)
{
    sched_yield();
}

int os_processors(void)
{
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}
