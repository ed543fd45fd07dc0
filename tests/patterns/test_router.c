/* SPDX-License-Identifier: MIT */
/* ROUTER and DEALER: routing ids, mandatory, handover, probe, fairness, round robin. */
#include "support/short.h"

static void send_to(shm_socket_t *router, const char *id, const char *text)
{
    CHECK_INT(shm_send(router, id, strlen(id), SHM_SNDMORE), strlen(id));
    CHECK_INT(shm_send(router, text, strlen(text), 0), strlen(text));
}

static void expect_from(shm_socket_t *router, const char *id, const char *text)
{
    expect_text(router, id);
    CHECK_INT(get_int(router, SHM_RCVMORE), 1);
    expect_text(router, text);
    CHECK_INT(get_int(router, SHM_RCVMORE), 0);
}

static shm_socket_t *dealer_new(const char *id)
{
    shm_socket_t *dealer = socket_new(SHM_DEALER);

    if (id)
        CHECK_OK(shm_setsockopt(dealer, SHM_ROUTING_ID, id, strlen(id)));
    CHECK_OK(shm_connect(dealer, "it"));
    return dealer;
}

static shm_socket_t *router_new(void)
{
    shm_socket_t *router = socket_new(SHM_ROUTER);

    CHECK_OK(shm_bind(router, "it"));
    return router;
}

/* ---- Who cannot be reached ---- */

TEST_THAT(messages_to_the_unknown_are_dropped_and_counted)
{
    shm_socket_t *router = router_new(), *dealer = dealer_new("anna");

    join(router, dealer);
    send_to(router, "bert", "hello");
    send_to(router, "", "hello");
    send_to(router, "ann", "hello");
    send_to(router, "annaa", "hello");
    expect_nothing(dealer);
    CHECK_INT(get_stats(router).dropped, 4);
    CHECK_INT(get_stats(router).sent, 0);
    send_to(router, "anna", "hello");
    expect_text(dealer, "hello");
    CHECK_INT(get_stats(router).sent, 1);
    CLOSE_ALL(dealer, router);
}

TEST_THAT(mandatory_routers_are_told_that_nobody_is_there)
{
    shm_socket_t *router = router_new(), *dealer;

    set_int(router, SHM_ROUTER_MANDATORY, 1);
    CHECK_ERR(shm_send(router, "anna", 4, SHM_SNDMORE), EHOSTUNREACH);
    CHECK_ERR(shm_send(router, "anna", 4, SHM_SNDMORE | SHM_DONTWAIT), EHOSTUNREACH);
    dealer = dealer_new("anna");
    join(router, dealer);
    send_to(router, "anna", "hello");
    expect_text(dealer, "hello");
    CHECK_ERR(shm_send(router, "bert", 4, SHM_SNDMORE), EHOSTUNREACH);
    send_to(router, "anna", "after"); /* the refused part is forgotten */
    expect_text(dealer, "after");
    CHECK_OK(shm_close(dealer));
    await_event(router, SHM_EVENT_LEFT);
    CHECK_ERR(shm_send(router, "anna", 4, SHM_SNDMORE), EHOSTUNREACH);
    CHECK_INT(get_stats(router).dropped, 0);
    CHECK_OK(shm_close(router));
}

TEST_THAT(a_full_peer_is_dropped_for_or_waited_for_when_mandatory)
{
    shm_socket_t *router = socket_new(SHM_ROUTER), *full, *other;

    set_int(router, SHM_SNDHWM, 4);
    CHECK_OK(shm_bind(router, "it"));
    full = dealer_new("full");
    join(router, full);
    other = dealer_new("other");
    join(router, other);
    for (int i = 0; i < 4; i++)
        send_to(router, "full", "x");
    send_to(router, "full", "dropped");
    CHECK_INT(get_stats(router).dropped, 1);
    set_int(router, SHM_ROUTER_MANDATORY, 1);
    CHECK_ERR(shm_send(router, "full", 4, SHM_SNDMORE | SHM_DONTWAIT), EAGAIN);
    set_int(router, SHM_SNDTIMEO, 20);
    CHECK_ERR(shm_send(router, "full", 4, SHM_SNDMORE), EAGAIN);
    send_to(router, "other", "not in its way");
    expect_text(other, "not in its way");
    for (int i = 0; i < 4; i++)
        expect_text(full, "x");
    expect_nothing(full);
    send_to(router, "full", "again");
    expect_text(full, "again");
    CLOSE_ALL(full, other, router);
}

