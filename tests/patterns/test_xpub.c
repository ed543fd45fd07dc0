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

static void subscribe(shm_socket_t *sub, const char *topic)
{
    CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, topic, strlen(topic)));
}

static void unsubscribe(shm_socket_t *sub, const char *topic)
{
    CHECK_OK(shm_setsockopt(sub, SHM_UNSUBSCRIBE, topic, strlen(topic)));
}

/* ---- What is not passed on ---- */

TEST_THAT(repeated_subscriptions_are_passed_on_once)
{
    shm_socket_t *xpub = socket_bound(SHM_XPUB), *a = socket_connected(SHM_SUB), *b = socket_connected(SHM_SUB);

    join(xpub, a);
    join(xpub, b);
    expect_nothing(xpub);
    subscribe(a, "topic");
    expect_wish(xpub, 1, "topic");
    subscribe(b, "topic");
    subscribe(a, "topic");
    expect_nothing(xpub);
    subscribe(b, "other");
    expect_wish(xpub, 1, "other");
    unsubscribe(a, "topic");
    expect_nothing(xpub); /* a had it twice */
    unsubscribe(a, "topic");
    expect_nothing(xpub); /* b has it still */
    unsubscribe(b, "topic");
    expect_wish(xpub, 0, "topic");
    expect_nothing(xpub);
    CHECK_OK(shm_close(a));
    expect_nothing(xpub);
    CHECK_OK(shm_close(b));
    expect_wish(xpub, 0, "other");
    CHECK_OK(shm_close(xpub));
}

TEST_THAT(nothing_is_sent_to_who_has_not_subscribed)
{
    shm_socket_t *xpub = socket_bound(SHM_XPUB), *sub = socket_connected(SHM_SUB);

    join(xpub, sub);
    subscribe(sub, "a");
    expect_wish(xpub, 1, "a");
    send_text(xpub, "b");
    send_text(xpub, "a1");
    expect_text(sub, "a1");
    expect_nothing(sub);
    unsubscribe(sub, "a");
    expect_wish(xpub, 0, "a");
    send_text(xpub, "a2");
    expect_nothing(sub);
    CLOSE_ALL(sub, xpub);
}

/* ---- Verbose ---- */

/* Two subscribe to the same, and unsubscribe: the first end of it is told by SHM_XPUB_VERBOSER only. */
static void subscribe_twice(int option)
{
    shm_socket_t *xpub = socket_bound_with(SHM_XPUB, option, 1), *a = socket_connected(SHM_SUB),
                 *b = socket_connected(SHM_SUB);

    join(xpub, a);
    join(xpub, b);
    subscribe(a, "topic");
    expect_wish(xpub, 1, "topic");
    subscribe(b, "topic");
    expect_wish(xpub, 1, "topic");
    unsubscribe(a, "topic");
    if (option == SHM_XPUB_VERBOSER)
        expect_wish(xpub, 0, "topic");
    else
        expect_nothing(xpub);
    unsubscribe(b, "topic");
    expect_wish(xpub, 0, "topic");
    CLOSE_ALL(a, b, xpub);
}

TEST_THAT(verbose_passes_on_every_subscription)
{
    subscribe_twice(SHM_XPUB_VERBOSE);
}

TEST_THAT(verboser_passes_on_every_unsubscription_as_well)
{
    subscribe_twice(SHM_XPUB_VERBOSER);
}

/* ---- XSUB ---- */

TEST_THAT(an_xsub_subscribes_by_sending)
{
    shm_socket_t *xpub = socket_bound(SHM_XPUB), *xsub = socket_connected(SHM_XSUB);

    join(xpub, xsub);
    send_text(xsub, "\1topic");
    expect_wish(xpub, 1, "topic");
    send_text(xpub, "topic 1");
    send_text(xpub, "other");
    expect_text(xsub, "topic 1");
    expect_nothing(xsub);
    CHECK_INT(shm_send(xsub, "\0topic", 6, 0), 6);
    expect_wish(xpub, 0, "topic");
    send_text(xpub, "topic 2");
    expect_nothing(xsub);
    CLOSE_ALL(xsub, xpub);
}

TEST_THAT(an_xsub_may_send_other_messages_upstream)
{
    shm_socket_t *xpub = socket_bound(SHM_XPUB), *xsub = socket_connected(SHM_XSUB);

    join(xpub, xsub);
    send_text(xsub, "hello");
    expect_text(xpub, "hello");
    send_text(xsub, "");
    expect_text(xpub, "");
    CLOSE_ALL(xsub, xpub);
}

TEST_THAT(a_pub_takes_an_xsub_and_shows_nothing_of_its_wishes)
{
    shm_socket_t *pub = socket_bound(SHM_PUB), *xsub = socket_connected(SHM_XSUB);
    char byte;

    join(pub, xsub);
    send_text(xsub, "\1");
    send_text(pub, "hello");
    expect_text(xsub, "hello");
    CHECK_ERR(shm_recv(pub, &byte, 1, SHM_DONTWAIT), ENOTSUP);
    CLOSE_ALL(xsub, pub);
}

/* ---- Who comes, goes and dies ---- */

TEST_THAT(wishes_from_before_the_connection_arrive)
{
    shm_socket_t *sub = socket_new(SHM_SUB), *xpub;

    subscribe(sub, "a");
    CHECK_OK(shm_connect(sub, "it"));
    subscribe(sub, "b");
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
    send_text(xpub, "b1");
    expect_text(sub, "b1");
    CLOSE_ALL(sub, xpub);
}

static void subscribe_and_die(struct child *up, void *argument)
{
    shm_socket_t *sub = socket_new(SHM_SUB);

    subscribe(sub, "common");
    subscribe(sub, "mine");
    CHECK_OK(shm_connect(sub, "it"));
    await_event(sub, SHM_EVENT_CONNECTED);
    child_say(up, 1);
    child_hear(up);
}

TEST_THAT(the_death_of_a_subscriber_ends_its_subscriptions)
{
    shm_socket_t *xpub = socket_bound(SHM_XPUB), *sub = socket_connected(SHM_SUB);

    join(xpub, sub);
    subscribe(sub, "common");
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

TEST_THAT(long_wishes_arrive_whole)
{
    static const size_t sizes[] = {110, 111, 112, 113, 5000, 100000};
    static unsigned char topic[100000], got[100001];
    shm_socket_t *xpub = socket_bound(SHM_XPUB), *sub = socket_connected(SHM_SUB);

    join(xpub, sub);
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
    CLOSE_ALL(sub, xpub);
}

TEST_THAT(thousands_of_wishes_arrive)
{
    shm_socket_t *xpub = socket_bound(SHM_XPUB), *sub = socket_connected(SHM_SUB);
    char topic[16];

    join(xpub, sub);
    for (int i = 0; i < 5000; i++) {
        snprintf(topic, sizeof topic, "t%d", i);
        subscribe(sub, topic);
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
