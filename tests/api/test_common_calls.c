/* SPDX-License-Identifier: MIT */
/* Every pattern: calls that fail, waits that end. */
#include "support/ends.h"

static bool sends(int type)
{
    return type != SHM_SUB && type != SHM_PULL;
}

static bool receives(int type)
{
    return type != SHM_PUB && type != SHM_PUSH;
}

/* ---- Bad arguments ---- */

TEST_EACH_PIPE(bad_arguments_are_refused_and_change_nothing, pipe)
{
    struct end left, right;
    shm_msg_t msg;
    char byte = 'x', got[8];
    size_t size = sizeof byte;

    pipe_start(&left, &right, pipe);
    CHECK_OK(shm_msg_init(&msg));
    CHECK_ERR(shm_send(NULL, &byte, 1, 0), EINVAL);
    CHECK_ERR(shm_recv(NULL, &byte, 1, 0), EINVAL);
    CHECK_ERR(shm_bind(NULL, "it"), EINVAL);
    CHECK_ERR(shm_connect(NULL, "it"), EINVAL);
    CHECK_ERR(shm_unbind(NULL, "it"), EINVAL);
    CHECK_ERR(shm_disconnect(NULL, "it"), EINVAL);
    CHECK_ERR(shm_close(NULL), EINVAL);
    CHECK_ERR(shm_shutdown(NULL), EINVAL);
    CHECK_ERR(shm_setsockopt(NULL, SHM_LINGER, &byte, size), EINVAL);
    CHECK_ERR(shm_getsockopt(NULL, SHM_LINGER, &byte, &size), EINVAL);
    CHECK_ERR(shm_event_recv(NULL, &(shm_event_t){0}, SHM_DONTWAIT), EINVAL);
    CHECK_ERR(shm_msg_loan(&msg, NULL, 1), EINVAL);
    CHECK_ERR(shm_msg_send(&msg, NULL, 0), EINVAL);
    CHECK_ERR(shm_msg_recv(&msg, NULL, 0), EINVAL);
    CHECK_ERR(shm_bind(left.socket, NULL), EINVAL);
    CHECK_ERR(shm_connect(left.socket, NULL), EINVAL);
    CHECK_ERR(shm_unbind(left.socket, NULL), EINVAL);
    CHECK_ERR(shm_disconnect(left.socket, NULL), EINVAL);
    CHECK_ERR(shm_getsockopt(left.socket, SHM_TYPE, NULL, &size), EINVAL);
    CHECK_ERR(shm_getsockopt(left.socket, SHM_TYPE, &byte, NULL), EINVAL);
    CHECK_ERR(shm_setsockopt(left.socket, SHM_LINGER, NULL, sizeof(int)), EINVAL);
    CHECK_ERR(shm_event_recv(left.socket, NULL, SHM_DONTWAIT), EINVAL);
    CHECK_ERR(shm_send(left.socket, NULL, 1, SHM_DONTWAIT), EINVAL);
    CHECK_ERR(shm_send(left.socket, &byte, 1, 0x4000), EINVAL);
    CHECK_ERR(shm_msg_send(NULL, left.socket, SHM_DONTWAIT), EINVAL);
    CHECK_ERR(shm_msg_send(&msg, left.socket, 0x4000), EINVAL);
    CHECK_ERR(shm_recv(right.socket, NULL, 1, SHM_DONTWAIT), EINVAL);
    CHECK_ERR(shm_recv(right.socket, &byte, 1, 0x4000), EINVAL);
    CHECK_ERR(shm_msg_recv(NULL, right.socket, SHM_DONTWAIT), EINVAL);
    CHECK_ERR(shm_msg_recv(&msg, right.socket, 0x4000), EINVAL);
    CHECK_ERR(shm_msg_loan(NULL, left.socket, 1), EINVAL);
    CHECK_OK(shm_msg_close(&msg));
    CHECK_INT(end_send(&left, "still", 5, 0), 5);
    CHECK_INT(end_recv(&right, got, sizeof got, 0), 5);
    CHECK_MEM(got, 5, "still", 5);
    pipe_close(&left, &right);
}

