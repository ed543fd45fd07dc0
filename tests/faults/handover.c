/* SPDX-License-Identifier: MIT */
#include "handover.h"

#include <sys/socket.h>

#include "core/socket.h"

static shm_socket_t *open_one(int type)
{
    shm_socket_t *socket = CHECK_PTR(shm_socket(type | SHM_MEMFD));

    set_int(socket, SHM_LINGER, 0);
    set_int(socket, SHM_RCVTIMEO, 5000);
    set_int(socket, SHM_SNDTIMEO, 5000);
    if (type == SHM_SUB)
        CHECK_OK(shm_setsockopt(socket, SHM_SUBSCRIBE, "", 0));
    if (type == SHM_PUB)
        set_int(socket, SHM_LOSSLESS, 1);
    return socket;
}

shm_socket_t *open_beside(int type, const char *id_hex, bool binds)
{
    for (;;) {
        shm_socket_t *socket = open_one(type);

        if ((strcmp(socket->segment.id_hex, id_hex) > 0) == binds)
            return socket;
        CHECK_OK(shm_close(socket));
    }
}

shm_socket_t *open_between(int type)
{
    shm_socket_t *socket = open_one(type);

    while (strcmp(socket->segment.id_hex, "4") < 0 || strcmp(socket->segment.id_hex, "c") > 0) {
        CHECK_OK(shm_close(socket));
        socket = open_one(type);
    }
    return socket;
}

void poll_once(shm_socket_t *socket)
{
    CHECK_OK(shm_poll(&(shm_pollitem_t){socket, -1, 0, 0}, 1, 1));
}

void await_peers(shm_socket_t *socket, uint64_t peers)
{
    int64_t end = now_ms() + 5000;

    while (get_stats(socket).peers != peers) {
        poll_once(socket);
        CHECK(now_ms() < end);
    }
}

int hand_over(shm_socket_t *socket, int end, int timeout_ms)
{
    int error = shm_handover(socket, end, timeout_ms) == 0 ? 0 : errno;

    if (error != 0)
        shutdown(end, SHUT_RDWR);
    return error;
}
