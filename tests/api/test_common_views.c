/* SPDX-License-Identifier: MIT */
/* Every pattern: zero copy. A loan is sent without a copy, a view stays as it is until closed. */
#include "support/ends.h"

#include <pthread.h>

static const size_t sizes[] = {0, 1, 64, 112, 113, 4096, 100000, 1 << 20};

/* Send SIZE bytes of pattern SEED as a loan. */
static void send_loan(struct end *left, size_t size, unsigned seed)
{
    shm_msg_t msg;

    CHECK_OK(shm_msg_loan(&msg, left->socket, size));
    CHECK_INT(shm_msg_size(&msg), size);
    pattern_fill(shm_msg_data(&msg), size, seed);
    CHECK_INT(end_msg_send(left, &msg, 0), size);
    CHECK_INT(shm_msg_size(&msg), 0); /* left empty */
    CHECK_OK(shm_msg_close(&msg));
}

static void send_copy(struct end *left, size_t size, unsigned seed)
{
    unsigned char *bytes = CHECK_PTR(malloc(size + 1));

    pattern_fill(bytes, size, seed);
    CHECK_INT(end_send(left, bytes, size, 0), size);
    free(bytes);
}

static void receive_view(struct end *right, shm_msg_t *msg, size_t size, unsigned seed)
{
    CHECK_OK(shm_msg_init(msg));
    CHECK_INT(end_msg_recv(right, msg, 0), size);
    CHECK_INT(shm_msg_size(msg), size);
    CHECK_INT(shm_msg_more(msg), 0);
    CHECK_INT(shm_msg_redelivered(msg), 0);
    pattern_check(shm_msg_data(msg), size, seed);
}

static void receive_copy(struct end *right, size_t size, unsigned seed)
{
    unsigned char *bytes = CHECK_PTR(malloc(size + 1));

    CHECK_INT(end_recv(right, bytes, size, 0), size);
    pattern_check(bytes, size, seed);
    free(bytes);
}

/* ---- What goes wrong ---- */

TEST_EACH_MET_PIPE(a_loan_that_is_not_sent_is_given_back, pipe, left, right)
{
    uint64_t memory;
    shm_msg_t msg;

    CHECK_OK(shm_msg_loan(&msg, left->socket, 100000));
    CHECK_OK(shm_msg_close(&msg));
    memory = get_stats(left->socket).memory;
    for (int i = 0; i < 2000; i++) {
        CHECK_OK(shm_msg_loan(&msg, left->socket, 100000));
        memset(shm_msg_data(&msg), 0xaa, 100000);
        CHECK_OK(shm_msg_close(&msg));
        CHECK_INT(shm_msg_size(&msg), 0);
    }
    CHECK_INT(get_stats(left->socket).memory, memory);
    CHECK_ERR(end_recv_byte(right, SHM_DONTWAIT), EAGAIN);
}

TEST_MET_PIPES(pair_waits, 4, a_loan_that_cannot_be_sent_stays_as_it_was, pipe, left, right)
{
    shm_msg_t msg;

    end_fill(left);
    CHECK_OK(shm_msg_loan(&msg, left->socket, 4096));
    pattern_fill(shm_msg_data(&msg), 4096, 9);
    CHECK_ERR(end_msg_send(left, &msg, SHM_DONTWAIT), EAGAIN);
    CHECK_INT(shm_msg_size(&msg), 4096);
    pattern_check(shm_msg_data(&msg), 4096, 9);
    end_drain(right, 4);
    CHECK_INT(end_msg_send(left, &msg, 0), 4096);
    receive_copy(right, 4096, 9);
    CHECK_OK(shm_msg_close(&msg));
}

/* ---- Loans and views of every size ---- */

TEST_EACH_MET_PIPE(loans_and_views_carry_every_size, pipe, left, right)
{
    shm_msg_t msg;

    for (unsigned i = 0; i < 4 * COUNT_OF(sizes); i++) {
        size_t size = sizes[i % COUNT_OF(sizes)];

        (i & 1 ? send_loan : send_copy)(left, size, i);
        if (i & 2) {
            receive_view(right, &msg, size, i);
            CHECK_OK(shm_msg_close(&msg));
        } else {
            receive_copy(right, size, i);
        }
        pipe_turn(left, right);
    }
}

