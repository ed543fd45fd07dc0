/* SPDX-License-Identifier: MIT */
/*
 * A request/reply service: an arm that knows three commands, and reports an unknown one. It answers
 * in the order of the requests, to whoever asked. With a receive timeout it can do something else
 * while nobody asks. Ends after "stop". Prints:
 *     get_status -> ok 0.00
 *     move_joint 0.75 -> ok
 *     get_status -> ok 0.75
 *     dance -> error: unknown command
 *     stop -> ok
 */
#include "must.h"

#include <string.h>

static double angle;

static void answer(const char *request, char *reply, size_t room)
{
    if (strcmp(request, "get_status") == 0)
        snprintf(reply, room, "ok %.2f", angle);
    else if (sscanf(request, "move_joint %lf", &angle) == 1 || strcmp(request, "stop") == 0)
        snprintf(reply, room, "ok");
    else
        snprintf(reply, room, "error: unknown command");
}

int main(void)
{
    shm_socket_t *rep = must_open(SHM_REP);
    char request[64] = "", reply[64];

    must(shm_bind(rep, "shm://robot/arm"));
    must_set(rep, SHM_RCVTIMEO, 1000);
    while (strcmp(request, "stop") != 0) {
        ssize_t size = shm_recv(rep, request, sizeof request - 1, 0);

        if (size < 0 && errno == EAGAIN) {
            puts("heartbeat: nobody asks");
            continue;
        }
        must(size);
        /* the size of the whole message: larger than the buffer if it was cut off */
        request[size < (ssize_t)sizeof request ? size : (ssize_t)sizeof request - 1] = '\0';
        answer(request, reply, sizeof reply);
        must(shm_send(rep, reply, strlen(reply), 0));
        printf("%s -> %s\n", request, reply);
    }
    return shm_close(rep);
}