TEST_EACH_PIPE(calls_that_the_type_does_not_have_are_not_supported, pipe)
{
    struct end ends[2];
    shm_msg_t msg;
    char byte = 0;

    pipe_start(&ends[0], &ends[1], pipe);
    for (int i = 0; i < 2; i++) {
        shm_socket_t *socket = ends[i].socket;

        if (!sends(ends[i].type)) {
            CHECK_ERR(shm_send(socket, &byte, 1, SHM_DONTWAIT), ENOTSUP);
            CHECK_ERR(shm_send(socket, &byte, 1, 0), ENOTSUP);
            CHECK_ERR(shm_msg_loan(&msg, socket, 1), ENOTSUP);
        }
        CHECK_OK(shm_msg_init(&msg));
        if (!sends(ends[i].type))
            CHECK_ERR(shm_msg_send(&msg, socket, SHM_DONTWAIT), ENOTSUP);
        if (!receives(ends[i].type)) {
            CHECK_ERR(shm_recv(socket, &byte, 1, SHM_DONTWAIT), ENOTSUP);
            CHECK_ERR(shm_recv(socket, &byte, 1, 0), ENOTSUP);
            CHECK_ERR(shm_msg_recv(&msg, socket, SHM_DONTWAIT), ENOTSUP);
        }
        CHECK_OK(shm_msg_close(&msg));
    }
    pipe_close(&ends[0], &ends[1]);
}

TEST_EACH_PIPE(endpoints_that_were_not_attached_cannot_be_detached, pipe)
{
    struct end left, right;
    struct end *binder = pipe->right_binds ? &right : &left;
    struct end *other = pipe->right_binds ? &left : &right;

    pipe_start(&left, &right, pipe);
    CHECK_ERR(shm_unbind(other->socket, "it"), ENOENT);
    CHECK_ERR(shm_disconnect(binder->socket, "it"), ENOENT);
    CHECK_ERR(shm_unbind(binder->socket, "other"), ENOENT);
    CHECK_ERR(shm_disconnect(other->socket, "other"), ENOENT);
    CHECK_OK(shm_unbind(binder->socket, "it"));
    CHECK_ERR(shm_unbind(binder->socket, "it"), ENOENT);
    CHECK_OK(shm_disconnect(other->socket, "it"));
    CHECK_ERR(shm_disconnect(other->socket, "it"), ENOENT);
    pipe_close(&left, &right);
}

/* ---- Waits that end without a message ---- */

static void check_waited(int64_t start, int64_t wanted)
{
    int64_t waited = now_ms() - start;

    if (waited < wanted - 1 || waited > wanted + 5000)
        FAIL("waited %lld ms, not %lld", (long long)waited, (long long)wanted);
}

/* A receive on END that has nothing, in all its variants. */
static void check_receive_times_out(struct end *end)
{
    char buffer[8];
    shm_msg_t msg;
    int64_t start;

    CHECK_OK(shm_msg_init(&msg));
    start = now_ms();
    CHECK_ERR(shm_recv(end->socket, buffer, sizeof buffer, SHM_DONTWAIT), EAGAIN);
    CHECK_ERR(shm_msg_recv(&msg, end->socket, SHM_DONTWAIT), EAGAIN);
    set_int(end->socket, SHM_RCVTIMEO, 0);
    CHECK_ERR(shm_recv(end->socket, buffer, sizeof buffer, 0), EAGAIN);
    check_waited(start, 0);
    set_int(end->socket, SHM_RCVTIMEO, 50);
    start = now_ms();
    CHECK_ERR(shm_recv(end->socket, buffer, sizeof buffer, 0), EAGAIN);
    check_waited(start, 50);
    start = now_ms();
    CHECK_ERR(shm_msg_recv(&msg, end->socket, 0), EAGAIN);
    check_waited(start, 50);
    CHECK_INT(shm_msg_size(&msg), 0);
    set_int(end->socket, SHM_RCVTIMEO, -1);
    start_ticking();
    CHECK_ERR(shm_recv(end->socket, buffer, sizeof buffer, 0), EINTR);
    CHECK_ERR(shm_msg_recv(&msg, end->socket, 0), EINTR);
    stop_ticking();
    CHECK_OK(shm_msg_close(&msg));
}

