/* SPDX-License-Identifier: MIT */
/*
 * A socket's counters. They lie in shared memory: "shmq info NAME" shows the same ones from outside,
 * at any time, without disturbing anybody. Prints:
 *     push: sent 100 (6400 bytes), 1 peer, ... bytes of shared memory
 *     pull: received 40 (2560 bytes), lost 0, slept ... times, woke others ... times
 */
#include "must.h"

static shm_stats_t stats_of(shm_socket_t *socket)
{
    shm_stats_t stats;
    size_t room = sizeof stats;

    must(shm_getsockopt(socket, SHM_STATS, &stats, &room));
    return stats;
}

int main(void)
{
    shm_socket_t *push = must_open(SHM_PUSH), *pull = must_open(SHM_PULL);
    char message[64] = "";
    shm_stats_t stats;

    must_set(push, SHM_LINGER, 0); /* at the end, do not wait for somebody to take the rest */
    must(shm_bind(push, "shm://example/stats"));
    must(shm_connect(pull, "shm://example/stats"));
    for (int i = 0; i < 100; i++)
        must(shm_send(push, message, sizeof message, 0));
    for (int i = 0; i < 40; i++)
        must(shm_recv(pull, message, sizeof message, 0));

    stats = stats_of(push);
    printf("push: sent %llu (%llu bytes), %llu peer, %llu bytes of shared memory\n",
           (unsigned long long)stats.sent, (unsigned long long)stats.bytes_sent,
           (unsigned long long)stats.peers, (unsigned long long)stats.memory);
    stats = stats_of(pull);
    printf(
        "pull: received %llu (%llu bytes), lost %llu, slept %llu times, woke others %llu times\n",
        (unsigned long long)stats.received, (unsigned long long)stats.bytes_received,
        (unsigned long long)stats.lost, (unsigned long long)stats.sleeps,
        (unsigned long long)stats.wakes);
    must(shm_close(pull));
    return shm_close(push);
}
