/* SPDX-License-Identifier: MIT */
/* PUB and SUB: lossless, history, conflate, several publishers, and the publisher's restart. */
#include <unistd.h>

#include "support/short.h"

static shm_socket_t *sub_new(void)
{
    shm_socket_t *sub = socket_new(SHM_SUB);

    CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, "", 0));
    return sub;
}

static uint64_t lost_of(shm_socket_t *sub)
{
    uint64_t lost = UINT64_MAX;
    size_t size = sizeof lost;

    CHECK_OK(shm_getsockopt(sub, SHM_LOST, &lost, &size));
    return lost;
}

static void connect_and_join(shm_socket_t *pub, shm_socket_t *sub)
{
    CHECK_OK(shm_connect(sub, "it"));
    join(pub, sub);
}

/* ---- Lossless ---- */

static shm_socket_t *lossless_new(int hwm)
{
    shm_socket_t *pub = socket_new(SHM_PUB);

    set_int(pub, SHM_LOSSLESS, 1);
    set_int(pub, SHM_SNDHWM, hwm);
    CHECK_OK(shm_bind(pub, "it"));
    return pub;
}

TEST_THAT(a_lossless_pub_refuses_after_exactly_the_mark)
{
    static const int marks[] = {1, 2, 7, 8, 100};

    for (size_t m = 0; m < COUNT_OF(marks); m++) {
        shm_socket_t *pub = lossless_new(marks[m]), *slow = sub_new(), *fast = sub_new();
        uint64_t number = 0;

        connect_and_join(pub, slow);
        connect_and_join(pub, fast);
        for (int i = 0; i < marks[m]; i++)
            CHECK_INT(shm_send(pub, &i, sizeof i, SHM_DONTWAIT), sizeof i);
        CHECK_ERR(shm_send(pub, &number, sizeof number, SHM_DONTWAIT), EAGAIN);
        for (int i = 0; i < marks[m]; i++)
            CHECK_INT(shm_recv(fast, &number, sizeof number, SHM_DONTWAIT), sizeof i);
        expect_nothing(fast);
        CHECK_ERR(shm_send(pub, &number, sizeof number, SHM_DONTWAIT), EAGAIN); /* the slowest */
        CHECK_INT(get_int(pub, SHM_EVENTS) & SHM_POLLOUT, 0);
        for (int i = 0; i < marks[m]; i++)
            CHECK_INT(shm_recv(slow, &number, sizeof number, SHM_DONTWAIT), sizeof i);
        CHECK_INT(get_int(pub, SHM_EVENTS) & SHM_POLLOUT, SHM_POLLOUT);
        send_number(pub, 99);
        expect_number_now(slow, 99);
        expect_number_now(fast, 99);
        CHECK_INT(lost_of(slow) + lost_of(fast), 0);
        CLOSE_ALL(slow, fast, pub);
    }
}

TEST_THAT(a_lossless_pub_times_out)
{
    shm_socket_t *pub = lossless_new(4), *sub = sub_new();
    int64_t start;

    connect_and_join(pub, sub);
    set_int(pub, SHM_SNDTIMEO, 50);
    for (uint64_t i = 0; i < 4; i++)
        send_number(pub, i);
    start = now_ms();
    CHECK_ERR(shm_send(pub, "x", 1, 0), EAGAIN);
    CHECK(now_ms() - start >= 49);
    set_int(pub, SHM_SNDTIMEO, -1);
    start_ticking();
    CHECK_ERR(shm_send(pub, "x", 1, 0), EINTR);
    stop_ticking();
    CLOSE_ALL(sub, pub);
}

TEST_THAT(a_lossless_pub_without_subscribers_never_waits)
{
    shm_socket_t *pub = lossless_new(4), *sub = sub_new();

    for (uint64_t i = 0; i < 100; i++)
        CHECK_INT(shm_send(pub, &i, sizeof i, SHM_DONTWAIT), sizeof i);
    connect_and_join(pub, sub);
    expect_nothing(sub);
    send_number(pub, 1);
    expect_number_now(sub, 1);
    CLOSE_ALL(sub, pub);
}

static void hold_the_publisher_up(struct child *up, void *argument)
{
    shm_socket_t *sub = sub_new();

    CHECK_OK(shm_connect(sub, "it"));
    await_event(sub, SHM_EVENT_CONNECTED);
    child_say(up, 1);
    if (child_hear(up) == 2)
        CHECK_OK(shm_close(sub));
    child_hear(up);
}

/* The publisher, asleep in shm_send(), waits for the slowest subscriber as long as that exists: not after its close,
 * nor after kill -9. */
TEST_THAT(a_lossless_pub_is_freed_by_the_end_of_the_slowest)
{
    for (int by_kill = 0; by_kill < 2; by_kill++) {
        struct child child = child_start(hold_the_publisher_up, NULL);
        shm_socket_t *pub = lossless_new(4), *sub = sub_new();

        await_event(pub, SHM_EVENT_CONNECTED);
        CHECK_INT(child_hear(&child), 1);
        connect_and_join(pub, sub);
        for (uint64_t i = 0; i < 4; i++) {
            send_number(pub, i);
            expect_number_now(sub, i);
        }
        CHECK_ERR(shm_send(pub, "x", 1, SHM_DONTWAIT), EAGAIN);
        if (by_kill)
            child_kill_unreaped(&child);
        else
            child_say(&child, 2);
        for (uint64_t i = 4; i < 40; i++) {
            send_number(pub, i);
            expect_number_now(sub, i);
        }
        if (by_kill)
            child_reap(&child);
        else
            child_end(&child);
        CLOSE_ALL(sub, pub);
    }
}

