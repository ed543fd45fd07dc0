/* SPDX-License-Identifier: MIT */
#include "sock.h"
#include "child.h"

shm_socket_t *sock_open(int type)
{
    shm_socket_t *socket = shm_socket(type);
    int64_t park_at_once = 0;

    if (!socket)
        die("shm_socket");
    if (shm_setsockopt(socket, SHM_SPIN_NS, &park_at_once, sizeof park_at_once) < 0)
        die("SHM_SPIN_NS");
    sock_set(socket, SHM_SNDTIMEO, WAIT_MS);
    sock_set(socket, SHM_RCVTIMEO, WAIT_MS);
    return socket;
}

void sock_set(shm_socket_t *socket, int option, int value)
{
    if (shm_setsockopt(socket, option, &value, sizeof value) < 0)
        die("shm_setsockopt");
}

void sock_bind(shm_socket_t *socket, const char *endpoint)
{
    if (shm_bind(socket, endpoint) < 0)
        die(endpoint);
}

void sock_connect(shm_socket_t *socket, const char *endpoint)
{
    if (shm_connect(socket, endpoint) < 0)
        die(endpoint);
}

void sock_await_peers(shm_socket_t *socket, int count)
{
    while (count > 0) {
        shm_event_t event;

        if (shm_event_recv(socket, &event, 0) < 0)
            die("waiting for peers");
        if (event.event == SHM_EVENT_CONNECTED)
            count--;
    }
}

uint64_t sock_lost(shm_socket_t *socket)
{
    uint64_t lost = 0;
    size_t size = sizeof lost;

    if (shm_getsockopt(socket, SHM_LOST, &lost, &size) < 0)
        die("SHM_LOST");
    return lost;
}

void sock_close(shm_socket_t *socket)
{
    if (shm_close(socket) < 0)
        die("shm_close");
}
