/* SPDX-License-Identifier: MIT */
/* Routing ids: who has which, who keeps it, who takes it over (SHM_ROUTER_HANDOVER). */
#include "support/router.h"

TEST_THAT(peers_without_an_id_get_one_of_five_bytes)
{
    shm_socket_t *router = socket_bound(SHM_ROUTER), *dealers[20];
    unsigned char ids[COUNT_OF(dealers)][8], id[8];

    sockets_join(router, SHM_DEALER, dealers, COUNT_OF(dealers));
    for (size_t i = 0; i < COUNT_OF(dealers); i++)
        send_number(dealers[i], i);
    for (size_t i = 0; i < COUNT_OF(dealers); i++) {
        CHECK_INT(shm_recv(router, id, sizeof id, 0), 5);
        CHECK_INT(id[0], 0);
        memcpy(ids[recv_number(router)], id, 5);
    }
    for (size_t i = 0; i < COUNT_OF(dealers); i++) {
        for (size_t k = 0; k < i; k++)
            CHECK(memcmp(ids[i], ids[k], 5) != 0);
        CHECK_INT(shm_send(router, ids[i], 5, SHM_SNDMORE), 5);
        send_number(router, i);
    }
    for (size_t i = 0; i < COUNT_OF(dealers); i++)
        CHECK_INT(recv_number(dealers[i]), i);
    CLOSE_EACH(dealers);
    CHECK_OK(shm_close(router));
}

TEST_THAT(ids_that_peers_chose_are_used)
{
    shm_socket_t *router = socket_bound(SHM_ROUTER), *anna = dealer_of(router, "anna"),
                 *bert = dealer_of(router, "bert");

    pass_from(anna, "anna", router, "I am anna");
    pass_from(bert, "bert", router, "I am bert");
    send_to(router, "anna", "to anna");
    pass_to(router, "bert", bert, "to bert");
    expect_text(anna, "to anna");
    expect_nothing(anna);
    expect_nothing(bert);
    CLOSE_ALL(anna, bert, router);
}

TEST_THAT(an_id_is_free_again_when_its_owner_has_gone)
{
    shm_socket_t *router = socket_bound(SHM_ROUTER);

    for (int i = 0; i < 20; i++) {
        shm_socket_t *dealer = dealer_of(router, "anna");
        pass_from(dealer, "anna", router, "hello");
        pass_to(router, "anna", dealer, "welcome");
        CHECK_OK(shm_close(dealer));
        await_event(router, SHM_EVENT_LEFT);
    }
    CHECK_OK(shm_close(router));
}

/* The first keeps the id, and the second is not heard as long as the first is there. */
TEST_THAT(a_second_peer_with_an_id_in_use_is_ignored)
{
    shm_socket_t *router = socket_bound(SHM_ROUTER), *first = dealer_of(router, "anna");
    shm_socket_t *second = dealer_new("anna");

    set_int(second, SHM_SNDTIMEO, 100);
    shm_send(second, "from the second", 15, 0); /* may work or not */
    pass_from(first, "anna", router, "from the first");
    expect_nothing(router);
    pass_to(router, "anna", first, "to the first");
    expect_nothing(second);
    CLOSE_ALL(second, first, router);
}

TEST_THAT(an_id_is_free_at_one_name_when_the_router_leaves_the_other)
{
    shm_socket_t *router = socket_bound(SHM_ROUTER), *first = dealer_new("anna"), *second = socket_new(SHM_DEALER);

    CHECK_OK(shm_bind(router, "that"));
    join(router, first);
    CHECK_OK(shm_setsockopt(second, SHM_ROUTING_ID, "anna", 4));
    CHECK_OK(shm_connect(second, "that"));
    await_event(router, SHM_EVENT_REJECTED);
    CHECK_OK(shm_unbind(router, "it"));
    join(router, second);
    pass_to(router, "anna", second, "to the second");
    CLOSE_ALL(first, second, router);
}

TEST_THAT(with_handover_the_newcomer_takes_the_id)
{
    shm_socket_t *router = socket_bound_with(SHM_ROUTER, SHM_ROUTER_HANDOVER, 1), *first = dealer_of(router, "anna");

    pass_from(first, "anna", router, "one");
    shm_socket_t *second = dealer_of(router, "anna");
    pass_from(second, "anna", router, "two");
    pass_to(router, "anna", second, "to the second");
    expect_nothing(first);
    CLOSE_ALL(first, second, router);
}

/* A peer that lost its id is never heard again, whatever makes the router look at its peers. */
TEST_THAT(after_a_handover_the_former_owner_is_not_heard)
{
    shm_socket_t *router = socket_bound_with(SHM_ROUTER, SHM_ROUTER_HANDOVER, 1), *first, *third;

    first = dealer_of(router, "anna");
    pass_from(first, "anna", router, "one");
    shm_socket_t *second = dealer_of(router, "anna");
    send_text(first, "unheard");
    third = dealer_of(router, "bert");
    expect_nothing(router);
    pass_from(third, "bert", router, "three");
    pass_from(second, "anna", router, "two");
    CHECK_OK(shm_close(first));
    await_event(router, SHM_EVENT_LEFT);
    expect_nothing(router);
    CLOSE_ALL(second, third, router);
}

/* It left before its successor came, although the router looks at the successor's slot first, and its own slot has a
 * live owner by then. */
TEST_THAT(who_left_before_its_id_came_again_is_heard)
{
    shm_socket_t *router = socket_bound_with(SHM_ROUTER, SHM_ROUTER_HANDOVER, 1), *other, *first, *second, *third;

    other = dealer_of(router, "dora");
    first = dealer_of(router, "anna");
    send_text(first, "one");
    CLOSE_ALL(other, first);
    second = dealer_new("anna"); /* in dora's place */
    third = dealer_new("carl");  /* in that of the first anna */
    expect_from(router, "anna", "one");
    join(router, second);
    pass_to(router, "anna", second, "to the second");
    expect_nothing(router);
    CLOSE_ALL(second, third, router);
}

static void die_as_anna(struct child *up, void *argument)
{
    shm_socket_t *dealer = dealer_new("anna");

    await_event(dealer, SHM_EVENT_CONNECTED);
    send_text(dealer, "hello");
    child_stay(up, 1);
}

TEST_THAT(an_id_is_free_again_when_its_owner_was_killed)
{
    shm_socket_t *router = socket_bound(SHM_ROUTER);

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