/* ---- History ---- */

TEST_THAT(history_gives_a_newcomer_the_last_messages)
{
    static const int wanted[] = {0, 1, 3, 10, 500};
    shm_socket_t *pub = socket_bound(SHM_PUB);

    for (uint64_t i = 1; i <= 10; i++)
        send_number(pub, i);
    for (size_t w = 0; w < COUNT_OF(wanted); w++) {
        shm_socket_t *sub = sub_new();
        uint64_t first = wanted[w] < 10 ? 11 - (uint64_t)wanted[w] : 1;

        set_int(sub, SHM_HISTORY, wanted[w]);
        connect_and_join(pub, sub);
        for (uint64_t i = first; i <= 10; i++)
            expect_number_now(sub, i);
        expect_nothing(sub);
        CHECK_INT(lost_of(sub), 0);
        CHECK_OK(shm_close(sub));
    }
    CHECK_OK(shm_close(pub));
}

TEST_THAT(history_goes_over_into_what_is_new)
{
    shm_socket_t *pub = socket_bound(SHM_PUB), *sub = sub_new();

    send_number(pub, 1);
    send_number(pub, 2);
    set_int(sub, SHM_HISTORY, 1);
    connect_and_join(pub, sub);
    send_number(pub, 3);
    expect_number_now(sub, 2);
    expect_number_now(sub, 3);
    expect_nothing(sub);
    CLOSE_ALL(sub, pub);
}

TEST_THAT(history_is_filtered_like_the_rest)
{
    shm_socket_t *pub = socket_bound(SHM_PUB), *sub = socket_new(SHM_SUB);

    CHECK_INT(shm_send(pub, "a1", 2, 0), 2);
    CHECK_INT(shm_send(pub, "b1", 2, 0), 2);
    CHECK_INT(shm_send(pub, "a2", 2, 0), 2);
    set_int(sub, SHM_HISTORY, 10);
    CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, "b", 1));
    connect_and_join(pub, sub);
    expect_text_now(sub, "b1");
    expect_nothing(sub);
    CLOSE_ALL(sub, pub);
}

/* ---- History of a publisher that makes no call ---- */

#define LARGE 300000

static void send_large(shm_socket_t *pub, unsigned seed)
{
    unsigned char *bytes = CHECK_PTR(malloc(LARGE));

    pattern_fill(bytes, LARGE, seed);
    CHECK_INT(shm_send(pub, bytes, LARGE, 0), LARGE);
    free(bytes);
}

static void expect_large(shm_socket_t *sub, unsigned seed)
{
    shm_msg_t msg;

    CHECK_OK(shm_msg_init(&msg));
    CHECK_INT(shm_msg_recv(&msg, sub, SHM_DONTWAIT), LARGE);
    pattern_check(shm_msg_data(&msg), LARGE, seed);
    CHECK_OK(shm_msg_close(&msg));
}

/* Publishes 1..4, a large one, two parts; then is silent until it is told to publish 7 and 8. */
static void publish_and_be_silent(struct child *up, void *argument)
{
    shm_socket_t *pub = socket_bound(SHM_PUB);

    for (uint64_t i = 1; i <= 4; i++)
        send_number(pub, i);
    send_large(pub, 5);
    CHECK_INT(shm_send(pub, "six", 3, SHM_SNDMORE), 3);
    CHECK_INT(shm_send(pub, "parts", 5, 0), 5);
    child_say(up, 1);
    CHECK_INT(child_hear(up), 1);
    send_number(pub, 7);
    send_large(pub, 8);
    child_say(up, 2);
    child_hear(up);
    CHECK_OK(shm_close(pub));
}

static void expect_silent_history(shm_socket_t *sub)
{
    expect_number_now(sub, 3);
    expect_number_now(sub, 4);
    expect_large(sub, 5);
    expect_text_now(sub, "six");
    expect_text_now(sub, "parts");
    expect_nothing(sub);
}

TEST_THAT(a_silent_publishers_history_is_there_at_once)
{
    if (test_has_key())
        skip_test("with a key the publisher answers first");
    struct child child = child_start(publish_and_be_silent, NULL);
    shm_socket_t *sub = sub_new();

    CHECK_INT(child_hear(&child), 1);
    set_int(sub, SHM_HISTORY, 4);
    CHECK_OK(shm_connect(sub, "it"));
    expect_silent_history(sub);
    child_say(&child, 1);
    CHECK_INT(child_hear(&child), 2);
    expect_number_now(sub, 7);
    expect_large(sub, 8);
    expect_nothing(sub);
    CHECK_INT(lost_of(sub), 0);
    child_end(&child);
    CHECK_OK(shm_close(sub));
}

