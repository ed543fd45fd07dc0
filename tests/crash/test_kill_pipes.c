/* SPDX-License-Identifier: MIT */
/* Random SIGKILLs of one end of every pattern, while messages flow; the other end checks by
 * history that what was acknowledged arrived, in order, once, and goes on with the next one. */
#include "support/ends.h"
#include "support/history.h"
#include "support/kills.h"

#include <sched.h>

enum { SENDER, RECEIVER, ACTORS, ENTRIES = 400000 };

struct flow {
    struct pipe pipe;
    struct history *history;
    unsigned receiver; /* its actor */
};

static bool flows(const struct pair *pair)
{
    return !pair->turns;
}

static bool is_fanout(const struct pipe *pipe)
{
    return pipe->pair->left == SHM_PUB || pipe->pair->left == SHM_XPUB;
}

/* A PUB is lossless here: each reader can be checked message by message. */
static void start(struct end *end, const struct pipe *pipe, bool left)
{
    end_open(end, pipe, left);
    if (left && is_fanout(pipe))
        set_int(end->socket, SHM_LOSSLESS, 1);
    set_int(end->socket, SHM_SNDHWM, 32);
    end_attach(end, pipe, "it");
}

/* Send message NUMBER if there is room. The call is logged once, its return when it is through. */
static bool send_logged(struct end *left, struct history *history, uint64_t number, bool *called)
{
    unsigned char bytes[400];
    size_t size = HISTORY_MESSAGE_MIN + number * 37 % 370;

    history_message_make(bytes, size, SENDER, number);
    if (!*called)
        history_log(history, SENDER, HISTORY_CALL, SENDER, number);
    *called = true;
    if (end_send(left, bytes, size, SHM_DONTWAIT) < 0) {
        CHECK(errno == EAGAIN || errno == EHOSTUNREACH || errno == EPIPE);
        return false;
    }
    history_log(history, SENDER, HISTORY_RETURN, SENDER, number);
    *called = false;
    return true;
}

static bool receive_logged(struct end *right, struct history *history, unsigned receiver)
{
    shm_msg_t msg;
    ssize_t n;

    CHECK_OK(shm_msg_init(&msg));
    n = end_msg_recv(right, &msg, SHM_DONTWAIT);
    if (n < 0)
        CHECK(errno == EAGAIN || (errno == EPIPE && right->type == SHM_PAIR));
    else
        history_log_message(history, receiver, shm_msg_data(&msg), (size_t)n,
                            shm_msg_redelivered(&msg));
    CHECK_OK(shm_msg_close(&msg));
    return n >= 0;
}

static void send_for_ever(struct child *up, void *argument)
{
    const struct flow *flow = argument;
    struct end left;
    bool called = false;

    start(&left, &flow->pipe, true);
    end_await(&left);
    child_say(up, 1);
    child_hear(up); /* the other side has met us, too */
    for (uint64_t n = 1; n < ENTRIES / 2;)
        if (send_logged(&left, flow->history, n, &called))
            n++;
        else
            sched_yield();
    child_hear(up);
}

static void receive_for_ever(struct child *up, void *argument)
{
    const struct flow *flow = argument;
    struct end right;

    start(&right, &flow->pipe, false);
    end_await(&right);
    child_say(up, 1);
    for (;;)
        if (!receive_logged(&right, flow->history, flow->receiver))
            sched_yield();
}

static void check(const char *wrong)
{
    if (wrong)
        FAIL("%s", wrong);
}

static void what_a_killed_sender_had_sent_arrives_in_order(const struct pipe *pipe)
{
    uint64_t state = test_seed();
    struct end right;

    start(&right, pipe, false);
    for (unsigned i = 0; i < kills(4); i++) {
        struct flow flow = {*pipe, history_new(ACTORS, ENTRIES), RECEIVER};
        struct child child = child_start(send_for_ever, &flow);
        int64_t end;

        end_await(&right);
        CHECK_INT(child_hear(&child), 1);
        child_say(&child, 1);
        end = now_ms() + (int64_t)(random_next(&state) % 8);
        while (now_ms() < end)
            receive_logged(&right, flow.history, RECEIVER);
        pass_random(&state);
        child_kill(&child);
        await_event(right.socket, SHM_EVENT_DIED);
        while (receive_logged(&right, flow.history, RECEIVER))
            ;
        history_log(flow.history, SENDER, HISTORY_DIED, 0, 0);
        check(history_check_fifo(flow.history, SENDER, RECEIVER));
        history_free(flow.history);
    }
    end_close(&right);
}

