/* SPDX-License-Identifier: MIT */
/*
 * A client of reqrep_server. It may be started first: the request waits until the service is there.
 * After three seconds without a reply it gives up; with SHM_REQ_RELAXED it could ask again.
 * Prints:
 *     get_status: ok 0.00
 *     move_joint 0.75: ok
 *     get_status: ok 0.75
 *     dance: error: unknown command
 *     stop: ok
 */
#include "must.h"

#include <string.h>

int main(void)
{
    static const char *const requests[] = {"get_status", "move_joint 0.75", "get_status", "dance",
                                           "stop"};
    shm_socket_t *req = must_open(SHM_REQ);

    must(shm_connect(req, "shm://robot/arm"));
    must_set(req, SHM_RCVTIMEO, 3000);
    must_set(req, SHM_LINGER, 0); /* at the end, do not wait for a service that never came */
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        char reply[64];
        ssize_t size;

        must(shm_send(req, requests[i], strlen(requests[i]), 0));
        size = shm_recv(req, reply, sizeof reply, 0);
        if (size < 0) {
            fprintf(stderr, "the arm service does not answer: %s\n", shm_strerror(errno));
            shm_close(req);
            return 1;
        }
        printf("%s: %.*s\n", requests[i], (int)size, reply);
    }
    return shm_close(req);
}