TEST_THAT(a_message_of_an_id_alone_is_dropped)
{
    shm_socket_t *router = router_new(), *dealer = dealer_new("anna");

    join(router, dealer);
    CHECK_INT(shm_send(router, "anna", 4, 0), 4);
    send_to(router, "anna", "whole");
    expect_text(dealer, "whole");
    expect_nothing(dealer);
    CLOSE_ALL(dealer, router);
}

/* ---- Ids ---- */

TEST_THAT(peers_without_an_id_get_one_of_five_bytes)
{
    shm_socket_t *router = router_new(), *dealers[20];
    unsigned char ids[COUNT_OF(dealers)][8];

    for (size_t i = 0; i < COUNT_OF(dealers); i++) {
        unsigned char number;

        dealers[i] = dealer_new(NULL);
        join(router, dealers[i]);
        number = (unsigned char)i;
        CHECK_INT(shm_send(dealers[i], &number, 1, 0), 1);
    }
    for (size_t i = 0; i < COUNT_OF(dealers); i++) {
        unsigned char id[8], number;

        CHECK_INT(shm_recv(router, id, sizeof id, 0), 5);
        CHECK_INT(id[0], 0);
        CHECK_INT(shm_recv(router, &number, 1, 0), 1);
        memcpy(ids[number], id, 5);
    }
    for (size_t i = 0; i < COUNT_OF(dealers); i++) {
        unsigned char number = (unsigned char)i;

        for (size_t k = 0; k < i; k++)
            CHECK(memcmp(ids[i], ids[k], 5) != 0);
        CHECK_INT(shm_send(router, ids[i], 5, SHM_SNDMORE), 5);
        CHECK_INT(shm_send(router, &number, 1, 0), 1);
    }
    for (size_t i = 0; i < COUNT_OF(dealers); i++) {
        unsigned char number = 99;

        CHECK_INT(shm_recv(dealers[i], &number, 1, 0), 1);
        CHECK_INT(number, i);
        CHECK_OK(shm_close(dealers[i]));
    }
    CHECK_OK(shm_close(router));
}

TEST_THAT(ids_that_peers_chose_are_used)
{
    shm_socket_t *router = router_new(), *anna = dealer_new("anna"), *bert = dealer_new("bert");

    join(router, anna);
    join(router, bert);
    send_text(anna, "I am anna");
    expect_from(router, "anna", "I am anna");
    send_text(bert, "I am bert");
    expect_from(router, "bert", "I am bert");
    send_to(router, "anna", "to anna");
    send_to(router, "bert", "to bert");
    expect_text(bert, "to bert");
    expect_text(anna, "to anna");
    expect_nothing(anna);
    expect_nothing(bert);
    CLOSE_ALL(anna, bert, router);
}

TEST_THAT(an_id_is_free_again_when_its_owner_has_gone)
{
    shm_socket_t *router = router_new();

    for (int i = 0; i < 20; i++) {
        shm_socket_t *dealer = dealer_new("anna");

        join(router, dealer);
        send_text(dealer, "hello");
        expect_from(router, "anna", "hello");
        send_to(router, "anna", "welcome");
        expect_text(dealer, "welcome");
        CHECK_OK(shm_close(dealer));
        await_event(router, SHM_EVENT_LEFT);
    }
    CHECK_OK(shm_close(router));
}

