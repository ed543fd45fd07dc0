/* SPDX-License-Identifier: MIT */
/* XPUB and XSUB: subscriptions as messages, repeated ones, and those of the dead. */
#include "support/short.h"

static void expect_wish(shm_socket_t *xpub, int first, const char *topic)
{
    unsigned char got[64];
    ssize_t n = CHECK_OK(shm_recv(xpub, got, sizeof got, 0));

    CHECK_INT(n, 1 + strlen(topic));
    CHECK_INT(got[0], first);
    CHECK_MEM(got + 1, n - 1, topic, strlen(topic));
    CHECK_INT(get_int(xpub, SHM_RCVMORE), 0);
}

/* ---- What is not passed on ---- */

TEST_THAT(repeated_subscriptions_are_passed_on_once)
{
    shm_socket_t *xpub = socket_bound(SHM_XPUB), *a = socket_joined(xpub, SHM_SUB), *b = socket_joined(xpub, SHM_SUB);

    expect_nothing(xpub);
    subscribe_to(a, "topic");
    expect_wish(xpub, 1, "topic");
    subscribe_to(b, "topic");
    subscribe_to(a, "topic");
    expect_nothing(xpub);
    subscribe_to(b, "other");
    expect_wish(xpub, 1, "other");
    unsubscribe_from(a, "topic");
    expect_nothing(xpub); /* a had it twice */
    unsubscribe_from(a, "topic");
    expect_nothing(xpub); /* b has it still */
    unsubscribe_from(b, "topic");
    expect_wish(xpub, 0, "topic");
    expect_nothing(xpub);
    CHECK_OK(shm_close(a));
    expect_nothing(xpub);
    CHECK_OK(shm_close(b));
    expect_wish(xpub, 0, "other");
    CHECK_OK(shm_close(xpub));
}

TEST_DUO(SHM_XPUB, SHM_SUB, nothing_is_sent_to_who_has_not_subscribed, xpub, sub)
{
    subscribe_to(sub, "a");
    expect_wish(xpub, 1, "a");
    send_text(xpub, "b");
    pass_text(xpub, sub, "a1");
    expect_nothing(sub);
    unsubscribe_from(sub, "a");
    expect_wish(xpub, 0, "a");
    send_text(xpub, "a2");
    expect_nothing(sub);
}

/* ---- Verbose ---- */

/* Two subscribe to the same, and unsubscribe: the first end of it is told by SHM_XPUB_VERBOSER only. */
static void subscribe_twice(int option)
{
    shm_socket_t *xpub = socket_bound_with(SHM_XPUB, option, 1), *a = socket_joined(xpub, SHM_SUB),
                 *b = socket_joined(xpub, SHM_SUB);

    subscribe_to(a, "topic");
    expect_wish(xpub, 1, "topic");
    subscribe_to(b, "topic");
    expect_wish(xpub, 1, "topic");
    unsubscribe_from(a, "topic");
    if (option == SHM_XPUB_VERBOSER)
        expect_wish(xpub, 0, "topic");
    else
        expect_nothing(xpub);
    unsubscribe_from(b, "topic");
    expect_wish(xpub, 0, "topic");
    CLOSE_ALL(a, b, xpub);
}

TEST_THAT(verbose_passes_on_every_subscription_and_verboser_every_unsubscription_as_well)
{
    subscribe_twice(SHM_XPUB_VERBOSE);
    subscribe_twice(SHM_XPUB_VERBOSER);
}

/* What one SUB repeats is passed on as well; it unsubscribes once. */
TEST_THAT(verbose_passes_on_what_one_subscriber_repeats)
{
    shm_socket_t *xpub = socket_bound_with(SHM_XPUB, SHM_XPUB_VERBOSE, 1), *sub = socket_joined(xpub, SHM_SUB);

    for (int i = 0; i < 3; i++) {
        subscribe_to(sub, "topic");
        expect_wish(xpub, 1, "topic");
    }
    unsubscribe_from(sub, "topic");
    unsubscribe_from(sub, "topic");
    expect_nothing(xpub);
    unsubscribe_from(sub, "topic");
    expect_wish(xpub, 0, "topic");
    expect_nothing(xpub);
    CLOSE_ALL(sub, xpub);
}

/* ---- XSUB ---- */

TEST_DUO(SHM_XPUB, SHM_XSUB, an_xsub_subscribes_by_sending, xpub, xsub)
{
    send_text(xsub, "\1topic");
    expect_wish(xpub, 1, "topic");
    send_texts(xpub, TEXTS("topic 1", "other"));
    expect_text(xsub, "topic 1");
    expect_nothing(xsub);
    CHECK_INT(shm_send(xsub, "\0topic", 6, 0), 6);
    expect_wish(xpub, 0, "topic");
    send_text(xpub, "topic 2");
    expect_nothing(xsub);
}

TEST_DUO(SHM_XPUB, SHM_XSUB, an_xsub_may_send_other_messages_upstream, xpub, xsub)
{
    pass_text(xsub, xpub, "hello");
    pass_text(xsub, xpub, "");
    send_parts(xsub, TEXTS("\1 is", "no", "wish")); /* since it has parts */
    expect_parts(xpub, TEXTS("\1 is", "no", "wish"));
    expect_nothing(xpub);
}

