/* SPDX-License-Identifier: MIT */
/* PAIR: one peer, and what happens when it goes. */
#include "support/short.h"

#include <sys/statvfs.h>
#include <sys/sysinfo.h>

/* Messages pass both ways, and there are no others. */
static void check_talk(shm_socket_t *a, shm_socket_t *b)
{
    pass_text_now(a, b, "one");
    pass_text_now(b, a, "two");
    expect_nothing(a);
    expect_nothing(b);
}

/* ---- The second peer ---- */

TEST_THAT(a_second_peer_is_rejected_with_an_event)
{
    shm_socket_t *a = socket_bound(SHM_PAIR), *b = socket_joined(a, SHM_PAIR);
    shm_socket_t *third = socket_connected(SHM_PAIR);

    await_events(third, SHM_EVENT_REJECTED, a, SHM_EVENT_REJECTED);
    CHECK_INT(recv_byte(third, SHM_DONTWAIT), -1);
    check_talk(a, b);
    CHECK_INT(get_stats(a).peers, 1);
    CHECK_INT(get_stats(third).peers, 0);
    CLOSE_ALL(third, a, b);
}

/* Otherwise its messages would go to the two in turn. */
TEST_THAT(a_second_connection_is_refused)
{
    shm_socket_t *a = socket_bound(SHM_PAIR), *b = socket_joined(a, SHM_PAIR);
    shm_socket_t *waits = socket_new(SHM_PAIR);

    CHECK_OK(shm_connect(b, "it")); /* the same: nothing */
    CHECK_ERR(shm_connect(b, "that"), EISCONN);
    CHECK_ERR(shm_connect(a, "that"), EISCONN);
    CHECK_OK(shm_bind(b, "that")); /* for when the place is free */
    send_text_now(b, "one");
    send_text_now(b, "two");
    expect_texts_now(a, TEXTS("one", "two"));
    CHECK_OK(shm_connect(waits, "another"));
    CHECK_ERR(shm_connect(waits, "it"), EISCONN);
    CHECK_OK(shm_disconnect(waits, "another"));
    CHECK_OK(shm_connect(waits, "that"));
    await_events(waits, SHM_EVENT_REJECTED, b, SHM_EVENT_REJECTED);
    CHECK_OK(shm_close(a));
    CHECK_OK(shm_disconnect(b, "it"));
    join(waits, b);
    send_text_now(waits, "three");
    CHECK_ERR(shm_send(b, "four", 4, SHM_DONTWAIT), EPIPE); /* the first one has gone */
    expect_text_now(b, "three");
    CLOSE_ALL(waits, b);
}

/* A binder that is rejected passes on how far the one before it had read. */
TEST_THAT(what_passed_before_a_rejection_is_neither_lost_nor_repeated)
{
    for (int other = 0; other < 2; other++) { /* rejected by a PAIR that has a peer, and by another type */
        shm_socket_t *first = socket_new(SHM_PAIR), *second = socket_new(other ? SHM_PULL : SHM_PAIR);
        shm_socket_t *third = socket_new(SHM_PAIR), *peer = socket_new(other ? SHM_PUSH : SHM_PAIR);
        shm_socket_t *there = socket_connected(SHM_PAIR);

        pair_up_at("elsewhere", second, peer);
        send_text_now(there, "read");
        send_text_now(there, "unread");
        CHECK_OK(shm_bind(first, "it"));
        expect_text_now(first, "read");
        send_text_now(first, "one");
        CHECK_OK(shm_close(first));
        CHECK_OK(shm_bind(second, "it"));
        expect_text_now(there, "one");
        CHECK_ERR(recv_byte(there, SHM_DONTWAIT), EPIPE); /* the first one has gone */
        await_events(there, SHM_EVENT_REJECTED, second, SHM_EVENT_REJECTED);
        CHECK_OK(shm_close(second));
        CHECK_OK(shm_bind(third, "it"));
        expect_text_now(third, "unread");
        expect_nothing(third);
        pass_text_now(third, there, "two");
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
        shm_socket_t *bound = socket_bound(cases[i].bound), *other = socket_connected(cases[i].other);

        await_events(other, SHM_EVENT_REJECTED, bound, SHM_EVENT_REJECTED);
        CHECK_INT(get_stats(bound).peers, 0);
        CHECK_INT(get_stats(other).peers, 0);
        CLOSE_ALL(other, bound);
    }
}

/* ---- The peer goes ---- */

TEST_THAT(a_send_after_the_peer_has_gone_is_epipe_once)
{
    shm_socket_t *a = socket_bound(SHM_PAIR), *b = socket_joined(a, SHM_PAIR);

    CHECK_OK(shm_close(b));
    await_event(a, SHM_EVENT_LEFT);
    CHECK_ERR(shm_send(a, "x", 1, 0), EPIPE);
    CHECK_ERR(shm_send(a, "x", 1, SHM_DONTWAIT), EAGAIN);
    CHECK_INT(get_stats(a).sent, 0);
    CHECK_OK(shm_close(a));
}

TEST_THAT(a_receive_after_the_peer_has_gone_is_epipe_once_behind_its_messages)
{
    shm_socket_t *a = socket_bound(SHM_PAIR), *b = socket_joined(a, SHM_PAIR);

    send_text_now(b, "one");
    send_text_now(b, "two");
    CHECK_OK(shm_close(b));
    expect_texts_now(a, TEXTS("one", "two"));
    CHECK_ERR(recv_byte(a, 0), EPIPE);
    expect_nothing(a);
    CHECK_OK(shm_close(a));
}