/* The first one keeps the id, and the second is not heard, as long as the first is there. */
TEST_THAT(a_second_peer_with_an_id_in_use_is_ignored)
{
    shm_socket_t *router = router_new(), *first = dealer_new("anna"), *second;

    join(router, first);
    second = dealer_new("anna");
    set_int(second, SHM_SNDTIMEO, 100);
    shm_send(second, "from the second", 15, 0); /* may work or not */
    send_text(first, "from the first");
    expect_from(router, "anna", "from the first");
    expect_nothing(router);
    send_to(router, "anna", "to the first");
    expect_text(first, "to the first");
    expect_nothing(second);
    CLOSE_ALL(second, first, router);
}

TEST_THAT(an_id_is_free_at_one_name_when_the_router_leaves_the_other)
{
    shm_socket_t *router = router_new(), *first = dealer_new("anna"), *second = socket_new(SHM_DEALER);

    CHECK_OK(shm_bind(router, "that"));
    join(router, first);
    CHECK_OK(shm_setsockopt(second, SHM_ROUTING_ID, "anna", 4));
    CHECK_OK(shm_connect(second, "that"));
    await_event(router, SHM_EVENT_REJECTED);
    CHECK_OK(shm_unbind(router, "it"));
    join(router, second);
    send_to(router, "anna", "to the second");
    expect_text(second, "to the second");
    CLOSE_ALL(first, second, router);
}

TEST_THAT(with_handover_the_newcomer_takes_the_id)
{
    shm_socket_t *router = socket_new(SHM_ROUTER), *first, *second;

    set_int(router, SHM_ROUTER_HANDOVER, 1);
    CHECK_OK(shm_bind(router, "it"));
    first = dealer_new("anna");
    join(router, first);
    send_text(first, "one");
    expect_from(router, "anna", "one");
    second = dealer_new("anna");
    join(router, second);
    send_text(second, "two");
    expect_from(router, "anna", "two");
    send_to(router, "anna", "to the second");
    expect_text(second, "to the second");
    expect_nothing(first);
    CLOSE_ALL(first, second, router);
}

/* Nothing of one that lost its id is heard again, whatever makes the router look at its peers. */
TEST_THAT(after_a_handover_the_former_owner_is_not_heard)
{
    shm_socket_t *router = socket_new(SHM_ROUTER), *first, *second, *third;

    set_int(router, SHM_ROUTER_HANDOVER, 1);
    CHECK_OK(shm_bind(router, "it"));
    first = dealer_new("anna");
    join(router, first);
    send_text(first, "one");
    expect_from(router, "anna", "one");
    second = dealer_new("anna");
    join(router, second);
    send_text(first, "unheard");
    third = dealer_new("bert");
    join(router, third);
    expect_nothing(router);
    send_text(third, "three");
    expect_from(router, "bert", "three");
    send_text(second, "two");
    expect_from(router, "anna", "two");
    CHECK_OK(shm_close(first));
    await_event(router, SHM_EVENT_LEFT);
    expect_nothing(router);
    CLOSE_ALL(second, third, router);
}

/* It left before the other came, though the router looks at the other's place first, and its own
 * has one that lives by then. */
TEST_THAT(who_left_before_its_id_came_again_is_heard)
{
    shm_socket_t *router = socket_new(SHM_ROUTER), *other, *first, *second, *third;

    set_int(router, SHM_ROUTER_HANDOVER, 1);
    CHECK_OK(shm_bind(router, "it"));
    other = dealer_new("dora");
    join(router, other);
    first = dealer_new("anna");
    join(router, first);
    send_text(first, "one");
    CLOSE_ALL(other, first);
    second = dealer_new("anna"); /* in dora's place */
    third = dealer_new("carl");  /* in that of the first anna */
    expect_from(router, "anna", "one");
    join(router, second);
    send_to(router, "anna", "to the second");
    expect_text(second, "to the second");
    expect_nothing(router);
    CLOSE_ALL(second, third, router);
}

static void die_as_anna(struct child *up, void *argument)
{
    shm_socket_t *dealer = dealer_new("anna");

    await_event(dealer, SHM_EVENT_CONNECTED);
    send_text(dealer, "hello");
    child_say(up, 1);
    child_hear(up);
}

