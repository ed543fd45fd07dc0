/* SPDX-License-Identifier: MIT */
/* PUB and SUB: prefixes, late joiners, what is lost and that it is counted, history, conflate. */
#include "support/actor.h"
#include "support/short.h"

/* ---- What is not delivered ---- */

TEST_DUO(SHM_PUB, SHM_SUB, without_a_subscription_nothing_arrives, pub, sub)
{
    send_texts(pub, TEXTS("hello", ""));
    expect_nothing(sub);
    CHECK_INT(get_int(sub, SHM_EVENTS) & SHM_POLLIN, 0);
    CHECK_INT(get_stats(sub).received, 0);
}

TEST_THAT(what_is_published_to_nobody_counts_as_dropped)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *sub = sub_new("");

    send_text(pub, "one"); /* neither bound nor connected */
    CHECK_OK(shm_bind(pub, "it"));
    send_text(pub, "two");
    CHECK_INT(get_stats(pub).dropped, 2);
    CHECK_OK(shm_connect(sub, "it"));
    join(pub, sub);
    send_text(pub, "three");
    expect_text(sub, "three");
    CHECK_OK(shm_close(sub));
    await_event(pub, SHM_EVENT_LEFT);
    send_text(pub, "four");
    CHECK_INT(get_stats(pub).dropped, 3);
    CHECK_INT(get_stats(pub).sent, 1);
    CHECK_OK(shm_close(pub));
}

TEST_THAT(unsubscribing_what_was_not_subscribed_is_invalid)
{
    shm_socket_t *sub = sub_new("a");

    CHECK_ERR(shm_setsockopt(sub, SHM_UNSUBSCRIBE, "b", 1), EINVAL);
    CHECK_ERR(shm_setsockopt(sub, SHM_UNSUBSCRIBE, "", 0), EINVAL);
    unsubscribe_from(sub, "a");
    CHECK_ERR(shm_setsockopt(sub, SHM_UNSUBSCRIBE, "a", 1), EINVAL);
    CHECK_OK(shm_close(sub));
}

TEST_DUO(SHM_PUB, SHM_SUB, only_matching_prefixes_arrive, pub, sub)
{
    subscribe_to(sub, "robot/");
    send_texts(pub, TEXTS("robot/pose", "robot", "Robot/pose", "", "robot/", "arm/robot/"));
    expect_texts_now(sub, TEXTS("robot/pose", "robot/"));
    expect_nothing(sub);
    CHECK_INT(lost_of(sub), 0); /* what was not asked for is not lost */
}

/* A message arrives once, however many prefixes match. */
TEST_DUO(SHM_PUB, SHM_SUB, overlapping_prefixes_deliver_once, pub, sub)
{
    subscribe_to(sub, "a");
    subscribe_to(sub, "ab");
    subscribe_to(sub, "a");
    pass_text_now(pub, sub, "abc");
    expect_nothing(sub);
    unsubscribe_from(sub, "a"); /* it was asked for twice: it takes two to undo it */
    pass_text_now(pub, sub, "ax");
    unsubscribe_from(sub, "a");
    send_text(pub, "ay");
    pass_text_now(pub, sub, "abd");
    expect_nothing(sub);
}

TEST_DUO(SHM_PUB, SHM_SUB, prefixes_are_bytes, pub, sub)
{
    char got[8];

    CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, "\0\xff", 2));
    CHECK_INT(shm_send(pub, "\0\xfe", 2, 0), 2);
    CHECK_INT(shm_send(pub, "\0\xff\0", 3, 0), 3);
    CHECK_INT(shm_send(pub, "\0", 1, 0), 1);
    CHECK_INT(shm_recv(sub, got, sizeof got, SHM_DONTWAIT), 3);
    CHECK_MEM(got, 3, "\0\xff\0", 3);
    expect_nothing(sub);
}

TEST_DUO(SHM_PUB, SHM_SUB, the_first_part_decides_for_all_parts, pub, sub)
{
    subscribe_to(sub, "yes");
    send_parts(pub, TEXTS("no", "yes"));
    send_parts(pub, TEXTS("yes", "no"));
    expect_parts(sub, TEXTS("yes", "no"));
    expect_nothing(sub);
}

TEST_DUO(SHM_PUB, SHM_SUB, a_thousand_prefixes_filter_exactly, pub, sub)
{
    char text[32];

    for (int i = 0; i < 2000; i += 2) {
        snprintf(text, sizeof text, "topic-%04d.", i);
        subscribe_to(sub, text);
    }
    for (int i = 0; i < 2000; i++) {
        snprintf(text, sizeof text, "topic-%04d.x", i);
        send_text(pub, text);
        if (i % 2 == 0)
            expect_text_now(sub, text);
    }
    expect_nothing(sub);
}

/* ---- Who comes late, who is slow ---- */

TEST_THAT(a_late_joiner_sees_only_what_is_new)
{
    shm_socket_t *pub = socket_new(SHM_PUB), *early = sub_new(""), *late = sub_new("");

    pair_up(pub, early);
    send_numbers(pub, 1, 2);
    connect_to(pub, late);
    send_number(pub, 3);
    expect_number_now(late, 3);
    expect_nothing(late);
    CHECK_INT(lost_of(late), 0);
    expect_numbers_now(early, 1, 3);
    CLOSE_ALL(pub, early, late);
}

