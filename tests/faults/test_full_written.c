/* SPDX-License-Identifier: MIT */
/* What the walks of test_full.c found, each written down: in a file system that is full at all times. */
#include "../support/ends.h"
#include "full.h"

enum { PART = 9000 };

static unsigned char bytes[PART];

static void look(struct end *end)
{
    get_int(end->socket, SHM_EVENTS);
}

static void leave_it(struct end *end, const struct pipe *pipe)
{
    if (end->is_left == pipe->right_binds)
        CHECK_OK(shm_disconnect(end->socket, "it"));
    else
        CHECK_OK(shm_unbind(end->socket, "it"));
}

/* Make it release what nobody needs any more. */
static void tidy(struct end *end)
{
    CHECK_OK(shm_bind(end->socket, "other"));
    CHECK_OK(shm_unbind(end->socket, "other"));
}

/* One comes, then the other; FIRST_LEFT: that is the left end. */
static void begin(struct end *first, struct end *second, const struct pipe *pipe, bool first_left)
{
    full_begin();
    end_start(first, pipe, first_left, "it");
    end_start(second, pipe, !first_left, "it");
}

static void close_in_order(struct end *end)
{
    CHECK_INT(get_stats(end->socket).protocol_errors, 0);
    end_close(end);
}

static void finish(struct end *first, struct end *second)
{
    close_in_order(first);
    close_in_order(second);
    full_end();
}

static void send_part(struct end *end, int byte, int flags)
{
    memset(bytes, byte, PART);
    CHECK_INT(end_send(end, bytes, PART, flags), PART);
}

static int receive_part(struct end *end)
{
    CHECK_INT(end_recv(end, bytes, sizeof bytes, 0), PART);
    full_check_part(bytes, PART);
    return bytes[0];
}

/* What an accept record names stays as long as somebody may still look at it. */
TEST_EACH_PIPE(a_binder_leaves_before_its_connector_has_looked, pipe)
{
    struct end binder, connector;

    begin(&binder, &connector, pipe, !pipe->right_binds);
    look(&binder);
    leave_it(&binder, pipe);
    look(&connector);
    finish(&connector, &binder);
}

/* The second pipe record lies where the first lay, which the connector knows. */
TEST_EACH_PIPE(it_does_so_again_at_the_same_place, pipe)
{
    struct end binder, connector;

    begin(&binder, &connector, pipe, !pipe->right_binds);
    look(&binder);
    look(&connector);
    leave_it(&binder, pipe);
    look(&connector);
    tidy(&binder);
    end_attach(&binder, pipe, "it");
    leave_it(&binder, pipe);
    look(&connector);
    finish(&connector, &binder);
}

/* The former binder lives, and has freed its ring. */
TEST_EACH_PIPE(the_next_binder_does_not_look_where_there_is_nothing, pipe)
{
    struct end binder, next, connector;

    begin(&binder, &connector, pipe, !pipe->right_binds);
    look(&binder);
    look(&connector);
    leave_it(&binder, pipe);
    look(&connector);
    tidy(&binder);
    end_start(&next, pipe, !pipe->right_binds, "it");
    look(&connector);
    CHECK_INT(get_stats(next.socket).peers, 1);
    close_in_order(&connector);
    finish(&next, &binder);
}

/* Before it has a peer. */
static bool sends_unmet(const struct pair *pair)
{
    return pair->waits && pair->left != SHM_ROUTER;
}

/* Also when the holder's socket is closed and the next one has come before the sender looks. */
TEST_PIPES(sends_unmet, a_view_is_unchanged_though_the_sender_never_met_its_holder, pipe)
{
    struct end left, right, next;
    shm_msg_t view;

    if (!pipe->right_binds)
        return;
    begin(&right, &left, pipe, false);
    send_part(&left, 1, 0);
    CHECK_OK(shm_msg_init(&view));
    CHECK_INT(end_msg_recv(&right, &view, 0), PART);
    close_in_order(&right);
    end_start(&next, pipe, false, "it");
    for (int i = 0; i < 20; i++) {
        memset(bytes, 2, PART);
        look(&left);
        look(&next);
        if (end_send(&left, bytes, PART, SHM_DONTWAIT) < 0)
            CHECK_INT(errno, EAGAIN);
        else if (end_recv(&next, bytes, sizeof bytes, SHM_DONTWAIT) < 0)
            CHECK_INT(errno, EAGAIN);
        else
            end_give_turn(&next);
        full_check_part(shm_msg_data(&view), PART);
        CHECK_INT(*(unsigned char *)shm_msg_data(&view), 1);
    }
    CHECK_OK(shm_msg_close(&view));
    finish(&left, &next);
}

