/* SPDX-License-Identifier: MIT */
/* PAIR: one peer, and what happens when it goes. */
#include "support/short.h"

#include <sys/statvfs.h>
#include <sys/sysinfo.h>

struct duo {
    shm_socket_t *a, *b;
};

static struct duo duo_new(void)
{
    struct duo duo = {socket_new(SHM_PAIR), socket_new(SHM_PAIR)};

    CHECK_OK(shm_bind(duo.a, "it"));
    CHECK_OK(shm_connect(duo.b, "it"));
    join(duo.a, duo.b);
    return duo;
}

/* ---- The second peer ---- */

TEST_THAT(a_second_peer_is_rejected_with_an_event)
{
    struct duo duo = duo_new();
    shm_socket_t *third = socket_connected(SHM_PAIR);
    char byte;

    await_events(third, SHM_EVENT_REJECTED, duo.a, SHM_EVENT_REJECTED);
    CHECK_INT(shm_recv(third, &byte, 1, SHM_DONTWAIT), -1);
    send_text_now(duo.a, "one");
    expect_text_now(duo.b, "one");
    send_text_now(duo.b, "two");
    expect_text_now(duo.a, "two");
    expect_nothing(duo.a);
    CHECK_INT(get_stats(duo.a).peers, 1);
    CHECK_INT(get_stats(third).peers, 0);
    CLOSE_ALL(third, duo.a, duo.b);
}

/* Otherwise its messages would go to the two in turn. */
TEST_THAT(a_second_connection_is_refused)
{
    struct duo duo = duo_new();
    shm_socket_t *waits = socket_new(SHM_PAIR);

    CHECK_OK(shm_connect(duo.b, "it")); /* the same: nothing */
    CHECK_ERR(shm_connect(duo.b, "that"), EISCONN);
    CHECK_ERR(shm_connect(duo.a, "that"), EISCONN);
    CHECK_OK(shm_bind(duo.b, "that")); /* for when the place is free */
    send_text_now(duo.b, "one");
    send_text_now(duo.b, "two");
    expect_text_now(duo.a, "one");
    expect_text_now(duo.a, "two");
    CHECK_OK(shm_connect(waits, "another"));
    CHECK_ERR(shm_connect(waits, "it"), EISCONN);
    CHECK_OK(shm_disconnect(waits, "another"));
    CHECK_OK(shm_connect(waits, "that"));
    await_events(waits, SHM_EVENT_REJECTED, duo.b, SHM_EVENT_REJECTED);
    CHECK_OK(shm_close(duo.a));
    CHECK_OK(shm_disconnect(duo.b, "it"));
    join(waits, duo.b);
    send_text_now(waits, "three");
    CHECK_ERR(shm_send(duo.b, "four", 4, SHM_DONTWAIT), EPIPE); /* the first one has gone */
    expect_text_now(duo.b, "three");
    CLOSE_ALL(waits, duo.b);
}

/* A binder that is rejected passes on how far the one before it had read. */
TEST_THAT(what_passed_before_a_rejection_is_neither_lost_nor_repeated)
{
    for (int other = 0; other < 2; other++) { /* rejected by a PAIR that has a peer, and by another type */
        shm_socket_t *first = socket_new(SHM_PAIR), *second = socket_new(other ? SHM_PULL : SHM_PAIR);
        shm_socket_t *third = socket_new(SHM_PAIR), *peer = socket_new(other ? SHM_PUSH : SHM_PAIR);
        shm_socket_t *there = socket_new(SHM_PAIR);
        char byte;

        CHECK_OK(shm_bind(second, "elsewhere"));
        CHECK_OK(shm_connect(peer, "elsewhere"));
        join(second, peer);
        CHECK_OK(shm_connect(there, "it"));
        send_text_now(there, "read");
        send_text_now(there, "unread");
        CHECK_OK(shm_bind(first, "it"));
        expect_text_now(first, "read");
        send_text_now(first, "one");
        CHECK_OK(shm_close(first));
        CHECK_OK(shm_bind(second, "it"));
        expect_text_now(there, "one");
        CHECK_ERR(shm_recv(there, &byte, 1, SHM_DONTWAIT), EPIPE); /* the first one has gone */
        await_events(there, SHM_EVENT_REJECTED, second, SHM_EVENT_REJECTED);
        CHECK_OK(shm_close(second));
        CHECK_OK(shm_bind(third, "it"));
        expect_text_now(third, "unread");
        expect_nothing(third);
        send_text_now(third, "two");
        expect_text_now(there, "two");
        CLOSE_ALL(peer, third, there);
    }
}