TEST_THAT(an_id_is_free_again_when_its_owner_was_killed)
{
    shm_socket_t *router = router_new();

    set_int(router, SHM_ROUTER_MANDATORY, 1);
    for (int i = 0; i < 5; i++) {
        struct child child = child_start(die_as_anna, NULL);

        expect_from(router, "anna", "hello");
        CHECK_INT(child_hear(&child), 1);
        send_to(router, "anna", "never read");
        child_kill(&child);
        await_event(router, SHM_EVENT_DIED);
        CHECK_ERR(shm_send(router, "anna", 4, SHM_SNDMORE), EHOSTUNREACH);
    }
    CHECK_OK(shm_close(router));
}

/* ---- A binder that leaves within a message ---- */

static void send_two_parts(shm_socket_t *dealer, unsigned seed)
{
    unsigned char bytes[3000];

    pattern_fill(bytes, sizeof bytes, seed);
    CHECK_INT(shm_send(dealer, bytes, 100, SHM_SNDMORE), 100);
    CHECK_INT(shm_send(dealer, bytes, sizeof bytes, 0), sizeof bytes);
}

static void expect_part(shm_socket_t *socket, size_t size, unsigned seed, int more)
{
    unsigned char bytes[3000];

    CHECK_INT(shm_recv(socket, bytes, sizeof bytes, 0), size);
    pattern_check(bytes, size, seed);
    CHECK_INT(get_int(socket, SHM_RCVMORE), more);
}

/* The message is gone with it, and its memory is given back: the next one begins behind it. */
TEST_THAT(the_next_binder_begins_behind_what_was_begun)
{
    shm_socket_t *dealer = socket_new(SHM_DEALER), *first = socket_new(SHM_DEALER),
                 *second = socket_new(SHM_DEALER);

    CHECK_OK(shm_bind(first, "it"));
    CHECK_OK(shm_connect(dealer, "it"));
    join(first, dealer);
    send_two_parts(dealer, 1);
    expect_part(first, 100, 1, 1);
    CHECK_OK(shm_unbind(first, "it"));
    CHECK_OK(shm_bind(second, "it"));
    join(second, dealer); /* the second looks first */
    send_two_parts(dealer, 2);
    expect_part(second, 100, 2, 1);
    expect_part(second, 3000, 2, 0);
    expect_nothing(second);
    CLOSE_ALL(dealer, first, second);
}

/* ---- Probe ---- */

TEST_THAT(a_probe_tells_the_router_who_is_there)
{
    static const int types[] = {SHM_DEALER, SHM_ROUTER, SHM_REQ};
    shm_socket_t *router = router_new();

    for (size_t i = 0; i < COUNT_OF(types); i++) {
        shm_socket_t *peer = socket_new(types[i]);

        set_int(peer, SHM_PROBE_ROUTER, 1);
        CHECK_OK(shm_setsockopt(peer, SHM_ROUTING_ID, "anna", 4));
        CHECK_OK(shm_connect(peer, "it"));
        join(peer, router);
        expect_from(router, "anna", "");
        expect_nothing(router);
        CHECK_OK(shm_close(peer));
        await_event(router, SHM_EVENT_LEFT);
    }
    CHECK_OK(shm_close(router));
}

TEST_THAT(routers_reach_each_other_by_id)
{
    shm_socket_t *a = socket_new(SHM_ROUTER), *b = socket_new(SHM_ROUTER);

    CHECK_OK(shm_setsockopt(a, SHM_ROUTING_ID, "a", 1));
    CHECK_OK(shm_setsockopt(b, SHM_ROUTING_ID, "b", 1));
    CHECK_OK(shm_bind(a, "it"));
    CHECK_OK(shm_connect(b, "it"));
    join(a, b);
    send_to(a, "b", "from a");
    expect_from(b, "a", "from a");
    send_to(b, "a", "from b");
    expect_from(a, "b", "from b");
    CLOSE_ALL(a, b);
}

/* ---- Fairness ---- */