TEST_EACH_MET_PIPE(parts_may_be_loans_and_views, pipe, left, right)
{
    shm_msg_t msg;

    for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
        bool last = i + 1 == COUNT_OF(sizes);

        CHECK_OK(shm_msg_loan(&msg, left->socket, sizes[i]));
        pattern_fill(shm_msg_data(&msg), sizes[i], i);
        CHECK_INT(end_msg_send(left, &msg, last ? 0 : SHM_SNDMORE), sizes[i]);
    }
    CHECK_OK(shm_msg_init(&msg));
    for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
        ssize_t n = i ? shm_msg_recv(&msg, right->socket, 0) : end_msg_recv(right, &msg, 0);

        CHECK_INT(n, sizes[i]);
        CHECK_INT(shm_msg_more(&msg), i + 1 < COUNT_OF(sizes));
        CHECK_INT(get_int(right->socket, SHM_RCVMORE), i + 1 < COUNT_OF(sizes));
        pattern_check(shm_msg_data(&msg), sizes[i], i);
    }
    CHECK_OK(shm_msg_close(&msg));
    pipe_turn(left, right);
}

/* ---- Views that stay ---- */

/* The sender goes many times around its ring while VIEWS are held. */
static void run_ahead(struct end *left, struct end *right, unsigned laps)
{
    static unsigned char bytes[9000];

    for (unsigned i = 0; i < laps; i++) {
        size_t size = (i * 131) % sizeof bytes;

        memset(bytes, 0xff, size);
        CHECK_INT(end_send(left, bytes, size, 0), size);
        CHECK_INT(end_recv(right, bytes, sizeof bytes, 0), size);
        pipe_turn(left, right);
    }
}

static void hold_views(const struct pipe *pipe, bool close_left, bool close_right)
{
    struct end left, right;
    shm_msg_t views[COUNT_OF(sizes)];

    pipe_start_hwm(&left, &right, pipe, 16);
    for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
        (i & 1 ? send_loan : send_copy)(&left, sizes[i], i);
        receive_view(&right, &views[i], sizes[i], i);
        pipe_turn(&left, &right);
    }
    run_ahead(&left, &right, 400);
    if (close_left)
        end_close(&left);
    if (close_right)
        end_close(&right);
    for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
        CHECK_INT(shm_msg_size(&views[i]), sizes[i]);
        pattern_check(shm_msg_data(&views[i]), sizes[i], i);
        CHECK_OK(shm_msg_close(&views[i]));
    }
    if (!close_left)
        end_close(&left);
    if (!close_right)
        end_close(&right);
}

TEST_EACH_PIPE(views_stay_while_the_sender_runs_ahead_and_after_either_end_was_closed, pipe)
{
    hold_views(pipe, false, false);
    hold_views(pipe, true, false);
    hold_views(pipe, false, true);
    hold_views(pipe, true, true);
}

static void send_all_sizes(struct child *up, void *argument)
{
    struct end left;

    end_meet(&left, argument, true);
    child_hear(up);
    for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
        send_loan(&left, sizes[i], i);
        end_take_turn(&left);
    }
    for (unsigned i = 0; i < 300; i++) {
        send_copy(&left, 10 * i, i);
        end_take_turn(&left);
    }
    child_stay(up, 1);
}

TEST_EACH_PIPE(views_stay_after_the_sender_was_killed, pipe)
{
    struct child child = pipe_child(pipe, send_all_sizes);
    shm_msg_t views[COUNT_OF(sizes)];
    struct end right;

    end_meet(&right, pipe, false);
    child_say(&child, 1);
    for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
        receive_view(&right, &views[i], sizes[i], i);
        end_give_turn(&right);
    }
    for (unsigned i = 0; i < 300; i++) {
        receive_copy(&right, 10 * i, i);
        end_give_turn(&right);
    }
    CHECK_INT(child_hear(&child), 1);
    child_kill(&child);
    await_event(right.socket, SHM_EVENT_DIED);
    end_close(&right);
    for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
        pattern_check(shm_msg_data(&views[i]), sizes[i], i);
        CHECK_OK(shm_msg_close(&views[i]));
    }
}

/* Views that are held do not count as queued messages. */
TEST_EACH_MET_PIPE(views_may_outnumber_the_mark, pipe, left, right)
{
    shm_msg_t views[40];

    for (unsigned i = 0; i < COUNT_OF(views); i++) {
        send_copy(left, 50 * i, i);
        receive_view(right, &views[i], 50 * i, i);
        pipe_turn(left, right);
    }
    run_ahead(left, right, 50);
    for (unsigned i = 0; i < COUNT_OF(views); i++) {
        pattern_check(shm_msg_data(&views[i]), 50 * i, i);
        CHECK_OK(shm_msg_close(&views[i]));
    }
}