TEST_THAT(types_that_do_not_fit_are_rejected_with_an_event)
{
    static const struct {
        int bound, other;
    } cases[] = {
        {SHM_PAIR, SHM_DEALER}, {SHM_PUB, SHM_PULL},   {SHM_PUSH, SHM_SUB},   {SHM_REP, SHM_REP},
        {SHM_REQ, SHM_REQ},     {SHM_SUB, SHM_SUB},    {SHM_PUB, SHM_PUB},    {SHM_PULL, SHM_PULL},
        {SHM_PUSH, SHM_PUSH},   {SHM_ROUTER, SHM_REP}, {SHM_REQ, SHM_DEALER}, {SHM_XPUB, SHM_PUB},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        shm_socket_t *bound = socket_new(cases[i].bound), *other = socket_new(cases[i].other);

        CHECK_OK(shm_bind(bound, "it"));
        CHECK_OK(shm_connect(other, "it"));
        await_events(other, SHM_EVENT_REJECTED, bound, SHM_EVENT_REJECTED);
        CHECK_INT(get_stats(bound).peers, 0);
        CHECK_INT(get_stats(other).peers, 0);
        CLOSE_ALL(other, bound);
    }
}

/* ---- The peer goes ---- */

TEST_THAT(a_send_after_the_peer_has_gone_is_epipe_once)
{
    struct duo duo = duo_new();

    CHECK_OK(shm_close(duo.b));
    await_event(duo.a, SHM_EVENT_LEFT);
    CHECK_ERR(shm_send(duo.a, "x", 1, 0), EPIPE);
    CHECK_ERR(shm_send(duo.a, "x", 1, SHM_DONTWAIT), EAGAIN);
    CHECK_INT(get_stats(duo.a).sent, 0);
    CHECK_OK(shm_close(duo.a));
}

TEST_THAT(a_receive_after_the_peer_has_gone_is_epipe_once_behind_its_messages)
{
    struct duo duo = duo_new();
    char byte;

    send_text_now(duo.b, "one");
    send_text_now(duo.b, "two");
    CHECK_OK(shm_close(duo.b));
    expect_text_now(duo.a, "one");
    expect_text_now(duo.a, "two");
    CHECK_ERR(shm_recv(duo.a, &byte, 1, 0), EPIPE);
    expect_nothing(duo.a);
    CHECK_OK(shm_close(duo.a));
}

static void say_two_and_die(struct child *up, void *argument)
{
    shm_socket_t *pair = socket_connected(SHM_PAIR);

    await_event(pair, SHM_EVENT_CONNECTED);
    send_text_now(pair, "one");
    send_text_now(pair, "two");
    child_say(up, 1);
    child_hear(up);
}

TEST_THAT(a_killed_peer_is_epipe_once_behind_its_messages)
{
    shm_socket_t *pair = socket_bound(SHM_PAIR);

    for (int i = 0; i < 5; i++) {
        struct child child = child_start(say_two_and_die, NULL);
        char byte;

        await_event(pair, SHM_EVENT_CONNECTED);
        CHECK_INT(child_hear(&child), 1);
        child_kill(&child);
        expect_text_now(pair, "one");
        expect_text_now(pair, "two");
        CHECK_ERR(shm_recv(pair, &byte, 1, 0), EPIPE);
        expect_nothing(pair);
    }
    CHECK_OK(shm_close(pair));
}

/* A peer that sleeps in a call is told, too. */
static void wait_for_sleep_and_close(struct child *up, void *argument)
{
    shm_socket_t *pair = socket_connected(SHM_PAIR);
    bool by_kill = *(const bool *)argument;

    await_event(pair, SHM_EVENT_CONNECTED);
    await_asleep(up->pid);
    if (by_kill)
        kill_guarded(getpid(), 9);
    CHECK_OK(shm_close(pair));
}

TEST_THAT(a_sleeping_receive_is_ended_by_the_end_of_the_peer)
{
    for (int by_kill = 0; by_kill < 2; by_kill++) {
        shm_socket_t *pair = socket_new(SHM_PAIR);
        bool flag = by_kill;
        struct child child = child_start(wait_for_sleep_and_close, &flag);
        char byte;

        CHECK_OK(shm_bind(pair, "it"));
        CHECK_ERR(shm_recv(pair, &byte, 1, 0), EPIPE);
        if (by_kill)
            child_reap(&child);
        else
            child_wait(&child);
        CHECK_OK(shm_close(pair));
    }
}

TEST_THAT(a_full_send_is_ended_by_the_end_of_the_peer)
{
    for (int by_kill = 0; by_kill < 2; by_kill++) {
        shm_socket_t *pair = socket_new(SHM_PAIR);
        bool flag = by_kill;
        struct child child = child_start(wait_for_sleep_and_close, &flag);
        ssize_t n;

        set_int(pair, SHM_SNDHWM, 4);
        CHECK_OK(shm_bind(pair, "it"));
        await_event(pair, SHM_EVENT_CONNECTED);
        do
            n = shm_send(pair, "x", 1, 0);
        while (n == 1);
        CHECK(n == -1 && errno == EPIPE);
        if (by_kill)
            child_reap(&child);
        else
            child_wait(&child);
        CHECK_OK(shm_close(pair));
    }
}