TEST_THAT(a_router_hears_its_peers_fairly)
{
    shm_socket_t *router = router_new(), *dealers[5];
    unsigned heard[COUNT_OF(dealers)] = {0};
    char id[2] = "0", got[8];

    for (size_t i = 0; i < COUNT_OF(dealers); i++) {
        id[0] = (char)('0' + i);
        dealers[i] = dealer_new(id);
        join(router, dealers[i]);
        for (int n = 0; n < 100; n++)
            send_text(dealers[i], "x");
    }
    for (unsigned k = 0; k < 100 * COUNT_OF(dealers); k++) {
        CHECK_INT(shm_recv(router, id, 1, 0), 1);
        CHECK_INT(shm_recv(router, got, sizeof got, 0), 1);
        heard[id[0] - '0']++;
        if (k == 50 * COUNT_OF(dealers) - 1)
            for (size_t i = 0; i < COUNT_OF(dealers); i++)
                CHECK(heard[i] >= 30 && heard[i] <= 70);
    }
    expect_nothing(router);
    for (size_t i = 0; i < COUNT_OF(dealers); i++)
        CHECK_OK(shm_close(dealers[i]));
    CHECK_OK(shm_close(router));
}

TEST_THAT(a_dealer_gives_to_its_peers_in_turn_and_skips_the_full)
{
    shm_socket_t *dealer = socket_new(SHM_DEALER), *peers[4];
    char got[8];

    set_int(dealer, SHM_SNDHWM, 10);
    CHECK_OK(shm_bind(dealer, "it"));
    for (size_t i = 0; i < COUNT_OF(peers); i++) {
        peers[i] = dealer_new(NULL);
        join(dealer, peers[i]);
    }
    for (int i = 0; i < 8; i++)
        send_text(dealer, "turn");
    for (size_t i = 0; i < COUNT_OF(peers); i++) {
        expect_text(peers[i], "turn");
        expect_text(peers[i], "turn");
        expect_nothing(peers[i]);
    }
    for (unsigned i = 0; i < 10 * COUNT_OF(peers); i++)
        CHECK_INT(shm_send(dealer, "x", 1, SHM_DONTWAIT), 1);
    CHECK_ERR(shm_send(dealer, "x", 1, SHM_DONTWAIT), EAGAIN);
    for (int i = 0; i < 10; i++)
        expect_text(peers[2], "x"); /* one has room */
    for (int i = 0; i < 10; i++)
        CHECK_INT(shm_send(dealer, "y", 1, SHM_DONTWAIT), 1);
    CHECK_ERR(shm_send(dealer, "y", 1, SHM_DONTWAIT), EAGAIN);
    for (int i = 0; i < 10; i++)
        expect_text(peers[2], "y");
    for (size_t i = 0; i < COUNT_OF(peers); i++) {
        for (int n = 0; n < 10 && i != 2; n++)
            CHECK_INT(shm_recv(peers[i], got, sizeof got, SHM_DONTWAIT), 1);
        expect_nothing(peers[i]);
        CHECK_OK(shm_close(peers[i]));
    }
    CHECK_OK(shm_close(dealer));
}

/* All parts of a message go to the same peer, also when it is full in between. */
TEST_THAT(parts_stay_with_one_peer)
{
    shm_socket_t *dealer = socket_new(SHM_DEALER), *peers[3];

    CHECK_OK(shm_bind(dealer, "it"));
    for (size_t i = 0; i < COUNT_OF(peers); i++) {
        peers[i] = dealer_new(NULL);
        join(dealer, peers[i]);
    }
    for (int round = 0; round < 9; round++) {
        CHECK_INT(shm_send(dealer, "a", 1, SHM_SNDMORE), 1);
        CHECK_INT(shm_send(dealer, "b", 1, SHM_SNDMORE), 1);
        CHECK_INT(shm_send(dealer, "c", 1, 0), 1);
    }
    for (size_t i = 0; i < COUNT_OF(peers); i++) {
        for (int round = 0; round < 3; round++) {
            expect_text(peers[i], "a");
            expect_text(peers[i], "b");
            expect_text(peers[i], "c");
        }
        expect_nothing(peers[i]);
        CHECK_OK(shm_close(peers[i]));
    }
    CHECK_OK(shm_close(dealer));
}
