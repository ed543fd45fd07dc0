/* SPDX-License-Identifier: MIT */
/* PUB and SUB: lossless, history, conflate, several publishers, and the publisher's restart. */
#include "support/short.h"

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
        shm_socket_t *pub = lossless_new(marks[m]), *slow = sub_new(""), *fast = sub_new("");

        connect_to(pub, slow);
        connect_to(pub, fast);
        send_numbers_now(pub, 1, (uint64_t)marks[m]);
        CHECK_ERR(shm_send(pub, "x", 1, SHM_DONTWAIT), EAGAIN);
        expect_numbers_now(fast, 1, (uint64_t)marks[m]);
        expect_nothing(fast);
        CHECK_ERR(shm_send(pub, "x", 1, SHM_DONTWAIT), EAGAIN); /* the slowest */
        CHECK_INT(get_int(pub, SHM_EVENTS) & SHM_POLLOUT, 0);
        expect_numbers_now(slow, 1, (uint64_t)marks[m]);
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
    shm_socket_t *pub = lossless_new(4), *sub = sub_new("");

    connect_to(pub, sub);
    set_int(pub, SHM_SNDTIMEO, 50);
    send_numbers(pub, 0, 3);
    int64_t start = now_ms();
    CHECK_ERR(shm_send(pub, "x", 1, 0), EAGAIN);
    CHECK(now_ms() - start >= 49);
    set_int(pub, SHM_SNDTIMEO, -1);
    CHECK_INTERRUPTED(shm_send(pub, "x", 1, 0));
    CLOSE_ALL(sub, pub);
}

TEST_THAT(a_lossless_pub_without_subscribers_never_waits)
{
    shm_socket_t *pub = lossless_new(4), *sub = sub_new("");

    send_numbers_now(pub, 0, 99);
    connect_to(pub, sub);
    expect_nothing(sub);
    send_number(pub, 1);
    expect_number_now(sub, 1);
    CLOSE_ALL(sub, pub);
}

static void hold_the_publisher_up(struct child *up, void *argument)
{
    shm_socket_t *sub = sub_new("");

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
        shm_socket_t *pub = lossless_new(4), *sub = sub_new("");

        await_event(pub, SHM_EVENT_CONNECTED);
        CHECK_INT(child_hear(&child), 1);
        connect_to(pub, sub);
        pass_numbers(pub, sub, 0, 3);
        CHECK_ERR(shm_send(pub, "x", 1, SHM_DONTWAIT), EAGAIN);
        if (by_kill)
            child_kill_unreaped(&child);
        else
            child_say(&child, 2);
        pass_numbers(pub, sub, 4, 39);
        if (by_kill)
            child_reap(&child);
        else
            child_end(&child);
        CLOSE_ALL(sub, pub);
    }
}

/* ---- History ---- */

static shm_socket_t *sub_with(shm_socket_t *pub, const char *prefix, int option, int value)
{
    shm_socket_t *sub = sub_new(prefix);

    set_int(sub, option, value);
    connect_to(pub, sub);
    return sub;
}

TEST_THAT(history_gives_a_newcomer_the_last_messages)
{
    static const int wanted[] = {0, 1, 3, 10, 500};
    shm_socket_t *pub = socket_bound(SHM_PUB);

    send_numbers(pub, 1, 10);
    for (size_t w = 0; w < COUNT_OF(wanted); w++) {
        shm_socket_t *sub = sub_with(pub, "", SHM_HISTORY, wanted[w]);
        uint64_t first = wanted[w] < 10 ? 11 - (uint64_t)wanted[w] : 1;

        expect_numbers_now(sub, first, 10);
        expect_nothing(sub);
        CHECK_INT(lost_of(sub), 0);
        CHECK_OK(shm_close(sub));
    }
    CHECK_OK(shm_close(pub));
}

TEST_THAT(history_goes_over_into_what_is_new)
{
    shm_socket_t *pub = socket_bound(SHM_PUB);

    send_numbers(pub, 1, 2);
    shm_socket_t *sub = sub_with(pub, "", SHM_HISTORY, 1);
    send_number(pub, 3);
    expect_numbers_now(sub, 2, 3);
    expect_nothing(sub);
    CLOSE_ALL(sub, pub);
}

TEST_THAT(history_is_filtered_like_the_rest)
{
    shm_socket_t *pub = socket_bound(SHM_PUB);

    send_texts(pub, TEXTS("a1", "b1", "a2"));
    shm_socket_t *sub = sub_with(pub, "b", SHM_HISTORY, 10);
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
    shm_msg_t msg = msg_new();

    CHECK_INT(shm_msg_recv(&msg, sub, SHM_DONTWAIT), LARGE);
    pattern_check(shm_msg_data(&msg), LARGE, seed);
    CHECK_OK(shm_msg_close(&msg));
}

