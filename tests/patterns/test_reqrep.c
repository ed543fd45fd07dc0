/* SPDX-License-Identifier: MIT */
/* REQ and REP: turns, envelopes, late replies, relaxed, correlate. */
#include "support/short.h"

static void exchange(shm_socket_t *req, shm_socket_t *rep)
{
    pass_text(req, rep, "ask");
    pass_text(rep, req, "answer");
}

/* ---- Out of turn ---- */

TEST_DUO(SHM_REP, SHM_REQ, calls_out_of_turn_are_refused_and_change_nothing, rep, req)
{
    for (int i = 0; i < 3; i++) {
        CHECK_ERR(recv_byte(req, 0), EFSM);
        CHECK_ERR(recv_byte(req, SHM_DONTWAIT), EFSM);
        CHECK_ERR(shm_send(rep, "x", 1, 0), EFSM);
        CHECK_ERR(shm_send(rep, "x", 1, SHM_SNDMORE), EFSM);
        send_text(req, "ask");
        CHECK_ERR(shm_send(req, "again", 5, 0), EFSM);
        CHECK_ERR(shm_send(req, "again", 5, SHM_DONTWAIT), EFSM);
        expect_nothing(req);
        expect_text(rep, "ask");
        send_text(rep, "answer");
        CHECK_ERR(shm_send(rep, "more", 4, 0), EFSM);
        expect_nothing(rep);
        CHECK_ERR(shm_send(req, "again", 5, 0), EFSM);
        expect_text(req, "answer");
    }
}

TEST_DUO(SHM_REP, SHM_REQ, events_follow_the_turns, rep, req)
{
    CHECK_INT(get_int(req, SHM_EVENTS), SHM_POLLOUT);
    CHECK_INT(get_int(rep, SHM_EVENTS), 0);
    send_text(req, "ask");
    CHECK_INT(get_int(req, SHM_EVENTS), 0);
    CHECK_INT(get_int(rep, SHM_EVENTS), SHM_POLLIN);
    expect_text(rep, "ask");
    CHECK_INT(get_int(rep, SHM_EVENTS), SHM_POLLOUT);
    send_text(rep, "answer");
    CHECK_INT(get_int(rep, SHM_EVENTS), 0);
    CHECK_INT(get_int(req, SHM_EVENTS), SHM_POLLIN);
    expect_text(req, "answer");
    CHECK_INT(get_int(req, SHM_EVENTS), SHM_POLLOUT);
}

/* A request is read whole before it is answered, an answer before the next request. */
TEST_DUO(SHM_REP, SHM_REQ, turns_end_with_the_last_part, rep, req)
{
    send_part(req, "a");
    CHECK_ERR(recv_byte(req, 0), EFSM);
    send_text(req, "b");
    expect_text(rep, "a");
    CHECK_ERR(shm_send(rep, "x", 1, 0), EFSM);
    expect_text(rep, "b");
    send_part(rep, "c");
    CHECK_ERR(recv_byte(rep, 0), EFSM);
    send_text(rep, "d");
    expect_text(req, "c");
    CHECK_ERR(shm_send(req, "x", 1, 0), EFSM);
    expect_text(req, "d");
    exchange(req, rep);
}

TEST_DUO(SHM_REP, SHM_REQ, every_call_gets_its_own_answer, rep, req)
{
    char text[32];

    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "call %d", i);
        pass_text(req, rep, text);
        text[0] = 'C';
        pass_text(rep, req, text);
    }
}

/* ---- Several of each ---- */

TEST_THAT(a_rep_answers_each_asker_its_own)
{
    shm_socket_t *rep = socket_bound(SHM_REP), *reqs[10];
    char text[16];

    sockets_join(rep, SHM_REQ, reqs, COUNT_OF(reqs));
    for (int round = 0; round < 5; round++) {
        for (size_t i = 0; i < COUNT_OF(reqs); i++) {
            snprintf(text, sizeof text, "%zu", i);
            send_text(reqs[i], text);
        }
        for (size_t i = 0; i < COUNT_OF(reqs); i++) {
            ssize_t n = CHECK_OK(shm_recv(rep, text, sizeof text, 0));

            CHECK_INT(shm_send(rep, text, (size_t)n, 0), n);
        }
        for (size_t i = 0; i < COUNT_OF(reqs); i++) {
            snprintf(text, sizeof text, "%zu", i);
            expect_text(reqs[i], text);
        }
    }
    CLOSE_EACH(reqs);
    CHECK_OK(shm_close(rep));
}

TEST_THAT(a_req_asks_its_peers_in_turn)
{
    shm_socket_t *req = socket_bound(SHM_REQ), *reps[3];
    unsigned asked[3] = {0};

    sockets_join(req, SHM_REP, reps, COUNT_OF(reps));
    for (int i = 0; i < 30; i++) {
        unsigned served = 0;

        send_text(req, "?");
        for (size_t k = 0; k < COUNT_OF(reps); k++)
            if (recv_byte(reps[k], SHM_DONTWAIT) == 1) {
                send_text(reps[k], "!");
                asked[k]++;
                served++;
            }
        CHECK_INT(served, 1);
        expect_text(req, "!");
    }
    for (size_t k = 0; k < COUNT_OF(reps); k++)
        CHECK_INT(asked[k], 10);
    CLOSE_EACH(reps);
    CHECK_OK(shm_close(req));
}

