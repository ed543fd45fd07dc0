/* SPDX-License-Identifier: MIT */
/* Every pattern: binding, connecting, leaving, closing. */
#include "support/ends.h"

/* ---- Names in use ---- */

static void try_to_bind(struct child *up, void *argument)
{
    const struct pipe *pipe = argument;
    shm_socket_t *socket = socket_new(pipe->right_binds ? pipe->pair->right : pipe->pair->left);

    CHECK_ERR(shm_bind(socket, "it"), EADDRINUSE);
    child_stay(up, 1);
    CHECK_OK(shm_bind(socket, "it"));
    CHECK_OK(shm_close(socket));
}

TEST_EACH_PIPE(a_name_is_bound_once_until_its_owner_closes, pipe)
{
    struct end left, right;
    struct end *binder = binder_of(pipe, &left, &right);

    pipe_start(&left, &right, pipe);
    shm_socket_t *second = socket_new(binder->type);
    struct child child = pipe_child(pipe, try_to_bind);
    CHECK_ERR(shm_bind(second, "it"), EADDRINUSE);
    CHECK_ERR(shm_bind(binder->socket, "it"), EADDRINUSE);
    CHECK_INT(child_hear(&child), 1);
    pipe_transfer(&left, &right, "undisturbed");
    CHECK_OK(shm_bind(second, "another"));
    CHECK_OK(shm_close(second));
    pipe_close(&left, &right);
    child_end(&child);
}

/* ---- In any order ---- */

TEST_EACH_PIPE(connecting_before_binding_works, pipe)
{
    struct end left, right;

    end_open(&left, pipe, true);
    end_open(&right, pipe, false);
    end_attach(connector_of(pipe, &left, &right), pipe, "it");
    end_attach(binder_of(pipe, &left, &right), pipe, "it");
    pipe_meet(&left, &right);
    pipe_transfer(&left, &right, "hello");
    pipe_close(&left, &right);
}

TEST_EACH_MET_PIPE(connecting_twice_is_the_same_as_once, pipe, left, right)
{
    CHECK_OK(shm_connect(connector_of(pipe, left, right)->socket, "it"));
    CHECK_OK(shm_connect(connector_of(pipe, left, right)->socket, "shm://it"));
    pipe_transfer(left, right, "once");
    if (!pipe->pair->turns)
        CHECK_ERR(end_recv_byte(right, SHM_DONTWAIT), EAGAIN);
    CHECK_INT(get_stats(left->socket).peers, 1);
    CHECK_INT(get_stats(right->socket).peers, 1);
    CHECK_OK(shm_disconnect(connector_of(pipe, left, right)->socket, "it"));
    CHECK_ERR(shm_disconnect(connector_of(pipe, left, right)->socket, "it"), ENOENT);
}

static bool sends_before_bind(const struct pair *pair)
{
    return pair->left != SHM_PUB && pair->left != SHM_XPUB && pair->left != SHM_ROUTER;
}

/* The queue exists with the connection, bound or not. */
TEST_PIPES(sends_before_bind, messages_for_a_name_that_is_not_bound_yet_are_kept, pipe)
{
    struct end left, right;
    unsigned count = pipe->pair->turns ? 1 : 3;

    if (test_has_key())
        skip_test("with a key they wait for the sender's next call");
    if (!pipe->right_binds)
        return; /* covered when the other end binds */
    end_start(&left, pipe, true, "it");
    end_send_counting(&left, count, SHM_DONTWAIT);
    end_start(&right, pipe, false, "it");
    end_expect_counting(&right, count);
    pipe_turn(&left, &right);
    pipe_close(&left, &right);
}

TEST_PIPES(sends_before_bind, immediate_sockets_send_only_to_peers_that_are_there, pipe)
{
    struct end left, right;

    if (!pipe->right_binds)
        return;
    end_open(&left, pipe, true);
    set_int(left.socket, SHM_IMMEDIATE, 1);
    end_attach(&left, pipe, "it");
    CHECK_ERR(end_send(&left, "x", 1, SHM_DONTWAIT), EAGAIN);
    CHECK_INT(get_int(left.socket, SHM_EVENTS) & SHM_POLLOUT, 0);
    end_start(&right, pipe, false, "it");
    pipe_meet(&left, &right);
    pipe_transfer(&left, &right, "now");
    pipe_close(&left, &right);
}

/* ---- Leaving ---- */

TEST_EACH_MET_PIPE(unbinding_frees_the_name_and_a_new_binder_is_found, pipe, left, right)
{
    struct end *binder = binder_of(pipe, left, right), *connector = connector_of(pipe, left, right);

    pipe_transfer(left, right, "first");
    CHECK_OK(shm_unbind(binder->socket, "it"));
    await_event(connector->socket, SHM_EVENT_LEFT);
    CHECK_INT(get_stats(connector->socket).peers, 0);
    CHECK_INT(get_stats(binder->socket).peers, 0);
    end_close(binder);
    end_start(binder, pipe, !pipe->right_binds, "it");
    pipe_meet(left, right);
    pipe_transfer(left, right, "second");
}