TEST_THAT(a_silent_publishers_history_survives_its_kill)
{
    if (test_has_key())
        skip_test("with a key the publisher answers first");
    struct child child = child_start(publish_and_be_silent, NULL);
    shm_socket_t *sub = sub_new();

    CHECK_INT(child_hear(&child), 1);
    set_int(sub, SHM_HISTORY, 4);
    CHECK_OK(shm_connect(sub, "it"));
    expect_number_now(sub, 3);
    child_kill(&child);
    expect_number_now(sub, 4);
    expect_large(sub, 5);
    CHECK_OK(shm_close(sub));
    leave_files(); /* of the killed */
}

/* ---- Conflate ---- */

TEST_THAT(conflate_keeps_the_newest_only)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *sub = sub_new();

    set_int(sub, SHM_CONFLATE, 1);
    CHECK_OK(shm_bind(pub, "it"));
    connect_and_join(pub, sub);
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 3000; i++)
            send_number(pub, i);
        expect_number_now(sub, 2999);
        expect_nothing(sub);
    }
    send_number(pub, 1);
    expect_number_now(sub, 1);
    expect_nothing(sub);
    CLOSE_ALL(sub, pub);
}

TEST_THAT(conflate_respects_the_filter)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *sub = socket_new(SHM_SUB);

    set_int(sub, SHM_CONFLATE, 1);
    CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, "a", 1));
    CHECK_OK(shm_bind(pub, "it"));
    connect_and_join(pub, sub);
    CHECK_INT(shm_send(pub, "a1", 2, 0), 2);
    CHECK_INT(shm_send(pub, "a2", 2, 0), 2);
    CHECK_INT(shm_send(pub, "b1", 2, 0), 2);
    expect_text_now(sub, "a2");
    expect_nothing(sub);
    CLOSE_ALL(sub, pub);
}

/* ---- Several publishers, restarts ---- */

TEST_THAT(a_sub_hears_several_publishers_fairly)
{
    shm_socket_t *pubs[5], *sub = sub_new();
    unsigned heard[COUNT_OF(pubs)] = {0};

    CHECK_OK(shm_bind(sub, "it"));
    for (size_t i = 0; i < COUNT_OF(pubs); i++) {
        pubs[i] = socket_connected(SHM_PUB);
        join(pubs[i], sub);
        for (uint64_t n = 0; n < 100; n++)
            send_number(pubs[i], 1000 * i + n);
    }
    for (unsigned k = 0; k < 100 * COUNT_OF(pubs); k++) {
        uint64_t got;

        CHECK_INT(shm_recv(sub, &got, sizeof got, SHM_DONTWAIT), sizeof got);
        CHECK_INT(got % 1000, heard[got / 1000]++);
        if (k == 50 * COUNT_OF(pubs) - 1) /* halfway through none is far ahead */
            for (size_t i = 0; i < COUNT_OF(pubs); i++)
                CHECK(heard[i] >= 30 && heard[i] <= 70);
    }
    expect_nothing(sub);
    CLOSE_EACH(pubs);
    CHECK_OK(shm_close(sub));
}

static void publish_from(struct child *up, void *argument)
{
    uint64_t first = *(const uint64_t *)argument;
    shm_socket_t *pub = socket_bound(SHM_PUB);

    await_event(pub, SHM_EVENT_CONNECTED);
    for (uint64_t i = 0; i < 10; i++)
        send_number(pub, first + i);
    child_say(up, 1);
    child_hear(up);
}

/* The subscriber does nothing but receive; each publisher is killed and followed by another. */
TEST_THAT(a_publisher_that_was_killed_and_restarted_is_heard_again)
{
    shm_socket_t *sub = sub_new();

    CHECK_OK(shm_connect(sub, "it"));
    for (uint64_t generation = 0; generation < 5; generation++) {
        uint64_t first = 100 * generation, got;
        struct child child = child_start(publish_from, &first);

        for (uint64_t i = 0; i < 10; i++) {
            CHECK_INT(shm_recv(sub, &got, sizeof got, 0), sizeof got);
            CHECK_INT(got, first + i);
        }
        CHECK_INT(child_hear(&child), 1);
        child_kill(&child);
    }
    CHECK_INT(lost_of(sub), 0);
    CHECK_OK(shm_close(sub));
}

TEST_THAT(subscriptions_change_while_messages_wait)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *sub = socket_new(SHM_SUB);
    char got[8];

    CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, "a", 1));
    CHECK_OK(shm_bind(pub, "it"));
    connect_and_join(pub, sub);
    CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, "b", 1));
    CHECK_INT(shm_send(pub, "b1", 2, 0), 2);
    CHECK_INT(shm_recv(sub, got, sizeof got, SHM_DONTWAIT), 2);
    CHECK_OK(shm_setsockopt(sub, SHM_UNSUBSCRIBE, "a", 1));
    CHECK_INT(shm_send(pub, "a1", 2, 0), 2);
    CHECK_INT(shm_send(pub, "b2", 2, 0), 2);
    expect_text_now(sub, "b2");
    expect_nothing(sub);
    CLOSE_ALL(sub, pub);
}