/* Publishes 1..4, a large one, two parts; then is silent until it is told to publish 7 and 8. */
static void publish_and_be_silent(struct child *up, void *argument)
{
    shm_socket_t *pub = socket_bound(SHM_PUB);

    send_numbers(pub, 1, 4);
    send_large(pub, 5);
    send_parts(pub, TEXTS("six", "parts"));
    child_say(up, 1);
    CHECK_INT(child_hear(up), 1);
    send_number(pub, 7);
    send_large(pub, 8);
    child_stay(up, 2);
    CHECK_OK(shm_close(pub));
}

/* One that hears the silent PUBLISHER, and four of its messages from before. */
static shm_socket_t *silent_publisher_heard(struct child *publisher)
{
    if (test_has_key())
        skip_test("with a key the publisher answers first");
    *publisher = child_start_until(1, publish_and_be_silent, NULL);
    shm_socket_t *sub = sub_new("");
    set_int(sub, SHM_HISTORY, 4);
    CHECK_OK(shm_connect(sub, "it"));
    return sub;
}

TEST_THAT(a_silent_publishers_history_is_there_at_once)
{
    struct child child;
    shm_socket_t *sub = silent_publisher_heard(&child);

    expect_numbers_now(sub, 3, 4);
    expect_large(sub, 5);
    expect_texts_now(sub, TEXTS("six", "parts"));
    expect_nothing(sub);
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
    struct child child;
    shm_socket_t *sub = silent_publisher_heard(&child);

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
    shm_socket_t *pub = socket_bound(SHM_PUB), *sub = sub_with(pub, "", SHM_CONFLATE, 1);

    for (int round = 0; round < 3; round++) {
        send_numbers(pub, 0, 2999);
        expect_number_now(sub, 2999);
        expect_nothing(sub);
    }
    send_number(pub, 1);
    expect_number_now(sub, 1);
    expect_nothing(sub);
    CLOSE_ALL(sub, pub);
}

/* To ask whether there is something takes nothing; what is skipped is not lost, however long the ring is. */
TEST_THAT(conflate_gives_what_is_newest_when_it_is_received)
{
    for (int by = 0; by < 3; by++) { /* the SUB, the PUB, or a PULL keeps only the newest */
        shm_socket_t *from = socket_new(by < 2 ? SHM_PUB : SHM_PUSH), *to = by < 2 ? sub_new("") : socket_new(SHM_PULL);

        if (by != 1)
            set_int(to, SHM_CONFLATE, 1);
        if (by != 0)
            set_int(from, SHM_CONFLATE, 1);
        else
            set_int(from, SHM_SNDHWM, 64);
        pair_up(from, to);
        for (uint64_t i = 1; i <= 1000; i++) {
            send_number(from, i);
            if (i % 100 == 1)
                CHECK_INT(get_int(to, SHM_EVENTS) & SHM_POLLIN, SHM_POLLIN);
        }
        expect_number_now(to, 1000);
        expect_nothing(to);
        CHECK_INT(get_stats(to).lost, 0);
        CLOSE_ALL(to, from);
    }
}

TEST_THAT(conflate_keeps_what_a_poll_found_when_only_unwanted_ones_follow)
{
    shm_socket_t *pub = socket_bound(SHM_PUB), *sub = sub_with(pub, "a", SHM_CONFLATE, 1);

    send_text(pub, "a1");
    CHECK_INT(get_int(sub, SHM_EVENTS) & SHM_POLLIN, SHM_POLLIN);
    send_text(pub, "b1");
    expect_text_now(sub, "a1");
    expect_nothing(sub);
    CLOSE_ALL(sub, pub);
}

TEST_THAT(conflate_respects_the_filter)
{
    shm_socket_t *pub = socket_bound(SHM_PUB), *sub = sub_with(pub, "a", SHM_CONFLATE, 1);

    send_texts(pub, TEXTS("a1", "a2", "b1"));
    expect_text_now(sub, "a2");
    expect_nothing(sub);
    CLOSE_ALL(sub, pub);
}

/* ---- Restarts ---- */

static void publish_from(struct child *up, void *argument)
{
    uint64_t first = *(const uint64_t *)argument;
    shm_socket_t *pub = socket_bound(SHM_PUB);

    await_event(pub, SHM_EVENT_CONNECTED);
    for (uint64_t i = 0; i < 10; i++)
        send_number(pub, first + i);
    child_stay(up, 1);
}

/* The subscriber does nothing but receive; each publisher is killed and followed by another. */
TEST_THAT(a_publisher_that_was_killed_and_restarted_is_heard_again)
{
    shm_socket_t *sub = sub_new("");

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

TEST_DUO(SHM_PUB, SHM_SUB, subscriptions_change_while_messages_wait, pub, sub)
{
    subscribe_to(sub, "a");
    subscribe_to(sub, "b");
    pass_text_now(pub, sub, "b1");
    unsubscribe_from(sub, "a");
    send_texts(pub, TEXTS("a1", "b2"));
    expect_text_now(sub, "b2");
    expect_nothing(sub);
}
