/* SPDX-License-Identifier: MIT */
/*
 * A message of several parts arrives as a whole or not at all. Subscriptions are compared with the
 * first part, so a topic in a part of its own keeps the payload clean. Prints:
 *     part: camera/left
 *     part: frame 7
 *     part: 3 bytes
 */
#include "must.h"

int main(void)
{
    shm_socket_t *pub = must_open(SHM_PUB), *sub = must_open(SHM_SUB);
    char part[32];
    int more;
    size_t room = sizeof more;

    must(shm_bind(pub, "shm://example/multipart"));
    must(shm_setsockopt(sub, SHM_SUBSCRIBE, "camera/", 7));
    must(shm_connect(sub, "shm://example/multipart"));

    must(shm_send(pub, "lidar", 5, SHM_SNDMORE)); /* not subscribed: none of it arrives */
    must(shm_send(pub, "scan 1", 6, 0));
    must(shm_send(pub, "camera/left", 11, SHM_SNDMORE));
    must(shm_send(pub, "frame 7", 7, SHM_SNDMORE));
    must(shm_send(pub, "3 bytes", 7, 0)); /* the message is sent only now */

    do {
        ssize_t size = must(shm_recv(sub, part, sizeof part, 0));

        printf("part: %.*s\n", (int)size, part);
        must(shm_getsockopt(sub, SHM_RCVMORE, &more, &room));
    } while (more);
    must(shm_close(sub));
    return shm_close(pub);
}
