/* SPDX-License-Identifier: MIT */
/* Sockets in short: made as SHMQ_TEST_AUTH says, their options, and waiting for their events. */
#ifndef SHMQ_TEST_SOCKETS_H
#define SHMQ_TEST_SOCKETS_H

#include "harness.h"

/* SHMQ_TEST_AUTH: is the same test now run with a key? For what a key changes (docs/SECURITY.md). */
bool test_has_key(void);
/* A socket with LINGER 0; with a key if SHMQ_TEST_AUTH says so. */
shm_socket_t *socket_new(int type);
/* The key of all tests; -1 and ENOTSUP where the library was built without keys. */
int socket_set_key(shm_socket_t *socket, bool seal);
bool keys_are_supported(void);
/* Bind or connect; unbind or disconnect. As those. */
int socket_attach(shm_socket_t *socket, bool binds, const char *name);
int socket_detach(shm_socket_t *socket, bool binds, const char *name);
void set_int(shm_socket_t *socket, int option, int value);
int get_int(shm_socket_t *socket, int option);
shm_stats_t get_stats(shm_socket_t *socket);
/* Is EVENT there? Others are dropped. */
bool socket_has_event(shm_socket_t *socket, int event);
/* Wait until both have seen EVENT (others are dropped), without either blocking the other. */
void await_events(shm_socket_t *a, int a_event, shm_socket_t *b, int b_event);
/* Wait until SOCKET has seen EVENT; others are dropped. */
shm_event_t await_event(shm_socket_t *socket, int event);
/* Wait until each is the other's peer. */
void join(shm_socket_t *a, shm_socket_t *b);

/* Everybody meets at "it". */
shm_socket_t *socket_bound(int type);
shm_socket_t *socket_bound_with(int type, int option, int value);
shm_socket_t *socket_connected(int type);
/* Bind the one, connect the other, and wait until they have met. */
void pair_up(shm_socket_t *binds, shm_socket_t *connects);

#endif
