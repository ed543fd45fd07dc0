/* SPDX-License-Identifier: MIT */
/* Sockets in short: made as SHMQ_TEST_AUTH says, their options, and waiting for their events. */
#ifndef SHMQ_TEST_SOCKETS_H
#define SHMQ_TEST_SOCKETS_H

#include "harness.h"

/* SHMQ_TEST_AUTH: is the same test now run with a key? For what a key changes (docs/SECURITY.md). */
bool test_has_key(void);
/* A socket with LINGER 0; with a key if SHMQ_TEST_AUTH says so. */
shm_socket_t *socket_new(int type);
/* One for shm_handover(), without a key. */
shm_socket_t *memfd_socket(int type);
/* The key of all tests; -1 and ENOTSUP where the library was built without keys. */
int socket_set_key(shm_socket_t *socket, bool seal);
bool keys_are_supported(void);
/* Bind or connect; unbind or disconnect. As those. */
int socket_attach(shm_socket_t *socket, bool binds, const char *name);
int socket_detach(shm_socket_t *socket, bool binds, const char *name);
void set_int(shm_socket_t *socket, int option, int value);
int get_int(shm_socket_t *socket, int option);
uint64_t lost_of(shm_socket_t *socket);
shm_stats_t get_stats(shm_socket_t *socket);
/* Is EVENT there? Others are dropped. */
bool socket_has_event(shm_socket_t *socket, int event);
/* Wait until both have seen EVENT (others are dropped), without either blocking the other. */
void await_events(shm_socket_t *a, int a_event, shm_socket_t *b, int b_event);
/* Wait until SOCKET has seen EVENT; others are dropped. */
shm_event_t await_event(shm_socket_t *socket, int event);
/* Wait until each is the other's peer. */
void join(shm_socket_t *a, shm_socket_t *b);

/* As shm_recv(), of a byte at most, which is dropped. */
ssize_t recv_byte(shm_socket_t *socket, int flags);
shm_msg_t msg_new(void);
/* A SUB that subscribes to PREFIX, or to nothing if that is NULL. */
shm_socket_t *sub_new(const char *prefix);
void subscribe_to(shm_socket_t *sub, const char *prefix);
void unsubscribe_from(shm_socket_t *sub, const char *prefix);

/* Everybody meets at "it". */
shm_socket_t *socket_bound(int type);
shm_socket_t *socket_bound_with(int type, int option, int value);
shm_socket_t *socket_connected(int type);
shm_socket_t *socket_connected_to(int type, const char *name);
/* Bind the one, connect the other, and wait until they have met. */
void pair_up(shm_socket_t *binds, shm_socket_t *connects);
void pair_up_at(const char *name, shm_socket_t *binds, shm_socket_t *connects);
/* Connect SOCKET, or a new one, and wait until it has met BOUND. */
void connect_to(shm_socket_t *bound, shm_socket_t *socket);
shm_socket_t *socket_joined(shm_socket_t *bound, int type);
/* COUNT such sockets. */
void sockets_join(shm_socket_t *bound, int type, shm_socket_t **sockets, size_t count);
/* A test with two that have met, A having bound; they are closed after it, A first. */
typedef void duo_body(shm_socket_t *a, shm_socket_t *b);
void duo_run(int a_type, int b_type, duo_body *body);
#define TEST_DUO(a_type, b_type, sentence, a, b)                                                                       \
    static duo_body sentence##_of;                                                                                     \
    TEST_THAT(sentence)                                                                                                \
    {                                                                                                                  \
        duo_run(a_type, b_type, sentence##_of);                                                                        \
    }                                                                                                                  \
    static void sentence##_of(shm_socket_t *a, shm_socket_t *b)

#endif