TEST_EACH_MET_PIPE(an_unbound_socket_binds_again, pipe, left, right)
{
    struct end *binder = binder_of(pipe, left, right), *connector = connector_of(pipe, left, right);

    for (int i = 0; i < 3; i++) {
        pipe_transfer(left, right, "again");
        CHECK_OK(shm_unbind(binder->socket, "it"));
        await_event(connector->socket, SHM_EVENT_LEFT);
        CHECK_OK(shm_bind(binder->socket, "it"));
        pipe_meet(left, right);
    }
}

TEST_EACH_MET_PIPE(a_disconnected_socket_hears_nothing_and_connects_again, pipe, left, right)
{
    struct end *connector = connector_of(pipe, left, right), *binder = binder_of(pipe, left, right);

    pipe_transfer(left, right, "first");
    CHECK_OK(shm_disconnect(connector->socket, "it"));
    await_event(binder->socket, SHM_EVENT_LEFT);
    if (left->type == SHM_PUB || left->type == SHM_XPUB)
        CHECK_INT(end_send(left, "gone", 4, SHM_DONTWAIT), 4);
    else if (left->type == SHM_ROUTER)
        CHECK_ERR(end_send(left, "gone", 4, SHM_DONTWAIT), EHOSTUNREACH);
    else /* a PAIR is told that its peer has gone, but not that it has gone itself */
        CHECK_ERR(end_send(left, "gone", 4, SHM_DONTWAIT),
                  left->type == SHM_PAIR && !pipe->right_binds ? EPIPE : EAGAIN);
    CHECK_ERR(end_recv_byte(right, SHM_DONTWAIT), right->type == SHM_PAIR && pipe->right_binds ? EPIPE : EAGAIN);
    CHECK_OK(shm_connect(connector->socket, "it"));
    pipe_meet(left, right);
    pipe_transfer(left, right, "second");
}

/* ---- Closing ---- */

TEST_EACH_PIPE(what_was_sent_before_a_close_is_read_after_it, pipe)
{
    struct end left, right;
    unsigned count = pipe->pair->turns ? 1 : 100;

    pipe_start(&left, &right, pipe);
    end_send_counting(&left, count, 0);
    end_close(&left);
    end_expect_counting(&right, count);
    if (right.type == SHM_REP)
        end_give_turn(&right); /* to nobody */
    CHECK_ERR(end_recv_byte(&right, SHM_DONTWAIT), right.type == SHM_PAIR ? EPIPE : EAGAIN);
    end_close(&right);
}

/* Not even with the default LINGER: a peer was there to take them. */
TEST_EACH_PIPE(closing_with_unread_messages_does_not_wait, pipe)
{
    for (int left_first = 0; left_first < 2; left_first++) {
        struct end left, right;
        unsigned count = pipe->pair->turns ? 1 : 100;

        pipe_start(&left, &right, pipe);
        if (left_first)
            set_int(left.socket, SHM_LINGER, -1);
        end_send_counting(&left, count, 0);
        pipe_close(left_first ? &left : &right, left_first ? &right : &left);
        CHECK_INT(count_files(test_dir()), 0);
    }
}

/* Even the default LINGER waits for nothing once all is read, whichever end closes first. */
TEST_EACH_PIPE(closing_after_everything_was_read_does_not_wait, pipe)
{
    for (int i = 0; i < 4; i++) {
        struct end left, right;

        pipe_start(&left, &right, pipe);
        set_int(left.socket, SHM_LINGER, -1);
        set_int(right.socket, SHM_LINGER, -1);
        pipe_transfer(&left, &right, "one");
        if (i & 2)
            pipe_transfer(&left, &right, "two");
        pipe_close(i & 1 ? &left : &right, i & 1 ? &right : &left);
        CHECK_INT(count_files(test_dir()), 0);
    }
}

/* The sender does not know yet that it has a peer, but what it sent was read. */
TEST_PIPES(sends_before_bind, closing_right_after_the_first_message_was_read_does_not_wait, pipe)
{
    struct end left, right;

    if (!pipe->right_binds || pipe->pair->turns)
        return;
    end_start(&right, pipe, false, "it");
    end_start(&left, pipe, true, "it");
    set_int(left.socket, SHM_LINGER, -1);
    end_pass_text(&left, &right, "first");
    pipe_close(&right, &left);
}

TEST_EACH_PIPE(closing_in_the_middle_of_a_message_sends_none_of_it, pipe)
{
    struct end left, right;

    pipe_start(&left, &right, pipe);
    if (!pipe->pair->turns)
        pipe_transfer(&left, &right, "whole");
    CHECK_INT(end_send(&left, "part", 4, SHM_SNDMORE), 4);
    end_close(&left);
    CHECK(end_recv_byte(&right, SHM_DONTWAIT) == -1);
    CHECK_INT(errno, right.type == SHM_PAIR ? EPIPE : EAGAIN);
    end_close(&right);
}

