/* SPDX-License-Identifier: MIT */
/* Sockets with keys. Skip the test in a build without libsodium. */
#ifndef SHMQ_TEST_KEYS_H
#define SHMQ_TEST_KEYS_H

#include "ends.h"

/* A key is known by its number; 0 is none. */
void set_key(shm_socket_t *socket, unsigned number);
shm_socket_t *socket_with_key(int type, unsigned number);

enum key_mode { NO_KEY, AUTHENTICATED, SEALED, KEY_MODES };

shm_socket_t *socket_with_mode(int type, enum key_mode mode);
void set_mode(shm_socket_t *socket, enum key_mode mode);

#endif
