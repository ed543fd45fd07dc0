/* SPDX-License-Identifier: MIT */
/* REQ and REP: turns, envelopes, late replies, relaxed, correlate. */
#include "support/short.h"

struct duo {
    shm_socket_t *req, *rep;
};

static struct duo duo_new(void)
{
    struct duo duo = {socket_new(SHM_REQ), socket_new(SHM_REP)};

    CHECK_OK(shm_bind(duo.rep, "it"));
    CHECK_OK(shm_connect(duo.req, "it"));
    join(duo.req, duo.rep);
    return duo;
}

static void duo_close(struct duo *duo)
{
    CLOSE_ALL(duo->req, duo->rep);
}

static void exchange(struct duo *duo)
{
    send_text(duo->req, "ask");
    expect_text(duo->rep, "ask");
    send_text(duo->rep, "answer");
    expect_text(duo->req, "answer");
}

/* ---- Out of turn ---- */

TEST_THAT(calls_out_of_turn_are_refused_and_change_nothing)
{
    struct duo duo = duo_new();
    char byte;

    for (int i = 0; i < 3; i++) {
        CHECK_ERR(shm_recv(duo.req, &byte, 1, 0), EFSM);
        CHECK_ERR(shm_recv(duo.req, &byte, 1, SHM_DONTWAIT), EFSM);
        CHECK_ERR(shm_send(duo.rep, "x", 1, 0), EFSM);
        CHECK_ERR(shm_send(duo.rep, "x", 1, SHM_SNDMORE), EFSM);
        send_text(duo.req, "ask");
        CHECK_ERR(shm_send(duo.req, "again", 5, 0), EFSM);
        CHECK_ERR(shm_send(duo.req, "again", 5, SHM_DONTWAIT), EFSM);
        expect_nothing(duo.req);
        expect_text(duo.rep, "ask");
        send_text(duo.rep, "answer");
        CHECK_ERR(shm_send(duo.rep, "more", 4, 0), EFSM);
        expect_nothing(duo.rep);
        CHECK_ERR(shm_send(duo.req, "again", 5, 0), EFSM);
        expect_text(duo.req, "answer");
    }
    duo_close(&duo);
}

TEST_THAT(events_follow_the_turns)
{
    struct duo duo = duo_new();

    CHECK_INT(get_int(duo.req, SHM_EVENTS), SHM_POLLOUT);
    CHECK_INT(get_int(duo.rep, SHM_EVENTS), 0);
    send_text(duo.req, "ask");
    CHECK_INT(get_int(duo.req, SHM_EVENTS), 0);
    CHECK_INT(get_int(duo.rep, SHM_EVENTS), SHM_POLLIN);
    expect_text(duo.rep, "ask");
    CHECK_INT(get_int(duo.rep, SHM_EVENTS), SHM_POLLOUT);
    send_text(duo.rep, "answer");
    CHECK_INT(get_int(duo.rep, SHM_EVENTS), 0);
    CHECK_INT(get_int(duo.req, SHM_EVENTS), SHM_POLLIN);
    expect_text(duo.req, "answer");
    CHECK_INT(get_int(duo.req, SHM_EVENTS), SHM_POLLOUT);
    duo_close(&duo);
}

/* A request is read whole before it is answered, an answer before the next request. */
TEST_THAT(turns_end_with_the_last_part)
{
    struct duo duo = duo_new();
    char byte;

    CHECK_INT(shm_send(duo.req, "a", 1, SHM_SNDMORE), 1);
    CHECK_ERR(shm_recv(duo.req, &byte, 1, 0), EFSM);
    CHECK_INT(shm_send(duo.req, "b", 1, 0), 1);
    expect_text(duo.rep, "a");
    CHECK_ERR(shm_send(duo.rep, "x", 1, 0), EFSM);
    expect_text(duo.rep, "b");
    CHECK_INT(shm_send(duo.rep, "c", 1, SHM_SNDMORE), 1);
    CHECK_ERR(shm_recv(duo.rep, &byte, 1, 0), EFSM);
    CHECK_INT(shm_send(duo.rep, "d", 1, 0), 1);
    expect_text(duo.req, "c");
    CHECK_ERR(shm_send(duo.req, "x", 1, 0), EFSM);
    expect_text(duo.req, "d");
    exchange(&duo);
    duo_close(&duo);
}

TEST_THAT(every_call_gets_its_own_answer)
{
    struct duo duo = duo_new();
    char text[32];

    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "call %d", i);
        send_text(duo.req, text);
        expect_text(duo.rep, text);
        text[0] = 'C';
        send_text(duo.rep, text);
        expect_text(duo.req, text);
    }
    duo_close(&duo);
}

