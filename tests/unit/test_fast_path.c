/* SPDX-License-Identifier: MIT */
/* A socket that never waits, on the fast path or not, notices deaths by time: however slowly it is called. */
#include "core/fast_path.h"
#include "support/harness.h"

#define NOTICED_MS 1500 /* a second, and what a busy machine adds */

static shm_socket_t *new_socket(int type)
{
    shm_socket_t *socket = CHECK_PTR(shm_socket(type));
    CHECK_OK(shm_setsockopt(socket, SHM_LINGER, &(int){0}, sizeof(int)));
    if (type == SHM_SUB)
        CHECK_OK(shm_setsockopt(socket, SHM_SUBSCRIBE, "", 0));
    return socket;
}

/* The socket's own counter: shm_getsockopt() would look at the peers. */
static uint64_t counted(shm_socket_t *socket, unsigned stat)
{
    return load_relaxed(&socket->stats[stat]);
}

static void await_peers(shm_socket_t *socket, uint64_t peers)
{
    shm_event_t event;
    while (counted(socket, STAT_PEERS) != peers)
        CHECK_OK(shm_event_recv(socket, &event, 0));
}

static void connect_and_receive(struct child *up, void *type)
{
    shm_socket_t *peer = new_socket(*(const int *)type);
    char byte;
    CHECK_OK(shm_connect(peer, "it"));
    await_peers(peer, 1);
    child_say(up, 1);
    while (shm_recv(peer, &byte, 1, 0) == 1)
        if (byte == '.') /* the last one that it is to read */
            child_say(up, 2);
}

struct sender {
    int type, peer_type;
    bool in_turn, two; /* SHM_ROUND_ROBIN; the second peer lives on */
};

/* One peer is killed; from then on every message is sent 33 ms after the last. */
static void send_to_the_dead(const struct sender *row, unsigned burst)
{
    shm_socket_t *from = new_socket(row->type), *living = NULL;
    struct child child;
    uint64_t arrived = 0, before;
    char byte;
    if (row->in_turn)
        CHECK_OK(shm_setsockopt(from, SHM_ROUND_ROBIN, &(int){1}, sizeof(int)));
    CHECK_OK(shm_bind(from, "it"));
    child = child_start(connect_and_receive, (void *)(uintptr_t)&row->peer_type);
    await_peers(from, 1);
    child_hear(&child);
    for (unsigned n = 0; n < burst; n++)
        CHECK_OK(shm_send(from, "x", 1, 0));
    CHECK_OK(shm_send(from, ".", 1, 0));
    CHECK_INT(child_hear(&child), 2);
    if (row->two) {
        living = new_socket(row->peer_type);
        CHECK_OK(shm_connect(living, "it"));
        await_peers(from, 2);
        await_peers(living, 1);
    }
    before = counted(from, STAT_SENT);
    child_kill(&child);
    for (int64_t killed_at = now_ms(); counted(from, STAT_PEERS) != (row->two ? 1 : 0); pass_ms(33)) {
        if (shm_send(from, "x", 1, SHM_DONTWAIT) < 0)
            CHECK(errno == EPIPE || errno == EAGAIN);
        CHECK(now_ms() - killed_at < NOTICED_MS);
    }
    while (living != NULL && shm_recv(living, &byte, 1, SHM_DONTWAIT) == 1)
        arrived++;
    if (row->type != SHM_PUB)
        CHECK_INT(counted(from, STAT_DROPPED), counted(from, STAT_SENT) - before - arrived);
    CHECK_OK(shm_close(from));
    if (living != NULL)
        CHECK_OK(shm_close(living));
}

TEST_THAT(a_slow_sender_notices_a_death_within_a_second)
{
    static const struct sender rows[] = {{SHM_PAIR, SHM_PAIR, false, false},
                                         {SHM_PUB, SHM_SUB, false, false},
                                         {SHM_DEALER, SHM_DEALER, false, true},
                                         {SHM_PUSH, SHM_PULL, true, true}};
    leave_files(); /* of the killed */
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        send_to_the_dead(&rows[i], 0);
        send_to_the_dead(&rows[i], 5000); /* just now it was a fast one */
    }
}

static void publish_and_wait(struct child *up, void *unused)
{
    shm_socket_t *pub = new_socket(SHM_PUB);
    CHECK_OK(shm_connect(pub, "it"));
    await_peers(pub, 1);
    child_stay(up, 1);
}

TEST_THAT(a_receiver_that_never_waits_notices_the_death_of_another_peer)
{
    shm_socket_t *sub = new_socket(SHM_SUB), *pub = new_socket(SHM_PUB);
    char byte;
    CHECK_OK(shm_bind(sub, "it"));
    CHECK_OK(shm_connect(pub, "it"));
    struct child child = child_start(publish_and_wait, NULL);
    await_peers(sub, 2);
    await_peers(pub, 1);
    child_hear(&child);
    child_kill(&child);
    for (int64_t killed_at = now_ms(); counted(sub, STAT_PEERS) != 1; pass_ms(33)) {
        CHECK_OK(shm_send(pub, "x", 1, 0));
        CHECK_INT(shm_recv(sub, &byte, 1, SHM_DONTWAIT), 1);
        CHECK(now_ms() - killed_at < NOTICED_MS);
    }
    CHECK_OK(shm_close(sub));
    CHECK_OK(shm_close(pub));
    leave_files(); /* of the killed */
}

TEST_THAT(a_puller_that_never_waits_looks_for_claims_of_the_dead)
{
    shm_socket_t *push = new_socket(SHM_PUSH), *pull = new_socket(SHM_PULL);
    char byte;
    CHECK_OK(shm_bind(push, "it"));
    CHECK_OK(shm_connect(pull, "it"));
    for (unsigned n = 0; n < 2000; n++) {
        if (n == 1000)
            pull->rx.look.acted_at = 0; /* from here on it is the fast path that receives */
        CHECK_OK(shm_send(push, "x", 1, 0));
        CHECK_INT(shm_recv(pull, &byte, 1, 0), 1);
    }
    CHECK_PTR(pull->fast.in);
    CHECK(pull->rx.look.acted_at != 0);
    CHECK_OK(shm_close(push));
    CHECK_OK(shm_close(pull));
}
