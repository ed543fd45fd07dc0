/* SPDX-License-Identifier: MIT */
/*
 * A hard real-time loop: SHM_LOCK_MEMORY allocates and locks all memory before the loop begins;
 * with SHM_SPIN_NS -1 it never sleeps in the kernel. The loop allocates nothing and makes no system
 * call. Give each side a processor of its own (taskset, isolcpus) and a scheduling class
 * (chrt -f). Prints:
 *     ... round trips without a system call to sleep or to wake
 */
#include "must.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static shm_socket_t *open_realtime(void)
{
    shm_socket_t *pair = must_open(SHM_PAIR);
    int64_t spin_for_ever = -1;

    must(shm_setsockopt(pair, SHM_SPIN_NS, &spin_for_ever, sizeof spin_for_ever));
    must_set(pair, SHM_SNDHWM, 16); /* the whole queue is locked: no larger than needed */
    must_set(pair, SHM_RCVHWM, 16);
    must_set(pair, SHM_LOCK_MEMORY, 1); /* bind and connect fail if RLIMIT_MEMLOCK is too low */
    return pair;
}

static int echo(void)
{
    shm_socket_t *pair = open_realtime();
    int number = 0;

    must(shm_connect(pair, "shm://example/realtime"));
    do {
        must(shm_recv(pair, &number, sizeof number, 0));
        must(shm_send(pair, &number, sizeof number, 0));
    } while (number >= 0);
    return shm_close(pair);
}

int main(void)
{
    shm_socket_t *pair;
    shm_stats_t stats;
    size_t room = sizeof stats;
    time_t end = time(NULL) + 1;
    int number = 0;

    if (must(fork()) == 0)
        return echo();
    pair = open_realtime();
    must(shm_bind(pair, "shm://example/realtime"));
    do {
        number = number < 100000 && time(NULL) <= end ? number + 1 : -1;
        must(shm_send(pair, &number, sizeof number, 0));
        must(shm_recv(pair, &number, sizeof number, 0));
    } while (number >= 0);
    must(shm_getsockopt(pair, SHM_STATS, &stats, &room));
    printf("%llu round trips %s a system call to sleep or to wake\n",
           (unsigned long long)stats.received,
           stats.sleeps + stats.wakes == 0 ? "without" : "with");
    wait(NULL);
    return shm_close(pair);
}