/* 256 views are promised; further messages still arrive, as copies. */
TEST_EACH_MET_PIPE(four_hundred_views_are_held_at_a_time, pipe, left, right)
{
    shm_msg_t *views = CHECK_PTR(calloc(400, sizeof *views));

    for (unsigned i = 0; i < 400; i++) {
        send_copy(left, 200 + i, i);
        receive_view(right, &views[i], 200 + i, i);
        pipe_turn(left, right);
    }
    run_ahead(left, right, 100);
    for (unsigned i = 0; i < 400; i++) {
        unsigned k = (i * 7) % 400;

        pattern_check(shm_msg_data(&views[k]), 200 + k, k);
        CHECK_OK(shm_msg_close(&views[k]));
    }
    free(views);
    run_ahead(left, right, 10);
}

/* ---- Moving messages ---- */

TEST_EACH_PIPE(a_received_message_can_be_sent_on, pipe)
{
    struct end left, right;
    shm_socket_t *push = socket_new(SHM_PUSH), *pull = socket_new(SHM_PULL);
    static unsigned char bytes[1 << 20];

    pair_up_at("onward", pull, push);
    pipe_start(&left, &right, pipe);
    for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
        shm_msg_t msg;

        send_loan(&left, sizes[i], i);
        receive_view(&right, &msg, sizes[i], i);
        pipe_turn(&left, &right);
        CHECK_INT(shm_msg_send(&msg, push, 0), sizes[i]);
        CHECK_INT(shm_msg_size(&msg), 0);
        CHECK_INT(shm_recv(pull, bytes, sizeof bytes, 0), sizes[i]);
        pattern_check(bytes, sizes[i], i);
        CHECK_OK(shm_msg_close(&msg));
    }
    pipe_close(&left, &right);
    CLOSE_ALL(push, pull);
}

TEST_EACH_MET_PIPE(a_loan_may_be_sent_on_another_socket, pipe, left, right)
{
    shm_socket_t *other = socket_new(SHM_PUSH);

    for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
        shm_msg_t msg;

        CHECK_OK(shm_msg_loan(&msg, other, sizes[i]));
        pattern_fill(shm_msg_data(&msg), sizes[i], i);
        CHECK_INT(end_msg_send(left, &msg, 0), sizes[i]);
        receive_copy(right, sizes[i], i);
        pipe_turn(left, right);
    }
    CHECK_OK(shm_close(other));
}

static void *close_messages(void *argument)
{
    shm_msg_t *msgs = argument;

    for (int i = 0; i < 100; i++)
        CHECK_OK(shm_msg_close(&msgs[i]));
    return NULL;
}

/* Any thread may close a view, also while the socket is in use. */
TEST_EACH_MET_PIPE(views_may_be_closed_by_another_thread, pipe, left, right)
{
    shm_msg_t *views = CHECK_PTR(calloc(100, sizeof *views));

    for (int round = 0; round < 10; round++) {
        pthread_t thread;

        for (unsigned i = 0; i < 100; i++) {
            send_copy(left, 1000, i);
            receive_view(right, &views[i], 1000, i);
            pipe_turn(left, right);
        }
        CHECK_INT(pthread_create(&thread, NULL, close_messages, views), 0);
        run_ahead(left, right, 50);
        CHECK_INT(pthread_join(thread, NULL), 0);
    }
    free(views);
}

TEST_EACH_MET_PIPE(receiving_into_a_full_message_closes_what_it_held, pipe, left, right)
{
    shm_msg_t msg = msg_new();
    uint64_t memory = 0;

    for (unsigned i = 0; i < 6000; i++) {
        send_copy(left, 5000, i);
        CHECK_INT(end_msg_recv(right, &msg, 0), 5000);
        pattern_check(shm_msg_data(&msg), 5000, i);
        pipe_turn(left, right);
        if (i == 3000) /* after one lap of the ring nothing new is allocated */
            memory = get_stats(left->socket).memory;
    }
    CHECK_INT(get_stats(left->socket).memory, memory);
    CHECK_OK(shm_msg_close(&msg));
    CHECK_OK(shm_msg_close(&msg));
}