TEST_THAT(every_subscriber_gets_every_message)
{
    shm_socket_t *pub = socket_bound(SHM_PUB), *subs[20];

    for (size_t i = 0; i < COUNT_OF(subs); i++) {
        subs[i] = sub_new("");
        connect_to(pub, subs[i]);
    }
    send_numbers(pub, 1, 100);
    for (size_t i = 0; i < COUNT_OF(subs); i++) {
        expect_numbers_now(subs[i], 1, 100);
        expect_nothing(subs[i]);
    }
    CLOSE_EACH(subs);
    CHECK_OK(shm_close(pub));
}

/* As in ZeroMQ: each connection is a subscriber of its own. */
TEST_THAT(one_that_is_connected_to_two_names_of_a_publisher_gets_all_twice)
{
    shm_socket_t *pub = socket_bound(SHM_PUB), *sub = sub_new("");

    CHECK_OK(shm_bind(pub, "that"));
    CHECK_OK(shm_connect(sub, "it"));
    CHECK_OK(shm_connect(sub, "that"));
    join(pub, sub);
    join(pub, sub);
    pass_text_now(pub, sub, "both");
    expect_text_now(sub, "both");
    expect_nothing(sub);
    CHECK_OK(shm_disconnect(sub, "that"));
    pass_text_now(pub, sub, "one");
    expect_nothing(sub);
    CHECK_OK(shm_connect(sub, "that"));
    join(pub, sub);
    expect_nothing(sub); /* nothing old comes again */
    pass_text_now(pub, sub, "both again");
    expect_text_now(sub, "both again");
    expect_nothing(sub);
    CLOSE_ALL(sub, pub);
}

/* A reader that fell behind continues with the newest, in order, and knows how many it missed. */
TEST_THAT(a_slow_subscriber_is_told_exactly_what_it_lost)
{
    static const int marks[] = {1, 2, 7, 8, 100, 1000};

    for (size_t m = 0; m < COUNT_OF(marks); m++) {
        shm_socket_t *pub = socket_new(SHM_PUB), *sub = sub_new("");
        uint64_t sent = 0, received = 0, last = 0, got;
        unsigned lapped = 0;
        shm_event_t event;

        set_int(pub, SHM_SNDHWM, marks[m]);
        pair_up(pub, sub);
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
    pair_up(pub, fast);
    for (size_t i = 0; i < COUNT_OF(slow); i++) {
        slow[i] = sub_new("");
        connect_to(pub, slow[i]);
    }
    pass_numbers(pub, fast, 1, 5000);
    CHECK_INT(lost_of(fast), 0);
    CLOSE_EACH(slow);
    CLOSE_ALL(fast, pub);
}

/* ---- Across processes, checked by history ---- */

enum { PUBLISHER, FIRST_SUBSCRIBER, ACTORS = 4, COUNT = 20000 };

static void subscribe_and_log(struct child *up, void *argument)
{
    struct actor *actor = argument;
    shm_socket_t *sub = sub_new("");
    uint64_t state = test_seed() + actor->number;

    actor->end = (struct end){.socket = sub, .type = SHM_SUB};
    CHECK_OK(shm_connect(sub, "it"));
    await_event(sub, SHM_EVENT_CONNECTED);
    history_log(actor->history, actor->number, HISTORY_JOINED, PUBLISHER, 1);
    child_say(up, 1);
    while (actor->got_number < COUNT) {
        CHECK(actor_recv_logged(actor, 0));
        history_log(actor->history, actor->number, HISTORY_LOST, 0, lost_of(sub));
        if (random_next(&state) % 512 == 0) /* fall behind now and then */
            pass_ms(1);
    }
    CHECK_OK(shm_close(sub));
}

static void run_fanout(bool lossless)
{
    struct history *history = history_new(ACTORS, 2 * COUNT + 8);
    shm_socket_t *pub = socket_new(SHM_PUB);
    struct child children[ACTORS - 1];
    struct actor actor = {.history = history, .policy.parts = 1};
    uint64_t state = test_seed();

    set_int(pub, SHM_SNDHWM, 64);
    set_int(pub, SHM_LOSSLESS, lossless);
    for (unsigned i = 0; i < ACTORS - 1; i++) {
        actor.number = FIRST_SUBSCRIBER + i;
        children[i] = child_start(subscribe_and_log, &actor);
    }
    actor.number = PUBLISHER;
    actor.end = (struct end){.socket = pub, .type = SHM_PUB};
    CHECK_OK(shm_bind(pub, "it"));
    for (unsigned i = 0; i < ACTORS - 1; i++)
        await_event(pub, SHM_EVENT_CONNECTED);
    for (unsigned i = 0; i < ACTORS - 1; i++)
        CHECK_INT(child_hear(&children[i]), 1);
    for (uint64_t n = 1; n <= COUNT; n++)
        CHECK(actor_send_logged(&actor, n, HISTORY_MESSAGE_MIN + random_next(&state) % (n % 8 ? 80 : 500), 0));
    for (unsigned i = 0; i < ACTORS - 1; i++)
        child_wait(&children[i]);
    const char *wrong = history_check_fanout(history);
    if (wrong)
        FAIL("%s", wrong);
    for (unsigned i = 0; lossless && i < ACTORS - 1; i++)
        CHECK_INT(history_count(history, FIRST_SUBSCRIBER + i, HISTORY_GOT), COUNT);
    history_free(history);
    CHECK_OK(shm_close(pub));
}

TEST_THAT(gaps_equal_the_counted_losses_and_a_lossless_pub_has_none)
{
    run_fanout(false);
    run_fanout(true);
}
