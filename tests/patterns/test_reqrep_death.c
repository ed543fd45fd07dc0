/* SPDX-License-Identifier: MIT */
/* REQ when its REP ends: no wait is for ever, and a request is answered once. */
#include "support/short.h"

#include <signal.h>

enum { GO = 1, READ, DIE };

/* Bound as "it": says so, takes a request, says so, and ends as it is told to. */
static void take_a_request(struct child *up, void *argument)
{
    shm_socket_t *rep = socket_bound(SHM_REP);
    char got[16];

    await_event(rep, SHM_EVENT_CONNECTED);
    child_say(up, GO);
    child_hear(up);
    CHECK_INT(shm_recv(rep, got, sizeof got, 0), 3);
    child_say(up, READ);
    child_hear(up); /* killed here, or told to close */
    CHECK_OK(shm_close(rep));
}

static void answer_requests(struct child *up, void *argument)
{
    shm_socket_t *rep = socket_bound(SHM_REP);
    unsigned count = *(const unsigned *)argument;
    char got[16];

    child_say(up, GO);
    for (unsigned i = 0; i < count; i++) {
        ssize_t n = CHECK_OK(shm_recv(rep, got, sizeof got, 0));

        CHECK_INT(shm_send(rep, got, (size_t)n, 0), n);
    }
    child_say(up, READ);
    child_hear(up);
    CHECK_OK(shm_close(rep));
}

static void hear_and_go(struct child *child)
{
    CHECK_INT(child_hear(child), GO);
    child_say(child, GO);
}

static shm_socket_t *req_that_met(void)
{
    shm_socket_t *req = socket_connected(SHM_REQ);

    await_event(req, SHM_EVENT_CONNECTED);
    return req;
}

/* ---- The REP ends with the request in hand ---- */

