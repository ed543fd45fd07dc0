/* SPDX-License-Identifier: MIT */
/*
 * A socket in somebody else's event loop (libuv, on which Node.js runs): SHM_FD in a uv_poll_t.
 * The loop's timers keep running. As with epoll, read until EAGAIN each time. Prints:
 *     received 500 messages in order, the timer ticked meanwhile
 */
#include "must.h"

#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#define MESSAGES 500

static int received, ticks;

static int sender(void)
{
    shm_socket_t *push = must_open(SHM_PUSH);

    must(shm_connect(push, "shm://example/libuv"));
    for (int i = 0; i < MESSAGES; i++) {
        must(shm_send(push, &i, sizeof i, 0));
        if (i % 10 == 0)
            usleep(1000);
    }
    return shm_close(push);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    shm_socket_t *pull = poll->data;
    int number;

    (void)status;
    (void)events;
    while (shm_recv(pull, &number, sizeof number, SHM_DONTWAIT) >= 0)
        if (number != received++)
            printf("out of order\n");
    must(errno == EAGAIN ? 0 : -1);
    if (received == MESSAGES)
        uv_stop(poll->loop);
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
    ticks++;
}

int main(void)
{
    uv_loop_t *loop = uv_default_loop();
    uv_timer_t timer;
    uv_poll_t poll;
    shm_socket_t *pull;
    int fd;
    size_t room = sizeof fd;

    if (must(fork()) == 0)
        return sender();
    pull = must_open(SHM_PULL);
    must(shm_bind(pull, "shm://example/libuv"));
    must(shm_getsockopt(pull, SHM_FD, &fd, &room));
    uv_timer_init(loop, &timer);
    uv_timer_start(&timer, on_tick, 1, 1);
    uv_poll_init(loop, &poll, fd);
    poll.data = pull;
    uv_poll_start(&poll, UV_READABLE, on_readable);
    uv_run(loop, UV_RUN_DEFAULT);

    printf("received %d messages in order, the timer %s meanwhile\n", received,
           ticks > 0 ? "ticked" : "stood still");
    uv_poll_stop(&poll);
    wait(NULL);
    return shm_close(pull);
}
