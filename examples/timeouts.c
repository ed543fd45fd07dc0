/* SPDX-License-Identifier: MIT */
/*
 * How long a call waits: for ever by default, not at all with SHM_DONTWAIT or a timeout of 0, and up
 * to so many milliseconds with SHM_RCVTIMEO and SHM_SNDTIMEO. When the time runs out the call fails
 * with EAGAIN and the socket is as it was. Prints:
 *     do not wait: Resource temporarily unavailable, at once
 *     receive timeout of 50 ms: Resource temporarily unavailable, after 50 ms
 *     send timeout of 50 ms: Resource temporarily unavailable, after 50 ms
 *     poll for 50 ms: 0 sockets are ready, after 50 ms
 */
#include "must.h"

#include <time.h>

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Words that are the same on a busy machine. */
static const char *since(double start_ms)
{
    double ms = now_ms() - start_ms;

    return ms < 40 ? "at once" : ms < 49.5 ? "too early" : "after 50 ms";
}

int main(void)
{
    shm_socket_t *pull = must_open(SHM_PULL), *push = must_open(SHM_PUSH);
    shm_pollitem_t item = {.socket = pull, .events = SHM_POLLIN};
    double start = now_ms();
    char byte;
    int ready;

    must(shm_bind(pull, "shm://example/quiet"));
    must_set(push, SHM_IMMEDIATE, 1); /* queue nothing for an absent peer */
    must(shm_connect(push, "shm://example/nobody"));

    start = now_ms();
    if (shm_recv(pull, &byte, 1, SHM_DONTWAIT) < 0)
        printf("do not wait: %s, %s\n", shm_strerror(errno), since(start));
    must_set(pull, SHM_RCVTIMEO, 50);
    start = now_ms();
    if (shm_recv(pull, &byte, 1, 0) < 0)
        printf("receive timeout of 50 ms: %s, %s\n", shm_strerror(errno), since(start));
    must_set(push, SHM_SNDTIMEO, 50);
    start = now_ms();
    if (shm_send(push, "x", 1, 0) < 0)
        printf("send timeout of 50 ms: %s, %s\n", shm_strerror(errno), since(start));
    start = now_ms();
    ready = (int)must(shm_poll(&item, 1, 50));
    printf("poll for 50 ms: %d sockets are ready, %s\n", ready, since(start));
    must(shm_close(pull));
    return shm_close(push);
}
