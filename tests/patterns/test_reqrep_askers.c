/* SPDX-License-Identifier: MIT */
/* REP when its asker ends: it continues, and no answer goes to anybody but the asker. */
#include "support/short.h"

enum { GO = 1 };

static void ask_and_die(struct child *up, void *argument)
{
    shm_socket_t *req = socket_connected(SHM_REQ);

    send_text(req, "ask");
    child_stay(up, GO);
}

/* Another asker is, to the end of both. */
static void see_served(shm_socket_t *rep)
{
    shm_socket_t *req = socket_connected(SHM_REQ);

    ask_and_answer(req, rep);
    CLOSE_ALL(req, rep);
}

TEST_THAT(a_rep_goes_on_when_its_asker_was_killed)
{
    for (int read_first = 0; read_first < 2; read_first++) {
        shm_socket_t *rep = socket_bound(SHM_REP);
        struct child child = child_start_until(GO, ask_and_die, NULL);

        if (read_first)
            expect_text(rep, "ask");
        child_kill(&child);
        if (!read_first)
            expect_text(rep, "ask"); /* it was sent */
        send_text(rep, "answer");    /* to nobody */
        see_served(rep);
    }
}

TEST_THAT(a_rep_whose_asker_dies_between_two_parts_goes_on)
{
    for (int parts = 1; parts <= 2; parts++) {
        shm_socket_t *rep = socket_bound(SHM_REP);
        struct child child = child_start_until(GO, ask_and_die, NULL);

        expect_text(rep, "ask");
        if (parts == 2)
            send_part(rep, "ans");
        child_kill(&child);
        await_event(rep, SHM_EVENT_DIED);
        if (parts == 1)
            send_part(rep, "ans");
        send_text(rep, "wer");
        expect_nothing(rep);
        see_served(rep);
    }
}

/* ---- A DEALER that binds ---- */

static void ask_as_a_dealer_and_die(struct child *up, void *argument)
{
    shm_socket_t *dealer = socket_bound(SHM_DEALER);

    send_parts(dealer, TEXTS("", "ask"));
    child_stay(up, GO);
}

/* The queue of answers waits for the next binder, which has not asked. */
TEST_THAT(a_dealer_does_not_get_the_answers_to_one_before_it)
{
    for (int seen = 0; seen < 2; seen++) {
        shm_socket_t *rep = socket_connected(SHM_REP);
        struct child child = child_start(ask_as_a_dealer_and_die, NULL);

        expect_text(rep, "ask");
        CHECK_INT(child_hear(&child), GO);
        if (seen)
            send_text(rep, "not yours");
        child_kill(&child);
        shm_socket_t *dealer = socket_bound(SHM_DEALER);
        if (!seen)
            send_text(rep, "not yours");
        while (get_stats(dealer).peers == 0) /* with a key, both have to look */
            CHECK(shm_poll((shm_pollitem_t[]){{dealer, -1, 0, 0}, {rep, -1, 0, 0}}, 2, 1) >= 0);
        expect_nothing(dealer);
        send_parts(dealer, TEXTS("", "mine"));
        expect_text(rep, "mine");
        send_text(rep, "yours");
        expect_parts(dealer, TEXTS("", "yours"));
        CLOSE_ALL(rep, dealer);
    }
}

static void bind_ask_and_die(struct child *up, void *argument)
{
    shm_socket_t *req = socket_bound(SHM_REQ);

    send_text(req, "ask");
    child_stay(up, GO);
}

/* Unread answers take no room from the next asker's. */
TEST_THAT(answers_that_the_dead_did_not_read_leave_room_for_others)
{
    shm_socket_t *rep = socket_new(SHM_REP), *req = socket_new(SHM_REQ);

    set_int(rep, SHM_SNDHWM, 4);
    CHECK_OK(shm_connect(rep, "it"));
    for (int i = 0; i < 4; i++) {
        struct child child = child_start(bind_ask_and_die, NULL);

        expect_text(rep, "ask");
        CHECK_INT(child_hear(&child), GO);
        send_text(rep, "unread");
        child_kill(&child);
    }
    CHECK_OK(shm_bind(req, "it"));
    join(req, rep);
    pass_text(req, rep, "mine");
    send_text(rep, "yours");
    set_int(req, SHM_RCVTIMEO, 2000);
    expect_text(req, "yours");
    CLOSE_ALL(rep, req);
}

/* A new asker never gets what was meant for a dead one, even if it takes over its place. */
TEST_THAT(replies_to_the_dead_go_to_nobody)
{
    shm_socket_t *rep = socket_bound(SHM_REP);

    for (int i = 0; i < 10; i++) {
        struct child child = child_start_until(GO, ask_and_die, NULL);

        expect_text(rep, "ask");
        child_kill(&child);
        shm_socket_t *req = socket_connected(SHM_REQ);
        send_text(req, "mine");
        send_text(rep, "not yours");
        expect_nothing(req);
        expect_text(rep, "mine");
        pass_text(rep, req, "yours");
        CHECK_OK(shm_close(req));
    }
    CHECK_OK(shm_close(rep));
}
