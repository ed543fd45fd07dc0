/* SPDX-License-Identifier: MIT */
/*
 * Wait for several things at once: two sockets and a descriptor (a timer here; it could be a
 * terminal or a TCP connection). Each item says what it waits for, and is told what came. Prints:
 *     job 1
 *     stop button
 *     timer
 */
#include "must.h"

#include <sys/timerfd.h>
#include <unistd.h>

int main(void)
{
    const struct itimerspec soon = {.it_value = {.tv_nsec = 50000000}};
    shm_socket_t *push = must_open(SHM_PUSH), *pull = must_open(SHM_PULL);
    shm_socket_t *pub = must_open(SHM_PUB), *sub = must_open(SHM_SUB);
    int timer = (int)must(timerfd_create(CLOCK_MONOTONIC, 0)), job = 1;
    shm_pollitem_t items[3] = {
        {.socket = pull, .events = SHM_POLLIN},
        {.socket = sub, .events = SHM_POLLIN},
        {.fd = timer, .events = SHM_POLLIN},
    };

    must(shm_bind(pull, "shm://example/jobs"));
    must(shm_connect(push, "shm://example/jobs"));
    must(shm_bind(pub, "shm://example/button"));
    must(shm_setsockopt(sub, SHM_SUBSCRIBE, "", 0));
    must(shm_connect(sub, "shm://example/button"));
    must(timerfd_settime(timer, 0, &soon, NULL));
    must(shm_send(push, &job, sizeof job, 0));

    for (int timer_went_off = 0; !timer_went_off;) {
        must(shm_poll(items, 3, 1000));
        if (items[0].revents & SHM_POLLIN) {
            must(shm_recv(pull, &job, sizeof job, 0));
            printf("job %d\n", job);
            must(shm_send(pub, "", 0, 0)); /* a message may be empty */
        }
        if (items[1].revents & SHM_POLLIN) {
            must(shm_recv(sub, NULL, 0, 0));
            puts("stop button");
        }
        if (items[2].revents & SHM_POLLIN) {
            puts("timer");
            timer_went_off = 1;
        }
    }
    must(shm_close(push));
    must(shm_close(pull));
    must(shm_close(pub));
    must(shm_close(sub));
    return close(timer);
}
