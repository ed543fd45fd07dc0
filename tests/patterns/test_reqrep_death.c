/* SPDX-License-Identifier: MIT */
/* REQ when its REP ends: no wait is for ever, and a request is answered once. */
#include "support/short.h"

#include <signal.h>

enum { GO = 1, READ };

/* Bound as "it": says so, takes a request, says so, and ends as it is told to. */
static void take_a_request(struct child *up, void *argument)
{
    shm_socket_t *rep = socket_bound(SHM_REP);

    await_event(rep, SHM_EVENT_CONNECTED);
    child_stay(up, GO);
    CHECK_INT(recv_byte(rep, 0), 3);
    child_stay(up, READ); /* killed here, or told to close */
    CHECK_OK(shm_close(rep));
}

static void answer_a_request(struct child *up, void *argument)
{
    shm_socket_t *rep = socket_bound(SHM_REP);
    char got[16];

    child_say(up, GO);
    ssize_t n = CHECK_OK(shm_recv(rep, got, sizeof got, 0));
    CHECK_INT(shm_send(rep, got, (size_t)n, 0), n);
    child_stay(up, READ);
    CHECK_OK(shm_close(rep));
}

static void see_answered(struct child *child)
{
    CHECK_INT(child_hear(child), READ);
    child_end(child);
}

static void hear_and_go(struct child *child)
{
    CHECK_INT(child_hear(child), GO);
    child_say(child, GO);
}

static shm_socket_t *req_that_met(int resend)
{
    shm_socket_t *req = socket_new(SHM_REQ);

    set_int(req, SHM_REQ_RESEND, resend);
    CHECK_OK(shm_connect(req, "it"));
    await_event(req, SHM_EVENT_CONNECTED);
    return req;
}

/* ... and asked the SERVER, which has the request in hand. */
static shm_socket_t *req_that_asked(struct child *server)
{
    *server = child_start(take_a_request, NULL);
    shm_socket_t *req = req_that_met(0);
    hear_and_go(server);
    send_text(req, "ask");
    CHECK_INT(child_hear(server), READ);
    return req;
}

/* ---- The REP ends with the request in hand ---- */

TEST_THAT(a_rep_that_ends_with_the_request_in_hand_is_a_reset)
{
    for (int by_kill = 0; by_kill < 2; by_kill++) {
        struct child child;
        shm_socket_t *req = req_that_asked(&child);

        expect_nothing(req);
        child_leave(&child, by_kill);
        CHECK_ERR(recv_byte(req, 0), ECONNRESET);
        CHECK_ERR(recv_byte(req, 0), EFSM); /* the turn is the next request's */
        child = child_start_until(GO, answer_a_request, NULL);
        pass_text(req, req, "next");
        see_answered(&child);
        CHECK_OK(shm_close(req));
    }
}

/* The REQ sleeps in shm_recv() when it happens. */
static void kill_the_server(struct child *up, void *argument)
{
    const pid_t *pids = argument; /* whom to watch, whom to kill */

    await_asleep(pids[0]);
    kill_guarded(pids[1], SIGKILL);
    child_hear(up);
}

TEST_THAT(a_sleeping_req_is_woken_by_the_death_of_its_rep)
{
    struct child server;
    shm_socket_t *req = req_that_asked(&server);
    pid_t pids[2] = {getpid(), server.pid};
    struct child killer = child_start(kill_the_server, pids);

    CHECK_ERR(recv_byte(req, 0), ECONNRESET);
    child_end(&killer);
    child_reap(&server);
    CHECK_OK(shm_close(req));
}

/* The request was never read: the death of the peer resets it, too, or it waits for the next. */
TEST_THAT(a_rep_that_is_killed_before_it_reads_leaves_no_wait_for_ever)
{
    struct child child = child_start(take_a_request, NULL);
    shm_socket_t *req = req_that_met(0);
    char got[8];

    CHECK_INT(child_hear(&child), GO);
    send_text(req, "ask");
    child_kill(&child);
    child = child_start_until(GO, answer_a_request, NULL);
    ssize_t n = shm_recv(req, got, sizeof got, 0);
    if (n < 0) {
        CHECK_INT(errno, ECONNRESET);
        send_text(req, "ask");
        n = CHECK_OK(shm_recv(req, got, sizeof got, 0));
    }
    CHECK_MEM(got, n, "ask", 3);
    see_answered(&child);
    CHECK_OK(shm_close(req));
}

/* ---- SHM_REQ_RESEND ---- */

