/* SPDX-License-Identifier: MIT */
/* PUB and SUB: prefixes, late joiners, what is lost and that it is counted, history, conflate. */
#include "support/short.h"
#include "support/history.h"

static shm_socket_t *sub_new(const char *prefix)
{
    shm_socket_t *sub = socket_new(SHM_SUB);

    if (prefix)
        CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, prefix, strlen(prefix)));
    return sub;
}

static uint64_t lost_of(shm_socket_t *sub)
{
    uint64_t lost = UINT64_MAX;
    size_t size = sizeof lost;

    CHECK_OK(shm_getsockopt(sub, SHM_LOST, &lost, &size));
    CHECK_INT(size, sizeof lost);
    return lost;
}

static void meet(shm_socket_t *pub, shm_socket_t *sub)
{
    pair_up(pub, sub);
}

/* ---- What is not delivered ---- */

TEST_THAT(without_a_subscription_nothing_arrives)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *sub = sub_new(NULL);

    meet(pub, sub);
    send_text(pub, "hello");
    send_text(pub, "");
    expect_nothing(sub);
    CHECK_INT(get_int(sub, SHM_EVENTS) & SHM_POLLIN, 0);
    CHECK_INT(get_stats(sub).received, 0);
    CLOSE_ALL(pub, sub);
}

TEST_THAT(unsubscribing_what_was_not_subscribed_is_invalid)
{
    shm_socket_t *sub = sub_new("a");

    CHECK_ERR(shm_setsockopt(sub, SHM_UNSUBSCRIBE, "b", 1), EINVAL);
    CHECK_ERR(shm_setsockopt(sub, SHM_UNSUBSCRIBE, "", 0), EINVAL);
    CHECK_OK(shm_setsockopt(sub, SHM_UNSUBSCRIBE, "a", 1));
    CHECK_ERR(shm_setsockopt(sub, SHM_UNSUBSCRIBE, "a", 1), EINVAL);
    CHECK_OK(shm_close(sub));
}

TEST_THAT(only_matching_prefixes_arrive)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *sub = sub_new("robot/");

    meet(pub, sub);
    send_text(pub, "robot/pose");
    send_text(pub, "robot");
    send_text(pub, "Robot/pose");
    send_text(pub, "");
    send_text(pub, "robot/");
    send_text(pub, "arm/robot/");
    expect_text_now(sub, "robot/pose");
    expect_text_now(sub, "robot/");
    expect_nothing(sub);
    CHECK_INT(lost_of(sub), 0); /* what was not asked for is not lost */
    CLOSE_ALL(pub, sub);
}

/* A message arrives once, however many prefixes match. */
TEST_THAT(overlapping_prefixes_deliver_once)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *sub = sub_new("a");

    CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, "ab", 2));
    CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, "a", 1));
    meet(pub, sub);
    send_text(pub, "abc");
    expect_text_now(sub, "abc");
    expect_nothing(sub);
    /* "a" was asked for twice: it takes two to undo it */
    CHECK_OK(shm_setsockopt(sub, SHM_UNSUBSCRIBE, "a", 1));
    send_text(pub, "ax");
    expect_text_now(sub, "ax");
    CHECK_OK(shm_setsockopt(sub, SHM_UNSUBSCRIBE, "a", 1));
    send_text(pub, "ay");
    send_text(pub, "abd");
    expect_text_now(sub, "abd");
    expect_nothing(sub);
    CLOSE_ALL(pub, sub);
}

TEST_THAT(prefixes_are_bytes)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *sub = sub_new(NULL);
    char got[8];

    CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, "\0\xff", 2));
    meet(pub, sub);
    CHECK_INT(shm_send(pub, "\0\xfe", 2, 0), 2);
    CHECK_INT(shm_send(pub, "\0\xff\0", 3, 0), 3);
    CHECK_INT(shm_send(pub, "\0", 1, 0), 1);
    CHECK_INT(shm_recv(sub, got, sizeof got, SHM_DONTWAIT), 3);
    CHECK_MEM(got, 3, "\0\xff\0", 3);
    expect_nothing(sub);
    CLOSE_ALL(pub, sub);
}

TEST_THAT(the_first_part_decides_for_all_parts)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *sub = sub_new("yes");

    meet(pub, sub);
    CHECK_INT(shm_send(pub, "no", 2, SHM_SNDMORE), 2);
    CHECK_INT(shm_send(pub, "yes", 3, 0), 3);
    CHECK_INT(shm_send(pub, "yes", 3, SHM_SNDMORE), 3);
    CHECK_INT(shm_send(pub, "no", 2, 0), 2);
    expect_text_now(sub, "yes");
    CHECK_INT(get_int(sub, SHM_RCVMORE), 1);
    expect_text_now(sub, "no");
    CHECK_INT(get_int(sub, SHM_RCVMORE), 0);
    expect_nothing(sub);
    CLOSE_ALL(pub, sub);
}