static void say_two_and_die(struct child *up, void *argument)
{
    shm_socket_t *pair = socket_connected(SHM_PAIR);

    await_event(pair, SHM_EVENT_CONNECTED);
    send_text_now(pair, "one");
    send_text_now(pair, "two");
    child_stay(up, 1);
}

TEST_THAT(a_killed_peer_is_epipe_once_behind_its_messages)
{
    shm_socket_t *pair = socket_bound(SHM_PAIR);

    for (int i = 0; i < 5; i++) {
        struct child child = child_start(say_two_and_die, NULL);

        await_event(pair, SHM_EVENT_CONNECTED);
        CHECK_INT(child_hear(&child), 1);
        child_kill(&child);
        expect_texts_now(pair, TEXTS("one", "two"));
        CHECK_ERR(recv_byte(pair, 0), EPIPE);
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

static void receive(shm_socket_t *pair)
{
    CHECK_ERR(recv_byte(pair, 0), EPIPE);
}

static void send_until_full(shm_socket_t *pair)
{
    ssize_t n;

    await_event(pair, SHM_EVENT_CONNECTED);
    do
        n = shm_send(pair, "x", 1, 0);
    while (n == 1);
    CHECK(n == -1 && errno == EPIPE);
}

static void check_sleep_ended_by_peer(void (*sleep_in_call)(shm_socket_t *pair))
{
    for (int by_kill = 0; by_kill < 2; by_kill++) {
        bool flag = by_kill;
        struct child child = child_start(wait_for_sleep_and_close, &flag);
        shm_socket_t *pair = socket_bound_with(SHM_PAIR, SHM_SNDHWM, 4);

        sleep_in_call(pair);
        (by_kill ? child_reap : child_wait)(&child);
        CHECK_OK(shm_close(pair));
    }
}

TEST_THAT(a_sleeping_receive_is_ended_by_the_end_of_the_peer)
{
    check_sleep_ended_by_peer(receive);
}

TEST_THAT(a_full_send_is_ended_by_the_end_of_the_peer)
{
    check_sleep_ended_by_peer(send_until_full);
}

TEST_THAT(a_pair_takes_a_new_peer_when_the_old_one_has_gone)
{
    shm_socket_t *a = socket_bound(SHM_PAIR), *b = socket_joined(a, SHM_PAIR);

    for (int i = 0; i < 10; i++) {
        CHECK_OK(shm_close(b));
        await_event(a, SHM_EVENT_LEFT);
        CHECK_ERR(shm_send(a, "x", 1, 0), EPIPE);
        recv_byte(a, SHM_DONTWAIT); /* told here, too, or not */
        b = socket_joined(a, SHM_PAIR);
        check_talk(a, b);
    }
    CLOSE_ALL(a, b);
}

TEST_THAT(a_rejected_peer_may_try_again_when_the_place_is_free)
{
    shm_socket_t *a = socket_bound(SHM_PAIR), *b = socket_joined(a, SHM_PAIR);
    shm_socket_t *third = socket_connected(SHM_PAIR);

    await_events(third, SHM_EVENT_REJECTED, a, SHM_EVENT_REJECTED);
    CHECK_OK(shm_close(b));
    CHECK_ERR(recv_byte(a, 0), EPIPE);
    CHECK_OK(shm_disconnect(third, "it"));
    connect_to(a, third);
    send_text_now(third, "mine");
    /* The third took the free place at once, and has left since. */
    CHECK_ERR(recv_byte(a, SHM_DONTWAIT), EPIPE);
    expect_text_now(a, "mine");
    CLOSE_ALL(a, third);
}

/* ---- Both ways ---- */

TEST_THAT(both_ways_are_full_duplex_and_independent)
{
    shm_socket_t *a = socket_new(SHM_PAIR), *b = socket_new(SHM_PAIR);
    char text[16];

    set_int(a, SHM_SNDHWM, 10);
    set_int(b, SHM_SNDHWM, 20);
    pair_up(a, b);
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof text, "%d", i);
        if (i < 10)
            send_text_now(a, text);
        send_text_now(b, text);
    }
    CHECK_ERR(shm_send(a, "x", 1, SHM_DONTWAIT), EAGAIN);
    CHECK_ERR(shm_send(b, "x", 1, SHM_DONTWAIT), EAGAIN);
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof text, "%d", i);
        if (i < 10)
            expect_text_now(b, text);
        expect_text_now(a, text);
    }
    CLOSE_ALL(a, b);
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
    shm_msg_t msg = msg_new();

    CHECK_OK(statvfs(test_dir(), &space));
    CHECK_OK(sysinfo(&memory));
    if ((uint64_t)space.f_bavail * space.f_frsize < 2 * HUGE_SIZE ||
        (uint64_t)memory.freeram * memory.mem_unit < 2 * HUGE_SIZE)
        skip_test("not twice 2.5 GiB free");
    shm_socket_t *pair = socket_bound(SHM_PAIR);
    struct child child = child_start(send_huge, NULL);
    CHECK_INT(shm_msg_recv(&msg, pair, 0), HUGE_SIZE);
    const unsigned char *bytes = shm_msg_data(&msg);
    CHECK(bytes[0] == 1 && bytes[HUGE_SIZE / 2] == 2 && bytes[HUGE_SIZE - 1] == 3);
    CHECK_OK(shm_msg_close(&msg));
    child_end(&child);
    CHECK_OK(shm_close(pair));
}