TEST_THAT(a_pair_takes_a_new_peer_when_the_old_one_has_gone)
{
    struct duo duo = duo_new();
    char byte;

    for (int i = 0; i < 10; i++) {
        CHECK_OK(shm_close(duo.b));
        await_event(duo.a, SHM_EVENT_LEFT);
        CHECK_ERR(shm_send(duo.a, "x", 1, 0), EPIPE);
        shm_recv(duo.a, &byte, 1, SHM_DONTWAIT); /* told here, too, or not */
        duo.b = socket_new(SHM_PAIR);
        CHECK_OK(shm_connect(duo.b, "it"));
        join(duo.a, duo.b);
        send_text_now(duo.a, "one");
        expect_text_now(duo.b, "one");
        send_text_now(duo.b, "two");
        expect_text_now(duo.a, "two");
        expect_nothing(duo.a);
        expect_nothing(duo.b);
    }
    CLOSE_ALL(duo.a, duo.b);
}

/* The one that was turned away may try again when the first one has gone. */
TEST_THAT(a_rejected_peer_may_try_again_when_the_place_is_free)
{
    struct duo duo = duo_new();
    shm_socket_t *third = socket_connected(SHM_PAIR);
    char byte;

    await_events(third, SHM_EVENT_REJECTED, duo.a, SHM_EVENT_REJECTED);
    CHECK_OK(shm_close(duo.b));
    CHECK_ERR(shm_recv(duo.a, &byte, 1, 0), EPIPE);
    CHECK_OK(shm_disconnect(third, "it"));
    CHECK_OK(shm_connect(third, "it"));
    join(duo.a, third);
    send_text_now(third, "mine");
    /* The third took the free place at once, and has left since. */
    CHECK_ERR(shm_recv(duo.a, &byte, 1, SHM_DONTWAIT), EPIPE);
    expect_text_now(duo.a, "mine");
    CLOSE_ALL(duo.a, third);
}

/* ---- Both ways ---- */

TEST_THAT(both_ways_are_full_duplex_and_independent)
{
    struct duo duo = {socket_new(SHM_PAIR), socket_new(SHM_PAIR)};
    char text[16];

    set_int(duo.a, SHM_SNDHWM, 10);
    set_int(duo.b, SHM_SNDHWM, 20);
    CHECK_OK(shm_bind(duo.a, "it"));
    CHECK_OK(shm_connect(duo.b, "it"));
    join(duo.a, duo.b);
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof text, "%d", i);
        if (i < 10)
            send_text_now(duo.a, text);
        send_text_now(duo.b, text);
    }
    CHECK_ERR(shm_send(duo.a, "x", 1, SHM_DONTWAIT), EAGAIN);
    CHECK_ERR(shm_send(duo.b, "x", 1, SHM_DONTWAIT), EAGAIN);
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof text, "%d", i);
        if (i < 10)
            expect_text_now(duo.b, text);
        expect_text_now(duo.a, text);
    }
    CLOSE_ALL(duo.a, duo.b);
}

/* ---- Size ---- */

#define HUGE_SIZE ((size_t)5 << 29) /* more than 31 bits can say */

static void send_huge(struct child *up, void *argument)
{
    shm_socket_t *pair = socket_connected(SHM_PAIR);
    shm_msg_t msg;

    CHECK_OK(shm_msg_loan(&msg, pair, HUGE_SIZE));
    unsigned char *bytes = shm_msg_data(&msg);
    bytes[0] = 1;
    bytes[HUGE_SIZE / 2] = 2;
    bytes[HUGE_SIZE - 1] = 3;
    CHECK_INT(shm_msg_send(&msg, pair, 0), HUGE_SIZE);
    child_hear(up);
    CHECK_OK(shm_close(pair));
}

TEST_WITHIN(120, a_message_may_have_gigabytes)
{
    struct statvfs space;
    struct sysinfo memory;
    shm_msg_t msg;

    CHECK_OK(statvfs(test_dir(), &space));
    CHECK_OK(sysinfo(&memory));
    if ((uint64_t)space.f_bavail * space.f_frsize < 2 * HUGE_SIZE ||
        (uint64_t)memory.freeram * memory.mem_unit < 2 * HUGE_SIZE)
        skip_test("not twice 2.5 GiB free");
    shm_socket_t *pair = socket_bound(SHM_PAIR);
    struct child child = child_start(send_huge, NULL);
    CHECK_OK(shm_msg_init(&msg));
    CHECK_INT(shm_msg_recv(&msg, pair, 0), HUGE_SIZE);
    const unsigned char *bytes = shm_msg_data(&msg);
    CHECK(bytes[0] == 1 && bytes[HUGE_SIZE / 2] == 2 && bytes[HUGE_SIZE - 1] == 3);
    CHECK_OK(shm_msg_close(&msg));
    child_end(&child);
    CHECK_OK(shm_close(pair));
}
