/* SPDX-License-Identifier: MIT */
#include "sockets.h"

#include <fcntl.h>
#include <sched.h>

#include "harness.h"

bool test_has_key(void)
{
    const char *auth = getenv("SHMQ_TEST_AUTH");

    return auth && *auth;
}

int socket_set_key(shm_socket_t *socket, bool seal)
{
    static const unsigned char key[32] = {1, 2, 3};
    int value = seal;

    if (shm_setsockopt(socket, SHM_AUTH_KEY, key, sizeof key) < 0)
        return -1;
    return shm_setsockopt(socket, SHM_AUTH_SEAL, &value, sizeof value);
}

bool keys_are_supported(void)
{
    shm_socket_t *socket = CHECK_PTR(shm_socket(SHM_PAIR));
    bool are = socket_set_key(socket, false) == 0;

    CHECK_OK(shm_close(socket));
    return are;
}

shm_socket_t *socket_new(int type)
{
    shm_socket_t *socket = CHECK_PTR(shm_socket(type));

    set_int(socket, SHM_LINGER, 0);
    if (test_has_key())
        CHECK_OK(socket_set_key(socket, strcmp(getenv("SHMQ_TEST_AUTH"), "sealed") == 0));
    return socket;
}

shm_socket_t *memfd_socket(int type)
{
    shm_socket_t *socket = CHECK_PTR(shm_socket(type | SHM_MEMFD));

    set_int(socket, SHM_LINGER, 0);
    return socket;
}

void set_int(shm_socket_t *socket, int option, int value)
{
    CHECK_OK(shm_setsockopt(socket, option, &value, sizeof value));
}

int get_int(shm_socket_t *socket, int option)
{
    int value = -4711;
    size_t size = sizeof value;

    CHECK_OK(shm_getsockopt(socket, option, &value, &size));
    CHECK_INT(size, sizeof value);
    return value;
}

uint64_t lost_of(shm_socket_t *socket)
{
    uint64_t lost = UINT64_MAX;
    size_t size = sizeof lost;

    CHECK_OK(shm_getsockopt(socket, SHM_LOST, &lost, &size));
    CHECK_INT(size, sizeof lost);
    return lost;
}

shm_stats_t get_stats(shm_socket_t *socket)
{
    shm_stats_t stats;
    size_t size = sizeof stats;

    CHECK_OK(shm_getsockopt(socket, SHM_STATS, &stats, &size));
    CHECK_INT(size, sizeof stats);
    return stats;
}

bool socket_has_event(shm_socket_t *socket, int wanted)
{
    shm_event_t event;

    while (shm_event_recv(socket, &event, SHM_DONTWAIT) == 0)
        if (event.event == wanted)
            return true;
    CHECK_INT(errno, EAGAIN);
    return false;
}

void await_events(shm_socket_t *a, int a_event, shm_socket_t *b, int b_event)
{
    bool a_has = false, b_has = false;

    while (!a_has || !b_has) {
        a_has = a_has || socket_has_event(a, a_event);
        b_has = b_has || socket_has_event(b, b_event);
        sched_yield();
    }
}

shm_event_t await_event(shm_socket_t *socket, int wanted)
{
    shm_event_t event;
    int timeout = get_int(socket, SHM_RCVTIMEO);

    set_int(socket, SHM_RCVTIMEO, -1);
    do
        CHECK_OK(shm_event_recv(socket, &event, 0));
    while (event.event != wanted);
    set_int(socket, SHM_RCVTIMEO, timeout);
    return event;
}

void join(shm_socket_t *a, shm_socket_t *b)
{
    await_events(a, SHM_EVENT_CONNECTED, b, SHM_EVENT_CONNECTED);
}

shm_socket_t *socket_bound(int type)
{
    shm_socket_t *socket = socket_new(type);

    CHECK_OK(shm_bind(socket, "it"));
    return socket;
}

shm_socket_t *socket_bound_with(int type, int option, int value)
{
    shm_socket_t *socket = socket_new(type);

    set_int(socket, option, value);
    CHECK_OK(shm_bind(socket, "it"));
    return socket;
}

shm_socket_t *socket_connected(int type)
{
    return socket_connected_to(type, "it");
}

shm_socket_t *socket_connected_to(int type, const char *name)
{
    shm_socket_t *socket = socket_new(type);

    CHECK_OK(shm_connect(socket, name));
    return socket;
}

void pair_up(shm_socket_t *binds, shm_socket_t *connects)
{
    pair_up_at("it", binds, connects);
}

void pair_up_at(const char *name, shm_socket_t *binds, shm_socket_t *connects)
{
    CHECK_OK(shm_bind(binds, name));
    CHECK_OK(shm_connect(connects, name));
    join(binds, connects);
}

void connect_to(shm_socket_t *bound, shm_socket_t *socket)
{
    CHECK_OK(shm_connect(socket, "it"));
    join(bound, socket);
}

shm_socket_t *socket_joined(shm_socket_t *bound, int type)
{
    shm_socket_t *socket = socket_new(type);

    connect_to(bound, socket);
    return socket;
}

void duo_run(int a_type, int b_type, duo_body *body)
{
    shm_socket_t *a = socket_bound(a_type), *b = socket_joined(a, b_type);

    body(a, b);
    CLOSE_ALL(a, b);
}

void sockets_join(shm_socket_t *bound, int type, shm_socket_t **sockets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sockets[i] = socket_joined(bound, type);
}

ssize_t recv_byte(shm_socket_t *socket, int flags)
{
    char byte;

    return shm_recv(socket, &byte, 1, flags);
}

shm_msg_t msg_new(void)
{
    shm_msg_t msg;

    CHECK_OK(shm_msg_init(&msg));
    return msg;
}

shm_socket_t *sub_new(const char *prefix)
{
    shm_socket_t *sub = socket_new(SHM_SUB);

    if (prefix)
        subscribe_to(sub, prefix);
    return sub;
}

void subscribe_to(shm_socket_t *sub, const char *prefix)
{
    CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, prefix, strlen(prefix)));
}

void unsubscribe_from(shm_socket_t *sub, const char *prefix)
{
    CHECK_OK(shm_setsockopt(sub, SHM_UNSUBSCRIBE, prefix, strlen(prefix)));
}

int socket_attach(shm_socket_t *socket, bool binds, const char *name)
{
    return binds ? shm_bind(socket, name) : shm_connect(socket, name);
}

int socket_detach(shm_socket_t *socket, bool binds, const char *name)
{
    return binds ? shm_unbind(socket, name) : shm_disconnect(socket, name);
}