TEST_THAT(a_thousand_prefixes_filter_exactly)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *sub = sub_new(NULL);
    char text[32];

    for (int i = 0; i < 2000; i += 2) {
        snprintf(text, sizeof text, "topic-%04d.", i);
        CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, text, strlen(text)));
    }
    meet(pub, sub);
    for (int i = 0; i < 2000; i++) {
        snprintf(text, sizeof text, "topic-%04d.x", i);
        send_text(pub, text);
        if (i % 2 == 0)
            expect_text_now(sub, text);
    }
    expect_nothing(sub);
    CLOSE_ALL(pub, sub);
}

/* ---- Who comes late, who is slow ---- */

TEST_THAT(a_late_joiner_sees_only_what_is_new)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *early = sub_new(""), *late = sub_new("");

    meet(pub, early);
    send_number(pub, 1);
    send_number(pub, 2);
    CHECK_OK(shm_connect(late, "it"));
    join(pub, late);
    send_number(pub, 3);
    expect_number_now(late, 3);
    expect_nothing(late);
    CHECK_INT(lost_of(late), 0);
    for (uint64_t i = 1; i <= 3; i++)
        expect_number_now(early, i);
    CLOSE_ALL(pub, early, late);
}

TEST_THAT(every_subscriber_gets_every_message)
{
    shm_socket_t *pub = socket_bound(SHM_PUB), *subs[20];

    for (size_t i = 0; i < COUNT_OF(subs); i++) {
        subs[i] = sub_new("");
        CHECK_OK(shm_connect(subs[i], "it"));
        join(pub, subs[i]);
    }
    for (uint64_t n = 1; n <= 100; n++)
        send_number(pub, n);
    for (size_t i = 0; i < COUNT_OF(subs); i++) {
        for (uint64_t n = 1; n <= 100; n++)
            expect_number_now(subs[i], n);
        expect_nothing(subs[i]);
    }
    CLOSE_EACH(subs);
    CHECK_OK(shm_close(pub));
}

/* A reader that fell behind continues with the newest, in order, and knows how many it missed. */
/* As in ZeroMQ: each connection is a subscriber of its own. */
TEST_THAT(one_that_is_connected_to_two_names_of_a_publisher_gets_all_twice)
{
    shm_socket_t *pub = socket_bound(SHM_PUB), *sub = sub_new("");

    CHECK_OK(shm_bind(pub, "that"));
    CHECK_OK(shm_connect(sub, "it"));
    CHECK_OK(shm_connect(sub, "that"));
    join(pub, sub);
    join(pub, sub);
    send_text(pub, "both");
    expect_text_now(sub, "both");
    expect_text_now(sub, "both");
    expect_nothing(sub);
    CHECK_OK(shm_disconnect(sub, "that"));
    send_text(pub, "one");
    expect_text_now(sub, "one");
    expect_nothing(sub);
    CHECK_OK(shm_connect(sub, "that"));
    join(pub, sub);
    expect_nothing(sub); /* nothing old comes again */
    send_text(pub, "both again");
    expect_text_now(sub, "both again");
    expect_text_now(sub, "both again");
    expect_nothing(sub);
    CLOSE_ALL(sub, pub);
}

TEST_THAT(a_slow_subscriber_is_told_exactly_what_it_lost)
{
    static const int marks[] = {1, 2, 7, 8, 100, 1000};

    for (size_t m = 0; m < COUNT_OF(marks); m++) {
        shm_socket_t *pub = socket_new(SHM_PUB), *sub = sub_new("");
        uint64_t sent = 0, received = 0, last = 0, got;
        unsigned lapped = 0;
        shm_event_t event;

        set_int(pub, SHM_SNDHWM, marks[m]);
        meet(pub, sub);
        for (int round = 0; round < 5; round++) {
            for (int i = 0; i < 3000 * round; i++)
                send_number(pub, ++sent);
            for (int i = 0; shm_recv(sub, &got, sizeof got, SHM_DONTWAIT) >= 0; i++) {
                CHECK(got > last);
                received++;
                last = got;
                if (i == 0 && round == 3) /* and again while reading */
                    for (int k = 0; k < 5000; k++)
                        send_number(pub, ++sent);
                CHECK(last - received <= lost_of(sub));
            }
            CHECK_INT(errno, EAGAIN);
            CHECK_INT(last, sent);
            CHECK_INT(received + lost_of(sub), sent);
        }
        CHECK(lost_of(sub) > 0);
        CHECK_INT(get_stats(sub).lost, lost_of(sub));
        CHECK_INT(get_stats(sub).received, received);
        CHECK_INT(get_stats(pub).sent, sent);
        got = 0;
        while (shm_event_recv(sub, &event, SHM_DONTWAIT) == 0)
            if (event.event == SHM_EVENT_LAPPED)
                lapped++, got += event.value;
        CHECK(lapped > 0);
        CHECK_INT(got, lost_of(sub));
        CLOSE_ALL(pub, sub);
    }
}