/* ---- Several of each ---- */

TEST_THAT(a_rep_answers_each_asker_its_own)
{
    shm_socket_t *rep = socket_bound(SHM_REP), *reqs[10];
    char text[16];

    for (size_t i = 0; i < COUNT_OF(reqs); i++) {
        reqs[i] = socket_connected(SHM_REQ);
        join(reqs[i], rep);
    }
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

    for (size_t i = 0; i < COUNT_OF(reps); i++) {
        reps[i] = socket_connected(SHM_REP);
        join(req, reps[i]);
    }
    for (int i = 0; i < 30; i++) {
        unsigned served = 0;
        char byte;

        send_text(req, "?");
        for (size_t k = 0; k < COUNT_OF(reps); k++)
            if (shm_recv(reps[k], &byte, 1, SHM_DONTWAIT) == 1) {
                send_text(reps[k], "!");
                asked[k]++;
                served++;
            }
        CHECK_INT(served, 1);
        expect_text(req, "!");
    }
    for (size_t k = 0; k < COUNT_OF(reps); k++) {
        CHECK_INT(asked[k], 10);
        CHECK_OK(shm_close(reps[k]));
    }
    CHECK_OK(shm_close(req));
}

TEST_THAT(a_reply_to_an_asker_that_has_gone_is_dropped)
{
    struct duo duo = duo_new();
    shm_socket_t *other = socket_new(SHM_REQ);

    send_text(duo.req, "ask");
    CHECK_OK(shm_close(duo.req));
    expect_text(duo.rep, "ask");
    CHECK_INT(shm_send(duo.rep, "late", 4, 0), 4);
    CHECK_INT(get_stats(duo.rep).dropped, 1);
    CHECK_OK(shm_connect(other, "it"));
    join(other, duo.rep);
    duo.req = other;
    expect_nothing(duo.rep);
    exchange(&duo);
    duo_close(&duo);
}

/* ---- Relaxed and correlate ---- */

static struct duo relaxed_new(bool correlate)
{
    struct duo duo = {socket_new(SHM_REQ), socket_new(SHM_REP)};

    set_int(duo.req, SHM_REQ_RELAXED, 1);
    set_int(duo.req, SHM_REQ_CORRELATE, correlate);
    CHECK_OK(shm_bind(duo.rep, "it"));
    CHECK_OK(shm_connect(duo.req, "it"));
    join(duo.req, duo.rep);
    return duo;
}

/* The classic: a request times out, the next is sent, and then the first one's answer comes. */
TEST_THAT(a_late_reply_is_never_taken_for_the_next_one)
{
    for (int correlate = 0; correlate < 2; correlate++) {
        struct duo duo = relaxed_new(correlate);

        for (int i = 0; i < 50; i++) {
            char byte;

            send_text(duo.req, "first");
            set_int(duo.req, SHM_RCVTIMEO, 1);
            CHECK_ERR(shm_recv(duo.req, &byte, 1, 0), EAGAIN);
            set_int(duo.req, SHM_RCVTIMEO, -1);
            if (i % 2) {
                expect_text(duo.rep, "first");
                send_text(duo.rep, "late");
                send_text(duo.req, "second");
            } else {
                send_text(duo.req, "second");
                expect_text(duo.rep, "first");
                send_text(duo.rep, "late");
            }
            expect_nothing(duo.req);
            expect_text(duo.rep, "second");
            send_text(duo.rep, "right");
            expect_text(duo.req, "right");
            CHECK_ERR(shm_recv(duo.req, &byte, 1, SHM_DONTWAIT), EFSM);
        }
        duo_close(&duo);
    }
}

