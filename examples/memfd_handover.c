/* SPDX-License-Identifier: MIT */
/*
 * Two sockets that share no directory (other users, other containers). Each hands its memory to
 * the other, as descriptors over a Unix socket, and can then read but not write what the other
 * sends. Here the Unix socket is a socketpair; a service would accept() it, and ask SO_PEERCRED who
 * is there. Prints:
 *     the camera has no directory to meet in: Operation not supported
 *     the viewer sees frame 1 of 3000000 bytes
 *     the viewer sees frame 2 of 3000000 bytes
 */
#include "must.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FRAME = 3000000 };

static int view(int unix_socket)
{
    shm_socket_t *sub = must_open(SHM_SUB | SHM_MEMFD);
    shm_msg_t frame;

    must(shm_setsockopt(sub, SHM_SUBSCRIBE, "", 0));
    must(shm_handover(sub, unix_socket, 5000));
    for (int i = 0; i < 2; i++) {
        must(shm_msg_init(&frame));
        must(shm_msg_recv(&frame, sub, 0)); /* no copy */
        const unsigned char *pixels = shm_msg_data(&frame);
        printf("the viewer sees frame %d of %zu bytes\n", pixels[FRAME - 1], shm_msg_size(&frame));
        must(shm_msg_close(&frame));
    }
    return shm_close(sub);
}

int main(void)
{
    static unsigned char frame[FRAME];
    int unix_sockets[2];

    must(socketpair(AF_UNIX, SOCK_STREAM, 0, unix_sockets));
    if (must(fork()) == 0)
        return view(unix_sockets[1]);
    shm_socket_t *pub = must_open(SHM_PUB | SHM_MEMFD);
    if (shm_bind(pub, "shm://example/camera") < 0)
        printf("the camera has no directory to meet in: %s\n", shm_strerror(errno));
    fflush(stdout);
    must(shm_handover(pub, unix_sockets[0], 5000));
    shm_event_t event;
    do
        must(shm_event_recv(pub, &event, 0));
    while (event.event != SHM_EVENT_CONNECTED);
    for (int i = 1; i <= 2; i++) {
        memset(frame, i, sizeof frame);
        must(shm_send(pub, frame, sizeof frame, 0));
    }
    wait(NULL);
    return shm_close(pub);
}