TEST_THAT(a_resending_req_asks_the_next_rep)
{
    struct child child = child_start(take_a_request, NULL);
    shm_socket_t *req = req_that_met(1);

    hear_and_go(&child);
    send_text(req, "ask");
    for (int i = 0; i < 3; i++) {
        CHECK_INT(child_hear(&child), READ);
        child_kill(&child);
        child = child_start(i < 2 ? take_a_request : answer_a_request, NULL);
        if (i == 2)
            break;
        /* the next one must get the same request, though the REQ makes but one call */
        set_int(req, SHM_RCVTIMEO, 1);
        while (!child_has_spoken(&child))
            CHECK_ERR(recv_byte(req, 0), EAGAIN);
        hear_and_go(&child);
        while (!child_has_spoken(&child))
            CHECK_ERR(recv_byte(req, 0), EAGAIN);
        set_int(req, SHM_RCVTIMEO, -1);
    }
    expect_text(req, "ask");
    CHECK_INT(child_hear(&child), GO);
    see_answered(&child);
    CHECK_OK(shm_close(req));
}

TEST_THAT(a_resent_request_has_all_its_parts)
{
    struct child child = child_start(take_a_request, NULL);
    shm_socket_t *req = req_that_met(1), *rep;
    static unsigned char big[100000], got[100000];

    pattern_fill(big, sizeof big, 4);
    hear_and_go(&child);
    send_part(req, "one");
    CHECK_INT(shm_send(req, big, sizeof big, SHM_SNDMORE), sizeof big);
    send_text(req, "");
    CHECK_INT(child_hear(&child), READ);
    child_kill(&child);
    rep = socket_bound(SHM_REP);
    while (shm_recv(rep, got, 3, SHM_DONTWAIT) < 0) {
        CHECK_INT(errno, EAGAIN);
        expect_nothing(req);
    }
    CHECK_MEM(got, 3, "one", 3);
    CHECK_INT(shm_recv(rep, got, sizeof got, 0), sizeof big);
    pattern_check(got, sizeof big, 4);
    CHECK_INT(get_int(rep, SHM_RCVMORE), 1);
    CHECK_INT(shm_recv(rep, got, sizeof got, 0), 0);
    CHECK_INT(get_int(rep, SHM_RCVMORE), 0);
    pass_text(rep, req, "done");
    CLOSE_ALL(req, rep);
}

/* ---- Between two parts ---- */

/* Connected to "it": says so; killed, or told to take a request of two parts and answer it. */
static void come_to_answer(struct child *up, void *argument)
{
    shm_socket_t *rep = socket_connected(SHM_REP);

    await_event(rep, SHM_EVENT_CONNECTED);
    child_stay(up, GO);
    expect_part(rep, "ask", true);
    expect_text(rep, "more");
    send_text(rep, "answer");
    child_stay(up, READ);
    CHECK_OK(shm_close(rep));
}

static void ask_and_see_the_rep_die(shm_socket_t *req)
{
    struct child child = child_start(come_to_answer, NULL);

    await_event(req, SHM_EVENT_CONNECTED);
    CHECK_INT(child_hear(&child), GO);
    send_part(req, "ask");
    child_kill(&child);
    await_event(req, SHM_EVENT_DIED);
    send_text(req, "more");
}

static void be_answered(shm_socket_t *req, bool asks)
{
    struct child child = child_start(come_to_answer, NULL);

    await_event(req, SHM_EVENT_CONNECTED);
    hear_and_go(&child);
    if (asks) {
        send_parts(req, TEXTS("ask", "more"));
    }
    expect_text(req, "answer");
    see_answered(&child);
}

TEST_THAT(a_req_whose_rep_dies_between_two_parts_is_told)
{
    shm_socket_t *req = socket_bound(SHM_REQ);

    ask_and_see_the_rep_die(req);
    CHECK_ERR(shm_send(req, "next", 4, SHM_DONTWAIT), EFSM); /* first it must learn that there will be no answer */
    CHECK_ERR(recv_byte(req, SHM_DONTWAIT), ECONNRESET);
    be_answered(req, true);
    CHECK_OK(shm_close(req));
}

TEST_THAT(a_request_cut_short_by_a_death_is_resent_whole)
{
    shm_socket_t *req = socket_bound_with(SHM_REQ, SHM_REQ_RESEND, 1);

    ask_and_see_the_rep_die(req);
    be_answered(req, false);
    CHECK_OK(shm_close(req));
}

/* A connector's queue, with an unfinished message, waits for the next binder. */
TEST_THAT(a_connected_req_whose_rep_dies_between_two_parts_asks_the_next)
{
    struct child child = child_start(take_a_request, NULL);
    shm_socket_t *req = req_that_met(0), *rep = socket_new(SHM_REP);

    CHECK_INT(child_hear(&child), GO);
    send_part(req, "ask");
    child_kill(&child);
    await_event(req, SHM_EVENT_DIED);
    send_text(req, "more");
    CHECK_OK(shm_bind(rep, "it"));
    join(req, rep);
    expect_text(rep, "ask");
    expect_text(rep, "more");
    pass_text(rep, req, "answer");
    CLOSE_ALL(req, rep);
}
