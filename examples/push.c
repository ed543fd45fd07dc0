/* SPDX-License-Identifier: MIT */
/*
 * A job queue: each of ten jobs goes to exactly one of the connected workers (pull), to whoever is
 * free. They may be started before or after this program, and killed: see pull.c. "push 2" first
 * waits for two of them. Closing the socket does not wait until the jobs are done, only until there
 * is somebody to do them (SHM_LINGER). Prints:
 *     queued 10 jobs
 */
#include "must.h"

static void await_workers(shm_socket_t *push, int count)
{
    shm_event_t event;

    while (count > 0) {
        must(shm_event_recv(push, &event, 0));
        if (event.event == SHM_EVENT_CONNECTED)
            count--;
    }
}

int main(int argc, char **argv)
{
    shm_socket_t *push = must_open(SHM_PUSH);

    must(shm_bind(push, "shm://robot/jobs"));
    await_workers(push, argc > 1 ? atoi(argv[1]) : 0);
    for (int job = 0; job < 10; job++)
        must(shm_send(push, &job, sizeof job, 0));
    puts("queued 10 jobs");
    return shm_close(push);
}