TEST_THAT(a_reply_to_an_asker_that_has_gone_is_dropped)
{
    shm_socket_t *rep = socket_bound(SHM_REP), *req = socket_joined(rep, SHM_REQ);

    send_text(req, "ask");
    CHECK_OK(shm_close(req));
    expect_text(rep, "ask");
    send_text(rep, "late");
    CHECK_INT(get_stats(rep).dropped, 1);
    req = socket_joined(rep, SHM_REQ);
    expect_nothing(rep);
    exchange(req, rep);
    CLOSE_ALL(req, rep);
}

/* ---- Relaxed and correlate ---- */

/* The classic: a request times out, the next is sent, and then the first one's answer comes. */
static void answer_late(bool correlate)
{
    shm_socket_t *rep = socket_bound(SHM_REP), *req = socket_new(SHM_REQ);

    set_int(req, SHM_REQ_RELAXED, 1);
    set_int(req, SHM_REQ_CORRELATE, correlate);
    connect_to(rep, req);
    for (int i = 0; i < 50; i++) {
        send_text(req, "first");
        set_int(req, SHM_RCVTIMEO, 1);
        CHECK_ERR(recv_byte(req, 0), EAGAIN);
        set_int(req, SHM_RCVTIMEO, -1);
        if (i % 2 == 0)
            send_text(req, "second");
        expect_text(rep, "first");
        send_text(rep, "late");
        if (i % 2)
            send_text(req, "second");
        expect_nothing(req);
        expect_text(rep, "second");
        pass_text(rep, req, "right");
        CHECK_ERR(recv_byte(req, SHM_DONTWAIT), EFSM);
    }
    CLOSE_ALL(req, rep);
}

TEST_THAT(a_late_reply_is_never_taken_for_the_next_one)
{
    answer_late(false);
    answer_late(true);
}

TEST_THAT(correlated_requests_carry_a_number_that_a_router_sees)
{
    shm_socket_t *req = socket_new(SHM_REQ), *router = socket_new(SHM_ROUTER);
    unsigned char id[256], number[8], last[8] = {0};

    set_int(req, SHM_REQ_CORRELATE, 1);
    pair_up(router, req);
    for (int i = 0; i < 3; i++) {
        send_text(req, "ask");
        ssize_t id_size = CHECK_OK(shm_recv(router, id, sizeof id, 0));
        CHECK_INT(shm_recv(router, number, sizeof number, 0), 4);
        CHECK(memcmp(number, last, 4) != 0 || i == 0);
        memcpy(last, number, 4);
        expect_parts(router, TEXTS("", "ask"));
        for (int right = 0; right < 2; right++) { /* a wrong number first: not for this request */
            number[0] ^= 0x55;
            CHECK_INT(shm_send(router, id, (size_t)id_size, SHM_SNDMORE), id_size);
            CHECK_INT(shm_send(router, number, 4, SHM_SNDMORE), 4);
            send_parts(router, TEXTS("", right ? "right" : "wrong"));
            if (!right)
                expect_nothing(req);
        }
        expect_text(req, "right");
    }
    CLOSE_ALL(req, router);
}

/* What a ROUTER sends without the delimiter, or before it was asked, is not an answer. */
TEST_THAT(malformed_and_unasked_replies_are_ignored)
{
    shm_socket_t *req = socket_new(SHM_REQ), *router = socket_new(SHM_ROUTER);

    CHECK_OK(shm_setsockopt(req, SHM_ROUTING_ID, "R", 1));
    pair_up(router, req);
    send_parts(router, TEXTS("R", "", "unasked"));
    CHECK_ERR(recv_byte(req, SHM_DONTWAIT), EFSM);
    send_text(req, "ask");
    expect_nothing(req);
    expect_text(router, "R");
    expect_text(router, "");
    expect_text(router, "ask");
    send_parts(router, TEXTS("R", "bare"));
    expect_nothing(req);
    send_parts(router, TEXTS("R", "", "right"));
    expect_text(req, "right");
    CLOSE_ALL(req, router);
}

/* The envelope of a request takes the reply back through any number of ROUTERs. */
TEST_DUO(SHM_REP, SHM_DEALER, a_rep_gives_the_whole_envelope_back, rep, dealer)
{
    send_parts(dealer, TEXTS("hop one", "hop two", "", "ask"));
    expect_text(rep, "ask");
    CHECK_INT(get_int(rep, SHM_RCVMORE), 0);
    send_parts(rep, TEXTS("a", "b"));
    expect_parts(dealer, TEXTS("hop one", "hop two", "", "a", "b"));
    /* and what has no delimiter is not a request */
    send_text(dealer, "bare");
    expect_nothing(rep);
}

/* A large part lies in a block of the asker's: the answer must not point there as if it were its own. */
TEST_THAT(a_hop_of_any_size_comes_back_as_it_was)
{
    static char hop[100000], got[sizeof hop];
    shm_socket_t *dealer = socket_new(SHM_DEALER), *rep = socket_new(SHM_REP);

    pair_up(rep, dealer);
    for (size_t size = 1; size <= sizeof hop; size = size * 3 + 1) {
        memset(hop, (int)size & 0xff, size);
        CHECK_INT(shm_send(dealer, hop, size, SHM_SNDMORE), size);
        send_parts(dealer, TEXTS("", "ask"));
        expect_text(rep, "ask");
        send_text(rep, "answer");
        CHECK_INT(shm_recv(dealer, got, sizeof got, 0), size);
        CHECK_MEM(got, size, hop, size);
        expect_text(dealer, "");
        expect_text(dealer, "answer");
    }
    CLOSE_ALL(dealer, rep);
}