TEST_THAT(a_rep_that_ends_with_the_request_in_hand_is_a_reset)
{
    for (int by_kill = 0; by_kill < 2; by_kill++) {
        struct child child = child_start(take_a_request, NULL);
        unsigned one = 1;
        shm_socket_t *req = req_that_met();
        char byte;

        hear_and_go(&child);
        send_text(req, "ask");
        CHECK_INT(child_hear(&child), READ);
        CHECK_ERR(shm_recv(req, &byte, 1, SHM_DONTWAIT), EAGAIN);
        if (by_kill)
            child_kill(&child);
        else
            child_end(&child);
        CHECK_ERR(shm_recv(req, &byte, 1, 0), ECONNRESET);
        CHECK_ERR(shm_recv(req, &byte, 1, 0), EFSM); /* the turn is the next request's */
        child = child_start(answer_requests, &one);
        CHECK_INT(child_hear(&child), GO);
        send_text(req, "next");
        expect_text(req, "next");
        CHECK_INT(child_hear(&child), READ);
        child_end(&child);
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
    struct child server = child_start(take_a_request, NULL), killer;
    pid_t pids[2] = {getpid(), server.pid};
    shm_socket_t *req = req_that_met();
    char byte;

    hear_and_go(&server);
    send_text(req, "ask");
    CHECK_INT(child_hear(&server), READ);
    killer = child_start(kill_the_server, pids);
    CHECK_ERR(shm_recv(req, &byte, 1, 0), ECONNRESET);
    child_end(&killer);
    child_reap(&server);
    CHECK_OK(shm_close(req));
}

/* The request was never read: the death of the peer resets it, too, or it waits for the next. */
TEST_THAT(a_rep_that_is_killed_before_it_reads_leaves_no_wait_for_ever)
{
    struct child child = child_start(take_a_request, NULL);
    unsigned one = 1;
    shm_socket_t *req = req_that_met();
    char got[8];
    ssize_t n;

    CHECK_INT(child_hear(&child), GO);
    send_text(req, "ask");
    child_kill(&child);
    child = child_start(answer_requests, &one);
    CHECK_INT(child_hear(&child), GO);
    n = shm_recv(req, got, sizeof got, 0);
    if (n < 0) {
        CHECK_INT(errno, ECONNRESET);
        send_text(req, "ask");
        n = CHECK_OK(shm_recv(req, got, sizeof got, 0));
    }
    CHECK_MEM(got, n, "ask", 3);
    CHECK_INT(child_hear(&child), READ);
    child_end(&child);
    CHECK_OK(shm_close(req));
}

/* ---- SHM_REQ_RESEND ---- */

TEST_THAT(a_resending_req_asks_the_next_rep)
{
    struct child child = child_start(take_a_request, NULL);
    unsigned one = 1;
    shm_socket_t *req = socket_new(SHM_REQ);

    set_int(req, SHM_REQ_RESEND, 1);
    CHECK_OK(shm_connect(req, "it"));
    await_event(req, SHM_EVENT_CONNECTED);
    hear_and_go(&child);
    send_text(req, "ask");
    for (int i = 0; i < 3; i++) {
        CHECK_INT(child_hear(&child), READ);
        child_kill(&child);
        child = child_start(i < 2 ? take_a_request : answer_requests, &one);
        if (i == 2)
            break;
        /* the next one must get the same request, though the REQ makes but one call */
        set_int(req, SHM_RCVTIMEO, 1);
        while (!child_has_spoken(&child)) {
            char byte;

            CHECK_ERR(shm_recv(req, &byte, 1, 0), EAGAIN);
        }
        hear_and_go(&child);
        while (!child_has_spoken(&child)) {
            char byte;

            CHECK_ERR(shm_recv(req, &byte, 1, 0), EAGAIN);
        }
        set_int(req, SHM_RCVTIMEO, -1);
    }
    expect_text(req, "ask");
    CHECK_INT(child_hear(&child), GO);
    CHECK_INT(child_hear(&child), READ);
    child_end(&child);
    CHECK_OK(shm_close(req));
}

TEST_THAT(a_resent_request_has_all_its_parts)
{
    struct child child = child_start(take_a_request, NULL);
    shm_socket_t *req = socket_new(SHM_REQ), *rep;
    static unsigned char big[100000];
    static unsigned char got[100000];
    char byte;

    pattern_fill(big, sizeof big, 4);
    set_int(req, SHM_REQ_RESEND, 1);
    CHECK_OK(shm_connect(req, "it"));
    await_event(req, SHM_EVENT_CONNECTED);
    hear_and_go(&child);
    CHECK_INT(shm_send(req, "one", 3, SHM_SNDMORE), 3);
    CHECK_INT(shm_send(req, big, sizeof big, SHM_SNDMORE), sizeof big);
    CHECK_INT(shm_send(req, "", 0, 0), 0);
    CHECK_INT(child_hear(&child), READ);
    child_kill(&child);
    rep = socket_bound(SHM_REP);
    while (shm_recv(rep, got, 3, SHM_DONTWAIT) < 0) {
        CHECK_INT(errno, EAGAIN);
        CHECK_ERR(shm_recv(req, &byte, 1, SHM_DONTWAIT), EAGAIN);
    }
    CHECK_MEM(got, 3, "one", 3);
    CHECK_INT(shm_recv(rep, got, sizeof got, 0), sizeof big);
    pattern_check(got, sizeof big, 4);
    CHECK_INT(get_int(rep, SHM_RCVMORE), 1);
    CHECK_INT(shm_recv(rep, got, sizeof got, 0), 0);
    CHECK_INT(get_int(rep, SHM_RCVMORE), 0);
    send_text(rep, "done");
    expect_text(req, "done");
    CLOSE_ALL(req, rep);
}

/* ---- Between two parts ---- */

/* Connected to "it": says so; killed, or told to take a request of two parts and answer it. */
static void come_to_answer(struct child *up, void *argument)
{
    shm_socket_t *rep = socket_connected(SHM_REP);

    await_event(rep, SHM_EVENT_CONNECTED);
    child_say(up, GO);
    child_hear(up);
    expect_text(rep, "ask");
    CHECK_INT(get_int(rep, SHM_RCVMORE), 1);
    expect_text(rep, "more");
    send_text(rep, "answer");
    child_say(up, READ);
    child_hear(up);
    CHECK_OK(shm_close(rep));
}

static void ask_and_see_the_rep_die(shm_socket_t *req)
{
    struct child child = child_start(come_to_answer, NULL);

    await_event(req, SHM_EVENT_CONNECTED);
    CHECK_INT(child_hear(&child), GO);
    CHECK_INT(shm_send(req, "ask", 3, SHM_SNDMORE), 3);
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
        CHECK_INT(shm_send(req, "ask", 3, SHM_SNDMORE), 3);
        send_text(req, "more");
    }
    expect_text(req, "answer");
    CHECK_INT(child_hear(&child), READ);
    child_end(&child);
}

TEST_THAT(a_req_whose_rep_dies_between_two_parts_is_told)
{
    shm_socket_t *req = socket_bound(SHM_REQ);
    char byte;

    ask_and_see_the_rep_die(req);
    CHECK_ERR(shm_send(req, "next", 4, SHM_DONTWAIT), EFSM); /* first it must learn that there will be no answer */
    CHECK_ERR(shm_recv(req, &byte, 1, SHM_DONTWAIT), ECONNRESET);
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
    shm_socket_t *req = req_that_met(), *rep = socket_new(SHM_REP);

    CHECK_INT(child_hear(&child), GO);
    CHECK_INT(shm_send(req, "ask", 3, SHM_SNDMORE), 3);
    child_kill(&child);
    await_event(req, SHM_EVENT_DIED);
    send_text(req, "more");
    CHECK_OK(shm_bind(rep, "it"));
    join(req, rep);
    expect_text(rep, "ask");
    expect_text(rep, "more");
    send_text(rep, "answer");
    expect_text(req, "answer");
    CLOSE_ALL(req, rep);
}