TEST_EACH_PIPE(receives_time_out_and_are_interrupted, pipe)
{
    struct end left, right;
    char got[8];

    pipe_start(&left, &right, pipe);
    check_receive_times_out(&right);
    if (left.type == SHM_REQ)
        CHECK_INT(end_send(&left, "ask", 3, 0), 3);
    if (receives(left.type))
        check_receive_times_out(&left);
    if (left.type != SHM_REQ)
        CHECK_INT(end_send(&left, "ask", 3, 0), 3);
    CHECK_INT(end_recv(&right, got, sizeof got, 0), 3);
    CHECK_MEM(got, 3, "ask", 3);
    pipe_turn(&left, &right);
    pipe_close(&left, &right);
}

TEST_EACH_PIPE(receives_time_out_with_every_spin_time, pipe)
{
    static const int64_t spins[] = {0, 1000, -1, -2};
    struct end left, right;
    char buffer[8];

    pipe_start(&left, &right, pipe);
    set_int(right.socket, SHM_RCVTIMEO, 20);
    for (size_t i = 0; i < COUNT_OF(spins); i++) {
        int64_t start = now_ms();

        CHECK_OK(shm_setsockopt(right.socket, SHM_SPIN_NS, &spins[i], sizeof spins[i]));
        CHECK_ERR(shm_recv(right.socket, buffer, sizeof buffer, 0), EAGAIN);
        check_waited(start, 20);
    }
    pipe_close(&left, &right);
}

TEST_EACH_PIPE(waits_for_events_time_out_and_are_interrupted, pipe)
{
    struct end left, right;
    shm_event_t event;
    int64_t start;

    pipe_start(&left, &right, pipe);
    while (shm_event_recv(right.socket, &event, SHM_DONTWAIT) == 0)
        ;
    CHECK_INT(errno, EAGAIN);
    set_int(right.socket, SHM_RCVTIMEO, 50);
    start = now_ms();
    CHECK_ERR(shm_event_recv(right.socket, &event, 0), EAGAIN);
    check_waited(start, 50);
    set_int(right.socket, SHM_RCVTIMEO, -1);
    start_ticking();
    CHECK_ERR(shm_event_recv(right.socket, &event, 0), EINTR);
    stop_ticking();
    pipe_close(&left, &right);
}

/* ---- Sends that cannot ---- */

static void fill(struct end *left)
{
    unsigned sent = 0;

    while (end_send(left, "x", 1, SHM_DONTWAIT) == 1)
        if (++sent > 100000)
            FAIL("a queue of 4 messages is never full");
    CHECK_INT(errno, EAGAIN);
}

TEST_PIPES(pair_waits, full_sends_time_out_and_are_interrupted, pipe)
{
    struct end left, right;
    int64_t start;

    pipe_start_hwm(&left, &right, pipe, 4);
    fill(&left);
    set_int(left.socket, SHM_SNDTIMEO, 0);
    CHECK_ERR(end_send(&left, "x", 1, 0), EAGAIN);
    set_int(left.socket, SHM_SNDTIMEO, 50);
    start = now_ms();
    CHECK_ERR(end_send(&left, "x", 1, 0), EAGAIN);
    check_waited(start, 50);
    set_int(left.socket, SHM_SNDTIMEO, -1);
    start_ticking();
    CHECK_ERR(end_send(&left, "x", 1, 0), EINTR);
    stop_ticking();
    pipe_close(&left, &right);
}

struct drain {
    const struct pipe *pipe;
    unsigned count;
};

