/* SPDX-License-Identifier: MIT */
/* ROUTER and DEALER: mandatory, probe, fairness, round robin; a binder that leaves within a message. */
#include "support/router.h"

/* ---- Who cannot be reached ---- */

TEST_THAT(messages_to_the_unknown_are_dropped_and_counted)
{
    shm_socket_t *router = socket_bound(SHM_ROUTER), *dealer = dealer_of(router, "anna");
    send_to(router, "bert", "hello");
    send_to(router, "", "hello");
    send_to(router, "ann", "hello");
    send_to(router, "annaa", "hello");
    expect_nothing(dealer);
    CHECK_INT(get_stats(router).dropped, 4);
    CHECK_INT(get_stats(router).sent, 0);
    pass_to(router, "anna", dealer, "hello");
    CHECK_INT(get_stats(router).sent, 1);
    CLOSE_ALL(dealer, router);
}

TEST_THAT(mandatory_routers_are_told_that_nobody_is_there)
{
    shm_socket_t *router = socket_bound(SHM_ROUTER), *dealer;

    set_int(router, SHM_ROUTER_MANDATORY, 1);
    CHECK_ERR(shm_send(router, "anna", 4, SHM_SNDMORE), EHOSTUNREACH);
    CHECK_ERR(shm_send(router, "anna", 4, SHM_SNDMORE | SHM_DONTWAIT), EHOSTUNREACH);
    dealer = dealer_of(router, "anna");
    pass_to(router, "anna", dealer, "hello");
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
    shm_socket_t *router = socket_bound_with(SHM_ROUTER, SHM_SNDHWM, 4);
    shm_socket_t *full = dealer_of(router, "full"), *other = dealer_of(router, "other");

    for (int i = 0; i < 4; i++)
        send_to(router, "full", "x");
    send_to(router, "full", "dropped");
    CHECK_INT(get_stats(router).dropped, 1);
    set_int(router, SHM_ROUTER_MANDATORY, 1);
    CHECK_ERR(shm_send(router, "full", 4, SHM_SNDMORE | SHM_DONTWAIT), EAGAIN);
    set_int(router, SHM_SNDTIMEO, 20);
    CHECK_ERR(shm_send(router, "full", 4, SHM_SNDMORE), EAGAIN);
    pass_to(router, "other", other, "not in its way");
    for (int i = 0; i < 4; i++)
        expect_text(full, "x");
    expect_nothing(full);
    pass_to(router, "full", full, "again");
    CLOSE_ALL(full, other, router);
}

TEST_THAT(a_message_of_an_id_alone_is_dropped)
{
    shm_socket_t *router = socket_bound(SHM_ROUTER), *dealer = dealer_of(router, "anna");
    send_text(router, "anna");
    pass_to(router, "anna", dealer, "whole");
    expect_nothing(dealer);
    CLOSE_ALL(dealer, router);
}

/* ---- A binder that leaves within a message ---- */

static void send_two_parts(shm_socket_t *dealer, unsigned seed)
{
    unsigned char bytes[3000];

    pattern_fill(bytes, sizeof bytes, seed);
    CHECK_INT(shm_send(dealer, bytes, 100, SHM_SNDMORE), 100);
    CHECK_INT(shm_send(dealer, bytes, sizeof bytes, 0), sizeof bytes);
}

static void expect_pattern(shm_socket_t *socket, size_t size, unsigned seed, int more)
{
    unsigned char bytes[3000];

    CHECK_INT(shm_recv(socket, bytes, sizeof bytes, 0), size);
    pattern_check(bytes, size, seed);
    CHECK_INT(get_int(socket, SHM_RCVMORE), more);
}

/* The unfinished message goes with it and its memory is freed: the next binder begins behind it. */
TEST_THAT(the_next_binder_begins_behind_what_was_begun)
{
    shm_socket_t *dealer = socket_new(SHM_DEALER), *first = socket_new(SHM_DEALER),
                 *second = socket_new(SHM_DEALER);

    pair_up(first, dealer);
    send_two_parts(dealer, 1);
    expect_pattern(first, 100, 1, 1);
    CHECK_OK(shm_unbind(first, "it"));
    CHECK_OK(shm_bind(second, "it"));
    join(second, dealer); /* the second looks first */
    send_two_parts(dealer, 2);
    expect_pattern(second, 100, 2, 1);
    expect_pattern(second, 3000, 2, 0);
    expect_nothing(second);
    CLOSE_ALL(dealer, first, second);
}

/* ---- Probe ---- */

TEST_THAT(a_probe_tells_the_router_who_is_there)
{
    static const int types[] = {SHM_DEALER, SHM_ROUTER, SHM_REQ};
    shm_socket_t *router = socket_bound(SHM_ROUTER);

    for (size_t i = 0; i < COUNT_OF(types); i++) {
        shm_socket_t *peer = socket_new(types[i]);

        set_int(peer, SHM_PROBE_ROUTER, 1);
        CHECK_OK(shm_setsockopt(peer, SHM_ROUTING_ID, "anna", 4));
        connect_to(router, peer);
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
    pair_up(a, b);
    send_to(a, "b", "from a");
    expect_from(b, "a", "from a");
    send_to(b, "a", "from b");
    expect_from(a, "b", "from b");
    CLOSE_ALL(a, b);
}

/* ---- In turn ---- */

TEST_THAT(a_dealer_gives_to_its_peers_in_turn_and_skips_the_full)
{
    shm_socket_t *dealer = socket_bound_with(SHM_DEALER, SHM_SNDHWM, 10), *peers[4];

    sockets_join(dealer, SHM_DEALER, peers, COUNT_OF(peers));
    for (int i = 0; i < 8; i++)
        send_text(dealer, "turn");
    for (size_t i = 0; i < COUNT_OF(peers); i++) {
        expect_text(peers[i], "turn");
        expect_text(peers[i], "turn");
        expect_nothing(peers[i]);
    }
    for (unsigned i = 0; i < 10 * COUNT_OF(peers); i++)
        send_text_now(dealer, "x");
    CHECK_ERR(shm_send(dealer, "x", 1, SHM_DONTWAIT), EAGAIN);
    for (int i = 0; i < 10; i++)
        expect_text(peers[2], "x"); /* one has room */
    for (int i = 0; i < 10; i++)
        send_text_now(dealer, "y");
    CHECK_ERR(shm_send(dealer, "y", 1, SHM_DONTWAIT), EAGAIN);
    for (int i = 0; i < 10; i++)
        expect_text(peers[2], "y");
    for (size_t i = 0; i < COUNT_OF(peers); i++) {
        for (int n = 0; n < 10 && i != 2; n++)
            expect_text_now(peers[i], "x");
        expect_nothing(peers[i]);
        CHECK_OK(shm_close(peers[i]));
    }
    CHECK_OK(shm_close(dealer));
}

/* All parts of a message go to the same peer, also when it is full in between. */
TEST_THAT(parts_stay_with_one_peer)
{
    shm_socket_t *dealer = socket_bound(SHM_DEALER), *peers[3];

    sockets_join(dealer, SHM_DEALER, peers, COUNT_OF(peers));
    for (int round = 0; round < 9; round++) {
        send_parts(dealer, TEXTS("a", "b", "c"));
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