/* Seeing a message is not taking it. */
TEST_PIPES(sends_unmet, a_message_that_was_only_looked_at_is_not_lost_by_leaving, pipe)
{
    struct end left, right;
    bool came[3] = {false};

    if (!pipe->right_binds)
        return;
    begin(&right, &left, pipe, false);
    set_int(right.socket, SHM_RCVTIMEO, 3000);
    send_part(&left, 1, 0);
    CHECK(get_int(right.socket, SHM_EVENTS) & SHM_POLLIN);
    leave_it(&right, pipe);
    look(&left);
    send_part(&left, 2, 0);
    end_attach(&right, pipe, "it");
    look(&left);
    for (int i = 1; i <= 2; i++) {
        int byte = receive_part(&right);

        CHECK(byte <= 2 && !came[byte]);
        came[byte] = true;
        end_give_turn(&right);
        look(&left);
    }
    finish(&left, &right);
}

TEST_PIPES(sends_unmet, a_message_that_was_taken_in_part_does_not_come_again, pipe)
{
    struct end left, right;

    if (!pipe->right_binds)
        return;
    begin(&right, &left, pipe, false);
    send_part(&left, 1, SHM_SNDMORE);
    send_part(&left, 1, 0);
    CHECK_INT(receive_part(&right), 1);
    leave_it(&right, pipe);
    right.envelope_received = false;
    end_attach(&right, pipe, "it");
    send_part(&left, 2, 0);
    CHECK_INT(receive_part(&right), 2);
    finish(&left, &right);
}

/* Its ring, with its subscription, dates from the publisher before. */
TEST_EACH_PIPE(a_subscriber_leaves_that_reads_before_it_was_answered, pipe)
{
    struct end publisher, next, subscriber;

    if (pipe->right_binds || (pipe->pair->right != SHM_SUB && pipe->pair->right != SHM_XSUB))
        return;
    full_begin();
    end_start(&publisher, pipe, true, "it");
    end_open(&subscriber, pipe, false);
    set_int(subscriber.socket, SHM_HISTORY, 20);
    end_attach(&subscriber, pipe, "it");
    look(&publisher);
    look(&subscriber);
    leave_it(&publisher, pipe);
    end_open(&next, pipe, true);
    full_refuse(2, true); /* it can bind, but not accept yet */
    end_attach(&next, pipe, "it");
    full_refuse(0, false);
    look(&subscriber);
    leave_it(&subscriber, pipe);
    close_in_order(&subscriber);
    finish(&next, &publisher);
}

static bool is_simple(const struct pair *pair)
{
    return pair->waits && !pair->turns && pair->left != SHM_ROUTER;
}

/* It had been the last part of a message, and is sent as a message of its own. */
TEST_PIPES(is_simple, a_loan_that_could_not_be_sent_is_as_it_was, pipe)
{
    struct end left, right;
    shm_msg_t loan;

    full_begin();
    pipe_start(&left, &right, pipe);
    for (int i = 0; i < 30; i++) /* so that the ring's memory is allocated; ring_out.c */
        pipe_transfer(&left, &right, "small");
    CHECK_OK(shm_msg_loan(&loan, left.socket, PART));
    memset(shm_msg_data(&loan), 7, PART);
    send_part(&left, 6, SHM_SNDMORE);
    full_refuse(1, true);
    CHECK_ERR(end_msg_send(&left, &loan, 0), ENOSPC);
    full_refuse(0, false);
    CHECK_INT(end_send(&left, "end", 3, 0), 3);
    CHECK_INT(end_msg_send(&left, &loan, 0), PART);
    CHECK_INT(receive_part(&right), 6);
    CHECK_INT(shm_recv(right.socket, bytes, sizeof bytes, 0), 3);
    CHECK_INT(receive_part(&right), 7);
    for (int byte = 1; byte <= 3; byte++) /* three blocks, each of its own */
        send_part(&left, byte, 0);
    for (int byte = 1; byte <= 3; byte++)
        CHECK_INT(receive_part(&right), byte);
    finish(&left, &right);
}