static void receive_in_order(struct child *up, void *argument)
{
    const struct drain *drain = argument;
    struct end right;

    end_start(&right, drain->pipe, false, "it");
    set_int(right.socket, SHM_RCVTIMEO, -1);
    end_await(&right);
    child_say(up, 1);
    child_hear(up);
    for (unsigned i = 0; i < drain->count; i++) {
        unsigned got = 0;

        CHECK_INT(end_recv(&right, &got, sizeof got, 0), sizeof got);
        CHECK_INT(got, i);
        end_give_turn(&right);
    }
    child_say(up, 2);
    child_hear(up);
    end_close(&right);
}

/* Far more messages than the mark go through a sender that waits in shm_send(). */
TEST_PIPES(pair_waits, blocked_sends_go_on_when_the_receiver_reads, pipe)
{
    struct drain drain = {pipe, 500};
    struct child child = child_start(receive_in_order, &drain);
    struct end left;

    end_open(&left, pipe, true);
    set_int(left.socket, SHM_SNDHWM, 4);
    end_attach(&left, pipe, "it");
    end_await(&left);
    CHECK_INT(child_hear(&child), 1);
    child_say(&child, 1);
    for (unsigned i = 0; i < drain.count; i++) {
        CHECK_INT(end_send(&left, &i, sizeof i, 0), sizeof i);
        end_take_turn(&left);
    }
    CHECK_INT(child_hear(&child), 2);
    child_end(&child);
    end_close(&left);
}

/* A message arrives at a receiver that sleeps in the kernel. */
TEST_EACH_PIPE(sleeping_receivers_are_woken, pipe)
{
    struct drain drain = {pipe, 20};
    struct child child = child_start(receive_in_order, &drain);
    struct end left;

    end_start(&left, pipe, true, "it");
    end_await(&left);
    CHECK_INT(child_hear(&child), 1);
    child_say(&child, 1);
    for (unsigned i = 0; i < drain.count; i++) {
        if (i % 2)
            await_asleep(child.pid);
        CHECK_INT(end_send(&left, &i, sizeof i, 0), sizeof i);
        end_take_turn(&left);
    }
    CHECK_INT(child_hear(&child), 2);
    child_end(&child);
    end_close(&left);
}

TEST_EACH_PIPE(sends_without_a_peer_wait_drop_or_refuse_by_type, pipe)
{
    int type = pipe->pair->left;
    shm_socket_t *socket = socket_new(type);
    int64_t start;

    CHECK_OK(shm_bind(socket, "it"));
    if (type == SHM_ROUTER) {
        CHECK_INT(shm_send(socket, "nobody", 6, SHM_SNDMORE), 6);
        CHECK_INT(shm_send(socket, "x", 1, 0), 1);
        CHECK_INT(get_stats(socket).dropped, 1);
        set_int(socket, SHM_ROUTER_MANDATORY, 1);
        CHECK_ERR(shm_send(socket, "nobody", 6, SHM_SNDMORE), EHOSTUNREACH);
    } else if (type == SHM_PUB || type == SHM_XPUB) {
        CHECK_INT(shm_send(socket, "x", 1, 0), 1);
        CHECK_INT(shm_send(socket, "x", 1, SHM_DONTWAIT), 1);
    } else {
        CHECK_ERR(shm_send(socket, "x", 1, SHM_DONTWAIT), EAGAIN);
        CHECK_ERR(shm_send(socket, "x", 1, SHM_DONTWAIT | SHM_SNDMORE), EAGAIN);
        CHECK_INT(get_int(socket, SHM_EVENTS) & SHM_POLLOUT, 0);
        set_int(socket, SHM_SNDTIMEO, 50);
        start = now_ms();
        CHECK_ERR(shm_send(socket, "x", 1, 0), EAGAIN);
        check_waited(start, 50);
        CHECK_INT(get_stats(socket).sent, 0);
    }
    CHECK_OK(shm_close(socket));
}