TEST_THAT(what_an_xsub_sends_early_arrives_and_what_nobody_takes_is_counted)
{
    shm_socket_t *xsub = socket_new(SHM_XSUB), *xpub;

    send_text(xsub, "to nobody");
    CHECK_INT(get_stats(xsub).dropped, 1);
    CHECK_OK(shm_connect(xsub, "it"));
    send_texts(xsub, TEXTS("\1a", "early"));
    send_parts(xsub, TEXTS("two", "parts"));
    xpub = socket_bound(SHM_XPUB);
    join(xpub, xsub);
    expect_wish(xpub, 1, "a");
    expect_text(xpub, "early");
    expect_parts(xpub, TEXTS("two", "parts"));
    expect_nothing(xpub);
    CHECK_INT(get_stats(xsub).dropped, 1);
    CLOSE_ALL(xsub, xpub);
}

TEST_DUO(SHM_PUB, SHM_XSUB, a_pub_takes_an_xsub_and_shows_nothing_of_its_wishes, pub, xsub)
{
    send_text(xsub, "\1");
    pass_text(pub, xsub, "hello");
    CHECK_ERR(recv_byte(pub, SHM_DONTWAIT), ENOTSUP);
}

/* ---- Who comes, goes and dies ---- */

TEST_THAT(wishes_from_before_the_connection_arrive)
{
    shm_socket_t *sub = socket_new(SHM_SUB), *xpub;

    subscribe_to(sub, "a");
    CHECK_OK(shm_connect(sub, "it"));
    subscribe_to(sub, "b");
    xpub = socket_bound(SHM_XPUB);
    join(xpub, sub);
    expect_wish(xpub, 1, "a");
    expect_wish(xpub, 1, "b");
    expect_nothing(xpub);
    CHECK_OK(shm_close(xpub));
    xpub = socket_bound(SHM_XPUB); /* and again at the next one */
    join(xpub, sub);
    expect_wish(xpub, 1, "a");
    expect_wish(xpub, 1, "b");
    pass_text(xpub, sub, "b1");
    CLOSE_ALL(sub, xpub);
}

static void subscribe_and_die(struct child *up, void *argument)
{
    shm_socket_t *sub = socket_new(SHM_SUB);

    subscribe_to(sub, "common");
    subscribe_to(sub, "mine");
    CHECK_OK(shm_connect(sub, "it"));
    await_event(sub, SHM_EVENT_CONNECTED);
    child_stay(up, 1);
}

TEST_THAT(the_death_of_a_subscriber_ends_its_subscriptions)
{
    shm_socket_t *xpub = socket_bound(SHM_XPUB), *sub = socket_joined(xpub, SHM_SUB);

    subscribe_to(sub, "common");
    expect_wish(xpub, 1, "common");
    for (int i = 0; i < 5; i++) {
        struct child child = child_start(subscribe_and_die, NULL);

        expect_wish(xpub, 1, "mine");
        CHECK_INT(child_hear(&child), 1);
        child_kill(&child);
        expect_wish(xpub, 0, "mine"); /* the XPUB sleeps until the death is known */
        expect_nothing(xpub);         /* "common" has another subscriber */
    }
    CHECK_OK(shm_close(sub));
    expect_wish(xpub, 0, "common");
    CHECK_OK(shm_close(xpub));
}

TEST_DUO(SHM_XPUB, SHM_SUB, long_wishes_arrive_whole, xpub, sub)
{
    static const size_t sizes[] = {110, 111, 112, 113, 5000, 100000};
    static unsigned char topic[100000], got[100001];

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        pattern_fill(topic, sizes[i], (unsigned)i);
        CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, topic, sizes[i]));
        CHECK_INT(shm_recv(xpub, got, sizeof got, 0), 1 + sizes[i]);
        CHECK_INT(got[0], 1);
        pattern_check(got + 1, sizes[i], (unsigned)i);
        CHECK_INT(shm_send(xpub, topic, sizes[i], 0), sizes[i]);
        CHECK_INT(shm_recv(sub, got, sizeof got, 0), sizes[i]);
        pattern_check(got, sizes[i], (unsigned)i);
    }
}

TEST_THAT(thousands_of_wishes_arrive)
{
    shm_socket_t *xpub = socket_bound(SHM_XPUB), *sub = socket_joined(xpub, SHM_SUB);
    char topic[16];

    for (int i = 0; i < 5000; i++) {
        snprintf(topic, sizeof topic, "t%d", i);
        subscribe_to(sub, topic);
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(topic, sizeof topic, "t%d", i);
        while (!(get_int(xpub, SHM_EVENTS) & SHM_POLLIN))
            get_int(sub, SHM_EVENTS); /* it has more to send than fits at once */
        expect_wish(xpub, 1, topic);
    }
    expect_nothing(xpub);
    CHECK_OK(shm_close(sub));
    for (int i = 0; i < 5000; i++) {
        char got[16];

        CHECK_OK(shm_recv(xpub, got, sizeof got, 0));
        CHECK_INT(got[0], 0);
    }
    expect_nothing(xpub);
    CHECK_OK(shm_close(xpub));
}
