/* SPDX-License-Identifier: MIT */
/*
 * Sealed messages: both sides share a key of 32 bytes; a peer with another key is turned away. A real
 * key comes from a file that only its users can read. Prints:
 *     the right key: hello
 *     another key: turned away, and so are we
 */
#include <string.h>

#include "must.h"

static shm_socket_t *open_sealed(int type, unsigned char first_byte)
{
    shm_socket_t *socket = must_open(type);
    unsigned char key[32] = {first_byte};

    must(shm_setsockopt(socket, SHM_AUTH_KEY, key, sizeof key)); /* ENOTSUP without libsodium */
    must_set(socket, SHM_AUTH_SEAL, 1);
    must_set(socket, SHM_LINGER, 0);
    explicit_bzero(key, sizeof key); /* the socket keeps its own copy, locked in memory */
    return socket;
}

static int first_event(shm_socket_t *socket)
{
    shm_event_t event;

    must(shm_event_recv(socket, &event, 0));
    return event.event;
}

int main(void)
{
    shm_socket_t *pull = open_sealed(SHM_PULL, 1), *push = open_sealed(SHM_PUSH, 1);
    shm_socket_t *stranger = open_sealed(SHM_PUSH, 2);
    char text[16] = "";

    must(shm_bind(pull, "shm://example/sealed"));
    must(shm_connect(push, "shm://example/sealed"));
    must(shm_send(push, "hello", 5, 0));
    must(shm_recv(pull, text, sizeof text, 0));
    printf("the right key: %s\n", text);

    must(shm_connect(stranger, "shm://example/sealed"));
    if (shm_recv(pull, text, sizeof text, 0) < 0 && errno == EBADMSG && first_event(stranger) == SHM_EVENT_UNTRUSTED)
        puts("another key: turned away, and so are we");
    must(shm_close(stranger));
    must(shm_close(push));
    return shm_close(pull);
}
