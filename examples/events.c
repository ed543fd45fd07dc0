/* SPDX-License-Identifier: MIT */
/*
 * What happens to a socket's peers, as events to wait for (in shm_poll(), too, with SHM_POLLPRI):
 * here one peer closes its socket and one is killed. No timeout is involved: the kernel knows at
 * once when a process has ended. Prints:
 *     bound to example/events
 *     a SUB of process ... joined
 *     a SUB of process ... left
 *     a SUB of process ... joined
 *     a SUB of process ... died
 */
#include "must.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void subscriber(int be_killed)
{
    shm_socket_t *sub = must_open(SHM_SUB);
    shm_event_t event;

    must(shm_connect(sub, "shm://example/events"));
    must(shm_event_recv(sub, &event, 0)); /* connected */
    if (be_killed)
        raise(SIGKILL);
    shm_close(sub);
    exit(0);
}

/* Returns 1 if a peer is gone. */
static int print_next(shm_socket_t *pub)
{
    shm_event_t event;

    must(shm_event_recv(pub, &event, 0));
    switch (event.event) {
    case SHM_EVENT_BOUND:
        printf("bound to %s\n", event.endpoint);
        return 0;
    case SHM_EVENT_CONNECTED:
        printf("a %s of process %d joined\n", event.peer_type == SHM_SUB ? "SUB" : "?",
               event.peer_pid);
        return 0;
    case SHM_EVENT_LEFT:
    case SHM_EVENT_DIED:
        printf("a SUB of process %d %s\n", event.peer_pid,
               event.event == SHM_EVENT_DIED ? "died" : "left");
        return 1;
    default:
        return 0; /* later versions may know more */
    }
}

int main(void)
{
    shm_socket_t *pub = must_open(SHM_PUB);

    setvbuf(stdout, NULL, _IONBF, 0); /* so that the children print nothing twice */
    must(shm_bind(pub, "shm://example/events"));
    for (int be_killed = 0; be_killed <= 1; be_killed++) {
        if (must(fork()) == 0)
            subscriber(be_killed);
        while (!print_next(pub))
            ;
        wait(NULL);
    }
    return shm_close(pub);
}
