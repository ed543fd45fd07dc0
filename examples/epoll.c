/* SPDX-License-Identifier: MIT */
/*
 * A socket in your own epoll loop: SHM_FD is readable when the socket may be ready. Read until
 * EAGAIN each time: that is correct for level and for edge triggering, and one wake serves all the
 * messages that have come by then. Senders pay for a wake only while somebody sleeps on the descriptor. Prints:
 *     received 1000 messages in order
 */
#include "must.h"

#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#define MESSAGES 1000

static int sender(void)
{
    shm_socket_t *push = must_open(SHM_PUSH);

    must(shm_connect(push, "shm://example/epoll"));
    for (int i = 0; i < MESSAGES; i++) {
        must(shm_send(push, &i, sizeof i, 0));
        if (i % 100 == 0)
            usleep(1000); /* let the other side go to sleep now and then */
    }
    return shm_close(push);
}

/* Returns the next number to expect. */
static int drain(shm_socket_t *pull, int expected)
{
    int number;

    while (shm_recv(pull, &number, sizeof number, SHM_DONTWAIT) >= 0)
        if (number != expected++)
            printf("out of order\n");
    must(errno == EAGAIN ? 0 : -1);
    return expected;
}

int main(void)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int epoll, fd, received = 0;
    size_t room = sizeof fd;
    shm_socket_t *pull;

    if (must(fork()) == 0)
        return sender();
    pull = must_open(SHM_PULL);
    must(shm_bind(pull, "shm://example/epoll"));
    must(shm_getsockopt(pull, SHM_FD, &fd, &room)); /* the socket's own: do not read or close it */
    epoll = (int)must(epoll_create1(EPOLL_CLOEXEC));
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    while (received < MESSAGES) {
        received = drain(pull, received); /* before the first wait, too: some may be there */
        if (received < MESSAGES)
            must(epoll_wait(epoll, &event, 1, 1000));
    }
    printf("received %d messages in order\n", received);
    wait(NULL);
    close(epoll);
    return shm_close(pull);
}