/* A subscriber that reads loses nothing, however many others do not. */
TEST_THAT(slow_neighbours_do_not_disturb)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *fast = sub_new(""), *slow[5];

    set_int(pub, SHM_SNDHWM, 16);
    meet(pub, fast);
    for (size_t i = 0; i < COUNT_OF(slow); i++) {
        slow[i] = sub_new("");
        CHECK_OK(shm_connect(slow[i], "it"));
        join(pub, slow[i]);
    }
    for (uint64_t n = 1; n <= 5000; n++) {
        send_number(pub, n);
        expect_number_now(fast, n);
    }
    CHECK_INT(lost_of(fast), 0);
    CLOSE_EACH(slow);
    CLOSE_ALL(fast, pub);
}

/* ---- Across processes, checked by history ---- */

enum { PUBLISHER, FIRST_SUBSCRIBER, ACTORS = 4, COUNT = 20000 };

struct fanout {
    struct history *history;
    unsigned actor;
    int hwm;
};

static void subscribe_and_log(struct child *up, void *argument)
{
    const struct fanout *fanout = argument;
    shm_socket_t *sub = sub_new("");
    unsigned char bytes[600];
    uint64_t state = test_seed() + fanout->actor, number = 0;
    unsigned sender;

    CHECK_OK(shm_connect(sub, "it"));
    await_event(sub, SHM_EVENT_CONNECTED);
    history_log(fanout->history, fanout->actor, HISTORY_JOINED, PUBLISHER, 1);
    child_say(up, 1);
    while (number < COUNT) {
        ssize_t n = CHECK_OK(shm_recv(sub, bytes, sizeof bytes, 0));

        history_log_message(fanout->history, fanout->actor, bytes, (size_t)n, false);
        CHECK(history_message_read(bytes, (size_t)n, &sender, &number));
        history_log(fanout->history, fanout->actor, HISTORY_LOST, 0, lost_of(sub));
        if (random_next(&state) % 512 == 0) /* fall behind now and then */
            pass_ms(1);
    }
    CHECK_OK(shm_close(sub));
}

static void run_fanout(bool lossless, int hwm)
{
    struct history *history = history_new(ACTORS, 2 * COUNT + 8);
    shm_socket_t *pub = socket_new(SHM_PUB);
    struct child children[ACTORS - 1];
    unsigned char bytes[600];
    uint64_t state = test_seed();
    const char *wrong;

    set_int(pub, SHM_SNDHWM, hwm);
    set_int(pub, SHM_LOSSLESS, lossless);
    for (unsigned i = 0; i < ACTORS - 1; i++) {
        struct fanout fanout = {history, FIRST_SUBSCRIBER + i, hwm};

        children[i] = child_start(subscribe_and_log, &fanout);
    }
    CHECK_OK(shm_bind(pub, "it"));
    for (unsigned i = 0; i < ACTORS - 1; i++)
        await_event(pub, SHM_EVENT_CONNECTED);
    for (unsigned i = 0; i < ACTORS - 1; i++)
        CHECK_INT(child_hear(&children[i]), 1);
    for (uint64_t n = 1; n <= COUNT; n++) {
        size_t size = HISTORY_MESSAGE_MIN + random_next(&state) % (n % 8 ? 80 : 500);

        history_message_make(bytes, size, PUBLISHER, n);
        history_log(history, PUBLISHER, HISTORY_CALL, PUBLISHER, n);
        CHECK_INT(shm_send(pub, bytes, size, 0), size);
        history_log(history, PUBLISHER, HISTORY_RETURN, PUBLISHER, n);
    }
    for (unsigned i = 0; i < ACTORS - 1; i++)
        child_wait(&children[i]);
    wrong = history_check_fanout(history);
    if (wrong)
        FAIL("%s", wrong);
    for (unsigned i = 0; lossless && i < ACTORS - 1; i++)
        CHECK_INT(history_count(history, FIRST_SUBSCRIBER + i, HISTORY_GOT), COUNT);
    history_free(history);
    CHECK_OK(shm_close(pub));
}

TEST_THAT(gaps_equal_the_counted_losses)
{
    run_fanout(false, 64);
}

TEST_THAT(a_lossless_pub_loses_nothing)
{
    run_fanout(true, 64);
}