/* ---- Several names ---- */

TEST_EACH_PIPE(one_socket_binds_and_connects_to_several_names, pipe)
{
    struct end left, right;
    struct end *binder = binder_of(pipe, &left, &right), *connector = connector_of(pipe, &left, &right);

    if (pipe->pair->left == SHM_PAIR)
        return; /* has one peer only */
    end_open(&left, pipe, true);
    end_open(&right, pipe, false);
    CHECK_OK(shm_bind(binder->socket, "a"));
    CHECK_OK(shm_bind(binder->socket, "b"));
    CHECK_OK(shm_connect(connector->socket, "b"));
    pipe_meet(&left, &right);
    pipe_transfer(&left, &right, "over b");
    CHECK_OK(shm_disconnect(connector->socket, "b"));
    await_event(binder->socket, SHM_EVENT_LEFT);
    CHECK_OK(shm_connect(connector->socket, "a"));
    pipe_meet(&left, &right);
    pipe_transfer(&left, &right, "over a");
    CHECK_OK(shm_unbind(binder->socket, "b"));
    pipe_transfer(&left, &right, "still");
    pipe_close(&left, &right);
}

TEST_EACH_PIPE(a_socket_may_be_made_and_closed_without_use, pipe)
{
    shm_socket_t *socket = CHECK_PTR(shm_socket(pipe->pair->left));

    CHECK_OK(shm_close(socket));
    socket = CHECK_PTR(shm_socket(pipe->pair->right));
    CHECK_OK(shm_bind(socket, "it"));
    CHECK_OK(shm_close(socket)); /* LINGER is for ever, but nothing was sent */
    socket = CHECK_PTR(shm_socket(pipe->pair->left));
    CHECK_OK(shm_connect(socket, "nobody"));
    CHECK_OK(shm_close(socket));
}

/* The sender disconnects while the receiver lives, and the name is gone before the sender closes. */
TEST_PIPES(sends_before_bind, nothing_stays_of_one_whose_messages_nobody_can_fetch, pipe)
{
    struct end left, right;

    if (!pipe->right_binds)
        return;
    end_start(&right, pipe, false, "it");
    end_start(&left, pipe, true, "it");
    end_send_text(&left, "text");
    CHECK_OK(shm_disconnect(left.socket, "it"));
    pipe_close(&right, &left);
    CHECK_INT(count_files(test_dir()), 0);
}

/* Two connectors that met a binder, which has closed since. */
static void lose_binder(struct end connectors[2], const struct pipe *pipe)
{
    struct end binder;

    end_start(&binder, pipe, !pipe->right_binds, "it");
    for (int i = 0; i < 2; i++)
        end_start(&connectors[i], pipe, pipe->right_binds, "it");
    get_int(binder.socket, SHM_EVENTS);
    for (int i = 0; i < 2; i++)
        get_int(connectors[i].socket, SHM_EVENTS);
    end_close(&binder);
}

/* The next binder's accept records replace those that named the first. */
TEST_EACH_PIPE(nothing_stays_of_a_binder_that_two_have_let_go_of, pipe)
{
    struct end next, connectors[2];

    lose_binder(connectors, pipe);
    for (int i = 0; i < 2; i++)
        get_int(connectors[i].socket, SHM_EVENTS);
    end_start(&next, pipe, !pipe->right_binds, "it");
    for (int i = 0; i < 2; i++)
        end_close(&connectors[i]);
    end_close(&next);
    CHECK_INT(count_files(test_dir()), 0);
}

/* One connector has released the binder; the other leaves with the last record that names it, without having looked. */
TEST_EACH_PIPE(nothing_stays_of_a_binder_whose_connectors_leave_one_after_the_other, pipe)
{
    struct end last, connectors[2];

    lose_binder(connectors, pipe);
    get_int(connectors[0].socket, SHM_EVENTS);
    end_start(&last, pipe, pipe->right_binds, "it"); /* so that the name stays */
    for (int i = 0; i < 2; i++)
        end_close(&connectors[i]);
    CHECK(count_files(test_dir()) <= 4); /* its own, and the name */
    end_close(&last);
    CHECK_INT(count_files(test_dir()), 0);
}

TEST_EACH_PIPE(a_hundred_rounds_of_life_leave_nothing, pipe)
{
    uint64_t memory = 0;

    for (int i = 0; i < 100; i++) {
        struct end left, right;

        pipe_start(&left, &right, pipe);
        pipe_transfer(&left, &right, "round");
        if (i == 0)
            memory = get_stats(left.socket).memory;
        CHECK_INT(get_stats(left.socket).memory, memory);
        pipe_close(i % 2 ? &left : &right, i % 2 ? &right : &left);
        CHECK_INT(count_files(test_dir()), 0);
    }
}