/* Send for a random time while CHILD receives, then kill it. */
static void send_until_kill(struct end *left, struct flow *flow, uint64_t *number, bool *called,
                            uint64_t *state, struct child *child)
{
    int64_t end = now_ms() + (int64_t)(random_next(state) % 8);

    while (now_ms() < end && *number < ENTRIES / 4)
        *number += send_logged(left, flow->history, *number, called);
    pass_random(state);
    child_kill(child);
    history_log(flow->history, flow->receiver, HISTORY_DIED, 0, 0);
    await_event(left->socket, SHM_EVENT_DIED);
}

/* The binding side loses with its peer what that had not read; a PUB does so in any case: the next
 * subscriber sees only what is new to it. */
static void lose_the_queue(const struct pipe *pipe)
{
    uint64_t state = test_seed();
    struct end left;

    start(&left, pipe, true);
    for (unsigned i = 0; i < kills(4); i++) {
        struct flow flow = {*pipe, history_new(ACTORS, ENTRIES), RECEIVER};
        struct child child = child_start(receive_for_ever, &flow);
        uint64_t number = 1;
        bool called = false;

        end_await(&left);
        CHECK_INT(child_hear(&child), 1);
        send_until_kill(&left, &flow, &number, &called, &state, &child);
        if (called)
            history_log(flow.history, SENDER, HISTORY_CANCEL, SENDER, number);
        check(history_check_fifo(flow.history, SENDER, RECEIVER));
        history_free(flow.history);
    }
    end_close(&left);
}

/* The connecting side keeps it for the next binder, and a PUSH does so whoever binds: over all
 * receivers everything arrives once and in order, but for at most one message per death. */
static void keep_the_queue(const struct pipe *pipe)
{
    uint64_t state = test_seed(), number = 1;
    unsigned count = kills(4);
    struct flow flow = {*pipe, history_new(2 + count, ENTRIES), RECEIVER};
    struct end left, right;
    bool called = false;

    start(&left, pipe, true);
    for (unsigned i = 0; i < count; i++, flow.receiver++) {
        struct child child = child_start(receive_for_ever, &flow);

        end_await(&left);
        CHECK_INT(child_hear(&child), 1);
        send_until_kill(&left, &flow, &number, &called, &state, &child);
    }
    start(&right, pipe, false);
    pipe_meet(&left, &right);
    do /* a PAIR may be told of its former peer first */
        while (receive_logged(&right, flow.history, flow.receiver))
            ;
    while (called && !send_logged(&left, flow.history, number, &called));
    while (receive_logged(&right, flow.history, flow.receiver))
        ;
    check(history_check_shared(flow.history, true));
    history_free(flow.history);
    end_close(&left);
    end_close(&right);
}

static void
a_killed_receiver_loses_one_message_at_most_or_the_queue_it_was_given(const struct pipe *pipe)
{
    if ((pipe->right_binds && !is_fanout(pipe)) || pipe->pair->left == SHM_PUSH)
        keep_the_queue(pipe);
    else
        lose_the_queue(pipe);
}

int main(int argc, char **argv)
{
    static const struct pipe_test tests[] = {
        {"what_a_killed_sender_had_sent_arrives_in_order",
         what_a_killed_sender_had_sent_arrives_in_order, flows, 300},
        {"a_killed_receiver_loses_one_message_at_most_or_the_queue_it_was_given",
         a_killed_receiver_loses_one_message_at_most_or_the_queue_it_was_given, flows, 300},
    };

    return pipe_test_main("kill_pipes", tests, COUNT_OF(tests), argc, argv);
}
