/* SPDX-License-Identifier: MIT */
#include "keys.h"

void set_key(shm_socket_t *socket, unsigned number)
{
    unsigned char key[32];

    memset(key, (int)number, sizeof key);
    if (number && shm_setsockopt(socket, SHM_AUTH_KEY, key, sizeof key) < 0) {
        CHECK_INT(errno, ENOTSUP);
        skip_test("built without libsodium");
    }
}

shm_socket_t *socket_with_key(int type, unsigned number)
{
    shm_socket_t *socket = socket_new(type);

    set_key(socket, number);
    return socket;
}

void set_mode(shm_socket_t *socket, enum key_mode mode)
{
    set_key(socket, mode != NO_KEY);
    if (mode != NO_KEY)
        set_int(socket, SHM_AUTH_SEAL, mode == SEALED);
}

shm_socket_t *socket_with_mode(int type, enum key_mode mode)
{
    shm_socket_t *socket = socket_new(type);

    set_mode(socket, mode);
    return socket;
}