TEST_THAT(correlated_requests_carry_a_number_that_a_router_sees)
{
    shm_socket_t *req = socket_new(SHM_REQ), *router = socket_new(SHM_ROUTER);
    unsigned char id[256], number[8], last[8] = {0};
    char got[8];
    ssize_t id_size;

    set_int(req, SHM_REQ_CORRELATE, 1);
    pair_up(router, req);
    for (int i = 0; i < 3; i++) {
        send_text(req, "ask");
        id_size = CHECK_OK(shm_recv(router, id, sizeof id, 0));
        CHECK_INT(shm_recv(router, number, sizeof number, 0), 4);
        CHECK(memcmp(number, last, 4) != 0 || i == 0);
        memcpy(last, number, 4);
        CHECK_INT(shm_recv(router, got, sizeof got, 0), 0);
        expect_text(router, "ask");
        /* a wrong number first: not for this request */
        number[0] ^= 0x55;
        CHECK_INT(shm_send(router, id, (size_t)id_size, SHM_SNDMORE), id_size);
        CHECK_INT(shm_send(router, number, 4, SHM_SNDMORE), 4);
        CHECK_INT(shm_send(router, "", 0, SHM_SNDMORE), 0);
        CHECK_INT(shm_send(router, "wrong", 5, 0), 5);
        expect_nothing(req);
        number[0] ^= 0x55;
        CHECK_INT(shm_send(router, id, (size_t)id_size, SHM_SNDMORE), id_size);
        CHECK_INT(shm_send(router, number, 4, SHM_SNDMORE), 4);
        CHECK_INT(shm_send(router, "", 0, SHM_SNDMORE), 0);
        CHECK_INT(shm_send(router, "right", 5, 0), 5);
        expect_text(req, "right");
    }
    CLOSE_ALL(req, router);
}

/* What a ROUTER sends without the delimiter, or before it was asked, is not an answer. */
TEST_THAT(malformed_and_unasked_replies_are_ignored)
{
    shm_socket_t *req = socket_new(SHM_REQ), *router = socket_new(SHM_ROUTER);
    char got[16];

    CHECK_OK(shm_setsockopt(req, SHM_ROUTING_ID, "R", 1));
    pair_up(router, req);
    CHECK_INT(shm_send(router, "R", 1, SHM_SNDMORE), 1);
    CHECK_INT(shm_send(router, "", 0, SHM_SNDMORE), 0);
    CHECK_INT(shm_send(router, "unasked", 7, 0), 7);
    CHECK_ERR(shm_recv(req, got, sizeof got, SHM_DONTWAIT), EFSM);
    send_text(req, "ask");
    expect_nothing(req);
    expect_text(router, "R");
    expect_text(router, "");
    expect_text(router, "ask");
    CHECK_INT(shm_send(router, "R", 1, SHM_SNDMORE), 1);
    CHECK_INT(shm_send(router, "bare", 4, 0), 4);
    expect_nothing(req);
    CHECK_INT(shm_send(router, "R", 1, SHM_SNDMORE), 1);
    CHECK_INT(shm_send(router, "", 0, SHM_SNDMORE), 0);
    CHECK_INT(shm_send(router, "right", 5, 0), 5);
    expect_text(req, "right");
    CLOSE_ALL(req, router);
}

/* The envelope of a request takes the reply back through any number of ROUTERs. */
TEST_THAT(a_rep_gives_the_whole_envelope_back)
{
    shm_socket_t *dealer = socket_new(SHM_DEALER), *rep = socket_new(SHM_REP);

    pair_up(rep, dealer);
    CHECK_INT(shm_send(dealer, "hop one", 7, SHM_SNDMORE), 7);
    CHECK_INT(shm_send(dealer, "hop two", 7, SHM_SNDMORE), 7);
    CHECK_INT(shm_send(dealer, "", 0, SHM_SNDMORE), 0);
    CHECK_INT(shm_send(dealer, "ask", 3, 0), 3);
    expect_text(rep, "ask");
    CHECK_INT(get_int(rep, SHM_RCVMORE), 0);
    CHECK_INT(shm_send(rep, "a", 1, SHM_SNDMORE), 1);
    CHECK_INT(shm_send(rep, "b", 1, 0), 1);
    expect_text(dealer, "hop one");
    expect_text(dealer, "hop two");
    expect_text(dealer, "");
    expect_text(dealer, "a");
    expect_text(dealer, "b");
    CHECK_INT(get_int(dealer, SHM_RCVMORE), 0);
    /* and what has no delimiter is not a request */
    CHECK_INT(shm_send(dealer, "bare", 4, 0), 4);
    expect_nothing(rep);
    CLOSE_ALL(dealer, rep);
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
        CHECK_INT(shm_send(dealer, "", 0, SHM_SNDMORE), 0);
        CHECK_INT(shm_send(dealer, "ask", 3, 0), 3);
        expect_text(rep, "ask");
        CHECK_INT(shm_send(rep, "answer", 6, 0), 6);
        CHECK_INT(shm_recv(dealer, got, sizeof got, 0), size);
        CHECK_MEM(got, size, hop, size);
        expect_text(dealer, "");
        expect_text(dealer, "answer");
    }
    CLOSE_ALL(dealer, rep);
}
