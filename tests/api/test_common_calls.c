/* SPDX-License-Identifier: MIT */
/* Every pattern: calls that fail, waits that end. */
#include "support/short.h"

static bool sends(int type)
{
    return type != SHM_SUB && type != SHM_PULL;
}

static bool receives(int type)
{
    return type != SHM_PUB && type != SHM_PUSH;
}

/* ---- Bad arguments ---- */

TEST_EACH_MET_PIPE(bad_arguments_are_refused_and_change_nothing, pipe, left, right)
{
    shm_msg_t msg = msg_new();
    char byte = 'x';
    size_t size = sizeof byte;

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
    CHECK_ERR(shm_bind(left->socket, NULL), EINVAL);
    CHECK_ERR(shm_connect(left->socket, NULL), EINVAL);
    CHECK_ERR(shm_unbind(left->socket, NULL), EINVAL);
    CHECK_ERR(shm_disconnect(left->socket, NULL), EINVAL);
    CHECK_ERR(shm_getsockopt(left->socket, SHM_TYPE, NULL, &size), EINVAL);
    CHECK_ERR(shm_getsockopt(left->socket, SHM_TYPE, &byte, NULL), EINVAL);
    CHECK_ERR(shm_setsockopt(left->socket, SHM_LINGER, NULL, sizeof(int)), EINVAL);
    CHECK_ERR(shm_event_recv(left->socket, NULL, SHM_DONTWAIT), EINVAL);
    CHECK_ERR(shm_event_recv(left->socket, &(shm_event_t){0}, 0x4000), EINVAL);
    CHECK_ERR(shm_send(left->socket, NULL, 1, SHM_DONTWAIT), EINVAL);
    CHECK_ERR(shm_send(left->socket, &byte, 1, 0x4000), EINVAL);
    CHECK_ERR(shm_msg_send(NULL, left->socket, SHM_DONTWAIT), EINVAL);
    CHECK_ERR(shm_msg_send(&msg, left->socket, 0x4000), EINVAL);
    CHECK_ERR(shm_recv(right->socket, NULL, 1, SHM_DONTWAIT), EINVAL);
    CHECK_ERR(shm_recv(right->socket, &byte, 1, 0x4000), EINVAL);
    CHECK_ERR(shm_msg_recv(NULL, right->socket, SHM_DONTWAIT), EINVAL);
    CHECK_ERR(shm_msg_recv(&msg, right->socket, 0x4000), EINVAL);
    CHECK_ERR(shm_msg_loan(NULL, left->socket, 1), EINVAL);
    CHECK_OK(shm_msg_close(&msg));
    end_pass_text(left, right, "still");
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

TEST_EACH_MET_PIPE(endpoints_that_were_not_attached_cannot_be_detached, pipe, left, right)
{
    struct end *binder = pipe->right_binds ? right : left;
    struct end *other = pipe->right_binds ? left : right;

    CHECK_ERR(shm_unbind(other->socket, "it"), ENOENT);
    CHECK_ERR(shm_disconnect(binder->socket, "it"), ENOENT);
    CHECK_ERR(shm_unbind(binder->socket, "other"), ENOENT);
    CHECK_ERR(shm_disconnect(other->socket, "other"), ENOENT);
    CHECK_OK(shm_unbind(binder->socket, "it"));
    CHECK_ERR(shm_unbind(binder->socket, "it"), ENOENT);
    CHECK_OK(shm_disconnect(other->socket, "it"));
    CHECK_ERR(shm_disconnect(other->socket, "it"), ENOENT);
}

/* ---- Waits that end without a message ---- */

#define CHECK_TIMES_OUT(ms, call)                                                                                      \
    do {                                                                                                               \
        int64_t start = now_ms();                                                                                      \
        CHECK_ERR(call, EAGAIN);                                                                                       \
        check_waited(start, ms);                                                                                       \
    } while (0)

static void check_waited(int64_t start, int64_t wanted)
{
    int64_t waited = now_ms() - start;

    if (waited < wanted - 1 || waited > wanted + 5000)
        FAIL("waited %lld ms, not %lld", (long long)waited, (long long)wanted);
}

/* A receive on END that has nothing, in all its variants. */
static void check_receive_times_out(struct end *end)
{
    shm_msg_t msg = msg_new();

    CHECK_TIMES_OUT(0, recv_byte(end->socket, SHM_DONTWAIT));
    CHECK_TIMES_OUT(0, shm_msg_recv(&msg, end->socket, SHM_DONTWAIT));
    set_int(end->socket, SHM_RCVTIMEO, 0);
    CHECK_TIMES_OUT(0, recv_byte(end->socket, 0));
    set_int(end->socket, SHM_RCVTIMEO, 50);
    CHECK_TIMES_OUT(50, recv_byte(end->socket, 0));
    CHECK_TIMES_OUT(50, shm_msg_recv(&msg, end->socket, 0));
    CHECK_INT(shm_msg_size(&msg), 0);
    set_int(end->socket, SHM_RCVTIMEO, -1);
    CHECK_INTERRUPTED(recv_byte(end->socket, 0));
    CHECK_INTERRUPTED(shm_msg_recv(&msg, end->socket, 0));
    CHECK_OK(shm_msg_close(&msg));
}

TEST_EACH_MET_PIPE(receives_time_out_and_are_interrupted, pipe, left, right)
{
    check_receive_times_out(right);
    if (left->type == SHM_REQ)
        end_send_text(left, "ask");
    if (receives(left->type))
        check_receive_times_out(left);
    if (left->type != SHM_REQ)
        end_send_text(left, "ask");
    end_expect_text(right, "ask");
    pipe_turn(left, right);
}

TEST_EACH_MET_PIPE(receives_time_out_with_every_spin_time, pipe, left, right)
{
    static const int64_t spins[] = {0, 1000, -1, -2};

    set_int(right->socket, SHM_RCVTIMEO, 20);
    for (size_t i = 0; i < COUNT_OF(spins); i++) {
        CHECK_OK(shm_setsockopt(right->socket, SHM_SPIN_NS, &spins[i], sizeof spins[i]));
        CHECK_TIMES_OUT(20, recv_byte(right->socket, 0));
    }
}

TEST_EACH_MET_PIPE(waits_for_events_time_out_and_are_interrupted, pipe, left, right)
{
    shm_event_t event;

    while (shm_event_recv(right->socket, &event, SHM_DONTWAIT) == 0)
        ;
    CHECK_INT(errno, EAGAIN);
    set_int(right->socket, SHM_RCVTIMEO, 50);
    CHECK_TIMES_OUT(50, shm_event_recv(right->socket, &event, 0));
    set_int(right->socket, SHM_RCVTIMEO, -1);
    CHECK_INTERRUPTED(shm_event_recv(right->socket, &event, 0));
}

/* ---- Sends that cannot ---- */

TEST_MET_PIPES(pair_waits, 4, full_sends_time_out_and_are_interrupted, pipe, left, right)
{
    end_fill(left);
    set_int(left->socket, SHM_SNDTIMEO, 0);
    CHECK_ERR(end_send(left, "x", 1, 0), EAGAIN);
    set_int(left->socket, SHM_SNDTIMEO, 50);
    CHECK_TIMES_OUT(50, end_send(left, "x", 1, 0));
    set_int(left->socket, SHM_SNDTIMEO, -1);
    CHECK_INTERRUPTED(end_send(left, "x", 1, 0));
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
    child_stay(up, 1);
    for (unsigned i = 0; i < drain->count; i++) {
        unsigned got = 0;

        CHECK_INT(end_recv(&right, &got, sizeof got, 0), sizeof got);
        CHECK_INT(got, i);
        end_give_turn(&right);
    }
    child_stay(up, 2);
    end_close(&right);
}

static void send_to_another_process(const struct pipe *pipe, int hwm, unsigned count, bool to_a_sleeper)
{
    struct drain drain = {pipe, count};
    struct child child = child_start(receive_in_order, &drain);
    struct end left;

    end_open(&left, pipe, true);
    set_int(left.socket, SHM_SNDHWM, hwm);
    end_attach(&left, pipe, "it");
    end_await(&left);
    CHECK_INT(child_hear(&child), 1);
    child_say(&child, 1);
    for (unsigned i = 0; i < count; i++) {
        if (to_a_sleeper && i % 2)
            await_asleep(child.pid);
        CHECK_INT(end_send(&left, &i, sizeof i, 0), sizeof i);
        end_take_turn(&left);
    }
    CHECK_INT(child_hear(&child), 2);
    child_end(&child);
    end_close(&left);
}

/* Far more messages than the mark go through a sender that waits in shm_send(). */
TEST_PIPES(pair_waits, blocked_sends_go_on_when_the_receiver_reads, pipe)
{
    send_to_another_process(pipe, 4, 500, false);
}

/* A message arrives at a receiver that sleeps in the kernel. */
TEST_EACH_PIPE(sleeping_receivers_are_woken, pipe)
{
    send_to_another_process(pipe, 1000, 20, true);
}

TEST_EACH_PIPE(sends_without_a_peer_wait_drop_or_refuse_by_type, pipe)
{
    int type = pipe->pair->left;
    shm_socket_t *socket = socket_bound(type);

    if (type == SHM_ROUTER) {
        send_parts(socket, TEXTS("nobody", "x"));
        CHECK_INT(get_stats(socket).dropped, 1);
        set_int(socket, SHM_ROUTER_MANDATORY, 1);
        CHECK_ERR(shm_send(socket, "nobody", 6, SHM_SNDMORE), EHOSTUNREACH);
    } else if (type == SHM_PUB || type == SHM_XPUB) {
        send_text(socket, "x");
        send_text_now(socket, "x");
    } else {
        CHECK_ERR(shm_send(socket, "x", 1, SHM_DONTWAIT), EAGAIN);
        CHECK_ERR(shm_send(socket, "x", 1, SHM_DONTWAIT | SHM_SNDMORE), EAGAIN);
        CHECK_INT(get_int(socket, SHM_EVENTS) & SHM_POLLOUT, 0);
        set_int(socket, SHM_SNDTIMEO, 50);
        CHECK_TIMES_OUT(50, shm_send(socket, "x", 1, 0));
        CHECK_INT(get_stats(socket).sent, 0);
    }
    CHECK_OK(shm_close(socket));
}
